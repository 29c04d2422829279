/*
 * test_virtio_blk_hostile.c: disks that lie (E10, E20 to E23), one row for each case: what is wrong, where it applies,
 * what has to come of it, and the sentence that the log must have.
 */
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

struct row {
    const char *id;
    enum virtio_model_evil evil;
    unsigned where;
    void (*change)(struct virtio_blk_options *blk); /* NULL: an ordinary disk */
    void (*expect)(struct disk_scene *scene);
    const char *sentence; /* NULL: the log has no warning and no error */
};

static void works(struct disk_scene *scene)
{
    disk_start(scene);
    disk_expect_transfers(scene);
    assert_string_equal(scene->block->info.serial, "a serial  number");
    if (scene->block->info.can_discard)
        assert_int_equal(disk_one_of(scene, BLOCK_DISCARD, 0, 64), STATUS_OK);
    if (scene->block->info.can_write_zeroes)
        assert_int_equal(disk_one_of(scene, BLOCK_WRITE_ZEROES, 64, 64), STATUS_OK);
}

static void works_in_512(struct disk_scene *scene)
{
    works(scene);
    assert_int_equal(scene->block->info.block_size, 512);
    assert_int_equal(scene->block->info.physical_block_size, 512);
    assert_int_equal(scene->block->info.block_count, disk_plain.sectors);
}

static void is_empty(struct disk_scene *scene)
{
    disk_start(scene);
    assert_int_equal(scene->block->info.block_count, 0);
    assert_int_equal(disk_one_of(scene, BLOCK_READ, 0, 1), STATUS_OUT_OF_RANGE);
    assert_int_equal(disk_one_of(scene, BLOCK_READ, UINT64_MAX, 1), STATUS_OUT_OF_RANGE);
    assert_int_equal(scene->disk->reads + scene->disk->beyond, 0);
}

static void is_huge(struct disk_scene *scene)
{
    works(scene);
    assert_true(scene->block->info.block_count == UINT64_MAX / SECTOR);
    assert_int_equal(disk_one_of(scene, BLOCK_READ, UINT64_MAX / SECTOR, 1), STATUS_OUT_OF_RANGE);
    assert_int_equal(disk_one_of(scene, BLOCK_READ, UINT64_MAX / SECTOR - 1, 1), STATUS_IO_ERROR); /* says the device */
    assert_int_equal(disk_one_of(scene, BLOCK_READ, disk_plain.sectors - 1, 2), STATUS_IO_ERROR);
    assert_int_equal(scene->disk->beyond, 2);
}

/* Shrinks while requests for what was cut off are on their way, then grows beyond what it was. */
static void resizes(struct disk_scene *scene)
{
    struct job *jobs[80];

    disk_start(scene);
    for (unsigned i = 0; i < 80; i++)
        jobs[i] = job_create(&scene->block->info, BLOCK_READ, i * 50, 8);
    assert_int_equal(disk_submit(scene, jobs, 80), 80);
    scene->disk->options.sectors = 1000;
    virtio_blk_resize(scene->disk, 1000);
    disk_run_until_done(scene, 80);
    for (unsigned i = 0; i < 80; i++) {
        assert_int_equal(jobs[i]->request.status, i * 50 + 8 <= 1000 ? STATUS_OK : STATUS_IO_ERROR);
        job_destroy(jobs[i]);
    }
    home_run(scene->device, SECOND, NULL, NULL);
    assert_int_equal(scene->block->info.block_count, 1000);
    assert_true(host_log_has("now has 1000 blocks and had 4096"));
    assert_int_equal(disk_one_of(scene, BLOCK_READ, 1000, 1), STATUS_OUT_OF_RANGE);
    scene->disk->options.sectors = 2000;
    virtio_blk_resize(scene->disk, 2000);
    home_run(scene->device, 2 * SECOND, NULL, NULL);
    assert_int_equal(disk_one_of(scene, BLOCK_READ, 1999, 1), STATUS_OK);
    assert_true(host_log_has("now has 2000 blocks and had 1000"));
    for (unsigned i = 0; i < 1000; i++) { /* all the time: followed, but not told each time */
        virtio_blk_resize(scene->disk, i % 2 ? 2000 : 1000);
        home_run(scene->device, MILLISECOND, NULL, NULL);
    }
    assert_int_equal(scene->block->info.block_count, 2000);
    assert_true(host_log_count(LOG_INFO) < 10);
    scene->disk->options.sectors = 4096;
}

