/* test_handle.c: tables of handles: numbers that were never given or have ended, who pays, what a handle that comes or
 * goes means to an endpoint or a call, revocation, and moving from one table to another. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "object_world.h"
#include "random.h"

static struct process *process, *other;

static int start(void **state)
{
    world_start(state);
    process = world_process(&kernel_process);
    other = world_process(&kernel_process);
    return 0;
}

static int end(void **state)
{
    process_end(process, END_KILLED, 0);
    process_end(other, END_KILLED, 0);
    object_release(&process->object);
    object_release(&other->object);
    return world_end(state);
}

static enum status use(handle number, enum object_type type, uint32_t rights)
{
    struct object *object;
    enum status status = handle_use(process, number, type, rights, &object, NULL);

    assert_int_equal(object != NULL, status == STATUS_OK);
    return status;
}

static handle clock_handle(struct process *of)
{
    handle number = 0;

    object_hold(&clock_object);
    assert_int_equal(handle_install(of, &clock_object, RIGHT_ALL, 0, &number), STATUS_OK);
    return number;
}

/* ---- Numbers ---- */

static void what_was_not_given_is_refused(void **state)
{
    struct test_random random = test_random_start();

    (void)state;
    assert_int_equal(use(0, OBJECT_NONE, 0), STATUS_BAD_HANDLE);
    assert_int_equal(use(handle_number(1, 1), OBJECT_NONE, 0), STATUS_BAD_HANDLE); /* an empty table */
    handle good = clock_handle(process);
    for (uint32_t index = 0; index < HANDLES_MOST; index++)
        for (uint64_t generation = 0; generation < 4; generation++) {
            handle number = handle_number(index, generation);
            assert_int_equal(use(number, OBJECT_NONE, 0), number == good ? STATUS_OK : STATUS_BAD_HANDLE);
        }
    for (unsigned i = 0; i < 100000; i++) {
        handle number = test_random64(&random);
        assert_int_equal(use(number, OBJECT_NONE, 0), number == good ? STATUS_OK : STATUS_BAD_HANDLE);
    }
    assert_int_equal(handle_close(process, good + 1), STATUS_BAD_HANDLE);
    assert_int_equal(handle_close(process, 0), STATUS_BAD_HANDLE);
    assert_int_equal(handle_close(process, good), STATUS_OK);
    assert_int_equal(handle_close(process, good), STATUS_BAD_HANDLE);
    assert_int_equal(use(good, OBJECT_NONE, 0), STATUS_BAD_HANDLE);
}

static void a_number_is_never_given_twice(void **state)
{
    enum { TIMES = 3000 };
    static handle given[TIMES];

    (void)state;
    for (unsigned i = 0; i < TIMES; i++) {
        given[i] = clock_handle(process);
        assert_int_equal(handle_close(process, given[i]), STATUS_OK);
    }
    for (unsigned i = 0; i < TIMES; i++)
        for (unsigned j = 0; j < i; j++)
            assert_true(given[i] != given[j]);
    assert_int_equal(process->handles.capacity, 16); /* the same slot, again and again */
}

static void a_slot_retires_with_its_last_generation(void **state)
{
    (void)state;
    handle number = clock_handle(process);
    struct handle_slot *slot = &process->handles.slots[handle_index(number)];
    slot->generation = HANDLE_GENERATIONS - 1;
    number = handle_number(handle_index(number), slot->generation);
    assert_int_equal(use(number, OBJECT_CLOCK, RIGHT_READ), STATUS_OK);
    assert_int_equal(handle_close(process, number), STATUS_OK);
    assert_int_equal(use(number, OBJECT_NONE, 0), STATUS_BAD_HANDLE);
    assert_int_equal(use(handle_number(handle_index(number), 0), OBJECT_NONE, 0), STATUS_BAD_HANDLE);
    for (unsigned i = 0; i < 60; i++)
        assert_int_not_equal(handle_index(clock_handle(process)), handle_index(number));
    assert_int_equal(process->used[BUDGET_HANDLES], 60);
}

