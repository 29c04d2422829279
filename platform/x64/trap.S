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
