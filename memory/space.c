/*
 * space.c: the user half of address spaces. Contract in space.h.
 *
 * Mappings stand in a list, in order of address. Where a mapping is put is random, but within a window of 64 MiB, at a
 * random place of its own in each space: tables are never given back before the space ends, and a process that maps
 * and unmaps for long should not have one for each place that it has ever used. A window that is full is left for
 * another.
 *
 * An identifier tells the CPU whose translation it remembers. There are fewer than processes can be: who comes when
 * all are taken has 0, which everybody flushes who changes to it. An identifier is used again only after every CPU that
 * may remember something has been made to forget it.
 */
#include <lib/bytes.h>
#include <lib/log.h>
#include <lib/string.h>
#include <memory/space.h>
#include <platform/cpu.h>
#include <platform/user.h>

enum { IDENTIFIERS = 1024, WORD_BITS = 64, WINDOW_TRIES = 8 };

#define LARGE_PAGE  (UINT64_C(2) << 20)
#define WINDOW_SIZE (UINT64_C(64) << 20)

static uint64_t (*random_word)(void);
static uint64_t identifiers_used[IDENTIFIERS / WORD_BITS];
static struct space *active[CPU_MAX];

/* ---- Identifiers --------------------------------------------------------------------------------------------------
 */

static unsigned identifier_take(void)
{
    unsigned count = mmu_identifier_count();

    for (unsigned i = 1; i < count && i < IDENTIFIERS; i++)
        if ((identifiers_used[i / WORD_BITS] >> i % WORD_BITS & 1) == 0) {
            identifiers_used[i / WORD_BITS] |= UINT64_C(1) << i % WORD_BITS;
            return i;
        }
    return 0;
}

static void identifier_give(unsigned identifier)
{
    identifiers_used[identifier / WORD_BITS] &= ~(UINT64_C(1) << identifier % WORD_BITS);
}

/* Which CPUs have it active now. */
static uint64_t active_on(const struct space *space)
{
    uint64_t cpus = 0;

    for (unsigned i = 0; i < cpu_count() && i < CPU_MAX; i++)
        if (active[i] == space)
            cpus |= UINT64_C(1) << i;
    return cpus;
}

bool space_active(const struct space *space)
{
    return active_on(space) != 0;
}

/* Every CPU forgets what it remembers of the space. Afterwards only those that are in it can remember more. */
static bool flush(struct space *space)
{
    uint64_t self = UINT64_C(1) << cpu_local()->index;

    if (!mmu_space_flush(space->identifier, space->cpus & ~self))
        return false;
    space->cpus = active_on(space);
    return true;
}

void space_activate(struct space *space)
{
    unsigned cpu = cpu_local()->index;
    uint64_t self = UINT64_C(1) << cpu;
    /* Marked before anything can be remembered. Who leaves 0 leaves nothing behind: whoever has it next is flushed. */
    struct space *before = active[cpu];

    if (before == space)
        return;
    if (space != NULL)
        space->cpus |= self;
    active[cpu] = space;
    if (space != NULL)
        mmu_space_activate(space->table.root, space->identifier);
    else
        mmu_space_activate(0, 0);
    if (before != NULL && before->identifier == 0)
        before->cpus &= ~self;
}

/* ---- Tables -------------------------------------------------------------------------------------------------------
 */

static struct space *working_on; /* whose tables are made or freed: the walker knows only addresses */
static bool charge_refused;

static uint64_t table_alloc(void)
{
    if (!working_on->charge(working_on->payer, (int64_t)PAGE_SIZE)) {
        charge_refused = true;
        return 0;
    }
    uint64_t physical = frames_allocate(0, 0);
    if (physical == 0) {
        working_on->charge(working_on->payer, -(int64_t)PAGE_SIZE);
        return 0;
    }
    working_on->table_bytes += PAGE_SIZE;
    memset(physical_to_virtual(physical), 0, PAGE_SIZE);
    return physical;
}

static void table_free(uint64_t physical)
{
    working_on->table_bytes -= PAGE_SIZE;
    working_on->charge(working_on->payer, -(int64_t)PAGE_SIZE);
    frames_free(physical, 0);
}

