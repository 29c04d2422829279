/* test_virtio_scsi.c: the driver against a host that keeps the specification, on every transport. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <driver/virtio/scsi.h>
#include <stdlib.h>
#include <string.h>
#include "host_log.h"
#include "scsi_scene.h"

static void check_disks(struct scsi_scene *scene)
{
    struct block_device *first = scene->scene.block, *second = first->next;

    assert_non_null(second);
    assert_null(second->next);
    assert_true(strstr(first->name, ".0.0") != NULL && strstr(second->name, ".3.300") != NULL);
    assert_string_equal(first->info.model, "vmos model of a disk");
    assert_string_equal(first->info.serial, "a serial  number");
    assert_int_equal(first->info.block_count, 4096);
    assert_int_equal(first->info.block_size, 512);
    assert_int_equal(first->info.physical_block_size, 4096);
    assert_true(first->info.write_cache && first->info.can_force_unit_access && first->info.can_discard);
    assert_true(first->info.can_write_zeroes && !first->info.read_only);
    assert_int_equal(second->info.block_size, 4096);
    assert_int_equal(second->info.block_count, 600);
    assert_false(second->info.write_cache || second->info.can_discard || second->info.can_force_unit_access);
    assert_true(host_log_has("target 2 unit 0 is a CD or DVD drive"));
}

static void test_transports(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 40; i++) {
        struct virtio_model_options options = class_options(i);
        struct scsi_scene scene;
        class_begin(i, i % 3 == 0);
        options.delay_ns = i % 2 ? 20000 : 0;
        options.reorder = i % 4 == 1;
        scsi_open(&scene, &options, &scsi_plain, VIRTIO_EVIL_NONE);
        scsi_start(&scene);
        check_disks(&scene);
        scsi_expect_transfers(&scene);
        class_expect_log("transport", NULL);
        assert_int_equal(disk_one_of(&scene.scene, BLOCK_FLUSH, 0, 0), STATUS_OK);
        assert_int_equal(scene.host->units[0].flushes, 1);
        assert_int_equal(disk_one_of(&scene.scene, BLOCK_DISCARD, 1000, 250), STATUS_OK);
        assert_int_equal(scene.host->units[0].discards, 3);
        assert_int_equal(scene.host->units[0].bytes[1249 * 512 + 511], SCSI_DISCARDED);
        assert_int_equal(disk_one_of(&scene.scene, BLOCK_WRITE_ZEROES, 2000, 700), STATUS_OK);
        assert_int_equal(scene.host->units[0].zeroes, 3);
        for (unsigned at = 2000 * 512; at < 2700 * 512; at++)
            assert_int_equal(scene.host->units[0].bytes[at], 0);
        scene.scene.block = scene.scene.block->next;
        assert_int_equal(disk_one_of(&scene.scene, BLOCK_FLUSH, 0, 0), STATUS_OK); /* nothing to do */
        assert_int_equal(disk_one_of(&scene.scene, BLOCK_READ, 599, 1), STATUS_OK);
        assert_int_equal(disk_one_of(&scene.scene, BLOCK_READ, 599, 2), STATUS_OUT_OF_RANGE);
        assert_int_equal(scene.host->units[2].reads, 1);
        assert_int_equal(scene.host->units[2].flushes, 0);
        scsi_close(&scene);
    }
}

