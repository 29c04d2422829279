/*
 * mmu.h: page tables.
 *
 * The walker (platform/pagetable.c) is one for all CPUs: radix 512, 4 KiB pages, MMU_LEVELS (arch.h) deep.
 * mmu.c encodes entries. Virtual layout, constants in arch.h:
 *   PHYSMAP_BASE  all RAM except the kernel image, RW, never executable; phys + PHYSMAP_BASE
 *   DEVICE_BASE   device registers, mapped on demand
 *   IMAGE_BASE    the kernel image
 */
#ifndef PLATFORM_MMU_H
#define PLATFORM_MMU_H

#include <arch.h>
#include <vmos/abi.h>

#define PAGE_SHIFT 12
#define PAGE_SIZE  (UINT64_C(1) << PAGE_SHIFT)

enum mmu_access {
    MMU_READ = 0,
    MMU_WRITE = 1 << 0,
    MMU_EXECUTE = 1 << 1, /* never together with MMU_WRITE: refused */
    MMU_USER = 1 << 2,
    MMU_DEVICE = 1 << 3, /* uncached, strongly ordered */
};

typedef uint64_t pte;

/* Encoding, ARCH/mmu.c. Level 0 maps 4 KiB, 1 maps 2 MiB, 2 maps 1 GiB. */
pte mmu_leaf(uint64_t physical, unsigned level, unsigned access);
pte mmu_table(uint64_t physical);
bool mmu_present(pte entry);
bool mmu_is_leaf(pte entry, unsigned level);
uint64_t mmu_physical(pte entry);
unsigned mmu_access_of(pte entry);         /* the enum mmu_access bits of a leaf */
unsigned mmu_largest_leaf(void);           /* 1, or 2 where the CPU has 1 GiB leaves */
uint64_t mmu_kernel_root(void);            /* physical address of the kernel's top table */
void mmu_entries_written(void);            /* new entries become usable: barrier */
void mmu_flush(uintptr_t virtual_address); /* this CPU's TLB, one page */
void mmu_flush_all(void);
/* What page_map or page_unmap has done on this CPU becomes so for all of them. `unmapped`: something was taken away,
 * else only added. One caller at a time. False, and a sentence: a CPU may still use what was taken away. */
bool mmu_synchronise(bool unmapped);
/* Drops the boot-time identity mapping; after this the lower half is empty. */
void mmu_drop_identity(void);

/* image.c, for boot_early(): the kernel image as it is to be run, in zeroed pages for tables: one for each level from
 * the top to the last but one, then one for each 2 MiB of the image. */
void image_map(pte *tables);

/* The walker, pagetable.c. `table_alloc` gives the physical address of a zeroed page or 0. */
struct page_table {
    uint64_t root;
    uint64_t (*table_alloc)(void);
    void *(*table_at)(uint64_t physical); /* where a table can be touched */
};

/* All of [virtual, +size) must be unmapped; addresses and size are page-aligned. Uses the largest leaves
 * that fit. On failure nothing new stays mapped: STATUS_NO_MEMORY: no page for a table; STATUS_BUSY: something
 * was mapped there; STATUS_INVALID: unaligned, not canonical, or what no entry can say. */
enum status page_map(const struct page_table *table, uintptr_t virtual_address, uint64_t physical, uint64_t size,
                     unsigned access);
/* Whether every entry of the top table that [virtual, +size) touches leads somewhere; `add`: those that do not are
 * given an empty table, as long as there is memory. */
bool page_top_entries(const struct page_table *table, uintptr_t virtual_address, uint64_t size, bool add);
/* Removes leaves; whole leaves only (STATUS_INVALID otherwise, and nothing is changed). What is not mapped is
 * passed over. Tables stay. Flushes this CPU's TLB. */
enum status page_unmap(const struct page_table *table, uintptr_t virtual_address, uint64_t size);
/* Frees the tables that lead to addresses from 0 to below `end`, and beyond as far as an entry of the top table covers
 * more: nothing is mapped there any more, and no CPU looks at them. At most `most` of them, each by `release`. True:
 * none is left. The root stays. */
bool page_release_tables(const struct page_table *table, uintptr_t end, unsigned most,
                         void (*release)(uint64_t physical));
/* Where an address leads, to the byte; false when nothing is mapped. Either result may be NULL. */
bool page_lookup(const struct page_table *table, uintptr_t virtual_address, uint64_t *physical, unsigned *access);

/* ---- What platform code needs from the room above; memory/vm.c -------------------------------- */

/* Registers, uncached. Mapped for good; the same place twice gives the same address. NULL: no space, or RAM.
 * Works from vm_init on, before the frame allocator does. */
volatile void *vm_map_device(uint64_t physical, uint64_t size);

/* For mmu_space_init, where user and kernel share a top table: copies the upper half of the kernel's into the one at
 * `top`. From the first call on the kernel's gets no new entries, so that the copies stay true: what would need one is
 * refused. */
void vm_copy_kernel_half(void *top);

/* Zeroed, physically contiguous pages for tables that a controller reads; NULL when there are none. */
void *pages_allocate(unsigned order);

/* The same, aligned to 2^alignment_order pages; the pages between the end and the next boundary stay free. */
void *pages_allocate_aligned(unsigned order, unsigned alignment_order);

/* The same below a physical address; contents undefined. */
void *pages_allocate_below(unsigned order, uint64_t limit);
void pages_free(void *pages, unsigned order);

void *physical_to_virtual(uint64_t physical);      /* RAM only */
uint64_t virtual_to_physical(const void *address); /* physmap and image; panics on anything else */

#endif
