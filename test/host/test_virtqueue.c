/*
 * test_virtqueue.c: the split ring against a reference: random sequences of add, submit, complete and wait, over
 * every size, with and without EVENT_IDX and INDIRECT_DESC, legacy and modern, with completions late and in any
 * order; and the properties one by one.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>
#include <driver/virtio/virtio_reg.h>
#include <model/virtio_model.h>
#include "host_log.h"
#include "virtio_echo.h"

#define SECOND NANOSECONDS_PER_SECOND

/* ---- Random sequences ----------------------------------------------------------------------------------- */

struct run {
    struct virtio_model *model;
    struct virtio_device virtio;
    struct virtqueue *queue;
    struct echo_request *requests; /* index is token - 1 */
    bool *out;                     /* added and not back */
    unsigned capacity, out_count, added, back;
};

static unsigned pick(unsigned limit)
{
    return (unsigned)(home_random() % limit);
}

static void add_one(struct run *run)
{
    struct virtqueue_part parts[64];
    unsigned slot = 0, count = 0;
    unsigned limit = virtqueue_max_parts(run->queue);
    struct dma_segment segment;

    while (slot < run->capacity && run->out[slot])
        slot++;
    if (slot == run->capacity)
        return;
    struct echo_request *request = &run->requests[slot];
    unsigned total = 1 + pick(limit < 40 ? limit : 40), outs = pick(total + 1);
    *request = (struct echo_request){.out_size = outs * 3, .in_size = (total - outs) * 5};
    request->out = malloc(request->out_size + 1u);
    request->in = malloc(request->in_size + 1u);
    for (uint32_t i = 0; i < request->out_size; i++)
        request->out[i] = (uint8_t)home_random();
    for (unsigned direction = 0; direction < 2; direction++) { /* parts of 3 or 5 bytes out of one loan each */
        uint32_t size = direction == 0 ? request->out_size : request->in_size, step = direction == 0 ? 3 : 5;
        struct memory_ref memory = {.offset = (uintptr_t)(direction == 0 ? request->out : request->in), .length = size};
        unsigned segments;
        if (size == 0)
            continue;
        assert_int_equal(dma_lend(run->virtio.device, &memory, direction == 0 ? DMA_TO_DEVICE : DMA_FROM_DEVICE,
                                  &segment, 1, &segments, &request->loans[request->loan_count++]),
                         STATUS_OK);
        for (uint32_t at = 0; at < size; at += step)
            parts[count++] = (struct virtqueue_part){segment.address + at, step};
    }

    uint16_t room = virtqueue_room(run->queue);
    enum status status = virtqueue_add(run->queue, parts, (uint16_t)outs, (uint16_t)(total - outs), slot + 1);
    if (status == STATUS_OK) {
        assert_true(virtqueue_room(run->queue) < room);
        run->out[slot] = true;
        run->out_count++;
        run->added++;
        return;
    }
    assert_int_equal(status, STATUS_BUSY);
    assert_true(room < total);
    assert_int_equal(virtqueue_room(run->queue), room);
    echo_finish(&run->virtio, request, 0);
}

static bool take_one(struct run *run)
{
    uint64_t token = 0;
    uint32_t written = 0;

    if (!virtqueue_next(run->queue, &token, &written))
        return false;
    assert_in_range(token, 1, run->capacity);
    assert_true(run->out[token - 1]);
    run->out[token - 1] = false;
    run->out_count--;
    run->back++;
    assert_int_equal(written, run->requests[token - 1].in_size);
    echo_finish(&run->virtio, &run->requests[token - 1], written);
    return true;
}

static void drain(struct run *run)
{
    virtqueue_submit(run->queue);
    while (run->out_count != 0) {
        assert_true(virtqueue_wait(run->queue, clock_now() + SECOND));
        assert_true(take_one(run));
    }
    assert_int_equal(virtqueue_room(run->queue), virtqueue_size(run->queue));
}

static void step(struct run *run)
{
    switch (pick(8)) {
    case 0:
    case 1:
    case 2:
        for (unsigned n = pick(run->capacity < 40 ? run->capacity : 40) + 1; n != 0; n--)
            add_one(run);
        break;
    case 3:
    case 4:
        virtqueue_submit(run->queue);
        break;
    case 5:
        while (take_one(run)) {
        }
        break;
    case 6:
        virtqueue_disarm(run->queue);
        driver_wait(run->virtio.device, run->virtio.events, clock_now() + pick(20000));
        break;
    case 7:
        if (!virtqueue_arm(run->queue))
            driver_wait(run->virtio.device, run->virtio.events, clock_now() + pick(100000));
        break;
    }
}

