/* print.c: formatted reports, over vsnprintf. */
#include <lib/printf.h>

void print(struct printer *printer, const char *format, ...)
{
    char text[512];
    va_list arguments;

    va_start(arguments, format);
    int length = vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    if (length > 0)
        printer->write(printer, text, (size_t)length < sizeof text ? (size_t)length : sizeof text - 1);
}

void format_size(char *buffer, size_t capacity, unsigned long long size)
{
    static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
    unsigned unit = 0;

    while (size != 0 && size % 1024 == 0 && unit + 1 < sizeof units / sizeof units[0]) {
        size /= 1024;
        unit++;
    }
    snprintf(buffer, capacity, "%llu %s", size, units[unit]);
}
