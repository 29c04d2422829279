/* test_ring.c: lib/ring.h: order and batches against a plain queue, and a peer that lies about its index. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <lib/ring.h>
#include <stdlib.h>
#include "random.h"

enum { ROUNDS = 30000 };

struct pair {
    struct ring_shared *shared;
    struct ring producer, consumer;
};

static void open_pair(struct pair *pair, uint32_t capacity, uint32_t entry_size, uint32_t start)
{
    size_t size = ring_size(capacity, entry_size);

    assert_int_not_equal(size, 0);
    pair->shared = aligned_alloc(RING_LINE, (size + RING_LINE - 1) / RING_LINE * RING_LINE);
    memset(pair->shared, 0, size);
    ring_attach(&pair->producer, pair->shared, capacity, entry_size);
    ring_attach(&pair->consumer, pair->shared, capacity, entry_size);
    /* As after `start` entries: so that the indices wrap within the test. */
    pair->producer.own = pair->producer.other = pair->consumer.own = pair->consumer.other = start;
    atomic_store(&pair->shared->head, start);
    atomic_store(&pair->shared->tail, start);
}

static void keeps_order_across_the_wrap(void **state)
{
    struct test_random random = test_random_start();

    (void)state;
    for (uint32_t capacity = 1; capacity <= 64; capacity *= 2) {
        struct pair pair;
        uint32_t next = 0, expected = 0, batch[100];
        open_pair(&pair, capacity, sizeof batch[0], UINT32_MAX - 500);
        for (unsigned round = 0; round < ROUNDS / 7; round++) {
            uint32_t count = (uint32_t)test_random_below(&random, 70), used = next - expected;
            if (test_random_below(&random, 2) == 0) {
                for (uint32_t i = 0; i < count; i++)
                    batch[i] = next + i;
                uint32_t pushed = ring_push(&pair.producer, batch, count);
                assert_int_equal(pushed, count < capacity - used ? count : capacity - used);
                next += pushed;
            } else {
                uint32_t popped = ring_pop(&pair.consumer, batch, count);
                assert_int_equal(popped, count < used ? count : used);
                for (uint32_t i = 0; i < popped; i++)
                    assert_int_equal(batch[i], expected++);
            }
            assert_int_equal(ring_available(&pair.consumer), next - expected);
            assert_int_equal(ring_room(&pair.producer), capacity - (next - expected));
        }
        assert_false(pair.producer.fault || pair.consumer.fault);
        free(pair.shared);
    }
}

static void a_head_beyond_the_ring_is_a_fault(void **state)
{
    (void)state;
    for (uint32_t lie = 5; lie != 0; lie = lie < 64 ? lie + 1 : lie * 3) {
        struct pair pair;
        uint64_t entries[8] = {0};
        open_pair(&pair, 4, sizeof entries[0], 7);
        assert_int_equal(ring_push(&pair.producer, entries, 2), 2);
        atomic_store(&pair.shared->head, 7 + lie);
        assert_int_equal(ring_pop(&pair.consumer, entries, 8), 0);
        assert_true(pair.consumer.fault);
        atomic_store(&pair.shared->head, 9); /* too late to be honest */
        assert_int_equal(ring_pop(&pair.consumer, entries, 1), 0);
        assert_int_equal(ring_available(&pair.consumer), 0);
        free(pair.shared);
        if (lie > UINT32_MAX / 3)
            break;
    }
}

static void a_head_that_moves_back_is_a_fault(void **state)
{
    struct pair pair;
    uint64_t entries[8] = {0};

    (void)state;
    open_pair(&pair, 4, sizeof entries[0], 0);
    assert_int_equal(ring_push(&pair.producer, entries, 3), 3);
    assert_int_equal(ring_pop(&pair.consumer, entries, 1), 1);
    atomic_store(&pair.shared->head, 2);
    assert_int_equal(ring_available(&pair.consumer), 0);
    assert_true(pair.consumer.fault);
    free(pair.shared);
}

static void a_tail_that_lies_is_a_fault(void **state)
{
    static const uint32_t lies[] = {4, 5, 100, UINT32_MAX, UINT32_MAX / 2, 0, 1};

    (void)state;
    for (size_t i = 0; i < sizeof lies / sizeof lies[0]; i++) {
        struct pair pair;
        uint64_t entries[8] = {0};
        open_pair(&pair, 4, sizeof entries[0], 0);
        assert_int_equal(ring_push(&pair.producer, entries, 3), 3);
        assert_int_equal(ring_pop(&pair.consumer, entries, 2), 2);
        assert_int_equal(ring_room(&pair.producer), 3);
        atomic_store(&pair.shared->tail, lies[i]); /* 2 and 3 would be possible; what was taken cannot be untaken */
        assert_int_equal(ring_push(&pair.producer, entries, 8), 0);
        assert_true(pair.producer.fault);
        free(pair.shared);
    }
}

