/*
 * power.c: how the machine ends: a register that the device tree names (QEMU's `sifive,test`, which can tell an exit
 * status), the firmware, or ACPI's registers.
 */
#include "local.h"
#include "sbi.h"

#include <lib/log.h>
#include <platform/power.h>

enum {
    TEST_FAIL = 0x3333, /* sifive,test: the exit status is in bits 31:16 */
    FAILED_STATUS = 1,
};

bool power_store(volatile void *at, unsigned width, uint32_t value)
{
    return device_try_write(at, width, value);
}

static void off_with_failure(const struct machine *machine, bool failed)
{
    if (machine->power.sifive_test && failed)
        power_write_register("failure register", &machine->power.poweroff_register, TEST_FAIL | FAILED_STATUS << 16);
}

static void say_result(const char *what, int64_t error)
{
    log_warn("power", "SBI %s came back with %lld", what, (long long)error);
}

static void off_by_firmware(const struct machine *machine, bool failed)
{
    (void)machine;
    if (!sbi_has(SBI_RESET))
        return;
    power_trying("SBI system reset: shutdown");
    say_result("shutdown", sbi_power_off(failed));
}

/* Firmware from before SBI 0.2 has this call and cannot say so. Later ones may have it too, and halt in it where they
 * cannot end the machine either: so it comes last. */
static void off_by_legacy_call(const struct machine *machine, bool failed)
{
    (void)machine;
    (void)failed;
    power_trying("the legacy SBI shutdown; a machine that stands still now can be turned off from outside");
    say_result("legacy shutdown", sbi_legacy_shutdown());
}

static void reset_by_firmware(const struct machine *machine, bool failed)
{
    (void)machine;
    (void)failed;
    if (!sbi_has(SBI_RESET)) {
        log_warn("power", "the firmware has no SBI system reset");
        return;
    }
    power_trying("SBI system reset: cold reboot");
    say_result("cold reboot", sbi_reboot());
}

void cpu_power_off(const struct machine *machine, bool failed)
{
    static power_means *const chain[] = {off_with_failure, power_off_by_register, off_by_firmware,
                                         power_off_by_sleep_control, off_by_legacy_call};
    static unsigned next;

    power_chain(chain, sizeof chain / sizeof chain[0], &next, machine, failed);
}

void cpu_reset(const struct machine *machine)
{
    static power_means *const chain[] = {reset_by_register, reset_by_firmware, reset_by_acpi};
    static unsigned next;

    power_chain(chain, sizeof chain / sizeof chain[0], &next, machine, false);
}