static void rights_and_types(void **state)
{
    struct memory *memory;
    struct object *object;
    struct handle_slot *slot;
    handle less;

    (void)state;
    handle number = world_memory(process, PAGE_SIZE, &memory);
    assert_int_equal(handle_use(process, number, OBJECT_MEMORY, RIGHT_WRITE, &object, &slot), STATUS_OK);
    assert_ptr_equal(object, memory);
    assert_int_equal(slot->rights, rule_rights_of(OBJECT_MEMORY)); /* RIGHT_ALL was cut down */
    assert_int_equal(use(number, OBJECT_ENDPOINT, 0), STATUS_WRONG_TYPE);
    assert_int_equal(use(number, OBJECT_NONE, RIGHT_CALL), STATUS_DENIED);
    assert_int_equal(handle_duplicate(process, number, RIGHT_READ | RIGHT_DUPLICATE, 5, &less), STATUS_OK);
    assert_int_equal(use(less, OBJECT_MEMORY, RIGHT_WRITE), STATUS_DENIED);
    assert_int_equal(handle_use(process, less, OBJECT_MEMORY, RIGHT_READ, &object, &slot), STATUS_OK);
    assert_int_equal(slot->badge, 5);
    handle again;
    assert_int_equal(handle_duplicate(process, less, RIGHT_READ | RIGHT_WRITE, 0, &again), STATUS_DENIED);
    assert_int_equal(handle_duplicate(process, less, RIGHT_READ, 6, &again), STATUS_DENIED);
    assert_int_equal(handle_duplicate(process, less, 0, 0, &again), STATUS_INVALID);
    assert_int_equal(handle_duplicate(process, less, RIGHT_READ, 0, &again), STATUS_OK);
    assert_int_equal(handle_use(process, again, OBJECT_MEMORY, 0, &object, &slot), STATUS_OK);
    assert_int_equal(slot->badge, 5);                                                        /* it stays */
    assert_int_equal(handle_duplicate(process, again, RIGHT_READ, 0, &less), STATUS_DENIED); /* no RIGHT_DUPLICATE */
    assert_int_equal(handle_revoke(process, again), STATUS_DENIED);
    assert_int_equal(memory->object.references, 3);
}

/* ---- Who pays ---- */

static void tables_grow_and_are_paid_for(void **state)
{
    uint64_t before = process->used[BUDGET_MEMORY], heap = world_heap_bytes;

    (void)state;
    for (unsigned i = 1; i <= 100; i++) {
        clock_handle(process);
        uint32_t capacity = i <= 15 ? 16 : i <= 31 ? 32 : i <= 63 ? 64 : 128;
        assert_int_equal(process->handles.capacity, capacity);
        assert_int_equal(process->used[BUDGET_HANDLES], i);
        assert_int_equal(process->used[BUDGET_MEMORY] - before, capacity * sizeof(struct handle_slot));
        assert_int_equal(world_heap_bytes - heap, capacity * sizeof(struct handle_slot));
    }
    handle number;
    assert_int_equal(handle_install(process, &clock_object, RIGHT_ALL, 0, &number), STATUS_LIMIT);
    assert_int_equal(handle_make_room(process, 1), STATUS_LIMIT);
}

static void refused_room_changes_nothing(void **state)
{
    handle number;

    (void)state;
    uint64_t used = process->used[BUDGET_MEMORY];
    world_heap_left = 0;
    assert_int_equal(handle_install(process, &clock_object, RIGHT_ALL, 0, &number), STATUS_NO_MEMORY);
    world_heap_left = -1;
    process->limits[BUDGET_MEMORY] = used + 15 * sizeof(struct handle_slot);
    assert_int_equal(handle_install(process, &clock_object, RIGHT_ALL, 0, &number), STATUS_LIMIT);
    process->limits[BUDGET_MEMORY] = 256 * KIB;
    assert_int_equal(process->used[BUDGET_MEMORY], used);
    assert_int_equal(process->used[BUDGET_HANDLES], 0);
    assert_int_equal(handle_make_room(process, 40), STATUS_OK);
    world_heap_left = 0; /* room that was made holds */
    for (unsigned i = 0; i < 40; i++)
        clock_handle(process);
    world_heap_left = -1;
}

