/* object_world.c: a machine for objects; object_world.h says what of it can be set and seen. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "object_world.h"

#include <kernel/process/audit.h>
#include <kernel/process/console_write.h>
#include <kernel/random.h>
#include <kernel/trace.h>
#include <memory/memory.h>
#include <platform/ipi.h>

#include "host_log.h"
#include "random.h"

/* A test that links the real thing has that instead. */
#define WEAK __attribute__((weak))

int world_heap_left;
bool world_deaf;
unsigned world_identifiers, world_self;
uint64_t world_heap_blocks, world_heap_bytes;
unsigned world_flushes, world_replies_dropped, world_wakes, world_code_written, world_end_waits, world_peers_gone;
unsigned world_timers_cancelled, world_destroyed[OBJECT_TYPE_COUNT];
enum status world_end_waits_last;

static uint8_t *ram;
static void *metadata;
static struct cpu cpus[WORLD_CPUS];
static struct test_random randomness;
static struct ledger first;

/* ---- Memory ------------------------------------------------------------------------------------------------- */

void *physical_to_virtual(uint64_t physical)
{
    assert_true(physical >= WORLD_BASE && physical < WORLD_BASE + WORLD_FRAMES * PAGE_SIZE);
    return ram + (physical - WORLD_BASE);
}

void *__real_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
void __real_free(void *memory);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t count, size_t size);
void __wrap_free(void *memory);

static void *count(void *block)
{
    if (block != NULL) {
        world_heap_blocks++;
        world_heap_bytes += malloc_usable_size(block);
    }
    return block;
}

static bool heap_refuses(void)
{
    if (world_heap_left > 0)
        world_heap_left--;
    else if (world_heap_left == 0)
        return true;
    return false;
}

void *__wrap_malloc(size_t size)
{
    return heap_refuses() ? NULL : count(__real_malloc(size));
}

void *__wrap_calloc(size_t number, size_t size)
{
    return heap_refuses() ? NULL : count(__real_calloc(number, size));
}

void __wrap_free(void *memory)
{
    if (memory != NULL) {
        world_heap_blocks--;
        world_heap_bytes -= malloc_usable_size(memory);
    }
    __real_free(memory);
}

/* ---- CPUs and what they remember -------------------------------------------------------------------------------- */

enum { REMEMBERED = 64 };

static struct translation {
    unsigned identifier;
    uintptr_t page;
    uint64_t physical; /* 0: nothing */
} remembered[WORLD_CPUS][REMEMBERED];
static struct {
    uint64_t root;
    unsigned identifier;
} runs[WORLD_CPUS];

struct cpu *cpu_local(void)
{
    return &cpus[world_self];
}

unsigned cpu_count(void)
{
    return WORLD_CPUS;
}

struct cpu *cpu_at(unsigned index)
{
    return index < WORLD_CPUS ? &cpus[index] : NULL;
}

WEAK void ipi_wake(struct cpu *to)
{
    world_wakes += to == &cpus[0];
}

unsigned mmu_identifier_count(void)
{
    return world_identifiers;
}

/* The upper half is the kernel's: an entry that must stay. */
void mmu_space_init(uint64_t root)
{
    ((pte *)physical_to_virtual(root))[511] = mmu_table(WORLD_BASE);
}

static void forget(unsigned cpu, unsigned identifier)
{
    for (unsigned i = 0; i < REMEMBERED; i++)
        if (remembered[cpu][i].identifier == identifier)
            remembered[cpu][i].physical = 0;
}

void mmu_space_activate(uint64_t root, unsigned identifier)
{
    runs[world_self].root = root;
    runs[world_self].identifier = identifier;
    if (identifier == 0)
        forget(world_self, 0);
}

bool mmu_space_flush(unsigned identifier, uint64_t others)
{
    world_flushes++;
    if (world_deaf)
        return false;
    for (unsigned cpu = 0; cpu < WORLD_CPUS; cpu++)
        if (cpu == world_self || (others >> cpu & 1) != 0)
            forget(cpu, identifier);
    return true;
}

void mmu_code_written(void *start, size_t size)
{
    (void)start;
    world_code_written += size != 0;
}

void world_touch(unsigned cpu, uintptr_t address)
{
    struct page_table table = {.root = runs[cpu].root, .table_at = physical_to_virtual};
    struct translation *entry = &remembered[cpu][test_random_below(&randomness, REMEMBERED)];
    uint64_t physical;

    if (table.root != 0 && page_lookup(&table, address, &physical, NULL))
        *entry = (struct translation){runs[cpu].identifier, address & ~(PAGE_SIZE - 1), physical & ~(PAGE_SIZE - 1)};
}

bool world_remembered(unsigned identifier, uint64_t physical, uint64_t size)
{
    for (unsigned cpu = 0; cpu < WORLD_CPUS; cpu++)
        for (unsigned i = 0; i < REMEMBERED; i++) {
            const struct translation *entry = &remembered[cpu][i];
            /* What is remembered for 0 by a CPU that is elsewhere is forgotten when it uses 0 again. */
            if (entry->physical == 0 || entry->identifier != identifier ||
                (identifier == 0 && runs[cpu].identifier != 0))
                continue;
            if (entry->physical >= physical && entry->physical - physical < size)
                return true;
        }
    return false;
}

