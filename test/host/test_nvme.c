/* test_nvme.c: the NVMe driver and controllers that keep to the specification. */
#include "nvme_scene.h"

#include <lib/bytes.h>

enum { PAGE = 4096 };

/* A write and a read of it, which also must show on the disk itself. */
static void expect_transfers(struct nvme_scene *scene, uint64_t first, uint64_t count, size_t skew, size_t cut)
{
    struct job *write = job_create(scene->block, BLOCK_WRITE, first, count, skew);
    struct job *read = job_create(scene->block, BLOCK_READ, first, count, skew / 2 & ~(size_t)3);
    const uint8_t *disk = scene->model->disks[0].bytes;

    if (cut != 0) {
        job_cut(write, cut);
        job_cut(read, cut);
    }
    if (job_one(scene, write) != STATUS_OK)
        fail_msg("write of %u blocks, skew %zu, cut %zu: %s", (unsigned)count, skew, cut,
                 status_text(write->request.status));
    assert_memory_equal(write->bytes, disk + first * scene->block->info.block_size, write->size);
    assert_int_equal(job_one(scene, read), STATUS_OK);
    assert_memory_equal(write->bytes, read->bytes, write->size);
    job_destroy(write);
    job_destroy(read);
}

/* ---- Data
 * ------------------------------------------------------------------------------------------------------------ */

static void sizes_and_places(void **state)
{
    static const uint64_t counts[] = {1, 2, 7, 8, 9, 16, 17, 255, 256, 257, 1000};
    static const size_t skews[] = {0, 4, 512, 2048, 4092};
    struct nvme_scene scene;

    (void)state;
    for (unsigned contiguous = 0; contiguous < 2; contiguous++)
        for (uint8_t exponent = 9; exponent <= 12; exponent += 3) {
            struct nvme_model_options options = nvme_plain;
            struct home_options home = {.seed = 3, .contiguous_loans = contiguous != 0, .cpu_count = 2};
            options.namespaces[0].exponent = exponent;
            options.transfer = contiguous != 0 ? 0 : 5;
            assert_int_equal(nvme_open(&scene, &options, &home), STATUS_OK);
            for (unsigned i = 0; i < sizeof counts / sizeof counts[0]; i++)
                for (unsigned j = 0; j < sizeof skews / sizeof skews[0]; j++)
                    expect_transfers(&scene, 3 + i, counts[i], skews[j], 0);
            assert_true(scene.model->most_blocks << exponent <= (contiguous != 0 ? 4u << 20 : 128u << 10));
            nvme_close(&scene);
        }
}

/* More pages than a list's page has places for: a list of two. */
static void chained_lists(void **state)
{
    struct nvme_scene scene;
    struct nvme_model_options options = nvme_plain;

    (void)state;
    options.transfer = 0;
    for (unsigned contiguous = 0; contiguous < 2; contiguous++) {
        struct home_options home = {.seed = 3, .contiguous_loans = contiguous != 0};
        assert_int_equal(nvme_open(&scene, &options, &home), STATUS_OK);
        expect_transfers(&scene, 0, 513 * 8, 0, 0);
        expect_transfers(&scene, 0, 514 * 8, 0, 0);
        expect_transfers(&scene, 0, 8192, 0, 0);
        expect_transfers(&scene, 0, 8191, 4, 0);
        assert_int_equal(scene.model->most_list_pages, 2);
        nvme_close(&scene);
    }
}

/* Segments that lie together are one; where there is a gap inside a page a command ends. */
static void segments(void **state)
{
    struct nvme_scene scene;

    (void)state;
    assert_int_equal(nvme_open(&scene, &nvme_plain, NULL), STATUS_OK);
    static const size_t cuts[] = {128, 512, 1000, 4096, 5000, 65536};
    for (unsigned i = 0; i < sizeof cuts / sizeof cuts[0]; i++)
        expect_transfers(&scene, 5, 64, 4 * i, cuts[i]);
    struct job *job = job_create(scene.block, BLOCK_WRITE, 0, 8, 0);
    unsigned before = scene.model->writes;
    for (unsigned i = 0; i < 8; i++) /* backwards: eight blocks, none behind the other */
        job->segments[i] = (struct memory_ref){.offset = (uintptr_t)job->bytes + 512 * (7 - i), .length = 512};
    job->request.segment_count = 8;
    assert_int_equal(job_one(&scene, job), STATUS_OK);
    assert_int_equal(scene.model->writes - before, 8);
    for (unsigned i = 0; i < 8; i++)
        assert_memory_equal(scene.model->disks[0].bytes + 512 * i, job->bytes + 512 * (7 - i), 512);
    job_destroy(job);
    nvme_close(&scene);
}

