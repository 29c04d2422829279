/* test_process.c: how processes begin, end, and are taken apart; who gets what back, and when. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "host_log.h"
#include "object_world.h"

static enum status create(struct process *parent, const struct process_parameters *parameters)
{
    struct process *made = NULL;
    enum status status = process_create(parent, parameters, &made);

    if (status == STATUS_OK) {
        process_end(made, END_KILLED, 0);
        object_release(&made->object);
        world_reap();
    }
    return status;
}

static void forget(struct process *process)
{
    process_end(process, END_KILLED, 0);
    object_release(&process->object);
}

/* ---- Beginning ---- */

static void names(void **state)
{
    static const struct {
        const char *name;
        enum status status;
    } rows[] = {
        {"a", STATUS_OK},
        {"net-0.service_XYZ", STATUS_OK},
        {"12345678901234567890123", STATUS_OK},
        {"", STATUS_INVALID},
        {"123456789012345678901234", STATUS_INVALID}, /* not terminated */
        {"two words", STATUS_INVALID},
        {"a[1]", STATUS_INVALID},
        {"a:b", STATUS_INVALID},
        {"a/b", STATUS_INVALID},
        {"line\n", STATUS_INVALID},
        {"\033[2J", STATUS_INVALID},
        {"del\177", STATUS_INVALID},
        {"\303\244", STATUS_INVALID},
    };

    (void)state;
    for (unsigned i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct process_parameters parameters = world_parameters("");
        memcpy(parameters.name, rows[i].name, strnlen(rows[i].name, NAME_SIZE));
        assert_int_equal(create(&kernel_process, &parameters), rows[i].status);
    }
}

static void a_child_has_at_most_what_its_parent_has(void **state)
{
    struct process *parent = world_process(&kernel_process);
    struct process_parameters parameters = world_parameters("child");

    (void)state;
    for (unsigned i = 0; i < BUDGET_COUNT; i++)
        parameters.limits[i] = 0;
    parameters.limits[BUDGET_MEMORY] = 8 * KIB;
    parent->cpus = 6;
    assert_int_equal(create(parent, &parameters), STATUS_PEER_GONE); /* it does not run yet */
    parent->state = PROCESS_RUNNING;
    assert_int_equal(create(parent, &parameters), STATUS_OK);
    parameters.cpus = 2;
    assert_int_equal(create(parent, &parameters), STATUS_OK);
    parameters.cpus = 3;
    assert_int_equal(create(parent, &parameters), STATUS_DENIED);
    parameters.cpus = 0;
    parameters.highest_priority = 11;
    assert_int_equal(create(parent, &parameters), STATUS_DENIED);
    parameters.highest_priority = PRIORITIES;
    assert_int_equal(create(parent, &parameters), STATUS_INVALID);
    parameters.highest_priority = 10;
    parameters.reserved = 1;
    assert_int_equal(create(parent, &parameters), STATUS_INVALID);
    parameters.reserved = 0;
    for (unsigned i = 0; i < BUDGET_COUNT; i++) {
        struct ledger before, after;
        uint64_t old = parameters.limits[i], used[BUDGET_COUNT];
        memcpy(used, parent->used, sizeof used);
        ledger_take(&before);
        parameters.limits[i] = parent->limits[i] - parent->used[i] + 1;
        assert_int_equal(create(parent, &parameters), STATUS_LIMIT);
        parameters.limits[i] = UINT64_MAX;
        assert_int_equal(create(parent, &parameters), STATUS_LIMIT);
        parameters.limits[i] = old;
        ledger_take(&after);
        ledger_same(&before, &after);
        assert_memory_equal(used, parent->used, sizeof used);
    }
    parameters.limits[BUDGET_MEMORY] = PAGE_SIZE - 1; /* not even a root table */
    assert_int_equal(create(parent, &parameters), STATUS_LIMIT);
    parameters.limits[BUDGET_MEMORY] = parent->limits[BUDGET_MEMORY] - parent->used[BUDGET_MEMORY];
    assert_int_equal(create(parent, &parameters), STATUS_LIMIT); /* its struct is the parent's to pay for */
    parameters.limits[BUDGET_MEMORY] -= sizeof(struct process);
    assert_int_equal(create(parent, &parameters), STATUS_OK);
    world_heap_left = 0;
    assert_int_equal(create(parent, &parameters), STATUS_NO_MEMORY);
    world_heap_left = -1;
    forget(parent);
}

