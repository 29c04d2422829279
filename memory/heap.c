/*
 * heap.c: malloc for the kernel. Contract in memory.h and <lib/malloc.h>.
 *
 * Small blocks lie in slabs: one page, a header, then slots of one size. Which slots are in use stands in the
 * header, not in the slots. Larger blocks are runs of pages of their own, listed in records that are small blocks.
 * A slab whose last block is freed goes back to the frame allocator at once.
 *
 * A slot in use:   the caller's bytes | guard bytes, at least 6 | 2 bytes: how many of the slot are not the caller's
 * A free slot:     poison, looked at when the slot is used again; slots that were never used hold anything
 *
 * What is refused or found overwritten is a sentence in the log and counted; the heap goes on. What is kept (heap_keep)
 * stays in use whoever frees it; of small blocks all that share the page with it.
 * One heap, one lock. Interrupt handlers do not allocate.
 */
#include <memory/memory.h>

#include <lib/bytes.h>
#include <lib/log.h>
#include <lib/malloc.h>
#include <lib/string.h>
#include <platform/lock.h>

#define WHO "heap"

enum {
    GUARD = 0xa5,
    POISON = 0xdb,
    GUARD_LEAST = 6,
    SLACK_SIZE = 2,
    LARGE_GUARD_MOST = 64,
    SLOT_ALIGNMENT = 16,
    HEADER_SIZE = 64
};

/* Slots whose size is a power of two are aligned to it. */
#define FIRST_SLOT(size) ((size) & ((size)-1) || (size) < HEADER_SIZE ? HEADER_SIZE : (size))
#define CLASS(size)                                                                                                    \
    {                                                                                                                  \
        (size), FIRST_SLOT(size), (PAGE_SIZE - FIRST_SLOT(size)) / (size)                                              \
    }

static const struct class
{
    uint16_t slot_size, first_slot, slot_count;
} classes[] = {CLASS(32),  CLASS(48),  CLASS(64),  CLASS(96),  CLASS(128),  CLASS(192),
               CLASS(256), CLASS(400), CLASS(576), CLASS(800), CLASS(1344), CLASS(2016)};

enum { CLASSES = sizeof classes / sizeof classes[0], NO_CLASS = CLASSES, USED_WORDS = 2 };

struct slab {
    uint64_t magic; /* SLAB_MAGIC ^ the slab's address */
    struct slab *next, *previous;
    uint64_t used[USED_WORDS];
    uint8_t class, used_count;
    uint8_t fresh;     /* slots from here on have never been used */
    bool kept;         /* none of the slots that are in use becomes free any more */
    uint64_t guard[2]; /* right before the first slot */
};

#define SLAB_MAGIC UINT64_C(0x6873c46d1bab5eed)
#define SLAB_GUARD UINT64_C(0xa5a5a5a5a5a5a5a5)
_Static_assert(sizeof(struct slab) == HEADER_SIZE, "the header ends where the first slot begins");

struct large { /* a run of pages; kept in a small block of its own */
    struct large *next;
    uintptr_t pages; /* the order in the low bits */
    size_t size;
    bool kept;
};

static struct {
    struct slab *partial[CLASSES], *full[CLASSES];
    struct large *large;
    struct heap_counts counts;
} heap;

static struct lock lock = {.name = "heap", .place = LOCK_PLACE_HEAP};

/* ---- Slots ---------------------------------------------------------------------------------------- */

static size_t slot_size_of(const struct slab *slab)
{
    return classes[slab->class].slot_size;
}

static uint8_t *slot_at(const struct slab *slab, unsigned index)
{
    return (uint8_t *)(uintptr_t)slab + classes[slab->class].first_slot + index * slot_size_of(slab);
}

static bool slot_used(const struct slab *slab, unsigned index)
{
    return (slab->used[index / 64] >> index % 64 & 1) != 0;
}

/* Eight bytes are looked at, and the others must be as those eight places before them, which memcmp does by words. */
static bool filled_with(const uint8_t *from, uint8_t byte, size_t size)
{
    size_t first = size < 8 ? size : 8;

    for (size_t i = 0; i < first; i++)
        if (from[i] != byte)
            return false;
    return memcmp(from + first, from, size - first) == 0;
}

static void seal(uint8_t *slot, size_t slot_size, size_t size)
{
    uint16_t slack = (uint16_t)(slot_size - size);

    memset(slot + size, GUARD, slack - SLACK_SIZE);
    memcpy(slot + slot_size - SLACK_SIZE, &slack, SLACK_SIZE);
}

