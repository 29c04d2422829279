/*
 * report.c: the machine for people and for programs.
 *
 * The facts are walked once, in one place, and report_form.c makes lines or JSON of them, so that the two cannot
 * differ. What the machine does not say is in neither.
 */
#include "report.h"

#include <machine/readers.h>
#include <lib/string.h>

/* ---- What there is to say ------------------------------------------------------------------------------ */

static const char *const memory_kinds[] = {
    [MEMORY_USABLE] = "usable",     [MEMORY_ACPI_RECLAIM] = "acpi", [MEMORY_INITRD] = "initrd",
    [MEMORY_KERNEL] = "kernel",     [MEMORY_TABLES] = "tables",     [MEMORY_ACPI_NVS] = "nvs",
    [MEMORY_RESERVED] = "reserved", [MEMORY_BAD] = "bad",           [MEMORY_KIND_COUNT] = NULL};
static const char *const uart_kinds[] = {[UART_NS16550] = "ns16550", [UART_PL011] = "pl011",     [UART_SBI] = "sbi",
                                         [UART_SIFIVE] = "sifive",   [UART_UNKNOWN] = "unknown", NULL};
static const char *const window_kinds[] = {
    [PCI_WINDOW_IO] = "io", [PCI_WINDOW_MEMORY32] = "memory32", [PCI_WINDOW_MEMORY64] = "memory64", NULL};
static const char *const iommu_kinds[] = {[IOMMU_VTD] = "vtd",
                                          [IOMMU_AMD] = "amd",
                                          [IOMMU_SMMUV3] = "smmuv3",
                                          [IOMMU_SMMUV2] = "smmuv2",
                                          [IOMMU_VIRTIO] = "virtio",
                                          [IOMMU_RISCV] = "riscv",
                                          NULL};
static const char *const conduits[] = {[CONDUIT_NONE] = "none", [CONDUIT_HVC] = "hvc", [CONDUIT_SMC] = "smc", NULL};
static const char *const modes[] = {"machine", "supervisor", NULL};
static const char *const deliveries[] = {"direct", "messages", NULL};

