/* test_frames.c: the frame allocator beside an array that says for each frame whose it is. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <memory/memory.h>
#include <stdlib.h>
#include <string.h>
#include "host_log.h"
#include "random.h"

enum { FRAMES = 16384, HELD = 400, ROUNDS = 20000 };

#define BASE   UINT64_C(0xfe400000) /* so that 4 GiB lies inside */
#define END    (BASE + FRAMES * PAGE_SIZE)
#define BLOCK  (PAGE_SIZE << FRAME_MAX_ORDER)
#define FOUR_G (UINT64_C(1) << 32)

static uint8_t *memory;
static unsigned touched;
static void *metadata;

enum { ABSENT, FREE, TAKEN };
static uint8_t oracle[FRAMES];

/* Only free frames may be touched: those that are out belong to somebody, those never handed over may not exist. */
static void *touch(uint64_t physical)
{
    assert_true(physical >= BASE && physical < END);
    touched++;
    return memory + (physical - BASE);
}

static int set_up(void **state)
{
    (void)state;
    memory = aligned_alloc(PAGE_SIZE, FRAMES * PAGE_SIZE);
    metadata = malloc(frames_metadata_size(BASE, END));
    memset(metadata, 0xff, frames_metadata_size(BASE, END));
    frames_init(BASE, END, metadata, touch);
    memset(oracle, ABSENT, sizeof oracle);
    touched = 0;
    host_log_clear();
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    free(memory);
    free(metadata);
    return 0;
}

static void add(uint64_t base, uint64_t size)
{
    frames_add(base, size);
    for (uint64_t at = (base + PAGE_SIZE - 1) / PAGE_SIZE * PAGE_SIZE; at + PAGE_SIZE <= base + size; at += PAGE_SIZE)
        if (at >= BASE && at < END)
            oracle[(at - BASE) / PAGE_SIZE] = FREE;
}

static uint64_t count(uint8_t what)
{
    uint64_t found = 0;

    for (unsigned i = 0; i < FRAMES; i++)
        found += oracle[i] == what;
    return found;
}

static void set(uint64_t physical, unsigned order, uint8_t from, uint8_t to)
{
    for (uint64_t i = 0; i < UINT64_C(1) << order; i++) {
        uint8_t *frame = &oracle[(physical - BASE) / PAGE_SIZE + i];
        assert_int_equal(*frame, from);
        *frame = to;
    }
}

/* Could the oracle give such a block? Aligned, free as a whole, below the limit. */
static bool possible(unsigned order, uint64_t limit)
{
    uint64_t frames_in_block = UINT64_C(1) << order;

    for (uint64_t first = 0; first + frames_in_block <= FRAMES; first++) {
        uint64_t physical = BASE + first * PAGE_SIZE, i = 0;
        if (physical % (PAGE_SIZE << order) != 0 || (limit != 0 && physical + (PAGE_SIZE << order) > limit))
            continue;
        while (i < frames_in_block && oracle[first + i] == FREE)
            i++;
        if (i == frames_in_block)
            return true;
    }
    return false;
}

static void agrees(void)
{
    struct frame_counts counts;

    frames_count(&counts);
    assert_int_equal(counts.free, count(FREE));
    assert_int_equal(counts.total, count(FREE) + count(TAKEN));
    assert_true(frames_check());
}

static void add_odd_ranges(void)
{
    add(BASE + 5 * PAGE_SIZE + 123, 1000 * PAGE_SIZE); /* not whole frames at either end */
    add(BASE + 1006 * PAGE_SIZE, 3 * PAGE_SIZE);       /* right behind it, after the frame that was cut */
    add(BASE + 1009 * PAGE_SIZE, 100);                 /* no whole frame */
    add(BASE + 2 * BLOCK - PAGE_SIZE, 5 * BLOCK);      /* joins nothing */
    add(BASE + 8 * BLOCK, 3 * BLOCK);                  /* aligned */
    add(BASE + 11 * BLOCK, PAGE_SIZE);                 /* right behind */
    add(END - 7 * PAGE_SIZE, 100 * PAGE_SIZE);         /* beyond the end */
}