static void run_randomly(const struct virtio_model_options *options, uint16_t max_size, uint64_t seed, unsigned steps)
{
    struct run run = {0};

    host_log_clear();
    home_init(&(struct home_options){.seed = seed, .contiguous_loans = true, .writable_completions = seed % 4 != 0});
    run.model = virtio_model_create(&echo_class, NULL, options, VIRTIO_EVIL_NONE);
    echo_open(run.model, &run.virtio, &run.queue, 1, max_size);
    assert_true(virtqueue_size(run.queue) <= max_size);
    run.capacity = virtqueue_size(run.queue) + 4u;
    run.requests = calloc(run.capacity, sizeof *run.requests);
    run.out = calloc(run.capacity, sizeof *run.out);

    for (unsigned i = 0; i < steps; i++)
        step(&run);
    drain(&run);
    assert_int_equal(run.back, run.added);
    for (unsigned n = pick(8); n != 0; n--)
        add_one(&run);
    if (pick(2) != 0)
        virtqueue_submit(run.queue);

    uint64_t token;
    assert_int_equal(virtio_reset(&run.virtio), STATUS_OK);
    while (virtqueue_take_back(run.queue, &token)) {
        assert_true(run.out[token - 1]);
        run.out[token - 1] = false;
        run.out_count--;
        echo_finish(&run.virtio, &run.requests[token - 1], 0);
    }
    assert_int_equal(run.out_count, 0);
    virtqueue_close(run.queue);
    virtio_close(&run.virtio);
    assert_int_equal(home_account(virtio_model_device(run.model)).refused, 0);
    assert_int_equal(host_log_count(LOG_WARN) + host_log_count(LOG_ERROR), 0);
    free(run.requests);
    free(run.out);
    echo_end(run.model);
}

static struct virtio_model_options random_options(uint64_t seed)
{
    static const enum virtio_model_transport transports[] = {VIRTIO_MODEL_MMIO_LEGACY, VIRTIO_MODEL_MMIO_MODERN,
                                                             VIRTIO_MODEL_PCI_LEGACY, VIRTIO_MODEL_PCI_MODERN};
    struct virtio_model_options options = {.transport = transports[seed % 4]};

    options.features_off =
        (seed & 4 ? VIRTIO_FEATURE(VIRTIO_F_EVENT_IDX) : 0) | (seed & 8 ? VIRTIO_FEATURE(VIRTIO_F_INDIRECT_DESC) : 0);
    options.delay_ns = seed & 16 ? 50000 : 0;
    options.reorder = (seed & 32) != 0;
    options.one_at_a_time = seed % 5 == 0;
    options.vectors = seed % 3;
    return options;
}

static void test_random_sequences(void **state)
{
    (void)state;
    for (uint64_t seed = 0; seed < 640; seed++) {
        struct virtio_model_options options = random_options(seed);
        options.queue_size = (uint16_t)(1u << (seed / 64 % 11)); /* 1 to 1024, as the device offers */
        run_randomly(&options, 1024, seed, 60);
    }
}

/* What the driver uses is smaller than what the device has; a legacy ring keeps its size all the same. */
static void test_smaller_than_offered(void **state)
{
    static const uint16_t sizes[] = {1, 2, 3, 5, 8, 31, 100, 255};

    (void)state;
    for (uint64_t seed = 0; seed < 64; seed++) {
        struct virtio_model_options options = random_options(seed);
        options.queue_size = 256;
        run_randomly(&options, sizes[seed % 8], seed, 200);
    }
}

/* ---- One property at a time -------------------------------------------------------------------------------- */

struct bench {
    struct virtio_model *model;
    struct virtio_device virtio;
    struct virtqueue *queue;
    struct dma_memory memory;
};

static void begin(struct bench *bench, const struct virtio_model_options *options, uint16_t max_size)
{
    host_log_clear();
    home_init(&(struct home_options){.seed = 1});
    bench->model = virtio_model_create(&echo_class, NULL, options, VIRTIO_EVIL_NONE);
    echo_open(bench->model, &bench->virtio, &bench->queue, 1, max_size);
    assert_int_equal(dma_allocate(bench->virtio.device, 4096, 16, &bench->memory), STATUS_OK);
}

static void end(struct bench *bench)
{
    uint64_t token;

    virtio_reset(&bench->virtio);
    while (virtqueue_take_back(bench->queue, &token)) {
    }
    virtqueue_close(bench->queue);
    dma_free(bench->virtio.device, &bench->memory);
    virtio_close(&bench->virtio);
    echo_end(bench->model);
}

static enum status add(struct bench *bench, uint16_t out, uint16_t in, uint64_t token)
{
    struct virtqueue_part parts[64];

    for (unsigned i = 0; i < out + in; i++)
        parts[i] = (struct virtqueue_part){bench->memory.address + i * 8, 8};
    return virtqueue_add(bench->queue, parts, out, in, token);
}