static const struct column cpu_columns[] = {
    COLUMN(HEX, "id", struct machine_cpu, hardware_id),
    COLUMN(NUMBER, "uid", struct machine_cpu, firmware_id),
    COLUMN(FLAG, "enabled", struct machine_cpu, enabled),
    COLUMN(IDENTIFIER, "node", struct machine_cpu, node),
    COLUMN(ADDRESS, "gic_cpu_interface", struct machine_cpu, gic_cpu_interface),
    COLUMN(ADDRESS, "gic_redistributor", struct machine_cpu, gic_redistributor),
    COLUMN(ADDRESS, "external_controller", struct machine_cpu, external_controller),
    COLUMN(ADDRESS, "imsic", struct machine_cpu, imsic_base),
    COLUMN(SIZE, "imsic_size", struct machine_cpu, imsic_size),
};
static const struct column memory_columns[] = {
    COLUMN(HEX, "base", struct memory_range, base),
    COLUMN(SIZE, "size", struct memory_range, size),
    WORDS(memory_kinds, "kind", struct memory_range, kind),
    COLUMN(IDENTIFIER, "node", struct memory_range, node),
};
static const struct column memory_node_columns[] = {
    COLUMN(HEX, "base", struct machine_memory_node, base),
    COLUMN(SIZE, "size", struct machine_memory_node, size),
    COLUMN(NUMBER, "node", struct machine_memory_node, node),
};
static const struct column initrd_columns[] = {
    COLUMN(HEX, "base", struct machine, initrd.base),
    COLUMN(SIZE, "size", struct machine, initrd.size),
};
static const struct column local_apic_columns[] = {
    COLUMN(HEX, "base", struct machine, local_apic),
    COLUMN(FLAG, "pic", struct machine, has_pic),
    COLUMN(FLAG, "pit", struct machine, has_pit),
    COLUMN(FLAG, "cmos", struct machine, has_cmos),
};
static const struct column io_apic_columns[] = {
    COLUMN(NUMBER, "id", struct machine_io_apic, id),
    COLUMN(HEX, "base", struct machine_io_apic, base),
    COLUMN(NUMBER, "first_line", struct machine_io_apic, first_line),
};
static const struct column override_columns[] = {
    COLUMN(NUMBER, "source", struct machine_override, source),
    COLUMN(LINE, "", struct machine_override, line),
};
static const struct column nmi_columns[] = {
    COLUMN(MARK, "local", struct machine_nmi, local),
    COLUMN(NUMBER, "lint", struct machine_nmi, lint),
    COLUMN(IDENTIFIER, "cpu_uid", struct machine_nmi, firmware_id), /* not said: all */
    COLUMN(LINE, "", struct machine_nmi, line),
};
static const struct column gic_columns[] = {
    COLUMN(NUMBER, "version", struct machine, gic.version),
    COLUMN(HEX, "distributor", struct machine, gic.distributor),
    COLUMN(ADDRESS, "cpu_interface", struct machine, gic.cpu_interface),
    COLUMN(ADDRESS, "redistributor_stride", struct machine, gic.redistributor_stride),
};
static const struct column region_columns[] = {
    COLUMN(HEX, "base", struct machine_region, base),
    COLUMN(SIZE, "size", struct machine_region, size),
};
static const struct column v2m_columns[] = {
    COLUMN(NUMBER, "id", struct machine_v2m, id),
    COLUMN(HEX, "base", struct machine_v2m, base),
    COLUMN(COUNT, "first_line", struct machine_v2m, first_line),
    COLUMN(COUNT, "lines", struct machine_v2m, line_count),
};
static const struct column its_columns[] = {
    COLUMN(NUMBER, "id", struct machine_its, id),
    COLUMN(HEX, "base", struct machine_its, base),
};
static const struct column plic_columns[] = {
    COLUMN(NUMBER, "id", struct machine_plic, id),
    COLUMN(HEX, "base", struct machine_plic, base),
    COLUMN(SIZE, "size", struct machine_plic, size),
    COLUMN(NUMBER, "first_line", struct machine_plic, first_line),
    COLUMN(NUMBER, "sources", struct machine_plic, source_count),
    COLUMN(NUMBER, "priorities", struct machine_plic, max_priority),
    COLUMN(NUMBER, "first_context", struct machine_plic, first_context),
    COLUMN(NUMBER, "contexts", struct machine_plic, context_count),
};
static const struct column aplic_columns[] = {
    COLUMN(NUMBER, "id", struct machine_aplic, id),
    COLUMN(HEX, "base", struct machine_aplic, base),
    COLUMN(SIZE, "size", struct machine_aplic, size),
    COLUMN(NUMBER, "first_line", struct machine_aplic, first_line),
    COLUMN(NUMBER, "sources", struct machine_aplic, source_count),
    WORDS(modes, "mode", struct machine_aplic, supervisor),
    WORDS(deliveries, "delivery", struct machine_aplic, messages),
    COLUMN(NUMBER, "first_context", struct machine_aplic, first_context),
    COLUMN(NUMBER, "contexts", struct machine_aplic, context_count),
};
static const struct column imsic_columns[] = {
    COLUMN(NUMBER, "identities", struct machine, imsic.id_count),
    COLUMN(NUMBER, "guest_index_bits", struct machine, imsic.guest_index_bits),
    COLUMN(NUMBER, "hart_index_bits", struct machine, imsic.hart_index_bits),
    COLUMN(NUMBER, "group_index_bits", struct machine, imsic.group_index_bits),
    COLUMN(NUMBER, "group_index_shift", struct machine, imsic.group_index_shift),
};
static const struct column context_columns[] = {
    COLUMN(IDENTIFIER, "cpu", struct machine_context, cpu),
    COLUMN(NUMBER, "number", struct machine_context, number),
    WORDS(modes, "mode", struct machine_context, supervisor),
};
static const struct column pm_timer_columns[] = {
    COLUMN(REGISTER, "", struct machine, pm_timer),
    COLUMN(FLAG, "wide", struct machine, pm_timer_32bit), /* 32 bits rather than 24 */
};
static const struct column hpet_columns[] = {
    COLUMN(HEX, "base", struct machine, hpet.base),
    COLUMN(NUMBER, "number", struct machine, hpet.number),
    COLUMN(NUMBER, "minimum_tick", struct machine, hpet.minimum_tick),
};
static const struct column uart_columns[] = {
    WORDS(uart_kinds, "kind", struct machine_uart, kind),
    COLUMN(REGISTER, "", struct machine_uart, registers),
    COLUMN(COUNT, "shift", struct machine_uart, register_shift),
    COLUMN(COUNT, "clock_hz", struct machine_uart, clock_hz),
    COLUMN(COUNT, "baud", struct machine_uart, baud),
    COLUMN(LINE, "", struct machine_uart, line),
    COLUMN(MARK, "console", struct machine_uart, console),
    COLUMN(MARK, "pci", struct machine_uart, pci),
    COLUMN(COUNT, "segment", struct machine_uart, pci_segment),
    COLUMN(DEVICE, "function", struct machine_uart, pci_function),
};
static const struct column slot_columns[] = {
    COLUMN(HEX, "base", struct machine_virtio_slot, base),
    COLUMN(SIZE, "size", struct machine_virtio_slot, size),
    COLUMN(LINE, "", struct machine_virtio_slot, line),
};
static const struct column bridge_columns[] = {
    COLUMN(NUMBER, "segment", struct machine_host_bridge, segment),
    COLUMN(NUMBER, "first_bus", struct machine_host_bridge, first_bus),
    COLUMN(NUMBER, "last_bus", struct machine_host_bridge, last_bus),
    COLUMN(ADDRESS, "ecam", struct machine_host_bridge, ecam),
    COLUMN(FLAG, "firmware_configured", struct machine_host_bridge, firmware_configured),
    COLUMN(FLAG, "coherent", struct machine_host_bridge, dma_coherent),
    COLUMN(ADDRESS, "intx_device_mask", struct machine_host_bridge, intx_device_mask),
};
static const struct column window_columns[] = {
    WORDS(window_kinds, "kind", struct machine_pci_window, kind),
    COLUMN(HEX, "bus", struct machine_pci_window, bus_address),
    COLUMN(HEX, "cpu", struct machine_pci_window, cpu_address),
    COLUMN(SIZE, "size", struct machine_pci_window, size),
    COLUMN(MARK, "prefetchable", struct machine_pci_window, prefetchable),
};
static const struct column route_columns[] = {
    COLUMN(FUNCTION, "function", struct machine_intx_route, device),
    COLUMN(LETTER, "pin", struct machine_intx_route, pin),
    COLUMN(LINE, "", struct machine_intx_route, line),
};
static const struct column id_map_columns[] = {
    COLUMN(HEX, "requester", struct machine_id_map, input_base),
    COLUMN(NUMBER, "count", struct machine_id_map, length),
    COLUMN(HEX, "output", struct machine_id_map, output_base),
    COLUMN(NUMBER, "target", struct machine_id_map, target),
};
static const struct column iommu_columns[] = {
    WORDS(iommu_kinds, "kind", struct machine_iommu, kind),
    COLUMN(ADDRESS, "base", struct machine_iommu, base),
    COLUMN(SIZE, "size", struct machine_iommu, size),
    COLUMN(NUMBER, "id", struct machine_iommu, id),
    COLUMN(MARK, "pci", struct machine_iommu, pci),
    COLUMN(NUMBER, "segment", struct machine_iommu, pci_segment),
    COLUMN(DEVICE, "function", struct machine_iommu, pci_function),
    COLUMN(MARK, "all_devices", struct machine_iommu, all_devices),
    COLUMN(FLAG, "coherent", struct machine_iommu, coherent_walks),
    COLUMN(COUNT, "address_bits", struct machine_iommu, address_bits),
    COLUMN(ONLY_LINE, "event_line", struct machine_iommu, event),
    COLUMN(ONLY_LINE, "command_line", struct machine_iommu, command),
    COLUMN(ONLY_LINE, "error_line", struct machine_iommu, error),
};
static const struct column scope_columns[] = {
    COLUMN(NUMBER, "iommu", struct machine_iommu_scope, iommu),
    COLUMN(NUMBER, "segment", struct machine_iommu_scope, segment),
    COLUMN(FUNCTION, "first", struct machine_iommu_scope, first),
    COLUMN(FUNCTION, "last", struct machine_iommu_scope, last),
    COLUMN(HEX, "output", struct machine_iommu_scope, output_base),
    COLUMN(MARK, "below", struct machine_iommu_scope, bridge), /* and everything below this bridge */
};
static const struct column reserved_columns[] = {
    COLUMN(HEX, "base", struct machine_reserved_region, base),
    COLUMN(SIZE, "size", struct machine_reserved_region, size),
    COLUMN(NUMBER, "segment", struct machine_reserved_region, segment),
    COLUMN(FUNCTION, "first", struct machine_reserved_region, first),
    COLUMN(FUNCTION, "last", struct machine_reserved_region, last),
};

