/* test_smp.c: kernel/smp.c and smp_start.c over CPUs that come, come late, come deaf, or never. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "host_log.h"
#include "kernel/smp.c"
#include "kernel/smp_start.c"

enum { MOST = 100, BOOT_ID = 50 };

/* What the CPU with each hardware ID does when it is started. */
enum behaviour { COMES, NEVER, LATE, DEAF, REFUSED, STUCK };

struct machine machine;
static struct machine_room room;
static enum behaviour behaviour[MOST];
static struct cpu boot, *added[CPU_MAX], *started[MOST];
static struct cpu *runs = &boot;
static unsigned added_count, start_count, stacks, pages_live, prepares, wakes, flushes;
static int done; /* cpu_start_done: -1 not called, else its argument */
static bool unprepared;
static int memory_left; /* allocations that succeed; -1: all */
static uint64_t now_ns;
static jmp_buf gone; /* where a CPU ends that halts or sleeps */
static bool halted, slept, called;

unsigned cpu_count(void)
{
    return added_count;
}

struct cpu *cpu_at(unsigned index)
{
    return index < added_count ? added[index] : NULL;
}

void cpu_add(struct cpu *cpu)
{
    cpu->index = added_count;
    added[added_count++] = cpu;
}

struct cpu *cpu_local(void)
{
    return runs;
}

void cpu_init(struct cpu *cpu)
{
    assert_ptr_equal(cpu, runs);
}

_Noreturn void cpu_halt(void)
{
    halted = true;
    longjmp(gone, 1);
}

_Noreturn void ipi_stop_here(void)
{
    cpu_halt();
}

void clock_sleep(void)
{
    slept = true;
    if (runs != &boot)
        longjmp(gone, 1);
}

void scheduler_lend(void)
{
    clock_sleep(); /* there is no process */
}

bool scheduler_init_cpu(struct cpu *cpu)
{
    (void)cpu;
    return memory_left < 0 || memory_left-- > 0;
}

void cpu_interrupts_enable(void)
{
}

void ipi_wake(struct cpu *to)
{
    wakes += to != NULL;
}

void mmu_flush_all(void)
{
    flushes++;
}

bool controller_init_cpu(const struct machine *described)
{
    assert_ptr_equal(described, &machine);
    if (behaviour[runs->hardware_id] == STUCK)
        longjmp(gone, 1);
    return behaviour[runs->hardware_id] != DEAF;
}

void timer_init_cpu(void)
{
}

uint64_t counter_read(void)
{
    return now_ns;
}

uint64_t clock_now(void)
{
    return now_ns += 1000;
}

static bool allowed(void)
{
    return memory_left < 0 || memory_left-- > 0;
}

void *pages_allocate(unsigned order)
{
    if (!allowed())
        return NULL;
    pages_live++;
    return aligned_alloc(4096, 4096u << order);
}

void pages_free(void *pages, unsigned order)
{
    (void)order;
    pages_live--;
    free(pages);
}

uintptr_t vm_stack_create(uintptr_t *guard)
{
    if (!allowed())
        return 0;
    *guard = 0x100000 + 0x10000 * stacks;
    return *guard + 0x5000 + 0 * ++stacks;
}

bool cpu_start_prepare(const struct machine *described)
{
    (void)described;
    prepares++;
    return !unprepared;
}

void trace_init_cpu(struct cpu *cpu)
{
    (void)cpu;
}

bool cpu_start_allocate(struct cpu *cpu)
{
    assert_in_range(cpu->hardware_id, 0, MOST - 1); /* known by then */
    return allowed();
}

/* What a CPU does until it sleeps, halts or is gone. */
static void arrive(struct cpu *cpu)
{
    runs = cpu;
    halted = slept = false;
    if (setjmp(gone) == 0)
        smp_arrive(cpu);
    runs = &boot;
}

const char *cpu_start(struct cpu *cpu)
{
    assert_true(cpu->stack_top != 0 && cpu->stack_guard != 0 && cpu->exception_stack_top > cpu->exception_stack);
    started[cpu->hardware_id] = cpu;
    if (behaviour[cpu->hardware_id] == REFUSED)
        return "it is not there";
    start_count++;
    if (behaviour[cpu->hardware_id] != NEVER && behaviour[cpu->hardware_id] != LATE)
        arrive(cpu);
    return NULL;
}

