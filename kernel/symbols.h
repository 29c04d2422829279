/* symbols.h: names for the kernel's own addresses, from the table that tools/make-symbols wrote. */
#ifndef KERNEL_SYMBOLS_H
#define KERNEL_SYMBOLS_H

#include <stddef.h>
#include <stdint.h>

/* The function that holds the address and how far in; NULL when it is not code of ours. */
const char *symbol_find(uintptr_t address, size_t *offset);

#endif
