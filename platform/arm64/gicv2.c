/*
 * gicv2.c: GICv2's CPU interface [Arm GIC Architecture 2.0 IHI 0048] (QEMU: -M virt,gic-version=2).
 *
 * Groups are left as they are: without the security extension there is one, with it only one is ours.
 */
#include "gic.h"
#include "local.h"

#include <lib/log.h>

enum { /* [IHI 0048 §4.4] */
       GICC_CTLR = 0x00,
       GICC_PMR = 0x04,
       GICC_BPR = 0x08,
       GICC_IAR = 0x0c,
       GICC_EOIR = 0x10,

       DISTRIBUTOR_SIZE = 0x1000,
       INTERFACE_SIZE = 0x1000,
};

static volatile void *interface;
static uint64_t interface_physical;

static uint64_t find_interface(const struct machine *machine)
{
    uint64_t self = system_read(mpidr_el1) & UINT64_C(0xff00ffffff);

    for (uint32_t i = 0; i < machine->cpu_count && i < MACHINE_MAX_CPUS; i++)
        if (machine->cpus[i].hardware_id == self && machine->cpus[i].gic_cpu_interface != 0)
            return machine->cpus[i].gic_cpu_interface;
    return machine->gic.cpu_interface;
}

static bool init(const struct machine *machine)
{
    if (!gic_distributor_init(machine, DISTRIBUTOR_SIZE))
        return false;
    interface_physical = find_interface(machine);
    interface = gic_map(interface_physical, INTERFACE_SIZE, "CPU interface");
    if (interface == NULL)
        return false;

    register_write32(gic_distributor, GICD_CTLR, 0);
    gic_quieten(gic_distributor, 0, gic_line_count, false);
    register_write32(gic_distributor, GICD_CTLR, 1);
    register_write32(interface, GICC_PMR, GIC_PRIORITY_MASK);
    register_write32(interface, GICC_BPR, 0);
    register_write32(interface, GICC_CTLR, 1);
    return true;
}

static uint32_t acknowledge(void)
{
    return register_read32(interface, GICC_IAR);
}

static void end(uint32_t token)
{
    register_write32(interface, GICC_EOIR, token);
}

static volatile void *bank(uint32_t number)
{
    (void)number;
    return gic_distributor;
}

/* A private line's target register names the CPU that reads it [IHI 0048 §4.3.12]. On one CPU it may read 0. */
static void target_self(uint32_t number)
{
    uint8_t self = register_read8(gic_distributor, GICD_ITARGETSR);

    register_write8(gic_distributor, GICD_ITARGETSR + number, self != 0 ? self : 1);
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
    .acknowledge = acknowledge,
    .end = end,
    .bank = bank,
    .target_self = target_self,
    .settle = settle,
    .report = report,
};
