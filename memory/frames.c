/*
 * frames.c: the buddy allocator of page frames. Contract in memory.h.
 *
 * Memory is divided into blocks of 2^order frames, aligned to their size. Two bits per frame say where blocks
 * begin and which are free; they are the truth, kept away from the memory they describe:
 *
 *     begins  free
 *       1      1    a free block begins here
 *       1      0    an allocated block begins here
 *       0      0    inside a block, or never handed over
 *       0      1    never handed over, and the block before ends here
 *
 * A block ends where the next bit is set, so its order need not be stored. Free blocks of one order are chained
 * through their own first bytes, to be found fast; a chain that was overwritten is made anew from the bits. Blocks of
 * the largest order are not chained but looked for in the bits, from the top of memory down: to begin with, all
 * memory is in such blocks, and none of it need be touched.
 *
 * One lock, around each public function. Not called from interrupts.
 */
#include <memory/memory.h>

#include <lib/bytes.h>
#include <lib/log.h>
#include <lib/string.h>
#include <platform/lock.h>

#define WHO "memory"

enum { WORD_BITS = 64 };

#define BLOCK_MAX (PAGE_SIZE << FRAME_MAX_ORDER)

/* At the start of a free block. Physical addresses of the neighbours, 0 for none. */
struct link {
    uint64_t next, previous;
};

static struct lock lock = {.name = "frames", .place = LOCK_PLACE_FRAMES};

static struct {
    uint64_t base, end; /* base is aligned to the largest block, so that indices are aligned as addresses are */
    uint64_t *begins, *free;
    void *(*touch)(uint64_t physical);
    uint64_t first[FRAME_MAX_ORDER], last[FRAME_MAX_ORDER];
    uint64_t whole_end; /* no free block of the largest order reaches beyond this */
    struct frame_counts counts;
} frames;

/* ---- Bits ---------------------------------------------------------------------------------------- */

static uint64_t frame_count(void)
{
    return (frames.end - frames.base) / PAGE_SIZE;
}

static uint64_t words_for(uint64_t base, uint64_t end)
{
    return ((end - align_down(base, BLOCK_MAX)) / PAGE_SIZE + WORD_BITS - 1) / WORD_BITS;
}

static uint64_t frame_at(uint64_t physical)
{
    return (physical - frames.base) / PAGE_SIZE;
}

static bool bit(const uint64_t *bits, uint64_t frame)
{
    return (bits[frame / WORD_BITS] >> frame % WORD_BITS & 1) != 0;
}

static void set_bit(uint64_t *bits, uint64_t frame, bool value)
{
    uint64_t mask = UINT64_C(1) << frame % WORD_BITS;

    if (value)
        bits[frame / WORD_BITS] |= mask;
    else
        bits[frame / WORD_BITS] &= ~mask;
}

/* The next frame from `frame` on, before `limit`, with either bit set; `limit` when there is none. */
static uint64_t next_edge(uint64_t frame, uint64_t limit)
{
    while (frame < limit) {
        uint64_t word = (frames.begins[frame / WORD_BITS] | frames.free[frame / WORD_BITS]) >> frame % WORD_BITS;
        if (word != 0) {
            frame += (uint64_t)__builtin_ctzll(word);
            return frame < limit ? frame : limit;
        }
        frame = align_down(frame, WORD_BITS) + WORD_BITS;
    }
    return limit;
}

/* Does a block of exactly this order begin here, and is it free, or allocated? */
static bool is_block(uint64_t physical, unsigned order, bool free)
{
    uint64_t size = PAGE_SIZE << order;

    if (physical < frames.base || physical >= frames.end || physical % size != 0 || frames.end - physical < size)
        return false;
    uint64_t frame = frame_at(physical), after = frame + (UINT64_C(1) << order);
    if (!bit(frames.begins, frame) || bit(frames.free, frame) != free || next_edge(frame + 1, after) != after)
        return false;
    return after == frame_count() || bit(frames.begins, after) || bit(frames.free, after);
}

