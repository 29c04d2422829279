/*
 * add.c: adds what readers found to a `struct machine`, each thing once. Contract in add.h.
 *
 * Everything here is bounded by the arrays' sizes, whatever was added.
 */
#include "machine_local.h"
#include <lib/bytes.h>
#include <lib/log.h>
#include <lib/printf.h>
#include <lib/string.h>

#define WHO "machine"

#define MIB (UINT64_C(1) << 20)

/* ---- Arrays that may be full ------------------------------------------------------------------ */

static void complain(struct machine *machine, enum log_level level, const char *who, const char *format,
                     va_list arguments)
{
    char text[192];

    if (machine->complaints++ >= MACHINE_MAX_COMPLAINTS) {
        machine->complaints = MACHINE_MAX_COMPLAINTS + 1;
        return;
    }
    vsnprintf(text, sizeof text, format, arguments);
    log_line(level, who, "%s", text);
    if (machine->complaints == MACHINE_MAX_COMPLAINTS)
        log_warn(who, "what firmware describes is wrong in many ways; further ones are not named");
}

void machine_warn(struct machine *machine, const char *who, const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    complain(machine, LOG_WARN, who, format, arguments);
    va_end(arguments);
}

void machine_malformed(struct machine *machine, const char *who, const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    complain(machine, LOG_ERROR, who, format, arguments);
    va_end(arguments);
}

void machine_say_full(struct machine *machine, enum list list, size_t limit)
{
    static const char *const names[LIST_COUNT] = {
        [LIST_CPUS] = "CPUs",
        [LIST_MEMORY] = "memory ranges",
        [LIST_MEMORY_NODES] = "memory affinity ranges",
        [LIST_IO_APICS] = "I/O APICs",
        [LIST_OVERRIDES] = "interrupt overrides",
        [LIST_NMIS] = "NMI sources",
        [LIST_REDISTRIBUTORS] = "GIC redistributor regions",
        [LIST_V2M] = "GICv2m frames",
        [LIST_ITS] = "GIC translation services",
        [LIST_PLICS] = "PLICs",
        [LIST_APLICS] = "APLICs",
        [LIST_CONTEXTS] = "interrupt contexts",
        [LIST_UARTS] = "UARTs",
        [LIST_HOST_BRIDGES] = "PCI host bridges",
        [LIST_WINDOWS] = "windows of a PCI host bridge",
        [LIST_INTX_ROUTES] = "INTx routes of a PCI host bridge",
        [LIST_MSI_MAPS] = "MSI maps of a PCI host bridge",
        [LIST_IOMMU_MAPS] = "IOMMU maps of a PCI host bridge",
        [LIST_VIRTIO_SLOTS] = "virtio-mmio slots",
        [LIST_IOMMUS] = "IOMMUs",
        [LIST_IOMMU_SCOPES] = "IOMMU scopes",
        [LIST_RESERVED_REGIONS] = "reserved DMA regions",
    };

    if ((machine->full & UINT32_C(1) << list) != 0)
        return;
    machine->full |= UINT32_C(1) << list;
    machine_warn(machine, WHO, "more than %zu %s are described; the rest is dropped", limit, names[list]);
}

void *machine_append(struct machine *machine, enum list list, void *array, size_t element, size_t limit,
                     uint32_t *count)
{
    if (*count >= limit) {
        machine_say_full(machine, list, limit);
        return NULL;
    }
    void *entry = (uint8_t *)array + element * (*count)++;
    memset(entry, 0, element);
    return entry;
}

/* ---- CPUs and interrupt controllers ------------------------------------------------------------ */

struct machine_cpu *machine_add_cpu(struct machine *machine, uint64_t hardware_id)
{
    for (uint32_t i = 0; i < machine->cpu_count; i++)
        if (machine->cpus[i].hardware_id == hardware_id)
            return &machine->cpus[i];
    struct machine_cpu *cpu = APPEND_ROOM(machine, LIST_CPUS, cpus, cpu_count);
    if (cpu != NULL) {
        cpu->hardware_id = hardware_id;
        cpu->firmware_id = machine->cpu_count - 1;
        cpu->node = MACHINE_NO_NODE;
    }
    return cpu;
}

