/*
 * acpi_misc.c: time (HPET, GTDT, RHCT), serial ports (SPCR, DBG2) and proximity (SRAT).
 */
#include <machine/add.h>
#include "acpi_table.h"
#include <lib/string.h>

#define WHO "acpi"

/* ---- HPET [IA-PC HPET 1.0a §3.2.4] ---------------------------------------------------------------- */

enum { HPET_BASE = 40, HPET_NUMBER = 52, HPET_MINIMUM_TICK = 53, HPET_ALIGNMENT = 1024 };

void acpi_read_hpet(struct machine *machine, struct acpi_view table)
{
    /* The address is a Generic Address Structure, but its width is often left 0: only space and address count. */
    uint64_t base = acpi_u64(table, HPET_BASE + 4);

    if (acpi_u8(table, HPET_BASE) != 0 || base == 0 || base % HPET_ALIGNMENT != 0) {
        machine_warn(machine, WHO, "HPET at 0x%llx of address space %u is impossible; it is not used",
                     (unsigned long long)base, acpi_u8(table, HPET_BASE));
        return;
    }
    if (machine->hpet.base == 0)
        machine->hpet = (struct machine_hpet){
            .base = base, .number = acpi_u8(table, HPET_NUMBER), .minimum_tick = acpi_u16(table, HPET_MINIMUM_TICK)};
}

/* ---- SPCR and DBG2 [Serial Port Console Redirection Table 1.10, Debug Port Table 2 (2023)] --------- */

enum {
    SPCR_INTERFACE = 36,
    SPCR_BASE = 40,
    SPCR_INTERRUPT_TYPE = 52, /* bit 0: 8259, 1: I/O APIC, 3: GIC, 4: PLIC or APLIC */
    SPCR_IRQ = 53,
    SPCR_LINE = 54,
    SPCR_BAUD = 58,
    SPCR_PCI_DEVICE = 64,
    SPCR_PCI_VENDOR = 66,
    SPCR_PCI_BUS = 68,
    SPCR_PCI_SLOT = 69,
    SPCR_PCI_FUNCTION = 70,
    SPCR_PCI_SEGMENT = 75,
    SPCR_CLOCK = 76,
    SPCR_PRECISE_BAUD = 80,
    SPCR_NO_PCI = 0xffff,
    SLOWEST_BAUD = 300,
    FASTEST_BAUD = 12000000,
    INTERRUPT_8259 = 1 << 0,
    INTERRUPT_LINE = 1 << 1 | 1 << 3 | 1 << 4,
};

enum {
    DBG2_OFFSET = 36,
    DBG2_COUNT = 40,
    DEVICE_LENGTH = 1,
    DEVICE_REGISTERS = 3, /* how many */
    DEVICE_PORT = 12,
    DEVICE_SUBTYPE = 14,
    DEVICE_BASE_OFFSET = 18,
    DEVICE_SIZE = 22,
    PORT_SERIAL = 0x8000,
};

/* What SPCR's interface types and DBG2's serial subtypes mean alike. */
static enum uart_kind uart_kind_of(uint32_t interface)
{
    switch (interface) {
    case 0x00: /* 16550 */
    case 0x01: /* 16550 subset, DBGP */
    case 0x12: /* 16550 with the parameters of its Generic Address Structure */
        return UART_NS16550;
    case 0x03: /* PL011 */
    case 0x0d: /* SBSA generic UART, 32-bit accesses only */
    case 0x0e: /* SBSA generic UART */
        return UART_PL011;
    case 0x15: /* RISC-V SBI debug console */
        return UART_SBI;
    default:
        return UART_UNKNOWN;
    }
}

/* The log2 of the distance between a 16550's registers: as close as the size of an access allows. The width is no
 * guide: QEMU says 32 bits on rv64 of registers that are bytes side by side, X-Gene 8 of some that are words. Where the
 * size of an access is not said acpi_register takes it from the width. */
static uint8_t register_shift(unsigned access_bytes)
{
    return access_bytes >= 8 ? 3 : access_bytes >= 4 ? 2 : access_bytes >= 2 ? 1 : 0;
}

