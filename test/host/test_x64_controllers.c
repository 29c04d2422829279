/*
 * test_x64_controllers.c: platform/x64's PICs, local APIC (both forms) and I/O APICs over registers that the test
 * plays.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "host_log.h"

/* In the place of instructions.h. */
#define X64_INSTRUCTIONS_H
struct cpuid_result {
    uint32_t eax, ebx, ecx, edx;
};
struct cpuid_result cpuid(uint32_t leaf, uint32_t subleaf);
static uint64_t msr_read(uint32_t number);
static void msr_write(uint32_t number, uint64_t value);
static uint32_t register_read32(volatile const void *base, unsigned offset);
static void register_write32(volatile void *base, unsigned offset, uint32_t value);

#include "platform/x64/ioapic.c"
#include "platform/x64/lapic.c"
#include "platform/x64/interrupt.c"

/* ---- The machine ----------------------------------------------------------------------------------------- */

enum { APICS = 3, PINS = 24, EVENTS = 64 };

static struct {
    uint64_t base_msr;
    bool has_apic, has_x2apic;
    uint32_t id; /* as x2APIC says it */
    uint32_t registers[0x400 / 16];
    bool by_memory, by_msr; /* how the registers were reached */
    bool x2_before_enabled; /* x2APIC was switched on from disabled: a general protection fault */
    bool service_never_ends, command_hangs;
    uint64_t command; /* as x2APIC has it */
    unsigned ends, commands;
} local;

static struct {
    uint64_t at;
    uint32_t version, selected;
    uint32_t redirection[2 * 256];
} io[APICS];

static uint8_t port_written[EVENTS];
static uint16_t port_number[EVENTS];
static unsigned ports_written;
static char happened[512]; /* in order: D dispatch, E end, T timer, S spurious */
static uint32_t dispatched, spurious_number;
static bool no_device_space;
static struct machine machine;
static struct machine_room room;
static struct cpu cpu;

static uint32_t local_read(unsigned index)
{
    if (index == LAPIC_ID / 16)
        return (local.base_msr & APIC_BASE_X2) != 0 ? local.id : local.id << 24;
    if (index == LAPIC_VERSION / 16)
        return 0x50014;
    if (index == LAPIC_COMMAND / 16)
        return local.command_hangs ? 1 << 12 : 0;
    return local.registers[index];
}

static void local_write(unsigned index, uint32_t value)
{
    if (index == LAPIC_EOI / 16) {
        assert_int_equal(value, 0);
        local.ends++;
        strcat(happened, "E");
        for (unsigned i = 0; i < 8 && !local.service_never_ends; i++)
            if (local.registers[LAPIC_IN_SERVICE / 16 + i] != 0) {
                local.registers[LAPIC_IN_SERVICE / 16 + i] &= local.registers[LAPIC_IN_SERVICE / 16 + i] - 1;
                break;
            }
        return;
    }
    if (index == LAPIC_COMMAND / 16) {
        local.commands++;
        if (!local.by_msr)
            local.command = (uint64_t)local.registers[LAPIC_DESTINATION / 16] << 8 | value;
    }
    bool input = index >= LAPIC_LVT_TIMER / 16 && index <= LAPIC_LVT_ERROR / 16;
    if (input && (local.registers[LAPIC_SPURIOUS / 16] & SPURIOUS_ENABLE) == 0)
        value |= LAPIC_LVT_MASKED;
    local.registers[index] = value;
}

static uint64_t msr_read(uint32_t number)
{
    if (number == MSR_APIC_BASE)
        return local.base_msr;
    assert_in_range(number, MSR_X2APIC, MSR_X2APIC + 0x3f);
    assert_true((local.base_msr & APIC_BASE_X2) != 0);
    local.by_msr = true;
    return local_read(number - MSR_X2APIC);
}

static void msr_write(uint32_t number, uint64_t value)
{
    if (number == MSR_APIC_BASE) {
        local.x2_before_enabled |= (value & APIC_BASE_X2) != 0 && (local.base_msr & APIC_BASE_ENABLE) == 0;
        local.base_msr = value;
        return;
    }
    assert_in_range(number, MSR_X2APIC, MSR_X2APIC + 0x3f);
    assert_true((local.base_msr & APIC_BASE_X2) != 0);
    local.by_msr = true;
    if (number == MSR_X2APIC + 0x30)
        local.command = value;
    local_write(number - MSR_X2APIC, (uint32_t)value);
}

