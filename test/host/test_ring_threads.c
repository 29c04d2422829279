/* test_ring_threads.c: lib/ring.h between two threads, under the thread sanitizer. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <lib/ring.h>
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include "random.h"

enum { CAPACITY = 32, BATCH = 11, TOTAL = 200000 };

struct entry {
    uint64_t number, check; /* torn or early reads do not agree */
};

static void *produce(void *shared)
{
    struct test_random random = test_random_start();
    struct ring ring;
    uint64_t next = 0;

    ring_attach(&ring, shared, CAPACITY, sizeof(struct entry));
    while (next < TOTAL) {
        struct entry batch[BATCH];
        uint32_t count = 1 + (uint32_t)test_random_below(&random, BATCH);
        for (uint32_t i = 0; i < count; i++)
            batch[i] = (struct entry){next + i, ~(next + i)};
        if (count > TOTAL - next)
            count = (uint32_t)(TOTAL - next);
        uint32_t pushed = ring_push(&ring, batch, count);
        next += pushed;
        if (pushed == 0)
            sched_yield();
    }
    return (void *)(uintptr_t)ring.fault;
}

static void entries_arrive_whole_and_in_order(void **state)
{
    struct ring_shared *shared = aligned_alloc(RING_LINE, ring_size(CAPACITY, sizeof(struct entry)));
    struct ring ring;
    pthread_t producer;
    uint64_t expected = 0;
    void *fault;

    (void)state;
    memset(shared, 0, ring_size(CAPACITY, sizeof(struct entry)));
    ring_attach(&ring, shared, CAPACITY, sizeof(struct entry));
    assert_int_equal(pthread_create(&producer, NULL, produce, shared), 0);
    while (expected < TOTAL && !ring.fault) {
        struct entry batch[BATCH];
        uint32_t count = ring_pop(&ring, batch, BATCH);
        for (uint32_t i = 0; i < count; i++, expected++)
            assert_true(batch[i].number == expected && batch[i].check == ~expected);
        if (count == 0)
            sched_yield();
    }
    assert_int_equal(pthread_join(producer, &fault), 0);
    assert_false(ring.fault);
    assert_null(fault);
    free(shared);
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test(entries_arrive_whole_and_in_order),
};

int main(void)
{
    return cmocka_run_group_tests(tests, NULL, NULL);
}
