/* physical.c: physical memory for host tests. */
#include "physical.h"

#include <stdlib.h>
#include <string.h>

static const void *map(const struct physical_memory *memory, uint64_t address, uint64_t length)
{
    struct physical *physical = (struct physical *)(uintptr_t)memory;

    for (unsigned i = 0; i < physical->piece_count; i++) {
        uint64_t offset = address - physical->pieces[i].base;
        if (address < physical->pieces[i].base || offset > physical->pieces[i].size ||
            length > physical->pieces[i].size - offset)
            continue;
        if (physical->copy_count == PHYSICAL_MAX_COPIES)
            return NULL;
        uint8_t *copy = malloc(length != 0 ? length : 1);
        if (copy == NULL)
            abort();
        memcpy(copy, physical->pieces[i].bytes + offset, length);
        physical->copies[physical->copy_count++] = copy;
        return copy;
    }
    return NULL;
}

struct physical *physical_make(void)
{
    struct physical *physical = calloc(1, sizeof *physical);

    if (physical == NULL)
        abort();
    physical->memory.map = map;
    return physical;
}

void physical_free(struct physical *physical)
{
    for (unsigned i = 0; i < physical->piece_count; i++)
        free(physical->pieces[i].bytes);
    for (unsigned i = 0; i < physical->copy_count; i++)
        free(physical->copies[i]);
    free(physical);
}

uint8_t *physical_put(struct physical *physical, uint64_t base, const void *bytes, size_t size)
{
    uint8_t *copy = malloc(size != 0 ? size : 1);

    if (copy == NULL || physical->piece_count == PHYSICAL_MAX_PIECES)
        abort();
    memcpy(copy, bytes, size);
    physical->pieces[physical->piece_count].base = base;
    physical->pieces[physical->piece_count].size = size;
    physical->pieces[physical->piece_count++].bytes = copy;
    return copy;
}
