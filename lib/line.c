/* line.c: the line editor. Redraws from the cursor on with plain ANSI that every terminal knows. */
#include <lib/line.h>
#include <lib/string.h>
#include <lib/text.h>

enum { ESCAPE_NONE, ESCAPE_SEEN, ESCAPE_BRACKET, ESCAPE_O };

static void move_left(struct line_editor *editor, unsigned columns)
{
    if (columns != 0)
        print(editor->echo, "\x1b[%uD", columns);
}

/* Writes the text from the cursor on, clears what stood behind it, and puts the cursor back. */
static void redraw_tail(struct line_editor *editor)
{
    print(editor->echo, "%s\x1b[K", editor->text + editor->cursor);
    move_left(editor, (unsigned)(editor->length - editor->cursor));
}

void line_redraw(struct line_editor *editor)
{
    print(editor->echo, "\r%s%s\x1b[K", editor->prompt, editor->text);
    move_left(editor, (unsigned)(editor->length - editor->cursor));
}

static void bell(struct line_editor *editor)
{
    print(editor->echo, "\a");
}

static void insert(struct line_editor *editor, char byte)
{
    if (editor->length == LINE_CAPACITY) {
        bell(editor);
        return;
    }
    memmove(editor->text + editor->cursor + 1, editor->text + editor->cursor,
            (size_t)(editor->length - editor->cursor) + 1);
    editor->text[editor->cursor++] = byte;
    editor->length++;
    print(editor->echo, "%c", byte);
    if (editor->cursor != editor->length)
        redraw_tail(editor);
}

/* Removes [from, to) and leaves the cursor at from. */
static void cut(struct line_editor *editor, unsigned from, unsigned to)
{
    if (from == to)
        return;
    move_left(editor, editor->cursor > from ? editor->cursor - from : 0);
    memmove(editor->text + from, editor->text + to, (size_t)(editor->length - to) + 1);
    editor->length = (uint8_t)(editor->length - (to - from));
    editor->cursor = (uint8_t)from;
    redraw_tail(editor);
}

static void go_to(struct line_editor *editor, unsigned column)
{
    if (column < editor->cursor)
        move_left(editor, editor->cursor - column);
    else if (column > editor->cursor)
        print(editor->echo, "\x1b[%uC", column - editor->cursor);
    editor->cursor = (uint8_t)column;
}

static unsigned word_start(const struct line_editor *editor)
{
    unsigned at = editor->cursor;

    while (at > 0 && editor->text[at - 1] == ' ')
        at--;
    while (at > 0 && editor->text[at - 1] != ' ')
        at--;
    return at;
}

static void show_history(struct line_editor *editor, int step)
{
    int at = editor->history_at + step;

    if (at < 0 || at > editor->history_count) {
        bell(editor);
        return;
    }
    if (editor->history_at == editor->history_count)
        text_copy(editor->pending, editor->text, sizeof editor->pending);
    editor->history_at = (uint8_t)at;
    text_copy(editor->text, at == editor->history_count ? editor->pending : editor->history[at], sizeof editor->text);
    editor->length = editor->cursor = (uint8_t)strlen(editor->text);
    line_redraw(editor);
}

static void remember(struct line_editor *editor)
{
    if (editor->length == 0 ||
        (editor->history_count != 0 && strcmp(editor->history[editor->history_count - 1], editor->text) == 0))
        return;
    if (editor->history_count == LINE_HISTORY) {
        memmove(editor->history[0], editor->history[1], sizeof editor->history - sizeof editor->history[0]);
        editor->history_count--;
    }
    text_copy(editor->history[editor->history_count++], editor->text, sizeof editor->text);
}