/* A block in two pieces that do not meet at pages cannot be named by pages; nor can memory that is not at words. */
static void what_pages_cannot_name(void **state)
{
    struct nvme_scene scene;

    (void)state;
    assert_int_equal(nvme_open(&scene, &nvme_plain, NULL), STATUS_OK);
    struct job *job = job_create(scene.block, BLOCK_READ, 0, 2, 0);
    job->segments[0].length = 256;
    job->segments[1] = (struct memory_ref){.offset = (uintptr_t)job->bytes + 300, .length = 768};
    job->request.segment_count = 2;
    job->bytes[1024] = 0;
    assert_int_equal(job_one(&scene, job), STATUS_UNSUPPORTED);
    job_destroy(job);
    job = job_create(scene.block, BLOCK_READ, 0, 1, 2);
    assert_int_equal(job_one(&scene, job), STATUS_UNSUPPORTED);
    job_destroy(job);
    expect_transfers(&scene, 0, 8, 0, 0);
    nvme_close(&scene);
}

/* The last block of a disk that has more than 2^32. */
static void beyond_32_bits(void **state)
{
    struct nvme_scene scene;
    struct nvme_model_options options = nvme_plain;

    (void)state;
    options.namespaces[0].claimed_blocks = UINT64_C(6) << 30;
    assert_int_equal(nvme_open(&scene, &options, NULL), STATUS_OK);
    assert_int_equal(scene.block->info.block_count, UINT64_C(6) << 30);
    assert_int_equal(job_one_of(&scene, BLOCK_READ, (UINT64_C(6) << 30) - 1, 1), STATUS_OUT_OF_RANGE);
    assert_true(host_log_has("read of 1 blocks at 6442450943 failed: block out of range (0/80)")); /* said the disk */
    assert_int_equal(job_one_of(&scene, BLOCK_READ, UINT64_C(6) << 30, 1), STATUS_OUT_OF_RANGE);
    nvme_close(&scene);
}

/* ---- Operations
 * -------------------------------------------------------------------------------------------------------- */

static void all_operations(void **state)
{
    struct nvme_scene scene;
    struct nvme_model_options options = nvme_plain;

    (void)state;
    options.zeroes_limit = 2; /* 32 blocks */
    options.range_limit = 50;
    assert_int_equal(nvme_open(&scene, &options, NULL), STATUS_OK);
    const struct block_info *info = &scene.block->info;
    assert_true(info->write_cache && info->can_discard && info->can_write_zeroes && info->can_force_unit_access);
    assert_int_equal(info->max_discard_blocks, 50);
    assert_string_equal(info->serial, "a serial");
    assert_string_equal(info->model, "a model");
    expect_transfers(&scene, 0, 200, 0, 0);
    assert_int_equal(job_one_of(&scene, BLOCK_WRITE_ZEROES, 10, 100), STATUS_OK);
    assert_int_equal(scene.model->zeroes, 4);
    assert_int_equal(job_one_of(&scene, BLOCK_DISCARD, 120, 60), STATUS_OK);
    assert_int_equal(scene.model->discards, 2);
    const uint8_t *disk = scene.model->disks[0].bytes;
    for (size_t i = 0; i < 100 * 512; i++)
        assert_int_equal(disk[10 * 512 + i], 0);
    for (size_t i = 0; i < 60 * 512; i++)
        assert_int_equal(disk[120 * 512 + i], NVME_MODEL_DISCARDED);
    assert_int_equal(job_one_of(&scene, BLOCK_FLUSH, 0, 0), STATUS_OK);
    assert_int_equal(scene.model->flushes, 1);
    struct job *job = job_create(scene.block, BLOCK_WRITE, 0, 600, 0);
    job->request.force_unit_access = true;
    assert_int_equal(job_one(&scene, job), STATUS_OK);
    assert_int_equal(scene.model->through, 3); /* each command of the three */
    job_destroy(job);
    nvme_close(&scene);
    assert_int_equal(scene.model != NULL, true);
}

