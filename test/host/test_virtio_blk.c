/*
 * test_virtio_blk.c: the virtio-blk driver against a model of a disk: random mixes of requests held against a
 * reference, the rules of block.h one by one, and every way for it to end. Disks that lie: test_virtio_blk_hostile.c.
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

/* ---- Random mixes against a reference ---------------------------------------------------------------------------- */

enum { BATCH = 48, ROUNDS = 12, PAGE = 4096, DRIVER_PARTS = 16 };

struct mix {
    struct disk_scene scene;
    struct virtio_blk_options blk;
    bool contiguous;
    unsigned parts_limit;
    uint8_t *reference, *busy; /* bytes; blocks in flight */
    unsigned unsupported, transfers;
};

/* How many parts [from, to) of the request's bytes need: cut at segments, pages of loans that lie apart, size_max. */
static unsigned parts_of(const struct mix *mix, const struct job *job, uint64_t from, uint64_t to)
{
    uint64_t at = 0;
    unsigned count = 0;

    for (unsigned i = 0; i < job->request.segment_count; at += job->segments[i++].length) {
        uint64_t first = from > at ? from : at,
                 last = at + job->segments[i].length < to ? at + job->segments[i].length : to;
        while (first < last) {
            uint64_t address = job->segments[i].offset + (first - at), length = last - first;
            if (!mix->contiguous && length > PAGE - address % PAGE)
                length = PAGE - address % PAGE;
            count += (unsigned)((length + mix->blk.size_max - 1) / mix->blk.size_max);
            first += length;
        }
    }
    return count;
}

static enum status expected(const struct mix *mix, const struct job *job)
{
    uint64_t block = mix->scene.block->info.block_size;

    for (uint64_t at = 0; at < job->size; at += block)
        if (parts_of(mix, job, at, at + block) > mix->parts_limit)
            return STATUS_UNSUPPORTED;
    return STATUS_OK;
}

static struct job *random_job(struct mix *mix)
{
    static const enum block_operation kinds[] = {BLOCK_READ,  BLOCK_READ,    BLOCK_READ,
                                                 BLOCK_WRITE, BLOCK_WRITE,   BLOCK_WRITE,
                                                 BLOCK_FLUSH, BLOCK_DISCARD, BLOCK_WRITE_ZEROES};
    const struct block_info *info = &mix->scene.block->info;
    enum block_operation kind = kinds[home_random() % 9];
    uint64_t most = home_random() % 4 == 0 ? info->block_count / 4 : 16;
    uint64_t count = 1 + home_random() % most, first = home_random() % (info->block_count - count + 1);

    if (kind == BLOCK_FLUSH)
        return job_create(info, kind, 0, 0);
    for (uint64_t i = first; i < first + count; i++)
        if (mix->busy[i])
            return NULL;
    memset(mix->busy + first, 1, count);
    struct job *job = job_create(info, kind, first, count);
    if (job->size != 0 && home_random() % 3 != 0)
        job_cut(job);
    return job;
}

static void check_job(struct mix *mix, struct job *job)
{
    uint64_t block = mix->scene.block->info.block_size, size = job->request.block_count * block;
    uint8_t *reference = mix->reference + job->request.first_block * block;
    uint8_t *real = mix->scene.disk->sectors + job->request.first_block * block;
    enum status status = expected(mix, job);

    assert_int_equal(job->done, 1);
    if (job->request.status != status)
        fail_msg("operation %u of %llu blocks in %u segments: %s, not %s", job->request.operation,
                 (unsigned long long)job->request.block_count, job->request.segment_count,
                 status_text(job->request.status), status_text(status));
    mix->unsupported += status != STATUS_OK;
    if (job->request.operation == BLOCK_READ && status == STATUS_OK)
        assert_memory_equal(job_bytes(job), reference, size);
    if (job->request.operation == BLOCK_DISCARD)
        memset(reference, BLK_DISCARDED, size);
    if (job->request.operation == BLOCK_WRITE_ZEROES)
        memset(reference, 0, size);
    if (job->request.operation == BLOCK_WRITE)
        for (uint64_t at = 0; at < size; at += block) { /* an unsupported write may have begun */
            if (status == STATUS_OK || memcmp(real + at, reference + at, block) != 0)
                memcpy(reference + at, job_bytes(job) + at, block);
        }
    assert_memory_equal(real, reference, size);
    memset(mix->busy + job->request.first_block, 0, job->request.block_count);
    job_destroy(job);
}

