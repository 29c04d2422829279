/*
 * rounds: processes are made and end, in every way that there is, and leave nothing behind. A round is a process with
 * threads, memory, handles, a call under way, a child; by chance it exits, crashes, is killed while it waits for
 * something, while it runs, or before it has begun.
 */
#include "hostile.h"

enum { ROUNDS = 1000, STACK = 4 << 10, FEW = 4 };

enum way {
    EXITS,
    LAST_THREAD_EXITS,
    CRASHES,
    CRASHES_IN_A_SECOND_THREAD,
    SPINS, /* these are killed */
    WAITS_FOR_BITS,
    SLEEPS,
    CALLS,    /* and nobody receives */
    CALLS_US, /* and gets no answer */
    RECEIVES,
    HOLDS_A_REPLY, /* to a call of a thread of its own */
    HAS_CHILDREN,
    NEVER_BEGINS,
    WAYS
};

/* ---- What ends --------------------------------------------------------------------------------------------------- */

static handle own_endpoint;

static void call_ourselves(void *argument, struct message_buffer *buffer)
{
    uint64_t message;

    (void)argument;
    for (unsigned i = 0; i < 2; i++)
        vmos_notification_create(&buffer->handles[i]);
    vmos_ipc_call(own_endpoint, MESSAGE(0, 64, 2), DEADLINE_NEVER, &message);
}

static void crash(void *argument, struct message_buffer *buffer)
{
    (void)argument;
    (void)buffer;
    *(volatile char *)(uintptr_t)16 = 0;
}

static void spin(void *argument, struct message_buffer *buffer)
{
    (void)argument;
    (void)buffer;
    for (volatile uint64_t i = 0;; i++)
        ;
}

/* Something of each that the kernel must find again. */
static void possess(void)
{
    handle memory, notification, copy;
    uint64_t address;

    if (vmos_memory_create(3 * PAGE, &memory) == STATUS_OK) {
        vmos_memory_map(0, memory, 0, 0, PAGE, RIGHT_READ | RIGHT_WRITE, &address);
        vmos_memory_map(0, memory, 0, PAGE, 2 * PAGE, RIGHT_READ, &address);
        vmos_handle_duplicate(memory, RIGHT_READ, 0, &copy);
    }
    if (vmos_notification_create(&notification) == STATUS_OK)
        vmos_notification_alarm(notification, 1, now_ns() + chance_below(3 * NANOSECONDS_PER_MILLISECOND));
    vmos_process_watch(self_process, notification, 2);
    vmos_endpoint_create(&own_endpoint);
}

static void have_children(void)
{
    struct process_parameters parameters = {.name = "child", .limits = {128 << 10, 8, 2, 8}};
    struct thread_parameters thread = {.entry = (uintptr_t)system_thread_exit};
    handle child, made, memory;
    uint64_t address;

    for (unsigned i = 0; i < 3; i++) {
        if (vmos_process_create(&parameters, &child) != STATUS_OK || vmos_memory_create(PAGE, &memory) != STATUS_OK)
            return;
        vmos_process_give(child, child, 0, &made); /* it holds itself */
        vmos_memory_map(child, memory, 0, 0, PAGE, RIGHT_READ, &address);
        if (i == 2) /* begins where it has nothing, and crashes */
            vmos_thread_create(child, &thread, &made);
    }
}

static void victim(void)
{
    enum way way = (enum way)report->shared[0];
    handle notification;
    uint64_t value;

    possess();
    vmos_notification_create(&notification);
    report->phase = 1;
    switch (way) {
    case EXITS:
        exit(3);
    case LAST_THREAD_EXITS:
        vmos_thread_exit();
        break;
    case CRASHES:
        crash(NULL, NULL);
        break;
    case CRASHES_IN_A_SECOND_THREAD:
        thread_start(crash, NULL, STACK, NULL);
        break;
    case SPINS:
        thread_start(spin, NULL, STACK, NULL);
        spin(NULL, NULL);
        break;
    case WAITS_FOR_BITS:
        vmos_notification_wait(notification, 1, DEADLINE_NEVER, &value);
        break;
    case CALLS:
        vmos_ipc_call(own_endpoint, MESSAGE(0, 8, 0), DEADLINE_NEVER, &value);
        break;
    case CALLS_US:
        vmos_ipc_call(start_handle("endpoint"), MESSAGE(0, 8, 0), DEADLINE_NEVER, &value);
        break;
    case RECEIVES:
        vmos_ipc_reply_receive(0, 0, own_endpoint, notification, 1, DEADLINE_NEVER, &value);
        break;
    case HOLDS_A_REPLY:
        thread_start(call_ourselves, NULL, STACK, NULL);
        vmos_ipc_reply_receive(0, 0, own_endpoint, 0, 0, DEADLINE_NEVER, &value);
        break;
    case HAS_CHILDREN:
        have_children();
        break;
    default:
        break;
    }
    sleep_until(DEADLINE_NEVER);
}

