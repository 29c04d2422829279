/* test_clock.c: platform/clock.c over a counter, an alarm and a refinement that the test plays. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "host_log.h"
#include "platform/clock.c"

/* ---- The machine ----------------------------------------------------------------------------------- */

static uint64_t counter, armed, refined_hz;
static unsigned armings, relaxed, relaxed_ticks;
static int disabled;

uint64_t counter_read(void)
{
    return counter;
}

void timer_arm(uint64_t counter_deadline)
{
    armed = counter_deadline;
    armings++;
}

uint64_t timer_refine(void)
{
    return refined_hz;
}

static struct cpu this_cpu, other_cpu;
static struct cpu *runs = &this_cpu;

struct cpu *cpu_local(void)
{
    return runs;
}

unsigned cpu_count(void)
{
    return 2;
}

struct cpu *cpu_at(unsigned index)
{
    return index == 0 ? &this_cpu : &other_cpu;
}

static unsigned slept;

/* Asleep the counter goes on. */
void cpu_sleep(void)
{
    assert_true(runs->sleeping);
    slept++;
    counter += 5000;
}

static void (*while_waiting)(void);

void ipi_relax(void)
{
    assert_non_null(while_waiting); /* else it waits for ever */
    while_waiting();
}

uintptr_t cpu_interrupts_disable(void)
{
    return disabled++ == 0;
}

void cpu_interrupts_restore(uintptr_t saved)
{
    disabled--;
    assert_int_equal(saved, disabled == 0);
}

void cpu_relax(void)
{
    relaxed++;
    counter += relaxed_ticks;
}

static const struct timer_source source = {.counter_name = "counter", .alarm_name = "alarm", .calibration = "test"};

static void start(uint64_t frequency_hz, uint64_t entry_counter)
{
    struct timer_source with = source;

    with.frequency_hz = frequency_hz;
    memset(scales, 0, sizeof scales);
    current = NULL;
    latest_ns = 0;
    this_cpu = other_cpu = (struct cpu){0};
    runs = &this_cpu;
    refinements = 0;
    memset(&refinement, 0, sizeof refinement);
    refined_hz = 0;
    armings = relaxed = relaxed_ticks = 0;
    host_log_clear();
    counter = entry_counter;
    armed = UINT64_MAX;
    clock_init(&with, entry_counter);
}

/* Goes on to the alarm and lets it ring; false when none is set. */
static bool ring(void)
{
    if (armed == UINT64_MAX)
        return false;
    if (armed > counter)
        counter = armed;
    armed = UINT64_MAX;
    clock_alarm();
    assert_int_equal(disabled, 0);
    return true;
}

static int all_ended(void **state)
{
    (void)state;
    return disabled;
}

/* ---- Arithmetic --------------------------------------------------------------------------------------- */

static const uint64_t frequencies[] = {1,        1000,      32768,     1193182,    3579545,    10000000,   24000000,
                                       62500000, 100000000, 999999937, 1000000000, 2400000001, 4999999999, 20000000000};
enum { FREQUENCIES = sizeof frequencies / sizeof frequencies[0] };

static uint64_t random_below(unsigned bits)
{
    uint64_t value = (uint64_t)random() << 42 ^ (uint64_t)random() << 21 ^ (uint64_t)random();

    return value >> (64 - bits);
}

static void test_not_running(void **state)
{
    (void)state;
    current = NULL;
    counter = 12345;
    assert_int_equal(clock_now(), 0);
}

/* The oracle divides exactly. A fixed-point factor below one tick in 2^32 is off by less than 1e-9 for all that
 * count at 4 GHz or less, by 5e-9 at most here. */
static void test_nanoseconds_are_right(void **state)
{
    (void)state;
    for (unsigned f = 0; f < FREQUENCIES; f++)
        for (unsigned i = 0; i < 200; i++) {
            uint64_t ticks = random_below(1 + i % 55);
            unsigned __int128 exact = (unsigned __int128)ticks * NANOSECONDS_PER_SECOND / frequencies[f];
            if (exact > UINT64_MAX / 2)
                continue;
            start(frequencies[f], 1000);
            counter = 1000 + ticks;
            uint64_t now = clock_now();
            assert_true(now <= exact);
            assert_true(exact - now <= 1 + exact / 200000000);
        }
}

