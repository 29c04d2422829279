/* symbols.h: names for the kernel's own addresses, from the table that tools/make-symbols wrote. */
#ifndef KERNEL_SYMBOLS_H
#define KERNEL_SYMBOLS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { SYMBOL_NAME_SIZE = 64 }; /* longer names are cut */

/* The function that holds the address and how far in; false when it is not code of ours. */
bool symbol_find(uintptr_t address, char name[SYMBOL_NAME_SIZE], size_t *offset);

#endif
