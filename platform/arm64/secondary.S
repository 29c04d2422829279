/*
 * secondary.S: where PSCI has a CPU begin that start.c asked for [Arm PSCI 1.1 DEN 0022 §6.4]: x0 = the physical
 * address of its struct cpu, MMU off, at EL1 or EL2. It owns that struct and nothing else, and uses registers only
 * until it has its stack. What it reads with the MMU off, start.c has written back from the caches.
 */
#include <system.h>
#include <trap_frame.h>

    .section .text.boot, "ax"
    .global secondary_entry
secondary_entry:
    msr daifset, #15
    mov x19, x0
    adr x30, 1f
    b enter_el1
1:  ldr x0, =SCTLR_RESERVED | SCTLR_SPAN
    msr sctlr_el1, x0
    isb
    msr spsel, #1
    ldr x8, [x19, #CPU_STACK_TOP]
    ldr x9, [x19, #CPU_SELF]
    ldr x10, =smp_arrive
    mov x11, x9
    b enter_upper_half

    .ltorg
