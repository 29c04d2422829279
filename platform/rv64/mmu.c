/*
 * mmu.c: Sv39 page-table entries [RISC-V Privileged Architecture 1.12 §4.4].
 *
 * What is memory and what is a device is decided by the platform's physical memory attributes, not by the
 * page tables; the entry only remembers which was asked for, in a bit that is left to software.
 *
 * boot_early() calls the encoders before translation: no tables of addresses here.
 */
#include "local.h"
#include "sbi.h"

#include <lib/log.h>
#include <platform/ipi.h>
#include <platform/mmu.h>
#include <platform/user.h>

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

static uint64_t active_root(void)
{
    return (csr_read(satp) & ENTRY_PAGE_MASK) << PAGE_SHIFT;
}

/* First called before there is any other. */
uint64_t mmu_kernel_root(void)
{
    static uint64_t root;

    if (root == 0)
        root = active_root();
    return root;
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

/* What was fetched as code too: a CPU that another one could not reach through the firmware is told by ipi.c. */
void mmu_flush_all(void)
{
    __asm__ volatile("sfence.vma\n\tfence.i" ::: "memory");
}

/* Those of `cpus` that run, but this one, of the 64 harts from `first` on. */
static uint64_t others_from(uint64_t cpus, uint64_t first)
{
    uint64_t mask = 0;

    for (unsigned i = 0; i < cpu_count(); i++)
        if ((cpus >> i & 1) != 0 && cpu_at(i) != NULL && cpu_at(i) != cpu_local() &&
            cpu_at(i)->hardware_id - first < 64)
            mask |= UINT64_C(1) << (cpu_at(i)->hardware_id - first);
    return mask;
}

/* The firmware reaches harts with interrupts off; a call for each 64 of them, when it is the turn of the first. */
static bool fence_others(enum sbi_fence kind, uint64_t cpus, unsigned identifier)
{
    bool done = true;

    for (unsigned i = 0; i < cpu_count() && cpu_count() > 1; i++) {
        uint64_t first = cpu_at(i)->hardware_id / 64 * 64, mask = others_from(cpus, first);
        bool again = false;
        for (unsigned before = 0; before < i; before++)
            again |= cpu_at(before)->hardware_id / 64 * 64 == first;
        if (!again && mask != 0)
            done = sbi_fence(kind, first, mask, identifier) && done;
    }
    return done;
}

/* Others may also remember that there was nothing [§4.2.1]. */
bool mmu_synchronise(bool unmapped)
{
    return fence_others(SBI_FENCE_TRANSLATIONS, UINT64_MAX, 0) || ipi_flush_others() || !unmapped;
}

/* boot.S entered the upper half by way of a page fault: the lower half has been empty from the start. */
void mmu_drop_identity(void)
{
}

/* ---- Spaces ------------------------------------------------------------------------------------------------------ */

/* The kernel runs with identifier 0; its own pages are global and belong to none. A space's top table has both halves:
 * the user's, and a copy of the kernel's entries. */

static uint64_t satp_of(uint64_t root, unsigned identifier)
{
    return (uint64_t)SATP_SV39 << SATP_MODE_SHIFT | (uint64_t)identifier << SATP_ASID_SHIFT | root >> PAGE_SHIFT;
}

/* Bits that the CPU does not have read as zero [§4.1.11]; those that it has are the lowest. */
unsigned mmu_identifier_count(void)
{
    static unsigned count;

    if (count == 0) {
        uintptr_t saved = cpu_interrupts_disable();
        uint64_t before = csr_read(satp);
        csr_write(satp, before | ((UINT64_C(1) << SATP_ASID_BITS) - 1) << SATP_ASID_SHIFT);
        count = (unsigned)(csr_swap(satp, before) >> SATP_ASID_SHIFT & ((1u << SATP_ASID_BITS) - 1)) + 1;
        mmu_flush_all(); /* what was remembered meanwhile, by an identifier that will be somebody's */
        cpu_interrupts_restore(saved);
    }
    return count;
}

void mmu_space_init(uint64_t root)
{
    vm_copy_kernel_half(physical_to_virtual(root));
}

/* Of the identifier's entries, none of them global. In a register even if it is 0: x0 would mean all of them. */
static void flush_identifier(unsigned identifier)
{
    __asm__ volatile("mv t0, %0\n\tsfence.vma zero, t0" ::"r"((uint64_t)identifier) : "t0", "memory");
}

void mmu_space_activate(uint64_t root, unsigned identifier)
{
    csr_write(satp, satp_of(root != 0 ? root : mmu_kernel_root(), root != 0 ? identifier : 0));
    if (root == 0 || identifier == 0)
        flush_identifier(0);
}

bool mmu_space_flush(unsigned identifier, uint64_t cpus)
{
    flush_identifier(identifier);
    return fence_others(SBI_FENCE_SPACE, cpus, identifier) || ipi_flush(cpus);
}

/* The kernel's own top table is not in the physmap, and has nothing below USER_TOP. */
bool mmu_space_lookup(uintptr_t address, unsigned *access)
{
    struct page_table table = {.root = active_root(), .table_at = physical_to_virtual};

    return address < USER_TOP && table.root != mmu_kernel_root() && page_lookup(&table, address, NULL, access);
}

void mmu_code_written(void *start, size_t size)
{
    (void)start;
    (void)size;
    __asm__ volatile("fence rw, rw\n\tfence.i" ::: "memory");
    if (!fence_others(SBI_FENCE_CODE, UINT64_MAX, 0) && !ipi_flush_others())
        log_error("mmu", "not every CPU was told of new code; it may run what lay there before");
}
