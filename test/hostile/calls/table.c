/*
 * table.c: every system call with every kind of wrong argument.
 *
 * For each argument calls.h says what it is. All others being good, each bad value of that kind is given in its place,
 * and the kernel must say exactly what is wrong with it; then every two arguments are bad at once, where it only must
 * say something that it knows. The process must come out of all of it unharmed.
 */
#include "calls.h"

#include <lib/string.h>

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

void table(void)
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
