/*
 * smp.c: the other CPUs: started, given an index, and kept busy with what is asked of them.
 *
 * All are started at once and each comes when it can:
 *     offered -> arrived -> ready (by itself) -> running (by the boot CPU)
 *                        -> deaf: it cannot be interrupted
 *     offered -> withdrawn (by the boot CPU): it has not come in time
 * The first step is taken atomically by one of the two, so a CPU that comes late finds itself withdrawn and halts on
 * its own stack. What was allocated for it is never used for anything else.
 *
 * Indices are in the order in which the machine names the CPUs, the boot CPU first, without gaps.
 */
#include "kernel.h"
#include "process/thread.h"
#include "trace.h"

#include <lib/log.h>
#include <lib/malloc.h>
#include <memory/memory.h>
#include <platform/clock.h>
#include <platform/cpu.h>
#include <platform/interrupt.h>
#include <platform/ipi.h>

enum start_state { START_OFFERED, START_ARRIVED, START_READY, START_DEAF, START_WITHDRAWN, START_RUNNING };
enum call_state { CALL_NONE, CALL_FILLING, CALL_READY };

enum { EXCEPTION_STACK_ORDER = 1 };

/* So long after the last that has come, those are waited for that do not come. The host may be busy. */
#define PATIENCE_NS (5 * NANOSECONDS_PER_SECOND)
#define LOOK_NS     (10 * NANOSECONDS_PER_MILLISECOND)

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

/* ---- Starting ---------------------------------------------------------------------------------------------------- */

static struct cpu *make(const struct machine_cpu *described)
{
    struct cpu *cpu = calloc(1, sizeof *cpu);
    uintptr_t guard = 0;
    void *exception_stack = cpu != NULL ? pages_allocate(EXCEPTION_STACK_ORDER) : NULL;

    if (cpu != NULL)
        cpu->hardware_id = described->hardware_id;
    if (exception_stack == NULL || !cpu_start_allocate(cpu) || !scheduler_init_cpu(cpu) ||
        (cpu->stack_top = vm_stack_create(&guard)) == 0) {
        if (exception_stack != NULL)
            pages_free(exception_stack, EXCEPTION_STACK_ORDER);
        if (cpu != NULL) {
            free(cpu->arch);
            free(cpu->controller);
            free(cpu->scheduler);
        }
        free(cpu);
        return NULL;
    }
    trace_init_cpu(cpu);
    cpu->self = cpu;
    cpu->stack_guard = guard;
    cpu->exception_stack = (uintptr_t)exception_stack;
    cpu->exception_stack_top = (uintptr_t)exception_stack + (PAGE_SIZE << EXCEPTION_STACK_ORDER);
    return cpu;
}

/* Starts all that the machine names, up to CPU_MAX with the boot CPU; how many. One that is refused may have heard of
 * it all the same, so it keeps what it was given. */
static unsigned start_all(struct cpu *started[CPU_MAX], bool *all)
{
    unsigned count = 0, left = 0;

    for (uint32_t i = 0; i < machine.cpu_count; i++) {
        const struct machine_cpu *described = &machine.cpus[i];
        if (!described->enabled || described->hardware_id == cpu_local()->hardware_id)
            continue;
        if (count == CPU_MAX - 1) {
            left++;
            continue;
        }
        struct cpu *cpu = make(described);
        if (cpu == NULL) {
            log_error("cpu", "no memory to start CPU 0x%llx or any after it",
                      (unsigned long long)described->hardware_id);
            break;
        }
        cpu->index = count + 1; /* until it is known which of them come */
        cpu->start_counter = counter_read();
        const char *why = cpu_start(cpu);
        if (why != NULL)
            log_warn("cpu", "CPU 0x%llx cannot be started: %s", (unsigned long long)described->hardware_id, why);
        else
            started[count++] = cpu;
        *all = *all && why == NULL;
    }
    if (left != 0)
        log_warn("cpu", "vmos runs on %u CPUs at most; %u more stay off", CPU_MAX, left);
    return count;
}

static bool has_come(void *context)
{
    const struct cpu *cpu = context;

    return __atomic_load_n(&cpu->start, __ATOMIC_SEQ_CST) > START_ARRIVED;
}

/* The state in which one stands that has come, or when the time is over. It wakes this CPU when it comes, if it can. */
static uint32_t await(struct cpu *cpu, uint64_t until)
{
    while (!has_come(cpu) && clock_now() < until)
        kernel_wait(has_come, cpu, clock_now() + LOOK_NS);

    uint32_t state = __atomic_load_n(&cpu->start, __ATOMIC_SEQ_CST);
    if (state == START_OFFERED)
        __atomic_compare_exchange_n(&cpu->start, &state, START_WITHDRAWN, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);
    return state;
}

static const char *lost(uint32_t state)
{
    switch (state) {
    case START_OFFERED:
        return "was started and has not come in time";
    case START_DEAF:
        return "has come, but its interrupt controller cannot be used";
    default:
        return "has come and does not get on";
    }
}

/* The boot CPU's counter is read before and after; one that agrees lies between. */
static void check_counter(const struct cpu *cpu)
{
    uint64_t now = counter_read(), came = cpu->arrival_counter;
    bool behind = (int64_t)(came - cpu->start_counter) < 0, ahead = (int64_t)(now - came) < 0;

    if (behind || ahead)
        log_warn("cpu", "CPU %u counts time %llu ticks %s the boot CPU; time stands still there until it agrees",
                 cpu->index, (unsigned long long)(behind ? cpu->start_counter - came : came - now),
                 behind ? "behind" : "ahead of");
}

static void admit(struct cpu *cpu)
{
    cpu_add(cpu);
    check_counter(cpu);
    __atomic_store_n(&cpu->start, START_RUNNING, __ATOMIC_SEQ_CST);
    ipi_wake(cpu);
}

void smp_start(void)
{
    struct cpu *started[CPU_MAX];
    bool others = false, all = true;

    for (uint32_t i = 0; i < machine.cpu_count; i++)
        others |= machine.cpus[i].enabled && machine.cpus[i].hardware_id != cpu_local()->hardware_id;
    if (!others || !cpu_start_prepare(&machine))
        return;

    unsigned count = start_all(started, &all);
    uint64_t until = clock_now() + PATIENCE_NS;
    for (unsigned i = 0; i < count; i++) {
        uint32_t state = await(started[i], until);
        if (state == START_READY) {
            admit(started[i]);
            until = all ? clock_now() + PATIENCE_NS : until;
            continue;
        }
        all = all && state == START_DEAF;
        log_warn("cpu", "CPU 0x%llx %s; it stays off", (unsigned long long)started[i]->hardware_id, lost(state));
    }
    cpu_start_done(all);
    log_info("cpu", "%u CPUs run", cpu_count());
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
