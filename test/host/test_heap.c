/* test_heap.c: memory/heap.c over pages of the host, with a record of what each block must hold. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>
#include "host_log.h"
#include "random.h"
#include <platform/cpu.h>

#define malloc        vmos_malloc
#define calloc        vmos_calloc
#define aligned_alloc vmos_aligned_alloc
#define free          vmos_free
#include <memory/heap.c>
#undef malloc
#undef calloc
#undef aligned_alloc
#undef free

enum { RUNS = 4096, HELD = 600, ROUNDS = 60000 };

/* ---- The page source: what is out, and how much there may be --------------------------------------- */

static struct {
    uint8_t *pages;
    unsigned order;
} runs[RUNS];
static uint64_t pages_out, pages_limit;
static int interrupts_off;

void *pages_allocate_raw(unsigned order, unsigned alignment_order)
{
    size_t size = PAGE_SIZE << order, alignment = PAGE_SIZE << (alignment_order > order ? alignment_order : order);

    assert_int_equal(interrupts_off, 1);
    if (pages_out + (UINT64_C(1) << order) > pages_limit)
        return NULL;
    for (unsigned i = 0; i < RUNS; i++)
        if (runs[i].pages == NULL) {
            runs[i].order = order;
            runs[i].pages = aligned_alloc(alignment, size > alignment ? size : alignment);
            memset(runs[i].pages, 0xc3, size); /* contents are undefined */
            pages_out += UINT64_C(1) << order;
            return runs[i].pages;
        }
    fail_msg("more than %d runs of pages are out", RUNS);
    return NULL;
}

void pages_free(void *pages, unsigned order)
{
    for (unsigned i = 0; i < RUNS; i++)
        if (runs[i].pages == pages) {
            assert_int_equal(runs[i].order, order);
            free(runs[i].pages);
            runs[i].pages = NULL;
            pages_out -= UINT64_C(1) << order;
            return;
        }
    fail_msg("%p is not a run of pages that is out", pages);
}

bool vm_lookup(const void *address, unsigned *access)
{
    *access = MMU_WRITE;
    for (unsigned i = 0; i < RUNS; i++)
        if (runs[i].pages != NULL && (size_t)((const uint8_t *)address - runs[i].pages) < PAGE_SIZE << runs[i].order)
            return true;
    return false;
}

uintptr_t cpu_interrupts_disable(void)
{
    interrupts_off++;
    return 0;
}

void cpu_interrupts_restore(uintptr_t saved)
{
    (void)saved;
    interrupts_off--;
}

static int set_up(void **state)
{
    (void)state;
    assert_int_equal(pages_out, 0);
    memset(&heap, 0, sizeof heap);
    pages_limit = UINT64_MAX;
    host_log_clear();
    return 0;
}

static struct heap_counts counts(void)
{
    struct heap_counts now;

    heap_count(&now);
    assert_int_equal(now.pages, pages_out);
    assert_int_equal(interrupts_off, 0);
    return now;
}

static void is_empty(void)
{
    assert_int_equal(counts().bytes_in_use, 0);
    assert_int_equal(counts().blocks_in_use, 0);
    assert_int_equal(pages_out, 0);
}

/* ---- What must hold ---------------------------------------------------------------------------------- */

static size_t random_size(struct test_random *random)
{
    uint64_t kind = test_random_below(random, 20);

    return test_random_below(random, kind == 0 ? 70000 : kind < 3 ? 5000 : 400);
}

static void blocks_hold_what_was_written(void **state)
{
    struct test_random random = test_random_start();
    static struct {
        uint8_t *block;
        size_t size;
        uint8_t byte;
    } held[HELD];
    uint64_t bytes = 0, blocks = 0;

    (void)state;
    for (unsigned round = 0; round < ROUNDS; round++) {
        unsigned i = (unsigned)test_random_below(&random, HELD);
        if (held[i].block != NULL) {
            assert_true(filled_with(held[i].block, held[i].byte, held[i].size));
            vmos_free(held[i].block);
            bytes -= held[i].size;
            blocks--;
            held[i].block = NULL;
            continue;
        }
        size_t size = random_size(&random), alignment = 16;
        uint64_t how = test_random_below(&random, 4);
        if (how == 0)
            alignment = UINT64_C(1) << test_random_below(&random, 15);
        held[i].block = how == 0   ? vmos_aligned_alloc(alignment, size)
                        : how == 1 ? vmos_calloc(1, size)
                                   : vmos_malloc(size);
        assert_non_null(held[i].block);
        assert_int_equal((uintptr_t)held[i].block % alignment, 0);
        if (how == 1)
            assert_true(filled_with(held[i].block, 0, size));
        held[i].size = size;
        held[i].byte = (uint8_t)round;
        memset(held[i].block, held[i].byte, size);
        bytes += size;
        blocks++;
        assert_int_equal(counts().bytes_in_use, bytes);
        assert_int_equal(counts().blocks_in_use, blocks);
        if (round % 1000 == 0)
            assert_true(heap_check());
    }
    assert_true(counts().peak_bytes >= bytes);
    for (unsigned i = 0; i < HELD; i++)
        vmos_free(held[i].block);
    is_empty();
    assert_int_equal(host_log_count(LOG_ERROR), 0);
}

