/*
 * test_virtio_blk.c: the virtio-blk driver against a model of a disk: random mixes of requests held against a
 * reference, the rules of block.h one by one, and disks that lie (E20 to E23), one row for each case.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>
#include <driver/virtio/virtio.h>
#include <model/virtio_blk.h>
#include <vmos/block.h>
#include "host_log.h"
#include "virtio_class.h"

#define ALL_FEATURES                                                                                                   \
    (VIRTIO_FEATURE(BLK_SIZE_MAX) | VIRTIO_FEATURE(BLK_SEG_MAX) | VIRTIO_FEATURE(BLK_BLK_SIZE) |                       \
     VIRTIO_FEATURE(BLK_FLUSH) | VIRTIO_FEATURE(BLK_TOPOLOGY) | VIRTIO_FEATURE(BLK_DISCARD) |                          \
     VIRTIO_FEATURE(BLK_WRITE_ZEROES))

enum { SECTOR = 512, PAGE = 4096, DRIVER_PARTS = 16, MAX_SEGMENTS = 512 };

static const struct virtio_blk_options plain = {
    .sectors = 4096,
    .features = ALL_FEATURES,
    .block_size = 512,
    .seg_max = 126,
    .size_max = 1 << 20,
    .max_discard_sectors = 100,
    .max_zeroes_sectors = 300,
    .serial = "a serial  number",
};

/* ---- Jobs: requests with memory of their own ------------------------------------------------------------------ */

struct job {
    struct block_request request; /* first: done gets it back */
    struct memory_ref segments[MAX_SEGMENTS];
    uint8_t *memory;
    size_t size;
    unsigned done;
    void (*then)(struct job *job);
};

static bool in_submit;
static unsigned done_count;

static void job_done(struct block_request *request)
{
    struct job *job = (struct job *)request;

    assert_false(in_submit);
    assert_int_equal(job->done++, 0);
    done_count++;
    if (job->then != NULL)
        job->then(job);
}

/* All in one segment, at an odd place in memory. */
static struct job *job_create(const struct block_info *info, enum block_operation operation, uint64_t first,
                              uint64_t count)
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

static uint8_t *job_bytes(const struct job *job)
{
    return (uint8_t *)(uintptr_t)job->segments[0].offset;
}

static void job_destroy(struct job *job)
{
    free(job->memory);
    free(job);
}

/* Cuts the one segment into several, at multiples of 4. */
static void job_cut(struct job *job)
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

struct scene {
    struct virtio_blk_model *disk;
    struct device *device;
    struct block_device *block;
    bool revoked;
};

static uint8_t pattern[256 * SECTOR]; /* what disks hold at first, over and over */

static void open_disk(struct scene *scene, const struct virtio_model_options *options,
                      const struct virtio_blk_options *blk, enum virtio_model_evil evil)
{
    in_submit = scene->revoked = false;
    done_count = 0;
    scene->disk = virtio_blk_create(options, blk, evil);
    scene->device = virtio_model_device(scene->disk->core);
    for (uint64_t at = 0, size = blk->sectors * SECTOR; at < size; at += sizeof pattern)
        memcpy(scene->disk->sectors + at, pattern, size - at < sizeof pattern ? size - at : sizeof pattern);
}

static void start_disk(struct scene *scene)
{
    if (home_start(scene->device, &virtio_blk_driver) != STATUS_OK)
        fail_msg("the driver did not start: %s", host_log_text());
    scene->block = home_block(scene->device);
    assert_non_null(scene->block);
}

static void close_disk(struct scene *scene)
{
    class_end(scene->disk->core, scene->revoked);
    virtio_blk_destroy(scene->disk);
}

static unsigned submit(struct scene *scene, struct job *jobs[], unsigned count)
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
    return done_count >= *(unsigned *)context;
}

static void run_until_done(struct scene *scene, unsigned count)
{
    home_run(scene->device, 60 * SECOND, as_many_done, &count);
    if (done_count != count)
        fail_msg("%u of %u requests are done: %s", done_count, count, host_log_text());
}

/* One request, alone, and its status. */
static enum status one(struct scene *scene, struct job *job)
{
    unsigned before = done_count;

