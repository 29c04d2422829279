/*
 * test_trace_threads.c: kernel/trace.c with threads as CPUs, under the thread sanitizer: each writes its own ring while
 * one reads them all, and what is printed is whole and in order. What an interrupt records in the middle of a record
 * that is being written is kept, and so is that record.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include <pthread.h>
#include <stdio.h>

#include "kernel/trace.c"

enum { CPUS = 3, EVENTS = 1500000 };

static struct cpu cpu_data[CPUS];
static __thread struct cpu *runs = &cpu_data[0];
static __thread unsigned interrupt_in; /* counter_read() calls until an interrupt comes */
static bool no_memory;
static uint64_t ticks;

struct cpu *cpu_local(void)
{
    return runs;
}

unsigned cpu_count(void)
{
    return CPUS;
}

struct cpu *cpu_at(unsigned index)
{
    return &cpu_data[index];
}

void *pages_allocate(unsigned order)
{
    return no_memory ? NULL : aligned_alloc(PAGE_SIZE, PAGE_SIZE << order);
}

static jmp_buf *stops_here; /* the next record stays half written */

uint64_t counter_read(void)
{
    if (stops_here != NULL)
        longjmp(*stops_here, 1);
    if (interrupt_in != 0 && --interrupt_in == 0)
        trace(TRACE_INTERRUPT, 77, 0);
    return __atomic_add_fetch(&ticks, 1, __ATOMIC_RELAXED);
}

uint64_t clock_now(void)
{
    return UINT64_C(1000000) + __atomic_load_n(&ticks, __ATOMIC_RELAXED);
}

uint64_t clock_duration(uint64_t duration)
{
    return duration;
}

static void start(void)
{
    no_memory = false;
    for (unsigned i = 0; i < CPUS; i++) {
        cpu_data[i] = (struct cpu){.index = i};
        trace_init_cpu(&cpu_data[i]);
        memset(cpu_data[i].trace, 0, PAGE_SIZE);
    }
}

static void stop(void)
{
    for (unsigned i = 0; i < CPUS; i++)
        free(cpu_data[i].trace);
}

/* ---- What is printed -------------------------------------------------------------------------------------------- */

static unsigned printed[CPUS], lines;
static uint64_t last[CPUS];
static bool in_order, whole, written_over;
static char text[CPUS * (RECORDS + 1) * 64];

static void take_line(struct printer *printer, const char *line, size_t length)
{
    unsigned cpu = 0;
    unsigned long long seconds, fraction, first, second;
    char event[16];

    (void)printer;
    if (written_over) { /* the reader has seen how many there are, and none of them */
        jmp_buf stop;
        written_over = false;
        stops_here = &stop;
        if (setjmp(stop) == 0)
            trace(TRACE_WAKE, 1000, 1000);
        stops_here = NULL;
    }
    strncat(text, line, length);
    lines++;
    if (sscanf(line, " %u %llu.%llu %15s %llu %lli", &cpu, &seconds, &fraction, event, &first, (long long *)&second) !=
        6)
        return;
    assert_true(cpu < CPUS);
    printed[cpu]++;
    whole = whole && first == second && strcmp(event, "wake") == 0;
    in_order = in_order && first > last[cpu];
    last[cpu] = first;
}

static struct printer printer = {take_line};

static void report(unsigned most)
{
    memset(printed, 0, sizeof printed);
    memset(last, 0, sizeof last);
    text[0] = '\0';
    lines = 0;
    in_order = whole = true;
    trace_report(&printer, most);
}

static void *write_events(void *cpu)
{
    runs = cpu;
    for (uint64_t i = 1; i <= EVENTS; i++)
        trace(TRACE_WAKE, i, i);
    return NULL;
}

static void what_is_read_is_whole_and_in_order(void **state)
{
    pthread_t threads[CPUS];

    (void)state;
    start();
    for (unsigned i = 0; i < CPUS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, write_events, &cpu_data[i]), 0);
    for (unsigned round = 0; round < 5000; round++) {
        report(RECORDS);
        assert_true(whole && in_order);
        for (unsigned i = 0; i < CPUS; i++)
            assert_true(printed[i] <= RECORDS);
    }
    for (unsigned i = 0; i < CPUS; i++)
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    report(1000000);
    for (unsigned i = 0; i < CPUS; i++)
        assert_true(printed[i] == RECORDS && last[i] == EVENTS);
    assert_true(whole && in_order);
    stop();
}

static void only_the_newest_are_asked_for(void **state)
{
    (void)state;
    start();
    for (uint64_t i = 1; i <= 20; i++)
        trace(TRACE_WAKE, i, i);
    report(8);
    assert_int_equal(printed[0], 8);
    assert_int_equal(last[0], 20);
    assert_int_equal(lines, 9);
    assert_non_null(strstr(text, "trace of CPU 0: the last 8 of 20 events\n"));
    stop();
}

static void an_interrupt_takes_the_next_place(void **state)
{
    (void)state;
    start();
    for (uint64_t i = 1; i <= 10; i++) {
        interrupt_in = 1;
        trace(TRACE_SWITCH, i, 0xabcdef01);
    }
    report(RECORDS);
    assert_int_equal(printed[0], 20);
    for (unsigned i = 1; i <= 10; i++) {
        char line[64];
        snprintf(line, sizeof line, "switch    %u 0xabcdef01\n", i);
        assert_non_null(strstr(text, line));
    }
    const char *at = text;
    for (unsigned i = 0; i < 10; i++, at++)
        assert_non_null(at = strstr(at, "interrupt 77 0\n"));
    stop();
}

static void half_a_record_is_not_shown(void **state)
{
    (void)state;
    start();
    trace(TRACE_WAKE, 1, 1);
    trace(TRACE_WAKE, 2, 2);
    ((struct record *)cpu_data[0].trace)[2].number = 0;
    report(8);
    assert_int_equal(printed[0], 1);
    trace(TRACE_EVENT_COUNT, 3, 3); /* no such event */
    report(8);
    assert_int_equal(printed[0], 1);
    stop();
}

static void a_record_that_is_being_written_over_is_not_shown(void **state)
{
    (void)state;
    start();
    for (uint64_t i = 1; i <= RECORDS; i++)
        trace(TRACE_WAKE, i, i);
    written_over = true;
    report(RECORDS);
    assert_int_equal(printed[0], RECORDS - 1);
    assert_null(strstr(text, "wake      1 1\n"));
    assert_non_null(strstr(text, "wake      2 2\n"));
    stop();
}

static void without_memory_nothing_is_recorded(void **state)
{
    (void)state;
    no_memory = true;
    cpu_data[0] = cpu_data[1] = cpu_data[2] = (struct cpu){0};
    trace_init_cpu(&cpu_data[0]);
    trace(TRACE_WAKE, 1, 1);
    trace_interrupt(1, 2);
    report(8);
    assert_int_equal(lines, 0);
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test(what_is_read_is_whole_and_in_order),
    cmocka_unit_test(only_the_newest_are_asked_for),
    cmocka_unit_test(an_interrupt_takes_the_next_place),
    cmocka_unit_test(half_a_record_is_not_shown),
    cmocka_unit_test(a_record_that_is_being_written_over_is_not_shown),
    cmocka_unit_test(without_memory_nothing_is_recorded),
};

int main(void)
{
    return cmocka_run_group_tests(tests, NULL, NULL);
}
