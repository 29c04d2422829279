/*
 * lock.h: spinlocks: named, with a place in one order, and with interrupts off while they are held.
 *
 * Whoever holds a lock takes only such as stand further down in enum lock_place; each CPU notes the places that it
 * holds, and an attempt against the order, which includes taking a lock twice, is a panic that names the lock: found
 * on the first run with one CPU, not by the one deadlock in a thousand with many.
 *
 * The lock goes to whoever sees it free first, not to who has waited longest: a virtual machine's CPUs do not all run
 * at all times, and a lock that is kept for a CPU that the host has put aside is held by nobody for a time slice.
 */
#ifndef PLATFORM_LOCK_H
#define PLATFORM_LOCK_H

#include <vmos/abi.h>

struct cpu;

enum lock_place {
    LOCK_PLACE_TEST,    /* kernel/selftest/smp.c */
    LOCK_PLACE_OBJECTS, /* kernel/process/: objects, handles, threads, run queues */
    LOCK_PLACE_ROUTES,  /* platform/interrupt.c: the table of routes and the controllers' registers and tables */
    LOCK_PLACE_SPACE,   /* memory/vm.c: the kernel's page tables, what they map, and the flush of other CPUs */
    LOCK_PLACE_HEAP,    /* memory/heap.c */
    LOCK_PLACE_FRAMES,  /* memory/frames.c */
    LOCK_PLACE_TIMERS,  /* platform/clock.c: each CPU's queue has one; never two at a time */
    LOCK_PLACE_RANDOM,  /* kernel/random.c: the generator's key */
    LOCK_PLACE_LOG,     /* kernel/log.c: the ring and the serial port's output: everybody may log */
};

struct lock {
    const struct cpu *owner; /* NULL: free */
    const char *name;
    enum lock_place place;
};

/* Interrupts go off first; the result goes to lock_release. */
uintptr_t lock_take(struct lock *lock);
void lock_release(struct lock *lock, uintptr_t saved);

/* The same where interrupts are off already and stay so, as in every trap from user mode. */
void lock_enter(struct lock *lock);
void lock_leave(struct lock *lock);

/* From now on nobody waits: for panic, which has stopped the other CPUs wherever they were. */
void lock_give_up_all(void);

#endif