    assert_int_equal(submit(scene, &job, 1), 1);
    run_until_done(scene, before + 1);
    return job->request.status;
}

static enum status one_of(struct scene *scene, enum block_operation operation, uint64_t first, uint64_t count)
{
    struct job *job = job_create(&scene->block->info, operation, first, count);
    enum status status = one(scene, job);

    job_destroy(job);
    return status;
}

/* A write and a read of it, which also must show on the disk itself. */
static void expect_transfers(struct scene *scene)
{
    const struct block_info *info = &scene->block->info;
    struct job *write = job_create(info, BLOCK_WRITE, 3, 5), *read = job_create(info, BLOCK_READ, 3, 5);

    assert_int_equal(one(scene, write), STATUS_OK);
    assert_memory_equal(job_bytes(write), scene->disk->sectors + 3 * info->block_size, write->size);
    assert_int_equal(one(scene, read), STATUS_OK);
    assert_memory_equal(job_bytes(write), job_bytes(read), write->size);
    job_destroy(write);
    job_destroy(read);
}

/* ---- Random mixes against a reference ---------------------------------------------------------------------------- */

enum { BATCH = 48, ROUNDS = 12 };

struct mix {
    struct scene scene;
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
            assert_int_equal(submit(&mix->scene, jobs + taken, now), now);
            taken += now;
            home_run(mix->scene.device, home_random() % 200000, NULL, NULL);
        }
        total += count;
        run_until_done(&mix->scene, total);
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
        struct mix mix = {.blk = plain, .contiguous = seed / 40 % 2 != 0};
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
        open_disk(&mix.scene, &options, &mix.blk, VIRTIO_EVIL_NONE);
        start_disk(&mix.scene);
        unsigned ring = (options.queue_size < 64 ? options.queue_size : 64) - 2u;
        mix.parts_limit = mix.blk.seg_max < DRIVER_PARTS ? mix.blk.seg_max : DRIVER_PARTS;
        mix.parts_limit = ring < mix.parts_limit ? ring : mix.parts_limit;
        mix.reference = malloc(mix.blk.sectors * SECTOR);
        memcpy(mix.reference, mix.scene.disk->sectors, mix.blk.sectors * SECTOR);
        mix.busy = calloc(mix.blk.sectors, 1);
        play_mix(&mix);
        class_expect_log("mix", NULL);
        total += done_count;
        unsupported += mix.unsupported;
        most_parts = mix.scene.disk->most_parts > most_parts ? mix.scene.disk->most_parts : most_parts;
        free(mix.reference);
        free(mix.busy);
        close_disk(&mix.scene);
    }
    assert_true(unsupported > 0 && unsupported < total / 2);
    assert_int_equal(most_parts, DRIVER_PARTS);
    print_message("%u requests, %u of them too scattered\n", total, unsupported);
}

/* ---- The rules, one by one ------------------------------------------------------------------------------------- */

/* Runs `test` on an ordinary disk over every transport, with and without EVENT_IDX, INDIRECT_DESC and vectors. */
static void everywhere(void (*test)(struct scene *scene), uint32_t delay_ns)
{
    for (unsigned number = 0; number < 40; number++) {
        struct virtio_model_options options = class_options(number);
        struct scene scene;
        options.delay_ns = delay_ns;
        class_begin(number, number % 3 == 0);
        open_disk(&scene, &options, &plain, VIRTIO_EVIL_NONE);
        start_disk(&scene);
        test(&scene);
        close_disk(&scene);
    }
}

