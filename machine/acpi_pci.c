/*
 * acpi_pci.c: PCI host bridges (MCFG) and what lies between them and memory on arm64 (IORT).
 *
 * The static tables give configuration space and ID maps only. Windows and INTx routes stand in the DSDT's
 * AML (_CRS, _PRT), which nobody here interprets: so BARs and bus numbers stay where firmware put them, and a
 * function without MSI is routed by the interrupt line register (x64) or polled. Where there is a device tree
 * too (microvm), its reader adds windows and routes to the same bridge.
 */
#include <machine/add.h>
#include "acpi_table.h"

#define WHO "acpi"

/* ---- MCFG [PCI Firmware Specification 3.3 §4.1.2] --------------------------------------------------- */

enum {
    MCFG_ENTRIES = 44,
    MCFG_ENTRY_SIZE = 16,
    MCFG_BASE = 0, /* of bus 0, whichever the first bus is */
    MCFG_SEGMENT = 8,
    MCFG_FIRST_BUS = 10,
    MCFG_LAST_BUS = 11,
    ECAM_BUS_SHIFT = 20,
};

static void read_allocation(struct machine *machine, struct acpi_view entry)
{
    uint64_t base = acpi_u64(entry, MCFG_BASE);
    uint16_t segment = acpi_u16(entry, MCFG_SEGMENT);
    uint8_t first = acpi_u8(entry, MCFG_FIRST_BUS), last = acpi_u8(entry, MCFG_LAST_BUS);
    uint64_t start = base + ((uint64_t)first << ECAM_BUS_SHIFT);
    uint32_t before = machine->host_bridge_count;

    if (base == 0 || start < base) {
        machine_warn(machine, WHO, "MCFG places segment %u at 0x%llx, which is impossible; it is ignored", segment,
                     (unsigned long long)base);
        return;
    }
    struct machine_host_bridge *bridge = machine_add_host_bridge(machine, segment, first, last, start);
    if (bridge == NULL || machine->host_bridge_count == before)
        return;
    bridge->firmware_configured = true;
    bridge->dma_coherent = true; /* unless IORT says otherwise */
}

void acpi_read_mcfg(struct machine *machine, struct acpi_view table)
{
    uint32_t rest = (table.length - MCFG_ENTRIES) % MCFG_ENTRY_SIZE;

    if (rest != 0)
        machine_malformed(machine, WHO, "MCFG ends with %u bytes that are no entry; they are ignored", rest);
    for (uint32_t at = MCFG_ENTRIES; table.length - at >= MCFG_ENTRY_SIZE; at += MCFG_ENTRY_SIZE)
        read_allocation(machine, acpi_part(table, at, MCFG_ENTRY_SIZE));
}

/* ---- IORT [Arm DEN 0049E.e] -------------------------------------------------------------------------- */

enum {
    IORT_NODE_COUNT = 36,
    IORT_NODE_OFFSET = 40,
    IORT_FIXED_SIZE = 48,
    NODE_TYPE = 0,
    NODE_LENGTH = 1,
    NODE_MAP_COUNT = 8,
    NODE_MAP_OFFSET = 12,
    NODE_HEADER = 16,
    TYPE_ITS_GROUP = 0,
    TYPE_ROOT_COMPLEX = 2,
    TYPE_SMMUV2 = 3,
    TYPE_SMMUV3 = 4,
    ITS_COUNT = 16,
    ITS_FIRST_ID = 20,
    ROOT_COHERENT = 16,
    ROOT_SEGMENT = 28,
    ROOT_SIZE = 32,
    SMMU_BASE = 16, /* the same for both */
    SMMUV2_SPAN = 24,
    SMMUV2_SIZE = 32,
    SMMUV3_FLAGS = 24,
    SMMUV3_COHERENT = 1 << 0,
    SMMUV3_EVENT = 44,
    SMMUV3_GLOBAL_ERROR = 52,
    SMMUV3_SYNC = 56,
    SMMUV3_SIZE = 60,
    NODE_MAX_MAPS = 64, /* that anybody looks at */
    MAP_INPUT = 0,
    MAP_COUNT = 4, /* one less than there are */
    MAP_OUTPUT = 8,
    MAP_TARGET = 12, /* offset of a node from the table's start */
    MAP_FLAGS = 16,
    MAP_SINGLE = 1 << 0,
    MAP_SIZE = 20,
};
#define SMMUV3_REGISTERS UINT64_C(0x20000) /* two pages of 64 KiB [Arm IHI 0070 §6.1] */

static struct machine_line smmu_line(uint32_t line)
{
    if (line < 32 || line > 1019)
        return MACHINE_LINE_NONE;
    /* Wired interrupts of an SMMUv3 are edges [Arm IHI 0070 §3.18]. */
    return (struct machine_line){.line = line, .trigger = TRIGGER_EDGE, .polarity = POLARITY_HIGH};
}