static void play_mix(struct mix *mix)
{
    unsigned total = 0;

    for (unsigned round = 0; round < ROUNDS; round++) {
        struct job *jobs[BATCH];
        unsigned count = 0, taken = 0;
        for (unsigned i = 0; i < BATCH; i++)
            if ((jobs[count] = random_job(mix)) != NULL)
                count++;
        while (taken < count) { /* in several batches, with time between */
            unsigned now = 1 + (unsigned)(home_random() % (count - taken));
            assert_int_equal(disk_submit(&mix->scene, jobs + taken, now), now);
            taken += now;
            home_run(mix->scene.device, home_random() % 200000, NULL, NULL);
        }
        total += count;
        disk_run_until_done(&mix->scene, total);
        for (unsigned i = 0; i < count; i++)
            check_job(mix, jobs[i]);
        assert_int_equal(home_account(mix->scene.device).loans, 0);
    }
    assert_memory_equal(mix->reference, mix->scene.disk->sectors, mix->blk.sectors * SECTOR);
}

static void test_mix(void **state)
{
    unsigned total = 0, unsupported = 0, most_parts = 0;

    (void)state;
    for (unsigned seed = 0; seed < 80; seed++) {
        struct virtio_model_options options = class_options(seed);
        struct mix mix = {.blk = disk_plain, .contiguous = seed / 40 % 2 != 0};
        class_begin(seed, mix.contiguous);
        options.delay_ns = (uint32_t)(home_random() % 300000);
        options.reorder = home_random() % 2;
        options.one_at_a_time = home_random() % 4 == 0;
        options.queue_size = (uint16_t)(8u << home_random() % 5);
        mix.blk.block_size = 512u << home_random() % 4;
        mix.blk.sectors = 1024 + 8 * (home_random() % 64) * (seed % 8 == 0 ? 32 : 1);
        mix.blk.sectors &= ~(uint64_t)7;
        mix.blk.seg_max = 1 + (uint32_t)home_random() % 40;
        mix.blk.size_max = home_random() % 2 ? 1 << 20 : 4096 + 4 * (uint32_t)(home_random() % 1000);
        disk_open(&mix.scene, &options, &mix.blk, VIRTIO_EVIL_NONE);
        disk_start(&mix.scene);
        unsigned ring = mix.scene.block->info.queue_depth - 2;
        mix.parts_limit = mix.blk.seg_max < DRIVER_PARTS ? mix.blk.seg_max : DRIVER_PARTS;
        mix.parts_limit = ring < mix.parts_limit ? ring : mix.parts_limit;
        mix.reference = malloc(mix.blk.sectors * SECTOR);
        memcpy(mix.reference, mix.scene.disk->sectors, mix.blk.sectors * SECTOR);
        mix.busy = calloc(mix.blk.sectors, 1);
        play_mix(&mix);
        class_expect_log("mix", NULL);
        total += job_done_count;
        unsupported += mix.unsupported;
        most_parts = mix.scene.disk->most_parts > most_parts ? mix.scene.disk->most_parts : most_parts;
        free(mix.reference);
        free(mix.busy);
        disk_close(&mix.scene);
    }
    assert_true(unsupported > 0 && unsupported < total / 2);
    assert_int_equal(most_parts, DRIVER_PARTS);
    print_message("%u requests, %u of them too scattered\n", total, unsupported);
}

/* ---- The rules, one by one ------------------------------------------------------------------------------------- */

/* Runs `test` on an ordinary disk over every transport, with and without EVENT_IDX, INDIRECT_DESC and vectors. */
static void everywhere(void (*test)(struct disk_scene *scene), uint32_t delay_ns)
{
    for (unsigned number = 0; number < 40; number++) {
        struct virtio_model_options options = class_options(number);
        struct disk_scene scene;
        options.delay_ns = delay_ns;
        class_begin(number, number % 3 == 0);
        disk_open(&scene, &options, &disk_plain, VIRTIO_EVIL_NONE);
        disk_start(&scene);
        test(&scene);
        disk_close(&scene);
    }
}