/* Mixed requests in many cuts over both disks at once, held against a copy. */
static void test_mixed(void **state)
{
    (void)state;
    for (unsigned seed = 0; seed < 12; seed++) {
        struct virtio_model_options options = class_options(seed * 7);
        struct virtio_scsi_options scsi = scsi_plain;
        struct scsi_scene scene;
        struct job *jobs[200];

        class_begin(seed, seed % 2);
        options.delay_ns = 50000;
        options.reorder = true;
        scsi.seg_max = seed % 3 == 0 ? 5 : 126;
        scsi.max_sectors = seed % 4 == 0 ? 8 : 0xffff;
        scsi.cmd_per_lun = seed % 5 == 0 ? 3 : 128;
        scsi_open(&scene, &options, &scsi, VIRTIO_EVIL_NONE);
        scsi_start(&scene);
        struct block_device *disks[2] = {scene.scene.block, scene.scene.block->next};
        for (unsigned i = 0; i < 200; i++) { /* each in blocks of its own: the order is free */
            struct block_device *disk = disks[i % 2];
            uint64_t each = disk->info.block_count / 100;
            jobs[i] = job_create(&disk->info, home_random() % 2 ? BLOCK_READ : BLOCK_WRITE, i / 2 * each,
                                 1 + home_random() % each);
            jobs[i]->request.force_unit_access = home_random() % 4 == 0;
            if (scsi.seg_max > 5)
                job_cut(jobs[i]);
            scene.scene.block = disk;
            assert_int_equal(disk_submit(&scene.scene, &jobs[i], 1), 1);
        }
        disk_run_until_done(&scene.scene, 200);
        for (unsigned i = 0; i < 200; i++) {
            const struct scsi_unit *unit = &scene.host->units[i % 2 == 0 ? 0 : 2];
            if (jobs[i]->request.status == STATUS_OK)
                assert_memory_equal(job_bytes(jobs[i]), unit->bytes + jobs[i]->request.first_block * unit->size,
                                    jobs[i]->size);
            else /* a block in more pieces than fit */
                assert_int_equal(jobs[i]->request.status, STATUS_UNSUPPORTED);
            job_destroy(jobs[i]);
        }
        if (scsi.cmd_per_lun == 128)
            assert_true(scene.host->units[0].forced != 0);
        assert_int_equal(scene.host->units[2].forced, 0); /* has no cache: means nothing */
        scsi_close(&scene);
    }
}

static void start_with(struct scsi_scene *scene, const struct virtio_scsi_options *scsi, enum virtio_model_evil evil)
{
    struct virtio_model_options options = class_options(4 * VIRTIO_MODEL_TRANSPORTS + VIRTIO_MODEL_PCI_MODERN);

    class_begin(1, false);
    scsi_open(scene, &options, scsi, evil);
    scsi_start(scene);
}

static void test_kinds_of_disk(void **state)
{
    struct virtio_scsi_options scsi = scsi_plain;
    struct scsi_scene scene;

    (void)state;
    scsi.units[0].only_10 = true;
    scsi.units[0].provisioned = false;
    scsi.units[2].read_only = true;
    start_with(&scene, &scsi, VIRTIO_EVIL_NONE);
    assert_int_equal(scene.scene.block->info.block_count, 4096);
    assert_false(scene.scene.block->info.can_discard);
    assert_int_equal(disk_one_of(&scene.scene, BLOCK_FLUSH, 0, 0), STATUS_OK);
    assert_int_equal(disk_one_of(&scene.scene, BLOCK_FLUSH, 0, 0), STATUS_OK);
    assert_int_equal(scene.host->units[0].flushes, 2);
    scene.scene.block = scene.scene.block->next;
    assert_true(scene.scene.block->info.read_only);
    assert_int_equal(disk_one_of(&scene.scene, BLOCK_WRITE, 0, 1), STATUS_READ_ONLY);
    class_expect_log("kinds", NULL);
    scsi_close(&scene);

    scsi = scsi_plain;
    scsi.units[0].no_medium = true;
    scsi.units[2].becoming_ready = 255; /* for longer than vmos waits */
    start_with(&scene, &scsi, VIRTIO_EVIL_NONE);
    assert_null(scene.scene.block);
    assert_true(host_log_has("0.0: is not ready and not used: not ready, no medium (2/3a/00)"));
    assert_true(host_log_has("3.300: is not ready and not used: not ready, becoming ready (2/04/01)"));
    assert_true(host_log_has("has no disk"));
    scsi_close(&scene);
}

