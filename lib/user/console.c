/* console.c: text to the console that the process was given, if it was. */
#include "user.h"

static void write_console(struct printer *printer, const char *text, size_t length)
{
    handle console = start_handle("console");
    uint64_t taken;

    (void)printer;
    while (length != 0 && vmos_console_write(console, text, length, &taken) == STATUS_OK && taken != 0) {
        text += taken;
        length -= taken < length ? taken : length;
    }
}

struct printer console_printer = {.write = write_console};

void printf(const char *format, ...)
{
    char text[512];
    va_list arguments;

    va_start(arguments, format);
    int length = vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    if (length > 0)
        write_console(NULL, text, (size_t)length < sizeof text ? (size_t)length : sizeof text - 1);
}
