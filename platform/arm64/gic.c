/*
 * gic.c: what GICv2 and GICv3 have in common: the distributor, and patience.
 */
#include "gic.h"
#include "local.h"

#include <lib/log.h>
#include <platform/clock.h>
#include <platform/mmu.h>

enum {
    WAIT_DIVISOR = 10,           /* a tenth of a second */
    WAIT_TURNS = 10000000,       /* should the counter stand still */
    WAIT_FREQUENCY = 1000000000, /* should CNTFRQ_EL0 be 0 */
};

volatile void *gic_distributor;
uint32_t gic_line_count;

struct gic_cpu *gic_local(void)
{
    return cpu_local()->controller;
}

struct gic_cpu *gic_of(unsigned cpu)
{
    return cpu_at(cpu)->controller;
}

volatile void *gic_map(uint64_t physical, uint64_t size, const char *what)
{
    volatile void *base = NULL;
    uint32_t ignored;

    if (physical != 0 && physical % PAGE_SIZE == 0 && physical + size > physical)
        base = vm_map_device(physical, size);
    if (base == NULL) {
        log_error("gic", "the %s at 0x%llx cannot be mapped", what, (unsigned long long)physical);
        return NULL;
    }
    if (!probe_read32(base, &ignored)) {
        log_error("gic", "nothing answers at 0x%llx, where the %s should be", (unsigned long long)physical, what);
        return NULL;
    }
    return base;
}

/* Firmware or a kernel before us may have left lines enabled, pending or active. */
void gic_quieten(volatile void *bank, uint32_t first, uint32_t count, bool groups)
{
    for (uint32_t line = first; line < first + count; line += 32) {
        uint32_t offset = line / 32 * 4;
        register_write32(bank, GICD_ICENABLER + offset, UINT32_MAX);
        register_write32(bank, GICD_ICPENDR + offset, UINT32_MAX);
        register_write32(bank, GICD_ICACTIVER + offset, UINT32_MAX);
        if (groups)
            register_write32(bank, GICD_IGROUPR + offset, UINT32_MAX);
    }
}

bool gic_distributor_init(const struct machine *machine, uint64_t size)
{
    gic_distributor = gic_map(machine->gic.distributor, size, "distributor");
    if (gic_distributor == NULL)
        return false;
    gic_line_count = 32 * ((register_read32(gic_distributor, GICD_TYPER) & 0x1f) + 1);
    if (gic_line_count > GIC_LINES)
        gic_line_count = GIC_LINES;
    return true;
}

struct gic_patience gic_patience(void)
{
    uint64_t frequency = system_read(cntfrq_el0);

    return (struct gic_patience){
        .until = counter_read() + (frequency != 0 ? frequency : WAIT_FREQUENCY) / WAIT_DIVISOR,
        .turns = WAIT_TURNS,
    };
}

bool gic_patient(struct gic_patience *patience)
{
    return patience->turns-- > 0 && (int64_t)(patience->until - counter_read()) > 0;
}

bool gic_wait(const volatile void *base, uint32_t offset, uint32_t mask, uint32_t value)
{
    if ((register_read32(base, offset) & mask) == value)
        return true;

    struct gic_patience patience = gic_patience();
    while (gic_patient(&patience))
        if ((register_read32(base, offset) & mask) == value)
            return true;
    return false;
}
