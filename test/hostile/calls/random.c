/* random.c: every system call with arguments by chance, by two threads of two processes at once. */
#include "calls.h"

enum { RANDOM_CALLS = 25000, POOL = 64, FEW = 8, STACK = 16 << 10 };

/* Two threads do it at once, over the same handles and addresses, so that each pulls away what the other uses. */
static handle pool[POOL];
static struct place {
    uint64_t address, size;
} places[FEW];
static uint64_t random_done, random_made, random_ok;

static uint64_t any_handle(void)
{
    unsigned which = (unsigned)chance_below(20);

    if (which == 0)
        return chance();
    if (which == 1)
        return pool[chance_below(POOL)] + ((chance_below(3) - 1) << HANDLE_INDEX_BITS) + chance_below(3) - 1;
    if (which == 2)
        return 0;
    return __atomic_load_n(&pool[chance_below(POOL)], __ATOMIC_RELAXED);
}

/* Never our own code, data or stack as a place: what is unmapped there would be our end. */
static uint64_t any_address(void)
{
    switch (chance_below(8)) {
    case 0:
        return chance();
    case 1:
        return UINT64_C(0xffffffff80000000) + chance_below(1 << 20);
    case 2:
        return nowhere - chance_below(256);
    case 3:
        return read_only + chance_below(PAGE);
    case 4:
        return 0;
    case 5:
        return (uintptr_t)area;
    default:
        return places[chance_below(FEW)].address + (chance_below(4) == 0 ? chance_below(PAGE) : 0);
    }
}

static uint64_t any_size(void)
{
    const uint64_t sizes[] = {0, 1, 8, 64, PAGE, PAGE, 2 * PAGE, 3 * PAGE, 64 << 10, 2 << 20, UINT64_MAX, chance()};

    return sizes[chance_below(sizeof sizes / sizeof sizes[0])];
}

static uint64_t any_value(const struct argument *argument)
{
    if (chance_below(16) == 0)
        return chance() >> chance_below(64);
    switch ((enum kind)argument->kind) {
    case HANDLE:
    case OPTIONAL:
        return any_handle();
    case INPUT:
    case OUTPUT:
    case PLACE:
        return any_address();
    case SIZE:
        return chance_below(3) == 0 ? any_size() : chance_below(256);
    case BYTES:
        return any_size();
    case RIGHTS:
        return chance_below(RIGHT_ALL + 2);
    case MESSAGE_WORD:
        return MESSAGE(chance(), chance_below(70), chance_below(6));
    default:
        return chance_below(4);
    }
}

/* A wait that nobody ends would be the end of the test: it ends soon, or has ended before it began. */
static uint64_t any_deadline(void)
{
    return chance_below(2) == 0 ? chance_below(3) : now_ns() + chance_below(100 * NANOSECONDS_PER_MICROSECOND);
}

/* Structs of parameters are good ones, or lie where there is nothing: a thread that begins anywhere would crash us, as
 * it should, and one that waits for its next period for seconds would only make us wait. */
static uint64_t any_parameters(uint64_t number)
{
    const uint64_t bad[] = {
        0, nowhere, nowhere - 8, read_only, UINT64_C(0xffffffff80001000), chance() | UINT64_C(1) << 63};

    if (chance_below(3) == 0)
        return bad[chance_below(sizeof bad / sizeof bad[0])];
    return number == SYSTEM_process_create ? (uintptr_t)&process_parameters : (uintptr_t)&thread_parameters;
}

static void any_arguments(uint64_t number, uint64_t *a)
{
    static const struct argument none = {NUMBER, 0, 0};

    for (unsigned i = 0; i < 6; i++)
        a[i] = any_value(number < SYSTEM_CALL_COUNT ? &descriptions[number].arguments[i] : &none);
    if (number == SYSTEM_ipc_call || number == SYSTEM_notification_wait || number == SYSTEM_notification_alarm)
        a[2] = any_deadline();
    if (number == SYSTEM_ipc_reply_receive) {
        a[0] = chance_below(2) == 0 ? 0 : any_handle();
        a[5] = any_deadline();
    }
    if (number == SYSTEM_process_create)
        a[0] = any_parameters(number);
    if (number == SYSTEM_thread_create || number == SYSTEM_thread_configure)
        a[1] = any_parameters(number);
}

/* Into the pool, and out of it what was there. */
static void keep_handle(handle new)
{
    handle old = __atomic_exchange_n(&pool[chance_below(POOL)], new, __ATOMIC_RELAXED);

    if (old != new &&chance_below(4) != 0)
        vmos_handle_close(old);
}

static void keep_place(uint64_t address, uint64_t size)
{
    struct place *place = &places[chance_below(FEW)], old = *place;

    *place = (struct place){address, size};
    vmos_memory_unmap(0, old.address, old.size);
}

static void take_in(uint64_t number, const uint64_t *a, struct system_result result,
                    const struct message_buffer *buffer)
{
    switch (number) {
    case SYSTEM_handle_duplicate:
    case SYSTEM_endpoint_create:
    case SYSTEM_notification_create:
    case SYSTEM_memory_create:
    case SYSTEM_process_create:
    case SYSTEM_thread_create:
        keep_handle(result.value);
        break;
    case SYSTEM_process_give:
        if (a[0] == 0)
            keep_handle(result.value);
        break;
    case SYSTEM_memory_map:
        if (a[0] == 0)
            keep_place(result.value, a[4]);
        break;
    case SYSTEM_ipc_call:
    case SYSTEM_ipc_reply_receive:
        for (unsigned i = 0; i < MESSAGE_HANDLE_COUNT(result.value); i++)
            keep_handle(buffer->handles[i]);
        if (number == SYSTEM_ipc_reply_receive && (result.value & MESSAGE_NOTIFIED) == 0)
            keep_handle(buffer->reply);
        break;
    default:
        break;
    }
}

