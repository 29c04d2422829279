/* test_console_write.c: what processes write: lines, what they cost, how many at once, and what is left at the end. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "host_log.h"
#include "object_world.h"
#include "random.h"

#include <kernel/process/console_write.h>

enum { TEXT_AT = 0x10000, TEXT_MOST = 4096, LINES_MOST = 4096 };

/* ---- What it stands on: a user's memory, a clock, a port ---- */

static char memory[TEXT_MOST];
static uint64_t now_ns;
static struct process *process;
static unsigned interrupts_taken;
static uint64_t port_bytes; /* of this process's lines */
static char said[LINES_MOST][CONSOLE_LINE + 1];
static unsigned said_count;
static uint64_t byte_ns;          /* what the port takes for each; 0: no time */
static void (*meanwhile)(void);   /* when interrupts are on between two lines, */
static void (*at_the_port)(void); /* and while a line goes out */

uint64_t clock_now(void)
{
    return now_ns;
}

bool user_copy_in(void *to, uintptr_t from, size_t size)
{
    if (from < TEXT_AT || size > TEXT_MOST || from - TEXT_AT > TEXT_MOST - size)
        return false;
    memcpy(to, memory + (from - TEXT_AT), size);
    return true;
}

void cpu_interrupts_take(void)
{
    assert_null(objects_lock.owner);
    interrupts_taken++;
    if (meanwhile != NULL)
        meanwhile();
}

void __wrap_log_line(enum log_level level, const char *who, const char *format, ...);
void __wrap_log_line(enum log_level level, const char *who, const char *format, ...)
{
    void (*other)(void) = at_the_port;
    char text[512];
    va_list arguments;

    assert_null(objects_lock.owner); /* nobody waits for the port */
    at_the_port = NULL;
    if (other != NULL)
        other();
    va_start(arguments, format);
    int length = vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    assert_int_equal(level, LOG_INFO);
    assert_true(length >= 0 && length <= CONSOLE_LINE && said_count < LINES_MOST);
    assert_true(process->state < PROCESS_ENDED); /* who is told of its end has seen all of it */
    strcpy(said[said_count++], text);
    uint64_t bytes = (uint64_t)snprintf(NULL, 0, "[    0.012345] %s: %s\r\n", who, text);
    port_bytes += bytes;
    now_ns += bytes * byte_ns;
}

/* As the system call does: with the lock. */
static enum status write_bytes(const char *text, size_t size, uint64_t *taken)
{
    uintptr_t saved = lock_take(&objects_lock);

    assert_true(size <= TEXT_MOST);
    memcpy(memory, text, size);
    *taken = 0;
    enum status status = console_write(process, TEXT_AT, size, taken);
    assert_non_null(objects_lock.owner);
    lock_release(&objects_lock, saved);
    return status;
}

static void put(const char *text)
{
    uint64_t taken;

    assert_int_equal(write_bytes(text, strlen(text), &taken), STATUS_OK);
    assert_int_equal(taken, strlen(text));
}

static void said_is(unsigned index, const char *text)
{
    assert_true(index < said_count);
    assert_string_equal(said[index], text);
}

static int start(void **state)
{
    world_start(state);
    now_ns = NANOSECONDS_PER_SECOND;
    process = world_process(&kernel_process);
    said_count = interrupts_taken = 0;
    port_bytes = byte_ns = 0;
    meanwhile = at_the_port = NULL;
    return 0;
}

static int finish(void **state)
{
    if (process->state < PROCESS_ENDING)
        process_end(process, END_KILLED, 0);
    world_reap();
    object_release(&process->object);
    return world_end(state);
}

/* ---- Lines ---- */

static void lines(void **state)
{
    (void)state;
    put("one\ttwo\t\t3\n\nhalf");
    assert_int_equal(said_count, 2);
    said_is(0, "one     two             3");
    said_is(1, "");
    put(" a line\t");
    assert_int_equal(said_count, 2);
    put("\n");
    said_is(2, "half a line     ");
    assert_int_equal(interrupts_taken, said_count);
}

/* What steers a terminal is the log's to replace; a NUL would hide the rest of the line from it. */
static void control_characters(void **state)
{
    uint64_t taken;

    (void)state;
    assert_int_equal(write_bytes("a\0b\x1b[2J\n", 8, &taken), STATUS_OK);
    said_is(0, "a?b\x1b[2J");
}