static uint32_t register_read32(volatile const void *base, unsigned offset)
{
    if (base == (void *)&local) {
        local.by_memory = true;
        return local_read(offset / 16);
    }
    unsigned i = (unsigned)((uintptr_t)base - (uintptr_t)io) / sizeof io[0];
    assert_true(i < APICS && offset == WINDOW);
    if (io[i].selected == VERSION)
        return io[i].version;
    return io[i].selected >= REDIRECTION ? io[i].redirection[io[i].selected - REDIRECTION] : UINT32_MAX;
}

static void register_write32(volatile void *base, unsigned offset, uint32_t value)
{
    if (base == (void *)&local) {
        local.by_memory = true;
        local_write(offset / 16, value);
        return;
    }
    unsigned i = (unsigned)((uintptr_t)base - (uintptr_t)io) / sizeof io[0];
    assert_true(i < APICS);
    if (offset == SELECT) {
        io[i].selected = value;
        return;
    }
    assert_in_range(io[i].selected, REDIRECTION, REDIRECTION + 2 * 256 - 1);
    io[i].redirection[io[i].selected - REDIRECTION] = value;
}

volatile void *vm_map_device(uint64_t physical_address, uint64_t size)
{
    (void)size;
    if (no_device_space)
        return NULL;
    if (physical_address == (local.base_msr & APIC_BASE_ADDRESS))
        return &local;
    for (unsigned i = 0; i < APICS; i++)
        if (io[i].at == physical_address)
            return &io[i];
    fail_msg("nothing is at 0x%llx", (unsigned long long)physical_address);
    return NULL;
}

void port_write8(uint16_t port, uint8_t value)
{
    assert_true(ports_written < EVENTS);
    port_number[ports_written] = port;
    port_written[ports_written++] = value;
}

bool cpu_has(enum cpu_feature feature)
{
    return feature == FEATURE_APIC ? local.has_apic : feature == FEATURE_X2APIC && local.has_x2apic;
}

struct cpu *cpu_local(void)
{
    return &cpu;
}

static struct cpu another;

struct cpu *cpu_at(unsigned index)
{
    return index == 0 ? &cpu : &another;
}

static uint64_t now_ns;

uint64_t clock_now(void)
{
    return now_ns += 1000;
}

void ipi_arrived(void)
{
    strcat(happened, "I");
}

void clock_alarm(void)
{
    strcat(happened, "T");
}

void interrupt_dispatch(uint32_t route)
{
    strcat(happened, "D");
    dispatched = route;
}

void interrupt_spurious(const char *what, uint32_t number)
{
    (void)what;
    strcat(happened, "S");
    spurious_number = number;
}

/* A PC with two I/O APICs, its local APIC enabled as firmware leaves it. */
static int fresh(void **state)
{
    (void)state;
    memset(&local, 0, sizeof local);
    memset(io, 0, sizeof io);
    memset(&machine, 0, sizeof machine);
    memset(&room, 0, sizeof room);
    machine_use_room(&machine, &room);
    memset(apics, 0, sizeof apics);
    registers = NULL;
    x2apic = present = no_device_space = false;
    ports_written = 0;
    apic_errors = 0;
    happened[0] = '\0';
    host_log_clear();

    local.has_apic = true;
    local.base_msr = 0xfee00900;
    local.id = 3;
    machine.local_apic = 0xfee00000;
    machine.io_apic_count = 2;
    for (uint32_t i = 0; i < APICS; i++) {
        io[i].at = 0xfec00000 + 0x10000 * (uint64_t)i;
        io[i].version = 0x00170020;
        machine.io_apics[i] = (struct machine_io_apic){.first_line = i * PINS, .base = io[i].at};
    }
    return 0;
}

/* ---- PIC ------------------------------------------------------------------------------------------------------- */

