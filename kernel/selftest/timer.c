/* timer.c: the clock goes forward, and 100 periodic wake-ups come when they should. */
#include <kernel/selftest.h>

#include <kernel/kernel.h>

#include <platform/clock.h>

enum { WAKE_UPS = 100 };
#define PERIOD_NS (2 * NANOSECONDS_PER_MILLISECOND)

struct periodic {
    uint64_t next, late_total, late_most;
    volatile unsigned count;
    bool early;
};

static void fired(struct timer *timer)
{
    struct periodic *periodic = timer->context;
    uint64_t now = clock_now();

    if (now < periodic->next)
        periodic->early = true;
    else {
        uint64_t late = now - periodic->next;
        periodic->late_total += late;
        if (late > periodic->late_most)
            periodic->late_most = late;
    }
    if (++periodic->count < WAKE_UPS) {
        periodic->next += PERIOD_NS;
        timer_start(timer, periodic->next);
    }
}

static bool all_fired(void *context)
{
    const struct periodic *periodic = context;

    return periodic->count == WAKE_UPS;
}

static bool clock_goes_forward(void)
{
    uint64_t last = clock_now();

    for (unsigned i = 0; i < 10000; i++) {
        uint64_t now = clock_now();
        if (now < last)
            return false;
        last = now;
    }
    return true;
}

void selftest_timer(struct selftest_result *result)
{
    struct periodic periodic = {.next = clock_now() + PERIOD_NS};
    struct timer timer = {.fire = fired, .context = &periodic};

    if (!clock_goes_forward()) {
        selftest_is(result, SELFTEST_FAIL, "the clock went back");
        return;
    }
    timer_start(&timer, periodic.next);
    bool came = kernel_wait(all_fired, &periodic, clock_now() + 10 * NANOSECONDS_PER_SECOND);
    timer_cancel(&timer);
    if (!came)
        selftest_is(result, SELFTEST_FAIL, "%u of %u wake-ups came in ten seconds", periodic.count, WAKE_UPS);
    else if (periodic.early)
        selftest_is(result, SELFTEST_FAIL, "a wake-up came before its time");
    else
        selftest_is(result, SELFTEST_PASS, "%u wake-ups %llu us apart, late by %llu us on average and %llu us at most",
                    WAKE_UPS, (unsigned long long)(PERIOD_NS / NANOSECONDS_PER_MICROSECOND),
                    (unsigned long long)(periodic.late_total / WAKE_UPS / NANOSECONDS_PER_MICROSECOND),
                    (unsigned long long)(periodic.late_most / NANOSECONDS_PER_MICROSECOND));
}
