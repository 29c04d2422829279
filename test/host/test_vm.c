/*
 * test_vm.c: memory/vm.c on machines with odd memory. The physmap is a mapping of the host's that nothing can be
 * read from or written to until the page tables that vm.c makes say so: a signal handler is the MMU.
 */
#define _GNU_SOURCE
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include "fake_mmu.h"
#include "host_log.h"
#include "random.h"

#include <memory/vm.c>

#define MIB        (UINT64_C(1) << 20)
#define GIB        (UINT64_C(1) << 30)
#define PHYSICAL   (UINT64_C(1) << 40) /* of fake physical memory: as much as the physmap shows */
#define MOST_PAGES (UINT64_C(10) * GIB / PAGE_SIZE)

/* ---- What vm.c needs ---------------------------------------------------------------------------------- */

void heap_count(struct heap_counts *counts)
{
    memset(counts, 0, sizeof *counts);
}

_Noreturn void panic_at(const struct trap_frame *frame, const char *format, ...)
{
    (void)frame;
    log_error("panic", "%s", format);
    mock_assert(0, format, __FILE__, __LINE__);
    abort();
}

/* ---- The MMU ----------------------------------------------------------------------------------------------- */

static pte root_table[512] __attribute__((aligned(4096)));

/* Are the 2 MiB from here all mapped with the same access? Then they are let through at once. */
static bool alike(uintptr_t from, unsigned access)
{
    for (uintptr_t page = from; page < from + LARGE_PAGE; page += PAGE_SIZE) {
        unsigned here;
        if (!page_lookup(&kernel_table, page, NULL, &here) || here != access)
            return false;
    }
    return true;
}

static void translate(int number, siginfo_t *information, void *context)
{
    uintptr_t page = align_down((uintptr_t)information->si_addr, PAGE_SIZE);
    bool writing = (((ucontext_t *)context)->uc_mcontext.gregs[REG_ERR] & 2) != 0;
    uint64_t physical;
    unsigned access;

    (void)number;
    if (!page_lookup(&kernel_table, page, &physical, &access) || page - PHYSMAP_BASE != physical ||
        (writing && (access & MMU_WRITE) == 0) || (access & MMU_EXECUTE) != 0) {
        static const char message[] = "the physmap was used where the page tables do not allow it\n";
        if (write(STDERR_FILENO, message, sizeof message - 1) < 0)
            _exit(3);
        abort();
    }
    unsigned protection = (access & MMU_WRITE) != 0 ? PROT_READ | PROT_WRITE : PROT_READ;
    uintptr_t large = align_down(page, LARGE_PAGE);
    if (alike(large, access))
        mprotect((void *)large, LARGE_PAGE, (int)protection);
    else
        mprotect((void *)page, PAGE_SIZE, (int)protection);
}

/* ---- A machine ------------------------------------------------------------------------------------------------ */

static struct machine *machine;
static struct machine_room *room;
static bool tables_were_read; /* then what is nobody's memory may have stayed readable */

static int set_up(void **state)
{
    (void)state;
    assert_ptr_equal(
        mmap((void *)PHYSMAP_BASE, PHYSICAL, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1, 0),
        (void *)PHYSMAP_BASE);
    memset(pool, 0, sizeof pool);
    memset(root_table, 0, sizeof root_table);
    memset(&arena, 0, sizeof arena);
    pool_used = records_used = 0;
    taking_memory = frames_ready = top_copied = false;
    memset(stacks_used, 0, sizeof stacks_used);
    image_physical = table_pages = 0;
    released_count = 0;
    device_mappings = NULL;
    device_next = DEVICE_BASE;
    known_machine = NULL;
    machine = calloc(1, sizeof *machine);
    room = calloc(1, sizeof *room);
    machine_use_room(machine, room);
    fake_largest_leaf = 1;
    fake_identity_dropped = tables_were_read = false;
    host_log_clear();
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    free(machine);
    free(room);
    munmap((void *)PHYSMAP_BASE, PHYSICAL);
    return 0;
}

/* Called by the test itself: cmocka has its own idea of this signal between tests. */
static void start(uint64_t image)
{
    struct sigaction action = {.sa_sigaction = translate, .sa_flags = SA_SIGINFO | SA_NODEFER};

    sigaction(SIGSEGV, &action, NULL);
    fake_root = image + (uint64_t)((char *)root_table - image_start);
    vm_init(image);
}