struct machine_cpu *machine_find_cpu(struct machine *machine, uint32_t firmware_id)
{
    for (uint32_t i = 0; i < machine->cpu_count; i++)
        if (machine->cpus[i].firmware_id == firmware_id)
            return &machine->cpus[i];
    return NULL;
}

struct machine_io_apic *machine_add_io_apic(struct machine *machine, uint32_t id, uint32_t first_line, uint64_t base)
{
    if (base == 0 || base % PAGE != 0) {
        machine_warn(machine, WHO, "I/O APIC %u has the impossible address 0x%llx and is dropped", id,
                     (unsigned long long)base);
        return NULL;
    }
    for (uint32_t i = 0; i < machine->io_apic_count; i++) {
        struct machine_io_apic *known = &machine->io_apics[i];
        if (known->base == base && known->first_line == first_line)
            return known;
        if (known->base == base || known->first_line == first_line) {
            machine_warn(
                machine, WHO,
                "I/O APIC %u at 0x%llx from line %u on overlaps the one at 0x%llx from line %u on and is dropped", id,
                (unsigned long long)base, first_line, (unsigned long long)known->base, known->first_line);
            return NULL;
        }
    }
    struct machine_io_apic *added = APPEND(machine, LIST_IO_APICS, machine->io_apics, machine->io_apic_count);
    if (added != NULL)
        *added = (struct machine_io_apic){.id = id, .first_line = first_line, .base = base};
    return added;
}

bool machine_add_override(struct machine *machine, uint8_t source, struct machine_line line)
{
    if (source > 15) {
        machine_warn(machine, WHO, "interrupt override of source %u, but ISA has sources 0 to 15; it is dropped",
                     source);
        return false;
    }
    for (uint32_t i = 0; i < machine->override_count; i++)
        if (machine->overrides[i].source == source)
            return true;
    struct machine_override *added = APPEND(machine, LIST_OVERRIDES, machine->overrides, machine->override_count);
    if (added != NULL)
        *added = (struct machine_override){.source = source, .line = line};
    return added != NULL;
}

bool machine_add_nmi(struct machine *machine, const struct machine_nmi *nmi)
{
    for (uint32_t i = 0; i < machine->nmi_count; i++) {
        const struct machine_nmi *known = &machine->nmis[i];
        if (known->local == nmi->local &&
            (nmi->local ? known->lint == nmi->lint && known->firmware_id == nmi->firmware_id
                        : known->line.line == nmi->line.line))
            return true;
    }
    struct machine_nmi *added = APPEND(machine, LIST_NMIS, machine->nmis, machine->nmi_count);
    if (added != NULL)
        *added = *nmi;
    return added != NULL;
}

bool machine_add_redistributors(struct machine *machine, uint64_t base, uint64_t size)
{
    struct machine_gic *gic = &machine->gic;

    if (base == 0 || !machine_range_valid(base, size)) {
        machine_warn(machine, WHO, "GIC redistributor region 0x%llx, 0x%llx bytes, is impossible and is dropped",
                     (unsigned long long)base, (unsigned long long)size);
        return false;
    }
    for (uint32_t i = 0; i < gic->redistributor_count; i++)
        if (gic->redistributors[i].base == base)
            return true;
    struct machine_region *added = APPEND(machine, LIST_REDISTRIBUTORS, gic->redistributors, gic->redistributor_count);
    if (added != NULL)
        *added = (struct machine_region){.base = base, .size = size};
    return added != NULL;
}

static bool base_valid(struct machine *machine, const char *what, uint64_t base)
{
    if (base == 0)
        machine_warn(machine, WHO, "%s at address 0 is dropped", what);
    return base != 0;
}