static void test_pics_are_moved_and_masked(void **state)
{
    (void)state;
    controller_init(&machine);
    assert_int_equal(ports_written, 10);
    for (unsigned i = 0; i < 2; i++) {
        unsigned first = i * 5;
        assert_int_equal(port_number[first], i == 0 ? 0x20 : 0xa0);
        assert_int_equal(port_written[first + 1], 0x20 + 8 * i);
        assert_int_equal(port_written[first + 4], 0xff);
        for (unsigned j = 1; j < 5; j++)
            assert_int_equal(port_number[first + j], port_number[first] + 1);
    }
}

/* ---- Local APIC ------------------------------------------------------------------------------------------------ */

static void test_memory_mapped(void **state)
{
    (void)state;
    controller_init(&machine);
    assert_true(local.by_memory && !local.by_msr);
    assert_int_equal(lapic_id(), 3);
    assert_int_equal(local.registers[LAPIC_SPURIOUS / 16], 0x1ff);
    assert_int_equal(local.registers[LAPIC_TASK_PRIORITY / 16], 0);
    assert_int_equal(local.registers[LAPIC_LVT_LINT0 / 16], LAPIC_LVT_MASKED);
    assert_int_equal(local.registers[LAPIC_LVT_LINT1 / 16], LAPIC_LVT_MASKED);
    assert_int_equal(local.registers[LAPIC_LVT_PERFORMANCE / 16], LAPIC_LVT_MASKED);
    assert_int_equal(local.registers[LAPIC_LVT_THERMAL / 16], LAPIC_LVT_MASKED);
    assert_true((local.registers[LAPIC_LVT_TIMER / 16] & LAPIC_LVT_MASKED) != 0);
}

static void test_x2apic_where_the_cpu_has_it(void **state)
{
    (void)state;
    local.has_x2apic = true;
    controller_init(&machine);
    assert_true(local.by_msr && !local.by_memory);
    assert_int_equal(local.base_msr, 0xfee00d00);
    assert_int_equal(lapic_id(), 3);
    assert_int_equal(local.registers[LAPIC_SPURIOUS / 16], 0x1ff);
    controller_interrupt(VECTOR_TIMER);
    assert_int_equal(local.ends, 1);
}

static void test_x2apic_from_disabled_goes_by_enabled(void **state)
{
    (void)state;
    local.has_x2apic = true;
    local.base_msr = 0xfee00100;
    controller_init(&machine);
    assert_int_equal(local.base_msr, 0xfee00d00);
    assert_false(local.x2_before_enabled);
}

static void test_x2apic_of_firmware_is_kept(void **state)
{
    (void)state;
    local.base_msr = 0xfee00d00;
    controller_init(&machine);
    assert_true(local.by_msr && !local.by_memory);
}

static void test_cpu_is_believed_about_its_apic(void **state)
{
    (void)state;
    machine.local_apic = 0xfed00000;
    controller_init(&machine);
    assert_true(lapic_present());
    assert_true(host_log_has("tables say 0xfed00000, the CPU says 0xfee00000"));
}

static void test_no_local_apic(void **state)
{
    struct machine_line line = {.line = 4};

    (void)state;
    local.has_apic = false;
    controller_init(&machine);
    assert_false(local.by_memory || local.by_msr);
    assert_true(host_log_has("no local APIC"));
    assert_int_equal(controller_route_line(&line, 0), STATUS_NOT_FOUND);
    assert_false(controller_has_messages());
    lapic_end();
    assert_int_equal(local.ends, 0);
}

static void test_no_room_for_its_registers(void **state)
{
    (void)state;
    no_device_space = true;
    controller_init(&machine);
    assert_false(lapic_present());
}

static void test_stale_interrupts_are_ended(void **state)
{
    (void)state;
    local.registers[LAPIC_IN_SERVICE / 16 + 2] = 0x11;
    local.registers[LAPIC_IN_SERVICE / 16 + 7] = 0x80000000;
    controller_init(&machine);
    assert_int_equal(local.ends, 3);
}

static void test_interrupt_that_is_in_service_for_ever(void **state)
{
    (void)state;
    local.service_never_ends = true;
    local.registers[LAPIC_IN_SERVICE / 16] = 1;
    controller_init(&machine);
    assert_true(local.ends <= STALE_INTERRUPTS);
}