uint64_t world_root(unsigned cpu)
{
    return runs[cpu].root;
}

/* ---- The rest of the kernel ----------------------------------------------------------------------------------------
 */

WEAK void console_write_end(struct process *process)
{
    (void)process;
}

WEAK void console_write_last(void)
{
}

WEAK void audit(enum audit_event event, const struct process *who, const struct process *whom, enum object_type type,
                uint32_t rights)
{
    (void)event;
    (void)who;
    (void)whom;
    (void)type;
    (void)rights;
}

WEAK void audit_refusal(const struct process *who, enum status status)
{
    (void)who;
    (void)status;
}

WEAK void trace(enum trace_event event, uint64_t a, uint64_t b)
{
    (void)event;
    (void)a;
    (void)b;
}

void random_bytes(void *to, size_t size)
{
    for (size_t i = 0; i < size; i++)
        ((uint8_t *)to)[i] = (uint8_t)test_random64(&randomness);
}

WEAK uint64_t clock_now(void)
{
    return 1;
}

uint64_t clock_duration(uint64_t ticks)
{
    return ticks * 2;
}

_Noreturn void panic_at(const struct trap_frame *frame, const char *format, ...)
{
    va_list arguments;

    (void)frame;
    va_start(arguments, format);
    vfprintf(stderr, format, arguments);
    va_end(arguments);
    fputc('\n', stderr);
    mock_assert(0, format, __FILE__, __LINE__);
    abort();
}

/* It waits for whoever is in `fire`, who waits for the lock. */
WEAK void timer_cancel(struct timer *timer)
{
    assert_null(objects_lock.owner);
    world_timers_cancelled++;
    timer->armed = false;
}

/* ---- Endpoints, notifications, replies ---- */

WEAK enum status endpoint_create(struct process *payer, struct endpoint **made)
{
    struct object *object = NULL;
    enum status status = object_create(payer, OBJECT_ENDPOINT, sizeof **made, &object);

    *made = (struct endpoint *)object;
    return status;
}

WEAK void endpoint_destroy(struct endpoint *endpoint)
{
    assert_int_equal(endpoint->receive_handles, 0);
    world_destroyed[OBJECT_ENDPOINT]++;
    object_free(&endpoint->object);
}

WEAK void endpoint_receivers(struct endpoint *endpoint, int change)
{
    assert_true((int)endpoint->receive_handles + change >= 0);
    endpoint->receive_handles = (uint32_t)((int)endpoint->receive_handles + change);
    if (endpoint->receive_handles == 0 && change < 0)
        world_peers_gone++;
}

WEAK void endpoint_end_waits(struct endpoint *endpoint, enum status status)
{
    (void)endpoint;
    world_end_waits++;
    world_end_waits_last = status;
}

WEAK void reply_dropped(struct reply *reply)
{
    reply->object.epoch++;
    world_replies_dropped++;
}

WEAK enum status notification_create(struct process *payer, struct notification **made)
{
    struct object *object = NULL;
    enum status status = object_create(payer, OBJECT_NOTIFICATION, sizeof **made, &object);

    *made = (struct notification *)object;
    return status;
}

WEAK void notification_destroy(struct notification *notification)
{
    world_destroyed[OBJECT_NOTIFICATION]++;
    object_free(&notification->object);
}

WEAK void notification_signal(struct notification *notification, uint64_t bits)
{
    notification->bits |= bits;
}

WEAK void notification_end_waits(struct notification *notification, enum status status)
{
    (void)notification;
    world_end_waits++;
    world_end_waits_last = status;
}

/* ---- Threads: one reference is the process's as long as the thread runs ---- */

static void thread_gone(struct thread *thread)
{
    struct thread **link = &thread->process->threads;

    while (*link != thread)
        link = &(*link)->next_in_process;
    *link = thread->next_in_process;
    thread->process->thread_count--;
    thread->process->ended_ticks += thread->ticks;
    thread->state = THREAD_ENDED;
    object_release(&thread->object);
}

WEAK void thread_end(struct thread *thread)
{
    assert_false(thread->ending);
    thread->ending = true;
    thread->reply.object.epoch++;
    if (thread->state == THREAD_RUNNING)
        thread->process->running_count++;
    else
        thread_gone(thread);
}

void world_thread_stopped(struct thread *thread)
{
    uintptr_t saved = lock_take(&objects_lock);

    thread->process->running_count--;
    processes_look_again();
    thread_gone(thread);
    lock_release(&objects_lock, saved);
}

WEAK void thread_destroy(struct thread *thread)
{
    world_destroyed[OBJECT_THREAD]++;
    object_forget(&thread->object);
    free(thread);
}

struct thread *world_thread(struct process *process)
{
    struct object object;

