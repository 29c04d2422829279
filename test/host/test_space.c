/* test_space.c: the user half of address spaces: what can be mapped and where, who pays for tables, and what CPUs
 * remember of what was taken away. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "fake_mmu.h"
#include "host_log.h"
#include "object_world.h"

#include <memory/memory.h>

#define WINDOW (64 * MIB)

static struct process *process;
static struct memory *memory; /* of 64 KiB */

static int start(void **state)
{
    world_start(state);
    fake_largest_leaf = 1;
    process = world_process(&kernel_process);
    process->limits[BUDGET_MEMORY] = 16 * MIB;
    assert_int_equal(memory_create(&kernel_process, 64 * KIB, &memory), STATUS_OK);
    return 0;
}

static int end(void **state)
{
    process->limits[BUDGET_MEMORY] = world_parameters("").limits[BUDGET_MEMORY];
    process_end(process, END_KILLED, 0);
    for (world_self = 0; world_self < WORLD_CPUS; world_self++)
        space_activate(NULL);
    world_self = 0;
    world_reap();
    object_release(&process->object);
    object_release(&memory->object);
    return world_end(state);
}

/* After what cannot be balanced. */
static int end_without_ledger(void **state)
{
    (void)state;
    process->limits[BUDGET_MEMORY] = world_parameters("").limits[BUDGET_MEMORY];
    process_end(process, END_KILLED, 0);
    object_release(&process->object);
    world_reap();
    object_release(&memory->object);
    return 0;
}

static enum status map(uintptr_t at, uint64_t offset, uint64_t size, uint32_t access, uintptr_t *address)
{
    return memory_map(process, memory, RIGHT_ALL, at, offset, size, access, address);
}

static uintptr_t mapped(uintptr_t at, uint64_t size)
{
    uintptr_t address = 0;

    assert_int_equal(map(at, 0, size, RIGHT_READ, &address), STATUS_OK);
    return address;
}

/* ---- What can be mapped ---- */

static void what_is_mapped_leads_to_the_pages(void **state)
{
    uintptr_t at;
    uint64_t physical;
    unsigned access;

    (void)state;
    assert_int_equal(map(0, 3 * PAGE_SIZE, 5 * PAGE_SIZE, RIGHT_READ | RIGHT_WRITE, &at), STATUS_OK);
    for (unsigned i = 0; i < 5; i++) {
        uint64_t wanted = (3 + i) * PAGE_SIZE, run_at = 0;
        const struct page_run *run = memory->pages.run;
        for (; run_at + run->size <= wanted; run++)
            run_at += run->size;
        assert_true(page_lookup(&process->space.table, at + i * PAGE_SIZE, &physical, &access));
        assert_int_equal(physical, run->physical + (wanted - run_at));
        assert_int_equal(access, MMU_USER | MMU_WRITE);
    }
    assert_ptr_equal(space_find(&process->space, at + 5 * PAGE_SIZE - 1)->owner, memory);
    assert_null(space_find(&process->space, at + 5 * PAGE_SIZE));
    assert_null(space_find(&process->space, at - 1));
    assert_int_equal(memory_unmap(process, at, 4 * PAGE_SIZE), STATUS_NOT_FOUND);
    assert_int_equal(memory_unmap(process, at + PAGE_SIZE, 4 * PAGE_SIZE), STATUS_NOT_FOUND);
    assert_int_equal(memory_unmap(process, at, 5 * PAGE_SIZE), STATUS_OK);
    assert_false(page_lookup(&process->space.table, at, NULL, NULL));
    assert_int_equal(memory_unmap(process, at, 5 * PAGE_SIZE), STATUS_NOT_FOUND);
}