static void test_nmi_wiring(void **state)
{
    (void)state;
    machine.cpu_count = 1;
    machine.cpus[0] = (struct machine_cpu){.hardware_id = 3, .firmware_id = 9};
    machine.nmi_count = 4;
    machine.nmis[0] = (struct machine_nmi){.local = true, .lint = 0, .firmware_id = 8}; /* another CPU's */
    machine.nmis[1] = (struct machine_nmi){.local = true, .lint = 1, .firmware_id = 9};
    machine.nmis[2] = (struct machine_nmi){.local = true, .lint = 2, .firmware_id = UINT32_MAX};
    machine.nmis[3] = (struct machine_nmi){.local = false, .lint = 0, .firmware_id = UINT32_MAX};
    controller_init(&machine);
    assert_int_equal(local.registers[LAPIC_LVT_LINT0 / 16], LAPIC_LVT_MASKED);
    assert_int_equal(local.registers[LAPIC_LVT_LINT1 / 16], LAPIC_LVT_NMI);

    machine.nmis[1].lint = 255; /* no such input: nothing is wired */
    controller_init(&machine);
    assert_int_equal(local.registers[LAPIC_LVT_LINT1 / 16], LAPIC_LVT_MASKED);
}

/* ---- I/O APICs ------------------------------------------------------------------------------------------------- */

static uint32_t low(unsigned apic, unsigned pin)
{
    return io[apic].redirection[2 * pin];
}

static void test_all_pins_start_masked(void **state)
{
    (void)state;
    controller_init(&machine);
    for (unsigned pin = 0; pin < PINS; pin++) {
        assert_int_equal(low(0, pin), REDIRECTION_MASKED);
        assert_int_equal(low(1, pin), REDIRECTION_MASKED);
    }
    assert_int_equal(low(0, PINS), 0); /* and not one more */
}

static void test_line_of_the_second(void **state)
{
    struct machine_line line = {.line = 30, .trigger = TRIGGER_LEVEL, .polarity = POLARITY_LOW};

    (void)state;
    controller_init(&machine);
    assert_int_equal(controller_route_line(&line, 5), STATUS_OK);
    assert_int_equal(low(1, 6), 0x35 | 1 << 13 | 1 << 15 | 1 << 16);
    assert_int_equal(io[1].redirection[2 * 6 + 1], 3 << 24);
    controller_unmask(5);
    assert_int_equal(low(1, 6), 0x35 | 1 << 13 | 1 << 15);
    controller_mask(5);
    assert_int_equal(low(1, 6), 0x35 | 1 << 13 | 1 << 15 | 1 << 16);
    controller_unmask(5);
    controller_release(5);
    assert_true((low(1, 6) & REDIRECTION_MASKED) != 0);
    controller_unmask(5); /* nobody's any more */
    assert_true((low(1, 6) & REDIRECTION_MASKED) != 0);
}

static void test_isa_line(void **state)
{
    (void)state;
    machine.override_count = 1;
    machine.overrides[0] = (struct machine_override){.source = 9, .line = {.line = 20, .trigger = TRIGGER_LEVEL}};
    controller_init(&machine);
    struct machine_line serial = isa_line(&machine, 4), moved = isa_line(&machine, 9);
    assert_int_equal(serial.line, 4);
    assert_int_equal(moved.line, 20);
    assert_int_equal(moved.trigger, TRIGGER_LEVEL);
    assert_int_equal(controller_route_line(&serial, 0), STATUS_OK);
    assert_int_equal(low(0, 4), 0x30 | 1 << 16); /* edge, high */
}

static void test_lines_beyond(void **state)
{
    static const uint32_t lines[] = {48, 255, 0xfffe, 0xffff, 0x10004, UINT32_MAX};

    (void)state;
    controller_init(&machine);
    for (unsigned i = 0; i < sizeof lines / sizeof lines[0]; i++) {
        struct machine_line line = {.line = lines[i]};
        assert_int_equal(controller_route_line(&line, 1), STATUS_NOT_FOUND);
    }
}