static void add_range(uint64_t base, uint64_t size, enum memory_kind kind)
{
    machine->memory[machine->memory_count++] = (struct memory_range){.base = base, .size = size, .kind = kind};
}

/* The image, and usable memory around it in [base, end). */
static void add_image(uint64_t base, uint64_t end)
{
    add_range(base, image_physical - base, MEMORY_USABLE);
    add_range(image_physical, image_size(), MEMORY_KERNEL);
    add_range(image_physical + image_size(), end - image_physical - image_size(), MEMORY_USABLE);
}

/* ---- What must be so once memory is taken ------------------------------------------------------------------------ */

/* MMU access bits of the physmap's view of a page, UINT32_MAX: none. */
static unsigned view(uint64_t physical)
{
    unsigned access;

    return vm_lookup(physical_to_virtual(physical), &access) ? access : UINT32_MAX;
}

static bool whole_page_in(const struct memory_range *range, uint64_t page)
{
    return page >= range->base && page + PAGE_SIZE <= range->base + range->size;
}

static bool is_usable(uint64_t page)
{
    for (uint32_t i = 0; i < machine->memory_count; i++)
        if (machine->memory[i].kind == MEMORY_USABLE && whole_page_in(&machine->memory[i], page))
            return true;
    return false;
}

static void page_is_seen_rightly(uint64_t page)
{
    unsigned expected = UINT32_MAX;

    if (page >= PHYSMAP_SIZE)
        return;
    for (uint32_t i = 0; i < machine->memory_count; i++) {
        const struct memory_range *range = &machine->memory[i];
        bool touched = page < range->base + range->size && page + PAGE_SIZE > range->base;
        if (range->kind == MEMORY_USABLE ? whole_page_in(range, page) : touched && is_mapped_kind(range->kind))
            expected = range->kind == MEMORY_USABLE ? MMU_WRITE : MMU_READ;
    }
    if (page >= image_physical && page < image_physical + image_size())
        expected = UINT32_MAX;
    if (tables_were_read && expected == UINT32_MAX && view(page) == MMU_READ && !in_image(page))
        return;
    if (view(page) != expected)
        fail_msg("page 0x%llx is seen with access %d, not %d", (unsigned long long)page, (int)view(page),
                 (int)expected);
}

static void physmap_is_right(void)
{
    for (uint64_t page = image_physical; page < image_physical + image_size(); page += PAGE_SIZE)
        assert_int_equal(view(page), UINT32_MAX);
    for (uint32_t i = 0; i < machine->memory_count; i++) {
        uint64_t base = align_down(machine->memory[i].base, PAGE_SIZE), size = machine->memory[i].size;
        uint64_t step = size > 64 * MIB ? 2 * MIB + 37 * PAGE_SIZE : PAGE_SIZE;
        for (uint64_t page = base; page < base + size; page += step)
            page_is_seen_rightly(page);
        for (int64_t near = -2; near <= 2; near++) {
            page_is_seen_rightly(base + (uint64_t)near * PAGE_SIZE);
            page_is_seen_rightly(align_down(base + size, PAGE_SIZE) + (uint64_t)near * PAGE_SIZE);
        }
    }
}

/* Takes every frame there is: each is usable memory and comes once; with what the arena kept that is all of it. */
static void no_frame_is_lost_or_given_twice(void)
{
    uint8_t *out = calloc(1, MOST_PAGES / 8);
    uint64_t taken = 0, usable = 0, physical;
    struct frame_counts counts;

    frames_count(&counts);
    for (unsigned order = FRAME_MAX_ORDER; order <= FRAME_MAX_ORDER; order--) /* largest first: touches the least */
        while ((physical = frames_allocate(order, 0)) != 0)
            for (uint64_t end = physical + (PAGE_SIZE << order); physical < end; physical += PAGE_SIZE, taken++) {
                uint64_t frame = physical / PAGE_SIZE;
                assert_true(frame < MOST_PAGES && physical % PAGE_SIZE == 0);
                assert_int_equal(out[frame / 8] >> frame % 8 & 1, 0);
                out[frame / 8] |= (uint8_t)(1 << frame % 8);
                assert_true(is_usable(physical));
                assert_false(in_image(physical));
                assert_false(physical >= arena.start && physical < arena.next);
            }
    for (uint32_t i = 0; i < machine->memory_count; i++)
        if (machine->memory[i].kind == MEMORY_USABLE) {
            uint64_t base = align_up(machine->memory[i].base, PAGE_SIZE);
            uint64_t end = align_down(machine->memory[i].base + machine->memory[i].size, PAGE_SIZE);
            usable += end > base ? (end - base) / PAGE_SIZE - (base == 0) : 0;
        }
    assert_int_equal(taken, counts.total);
    assert_int_equal(taken + (arena.next - arena.start) / PAGE_SIZE, usable);
    free(out);
}

