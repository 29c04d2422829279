/*
 * printf.h: formatted text without a C library.
 *
 * Conversions: %d %i %u %x %X %o %c %s %p %% with flags - 0 + space #, width and precision (also *),
 * and lengths hh h l ll z t j. No floating point, no %n. Meaning is C's, and the compiler checks calls.
 * On the host the C library provides the first two.
 */
#ifndef LIB_PRINTF_H
#define LIB_PRINTF_H

#include <stdarg.h>
#include <stddef.h>

int vsnprintf(char *buffer, size_t size, const char *format, va_list arguments) __attribute__((format(printf, 3, 0)));
int snprintf(char *buffer, size_t size, const char *format, ...) __attribute__((format(printf, 3, 4)));

/* Where lines of a report go: the serial port, a pager, a file on the host. `text` is NUL-terminated. */
struct printer {
    void (*write)(struct printer *printer, const char *text, size_t length);
};

/* Formats to the printer; a single call writes at most 511 bytes and cuts the rest. */
void print(struct printer *printer, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* "128 MiB", "4 KiB", "1 GiB", "513 B": exact binary units, the largest that divides the size, for people. */
void format_size(char *buffer, size_t capacity, unsigned long long size);

#endif
