/*
 * report.c: the machine for people and for programs.
 *
 * The facts are walked once, in one place, and either become lines ("io apic 0: id 0, base 0xfec00000") or
 * JSON ("io_apics": [{"id": 0, "base": "0xfec00000"}]), so that the two cannot differ. Names are those of JSON;
 * lines show their underscores as spaces. A line that would pass column 79 continues on a second one with the
 * same key. What the machine does not say is in neither. Addresses are hexadecimal, in JSON as strings.
 */
#include <machine/readers.h>
#include <lib/string.h>

enum { COLUMNS = 79, VALUE_SIZE = 72 };

struct report {
    struct printer *out;
    bool json;
    bool began;                /* JSON: something stands before in this object */
    char line[2 * COLUMNS];    /* text: the line so far */
    size_t key_length, length; /* of `line` */
};

/* ---- The two forms --------------------------------------------------------------------------------- */

static void put(struct report *report, const char *text)
{
    report->out->write(report->out, text, strlen(text));
}

static void put_quoted(struct report *report, const char *text)
{
    put(report, "\"");
    for (; *text != '\0'; text++) {
        bool plain = *text >= ' ' && *text <= '~' && *text != '"' && *text != '\\';
        if (plain)
            report->out->write(report->out, text, 1);
        else
            print(report->out, "\\u%04x", (unsigned char)*text);
    }
    put(report, "\"");
}

static void put_name(struct report *report, const char *name)
{
    put(report, report->began ? ", " : "");
    report->began = true;
    put_quoted(report, name);
    put(report, ": ");
}

/* "io_apic" is "io apic" in a line. */
static void append_words(struct report *report, const char *name)
{
    for (; *name != '\0' && report->length < sizeof report->line - 1; name++)
        report->line[report->length++] = *name == '_' ? ' ' : *name;
    report->line[report->length] = '\0';
}

static void end_line(struct report *report)
{
    append_words(report, "\n");
    put(report, report->line);
    report->length = report->key_length;
}

/* One fact that stands alone: "model: QEMU"; `quoted` as JSON has it. A long text is only ever one line. */
static void fact(struct report *report, const char *name, const char *value, bool quoted)
{
    if (report->json) {
        put(report, report->began ? ",\n" : "\n");
        report->began = false;
        put_name(report, name);
        if (quoted)
            put_quoted(report, value);
        else
            put(report, value);
        return;
    }
    report->length = report->key_length = 0;
    append_words(report, name);
    put(report, report->line);
    put(report, ": ");
    put(report, value);
    put(report, "\n");
    report->length = 0;
}

/* A blank line in text: what follows belongs together. */
static void group(struct report *report)
{
    if (!report->json)
        put(report, "\n");
}

static void list_begin(struct report *report, const char *name)
{
    if (!report->json)
        return;
    put(report, report->began ? ",\n" : "\n");
    report->began = false;
    put_name(report, name);
    put(report, "[");
    report->began = false;
}

static void list_end(struct report *report)
{
    if (report->json)
        put(report, "]");
    report->began = true;
}

static void item_begin(struct report *report, const char *name, uint32_t index)
{
    char number[16];

    if (report->json) {
        put(report, report->began ? ",\n  {" : "\n  {");
        report->began = false;
        return;
    }
    report->length = 0;
    append_words(report, name);
    snprintf(number, sizeof number, " %u:", index);
    append_words(report, number);
    report->key_length = report->length;
}

static void item_end(struct report *report)
{
    if (report->json)
        put(report, "}");
    else
        end_line(report);
    report->began = true;
}

static void field(struct report *report, const char *name, const char *value, bool quoted)
{
    if (report->json) {
        put_name(report, name);
        if (quoted)
            put_quoted(report, value);
        else
            put(report, value);
        return;
    }
    if (report->length != report->key_length) {
        if (report->length + strlen(name) + strlen(value) + 3 > COLUMNS)
            end_line(report);
        else
            append_words(report, ",");
    }
    append_words(report, " ");
    append_words(report, name);
    append_words(report, " ");
    append_words(report, value);
}

/* ---- Values --------------------------------------------------------------------------------------- */

