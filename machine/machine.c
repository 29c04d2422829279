/*
 * machine.c: begins a `struct machine` and puts it in order. Contract in readers.h.
 *
 * Order of life: machine_init, then readers that add (add.h, machine_add_memory), then machine_finish.
 */
#include "machine_local.h"
#include <machine/readers.h>
#include <lib/bytes.h>
#include <lib/string.h>

#define WHO "machine"

/* The last page of the 64-bit space is given up so that every range's end is a number. */
#define ADDRESS_LIMIT (UINT64_MAX & ~(PAGE - 1))
/* An I/O APIC's version register counts at most 240 entries [82093AA §3.2.2]. */
#define IO_APIC_MAX_LINES 240u

void machine_init(struct machine *machine, struct machine_room *room)
{
    memset(machine, 0, sizeof *machine);
    machine_use_room(machine, room);
    machine->power.sleep_type_a = machine->power.sleep_type_b = -1;
    machine->generic_timer.secure_physical = machine->generic_timer.physical = MACHINE_LINE_NONE;
    machine->generic_timer.virtual_ = machine->generic_timer.hypervisor = MACHINE_LINE_NONE;
}

/* ---- The memory map ---------------------------------------------------------------------------- */

static uint64_t range_end(const struct memory_range *range)
{
    return range->base + range->size;
}

/* Kinds of which the machine's RAM consists, whoever uses it now. */
static bool is_ram(enum memory_kind kind)
{
    return kind <= MEMORY_TABLES;
}

static void remove_range(struct machine *machine, uint32_t index)
{
    machine->memory[index] = machine->memory[--machine->memory_count];
}

/* No entry is left for a range that must not be used: so what it covers stops being usable. Where it lies in
 * the middle of a usable range the smaller side is given up too. */
static void cut_from_usable(struct machine *machine, uint64_t base, uint64_t end)
{
    for (uint32_t i = 0; i < machine->memory_count;) {
        struct memory_range *range = &machine->memory[i];
        if (range->kind != MEMORY_USABLE || range->base >= end || range_end(range) <= base) {
            i++;
            continue;
        }
        uint64_t below = range->base < base ? base - range->base : 0;
        uint64_t above = range_end(range) > end ? range_end(range) - end : 0;
        if (below == 0 && above == 0) {
            remove_range(machine, i);
            continue;
        }
        if (above > below)
            range->base = end;
        range->size = above > below ? above : below;
        i++;
    }
}

static void make_disjoint(struct machine *machine);

void machine_add_memory(struct machine *machine, uint64_t base, uint64_t size, enum memory_kind kind)
{
    if (size == 0 || base >= ADDRESS_LIMIT)
        return;
    if (size > ADDRESS_LIMIT - base)
        size = ADDRESS_LIMIT - base;
    if ((unsigned)kind >= MEMORY_KIND_COUNT)
        kind = MEMORY_RESERVED;

    if (machine->memory_count == ROOM_FOR(memory)) {
        make_disjoint(machine);
        if (machine->memory_count == ROOM_FOR(memory))
            machine_say_full(machine, LIST_MEMORY, ROOM_FOR(memory));
    }
    if ((machine->full & UINT32_C(1) << LIST_MEMORY) != 0) {
        /* Once something was left out, what is said to be usable from now on could lie over it. */
        if (kind != MEMORY_USABLE)
            cut_from_usable(machine, align_down(base, PAGE), align_up(base + size, PAGE));
        return;
    }
    machine->memory[machine->memory_count++] =
        (struct memory_range){.base = base, .size = size, .kind = kind, .node = MACHINE_NO_NODE};
}

void machine_add_memory_node(struct machine *machine, uint64_t base, uint64_t size, uint32_t node)
{
    if (size == 0 || base >= ADDRESS_LIMIT)
        return;
    uint64_t end = align_down(size > ADDRESS_LIMIT - base ? ADDRESS_LIMIT : base + size, PAGE);
    base = align_up(base, PAGE);
    if (base >= end)
        return;
    struct machine_memory_node *added = APPEND_ROOM(machine, LIST_MEMORY_NODES, memory_nodes, memory_node_count);
    if (added != NULL)
        *added = (struct machine_memory_node){.base = base, .size = end - base, .node = node};
}

