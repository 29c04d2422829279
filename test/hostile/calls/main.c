/*
 * calls: every system call with every kind of wrong argument (table.c), and with arguments by chance (random.c); and
 * threads that are asked about and changed by their handles.
 */
#include "calls.h"

static void wait_long(void)
{
    for (;;)
        system_notification_wait(0, 0, DEADLINE_NEVER);
}

static struct thread_info info_of(handle thread)
{
    struct thread_info info;
    uint64_t size;

    WORKS(vmos_object_info(thread, &info, sizeof info, &size));
    CHECK(size == sizeof info, "what is told of a thread has %llu bytes", (unsigned long long)size);
    return info;
}

/* What is told of a thread is that thread's, and what is changed is its and nobody else's. */
static void thread_handles(void)
{
    struct thread_parameters parameters = {.entry = (uintptr_t)wait_long,
                                           .budget_ns = 300 * NANOSECONDS_PER_MICROSECOND,
                                           .period_ns = 10 * NANOSECONDS_PER_MILLISECOND,
                                           .cpus = 1,
                                           .priority = 3};
    struct process_info process;
    handle threads[4], memory;
    uint64_t size;

    for (unsigned i = 0; i < 4; i++) {
        parameters.stack = (uintptr_t)map_new(PAGE, &memory) + PAGE;
        WORKS(vmos_thread_create(0, &parameters, &threads[i]));
    }
    WORKS(vmos_object_info(self_process, &process, sizeof process, &size));
    for (unsigned i = 0; i < 4; i++) {
        struct thread_info info = info_of(threads[i]);
        CHECK(info.process_id == process.id && info.budget_ns == parameters.budget_ns &&
                  info.period_ns == parameters.period_ns && info.priority == 3 && info.cpus == 1,
              "thread %u: process %llu, budget %llu, priority %u", i, (unsigned long long)info.process_id,
              (unsigned long long)info.budget_ns, info.priority);
        CHECK(i == 0 || info.id > info_of(threads[i - 1]).id, "two threads have one number");
    }
    parameters.priority = 5;
    parameters.budget_ns = 200 * NANOSECONDS_PER_MICROSECOND;
    WORKS(vmos_thread_configure(threads[2], &parameters));
    for (unsigned i = 0; i < 4; i++) {
        struct thread_info info = info_of(threads[i]);
        CHECK(info.priority == (i == 2 ? 5 : 3) && info.budget_ns == (i == 2 ? 200u : 300u) * 1000,
              "thread %u has priority %u and a budget of %llu after the third was changed", i, info.priority,
              (unsigned long long)info.budget_ns);
    }
    CHECK(used(BUDGET_CPU) == 3 * 30 + 20, "%llu thousandths are promised", (unsigned long long)used(BUDGET_CPU));
    pass("four threads are told apart, and one is changed");
}

const struct hostile_case hostile_cases[] = {{"call-table", table},
                                             {"thread-handles", thread_handles},
                                             {"call-random", by_chance},
                                             {"random-peer", random_peer},
                                             {NULL, NULL}};
