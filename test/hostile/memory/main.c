/* memory: what may be written must not be run; what is taken away is away, for whoever uses it at that moment too. */
#include "hostile.h"

#include <lib/string.h>

enum { STACK = 8 << 10, ROUNDS = 3000 };

#define SOON_NS (5 * NANOSECONDS_PER_SECOND)

/* ---- Never writable and executable ------------------------------------------------------------------------------- */

static void write_xor_execute(void)
{
    enum { WRITE = RIGHT_READ | RIGHT_WRITE, RUN = RIGHT_READ | RIGHT_EXECUTE };
    handle memory, other, child;
    uint64_t writable, executable, address;
    struct process_parameters parameters = {.name = "child", .limits = {64 << 10, 8, 1, 8}};

    WORKS(vmos_memory_create(2 * PAGE, &memory));
    WORKS(vmos_handle_duplicate(memory, RIGHT_READ | RIGHT_EXECUTE, 0, &other));
    WORKS(vmos_process_create(&parameters, &child));
    WANT(STATUS_INVALID, vmos_memory_map(0, memory, 0, 0, PAGE, WRITE | RUN, &address));
    WORKS(vmos_memory_map(0, memory, 0, 0, PAGE, WRITE, &writable));
    WANT(STATUS_BUSY, vmos_memory_map(0, memory, 0, 0, PAGE, RUN, &address));
    WANT(STATUS_BUSY, vmos_memory_map(0, memory, 0, PAGE, PAGE, RUN, &address)); /* another page of it, too */
    WANT(STATUS_BUSY, vmos_memory_map(0, other, 0, 0, PAGE, RUN, &address));
    WANT(STATUS_BUSY, vmos_memory_map(child, memory, 0, 0, PAGE, RUN, &address));
    WORKS(vmos_memory_unmap(0, writable, PAGE));
    WORKS(vmos_memory_map(0, memory, 0, 0, PAGE, RUN, &executable));
    WANT(STATUS_BUSY, vmos_memory_map(0, memory, 0, 0, PAGE, WRITE, &address));
    WANT(STATUS_BUSY, vmos_memory_map(child, memory, 0, 0, PAGE, WRITE, &address));
    WANT(STATUS_DENIED, vmos_memory_map(0, other, 0, 0, PAGE, WRITE, &address));
    WORKS(vmos_memory_unmap(0, executable, PAGE));
    WORKS(vmos_memory_map(child, memory, 0, 0, PAGE, WRITE, &writable));
    WANT(STATUS_BUSY, vmos_memory_map(0, memory, 0, 0, PAGE, RUN, &address));
    WORKS(vmos_process_kill(child, 0)); /* and its mappings with it */
    CHECK(wait_for_end(child, NULL), "the child does not end");
    WORKS(vmos_memory_map(0, memory, 0, 0, PAGE, RUN, &executable));
    WANT(STATUS_READ_ONLY, vmos_memory_map(0, start_handle("ramdisk"), 0, 0, PAGE, RIGHT_READ, &address) == STATUS_OK
                               ? STATUS_READ_ONLY
                               : STATUS_OK);
    WANT(STATUS_DENIED, vmos_memory_map(0, start_handle("ramdisk"), 0, 0, PAGE, WRITE, &address));
    pass("twelve ways are refused");
}

/* ---- Taken away while it is used --------------------------------------------------------------------------------- */

static void writer(void)
{
    uint64_t address;

    WORKS(vmos_memory_map(0, start_handle("shared"), 0, 0, PAGE, RIGHT_READ | RIGHT_WRITE, &address));
    report->shared[0] = address;
    report->phase = 1;
    for (uint64_t i = 0;; i++)
        *(volatile uint64_t *)(uintptr_t)(address + i % 512 * 8) = i;
}