/* The entry whose uint64_t at `base_offset` is `base`, or a new one. */
static void *add_by_base(struct machine *machine, enum list list, const char *what, void *array, size_t element,
                         size_t limit, uint32_t *count, size_t base_offset, uint64_t base)
{
    if (!base_valid(machine, what, base))
        return NULL;
    for (uint32_t i = 0; i < *count; i++) {
        uint8_t *entry = (uint8_t *)array + element * i;
        if (memcmp(entry + base_offset, &base, sizeof base) == 0)
            return entry;
    }
    uint8_t *added = machine_append(machine, list, array, element, limit, count);
    if (added != NULL)
        memcpy(added + base_offset, &base, sizeof base);
    return added;
}

#define ADD_BY_BASE(machine, list, what, array, count, type, base)                                                     \
    add_by_base(machine, list, what, array, sizeof(type), COUNT_OF(array), &(count), offsetof(type, base), base)

struct machine_v2m *machine_add_v2m(struct machine *machine, uint64_t base)
{
    return ADD_BY_BASE(machine, LIST_V2M, "GICv2m frame", machine->v2m, machine->v2m_count, struct machine_v2m, base);
}

struct machine_its *machine_add_its(struct machine *machine, uint32_t id, uint64_t base)
{
    uint32_t before = machine->its_count;
    struct machine_its *its = ADD_BY_BASE(machine, LIST_ITS, "GIC translation service", machine->its,
                                          machine->its_count, struct machine_its, base);

    if (machine->its_count != before)
        its->id = id;
    return its;
}

struct machine_plic *machine_add_plic(struct machine *machine, uint64_t base)
{
    return ADD_BY_BASE(machine, LIST_PLICS, "PLIC", machine->plics, machine->plic_count, struct machine_plic, base);
}

struct machine_aplic *machine_add_aplic(struct machine *machine, uint64_t base)
{
    return ADD_BY_BASE(machine, LIST_APLICS, "APLIC", machine->aplics, machine->aplic_count, struct machine_aplic,
                       base);
}

bool machine_add_context(struct machine *machine, uint32_t cpu, uint32_t number, bool supervisor)
{
    struct machine_context *added = APPEND_ROOM(machine, LIST_CONTEXTS, contexts, context_count);

    if (added != NULL)
        *added = (struct machine_context){.cpu = cpu, .number = number, .supervisor = supervisor};
    return added != NULL;
}

/* ---- Devices ----------------------------------------------------------------------------------- */

struct machine_uart *machine_add_uart(struct machine *machine, enum address_space space, uint64_t address)
{
    if (space != ADDRESS_NONE && !base_valid(machine, "UART", address))
        return NULL;
    for (uint32_t i = 0; i < machine->uart_count; i++) {
        struct machine_uart *known = &machine->uarts[i];
        if (!known->pci && known->registers.space == space && known->registers.address == address)
            return known;
    }
    struct machine_uart *added = APPEND(machine, LIST_UARTS, machine->uarts, machine->uart_count);
    if (added != NULL) {
        added->kind = UART_UNKNOWN;
        added->line = MACHINE_LINE_NONE;
        added->registers.space = space;
        added->registers.address = address;
    }
    return added;
}

void machine_add_pc_uart(struct machine *machine)
{
    struct machine_uart *uart = machine_add_uart(machine, ADDRESS_PORT, 0x3f8);

    if (uart == NULL || uart->kind != UART_UNKNOWN)
        return;
    uart->kind = UART_NS16550;
    uart->registers.access_bytes = 1;
    uart->clock_hz = 1843200;
    uart->line = (struct machine_line){.line = 4, .trigger = TRIGGER_EDGE, .polarity = POLARITY_HIGH};
}

struct machine_virtio_slot *machine_add_virtio_slot(struct machine *machine, uint64_t base, uint32_t size,
                                                    struct machine_line line)
{
    if (base == 0 || !machine_range_valid(base, size)) {
        machine_warn(machine, WHO, "virtio-mmio slot at 0x%llx, 0x%x bytes, is impossible and is dropped",
                     (unsigned long long)base, size);
        return NULL;
    }
    for (uint32_t i = 0; i < machine->virtio_slot_count; i++)
        if (machine->virtio_slots[i].base == base)
            return &machine->virtio_slots[i];
    struct machine_virtio_slot *added = APPEND_ROOM(machine, LIST_VIRTIO_SLOTS, virtio_slots, virtio_slot_count);
    if (added != NULL)
        *added = (struct machine_virtio_slot){.base = base, .size = size, .line = line};
    return added;
}