static void does_not_start(struct disk_scene *scene)
{
    assert_int_not_equal(home_start(scene->device, &virtio_blk_driver), STATUS_OK);
    assert_null(home_block(scene->device));
    assert_int_equal(virtio_model_status(scene->disk->core), 0);
}

static void silent_at_start(struct disk_scene *scene)
{
    uint64_t before = clock_now();

    assert_int_equal(home_start(scene->device, &virtio_blk_driver), STATUS_TIMED_OUT);
    assert_in_range(clock_now() - before, 5 * SECOND, 6 * SECOND);
}

static void fails_each(struct disk_scene *scene, enum status status)
{
    enum virtio_model_evil evil = virtio_model_evil(scene->disk->core);
    uint32_t size = 3 * SECTOR;

    disk_start(scene);
    assert_string_equal(scene->block->info.serial,
                        evil == (enum virtio_model_evil)BLK_IO_ERRORS ? "a serial  number" : "");
    struct job *job = job_create(&scene->block->info, BLOCK_READ, 1, 3);
    assert_int_equal(disk_one(scene, job), status);
    assert_int_equal(job->size, size);
    job_destroy(job);
    if (evil != (enum virtio_model_evil)E23_LENGTH_SHORT)
        assert_int_equal(disk_one_of(scene, BLOCK_WRITE, 1, 3),
                         evil == (enum virtio_model_evil)E23_LENGTH_1 ? STATUS_OK : status);
    virtio_model_misbehave(scene->disk->core, VIRTIO_EVIL_NONE);
    disk_expect_transfers(scene); /* the next one is judged by itself: nothing old is left in the status byte */
    assert_null(home_failure(scene->device));
}

static void io_error(struct disk_scene *scene)
{
    fails_each(scene, STATUS_IO_ERROR);
}

static void unsupported(struct disk_scene *scene)
{
    fails_each(scene, STATUS_UNSUPPORTED);
}

/* Old content of the status byte, from a request that went well, is not taken for an answer. */
static void status_is_fresh(struct disk_scene *scene)
{
    virtio_model_misbehave(scene->disk->core, VIRTIO_EVIL_NONE);
    works(scene);
    virtio_model_misbehave(scene->disk->core, (enum virtio_model_evil)E22_STATUS_UNTOUCHED);
    for (unsigned i = 0; i < 200; i++)
        assert_int_equal(disk_one_of(scene, i % 2 ? BLOCK_READ : BLOCK_WRITE, i, 1), STATUS_IO_ERROR);
    assert_int_equal(host_log_count(LOG_WARN), 1); /* named once, then only refused */
}

static void one_is_late(struct disk_scene *scene)
{
    struct job *jobs[8];

    virtio_model_misbehave(scene->disk->core, VIRTIO_EVIL_NONE);
    disk_start(scene);
    virtio_model_misbehave(scene->disk->core, E10_ONE_LATE);
    for (unsigned i = 0; i < 8; i++)
        jobs[i] = job_create(&scene->block->info, BLOCK_READ, i, 1);
    assert_int_equal(disk_submit(scene, jobs, 8), 8);
    home_run(scene->device, SECOND, NULL, NULL);
    assert_int_equal(job_done_count, 7);
    assert_int_equal(home_account(scene->device).loans, 1); /* the buffer is the device's as long as it takes */
    disk_run_until_done(scene, 8);
    for (unsigned i = 0; i < 8; i++) {
        assert_int_equal(jobs[i]->request.status, STATUS_OK);
        job_destroy(jobs[i]);
    }
}

static void one_never_comes(struct disk_scene *scene)
{
    struct job *jobs[8];

    virtio_model_misbehave(scene->disk->core, VIRTIO_EVIL_NONE);
    disk_start(scene);
    virtio_model_misbehave(scene->disk->core, E10_ONE_NEVER);
    for (unsigned i = 0; i < 8; i++)
        jobs[i] = job_create(&scene->block->info, BLOCK_READ, i, 1);
    assert_int_equal(disk_submit(scene, jobs, 8), 8);
    home_run(scene->device, 10 * SECOND, NULL, NULL);
    assert_int_equal(job_done_count, 7);
    home_stop(scene->device);
    assert_int_equal(job_done_count, 8);
    assert_int_equal(jobs[0]->request.status, STATUS_REVOKED);
    for (unsigned i = 0; i < 8; i++)
        job_destroy(jobs[i]);
}