static void hex(struct report *report, const char *name, uint64_t value)
{
    char text[VALUE_SIZE];

    snprintf(text, sizeof text, "0x%llx", (unsigned long long)value);
    field(report, name, text, true);
}

static void address(struct report *report, const char *name, uint64_t value)
{
    if (value != 0)
        hex(report, name, value);
}

static void number(struct report *report, const char *name, uint64_t value)
{
    char text[VALUE_SIZE];

    snprintf(text, sizeof text, "%llu", (unsigned long long)value);
    field(report, name, text, false);
}

static void size(struct report *report, const char *name, uint64_t value)
{
    char text[VALUE_SIZE];

    if (report->json) {
        number(report, name, value);
        return;
    }
    format_size(text, sizeof text, value);
    field(report, name, text, false);
}

static void flag(struct report *report, const char *name, bool value)
{
    field(report, name, report->json ? (value ? "true" : "false") : (value ? "yes" : "no"), false);
}

static void word(struct report *report, const char *name, const char *value)
{
    field(report, name, value, true);
}

static void line(struct report *report, const struct machine_line *value)
{
    if (value->line == MACHINE_NO_LINE)
        return;
    number(report, "line", value->line);
    word(report, "trigger", value->trigger == TRIGGER_EDGE ? "edge" : "level");
    word(report, "polarity", value->polarity == POLARITY_LOW ? "low" : "high");
}

static void node(struct report *report, uint32_t value)
{
    if (value != MACHINE_NO_NODE)
        number(report, "node", value);
}

/* "00:1f.2" of bus << 8 | device << 3 | function */
static void function(struct report *report, const char *name, uint16_t value)
{
    char text[VALUE_SIZE];

    snprintf(text, sizeof text, "%02x:%02x.%u", value >> 8, value >> 3 & 31, value & 7);
    field(report, name, text, true);
}

static void register_fields(struct report *report, const struct machine_register *value)
{
    word(report, "space", value->space == ADDRESS_PORT ? "port" : "memory");
    hex(report, "address", value->address);
    number(report, "access", value->access_bytes);
    if (value->bit_offset != 0)
        number(report, "bit_offset", value->bit_offset);
}

/* ---- The machine ------------------------------------------------------------------------------------ */

static void report_model(struct report *report, const struct machine *machine)
{
    if (machine->model[0] != '\0')
        fact(report, "model", machine->model, true);
    fact(report, "described_by",
         machine->has_acpi ? (machine->has_device_tree ? "ACPI and device tree" : "ACPI")
                           : (machine->has_device_tree ? "device tree" : "nothing"),
         true);
    if (machine->command_line[0] != '\0')
        fact(report, "command_line", machine->command_line, true);
}

static void report_isa(struct report *report, uint32_t isa)
{
    static const struct {
        uint32_t bit;
        const char *name;
    } names[] = {{MACHINE_ISA_SSTC, "sstc"},
                 {MACHINE_ISA_SVPBMT, "svpbmt"},
                 {MACHINE_ISA_SSAIA, "ssaia"},
                 {MACHINE_ISA_ZICBOM, "zicbom"},
                 {MACHINE_ISA_SVADU, "svadu"}};
    char text[VALUE_SIZE] = "";
    size_t length = 0;

    for (unsigned i = 0; i < sizeof names / sizeof names[0]; i++)
        if ((isa & names[i].bit) != 0)
            length +=
                (size_t)snprintf(text + length, sizeof text - length, "%s%s", length != 0 ? " " : "", names[i].name);
    if (isa != 0)
        fact(report, "isa", text, true);
}

static void report_cpus(struct report *report, const struct machine *machine)
{
    group(report);
    list_begin(report, "cpus");
    for (uint32_t i = 0; i < machine->cpu_count; i++) {
        const struct machine_cpu *cpu = &machine->cpus[i];
        item_begin(report, "cpu", i);
        hex(report, "id", cpu->hardware_id);
        number(report, "uid", cpu->firmware_id);
        flag(report, "enabled", cpu->enabled);
        node(report, cpu->node);
        address(report, "gic_cpu_interface", cpu->gic_cpu_interface);
        address(report, "gic_redistributor", cpu->gic_redistributor);
        address(report, "external_controller", cpu->external_controller);
        address(report, "imsic", cpu->imsic_base);
        if (cpu->imsic_size != 0)
            size(report, "imsic_size", cpu->imsic_size);
        item_end(report);
    }
    list_end(report);
    report_isa(report, machine->isa);
}

