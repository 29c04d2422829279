/*
 * printf.c: vsnprintf [C11 §7.21.6]. The output is counted as a whole, written as far as there is room.
 *
 * A NULL string prints as "(null)", a conversion that is not known as it stands in the format.
 */
#include <lib/printf.h>

#include <lib/string.h>
#include <limits.h>
#include <stdbool.h>
#include <stdint.h>

enum { MAX_DIGITS = 22 }; /* 64 bits in octal */

struct output {
    char *buffer;
    size_t size, length;
};

struct conversion {
    bool left, zero, plus, space, alternate;
    size_t width;
    bool has_precision;
    size_t precision;
    char length; /* 'H' for hh, 'h', 'l' (also ll), 'z', 't', 'j', 0 */
    char letter;
};

static void put(struct output *out, const char *text, size_t length)
{
    if (out->length < out->size) {
        size_t room = out->size - out->length;
        memcpy(out->buffer + out->length, text, length < room ? length : room);
    }
    out->length += length;
}

static void fill(struct output *out, char byte, size_t count)
{
    if (out->length < out->size) {
        size_t room = out->size - out->length;
        memset(out->buffer + out->length, byte, count < room ? count : room);
    }
    out->length += count;
}

/* Prefix (sign or 0x), zeroes and body in a field. */
static void put_field(struct output *out, const struct conversion *how, const char *prefix, size_t zeroes,
                      const char *body, size_t length)
{
    size_t prefix_length = strlen(prefix), used = prefix_length + zeroes + length;
    size_t padding = how->width > used ? how->width - used : 0;

    if (!how->left)
        fill(out, ' ', padding);
    put(out, prefix, prefix_length);
    fill(out, '0', zeroes);
    put(out, body, length);
    if (how->left)
        fill(out, ' ', padding);
}

/* Writes the digits so that they end at `end`; returns where they begin. 0 has none. */
static char *digits_of(uint64_t value, char letter, char *end)
{
    const char *digits = letter == 'X' ? "0123456789ABCDEF" : "0123456789abcdef";

    if (letter == 'x' || letter == 'X' || letter == 'p') {
        for (; value != 0; value >>= 4)
            *--end = digits[value & 15];
    } else if (letter == 'o') {
        for (; value != 0; value >>= 3)
            *--end = digits[value & 7];
    } else {
        for (; value != 0; value /= 10)
            *--end = digits[value % 10];
    }
    return end;
}

static void put_number(struct output *out, const struct conversion *how, const char *sign, uint64_t value)
{
    char text[MAX_DIGITS], *end = text + sizeof text;
    const char *first = digits_of(value, how->letter, end);
    size_t length = (size_t)(end - first), wanted = how->has_precision ? how->precision : 1;
    const char *prefix = sign;

    if (how->letter == 'p' || (how->alternate && value != 0 && (how->letter == 'x' || how->letter == 'X')))
        prefix = how->letter == 'X' ? "0X" : "0x";
    if (how->alternate && how->letter == 'o' && wanted <= length)
        wanted = length + 1;
    if (how->zero && !how->left && !how->has_precision) {
        size_t prefix_length = strlen(prefix);
        if (how->width > prefix_length && how->width - prefix_length > wanted)
            wanted = how->width - prefix_length;
    }
    put_field(out, how, prefix, wanted > length ? wanted - length : 0, first, length);
}

static void put_signed(struct output *out, const struct conversion *how, int64_t value)
{
    const char *sign = value < 0 ? "-" : how->plus ? "+" : how->space ? " " : "";

    put_number(out, how, sign, value < 0 ? 0 - (uint64_t)value : (uint64_t)value);
}

static int64_t signed_argument(char length, va_list *arguments)
{
    switch (length) {
    case 'H':
        return (signed char)va_arg(*arguments, int);
    case 'h':
        return (short)va_arg(*arguments, int);
    case 'l':
    case 'z':
    case 't':
    case 'j':
        return va_arg(*arguments, int64_t);
    default:
        return va_arg(*arguments, int);
    }
}

static uint64_t unsigned_argument(char length, va_list *arguments)
{
    switch (length) {
    case 'H':
        return (unsigned char)va_arg(*arguments, int);
    case 'h':
        return (unsigned short)va_arg(*arguments, int);
    case 'l':
    case 'z':
    case 't':
    case 'j':
        return va_arg(*arguments, uint64_t);
    default:
        return va_arg(*arguments, unsigned);
    }
}

