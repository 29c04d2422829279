/*
 * early.c: fills the boot page tables.
 *
 * Everything here runs where the image was loaded, mapped onto itself: the addresses of symbols are physical
 * ones, computed from the program counter, and no table of addresses may be used (arch.mk switches jump tables
 * off).
 */
#include "local.h"

struct boot_info boot_information;

void boot_early(uint32_t start_info, uint64_t entry_counter)
{
    mmu_detect();
    image_map(boot_tables);
    boot_information = (struct boot_info){
        .protocol = BOOT_PVH,
        .argument = start_info,
        .boot_cpu = cpu_apic_id(),
        .image_physical = (uintptr_t)image_start,
        .entry_counter = entry_counter,
    };
}
