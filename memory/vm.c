/*
 * vm.c: the kernel's address space.
 *
 * The boot code maps the image and nothing else. From there on this file maps more into the same tables: firmware's
 * tables one by one while the machine is being learned, then all RAM at PHYSMAP_BASE, and registers, uncached, from
 * DEVICE_BASE on. The image's own pages never enter the physmap, so code has no writable alias.
 *
 * Table pages come from a small pool in .bss until memory is known, then from an arena at the start of RAM
 * that also holds the frame allocator's metadata, then from the frame allocator.
 */
#include <lib/bytes.h>
#include <lib/log.h>
#include <lib/malloc.h>
#include <lib/string.h>
#include <memory/memory.h>
#include <platform/boot.h>
#include <platform/cpu.h>

enum { POOL_PAGES = 10, DEVICE_RECORDS = 24 };

#define LARGE_PAGE (UINT64_C(2) << 20)
#define GIGABYTE (UINT64_C(1) << 30)

static uint8_t pool[POOL_PAGES][PAGE_SIZE] __attribute__((aligned(4096)));
static unsigned pool_used;

static struct {
    uint64_t next, end; /* physical; equal: none */
} arena;
static bool frames_ready;

static uint64_t image_physical, table_pages;

/* Registers that are mapped, newest first; the first few records need no heap. */
struct device_mapping {
    uint64_t physical, size; /* whole pages */
    uintptr_t at;
    struct device_mapping *next;
};
static struct device_mapping first_records[DEVICE_RECORDS];
static unsigned records_used;
static struct device_mapping *device_mappings;
static uintptr_t device_next = DEVICE_BASE;
static const struct machine *known_machine; /* once memory is known */

static uint64_t image_size(void)
{
    return (uint64_t)(image_end - image_start);
}

static bool in_image(uint64_t physical)
{
    return physical - image_physical < image_size();
}

/* ---- Tables --------------------------------------------------------------------------------------- */

static void *table_at(uint64_t physical)
{
    if (in_image(physical))
        return image_start + (physical - image_physical);
    return physical_to_virtual(physical);
}

static uint64_t table_alloc(void)
{
    uint64_t physical;

    table_pages++;
    if (pool_used < POOL_PAGES)
        return virtual_to_physical(pool[pool_used++]);
    if (arena.next < arena.end) {
        physical = arena.next;
        arena.next += PAGE_SIZE;
    } else {
        physical = frames_ready ? frames_allocate(0, 0) : 0;
    }
    if (physical != 0)
        memset(physical_to_virtual(physical), 0, PAGE_SIZE);
    return physical;
}

static struct page_table kernel_table = {.table_alloc = table_alloc, .table_at = table_at};

void vm_init(uint64_t physical)
{
    image_physical = physical;
    kernel_table.root = mmu_kernel_root();
}

void *physical_to_virtual(uint64_t physical)
{
    return (void *)(uintptr_t)(PHYSMAP_BASE + physical);
}

uint64_t virtual_to_physical(const void *address)
{
    uintptr_t at = (uintptr_t)address;

    if (at - PHYSMAP_BASE < PHYSMAP_SIZE)
        return at - PHYSMAP_BASE;
    if (at - (uintptr_t)image_start < image_size())
        return at - (uintptr_t)image_start + image_physical;
    panic("%p has no physical address: it is neither in RAM nor in the kernel image", address);
}

bool vm_lookup(const void *address, unsigned *access)
{
    uint64_t physical;

    return page_lookup(&kernel_table, (uintptr_t)address, &physical, access);
}

/* ---- Firmware's tables ------------------------------------------------------------------------------ */

const void *vm_map_tables(uint64_t physical, uint64_t size)
{
    uint64_t first = align_down(physical, PAGE_SIZE), mapped;
    unsigned access;

    if (size == 0 || physical >= PHYSMAP_SIZE || size > PHYSMAP_SIZE - physical)
        return NULL;
    for (uint64_t page = first; page < physical + size; page += PAGE_SIZE) {
        uintptr_t at = (uintptr_t)physical_to_virtual(page);
        if (in_image(page))
            return NULL;
        if (!page_lookup(&kernel_table, at, &mapped, &access) &&
            page_map(&kernel_table, at, page, PAGE_SIZE, MMU_READ) != STATUS_OK)
            return NULL;
    }
    return physical_to_virtual(physical);
}

/* ---- RAM ---------------------------------------------------------------------------------------------- */

/* The pages of one leaf that firmware's tables were found in: those are mapped already. */
static enum status remap_page(uint64_t physical, unsigned access)
{
    uintptr_t at = (uintptr_t)physical_to_virtual(physical);
    enum status status = page_unmap(&kernel_table, at, PAGE_SIZE);