static void rings_once(struct disk_scene *scene)
{
    struct job *jobs[32];

    for (unsigned i = 0; i < 32; i++)
        jobs[i] = job_create(&scene->block->info, i % 2 ? BLOCK_READ : BLOCK_WRITE, i * 4, 1 + i % 3);
    uint64_t before = virtio_model_notifications(scene->disk->core);
    assert_int_equal(disk_submit(scene, jobs, 32), 32);
    assert_int_equal(virtio_model_notifications(scene->disk->core) - before, 1);
    assert_int_equal(job_done_count, 0);
    disk_run_until_done(scene, 32);
    for (unsigned i = 0; i < 32; i++) {
        assert_int_equal(jobs[i]->request.status, STATUS_OK);
        job_destroy(jobs[i]);
    }
}

static void test_rings_once(void **state)
{
    (void)state;
    everywhere(rings_once, 100000);
}

/* Nothing waits for the look that comes now and then: neither what the device has done, nor what needs no device. */
static void is_prompt(struct disk_scene *scene)
{
    struct job *job = job_create(&scene->block->info, BLOCK_READ, 0, 1);

    for (unsigned i = 1; i <= 60; i++) {
        job->done = 0;
        job->request.first_block = i % 4 == 3 ? UINT64_MAX : i;
        assert_int_equal(disk_submit(scene, &job, 1), 1);
        for (unsigned k = 0; k < 5 && job->done == 0; k++)
            home_run(scene->device, MILLISECOND, NULL, NULL);
        assert_int_equal(job_done_count, i);
        assert_int_equal(job->request.status, i % 4 == 3 ? STATUS_OUT_OF_RANGE : STATUS_OK);
    }
    job_destroy(job);
}

static void test_is_prompt(void **state)
{
    (void)state;
    everywhere(is_prompt, 100000);
}

/* A poll finds completions without an interrupt. */
static void polls(struct disk_scene *scene)
{
    struct job *job = job_create(&scene->block->info, BLOCK_READ, 0, 1);

    assert_int_equal(disk_submit(scene, &job, 1), 1);
    for (unsigned i = 0; i < 1000 && job_done_count == 0; i++) {
        driver_wait(scene->device, 0, clock_now() + 1000);
        scene->block->ops->poll(scene->block->driver);
    }
    assert_int_equal(job_done_count, 1);
    assert_int_equal(job->request.status, STATUS_OK);
    job_destroy(job);
}

static void test_polls(void **state)
{
    (void)state;
    everywhere(polls, 0);
}

/* What is wrong with a request is said by its status, in its turn, and the device never hears of it. */
static void checks(struct disk_scene *scene)
{
    const uint64_t blocks = scene->block->info.block_count;
    const struct {
        enum block_operation operation;
        uint64_t first, count;
        enum status status;
    } rows[] = {
        {BLOCK_READ, blocks - 1, 1, STATUS_OK},
        {BLOCK_READ, blocks, 1, STATUS_OUT_OF_RANGE},
        {BLOCK_READ, blocks - 1, 2, STATUS_OUT_OF_RANGE},
        {BLOCK_WRITE, UINT64_MAX, 1, STATUS_OUT_OF_RANGE},
        {BLOCK_DISCARD, UINT64_MAX, 2, STATUS_OUT_OF_RANGE},
        {BLOCK_WRITE_ZEROES, 1, UINT64_MAX, STATUS_OUT_OF_RANGE},
        {BLOCK_DISCARD, 0, blocks + 1, STATUS_OUT_OF_RANGE},
        {BLOCK_READ, 0, 0, STATUS_INVALID},
        {BLOCK_DISCARD, 0, 0, STATUS_INVALID},
        {(enum block_operation)5, 0, 1, STATUS_INVALID},
        {(enum block_operation)99, 0, 1, STATUS_INVALID},
    };
    for (unsigned i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct job *job = job_create(&scene->block->info, rows[i].operation, rows[i].first, 0);
        job->request.block_count = rows[i].count;
        job->memory = realloc(job->memory, 2 * SECTOR);
        job->segments[0] = (struct memory_ref){.offset = (uintptr_t)job->memory, .length = rows[i].count * SECTOR};
        job->request.segment_count = 1;
        assert_int_equal(disk_one(scene, job), rows[i].status);
        job_destroy(job);
    }
    static const struct {
        uint64_t lengths[3];
        unsigned count;
        enum status status;
    } cuts[] = {
        {{1024}, 1, STATUS_OK},
        {{4, 1016, 4}, 3, STATUS_OK},
        {{1020}, 1, STATUS_INVALID},
        {{1028}, 1, STATUS_INVALID},
        {{1022, 2}, 2, STATUS_INVALID},
        {{1024, 0}, 2, STATUS_INVALID},
        {{0, 1024}, 2, STATUS_INVALID},
        {{1024, 4}, 2, STATUS_INVALID},
        {{UINT64_MAX - 3, 1024, 4}, 3, STATUS_INVALID},
        {{0}, 0, STATUS_INVALID},
        {{UINT64_MAX - 1023, 2048}, 2, STATUS_INVALID},
    };
    for (unsigned i = 0; i < sizeof cuts / sizeof cuts[0]; i++) {
        struct job *job = job_create(&scene->block->info, BLOCK_READ, 5, 2);
        uint64_t at = job->segments[0].offset;
        for (unsigned k = 0; k < cuts[i].count; k++) {
            job->segments[k] = (struct memory_ref){.offset = at, .length = cuts[i].lengths[k]};
            at += cuts[i].lengths[k];
        }
        job->request.segment_count = cuts[i].count;
        assert_int_equal(disk_one(scene, job), cuts[i].status);
        job_destroy(job);
    }
    assert_int_equal(scene->disk->beyond, 0);
    assert_int_equal(scene->disk->reads, 3);
}

