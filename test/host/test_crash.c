/* test_crash.c: what is told of a crash, how often, and that nothing which the process has left makes it long. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "object_world.h"

#include <kernel/kernel.h>
#include <kernel/process/crash.h>
#include <kernel/symbols.h>
#include <lib/log.h>

/* A program of 16 functions of 256 bytes; frame records above it, start_info above those. */
enum { IMAGE = 0x400000, IMAGE_SIZE = 0x1000, STACK = 0x800000, STACK_SIZE = 0x100000, START = 0xa00000 };

static uint64_t now_ns;
static struct process *process;
static struct thread *thread;
static struct user_fault fault;
static struct start_info info;
static uintptr_t stack[STACK_SIZE / sizeof(uintptr_t)];
static char said[1 << 16], file_wanted[128];
static unsigned lines, interrupts_taken, copies;

uint64_t clock_now(void)
{
    return now_ns;
}

bool user_copy_in(void *to, uintptr_t from, size_t size)
{
    copies++;
    if (from >= STACK && from - STACK <= sizeof stack - size)
        memcpy(to, (const char *)stack + (from - STACK), size);
    else if (from >= START && from - START <= sizeof info - size)
        memcpy(to, (const char *)&info + (from - START), size);
    else
        return false;
    return true;
}

void user_report(const struct user_context *context, struct printer *printer)
{
    print(printer, "  pc %llx\n  sp %llx", (unsigned long long)context->entry, (unsigned long long)context->stack);
}

const void *ramdisk_find(const char *name, size_t *size)
{
    snprintf(file_wanted, sizeof file_wanted, "%s", name);
    *size = 100;
    return strcmp(name, "bin/program.sym") == 0 ? said : NULL;
}

bool symbol_find_in(const void *file, size_t size, uintptr_t place, char name[SYMBOL_NAME_SIZE], size_t *offset)
{
    assert_true(file == said && size == 100);
    if (place >= IMAGE_SIZE)
        return false;
    snprintf(name, SYMBOL_NAME_SIZE, "f%u", (unsigned)place / 256);
    *offset = place % 256;
    return true;
}

void cpu_interrupts_take(void)
{
    assert_null(objects_lock.owner);
    interrupts_taken++;
}

void __wrap_log_line(enum log_level level, const char *who, const char *format, ...);
void __wrap_log_line(enum log_level level, const char *who, const char *format, ...)
{
    size_t used = strlen(said);
    va_list arguments;

    assert_null(objects_lock.owner);
    assert_int_equal(level, LOG_ERROR);
    assert_string_equal(who, "crash");
    assert_int_equal(interrupts_taken, lines); /* those that waited during the line before were taken */
    va_start(arguments, format);
    used += (size_t)vsnprintf(said + used, sizeof said - used, format, arguments);
    va_end(arguments);
    assert_true(used + 2 < sizeof said);
    strcpy(said + used, "\n");
    lines++;
}

/* ---- Scenes ---- */

static void make_process(const char *name)
{
    struct process_parameters parameters = world_parameters(name);

    parameters.limits[BUDGET_THREADS] = 20;
    assert_int_equal(process_create(&kernel_process, &parameters, &process), STATUS_OK);
    process->start_info = START;
    thread = world_thread(process);
    thread->id = 77;
    thread->state = THREAD_RUNNING;
    thread->context = (struct user_context){.entry = IMAGE + 0x123, .stack = STACK};
}

/* As user_faulted() does. */
static void crash(void)
{
    struct crash crash;
    uintptr_t saved = lock_take(&objects_lock);

    said[0] = '\0';
    lines = interrupts_taken = copies = 0;
    crash_gather(&crash, thread, &fault);
    process_end(process, END_CRASHED, fault.address);
    assert_int_equal(lines, 0);
    lock_release(&objects_lock, saved);
    crash_report(&crash);
    assert_int_equal(interrupts_taken, lines);
}

static void forget_process(void)
{
    world_thread_stopped(thread);
    object_release(&process->object);
    process = NULL;
    world_reap();
}

/* How many lines it took. */
static unsigned crash_of(const char *name)
{
    make_process(name);
    crash();
    forget_process();
    return lines;
}

static int start(void **state)
{
    world_start(state);
    now_ns += 1000 * NANOSECONDS_PER_SECOND; /* nothing is left of the crashes before */
    memset(stack, 0, sizeof stack);
    info = (struct start_info){.image = IMAGE, .image_size = IMAGE_SIZE};
    strcpy(info.arguments, "program");
    fault = (struct user_fault){.kind = USER_FAULT_READ, .address = 0x20};
    process = NULL;
    return 0;
}

static int finish(void **state)
{
    if (process != NULL)
        forget_process();
    return world_end(state);
}

static void has(const char *line)
{
    if (strstr(said, line) == NULL)
        print_error("not said: %s\n%s", line, said);
    assert_non_null(strstr(said, line));
}

static unsigned times(const char *part)
{
    unsigned count = 0;

    for (const char *at = said; (at = strstr(at, part)) != NULL; at++)
        count++;
    return count;
}

