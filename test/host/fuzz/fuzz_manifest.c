/* fuzz_manifest.c: a ramdisk from anywhere, and any vmos.conf in it. The first byte says which. */
#include <memory/memory.h>
#include <platform/boot.h>
#include <stdlib.h>
#include <string.h>

#include "host_log.h"

static const char *embedded, *embedded_end;
#define initrd_embedded     embedded
#define initrd_embedded_end embedded_end
#include <kernel/manifest.c>
#include <kernel/ramdisk.c>

struct machine machine;
static char *given_bytes;

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

void *physical_to_virtual(uint64_t physical)
{
    return given_bytes + physical;
}

bool vm_lookup(const void *address, unsigned *access)
{
    *access = 0;
    return (uintptr_t)address - (uintptr_t)given_bytes < machine.initrd.size;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    if (size == 0)
        return 0;
    given_bytes = malloc(size);
    if (given_bytes == NULL)
        return 0;
    memcpy(given_bytes, bytes + 1, size - 1);
    wanted_count = 0;
    from_bootloader = false;
    host_log_clear();
    embedded = embedded_end = given_bytes;
    machine.initrd = (struct machine_region){.size = size - 1};
    if (bytes[0] & 1)
        manifest_read();
    else
        read_text(given_bytes, size - 1);
    if (wanted_count > MAX_DRIVERS)
        abort();
    for (unsigned i = 0; i < wanted_count; i++) {
        if (wanted[i].name < given_bytes || wanted[i].length == 0 || wanted[i].length >= NAME_SIZE ||
            wanted[i].name + wanted[i].length > given_bytes + size)
            abort();
        char name[NAME_SIZE] = "";
        memcpy(name, wanted[i].name, wanted[i].length);
        if (!manifest_wants_driver(name))
            abort();
    }
    free(given_bytes);
    return 0;
}