static void take(void)
{
    vm_take_memory(machine);
    assert_true(fake_identity_dropped);
    assert_true(frames_check());
    physmap_is_right();
    no_frame_is_lost_or_given_twice();
    assert_int_equal(host_log_count(LOG_ERROR), 0);
    assert_int_equal(host_log_count(LOG_WARN), 0);
}

/* ---- Machines ------------------------------------------------------------------------------------------------------
 */

static void a_pc_with_little_memory(void **state)
{
    (void)state;
    start(MIB);
    add_range(0, 0x9fc00, MEMORY_USABLE);
    add_range(0x9fc00, 0x400, MEMORY_RESERVED);
    add_range(0xf0000, 0x10000, MEMORY_RESERVED);
    add_image(MIB, MIB + image_size() + 14 * MIB);
    machine->memory_count -= 3; /* the image begins where the memory does: no range of size 0 */
    machine->memory[machine->memory_count] = machine->memory[machine->memory_count + 1];
    machine->memory[machine->memory_count + 1] = machine->memory[machine->memory_count + 2];
    machine->memory_count += 2;
    add_range(MIB + image_size() + 14 * MIB, 0x20000, MEMORY_ACPI_RECLAIM);
    take();
}

static void a_pc_with_much_memory(void **state)
{
    (void)state;
    start(MIB);
    add_range(PAGE_SIZE, 0x9e000, MEMORY_USABLE);
    add_range(image_physical, image_size(), MEMORY_KERNEL);
    add_range(image_physical + image_size(), 0x7ffe0000 - image_physical - image_size(), MEMORY_USABLE);
    add_range(0x7ffe0000, 0x20000, MEMORY_RESERVED);
    add_range(0xfeffc000, 0x4000, MEMORY_RESERVED);
    add_range(4 * GIB, 6 * GIB, MEMORY_USABLE);
    take();
    assert_true(table_pages < 20);
}

static void large_leaves_take_fewer_tables(void **state)
{
    (void)state;
    fake_largest_leaf = 2;
    start(2 * GIB + 2 * MIB);
    add_image(2 * GIB, 10 * GIB);
    take();
    assert_true(table_pages <= 10);
}

static void ranges_of_every_kind_side_by_side(void **state)
{
    (void)state;
    start(GIB + 8 * MIB);
    add_range(GIB, 0x100000, MEMORY_TABLES);
    add_image(GIB + 0x100000, GIB + 100 * MIB + 0x3000);
    add_range(GIB + 100 * MIB + 0x3000, 0x5000, MEMORY_INITRD);
    add_range(GIB + 100 * MIB + 0x8000, 0x1000, MEMORY_ACPI_NVS);
    add_range(GIB + 100 * MIB + 0x9000, 0x1000, MEMORY_USABLE);
    add_range(GIB + 100 * MIB + 0xa000, 0x1000, MEMORY_BAD);
    add_range(GIB + 100 * MIB + 0xb000, 30 * MIB, MEMORY_USABLE);
    take();
}

/* As no reader leaves them; the allocator must not be the one to find out. */
static void ranges_that_are_not_whole_pages(void **state)
{
    (void)state;
    start(GIB);
    add_image(GIB, GIB + 64 * MIB + 0x123);
    machine->memory[0] = machine->memory[1];
    machine->memory[1] = machine->memory[2];
    machine->memory_count = 2;
    add_range(GIB + 64 * MIB + 0x123, 0x1000, MEMORY_TABLES);
    add_range(GIB + 64 * MIB + 0x1123, 0xedd, MEMORY_RESERVED);
    add_range(GIB + 64 * MIB + 0x2800, 0x900, MEMORY_USABLE);
    add_range(GIB + 64 * MIB + 0x3fff, 0x5002, MEMORY_USABLE);
    take();
}

/* What was there before: memory is not zero when a kernel starts. */
static void dirty(uint64_t base, uint64_t size)
{
    void *at = physical_to_virtual(base);

    mprotect(at, size, PROT_READ | PROT_WRITE);
    memset(at, 0xa5, size);
    mprotect(at, size, PROT_NONE);
}

