/*
 * test_virtio_scsi_hostile.c: SCSI hosts and units that lie, one row for each case: what is wrong, what has to come of
 * it, and the sentence that the log must have. Each row on a legacy and a modern transport.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>
#include "host_log.h"
#include "scsi_scene.h"

struct row {
    const char *id;
    unsigned evil;                                    /* once the driver has started, if `late` */
    void (*change)(struct virtio_scsi_options *scsi); /* NULL: an ordinary host */
    void (*expect)(struct scsi_scene *scene);
    const char *sentence; /* NULL: the log has no warning and no error */
};

static void misbehave(struct scsi_scene *scene, unsigned evil)
{
    virtio_model_misbehave(scene->host->core, (enum virtio_model_evil)evil);
}

static unsigned evil_of(struct scsi_scene *scene)
{
    return (unsigned)virtio_model_evil(scene->host->core);
}

static void works(struct scsi_scene *scene)
{
    scsi_start(scene);
    assert_non_null(scene->scene.block);
    scsi_expect_transfers(scene);
}

static void both_work(struct scsi_scene *scene)
{
    works(scene);
    assert_non_null(scene->scene.block->next);
    assert_null(scene->scene.block->next->next);
    assert_int_equal(scene->host->inquiries > 0, true);
}

/* Only the second disk is left. */
static void first_is_refused(struct scsi_scene *scene)
{
    scsi_start(scene);
    assert_non_null(scene->scene.block);
    assert_null(scene->scene.block->next);
    assert_non_null(strstr(scene->scene.block->name, ".3.300"));
    assert_int_equal(disk_one_of(&scene->scene, BLOCK_READ, 0, 9), STATUS_OK);
}

static void does_not_start(struct scsi_scene *scene)
{
    uint64_t before = clock_now();

    assert_int_not_equal(home_start(scene->scene.device, &virtio_scsi_driver), STATUS_OK);
    assert_null(home_block(scene->scene.device));
    assert_true(clock_now() - before < 60 * SECOND);
}

static void has_none(struct scsi_scene *scene)
{
    scsi_start(scene);
    assert_null(scene->scene.block);
}

static void is_bounded(struct scsi_scene *scene)
{
    uint64_t before = clock_now();

    scsi_start(scene);
    assert_true(clock_now() - before < 60 * SECOND);
    assert_true(scene->host->commands < 256 * 40);
}

static void is_huge(struct scsi_scene *scene)
{
    works(scene);
    assert_true(scene->scene.block->info.block_count == UINT64_MAX / 512);
    assert_int_equal(disk_one_of(&scene->scene, BLOCK_READ, UINT64_MAX / 512, 1), STATUS_OUT_OF_RANGE);
    assert_int_equal(disk_one_of(&scene->scene, BLOCK_READ, UINT64_MAX / 512 - 1, 1),
                     STATUS_OUT_OF_RANGE); /* it says */
    assert_int_equal(scene->host->units[0].beyond, 1);
}

/* Every kind of request fails with this status while the host misbehaves, and the next one is judged by itself. */
static void each_fails(struct scsi_scene *scene, enum status status)
{
    unsigned evil = evil_of(scene);

    misbehave(scene, VIRTIO_EVIL_NONE);
    scsi_start(scene);
    misbehave(scene, evil);
    assert_int_equal(disk_one_of(&scene->scene, BLOCK_READ, 1, 3), status);
    assert_int_equal(disk_one_of(&scene->scene, BLOCK_WRITE, 1, 3), status);
    assert_int_equal(disk_one_of(&scene->scene, BLOCK_FLUSH, 0, 0), status);
    assert_int_equal(disk_one_of(&scene->scene, BLOCK_DISCARD, 1, 3), status);
    assert_int_equal(disk_one_of(&scene->scene, BLOCK_WRITE_ZEROES, 1, 3), status);
    misbehave(scene, VIRTIO_EVIL_NONE);
    scsi_expect_transfers(scene);
    assert_null(home_failure(scene->scene.device));
}

static void io_error(struct scsi_scene *scene)
{
    each_fails(scene, STATUS_IO_ERROR);
}

static void protected(struct scsi_scene *scene)
{
    each_fails(scene, STATUS_READ_ONLY);
}

static void tried_again(struct scsi_scene *scene)
{
    unsigned evil = evil_of(scene);

    misbehave(scene, VIRTIO_EVIL_NONE);
    scsi_start(scene);
    misbehave(scene, evil);
    scsi_expect_transfers(scene);
    assert_int_equal(scene->host->disturbed, 2);
}

