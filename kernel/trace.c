/*
 * trace.c: one page for each CPU, of which it alone is the writer. A record is being written while its number is 0, so
 * that a reader on another CPU, or the one that an interrupt leaves behind, is never shown half of one.
 */
#include "trace.h"

#include <platform/clock.h>
#include <platform/cpu.h>
#include <platform/interrupt.h>
#include <platform/mmu.h>

struct record {
    uint64_t number; /* events before this one, + 1, << EVENT_BITS, and which event */
    uint64_t counter, first, second;
};

enum { RECORDS = 128, EVENT_BITS = 8 };

_Static_assert(sizeof(struct record) == 32 && RECORDS * sizeof(struct record) == PAGE_SIZE, "a page for each CPU");

void trace_init_cpu(struct cpu *cpu)
{
    cpu->trace = pages_allocate(0);
}

/* The place is taken first: an interrupt that comes in between takes the next. */
void trace(enum trace_event event, uint64_t first, uint64_t second)
{
    struct cpu *cpu = cpu_local();
    struct record *records = cpu->trace;

    if (records == NULL)
        return;
    uint64_t number = __atomic_add_fetch(&cpu->traced, 1, __ATOMIC_RELAXED);
    struct record *record = &records[number % RECORDS];
    __atomic_store_n(&record->number, 0, __ATOMIC_RELAXED);
    __atomic_thread_fence(__ATOMIC_RELEASE);
    __atomic_store_n(&record->counter, counter_read(), __ATOMIC_RELAXED);
    __atomic_store_n(&record->first, first, __ATOMIC_RELAXED);
    __atomic_store_n(&record->second, second, __ATOMIC_RELAXED);
    __atomic_store_n(&record->number, number << EVENT_BITS | event, __ATOMIC_RELEASE);
}

void trace_interrupt(uint32_t route, uint64_t count)
{
    trace(TRACE_INTERRUPT, route, count);
}

/* False: it is being written, or was written over. */
static bool copy(struct record *to, const struct record *from, uint64_t number)
{
    to->number = __atomic_load_n(&from->number, __ATOMIC_ACQUIRE);
    to->counter = __atomic_load_n(&from->counter, __ATOMIC_RELAXED);
    to->first = __atomic_load_n(&from->first, __ATOMIC_RELAXED);
    to->second = __atomic_load_n(&from->second, __ATOMIC_RELAXED);
    __atomic_thread_fence(__ATOMIC_ACQUIRE);
    return to->number >> EVENT_BITS == number && __atomic_load_n(&from->number, __ATOMIC_RELAXED) == to->number;
}

/* tools/read-trace reads these lines. */
static void report_record(struct printer *printer, const struct record *record, unsigned cpu, uint64_t now_ns,
                          uint64_t now)
{
    static const char *const names[TRACE_EVENT_COUNT] = {
        [TRACE_CALL] = "call",           [TRACE_RESULT] = "result",       [TRACE_SWITCH] = "switch",
        [TRACE_HAND_OVER] = "hand-over", [TRACE_WAKE] = "wake",           [TRACE_BLOCK] = "block",
        [TRACE_THROTTLE] = "throttle",   [TRACE_INTERRUPT] = "interrupt", [TRACE_FAULT] = "fault",
        [TRACE_GRANT] = "grant",         [TRACE_REVOKE] = "revoke",       [TRACE_PROCESS] = "process",
    };
    uint64_t ago = record->counter < now ? clock_duration(now - record->counter) : 0,
             at = ago < now_ns ? now_ns - ago : 0;
    unsigned event = record->number & ((1 << EVENT_BITS) - 1);

    if (event < TRACE_EVENT_COUNT && names[event] != NULL)
        print(printer,
              record->second < 1000000 ? "  %u %llu.%09llu %-9s %llu %llu\n" : "  %u %llu.%09llu %-9s %llu 0x%llx\n",
              cpu, (unsigned long long)(at / NANOSECONDS_PER_SECOND), (unsigned long long)(at % NANOSECONDS_PER_SECOND),
              names[event], (unsigned long long)record->first, (unsigned long long)record->second);
}

void trace_report(struct printer *printer, unsigned most)
{
    uint64_t now_ns = clock_now(), now = counter_read();

    for (unsigned i = 0; i < cpu_count(); i++) {
        const struct cpu *cpu = cpu_at(i);
        const struct record *records = cpu->trace;
        uint64_t count = __atomic_load_n(&cpu->traced, __ATOMIC_ACQUIRE);
        if (records == NULL || count == 0)
            continue;
        uint64_t shown = most < RECORDS ? most : RECORDS;
        if (shown > count)
            shown = count;
        print(printer, "trace of CPU %u: the last %llu of %llu events\n", i, (unsigned long long)shown,
              (unsigned long long)count);
        for (uint64_t number = count - shown + 1; number <= count; number++) {
            struct record record;
            if (copy(&record, &records[number % RECORDS], number))
                report_record(printer, &record, i, now_ns, now);
        }
    }
}
