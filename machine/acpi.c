/*
 * acpi.c: from the RSDP to the tables, and what the FADT says [ACPI 6.5 §5.2].
 *
 * Policy where firmware is wrong: a root table with a bad checksum is not used (the RSDT stands in for the
 * XSDT); any other table with one is named and used, since every reader bounds what it reads. Of several
 * tables with one signature the first counts. Nothing is ever read but through physical_memory.map.
 */
#include <machine/add.h>
#include "acpi_table.h"
#include <lib/bytes.h>
#include <lib/log.h>
#include <lib/string.h>
#include <lib/text.h>

#define WHO "acpi"

/* The largest table anyone has seen (a DSDT) is below 1 MiB; the most tables, below 64. */
#define TABLE_MAX_LENGTH (UINT32_C(1) << 20)
#define ROOT_MAX_ENTRIES 128u

/* Root System Description Pointer [ACPI 6.5 §5.2.5.3] */
enum {
    RSDP_REVISION = 15,
    RSDP_RSDT = 16,
    RSDP_LENGTH = 20,
    RSDP_XSDT = 24,
    RSDP_SIZE_1 = 20, /* revision 0, and what the first checksum covers */
    RSDP_SIZE_2 = 36,
    RSDP_ALIGNMENT = 16,
};

/* Fixed ACPI Description Table [ACPI 6.5 §5.2.9]; the X_ fields hold Generic Address Structures. */
enum {
    FADT_DSDT = 40,
    FADT_PM1A_CONTROL = 64,
    FADT_PM1B_CONTROL = 68,
    FADT_PM_TIMER = 76,
    FADT_PM_TIMER_LENGTH = 91,
    FADT_PC_BOOT_FLAGS = 109,
    FADT_PC_NO_CMOS = 1 << 5,
    FADT_FLAGS = 112,
    FADT_TIMER_32BIT = 1 << 8,
    FADT_RESET_SUPPORTED = 1 << 10,
    FADT_HARDWARE_REDUCED = 1 << 20,
    FADT_RESET_REGISTER = 116,
    FADT_RESET_VALUE = 128,
    FADT_ARM_BOOT_FLAGS = 129,
    FADT_ARM_PSCI = 1 << 0,
    FADT_ARM_PSCI_HVC = 1 << 1,
    FADT_X_DSDT = 140,
    FADT_X_PM1A_CONTROL = 172,
    FADT_X_PM1B_CONTROL = 184,
    FADT_X_PM_TIMER = 208,
    FADT_SLEEP_CONTROL = 244,
    FADT_SLEEP_STATUS = 256,
};

/* Generic Address Structure [ACPI 6.5 §5.2.3.2] */
enum {
    GAS_SPACE,
    GAS_BIT_WIDTH,
    GAS_BIT_OFFSET,
    GAS_ACCESS_SIZE,
    GAS_ADDRESS,
    GAS_SPACE_MEMORY = 0,
    GAS_SPACE_IO = 1,
    GAS_SPACE_PCI = 2
};

/* ---- Views --------------------------------------------------------------------------------------- */

uint64_t acpi_get(struct acpi_view view, uint32_t offset, unsigned width)
{
    uint64_t value = 0;

    if (offset > view.length || view.length - offset < width)
        return 0;
    while (width-- > 0)
        value = value << 8 | view.bytes[offset + width];
    return value;
}

struct acpi_view acpi_part(struct acpi_view view, uint32_t offset, uint32_t length)
{
    if (offset >= view.length)
        return (struct acpi_view){.bytes = view.bytes, .length = 0};
    uint32_t rest = view.length - offset;
    return (struct acpi_view){.bytes = view.bytes + offset, .length = length < rest ? length : rest};
}

bool acpi_next(struct acpi_entries *entries, struct acpi_view *entry)
{
    if (entries->limit == 0 || entries->offset >= entries->view.length)
        return false;
    uint32_t index = entries->at == 0 ? 0 : entries->index + 1;
    struct acpi_view rest = acpi_part(entries->view, entries->offset, UINT32_MAX);
    uint32_t length = (uint32_t)acpi_get(rest, entries->length_at, entries->length_width);
    if (rest.length < entries->minimum || length < entries->minimum) {
        machine_malformed(entries->machine, WHO, "%s entry %u at 0x%x has length %u; the rest of the table is ignored",
                          entries->table, index, entries->offset, length);
        return false;
    }
    if (length > rest.length) {
        machine_malformed(entries->machine, WHO,
                          "%s entry %u at 0x%x has length %u and runs past the end of the table; it is dropped",
                          entries->table, index, entries->offset, length);
        return false;
    }
    entries->index = index;
    entries->at = entries->offset;
    entries->offset += length;
    entries->limit--;
    *entry = acpi_part(rest, 0, length);
    return true;
}

