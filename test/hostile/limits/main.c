/*
 * limits: each budget is used up. The kernel says STATUS_LIMIT to who asks for too much, and to nobody else: a
 * neighbour with a budget of its own goes on all the while. What is given back can be used again, to the last byte.
 */
#include "hostile.h"

#include <lib/string.h>

enum { MOST = 4200, PLACES = 600, STACK = 8 << 10 };

static handle made[MOST];
static uint64_t made_count;

/* ---- The neighbour: makes and closes one of each, as long as it is wanted ---------------------------------------- */

static void neighbour(void)
{
    handle object, memory;
    uint64_t address;

    while (report->shared[0] == 0) {
        enum status status = vmos_notification_create(&object);
        if (status == STATUS_OK)
            status = vmos_handle_close(object);
        if (status == STATUS_OK)
            status = vmos_memory_create(PAGE, &memory);
        if (status == STATUS_OK)
            status = vmos_memory_map(0, memory, 0, 0, PAGE, RIGHT_READ | RIGHT_WRITE, &address);
        if (status == STATUS_OK)
            status = vmos_memory_unmap(0, address, PAGE);
        if (status == STATUS_OK)
            status = vmos_handle_close(memory);
        if (status != STATUS_OK)
            report->shared[2] = status;
        report->shared[1]++;
        sleep_until(now_ns() + 200 * NANOSECONDS_PER_MICROSECOND);
    }
}

static handle neighbour_process;

static void begin(void)
{
    const struct peer peer = {.program = "limits", .name = "neighbour", .promille = 50};
    handle memory, probe[32];
    uint64_t address;

    WORKS(spawn_peer(&peer, &neighbour_process));
    /* Tables for every place that a mapping may get stay; let them be there before anything is counted. */
    WORKS(vmos_memory_create(PAGE, &memory));
    for (unsigned i = 0; i < PLACES; i++) {
        WORKS(vmos_memory_map(0, memory, 0, 0, PAGE, RIGHT_READ, &address));
        WORKS(vmos_memory_unmap(0, address, PAGE));
    }
    WORKS(vmos_handle_close(memory));
    for (unsigned i = 0; i < 32; i++)
        WORKS(vmos_notification_create(&probe[i]));
    for (unsigned i = 0; i < 32; i++)
        WORKS(vmos_handle_close(probe[i]));
}

static void end(void)
{
    uint64_t rounds = report->shared[1], until = now_ns() + 5 * NANOSECONDS_PER_SECOND;

    while (report->shared[1] < rounds + 3 && now_ns() < until)
        sleep_until(now_ns() + NANOSECONDS_PER_MILLISECOND);
    CHECK(report->shared[1] >= rounds + 3, "the neighbour makes no progress");
    CHECK(report->shared[2] == 0, "the neighbour is told: %s", status_text((enum status)report->shared[2]));
    report->shared[0] = 1;
    CHECK(wait_for_end(neighbour_process, NULL), "the neighbour does not end");
    WORKS(vmos_handle_close(neighbour_process));
}

static void close_all(void)
{
    while (made_count != 0)
        WORKS(vmos_handle_close(made[--made_count]));
}

/* What was used is used again, within a time: threads and processes are taken apart when the kernel finds the time. */
static void must_be(enum budget budget, uint64_t wanted)
{
    uint64_t until = now_ns() + 5 * NANOSECONDS_PER_SECOND;

    while (used(budget) != wanted && now_ns() < until)
        sleep_until(now_ns() + NANOSECONDS_PER_MILLISECOND);
    CHECK(used(budget) == wanted, "%llu of budget %d are used that were %llu before", (unsigned long long)used(budget),
          budget, (unsigned long long)wanted);
}

static uint64_t limit(enum budget budget)
{
    struct process_info info;
    uint64_t size;

    WORKS(vmos_object_info(self_process, &info, sizeof info, &size));
    return info.limits[budget];
}

