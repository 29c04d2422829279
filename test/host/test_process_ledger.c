/*
 * test_process_ledger.c: thousands of random things done with processes, their handles and their memory, with a heap
 * that sometimes refuses, from a seed that is printed: when all that was made has ended, everything is as it was to
 * the byte, and at no time did a CPU remember memory that had been given away.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "host_log.h"
#include "object_world.h"
#include "random.h"

enum { LIVING = 24, NUMBERS = 48, ROUNDS = 12, OPERATIONS = 3000 };

static struct test_random randomness;

/* A process that the test holds a reference of, and handles that it once had: many of them stale. */
static struct player {
    struct process *process;
    handle numbers[NUMBERS];
    struct thread *running; /* on a CPU; ended or not */
} players[LIVING];

static uint64_t below(uint64_t bound)
{
    return test_random_below(&randomness, bound);
}

static struct player *somebody(void)
{
    return &players[below(LIVING)];
}

static handle *some_number(struct player *player)
{
    return &player->numbers[below(NUMBERS)];
}

static void begin(struct player *player)
{
    struct process *parent = below(3) == 0 ? &kernel_process : somebody()->process;
    struct process_parameters parameters = world_parameters("player");

    if (player->process != NULL || parent == NULL)
        return;
    if (parent != &kernel_process)
        for (unsigned i = 0; i < BUDGET_COUNT; i++)
            parameters.limits[i] = parent->limits[i] / (1 + below(6));
    if (process_create(parent, &parameters, &player->process) != STATUS_OK)
        player->process = NULL;
}

static void make(struct player *player, handle *number)
{
    struct process *process = player->process;
    struct object *object = NULL;
    struct thread *thread = NULL;
    struct memory *memory = NULL;

    switch (below(6)) {
    case 0:
        if (endpoint_create(process, (struct endpoint **)&object) != STATUS_OK)
            return;
        break;
    case 1:
        if (notification_create(process, (struct notification **)&object) != STATUS_OK)
            return;
        ((struct notification *)object)->timer.cpu = below(2) == 0 ? cpu_local() : NULL; /* its alarm was set once */
        break;
    case 2:
        if (memory_create(process, (1 + below(20)) * PAGE_SIZE, &memory) != STATUS_OK)
            return;
        object = &memory->object;
        break;
    case 3:
        if (process->state == PROCESS_ENDING || process->state == PROCESS_ENDED || world_heap_left >= 0)
            return;
        thread = world_thread(process);
        if (thread == NULL)
            return;
        if (player->running == NULL && below(2) == 0) {
            thread->state = THREAD_RUNNING;
            player->running = thread;
        }
        object = &thread->object;
        object_hold(object);
        break;
    case 4: /* a call of somebody's thread has come */
        if (player->running == NULL)
            return;
        object = &player->running->reply.object;
        object_hold(object);
        break;
    default:
        object = &process->object;
        object_hold(object);
        break;
    }
    if (handle_install(process, object, RIGHT_ALL, below(3), number) != STATUS_OK)
        object_release(object);
}

static void map(struct player *player, handle number)
{
    struct object *object;
    struct handle_slot *slot;
    uintptr_t at = below(3) == 0 ? 0x40000000 + below(256) * PAGE_SIZE : 0;

    if (handle_use(player->process, number, OBJECT_MEMORY, RIGHT_READ, &object, &slot) != STATUS_OK)
        return;
    struct memory *memory = (struct memory *)object;
    uint32_t access = RIGHT_READ | (uint32_t)(below(3) << 1);
    memory_map(player->process, memory, slot->rights, at, below(2) * PAGE_SIZE, (1 + below(12)) * PAGE_SIZE, access,
               &at);
    assert_true(memory->writable == 0 || memory->executable == 0);
}

/* What a mapping led to must be forgotten by all CPUs before this returns. */
static void unmap(struct player *player)
{
    struct mapping *mapping = player->process->space.mappings;

    for (uint64_t skip = below(8); mapping != NULL && mapping->next != NULL && skip != 0; skip--)
        mapping = mapping->next;
    if (mapping == NULL)
        return;
    struct memory *memory = mapping->owner;
    unsigned identifier = player->process->space.identifier;
    bool alone = memory->mapping_count == 1;
    struct page_run run = memory->pages.run[0];
    assert_int_equal(memory_unmap(player->process, mapping->address, mapping->size), STATUS_OK);
    if (alone)
        assert_false(world_remembered(identifier, run.physical, run.size));
}

