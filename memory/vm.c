/*
 * vm.c: the kernel's address space.
 *
 * The boot code maps the image and nothing else. From there on this file maps more into the same tables: firmware's
 * tables one by one while the machine is being learned, then all RAM at PHYSMAP_BASE, and registers, uncached, from
 * DEVICE_BASE on. The image's own pages never enter the physmap, so code has no writable alias.
 *
 * Table pages come from a small pool in .bss until memory is known, then from an arena at the start of RAM
 * that also holds the frame allocator's metadata, then from the frame allocator.
 *
 * The tables are shared by all CPUs and changed under one lock. Looking an address up takes none: tables are never
 * given back, and an entry is written at once. What is mapped or unmapped is so for all CPUs when the call returns
 * (mmu_synchronise).
 *
 * Where each process has a top table of its own, the kernel's half of it is a copy, made once. What the copies lead to
 * is shared, so they are true as long as the kernel's top table gets no new entries: none are made from the first copy
 * on, and what may be needed then is prepared just before.
 */
#include <lib/bytes.h>
#include <lib/log.h>
#include <lib/malloc.h>
#include <lib/string.h>
#include <memory/memory.h>
#include <platform/boot.h>
#include <platform/cpu.h>
#include <platform/lock.h>

/* The pool lasts for what is mapped before memory is known (with EFI: the handoff, the memory map, vmos.conf and the
 * firmware's tables, which may lie in different GiBs, and the serial port); the last pages of it map the arena, and
 * what is left when the machine is known is given away. */
enum { TOP_ENTRIES = 512, POOL_PAGES = 18, POOL_RESERVED = 2, DEVICE_RECORDS = 24 };

#define LARGE_PAGE (UINT64_C(2) << 20)
/* Registers that are mapped after the first process was made find room for this much at least. */
#define DEVICE_LATER (UINT64_C(4) << 30)
/* Ranges so far apart that the map of frames would take more than this part of memory are not all used. */
#define METADATA_PART   256
#define METADATA_ALWAYS (UINT64_C(512) << 10)

static struct lock lock = {.name = "address space", .place = LOCK_PLACE_SPACE};

/* linker.ld puts it among other whole pages. */
static uint8_t pool[POOL_PAGES][PAGE_SIZE] __attribute__((aligned(4096), section(".bss.-pages")));
static unsigned pool_used;

static struct {
    uint64_t start, next, end; /* physical; next == end: nothing left */
} arena;
static bool taking_memory, frames_ready;
static bool top_copied; /* the top table is as it will be */

static uint64_t image_physical, table_pages, frame_map_size;
static struct span { /* of physical memory, in whole pages */
    uint64_t base, end;
} released[5]; /* of the image: RAM like all other */
static unsigned released_count;

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
    return align_up((uint64_t)(image_end - image_start), PAGE_SIZE);
}

/* Asked for each table of a walk: what is elsewhere is told first. */
static bool in_image(uint64_t physical)
{
    if (physical - image_physical >= image_size())
        return false;
    for (unsigned i = 0; i < released_count; i++)
        if (physical >= released[i].base && physical < released[i].end)
            return false;
    return true;
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
    uint64_t physical = 0;

    if (pool_used < POOL_PAGES - (taking_memory || frames_ready ? 0 : POOL_RESERVED)) {
        table_pages++;
        return virtual_to_physical(pool[pool_used++]);
    }
    if (arena.next < arena.end) {
        physical = arena.next;
        arena.next += PAGE_SIZE;
    } else if (frames_ready) {
        physical = frames_allocate(0, 0);
    }
    if (physical != 0) {
        table_pages++;
        memset(physical_to_virtual(physical), 0, PAGE_SIZE);
    }
    return physical;
}

/* Kernel stacks: 16 KiB, each above a page that is never mapped. */
enum { STACK_PAGES = 4, STACK_STRIDE = 8 * 4096, STACKS = 128 };
#define STACK_BASE (DEVICE_BASE + DEVICE_SIZE)
static uint64_t stacks_used[STACKS / 64];

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
    if (at - STACK_BASE < STACKS * (uint64_t)STACK_STRIDE) {
        uint64_t physical;
        if (page_lookup(&kernel_table, at, &physical, NULL))
            return physical;
    }
    panic("%p has no physical address: it is neither in RAM nor in the kernel image", address);
}

