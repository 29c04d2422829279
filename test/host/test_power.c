/* test_power.c: the chain of means that end a machine, over a machine that obeys none of them. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "host_log.h"
#include <platform/power.c>

/* ---- What the machine sees -------------------------------------------------------------------------------- */

static char seen[256];
static bool ports, answers;
static uint8_t space[16];

static void note(const char *format, ...)
{
    va_list arguments;
    size_t used = strlen(seen);

    va_start(arguments, format);
    vsnprintf(seen + used, sizeof seen - used, format, arguments);
    va_end(arguments);
}

bool port_space_exists(void)
{
    return ports;
}

void port_write8(uint16_t port, uint8_t value)
{
    note("p%x=%x ", port, value);
}

void port_write16(uint16_t port, uint16_t value)
{
    note("w%x=%x ", port, value);
}

void port_write32(uint16_t port, uint32_t value)
{
    note("d%x=%x ", port, value);
}

volatile void *vm_map_device(uint64_t physical, uint64_t size)
{
    note("map %llx ", (unsigned long long)physical);
    return size <= sizeof space ? space : NULL;
}

bool power_store(volatile void *at, unsigned width, uint32_t value)
{
    assert_ptr_equal(at, space);
    if (answers)
        note("%u=%x ", width, value);
    return answers;
}

void clock_spin(uint64_t nanoseconds)
{
    assert_true(nanoseconds >= 100 * NANOSECONDS_PER_MILLISECOND); /* a busy host needs some */
    assert_true(nanoseconds <= NANOSECONDS_PER_SECOND);
}

static int fresh(void **state)
{
    (void)state;
    host_log_clear();
    seen[0] = '\0';
    ports = answers = true;
    return 0;
}

static const struct machine_register SLEEP = {ADDRESS_MEMORY, 1, 0, 0xfea00200};

/* ---- Registers ---------------------------------------------------------------------------------------------- */

static void sleep_control(void **state)
{
    static struct machine machine;

    (void)state;
    machine.power.sleep_type_a = -1;
    power_off_by_sleep_control(&machine, false);
    assert_string_equal(host_log_text(), ""); /* this machine has none: nothing to say */
    machine.power.sleep_control = SLEEP;
    power_off_by_sleep_control(&machine, false);
    assert_string_equal(seen, "");
    assert_true(host_log_has("no \\_S5_ was found"));
    machine.power.sleep_type_a = 5;
    power_off_by_sleep_control(&machine, false);
    assert_string_equal(seen, "map fea00200 1=34 ");
    assert_true(host_log_has("trying ACPI sleep control: 0x34 to address 0xfea00200"));
    assert_true(host_log_has("ACPI sleep control: written, and the machine runs on"));
}

static void nothing_there(void **state)
{
    static struct machine machine;

    (void)state;
    answers = ports = false;
    machine.power.reset = (struct machine_register){ADDRESS_MEMORY, 4, 0, 0x1000};
    reset_by_acpi(&machine, false);
    assert_true(host_log_has("ACPI reset register: nothing is there to be written to"));
    seen[0] = '\0';
    machine.power.reset.address = 0x1002; /* not where four bytes can be written */
    reset_by_acpi(&machine, false);
    machine.power.reset = (struct machine_register){ADDRESS_PORT, 1, 0, 0xcf9};
    reset_by_acpi(&machine, false);
    machine.power.reset = (struct machine_register){ADDRESS_PCI, 1, 0, 0};
    reset_by_acpi(&machine, false);
    assert_string_equal(seen, "");
}

static void widths(void **state)
{
    static struct machine machine;

    (void)state;
    machine.power.reset_value = 0xf;
    for (unsigned bytes = 1; bytes <= 4; bytes *= 2) {
        machine.power.reset = (struct machine_register){ADDRESS_PORT, (uint8_t)bytes, 0, 0xcf9};
        reset_by_acpi(&machine, false);
    }
    machine.power.poweroff_register = (struct machine_register){ADDRESS_MEMORY, 4, 0, 0x100000};
    machine.power.poweroff_value = 0x5555;
    power_off_by_register(&machine, false);
    assert_string_equal(seen, "pcf9=f wcf9=f dcf9=f map 100000 4=5555 ");
}

static void configuration_space(void **state)
{
    static struct machine machine;
    static struct machine_room room;

    (void)state;
    machine_use_room(&machine, &room);
    machine.power.reset = (struct machine_register){ADDRESS_PCI, 1, 0, 0x1f << 15 | 3 << 12 | 0xb2};
    machine.power.reset_value = 6;
    reset_by_acpi(&machine, false);
    assert_string_equal(seen, "dcf8=8000fbb0 pcfe=6 ");
    seen[0] = '\0';
    machine.host_bridge_count = 2;
    machine.host_bridges[0] = (struct machine_host_bridge){.segment = 1, .last_bus = 255, .ecam = 0xa0000000};
    machine.host_bridges[1] = (struct machine_host_bridge){.last_bus = 255, .ecam = 0xb0000000};
    reset_by_acpi(&machine, false);
    assert_string_equal(seen, "map b00fb0b2 1=6 ");
}

/* ---- The chain ---------------------------------------------------------------------------------------------- */

static jmp_buf crash;

static void first(const struct machine *machine, bool failed)
{
    (void)machine;
    note(failed ? "first-failed " : "first ");
}

static void crashes(const struct machine *machine, bool failed)
{
    (void)machine;
    (void)failed;
    note("crash ");
    longjmp(crash, 1);
}

static void last(const struct machine *machine, bool failed)
{
    (void)machine;
    (void)failed;
    note("last ");
}

/* A means that crashes panics, and the panic asks for the end again: what comes behind it has its turn. */
static void goes_on_behind_a_crash(void **state)
{
    static power_means *const chain[] = {first, crashes, last};
    static struct machine machine;
    static unsigned next;
    volatile bool crashed = false;

    (void)state;
    if (setjmp(crash) == 0)
        power_chain(chain, 3, &next, &machine, true);
    else if (!crashed) {
        crashed = true;
        power_chain(chain, 3, &next, &machine, true);
    }
    assert_string_equal(seen, "first-failed crash last ");
    assert_int_equal(next, 0); /* and it can be tried anew */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(sleep_control, fresh),
        cmocka_unit_test_setup(nothing_there, fresh),
        cmocka_unit_test_setup(widths, fresh),
        cmocka_unit_test_setup(configuration_space, fresh),
        cmocka_unit_test_setup(goes_on_behind_a_crash, fresh),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
