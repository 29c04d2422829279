/* test_pagetable.c: the page-table walker beside an array that says for each page where it leads. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>
#include "fake_mmu.h"
#include "random.h"

enum { TABLES = 8192, WINDOWS = 4, WINDOW_PAGES = 3 << 18, OPERATIONS = 3000 };

#define MIB (UINT64_C(1) << 20)
#define GIB (UINT64_C(1) << 30)

/* ---- Tables ------------------------------------------------------------------------------------------- */

#define TABLES_BASE UINT64_C(0x40000000)

static pte (*tables)[512];
static unsigned tables_used, tables_limit;

static uint64_t table_alloc(void)
{
    if (tables_used == tables_limit)
        return 0;
    memset(tables[tables_used], 0, PAGE_SIZE);
    return TABLES_BASE + tables_used++ * PAGE_SIZE;
}

static void *table_at(uint64_t physical)
{
    assert_true(physical >= TABLES_BASE && physical < TABLES_BASE + tables_used * PAGE_SIZE &&
                physical % PAGE_SIZE == 0);
    return tables[(physical - TABLES_BASE) / PAGE_SIZE];
}

static struct page_table table = {.table_alloc = table_alloc, .table_at = table_at};

static int set_up(void **state)
{
    (void)state;
    tables = calloc(TABLES, PAGE_SIZE);
    tables_used = 0;
    tables_limit = TABLES;
    fake_largest_leaf = 2;
    fake_pages_flushed = 0;
    table.root = table_alloc();
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    free(tables);
    return 0;
}

/* ---- The oracle: a page's physical address, access, and which call mapped it ------------------------------ */

struct shadow {
    uint64_t physical; /* 0: not mapped */
    uint32_t access, call;
};

/* Across a boundary of 512 GiB, at the start, at the end, and at the physmap's. Not at the lower half's last page. */
static const uintptr_t windows[WINDOWS] = {0, (UINT64_C(512) << 30) - GIB, 0 - 3 * GIB, 0xffff800000000000};
static struct shadow *shadow[WINDOWS];

static void looks_as_expected(unsigned window, uint64_t page)
{
    uint64_t physical = 1, offset = page * 7 % PAGE_SIZE;
    unsigned access = 99;
    const struct shadow *expected = &shadow[window][page];
    bool mapped = page_lookup(&table, windows[window] + page * PAGE_SIZE + offset, &physical, &access);

    assert_int_equal(mapped, expected->physical != 0);
    if (mapped) {
        assert_int_equal(physical, expected->physical + offset);
        assert_int_equal(access, expected->access);
    }
}

static void range_looks_as_expected(struct test_random *random, unsigned window, uint64_t first, uint64_t count)
{
    for (int64_t near = -3; near <= 3; near++) {
        uint64_t at = first + (uint64_t)near, end = first + count + (uint64_t)near;
        if (at < WINDOW_PAGES)
            looks_as_expected(window, at);
        if (end < WINDOW_PAGES)
            looks_as_expected(window, end);
    }
    for (unsigned i = 0; i < 50; i++) {
        looks_as_expected(window, first + test_random_below(random, count));
        looks_as_expected(window, test_random_below(random, WINDOW_PAGES));
    }
}

/* Often aligned to, and as large as, a leaf. */
static uint64_t random_page(struct test_random *random, uint64_t limit)
{
    uint64_t unit = UINT64_C(1) << 9 * test_random_below(random, 3), page = test_random_below(random, limit);

    return test_random_below(random, 4) == 0 ? page : page / unit * unit;
}