void cpu_start_done(bool all)
{
    assert_int_equal(done, -1);
    done = all;
}

bool kernel_wait(bool (*is_done)(void *context), void *context, uint64_t deadline_ns)
{
    bool was = is_done(context);

    if (!was && deadline_ns > now_ns)
        now_ns = deadline_ns;
    return was;
}

static int fresh(void **state)
{
    (void)state;
    memset(&machine, 0, sizeof machine);
    memset(&room, 0, sizeof room);
    machine_use_room(&machine, &room);
    memset(behaviour, 0, sizeof behaviour);
    memset(started, 0, sizeof started);
    boot = (struct cpu){.hardware_id = BOOT_ID};
    runs = &boot;
    added_count = start_count = stacks = prepares = wakes = flushes = 0;
    done = memory_left = -1;
    unprepared = false;
    now_ns = 0;
    host_log_clear();
    cpu_add(&boot);
    return 0;
}

static void describe(unsigned id)
{
    machine.cpus[machine.cpu_count++] = (struct machine_cpu){.hardware_id = id, .enabled = true};
}

/* Four, the boot CPU in the middle. */
static void describe_four(void)
{
    describe(3);
    describe(BOOT_ID);
    describe(9);
    describe(4);
}

static int ended(void **state)
{
    (void)state;
    for (unsigned i = 0; i < MOST; i++)
        if (started[i] != NULL) {
            pages_free((void *)(uintptr_t)started[i]->exception_stack, 0);
            free(started[i]);
        }
    assert_int_equal(pages_live, 0);
    return 0;
}

static void test_all_come(void **state)
{
    (void)state;
    describe_four();
    machine.cpus[4] = (struct machine_cpu){.hardware_id = 8}; /* only could be brought online */
    machine.cpu_count = 5;
    smp_start();
    assert_int_equal(cpu_count(), 4);
    assert_int_equal(added[1]->hardware_id, 3);
    assert_int_equal(added[2]->hardware_id, 9);
    assert_int_equal(added[3]->hardware_id, 4);
    assert_int_equal(done, true);
    assert_int_equal(host_log_count(LOG_WARN) + host_log_count(LOG_ERROR), 0);
    /* They go on, drop what they remember, and sleep. */
    arrive(added[1]);
    assert_true(halted); /* started twice: the first has it */
}

/* One CPU costs nothing: nothing is prepared or said. */
static void test_alone(void **state)
{
    (void)state;
    describe(BOOT_ID);
    smp_start();
    assert_int_equal(prepares, 0);
    assert_string_equal(host_log_text(), "");
    machine.cpus[1] = (struct machine_cpu){.hardware_id = 8};
    machine.cpu_count = 2;
    smp_start();
    assert_int_equal(prepares, 0);
}

static void test_nobody_can_be_started(void **state)
{
    (void)state;
    describe_four();
    unprepared = true;
    smp_start();
    assert_int_equal(cpu_count(), 1);
    assert_int_equal(start_count, 0);
}

/* A36, H10, H15: what fails is said and left, the rest runs with indices without gaps. */
static void test_some_fail(void **state)
{
    static const struct {
        enum behaviour what;
        const char *said;
        bool gives_back; /* what starting needs */
    } cases[] = {
        {NEVER, "CPU 0x9 was started and has not come in time; it stays off", false},
        {DEAF, "CPU 0x9 has come, but its interrupt controller cannot be used; it stays off", true},
        {REFUSED, "CPU 0x9 cannot be started: it is not there", false},
        {STUCK, "CPU 0x9 has come and does not get on; it stays off", false},
    };

    for (unsigned i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        fresh(state);
        describe_four();
        behaviour[9] = cases[i].what;
        smp_start();
        assert_true(host_log_has(cases[i].said));
        assert_int_equal(host_log_count(LOG_WARN), 1);
        assert_int_equal(cpu_count(), 3);
        assert_int_equal(added[2]->hardware_id, 4);
        assert_int_equal(added[2]->index, 2);
        assert_int_equal(done, cases[i].gives_back);
        assert_in_range(now_ns, 0, 2 * PATIENCE_NS);
        ended(state);
        memset(started, 0, sizeof started);
    }
}

