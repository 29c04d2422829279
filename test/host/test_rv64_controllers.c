/*
 * test_rv64_controllers.c: PLIC and APLIC over registers that are plain memory, with descriptions of them that
 * firmware got wrong and with claims that name what is not there.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include <host_log.h>
#include <platform/interrupt.h>
#include <platform/mmu.h>
#include <platform/rv64/controllers.h>

enum { REGISTERS_SIZE = 0x400000, PLIC_BASE = 0xc000000, APLIC_BASE = 0xd000000 };

static struct machine machine;
static struct machine_room room;
static uint8_t *registers; /* of the one controller that a test is about */
static uint64_t registers_base;
static bool has_imsic;
static unsigned dispatched[INTERRUPT_MAX_ROUTES], spurious;

/* ---- What the drivers call -------------------------------------------------------------------------- */

volatile void *vm_map_device(uint64_t physical, uint64_t size)
{
    assert_in_range(physical, registers_base, registers_base + REGISTERS_SIZE - size);
    return registers + (physical - registers_base);
}

static bool answers;

bool device_answers(const volatile void *address, unsigned width)
{
    (void)address;
    (void)width;
    return answers;
}

static uint32_t *at(uint32_t offset)
{
    return (uint32_t *)(registers + offset);
}

/* Plain memory claims the same source for ever; this one is claimed once. */
static uint32_t claim_register;

void interrupt_dispatch(uint32_t route)
{
    dispatched[route]++;
    *at(claim_register) = 0;
}

void interrupt_spurious(const char *what, uint32_t number)
{
    (void)what;
    (void)number;
    spurious++;
}

bool imsic_present(void)
{
    return has_imsic;
}

uint32_t imsic_identity(uint32_t route)
{
    return route + 1;
}

uint32_t imsic_hart_index(void)
{
    return 5;
}

/* ---- Machines --------------------------------------------------------------------------------------- */

static int set_up(void **state)
{
    (void)state;
    memset(&machine, 0, sizeof machine);
    memset(&room, 0, sizeof room);
    machine_use_room(&machine, &room);
    memset(dispatched, 0, sizeof dispatched);
    spurious = 0;
    answers = true;
    has_imsic = false;
    registers = calloc(1, REGISTERS_SIZE);
    memset(registers, 0xee, 0x3000);
    registers_base = PLIC_BASE;
    host_log_clear();

    /* Two harts; machine and supervisor mode of each. Hart 1's come first. */
    machine.cpu_count = 2;
    machine.context_count = 4;
    machine.contexts[0] = (struct machine_context){.cpu = 1, .number = 0};
    machine.contexts[1] = (struct machine_context){.cpu = 1, .number = 1, .supervisor = true};
    machine.contexts[2] = (struct machine_context){.cpu = 0, .number = 2};
    machine.contexts[3] = (struct machine_context){.cpu = 0, .number = 3, .supervisor = true};
    machine.plic_count = 1;
    machine.plics[0] =
        (struct machine_plic){.base = PLIC_BASE, .size = 0x400000, .source_count = 53, .context_count = 4};
    machine.aplic_count = 1;
    machine.aplics[0] = (struct machine_aplic){
        .base = APLIC_BASE, .size = 0x8000, .source_count = 96, .supervisor = true, .context_count = 4};
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    free(registers);
    return 0;
}

static const struct machine_line high = {.line = 10, .trigger = TRIGGER_LEVEL, .polarity = POLARITY_HIGH};

/* ---- PLIC ------------------------------------------------------------------------------------------- */

static void plic_masks_everything_at_first(void **state)
{
    (void)state;
    assert_true(plic.init(&machine, 0, 0));
    for (uint32_t source = 1; source <= 53; source++)
        assert_int_equal(*at(4 * source), 0);
    assert_int_equal(*at(4 * 54), 0xeeeeeeee); /* not ours */
    assert_int_equal(*at(0x2000 + 3 * 0x80), 0);
    assert_int_equal(*at(0x2000 + 3 * 0x80 + 4), 0);
    assert_int_equal(*at(0x2000 + 2 * 0x80), 0xeeeeeeee); /* the firmware's context */
    assert_int_equal(*at(0x203000), 0);
}