/* ---- The rounds -------------------------------------------------------------------------------------------------- */

static handle endpoint;

static void end_unborn(void)
{
    struct process_parameters parameters = {.name = "unborn", .limits = {128 << 10, 8, 2, 8}};
    handle process, memory;
    uint64_t address;

    WORKS(vmos_process_create(&parameters, &process));
    WORKS(vmos_memory_create(PAGE, &memory));
    WORKS(vmos_memory_map(process, memory, 0, 0, PAGE, RIGHT_READ, &address));
    WORKS(vmos_handle_close(memory));
    if (chance_below(2) != 0)
        WORKS(vmos_process_kill(process, 1));
    WORKS(vmos_handle_close(process)); /* nobody can start it any more */
}

static void one_round(unsigned number)
{
    struct peer peer = {.program = "rounds", .name = "victim", .handle_count = 1};
    enum way way = (enum way)(number % WAYS);
    struct process_info info;
    uint64_t message, patience = now_ns() + 5 * NANOSECONDS_PER_SECOND;
    handle process, reply = 0;

    if (way == NEVER_BEGINS) {
        end_unborn();
        return;
    }
    peer.handles[0] = (struct spawn_handle){"endpoint", endpoint, RIGHT_CALL};
    peer.memory = 512 << 10;
    report->phase = 0;
    report->shared[0] = way;
    WORKS(spawn_peer(&peer, &process));
    bool by_itself = way <= CRASHES_IN_A_SECOND_THREAD;
    if (way == CALLS_US) {
        WORKS(vmos_ipc_reply_receive(0, 0, endpoint, 0, 0, patience, &message));
        reply = first_buffer->reply;
    } else if (chance_below(8) != 0) { /* else while it begins */
        while (report->phase == 0 && now_ns() < patience)
            sleep_until(now_ns() + 50 * NANOSECONDS_PER_MICROSECOND);
        if (!by_itself)
            sleep_until(now_ns() + chance_below(300 * NANOSECONDS_PER_MICROSECOND));
    }
    if (!by_itself)
        WORKS(vmos_process_kill(process, 7));
    CHECK(wait_for_end(process, &info), "round %u: it does not end", number);
    enum process_end wanted = !by_itself ? END_KILLED : way >= CRASHES ? END_CRASHED : END_EXIT;
    CHECK(info.end == (uint32_t)wanted, "round %u, way %u: it has ended by %u", number, way, info.end);
    /* We may have closed our handle of its thread after it had ended: then the thread is taken apart behind it. */
    while (reply == 0 && (info.used[BUDGET_MEMORY] | info.used[BUDGET_THREADS]) != 0 && now_ns() < patience) {
        sleep_until(now_ns() + NANOSECONDS_PER_MILLISECOND);
        WORKS(vmos_object_info(process, &info, sizeof info, &message));
    }
    for (unsigned i = 0; i < BUDGET_COUNT; i++)
        CHECK(info.used[i] == 0 || reply != 0, "round %u, way %u: %llu of budget %u are still used", number, way,
              (unsigned long long)info.used[i], i);
    if (reply != 0) {
        WANT(STATUS_PEER_GONE, vmos_ipc_reply_receive(reply, MESSAGE(0, 0, 0), 0, 0, 0, 0, &message));
        WORKS(vmos_handle_close(reply));
    }
    WORKS(vmos_handle_close(process));
}

static void rounds(void)
{
    WORKS(vmos_endpoint_create(&endpoint));
    for (unsigned i = 0; i < 50; i++) /* what grows once and stays */
        one_round(i);
    /* Tables for every place that the kernel has chosen for a mapping stay; all of them are there after this. */
    handle memory;
    uint64_t address;
    WORKS(vmos_memory_create(PAGE, &memory));
    for (unsigned i = 0; i < 600; i++) {
        WORKS(vmos_memory_map(0, memory, 0, 0, PAGE, RIGHT_READ, &address));
        WORKS(vmos_memory_unmap(0, address, PAGE));
    }
    uint64_t before[FEW], now[FEW];
    for (unsigned i = 0; i < FEW; i++)
        before[i] = used((enum budget)i);
    for (unsigned i = 0; i < ROUNDS * scale / 100; i++)
        one_round(i);
    uint64_t until = now_ns() + 5 * NANOSECONDS_PER_SECOND;
    unsigned same;
    do {
        for (same = 0; same < FEW && (now[same] = used((enum budget)same)) == before[same]; same++)
            ;
    } while (same < FEW && now_ns() < until);
    CHECK(same == FEW, "of budget %u, %llu are used that were %llu before", same, (unsigned long long)now[same],
          (unsigned long long)before[same]);
    pass("%llu processes ended in %d ways", (unsigned long long)(ROUNDS * scale / 100), WAYS);
}

const struct hostile_case hostile_cases[] = {{"rounds", rounds}, {"victim", victim}, {NULL, NULL}};