static void memory_in_small_pieces_only(void **state)
{
    (void)state;
    start(GIB);
    dirty(512 * MIB, 50 * 0x77000);
    dirty(GIB, image_size() + 50 * MIB);
    for (uint64_t i = 0; i < 100; i++) {
        if (i == 50)
            add_range(GIB, image_size(), MEMORY_KERNEL);
        uint64_t base = (i < 50 ? 512 * MIB : GIB + align_up(image_size(), MIB)) + i * 0x77000;
        add_range(base, 0x70000 - i * 0x1000, MEMORY_USABLE);
    }
    take();
}

/* Ranges of any kind and size, with gaps, with the image somewhere among them; gives the image's place. */
static uint64_t make_layout(struct test_random *random)
{
    uint64_t at = test_random_below(random, 3) == 0 ? 0 : align_down(test_random_below(random, 2 * GIB), PAGE_SIZE);
    uint64_t before = test_random_below(random, 20), count = before + 1 + test_random_below(random, 20), image = 0;

    for (uint64_t i = 0; i < count; i++) {
        if (test_random_below(random, 3) == 0)
            at += (1 + test_random_below(random, 3000)) * PAGE_SIZE;
        if (i == before) {
            image = at;
            add_range(at, image_size(), MEMORY_KERNEL);
            at += image_size();
            add_range(at, 8 * MIB, MEMORY_USABLE);
            at += 8 * MIB;
        }
        uint64_t size = (1 + test_random_below(random, UINT64_C(1) << test_random_below(random, 16))) * PAGE_SIZE;
        enum memory_kind kind = (enum memory_kind)test_random_below(random, MEMORY_KIND_COUNT);
        add_range(at, size, kind == MEMORY_KERNEL || test_random_below(random, 2) == 0 ? MEMORY_USABLE : kind);
        at += size;
    }
    return image;
}

static void any_layout(void **state)
{
    struct test_random random = test_random_start();

    for (unsigned round = 0; round < 40; round++) {
        fake_largest_leaf = 1 + (unsigned)test_random_below(&random, 2);
        start(make_layout(&random));
        tables_were_read = round % 2 == 0;
        for (uint64_t reads = tables_were_read ? test_random_below(&random, 30) : 0; reads != 0; reads--) {
            const struct memory_range *range = &machine->memory[test_random_below(&random, machine->memory_count)];
            vm_map_tables(range->base + test_random_below(&random, range->size), 1 + test_random_below(&random, 30000));
        }
        vm_take_memory(machine);
        physmap_is_right();
        no_frame_is_lost_or_given_twice();
        assert_true(frames_check());
        tear_down(state);
        set_up(state);
    }
}

/* ---- Firmware's maps that are wrong
 * ---------------------------------------------------------------------------------- */

static void memory_far_apart_is_given_up_with_a_sentence(void **state)
{
    (void)state;
    start(GIB);
    add_range(64 * MIB, 4 * MIB, MEMORY_USABLE);
    add_image(GIB - 32 * MIB, GIB + image_size() + 64 * MIB);
    add_range(UINT64_C(900) * GIB, 16 * MIB, MEMORY_USABLE);
    vm_take_memory(machine);
    assert_true(host_log_has("is too sparse to keep account of"));
    struct frame_counts counts;
    frames_count(&counts);
    assert_true(counts.total * PAGE_SIZE > 80 * MIB);
    assert_true(frames_check());
}

static void memory_beyond_the_physmap_is_not_used(void **state)
{
    (void)state;
    start(GIB);
    add_image(GIB - 32 * MIB, GIB + image_size() + 64 * MIB);
    add_range(PHYSMAP_SIZE + GIB, GIB, MEMORY_USABLE);
    add_range(UINT64_MAX - 0x1fff, 0x1000, MEMORY_USABLE);
    vm_take_memory(machine);
    assert_true(frames_check());
    assert_false(frames_free(PHYSMAP_SIZE + GIB, 0));
}

/* The map says that the image is usable memory; the image knows better. */
static void the_image_is_never_handed_out(void **state)
{
    (void)state;
    start(GIB);
    add_range(GIB - 16 * MIB, 16 * MIB + image_size() + 16 * MIB, MEMORY_USABLE);
    vm_take_memory(machine);
    for (uint64_t page = image_physical; page < image_physical + image_size(); page += PAGE_SIZE)
        assert_int_equal(view(page), UINT32_MAX);
    for (uint64_t physical; (physical = frames_allocate(0, 0)) != 0;)
        assert_false(in_image(physical));
}