/* Whatever stands in the shared indices, nothing outside the ring is touched: the sanitizer watches. */
static void any_index_stays_inside(void **state)
{
    struct test_random random = test_random_start();
    uint8_t entries[64 * 24] = {0};
    struct pair pair;

    (void)state;
    open_pair(&pair, 16, 24, 0);
    for (unsigned round = 0; round < ROUNDS; round++) {
        uint32_t shift = (uint32_t)test_random_below(&random, 32);
        atomic_store(&pair.shared->head, (uint32_t)test_random64(&random) >> shift);
        atomic_store(&pair.shared->tail, (uint32_t)test_random64(&random) >> shift);
        uint32_t own = pair.consumer.own = pair.consumer.other = (uint32_t)test_random64(&random) >> shift;
        pair.producer.own = pair.producer.other = own;
        pair.producer.fault = pair.consumer.fault = false;
        assert_true(ring_pop(&pair.consumer, entries, 64) <= 16);
        assert_true(ring_push(&pair.producer, entries, 64) <= 16);
    }
    free(pair.shared);
}

static void impossible_sizes_are_refused(void **state)
{
    (void)state;
    assert_int_equal(ring_size(0, 8), 0);
    assert_int_equal(ring_size(3, 8), 0);
    assert_int_equal(ring_size(8, 0), 0);
    assert_int_equal(ring_size(RING_MAX_CAPACITY * 2, 8), 0);
    assert_int_equal(ring_size(8, 24), 4 * RING_LINE + 192);
    assert_int_equal(ring_size(RING_MAX_CAPACITY, UINT32_MAX), 4 * RING_LINE + ((uint64_t)UINT32_MAX << 20));
}

/* One who is awake is not woken; one who sleeps is, once for each time that it has said so. */
static void wakes_only_a_sleeper_and_once(void **state)
{
    uint32_t entries[4] = {1, 2, 3, 4};
    struct pair pair;

    (void)state;
    open_pair(&pair, 4, sizeof entries[0], UINT32_MAX);
    assert_int_equal(ring_push(&pair.producer, entries, 1), 1);
    assert_false(ring_must_wake_consumer(&pair.producer));
    assert_false(ring_consumer_may_sleep(&pair.consumer)); /* there is something */
    assert_int_equal(ring_pop(&pair.consumer, entries, 4), 1);
    for (unsigned round = 0; round < 3; round++) {
        assert_true(ring_consumer_may_sleep(&pair.consumer));
        assert_true(ring_consumer_may_sleep(&pair.consumer)); /* the deadline passed, and again */
        assert_int_equal(ring_push(&pair.producer, entries, 1), 1);
        assert_true(ring_must_wake_consumer(&pair.producer));
        assert_int_equal(ring_push(&pair.producer, entries, 1), 1);
        assert_false(ring_must_wake_consumer(&pair.producer)); /* it is being woken */
        ring_consumer_woke(&pair.consumer);
        assert_int_equal(ring_pop(&pair.consumer, entries, 4), 2);
        assert_false(ring_must_wake_consumer(&pair.producer));
    }
    assert_true(ring_producer_may_sleep(&pair.producer) == false); /* there is room */
    assert_int_equal(ring_push(&pair.producer, entries, 4), 4);
    assert_true(ring_producer_may_sleep(&pair.producer));
    assert_int_equal(ring_pop(&pair.consumer, entries, 1), 1);
    assert_true(ring_must_wake_producer(&pair.consumer));
    assert_false(ring_must_wake_producer(&pair.consumer));
    ring_producer_woke(&pair.producer);
    free(pair.shared);
}

/* Whatever the other side writes into the words about sleep, both own counts go on; and who finds the other at fault
 * does not sleep. */
static void lies_about_sleep_do_no_harm(void **state)
{
    struct test_random random = test_random_start();
    uint32_t entries[4] = {1, 2, 3, 4}, got[4];
    struct pair pair;

    (void)state;
    open_pair(&pair, 4, sizeof entries[0], 0);
    for (unsigned round = 0; round < ROUNDS; round++) {
        atomic_store(&pair.shared->consumer_asleep, test_random64(&random));
        atomic_store(&pair.shared->producer_asleep, test_random64(&random));
        assert_int_equal(ring_push(&pair.producer, entries, 3), 3);
        ring_must_wake_consumer(&pair.producer);
        assert_int_equal(ring_pop(&pair.consumer, got, 4), 3);
        assert_memory_equal(entries, got, 3 * sizeof got[0]);
        ring_must_wake_producer(&pair.consumer);
        assert_true(ring_consumer_may_sleep(&pair.consumer));
        assert_int_equal(atomic_load(&pair.shared->consumer_asleep), 2 * round + 1);
        ring_consumer_woke(&pair.consumer);
    }
    atomic_store(&pair.shared->head, 1); /* back */
    assert_false(ring_consumer_may_sleep(&pair.consumer));
    assert_true(pair.consumer.fault);
    atomic_store(&pair.shared->tail, 1);
    assert_false(ring_producer_may_sleep(&pair.producer));
    assert_true(pair.producer.fault);
    free(pair.shared);
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test(keeps_order_across_the_wrap),
    cmocka_unit_test(a_head_beyond_the_ring_is_a_fault),
    cmocka_unit_test(a_head_that_moves_back_is_a_fault),
    cmocka_unit_test(a_tail_that_lies_is_a_fault),
    cmocka_unit_test(any_index_stays_inside),
    cmocka_unit_test(impossible_sizes_are_refused),
    cmocka_unit_test(wakes_only_a_sleeper_and_once),
    cmocka_unit_test(lies_about_sleep_do_no_harm),
};

int main(void)
{
    return cmocka_run_group_tests(tests, NULL, NULL);
}
