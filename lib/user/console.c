/* console.c: text to the console that the process was given, if it was. */
#include "user.h"

/* The kernel takes so many bytes a second from each process (STATUS_BUSY: not now). */
enum { TRIES = 100 };
#define PAUSE_NS (20 * NANOSECONDS_PER_MILLISECOND)

static void write_console(struct printer *printer, const char *text, size_t length)
{
    handle console = start_handle("console");

    (void)printer;
    for (unsigned tries = 0; length != 0 && tries < TRIES; tries++) {
        uint64_t taken;
        enum status status = vmos_console_write(console, text, length, &taken);
        if (status == STATUS_BUSY)
            sleep_until(now_ns() + PAUSE_NS);
        else if (status != STATUS_OK || taken > length)
            return;
        text += taken;
        length -= taken;
    }
}

struct printer console_printer = {.write = write_console};

int printf(const char *format, ...)
{
    char text[512];
    va_list arguments;

    va_start(arguments, format);
    int length = vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    if (length > 0)
        write_console(NULL, text, (size_t)length < sizeof text ? (size_t)length : sizeof text - 1);
    return length;
}