/* ---- The cases --------------------------------------------------------------------------------------------------- */

static void limit_handles(void)
{
    enum status status;
    handle first;

    begin();
    WORKS(vmos_notification_create(&first));
    /* A child that takes all handles that are left leaves none for its own. */
    uint64_t at_first = used(BUDGET_HANDLES), memory = used(BUDGET_MEMORY);
    struct process_parameters greedy = {.name = "greedy", .limits = {64 << 10, limit(BUDGET_HANDLES) - at_first, 1, 1}};
    WANT(STATUS_LIMIT, vmos_process_create(&greedy, &made[0]));
    must_be(BUDGET_HANDLES, at_first);
    must_be(BUDGET_MEMORY, memory);
    for (unsigned round = 0; round < 2; round++) {
        uint64_t before = used(BUDGET_HANDLES);
        while ((status = vmos_handle_duplicate(first, RIGHT_SIGNAL, 0, &made[made_count])) == STATUS_OK)
            made_count++;
        WANT(STATUS_LIMIT, status);
        CHECK(before + made_count == limit(BUDGET_HANDLES), "%llu handles were given", (unsigned long long)made_count);
        handle more;
        WANT(STATUS_LIMIT, vmos_notification_create(&more));
        WANT(STATUS_LIMIT, vmos_endpoint_create(&more));
        WANT(STATUS_LIMIT, vmos_memory_create(PAGE, &more));
        close_all();
        must_be(BUDGET_HANDLES, before);
    }
    end();
    pass("all %llu can be had, twice, and no more", (unsigned long long)limit(BUDGET_HANDLES));
}

static void limit_objects(void)
{
    enum status status;

    begin();
    for (unsigned round = 0; round < 2; round++) {
        uint64_t before = used(BUDGET_OBJECTS), memory = used(BUDGET_MEMORY);
        while ((status = (made_count % 2 ? vmos_endpoint_create : vmos_notification_create)(&made[made_count])) ==
               STATUS_OK)
            made_count++;
        WANT(STATUS_LIMIT, status);
        CHECK(before + made_count == limit(BUDGET_OBJECTS), "%llu objects were given", (unsigned long long)made_count);
        struct process_parameters parameters = {.name = "none"};
        handle more;
        WANT(STATUS_LIMIT, vmos_memory_create(PAGE, &more));
        WANT(STATUS_LIMIT, vmos_process_create(&parameters, &more));
        close_all();
        must_be(BUDGET_OBJECTS, before);
        if (round != 0) /* the table of handles has grown in the first */
            must_be(BUDGET_MEMORY, memory);
    }
    end();
    pass("all %llu can be had, twice, and no more", (unsigned long long)limit(BUDGET_OBJECTS));
}

static void limit_memory(void)
{
    uint64_t sizes[] = {1 << 20, 64 << 10, PAGE};
    enum status status = STATUS_OK;

    begin();
    uint64_t before = used(BUDGET_MEMORY);
    for (unsigned round = 0; round < 3; round++) {
        if (round == 1)
            before = used(BUDGET_MEMORY); /* the table of handles has grown */
        for (unsigned i = 0; i < 3; i++) {
            while ((status = vmos_memory_create(sizes[i], &made[made_count])) == STATUS_OK)
                made_count++;
            WANT(STATUS_LIMIT, status);
        }
        CHECK(limit(BUDGET_MEMORY) - used(BUDGET_MEMORY) < 2 * PAGE, "%llu bytes are left",
              (unsigned long long)(limit(BUDGET_MEMORY) - used(BUDGET_MEMORY)));
        struct process_parameters parameters = {.name = "none", .limits = {4 * PAGE}};
        handle more;
        WANT(STATUS_LIMIT, vmos_process_create(&parameters, &more));
        close_all();
        if (round != 0)
            must_be(BUDGET_MEMORY, before);
    }
    end();
    pass("all but a page can be had, three times, and no more");
}