static void test_deadline_is_the_first_counter_that_reaches_it(void **state)
{
    (void)state;
    for (unsigned f = 0; f < FREQUENCIES; f++) {
        start(frequencies[f], 77);
        for (unsigned i = 0; i < 500; i++) {
            uint64_t time = random_below(1 + i % 58), at = scale_to_counter(current, time);
            if (at == UINT64_MAX)
                continue;
            assert_true(scale_to_ns(current, at) >= time);
            /* At most a tick, or a nanosecond's worth of them, too late. */
            uint64_t slack = 2 + frequencies[f] / NANOSECONDS_PER_SECOND;
            if (at > 77 + slack)
                assert_true(scale_to_ns(current, at - slack) < time);
        }
    }
}

static void test_far_deadlines_are_never(void **state)
{
    (void)state;
    start(20000000000, 0);
    assert_int_equal(scale_to_counter(current, DEADLINE_NEVER), UINT64_MAX);
    assert_int_equal(scale_to_counter(current, UINT64_MAX / 2), UINT64_MAX);
    start(1, 0);
    assert_true(scale_to_counter(current, DEADLINE_NEVER) >= UINT64_MAX / NANOSECONDS_PER_SECOND);
}

static void test_time_saturates(void **state)
{
    (void)state;
    start(1, 0);
    counter = UINT64_MAX / 2;
    assert_int_equal(clock_now(), UINT64_MAX);
}

static void test_counter_that_steps_back(void **state)
{
    (void)state;
    start(1000000000, 5000);
    counter = 6000;
    assert_int_equal(clock_now(), 1000);
    counter = 5990;
    assert_int_equal(clock_now(), 1000);
    counter = 4000; /* before the base */
    assert_int_equal(clock_now(), 1000);
    counter = 6001;
    assert_int_equal(clock_now(), 1001);
}

static void test_counter_that_wraps(void **state)
{
    (void)state;
    start(1000000000, UINT64_MAX - 10);
    counter = 89;
    assert_int_equal(clock_now(), 100);
}

static void test_no_frequency(void **state)
{
    (void)state;
    start(0, 0);
    counter = 500;
    assert_int_equal(clock_now(), 500);
    assert_true(host_log_has("error clock: counter has no frequency; 1 GHz is assumed"));
}

/* ---- Refinement ------------------------------------------------------------------------------------- */

static void test_refinement_does_not_jump(void **state)
{
    (void)state;
    start(1000000000, 0);
    refined_hz = 1010000000;
    assert_int_equal(armed, 250000000);
    ring();
    assert_int_equal(clock_now(), 250000000);
    counter += 1010000000;
    assert_in_range(clock_now(), 1249999998, 1250000000);
    assert_int_equal(current->frequency_hz, 1010000000);
}

static void test_refinement_that_is_not_believed(void **state)
{
    (void)state;
    start(1000000000, 0);
    refined_hz = 1200000000;
    ring();
    assert_int_equal(current->frequency_hz, 1000000000);
    assert_true(host_log_has("is not believed"));
    refined_hz = 1;
    ring();
    assert_int_equal(current->frequency_hz, 1000000000);
}

static void test_refinements_end(void **state)
{
    (void)state;
    start(1000000000, 0);
    refined_hz = 1000000000;
    unsigned rings = 0;
    while (ring() && rings < 100)
        rings++;
    assert_int_equal(rings, CLOCK_REFINEMENTS);
    assert_int_equal(counter, 16000000000);
}

/* ---- The queue ------------------------------------------------------------------------------------------ */

enum { TIMERS = 40 };
static struct timer timers[TIMERS];
static uint64_t fired_at[TIMERS * 64];
static struct timer *fired[TIMERS * 64];
static unsigned fired_count;

static void note(struct timer *timer)
{
    assert_false(timer->armed);
    assert_true(timer->deadline_ns <= clock_now());
    fired[fired_count] = timer;
    fired_at[fired_count++] = timer->deadline_ns;
}