static void test_checks(void **state)
{
    (void)state;
    everywhere(checks, 0);
}

/* Discards and zeroes are split at the device's limits, 100 and 300 sectors. */
static void splits(struct disk_scene *scene)
{
    const uint8_t *sectors = scene->disk->sectors;

    assert_true(scene->block->info.can_discard && scene->block->info.can_write_zeroes);
    assert_int_equal(scene->block->info.max_discard_blocks, 100);
    assert_int_equal(disk_one_of(scene, BLOCK_DISCARD, 10, 950), STATUS_OK);
    assert_int_equal(scene->disk->discards, 10);
    assert_int_equal(disk_one_of(scene, BLOCK_WRITE_ZEROES, 2000, 601), STATUS_OK);
    assert_int_equal(scene->disk->zeroes, 3);
    for (unsigned i = 0; i < disk_plain.sectors * SECTOR; i++) {
        unsigned sector = i / SECTOR;
        uint8_t old = disk_pattern[i % sizeof disk_pattern];
        assert_int_equal(sectors[i], sector >= 10 && sector < 960      ? BLK_DISCARDED
                                     : sector >= 2000 && sector < 2601 ? 0
                                                                       : old);
    }
}

static void test_splits(void **state)
{
    (void)state;
    everywhere(splits, 1000);
}

/* Pages that lie apart go 16 at a time. */
static void fills_transfers(struct disk_scene *scene)
{
    struct job *job = job_create(&scene->block->info, BLOCK_READ, 0, 2048);
    uint8_t *memory = aligned_alloc(PAGE, 2048 * SECTOR);

    job->segments[0].offset = (uintptr_t)memory;
    assert_int_equal(disk_one(scene, job), STATUS_OK);
    assert_memory_equal(memory, scene->disk->sectors, job->size);
    assert_in_range(scene->disk->reads, 1, 16); /* one where memory lies together */
    free(memory);
    job_destroy(job);
}

static void test_fills_transfers(void **state)
{
    (void)state;
    everywhere(fills_transfers, 0);
}

/* A client that submits from `done`, right requests and wrong ones. */
static struct disk_scene *chain_scene;
static unsigned chain_left;

static void chain(struct job *job)
{
    if (chain_left == 0)
        return;
    chain_left--;
    job->done = 0;
    job->request.first_block = chain_left % 2 ? UINT64_MAX : chain_left;
    struct block_request *request = &job->request;
    assert_int_equal(chain_scene->block->ops->submit(chain_scene->block->driver, &request, 1), 1);
    chain_scene->block->ops->poll(chain_scene->block->driver);
}