static void limit_mappings(void)
{
    static uint64_t addresses[MOST];
    uint64_t count = 0;
    enum status status = STATUS_OK;
    handle memory;

    begin();
    WORKS(vmos_memory_create(PAGE, &memory));
    /* Each looks through those that are there already. */
    uint64_t most = scale > 100 ? MOST : 1000;
    while (count < most &&
           (status = vmos_memory_map(0, memory, 0, 0, PAGE, RIGHT_READ, &addresses[count])) == STATUS_OK)
        count++;
    WANT(scale > 100 ? STATUS_LIMIT : STATUS_OK, status);
    struct memory_info info;
    uint64_t size;
    WORKS(vmos_object_info(memory, &info, sizeof info, &size));
    CHECK(info.mappings == count, "%llu of %llu mappings are counted", (unsigned long long)info.mappings,
          (unsigned long long)count);
    for (uint64_t i = 0; i < count; i++)
        WORKS(vmos_memory_unmap(0, addresses[i], PAGE));
    WORKS(vmos_handle_close(memory));
    end();
    pass("%llu of one page%s", (unsigned long long)count, scale > 100 ? ", and no more" : "");
}

static handle gate;
static uint64_t ended;

static void wait_at_gate(void *argument, struct message_buffer *buffer)
{
    uint64_t bits;

    (void)argument;
    (void)buffer;
    vmos_notification_wait(gate, 1, DEADLINE_NEVER, &bits);
    __atomic_add_fetch(&ended, 1, __ATOMIC_SEQ_CST);
}

static void limit_threads(void)
{
    enum status status = STATUS_OK;

    begin();
    for (unsigned round = 0; round < 2; round++) {
        uint64_t before = used(BUDGET_THREADS), count = 0;
        WORKS(vmos_notification_create(&gate));
        while (count < 100 && (status = thread_start(wait_at_gate, NULL, STACK, NULL)) == STATUS_OK)
            count++;
        WANT(STATUS_LIMIT, status);
        CHECK(before + count == limit(BUDGET_THREADS), "%llu threads were given", (unsigned long long)count);
        ended = 0;
        WORKS(vmos_handle_revoke(gate)); /* all of them are told */
        WORKS(vmos_handle_close(gate));
        must_be(BUDGET_THREADS, before);
        CHECK(ended == count, "%llu of %llu threads have come back", (unsigned long long)ended,
              (unsigned long long)count);
    }
    end();
    pass("all %llu can be had, twice, and no more", (unsigned long long)limit(BUDGET_THREADS));
}

static void limit_cpu(void)
{
    struct thread_parameters parameters = {.period_ns = 10 * NANOSECONDS_PER_MILLISECOND};

    begin();
    uint64_t all = limit(BUDGET_CPU) - used(BUDGET_CPU); /* ours is none yet */
    parameters.budget_ns = (all + 1) * 10 * NANOSECONDS_PER_MICROSECOND;
    WANT(STATUS_LIMIT, vmos_thread_configure(0, &parameters));
    parameters.budget_ns = all * 10 * NANOSECONDS_PER_MICROSECOND;
    WORKS(vmos_thread_configure(0, &parameters));
    CHECK(used(BUDGET_CPU) == limit(BUDGET_CPU), "not all of it is used");
    gate = 0;
    parameters.budget_ns = 20 * NANOSECONDS_PER_MICROSECOND;
    WANT(STATUS_LIMIT, thread_start(wait_at_gate, NULL, STACK, &parameters));
    parameters.priority = PRIORITIES - 1;
    WANT(STATUS_DENIED, vmos_thread_configure(0, &parameters));
    parameters.priority = 1;
    parameters.budget_ns = 2 * NANOSECONDS_PER_MILLISECOND;
    WORKS(vmos_thread_configure(0, &parameters));
    end();
    pass("%llu thousandths can be promised, and no more", (unsigned long long)limit(BUDGET_CPU));
}

