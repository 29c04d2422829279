/*
 * fdt_interrupts.c: landmarks, and from an interrupt specifier to a line [Devicetree Specification 0.4 §2.4].
 *
 * Every chain of parents and maps is bounded by MAX_HOPS: a tree may say that two nodes are each other's parent.
 */
#include "fdt_machine.h"

#include <lib/bytes.h>
#include <lib/string.h>

enum { MAX_HOPS = 8, IO_APIC_LINES = 24 };

enum { /* flags of most bindings' second or third cell [interrupts.txt] */
       FLAG_RISING = 1,
       FLAG_FALLING = 2,
       FLAG_HIGH = 4,
       FLAG_LOW = 8,
       FLAG_MASK = 15,
};

enum { /* the GIC's first cell [arm,gic-v3 binding] */
       GIC_SHARED = 0,
       GIC_PRIVATE = 1,
       GIC_EXTENDED_SHARED = 2,
       GIC_EXTENDED_PRIVATE = 3,
};

/* ---- Landmarks ----------------------------------------------------------------------------------- */

struct fdt_landmark *fdt_landmark_by_phandle(struct fdt_reader *reader, uint32_t phandle)
{
    if (phandle != 0 && phandle != UINT32_MAX)
        for (uint32_t i = 0; i < reader->landmark_count; i++)
            if (reader->landmarks[i].phandle == phandle)
                return &reader->landmarks[i];
    return NULL;
}

struct fdt_landmark *fdt_landmark_by_node(struct fdt_reader *reader, uint32_t node)
{
    for (uint32_t i = 0; i < reader->landmark_count; i++)
        if (reader->landmarks[i].node == node)
            return &reader->landmarks[i];
    return NULL;
}

/* The mode that an interrupts-extended to harts delivers to, by the first entry that is connected
 * [riscv,cpu-intc: 9 is the supervisor's external interrupt, 11 the machine's]. */
static uint32_t hart_interrupt(struct fdt_value extended)
{
    for (uint32_t i = 1; i < extended.length / 4; i += 2) {
        uint32_t cause = fdt_cell(extended, i, UINT32_MAX);
        if (cause == 9 || cause == 11)
            return cause;
    }
    return 0;
}

static uint32_t source_count(const struct fdt_reader *reader)
{
    switch (reader->node.kind) {
    case KIND_PLIC:
        return fdt_own_cell(reader, "riscv,ndev", 0);
    case KIND_APLIC:
        return fdt_own_cell(reader, "riscv,num-sources", 0);
    default:
        return 0;
    }
}

void fdt_collect_landmark(struct fdt_reader *reader)
{
    const struct fdt_node *node = &reader->node;
    uint64_t size;

    if (node->has_interrupt_cells && node->interrupt_cells > FDT_MAX_INTERRUPT_CELLS) {
        fdt_complain(reader, "%s: #interrupt-cells %u is impossible; nothing can be routed to it",
                     FDT_NODE_NAME(reader), node->interrupt_cells);
        return;
    }
    if (reader->landmark_count == FDT_MAX_LANDMARKS) {
        fdt_complain(reader, "%s: more than %d nodes are referred to; it cannot be", FDT_NODE_NAME(reader),
                     FDT_MAX_LANDMARKS);
        return;
    }
    uint32_t phandle = node->phandle == UINT32_MAX ? 0 : node->phandle;
    if (fdt_landmark_by_phandle(reader, phandle) != NULL) {
        fdt_complain(reader, "%s: phandle 0x%x is another node's already; the first keeps it", FDT_NODE_NAME(reader),
                     phandle);
        phandle = 0;
    }
    struct fdt_landmark *landmark = &reader->landmarks[reader->landmark_count++];
    *landmark = (struct fdt_landmark){
        .kind = node->kind,
        .node = node->offset,
        .phandle = phandle,
        .interrupt_cells = node->interrupt_cells,
        .address_cells = fdt_own_cell(reader, "#address-cells", 0),
        .source_count = source_count(reader),
        .iommu = UINT32_MAX,
        .supervisor = hart_interrupt(node->interrupts_extended) == 9,
    };
    if (node->kind != KIND_VIRTIO_IOMMU && node->kind != KIND_NEXUS &&
        fdt_reg(reader, node->reg, 0, &landmark->base, &size) != FDT_REG_OK)
        landmark->base = 0;
    fdt_collect_iommu(reader, landmark);
}

