/*
 * acpi_devices.c: devices that only the DSDT and SSDTs tell of, as far as their AML is constant.
 *
 * Two kinds: LNRO0005, a virtio-mmio slot (QEMU's virt and microvm), and PNP0A08 or PNP0A03, a PCI host bridge,
 * whose _CRS gives the windows that MCFG does not. A Device counts when its whole body can be walked as constants
 * and things that have a length to skip them by, and its _HID, _CRS and, where it has one, its _STA are constants.
 * Anything else (a Method _CRS, an If around a name) is passed over: nothing is executed and nothing is guessed.
 */
#include <machine/add.h>
#include "acpi_aml.h"
#include <lib/string.h>

#define WHO "acpi"

/* Resource descriptors [ACPI 6.5 §6.4]: small ones have their length in the low three bits. */
enum {
    SMALL_END = 0x79 & ~7,
    LARGE = 0x80,
    LARGE_MEMORY32_FIXED = 0x86,
    LARGE_DWORD_ADDRESS = 0x87,
    LARGE_WORD_ADDRESS = 0x88,
    LARGE_INTERRUPT = 0x89,
    LARGE_QWORD_ADDRESS = 0x8a,
    FIXED_BASE = 4, /* from the descriptor's first byte on, as are all below */
    FIXED_LENGTH = 8,
    FIXED_SIZE = 12,
    INTERRUPT_FLAGS = 3,
    INTERRUPT_EDGE = 1 << 1,
    INTERRUPT_LOW = 1 << 2,
    INTERRUPT_COUNT = 4,
    INTERRUPT_FIRST = 5,
    ADDRESS_TYPE = 3,
    TYPE_MEMORY = 0,
    TYPE_IO = 1,
    ADDRESS_FLAGS = 4,
    FLAG_CONSUMER = 1 << 0,
    ADDRESS_TYPE_FLAGS = 5,
    MEMORY_ATTRIBUTE = 3 << 1,
    MEMORY_PREFETCHABLE = 3 << 1,
    IO_SPARSE = 1 << 5,
    ADDRESS_FIELDS = 6, /* granularity, minimum, maximum, translation, length */
};

enum {
    MAX_TERMS = 1 << 16, /* looked at in one table, however its devices are nested */
    MAX_STRING = 256,
    SLOT_MIN_SIZE = 0x100,
    SLOT_MAX_SIZE = 0x10000,
    STATUS_PRESENT = 1 << 0,
};

/* What a Device's body says, as far as it matters here. */
struct device_body {
    bool slot, bridge;
    bool absent, unknown; /* unknown: something that matters is computed */
    uint64_t segment, bus;
    struct acpi_view resources;
};

/* ---- The body of a Device ------------------------------------------------------------------------- */

static bool skip_package(struct acpi_view aml, uint32_t *at)
{
    struct acpi_view body;

    if (!aml_package(aml, at, &body))
        return false;
    *at += body.length;
    return true;
}

/* A DataRefObject that is no expression; *data: all of it. */
static bool read_data(struct acpi_view aml, uint32_t *at, struct acpi_view *data)
{
    uint32_t begin = *at;
    uint64_t ignored;

    if (begin >= aml.length)
        return false;
    switch (aml.bytes[begin]) {
    case AML_STRING:
        for ((*at)++; acpi_u8(aml, *at) != 0;)
            if (++*at - begin > MAX_STRING)
                return false;
        if (*at >= aml.length)
            return false;
        (*at)++;
        break;
    case AML_BUFFER:
    case AML_PACKAGE:
    case AML_VARIABLE_PACKAGE:
        (*at)++;
        if (!skip_package(aml, at))
            return false;
        break;
    default:
        if (!aml_integer(aml, at, &ignored))
            return false;
    }
    *data = acpi_part(aml, begin, *at - begin);
    return true;
}

/* `data` is the string, or the 32-bit EISA form of the identifier [ACPI 6.5 §19.3.4]. */
static bool identifier_is(struct acpi_view data, const char *text, uint32_t compressed)
{
    size_t length = strlen(text) + 1;

    if (acpi_u8(data, 0) == AML_STRING)
        return data.length == 1 + length && memcmp(data.bytes + 1, text, length) == 0;
    return acpi_u8(data, 0) == AML_DWORD && acpi_u32(data, 1) == compressed;
}

/* A _CRS: Buffer (size) { bytes }. */
static bool open_resources(struct acpi_view data, struct acpi_view *resources)
{
    struct acpi_view body;
    uint32_t at = 1, begin = 0;
    uint64_t size;

    if (acpi_u8(data, 0) != AML_BUFFER || !aml_package(data, &at, &body) || !aml_integer(body, &begin, &size))
        return false;
    *resources = acpi_part(body, begin, size < UINT32_MAX ? (uint32_t)size : UINT32_MAX);
    return resources->length != 0;
}