/* ---- PCI and IOMMUs ---------------------------------------------------------------------------- */

struct machine_host_bridge *machine_add_host_bridge(struct machine *machine, uint16_t segment, uint8_t first_bus,
                                                    uint8_t last_bus, uint64_t ecam)
{
    if (first_bus > last_bus) {
        machine_warn(machine, WHO, "PCI segment %u: buses %u to %u are no range; the bridge is dropped", segment,
                     first_bus, last_bus);
        return NULL;
    }
    if (ecam % MIB != 0 || (ecam != 0 && !machine_range_valid(ecam, ecam_size(first_bus, last_bus)))) {
        machine_warn(machine, WHO, "PCI segment %u: configuration space at 0x%llx is impossible; the bridge is dropped",
                     segment, (unsigned long long)ecam);
        return NULL;
    }
    for (uint32_t i = 0; i < machine->host_bridge_count; i++) {
        struct machine_host_bridge *known = &machine->host_bridges[i];
        if (known->segment != segment || known->first_bus > last_bus || known->last_bus < first_bus)
            continue;
        if (known->ecam != ecam || known->first_bus != first_bus || known->last_bus != last_bus)
            machine_warn(machine, WHO,
                         "PCI segment %u: buses %u to %u are described again as %u to %u; the first counts", segment,
                         known->first_bus, known->last_bus, first_bus, last_bus);
        return known;
    }
    struct machine_host_bridge *added = APPEND_ROOM(machine, LIST_HOST_BRIDGES, host_bridges, host_bridge_count);
    if (added != NULL) {
        added->segment = segment;
        added->first_bus = first_bus;
        added->last_bus = last_bus;
        added->ecam = ecam;
    }
    return added;
}

bool machine_add_window(struct machine *machine, struct machine_host_bridge *bridge,
                        const struct machine_pci_window *window)
{
    if (!machine_range_valid(window->bus_address, window->size) ||
        !machine_range_valid(window->cpu_address, window->size)) {
        machine_warn(machine, WHO, "PCI segment %u: the window at 0x%llx, 0x%llx bytes, is impossible and is dropped",
                     bridge->segment, (unsigned long long)window->cpu_address, (unsigned long long)window->size);
        return false;
    }
    for (uint32_t i = 0; i < bridge->window_count; i++) {
        const struct machine_pci_window *known = &bridge->windows[i];
        if (known->kind == window->kind && known->bus_address == window->bus_address &&
            known->cpu_address == window->cpu_address)
            return true;
    }
    struct machine_pci_window *added = APPEND(machine, LIST_WINDOWS, bridge->windows, bridge->window_count);
    if (added != NULL)
        *added = *window;
    return added != NULL;
}

bool machine_add_intx_route(struct machine *machine, struct machine_host_bridge *bridge, uint16_t device, uint8_t pin,
                            struct machine_line line)
{
    for (uint32_t i = 0; i < bridge->intx_route_count; i++)
        if (bridge->intx_routes[i].device == device && bridge->intx_routes[i].pin == pin)
            return true;
    struct machine_intx_route *added = APPEND(machine, LIST_INTX_ROUTES, bridge->intx_routes, bridge->intx_route_count);
    if (added != NULL)
        *added = (struct machine_intx_route){.device = device, .pin = pin, .line = line};
    return added != NULL;
}