static uint64_t doorbells(const struct bench *bench)
{
    return home_account(bench->virtio.device).doorbells;
}

/* More than 65536 requests: every index has wrapped, with the events of EVENT_IDX and without. */
static void test_index_wrap(void **state)
{
    (void)state;
    for (unsigned variant = 0; variant < 8; variant++) {
        struct virtio_model_options options = {
            .transport = variant & 1 ? VIRTIO_MODEL_MMIO_MODERN : VIRTIO_MODEL_MMIO_LEGACY,
            .features_off = variant & 2 ? VIRTIO_FEATURE(VIRTIO_F_EVENT_IDX) : 0,
            .reorder = (variant & 4) != 0,
        };
        struct bench bench;
        uint64_t next = 1, seen = 1, token;
        uint32_t written;
        begin(&bench, &options, 16);
        while (seen <= 140000) {
            uint64_t batch = 1 + home_random() % 16;
            while (batch-- != 0 && add(&bench, 1, 0, next) == STATUS_OK)
                next++;
            virtqueue_submit(bench.queue);
            if (home_random() % 8 == 0)
                virtqueue_disarm(bench.queue);
            uint64_t before = clock_now();
            assert_true(virtqueue_wait(bench.queue, before + SECOND));
            assert_true(clock_now() - before < 5 * NANOSECONDS_PER_MILLISECOND); /* woken, not found by the watchdog */
            while (virtqueue_next(bench.queue, &token, &written)) {
                if (!options.reorder)
                    assert_int_equal(token, seen);
                seen++;
            }
        }
        assert_int_equal(host_log_count(LOG_WARN) + host_log_count(LOG_ERROR), 0);
        end(&bench);
    }
}

static void test_one_doorbell_per_batch(void **state)
{
    (void)state;
    for (unsigned event_index = 0; event_index < 2; event_index++) {
        struct virtio_model_options options = {
            .transport = VIRTIO_MODEL_MMIO_MODERN,
            .features_off = event_index ? 0 : VIRTIO_FEATURE(VIRTIO_F_EVENT_IDX),
        };
        struct bench bench;
        uint64_t token;
        uint32_t written;
        begin(&bench, &options, 64);
        virtqueue_submit(bench.queue);
        assert_int_equal(doorbells(&bench), 0); /* nothing to tell of */
        for (unsigned i = 1; i <= 30; i++)
            assert_int_equal(add(&bench, 1, 1, i), STATUS_OK);
        virtqueue_submit(bench.queue);
        assert_int_equal(doorbells(&bench), 1);
        virtqueue_submit(bench.queue);
        assert_int_equal(doorbells(&bench), 1);
        if (event_index) { /* the device has not said that it looked: it need not be told again */
            assert_int_equal(add(&bench, 1, 0, 31), STATUS_OK);
            virtqueue_submit(bench.queue);
            assert_int_equal(doorbells(&bench), 1);
        }
        if (!event_index) { /* the device says that it is looking anyway */
            uint16_t flags = VIRTQ_USED_NO_NOTIFY;
            home_dma_write(bench.virtio.device, bench.model->queues[0].used, &flags, sizeof flags);
            assert_int_equal(add(&bench, 1, 0, 31), STATUS_OK);
            virtqueue_submit(bench.queue);
            assert_int_equal(doorbells(&bench), 1);
        }
        for (unsigned i = 1; i <= 31; i++) {
            assert_true(virtqueue_wait(bench.queue, clock_now() + SECOND));
            assert_true(virtqueue_next(bench.queue, &token, &written));
            assert_int_equal(token, i);
        }
        assert_int_equal(virtio_model_interrupts(bench.model), 1); /* for the whole batch */
        end(&bench);
    }
}

static void test_arm_and_disarm(void **state)
{
    (void)state;
    for (unsigned event_index = 0; event_index < 2; event_index++) {
        struct virtio_model_options options = {
            .transport = VIRTIO_MODEL_PCI_MODERN,
            .vectors = 2,
            .features_off = event_index ? 0 : VIRTIO_FEATURE(VIRTIO_F_EVENT_IDX),
        };
        struct bench bench;
        uint64_t token;
        uint32_t written;
        begin(&bench, &options, 8);

        virtqueue_disarm(bench.queue);
        assert_int_equal(add(&bench, 1, 1, 7), STATUS_OK);
        virtqueue_submit(bench.queue);
        assert_int_equal(driver_wait(bench.virtio.device, bench.virtio.events, clock_now() + SECOND), 0);
        assert_int_equal(virtio_model_completed(bench.model), 1);
        assert_int_equal(virtio_model_interrupts(bench.model), 0);
        assert_true(virtqueue_arm(bench.queue)); /* it is there already: no interrupt will come for it */
        assert_true(virtqueue_next(bench.queue, &token, &written));
        assert_int_equal(token, 7);

        assert_false(virtqueue_arm(bench.queue));
        assert_int_equal(add(&bench, 1, 1, 8), STATUS_OK);
        virtqueue_submit(bench.queue);
        assert_int_equal(driver_wait(bench.virtio.device, bench.virtio.events, clock_now() + SECOND), 2);
        assert_int_equal(virtio_model_interrupts(bench.model), 1);
        assert_true(virtqueue_next(bench.queue, &token, &written));
        assert_int_equal(written, 8);
        end(&bench);
    }
}

