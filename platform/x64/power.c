/*
 * power.c: how the machine ends: ACPI's registers, else what PCs have had since the beginning.
 *
 * With `-device isa-debug-exit,iobase=0x501,iosize=2` QEMU exits with status 33 after success and 35 after
 * failure: it makes value << 1 | 1 of what is written. Without that device the write goes nowhere.
 */
#include "local.h"

#include <lib/log.h>
#include <platform/power.h>

enum {
    EXIT_PORT = 0x501,
    EXIT_SUCCESS = 0x10,
    EXIT_FAILURE = 0x11,

    /* [ACPI 6.5 §4.8.3.2.1] PM1 control */
    PM1_SLEEP_TYPE_SHIFT = 10,
    PM1_SLEEP_TYPE_MASK = 7 << PM1_SLEEP_TYPE_SHIFT,
    PM1_SLEEP_ENABLE = 1 << 13,

    KEYBOARD_COMMAND = 0x64,
    KEYBOARD_BUSY = 1 << 1,
    KEYBOARD_RESET = 0xfe,
    RESET_CONTROL = 0xcf9, /* of PCI chipsets */
    RESET_CONTROL_HARD = 0x02,
    RESET_CONTROL_NOW = 0x06,
};

bool power_store(volatile void *at, unsigned width, uint32_t value)
{
    if (width == 1)
        *(volatile uint8_t *)at = (uint8_t)value;
    else if (width == 2)
        *(volatile uint16_t *)at = (uint16_t)value;
    else
        *(volatile uint32_t *)at = value;
    return true;
}

/* ---- Off --------------------------------------------------------------------------------------------- */

static void off_by_debug_exit(const struct machine *machine, bool failed)
{
    (void)machine;
    port_write8(EXIT_PORT, failed ? EXIT_FAILURE : EXIT_SUCCESS);
}

static volatile uint16_t *pm1_registers(const struct machine_register *control)
{
    return control->space == ADDRESS_MEMORY && control->address % 2 == 0 ? vm_map_device(control->address, 2) : NULL;
}

/* The other bits of the register stay: bus master and SCI switches that are firmware's. */
static void sleep_by_pm1(const struct machine_register *control, int16_t type)
{
    volatile uint16_t *registers = pm1_registers(control);
    bool port = control->space == ADDRESS_PORT;

    if (!port && registers == NULL)
        return;
    uint16_t value = port ? port_read16((uint16_t)control->address) : *registers;
    value = (uint16_t)((value & ~(PM1_SLEEP_TYPE_MASK | PM1_SLEEP_ENABLE)) | type << PM1_SLEEP_TYPE_SHIFT);
    /* First the type, then the switch [ACPI 6.5 §16.1.6]. */
    if (port) {
        port_write16((uint16_t)control->address, value);
        port_write16((uint16_t)control->address, value | PM1_SLEEP_ENABLE);
    } else {
        *registers = value;
        *registers = value | PM1_SLEEP_ENABLE;
    }
}

static void off_by_pm1(const struct machine *machine, bool failed)
{
    const struct machine_power *power = &machine->power;
    bool two = power->pm1b_control.space != ADDRESS_NONE;

    (void)failed;
    if (power->pm1a_control.space == ADDRESS_NONE)
        return;
    if (power->sleep_type_a < 0) {
        log_warn("power", "ACPI PM1 control is not used: no \\_S5_ was found that says with which sleep type");
        return;
    }
    power_trying("ACPI PM1 control: sleep type %d to %s 0x%llx%s", power->sleep_type_a,
                 power->pm1a_control.space == ADDRESS_PORT ? "port" : "address",
                 (unsigned long long)power->pm1a_control.address, two ? " and to its other half" : "");
    /* The machine goes to sleep when both halves have been told, where there are two. */
    sleep_by_pm1(&power->pm1a_control, power->sleep_type_a);
    if (two)
        sleep_by_pm1(&power->pm1b_control, power->sleep_type_b);
    clock_spin(POWER_SETTLE_NS);
    log_warn("power", "ACPI PM1 control: written, and the machine runs on");
}

void cpu_power_off(const struct machine *machine, bool failed)
{
    static power_means *const chain[] = {off_by_debug_exit, power_off_by_sleep_control, off_by_pm1,
                                         power_off_by_register};
    static unsigned next;

    power_chain(chain, sizeof chain / sizeof chain[0], &next, machine, failed);
}

/* ---- Reset ------------------------------------------------------------------------------------------- */

static void reset_by_keyboard(const struct machine *machine, bool failed)
{
    (void)machine;
    (void)failed;
    power_trying("the keyboard controller's reset");
    for (unsigned poll = 0; poll < 1000 && (port_read8(KEYBOARD_COMMAND) & KEYBOARD_BUSY) != 0; poll++)
        clock_spin(NANOSECONDS_PER_MICROSECOND);
    port_write8(KEYBOARD_COMMAND, KEYBOARD_RESET);
    clock_spin(POWER_SETTLE_NS);
    log_warn("power", "the keyboard controller's reset: asked for, and the machine runs on");
}

static void reset_by_chipset(const struct machine *machine, bool failed)
{
    (void)machine;
    (void)failed;
    power_trying("the chipset's reset control at port 0xcf9");
    port_write8(RESET_CONTROL, RESET_CONTROL_HARD);
    port_write8(RESET_CONTROL, RESET_CONTROL_NOW);
    clock_spin(POWER_SETTLE_NS);
    log_warn("power", "the chipset's reset control: written, and the machine runs on");
}

/* With no gates an interrupt faults, so does that fault, and then the CPU shuts down: a PC's board resets it. */
static void reset_by_triple_fault(const struct machine *machine, bool failed)
{
    struct {
        uint16_t limit;
        uint64_t base;
    } __attribute__((packed)) none = {0, 0};

    (void)machine;
    (void)failed;
    power_trying("a fault that nobody handles");
    __asm__ volatile("lidt %0; int3" ::"m"(none));
}

void cpu_reset(const struct machine *machine)
{
    static power_means *const chain[] = {reset_by_acpi, reset_by_register, reset_by_keyboard, reset_by_chipset,
                                         reset_by_triple_fault};
    static unsigned next;

    power_chain(chain, sizeof chain / sizeof chain[0], &next, machine, false);
}
