/*
 * test_syscall.c: every system call with each thing that can be wrong with its arguments, one row each: what it must
 * say, and that it has changed nothing.
 *
 * test_abi.py holds the rows against docs/abi.md: each error that a section promises has a row here, and each row's
 * error is promised. So the file is as long as the calls have ways to fail.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "syscall_scene.h"

#include <kernel/process/console_write.h>

/* ---- What else can be wrong -------------------------------------------------------------------------------------- */

static struct process_parameters *new_process(void)
{
    return physical_to_virtual(page->pages.run[0].physical);
}

static struct thread_parameters *new_thread(void)
{
    return physical_to_virtual(page->pages.run[0].physical);
}

static struct process *child(void)
{
    struct object *object = NULL;

    assert_int_equal(handle_use(caller, things[A_CHILD], OBJECT_PROCESS, 0, &object, NULL), STATUS_OK);
    return (struct process *)object;
}

static uint64_t left(enum budget budget)
{
    return caller->limits[budget] - caller->used[budget];
}

/* A function that a row names, and what it does before the call. */
#define BEFORE(name, ...)                                                                                              \
    static void name(void)                                                                                             \
    {                                                                                                                  \
        __VA_ARGS__;                                                                                                   \
    }

BEFORE(no_handle_left, caller->limits[BUDGET_HANDLES] = caller->used[BUDGET_HANDLES])
BEFORE(four_handles_left, caller->limits[BUDGET_HANDLES] = caller->used[BUDGET_HANDLES] + 4)
BEFORE(no_object_left, caller->limits[BUDGET_OBJECTS] = caller->used[BUDGET_OBJECTS])
BEFORE(no_memory_left, caller->limits[BUDGET_MEMORY] = caller->used[BUDGET_MEMORY])
BEFORE(no_thread_left, caller->limits[BUDGET_THREADS] = caller->used[BUDGET_THREADS])
BEFORE(no_heap_left, world_heap_left = 0)
BEFORE(child_has_no_handle_left, child()->limits[BUDGET_HANDLES] = 0)
BEFORE(child_has_no_memory_left, child()->limits[BUDGET_MEMORY] = child()->used[BUDGET_MEMORY])
BEFORE(as_many_mappings_as_can_be, caller->space.mapping_count = SPACE_MAPPINGS_MOST)
BEFORE(bits_are_set, ASK(thread, notification_signal, things[A_NOTIFICATION], 6))

/* The table has fewer slots than five, and cannot grow. */
BEFORE(table_is_full, while (caller->handles.free_count >= 5) give(caller, &clock_object, RIGHT_READ, 0);
       world_heap_left = 0)

BEFORE(no_slot_no_heap, while (caller->handles.free_count != 0) give(caller, &clock_object, RIGHT_READ, 0);
       world_heap_left = 0)

#define SENDS(...) memcpy(thread->buffer->handles, (handle[]){__VA_ARGS__}, sizeof((handle[]){__VA_ARGS__}))
BEFORE(sends_a_number, SENDS(12345))
BEFORE(sends_an_old_reply, SENDS(things[AN_OLD_REPLY]))
BEFORE(sends_what_must_stay, SENDS(things[A_READABLE]))
BEFORE(sends_one_twice, SENDS(things[A_NOTIFICATION], things[A_NOTIFICATION]))

BEFORE(name_is_empty, new_process()->name[0] = '\0')
BEFORE(name_does_not_end, memset(new_process()->name, 'x', NAME_SIZE))
BEFORE(name_has_a_space, strcpy(new_process()->name, "two words"))
BEFORE(name_has_a_bracket, strcpy(new_process()->name, "init[1]"))
BEFORE(name_has_a_colon, strcpy(new_process()->name, "x:"))
BEFORE(name_steers_the_terminal, strcpy(new_process()->name, "\033[2J"))
BEFORE(reserved_process_field, new_process()->reserved = 1)
BEFORE(no_such_priority, new_process()->highest_priority = PRIORITIES)
BEFORE(higher_than_the_caller, new_process()->highest_priority = caller->highest_priority + 1)
BEFORE(on_a_foreign_cpu, new_process()->cpus = UINT64_C(1) << 40)
BEFORE(wants_more_memory, new_process()->limits[BUDGET_MEMORY] = left(BUDGET_MEMORY) + 1)
BEFORE(wants_more_handles, new_process()->limits[BUDGET_HANDLES] = left(BUDGET_HANDLES) + 1)
BEFORE(wants_the_last_handle, new_process()->limits[BUDGET_HANDLES] = left(BUDGET_HANDLES))
BEFORE(wants_more_threads, new_process()->limits[BUDGET_THREADS] = left(BUDGET_THREADS) + 1)
BEFORE(wants_more_objects, new_process()->limits[BUDGET_OBJECTS] = UINT64_MAX)
BEFORE(wants_more_time, new_process()->limits[BUDGET_CPU] = left(BUDGET_CPU) + 1)
BEFORE(wants_no_memory, new_process()->limits[BUDGET_MEMORY] = 0)

/* A struct of a later version: what this kernel does not know of it is not zero, in its first byte, in its last, and
 * where the kernel's second look at it begins. */
BEFORE(new_in_first_byte, ((char *)new_process())[sizeof(struct process_parameters)] = 1)
BEFORE(new_in_last_byte, ((char *)new_process())[511] = 1)
BEFORE(new_in_second_piece, ((char *)new_process())[sizeof(struct process_parameters) + 64] = 1)
BEFORE(new_in_first_byte_of_thread, ((char *)new_thread())[sizeof(struct thread_parameters)] = 1)
BEFORE(new_in_last_byte_of_thread, ((char *)new_thread())[511] = 1)

#define PROMISE(budget, period) new_thread()->budget_ns = (budget), new_thread()->period_ns = (period)
BEFORE(entry_too_low, new_thread()->entry = USER_BOTTOM - 1)
BEFORE(entry_too_high, new_thread()->entry = USER_TOP)
BEFORE(stack_too_high, new_thread()->stack = USER_TOP + 16)
BEFORE(stack_askew, new_thread()->stack = 0x800008)
BEFORE(no_such_thread_priority, new_thread()->priority = PRIORITIES)
BEFORE(reserved_thread_field, new_thread()->reserved = 1)
BEFORE(period_too_short, PROMISE(99000, 99000))
BEFORE(period_too_long, PROMISE(NANOSECONDS_PER_SECOND, 10 * NANOSECONDS_PER_SECOND + 1))
BEFORE(budget_too_small, PROMISE(19999, NANOSECONDS_PER_MILLISECOND))
BEFORE(budget_beyond_period, PROMISE(NANOSECONDS_PER_MILLISECOND + 1, NANOSECONDS_PER_MILLISECOND))
BEFORE(budget_without_period, PROMISE(NANOSECONDS_PER_MILLISECOND, 0))
BEFORE(period_without_budget, PROMISE(0, NANOSECONDS_PER_MILLISECOND))
BEFORE(more_time_than_is_left, PROMISE(900000, NANOSECONDS_PER_MILLISECOND))
BEFORE(thread_above_its_process, new_thread()->priority = caller->highest_priority + 1)
BEFORE(thread_on_a_foreign_cpu, new_thread()->cpus = UINT64_C(1) << 40)

BEFORE(wrote_too_much, memset(new_process(), '\n', PAGE_SIZE);
       for (unsigned i = 0; i < CONSOLE_BURST / CONSOLE_LINES_AT_ONCE; i++)
           ASK(thread, console_write, things[THE_CONSOLE], things[THE_PAGE], CONSOLE_WRITE_MOST))

/* ---- The rows ---------------------------------------------------------------------------------------------------- */

