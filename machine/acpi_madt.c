/*
 * acpi_madt.c: CPUs and interrupt controllers, from the MADT [ACPI 6.5 §5.2.12].
 *
 * Itanium's SAPIC entries and LoongArch's controllers describe machines that vmos does not run on; they are
 * skipped by their length like every type that is unknown.
 */
#include <machine/add.h>
#include "acpi_table.h"

#define WHO "acpi"

enum { MADT_LOCAL_APIC = 36, MADT_FLAGS = 40, MADT_PC_AT_COMPATIBLE = 1 << 0, MADT_ENTRIES = 44 };

enum { /* every entry */
       ENTRY_TYPE = 0,
       ENTRY_LENGTH = 1,
       ENTRY_HEADER = 2,
};

enum { /* entry types, and the bytes that one must have for its fields here */
       TYPE_LOCAL_APIC = 0x00,
       TYPE_IO_APIC = 0x01,
       TYPE_OVERRIDE = 0x02,
       TYPE_NMI_SOURCE = 0x03,
       TYPE_LOCAL_NMI = 0x04,
       TYPE_LOCAL_APIC_ADDRESS = 0x05,
       TYPE_X2APIC = 0x09,
       TYPE_X2APIC_NMI = 0x0a,
       TYPE_GICC = 0x0b,
       TYPE_GICD = 0x0c,
       TYPE_MSI_FRAME = 0x0d,
       TYPE_GICR = 0x0e,
       TYPE_ITS = 0x0f,
       TYPE_RINTC = 0x18,
       TYPE_IMSIC = 0x19,
       TYPE_APLIC = 0x1a,
       TYPE_PLIC = 0x1b,
};

enum { CPU_ENABLED = 1 << 0, CPU_ONLINE_CAPABLE = 1 << 1, GICC_ONLINE_CAPABLE = 1 << 3 };

enum { /* Processor Local APIC, and Local x2APIC [§5.2.12.2, §5.2.12.12] */
       LAPIC_UID = 2,
       LAPIC_ID = 3,
       LAPIC_FLAGS = 4,
       LAPIC_SIZE = 8,
       LAPIC_BROADCAST = 0xff,
       X2APIC_ID = 4,
       X2APIC_FLAGS = 8,
       X2APIC_UID = 12,
       X2APIC_SIZE = 16,
};
#define X2APIC_BROADCAST UINT32_MAX

enum { /* I/O APIC, Interrupt Source Override, NMI Source [§5.2.12.3, .5, .6] */
       IO_APIC_ID = 2,
       IO_APIC_ADDRESS = 4,
       IO_APIC_FIRST_LINE = 8,
       IO_APIC_SIZE = 12,
       OVERRIDE_BUS = 2,
       OVERRIDE_SOURCE = 3,
       OVERRIDE_LINE = 4,
       OVERRIDE_FLAGS = 8,
       OVERRIDE_SIZE = 10,
       NMI_FLAGS = 2,
       NMI_LINE = 4,
       NMI_SIZE = 8,
};

enum { /* Local APIC NMI, Local x2APIC NMI, Local APIC Address Override [§5.2.12.7, .13, .8] */
       LOCAL_NMI_UID = 2,
       LOCAL_NMI_LINT = 5,
       LOCAL_NMI_SIZE = 6,
       X2APIC_NMI_UID = 4,
       X2APIC_NMI_LINT = 8,
       X2APIC_NMI_SIZE = 12,
       LOCAL_ADDRESS = 4,
       LOCAL_ADDRESS_SIZE = 12,
};