/* An APLIC that delivers by messages has no interrupts-extended: its mode is its IMSIC's. One with children
 * is the parent of theirs, and harts run below it in the lower mode [riscv,aplic binding]. */
static void aplic_level(struct fdt_reader *reader, struct fdt_landmark *aplic)
{
    struct fdt_value extended = fdt_property(&reader->fdt, aplic->node, "interrupts-extended");
    struct fdt_value parent = fdt_property(&reader->fdt, aplic->node, "msi-parent");
    const struct fdt_landmark *imsic = fdt_landmark_by_phandle(reader, fdt_cell(parent, 0, 0));

    if (extended.at == NULL && imsic != NULL && imsic->kind == KIND_IMSIC)
        aplic->supervisor = imsic->supervisor;
}

/* Lines are numbered through: each controller's follow those of the one before it, in the tree's order. */
void fdt_order_lines(struct fdt_reader *reader)
{
    uint32_t next = 0;

    for (uint32_t i = 0; i < reader->landmark_count; i++) {
        struct fdt_landmark *each = &reader->landmarks[i];

        if (each->kind == KIND_APLIC)
            aplic_level(reader, each);
        if (each->kind == KIND_PLIC)
            each->supervisor = true;     /* its contexts say which are */
        if (each->source_count > 1023) { /* both kinds have 1023 sources at most [PLIC 1.0 §1.1, AIA 1.0 §4.2] */
            fdt_complain(reader, "%s: %u interrupt sources are impossible; 1023 are assumed",
                         fdt_printable(fdt_node_name(&reader->fdt, each->node)).text, each->source_count);
            each->source_count = 1023;
        }
        each->first_line = next;
        if (each->kind == KIND_IO_APIC) {
            next += IO_APIC_LINES;
            reader->has_ports = true;
        } else if (each->source_count != 0 && each->supervisor) {
            next += each->source_count + 1; /* sources count from 1 */
        }
    }
}

/* ---- Specifiers ----------------------------------------------------------------------------------- */

static struct machine_line line_with_flags(uint32_t line, uint32_t flags)
{
    bool edge = (flags & (FLAG_RISING | FLAG_FALLING)) != 0;
    bool low = (flags & FLAG_MASK) == FLAG_FALLING || (flags & FLAG_MASK) == FLAG_LOW;

    return (struct machine_line){
        .line = line, .trigger = edge ? TRIGGER_EDGE : TRIGGER_LEVEL, .polarity = low ? POLARITY_LOW : POLARITY_HIGH};
}

static struct machine_line gic_line(struct fdt_reader *reader, uint32_t type, uint32_t number, uint32_t flags)
{
    static const struct {
        uint32_t first, count;
    } ranges[] = {
        [GIC_SHARED] = {32, 988},
        [GIC_PRIVATE] = {16, 16},
        [GIC_EXTENDED_SHARED] = {4096, 1024},
        [GIC_EXTENDED_PRIVATE] = {1056, 64},
    };

    if (type > GIC_EXTENDED_PRIVATE || number >= ranges[type].count) {
        fdt_complain(reader, "%s: the GIC has no interrupt %u of type %u; it is not routed", FDT_NODE_NAME(reader),
                     number, type);
        return MACHINE_LINE_NONE;
    }
    return line_with_flags(ranges[type].first + number, flags);
}

static struct machine_line source_line(struct fdt_reader *reader, const struct fdt_landmark *controller,
                                       uint32_t source, uint32_t flags)
{
    if (source == 0 || source > controller->source_count || !controller->supervisor) {
        fdt_complain(reader, "%s: its interrupt controller has no source %u for us; it is not routed",
                     FDT_NODE_NAME(reader), source);
        return MACHINE_LINE_NONE;
    }
    return line_with_flags(controller->first_line + source, flags);
}

static struct machine_line io_apic_line(struct fdt_reader *reader, const struct fdt_landmark *controller, uint32_t pin,
                                        uint32_t sense)
{
    /* [intel,ce4100-ioapic] 0 rising, 1 low, 2 high, 3 falling. */
    static const uint8_t flags[] = {FLAG_RISING, FLAG_LOW, FLAG_HIGH, FLAG_FALLING};

    if (pin >= IO_APIC_LINES || sense > 3) {
        fdt_complain(reader, "%s: the I/O APIC has no pin %u with sense %u; it is not routed", FDT_NODE_NAME(reader),
                     pin, sense);
        return MACHINE_LINE_NONE;
    }
    return line_with_flags(controller->first_line + pin, flags[sense]);
}