/* What a command can count. */
static void most_blocks_of_a_command(void **state)
{
    struct nvme_scene scene;
    struct nvme_model_options options = nvme_plain;

    (void)state;
    options.namespaces[0].blocks = 140000;
    assert_int_equal(nvme_open(&scene, &options, NULL), STATUS_OK);
    assert_int_equal(job_one_of(&scene, BLOCK_WRITE_ZEROES, 7, 2 * 65536 + 5), STATUS_OK);
    assert_int_equal(scene.model->zeroes, 3);
    assert_int_equal(scene.model->most_blocks, 65536);
    nvme_close(&scene);
}

static void without_cache_and_abilities(void **state)
{
    struct nvme_scene scene;
    struct nvme_model_options options = nvme_plain;

    (void)state;
    options.write_cache = false;
    options.optional = 0;
    options.namespaces[0].attributes = 1; /* write-protected */
    assert_int_equal(nvme_open(&scene, &options, NULL), STATUS_OK);
    assert_int_equal(job_one_of(&scene, BLOCK_FLUSH, 0, 0), STATUS_OK);
    assert_int_equal(scene.model->flushes, 0);
    assert_int_equal(job_one_of(&scene, BLOCK_DISCARD, 0, 1), STATUS_READ_ONLY);
    assert_int_equal(job_one_of(&scene, BLOCK_WRITE, 0, 1), STATUS_READ_ONLY);
    assert_int_equal(job_one_of(&scene, BLOCK_READ, 0, 1), STATUS_OK);
    nvme_close(&scene);
}

/* ---- Queues
 * ------------------------------------------------------------------------------------------------------------ */

/* Many requests at once through queues of any size: each is done once, and the queues are used as far as they go. */
static void load(struct nvme_scene *scene, unsigned count)
{
    struct job *jobs[MAX_JOBS];
    unsigned before = job_done_count;

    for (unsigned i = 0; i < count; i++)
        jobs[i] = job_create(scene->block, BLOCK_WRITE, 4 * (uint64_t)i, 1 + i % 4, 4 * (i % 300));
    jobs_submit(scene->block, jobs, count);
    jobs_wait(scene, before + count);
    for (unsigned i = 0; i < count; i++) {
        assert_int_equal(jobs[i]->request.status, STATUS_OK);
        assert_memory_equal(jobs[i]->bytes, scene->model->disks[0].bytes + (size_t)4 * i * 512, jobs[i]->size);
        job_destroy(jobs[i]);
    }
}

static void depths(void **state)
{
    static const uint16_t entries[] = {2, 3, 4, 16, 64, 1024, 4096};
    struct nvme_scene scene;

    (void)state;
    for (unsigned i = 0; i < sizeof entries / sizeof entries[0]; i++)
        for (unsigned buffer = 0; buffer < 2; buffer++) {
            struct nvme_model_options options = nvme_plain;
            options.entries = (uint16_t)(entries[i] - 1);
            options.queues = 1;
            options.doorbell_buffer = buffer != 0;
            assert_int_equal(nvme_open(&scene, &options, NULL), STATUS_OK);
            load(&scene, 1100);
            unsigned most = entries[i] < 1024 ? entries[i] : 1024;
            assert_int_equal(scene.model->most_in_flight, most - 1 < 1100 ? most - 1 : 1100);
            assert_int_equal(scene.block->info.queue_depth, most - 1);
            nvme_close(&scene);
        }
}