static void no_more_than_an_index_can_name(void **state)
{
    uint64_t before = kernel_process.used[BUDGET_HANDLES];
    handle number = 0;

    (void)state;
    for (unsigned i = 1; i < HANDLES_MOST; i++)
        number = clock_handle(&kernel_process);
    assert_int_equal(handle_index(number), HANDLES_MOST - 1);
    assert_int_equal(handle_install(&kernel_process, &clock_object, RIGHT_ALL, 0, &number), STATUS_LIMIT);
    assert_int_equal(handle_make_room(&kernel_process, 1), STATUS_LIMIT);
    unsigned steps = 1;
    while (!handle_close_some(&kernel_process, 64))
        steps++;
    assert_int_equal(steps, HANDLES_MOST / 64);
    assert_int_equal(kernel_process.used[BUDGET_HANDLES], before);
    assert_int_equal(clock_object.references, 1);
}

/* ---- Receivers, calls, revocation ---- */

static void receivers_are_counted(void **state)
{
    struct endpoint *endpoint;
    handle copy, caller, there, bare;

    (void)state;
    handle number = world_endpoint(process, &endpoint);
    assert_int_equal(endpoint->receive_handles, 1);
    assert_int_equal(handle_duplicate(process, number, RIGHT_ALL & rule_rights_of(OBJECT_ENDPOINT), 0, &copy),
                     STATUS_OK);
    assert_int_equal(endpoint->receive_handles, 2);
    assert_int_equal(handle_duplicate(process, number, RIGHT_CALL, 3, &caller), STATUS_OK);
    assert_int_equal(endpoint->receive_handles, 2);
    assert_int_equal(handle_move(process, copy, other, 0, false, &there), STATUS_OK);
    assert_int_equal(endpoint->receive_handles, 2);
    assert_int_equal(handle_close(process, number), STATUS_OK);
    assert_int_equal(world_peers_gone, 0);
    assert_int_equal(handle_move(other, there, process, 0, false, &copy), STATUS_OK);
    assert_int_equal(world_peers_gone, 0); /* at no moment was there no receiver */
    assert_int_equal(handle_move(process, copy, other, RIGHT_CALL, true, &bare), STATUS_OK);
    assert_int_equal(endpoint->receive_handles, 1);
    assert_int_equal(handle_close(process, copy), STATUS_OK);
    assert_int_equal(world_peers_gone, 1);
    assert_int_equal(endpoint->object.references, 2);
}

static void revoked_receivers_count_no_more(void **state)
{
    struct endpoint *endpoint;
    handle copy, there;
    const uint32_t all = rule_rights_of(OBJECT_ENDPOINT);

    (void)state;
    handle number = world_endpoint(process, &endpoint);
    assert_int_equal(handle_duplicate(process, number, all, 0, &copy), STATUS_OK);
    assert_int_equal(handle_move(process, number, other, 0, true, &there), STATUS_OK);
    assert_int_equal(endpoint->receive_handles, 3);
    assert_int_equal(handle_revoke(process, number), STATUS_OK);
    assert_int_equal(world_end_waits, 1);
    assert_int_equal(world_end_waits_last, STATUS_REVOKED);
    assert_int_equal(endpoint->receive_handles, 1);
    assert_int_equal(use(number, OBJECT_ENDPOINT, all), STATUS_OK);
    assert_int_equal(use(copy, OBJECT_ENDPOINT, 0), STATUS_REVOKED);
    assert_int_equal(handle_duplicate(process, copy, RIGHT_CALL, 0, &there), STATUS_REVOKED);
    assert_int_equal(handle_close(process, copy), STATUS_OK); /* only the reference goes */
    assert_int_equal(endpoint->receive_handles, 1);
    /* By one that does not receive: nobody receives any more. */
    assert_int_equal(handle_duplicate(process, number, RIGHT_MANAGE, 0, &copy), STATUS_OK);
    assert_int_equal(handle_revoke(process, copy), STATUS_OK);
    assert_int_equal(endpoint->receive_handles, 0);
    assert_int_equal(world_peers_gone, 1);
    assert_int_equal(use(number, OBJECT_ENDPOINT, 0), STATUS_REVOKED);
}