#define READ        RIGHT_READ
#define WRITE       (RIGHT_READ | RIGHT_WRITE)
#define RUN         (RIGHT_READ | RIGHT_EXECUTE)
#define NEW_PROCESS sizeof(struct process_parameters)
#define NEW_THREAD  sizeof(struct thread_parameters)
#define KERNEL      UINT64_C(0xffffffff80000000)
#define SOON        (NANOSECONDS_PER_SECOND / 2) /* has passed */

/* ROW(call, status, what of its section it shows, what is done before, arguments). The first of each call is good. */
#define ROW(call, status, what, before, ...)                                                                           \
    {                                                                                                                  \
        SYSTEM_##call, STATUS_##status, what, before,                                                                  \
        {                                                                                                              \
            __VA_ARGS__                                                                                                \
        }                                                                                                              \
    }
static const struct row {
    uint64_t call;
    enum status wanted;
    const char *what;
    void (*before)(void);
    uint64_t arguments[6];
} rows[] = {
    ROW(abi_version, OK, "good", NULL, 0),

    ROW(handle_close, OK, "good", NULL, NOTIFICATION),
    ROW(handle_close, OK, "a reply that is due", NULL, REPLY),
    ROW(handle_close, OK, "an old reply", NULL, OLD_REPLY),

    ROW(handle_duplicate, OK, "good", NULL, NOTIFICATION, RIGHT_SIGNAL, 0),
    ROW(handle_duplicate, OK, "a first badge", NULL, ENDPOINT, RIGHT_CALL, 9),
    ROW(handle_duplicate, INVALID, "no right at all", NULL, NOTIFICATION, 0, 0),
    ROW(handle_duplicate, INVALID, "a bit that is none", NULL, NOTIFICATION, RIGHT_SIGNAL | (RIGHT_ALL + 1), 0),
    ROW(handle_duplicate, INVALID, "beyond 32 bits", NULL, NOTIFICATION, UINT64_C(1) << 32 | RIGHT_SIGNAL, 0),
    ROW(handle_duplicate, DENIED, "more rights", NULL, NOTIFICATION, RIGHT_SIGNAL | RIGHT_READ, 0),
    ROW(handle_duplicate, DENIED, "another badge", NULL, BADGED, RIGHT_CALL, 8),
    ROW(handle_duplicate, LIMIT, "no slot", no_handle_left, NOTIFICATION, RIGHT_SIGNAL, 0),
    ROW(handle_duplicate, NO_MEMORY, "none can be made", no_slot_no_heap, NOTIFICATION, RIGHT_SIGNAL, 0),

    ROW(handle_revoke, OK, "good", NULL, NOTIFICATION),

    ROW(handle_info, OK, "good", NULL, NOTIFICATION),
    ROW(handle_info, PEER_GONE, "a call that is over", NULL, OLD_REPLY),

    ROW(object_info, OK, "good", NULL, CHILD, PAGE, sizeof(struct process_info)),
    ROW(object_info, OK, "more room than needed", NULL, THREAD, PAGE, UINT64_MAX),
    ROW(object_info, OK, "a memory, up to the end of what is mapped", NULL, MEMORY, END - sizeof(struct memory_info),
        sizeof(struct memory_info)),
    ROW(object_info, WRONG_TYPE, "nothing to tell of an endpoint", NULL, ENDPOINT, PAGE, PAGE_SIZE),
    ROW(object_info, WRONG_TYPE, "nothing to tell of a clock", NULL, CLOCK, PAGE, PAGE_SIZE),
    ROW(object_info, INVALID, "too small", NULL, CHILD, PAGE, sizeof(struct process_info) - 1),
    ROW(object_info, INVALID, "too small for a thread", NULL, THREAD, PAGE, sizeof(struct thread_info) - 1),
    ROW(object_info, INVALID, "no room for a memory", NULL, MEMORY, PAGE, 0),
    ROW(object_info, BAD_ADDRESS, "nothing there", NULL, CHILD, 0, PAGE_SIZE),
    ROW(object_info, BAD_ADDRESS, "the kernel's", NULL, CHILD, KERNEL, PAGE_SIZE),
    ROW(object_info, BAD_ADDRESS, "read only", NULL, CHILD, CONSTANT, PAGE_SIZE),
    ROW(object_info, BAD_ADDRESS, "over the end", NULL, CHILD, END - 8, PAGE_SIZE),

    ROW(endpoint_create, OK, "good", NULL, 0),
    ROW(endpoint_create, LIMIT, "handles", no_handle_left, 0),
    ROW(endpoint_create, LIMIT, "objects", no_object_left, 0),
    ROW(endpoint_create, LIMIT, "memory", no_memory_left, 0),
    ROW(endpoint_create, NO_MEMORY, "the machine's", no_heap_left, 0),

    ROW(ipc_call, TIMED_OUT, "nobody receives", NULL, ENDPOINT, MESSAGE(1, 64, 4), 0),
    ROW(ipc_call, TIMED_OUT, "a moment that has passed", NULL, ENDPOINT, MESSAGE(1, 8, 0), SOON),
    ROW(ipc_call, INVALID, "65 bytes", NULL, ENDPOINT, MESSAGE(0, 65, 0), 0),
    ROW(ipc_call, INVALID, "five handles", NULL, ENDPOINT, MESSAGE(0, 0, 5), 0),
    ROW(ipc_call, INVALID, "another bit", NULL, ENDPOINT, UINT64_C(1) << 31, 0),
    ROW(ipc_call, INVALID, "MESSAGE_NOTIFIED", NULL, ENDPOINT, MESSAGE_NOTIFIED, 0),
    ROW(ipc_call, INVALID, "one handle twice", sends_one_twice, SERVED, MESSAGE(0, 0, 2), DEADLINE_NEVER),
    ROW(ipc_call, BAD_HANDLE, "of one that goes along", sends_a_number, SERVED, MESSAGE(0, 0, 1), DEADLINE_NEVER),
    ROW(ipc_call, DENIED, "of one that goes along", sends_what_must_stay, SERVED, MESSAGE(0, 0, 1), DEADLINE_NEVER),
    ROW(ipc_call, PEER_GONE, "of one that goes along", sends_an_old_reply, SERVED, MESSAGE(0, 0, 1), DEADLINE_NEVER),
    ROW(ipc_call, PEER_GONE, "nobody can receive", NULL, UNHEARD, MESSAGE(0, 0, 0), DEADLINE_NEVER),

    ROW(ipc_reply_receive, TIMED_OUT, "nothing has come", NULL, 0, 0, ENDPOINT, NOTIFICATION, 1, 0),
    ROW(ipc_reply_receive, OK, "an answer only", NULL, REPLY, MESSAGE(1, 64, 0), 0, 0, 0, 0),
    ROW(ipc_reply_receive, OK, "bits are there", bits_are_set, 0, 0, ENDPOINT, NOTIFICATION, 2, 0),
    ROW(ipc_reply_receive, TIMED_OUT, "answered, and other bits are there", bits_are_set, REPLY, 0, 0, NOTIFICATION, 1,
        SOON),
    ROW(ipc_reply_receive, PEER_GONE, "a call that is over", NULL, OLD_REPLY, 0, ENDPOINT, 0, 0, 0),
    ROW(ipc_reply_receive, INVALID, "nothing to do", NULL, 0, 0, 0, 0, 0, 0),
    ROW(ipc_reply_receive, INVALID, "no bit", NULL, REPLY, 0, ENDPOINT, NOTIFICATION, 0, 0),
    ROW(ipc_reply_receive, INVALID, "65 bytes", NULL, REPLY, MESSAGE(0, 65, 0), ENDPOINT, 0, 0, 0),
    ROW(ipc_reply_receive, INVALID, "another bit", NULL, REPLY, UINT64_C(1) << 11, ENDPOINT, 0, 0, 0),
    ROW(ipc_reply_receive, INVALID, "one handle twice", sends_one_twice, REPLY, MESSAGE(0, 0, 2), ENDPOINT, 0, 0, 0),
    ROW(ipc_reply_receive, BAD_HANDLE, "of one in the answer", sends_a_number, REPLY, MESSAGE(0, 0, 1), 0, 0, 0, 0),
    ROW(ipc_reply_receive, DENIED, "of one in the answer", sends_what_must_stay, REPLY, MESSAGE(0, 0, 1), 0, 0, 0, 0),
    ROW(ipc_reply_receive, LIMIT, "room for four handles", four_handles_left, REPLY, 0, ENDPOINT, 0, 0, 0),
    ROW(ipc_reply_receive, NO_MEMORY, "no room for five handles", table_is_full, REPLY, 0, ENDPOINT, 0, 0, 0),

    ROW(notification_create, OK, "good", NULL, 0),
    ROW(notification_create, LIMIT, "handles", no_handle_left, 0),
    ROW(notification_create, LIMIT, "objects", no_object_left, 0),
    ROW(notification_create, LIMIT, "memory", no_memory_left, 0),
    ROW(notification_create, NO_MEMORY, "the machine's", no_heap_left, 0),

    ROW(notification_signal, OK, "good", NULL, NOTIFICATION, UINT64_MAX),

    ROW(notification_wait, TIMED_OUT, "no bit is set", NULL, NOTIFICATION, UINT64_MAX, 0),
    ROW(notification_wait, OK, "bits are there", bits_are_set, NOTIFICATION, 2, 0),
    ROW(notification_wait, TIMED_OUT, "other bits are there", bits_are_set, NOTIFICATION, 1, SOON),
    ROW(notification_wait, TIMED_OUT, "sleeps until then", NULL, 0, 0, SOON),
    ROW(notification_wait, INVALID, "no bit", NULL, NOTIFICATION, 0, DEADLINE_NEVER),

    ROW(notification_alarm, OK, "good", NULL, NOTIFICATION, 1, DEADLINE_NEVER),

    ROW(memory_create, OK, "good", NULL, PAGE_SIZE),
    ROW(memory_create, INVALID, "none", NULL, 0),
    ROW(memory_create, INVALID, "not whole pages", NULL, PAGE_SIZE + 1),
    ROW(memory_create, INVALID, "all there are but one", NULL, UINT64_MAX),
    ROW(memory_create, LIMIT, "more than 4 MiB", NULL, 4 * MIB + PAGE_SIZE),
    ROW(memory_create, LIMIT, "all pages that there can be", NULL, UINT64_MAX - PAGE_SIZE + 1),
    ROW(memory_create, LIMIT, "handles", no_handle_left, PAGE_SIZE),
    ROW(memory_create, LIMIT, "objects", no_object_left, PAGE_SIZE),
    ROW(memory_create, LIMIT, "memory", no_memory_left, PAGE_SIZE),
    ROW(memory_create, NO_MEMORY, "the machine's", no_heap_left, PAGE_SIZE),

    ROW(memory_map, OK, "good", NULL, 0, MEMORY, 0, 0, PAGE_SIZE, READ),
    ROW(memory_map, OK, "into another, at a place", NULL, CHILD, MEMORY, 0x10000, PAGE_SIZE, 3 * PAGE_SIZE, WRITE),
    ROW(memory_map, INVALID, "no right", NULL, 0, MEMORY, 0, 0, PAGE_SIZE, 0),
    ROW(memory_map, INVALID, "only to be written", NULL, 0, MEMORY, 0, 0, PAGE_SIZE, RIGHT_WRITE),
    ROW(memory_map, INVALID, "only to be executed", NULL, 0, MEMORY, 0, 0, PAGE_SIZE, RIGHT_EXECUTE),
    ROW(memory_map, INVALID, "written and executed", NULL, 0, MEMORY, 0, 0, PAGE_SIZE, WRITE | RUN),
    ROW(memory_map, INVALID, "another right", NULL, 0, MEMORY, 0, 0, PAGE_SIZE, READ | RIGHT_SIGNAL),
    ROW(memory_map, INVALID, "beyond 32 bits", NULL, 0, MEMORY, 0, 0, PAGE_SIZE, UINT64_C(1) << 32 | READ),
    ROW(memory_map, INVALID, "nothing", NULL, 0, MEMORY, 0, 0, 0, READ),
    ROW(memory_map, INVALID, "not whole pages", NULL, 0, MEMORY, 0, 0, PAGE_SIZE - 1, READ),
    ROW(memory_map, INVALID, "an offset within a page", NULL, 0, MEMORY, 0, 8, PAGE_SIZE, READ),
    ROW(memory_map, INVALID, "over its end", NULL, 0, MEMORY, 0, PAGE_SIZE, 4 * PAGE_SIZE, READ),
    ROW(memory_map, INVALID, "behind its end", NULL, 0, MEMORY, 0, 5 * PAGE_SIZE, PAGE_SIZE, READ),
    ROW(memory_map, INVALID, "around zero", NULL, 0, MEMORY, 0, PAGE_SIZE, UINT64_MAX - PAGE_SIZE + 1, READ),
    ROW(memory_map, INVALID, "an address within a page", NULL, 0, MEMORY, END + 1, 0, PAGE_SIZE, READ),
    ROW(memory_map, INVALID, "too low", NULL, 0, MEMORY, USER_BOTTOM - PAGE_SIZE, 0, PAGE_SIZE, READ),
    ROW(memory_map, INVALID, "over the last user address", NULL, 0, MEMORY, USER_TOP - PAGE_SIZE, 0, 2 * PAGE_SIZE,
        READ),
    ROW(memory_map, INVALID, "the kernel's", NULL, 0, MEMORY, KERNEL, 0, PAGE_SIZE, READ),
    ROW(memory_map, DENIED, "may not be written", NULL, 0, READABLE, 0, 0, PAGE_SIZE, WRITE),
    ROW(memory_map, DENIED, "may not be executed", NULL, 0, READABLE, 0, 0, PAGE_SIZE, RUN),
    ROW(memory_map, READ_ONLY, "the initial ramdisk", NULL, 0, RAMDISK, 0, 0, PAGE_SIZE, WRITE),
    ROW(memory_map, BUSY, "taken", NULL, 0, MEMORY, PAGE, 0, PAGE_SIZE, READ),
    ROW(memory_map, BUSY, "reaches into what is taken", NULL, 0, MEMORY, PAGE - PAGE_SIZE, 0, 2 * PAGE_SIZE, READ),
    ROW(memory_map, BUSY, "code to be written", NULL, 0, CODE, 0, 0, PAGE_SIZE, WRITE),
    ROW(memory_map, BUSY, "data to be executed", NULL, 0, DATA, 0, PAGE_SIZE, PAGE_SIZE, RUN),
    ROW(memory_map, LIMIT, "memory", no_memory_left, 0, MEMORY, 0, 0, PAGE_SIZE, READ),
    ROW(memory_map, LIMIT, "the other's memory", child_has_no_memory_left, CHILD, MEMORY, 0, 0, PAGE_SIZE, READ),
    ROW(memory_map, LIMIT, "mappings", as_many_mappings_as_can_be, 0, MEMORY, 0, 0, PAGE_SIZE, READ),
    ROW(memory_map, PEER_GONE, "has ended", NULL, ENDED, MEMORY, 0, 0, PAGE_SIZE, READ),
    ROW(memory_map, NO_MEMORY, "the machine's", no_heap_left, 0, MEMORY, 0, 0, PAGE_SIZE, READ),

    ROW(memory_unmap, OK, "good", NULL, 0, PAGE, PAGE_SIZE),
    ROW(memory_unmap, NOT_FOUND, "larger", NULL, 0, PAGE, 2 * PAGE_SIZE),
    ROW(memory_unmap, NOT_FOUND, "smaller", NULL, 0, PAGE, 0),
    ROW(memory_unmap, NOT_FOUND, "within", NULL, 0, PAGE + 1, PAGE_SIZE),
    ROW(memory_unmap, NOT_FOUND, "nothing there", NULL, 0, END, PAGE_SIZE),
    ROW(memory_unmap, NOT_FOUND, "not in that process", NULL, CHILD, PAGE, PAGE_SIZE),
    ROW(memory_unmap, NOT_FOUND, "the kernel's", NULL, 0, KERNEL, PAGE_SIZE),
    ROW(memory_unmap, PEER_GONE, "has ended", NULL, ENDED, PAGE, PAGE_SIZE),

    ROW(process_create, OK, "good", NULL, PAGE, NEW_PROCESS),
    ROW(process_create, OK, "a later version's, which says nothing new", NULL, PAGE, 512),
    ROW(process_create, INVALID, "smaller", NULL, PAGE, NEW_PROCESS - 1),
    ROW(process_create, INVALID, "no size", NULL, PAGE, 0),
    ROW(process_create, INVALID, "no name", name_is_empty, PAGE, NEW_PROCESS),
    ROW(process_create, INVALID, "a name without an end", name_does_not_end, PAGE, NEW_PROCESS),
    ROW(process_create, INVALID, "a space in it", name_has_a_space, PAGE, NEW_PROCESS),
    ROW(process_create, INVALID, "as the log has them", name_has_a_bracket, PAGE, NEW_PROCESS),
    ROW(process_create, INVALID, "a colon in it", name_has_a_colon, PAGE, NEW_PROCESS),
    ROW(process_create, INVALID, "escapes in it", name_steers_the_terminal, PAGE, NEW_PROCESS),
    ROW(process_create, INVALID, "a reserved field", reserved_process_field, PAGE, NEW_PROCESS),
    ROW(process_create, INVALID, "no such priority", no_such_priority, PAGE, NEW_PROCESS),
    ROW(process_create, DENIED, "a priority", higher_than_the_caller, PAGE, NEW_PROCESS),
    ROW(process_create, DENIED, "a CPU", on_a_foreign_cpu, PAGE, NEW_PROCESS),
    ROW(process_create, LIMIT, "memory", wants_more_memory, PAGE, NEW_PROCESS),
    ROW(process_create, LIMIT, "handles", wants_more_handles, PAGE, NEW_PROCESS),
    ROW(process_create, LIMIT, "the last handle", wants_the_last_handle, PAGE, NEW_PROCESS),
    ROW(process_create, LIMIT, "threads", wants_more_threads, PAGE, NEW_PROCESS),
    ROW(process_create, LIMIT, "objects", wants_more_objects, PAGE, NEW_PROCESS),
    ROW(process_create, LIMIT, "CPU time", wants_more_time, PAGE, NEW_PROCESS),
    ROW(process_create, LIMIT, "not even a root table", wants_no_memory, PAGE, NEW_PROCESS),
    ROW(process_create, LIMIT, "no handle for it", no_handle_left, PAGE, NEW_PROCESS),
    ROW(process_create, BAD_ADDRESS, "nothing there", NULL, 0, NEW_PROCESS),
    ROW(process_create, BAD_ADDRESS, "the kernel's", NULL, KERNEL, NEW_PROCESS),
    ROW(process_create, BAD_ADDRESS, "over the end", NULL, END - NEW_PROCESS + 1, NEW_PROCESS),
    ROW(process_create, BAD_ADDRESS, "what is new lies over the end", NULL, END - NEW_PROCESS, NEW_PROCESS + 1),
    ROW(process_create, UNSUPPORTED, "something new", new_in_first_byte, PAGE, NEW_PROCESS + 1),
    ROW(process_create, UNSUPPORTED, "something new at the end", new_in_last_byte, PAGE, 512),
    ROW(process_create, UNSUPPORTED, "something new in between", new_in_second_piece, PAGE, 512),
    ROW(process_create, UNSUPPORTED, "longer than anybody looks", NULL, PAGE, 513),
    ROW(process_create, UNSUPPORTED, "longer than there is memory", NULL, PAGE, UINT64_MAX),
    ROW(process_create, NO_MEMORY, "the machine's", no_heap_left, PAGE, NEW_PROCESS),

    ROW(process_give, OK, "good", NULL, CHILD, NOTIFICATION, 0),
    ROW(process_give, OK, "fewer rights", NULL, CHILD, NOTIFICATION, RIGHT_SIGNAL),
    ROW(process_give, INVALID, "a bit that is none", NULL, CHILD, NOTIFICATION, RIGHT_ALL + 1),
    ROW(process_give, INVALID, "beyond 32 bits", NULL, CHILD, NOTIFICATION, UINT64_C(1) << 32 | RIGHT_SIGNAL),
    ROW(process_give, DENIED, "more rights", NULL, CHILD, NOTIFICATION, RIGHT_READ),
    ROW(process_give, DENIED, "a reply cannot be kept", NULL, CHILD, REPLY, 0),
    ROW(process_give, LIMIT, "handles", child_has_no_handle_left, CHILD, NOTIFICATION, 0),
    ROW(process_give, LIMIT, "memory for the table", child_has_no_memory_left, CHILD, NOTIFICATION, 0),
    ROW(process_give, PEER_GONE, "has ended", NULL, ENDED, NOTIFICATION, 0),
    ROW(process_give, NO_MEMORY, "the machine's", no_heap_left, CHILD, NOTIFICATION, 0),

    ROW(process_kill, OK, "good", NULL, CHILD, 3),
    ROW(process_kill, OK, "has ended", NULL, ENDED, 3),

    ROW(process_watch, OK, "good", NULL, CHILD, NOTIFICATION, 1),
    ROW(process_watch, OK, "has ended", NULL, ENDED, NOTIFICATION, 1),
    ROW(process_watch, LIMIT, "memory", no_memory_left, CHILD, NOTIFICATION, 1),
    ROW(process_watch, NO_MEMORY, "the machine's", no_heap_left, CHILD, NOTIFICATION, 1),

    ROW(thread_create, OK, "good", NULL, 0, PAGE, NEW_THREAD),
    ROW(thread_create, OK, "in another process", NULL, CHILD, PAGE, NEW_THREAD),
    ROW(thread_create, OK, "a later version's, which says nothing new", NULL, 0, PAGE, 512),
    ROW(thread_create, INVALID, "smaller", NULL, 0, PAGE, NEW_THREAD - 1),
    ROW(thread_create, INVALID, "an entry too low", entry_too_low, 0, PAGE, NEW_THREAD),
    ROW(thread_create, INVALID, "an entry too high", entry_too_high, 0, PAGE, NEW_THREAD),
    ROW(thread_create, INVALID, "a stack too high", stack_too_high, 0, PAGE, NEW_THREAD),
    ROW(thread_create, INVALID, "a stack askew", stack_askew, 0, PAGE, NEW_THREAD),
    ROW(thread_create, INVALID, "no such priority", no_such_thread_priority, 0, PAGE, NEW_THREAD),
    ROW(thread_create, INVALID, "a reserved field", reserved_thread_field, 0, PAGE, NEW_THREAD),
    ROW(thread_create, INVALID, "a period too short", period_too_short, 0, PAGE, NEW_THREAD),
    ROW(thread_create, INVALID, "a period too long", period_too_long, 0, PAGE, NEW_THREAD),
    ROW(thread_create, INVALID, "a budget too small", budget_too_small, 0, PAGE, NEW_THREAD),
    ROW(thread_create, INVALID, "a budget beyond its period", budget_beyond_period, 0, PAGE, NEW_THREAD),
    ROW(thread_create, INVALID, "a budget without period", budget_without_period, 0, PAGE, NEW_THREAD),
    ROW(thread_create, INVALID, "a period without budget", period_without_budget, 0, PAGE, NEW_THREAD),
    ROW(thread_create, DENIED, "a priority", thread_above_its_process, 0, PAGE, NEW_THREAD),
    ROW(thread_create, DENIED, "a CPU", thread_on_a_foreign_cpu, 0, PAGE, NEW_THREAD),
    ROW(thread_create, LIMIT, "handles", no_handle_left, 0, PAGE, NEW_THREAD),
    ROW(thread_create, LIMIT, "threads", no_thread_left, 0, PAGE, NEW_THREAD),
    ROW(thread_create, LIMIT, "memory", no_memory_left, 0, PAGE, NEW_THREAD),
    ROW(thread_create, LIMIT, "the other's memory", child_has_no_memory_left, CHILD, PAGE, NEW_THREAD),
    ROW(thread_create, LIMIT, "CPU time", more_time_than_is_left, 0, PAGE, NEW_THREAD),
    ROW(thread_create, PEER_GONE, "has ended", NULL, ENDED, PAGE, NEW_THREAD),
    ROW(thread_create, BAD_ADDRESS, "nothing there", NULL, 0, END, NEW_THREAD),
    ROW(thread_create, BAD_ADDRESS, "over the end", NULL, 0, END - 8, NEW_THREAD),
    ROW(thread_create, UNSUPPORTED, "something new", new_in_first_byte_of_thread, 0, PAGE, NEW_THREAD + 1),
    ROW(thread_create, UNSUPPORTED, "something new at the end", new_in_last_byte_of_thread, 0, PAGE, 512),
    ROW(thread_create, UNSUPPORTED, "longer than anybody looks", NULL, 0, PAGE, PAGE_SIZE),
    ROW(thread_create, NO_MEMORY, "the machine's", no_heap_left, 0, PAGE, NEW_THREAD),

    ROW(thread_configure, OK, "good", NULL, 0, PAGE, NEW_THREAD),
    ROW(thread_configure, OK, "another", NULL, THREAD, PAGE, 512),
    ROW(thread_configure, INVALID, "smaller", NULL, 0, PAGE, NEW_THREAD - 1),
    ROW(thread_configure, INVALID, "no such priority", no_such_thread_priority, THREAD, PAGE, NEW_THREAD),
    ROW(thread_configure, INVALID, "a reserved field", reserved_thread_field, THREAD, PAGE, NEW_THREAD),
    ROW(thread_configure, INVALID, "a budget too small", budget_too_small, THREAD, PAGE, NEW_THREAD),
    ROW(thread_configure, DENIED, "a priority", thread_above_its_process, THREAD, PAGE, NEW_THREAD),
    ROW(thread_configure, DENIED, "a CPU", thread_on_a_foreign_cpu, 0, PAGE, NEW_THREAD),
    ROW(thread_configure, LIMIT, "CPU time", more_time_than_is_left, THREAD, PAGE, NEW_THREAD),
    ROW(thread_configure, PEER_GONE, "has ended", NULL, ENDED_THREAD, PAGE, NEW_THREAD),
    ROW(thread_configure, BAD_ADDRESS, "the kernel's", NULL, 0, KERNEL, NEW_THREAD),
    ROW(thread_configure, UNSUPPORTED, "something new", new_in_first_byte_of_thread, 0, PAGE, NEW_THREAD + 1),

    ROW(thread_exit, OK, "good", NULL, 0),
    ROW(thread_yield, OK, "good", NULL, 0),
    ROW(clock_read, OK, "good", NULL, CLOCK),

    ROW(console_write, OK, "good", NULL, CONSOLE, PAGE, 5),
    ROW(console_write, OK, "nothing", NULL, CONSOLE, 0, 0),
    ROW(console_write, OK, "no more than can be taken at once", NULL, CONSOLE, PAGE, UINT64_MAX),
    ROW(console_write, BUSY, "more than 32 KiB", wrote_too_much, CONSOLE, PAGE, 1),
    ROW(console_write, BAD_ADDRESS, "nothing there", NULL, CONSOLE, 0, 1),
    ROW(console_write, BAD_ADDRESS, "over the end", NULL, CONSOLE, END - 4, 5),
    ROW(console_write, LIMIT, "no memory for the first line", no_memory_left, CONSOLE, PAGE, 5),
};