static void what_makes_no_sense_is_refused(void **state)
{
    static const struct {
        uintptr_t at;
        uint64_t offset, size;
    } bad[] = {
        {0, 0, 0},
        {0, 0, 1},
        {0, 0, PAGE_SIZE - 1},
        {0, 1, PAGE_SIZE},
        {1, 0, PAGE_SIZE},
        {0x40000001, 0, PAGE_SIZE},
        {0, 0, 64 * KIB + PAGE_SIZE},
        {0, 64 * KIB, PAGE_SIZE},
        {0, 60 * KIB, 2 * PAGE_SIZE},
        {0, UINT64_MAX - PAGE_SIZE + 1, PAGE_SIZE},
        {0, PAGE_SIZE, UINT64_MAX - PAGE_SIZE + 1},
        {PAGE_SIZE, 0, PAGE_SIZE},
        {USER_BOTTOM - PAGE_SIZE, 0, 2 * PAGE_SIZE},
        {USER_TOP, 0, PAGE_SIZE},
        {USER_TOP - PAGE_SIZE, 0, 2 * PAGE_SIZE},
        {UINT64_C(0xffffffffffff0000), 0, 64 * KIB},
        {UINT64_C(0xffff800000000000), 0, PAGE_SIZE},
    };
    uintptr_t at;
    uint64_t used = process->used[BUDGET_MEMORY];

    (void)state;
    for (unsigned i = 0; i < sizeof bad / sizeof bad[0]; i++)
        assert_int_equal(map(bad[i].at, bad[i].offset, bad[i].size, RIGHT_READ, &at), STATUS_INVALID);
    assert_int_equal(process->used[BUDGET_MEMORY], used);
    assert_int_equal(memory->mapping_count, 0);
    mapped(USER_BOTTOM, PAGE_SIZE); /* the first and the last that there are */
    mapped(USER_TOP - PAGE_SIZE, PAGE_SIZE);
    struct mapping mapping;
    assert_int_equal(space_map(&process->space, &mapping, &memory->pages, 0, 0, PAGE_SIZE, MMU_WRITE | MMU_EXECUTE),
                     STATUS_INVALID);
    assert_int_equal(space_map(&process->space, &mapping, &memory->pages, 0, 0, PAGE_SIZE, MMU_DEVICE), STATUS_INVALID);
}

static void nothing_is_mapped_twice(void **state)
{
    uintptr_t at;

    (void)state;
    mapped(0x40004000, 4 * PAGE_SIZE);
    for (uintptr_t from = 0x40000000; from < 0x4000a000; from += PAGE_SIZE)
        for (uint64_t size = PAGE_SIZE; size <= 8 * PAGE_SIZE; size += PAGE_SIZE) {
            bool free = from + size <= 0x40004000 || from >= 0x40008000;
            assert_int_equal(map(from, 0, size, RIGHT_READ, &at), free ? STATUS_OK : STATUS_BUSY);
            if (free)
                assert_int_equal(memory_unmap(process, from, size), STATUS_OK);
        }
    assert_int_equal(process->space.mapping_count, 1);
}

static void writable_or_executable(void **state)
{
    uintptr_t at, code;

    (void)state;
    assert_int_equal(map(0, 0, PAGE_SIZE, RIGHT_READ | RIGHT_WRITE, &at), STATUS_OK);
    assert_int_equal(map(0, PAGE_SIZE, PAGE_SIZE, RIGHT_READ | RIGHT_EXECUTE, &code), STATUS_BUSY);
    assert_int_equal(world_code_written, 0);
    assert_int_equal(memory_unmap(process, at, PAGE_SIZE), STATUS_OK);
    assert_int_equal(map(0, PAGE_SIZE, PAGE_SIZE, RIGHT_READ | RIGHT_EXECUTE, &code), STATUS_OK);
    assert_true(world_code_written != 0);
    assert_int_equal(map(0, 0, PAGE_SIZE, RIGHT_READ | RIGHT_WRITE, &at), STATUS_BUSY);
    assert_int_equal(map(0, 0, PAGE_SIZE, RIGHT_READ, &at), STATUS_OK);
    assert_int_equal(memory_unmap(process, code, PAGE_SIZE), STATUS_OK);
    unsigned once = world_code_written; /* who runs it again need not wait for caches, as long as nobody writes */
    assert_int_equal(map(0, PAGE_SIZE, PAGE_SIZE, RIGHT_READ | RIGHT_EXECUTE, &code), STATUS_OK);
    assert_int_equal(world_code_written, once);
    assert_int_equal(memory_unmap(process, code, PAGE_SIZE), STATUS_OK);
    assert_int_equal(map(0, 0, PAGE_SIZE, RIGHT_READ | RIGHT_WRITE, &at), STATUS_OK);
    assert_int_equal(memory_unmap(process, at, PAGE_SIZE), STATUS_OK);
    assert_int_equal(map(0, PAGE_SIZE, PAGE_SIZE, RIGHT_READ | RIGHT_EXECUTE, &code), STATUS_OK);
    assert_true(world_code_written > once);
}