static void small_blocks_are_packed(void **state)
{
    static const struct {
        size_t size;
        unsigned to_a_page;
    } cases[] = {{1, 126},  {24, 126}, {25, 84},  {56, 63},  {120, 31},
                 {248, 15}, {392, 10}, {1336, 3}, {2008, 2}, {2009, 1}};

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        void *blocks[127];
        for (unsigned j = 0; j < cases[i].to_a_page; j++)
            blocks[j] = vmos_malloc(cases[i].size);
        assert_int_equal(pages_out, cases[i].size > 2008 ? 2 : 1); /* a run's record is a small block */
        for (unsigned j = 0; j < cases[i].to_a_page; j++)
            vmos_free(blocks[j]);
        is_empty();
    }
}

static void exhaustion_is_an_answer(void **state)
{
    void *blocks[2000];
    unsigned count = 0;

    (void)state;
    pages_limit = 20;
    while ((blocks[count] = vmos_malloc(100)) != NULL)
        count++;
    assert_int_equal(count, 20 * 31);
    assert_int_equal(counts().failures, 1);
    assert_null(vmos_malloc(5000));
    vmos_free(blocks[--count]);
    assert_non_null(blocks[count++] = vmos_malloc(100));
    while (count != 0)
        vmos_free(blocks[--count]);
    is_empty();
    pages_limit = 1; /* room for the record of a run, but not for the run */
    assert_null(vmos_malloc(5000));
    is_empty();
}

static void impossible_requests_are_refused(void **state)
{
    (void)state;
    assert_null(vmos_malloc(SIZE_MAX));
    assert_null(vmos_malloc((PAGE_SIZE << FRAME_MAX_ORDER) + 1));
    assert_null(vmos_calloc(SIZE_MAX / 2, 3));
    assert_null(vmos_calloc(UINT64_C(1) << 32, UINT64_C(1) << 32));
    assert_null(vmos_aligned_alloc(0, 10));
    assert_null(vmos_aligned_alloc(24, 10));
    assert_null(vmos_aligned_alloc(PAGE_SIZE << 11, 10));
    assert_int_equal(counts().failures, 7);
    vmos_free(NULL);
    void *nothing = vmos_malloc(0);
    vmos_free(nothing);
    is_empty();
}

static void double_frees_are_refused(void **state)
{
    void *small = vmos_malloc(40), *other = vmos_malloc(40), *large = vmos_malloc(9000);

    (void)state;
    vmos_free(small);
    vmos_free(small);
    assert_true(host_log_has("is free already; called from"));
    assert_int_equal(counts().double_frees, 1);
    vmos_free(large);
    vmos_free(large);
    assert_int_equal(counts().double_frees, 2);
    assert_true(heap_check());
    assert_int_equal(counts().blocks_in_use, 1);
    /* The block can be had once, not twice. */
    void *a = vmos_malloc(40), *b = vmos_malloc(40);
    assert_true(a != b && a != other && b != other);
    vmos_free(a);
    vmos_free(b);
    vmos_free(other);
    is_empty();
}

static void what_is_not_a_block_is_refused(void **state)
{
    uint8_t *block = vmos_malloc(100), *large = vmos_malloc(9000);
    static uint8_t elsewhere[64];

    (void)state;
    memset(large, 0, 9000);
    void *const wrong[] = {block + 1,
                           block + 16,
                           block - 64,
                           elsewhere,
                           (void *)16,
                           (void *)-16,
                           large + 16,
                           large + PAGE_SIZE,
                           (void *)align_down((uintptr_t)block, PAGE_SIZE),
                           (uint8_t *)align_down((uintptr_t)block, PAGE_SIZE) + 4090};
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        vmos_free(wrong[i]);
        assert_int_equal(counts().double_frees, i + 1);
        assert_int_equal(counts().blocks_in_use, 2);
    }
    memset(large, 1, 9000); /* what could pass for a header, were it not for the magic */
    host_log_clear();
    vmos_free(large + PAGE_SIZE + HEADER_SIZE);
    assert_true(host_log_has("is not a block of the heap"));
    assert_int_equal(counts().corrupted, 0);
    vmos_free(block + 16);
    assert_true(host_log_has("points into a block, not to its beginning"));
    assert_true(heap_check());
    vmos_free(block);
    vmos_free(large);
    is_empty();
}

static void a_write_beyond_the_end_is_noticed(void **state)
{
    static const size_t sizes[] = {1, 24, 25, 300, 2000, 4000, 4095, 9000};

    (void)state;
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        uint8_t *block = vmos_malloc(sizes[i]);
        assert_true(heap_check());
        block[sizes[i]] ^= 1;
        assert_false(heap_check());
        uint64_t before = counts().corrupted;
        vmos_free(block);
        assert_int_equal(counts().corrupted, before + 1);
        assert_true(host_log_has("was written to beyond its end"));
        is_empty();
    }
}

