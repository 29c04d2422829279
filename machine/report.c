/*
 * report.c: the machine for people and for programs.
 *
 * The facts are walked once, in one place, and either become lines ("io apic 0: id 0, base 0xfec00000") or
 * JSON ("io_apics": [{"id": 0, "base": "0xfec00000"}]), so that the two cannot differ. Names are those of JSON;
 * lines show their underscores as spaces. A line that would pass column 79 continues on a second one with the
 * same key. What the machine does not say is in neither. Addresses are hexadecimal, in JSON as strings. The file is
 * long because the tables that say how each struct is shown stand in one place.
 */
#include <machine/readers.h>
#include <lib/string.h>

enum { COLUMNS = 79, VALUE_SIZE = 72 };

struct report {
    struct printer *out;
    bool json;
    bool blank;                /* text: a blank line is due */
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

/* A blank line in text, before whatever comes next: it belongs together. */
static void group(struct report *report)
{
    report->blank = !report->json;
}

static void separate(struct report *report)
{
    if (report->blank)
        put(report, "\n");
    report->blank = false;
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
    separate(report);
    report->length = report->key_length = 0;
    append_words(report, name);
    put(report, report->line);
    put(report, ": ");
    put(report, value);
    put(report, "\n");
    report->length = 0;
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
    separate(report);
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

/* How a member of a struct is shown. */
enum form {
    HEX,        /* always */
    ADDRESS,    /* hexadecimal; 0 is not said */
    NUMBER,     /* always */
    COUNT,      /* a number; 0 is not said */
    IDENTIFIER, /* a number; all ones is not said */
    SIZE,       /* bytes; 0 is not said */
    FLAG,       /* bool */
    MARK,       /* bool; false is not said */
    WORD,       /* an enum, or bool, by its names */
    LINE,       /* struct machine_line: line, trigger, polarity */
    ONLY_LINE,  /* its number alone, where trigger and polarity are the device's own */
    FUNCTION,   /* bus << 8 | device << 3 | function */
    DEVICE,     /* the same; 00:00.0, a host bridge, is not said */
    REGISTER,   /* struct machine_register; not said when it has no space */
    LETTER,     /* 1: A */
};

struct column {
    const char *name;
    const char *const *words; /* of WORD, ended by NULL */
    uint16_t offset;
    uint8_t width, form;
};

#define COLUMN(form, name, type, member)                                                                               \
    {                                                                                                                  \
        name, NULL, offsetof(type, member), sizeof(((type *)0)->member), form                                          \
    }
#define WORDS(words, name, type, member)                                                                               \
    {                                                                                                                  \
        name, words, offsetof(type, member), sizeof(((type *)0)->member), WORD                                         \
    }

static void hex(struct report *report, const char *name, uint64_t value)
{
    char text[VALUE_SIZE];

    snprintf(text, sizeof text, "0x%llx", (unsigned long long)value);
    field(report, name, text, true);
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

static void line(struct report *report, const struct machine_line *value)
{
    if (value->line == MACHINE_NO_LINE)
        return;
    number(report, "line", value->line);
    field(report, "trigger", value->trigger == TRIGGER_EDGE ? "edge" : "level", true);
    field(report, "polarity", value->polarity == POLARITY_LOW ? "low" : "high", true);
}

static void function(struct report *report, const char *name, uint64_t value)
{
    char text[VALUE_SIZE];

    snprintf(text, sizeof text, "%02x:%02x.%u", (unsigned)(value >> 8 & 0xff), (unsigned)(value >> 3 & 31),
             (unsigned)(value & 7));
    field(report, name, text, true);
}

static void word(struct report *report, const char *name, const char *const *words, uint64_t value)
{
    while (value-- > 0 && *words != NULL)
        words++;
    field(report, name, *words != NULL ? *words : "unknown", true);
}

static void register_fields(struct report *report, const struct machine_register *value)
{
    if (value->space == ADDRESS_NONE)
        return;
    field(report, "space", value->space == ADDRESS_PORT ? "port" : "memory", true);
    hex(report, "address", value->address);
    number(report, "access", value->access_bytes);
    if (value->bit_offset != 0)
        number(report, "bit_offset", value->bit_offset);
}

static uint64_t value_of(const void *member, unsigned width)
{
    switch (width) {
    case 1:
        return *(const uint8_t *)member;
    case 2:
        return *(const uint16_t *)member;
    case 4:
        return *(const uint32_t *)member;
    default:
        return *(const uint64_t *)member;
    }
}

/* A value that stands for "not said". */
static bool unsaid(enum form form, uint64_t value)
{
    switch (form) {
    case ADDRESS:
    case COUNT:
    case SIZE:
    case MARK:
    case DEVICE:
        return value == 0;
    case IDENTIFIER:
    case ONLY_LINE:
        return value == UINT32_MAX;
    default:
        return false;
    }
}

static void show_value(struct report *report, const struct column *column, uint64_t value)
{
    const char letter[2] = {(char)('A' + (value - 1) % 26), '\0'};

    switch ((enum form)column->form) {
    case HEX:
    case ADDRESS:
        hex(report, column->name, value);
        break;
    case SIZE:
        size(report, column->name, value);
        break;
    case FLAG:
    case MARK:
        flag(report, column->name, value != 0);
        break;
    case WORD:
        word(report, column->name, column->words, value);
        break;
    case FUNCTION:
    case DEVICE:
        function(report, column->name, value);
        break;
    case LETTER:
        field(report, column->name, letter, true);
        break;
    default:
        number(report, column->name, value);
    }
}

static void show(struct report *report, const struct column *column, const void *item)
{
    const void *member = (const uint8_t *)item + column->offset;
    enum form form = (enum form)column->form;

    if (form == LINE) {
        line(report, member);
    } else if (form == REGISTER) {
        register_fields(report, member);
    } else {
        uint64_t value =
            form == ONLY_LINE ? ((const struct machine_line *)member)->line : value_of(member, column->width);
        if (!unsaid(form, value))
            show_value(report, column, value);
    }
}

/* ---- Lists ------------------------------------------------------------------------------------------ */

/* An array of structs, or one struct that is there when the member at `count` is not 0. */
struct list {
    const char *name, *item; /* "cpus", "cpu" */
    const struct column *columns;
    uint32_t array, count; /* offsets in what holds them */
    uint16_t stride;       /* bytes; 0: one struct */
    uint8_t column_count, count_width;
};

#define LIST(name, item, columns, type, array, count)                                                                  \
    {                                                                                                                  \
        name, item, columns, offsetof(type, array), offsetof(type, count), sizeof(((type *)0)->array[0]),              \
            sizeof(columns) / sizeof((columns)[0]), sizeof(((type *)0)->count)                                         \
    }
#define ONE(name, columns, present)                                                                                    \
    {                                                                                                                  \
        name "s", name, columns, 0, offsetof(struct machine, present), 0, sizeof(columns) / sizeof((columns)[0]),      \
            sizeof(((struct machine *)0)->present)                                                                     \
    }

/* The items of one holder; *index counts on over several. `bridge`: which host bridge holds them. */
static void items(struct report *report, const struct list *list, const void *holder, uint32_t *index,
                  const uint32_t *bridge)
{
    const uint8_t *base = holder;
    uint64_t count = value_of(base + list->count, list->count_width);

    if (list->stride == 0 && count > 1)
        count = 1;
    for (uint64_t i = 0; i < count; i++) {
        item_begin(report, list->item, (*index)++);
        if (bridge != NULL)
            number(report, "bridge", *bridge);
        for (unsigned j = 0; j < list->column_count; j++)
            show(report, &list->columns[j], base + list->array + i * list->stride);
        item_end(report);
    }
}

static void show_list(struct report *report, const struct list *list, const struct machine *machine)
{
    uint32_t index = 0;

    list_begin(report, list->name);
    items(report, list, machine, &index, NULL);
    list_end(report);
}

static void show_bridge_list(struct report *report, const struct list *list, const struct machine *machine)
{
    uint32_t index = 0;

    list_begin(report, list->name);
    for (uint32_t i = 0; i < machine->host_bridge_count; i++)
        items(report, list, &machine->host_bridges[i], &index, &i);
    list_end(report);
}

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

#define MACHINE_LIST(name, item, columns, array, count) LIST(name, item, columns, struct machine, array, count)
#define BRIDGE_LIST(name, item, columns, array, count)                                                                 \
    LIST(name, item, columns, struct machine_host_bridge, array, count)

static const struct list memory_lists[] = {
    MACHINE_LIST("memory", "memory", memory_columns, memory, memory_count),
    MACHINE_LIST("memory_nodes", "memory_node", memory_node_columns, memory_nodes, memory_node_count),
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
    MACHINE_LIST("contexts", "context", context_columns, contexts, context_count),
};
static const struct list time_lists[] = {
    ONE("pm_timer", pm_timer_columns, pm_timer.address),
    ONE("hpet", hpet_columns, hpet.base),
};
static const struct list device_lists[] = {
    MACHINE_LIST("uarts", "uart", uart_columns, uarts, uart_count),
    MACHINE_LIST("virtio_slots", "virtio_slot", slot_columns, virtio_slots, virtio_slot_count),
    MACHINE_LIST("host_bridges", "host_bridge", bridge_columns, host_bridges, host_bridge_count),
};
static const struct list bridge_lists[] = {
    BRIDGE_LIST("windows", "window", window_columns, windows, window_count),
    BRIDGE_LIST("intx_routes", "intx_route", route_columns, intx_routes, intx_route_count),
    BRIDGE_LIST("msi_maps", "msi_map", id_map_columns, msi_map, msi_map_count),
    BRIDGE_LIST("iommu_maps", "iommu_map", id_map_columns, iommu_map, iommu_map_count),
};
static const struct list iommu_lists[] = {
    MACHINE_LIST("iommus", "iommu", iommu_columns, iommus, iommu_count),
    MACHINE_LIST("iommu_scopes", "iommu_scope", scope_columns, iommu_scopes, iommu_scope_count),
    MACHINE_LIST("reserved_regions", "reserved_region", reserved_columns, reserved_regions, reserved_region_count),
};
static const struct list cpu_list = MACHINE_LIST("cpus", "cpu", cpu_columns, cpus, cpu_count);

static void show_lists(struct report *report, const struct list lists[], size_t count, const struct machine *machine)
{
    for (size_t i = 0; i < count; i++)
        show_list(report, &lists[i], machine);
}

#define SHOW(lists) show_lists(report, lists, sizeof(lists) / sizeof((lists)[0]), machine)

/* ---- What is no array ---------------------------------------------------------------------------------- */

static void numeric_fact(struct report *report, const char *name, uint64_t value)
{
    char text[VALUE_SIZE];

    snprintf(text, sizeof text, "%llu", (unsigned long long)value);
    if (value != 0)
        fact(report, name, text, false);
}

static void report_model(struct report *report, const struct machine *machine)
{
    static const char *const sources[] = {"nothing", "ACPI", "device tree", "ACPI and device tree"};

    if (machine->model[0] != '\0')
        fact(report, "model", machine->model, true);
    fact(report, "described_by", sources[machine->has_acpi + 2 * machine->has_device_tree], true);
    if (machine->command_line[0] != '\0')
        fact(report, "command_line", machine->command_line, true);
    numeric_fact(report, "seed_bytes", machine->seed_size);
    numeric_fact(report, "complaints", machine->complaints);
}

static void report_isa(struct report *report, uint32_t isa)
{
    static const char *const names[] = {"sstc", "svpbmt", "ssaia", "zicbom", "svadu"}; /* by MACHINE_ISA_ bit */
    char text[VALUE_SIZE] = "";
    size_t length = 0;

    for (unsigned i = 0; i < sizeof names / sizeof names[0]; i++)
        if ((isa >> i & 1) != 0)
            length += (size_t)snprintf(text + length, sizeof text - length, "%s%s", length != 0 ? " " : "", names[i]);
    if (isa != 0)
        fact(report, "isa", text, true);
}

static void timer_line(struct report *report, uint32_t index, const char *name, const struct machine_line *value)
{
    if (value->line == MACHINE_NO_LINE)
        return;
    item_begin(report, "timer", index);
    field(report, "name", name, true);
    line(report, value);
    item_end(report);
}

static void report_generic_timer(struct report *report, const struct machine *machine)
{
    const struct machine_generic_timer *timer = &machine->generic_timer;

    list_begin(report, "timers");
    timer_line(report, 0, "secure physical", &timer->secure_physical);
    timer_line(report, 1, "physical", &timer->physical);
    timer_line(report, 2, "virtual", &timer->virtual_);
    timer_line(report, 3, "hypervisor", &timer->hypervisor);
    list_end(report);
    numeric_fact(report, "timer_hz", timer->frequency_hz);
    numeric_fact(report, "timer_watchdogs", timer->watchdog_count);
    numeric_fact(report, "timebase_hz", machine->timebase_hz);
}

static void one_register(struct report *report, uint32_t *index, const char *name, const struct machine_register *value,
                         uint64_t what)
{
    if (value->space == ADDRESS_NONE)
        return;
    item_begin(report, "register", (*index)++);
    field(report, "name", name, true);
    register_fields(report, value);
    if (what != 0)
        hex(report, "value", what);
    item_end(report);
}

static void report_power(struct report *report, const struct machine *machine)
{
    const struct machine_power *power = &machine->power;
    uint32_t index = 0;

    list_begin(report, "power");
    item_begin(report, "power", 0);
    flag(report, "hardware_reduced", power->hardware_reduced);
    word(report, "psci", conduits, power->psci);
    if (power->sleep_type_a >= 0)
        number(report, "sleep_type_a", (uint64_t)power->sleep_type_a);
    if (power->sleep_type_b >= 0)
        number(report, "sleep_type_b", (uint64_t)power->sleep_type_b);
    if (power->dsdt != 0)
        hex(report, "dsdt", power->dsdt);
    if (power->sifive_test)
        flag(report, "sifive_test", true);
    item_end(report);
    list_end(report);
    list_begin(report, "registers");
    one_register(report, &index, "reset", &power->reset, power->reset_value);
    one_register(report, &index, "sleep control", &power->sleep_control, 0);
    one_register(report, &index, "sleep status", &power->sleep_status, 0);
    one_register(report, &index, "pm1a control", &power->pm1a_control, 0);
    one_register(report, &index, "pm1b control", &power->pm1b_control, 0);
    one_register(report, &index, "poweroff", &power->poweroff_register, power->poweroff_value);
    one_register(report, &index, "reboot", &power->reboot_register, power->reboot_value);
    one_register(report, &index, "fw_cfg", &machine->fw_cfg, 0);
    list_end(report);
}

static void report_all(struct report *report, const struct machine *machine)
{
    report_model(report, machine);
    group(report);
    show_list(report, &cpu_list, machine);
    report_isa(report, machine->isa);
    group(report);
    SHOW(memory_lists);
    group(report);
    SHOW(interrupt_lists);
    group(report);
    SHOW(time_lists);
    report_generic_timer(report, machine);
    group(report);
    SHOW(device_lists);
    for (unsigned i = 0; i < sizeof bridge_lists / sizeof bridge_lists[0]; i++)
        show_bridge_list(report, &bridge_lists[i], machine);
    SHOW(iommu_lists);
    group(report);
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

    put(&report, "{");
    report_all(&report, machine);
    put(&report, "\n}\n");
}
