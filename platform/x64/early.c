/*
 * early.c: fills the boot page tables.
 *
 * Everything here runs where the image was loaded, mapped onto itself: the addresses of symbols are physical
 * ones, computed from the program counter, and no table of addresses may be used (arch.mk switches jump tables
 * off).
 */
#include "local.h"

enum { TABLE_ENTRIES = 512, TABLE_BITS = 9 };

struct boot_info boot_information;

static unsigned access_of(const char *page)
{
    if (page >= text_start && page < text_end)
        return MMU_READ | MMU_EXECUTE;
    if (page >= rodata_start && page < rodata_end)
        return MMU_READ;
    return MMU_READ | MMU_WRITE;
}

static unsigned index_of(unsigned level)
{
    return (unsigned)(IMAGE_BASE >> (PAGE_SHIFT + level * TABLE_BITS)) % TABLE_ENTRIES;
}

void boot_early(uint32_t start_info, uint64_t entry_counter)
{
    pte *root = boot_tables, *upper = root + TABLE_ENTRIES, *middle = upper + TABLE_ENTRIES;
    pte *leaves = middle + TABLE_ENTRIES;
    size_t pages = (size_t)(image_end - image_start) / PAGE_SIZE;

    mmu_detect();
    for (size_t i = 0; i < pages; i++) {
        const char *page = image_start + i * PAGE_SIZE;
        if (page != boot_stack_guard)
            leaves[i] = mmu_leaf((uintptr_t)page, 0, access_of(page));
    }
    for (size_t i = 0; i * TABLE_ENTRIES < pages; i++)
        middle[index_of(1) + i] = mmu_table((uintptr_t)(leaves + i * TABLE_ENTRIES));
    upper[index_of(2)] = mmu_table((uintptr_t)middle);
    root[index_of(3)] = mmu_table((uintptr_t)upper);

    boot_information = (struct boot_info){
        .protocol = BOOT_PVH,
        .argument = start_info,
        .boot_cpu = cpu_apic_id(),
        .image_physical = (uintptr_t)image_start,
        .entry_counter = entry_counter,
    };
}