static void one_queue_for_each_cpu(void **state)
{
    static const struct {
        unsigned cpus, vectors, granted, expected;
    } rows[] = {{1, 4, 8, 1}, {3, 4, 8, 3}, {3, 4, 2, 2}, {8, 4, 8, 3}, {3, 1, 8, 1}, {3, 0, 8, 1}, {3, 2, 8, 1}};
    struct nvme_scene scene;

    (void)state;
    for (unsigned i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct nvme_model_options options = nvme_plain;
        struct home_options home = {.seed = i, .cpu_count = rows[i].cpus};
        options.vectors = rows[i].vectors;
        options.queues = (uint16_t)rows[i].granted;
        if (nvme_open(&scene, &options, &home) != STATUS_OK)
            fail_msg("row %u: %s", i, host_log_text());
        for (unsigned j = 0; j < 8; j++)
            load(&scene, 50);
        unsigned used = 0;
        for (unsigned j = 1; j < NVME_MODEL_QUEUES; j++)
            used += scene.model->queue_used[j] != 0;
        assert_int_equal(used, rows[i].expected);
        for (unsigned j = 1; j <= rows[i].expected && rows[i].vectors > 1; j++)
            assert_int_equal(home_interrupt_cpu(scene.device, j), j - 1);
        nvme_close(&scene);
    }
}

/* A batch rings once, and what came back together is acknowledged once. */
static void doorbells(void **state)
{
    struct nvme_scene scene;
    struct nvme_model_options options = nvme_plain;

    (void)state;
    options.delay_ns = 0;
    assert_int_equal(nvme_open(&scene, &options, NULL), STATUS_OK);
    uint64_t sq = scene.model->sq_doorbells, cq = scene.model->cq_doorbells, messages = scene.model->messages;
    load(&scene, 32);
    assert_int_equal(scene.model->sq_doorbells - sq, 1);
    assert_int_equal(scene.model->cq_doorbells - cq, 1);
    assert_int_equal(scene.model->messages - messages, 1);
    nvme_close(&scene);
}

/* What each `done` submits is rung for together. */
static struct job *second_round[32];
static struct nvme_scene *second_scene;

static void then_another(struct block_request *request)
{
    struct job *job = (struct job *)request;

    job->done++;
    job_done_count++;
    jobs_submit(second_scene->block, &second_round[job->request.first_block], 1);
}

static void submitting_from_done(void **state)
{
    struct nvme_scene scene;
    struct nvme_model_options options = nvme_plain;
    struct job *jobs[32];

    (void)state;
    options.delay_ns = 0;
    assert_int_equal(nvme_open(&scene, &options, NULL), STATUS_OK);
    second_scene = &scene;
    for (unsigned i = 0; i < 32; i++) {
        jobs[i] = job_create(scene.block, BLOCK_READ, i, 1, 0);
        jobs[i]->request.done = then_another;
        second_round[i] = job_create(scene.block, BLOCK_READ, 100 + i, 1, 0);
    }
    uint64_t sq = scene.model->sq_doorbells;
    jobs_submit(scene.block, jobs, 32);
    jobs_wait(&scene, 64);
    assert_int_equal(scene.model->sq_doorbells - sq, 2);
    for (unsigned i = 0; i < 32; i++) {
        job_destroy(jobs[i]);
        job_destroy(second_round[i]);
    }
    nvme_close(&scene);
}

/* A controller that reads doorbells from memory needs few register writes, or none while it is awake. */
static void doorbell_buffer(void **state)
{
    struct nvme_scene scene;
    struct nvme_model_options options = nvme_plain;

    (void)state;
    for (uint8_t stride = 0; stride < 3; stride++) {
        options.doorbell_buffer = true;
        options.stride = stride;
        assert_int_equal(nvme_open(&scene, &options, NULL), STATUS_OK);
        assert_true(host_log_has(", doorbells in memory"));
        for (unsigned i = 0; i < 20; i++)
            load(&scene, 60);
        assert_true(scene.model->sq_doorbells <= 20);
        nvme_close(&scene);
    }
    options.stride = 8; /* more than a page of doorbells: registers it is */
    options.window = 1 << 16;
    assert_int_equal(nvme_open(&scene, &options, NULL), STATUS_OK);
    assert_false(host_log_has(", doorbells in memory"));
    load(&scene, 60);
    nvme_close(&scene);
}

/* ---- Namespaces
 * -------------------------------------------------------------------------------------------------------- */

