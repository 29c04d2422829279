/*
 * trap.S: the 256 entries, and what they have in common. Layout of what is saved: struct trap_frame, local.h.
 *
 * Interrupts are off from the entry on (interrupt gates). The CPU has aligned the stack to 16 bytes before
 * it pushed, so that the frame, 176 bytes, leaves it aligned.
 */

#include "trap_frame.h"

    .text
    .balign 16
    .global trap_stubs
trap_stubs:
    .set vector, 0
    .rept 8                         /* TRAP_STUBS_BLOCK bytes for each 32 vectors (trap.c), of which */
    .rept 32                        /* TRAP_STUB_SIZE for each: the jumps behind them are near enough for a byte */
    pushq $(vector - 128)
    .if vector < 32 && (0x60227d00 >> (vector & 31)) & 1
    jmp 2f                          /* 8, 10-14, 17, 21, 29, 30 [Intel SDM 3A table 6-1, AMD APM 2 §8.2] */
    .else
    jmp 1f
    .endif
    .set vector, vector + 1
    .endr
1:  jmp trap_without_error
    .balign 8
2:  jmp trap_with_error
    .balign 8
    .endr

trap_without_error:
    pushq (%rsp)
    movq $0, 8(%rsp)
trap_with_error:
    testb $3, 24(%rsp)              /* the privilege level that it comes from, in CS */
    jne trap_from_user
    save_registers
    clear_flags
    addq $128, FRAME_VECTOR(%rsp)
    movq %rsp, %rdi
    call trap_handle
    restore_registers
    iretq

/* The stack is the thread's context (user_context.h). */
trap_from_user:
    swapgs
    save_registers
    clear_flags
    addq $128, FRAME_VECTOR(%rsp)
    jmp user_trapped

/* ---- On the exception stack: NMI, double fault, machine check; none returns ----------------------------------------
 *
 * They may come at any instruction, also on the way between user mode and the kernel: which GS is on is seen by its
 * base, since the kernel's lies in the upper half. */

    .balign TRAP_EXCEPTIONAL_SIZE
    .global trap_exceptional
trap_exceptional:
    .irp number, 2, 8, 18           /* as trap.c has them */
    .balign TRAP_EXCEPTIONAL_SIZE
    .if \number != 8
    pushq $0
    .endif
    pushq $\number
    jmp exceptional
    .endr

exceptional:
    save_registers
    clear_flags
    movl $0xc0000101, %ecx          /* IA32_GS_BASE */
    rdmsr
    testl %edx, %edx
    js 1f
    swapgs
1:  movq %rsp, %rdi
    call trap_handle
    ud2