static void borrowed_pages_stay_whose_they_are(void **state)
{
    struct memory *borrowed;
    struct frame_counts before, after;
    uintptr_t at;
    uint64_t physical = frames_allocate(4, 0);

    (void)state;
    frames_count(&before);
    assert_int_equal(memory_borrow(process, physical + 1, PAGE_SIZE, &borrowed), STATUS_INVALID);
    assert_int_equal(memory_borrow(process, physical, 0, &borrowed), STATUS_INVALID);
    assert_int_equal(memory_borrow(process, 0 - PAGE_SIZE, 2 * PAGE_SIZE, &borrowed), STATUS_INVALID);
    assert_int_equal(memory_borrow(process, physical + PAGE_SIZE, 11 * PAGE_SIZE, &borrowed), STATUS_OK);
    assert_int_equal(borrowed->pages.size, 11 * PAGE_SIZE);
    assert_int_equal(memory_map(process, borrowed, RIGHT_ALL, 0x40000000, 0, 11 * PAGE_SIZE, RIGHT_READ, &at),
                     STATUS_OK);
    for (unsigned i = 0; i < 11; i++) {
        uint64_t found;
        assert_true(page_lookup(&process->space.table, at + i * PAGE_SIZE, &found, NULL));
        assert_int_equal(found, physical + (1 + i) * PAGE_SIZE);
    }
    assert_int_equal(memory_map(process, borrowed, RIGHT_ALL, 0, 0, PAGE_SIZE, RIGHT_READ | RIGHT_WRITE, &at),
                     STATUS_READ_ONLY);
    unsigned told = world_code_written; /* whoever lends them has told the caches */
    assert_int_equal(
        memory_map(process, borrowed, RIGHT_ALL, 0x40100000, 0, PAGE_SIZE, RIGHT_READ | RIGHT_EXECUTE, &at), STATUS_OK);
    assert_int_equal(world_code_written, told);
    assert_int_equal(memory_unmap(process, 0x40100000, PAGE_SIZE), STATUS_OK);
    assert_int_equal(memory_unmap(process, 0x40000000, 11 * PAGE_SIZE), STATUS_OK);
    object_release(&borrowed->object);
    frames_count(&after);
    assert_int_equal(before.free, after.free + 3); /* three tables */
    assert_true(frames_free(physical, 4));
}

/* ---- Memory ---- */

static void memory_is_clear_and_paid_for(void **state)
{
    static const uint64_t sizes[] = {PAGE_SIZE, 3 * PAGE_SIZE, 64 * KIB, MIB + PAGE_SIZE, MEMORY_LARGEST};
    struct memory *made;

    (void)state;
    assert_int_equal(memory_create(process, 0, &made), STATUS_INVALID);
    assert_int_equal(memory_create(process, PAGE_SIZE + 1, &made), STATUS_INVALID);
    assert_int_equal(memory_create(process, MEMORY_LARGEST + PAGE_SIZE, &made), STATUS_LIMIT);
    assert_int_equal(memory_create(process, UINT64_MAX - PAGE_SIZE + 1, &made), STATUS_LIMIT);
    for (unsigned i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        uint64_t used = process->used[BUDGET_MEMORY], heap = world_heap_bytes, at = 0;
        assert_int_equal(memory_create(process, sizes[i], &made), STATUS_OK);
        assert_int_equal(process->used[BUDGET_MEMORY] - used, sizes[i] + (world_heap_bytes - heap));
        for (uint32_t r = 0; r < made->pages.runs; r++) {
            struct page_run run = made->pages.run[r];
            assert_int_equal(run.physical % run.size, 0);
            assert_int_equal(at % run.size, 0);
            uint8_t *bytes = physical_to_virtual(run.physical);
            for (uint64_t byte = 0; byte < run.size; byte += 64)
                assert_int_equal(bytes[byte], 0);
            memset(bytes, 0xee, run.size);
            at += run.size;
        }
        assert_int_equal(at, sizes[i]);
        object_release(&made->object);
        assert_int_equal(process->used[BUDGET_MEMORY], used);
    }
}

