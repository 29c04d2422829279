/* test_line.c: the line editor, against a terminal of one row that the test draws for itself. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <lib/line.h>

/* What a person would see: one row with a cursor, and what was above it. */
struct terminal {
    struct printer printer;
    char row[256];
    int cursor, bells, rows;
};

static void terminal_escape(struct terminal *terminal, const char **at, const char *end)
{
    int number = 0;

    for (*at += 2; *at < end && **at >= '0' && **at <= '9'; (*at)++)
        number = number * 10 + (**at - '0');
    assert_true(*at < end);
    if (**at == 'D')
        terminal->cursor -= number;
    else if (**at == 'C')
        terminal->cursor += number;
    else if (**at == 'K')
        memset(terminal->row + terminal->cursor, ' ', sizeof terminal->row - (size_t)terminal->cursor);
    else
        fail_msg("unknown escape %c", **at);
    assert_in_range(terminal->cursor, 0, 80);
}

static void terminal_write(struct printer *printer, const char *text, size_t length)
{
    struct terminal *terminal = (struct terminal *)printer;

    for (const char *at = text, *end = text + length; at < end; at++) {
        if (*at == '\x1b') {
            terminal_escape(terminal, &at, end);
        } else if (*at == '\n') {
            terminal->rows++;
            terminal->cursor = 0;
            memset(terminal->row, ' ', sizeof terminal->row);
        } else if (*at == '\r') {
            terminal->cursor = 0;
        } else if (*at == '\a') {
            terminal->bells++;
        } else {
            assert_in_range(*at, ' ', '~');
            assert_in_range(terminal->cursor, 0, 79);
            terminal->row[terminal->cursor++] = *at;
        }
    }
}

static struct terminal terminal;
static struct line_editor editor;

static int set_up(void **state)
{
    (void)state;
    memset(&terminal, 0, sizeof terminal);
    memset(terminal.row, ' ', sizeof terminal.row);
    terminal.printer.write = terminal_write;
    line_init(&editor, "> ", &terminal.printer);
    line_start(&editor);
    return 0;
}

static enum line_event type(const char *bytes)
{
    enum line_event event = LINE_NONE;

    for (; *bytes != '\0'; bytes++)
        event = line_byte(&editor, (uint8_t)*bytes);
    return event;
}

/* The row shows the prompt and the text, the cursor stands where the editor believes. */
static void check_row(void)
{
    char expected[256];
    int length = snprintf(expected, sizeof expected, "> %s", editor.text);

    assert_memory_equal(terminal.row, expected, (size_t)length);
    for (int i = length; i < 100; i++)
        assert_int_equal(terminal.row[i], ' ');
    assert_int_equal(terminal.cursor, 2 + editor.cursor);
    assert_int_equal(strlen(editor.text), editor.length);
    assert_true(editor.cursor <= editor.length);
}

static void test_editing(void **state)
{
    static const struct {
        const char *keys, *text;
    } cases[] = {
        {"hello", "hello"},
        {"helo\x1b[Dl", "hello"},
        {"hellx\x7fo", "hello"},
        {"xhello\x01\x04", "hello"},
        {"ello\x1b[Hh", "hello"},
        {"hel\x1b[1~\x1b[4~lo", "hello"},
        {"hello world\x17\x08", "hello"},
        {"hello world\x1b[D\x1b[D\x1b[D\x1b[D\x1b[D\x1b[D\x0b", "hello"},
        {"garbage\x15hello", "hello"},
        {"hxello\x01\x06\x1b[3~", "hello"},
        {"hello\x0c", "hello"},
        {"he\x1b[99zllo", "hello"},
        {"he\x02\x05llo\x1bOH\x1bOF", "hello"},
    };
    (void)state;

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        set_up(NULL);
        type(cases[i].keys);
        assert_string_equal(editor.text, cases[i].text);
        check_row();
    }
}

static void test_line_ends(void **state)
{
    (void)state;
    assert_int_equal(type("one\r"), LINE_DONE);
    assert_string_equal(editor.text, "one");
    line_start(&editor);
    assert_int_equal(line_byte(&editor, '\n'), LINE_NONE); /* the second half of CR LF */
    assert_int_equal(line_byte(&editor, '\n'), LINE_DONE);
    line_start(&editor);
    assert_int_equal(type("half\x03"), LINE_CANCELLED);
}

static void test_history(void **state)
{
    char line[16];

    (void)state;
    for (int i = 0; i < 12; i++) {
        snprintf(line, sizeof line, "line %d\r", i);
        assert_int_equal(type(line), LINE_DONE);
        line_start(&editor);
    }
    type("new\x1b[A");
    assert_string_equal(editor.text, "line 11");
    check_row();
    for (int i = 0; i < 20; i++)
        type("\x10");
    assert_string_equal(editor.text, "line 4"); /* the oldest of eight */
    assert_true(terminal.bells > 0);
    for (int i = 0; i < 20; i++)
        type("\x1b[B");
    assert_string_equal(editor.text, "new");
    check_row();
}

static void test_capacity(void **state)
{
    (void)state;
    for (int i = 0; i < 200; i++)
        type("x");
    assert_int_equal(editor.length, LINE_CAPACITY);
    assert_int_equal(terminal.bells, 200 - LINE_CAPACITY);
    check_row();
}

/* A line of the log may come between any two bytes: what is typed is the same for it. */
static void test_drawn_again(void **state)
{
    static const char keys[] = "uptime\r\nxy\x1b[Dz\x1b[3~\x1b[1~a\x1bOF\x0b";
    const size_t count = sizeof keys - 1;

    (void)state;
    for (size_t between = 0; between <= count; between++) {
        unsigned done = 0;
        set_up(NULL);
        for (size_t i = 0; i < count; i++) {
            if (i == between)
                line_redraw(&editor);
            if (line_byte(&editor, (uint8_t)keys[i]) == LINE_DONE) {
                done++;
                line_start(&editor);
            }
        }
        assert_int_equal(done, 1);
        assert_string_equal(editor.text, "axz");
        check_row();
    }
}

static void test_any_bytes(void **state)
{
    (void)state;
    srand(7);
    for (int i = 0; i < 200000; i++) {
        static const char keys[] = "ab \x7f\x01\x02\x04\x05\x06\x0b\x0c\x0e\x10\x15\x17\x1b[ABCDHF13~O\r\x03\xff";
        if (line_byte(&editor, (uint8_t)keys[(size_t)rand() % (sizeof keys - 1)]) != LINE_NONE)
            line_start(&editor);
        check_row();
    }
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_editing, set_up),   cmocka_unit_test_setup(test_line_ends, set_up),
        cmocka_unit_test_setup(test_history, set_up),   cmocka_unit_test_setup(test_capacity, set_up),
        cmocka_unit_test_setup(test_any_bytes, set_up), cmocka_unit_test_setup(test_drawn_again, set_up),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