/* As page_map, in the kernel's tables. */
static enum status map(uintptr_t at, uint64_t physical, uint64_t size, unsigned access)
{
    if (top_copied && !page_top_entries(&kernel_table, at, size, false))
        return STATUS_LIMIT;
    return page_map(&kernel_table, at, physical, size, access);
}

bool vm_lookup(const void *address, unsigned *access)
{
    return page_lookup(&kernel_table, (uintptr_t)address, NULL, access);
}

/* ---- Firmware's tables ------------------------------------------------------------------------------ */

static bool in_physmap(uint64_t page)
{
    return page_lookup(&kernel_table, (uintptr_t)physical_to_virtual(page), NULL, NULL);
}

/* Where the run of pages ends whose first is mapped, or not mapped, as `mapped` says. */
static uint64_t run_end(uint64_t page, uint64_t end, bool mapped)
{
    while (page < end && in_physmap(page) == mapped)
        page += PAGE_SIZE;
    return page;
}

static const void *map_tables(uint64_t physical, uint64_t size)
{
    if (size == 0 || physical >= PHYSMAP_SIZE || size > PHYSMAP_SIZE - physical)
        return NULL;
    if (in_image(physical) && in_image(physical + size - 1))
        return table_at(physical);

    uint64_t page = align_down(physical, PAGE_SIZE), end = align_up(physical + size, PAGE_SIZE);
    if (page < image_physical + image_size() && image_physical < end)
        return NULL;
    while ((page = run_end(page, end, true)) < end) {
        /* Up to an odd MiB: page by page, since what a larger leaf covers need not be of one kind. */
        uint64_t behind = run_end(page, align_down(page + LARGE_PAGE / 2, LARGE_PAGE) + LARGE_PAGE / 2, false);
        behind = behind < end ? behind : end;
        enum status status = map((uintptr_t)physical_to_virtual(page), page, behind - page, MMU_READ);
        if (status != STATUS_OK) {
            log_warn("memory", "0x%llx cannot be mapped to be read: %s", (unsigned long long)page, status_text(status));
            return NULL;
        }
        page = behind;
    }
    return physical_to_virtual(physical);
}

const void *vm_map_tables(uint64_t physical, uint64_t size)
{
    uintptr_t saved = lock_take(&lock);
    const void *at = map_tables(physical, size);

    mmu_synchronise(false);
    lock_release(&lock, saved);
    return at;
}

/* ---- RAM ---------------------------------------------------------------------------------------------- */

static bool is_mapped_kind(enum memory_kind kind)
{
    return kind == MEMORY_USABLE || kind == MEMORY_INITRD || kind == MEMORY_TABLES || kind == MEMORY_ACPI_RECLAIM;
}

/* What the physmap shows of a range: the pages that it fills if they are to be used, else all that it touches, up to
 * the physmap's end, without the kernel image, so that code has no second address. */
static unsigned spans_of(const struct memory_range *range, struct span spans[2])
{
    bool usable = range->kind == MEMORY_USABLE;
    uint64_t base = range->base, end = base + range->size, image_after = image_physical + image_size();
    unsigned count = 0;

    if (!is_mapped_kind(range->kind) || base >= PHYSMAP_SIZE || end < base)
        return 0;
    base = usable ? align_up(base, PAGE_SIZE) : align_down(base, PAGE_SIZE);
    end = end > PHYSMAP_SIZE ? PHYSMAP_SIZE : usable ? align_down(end, PAGE_SIZE) : align_up(end, PAGE_SIZE);
    if (base < end && base < image_physical)
        spans[count++] = (struct span){base, end < image_physical ? end : image_physical};
    if (base < end && end > image_after)
        spans[count++] = (struct span){base > image_after ? base : image_after, end};
    return count;
}

