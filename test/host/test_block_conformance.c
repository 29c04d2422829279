/*
 * test_block_conformance.c: what include/vmos/block.h says, asked of every driver of disks in the same words. A new
 * driver adds a row to `subjects`: how its model is made, and how its bytes are seen from outside.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <model/nvme.h>
#include <stdlib.h>
#include <string.h>
#include "host_log.h"
#include "scsi_scene.h"

struct wish { /* of every subject */
    uint32_t block_size;
    bool read_only, write_cache, thin; /* thin: discard and write zeroes */
};

enum { BLOCKS = 2048 };

struct subject {
    const char *name;
    bool fua; /* the device has it, if there is a cache */
    void (*open)(const struct wish *wish, bool reorder);
    void (*close)(void);
    uint8_t *(*bytes)(void);
    unsigned (*flushes)(void);
};

static struct disk_scene scene; /* device, and block once started */
static const struct driver *driver;

/* ---- virtio-blk ---------------------------------------------------------------------------------------- */

static struct virtio_model_options transport(bool reorder)
{
    return (struct virtio_model_options){
        .transport = VIRTIO_MODEL_PCI_MODERN, .vectors = 3, .delay_ns = reorder ? 30000 : 0, .reorder = reorder};
}

static void blk_open(const struct wish *wish, bool reorder)
{
    struct virtio_model_options options = transport(reorder);
    struct virtio_blk_options blk = disk_plain;

    blk.sectors = (uint64_t)BLOCKS * wish->block_size / SECTOR;
    blk.block_size = wish->block_size;
    blk.features &= ~(uint64_t)(1 << BLK_FLUSH | 1 << BLK_DISCARD | 1 << BLK_WRITE_ZEROES);
    blk.features |= wish->read_only ? 1 << BLK_RO : 0;
    blk.features |= wish->write_cache ? 1 << BLK_FLUSH : 0;
    blk.features |= wish->thin ? 1 << BLK_DISCARD | 1 << BLK_WRITE_ZEROES : 0;
    disk_open(&scene, &options, &blk, VIRTIO_EVIL_NONE);
    driver = &virtio_blk_driver;
}

static void blk_close(void)
{
    disk_close(&scene);
}

static uint8_t *blk_bytes(void)
{
    return scene.disk->sectors;
}

static unsigned blk_flushes(void)
{
    return scene.disk->flushes;
}

/* ---- virtio-scsi --------------------------------------------------------------------------------------- */

static struct scsi_scene scsi;

static void scsi_subject_open(const struct wish *wish, bool reorder)
{
    struct virtio_model_options options = transport(reorder);
    struct virtio_scsi_options host = scsi_plain;

    host.units[0].block_size = wish->block_size;
    host.units[0].blocks = BLOCKS;
    host.units[0].read_only = wish->read_only;
    host.units[0].write_cache = wish->write_cache;
    host.units[0].provisioned = wish->thin;
    host.units[0].max_zeroes = wish->thin ? 300 : 0;
    scsi_open(&scsi, &options, &host, VIRTIO_EVIL_NONE);
    scene = scsi.scene;
    driver = &virtio_scsi_driver;
}

static void scsi_subject_close(void)
{
    scsi.scene.revoked = scene.revoked;
    scsi_close(&scsi);
}

static uint8_t *scsi_bytes(void)
{
    return scsi.host->units[0].bytes;
}

static unsigned scsi_flushes(void)
{
    return scsi.host->units[0].flushes;
}

/* ---- NVMe ------------------------------------------------------------------------------------------------ */

extern const struct driver nvme_driver;

static struct nvme_model *nvme;

static void nvme_open(const struct wish *wish, bool reorder)
{
    const struct nvme_model_options options = {
        .entries = 63,
        .timeout = 20,
        .transfer = 4,
        .vectors = reorder ? 4 : 1,
        .optional = wish->thin ? 1 << 2 | 1 << 3 : 0, /* dataset management, write zeroes */
        .write_cache = wish->write_cache,
        .doorbell_buffer = wish->thin,
        .range_limit = 300,
        .delay_ns = reorder ? 30000 : 0,
        .namespaces =
            {{.id = 1, .blocks = BLOCKS, .exponent = wish->block_size == 512 ? 9 : 12, .attributes = wish->read_only}},
    };

    job_done_count = 0;
    nvme = nvme_model_create(&options);
    scene = (struct disk_scene){.device = nvme->device};
    for (size_t at = 0; at < (size_t)BLOCKS * wish->block_size; at++)
        nvme->disks[0].bytes[at] = (uint8_t)(at * 7 + at / 512);
    driver = &nvme_driver;
}