enum { /* GICC, GICD, GIC MSI Frame, GICR, GIC ITS [§5.2.12.14 to .18] */
       GICC_UID = 8,
       GICC_FLAGS = 12,
       GICC_BASE = 32,
       GICC_REDISTRIBUTOR = 60,
       GICC_MPIDR = 68,
       GICC_SIZE = 76, /* ACPI 5.1; the 40 bytes of ACPI 5.0 lack the MPIDR */
       GICD_BASE = 8,
       GICD_VERSION = 20,
       GICD_SIZE = 24,
       FRAME_ID = 4,
       FRAME_BASE = 8,
       FRAME_FLAGS = 16,
       FRAME_SPI_GIVEN = 1 << 0,
       FRAME_SPI_COUNT = 20,
       FRAME_SPI_BASE = 22,
       FRAME_SIZE = 24,
       GICR_BASE = 4,
       GICR_LENGTH = 12,
       GICR_SIZE = 16,
       ITS_ID = 4,
       ITS_BASE = 8,
       ITS_SIZE = 20,
};
/* Affinity levels 0 to 3; the other bits of an MPIDR entry must be 0 [§5.2.12.14]. */
#define MPIDR_AFFINITY UINT64_C(0xff00ffffff)

enum { /* RINTC, IMSIC, APLIC, PLIC [§5.2.12.24 to .27] */
       RINTC_FLAGS = 4,
       RINTC_HART = 8,
       RINTC_UID = 16,
       RINTC_CONTROLLER = 20,
       RINTC_IMSIC_BASE = 24,
       RINTC_IMSIC_SIZE = 32,
       RINTC_SIZE = 20, /* what follows is there where an IMSIC or an external controller is */
       IMSIC_IDS = 8,
       IMSIC_GUEST_BITS = 12,
       IMSIC_HART_BITS = 13,
       IMSIC_GROUP_BITS = 14,
       IMSIC_GROUP_SHIFT = 15,
       IMSIC_SIZE = 16,
       IMSIC_MAX_IDS = 2047,
       APLIC_ID = 3,
       APLIC_IDCS = 16,
       APLIC_SOURCES = 18,
       APLIC_FIRST_LINE = 20,
       APLIC_BASE = 24,
       APLIC_REGISTERS = 32,
       APLIC_SIZE = 36,
       PLIC_ID = 3,
       PLIC_SOURCES = 12,
       PLIC_PRIORITIES = 14,
       PLIC_REGISTERS = 20,
       PLIC_BASE = 24,
       PLIC_FIRST_LINE = 32,
       PLIC_SIZE = 36,
};

/* ---- x64 ----------------------------------------------------------------------------------------- */

/* MPS INTI flags [ACPI 6.5 §5.2.12.5]; what conforms to the bus is ISA's: high, edge. False: reserved. */
static bool decode_flags(uint16_t flags, struct machine_line *line)
{
    unsigned polarity = flags & 3, trigger = flags >> 2 & 3;

    if (polarity == 2 || trigger == 2)
        return false;
    line->polarity = polarity == 3 ? POLARITY_LOW : POLARITY_HIGH;
    line->trigger = trigger == 3 ? TRIGGER_LEVEL : TRIGGER_EDGE;
    return true;
}

static void add_x64_cpu(struct machine *machine, uint32_t apic_id, uint32_t uid, uint32_t flags)
{
    if ((flags & (CPU_ENABLED | CPU_ONLINE_CAPABLE)) == 0)
        return; /* a socket without a processor */
    uint32_t before = machine->cpu_count;
    struct machine_cpu *cpu = machine_add_cpu(machine, apic_id);
    if (cpu == NULL)
        return;
    if (machine->cpu_count != before)
        cpu->firmware_id = uid;
    cpu->enabled |= (flags & CPU_ENABLED) != 0;
}

static void read_override(struct machine *machine, struct acpi_view entry)
{
    struct machine_line line = {.line = acpi_u32(entry, OVERRIDE_LINE)};
    uint8_t source = acpi_u8(entry, OVERRIDE_SOURCE);

    if (acpi_u8(entry, OVERRIDE_BUS) != 0 || !decode_flags(acpi_u16(entry, OVERRIDE_FLAGS), &line)) {
        machine_warn(machine, WHO, "MADT overrides source %u of bus %u with the reserved flags 0x%x; it is ignored",
                     source, acpi_u8(entry, OVERRIDE_BUS), acpi_u16(entry, OVERRIDE_FLAGS));
        return;
    }
    machine_add_override(machine, source, line);
}

