/*
 * transfer.h: requests of block devices as transfers over one virtqueue; what virtio-blk and virtio-scsi share.
 *
 * A client's request becomes one or more transfers, each of which the device takes at once. Requests wait in order
 * while the ring is full; the last transfer to come back completes its request, with the first error of any. What a
 * transfer looks like on the wire, and what an answer means, is the class driver's.
 */
#ifndef DRIVER_VIRTIO_TRANSFER_H
#define DRIVER_VIRTIO_TRANSFER_H

#include "virtio.h"

#include <vmos/block.h>

enum {
    TRANSFER_COUNT = 32,      /* in flight at most */
    TRANSFER_DATA_PARTS = 16, /* of one transfer */
    TRANSFER_PARTS = TRANSFER_DATA_PARTS + 4,
};

struct transfer {
    struct block_request *request; /* NULL: free, or the driver's own command */
    uint32_t bytes;                /* of data that the device writes */
    uint8_t loan_count;
    uint32_t loans[TRANSFER_DATA_PARTS];
    struct transfer *next; /* in the free list */
};

struct transfers;

struct transfer_class {
    /*
     * Makes a transfer of the next blocks of its request, from transfers->next_block on: all parts, headers too.
     * Returns the blocks that it covers (1 for a flush), or 0 when none can be, and `why`.
     */
    uint64_t (*build)(struct transfers *transfers, struct transfer *transfer, struct virtqueue_part parts[],
                      unsigned *out, unsigned *in, enum status *why);
    /* The device is done with the transfer and says that it wrote so many bytes. False: it is not over, the class
     * has it and will call transfer_end. */
    bool (*ended)(struct transfers *transfers, struct transfer *transfer, uint32_t written, enum status *status);
};

struct transfers {
    const struct transfer_class *class;
    struct virtio_device *virtio;
    struct virtqueue *queue; /* the class opens and closes it */
    struct transfer each[TRANSFER_COUNT], *free;
    uint32_t most_parts, most_part_size; /* of data, in one transfer */

    /* Requests not wholly handed over, oldest first, and how far the first one is. */
    struct block_request *waiting, **waiting_end;
    uint64_t next_block;
    unsigned segment;
    uint64_t segment_offset;

    struct block_request *finished, **finished_end; /* to be told, from poll */
    bool stopping;
};

/* Call first, and with how many may be in flight once the queue is open. */
void transfers_init(struct transfers *transfers, const struct transfer_class *class, struct virtio_device *virtio);
void transfers_allow(struct transfers *transfers, unsigned count);

/* What a block device's submit and poll do; poll tells clients. */
unsigned transfers_submit(struct transfers *transfers, struct block_device *block,
                          struct block_request *const requests[], unsigned count);
void transfers_poll(struct transfers *transfers);

/* In place of submit: takes all, and each ends with this status. */
unsigned transfers_refuse(struct transfers *transfers, struct block_request *const requests[], unsigned count,
                          enum status status);

/* After a reset: everything that is under way or waits ends with this status, and is told. From now on nothing is
 * taken. What `ended` has kept back the class ends before, with transfer_end. */
void transfers_release(struct transfers *transfers, enum status status);

/* The disk that the request was submitted to. */
static inline struct block_device *transfer_disk(const struct block_request *request)
{
    return (struct block_device *)(uintptr_t)request->driver[1]; /* NOLINT(performance-no-int-to-ptr) */
}

/* For `build`: lends the next whole blocks of the request's segments, at most `most` bytes, and appends them to the
 * parts. How many blocks; 0: not even one, and `why`. */
uint64_t transfer_lend(struct transfers *transfers, struct transfer *transfer, struct virtqueue_part parts[],
                       unsigned *count, uint64_t most, enum status *why);

/* Blocks of the request that are not handed over yet. */
uint64_t transfer_blocks_left(const struct transfers *transfers, const struct transfer *transfer);

/* What is at 1 and up is a transfer's token. */
static inline uint64_t transfer_token(const struct transfers *transfers, const struct transfer *transfer)
{
    return (uint64_t)(transfer - transfers->each) + 1;
}

/* A transfer for a command of the driver's own, NULL when none is free; and the end of any transfer. */
struct transfer *transfer_take(struct transfers *transfers);
void transfer_end(struct transfers *transfers, struct transfer *transfer, enum status status);

#endif
