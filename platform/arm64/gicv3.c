/*
 * gicv3.c: GICv3's distributor, redistributor and CPU interface [Arm GICv3 and GICv4 IHI 0069]
 * (QEMU: -M virt,gic-version=3).
 */
#include "gic.h"
#include "local.h"

#include <lib/log.h>
#include <platform/mmu.h>

enum {                            /* [IHI 0069 §12.9, §12.11] */
       GICD_CTLR_GROUP1 = 1 << 1, /* Non-secure, with affinity routing */
       GICD_CTLR_AFFINITY_ROUTING = 1 << 4,

       GICR_CTLR = 0x00,
       GICR_CTLR_WRITE_PENDING = 1 << 3,
       GICR_TYPER = 0x08, /* 64 */
       GICR_TYPER_VIRTUAL_LPIS = 1 << 1,
       GICR_TYPER_LAST = 1 << 4,
       GICR_WAKER = 0x14,
       GICR_WAKER_PROCESSOR_SLEEP = 1 << 1,
       GICR_WAKER_CHILDREN_ASLEEP = 1 << 2,

       DISTRIBUTOR_SIZE = 0x10000,
       FRAME_SIZE = 0x10000,
       REDISTRIBUTOR_SIZE = 2 * FRAME_SIZE, /* registers, then the private lines */
       REDISTRIBUTOR_SIZE_VIRTUAL = 4 * FRAME_SIZE,
};

#define GICD_CTLR_WRITE_PENDING (UINT32_C(1) << 31)

/* ICC_ registers [IHI 0069 §12.2] */
#define ICC_PMR_EL1     S3_0_C4_C6_0
#define ICC_IAR1_EL1    S3_0_C12_C12_0
#define ICC_EOIR1_EL1   S3_0_C12_C12_1
#define ICC_BPR1_EL1    S3_0_C12_C12_3
#define ICC_CTLR_EL1    S3_0_C12_C12_4
#define ICC_SRE_EL1     S3_0_C12_C12_5
#define ICC_IGRPEN1_EL1 S3_0_C12_C12_7
#define ICC_SGI1R_EL1   S3_0_C12_C11_5
#define ICC_SRE_ENABLED 1

/* The macros name registers by pasting; one more step expands the names above first. */
#define icc_read(name)         system_read(name)
#define icc_write(name, value) system_write(name, value)

/* This CPU's affinity, as GICD_IROUTER has it, too. */
static uint64_t own_affinity(void)
{
    return system_read(mpidr_el1) & UINT64_C(0xff00ffffff);
}

/* ---- This CPU's redistributor ----------------------------------------------------------------------- */

/* GICR_TYPER has the affinity fields packed into its upper half. */
static uint64_t affinity_of(uint64_t type)
{
    return (type >> 32 & 0xffffff) | type >> 56 << 32;
}

/* The size of the redistributor at `physical` when it is another CPU's; 0 when the walk ends here: it is ours, the
 * last, or none. */
static uint64_t examine(uint64_t physical, uint64_t stride, struct redistributor *redistributor)
{
    volatile void *registers = gic_map(physical, REDISTRIBUTOR_SIZE, "redistributor");

    if (registers == NULL)
        return 0;
    uint64_t type = register_read64(registers, GICR_TYPER);
    if (affinity_of(type) == own_affinity()) {
        *redistributor = (struct redistributor){.registers = registers, .physical = physical, .type = type};
        return 0;
    }
    if ((type & GICR_TYPER_LAST) != 0)
        return 0;
    if (stride != 0)
        return stride;
    return (type & GICR_TYPER_VIRTUAL_LPIS) != 0 ? REDISTRIBUTOR_SIZE_VIRTUAL : REDISTRIBUTOR_SIZE;
}

static void walk_region(const struct machine_region *region, uint64_t stride, struct redistributor *redistributor)
{
    uint64_t left = region->size;
    uint64_t at = region->base;

    for (unsigned i = 0; i < MACHINE_MAX_CPUS && left >= REDISTRIBUTOR_SIZE; i++) {
        uint64_t step = examine(at, stride, redistributor);
        if (step < REDISTRIBUTOR_SIZE || step > left)
            return;
        at += step;
        left -= step;
    }
}

static bool find_redistributor(const struct machine *machine)
{
    const struct machine_gic *gic = &machine->gic;
    struct redistributor *redistributor = &gic_local()->redistributor;
    uint64_t stride = gic->redistributor_stride;

    if (stride % FRAME_SIZE != 0 || (stride != 0 && stride < REDISTRIBUTOR_SIZE)) {
        log_warn("gic", "a redistributor stride of 0x%llx cannot be; the hardware's own is used",
                 (unsigned long long)stride);
        stride = 0;
    }
    for (uint32_t i = 0; i < gic->redistributor_count && i < MACHINE_MAX_REDISTRIBUTORS; i++) {
        walk_region(&gic->redistributors[i], stride, redistributor);
        if (redistributor->registers != NULL)
            return true;
    }
    for (uint32_t i = 0; i < machine->cpu_count && i < MACHINE_MAX_CPUS; i++)
        if (machine->cpus[i].hardware_id == own_affinity() && machine->cpus[i].gic_redistributor != 0) {
            examine(machine->cpus[i].gic_redistributor, 0, redistributor);
            if (redistributor->registers != NULL)
                return true;
        }
    log_error("gic", "none of %u redistributor regions has this CPU, 0x%llx", gic->redistributor_count,
              (unsigned long long)own_affinity());
    return false;
}