static void report_memory(struct report *report, const struct machine *machine)
{
    static const char *const kinds[MEMORY_KIND_COUNT] = {
        [MEMORY_USABLE] = "usable",     [MEMORY_ACPI_RECLAIM] = "acpi", [MEMORY_INITRD] = "initrd",
        [MEMORY_KERNEL] = "kernel",     [MEMORY_TABLES] = "tables",     [MEMORY_ACPI_NVS] = "nvs",
        [MEMORY_RESERVED] = "reserved", [MEMORY_BAD] = "bad",
    };

    group(report);
    list_begin(report, "memory");
    for (uint32_t i = 0; i < machine->memory_count; i++) {
        const struct memory_range *range = &machine->memory[i];
        item_begin(report, "memory", i);
        hex(report, "base", range->base);
        hex(report, "last", range->base + (range->size - 1));
        size(report, "size", range->size);
        word(report, "kind", (unsigned)range->kind < MEMORY_KIND_COUNT ? kinds[range->kind] : "unknown");
        node(report, range->node);
        item_end(report);
    }
    list_end(report);
    list_begin(report, "memory_nodes");
    for (uint32_t i = 0; i < machine->memory_node_count; i++) {
        item_begin(report, "memory_node", i);
        hex(report, "base", machine->memory_nodes[i].base);
        size(report, "size", machine->memory_nodes[i].size);
        number(report, "node", machine->memory_nodes[i].node);
        item_end(report);
    }
    list_end(report);
    list_begin(report, "initrd");
    if (machine->initrd.size != 0) {
        item_begin(report, "initrd", 0);
        hex(report, "base", machine->initrd.base);
        number(report, "bytes", machine->initrd.size);
        item_end(report);
    }
    list_end(report);
}

static void report_x64(struct report *report, const struct machine *machine)
{
    list_begin(report, "local_apics");
    if (machine->local_apic != 0) {
        item_begin(report, "local_apic", 0);
        hex(report, "base", machine->local_apic);
        flag(report, "pic", machine->has_pic);
        flag(report, "pit", machine->has_pit);
        flag(report, "cmos", machine->has_cmos);
        item_end(report);
    }
    list_end(report);
    list_begin(report, "io_apics");
    for (uint32_t i = 0; i < machine->io_apic_count; i++) {
        item_begin(report, "io_apic", i);
        number(report, "id", machine->io_apics[i].id);
        hex(report, "base", machine->io_apics[i].base);
        number(report, "first_line", machine->io_apics[i].first_line);
        item_end(report);
    }
    list_end(report);
    list_begin(report, "overrides");
    for (uint32_t i = 0; i < machine->override_count; i++) {
        item_begin(report, "override", i);
        number(report, "source", machine->overrides[i].source);
        line(report, &machine->overrides[i].line);
        item_end(report);
    }
    list_end(report);
    list_begin(report, "nmis");
    for (uint32_t i = 0; i < machine->nmi_count; i++) {
        const struct machine_nmi *nmi = &machine->nmis[i];
        item_begin(report, "nmi", i);
        if (nmi->local) {
            number(report, "lint", nmi->lint);
            if (nmi->firmware_id == UINT32_MAX)
                word(report, "cpu_uid", "all");
            else
                number(report, "cpu_uid", nmi->firmware_id);
        } else {
            line(report, &nmi->line);
        }
        item_end(report);
    }
    list_end(report);
}