static void mark(uint64_t physical, bool free)
{
    set_bit(frames.begins, frame_at(physical), true);
    set_bit(frames.free, frame_at(physical), free);
}

/* ---- Chains -------------------------------------------------------------------------------------- */

static struct link *link_at(uint64_t physical)
{
    return frames.touch(physical);
}

static void chain(uint64_t physical, unsigned order)
{
    if (order == FRAME_MAX_ORDER) {
        if (physical + BLOCK_MAX > frames.whole_end)
            frames.whole_end = physical + BLOCK_MAX;
        return;
    }
    *link_at(physical) = (struct link){.next = frames.first[order]};
    if (frames.first[order] != 0)
        link_at(frames.first[order])->previous = physical;
    else
        frames.last[order] = physical;
    frames.first[order] = physical;
}

/* Do the block's neighbours in the chain agree that it stands between them? */
static bool chained(uint64_t physical, unsigned order)
{
    if (order == FRAME_MAX_ORDER)
        return true;

    const struct link *link = link_at(physical);
    uint64_t next = link->next, previous = link->previous;

    if (next == 0 ? frames.last[order] != physical
                  : !is_block(next, order, true) || link_at(next)->previous != physical)
        return false;
    return previous == 0 ? frames.first[order] == physical
                         : is_block(previous, order, true) && link_at(previous)->next == physical;
}

/* Calls for each block, in order of address; `order` is what its length says. False: a block has no valid length. */
static bool each_block(void (*visit)(uint64_t physical, unsigned order, bool free))
{
    uint64_t count = frame_count();

    for (uint64_t frame = next_edge(0, count); frame < count;) {
        uint64_t after = next_edge(frame + 1, count);
        if (bit(frames.begins, frame)) {
            uint64_t length = after - frame;
            unsigned order = (unsigned)__builtin_ctzll(length);
            if (!is_power_of_two(length) || order > FRAME_MAX_ORDER || frame % length != 0)
                return false;
            visit(frames.base + frame * PAGE_SIZE, order, bit(frames.free, frame));
        }
        frame = after;
    }
    return true;
}

static void rechain(uint64_t physical, unsigned order, bool free)
{
    if (free)
        chain(physical, order);
}

static void rebuild_chains(uint64_t overwritten)
{
    log_error(WHO, "the free frame at 0x%llx was written to; the list of free frames is made anew",
              (unsigned long long)overwritten);
    memset(frames.first, 0, sizeof frames.first);
    memset(frames.last, 0, sizeof frames.last);
    frames.whole_end = frames.base;
    each_block(rechain);
}

static void unchain(uint64_t physical, unsigned order)
{
    if (order == FRAME_MAX_ORDER)
        return;
    if (!chained(physical, order))
        rebuild_chains(physical);
    struct link link = *link_at(physical);
    if (link.next != 0)
        link_at(link.next)->previous = link.previous;
    else
        frames.last[order] = link.previous;
    if (link.previous != 0)
        link_at(link.previous)->next = link.next;
    else
        frames.first[order] = link.next;
}

/* ---- Blocks -------------------------------------------------------------------------------------- */

/* A block becomes free and joins its buddy as long as that is free as a whole. */
static void release(uint64_t physical, unsigned order)
{
    for (; order < FRAME_MAX_ORDER; order++) {
        uint64_t buddy = physical ^ (PAGE_SIZE << order);
        if (!is_block(buddy, order, true))
            break;
        unchain(buddy, order);
        uint64_t upper = buddy > physical ? buddy : physical;
        set_bit(frames.begins, frame_at(upper), false);
        set_bit(frames.free, frame_at(upper), false);
        physical = buddy < physical ? buddy : physical;
    }
    mark(physical, true);
    chain(physical, order);
}