/* Maps RAM with the largest leaves that fit. Pages of it that firmware's tables were read from are mapped already. */
static bool map_ram(uint64_t base, uint64_t end, unsigned access)
{
    uintptr_t at = (uintptr_t)physical_to_virtual(base);
    enum status status = STATUS_OK;

    if (base < end)
        status = page_unmap(&kernel_table, at, end - base);
    if (base < end && status == STATUS_OK)
        status = map(at, base, end - base, access);
    if (status != STATUS_OK)
        log_error("memory", "memory from 0x%llx to 0x%llx cannot be mapped and is not used: %s",
                  (unsigned long long)base, (unsigned long long)end, status_text(status));
    return status == STATUS_OK;
}

/* Table pages that a span can take: one for each 512 GiB and each GiB that it touches, and one for each end inside
 * 2 MiB. `seen` holds, for each size, which was counted last: ranges come in order of address. */
static uint64_t tables_for(const struct span *span, uint64_t seen[3])
{
    uint64_t pages = 0, ends[] = {span->base, span->end};

    for (unsigned level = 1; level <= 2; level++) {
        unsigned shift = PAGE_SHIFT + 9 * (level + 1);
        uint64_t first = (span->base >> shift) + 1, last = ((span->end - 1) >> shift) + 1;
        pages += last - first + (first != seen[level]);
        seen[level] = last;
    }
    for (unsigned i = 0; i < 2; i++) {
        uint64_t region = ends[i] / LARGE_PAGE + 1;
        pages += ends[i] % LARGE_PAGE != 0 && region != seen[0];
        seen[0] = ends[i] % LARGE_PAGE != 0 ? region : seen[0];
    }
    return pages;
}

/* What usable memory there is, from where to where, and how many table pages mapping everything can take. */
struct survey {
    uint64_t low, high, usable, tables;
};

static struct survey survey(const struct machine *machine, const struct span *window)
{
    struct survey found = {.low = UINT64_MAX, .tables = 2}; /* both ends of the arena */
    uint64_t seen[3] = {0};
    struct span spans[2];

    for (uint32_t i = 0; i < machine->memory_count; i++) {
        for (unsigned n = spans_of(&machine->memory[i], spans), j = 0; j < n; j++) {
            found.tables += tables_for(&spans[j], seen);
            if (machine->memory[i].kind != MEMORY_USABLE || spans[j].base < window->base || spans[j].end > window->end)
                continue;
            found.low = spans[j].base < found.low ? spans[j].base : found.low;
            found.high = spans[j].end;
            found.usable += spans[j].end - spans[j].base;
        }
    }
    return found;
}

/* The usable memory that is worth its map: while the map would be too large, the smaller of the first and the last
 * span, which lie far away from the rest, is left out. */
static struct survey choose_window(const struct machine *machine, struct span *window)
{
    struct survey found = survey(machine, window);

    while (found.low < found.high &&
           frames_metadata_size(found.low, found.high) > found.usable / METADATA_PART + METADATA_ALWAYS) {
        struct span without_first = {found.low + 1, found.high}, without_last = {found.low, found.high - 1};
        struct survey first = survey(machine, &without_first), last = survey(machine, &without_last);
        log_warn("memory",
                 "usable memory from 0x%llx to 0x%llx is too sparse to keep account of; %llu KiB are not used",
                 (unsigned long long)found.low, (unsigned long long)found.high,
                 (unsigned long long)(found.usable - (first.usable > last.usable ? first : last).usable) / 1024);
        *window = first.usable > last.usable ? without_first : without_last;
        found = first.usable > last.usable ? first : last;
    }
    return found;
}

/* The lowest usable memory with room for `size` bytes at this alignment; address 0 stays free of meaning. */
static uint64_t find_room(const struct machine *machine, uint64_t size, uint64_t alignment)
{
    struct span spans[2];

    for (uint32_t i = 0; i < machine->memory_count; i++) {
        if (machine->memory[i].kind != MEMORY_USABLE)
            continue;
        for (unsigned n = spans_of(&machine->memory[i], spans), j = 0; j < n; j++) {
            uint64_t base = align_up(spans[j].base != 0 ? spans[j].base : PAGE_SIZE, alignment);
            if (base < spans[j].end && spans[j].end - base >= size)
                return base;
        }
    }
    return 0;
}

