/* nvme_scene.h: a modelled NVMe controller with its driver, and requests with memory of their own. */
#ifndef NVME_SCENE_H
#define NVME_SCENE_H

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <model/nvme.h>
#include <stdlib.h>
#include <string.h>
#include <vmos/block.h>
#include "host_log.h"

extern const struct driver nvme_driver;

enum { NVME_BLOCKS = 8192, MAX_SEGMENTS = 1024, MAX_JOBS = 1200 };

/* An ordinary controller: one namespace of 512 bytes, 64 entries, 4 vectors, a write cache. */
extern const struct nvme_model_options nvme_plain;

struct job {
    struct block_request request; /* first: done gets it back */
    struct memory_ref *segments;
    uint8_t *memory, *bytes;
    size_t size;
    unsigned done;
};

struct nvme_scene {
    struct nvme_model *model;
    struct device *device;
    struct block_device *block;
};

extern unsigned job_done_count; /* since nvme_open */

/* A home of its own, a controller, its driver started (if it starts). */
enum status nvme_open(struct nvme_scene *scene, const struct nvme_model_options *options,
                      const struct home_options *home);
/* Stops, looks for what is left, destroys. */
void nvme_close(struct nvme_scene *scene);
/* The same when the controller may have kept what it had. */
void nvme_close_stuck(struct nvme_scene *scene);

struct block_device *nvme_disk(const struct nvme_scene *scene, unsigned index);

/* Filled at random, in one run that begins at `skew` in a page. */
struct job *job_create(const struct block_device *block, enum block_operation operation, uint64_t first, uint64_t count,
                       size_t skew);
/* Into segments of this many bytes. */
void job_cut(struct job *job, size_t length);
void job_destroy(struct job *job);
void jobs_submit(const struct block_device *block, struct job *jobs[], unsigned count);
/* Until this many are done since nvme_open; fails when they are not in ten simulated minutes. */
void jobs_wait(struct nvme_scene *scene, unsigned count);
/* One alone; its status. */
enum status job_one(struct nvme_scene *scene, struct job *job);
enum status job_one_of(struct nvme_scene *scene, enum block_operation operation, uint64_t first, uint64_t count);

#endif