static void what_a_child_costs(void **state)
{
    struct process *parent = world_process(&kernel_process);
    struct process_parameters parameters = world_parameters("child");
    uint64_t used[BUDGET_COUNT];

    (void)state;
    parent->state = PROCESS_RUNNING;
    memcpy(used, parent->used, sizeof used);
    for (unsigned i = 0; i < BUDGET_COUNT; i++)
        parameters.limits[i] /= 4;
    struct process *child;
    assert_int_equal(process_create(parent, &parameters, &child), STATUS_OK);
    for (unsigned i = 0; i < BUDGET_COUNT; i++)
        assert_int_equal(parent->used[i] - used[i],
                         parameters.limits[i] +
                             (i == BUDGET_MEMORY ? sizeof(struct process) : (uint64_t)(i == BUDGET_OBJECTS)));
    assert_int_equal(child->used[BUDGET_MEMORY], PAGE_SIZE);
    assert_int_equal(child->cpus, parent->cpus);
    assert_int_equal(child->state, PROCESS_NEW);
    uint64_t id = child->id;
    process_end(child, END_EXIT, 3);
    world_reap();
    assert_int_equal(child->state, PROCESS_ENDED);
    assert_int_equal(parent->used[BUDGET_MEMORY] - used[BUDGET_MEMORY], sizeof(struct process));
    assert_int_equal(parent->used[BUDGET_OBJECTS] - used[BUDGET_OBJECTS], 1);
    assert_int_equal(parent->used[BUDGET_HANDLES], used[BUDGET_HANDLES]);
    object_release(&child->object);
    world_reap();
    assert_memory_equal(used, parent->used, sizeof used);
    assert_int_equal(process_create(parent, &parameters, &child), STATUS_OK);
    assert_true(child->id > id); /* never again */
    object_release(&child->object);
    forget(parent);
}

static void debts_of_cpu_time_go_with_its_promise(void **state)
{
    struct process *parent = world_process(&kernel_process), *child, *other;
    struct process_parameters parameters = world_parameters("child");

    (void)state;
    memset(parameters.limits, 0, sizeof parameters.limits);
    parameters.limits[BUDGET_MEMORY] = 64 * KIB;
    parent->state = PROCESS_RUNNING;
    parent->owed_ns = 1000;
    parameters.limits[BUDGET_CPU] = 40; /* of 100 */
    assert_int_equal(process_create(parent, &parameters, &child), STATUS_OK);
    assert_int_equal(child->owed_ns, 400);
    assert_int_equal(parent->owed_ns, 600);
    parameters.limits[BUDGET_CPU] = 0;
    assert_int_equal(process_create(parent, &parameters, &other), STATUS_OK);
    assert_int_equal(other->owed_ns, 0);
    assert_int_equal(parent->owed_ns, 600);
    child->owed_ns += 50;
    forget(child);
    forget(other);
    world_reap();
    assert_int_equal(parent->owed_ns, 1050);
    /* A thread's first budget bears what it can. */
    assert_true(budget_take(parent, BUDGET_CPU, 50));
    assert_int_equal(debt_share(parent, 50, 300), 300);
    assert_int_equal(debt_share(parent, 50, UINT64_MAX), 375);
    assert_int_equal(parent->owed_ns, 375);
    budget_give(parent, BUDGET_CPU, 50);
    forget(parent);
}

static void who_cannot_be_started_ends(void **state)
{
    struct process *process = world_process(&kernel_process);

    (void)state;
    object_hold(&process->object);
    object_release(&process->object);
    assert_int_equal(process->state, PROCESS_NEW);
    object_release(&process->object); /* the last handle */
    world_reap();
    assert_ptr_equal(processes, &kernel_process);
}

static void the_root_does_not_end(void **state)
{
    (void)state;
    process_end(&kernel_process, END_KILLED, 0);
    assert_int_equal(kernel_process.state, PROCESS_RUNNING);
    assert_false(processes_ending());
}

