/* test_log.c: the kernel's log: its ring, and a console that may come late. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The host's log has the name. */
#define log_line kernel_log_line
#include <kernel/log.c>

/* ---- A console -------------------------------------------------------------------------------------------- */

static char console[1 << 17], tail[1 << 15];
static size_t console_used, tail_used;
static bool ready;
static uint64_t now_ns;
static int disabled;
static unsigned moves;

unsigned serial_moves(void)
{
    return moves;
}

bool serial_ready(void)
{
    return ready;
}

void serial_write(const char *text, size_t length)
{
    assert_true(console_used + length < sizeof console);
    memcpy(console + console_used, text, length);
    console_used += length;
    console[console_used] = '\0';
}

static void tail_write(struct printer *printer, const char *text, size_t length)
{
    (void)printer;
    assert_true(tail_used + length < sizeof tail);
    memcpy(tail + tail_used, text, length);
    tail_used += length;
    tail[tail_used] = '\0';
}

static const char *tail_of(unsigned lines)
{
    struct printer printer = {.write = tail_write};

    tail_used = 0;
    tail[0] = '\0';
    log_tail(&printer, lines);
    return tail;
}

uint64_t clock_now(void)
{
    return now_ns;
}

uintptr_t cpu_interrupts_disable(void)
{
    return disabled++ == 0;
}

void cpu_interrupts_restore(uintptr_t saved)
{
    disabled--;
    assert_int_equal(saved, disabled == 0);
}

static int fresh(void **state)
{
    (void)state;
    memset(ring, 0, sizeof ring);
    written = flushed = 0;
    memset(first_line, 0, sizeof first_line);
    prompt_stands = disturbed = false;
    threshold = LOG_INFO;
    console_used = 0;
    console[0] = '\0';
    ready = true;
    now_ns = 0;
    return 0;
}

/* ---- Lines -------------------------------------------------------------------------------------------------- */

static void forms(void **state)
{
    (void)state;
    now_ns = 12345678;
    log_info("memory", "%u MiB usable", 128);
    say("ready");
    say_device("virtio-blk0", "%s", "a disk");
    now_ns = UINT64_C(123456) * NANOSECONDS_PER_SECOND + 7000;
    log_error("x", "late");
    assert_string_equal(console, "[    0.012345] memory: 128 MiB usable\n"
                                 "ready\n"
                                 "device virtio-blk0: a disk\n"
                                 "[123456.000007] x: late\n");
    assert_int_equal(disabled, 0);
}

static void levels(void **state)
{
    static const char *const words[] = {": 0\n", ": 1\n", ": 2\n", ": 3\n"};

    (void)state;
    for (int level = LOG_ERROR; level <= LOG_DEBUG; level++) {
        fresh(NULL);
        log_set_level((enum log_level)level);
        log_error("x", "0");
        log_warn("x", "1");
        log_info("x", "2");
        log_debug("x", "3");
        for (int i = LOG_ERROR; i <= LOG_DEBUG; i++)
            assert_int_equal(strstr(console, words[i]) != NULL, i <= level);
        say("always");
        assert_non_null(strstr(console, "always"));
    }
}

/* What devices and tables say must not steer a terminal, nor look like a line of somebody else. */
static void control_bytes(void **state)
{
    char all[257];

    (void)state;
    for (int i = 0; i < 256; i++)
        all[i] = (char)(i + 1);
    all[255] = '\0';
    log_info("acpi", "%.160s", all);
    log_info("acpi", "%.160s", all + 100);
    say("%s", "two\nlines\r\x1b[2J");
    say_device("a\nb", "c");
    log_info("who\n[    0.000000] root", "forged");
    unsigned lines = 0;
    for (size_t i = 0; i < console_used; i++) {
        lines += console[i] == '\n';
        assert_true(console[i] == '\n' || (console[i] >= ' ' && console[i] <= '~'));
    }
    assert_int_equal(lines, 5);
    assert_non_null(strstr(console, "two?lines??[2J\n"));
    assert_non_null(strstr(console, "device a?b: c\n"));
}

static void long_lines(void **state)
{
    char text[4096];

    (void)state;
    for (size_t length = LINE_SIZE - 24; length < LINE_SIZE + 4; length++) {
        memset(text, 'a', sizeof text);
        text[length] = '\0';
        fresh(NULL);
        log_info("who", "%s", text);
        assert_true(console_used < LINE_SIZE);
        assert_int_equal(console[console_used - 1], '\n');
        assert_ptr_equal(strchr(console, '\n'), console + console_used - 1);
        fresh(NULL);
        say("%s", text);
        assert_int_equal(console_used, length < LINE_SIZE - 1 ? length + 1 : LINE_SIZE - 1);
        fresh(NULL);
        say_device(text, "x"); /* a name that leaves no room */
        log_info(text, "x");
        assert_true(console_used < 2 * LINE_SIZE);
        assert_int_equal(console[console_used - 1], '\n');
    }
    memset(text, 'b', sizeof text);
    text[sizeof text - 1] = '\0';
    fresh(NULL);
    log_info(text, "%s", text);
    say_device(text, "%s", text);
    say("%s", text);
    assert_true(console_used < 3 * LINE_SIZE);
}

