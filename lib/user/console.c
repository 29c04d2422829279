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
        if (status == STATUS_BUSY) {
            sleep_until(now_ns() + PAUSE_NS);
            pauses++;
            continue;
        }
        if (status != STATUS_OK || taken > length)
            return;
        pauses = 0;
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
