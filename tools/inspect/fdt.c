/*
 * fdt.c: vmos-inspect fdt FILE.dtb
 */
#include "inspect.h"

#include <machine/readers.h>
#include <lib/log.h>
#include <stdlib.h>

int inspect_fdt(const char *path, bool json)
{
    static struct machine machine;
    static struct machine_room room;
    size_t size;
    uint8_t *blob = inspect_read_file(path, &size);

    if (blob == NULL)
        return 1;
    machine_init(&machine, &room);
    enum status status = size >= 40 ? fdt_read(&machine, blob, size) : STATUS_INVALID;
    if (status == STATUS_OK) {
        machine_finish(&machine);
        (json ? machine_report_json : machine_report)(&machine, &inspect_stdout);
    }
    free(blob);
    if (status != STATUS_OK)
        return inspect_fail("%s: is not a usable device tree", path);
    return inspect_malformed() ? 1 : 0;
}
