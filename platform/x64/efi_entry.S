/*
 * efi_entry.S: the header of the EFI application, where firmware enters, and where the stub leaves firmware for good.
 *
 * Firmware calls in 64-bit mode, paging on and everything mapped onto itself, by Microsoft's calling convention
 * [UEFI 2.10 §2.3.4].
 */
#include "selectors.h"
#include <platform/efi_header.h>

    .section .head, "a"
    .ascii "MZ"
    .org 0x3c
    .long EFI_HEADER_OFFSET
    efi_header 0x8664

    .section .boot.text.efi, "ax"   /* BOOT_CODE in the Makefile */
    .code64
    .global efi_entry
efi_entry:
    pushq %rdi                      /* the caller's there, not here */
    pushq %rsi
    subq $8, %rsp
    movq %rdx, %rsi                 /* system table */
    rdtsc
    shlq $32, %rdx
    orq %rax, %rdx
    movq %rcx, %rdi                 /* image handle */
    call efi_main
    addq $8, %rsp
    popq %rsi
    popq %rdi
    ret

/* efi_leave(handoff, counter, hart). Firmware's tables, descriptors and stack serve until ours are ready. */
    .global efi_leave
efi_leave:
    cli
    cld
    movq %rdi, %rbx
    movq %rsi, %rbp
    leaq bss_start(%rip), %rdi
    movl $bss_words, %ecx
    xorl %eax, %eax
    rep stosl
    leaq boot_stack_top(%rip), %rsp

    movl $0x80000001, %eax
    movq %rbx, %r12                 /* CPUID destroys RBX */
    cpuid
    movl $0xc0000080, %ecx          /* EFER */
    andl $1 << 20, %edx             /* execute-disable is there: EFER.NXE, bit 11 */
    movl %edx, %ebx
    rdmsr
    shrl $9, %ebx
    orl %ebx, %eax
    wrmsr

    movq %r12, %rdi
    movq %rbp, %rsi
    movl $2, %edx                   /* BOOT_EFI */
    xorl %ebp, %ebp
    call boot_early
    movq %rax, %rbx

    /* Of CR4 only PAE, and LA57 as it is, which cannot be changed here: global pages, PCIDs and control-flow enforcement
     * of the firmware's end. */
    movq %cr4, %rax
    andl $1 << 12, %eax
    orl $1 << 5, %eax
    movq %rax, %cr4
    movl $0x80010033, %eax          /* CR0: PG WP NE ET MP PE; caches on */
    movq %rax, %cr0
    leaq boot_gdt(%rip), %rax
    pushq %rax
    pushw $23
    lgdt (%rsp)
    addq $10, %rsp
    movl $SELECTOR_DATA, %eax
    movl %eax, %ds
    movl %eax, %es
    movl %eax, %ss
    xorl %eax, %eax
    movl %eax, %fs
    movl %eax, %gs
    leaq 1f(%rip), %rax
    pushq $SELECTOR_CODE
    pushq %rax
    lretq
1:  movq %rbx, %rax
    jmp boot_switch
