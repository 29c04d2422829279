/*
 * acpi_iommu.c: IOMMUs and who is behind them: DMAR (VT-d), IVRS (AMD), VIOT (virtio-iommu).
 */
#include <machine/add.h>
#include "acpi_table.h"

#define WHO "acpi"

enum { UNIT_ALIGNMENT = 4096 };

/* ---- DMAR [Intel VT-d 4.1 §8] ------------------------------------------------------------------------- */

enum {
    DMAR_ADDRESS_WIDTH = 36, /* less one */
    DMAR_ENTRIES = 48,
    DMAR_TYPE = 0,
    DMAR_LENGTH = 2,
    DMAR_HEADER = 4,
    TYPE_DRHD = 0,
    DRHD_FLAGS = 4,
    DRHD_ALL_DEVICES = 1 << 0,
    DRHD_REGISTERS = 5, /* bits 3 to 0: 2^n pages */
    DRHD_SEGMENT = 6,
    DRHD_BASE = 8,
    DRHD_SIZE = 16,
    TYPE_RMRR = 1,
    RMRR_SEGMENT = 6,
    RMRR_BASE = 8,
    RMRR_LAST = 16,
    RMRR_SIZE = 24,
    SCOPE_TYPE = 0,
    SCOPE_LENGTH = 1,
    SCOPE_BUS = 5,
    SCOPE_PATH = 6, /* pairs of device and function */
    SCOPE_ENDPOINT = 1,
    SCOPE_BRIDGE = 2,
};

struct scope {
    uint16_t function;
    bool bridge;
};

/* The next device scope that names a PCI function. A path with several hops leads through bridges whose bus
 * numbers the table does not give; then everything below the first bridge is meant, which is more than it says. */
static bool next_scope(struct acpi_entries *walk, struct scope *scope)
{
    struct acpi_view entry;

    while (acpi_next(walk, &entry)) {
        uint8_t type = acpi_u8(entry, SCOPE_TYPE), device = acpi_u8(entry, SCOPE_PATH),
                function = acpi_u8(entry, SCOPE_PATH + 1);
        if (type != SCOPE_ENDPOINT && type != SCOPE_BRIDGE)
            continue; /* I/O APICs, HPETs and ACPI devices do no DMA of their own */
        if (device > 31 || function > 7) {
            machine_warn(walk->machine, WHO, "%s names device %u function %u, which is impossible; it is ignored",
                         walk->table, device, function);
            continue;
        }
        *scope = (struct scope){.function = (uint16_t)(acpi_u8(entry, SCOPE_BUS) << 8 | device << 3 | function),
                                .bridge = type == SCOPE_BRIDGE || entry.length > SCOPE_PATH + 2};
        return true;
    }
    return false;
}

static struct acpi_entries scopes_of(struct machine *machine, struct acpi_view structure, uint32_t offset)
{
    return (struct acpi_entries){.machine = machine,
                                 .table = "DMAR device scope",
                                 .view = structure,
                                 .offset = offset,
                                 .limit = UINT32_MAX,
                                 .length_at = SCOPE_LENGTH,
                                 .length_width = 1,
                                 .minimum = SCOPE_PATH + 2};
}

