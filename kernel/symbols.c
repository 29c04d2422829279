/* symbols.c: symbol tables, the kernel's own and those of programs; see tools/make-symbols for their layout. */
#include "symbols.h"

#include <lib/string.h>
#include <platform/boot.h>

/* A pair may have pairs in it, 16 deep; each leaves its second half to be read. A name is never so long. */
enum { WAITING_MOST = 20, NAME_LONGEST = 1024 };

extern const uint8_t symbol_pairs[256][2], symbol_list[], symbol_list_end[];

struct reader {
    const uint8_t (*pairs)[2];
    const uint8_t *at, *end;
    uint8_t waiting[WAITING_MOST]; /* codes that come before those at `at`, the next one last */
    unsigned waiting_count;
};

/* False behind the last function. */
static bool read_distance(struct reader *reader, uintptr_t *distance)
{
    *distance = 0;
    for (unsigned shift = 0; shift < 32 && reader->at < reader->end; shift += 7) {
        uint8_t byte = *reader->at++;
        *distance |= (uintptr_t)(byte & 0x7f) << shift;
        if (byte < 0x80)
            return true;
    }
    return false;
}

static bool read_character(struct reader *reader, char *character)
{
    if (reader->waiting_count == 0) {
        if (reader->at == reader->end)
            return false;
        reader->waiting[reader->waiting_count++] = *reader->at++;
    }
    for (;;) {
        uint8_t code = reader->waiting[--reader->waiting_count];
        const uint8_t *pair = reader->pairs[code];
        if (pair[0] == 0 && pair[1] == 0) {
            *character = (char)code;
            return true;
        }
        if (reader->waiting_count + 2 > WAITING_MOST)
            return false;
        reader->waiting[reader->waiting_count++] = pair[1];
        reader->waiting[reader->waiting_count++] = pair[0];
    }
}

static bool read_name(struct reader *reader, char name[SYMBOL_NAME_SIZE])
{
    char character;

    for (size_t length = 0; length < NAME_LONGEST && read_character(reader, &character); length++) {
        if (length < SYMBOL_NAME_SIZE)
            name[length] = length < SYMBOL_NAME_SIZE - 1 ? character : '\0';
        if (character == '\0')
            return reader->waiting_count == 0;
    }
    return false;
}

/* Reads on until a function begins behind the place. */
static bool find(struct reader *reader, uintptr_t place, char name[SYMBOL_NAME_SIZE], size_t *offset)
{
    uintptr_t distance;
    bool found = false;

    while (read_distance(reader, &distance) && distance <= place) {
        place -= distance;
        if (!read_name(reader, name))
            return false;
        found = true;
    }
    *offset = place;
    return found;
}

bool symbol_find(uintptr_t address, char name[SYMBOL_NAME_SIZE], size_t *offset)
{
    struct reader reader = {.pairs = symbol_pairs, .at = symbol_list, .end = symbol_list_end};

    return address >= (uintptr_t)text_start && address < (uintptr_t)text_end &&
           find(&reader, address - (uintptr_t)image_start, name, offset);
}

bool symbol_find_in(const void *file, size_t size, uintptr_t place, char name[SYMBOL_NAME_SIZE], size_t *offset)
{
    static const char head[SYMBOL_FILE_HEAD + 1] = "vmos symbols 1\n\n";
    const uint8_t *bytes = file;
    struct reader reader = {.end = bytes + size};

    if (size < SYMBOL_FILE_HEAD + sizeof symbol_pairs || memcmp(bytes, head, SYMBOL_FILE_HEAD) != 0)
        return false;
    reader.pairs = (const uint8_t(*)[2])(bytes + SYMBOL_FILE_HEAD);
    reader.at = bytes + SYMBOL_FILE_HEAD + sizeof symbol_pairs;
    return find(&reader, place, name, offset);
}