/* The arena is mapped with pages of the pool; from then on it gives the table pages for all the rest. */
static void open_arena(const struct machine *machine, uint64_t metadata, uint64_t tables)
{
    uint64_t least = metadata + tables * PAGE_SIZE, size = align_up(least, LARGE_PAGE);

    if (metadata == 0)
        panic("nothing tells what memory this machine has; the boot loader's tables are missing or cannot be read");
    arena.start = find_room(machine, size, LARGE_PAGE);
    if (arena.start == 0) {
        size = least;
        arena.start = find_room(machine, size, PAGE_SIZE);
    }
    if (arena.start == 0 || !map_ram(arena.start, arena.start + size, MMU_WRITE))
        panic("no range of usable memory has the %llu KiB that the kernel needs to begin with; give the machine more",
              (unsigned long long)(least / 1024));
    arena.next = arena.start + metadata;
    arena.end = arena.start + size;
}

static void map_all(const struct machine *machine)
{
    struct span spans[2];

    for (uint32_t i = 0; i < machine->memory_count; i++) {
        unsigned access = machine->memory[i].kind == MEMORY_USABLE ? MMU_WRITE : MMU_READ;
        for (unsigned n = spans_of(&machine->memory[i], spans), j = 0; j < n; j++) {
            if (arena.start >= spans[j].base && arena.end <= spans[j].end) {
                map_ram(spans[j].base, arena.start, access);
                spans[j].base = arena.end;
            }
            map_ram(spans[j].base, spans[j].end, access);
        }
    }
}

/* What of the arena became tables or the map of frames is kept, the rest are frames like all others. */
static void add_frames(uint64_t base, uint64_t end)
{
    if (base < end && in_physmap(base) && in_physmap(end - PAGE_SIZE))
        frames_add(base, end - base);
}

static void add_all(const struct machine *machine, const struct span *window)
{
    uint64_t arena_used = arena.next;
    struct span spans[2];

    for (uint32_t i = 0; i < machine->memory_count; i++) {
        if (machine->memory[i].kind != MEMORY_USABLE)
            continue;
        for (unsigned n = spans_of(&machine->memory[i], spans), j = 0; j < n; j++) {
            uint64_t base = spans[j].base, end = spans[j].end;
            if (base < window->base || end > window->end)
                continue;
            if (arena.start >= base && arena.start < end) {
                add_frames(base, arena.start);
                base = arena_used;
            }
            add_frames(base, end);
        }
    }
}

void vm_take_memory(struct machine *machine)
{
    struct span window = {0, PHYSMAP_SIZE};
    struct survey found = choose_window(machine, &window);
    uint64_t metadata = found.low < found.high ? align_up(frames_metadata_size(found.low, found.high), PAGE_SIZE) : 0;

    taking_memory = true;
    frame_map_size = metadata;
    open_arena(machine, metadata, found.tables);
    map_all(machine);
    arena.end = arena.next; /* no more tables from here: the rest become frames */
    frames_init(found.low, found.high, physical_to_virtual(arena.start), physical_to_virtual);
    add_all(machine, &window);
    frames_ready = true;
    known_machine = machine;
    mmu_drop_identity();
}

/* The pages leave the image before they enter the physmap: never are they code and writable at once. */
static uint64_t release(const char *start, const char *end)
{
    uint64_t size = (uint64_t)(end - start), base = image_physical + (uint64_t)(start - image_start);
    struct frame_counts before, after;

    if (size == 0 || page_unmap(&kernel_table, (uintptr_t)start, size) != STATUS_OK)
        return 0;
    released[released_count++] = (struct span){base, base + size};
    if (!map_ram(base, base + size, MMU_WRITE))
        return 0;
    frames_count(&before);
    frames_add(base, size);
    frames_count(&after);
    return (after.total - before.total) * PAGE_SIZE;
}

uint64_t vm_release_spare(void)
{
    uint64_t size = release(boot_stack_guard, boot_stack_guard + PAGE_SIZE);
    unsigned first = 0;

    size += release(boot_exception_guard, boot_exception_guard_end);
    first = pool_used;
    pool_used = POOL_PAGES;
    return size + release((const char *)pool[first], (const char *)pool[POOL_PAGES]);
}

uint64_t vm_release_boot_code(void)
{
    return release(boot_code_start, boot_code_end) + release(boot_bss_start, boot_bss_end);
}