/* At a controller: the specifier has controller->interrupt_cells cells, all inside the blob. */
static struct machine_line controller_line(struct fdt_reader *reader, const struct fdt_landmark *controller,
                                           const uint8_t *specifier)
{
    uint32_t cells = controller->interrupt_cells;
    uint32_t first = cells > 0 ? load_be32(specifier) : 0;
    uint32_t second = cells > 1 ? load_be32(specifier + 4) : 0;

    switch (controller->kind) {
    case KIND_GIC2:
    case KIND_GIC3:
        if (cells >= 3)
            return gic_line(reader, first, second, load_be32(specifier + 8));
        break;
    case KIND_PLIC:
    case KIND_APLIC:
        if (cells >= 1)
            return source_line(reader, controller, first, second);
        break;
    case KIND_IO_APIC:
        if (cells == 2)
            return io_apic_line(reader, controller, first, second);
        break;
    default:
        break;
    }
    fdt_complain(reader, "%s: %u cells for its interrupt controller make no line; it is not routed",
                 FDT_NODE_NAME(reader), cells);
    return MACHINE_LINE_NONE;
}

bool fdt_map_next(struct fdt_reader *reader, struct fdt_value map, uint32_t address_cells, uint32_t interrupt_cells,
                  uint32_t *position, struct fdt_map_entry *entry)
{
    uint32_t cells = map.length / 4, child = address_cells + interrupt_cells;

    if (*position >= cells)
        return false;
    uint32_t left = cells - *position;
    if (left < child + 1) {
        fdt_complain(reader, "%s: an interrupt-map ends within an entry; the rest is ignored", FDT_NODE_NAME(reader));
        return false;
    }
    uint32_t phandle = fdt_cell(map, *position + child, 0);
    entry->parent = fdt_landmark_by_phandle(reader, phandle);
    if (entry->parent == NULL || entry->parent->address_cells > FDT_MAX_CELLS) {
        fdt_complain(reader, "%s: an interrupt-map leads to 0x%x, which routes no interrupts; the rest is ignored",
                     FDT_NODE_NAME(reader), phandle);
        return false;
    }
    uint32_t parent = entry->parent->address_cells + entry->parent->interrupt_cells;
    if (left - child - 1 < parent) {
        fdt_complain(reader, "%s: an interrupt-map ends within an entry; the rest is ignored", FDT_NODE_NAME(reader));
        return false;
    }
    entry->child = map.at + (size_t)*position * 4;
    entry->parent_unit = entry->child + (size_t)(child + 1) * 4;
    entry->parent_specifier = entry->parent_unit + (size_t)entry->parent->address_cells * 4;
    *position += child + 1 + parent;
    return true;
}

/* Does the entry's child part equal the unit address and specifier, under the mask? */
static bool map_matches(const struct fdt_map_entry *entry, const struct fdt_landmark *nexus, struct fdt_value mask,
                        const uint8_t *unit, const uint8_t *specifier)
{
    for (uint32_t i = 0; i < nexus->address_cells + nexus->interrupt_cells; i++) {
        uint32_t actual;

        if (i >= nexus->address_cells)
            actual = load_be32(specifier + (size_t)(i - nexus->address_cells) * 4);
        else if (unit != NULL)
            actual = load_be32(unit + (size_t)i * 4);
        else
            actual = 0;
        if (((actual ^ load_be32(entry->child + (size_t)i * 4)) & fdt_cell(mask, i, UINT32_MAX)) != 0)
            return false;
    }
    return true;
}

