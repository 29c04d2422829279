/* scene.c: what the calls take, and what of it is good; see calls.h. */
#include "calls.h"

#define H(object, right_)                                                                                              \
    {                                                                                                                  \
        HANDLE, OBJECT_##object, right_                                                                                \
    }
#define O(object, right_)                                                                                              \
    {                                                                                                                  \
        OPTIONAL, OBJECT_##object, right_                                                                              \
    }
#define A(kind)                                                                                                        \
    {                                                                                                                  \
        kind, 0, 0                                                                                                     \
    }

const struct description descriptions[SYSTEM_CALL_COUNT] = {
    [SYSTEM_handle_close] = {{H(NONE, 0)}},
    [SYSTEM_handle_duplicate] = {{H(NONE, RIGHT_DUPLICATE), A(RIGHTS), A(NUMBER)}},
    [SYSTEM_handle_revoke] = {{H(NONE, RIGHT_MANAGE)}},
    [SYSTEM_handle_info] = {{H(NONE, 0)}},
    [SYSTEM_object_info] = {{H(PROCESS, RIGHT_INSPECT), A(OUTPUT), A(SIZE)}},
    [SYSTEM_ipc_call] = {{H(ENDPOINT, RIGHT_CALL), A(MESSAGE_WORD), A(DEADLINE)}},
    [SYSTEM_ipc_reply_receive] = {{A(NOTHING), A(MESSAGE_WORD), O(ENDPOINT, RIGHT_RECEIVE), O(NOTIFICATION, RIGHT_WAIT),
                                   A(NUMBER), A(DEADLINE)}},
    [SYSTEM_notification_signal] = {{H(NOTIFICATION, RIGHT_SIGNAL), A(NUMBER)}},
    [SYSTEM_notification_wait] = {{O(NOTIFICATION, RIGHT_WAIT), A(NUMBER), A(DEADLINE)}},
    [SYSTEM_notification_alarm] = {{H(NOTIFICATION, RIGHT_WAIT), A(NUMBER), A(NUMBER)}},
    [SYSTEM_memory_create] = {{A(BYTES)}},
    [SYSTEM_memory_map] = {{O(PROCESS, RIGHT_MANAGE), H(MEMORY, 0), A(PLACE), A(BYTES), A(BYTES), A(RIGHTS)}},
    [SYSTEM_memory_unmap] = {{O(PROCESS, RIGHT_MANAGE), A(PLACE), A(BYTES)}},
    [SYSTEM_process_create] = {{A(INPUT), A(SIZE)}},
    [SYSTEM_process_give] = {{O(PROCESS, RIGHT_MANAGE), H(NONE, RIGHT_TRANSFER | RIGHT_DUPLICATE), A(RIGHTS)}},
    [SYSTEM_process_kill] = {{H(PROCESS, RIGHT_MANAGE), A(NUMBER)}},
    [SYSTEM_process_watch] = {{H(PROCESS, RIGHT_WAIT), H(NOTIFICATION, RIGHT_SIGNAL), A(NUMBER)}},
    [SYSTEM_thread_create] = {{O(PROCESS, RIGHT_MANAGE), A(INPUT), A(SIZE)}},
    [SYSTEM_thread_configure] = {{O(THREAD, RIGHT_MANAGE), A(INPUT), A(SIZE)}},
    [SYSTEM_clock_read] = {{H(CLOCK, RIGHT_READ)}},
    [SYSTEM_console_write] = {{H(CONSOLE, RIGHT_WRITE), A(INPUT), A(SIZE)}},
};

/* ---- What is good ------------------------------------------------------------------------------------------------ */

handle objects[OBJECT_TYPE_COUNT], closed, revoked, area_memory;
char *area;
uint64_t nowhere, read_only;
static handle kept_one, read_only_memory;

struct process_parameters process_parameters = {.name = "nobody", .limits = {64 << 10, 8, 1, 8}, .highest_priority = 1};
struct thread_parameters thread_parameters = {.priority = 1};

static bool alive(handle number)
{
    enum object_type type;
    uint32_t rights;

    return number != 0 && vmos_handle_info(number, &type, &rights) == STATUS_OK;
}

/* A process that was never started and has not been ended. */
static void renew_process(void)
{
    struct process_info info;
    uint64_t size;

    if (alive(objects[OBJECT_PROCESS])) {
        if (vmos_object_info(objects[OBJECT_PROCESS], &info, sizeof info, &size) == STATUS_OK &&
            info.state == PROCESS_NEW && info.used[BUDGET_HANDLES] < 4 && info.used[BUDGET_MEMORY] < 32 << 10)
            return;
        vmos_handle_close(objects[OBJECT_PROCESS]);
    }
    /* What the last ones had comes back when they have been taken apart. */
    for (unsigned i = 0; i < 1000; i++) {
        if (vmos_process_create(&process_parameters, &objects[OBJECT_PROCESS]) == STATUS_OK)
            return;
        sleep_until(now_ns() + NANOSECONDS_PER_MILLISECOND);
    }
    fail("no process can be made any more");
}

static void renew_revoked(void)
{
    enum { WHOLE = RIGHT_SIGNAL | RIGHT_WAIT | RIGHT_MANAGE | RIGHT_DUPLICATE | RIGHT_TRANSFER | RIGHT_INSPECT };
    enum object_type type;
    uint32_t rights;

    if (vmos_handle_info(revoked, &type, &rights) == STATUS_REVOKED)
        return;
    if (kept_one == 0)
        WORKS(vmos_notification_create(&kept_one));
    WORKS(vmos_handle_duplicate(kept_one, WHOLE, 0, &revoked));
    WORKS(vmos_handle_revoke(kept_one));
}

void renew(void)
{
    renew_revoked();
    renew_process();
    if (!alive(objects[OBJECT_ENDPOINT]))
        WORKS(vmos_endpoint_create(&objects[OBJECT_ENDPOINT]));
    if (!alive(objects[OBJECT_NOTIFICATION]))
        WORKS(vmos_notification_create(&objects[OBJECT_NOTIFICATION]));
    if (!alive(objects[OBJECT_MEMORY]))
        WORKS(vmos_memory_create(4 * PAGE, &objects[OBJECT_MEMORY]));
    objects[OBJECT_CLOCK] = start_handle("clock");
    objects[OBJECT_CONSOLE] = start_handle("console");
}

void prepare(void)
{
    const struct thread_parameters parameters = {.entry = (uintptr_t)system_thread_exit, .priority = 1};
    uint64_t address;

    area = map_new(2 * PAGE, &area_memory);
    WORKS(vmos_memory_unmap(0, (uintptr_t)area, 2 * PAGE));
    WORKS(vmos_memory_map(0, area_memory, (uintptr_t)area, 0, PAGE, RIGHT_READ | RIGHT_WRITE, &address));
    nowhere = (uintptr_t)area + PAGE;
    WORKS(vmos_memory_create(PAGE, &read_only_memory));
    WORKS(vmos_memory_map(0, read_only_memory, 0, 0, PAGE, RIGHT_READ, &read_only));
    thread_parameters.entry = parameters.entry;
    WORKS(vmos_thread_create(0, &parameters, &objects[OBJECT_THREAD]));
    WORKS(vmos_notification_create(&closed));
    WORKS(vmos_handle_close(closed));
    renew();
}
