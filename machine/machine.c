/*
 * machine.c: fills and puts in order a `struct machine`. Contract in add.h and readers.h.
 *
 * Order of life: machine_init, then readers that add, then machine_finish. Everything here is bounded by the
 * arrays' sizes, whatever was added.
 */
#include <machine/add.h>
#include <machine/readers.h>
#include <lib/bytes.h>
#include <lib/log.h>
#include <lib/string.h>

#define WHO "machine"

#define PAGE UINT64_C(4096)
/* The last page of the 64-bit space is given up so that every range's end is a number. */
#define ADDRESS_LIMIT (UINT64_MAX & ~(PAGE - 1))
#define MIB           (UINT64_C(1) << 20)
/* An I/O APIC's version register counts at most 240 entries [82093AA §3.2.2]. */
#define IO_APIC_MAX_LINES 240u

/* ---- Arrays that may be full ------------------------------------------------------------------ */

enum list { /* bits of machine.full */
            LIST_CPUS,
            LIST_MEMORY,
            LIST_MEMORY_NODES,
            LIST_IO_APICS,
            LIST_OVERRIDES,
            LIST_NMIS,
            LIST_REDISTRIBUTORS,
            LIST_V2M,
            LIST_ITS,
            LIST_PLICS,
            LIST_APLICS,
            LIST_CONTEXTS,
            LIST_UARTS,
            LIST_HOST_BRIDGES,
            LIST_WINDOWS,
            LIST_INTX_ROUTES,
            LIST_MSI_MAPS,
            LIST_IOMMU_MAPS,
            LIST_VIRTIO_SLOTS,
            LIST_IOMMUS,
            LIST_IOMMU_SCOPES,
            LIST_RESERVED_REGIONS,
            LIST_COUNT
};

_Static_assert(LIST_COUNT <= 32, "machine.full has a bit for each list");

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

static void say_full(struct machine *machine, enum list list, size_t limit)
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

/* The next entry of an array, zeroed and counted; NULL when it is full. */
static void *append(struct machine *machine, enum list list, void *array, size_t element, size_t limit, uint32_t *count)
{
    if (*count >= limit) {
        say_full(machine, list, limit);
        return NULL;
    }
    void *entry = (uint8_t *)array + element * (*count)++;
    memset(entry, 0, element);
    return entry;
}

#define COUNT_OF(array)                     (sizeof(array) / sizeof((array)[0]))
#define APPEND(machine, list, array, count) append(machine, list, array, sizeof((array)[0]), COUNT_OF(array), &(count))

void machine_init(struct machine *machine)
{
    memset(machine, 0, sizeof *machine);
    machine->power.sleep_type_a = machine->power.sleep_type_b = -1;
    machine->generic_timer.secure_physical = machine->generic_timer.physical = MACHINE_LINE_NONE;
    machine->generic_timer.virtual_ = machine->generic_timer.hypervisor = MACHINE_LINE_NONE;
}

/* ---- CPUs and interrupt controllers ------------------------------------------------------------ */

struct machine_cpu *machine_add_cpu(struct machine *machine, uint64_t hardware_id)
{
    for (uint32_t i = 0; i < machine->cpu_count; i++)
        if (machine->cpus[i].hardware_id == hardware_id)
            return &machine->cpus[i];
    struct machine_cpu *cpu = APPEND(machine, LIST_CPUS, machine->cpus, machine->cpu_count);
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
    uint8_t *added = append(machine, list, array, element, limit, count);
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
    struct machine_context *added = APPEND(machine, LIST_CONTEXTS, machine->contexts, machine->context_count);

    if (added != NULL)
        *added = (struct machine_context){.cpu = cpu, .number = number, .supervisor = supervisor};
    return added != NULL;
}

/* ---- Devices ----------------------------------------------------------------------------------- */

static struct machine_uart *append_uart(struct machine *machine)
{
    struct machine_uart *added = APPEND(machine, LIST_UARTS, machine->uarts, machine->uart_count);

    if (added != NULL) {
        added->kind = UART_UNKNOWN;
        added->line = MACHINE_LINE_NONE;
    }
    return added;
}

struct machine_uart *machine_add_uart(struct machine *machine, enum address_space space, uint64_t address)
{
    if (space != ADDRESS_NONE && !base_valid(machine, "UART", address))
        return NULL;
    for (uint32_t i = 0; i < machine->uart_count; i++) {
        struct machine_uart *known = &machine->uarts[i];
        if (!known->pci && known->registers.space == space && known->registers.address == address)
            return known;
    }
    struct machine_uart *added = append_uart(machine);
    if (added != NULL) {
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

struct machine_uart *machine_add_uart_pci(struct machine *machine, uint16_t segment, uint16_t function)
{
    for (uint32_t i = 0; i < machine->uart_count; i++) {
        struct machine_uart *known = &machine->uarts[i];
        if (known->pci && known->pci_segment == segment && known->pci_function == function)
            return known;
    }
    struct machine_uart *added = append_uart(machine);
    if (added != NULL) {
        added->pci = true;
        added->pci_segment = segment;
        added->pci_function = function;
    }
    return added;
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
    struct machine_virtio_slot *added =
        APPEND(machine, LIST_VIRTIO_SLOTS, machine->virtio_slots, machine->virtio_slot_count);
    if (added != NULL)
        *added = (struct machine_virtio_slot){.base = base, .size = size, .line = line};
    return added;
}

/* ---- PCI and IOMMUs ---------------------------------------------------------------------------- */

static uint64_t ecam_size(unsigned first_bus, unsigned last_bus)
{
    return (uint64_t)(last_bus - first_bus + 1) << 20; /* 32 devices, 8 functions, 4 KiB [PCIe 6.0 §7.2.2] */
}

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
    struct machine_host_bridge *added =
        APPEND(machine, LIST_HOST_BRIDGES, machine->host_bridges, machine->host_bridge_count);
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
    struct machine_id_map *added = append(machine, list, maps, sizeof *maps, MACHINE_MAX_ID_MAPS, count);
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
    struct machine_iommu *added = APPEND(machine, LIST_IOMMUS, machine->iommus, machine->iommu_count);

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
    struct machine_iommu_scope *added =
        APPEND(machine, LIST_IOMMU_SCOPES, machine->iommu_scopes, machine->iommu_scope_count);
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

    if (machine->memory_count == COUNT_OF(machine->memory)) {
        make_disjoint(machine);
        if (machine->memory_count == COUNT_OF(machine->memory))
            say_full(machine, LIST_MEMORY, COUNT_OF(machine->memory));
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
    struct machine_memory_node *added =
        APPEND(machine, LIST_MEMORY_NODES, machine->memory_nodes, machine->memory_node_count);
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
            say_full(machine, LIST_MEMORY, MACHINE_MAX_MEMORY_RANGES);
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