static void *table_at(uint64_t physical)
{
    return physical_to_virtual(physical);
}

void space_start(uint64_t (*random)(void))
{
    random_word = random;
}

enum status space_init(struct space *space, space_charge *charge, void *payer)
{
    memset(space, 0, sizeof *space);
    space->charge = charge;
    space->payer = payer;
    space->table = (struct page_table){.table_alloc = table_alloc, .table_at = table_at};
    working_on = space;
    charge_refused = false;
    space->table.root = table_alloc();
    if (space->table.root == 0)
        return charge_refused ? STATUS_LIMIT : STATUS_NO_MEMORY;
    mmu_space_init(space->table.root);
    space->identifier = identifier_take();
    return STATUS_OK;
}

bool space_destroy(struct space *space, unsigned most)
{
    if (space->table.root == 0)
        return true;
    /* A CPU may have kept parts of the tables themselves, by this identifier; none walks them anew. */
    if (!flush(space)) {
        log_error("memory", "%llu KiB of page tables stay unused for good: a CPU may still look at them",
                  (unsigned long long)space->table_bytes / 1024);
        space->table.root = 0;
        return true;
    }
    working_on = space;
    if (!page_release_tables(&space->table, USER_TOP, most, table_free))
        return false;
    table_free(space->table.root);
    space->table.root = 0;
    if (space->identifier != 0)
        identifier_give(space->identifier);
    return true;
}

/* ---- Places -------------------------------------------------------------------------------------------------------
 */

/* A number below `bound`: what the last, incomplete round of a 64-bit number would favour is drawn again. */
static uint64_t random_below(uint64_t bound)
{
    uint64_t excess = (UINT64_MAX - bound + 1) % bound, word;

    do {
        word = random_word();
    } while (word < excess);
    return word % bound;
}

/* How many places for `size` bytes, with a page free on either side, a gap has; the first is put in `first`. */
static uint64_t places_in(uintptr_t gap, uintptr_t gap_end, uint64_t size, uint64_t alignment, uintptr_t *first)
{
    *first = align_up(gap + PAGE_SIZE, alignment);
    if (gap >= gap_end || *first >= gap_end || gap_end - *first < size + PAGE_SIZE)
        return 0;
    return (gap_end - *first - size - PAGE_SIZE) / alignment + 1;
}

/* The `wanted`th place of all gaps in [from, end); 0: there are fewer, and `count` says how many. */
static uintptr_t place(const struct space *space, uintptr_t from, uintptr_t end, uint64_t size, uint64_t alignment,
                       uint64_t wanted, uint64_t *count)
{
    const struct mapping *next = space->mappings;
    uintptr_t gap = from, first;

    *count = 0;
    for (;;) {
        uintptr_t gap_end = next != NULL && next->address < end ? next->address : end;
        uint64_t places = places_in(gap, gap_end, size, alignment, &first);
        if (wanted - *count < places)
            return first + (wanted - *count) * alignment;
        *count += places;
        if (next == NULL || next->address >= end)
            return 0;
        if (next->address + next->size > gap)
            gap = next->address + next->size;
        next = next->next;
    }
}

static uintptr_t choose_in(const struct space *space, uintptr_t from, uintptr_t end, uint64_t size, uint64_t alignment)
{
    uint64_t count;

    place(space, from, end, size, alignment, UINT64_MAX, &count);
    return count != 0 ? place(space, from, end, size, alignment, random_below(count), &count) : 0;
}

uintptr_t space_choose(struct space *space, uint64_t size, uint64_t alignment)
{
    const uint64_t windows = (USER_TOP - USER_BOTTOM) / WINDOW_SIZE - 1;

    if (size == 0 || size % PAGE_SIZE != 0 || size > USER_TOP || !is_power_of_two(alignment) || alignment < PAGE_SIZE ||
        alignment > USER_TOP)
        return 0;
    for (unsigned try = 0; size <= WINDOW_SIZE / 2 && try < WINDOW_TRIES; try++) {
        if (space->window != 0) {
            uintptr_t at = choose_in(space, space->window, space->window + WINDOW_SIZE, size, alignment);
            if (at != 0)
                return at;
        }
        space->window = (1 + random_below(windows)) * WINDOW_SIZE;
    }
    return choose_in(space, USER_BOTTOM, USER_TOP, size, alignment);
}