static void a_write_far_beyond_the_end_keeps_the_block(void **state)
{
    uint8_t *block = vmos_malloc(24), *next = vmos_malloc(24);

    (void)state;
    memset(block + 24, 0xff, 8);
    vmos_free(block);
    assert_true(host_log_has("far beyond its end, and stays in use for good"));
    assert_int_equal(counts().blocks_in_use, 2);
    vmos_free(next);
    memset(&heap, 0, sizeof heap);
    pages_free((void *)align_down((uintptr_t)block, PAGE_SIZE), 0);
}

/* Whoever frees it: also in the middle of a block, over several blocks, and what is no block at all. */
static void what_is_kept_is_never_free_again(void **state)
{
    uint8_t *small = vmos_malloc(24), *next = vmos_malloc(24), *other = vmos_malloc(1000);
    uint8_t *large = vmos_malloc(3 * PAGE_SIZE), *free_one = vmos_malloc(3 * PAGE_SIZE);
    uint8_t outside[8];

    (void)state;
    heap_keep(small + 8, 4);
    heap_keep(large + 2 * PAGE_SIZE - 4, 8);
    heap_keep(outside, sizeof outside);
    memset(small, 0x11, 24);
    memset(large, 0x22, 3 * PAGE_SIZE);
    vmos_free(small);
    vmos_free(large);
    vmos_free(free_one);
    vmos_free(other);
    assert_int_equal(counts().blocks_in_use, 3); /* with the one that shares a page */
    assert_int_equal(pages_out, 1 + 4 + 1);
    assert_int_equal(large[PAGE_SIZE], 0x22);
    for (unsigned i = 0; i < 200; i++)
        assert_ptr_not_equal(vmos_malloc(24), small);
    vmos_free(next);
    assert_int_equal(small[0], 0x11);
    assert_int_equal(counts().double_frees, 0);
    memset(&heap, 0, sizeof heap);
    for (unsigned i = 0; i < RUNS; i++)
        if (runs[i].pages != NULL)
            pages_free(runs[i].pages, runs[i].order);
}

static void a_write_before_the_first_block_is_noticed(void **state)
{
    uint8_t *block = vmos_malloc(24);

    (void)state;
    block[-1] ^= 1;
    assert_false(heap_check());
    vmos_free(block);
    assert_true(host_log_has("was written to before its beginning"));
    is_empty();
}

static void a_write_after_free_withdraws_the_slot(void **state)
{
    uint8_t *keep = vmos_malloc(100), *block = vmos_malloc(100);

    (void)state;
    vmos_free(block);
    assert_true(heap_check());
    block[50] = 1;
    assert_false(heap_check());
    uint8_t *next = vmos_malloc(100);
    assert_ptr_not_equal(next, block);
    assert_true(host_log_has("was written to after it was freed, and is withdrawn"));
    assert_int_equal(counts().blocks_in_use, 2);
    vmos_free(next);
    vmos_free(keep);
    assert_int_equal(pages_out, 1); /* the slab is kept for the slot's sake */
    memset(&heap, 0, sizeof heap);
    pages_free((void *)align_down((uintptr_t)block, PAGE_SIZE), 0);
}

static void freed_memory_is_poisoned(void **state)
{
    uint8_t *keep = vmos_malloc(100), *block = vmos_malloc(100);

    (void)state;
    memset(block, 7, 100);
    vmos_free(block);
    assert_true(filled_with(block, POISON, 100));
    vmos_free(keep);
    is_empty();
}

static void every_byte_is_looked_at(void **state)
{
    uint8_t bytes[160];

    (void)state;
    memset(bytes, POISON, sizeof bytes);
    for (size_t from = 0; from < 9; from++)
        for (size_t size = 0; size < sizeof bytes - 16; size++) {
            bytes[from + size] ^= 1; /* not looked at */
            assert_true(filled_with(bytes + from, POISON, size));
            bytes[from + size] ^= 1;
            for (size_t i = 0; i < size; i++) {
                bytes[from + i] ^= 1;
                assert_false(filled_with(bytes + from, POISON, size));
                bytes[from + i] ^= 1;
            }
            assert_true(size == 0 || !filled_with(bytes + from, GUARD, size));
        }
}

#define TEST(function) cmocka_unit_test_setup(function, set_up)

static const struct CMUnitTest tests[] = {
    TEST(blocks_hold_what_was_written),
    TEST(small_blocks_are_packed),
    TEST(exhaustion_is_an_answer),
    TEST(impossible_requests_are_refused),
    TEST(double_frees_are_refused),
    TEST(what_is_not_a_block_is_refused),
    TEST(a_write_beyond_the_end_is_noticed),
    TEST(a_write_far_beyond_the_end_keeps_the_block),
    TEST(what_is_kept_is_never_free_again),
    TEST(a_write_before_the_first_block_is_noticed),
    TEST(a_write_after_free_withdraws_the_slot),
    TEST(freed_memory_is_poisoned),
    TEST(every_byte_is_looked_at),
};

int main(void)
{
    return cmocka_run_group_tests(tests, NULL, NULL);
}
