/*
 * boot.S: from wherever the loader put the image to kernel_main() in the upper half.
 *
 * One image serves three ways. QEMU's -kernel takes the ELF: x0 is 0 and the device tree lies at the start of memory.
 * Boot loaders take the flat binary: x0 is the device tree [Linux, Documentation/arch/arm64/booting.rst]. EFI firmware
 * takes the flat binary, too, and enters at efi_entry (efi_entry.S), which comes here at the end. Each way the MMU
 * is off, at EL1 or EL2.
 */
#include <platform/efi_header.h>
#include <system.h>

    .section .head, "ax"
    .global image_header
image_header:
    .inst 0xfa405a4d                /* ccmp x18, #0, #13, pl: does no harm, and its bytes begin with "MZ" */
    b entry
    .quad 0                         /* text_offset: any 2 MiB boundary */
    .quad image_size                /* with .bss */
    .quad 0xa                       /* little-endian, 4 KiB pages, anywhere in memory */
    .quad 0, 0, 0
    .ascii "ARM\x64"
    .long EFI_HEADER_OFFSET
    efi_header 0xaa64

    .section .text.boot, "ax"
entry:
    mrs x20, cntvct_el0
    mov x19, x0
    mov x22, #1                     /* BOOT_FDT */

    /* x19 = argument, x20 = counter at entry, x22 = protocol. */
    .global boot_start
boot_start:
    msr daifset, #15
    mrs x21, CurrentEL
    lsr x21, x21, #2
    cmp x21, #2
    b.hi park                       /* EL3: no firmware below us, and none of its duties taken up */
    adr x30, at_el1

    /* Goes on at x30, at EL1. From EL2 it hands everything to EL1 and leaves nothing that traps. */
    .global enter_el1
enter_el1:
    mrs x0, CurrentEL
    cmp x0, #2 << 2
    b.lo 4f
    /* RW: EL1 is AArch64. HCD: there is nobody to call. APK, API: pointer authentication is EL1's to switch; one
     * instruction of it, which user mode may use at any time, would come to where there are no vectors. */
    ldr x0, =1 << 31 | 1 << 29 | 1 << 41 | 1 << 40
    msr hcr_el2, x0
    isb
    mrs x0, cnthctl_el2
    orr x0, x0, #3
    msr cnthctl_el2, x0
    msr cntvoff_el2, xzr
    mov x0, #0x33ff
    msr cptr_el2, x0
    msr hstr_el2, xzr
    msr vttbr_el2, xzr
    mrs x0, midr_el1
    msr vpidr_el2, x0
    mrs x0, mpidr_el1
    msr vmpidr_el2, x0

    mrs x0, id_aa64dfr0_el1         /* PMUVer: all counters are EL1's */
    ubfx x1, x0, #8, #4
    cbz x1, 1f
    cmp x1, #15
    b.eq 1f
    mrs x0, pmcr_el0
    ubfx x0, x0, #11, #5
    msr mdcr_el2, x0
1:
    mrs x0, id_aa64mmfr0_el1        /* FGT: no fine-grained traps */
    ubfx x0, x0, #56, #4
    cbz x0, 2f
    msr S3_4_C1_C1_4, xzr           /* HFGRTR_EL2 */
    msr S3_4_C1_C1_5, xzr           /* HFGWTR_EL2 */
    msr S3_4_C1_C1_6, xzr           /* HFGITR_EL2 */
    msr S3_4_C3_C1_4, xzr           /* HDFGRTR_EL2 */
    msr S3_4_C3_C1_5, xzr           /* HDFGWTR_EL2 */
2:
    mrs x0, id_aa64pfr0_el1         /* GIC: its system registers are EL1's */
    ubfx x0, x0, #24, #4
    cbz x0, 3f
    mrs x0, S3_4_C12_C9_5           /* ICC_SRE_EL2 */
    orr x0, x0, #1                  /* SRE */
    orr x0, x0, #8                  /* Enable */
    msr S3_4_C12_C9_5, x0
    isb
    msr S3_4_C12_C11_0, xzr         /* ICH_HCR_EL2 */
3:
    mov x0, #0x3c5                  /* EL1 with its own stack pointer, everything masked */
    msr spsr_el2, x0
    msr elr_el2, x30
    ldr x0, =SCTLR_RESERVED | SCTLR_SPAN
    msr sctlr_el1, x0
    isb
    eret
4:  ret

at_el1:
    ldr x0, =SCTLR_RESERVED | SCTLR_SPAN
    msr sctlr_el1, x0
    isb
    msr spsel, #1

    /* .bss is written with the cache off. Lines that the loader left dirty there would later be written over it;
     * lines that are fetched meanwhile would later hide it. So it is flushed before and invalidated after. */
    adr x0, bss_start
    adrp x1, bss_end
    bl flush
1:  stp xzr, xzr, [x0], #16
    stp xzr, xzr, [x0], #16
    cmp x0, x1
    b.lo 1b

    adrp x0, boot_stack_top
    mov sp, x0
    mov x29, xzr
    mov x30, xzr
    mov x0, x19
    mov x1, x20
    mov x2, x21
    mov x3, x22
    bl boot_early

    adr x0, bss_start
    adrp x1, bss_end
    bl flush

    ldr x8, =boot_stack_top
    ldr x9, =boot_local
    ldr x10, =kernel_main
    ldr x11, =boot_information

    /* To the function x10 with the argument x11, on the stack x8, the CPU's own data at x9. */
    .global enter_upper_half
enter_upper_half:
    adrp x0, boot_translation
    add x0, x0, :lo12:boot_translation
    ldp x1, x2, [x0]
    ldr x3, [x0, #16]
    ldr x4, =MAIR_KERNEL
    ldr x5, =SCTLR_KERNEL
    mrs x6, id_aa64mmfr1_el1        /* PAN */
    ubfx x6, x6, #20, #4
    cbnz x6, 2f
    orr x5, x5, #SCTLR_SPAN
2:
    ldr x6, =upper_half
    ldr x7, =trap_vectors
    b boot_switch

/* x0 to x1: out of the data caches. Leaves x0 and x1 alone. */
flush:
    mrs x2, ctr_el0
    ubfx x2, x2, #16, #4            /* DminLine: log2 of words */
    mov x3, #4
    lsl x3, x3, x2
    mov x2, x0
1:  dc civac, x2
    add x2, x2, x3
    cmp x2, x1
    b.lo 1b
    dsb sy
    ret

park:
    wfi
    b park

    /* Translation goes on here, in one page that is mapped where it lies. Everything it needs is in registers. */
    .balign 128
    .global boot_switch
boot_switch:
    msr mair_el1, x4
    msr tcr_el1, x3
    msr ttbr1_el1, x1
    msr ttbr0_el1, x2
    msr vbar_el1, x7
    msr tpidr_el1, x9
    dsb sy
    ic iallu
    tlbi vmalle1
    dsb sy
    isb
    msr sctlr_el1, x5
    isb
    br x6
    .if . - boot_switch > 128
    .error "boot_switch must not cross a page"
    .endif

/* In the upper half, and the lower is not needed again: the boot CPU's tables lie in its stack (early.c). */
upper_half:
    orr x3, x3, #TCR_LOWER_OFF
    msr tcr_el1, x3
    msr ttbr0_el1, xzr
    isb
    tlbi vmalle1
    dsb nsh
    isb
    mov sp, x8
    mov x29, xzr
    mov x30, xzr
    mov x0, x11
    br x10

    .ltorg