/* When memory is in pieces, a Memory is, and is whole all the same; when there is too little, nothing is left of it. */
static void memory_in_pieces(void **state)
{
    static uint64_t held[WORLD_FRAMES];
    struct frame_counts before, after;
    struct memory *made;
    unsigned count = 0;
    uint64_t physical;

    (void)state;
    while ((physical = frames_allocate(0, 0)) != 0)
        held[count++] = physical;
    for (unsigned i = 0; i < count; i++)
        if (held[i] / PAGE_SIZE % 4 != 0 && held[i] / PAGE_SIZE < WORLD_BASE / PAGE_SIZE + 1200) {
            frames_free(held[i], 0);
            held[i] = 0;
        }
    frames_count(&before);
    uint64_t used = process->used[BUDGET_MEMORY], heap = world_heap_bytes;
    assert_int_equal(memory_create(process, 512 * PAGE_SIZE, &made), STATUS_OK);
    assert_true(made->pages.runs > 250);
    assert_int_equal(process->used[BUDGET_MEMORY] - used, 512 * PAGE_SIZE + (world_heap_bytes - heap));
    object_release(&made->object);
    assert_int_equal(memory_create(process, 1000 * PAGE_SIZE, &made), STATUS_NO_MEMORY);
    for (world_heap_left = 0; world_heap_left < 6;) {
        int left = world_heap_left;
        assert_int_equal(memory_create(process, 100 * PAGE_SIZE, &made), STATUS_NO_MEMORY);
        world_heap_left = left + 1;
    }
    world_heap_left = -1;
    frames_count(&after);
    assert_int_equal(before.free, after.free);
    assert_int_equal(process->used[BUDGET_MEMORY], used);
    assert_int_equal(world_heap_bytes, heap);
    for (unsigned i = 0; i < count; i++)
        if (held[i] != 0)
            frames_free(held[i], 0);
}

/* ---- Places ---- */

static void places_are_random_and_apart(void **state)
{
    enum { COUNT = 400, PARTS = 8 };
    static uintptr_t at[COUNT];
    unsigned parts[PARTS] = {0};

    (void)state;
    for (unsigned i = 0; i < COUNT; i++) {
        at[i] = mapped(0, (1 + i % 3) * PAGE_SIZE);
        parts[at[i] % WINDOW / (WINDOW / PARTS)]++;
        assert_int_equal(at[i] / WINDOW, at[0] / WINDOW);
    }
    for (unsigned i = 0; i < COUNT; i++)
        for (unsigned j = 0; j < COUNT; j++) /* a free page on either side */
            assert_true(i == j || at[i] + (1 + i % 3) * PAGE_SIZE < at[j] || at[j] + (1 + j % 3) * PAGE_SIZE < at[i]);
    for (unsigned i = 0; i < PARTS; i++)
        assert_in_range(parts[i], COUNT / PARTS / 2, COUNT / PARTS * 2);
    /* At most one table for each 2 MiB of the window, and those above, and the root. */
    assert_true(process->space.table_bytes <= (32 + 3 + 1) * PAGE_SIZE);
}

static void each_space_has_its_own_window(void **state)
{
    uintptr_t seen = 0;

    (void)state;
    for (unsigned i = 0; i < 16; i++) {
        struct process *one = world_process(&kernel_process);
        uintptr_t at = space_choose(&one->space, PAGE_SIZE, PAGE_SIZE);
        assert_true(at >= USER_BOTTOM + PAGE_SIZE && at < USER_TOP - PAGE_SIZE);
        assert_int_not_equal(at / WINDOW, seen);
        seen = at / WINDOW;
        process_end(one, END_KILLED, 0);
        object_release(&one->object);
    }
}

