/*
 * log.c: the log ring. Lines are kept in memory from the first instruction on and reach the console as soon
 * as there is one; a console that appears late is told everything that the ring still holds.
 *
 * All CPUs write. The lock guards the ring and what goes out at the serial port, line by line. Who reads the ring
 * (log_tail, log_contains) does so without: a line that is just being written over may come out mixed.
 */
#include "log.h"

#include <lib/string.h>
#include <platform/clock.h>
#include <platform/cpu.h>
#include <platform/ipi.h>
#include <platform/serial.h>

enum { RING_SIZE = 8192, LINE_SIZE = 320 }; /* RING_SIZE is a power of two */

static struct lock lock = {.name = "log", .place = LOCK_PLACE_LOG};
static char ring[RING_SIZE];
static uint64_t written, flushed; /* bytes ever; flushed <= written, and 0 again when the console moves */
static char first_line[96];       /* said before there is a console, and relied on from outside: never lost */
static enum log_level threshold = LOG_INFO;
static bool prompt_stands;
static volatile bool disturbed;

static void console_write(struct printer *printer, const char *text, size_t length)
{
    uintptr_t saved = lock_take(&lock);

    (void)printer;
    serial_write(text, length);
    lock_release(&lock, saved);
}

struct printer console_printer = {.write = console_write};

void log_at_prompt(bool standing)
{
    prompt_stands = standing;
}

bool log_disturbed(void)
{
    bool was = disturbed;

    disturbed = false;
    return was;
}

void log_set_level(enum log_level level)
{
    threshold = level;
}

/* More was logged before there was a console than the ring holds: goes on with the oldest line that is whole. */
static void skip_lost(void)
{
    uint64_t from = written - RING_SIZE + 1;
    char text[96];

    while (from < written && ring[(from - 1) % RING_SIZE] != '\n')
        from++;
    int length = snprintf(text, sizeof text, "... %llu bytes of the log were lost before there was a serial port ...\n",
                          (unsigned long long)(from - flushed - strlen(first_line)));
    serial_write(first_line, strlen(first_line));
    serial_write(text, (size_t)length);
    flushed = from;
}

static void flush(void)
{
    static unsigned moves;

    if (!serial_ready())
        return;
    if (moves != serial_moves()) {
        moves = serial_moves();
        flushed = 0;
    }
    if (written - flushed > RING_SIZE)
        skip_lost();
    while (flushed < written) {
        size_t start = flushed % RING_SIZE, length = (size_t)(written - flushed);
        if (length > RING_SIZE - start)
            length = RING_SIZE - start;
        flushed += length;
        serial_write(ring + start, length);
    }
}

void log_flush(void)
{
    uintptr_t saved = lock_take(&lock);

    flush();
    lock_release(&lock, saved);
}

/* The boot CPU stands at the prompt and draws it again. */
static void append(const char *text, size_t length)
{
    uintptr_t saved = lock_take(&lock);
    bool redraw = prompt_stands;

    if (written == 0 && length < sizeof first_line)
        memcpy(first_line, text, length);
    for (size_t i = 0; i < length; i++)
        ring[(written + i) % RING_SIZE] = text[i];
    written += length;
    if (redraw) {
        serial_write("\r\x1b[K", 4);
        disturbed = true;
    }
    flush();
    lock_release(&lock, saved);
    if (redraw)
        ipi_wake(cpu_at(0));
}

/* Ends the line that begins at text and has `length` bytes, of which LINE_SIZE - 2 at most were kept. */
static void append_line(char text[LINE_SIZE], size_t length)
{
    if (length > LINE_SIZE - 2)
        length = LINE_SIZE - 2;
    for (size_t i = 0; i < length; i++)
        if ((unsigned char)text[i] < ' ' || (unsigned char)text[i] > '~')
            text[i] = '?'; /* what devices and tables say must not steer a terminal */
    text[length] = '\n';
    append(text, length + 1);
}

/* `used` is what the beginning wanted; it got no more than there is. */
static size_t add_text(char text[LINE_SIZE], size_t used, const char *format, va_list arguments)
{
    if (used >= LINE_SIZE)
        return used;
    int length = vsnprintf(text + used, LINE_SIZE - used, format, arguments);

    return used + (size_t)(length > 0 ? length : 0);
}

void log_line(enum log_level level, const char *who, const char *format, ...)
{
    char text[LINE_SIZE];
    va_list arguments;

    if (level > threshold)
        return;
    uint64_t now = clock_now() / NANOSECONDS_PER_MICROSECOND;
    int used = snprintf(text, sizeof text, "[%5llu.%06llu] %s: ", (unsigned long long)(now / 1000000),
                        (unsigned long long)(now % 1000000), who);
    va_start(arguments, format);
    append_line(text, add_text(text, (size_t)used, format, arguments));
    va_end(arguments);
}

void say(const char *format, ...)
{
    char text[LINE_SIZE];
    va_list arguments;

    va_start(arguments, format);
    append_line(text, add_text(text, 0, format, arguments));
    va_end(arguments);
}

void say_device(const char *name, const char *format, ...)
{
    char text[LINE_SIZE];
    va_list arguments;
    int used = snprintf(text, sizeof text, "device %s: ", name);

    va_start(arguments, format);
    append_line(text, add_text(text, (size_t)used, format, arguments));
    va_end(arguments);
}

void log_tail(struct printer *printer, unsigned lines)
{
    uint64_t oldest = written > RING_SIZE ? written - RING_SIZE : 0, from = written;
    char line[LINE_SIZE];
    size_t length = 0;

    for (uint64_t at = written; lines != 0 && at-- > oldest;)
        if (at == 0 || (at > oldest && ring[(at - 1) % RING_SIZE] == '\n')) { /* a whole line begins here */
            from = at;
            lines--;
        }
    for (uint64_t end = written; from < end; from++) {
        line[length++] = ring[from % RING_SIZE];
        if (line[length - 1] == '\n' || length == sizeof line) {
            printer->write(printer, line, length);
            length = 0;
        }
    }
}

bool log_contains(const char *text)
{
    uint64_t oldest = written > RING_SIZE ? written - RING_SIZE : 0;
    size_t length = strlen(text);

    for (uint64_t at = oldest; at + length <= written; at++) {
        size_t same = 0;
        while (same < length && ring[(at + same) % RING_SIZE] == text[same])
            same++;
        if (same == length)
            return true;
    }
    return false;
}
