/*
 * fdt_pci.c: PCI host bridges with ECAM (pci-host-ecam-generic)
 * [PCI Bus Binding to IEEE 1275-1994; host-generic-pci, pci-msi and pci-iommu bindings].
 */
#include "fdt_machine.h"

#include <lib/bytes.h>

enum {
    PCI_ADDRESS_CELLS = 3, /* phys.hi: space, bus, device, function; then 64 bits */
    PCI_SIZE_CELLS = 2,
    PCI_INTERRUPT_CELLS = 1,
    SPACE_SHIFT = 24, /* of phys.hi */
    SPACE_MASK = 3,
    SPACE_IO = 1,
    SPACE_MEMORY32 = 2,
    SPACE_MEMORY64 = 3,
    PREFETCHABLE = 1 << 30,
    REQUESTER_COUNT = 1 << 16,
    ID_MAP_CELLS = 4, /* first requester, phandle, first output, length */
};

#define BUS_SIZE (UINT64_C(1) << 20) /* of ECAM */
#define FOUR_GIB (UINT64_C(1) << 32)

/* ---- Windows -------------------------------------------------------------------------------------------- */

static bool window_kind(uint32_t space, enum pci_window_kind *kind)
{
    switch (space) {
    case SPACE_IO:
        *kind = PCI_WINDOW_IO;
        return true;
    case SPACE_MEMORY32:
        *kind = PCI_WINDOW_MEMORY32;
        return true;
    case SPACE_MEMORY64:
        *kind = PCI_WINDOW_MEMORY64;
        return true;
    default:
        return false;
    }
}

static void describe_window(struct fdt_reader *reader, struct machine_host_bridge *bridge, uint32_t at,
                            uint32_t parent_cells)
{
    struct fdt_value ranges = reader->levels[reader->depth].ranges;
    uint32_t high = fdt_cell(ranges, at, 0), space = high >> SPACE_SHIFT & SPACE_MASK;
    struct machine_pci_window window = {.prefetchable = (high & PREFETCHABLE) != 0};

    if (!window_kind(space, &window.kind)) {
        fdt_complain(reader, "%s: a window of space %u is not one that can be used; it is dropped",
                     FDT_NODE_NAME(reader), space);
        return;
    }
    bool fits = fdt_number(ranges, at + 1, PCI_ADDRESS_CELLS - 1, &window.bus_address) &&
                fdt_number(ranges, at + PCI_ADDRESS_CELLS, parent_cells, &window.cpu_address) &&
                fdt_number(ranges, at + PCI_ADDRESS_CELLS + parent_cells, PCI_SIZE_CELLS, &window.size) &&
                machine_range_valid(window.bus_address, window.size) &&
                machine_range_valid(window.cpu_address, window.size);
    if (fits && window.kind != PCI_WINDOW_MEMORY64)
        fits = window.bus_address + (window.size - 1) < FOUR_GIB;
    if (!fits || !fdt_translate(reader, reader->depth - 1, &window.cpu_address, window.size)) {
        fdt_complain(reader, "%s: the window of 0x%llx bytes at 0x%llx is impossible; it is dropped",
                     FDT_NODE_NAME(reader), (unsigned long long)window.size, (unsigned long long)window.bus_address);
        return;
    }
    machine_add_window(reader->machine, bridge, &window);
}

static void describe_windows(struct fdt_reader *reader, struct machine_host_bridge *bridge)
{
    uint32_t cells = reader->levels[reader->depth].ranges.length / 4;
    uint32_t parent_cells = reader->levels[reader->depth - 1].address_cells;
    uint32_t stride = PCI_ADDRESS_CELLS + parent_cells + PCI_SIZE_CELLS;

    if (parent_cells == 0 || parent_cells > FDT_MAX_CELLS)
        return;
    for (uint32_t at = 0; at + stride <= cells && at / stride < 2 * MACHINE_MAX_WINDOWS; at += stride)
        describe_window(reader, bridge, at, parent_cells);
}

