/*
 * power.c: the registers by which a machine is ended that ACPI, `sifive,test` and syscon nodes name.
 */
#include <platform/power.h>

#include <lib/log.h>
#include <lib/printf.h>
#include <platform/clock.h>
#include <platform/mmu.h>
#include <platform/port.h>

enum { /* Sleep control [ACPI 6.5 §4.8.3.7] */
       SLEEP_CONTROL_TYPE_SHIFT = 2,
       SLEEP_CONTROL_ENABLE = 1 << 5,

       PCI_ADDRESS_PORT = 0xcf8,
       PCI_DATA_PORT = 0xcfc,
};

void power_trying(const char *format, ...)
{
    char text[112];
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    log_info("power", "trying %s", text);
}

void power_chain(power_means *const chain[], unsigned count, unsigned *next, const struct machine *machine, bool failed)
{
    while (*next < count) {
        power_means *means = chain[(*next)++];
        means(machine, failed);
    }
    *next = 0;
}

/* ---- Registers ------------------------------------------------------------------------------------- */

/* Configuration space of bus 0, by its ECAM when there is one. */
static bool write_pci(const struct machine_register *where, uint32_t value, const struct machine *machine)
{
    for (uint32_t i = 0; i < machine->host_bridge_count; i++) {
        const struct machine_host_bridge *bridge = &machine->host_bridges[i];
        if (bridge->segment != 0 || bridge->first_bus != 0 || bridge->ecam == 0)
            continue;
        volatile void *at = vm_map_device(bridge->ecam + where->address, 1);
        return at != NULL && power_store(at, 1, value);
    }
    if (!port_space_exists())
        return false;
    uint32_t function = (uint32_t)(where->address >> 12), offset = (uint32_t)where->address & 0xff;
    port_write32(PCI_ADDRESS_PORT, UINT32_C(1) << 31 | function << 8 | (offset & ~3u));
    port_write8((uint16_t)(PCI_DATA_PORT + (offset & 3)), (uint8_t)value);
    return true;
}

static bool write_port(const struct machine_register *where, uint32_t value)
{
    uint16_t port = (uint16_t)where->address;

    if (!port_space_exists())
        return false;
    if (where->access_bytes == 1)
        port_write8(port, (uint8_t)value);
    else if (where->access_bytes == 2)
        port_write16(port, (uint16_t)value);
    else
        port_write32(port, value);
    return true;
}

static bool write_memory(const struct machine_register *where, uint32_t value)
{
    unsigned width = where->access_bytes == 1 || where->access_bytes == 2 ? where->access_bytes : 4;
    volatile void *at =
        where->address != 0 && where->address % width == 0 ? vm_map_device(where->address, width) : NULL;

    return at != NULL && power_store(at, width, value);
}

static void write_register(const char *what, const struct machine_register *where, uint32_t value,
                           const struct machine *machine)
{
    static const char *const spaces[] = {
        [ADDRESS_MEMORY] = "address", [ADDRESS_PORT] = "port", [ADDRESS_PCI] = "PCI configuration space,"};
    bool written;

    if (where->space == ADDRESS_NONE)
        return;
    power_trying("%s: 0x%x to %s 0x%llx", what, value, spaces[where->space], (unsigned long long)where->address);
    if (where->space == ADDRESS_PORT)
        written = write_port(where, value);
    else if (where->space == ADDRESS_PCI)
        written = machine != NULL && write_pci(where, value, machine);
    else
        written = write_memory(where, value);
    if (written)
        clock_spin(POWER_SETTLE_NS);
    log_warn("power", "%s: %s", what,
             written ? "written, and the machine runs on" : "nothing is there to be written to");
}

void power_write_register(const char *what, const struct machine_register *where, uint32_t value)
{
    write_register(what, where, value, NULL);
}

/* ---- Means ------------------------------------------------------------------------------------------- */

/* Which type switches off only \_S5_ says; without it a number would be a guess, and might only put to sleep. */
void power_off_by_sleep_control(const struct machine *machine, bool failed)
{
    const struct machine_power *power = &machine->power;

    (void)failed;
    if (power->sleep_control.space == ADDRESS_NONE)
        return;
    if (power->sleep_type_a < 0) {
        log_warn("power", "ACPI sleep control is not used: no \\_S5_ was found that says with which type");
        return;
    }
    power_write_register("ACPI sleep control", &power->sleep_control,
                         (uint32_t)power->sleep_type_a << SLEEP_CONTROL_TYPE_SHIFT | SLEEP_CONTROL_ENABLE);
}

void power_off_by_register(const struct machine *machine, bool failed)
{
    (void)failed;
    power_write_register("power-off register", &machine->power.poweroff_register, machine->power.poweroff_value);
}

void reset_by_acpi(const struct machine *machine, bool failed)
{
    (void)failed;
    write_register("ACPI reset register", &machine->power.reset, machine->power.reset_value, machine);
}

void reset_by_register(const struct machine *machine, bool failed)
{
    (void)failed;
    power_write_register("reset register", &machine->power.reboot_register, machine->power.reboot_value);
}