bool acpi_too_short(const struct acpi_entries *entries, struct acpi_view entry, const char *what, uint32_t needed)
{
    if (entry.length >= needed)
        return false;
    machine_malformed(entries->machine, WHO, "%s entry %u at 0x%x (%s) has %u bytes but needs %u; it is skipped",
                      entries->table, entries->index, entries->at, what, entry.length, needed);
    return true;
}

bool acpi_register(struct acpi_view view, uint32_t offset, struct machine_register *result, unsigned *bits)
{
    struct acpi_view gas = acpi_part(view, offset, 12);
    uint8_t space = acpi_u8(gas, GAS_SPACE), size = acpi_u8(gas, GAS_ACCESS_SIZE);
    unsigned width = acpi_u8(gas, GAS_BIT_WIDTH), shift = acpi_u8(gas, GAS_BIT_OFFSET);
    uint64_t address = acpi_u64(gas, GAS_ADDRESS);

    if ((space != GAS_SPACE_MEMORY && space != GAS_SPACE_IO) || address == 0 || size > 4 || width == 0 ||
        width + shift > 64 || (space == GAS_SPACE_IO && address > 0xffff))
        return false;
    /* An access size of 0 leaves it to the register's width. */
    unsigned access = size != 0 ? 1u << (size - 1) : width <= 8 ? 1 : width <= 16 ? 2 : width <= 32 ? 4 : 8;
    *result = (struct machine_register){.space = space == GAS_SPACE_IO ? ADDRESS_PORT : ADDRESS_MEMORY,
                                        .access_bytes = (uint8_t)access,
                                        .bit_offset = (uint8_t)shift,
                                        .address = address};
    *bits = width;
    return true;
}

/* ---- FADT ---------------------------------------------------------------------------------------- */

/* A register that has a 64-bit field and, from older days, a 32-bit port number: the newer one if it says
 * something. */
static struct machine_register either_register(struct acpi_view fadt, uint32_t wide, uint32_t port, uint8_t bytes)
{
    struct machine_register result;
    unsigned bits;
    uint32_t number = acpi_u32(fadt, port);

    if (acpi_register(fadt, wide, &result, &bits))
        return result;
    if (number == 0 || number > 0xffff)
        return (struct machine_register){.space = ADDRESS_NONE};
    return (struct machine_register){.space = ADDRESS_PORT, .access_bytes = bytes, .address = number};
}

/* A byte in configuration space: device, function and offset of segment 0, bus 0, in words of the address. */
static bool pci_register(struct acpi_view gas, struct machine_register *result)
{
    uint16_t device = acpi_u16(gas, GAS_ADDRESS + 4), function = acpi_u16(gas, GAS_ADDRESS + 2);
    uint16_t offset = acpi_u16(gas, GAS_ADDRESS);

    if (acpi_u8(gas, GAS_SPACE) != GAS_SPACE_PCI || device > 31 || function > 7 || offset > 255 ||
        acpi_u16(gas, GAS_ADDRESS + 6) != 0)
        return false;
    *result = (struct machine_register){
        .space = ADDRESS_PCI, .access_bytes = 1, .address = (uint64_t)device << 15 | (uint64_t)function << 12 | offset};
    return true;
}

/* The reset register is a byte, whatever width is said [ACPI 6.5 §4.8.3.6]; it may be in any of three spaces. */
static void read_reset(struct machine *machine, struct acpi_view fadt)
{
    struct machine_power *power = &machine->power;
    unsigned bits;

    if ((acpi_u32(fadt, FADT_FLAGS) & FADT_RESET_SUPPORTED) == 0)
        return;
    if (pci_register(acpi_part(fadt, FADT_RESET_REGISTER, 12), &power->reset) ||
        acpi_register(fadt, FADT_RESET_REGISTER, &power->reset, &bits))
        power->reset_value = acpi_u8(fadt, FADT_RESET_VALUE);
    else
        machine_warn(machine, WHO, "FADT names an unusable reset register; it is ignored");
}

