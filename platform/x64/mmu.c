/*
 * mmu.c: page-table entries of four-level paging [Intel SDM 3A §4.5], and the TLB.
 *
 * Encoding also runs in early.c, where the image was loaded: no tables of addresses here.
 */
#include "local.h"

#define PTE_PRESENT       UINT64_C(0x1)
#define PTE_WRITE         UINT64_C(0x2)
#define PTE_USER          UINT64_C(0x4)
#define PTE_WRITE_THROUGH UINT64_C(0x8) /* with the next: entry 3 of the PAT, strong uncacheable since reset */
#define PTE_CACHE_DISABLE UINT64_C(0x10)
#define PTE_ACCESSED      UINT64_C(0x20)
#define PTE_DIRTY         UINT64_C(0x40)
#define PTE_LARGE         UINT64_C(0x80)
#define PTE_NO_EXECUTE    (UINT64_C(1) << 63)
#define PTE_ADDRESS       UINT64_C(0x000ffffffffff000)

static pte no_execute; /* 0 where the CPU has no such bit: there it would be a reserved one */
static bool gib_pages;

void mmu_detect(void)
{
    no_execute = cpu_has(FEATURE_NX) ? PTE_NO_EXECUTE : 0;
    gib_pages = cpu_has(FEATURE_GIB_PAGES);
}

pte mmu_leaf(uint64_t physical, unsigned level, unsigned access)
{
    pte entry = (physical & PTE_ADDRESS) | PTE_PRESENT | PTE_ACCESSED;

    if ((access & MMU_WRITE) != 0 && (access & MMU_EXECUTE) != 0)
        return 0;
    if (level > 0)
        entry |= PTE_LARGE;
    if ((access & MMU_WRITE) != 0)
        entry |= PTE_WRITE | PTE_DIRTY;
    if ((access & MMU_EXECUTE) == 0)
        entry |= no_execute;
    if ((access & MMU_USER) != 0)
        entry |= PTE_USER;
    if ((access & MMU_DEVICE) != 0)
        entry |= PTE_WRITE_THROUGH | PTE_CACHE_DISABLE;
    return entry;
}

/* A table restricts nothing: what is allowed stands in the leaves. */
pte mmu_table(uint64_t physical)
{
    return (physical & PTE_ADDRESS) | PTE_PRESENT | PTE_WRITE | PTE_USER | PTE_ACCESSED;
}

bool mmu_present(pte entry)
{
    return (entry & PTE_PRESENT) != 0;
}

bool mmu_is_leaf(pte entry, unsigned level)
{
    return mmu_present(entry) && (level == 0 || (entry & PTE_LARGE) != 0);
}

uint64_t mmu_physical(pte entry)
{
    return entry & PTE_ADDRESS;
}

unsigned mmu_access_of(pte entry)
{
    unsigned access = MMU_READ;

    if ((entry & PTE_WRITE) != 0)
        access |= MMU_WRITE;
    else if ((entry & PTE_NO_EXECUTE) == 0)
        access |= MMU_EXECUTE;
    if ((entry & PTE_USER) != 0)
        access |= MMU_USER;
    if ((entry & PTE_CACHE_DISABLE) != 0)
        access |= MMU_DEVICE;
    return access;
}

unsigned mmu_largest_leaf(void)
{
    return gib_pages ? 2 : 1;
}

uint64_t mmu_kernel_root(void)
{
    return boot_information.image_physical + (uint64_t)((char *)boot_tables - image_start);
}

/* ---- The TLB ---------------------------------------------------------------------------------------- */

/* A missing entry is never cached and stores are seen in order: the compiler is all that must be told. */
void mmu_entries_written(void)
{
    __asm__ volatile("" ::: "memory");
}

void mmu_flush(uintptr_t virtual_address)
{
    __asm__ volatile("invlpg (%0)" ::"r"(virtual_address) : "memory");
}

void mmu_flush_all(void)
{
    uint64_t root;

    __asm__ volatile("mov %%cr3, %0; mov %0, %%cr3" : "=r"(root)::"memory");
}

/* What is new is found by walking the tables; what is gone, others have to be told. */
bool mmu_synchronise(bool unmapped)
{
    return !unmapped || ipi_flush_others();
}

/* boot.S has taken its own away already; a loader's may have had more. */
void mmu_drop_identity(void)
{
    for (unsigned i = 0; i < 256; i++)
        boot_tables[i] = 0;
    mmu_flush_all();
}