static void limit_alarms(void)
{
    enum status status;
    uint64_t bits;

    begin();
    uint64_t before = used(BUDGET_OBJECTS);
    while ((status = vmos_notification_create(&made[made_count])) == STATUS_OK)
        made_count++;
    WANT(STATUS_LIMIT, status);
    uint64_t count = made_count, at = now_ns() + 20 * NANOSECONDS_PER_MILLISECOND;
    for (uint64_t i = 0; i < count; i++)
        WORKS(vmos_notification_alarm(made[i], 1 + i, at + i % 7 * NANOSECONDS_PER_MILLISECOND));
    for (uint64_t i = 0; i < count; i++) {
        WORKS(vmos_notification_wait(made[i], UINT64_MAX, at + 5 * NANOSECONDS_PER_SECOND, &bits));
        CHECK(bits == 1 + i, "alarm %llu brings %llx", (unsigned long long)i, (unsigned long long)bits);
    }
    for (uint64_t i = 0; i < count; i++) /* most of these are still set when they are closed */
        WORKS(vmos_notification_alarm(made[i], 1, now_ns() + i % 50 * NANOSECONDS_PER_MICROSECOND));
    close_all();
    must_be(BUDGET_OBJECTS, before);
    end();
    pass("%llu alarms at once, each has rung", (unsigned long long)count);
}

static handle endpoint;
static enum status told;

static void receive_once(void *argument, struct message_buffer *buffer)
{
    uint64_t message;

    (void)argument;
    (void)buffer;
    told = vmos_ipc_reply_receive(0, 0, endpoint, 0, 0, DEADLINE_NEVER, &message);
    __atomic_add_fetch(&ended, 1, __ATOMIC_SEQ_CST);
}

/* Who receives must have room for what may come. A server whose table fills up while it waits is told so, and his
 * caller waits for another. */
static void limit_messages(void)
{
    enum status status;
    uint64_t message;
    handle first;

    begin();
    WORKS(vmos_notification_create(&first));
    WORKS(vmos_endpoint_create(&endpoint));
    uint64_t before = used(BUDGET_HANDLES);
    WORKS(thread_start(receive_once, NULL, STACK, NULL));
    sleep_until(now_ns() + 5 * NANOSECONDS_PER_MILLISECOND);
    while ((status = vmos_handle_duplicate(first, RIGHT_SIGNAL, 0, &made[made_count])) == STATUS_OK)
        made_count++;
    CHECK(status == STATUS_LIMIT, "no slot is left: %s", status_text(status));
    WANT(STATUS_LIMIT, vmos_ipc_reply_receive(0, 0, endpoint, 0, 0, 0, &message));
    WANT(STATUS_TIMED_OUT, vmos_ipc_call(endpoint, MESSAGE(0, 8, 0), now_ns() + NANOSECONDS_PER_MILLISECOND, &message));
    uint64_t until = now_ns() + 5 * NANOSECONDS_PER_SECOND;
    while (__atomic_load_n(&ended, __ATOMIC_SEQ_CST) == 0 && now_ns() < until)
        sleep_until(now_ns() + NANOSECONDS_PER_MILLISECOND);
    CHECK(ended == 1 && told == STATUS_LIMIT, "a server without room is told: %s", status_text(told));
    close_all();
    must_be(BUDGET_HANDLES, before);
    end();
    pass("a server without room for handles is told so");
}

const struct hostile_case hostile_cases[] = {
    {"limit-handles", limit_handles}, {"limit-objects", limit_objects},
    {"limit-memory", limit_memory},   {"limit-mappings", limit_mappings},
    {"limit-threads", limit_threads}, {"limit-cpu", limit_cpu},
    {"limit-alarms", limit_alarms},   {"limit-messages", limit_messages},
    {"neighbour", neighbour},         {NULL, NULL},
};
