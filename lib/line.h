/*
 * line.h: a line editor for a serial terminal: bytes in, echo out. Pure; the owner moves the bytes.
 *
 * Keys: printable ASCII; Backspace, Delete; arrows, Home, End; Ctrl-A/E start/end, Ctrl-B/F left/right,
 * Ctrl-P/N and up/down history, Ctrl-K/U cut, Ctrl-W cut a word, Ctrl-L redraw, Ctrl-C give the line up.
 * A line fits one row of 80 columns; more is refused with a bell. Everything else is ignored.
 */
#ifndef LIB_LINE_H
#define LIB_LINE_H

#include <lib/printf.h>
#include <stdbool.h>
#include <stdint.h>

enum { LINE_CAPACITY = 72, LINE_HISTORY = 8 };

struct line_editor {
    const char *prompt;
    struct printer *echo;
    char text[LINE_CAPACITY + 1]; /* always terminated */
    uint8_t length, cursor;
    uint8_t escape;        /* state within an escape sequence */
    uint8_t escape_number; /* parameter of CSI n ~ */
    bool last_was_return;  /* so that CR LF ends one line */
    char history[LINE_HISTORY][LINE_CAPACITY + 1];
    uint8_t history_count, history_at; /* at == count: the line being written */
    char pending[LINE_CAPACITY + 1];   /* the line being written while history is shown */
};

enum line_event { LINE_NONE, LINE_DONE, LINE_CANCELLED };

/* `prompt` and `echo` stay the caller's and must last as long as the editor. */
void line_init(struct line_editor *editor, const char *prompt, struct printer *echo);
/* Shows the prompt for a new line. */
void line_start(struct line_editor *editor);
/* Shows prompt and line anew, as after something else was written over them: between any two bytes. */
void line_redraw(struct line_editor *editor);
/* LINE_DONE: `text` is the line, until line_start. It is in the history already. */
enum line_event line_byte(struct line_editor *editor, uint8_t byte);

#endif
