/*
 * virtio_scsi.h: a virtio SCSI host for the host's home [virtio 1.2 §5.6], with units that are arrays of bytes.
 *
 * What the driver asks for against the specification or the limits that it was told is a complaint.
 */
#ifndef MODEL_VIRTIO_SCSI_H
#define MODEL_VIRTIO_SCSI_H

#include <model/virtio_device.h>

enum { SCSI_MODEL_UNITS = 8, SCSI_HOTPLUG = 1, SCSI_CHANGE = 2, SCSI_DISCARDED = 0xdd };

enum {
    F01_SENSE_GARBAGE = VIRTIO_EVIL_CLASS_FIRST, /* the rows F.. are of reads, writes and what clients cause */
    F01_SENSE_LONG,                              /* its length is 2^32 - 1 */
    F01_SENSE_NONE,
    F02_RESIDUAL_BEYOND,
    F02_RESIDUAL_4,
    F03_RESPONSE_77,
    F03_STATUS_77,
    F04_UNTOUCHED,
    F05_BUSY_TWICE,
    F05_FULL_TWICE,
    F05_ATTENTION_TWICE,
    F05_RESET_TWICE,
    F05_BUSY_FOREVER,
    F05_ATTENTION_FOREVER,
    F06_ONE_HANGS,    /* until it is aborted */
    F06_ABORT_HANGS,  /* as well */
    F07_MEDIUM_ERROR, /* not evil: each read and write fails, and says so */
    F07_DESCRIPTOR_SENSE,
    F07_WRITE_PROTECTED,
    F08_LUNS_HUGE,     /* REPORT LUNS claims 2^32 - 1 bytes */
    F08_LUNS_STRANGE,  /* forms that vmos does not know, the same one twice, one beyond max_lun */
    F08_LUNS_UNKNOWN,  /* the command is */
    F08_EVERYWHERE,    /* every target has units without end */
    F09_PAGES_GARBAGE, /* vital product data and mode pages of random bytes */
    F09_PAGES_NONE,
    F10_SILENT,
    F11_EVENTS_STORM,
};

struct scsi_unit_options {
    uint8_t target;
    uint16_t lun;
    uint8_t type;        /* of the device; 0: a disk */
    uint32_t block_size; /* as it claims */
    uint64_t blocks;     /* that exist, of block_size (or 512, when that cannot be) */
    uint64_t last_block; /* that it claims; 0: the last that exists */
    bool read_only, write_cache, force_unit_access, provisioned;
    bool only_10; /* READ CAPACITY and SYNCHRONIZE CACHE only of 10 bytes */
    bool no_medium;
    uint8_t becoming_ready; /* so many times */
    uint32_t max_transfer, max_discard;
    uint64_t max_zeroes;
    const char *serial;
};

struct virtio_scsi_options {
    uint32_t seg_max, max_sectors, cmd_per_lun, sense_size, cdb_size, max_lun;
    uint16_t max_target;
    uint64_t features;
    unsigned unit_count;
    struct scsi_unit_options units[SCSI_MODEL_UNITS];
};

struct virtio_scsi_model {
    struct virtio_model *core;
    struct virtio_scsi_options options;
    struct scsi_unit {
        uint8_t *bytes;
        uint32_t size;  /* of a block, really */
        bool attention; /* to be told first: power on */
        uint16_t attention_code;
        uint8_t becoming_ready;
        unsigned reads, writes, flushes, discards, zeroes, forced, beyond;
    } units[SCSI_MODEL_UNITS];
    unsigned commands, inquiries, aborts, disturbed;
    bool hung, aborted; /* F06: there is such a command */
    uint64_t hung_tag;
    uint8_t event[16];
    bool has_event;
    unsigned most_parts;
};

/* Destroyed with virtio_scsi_destroy. */
struct virtio_scsi_model *virtio_scsi_create(const struct virtio_model_options *options,
                                             const struct virtio_scsi_options *scsi, enum virtio_model_evil evil);
void virtio_scsi_destroy(struct virtio_scsi_model *scsi);

/* An event for the driver: what, which unit, why. */
void virtio_scsi_tell(struct virtio_scsi_model *scsi, uint32_t event, unsigned unit, uint32_t reason);

/* For a class of one's own around this one: sets `scsi` up on `core`, and carries a request out. */
void virtio_scsi_set_up(struct virtio_scsi_model *scsi, struct virtio_model *core,
                        const struct virtio_scsi_options *options);
void virtio_scsi_take_down(struct virtio_scsi_model *scsi);
uint32_t virtio_scsi_handle(struct virtio_model *core, void *scsi, const struct virtio_model_request *request);
enum { SCSI_MODEL_CONFIG_SIZE = 36 };

#endif
