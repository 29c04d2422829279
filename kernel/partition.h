/*
 * partition.h: the partitions of every disk, each a block device of its own.
 *
 * A partition belongs to one publication of its disk: when the disk's ownership ends, what is asked of the partition
 * ends with STATUS_REVOKED for ever, and a disk that is published again has new ones. The struct stays.
 */
#ifndef KERNEL_PARTITION_H
#define KERNEL_PARTITION_H

#include <lib/gpt.h>
#include <lib/printf.h>
#include <vmos/block.h>

struct device;

enum { PARTITION_NAME_SIZE = 48 };

struct partition {
    struct block_device block; /* first_block 0 is the partition's first */
    struct block_device *disk; /* only to be touched while the epoch lasts */
    struct device *device;
    uint32_t epoch;
    uint64_t first_block;
    struct gpt_partition entry;
    char name[PARTITION_NAME_SIZE]; /* "virtio-blk0p1" */
    struct partition *next;         /* of the same disk */
};

/* Reads the tables of the disks that were published since the last time, and says what is in them. */
void partitions_scan(void);

/* Tells clients of requests that were refused, and scans what was published; true when there was something to do. */
bool partitions_dispatch(void);

/* Those of a disk as it is published now; NULL: none. */
struct partition *partitions_of(const struct block_device *disk);

/* Whether the disk has a table, or the remains of one, or was not looked at: then nobody writes to it as a whole. */
bool disk_has_table(const struct block_device *disk);

/* The disk or partition of this name, NULL when there is none. */
struct block_device *block_find(const char *name, size_t length);

/* Whether the disk or partition is still there. Whoever holds one asks before each use after a wait. */
bool block_is_published(const struct block_device *block);

void disks_report(struct printer *printer);

#endif
