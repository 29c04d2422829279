/*
 * clock.c: the monotonic clock and the tickless timer queue, over ARCH/timer.c.
 *
 * Nanoseconds are counter ticks times a 32.32 fixed-point factor, counted from a base that moves whenever
 * a better frequency is adopted, so that time never jumps. A counter that steps back a little (errata of
 * some virtual machines and SoCs) is hidden: clock_now never gives less than it gave before.
 *
 * The queue is a list by deadline. It belongs to the boot CPU, which takes all alarms; it is guarded by
 * having interrupts off.
 */
#include <platform/clock.h>
#include <platform/cpu.h>
#include <lib/log.h>

enum {
    CLOCK_FIRES_PER_ALARM = 64, /* a timer that restarts itself in the past must not hold the CPU for good */
    CLOCK_REFINEMENTS = 3,      /* after 1/4, 2 and 16 s */
};

/* ticks -> ns: ticks * nanoseconds_per_tick >> 32; ns -> ticks likewise. Both factors are rounded down. */
struct clock_scale {
    uint64_t base_counter, base_ns;
    uint64_t frequency_hz;
    uint64_t nanoseconds_per_tick, ticks_per_nanosecond;
};

/* A reader works with the scale that `current` named when it began; the other one is being written. */
static struct clock_scale scales[2];
static struct clock_scale *current;
static uint64_t latest_ns;

static struct timer_source clock_source;
static struct timer *queue;
static struct timer refinement;
static unsigned refinements;
static uint64_t alarms, early_alarms;

static uint64_t multiply_shift(uint64_t value, uint64_t factor)
{
    unsigned __int128 product = (unsigned __int128)value * factor >> 32;

    return product > UINT64_MAX ? UINT64_MAX : (uint64_t)product;
}

static uint64_t saturating_add(uint64_t a, uint64_t b)
{
    return a + b < a ? UINT64_MAX : a + b;
}

static void scale_set(struct clock_scale *scale, uint64_t base_counter, uint64_t base_ns, uint64_t frequency_hz)
{
    uint64_t whole = frequency_hz / NANOSECONDS_PER_SECOND;
    uint64_t rest = frequency_hz % NANOSECONDS_PER_SECOND;

    scale->base_counter = base_counter;
    scale->base_ns = base_ns;
    scale->frequency_hz = frequency_hz;
    scale->nanoseconds_per_tick = (NANOSECONDS_PER_SECOND << 32) / frequency_hz;
    scale->ticks_per_nanosecond = (whole << 32) + (rest << 32) / NANOSECONDS_PER_SECOND;
}

static uint64_t scale_to_ns(const struct clock_scale *scale, uint64_t counter)
{
    uint64_t ticks = counter - scale->base_counter;

    if ((int64_t)ticks < 0)
        ticks = 0;
    return saturating_add(scale->base_ns, multiply_shift(ticks, scale->nanoseconds_per_tick));
}

/* The first counter value at which scale_to_ns gives at least this time; UINT64_MAX: never. */
static uint64_t scale_to_counter(const struct clock_scale *scale, uint64_t time_ns)
{
    uint64_t wanted = time_ns > scale->base_ns ? time_ns - scale->base_ns : 0;
    uint64_t ticks = multiply_shift(wanted, scale->ticks_per_nanosecond);

    /* Rounding has made it too few, never too many. Each turn mends all but a billionth of what is missing; with
     * a counter as slow as 1 Hz all but a fourteenth. */
    for (unsigned turn = 0; turn < 20; turn++) {
        uint64_t reached = multiply_shift(ticks, scale->nanoseconds_per_tick);
        if (reached >= wanted || ticks >= UINT64_MAX / 2)
            break;
        ticks += multiply_shift(wanted - reached, scale->ticks_per_nanosecond) + 1;
    }
    return ticks >= UINT64_MAX / 2 ? UINT64_MAX : saturating_add(scale->base_counter, ticks);
}

uint64_t clock_now(void)
{
    const struct clock_scale *scale = __atomic_load_n(&current, __ATOMIC_ACQUIRE);

    if (scale == NULL)
        return 0;

    uint64_t now = scale_to_ns(scale, counter_read());
    uint64_t latest = __atomic_load_n(&latest_ns, __ATOMIC_RELAXED);
    while (now > latest)
        if (__atomic_compare_exchange_n(&latest_ns, &latest, now, true, __ATOMIC_RELAXED, __ATOMIC_RELAXED))
            return now;
    return latest;
}

/* ---- The queue -------------------------------------------------------------------------------------- */

static void arm_first(void)
{
    timer_arm(queue == NULL ? UINT64_MAX : scale_to_counter(current, queue->deadline_ns));
}

static void unlink_timer(struct timer *timer)
{
    for (struct timer **link = &queue; *link != NULL; link = &(*link)->next)
        if (*link == timer) {
            *link = timer->next;
            break;
        }
    timer->next = NULL;
    timer->armed = false;
}