/* The highest free block of the largest order whose first `size` bytes lie below the limit; 0: none. */
static uint64_t find_whole(uint64_t size, uint64_t limit)
{
    uint64_t end = frames.whole_end;
    bool first = true;

    for (uint64_t block; end - frames.base >= BLOCK_MAX; end = block) {
        block = end - BLOCK_MAX;
        if (!is_block(block, FRAME_MAX_ORDER, true))
            continue;
        if (first)
            frames.whole_end = end;
        first = false;
        if (limit == 0 || block + size <= limit)
            return block;
    }
    if (first)
        frames.whole_end = frames.base;
    return 0;
}

/* A free block of at least this order whose first 2^order frames lie below the limit; 0: none. Calls itself at most
 * once for each broken chain, which is mended first. NOLINTNEXTLINE(misc-no-recursion) */
static uint64_t find(unsigned order, uint64_t limit, unsigned *found)
{
    uint64_t size = PAGE_SIZE << order;

    for (*found = order; *found < FRAME_MAX_ORDER; ++*found) {
        uint64_t block = limit == 0 ? frames.first[*found] : frames.last[*found];
        while (block != 0) {
            if (!chained(block, *found)) {
                rebuild_chains(block);
                return find(order, limit, found);
            }
            if (limit == 0 || block + size <= limit)
                return block;
            block = link_at(block)->previous;
        }
    }
    return find_whole(size, limit);
}

size_t frames_metadata_size(uint64_t base, uint64_t end)
{
    return 2 * sizeof(uint64_t) * words_for(base, end);
}

void frames_init(uint64_t base, uint64_t end, void *metadata, void *(*touch)(uint64_t physical))
{
    uint64_t words = words_for(base, end);

    memset(&frames, 0, sizeof frames);
    frames.base = align_down(base, BLOCK_MAX);
    frames.end = align_down(end, PAGE_SIZE);
    frames.whole_end = frames.base;
    frames.touch = touch;
    frames.begins = metadata;
    frames.free = frames.begins + words;
    memset(metadata, 0, 2 * sizeof(uint64_t) * words);
}

static void add(uint64_t base, uint64_t size)
{
    uint64_t end = align_down(size > UINT64_MAX - base ? UINT64_MAX : base + size, PAGE_SIZE);

    if (end > frames.end)
        end = frames.end;
    if (base < frames.base)
        base = frames.base;
    if (base == 0)
        base = PAGE_SIZE; /* 0 means "none" to those who ask for frames */
    if (base >= end || align_up(base, PAGE_SIZE) >= end)
        return;
    uint64_t at = align_up(base, PAGE_SIZE);
    if (end < frames.end && !bit(frames.begins, frame_at(end)))
        set_bit(frames.free, frame_at(end), true);
    frames.counts.total += (end - at) / PAGE_SIZE;
    frames.counts.free += (end - at) / PAGE_SIZE;
    while (at < end) {
        unsigned order = FRAME_MAX_ORDER;
        while (at % (PAGE_SIZE << order) != 0 || end - at < PAGE_SIZE << order)
            order--;
        uint64_t next = at + (PAGE_SIZE << order);
        if (next < end)
            set_bit(frames.free, frame_at(next), true); /* an edge, until the next block begins there */
        release(at, order);
        at = next;
    }
}

void frames_add(uint64_t base, uint64_t size)
{
    uintptr_t saved = lock_take(&lock);

    add(base, size);
    lock_release(&lock, saved);
}

/* A block that is split keeps its lower half, and with it the alignment of the whole. */
static uint64_t allocate(unsigned order, unsigned alignment_order, uint64_t limit)
{
    unsigned found = 0, least = order > alignment_order ? order : alignment_order;
    uint64_t physical = least <= FRAME_MAX_ORDER ? find(least, limit, &found) : 0;

    if (physical == 0) {
        frames.counts.refused++;
        return 0;
    }
    unchain(physical, found);
    while (found > order) {
        found--;
        uint64_t upper = physical + (PAGE_SIZE << found);
        mark(upper, true);
        chain(upper, found);
    }
    mark(physical, false);
    frames.counts.free -= UINT64_C(1) << order;
    uint64_t used = frames.counts.total - frames.counts.free;
    if (used > frames.counts.peak_used)
        frames.counts.peak_used = used;
    return physical;
}

