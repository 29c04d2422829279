/*
 * reference.c: counters of known frequency, to measure the TSC against: HPET, ACPI PM timer, PIT; at last the
 * local APIC's timer, which virtual machines run at 1 GHz.
 *
 * None of them is trusted to run: whoever measures notices one that stands still.
 */
#include "local.h"

#include <lib/log.h>

/* ---- HPET (`-M q35,hpet=on`, the default) [IA-PC HPET 1.0a §2.3] --------------------------------------------- */

enum {
    HPET_CAPABILITIES = 0x00,
    HPET_PERIOD = 0x04, /* femtoseconds per tick */
    HPET_CONFIGURATION = 0x10,
    HPET_ENABLE = 1 << 0,
    HPET_COUNTER = 0xf0,
    HPET_SIZE = 0x400,
    HPET_LONGEST_PERIOD = 100000000,
};
#define FEMTOSECONDS_PER_SECOND UINT64_C(1000000000000000)

/* The lower half alone: half-and-half reads of a 64-bit counter could tear. */
static uint32_t hpet_read(const struct reference *reference)
{
    return register_read32(reference->base, HPET_COUNTER);
}

static bool hpet_start(const struct machine *machine, struct reference *reference)
{
    volatile void *base = machine->hpet.base == 0 ? NULL : vm_map_device(machine->hpet.base, HPET_SIZE);

    if (base == NULL)
        return false;

    uint32_t period = register_read32(base, HPET_PERIOD);
    if (period == 0 || period > HPET_LONGEST_PERIOD) {
        log_warn("hpet", "claims a period of %u fs; it is not used", period);
        return false;
    }
    register_write32(base, HPET_CONFIGURATION, register_read32(base, HPET_CONFIGURATION) | HPET_ENABLE);
    *reference = (struct reference){
        .name = "HPET",
        .frequency_hz = FEMTOSECONDS_PER_SECOND / period,
        .mask = UINT32_MAX,
        .read = hpet_read,
        .base = base,
    };
    return true;
}

/* ---- PM timer (q35; not microvm) [ACPI 6.5 §4.8.3.3] ------------------------------------------------------- */

enum { PM_TIMER_HZ = 3579545 };

static uint32_t pm_timer_read(const struct reference *reference)
{
    return reference->base != NULL ? register_read32(reference->base, 0) : port_read32(reference->port);
}

static bool pm_timer_start(const struct machine *machine, struct reference *reference)
{
    const struct machine_register *where = &machine->pm_timer;

    *reference = (struct reference){
        .name = "PM timer",
        .frequency_hz = PM_TIMER_HZ,
        .mask = machine->pm_timer_32bit ? UINT32_MAX : 0xffffff,
        .read = pm_timer_read,
        .port = (uint16_t)where->address,
    };
    if (where->space == ADDRESS_MEMORY && where->address != 0)
        reference->base = vm_map_device(where->address, sizeof(uint32_t));
    return reference->base != NULL || (where->space == ADDRESS_PORT && where->address != 0);
}

/* ---- PIT (`-M microvm,pit=on`) [8254 data sheet] ---------------------------------------------------------------- */

enum {
    PIT_HZ = 1193182,
    PIT_COUNTER = 0x40,
    PIT_CONTROL = 0x43,
    PIT_LATCH = 0x00,
    PIT_MODE_0 =
        0x30, /* counter 0, both bytes, one run down to zero, and on from the top without a further interrupt */
};

/* Counter 0 because its gate is always open: that of counter 2 is behind port 0x61, which microvm lacks. */
static uint32_t pit_read(const struct reference *reference)
{
    port_write8(PIT_CONTROL, PIT_LATCH);
    uint32_t low = port_read8(PIT_COUNTER);
    uint32_t high = port_read8(PIT_COUNTER);

    return reference->mask - (high << 8 | low);
}

/* Also where firmware denies having one: ports without a PIT read as a counter that stands still. */
static bool pit_start(const struct machine *machine, struct reference *reference)
{
    (void)machine;
    port_write8(PIT_CONTROL, PIT_MODE_0);
    port_write8(PIT_COUNTER, 0xff);
    port_write8(PIT_COUNTER, 0xff);
    *reference = (struct reference){.name = "PIT", .frequency_hz = PIT_HZ, .mask = 0xffff, .read = pit_read};
    return true;
}

/* ---- The local APIC's timer ------------------------------------------------------------------------------------ */

static uint32_t lapic_timer_read(const struct reference *reference)
{
    return reference->mask - lapic_read(LAPIC_TIMER_CURRENT);
}

/* timer.c has set it running. */
static bool lapic_timer_start(const struct machine *machine, struct reference *reference)
{
    (void)machine;
    *reference = (struct reference){
        .name = "local APIC timer, taken to run at 1 GHz",
        .frequency_hz = NANOSECONDS_PER_SECOND,
        .mask = UINT32_MAX,
        .read = lapic_timer_read,
        .borrowed = true,
    };
    return lapic_present();
}

bool reference_start(unsigned index, const struct machine *machine, struct reference *reference)
{
    switch (index) {
    case 0:
        return hpet_start(machine, reference);
    case 1:
        return pm_timer_start(machine, reference);
    case 2:
        return pit_start(machine, reference);
    default:
        return lapic_timer_start(machine, reference);
    }
}
