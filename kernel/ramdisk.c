/* ramdisk.c: the initial ramdisk that is in use. manifest.c finds it. */
#include "kernel.h"

#include <lib/cpio.h>

static const void *ramdisk; /* NULL: none can be read */
static size_t ramdisk_size;

void ramdisk_use(const void *image, size_t size)
{
    ramdisk = image;
    ramdisk_size = size;
}

const void *ramdisk_find(const char *name, size_t *size)
{
    const void *data = NULL;

    return ramdisk != NULL && cpio_find(ramdisk, ramdisk_size, name, &data, size) == STATUS_OK ? data : NULL;
}

const void *ramdisk_image(size_t *size)
{
    *size = ramdisk_size;
    return ramdisk;
}