/* `pci`: a function is named too; then the address may be left to it. */
static struct machine_uart *add_uart(struct machine *machine, const char *table, uint32_t interface,
                                     struct acpi_view view, uint32_t gas, bool pci)
{
    enum uart_kind kind = uart_kind_of(interface);
    struct machine_register registers = {.space = ADDRESS_NONE};
    unsigned bits = 8;

    if (kind == UART_UNKNOWN) {
        machine_warn(machine, WHO, "%s names a serial port of type 0x%x, which is unknown; it is ignored", table,
                     interface);
        return NULL;
    }
    if (kind != UART_SBI && !acpi_register(view, gas, &registers, &bits) && !pci) {
        machine_warn(machine, WHO, "%s names a serial port without a usable address; it is ignored", table);
        return NULL;
    }
    struct machine_uart *uart = machine_add_uart(machine, registers.space, registers.address);
    if (uart == NULL)
        return NULL;
    if (uart->kind == UART_UNKNOWN) {
        uart->kind = kind;
        uart->registers = registers;
        if (kind == UART_NS16550)
            uart->register_shift = register_shift(registers.access_bytes);
    }
    return uart;
}

static uint32_t spcr_baud(struct acpi_view table)
{
    uint32_t precise = acpi_u32(table, SPCR_PRECISE_BAUD);

    if (precise >= SLOWEST_BAUD && precise <= FASTEST_BAUD)
        return precise;
    switch (acpi_u8(table, SPCR_BAUD)) {
    case 3:
        return 9600;
    case 4:
        return 19200;
    case 6:
        return 57600;
    case 7:
        return 115200;
    default:
        return 0; /* as firmware set it, or nonsense */
    }
}

static struct machine_line spcr_line(struct acpi_view table)
{
    uint8_t type = acpi_u8(table, SPCR_INTERRUPT_TYPE);

    if ((type & INTERRUPT_LINE) != 0) {
        uint32_t line = acpi_u32(table, SPCR_LINE);
        bool isa = (type & INTERRUPT_8259) != 0 && line < 16;
        return (struct machine_line){
            .line = line, .trigger = isa ? TRIGGER_EDGE : TRIGGER_LEVEL, .polarity = POLARITY_HIGH};
    }
    if ((type & INTERRUPT_8259) != 0 && acpi_u8(table, SPCR_IRQ) < 16)
        return (struct machine_line){
            .line = acpi_u8(table, SPCR_IRQ), .trigger = TRIGGER_EDGE, .polarity = POLARITY_HIGH};
    return MACHINE_LINE_NONE;
}

void acpi_read_spcr(struct machine *machine, struct acpi_view table)
{
    uint8_t slot = acpi_u8(table, SPCR_PCI_SLOT), function = acpi_u8(table, SPCR_PCI_FUNCTION);
    uint16_t vendor = acpi_u16(table, SPCR_PCI_VENDOR), device = acpi_u16(table, SPCR_PCI_DEVICE);
    /* All ones say that there is none; some tables leave zeros instead. */
    bool pci =
        vendor != SPCR_NO_PCI && device != SPCR_NO_PCI && (vendor != 0 || device != 0) && slot < 32 && function < 8;
    struct machine_uart *uart = add_uart(machine, "SPCR", acpi_u8(table, SPCR_INTERFACE), table, SPCR_BASE, pci);

    if (uart == NULL)
        return;
    for (uint32_t i = 0; i < machine->uart_count; i++)
        machine->uarts[i].console = false;
    uart->console = true;
    uart->baud = spcr_baud(table);
    uart->clock_hz = acpi_u32(table, SPCR_CLOCK);
    if (uart->line.line == MACHINE_NO_LINE)
        uart->line = spcr_line(table);
    /* The address counts, where there is one; the function too, once PCI has been looked at (pci_uart.c). */
    if (pci) {
        uart->pci = true;
        uart->pci_segment = acpi_u8(table, SPCR_PCI_SEGMENT);
        uart->pci_function = (uint16_t)(acpi_u8(table, SPCR_PCI_BUS) << 8 | slot << 3 | function);
    }
}