/* ---- Ending ---- */

static void what_is_told_of_the_end(void **state)
{
    struct process *process = world_process(&kernel_process);
    struct process_info info;
    struct thread *thread = world_thread(process);

    (void)state;
    thread->ticks = 100;
    process->ended_ticks = 11;
    process_info(process, &info);
    assert_string_equal(info.name, "child");
    assert_int_equal(info.cpu_ns, 222);
    assert_int_equal(info.state, PROCESS_RUNNING);
    assert_int_equal(info.limits[BUDGET_HANDLES], 100);
    assert_int_equal(info.used[BUDGET_THREADS], 1);
    process_end(process, END_CRASHED, 0xdead);
    process_end(process, END_KILLED, 1); /* what came first stands */
    world_reap();
    process_info(process, &info);
    assert_int_equal(info.end, END_CRASHED);
    assert_int_equal(info.end_code, 0xdead);
    assert_int_equal(info.state, PROCESS_ENDED);
    assert_int_equal(info.cpu_ns, 222); /* also of threads that are gone */
    object_release(&process->object);
}

/* Grandchildren and what is beside them, in whatever order they were made; and parents end last. */
static void children_end_with_their_parent(void **state)
{
    enum { COUNT = 15 };
    struct process *tree[COUNT], *bystander = world_process(&kernel_process);

    (void)state;
    for (unsigned i = 0; i < COUNT; i++) {
        struct process_parameters parameters = world_parameters("child");
        for (unsigned j = 0; j < BUDGET_COUNT; j++)
            parameters.limits[j] = j == BUDGET_MEMORY ? 8 * KIB << (i == 0 ? 9 : i < 3 ? 7 : i < 7 ? 5 : 0) : 0;
        parameters.limits[BUDGET_OBJECTS] = i == 0 ? 40 : i < 3 ? 15 : i < 7 ? 5 : 0;
        assert_int_equal(process_create(i == 0 ? &kernel_process : tree[(i - 1) / 2], &parameters, &tree[i]),
                         STATUS_OK);
        tree[i]->state = PROCESS_RUNNING;
    }
    process_end(tree[1], END_EXIT, 5);
    for (unsigned i = 0; i < COUNT; i++) {
        bool below = i == 1 || i == 3 || i == 4 || (i >= 7 && i <= 10);
        assert_int_equal(tree[i]->state, below ? PROCESS_ENDING : PROCESS_RUNNING);
        assert_int_equal(tree[i]->end, i == 1 ? END_EXIT : below ? END_KILLED : END_NONE);
    }
    while (processes_reap())
        for (unsigned i = 1; i < COUNT; i++)
            if (tree[(i - 1) / 2]->state == PROCESS_ENDED)
                assert_int_equal(tree[i]->state, PROCESS_ENDED);
    assert_int_equal(tree[1]->state, PROCESS_ENDED);
    assert_int_equal(tree[2]->state, PROCESS_RUNNING);
    assert_int_equal(bystander->state, PROCESS_NEW);
    for (unsigned i = 0; i < COUNT; i++)
        forget(tree[i]);
    forget(bystander);
}

/* As deep as memory allows: nothing calls itself for each. */
static void a_long_line_of_descendants(void **state)
{
    enum { DEPTH = 3000 };
    struct process *parent = &kernel_process, *child, *top = NULL;

    (void)state;
    for (unsigned i = 0; i < DEPTH; i++) {
        struct process_parameters parameters = world_parameters("child");
        memset(parameters.limits, 0, sizeof parameters.limits);
        parameters.limits[BUDGET_MEMORY] = (uint64_t)(DEPTH - i) * (sizeof(struct process) + 2 * PAGE_SIZE);
        parameters.limits[BUDGET_OBJECTS] = DEPTH - i;
        assert_int_equal(process_create(parent, &parameters, &child), STATUS_OK);
        child->state = PROCESS_RUNNING;
        if (i == 0)
            top = child;
        else
            object_release(&parent->object);
        parent = child;
    }
    object_hold(&top->object);
    process_end(top, END_KILLED, 0);
    unsigned ended = 0;
    for (const struct process *process = processes; process != NULL; process = process->next)
        ended += process->state == PROCESS_ENDING;
    assert_int_equal(ended, DEPTH);
    object_release(&parent->object);
    world_reap();
    object_release(&top->object);
}