static void read_nmi_source(struct machine *machine, struct acpi_view entry)
{
    struct machine_nmi nmi = {.local = false, .firmware_id = UINT32_MAX, .line = {.line = acpi_u32(entry, NMI_LINE)}};

    if (decode_flags(acpi_u16(entry, NMI_FLAGS), &nmi.line))
        machine_add_nmi(machine, &nmi);
    else
        machine_warn(machine, WHO, "MADT wires line %u to NMI with the reserved flags 0x%x; it is ignored",
                     nmi.line.line, acpi_u16(entry, NMI_FLAGS));
}

static void add_local_nmi(struct machine *machine, uint32_t uid, uint8_t lint)
{
    struct machine_nmi nmi = {.local = true, .lint = lint, .firmware_id = uid, .line = MACHINE_LINE_NONE};

    if (lint <= 1)
        machine_add_nmi(machine, &nmi);
    else
        machine_warn(machine, WHO, "MADT wires NMI to LINT%u, which no local APIC has; it is ignored", lint);
}

static bool read_x64_entry(struct machine *machine, const struct acpi_entries *walk, struct acpi_view entry)
{
    switch (acpi_u8(entry, ENTRY_TYPE)) {
    case TYPE_LOCAL_APIC:
        if (!acpi_too_short(walk, entry, "local APIC", LAPIC_SIZE) && acpi_u8(entry, LAPIC_ID) != LAPIC_BROADCAST)
            add_x64_cpu(machine, acpi_u8(entry, LAPIC_ID), acpi_u8(entry, LAPIC_UID), acpi_u32(entry, LAPIC_FLAGS));
        return true;
    case TYPE_X2APIC:
        if (!acpi_too_short(walk, entry, "x2APIC", X2APIC_SIZE) && acpi_u32(entry, X2APIC_ID) != X2APIC_BROADCAST)
            add_x64_cpu(machine, acpi_u32(entry, X2APIC_ID), acpi_u32(entry, X2APIC_UID),
                        acpi_u32(entry, X2APIC_FLAGS));
        return true;
    case TYPE_IO_APIC:
        if (!acpi_too_short(walk, entry, "I/O APIC", IO_APIC_SIZE))
            machine_add_io_apic(machine, acpi_u8(entry, IO_APIC_ID), acpi_u32(entry, IO_APIC_FIRST_LINE),
                                acpi_u32(entry, IO_APIC_ADDRESS));
        return true;
    case TYPE_OVERRIDE:
        if (!acpi_too_short(walk, entry, "override", OVERRIDE_SIZE))
            read_override(machine, entry);
        return true;
    case TYPE_NMI_SOURCE:
        if (!acpi_too_short(walk, entry, "NMI source", NMI_SIZE))
            read_nmi_source(machine, entry);
        return true;
    case TYPE_LOCAL_NMI: {
        uint8_t uid = acpi_u8(entry, LOCAL_NMI_UID);
        if (!acpi_too_short(walk, entry, "local NMI", LOCAL_NMI_SIZE))
            add_local_nmi(machine, uid == 0xff ? UINT32_MAX : uid, acpi_u8(entry, LOCAL_NMI_LINT));
        return true;
    }
    case TYPE_X2APIC_NMI:
        if (!acpi_too_short(walk, entry, "x2APIC NMI", X2APIC_NMI_SIZE))
            add_local_nmi(machine, acpi_u32(entry, X2APIC_NMI_UID), acpi_u8(entry, X2APIC_NMI_LINT));
        return true;
    case TYPE_LOCAL_APIC_ADDRESS:
        if (!acpi_too_short(walk, entry, "local APIC address", LOCAL_ADDRESS_SIZE) &&
            acpi_u64(entry, LOCAL_ADDRESS) != 0)
            machine->local_apic = acpi_u64(entry, LOCAL_ADDRESS);
        return true;
    default:
        return false;
    }
}

/* ---- arm64 --------------------------------------------------------------------------------------- */

