/*
 * test_lock_threads.c: platform/lock.c and platform/ipi.c with threads as CPUs, under the thread sanitizer: what a lock
 * guards is never touched by two, and no wake-up falls between looking and sleeping.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include <host_log.h>
#include <pthread.h>
#include <sched.h>

#include "platform/ipi.c"
#include "platform/lock.c"

enum { CPUS = 4, ROUNDS = 20000, WAKES = 3000 };

static struct cpu cpu_data[CPUS];
static __thread struct cpu *runs = &cpu_data[0];
static uint32_t interrupts_pending[CPUS]; /* what ipi_raise has sent */
static __thread bool interrupts_on = true;
static uint64_t clock_stands;
static bool raise_fails;
static __thread jmp_buf *panics;
static char panic_text[200];

/* ---- The machine ------------------------------------------------------------------------------------------------ */

struct cpu *cpu_local(void)
{
    return runs;
}

uintptr_t cpu_interrupts_disable(void)
{
    bool was = interrupts_on;

    interrupts_on = false;
    return was;
}

void cpu_interrupts_restore(uintptr_t saved)
{
    interrupts_on = saved != 0;
}

void cpu_relax(void)
{
    sched_yield();
}

_Noreturn void cpu_halt(void)
{
    pthread_exit(NULL);
}

bool ipi_raise(const struct cpu *to)
{
    if (raise_fails)
        return false;
    __atomic_store_n(&interrupts_pending[to->index], 1, __ATOMIC_SEQ_CST);
    return true;
}

void ipi_raise_stop(const struct cpu *to)
{
    ipi_raise(to);
}

uint64_t clock_now(void)
{
    return __atomic_add_fetch(&clock_stands, 1000, __ATOMIC_RELAXED);
}

static unsigned flushed[CPUS];

void mmu_flush_all(void)
{
    flushed[runs->index]++;
}

_Noreturn void panic_at(const struct trap_frame *frame, const char *format, ...)
{
    va_list arguments;

    (void)frame;
    va_start(arguments, format);
    vsnprintf(panic_text, sizeof panic_text, format, arguments);
    va_end(arguments);
    longjmp(*panics, 1);
}

/* Takes the interrupt if there is one; as clock_sleep's cpu_sleep, but it does not block the test if there is none. */
static bool take_interrupt(void)
{
    if (__atomic_exchange_n(&interrupts_pending[runs->index], 0, __ATOMIC_SEQ_CST) == 0)
        return false;
    ipi_arrived();
    return true;
}

static int set_up(void **state)
{
    (void)state;
    memset(cpu_data, 0, sizeof cpu_data);
    memset(interrupts_pending, 0, sizeof interrupts_pending);
    memset(flushed, 0, sizeof flushed);
    count = 0;
    given_up = stopping = raise_fails = false;
    for (unsigned i = 0; i < CPUS; i++)
        cpu_add(&cpu_data[i]);
    runs = &cpu_data[0];
    host_log_clear();
    return 0;
}

static void on_all(void *(*run)(void *cpu))
{
    pthread_t threads[CPUS];

    for (uintptr_t i = 0; i < CPUS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, run, &cpu_data[i]), 0);
    for (unsigned i = 0; i < CPUS; i++)
        pthread_join(threads[i], NULL);
}

/* ---- Locks ------------------------------------------------------------------------------------------------------ */

static struct lock outer = {.name = "outer", .place = LOCK_PLACE_HEAP};
static struct lock inner = {.name = "inner", .place = LOCK_PLACE_FRAMES};
static uint64_t counter, second; /* plain on purpose */

static void *add(void *cpu)
{
    runs = cpu;
    for (unsigned i = 0; i < ROUNDS; i++) {
        uintptr_t saved = lock_take(&outer);
        counter++;
        uintptr_t nested = lock_take(&inner);
        second += 2;
        lock_release(&inner, nested);
        assert_false(interrupts_on);
        lock_release(&outer, saved);
        assert_true(interrupts_on);
    }
    return NULL;
}

static void test_nothing_is_lost(void **state)
{
    (void)state;
    counter = second = 0;
    on_all(add);
    assert_int_equal(counter, CPUS * ROUNDS);
    assert_int_equal(second, 2 * CPUS * ROUNDS);
    for (unsigned i = 0; i < CPUS; i++)
        assert_int_equal(cpu_data[i].places_held, 0);
}

static bool panics_taking(struct lock *first, struct lock *then)
{
    jmp_buf back;
    uintptr_t saved = lock_take(first);

    panics = &back;
    bool panicked = setjmp(back) != 0;
    if (!panicked) {
        uintptr_t nested = lock_take(then);
        lock_release(then, nested);
    }
    lock_release(first, saved);
    return panicked;
}

static void test_order(void **state)
{
    struct lock same = {.name = "same place", .place = LOCK_PLACE_HEAP};

    (void)state;
    assert_false(panics_taking(&outer, &inner));
    assert_true(panics_taking(&inner, &outer));
    assert_non_null(strstr(panic_text, "the lock of the outer is taken while one is held that comes after it"));
    assert_true(panics_taking(&outer, &outer));
    assert_true(panics_taking(&outer, &same));
    assert_false(panics_taking(&outer, &inner)); /* nothing is left behind */
}

/* ---- Wake-ups ---------------------------------------------------------------------------------------------------- */

static uint32_t posted, seen;