static void given_up(struct scsi_scene *scene)
{
    uint64_t before = clock_now();

    io_error(scene);
    assert_true(clock_now() - before < 90 * SECOND);
    assert_true(scene->host->disturbed <= 5 * 101);
}

/* One command hangs and what stands behind it in the queue with it; it is aborted, and the others come back. */
static void is_aborted(struct scsi_scene *scene)
{
    struct job *jobs[8];

    misbehave(scene, VIRTIO_EVIL_NONE);
    scsi_start(scene);
    misbehave(scene, F06_ONE_HANGS);
    for (unsigned i = 0; i < 8; i++)
        jobs[i] = job_create(&scene->scene.block->info, BLOCK_READ, i, 1);
    uint64_t before = clock_now();
    assert_int_equal(disk_submit(&scene->scene, jobs, 8), 8);
    disk_run_until_done(&scene->scene, 8);
    assert_in_range(clock_now() - before, 30 * SECOND, 32 * SECOND);
    assert_int_equal(scene->host->aborts, 1);
    for (unsigned i = 0; i < 8; i++) {
        assert_int_equal(jobs[i]->request.status, i == 0 ? STATUS_TIMED_OUT : STATUS_OK);
        job_destroy(jobs[i]);
    }
    misbehave(scene, VIRTIO_EVIL_NONE);
    scsi_expect_transfers(scene);
    assert_null(home_failure(scene->scene.device));
}

static void is_reset(struct scsi_scene *scene)
{
    struct job *job;

    misbehave(scene, VIRTIO_EVIL_NONE);
    scsi_start(scene);
    misbehave(scene, F06_ABORT_HANGS);
    job = job_create(&scene->scene.block->info, BLOCK_READ, 0, 1);
    assert_int_equal(disk_submit(&scene->scene, &job, 1), 1);
    home_run(scene->scene.device, 60 * SECOND, NULL, NULL);
    assert_non_null(home_failure(scene->scene.device));
    assert_non_null(strstr(home_failure(scene->scene.device), "was not back 10 s after its deadline"));
    assert_int_equal(job->done, 0);
    home_stop(scene->scene.device);
    assert_int_equal(job->done, 1);
    assert_int_equal(job->request.status, STATUS_REVOKED);
    job_destroy(job);
    misbehave(scene, VIRTIO_EVIL_NONE);
    scene->host->hung = false;
    scsi_start(scene);
    scsi_expect_transfers(scene);
}

static void survives_events(struct scsi_scene *scene)
{
    misbehave(scene, VIRTIO_EVIL_NONE);
    scsi_start(scene);
    misbehave(scene, F11_EVENTS_STORM);
    for (unsigned i = 0; i < 100; i++) {
        virtio_model_kick(scene->host->core, 1);
        home_run(scene->scene.device, MILLISECOND, NULL, NULL);
    }
    assert_true(host_log_count(LOG_WARN) + host_log_count(LOG_INFO) < 10);
    misbehave(scene, VIRTIO_EVIL_NONE);
    home_run(scene->scene.device, SECOND, NULL, NULL);
    scsi_expect_transfers(scene);
}

/* ---- Changes ------------------------------------------------------------------------------------------ */

#define CHANGE(name, what)                                                                                             \
    static void name(struct virtio_scsi_options *scsi)                                                                 \
    {                                                                                                                  \
        what;                                                                                                          \
    }
CHANGE(block_0, scsi->units[0].block_size = 0)
CHANGE(block_513, scsi->units[0].block_size = 513)
CHANGE(block_256, scsi->units[0].block_size = 256)
CHANGE(block_2g, scsi->units[0].block_size = 1u << 31)
CHANGE(capacity_most, scsi->units[0].last_block = UINT64_MAX)
CHANGE(capacity_almost, scsi->units[0].last_block = UINT64_MAX / 512)
CHANGE(cdb_0, scsi->cdb_size = 0)
CHANGE(cdb_huge, scsi->cdb_size = UINT32_MAX)
CHANGE(cdb_16, scsi->cdb_size = 16)
CHANGE(sense_0, scsi->sense_size = 0)
CHANGE(sense_97, scsi->sense_size = 97)
CHANGE(sense_huge, scsi->sense_size = UINT32_MAX)
CHANGE(segments_0, scsi->seg_max = 0)
CHANGE(segments_1, scsi->seg_max = 1)
CHANGE(segments_huge, scsi->seg_max = UINT32_MAX)
CHANGE(sectors_0, scsi->max_sectors = 0)
CHANGE(sectors_1, scsi->max_sectors = 1)
CHANGE(sectors_huge, scsi->max_sectors = UINT32_MAX)
CHANGE(depth_0, scsi->cmd_per_lun = 0)
CHANGE(depth_1, scsi->cmd_per_lun = 1)
CHANGE(targets_most, scsi->max_target = 65535; scsi->max_lun = UINT32_MAX)
CHANGE(targets_0, scsi->max_target = 0)
CHANGE(luns_0, scsi->max_lun = 0)
CHANGE(no_units, scsi->unit_count = 0)