static void long_lines_are_broken(void **state)
{
    char text[1024], line[CONSOLE_LINE + 1] = "";
    uint64_t taken;

    (void)state;
    memset(text, 'x', sizeof text);
    memset(line, 'x', CONSOLE_LINE);
    assert_int_equal(write_bytes(text, sizeof text, &taken), STATUS_OK);
    assert_int_equal(taken, sizeof text);
    assert_int_equal(said_count, 5);
    for (unsigned i = 0; i < 5; i++)
        said_is(i, line);
    put("\n"); /* the 24 that are left */
    assert_int_equal(strlen(said[5]), sizeof text - 5 * CONSOLE_LINE);
    text[CONSOLE_LINE] = '\n'; /* as long as a line can be, and ended: one line, not two */
    assert_int_equal(write_bytes(text, CONSOLE_LINE + 1, &taken), STATUS_OK);
    assert_int_equal(said_count, 7);
    said_is(6, line);
}

/* ---- How many at once ---- */

static void eight_lines_a_call(void **state)
{
    char text[TEXT_MOST];
    uint64_t taken;

    (void)state;
    memset(text, '\n', sizeof text);
    assert_int_equal(write_bytes(text, 1024, &taken), STATUS_OK);
    assert_int_equal(taken, CONSOLE_LINES_AT_ONCE);
    assert_int_equal(said_count, CONSOLE_LINES_AT_ONCE);
    assert_int_equal(interrupts_taken, CONSOLE_LINES_AT_ONCE);
    assert_int_equal(write_bytes("1\n2\n3\n4\n5\n6\n7\n8\n9\n", 18, &taken), STATUS_OK);
    assert_int_equal(taken, 16);
    said_is(15, "8");
    memset(text, '\t', sizeof text); /* 25 of them fill a line */
    assert_int_equal(write_bytes(text, 1024, &taken), STATUS_OK);
    assert_int_equal(taken, 25 * CONSOLE_LINES_AT_ONCE);
    assert_int_equal(said_count, 3 * CONSOLE_LINES_AT_ONCE);
    memset(text, '.', sizeof text);
    assert_int_equal(write_bytes(text, TEXT_MOST, &taken), STATUS_OK);
    assert_int_equal(taken, CONSOLE_WRITE_MOST);
}

/* ---- What it costs ---- */

/* Writes the text until it is refused; how many bytes of it were taken in all. */
static uint64_t exhaust(const char *text, size_t size)
{
    uint64_t taken, sum = 0;
    enum status status;

    while ((status = write_bytes(text, size, &taken)) == STATUS_OK)
        sum += taken;
    assert_int_equal(status, STATUS_BUSY);
    assert_int_equal(taken, 0);
    return sum;
}

/* What comes out at the port is what is paid: the shortest lines cost most. */
static void what_counts_is_what_comes_out(void **state)
{
    char text[1024];
    uint64_t line = strlen("[    0.012345] child[1]: \r\n");

    (void)state;
    memset(text, '\n', sizeof text);
    uint64_t sum = exhaust(text, sizeof text);
    assert_int_equal(strlen("child[1]"), snprintf(NULL, 0, "child[%llu]", (unsigned long long)process->id));
    assert_int_equal(sum, CONSOLE_BURST / line);
    assert_true(port_bytes <= CONSOLE_BURST && port_bytes > CONSOLE_BURST - line);
    now_ns += NANOSECONDS_PER_SECOND / 2;
    port_bytes = 0;
    memset(text, '\t', sizeof text);
    exhaust(text, sizeof text);
    assert_true(port_bytes <= CONSOLE_RATE / 2 + line && port_bytes > CONSOLE_RATE / 2 - 2 * (CONSOLE_LINE + line));
    now_ns += 100 * NANOSECONDS_PER_SECOND; /* what was not used does not add up */
    port_bytes = 0;
    exhaust("x\n", 2);
    assert_true(port_bytes <= CONSOLE_BURST + CONSOLE_LINE + line);
}