static void say_corrupted(const void *block, const char *what)
{
    heap.counts.corrupted++;
    log_error(WHO, "the block at %p %s", block, what);
}

/* Stores the caller's size of a slot in use; false when its end was overwritten so that it is not known. */
static bool unseal(const uint8_t *slot, size_t slot_size, size_t *size)
{
    uint16_t slack;

    memcpy(&slack, slot + slot_size - SLACK_SIZE, SLACK_SIZE);
    if (slack < GUARD_LEAST + SLACK_SIZE || slack > slot_size) {
        say_corrupted(slot, "was written to far beyond its end, and stays in use for good");
        return false;
    }
    *size = slot_size - slack;
    return true;
}

static bool guard_intact(const uint8_t *slot, size_t slot_size, size_t size)
{
    bool intact = filled_with(slot + size, GUARD, slot_size - size - SLACK_SIZE);

    if (!intact)
        say_corrupted(slot, "was written to beyond its end");
    return intact;
}

/* ---- Slabs ---------------------------------------------------------------------------------------- */

static struct slab **list_of(const struct slab *slab)
{
    return slab->used_count == classes[slab->class].slot_count ? &heap.full[slab->class] : &heap.partial[slab->class];
}

static void slab_link(struct slab *slab)
{
    struct slab **list = list_of(slab);

    slab->previous = NULL;
    slab->next = *list;
    if (*list != NULL)
        (*list)->previous = slab;
    *list = slab;
}

static void slab_unlink(struct slab *slab)
{
    if (slab->previous != NULL)
        slab->previous->next = slab->next;
    else
        *list_of(slab) = slab->next;
    if (slab->next != NULL)
        slab->next->previous = slab->previous;
}

static struct slab *slab_create(unsigned class)
{
    struct slab *slab = pages_allocate_raw(0, 0);

    if (slab == NULL)
        return NULL;
    *slab = (struct slab){
        .magic = SLAB_MAGIC ^ (uintptr_t)slab, .class = (uint8_t) class, .guard = {SLAB_GUARD, SLAB_GUARD}};
    heap.counts.pages++;
    slab_link(slab);
    return slab;
}

static void slab_destroy(struct slab *slab)
{
    slab_unlink(slab);
    slab->magic = 0;
    heap.counts.pages--;
    pages_free(slab, 0);
}

static void slab_count(struct slab *slab, unsigned index, bool used)
{
    slab_unlink(slab);
    slab->used[index / 64] ^= UINT64_C(1) << index % 64;
    slab->used_count = (uint8_t)(slab->used_count + (used ? 1 : -1));
    slab_link(slab);
}

static unsigned free_slot(const struct slab *slab)
{
    return ~slab->used[0] != 0 ? (unsigned)__builtin_ctzll(~slab->used[0])
                               : 64 + (unsigned)__builtin_ctzll(~slab->used[1]);
}

static bool aligned(unsigned class, size_t alignment)
{
    return ((classes[class].first_slot | classes[class].slot_size) & (alignment - 1)) == 0;
}

/* A slab with a free slot of the class, else of one of the next two that has one (some bytes more cost less than a
 * page that is used for little else), else a new one. */
static struct slab *slab_for(unsigned class, size_t alignment)
{
    for (unsigned near = class; near < CLASSES && near <= class + 2; near++)
        if (heap.partial[near] != NULL && aligned(near, alignment))
            return heap.partial[near];
    return slab_create(class);
}

/* A slot that was written to after it was freed is withdrawn: whoever wrote may do so again. */
static void *small_allocate(unsigned class, size_t size, size_t alignment)
{
    for (;;) {
        struct slab *slab = slab_for(class, alignment);
        if (slab == NULL)
            return NULL;
        size_t slot_size = slot_size_of(slab);
        unsigned index = free_slot(slab);
        uint8_t *slot = slot_at(slab, index);
        slab_count(slab, index, true);
        if (index < slab->fresh && !filled_with(slot, POISON, slot_size)) {
            say_corrupted(slot, "was written to after it was freed, and is withdrawn");
            continue;
        }
        if (index >= slab->fresh)
            slab->fresh = (uint8_t)(index + 1);
        seal(slot, slot_size, size);
        return slot;
    }
}

