/* fuzz_cpio.c: any bytes as an archive: the walk ends, and every entry lies inside. */
#include <lib/cpio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    struct cpio_entry entry;
    size_t offset = 0, before = 0, length;
    const void *data;

    while (cpio_next(bytes, size, &offset, &entry) == STATUS_OK) {
        const uint8_t *from = entry.data;
        if (offset <= before || offset > size || from < bytes || entry.size > (size_t)(bytes + size - from) ||
            (const uint8_t *)entry.name + strlen(entry.name) >= from + (entry.size == 0))
            abort();
        before = offset;
    }
    if (cpio_find(bytes, size, "a", &data, &length) == STATUS_OK &&
        ((const uint8_t *)data < bytes || length > (size_t)(bytes + size - (const uint8_t *)data)))
        abort();
    return 0;
}
