/* hostile.c: from main() to the case, and back to the runner. Contract in hostile.h. */
#include "hostile.h"

#include <lib/cpio.h>
#include <lib/string.h>
#include <lib/text.h>

#define PATIENCE_NS (10 * NANOSECONDS_PER_SECOND)

volatile struct report *report;
handle self_process;
uint64_t seed, scale;
const char *case_name;

static uint64_t generator;

/* ---- Chance: splitmix64 ------------------------------------------------------------------------------------------ */

uint64_t chance(void)
{
    uint64_t word = __atomic_add_fetch(&generator, UINT64_C(0x9e3779b97f4a7c15), __ATOMIC_RELAXED);

    word = (word ^ word >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    word = (word ^ word >> 27) * UINT64_C(0x94d049bb133111eb);
    return word ^ word >> 31;
}

uint64_t chance_below(uint64_t bound)
{
    return chance() % bound;
}

/* ---- Verdicts ---------------------------------------------------------------------------------------------------- */

static void say(enum verdict verdict, const char *format, va_list arguments)
{
    char text[sizeof report->detail];

    vsnprintf(text, sizeof text, format, arguments);
    memcpy((void *)(uintptr_t)report->detail, text, sizeof text);
    report->verdict = verdict;
}

void pass(const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    say(VERDICT_PASS, format, arguments);
    va_end(arguments);
}

void fail(const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    say(VERDICT_FAIL, format, arguments);
    va_end(arguments);
    exit(1);
}

void must_crash(uint64_t address)
{
    report->code = address;
    report->code_known = 1;
    must_crash_anywhere();
}

void must_crash_anywhere(void)
{
    report->end = END_CRASHED;
    pass("crashed as it had to");
}

/* ---- Means ------------------------------------------------------------------------------------------------------- */

void *map_new(uint64_t size, handle *memory)
{
    uint64_t address;

    WORKS(vmos_memory_create(size, memory));
    WORKS(vmos_memory_map(0, *memory, 0, 0, size, RIGHT_READ | RIGHT_WRITE, &address));
    return (void *)(uintptr_t)address;
}

/* The kernel keeps a free page on either side of what it places. */
uint64_t unmapped_address(void)
{
    handle memory;
    char *page = map_new(PAGE, &memory);

    WORKS(vmos_memory_unmap(0, (uintptr_t)page, PAGE));
    WORKS(vmos_handle_close(memory));
    return (uintptr_t)page;
}

uint64_t used(enum budget budget)
{
    struct process_info info;
    uint64_t size;

    WORKS(vmos_object_info(self_process, &info, sizeof info, &size));
    return info.used[budget];
}

/* ---- Other processes --------------------------------------------------------------------------------------------- */

static enum status ramdisk_file(const char *name, const void **file, size_t *file_size)
{
    static const void *archive;
    static struct memory_info info;
    char path[64];
    uint64_t address, length;

    if (archive == NULL) {
        handle memory = start_handle("ramdisk");
        WORKS(vmos_object_info(memory, &info, sizeof info, &length));
        enum status status = vmos_memory_map(0, memory, 0, 0, info.size, RIGHT_READ, &address);
        if (status != STATUS_OK)
            return status;
        archive = (const void *)(uintptr_t)address;
    }
    snprintf(path, sizeof path, "bin/%s", name);
    return cpio_find(archive, info.size, path, file, file_size);
}

static size_t words(char *to, size_t capacity, const struct peer *peer)
{
    int length = snprintf(to, capacity, "%s %s %llu %llu", peer->program, peer->name, (unsigned long long)seed,
                          (unsigned long long)scale);

    for (char *at = to; *at != '\0'; at++)
        if (*at == ' ')
            *at = '\0';
    return (size_t)length + 1;
}

static uint64_t or_usual(uint64_t wish, uint64_t usual)
{
    return wish != 0 ? wish : usual;
}

enum status spawn_peer(const struct peer *peer, handle *process)
{
    char arguments[128];
    struct spawn spawn = {
        .process = {.limits = {or_usual(peer->memory, 1 << 20), or_usual(peer->handle_limit, PEER_HANDLES),
                               or_usual(peer->threads, 8), or_usual(peer->objects, 64), peer->promille},
                    .highest_priority = peer->priority,
                    .cpus = peer->cpus},
        .handles = {{"self", 0, 0},
                    {"clock", start_handle("clock"), 0},
                    {"report", peer->report != 0 ? peer->report : start_handle("report"), 0},
                    {"ramdisk", start_handle("ramdisk"), 0}},
        .handle_count = 4 + peer->handle_count,
        .arguments = arguments,
    };

    enum status status = ramdisk_file(peer->program, &spawn.file, &spawn.size);
    if (status != STATUS_OK)
        return status;
    for (unsigned i = 0; i < peer->handle_count; i++)
        spawn.handles[4 + i] = peer->handles[i];
    text_copy(spawn.process.name, peer->name, sizeof spawn.process.name);
    spawn.arguments_size = words(arguments, sizeof arguments, peer);
    spawn.thread.priority = peer->priority;
    if (peer->promille != 0) {
        spawn.thread.period_ns = 10 * NANOSECONDS_PER_MILLISECOND;
        spawn.thread.budget_ns = peer->promille * 10 * NANOSECONDS_PER_MICROSECOND;
    }
    return spawn_process(&spawn, process);
}

bool wait_for_end(handle process, struct process_info *info)
{
    handle notification;
    uint64_t bits, size, until = now_ns() + PATIENCE_NS;

    WORKS(vmos_notification_create(&notification));
    WORKS(vmos_process_watch(process, notification, 1));
    enum status status = vmos_notification_wait(notification, 1, until, &bits);
    WORKS(vmos_handle_close(notification));
    if (info != NULL)
        WORKS(vmos_object_info(process, info, sizeof *info, &size));
    return status == STATUS_OK;
}

/* ---- The program ------------------------------------------------------------------------------------------------- */

static uint64_t number(const char *text)
{
    uint64_t value;

    return text_to_number(text, NULL, &value) ? value : 0;
}

int main(int argc, char **argv)
{
    uint64_t address;

    if (argc < 4 ||
        vmos_memory_map(0, start_handle("report"), 0, 0, PAGE, RIGHT_READ | RIGHT_WRITE, &address) != STATUS_OK)
        return 2;
    report = (volatile struct report *)(uintptr_t)address;
    self_process = start_handle("self");
    case_name = argv[1];
    seed = generator = number(argv[2]);
    scale = number(argv[3]);
    for (const struct hostile_case *at = hostile_cases; at->name != NULL; at++)
        if (strcmp(at->name, argv[1]) == 0) {
            at->run();
            return 0;
        }
    fail("%s has no case \"%s\"", argv[0], argv[1]);
}
