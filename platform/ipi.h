/*
 * ipi.h: from one CPU to another.
 *
 * There is one interrupt between CPUs; what it is about stands in the receiver's struct cpu, a bit for each kind. So
 * kinds cost nothing, what is asked twice before it was heard is heard once, and a CPU that waits with interrupts off
 * (for a lock) can look by itself.
 */
#ifndef PLATFORM_IPI_H
#define PLATFORM_IPI_H

#include <platform/cpu.h>

enum ipi {
    IPI_WAKE,  /* nothing but an interrupt: whoever sleeps looks again */
    IPI_FLUSH, /* forget translations: ipi_flush_others */
    IPI_STOP,  /* stop for good: ipi_stop_others */
    IPI_TEST,  /* ipi_on_test */
};

/* False: the interrupt could not be sent, and will not come. */
bool ipi_send(struct cpu *to, enum ipi kind);

/* Makes that CPU look again whether to sleep: clock_sleep() returns at once, or at the next call; and if a process runs
 * there, also on the CPU that asks, that makes room for the kernel's own thread when it next comes to schedule(). What
 * was written before is seen then. Cheap when the other one is awake. */
void ipi_wake(struct cpu *to);

/* Has every other CPU drop its TLB and returns when all have: they do it in the interrupt, or where they wait for a
 * lock. Callers do not wait with a lock that another caller needs. False, and a sentence: one did not within a
 * second. */
bool ipi_flush_others(void);
/* The same for those of `mask`, a bit for each index; this CPU's does not count. */
bool ipi_flush(uint64_t mask);

/* Stops all other CPUs, as far as they listen. For panic. */
void ipi_stop_others(void);
bool ipi_stopping(void);
_Noreturn void ipi_stop_here(void);

/* In a spin loop with interrupts off: cpu_relax(), and does what others wait for. */
void ipi_relax(void);

/* Who is called, in interrupt context, for IPI_TEST. */
void ipi_on_test(void (*handler)(void));

/* ---- Between platform/ipi.c and ARCH ---------------------------------------------------------------------------- */

/* ARCH tells: the interrupt has come, and is ended. */
void ipi_arrived(void);
/* Interrupts that CPU; false when the hardware did not take it in time. */
bool ipi_raise(const struct cpu *to);
/* The same in a way that is heard with interrupts off, where the machine has one. */
void ipi_raise_stop(const struct cpu *to);

#endif
