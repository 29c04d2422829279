/*
 * gicv2.c: GICv2's CPU interface [Arm GIC Architecture 2.0 IHI 0048] (QEMU: -M virt,gic-version=2).
 *
 * Groups are left as they are: without the security extension there is one, with it only one is ours.
 */
#include "gic.h"
#include "local.h"

#include <lib/log.h>
#include <platform/mmu.h>

enum { /* [IHI 0048 §4.4] */
       GICC_CTLR = 0x00,
       GICC_PMR = 0x04,
       GICC_BPR = 0x08,
       GICC_IAR = 0x0c,
       GICC_EOIR = 0x10,

       DISTRIBUTOR_SIZE = 0x1000,
       INTERFACE_SIZE = 0x1000,
};

static uint64_t interface_physical; /* the boot CPU's */

static uint64_t find_interface(const struct machine *machine)
{
    uint64_t self = system_read(mpidr_el1) & UINT64_C(0xff00ffffff);

    for (uint32_t i = 0; i < machine->cpu_count && i < MACHINE_MAX_CPUS; i++)
        if (machine->cpus[i].hardware_id == self && machine->cpus[i].gic_cpu_interface != 0)
            return machine->cpus[i].gic_cpu_interface;
    return machine->gic.cpu_interface;
}

/* A private line's target register names the CPU that reads it [IHI 0048 §4.3.12]. On one CPU it may read 0. */
static bool init_interface(uint64_t physical)
{
    struct gic_cpu *own = gic_local();

    own->target = register_read8(gic_distributor, GICD_ITARGETSR);
    own->interface = gic_map(physical, INTERFACE_SIZE, "CPU interface");
    if (own->interface == NULL)
        return false;
    register_write32(own->interface, GICC_PMR, GIC_PRIORITY_MASK);
    register_write32(own->interface, GICC_BPR, 0);
    register_write32(own->interface, GICC_CTLR, 1);
    return true;
}

static bool init(const struct machine *machine)
{
    if (!gic_distributor_init(machine, DISTRIBUTOR_SIZE))
        return false;
    register_write32(gic_distributor, GICD_CTLR, 0);
    gic_quieten(gic_distributor, 0, gic_line_count, false);
    register_write32(gic_distributor, GICD_CTLR, 1);
    interface_physical = find_interface(machine);
    return init_interface(interface_physical);
}

/* The first 32 lines' registers in the distributor are this CPU's own. */
static bool init_cpu(const struct machine *machine)
{
    gic_quieten(gic_distributor, 0, GIC_FIRST_SHARED, false);
    return init_interface(find_interface(machine)) && gic_local()->target != 0;
}

/* What was written before is seen by whoever is interrupted. */
static void interrupt(const struct cpu *to)
{
    const struct gic_cpu *other = to->controller;

    arch_barrier_full();
    register_write32(gic_distributor, GICD_SGIR, (uint32_t)other->target << 16 | GIC_IPI);
}

static uint32_t acknowledge(void)
{
    return register_read32(gic_local()->interface, GICC_IAR);
}

static void end(uint32_t token)
{
    register_write32(gic_local()->interface, GICC_EOIR, token);
}

static volatile void *bank(uint32_t number)
{
    (void)number;
    return gic_distributor;
}

static enum status target(uint32_t number, unsigned cpu)
{
    uint8_t bit = gic_of(cpu)->target;

    if (bit == 0 && cpu != 0)
        return STATUS_UNSUPPORTED;
    register_write8(gic_distributor, GICD_ITARGETSR + number, bit != 0 ? bit : 1);
    return STATUS_OK;
}

/* An interrupt that is on its way to the CPU interface can still be acknowledged; interrupt.c finds no route then. */
static void settle(uint32_t number)
{
    (void)number;
}

static void report(struct printer *printer)
{
    print(printer, "gic cpu interface: 0x%llx\n", (unsigned long long)interface_physical);
}

const struct gic gicv2 = {
    .name = "GICv2",
    .number_mask = 0x3ff,
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
