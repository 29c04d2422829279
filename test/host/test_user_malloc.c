/* test_user_malloc.c: a process's heap, lib/user/malloc.c, over Memory objects that are the host's. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "random.h"

#define malloc        user_malloc
#define calloc        user_calloc
#define aligned_alloc user_aligned_alloc
#define free          user_free
#include <lib/user/malloc.c>
#undef malloc
#undef calloc
#undef aligned_alloc
#undef free

static size_t mapped, limit = SIZE_MAX, last_size;

struct system_result system_memory_create(uint64_t size)
{
    assert_int_equal(size % 4096, 0);
    last_size = size;
    return (struct system_result){size > limit - mapped ? STATUS_LIMIT : STATUS_OK, 1};
}

struct system_result system_memory_map(handle process, handle memory, uint64_t address, uint64_t offset, uint64_t size,
                                       uint64_t rights)
{
    assert_true(process == 0 && memory == 1 && address == 0 && offset == 0 && size == last_size);
    assert_int_equal(rights, RIGHT_READ | RIGHT_WRITE);
    mapped += size;
    void *at = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return (struct system_result){STATUS_OK, (uintptr_t)at};
}

struct system_result system_memory_unmap(handle process, uint64_t address, uint64_t size)
{
    assert_int_equal(process, 0);
    assert_int_equal(munmap((void *)(uintptr_t)address, size), 0);
    mapped -= size;
    return (struct system_result){STATUS_OK, 0};
}

struct system_result system_handle_close(handle object)
{
    assert_int_equal(object, 1);
    return (struct system_result){STATUS_OK, 0};
}

struct system_result system_thread_yield(void)
{
    fail_msg("the lock was not free");
    return (struct system_result){STATUS_OK, 0};
}

enum { SLOTS = 200 };
static struct {
    uint8_t *at;
    size_t size;
    uint8_t mark;
} slots[SLOTS];

static void check(unsigned slot)
{
    for (size_t i = 0; i < slots[slot].size; i++)
        if (slots[slot].at[i] != slots[slot].mark)
            fail_msg("block %u has changed at %zu of %zu", slot, i, slots[slot].size);
}

static void fill(unsigned slot, uint8_t *at, size_t size, uint8_t mark)
{
    slots[slot].at = at;
    slots[slot].size = size;
    slots[slot].mark = mark;
    memset(at, mark, size);
}

static size_t any_size(struct test_random *random)
{
    switch (test_random_below(random, 10)) {
    case 0:
        return test_random_below(random, 200000);
    case 1:
        return LARGE - 64 + test_random_below(random, 128);
    case 2:
        return test_random_below(random, 20000);
    default:
        return test_random_below(random, 300);
    }
}

/* Blocks keep what is in them, are aligned, and all of the heap is one free piece for each chunk in the end. */
static void any_order(void **state)
{
    struct test_random random = test_random_start();

    (void)state;
    for (unsigned round = 0; round < 20000; round++) {
        unsigned slot = (unsigned)test_random_below(&random, SLOTS);
        if (slots[slot].at != NULL) {
            check(slot);
            user_free(slots[slot].at);
            slots[slot].at = NULL;
            continue;
        }
        size_t size = any_size(&random), alignment = 16;
        uint8_t *at;
        if (test_random_below(&random, 4) == 0) {
            alignment = (size_t)32 << test_random_below(&random, 8);
            size %= 30000;
            at = user_aligned_alloc(alignment, size);
        } else {
            at = user_malloc(size);
        }
        assert_non_null(at);
        assert_int_equal((uintptr_t)at % alignment, 0);
        fill(slot, at, size, (uint8_t)round);
    }
    for (unsigned slot = 0; slot < SLOTS; slot++) {
        if (slots[slot].at != NULL)
            check(slot);
        user_free(slots[slot].at);
        slots[slot].at = NULL;
    }
    size_t all = 0;
    for (struct block *block = free_list; block != NULL; block = block->next) {
        assert_true(block->next == NULL || (char *)block + block->size < (char *)block->next);
        all += block->size;
    }
    assert_int_equal(all, mapped); /* nothing is lost */
}

static void large_blocks_go_back(void **state)
{
    size_t before = mapped;

    (void)state;
    void *block = user_malloc(1 << 20);
    assert_non_null(block);
    assert_int_equal(mapped, before + (1 << 20) + 4096);
    user_free(block);
    assert_int_equal(mapped, before);
}

static void no_memory(void **state)
{
    (void)state;
    assert_null(user_malloc(SIZE_MAX));
    assert_null(user_malloc(SIZE_MAX - 20));
    assert_null(user_calloc(SIZE_MAX / 2, 3));
    assert_null(user_aligned_alloc(32, SIZE_MAX - 10));
    assert_null(user_aligned_alloc((size_t)1 << 40, 10));
    limit = mapped;
    assert_null(user_malloc(1 << 20));
    unsigned small = 0;
    while (small < SLOTS && (slots[small].at = user_malloc(60000)) != NULL)
        small++;
    assert_true(small < SLOTS);
    limit = SIZE_MAX;
    assert_non_null(slots[small].at = user_malloc(60000));
    for (unsigned i = 0; i <= small; i++)
        user_free(slots[i].at);
    memset(slots, 0, sizeof slots);
}

static void calloc_clears(void **state)
{
    (void)state;
    uint8_t *block = user_malloc(1000);
    memset(block, 0xa5, 1000);
    user_free(block);
    block = user_calloc(10, 100);
    for (unsigned i = 0; i < 1000; i++)
        assert_int_equal(block[i], 0);
    user_free(block);
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test(any_order),
    cmocka_unit_test(large_blocks_go_back),
    cmocka_unit_test(no_memory),
    cmocka_unit_test(calloc_clears),
};

int main(int argc, char **argv)
{
    (void)argc, (void)argv;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
