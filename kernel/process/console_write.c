/* console_write.c: see console_write.h. */
#include "console_write.h"

#include "names.h"

#include <lib/log.h>
#include <lib/malloc.h>
#include <lib/string.h>

enum { TAB = 8, LINE_FRAME = sizeof "[    0.012345] : \r\n" - 1 /* what a line is more than its name and text */ };

/* It stays as long as a thread of the process has a CPU. */
struct console_line {
    uint64_t filled_ns; /* when `left` was right */
    uint64_t left;      /* bytes that may go out at once */
    uint64_t port_filled_ns;
    int64_t port_left_ns; /* of the port's time */
    uint32_t length;
    char who[PROCESS_TEXT_SIZE];
    char text[CONSOLE_LINE];
};

/* What of some text belongs to the line that stands. */
struct piece {
    size_t used;   /* bytes of the text */
    size_t length; /* of the line, with it */
    bool ends;     /* the line */
};

static struct console_line *last; /* of who has ended, and still to go out; its memory is nobody's to pay for */

static struct console_line *line_of(struct process *process)
{
    struct console_line *line = process->line;

    if (line == NULL && budget_take(process, BUDGET_MEMORY, sizeof *line)) {
        line = calloc(1, sizeof *line);
        if (line == NULL) {
            budget_give(process, BUDGET_MEMORY, sizeof *line);
        } else {
            *line = (struct console_line){.left = CONSOLE_BURST, .port_left_ns = CONSOLE_PORT_BURST_NS};
            line->filled_ns = line->port_filled_ns = clock_now();
            process_text(process, line->who);
        }
        process->line = line;
    }
    return line;
}

/* Time that is too short for a byte is counted the next time. */
static void fill(struct console_line *line)
{
    const uint64_t byte_ns = NANOSECONDS_PER_SECOND / CONSOLE_RATE;
    uint64_t now = clock_now(), bytes = (now - line->filled_ns) / byte_ns;
    uint64_t share_ns = (now - line->port_filled_ns) / CONSOLE_PORT_SHARE;

    line->filled_ns += bytes * byte_ns;
    line->left = bytes < CONSOLE_BURST - line->left ? line->left + bytes : CONSOLE_BURST;
    line->port_filled_ns += share_ns * CONSOLE_PORT_SHARE;
    bool full = share_ns >= (uint64_t)((int64_t)CONSOLE_PORT_BURST_NS - line->port_left_ns);
    line->port_left_ns = full ? (int64_t)CONSOLE_PORT_BURST_NS : line->port_left_ns + (int64_t)share_ns;
}

/* Up to the line's end, or the text's. The log replaces what could steer a terminal; a NUL would end the line there. */
static struct piece write_piece(struct console_line *line, const char *text, size_t size)
{
    struct piece piece = {.length = line->length};

    while (piece.used < size && !piece.ends) {
        char character = text[piece.used];
        piece.ends = character == '\n' || piece.length == CONSOLE_LINE;
        if (piece.ends && character != '\n')
            break; /* the next line's first */
        piece.used++;
        if (character == '\n')
            break;
        do
            line->text[piece.length++] = character == '\t' ? ' ' : character == '\0' ? '?' : character;
        while (character == '\t' && piece.length % TAB != 0);
    }
    return piece;
}
_Static_assert(CONSOLE_LINE % TAB == 0, "a tab ends within its line");

/* The piece becomes part of the line; false: it is more than may go out now. */
static bool pay(struct console_line *line, const struct piece *piece)
{
    bool begins = line->length == 0 && piece->used != 0;
    uint64_t cost = piece->length - line->length + (begins ? LINE_FRAME + strlen(line->who) : 0);

    if (cost > line->left || line->port_left_ns <= 0)
        return false;
    line->left -= cost;
    line->length = (uint32_t)piece->length;
    return true;
}

/* Meanwhile another thread of the process may go on with the next line. The time may be others', who write as well, or
 * the host's, which has put this CPU aside: what is owed for it is worked off before a program gives its text up. */
static void let_out(struct console_line *line)
{
    char text[CONSOLE_LINE];
    uint32_t length = line->length;

    memcpy(text, line->text, length);
    line->length = 0;
    lock_release(&objects_lock, cpu_interrupts_disable()); /* they are off, and stay so */
    uint64_t begun_ns = clock_now();
    log_info(line->who, "%.*s", (int)length, text);
    uint64_t took_ns = clock_now() - begun_ns;
    cpu_interrupts_take();
    lock_take(&objects_lock);
    line->port_left_ns -= (int64_t)took_ns;
    if (line->port_left_ns < -(int64_t)CONSOLE_PORT_BURST_NS) {
        line->port_left_ns = -(int64_t)CONSOLE_PORT_BURST_NS;
        line->port_filled_ns = begun_ns + took_ns;
    }
}

enum status console_write(struct process *process, uintptr_t text, uint64_t size, uint64_t *taken)
{
    char bytes[CONSOLE_WRITE_MOST];
    size_t done = 0;

    if (size > sizeof bytes)
        size = sizeof bytes;
    if (!user_copy_in(bytes, text, (size_t)size))
        return STATUS_BAD_ADDRESS;
    struct console_line *line = line_of(process);
    if (line == NULL)
        return STATUS_LIMIT;
    fill(line);
    for (unsigned lines = 0; done < size && lines < CONSOLE_LINES_AT_ONCE; lines++) {
        struct piece piece = write_piece(line, bytes + done, (size_t)size - done);
        if (!pay(line, &piece))
            break;
        done += piece.used;
        if (piece.ends)
            let_out(line);
    }
    *taken = done;
    return done != 0 || size == 0 ? STATUS_OK : STATUS_BUSY;
}

void console_write_end(struct process *process)
{
    last = process->line;
    process->line = NULL;
    budget_give(process, BUDGET_MEMORY, sizeof *last);
}

void console_write_last(void)
{
    if (last == NULL)
        return;
    if (last->length != 0)
        log_info(last->who, "%.*s", (int)last->length, last->text);
    free(last);
    last = NULL;
}