static void report_gic(struct report *report, const struct machine *machine)
{
    const struct machine_gic *gic = &machine->gic;

    list_begin(report, "gics");
    if (gic->distributor != 0) {
        item_begin(report, "gic", 0);
        number(report, "version", gic->version);
        hex(report, "distributor", gic->distributor);
        address(report, "cpu_interface", gic->cpu_interface);
        address(report, "redistributor_stride", gic->redistributor_stride);
        item_end(report);
    }
    list_end(report);
    list_begin(report, "redistributors");
    for (uint32_t i = 0; i < gic->redistributor_count; i++) {
        item_begin(report, "redistributor", i);
        hex(report, "base", gic->redistributors[i].base);
        size(report, "size", gic->redistributors[i].size);
        item_end(report);
    }
    list_end(report);
    list_begin(report, "v2m_frames");
    for (uint32_t i = 0; i < machine->v2m_count; i++) {
        item_begin(report, "v2m_frame", i);
        number(report, "id", machine->v2m[i].id);
        hex(report, "base", machine->v2m[i].base);
        if (machine->v2m[i].line_count != 0) {
            number(report, "first_line", machine->v2m[i].first_line);
            number(report, "lines", machine->v2m[i].line_count);
        }
        item_end(report);
    }
    list_end(report);
    list_begin(report, "its");
    for (uint32_t i = 0; i < machine->its_count; i++) {
        item_begin(report, "its", i);
        number(report, "id", machine->its[i].id);
        hex(report, "base", machine->its[i].base);
        item_end(report);
    }
    list_end(report);
}

static void report_rv64(struct report *report, const struct machine *machine)
{
    list_begin(report, "plics");
    for (uint32_t i = 0; i < machine->plic_count; i++) {
        const struct machine_plic *plic = &machine->plics[i];
        item_begin(report, "plic", i);
        number(report, "id", plic->id);
        hex(report, "base", plic->base);
        size(report, "size", plic->size);
        number(report, "first_line", plic->first_line);
        number(report, "sources", plic->source_count);
        number(report, "priorities", plic->max_priority);
        number(report, "first_context", plic->first_context);
        number(report, "contexts", plic->context_count);
        item_end(report);
    }
    list_end(report);
    list_begin(report, "aplics");
    for (uint32_t i = 0; i < machine->aplic_count; i++) {
        const struct machine_aplic *aplic = &machine->aplics[i];
        item_begin(report, "aplic", i);
        number(report, "id", aplic->id);
        hex(report, "base", aplic->base);
        size(report, "size", aplic->size);
        number(report, "first_line", aplic->first_line);
        number(report, "sources", aplic->source_count);
        word(report, "mode", aplic->supervisor ? "supervisor" : "machine");
        word(report, "delivery", aplic->messages ? "messages" : "direct");
        number(report, "first_context", aplic->first_context);
        number(report, "contexts", aplic->context_count);
        item_end(report);
    }
    list_end(report);
    list_begin(report, "imsics");
    if (machine->imsic.present) {
        item_begin(report, "imsic", 0);
        number(report, "identities", machine->imsic.id_count);
        number(report, "guest_index_bits", machine->imsic.guest_index_bits);
        number(report, "hart_index_bits", machine->imsic.hart_index_bits);
        number(report, "group_index_bits", machine->imsic.group_index_bits);
        number(report, "group_index_shift", machine->imsic.group_index_shift);
        item_end(report);
    }
    list_end(report);
    list_begin(report, "contexts");
    for (uint32_t i = 0; i < machine->context_count; i++) {
        const struct machine_context *context = &machine->contexts[i];
        item_begin(report, "context", i);
        if (context->cpu != UINT32_MAX)
            number(report, "cpu", context->cpu);
        number(report, "number", context->number);
        word(report, "mode", context->supervisor ? "supervisor" : "machine");
        item_end(report);
    }
    list_end(report);
}

static void timer_line(struct report *report, uint32_t index, const char *name, const struct machine_line *value)
{
    if (value->line == MACHINE_NO_LINE)
        return;
    item_begin(report, "timer", index);
    word(report, "name", name);
    line(report, value);
    item_end(report);
}