/* A gap of just enough is found, one of a page less is not, and each place in a gap is as likely as another. */
static void gaps_are_used_to_the_page(void **state)
{
    unsigned hits[4] = {0};

    (void)state;
    process->space.window = 0x40000000;
    mapped(0x40000000, PAGE_SIZE);
    for (uintptr_t at = 0x40000000 + 8 * PAGE_SIZE; at < 0x40000000 + WINDOW; at += 16 * PAGE_SIZE)
        mapped(at, 14 * PAGE_SIZE);
    for (unsigned i = 0; i < 400; i++) {
        uintptr_t at = space_choose(&process->space, 2 * PAGE_SIZE, PAGE_SIZE);
        assert_int_equal(process->space.window, 0x40000000);
        assert_in_range(at, 0x40000000 + 2 * PAGE_SIZE, 0x40000000 + 5 * PAGE_SIZE);
        hits[(at - 0x40000000) / PAGE_SIZE - 2]++;
    }
    for (unsigned i = 0; i < 4; i++)
        assert_in_range(hits[i], 50, 200);
    assert_int_equal(space_choose(&process->space, 5 * PAGE_SIZE, PAGE_SIZE), 0x40000000 + 2 * PAGE_SIZE);
    assert_int_equal(process->space.window, 0x40000000);
    assert_true(space_choose(&process->space, 6 * PAGE_SIZE, PAGE_SIZE) / WINDOW != 0x40000000 / WINDOW);
    assert_int_not_equal(process->space.window, 0x40000000); /* full for this: on to another */
}

static void large_blocks_become_large_leaves(void **state)
{
    struct memory *large;
    uintptr_t at;

    (void)state;
    assert_int_equal(memory_create(process, 2 * MIB + 64 * KIB, &large), STATUS_OK);
    uint64_t before = process->space.table_bytes;
    assert_int_equal(memory_map(process, large, RIGHT_ALL, 0, 0, 2 * MIB + 64 * KIB, RIGHT_READ, &at), STATUS_OK);
    assert_int_equal(at % (2 * MIB), 0);
    assert_int_equal(process->space.table_bytes - before, 3 * PAGE_SIZE); /* one for what is beyond 2 MiB */
    assert_int_equal(memory_unmap(process, at, 2 * MIB + 64 * KIB), STATUS_OK);
    assert_int_equal(memory_map(process, large, RIGHT_ALL, 0x7fff000, 0, 2 * MIB, RIGHT_READ, &at), STATUS_OK);
    object_release(&large->object);
}

static void impossible_places(void **state)
{
    (void)state;
    assert_int_equal(space_choose(&process->space, 0, PAGE_SIZE), 0);
    assert_int_equal(space_choose(&process->space, 1, PAGE_SIZE), 0);
    assert_int_equal(space_choose(&process->space, PAGE_SIZE, 3 * PAGE_SIZE), 0);
    assert_int_equal(space_choose(&process->space, PAGE_SIZE, 16), 0);
    assert_int_equal(space_choose(&process->space, PAGE_SIZE, UINT64_C(1) << 63), 0);
    assert_int_equal(space_choose(&process->space, USER_TOP, PAGE_SIZE), 0);
    assert_int_equal(space_choose(&process->space, USER_TOP - USER_BOTTOM, PAGE_SIZE), 0);
    assert_int_equal(space_choose(&process->space, UINT64_MAX - PAGE_SIZE + 1, PAGE_SIZE), 0);
    assert_int_equal(space_choose(&process->space, USER_TOP - USER_BOTTOM - 2 * PAGE_SIZE, PAGE_SIZE),
                     USER_BOTTOM + PAGE_SIZE);
}

static void mappings_are_limited(void **state)
{
    uintptr_t at;

    (void)state;
    for (unsigned i = 0; i < SPACE_MAPPINGS_MOST; i++)
        mapped(0x40000000 + i * 2 * PAGE_SIZE, PAGE_SIZE);
    assert_int_equal(map(0, 0, PAGE_SIZE, RIGHT_READ, &at), STATUS_LIMIT);
    assert_int_equal(memory_unmap(process, 0x40000000, PAGE_SIZE), STATUS_OK);
    assert_int_equal(map(0, 0, PAGE_SIZE, RIGHT_READ, &at), STATUS_OK);
}