static bool refuse(const void *block, const char *why, const void *caller)
{
    heap.counts.double_frees++;
    log_error(WHO, "free of %p refused, it %s; called from %p", block, why, caller);
    return false;
}

static bool header_intact(const struct slab *slab)
{
    bool intact = slab->guard[0] == SLAB_GUARD && slab->guard[1] == SLAB_GUARD;

    if (!intact)
        say_corrupted(slot_at(slab, 0), "was written to before its beginning");
    return intact;
}

/* The slab around a block; NULL when there is none. */
static struct slab *slab_of(const void *block)
{
    struct slab *slab = (struct slab *)align_down((uintptr_t)block, PAGE_SIZE);
    unsigned access;

    if (!vm_lookup(slab, &access) || access != MMU_WRITE || slab->magic != (SLAB_MAGIC ^ (uintptr_t)slab) ||
        slab->class >= CLASSES)
        return NULL;
    if (!header_intact(slab))
        slab->guard[0] = slab->guard[1] = SLAB_GUARD;
    return slab;
}

static bool small_free(void *block, size_t *size, const void *caller)
{
    struct slab *slab = slab_of(block);

    if (slab == NULL)
        return refuse(block, "is not a block of the heap", caller);
    size_t slot_size = slot_size_of(slab), offset = (uintptr_t)block % PAGE_SIZE - classes[slab->class].first_slot;
    unsigned index = (unsigned)(offset / slot_size);
    if (offset >= PAGE_SIZE || offset % slot_size != 0 || index >= classes[slab->class].slot_count)
        return refuse(block, "points into a block, not to its beginning", caller);
    if (!slot_used(slab, index))
        return refuse(block, "is free already", caller);
    if (slab->kept || !unseal(block, slot_size, size))
        return false;
    guard_intact(block, slot_size, *size);
    memset(block, POISON, slot_size);
    slab_count(slab, index, false);
    if (slab->used_count == 0)
        slab_destroy(slab);
    return true;
}

/* The class whose slots hold this many bytes and are aligned so, or NO_CLASS. */
static unsigned class_for(size_t size, size_t alignment)
{
    for (unsigned class = 0; class < CLASSES; class ++)
        if (size + GUARD_LEAST + SLACK_SIZE <= classes[class].slot_size && aligned(class, alignment))
            return class;
    return NO_CLASS;
}

/* ---- Runs of pages ----------------------------------------------------------------------------------- */

static unsigned order_of(size_t size)
{
    unsigned order = 0;

    while (order <= FRAME_MAX_ORDER && PAGE_SIZE << order < size)
        order++;
    return order;
}

static size_t run_size(const struct large *large)
{
    return PAGE_SIZE << large->pages % PAGE_SIZE;
}

static uint8_t *run_of(const struct large *large)
{
    return (uint8_t *)align_down(large->pages, PAGE_SIZE);
}

static size_t run_guard_size(const struct large *large)
{
    size_t rest = run_size(large) - large->size;

    return rest < LARGE_GUARD_MOST ? rest : LARGE_GUARD_MOST;
}

static void *large_allocate(size_t size, size_t alignment)
{
    unsigned order = order_of(size), alignment_order = order_of(alignment);

    if (order > FRAME_MAX_ORDER || alignment_order > FRAME_MAX_ORDER)
        return NULL;
    struct large *large = small_allocate(class_for(sizeof *large, SLOT_ALIGNMENT), sizeof *large, SLOT_ALIGNMENT);
    if (large == NULL)
        return NULL;
    void *pages = pages_allocate_raw(order, alignment_order);
    if (pages == NULL) {
        size_t ignored;
        small_free(large, &ignored, NULL);
        return NULL;
    }
    *large = (struct large){.next = heap.large, .pages = (uintptr_t)pages | order, .size = size};
    heap.large = large;
    heap.counts.pages += UINT64_C(1) << order;
    memset(run_of(large) + size, GUARD, run_guard_size(large));
    return pages;
}

static bool run_intact(const struct large *large)
{
    bool intact = filled_with(run_of(large) + large->size, GUARD, run_guard_size(large));

    if (!intact)
        say_corrupted(run_of(large), "was written to beyond its end");
    return intact;
}