static void nvme_close(void)
{
    home_stop(nvme->device);
    if (nvme->complaints != 0)
        fail_msg("the controller complains: %s\n%s", nvme->complaint, host_log_text());
    if (home_faults() != 0)
        fail_msg("the driver is at fault: %s\n%s", home_fault_text(), host_log_text());
    nvme_model_destroy(nvme);
}

static uint8_t *nvme_bytes(void)
{
    return nvme->disks[0].bytes;
}

static unsigned nvme_flushes(void)
{
    return nvme->flushes;
}

static const struct subject subjects[] = {
    {"virtio-blk", false, blk_open, blk_close, blk_bytes, blk_flushes},
    {"virtio-scsi", true, scsi_subject_open, scsi_subject_close, scsi_bytes, scsi_flushes},
    {"nvme", true, nvme_open, nvme_close, nvme_bytes, nvme_flushes},
};

/* ---- What is asked --------------------------------------------------------------------------------------- */

static void start(void)
{
    assert_int_equal(home_start(scene.device, driver), STATUS_OK);
    scene.block = home_block(scene.device);
    assert_non_null(scene.block);
}

static enum status one(enum block_operation operation, uint64_t first, uint64_t count)
{
    return disk_one_of(&scene, operation, first, count);
}

static void check_info(const struct subject *subject, const struct wish *wish)
{
    const struct block_info *info = &scene.block->info;

    assert_int_equal(info->block_size, wish->block_size);
    assert_int_equal(info->block_count, BLOCKS);
    assert_true(info->physical_block_size >= info->block_size && info->queue_depth != 0);
    assert_int_equal(info->read_only, wish->read_only);
    assert_int_equal(info->write_cache, wish->write_cache);
    assert_int_equal(info->can_discard, wish->thin && !wish->read_only);
    assert_int_equal(info->can_write_zeroes, wish->thin && !wish->read_only);
    if (wish->write_cache)
        assert_int_equal(info->can_force_unit_access, subject->fua);
    assert_non_null(memchr(info->serial, '\0', sizeof info->serial));
    assert_non_null(memchr(info->model, '\0', sizeof info->model));
    assert_true(scene.block->name[0] != '\0');
}

/* Nothing of this reaches the device. */
static void check_refusals(const struct wish *wish)
{
    static const uint64_t outside[][2] = {{BLOCKS, 1},     {BLOCKS - 1, 2}, {0, BLOCKS + 1},
                                          {UINT64_MAX, 1}, {1, UINT64_MAX}, {UINT64_MAX - 1, 3}};
    struct job *job;

    for (size_t i = 0; i < sizeof outside / sizeof outside[0]; i++) {
        job = job_create(&scene.block->info, BLOCK_READ, 0, 1);
        job->request.first_block = outside[i][0];
        job->request.block_count = outside[i][1];
        assert_int_equal(disk_one(&scene, job), STATUS_OUT_OF_RANGE);
        job_destroy(job);
    }
    job = job_create(&scene.block->info, BLOCK_READ, 0, 1);
    job->request.offset = UINT64_MAX; /* a partition's beginning counts */
    assert_int_equal(disk_one(&scene, job), STATUS_OUT_OF_RANGE);
    job_destroy(job);
    assert_int_equal(one(BLOCK_READ, 0, 0), STATUS_INVALID);
    job = job_create(&scene.block->info, BLOCK_READ, 0, 1);
    job->segments[0].length -= 4;
    assert_int_equal(disk_one(&scene, job), STATUS_INVALID);
    job_destroy(job);
    job = job_create(&scene.block->info, BLOCK_READ, 0, 1);
    job->request.operation = (enum block_operation)99;
    assert_int_equal(disk_one(&scene, job), STATUS_INVALID);
    job_destroy(job);
    if (wish->read_only) {
        assert_int_equal(one(BLOCK_WRITE, 0, 1), STATUS_READ_ONLY);
        assert_int_equal(one(BLOCK_DISCARD, 0, 1), STATUS_READ_ONLY);
        assert_int_equal(one(BLOCK_WRITE_ZEROES, 0, 1), STATUS_READ_ONLY);
    } else if (!wish->thin) {
        assert_int_equal(one(BLOCK_DISCARD, 0, 1), STATUS_UNSUPPORTED);
        assert_int_equal(one(BLOCK_WRITE_ZEROES, 0, 1), STATUS_UNSUPPORTED);
    }
}