/* ---- Who pays ---- */

static void refused_tables_leave_nothing(void **state)
{
    uintptr_t at;

    (void)state;
    uint64_t used = process->used[BUDGET_MEMORY], tables = process->space.table_bytes;
    for (uint64_t more = 0; more < 3 * PAGE_SIZE; more += PAGE_SIZE / 2) {
        process->limits[BUDGET_MEMORY] = process->used[BUDGET_MEMORY] + sizeof(struct mapping) + more % PAGE_SIZE;
        assert_int_equal(map(0x40000000 + more * WINDOW, 0, PAGE_SIZE, RIGHT_READ, &at), STATUS_LIMIT);
        assert_null(process->space.mappings);
        assert_int_equal(memory->mapping_count, 0);
        assert_int_equal(process->used[BUDGET_MEMORY] - used, process->space.table_bytes - tables);
    }
    process->limits[BUDGET_MEMORY] = 16 * MIB;
    world_heap_left = 0;
    assert_int_equal(map(0, 0, PAGE_SIZE, RIGHT_READ, &at), STATUS_NO_MEMORY);
    world_heap_left = -1;
    assert_int_equal(memory->object.references, 1);
    /* Over the end of a table, whose second table is refused: the first part is taken back, be it one run or two. */
    struct memory *two;
    assert_int_equal(memory_create(&kernel_process, 3 * PAGE_SIZE, &two), STATUS_OK);
    assert_int_equal(two->pages.runs, 2);
    mapped(0x40000000, PAGE_SIZE);
    for (uintptr_t from = 0x401fe000; from <= 0x401ff000; from += PAGE_SIZE) {
        process->limits[BUDGET_MEMORY] = process->used[BUDGET_MEMORY] + sizeof(struct mapping);
        assert_int_equal(memory_map(process, two, RIGHT_ALL, from, 0, 3 * PAGE_SIZE, RIGHT_READ, &at), STATUS_LIMIT);
        assert_false(page_lookup(&process->space.table, from, NULL, NULL));
    }
    process->limits[BUDGET_MEMORY] = 16 * MIB;
    assert_int_equal(memory_map(process, two, RIGHT_ALL, 0x401fe000, 0, 3 * PAGE_SIZE, RIGHT_READ, &at), STATUS_OK);
    object_release(&two->object);
}

/* ---- What CPUs remember ---- */

static void run_on(unsigned cpu, struct process *one)
{
    world_self = cpu;
    space_activate(one != NULL ? &one->space : NULL);
    world_self = 0;
}

static void what_is_unmapped_is_forgotten(unsigned identifiers)
{
    uint64_t physical = memory->pages.run[0].physical;

    world_identifiers = identifiers;
    struct process *one = world_process(&kernel_process);
    one->state = PROCESS_RUNNING;
    assert_int_equal(one->space.identifier != 0, identifiers > 2);
    for (unsigned round = 0; round < 200; round++) {
        uintptr_t at;
        assert_int_equal(memory_map(one, memory, RIGHT_ALL, 0, 0, PAGE_SIZE, RIGHT_READ, &at), STATUS_OK);
        for (unsigned cpu = 0; cpu < WORLD_CPUS; cpu++) {
            if ((round >> cpu & 1) != 0)
                run_on(cpu, one);
            if (world_root(cpu) == one->space.table.root) {
                assert_true((one->space.cpus >> cpu & 1) != 0);
                world_touch(cpu, at);
            }
            if ((round >> (4 + cpu) & 1) != 0) /* it remembers, though it is elsewhere */
                run_on(cpu, round % 3 == 0 ? process : NULL);
        }
        world_self = round % WORLD_CPUS;
        assert_int_equal(memory_unmap(one, at, PAGE_SIZE), STATUS_OK);
        world_self = 0;
        assert_false(world_remembered(one->space.identifier, physical, PAGE_SIZE));
    }
    for (unsigned cpu = 0; cpu < WORLD_CPUS; cpu++)
        run_on(cpu, NULL);
    process_end(one, END_KILLED, 0);
    object_release(&one->object);
    world_reap();
}

