/*
 * boot.S: from the loader to kernel_main.
 *
 * PVH entry (`-kernel` with QEMU, Xen, Cloud Hypervisor, Firecracker) [Xen, x86/HVM direct boot ABI]: 32-bit
 * protected mode, flat segments, paging and interrupts off, EBX = start info, no stack. It knows where it
 * lies: a PVH loader obeys the ELF's physical addresses. From long mode on everything is relative to the
 * program counter.
 *
 * EFI firmware enters at efi_entry (efi_entry.S), in long mode, and comes here at the end, by boot_switch.
 */
#include "selectors.h"

    .section .note.Xen, "a", @note
    .balign 4
    .long 4, 4, 18                  /* XEN_ELFNOTE_PHYS32_ENTRY */
    .asciz "Xen"
    .long pvh_entry_physical

/* ---- 32 bits -------------------------------------------------------------------------------------------- */

    .section .text.pvh, "ax"
    .code32
    .global pvh_entry
pvh_entry:
    rdtsc                           /* the clock's zero */
    movl %eax, %esi
    movl %edx, %ebp
    cld

    movl $bss_start_physical, %edi
    movl $bss_words, %ecx
    xorl %eax, %eax
    rep stosl
    movl %ebx, %edi                 /* start info; CPUID destroys EBX */

    movl $0x80000001, %eax
    cpuid
    btl $29, %edx
    jnc no_long_mode
    andl $1 << 20, %edx             /* execute-disable is there: EFER.NXE, bit 11 */
    shrl $9, %edx
    orl $1 << 8, %edx               /* EFER.LME */
    movl %edx, %eax
    xorl %edx, %edx
    movl $0xc0000080, %ecx          /* EFER */
    wrmsr

    /* The first GiB onto itself, in 2 MiB pages, writable and present. */
    movl $boot_identity_physical + 4096, %ebx
    movl $0x83, %eax
    xorl %ecx, %ecx
1:  movl %eax, (%ebx, %ecx, 8)
    addl $0x200000, %eax
    incl %ecx
    cmpl $512, %ecx
    jne 1b
    movl $boot_identity_physical + 4096 + 3, boot_identity_physical
    movl $boot_identity_physical + 3, boot_tables_physical

    movl $boot_tables_physical, %eax
    movl %eax, %cr3
    movl $1 << 5, %eax              /* CR4.PAE */
    movl %eax, %cr4
    movl $0x80010033, %eax          /* CR0: PG WP NE ET MP PE; caches on */
    movl %eax, %cr0
    lgdt boot_gdt_physical + 24
    ljmp $SELECTOR_CODE, $pvh_long_mode_physical

no_long_mode:
    movl $boot_identity_physical + 4096, %esp
    call 1f
    .asciz "vmos: this CPU has no 64-bit mode\r\n"
1:  popl %esi
    movw $0x3f8, %dx
2:  lodsb
    testb %al, %al
    jz 3f
    outb %al, %dx
    jmp 2b
3:  hlt
    jmp 3b

/* ---- 64 bits -------------------------------------------------------------------------------------------- */

    .section .text.boot, "ax"       /* out of the page that EFI firmware does not let run */
    .code64
    .global pvh_long_mode
pvh_long_mode:
    movl $SELECTOR_DATA, %eax
    movl %eax, %ds
    movl %eax, %es
    movl %eax, %ss
    xorl %eax, %eax
    movl %eax, %fs
    movl %eax, %gs
    leaq boot_stack_top(%rip), %rsp
    movl %edi, %edi                 /* upper halves are undefined after 32-bit mode */
    movl %esi, %esi
    movl %ebp, %ebp
    shlq $32, %rbp
    orq %rbp, %rsi
    xorl %ebp, %ebp
    xorl %edx, %edx                 /* BOOT_PVH */
    call boot_early                 /* start info, counter at entry, protocol; gives CR3 */

    /* RAX = CR3: tables that map this page where it lies. */
    .balign 16
    .global boot_switch
boot_switch:
    movabsq $upper_half, %rcx
    movq %rax, %cr3
    jmpq *%rcx

upper_half:
    leaq boot_stack_top(%rip), %rsp
    leaq boot_tables(%rip), %rdi    /* the identity mapping has done its work */
    movl $256, %ecx
    xorl %eax, %eax
    rep stosq
    movq %rax, boot_fifth_level(%rip)
    movq %cr3, %rax
    movq %rax, %cr3
    call trap_init
    leaq boot_information(%rip), %rdi
    call kernel_main
    ud2

    .section .rodata.boot_gdt, "a"
    .balign 8
    .global boot_gdt
boot_gdt:
    .quad 0
    .quad DESCRIPTOR_CODE
    .quad DESCRIPTOR_DATA
    .short 23
    .long boot_gdt_physical
