/*
 * pci_health.c: a function looked at again: whether it is still what was found, which errors it has recorded, how
 * its link runs.
 */
#include "pci_local.h"
#include <lib/string.h>

unsigned pci_express_field(const struct pci_function *function, unsigned field, unsigned width)
{
    for (unsigned i = 0; i < function->capability_count && function->express != 0; i++) {
        const struct pci_capability *capability = &function->capabilities[i];
        if (capability->offset == function->express && field + width <= capability->length)
            return capability->offset + field;
    }
    return 0;
}

/* ---- Still the same -------------------------------------------------------------------------------- */

static const char *bar_difference(const struct pci_access *access, const struct pci_function *function)
{
    static const char *const moved[] = {"BAR 0 has moved", "BAR 1 has moved", "BAR 2 has moved",
                                        "BAR 3 has moved", "BAR 4 has moved", "BAR 5 has moved"};

    for (unsigned i = 0; i < pci_bar_count(function); i++) {
        const struct pci_bar *bar = &function->bars[i];
        unsigned offset = PCI_BAR0 + i * 4;
        uint32_t fixed = bar->kind == PCI_BAR_IO ? 3 : 15;
        if (bar->kind == PCI_BAR_NONE || !bar->assigned)
            continue;
        if ((pci_read32(access, function->where, offset) & ~fixed) != (uint32_t)bar->bus_address ||
            (bar->kind == PCI_BAR_MEMORY64 &&
             pci_read32(access, function->where, offset + 4) != (uint32_t)(bar->bus_address >> 32)))
            return moved[i];
    }
    return NULL;
}

/* Member by member: what lies between members is nobody's. */
static bool same_extended(const struct pci_function *a, const struct pci_function *b)
{
    unsigned count = a->extended_capability_count;

    for (unsigned i = 0; i < count; i++)
        if (a->extended_capabilities[i].identifier != b->extended_capabilities[i].identifier ||
            a->extended_capabilities[i].offset != b->extended_capabilities[i].offset ||
            a->extended_capabilities[i].version != b->extended_capabilities[i].version)
            return false;
    return b->extended_capability_count == count;
}

static bool same_msix(const struct pci_msix *a, const struct pci_msix *b)
{
    return a->usable == b->usable && a->capability == b->capability && a->vector_count == b->vector_count &&
           a->table_bar == b->table_bar && a->pending_bar == b->pending_bar && a->table_offset == b->table_offset &&
           a->pending_offset == b->pending_offset;
}

static bool same_capabilities(const struct pci_access *access, const struct pci_function *function)
{
    struct pci_function again = {.where = function->where, .header_type = function->header_type};

    memcpy(again.bars, function->bars, sizeof again.bars);
    pci_read_capabilities(access, &again);
    return again.capability_count == function->capability_count &&
           memcmp(again.capabilities, function->capabilities, sizeof again.capabilities) == 0 &&
           same_extended(&again, function) && same_msix(&again.msix, &function->msix) &&
           memcmp(&again.msi, &function->msi, sizeof again.msi) == 0;
}

const char *pci_verify(const struct pci_access *access, const struct pci_function *function)
{
    struct pci_address where = function->where;
    uint32_t id = pci_read32(access, where, PCI_VENDOR), revision = pci_read32(access, where, PCI_REVISION);

    if (id == UINT32_MAX)
        return "does not answer";
    if (id != ((uint32_t)function->device << 16 | function->vendor))
        return "has another identity";
    if (revision != (function->class_code << 8 | function->revision))
        return "has another class or revision";
    if ((pci_read8(access, where, PCI_HEADER_TYPE) & ~PCI_HEADER_MULTIFUNCTION) != function->header_type)
        return "has another kind of header";
    if (pci_is_bridge(function) && (pci_read32(access, where, PCI_PRIMARY_BUS) >> 8 & 0xffff) !=
                                       (uint32_t)(function->subordinate_bus << 8 | function->secondary_bus))
        return "leads to other buses";
    const char *difference = bar_difference(access, function);
    return difference != NULL ? difference : !same_capabilities(access, function) ? "has other capabilities" : NULL;
}

/* ---- Errors ---------------------------------------------------------------------------------------- */

static const char *const status_names[16] = {
    [8] = "master data parity error", [11] = "signalled target abort", [12] = "received target abort",
    [13] = "received master abort",   [14] = "signalled system error", [15] = "detected parity error"};
static const char *const secondary_names[16] = {
    [8] = "data parity error behind it",      [11] = "signalled target abort behind it",
    [12] = "received target abort behind it", [13] = "received master abort behind it",
    [14] = "received system error behind it", [15] = "detected parity error behind it"};
static const char *const express_names[] = {"correctable error", "non-fatal error", "fatal error",
                                            "unsupported request"};
static const char *const uncorrectable_names[] = {/* [PCI Express Base 6.0 §7.8.4.2] */
                                                  [4] = "data link protocol error",  [5] = "surprise down",
                                                  [12] = "poisoned packet received", [13] = "flow control error",
                                                  [14] = "completion timeout",       [15] = "completer abort",
                                                  [16] = "unexpected completion",    [17] = "receiver overflow",
                                                  [18] = "malformed packet",         [19] = "ECRC error",
                                                  [20] = "unsupported request",      [21] = "access control violation",
                                                  [22] = "internal error",           [23] = "blocked multicast",
                                                  [24] = "blocked atomic operation"};