static void take_name(struct device_body *body, const uint8_t *name, struct acpi_view data)
{
    uint32_t at = 0;
    uint64_t value;

    if (memcmp(name, "_HID", 4) == 0) {
        body->slot = identifier_is(data, "LNRO0005", 0);
        body->bridge = identifier_is(data, "PNP0A08", 0x080ad041) || identifier_is(data, "PNP0A03", 0x030ad041);
    } else if (memcmp(name, "_CRS", 4) == 0) {
        body->unknown |= !open_resources(data, &body->resources);
    } else if (memcmp(name, "_STA", 4) == 0) {
        if (aml_integer(data, &at, &value))
            body->absent |= (value & STATUS_PRESENT) == 0;
        else
            body->unknown = true;
    } else if (memcmp(name, "_SEG", 4) == 0) {
        body->unknown |= !aml_integer(data, &at, &body->segment);
    } else if (memcmp(name, "_BBN", 4) == 0) {
        body->unknown |= !aml_integer(data, &at, &body->bus);
    }
}

/* A method is skipped, unless it computes what decides. */
static bool skip_method(struct device_body *body, struct acpi_view aml, uint32_t *at)
{
    static const char deciding[][5] = {"_HID", "_CRS", "_STA", "_SEG", "_BBN"};
    struct acpi_view method;
    uint32_t inside = 0, last;

    if (!aml_package(aml, at, &method) || !aml_name(method, &inside, &last))
        return false;
    for (unsigned i = 0; last != UINT32_MAX && i < sizeof deciding / sizeof deciding[0]; i++)
        body->unknown |= memcmp(method.bytes + last, deciding[i], 4) == 0;
    *at += method.length;
    return true;
}

/* One term; false: something that cannot be passed over. */
static bool walk_term(struct device_body *body, struct acpi_view aml, uint32_t *at)
{
    struct acpi_view data;
    uint32_t last;
    uint64_t ignored;
    uint8_t opcode = acpi_u8(aml, (*at)++);

    switch (opcode) {
    case AML_NAME:
        if (!aml_name(aml, at, &last) || last == UINT32_MAX || !read_data(aml, at, &data))
            return false;
        take_name(body, aml.bytes + last, data);
        return true;
    case AML_METHOD:
        return skip_method(body, aml, at);
    case AML_SCOPE:
        return skip_package(aml, at);
    case AML_EXTENDED:
        opcode = acpi_u8(aml, (*at)++);
        if (opcode == AML_EXTENDED_DEVICE || opcode == AML_EXTENDED_FIELD)
            return skip_package(aml, at);
        if (opcode != AML_EXTENDED_REGION || !aml_name(aml, at, &last))
            return false;
        (*at)++; /* its address space; then where it begins, and how long it is */
        if (!aml_integer(aml, at, &ignored))
            return false;
        return aml_integer(aml, at, &ignored);
    default:
        return false;
    }
}

/* ---- Resources ------------------------------------------------------------------------------------- */

/* The next descriptor, whole; false at the end tag and at one that is not whole. */
static bool next_resource(struct acpi_view resources, uint32_t *at, struct acpi_view *descriptor)
{
    uint8_t head = acpi_u8(resources, *at);
    uint32_t length = (head & LARGE) != 0 ? 3u + acpi_u16(resources, *at + 1) : 1u + (head & 7);

    if (*at >= resources.length || resources.length - *at < length || (head & ~7) == SMALL_END)
        return false;
    *descriptor = acpi_part(resources, *at, length);
    *at += length;
    return true;
}

/* The range of an address space descriptor of 2, 4 or 8 bytes a field. False when it is not a fixed one. */
static bool read_range(struct acpi_view descriptor, uint64_t *minimum, uint64_t *size, uint64_t *translation)
{
    uint8_t head = acpi_u8(descriptor, 0);
    unsigned width = head == LARGE_QWORD_ADDRESS ? 8 : head == LARGE_DWORD_ADDRESS ? 4 : 2;

    if (descriptor.length < ADDRESS_FIELDS + 5 * width)
        return false;
    *minimum = acpi_get(descriptor, ADDRESS_FIELDS + width, width);
    uint64_t maximum = acpi_get(descriptor, ADDRESS_FIELDS + 2 * width, width);
    *translation = acpi_get(descriptor, ADDRESS_FIELDS + 3 * width, width);
    *size = acpi_get(descriptor, ADDRESS_FIELDS + 4 * width, width);
    return *size != 0 && maximum >= *minimum && maximum - *minimum == *size - 1;
}

static bool is_address(struct acpi_view descriptor)
{
    uint8_t head = acpi_u8(descriptor, 0);

    return head == LARGE_QWORD_ADDRESS || head == LARGE_DWORD_ADDRESS || head == LARGE_WORD_ADDRESS;
}