static void map_something(struct test_random *random, uint32_t call)
{
    static const unsigned accesses[] = {MMU_READ, MMU_WRITE, MMU_EXECUTE, MMU_WRITE | MMU_USER, MMU_WRITE | MMU_DEVICE};
    unsigned window = (unsigned)test_random_below(random, WINDOWS), access = accesses[test_random_below(random, 5)];
    uint64_t first = random_page(random, WINDOW_PAGES),
             count = 1 + random_page(random, WINDOW_PAGES / 4) % (WINDOW_PAGES - first);
    uint64_t physical = (1 + random_page(random, UINT64_C(1) << 34)) * PAGE_SIZE;
    if (test_random_below(random, 2) == 0)
        physical = (physical & ~(GIB - 1)) + GIB + first * PAGE_SIZE % GIB; /* as aligned as the virtual address */
    bool busy = false;

    for (uint64_t i = 0; i < count; i++)
        busy |= shadow[window][first + i].physical != 0;
    enum status status = page_map(&table, windows[window] + first * PAGE_SIZE, physical, count * PAGE_SIZE, access);
    assert_int_equal(status, busy ? STATUS_BUSY : STATUS_OK);
    for (uint64_t i = 0; !busy && i < count; i++)
        shadow[window][first + i] = (struct shadow){physical + i * PAGE_SIZE, access, call};
    range_looks_as_expected(random, window, first, count);
}

static bool same_call(unsigned window, uint64_t before, uint64_t after)
{
    return before < WINDOW_PAGES && after < WINDOW_PAGES && shadow[window][before].physical != 0 &&
           shadow[window][after].physical != 0 && shadow[window][before].call == shadow[window][after].call;
}

static void unmap_something(struct test_random *random)
{
    unsigned window = (unsigned)test_random_below(random, WINDOWS);
    uint64_t first = random_page(random, WINDOW_PAGES), count = 1 + random_page(random, WINDOW_PAGES - first);

    if (test_random_below(random, 2) == 0) { /* whole mappings */
        while (same_call(window, first - 1, first))
            first--;
        for (count = 1; same_call(window, first + count - 1, first + count);)
            count++;
    }
    if (count > WINDOW_PAGES - first)
        count = WINDOW_PAGES - first;
    bool may_cut = same_call(window, first - 1, first) || same_call(window, first + count - 1, first + count);
    enum status status = page_unmap(&table, windows[window] + first * PAGE_SIZE, count * PAGE_SIZE);
    assert_true(status == STATUS_OK || (status == STATUS_INVALID && may_cut));
    if (status == STATUS_OK)
        memset(&shadow[window][first], 0, count * sizeof shadow[window][0]);
    range_looks_as_expected(random, window, first, count);
}

static void any_sequence_agrees_with_the_oracle(void **state)
{
    struct test_random random = test_random_start();

    (void)state;
    for (unsigned i = 0; i < WINDOWS; i++)
        shadow[i] = calloc(WINDOW_PAGES, sizeof shadow[i][0]);
    for (uint32_t call = 0; call < OPERATIONS; call++) {
        fake_largest_leaf = 1 + (unsigned)test_random_below(&random, 2);
        if (test_random_below(&random, 2) == 0)
            map_something(&random, call);
        else
            unmap_something(&random);
    }
    for (unsigned i = 0; i < WINDOWS; i++) {
        for (uint64_t page = 0; page < WINDOW_PAGES; page++)
            looks_as_expected(i, page);
        free(shadow[i]);
    }
}

/* ---- Single rules ---------------------------------------------------------------------------------------- */

static void the_largest_leaves_are_used(void **state)
{
    (void)state;
    assert_int_equal(page_map(&table, 4 * GIB, 8 * GIB, 2 * GIB, MMU_WRITE), STATUS_OK);
    assert_int_equal(tables_used, 2); /* the root and one below: leaves of 1 GiB */
    assert_int_equal(page_unmap(&table, 4 * GIB, 2 * GIB), STATUS_OK);
    assert_int_equal(fake_pages_flushed, 2);
    fake_largest_leaf = 1;
    assert_int_equal(page_map(&table, 4 * GIB, 8 * GIB, 2 * GIB, MMU_WRITE), STATUS_OK);
    assert_int_equal(tables_used, 4);
    assert_int_equal(page_map(&table, 9 * GIB, 2 * MIB + PAGE_SIZE, 4 * MIB, MMU_WRITE), STATUS_OK); /* never aligned */
    assert_int_equal(tables_used, 7);
}