#define MACHINE_LIST(name, item, columns, array, count) LIST(name, item, columns, struct machine, array, count, false)
#define ROOM_LIST(name, item, columns, array, count)    LIST(name, item, columns, struct machine, array, count, true)
#define BRIDGE_LIST(name, item, columns, array, count)                                                                 \
    LIST(name, item, columns, struct machine_host_bridge, array, count, false)

static const struct list memory_lists[] = {
    ROOM_LIST("memory", "memory", memory_columns, memory, memory_count),
    ROOM_LIST("memory_nodes", "memory_node", memory_node_columns, memory_nodes, memory_node_count),
    ONE("initrd", initrd_columns, initrd.size),
};
static const struct list interrupt_lists[] = {
    ONE("local_apic", local_apic_columns, local_apic),
    MACHINE_LIST("io_apics", "io_apic", io_apic_columns, io_apics, io_apic_count),
    MACHINE_LIST("overrides", "override", override_columns, overrides, override_count),
    MACHINE_LIST("nmis", "nmi", nmi_columns, nmis, nmi_count),
    ONE("gic", gic_columns, gic.distributor),
    MACHINE_LIST("redistributors", "redistributor", region_columns, gic.redistributors, gic.redistributor_count),
    MACHINE_LIST("v2m_frames", "v2m_frame", v2m_columns, v2m, v2m_count),
    MACHINE_LIST("its", "its", its_columns, its, its_count),
    MACHINE_LIST("plics", "plic", plic_columns, plics, plic_count),
    MACHINE_LIST("aplics", "aplic", aplic_columns, aplics, aplic_count),
    ONE("imsic", imsic_columns, imsic.present),
    ROOM_LIST("contexts", "context", context_columns, contexts, context_count),
};
static const struct list time_lists[] = {
    ONE("pm_timer", pm_timer_columns, pm_timer.address),
    ONE("hpet", hpet_columns, hpet.base),
};
static const struct list device_lists[] = {
    MACHINE_LIST("uarts", "uart", uart_columns, uarts, uart_count),
    ROOM_LIST("virtio_slots", "virtio_slot", slot_columns, virtio_slots, virtio_slot_count),
    ROOM_LIST("host_bridges", "host_bridge", bridge_columns, host_bridges, host_bridge_count),
};
static const struct list bridge_lists[] = {
    BRIDGE_LIST("windows", "window", window_columns, windows, window_count),
    BRIDGE_LIST("intx_routes", "intx_route", route_columns, intx_routes, intx_route_count),
    BRIDGE_LIST("msi_maps", "msi_map", id_map_columns, msi_map, msi_map_count),
    BRIDGE_LIST("iommu_maps", "iommu_map", id_map_columns, iommu_map, iommu_map_count),
};
static const struct list iommu_lists[] = {
    ROOM_LIST("iommus", "iommu", iommu_columns, iommus, iommu_count),
    ROOM_LIST("iommu_scopes", "iommu_scope", scope_columns, iommu_scopes, iommu_scope_count),
    MACHINE_LIST("reserved_regions", "reserved_region", reserved_columns, reserved_regions, reserved_region_count),
};
static const struct list cpu_list = ROOM_LIST("cpus", "cpu", cpu_columns, cpus, cpu_count);