uint64_t frames_allocate_aligned(unsigned order, unsigned alignment_order, uint64_t limit)
{
    uintptr_t saved = lock_take(&lock);
    uint64_t physical = allocate(order, alignment_order, limit);

    lock_release(&lock, saved);
    return physical;
}

uint64_t frames_allocate(unsigned order, uint64_t limit)
{
    return frames_allocate_aligned(order, order, limit);
}

static void refuse(uint64_t physical, unsigned order)
{
    const char *why = "no block of that size was allocated there";

    if (physical < frames.base || physical >= frames.end)
        why = "that is not memory that was handed out";
    else if (bit(frames.begins, frame_at(physical)) && bit(frames.free, frame_at(physical)))
        why = "it is free already";
    log_error(WHO, "0x%llx was to be freed as a block of order %u, but %s; refused", (unsigned long long)physical,
              order, why);
}

bool frames_free(uint64_t physical, unsigned order)
{
    uintptr_t saved = lock_take(&lock);
    bool good = order <= FRAME_MAX_ORDER && is_block(physical, order, false);

    if (good) {
        frames.counts.free += UINT64_C(1) << order;
        release(physical, order);
    } else {
        refuse(physical, order);
    }
    lock_release(&lock, saved);
    return good;
}

void frames_count(struct frame_counts *counts)
{
    uintptr_t saved = lock_take(&lock);

    *counts = frames.counts;
    lock_release(&lock, saved);
}

/* ---- Checking ------------------------------------------------------------------------------------- */

static uint64_t check_total, check_free, check_blocks[FRAME_MAX_ORDER + 1];

static void check_visit(uint64_t physical, unsigned order, bool free)
{
    (void)physical;
    check_total += UINT64_C(1) << order;
    if (free) {
        check_free += UINT64_C(1) << order;
        check_blocks[order]++;
    }
}

static bool check_chain(unsigned order)
{
    uint64_t block = frames.first[order], seen = 0;

    for (; block != 0 && seen < check_blocks[order]; seen++) {
        if (!is_block(block, order, true) || !chained(block, order)) {
            log_error(WHO, "the list of free blocks of %llu frames is broken at 0x%llx", 1ULL << order,
                      (unsigned long long)block);
            return false;
        }
        block = link_at(block)->next;
    }
    if (block != 0 || seen != check_blocks[order])
        log_error(WHO, "the list of free blocks of %llu frames does not hold all %llu of them", 1ULL << order,
                  (unsigned long long)check_blocks[order]);
    return block == 0 && seen == check_blocks[order];
}

static bool check(void)
{
    bool good = true;

    check_total = check_free = 0;
    memset(check_blocks, 0, sizeof check_blocks);
    if (!each_block(check_visit)) {
        log_error(WHO, "the map of frames holds a block whose size is impossible");
        return false;
    }
    if (check_total != frames.counts.total || check_free != frames.counts.free) {
        log_error(WHO, "%llu frames are mapped out, %llu of them free, but %llu and %llu are counted",
                  (unsigned long long)check_total, (unsigned long long)check_free,
                  (unsigned long long)frames.counts.total, (unsigned long long)frames.counts.free);
        good = false;
    }
    for (unsigned order = 0; order < FRAME_MAX_ORDER; order++)
        good &= check_chain(order);
    return good;
}

bool frames_check(void)
{
    uintptr_t saved = lock_take(&lock);
    bool good = check();

    lock_release(&lock, saved);
    return good;
}
