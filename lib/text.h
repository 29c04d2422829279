/*
 * text.h: small helpers for words and numbers in text, beyond C's own library.
 */
#ifndef LIB_TEXT_H
#define LIB_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Copies at most size - 1 bytes and always terminates; returns strlen(from), so a cut shows as >= size. */
size_t text_copy(char *to, const char *from, size_t size);

/* Copies a field of fixed width that need not be terminated, replaces what is not printable ASCII by
 * '?', cuts trailing spaces, and terminates. `to` holds at least size + 1 bytes. */
void text_sanitise(char *to, const void *field, size_t size);

/* Reads a whole number, decimal or 0x..., with an optional K, M or G (binary, in either case) behind it. On success
 * stores it and where it ended (when `end` is not NULL); false on overflow or no digits. */
bool text_to_number(const char *text, const char **end, uint64_t *number);

/* Finds the word KEY=VALUE in a line of words, copies VALUE, cut to capacity - 1 bytes and terminated. False, and
 * nothing copied, when there is none. The last one counts. */
bool text_option(const char *line, size_t length, const char *key, char *value, size_t capacity);

/* The next word of a line: skips spaces, stores its length, returns where it begins; NULL at the end. */
const char *text_word(const char *line, size_t *length);

#endif