static void report_time(struct report *report, const struct machine *machine)
{
    const struct machine_generic_timer *timer = &machine->generic_timer;
    char text[VALUE_SIZE];

    group(report);
    list_begin(report, "pm_timers");
    if (machine->pm_timer.space != ADDRESS_NONE) {
        item_begin(report, "pm_timer", 0);
        register_fields(report, &machine->pm_timer);
        number(report, "bits", machine->pm_timer_32bit ? 32 : 24);
        item_end(report);
    }
    list_end(report);
    list_begin(report, "hpets");
    if (machine->hpet.base != 0) {
        item_begin(report, "hpet", 0);
        hex(report, "base", machine->hpet.base);
        number(report, "number", machine->hpet.number);
        number(report, "minimum_tick", machine->hpet.minimum_tick);
        item_end(report);
    }
    list_end(report);
    list_begin(report, "timers");
    timer_line(report, 0, "secure physical", &timer->secure_physical);
    timer_line(report, 1, "physical", &timer->physical);
    timer_line(report, 2, "virtual", &timer->virtual_);
    timer_line(report, 3, "hypervisor", &timer->hypervisor);
    list_end(report);
    list_begin(report, "counters");
    if (timer->frequency_hz != 0 || timer->counter_control != 0 || timer->watchdog_count != 0) {
        item_begin(report, "counter", 0);
        if (timer->frequency_hz != 0)
            number(report, "hz", timer->frequency_hz);
        address(report, "control", timer->counter_control);
        number(report, "watchdogs", timer->watchdog_count);
        item_end(report);
    }
    list_end(report);
    if (machine->timebase_hz != 0) {
        snprintf(text, sizeof text, "%llu", (unsigned long long)machine->timebase_hz);
        fact(report, "timebase_hz", text, false);
    }
}

static void report_uarts(struct report *report, const struct machine *machine)
{
    static const char *const kinds[] = {
        [UART_NS16550] = "ns16550", [UART_PL011] = "pl011",     [UART_SBI] = "sbi",
        [UART_SIFIVE] = "sifive",   [UART_UNKNOWN] = "unknown",
    };

    list_begin(report, "uarts");
    for (uint32_t i = 0; i < machine->uart_count; i++) {
        const struct machine_uart *uart = &machine->uarts[i];
        item_begin(report, "uart", i);
        word(report, "kind", (unsigned)uart->kind <= UART_UNKNOWN ? kinds[uart->kind] : "unknown");
        if (uart->registers.space != ADDRESS_NONE)
            register_fields(report, &uart->registers);
        if (uart->register_shift != 0)
            number(report, "shift", uart->register_shift);
        if (uart->clock_hz != 0)
            number(report, "clock_hz", uart->clock_hz);
        if (uart->baud != 0)
            number(report, "baud", uart->baud);
        line(report, &uart->line);
        flag(report, "console", uart->console);
        if (uart->pci) {
            number(report, "segment", uart->pci_segment);
            function(report, "function", uart->pci_function);
        }
        item_end(report);
    }
    list_end(report);
    list_begin(report, "virtio_slots");
    for (uint32_t i = 0; i < machine->virtio_slot_count; i++) {
        item_begin(report, "virtio_slot", i);
        hex(report, "base", machine->virtio_slots[i].base);
        size(report, "size", machine->virtio_slots[i].size);
        line(report, &machine->virtio_slots[i].line);
        item_end(report);
    }
    list_end(report);
}

static void report_windows(struct report *report, const struct machine *machine)
{
    static const char *const kinds[] = {
        [PCI_WINDOW_IO] = "io", [PCI_WINDOW_MEMORY32] = "memory32", [PCI_WINDOW_MEMORY64] = "memory64"};
    uint32_t index = 0;

    list_begin(report, "windows");
    for (uint32_t i = 0; i < machine->host_bridge_count; i++)
        for (uint32_t j = 0; j < machine->host_bridges[i].window_count; j++) {
            const struct machine_pci_window *window = &machine->host_bridges[i].windows[j];
            item_begin(report, "window", index++);
            number(report, "bridge", i);
            word(report, "kind", (unsigned)window->kind <= PCI_WINDOW_MEMORY64 ? kinds[window->kind] : "unknown");
            hex(report, "bus", window->bus_address);
            hex(report, "cpu", window->cpu_address);
            size(report, "size", window->size);
            flag(report, "prefetchable", window->prefetchable);
            item_end(report);
        }
    list_end(report);
}

static void report_routes(struct report *report, const struct machine *machine)
{
    uint32_t index = 0;

    list_begin(report, "intx_routes");
    for (uint32_t i = 0; i < machine->host_bridge_count; i++)
        for (uint32_t j = 0; j < machine->host_bridges[i].intx_route_count; j++) {
            const struct machine_intx_route *route = &machine->host_bridges[i].intx_routes[j];
            static const char *const pins[] = {"A", "B", "C", "D"};
            item_begin(report, "intx_route", index++);
            number(report, "bridge", i);
            function(report, "function", route->device);
            word(report, "pin", route->pin >= 1 && route->pin <= 4 ? pins[route->pin - 1] : "none");
            line(report, &route->line);
            item_end(report);
        }
    list_end(report);
}