_Static_assert(sizeof(long) == 8 && sizeof(long long) == 8 && sizeof(size_t) == 8 && sizeof(ptrdiff_t) == 8 &&
                   sizeof(intmax_t) == 8,
               "every length modifier from l on means 64 bits");

static void put_string(struct output *out, const struct conversion *how, const char *text)
{
    if (text == NULL)
        text = "(null)";
    put_field(out, how, "", 0, text, how->has_precision ? strnlen(text, how->precision) : strlen(text));
}

static const char *parse_flags(const char *at, struct conversion *how)
{
    for (;; at++) {
        if (*at == '-')
            how->left = true;
        else if (*at == '0')
            how->zero = true;
        else if (*at == '+')
            how->plus = true;
        else if (*at == ' ')
            how->space = true;
        else if (*at == '#')
            how->alternate = true;
        else
            return at;
    }
}

/* Digits or a `*`. A number beyond INT_MAX stays there: the result is too long to be told in any case. */
static const char *parse_count(const char *at, va_list *arguments, bool *negative, size_t *count)
{
    *negative = false;
    *count = 0;
    if (*at == '*') {
        int argument = va_arg(*arguments, int);
        *negative = argument < 0;
        *count = argument < 0 ? 0 - (size_t)argument : (size_t)argument;
        return at + 1;
    }
    for (; *at >= '0' && *at <= '9'; at++) {
        *count = *count * 10 + (size_t)(*at - '0');
        if (*count > INT_MAX)
            *count = INT_MAX;
    }
    return at;
}

static const char *parse_length(const char *at, struct conversion *how)
{
    switch (*at) {
    case 'h':
        how->length = at[1] == 'h' ? 'H' : 'h';
        return at + (at[1] == 'h' ? 2 : 1);
    case 'l':
        how->length = 'l';
        return at + (at[1] == 'l' ? 2 : 1);
    case 'z':
    case 't':
    case 'j':
        how->length = *at;
        return at + 1;
    default:
        return at;
    }
}

static const char *parse(const char *at, struct conversion *how, va_list *arguments)
{
    bool negative;

    at = parse_flags(at, how);
    at = parse_count(at, arguments, &negative, &how->width);
    how->left |= negative;
    if (*at == '.') {
        at = parse_count(at + 1, arguments, &negative, &how->precision);
        how->has_precision = !negative;
    }
    at = parse_length(at, how);
    how->letter = *at;
    return at;
}

/* False: this conversion is not known. */
static bool convert(struct output *out, struct conversion *how, va_list *arguments)
{
    char byte;

    switch (how->letter) {
    case 'd':
    case 'i':
        put_signed(out, how, signed_argument(how->length, arguments));
        return true;
    case 'u':
    case 'x':
    case 'X':
    case 'o':
        put_number(out, how, "", unsigned_argument(how->length, arguments));
        return true;
    case 'p':
        put_number(out, how, "", (uintptr_t)va_arg(*arguments, void *));
        return true;
    case 'c':
        byte = (char)va_arg(*arguments, int);
        put_field(out, how, "", 0, &byte, 1);
        return true;
    case 's':
        put_string(out, how, va_arg(*arguments, const char *));
        return true;
    case '%':
        put(out, "%", 1);
        return true;
    default:
        return false;
    }
}

int vsnprintf(char *buffer, size_t size, const char *format, va_list arguments)
{
    struct output out = {.buffer = buffer, .size = size};
    va_list rest;

    va_copy(rest, arguments);
    while (*format != '\0') {
        const char *percent = strchr(format, '%');
        size_t plain = percent != NULL ? (size_t)(percent - format) : strlen(format);

        put(&out, format, plain);
        format += plain;
        if (*format == '\0')
            break;
        struct conversion how = {0};
        const char *letter = parse(format + 1, &how, &rest);
        const char *next = *letter != '\0' ? letter + 1 : letter;
        if (!convert(&out, &how, &rest))
            put(&out, format, (size_t)(next - format));
        format = next;
    }
    va_end(rest);
    if (size != 0)
        buffer[out.length < size ? out.length : size - 1] = '\0';
    return out.length <= INT_MAX ? (int)out.length : -1;
}

int snprintf(char *buffer, size_t size, const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    int length = vsnprintf(buffer, size, format, arguments);
    va_end(arguments);
    return length;
}