static void serial_is_clean(struct disk_scene *scene)
{
    disk_start(scene);
    assert_string_equal(scene->block->info.serial, "?[2J?AB?  ??%n%s%s%s");
    disk_expect_transfers(scene);
}

static void serial_is_empty(struct disk_scene *scene)
{
    disk_start(scene);
    assert_string_equal(scene->block->info.serial, "");
    disk_expect_transfers(scene);
}

#define CHANGE(name, statement)                                                                                        \
    static void name(struct virtio_blk_options *blk)                                                                   \
    {                                                                                                                  \
        statement;                                                                                                     \
    }

CHANGE(capacity_max, blk->capacity = UINT64_MAX)
CHANGE(capacity_0, blk->sectors = 0)
CHANGE(block_size_0, blk->block_size = 0)
CHANGE(block_size_1, blk->block_size = 1)
CHANGE(block_size_256, blk->block_size = 256)
CHANGE(block_size_513, blk->block_size = 513)
CHANGE(block_size_128k, blk->block_size = 1 << 17)
CHANGE(block_size_2g, blk->block_size = UINT32_C(1) << 31)
CHANGE(exponent_255, blk->physical_exponent = 255)
CHANGE(optimal_max, blk->optimal_blocks = UINT32_MAX)
CHANGE(seg_max_0, blk->seg_max = 0)
CHANGE(seg_max_1, blk->seg_max = 1)
CHANGE(seg_max_all, blk->seg_max = UINT32_MAX)
CHANGE(size_max_0, blk->size_max = 0; blk->features &= ~VIRTIO_FEATURE(BLK_SIZE_MAX))
CHANGE(size_max_1, blk->size_max = 1)
CHANGE(size_max_31, blk->size_max = 31)
CHANGE(size_max_33, blk->size_max = 33)
CHANGE(limits_0, blk->max_discard_sectors = blk->max_zeroes_sectors = 0)
CHANGE(limits_7_of_8, blk->max_discard_sectors = blk->max_zeroes_sectors = 7; blk->block_size = 4096)
CHANGE(limits_all, blk->max_discard_sectors = blk->max_zeroes_sectors = UINT32_MAX)
CHANGE(serial_hostile, memcpy(blk->serial,
                              "\x1b[2J\xff"
                              "AB\n  \x80\x7f%n%s%s%s",
                              BLK_ID_SIZE))
CHANGE(serial_blank, memset(blk->serial, ' ', BLK_ID_SIZE))

static void cannot_clear(struct disk_scene *scene)
{
    works(scene);
    assert_false(scene->block->info.can_discard || scene->block->info.can_write_zeroes);
    assert_int_equal(disk_one_of(scene, BLOCK_DISCARD, 0, 1), STATUS_UNSUPPORTED);
    assert_int_equal(disk_one_of(scene, BLOCK_WRITE_ZEROES, 0, 1), STATUS_UNSUPPORTED);
}

static void no_optimal(struct disk_scene *scene)
{
    works(scene);
    assert_int_equal(scene->block->info.optimal_transfer, 0);
}

#define BLOCKS_OF(text) "claims blocks of " text " bytes, which cannot be; uses 512"