static void chains(struct disk_scene *scene)
{
    struct job *job = job_create(&scene->block->info, BLOCK_READ, 0, 1);

    chain_scene = scene;
    chain_left = 50;
    job->then = chain;
    assert_int_equal(disk_submit(scene, &job, 1), 1);
    disk_run_until_done(scene, 51);
    job_destroy(job);
}

static void test_submits_from_done(void **state)
{
    (void)state;
    everywhere(chains, 0);
}

/* A wrong request, over and over from its own `done`: the others still get their turn. */
static void chain_for_ever(struct job *job)
{
    struct block_request *request = &job->request;

    if (chain_left-- == 0)
        fail_msg("the driver is caught in a client's loop");
    if (job->request.status == STATUS_REVOKED)
        return;
    job->done = 0;
    assert_int_equal(chain_scene->block->ops->submit(chain_scene->block->driver, &request, 1), 1);
}

static void test_client_loops(void **state)
{
    struct virtio_model_options options = class_options(1);
    struct disk_scene scene;

    (void)state;
    class_begin(1, false);
    disk_open(&scene, &options, &disk_plain, VIRTIO_EVIL_NONE);
    disk_start(&scene);
    struct job *jobs[2] = {job_create(&scene.block->info, BLOCK_READ, UINT64_MAX, 1),
                           job_create(&scene.block->info, BLOCK_READ, 0, 1)};
    chain_scene = &scene;
    chain_left = 5000;
    jobs[0]->then = chain_for_ever;
    assert_int_equal(disk_submit(&scene, jobs, 2), 2);
    for (unsigned i = 0; i < 20; i++)
        home_handle(scene.device, 0);
    home_run(scene.device, MILLISECOND, NULL, NULL);
    assert_int_equal(jobs[1]->done, 1);
    jobs[0]->then = NULL;
    home_handle(scene.device, 0);
    disk_close(&scene);
    job_destroy(jobs[0]);
    job_destroy(jobs[1]);
}

/* ---- The end ------------------------------------------------------------------------------------------------------
 */

enum { MANY = 100 };

static void fill(struct disk_scene *scene, struct job *jobs[MANY])
{
    for (unsigned i = 0; i < MANY; i++) {
        jobs[i] = job_create(&scene->block->info, i % 2 ? BLOCK_READ : BLOCK_WRITE, i * 20, 1 + i % 20);
        if (i % 10 == 9)
            jobs[i]->request.first_block = UINT64_MAX;
    }
    assert_int_equal(disk_submit(scene, jobs, MANY), MANY);
}

/* Each is done once: with its result, with `status` (some are), or with `other`. */
static void expect_ended(struct job *jobs[MANY], enum status status, enum status other)
{
    unsigned ended = 0;

    assert_int_equal(job_done_count, MANY);
    for (unsigned i = 0; i < MANY; i++) {
        assert_int_equal(jobs[i]->done, 1);
        if (i % 10 == 9)
            assert_int_equal(jobs[i]->request.status, STATUS_OUT_OF_RANGE);
        else if (jobs[i]->request.status != STATUS_OK && jobs[i]->request.status != other)
            assert_int_equal(jobs[i]->request.status, status);
        ended += jobs[i]->request.status == status;
        job_destroy(jobs[i]);
    }
    assert_true(ended > 0);
}

/* Clients may ask for more while they are told of the end: nothing is taken any more. */
static void nag(struct job *job)
{
    struct block_request *again = &job->request;

    if (job->request.status == STATUS_REVOKED)
        assert_int_equal(chain_scene->block->ops->submit(chain_scene->block->driver, &again, 1), 0);
    chain_scene->block->ops->poll(chain_scene->block->driver);
}

static void stops(struct disk_scene *scene)
{
    struct job *jobs[MANY];

    chain_scene = scene;
    fill(scene, jobs);
    for (unsigned i = 0; i < MANY; i++)
        jobs[i]->then = nag;
    home_run(scene->device, 200000, NULL, NULL);
    driver_wait(scene->device, 0, clock_now() + 200000); /* completions that nobody has taken */
    home_stop(scene->device);
    assert_null(home_failure(scene->device));
    expect_ended(jobs, STATUS_REVOKED, STATUS_OK);
    assert_int_equal(virtio_model_status(scene->disk->core), 0);
}

static void test_stops_in_flight(void **state)
{
    (void)state;
    everywhere(stops, 1000000);
}

static void stops_revoked(struct disk_scene *scene)
{
    struct job *jobs[MANY];

    fill(scene, jobs);
    home_run(scene->device, 200000, NULL, NULL);
    home_revoke(scene->device);
    scene->revoked = true;
    home_run(scene->device, SECOND, NULL, NULL);
    home_stop(scene->device);
    expect_ended(jobs, STATUS_REVOKED, STATUS_OK);
    home_renew(scene->device);
}

static void test_stops_revoked(void **state)
{
    (void)state;
    everywhere(stops_revoked, 1000000);
}

/* The device does not confirm its reset: what it may still use stays with it, and the clients hear of a fault. */
static void stops_stuck(struct disk_scene *scene)
{
    struct job *jobs[MANY];

    fill(scene, jobs);
    home_run(scene->device, 200000, NULL, NULL);
    virtio_model_misbehave(scene->disk->core, D04_RESET_STUCK);
    home_quarantine(scene->device);
    unsigned loans = home_account(scene->device).loans;
    home_stop(scene->device);
    expect_ended(jobs, STATUS_DEVICE_FAULT, STATUS_OK);
    assert_true(loans > 0);
    assert_int_equal(home_account(scene->device).loans, loans);
    assert_int_equal(home_account(scene->device).queues, 1);
    assert_true(home_account(scene->device).owned >= 1);
}

static void test_stops_stuck(void **state)
{
    (void)state;
    everywhere(stops_stuck, 1000000);
}

/* A broken ring ends in device_fail; after a stop and a start all is as new. */
static void starts_again(struct disk_scene *scene)
{
    struct job *jobs[MANY];

    disk_expect_transfers(scene);
    job_done_count = 0;
    virtio_model_misbehave(scene->disk->core, E01_ID_HUGE);
    fill(scene, jobs);
    home_run(scene->device, SECOND, NULL, NULL);
    assert_non_null(home_failure(scene->device));
    struct job *late = job_create(&scene->block->info, BLOCK_READ, 0, 1);
    assert_int_equal(disk_submit(scene, &late, 1), 1); /* before anybody has stopped it */
    home_stop(scene->device);
    assert_int_equal(late->done, 1);
    assert_true(late->request.status == STATUS_DEVICE_FAULT || late->request.status == STATUS_REVOKED);
    job_destroy(late);
    job_done_count--;
    expect_ended(jobs, STATUS_REVOKED, STATUS_DEVICE_FAULT);
    virtio_model_misbehave(scene->disk->core, VIRTIO_EVIL_NONE);
    disk_start(scene);
    disk_expect_transfers(scene);
}

static void test_starts_again(void **state)
{
    (void)state;
    everywhere(starts_again, 1000);
}

/* Whatever cannot be had at start or later, nothing is lost. */
static void test_nothing_to_be_had(void **state)
{
    (void)state;
    for (unsigned number = 0; number < 40; number++)
        for (unsigned after = 0; after < 14; after++) {
            struct virtio_model_options options = class_options(number);
            struct disk_scene scene;
            class_begin(number, false);
            disk_open(&scene, &options, &disk_plain, VIRTIO_EVIL_NONE);
            home_fail_allocation(after);
            if (home_start(scene.device, &virtio_blk_driver) == STATUS_OK) {
                struct job *jobs[3];
                scene.block = home_block(scene.device);
                for (unsigned i = 0; i < 3; i++)
                    jobs[i] = job_create(&scene.block->info, BLOCK_READ, i, 40);
                assert_int_equal(disk_submit(&scene, jobs, 3), 3);
                disk_run_until_done(&scene, 3);
                for (unsigned i = 0; i < 3; i++) {
                    assert_true(jobs[i]->request.status == STATUS_OK || jobs[i]->request.status == STATUS_UNSUPPORTED);
                    job_destroy(jobs[i]);
                }
            } else {
                assert_int_equal(virtio_model_status(scene.disk->core), 0);
            }
            disk_close(&scene);
        }
}

/* ---- What the disk says of itself -----------------------------------------------------------------------------------
 */