/* The strongest kind that covers an address, MEMORY_KIND_COUNT where there is none; and the next address at
 * which anything begins or ends. */
static enum memory_kind kind_at(const struct machine *machine, uint64_t address, uint64_t *next, uint32_t *node)
{
    int kind = -1;

    *next = ADDRESS_LIMIT;
    *node = MACHINE_NO_NODE;
    for (uint32_t i = 0; i < machine->memory_count; i++) {
        const struct memory_range *range = &machine->memory[i];
        if (range->base > address) {
            *next = range->base < *next ? range->base : *next;
        } else if (range_end(range) > address) {
            *next = range_end(range) < *next ? range_end(range) : *next;
            kind = (int)range->kind > kind ? (int)range->kind : kind;
        }
    }
    for (uint32_t i = machine->memory_node_count; i-- > 0;) { /* backwards: the first one that is said counts */
        const struct machine_memory_node *range = &machine->memory_nodes[i];
        if (range->base > address) {
            *next = range->base < *next ? range->base : *next;
        } else if (range->base + range->size > address) {
            *next = range->base + range->size < *next ? range->base + range->size : *next;
            *node = range->node;
        }
    }
    if (kind < 0 || !is_ram((enum memory_kind)kind))
        *node = MACHINE_NO_NODE;
    return kind < 0 ? MEMORY_KIND_COUNT : (enum memory_kind)kind;
}

/* Replaces the map by its union, sorted. There are at most twice as many steps as ranges, each of which looks
 * at every range once. */
static void make_disjoint(struct machine *machine)
{
    struct memory_range map[MACHINE_MAX_MEMORY_RANGES];
    uint32_t count = 0;
    uint64_t next;

    for (uint64_t address = 0; address < ADDRESS_LIMIT; address = next) {
        uint32_t node;
        enum memory_kind kind = kind_at(machine, address, &next, &node);
        if (kind == MEMORY_KIND_COUNT)
            continue;
        if (count != 0 && range_end(&map[count - 1]) == address && map[count - 1].kind == kind &&
            map[count - 1].node == node) {
            map[count - 1].size += next - address;
            continue;
        }
        if (count == MACHINE_MAX_MEMORY_RANGES) {
            machine_say_full(machine, LIST_MEMORY, MACHINE_MAX_MEMORY_RANGES);
            break;
        }
        map[count++] = (struct memory_range){.base = address, .size = next - address, .kind = kind, .node = node};
    }
    memcpy(machine->memory, map, count * sizeof map[0]);
    machine->memory_count = count;
}

/* A page that is not wholly usable is not usable: whatever else lies in it takes all of it. */
static void round_to_pages(struct machine *machine)
{
    for (uint32_t i = 0; i < machine->memory_count; i++) {
        struct memory_range *range = &machine->memory[i];
        if (range->kind == MEMORY_USABLE)
            continue;
        uint64_t end = align_up(range_end(range), PAGE); /* at most ADDRESS_LIMIT */
        range->base = align_down(range->base, PAGE);
        range->size = end - range->base;
    }
    make_disjoint(machine);

    uint32_t kept = 0;
    for (uint32_t i = 0; i < machine->memory_count; i++) {
        struct memory_range range = machine->memory[i];
        if (range.kind == MEMORY_USABLE) {
            uint64_t end = align_down(range_end(&range), PAGE);
            range.base = range.base == 0 ? PAGE : align_up(range.base, PAGE); /* an address of 0 says nothing */
            if (range.base >= end)
                continue;
            range.size = end - range.base;
        }
        machine->memory[kept++] = range;
    }
    machine->memory_count = kept;
}

/* ---- Contradictions ------------------------------------------------------------------------------ */

/* Registers that are said to lie in RAM would make us write into RAM. */
static bool in_ram(const struct machine *machine, uint64_t base, uint64_t size)
{
    for (uint32_t i = 0; i < machine->memory_count; i++) {
        const struct memory_range *range = &machine->memory[i];
        if (is_ram(range->kind) && range->base <= base + (size - 1) && range_end(range) > base)
            return true;
    }
    return false;
}