/* A slot has one range of memory and one interrupt. */
static void add_slot(struct machine *machine, const struct device_body *body)
{
    struct machine_line line = MACHINE_LINE_NONE;
    struct acpi_view descriptor;
    uint64_t base = 0, size = 0, translation = 0;
    unsigned ranges = 0, lines = 0;

    for (uint32_t at = 0; next_resource(body->resources, &at, &descriptor);) {
        if (acpi_u8(descriptor, 0) == LARGE_MEMORY32_FIXED && descriptor.length == FIXED_SIZE) {
            base = acpi_u32(descriptor, FIXED_BASE);
            size = acpi_u32(descriptor, FIXED_LENGTH);
            ranges++;
        } else if (is_address(descriptor) && acpi_u8(descriptor, ADDRESS_TYPE) == TYPE_MEMORY &&
                   read_range(descriptor, &base, &size, &translation)) {
            ranges += translation == 0 ? 1 : 2;
        } else if (acpi_u8(descriptor, 0) == LARGE_INTERRUPT && descriptor.length >= INTERRUPT_FIRST + 4 &&
                   acpi_u8(descriptor, INTERRUPT_COUNT) == 1) {
            uint8_t flags = acpi_u8(descriptor, INTERRUPT_FLAGS);
            line.line = acpi_u32(descriptor, INTERRUPT_FIRST);
            line.trigger = (flags & INTERRUPT_EDGE) != 0 ? TRIGGER_EDGE : TRIGGER_LEVEL;
            line.polarity = (flags & INTERRUPT_LOW) != 0 ? POLARITY_LOW : POLARITY_HIGH;
            lines++;
        }
    }
    if (ranges == 1 && lines == 1 && size >= SLOT_MIN_SIZE && size <= SLOT_MAX_SIZE)
        machine_add_virtio_slot(machine, base, (uint32_t)size, line);
    else
        machine_warn(machine, WHO, "a virtio-mmio slot has %u ranges of memory and %u interrupts; it is not used",
                     ranges, lines);
}

/* False when there is a window that cannot be told. */
static bool add_window(struct machine *machine, struct machine_host_bridge *bridge, struct acpi_view descriptor)
{
    uint8_t type = acpi_u8(descriptor, ADDRESS_TYPE), flags = acpi_u8(descriptor, ADDRESS_TYPE_FLAGS);
    struct machine_pci_window window = {0};
    uint64_t translation;

    /* What is not produced for the bus is the bridge's own; a range of no bytes is one that is not in use. */
    if ((acpi_u8(descriptor, ADDRESS_FLAGS) & FLAG_CONSUMER) != 0 || (type != TYPE_MEMORY && type != TYPE_IO))
        return true;
    if (!read_range(descriptor, &window.bus_address, &window.size, &translation))
        return window.size == 0;
    window.cpu_address = window.bus_address + translation;
    if (type == TYPE_IO) {
        if ((flags & IO_SPARSE) != 0)
            return false;
        window.kind = PCI_WINDOW_IO;
    } else {
        uint64_t last = window.bus_address + (window.size - 1);
        window.kind = last <= UINT32_MAX ? PCI_WINDOW_MEMORY32 : PCI_WINDOW_MEMORY64;
        window.prefetchable = (flags & MEMORY_ATTRIBUTE) == MEMORY_PREFETCHABLE;
    }
    return machine_add_window(machine, bridge, &window);
}

/* For the bridge that MCFG has given; several root buses may share its configuration space. */
static bool add_windows(struct machine *machine, const struct device_body *body)
{
    for (uint32_t i = 0; i < machine->host_bridge_count; i++) {
        struct machine_host_bridge *bridge = &machine->host_bridges[i];
        struct acpi_view descriptor;
        if (bridge->segment != body->segment || body->bus < bridge->first_bus || body->bus > bridge->last_bus)
            continue;
        for (uint32_t at = 0; next_resource(body->resources, &at, &descriptor);)
            if (is_address(descriptor) && !add_window(machine, bridge, descriptor))
                return false;
        return bridge->window_count != 0;
    }
    return true; /* none that vmos can reach */
}

/* ---- The scan ---------------------------------------------------------------------------------------- */

/* `at` is behind DeviceOp. Terms that may be looked at yet are counted in *terms. False when this is a PCI host bridge
 * whose windows are not told. */
static bool read_device(struct machine *machine, struct acpi_view aml, uint32_t at, uint32_t *terms)
{
    struct device_body body = {0};
    struct acpi_view inside;
    uint32_t place = 0, last;

    if (!aml_package(aml, &at, &inside) || !aml_name(inside, &place, &last))
        return true;
    bool whole = true;
    while (whole && place < inside.length) {
        whole = walk_term(&body, inside, &place);
        *terms -= *terms != 0;
    }
    if (!whole || place != inside.length || body.unknown || (body.resources.length == 0 && !body.absent))
        return !body.bridge;
    if (body.absent)
        return true;
    if (body.slot)
        add_slot(machine, &body);
    return !body.bridge || add_windows(machine, &body);
}

bool acpi_read_devices(struct machine *machine, struct acpi_view table)
{
    uint32_t terms = MAX_TERMS;
    bool all = true;

    for (uint32_t at = ACPI_HEADER_SIZE; at + 1 < table.length && terms != 0; at++)
        if (table.bytes[at] == AML_EXTENDED && table.bytes[at + 1] == AML_EXTENDED_DEVICE)
            all &= read_device(machine, table, at + 2, &terms);
    if (terms == 0)
        machine_warn(machine, WHO, "a table describes more devices than are looked at; the rest is not used");
    return all && terms != 0;
}