static void any_sequence_agrees_with_the_oracle(void **state)
{
    struct test_random random = test_random_start();
    static struct {
        uint64_t physical;
        unsigned order;
    } held[HELD];
    unsigned holding = 0;

    (void)state;
    add_odd_ranges();
    agrees();
    for (unsigned round = 0; round < ROUNDS; round++) {
        /* Phases of growth and of decline, so that all fills and empties. */
        bool grow = test_random_below(&random, 100) < (round / 2000 % 2 == 0 ? 70 : 30);
        if (grow && holding < HELD) {
            unsigned order = (unsigned)(test_random_below(&random, 12) * test_random_below(&random, 12) / 11);
            unsigned alignment = test_random_below(&random, 8) == 0 ? (unsigned)test_random_below(&random, 12) : order;
            uint64_t limit = test_random_below(&random, 3) == 0 ? FOUR_G : 0;
            unsigned most = alignment > order ? alignment : order;
            uint64_t physical = frames_allocate_aligned(order, alignment, limit);
            if (physical == 0) {
                assert_true(most > FRAME_MAX_ORDER || !possible(most, limit));
                continue;
            }
            assert_true(physical % (PAGE_SIZE << most) == 0);
            assert_true(limit == 0 || physical + (PAGE_SIZE << order) <= limit);
            set(physical, order, FREE, TAKEN);
            memset(memory + (physical - BASE), (int)round, 64); /* whoever holds a frame writes to it */
            held[holding].physical = physical;
            held[holding++].order = order;
        } else if (!grow && holding != 0) {
            unsigned i = (unsigned)test_random_below(&random, holding);
            assert_true(frames_free(held[i].physical, held[i].order));
            set(held[i].physical, held[i].order, TAKEN, FREE);
            held[i] = held[--holding];
        }
        if (round % 500 == 0)
            agrees();
    }
    while (holding != 0) {
        holding--;
        assert_true(frames_free(held[holding].physical, held[holding].order));
        set(held[holding].physical, held[holding].order, TAKEN, FREE);
    }
    agrees();
    assert_int_equal(host_log_count(LOG_ERROR), 0);
}

static void every_frame_comes_out_once_and_goes_back(void **state)
{
    (void)state;
    add_odd_ranges();
    uint64_t usable = count(FREE), physical;
    for (uint64_t i = 0; i < usable; i++) {
        physical = frames_allocate(0, 0);
        assert_int_not_equal(physical, 0);
        set(physical, 0, FREE, TAKEN);
        memset(memory + (physical - BASE), 0xee, PAGE_SIZE);
    }
    assert_int_equal(frames_allocate(0, 0), 0);
    agrees();
    for (unsigned i = 0; i < FRAMES; i++)
        if (oracle[i] == TAKEN) {
            assert_true(frames_free(BASE + i * PAGE_SIZE, 0));
            oracle[i] = FREE;
        }
    agrees();
    /* All has joined again: as many of the largest blocks as there were. */
    while (possible(FRAME_MAX_ORDER, 0)) {
        physical = frames_allocate(FRAME_MAX_ORDER, 0);
        assert_int_not_equal(physical, 0);
        set(physical, FRAME_MAX_ORDER, FREE, TAKEN);
    }
    assert_int_equal(frames_allocate(FRAME_MAX_ORDER, 0), 0);
    assert_true(count(TAKEN) >= 6 * BLOCK / PAGE_SIZE);
}

static void wrong_frees_are_refused(void **state)
{
    (void)state;
    add(BASE, 4 * BLOCK);
    uint64_t a = frames_allocate(3, 0), b = frames_allocate(0, 0), whole = frames_allocate(FRAME_MAX_ORDER, 0);
    set(a, 3, FREE, TAKEN);
    set(b, 0, FREE, TAKEN);
    set(whole, FRAME_MAX_ORDER, FREE, TAKEN);
    static const struct {
        int64_t offset;
        unsigned order;
    } wrong[] = {{0, 0}, {0, 2},  {0, 4},  {0, FRAME_MAX_ORDER}, {PAGE_SIZE, 0},
                 {1, 3}, {0, 11}, {0, 64}, {0, UINT32_MAX}};
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++)
        assert_false(frames_free(a + (uint64_t)wrong[i].offset, wrong[i].order));
    assert_true(host_log_has("no block of that size was allocated there; refused"));
    assert_false(frames_free(whole, FRAME_MAX_ORDER - 1));
    assert_false(frames_free(whole + BLOCK / 2, FRAME_MAX_ORDER - 1));
    assert_false(frames_free(BASE + 10 * BLOCK, 0)); /* never handed over */
    static const uint64_t foreign[] = {0, BASE - PAGE_SIZE, END, UINT64_MAX, UINT64_MAX - PAGE_SIZE + 1};
    for (size_t i = 0; i < sizeof foreign / sizeof foreign[0]; i++)
        assert_false(frames_free(foreign[i], 0));
    assert_true(host_log_has("that is not memory that was handed out; refused"));
    agrees();
    assert_true(frames_free(a, 3));
    set(a, 3, TAKEN, FREE);
    assert_false(frames_free(a, 3));
    assert_true(frames_free(b, 0));
    set(b, 0, TAKEN, FREE);
    assert_false(frames_free(b, 0));
    assert_true(frames_free(whole, FRAME_MAX_ORDER));
    set(whole, FRAME_MAX_ORDER, TAKEN, FREE);
    host_log_clear();
    assert_false(frames_free(whole, FRAME_MAX_ORDER));
    assert_true(host_log_has("it is free already; refused"));
    agrees();
}