/* A port that takes long is had for a quarter of the time, whatever may go out by the byte. */
static void a_slow_port_is_shared(void **state)
{
    uint64_t taken, begun_ns, line = strlen("[    0.012345] child[1]: x\r\n");

    (void)state;
    byte_ns = 100 * NANOSECONDS_PER_MICROSECOND;
    now_ns += 100 * NANOSECONDS_PER_SECOND;
    begun_ns = now_ns;
    port_bytes = 0;
    while (now_ns - begun_ns < 20 * NANOSECONDS_PER_SECOND)
        if (write_bytes("x\nx\nx\n", 6, &taken) == STATUS_BUSY)
            now_ns += NANOSECONDS_PER_MILLISECOND;
    uint64_t took_ns = port_bytes * byte_ns, fair_ns = CONSOLE_PORT_BURST_NS + (now_ns - begun_ns) / CONSOLE_PORT_SHARE;
    assert_true(took_ns <= fair_ns + line * byte_ns && took_ns >= fair_ns - fair_ns / 20);
}

/* Who had to wait for it once, for others or for the host, is not shut out for as long again and again. */
static void a_stalled_port_is_not_paid_for_ever(void **state)
{
    uint64_t taken;

    (void)state;
    byte_ns = NANOSECONDS_PER_SECOND;
    put("x\n");
    byte_ns = 0;
    assert_int_equal(write_bytes("y\n", 2, &taken), STATUS_BUSY);
    now_ns += CONSOLE_PORT_BURST_NS * CONSOLE_PORT_SHARE;
    assert_int_equal(write_bytes("y\n", 2, &taken), STATUS_BUSY);
    now_ns += CONSOLE_PORT_SHARE;
    put("y\n");
}

/* What is too much is not taken in part: a line that one refusal has torn would go on with another. */
static void what_is_refused_is_refused_whole(void **state)
{
    uint64_t taken;

    (void)state;
    put("a beginning, ");
    exhaust("\n\n", 2);
    unsigned before = said_count;
    assert_int_equal(write_bytes("of a line\n", 10, &taken), STATUS_BUSY);
    assert_int_equal(said_count, before);
    now_ns += NANOSECONDS_PER_SECOND / CONSOLE_RATE * 50; /* enough for a line with 23 characters */
    assert_int_equal(write_bytes("some\nmuch more text than there is room for\n", 43, &taken), STATUS_OK);
    assert_int_equal(taken, 5);
    said_is(said_count - 1, "some");
    assert_int_equal(write_bytes("much more text than there is room for", 37, &taken), STATUS_BUSY);
    now_ns += NANOSECONDS_PER_SECOND;
    put("after\n");
    said_is(said_count - 1, "after");
}

static void nothing_of_nothing(void **state)
{
    uint64_t taken;

    (void)state;
    assert_int_equal(write_bytes("", 0, &taken), STATUS_OK);
    assert_int_equal(taken, 0);
    exhaust("\n", 1);
    assert_int_equal(write_bytes("", 0, &taken), STATUS_OK);
}

static void refusals(void **state)
{
    uint64_t taken = 0, used = process->used[BUDGET_MEMORY];

    (void)state;
    uintptr_t saved = lock_take(&objects_lock);
    assert_int_equal(console_write(process, TEXT_AT - 1, 10, &taken), STATUS_BAD_ADDRESS);
    assert_int_equal(console_write(process, TEXT_AT + TEXT_MOST - 9, 10, &taken), STATUS_BAD_ADDRESS);
    assert_int_equal(console_write(process, UINT64_C(0xffffffff80000000), 10, &taken), STATUS_BAD_ADDRESS);
    assert_int_equal(process->used[BUDGET_MEMORY], used);
    world_heap_left = 0;
    assert_int_equal(console_write(process, TEXT_AT, 1, &taken), STATUS_LIMIT);
    world_heap_left = -1;
    process->used[BUDGET_MEMORY] = process->limits[BUDGET_MEMORY] - 8;
    assert_int_equal(console_write(process, TEXT_AT, 1, &taken), STATUS_LIMIT);
    process->used[BUDGET_MEMORY] = used;
    assert_int_equal(said_count, 0);
    lock_release(&objects_lock, saved);
}

/* ---- More threads than one ---- */

static void another_thread(void)
{
    static bool within;

    if (within)
        return;
    within = true;
    put("other\n");
    within = false;
}