static void several_namespaces(void **state)
{
    struct nvme_scene scene;
    struct nvme_model_options options = nvme_plain;

    (void)state;
    options.namespaces[1] = (struct nvme_model_namespace){.id = 7, .blocks = 100, .exponent = 12};
    options.namespaces[2] = (struct nvme_model_namespace){.id = 3, .blocks = 200, .exponent = 9};
    for (unsigned old = 0; old < 2; old++) {
        options.version = old != 0 ? 0x10000 : 0;
        assert_int_equal(nvme_open(&scene, &options, NULL), STATUS_OK);
        static const char *const names[] = {"nvme0n1", "nvme0n3", "nvme0n7"};
        for (unsigned i = 0; i < 3; i++)
            assert_string_equal(nvme_disk(&scene, i)->name, names[i]);
        assert_null(nvme_disk(&scene, 3));
        assert_int_equal(nvme_disk(&scene, 2)->info.block_size, 4096);
        scene.block = nvme_disk(&scene, 2);
        struct job *job = job_create(scene.block, BLOCK_WRITE, 99, 1, 0);
        assert_int_equal(job_one(&scene, job), STATUS_OK);
        assert_memory_equal(scene.model->disks[1].bytes + 99 * 4096, job->bytes, 4096);
        job_destroy(job);
        scene.block = nvme_disk(&scene, 0);
        nvme_close(&scene);
    }
}

static void refused_formats(void **state)
{
    static const struct {
        struct nvme_model_namespace is;
        const char *sentence;
    } rows[] = {
        {{.blocks = 10, .exponent = 0}, "nvme0: namespace 2 has blocks of 2^0 bytes; it is not used"},
        {{.blocks = 10, .exponent = 8}, "nvme0: namespace 2 has blocks of 2^8 bytes"},
        {{.blocks = 10, .exponent = 13}, "nvme0: namespace 2 has blocks of 2^13 bytes"},
        {{.blocks = 10, .exponent = 31}, "nvme0: namespace 2 has blocks of 2^31 bytes"},
        {{.blocks = 10, .exponent = 63}, "nvme0: namespace 2 has blocks of 2^63 bytes"},
        {{.blocks = 10, .exponent = 255}, "nvme0: namespace 2 has blocks of 2^255 bytes"},
        {{.blocks = 10, .exponent = 9, .metadata = 8},
         "namespace 2 has 8 bytes of metadata with each block; it is not"},
        {{.blocks = 10, .exponent = 9, .metadata = 8, .protection = 1},
         "namespace 2 has 8 bytes of metadata with each block and protection information; it is not used"},
        {{.blocks = 10, .exponent = 9, .format = 5, .format_count = 3},
         "namespace 2 uses format 5 of 4; it is not used"},
        {{.blocks = 10, .exponent = 9, .format = 0x6f, .format_count = 62}, "namespace 2 uses format 63 of 63"},
        {{.blocks = 0, .exponent = 9}, ""},
    };
    struct nvme_scene scene;

    (void)state;
    for (unsigned i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct nvme_model_options options = nvme_plain;
        options.namespaces[1] = rows[i].is;
        options.namespaces[1].id = 2;
        assert_int_equal(nvme_open(&scene, &options, NULL), STATUS_OK);
        if (!host_log_has(rows[i].sentence))
            fail_msg("%s: %s", rows[i].sentence, host_log_text());
        assert_null(nvme_disk(&scene, 1));
        expect_transfers(&scene, 0, 8, 0, 0);
        nvme_close(&scene);
    }
}

/* The largest number of blocks there is: bytes are what addresses can say. */
static void largest_disk(void **state)
{
    struct nvme_scene scene;
    struct nvme_model_options options = nvme_plain;

    (void)state;
    options.namespaces[0].claimed_blocks = UINT64_MAX;
    options.namespaces[0].format = 0x2f; /* the 32nd format, of more than 16 */
    options.namespaces[0].format_count = 40;
    assert_int_equal(nvme_open(&scene, &options, NULL), STATUS_OK);
    assert_int_equal(scene.block->info.block_count, UINT64_MAX >> 9);
    nvme_close(&scene);
}

