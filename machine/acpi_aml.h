/*
 * acpi_aml.h: the few pieces of AML that can be read without running it [ACPI 6.5 §20.2]: lengths, names, constants.
 *
 * Nothing here executes AML. The scans built on it (acpi_s5.c, acpi_devices.c) recognise objects that are written
 * down as constants; what is computed is passed over. `at` moves only when the piece is whole and lies in the view.
 */
#ifndef MACHINE_ACPI_AML_H
#define MACHINE_ACPI_AML_H

#include "acpi_table.h"

enum {
    AML_ZERO = 0x00,
    AML_ONE = 0x01,
    AML_NAME = 0x08,
    AML_BYTE = 0x0a,
    AML_WORD = 0x0b,
    AML_DWORD = 0x0c,
    AML_STRING = 0x0d,
    AML_QWORD = 0x0e,
    AML_SCOPE = 0x10,
    AML_BUFFER = 0x11,
    AML_PACKAGE = 0x12,
    AML_VARIABLE_PACKAGE = 0x13,
    AML_METHOD = 0x14,
    AML_EXTENDED = 0x5b,
    AML_EXTENDED_REGION = 0x80,
    AML_EXTENDED_FIELD = 0x81,
    AML_EXTENDED_DEVICE = 0x82,
    AML_ONES = 0xff,
};

/* PkgLength: what it covers behind itself, as a view; *at moves behind the length, not behind the package. */
bool aml_package(struct acpi_view aml, uint32_t *at, struct acpi_view *body);

/* A constant integer of any width. */
bool aml_integer(struct acpi_view aml, uint32_t *at, uint64_t *value);

/* A NameString; *last: offset of its last four characters, UINT32_MAX when it has none (a null name). */
bool aml_name(struct acpi_view aml, uint32_t *at, uint32_t *last);

#endif