static void id_maps(struct report *report, const char *name, uint32_t bridge, const struct machine_id_map *maps,
                    uint32_t count, uint32_t *index)
{
    for (uint32_t i = 0; i < count; i++) {
        item_begin(report, name, (*index)++);
        number(report, "bridge", bridge);
        hex(report, "requester", maps[i].input_base);
        number(report, "count", maps[i].length);
        hex(report, "output", maps[i].output_base);
        number(report, "target", maps[i].target);
        item_end(report);
    }
}

static void report_pci(struct report *report, const struct machine *machine)
{
    uint32_t msi = 0, iommu = 0;

    group(report);
    list_begin(report, "host_bridges");
    for (uint32_t i = 0; i < machine->host_bridge_count; i++) {
        const struct machine_host_bridge *bridge = &machine->host_bridges[i];
        item_begin(report, "host_bridge", i);
        number(report, "segment", bridge->segment);
        number(report, "first_bus", bridge->first_bus);
        number(report, "last_bus", bridge->last_bus);
        address(report, "ecam", bridge->ecam);
        flag(report, "firmware_configured", bridge->firmware_configured);
        flag(report, "coherent", bridge->dma_coherent);
        if (bridge->intx_device_mask != 0)
            hex(report, "intx_device_mask", bridge->intx_device_mask);
        item_end(report);
    }
    list_end(report);
    report_windows(report, machine);
    report_routes(report, machine);
    list_begin(report, "msi_maps");
    for (uint32_t i = 0; i < machine->host_bridge_count; i++)
        id_maps(report, "msi_map", i, machine->host_bridges[i].msi_map, machine->host_bridges[i].msi_map_count, &msi);
    list_end(report);
    list_begin(report, "iommu_maps");
    for (uint32_t i = 0; i < machine->host_bridge_count; i++)
        id_maps(report, "iommu_map", i, machine->host_bridges[i].iommu_map, machine->host_bridges[i].iommu_map_count,
                &iommu);
    list_end(report);
}

static void report_iommu(struct report *report, const struct machine_iommu *iommu)
{
    static const char *const kinds[] = {
        [IOMMU_VTD] = "vtd",       [IOMMU_AMD] = "amd",       [IOMMU_SMMUV3] = "smmuv3",
        [IOMMU_SMMUV2] = "smmuv2", [IOMMU_VIRTIO] = "virtio", [IOMMU_RISCV] = "riscv",
    };

    word(report, "kind", (unsigned)iommu->kind <= IOMMU_RISCV ? kinds[iommu->kind] : "unknown");
    address(report, "base", iommu->base);
    if (iommu->size != 0)
        size(report, "size", iommu->size);
    number(report, "id", iommu->id);
    number(report, "segment", iommu->pci_segment);
    if (iommu->pci || iommu->pci_function != 0)
        function(report, "function", iommu->pci_function);
    flag(report, "all_devices", iommu->all_devices);
    flag(report, "coherent", iommu->coherent_walks);
    if (iommu->address_bits != 0)
        number(report, "address_bits", iommu->address_bits);
    if (iommu->event.line != MACHINE_NO_LINE)
        number(report, "event_line", iommu->event.line);
    if (iommu->command.line != MACHINE_NO_LINE)
        number(report, "command_line", iommu->command.line);
    if (iommu->error.line != MACHINE_NO_LINE)
        number(report, "error_line", iommu->error.line);
}