static void no_memory_is_a_panic_that_says_so(void **state)
{
    (void)state;
    start(GIB);
    expect_assert_failure(vm_take_memory(machine));
    add_range(GIB, image_size(), MEMORY_KERNEL);
    add_range(2 * GIB, 2 * PAGE_SIZE, MEMORY_USABLE);
    expect_assert_failure(vm_take_memory(machine));
    assert_true(host_log_has("no range of usable memory has the"));
}

/* ---- Firmware's tables
 * --------------------------------------------------------------------------------------------------- */

static void tables_are_readable_before_and_after(void **state)
{
    (void)state;
    start(GIB);
    uint64_t tree = GIB + 80 * MIB + 0x800;
    const char *early = vm_map_tables(tree, 3 * PAGE_SIZE);
    assert_ptr_equal(early, (void *)(PHYSMAP_BASE + tree));
    assert_int_equal(view(tree), MMU_READ);
    assert_int_equal(view(tree + 3 * PAGE_SIZE), MMU_READ);
    assert_int_equal(view(tree + 4 * PAGE_SIZE), UINT32_MAX);
    assert_int_equal(early[0], 0);
    uint64_t pages = table_pages;
    assert_ptr_equal(vm_map_tables(tree + 100, 2 * PAGE_SIZE), early + 100);
    assert_ptr_equal(vm_map_tables(tree, 3 * MIB), early); /* all over again, and what more there is */
    assert_true(table_pages <= pages + 2);
    assert_non_null(vm_map_tables(GIB + 40 * MIB + 5, 50));
    add_image(GIB - 16 * MIB, GIB + 80 * MIB);
    add_range(GIB + 80 * MIB, 2 * PAGE_SIZE, MEMORY_TABLES);
    add_range(GIB + 80 * MIB + 2 * PAGE_SIZE, 30 * MIB, MEMORY_USABLE);
    take();
    assert_int_equal(early[0], 0);
    assert_ptr_equal(vm_map_tables(tree, PAGE_SIZE), early);
    assert_int_equal(view(tree), MMU_READ);
    assert_int_equal(view(GIB + 40 * MIB), MMU_WRITE);
    const char *later = vm_map_tables(0xf5000, 36);
    assert_non_null(later);
    assert_int_equal(later[0], 0);
}

/* A leaf of 2 MiB for what was read would cover memory of another kind, and be in its way. */
static void tables_next_to_usable_memory_cost_none_of_it(void **state)
{
    (void)state;
    start(GIB);
    assert_non_null(vm_map_tables(GIB + 80 * MIB, 6 * MIB));
    add_image(GIB - 16 * MIB, GIB + 80 * MIB);
    add_range(GIB + 80 * MIB, PAGE_SIZE, MEMORY_TABLES);
    add_range(GIB + 80 * MIB + PAGE_SIZE, 30 * MIB, MEMORY_USABLE);
    take();
}

static void tables_where_there_can_be_none(void **state)
{
    (void)state;
    start(GIB);
    assert_null(vm_map_tables(0x1000, 0));
    assert_null(vm_map_tables(PHYSMAP_SIZE, 1));
    assert_null(vm_map_tables(PHYSMAP_SIZE - 1, 2));
    assert_null(vm_map_tables(UINT64_MAX, 1));
    assert_null(vm_map_tables(0x1000, UINT64_MAX));
    assert_null(vm_map_tables(GIB - 1, 2)); /* partly the image */
    assert_null(vm_map_tables(GIB + image_size() - 1, 2));
    assert_null(vm_map_tables(GIB - PAGE_SIZE, image_size() + 2 * PAGE_SIZE));
    assert_ptr_equal(vm_map_tables(GIB + 10, 20), image_start + 10);
    assert_int_equal(view(GIB), UINT32_MAX);
    assert_int_equal(table_pages, 0);
}

/* Firmware's tables may lie anywhere; what they use up must not be what memory is taken with. */
static void tables_all_over_memory_leave_enough_to_begin_with(void **state)
{
    unsigned mapped = 0;

    (void)state;
    start(GIB);
    for (uint64_t i = 1; i < 40; i++)
        mapped += vm_map_tables(i * 20 * GIB, 36) != NULL;
    assert_true(mapped >= 2 && mapped < 39);
    assert_true(host_log_has("cannot be mapped to be read: out of memory"));
    host_log_clear();
    add_image(GIB - 16 * MIB, GIB + image_size() + 80 * MIB);
    take();
    for (uint64_t i = 1; i < 40; i++)
        assert_int_equal(vm_map_tables(i * 20 * GIB, 36) != NULL, i <= mapped); /* every frame is out */
    frames_free(arena.next, 0);
}

