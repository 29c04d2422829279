/* symbols.c: the symbol table; see tools/make-symbols for its layout. */
#include "symbols.h"

#include <lib/string.h>
#include <lib/text.h>
#include <platform/boot.h>

enum { PIECES = 128, FIRST_PIECE = 0x80 };

extern const uint32_t symbol_count;
extern const uint32_t symbol_offsets[];

/* The string that comes `count` strings behind this one. */
static const char *skip_strings(const char *text, uint32_t count)
{
    while (count-- != 0)
        text += strlen(text) + 1;
    return text;
}

static void expand(const char *packed, const char *pieces, char name[SYMBOL_NAME_SIZE])
{
    size_t used = 0;

    for (; *packed != '\0' && used < SYMBOL_NAME_SIZE - 1; packed++) {
        uint8_t byte = (uint8_t)*packed;
        const char plain[2] = {*packed, '\0'};
        const char *part = byte >= FIRST_PIECE ? skip_strings(pieces, byte - FIRST_PIECE) : plain;
        used += text_copy(name + used, part, SYMBOL_NAME_SIZE - used);
    }
}

bool symbol_find(uintptr_t address, char name[SYMBOL_NAME_SIZE], size_t *offset)
{
    uintptr_t base = (uintptr_t)image_start;
    uint32_t low = 0, high = symbol_count;

    if (address < (uintptr_t)text_start || address >= (uintptr_t)text_end || high == 0 ||
        address - base < symbol_offsets[0])
        return false;
    while (high - low > 1) {
        uint32_t middle = low + (high - low) / 2;
        if (symbol_offsets[middle] <= address - base)
            low = middle;
        else
            high = middle;
    }
    const char *pieces = (const char *)&symbol_offsets[symbol_count];
    *offset = address - base - symbol_offsets[low];
    expand(skip_strings(skip_strings(pieces, PIECES), low), pieces, name);
    return true;
}