void acpi_read_dbg2(struct machine *machine, struct acpi_view table)
{
    struct acpi_entries walk = {.machine = machine,
                                .table = "DBG2",
                                .view = table,
                                .offset = acpi_u32(table, DBG2_OFFSET),
                                .limit = acpi_u32(table, DBG2_COUNT),
                                .length_at = DEVICE_LENGTH,
                                .length_width = 2,
                                .minimum = DEVICE_SIZE};
    struct acpi_view device;

    if (walk.offset < ACPI_HEADER_SIZE)
        return;
    while (acpi_next(&walk, &device))
        if (acpi_u16(device, DEVICE_PORT) == PORT_SERIAL && acpi_u8(device, DEVICE_REGISTERS) != 0)
            add_uart(machine, "DBG2", acpi_u16(device, DEVICE_SUBTYPE), device, acpi_u16(device, DEVICE_BASE_OFFSET),
                     false);
}

/* ---- GTDT [ACPI 6.5 §5.2.25] ------------------------------------------------------------------------ */

enum {
    GTDT_COUNTER_CONTROL = 36,
    GTDT_SECURE_PHYSICAL = 48, /* GSIV, then flags; so each of the four */
    GTDT_PHYSICAL = 56,
    GTDT_VIRTUAL = 64,
    GTDT_HYPERVISOR = 72,
    GTDT_PLATFORM_COUNT = 88,
    GTDT_PLATFORM_OFFSET = 92,
    GTDT_EDGE = 1 << 0,
    GTDT_LOW = 1 << 1,
    GTDT_FIRST_LINE = 16, /* below are SGIs, above what a GIC has lines for */
    GTDT_LAST_LINE = 1019,
    PLATFORM_LENGTH = 1,
    PLATFORM_HEADER = 4,
    PLATFORM_WATCHDOG = 1,
};
#define GTDT_NO_COUNTER_CONTROL UINT64_MAX

static struct machine_line gtdt_line(struct machine *machine, struct acpi_view table, uint32_t offset,
                                     const char *which)
{
    uint32_t line = acpi_u32(table, offset), flags = acpi_u32(table, offset + 4);

    if (line >= GTDT_FIRST_LINE && line <= GTDT_LAST_LINE)
        return (struct machine_line){.line = line,
                                     .trigger = (flags & GTDT_EDGE) != 0 ? TRIGGER_EDGE : TRIGGER_LEVEL,
                                     .polarity = (flags & GTDT_LOW) != 0 ? POLARITY_LOW : POLARITY_HIGH};
    if (line != 0)
        machine_warn(machine, WHO, "GTDT gives the %s timer line %u, which is impossible; it is ignored", which, line);
    return MACHINE_LINE_NONE;
}

void acpi_read_gtdt(struct machine *machine, struct acpi_view table)
{
    struct machine_generic_timer *timer = &machine->generic_timer;
    struct acpi_entries walk = {.machine = machine,
                                .table = "GTDT",
                                .view = table,
                                .offset = acpi_u32(table, GTDT_PLATFORM_OFFSET),
                                .limit = acpi_u32(table, GTDT_PLATFORM_COUNT),
                                .length_at = PLATFORM_LENGTH,
                                .length_width = 2,
                                .minimum = PLATFORM_HEADER};
    struct acpi_view platform;

    timer->secure_physical = gtdt_line(machine, table, GTDT_SECURE_PHYSICAL, "secure physical");
    timer->physical = gtdt_line(machine, table, GTDT_PHYSICAL, "physical");
    timer->virtual_ = gtdt_line(machine, table, GTDT_VIRTUAL, "virtual");
    timer->hypervisor = gtdt_line(machine, table, GTDT_HYPERVISOR, "hypervisor");
    uint64_t control = acpi_u64(table, GTDT_COUNTER_CONTROL);
    timer->counter_control = control == GTDT_NO_COUNTER_CONTROL ? 0 : control;
    if (walk.limit != 0 && (walk.offset < GTDT_HYPERVISOR + 8 || walk.offset >= table.length)) {
        machine_malformed(machine, WHO,
                          "GTDT places its platform timers at 0x%x, outside of the table; they are ignored",
                          walk.offset);
        return;
    }
    while (acpi_next(&walk, &platform))
        if (acpi_u8(platform, 0) == PLATFORM_WATCHDOG && timer->watchdog_count < UINT8_MAX)
            timer->watchdog_count++;
}

