/*
 * fdt_controllers.c: interrupt controllers: GIC, GICv2m, ITS; PLIC, APLIC, IMSIC; microvm's I/O APICs.
 */
#include "fdt_machine.h"

#include <lib/bytes.h>

enum { /* what interrupts-extended connects to at a hart [riscv,cpu-intc] */
       HART_SUPERVISOR_EXTERNAL = 9,
       HART_MACHINE_EXTERNAL = 11,
};

enum { IMSIC_PAGE_SHIFT = 12, IMSIC_MAX_IDS = 2047, IMSIC_MAX_REGIONS = 32 };

/* ---- arm64 ------------------------------------------------------------------------------------------- */

static void describe_gic(struct fdt_reader *reader, uint8_t version)
{
    struct machine_gic *gic = &reader->machine->gic;
    uint64_t base, size;

    if (gic->version != 0 && !reader->machine->has_acpi) {
        fdt_complain(reader, "%s: there is a GIC already; it is ignored", FDT_NODE_NAME(reader));
        return;
    }
    if (!fdt_registers(reader, 0, 4096, &base, &size))
        return;
    gic->version = version;
    gic->distributor = base;
    if (version == 2) {
        if (fdt_registers(reader, 1, 4096, &base, &size))
            gic->cpu_interface = base;
        return;
    }
    uint32_t regions = fdt_own_cell(reader, "#redistributor-regions", 1);
    for (uint32_t i = 0; i < regions && i < MACHINE_MAX_REDISTRIBUTORS; i++)
        if (fdt_registers(reader, 1 + i, 2 << 16, &base, &size))
            machine_add_redistributors(reader->machine, base, size);
    (void)fdt_value_number(fdt_own(reader, "redistributor-stride"), &gic->redistributor_stride);
}

static void describe_v2m(struct fdt_reader *reader)
{
    uint64_t base, size;
    uint32_t first = fdt_own_cell(reader, "arm,msi-base-spi", 0);
    uint32_t count = fdt_own_cell(reader, "arm,msi-num-spis", 0);

    if (!fdt_registers(reader, 0, 4096, &base, &size))
        return;
    if (first != 0 && (first < 32 || first > 1019 || count > 1020 - first)) {
        fdt_complain(reader, "%s: %u message interrupts from %u on are impossible; the frame is asked instead",
                     FDT_NODE_NAME(reader), count, first);
        first = count = 0;
    }
    struct machine_v2m *v2m = machine_add_v2m(reader->machine, base);
    if (v2m == NULL)
        return;
    v2m->id = reader->node.phandle;
    v2m->first_line = count != 0 ? first : 0;
    v2m->line_count = first != 0 ? count : 0;
}

static void describe_its(struct fdt_reader *reader)
{
    uint64_t base, size;

    if (fdt_registers(reader, 0, 2 << 16, &base, &size))
        machine_add_its(reader->machine, reader->node.phandle, base);
}

/* ---- rv64 --------------------------------------------------------------------------------------------- */

/* A context for each pair of interrupts-extended, in its order; firmware writes cause -1 where a context is
 * not for us. Returns how many were added. */
static uint32_t describe_contexts(struct fdt_reader *reader)
{
    struct fdt_value extended = reader->node.interrupts_extended;
    uint32_t added = 0;

    for (uint32_t i = 0; i + 1 < extended.length / 4; i += 2) {
        uint32_t cause = fdt_cell(extended, i + 1, 0);
        uint32_t cpu = UINT32_MAX;

        if (cause == HART_SUPERVISOR_EXTERNAL || cause == HART_MACHINE_EXTERNAL)
            cpu = fdt_cpu_by_interrupts(reader, fdt_cell(extended, i, 0));
        if (!machine_add_context(reader->machine, cpu, i / 2, cause == HART_SUPERVISOR_EXTERNAL))
            break;
        added++;
    }
    return added;
}

static void describe_plic(struct fdt_reader *reader, const struct fdt_landmark *landmark)
{
    struct machine *machine = reader->machine;
    uint64_t base, size;

    /* The claim register of context 0 is at 2 MiB + 4 [PLIC 1.0 §3]. */
    if (!fdt_registers(reader, 0, (2 << 20) + 8, &base, &size))
        return;
    if (landmark->source_count == 0) {
        fdt_complain(reader, "%s: riscv,ndev does not say how many sources it has; it is ignored",
                     FDT_NODE_NAME(reader));
        return;
    }
    struct machine_plic *plic = machine_add_plic(machine, base);
    if (plic == NULL || plic->context_count != 0)
        return;
    plic->id = landmark->phandle;
    plic->size = size;
    plic->first_line = landmark->first_line;
    plic->source_count = landmark->source_count;
    plic->max_priority = fdt_own_cell(reader, "riscv,max-priority", 0);
    plic->first_context = (uint16_t)machine->context_count;
    plic->context_count = describe_contexts(reader);
}

static void describe_aplic(struct fdt_reader *reader, const struct fdt_landmark *landmark)
{
    struct machine *machine = reader->machine;
    uint64_t base, size;

    if (!landmark->supervisor) /* machine mode's is the firmware's */
        return;
    if (!fdt_registers(reader, 0, 0x4000, &base, &size)) /* [AIA 1.0 §4.5] */
        return;
    if (landmark->source_count == 0) {
        fdt_complain(reader, "%s: riscv,num-sources does not say how many sources it has; it is ignored",
                     FDT_NODE_NAME(reader));
        return;
    }
    struct machine_aplic *aplic = machine_add_aplic(machine, base);
    if (aplic == NULL || aplic->source_count != 0)
        return;
    aplic->id = landmark->phandle;
    aplic->size = size;
    aplic->first_line = landmark->first_line;
    aplic->source_count = landmark->source_count;
    aplic->supervisor = true;
    aplic->messages = reader->node.interrupts_extended.at == NULL;
    aplic->first_context = (uint16_t)machine->context_count;
    aplic->context_count = describe_contexts(reader);
}