/* Lines are kept in 16 bits, one value of which means none. */
static void test_line_numbers_too_large_to_be_kept(void **state)
{
    struct machine_line last = {.line = 0xfffe}, none = {.line = 0xffff}, next = {.line = 0x10000};

    (void)state;
    machine.io_apics[1].first_line = 0xfff0;
    controller_init(&machine);
    assert_int_equal(controller_route_line(&last, 1), STATUS_OK);
    assert_int_equal(controller_route_line(&none, 2), STATUS_NOT_FOUND);
    assert_int_equal(controller_route_line(&next, 3), STATUS_NOT_FOUND);
}

static void test_io_apic_that_does_not_answer(void **state)
{
    static const uint32_t versions[] = {0, UINT32_MAX, 0x00ff0020, 0x00f00020};

    for (unsigned i = 0; i < sizeof versions / sizeof versions[0]; i++) {
        struct machine_line line = {.line = 2}, other = {.line = 24};
        fresh(state);
        io[0].version = versions[i];
        controller_init(&machine);
        assert_true(host_log_has("nothing that is an I/O APIC answers at 0xfec00000"));
        assert_int_equal(controller_route_line(&line, 0), STATUS_NOT_FOUND);
        assert_int_equal(controller_route_line(&other, 0), STATUS_OK);
    }
}

static void test_usual_place(void **state)
{
    struct machine_line line = {.line = 4};

    (void)state;
    machine.io_apic_count = 0;
    controller_init(&machine);
    assert_int_equal(controller_route_line(&line, 0), STATUS_OK);
}

/* The physical destination field has eight bits. */
static void test_apic_id_too_large_to_be_told(void **state)
{
    struct machine_line line = {.line = 4};

    (void)state;
    local.has_x2apic = true;
    local.id = 256;
    controller_init(&machine);
    assert_int_equal(controller_route_line(&line, 0), STATUS_UNSUPPORTED);
    assert_false(controller_has_messages());
}

/* ---- Messages and arrival ------------------------------------------------------------------------------------- */

static void test_message(void **state)
{
    struct message_source from = {.requester = 8};
    struct message message;

    (void)state;
    controller_init(&machine);
    assert_true(controller_has_messages());
    assert_int_equal(controller_route_message(&from, 191, &message), STATUS_OK);
    assert_int_equal(message.address, 0xfee03000);
    assert_int_equal(message.data, 0xef);
    controller_unmask(191); /* no line is touched */
    controller_mask(191);
}

static void test_end_comes_after_the_handler(void **state)
{
    (void)state;
    controller_init(&machine);
    controller_interrupt(VECTOR_ROUTES + 17);
    assert_string_equal(happened, "DE");
    assert_int_equal(dispatched, 17);
    happened[0] = '\0';
    controller_interrupt(VECTOR_TIMER);
    assert_string_equal(happened, "TE");
    assert_int_equal(cpu.interrupt_depth, 0);
}

static void test_spurious_ones_are_not_ended(void **state)
{
    (void)state;
    controller_init(&machine);
    controller_interrupt(VECTOR_SPURIOUS);
    controller_interrupt(VECTOR_PIC + 7);
    assert_string_equal(happened, "SS");
    assert_int_equal(spurious_number, 7);
    controller_interrupt(0xf5); /* in service, but nobody's */
    assert_string_equal(happened, "SSSE");
}

static void test_errors_are_said_once(void **state)
{
    (void)state;
    controller_init(&machine);
    controller_interrupt(VECTOR_ERROR);
    controller_interrupt(VECTOR_ERROR);
    assert_int_equal(host_log_count(LOG_WARN), 1);
    assert_int_equal(local.ends, 2);
    assert_int_equal(apic_errors, 2);
}

/* ---- Other CPUs ------------------------------------------------------------------------------------------------ */

static void test_interrupts_other_cpus(void **state)
{
    (void)state;
    controller_init(&machine);
    another.hardware_id = 7;
    assert_true(ipi_raise(&another));
    assert_int_equal(local.command, UINT64_C(7) << 32 | 0x4000 | VECTOR_IPI);
    ipi_raise_stop(&another);
    assert_int_equal(local.command, UINT64_C(7) << 32 | 0x4400);
    controller_interrupt(VECTOR_IPI);
    assert_string_equal(happened, "IE");

    /* 255 is everybody, and beyond there are no bits: nobody is interrupted instead. */
    for (unsigned id = 255; id <= 256; id++) {
        another.hardware_id = id;
        local.commands = 0;
        assert_false(ipi_raise(&another));
        assert_int_equal(local.commands, 0);
    }
}