/* ---- Registers
 * ---------------------------------------------------------------------------------------------------------------- */

/* What has done its work: no longer the image's, but frames like all others, written to at one address only. That is
 * boot code and what it wrote to, the two guard pages, and what is left of the pool (memory.mk says where they lie). */
static bool given_away(uint64_t page, unsigned pool_first)
{
    uint64_t at = page - GIB, left = (uint64_t)((uintptr_t)pool[pool_first] - (uintptr_t)image_start);

    return (at >= 0x3000 && at < 0x8000) || at == 0xa000 || at == 0xc000 || at == 0xe000 || at == 0xf000 ||
           (at >= left && at < left + (POOL_PAGES - pool_first) * PAGE_SIZE);
}

static void boot_code_becomes_memory(void **state)
{
    struct frame_counts before, after;
    uint64_t physical, found = 0, expected = 0;

    (void)state;
    start(GIB);
    add_image(GIB - 16 * MIB, GIB + image_size() + 16 * MIB);
    vm_take_memory(machine);
    /* As the boot code has mapped it, with tables that are not of the pool. */
    unsigned pool_first = pool_used;
    assert_in_range(pool_first, 1, POOL_PAGES - 1);
    pool_used = POOL_PAGES;
    assert_int_equal(
        page_map(&kernel_table, (uintptr_t)image_start, GIB, align_down(image_size(), PAGE_SIZE), MMU_READ), STATUS_OK);
    pool_used = pool_first++; /* one is taken to show boot code's pages in the physmap, where nothing was near them */
    for (uint64_t page = GIB; page < GIB + image_size(); page += PAGE_SIZE)
        expected += given_away(page, pool_first);
    frames_count(&before);
    uint64_t given = vm_release_spare();
    assert_int_equal(given + vm_release_boot_code(), expected * PAGE_SIZE);
    frames_count(&after);
    assert_int_equal(after.total - before.total, expected);
    assert_true(frames_check());
    for (uint64_t page = GIB - PAGE_SIZE; page < GIB + align_down(image_size(), PAGE_SIZE); page += PAGE_SIZE) {
        bool in_memory = page < GIB, mine = !in_memory && given_away(page, pool_first);
        assert_int_equal(view(page), mine || in_memory ? MMU_WRITE : UINT32_MAX);
        assert_int_equal(in_image(page), !mine && !in_memory);
        if (in_memory)
            continue;
        assert_int_equal(vm_lookup(image_start + (page - GIB), NULL), !mine);
        assert_int_equal(vm_is_released(image_start + (page - GIB)), mine);
    }
    while ((physical = frames_allocate(0, 0)) != 0) {
        assert_false(in_image(physical));
        if (physical >= GIB && physical < GIB + image_size() && given_away(physical, pool_first)) {
            memset(physical_to_virtual(physical), 0x5a, PAGE_SIZE);
            found++;
        }
    }
    assert_int_equal(found, expected);
}

static void registers_are_mapped_once(void **state)
{
    unsigned access;

    (void)state;
    start(GIB);
    volatile void *uart = vm_map_device(0x9000000, 0x1000);
    assert_non_null(uart);
    assert_true(vm_lookup((const void *)(uintptr_t)uart, &access));
    assert_int_equal(access, MMU_WRITE | MMU_DEVICE);
    assert_ptr_equal(vm_map_device(0x9000000, 0x1000), uart);
    assert_ptr_equal(vm_map_device(0x9000040, 4), (volatile char *)uart + 0x40);
    volatile char *slots = vm_map_device(0xa000200, 0x200);
    assert_ptr_equal(vm_map_device(0xa000e00, 0x200), slots + 0xc00); /* the same page */
    assert_ptr_not_equal(slots, uart);
    add_image(GIB - 16 * MIB, GIB + image_size() + 80 * MIB);
    vm_take_memory(machine);
    assert_ptr_equal(vm_map_device(0x9000ffc, 4), (volatile char *)uart + 0xffc);
    for (uint64_t i = 0; i < 300; i++) {
        volatile char *registers = vm_map_device(0x10000000 + i * 0x2000 + 8, 0x10);
        uint64_t physical;
        assert_non_null(registers);
        assert_true(page_lookup(&kernel_table, (uintptr_t)registers, &physical, &access));
        assert_int_equal(physical, 0x10000000 + i * 0x2000 + 8);
    }
    for (uint64_t i = 0; i < 300; i++)
        assert_non_null(vm_map_device(0x10000000 + i * 0x2000, 0x1000));
    while (device_mappings != NULL) { /* the heap's records */
        struct device_mapping *next = device_mappings->next;
        if (device_mappings < first_records || device_mappings >= first_records + DEVICE_RECORDS)
            free(device_mappings);
        device_mappings = next;
    }
}

