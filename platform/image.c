/*
 * image.c: the boot page tables: the kernel image in the upper half, each page with its final permissions.
 *
 * boot_early() calls this before there is translation: the addresses of symbols are physical ones, computed from the
 * program counter, and no table of addresses may be used.
 */
#include <platform/boot.h>
#include <platform/mmu.h>

enum { TABLE_BITS = 9, TABLE_ENTRIES = 1 << TABLE_BITS };

static unsigned access_of(const char *page)
{
    if (page >= text_start && page < text_end)
        return MMU_READ | MMU_EXECUTE;
    if (page >= rodata_start && page < rodata_end)
        return MMU_READ;
    return MMU_READ | MMU_WRITE;
}

static size_t index_of(unsigned level)
{
    return (size_t)(IMAGE_BASE >> (PAGE_SHIFT + level * TABLE_BITS)) % TABLE_ENTRIES;
}

void image_map(pte *tables)
{
    size_t pages = (size_t)(image_end - image_start) / PAGE_SIZE;

    for (unsigned level = MMU_LEVELS - 1; level > 1; level--, tables += TABLE_ENTRIES)
        tables[index_of(level)] = mmu_table((uintptr_t)(tables + TABLE_ENTRIES));

    pte *leaves = tables + TABLE_ENTRIES;
    for (size_t i = 0; i < pages; i++) {
        const char *page = image_start + i * PAGE_SIZE;
        if (i % TABLE_ENTRIES == 0)
            tables[index_of(1) + i / TABLE_ENTRIES] = mmu_table((uintptr_t)(leaves + i));
        if (page != boot_stack_guard && page != boot_exception_guard)
            leaves[i] = mmu_leaf((uintptr_t)page, 0, access_of(page));
    }
}
