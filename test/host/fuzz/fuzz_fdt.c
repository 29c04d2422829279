/*
 * fuzz_fdt.c: any bytes as a device tree. Whatever is accepted is also finished, printed and walked.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <machine/fdt_format.h>
#include <machine/readers.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void nothing(struct printer *printer, const char *text, size_t length)
{
    (void)printer;
    if (memchr(text, '\0', length) != NULL)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct machine machine;
    static struct machine_room room;
    struct printer printer = {nothing};
    struct fdt fdt;

    if (size < 40)
        return 0;
    machine_init(&machine, &room);
    if (fdt_read(&machine, data, size) != STATUS_OK)
        return 0;
    machine_finish(&machine);
    fdt_print(data, size, &printer);
    if (fdt_used_size(data) > size || fdt_open(&fdt, data, size) != STATUS_OK)
        abort();
    /* References that nothing above needed. */
    (void)fdt_find_phandle(&fdt, 1);
    (void)fdt_find_path(&fdt, "/soc/serial@10000000", 20);
    (void)fdt_find_path(&fdt, "serial0/a", 9);
    return 0;
}