    return status != STATUS_OK ? status : page_map(&kernel_table, at, physical, PAGE_SIZE, access);
}

/* Maps RAM with the largest leaves that fit, whatever of it is mapped already. */
static void map_ram(uint64_t base, uint64_t size, unsigned access)
{
    while (size != 0) {
        enum status status = STATUS_BUSY;
        uint64_t step = 0;
        for (int level = (int)mmu_largest_leaf(); level >= 0 && status == STATUS_BUSY; level--) {
            step = PAGE_SIZE << (9 * level);
            if (base % step != 0 || size < step)
                continue;
            status = page_map(&kernel_table, (uintptr_t)physical_to_virtual(base), base, step, access);
            if (status == STATUS_BUSY && level == 0)
                status = remap_page(base, access);
        }
        if (status != STATUS_OK)
            panic("cannot map memory at 0x%llx: %s", (unsigned long long)base, status_text(status));
        base += step;
        size -= step;
    }
}

static bool is_mapped_kind(enum memory_kind kind)
{
    return kind == MEMORY_USABLE || kind == MEMORY_INITRD || kind == MEMORY_TABLES || kind == MEMORY_ACPI_RECLAIM;
}

/* Table pages that mapping all of memory can take: one for each GiB begun (its 2 MiB leaves), one for each
 * 512 GiB, and two at each end of a range that is not aligned. */
static uint64_t tables_needed(const struct machine *machine)
{
    uint64_t pages = 2;

    for (uint32_t i = 0; i < machine->memory_count; i++)
        if (is_mapped_kind(machine->memory[i].kind))
            pages += machine->memory[i].size / GIGABYTE + machine->memory[i].size / (512 * GIGABYTE) + 6;
    return pages;
}

/* A usable range that holds `size` bytes, from a 2 MiB boundary on where there is one. */
static uint64_t find_room(const struct machine *machine, uint64_t size, uint64_t alignment)
{
    for (uint32_t i = 0; i < machine->memory_count; i++) {
        const struct memory_range *range = &machine->memory[i];
        uint64_t base = align_up(range->base != 0 ? range->base : PAGE_SIZE, alignment);
        if (range->kind == MEMORY_USABLE && base - range->base < range->size &&
            range->size - (base - range->base) >= size)
            return base;
    }
    return 0;
}

static void bounds(const struct machine *machine, uint64_t *low, uint64_t *high)
{
    *low = UINT64_MAX;
    *high = 0;
    for (uint32_t i = 0; i < machine->memory_count; i++) {
        const struct memory_range *range = &machine->memory[i];
        if (range->kind != MEMORY_USABLE)
            continue;
        if (range->base < *low)
            *low = range->base;
        if (range->base + range->size > *high)
            *high = range->base + range->size;
    }
    if (*low == 0)
        *low = PAGE_SIZE; /* address 0 stays free of meaning */
}

/* Hands a usable range over, without what the arena in [taken, taken_end) has used. */
static void add_frames(uint64_t base, uint64_t end, uint64_t taken, uint64_t taken_end)
{
    if (base == 0)
        base = PAGE_SIZE;
    if (taken >= end || taken_end <= base) {
        if (base < end)
            frames_add(base, end - base);
        return;
    }
    if (base < taken)
        frames_add(base, taken - base);
    if (taken_end < end)
        frames_add(taken_end, end - taken_end);
}

void vm_take_memory(struct machine *machine)
{
    uint64_t low, high;

    bounds(machine, &low, &high);
    if (high > PHYSMAP_SIZE)
        panic("memory up to 0x%llx is more than this kernel can map", (unsigned long long)high);
    size_t metadata = high > low ? align_up(frames_metadata_size(low, high), PAGE_SIZE) : 0;
    uint64_t size = align_up(metadata + tables_needed(machine) * PAGE_SIZE, LARGE_PAGE);
    uint64_t start = find_room(machine, size, LARGE_PAGE);
    if (start == 0) {
        size = metadata + tables_needed(machine) * PAGE_SIZE;
        start = find_room(machine, size, PAGE_SIZE);
    }
    if (start == 0)
        panic("no range of usable memory has the %llu KiB that the kernel needs to begin with; give the machine more",
              (unsigned long long)(size / 1024));
    map_ram(start, size, MMU_WRITE);
    arena.next = start + metadata;
    arena.end = start + size;

    for (uint32_t i = 0; i < machine->memory_count; i++) {
        const struct memory_range *range = &machine->memory[i];
        uint64_t base = align_down(range->base, PAGE_SIZE), end = align_up(range->base + range->size, PAGE_SIZE);
        if (!is_mapped_kind(range->kind))
            continue;
        unsigned access = range->kind == MEMORY_USABLE ? MMU_WRITE : MMU_READ;
        if (start >= base && start + size <= end) {
            map_ram(base, start - base, access);
            base = start + size;
        }
        map_ram(base, end - base, access);
    }
    uint64_t used_end = arena.next;
    arena.end = arena.next;
    frames_init(low, high, physical_to_virtual(start), physical_to_virtual);
    for (uint32_t i = 0; i < machine->memory_count; i++)
        if (machine->memory[i].kind == MEMORY_USABLE)
            add_frames(machine->memory[i].base, machine->memory[i].base + machine->memory[i].size, start, used_end);
    frames_ready = true;
    known_machine = machine;
    mmu_drop_identity();
}

