/*
 * trap.S: the one vector.
 *
 * All code runs in S-mode, on a stack that its struct cpu (tp) describes; sscratch is free and lends one
 * register. Before anything is stored on the stack it is checked that the frame fits above the guard page: a
 * stack that has run into its guard page would otherwise trap here again, for ever. Then the frame goes to
 * the hart's emergency stack; whoever needs it never returns.
 *
 * Interrupts are off in the whole of it; the CPU has switched them off.
 */
#include <csr.h>
#include <trap_frame.h>

    .section .text.trap, "ax"
    .global trap_entry
    .balign 4
trap_entry:
    csrw sscratch, t0

    ld t0, CPU_STACK_TOP(tp)
    bltu t0, sp, overflow
    ld t0, CPU_STACK_GUARD(tp)
    bltu sp, t0, overflow
    sub t0, sp, t0
    addi t0, t0, -FRAME_SIZE
    srai t0, t0, 12                 /* the page that the frame's end lies in, counted from the guard page */
    blez t0, overflow

    addi sp, sp, -FRAME_SIZE
    sd ra, FRAME_X(1)(sp)
    addi t0, sp, FRAME_SIZE
    sd t0, FRAME_X(2)(sp)
    csrr t0, sscratch
    sd t0, FRAME_X(5)(sp)
    jal save
    li a1, 0
    call trap_handle

    ld t0, FRAME_SEPC(sp)
    csrw sepc, t0
    ld t0, FRAME_SSTATUS(sp)
    csrw sstatus, t0
    .irp n, 1, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31
    ld x\n, FRAME_X(\n)(sp)
    .endr
    addi sp, sp, FRAME_SIZE
    sret

overflow:
    ld t0, CPU_EXCEPTION_STACK_TOP(tp)
    addi t0, t0, -FRAME_SIZE
    sd sp, FRAME_X(2)(t0)
    mv sp, t0
    sd ra, FRAME_X(1)(sp)
    csrr t0, sscratch
    sd t0, FRAME_X(5)(sp)
    jal save
    li a1, 1
    call trap_handle
1:  wfi
    j 1b

/* Saves all but ra, sp and t0, which have been, and begins the handler's chain of frame records. */
save:
    .irp n, 3, 4, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31
    sd x\n, FRAME_X(\n)(sp)
    .endr
    csrr t0, sepc
    sd t0, FRAME_SEPC(sp)
    sd t0, FRAME_RECORD_ADDRESS(sp)
    sd s0, FRAME_RECORD_POINTER(sp)
    csrr t0, sstatus
    sd t0, FRAME_SSTATUS(sp)
    li t0, SSTATUS_SUM              /* it may have been a copy to or from user memory; this is none */
    csrc sstatus, t0
    csrr t0, scause
    sd t0, FRAME_SCAUSE(sp)
    csrr t0, stval
    sd t0, FRAME_STVAL(sp)
    addi s0, sp, FRAME_SIZE
    mv a0, sp
    ret

    .section .bss.trap, "aw", @nobits
    .balign 16
    .global trap_emergency_bottom
    .global trap_emergency_top
trap_emergency_bottom:
    .skip 4096
trap_emergency_top:
