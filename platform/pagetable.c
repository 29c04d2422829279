/*
 * pagetable.c: the walker of page tables, one for all CPUs. Contract in mmu.h; ARCH/mmu.c encodes entries.
 *
 * Each table covers 512 entries; the functions below work through the part of a range that lies in one table
 * and descend where an entry leads further. Depth is MMU_LEVELS, whatever the tables hold.
 */
#include <platform/mmu.h>

enum { INDEX_BITS = 9, ENTRIES = 1 << INDEX_BITS, TOP_LEVEL = MMU_LEVELS - 1 };

/* What is left of a range; moves on as leaves are written. */
struct range {
    const struct page_table *table;
    uintptr_t at;
    uint64_t physical, left;
    unsigned access;
};

static uint64_t span_of(unsigned level)
{
    return PAGE_SIZE << (INDEX_BITS * level);
}

static unsigned index_of(uintptr_t address, unsigned level)
{
    return (unsigned)(address >> (PAGE_SHIFT + INDEX_BITS * level)) % ENTRIES;
}

static pte *entries_at(const struct page_table *table, uint64_t physical)
{
    return table->table_at(physical);
}

/* Page-aligned and within one half of the address space, where the bits above the translated ones repeat the last. */
static bool range_valid(uintptr_t at, uint64_t size)
{
    const unsigned below = PAGE_SHIFT + INDEX_BITS * MMU_LEVELS - 1;
    uintptr_t last = at + (size - 1);

    if (size == 0 || (at | size) % PAGE_SIZE != 0 || last < at)
        return false;
    return last >> below == 0 || at >> below == UINTPTR_MAX >> below;
}

static void advance(struct range *range, uint64_t size)
{
    range->at += size;
    range->physical += size;
    range->left -= size;
}

/* ---- Mapping ----------------------------------------------------------------------------------- */

static bool leaf_fits(const struct range *range, unsigned level)
{
    uint64_t span = span_of(level);

    return level <= mmu_largest_leaf() && range->left >= span && (range->at | range->physical) % span == 0;
}

static bool add_table(const struct page_table *table, pte *entry)
{
    uint64_t physical = table->table_alloc();

    if (physical == 0)
        return false;
    /* The new table's zeroes must be seen no later than the entry that leads to them. */
    mmu_entries_written();
    *entry = mmu_table(physical);
    return true;
}

/* One level deeper each time, MMU_LEVELS at most. NOLINTNEXTLINE(misc-no-recursion) */
static enum status map_in(struct range *range, uint64_t table, unsigned level)
{
    pte *entries = entries_at(range->table, table);
    enum status status = STATUS_OK;

    do {
        pte *entry = &entries[index_of(range->at, level)];
        if (!mmu_present(*entry) && leaf_fits(range, level)) {
            *entry = mmu_leaf(range->physical, level, range->access);
            advance(range, span_of(level));
            continue;
        }
        if (!mmu_present(*entry) && !add_table(range->table, entry))
            return STATUS_NO_MEMORY;
        if (level == 0 || mmu_is_leaf(*entry, level))
            return STATUS_BUSY;
        status = map_in(range, mmu_physical(*entry), level - 1);
    } while (status == STATUS_OK && range->left != 0 && index_of(range->at, level) != 0);
    return status;
}

/* Whether the encoder can say this: not writable and executable at once, no address beyond its width. */
static bool can_encode(uint64_t physical, uint64_t size, unsigned access)
{
    uint64_t last = physical + (size - PAGE_SIZE);
    pte leaf = mmu_leaf(last, 0, access);

    return physical % PAGE_SIZE == 0 && last >= physical && mmu_present(leaf) && mmu_physical(leaf) == last;
}

enum status page_map(const struct page_table *table, uintptr_t virtual_address, uint64_t physical, uint64_t size,
                     unsigned access)
{
    struct range range = {.table = table, .at = virtual_address, .physical = physical, .left = size, .access = access};

    if (!range_valid(virtual_address, size) || !can_encode(physical, size, access))
        return STATUS_INVALID;
    enum status status = map_in(&range, table->root, TOP_LEVEL);
    mmu_entries_written();
    if (status != STATUS_OK && range.left != size)
        page_unmap(table, virtual_address, size - range.left);
    return status;
}

bool page_top_entries(const struct page_table *table, uintptr_t virtual_address, uint64_t size, bool add)
{
    pte *entries = entries_at(table, table->root);
    unsigned last = index_of(virtual_address + (size - 1), TOP_LEVEL);

    for (unsigned i = index_of(virtual_address, TOP_LEVEL); i <= last; i++)
        if (!mmu_present(entries[i]) && (!add || !add_table(table, &entries[i])))
            return false;
    mmu_entries_written();
    return true;
}

/* ---- Unmapping and looking up --------------------------------------------------------------------- */