/* ---- Registers ---------------------------------------------------------------------------------------- */

static bool overlaps_ram(uint64_t physical, uint64_t size)
{
    for (uint32_t i = 0; known_machine != NULL && i < known_machine->memory_count; i++) {
        const struct memory_range *range = &known_machine->memory[i];
        if ((is_mapped_kind(range->kind) || range->kind == MEMORY_KERNEL) && physical < range->base + range->size &&
            range->base < physical + size)
            return true;
    }
    return false;
}

volatile void *vm_map_device(uint64_t physical, uint64_t size)
{
    uint64_t first = align_down(physical, PAGE_SIZE), pages = align_up(physical + size, PAGE_SIZE) - first;

    if (size == 0 || physical + size < physical)
        return NULL;
    for (struct device_mapping *known = device_mappings; known != NULL; known = known->next)
        if (first >= known->physical && first + pages <= known->physical + known->size)
            return (volatile void *)(known->at + (physical - known->physical));
    if (overlaps_ram(first, pages)) {
        log_warn("memory", "registers at 0x%llx would lie in RAM and are not mapped", (unsigned long long)physical);
        return NULL;
    }
    struct device_mapping *record =
        records_used < DEVICE_RECORDS ? &first_records[records_used++] : malloc(sizeof *record);
    if (record == NULL || pages > DEVICE_BASE + DEVICE_SIZE - device_next ||
        page_map(&kernel_table, device_next, first, pages, MMU_WRITE | MMU_DEVICE) != STATUS_OK) {
        log_warn("memory", "no room to map %llu KiB of registers at 0x%llx", (unsigned long long)(size / 1024),
                 (unsigned long long)physical);
        return NULL;
    }
    *record = (struct device_mapping){.physical = first, .size = pages, .at = device_next, .next = device_mappings};
    device_mappings = record;
    device_next += pages;
    return (volatile void *)(record->at + (physical - first));
}

/* ---- Pages ---------------------------------------------------------------------------------------------- */

void *pages_allocate(unsigned order)
{
    return pages_allocate_aligned(order, order);
}

void *pages_allocate_raw(unsigned order, unsigned alignment_order)
{
    uint64_t physical = frames_allocate_aligned(order, alignment_order, 0);

    return physical != 0 ? physical_to_virtual(physical) : NULL;
}

void *pages_allocate_aligned(unsigned order, unsigned alignment_order)
{
    void *pages = pages_allocate_raw(order, alignment_order);

    return pages != NULL ? memset(pages, 0, PAGE_SIZE << order) : NULL;
}

void pages_free(void *pages, unsigned order)
{
    if (pages != NULL)
        frames_free(virtual_to_physical(pages), order);
}

void memory_report(struct printer *printer)
{
    struct frame_counts frames;
    struct heap_counts heap;

    frames_count(&frames);
    heap_count(&heap);
    print(printer, "frames: %llu of 4 KiB, %llu free, %llu used, at most %llu used\n",
          (unsigned long long)frames.total, (unsigned long long)frames.free,
          (unsigned long long)(frames.total - frames.free), (unsigned long long)frames.peak_used);
    print(printer, "refused: %llu requests for frames, %llu for heap memory\n", (unsigned long long)frames.refused,
          (unsigned long long)heap.failures);
    print(printer, "heap: %llu bytes in %llu blocks, %llu pages, at most %llu bytes\n",
          (unsigned long long)heap.bytes_in_use, (unsigned long long)heap.blocks_in_use,
          (unsigned long long)heap.pages, (unsigned long long)heap.peak_bytes);
    print(printer, "heap-misuse: %llu double frees, %llu overwritten blocks\n", (unsigned long long)heap.double_frees,
          (unsigned long long)heap.corrupted);
    print(printer, "page-tables: %llu KiB beyond the boot tables\n", (unsigned long long)(table_pages * 4));
    print(printer, "image: %llu KiB at 0x%llx\n", (unsigned long long)(image_size() / 1024),
          (unsigned long long)image_physical);
}
