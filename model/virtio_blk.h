/*
 * virtio_blk.h: a virtio disk for the host's home [virtio 1.2 §5.2]: an array of sectors that the test sees.
 *
 * What the driver asks for against the specification or the limits that the device told it is a complaint.
 */
#ifndef MODEL_VIRTIO_BLK_H
#define MODEL_VIRTIO_BLK_H

#include <model/virtio_device.h>

enum {
    BLK_SIZE_MAX = 1,
    BLK_SEG_MAX = 2,
    BLK_RO = 5,
    BLK_BLK_SIZE = 6,
    BLK_FLUSH = 9,
    BLK_TOPOLOGY = 10,
    BLK_DISCARD = 13,
    BLK_WRITE_ZEROES = 14,
    BLK_ID_SIZE = 20,
    BLK_DISCARDED = 0xdd, /* what discarded bytes become */
};

enum {
    E22_STATUS_UNTOUCHED = VIRTIO_EVIL_CLASS_FIRST,
    E22_STATUS_3,
    E22_STATUS_254,
    E23_LENGTH_SHORT, /* by one byte */
    E23_LENGTH_1,     /* counts the status byte alone, as some legacy devices do */
    BLK_IO_ERRORS,    /* not evil: every data request fails, and says so */
    BLK_UNSUPPORTED,
};

struct virtio_blk_options {
    uint64_t sectors;                       /* that exist: of 512 bytes */
    uint64_t capacity;                      /* that the device claims; 0: as many as exist */
    uint64_t features;                      /* bits of the class that are offered */
    uint32_t block_size, seg_max, size_max; /* as the registers tell them */
    uint8_t physical_exponent;
    uint32_t optimal_blocks;
    uint32_t max_discard_sectors, max_zeroes_sectors;
    char serial[BLK_ID_SIZE];
};

struct virtio_blk_model {
    struct virtio_model *core;
    struct virtio_blk_options options;
    uint8_t *sectors;
    unsigned reads, writes, flushes, discards, zeroes, beyond; /* requests; beyond the end */
    unsigned most_parts;                                       /* of data in one request, ever */
};

/* Destroyed with virtio_blk_destroy. */
struct virtio_blk_model *virtio_blk_create(const struct virtio_model_options *options,
                                           const struct virtio_blk_options *blk, enum virtio_model_evil evil);
void virtio_blk_destroy(struct virtio_blk_model *blk);

/* Tells the driver of another capacity. */
void virtio_blk_resize(struct virtio_blk_model *blk, uint64_t capacity);

#endif
