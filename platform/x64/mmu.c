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
#define PTE_GLOBAL        UINT64_C(0x100) /* kept when CR3 is written, and for every identifier */
#define PTE_NO_EXECUTE    (UINT64_C(1) << 63)
#define PTE_ADDRESS       UINT64_C(0x000ffffffffff000)

static pte no_execute; /* 0 where the CPU has no such bit: there it would be a reserved one */
static bool gib_pages;
static bool identifiers, five_levels; /* process-context identifiers; the boot CPU's fifth level */

#define CR3_KEEP (UINT64_C(1) << 63) /* what is remembered for this identifier stays */
enum { CR4_GLOBAL = 1 << 7, CR4_FIVE_LEVELS = 1 << 12, CR4_IDENTIFIERS = 1 << 17, IDENTIFIERS = 4096 };

static uint64_t read_cr4(void)
{
    uint64_t control;

    __asm__ volatile("mov %%cr4, %0" : "=r"(control));
    return control;
}

static void write_cr4(uint64_t control)
{
    __asm__ volatile("mov %0, %%cr4" ::"r"(control) : "memory");
}

static void write_cr3(uint64_t root)
{
    __asm__ volatile("mov %0, %%cr3" ::"r"(root) : "memory");
}

/* Identifiers are used where one can be flushed by itself. */
void mmu_detect(void)
{
    five_levels = (read_cr4() & CR4_FIVE_LEVELS) != 0;
    identifiers = cpu_has(FEATURE_PCID) && cpu_has(FEATURE_INVPCID) && !five_levels;
    no_execute = cpu_has(FEATURE_NX) ? PTE_NO_EXECUTE : 0;
    gib_pages = cpu_has(FEATURE_GIB_PAGES);
}

uint64_t mmu_control(void)
{
    return (cpu_has(FEATURE_GLOBAL_PAGES) ? CR4_GLOBAL : 0) | (identifiers ? CR4_IDENTIFIERS : 0);
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
    else
        entry |= PTE_GLOBAL;
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

enum invalidation { INVALIDATE_IDENTIFIER = 1, INVALIDATE_ALL = 2 }; /* [Intel SDM 2A, INVPCID] */

static void invalidate(enum invalidation kind, uint64_t identifier)
{
    struct {
        uint64_t identifier, address;
    } which = {identifier, 0};

    __asm__ volatile("invpcid %0, %1" ::"m"(which), "r"((uint64_t)kind) : "memory");
}

/* All but global pages, of the identifier in use. */
static void flush_own(void)
{
    uint64_t root;

    __asm__ volatile("mov %%cr3, %0; mov %0, %%cr3" : "=r"(root)::"memory");
}

/* Every change of CR4.PGE drops everything. */
void mmu_flush_all(void)
{
    uint64_t control = read_cr4();

    if (identifiers) {
        invalidate(INVALIDATE_ALL, 0);
    } else if ((control & CR4_GLOBAL) != 0) {
        write_cr4(control & ~(uint64_t)CR4_GLOBAL);
        write_cr4(control);
    } else {
        flush_own();
    }
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

/* ---- Spaces: contract in user.h ------------------------------------------------------------------------- */

unsigned mmu_identifier_count(void)
{
    return identifiers ? IDENTIFIERS : 1;
}

void mmu_space_init(uint64_t root)
{
    vm_copy_kernel_half(physical_to_virtual(root));
}

/* On five levels, which only the boot CPU can be on, the user half is what the first entry of the fifth leads to. */
void mmu_space_activate(uint64_t root, unsigned identifier)
{
    if (five_levels && (read_cr4() & CR4_FIVE_LEVELS) != 0) {
        boot_fifth_level[0] = root != 0 ? mmu_table(root) : 0;
        flush_own();
        return;
    }
    if (root == 0)
        write_cr3(mmu_kernel_root());
    else
        write_cr3(root | identifier | (identifier != 0 ? CR3_KEEP : 0));
}

bool mmu_space_flush(unsigned identifier, uint64_t cpus)
{
    if (identifiers)
        invalidate(INVALIDATE_IDENTIFIER, identifier);
    else
        flush_own();
    return ipi_flush(cpus);
}

/* Instruction caches see stores. */
void mmu_code_written(void *start, size_t size)
{
    (void)start;
    (void)size;
}
