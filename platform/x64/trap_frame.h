/*
 * trap_frame.h: what a trap saves, and where the entries find what they need. For assembly and for C; trap.c asserts
 * that the two agree.
 */
#ifndef TRAP_FRAME_H
#define TRAP_FRAME_H

/* Offsets into struct trap_frame. */
#define FRAME_R15    0
#define FRAME_R14    8
#define FRAME_R13    16
#define FRAME_R12    24
#define FRAME_R10    40
#define FRAME_R9     48
#define FRAME_R8     56
#define FRAME_RBP    64
#define FRAME_RDI    72
#define FRAME_RSI    80
#define FRAME_RDX    88
#define FRAME_RBX    104
#define FRAME_RAX    112
#define FRAME_VECTOR 120
#define FRAME_RIP    136
#define FRAME_RFLAGS 152
#define FRAME_RSP    160
#define FRAME_SIZE   176

/* Of members of struct cpu and struct x64_cpu. */
#define CPU_CONTEXT      64
#define CPU_USER_STACK   72
#define CPU_USER_SCRATCH 88
#define CPU_ARCH         224
#define TASK_RSP0        4

/* What there is between one stub of trap_exceptional and the next. */
#define TRAP_EXCEPTIONAL_SIZE 16

/* Behind the vectors: saved by SYSCALL, which leaves rcx and r11 to be lost. */
#define VECTOR_CALL 256

/* USER_TOP: user mode faults there at once. */
#define USER_NOWHERE 0x7ffffffff000

#ifdef __ASSEMBLER__

/* clang-format off */
    .macro save_registers
    pushq %rax
    pushq %rbx
    pushq %rcx
    pushq %rdx
    pushq %rsi
    pushq %rdi
    pushq %rbp
    pushq %r8
    pushq %r9
    pushq %r10
    pushq %r11
    pushq %r12
    pushq %r13
    pushq %r14
    pushq %r15
    .endm

    /* And leaves what IRETQ takes. */
    .macro restore_registers
    popq %r15
    popq %r14
    popq %r13
    popq %r12
    popq %r11
    popq %r10
    popq %r9
    popq %r8
    popq %rbp
    popq %rdi
    popq %rsi
    popq %rdx
    popq %rcx
    popq %rbx
    popq %rax
    addq $16, %rsp
    .endm

    /* Neither interrupt gates nor the CPU see to these. CLAC is an invalid instruction where there is no SMAP. */
    .macro clear_flags
    cld
    cmpb $0, trap_clear_ac(%rip)
    je .Lno_smap\@
    clac
.Lno_smap\@:
    .endm
/* clang-format on */

#else

#include <stdint.h>

/* As trap.S pushes it; 16-byte aligned. */
struct trap_frame {
    uint64_t r15, r14, r13, r12, r11, r10, r9, r8, rbp, rdi, rsi, rdx, rcx, rbx, rax;
    uint64_t vector, error;
    uint64_t rip, cs, rflags, rsp, ss;
};

#endif
#endif