/* RAM may come later in the tree than the bridge, or from another reader: this is asked at the end. */
void fdt_check_windows(struct fdt_reader *reader)
{
    struct machine *machine = reader->machine;

    for (uint32_t b = 0; b < machine->host_bridge_count; b++) {
        struct machine_host_bridge *bridge = &machine->host_bridges[b];
        uint32_t kept = 0;
        for (uint32_t w = 0; w < bridge->window_count; w++) {
            const struct machine_pci_window *window = &bridge->windows[w];
            bool clear = true;
            for (uint32_t m = 0; m < machine->memory_count && clear; m++) {
                const struct memory_range *range = &machine->memory[m];
                clear = range->kind != MEMORY_USABLE || range->size == 0 || window->kind == PCI_WINDOW_IO ||
                        window->cpu_address > range->base + (range->size - 1) ||
                        range->base > window->cpu_address + (window->size - 1);
            }
            if (clear)
                bridge->windows[kept++] = *window;
            else
                fdt_complain(reader, "PCI segment %u: the window at 0x%llx overlaps RAM; it is dropped",
                             bridge->segment, (unsigned long long)window->cpu_address);
        }
        bridge->window_count = kept;
    }
}

/* ---- Interrupts and identifiers ---------------------------------------------------------------------------- */

static void describe_intx(struct fdt_reader *reader, struct machine_host_bridge *bridge)
{
    struct fdt_value map = fdt_own(reader, "interrupt-map");
    struct fdt_value mask = fdt_own(reader, "interrupt-map-mask");
    uint32_t device_mask = fdt_cell(mask, 0, UINT32_MAX) >> 8 & 0xffff;
    uint32_t pin_mask = fdt_cell(mask, PCI_ADDRESS_CELLS, UINT32_MAX) & 7;
    struct fdt_map_entry entry;
    uint32_t position = 0;

    if (map.at == NULL)
        return;
    if (reader->node.interrupt_cells != PCI_INTERRUPT_CELLS) {
        fdt_complain(reader, "%s: its interrupt-map has specifiers of %u cells, not 1; INTx is not routed",
                     FDT_NODE_NAME(reader), reader->node.interrupt_cells);
        return;
    }
    bridge->intx_device_mask = (uint16_t)device_mask;
    while (bridge->intx_route_count < MACHINE_MAX_INTX_ROUTES &&
           fdt_map_next(reader, map, PCI_ADDRESS_CELLS, PCI_INTERRUPT_CELLS, &position, &entry)) {
        uint32_t device = load_be32(entry.child) >> 8 & device_mask;
        uint32_t pin = load_be32(entry.child + PCI_ADDRESS_CELLS * 4) & pin_mask;
        struct machine_line line = fdt_resolve(reader, entry.parent, entry.parent_unit, entry.parent_specifier);

        if (line.line != MACHINE_NO_LINE && pin >= 1 && pin <= 4)
            machine_add_intx_route(reader->machine, bridge, (uint16_t)device, (uint8_t)pin, line);
    }
}

static bool id_map_entry(struct fdt_reader *reader, const char *what, struct fdt_value map, uint32_t at,
                         struct machine_id_map *entry)
{
    *entry = (struct machine_id_map){.input_base = fdt_cell(map, at, 0),
                                     .length = fdt_cell(map, at + 3, 0),
                                     .output_base = fdt_cell(map, at + 2, 0),
                                     .target = fdt_cell(map, at + 1, 0)};
    if (entry->length != 0 && entry->length <= REQUESTER_COUNT &&
        entry->input_base <= REQUESTER_COUNT - entry->length && entry->output_base <= UINT32_MAX - (entry->length - 1))
        return true;
    fdt_complain(reader, "%s: an entry of its %s covers 0x%x requesters from 0x%x on; it is ignored",
                 FDT_NODE_NAME(reader), what, entry->length, entry->input_base);
    return false;
}

/* Only messages that go where the machine can take them are mapped. */
static bool takes_messages(struct fdt_reader *reader, uint32_t phandle)
{
    const struct fdt_landmark *target = fdt_landmark_by_phandle(reader, phandle);

    if (target != NULL &&
        (target->kind == KIND_ITS || target->kind == KIND_V2M || (target->kind == KIND_IMSIC && target->supervisor)))
        return true;
    fdt_complain(reader, "%s: 0x%x takes no messages that vmos knows; it is ignored", FDT_NODE_NAME(reader), phandle);
    return false;
}

static void describe_msi(struct fdt_reader *reader, struct machine_host_bridge *bridge)
{
    struct fdt_value map = fdt_own(reader, "msi-map");
    struct machine_id_map entry;

    for (uint32_t at = 0; at + ID_MAP_CELLS <= map.length / 4 && bridge->msi_map_count < MACHINE_MAX_ID_MAPS;
         at += ID_MAP_CELLS)
        if (id_map_entry(reader, "msi-map", map, at, &entry) && takes_messages(reader, entry.target))
            machine_add_msi_map(reader->machine, bridge, &entry);
    if (map.at != NULL)
        return;

    struct fdt_value parent = fdt_own(reader, "msi-parent");
    entry = (struct machine_id_map){.length = REQUESTER_COUNT, .target = fdt_cell(parent, 0, 0)};
    if (parent.at != NULL && takes_messages(reader, entry.target))
        machine_add_msi_map(reader->machine, bridge, &entry);
}