static void show_lists(struct report *report, const struct list lists[], size_t count, const struct machine *machine)
{
    for (size_t i = 0; i < count; i++)
        report_list(report, &lists[i], machine);
}

#define SHOW(lists) show_lists(report, lists, sizeof(lists) / sizeof((lists)[0]), machine)

/* ---- What is no array ---------------------------------------------------------------------------------- */

static void numeric_fact(struct report *report, const char *name, uint64_t value)
{
    char text[REPORT_VALUE_SIZE];

    snprintf(text, sizeof text, "%llu", (unsigned long long)value);
    if (value != 0)
        report_fact(report, name, text, false);
}

static void report_model(struct report *report, const struct machine *machine)
{
    static const char *const sources[] = {"nothing", "ACPI", "device tree", "ACPI and device tree"};

    if (machine->model[0] != '\0')
        report_fact(report, "model", machine->model, true);
    report_fact(report, "described_by", sources[machine->has_acpi + 2 * machine->has_device_tree], true);
    if (machine->command_line[0] != '\0')
        report_fact(report, "command_line", machine->command_line, true);
    numeric_fact(report, "seed_bytes", machine->seed_size);
    numeric_fact(report, "complaints", machine->complaints);
}

static void report_isa(struct report *report, uint32_t isa)
{
    static const char *const names[] = {"sstc", "svpbmt", "ssaia", "zicbom", "svadu"}; /* by MACHINE_ISA_ bit */
    char text[REPORT_VALUE_SIZE] = "";
    size_t length = 0;

    for (unsigned i = 0; i < sizeof names / sizeof names[0]; i++)
        if ((isa >> i & 1) != 0)
            length += (size_t)snprintf(text + length, sizeof text - length, "%s%s", length != 0 ? " " : "", names[i]);
    if (isa != 0)
        report_fact(report, "isa", text, true);
}

