/* test_pager.c: a command's output in pages, and its end by a key or by Ctrl-C. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include <kernel/console.h>
#include <kernel/log.h>
#include <kernel/pager.h>

/* ---- A console: what it shows, and the keys that will come, of which `0` stands for a line of the log ---- */

static char shown[1 << 16];
static size_t length;
static const char *keys;
static unsigned keys_asked, asked_about_control_c, control_c_at; /* 0: never */

static void show(struct printer *printer, const char *text, size_t size)
{
    (void)printer;
    assert_true(length + size < sizeof shown);
    memcpy(shown + length, text, size);
    length += size;
    shown[length] = '\0';
}

struct printer console_printer = {.write = show};

uint8_t console_key(void)
{
    assert_non_null(keys);
    keys_asked++;
    uint8_t key = (uint8_t)*keys;
    keys++;
    assert_true(key != '\0'); /* it asks no more often than it has to */
    return key == '0' ? 0 : key;
}

bool console_interrupted(void)
{
    return ++asked_about_control_c == control_c_at;
}

#define QUESTION "\r\x1b[K-- more: Space, Enter for a line, q --"
#define WIPE     "\r\x1b[K"

static int start(void **state)
{
    (void)state;
    pager_command(&console_printer, "off");
    length = 0;
    shown[0] = '\0';
    keys = NULL;
    keys_asked = asked_about_control_c = control_c_at = 0;
    return 0;
}

static void page(const char *arguments)
{
    pager_command(&console_printer, arguments);
    length = 0;
    shown[0] = '\0';
}

/* Lines 1 to count, each in one piece. */
static void count_to(struct printer *out, unsigned count)
{
    for (unsigned i = 1; i <= count; i++)
        print(out, "%u\n", i);
}

static unsigned times(const char *part)
{
    unsigned count = 0;

    for (const char *at = shown; (at = strstr(at, part)) != NULL; at++)
        count++;
    return count;
}

/* ---- Tests ---- */

static void off_is_all_at_once(void **state)
{
    (void)state;
    count_to(pager_begin(), 500);
    assert_int_equal(times("\n"), 500);
    assert_int_equal(keys_asked, 0);
    assert_int_equal(times(WIPE), 0);
}

static void pieces_are_as_they_come(void **state)
{
    struct printer *out;

    (void)state;
    page("5");
    out = pager_begin();
    print(out, "no line");
    assert_string_equal(shown, "no line");
    print(out, " yet, ");
    print(out, "now\nand\n\nthe rest");
    assert_string_equal(shown, "no line yet, now\nand\n\nthe rest");
    assert_int_equal(keys_asked, 0);
}

static void a_page_and_a_key(void **state)
{
    (void)state;
    page("5");
    keys = "   ";
    count_to(pager_begin(), 11);
    assert_string_equal(shown, "1\n2\n3\n4\n" QUESTION WIPE "5\n6\n7\n8\n" QUESTION WIPE "9\n10\n11\n");
}

/* Also at the end of a piece with more lines than a page. */
static void one_large_piece(void **state)
{
    (void)state;
    page("3");
    keys = "  ";
    print(pager_begin(), "1\n2\n3\n4\n5");
    assert_string_equal(shown, "1\n2\n" QUESTION WIPE "3\n4\n" QUESTION WIPE "5");
}

static void a_line_at_a_time(void **state)
{
    (void)state;
    page("5");
    keys = "\r\n ";
    count_to(pager_begin(), 8);
    assert_string_equal(shown, "1\n2\n3\n4\n" QUESTION WIPE "5\n" QUESTION WIPE "6\n" QUESTION WIPE "7\n8\n");
}

/* Other keys are none; after a line of the log the question comes again, and only then. */
static void what_is_no_answer(void **state)
{
    (void)state;
    page("3");
    keys = "x0y\x1b ";
    count_to(pager_begin(), 3);
    assert_string_equal(shown, "1\n2\n" QUESTION QUESTION WIPE "3\n");
}

static void enough(void **state)
{
    struct printer *out;

    (void)state;
    page("3");
    keys = "q";
    out = pager_begin();
    count_to(out, 100);
    print(out, "never\nseen");
    assert_string_equal(shown, "1\n2\n" QUESTION WIPE "...\n");
    page("3");
    keys = "\x03";
    count_to(pager_begin(), 100); /* the next command begins anew */
    assert_string_equal(shown, "1\n2\n" QUESTION WIPE "^C\n");
}

/* Whether pages are on or off; nothing of the line that comes next. */
static void control_c(void **state)
{
    struct printer *out = pager_begin();

    (void)state;
    control_c_at = 3;
    print(out, "1\n2\n3\n4\n5\n");
    count_to(out, 100);
    assert_string_equal(shown, "1\n2\n3\n^C\n");
    assert_int_equal(asked_about_control_c, 3);
}

static void what_page_says(void **state)
{
    static const struct {
        const char *arguments, *said;
    } rows[] = {
        {"", "output comes without a pause\n"},
        {"on", "output pauses after every 23 lines\n"},
        {"", "output pauses after every 23 lines\n"},
        {"3", "output pauses after every 2 lines\n"},
        {"1000", "output pauses after every 999 lines\n"},
        {"2", "\"2\" is no number of lines from 3 to 1000, nor `on`, nor `off`\n"},
        {"1001", "\"1001\" is no number of lines from 3 to 1000, nor `on`, nor `off`\n"},
        {"18446744073709551616",
         "\"18446744073709551616\" is no number of lines from 3 to 1000, nor `on`, nor `off`\n"},
        {"ON", "\"ON\" is no number of lines from 3 to 1000, nor `on`, nor `off`\n"},
        {"", "output pauses after every 999 lines\n"},
        {"off", "output comes without a pause\n"},
    };

    (void)state;
    for (unsigned i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        length = 0;
        pager_command(&console_printer, rows[i].arguments);
        assert_string_equal(shown, rows[i].said);
    }
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup(name, start)
    const struct CMUnitTest tests[] = {
        TEST(off_is_all_at_once), TEST(pieces_are_as_they_come), TEST(a_page_and_a_key), TEST(one_large_piece),
        TEST(a_line_at_a_time),   TEST(what_is_no_answer),       TEST(enough),           TEST(control_c),
        TEST(what_page_says),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
