/* storms: who takes all the time that he may, and who makes as many processes as he can. */
#include "hostile.h"

enum { STACK = 4 << 10 };

/* ---- Endless loops at the highest priority, on every CPU --------------------------------------------------------- */

static volatile uint64_t turns[64];

static void loop(void *argument, struct message_buffer *buffer)
{
    volatile uint64_t *turn = argument;

    (void)buffer;
    for (;;)
        (*turn)++;
}

static void hog(void)
{
    struct process_info info;
    uint64_t size, cpus = report->shared[7];

    WORKS(vmos_object_info(self_process, &info, sizeof info, &size));
    for (uint64_t cpu = 0; cpu < cpus; cpu++) {
        const struct thread_parameters parameters = {
            .budget_ns = info.limits[BUDGET_CPU] / cpus * 100 * NANOSECONDS_PER_MICROSECOND - 1,
            .period_ns = 100 * NANOSECONDS_PER_MILLISECOND,
            .cpus = UINT64_C(1) << cpu,
            .priority = PRIORITIES - 1,
        };
        WORKS(thread_start(loop, (void *)(uintptr_t)&turns[cpu], STACK, &parameters));
        const struct thread_parameters idle = {.cpus = UINT64_C(1) << cpu}; /* and all that nobody wants */
        WORKS(thread_start(loop, (void *)(uintptr_t)&turns[cpu], STACK, &idle));
    }
    sleep_until(now_ns() + NANOSECONDS_PER_SECOND);
    for (uint64_t cpu = 0; cpu < cpus; cpu++)
        CHECK(turns[cpu] != 0, "nothing runs on CPU %llu", (unsigned long long)cpu);
    WORKS(vmos_object_info(self_process, &info, sizeof info, &size));
    pass("%llu ms of CPU time taken on %llu CPUs in 1000 ms",
         (unsigned long long)(info.cpu_ns / NANOSECONDS_PER_MILLISECOND), (unsigned long long)cpus);
}

/* ---- Threads that hand a promise on ------------------------------------------------------------------------------ */

enum { RELAY_PERIOD_MS = 500, RELAY_MS = 2000, LAPS = 4, RELAY_MOST_MS = 30000 };

static struct thread_parameters relay_promise(uint64_t promille)
{
    return (struct thread_parameters){
        .budget_ns = promille * RELAY_PERIOD_MS * NANOSECONDS_PER_MICROSECOND,
        .period_ns = RELAY_PERIOD_MS * NANOSECONDS_PER_MILLISECOND,
        .priority = 20,
    };
}

static volatile uint64_t runners, relay_promille;
static volatile bool relay_over;

/* Runs for half of what it is promised in a period, without a break; then gives that up, to make another that is
 * promised the same, and ends. */
static void run_a_lap(void *argument, struct message_buffer *buffer)
{
    const struct thread_parameters nothing = {0}, as_much = relay_promise(relay_promille);
    uint64_t lap_ns = as_much.budget_ns / 2, before = now_ns(), now, taken = 0;

    (void)argument;
    (void)buffer;
    while (taken < lap_ns && !relay_over) {
        now = now_ns();
        taken += now - before < NANOSECONDS_PER_MILLISECOND ? now - before : 0; /* else it was somebody else's turn */
        before = now;
    }
    runners++;
    if (relay_over)
        return;
    vmos_thread_configure(0, &nothing);
    thread_start(run_a_lap, NULL, STACK, &as_much);
}

