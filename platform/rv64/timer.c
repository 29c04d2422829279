/*
 * timer.c: the time CSR, and an alarm by Sstc's stimecmp or by the firmware (`-cpu rv64,sstc=off`).
 *
 * Both alarms stay pending until they are set anew, so the interrupt is switched off in sie when it has come
 * and on again by the next timer_arm.
 */
#include "local.h"
#include "sbi.h"

#include <platform/clock.h>
#include <lib/log.h>

static bool sstc;

uint64_t counter_read(void)
{
    uint64_t value;

    __asm__ volatile("fence ir, ir\n\trdtime %0" : "=r"(value)::"memory");
    return value;
}

/* Firmware may name Sstc and yet not allow it: the CSR then traps [Sstc 1.0 §3.1]. */
static bool take_stimecmp(const struct machine *machine)
{
    uint64_t before;

    if ((machine->isa & MACHINE_ISA_SSTC) == 0)
        return false;
    if (csr_try_swap(CSR_STIMECMP, UINT64_MAX, &before))
        return true;
    log_warn("timer", "this CPU is said to have Sstc, but stimecmp traps; alarms go through the firmware");
    return false;
}

bool timer_init(const struct machine *machine, struct timer_source *source)
{
    if (machine->timebase_hz == 0 || machine->timebase_hz > 100 * NANOSECONDS_PER_SECOND) {
        log_error("timer", "no usable frequency of the time CSR is told: timebase-frequency is %llu Hz",
                  (unsigned long long)machine->timebase_hz);
        return false;
    }
    csr_clear(sie, 1 << INTERRUPT_TIMER);
    sstc = take_stimecmp(machine);
    *source = (struct timer_source){
        .counter_name = "time CSR",
        .alarm_name = sstc ? "Sstc" : sbi_timer_name(),
        .calibration = "firmware's timebase-frequency",
        .frequency_hz = machine->timebase_hz,
    };
    return true;
}

void timer_init_cpu(void)
{
    timer_arm(UINT64_MAX);
}

void timer_arm(uint64_t counter_deadline)
{
    if (counter_deadline == UINT64_MAX) {
        csr_clear(sie, 1 << INTERRUPT_TIMER);
        return;
    }
    if (sstc)
        csr_write(CSR_STIMECMP, counter_deadline);
    else
        sbi_set_timer(counter_deadline);
    csr_set(sie, 1 << INTERRUPT_TIMER);
}

void timer_interrupt(void)
{
    csr_clear(sie, 1 << INTERRUPT_TIMER);
    clock_alarm();
}

uint64_t timer_refine(void)
{
    return 0;
}

bool timer_has_sstc(void)
{
    return sstc;
}