enum { ROWS = sizeof rows / sizeof rows[0] };

/* ---- That a row is as it says ------------------------------------------------------------------------------------ */

static void set_parameters(uint64_t call)
{
    memset(new_process(), 0, PAGE_SIZE);
    if (call == SYSTEM_process_create)
        *new_process() = (struct process_parameters){
            .name = "net-0.service_X", .limits = {8 * KIB, 0, 1, 2, 10}, .highest_priority = caller->highest_priority};
    else if (call == SYSTEM_thread_create || call == SYSTEM_thread_configure)
        *new_thread() = plain_thread;
}

struct before {
    struct ledger ledger;
    uint64_t limits[BUDGET_COUNT], used[BUDGET_COUNT], child_limits[BUDGET_COUNT];
    uint32_t mappings;
};

/* What of all that a failed call must not have changed has changed; NULL: nothing. */
static const char *changed(const struct before *before)
{
    struct ledger after;

    ledger_take(&after);
    if (memcmp(&before->ledger, &after, sizeof after) != 0)
        return "the machine is not as it was";
    if (memcmp(before->used, caller->used, sizeof before->used) != 0)
        return "the caller's budget is not as it was";
    if (client->state != THREAD_BLOCKED || client->wait != WAIT_REPLY)
        return "the call that waits for its answer is over";
    if (server->state != THREAD_BLOCKED || server->wait != WAIT_EVENT)
        return "the server does not wait to be called any more";
    return NULL;
}