static void read_gicc(struct machine *machine, struct acpi_view entry)
{
    uint64_t mpidr = acpi_u64(entry, GICC_MPIDR);
    uint32_t flags = acpi_u32(entry, GICC_FLAGS), before = machine->cpu_count;

    if ((flags & (CPU_ENABLED | GICC_ONLINE_CAPABLE)) == 0)
        return;
    if ((mpidr & ~MPIDR_AFFINITY) != 0) {
        machine_warn(machine, WHO, "MADT describes a CPU with the impossible MPIDR 0x%llx; it is ignored",
                     (unsigned long long)mpidr);
        return;
    }
    struct machine_cpu *cpu = machine_add_cpu(machine, mpidr);
    if (cpu == NULL)
        return;
    if (machine->cpu_count == before) {
        machine_warn(machine, WHO, "MADT describes the CPU with MPIDR 0x%llx twice; the first counts",
                     (unsigned long long)mpidr);
        return;
    }
    cpu->firmware_id = acpi_u32(entry, GICC_UID);
    cpu->enabled = (flags & CPU_ENABLED) != 0;
    cpu->gic_cpu_interface = acpi_u64(entry, GICC_BASE);
    cpu->gic_redistributor = acpi_u64(entry, GICC_REDISTRIBUTOR);
}

static void read_gicd(struct machine *machine, struct acpi_view entry)
{
    if (machine->gic.distributor != 0 || acpi_u64(entry, GICD_BASE) == 0) {
        if (machine->gic.distributor != acpi_u64(entry, GICD_BASE))
            machine_warn(machine, WHO, "MADT describes a GIC distributor at 0x%llx, which is ignored",
                         (unsigned long long)acpi_u64(entry, GICD_BASE));
        return;
    }
    machine->gic.distributor = acpi_u64(entry, GICD_BASE);
    machine->gic.version = acpi_u8(entry, GICD_VERSION) <= 4 ? acpi_u8(entry, GICD_VERSION) : 0;
}

static void read_msi_frame(struct machine *machine, struct acpi_view entry)
{
    bool given = (acpi_u32(entry, FRAME_FLAGS) & FRAME_SPI_GIVEN) != 0;
    uint32_t first = acpi_u16(entry, FRAME_SPI_BASE), count = acpi_u16(entry, FRAME_SPI_COUNT);

    if (given && (count == 0 || first < 32 || first + count > 1020)) {
        machine_warn(machine, WHO, "MADT gives a GIC MSI frame %u lines from %u on, which are no SPIs; it is ignored",
                     count, first);
        return;
    }
    struct machine_v2m *frame = machine_add_v2m(machine, acpi_u64(entry, FRAME_BASE));
    if (frame == NULL)
        return;
    frame->id = acpi_u32(entry, FRAME_ID);
    frame->first_line = given ? first : 0;
    frame->line_count = given ? count : 0;
}

static bool read_arm64_entry(struct machine *machine, const struct acpi_entries *walk, struct acpi_view entry)
{
    switch (acpi_u8(entry, ENTRY_TYPE)) {
    case TYPE_GICC:
        if (!acpi_too_short(walk, entry, "GICC", GICC_SIZE))
            read_gicc(machine, entry);
        return true;
    case TYPE_GICD:
        if (!acpi_too_short(walk, entry, "GICD", GICD_SIZE))
            read_gicd(machine, entry);
        return true;
    case TYPE_MSI_FRAME:
        if (!acpi_too_short(walk, entry, "GIC MSI frame", FRAME_SIZE))
            read_msi_frame(machine, entry);
        return true;
    case TYPE_GICR:
        if (!acpi_too_short(walk, entry, "GICR", GICR_SIZE))
            machine_add_redistributors(machine, acpi_u64(entry, GICR_BASE), acpi_u32(entry, GICR_LENGTH));
        return true;
    case TYPE_ITS:
        if (!acpi_too_short(walk, entry, "GIC ITS", ITS_SIZE))
            machine_add_its(machine, acpi_u32(entry, ITS_ID), acpi_u64(entry, ITS_BASE));
        return true;
    default:
        return false;
    }
}

