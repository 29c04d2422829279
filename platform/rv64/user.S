/*
 * user.S: into user mode and back, its floating-point registers, and copies to and from its memory.
 *
 * While user mode runs there is another vector: user_entry. It knows where it comes from, and the kernel's own vector
 * (trap.S) stays as it is. sscratch then holds the struct user_context, whose CONTEXT_CPU gives the kernel its tp back;
 * in the kernel it is trap.S's scratch. The kernel has no use for gp, which stays the user's.
 *
 * Interrupts are off in the kernel's part of it.
 */
#include <csr.h>
#include <trap_frame.h>
#include <user_context.h>

#define RUN_FRAME 112 /* user_run's: ra, s0 to s11, and one that keeps the stack pointer aligned */
#define CAUSE_ECALL_FROM_USER 8

    .section .text.user_run, "ax"
    .global user_run
user_run:
    addi sp, sp, -RUN_FRAME
    sd ra, RUN_FRAME-8(sp)          /* a frame record, as the compiler makes them: backtraces of what is called from */
    sd s0, RUN_FRAME-16(sp)         /* user_entry go on through it */
    .irp n, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11
    sd s\n, RUN_FRAME-16-8*\n(sp)
    .endr
    sd sp, CPU_USER_STACK(tp)

/* a0 = the context that goes on. What can trap in the kernel, does before stvec is written. */
enter:
    sd a0, CPU_CONTEXT(tp)
    sd tp, CONTEXT_CPU(a0)
    ld t0, CONTEXT_PC(a0)
    csrw sepc, t0
    li t0, SSTATUS_SPP
    csrc sstatus, t0
    li t0, SSTATUS_SPIE
    csrs sstatus, t0
    csrw sscratch, a0
    lla t0, user_entry
    csrw stvec, t0
    .irp n, 1, 2, 3, 4, 5, 6, 7, 8, 9, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31
    ld x\n, CONTEXT_X(\n)(a0)
    .endr
    ld a0, CONTEXT_X(10)(a0)
    sret

    .balign 4
user_entry:
    csrrw a0, sscratch, a0
    sd t0, CONTEXT_X(5)(a0)
    lla t0, trap_entry              /* from here on a trap is the kernel's own */
    csrw stvec, t0
    .irp n, 1, 2, 3, 4, 6, 7, 8, 9, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31
    sd x\n, CONTEXT_X(\n)(a0)
    .endr
    csrr t0, sscratch
    sd t0, CONTEXT_X(10)(a0)
    csrr t0, sepc
    ld tp, CONTEXT_CPU(a0)
    ld sp, CPU_USER_STACK(tp)
    addi s0, sp, RUN_FRAME
    csrr a1, scause
    li t1, CAUSE_ECALL_FROM_USER
    bne a1, t1, 1f
    addi t0, t0, 4                  /* behind the ecall, which has no short form */
    sd t0, CONTEXT_PC(a0)
    call user_called
    bnez a0, enter
    j 2f

1:  sd t0, CONTEXT_PC(a0)
    csrr a2, stval
    call user_trapped
    bnez a0, enter

2:  ld sp, CPU_USER_STACK(tp)
    .irp n, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11
    ld s\n, RUN_FRAME-16-8*\n(sp)
    .endr
    ld s0, RUN_FRAME-16(sp)
    ld ra, RUN_FRAME-8(sp)
    addi sp, sp, RUN_FRAME
    ret

/* ---- Floating point: a0 = the extended state. The kernel's own code is compiled without. -------------------------- */

    .option push
    .option arch, +d
    .section .text.user_save_extended, "ax"
    .global user_save_extended
user_save_extended:
    .irp n, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31
    fsd f\n, EXTENDED_F(\n)(a0)
    .endr
    frcsr t0
    sd t0, EXTENDED_FCSR(a0)
    ret

    .section .text.user_load_extended, "ax"
    .global user_load_extended
user_load_extended:
    .irp n, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31
    fld f\n, EXTENDED_F(\n)(a0)
    .endr
    ld t0, EXTENDED_FCSR(a0)
    fscsr t0
    ret
    .option pop

/* ---- Copies: a0 = to, a1 = from, a2 = bytes; a0 = 1: all of it, 0: the user's side could not be reached ------------ */

/* One access to user memory; where it traps, the copy ends. */
    .macro user instruction:vararg
7:  \instruction
    .pushsection .fixups, "a"
    .balign 8
    .dword 7b, 9f
    .popsection
    .endm

/* Eight bytes at a time where both sides agree on what is aligned. The stores of the one direction and the loads of
 * the other are the user's. SUM is on in here only; trap.S has it off while a trap is handled. */
    .macro copy load:req, store:req
    li t0, SSTATUS_SUM
    csrs sstatus, t0
    xor t1, a0, a1
    andi t1, t1, 7
    bnez t1, 3f
1:  andi t1, a0, 7                  /* up to where both are aligned */
    beqz t1, 2f
    beqz a2, 4f
    \load lbu t2, 0(a1)
    \store sb t2, 0(a0)
    addi a0, a0, 1
    addi a1, a1, 1
    addi a2, a2, -1
    j 1b
2:  li t1, 8
    bltu a2, t1, 3f
    \load ld t2, 0(a1)
    \store sd t2, 0(a0)
    addi a0, a0, 8
    addi a1, a1, 8
    addi a2, a2, -8
    j 2b
3:  beqz a2, 4f
    \load lbu t2, 0(a1)
    \store sb t2, 0(a0)
    addi a0, a0, 1
    addi a1, a1, 1
    addi a2, a2, -1
    j 3b
4:  csrc sstatus, t0
    li a0, 1
    ret
9:  csrc sstatus, t0
    li a0, 0
    ret
    .endm

    .macro kernel instruction:vararg
    \instruction
    .endm

    .section .text.user_read, "ax"
    .global user_read
user_read:
    copy user, kernel

    .section .text.user_write, "ax"
    .global user_write
user_write:
    copy kernel, user