static void test_description(void **state)
{
    (void)state;
    for (unsigned number = 0; number < 40; number++) {
        struct virtio_model_options options = class_options(number);
        struct virtio_blk_options blk = disk_plain;
        struct disk_scene scene;
        blk.block_size = 4096;
        blk.physical_exponent = 2;
        blk.optimal_blocks = 8;
        blk.sectors = 8 * 100 + 5;
        class_begin(number, false);
        disk_open(&scene, &options, &blk, VIRTIO_EVIL_NONE);
        disk_start(&scene);
        const struct block_info *info = &scene.block->info;
        assert_int_equal(info->block_count, 100);
        assert_int_equal(info->block_size, 4096);
        assert_int_equal(info->physical_block_size, 16384);
        assert_int_equal(info->optimal_transfer, 32768);
        assert_int_equal(info->max_discard_blocks, 12);
        assert_int_equal(info->queue_depth, 32);
        assert_true(info->write_cache && !info->read_only);
        assert_string_equal(info->serial, "a serial  number");
        class_expect_log("description", NULL);
        disk_expect_transfers(&scene);
        assert_int_equal(disk_one_of(&scene, BLOCK_FLUSH, 0, 0), STATUS_OK);
        assert_int_equal(scene.disk->flushes, 1);
        disk_close(&scene);
    }
}

/* A disk that offers nothing: blocks of 512, no flush needed, any parts. */
static void test_bare(void **state)
{
    struct virtio_blk_options blk = {.sectors = 64};

    (void)state;
    for (unsigned number = 0; number < 40; number++) {
        struct virtio_model_options options = class_options(number);
        struct disk_scene scene;
        class_begin(number, false);
        disk_open(&scene, &options, &blk, VIRTIO_EVIL_NONE);
        disk_start(&scene);
        assert_int_equal(scene.block->info.block_size, 512);
        assert_string_equal(scene.block->info.serial, "");
        assert_int_equal(disk_one_of(&scene, BLOCK_FLUSH, 0, 0), STATUS_OK);
        assert_int_equal(scene.disk->flushes, 0);
        assert_int_equal(disk_one_of(&scene, BLOCK_DISCARD, 0, 1), STATUS_UNSUPPORTED);
        assert_int_equal(disk_one_of(&scene, BLOCK_WRITE_ZEROES, 0, 1), STATUS_UNSUPPORTED);
        disk_expect_transfers(&scene);
        disk_close(&scene);
    }
}

static void test_read_only(void **state)
{
    struct virtio_blk_options blk = disk_plain;

    (void)state;
    blk.features |= VIRTIO_FEATURE(BLK_RO);
    for (unsigned number = 0; number < 40; number++) {
        struct virtio_model_options options = class_options(number);
        struct disk_scene scene;
        class_begin(number, false);
        disk_open(&scene, &options, &blk, VIRTIO_EVIL_NONE);
        disk_start(&scene);
        assert_true(scene.block->info.read_only && !scene.block->info.can_discard &&
                    !scene.block->info.can_write_zeroes);
        assert_int_equal(disk_one_of(&scene, BLOCK_WRITE, 0, 1), STATUS_READ_ONLY);
        assert_int_equal(disk_one_of(&scene, BLOCK_DISCARD, 0, 1), STATUS_READ_ONLY);
        assert_int_equal(disk_one_of(&scene, BLOCK_WRITE_ZEROES, 0, 1), STATUS_READ_ONLY);
        assert_int_equal(disk_one_of(&scene, BLOCK_READ, 0, 1), STATUS_OK);
        assert_int_equal(disk_one_of(&scene, BLOCK_FLUSH, 0, 0), STATUS_OK);
        disk_close(&scene);
    }
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_mix),
        cmocka_unit_test(test_rings_once),
        cmocka_unit_test(test_is_prompt),
        cmocka_unit_test(test_polls),
        cmocka_unit_test(test_checks),
        cmocka_unit_test(test_splits),
        cmocka_unit_test(test_fills_transfers),
        cmocka_unit_test(test_submits_from_done),
        cmocka_unit_test(test_client_loops),
        cmocka_unit_test(test_stops_in_flight),
        cmocka_unit_test(test_stops_revoked),
        cmocka_unit_test(test_stops_stuck),
        cmocka_unit_test(test_starts_again),
        cmocka_unit_test(test_nothing_to_be_had),
        cmocka_unit_test(test_description),
        cmocka_unit_test(test_bare),
        cmocka_unit_test(test_read_only),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