static const char *wrong_in(const struct row *row, enum status status, const struct before *before)
{
    bool is_refusal = row->wanted == STATUS_BAD_HANDLE || row->wanted == STATUS_REVOKED ||
                      row->wanted == STATUS_WRONG_TYPE || row->wanted == STATUS_DENIED;

    if (status != row->wanted)
        return status < STATUS_COUNT ? status_text(status) : "it waits";
    if (status != STATUS_OK && thread->context.value != 0)
        return "it fails and gives a value";
    if (refused != (is_refusal ? row->wanted : STATUS_OK))
        return "the audit was told something else";
    return status != STATUS_OK && status != STATUS_TIMED_OUT ? changed(before) : NULL;
}

static void run_row(const struct row *row)
{
    struct before before;
    uint64_t arguments[6];

    scene_begin();
    struct process *given_to = child();
    for (unsigned i = 0; i < 6; i++)
        arguments[i] = meant(row->arguments[i]);
    set_parameters(row->call);
    memcpy(before.limits, caller->limits, sizeof before.limits);
    memcpy(before.child_limits, given_to->limits, sizeof before.child_limits);
    before.mappings = caller->space.mapping_count;
    if (row->before != NULL)
        row->before();
    refused = STATUS_OK;
    ledger_take(&before.ledger);
    memcpy(before.used, caller->used, sizeof before.used);
    enum status status = ask(thread, row->call, arguments);
    world_reap();
    const char *wrong = wrong_in(row, status, &before);
    if (wrong != NULL)
        fail_msg("row %u, call %llu, \"%s\": wanted \"%s\", but: %s", (unsigned)(row - rows),
                 (unsigned long long)row->call, row->what, status_text(row->wanted), wrong);
    memcpy(caller->limits, before.limits, sizeof before.limits);
    if (given_to->state == PROCESS_NEW)
        memcpy(given_to->limits, before.child_limits, sizeof before.child_limits);
    if (row->before == as_many_mappings_as_can_be)
        caller->space.mapping_count = before.mappings;
    scene_end();
}

