/*
 * trap.S: the vectors, and the few instructions that are allowed to trap.
 *
 * All code runs at EL1 on a stack that its struct cpu (TPIDR_EL1) describes. TPIDRRO_EL0 lends one register; user mode
 * can read it, so it is cleared again. Before anything is stored on the stack it is checked that the frame fits above
 * the guard page: a stack that has run into its guard page would otherwise trap here again, for ever. Then the frame
 * goes to the CPU's emergency stack; whoever needs it never returns.
 *
 * Interrupts are off in the whole of it; the CPU has switched them off.
 */
#include <trap_frame.h>

    .macro vector number
    .balign 128
    msr tpidrro_el0, x0
    mrs x0, tpidr_el1
    ldr x0, [x0, #CPU_STACK_GUARD]
    sub x0, sp, x0
    sub x0, x0, #4096
    cmp x0, #FRAME_SIZE             /* signed: far below the guard page is wrong as well */
    b.lt 1f
    mrs x0, tpidr_el1
    ldr x0, [x0, #CPU_STACK_TOP]
    sub x0, sp, x0
    cmp x0, #0
    b.gt 1f
    mrs x0, tpidrro_el0
    sub sp, sp, #FRAME_SIZE
    stp x0, x1, [sp, #FRAME_X(0)]
    stp x2, x3, [sp, #FRAME_X(2)]
    add x2, sp, #FRAME_SIZE
    mov x1, #\number
    b enter
1:  mov x0, sp
    b overflow
    .endm

/* From user mode: the stack is user_run's frame (user.S), and is that of a CPU that does nothing, so there is room. Two
 * registers wait below it until the context is known. */
    .macro user_vector handler
    .balign 128
    stp x0, x1, [sp, #-16]
    mrs x0, tpidr_el1
    ldr x0, [x0, #CPU_CONTEXT]
    stp x2, x3, [x0, #CONTEXT_X(2)]
    ldp x2, x3, [sp, #-16]
    stp x2, x3, [x0, #CONTEXT_X(0)]
    stp x4, x5, [x0, #CONTEXT_X(4)]
    stp x6, x7, [x0, #CONTEXT_X(6)]
    stp x8, x9, [x0, #CONTEXT_X(8)]
    stp x10, x11, [x0, #CONTEXT_X(10)]
    stp x12, x13, [x0, #CONTEXT_X(12)]
    stp x14, x15, [x0, #CONTEXT_X(14)]
    stp x16, x17, [x0, #CONTEXT_X(16)]
    stp x18, x19, [x0, #CONTEXT_X(18)]
    stp x20, x21, [x0, #CONTEXT_X(20)]
    stp x22, x23, [x0, #CONTEXT_X(22)]
    stp x24, x25, [x0, #CONTEXT_X(24)]
    stp x26, x27, [x0, #CONTEXT_X(26)]
    stp x28, x29, [x0, #CONTEXT_X(28)]
    mrs x1, sp_el0
    mrs x2, elr_el1
    mrs x3, spsr_el1
    stp x30, x1, [x0, #CONTEXT_X(30)]
    stp x2, x3, [x0, #CONTEXT_PC]
    mov x29, sp
    b \handler
    .endm

    .section .text.trap, "ax"
    .balign 2048
    .global trap_vectors
trap_vectors:
    .irp number, 0, 1, 2, 3, 4, 5, 6, 7
    vector \number
    .endr
    user_vector user_synchronous
    user_vector user_interrupt
    .irp number, 10, 11, 12, 13, 14, 15
    vector \number
    .endr

    .balign 128
overflow:
    msr sp_el0, x0
    mrs x0, tpidr_el1
    ldr x0, [x0, #CPU_EXCEPTION_STACK_TOP]
    sub sp, x0, #FRAME_SIZE
    mrs x0, tpidrro_el0
    stp x0, x1, [sp, #FRAME_X(0)]
    stp x2, x3, [sp, #FRAME_X(2)]
    mrs x2, sp_el0
    mov x1, #VECTOR_OVERFLOW

/* x0 to x3 are saved; x1 is the vector, x2 the stack pointer to come back to. */
enter:
    msr tpidrro_el0, xzr
    stp x4, x5, [sp, #FRAME_X(4)]
    stp x6, x7, [sp, #FRAME_X(6)]
    stp x8, x9, [sp, #FRAME_X(8)]
    stp x10, x11, [sp, #FRAME_X(10)]
    stp x12, x13, [sp, #FRAME_X(12)]
    stp x14, x15, [sp, #FRAME_X(14)]
    stp x16, x17, [sp, #FRAME_X(16)]
    stp x18, x19, [sp, #FRAME_X(18)]
    stp x20, x21, [sp, #FRAME_X(20)]
    stp x22, x23, [sp, #FRAME_X(22)]
    stp x24, x25, [sp, #FRAME_X(24)]
    stp x26, x27, [sp, #FRAME_X(26)]
    stp x28, x29, [sp, #FRAME_X(28)]
    mrs x3, elr_el1
    mrs x4, spsr_el1
    mrs x5, esr_el1
    mrs x6, far_el1
    stp x30, x2, [sp, #FRAME_X(30)]
    stp x3, x4, [sp, #FRAME_ELR]
    stp x5, x6, [sp, #FRAME_ESR]
    stp x29, x3, [sp, #FRAME_RECORD]
    add x29, sp, #FRAME_RECORD
    mov x0, sp
    bl trap_handle

    ldp x3, x4, [sp, #FRAME_ELR]
    msr elr_el1, x3
    msr spsr_el1, x4
    ldr x30, [sp, #FRAME_X(30)]
    ldp x28, x29, [sp, #FRAME_X(28)]
    ldp x26, x27, [sp, #FRAME_X(26)]
    ldp x24, x25, [sp, #FRAME_X(24)]
    ldp x22, x23, [sp, #FRAME_X(22)]
    ldp x20, x21, [sp, #FRAME_X(20)]
    ldp x18, x19, [sp, #FRAME_X(18)]
    ldp x16, x17, [sp, #FRAME_X(16)]
    ldp x14, x15, [sp, #FRAME_X(14)]
    ldp x12, x13, [sp, #FRAME_X(12)]
    ldp x10, x11, [sp, #FRAME_X(10)]
    ldp x8, x9, [sp, #FRAME_X(8)]
    ldp x6, x7, [sp, #FRAME_X(6)]
    ldp x4, x5, [sp, #FRAME_X(4)]
    ldp x2, x3, [sp, #FRAME_X(2)]
    ldp x0, x1, [sp, #FRAME_X(0)]
    add sp, sp, #FRAME_SIZE
    eret

/* ---- Instructions that may trap: when one does, trap.c goes on behind it, where x0 says that it failed -------- */

    .macro may_trap instruction:vararg
9998:
    \instruction
    .pushsection .fixups, "a"
    .balign 8
    .quad 9998b, 9999f
    .popsection
    .endm

    .section .text.probe, "ax"
    .macro probe name, load
    .global \name
\name:
    may_trap \load w2, [x0]
    str w2, [x1]
    mov w0, #1
    ret
9999:
    mov w0, #0
    ret
    .endm
    probe probe_read8, ldrb
    probe probe_read16, ldrh
    probe probe_read32, ldr

    /* SMC calling convention 1.0 and later [Arm DEN 0028]: x18 to x30 and sp are kept, x0 to x17 may be lost. The
     * immediate of both instructions is 0. */
    .global call_hypervisor
call_hypervisor:
    may_trap hvc #0
    ret
9999:
    mov x0, #-1
    ret

    .global call_monitor
call_monitor:
    may_trap smc #0
    ret
9999:
    mov x0, #-1
    ret

    /* [Semihosting for AArch32 and AArch64]: w0 is the operation, x1 its argument. */
    .global call_semihosting
call_semihosting:
    may_trap hlt #0xf000
9999:
    ret

/* ---- Between the kernel and user memory: as user mode might do it, whatever the kernel could ------------------------ */

/*
 * (to, from, size), size not 0: false when it could not all be read. ldtr and sttr are refused what user mode is
 * refused, on each CPU, so PAN need not be lifted and a CPU without it is no worse. The mask says nothing that the caller
 * has not checked; it is for a CPU that goes on before it knows what the check said.
 */
    .section .text.copy, "ax"
    .global copy_from_user
copy_from_user:
    and x1, x1, #USER_ADDRESSES
    subs x2, x2, #8
    b.lo 2f
1:  may_trap ldtr x3, [x1]
    add x1, x1, #8
    str x3, [x0], #8
    subs x2, x2, #8
    b.hs 1b
2:  adds x2, x2, #8
    b.eq 4f
3:  may_trap ldtrb w3, [x1]
    add x1, x1, #1
    strb w3, [x0], #1
    subs x2, x2, #1
    b.ne 3b
4:  mov w0, #1
    ret
9999:
    mov w0, #0
    ret

    .global copy_to_user
copy_to_user:
    and x0, x0, #USER_ADDRESSES
    subs x2, x2, #8
    b.lo 2f
1:  ldr x3, [x1], #8
    may_trap sttr x3, [x0]
    add x0, x0, #8
    subs x2, x2, #8
    b.hs 1b
2:  adds x2, x2, #8
    b.eq 4f
3:  ldrb w3, [x1], #1
    may_trap sttrb w3, [x0]
    add x0, x0, #1
    subs x2, x2, #1
    b.ne 3b
4:  mov w0, #1
    ret
9999:
    mov w0, #0
    ret