static void timer_line(struct report *report, uint32_t index, const char *name, const struct machine_line *value)
{
    if (value->line == MACHINE_NO_LINE)
        return;
    report_item_begin(report, "timer", index);
    report_field(report, "name", name, true);
    report_line(report, value);
    report_item_end(report);
}

static void report_generic_timer(struct report *report, const struct machine *machine)
{
    const struct machine_generic_timer *timer = &machine->generic_timer;

    report_list_begin(report, "timers");
    timer_line(report, 0, "secure physical", &timer->secure_physical);
    timer_line(report, 1, "physical", &timer->physical);
    timer_line(report, 2, "virtual", &timer->virtual_);
    timer_line(report, 3, "hypervisor", &timer->hypervisor);
    report_list_end(report);
    numeric_fact(report, "timer_hz", timer->frequency_hz);
    numeric_fact(report, "timer_watchdogs", timer->watchdog_count);
    numeric_fact(report, "timebase_hz", machine->timebase_hz);
}

static void one_register(struct report *report, uint32_t *index, const char *name, const struct machine_register *value,
                         uint64_t what)
{
    if (value->space == ADDRESS_NONE)
        return;
    report_item_begin(report, "register", (*index)++);
    report_field(report, "name", name, true);
    report_register(report, value);
    if (what != 0)
        report_hex(report, "value", what);
    report_item_end(report);
}

static void report_power(struct report *report, const struct machine *machine)
{
    const struct machine_power *power = &machine->power;
    uint32_t index = 0;

    report_list_begin(report, "power");
    report_item_begin(report, "power", 0);
    report_flag(report, "hardware_reduced", power->hardware_reduced);
    report_word(report, "psci", conduits, power->psci);
    if (power->sleep_type_a >= 0)
        report_number(report, "sleep_type_a", (uint64_t)power->sleep_type_a);
    if (power->sleep_type_b >= 0)
        report_number(report, "sleep_type_b", (uint64_t)power->sleep_type_b);
    if (power->dsdt != 0)
        report_hex(report, "dsdt", power->dsdt);
    if (power->sifive_test)
        report_flag(report, "sifive_test", true);
    report_item_end(report);
    report_list_end(report);
    report_list_begin(report, "registers");
    one_register(report, &index, "reset", &power->reset, power->reset_value);
    one_register(report, &index, "sleep control", &power->sleep_control, 0);
    one_register(report, &index, "sleep status", &power->sleep_status, 0);
    one_register(report, &index, "pm1a control", &power->pm1a_control, 0);
    one_register(report, &index, "pm1b control", &power->pm1b_control, 0);
    one_register(report, &index, "poweroff", &power->poweroff_register, power->poweroff_value);
    one_register(report, &index, "reboot", &power->reboot_register, power->reboot_value);
    one_register(report, &index, "fw_cfg", &machine->fw_cfg, 0);
    report_list_end(report);
}

static void report_all(struct report *report, const struct machine *machine)
{
    report_model(report, machine);
    report_group(report);
    report_list(report, &cpu_list, machine);
    report_isa(report, machine->isa);
    report_group(report);
    SHOW(memory_lists);
    report_group(report);
    SHOW(interrupt_lists);
    report_group(report);
    SHOW(time_lists);
    report_generic_timer(report, machine);
    report_group(report);
    SHOW(device_lists);
    for (unsigned i = 0; i < sizeof bridge_lists / sizeof bridge_lists[0]; i++)
        report_bridge_list(report, &bridge_lists[i], machine);
    SHOW(iommu_lists);
    report_group(report);
    report_power(report, machine);
}

void machine_report(const struct machine *machine, struct printer *printer)
{
    struct report report = {.out = printer};

    report_all(&report, machine);
}

void machine_report_json(const struct machine *machine, struct printer *printer)
{
    struct report report = {.out = printer, .json = true};

    report_put(&report, "{");
    report_all(&report, machine);
    report_put(&report, "\n}\n");
}