static void start_queue(void)
{
    start(1000000000, 0);
    timer_cancel(&refinement);
    assert_int_equal(armed, UINT64_MAX);
    memset(timers, 0, sizeof timers);
    for (unsigned i = 0; i < TIMERS; i++)
        timers[i].fire = note;
    fired_count = 0;
}

static void test_alarm_follows_the_first(void **state)
{
    (void)state;
    start_queue();
    timer_start(&timers[0], 1000);
    assert_int_equal(armed, 1000);
    timer_start(&timers[1], 2000);
    assert_int_equal(armed, 1000);
    timer_start(&timers[2], 500);
    assert_int_equal(armed, 500);
    timer_cancel(&timers[2]);
    assert_int_equal(armed, 1000);
    timer_start(&timers[0], 3000); /* moved behind the other */
    assert_int_equal(armed, 2000);
    timer_cancel(&timers[1]);
    timer_cancel(&timers[0]);
    timer_cancel(&timers[0]);
    assert_int_equal(armed, UINT64_MAX);
    assert_int_equal(fired_count, 0);
}

static void test_alarm_is_left_alone_when_nothing_changes(void **state)
{
    (void)state;
    start_queue();
    timer_start(&timers[0], 1000);
    unsigned before = armings;
    timer_start(&timers[1], 2000);
    timer_cancel(&timers[1]);
    assert_int_equal(armings, before);
}

static void test_equal_deadlines_fire_in_order(void **state)
{
    (void)state;
    start_queue();
    for (unsigned i = 0; i < 5; i++)
        timer_start(&timers[i], 100);
    ring();
    assert_int_equal(fired_count, 5);
    for (unsigned i = 0; i < 5; i++)
        assert_ptr_equal(fired[i], &timers[i]);
}

/* ---- Several CPUs ----------------------------------------------------------------------------------- */

static void test_timers_are_their_cpus(void **state)
{
    (void)state;
    start_queue();
    timer_start(&timers[0], 5000);
    assert_int_equal(armed, 5000);
    runs = &other_cpu;
    timer_start(&timers[1], 1000);
    assert_int_equal(armed, 1000); /* that CPU's alarm */
    runs = &this_cpu;
    counter = 6000;
    clock_alarm(); /* here: only the one that was started here */
    assert_int_equal(fired_count, 1);
    assert_ptr_equal(fired[0], &timers[0]);
    runs = &other_cpu;
    clock_alarm();
    assert_int_equal(fired_count, 2);
    assert_ptr_equal(fired[1], &timers[1]);
    assert_int_equal(this_cpu.timers.alarms, 1);
    assert_int_equal(other_cpu.timers.alarms, 1);

    /* Started anew elsewhere, it moves there. */
    timer_start(&timers[2], 7000);
    runs = &this_cpu;
    timer_start(&timers[2], 8000);
    assert_null(other_cpu.timers.first);
    assert_ptr_equal(this_cpu.timers.first, &timers[2]);
    timer_cancel(&timers[2]);
}

static void test_cancelled_by_another(void **state)
{
    (void)state;
    start_queue();
    runs = &other_cpu;
    timer_start(&timers[0], 1000);
    runs = &this_cpu;
    armed = 77;
    timer_cancel(&timers[0]);
    assert_int_equal(armed, 77); /* the alarm of this CPU is not that timer's */
    assert_false(timers[0].armed);
    counter = 2000;
    runs = &other_cpu;
    clock_alarm(); /* its alarm comes all the same, early */
    assert_int_equal(fired_count, 0);
    assert_int_equal(other_cpu.timers.early_alarms, 1);
    assert_int_equal(armed, UINT64_MAX);
    runs = &this_cpu;
}

static unsigned waits;

/* It ends on the other CPU, having started itself again. */
static void other_fires(void)
{
    if (++waits < 3)
        return;
    runs = &other_cpu;
    timer_start(&timers[0], 9000);
    runs = &this_cpu;
    other_cpu.timers.firing = NULL;
    while_waiting = NULL;
}