/* Which GIC this is where the distributor's entry does not say, and which CPUs it can interrupt at all. */
static void finish_arm64(struct machine *machine)
{
    struct machine_gic *gic = &machine->gic;
    const struct machine_cpu *first = &machine->cpus[0];

    if (gic->distributor == 0)
        return;
    if (gic->version == 0 && machine->cpu_count != 0)
        gic->version = gic->redistributor_count != 0 || first->gic_redistributor != 0 ? 3 : 2;
    bool regions = gic->redistributor_count != 0, same = machine->cpu_count != 0;
    for (uint32_t i = 0; i < machine->cpu_count; i++) {
        struct machine_cpu *cpu = &machine->cpus[i];
        same &= cpu->gic_cpu_interface == first->gic_cpu_interface;
        bool reachable = gic->version >= 3 ? regions || cpu->gic_redistributor != 0 : cpu->gic_cpu_interface != 0;
        if (!reachable && cpu->enabled) {
            machine_warn(machine, WHO, "MADT gives the CPU with MPIDR 0x%llx no GIC %s; it is not used",
                         (unsigned long long)cpu->hardware_id, gic->version >= 3 ? "redistributor" : "CPU interface");
            cpu->enabled = false;
        }
    }
    if (gic->version <= 2 && same)
        gic->cpu_interface = first->gic_cpu_interface;
}

/* ---- rv64 ---------------------------------------------------------------------------------------- */

static void read_rintc(struct machine *machine, struct acpi_view entry)
{
    uint32_t flags = acpi_u32(entry, RINTC_FLAGS), before = machine->cpu_count;

    if ((flags & (CPU_ENABLED | CPU_ONLINE_CAPABLE)) == 0)
        return;
    struct machine_cpu *cpu = machine_add_cpu(machine, acpi_u64(entry, RINTC_HART));
    if (cpu == NULL || machine->cpu_count == before)
        return;
    cpu->firmware_id = acpi_u32(entry, RINTC_UID);
    cpu->enabled = (flags & CPU_ENABLED) != 0;
    cpu->external_controller = acpi_u32(entry, RINTC_CONTROLLER);
    cpu->imsic_base = acpi_u64(entry, RINTC_IMSIC_BASE);
    cpu->imsic_size = acpi_u32(entry, RINTC_IMSIC_SIZE);
}

static void read_imsic(struct machine *machine, struct acpi_view entry)
{
    struct machine_imsic imsic = {
        .present = true,
        .id_count = acpi_u16(entry, IMSIC_IDS),
        .guest_index_bits = acpi_u8(entry, IMSIC_GUEST_BITS),
        .hart_index_bits = acpi_u8(entry, IMSIC_HART_BITS),
        .group_index_bits = acpi_u8(entry, IMSIC_GROUP_BITS),
        .group_index_shift = acpi_u8(entry, IMSIC_GROUP_SHIFT),
    };

    if (imsic.id_count == 0 || imsic.id_count > IMSIC_MAX_IDS || imsic.guest_index_bits > 7 ||
        imsic.hart_index_bits > 15 || imsic.group_index_bits > 7 || imsic.group_index_shift > 55) {
        machine_warn(machine, WHO, "MADT describes an impossible IMSIC (%u identities, group shift %u); it is ignored",
                     imsic.id_count, imsic.group_index_shift);
        return;
    }
    if (!machine->imsic.present)
        machine->imsic = imsic;
}

static void read_aplic(struct machine *machine, struct acpi_view entry)
{
    uint32_t size = acpi_u32(entry, APLIC_REGISTERS);

    if (!machine_range_valid(acpi_u64(entry, APLIC_BASE), size) || acpi_u16(entry, APLIC_SOURCES) > 1023) {
        machine_warn(machine, WHO, "MADT describes an impossible APLIC at 0x%llx; it is ignored",
                     (unsigned long long)acpi_u64(entry, APLIC_BASE));
        return;
    }
    struct machine_aplic *aplic = machine_add_aplic(machine, acpi_u64(entry, APLIC_BASE));
    if (aplic == NULL || aplic->size != 0)
        return;
    aplic->id = acpi_u8(entry, APLIC_ID);
    aplic->size = size;
    aplic->first_line = acpi_u32(entry, APLIC_FIRST_LINE);
    aplic->source_count = acpi_u16(entry, APLIC_SOURCES);
    aplic->supervisor = true; /* ACPI describes no other */
    aplic->messages = acpi_u16(entry, APLIC_IDCS) == 0;
}