static void rings_once(struct scene *scene)
{
    struct job *jobs[32];

    for (unsigned i = 0; i < 32; i++)
        jobs[i] = job_create(&scene->block->info, i % 2 ? BLOCK_READ : BLOCK_WRITE, i * 4, 1 + i % 3);
    uint64_t before = virtio_model_notifications(scene->disk->core);
    assert_int_equal(submit(scene, jobs, 32), 32);
    assert_int_equal(virtio_model_notifications(scene->disk->core) - before, 1);
    assert_int_equal(done_count, 0);
    run_until_done(scene, 32);
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

/* A poll finds completions without an interrupt. */
static void polls(struct scene *scene)
{
    struct job *job = job_create(&scene->block->info, BLOCK_READ, 0, 1);

    assert_int_equal(submit(scene, &job, 1), 1);
    for (unsigned i = 0; i < 1000 && done_count == 0; i++) {
        driver_wait(scene->device, 0, clock_now() + 1000);
        scene->block->ops->poll(scene->block->driver);
    }
    assert_int_equal(done_count, 1);
    assert_int_equal(job->request.status, STATUS_OK);
    job_destroy(job);
}

static void test_polls(void **state)
{
    (void)state;
    everywhere(polls, 0);
}

/* What is wrong with a request is said by its status, in its turn, and the device never hears of it. */
static void checks(struct scene *scene)
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
        assert_int_equal(one(scene, job), rows[i].status);
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
        assert_int_equal(one(scene, job), cuts[i].status);
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
static void splits(struct scene *scene)
{
    const uint8_t *sectors = scene->disk->sectors;

    assert_true(scene->block->info.can_discard && scene->block->info.can_write_zeroes);
    assert_int_equal(scene->block->info.max_discard_blocks, 100);
    assert_int_equal(one_of(scene, BLOCK_DISCARD, 10, 950), STATUS_OK);
    assert_int_equal(scene->disk->discards, 10);
    assert_int_equal(one_of(scene, BLOCK_WRITE_ZEROES, 2000, 601), STATUS_OK);
    assert_int_equal(scene->disk->zeroes, 3);
    for (unsigned i = 0; i < plain.sectors * SECTOR; i++) {
        unsigned sector = i / SECTOR;
        uint8_t old = pattern[i % sizeof pattern];
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

/* A client that submits from `done`, right requests and wrong ones. */
static struct scene *chain_scene;
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

static void chains(struct scene *scene)
{
    struct job *job = job_create(&scene->block->info, BLOCK_READ, 0, 1);

    chain_scene = scene;
    chain_left = 50;
    job->then = chain;
    assert_int_equal(submit(scene, &job, 1), 1);
    run_until_done(scene, 51);
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
    struct scene scene;

    (void)state;
    class_begin(1, false);
    open_disk(&scene, &options, &plain, VIRTIO_EVIL_NONE);
    start_disk(&scene);
    struct job *jobs[2] = {job_create(&scene.block->info, BLOCK_READ, UINT64_MAX, 1),
                           job_create(&scene.block->info, BLOCK_READ, 0, 1)};
    chain_scene = &scene;
    chain_left = 5000;
    jobs[0]->then = chain_for_ever;
    assert_int_equal(submit(&scene, jobs, 2), 2);
    for (unsigned i = 0; i < 20; i++)
        home_handle(scene.device, 0);
    home_run(scene.device, MILLISECOND, NULL, NULL);
    assert_int_equal(jobs[1]->done, 1);
    jobs[0]->then = NULL;
    home_handle(scene.device, 0);
    close_disk(&scene);
    job_destroy(jobs[0]);
    job_destroy(jobs[1]);
}

/* ---- The end ------------------------------------------------------------------------------------------------------
 */

enum { MANY = 100 };

static void fill(struct scene *scene, struct job *jobs[MANY])
{
    for (unsigned i = 0; i < MANY; i++) {
        jobs[i] = job_create(&scene->block->info, i % 2 ? BLOCK_READ : BLOCK_WRITE, i * 20, 1 + i % 20);
        if (i % 10 == 9)
            jobs[i]->request.first_block = UINT64_MAX;
    }
    assert_int_equal(submit(scene, jobs, MANY), MANY);
}

/* Each is done once: with its result, with `status` (some are), or with `other`. */
static void expect_ended(struct job *jobs[MANY], enum status status, enum status other)
{
    unsigned ended = 0;

    assert_int_equal(done_count, MANY);
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

static void stops(struct scene *scene)
{
    struct job *jobs[MANY];

    chain_scene = scene;
    fill(scene, jobs);
    for (unsigned i = 0; i < MANY; i++)
        jobs[i]->then = nag;
    home_run(scene->device, 200000, NULL, NULL);
    home_stop(scene->device);
    expect_ended(jobs, STATUS_REVOKED, STATUS_OK);
    assert_int_equal(virtio_model_status(scene->disk->core), 0);
}

static void test_stops_in_flight(void **state)
{
    (void)state;
    everywhere(stops, 1000000);
}

static void stops_revoked(struct scene *scene)
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
static void stops_stuck(struct scene *scene)
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
static void starts_again(struct scene *scene)
{
    struct job *jobs[MANY];

    expect_transfers(scene);
    done_count = 0;
    virtio_model_misbehave(scene->disk->core, E01_ID_HUGE);
    fill(scene, jobs);
    home_run(scene->device, SECOND, NULL, NULL);
    assert_non_null(home_failure(scene->device));
    struct job *late = job_create(&scene->block->info, BLOCK_READ, 0, 1);
    assert_int_equal(submit(scene, &late, 1), 1); /* before anybody has stopped it */
    home_stop(scene->device);
    assert_int_equal(late->done, 1);
    assert_true(late->request.status == STATUS_DEVICE_FAULT || late->request.status == STATUS_REVOKED);
    job_destroy(late);
    done_count--;
    expect_ended(jobs, STATUS_REVOKED, STATUS_DEVICE_FAULT);
    virtio_model_misbehave(scene->disk->core, VIRTIO_EVIL_NONE);
    start_disk(scene);
    expect_transfers(scene);
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
            struct scene scene;
            class_begin(number, false);
            open_disk(&scene, &options, &plain, VIRTIO_EVIL_NONE);
            home_fail_allocation(after);
            if (home_start(scene.device, &virtio_blk_driver) == STATUS_OK) {
                struct job *jobs[3];
                scene.block = home_block(scene.device);
                for (unsigned i = 0; i < 3; i++)
                    jobs[i] = job_create(&scene.block->info, BLOCK_READ, i, 40);
                assert_int_equal(submit(&scene, jobs, 3), 3);
                run_until_done(&scene, 3);
                for (unsigned i = 0; i < 3; i++) {
                    assert_true(jobs[i]->request.status == STATUS_OK || jobs[i]->request.status == STATUS_UNSUPPORTED);
                    job_destroy(jobs[i]);
                }
            } else {
                assert_int_equal(virtio_model_status(scene.disk->core), 0);
            }
            close_disk(&scene);
        }
}

/* ---- What the disk says of itself -----------------------------------------------------------------------------------
 */

static void test_description(void **state)
{
    (void)state;
    for (unsigned number = 0; number < 40; number++) {
        struct virtio_model_options options = class_options(number);
        struct virtio_blk_options blk = plain;
        struct scene scene;
        blk.block_size = 4096;
        blk.physical_exponent = 2;
        blk.optimal_blocks = 8;
        blk.sectors = 8 * 100 + 5;
        class_begin(number, false);
        open_disk(&scene, &options, &blk, VIRTIO_EVIL_NONE);
        start_disk(&scene);
        const struct block_info *info = &scene.block->info;
        assert_int_equal(info->block_count, 100);
        assert_int_equal(info->block_size, 4096);
        assert_int_equal(info->physical_block_size, 16384);
        assert_int_equal(info->optimal_transfer, 32768);
        assert_int_equal(info->max_discard_blocks, 12);
        assert_int_equal(info->queue_depth, 64);
        assert_true(info->write_cache && !info->read_only);
        assert_string_equal(info->serial, "a serial  number");
        class_expect_log("description", NULL);
        expect_transfers(&scene);
        assert_int_equal(one_of(&scene, BLOCK_FLUSH, 0, 0), STATUS_OK);
        assert_int_equal(scene.disk->flushes, 1);
        close_disk(&scene);
    }
}

/* A disk that offers nothing: blocks of 512, no flush needed, any parts. */
static void test_bare(void **state)
{
    struct virtio_blk_options blk = {.sectors = 64};

    (void)state;
    for (unsigned number = 0; number < 40; number++) {
        struct virtio_model_options options = class_options(number);
        struct scene scene;
        class_begin(number, false);
        open_disk(&scene, &options, &blk, VIRTIO_EVIL_NONE);
        start_disk(&scene);
        assert_int_equal(scene.block->info.block_size, 512);
        assert_string_equal(scene.block->info.serial, "");
        assert_int_equal(one_of(&scene, BLOCK_FLUSH, 0, 0), STATUS_OK);
        assert_int_equal(scene.disk->flushes, 0);
        assert_int_equal(one_of(&scene, BLOCK_DISCARD, 0, 1), STATUS_UNSUPPORTED);
        assert_int_equal(one_of(&scene, BLOCK_WRITE_ZEROES, 0, 1), STATUS_UNSUPPORTED);
        expect_transfers(&scene);
        close_disk(&scene);
    }
}

static void test_read_only(void **state)
{
    struct virtio_blk_options blk = plain;

    (void)state;
    blk.features |= VIRTIO_FEATURE(BLK_RO);
    for (unsigned number = 0; number < 40; number++) {
        struct virtio_model_options options = class_options(number);
        struct scene scene;
        class_begin(number, false);
        open_disk(&scene, &options, &blk, VIRTIO_EVIL_NONE);
        start_disk(&scene);
        assert_true(scene.block->info.read_only && !scene.block->info.can_discard &&
                    !scene.block->info.can_write_zeroes);
        assert_int_equal(one_of(&scene, BLOCK_WRITE, 0, 1), STATUS_READ_ONLY);
        assert_int_equal(one_of(&scene, BLOCK_DISCARD, 0, 1), STATUS_READ_ONLY);
        assert_int_equal(one_of(&scene, BLOCK_WRITE_ZEROES, 0, 1), STATUS_READ_ONLY);
        assert_int_equal(one_of(&scene, BLOCK_READ, 0, 1), STATUS_OK);
        assert_int_equal(one_of(&scene, BLOCK_FLUSH, 0, 0), STATUS_OK);
        close_disk(&scene);
    }
}

/* ---- Disks that lie: one row for each case
 * --------------------------------------------------------------------------- */

struct row {
    const char *id;
    enum virtio_model_evil evil;
    unsigned where;
    void (*change)(struct virtio_blk_options *blk); /* NULL: an ordinary disk */
    void (*expect)(struct scene *scene);
    const char *sentence; /* NULL: the log has no warning and no error */
};

static void works(struct scene *scene)
{
    start_disk(scene);
    expect_transfers(scene);
    assert_string_equal(scene->block->info.serial, "a serial  number");
    if (scene->block->info.can_discard)
        assert_int_equal(one_of(scene, BLOCK_DISCARD, 0, 64), STATUS_OK);
    if (scene->block->info.can_write_zeroes)
        assert_int_equal(one_of(scene, BLOCK_WRITE_ZEROES, 64, 64), STATUS_OK);
}

static void works_in_512(struct scene *scene)
{
    works(scene);
    assert_int_equal(scene->block->info.block_size, 512);
    assert_int_equal(scene->block->info.physical_block_size, 512);
    assert_int_equal(scene->block->info.block_count, plain.sectors);
}

static void is_empty(struct scene *scene)
{
    start_disk(scene);
    assert_int_equal(scene->block->info.block_count, 0);
    assert_int_equal(one_of(scene, BLOCK_READ, 0, 1), STATUS_OUT_OF_RANGE);
    assert_int_equal(one_of(scene, BLOCK_READ, UINT64_MAX, 1), STATUS_OUT_OF_RANGE);
    assert_int_equal(scene->disk->reads + scene->disk->beyond, 0);
}

static void is_huge(struct scene *scene)
{
    works(scene);
    assert_true(scene->block->info.block_count == UINT64_MAX / SECTOR);
    assert_int_equal(one_of(scene, BLOCK_READ, UINT64_MAX / SECTOR, 1), STATUS_OUT_OF_RANGE);
    assert_int_equal(one_of(scene, BLOCK_READ, UINT64_MAX / SECTOR - 1, 1), STATUS_IO_ERROR); /* says the device */
    assert_int_equal(one_of(scene, BLOCK_READ, plain.sectors - 1, 2), STATUS_IO_ERROR);
    assert_int_equal(scene->disk->beyond, 2);
}

/* Shrinks while requests for what was cut off are on their way, then grows beyond what it was. */
static void resizes(struct scene *scene)
{
    struct job *jobs[80];

    start_disk(scene);
    for (unsigned i = 0; i < 80; i++)
        jobs[i] = job_create(&scene->block->info, BLOCK_READ, i * 50, 8);
    assert_int_equal(submit(scene, jobs, 80), 80);
    scene->disk->options.sectors = 1000;
    virtio_blk_resize(scene->disk, 1000);
    run_until_done(scene, 80);
    for (unsigned i = 0; i < 80; i++) {
        assert_int_equal(jobs[i]->request.status, i * 50 + 8 <= 1000 ? STATUS_OK : STATUS_IO_ERROR);
        job_destroy(jobs[i]);
    }
    home_run(scene->device, SECOND, NULL, NULL);
    assert_int_equal(scene->block->info.block_count, 1000);
    assert_true(host_log_has("now has 1000 blocks and had 4096"));
    assert_int_equal(one_of(scene, BLOCK_READ, 1000, 1), STATUS_OUT_OF_RANGE);
    scene->disk->options.sectors = 2000;
    virtio_blk_resize(scene->disk, 2000);
    home_run(scene->device, 2 * SECOND, NULL, NULL);
    assert_int_equal(one_of(scene, BLOCK_READ, 1999, 1), STATUS_OK);
    assert_true(host_log_has("now has 2000 blocks and had 1000"));
    for (unsigned i = 0; i < 1000; i++) { /* all the time: followed, but not told each time */
        virtio_blk_resize(scene->disk, i % 2 ? 2000 : 1000);
        home_run(scene->device, MILLISECOND, NULL, NULL);
    }
    assert_int_equal(scene->block->info.block_count, 2000);
    assert_true(host_log_count(LOG_INFO) < 10);
    scene->disk->options.sectors = 4096;
}

static void does_not_start(struct scene *scene)
{
    assert_int_not_equal(home_start(scene->device, &virtio_blk_driver), STATUS_OK);
    assert_null(home_block(scene->device));
    assert_int_equal(virtio_model_status(scene->disk->core), 0);
}

static void silent_at_start(struct scene *scene)
{
    uint64_t before = clock_now();

    assert_int_equal(home_start(scene->device, &virtio_blk_driver), STATUS_TIMED_OUT);
    assert_in_range(clock_now() - before, 5 * SECOND, 6 * SECOND);
}

static void fails_each(struct scene *scene, enum status status)
{
    enum virtio_model_evil evil = virtio_model_evil(scene->disk->core);
    uint32_t size = 3 * SECTOR;

    start_disk(scene);
    assert_string_equal(scene->block->info.serial,
                        evil == (enum virtio_model_evil)BLK_IO_ERRORS ? "a serial  number" : "");
    struct job *job = job_create(&scene->block->info, BLOCK_READ, 1, 3);
    assert_int_equal(one(scene, job), status);
    assert_int_equal(job->size, size);
    job_destroy(job);
    if (evil != (enum virtio_model_evil)E23_LENGTH_SHORT)
        assert_int_equal(one_of(scene, BLOCK_WRITE, 1, 3),
                         evil == (enum virtio_model_evil)E23_LENGTH_1 ? STATUS_OK : status);
    virtio_model_misbehave(scene->disk->core, VIRTIO_EVIL_NONE);
    expect_transfers(scene); /* the next one is judged by itself: nothing old is left in the status byte */
    assert_null(home_failure(scene->device));
}

static void io_error(struct scene *scene)
{
    fails_each(scene, STATUS_IO_ERROR);
}

static void unsupported(struct scene *scene)
{
    fails_each(scene, STATUS_UNSUPPORTED);
}

/* Old content of the status byte, from a request that went well, is not taken for an answer. */
static void status_is_fresh(struct scene *scene)
{
    virtio_model_misbehave(scene->disk->core, VIRTIO_EVIL_NONE);
    works(scene);
    virtio_model_misbehave(scene->disk->core, (enum virtio_model_evil)E22_STATUS_UNTOUCHED);
    for (unsigned i = 0; i < 200; i++)
        assert_int_equal(one_of(scene, i % 2 ? BLOCK_READ : BLOCK_WRITE, i, 1), STATUS_IO_ERROR);
    assert_int_equal(host_log_count(LOG_WARN), 1); /* named once, then only refused */
}

static void one_is_late(struct scene *scene)
{
    struct job *jobs[8];

    virtio_model_misbehave(scene->disk->core, VIRTIO_EVIL_NONE);
    start_disk(scene);
    virtio_model_misbehave(scene->disk->core, E10_ONE_LATE);
    for (unsigned i = 0; i < 8; i++)
        jobs[i] = job_create(&scene->block->info, BLOCK_READ, i, 1);
    assert_int_equal(submit(scene, jobs, 8), 8);
    home_run(scene->device, SECOND, NULL, NULL);
    assert_int_equal(done_count, 7);
    assert_int_equal(home_account(scene->device).loans, 1); /* the buffer is the device's as long as it takes */
    run_until_done(scene, 8);
    for (unsigned i = 0; i < 8; i++) {
        assert_int_equal(jobs[i]->request.status, STATUS_OK);
        job_destroy(jobs[i]);
    }
}

static void one_never_comes(struct scene *scene)
{
    struct job *jobs[8];

    virtio_model_misbehave(scene->disk->core, VIRTIO_EVIL_NONE);
    start_disk(scene);
    virtio_model_misbehave(scene->disk->core, E10_ONE_NEVER);
    for (unsigned i = 0; i < 8; i++)
        jobs[i] = job_create(&scene->block->info, BLOCK_READ, i, 1);
    assert_int_equal(submit(scene, jobs, 8), 8);
    home_run(scene->device, 10 * SECOND, NULL, NULL);
    assert_int_equal(done_count, 7);
    home_stop(scene->device);
    assert_int_equal(done_count, 8);
    assert_int_equal(jobs[0]->request.status, STATUS_REVOKED);
    for (unsigned i = 0; i < 8; i++)
        job_destroy(jobs[i]);
}

static void serial_is_clean(struct scene *scene)
{
    start_disk(scene);
    assert_string_equal(scene->block->info.serial, "?[2J?AB?  ??%n%s%s%s");
    expect_transfers(scene);
}

static void serial_is_empty(struct scene *scene)
{
    start_disk(scene);
    assert_string_equal(scene->block->info.serial, "");
    expect_transfers(scene);
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

static void cannot_clear(struct scene *scene)
{
    works(scene);
    assert_false(scene->block->info.can_discard || scene->block->info.can_write_zeroes);
    assert_int_equal(one_of(scene, BLOCK_DISCARD, 0, 1), STATUS_UNSUPPORTED);
    assert_int_equal(one_of(scene, BLOCK_WRITE_ZEROES, 0, 1), STATUS_UNSUPPORTED);
}

static void no_optimal(struct scene *scene)
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
            struct virtio_blk_options blk = plain;
            struct scene scene;
            if ((rows[i].where & 1u << options.transport) == 0)
                continue;
            class_begin(number, true); /* so that a single part takes a block */
            if (rows[i].change != NULL)
                rows[i].change(&blk);
            open_disk(&scene, &options, &blk, rows[i].evil);
            rows[i].expect(&scene);
            class_expect_log(rows[i].id, rows[i].sentence);
            close_disk(&scene);
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
            struct scene scene;
            options.queue_size = size;
            class_begin(number, true); /* so that a single part takes a block */
            open_disk(&scene, &options, &plain, VIRTIO_EVIL_NONE);
            if (size < 4) {
                does_not_start(&scene);
                class_expect_log("small", "entries; a request needs 3");
            } else {
                works(&scene);
            }
            close_disk(&scene);
        }
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_mix),           cmocka_unit_test(test_rings_once),
        cmocka_unit_test(test_polls),         cmocka_unit_test(test_checks),
        cmocka_unit_test(test_splits),        cmocka_unit_test(test_submits_from_done),
        cmocka_unit_test(test_client_loops),  cmocka_unit_test(test_stops_in_flight),
        cmocka_unit_test(test_stops_revoked), cmocka_unit_test(test_stops_stuck),
        cmocka_unit_test(test_starts_again),  cmocka_unit_test(test_nothing_to_be_had),
        cmocka_unit_test(test_description),   cmocka_unit_test(test_bare),
        cmocka_unit_test(test_read_only),     cmocka_unit_test(test_small_queues),
        cmocka_unit_test(test_rows),
    };
    for (unsigned i = 0; i < sizeof pattern; i++)
        pattern[i] = (uint8_t)(i * 7 + i / SECTOR);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