/* A console that takes the place of another has seen nothing: it is told everything that the ring still holds, once. */
static void replayed_to_another_console(void **state)
{
    (void)state;
    say("the first line");
    log_info("who", "said to the first console");
    console_used = 0;
    console[0] = '\0';
    moves++;
    log_info("who", "said to the second");
    assert_ptr_equal(strstr(console, "the first line\n"), console);
    assert_non_null(strstr(console, "said to the first console"));
    assert_non_null(strstr(console, "said to the second"));
    console_used = 0;
    console[0] = '\0';
    log_info("who", "only this");
    assert_null(strstr(console, "said to"));
}

/* ---- The ring ------------------------------------------------------------------------------------------------ */

/* A line of its own for each number, of a length that differs. */
static void write_numbered(unsigned first, unsigned count)
{
    for (unsigned i = first; i < first + count; i++)
        say("line %u %.*s", i, (int)(i * 7 % 60), "............................................................");
}

static const char *find_line(const char *text, unsigned number)
{
    char word[24];

    snprintf(word, sizeof word, "line %u ", number);
    return strstr(text, word);
}

/* The text is whole lines with ascending numbers, up to `last`; returns the first. */
static unsigned check_lines(const char *text, unsigned last)
{
    unsigned first = 0, expected = 0;

    for (const char *at = text; *at != '\0'; at = strchr(at, '\n') + 1) {
        unsigned number = 0;
        assert_int_equal(sscanf(at, "line %u ", &number), 1);
        if (at == text)
            first = expected = number;
        assert_int_equal(number, expected++);
    }
    assert_int_equal(expected, last + 1);
    return first;
}

static void wraps(void **state)
{
    (void)state;
    write_numbered(0, 2000);
    assert_true(written > 4 * RING_SIZE);
    assert_int_equal(check_lines(console, 1999), 0); /* the console saw all */
    unsigned first = check_lines(tail_of(100000), 1999);
    assert_in_range(tail_used, RING_SIZE - LINE_SIZE, RING_SIZE); /* and the ring holds what fits */
    assert_true(first > 0);
    assert_true(log_contains("line 1999 "));
    assert_false(log_contains("line 2000 "));
    assert_false(log_contains("line 3 "));
}

static void tails(void **state)
{
    (void)state;
    assert_string_equal(tail_of(5), "");
    say("only");
    assert_string_equal(tail_of(1), "only\n");
    assert_string_equal(tail_of(5), "only\n");
    assert_string_equal(tail_of(0), "");
    say("%s", "");
    say("last");
    assert_string_equal(tail_of(1), "last\n");
    assert_string_equal(tail_of(2), "\nlast\n");
    assert_string_equal(tail_of(3), "only\n\nlast\n");
    fresh(NULL);
    write_numbered(0, 1000);
    for (unsigned lines = 1; lines < 100; lines++)
        assert_int_equal(check_lines(tail_of(lines), 999), 1000 - lines);
    /* Right at the ring's end: a line that begins with the oldest byte, and one whose begin is gone. */
    for (unsigned extra = 0; extra < 90; extra++) {
        fresh(NULL);
        for (unsigned i = 0; written < RING_SIZE + extra; i++)
            say("line %u", i);
        const char *text = tail_of(100000);
        assert_memory_equal(text, "line ", 5);
        assert_int_equal(tail[tail_used - 1], '\n');
    }
}

/* ---- A late console --------------------------------------------------------------------------------------------- */

static void late_console(void **state)
{
    (void)state;
    ready = false;
    write_numbered(0, 50);
    assert_int_equal(console_used, 0);
    log_flush();
    assert_int_equal(console_used, 0);
    ready = true;
    log_flush();
    assert_int_equal(check_lines(console, 49), 0);
    log_flush(); /* nothing twice */
    assert_int_equal(check_lines(console, 49), 0);
    write_numbered(50, 10);
    assert_int_equal(check_lines(console, 59), 0);
}

/* Told with the next line, too; and across the place where the ring begins again. */
static void late_without_flush(void **state)
{
    (void)state;
    write_numbered(0, 150);
    ready = false;
    write_numbered(150, 50);
    ready = true;
    write_numbered(200, 1);
    assert_int_equal(check_lines(console, 200), 0);
}

/* So late that the ring has lost lines: the first line, how much is missing, and then only whole lines. */
static void too_late(void **state)
{
    (void)state;
    ready = false;
    write_numbered(0, 1000);
    ready = true;
    log_flush();
    assert_memory_equal(console, "line 0 \n... ", 12);
    const char *rest = strchr(strchr(console, '\n') + 1, '\n') + 1;
    unsigned first = check_lines(rest, 999);
    assert_true(first > 1);
    assert_null(find_line(rest, first - 1));
    /* The number of bytes lost is that of the lines left out. */
    size_t lost = 0;
    for (unsigned i = 1; i < first; i++)
        lost += (size_t)snprintf(NULL, 0, "line %u ", i) + i * 7 % 60 + 1;
    assert_int_equal(strtoul(console + 12, NULL, 10), lost);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup(name, fresh)
        TEST(forms), TEST(levels),       TEST(control_bytes),      TEST(long_lines), TEST(wraps),
        TEST(tails), TEST(late_console), TEST(late_without_flush), TEST(too_late),   TEST(replayed_to_another_console),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