static void large_windows_take_large_leaves(void **state)
{
    (void)state;
    start(GIB);
    add_image(GIB - 16 * MIB, GIB + image_size() + 80 * MIB);
    vm_take_memory(machine);
    assert_non_null(vm_map_device(0x9000000, 0x1000));
    uint64_t before = table_pages;
    assert_non_null(vm_map_device(0xb0000000, 256 * MIB));
    assert_non_null(vm_map_device(0x4000001000, 64 * MIB));
    assert_true(table_pages <= before + 3);
    assert_null(vm_map_device(UINT64_C(1) << 38, DEVICE_SIZE)); /* as large as the area, which is used already */
    assert_true(host_log_has("cannot be mapped: limit reached"));
    assert_non_null(vm_map_device(UINT64_C(1) << 38, 0x1000));
}

/* Spaces have copies of the top table: from the first on it must not change, and yet registers and stacks go on to be
 * mapped. This processor has a top entry for each 512 GiB, and its registers lie below the second of two. */
static void the_top_table_is_closed_when_it_is_copied(void **state)
{
    static pte copy[TOP_ENTRIES], before[TOP_ENTRIES];
    uintptr_t guard, stack;

    (void)state;
    start(GIB);
    add_image(GIB - 16 * MIB, GIB + image_size() + 80 * MIB);
    vm_take_memory(machine);
    root_table[TOP_ENTRIES - 1] = mmu_table(GIB); /* something of the upper half */
    root_table[TOP_ENTRIES / 2] = mmu_table(2 * GIB);
    copy[0] = 17;
    vm_copy_kernel_half(copy);
    assert_int_equal(copy[0], 17);
    assert_int_equal(copy[TOP_ENTRIES - 1], mmu_table(GIB));
    assert_int_equal(copy[TOP_ENTRIES / 2], mmu_table(2 * GIB));
    assert_int_equal(copy[TOP_ENTRIES / 2 - 1], 0);
    memcpy(before, root_table, sizeof before);

    assert_non_null(vm_map_device(0x9000000, 0x1000));
    stack = vm_stack_create(&guard);
    assert_int_not_equal(stack, 0);
    vm_stack_destroy(stack);
    host_log_clear();
    assert_null(vm_map_tables(PHYSMAP_SIZE - PAGE_SIZE, 16)); /* the second 512 GiB of the physmap are empty */
    assert_true(host_log_has("cannot be mapped to be read: limit reached"));
    assert_memory_equal(before, root_table, sizeof before);
}

static void registers_cannot_be_memory(void **state)
{
    (void)state;
    start(GIB);
    assert_null(vm_map_device(GIB + 0x100, 4)); /* the image, before memory is known */
    add_image(GIB - 16 * MIB, GIB + image_size() + 80 * MIB);
    add_range(GIB + image_size() + 80 * MIB, 0x1000, MEMORY_RESERVED);
    vm_take_memory(machine);
    host_log_clear();
    assert_null(vm_map_device(GIB, 4));
    assert_null(vm_map_device(GIB - 16 * MIB, 4));
    assert_null(vm_map_device(GIB - 16 * MIB - 0x1000, 0x1001));
    assert_null(vm_map_device(GIB + image_size() + 80 * MIB - 1, 1));
    assert_int_equal(host_log_count(LOG_WARN), 4);
    assert_true(host_log_has("would lie in RAM and are not mapped"));
    assert_non_null(vm_map_device(GIB + image_size() + 80 * MIB, 0x1000));
    assert_null(vm_map_device(0, 0));
    assert_null(vm_map_device(UINT64_MAX, 2));
    assert_null(vm_map_device(UINT64_MAX - 0xfff, 0x1000)); /* no entry can say this */
    assert_null(vm_map_device(0, UINT64_MAX));
}

/* ---- Pages and addresses
 * ------------------------------------------------------------------------------------------------------- */