/* Told of a change the driver looks again: a disk that grew, one that came, one that went, one formatted anew. */
static void changes(void **state)
{
    struct nvme_scene scene;
    struct nvme_model_options options = nvme_plain;

    (void)state;
    options.namespaces[1] = (struct nvme_model_namespace){.id = 2, .blocks = 100, .exponent = 9};
    options.namespaces[2] = (struct nvme_model_namespace){.id = 3, .blocks = 100, .exponent = 9};
    assert_int_equal(nvme_open(&scene, &options, NULL), STATUS_OK);
    scene.model->disks[0].is.claimed_blocks = 2 * NVME_BLOCKS;
    scene.model->disks[1].is.id = 0;
    scene.model->disks[2].is.exponent = 12;
    scene.model->disks[3].is = (struct nvme_model_namespace){.id = 9, .blocks = 50, .exponent = 9};
    scene.model->disks[3].bytes = calloc(50, 512);
    nvme_model_event(scene.model, 2, 0, 4);
    home_run(scene.device, NANOSECONDS_PER_SECOND, NULL, NULL);
    assert_int_equal(scene.block->info.block_count, 2 * NVME_BLOCKS);
    assert_true(host_log_has("nvme0n1: now has 16384 blocks and had 8192"));
    assert_true(host_log_has("nvme0n2: is gone; it is not used any more"));
    assert_true(host_log_has("nvme0n3: was formatted anew; it is not used any more"));
    assert_string_equal(nvme_disk(&scene, 3)->name, "nvme0n9");
    scene.block = nvme_disk(&scene, 1);
    assert_int_equal(job_one_of(&scene, BLOCK_READ, 0, 1), STATUS_OUT_OF_RANGE);
    scene.block = nvme_disk(&scene, 0);
    nvme_model_event(scene.model, 2, 0, 4); /* and once more, with nothing new */
    home_run(scene.device, NANOSECONDS_PER_SECOND, NULL, NULL);
    assert_int_equal(scene.model->events, 2);
    nvme_close(&scene);
}

/* One message is for all queues: what an I/O queue has to say while a command of the admin queue is waited for is heard
 * when that is over, not a second later as a lost interrupt. */
static void one_message_for_all(void **state)
{
    struct nvme_model_options options = nvme_plain;
    struct nvme_scene scene;
    struct job *jobs[8];

    (void)state;
    options.vectors = 1;
    options.delay_ns = 200 * NANOSECONDS_PER_MICROSECOND;
    assert_int_equal(nvme_open(&scene, &options, NULL), STATUS_OK);
    for (unsigned i = 0; i < 8; i++)
        jobs[i] = job_create(scene.block, BLOCK_READ, i, 1, 0);
    for (unsigned round = 1; round <= 40; round++) {
        uint64_t began = clock_now();
        for (unsigned i = 0; i < 8; i++)
            jobs[i]->done = 0;
        jobs_submit(scene.block, jobs, 8);
        nvme_model_event(scene.model, 2, 0, 4);
        jobs_wait(&scene, 8 * round);
        assert_true(clock_now() - began < NANOSECONDS_PER_SECOND / 4);
        home_run(scene.device, NANOSECONDS_PER_SECOND / 4, NULL, NULL);
    }
    assert_false(host_log_has("interrupt was lost"));
    assert_true(scene.model->events > 20);
    for (unsigned i = 0; i < 8; i++)
        job_destroy(jobs[i]);
    nvme_close(&scene);
}

/* An answer that is there when its deadline is looked at is taken, late as it is, and nothing is aborted. */
static void answered_when_time_is_over(void **state)
{
    struct nvme_model_options options = nvme_plain;
    struct home_options home = {.seed = 1, .driver_options = "timeout=1s"};
    struct nvme_scene scene;

    (void)state;
    options.evil = NVME_NO_INTERRUPT;
    options.times = 1;
    assert_int_equal(nvme_open(&scene, &options, &home), STATUS_OK);
    assert_int_equal(job_one_of(&scene, BLOCK_READ, 0, 1), STATUS_OK);
    assert_true(host_log_has("has an answer whose interrupt was lost (1 times)"));
    assert_false(host_log_has("never finished it"));
    assert_int_equal(scene.model->aborts, 0);
    nvme_close(&scene);
}

/* ---- Life
 * ---------------------------------------------------------------------------------------------------------------- */