static void read_fadt(struct machine *machine, struct acpi_view fadt)
{
    struct machine_power *power = &machine->power;
    uint32_t flags = acpi_u32(fadt, FADT_FLAGS);
    uint16_t arm = acpi_u16(fadt, FADT_ARM_BOOT_FLAGS);
    unsigned bits;

    power->hardware_reduced = (flags & FADT_HARDWARE_REDUCED) != 0;
    read_reset(machine, fadt);
    if (power->hardware_reduced) {
        acpi_register(fadt, FADT_SLEEP_CONTROL, &power->sleep_control, &bits);
        acpi_register(fadt, FADT_SLEEP_STATUS, &power->sleep_status, &bits);
    } else {
        power->pm1a_control = either_register(fadt, FADT_X_PM1A_CONTROL, FADT_PM1A_CONTROL, 2);
        power->pm1b_control = either_register(fadt, FADT_X_PM1B_CONTROL, FADT_PM1B_CONTROL, 2);
        machine->pm_timer = either_register(fadt, FADT_X_PM_TIMER, FADT_PM_TIMER, 4);
        machine->pm_timer_32bit = machine->pm_timer.space != ADDRESS_NONE && (flags & FADT_TIMER_32BIT) != 0;
    }
    if ((arm & FADT_ARM_PSCI) != 0)
        power->psci = (arm & FADT_ARM_PSCI_HVC) != 0 ? CONDUIT_HVC : CONDUIT_SMC;
    power->dsdt = acpi_u64(fadt, FADT_X_DSDT);
    if (power->dsdt == 0)
        power->dsdt = acpi_u32(fadt, FADT_DSDT);
    /* No static table speaks of the PIT; where there is fixed ACPI hardware there is a PC around it. */
    machine->has_pit = !power->hardware_reduced;
    machine->has_cmos = !power->hardware_reduced && (acpi_u16(fadt, FADT_PC_BOOT_FLAGS) & FADT_PC_NO_CMOS) == 0;
    if (machine->model[0] == '\0' && fadt.length >= ACPI_OEM_TABLE_ID + 8) {
        char id[9], table_id[9];
        text_sanitise(id, fadt.bytes + ACPI_OEM_ID, 6);
        text_sanitise(table_id, fadt.bytes + ACPI_OEM_TABLE_ID, 8);
        snprintf(machine->model, sizeof machine->model, "%s %s", id, table_id);
    }
}

/* ---- Tables -------------------------------------------------------------------------------------- */

static uint8_t sum(const uint8_t *bytes, uint32_t length)
{
    uint8_t total = 0;

    while (length-- > 0)
        total = (uint8_t)(total + *bytes++);
    return total;
}

/* A table whose header and length hold, whole; empty when it cannot be had. `signature` NULL: any. */
static struct acpi_view open_table(struct machine *machine, const struct physical_memory *memory, uint64_t address,
                                   const char *signature)
{
    struct acpi_view none = {.bytes = NULL, .length = 0};
    const uint8_t *header = memory->map(memory, address, ACPI_HEADER_SIZE);
    char name[5];

    if (header == NULL) {
        machine_warn(machine, WHO, "the table at 0x%llx cannot be read; it is skipped", (unsigned long long)address);
        return none;
    }
    text_sanitise(name, header, 4);
    uint32_t length = load_le32(header + ACPI_LENGTH);
    if (signature != NULL && memcmp(header, signature, 4) != 0) {
        machine_warn(machine, WHO, "%s expected at 0x%llx, but there is '%s'; it is ignored", signature,
                     (unsigned long long)address, name);
        return none;
    }
    if (length < ACPI_HEADER_SIZE || length > TABLE_MAX_LENGTH) {
        machine_malformed(machine, WHO, "%s at 0x%llx has the impossible length %u; it is ignored", name,
                          (unsigned long long)address, length);
        return none;
    }
    const uint8_t *bytes = memory->map(memory, address, length);
    if (bytes == NULL) {
        machine_malformed(machine, WHO, "%s at 0x%llx has length %u, which runs out of memory; it is ignored", name,
                          (unsigned long long)address, length);
        return none;
    }
    machine_add_memory(machine, address, length, MEMORY_ACPI_RECLAIM); /* firmware may have forgotten to say so */
    return (struct acpi_view){.bytes = bytes, .length = length};
}

