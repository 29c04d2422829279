/*
 * scsi_reg.h: virtio-scsi's structures [virtio 1.2 §5.6] and what is used of SCSI [SPC-4], [SBC-3].
 */
#ifndef DRIVER_VIRTIO_SCSI_REG_H
#define DRIVER_VIRTIO_SCSI_REG_H

#include <stddef.h>
#include <stdint.h>

/* Features [virtio 1.2 §5.6.3]. */
enum { F_INOUT = 0, F_HOTPLUG = 1, F_CHANGE = 2, F_T10_PI = 3 };

/* Device configuration: offset and size in bytes [virtio 1.2 §5.6.4]. */
enum {
    CONFIG_NUM_QUEUES = 0,  /* 4 */
    CONFIG_SEG_MAX = 4,     /* 4 */
    CONFIG_MAX_SECTORS = 8, /* 4, of 512 bytes */
    CONFIG_CMD_PER_LUN = 12,
    CONFIG_SENSE_SIZE = 20, /* 4 */
    CONFIG_CDB_SIZE = 24,   /* 4 */
    CONFIG_MAX_TARGET = 30, /* 2 */
    CONFIG_MAX_LUN = 32,    /* 4 */
};

enum { CONTROL_QUEUE = 0, EVENT_QUEUE = 1, REQUEST_QUEUE = 2 };

enum { CDB_SIZE = 32, SENSE_SIZE = 96, LARGEST_CDB = 16 };

/* Request and answer [virtio 1.2 §5.6.6.1]. `cdb` is cdb_size bytes long, 32 after a reset; `sense` sense_size, 96. */
struct scsi_request {
    uint8_t lun[8];
    uint64_t tag;
    uint8_t attribute, priority, crn;
    uint8_t cdb[CDB_SIZE];
    uint8_t padding[5];
};
struct scsi_answer {
    uint32_t sense_length, residual;
    uint16_t qualifier;
    uint8_t status, response;
    uint8_t sense[SENSE_SIZE];
};
enum { REQUEST_HEAD = 19, ANSWER_HEAD = 12 };
_Static_assert(offsetof(struct scsi_request, cdb) == REQUEST_HEAD &&
                   offsetof(struct scsi_answer, sense) == ANSWER_HEAD && sizeof(struct scsi_request) == 56 &&
                   sizeof(struct scsi_answer) == 108,
               "[virtio 1.2 §5.6.6.1]");

enum {
    RESPONSE_OK = 0,
    RESPONSE_OVERRUN = 1,
    RESPONSE_ABORTED = 2,
    RESPONSE_BAD_TARGET = 3,
    RESPONSE_RESET = 4,
    RESPONSE_BUSY = 5,
    RESPONSE_TRANSPORT_FAILURE = 6,
    RESPONSE_TARGET_FAILURE = 7,
    RESPONSE_NEXUS_FAILURE = 8,
    RESPONSE_FAILURE = 9,
    RESPONSE_NONE = 0xff, /* ours: not written */
};

/* Task management [virtio 1.2 §5.6.6.2]. */
struct scsi_management {
    uint32_t type, function;
    uint8_t lun[8];
    uint64_t tag;
};
_Static_assert(sizeof(struct scsi_management) == 24, "[virtio 1.2 §5.6.6.2]");
enum { TYPE_MANAGEMENT = 0, FUNCTION_ABORT_TASK = 0 };

/* Events [virtio 1.2 §5.6.6.3]. */
struct scsi_event {
    uint32_t event;
    uint8_t lun[8];
    uint32_t reason;
};
_Static_assert(sizeof(struct scsi_event) == 16, "[virtio 1.2 §5.6.6.3]");
#define EVENTS_MISSED UINT32_C(0x80000000)
enum { EVENT_NONE = 0, EVENT_TRANSPORT_RESET = 1, EVENT_ASYNC_NOTIFY = 2, EVENT_PARAMETER_CHANGE = 3 };
enum { REASON_HARD_RESET = 0, REASON_RESCAN = 1, REASON_REMOVED = 2 };

/* Status of a command [SAM-5 §5.3]. */
enum {
    SCSI_GOOD = 0x00,
    SCSI_CHECK_CONDITION = 0x02,
    SCSI_BUSY = 0x08,
    SCSI_RESERVATION_CONFLICT = 0x18,
    SCSI_TASK_SET_FULL = 0x28,
    SCSI_ACA_ACTIVE = 0x30,
    SCSI_TASK_ABORTED = 0x40,
};

/* Commands [SPC-4 §6], [SBC-3 §5]. */
enum {
    TEST_UNIT_READY = 0x00,
    INQUIRY = 0x12,
    MODE_SENSE_6 = 0x1a,
    READ_CAPACITY_10 = 0x25,
    SYNCHRONIZE_CACHE_10 = 0x35,
    UNMAP = 0x42,
    READ_16 = 0x88,
    WRITE_16 = 0x8a,
    SYNCHRONIZE_CACHE_16 = 0x91,
    WRITE_SAME_16 = 0x93,
    SERVICE_ACTION_IN_16 = 0x9e, /* with action 10: READ CAPACITY(16) */
    REPORT_LUNS = 0xa0,
};
enum { ACTION_READ_CAPACITY_16 = 0x10, FUA = 1 << 3, EVPD = 1, NO_BLOCK_DESCRIPTORS = 1 << 3, CACHING_PAGE = 8 };

/* Vital product data [SPC-4 §7.8], [SBC-3 §6.6]. */
enum { VPD_PAGES = 0x00, VPD_SERIAL = 0x80, VPD_BLOCK_LIMITS = 0xb0, VPD_PROVISIONING = 0xb2 };

/* Sense keys [SPC-4 §4.5.6]. */
enum {
    KEY_NO_SENSE = 0,
    KEY_RECOVERED = 1,
    KEY_NOT_READY = 2,
    KEY_MEDIUM_ERROR = 3,
    KEY_HARDWARE_ERROR = 4,
    KEY_ILLEGAL_REQUEST = 5,
    KEY_UNIT_ATTENTION = 6,
    KEY_DATA_PROTECT = 7,
    KEY_ABORTED_COMMAND = 11,
};

/* Additional sense, code and qualifier in one number [SPC-4 annex F]. */
enum {
    SENSE_BECOMING_READY = 0x0401,
    SENSE_INVALID_COMMAND = 0x2000,
    SENSE_OUT_OF_RANGE = 0x2100,
    SENSE_CAPACITY_CHANGED = 0x2a09,
    SENSE_UNITS_CHANGED = 0x3f0e,
};

struct scsi_sense {
    uint8_t key;
    uint16_t additional; /* code << 8 | qualifier */
};

#endif