static void test_rows(void **state)
{
    (void)state;
    for (unsigned i = 0; i < ROWS; i++)
        run_row(&rows[i]);
}

/* Whoever has no room for the handle is told so before anything is made. */
static void test_nothing_is_made_without_room(void **state)
{
    static const uint64_t creating[] = {SYSTEM_endpoint_create, SYSTEM_notification_create, SYSTEM_memory_create,
                                        SYSTEM_process_create, SYSTEM_thread_create};

    (void)state;
    for (unsigned i = 0; i < sizeof creating / sizeof creating[0]; i++)
        for (const struct row *row = rows; row < rows + ROWS; row++) {
            if (row->call != creating[i] || row->before != no_handle_left)
                continue;
            scene_begin();
            uint64_t arguments[6], limit = caller->limits[BUDGET_HANDLES];
            for (unsigned j = 0; j < 6; j++)
                arguments[j] = meant(row->arguments[j]);
            set_parameters(row->call);
            no_handle_left();
            world_heap_left = 100;
            assert_int_equal(ask(thread, row->call, arguments), STATUS_LIMIT);
            assert_int_equal(world_heap_left, 100);
            caller->limits[BUDGET_HANDLES] = limit;
            scene_end();
        }
}

/* ---- Handles in the place of good ones --------------------------------------------------------------------------- */

