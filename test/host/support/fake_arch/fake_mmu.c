/* fake_mmu.c: entries of a processor that does not exist: valid, leaf, four bits of access, 40 bits of page number. */
#include "fake_mmu.h"

enum { ENTRY_VALID = 1 << 0, ENTRY_LEAF = 1 << 1, ENTRY_ACCESS_SHIFT = 2 };

#define ENTRY_PHYSICAL (((UINT64_C(1) << 40) - 1) << PAGE_SHIFT)

unsigned fake_largest_leaf = 2;
uint64_t fake_root;
unsigned fake_pages_flushed, fake_synchronised;
bool fake_deaf;
bool fake_identity_dropped;

pte mmu_leaf(uint64_t physical, unsigned level, unsigned access)
{
    if ((access & MMU_WRITE) != 0 && (access & MMU_EXECUTE) != 0)
        return 0;
    return (physical & ENTRY_PHYSICAL) | ENTRY_VALID | (level != 0 ? ENTRY_LEAF : 0) | access << ENTRY_ACCESS_SHIFT;
}

pte mmu_table(uint64_t physical)
{
    return physical | ENTRY_VALID;
}

bool mmu_present(pte entry)
{
    return (entry & ENTRY_VALID) != 0;
}

bool mmu_is_leaf(pte entry, unsigned level)
{
    return level == 0 || (entry & ENTRY_LEAF) != 0;
}

uint64_t mmu_physical(pte entry)
{
    return entry & ENTRY_PHYSICAL;
}

unsigned mmu_access_of(pte entry)
{
    return entry >> ENTRY_ACCESS_SHIFT & 15;
}

unsigned mmu_largest_leaf(void)
{
    return fake_largest_leaf;
}

uint64_t mmu_kernel_root(void)
{
    return fake_root;
}

void mmu_entries_written(void)
{
}

void mmu_flush(uintptr_t virtual_address)
{
    (void)virtual_address;
    fake_pages_flushed++;
}

void mmu_flush_all(void)
{
}

void mmu_drop_identity(void)
{
    fake_identity_dropped = true;
}

bool mmu_synchronise(bool unmapped)
{
    fake_synchronised += unmapped;
    return !fake_deaf;
}
