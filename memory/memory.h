/*
 * memory.h: page frames, the kernel's address space, and what they are used for.
 */
#ifndef MEMORY_MEMORY_H
#define MEMORY_MEMORY_H

#include <vmos/machine.h>
#include <platform/mmu.h>
#include <lib/printf.h>

/* ---- frames.c: buddy allocator over the machine's usable memory; pure, host-tested --------------- */

enum { FRAME_MAX_ORDER = 10 }; /* largest block: 4 MiB */

struct frame_counts {
    uint64_t total, free, peak_used; /* frames */
    uint64_t refused;                /* requests that could not be met */
};

/* The allocator manages [base, end) of physical memory with `metadata` bytes at a place that can be
 * touched; everything starts out allocated. `touch` gives the address at which a frame can be written. */
size_t frames_metadata_size(uint64_t base, uint64_t end);
void frames_init(uint64_t base, uint64_t end, void *metadata, void *(*touch)(uint64_t physical));
void frames_add(uint64_t base, uint64_t size); /* hands usable memory over, whole frames inside the range */

/* Physical address of 2^order contiguous frames, aligned to their size, all below `limit` (0: anywhere);
 * 0 when there are none. Contents are undefined. */
uint64_t frames_allocate(unsigned order, uint64_t limit);
/* The same, aligned to 2^alignment_order frames if that is more. */
uint64_t frames_allocate_aligned(unsigned order, unsigned alignment_order, uint64_t limit);
/* Reports, and refuses, what was not allocated with this order (double free, wrong order, foreign). */
bool frames_free(uint64_t physical, unsigned order);
void frames_count(struct frame_counts *counts);
/* Walks everything; false, and a log line, when the structure contradicts itself. For self-tests. */
bool frames_check(void);

/* ---- vm.c: the kernel's address space ----------------------------------------------------------- */

/* From kernel_main, before anything else here: takes over the boot page tables. */
void vm_init(uint64_t image_physical);

/* Makes firmware tables readable in the physmap, at any time of boot; NULL where it cannot be.
 * This is physical_memory.map for the readers. */
const void *vm_map_tables(uint64_t physical, uint64_t size);

/* After machine_finish: maps all RAM, starts the frame allocator, drops the identity mapping. */
void vm_take_memory(struct machine *machine);

/* Both make RAM of what is needed no more; each once, after vm_take_memory, and give the bytes that the frame allocator
 * got. The first: the guard pages of boot's stacks, where nothing is ever mapped, and tables that nobody took. */
uint64_t vm_release_spare(void);
/* The code that only learned the machine (boot_code_start) and what it wrote to (boot_bss_start): whoever calls it
 * afterwards faults. */
uint64_t vm_release_boot_code(void);
/* Whether an address of the image is in a page that was given away. */
bool vm_is_released(const void *address);

/* The enum mmu_access bits an address of the kernel is mapped with; false when it is not mapped. */
bool vm_lookup(const void *address, unsigned *access);

/* A kernel stack of 16 KiB: where it ends, and its guard page, which is not mapped; 0: no memory. */
uintptr_t vm_stack_create(uintptr_t *guard);
/* Nobody is on it any more. */
void vm_stack_destroy(uintptr_t top);

/* vm_map_device, pages_allocate and _aligned, physical_to_virtual, virtual_to_physical: platform/mmu.h */

/* Blocks of the heap that have any of these bytes stay in use for good, whoever frees them: something may still write
 * there. Other memory is left alone. */
void heap_keep(const void *from, size_t size);

/* As pages_allocate_aligned, but the contents are undefined. */
void *pages_allocate_raw(unsigned order, unsigned alignment_order);

void memory_report(struct printer *printer); /* frames, heap, page tables: "key: value" lines */

/* ---- heap.c: malloc, over pages_allocate_raw; host-tested with its own page source --------------- */

struct heap_counts {
    uint64_t bytes_in_use, blocks_in_use, pages, peak_bytes;
    uint64_t failures;     /* requests that could not be met */
    uint64_t double_frees; /* refused: free already, or never a block */
    uint64_t corrupted;    /* blocks found written to beyond their end, or after they were freed */
};
void heap_count(struct heap_counts *counts);
bool heap_check(void); /* false and a log line when a free block's poison or a guard was overwritten */

#endif