/* Read in this order: CPUs and ITS before what refers to them, host bridges before what hangs below them. */
static const struct {
    char signature[5];
    acpi_reader *read;
    uint8_t minimum; /* bytes of the fixed part without which the table says nothing */
} tables[] = {
    {"FACP", read_fadt, 116},     {"APIC", acpi_read_madt, 44}, {"MCFG", acpi_read_mcfg, 44},
    {"HPET", acpi_read_hpet, 56}, {"SPCR", acpi_read_spcr, 76}, {"DBG2", acpi_read_dbg2, 44},
    {"GTDT", acpi_read_gtdt, 80}, {"RHCT", acpi_read_rhct, 56}, {"SRAT", acpi_read_srat, 48},
    {"DMAR", acpi_read_dmar, 48}, {"IVRS", acpi_read_ivrs, 48}, {"IORT", acpi_read_iort, 48},
    {"VIOT", acpi_read_viot, 48},
};

enum { TABLE_COUNT = sizeof tables / sizeof tables[0] };

static void note_table(struct machine *machine, const struct physical_memory *memory, uint64_t address,
                       uint64_t found[TABLE_COUNT])
{
    const uint8_t *header = address != 0 ? memory->map(memory, address, ACPI_HEADER_SIZE) : NULL;
    char name[5];

    if (header == NULL) {
        if (address != 0)
            machine_warn(machine, WHO, "the table at 0x%llx cannot be read; it is skipped",
                         (unsigned long long)address);
        return;
    }
    text_sanitise(name, header, 4);
    for (unsigned i = 0; i < TABLE_COUNT; i++) {
        if (memcmp(header, tables[i].signature, 4) != 0)
            continue;
        if (found[i] == 0)
            found[i] = address;
        else if (found[i] != address)
            machine_warn(machine, WHO, "%s at 0x%llx is a second one; the one at 0x%llx counts", name,
                         (unsigned long long)address, (unsigned long long)found[i]);
        return;
    }
    if (memcmp(header, "DSDT", 4) != 0 && memcmp(header, "SSDT", 4) != 0) /* looked into by read_aml */
        log_debug(WHO, "%s at 0x%llx is not read", name, (unsigned long long)address);
}

static void read_table(struct machine *machine, const struct physical_memory *memory, unsigned index, uint64_t address)
{
    struct acpi_view table = open_table(machine, memory, address, tables[index].signature);

    if (table.length == 0)
        return;
    if (table.length < tables[index].minimum) {
        machine_malformed(machine, WHO, "%s at 0x%llx has only %u bytes; it is ignored", tables[index].signature,
                          (unsigned long long)address, table.length);
        return;
    }
    if (sum(table.bytes, table.length) != 0)
        machine_malformed(machine, WHO, "%s at 0x%llx has a wrong checksum; it is used all the same",
                          tables[index].signature, (unsigned long long)address);
    tables[index].read(machine, table);
}

/* ---- Root ---------------------------------------------------------------------------------------- */

static struct acpi_view open_root(struct machine *machine, const struct physical_memory *memory, uint64_t address,
                                  const char *signature)
{
    struct acpi_view root = open_table(machine, memory, address, signature);

    if (root.length != 0 && sum(root.bytes, root.length) != 0) {
        machine_malformed(machine, WHO, "%s at 0x%llx has a wrong checksum; it is not used", signature,
                          (unsigned long long)address);
        root.length = 0;
    }
    return root;
}

static bool rsdp_valid(const uint8_t *rsdp)
{
    return memcmp(rsdp, "RSD PTR ", 8) == 0 && sum(rsdp, RSDP_SIZE_1) == 0;
}

/* The XSDT's address, 0 when this RSDP has none that can be trusted. */
static uint64_t xsdt_address(struct machine *machine, const struct physical_memory *memory, uint64_t rsdp)
{
    const uint8_t *bytes = memory->map(memory, rsdp, RSDP_SIZE_2);

    if (bytes == NULL || bytes[RSDP_REVISION] < 2)
        return 0;
    if (load_le32(bytes + RSDP_LENGTH) < RSDP_SIZE_2 || sum(bytes, RSDP_SIZE_2) != 0) {
        machine_malformed(machine, WHO, "RSDP at 0x%llx has a wrong extended checksum; its XSDT is not used",
                          (unsigned long long)rsdp);
        return 0;
    }
    return load_le64(bytes + RSDP_XSDT);
}

static void read_definitions(struct machine *machine, struct acpi_view table, bool *all)
{
    if (table.length == 0)
        return;
    if (machine->power.sleep_type_a < 0)
        acpi_find_sleep_type(machine, table);
    *all &= acpi_read_devices(machine, table);
}