/* One level deeper each time, MMU_LEVELS at most. NOLINTNEXTLINE(misc-no-recursion) */
static void unmap_in(struct range *range, uint64_t table, unsigned level)
{
    pte *entries = entries_at(range->table, table);
    uint64_t span = span_of(level);

    do {
        pte *entry = &entries[index_of(range->at, level)];
        uint64_t rest = span - range->at % span;
        if (mmu_present(*entry) && level != 0 && !mmu_is_leaf(*entry, level)) {
            unmap_in(range, mmu_physical(*entry), level - 1);
            continue;
        }
        if (mmu_present(*entry)) {
            *entry = 0;
            mmu_entries_written();
            mmu_flush(range->at);
        }
        advance(range, rest < range->left ? rest : range->left);
    } while (range->left != 0 && index_of(range->at, level) != 0);
}

/* The leaf that maps an address, and its level; NULL when there is none. */
static const pte *leaf_of(const struct page_table *table, uintptr_t address, unsigned *level)
{
    uint64_t physical = table->root;

    for (*level = TOP_LEVEL;; --*level) {
        const pte *entry = &entries_at(table, physical)[index_of(address, *level)];
        if (!mmu_present(*entry))
            return NULL;
        if (mmu_is_leaf(*entry, *level))
            return entry;
        if (*level == 0)
            return NULL;
        physical = mmu_physical(*entry);
    }
}

/* Only the leaves at a range's ends can reach beyond it; a short range has both ends in one. */
static bool cuts_leaf(const struct page_table *table, uintptr_t at, uint64_t size)
{
    uintptr_t end = at + size;
    unsigned level;

    if (leaf_of(table, at, &level) != NULL) {
        if (at % span_of(level) != 0)
            return true;
        if (size <= span_of(level))
            return size < span_of(level);
    }
    return leaf_of(table, end - PAGE_SIZE, &level) != NULL && end % span_of(level) != 0;
}

enum status page_unmap(const struct page_table *table, uintptr_t virtual_address, uint64_t size)
{
    struct range range = {.table = table, .at = virtual_address, .left = size};

    if (!range_valid(virtual_address, size) || cuts_leaf(table, virtual_address, size))
        return STATUS_INVALID;
    unmap_in(&range, table->root, TOP_LEVEL);
    return STATUS_OK;
}

bool page_lookup(const struct page_table *table, uintptr_t virtual_address, uint64_t *physical, unsigned *access)
{
    unsigned level;
    const pte *leaf =
        range_valid(virtual_address & ~(PAGE_SIZE - 1), PAGE_SIZE) ? leaf_of(table, virtual_address, &level) : NULL;

    if (leaf == NULL)
        return false;
    if (physical != NULL)
        *physical = mmu_physical(*leaf) + virtual_address % span_of(level);
    if (access != NULL)
        *access = mmu_access_of(*leaf);
    return true;
}

/* ---- Taking tables apart --------------------------------------------------------------------------- */

struct release {
    const struct page_table *table;
    unsigned left;
    void (*release)(uint64_t physical);
};

/* The first entry from `i` on that is not zero, as nearly all are, or `count`: eight at a time. */
static unsigned next_used(const pte *entries, unsigned i, unsigned count)
{
    while (i < count && entries[i] == 0)
        if (i % 8 != 0 || (entries[i + 1] | entries[i + 2] | entries[i + 3] | entries[i + 4] | entries[i + 5] |
                           entries[i + 6] | entries[i + 7]) != 0)
            i++;
        else
            i += 8;
    return i < count ? i : count;
}

/* Frees the tables that the first `count` entries lead to, the lowest without a look at what is in them. False: there
 * are more than may be freed now. One level deeper each time, MMU_LEVELS at most. NOLINTNEXTLINE(misc-no-recursion) */
static bool release_in(struct release *work, uint64_t table, unsigned level, unsigned count)
{
    pte *entries = entries_at(work->table, table);

    for (unsigned i = next_used(entries, 0, count); i < count; i = next_used(entries, i + 1, count)) {
        if (!mmu_present(entries[i]) || mmu_is_leaf(entries[i], level))
            continue;
        uint64_t physical = mmu_physical(entries[i]);
        if ((level > 1 && !release_in(work, physical, level - 1, ENTRIES)) || work->left == 0)
            return false;
        work->left--;
        entries[i] = 0;
        work->release(physical);
    }
    return true;
}

bool page_release_tables(const struct page_table *table, uintptr_t end, unsigned most,
                         void (*release)(uint64_t physical))
{
    struct release work = {.table = table, .left = most, .release = release};
    bool done = release_in(&work, table->root, TOP_LEVEL, index_of(end - 1, TOP_LEVEL) + 1);

    mmu_entries_written();
    return done;
}