/* Together they get no more than one thread would. */
static void relay(void)
{
    struct process_info info;
    uint64_t size = 0, begun = now_ns();

    WORKS(vmos_object_info(self_process, &info, sizeof info, &size));
    relay_promille = info.limits[BUDGET_CPU] - info.used[BUDGET_CPU];
    const struct thread_parameters first = relay_promise(relay_promille);
    WORKS(thread_start(run_a_lap, NULL, STACK, &first));
    for (unsigned ms = RELAY_MS; ms == RELAY_MS || (runners < LAPS && ms < RELAY_MOST_MS); ms += RELAY_PERIOD_MS)
        sleep_until(begun + ms * NANOSECONDS_PER_MILLISECOND);
    relay_over = true;
    WORKS(vmos_object_info(self_process, &info, sizeof info, &size));
    uint64_t elapsed_ms = (now_ns() - begun) / NANOSECONDS_PER_MILLISECOND,
             taken_ms = info.cpu_ns / NANOSECONDS_PER_MILLISECOND,
             most_ms = info.limits[BUDGET_CPU] * (elapsed_ms + RELAY_PERIOD_MS) / 1000;
    CHECK(runners >= LAPS, "only %llu threads have run", (unsigned long long)runners);
    CHECK(taken_ms <= most_ms + most_ms / 10, "%llu ms of CPU time taken in %llu ms, of which %llu ms were promised",
          (unsigned long long)taken_ms, (unsigned long long)elapsed_ms, (unsigned long long)most_ms);
    pass("%llu threads in turn took %llu ms of CPU time in %llu ms, with a period's budget ahead %llu ms were promised",
         (unsigned long long)runners, (unsigned long long)taken_ms, (unsigned long long)elapsed_ms,
         (unsigned long long)most_ms);
}

/* ---- Processes that make processes ------------------------------------------------------------------------------- */

/* As many children as there is budget for, each with most of what is left; they do the same. */
static void multiply(void)
{
    struct process_info info;
    uint64_t size;

    __atomic_add_fetch((uint64_t *)(uintptr_t)&report->shared[0], 1, __ATOMIC_SEQ_CST);
    for (;;) {
        WORKS(vmos_object_info(self_process, &info, sizeof info, &size));
        uint64_t left[BUDGET_COUNT];
        for (unsigned i = 0; i < BUDGET_COUNT; i++)
            left[i] = (info.limits[i] - info.used[i]) / 3 + 1;
        struct peer peer = {.program = "storms",
                            .name = "child",
                            .memory = left[BUDGET_MEMORY],
                            .handle_limit = left[BUDGET_HANDLES],
                            .threads = left[BUDGET_THREADS],
                            .objects = left[BUDGET_OBJECTS]};
        handle process;
        enum status status = spawn_peer(&peer, &process);
        if (status != STATUS_OK) {
            CHECK(status == STATUS_LIMIT, "a child cannot be made: %s", status_text(status));
            break;
        }
    }
    __atomic_add_fetch((uint64_t *)(uintptr_t)&report->shared[1], 1, __ATOMIC_SEQ_CST);
    sleep_until(DEADLINE_NEVER);
}

/* Everybody who has begun has tried all that he can, and for a while nobody has begun. */
static void wait_until_calm(void)
{
    uint64_t seen = 0, since = now_ns(), until = since + 30 * NANOSECONDS_PER_SECOND;

    while (now_ns() < until && (seen < 4 || now_ns() - since < 100 * NANOSECONDS_PER_MILLISECOND)) {
        uint64_t begun = report->shared[0], done = report->shared[1];
        if (begun != done || begun != seen)
            since = now_ns();
        seen = begun;
        sleep_until(now_ns() + 5 * NANOSECONDS_PER_MILLISECOND);
    }
}

static void storm(void)
{
    struct peer peer = {
        .program = "storms", .name = "child", .memory = 4 << 20, .handle_limit = 1000, .threads = 40, .objects = 500};
    struct process_info info;
    handle process;

    for (unsigned i = 0; i < 3; i++) {
        report->shared[0] = report->shared[1] = 0;
        WORKS(spawn_peer(&peer, &process));
        wait_until_calm();
        CHECK(report->verdict != VERDICT_FAIL, "%s", (const char *)(uintptr_t)report->detail);
        CHECK(report->shared[0] > 3, "there were only %llu processes", (unsigned long long)report->shared[0]);
        WORKS(vmos_process_kill(process, 0)); /* and everything below */
        CHECK(wait_for_end(process, &info), "the storm does not end");
        for (unsigned budget = 0; budget < BUDGET_COUNT; budget++)
            CHECK(info.used[budget] == 0, "%llu of budget %u are still used", (unsigned long long)info.used[budget],
                  budget);
        WORKS(vmos_handle_close(process));
    }
    pass("%llu processes from one, and all of them gone, three times", (unsigned long long)report->shared[0]);
}

const struct hostile_case hostile_cases[] = {
    {"hog", hog}, {"relay", relay}, {"spawn-storm", storm}, {"child", multiply}, {NULL, NULL}};
