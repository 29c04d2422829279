/*
 * boot.S: from firmware to kernel_main.
 *
 * The SBI firmware enters here on one hart, in S-mode, MMU off: a0 = hart ID, a1 = device tree. With several
 * harts it is a lottery which; the others stay stopped in the firmware until they are asked for [SBI 1.0 §9].
 * EFI firmware enters at efi_entry (efi_entry.S), which comes here at the end, a0 and a1 as above but for the handoff
 * in the tree's place.
 * image_start is wherever the image was loaded, 4 KiB aligned (2 MiB when loaded as an Image).
 */
#include <csr.h>
#include <platform/efi_header.h>

/* The header of a RISC-V Image [Linux Documentation/arch/riscv/boot-image-header.rst]. The first instruction is
 * harmless; its bytes read "MZ", which is what EFI firmware wants to see there. */
    .section .head, "ax"
    .global image_entry
image_entry:
    .option push
    .option rvc
    c.li s4, -13
    .option pop
    j start
    .balign 8, 0
    .dword 0x200000                 /* where to load it, from the beginning of memory */
    .dword image_end - header_start
    .dword 0                        /* little-endian */
    .word 2                         /* header version 0.2 */
    .word 0
    .dword 0
    .ascii "RISCV\0\0\0"
    .ascii "RSC\x05"
    .word EFI_HEADER_OFFSET
    efi_header 0x5064

    .section .text.boot, "ax"
start:
    rdtime s2
    li s3, 1                        /* BOOT_FDT */
    mv s0, a0
    mv s1, a1

    /* s0 = hart, s1 = argument, s2 = counter at entry, s3 = protocol. */
    .global boot_start
boot_start:
    csrw sie, zero
    li t0, SSTATUS_SIE | SSTATUS_VS | SSTATUS_FS | SSTATUS_SUM | SSTATUS_MXR
    csrc sstatus, t0
    csrw satp, zero                 /* a loader may have left its own translation on; then it is an identity */
    lla t0, stopped
    csrw stvec, t0

    lla t0, bss_start               /* both ends are page-aligned */
    lla t1, bss_end
1:  sd zero, 0(t0)
    sd zero, 8(t0)
    sd zero, 16(t0)
    sd zero, 24(t0)
    sd zero, 32(t0)
    sd zero, 40(t0)
    sd zero, 48(t0)
    sd zero, 56(t0)
    addi t0, t0, 64
    bltu t0, t1, 1b

    lla sp, boot_stack_top
    mv a0, s0
    mv a1, s1
    mv a2, s2
    mv a3, s3
    mv s0, zero
    call boot_early                 /* a0 = satp */

    /* Nothing maps the code that switches: the fetch after satp is written faults, and the vector leads to where
     * the same code lies in the upper half. So there is no identity mapping to drop later. */
    lla t0, image_start
    ld t1, linked_at
    sub t1, t1, t0
    lla t0, upper
    add t0, t0, t1
    csrw stvec, t0
    sfence.vma
    csrw satp, a0
    j no_paging                     /* reached when satp ignores a mode that this CPU does not have */

    .balign 4
upper:
    add sp, sp, t1
    lla tp, boot_local
    lla t0, trap_entry
    csrw stvec, t0
    lla a0, boot_information
    mv ra, zero                     /* the outermost frame: backtraces end here */
    tail kernel_main

/* There is no console but the firmware's yet [SBI 1.0 §5.2, §5.9]. */
no_paging:
    lla s1, no_paging_text
1:  lbu a0, 0(s1)
    beqz a0, 2f
    li a7, 1
    ecall
    addi s1, s1, 1
    j 1b
2:  li a7, 8
    ecall

    .balign 4
stopped:
    wfi
    j stopped

    .section .rodata.boot, "a"
    .balign 8
linked_at:
    .dword image_start              /* where it is linked, which is not where lla finds it yet */
no_paging_text:
    .asciz "vmos: this CPU has no Sv39 paging, which vmos needs\r\n"
