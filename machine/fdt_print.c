/*
 * fdt_print.c: the tree as text for loglevel=debug, one line per node and property, each bounded.
 *
 * A value is shown as strings when it looks like nothing else, as cells when its length allows, else as bytes:
 * the format itself does not say what a property holds.
 */
#include "fdt_format.h"

#include <machine/readers.h>
#include <lib/bytes.h>

enum { MAX_SHOWN = 48, MAX_INDENT = 2 * 16, MAX_STRING = 120 };

static const char *indent(uint32_t depth)
{
    static const char spaces[MAX_INDENT + 1] = "                                ";
    uint32_t wanted = 2 * depth;

    return spaces + (wanted < MAX_INDENT ? MAX_INDENT - wanted : 0);
}

/* Strings: printable, terminated, none of them empty. */
static bool is_text(const uint8_t *value, uint32_t length)
{
    if (length < 2 || value[length - 1] != '\0')
        return false;
    for (uint32_t i = 0; i < length; i++)
        if (value[i] == '\0' ? (i == 0 || value[i - 1] == '\0') : (value[i] < ' ' || value[i] > '~'))
            return false;
    return true;
}

static void print_text(const uint8_t *value, uint32_t length, struct printer *printer)
{
    for (uint32_t at = 0; at < length; at++) {
        uint32_t start = at;
        while (value[at] != '\0')
            at++;
        uint32_t shown = at - start < MAX_STRING ? at - start : MAX_STRING;
        print(printer, "%s\"%.*s\"%s", start == 0 ? " " : ", ", (int)shown, (const char *)value + start,
              shown == at - start ? "" : "...");
        if (at >= 8 * MAX_SHOWN && at + 1 < length) {
            print(printer, ", ... %u bytes in all", length);
            return;
        }
    }
}

static void print_numbers(const uint8_t *value, uint32_t length, struct printer *printer)
{
    uint32_t step = length % 4 == 0 ? 4 : 1;
    uint32_t count = length / step, shown = count < MAX_SHOWN ? count : MAX_SHOWN;

    for (uint32_t i = 0; i < shown; i++) {
        if (step == 4)
            print(printer, "%s0x%x", i == 0 ? " <" : " ", load_be32(value + (size_t)i * 4));
        else
            print(printer, "%s%02x", i == 0 ? " [" : " ", value[i]);
    }
    if (shown < count)
        print(printer, " ... %u bytes in all", length);
    print(printer, step == 4 ? ">" : "]");
}

static void print_property(const struct fdt_item *item, uint32_t depth, struct printer *printer)
{
    print(printer, "%s%s%s", indent(depth), fdt_printable(item->name).text, item->length == 0 ? "" : " =");
    if (is_text(item->value, item->length))
        print_text(item->value, item->length, printer);
    else if (item->length != 0)
        print_numbers(item->value, item->length, printer);
    print(printer, "\n");
}

void fdt_print(const void *blob, size_t size, struct printer *printer)
{
    uint32_t offset = 0, depth = 0;
    struct fdt_item item;
    struct fdt fdt;

    if (fdt_open(&fdt, blob, size) != STATUS_OK)
        return;
    for (uint32_t i = 0; i < fdt.reservation_count; i++) {
        uint64_t base, length;
        fdt_reservation(&fdt, i, &base, &length);
        print(printer, "/memreserve/ 0x%llx 0x%llx\n", (unsigned long long)base, (unsigned long long)length);
    }
    for (;;) {
        switch (fdt_next(&fdt, &offset, &item)) {
        case FDT_TOKEN_NODE:
            print(printer, "%s%s:\n", indent(depth), depth == 0 ? "/" : fdt_printable(item.name).text);
            depth++;
            break;
        case FDT_TOKEN_PROPERTY:
            print_property(&item, depth, printer);
            break;
        case FDT_TOKEN_END_NODE:
            if (--depth == 0)
                return;
            break;
        default:
            return;
        }
    }
}