static void run(struct player *player)
{
    world_self = (unsigned)below(WORLD_CPUS);
    if (player->process == NULL || player->process->state != PROCESS_RUNNING) {
        space_activate(NULL);
        return;
    }
    space_activate(&player->process->space);
    for (const struct mapping *mapping = player->process->space.mappings; mapping != NULL; mapping = mapping->next)
        world_touch(world_self, mapping->address + below(mapping->size));
}

static void watch(struct player *player, handle number)
{
    struct player *other = somebody();
    struct object *object;

    if (other->process != NULL && player->process->state == PROCESS_RUNNING &&
        handle_use(player->process, number, OBJECT_NOTIFICATION, RIGHT_SIGNAL, &object, NULL) == STATUS_OK)
        process_watch(player->process, other->process, (struct notification *)object, 1);
}

/* Every CPU leaves the spaces of those that end, as schedule() does. */
static void leave(void)
{
    for (world_self = 0; world_self < WORLD_CPUS; world_self++)
        space_activate(NULL);
    world_self = 0;
    processes_look_again();
}

static void end(struct player *player)
{
    process_end(player->process, END_KILLED, 7);
    leave();
    if (below(2) == 0) {
        object_release(&player->process->object);
        player->process = NULL;
    }
}

static void one(struct player *player)
{
    struct player *other = somebody();
    handle *number = some_number(player);

    if (player->process == NULL) {
        begin(player);
        return;
    }
    switch (below(16)) {
    case 0 ... 4:
        make(player, number);
        break;
    case 5:
        handle_close(player->process, *number);
        break;
    case 6:
        handle_duplicate(player->process, *number, below(2) == 0 ? RIGHT_ALL : RIGHT_READ | RIGHT_TRANSFER, 0,
                         some_number(player));
        break;
    case 7:
        handle_revoke(player->process, *number);
        break;
    case 8 ... 9:
        if (other->process != NULL)
            handle_move(player->process, *number, other->process, 0, below(2) == 0, some_number(other));
        break;
    case 10 ... 11:
        map(player, *number);
        break;
    case 12:
        unmap(player);
        break;
    case 13:
        run(player);
        break;
    case 14:
        watch(player, *number);
        break;
    default:
        if (below(8) == 0)
            end(player);
        break;
    }
}

static void stop_running(struct player *player)
{
    if (player->running == NULL)
        return;
    if (player->running->ending) {
        struct thread *thread = player->running;
        player->running = NULL;
        world_thread_stopped(thread);
    }
}

static void ends_as_it_began(void **state)
{
    struct ledger before, after;

    (void)state;
    randomness = test_random_start();
    print_message("seed %llu (VMOS_SEED)\n", (unsigned long long)randomness.state);
    ledger_take(&before);
    for (unsigned round = 0; round < ROUNDS; round++) {
        for (unsigned i = 0; i < OPERATIONS; i++) {
            world_heap_left = below(10) == 0 ? (int)below(4) : -1;
            uintptr_t saved = lock_take(&objects_lock);
            one(somebody());
            lock_release(&objects_lock, saved);
            world_heap_left = -1;
            if (below(3) == 0)
                processes_reap();
            if (below(20) == 0)
                stop_running(somebody());
        }
        uintptr_t saved = lock_take(&objects_lock);
        for (unsigned i = 0; i < LIVING; i++)
            if (players[i].process != NULL)
                process_end(players[i].process, END_KILLED, 0);
        leave();
        lock_release(&objects_lock, saved);
        for (unsigned i = 0; i < LIVING; i++)
            stop_running(&players[i]);
        saved = lock_take(&objects_lock);
        for (unsigned i = 0; i < LIVING; i++)
            if (players[i].process != NULL)
                object_release(&players[i].process->object);
        memset(players, 0, sizeof players);
        lock_release(&objects_lock, saved);
        world_reap();
        ledger_take(&after);
        ledger_same(&before, &after);
        assert_int_equal(host_log_count(LOG_ERROR), 0);
    }
    assert_true(frames_check());
    print_message("%u threads, %u endpoints, %u notifications ended, %u timers cancelled, %u flushes\n",
                  world_destroyed[OBJECT_THREAD], world_destroyed[OBJECT_ENDPOINT],
                  world_destroyed[OBJECT_NOTIFICATION], world_timers_cancelled, world_flushes);
    assert_true(world_destroyed[OBJECT_THREAD] > 100 && world_destroyed[OBJECT_ENDPOINT] > 100);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(ends_as_it_began, world_start, world_end),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
