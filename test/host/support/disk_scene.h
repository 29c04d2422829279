/* disk_scene.h: a modelled disk with its driver, and requests with memory of their own. */
#ifndef DISK_SCENE_H
#define DISK_SCENE_H

#include <model/virtio_blk.h>
#include <vmos/block.h>
#include "virtio_class.h"

enum { SECTOR = 512, MAX_SEGMENTS = 512 };

extern const struct virtio_blk_options disk_plain; /* an ordinary disk, of DISK_SECTORS */
enum { DISK_SECTORS = 4096 };

extern uint8_t disk_pattern[256 * SECTOR]; /* what disks hold at first, over and over */

extern unsigned job_done_count; /* since disk_open */

struct job {
    struct block_request request; /* first: done gets it back */
    struct memory_ref segments[MAX_SEGMENTS];
    uint8_t *memory;
    size_t size;
    unsigned done;
    void (*then)(struct job *job);
};

/* All in one segment, at an odd place in memory, filled at random. */
struct job *job_create(const struct block_info *info, enum block_operation operation, uint64_t first, uint64_t count);
uint8_t *job_bytes(const struct job *job);
void job_cut(struct job *job); /* its segment into several, at multiples of 4 */
void job_destroy(struct job *job);

struct disk_scene {
    struct virtio_blk_model *disk;
    struct device *device;
    struct block_device *block;
    bool revoked;
};

void disk_open(struct disk_scene *scene, const struct virtio_model_options *options,
               const struct virtio_blk_options *blk, enum virtio_model_evil evil);
void disk_start(struct disk_scene *scene);
void disk_close(struct disk_scene *scene);

unsigned disk_submit(struct disk_scene *scene, struct job *jobs[], unsigned count);
void disk_run_until_done(struct disk_scene *scene, unsigned count); /* since disk_open */

/* One request, alone, and its status. */
enum status disk_one(struct disk_scene *scene, struct job *job);
enum status disk_one_of(struct disk_scene *scene, enum block_operation operation, uint64_t first, uint64_t count);

/* A write and a read of it, which also must show on the disk itself. */
void disk_expect_transfers(struct disk_scene *scene);

#endif