/* HANDLE(call, argument, type or NONE, right): which handles a call takes; OPTIONAL: or 0. */
#define HANDLE(call, index, type, right)                                                                               \
    {                                                                                                                  \
        SYSTEM_##call, index, OBJECT_##type, right, false                                                              \
    }
#define OPTIONAL(call, index, type, right)                                                                             \
    {                                                                                                                  \
        SYSTEM_##call, index, OBJECT_##type, right, true                                                               \
    }
static const struct handle_argument {
    uint64_t call;
    unsigned index;
    enum object_type type;
    uint32_t right;
    bool optional;
} handles[] = {
    HANDLE(handle_close, 0, NONE, 0),
    HANDLE(handle_duplicate, 0, NONE, RIGHT_DUPLICATE),
    HANDLE(handle_revoke, 0, NONE, RIGHT_MANAGE),
    HANDLE(handle_info, 0, NONE, 0),
    HANDLE(object_info, 0, NONE, RIGHT_INSPECT),
    HANDLE(ipc_call, 0, ENDPOINT, RIGHT_CALL),
    OPTIONAL(ipc_reply_receive, 0, REPLY, 0),
    OPTIONAL(ipc_reply_receive, 2, ENDPOINT, RIGHT_RECEIVE),
    OPTIONAL(ipc_reply_receive, 3, NOTIFICATION, RIGHT_WAIT),
    HANDLE(notification_signal, 0, NOTIFICATION, RIGHT_SIGNAL),
    OPTIONAL(notification_wait, 0, NOTIFICATION, RIGHT_WAIT),
    HANDLE(notification_alarm, 0, NOTIFICATION, RIGHT_WAIT),
    OPTIONAL(memory_map, 0, PROCESS, RIGHT_MANAGE),
    HANDLE(memory_map, 1, MEMORY, RIGHT_READ),
    OPTIONAL(memory_unmap, 0, PROCESS, RIGHT_MANAGE),
    OPTIONAL(process_give, 0, PROCESS, RIGHT_MANAGE),
    HANDLE(process_give, 1, NONE, RIGHT_TRANSFER | RIGHT_DUPLICATE),
    OPTIONAL(process_kill, 0, PROCESS, RIGHT_MANAGE),
    HANDLE(process_watch, 0, PROCESS, RIGHT_WAIT),
    HANDLE(process_watch, 1, NOTIFICATION, RIGHT_SIGNAL),
    OPTIONAL(thread_create, 0, PROCESS, RIGHT_MANAGE),
    OPTIONAL(thread_configure, 0, THREAD, RIGHT_MANAGE),
    HANDLE(clock_read, 0, CLOCK, RIGHT_READ),
    HANDLE(console_write, 0, CONSOLE, RIGHT_WRITE),
};

/* A good one of that type. */
static uint64_t good(enum object_type type)
{
    static const uint8_t of[OBJECT_TYPE_COUNT] = {
        [OBJECT_NONE] = A_NOTIFICATION, [OBJECT_PROCESS] = A_CHILD,      [OBJECT_THREAD] = A_THREAD,
        [OBJECT_MEMORY] = A_MEMORY,     [OBJECT_ENDPOINT] = AN_ENDPOINT, [OBJECT_NOTIFICATION] = A_NOTIFICATION,
        [OBJECT_REPLY] = A_REPLY,       [OBJECT_CLOCK] = THE_CLOCK,      [OBJECT_CONSOLE] = THE_CONSOLE,
    };

    return things[of[type]];
}

/* The call with all as in its good row but this. */
static void wants(const struct handle_argument *one, uint64_t number, enum status wanted, const char *what)
{
    const struct row *row = rows;
    uint64_t arguments[6];

    while (row->call != one->call)
        row++;
    for (unsigned i = 0; i < 6; i++)
        arguments[i] = i == one->index ? number : meant(row->arguments[i]);
    set_parameters(one->call);
    refused = STATUS_OK;
    enum status status = ask(thread, one->call, arguments);
    if (status != wanted || refused != (wanted == STATUS_PEER_GONE ? STATUS_OK : wanted) || thread->context.value != 0)
        fail_msg("call %llu, argument %u, %s: wanted \"%s\", but: \"%s\"", (unsigned long long)one->call, one->index,
                 what, status_text(wanted), status < STATUS_COUNT ? status_text(status) : "it waits");
}

static uint32_t rights_of(handle number)
{
    struct object *object;
    struct handle_slot *slot;

    assert_int_equal(handle_use(caller, number, OBJECT_NONE, 0, &object, &slot), STATUS_OK);
    return slot->rights;
}

/* A duplicate, whatever its rights are: of a Reply there is none. */
static handle copy_of(handle number, uint32_t rights)
{
    handle copy = 0;

    assert_int_equal(handle_duplicate(caller, number, rights, 0, &copy), STATUS_OK);
    return copy;
}

static void wants_no_number(const struct handle_argument *one)
{
    handle number = good(one->type), closed = copy_of(things[A_NOTIFICATION], RIGHT_WAIT);

    if (!one->optional)
        wants(one, 0, STATUS_BAD_HANDLE, "no handle");
    assert_int_equal(handle_close(caller, closed), STATUS_OK);
    wants(one, closed, STATUS_BAD_HANDLE, "a closed one");
    wants(one, number + (1 << HANDLE_INDEX_BITS), STATUS_BAD_HANDLE, "the next of its slot");
    wants(one, number - (1 << HANDLE_INDEX_BITS), STATUS_BAD_HANDLE, "the one before of its slot");
    wants(one, number ^ UINT64_C(1) << 63, STATUS_BAD_HANDLE, "one far away in its slot");
    wants(one, number | 0xffff, STATUS_BAD_HANDLE, "a slot that the table has not");
    wants(one, number & ~UINT64_C(0xffff), STATUS_BAD_HANDLE, "the slot that is nobody's");
    wants(one, 1, STATUS_BAD_HANDLE, "a number");
    wants(one, UINT64_MAX, STATUS_BAD_HANDLE, "all ones");
}

static void wants_what_is_not_enough(const struct handle_argument *one)
{
    handle number = good(one->type);

    if (one->type != OBJECT_NONE)
        wants(one, things[one->type == OBJECT_ENDPOINT ? A_NOTIFICATION : AN_ENDPOINT], STATUS_WRONG_TYPE,
              "another type");
    for (uint32_t bit = 1; bit <= RIGHT_ALL; bit <<= 1)
        if ((one->right & bit) != 0)
            wants(one, copy_of(number, rights_of(number) & ~bit), STATUS_DENIED, "without a right");
}