static bool registers_in_ram(struct machine *machine, const char *what, uint64_t base, uint64_t size)
{
    if (base == 0 || !in_ram(machine, base, size))
        return false;
    machine_warn(machine, WHO, "%s at 0x%llx would lie in memory and is dropped", what, (unsigned long long)base);
    return true;
}

static void check_windows(struct machine *machine, struct machine_host_bridge *bridge)
{
    uint32_t kept = 0;

    for (uint32_t i = 0; i < bridge->window_count; i++) {
        const struct machine_pci_window *window = &bridge->windows[i];
        bool ports = window->kind == PCI_WINDOW_IO && window->cpu_address + window->size <= 0x10000;
        if (!ports && registers_in_ram(machine, "PCI window", window->cpu_address, window->size))
            continue;
        bridge->windows[kept++] = *window;
    }
    bridge->window_count = kept;
}

static void check_host_bridges(struct machine *machine)
{
    uint32_t kept = 0;

    for (uint32_t i = 0; i < machine->host_bridge_count; i++) {
        struct machine_host_bridge *bridge = &machine->host_bridges[i];
        if (registers_in_ram(machine, "PCI configuration space", bridge->ecam,
                             ecam_size(bridge->first_bus, bridge->last_bus)))
            continue;
        check_windows(machine, bridge);
        if (kept != i)
            machine->host_bridges[kept] = *bridge;
        kept++;
    }
    machine->host_bridge_count = kept;
}

static void check_devices(struct machine *machine)
{
    uint32_t kept = 0;
    for (uint32_t i = 0; i < machine->virtio_slot_count; i++) {
        struct machine_virtio_slot slot = machine->virtio_slots[i];
        if (!registers_in_ram(machine, "virtio-mmio slot", slot.base, slot.size))
            machine->virtio_slots[kept++] = slot;
    }
    machine->virtio_slot_count = kept;

    kept = 0;
    for (uint32_t i = 0; i < machine->uart_count; i++) {
        struct machine_uart uart = machine->uarts[i];
        if (uart.registers.space != ADDRESS_MEMORY || !registers_in_ram(machine, "UART", uart.registers.address, 1))
            machine->uarts[kept++] = uart;
    }
    machine->uart_count = kept;

    kept = 0;
    for (uint32_t i = 0; i < machine->io_apic_count; i++) {
        struct machine_io_apic io_apic = machine->io_apics[i];
        if (!registers_in_ram(machine, "I/O APIC", io_apic.base, PAGE))
            machine->io_apics[kept++] = io_apic;
    }
    machine->io_apic_count = kept;

    if (registers_in_ram(machine, "HPET", machine->hpet.base, 1))
        machine->hpet = (struct machine_hpet){0};
    for (uint32_t i = 0; i < machine->iommu_count; i++) /* not removed: maps and scopes name it by index */
        if (!machine->iommus[i].pci && registers_in_ram(machine, "IOMMU", machine->iommus[i].base, 1))
            machine->iommus[i].base = machine->iommus[i].size = 0;
}

/* An override leads to a line that some I/O APIC can have. */
static void check_overrides(struct machine *machine)
{
    uint32_t kept = 0;

    if (machine->io_apic_count == 0)
        return;
    for (uint32_t i = 0; i < machine->override_count; i++) {
        struct machine_override override = machine->overrides[i];
        bool reachable = false;
        for (uint32_t j = 0; j < machine->io_apic_count; j++)
            reachable |= override.line.line - machine->io_apics[j].first_line < IO_APIC_MAX_LINES;
        if (reachable)
            machine->overrides[kept++] = override;
        else
            machine_warn(machine, WHO, "interrupt override of source %u to line %u, which no I/O APIC has, is dropped",
                         override.source, override.line.line);
    }
    machine->override_count = kept;
}

void machine_finish(struct machine *machine)
{
    round_to_pages(machine);
    check_host_bridges(machine);
    check_devices(machine);
    check_overrides(machine);
}
