/*
 * cpio.h: reads a cpio archive of the "newc" form, as initial ramdisks are [cpio(5), New ASCII Format]. Pure.
 */
#ifndef LIB_CPIO_H
#define LIB_CPIO_H

#include <vmos/abi.h>

struct cpio_entry {
    const char *name; /* terminated, inside the archive */
    const void *data; /* inside the archive */
    uint32_t size;    /* bytes of data */
    uint32_t mode;    /* as stat's: type and permissions */
};

/* The entry at *offset (0 for the first), which is moved behind it. STATUS_NOT_FOUND: the trailer was
 * reached; STATUS_INVALID: these bytes are no such archive. */
enum status cpio_next(const void *archive, size_t size, size_t *offset, struct cpio_entry *entry);

/* The first regular file of this name; a leading "./" in the archive does not count. Same status values. */
enum status cpio_find(const void *archive, size_t size, const char *name, const void **data, size_t *length);

#endif