static void read_drhd(struct machine *machine, struct acpi_view drhd, uint8_t address_bits)
{
    uint64_t base = acpi_u64(drhd, DRHD_BASE);
    uint32_t before = machine->iommu_count;
    struct scope scope;

    if (base == 0 || base % UNIT_ALIGNMENT != 0) {
        machine_warn(machine, WHO, "DMAR places a unit at 0x%llx, which is impossible; it is ignored",
                     (unsigned long long)base);
        return;
    }
    struct machine_iommu *iommu = machine_add_iommu(machine, IOMMU_VTD, base);
    if (iommu == NULL)
        return;
    if (machine->iommu_count != before) {
        iommu->size = UINT64_C(4096) << (acpi_u8(drhd, DRHD_REGISTERS) & 15);
        iommu->pci_segment = acpi_u16(drhd, DRHD_SEGMENT);
        iommu->all_devices = (acpi_u8(drhd, DRHD_FLAGS) & DRHD_ALL_DEVICES) != 0;
        iommu->address_bits = address_bits;
        iommu->id = machine->iommu_count - 1;
    }
    struct acpi_entries walk = scopes_of(machine, drhd, DRHD_SIZE);
    while (next_scope(&walk, &scope)) {
        struct machine_iommu_scope added = {.iommu = (uint16_t)(iommu - machine->iommus),
                                            .segment = acpi_u16(drhd, DRHD_SEGMENT),
                                            .first = scope.function,
                                            .last = scope.function,
                                            .output_base = scope.function,
                                            .bridge = scope.bridge};
        machine_add_iommu_scope(machine, &added);
    }
}

static void read_rmrr(struct machine *machine, struct acpi_view rmrr)
{
    uint64_t base = acpi_u64(rmrr, RMRR_BASE), last = acpi_u64(rmrr, RMRR_LAST);
    struct acpi_entries walk = scopes_of(machine, rmrr, RMRR_SIZE);
    struct scope scope;

    if (last < base || last - base == UINT64_MAX) {
        machine_warn(machine, WHO, "DMAR reserves memory from 0x%llx to 0x%llx, which is impossible; it is ignored",
                     (unsigned long long)base, (unsigned long long)last);
        return;
    }
    while (next_scope(&walk, &scope)) {
        struct machine_reserved_region region = {.base = base,
                                                 .size = last - base + 1,
                                                 .segment = acpi_u16(rmrr, RMRR_SEGMENT),
                                                 .first = scope.function,
                                                 .last = scope.function};
        machine_add_reserved_region(machine, &region);
    }
}

void acpi_read_dmar(struct machine *machine, struct acpi_view table)
{
    struct acpi_entries walk = {.machine = machine,
                                .table = "DMAR",
                                .view = table,
                                .offset = DMAR_ENTRIES,
                                .limit = UINT32_MAX,
                                .length_at = DMAR_LENGTH,
                                .length_width = 2,
                                .minimum = DMAR_HEADER};
    unsigned bits = acpi_u8(table, DMAR_ADDRESS_WIDTH) + 1u;
    struct acpi_view entry;

    if (bits > 64) {
        machine_warn(machine, WHO, "DMAR claims %u address bits; the unit is asked instead", bits);
        bits = 0;
    }
    while (acpi_next(&walk, &entry)) {
        if (acpi_u16(entry, DMAR_TYPE) == TYPE_DRHD && !acpi_too_short(&walk, entry, "DRHD", DRHD_SIZE))
            read_drhd(machine, entry, (uint8_t)bits);
        if (acpi_u16(entry, DMAR_TYPE) == TYPE_RMRR && !acpi_too_short(&walk, entry, "RMRR", RMRR_SIZE))
            read_rmrr(machine, entry);
    }
}

/* ---- IVRS [AMD I/O Virtualization Technology 48882 §5.2] ------------------------------------------------ */

enum {
    IVRS_INFO = 36, /* bits 14 to 8: physical address bits */
    IVRS_ENTRIES = 48,
    BLOCK_TYPE = 0,
    BLOCK_FLAGS = 1,
    BLOCK_LENGTH = 2,
    BLOCK_HEADER = 4,
    BLOCK_DEVICE = 4,
    IVHD_OLD = 0x10, /* 24 bytes before its device entries; 0x11 and 0x40 have 40 */
    IVHD_NEW = 0x11,
    IVHD_ACPI = 0x40,
    IVHD_COHERENT = 1 << 5,
    IVHD_BASE = 8,
    IVHD_SEGMENT = 16,
    IVHD_OLD_SIZE = 24,
    IVHD_NEW_SIZE = 40,
    IVMD_ALL = 0x20,
    IVMD_ONE = 0x21,
    IVMD_RANGE = 0x22,
    IVMD_LAST = 6,
    IVMD_BASE = 16,
    IVMD_LENGTH = 24,
    IVMD_SIZE = 32,
};
#define IVHD_REGISTERS UINT64_C(0x4000)

