/* heap.c: malloc under mixed sizes, exhaustion and recovery, and what it says to a double free. */
#include <kernel/selftest.h>

#include <lib/log.h>
#include <lib/malloc.h>
#include <lib/string.h>
#include <memory/memory.h>

enum { SLOTS = 96, ROUNDS = 2000 };

static size_t size_of_step(unsigned step)
{
    unsigned mixed = step * 2654435761u;

    return step % 37 == 0 ? 4096 + mixed % 20000 : 1 + mixed % 700;
}

static bool holds(const unsigned char *memory, size_t size, unsigned char byte)
{
    for (size_t i = 0; i < size; i++)
        if (memory[i] != byte)
            return false;
    return true;
}

static bool mixed_sizes_hold(void)
{
    static unsigned char *slots[SLOTS];
    static uint16_t sizes[SLOTS];
    bool good = true;

    memset(slots, 0, sizeof slots);
    for (unsigned step = 0; step < ROUNDS + SLOTS; step++) {
        unsigned slot = step * 31 % SLOTS;
        if (slots[slot] != NULL)
            good &= holds(slots[slot], sizes[slot], (unsigned char)slot);
        free(slots[slot]);
        slots[slot] = NULL;
        if (step >= ROUNDS)
            continue;
        sizes[slot] = (uint16_t)size_of_step(step);
        slots[slot] = malloc(sizes[slot]);
        if (slots[slot] == NULL)
            return false;
        good &= (uintptr_t)slots[slot] % 16 == 0;
        memset(slots[slot], (int)slot, sizes[slot]);
    }
    for (unsigned slot = 0; slot < SLOTS; slot++)
        free(slots[slot]);
    return good;
}

/* Chains blocks until there are no more, and gives them all back. */
static bool exhausts_and_recovers(uint64_t *taken)
{
    enum { BLOCK = 3 << 20 };
    void **chain = NULL, **block;

    *taken = 0;
    for (size_t size = BLOCK; size >= 64; size /= 4)
        while ((block = malloc(size)) != NULL) {
            *block = chain;
            chain = block;
            *taken += size;
            if (size == 64 && *taken % (1 << 20) == 0)
                break;
        }
    while ((block = chain) != NULL) {
        chain = *block;
        free(block);
    }
    block = malloc(BLOCK / 4);
    free(block);
    return block != NULL;
}

void selftest_heap(struct selftest_result *result)
{
    struct heap_counts before, after;
    uint64_t taken;

    heap_count(&before);
    if (!mixed_sizes_hold()) {
        selftest_is(result, SELFTEST_FAIL, "a block lost its contents or its alignment");
        return;
    }
    void *aligned = aligned_alloc(1024, 3000);
    if (aligned == NULL || (uintptr_t)aligned % 1024 != 0) {
        selftest_is(result, SELFTEST_FAIL, "aligned_alloc gave %p for an alignment of 1024", aligned);
        return;
    }
    free(aligned);
    log_error("heap", "the self-test frees a block twice on purpose; the next line must say so and no harm be done");
    free(aligned); /* NOLINT(clang-analyzer-unix.Malloc): on purpose */
    if (!exhausts_and_recovers(&taken)) {
        selftest_is(result, SELFTEST_FAIL, "no memory is left after taking %llu bytes and giving them back",
                    (unsigned long long)taken);
        return;
    }
    heap_count(&after);
    if (after.double_frees != before.double_frees + 1)
        selftest_is(result, SELFTEST_FAIL, "a double free went unnoticed");
    else if (after.bytes_in_use != before.bytes_in_use || !heap_check())
        selftest_is(result, SELFTEST_FAIL, "the heap holds %llu bytes after the test and held %llu before",
                    (unsigned long long)after.bytes_in_use, (unsigned long long)before.bytes_in_use);
    else
        selftest_is(result, SELFTEST_PASS, "%u blocks of mixed size, exhaustion at %llu KiB, one double free refused",
                    ROUNDS, (unsigned long long)(taken / 1024));
}