static void test_cancelled_while_it_fires_elsewhere(void **state)
{
    (void)state;
    start_queue();
    runs = &other_cpu;
    timer_start(&timers[0], 1000);
    unlink_timer(&other_cpu.timers, &timers[0]);
    other_cpu.timers.firing = &timers[0];
    runs = &this_cpu;
    waits = 0;
    while_waiting = other_fires;
    timer_cancel(&timers[0]);
    assert_int_equal(waits, 3);
    assert_false(timers[0].armed);
    assert_null(other_cpu.timers.first);

    /* On its own CPU, from within itself, there is nothing to wait for. */
    this_cpu.timers.firing = &timers[1];
    timers[1].cpu = &this_cpu;
    timer_cancel(&timers[1]);
    this_cpu.timers.firing = NULL;
}

/* Woken before it sleeps, it does not: what it is woken for was written before. */
static void test_no_sleep_when_woken(void **state)
{
    (void)state;
    start_queue();
    slept = 0;
    this_cpu.woken = true;
    clock_sleep();
    assert_int_equal(slept, 0);
    assert_false(this_cpu.woken || this_cpu.sleeping);
    clock_sleep();
    assert_int_equal(slept, 1);
    assert_false(this_cpu.sleeping);
}

static void test_early_alarm_is_armed_again(void **state)
{
    (void)state;
    start_queue();
    timer_start(&timers[0], 1000);
    counter = 999;
    armed = UINT64_MAX;
    clock_alarm();
    assert_int_equal(fired_count, 0);
    assert_int_equal(armed, 1000);
    assert_int_equal(this_cpu.timers.early_alarms, 1);
    ring();
    assert_int_equal(fired_count, 1);
}

static void test_past_deadline_is_armed_at_once(void **state)
{
    (void)state;
    start_queue();
    counter = 5000;
    timer_start(&timers[0], 1000);
    assert_true(armed <= counter);
    ring();
    assert_int_equal(fired_count, 1);
}

static void cancel_next(struct timer *timer)
{
    note(timer);
    timer_cancel(timer->context);
}

static void test_cancelled_while_due(void **state)
{
    (void)state;
    start_queue();
    timers[0].fire = cancel_next;
    timers[0].context = &timers[1];
    timer_start(&timers[0], 100);
    timer_start(&timers[1], 100);
    timer_start(&timers[2], 100);
    ring();
    assert_int_equal(fired_count, 2);
    assert_ptr_equal(fired[1], &timers[2]);
}

static void again_at_once(struct timer *timer)
{
    note(timer);
    timer_start(timer, timer->deadline_ns);
}

/* Such a timer starves the others no longer than one alarm, and the CPU gets out of the interrupt. */
static void test_endless_restart_is_bounded(void **state)
{
    (void)state;
    start_queue();
    timers[0].fire = again_at_once;
    timer_start(&timers[0], 10);
    ring();
    assert_int_equal(fired_count, CLOCK_FIRES_PER_ALARM);
    assert_true(armed <= counter);
    timer_cancel(&timers[0]);
}

/* Random starts, moves and cancels against a plain array that is searched for its smallest deadline. */
static void test_queue_against_a_model(void **state)
{
    uint64_t due[TIMERS];

    (void)state;
    start_queue();
    for (unsigned i = 0; i < TIMERS; i++)
        due[i] = DEADLINE_NEVER;
    for (unsigned step = 0; step < 20000; step++) {
        unsigned which = (unsigned)random() % TIMERS;
        if (random() % 3 != 0) {
            due[which] = counter + (uint64_t)random() % 10000;
            timer_start(&timers[which], due[which]);
        } else {
            due[which] = DEADLINE_NEVER;
            timer_cancel(&timers[which]);
        }
        uint64_t first = DEADLINE_NEVER;
        for (unsigned i = 0; i < TIMERS; i++) {
            first = due[i] < first ? due[i] : first;
            assert_int_equal(timers[i].armed, due[i] != DEADLINE_NEVER);
        }
        assert_int_equal(armed, first);
        if (random() % 4 != 0 || first == DEADLINE_NEVER)
            continue;
        fired_count = 0;
        ring();
        assert_true(fired_count > 0);
        for (unsigned i = 0; i < fired_count; i++) {
            assert_int_equal(due[fired[i] - timers], fired_at[i]);
            due[fired[i] - timers] = DEADLINE_NEVER;
        }
        for (unsigned i = 0; i < TIMERS; i++)
            assert_true(due[i] > counter);
    }
}