static void describe_iommu_map(struct fdt_reader *reader, struct machine_host_bridge *bridge)
{
    struct fdt_value map = fdt_own(reader, "iommu-map");
    struct machine_id_map entry;

    for (uint32_t at = 0; at + ID_MAP_CELLS <= map.length / 4 && bridge->iommu_map_count < MACHINE_MAX_ID_MAPS;
         at += ID_MAP_CELLS) {
        if (!id_map_entry(reader, "iommu-map", map, at, &entry))
            continue;
        const struct fdt_landmark *iommu = fdt_landmark_by_phandle(reader, entry.target);
        if (iommu == NULL || iommu->iommu == UINT32_MAX) {
            fdt_complain(reader, "%s: its iommu-map leads to 0x%x, which is no IOMMU that vmos knows; it is ignored",
                         FDT_NODE_NAME(reader), entry.target);
            continue;
        }
        entry.target = iommu->iommu;
        machine_add_iommu_map(reader->machine, bridge, &entry);
    }
}

/* ---- The bridge ------------------------------------------------------------------------------------------- */

static bool segment_of(struct fdt_reader *reader, uint16_t *segment)
{
    uint32_t said = fdt_own_cell(reader, "linux,pci-domain", reader->machine->host_bridge_count);

    if (said > UINT16_MAX) {
        fdt_complain(reader, "%s: there is no PCI domain 0x%x; the bridge is ignored", FDT_NODE_NAME(reader), said);
        return false;
    }
    *segment = (uint16_t)said;
    return true;
}

/* The buses that both bus-range and the size of ECAM allow. */
static bool buses_of(struct fdt_reader *reader, uint64_t size, uint8_t *first, uint8_t *last)
{
    struct fdt_value range = fdt_own(reader, "bus-range");
    uint32_t from = fdt_cell(range, 0, 0), to = fdt_cell(range, 1, 255);

    if (from > to || from > 255 || size < BUS_SIZE) {
        fdt_complain(reader, "%s: buses %u to %u in 0x%llx bytes of ECAM are impossible; the bridge is ignored",
                     FDT_NODE_NAME(reader), from, to, (unsigned long long)size);
        return false;
    }
    uint32_t limit = to > 255 ? 255 : to;
    if (size / BUS_SIZE < limit - from + 1)
        limit = from + (uint32_t)(size / BUS_SIZE) - 1;
    if (limit != to && range.at != NULL)
        fdt_complain(reader, "%s: buses %u to %u do not fit; only %u to %u are used", FDT_NODE_NAME(reader), from, to,
                     from, limit);
    *first = (uint8_t)from;
    *last = (uint8_t)limit;
    return true;
}

void fdt_describe_host_bridge(struct fdt_reader *reader)
{
    const struct fdt_level *level = &reader->levels[reader->depth];
    uint8_t first, last;
    uint64_t ecam, size;
    uint16_t segment;

    if (level->address_cells != PCI_ADDRESS_CELLS || level->size_cells != PCI_SIZE_CELLS) {
        fdt_complain(reader, "%s: #address-cells %u and #size-cells %u are not PCI's; the bridge is ignored",
                     FDT_NODE_NAME(reader), level->address_cells, level->size_cells);
        return;
    }
    if (!segment_of(reader, &segment) || !fdt_registers(reader, 0, BUS_SIZE, &ecam, &size) ||
        !buses_of(reader, size, &first, &last))
        return;
    struct machine_host_bridge *bridge = machine_add_host_bridge(reader->machine, segment, first, last, ecam);
    if (bridge == NULL)
        return;
    bridge->dma_coherent = level->coherent;
    bridge->firmware_configured = bridge->firmware_configured || reader->probe_only;
    describe_windows(reader, bridge);
    if (bridge->intx_route_count == 0)
        describe_intx(reader, bridge);
    if (bridge->msi_map_count == 0)
        describe_msi(reader, bridge);
    if (bridge->iommu_map_count == 0)
        describe_iommu_map(reader, bridge);
}