static const struct row rows[] = {
    {"E20", 0, ALL, capacity_0, is_empty, NULL},
    {"E20", 0, ALL, capacity_max, is_huge, "claims 0xffffffffffffffff sectors, which is more than addresses can say"},
    {"E20", 0, ALL, NULL, resizes, NULL},
    {"E21", 0, ALL, block_size_0, works_in_512, BLOCKS_OF("0")},
    {"E21", 0, ALL, block_size_1, works_in_512, BLOCKS_OF("1")},
    {"E21", 0, ALL, block_size_256, works_in_512, BLOCKS_OF("256")},
    {"E21", 0, ALL, block_size_513, works_in_512, BLOCKS_OF("513")},
    {"E21", 0, ALL, block_size_128k, works_in_512, BLOCKS_OF("131072")},
    {"E21", 0, ALL, block_size_2g, works_in_512, BLOCKS_OF("2147483648")},
    {"E21", 0, ALL, exponent_255, works_in_512, NULL},
    {"E21", 0, ALL, optimal_max, no_optimal, NULL},
    {"E21", 0, ALL, seg_max_0, works, "claims to take no segments at all; one is used"},
    {"E21", 0, ALL, seg_max_1, works, NULL},
    {"E21", 0, ALL, seg_max_all, works, NULL},
    {"E21", 0, ALL, size_max_0, works, NULL},
    {"E21", 0, ALL, size_max_1, does_not_start, "takes at most 16 parts of 1 bytes, which do not hold a block of 512"},
    {"E21", 0, ALL, size_max_31, does_not_start, "takes at most 16 parts of 31 bytes"},
    {"E21", 0, ALL, size_max_33, works, NULL},
    {"E21", 0, ALL, limits_0, cannot_clear, NULL},
    {"E21", 0, ALL, limits_7_of_8, cannot_clear, NULL},
    {"E21", 0, ALL, limits_all, works, NULL},
    {"E21", 0, ALL, serial_hostile, serial_is_clean, NULL},
    {"E21", 0, ALL, serial_blank, serial_is_empty, NULL},
    {"E22", E22_STATUS_UNTOUCHED, ALL, NULL, io_error, "answered with status 255, which means nothing"},
    {"E22", E22_STATUS_UNTOUCHED, ALL, NULL, status_is_fresh, "answered with status 255, which means nothing"},
    {"E22", E22_STATUS_3, ALL, NULL, io_error, "answered with status 3, which means nothing; the request fails"},
    {"E22", E22_STATUS_254, ALL, NULL, io_error, "answered with status 254, which means nothing; the request fails"},
    {"E22", BLK_IO_ERRORS, ALL, NULL, io_error, NULL},
    {"E22", BLK_UNSUPPORTED, ALL, NULL, unsupported, NULL},
    {"E23", E23_LENGTH_SHORT, MODERN, NULL, io_error, "says ok but wrote 20 of 21 bytes; the request fails"},
    {"E23", E23_LENGTH_1, MODERN, NULL, io_error, "says ok but wrote 1 of 21 bytes; the request fails"},
    {"E23", E23_LENGTH_SHORT, LEGACY, NULL, works, NULL}, /* usual there: the status byte decides */
    {"E23", E23_LENGTH_1, LEGACY, NULL, works, NULL},
    {"E10", E10_ONE_NEVER, ALL, NULL, silent_at_start, "did not answer its first request within 5 s"},
    {"E10", E10_ONE_NEVER, ALL, NULL, one_never_comes, NULL},
    {"E10", E10_ONE_LATE, ALL, NULL, one_is_late, NULL},
    {"D12", D12_GENERATION_STORM, ALL, NULL, does_not_start, "the configuration changed during each of 8 reads"},
};

static void test_rows(void **state)
{
    unsigned played = 0;

    (void)state;
    for (unsigned i = 0; i < sizeof rows / sizeof rows[0]; i++)
        for (unsigned number = 0; number < 40; number++) {
            struct virtio_model_options options = class_options(number);
            struct virtio_blk_options blk = disk_plain;
            struct disk_scene scene;
            if ((rows[i].where & 1u << options.transport) == 0)
                continue;
            class_begin(number, true); /* so that a single part takes a block */
            if (rows[i].change != NULL)
                rows[i].change(&blk);
            disk_open(&scene, &options, &blk, rows[i].evil);
            rows[i].expect(&scene);
            class_expect_log(rows[i].id, rows[i].sentence);
            disk_close(&scene);
            played++;
        }
    print_message("%zu rows, played %u times\n", sizeof rows / sizeof rows[0], played);
}

/* Queues too small for any request. */
static void test_small_queues(void **state)
{
    (void)state;
    for (uint16_t size = 1; size <= 16; size *= 2)
        for (unsigned number = 0; number < 40; number++) {
            struct virtio_model_options options = class_options(number);
            struct disk_scene scene;
            options.queue_size = size;
            class_begin(number, true); /* so that a single part takes a block */
            disk_open(&scene, &options, &disk_plain, VIRTIO_EVIL_NONE);
            if (size < 4) {
                does_not_start(&scene);
                class_expect_log("small", "entries; a request needs 3");
            } else {
                works(&scene);
            }
            disk_close(&scene);
        }
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rows),
        cmocka_unit_test(test_small_queues),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