    if (object_init(&object, process, OBJECT_THREAD, sizeof(struct thread)) != STATUS_OK)
        return NULL;
    struct thread *thread = calloc(1, sizeof *thread);
    assert_non_null(thread);
    thread->object = object;
    thread->reply.object = (struct object){.type = OBJECT_REPLY, .epoch = 1, .payer = process};
    thread->reply.caller = thread;
    thread->process = process;
    thread->state = THREAD_READY;
    thread->next_in_process = process->threads;
    process->threads = thread;
    process->thread_count++;
    if (process->state == PROCESS_NEW)
        process->state = PROCESS_RUNNING;
    return thread;
}

/* ---- Scenes -------------------------------------------------------------------------------------------------------
 */

struct process_parameters world_parameters(const char *name)
{
    struct process_parameters parameters = {.highest_priority = 10};

    strncpy(parameters.name, name, NAME_SIZE - 1);
    parameters.limits[BUDGET_MEMORY] = 256 * KIB;
    parameters.limits[BUDGET_HANDLES] = 100;
    parameters.limits[BUDGET_THREADS] = 4;
    parameters.limits[BUDGET_OBJECTS] = 50;
    parameters.limits[BUDGET_CPU] = 100;
    return parameters;
}

struct process *world_process(struct process *parent)
{
    struct process_parameters parameters = world_parameters("child");
    struct process *process = NULL;

    assert_int_equal(process_create(parent, &parameters, &process), STATUS_OK);
    return process;
}

static handle give(struct process *process, struct object *object)
{
    handle number = 0;

    assert_int_equal(handle_install(process, object, RIGHT_ALL, 0, &number), STATUS_OK);
    return number;
}

handle world_endpoint(struct process *process, struct endpoint **made)
{
    assert_int_equal(endpoint_create(process, made), STATUS_OK);
    return give(process, &(*made)->object);
}

handle world_notification(struct process *process, struct notification **made)
{
    assert_int_equal(notification_create(process, made), STATUS_OK);
    return give(process, &(*made)->object);
}

handle world_memory(struct process *process, uint64_t size, struct memory **made)
{
    assert_int_equal(memory_create(process, size, made), STATUS_OK);
    return give(process, &(*made)->object);
}

void world_reap(void)
{
    for (unsigned steps = 0; processes_reap(); steps++)
        assert_true(steps < 1000000);
    assert_false(processes_ending());
}

void ledger_take(struct ledger *ledger)
{
    struct frame_counts frames;

    memset(ledger, 0, sizeof *ledger);
    frames_count(&frames);
    ledger->frames = frames.free;
    ledger->heap_blocks = world_heap_blocks;
    ledger->heap_bytes = world_heap_bytes;
    memcpy(ledger->objects, object_counts, sizeof ledger->objects);
    memcpy(ledger->used, kernel_process.used, sizeof ledger->used);
    for (const struct process *process = processes; process != NULL; process = process->next)
        ledger->processes++;
}

void ledger_same(const struct ledger *before, const struct ledger *after)
{
    assert_int_equal(before->processes, after->processes);
    for (unsigned i = 0; i < OBJECT_TYPE_COUNT; i++)
        assert_int_equal(before->objects[i], after->objects[i]);
    for (unsigned i = 0; i < BUDGET_COUNT; i++)
        assert_int_equal(before->used[i], after->used[i]);
    assert_int_equal(before->heap_blocks, after->heap_blocks);
    assert_int_equal(before->heap_bytes, after->heap_bytes);
    assert_int_equal(before->frames, after->frames);
}

int world_start(void **state)
{
    (void)state;
    world_heap_left = -1;
    world_deaf = false;
    world_identifiers = 8;
    world_self = 0;
    world_flushes = world_replies_dropped = world_wakes = world_code_written = world_end_waits = world_peers_gone = 0;
    world_timers_cancelled = 0;
    memset(world_destroyed, 0, sizeof world_destroyed);
    memset(remembered, 0, sizeof remembered);
    memset(runs, 0, sizeof runs);
    for (unsigned i = 0; i < WORLD_CPUS; i++)
        cpus[i] = (struct cpu){.self = &cpus[i], .index = i};
    randomness = test_random_start();
    ram = aligned_alloc(PAGE_SIZE, WORLD_FRAMES * PAGE_SIZE);
    metadata = __real_malloc(frames_metadata_size(WORLD_BASE, WORLD_BASE + WORLD_FRAMES * PAGE_SIZE));
    frames_init(WORLD_BASE, WORLD_BASE + WORLD_FRAMES * PAGE_SIZE, metadata, physical_to_virtual);
    frames_add(WORLD_BASE, WORLD_FRAMES * PAGE_SIZE);
    memset(kernel_process.used, 0, sizeof kernel_process.used);
    processes_init();
    ledger_take(&first);
    host_log_clear();
    return 0;
}

int world_end(void **state)
{
    struct ledger last;

    (void)state;
    world_heap_left = -1;
    world_reap();
    handle_table_destroy(&kernel_process);
    ledger_take(&last);
    ledger_same(&first, &last);
    __real_free(metadata);
    __real_free(ram);
    return 0;
}