/* ---- Taking apart ---- */

static void not_while_a_cpu_is_in_it(void **state)
{
    struct process *process = world_process(&kernel_process);
    struct thread *thread = world_thread(process);

    (void)state;
    thread->state = THREAD_RUNNING;
    clock_object.references++;
    handle number;
    assert_int_equal(handle_install(process, &clock_object, RIGHT_ALL, 0, &number), STATUS_OK);
    world_self = 3;
    space_activate(&process->space);
    assert_false(processes_ending());
    unsigned wakes = world_wakes;
    process_end(process, END_KILLED, 0);
    assert_int_equal(world_wakes, wakes + 1); /* the boot CPU is to come */
    world_self = 0;
    assert_true(processes_ending());
    world_reap();
    assert_int_equal(process->used[BUDGET_HANDLES], 1); /* nothing has happened */
    world_thread_stopped(thread);
    assert_true(cpu_local()->kernel_wanted); /* it was this CPU's own doing */
    assert_true(processes_ending());
    world_reap();
    assert_int_equal(process->used[BUDGET_HANDLES], 1);
    world_self = 3;
    space_activate(NULL);
    world_self = 0;
    processes_look_again();
    world_reap();
    assert_int_equal(process->state, PROCESS_ENDED);
    object_release(&process->object);
}

/* No step is long: 64 slots, one mapping, 64 tables. */
static void steps_are_short(void **state)
{
    struct process *process = world_process(&kernel_process);
    struct memory *memory;
    uintptr_t at;

    (void)state;
    process->limits[BUDGET_MEMORY] += 4 * MIB;
    process->limits[BUDGET_HANDLES] += 900;
    assert_true(budget_take(&kernel_process, BUDGET_MEMORY, 4 * MIB));
    assert_true(budget_take(&kernel_process, BUDGET_HANDLES, 900));
    assert_int_equal(memory_create(process, PAGE_SIZE, &memory), STATUS_OK);
    for (unsigned i = 0; i < 500; i++) {
        handle number;
        object_hold(&memory->object);
        assert_int_equal(handle_install(process, &memory->object, RIGHT_ALL, 0, &number), STATUS_OK);
    }
    for (unsigned i = 0; i < 100; i++)
        assert_int_equal(
            memory_map(process, memory, RIGHT_ALL, 0x40000000 + i * 64 * MIB, 0, PAGE_SIZE, RIGHT_READ, &at),
            STATUS_OK);
    object_release(&memory->object);
    process_end(process, END_KILLED, 0);
    unsigned steps = 0;
    for (;; steps++) {
        uint64_t handles = process->used[BUDGET_HANDLES], mappings = process->space.mapping_count,
                 tables = process->space.table_bytes;
        if (!processes_reap())
            break;
        assert_true(handles - process->used[BUDGET_HANDLES] <= 64);
        assert_true(mappings - process->space.mapping_count <= 1);
        assert_true(tables - process->space.table_bytes <= 65 * PAGE_SIZE);
    }
    assert_in_range(steps, 500 / 64 + 100 + 100 / 64, 130);
    assert_int_equal(process->state, PROCESS_ENDED);
    assert_int_equal(process->used[BUDGET_MEMORY], 0);
    object_release(&process->object);
}