static void test_what_cannot_be_added(void **state)
{
    struct virtio_model_options options = {.transport = VIRTIO_MODEL_MMIO_MODERN};
    struct bench bench;
    struct virtqueue_part parts[3] = {{0x1000, 8}, {0x2000, 0}, {0x3000, UINT32_MAX}};

    (void)state;
    begin(&bench, &options, 4);
    assert_int_equal(virtqueue_size(bench.queue), 4);
    assert_int_equal(virtqueue_max_parts(bench.queue), 4);
    assert_int_equal(virtqueue_add(bench.queue, parts, 1, 0, 0), STATUS_INVALID); /* no token */
    assert_int_equal(virtqueue_add(bench.queue, parts, 0, 0, 1), STATUS_INVALID); /* nothing in it */
    assert_int_equal(virtqueue_add(bench.queue, parts, 2, 0, 1), STATUS_INVALID); /* an empty part */
    assert_int_equal(add(&bench, 3, 2, 1), STATUS_INVALID);                       /* longer than the queue */
    parts[1].length = 1;
    assert_int_equal(virtqueue_add(bench.queue, parts, 2, 1, 1), STATUS_INVALID); /* more than 4 GiB */
    assert_int_equal(virtqueue_room(bench.queue), 4);
    for (unsigned i = 1; i <= 4; i++)
        assert_int_equal(add(&bench, 1, 0, i), STATUS_OK);
    assert_int_equal(add(&bench, 1, 0, 5), STATUS_BUSY);
    assert_int_equal(virtqueue_room(bench.queue), 0);
    end(&bench);
}

/* Indirect tables cost memory only for who needs them; without memory for them it works all the same. */
static void test_indirect_tables(void **state)
{
    struct virtio_model_options options = {.transport = VIRTIO_MODEL_MMIO_MODERN};
    struct bench bench;

    (void)state;
    begin(&bench, &options, 64);
    assert_int_equal(home_account(bench.virtio.device).owned, 1); /* the bench's own */
    assert_int_equal(add(&bench, 1, 1, 1), STATUS_OK);
    assert_int_equal(virtqueue_room(bench.queue), 62);
    assert_int_equal(home_account(bench.virtio.device).owned, 1);
    assert_int_equal(add(&bench, 10, 10, 2), STATUS_OK);
    assert_int_equal(virtqueue_room(bench.queue), 61);
    assert_int_equal(home_account(bench.virtio.device).owned, 2);
    for (unsigned i = 0; i < 100; i++) { /* a table comes back with its request */
        uint64_t token;
        uint32_t written;
        virtqueue_submit(bench.queue);
        while (virtqueue_wait(bench.queue, clock_now() + SECOND / 1000))
            assert_true(virtqueue_next(bench.queue, &token, &written));
        assert_int_equal(virtqueue_room(bench.queue), 64);
        assert_int_equal(add(&bench, 10, 10, 4), STATUS_OK);
        assert_int_equal(virtqueue_room(bench.queue), 63);
    }
    assert_int_equal(home_account(bench.virtio.device).owned, 2);
    assert_int_equal(add(&bench, 1, 1, 5), STATUS_OK);
    assert_int_equal(add(&bench, 20, 20, 3), STATUS_OK); /* longer than a table: straight into the ring */
    assert_int_equal(virtqueue_room(bench.queue), 21);
    end(&bench);

    begin(&bench, &options, 64);
    home_fail_allocation(0);
    assert_int_equal(add(&bench, 10, 10, 2), STATUS_OK);
    assert_int_equal(virtqueue_room(bench.queue), 44);
    assert_int_equal(add(&bench, 10, 10, 3), STATUS_OK); /* nor is it tried again with each request */
    assert_int_equal(virtqueue_room(bench.queue), 24);
    end(&bench);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_random_sequences), cmocka_unit_test(test_smaller_than_offered),
        cmocka_unit_test(test_index_wrap),       cmocka_unit_test(test_one_doorbell_per_batch),
        cmocka_unit_test(test_arm_and_disarm),   cmocka_unit_test(test_what_cannot_be_added),
        cmocka_unit_test(test_indirect_tables),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