/* ---- Mapping ------------------------------------------------------------------------------------------------------
 */

/* Where the list goes on at or behind an address. */
static struct mapping **link_behind(struct space *space, uintptr_t address)
{
    struct mapping **link = &space->mappings;

    while (*link != NULL && (*link)->address + ((*link)->size - 1) < address)
        link = &(*link)->next;
    return link;
}

struct mapping *space_find(const struct space *space, uintptr_t address)
{
    struct mapping *mapping = *link_behind((struct space *)(uintptr_t)space, address);

    return mapping != NULL && mapping->address <= address ? mapping : NULL;
}

/* A range of pages that has no large block gains nothing from a large alignment. */
static uint64_t alignment_for(const struct pages *pages, uint64_t offset, uint64_t size)
{
    bool large = size >= LARGE_PAGE && offset % LARGE_PAGE == 0 && pages->runs != 0 && pages->run[0].size >= LARGE_PAGE;

    return large ? LARGE_PAGE : PAGE_SIZE;
}

static enum status check(const struct pages *pages, uintptr_t at, uint64_t offset, uint64_t size, unsigned access)
{
    if (size == 0 || (at | offset | size) % PAGE_SIZE != 0 || offset > pages->size || size > pages->size - offset)
        return STATUS_INVALID;
    if ((access & ~(unsigned)(MMU_WRITE | MMU_EXECUTE)) != 0) /* both: page_map refuses */
        return STATUS_INVALID;
    if (at != 0 && (at < USER_BOTTOM || at >= USER_TOP || size > USER_TOP - at))
        return STATUS_INVALID;
    return STATUS_OK;
}

static enum status write_entries(struct space *space, const struct mapping *mapping, const struct pages *pages)
{
    uint64_t from = mapping->offset, end = mapping->offset + mapping->size, run_at = 0;
    uintptr_t at = mapping->address;
    enum status status = STATUS_OK;

    working_on = space;
    charge_refused = false;
    for (uint32_t i = 0; i < pages->runs && from < end && status == STATUS_OK; i++) {
        const struct page_run *run = &pages->run[i];
        uint64_t run_end = run_at + run->size;
        if (from < run_end) {
            uint64_t size = (run_end < end ? run_end : end) - from;
            status = page_map(&space->table, at, run->physical + (from - run_at), size, mapping->access | MMU_USER);
            at += status == STATUS_OK ? size : 0;
            from += size;
        }
        run_at = run_end;
    }
    /* What was there for a moment may be remembered by a CPU that is in this space. */
    if (status != STATUS_OK) {
        if (at != mapping->address)
            page_unmap(&space->table, mapping->address, at - mapping->address);
        if (!flush(space))
            return STATUS_IO_ERROR;
    }
    return status == STATUS_NO_MEMORY && charge_refused ? STATUS_LIMIT : status;
}

enum status space_map(struct space *space, struct mapping *mapping, const struct pages *pages, uintptr_t at,
                      uint64_t offset, uint64_t size, unsigned access)
{
    enum status status = check(pages, at, offset, size, access);

    if (status != STATUS_OK)
        return status;
    if (space->mapping_count >= SPACE_MAPPINGS_MOST)
        return STATUS_LIMIT;
    if (at == 0)
        at = space_choose(space, size, alignment_for(pages, offset, size));
    if (at == 0)
        return STATUS_LIMIT;
    struct mapping **link = link_behind(space, at);
    if (*link != NULL && (*link)->address < at + size)
        return STATUS_BUSY;
    mapping->space = space;
    mapping->address = at;
    mapping->offset = offset;
    mapping->size = size;
    mapping->access = access;
    status = write_entries(space, mapping, pages);
    if (status != STATUS_OK)
        return status;
    mapping->next = *link;
    *link = mapping;
    space->mapping_count++;
    return STATUS_OK;
}

bool space_unmap(struct mapping *mapping)
{
    struct space *space = mapping->space;

    *link_behind(space, mapping->address) = mapping->next;
    space->mapping_count--;
    page_unmap(&space->table, mapping->address, mapping->size);
    return flush(space);
}
