/*
 * smp_start.c: starts the other CPUs. smp.h says through which states they come.
 *
 * Indices are in the order in which the machine names the CPUs, the boot CPU first, without gaps.
 */
#include "kernel.h"
#include "process/thread.h"
#include "smp.h"
#include "trace.h"

#include <lib/log.h>
#include <lib/malloc.h>
#include <memory/memory.h>
#include <platform/clock.h>
#include <platform/cpu.h>
#include <platform/ipi.h>

enum { EXCEPTION_STACK_ORDER = 1 };

/* So long after the last that has come, those are waited for that do not come. The host may be busy. */
#define PATIENCE_NS (5 * NANOSECONDS_PER_SECOND)
#define LOOK_NS     (10 * NANOSECONDS_PER_MILLISECOND)

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
