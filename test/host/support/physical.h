/* physical.h: a few pieces of physical memory for readers. Each map() gives a fresh copy of exactly the bytes asked
 * for, so that the sanitizer sees a reader that goes one byte further. */
#ifndef HOST_PHYSICAL_H
#define HOST_PHYSICAL_H

#include <machine/readers.h>

enum { PHYSICAL_MAX_PIECES = 160, PHYSICAL_MAX_COPIES = 1024 };

struct physical {
    struct physical_memory memory; /* first: map() is handed a pointer to it */
    struct {
        uint64_t base;
        size_t size;
        uint8_t *bytes;
    } pieces[PHYSICAL_MAX_PIECES];
    unsigned piece_count;
    void *copies[PHYSICAL_MAX_COPIES];
    unsigned copy_count;
};

struct physical *physical_make(void);
void physical_free(struct physical *physical);
/* Puts a copy of the bytes there; returns the copy, for changing. Pieces must not overlap. */
uint8_t *physical_put(struct physical *physical, uint64_t base, const void *bytes, size_t size);

#endif