bool vm_is_released(const void *address)
{
    uint64_t physical = image_physical + ((uintptr_t)address - (uintptr_t)image_start);

    return (uintptr_t)address - (uintptr_t)image_start < image_size() && !in_image(physical);
}

/* ---- Registers ---------------------------------------------------------------------------------------- */

static bool overlaps_ram(uint64_t first, uint64_t last)
{
    if (first < image_physical + image_size() && image_physical <= last)
        return true;
    for (uint32_t i = 0; known_machine != NULL && i < known_machine->memory_count; i++) {
        const struct memory_range *range = &known_machine->memory[i];
        if ((is_mapped_kind(range->kind) || range->kind == MEMORY_KERNEL) && range->size != 0 &&
            first <= range->base + (range->size - 1) && range->base <= last + (PAGE_SIZE - 1))
            return true;
    }
    return false;
}

/* A record for a mapping; the first few need no heap. */
static struct device_mapping *new_record(void)
{
    return records_used < DEVICE_RECORDS ? &first_records[records_used++] : malloc(sizeof(struct device_mapping));
}

/* Where the next registers go: large windows as far from a 2 MiB boundary as they are physically, for large leaves. */
static uintptr_t device_place(uint64_t first, uint64_t size)
{
    uint64_t ahead = size >= LARGE_PAGE ? (first - device_next) % LARGE_PAGE : 0;

    return device_next + ahead;
}

static volatile void *map_device(uint64_t physical, uint64_t size)
{
    uint64_t first = align_down(physical, PAGE_SIZE), last = align_down(physical + (size - 1), PAGE_SIZE);

    if (size == 0 || last < first)
        return NULL;
    for (const struct device_mapping *known = device_mappings; known != NULL; known = known->next)
        if (first >= known->physical && last - known->physical < known->size)
            return (volatile void *)(known->at + (physical - known->physical));
    if (overlaps_ram(first, last)) {
        log_warn("memory", "registers at 0x%llx would lie in RAM and are not mapped", (unsigned long long)physical);
        return NULL;
    }
    uint64_t pages = last - first + PAGE_SIZE;
    uintptr_t at = device_place(first, pages);
    enum status status = STATUS_LIMIT;
    if (at - DEVICE_BASE < DEVICE_SIZE && pages - 1 < DEVICE_SIZE - (at - DEVICE_BASE))
        status = map(at, first, pages, MMU_WRITE | MMU_DEVICE);
    struct device_mapping *record = status == STATUS_OK ? new_record() : NULL;
    if (record == NULL) {
        if (status == STATUS_OK) {
            page_unmap(&kernel_table, at, pages);
            device_next = mmu_synchronise(true) ? device_next : at + pages;
        }
        log_warn("memory", "%llu KiB of registers at 0x%llx cannot be mapped: %s", (unsigned long long)(pages / 1024),
                 (unsigned long long)physical, status_text(status == STATUS_OK ? STATUS_NO_MEMORY : status));
        return NULL;
    }
    *record = (struct device_mapping){.physical = first, .size = pages, .at = at, .next = device_mappings};
    device_mappings = record;
    device_next = at + pages;
    mmu_synchronise(false);
    return (volatile void *)(at + (physical - first));
}

volatile void *vm_map_device(uint64_t physical, uint64_t size)
{
    uintptr_t saved = lock_take(&lock);
    volatile void *at = map_device(physical, size);

    lock_release(&lock, saved);
    return at;
}

/* ---- Stacks ------------------------------------------------------------------------------------------- */

static uintptr_t stack_at(unsigned slot)
{
    return (uintptr_t)STACK_BASE + (uintptr_t)slot * STACK_STRIDE + PAGE_SIZE;
}

/* Unmaps `count` pages from the bottom of a stack and gives them back; false: some CPU may still reach them. */
static bool unmap_stack(unsigned slot, unsigned count)
{
    uint64_t physical[STACK_PAGES] = {0};

    for (unsigned i = 0; i < count; i++)
        page_lookup(&kernel_table, stack_at(slot) + i * PAGE_SIZE, &physical[i], NULL);
    page_unmap(&kernel_table, stack_at(slot), count * PAGE_SIZE);
    if (!mmu_synchronise(true))
        return false;
    for (unsigned i = 0; i < count; i++)
        frames_free(physical[i], 0);
    return true;
}

