/*
 * acpi_s5.c: the sleep type that switches the machine off.
 *
 * It stands only in AML, as Name (\_S5_, Package () { a, b, ... }) [ACPI 6.5 §7.4.2], in the DSDT or an SSDT. It is
 * looked for by its bytes, not interpreted: the name behind a NameOp, with whatever prefix, and behind it a package
 * that lies whole within the table and begins with one or two integers of three bits. What looks like it but is
 * not so is passed over; the first that is right counts.
 */
#include "acpi_aml.h"
#include <lib/string.h>

enum { SLEEP_TYPE_MAX = 7, NAME_LENGTH = 4 };

/* Whether the name at `at` is behind a NameOp, with `\` or any number of `^` between. */
static bool is_named(struct acpi_view aml, uint32_t at)
{
    if (at > ACPI_HEADER_SIZE && aml.bytes[at - 1] == '\\')
        at--;
    else
        while (at > ACPI_HEADER_SIZE && aml.bytes[at - 1] == '^')
            at--;
    return at > ACPI_HEADER_SIZE && aml.bytes[at - 1] == AML_NAME;
}

static bool read_types(struct machine_power *power, struct acpi_view aml, uint32_t at)
{
    struct acpi_view package;
    uint32_t element = 1; /* behind the number of elements */
    uint64_t a, b;

    if (acpi_u8(aml, at) != AML_PACKAGE)
        return false;
    at++;
    if (!aml_package(aml, &at, &package) || acpi_u8(package, 0) == 0 || !aml_integer(package, &element, &a) ||
        a > SLEEP_TYPE_MAX)
        return false;
    if (acpi_u8(package, 0) < 2 || !aml_integer(package, &element, &b) || b > SLEEP_TYPE_MAX)
        b = a;
    power->sleep_type_a = (int16_t)a;
    power->sleep_type_b = (int16_t)b;
    return true;
}

bool acpi_find_sleep_type(struct machine *machine, struct acpi_view table)
{
    for (uint32_t at = ACPI_HEADER_SIZE + 1; at < table.length && table.length - at > NAME_LENGTH; at++)
        if (table.bytes[at] == '_' && memcmp(table.bytes + at, "_S5_", NAME_LENGTH) == 0 && is_named(table, at) &&
            read_types(&machine->power, table, at + NAME_LENGTH))
            return true;
    return false;
}