enum { /* device entries: type, requester (16 bits), settings */
       DEVICE_ALL = 0x01,
       DEVICE_SELECT = 0x02,
       DEVICE_RANGE_START = 0x03,
       DEVICE_RANGE_END = 0x04,
       DEVICE_ALIAS_SELECT = 0x42,
       DEVICE_ALIAS_START = 0x43,
       DEVICE_EXTENDED_SELECT = 0x46,
       DEVICE_EXTENDED_START = 0x47,
       DEVICE_ACPI = 0xf0,
       DEVICE_ACPI_NAME_LENGTH = 21,
};

/* The two top bits of a type give its size; types from 0x40 on may be unknown and are still stepped over. */
static uint32_t device_entry_size(struct acpi_view entries, uint32_t at)
{
    uint8_t type = acpi_u8(entries, at);

    if (type == DEVICE_ACPI)
        return DEVICE_ACPI_NAME_LENGTH + 1u + acpi_u8(entries, at + DEVICE_ACPI_NAME_LENGTH);
    return 4u << (type >> 6);
}

static void read_device_entries(struct machine *machine, struct machine_iommu *iommu, struct acpi_view entries)
{
    struct machine_iommu_scope scope = {.iommu = (uint16_t)(iommu - machine->iommus), .segment = iommu->pci_segment};
    bool open = false;

    for (uint32_t at = 0, size; at < entries.length; at += size) {
        uint16_t device = acpi_u16(entries, at + 1);
        size = device_entry_size(entries, at);
        if (size > entries.length - at) {
            machine_malformed(machine, WHO,
                              "IVRS device entry of type 0x%x runs past its block; the rest of the block is ignored",
                              acpi_u8(entries, at));
            return;
        }
        switch (acpi_u8(entries, at)) {
        case DEVICE_ALL:
            iommu->all_devices = true;
            break;
        case DEVICE_SELECT:
        case DEVICE_ALIAS_SELECT:
        case DEVICE_EXTENDED_SELECT:
            scope.first = scope.last = device;
            scope.output_base = device;
            machine_add_iommu_scope(machine, &scope);
            break;
        case DEVICE_RANGE_START:
        case DEVICE_ALIAS_START:
        case DEVICE_EXTENDED_START:
            scope.first = device;
            open = true;
            break;
        case DEVICE_RANGE_END:
            scope.last = device;
            scope.output_base = scope.first;
            if (open && scope.first <= scope.last)
                machine_add_iommu_scope(machine, &scope);
            open = false;
            break;
        }
    }
}

static void read_ivhd(struct machine *machine, struct acpi_view block, uint8_t address_bits)
{
    uint64_t base = acpi_u64(block, IVHD_BASE);
    uint32_t fixed = acpi_u8(block, BLOCK_TYPE) == IVHD_OLD ? IVHD_OLD_SIZE : IVHD_NEW_SIZE;
    uint32_t before = machine->iommu_count;

    if (base == 0 || base % UNIT_ALIGNMENT != 0) {
        machine_warn(machine, WHO, "IVRS places a unit at 0x%llx, which is impossible; it is ignored",
                     (unsigned long long)base);
        return;
    }
    struct machine_iommu *iommu =
        machine_add_iommu(machine, IOMMU_AMD, base); /* blocks of all three types may name it */
    if (iommu == NULL)
        return;
    if (machine->iommu_count != before) {
        iommu->size = IVHD_REGISTERS;
        iommu->pci_segment = acpi_u16(block, IVHD_SEGMENT);
        iommu->pci_function = acpi_u16(block, BLOCK_DEVICE);
        iommu->coherent_walks = (acpi_u8(block, BLOCK_FLAGS) & IVHD_COHERENT) != 0;
        iommu->address_bits = address_bits;
        iommu->id = iommu->pci_function;
    }
    read_device_entries(machine, iommu, acpi_part(block, fixed, UINT32_MAX));
}

