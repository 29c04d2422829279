/*
 * timer.c: the generic timer: the virtual counter and the virtual timer of EL1 [Arm ARM DDI 0487 §D11].
 *
 * The virtual one works at EL1 with and without a hypervisor; its interrupt is a level that stays until the timer is
 * moved, stopped or masked.
 */
#include "local.h"

#include <lib/log.h>
#include <platform/clock.h>
#include <platform/interrupt.h>

enum {
    TIMER_ENABLE = 1 << 0, /* CNTV_CTL_EL0 */
    TIMER_MASKED = 1 << 1,
    TIMER_DEFAULT_LINE = 27, /* PPI 11 [Arm Base System Architecture §3.8.1] */
    TIMER_LINE_END = 32,
};

static void timer_interrupt(void *context)
{
    (void)context;
    system_write(cntv_ctl_el0, TIMER_ENABLE | TIMER_MASKED);
    barrier_instructions();
    clock_alarm();
}

static void attach(const struct machine *machine)
{
    struct machine_line line = machine->generic_timer.virtual_;
    uint32_t route;

    if (line.line < 16 || line.line >= TIMER_LINE_END) {
        if (line.line != MACHINE_NO_LINE && line.line != 0)
            log_warn("timer", "line %u cannot be the virtual timer's; it is taken to be %u", line.line,
                     TIMER_DEFAULT_LINE);
        line = (struct machine_line){.line = TIMER_DEFAULT_LINE, .trigger = TRIGGER_LEVEL};
    }

    enum status status = interrupt_attach_line(&line, "timer", timer_interrupt, NULL, &route);
    if (status != STATUS_OK) {
        log_error("timer", "line %u cannot be routed (%s); nothing that waits for a time will wake", line.line,
                  status_text(status));
        return;
    }
    interrupt_unmask(route);
}

/* Its line is private and open: controller_init_cpu. */
void timer_init_cpu(void)
{
    timer_arm(UINT64_MAX);
}

bool timer_init(const struct machine *machine, struct timer_source *source)
{
    uint64_t frequency = system_read(cntfrq_el0) & UINT32_MAX;

    *source = (struct timer_source){
        .counter_name = "CNTVCT_EL0",
        .alarm_name = "CNTV_CVAL_EL0",
        .calibration = "CNTFRQ_EL0",
        .frequency_hz = frequency,
    };
    /* The tree names a frequency only where firmware has left the register wrong [arm,arch_timer binding]. */
    if (machine->generic_timer.frequency_hz != 0) {
        source->calibration = "the device tree";
        source->frequency_hz = machine->generic_timer.frequency_hz;
    }
    if (source->frequency_hz == 0) {
        log_error("timer", "neither CNTFRQ_EL0 nor the device tree says how fast the counter runs");
        return false;
    }
    timer_arm(UINT64_MAX);
    attach(machine);
    return true;
}

uint64_t counter_read(void)
{
    barrier_instructions();
    return system_read(cntvct_el0);
}

void timer_arm(uint64_t counter_deadline)
{
    if (counter_deadline == UINT64_MAX) {
        system_write(cntv_ctl_el0, 0);
    } else {
        system_write(cntv_cval_el0, counter_deadline);
        system_write(cntv_ctl_el0, TIMER_ENABLE);
    }
    barrier_instructions();
}

uint64_t timer_refine(void)
{
    return 0;
}
