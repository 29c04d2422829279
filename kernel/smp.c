/*
 * smp.c: the other CPUs: how they come, and what keeps them busy. smp_start.c starts them.
 */
#include "kernel.h"
#include "process/thread.h"
#include "smp.h"

#include <lib/printf.h>
#include <platform/clock.h>
#include <platform/cpu.h>
#include <platform/interrupt.h>
#include <platform/ipi.h>

enum call_state { CALL_NONE, CALL_FILLING, CALL_READY };

/* ---- A CPU of its own -------------------------------------------------------------------------------------------- */

static void run_call(struct cpu *self)
{
    if (__atomic_load_n(&self->call_state, __ATOMIC_ACQUIRE) != CALL_READY)
        return;
    self->call(self->call_context);
    __atomic_store_n(&self->call_state, CALL_NONE, __ATOMIC_RELEASE);
    ipi_wake(cpu_at(0));
}

/* Interrupts are off when it is decided to sleep: what comes then ends the sleep. */
_Noreturn static void idle(struct cpu *self)
{
    for (;;) {
        run_call(self);
        cpu_interrupts_disable();
        if (__atomic_load_n(&self->call_state, __ATOMIC_ACQUIRE) != CALL_READY)
            scheduler_lend();
        cpu_interrupts_enable();
    }
}

/* What it remembers of the page tables is dropped once it counts as running: from then on it is told of changes. */
_Noreturn void smp_arrive(struct cpu *self)
{
    uint32_t offered = START_OFFERED;

    cpu_init(self);
    self->arrival_counter = counter_read();
    if (!__atomic_compare_exchange_n(&self->start, &offered, START_ARRIVED, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST))
        cpu_halt();
    if (!controller_init_cpu(&machine)) {
        __atomic_store_n(&self->start, START_DEAF, __ATOMIC_SEQ_CST);
        ipi_stop_here();
    }
    timer_init_cpu();
    __atomic_store_n(&self->start, START_READY, __ATOMIC_SEQ_CST);
    ipi_wake(cpu_at(0));
    while (__atomic_load_n(&self->start, __ATOMIC_SEQ_CST) != START_RUNNING)
        clock_sleep();
    mmu_flush_all();
    cpu_interrupts_enable();
    idle(self);
}

/* ---- Calls ------------------------------------------------------------------------------------------------------- */

enum status smp_call(unsigned index, void (*run)(void *context), void *context)
{
    uint32_t none = CALL_NONE;

    if (index == 0 || index >= cpu_count())
        return STATUS_OUT_OF_RANGE;
    struct cpu *cpu = cpu_at(index);
    if (!__atomic_compare_exchange_n(&cpu->call_state, &none, CALL_FILLING, false, __ATOMIC_ACQUIRE, __ATOMIC_RELAXED))
        return STATUS_BUSY;
    cpu->call = run;
    cpu->call_context = context;
    __atomic_store_n(&cpu->call_state, CALL_READY, __ATOMIC_SEQ_CST);
    ipi_wake(cpu);
    return STATUS_OK;
}

bool smp_idle(unsigned index)
{
    return index == 0 || index >= cpu_count() ||
           __atomic_load_n(&cpu_at(index)->call_state, __ATOMIC_ACQUIRE) == CALL_NONE;
}

/* ---- Report ------------------------------------------------------------------------------------------------------ */

void smp_report(struct printer *printer)
{
    uint64_t now = clock_now();

    print(printer, "%-4s %-12s %-8s %11s %9s %14s\n", "CPU", "ID", "STATE", "INTERRUPTS", "FROM CPUS", "ASLEEP ms");
    for (unsigned i = 0; i < cpu_count(); i++) {
        const struct cpu *cpu = cpu_at(i);
        bool sleeping = __atomic_load_n(&cpu->sleeping, __ATOMIC_RELAXED);
        uint64_t idle = cpu->idle_ns, since = cpu->asleep_since_ns;

        if (sleeping && since < now)
            idle += now - since;
        print(printer, "%-4u 0x%-10llx %-8s %11llu %9llu %14llu\n", i, (unsigned long long)cpu->hardware_id,
              sleeping           ? "asleep"
              : smp_idle(i) == 0 ? "busy"
                                 : "awake",
              (unsigned long long)cpu->interrupts, (unsigned long long)cpu->ipis_taken,
              (unsigned long long)(idle / NANOSECONDS_PER_MILLISECOND));
    }
}
