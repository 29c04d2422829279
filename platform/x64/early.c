/*
 * early.c: fills the boot page tables.
 *
 * Everything here runs where the image was loaded, mapped onto itself: the addresses of symbols are physical
 * ones, computed from the program counter, and no table of addresses may be used (arch.mk switches jump tables
 * off).
 */
#include "local.h"

#include <lib/bytes.h>

struct boot_info boot_information;

enum { TABLE_ENTRIES = 512, CR4_FIVE_LEVELS = 1 << 12 };

static size_t index_of(uint64_t address, unsigned level)
{
    return address >> (PAGE_SHIFT + 9 * level) & (TABLE_ENTRIES - 1);
}

/* The 2 MiB around the code that switches to these tables, onto themselves. The two tables lie in the exception stack,
 * as those do that PVH's entry makes; boot.S unlinks either before anybody uses it. */
static void map_switch(void)
{
    uint64_t around = align_down((uintptr_t)boot_switch, UINT64_C(2) << 20);
    pte *tables = (pte *)(void *)boot_exception_stack;

    boot_tables[index_of(around, 3)] = mmu_table((uintptr_t)tables);
    tables[index_of(around, 2)] = mmu_table((uintptr_t)(tables + TABLE_ENTRIES));
    tables[TABLE_ENTRIES + index_of(around, 1)] = mmu_leaf(around, 1, MMU_READ | MMU_EXECUTE);
}

/* Firmware may run on five levels, which only 32-bit code could switch off again. Seen from there our four lie below
 * the last entry of the fifth, at the same addresses; boot.S removes the first. */
static uint64_t root(void)
{
    uint64_t control;

    __asm__("mov %%cr4, %0" : "=r"(control));
    if ((control & CR4_FIVE_LEVELS) == 0)
        return (uintptr_t)boot_tables;
    boot_fifth_level[0] = boot_fifth_level[TABLE_ENTRIES - 1] = mmu_table((uintptr_t)boot_tables);
    return (uintptr_t)boot_fifth_level;
}

/* Gives the value for CR3. */
uint64_t boot_early(uint64_t argument, uint64_t entry_counter, enum boot_protocol protocol)
{
    mmu_detect();
    image_map(boot_tables);
    if (protocol == BOOT_EFI) /* PVH's entry has made its own, and runs on it */
        map_switch();
    boot_information = (struct boot_info){
        .protocol = protocol,
        .argument = argument,
        .boot_cpu = cpu_apic_id(),
        .image_physical = (uintptr_t)image_start,
        .entry_counter = entry_counter,
    };
    return root();
}