/* The process itself is in none of the handles with a right to end it, and a crash of a child is none of ours. */
static bool call_by_chance(struct message_buffer *buffer)
{
    uint64_t number = chance_below(64) == 0 ? chance() : chance_below(SYSTEM_CALL_COUNT), a[6];

    any_arguments(number, a);
    if (number == SYSTEM_thread_exit || (number == SYSTEM_process_kill && a[0] == 0))
        return false;
    if (number == SYSTEM_memory_unmap && a[0] == 0) {
        const struct place *place = &places[chance_below(FEW)];
        a[1] = chance_below(2) == 0 ? place->address : chance() & ~(uint64_t)0 << 63;
        a[2] = place->size;
    }
    for (unsigned i = 0; i < MESSAGE_HANDLES; i++)
        buffer->handles[i] = any_handle();
    struct system_result result = system_call(number, a[0], a[1], a[2], a[3], a[4], a[5]);
    __atomic_add_fetch(&random_made, 1, __ATOMIC_RELAXED);
    CHECK(result.status < STATUS_COUNT && result.status != STATUS_NO_MEMORY,
          "call %llu (%llx, %llx, %llx, %llx, %llx, %llx) gives status %llu", (unsigned long long)number,
          (unsigned long long)a[0], (unsigned long long)a[1], (unsigned long long)a[2], (unsigned long long)a[3],
          (unsigned long long)a[4], (unsigned long long)a[5], (unsigned long long)result.status);
    CHECK(result.status == STATUS_OK || result.value == 0, "call %llu fails and gives a value",
          (unsigned long long)number);
    if (result.status == STATUS_OK) {
        __atomic_add_fetch(&random_ok, 1, __ATOMIC_RELAXED);
        take_in(number, a, result, buffer);
    }
    return true;
}

static void call_on(void *argument, struct message_buffer *buffer)
{
    (void)argument;
    for (uint64_t i = 0; i < RANDOM_CALLS * scale / 100;)
        i += call_by_chance(buffer);
    __atomic_add_fetch(&random_done, 1, __ATOMIC_SEQ_CST);
}

/* The handle may have been closed by chance; then we cannot know. */
static bool random_ended(handle process)
{
    struct process_info info;
    uint64_t size, until = now_ns() + 100 * NANOSECONDS_PER_SECOND;
    enum status status;

    do {
        sleep_until(now_ns() + 5 * NANOSECONDS_PER_MILLISECOND);
        status = vmos_object_info(process, &info, sizeof info, &size);
    } while (status == STATUS_OK && info.state < PROCESS_ENDED && now_ns() < until);
    return report->verdict != VERDICT_FAIL && (status != STATUS_OK || (info.end == END_EXIT && info.end_code == 0));
}

/* Two threads of this process. */
static void call_at_random(void)
{
    handle weak;

    prepare();
    /* Nothing that we hold must be able to end us. */
    WORKS(vmos_handle_duplicate(self_process, RIGHT_WAIT | RIGHT_INSPECT | RIGHT_DUPLICATE | RIGHT_TRANSFER, 0, &weak));
    WORKS(vmos_handle_close(self_process));
    vmos_handle_close(start_handle("console"));
    pool[0] = weak;
    pool[1] = objects[OBJECT_PROCESS];
    pool[2] = objects[OBJECT_THREAD];
    pool[3] = objects[OBJECT_MEMORY];
    WORKS(thread_start(call_on, NULL, STACK, NULL));
    call_on(NULL, first_buffer);
    while (__atomic_load_n(&random_done, __ATOMIC_SEQ_CST) < 2)
        sleep_until(now_ns() + NANOSECONDS_PER_MILLISECOND);
}

void random_peer(void)
{
    pool[4] = start_handle("endpoint");
    pool[5] = start_handle("notification");
    pool[6] = start_handle("memory");
    call_at_random();
}

/* And two of another, with which we share an object of each kind. */
void by_chance(void)
{
    struct peer peer = {.program = "calls", .name = "random-peer", .handle_count = 3, .priority = 1};
    handle process, watched;

    WORKS(vmos_endpoint_create(&pool[4]));
    WORKS(vmos_notification_create(&pool[5]));
    WORKS(vmos_memory_create(2 * PAGE, &pool[6]));
    peer.handles[0] = (struct spawn_handle){"endpoint", pool[4], 0};
    peer.handles[1] = (struct spawn_handle){"notification", pool[5], 0};
    peer.handles[2] = (struct spawn_handle){"memory", pool[6], 0};
    WORKS(spawn_peer(&peer, &process));
    WORKS(vmos_handle_duplicate(process, RIGHT_WAIT | RIGHT_INSPECT, 0, &watched));
    WORKS(vmos_handle_close(process));
    call_at_random();
    CHECK(random_ended(watched), "the other process: %s", (const char *)(uintptr_t)report->detail);
    pass("%llu calls here, of which %llu did something, and as many there", (unsigned long long)random_made,
         (unsigned long long)random_ok);
}