static void with_identifiers(void **state)
{
    (void)state;
    what_is_unmapped_is_forgotten(8);
}

static void without_identifiers(void **state)
{
    (void)state;
    what_is_unmapped_is_forgotten(1);
}

static void identifiers_are_used_again_after_a_flush(void **state)
{
    struct process *some[10];

    (void)state;
    assert_int_equal(process->space.identifier, 1);
    for (unsigned i = 0; i < 10; i++) {
        some[i] = world_process(&kernel_process);
        assert_int_equal(some[i]->space.identifier, i < 6 ? i + 2 : 0); /* of 8; 0 is nobody's own */
    }
    run_on(2, some[3]);
    some[3]->state = PROCESS_RUNNING;
    uintptr_t at;
    assert_int_equal(memory_map(some[3], memory, RIGHT_ALL, 0, 0, PAGE_SIZE, RIGHT_READ, &at), STATUS_OK);
    world_touch(2, at);
    run_on(2, NULL);
    assert_true(world_remembered(5, 0, UINT64_MAX));
    process_end(some[3], END_KILLED, 0);
    world_reap();
    assert_false(world_remembered(5, 0, UINT64_MAX));
    struct process *next = world_process(&kernel_process);
    assert_int_equal(next->space.identifier, 5);
    process_end(next, END_KILLED, 0);
    object_release(&next->object);
    for (unsigned i = 0; i < 10; i++) {
        process_end(some[i], END_KILLED, 0);
        object_release(&some[i]->object);
    }
}

/* Nobody gets memory that a CPU may still reach; the sentence says so. */
static void a_deaf_cpu_keeps_what_it_may_reach(void **state)
{
    struct memory *lost;
    struct frame_counts frames;
    uintptr_t at;

    (void)state;
    frames_count(&frames);
    uint64_t free = frames.free, used = kernel_process.used[BUDGET_MEMORY];
    struct process *one = world_process(&kernel_process);
    unsigned identifier = one->space.identifier;
    assert_int_equal(memory_create(&kernel_process, PAGE_SIZE, &lost), STATUS_OK);
    assert_int_equal(memory_map(one, lost, RIGHT_ALL, 0, 0, PAGE_SIZE, RIGHT_READ, &at), STATUS_OK);
    world_deaf = true;
    assert_int_equal(memory_unmap(one, at, PAGE_SIZE), STATUS_OK);
    assert_true(lost->leaked);
    process_end(one, END_KILLED, 0);
    world_reap();
    world_deaf = false;
    object_release(&lost->object);
    frames_count(&frames);
    assert_int_equal(free - frames.free, 1 + 4); /* the page, and four tables */
    assert_true(host_log_has("stay unused for good"));
    struct process *next = world_process(&kernel_process);
    assert_int_not_equal(next->space.identifier, identifier);
    process_end(next, END_KILLED, 0);
    object_release(&next->object);
    object_release(&one->object);
    world_reap();
    /* What is lost stays charged: to whoever had it, and then to his parent. */
    assert_int_equal(kernel_process.used[BUDGET_MEMORY] - used, 5 * PAGE_SIZE);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, start, end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(what_is_mapped_leads_to_the_pages),
        TEST(what_makes_no_sense_is_refused),
        TEST(nothing_is_mapped_twice),
        TEST(writable_or_executable),
        TEST(borrowed_pages_stay_whose_they_are),
        TEST(memory_is_clear_and_paid_for),
        TEST(memory_in_pieces),
        TEST(places_are_random_and_apart),
        TEST(each_space_has_its_own_window),
        TEST(gaps_are_used_to_the_page),
        TEST(large_blocks_become_large_leaves),
        TEST(impossible_places),
        TEST(mappings_are_limited),
        TEST(refused_tables_leave_nothing),
        TEST(with_identifiers),
        TEST(without_identifiers),
        TEST(identifiers_are_used_again_after_a_flush),
        cmocka_unit_test_setup_teardown(a_deaf_cpu_keeps_what_it_may_reach, start, end_without_ledger),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
