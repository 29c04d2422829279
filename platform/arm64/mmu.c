/*
 * mmu.c: page-table entries for 4 KiB pages and 48 bits [Arm ARM DDI 0487 §D8.3], and the caches that hold them.
 *
 * boot_early() calls the encoders before there is translation.
 */
#include "local.h"

#include <lib/bytes.h>
#include <platform/mmu.h>

enum {
    ENTRY_VALID = 1 << 0,
    ENTRY_TABLE = 1 << 1,  /* at the last level: a page */
    ENTRY_DEVICE = 1 << 2, /* AttrIndx 1 of MAIR_KERNEL */
    ENTRY_USER = 1 << 6,
    ENTRY_READ_ONLY = 1 << 7,
    ENTRY_INNER_SHAREABLE = 3 << 8,
    ENTRY_ACCESSED = 1 << 10,
    ENTRY_NOT_GLOBAL = 1 << 11,
};

#define ENTRY_KERNEL_NEVER_EXECUTES (UINT64_C(1) << 53)
#define ENTRY_USER_NEVER_EXECUTES   (UINT64_C(1) << 54)
#define ENTRY_ADDRESS               UINT64_C(0x0000fffffffff000)

/* Accessed from the start: nobody asks for it, and a CPU may trap rather than set it itself. */
pte mmu_leaf(uint64_t physical, unsigned level, unsigned access)
{
    pte entry = (physical & ENTRY_ADDRESS) | ENTRY_VALID | ENTRY_ACCESSED;
    bool user = (access & MMU_USER) != 0, execute = (access & MMU_EXECUTE) != 0;

    if ((access & MMU_WRITE) != 0 && execute)
        return 0;
    if (level == 0)
        entry |= ENTRY_TABLE;
    if ((access & MMU_WRITE) == 0)
        entry |= ENTRY_READ_ONLY;
    if (user)
        entry |= ENTRY_USER | ENTRY_NOT_GLOBAL;
    if (!execute || user)
        entry |= ENTRY_KERNEL_NEVER_EXECUTES;
    if (!execute || !user)
        entry |= ENTRY_USER_NEVER_EXECUTES;
    entry |= (access & MMU_DEVICE) != 0 ? ENTRY_DEVICE : ENTRY_INNER_SHAREABLE;
    return entry;
}

pte mmu_table(uint64_t physical)
{
    return (physical & ENTRY_ADDRESS) | ENTRY_VALID | ENTRY_TABLE;
}

bool mmu_present(pte entry)
{
    return (entry & ENTRY_VALID) != 0;
}

bool mmu_is_leaf(pte entry, unsigned level)
{
    return level == 0 || (entry & ENTRY_TABLE) == 0;
}

uint64_t mmu_physical(pte entry)
{
    return entry & ENTRY_ADDRESS;
}

unsigned mmu_access_of(pte entry)
{
    bool user = (entry & ENTRY_USER) != 0;
    unsigned access = user ? MMU_USER : MMU_READ;

    if ((entry & ENTRY_READ_ONLY) == 0)
        access |= MMU_WRITE;
    if ((entry & (user ? ENTRY_USER_NEVER_EXECUTES : ENTRY_KERNEL_NEVER_EXECUTES)) == 0)
        access |= MMU_EXECUTE;
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
    return system_read(ttbr1_el1) & ENTRY_ADDRESS;
}

void mmu_entries_written(void)
{
    __asm__ volatile("dsb ishst\n\tisb" ::: "memory");
}

/* On all CPUs: the hardware tells the others. */
void mmu_flush(uintptr_t virtual_address)
{
    uint64_t operand = virtual_address >> PAGE_SHIFT & ((UINT64_C(1) << 44) - 1);

    __asm__ volatile("dsb ishst\n\ttlbi vaae1is, %0\n\tdsb ish\n\tisb" ::"r"(operand) : "memory");
}

void mmu_flush_all(void)
{
    __asm__ volatile("dsb ishst\n\ttlbi vmalle1\n\tdsb nsh\n\tisb" ::: "memory");
}

/* mmu_flush and mmu_entries_written have done it. */
bool mmu_synchronise(bool unmapped)
{
    (void)unmapped;
    return true;
}

/* boot.S has switched the lower half off as soon as it had left it: its tables lay in the boot stack. */
void mmu_drop_identity(void)
{
}

void cache_clean(const void *start, size_t size)
{
    uint64_t line = UINT64_C(4) << (system_read(ctr_el0) >> 16 & 15); /* DminLine */

    for (uint64_t at = align_down((uintptr_t)start, line); at < (uintptr_t)start + size; at += line)
        __asm__ volatile("dc cvac, %0" ::"r"(at) : "memory");
    __asm__ volatile("dsb sy" ::: "memory");
}
