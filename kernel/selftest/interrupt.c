/* interrupt.c: interrupts arrive, stay away while disabled, and each device has a way to be heard. */
#include <kernel/selftest.h>

#include <kernel/kernel.h>

#include <authority/device.h>
#include <lib/printf.h>
#include <platform/clock.h>
#include <platform/cpu.h>

static void set_flag(struct timer *timer)
{
    *(volatile bool *)timer->context = true;
}

/* A timer that comes due while interrupts are off must fire only once they are on again. */
static const char *wrong_masking(void)
{
    volatile bool flag = false;
    struct timer timer = {.fire = set_flag, .context = (void *)(uintptr_t)&flag};
    uintptr_t saved = cpu_interrupts_disable();

    timer_start(&timer, clock_now() + 50 * NANOSECONDS_PER_MICROSECOND);
    clock_spin(200 * NANOSECONDS_PER_MICROSECOND);
    bool early = flag;
    cpu_interrupts_restore(saved);
    for (uint64_t deadline = clock_now() + NANOSECONDS_PER_SECOND; !flag && clock_now() < deadline;)
        cpu_relax();
    bool came = flag;
    timer_cancel(&timer);
    return early  ? "an interrupt arrived while interrupts were disabled"
           : came ? NULL
                  : "an interrupt that was pending did not arrive once interrupts were enabled";
}

void selftest_interrupt(struct selftest_result *result)
{
    const char *wrong = cpu_interrupts_enabled() ? wrong_masking() : "interrupts are disabled after boot";
    unsigned by_message = 0, by_line = 0, polled = 0;

    for (struct device *device = device_first(); device != NULL; device = device->next)
        for (unsigned i = 0; i < device->interrupt_count; i++) {
            const struct device_interrupt *interrupt = &device->interrupts[i];
            if (!interrupt->open)
                continue;
            by_message += interrupt->delivery == INTERRUPT_MESSAGE;
            by_line += interrupt->delivery == INTERRUPT_LINE;
            polled += interrupt->delivery == INTERRUPT_POLLED;
        }
    if (wrong != NULL)
        selftest_is(result, SELFTEST_FAIL, "%s", wrong);
    else
        selftest_is(result, SELFTEST_PASS, "%u device interrupts by message, %u by line, %u polled", by_message,
                    by_line, polled);
}