static void leaves_are_not_cut(void **state)
{
    (void)state;
    assert_int_equal(page_map(&table, 4 * MIB, 4 * MIB, 4 * MIB, MMU_WRITE), STATUS_OK);
    assert_int_equal(page_unmap(&table, 4 * MIB + PAGE_SIZE, 4 * MIB - PAGE_SIZE), STATUS_INVALID);
    assert_int_equal(page_unmap(&table, 4 * MIB, 4 * MIB - PAGE_SIZE), STATUS_INVALID);
    assert_int_equal(page_unmap(&table, 5 * MIB, PAGE_SIZE), STATUS_INVALID);
    assert_true(page_lookup(&table, 8 * MIB - 1, NULL, NULL));
    assert_int_equal(fake_pages_flushed, 0);
    assert_int_equal(page_unmap(&table, 2 * MIB, 8 * MIB), STATUS_OK); /* more than was mapped */
    assert_false(page_lookup(&table, 8 * MIB - 1, NULL, NULL));
}

static void what_fails_leaves_nothing_mapped(void **state)
{
    (void)state;
    assert_int_equal(page_map(&table, 6 * MIB, 0, PAGE_SIZE, MMU_READ), STATUS_OK);
    assert_int_equal(page_map(&table, 0, 0x10000000, 8 * MIB, MMU_READ), STATUS_BUSY);
    for (uint64_t at = 0; at < 8 * MIB; at += PAGE_SIZE)
        assert_int_equal(page_lookup(&table, at, NULL, NULL), at == 6 * MIB);
    for (tables_limit = tables_used; tables_limit < tables_used + 4; tables_limit++) {
        unsigned before = tables_used;
        if (page_map(&table, GIB - PAGE_SIZE, GIB, 2 * MIB, MMU_READ) == STATUS_OK)
            break;
        assert_true(tables_used >= before);
        for (uint64_t at = GIB - PAGE_SIZE; at < GIB + 2 * MIB; at += PAGE_SIZE)
            assert_false(page_lookup(&table, at, NULL, NULL));
    }
    assert_true(page_lookup(&table, GIB, NULL, NULL));
}

