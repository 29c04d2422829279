/*
 * power.c: how the machine ends: PSCI, else registers that tables or the device tree name.
 *
 * Semihosting (QEMU's -semihosting) is the only one that can tell a status, so it is asked first; without it HLT
 * is undefined, which trap.S expects.
 */
#include "local.h"

#include <arch.h>
#include <lib/log.h>
#include <platform/power.h>

enum { /* [Arm PSCI 1.1 DEN 0022 §5.1] */
       PSCI_SYSTEM_OFF = 0x84000008,
       PSCI_SYSTEM_RESET = 0x84000009,
};

enum { /* [Semihosting for AArch32 and AArch64 §6] */
       SEMIHOSTING_EXIT_EXTENDED = 0x20,
       SEMIHOSTING_APPLICATION_EXIT = 0x20026,
};

bool power_store(volatile void *at, unsigned width, uint32_t value)
{
    if (width == 1)
        register_write8(at, 0, (uint8_t)value);
    else if (width == 2)
        register_write16(at, 0, (uint16_t)value);
    else
        register_write32(at, 0, value);
    arch_barrier_full();
    return true;
}

static void call(enum power_conduit conduit, uint32_t function, const char *name)
{
    const char *by = conduit == CONDUIT_HVC ? "HVC" : "SMC";

    power_trying("PSCI %s by %s", name, by);
    int64_t result = conduit == CONDUIT_HVC ? call_hypervisor(function, 0, 0, 0) : call_monitor(function, 0, 0, 0);
    log_warn("power", "PSCI %s by %s came back with %lld", name, by, (long long)result);
}

/* Firmware names the instruction; when nobody answers it the other one is tried: neither does harm. */
static void end_by_psci(const struct machine *machine, uint32_t function, const char *name)
{
    enum power_conduit conduit = machine->power.psci;

    if (conduit == CONDUIT_NONE) {
        log_warn("power", "neither ACPI nor a device tree says that this machine has PSCI");
        return;
    }
    call(conduit, function, name);
    call(conduit == CONDUIT_HVC ? CONDUIT_SMC : CONDUIT_HVC, function, name);
}

static void off_by_semihosting(const struct machine *machine, bool failed)
{
    const uint64_t argument[2] = {SEMIHOSTING_APPLICATION_EXIT, failed};

    (void)machine;
    call_semihosting(SEMIHOSTING_EXIT_EXTENDED, argument);
}

static void off_by_psci(const struct machine *machine, bool failed)
{
    (void)failed;
    end_by_psci(machine, PSCI_SYSTEM_OFF, "SYSTEM_OFF");
}

static void reset_by_psci(const struct machine *machine, bool failed)
{
    (void)failed;
    end_by_psci(machine, PSCI_SYSTEM_RESET, "SYSTEM_RESET");
}

void cpu_power_off(const struct machine *machine, bool failed)
{
    static power_means *const chain[] = {off_by_semihosting, off_by_psci, power_off_by_sleep_control,
                                         power_off_by_register};
    static unsigned next;

    power_chain(chain, sizeof chain / sizeof chain[0], &next, machine, failed);
}

void cpu_reset(const struct machine *machine)
{
    static power_means *const chain[] = {reset_by_psci, reset_by_acpi, reset_by_register};
    static unsigned next;

    power_chain(chain, sizeof chain / sizeof chain[0], &next, machine, false);
}