/* ---- RHCT [ACPI 6.5 §5.2.36] ------------------------------------------------------------------------- */

enum {
    RHCT_TIMEBASE = 40,
    RHCT_NODE_COUNT = 48,
    RHCT_NODE_OFFSET = 52,
    NODE_TYPE = 0,
    NODE_LENGTH = 2,
    NODE_HEADER = 6,
    NODE_ISA = 0,
    ISA_STRING_LENGTH = 6,
    ISA_STRING = 8,
};

/* Extensions stand behind underscores: "rv64imafdch_zicbom_sstc". */
static uint32_t isa_bits(struct acpi_view text)
{
    static const struct {
        const char *name;
        uint32_t bit;
    } extensions[] = {{"sstc", MACHINE_ISA_SSTC},
                      {"svpbmt", MACHINE_ISA_SVPBMT},
                      {"ssaia", MACHINE_ISA_SSAIA},
                      {"zicbom", MACHINE_ISA_ZICBOM},
                      {"svadu", MACHINE_ISA_SVADU}};
    uint32_t bits = 0;

    for (uint32_t at = 0; at < text.length && text.bytes[at] != '\0';) {
        uint32_t end = at;
        while (end < text.length && text.bytes[end] != '_' && text.bytes[end] != '\0')
            end++;
        for (unsigned i = 0; i < sizeof extensions / sizeof extensions[0]; i++)
            if (strlen(extensions[i].name) == end - at && memcmp(extensions[i].name, text.bytes + at, end - at) == 0)
                bits |= extensions[i].bit;
        at = end < text.length && text.bytes[end] == '_' ? end + 1 : text.length;
    }
    return bits;
}

void acpi_read_rhct(struct machine *machine, struct acpi_view table)
{
    struct acpi_entries walk = {.machine = machine,
                                .table = "RHCT",
                                .view = table,
                                .offset = acpi_u32(table, RHCT_NODE_OFFSET),
                                .limit = acpi_u32(table, RHCT_NODE_COUNT),
                                .length_at = NODE_LENGTH,
                                .length_width = 2,
                                .minimum = NODE_HEADER};
    struct acpi_view node;
    uint32_t common = UINT32_MAX; /* harts may share one string or have several: what all have is what counts */

    if (acpi_u64(table, RHCT_TIMEBASE) != 0)
        machine->timebase_hz = acpi_u64(table, RHCT_TIMEBASE);
    else
        machine_warn(machine, WHO, "RHCT gives a timebase of 0 Hz; it is ignored");
    if (walk.offset < RHCT_NODE_OFFSET + 4)
        return;
    while (acpi_next(&walk, &node))
        if (acpi_u16(node, NODE_TYPE) == NODE_ISA)
            common &= isa_bits(acpi_part(node, ISA_STRING, acpi_u16(node, ISA_STRING_LENGTH)));
    if (common != UINT32_MAX)
        machine->isa = common;
}

/* ---- SRAT [ACPI 6.5 §5.2.16] --------------------------------------------------------------------------- */

enum {
    SRAT_ENTRIES = 48,
    AFFINITY_TYPE = 0,
    AFFINITY_LENGTH = 1,
    AFFINITY_HEADER = 2,
    AFFINITY_ENABLED = 1 << 0,
    AFFINITY_APIC = 0,
    APIC_DOMAIN_LOW = 2,
    APIC_ID = 3,
    APIC_FLAGS = 4,
    APIC_DOMAIN_HIGH = 9, /* 24 bits */
    APIC_SIZE = 16,
    AFFINITY_MEMORY = 1,
    MEMORY_DOMAIN = 2,
    MEMORY_BASE = 8,
    MEMORY_LENGTH = 16,
    MEMORY_FLAGS = 28,
    MEMORY_SIZE = 40,
    AFFINITY_X2APIC = 2,
    X2APIC_DOMAIN = 4,
    X2APIC_ID = 8,
    X2APIC_FLAGS = 12,
    X2APIC_SIZE = 24,
    AFFINITY_GICC = 3, /* and RINTC, type 7: the same but for two reserved bytes in front */
    GICC_DOMAIN = 2,
    GICC_UID = 6,
    GICC_FLAGS = 10,
    GICC_SIZE = 18,
    AFFINITY_RINTC = 7,
    RINTC_SHIFT = 2,
};

