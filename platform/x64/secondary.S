/*
 * secondary.S: from a start-up interrupt to smp_arrive, for every CPU but the first [Intel SDM 3A §8.4].
 *
 * start.c copies the code below to a page under 1 MiB. A CPU begins there in real mode, at offset 0 of a segment that
 * is the page, and any number may be under way in it at once: nothing in the page is written but each CPU's claim,
 * and until a CPU has its own stack it uses registers only. It finds its entry by its APIC ID; a CPU that has none,
 * or whose entry is claimed already, halts: it was started twice, or by somebody else.
 */
#include "selectors.h"
#include "trampoline.h"

#define DATA(member) (trampoline_data - trampoline + (member))

/* struct trampoline_data */
#define DESCRIPTORS_POINTER 32
#define FAR32               40
#define FAR64               48
#define ROOT                56
#define EFER                60
#define KERNEL_ROOT         64
#define ENTRY               72
#define COUNT               80
#define ENTRIES             88

    .section .text.trampoline, "ax"  /* copied, not run, but code all the same */
    .balign 16
    .code16
    .global trampoline
trampoline:
    cli
    cld
    movw %cs, %ax
    movw %ax, %ds
    movzwl %ax, %ebp
    shll $4, %ebp                   /* where the page lies */
    lgdtl DATA(DESCRIPTORS_POINTER)
    movl %cr0, %eax
    orb $1, %al
    movl %eax, %cr0
    ljmpl *DATA(FAR32)

    .code32
    .global trampoline_code32
trampoline_code32:
    movw $SELECTOR_DATA, %ax
    movw %ax, %ds
    movw %ax, %es
    movw %ax, %ss
    xorl %eax, %eax
    movw %ax, %fs
    movw %ax, %gs

    /* The APIC ID: of 32 bits where CPUID has leaf 0xb, as cpu_apic_id has it. */
    cpuid
    cmpl $0xb, %eax
    jb 1f
    movl $0xb, %eax
    xorl %ecx, %ecx
    cpuid
    testl %ebx, %ebx
    jnz 2f
1:  movl $1, %eax
    cpuid
    movl %ebx, %edx
    shrl $24, %edx
2:
    leal DATA(ENTRIES)(%ebp), %esi
    movl DATA(COUNT)(%ebp), %ecx
3:  jecxz 5f
    cmpl (%esi), %edx
    je 4f
    addl $TRAMPOLINE_ENTRY_SIZE, %esi
    decl %ecx
    jmp 3b
4:  movl $1, %eax
    xchgl %eax, 4(%esi)
    testl %eax, %eax
    jz 6f
5:  cli
    hlt
    jmp 5b

6:  movl $1 << 5, %eax              /* CR4.PAE */
    movl %eax, %cr4
    movl DATA(ROOT)(%ebp), %eax
    movl %eax, %cr3
    movl $0xc0000080, %ecx          /* EFER: long mode, and no-execute as the boot CPU has it */
    movl DATA(EFER)(%ebp), %eax
    xorl %edx, %edx
    wrmsr
    movl $0x80010033, %eax          /* CR0: PG WP NE ET MP PE; caches on */
    movl %eax, %cr0
    ljmpl *DATA(FAR64)(%ebp)

    .code64
    .global trampoline_code64
trampoline_code64:
    movl %ebp, %ebp                 /* upper halves are undefined after 32-bit mode */
    movl %esi, %esi
    movq DATA(ENTRY)(%rbp), %rax
    movq DATA(KERNEL_ROOT)(%rbp), %rdx
    movq 8(%rsi), %rdi
    movq 16(%rsi), %rsp
    jmpq *%rax

    .balign 8
    .global trampoline_data
trampoline_data:                    /* the rest of the page, which start.c writes */
    .global trampoline_data_size    /* for linker.ld */
    .set trampoline_data_size, ENTRIES + TRAMPOLINE_ENTRIES * TRAMPOLINE_ENTRY_SIZE

/* In the upper half: the trampoline's tables are left behind. */
    .text
    .global secondary_upper
secondary_upper:
    movq %rdx, %cr3
    xorl %ebp, %ebp
    pushq $0                        /* the outermost frame */
    jmp secondary_enter