static void plic_serves_the_boot_hart(void **state)
{
    (void)state;
    assert_true(plic.init(&machine, 0, 0));
    assert_int_equal(plic.attach(0, 40, &high, 7), STATUS_OK);
    assert_int_equal(*at(0x2000 + 3 * 0x80 + 4), 1 << 8);
    assert_int_equal(*at(4 * 40), 0);
    plic.unmask(0, 40);
    assert_int_equal(*at(4 * 40), 1);
    plic.mask(0, 40);
    assert_int_equal(*at(4 * 40), 0);
    assert_int_equal(*at(0x2000 + 3 * 0x80 + 4), 1 << 8); /* or its completion would be ignored */
    plic.release(0, 40);
    assert_int_equal(*at(0x2000 + 3 * 0x80 + 4), 0);
}

static void plic_hands_on_and_completes(void **state)
{
    (void)state;
    assert_true(plic.init(&machine, 0, 0));
    plic.attach(0, 40, &high, 7);
    claim_register = 0;
    *at(0x203004) = 40;
    assert_int_equal(plic.deliver(0), INTERRUPTS_PER_TURN); /* bounded: memory claims 40 for ever */
    assert_int_equal(dispatched[7], INTERRUPTS_PER_TURN);
    assert_int_equal(*at(0x203004), 40);
    assert_int_equal(spurious, 0);
}

static void plic_claims_of_nobody(void **state)
{
    static const uint32_t claims[] = {9, 54, 1024, UINT32_MAX};

    (void)state;
    assert_true(plic.init(&machine, 0, 0));
    for (size_t i = 0; i < sizeof claims / sizeof claims[0]; i++) {
        spurious = 0;
        *at(0x203004) = claims[i];
        plic.deliver(0);
        assert_int_equal(spurious, INTERRUPTS_PER_TURN);
        assert_int_equal(*at(0x203004), claims[i]); /* completed even so */
    }
}

static void plic_described_badly(void **state)
{
    (void)state;
    machine.plics[0].source_count = 0;
    assert_false(plic.init(&machine, 0, 0));
    machine.plics[0].source_count = 1024;
    assert_false(plic.init(&machine, 0, 0));
    assert_true(host_log_has("said to have 1024 sources"));
    machine.plics[0].source_count = 53;

    machine.plics[0].size = 0x203000; /* ends before context 3 */
    assert_false(plic.init(&machine, 0, 0));
    assert_true(host_log_has("context 3 lies outside the registers"));
    machine.plics[0].size = 0;
    machine.contexts[3].number = 15872;
    assert_false(plic.init(&machine, 0, 0));
    machine.contexts[3].number = UINT32_MAX;
    assert_false(plic.init(&machine, 0, 0));

    machine.contexts[3].number = 3;
    machine.plics[0].base++;
    assert_false(plic.init(&machine, 0, 0));
    machine.plics[0].base--;
    answers = false;
    assert_false(plic.init(&machine, 0, 0));
    assert_true(host_log_has("cannot be reached"));
    answers = true;

    machine.contexts[3].supervisor = false;
    assert_false(plic.init(&machine, 0, 0));
    assert_true(host_log_has("no context for the boot hart's supervisor mode"));
    machine.contexts[3] = (struct machine_context){.cpu = 0, .number = 3, .supervisor = true};
    machine.plics[0].first_context = UINT16_MAX;
    assert_false(plic.init(&machine, 0, 0));
}

/* ---- APLIC ------------------------------------------------------------------------------------------ */

static void aplic_direct(void **state)
{
    (void)state;
    registers_base = APLIC_BASE;
    assert_true(aplic.init(&machine, 0, 0));
    assert_int_equal(*at(0), 1 << 8);
    assert_int_equal(*at(0x4000 + 3 * 32), 1); /* hart index 3 delivers */
    assert_int_equal(aplic.attach(0, 10, &high, 4), STATUS_OK);
    assert_int_equal(*at(4 * 10), 6);
    assert_int_equal(*at(0x3000 + 4 * 10), 3 << 18 | 1);

    claim_register = 0x4000 + 3 * 32 + 0x1c;
    *at(claim_register) = 10 << 16 | 1;
    assert_int_equal(aplic.deliver(0), 1);
    assert_int_equal(dispatched[4], 1);
    *at(claim_register) = 11 << 16 | 1;
    aplic.deliver(0);
    *at(claim_register) = 97 << 16 | 1;
    aplic.deliver(0);
    assert_int_equal(spurious, 2 * INTERRUPTS_PER_TURN);
    aplic.release(0, 10);
    assert_int_equal(*at(4 * 10), 0);
}

