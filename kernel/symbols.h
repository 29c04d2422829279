/* symbols.h: names for addresses, from the tables that tools/make-symbols wrote. */
#ifndef KERNEL_SYMBOLS_H
#define KERNEL_SYMBOLS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { SYMBOL_NAME_SIZE = 64 }; /* longer names are cut */

/* The function that holds the address and how far in; false when it is not code of ours. */
bool symbol_find(uintptr_t address, char name[SYMBOL_NAME_SIZE], size_t *offset);

/* The same for a program, by its bin/NAME.sym: `place` is counted from its image's beginning, and what lies behind its
 * last function is taken for that. Whatever the file holds, false when it is no such table. */
enum { SYMBOL_FILE_HEAD = 16 };
bool symbol_find_in(const void *file, size_t size, uintptr_t place, char name[SYMBOL_NAME_SIZE], size_t *offset);

#endif
