/*
 * scsi.h: what the files of the virtio-scsi driver share. scsi.c carries commands and is the driver's life, scsi_scan.c
 * finds the disks, scsi_sense.c says what an answer means.
 */
#ifndef DRIVER_VIRTIO_SCSI_H
#define DRIVER_VIRTIO_SCSI_H

#include "scsi_reg.h"
#include "transfer.h"

enum {
    SCSI_NAME_SIZE = 40,
    SCSI_SCRATCH_SIZE = 512, /* what one command of the driver's own can give back */
    SCSI_EVENTS = 4,
    SCSI_LARGEST_BLOCK = 65536,
};

/* What the device reads and writes beside clients' data. */
struct scsi_wire { /* one for each transfer */
    struct scsi_request request;
    uint8_t list[24]; /* UNMAP's parameters */
    struct scsi_answer answer;
    uint8_t padding[4];
};
struct scsi_shared {
    struct scsi_wire wires[TRANSFER_COUNT];
    struct scsi_event events[SCSI_EVENTS];
    struct scsi_management management;
    uint8_t management_answer, padding[7];
    uint8_t scratch[SCSI_SCRATCH_SIZE];
};
_Static_assert(sizeof(struct scsi_wire) == 192 && sizeof(struct scsi_shared) <= 8192, "two pages");

/* A copy of what the device has answered. */
struct scsi_outcome {
    uint8_t response, status;
    uint32_t residual;
    struct scsi_sense sense; /* all zero without any */
};

struct scsi_disk {
    struct block_device block;
    struct virtio_scsi *scsi;
    struct scsi_disk *next;
    char name[SCSI_NAME_SIZE];
    uint8_t target;
    uint16_t lun;
    bool capacity_10, flush_10;        /* knows only the commands of 10 bytes */
    bool gone;                         /* the device says that it was removed */
    bool capacity_stale;               /* asked for again when there is a transfer for it */
    uint32_t most_blocks, most_zeroes; /* in one command */
    uint64_t told_ns;                  /* before then the log has no other failed command */
    unsigned untold;                   /* failed and not in the log */
};

struct scsi_command { /* of the transfer with the same number */
    struct scsi_disk *disk;
    bool resting;         /* not with the device: sent again at `when` */
    bool aborting;        /* the deadline has passed */
    uint8_t tries, waits; /* sent again at once, after a pause */
    uint8_t out, in;
    uint64_t when; /* its deadline */
    struct virtqueue_part parts[TRANSFER_PARTS];
};

struct virtio_scsi {
    struct transfers transfers; /* first: the class's functions get it back */
    struct virtio_device virtio;
    struct virtqueue *control, *event_queue;
    struct dma_memory shared, zeroes; /* zeroes: one block of the largest size, for WRITE SAME */
    struct scsi_command commands[TRANSFER_COUNT];
    struct transfer *own; /* the command of the driver's own that is under way */
    struct scsi_disk *disks;
    unsigned disk_count;
    uint32_t sense_size, cdb_size;
    uint32_t max_bytes; /* of one transfer */
    uint32_t max_target, max_lun;
    uint64_t wake_ns; /* when the home is to call */
    uint64_t scan_deadline_ns;
    uint64_t event_told_ns; /* before then the log has no other event */
    bool managing;          /* task management is under way */
    unsigned odd_answers;
};

/* ---- scsi.c ---------------------------------------------------------------------------------- */

struct scsi_place {
    uint8_t target;
    uint16_t lun;
};

/*
 * Before there are clients: one command, and its answer within 5 s. Fills the first `bytes` of the scratch (zeroed
 * before), and gives how many the device filled. Unit attention and a device that is busy or becoming ready are waited
 * out. STATUS_NOT_FOUND: no such target or unit; STATUS_UNSUPPORTED: it does not know the command; STATUS_IO_ERROR: the
 * outcome tells. STATUS_TIMED_OUT, STATUS_DEVICE_FAULT: the device is of no use.
 */
enum status scsi_ask(struct virtio_scsi *scsi, struct scsi_place place, const uint8_t cdb[LARGEST_CDB], uint32_t bytes,
                     uint32_t *filled, struct scsi_outcome *outcome);
static inline const uint8_t *scsi_scratch(const struct virtio_scsi *scsi)
{
    return ((const struct scsi_shared *)scsi->shared.memory)->scratch;
}

extern const struct block_ops scsi_disk_ops;

/* ---- scsi_scan.c ------------------------------------------------------------------------------ */

/* Finds the disks. Fails only when the device does not answer any more. */
enum status scsi_scan(struct virtio_scsi *scsi);

/* READ CAPACITY of either size, and what its answer says. `count` is what addresses can say at most. */
void scsi_capacity_command(const struct scsi_disk *disk, uint8_t cdb[LARGEST_CDB]);
enum { SCSI_CAPACITY_BYTES = 32 };
void scsi_capacity(const struct scsi_disk *disk, const uint8_t *answer, uint64_t *count, uint32_t *block_size);

/* ---- scsi_sense.c ----------------------------------------------------------------------------- */

enum scsi_verdict {
    SCSI_DONE,        /* the command was carried out; how much of it the residual says */
    SCSI_AGAIN,       /* was not, and may be at once */
    SCSI_AGAIN_LATER, /* the same, after a pause */
    SCSI_FAILED,
};
enum scsi_verdict scsi_judge(const struct scsi_outcome *outcome);

/* Fixed or descriptor format [SPC-4 §4.5.2, §4.5.3], at most `length` bytes of which the device wrote. */
struct scsi_sense scsi_sense(const uint8_t *bytes, uint32_t length);

/* "medium error, unrecovered read error (3/11/00)" */
void scsi_describe(char *to, size_t size, const struct scsi_outcome *outcome);

/* What a client is told of a failed command. */
enum status scsi_status(const struct scsi_outcome *outcome);

#endif