/* Lines that are whole stay so, whoever writes between them; and both pay. */
static void two_threads(void **state)
{
    (void)state;
    meanwhile = another_thread;
    put("1\n2\n3\nend");
    meanwhile = NULL;
    assert_int_equal(said_count, 6);
    said_is(0, "1");
    said_is(1, "other");
    said_is(4, "3");
    said_is(5, "other");
    put("ing\n");
    said_is(6, "ending");
    exhaust("\n", 1);
    assert_true(port_bytes <= CONSOLE_BURST);
}

static void beginner(void)
{
    meanwhile = NULL;
    put("begun ");
}

/* What the other has only begun is not lost; the threads of a process share its line. */
static void a_line_that_another_has_begun(void **state)
{
    (void)state;
    meanwhile = beginner;
    put("1\n2\n");
    said_is(0, "1");
    said_is(1, "begun 2");
    assert_int_equal(said_count, 2);
    at_the_port = beginner;
    put("what goes out stays as it is\nnext\n");
    said_is(2, "what goes out stays as it is");
    said_is(3, "begun next");
}

/* ---- The end ---- */

static void the_last_line_goes_out(void **state)
{
    uint64_t used = process->used[BUDGET_MEMORY];

    (void)state;
    put("last words");
    assert_true(process->used[BUDGET_MEMORY] > used);
    process_end(process, END_EXIT, 0);
    assert_int_equal(said_count, 0);
    world_reap();
    assert_int_equal(said_count, 1);
    said_is(0, "last words");
    assert_int_equal(process->state, PROCESS_ENDED);
}

static void nobody_has_a_line_any_more(void **state)
{
    (void)state;
    put("whole\n");
    process_end(process, END_EXIT, 0);
    world_reap();
    assert_int_equal(said_count, 1);
}

/* ---- Anything: against a model that knows only what a line is ---- */

static void anything(void **state)
{
    static char expected[LINES_MOST][CONSOLE_LINE + 1];
    static const char characters[] = "ab\t\n\n cdefgh";
    struct test_random random = test_random_start();
    unsigned expected_count = 0, column = 0;
    uint64_t begin = now_ns;

    (void)state;
    while (expected_count < LINES_MOST - 1100) {
        char text[1100];
        size_t size = test_random_below(&random, sizeof text);
        uint64_t taken;
        unsigned calls = interrupts_taken;
        unsigned kind = (unsigned)test_random_below(&random, sizeof characters - 2);
        for (size_t i = 0; i < size; i++)
            text[i] = characters[kind + test_random_below(&random, sizeof characters - 1 - kind)];
        enum status status = write_bytes(text, size, &taken);
        assert_true(status == STATUS_OK || (status == STATUS_BUSY && taken == 0));
        assert_true(taken <= size && interrupts_taken - calls <= CONSOLE_LINES_AT_ONCE);
        assert_true(port_bytes <= CONSOLE_BURST + (now_ns - begin) / (NANOSECONDS_PER_SECOND / CONSOLE_RATE));
        for (size_t i = 0; i < taken; i++) {
            if (text[i] == '\n' || column == CONSOLE_LINE) {
                expected[expected_count++][column] = '\0';
                column = 0;
            }
            unsigned until = text[i] == '\n' ? 0 : text[i] == '\t' ? (column / 8 + 1) * 8 : column + 1;
            while (column < until)
                expected[expected_count][column++] = text[i] == '\t' ? ' ' : text[i];
        }
        assert_int_equal(said_count, expected_count);
        now_ns += test_random_below(&random, NANOSECONDS_PER_SECOND / 10);
    }
    for (unsigned i = 0; i < said_count; i++)
        said_is(i, expected[i]);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, start, finish)
    const struct CMUnitTest tests[] = {
        TEST(lines),
        TEST(control_characters),
        TEST(long_lines_are_broken),
        TEST(eight_lines_a_call),
        TEST(what_counts_is_what_comes_out),
        TEST(a_slow_port_is_shared),
        TEST(a_stalled_port_is_not_paid_for_ever),
        TEST(what_is_refused_is_refused_whole),
        TEST(nothing_of_nothing),
        TEST(refusals),
        TEST(two_threads),
        TEST(a_line_that_another_has_begun),
        TEST(the_last_line_goes_out),
        TEST(nobody_has_a_line_any_more),
        TEST(anything),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