static uintptr_t make_stack(unsigned slot)
{
    for (unsigned i = 0; i < STACK_PAGES; i++) {
        uint64_t physical = frames_allocate(0, 0);
        uintptr_t at = stack_at(slot) + i * PAGE_SIZE;
        if (physical != 0 && map(at, physical, PAGE_SIZE, MMU_WRITE) == STATUS_OK)
            continue;
        if (physical != 0)
            frames_free(physical, 0);
        if (i != 0)
            unmap_stack(slot, i);
        return 0;
    }
    mmu_synchronise(false);
    return stack_at(slot) + STACK_PAGES * PAGE_SIZE;
}

uintptr_t vm_stack_create(uintptr_t *guard)
{
    uintptr_t saved = lock_take(&lock), top = 0;
    unsigned slot = 0;

    while (slot < STACKS && (stacks_used[slot / 64] >> slot % 64 & 1) != 0)
        slot++;
    if (slot < STACKS)
        top = make_stack(slot);
    if (top != 0)
        stacks_used[slot / 64] |= UINT64_C(1) << slot % 64;
    *guard = stack_at(slot) - PAGE_SIZE;
    lock_release(&lock, saved);
    return top;
}

void vm_stack_destroy(uintptr_t top)
{
    unsigned slot = (unsigned)((top - STACK_BASE) / STACK_STRIDE);
    uintptr_t saved = lock_take(&lock);

    if (unmap_stack(slot, STACK_PAGES))
        stacks_used[slot / 64] &= ~(UINT64_C(1) << slot % 64);
    lock_release(&lock, saved);
}

/* ---- The kernel's half of other spaces ------------------------------------------------------------------ */

/* Without memory for it there will be fewer registers and stacks: they are refused one by one. */
static void prepare_top(void)
{
    uint64_t left = DEVICE_BASE + DEVICE_SIZE - device_next, later = left < DEVICE_LATER ? left : DEVICE_LATER;

    if (later != 0)
        page_top_entries(&kernel_table, device_next, later, true);
    page_top_entries(&kernel_table, STACK_BASE, STACKS * (uint64_t)STACK_STRIDE, true);
    mmu_synchronise(false);
    top_copied = true;
}

void vm_copy_kernel_half(void *top)
{
    uintptr_t saved = lock_take(&lock);
    const pte *kernel = table_at(kernel_table.root);

    if (!top_copied)
        prepare_top();
    memcpy((pte *)top + TOP_ENTRIES / 2, kernel + TOP_ENTRIES / 2, TOP_ENTRIES / 2 * sizeof(pte));
    lock_release(&lock, saved);
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

void *pages_allocate_below(unsigned order, uint64_t limit)
{
    uint64_t physical = frames_allocate(order, limit);

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
    print(printer, "frames: %llu of 4 KiB, %llu free, %llu used, at most %llu used\n", (unsigned long long)frames.total,
          (unsigned long long)frames.free, (unsigned long long)(frames.total - frames.free),
          (unsigned long long)frames.peak_used);
    print(printer, "refused: %llu requests for frames, %llu for heap memory\n", (unsigned long long)frames.refused,
          (unsigned long long)heap.failures);
    print(printer, "heap: %llu bytes in %llu blocks, %llu pages, at most %llu bytes\n",
          (unsigned long long)heap.bytes_in_use, (unsigned long long)heap.blocks_in_use, (unsigned long long)heap.pages,
          (unsigned long long)heap.peak_bytes);
    print(printer, "heap-misuse: %llu double frees, %llu overwritten blocks\n", (unsigned long long)heap.double_frees,
          (unsigned long long)heap.corrupted);
    print(printer, "page-tables: %llu KiB beyond the boot tables\n", (unsigned long long)table_pages * 4);
    print(printer, "frame-map: %llu KiB\n", (unsigned long long)(frame_map_size / 1024));
    print(printer, "image: %llu KiB at 0x%llx\n", (unsigned long long)(image_size() / 1024),
          (unsigned long long)image_physical);
}