/* SRAT comes after the MADT; it names CPUs, it does not make any. */
static void set_cpu_node(struct machine *machine, uint64_t hardware_id, uint32_t node)
{
    for (uint32_t i = 0; i < machine->cpu_count; i++)
        if (machine->cpus[i].hardware_id == hardware_id)
            machine->cpus[i].node = node;
}

static void read_memory_affinity(struct machine *machine, struct acpi_view entry, uint32_t domain)
{
    uint64_t base = acpi_u64(entry, MEMORY_BASE), size = acpi_u64(entry, MEMORY_LENGTH);

    if ((acpi_u32(entry, MEMORY_FLAGS) & AFFINITY_ENABLED) == 0)
        return;
    if (machine_range_valid(base, size))
        machine_add_memory_node(machine, base, size, domain);
    else
        machine_warn(machine, WHO,
                     "SRAT places 0x%llx bytes at 0x%llx in domain %u, which is impossible; it is ignored",
                     (unsigned long long)size, (unsigned long long)base, domain);
}

static void read_affinity(struct machine *machine, const struct acpi_entries *walk, struct acpi_view entry, bool wide)
{
    uint8_t type = acpi_u8(entry, AFFINITY_TYPE);
    uint32_t shift = type == AFFINITY_RINTC ? RINTC_SHIFT : 0;

    switch (type) {
    case AFFINITY_APIC:
        if (!acpi_too_short(walk, entry, "local APIC", APIC_SIZE) && (acpi_u32(entry, APIC_FLAGS) & AFFINITY_ENABLED))
            set_cpu_node(machine, acpi_u8(entry, APIC_ID),
                         acpi_u8(entry, APIC_DOMAIN_LOW) |
                             (wide ? (uint32_t)acpi_get(entry, APIC_DOMAIN_HIGH, 3) << 8 : 0));
        break;
    case AFFINITY_MEMORY:
        if (!acpi_too_short(walk, entry, "memory", MEMORY_SIZE))
            read_memory_affinity(machine, entry, wide ? acpi_u32(entry, MEMORY_DOMAIN) : acpi_u8(entry, MEMORY_DOMAIN));
        break;
    case AFFINITY_X2APIC:
        if (!acpi_too_short(walk, entry, "x2APIC", X2APIC_SIZE) && (acpi_u32(entry, X2APIC_FLAGS) & AFFINITY_ENABLED))
            set_cpu_node(machine, acpi_u32(entry, X2APIC_ID), acpi_u32(entry, X2APIC_DOMAIN));
        break;
    case AFFINITY_GICC:
    case AFFINITY_RINTC:
        if (!acpi_too_short(walk, entry, "GICC or RINTC", GICC_SIZE + shift) &&
            (acpi_u32(entry, GICC_FLAGS + shift) & AFFINITY_ENABLED)) {
            struct machine_cpu *cpu = machine_find_cpu(machine, acpi_u32(entry, GICC_UID + shift));
            if (cpu != NULL)
                cpu->node = acpi_u32(entry, GICC_DOMAIN + shift);
        }
        break;
    }
}

void acpi_read_srat(struct machine *machine, struct acpi_view table)
{
    struct acpi_entries walk = {.machine = machine,
                                .table = "SRAT",
                                .view = table,
                                .offset = SRAT_ENTRIES,
                                .limit = UINT32_MAX,
                                .length_at = AFFINITY_LENGTH,
                                .length_width = 1,
                                .minimum = AFFINITY_HEADER};
    bool wide = acpi_u8(table, ACPI_REVISION) >= 2; /* before, a domain had 8 bits and reserved ones behind */
    struct acpi_view entry;

    while (acpi_next(&walk, &entry))
        read_affinity(machine, &walk, entry, wide);
}
