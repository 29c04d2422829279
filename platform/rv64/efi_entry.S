/*
 * efi_entry.S: where EFI firmware enters, and where the stub leaves firmware for good. The header of the EFI
 * application is that of the Image, boot.S.
 *
 * Firmware calls in S-mode, with translation off or everything mapped onto itself [UEFI 2.10 §2.3.7].
 */
#include <csr.h>

    .section .boot.text.efi, "ax"   /* BOOT_CODE in the Makefile */
    .global efi_entry
efi_entry:                          /* a0 = image handle, a1 = system table */
    rdtime a2
    tail efi_main

/* efi_leave(handoff, counter, hart) */
    .global efi_leave
efi_leave:
    csrci sstatus, SSTATUS_SIE
    csrw satp, zero                 /* boot.S lies in the page that firmware may not let run */
    sfence.vma
    fence.i
    mv s0, a2
    mv s1, a0
    mv s2, a1
    li s3, 2                        /* BOOT_EFI */
    tail boot_start
