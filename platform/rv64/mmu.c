/*
 * mmu.c: Sv39 page-table entries [RISC-V Privileged Architecture 1.12 §4.4].
 *
 * What is memory and what is a device is decided by the platform's physical memory attributes, not by the
 * page tables; the entry only remembers which was asked for, in a bit that is left to software.
 *
 * boot_early() calls the encoders before translation: no tables of addresses here.
 */
#include "csr.h"
#include "sbi.h"

#include <platform/cpu.h>
#include <platform/ipi.h>
#include <platform/mmu.h>

enum {
    ENTRY_VALID = 1 << 0,
    ENTRY_READ = 1 << 1,
    ENTRY_WRITE = 1 << 2,
    ENTRY_EXECUTE = 1 << 3,
    ENTRY_USER = 1 << 4,
    ENTRY_GLOBAL = 1 << 5,
    ENTRY_ACCESSED = 1 << 6,
    ENTRY_DIRTY = 1 << 7,
    ENTRY_DEVICE = 1 << 8, /* software's: MMU_DEVICE */

    ENTRY_PAGE_SHIFT = 10,
};

#define ENTRY_PAGE_MASK ((UINT64_C(1) << 44) - 1)

/* Accessed and dirty are set from the start: a CPU may trap rather than set them itself, and nobody asks. */
pte mmu_leaf(uint64_t physical, unsigned level, unsigned access)
{
    pte entry = physical >> PAGE_SHIFT << ENTRY_PAGE_SHIFT | ENTRY_VALID | ENTRY_READ | ENTRY_ACCESSED;

    (void)level;
    if ((access & MMU_WRITE) != 0 && (access & MMU_EXECUTE) != 0)
        return 0;
    if ((access & MMU_WRITE) != 0)
        entry |= ENTRY_WRITE | ENTRY_DIRTY;
    if ((access & MMU_EXECUTE) != 0)
        entry |= ENTRY_EXECUTE;
    entry |= (access & MMU_USER) != 0 ? ENTRY_USER : ENTRY_GLOBAL;
    if ((access & MMU_DEVICE) != 0)
        entry |= ENTRY_DEVICE;
    return entry;
}

pte mmu_table(uint64_t physical)
{
    return physical >> PAGE_SHIFT << ENTRY_PAGE_SHIFT | ENTRY_VALID;
}

bool mmu_present(pte entry)
{
    return (entry & ENTRY_VALID) != 0;
}

bool mmu_is_leaf(pte entry, unsigned level)
{
    (void)level;
    return (entry & (ENTRY_READ | ENTRY_EXECUTE)) != 0;
}

uint64_t mmu_physical(pte entry)
{
    return (entry >> ENTRY_PAGE_SHIFT & ENTRY_PAGE_MASK) << PAGE_SHIFT;
}

unsigned mmu_access_of(pte entry)
{
    unsigned access = MMU_READ;

    if ((entry & ENTRY_WRITE) != 0)
        access |= MMU_WRITE;
    if ((entry & ENTRY_EXECUTE) != 0)
        access |= MMU_EXECUTE;
    if ((entry & ENTRY_USER) != 0)
        access |= MMU_USER;
    if ((entry & ENTRY_DEVICE) != 0)
        access |= MMU_DEVICE;
    return access;
}

unsigned mmu_largest_leaf(void)
{
    return 2;
}

uint64_t mmu_kernel_root(void)
{
    return (csr_read(satp) & ENTRY_PAGE_MASK) << PAGE_SHIFT;
}

/* A CPU may remember that an entry was not valid [§4.2.1], so new ones need the fence, too. */
void mmu_entries_written(void)
{
    __asm__ volatile("sfence.vma" ::: "memory");
}

void mmu_flush(uintptr_t virtual_address)
{
    __asm__ volatile("sfence.vma %0, zero" ::"r"(virtual_address) : "memory");
}

void mmu_flush_all(void)
{
    __asm__ volatile("sfence.vma" ::: "memory");
}

/* The harts that run, but this one, of the 64 from `first` on. */
static uint64_t others_from(uint64_t first)
{
    uint64_t mask = 0;

    for (unsigned i = 0; i < cpu_count(); i++)
        if (cpu_at(i) != NULL && cpu_at(i) != cpu_local() && cpu_at(i)->hardware_id - first < 64)
            mask |= UINT64_C(1) << (cpu_at(i)->hardware_id - first);
    return mask;
}

/* Others may also remember that there was nothing [§4.2.1]. The firmware reaches harts with interrupts off; a call for
 * each 64 of them, when it is the turn of the first. */
bool mmu_synchronise(bool unmapped)
{
    bool done = true;

    for (unsigned i = 0; i < cpu_count() && cpu_count() > 1; i++) {
        uint64_t first = cpu_at(i)->hardware_id / 64 * 64, mask = others_from(first);
        bool again = false;
        for (unsigned before = 0; before < i; before++)
            again |= cpu_at(before)->hardware_id / 64 * 64 == first;
        if (!again && mask != 0)
            done = sbi_fence(first, mask) && done;
    }
    return done || ipi_flush_others() || !unmapped;
}

/* boot.S entered the upper half by way of a page fault: the lower half has been empty from the start. */
void mmu_drop_identity(void)
{
}