struct machine_line fdt_resolve(struct fdt_reader *reader, struct fdt_landmark *parent, const uint8_t *unit,
                                const uint8_t *specifier)
{
    for (unsigned hop = 0; hop < MAX_HOPS; hop++) {
        if (parent->kind != KIND_NEXUS)
            return controller_line(reader, parent, specifier);

        struct fdt_value map = fdt_property(&reader->fdt, parent->node, "interrupt-map");
        struct fdt_value mask = fdt_property(&reader->fdt, parent->node, "interrupt-map-mask");
        struct fdt_map_entry entry;
        uint32_t position = 0;
        bool found = false;
        if (parent->address_cells > FDT_MAX_CELLS)
            return MACHINE_LINE_NONE;
        while (!found && fdt_map_next(reader, map, parent->address_cells, parent->interrupt_cells, &position, &entry))
            found = map_matches(&entry, parent, mask, unit, specifier);
        if (!found) {
            fdt_complain(reader, "%s: its interrupt is in no interrupt-map; it is not routed", FDT_NODE_NAME(reader));
            return MACHINE_LINE_NONE;
        }
        parent = entry.parent;
        unit = entry.parent_unit;
        specifier = entry.parent_specifier;
    }
    fdt_complain(reader, "%s: its interrupt goes through more than %d maps; it is not routed", FDT_NODE_NAME(reader),
                 MAX_HOPS);
    return MACHINE_LINE_NONE;
}

/* ---- A node's own interrupts ------------------------------------------------------------------------ */

/* The nearest interrupt-parent on the way to the root, or ancestor that takes interrupts itself. */
static struct fdt_landmark *inherited_parent(struct fdt_reader *reader)
{
    for (uint32_t level = reader->depth;; level--) {
        const struct fdt_level *at = &reader->levels[level];

        if (level != reader->depth && at->takes_interrupts) {
            struct fdt_landmark *ancestor = fdt_landmark_by_node(reader, at->node);
            if (ancestor != NULL)
                return ancestor;
        }
        if (at->interrupt_parent != 0)
            return fdt_landmark_by_phandle(reader, at->interrupt_parent);
        if (level == 0)
            return NULL;
    }
}

/* The visited node's unit address, as a nexus wants it; NULL when its reg is shorter. */
static const uint8_t *own_unit(const struct fdt_reader *reader, const struct fdt_landmark *parent)
{
    return reader->node.reg.length / 4 >= parent->address_cells ? reader->node.reg.at : NULL;
}

static struct machine_line extended_line(struct fdt_reader *reader, uint32_t index)
{
    struct fdt_value value = reader->node.interrupts_extended;
    uint32_t position = 0, cells = value.length / 4;

    while (position < cells) {
        struct fdt_landmark *parent = fdt_landmark_by_phandle(reader, fdt_cell(value, position, 0));

        if (parent == NULL || parent->interrupt_cells > cells - position - 1) {
            fdt_complain(reader, "%s: entry 0x%x of its interrupts-extended cannot be followed; it is not routed",
                         FDT_NODE_NAME(reader), fdt_cell(value, position, 0));
            return MACHINE_LINE_NONE;
        }
        if (index-- == 0)
            return fdt_resolve(reader, parent, own_unit(reader, parent), value.at + (size_t)(position + 1) * 4);
        position += 1 + parent->interrupt_cells;
    }
    return MACHINE_LINE_NONE;
}

struct machine_line fdt_line(struct fdt_reader *reader, uint32_t index)
{
    struct fdt_value value = reader->node.interrupts;

    if (reader->node.interrupts_extended.at != NULL) /* it has precedence [§2.4.1.3] */
        return extended_line(reader, index);
    if (value.at == NULL)
        return MACHINE_LINE_NONE;
    struct fdt_landmark *parent = inherited_parent(reader);
    if (parent == NULL || parent->interrupt_cells == 0) {
        fdt_complain(reader, "%s: its interrupt parent routes no interrupts; it is not routed", FDT_NODE_NAME(reader));
        return MACHINE_LINE_NONE;
    }
    uint32_t entries = value.length / 4 / parent->interrupt_cells;
    if (index >= entries) {
        if (index == 0)
            fdt_complain(reader, "%s: its interrupts of %u bytes are shorter than %u cells; it is not routed",
                         FDT_NODE_NAME(reader), value.length, parent->interrupt_cells);
        return MACHINE_LINE_NONE;
    }
    return fdt_resolve(reader, parent, own_unit(reader, parent),
                       value.at + (size_t)index * parent->interrupt_cells * 4);
}

struct machine_line fdt_named_line(struct fdt_reader *reader, const char *name, uint32_t otherwise)
{
    struct fdt_value names = fdt_own(reader, "interrupt-names");
    uint32_t index = names.at != NULL ? fdt_string_list_index(names, name) : otherwise;

    return index != UINT32_MAX ? fdt_line(reader, index) : MACHINE_LINE_NONE;
}
