/*
 * mmu.c: page-table entries for 4 KiB pages and 48 bits [Arm ARM DDI 0487 §D8.3], and the caches that hold them.
 *
 * boot_early() calls the encoders before there is translation. The two halves have roots of their own: the kernel's
 * entries are global, users' belong to an ASID, which is in TTBR0_EL1 beside its root.
 */
#include "local.h"

#include <lib/bytes.h>
#include <platform/mmu.h>
#include <platform/user.h>

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

/* ---- Spaces --------------------------------------------------------------------------------------------------------
 */

enum { ASID_SHIFT = 48 };

/* What user addresses lead to while there is no space: nothing. */
static uint64_t empty_root;

void mmu_spaces_init(void)
{
    void *table = pages_allocate(0);

    if (table == NULL)
        panic("no memory for a table of no user addresses");
    empty_root = virtual_to_physical(table);
}

unsigned mmu_identifier_count(void)
{
    return (system_read(tcr_el1) >> TCR_ASID_16_SHIFT & 1) != 0 ? 1u << 16 : 1u << 8;
}

/* The kernel's half has a root of its own. */
void mmu_space_init(uint64_t root)
{
    (void)root;
}

static void drop_identifier_here(unsigned identifier)
{
    __asm__ volatile("dsb nshst\n\ttlbi aside1, %0\n\tdsb nsh\n\tisb" ::"r"((uint64_t)identifier << ASID_SHIFT)
                     : "memory");
}

/* The first time on each CPU: the lower half is off as boot.S has left it. A CPU may remember that, too. */
static void switch_lower_half_on(void)
{
    system_write(tcr_el1, system_read(tcr_el1) & ~(uint64_t)TCR_LOWER_OFF);
    barrier_instructions();
    mmu_flush_all();
}

void mmu_space_activate(uint64_t root, unsigned identifier)
{
    system_write(ttbr0_el1, (root != 0 ? root : empty_root) | (uint64_t)identifier << ASID_SHIFT);
    barrier_instructions();
    if ((system_read(tcr_el1) & TCR_LOWER_OFF) != 0)
        switch_lower_half_on();
    if (identifier == 0)
        drop_identifier_here(0);
}

/* The hardware tells the other CPUs, all of them. */
bool mmu_space_flush(unsigned identifier, uint64_t cpus)
{
    (void)cpus;
    __asm__ volatile("dsb ishst\n\ttlbi aside1is, %0\n\tdsb ish\n\tisb" ::"r"((uint64_t)identifier << ASID_SHIFT)
                     : "memory");
    return true;
}

/* ---- Caches --------------------------------------------------------------------------------------------------------
 */

enum {                     /* CTR_EL0 [Arm ARM §D17.2.34] */
       CTR_DATA_LINE = 16, /* DminLine, log2 of words */
       CTR_DATA_NEEDS_NOTHING = 1 << 28,
       CTR_CODE_NEEDS_NOTHING = 1 << 29,
};

static uint64_t data_line(void)
{
    return UINT64_C(4) << system_field(system_read(ctr_el0), CTR_DATA_LINE);
}

/* All of the code caches, as they may be looked up by addresses that the kernel does not use. It is rare. */
void mmu_code_written(void *start, size_t size)
{
    uint64_t type = system_read(ctr_el0), line = data_line(), at = align_down((uintptr_t)start, line);

    if ((type & CTR_DATA_NEEDS_NOTHING) == 0)
        for (; at < (uintptr_t)start + size; at += line)
            __asm__ volatile("dc cvau, %0" ::"r"(at) : "memory");
    __asm__ volatile("dsb ish" ::: "memory");
    if ((type & CTR_CODE_NEEDS_NOTHING) == 0)
        __asm__ volatile("ic ialluis" ::: "memory");
    __asm__ volatile("dsb ish\n\tisb" ::: "memory");
}

void cache_clean(const void *start, size_t size)
{
    uint64_t line = data_line();

    for (uint64_t at = align_down((uintptr_t)start, line); at < (uintptr_t)start + size; at += line)
        __asm__ volatile("dc cvac, %0" ::"r"(at) : "memory");
    __asm__ volatile("dsb sy" ::: "memory");
}