static void *touch_low(uint64_t physical)
{
    return memory + physical;
}

static void address_zero_is_never_handed_out(void **state)
{
    (void)state;
    frames_init(0, 2 * PAGE_SIZE, metadata, touch_low);
    frames_add(0, 2 * PAGE_SIZE);
    assert_int_equal(frames_allocate(0, 0), PAGE_SIZE);
    assert_int_equal(frames_allocate(0, 0), 0);
    assert_false(frames_free(0, 0));
}

static void a_request_that_cannot_be_met_is_counted(void **state)
{
    struct frame_counts counts;

    (void)state;
    add(BASE, PAGE_SIZE * 3);
    assert_int_equal(frames_allocate(2, 0), 0);
    assert_int_equal(frames_allocate(11, 0), 0);
    assert_int_equal(frames_allocate(0, BASE), 0);
    assert_int_not_equal(frames_allocate(0, BASE + PAGE_SIZE), 0);
    assert_int_not_equal(frames_allocate(1, 0) + frames_allocate(0, 0), 0);
    frames_count(&counts);
    assert_true(counts.refused >= 3);
    assert_true(counts.peak_used >= 2);
}

/* The cost of boot: memory in whole blocks is not touched. */
static void taking_memory_touches_next_to_none_of_it(void **state)
{
    (void)state;
    add(BASE, 15 * BLOCK);
    assert_int_equal(touched, 0);
    add(BASE + 15 * BLOCK, 1023 * PAGE_SIZE);
    assert_true(touched < 64);
}

/* A write through a stale pointer into a free frame breaks its chain, not the allocator. */
static void an_overwritten_free_frame_is_survived(void **state)
{
    (void)state;
    add(BASE, BLOCK);
    uint64_t frames[64];
    for (unsigned i = 0; i < 64; i++)
        set(frames[i] = frames_allocate(0, 0), 0, FREE, TAKEN);
    for (unsigned i = 0; i < 64; i += 2) {
        assert_true(frames_free(frames[i], 0));
        set(frames[i], 0, TAKEN, FREE);
    }
    for (unsigned i = 0; i < 64; i += 4)
        memset(memory + (frames[i] - BASE), i % 8 == 0 ? 0x41 : 0, 16);
    assert_false(frames_check());
    for (unsigned i = 0; i < 32; i++)
        set(frames_allocate(0, 0), 0, FREE, TAKEN);
    assert_true(host_log_has("was written to; the list of free frames is made anew"));
    agrees();
}

/* The same, found when the frame beside it is freed and the two are to be joined. */
static void an_overwritten_buddy_is_survived(void **state)
{
    (void)state;
    add(BASE, BLOCK);
    uint64_t frames[64];
    for (unsigned i = 0; i < 64; i++)
        set(frames[i] = frames_allocate(0, 0), 0, FREE, TAKEN);
    for (unsigned i = 0; i < 64; i++)
        if (frames[i] % (2 * PAGE_SIZE) == 0) {
            assert_true(frames_free(frames[i], 0));
            set(frames[i], 0, TAKEN, FREE);
            memset(memory + (frames[i] - BASE), 0x41, 16);
        }
    for (unsigned i = 0; i < 64; i++)
        if (frames[i] % (2 * PAGE_SIZE) != 0) {
            assert_true(frames_free(frames[i], 0));
            set(frames[i], 0, TAKEN, FREE);
        }
    assert_true(host_log_has("was written to; the list of free frames is made anew"));
    agrees();
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)

static const struct CMUnitTest tests[] = {
    TEST(any_sequence_agrees_with_the_oracle),
    TEST(every_frame_comes_out_once_and_goes_back),
    TEST(wrong_frees_are_refused),
    TEST(address_zero_is_never_handed_out),
    TEST(a_request_that_cannot_be_met_is_counted),
    TEST(taking_memory_touches_next_to_none_of_it),
    TEST(an_overwritten_free_frame_is_survived),
    TEST(an_overwritten_buddy_is_survived),
};

int main(void)
{
    return cmocka_run_group_tests(tests, NULL, NULL);
}