static bool wake_redistributor(void)
{
    volatile void *registers = gic_local()->redistributor.registers;
    uint32_t waker = register_read32(registers, GICR_WAKER);

    register_write32(registers, GICR_WAKER, waker & ~(uint32_t)GICR_WAKER_PROCESSOR_SLEEP);
    if (gic_wait(registers, GICR_WAKER, GICR_WAKER_CHILDREN_ASLEEP, 0))
        return true;
    log_error("gic", "the redistributor at 0x%llx did not wake within 100 ms",
              (unsigned long long)gic_local()->redistributor.physical);
    return false;
}

/* ---- CPU interface ---------------------------------------------------------------------------------- */

static bool init_interface(void)
{
    icc_write(ICC_SRE_EL1, icc_read(ICC_SRE_EL1) | ICC_SRE_ENABLED);
    barrier_instructions();
    if ((icc_read(ICC_SRE_EL1) & ICC_SRE_ENABLED) == 0) {
        log_error("gic", "whoever runs below us keeps the GIC's system registers to itself");
        return false;
    }
    icc_write(ICC_PMR_EL1, GIC_PRIORITY_MASK);
    icc_write(ICC_BPR1_EL1, 0);
    icc_write(ICC_CTLR_EL1, 0);
    icc_write(ICC_IGRPEN1_EL1, 1);
    barrier_instructions();
    return true;
}

static bool init_cpu(const struct machine *machine)
{
    if (!find_redistributor(machine) || !wake_redistributor())
        return false;
    gic_quieten((volatile uint8_t *)gic_local()->redistributor.registers + FRAME_SIZE, 0, GIC_FIRST_SHARED, true);
    return init_interface();
}

static bool init(const struct machine *machine)
{
    if (system_field(system_read(id_aa64pfr0_el1), 24) == 0) {
        log_error("gic", "the machine names a GICv3, but this CPU has no system registers for one");
        return false;
    }
    if (!gic_distributor_init(machine, DISTRIBUTOR_SIZE))
        return false;

    register_write32(gic_distributor, GICD_CTLR, 0);
    bool ready = gic_wait(gic_distributor, GICD_CTLR, GICD_CTLR_WRITE_PENDING, 0);
    gic_quieten(gic_distributor, GIC_FIRST_SHARED, gic_line_count - GIC_FIRST_SHARED, true);
    register_write32(gic_distributor, GICD_CTLR, GICD_CTLR_AFFINITY_ROUTING | GICD_CTLR_GROUP1);
    ready = gic_wait(gic_distributor, GICD_CTLR, GICD_CTLR_WRITE_PENDING, 0) && ready;
    if (!ready)
        log_warn("gic", "the distributor did not confirm a change within 100 ms; going on without");

    return init_cpu(machine);
}

/* To one CPU, by its affinity; targets are grouped by 16 [IHI 0069 §12.2.19]. What was written before is seen by
 * whoever is interrupted. */
static void interrupt(const struct cpu *to)
{
    uint64_t id = to->hardware_id, last = id & 0xff;

    arch_barrier_full();
    icc_write(ICC_SGI1R_EL1, (id >> 32 & 0xff) << 48 | (last >> 4) << 44 | (id >> 16 & 0xff) << 32 |
                                 (uint64_t)GIC_IPI << 24 | (id >> 8 & 0xff) << 16 | UINT64_C(1) << (last & 15));
    barrier_instructions();
}

/* The barrier keeps what the handler reads behind the acknowledgement. */
static uint32_t acknowledge(void)
{
    uint32_t token = (uint32_t)icc_read(ICC_IAR1_EL1);

    arch_barrier_full();
    return token;
}

static void end(uint32_t token)
{
    icc_write(ICC_EOIR1_EL1, token);
    barrier_instructions();
}

/* ---- Lines ------------------------------------------------------------------------------------------ */

static volatile void *bank(uint32_t number)
{
    if (number >= GIC_FIRST_SHARED)
        return gic_distributor;
    return (volatile uint8_t *)gic_local()->redistributor.registers + FRAME_SIZE;
}

static enum status target(uint32_t number, unsigned cpu)
{
    register_write64(gic_distributor, GICD_IROUTER + 8 * number, cpu_at(cpu)->hardware_id);
    return STATUS_OK;
}

static void settle(uint32_t number)
{
    bool done = number >= GIC_FIRST_SHARED
                    ? gic_wait(gic_distributor, GICD_CTLR, GICD_CTLR_WRITE_PENDING, 0)
                    : gic_wait(gic_local()->redistributor.registers, GICR_CTLR, GICR_CTLR_WRITE_PENDING, 0);

    if (!done)
        log_warn("gic", "line %u was not confirmed to be disabled within 100 ms", number);
}

static void report(struct printer *printer)
{
    print(printer, "gic redistributor: 0x%llx, cpu 0x%llx\n", (unsigned long long)gic_local()->redistributor.physical,
          (unsigned long long)own_affinity());
}

const struct gic gicv3 = {
    .name = "GICv3",
    .number_mask = 0xffffff,
    .init = init,
    .init_cpu = init_cpu,
    .interrupt = interrupt,
    .acknowledge = acknowledge,
    .end = end,
    .bank = bank,
    .target = target,
    .settle = settle,
    .report = report,
};