static const char *const correctable_names[] =
    {/* [PCI Express Base 6.0 §7.8.4.5] */
     [0] = "receiver error",           [6] = "bad packet",      [7] = "bad link packet",
     [8] = "replay number rollover",   [12] = "replay timeout", [13] = "advisory non-fatal error",
     [14] = "corrected internal error"};

/* Looking where nothing is ends in a master abort on that bus, which is how one finds out [PCI Local Bus 3.0 §6.1]. */
enum { ABORT_BEHIND = 1 << 13 };

static uint16_t take16(const struct pci_access *access, struct pci_address where, unsigned offset, uint16_t errors)
{
    uint16_t found = offset != 0 ? pci_read16(access, where, offset) : UINT16_MAX;

    if (found == UINT16_MAX || (found & errors) == 0)
        return 0;
    pci_write16(access, where, offset, found & errors);
    return found & errors;
}

static uint32_t take32(const struct pci_access *access, struct pci_address where, unsigned offset)
{
    uint32_t found = pci_read32(access, where, offset);

    if (found == UINT32_MAX || found == 0)
        return 0;
    pci_write32(access, where, offset, found);
    return found;
}

bool pci_errors_take(const struct pci_access *access, const struct pci_function *function, struct pci_errors *errors)
{
    struct pci_address where = function->where;
    struct pci_errors found = {.status = take16(access, where, PCI_STATUS, PCI_STATUS_ERRORS)};

    if (pci_is_bridge(function))
        found.secondary = take16(access, where, PCI_SECONDARY_STATUS, PCI_STATUS_ERRORS & ~ABORT_BEHIND);
    found.express =
        (uint8_t)take16(access, where, pci_express_field(function, PCI_EXPRESS_STATUS, 2), PCI_EXPRESS_STATUS_ERRORS);
    for (unsigned i = 0; i < function->extended_capability_count; i++) {
        const struct pci_extended_capability *capability = &function->extended_capabilities[i];
        if (capability->identifier != PCI_EXTENDED_ERRORS || capability->offset > 0x1000 - 0x14)
            continue;
        found.uncorrectable = take32(access, where, capability->offset + (unsigned)PCI_ERRORS_UNCORRECTABLE);
        found.correctable = take32(access, where, capability->offset + (unsigned)PCI_ERRORS_CORRECTABLE);
        break;
    }
    errors->status |= found.status;
    errors->secondary |= found.secondary;
    errors->express |= found.express;
    errors->uncorrectable |= found.uncorrectable;
    errors->correctable |= found.correctable;
    return (found.status | found.secondary | found.express) != 0 || (found.uncorrectable | found.correctable) != 0;
}

struct text {
    char *text;
    size_t size, used;
};

static void add_names(struct text *text, uint32_t bits, const char *const names[], unsigned count)
{
    for (unsigned i = 0; i < 32; i++) {
        if ((bits >> i & 1) == 0 || text->used + 1 >= text->size)
            continue;
        const char *comma = text->used != 0 ? ", " : "";
        int added = i < count && names[i] != NULL
                        ? snprintf(text->text + text->used, text->size - text->used, "%s%s", comma, names[i])
                        : snprintf(text->text + text->used, text->size - text->used, "%serror %u", comma, i);
        text->used += added > 0 ? (size_t)added : 0;
    }
}

void pci_errors_text(const struct pci_errors *errors, char *buffer, size_t size)
{
    struct text text = {.text = buffer, .size = size};

    snprintf(buffer, size, "none");
    add_names(&text, errors->status, status_names, 16);
    add_names(&text, errors->secondary, secondary_names, 16);
    add_names(&text, errors->express, express_names, 4);
    add_names(&text, errors->uncorrectable, uncorrectable_names,
              sizeof uncorrectable_names / sizeof uncorrectable_names[0]);
    add_names(&text, errors->correctable, correctable_names, sizeof correctable_names / sizeof correctable_names[0]);
}

/* ---- Link ------------------------------------------------------------------------------------------ */

static const char *speed_text(unsigned speed)
{
    static const char *const speeds[] = {"no", "2.5", "5", "8", "16", "32", "64"};

    return speed < sizeof speeds / sizeof speeds[0] ? speeds[speed] : "unknown";
}

bool pci_link_text(const struct pci_access *access, const struct pci_function *function, char *text, size_t size)
{
    unsigned status = pci_express_field(function, PCI_EXPRESS_LINK_STATUS, 2);
    unsigned able = pci_express_field(function, PCI_EXPRESS_LINK_CAPABILITIES, 4);

    if (status == 0 || able == 0)
        return false;
    uint16_t now = pci_read16(access, function->where, status);
    uint32_t most = pci_read32(access, function->where, able);
    if (now == UINT16_MAX || (now >> 4 & 0x3f) == 0) /* part of the root complex, or nothing behind the port */
        return false;
    snprintf(text, size, "%s GT/s x%u of at most %s GT/s x%u", speed_text(now & 15), now >> 4 & 0x3f,
             speed_text(most & 15), (unsigned)(most >> 4 & 0x3f));
    return true;
}