static void revoking_ends_waits_and_mappings(void **state)
{
    struct notification *notification;
    struct memory *memory;
    handle there;
    uintptr_t at, theirs;

    (void)state;
    handle number = world_notification(process, &notification);
    assert_int_equal(handle_revoke(process, number), STATUS_OK);
    assert_int_equal(world_end_waits, 1);
    assert_int_equal(world_end_waits_last, STATUS_REVOKED);
    number = world_memory(process, 2 * PAGE_SIZE, &memory);
    assert_int_equal(handle_move(process, number, other, 0, true, &there), STATUS_OK);
    assert_int_equal(memory_map(process, memory, RIGHT_ALL, 0, 0, PAGE_SIZE, RIGHT_READ, &at), STATUS_OK);
    for (unsigned i = 0; i < 3; i++)
        assert_int_equal(memory_map(other, memory, RIGHT_ALL, 0, 0, PAGE_SIZE, RIGHT_READ | RIGHT_WRITE, &theirs),
                         STATUS_OK);
    assert_int_equal(handle_revoke(process, number), STATUS_OK);
    assert_int_equal(memory->mapping_count, 1);
    assert_int_equal(memory->writable, 0);
    assert_non_null(space_find(&process->space, at));
    assert_null(other->space.mappings);
    assert_false(page_lookup(&other->space.table, theirs, NULL, NULL));
    /* Everybody's objects are nobody's to revoke. */
    assert_int_equal(handle_revoke(process, clock_handle(process)), STATUS_DENIED);
}

static void many_mappings_are_revoked_in_steps(void **state)
{
    enum { MAPPED = 50, AT_ONCE = 16 };
    struct memory *memory;
    uintptr_t at;
    unsigned steps = 0, left = MAPPED;

    (void)state;
    handle number = world_memory(process, PAGE_SIZE, &memory);
    for (unsigned i = 0; i < MAPPED; i++)
        assert_int_equal(memory_map(i % 10 == 0 ? process : other, memory, RIGHT_ALL, 0, 0, PAGE_SIZE, RIGHT_READ, &at),
                         STATUS_OK);
    while (handle_revoke(process, number) == STATUS_BUSY) {
        steps++;
        assert_true(left - memory->mapping_count <= AT_ONCE);
        left = memory->mapping_count;
    }
    assert_int_equal(steps, (MAPPED - 5) / AT_ONCE);
    assert_int_equal(memory->mapping_count, 5);
    assert_null(other->space.mappings);
    assert_int_equal(use(number, OBJECT_MEMORY, RIGHT_MANAGE), STATUS_OK);
}

static handle reply_handle(struct thread *caller)
{
    handle number = 0;

    object_hold(&caller->reply.object);
    assert_int_equal(handle_install(process, &caller->reply.object, RIGHT_ALL, 0, &number), STATUS_OK);
    return number;
}

static void replies_answer_once(void **state)
{
    struct thread *caller = world_thread(other);
    handle there;

    (void)state;
    handle number = reply_handle(caller);
    assert_int_equal(caller->object.references, 2); /* the thread's own count */
    assert_int_equal(handle_duplicate(process, number, RIGHT_TRANSFER, 0, &there), STATUS_DENIED);
    assert_int_equal(handle_close(process, number), STATUS_OK);
    assert_int_equal(world_replies_dropped, 1);
    /* One that was answered is stale, and closing it tells nobody. */
    number = reply_handle(caller);
    caller->reply.object.epoch++;
    assert_int_equal(use(number, OBJECT_REPLY, 0), STATUS_PEER_GONE);
    assert_int_equal(handle_close(process, number), STATUS_OK);
    assert_int_equal(world_replies_dropped, 1);
    /* One whose call is over, however that came, keeps nothing of the caller's. */
    number = reply_handle(caller);
    caller->reply.object.epoch++;
    handle_end_reply(&caller->reply);
    assert_int_equal(caller->object.references, 1);
    assert_int_equal(use(number, OBJECT_REPLY, 0), STATUS_PEER_GONE);
    assert_int_equal(handle_move(process, number, other, 0, false, &there), STATUS_PEER_GONE);
    handle later = reply_handle(caller); /* the next call's is another */
    assert_int_equal(use(later, OBJECT_REPLY, 0), STATUS_OK);
    assert_int_equal(use(number, OBJECT_REPLY, 0), STATUS_PEER_GONE);
    assert_int_equal(handle_close(process, number), STATUS_OK);
    assert_int_equal(handle_close(process, later), STATUS_OK);
    assert_int_equal(world_replies_dropped, 2);
    assert_int_equal(ended_reply.object.references, 1);
    /* Passed on, the one that ends is the receiver's. */
    number = reply_handle(caller);
    assert_int_equal(handle_move(process, number, other, 0, false, &there), STATUS_OK);
    handle_end_reply(&caller->reply);
    assert_int_equal(caller->object.references, 1);
    assert_int_equal(handle_close(other, there), STATUS_OK);
    assert_int_equal(world_replies_dropped, 2);
    /* Passed on, it is due still; when its holder ends, the caller hears of it. */
    number = reply_handle(caller);
    process_end(process, END_KILLED, 0);
    world_reap();
    assert_int_equal(world_replies_dropped, 3);
    assert_int_equal(caller->object.references, 1);
}