static const struct row rows[] = {
    {"block size 0", 0, block_0, first_is_refused, "claims blocks of 0 bytes, which cannot be"},
    {"block size 256", 0, block_256, first_is_refused, "claims blocks of 256 bytes, which cannot be"},
    {"block size 513", 0, block_513, first_is_refused, "claims blocks of 513 bytes, which cannot be"},
    {"block size 2^31", 0, block_2g, first_is_refused, "claims blocks of 2147483648 bytes, which cannot be"},
    {"last block 2^64 - 1", 0, capacity_most, is_huge, "claims more blocks than addresses can say"},
    {"last block 2^64 / 512", 0, capacity_almost, is_huge, "claims more blocks than addresses can say"},
    {"cdb_size 0", 0, cdb_0, does_not_start, "has commands of 0 bytes"},
    {"cdb_size 2^32 - 1", 0, cdb_huge, does_not_start, "has commands of 4294967295 bytes"},
    {"cdb_size 16", 0, cdb_16, both_work, NULL},
    {"sense_size 0", 0, sense_0, both_work, NULL},
    {"sense_size 97", 0, sense_97, does_not_start, "sense of 97"},
    {"sense_size 2^32 - 1", 0, sense_huge, does_not_start, "sense of 4294967295"},
    {"seg_max 0", 0, segments_0, works, "claims to take 0 segments"},
    {"seg_max 1", 0, segments_1, works, NULL},
    {"seg_max 2^32 - 1", 0, segments_huge, works, NULL},
    {"max_sectors 0", 0, sectors_0, works, "and 0 sectors at once"},
    {"max_sectors 1", 0, sectors_1, works, "3.300: has blocks of 4096 bytes, and the host takes less at once"},
    {"max_sectors 2^32 - 1", 0, sectors_huge, both_work, NULL},
    {"cmd_per_lun 0", 0, depth_0, both_work, NULL},
    {"cmd_per_lun 1", 0, depth_1, both_work, NULL},
    {"max_target 65535, max_lun 2^32 - 1", 0, targets_most, both_work, NULL},
    {"max_target 0", 0, targets_0, works, NULL},
    {"max_lun 0", 0, luns_0, works, NULL},
    {"no unit", 0, no_units, has_none, NULL},
    {"sense is garbage", F01_SENSE_GARBAGE, NULL, io_error, "failed:"},
    {"sense of 2^32 - 1 bytes", F01_SENSE_LONG, NULL, io_error,
     "hardware error, internal failure of the target (4/44/00)"},
    {"sense of no bytes", F01_SENSE_NONE, NULL, io_error, "no sense, nothing more is said (0/00/00)"},
    {"residual beyond the data", F02_RESIDUAL_BEYOND, NULL, io_error, "not all bytes were transferred"},
    {"residual 4", F02_RESIDUAL_4, NULL, io_error, "not all bytes were transferred"},
    {"response 77", F03_RESPONSE_77, NULL, io_error, "a response that means nothing (response 77)"},
    {"status 77", F03_STATUS_77, NULL, io_error, "a status that means nothing (status 0x4d)"},
    {"no answer written", F04_UNTOUCHED, NULL, io_error, "ends commands without an answer"},
    {"busy twice", F05_BUSY_TWICE, NULL, tried_again, NULL},
    {"task set full twice", F05_FULL_TWICE, NULL, tried_again, NULL},
    {"unit attention twice", F05_ATTENTION_TWICE, NULL, tried_again, NULL},
    {"reset twice", F05_RESET_TWICE, NULL, tried_again, NULL},
    {"busy for ever", F05_BUSY_FOREVER, NULL, given_up, "failed: busy (status 0x08)"},
    {"unit attention for ever", F05_ATTENTION_FOREVER, NULL, given_up, "power on or reset (6/29/00)"},
    {"a command hangs", F06_ONE_HANGS, NULL, is_aborted, "was not ended within 30 s and is aborted"},
    {"a command hangs, and its abort", F06_ABORT_HANGS, NULL, is_reset, "was not back 10 s after its deadline"},
    {"medium error", F07_MEDIUM_ERROR, NULL, io_error,
     "3 blocks at 1 failed: medium error, unrecovered read error (3/11/00)"},
    {"sense in descriptors", F07_DESCRIPTOR_SENSE, NULL, io_error, "medium error, unrecovered read error (3/11/00)"},
    {"write protected at work", F07_WRITE_PROTECTED, NULL, protected, "data protect, write protected (7/27/00)"},
    {"REPORT LUNS of 2^32 - 1 bytes", F08_LUNS_HUGE, NULL, both_work,
     "claims 536870911 units; the first 32 are looked at"},
    {"strange unit numbers", F08_LUNS_STRANGE, NULL, both_work, NULL},
    {"REPORT LUNS unknown", F08_LUNS_UNKNOWN, NULL, works, NULL},
    {"units everywhere", F08_EVERYWHERE, NULL, is_bounded, "units; the first 32 are looked at"},
    {"pages of garbage", F09_PAGES_GARBAGE, NULL, both_work, NULL},
    {"no pages", F09_PAGES_NONE, NULL, both_work, NULL},
    {"silent", F10_SILENT, NULL, does_not_start, "did not answer command 0xa0 to target 0 unit 0 within 5 s"},
    {"events without end", F11_EVENTS_STORM, NULL, survives_events, "disks may have come or gone"},
};