static void peers_hear_of_the_end(void **state)
{
    struct process *process = world_process(&kernel_process);
    struct endpoint *endpoint;
    handle there;

    (void)state;
    handle number = world_endpoint(process, &endpoint);
    assert_int_equal(handle_move(process, number, &kernel_process, RIGHT_CALL | RIGHT_TRANSFER, true, &there),
                     STATUS_OK);
    process_end(process, END_CRASHED, 0);
    world_reap();
    assert_int_equal(world_peers_gone, 1);
    assert_int_equal(endpoint->receive_handles, 0);
    /* The endpoint lives on by the other's handle: its payer's parent pays. */
    assert_int_equal(process->used[BUDGET_OBJECTS], 1);
    uint64_t memory = kernel_process.used[BUDGET_MEMORY], objects = kernel_process.used[BUDGET_OBJECTS];
    assert_int_equal(handle_close(&kernel_process, there), STATUS_OK);
    assert_int_equal(memory - kernel_process.used[BUDGET_MEMORY], sizeof(struct endpoint));
    assert_int_equal(objects - kernel_process.used[BUDGET_OBJECTS], 1);
    assert_int_equal(process->used[BUDGET_OBJECTS], 0);
    object_release(&process->object);
}

static void who_has_ended_takes_no_more(void **state)
{
    struct process *process = world_process(&kernel_process);
    struct memory *memory;
    struct endpoint *endpoint;
    uintptr_t at;
    handle number;

    (void)state;
    assert_int_equal(memory_create(&kernel_process, PAGE_SIZE, &memory), STATUS_OK);
    process_end(process, END_KILLED, 0);
    for (unsigned i = 0; i < 2; i++) {
        assert_int_equal(handle_install(process, &clock_object, RIGHT_ALL, 0, &number), STATUS_PEER_GONE);
        assert_int_equal(memory_map(process, memory, RIGHT_ALL, 0, 0, PAGE_SIZE, RIGHT_READ, &at), STATUS_PEER_GONE);
        assert_int_equal(create(process, &(struct process_parameters){.name = "x"}), STATUS_PEER_GONE);
        world_reap();
    }
    assert_int_equal(endpoint_create(process, &endpoint), STATUS_LIMIT);
    object_release(&process->object);
    object_release(&memory->object);
}

/* ---- Watches ---- */

static void watches_tell_when_everything_is_back(void **state)
{
    struct process *process = world_process(&kernel_process), *watcher = world_process(&kernel_process);
    struct notification *notification;

    (void)state;
    watcher->state = PROCESS_RUNNING;
    world_notification(watcher, &notification);
    uint64_t used = watcher->used[BUDGET_MEMORY];
    assert_int_equal(process_watch(watcher, process, notification, 1), STATUS_OK);
    assert_int_equal(watcher->used[BUDGET_MEMORY] - used, sizeof(struct watch));
    assert_int_equal(process_watch(watcher, process, notification, 4), STATUS_OK); /* the same, with more bits */
    assert_int_equal(watcher->used[BUDGET_MEMORY] - used, sizeof(struct watch));
    process_end(process, END_KILLED, 0);
    while (processes_reap())
        assert_int_equal(notification->bits != 0, process->state == PROCESS_ENDED);
    assert_int_equal(notification->bits, 5);
    assert_int_equal(watcher->used[BUDGET_MEMORY], used);
    notification->bits = 0;
    assert_int_equal(process_watch(watcher, process, notification, 2), STATUS_OK); /* at once if it has */
    assert_int_equal(notification->bits, 2);
    object_release(&process->object);
    forget(watcher);
}

static void watches_are_few(void **state)
{
    struct process *process = world_process(&kernel_process), *watcher;
    struct process_parameters parameters = world_parameters("watcher");
    struct notification *notification, *last;

    (void)state;
    parameters.limits[BUDGET_MEMORY] = MIB;
    parameters.limits[BUDGET_HANDLES] = parameters.limits[BUDGET_OBJECTS] = 2 * WATCHES_MOST;
    assert_int_equal(process_create(&kernel_process, &parameters, &watcher), STATUS_OK);
    watcher->state = PROCESS_RUNNING;
    for (unsigned i = 0; i < WATCHES_MOST; i++) {
        world_notification(watcher, &notification);
        assert_int_equal(process_watch(watcher, process, notification, 1), STATUS_OK);
    }
    world_notification(watcher, &last);
    assert_int_equal(process_watch(watcher, process, last, 1), STATUS_LIMIT);
    assert_int_equal(process_watch(watcher, process, notification, 2), STATUS_OK); /* no further one */
    forget(process);
    forget(watcher);
}