static void *post(void *cpu)
{
    runs = cpu;
    for (uint32_t i = 1; i <= WAKES; i++) {
        __atomic_store_n(&posted, i, __ATOMIC_RELEASE);
        ipi_wake(&cpu_data[0]);
        while (__atomic_load_n(&seen, __ATOMIC_ACQUIRE) != i)
            sched_yield();
    }
    return NULL;
}

/* As clock_sleep: says that it sleeps, looks whether it was woken, and sleeps until an interrupt comes. A lost wake-up
 * leaves both waiting for ever, which the bound turns into a failure. */
static void test_no_wake_up_is_lost(void **state)
{
    pthread_t thread;

    (void)state;
    posted = seen = 0;
    assert_int_equal(pthread_create(&thread, NULL, post, &cpu_data[1]), 0);
    for (uint32_t i = 1; i <= WAKES; i++) {
        while (__atomic_load_n(&posted, __ATOMIC_ACQUIRE) != i) {
            __atomic_store_n(&runs->sleeping, true, __ATOMIC_SEQ_CST);
            if (!__atomic_exchange_n(&runs->woken, false, __ATOMIC_SEQ_CST)) {
                unsigned turns = 0;
                while (!take_interrupt() && turns < 100000000)
                    turns++ % 64 == 63 ? sched_yield() : 0;
                assert_true(turns < 100000000);
            }
            __atomic_store_n(&runs->sleeping, false, __ATOMIC_RELAXED);
        }
        __atomic_store_n(&seen, i, __ATOMIC_RELEASE);
    }
    pthread_join(thread, NULL);
}

static unsigned tests_seen;

static void test_came(void)
{
    tests_seen++;
}

static void test_kinds(void **state)
{
    (void)state;
    tests_seen = 0;
    ipi_on_test(test_came);
    assert_true(ipi_send(&cpu_data[1], IPI_WAKE));
    assert_true(ipi_send(&cpu_data[1], IPI_TEST));
    assert_true(ipi_send(&cpu_data[1], IPI_TEST)); /* before it was heard */
    runs = &cpu_data[1];
    assert_true(take_interrupt());
    assert_false(take_interrupt());
    assert_int_equal(tests_seen, 1);
    assert_int_equal(runs->ipis_taken, 1);

    /* What could not be sent is not taken to be on its way. */
    runs = &cpu_data[0];
    raise_fails = true;
    assert_false(ipi_send(&cpu_data[1], IPI_TEST));
    raise_fails = false;
    assert_true(ipi_send(&cpu_data[1], IPI_TEST));
    runs = &cpu_data[1];
    assert_true(take_interrupt());
    assert_int_equal(tests_seen, 2);
    ipi_on_test(NULL);

    /* Nobody wakes himself, or who is awake. */
    ipi_wake(runs);
    assert_false(runs->woken);
    ipi_wake(&cpu_data[2]);
    assert_true(cpu_data[2].woken);
    assert_int_equal(interrupts_pending[2], 0);
}

/* ---- Flushes ------------------------------------------------------------------------------------------------------
 */

static uint32_t flushers_done;

/* Each takes the lock and has the others flush; those wait for the lock with interrupts off, and hear of it there. */
static void *flush_all(void *cpu)
{
    runs = cpu;
    for (unsigned i = 0; i < 50; i++) {
        uintptr_t saved = lock_take(&outer);
        clock_stands = 0;
        assert_true(ipi_flush_others());
        lock_release(&outer, saved);
        take_interrupt();
    }
    __atomic_fetch_add(&flushers_done, 1, __ATOMIC_SEQ_CST);
    while (__atomic_load_n(&flushers_done, __ATOMIC_SEQ_CST) < CPUS) {
        take_interrupt();
        sched_yield();
    }
    return NULL;
}

static void test_flushes_while_waiting_for_a_lock(void **state)
{
    (void)state;
    flushers_done = 0;
    on_all(flush_all);
    for (unsigned i = 0; i < CPUS; i++)
        assert_true(flushed[i] != 0);
}

static void test_deaf_cpu(void **state)
{
    (void)state;
    count = 2;
    assert_false(ipi_flush_others());
    assert_true(host_log_has("CPU 1 did not drop its translations within a second"));
    runs = &cpu_data[1]; /* later it does */
    ipi_relax();
    assert_int_equal(flushed[1], 1);
    assert_int_equal(runs->flushes_done, runs->flushes_wanted);
}

/* ---- Stopping -----------------------------------------------------------------------------------------------------
 */

static void *spin(void *cpu)
{
    runs = cpu;
    uintptr_t saved = lock_take(&outer); /* which CPU 0 holds */
    lock_release(&outer, saved);
    return cpu;
}

/* Those that wait for a lock stop there; afterwards the locks are nobody's. */
static void test_stop(void **state)
{
    pthread_t thread;
    void *result = NULL;

    (void)state;
    count = 2;
    uintptr_t saved = lock_take(&outer);
    assert_int_equal(pthread_create(&thread, NULL, spin, &cpu_data[1]), 0);
    ipi_stop_others();
    pthread_join(thread, &result);
    assert_null(result); /* it never got the lock */
    assert_true(cpu_data[1].stopped);
    lock_give_up_all();
    uintptr_t again = lock_take(&outer);
    lock_release(&outer, again);
    lock_release(&outer, saved);
}

#define TEST(name) cmocka_unit_test_setup(name, set_up)

int main(void)
{
    static const struct CMUnitTest tests[] = {
        TEST(test_nothing_is_lost),
        TEST(test_order),
        TEST(test_no_wake_up_is_lost),
        TEST(test_kinds),
        TEST(test_flushes_while_waiting_for_a_lock),
        TEST(test_deaf_cpu),
        TEST(test_stop),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
