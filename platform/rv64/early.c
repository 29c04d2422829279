/*
 * early.c: fills the boot page tables, before there is translation.
 *
 * Everything here runs where the image was loaded: the addresses of symbols are physical ones, computed from
 * the program counter, and no table of addresses may be used (arch.mk switches jump tables off).
 */
#include "local.h"

#include <platform/boot.h>
#include <platform/mmu.h>

extern pte boot_tables[]; /* linker.ld */

struct boot_info boot_information;

enum { TABLE_ENTRIES = 512 };

static unsigned access_of(const char *page)
{
    if (page >= text_start && page < text_end)
        return MMU_READ | MMU_EXECUTE;
    if (page >= rodata_start && page < rodata_end)
        return MMU_READ;
    return MMU_READ | MMU_WRITE;
}

/* Gives the value for satp. */
uint64_t boot_early(uint64_t hart, uint64_t tree, uint64_t counter)
{
    pte *root = boot_tables, *middle = root + TABLE_ENTRIES, *leaves = middle + TABLE_ENTRIES;
    size_t image_size = (size_t)(image_end - image_start);
    size_t leaf_tables = (image_size + TABLE_ENTRIES * PAGE_SIZE - 1) / (TABLE_ENTRIES * PAGE_SIZE);

    for (size_t i = 0; i < image_size / PAGE_SIZE; i++) {
        const char *page = image_start + i * PAGE_SIZE;
        if (page != boot_stack_guard)
            leaves[i] = mmu_leaf((uintptr_t)page, 0, access_of(page));
    }
    for (size_t i = 0; i < leaf_tables; i++)
        middle[i] = mmu_table((uintptr_t)(leaves + i * TABLE_ENTRIES));
    root[(IMAGE_BASE >> 30) % TABLE_ENTRIES] = mmu_table((uintptr_t)middle);

    boot_information = (struct boot_info){
        .protocol = BOOT_FDT,
        .argument = tree,
        .boot_cpu = hart,
        .image_physical = (uintptr_t)image_start,
        .entry_counter = counter,
    };
    return (uint64_t)SATP_SV39 << SATP_MODE_SHIFT | (uintptr_t)root >> PAGE_SHIFT;
}