/* H10: one that comes after it was given up halts on its own stack and changes nothing. */
static void test_late(void **state)
{
    (void)state;
    describe_four();
    behaviour[9] = LATE;
    smp_start();
    struct cpu *late = started[9];
    assert_int_equal(late->start, START_WITHDRAWN);
    unsigned before = wakes;
    arrive(late);
    assert_true(halted);
    assert_int_equal(late->start, START_WITHDRAWN);
    assert_int_equal(wakes, before);
    assert_int_equal(cpu_count(), 3);
    assert_int_equal(done, false); /* what it starts from is still there */
}

/* All that are missing are missed together. */
static void test_many_missing(void **state)
{
    (void)state;
    describe(BOOT_ID);
    for (unsigned i = 0; i < 40; i++) {
        describe(i);
        behaviour[i] = NEVER;
    }
    smp_start();
    assert_int_equal(cpu_count(), 1);
    assert_int_equal(host_log_count(LOG_WARN), 40);
    assert_in_range(now_ns, PATIENCE_NS, PATIENCE_NS + 100 * LOOK_NS);
}

static void test_too_many(void **state)
{
    (void)state;
    describe(BOOT_ID);
    for (unsigned i = 0; i < 90; i++)
        if (i != BOOT_ID)
            describe(i);
    smp_start();
    assert_int_equal(cpu_count(), CPU_MAX);
    assert_int_equal(start_count, CPU_MAX - 1);
    assert_true(host_log_has("vmos runs on 64 CPUs at most; 26 more stay off"));
}

static void test_no_memory(void **state)
{
    for (int left = 0; left < 8; left++) { /* each CPU takes four */
        fresh(state);
        describe_four();
        memory_left = left;
        unsigned before = pages_live;
        smp_start();
        assert_int_equal(cpu_count(), 1 + (unsigned)left / 4);
        assert_int_equal(pages_live - before, (unsigned)left / 4); /* the rest has gone back */
        assert_true(host_log_has("no memory to start CPU"));
        ended(state);
        memset(started, 0, sizeof started);
    }
}

static void test_counters_disagree(void **state)
{
    (void)state;
    describe_four();
    smp_start();
    assert_false(host_log_has("counts time"));
    now_ns = 1000000;
    added[1]->start_counter = 5000;
    added[1]->arrival_counter = 4000;
    check_counter(added[1]);
    assert_true(host_log_has("CPU 1 counts time 1000 ticks behind the boot CPU"));
    added[1]->arrival_counter = 1500000;
    check_counter(added[1]);
    assert_true(host_log_has("CPU 1 counts time 500000 ticks ahead of the boot CPU"));
}

static void note_call(void *context)
{
    *(bool *)context = true;
}

static void test_calls(void **state)
{
    (void)state;
    describe_four();
    smp_start();
    called = false;
    assert_int_equal(smp_call(0, note_call, &called), STATUS_OUT_OF_RANGE);
    assert_int_equal(smp_call(4, note_call, &called), STATUS_OUT_OF_RANGE);
    assert_int_equal(smp_call(2, note_call, &called), STATUS_OK);
    assert_false(smp_idle(2));
    assert_int_equal(smp_call(2, note_call, &called), STATUS_BUSY);
    assert_true(smp_idle(1));
    runs = added[2];
    unsigned before = wakes;
    run_call(added[2]);
    runs = &boot;
    assert_true(called);
    assert_true(smp_idle(2));
    assert_int_equal(wakes, before + 1);
    run_call(added[2]); /* nothing twice */
    assert_int_equal(smp_call(2, note_call, &called), STATUS_OK);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, fresh, ended)

int main(void)
{
    static const struct CMUnitTest tests[] = {
        TEST(test_all_come),  TEST(test_alone),     TEST(test_nobody_can_be_started),
        TEST(test_some_fail), TEST(test_late),      TEST(test_many_missing),
        TEST(test_too_many),  TEST(test_no_memory), TEST(test_counters_disagree),
        TEST(test_calls),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