static void read_plic(struct machine *machine, struct acpi_view entry)
{
    uint32_t size = acpi_u32(entry, PLIC_REGISTERS);

    if (!machine_range_valid(acpi_u64(entry, PLIC_BASE), size) || acpi_u16(entry, PLIC_SOURCES) > 1023) {
        machine_warn(machine, WHO, "MADT describes an impossible PLIC at 0x%llx; it is ignored",
                     (unsigned long long)acpi_u64(entry, PLIC_BASE));
        return;
    }
    struct machine_plic *plic = machine_add_plic(machine, acpi_u64(entry, PLIC_BASE));
    if (plic == NULL || plic->size != 0)
        return;
    plic->id = acpi_u8(entry, PLIC_ID);
    plic->size = size;
    plic->first_line = acpi_u32(entry, PLIC_FIRST_LINE);
    plic->source_count = acpi_u16(entry, PLIC_SOURCES);
    plic->max_priority = acpi_u16(entry, PLIC_PRIORITIES);
}

static void read_rv64_entry(struct machine *machine, const struct acpi_entries *walk, struct acpi_view entry)
{
    switch (acpi_u8(entry, ENTRY_TYPE)) {
    case TYPE_RINTC:
        if (!acpi_too_short(walk, entry, "RINTC", RINTC_SIZE))
            read_rintc(machine, entry);
        break;
    case TYPE_IMSIC:
        if (!acpi_too_short(walk, entry, "IMSIC", IMSIC_SIZE))
            read_imsic(machine, entry);
        break;
    case TYPE_APLIC:
        if (!acpi_too_short(walk, entry, "APLIC", APLIC_SIZE))
            read_aplic(machine, entry);
        break;
    case TYPE_PLIC:
        if (!acpi_too_short(walk, entry, "PLIC", PLIC_SIZE))
            read_plic(machine, entry);
        break;
    }
}

/* A hart says which controller serves it: controller in bits 31 to 24, context (PLIC) or IDC (APLIC) in bits
 * 15 to 0 [§5.2.12.24]. Gives how many contexts were added. */
static uint32_t add_contexts(struct machine *machine, uint32_t controller)
{
    uint32_t before = machine->context_count;

    for (uint32_t i = 0; i < machine->cpu_count; i++)
        if (machine->cpus[i].external_controller >> 24 == controller &&
            !machine_add_context(machine, i, machine->cpus[i].external_controller & 0xffff, true))
            break;
    return machine->context_count - before;
}

static void finish_rv64(struct machine *machine)
{
    for (uint32_t i = 0; i < machine->plic_count; i++) {
        struct machine_plic *plic = &machine->plics[i];
        if (plic->context_count != 0)
            continue;
        plic->first_context = (uint16_t)machine->context_count;
        plic->context_count = add_contexts(machine, plic->id);
    }
    for (uint32_t i = 0; i < machine->aplic_count; i++) {
        struct machine_aplic *aplic = &machine->aplics[i];
        if (aplic->context_count != 0 || aplic->messages)
            continue;
        aplic->first_context = (uint16_t)machine->context_count;
        aplic->context_count = add_contexts(machine, aplic->id);
    }
}

/* -------------------------------------------------------------------------------------------------- */

void acpi_read_madt(struct machine *machine, struct acpi_view table)
{
    struct acpi_entries walk = {.machine = machine,
                                .table = "MADT",
                                .view = table,
                                .offset = MADT_ENTRIES,
                                .limit = UINT32_MAX,
                                .length_at = ENTRY_LENGTH,
                                .length_width = 1,
                                .minimum = ENTRY_HEADER};
    struct acpi_view entry;

    machine->local_apic = acpi_u32(table, MADT_LOCAL_APIC);
    machine->has_pic = (acpi_u32(table, MADT_FLAGS) & MADT_PC_AT_COMPATIBLE) != 0;
    machine->has_pit |= machine->has_pic; /* as on microvm, which has no fixed ACPI hardware */
    while (acpi_next(&walk, &entry))
        if (!read_x64_entry(machine, &walk, entry) && !read_arm64_entry(machine, &walk, entry))
            read_rv64_entry(machine, &walk, entry);
    finish_arm64(machine);
    finish_rv64(machine);
}