static void what_no_entry_can_say_is_invalid(void **state)
{
    static const struct {
        uintptr_t at;
        uint64_t physical, size;
        unsigned access;
    } cases[] = {
        {GIB, GIB, PAGE_SIZE, MMU_WRITE | MMU_EXECUTE},
        {GIB + 1, GIB, PAGE_SIZE, MMU_READ},
        {GIB, GIB + 1, PAGE_SIZE, MMU_READ},
        {GIB, GIB, PAGE_SIZE - 1, MMU_READ},
        {GIB, GIB, 0, MMU_READ},
        {GIB, UINT64_C(1) << 52, PAGE_SIZE, MMU_READ},
        {GIB, (UINT64_C(1) << 52) - PAGE_SIZE, 2 * PAGE_SIZE, MMU_READ},
        {GIB, 0 - PAGE_SIZE, PAGE_SIZE, MMU_READ},
        {0x800000000000, GIB, PAGE_SIZE, MMU_READ},
        {0x800000000000 - PAGE_SIZE, GIB, 2 * PAGE_SIZE, MMU_READ},
        {0xffff7ffffffff000, GIB, PAGE_SIZE, MMU_READ},
        {0x123456789000000, GIB, PAGE_SIZE, MMU_READ},
        {0 - PAGE_SIZE, GIB, 2 * PAGE_SIZE, MMU_READ},
        {GIB, GIB, 0 - PAGE_SIZE, MMU_READ},
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        assert_int_equal(page_map(&table, cases[i].at, cases[i].physical, cases[i].size, cases[i].access),
                         STATUS_INVALID);
    assert_int_equal(tables_used, 1);
    assert_int_equal(page_unmap(&table, 1, PAGE_SIZE), STATUS_INVALID);
    assert_int_equal(page_unmap(&table, 0x800000000000, PAGE_SIZE), STATUS_INVALID);
    assert_false(page_lookup(&table, 0x800000000000, NULL, NULL));
    assert_int_equal(page_map(&table, 0 - PAGE_SIZE, GIB, PAGE_SIZE, MMU_READ), STATUS_OK);
    assert_true(page_lookup(&table, UINTPTR_MAX, NULL, NULL));
}

/* ---- Taking tables apart ------------------------------------------------------------------------------------- */

static uint64_t released[TABLES];
static unsigned released_count;

static void release(uint64_t physical)
{
    for (unsigned i = 0; i < released_count; i++)
        assert_int_not_equal(released[i], physical);
    released[released_count++] = physical;
    memset(table_at(physical), 0xff, PAGE_SIZE); /* nobody looks at it any more */
}

/* Tables of the lower half go, each once and at most so many at a time; the root and the upper half stay. */
static void tables_are_released_in_steps(void **state)
{
    const uintptr_t upper = 0xffff800000000000;

    for (unsigned most = 1; most < 40; most = most * 2 + 1) {
        tear_down(state);
        set_up(state);
        released_count = 0;
        assert_int_equal(page_map(&table, upper, GIB, 2 * PAGE_SIZE, MMU_WRITE), STATUS_OK);
        unsigned stay = tables_used;
        for (uintptr_t at = 0x10000; at < GIB << 17; at = at * 3 & ~(PAGE_SIZE - 1)) {
            assert_int_equal(page_map(&table, at, GIB, PAGE_SIZE, MMU_USER), STATUS_OK);
            assert_int_equal(page_unmap(&table, at, PAGE_SIZE), STATUS_OK);
        }
        unsigned all = tables_used - stay, before = 0;
        while (!page_release_tables(&table, UINT64_C(1) << 47, most, release)) {
            assert_int_equal(released_count - before, most);
            before = released_count;
        }
        assert_in_range(released_count - before, 0, most);
        assert_int_equal(released_count, all);
        for (unsigned i = 0; i < 256; i++)
            assert_int_equal(((pte *)table_at(table.root))[i], 0);
        assert_true(page_lookup(&table, upper + PAGE_SIZE, NULL, NULL));
        assert_true(page_release_tables(&table, UINT64_C(1) << 47, most, release));
        assert_int_equal(released_count, all);
    }
}

/* Wherever in its table the one entry stands that leads to another. */
static void no_table_is_passed_over(void **state)
{
    (void)state;
    for (unsigned index = 0; index < 511; index += 1 + index % 2) {
        const uintptr_t places[] = {index << 21, (index + 1) << 21, (uintptr_t)1 << 46 | (uintptr_t)index << 30};
        tables_used = released_count = 0;
        table.root = table_alloc();
        for (unsigned i = 0; i < 3; i++) {
            assert_int_equal(page_map(&table, places[i], PAGE_SIZE, PAGE_SIZE, MMU_USER), STATUS_OK);
            assert_int_equal(page_unmap(&table, places[i], PAGE_SIZE), STATUS_OK);
        }
        assert_true(page_release_tables(&table, UINT64_C(1) << 47, TABLES, release));
        assert_int_equal(released_count, tables_used - 1);
    }
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)

static const struct CMUnitTest tests[] = {
    TEST(any_sequence_agrees_with_the_oracle),
    TEST(the_largest_leaves_are_used),
    TEST(leaves_are_not_cut),
    TEST(what_fails_leaves_nothing_mapped),
    TEST(what_no_entry_can_say_is_invalid),
    TEST(tables_are_released_in_steps),
    TEST(no_table_is_passed_over),
};

int main(void)
{
    return cmocka_run_group_tests(tests, NULL, NULL);
}