static bool add_id_map(struct machine *machine, enum list list, struct machine_id_map maps[MACHINE_MAX_ID_MAPS],
                       uint32_t *count, const struct machine_id_map *map)
{
    if (map->length == 0 || map->input_base > UINT32_MAX - (map->length - 1) ||
        map->output_base > UINT32_MAX - (map->length - 1)) {
        machine_warn(machine, WHO, "the map of 0x%x PCI requesters from 0x%x on is impossible and is dropped",
                     map->length, map->input_base);
        return false;
    }
    for (uint32_t i = 0; i < *count; i++)
        if (maps[i].input_base == map->input_base && maps[i].length == map->length)
            return true;
    struct machine_id_map *added = machine_append(machine, list, maps, sizeof *maps, MACHINE_MAX_ID_MAPS, count);
    if (added != NULL)
        *added = *map;
    return added != NULL;
}

bool machine_add_msi_map(struct machine *machine, struct machine_host_bridge *bridge, const struct machine_id_map *map)
{
    return add_id_map(machine, LIST_MSI_MAPS, bridge->msi_map, &bridge->msi_map_count, map);
}

bool machine_add_iommu_map(struct machine *machine, struct machine_host_bridge *bridge,
                           const struct machine_id_map *map)
{
    return add_id_map(machine, LIST_IOMMU_MAPS, bridge->iommu_map, &bridge->iommu_map_count, map);
}

static struct machine_iommu *append_iommu(struct machine *machine, enum iommu_kind kind)
{
    struct machine_iommu *added = APPEND_ROOM(machine, LIST_IOMMUS, iommus, iommu_count);

    if (added != NULL) {
        added->kind = kind;
        added->event = added->command = added->error = MACHINE_LINE_NONE;
    }
    return added;
}

struct machine_iommu *machine_add_iommu(struct machine *machine, enum iommu_kind kind, uint64_t base)
{
    if (!base_valid(machine, "IOMMU", base))
        return NULL;
    for (uint32_t i = 0; i < machine->iommu_count; i++)
        if (!machine->iommus[i].pci && machine->iommus[i].base == base)
            return &machine->iommus[i];
    struct machine_iommu *added = append_iommu(machine, kind);
    if (added != NULL)
        added->base = base;
    return added;
}

struct machine_iommu *machine_add_iommu_pci(struct machine *machine, enum iommu_kind kind, uint16_t segment,
                                            uint16_t function)
{
    for (uint32_t i = 0; i < machine->iommu_count; i++) {
        struct machine_iommu *known = &machine->iommus[i];
        if (known->pci && known->pci_segment == segment && known->pci_function == function)
            return known;
    }
    struct machine_iommu *added = append_iommu(machine, kind);
    if (added != NULL) {
        added->pci = true;
        added->pci_segment = segment;
        added->pci_function = function;
    }
    return added;
}

bool machine_add_iommu_scope(struct machine *machine, const struct machine_iommu_scope *scope)
{
    for (uint32_t i = 0; i < machine->iommu_scope_count; i++) {
        const struct machine_iommu_scope *known = &machine->iommu_scopes[i];
        if (known->segment == scope->segment && known->first == scope->first && known->last == scope->last)
            return true;
    }
    struct machine_iommu_scope *added = APPEND_ROOM(machine, LIST_IOMMU_SCOPES, iommu_scopes, iommu_scope_count);
    if (added != NULL)
        *added = *scope;
    return added != NULL;
}

bool machine_add_reserved_region(struct machine *machine, const struct machine_reserved_region *region)
{
    if (!machine_range_valid(region->base, region->size)) {
        machine_warn(machine, WHO, "the reserved DMA region 0x%llx, 0x%llx bytes, is impossible and is dropped",
                     (unsigned long long)region->base, (unsigned long long)region->size);
        return false;
    }
    for (uint32_t i = 0; i < machine->reserved_region_count; i++) {
        const struct machine_reserved_region *known = &machine->reserved_regions[i];
        if (known->base == region->base && known->size == region->size && known->segment == region->segment &&
            known->first == region->first && known->last == region->last)
            return true;
    }
    struct machine_reserved_region *added =
        APPEND(machine, LIST_RESERVED_REGIONS, machine->reserved_regions, machine->reserved_region_count);
    if (added != NULL)
        *added = *region;
    return added != NULL;
}
