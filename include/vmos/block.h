/*
 * block.h: a disk, whatever is behind it.
 *
 * Batch first: submit many requests with one call, which rings one doorbell. Requests complete in
 * any order, each exactly once, by its `done` call, made from the driver's handler and never from
 * inside submit.
 */
#ifndef VMOS_BLOCK_H
#define VMOS_BLOCK_H

#include <vmos/abi.h>

enum block_operation {
    BLOCK_READ,
    BLOCK_WRITE,
    BLOCK_FLUSH,        /* all writes completed before it was submitted are durable when it completes */
    BLOCK_DISCARD,      /* contents become undefined */
    BLOCK_WRITE_ZEROES, /* contents become zero */
};

struct block_request {
    enum block_operation operation;
    uint64_t first_block;              /* in units of block_info.block_size */
    uint64_t block_count;              /* 0 for a flush */
    uint64_t offset;                   /* in the same units, added to first_block: 0 from a client; a partition puts
                                          its own beginning there and hands the request to its disk */
    bool force_unit_access;            /* a write: durable when it completes, as if a flush followed */
    const struct memory_ref *segments; /* total length is block_count * block_size; each a multiple of 4 bytes */
    unsigned segment_count;            /* any number: the driver splits what the device cannot take at once; only
                                          a single block in more pieces than the device takes is unsupported */
    void (*done)(struct block_request *request); /* status is set; the request is the client's again */
    void *client;                                /* the client's own */
    enum status status;

    /* The driver's own while the request is in flight. */
    struct block_request *next;
    uint64_t driver[2];
};

struct block_info {
    uint64_t block_count;
    uint32_t block_size;          /* bytes, a power of two from 512 to 65536 */
    uint32_t physical_block_size; /* bytes; writes of this size and alignment avoid read-modify-write */
    uint32_t optimal_transfer;    /* bytes; 0 when the device does not say */
    uint64_t max_discard_blocks;  /* per request as the device takes it; the driver splits */
    uint32_t queue_depth;         /* requests that fit in flight; more wait in the driver */
    bool read_only;
    bool write_cache; /* a flush is needed for durability */
    bool can_discard;
    bool can_write_zeroes;
    bool can_force_unit_access; /* without a write cache every write is durable, and this means nothing */
    char serial[33];            /* printable ASCII, NUL-terminated */
    char model[41];             /* the same; empty when the device has none */
};

struct block_ops {
    /*
     * Takes requests[0..count) in order and rings once. A request that is wrong (out of range, a write
     * to a read-only disk, segments that do not add up) is taken too and completes with its error.
     * Returns how many were taken: fewer only when the driver cannot hold more, none while it stops; the rest
     * are untouched.
     */
    unsigned (*submit)(void *driver, struct block_request *const requests[], unsigned count);
    /* Looks for completions now, without an interrupt. */
    void (*poll)(void *driver);
};

struct block_device {
    const struct block_ops *ops;
    void *driver;
    const char *name; /* the device's, or the device's and which of its disks: "nvme0n1"; lives as long as this */
    struct block_info info;
    struct block_device *next; /* of the same device, in the order of publishing; the home's own */
};

/* The request's first block on the disk itself; for drivers, once block_request_check has said STATUS_OK. */
static inline uint64_t block_request_start(const struct block_request *request)
{
    return request->offset + request->first_block;
}

/* Why the request cannot be taken, or STATUS_OK. Every driver asks this first: one fact, one place. */
enum status block_request_check(const struct block_info *info, const struct block_request *request);

#endif