static void clouds(void **state)
{
    static const struct {
        const char *model, *said;
    } rows[] = {
        {"Amazon Elastic Block Store", "nvme0: Amazon Elastic Block Store (Amazon EBS), attached as /dev/sdf, serial"},
        {"Amazon EC2 NVMe Instance Storage", "(EC2 local SSD), serial"},
        {"MSFT NVMe Accelerator v1.0", "(Azure managed disk), serial"},
        {"Microsoft NVMe Direct Disk v2", "(Azure local SSD), serial"},
        {"nvme_card-pd", "nvme_card-pd (Google Persistent Disk), serial"},
        {"nvme_card", "nvme_card (Google local SSD), serial"},
        {"QEMU NVMe Ctrl",
         "nvme0: QEMU NVMe Ctrl, serial a serial, firmware 1.0, 4 MiB in 1 namespaces, 3 queues of 63"},
    };
    struct nvme_scene scene;

    (void)state;
    for (unsigned i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct nvme_model_options options = nvme_plain;
        options.model = rows[i].model;
        assert_int_equal(nvme_open(&scene, &options, NULL), STATUS_OK);
        if (!host_log_has(rows[i].said))
            fail_msg("%s: %s", rows[i].said, host_log_text());
        nvme_close(&scene);
    }
}

/* Stopping announces it and waits until the controller has written back what it has. */
/* What is in flight comes to its end, what waits for a place does not. */
static void orderly_end(void **state)
{
    enum { PLACES = 3 * 63 };
    struct nvme_scene scene;

    (void)state;
    assert_int_equal(nvme_open(&scene, &nvme_plain, NULL), STATUS_OK);
    struct job *jobs[200];
    for (unsigned i = 0; i < 200; i++)
        jobs[i] = job_create(scene.block, BLOCK_READ, i, 1, 0);
    jobs_submit(scene.block, jobs, 200); /* more than the queues hold */
    home_stop(scene.device);
    assert_int_equal(job_done_count, 200);
    for (unsigned i = 0; i < 200; i++) {
        assert_int_equal(jobs[i]->request.status, i < PLACES ? STATUS_OK : STATUS_REVOKED);
        job_destroy(jobs[i]);
    }
    assert_int_equal(scene.model->shutdowns, 1);
    assert_int_equal(scene.model->configuration & 1, 0);
    nvme_close(&scene);
}

/* What does not come to its end is waited for a while only. */
static void impatient_end(void **state)
{
    struct nvme_model_options options = nvme_plain;
    struct nvme_scene scene;

    (void)state;
    options.evil = NVME_DROPS;
    options.times = 1;
    assert_int_equal(nvme_open(&scene, &options, NULL), STATUS_OK);
    struct job *jobs[2] = {job_create(scene.block, BLOCK_WRITE, 0, 1, 0),
                           job_create(scene.block, BLOCK_WRITE, 1, 1, 0)};
    jobs_submit(scene.block, jobs, 2);
    uint64_t begun = clock_now();
    home_stop(scene.device);
    assert_in_range(clock_now() - begun, 2 * NANOSECONDS_PER_SECOND, 3 * NANOSECONDS_PER_SECOND);
    assert_int_equal(jobs[0]->request.status, STATUS_REVOKED);
    assert_int_equal(jobs[1]->request.status, STATUS_OK);
    assert_int_equal(scene.model->shutdowns, 1);
    job_destroy(jobs[0]);
    job_destroy(jobs[1]);
    nvme_close(&scene);
}

static void revoked(void **state)
{
    struct nvme_scene scene;

    (void)state;
    assert_int_equal(nvme_open(&scene, &nvme_plain, NULL), STATUS_OK);
    struct job *job = job_create(scene.block, BLOCK_READ, 0, 1, 0);
    jobs_submit(scene.block, &job, 1);
    home_revoke(scene.device);
    home_stop(scene.device);
    assert_int_equal(job->request.status, STATUS_REVOKED);
    job_destroy(job);
    nvme_close(&scene);
}