static void add_smmu(struct machine *machine, struct acpi_view node, uint32_t offset)
{
    bool v3 = acpi_u8(node, NODE_TYPE) == TYPE_SMMUV3;

    if (node.length < (v3 ? SMMUV3_SIZE : SMMUV2_SIZE)) {
        machine_malformed(machine, WHO, "IORT node at 0x%x (SMMU) has only %u bytes; it is skipped", offset,
                          node.length);
        return;
    }
    struct machine_iommu *iommu =
        machine_add_iommu(machine, v3 ? IOMMU_SMMUV3 : IOMMU_SMMUV2, acpi_u64(node, SMMU_BASE));
    if (iommu == NULL || iommu->size != 0)
        return;
    iommu->id = offset;
    iommu->size = v3 ? SMMUV3_REGISTERS : acpi_u64(node, SMMUV2_SPAN);
    if (!v3)
        return;
    iommu->coherent_walks = (acpi_u32(node, SMMUV3_FLAGS) & SMMUV3_COHERENT) != 0;
    iommu->event = smmu_line(acpi_u32(node, SMMUV3_EVENT));
    iommu->command = smmu_line(acpi_u32(node, SMMUV3_SYNC));
    iommu->error = smmu_line(acpi_u32(node, SMMUV3_GLOBAL_ERROR));
}

/* The node that a map names, with its own length checked; empty when there is none. */
static struct acpi_view target_node(struct acpi_view table, uint32_t offset)
{
    struct acpi_view node = acpi_part(table, offset, UINT32_MAX);
    uint32_t length = acpi_u16(node, NODE_LENGTH);

    if (offset < IORT_FIXED_SIZE || length < NODE_HEADER || length > node.length)
        node.length = 0;
    else
        node.length = length;
    return node;
}

/* The maps of a node, as far as they lie within it. */
static uint32_t map_count(struct machine *machine, struct acpi_view node)
{
    uint32_t count = acpi_u32(node, NODE_MAP_COUNT), offset = acpi_u32(node, NODE_MAP_OFFSET);

    if (count == 0)
        return 0;
    uint32_t room = offset >= NODE_HEADER && offset < node.length ? (node.length - offset) / MAP_SIZE : 0;
    room = room < NODE_MAX_MAPS ? room : NODE_MAX_MAPS;
    if (count > room)
        machine_malformed(machine, WHO, "IORT node of type %u has %u maps but room for %u; the rest is ignored",
                          acpi_u8(node, NODE_TYPE), count, room);
    return count < room ? count : room;
}

static struct acpi_view map_at(struct acpi_view node, uint32_t index)
{
    return acpi_part(node, acpi_u32(node, NODE_MAP_OFFSET) + index * MAP_SIZE, MAP_SIZE);
}

/* input..input+last -> output; `last` is the count less one, so that all 2^32 IDs can be said. */
struct span {
    uint32_t input, last, output;
};

/* QEMU before 8.1, among others, puts the count itself where the count less one belongs: told by a map of the
 * same node that begins with the last ID of this one. */
static bool count_is_too_high(struct acpi_view node, uint32_t maps, uint32_t input, uint32_t last)
{
    for (uint32_t i = 0; i < maps; i++)
        if (last != 0 && acpi_u32(map_at(node, i), MAP_INPUT) == input + last)
            return true;
    return false;
}

static struct span map_span(struct acpi_view node, uint32_t maps, uint32_t index)
{
    struct acpi_view map = map_at(node, index);
    struct span span = {
        .input = acpi_u32(map, MAP_INPUT), .last = acpi_u32(map, MAP_COUNT), .output = acpi_u32(map, MAP_OUTPUT)};
    uint32_t highest = span.input > span.output ? span.input : span.output;
    uint32_t room = highest == UINT32_MAX ? 0 : UINT32_MAX - 1 - highest;

    span.last = span.last < room ? span.last : room;
    span.last -= count_is_too_high(node, maps, span.input, span.last);
    return span;
}

static struct machine_id_map id_map(struct span span, uint32_t target)
{
    return (struct machine_id_map){
        .input_base = span.input, .length = span.last + 1, .output_base = span.output, .target = target};
}

static void add_msi_map(struct machine *machine, struct machine_host_bridge *bridge, struct span span,
                        struct acpi_view group)
{
    struct machine_id_map map = id_map(span, acpi_u32(group, ITS_FIRST_ID));
    bool known = false;

    for (uint32_t i = 0; i < machine->its_count; i++)
        known |= machine->its[i].id == map.target;
    if (acpi_u32(group, ITS_COUNT) == 0 || group.length < ITS_FIRST_ID + 4)
        machine_warn(machine, WHO, "IORT names an ITS group without an ITS; the map to it is ignored");
    else if (known) /* QEMU before 8 names an ITS here on machines that have none */
        machine_add_msi_map(machine, bridge, &map);
}

