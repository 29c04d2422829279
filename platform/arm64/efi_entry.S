/*
 * efi_entry.S: where EFI firmware enters, and where the stub leaves firmware for good. The header of the EFI
 * application is that of the Image, boot.S.
 *
 * Firmware calls at EL1 or EL2, MMU and caches on, everything mapped onto itself [UEFI 2.10 §2.3.6].
 */
#include <system.h>

    .section .boot.text.efi, "ax"   /* BOOT_CODE in the Makefile */
    .global efi_entry
efi_entry:                          /* x0 = image handle, x1 = system table */
    mrs x2, cntvct_el0
    b efi_main

/* efi_leave(handoff, counter, hart). boot.S wants the MMU off: so what firmware's loader wrote by way of the caches has
 * to be in memory before that, and the stack is not used again. */
    .global efi_leave
efi_leave:
    msr daifset, #15
    mov x19, x0
    mov x20, x1
    mov x22, #2                     /* BOOT_EFI */

    adrp x0, image_start
    adrp x1, image_end
    mrs x2, ctr_el0
    ubfx x2, x2, #16, #4            /* DminLine: log2 of words */
    mov x3, #4
    lsl x3, x3, x2
1:  dc civac, x0
    add x0, x0, x3
    cmp x0, x1
    b.lo 1b
    dsb sy

    ldr x3, =SCTLR_MMU | SCTLR_CACHE | SCTLR_CODE_CACHE
    mrs x0, CurrentEL
    cmp x0, #2 << 2
    b.eq 2f
    mrs x0, sctlr_el1
    bic x0, x0, x3
    msr sctlr_el1, x0
    b 3f
2:  mrs x0, sctlr_el2
    bic x0, x0, x3
    msr sctlr_el2, x0
3:  isb
    ic iallu
    dsb sy
    isb
    b boot_start
    .ltorg