static void read_ivmd(struct machine *machine, struct acpi_view block)
{
    uint8_t type = acpi_u8(block, BLOCK_TYPE);
    struct machine_reserved_region region = {
        .base = acpi_u64(block, IVMD_BASE),
        .size = acpi_u64(block, IVMD_LENGTH),
        .first = type == IVMD_ALL ? 0 : acpi_u16(block, BLOCK_DEVICE),
        .last = type == IVMD_ALL ? UINT16_MAX
                                 : acpi_u16(block, type == IVMD_RANGE ? (uint32_t)IVMD_LAST : (uint32_t)BLOCK_DEVICE),
    };

    if (region.first <= region.last)
        machine_add_reserved_region(machine, &region);
}

void acpi_read_ivrs(struct machine *machine, struct acpi_view table)
{
    struct acpi_entries walk = {.machine = machine,
                                .table = "IVRS",
                                .view = table,
                                .offset = IVRS_ENTRIES,
                                .limit = UINT32_MAX,
                                .length_at = BLOCK_LENGTH,
                                .length_width = 2,
                                .minimum = BLOCK_HEADER};
    unsigned bits = acpi_u32(table, IVRS_INFO) >> 8 & 0x7f;
    struct acpi_view block;

    while (acpi_next(&walk, &block)) {
        switch (acpi_u8(block, BLOCK_TYPE)) {
        case IVHD_OLD:
            if (!acpi_too_short(&walk, block, "IVHD", IVHD_OLD_SIZE))
                read_ivhd(machine, block, bits <= 64 ? (uint8_t)bits : 0);
            break;
        case IVHD_NEW:
        case IVHD_ACPI:
            if (!acpi_too_short(&walk, block, "IVHD", IVHD_NEW_SIZE))
                read_ivhd(machine, block, bits <= 64 ? (uint8_t)bits : 0);
            break;
        case IVMD_ALL:
        case IVMD_ONE:
        case IVMD_RANGE:
            if (!acpi_too_short(&walk, block, "IVMD", IVMD_SIZE))
                read_ivmd(machine, block);
            break;
        }
    }
}

/* ---- VIOT [ACPI 6.5 §5.2.35, virtio 1.2 §5.13] ----------------------------------------------------------- */

enum {
    VIOT_NODE_COUNT = 36,
    VIOT_NODE_OFFSET = 38,
    VIOT_FIXED_SIZE = 48,
    NODE_TYPE = 0,
    NODE_LENGTH = 2,
    NODE_HEADER = 4,
    NODE_PCI_RANGE = 1,
    RANGE_ENDPOINT = 4,
    RANGE_FIRST_SEGMENT = 8,
    RANGE_LAST_SEGMENT = 10,
    RANGE_FIRST = 12,
    RANGE_LAST = 14,
    RANGE_OUTPUT = 16,
    RANGE_SIZE = 24,
    NODE_VIRTIO_PCI = 3,
    VIRTIO_PCI_SEGMENT = 4,
    VIRTIO_PCI_FUNCTION = 6,
    NODE_VIRTIO_MMIO = 4,
    VIRTIO_MMIO_BASE = 8,
    VIRTIO_SIZE = 16,
    VIRTIO_MMIO_REGISTERS = 0x200,
};

/* The unit that the node at an offset describes; NULL when it describes none. */
static struct machine_iommu *viot_unit(struct machine *machine, struct acpi_view table, uint32_t offset)
{
    struct acpi_view node = acpi_part(table, offset, VIRTIO_SIZE);
    struct machine_iommu *iommu = NULL;