/* What of `requesters` goes on from the SMMU to an ITS group: messages pass through both. Two steps is all
 * there is, so a cycle among nodes is never followed. */
static void add_msi_maps_behind(struct machine *machine, struct machine_host_bridge *bridge, struct acpi_view table,
                                struct acpi_view smmu, struct span requesters)
{
    uint32_t count = map_count(machine, smmu);

    for (uint32_t i = 0; i < count; i++) {
        struct acpi_view map = map_at(smmu, i), group = target_node(table, acpi_u32(map, MAP_TARGET));
        struct span onward = map_span(smmu, count, i);
        if (group.length == 0 || acpi_u8(group, NODE_TYPE) != TYPE_ITS_GROUP ||
            (acpi_u32(map, MAP_FLAGS) & MAP_SINGLE) != 0)
            continue;
        uint32_t first = requesters.output > onward.input ? requesters.output : onward.input;
        uint32_t end_a = requesters.output + requesters.last, end_b = onward.input + onward.last;
        uint32_t end = end_a < end_b ? end_a : end_b;
        if (first > end)
            continue;
        struct span both = {.input = requesters.input + (first - requesters.output),
                            .last = end - first,
                            .output = onward.output + (first - onward.input)};
        add_msi_map(machine, bridge, both, group);
    }
}

static void read_root_maps(struct machine *machine, struct machine_host_bridge *bridge, struct acpi_view table,
                           struct acpi_view root)
{
    uint32_t count = map_count(machine, root);

    for (uint32_t i = 0; i < count; i++) {
        struct acpi_view map = map_at(root, i), target = target_node(table, acpi_u32(map, MAP_TARGET));
        struct span span = map_span(root, count, i);
        uint8_t type = acpi_u8(target, NODE_TYPE);

        if (target.length != 0 && type == TYPE_ITS_GROUP) {
            add_msi_map(machine, bridge, span, target);
        } else if (target.length != 0 && (type == TYPE_SMMUV3 || type == TYPE_SMMUV2)) {
            struct machine_iommu *iommu = machine_add_iommu(machine, IOMMU_SMMUV3, acpi_u64(target, SMMU_BASE));
            if (iommu != NULL) {
                struct machine_id_map behind = id_map(span, (uint32_t)(iommu - machine->iommus));
                machine_add_iommu_map(machine, bridge, &behind);
            }
            add_msi_maps_behind(machine, bridge, table, target, span);
        } else {
            machine_warn(machine, WHO,
                         "IORT maps requesters of segment %u to 0x%x, where there is no ITS group or SMMU; the map is "
                         "ignored",
                         bridge->segment, acpi_u32(map, MAP_TARGET));
        }
    }
}

static void read_root(struct machine *machine, struct acpi_view table, struct acpi_view root)
{
    for (uint32_t i = 0; i < machine->host_bridge_count; i++) {
        struct machine_host_bridge *bridge = &machine->host_bridges[i];
        if (bridge->segment != acpi_u32(root, ROOT_SEGMENT))
            continue;
        bridge->dma_coherent = acpi_u32(root, ROOT_COHERENT) == 1;
        read_root_maps(machine, bridge, table, root);
    }
}

static struct acpi_entries iort_nodes(struct machine *machine, struct acpi_view table)
{
    return (struct acpi_entries){.machine = machine,
                                 .table = "IORT",
                                 .view = table,
                                 .offset = acpi_u32(table, IORT_NODE_OFFSET),
                                 .limit = acpi_u32(table, IORT_NODE_COUNT),
                                 .length_at = NODE_LENGTH,
                                 .length_width = 2,
                                 .minimum = NODE_HEADER};
}

void acpi_read_iort(struct machine *machine, struct acpi_view table)
{
    struct acpi_entries walk = iort_nodes(machine, table);
    struct acpi_view node;

    if (walk.limit != 0 && (walk.offset < IORT_FIXED_SIZE || walk.offset >= table.length)) {
        machine_malformed(machine, WHO, "IORT places its nodes at 0x%x, outside of the table; it is ignored",
                          walk.offset);
        return;
    }
    while (acpi_next(&walk, &node))
        if (acpi_u8(node, NODE_TYPE) == TYPE_SMMUV3 || acpi_u8(node, NODE_TYPE) == TYPE_SMMUV2)
            add_smmu(machine, node, walk.at);
    walk = iort_nodes(machine, table);
    while (acpi_next(&walk, &node))
        if (acpi_u8(node, NODE_TYPE) == TYPE_ROOT_COMPLEX && !acpi_too_short(&walk, node, "root complex", ROOT_SIZE))
            read_root(machine, table, node);
}
