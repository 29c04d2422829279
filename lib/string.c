/*
 * string.c: the kernel's own memcpy and family. Also what the compiler calls by itself for large objects.
 *
 * Words are used where both sides have the same alignment; the rest goes byte by byte, since an unaligned
 * access faults where strict alignment is checked. Compiled with -fno-builtin so that a loop in here does not
 * become a call of itself.
 */
#include <lib/string.h>

#include <stdbool.h>
#include <stdint.h>

typedef uint64_t __attribute__((may_alias)) word;

enum { WORD = sizeof(word), WORDS_AT_ONCE = 8 };

static bool misaligned(const void *address)
{
    return (uintptr_t)address % WORD != 0;
}

static bool same_alignment(const void *a, const void *b)
{
    return ((uintptr_t)a ^ (uintptr_t)b) % WORD == 0;
}

static void copy_up(uint8_t *to, const uint8_t *from, size_t size)
{
    if (size >= 2 * WORD && same_alignment(to, from)) {
        for (; misaligned(to); size--)
            *to++ = *from++;
        word *w = (word *)(void *)to;
        const word *f = (const word *)(const void *)from;
        for (; size >= WORDS_AT_ONCE * WORD; size -= WORDS_AT_ONCE * WORD) {
            word a = f[0], b = f[1], c = f[2], d = f[3];
            w[0] = a, w[1] = b, w[2] = c, w[3] = d;
            a = f[4], b = f[5], c = f[6], d = f[7];
            w[4] = a, w[5] = b, w[6] = c, w[7] = d;
            w += WORDS_AT_ONCE;
            f += WORDS_AT_ONCE;
        }
        for (; size >= WORD; size -= WORD)
            *w++ = *f++;
        to = (uint8_t *)w;
        from = (const uint8_t *)f;
    }
    for (; size >= 4; size -= 4) {
        uint8_t a = from[0], b = from[1], c = from[2], d = from[3];
        to[0] = a, to[1] = b, to[2] = c, to[3] = d;
        to += 4;
        from += 4;
    }
    while (size-- != 0)
        *to++ = *from++;
}

/* The ends of both sides are passed. */
static void copy_down(uint8_t *to, const uint8_t *from, size_t size)
{
    if (size >= 2 * WORD && same_alignment(to, from)) {
        for (; misaligned(to); size--)
            *--to = *--from;
        for (; size >= WORD; size -= WORD) {
            to -= WORD;
            from -= WORD;
            *(word *)(void *)to = *(const word *)(const void *)from;
        }
    }
    while (size-- != 0)
        *--to = *--from;
}

void *memcpy(void *restrict to, const void *restrict from, size_t size)
{
    copy_up(to, from, size);
    return to;
}

void *memmove(void *to, const void *from, size_t size)
{
    if ((uintptr_t)to - (uintptr_t)from >= size)
        copy_up(to, from, size);
    else
        copy_down((uint8_t *)to + size, (const uint8_t *)from + size, size);
    return to;
}

void *memset(void *to, int byte, size_t size)
{
    uint8_t *at = to;

    if (size >= 2 * WORD) {
        word pattern = (uint8_t)byte * UINT64_C(0x0101010101010101);

        for (; misaligned(at); size--)
            *at++ = (uint8_t)byte;
        word *w = (word *)(void *)at;
        for (; size >= WORDS_AT_ONCE * WORD; size -= WORDS_AT_ONCE * WORD) {
            w[0] = pattern, w[1] = pattern, w[2] = pattern, w[3] = pattern;
            w[4] = pattern, w[5] = pattern, w[6] = pattern, w[7] = pattern;
            w += WORDS_AT_ONCE;
        }
        for (; size >= WORD; size -= WORD)
            *w++ = pattern;
        at = (uint8_t *)w;
    }
    while (size-- != 0)
        *at++ = (uint8_t)byte;
    return to;
}

int memcmp(const void *a, const void *b, size_t size)
{
    const uint8_t *x = a, *y = b;

    if (size >= 2 * WORD && same_alignment(x, y)) {
        for (; misaligned(x) && *x == *y; size--) {
            x++;
            y++;
        }
        /* Where words differ, or bytes before them, is found by the loop below. */
        const word *v = (const word *)(const void *)x, *w = (const word *)(const void *)y;
        if (!misaligned(x))
            for (; size >= WORD && *v == *w; size -= WORD) {
                v++;
                w++;
            }
        x = (const uint8_t *)v;
        y = (const uint8_t *)w;
    }
    for (; size != 0; size--, x++, y++)
        if (*x != *y)
            return *x < *y ? -1 : 1;
    return 0;
}

void *memchr(const void *from, int byte, size_t size)
{
    const uint8_t *at = from;

    for (; size != 0; size--, at++)
        if (*at == (uint8_t)byte)
            return (void *)(uintptr_t)at;
    return NULL;
}

size_t strlen(const char *text)
{
    const char *end = text;

    while (*end != '\0')
        end++;
    return (size_t)(end - text);
}

size_t strnlen(const char *text, size_t limit)
{
    size_t length = 0;

    while (length < limit && text[length] != '\0')
        length++;
    return length;
}

int strcmp(const char *a, const char *b)
{
    while (*a != '\0' && *a == *b) {
        a++;
        b++;
    }
    return (uint8_t)*a - (uint8_t)*b;
}

int strncmp(const char *a, const char *b, size_t limit)
{
    for (; limit != 0; limit--, a++, b++)
        if (*a != *b || *a == '\0')
            return (uint8_t)*a - (uint8_t)*b;
    return 0;
}

char *strchr(const char *text, int byte)
{
    while (*text != (char)byte)
        if (*text++ == '\0')
            return NULL;
    return (char *)(uintptr_t)text;
}

char *strrchr(const char *text, int byte)
{
    const char *found = NULL;

    do {
        if (*text == (char)byte)
            found = text;
    } while (*text++ != '\0');
    return (char *)(uintptr_t)found;
}

char *strstr(const char *text, const char *part)
{
    size_t length = strlen(part);

    for (;; text++) {
        if (strncmp(text, part, length) == 0)
            return (char *)(uintptr_t)text;
        if (*text == '\0')
            return NULL;
    }
}
