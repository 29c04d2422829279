/*
 * test_ring_threads.c: lib/ring.h between two threads, under the thread sanitizer: polling, and sleeping and woken as
 * the protocol says. That its fences are needed this machine may hide: model/spin/ring.pml shows it.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <lib/ring.h>
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <time.h>
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

/* ---- Asleep ------------------------------------------------------------------------------------------------------ */

enum { SMALL = 4, SLEEPY_TOTAL = 100000, PATIENCE_S = 60 };

/* A bit that stays set until it is taken, as a Notification's. */
struct bell {
    pthread_mutex_t mutex;
    pthread_cond_t rung;
    bool set;
    unsigned rings, sleeps;
};

struct sleepy {
    struct ring_shared *shared;
    struct bell entries, room;
    unsigned batch; /* at most */
};

static void bell_ring(struct bell *bell)
{
    pthread_mutex_lock(&bell->mutex);
    bell->set = true;
    bell->rings++;
    pthread_cond_signal(&bell->rung);
    pthread_mutex_unlock(&bell->mutex);
}

static void bell_wait(struct bell *bell)
{
    struct timespec until;

    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += PATIENCE_S;
    pthread_mutex_lock(&bell->mutex);
    bell->sleeps++;
    while (!bell->set)
        if (pthread_cond_timedwait(&bell->rung, &bell->mutex, &until) != 0)
            abort(); /* a wake-up was lost */
    bell->set = false;
    pthread_mutex_unlock(&bell->mutex);
}

static void *produce_sleepily(void *context)
{
    struct sleepy *sleepy = context;
    struct test_random random = test_random_start();
    struct ring ring;
    uint64_t next = 0;

    ring_attach(&ring, sleepy->shared, SMALL, sizeof(struct entry));
    while (next < SLEEPY_TOTAL && !ring.fault) {
        struct entry batch[SMALL];
        uint32_t count = 1 + (uint32_t)test_random_below(&random, sleepy->batch);
        if (count > SLEEPY_TOTAL - next)
            count = (uint32_t)(SLEEPY_TOTAL - next);
        for (uint32_t i = 0; i < count; i++)
            batch[i] = (struct entry){next + i, ~(next + i)};
        uint32_t pushed = ring_push(&ring, batch, count);
        next += pushed;
        if (pushed != 0 && ring_must_wake_consumer(&ring))
            bell_ring(&sleepy->entries);
        if (pushed == 0 && ring_producer_may_sleep(&ring)) {
            bell_wait(&sleepy->room);
            ring_producer_woke(&ring);
        }
    }
    return (void *)(uintptr_t)ring.fault;
}

static void sleepers_are_woken(unsigned most)
{
    struct sleepy sleepy = {
        .shared = aligned_alloc(RING_LINE, ring_size(SMALL, sizeof(struct entry))),
        .entries = {PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, false, 0, 0},
        .room = {PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, false, 0, 0},
        .batch = most,
    };
    struct ring ring;
    pthread_t producer;
    uint64_t expected = 0;
    void *fault;

    memset(sleepy.shared, 0, ring_size(SMALL, sizeof(struct entry)));
    ring_attach(&ring, sleepy.shared, SMALL, sizeof(struct entry));
    assert_int_equal(pthread_create(&producer, NULL, produce_sleepily, &sleepy), 0);
    while (expected < SLEEPY_TOTAL && !ring.fault) {
        struct entry batch[SMALL];
        uint32_t count = ring_pop(&ring, batch, most);
        for (uint32_t i = 0; i < count; i++, expected++)
            assert_true(batch[i].number == expected && batch[i].check == ~expected);
        if (count != 0 && ring_must_wake_producer(&ring))
            bell_ring(&sleepy.room);
        if (count == 0 && ring_consumer_may_sleep(&ring)) {
            bell_wait(&sleepy.entries);
            ring_consumer_woke(&ring);
        }
    }
    assert_int_equal(pthread_join(producer, &fault), 0);
    assert_false(ring.fault);
    assert_null(fault);
    /* Both have slept, and nobody was woken more often than it said that it sleeps. */
    assert_true(sleepy.entries.sleeps > 0 && sleepy.room.sleeps > 0);
    assert_true(sleepy.entries.rings <= atomic_load(&sleepy.shared->consumer_asleep) / 2 + 1);
    assert_true(sleepy.room.rings <= atomic_load(&sleepy.shared->producer_asleep) / 2 + 1);
    free(sleepy.shared);
}

static void each_entry_wakes_a_sleeper(void **state)
{
    (void)state;
    sleepers_are_woken(1);
}

static void batches_wake_a_sleeper(void **state)
{
    (void)state;
    sleepers_are_woken(SMALL);
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test(each_entry_wakes_a_sleeper),
    cmocka_unit_test(batches_wake_a_sleeper),
    cmocka_unit_test(entries_arrive_whole_and_in_order),
};

int main(void)
{
    return cmocka_run_group_tests(tests, NULL, NULL);
}