/* A handle that has just the right that the call takes, and in the case of a duplicate the one that it is to have. */
static void test_rights_are_enough(void **state)
{
    (void)state;
    for (const struct handle_argument *one = handles; one < handles + sizeof handles / sizeof handles[0]; one++) {
        const struct row *row = rows;
        uint64_t arguments[6];
        while (row->call != one->call)
            row++;
        if (one->right == 0)
            continue;
        scene_begin();
        for (unsigned i = 0; i < 6; i++)
            arguments[i] = meant(row->arguments[i]);
        uint64_t *number = &arguments[one->index];
        *number = copy_of(*number != 0 ? *number : good(one->type),
                          one->right | (one->call == SYSTEM_handle_duplicate ? RIGHT_SIGNAL : 0));
        set_parameters(one->call);
        if (ask(thread, one->call, arguments) == STATUS_DENIED)
            fail_msg("call %llu, argument %u: its right is not enough", (unsigned long long)one->call, one->index);
        scene_end();
    }
}

static void test_handles(void **state)
{
    (void)state;
    for (const struct handle_argument *one = handles; one < handles + sizeof handles / sizeof handles[0]; one++) {
        scene_begin();
        handle number = good(one->type);
        wants_no_number(one);
        wants_what_is_not_enough(one);
        if (one->type == OBJECT_REPLY) {
            wants(one, things[AN_OLD_REPLY], STATUS_PEER_GONE, "of a call that is over");
        } else if (one->type != OBJECT_CLOCK && one->type != OBJECT_CONSOLE && one->call != SYSTEM_handle_close) {
            handle stale = copy_of(number, rights_of(number));
            assert_int_equal(handle_revoke(caller, number), STATUS_OK);
            wants(one, stale, STATUS_REVOKED, "a stale one");
        }
        scene_end();
    }
}

/* A stale one is closed like any other; the Clock's and the Console's never become stale. */
static void test_stale_handles_can_be_closed(void **state)
{
    (void)state;
    scene_begin();
    handle stale = copy_of(things[A_NOTIFICATION], RIGHT_WAIT);
    assert_int_equal(handle_revoke(caller, things[A_NOTIFICATION]), STATUS_OK);
    assert_int_equal(ASK(thread, handle_close, stale), STATUS_OK);
    assert_int_equal(ASK(thread, handle_info, stale), STATUS_BAD_HANDLE);
    assert_int_equal(ASK(thread, handle_revoke, things[THE_CLOCK]), STATUS_DENIED);
    assert_int_equal(ASK(thread, handle_revoke, things[THE_CONSOLE]), STATUS_DENIED);
    scene_end();
}

/* ---- What comes while a call waits ------------------------------------------------------------------------------- */

/* The answer brings a handle, and the client's table has no room: both are told, and the handle stays. */
static enum status answer_without_room(void)
{
    handle number = give(caller, &clock_object, RIGHT_READ | RIGHT_TRANSFER, 0);

    thread->buffer->handles[0] = number;
    enum status told = ASK(thread, ipc_reply_receive, things[A_REPLY], MESSAGE(0, 0, 1), 0, 0, 0, 0);
    assert_int_equal(told, client->context.status);
    assert_int_equal(ASK(thread, clock_read, number), STATUS_OK);
    assert_int_equal(ASK(thread, handle_info, things[A_REPLY]), STATUS_BAD_HANDLE);
    return (enum status)client->context.status;
}

static enum status no_slot_for_the_answer(void)
{
    uint64_t limit = other->limits[BUDGET_HANDLES];

    other->limits[BUDGET_HANDLES] = other->used[BUDGET_HANDLES];
    enum status status = answer_without_room();
    other->limits[BUDGET_HANDLES] = limit;
    return status;
}

static enum status no_heap_for_the_answer(void)
{
    while (other->handles.free_count > 0)
        give(other, &clock_object, RIGHT_READ, 0);
    world_heap_left = 0;
    enum status status = answer_without_room();
    world_heap_left = -1;
    return status;
}

static enum status reply_is_closed(void)
{
    assert_int_equal(ASK(thread, handle_close, things[A_REPLY]), STATUS_OK);
    return (enum status)client->context.status;
}

static enum status server_ends(void)
{
    ASK(thread, process_kill, 0, 4);
    world_reap();
    assert_int_equal(caller->state, PROCESS_ENDED);
    assert_int_equal(caller->end, END_EXIT);
    assert_int_equal(caller->end_code, 4);
    return (enum status)client->context.status;
}

/* `late` calls, and nobody receives. */
static void call_unheard(void)
{
    struct object *object;

    assert_int_equal(handle_use(caller, things[AN_ENDPOINT], OBJECT_ENDPOINT, 0, &object, NULL), STATUS_OK);
    ASK(late, ipc_call, give(other, object, RIGHT_CALL, 0), 0, DEADLINE_NEVER);
    assert_int_equal(late->wait, WAIT_SEND);
}

static enum status revoked_before_received(void)
{
    call_unheard();
    assert_int_equal(ASK(thread, handle_revoke, things[AN_ENDPOINT]), STATUS_OK);
    return (enum status)late->context.status;
}

static enum status last_receiver_goes(void)
{
    call_unheard();
    assert_int_equal(ASK(thread, handle_close, things[AN_ENDPOINT]), STATUS_OK);
    return (enum status)late->context.status;
}

static enum status revoked_while_receiving(void)
{
    assert_int_equal(ASK(late, handle_revoke, served), STATUS_OK);
    return (enum status)server->context.status;
}

static void wait_for_bits(uint64_t deadline_ns)
{
    ASK(second, notification_wait, things[A_NOTIFICATION], 1, deadline_ns);
    assert_int_equal(second->wait, WAIT_EVENT);
}

static enum status revoked_while_waiting(void)
{
    wait_for_bits(DEADLINE_NEVER);
    assert_int_equal(ASK(thread, handle_revoke, things[A_NOTIFICATION]), STATUS_OK);
    return (enum status)second->context.status;
}

static enum status closed_while_waiting(void)
{
    wait_for_bits(DEADLINE_NEVER);
    assert_int_equal(ASK(thread, handle_close, things[A_NOTIFICATION]), STATUS_OK);
    return (enum status)second->context.status;
}

static enum status deadline_comes(void)
{
    wait_for_bits(now_ns + 1000);
    now_ns += 1000;
    second->timer.fire(&second->timer);
    return (enum status)second->context.status;
}

/* The kernel calls, and is to be given a handle with the answer. */
static enum status answers_the_kernel(void)
{
    struct kernel_call call = {.message = MESSAGE(0, 8, 0)};
    struct object *endpoint;

    assert_int_equal(handle_use(caller, things[AN_ENDPOINT], OBJECT_ENDPOINT, 0, &endpoint, NULL), STATUS_OK);
    assert_int_equal(kernel_call_start((struct endpoint *)endpoint, &call), STATUS_OK);
    assert_int_equal(ASK(thread, ipc_reply_receive, 0, 0, things[AN_ENDPOINT], 0, 0, 0), STATUS_OK);
    handle reply = thread->buffer->reply;
    SENDS(things[A_NOTIFICATION]);
    enum status status = ASK(thread, ipc_reply_receive, reply, MESSAGE(0, 0, 1), 0, 0, 0, 0);
    assert_false(call.done);
    assert_int_equal(ASK(thread, ipc_reply_receive, reply, MESSAGE(0, 8, 0), 0, 0, 0, 0), STATUS_OK);
    assert_true(call.done);
    kernel_call_end(&call);
    return status;
}

/* The second of two pages needs a table that there is no budget for, and a CPU may remember the first one. */
static enum status undone_and_a_cpu_is_deaf(void)
{
    enum { LARGE = 2 << 20 };
    uint64_t limit = caller->limits[BUDGET_MEMORY];
    struct object *object;

