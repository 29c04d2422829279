/*
 * user.S: into user mode and back, and the registers that only user mode uses.
 *
 * While user mode runs, SP_EL1 stays where user_run has left it: at its frame, which begins with its frame record. So
 * a trap finds a stack, and the backtrace of what it calls goes on to who has lent the CPU. Where registers go is in
 * struct cpu: `context`. trap.S saves all 31 of them there before it comes here, whatever the trap: what a call
 * keeps, and what the kernel left in registers, is then nothing to think about.
 *
 * Interrupts are off in all of it.
 */
#include <trap_frame.h>

    .arch armv8-a+fp+simd

    .equ RUN_FRAME, 96

    .section .text.user, "ax"
    /* (context) */
    .global user_run
user_run:
    stp x29, x30, [sp, #-RUN_FRAME]!
    mov x29, sp
    stp x19, x20, [sp, #16]
    stp x21, x22, [sp, #32]
    stp x23, x24, [sp, #48]
    stp x25, x26, [sp, #64]
    stp x27, x28, [sp, #80]
    mrs x1, tpidr_el1
    str x29, [x1, #CPU_USER_STACK]
    b go

/* Before the first branch of the kernel's that is guessed by what user mode has done: speculation.c. x0 is kept. */
    .macro forget_history
    ldr w1, user_history
    cbnz w1, 8f
9:
    .subsection 1
8:  tbnz w1, #31, 7f
6:  b 5f
5:  subs w1, w1, #1
    b.ne 6b
    dsb nsh
    isb
    b 9b
7:  hint #22                        /* clrbhb */
    isb
    b 9b
    .previous
    .endm

/* From here on x0 is the context that trapped, x29 the frame of user_run. A call is what traps most often. */
    .global user_synchronous
user_synchronous:
    forget_history
    mrs x1, esr_el1
    mov w2, #SYNDROME_SVC
    cmp x1, x2
    b.ne 1f
    bl user_called
    b go_or_leave
1:  bl trap_user_fault
    b go_or_leave

    .global user_interrupt
user_interrupt:
    forget_history
    bl trap_user_interrupt

/* x0 is the context to go on with; 0: back to who has called user_run. */
go_or_leave:
    cbz x0, leave
go:
    mrs x1, tpidr_el1
    str x0, [x1, #CPU_CONTEXT]
    ldp x30, x1, [x0, #CONTEXT_X(30)]
    ldp x2, x3, [x0, #CONTEXT_PC]
    msr sp_el0, x1
    msr elr_el1, x2
    msr spsr_el1, x3
    ldp x28, x29, [x0, #CONTEXT_X(28)]
    ldp x26, x27, [x0, #CONTEXT_X(26)]
    ldp x24, x25, [x0, #CONTEXT_X(24)]
    ldp x22, x23, [x0, #CONTEXT_X(22)]
    ldp x20, x21, [x0, #CONTEXT_X(20)]
    ldp x18, x19, [x0, #CONTEXT_X(18)]
    ldp x16, x17, [x0, #CONTEXT_X(16)]
    ldp x14, x15, [x0, #CONTEXT_X(14)]
    ldp x12, x13, [x0, #CONTEXT_X(12)]
    ldp x10, x11, [x0, #CONTEXT_X(10)]
    ldp x8, x9, [x0, #CONTEXT_X(8)]
    ldp x6, x7, [x0, #CONTEXT_X(6)]
    ldp x4, x5, [x0, #CONTEXT_X(4)]
    ldp x2, x3, [x0, #CONTEXT_X(2)]
    ldp x0, x1, [x0, #CONTEXT_X(0)]
    eret
    dsb nsh                         /* nothing behind it is guessed at with the user's registers */
    isb

leave:
    ldp x27, x28, [sp, #80]
    ldp x25, x26, [sp, #64]
    ldp x23, x24, [sp, #48]
    ldp x21, x22, [sp, #32]
    ldp x19, x20, [sp, #16]
    ldp x29, x30, [sp], #RUN_FRAME
    ret

/* ---- Floating point and SIMD: (extended), aligned to 16 ----------------------------------------------------------- */

    .macro all_q deed
    \deed q0, q1, [x0]
    \deed q2, q3, [x0, #32]
    \deed q4, q5, [x0, #64]
    \deed q6, q7, [x0, #96]
    \deed q8, q9, [x0, #128]
    \deed q10, q11, [x0, #160]
    \deed q12, q13, [x0, #192]
    \deed q14, q15, [x0, #224]
    \deed q16, q17, [x0, #256]
    \deed q18, q19, [x0, #288]
    \deed q20, q21, [x0, #320]
    \deed q22, q23, [x0, #352]
    \deed q24, q25, [x0, #384]
    \deed q26, q27, [x0, #416]
    \deed q28, q29, [x0, #448]
    \deed q30, q31, [x0, #480]
    .endm

    .global user_extended_save
user_extended_save:
    all_q stp
    add x0, x0, #EXTENDED_CONTROL
    mrs x1, fpcr
    mrs x2, fpsr
    stp x1, x2, [x0]
    ret

    .global user_extended_load
user_extended_load:
    all_q ldp
    add x0, x0, #EXTENDED_CONTROL
    ldp x1, x2, [x0]
    msr fpcr, x1
    msr fpsr, x2
    ret
