/*
 * power.c: how the machine ends: ACPI's registers, else what PCs have had since the beginning.
 *
 * With `-device isa-debug-exit,iobase=0x501,iosize=2` QEMU exits with status 33 after success and 35 after
 * failure: it makes value << 1 | 1 of what is written. Without that device the write goes nowhere.
 */
#include "local.h"

#include <lib/log.h>

enum {
    EXIT_PORT = 0x501,
    EXIT_SUCCESS = 0x10,
    EXIT_FAILURE = 0x11,

    /* [ACPI 6.5 §4.8.3.2.1] PM1 control, [§4.8.3.7] sleep control */
    PM1_SLEEP_TYPE_SHIFT = 10,
    PM1_SLEEP_TYPE_MASK = 7 << PM1_SLEEP_TYPE_SHIFT,
    PM1_SLEEP_ENABLE = 1 << 13,
    SLEEP_CONTROL_TYPE_SHIFT = 2,
    SLEEP_CONTROL_ENABLE = 1 << 5,
    SLEEP_TYPE_OFF = 5, /* what hardware-reduced virtual machines use, where \_S5 was not found */

    KEYBOARD_COMMAND = 0x64,
    KEYBOARD_BUSY = 1 << 1,
    KEYBOARD_RESET = 0xfe,
    RESET_CONTROL = 0xcf9, /* of PCI chipsets */
    RESET_CONTROL_HARD = 0x02,
    RESET_CONTROL_NOW = 0x06,
};

/* Hardware may take this long to act on a write before the next means is tried. */
#define SETTLE_NS (20 * NANOSECONDS_PER_MILLISECOND)

static volatile void *map_register(const struct machine_register *where)
{
    return where->address != 0 ? vm_map_device(where->address, where->access_bytes) : NULL;
}

static uint32_t read_register(const struct machine_register *where)
{
    if (where->space == ADDRESS_PORT) {
        uint16_t port = (uint16_t)where->address;
        return where->access_bytes == 1   ? port_read8(port)
               : where->access_bytes == 2 ? port_read16(port)
                                          : port_read32(port);
    }

    volatile void *at = map_register(where);
    if (at == NULL)
        return 0;
    return where->access_bytes == 1   ? *(volatile uint8_t *)at
           : where->access_bytes == 2 ? *(volatile uint16_t *)at
                                      : *(volatile uint32_t *)at;
}

static void write_register(const struct machine_register *where, uint32_t value)
{
    if (where->space == ADDRESS_PORT) {
        uint16_t port = (uint16_t)where->address;
        if (where->access_bytes == 1)
            port_write8(port, (uint8_t)value);
        else if (where->access_bytes == 2)
            port_write16(port, (uint16_t)value);
        else
            port_write32(port, value);
        return;
    }

    volatile void *at = map_register(where);
    if (at == NULL)
        return;
    if (where->access_bytes == 1)
        *(volatile uint8_t *)at = (uint8_t)value;
    else if (where->access_bytes == 2)
        *(volatile uint16_t *)at = (uint16_t)value;
    else
        *(volatile uint32_t *)at = value;
}

/* Does nothing for a register that the machine does not have. */
static void try_register(const struct machine_register *where, uint32_t value)
{
    if (where->space == ADDRESS_NONE)
        return;
    write_register(where, value);
    clock_spin(SETTLE_NS);
}

static void sleep_by_pm1(const struct machine_register *control, int16_t type, bool last)
{
    if (control->space == ADDRESS_NONE || type < 0)
        return;

    uint32_t value = read_register(control) & ~(uint32_t)(PM1_SLEEP_TYPE_MASK | PM1_SLEEP_ENABLE);
    value |= ((uint32_t)type << PM1_SLEEP_TYPE_SHIFT & PM1_SLEEP_TYPE_MASK) | PM1_SLEEP_ENABLE;
    write_register(control, value);
    if (last)
        clock_spin(SETTLE_NS);
}

void cpu_power_off(const struct machine *machine, bool failed)
{
    const struct machine_power *power = &machine->power;
    uint32_t type = power->sleep_type_a >= 0 ? (uint32_t)power->sleep_type_a : SLEEP_TYPE_OFF;

    port_write8(EXIT_PORT, failed ? EXIT_FAILURE : EXIT_SUCCESS);
    try_register(&power->sleep_control, type << SLEEP_CONTROL_TYPE_SHIFT | SLEEP_CONTROL_ENABLE);
    /* The machine goes to sleep when both halves have been told, where there are two. */
    sleep_by_pm1(&power->pm1a_control, power->sleep_type_a, power->pm1b_control.space == ADDRESS_NONE);
    sleep_by_pm1(&power->pm1b_control, power->sleep_type_b, true);
    try_register(&power->poweroff_register, power->poweroff_value);
}

/* With no gates an interrupt faults, so does that fault, and then the CPU shuts down: a PC's board resets it. */
static void triple_fault(void)
{
    struct {
        uint16_t limit;
        uint64_t base;
    } __attribute__((packed)) none = {0, 0};

    __asm__ volatile("lidt %0; int3" ::"m"(none));
}

void cpu_reset(const struct machine *machine)
{
    const struct machine_power *power = &machine->power;

    try_register(&power->reset, power->reset_value);
    try_register(&power->reboot_register, power->reboot_value);
    for (unsigned poll = 0; poll < 1000 && (port_read8(KEYBOARD_COMMAND) & KEYBOARD_BUSY) != 0; poll++)
        clock_spin(NANOSECONDS_PER_MICROSECOND);
    port_write8(KEYBOARD_COMMAND, KEYBOARD_RESET);
    clock_spin(SETTLE_NS);
    port_write8(RESET_CONTROL, RESET_CONTROL_HARD);
    port_write8(RESET_CONTROL, RESET_CONTROL_NOW);
    clock_spin(SETTLE_NS);
    triple_fault();
}