static void escape_final(struct line_editor *editor, uint8_t byte)
{
    editor->escape = ESCAPE_NONE;
    if (byte == 'A')
        show_history(editor, -1);
    else if (byte == 'B')
        show_history(editor, 1);
    else if (byte == 'C' && editor->cursor < editor->length)
        go_to(editor, editor->cursor + 1u);
    else if (byte == 'D' && editor->cursor > 0)
        go_to(editor, editor->cursor - 1u);
    else if (byte == 'H' || (byte == '~' && (editor->escape_number == 1 || editor->escape_number == 7)))
        go_to(editor, 0);
    else if (byte == 'F' || (byte == '~' && (editor->escape_number == 4 || editor->escape_number == 8)))
        go_to(editor, editor->length);
    else if (byte == '~' && editor->escape_number == 3 && editor->cursor < editor->length)
        cut(editor, editor->cursor, editor->cursor + 1u);
}

static void escape_byte(struct line_editor *editor, uint8_t byte)
{
    if (editor->escape == ESCAPE_SEEN) {
        editor->escape = byte == '[' ? ESCAPE_BRACKET : byte == 'O' ? ESCAPE_O : ESCAPE_NONE;
        editor->escape_number = 0;
    } else if (editor->escape == ESCAPE_BRACKET && byte >= '0' && byte <= '9') {
        editor->escape_number = (uint8_t)((editor->escape_number * 10 + (byte - '0')) % 100);
    } else if (byte >= 0x40 && byte <= 0x7e) {
        escape_final(editor, byte);
    } else if (byte < 0x20 || byte == 0x7f) {
        editor->escape = ESCAPE_NONE;
    }
}

static void control(struct line_editor *editor, uint8_t byte)
{
    switch (byte) {
    case 0x01: /* Ctrl-A */
        go_to(editor, 0);
        break;
    case 0x02: /* Ctrl-B */
        go_to(editor, editor->cursor > 0 ? editor->cursor - 1u : 0);
        break;
    case 0x05: /* Ctrl-E */
        go_to(editor, editor->length);
        break;
    case 0x06: /* Ctrl-F */
        go_to(editor, editor->cursor < editor->length ? editor->cursor + 1u : editor->length);
        break;
    case 0x08:
    case 0x7f: /* Backspace */
        if (editor->cursor > 0)
            cut(editor, editor->cursor - 1u, editor->cursor);
        break;
    case 0x04: /* Ctrl-D */
        if (editor->cursor < editor->length)
            cut(editor, editor->cursor, editor->cursor + 1u);
        break;
    case 0x0b: /* Ctrl-K */
        cut(editor, editor->cursor, editor->length);
        break;
    case 0x0c: /* Ctrl-L */
        line_redraw(editor);
        break;
    case 0x0e: /* Ctrl-N */
        show_history(editor, 1);
        break;
    case 0x10: /* Ctrl-P */
        show_history(editor, -1);
        break;
    case 0x15: /* Ctrl-U */
        cut(editor, 0, editor->cursor);
        break;
    case 0x17: /* Ctrl-W */
        cut(editor, word_start(editor), editor->cursor);
        break;
    case 0x1b:
        editor->escape = ESCAPE_SEEN;
        break;
    default:
        break;
    }
}

void line_init(struct line_editor *editor, const char *prompt, struct printer *echo)
{
    memset(editor, 0, sizeof *editor);
    editor->prompt = prompt;
    editor->echo = echo;
}

void line_start(struct line_editor *editor)
{
    editor->length = editor->cursor = 0;
    editor->text[0] = '\0';
    editor->history_at = editor->history_count;
    editor->escape = ESCAPE_NONE;
    print(editor->echo, "%s", editor->prompt);
}

enum line_event line_byte(struct line_editor *editor, uint8_t byte)
{
    bool second_half = byte == '\n' && editor->last_was_return;

    editor->last_was_return = byte == '\r';
    if (second_half)
        return LINE_NONE;
    if (byte == '\r' || byte == '\n') {
        editor->escape = ESCAPE_NONE;
        remember(editor);
        print(editor->echo, "\n");
        return LINE_DONE;
    }
    if (byte == 0x03) { /* Ctrl-C */
        print(editor->echo, "^C\n");
        return LINE_CANCELLED;
    }
    if (editor->escape != ESCAPE_NONE)
        escape_byte(editor, byte);
    else if (byte >= ' ' && byte <= '~')
        insert(editor, (char)byte);
    else
        control(editor, byte);
    return LINE_NONE;
}