/* Writes, reads, offsets, zeroes, discards, in cuts at any multiple of 4 bytes, against a copy of the bytes. */
static void check_contents(const struct subject *subject, const struct wish *wish)
{
    const struct block_info *info = &scene.block->info;
    uint8_t *copy = malloc((size_t)BLOCKS * info->block_size);

    memcpy(copy, subject->bytes(), (size_t)BLOCKS * info->block_size);
    for (unsigned i = 0; i < 150; i++) {
        static const enum block_operation operations[] = {BLOCK_READ, BLOCK_WRITE, BLOCK_WRITE, BLOCK_WRITE_ZEROES};
        enum block_operation operation = operations[home_random() % (wish->read_only ? 1 : wish->thin ? 4 : 3)];
        uint64_t first = home_random() % (BLOCKS - 40), count = 1 + home_random() % 40;
        struct job *job = job_create(info, operation, first, count);
        job->request.offset = home_random() % (first + 1);
        job->request.first_block -= job->request.offset;
        job->request.force_unit_access = info->can_force_unit_access && home_random() % 2;
        uint8_t *at = copy + first * info->block_size;
        assert_int_equal(disk_one(&scene, job), STATUS_OK);
        if (operation == BLOCK_WRITE)
            memcpy(at, job_bytes(job), job->size);
        else if (operation == BLOCK_READ)
            assert_memory_equal(job_bytes(job), at, job->size);
        else
            memset(at, 0, count * info->block_size);
        job_destroy(job);
    }
    assert_memory_equal(copy, subject->bytes(), (size_t)BLOCKS * info->block_size);
    free(copy);
    if (info->can_discard)
        assert_int_equal(one(BLOCK_DISCARD, 5, 900), STATUS_OK);
}

/* A batch of many, cut, each done once, whatever order the device has; more than it holds at once. */
static void check_batch(const struct subject *subject)
{
    struct job *jobs[400];

    unsigned before = job_done_count;
    for (unsigned i = 0; i < 400; i++) {
        jobs[i] = job_create(&scene.block->info, BLOCK_READ, i * 5, 1 + i % 5);
        if (scene.block->info.block_size == 512)
            job_cut(jobs[i]);
    }
    assert_int_equal(disk_submit(&scene, jobs, 400), 400);
    disk_run_until_done(&scene, before + 400);
    for (unsigned i = 0; i < 400; i++) {
        assert_int_equal(jobs[i]->done, 1);
        if (jobs[i]->request.status == STATUS_OK)
            assert_memory_equal(job_bytes(jobs[i]), subject->bytes() + i * 5 * scene.block->info.block_size,
                                jobs[i]->size);
        else
            assert_int_equal(jobs[i]->request.status, STATUS_UNSUPPORTED); /* one block in too many pieces */
        job_destroy(jobs[i]);
    }
}

static void check_durability(const struct subject *subject, const struct wish *wish)
{
    unsigned before = subject->flushes();
    struct job *job;

    assert_int_equal(one(BLOCK_FLUSH, 0, 0), STATUS_OK);
    assert_int_equal(subject->flushes() - before, wish->write_cache);
    job = job_create(&scene.block->info, BLOCK_WRITE, 0, 1);
    job->request.force_unit_access = true;
    assert_int_equal(disk_one(&scene, job), wish->read_only                      ? STATUS_READ_ONLY
                                            : wish->write_cache && !subject->fua ? STATUS_UNSUPPORTED
                                                                                 : STATUS_OK);
    job_destroy(job);
}

/* Stopped with everything under way: each request ends once, and nothing is taken any more. */
static void check_stop(void)
{
    struct job *jobs[100];

    unsigned before = job_done_count;
    for (unsigned i = 0; i < 100; i++)
        jobs[i] = job_create(&scene.block->info, BLOCK_READ, i, 1);
    assert_int_equal(disk_submit(&scene, jobs, 100), 100);
    home_revoke(scene.device);
    scene.revoked = true;
    home_stop(scene.device);
    assert_int_equal(job_done_count - before, 100);
    for (unsigned i = 0; i < 100; i++) {
        assert_int_equal(jobs[i]->done, 1);
        assert_true(jobs[i]->request.status == STATUS_REVOKED || jobs[i]->request.status == STATUS_OK);
        job_destroy(jobs[i]);
    }
}

static void test_every_driver(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof subjects / sizeof subjects[0]; i++)
        for (unsigned j = 0; j < 32; j++) {
            const struct subject *subject = &subjects[i];
            const struct wish wish = {.block_size = j & 1 ? 4096 : 512,
                                      .read_only = (j & 2) != 0,
                                      .write_cache = (j & 4) != 0,
                                      .thin = (j & 8) != 0};
            class_begin(j, (j & 2) != 0);
            subject->open(&wish, (j & 16) != 0);
            start();
            check_info(subject, &wish);
            check_refusals(&wish);
            check_durability(subject, &wish);
            check_contents(subject, &wish);
            check_batch(subject);
            class_expect_log(subject->name, NULL);
            check_stop();
            subject->close();
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_every_driver)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
