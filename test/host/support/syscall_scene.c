/* syscall_scene.c: see syscall_scene.h. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "syscall_scene.h"

#include <kernel/process/audit.h>
#include <memory/memory.h>
#include <platform/ipi.h>

/* ---- What the kernel stands on, beyond object_world.h ------------------------------------------------------------ */

uint64_t now_ns;

uint64_t clock_now(void)
{
    return now_ns;
}

uint64_t counter_read(void)
{
    return now_ns / 2;
}

void timer_start(struct timer *timer, uint64_t deadline_ns)
{
    timer->deadline_ns = deadline_ns;
    timer->armed = true;
}

void timer_cancel_soon(struct timer *timer)
{
    timer->armed = false;
}

bool ipi_send(struct cpu *to, enum ipi kind)
{
    (void)to;
    (void)kind;
    fail_msg("there is no other CPU");
    return false;
}

void clock_sleep(void)
{
}

size_t user_extended_size(void)
{
    return 64;
}

void user_context_init(struct user_context *context, uintptr_t entry, uintptr_t stack, uint64_t argument,
                       uint64_t buffer)
{
    (void)argument;
    (void)buffer;
    context->entry = entry;
    context->stack = stack;
}

void user_switch(struct user_context *from, struct user_context *to)
{
    (void)from;
    (void)to;
}

void user_run(struct user_context *context)
{
    (void)context;
}

void user_forget_predictions(void)
{
}

/* The kernel's address of a byte of the running process; NULL: not mapped so. */
static void *user_byte(uintptr_t address, bool write)
{
    struct page_table table = {.root = world_root(0), .table_at = physical_to_virtual};
    uint64_t physical;
    unsigned access;

    if (address < USER_BOTTOM || address >= USER_TOP || !page_lookup(&table, address, &physical, &access) ||
        (write && (access & MMU_WRITE) == 0))
        return NULL;
    return physical_to_virtual(physical);
}

bool user_copy_in(void *to, uintptr_t from, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        const char *byte = user_byte(from + i, false);
        if (byte == NULL)
            return false;
        ((char *)to)[i] = *byte;
    }
    return true;
}

bool user_copy_out(uintptr_t to, const void *from, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        char *byte = user_byte(to + i, true);
        if (byte == NULL)
            return false;
        *byte = ((const char *)from)[i];
    }
    return true;
}

/* ---- What was refused, as the audit is told ---------------------------------------------------------------------- */

enum status refused;

void audit_refusal(const struct process *who, enum status status)
{
    (void)who;
    if (status == STATUS_BAD_HANDLE || status == STATUS_REVOKED || status == STATUS_WRONG_TYPE ||
        status == STATUS_DENIED)
        refused = status;
}

/* ---- The scene: a process that calls, and what it has ------------------------------------------------------------ */

uint64_t things[THING_COUNT];
struct process *caller, *other;
struct thread *thread, *second, *client, *late, *server;
handle served;
struct memory *page;
static void *scheduler;

uint64_t meant(uint64_t word)
{
    if (word >> 40 != SCENE_TAG)
        return word;
    return things[word >> 32 & 0xff] + (word & 0xffffffff) - UINT64_C(0x80000000);
}

handle give(struct process *process, struct object *object, uint32_t rights, uint64_t badge)
{
    handle number = 0;

    object_hold(object);
    assert_int_equal(handle_install(process, object, rights, badge, &number), STATUS_OK);
    return number;
}

void run_thread(const struct thread *wanted)
{
    lock_take(&objects_lock);
    for (unsigned i = 0; thread_current() != wanted; i++) {
        assert_true(i < 20);
        cpu_local()->kernel_wanted = false; /* it has nothing to do */
        thread_yield();
        schedule();
    }
    lock_release(&objects_lock, 0);
}

enum status ask(struct thread *who, uint64_t number, const uint64_t *arguments)
{
    run_thread(who);
    who->context.number = number;
    memcpy(who->context.arguments, arguments, sizeof who->context.arguments);
    who->context.status = UINT64_MAX;
    who->context.value = UINT64_MAX;
    if (!system_call(who)) {
        schedule(); /* as every trap does */
        lock_release(&objects_lock, 0);
    }
    return (enum status)who->context.status;
}

const struct thread_parameters plain_thread = {.entry = 0x400000, .stack = 0x800000};

static struct thread *make_thread(struct process *process)
{
    struct thread *made = NULL;

    assert_int_equal(thread_create(process, &plain_thread, &made), STATUS_OK);
    return made;
}

static struct process *make_process(struct process *parent, const uint64_t limits[])
{
    struct process_parameters parameters = world_parameters("process");
    struct process *made = NULL;

    memcpy(parameters.limits, limits, sizeof parameters.limits);
    assert_int_equal(process_create(parent, &parameters, &made), STATUS_OK);
    return made;
}

static const uint64_t plenty[BUDGET_COUNT] = {8 * MIB, 100, 8, 50, 500}, few[BUDGET_COUNT] = {64 * KIB, 10, 1, 4, 100};

static uint64_t map(struct memory *memory, uint32_t access)
{
    uintptr_t address = 0;

    assert_int_equal(memory_map(caller, memory, RIGHT_ALL, 0, 0, PAGE_SIZE, access, &address), STATUS_OK);
    return address;
}

