/*
 * boot.h: how platform/ARCH hands the machine to the kernel.
 *
 * boot.S runs wherever the image was loaded. It clears .bss, switches to the boot stack, and calls
 * boot_early() (early.c, position independent, MMU off or identity-mapped), which fills the boot page
 * tables: the kernel image in the upper half with its final permissions (text RX, constants R, data RW, guard
 * page under each stack), and an identity mapping of the page that switches. Then it jumps to
 * kernel_main in the upper half on the boot stack, exceptions already going to trap.S.
 */
#ifndef PLATFORM_BOOT_H
#define PLATFORM_BOOT_H

#include <vmos/machine.h>

enum boot_protocol { BOOT_PVH, BOOT_FDT, BOOT_EFI };

struct boot_info {
    enum boot_protocol protocol;
    uint64_t argument;       /* physical address of the start info, device tree (0 when none) or struct efi_handoff */
    uint64_t boot_cpu;       /* hart ID, MPIDR affinity, APIC ID */
    uint64_t image_physical; /* where the image's first byte lies; page-aligned */
    uint64_t entry_counter;  /* counter_read() at the very first instructions */
    uint8_t entry_level;     /* arm64: exception level at entry; else 0 */
};

/* kernel/main.c */
_Noreturn void kernel_main(const struct boot_info *boot);

/* Every linker.ld defines these, page-aligned but for the border of data and bss, in the upper half, in this order.
 * image_start is linked at IMAGE_BASE (arch.h); the page before it is the file's header and not part of the image.
 * Between stack_guard and stack_top: the boot CPU's stack above one unmapped page. exception_guard is another such
 * page, or nothing. */
extern char image_start[], text_start[], text_end[], rodata_start[], rodata_end[], data_start[], data_end[],
    bss_start[], bss_end[], image_end[];
/* The end of text and the beginning of rodata: code that runs only while the machine is being learned. */
extern char boot_code_start[], boot_code_end[];
/* Within bss: what that code writes to. */
extern char boot_bss_start[], boot_bss_end[];
extern char boot_stack_guard[], boot_stack_bottom[], boot_stack_top[], boot_exception_guard[],
    boot_exception_guard_end[];

/* The embedded initial ramdisk, inside rodata; its size is initrd_embedded_end - initrd_embedded. */
extern const char initrd_embedded[], initrd_embedded_end[];

#endif