void timer_start(struct timer *timer, uint64_t deadline_ns)
{
    uintptr_t saved = cpu_interrupts_disable();
    const struct timer *first = queue;

    if (timer->armed)
        unlink_timer(timer);

    struct timer **link = &queue;
    while (*link != NULL && (*link)->deadline_ns <= deadline_ns)
        link = &(*link)->next;
    timer->deadline_ns = deadline_ns;
    timer->armed = true;
    timer->next = *link;
    *link = timer;

    if (current != NULL && (queue == timer || queue != first))
        arm_first();
    cpu_interrupts_restore(saved);
}

void timer_cancel(struct timer *timer)
{
    uintptr_t saved = cpu_interrupts_disable();

    if (timer->armed) {
        bool was_first = queue == timer;
        unlink_timer(timer);
        if (was_first && current != NULL)
            arm_first();
    }
    cpu_interrupts_restore(saved);
}

/* An alarm may come early, when the hardware cannot count as far as the deadline: then it is just armed again. */
void clock_alarm(void)
{
    uintptr_t saved = cpu_interrupts_disable();
    unsigned fired = 0;

    alarms++;
    while (queue != NULL && queue->deadline_ns <= clock_now() && fired < CLOCK_FIRES_PER_ALARM) {
        struct timer *timer = queue;
        unlink_timer(timer);
        timer->fire(timer);
        fired++;
    }
    if (fired == 0)
        early_alarms++;
    arm_first();
    cpu_interrupts_restore(saved);
}

/* ---- Life ------------------------------------------------------------------------------------------- */

/* A frequency further off than an eighth is no refinement but a reference that has gone wrong. */
static void adopt(uint64_t frequency_hz)
{
    struct clock_scale *next = current == &scales[0] ? &scales[1] : &scales[0];
    uint64_t old = current->frequency_hz;
    uint64_t difference = frequency_hz > old ? frequency_hz - old : old - frequency_hz;

    if (difference > old / 8) {
        log_warn("clock", "%s refined to %llu Hz from %llu Hz is not believed", clock_source.counter_name,
                 (unsigned long long)frequency_hz, (unsigned long long)old);
        return;
    }

    uint64_t counter = counter_read();
    scale_set(next, counter, scale_to_ns(current, counter), frequency_hz);
    __atomic_store_n(&current, next, __ATOMIC_RELEASE);
    log_debug("clock", "%s refined from %llu to %llu Hz", clock_source.counter_name, (unsigned long long)old,
              (unsigned long long)frequency_hz);
}

static void refine(struct timer *timer)
{
    uint64_t frequency_hz = timer_refine();

    if (frequency_hz != 0)
        adopt(frequency_hz);
    if (++refinements < CLOCK_REFINEMENTS)
        timer_start(timer, timer->deadline_ns * 8);
}

void clock_init(const struct timer_source *source, uint64_t entry_counter)
{
    uintptr_t saved = cpu_interrupts_disable();

    clock_source = *source;
    if (clock_source.frequency_hz == 0) {
        log_error("clock", "%s has no frequency; 1 GHz is assumed", clock_source.counter_name);
        clock_source.frequency_hz = NANOSECONDS_PER_SECOND;
    }
    scale_set(&scales[0], entry_counter, 0, clock_source.frequency_hz);
    __atomic_store_n(&current, &scales[0], __ATOMIC_RELEASE);

    refinement.fire = refine;
    timer_start(&refinement, NANOSECONDS_PER_SECOND / 4);
    cpu_interrupts_restore(saved);
}

void clock_spin(uint64_t nanoseconds)
{
    uint64_t end = saturating_add(clock_now(), nanoseconds);

    /* A turn takes a nanosecond at the very least: this many turns end the wait also when there is no
     * clock yet or the counter has stopped. */
    for (uint64_t turn = 0; turn <= nanoseconds && clock_now() < end; turn++)
        cpu_relax();
}

void clock_report(struct printer *printer)
{
    uint64_t now = clock_now();
    uintptr_t saved = cpu_interrupts_disable();
    unsigned armed = 0;

    for (const struct timer *timer = queue; timer != NULL; timer = timer->next)
        armed++;
    cpu_interrupts_restore(saved);

    if (current == NULL) {
        print(printer, "clock: not running\n");
        return;
    }
    print(printer, "uptime: %llu.%09llu s\n", (unsigned long long)(now / NANOSECONDS_PER_SECOND),
          (unsigned long long)(now % NANOSECONDS_PER_SECOND));
    print(printer, "counter: %s at %llu.%06llu MHz, from %s\n", clock_source.counter_name,
          (unsigned long long)(current->frequency_hz / 1000000), (unsigned long long)(current->frequency_hz % 1000000),
          clock_source.calibration);
    print(printer, "alarm: %s, %llu taken, %llu of them early\n", clock_source.alarm_name, (unsigned long long)alarms,
          (unsigned long long)early_alarms);
    print(printer, "timers: %u armed\n", armed);
}

void clock_sleep(void)
{
    uint64_t start = clock_now();

    cpu_sleep();
    cpu_local()->idle_ns += clock_now() - start;
}

uint64_t clock_idle(void)
{
    return cpu_local()->idle_ns;
}