/* By event, and by the unit's attention when a command comes. */
static void test_grows(void **state)
{
    struct scsi_scene scene;

    (void)state;
    start_with(&scene, &scsi_plain, VIRTIO_EVIL_NONE);
    scene.host->options.units[0].last_block = 5000;
    virtio_scsi_tell(scene.host, 3, 0, 0x2a | 0x09 << 8);
    home_run(scene.scene.device, SECOND, NULL, NULL);
    assert_int_equal(scene.scene.block->info.block_count, 5001);
    assert_true(host_log_has("now has 5001 blocks and had 4096"));
    scene.host->options.units[0].last_block = 999;
    scene.host->units[0].attention = true;
    scene.host->units[0].attention_code = 0x2a09;
    assert_int_equal(disk_one_of(&scene.scene, BLOCK_READ, 3, 1), STATUS_OK);
    home_run(scene.scene.device, SECOND, NULL, NULL);
    assert_int_equal(scene.scene.block->info.block_count, 1000);
    assert_int_equal(disk_one_of(&scene.scene, BLOCK_READ, 1000, 1), STATUS_OUT_OF_RANGE);
    scene.host->options.units[0].block_size = 4096;
    virtio_scsi_tell(scene.host, 3, 0, 0x2a | 0x09 << 8);
    home_run(scene.scene.device, SECOND, NULL, NULL);
    assert_string_equal(home_failure(scene.scene.device) != NULL ? "failed" : "goes on", "failed");
    scsi_close(&scene);
}

static void test_removed(void **state)
{
    struct scsi_scene scene;

    (void)state;
    start_with(&scene, &scsi_plain, VIRTIO_EVIL_NONE);
    virtio_scsi_tell(scene.host, 1, 2, 1); /* added, which it is already */
    home_run(scene.scene.device, SECOND, NULL, NULL);
    assert_false(host_log_has("was added"));
    virtio_scsi_tell(scene.host, 1, 2, 2);
    home_run(scene.scene.device, SECOND, NULL, NULL);
    assert_true(host_log_has("3.300: was removed"));
    scsi_expect_transfers(&scene);
    scene.scene.block = scene.scene.block->next;
    assert_int_equal(disk_one_of(&scene.scene, BLOCK_READ, 0, 1), STATUS_REVOKED);
    assert_int_equal(scene.host->units[2].reads, 0);
    virtio_scsi_tell(scene.host, 1, 2, 1);
    home_run(scene.scene.device, SECOND, NULL, NULL);
    assert_true(host_log_has("target 3 unit 300 was added"));
    home_run(scene.scene.device, SECOND, NULL, NULL);
    virtio_scsi_tell(scene.host, 0x80000000, 2, 0);
    home_run(scene.scene.device, SECOND, NULL, NULL);
    assert_true(host_log_has("disks may have come or gone"));
    scsi_close(&scene);
}

/* Stopped with commands at the device, in a pause, and waiting: each ends once. */
static void test_stopped_at_work(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 3; i++) {
        struct scsi_scene scene;
        struct job *jobs[100];
        start_with(&scene, &scsi_plain, VIRTIO_EVIL_NONE);
        virtio_model_misbehave(scene.host->core, i == 1 ? (enum virtio_model_evil)F05_BUSY_FOREVER
                                                        : (enum virtio_model_evil)F06_ONE_HANGS);
        for (unsigned j = 0; j < 100; j++)
            jobs[j] = job_create(&scene.scene.block->info, BLOCK_WRITE, j, 1);
        assert_int_equal(disk_submit(&scene.scene, jobs, 100), 100);
        home_run(scene.scene.device, 250 * MILLISECOND, NULL, NULL);
        assert_int_equal(job_done_count, 0);
        if (i == 2) {
            home_revoke(scene.scene.device);
            scene.scene.revoked = true;
        }
        home_stop(scene.scene.device);
        assert_int_equal(job_done_count, 100);
        for (unsigned j = 0; j < 100; j++) {
            assert_int_equal(jobs[j]->request.status, STATUS_REVOKED);
            job_destroy(jobs[j]);
        }
        scsi_close(&scene);
    }
}

static void test_undo(void **state)
{
    unsigned fine = 0;

    (void)state;
    for (unsigned after = 0; after < 40; after++) {
        struct virtio_model_options options = class_options(after);
        struct scsi_scene scene;
        class_begin(after, false);
        scsi_open(&scene, &options, &scsi_plain, VIRTIO_EVIL_NONE);
        home_fail_allocation(after);
        bool good = home_start(scene.scene.device, &virtio_scsi_driver) == STATUS_OK;
        fine += good;
        assert_true((home_block(scene.scene.device) != NULL) == good);
        scsi_close(&scene);
    }
    assert_true(fine > 5);
}

