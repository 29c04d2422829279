/*
 * fdt_address.c: from a node's reg to an address as the CPU sees it [Devicetree Specification 0.4 §2.3.6, §2.3.8].
 */
#include "fdt_machine.h"

enum { ROOT_LEVEL = 0 };

/* Both walks read a landmark's reg; what is wrong with it is said once. */
#define COMPLAIN(reader, ...) ((reader)->describing ? fdt_complain(reader, __VA_ARGS__) : (void)0)

static bool cells_usable(const struct fdt_level *level)
{
    return level->address_cells != 0 && level->address_cells <= FDT_MAX_CELLS && level->size_cells <= FDT_MAX_CELLS;
}

/* One step up: from the bus below `bus` to the bus that `bus` itself is on. */
static bool translate_step(const struct fdt_level *bus, const struct fdt_level *above, uint64_t *address, uint64_t size)
{
    if (!bus->has_ranges || bus->pci || above->pci)
        return false;
    if (bus->ranges.length == 0)
        return true;
    if (!cells_usable(bus) || !cells_usable(above))
        return false;

    uint32_t stride = bus->address_cells + above->address_cells + bus->size_cells;
    for (uint32_t at = 0; at + stride <= bus->ranges.length / 4; at += stride) {
        uint64_t child, parent, length;

        if (!fdt_number(bus->ranges, at, bus->address_cells, &child) ||
            !fdt_number(bus->ranges, at + bus->address_cells, above->address_cells, &parent) ||
            !fdt_number(bus->ranges, at + bus->address_cells + above->address_cells, bus->size_cells, &length))
            continue;
        if (*address < child || *address - child >= length || size > length - (*address - child))
            continue;
        uint64_t result = parent + (*address - child);
        if (result < parent)
            continue;
        *address = result;
        return true;
    }
    return false;
}

bool fdt_translate(const struct fdt_reader *reader, uint32_t level, uint64_t *address, uint64_t size)
{
    for (; level != ROOT_LEVEL; level--)
        if (!translate_step(&reader->levels[level], &reader->levels[level - 1], address, size))
            return false;
    return true;
}

enum fdt_reg_result fdt_reg(struct fdt_reader *reader, struct fdt_value reg, uint32_t index, uint64_t *base,
                            uint64_t *size)
{
    if (reader->depth == ROOT_LEVEL || reg.at == NULL)
        return FDT_REG_NONE;
    const struct fdt_level *parent = &reader->levels[reader->depth - 1];
    if (!cells_usable(parent)) {
        COMPLAIN(reader, "%s: its parent's #address-cells %u and #size-cells %u cannot be used; its reg is ignored",
                 FDT_NODE_NAME(reader), parent->address_cells, parent->size_cells);
        return FDT_REG_BAD;
    }
    uint32_t stride = parent->address_cells + parent->size_cells;
    uint32_t entries = reg.length / 4 / stride;
    if (index == 0 && reg.length % (stride * 4) != 0)
        COMPLAIN(reader, "%s: its reg of %u bytes is no multiple of %u; the tail is ignored", FDT_NODE_NAME(reader),
                 reg.length, stride * 4);
    if (index >= entries)
        return FDT_REG_NONE;

    *size = 0;
    if (!fdt_number(reg, index * stride, parent->address_cells, base) ||
        !fdt_number(reg, index * stride + parent->address_cells, parent->size_cells, size) ||
        (*size != 0 && !machine_range_valid(*base, *size))) {
        COMPLAIN(reader, "%s: entry %u of its reg does not fit into 64 bits; it is ignored", FDT_NODE_NAME(reader),
                 index);
        return FDT_REG_BAD;
    }
    if (!fdt_translate(reader, reader->depth - 1, base, *size) || (*size != 0 && !machine_range_valid(*base, *size))) {
        COMPLAIN(reader, "%s: no ranges lead from 0x%llx to the CPU's addresses; it is ignored", FDT_NODE_NAME(reader),
                 (unsigned long long)*base);
        return FDT_REG_BAD;
    }
    return FDT_REG_OK;
}

bool fdt_registers(struct fdt_reader *reader, uint32_t index, uint64_t least, uint64_t *base, uint64_t *size)
{
    switch (fdt_reg(reader, reader->node.reg, index, base, size)) {
    case FDT_REG_OK:
        break;
    case FDT_REG_NONE:
        COMPLAIN(reader, "%s: reg has no entry %u; it is ignored", FDT_NODE_NAME(reader), index);
        return false;
    case FDT_REG_BAD:
        return false;
    }
    if (*base == 0 || *size < least) {
        COMPLAIN(reader, "%s: 0x%llx bytes at 0x%llx cannot be its registers; it is ignored", FDT_NODE_NAME(reader),
                 (unsigned long long)*size, (unsigned long long)*base);
        return false;
    }
    return true;
}