/* A frame record at this place of the stack. */
static uintptr_t frame(uintptr_t at, uintptr_t next, uintptr_t address)
{
    stack[(at - STACK) / sizeof(uintptr_t)] = next;
    stack[(at - STACK) / sizeof(uintptr_t) + 1] = address;
    return at;
}

/* ---- What is told ---- */

static void the_whole_story(void **state)
{
    char expected[1000];

    (void)state;
    make_process("victim");
    thread->context.frame_pointer = frame(STACK, STACK + 64, IMAGE + 0x301);
    frame(STACK + 64, 0, IMAGE + 0xf00);
    world_endpoint(process, &(struct endpoint *){NULL});
    crash();
    snprintf(expected, sizeof expected,
             "victim[%llu], thread 77 on CPU 0: read of an unmapped address 0x20, a null pointer, instruction "
             "0x400123; it is ended\n"
             "  pc 400123\n"
             "  sp 800000\n"
             "  at 0x400123 f1+0x23\n"
             "  by 0x400300 f3+0x0\n"
             "  by 0x400eff f14+0xff\n"
             "victim[%llu] held 1 handles: 1 endpoint; %llu of 256 KiB\n",
             (unsigned long long)process->id, (unsigned long long)process->id,
             (unsigned long long)process->used[BUDGET_MEMORY] / 1024);
    assert_string_equal(said, expected);
}

static void kinds(void **state)
{
    static const struct {
        struct user_fault fault;
        const char *said;
    } rows[] = {
        {{USER_FAULT_WRITE, 0x500000, true, NULL}, ": write to read-only memory 0x500000, instruction"},
        {{USER_FAULT_READ, USER_TOP, false, NULL},
         ": read of an unmapped address 0x7ffffffff000, where no process has"},
        {{USER_FAULT_EXECUTE, 0x500000, true, NULL}, ": execution of memory that is not executable 0x500000, instr"},
        {{USER_FAULT_OTHER, 0, false, "division by zero"}, ": division by zero, instruction 0x400123; it is ended"},
        {{USER_FAULT_OTHER, 0, false, NULL}, ": a fault of a kind that is not known, instruction 0x400123"},
    };

    (void)state;
    for (unsigned i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        fault = rows[i].fault;
        crash_of("kinds");
        has(rows[i].said);
    }
}

static struct thread *another(uint64_t id, enum thread_state thread_state, enum thread_wait wait)
{
    struct thread *other = world_thread(process);

    other->id = id;
    other->state = thread_state;
    other->wait = wait;
    other->cpu = 3;
    other->context.entry = IMAGE + 0x100 * id;
    return other;
}

/* They are gone when the report is written; what they did is told all the same. */
static void other_threads(void **state)
{
    (void)state;
    make_process("many");
    another(1, THREAD_READY, WAIT_NOTHING);
    another(2, THREAD_BLOCKED, WAIT_SEND);
    another(3, THREAD_BLOCKED, WAIT_REPLY);
    another(4, THREAD_BLOCKED, WAIT_EVENT);
    crash();
    has("  thread 1: ready, at 0x400100 f1+0x0\n");
    has("  thread 2: waiting for its call to be received, at 0x400200 f2+0x0\n");
    has("  thread 3: waiting for the answer to its call, at 0x400300 f3+0x0\n");
    has("  thread 4: waiting for an event, at 0x400400 f4+0x0\n");
    assert_int_equal(times("more\n"), 0);
    assert_int_equal(times("thread 77"), 1);
    forget_process();

    make_process("many");
    for (uint64_t id = 1; id < 4; id++)
        another(id, THREAD_READY, WAIT_NOTHING);
    another(4, THREAD_THROTTLED, WAIT_NOTHING);
    struct thread *running = another(5, THREAD_RUNNING, WAIT_NOTHING);
    running->context.entry = 0x123456;
    crash();
    has("  thread 5: running on CPU 3, last seen at 0x123456\n");
    has("  thread 4: its time is used up, at 0x400400 f4+0x0\n");
    has("  and 1 more\n");
    assert_int_equal(times("  thread "), CRASH_THREADS);
    world_thread_stopped(running);
}

/* The thread that crashed is in the middle of the list, or last. */
static void one_thread_is_not_told_twice(void **state)
{
    (void)state;
    make_process("pair");
    another(1, THREAD_READY, WAIT_NOTHING);
    struct thread *crashed = another(2, THREAD_RUNNING, WAIT_NOTHING), *first = thread;
    first->state = THREAD_READY;
    thread = crashed;
    crash();
    has("thread 2 on CPU 0: read");
    assert_int_equal(times("  thread "), 2);
    has("  thread 77: ready");
    has("  thread 1: ready");
}

/* ---- How much ---- */

static void three_times_in_full(void **state)
{
    (void)state;
    for (unsigned i = 0; i < CRASHES_IN_FULL; i++)
        assert_true(crash_of("often") > 3);
    assert_int_equal(crash_of("often"), 1);
    assert_true(crash_of("another") > 3);
    for (unsigned i = 0; i < 5; i++) { /* as long as it goes on */
        now_ns += CRASH_WINDOW_NS;
        assert_int_equal(crash_of("often"), 1);
    }
    now_ns += CRASH_WINDOW_NS + 1;
    assert_true(crash_of("often") > 3);
}