static void test_sense(void **state)
{
    static const struct {
        struct scsi_outcome outcome;
        const char *text;
        enum scsi_verdict verdict;
        enum status status;
    } rows[] = {
        {{.sense = {0}, .status = 0}, "good, but not whole (status 0x00)", SCSI_DONE, STATUS_IO_ERROR},
        {{.status = 2, .sense = {3, 0x1100}},
         "medium error, unrecovered read error (3/11/00)",
         SCSI_FAILED,
         STATUS_IO_ERROR},
        {{.status = 2, .sense = {5, 0x2100}},
         "illegal request, block out of range (5/21/00)",
         SCSI_FAILED,
         STATUS_OUT_OF_RANGE},
        {{.status = 2, .sense = {5, 0x2000}},
         "illegal request, unknown command (5/20/00)",
         SCSI_FAILED,
         STATUS_UNSUPPORTED},
        {{.status = 2, .sense = {7, 0x2700}}, "data protect, write protected (7/27/00)", SCSI_FAILED, STATUS_READ_ONLY},
        {{.status = 2, .sense = {1, 0x1800}},
         "recovered error, a reason that vmos has no words for (1/18/00)",
         SCSI_DONE,
         STATUS_IO_ERROR},
        {{.status = 2, .sense = {6, 0x2900}},
         "unit attention, power on or reset (6/29/00)",
         SCSI_AGAIN,
         STATUS_IO_ERROR},
        {{.status = 2, .sense = {2, 0x0401}}, "not ready, becoming ready (2/04/01)", SCSI_AGAIN_LATER, STATUS_IO_ERROR},
        {{.status = 8}, "busy (status 0x08)", SCSI_AGAIN_LATER, STATUS_IO_ERROR},
        {{.status = 0x28}, "its task set is full (status 0x28)", SCSI_AGAIN_LATER, STATUS_IO_ERROR},
        {{.status = 0x18}, "reserved by another (status 0x18)", SCSI_FAILED, STATUS_IO_ERROR},
        {{.status = 0x40}, "aborted by another (status 0x40)", SCSI_AGAIN, STATUS_IO_ERROR},
        {{.status = 99}, "a status that means nothing (status 0x63)", SCSI_FAILED, STATUS_IO_ERROR},
        {{.response = 3}, "there is no such unit (response 3)", SCSI_FAILED, STATUS_IO_ERROR},
        {{.response = 4}, "the unit was reset (response 4)", SCSI_AGAIN, STATUS_IO_ERROR},
        {{.response = 200}, "a response that means nothing (response 200)", SCSI_FAILED, STATUS_IO_ERROR},
    };
    char text[120];

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        scsi_describe(text, sizeof text, &rows[i].outcome);
        assert_string_equal(text, rows[i].text);
        assert_int_equal(scsi_judge(&rows[i].outcome), rows[i].verdict);
        assert_int_equal(scsi_status(&rows[i].outcome), rows[i].status);
    }
}

/* Never beyond what was written, whatever the format. */
static void test_sense_lengths(void **state)
{
    (void)state;
    for (uint32_t length = 0; length <= 18; length++)
        for (unsigned first = 0; first < 256; first++) {
            uint8_t *bytes = malloc(length + 1);
            memset(bytes, 0x35, length + 1);
            bytes[0] = (uint8_t)first;
            uint8_t *exact = malloc(length == 0 ? 1 : length);
            memcpy(exact, bytes, length);
            struct scsi_sense sense = scsi_sense(exact, length);
            bool fixed = (first & 0x7e) == 0x70, descriptors = (first & 0x7e) == 0x72;
            assert_int_equal(sense.key, (fixed && length >= 3) || (descriptors && length >= 4) ? 5 : 0);
            assert_int_equal(sense.additional, (fixed && length >= 14) || (descriptors && length >= 4) ? 0x3535 : 0);
            free(bytes);
            free(exact);
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_transports), cmocka_unit_test(test_mixed),   cmocka_unit_test(test_kinds_of_disk),
        cmocka_unit_test(test_grows),      cmocka_unit_test(test_removed), cmocka_unit_test(test_stopped_at_work),
        cmocka_unit_test(test_undo),       cmocka_unit_test(test_sense),   cmocka_unit_test(test_sense_lengths),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
