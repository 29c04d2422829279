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

struct machine machine;
static char *ramdisk;

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

void *physical_to_virtual(uint64_t physical)
{
    return ramdisk + physical;
}

bool vm_lookup(const void *address, unsigned *access)
{
    *access = 0;
    return (uintptr_t)address - (uintptr_t)ramdisk < machine.initrd.size;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    if (size == 0)
        return 0;
    ramdisk = malloc(size);
    if (ramdisk == NULL)
        return 0;
    memcpy(ramdisk, bytes + 1, size - 1);
    wanted_count = 0;
    from_bootloader = false;
    host_log_clear();
    embedded = embedded_end = ramdisk;
    machine.initrd = (struct machine_region){.size = size - 1};
    if (bytes[0] & 1)
        manifest_read();
    else
        read_text(ramdisk, size - 1);
    if (wanted_count > MAX_DRIVERS)
        abort();
    for (unsigned i = 0; i < wanted_count; i++) {
        if (wanted[i].name < ramdisk || wanted[i].length == 0 || wanted[i].length > 160 ||
            wanted[i].name + wanted[i].length > ramdisk + size)
            abort();
        char name[161] = "";
        memcpy(name, wanted[i].name, wanted[i].length);
        if (!manifest_wants_driver(name))
            abort();
    }
    free(ramdisk);
    return 0;
}