static void report_iommus(struct report *report, const struct machine *machine)
{
    list_begin(report, "iommus");
    for (uint32_t i = 0; i < machine->iommu_count; i++) {
        item_begin(report, "iommu", i);
        report_iommu(report, &machine->iommus[i]);
        item_end(report);
    }
    list_end(report);
    list_begin(report, "iommu_scopes");
    for (uint32_t i = 0; i < machine->iommu_scope_count; i++) {
        const struct machine_iommu_scope *scope = &machine->iommu_scopes[i];
        item_begin(report, "iommu_scope", i);
        number(report, "iommu", scope->iommu);
        number(report, "segment", scope->segment);
        function(report, "first", scope->first);
        function(report, "last", scope->last);
        hex(report, "output", scope->output_base);
        flag(report, "bridge", scope->bridge);
        item_end(report);
    }
    list_end(report);
    list_begin(report, "reserved_regions");
    for (uint32_t i = 0; i < machine->reserved_region_count; i++) {
        const struct machine_reserved_region *region = &machine->reserved_regions[i];
        item_begin(report, "reserved_region", i);
        hex(report, "base", region->base);
        size(report, "size", region->size);
        number(report, "segment", region->segment);
        function(report, "first", region->first);
        function(report, "last", region->last);
        item_end(report);
    }
    list_end(report);
}

static void one_register(struct report *report, uint32_t *index, const char *name, const struct machine_register *value)
{
    if (value->space == ADDRESS_NONE)
        return;
    item_begin(report, "register", (*index)++);
    word(report, "name", name);
    register_fields(report, value);
    item_end(report);
}

static void report_power(struct report *report, const struct machine *machine)
{
    static const char *const conduits[] = {[CONDUIT_NONE] = "none", [CONDUIT_HVC] = "hvc", [CONDUIT_SMC] = "smc"};
    const struct machine_power *power = &machine->power;
    uint32_t index = 0;

    group(report);
    list_begin(report, "power");
    item_begin(report, "power", 0);
    flag(report, "hardware_reduced", power->hardware_reduced);
    word(report, "psci", (unsigned)power->psci <= CONDUIT_SMC ? conduits[power->psci] : "none");
    if (power->reset.space != ADDRESS_NONE)
        hex(report, "reset_value", power->reset_value);
    if (power->sleep_type_a >= 0)
        number(report, "sleep_type_a", (uint64_t)power->sleep_type_a);
    if (power->sleep_type_b >= 0)
        number(report, "sleep_type_b", (uint64_t)power->sleep_type_b);
    address(report, "dsdt", power->dsdt);
    if (power->poweroff_register.space != ADDRESS_NONE)
        hex(report, "poweroff_value", power->poweroff_value);
    if (power->reboot_register.space != ADDRESS_NONE)
        hex(report, "reboot_value", power->reboot_value);
    if (power->sifive_test)
        flag(report, "sifive_test", true);
    item_end(report);
    list_end(report);
    list_begin(report, "registers");
    one_register(report, &index, "reset", &power->reset);
    one_register(report, &index, "sleep control", &power->sleep_control);
    one_register(report, &index, "sleep status", &power->sleep_status);
    one_register(report, &index, "pm1a control", &power->pm1a_control);
    one_register(report, &index, "pm1b control", &power->pm1b_control);
    one_register(report, &index, "poweroff", &power->poweroff_register);
    one_register(report, &index, "reboot", &power->reboot_register);
    one_register(report, &index, "fw_cfg", &machine->fw_cfg);
    list_end(report);
}

static void report_rest(struct report *report, const struct machine *machine)
{
    char text[VALUE_SIZE];

    if (machine->seed_size != 0) {
        snprintf(text, sizeof text, "%u", machine->seed_size);
        fact(report, "seed_bytes", text, false);
    }
    if (machine->complaints != 0) {
        snprintf(text, sizeof text, "%u", machine->complaints);
        fact(report, "complaints", text, false);
    }
}

static void report_all(struct report *report, const struct machine *machine)
{
    report_model(report, machine);
    report_cpus(report, machine);
    report_memory(report, machine);
    group(report);
    report_x64(report, machine);
    report_gic(report, machine);
    report_rv64(report, machine);
    report_time(report, machine);
    report_uarts(report, machine);
    report_pci(report, machine);
    report_iommus(report, machine);
    report_power(report, machine);
    report_rest(report, machine);
}

void machine_report(const struct machine *machine, struct printer *printer)
{
    struct report report = {.out = printer};

    report_all(&report, machine);
}

void machine_report_json(const struct machine *machine, struct printer *printer)
{
    struct report report = {.out = printer, .json = true};

    put(&report, "{");
    report_all(&report, machine);
    put(&report, "\n}\n");
}
