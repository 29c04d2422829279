/*
 * local.h: what the files of platform/rv64 tell each other.
 */
#ifndef LOCAL_H
#define LOCAL_H

#include "csr.h"

#include <vmos/machine.h>
#include <platform/boot.h>
#include <platform/cpu.h>

/* early.c; called by boot.S */
uint64_t boot_early(uint64_t hart, uint64_t argument, uint64_t counter, enum boot_protocol protocol);
extern struct boot_info boot_information;

/* cpu.c: what tp points at until cpu_init() */
extern struct cpu boot_local;

/* secondary.S, start.c: what a hart needs that starts without translation */
extern char secondary_entry[];
extern struct secondary_translation {
    uint64_t satp, offset;
} secondary_translation;

/* trap.S; the emergency stack is the boot hart's */
extern char trap_entry[], trap_emergency_bottom[], trap_emergency_top[];

/* trap.c; called by trap.S with interrupts disabled. `overflow`: on the emergency stack, because the stack
 * that was in use has no room. */
void trap_handle(struct trap_frame *frame, bool overflow);

/* trap.c: a register of 1, 2 or 4 bytes at a place that firmware names; false when nothing answers there, which
 * on rv64 is an access fault. */
bool device_answers(const volatile void *address, unsigned width);
bool device_try_write(volatile void *address, unsigned width, uint32_t value);

/* timer.c, interrupt.c: the interrupt of that name has arrived */
void timer_interrupt(void);
void controller_interrupt(void);

/* timer.c: whether stimecmp is in use */
bool timer_has_sstc(void);

#endif
