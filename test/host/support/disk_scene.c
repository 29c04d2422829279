/* disk_scene.c: see disk_scene.h. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>
#include <driver/virtio/virtio.h>
#include "disk_scene.h"
#include "host_log.h"

#define ALL_FEATURES                                                                                                   \
    (VIRTIO_FEATURE(BLK_SIZE_MAX) | VIRTIO_FEATURE(BLK_SEG_MAX) | VIRTIO_FEATURE(BLK_BLK_SIZE) |                       \
     VIRTIO_FEATURE(BLK_FLUSH) | VIRTIO_FEATURE(BLK_TOPOLOGY) | VIRTIO_FEATURE(BLK_DISCARD) |                          \
     VIRTIO_FEATURE(BLK_WRITE_ZEROES))

const struct virtio_blk_options disk_plain = {
    .sectors = DISK_SECTORS,
    .features = ALL_FEATURES,
    .block_size = 512,
    .seg_max = 126,
    .size_max = 1 << 20,
    .max_discard_sectors = 100,
    .max_zeroes_sectors = 300,
    .serial = "a serial  number",
};

static bool in_submit;
unsigned job_done_count;

static void job_done(struct block_request *request)
{
    struct job *job = (struct job *)request;

    assert_false(in_submit);
    assert_int_equal(job->done++, 0);
    job_done_count++;
    if (job->then != NULL)
        job->then(job);
}

struct job *job_create(const struct block_info *info, enum block_operation operation, uint64_t first, uint64_t count)
{
    struct job *job = calloc(1, sizeof *job);
    size_t offset = 4 * (home_random() % 2048);

    job->size = operation == BLOCK_READ || operation == BLOCK_WRITE ? (size_t)(count * info->block_size) : 0;
    job->memory = malloc(offset + job->size + 1);
    for (size_t i = 0; i < job->size; i++)
        job->memory[offset + i] = (uint8_t)home_random();
    job->segments[0] = (struct memory_ref){.offset = (uintptr_t)job->memory + offset, .length = job->size};
    job->request = (struct block_request){
        .operation = operation,
        .first_block = first,
        .block_count = count,
        .segments = job->segments,
        .segment_count = job->size != 0,
        .done = job_done,
        .status = STATUS_COUNT,
    };
    return job;
}

uint8_t *job_bytes(const struct job *job)
{
    return (uint8_t *)(uintptr_t)job->segments[0].offset;
}

void job_destroy(struct job *job)
{
    free(job->memory);
    free(job);
}

void job_cut(struct job *job)
{
    unsigned style = (unsigned)(home_random() % 4), count = 0;
    size_t at = 0;
    uint64_t base = job->segments[0].offset;

    while (at < job->size) {
        static const uint32_t steps[] = {1, 64, 4000, 100000};
        size_t length = 4 * (1 + home_random() % steps[style]);
        if (length > job->size - at || count == MAX_SEGMENTS - 1)
            length = job->size - at;
        job->segments[count++] = (struct memory_ref){.offset = base + at, .length = length};
        at += length;
    }
    job->request.segment_count = count;
}

uint8_t disk_pattern[256 * SECTOR];

void disk_open(struct disk_scene *scene, const struct virtio_model_options *options,
               const struct virtio_blk_options *blk, enum virtio_model_evil evil)
{
    in_submit = scene->revoked = false;
    job_done_count = 0;
    scene->disk = virtio_blk_create(options, blk, evil);
    scene->device = virtio_model_device(scene->disk->core);
    for (unsigned i = 0; i < sizeof disk_pattern; i++)
        disk_pattern[i] = (uint8_t)(i * 7 + i / SECTOR);
    for (uint64_t at = 0, size = blk->sectors * SECTOR; at < size; at += sizeof disk_pattern)
        memcpy(scene->disk->sectors + at, disk_pattern,
               size - at < sizeof disk_pattern ? size - at : sizeof disk_pattern);
}

void disk_start(struct disk_scene *scene)
{
    if (home_start(scene->device, &virtio_blk_driver) != STATUS_OK)
        fail_msg("the driver did not start: %s", host_log_text());
    scene->block = home_block(scene->device);
    assert_non_null(scene->block);
}

void disk_close(struct disk_scene *scene)
{
    class_end(scene->disk->core, scene->revoked);
    virtio_blk_destroy(scene->disk);
}

unsigned disk_submit(struct disk_scene *scene, struct job *jobs[], unsigned count)
{
    struct block_request *requests[512];

    assert_true(count <= 512);
    for (unsigned i = 0; i < count; i++)
        requests[i] = &jobs[i]->request;
    in_submit = true;
    unsigned taken = scene->block->ops->submit(scene->block->driver, requests, count);
    in_submit = false;
    return taken;
}

static bool as_many_done(void *context)
{
    return job_done_count >= *(unsigned *)context;
}

void disk_run_until_done(struct disk_scene *scene, unsigned count)
{
    home_run(scene->device, 60 * SECOND, as_many_done, &count);
    if (job_done_count != count)
        fail_msg("%u of %u requests are done: %s", job_done_count, count, host_log_text());
}

enum status disk_one(struct disk_scene *scene, struct job *job)
{
    unsigned before = job_done_count;

    assert_int_equal(disk_submit(scene, &job, 1), 1);
    disk_run_until_done(scene, before + 1);
    return job->request.status;
}

enum status disk_one_of(struct disk_scene *scene, enum block_operation operation, uint64_t first, uint64_t count)
{
    struct job *job = job_create(&scene->block->info, operation, first, count);
    enum status status = disk_one(scene, job);

    job_destroy(job);
    return status;
}

void disk_expect_transfers(struct disk_scene *scene)
{
    const struct block_info *info = &scene->block->info;
    struct job *write = job_create(info, BLOCK_WRITE, 3, 5), *read = job_create(info, BLOCK_READ, 3, 5);

    assert_int_equal(disk_one(scene, write), STATUS_OK);
    assert_memory_equal(job_bytes(write), scene->disk->sectors + 3 * info->block_size, write->size);
    assert_int_equal(disk_one(scene, read), STATUS_OK);
    assert_memory_equal(job_bytes(write), job_bytes(read), write->size);
    job_destroy(write);
    job_destroy(read);
}
