/*
 * user.S: into user mode and back [Intel SDM 3A §5.8.8], and the copies between the two.
 *
 * In user mode GS's base is 0 and the kernel's lies in IA32_KERNEL_GS_BASE; SWAPGS exchanges them, first thing on the
 * way in and last on the way out, always with interrupts off. What can come in between all the same (NMI, machine
 * check) looks for itself (trap.S).
 *
 * Registers are saved in the thread's own context, and the kernel goes on on the stack that user_run has left.
 */
#include "trap_frame.h"

/* user_run's frame record, from the stack pointer that it leaves: five registers, and eight bytes for the alignment. */
#define RUN_RECORD 48

    .text
    /* rdi: the context. Comes back when a trap has given NULL. */
    .balign 16
    .global user_run
user_run:
    pushq %rbp
    movq %rsp, %rbp
    pushq %rbx
    pushq %r12
    pushq %r13
    pushq %r14
    pushq %r15
    subq $8, %rsp
    movq %rsp, %gs:CPU_USER_STACK
    movq %rdi, %rax
    jmp user_resume

    /* SYSCALL: rcx is where to go on, r11 the flags; those of the kernel are user_init_cpu's. All but the two lost
     * registers is saved, so that any way of resuming will do. CS and SS stand in the context since it was made: user
     * mode has no others. */
    .balign 64
    .global user_entry
user_entry:
    swapgs
    movq %rsp, %gs:CPU_USER_SCRATCH
    movq %gs:CPU_CONTEXT, %rsp
    movq %rcx, FRAME_RIP(%rsp)
    movq %r11, FRAME_RFLAGS(%rsp)
    movq %gs:CPU_USER_SCRATCH, %rcx
    movq %rcx, FRAME_RSP(%rsp)
    movq $VECTOR_CALL, FRAME_VECTOR(%rsp)
    movq %rax, FRAME_RAX(%rsp)
    movq %rbx, FRAME_RBX(%rsp)
    movq %rdx, FRAME_RDX(%rsp)
    movq %rsi, FRAME_RSI(%rsp)
    movq %rdi, FRAME_RDI(%rsp)
    movq %rbp, FRAME_RBP(%rsp)
    movq %r8, FRAME_R8(%rsp)
    movq %r9, FRAME_R9(%rsp)
    movq %r10, FRAME_R10(%rsp)
    movq %r12, FRAME_R12(%rsp)
    movq %r13, FRAME_R13(%rsp)
    movq %r14, FRAME_R14(%rsp)
    movq %r15, FRAME_R15(%rsp)
    movq %rsp, %rdi
    movq %gs:CPU_USER_STACK, %rsp
    leaq RUN_RECORD(%rsp), %rbp
    call user_called

    /* rax: the context to go on with, or NULL. */
user_resume:
    testq %rax, %rax
    je user_stop
    cmpq %gs:CPU_CONTEXT, %rax
    jne 3f
1:  cmpb $0, user_clear_buffers(%rip)
    jne 4f
2:  cmpl $VECTOR_CALL, FRAME_VECTOR(%rax)
    jne 5f
    movq FRAME_RIP(%rax), %rcx
    movq %rcx, %r11
    shrq $47, %r11                  /* SYSRET to such an address faults in the kernel, with the user's stack */
    jne 5f
    movq FRAME_RFLAGS(%rax), %r11
    movq FRAME_RBX(%rax), %rbx
    movq FRAME_RDX(%rax), %rdx
    movq FRAME_RSI(%rax), %rsi
    movq FRAME_RDI(%rax), %rdi
    movq FRAME_RBP(%rax), %rbp
    movq FRAME_R8(%rax), %r8
    movq FRAME_R9(%rax), %r9
    movq FRAME_R10(%rax), %r10
    movq FRAME_R12(%rax), %r12
    movq FRAME_R13(%rax), %r13
    movq FRAME_R14(%rax), %r14
    movq FRAME_R15(%rax), %r15
    movq FRAME_RSP(%rax), %rsp
    movq FRAME_RAX(%rax), %rax
    swapgs
    sysretq

    /* Another context than before: the next trap is to push into that. */
3:  movq %rax, %gs:CPU_CONTEXT
    leaq FRAME_SIZE(%rax), %rdx
    movq %gs:CPU_ARCH, %rcx
    movq %rdx, TASK_RSP0(%rcx)
    jmp 1b

    /* With the microcode for it, drops what buffers inside the CPU hold [Intel, Microarchitectural Data Sampling]. */
4:  verw user_verify(%rip)
    jmp 2b

5:  movq %rax, %rsp
    movq FRAME_RIP(%rsp), %rcx
    shrq $47, %rcx                  /* so would IRETQ */
    jne 7f
6:  restore_registers
    swapgs
    iretq

    /* Begun there, or gone on after a jump to there. */
7:  movabsq $USER_NOWHERE, %rcx
    movq %rcx, FRAME_RIP(%rsp)
    jmp 6b

user_stop:
    addq $8, %rsp
    popq %r15
    popq %r14
    popq %r13
    popq %r12
    popq %rbx
    popq %rbp
    ret

    /* From trap.S: a trap from user mode, all of it saved in the context, where rsp points; GS is the kernel's. */
    .global user_trapped
user_trapped:
    movq %rsp, %rdi
    movq %gs:CPU_USER_STACK, %rsp
    leaq RUN_RECORD(%rsp), %rbp
    call trap_user
    jmp user_resume

/* ---- Copies: rdi to, rsi from, rdx bytes; al: all of it could be touched ----------------------------------------- */

    .macro may_trap instruction:vararg
9998:
    \instruction
    .pushsection .fixups, "a"
    .balign 8
    .quad 9998b, copy_failed
    .popsection
    .endm

    .global user_copy
user_copy:
    movq %rdx, %rcx
    shrq $3, %rcx
    andl $7, %edx
    cmpb $0, trap_clear_ac(%rip)
    je 1f
    stac
1:  may_trap rep movsq
    movl %edx, %ecx
    may_trap rep movsb
    movl $1, %eax
2:  cmpb $0, trap_clear_ac(%rip)
    je 3f
    clac
3:  ret
copy_failed:
    xorl %eax, %eax
    jmp 2b