static void test_rows(void **state)
{
    static const enum virtio_model_transport transports[] = {VIRTIO_MODEL_MMIO_LEGACY, VIRTIO_MODEL_PCI_MODERN};

    (void)state;
    for (size_t i = 0; i < 2 * sizeof rows / sizeof rows[0]; i++) {
        const struct row *row = &rows[i / 2];
        struct virtio_model_options options = {.transport = transports[i % 2], .vectors = i % 4 == 1 ? 3 : 0};
        struct virtio_scsi_options scsi = scsi_plain;
        struct scsi_scene scene;
        class_begin(i, row->change == segments_0 || row->change == segments_1); /* else a block lies apart */
        if (row->change != NULL)
            row->change(&scsi);
        scsi_open(&scene, &options, &scsi, (enum virtio_model_evil)row->evil);
        row->expect(&scene);
        class_expect_log(row->id, row->sentence);
        scsi_close(&scene);
    }
}

/* A host that answers, but each command late: looking for disks ends all the same. */
static void test_slow(void **state)
{
    struct virtio_model_options options = {.transport = VIRTIO_MODEL_PCI_MODERN, .delay_ns = 4000000000u};

    (void)state;
    for (uint64_t seed = 0; seed < 20; seed++) {
        struct scsi_scene scene;
        class_begin(seed, false);
        scsi_open(&scene, &options, &scsi_plain, VIRTIO_EVIL_NONE);
        uint64_t before = clock_now();
        scsi_start(&scene);
        assert_in_range(clock_now() - before, 30 * SECOND, 40 * SECOND); /* and one command, twice */
        class_expect_log("slow", "has more to look at than fits into 30 s");
        scsi_close(&scene);
    }
}

/* Old content of the answer, from a command that went well, is not taken for one. */
static void test_answer_is_fresh(void **state)
{
    struct virtio_model_options options = {.transport = VIRTIO_MODEL_PCI_MODERN};
    struct scsi_scene scene;

    (void)state;
    class_begin(1, false);
    scsi_open(&scene, &options, &scsi_plain, VIRTIO_EVIL_NONE);
    works(&scene);
    misbehave(&scene, F04_UNTOUCHED);
    for (unsigned i = 0; i < 200; i++)
        assert_int_equal(disk_one_of(&scene.scene, i % 2 ? BLOCK_READ : BLOCK_WRITE, i, 1), STATUS_IO_ERROR);
    assert_int_equal(host_log_count(LOG_WARN), 1);
    assert_int_equal(host_log_count(LOG_ERROR), 1); /* one a second: no time has passed */
    scsi_close(&scene);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rows),
        cmocka_unit_test(test_slow),
        cmocka_unit_test(test_answer_is_fresh),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