static void pages_are_zeroed_and_translate_both_ways(void **state)
{
    (void)state;
    start(GIB);
    add_image(GIB - 16 * MIB, GIB + image_size() + 80 * MIB);
    vm_take_memory(machine);
    uint8_t *pages = pages_allocate(2), *other;
    assert_non_null(pages);
    memset(pages, 0xff, 4 * PAGE_SIZE);
    assert_ptr_equal(physical_to_virtual(virtual_to_physical(pages + 5000)), pages + 5000);
    pages_free(pages, 2);
    other = pages_allocate(2);
    assert_ptr_equal(other, pages);
    for (unsigned i = 0; i < 4 * PAGE_SIZE; i++)
        assert_int_equal(other[i], 0);
    assert_int_equal(virtual_to_physical(pages_allocate_aligned(0, 4)) % (16 * PAGE_SIZE), 0);
    assert_int_equal(virtual_to_physical(image_start + 77), GIB + 77);
    pages_free(NULL, 0);
    int here;
    expect_assert_failure(virtual_to_physical(&here));
    expect_assert_failure(virtual_to_physical(NULL));
}

/* Each above a page that is not mapped; its pages go back when all CPUs have forgotten them, and not before. */
static void stacks_come_and_go(void **state)
{
    struct frame_counts before, between, after;
    uintptr_t guard, other_guard, tops[STACKS];

    (void)state;
    start(GIB);
    add_image(GIB - 16 * MIB, GIB + image_size() + 80 * MIB);
    vm_take_memory(machine);
    memset(stacks_used, 0, sizeof stacks_used);
    tops[0] = vm_stack_create(&guard); /* the tables stay */
    vm_stack_destroy(tops[0]);
    frames_count(&before);
    uintptr_t top = vm_stack_create(&guard), other = vm_stack_create(&other_guard);
    assert_int_equal(top - guard, 5 * PAGE_SIZE);
    assert_true(other_guard >= top || guard >= other);
    for (uintptr_t at = guard + PAGE_SIZE; at < top; at += PAGE_SIZE) {
        unsigned access;
        assert_true(vm_lookup((void *)at, &access));
        assert_int_equal(access, MMU_WRITE);
        assert_int_equal(virtual_to_physical((void *)(at + 40)) % PAGE_SIZE, 40);
    }
    assert_false(vm_lookup((void *)guard, NULL));
    assert_false(vm_lookup((void *)top, NULL));
    expect_assert_failure(virtual_to_physical((void *)guard));
    frames_count(&between);
    assert_int_equal(before.free - between.free, 8);

    fake_synchronised = 0;
    vm_stack_destroy(top);
    assert_int_equal(fake_synchronised, 1);
    assert_false(vm_lookup((void *)(top - 8), NULL));
    assert_int_equal(vm_stack_create(&guard), top);
    fake_deaf = true; /* a CPU does not answer: neither the address nor the pages are used again */
    vm_stack_destroy(top);
    fake_deaf = false;
    frames_count(&after);
    assert_int_equal(after.free, between.free);
    assert_int_not_equal(vm_stack_create(&guard), top);

    for (unsigned i = 0; i < STACKS; i++)
        tops[i] = vm_stack_create(&guard);
    assert_int_equal(tops[STACKS - 4], tops[STACKS - 5] + STACK_STRIDE);
    assert_int_equal(tops[STACKS - 3], 0); /* no place left */
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)

static const struct CMUnitTest tests[] = {
    TEST(a_pc_with_little_memory),
    TEST(a_pc_with_much_memory),
    TEST(large_leaves_take_fewer_tables),
    TEST(ranges_of_every_kind_side_by_side),
    TEST(ranges_that_are_not_whole_pages),
    TEST(memory_in_small_pieces_only),
    TEST(any_layout),
    TEST(memory_far_apart_is_given_up_with_a_sentence),
    TEST(memory_beyond_the_physmap_is_not_used),
    TEST(the_image_is_never_handed_out),
    TEST(no_memory_is_a_panic_that_says_so),
    TEST(tables_are_readable_before_and_after),
    TEST(tables_next_to_usable_memory_cost_none_of_it),
    TEST(tables_where_there_can_be_none),
    TEST(boot_code_becomes_memory),
    TEST(tables_all_over_memory_leave_enough_to_begin_with),
    TEST(registers_are_mapped_once),
    TEST(large_windows_take_large_leaves),
    TEST(the_top_table_is_closed_when_it_is_copied),
    TEST(registers_cannot_be_memory),
    TEST(pages_are_zeroed_and_translate_both_ways),
    TEST(stacks_come_and_go),
};

int main(void)
{
    return cmocka_run_group_tests(tests, NULL, NULL);
}