static void aplic_triggers(void **state)
{
    static const struct {
        uint8_t trigger, polarity, mode;
    } cases[] = {
        {TRIGGER_EDGE, POLARITY_HIGH, 4},
        {TRIGGER_EDGE, POLARITY_LOW, 5},
        {TRIGGER_LEVEL, POLARITY_HIGH, 6},
        {TRIGGER_LEVEL, POLARITY_LOW, 7},
    };

    (void)state;
    registers_base = APLIC_BASE;
    assert_true(aplic.init(&machine, 0, 0));
    for (size_t i = 0; i < 4; i++) {
        struct machine_line line = {.line = 10, .trigger = cases[i].trigger, .polarity = cases[i].polarity};
        assert_int_equal(aplic.attach(0, 10, &line, 0), STATUS_OK);
        assert_int_equal(*at(4 * 10), cases[i].mode);
    }
}

static void aplic_by_message(void **state)
{
    (void)state;
    registers_base = APLIC_BASE;
    has_imsic = true;
    machine.aplics[0].messages = true;
    assert_true(aplic.init(&machine, 0, 0));
    assert_int_equal(*at(0), 1 << 8 | 1 << 2);
    assert_int_equal(aplic.attach(0, 33, &high, 4), STATUS_OK);
    assert_int_equal(*at(0x3000 + 4 * 33), 5 << 18 | 5); /* the IMSIC's hart index, the route's identity */

    *at(0x1d00 + 4) = 0;
    aplic_message_handled(0, 33);
    assert_int_equal(*at(0x1cdc), 0xeeeeeeee); /* the level has dropped: not sent again */
    *at(0x1d00 + 4) = 1 << 1;
    aplic_message_handled(0, 33);
    assert_int_equal(*at(0x1cdc), 33);
    *at(0x1cdc) = 0;
    aplic.unmask(0, 33); /* asserted while it was masked, and sent before that */
    assert_int_equal(*at(0x1edc), 33);
    assert_int_equal(*at(0x1cdc), 33);

    *at(0x1cdc) = 0;
    *at(4 * 33) = 4;
    aplic_message_handled(0, 33); /* an edge is not sent again */
    assert_int_equal(*at(0x1cdc), 0);
    assert_int_equal(aplic.deliver(0), 0);
}

static void aplic_described_badly(void **state)
{
    (void)state;
    registers_base = APLIC_BASE;
    machine.aplics[0].messages = true;
    assert_false(aplic.init(&machine, 0, 0));
    assert_true(host_log_has("sends messages, and nothing takes them"));
    machine.aplics[0].messages = false;

    machine.aplics[0].source_count = 1024;
    assert_false(aplic.init(&machine, 0, 0));
    machine.aplics[0].source_count = 0;
    assert_false(aplic.init(&machine, 0, 0));
    machine.aplics[0].source_count = 96;

    answers = false;
    assert_false(aplic.init(&machine, 0, 0));
    assert_true(host_log_has("cannot be reached"));
    answers = true;

    machine.contexts[3].number = (0x8000 - 0x4000) / 32; /* just behind the end */
    assert_false(aplic.init(&machine, 0, 0));
    assert_true(host_log_has("cannot interrupt the boot hart"));
    machine.contexts[3].number = UINT32_MAX;
    assert_false(aplic.init(&machine, 0, 0));
    machine.aplics[0].context_count = 2; /* hart 1's only */
    assert_false(aplic.init(&machine, 0, 0));
    machine.aplics[0].first_context = UINT16_MAX;
    assert_false(aplic.init(&machine, 0, 0));
}

/* A controller lives as long as the kernel, so nothing frees its table of routes; here each test makes one. */
const char *__asan_default_options(void);
const char *__asan_default_options(void)
{
    return "detect_leaks=0";
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(plic_masks_everything_at_first, set_up, tear_down),
        cmocka_unit_test_setup_teardown(plic_serves_the_boot_hart, set_up, tear_down),
        cmocka_unit_test_setup_teardown(plic_hands_on_and_completes, set_up, tear_down),
        cmocka_unit_test_setup_teardown(plic_claims_of_nobody, set_up, tear_down),
        cmocka_unit_test_setup_teardown(plic_described_badly, set_up, tear_down),
        cmocka_unit_test_setup_teardown(aplic_direct, set_up, tear_down),
        cmocka_unit_test_setup_teardown(aplic_triggers, set_up, tear_down),
        cmocka_unit_test_setup_teardown(aplic_by_message, set_up, tear_down),
        cmocka_unit_test_setup_teardown(aplic_described_badly, set_up, tear_down),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
