/* symbols.c: the symbol table; see tools/make-symbols for its layout. */
#include "symbols.h"

#include <lib/string.h>
#include <platform/boot.h>

extern const uint32_t symbol_count;
extern const uint32_t symbol_offsets[];

const char *symbol_find(uintptr_t address, size_t *offset)
{
    uintptr_t base = (uintptr_t)image_start;
    uint32_t low = 0, high = symbol_count;

    if (address < (uintptr_t)text_start || address >= (uintptr_t)text_end || high == 0 ||
        address - base < symbol_offsets[0])
        return NULL;
    while (high - low > 1) {
        uint32_t middle = low + (high - low) / 2;
        if (symbol_offsets[middle] <= address - base)
            low = middle;
        else
            high = middle;
    }
    *offset = address - base - symbol_offsets[low];
    const char *name = (const char *)&symbol_offsets[symbol_count];
    for (uint32_t i = 0; i < low; i++)
        name += strlen(name) + 1;
    return name;
}
