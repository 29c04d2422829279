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

#define CAUSE_INTERRUPT (UINT64_C(1) << 63)

enum { /* [RISC-V Privileged Architecture 1.12 table 4.2] */
       CAUSE_ILLEGAL_INSTRUCTION = 2,
       CAUSE_BREAKPOINT = 3,
       CAUSE_FETCH_PAGE = 12,
       CAUSE_LOAD_PAGE = 13,
       CAUSE_STORE_PAGE = 15,
};

/* trap.c: an exception in words; an interrupt, by its number; x1 to x31, three a line */
const char *trap_name(uint64_t cause);
void trap_interrupt(uint64_t number);
void trap_report_registers(const uint64_t x[31], struct printer *printer);

/* user.c; called by user.S with interrupts disabled: a trap from user mode that is not a system call */
struct user_context *user_trapped(struct user_context *context, uint64_t cause, uint64_t value);

/* mmu.c: whether something is mapped at an address of the space that is active on this CPU, and for what */
bool mmu_space_lookup(uintptr_t address, unsigned *access);

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