static void test_x2apic_reaches_all(void **state)
{
    (void)state;
    local.has_x2apic = true;
    controller_init(&machine);
    another.hardware_id = 0x12345;
    assert_true(ipi_raise(&another));
    assert_int_equal(local.command, UINT64_C(0x12345) << 32 | 0x4000 | VECTOR_IPI);
}

/* H10: the one before is not delivered, for ever. */
static void test_command_that_hangs(void **state)
{
    (void)state;
    controller_init(&machine);
    another.hardware_id = 1;
    local.command_hangs = true;
    uint64_t before = now_ns;
    assert_false(ipi_raise(&another));
    assert_int_equal(local.commands, 0);
    assert_in_range(now_ns - before, 1000000, 2000000);
}

static void test_messages_are_directed(void **state)
{
    struct message message;

    (void)state;
    controller_init(&machine);
    another.hardware_id = 9;
    assert_int_equal(controller_direct(5, 1, &message), STATUS_OK);
    assert_int_equal(message.address, 0xfee09000);
    assert_int_equal(message.data, VECTOR_ROUTES + 5);
    another.hardware_id = 255;
    assert_int_equal(controller_direct(5, 1, &message), STATUS_UNSUPPORTED);
    another.hardware_id = 300;
    assert_int_equal(controller_direct(5, 1, &message), STATUS_UNSUPPORTED);
}

/* Each further CPU in the boot CPU's mode. */
static void test_other_cpus_mode(void **state)
{
    for (unsigned x2 = 0; x2 < 2; x2++) {
        fresh(state);
        local.has_x2apic = x2 != 0;
        controller_init(&machine);
        memset(local.registers, 0, sizeof local.registers);
        local.base_msr = 0xfee00000; /* as after INIT, but off */
        assert_true(controller_init_cpu(&machine));
        assert_int_equal(local.base_msr, x2 != 0 ? 0xfee00c00 : 0xfee00800);
        assert_false(local.x2_before_enabled);
        assert_int_equal(local.registers[LAPIC_SPURIOUS / 16], SPURIOUS_ENABLE | VECTOR_SPURIOUS);
    }
    local.has_x2apic = false; /* the boot CPU has it, this one has not */
    assert_false(controller_init_cpu(&machine));
    fresh(state);
    controller_init(&machine);
    local.base_msr = 0xfee00c00; /* firmware has put this one alone into x2APIC */
    assert_false(controller_init_cpu(&machine));
    local.base_msr = 0xfed00800; /* or moved it */
    assert_false(controller_init_cpu(&machine));
}

#define CASE(name) cmocka_unit_test_setup(name, fresh)

int main(void)
{
    static const struct CMUnitTest tests[] = {
        CASE(test_pics_are_moved_and_masked),
        CASE(test_interrupts_other_cpus),
        CASE(test_x2apic_reaches_all),
        CASE(test_command_that_hangs),
        CASE(test_messages_are_directed),
        CASE(test_other_cpus_mode),
        CASE(test_memory_mapped),
        CASE(test_x2apic_where_the_cpu_has_it),
        CASE(test_x2apic_from_disabled_goes_by_enabled),
        CASE(test_x2apic_of_firmware_is_kept),
        CASE(test_cpu_is_believed_about_its_apic),
        CASE(test_no_local_apic),
        CASE(test_no_room_for_its_registers),
        CASE(test_stale_interrupts_are_ended),
        CASE(test_interrupt_that_is_in_service_for_ever),
        CASE(test_nmi_wiring),
        CASE(test_all_pins_start_masked),
        CASE(test_line_of_the_second),
        CASE(test_isa_line),
        CASE(test_lines_beyond),
        CASE(test_line_numbers_too_large_to_be_kept),
        CASE(test_io_apic_that_does_not_answer),
        CASE(test_usual_place),
        CASE(test_apic_id_too_large_to_be_told),
        CASE(test_message),
        CASE(test_end_comes_after_the_handler),
        CASE(test_spurious_ones_are_not_ended),
        CASE(test_errors_are_said_once),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