    assert_int_equal(handle_use(caller, things[A_MEMORY], OBJECT_MEMORY, 0, &object, NULL), STATUS_OK);
    assert_int_equal(ASK(thread, memory_map, 0, things[A_MEMORY], 65 * LARGE - PAGE_SIZE, 0, PAGE_SIZE, READ),
                     STATUS_OK);
    assert_int_equal(ASK(thread, memory_unmap, 0, 65 * LARGE - PAGE_SIZE, PAGE_SIZE), STATUS_OK);
    caller->limits[BUDGET_MEMORY] = caller->used[BUDGET_MEMORY] + sizeof(struct mapping);
    world_deaf = true;
    enum status status = ASK(thread, memory_map, 0, things[A_MEMORY], 65 * LARGE - PAGE_SIZE, 0, 2 * PAGE_SIZE, READ);
    world_deaf = false;
    caller->limits[BUDGET_MEMORY] = limit;
    assert_true(((struct memory *)object)->leaked);
    ((struct memory *)object)->leaked = false; /* in this world nobody is deaf for good */
    return status;
}

/* MEANWHILE(call, what it is told, what happens while it waits, or to bring that about). */
#define MEANWHILE(call, status, run)                                                                                   \
    {                                                                                                                  \
#call, STATUS_##status, run                                                                                    \
    }
static const struct {
    const char *call;
    enum status wanted;
    enum status (*run)(void);
} events[] = {
    MEANWHILE(ipc_call, LIMIT, no_slot_for_the_answer),
    MEANWHILE(ipc_call, NO_MEMORY, no_heap_for_the_answer),
    MEANWHILE(ipc_call, PEER_GONE, reply_is_closed),
    MEANWHILE(ipc_call, PEER_GONE, server_ends),
    MEANWHILE(ipc_call, PEER_GONE, last_receiver_goes),
    MEANWHILE(ipc_call, REVOKED, revoked_before_received),
    MEANWHILE(ipc_reply_receive, REVOKED, revoked_while_receiving),
    MEANWHILE(ipc_reply_receive, UNSUPPORTED, answers_the_kernel),
    MEANWHILE(memory_map, IO_ERROR, undone_and_a_cpu_is_deaf),
    MEANWHILE(notification_wait, REVOKED, revoked_while_waiting),
    MEANWHILE(notification_wait, BAD_HANDLE, closed_while_waiting),
    MEANWHILE(notification_wait, TIMED_OUT, deadline_comes),
};

static void test_meanwhile(void **state)
{
    (void)state;
    for (unsigned i = 0; i < sizeof events / sizeof events[0]; i++) {
        scene_begin();
        enum status status = events[i].run();
        if (status != events[i].wanted)
            fail_msg("%s, event %u: wanted \"%s\", but: \"%s\"", events[i].call, i, status_text(events[i].wanted),
                     status < STATUS_COUNT ? status_text(status) : "it waits");
        scene_end();
    }
}

/* ---- Numbers, and values ----------------------------------------------------------------------------------------- */

static void test_numbers_that_are_no_calls(void **state)
{
    static const uint64_t numbers[] = {SYSTEM_CALL_COUNT,
                                       SYSTEM_CALL_COUNT + 1,
                                       1000,
                                       UINT32_MAX,
                                       UINT64_C(1) << 32,
                                       UINT64_C(1) << 32 | SYSTEM_endpoint_create,
                                       UINT64_C(1) << 63,
                                       UINT64_MAX};

    (void)state;
    scene_begin();
    for (unsigned i = 0; i < sizeof numbers / sizeof numbers[0]; i++) {
        assert_int_equal(ask(thread, numbers[i], (const uint64_t[6]){0}), STATUS_UNSUPPORTED);
        assert_int_equal(thread->context.value, 0);
    }
    scene_end();
}

/* The caller may be promised a whole CPU; what it could be before. */
static uint64_t plenty_of_time(void)
{
    scene_begin();
    uint64_t limit = caller->limits[BUDGET_CPU];
    caller->limits[BUDGET_CPU] = caller->used[BUDGET_CPU] + 1000;
    return limit;
}

/* A promise of a whole CPU cannot pay a debt, since it never waits for a period: it takes none, and none is lost. */
static void test_debts_outlive_a_whole_cpu(void **state)
{
    const uint64_t period = 10 * NANOSECONDS_PER_SECOND, limit = plenty_of_time();

    (void)state;
    thread->own.budget_ns = period / 2;
    thread->own.period_ns = period;
    thread->own.left_ns = 0;
    thread->own.period_end_ns = now_ns + period;
    const struct thread_parameters whole = {.budget_ns = period, .period_ns = period}, nothing = {0};
    assert_int_equal(thread_configure(thread, &whole), STATUS_OK);
    assert_int_equal(thread->own.left_ns, period);
    assert_int_equal(caller->owed_ns, period / 2);
    assert_int_equal(thread_configure(thread, &nothing), STATUS_OK);
    assert_int_equal(caller->owed_ns, period / 2);
    caller->limits[BUDGET_CPU] = limit;
    scene_end();
}

static void test_values(void **state)
{
    (void)state;
    scene_begin();
    const struct process_info *info = physical_to_virtual(page->pages.run[0].physical);
    assert_int_equal(ASK(thread, abi_version, 0), STATUS_OK);
    assert_int_equal(thread->context.value, ABI_VERSION);
    assert_int_equal(ASK(thread, handle_info, things[A_READABLE]), STATUS_OK);
    assert_int_equal(thread->context.value, OBJECT_MEMORY | (RIGHT_READ | RIGHT_DUPLICATE) << 8);
    assert_int_equal(ASK(thread, clock_read, things[THE_CLOCK]), STATUS_OK);
    assert_int_equal(thread->context.value, now_ns);
    assert_int_equal(ASK(thread, object_info, things[A_CHILD], things[THE_PAGE], PAGE_SIZE), STATUS_OK);
    assert_int_equal(thread->context.value, sizeof *info);
    assert_int_equal(info->id, child()->id);
    assert_string_equal(info->name, "process");
    assert_int_equal(((const char *)info)[sizeof *info], 0); /* never more than was said */
    assert_int_equal(ASK(thread, console_write, things[THE_CONSOLE], things[THE_PAGE], UINT64_MAX), STATUS_OK);
    assert_int_equal(thread->context.value, CONSOLE_WRITE_MOST);
    ASK(thread, notification_signal, things[A_NOTIFICATION], 6);
    assert_int_equal(ASK(thread, notification_wait, things[A_NOTIFICATION], 3, 0), STATUS_OK);
    assert_int_equal(thread->context.value, 2);
    assert_int_equal(ASK(thread, handle_duplicate, things[A_NOTIFICATION], RIGHT_WAIT, 0), STATUS_OK);
    assert_int_equal(rights_of(thread->context.value), RIGHT_WAIT);
    scene_end();
}

/* The caller ends in the middle of its call, and makes none any more. */
static void test_who_ends_calls_no_more(void **state)
{
    (void)state;
    scene_begin();
    run_thread(thread);
    assert_int_equal(ASK(thread, thread_exit, 0), STATUS_OK);
    assert_true(thread->ending);
    uint64_t objects = caller->used[BUDGET_OBJECTS];
    thread->context.number = SYSTEM_endpoint_create;
    assert_false(system_call(thread));
    lock_release(&objects_lock, 0);
    thread->context.number = SYSTEM_ipc_call;
    assert_false(system_call(thread));
    lock_release(&objects_lock, 0);
    assert_int_equal(caller->used[BUDGET_OBJECTS], objects);
    scene_end();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rows),
        cmocka_unit_test(test_nothing_is_made_without_room),
        cmocka_unit_test(test_handles),
        cmocka_unit_test(test_rights_are_enough),
        cmocka_unit_test(test_stale_handles_can_be_closed),
        cmocka_unit_test(test_meanwhile),
        cmocka_unit_test(test_numbers_that_are_no_calls),
        cmocka_unit_test(test_values),
        cmocka_unit_test(test_debts_outlive_a_whole_cpu),
        cmocka_unit_test(test_who_ends_calls_no_more),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
