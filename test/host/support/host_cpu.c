/*
 * host_cpu.c: one CPU, for host tests that do not play their own: locks that nobody else holds, nobody to wake.
 *
 * All of it is weak: what a test defines stands in its place. Locks switch interrupts off as the kernel's do, by the
 * test's own functions if it has any, and must not be taken twice or left behind.
 */
#include <platform/cpu.h>
#include <platform/interrupt.h>
#include <platform/ipi.h>
#include <platform/lock.h>
#include <stdio.h>
#include <stdlib.h>

#define WEAK __attribute__((weak))

static struct cpu only;

WEAK struct cpu *cpu_local(void)
{
    return &only;
}

WEAK unsigned cpu_count(void)
{
    return 1;
}

WEAK struct cpu *cpu_at(unsigned index)
{
    return index == 0 ? cpu_local() : NULL;
}

WEAK uintptr_t cpu_interrupts_disable(void)
{
    return 0;
}

WEAK void cpu_interrupts_restore(uintptr_t saved)
{
    (void)saved;
}

WEAK void cpu_relax(void)
{
}

WEAK void ipi_wake(struct cpu *to)
{
    (void)to;
}

WEAK void cpu_interrupts_take(void)
{
}

WEAK void ipi_relax(void)
{
    cpu_relax();
}

WEAK void trace_interrupt(uint32_t route, uint64_t count)
{
    (void)route;
    (void)count;
}

WEAK void lock_enter(struct lock *lock)
{
    if (lock->owner != NULL) {
        fprintf(stderr, "the lock of the %s is taken twice\n", lock->name);
        abort();
    }
    lock->owner = &only;
}

WEAK void lock_leave(struct lock *lock)
{
    if (lock->owner == NULL) {
        fprintf(stderr, "the lock of the %s is left and was not taken\n", lock->name);
        abort();
    }
    lock->owner = NULL;
}

WEAK uintptr_t lock_take(struct lock *lock)
{
    uintptr_t saved = cpu_interrupts_disable();

    lock_enter(lock);
    return saved;
}

WEAK void lock_release(struct lock *lock, uintptr_t saved)
{
    lock_leave(lock);
    cpu_interrupts_restore(saved);
}