/* What the DSDT and the SSDTs say in AML, as far as it stands there without being computed. */
static void read_aml(struct machine *machine, const struct physical_memory *memory, struct acpi_view root,
                     unsigned width, uint32_t count)
{
    bool all = true;

    if (machine->power.dsdt != 0)
        read_definitions(machine, open_table(machine, memory, machine->power.dsdt, "DSDT"), &all);
    for (uint32_t i = 0; i < count; i++) {
        uint64_t address = acpi_get(root, ACPI_HEADER_SIZE + i * width, width);
        const uint8_t *header = address != 0 ? memory->map(memory, address, ACPI_HEADER_SIZE) : NULL;
        if (header != NULL && memcmp(header, "SSDT", 4) == 0)
            read_definitions(machine, open_table(machine, memory, address, "SSDT"), &all);
    }
    /* Some windows and not all would make what firmware placed in the others look wrong. */
    for (uint32_t i = 0; !all && i < machine->host_bridge_count; i++)
        machine->host_bridges[i].window_count = 0;
}

enum status acpi_read(struct machine *machine, const struct physical_memory *memory, uint64_t rsdp)
{
    const uint8_t *pointer = memory->map(memory, rsdp, RSDP_SIZE_1);
    uint64_t found[TABLE_COUNT] = {0};
    struct acpi_view root = {.bytes = NULL, .length = 0};
    unsigned width = 8;

    if (pointer == NULL || !rsdp_valid(pointer)) {
        machine_malformed(machine, WHO, "there is no valid RSDP at 0x%llx; ACPI is not used", (unsigned long long)rsdp);
        return STATUS_INVALID;
    }
    uint64_t xsdt = xsdt_address(machine, memory, rsdp), rsdt = load_le32(pointer + RSDP_RSDT);
    if (xsdt != 0)
        root = open_root(machine, memory, xsdt, "XSDT");
    if (root.length == 0 && rsdt != 0) {
        root = open_root(machine, memory, rsdt, "RSDT");
        width = 4;
    }
    if (root.length == 0) {
        machine_malformed(machine, WHO, "RSDP at 0x%llx leads to no usable root table; ACPI is not used",
                          (unsigned long long)rsdp);
        return STATUS_INVALID;
    }
    machine->has_acpi = true;
    uint32_t count = (root.length - ACPI_HEADER_SIZE) / width;
    if (count > ROOT_MAX_ENTRIES) {
        machine_warn(machine, WHO, "the root table lists %u tables; the first %u count", count, ROOT_MAX_ENTRIES);
        count = ROOT_MAX_ENTRIES;
    }
    for (uint32_t i = 0; i < count; i++)
        note_table(machine, memory, acpi_get(root, ACPI_HEADER_SIZE + i * width, width), found);
    for (unsigned i = 0; i < TABLE_COUNT; i++)
        if (found[i] != 0)
            read_table(machine, memory, i, found[i]);
    if (machine->local_apic != 0 && machine->uart_count == 0)
        machine_add_pc_uart(machine);
    read_aml(machine, memory, root, width, count);
    return STATUS_OK;
}

/* The first valid RSDP on a 16-byte boundary of [base, base + size); none that would reach beyond it. */
static uint64_t search_rsdp(const struct physical_memory *memory, uint64_t base, uint64_t size)
{
    const uint8_t *bytes = memory->map(memory, base, size);

    if (bytes == NULL)
        return 0;
    for (uint64_t offset = 0; offset + RSDP_SIZE_1 <= size; offset += RSDP_ALIGNMENT)
        if (bytes[offset] == 'R' && rsdp_valid(bytes + offset))
            return base + offset;
    return 0;
}

uint64_t acpi_find_rsdp(const struct physical_memory *memory)
{
    /* The first KiB of the Extended BIOS Data Area, then the BIOS's own area [ACPI 6.5 §5.2.5.1]. */
    const uint8_t *segment = memory->map(memory, 0x40e, 2);
    uint64_t ebda = segment != NULL ? (uint64_t)load_le16(segment) << 4 : 0;
    uint64_t rsdp = ebda >= 0x400 && ebda < 0xa0000 ? search_rsdp(memory, align_up(ebda, RSDP_ALIGNMENT), 1024) : 0;

    return rsdp != 0 ? rsdp : search_rsdp(memory, 0xe0000, 0x20000);
}