static void thirty_two_in_all(void **state)
{
    char name[NAME_SIZE];
    unsigned in_full = 0, told = 0;

    (void)state;
    for (unsigned i = 0; i < 100; i++) {
        snprintf(name, sizeof name, "name%u", i); /* names are the creator's to choose */
        unsigned count = crash_of(name);
        in_full += count > 1;
        told += count > 0;
        now_ns += CRASH_WINDOW_NS / 200;
    }
    assert_int_equal(told, CRASH_LINES);
    assert_int_equal(in_full, 24);
    now_ns += CRASH_WINDOW_NS;
    assert_true(crash_of("last") > 3);
    has("68 processes more have crashed, of which nothing was said\n");
    crash_of("last");
    assert_int_equal(times("nothing was said"), 0);
}

/* ---- What it has left ---- */

static void a_ring_ends(void **state)
{
    (void)state;
    make_process("ring");
    thread->context.frame_pointer = frame(STACK, STACK + 16, IMAGE + 0x200);
    frame(STACK + 16, STACK, IMAGE + 0x300);
    crash();
    assert_int_equal(times("  by "), 1);
    forget_process();
    make_process("ring");
    thread->context.frame_pointer = frame(STACK, STACK, IMAGE + 0x200);
    crash();
    assert_int_equal(times("  by "), 0);
}

static void frames_that_are_none(void **state)
{
    static const uintptr_t pointers[] = {STACK + 4, STACK + STACK_SIZE - 8, 8, UINTPTR_MAX, UINTPTR_MAX - 7, USER_TOP};

    (void)state;
    for (unsigned i = 0; i < sizeof pointers / sizeof pointers[0]; i++) {
        uintptr_t record[] = {0, IMAGE + 0x200};
        make_process("none");
        memcpy((char *)stack + 4, record, sizeof record);
        thread->context.frame_pointer = pointers[i];
        crash();
        assert_int_equal(times("  by "), 0);
        forget_process();
    }
}

/* As far up as the stack goes, and each from somewhere else. */
static void an_endless_stack(void **state)
{
    (void)state;
    for (uintptr_t at = STACK; at + 32 <= STACK + STACK_SIZE; at += 16)
        frame(at, at + 16, IMAGE + 0x200 + at / 16 % 2 * 256);
    make_process("endless");
    thread->context.frame_pointer = STACK;
    crash();
    assert_int_equal(times("  by "), 16);
    assert_true(lines <= 25 && copies < 30);
    forget_process();
    for (uintptr_t at = STACK; at + 32 <= STACK + STACK_SIZE; at += 16) /* who calls himself */
        frame(at, at + 16, IMAGE + 0x200);
    make_process("endless");
    thread->context.frame_pointer = STACK;
    crash();
    assert_int_equal(times("  by "), 1);
    has("     (9999 times more)\n");
    assert_true(copies < 10010);
}

/* Where a jump to nowhere came from; and a link register that says what is known already. */
static void links(void **state)
{
    (void)state;
    fault = (struct user_fault){.kind = USER_FAULT_EXECUTE, .address = 0x123456000};
    make_process("link");
    thread->context.entry = 0x123456000;
    stack[0] = IMAGE + 0x505;
    crash();
    has("  at 0x123456000\n  by 0x400504 f5+0x4\n");
    forget_process();
    make_process("link");
    thread->context.link = IMAGE + 0x606;
    thread->context.frame_pointer = frame(STACK, 0, IMAGE + 0x606);
    crash();
    assert_int_equal(times("  by 0x400605 f6+0x5\n"), 1);
}

/* A program's word about itself is not believed further than that it is printed. */
static void what_it_says_of_itself(void **state)
{
    (void)state;
    make_process("liar");
    process->start_info = UINT64_MAX - 100;
    crash();
    has("  at 0x400123\n");
    forget_process();
    make_process("liar");
    memset(info.arguments, 'x', sizeof info.arguments);
    crash();
    has("  at 0x400123, image+0x123\n");
    assert_int_equal(strlen(file_wanted), strlen("bin/.sym") + NAME_SIZE);
    forget_process();
    make_process("liar");
    strcpy(info.arguments, "program");
    info.image = 0;
    info.image_size = UINT64_MAX;
    thread->context.entry = UINTPTR_MAX - 5;
    crash();
    has("  at 0xfffffffffffffffa, image+0xfffffffffffffffa\n");
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, start, finish)
    const struct CMUnitTest tests[] = {
        TEST(the_whole_story),
        TEST(kinds),
        TEST(other_threads),
        TEST(one_thread_is_not_told_twice),
        TEST(three_times_in_full),
        TEST(thirty_two_in_all),
        TEST(a_ring_ends),
        TEST(frames_that_are_none),
        TEST(an_endless_stack),
        TEST(links),
        TEST(what_it_says_of_itself),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
