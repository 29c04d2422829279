/* acpi_aml.c: lengths, names and constants in AML, each read only when it is whole [ACPI 6.5 §20.2]. */
#include "acpi_aml.h"

bool aml_package(struct acpi_view aml, uint32_t *at, struct acpi_view *body)
{
    uint8_t lead = acpi_u8(aml, *at);
    uint32_t more = lead >> 6, length = more == 0 ? lead & 0x3f : lead & 0x0f;

    if (*at >= aml.length || aml.length - *at <= more)
        return false;
    for (uint32_t i = 0; i < more; i++)
        length |= (uint32_t)acpi_u8(aml, *at + 1 + i) << (4 + 8 * i);
    if (length < 1 + more || length > aml.length - *at) /* it counts its own bytes */
        return false;
    *at += 1 + more;
    *body = (struct acpi_view){.bytes = aml.bytes + *at, .length = length - (1 + more)};
    return true;
}

bool aml_integer(struct acpi_view aml, uint32_t *at, uint64_t *value)
{
    uint8_t opcode = acpi_u8(aml, *at);
    unsigned width;

    if (*at >= aml.length)
        return false;
    switch (opcode) {
    case AML_ZERO:
    case AML_ONE:
        width = 0;
        *value = opcode;
        break;
    case AML_ONES:
        width = 0;
        *value = UINT64_MAX;
        break;
    case AML_BYTE:
        width = 1;
        break;
    case AML_WORD:
        width = 2;
        break;
    case AML_DWORD:
        width = 4;
        break;
    case AML_QWORD:
        width = 8;
        break;
    default:
        return false;
    }
    if (aml.length - *at - 1 < width)
        return false;
    if (width != 0)
        *value = acpi_get(aml, *at + 1, width);
    *at += 1 + width;
    return true;
}

static bool name_character(uint8_t byte, bool first)
{
    return (byte >= 'A' && byte <= 'Z') || byte == '_' || (!first && byte >= '0' && byte <= '9');
}

bool aml_name(struct acpi_view aml, uint32_t *at, uint32_t *last)
{
    enum { DUAL = 0x2e, MULTI = 0x2f };
    uint32_t place = *at, segments = 1;

    if (acpi_u8(aml, place) == '\\')
        place++;
    else
        while (acpi_u8(aml, place) == '^')
            place++;
    if (place >= aml.length)
        return false;
    switch (acpi_u8(aml, place)) {
    case 0:
        *last = UINT32_MAX;
        *at = place + 1;
        return true;
    case DUAL:
        segments = 2;
        place++;
        break;
    case MULTI:
        segments = acpi_u8(aml, place + 1);
        place += 2;
        break;
    }
    if (segments == 0 || place > aml.length || (aml.length - place) / 4 < segments)
        return false;
    for (uint32_t i = 0; i < 4 * segments; i++)
        if (!name_character(aml.bytes[place + i], i % 4 == 0))
            return false;
    *last = place + 4 * (segments - 1);
    *at = place + 4 * segments;
    return true;
}