/* ---- Spinning ------------------------------------------------------------------------------------------- */

static void test_spin_waits_long_enough(void **state)
{
    (void)state;
    start(1000000000, 0);
    relaxed_ticks = 7;
    clock_spin(1000);
    assert_true(counter >= 1000);
    assert_true(relaxed <= 1000);
}

static void test_spin_ends_when_the_counter_has_stopped(void **state)
{
    (void)state;
    start(1000000000, 0);
    clock_spin(1000);
    assert_int_equal(relaxed, 1001);
}

static void test_time_asleep_is_counted(void **state)
{
    (void)state;
    start(1000000000, 0);
    uint64_t before = clock_idle();
    counter += 100000; /* at work */
    clock_sleep();
    clock_sleep();
    assert_int_equal(clock_idle() - before, 10000);
}

/* The clock was wrong by a tenth while the time at work passed. As nanoseconds that time is now less than what its own
 * ticks come to, so a part of it could come out longer than the whole; as ticks it is exact. */
static void test_time_at_work_survives_a_refinement(void **state)
{
    (void)state;
    start(1000000000, 500);
    counter += 200000000;
    refined_hz = 900000000;
    ring();
    assert_int_equal(current->frequency_hz, 900000000);
    uint64_t awake = clock_awake_ticks();
    clock_sleep();
    assert_int_equal(clock_awake_ticks(), awake);
    assert_true(clock_now() - clock_idle() < clock_duration(awake));
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(test_time_at_work_survives_a_refinement, all_ended),
        cmocka_unit_test_teardown(test_time_asleep_is_counted, all_ended),
        cmocka_unit_test_teardown(test_not_running, all_ended),
        cmocka_unit_test_teardown(test_nanoseconds_are_right, all_ended),
        cmocka_unit_test_teardown(test_deadline_is_the_first_counter_that_reaches_it, all_ended),
        cmocka_unit_test_teardown(test_far_deadlines_are_never, all_ended),
        cmocka_unit_test_teardown(test_time_saturates, all_ended),
        cmocka_unit_test_teardown(test_counter_that_steps_back, all_ended),
        cmocka_unit_test_teardown(test_counter_that_wraps, all_ended),
        cmocka_unit_test_teardown(test_no_frequency, all_ended),
        cmocka_unit_test_teardown(test_refinement_does_not_jump, all_ended),
        cmocka_unit_test_teardown(test_refinement_that_is_not_believed, all_ended),
        cmocka_unit_test_teardown(test_refinements_end, all_ended),
        cmocka_unit_test_teardown(test_alarm_follows_the_first, all_ended),
        cmocka_unit_test_teardown(test_alarm_is_left_alone_when_nothing_changes, all_ended),
        cmocka_unit_test_teardown(test_equal_deadlines_fire_in_order, all_ended),
        cmocka_unit_test_teardown(test_early_alarm_is_armed_again, all_ended),
        cmocka_unit_test_teardown(test_timers_are_their_cpus, all_ended),
        cmocka_unit_test_teardown(test_cancelled_by_another, all_ended),
        cmocka_unit_test_teardown(test_cancelled_while_it_fires_elsewhere, all_ended),
        cmocka_unit_test_teardown(test_no_sleep_when_woken, all_ended),
        cmocka_unit_test_teardown(test_past_deadline_is_armed_at_once, all_ended),
        cmocka_unit_test_teardown(test_cancelled_while_due, all_ended),
        cmocka_unit_test_teardown(test_endless_restart_is_bounded, all_ended),
        cmocka_unit_test_teardown(test_queue_against_a_model, all_ended),
        cmocka_unit_test_teardown(test_spin_waits_long_enough, all_ended),
        cmocka_unit_test_teardown(test_spin_ends_when_the_counter_has_stopped, all_ended),
    };

    srandom(1);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