    if (offset < VIOT_FIXED_SIZE || node.length < VIRTIO_SIZE || acpi_u16(node, NODE_LENGTH) < VIRTIO_SIZE)
        return NULL;
    if (acpi_u8(node, NODE_TYPE) == NODE_VIRTIO_PCI)
        iommu = machine_add_iommu_pci(machine, IOMMU_VIRTIO, acpi_u16(node, VIRTIO_PCI_SEGMENT),
                                      acpi_u16(node, VIRTIO_PCI_FUNCTION));
    if (acpi_u8(node, NODE_TYPE) == NODE_VIRTIO_MMIO) {
        iommu = machine_add_iommu(machine, IOMMU_VIRTIO, acpi_u64(node, VIRTIO_MMIO_BASE));
        if (iommu != NULL)
            iommu->size = VIRTIO_MMIO_REGISTERS;
    }
    return iommu;
}

static void add_pci_range(struct machine *machine, struct acpi_view node, uint16_t segment, uint16_t iommu)
{
    uint32_t segments_before = segment - (uint32_t)acpi_u16(node, RANGE_FIRST_SEGMENT);
    struct machine_iommu_scope scope = {.iommu = iommu,
                                        .segment = segment,
                                        .first = acpi_u16(node, RANGE_FIRST),
                                        .last = acpi_u16(node, RANGE_LAST),
                                        .output_base = acpi_u32(node, RANGE_ENDPOINT) + (segments_before << 16)};

    machine_add_iommu_scope(machine, &scope);
}

static void read_pci_range(struct machine *machine, struct acpi_view table, struct acpi_view node)
{
    uint16_t first = acpi_u16(node, RANGE_FIRST_SEGMENT), last = acpi_u16(node, RANGE_LAST_SEGMENT);
    struct machine_iommu *unit = viot_unit(machine, table, acpi_u16(node, RANGE_OUTPUT));

    if (unit == NULL || first > last || acpi_u16(node, RANGE_FIRST) > acpi_u16(node, RANGE_LAST)) {
        machine_warn(machine, WHO,
                     "VIOT puts requesters 0x%x to 0x%x behind the node at 0x%x, which is impossible; it is ignored",
                     acpi_u16(node, RANGE_FIRST), acpi_u16(node, RANGE_LAST), acpi_u16(node, RANGE_OUTPUT));
        return;
    }
    uint16_t index = (uint16_t)(unit - machine->iommus);
    add_pci_range(machine, node, first, index);
    for (uint32_t i = 0; i < machine->host_bridge_count; i++) /* of the other segments those that exist */
        if (machine->host_bridges[i].segment > first && machine->host_bridges[i].segment <= last)
            add_pci_range(machine, node, machine->host_bridges[i].segment, index);
}

void acpi_read_viot(struct machine *machine, struct acpi_view table)
{
    struct acpi_entries walk = {.machine = machine,
                                .table = "VIOT",
                                .view = table,
                                .offset = acpi_u16(table, VIOT_NODE_OFFSET),
                                .limit = acpi_u16(table, VIOT_NODE_COUNT),
                                .length_at = NODE_LENGTH,
                                .length_width = 2,
                                .minimum = NODE_HEADER};
    struct acpi_view node;

    if (walk.limit != 0 && (walk.offset < VIOT_FIXED_SIZE || walk.offset >= table.length)) {
        machine_malformed(machine, WHO, "VIOT places its nodes at 0x%x, outside of the table; it is ignored",
                          walk.offset);
        return;
    }
    while (acpi_next(&walk, &node))
        if (acpi_u8(node, NODE_TYPE) == NODE_PCI_RANGE && !acpi_too_short(&walk, node, "PCI range", RANGE_SIZE))
            read_pci_range(machine, table, node);
        else if (acpi_u8(node, NODE_TYPE) == NODE_VIRTIO_PCI || acpi_u8(node, NODE_TYPE) == NODE_VIRTIO_MMIO)
            viot_unit(machine, table, walk.at);
}