static void watches_go_with_who_asked(void **state)
{
    struct process *process = world_process(&kernel_process), *watchers[3];
    struct notification *notification;

    (void)state;
    for (unsigned i = 0; i < 3; i++) {
        watchers[i] = world_process(&kernel_process);
        watchers[i]->state = PROCESS_RUNNING;
        world_notification(watchers[i], &notification);
        assert_int_equal(process_watch(watchers[i], process, notification, 1), STATUS_OK);
        assert_int_equal(process_watch(watchers[i], watchers[i], notification, 1), STATUS_OK);
    }
    uint64_t left = watchers[2]->used[BUDGET_MEMORY];
    world_heap_left = 0;
    assert_int_equal(process_watch(watchers[2], &kernel_process, notification, 1), STATUS_NO_MEMORY);
    world_heap_left = -1;
    watchers[2]->limits[BUDGET_MEMORY] = left;
    assert_int_equal(process_watch(watchers[2], &kernel_process, notification, 1), STATUS_LIMIT);
    watchers[2]->limits[BUDGET_MEMORY] = 256 * KIB;
    process_end(watchers[1], END_KILLED, 0);
    world_reap();
    assert_ptr_equal(process->watches->payer, watchers[2]);
    assert_ptr_equal(process->watches->next->payer, watchers[0]);
    assert_null(process->watches->next->next);
    forget(process);
    for (unsigned i = 0; i < 3; i++)
        forget(watchers[i]);
}

/* ---- The graveyard ---- */

static void timers_are_cancelled_without_the_lock(void **state)
{
    struct process *process = world_process(&kernel_process);
    struct notification *silent, *alarmed;
    handle number;

    (void)state;
    number = world_notification(process, &silent);
    uintptr_t saved = lock_take(&objects_lock);
    assert_int_equal(handle_close(process, number), STATUS_OK); /* its timer never ran: it ends at once */
    lock_release(&objects_lock, saved);
    assert_int_equal(world_destroyed[OBJECT_NOTIFICATION], 1);
    number = world_notification(process, &alarmed);
    alarmed->timer.cpu = cpu_local();
    saved = lock_take(&objects_lock);
    assert_int_equal(handle_close(process, number), STATUS_OK);
    lock_release(&objects_lock, saved);
    assert_int_equal(world_destroyed[OBJECT_NOTIFICATION], 1);
    assert_int_equal(process->used[BUDGET_OBJECTS], 1); /* paid for as long as it is there */
    assert_true(processes_ending());
    world_reap(); /* timer_cancel asserts that the lock is free */
    assert_int_equal(world_timers_cancelled, 1);
    assert_int_equal(world_destroyed[OBJECT_NOTIFICATION], 2);
    assert_int_equal(process->used[BUDGET_OBJECTS], 0);
    struct thread *thread = world_thread(process);
    object_hold(&thread->object);
    process_end(process, END_KILLED, 0);
    world_reap();
    assert_int_equal(world_destroyed[OBJECT_THREAD], 0);
    assert_int_equal(process->state, PROCESS_ENDED);
    object_release(&process->object); /* the thread, which it has paid for, keeps it in memory */
    world_reap();
    assert_int_equal(process->state, PROCESS_ENDED);
    object_release(&thread->object);
    world_reap();
    assert_int_equal(world_timers_cancelled, 2);
    assert_int_equal(world_destroyed[OBJECT_THREAD], 1);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, world_start, world_end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(names),
        TEST(a_child_has_at_most_what_its_parent_has),
        TEST(what_a_child_costs),
        TEST(debts_of_cpu_time_go_with_its_promise),
        TEST(who_cannot_be_started_ends),
        TEST(the_root_does_not_end),
        TEST(what_is_told_of_the_end),
        TEST(children_end_with_their_parent),
        TEST(a_long_line_of_descendants),
        TEST(not_while_a_cpu_is_in_it),
        TEST(steps_are_short),
        TEST(peers_hear_of_the_end),
        TEST(who_has_ended_takes_no_more),
        TEST(watches_tell_when_everything_is_back),
        TEST(watches_are_few),
        TEST(watches_go_with_who_asked),
        TEST(timers_are_cancelled_without_the_lock),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