/* Another process writes to it all the time, and ends with its next write; nothing is written any more. */
static void revoke_mapped(void)
{
    struct peer peer = {.program = "memory", .name = "writer", .promille = 100, .handle_count = 1};
    struct process_info info;
    uint64_t copy[512], until = now_ns() + SOON_NS;
    handle memory, process;

    volatile uint64_t *page = map_new(PAGE, &memory);
    peer.handles[0] = (struct spawn_handle){"shared", memory, 0};
    WORKS(spawn_peer(&peer, &process));
    while ((report->phase != 1 || page[511] == 0) && now_ns() < until)
        sleep_until(now_ns() + NANOSECONDS_PER_MILLISECOND);
    CHECK(page[511] != 0, "the writer does not write");
    WORKS(vmos_handle_revoke(memory));
    memcpy(copy, (const void *)(uintptr_t)page, sizeof copy);
    CHECK(wait_for_end(process, &info), "the writer goes on without memory");
    CHECK(info.end == END_CRASHED && (info.end_code & ~(uint64_t)(PAGE - 1)) == report->shared[0],
          "the writer ended by %u at %llx, not at %llx", info.end, (unsigned long long)info.end_code,
          (unsigned long long)report->shared[0]);
    CHECK(memcmp(copy, (const void *)(uintptr_t)page, sizeof copy) == 0, "it was written to after it had been revoked");
    pass("the writer has crashed, and nothing was written");
}

static uint64_t place;
static handle moving;
static bool stop, stopped;

static void move_it(void *argument, struct message_buffer *buffer)
{
    uint64_t address;

    (void)argument;
    (void)buffer;
    while (!__atomic_load_n(&stop, __ATOMIC_SEQ_CST)) {
        WORKS(vmos_memory_unmap(0, place, PAGE));
        WORKS(vmos_memory_map(0, moving, place, 0, PAGE, RIGHT_READ | RIGHT_WRITE, &address));
    }
    __atomic_store_n(&stopped, true, __ATOMIC_SEQ_CST);
}

/* One thread takes a page away and puts it back, another has the kernel read and write there. */
static void unmap_meanwhile(void)
{
    const struct thread_parameters parameters = {.budget_ns = NANOSECONDS_PER_MILLISECOND,
                                                 .period_ns = 10 * NANOSECONDS_PER_MILLISECOND};
    uint64_t counts[2] = {0, 0}, size;
    handle none;

    place = (uintptr_t)map_new(PAGE, &moving);
    WORKS(thread_start(move_it, NULL, STACK, &parameters));
    for (uint64_t i = 0; i < ROUNDS * scale / 100 || (counts[1] == 0 && i < 200000); i++) {
        enum status status = i % 2 == 0 ? vmos_object_info(moving, (void *)(uintptr_t)place, PAGE, &size)
                                        : vmos_process_create((void *)(uintptr_t)(place + 8), &none);
        if (i % 2 != 0 && status == STATUS_INVALID) /* there are zeroes, or what object_info has left */
            status = STATUS_OK;
        CHECK(status == STATUS_OK || status == STATUS_BAD_ADDRESS, "it says: %s", status_text(status));
        counts[status == STATUS_OK ? 0 : 1]++;
    }
    __atomic_store_n(&stop, true, __ATOMIC_SEQ_CST);
    while (!__atomic_load_n(&stopped, __ATOMIC_SEQ_CST))
        vmos_thread_yield();
    pass("%llu accesses worked, %llu found nothing there", (unsigned long long)counts[0],
         (unsigned long long)counts[1]);
}

/* A page that was somebody's comes as zeroes. */
static void fresh_is_empty(void)
{
    handle memory;

    for (unsigned i = 0; i < 200; i++) {
        uint64_t *page = map_new(4 * PAGE, &memory);
        for (unsigned word = 0; word < 4 * PAGE / 8; word++)
            CHECK(page[word] == 0, "new memory holds %llx", (unsigned long long)page[word]);
        memset(page, 0xee, 4 * PAGE);
        WORKS(vmos_memory_unmap(0, (uintptr_t)page, 4 * PAGE));
        WORKS(vmos_handle_close(memory));
    }
    pass("200 times");
}

const struct hostile_case hostile_cases[] = {{"write-xor-execute", write_xor_execute},
                                             {"revoke-mapped", revoke_mapped},
                                             {"unmap-meanwhile", unmap_meanwhile},
                                             {"fresh-is-empty", fresh_is_empty},
                                             {"writer", writer},
                                             {NULL, NULL}};