/* ---- Moving ---- */

static void moves_need_the_right_and_room(void **state)
{
    struct memory *memory;
    handle number = world_memory(process, PAGE_SIZE, &memory), stay, there;

    (void)state;
    assert_int_equal(handle_duplicate(process, number, RIGHT_READ | RIGHT_DUPLICATE, 0, &stay), STATUS_OK);
    assert_int_equal(handle_move(process, stay, other, 0, false, &there), STATUS_DENIED);
    assert_int_equal(handle_duplicate(process, number, RIGHT_READ | RIGHT_TRANSFER, 0, &stay), STATUS_OK);
    assert_int_equal(handle_move(process, stay, other, 0, true, &there), STATUS_DENIED); /* to keep it: duplicate */
    assert_int_equal(handle_move(process, stay, other, RIGHT_WRITE, false, &there), STATUS_DENIED);
    assert_int_equal(handle_may_move(process, stay, RIGHT_WRITE, false), STATUS_DENIED);
    assert_int_equal(handle_may_move(process, stay, 0, false), STATUS_OK);
    world_heap_left = 0;
    assert_int_equal(handle_move(process, stay, other, 0, false, &there), STATUS_NO_MEMORY);
    world_heap_left = -1;
    assert_int_equal(use(stay, OBJECT_MEMORY, RIGHT_READ), STATUS_OK); /* it is still the giver's */
    assert_int_equal(memory->object.references, 3);
    assert_int_equal(handle_move(process, stay, other, 0, false, &there), STATUS_OK);
    assert_int_equal(use(stay, OBJECT_NONE, 0), STATUS_BAD_HANDLE);
    assert_int_equal(memory->object.references, 3);
    process_end(other, END_KILLED, 0);
    assert_int_equal(handle_move(process, number, other, 0, false, &there), STATUS_PEER_GONE);
    assert_int_equal(handle_make_room(other, 1), STATUS_PEER_GONE);
    assert_int_equal(use(number, OBJECT_MEMORY, RIGHT_ALL & rule_rights_of(OBJECT_MEMORY)), STATUS_OK);
}

/* The table grows under the handle that is moved. */
static void to_itself_while_the_table_grows(void **state)
{
    struct endpoint *endpoint;
    handle number = world_endpoint(process, &endpoint), there;

    (void)state;
    while (process->handles.free_count != 0)
        clock_handle(process);
    assert_int_equal(handle_move(process, number, process, 0, false, &there), STATUS_OK);
    assert_int_equal(endpoint->receive_handles, 1);
    assert_int_equal(world_peers_gone, 0);
    assert_int_equal(use(number, OBJECT_NONE, 0), STATUS_BAD_HANDLE);
    assert_int_equal(use(there, OBJECT_ENDPOINT, RIGHT_RECEIVE), STATUS_OK);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, start, end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(what_was_not_given_is_refused),
        TEST(a_number_is_never_given_twice),
        TEST(a_slot_retires_with_its_last_generation),
        TEST(rights_and_types),
        TEST(tables_grow_and_are_paid_for),
        TEST(refused_room_changes_nothing),
        TEST(no_more_than_an_index_can_name),
        TEST(receivers_are_counted),
        TEST(revoked_receivers_count_no_more),
        TEST(revoking_ends_waits_and_mappings),
        TEST(many_mappings_are_revoked_in_steps),
        TEST(replies_answer_once),
        TEST(moves_need_the_right_and_room),
        TEST(to_itself_while_the_table_grows),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