/* Every allocation in turn fails, once: the start fails and leaves nothing, or goes on with less. */
static void failing_allocations(void **state)
{
    struct nvme_scene scene;

    (void)state;
    for (unsigned i = 0;; i++) {
        home_init(&(struct home_options){.seed = i, .cpu_count = 3});
        host_log_clear();
        job_done_count = 0;
        scene.model = nvme_model_create(&nvme_plain);
        scene.device = scene.model->device;
        home_fail_allocation(i);
        enum status status = home_start(scene.device, &nvme_driver);
        scene.block = home_block(scene.device);
        if (status == STATUS_OK) {
            assert_non_null(scene.block);
            load(&scene, 100);
        }
        assert_true(status == STATUS_OK || status == STATUS_LIMIT);
        nvme_close(&scene);
        if (i > 20)
            break;
    }
}

/* Lists and loans that run out under load: requests wait for those in flight, or go in smaller pieces. */
static void little_memory(void **state)
{
    struct nvme_scene scene;

    (void)state;
    struct home_options home = {.seed = 2, .cpu_count = 1, .dma_limit = 40960};
    assert_int_equal(nvme_open(&scene, &nvme_plain, &home), STATUS_OK);
    struct job *jobs[64];
    for (unsigned i = 0; i < 64; i++)
        jobs[i] = job_create(scene.block, i % 5 == 4 ? BLOCK_DISCARD : BLOCK_WRITE, 64 * (uint64_t)i, 64, 4 * (i % 3));
    jobs_submit(scene.block, jobs, 64);
    jobs_wait(&scene, 64);
    for (unsigned i = 0; i < 64; i++) {
        assert_int_equal(jobs[i]->request.status, STATUS_OK);
        job_destroy(jobs[i]);
    }
    nvme_close(&scene);
}

static void options_of_the_manifest(void **state)
{
    static const struct {
        const char *options;
        unsigned seconds; /* after which it is asked to abort; 0: never */
    } rows[] = {{"timeout=2s", 2}, {"timeout=100s", 100}, {"timeout=0s", 0}, {"timeout=x", 30}, {"timeout=5", 30}};
    struct nvme_scene scene;

    (void)state;
    for (unsigned i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct nvme_model_options options = nvme_plain;
        struct home_options home = {.seed = 1, .driver_options = rows[i].options};
        options.evil = NVME_DROPS;
        options.times = 1;
        assert_int_equal(nvme_open(&scene, &options, &home), STATUS_OK);
        struct job *job = job_create(scene.block, BLOCK_READ, 0, 1, 0);
        jobs_submit(scene.block, &job, 1);
        uint64_t begun = clock_now();
        home_run(scene.device, (rows[i].seconds != 0 ? rows[i].seconds : 1000) * NANOSECONDS_PER_SECOND - 50000, NULL,
                 NULL);
        assert_int_equal(scene.model->aborts, 0);
        home_run(scene.device, 100 * NANOSECONDS_PER_MILLISECOND, NULL, NULL);
        assert_int_equal(scene.model->aborts, rows[i].seconds != 0);
        assert_true(clock_now() > begun);
        assert_int_equal(host_log_has("is not understood; expected whole seconds"), i >= 3);
        home_stop(scene.device);
        job_destroy(job);
        nvme_close(&scene);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sizes_and_places),
        cmocka_unit_test(chained_lists),
        cmocka_unit_test(segments),
        cmocka_unit_test(what_pages_cannot_name),
        cmocka_unit_test(beyond_32_bits),
        cmocka_unit_test(all_operations),
        cmocka_unit_test(most_blocks_of_a_command),
        cmocka_unit_test(without_cache_and_abilities),
        cmocka_unit_test(depths),
        cmocka_unit_test(one_queue_for_each_cpu),
        cmocka_unit_test(one_message_for_all),
        cmocka_unit_test(answered_when_time_is_over),
        cmocka_unit_test(doorbells),
        cmocka_unit_test(submitting_from_done),
        cmocka_unit_test(doorbell_buffer),
        cmocka_unit_test(several_namespaces),
        cmocka_unit_test(refused_formats),
        cmocka_unit_test(largest_disk),
        cmocka_unit_test(changes),
        cmocka_unit_test(clouds),
        cmocka_unit_test(orderly_end),
        cmocka_unit_test(impatient_end),
        cmocka_unit_test(revoked),
        cmocka_unit_test(failing_allocations),
        cmocka_unit_test(little_memory),
        cmocka_unit_test(options_of_the_manifest),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
