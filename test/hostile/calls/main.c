/*
 * calls: every system call with every kind of wrong argument, and with arguments by chance.
 *
 * For each argument the table below says what it is. All others being good, each bad value of that kind is given in its
 * place, and the kernel must say exactly what is wrong with it; then every two arguments are bad at once, where it only
 * must say something that it knows. The process must come out of all of it unharmed.
 */
#include "hostile.h"

#include <lib/string.h>

enum kind {
    NOTHING,
    HANDLE,   /* of a type, with a right, see struct argument */
    OPTIONAL, /* the same, or 0 */
    INPUT,    /* a struct to be read; the next argument is its size */
    OUTPUT,
    SIZE,   /* of what the argument before points to */
    NUMBER, /* anything goes */
    RIGHTS,
    DEADLINE,
    MESSAGE_WORD,
    PLACE, /* an address to be mapped at */
    BYTES, /* a length in whole pages */
};

struct argument {
    uint8_t kind, type;
    uint16_t right;
};

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

static const struct description {
    struct argument arguments[6];
} descriptions[SYSTEM_CALL_COUNT] = {
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

static handle objects[OBJECT_TYPE_COUNT]; /* one of each type, with all its rights */
static handle closed, revoked, kept_one;
static char *area; /* a page that can be written, before one that is not there */
static uint64_t nowhere, read_only;
static handle read_only_memory, area_memory;

static struct process_parameters process_parameters = {
    .name = "nobody", .limits = {64 << 10, 8, 1, 8}, .highest_priority = 1};
/* A thread that ends at once, and needs no stack for it. */
static struct thread_parameters thread_parameters = {.priority = 1};

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

static void renew(void)
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

static void prepare(void)
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

/* ---- What is bad, and what must be said -------------------------------------------------------------------------- */

struct bad {
    uint64_t value;
    int wanted; /* enum status; ANY: whatever it knows */
    handle opened;
};

enum { ANY = -1, BAD_MOST = 32 };

static uint32_t all_rights(enum object_type type)
{
    enum object_type found;
    uint32_t rights = 0;

    vmos_handle_info(objects[type], &found, &rights);
    return rights;
}

static unsigned bad_handles(const struct argument *argument, struct bad *bad)
{
    enum object_type type = argument->type != OBJECT_NONE ? argument->type : OBJECT_NOTIFICATION;
    handle good = objects[type], other = objects[type == OBJECT_ENDPOINT ? OBJECT_NOTIFICATION : OBJECT_ENDPOINT], less;
    unsigned count = 0;
    const uint64_t forged[] = {1,
                               UINT64_MAX,
                               good + (1 << HANDLE_INDEX_BITS),
                               good - (1 << HANDLE_INDEX_BITS),
                               good ^ UINT64_C(1) << 63,
                               good | 0xffff,
                               (uintptr_t)area,
                               UINT64_C(0xffffffff80000000)};

    if (argument->kind == HANDLE)
        bad[count++] = (struct bad){0, STATUS_BAD_HANDLE, 0};
    for (unsigned i = 0; i < sizeof forged / sizeof forged[0]; i++)
        bad[count++] = (struct bad){forged[i], STATUS_BAD_HANDLE, 0};
    bad[count++] = (struct bad){closed, STATUS_BAD_HANDLE, 0};
    bad[count++] = (struct bad){revoked, STATUS_REVOKED, 0};
    if (argument->type != OBJECT_NONE)
        bad[count++] = (struct bad){other, STATUS_WRONG_TYPE, 0};
    uint32_t rest = all_rights(type) & ~(uint32_t)argument->right;
    if (argument->right != 0 && (rest & RIGHT_INSPECT) != 0 && type != OBJECT_CONSOLE &&
        vmos_handle_duplicate(good, rest, 0, &less) == STATUS_OK)
        bad[count++] = (struct bad){less, STATUS_DENIED, less};
    return count;
}

static unsigned bad_pointers(const struct argument *argument, struct bad *bad)
{
    const uint64_t addresses[] = {0,
                                  1,
                                  PAGE,
                                  0xffff,
                                  nowhere,
                                  nowhere - 1,
                                  UINT64_C(0xffffffff80000000),
                                  UINT64_C(0xffff800000000000),
                                  UINT64_C(0x7ffffffff000),
                                  UINT64_C(0x7fffffffffff),
                                  UINT64_C(0x800000000000),
                                  UINT64_C(0x3ffffffff8),
                                  UINT64_C(0x4000000000),
                                  UINT64_C(0xfffffffffff8),
                                  UINT64_C(0x1000000000000),
                                  UINT64_C(0x8000000000000000),
                                  UINT64_MAX,
                                  UINT64_MAX - 63};
    unsigned count = 0;

    for (unsigned i = 0; i < sizeof addresses / sizeof addresses[0]; i++)
        bad[count++] = (struct bad){addresses[i], STATUS_BAD_ADDRESS, 0};
    if (argument->kind == OUTPUT) {
        bad[count++] = (struct bad){read_only, STATUS_BAD_ADDRESS, 0};
        bad[count++] = (struct bad){(uintptr_t)descriptions, STATUS_BAD_ADDRESS, 0};
        bad[count++] = (struct bad){(uintptr_t)prepare, STATUS_BAD_ADDRESS, 0};
    }
    return count;
}

static unsigned bad_numbers(const uint64_t *values, unsigned count, struct bad *bad)
{
    for (unsigned i = 0; i < count; i++)
        bad[i] = (struct bad){values[i], ANY, 0};
    return count;
}

static unsigned bad_values(const struct argument *argument, struct bad *bad)
{
    const uint64_t
        numbers[] = {0, 1, UINT64_MAX, UINT64_C(1) << 63, UINT32_MAX, UINT64_C(1) << 32, (uintptr_t)area},
        sizes[] = {0, 1, 7, 8, 4095, 4096, 4097, UINT32_MAX, UINT64_MAX, UINT64_MAX - 4095, UINT64_C(1) << 63, 5 << 20},
        rights[] = {0,
                    UINT64_MAX,
                    RIGHT_ALL,
                    RIGHT_ALL + 1,
                    RIGHT_READ | RIGHT_WRITE | RIGHT_EXECUTE,
                    RIGHT_WRITE,
                    UINT64_C(1) << 32 | RIGHT_READ,
                    RIGHT_EXECUTE},
        /* The last ones come soon. */
        deadlines[] = {0, 1, now_ns() - 1, now_ns() + 50 * NANOSECONDS_PER_MICROSECOND},
        messages[] = {UINT64_MAX,       MESSAGE(0, 65, 0), MESSAGE(0, 127, 0), MESSAGE(0, 0, 5),
                      MESSAGE(0, 0, 7), MESSAGE(0, 64, 4), MESSAGE_NOTIFIED,   0x80,
                      1 << 11,          UINT64_C(1) << 31},
        places[] = {1,
                    PAGE,
                    0xf000,
                    nowhere,
                    (uintptr_t)area,
                    UINT64_C(0xffffffff80000000),
                    UINT64_C(0x7ffffffff000),
                    UINT64_C(0x4000000000) - PAGE,
                    UINT64_C(0x1000000000000) - PAGE,
                    UINT64_MAX - 4095,
                    UINT64_C(1) << 63,
                    nowhere + 1};

#define BAD(values) bad_numbers(values, sizeof(values) / sizeof((values)[0]), bad)
    switch ((enum kind)argument->kind) {
    case HANDLE:
    case OPTIONAL:
        return bad_handles(argument, bad);
    case INPUT:
    case OUTPUT:
        return bad_pointers(argument, bad);
    case SIZE:
    case BYTES:
        return BAD(sizes);
    case NUMBER:
        return BAD(numbers);
    case RIGHTS:
        return BAD(rights);
    case DEADLINE:
        return BAD(deadlines);
    case MESSAGE_WORD:
        return BAD(messages);
    case PLACE:
        return BAD(places);
    case NOTHING:
        break;
    }
    return 0;
}

static uint64_t good_value(unsigned number, unsigned index)
{
    const struct argument *argument = &descriptions[number].arguments[index];

    switch ((enum kind)argument->kind) {
    case HANDLE:
        return objects[argument->type != OBJECT_NONE ? argument->type : OBJECT_NOTIFICATION];
    case OPTIONAL:
        return argument->type == OBJECT_ENDPOINT || argument->type == OBJECT_NOTIFICATION ? objects[argument->type] : 0;
    case INPUT:
    case OUTPUT:
        return (uintptr_t)area;
    case SIZE:
        return number == SYSTEM_process_create  ? sizeof process_parameters
               : number == SYSTEM_object_info   ? sizeof(struct process_info)
               : number == SYSTEM_console_write ? 1
                                                : sizeof thread_parameters;
    case RIGHTS:
        return number == SYSTEM_handle_duplicate ? RIGHT_SIGNAL : number == SYSTEM_memory_map ? RIGHT_READ : 0;
    case BYTES:
        return number == SYSTEM_memory_map && index == 3 ? 0 : PAGE;
    case NUMBER:
        return number == SYSTEM_handle_duplicate ? 0 : 1;
    default:
        return 0;
    }
}

/* ---- One call ---------------------------------------------------------------------------------------------------- */

static uint64_t calls_made;

/* What the call would give that must not pile up. */
static void give_back(uint64_t number, const uint64_t *a, uint64_t value)
{
    switch (number) {
    case SYSTEM_handle_duplicate:
    case SYSTEM_endpoint_create:
    case SYSTEM_notification_create:
    case SYSTEM_memory_create:
    case SYSTEM_process_create:
    case SYSTEM_thread_create:
        vmos_handle_close(value);
        break;
    case SYSTEM_process_give:
        if (a[0] == 0)
            vmos_handle_close(value);
        break;
    case SYSTEM_memory_map:
        vmos_memory_unmap(a[0], value, a[4]);
        break;
    case SYSTEM_memory_unmap:
        if (a[0] == 0 && a[1] == (uintptr_t)area)
            WORKS(vmos_memory_map(0, area_memory, (uintptr_t)area, 0, PAGE, RIGHT_READ | RIGHT_WRITE, &value));
        break;
    default:
        break;
    }
}

static struct system_result make(uint64_t number, const uint64_t *a)
{
    const void *parameters = number == SYSTEM_process_create  ? (const void *)&process_parameters
                             : number == SYSTEM_console_write ? (const void *)"\n"
                                                              : (const void *)&thread_parameters;
    size_t size = number == SYSTEM_process_create  ? sizeof process_parameters
                  : number == SYSTEM_console_write ? 1
                                                   : sizeof thread_parameters;

    memcpy(area, parameters, size);
    calls_made++;
    struct system_result result = system_call(number, a[0], a[1], a[2], a[3], a[4], a[5]);
    CHECK(result.status < STATUS_COUNT && result.status != STATUS_NO_MEMORY, "call %llu gives status %llu",
          (unsigned long long)number, (unsigned long long)result.status);
    CHECK(result.status == STATUS_OK || result.value == 0, "call %llu fails and gives a value",
          (unsigned long long)number);
    if (result.status == STATUS_OK)
        give_back(number, a, result.value);
    return result;
}

static void good_arguments(unsigned number, uint64_t *a)
{
    for (unsigned i = 0; i < 6; i++)
        a[i] = good_value(number, i);
}

/* What would end us, or our only way to say so. */
static bool excluded(unsigned number, const uint64_t *a)
{
    return number == SYSTEM_thread_exit || (number == SYSTEM_process_kill && a[0] == 0) ||
           (number == SYSTEM_thread_configure && a[0] == 0) || (number == SYSTEM_console_write && a[2] != 1);
}

static void one_bad(unsigned number, unsigned index)
{
    struct bad bad[BAD_MOST];
    uint64_t a[6];

    renew();
    unsigned count = bad_values(&descriptions[number].arguments[index], bad);
    for (unsigned i = 0; i < count; i++) {
        renew();
        good_arguments(number, a);
        a[index] = bad[i].value;
        if (excluded(number, a))
            continue;
        if (number == SYSTEM_handle_close && bad[i].wanted == STATUS_REVOKED)
            bad[i].wanted = STATUS_OK; /* it can be closed like any other */
        if (number == SYSTEM_console_write && bad[i].value == nowhere - 1)
            bad[i].wanted = STATUS_OK; /* one byte is there */
        struct system_result result = make(number, a);
        CHECK(bad[i].wanted == ANY || result.status == (uint64_t)bad[i].wanted,
              "call %u with %llx as argument %u gives \"%s\", not \"%s\"", number, (unsigned long long)bad[i].value,
              index, status_text((enum status)result.status), status_text((enum status)bad[i].wanted));
    }
    for (unsigned i = 0; i < count; i++)
        if (bad[i].opened != 0)
            vmos_handle_close(bad[i].opened);
}

static void two_bad(unsigned number, unsigned first, unsigned second)
{
    struct bad bad[2][BAD_MOST];
    uint64_t a[6];

    renew();
    unsigned counts[2] = {bad_values(&descriptions[number].arguments[first], bad[0]),
                          bad_values(&descriptions[number].arguments[second], bad[1])};
    for (unsigned i = 0; i < counts[0]; i++)
        for (unsigned j = 0; j < counts[1]; j++) {
            renew();
            good_arguments(number, a);
            a[first] = bad[0][i].value;
            a[second] = bad[1][j].value;
            if (!excluded(number, a))
                make(number, a);
        }
    for (unsigned i = 0; i < 2; i++)
        for (unsigned j = 0; j < counts[i]; j++)
            if (bad[i][j].opened != 0)
                vmos_handle_close(bad[i][j].opened);
}

/* The good arguments must be good, or what is found wrong with bad ones means little. */
static void all_good(unsigned number)
{
    uint64_t a[6];

    renew();
    good_arguments(number, a);
    if (excluded(number, a))
        return;
    enum status status = (enum status)make(number, a).status;
    bool waits = number == SYSTEM_ipc_call || number == SYSTEM_notification_wait || number == SYSTEM_ipc_reply_receive;
    bool told = status == STATUS_OK || (waits && status == STATUS_TIMED_OUT) ||
                (number == SYSTEM_memory_unmap && status == STATUS_NOT_FOUND) ||
                (number == SYSTEM_thread_configure && status == STATUS_PEER_GONE);
    CHECK(told, "call %u with good arguments gives \"%s\"", number, status_text(status));
}

static void table(void)
{
    prepare();
    for (unsigned number = 0; number < SYSTEM_CALL_COUNT; number++) {
        all_good(number);
        for (unsigned i = 0; i < 6; i++)
            one_bad(number, i);
        for (unsigned i = 0; i < 6 && number != SYSTEM_console_write; i++)
            for (unsigned j = i + 1; j < 6; j++)
                two_bad(number, i, j);
    }
    const uint64_t none[6] = {0}, numbers[] = {SYSTEM_CALL_COUNT, 1000, UINT32_MAX, UINT64_C(1) << 32, UINT64_MAX};
    for (unsigned i = 0; i < 5; i++)
        CHECK(make(numbers[i], none).status == STATUS_UNSUPPORTED, "there is a call %llx",
              (unsigned long long)numbers[i]);
    pass("%llu calls", (unsigned long long)calls_made);
}

/* ---- Another thread by its handle -------------------------------------------------------------------------------- */

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

/* ---- By chance --------------------------------------------------------------------------------------------------- */

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

static void random_peer(void)
{
    pool[4] = start_handle("endpoint");
    pool[5] = start_handle("notification");
    pool[6] = start_handle("memory");
    call_at_random();
}

/* And two of another, with which we share an object of each kind. */
static void by_chance(void)
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

const struct hostile_case hostile_cases[] = {{"call-table", table},
                                             {"thread-handles", thread_handles},
                                             {"call-random", by_chance},
                                             {"random-peer", random_peer},
                                             {NULL, NULL}};