static handle make_memory(uint64_t size, struct memory **memory)
{
    handle number = 0;

    assert_int_equal(memory_create(caller, size, memory), STATUS_OK);
    assert_int_equal(handle_install(caller, &(*memory)->object, RIGHT_ALL, 0, &number), STATUS_OK);
    return number;
}

static void set_memories(void)
{
    struct memory *memory, *constant, *code, *ramdisk;

    things[A_MEMORY] = make_memory(4 * PAGE_SIZE, &memory);
    things[A_READABLE] = give(caller, &memory->object, RIGHT_READ | RIGHT_DUPLICATE, 0);
    things[A_DATA] = make_memory(2 * PAGE_SIZE, &page);
    things[THE_PAGE] = map(page, RIGHT_READ | RIGHT_WRITE);
    make_memory(PAGE_SIZE, &constant);
    things[THE_CONSTANT] = map(constant, RIGHT_READ);
    things[A_CODE] = make_memory(PAGE_SIZE, &code);
    map(code, RIGHT_READ | RIGHT_EXECUTE);
    assert_int_equal(memory_borrow(caller, WORLD_BASE, PAGE_SIZE, &ramdisk), STATUS_OK);
    assert_int_equal(handle_install(caller, &ramdisk->object, RIGHT_ALL, 0, &things[A_RAMDISK]), STATUS_OK);
}

/* One call waits for its answer, the other's caller has lost patience; and a server waits to be called. */
static void set_messages(void)
{
    struct endpoint *endpoint, *unheard, *theirs;
    struct notification *notification;

    things[AN_ENDPOINT] = world_endpoint(caller, &endpoint);
    things[A_BADGED] = give(caller, &endpoint->object, RIGHT_ALL & ~(uint32_t)RIGHT_RECEIVE, 7);
    things[A_NOTIFICATION] = world_notification(caller, &notification);
    assert_int_equal(endpoint_create(caller, &unheard), STATUS_OK);
    assert_int_equal(handle_install(caller, &unheard->object, RIGHTS_CALL, 0, &things[AN_UNHEARD]), STATUS_OK);
    served = world_endpoint(other, &theirs);
    things[A_SERVED] = give(caller, &theirs->object, RIGHTS_CALL, 0);
    ASK(server, ipc_reply_receive, 0, 0, served, 0, 0, DEADLINE_NEVER);

    handle called = give(other, &endpoint->object, RIGHT_CALL, 0);
    ASK(late, ipc_call, called, MESSAGE(0, 0, 0), now_ns + 1000);
    assert_int_equal(ASK(thread, ipc_reply_receive, 0, 0, things[AN_ENDPOINT], 0, 0, 0), STATUS_OK);
    things[AN_OLD_REPLY] = thread->buffer->reply;
    now_ns += 2000;
    late->timer.fire(&late->timer);
    assert_int_equal(late->context.status, STATUS_TIMED_OUT);
    ASK(client, ipc_call, called, MESSAGE(0, 0, 0), DEADLINE_NEVER);
    assert_int_equal(ASK(thread, ipc_reply_receive, 0, 0, things[AN_ENDPOINT], 0, 0, 0), STATUS_OK);
    things[A_REPLY] = thread->buffer->reply;
}

static void set_processes(void)
{
    struct process *child = make_process(caller, few), *ended = make_process(caller, few);
    struct thread *gone = make_thread(caller);

    assert_int_equal(handle_install(caller, &child->object, RIGHT_ALL, 0, &things[A_CHILD]), STATUS_OK);
    assert_int_equal(handle_install(caller, &ended->object, RIGHT_ALL, 0, &things[AN_ENDED]), STATUS_OK);
    process_end(ended, END_KILLED, 0);
    second = make_thread(caller);
    things[A_THREAD] = give(caller, &second->object, RIGHT_ALL, 0);
    things[AN_ENDED_THREAD] = give(caller, &gone->object, RIGHT_ALL, 0);
    thread_end(gone);
    things[THE_CLOCK] = give(caller, &clock_object, RIGHT_ALL, 0);
    things[THE_CONSOLE] = give(caller, &console_object, RIGHT_ALL, 0);
}

void scene_begin(void)
{
    world_start(NULL);
    assert_true(scheduler_init_cpu(cpu_at(0)));
    scheduler = cpu_at(0)->scheduler;
    now_ns = NANOSECONDS_PER_SECOND;
    caller = make_process(&kernel_process, plenty);
    other = make_process(&kernel_process, plenty);
    thread = make_thread(caller);
    client = make_thread(other);
    late = make_thread(other);
    server = make_thread(other);
    set_memories();
    set_messages();
    set_processes();
    assert_int_equal(handle_make_room(caller, 8), STATUS_OK);
    world_reap();
    run_thread(thread);
    refused = STATUS_OK;
}

void scene_end(void)
{
    world_heap_left = -1;
    lock_take(&objects_lock);
    process_end(caller, END_KILLED, 0);
    process_end(other, END_KILLED, 0);
    assert_null(schedule());
    object_release(&caller->object);
    object_release(&other->object);
    lock_release(&objects_lock, 0);
    world_reap();
    cpu_at(0)->scheduler = NULL;
    free(scheduler);
    world_end(NULL);
}
