/* console.c: text to the console that the process was given, if it was. */
#include "user.h"

/* The kernel takes so many lines in a call, and so many bytes a second from each process (STATUS_BUSY: not now). Who
 * has got nothing out in PAUSES gives up: other threads of the process write all that it may. */
enum { PAUSES = 500 };
#define PAUSE_NS (20 * NANOSECONDS_PER_MILLISECOND)

static void write_console(struct printer *printer, const char *text, size_t length)
{
    handle console = start_handle("console");
    unsigned pauses = 0;

    (void)printer;
    while (length != 0 && pauses < PAUSES) {
        uint64_t taken = 0;
        enum status status = vmos_console_write(console, text, length, &taken);
        if ((status != STATUS_OK && status != STATUS_BUSY) || taken > length)
            return;
        text += taken;
        length -= taken;
        pauses = taken != 0 ? 0 : pauses + 1;
        if (taken == 0)
            sleep_until(now_ns() + PAUSE_NS);
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