static bool large_free(void *block, size_t *size, const void *caller)
{
    struct large **at = &heap.large, *large;

    while ((large = *at) != NULL && run_of(large) != block)
        at = &large->next;
    if (large == NULL)
        return refuse(block, "is free already, or never was a block of the heap", caller);
    if (large->kept)
        return false;
    unsigned order = (unsigned)(large->pages % PAGE_SIZE);
    size_t record;
    *size = large->size;
    *at = large->next;
    run_intact(large);
    memset(block, POISON, PAGE_SIZE); /* the rest would cost more than it finds */
    heap.counts.pages -= UINT64_C(1) << order;
    pages_free(block, order);
    small_free(large, &record, NULL);
    return true;
}

/* ---- C's functions ------------------------------------------------------------------------------------- */

void *aligned_alloc(size_t alignment, size_t size)
{
    uintptr_t saved = lock_take(&lock);
    void *block = NULL;

    if (is_power_of_two(alignment) && size <= PAGE_SIZE << FRAME_MAX_ORDER) {
        unsigned class = class_for(size, alignment);
        block = class != NO_CLASS ? small_allocate(class, size, alignment) : large_allocate(size, alignment);
    }
    if (block != NULL) {
        heap.counts.blocks_in_use++;
        heap.counts.bytes_in_use += size;
        if (heap.counts.bytes_in_use > heap.counts.peak_bytes)
            heap.counts.peak_bytes = heap.counts.bytes_in_use;
    } else {
        heap.counts.failures++;
    }
    lock_release(&lock, saved);
    return block;
}

void *malloc(size_t size)
{
    return aligned_alloc(SLOT_ALIGNMENT, size);
}

void *calloc(size_t count, size_t size)
{
    size_t total;
    void *block = malloc(__builtin_mul_overflow(count, size, &total) ? SIZE_MAX : total);

    return block != NULL ? memset(block, 0, total) : NULL;
}

void free(void *memory)
{
    const void *caller = __builtin_return_address(0);
    size_t size = 0;

    if (memory == NULL)
        return;
    uintptr_t saved = lock_take(&lock);
    if ((uintptr_t)memory % PAGE_SIZE == 0 ? large_free(memory, &size, caller) : small_free(memory, &size, caller)) {
        heap.counts.blocks_in_use--;
        heap.counts.bytes_in_use -= size;
    }
    lock_release(&lock, saved);
}

/* ---- Blocks that a device may still write to ------------------------------------------------------------ */

static struct large *run_with(const uint8_t *byte)
{
    struct large *large = heap.large;

    while (large != NULL && (size_t)(byte - run_of(large)) >= run_size(large))
        large = large->next;
    return large;
}

void heap_keep(const void *from, size_t size)
{
    const uint8_t *byte = from, *end = byte + size;
    uintptr_t saved = lock_take(&lock);

    while (byte < end) {
        struct large *large = run_with(byte);
        struct slab *slab = large == NULL ? slab_of(byte) : NULL;
        if (large != NULL)
            large->kept = true;
        else if (slab != NULL)
            slab->kept = true;
        byte = (const uint8_t *)(align_down((uintptr_t)byte, PAGE_SIZE) + PAGE_SIZE);
    }
    lock_release(&lock, saved);
}

/* ---- Looking at it ---------------------------------------------------------------------------------------- */

void heap_count(struct heap_counts *counts)
{
    uintptr_t saved = lock_take(&lock);

    *counts = heap.counts;
    lock_release(&lock, saved);
}

static bool slab_intact(const struct slab *slab)
{
    size_t slot_size = slot_size_of(slab), size;
    bool good = header_intact(slab);

    for (unsigned index = 0; index < slab->fresh; index++) {
        const uint8_t *slot = slot_at(slab, index);
        if (slot_used(slab, index)) {
            good &= unseal(slot, slot_size, &size) && guard_intact(slot, slot_size, size);
        } else if (!filled_with(slot, POISON, slot_size)) {
            say_corrupted(slot, "was written to after it was freed");
            good = false;
        }
    }
    return good;
}

bool heap_check(void)
{
    uintptr_t saved = lock_take(&lock);
    bool good = true;

    for (unsigned class = 0; class < CLASSES; class ++) {
        for (const struct slab *slab = heap.partial[class]; slab != NULL; slab = slab->next)
            good &= slab_intact(slab);
        for (const struct slab *slab = heap.full[class]; slab != NULL; slab = slab->next)
            good &= slab_intact(slab);
    }
    for (const struct large *large = heap.large; large != NULL; large = large->next)
        good &= run_intact(large);
    lock_release(&lock, saved);
    return good;
}
