/*
 * trap.S: the 256 entries, and what they have in common. Layout of what is saved: struct trap_frame, local.h.
 *
 * Interrupts are off from the entry on (interrupt gates). The CPU has aligned the stack to 16 bytes before
 * it pushed, so that the frame, 176 bytes, leaves it aligned.
 */

    .text
    .balign 16
    .global trap_stubs
trap_stubs:
    .set vector, 0
    .rept 256
    .balign 8
    pushq $(vector - 128)           /* a byte's worth, to keep stubs at 7 bytes */
    .if vector >= 32
    jmp trap_without_error
    .elseif (0x60227d00 >> vector) & 1
    jmp trap_with_error             /* 8, 10-14, 17, 21, 29, 30 [Intel SDM 3A table 6-1, AMD APM 2 §8.2] */
    .else
    jmp trap_without_error
    .endif
    .set vector, vector + 1
    .endr

trap_without_error:
    pushq (%rsp)
    movq $0, 8(%rsp)
trap_with_error:
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
    cld
    cmpb $0, trap_clear_ac(%rip)    /* CLAC is an invalid instruction where there is no SMAP */
    je 1f
    clac
1:  addq $128, 120(%rsp)
    movq %rsp, %rdi
    call trap_handle
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
    iretq