/* Where the interrupt file of the hart in position `index` lies: the files follow each other, a power of two
 * of pages each for the hart and its guests, through one region after another [AIA 1.0 §3.6]. */
static bool imsic_file(struct fdt_reader *reader, uint32_t index, uint64_t stride, uint64_t *base)
{
    uint64_t offset = index * stride, start, size;

    for (uint32_t region = 0; region < IMSIC_MAX_REGIONS; region++) {
        if (fdt_reg(reader, reader->node.reg, region, &start, &size) != FDT_REG_OK || start == 0)
            return false;
        if (offset < size) {
            *base = start + offset;
            return size - offset >= 1u << IMSIC_PAGE_SHIFT;
        }
        if (size > UINT64_MAX - stride)
            return false;
        uint64_t whole = align_up(size, stride);
        offset -= whole < offset ? whole : offset;
    }
    return false;
}

static bool imsic_bits(struct fdt_reader *reader, struct machine_imsic *imsic, uint32_t harts)
{
    uint32_t enough = 0;
    while (harts > UINT32_C(1) << enough)
        enough++;
    uint32_t guest = fdt_own_cell(reader, "riscv,guest-index-bits", 0);
    uint32_t hart = fdt_own_cell(reader, "riscv,hart-index-bits", enough);
    uint32_t group = fdt_own_cell(reader, "riscv,group-index-bits", 0);
    uint32_t shift = fdt_own_cell(reader, "riscv,group-index-shift", 2 * IMSIC_PAGE_SHIFT);

    if (guest > 7 || hart > 15 || group > 7 || shift > 55 ||
        (group != 0 && shift < IMSIC_PAGE_SHIFT + guest + hart)) { /* [riscv,imsics binding] */
        fdt_complain(reader, "%s: %u guest, %u hart and %u group bits at %u are impossible; it is ignored",
                     FDT_NODE_NAME(reader), guest, hart, group, shift);
        return false;
    }
    imsic->guest_index_bits = (uint8_t)guest;
    imsic->hart_index_bits = (uint8_t)hart;
    imsic->group_index_bits = (uint8_t)group;
    imsic->group_index_shift = (uint8_t)shift;
    return true;
}

static void describe_imsic(struct fdt_reader *reader, const struct fdt_landmark *landmark)
{
    struct machine_imsic *imsic = &reader->machine->imsic;
    struct fdt_value extended = reader->node.interrupts_extended;
    uint32_t harts = extended.length / 8;
    uint32_t ids = fdt_own_cell(reader, "riscv,num-ids", 0);

    if (!landmark->supervisor)
        return;
    if (imsic->present) {
        fdt_complain(reader, "%s: there is a supervisor IMSIC already; it is ignored", FDT_NODE_NAME(reader));
        return;
    }
    if (ids < 63 || ids > IMSIC_MAX_IDS || ids % 64 != 63) { /* [AIA 1.0 §3.1] */
        fdt_complain(reader, "%s: %u interrupt identities are impossible; it is ignored", FDT_NODE_NAME(reader), ids);
        return;
    }
    if (harts > MACHINE_MAX_CPUS)
        harts = MACHINE_MAX_CPUS;
    if (!imsic_bits(reader, imsic, harts))
        return;
    imsic->id_count = ids;
    for (uint32_t i = 0; i < harts; i++) {
        uint32_t cpu = fdt_cpu_by_interrupts(reader, fdt_cell(extended, 2 * i, 0));
        uint64_t stride = UINT64_C(1) << (IMSIC_PAGE_SHIFT + imsic->guest_index_bits), base;

        if (cpu == UINT32_MAX || fdt_cell(extended, 2 * i + 1, 0) != HART_SUPERVISOR_EXTERNAL)
            continue;
        if (!imsic_file(reader, i, stride, &base)) {
            fdt_complain(reader, "%s: hart %u's interrupt file lies outside its registers", FDT_NODE_NAME(reader), i);
            break;
        }
        reader->machine->cpus[cpu].imsic_base = base;
        reader->machine->cpus[cpu].imsic_size = (uint32_t)stride;
        imsic->present = true;
    }
}

void fdt_describe_controller(struct fdt_reader *reader, const struct fdt_landmark *landmark)
{
    switch (landmark->kind) {
    case KIND_GIC2:
        describe_gic(reader, 2);
        break;
    case KIND_GIC3:
        describe_gic(reader, 3);
        break;
    case KIND_V2M:
        describe_v2m(reader);
        break;
    case KIND_ITS:
        describe_its(reader);
        break;
    case KIND_PLIC:
        describe_plic(reader, landmark);
        break;
    case KIND_APLIC:
        describe_aplic(reader, landmark);
        break;
    case KIND_IMSIC:
        describe_imsic(reader, landmark);
        break;
    case KIND_IO_APIC:
        if (landmark->base != 0)
            machine_add_io_apic(reader->machine, reader->machine->io_apic_count, landmark->first_line, landmark->base);
        break;
    default:
        break;
    }
}
