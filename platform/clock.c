/*
 * clock.c: the monotonic clock and the tickless timer queues, over ARCH/timer.c.
 *
 * Nanoseconds are counter ticks times a 32.32 fixed-point factor, counted from a base that moves whenever
 * a better frequency is adopted, so that time never jumps. A counter that steps back a little (errata of
 * some virtual machines and SoCs), or that is not the same on all CPUs, is hidden: clock_now never gives less than it
 * gave before, on whatever CPU. That is one word that all CPUs write; who fails to write it has been overtaken, and
 * then mostly has nothing to write any more.
 *
 * Each CPU has a queue, a list by deadline, and takes the alarms for it. Timers are put into the queue of the CPU that
 * starts them. Others take them out, by the queue's lock; the alarm that was meant for them then comes early.
 */
#include <platform/clock.h>
#include <platform/cpu.h>
#include <platform/ipi.h>
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
static struct timer refinement;
static unsigned refinements;
static uint64_t entered; /* the counter at boot's first instruction */

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

uint64_t clock_duration(uint64_t ticks)
{
    const struct clock_scale *scale = __atomic_load_n(&current, __ATOMIC_ACQUIRE);

    return scale != NULL ? multiply_shift(ticks, scale->nanoseconds_per_tick) : 0;
}

/* ---- The queue -------------------------------------------------------------------------------------- */

static struct timer_queue *queue_of(struct cpu *cpu)
{
    cpu->timers.lock.name = "timers";
    cpu->timers.lock.place = LOCK_PLACE_TIMERS;
    return &cpu->timers;
}

/* Only for this CPU's own queue. */
static void arm_first(const struct timer_queue *queue)
{
    timer_arm(queue->first == NULL ? UINT64_MAX : scale_to_counter(current, queue->first->deadline_ns));
}

static void unlink_timer(struct timer_queue *queue, struct timer *timer)
{
    for (struct timer **link = &queue->first; *link != NULL; link = &(*link)->next)
        if (*link == timer) {
            *link = timer->next;
            break;
        }
    timer->next = NULL;
    timer->armed = false;
}

/* Takes it out of whatever queue it is in; true when it is being fired on another CPU. */
static bool take_out(struct timer *timer)
{
    struct cpu *self = cpu_local(), *cpu = timer->cpu;

    if (cpu == NULL)
        return false;
    struct timer_queue *queue = &cpu->timers;
    uintptr_t saved = lock_take(&queue->lock);
    if (timer->armed) {
        bool was_first = queue->first == timer;
        unlink_timer(queue, timer);
        if (was_first && cpu == self && current != NULL)
            arm_first(queue);
    }
    bool firing = cpu != self && queue->firing == timer;
    lock_release(&queue->lock, saved);
    return firing;
}

void timer_start(struct timer *timer, uint64_t deadline_ns)
{
    uintptr_t interrupts = cpu_interrupts_disable(); /* it stays this CPU */
    struct cpu *self = cpu_local();
    struct timer_queue *queue = queue_of(self);

    if (timer->cpu != self && timer->for_threads)
        timer_cancel_soon(timer);
    else if (timer->cpu != self)
        timer_cancel(timer);
    uintptr_t saved = lock_take(&queue->lock);
    const struct timer *first = queue->first;
    if (timer->armed)
        unlink_timer(queue, timer);

    struct timer **link = &queue->first;
    while (*link != NULL && (*link)->deadline_ns <= deadline_ns)
        link = &(*link)->next;
    timer->deadline_ns = deadline_ns;
    timer->armed = true;
    timer->cpu = self;
    timer->next = *link;
    *link = timer;

    if (current != NULL && (queue->first == timer || queue->first != first))
        arm_first(queue);
    lock_release(&queue->lock, saved);
    cpu_interrupts_restore(interrupts);
}

/* A thread's, which may have been started anew here while it was still firing there. */
static bool fires_elsewhere(const struct timer *timer)
{
    bool firing = false;

    for (unsigned i = 0; i < cpu_count() && timer->for_threads && !firing; i++) {
        struct cpu *cpu = cpu_at(i);
        if (cpu == NULL || cpu == cpu_local())
            continue;
        struct timer_queue *queue = queue_of(cpu);
        uintptr_t saved = lock_take(&queue->lock);
        firing = queue->firing == timer;
        lock_release(&queue->lock, saved);
    }
    return firing;
}

/* What is firing elsewhere may start itself again before it ends, so it is taken out again until it does not. */
void timer_cancel(struct timer *timer)
{
    while (take_out(timer) || fires_elsewhere(timer))
        ipi_relax();
}

void timer_cancel_soon(struct timer *timer)
{
    (void)take_out(timer);
}

/* An alarm may come early, when the hardware cannot count as far as the deadline: then it is just armed again. The
 * lock is not held while a timer fires: it may start and cancel others. */
void clock_alarm(void)
{
    uintptr_t interrupts = cpu_interrupts_disable();
    struct timer_queue *queue = queue_of(cpu_local());
    uintptr_t saved = lock_take(&queue->lock);
    unsigned fired = 0;

    queue->alarms++;
    while (queue->first != NULL && queue->first->deadline_ns <= clock_now() && fired < CLOCK_FIRES_PER_ALARM) {
        struct timer *timer = queue->first;
        unlink_timer(queue, timer);
        queue->firing = timer;
        cpu_local()->kernel_wanted |= !timer->for_threads;
        lock_release(&queue->lock, saved);
        timer->fire(timer);
        saved = lock_take(&queue->lock);
        queue->firing = NULL;
        fired++;
    }
    if (fired == 0)
        queue->early_alarms++;
    arm_first(queue);
    lock_release(&queue->lock, saved);
    cpu_interrupts_restore(interrupts);
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
    entered = entry_counter;
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
    uint64_t now = clock_now(), alarms = 0, early = 0;
    unsigned armed = 0;

    for (unsigned i = 0; i < cpu_count(); i++) {
        struct timer_queue *queue = queue_of(cpu_at(i) != NULL ? cpu_at(i) : cpu_local());
        uintptr_t saved = lock_take(&queue->lock);
        for (const struct timer *timer = queue->first; timer != NULL; timer = timer->next)
            armed++;
        alarms += queue->alarms;
        early += queue->early_alarms;
        lock_release(&queue->lock, saved);
    }

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
          (unsigned long long)early);
    print(printer, "timers: %u armed\n", armed);
}

/* See ipi_wake: first it is said that this CPU sleeps, then looked whether somebody wants it awake. */
void clock_sleep(void)
{
    struct cpu *self = cpu_local();
    uint64_t start = clock_now(), start_counter = counter_read();

    self->asleep_since_ns = start;
    __atomic_store_n(&self->sleeping, true, __ATOMIC_SEQ_CST);
    if (!__atomic_exchange_n(&self->woken, false, __ATOMIC_SEQ_CST))
        cpu_sleep();
    __atomic_store_n(&self->sleeping, false, __ATOMIC_RELAXED);
    uint64_t slept = counter_read() - start_counter;
    self->idle_ticks += (int64_t)slept > 0 ? slept : 0;
    self->idle_ns += clock_now() - start;
}

uint64_t clock_idle(void)
{
    return cpu_local()->idle_ns;
}

uint64_t clock_awake_ticks(void)
{
    return counter_read() - entered - cpu_local()->idle_ticks;
}
