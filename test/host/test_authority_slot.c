/* test_authority_slot.c: devices that leave, politely and without a word, and the errors that functions record. */
#include "authority_world.h"

#include <machine/pci_reg.h>
#include <string.h>

#define MILLISECOND UINT64_C(1000000)

static struct dma_memory owned;
static int port, disk;

/* A port with a disk behind it; `slot`: that can be taken from. */
static struct device *disk_behind_port(bool slot)
{
    port = pci_model_add_bridge(&world.pci, PCI_MODEL_ROOT, 1 << 3, true);
    disk = world_function(0, 0x1042, WORLD_MSIX | WORLD_EXPRESS);
    pci_model_at(&world.pci, disk)->parent = port;
    if (slot)
        pci_model_slot(pci_model_at(&world.pci, port));
    world.machine->host_bridges[0].last_bus = 8;
    world.machine->host_bridges[0].windows[0].size = 0x400000;
    world_discover(world_drivers, 3);
    struct device *device = device_find("virtio-blk0");
    assert_int_equal(device->function->where.bus, 1);
    return device;
}

static void claim_with_memory(struct device *device)
{
    assert_int_equal(device_claim(device), STATUS_OK);
    assert_int_equal(dma_allocate(device, 4096, 4096, &owned), STATUS_OK);
}

static uint16_t port_command(void)
{
    return (uint16_t)pci_model_get(pci_model_at(&world.pci, port), PCI_COMMAND, 2);
}

static unsigned slot_register(unsigned field)
{
    return device_first()->function->express + field; /* the port comes first */
}

struct text {
    struct printer printer;
    char text[4096];
};

static void take(struct printer *printer, const char *text, size_t length)
{
    struct text *all = (struct text *)printer;
    size_t used = strlen(all->text);

    if (used + length < sizeof all->text)
        memcpy(all->text + used, text, length);
}

static bool report_says(const char *name, const char *what)
{
    struct text text = {.printer.write = take};

    if (name == NULL)
        devices_report(&text.printer);
    else
        device_report(device_find(name), &text.printer);
    return strstr(text.text, what) != NULL;
}

/* ---- What absence means --------------------------------------------------------------------------------------------
 */

static void slot_is_empty(void **state)
{
    (void)state;
    struct device *device = disk_behind_port(true);
    claim_with_memory(device);
    pci_model_at(&world.pci, disk)->gone = true;
    pci_model_at(&world.pci, port)->space[slot_register(PCI_EXPRESS_SLOT_STATUS)] = 0;
    uint64_t began = world.now_ns;
    device_revoke(device, "a test");
    assert_int_equal(device->ownership.state, DEVICE_FREE);
    assert_true(device->gone);
    assert_int_equal(world.pages_live, 0);
    assert_true(world.now_ns - began < 10 * MILLISECOND); /* nobody is waited for */
    assert_true(host_log_has("virtio-blk0: has left the machine; it is not started again"));
    assert_false(host_log_has("quarantined"));
    assert_int_not_equal(port_command() & PCI_COMMAND_MASTER, 0);
    assert_int_equal(device_claim(device), STATUS_NOT_FOUND);
    assert_true(report_says(NULL, "virtio-blk0      gone "));
}

static void link_is_down(void **state)
{
    (void)state;
    struct device *device = disk_behind_port(false);
    struct pci_model_function *model = pci_model_at(&world.pci, port);
    claim_with_memory(device);
    pci_model_at(&world.pci, disk)->gone = true;
    pci_model_set(model, slot_register(PCI_EXPRESS_LINK_CAPABILITIES), 4, PCI_EXPRESS_LINK_TELLS_ACTIVE);
    device_revoke(device, "a test");
    assert_int_equal(device->ownership.state, DEVICE_FREE);
    assert_int_not_equal(port_command() & PCI_COMMAND_MASTER, 0);
}

/* The port claims that all is well: it is made to pass nothing on, and then memory may be freed. */
static void silent_is_cut_off(void **state)
{
    (void)state;
    struct device *device = disk_behind_port(true);
    claim_with_memory(device);
    pci_model_at(&world.pci, disk)->gone = true;
    world_trace_clear();
    device_revoke(device, "a test");
    assert_int_equal(device->ownership.state, DEVICE_FREE);
    assert_int_equal(port_command() & PCI_COMMAND_MASTER, 0);
    world_expect_order("command:quiet", "free", NULL);
}

static void cannot_be_cut_off(void **state)
{
    (void)state;
    struct device *device = disk_behind_port(true);
    claim_with_memory(device);
    pci_model_at(&world.pci, disk)->gone = true;
    pci_model_at(&world.pci, port)->writable[PCI_COMMAND] = 0;
    device_revoke(device, "a test");
    assert_int_equal(device->ownership.state, DEVICE_QUARANTINED);
    assert_int_equal(world.pages_live, 1);
    assert_true(report_says(NULL, "quarantined"));
}

/* A neighbour that lives is not cut off for one that is silent. */
static void neighbour_lives(void **state)
{
    (void)state;
    port = pci_model_add_bridge(&world.pci, PCI_MODEL_ROOT, 1 << 3, false);
    disk = world_function(1 << 3, 0x1042, 0);
    int other = pci_model_add(&world.pci, port, 2 << 3, 0x1234, 1, 0x020000);
    pci_model_at(&world.pci, disk)->parent = port;
    world.machine->host_bridges[0].last_bus = 8;
    world_discover(world_drivers, 3);
    struct device *device = device_find("virtio-blk0");
    claim_with_memory(device);
    pci_model_at(&world.pci, disk)->gone = true;
    device_revoke(device, "a test");
    assert_int_equal(device->ownership.state, DEVICE_QUARANTINED);
    assert_int_not_equal(port_command() & PCI_COMMAND_MASTER, 0);
    assert_int_equal(world.pages_live, 1);
    (void)other;
}

/* On a root bus nobody can tell. */
static void silent_on_a_root_bus(void **state)
{
    (void)state;
    disk = world_function(1 << 3, 0x1042, 0);
    world_discover(world_drivers, 3);
    struct device *device = device_find("virtio-blk0");
    claim_with_memory(device);
    pci_model_at(&world.pci, disk)->gone = true;
    device_revoke(device, "a test");
    assert_int_equal(device->ownership.state, DEVICE_QUARANTINED);
}

/* A whole switch leaves: what counts is the lowest port that still answers. */
static void bridge_has_left_too(void **state)
{
    (void)state;
    port = pci_model_add_bridge(&world.pci, PCI_MODEL_ROOT, 1 << 3, true);
    int below = pci_model_add_bridge(&world.pci, port, 0, false);
    disk = world_function(3 << 3, 0x1042, 0);
    pci_model_at(&world.pci, disk)->parent = below;
    pci_model_slot(pci_model_at(&world.pci, port));
    world.machine->host_bridges[0].last_bus = 8;
    world_discover(world_drivers, 3);
    struct device *device = device_find("virtio-blk0");
    assert_int_equal(device->function->where.bus, 2);
    claim_with_memory(device);
    pci_model_at(&world.pci, below)->gone = true;
    pci_model_at(&world.pci, port)->space[slot_register(PCI_EXPRESS_SLOT_STATUS)] = 0;
    device_revoke(device, "a test");
    assert_int_equal(device->ownership.state, DEVICE_FREE);
    assert_int_equal(world.pages_live, 0);
}

/* ---- How it is noticed --------------------------------------------------------------------------------------------
 */

static enum status takes_memory(struct device *device)
{
    struct interrupt interrupt;

    assert_int_equal(device_interrupt_open(device, 0, &interrupt), STATUS_OK);
    return dma_allocate(device, 4096, 4096, &owned);
}

static void fails_because_it_has_left(void **state)
{
    (void)state;
    world_script.start = takes_memory;
    struct device *device = disk_behind_port(false);
    devices_start(world_wanted);
    pci_model_at(&world.pci, disk)->gone = true;
    device_fail(device, "reads all ones");
    assert_true(devices_dispatch());
    assert_int_equal(world_script.starts, 1); /* not again */
    assert_int_equal(world_script.stops, 1);
    assert_true(device->gone);
    assert_int_equal(world.pages_live, 0);
    assert_true(host_log_has("virtio-blk0: has left the machine; it is not started again"));
    assert_false(host_log_has("is not in use"));
    assert_true(report_says(NULL, "virtio-blk0      gone "));
    assert_false(devices_dispatch());
}

/* C24: all ones from the n-th read on, at its claim, in use and at its end. */
static void vanishes_at_any_moment(void **state)
{
    unsigned refused = 0, left = 0;

    for (unsigned n = 1; n < 120; n++) {
        struct interrupt interrupt;
        world_end(state);
        world_begin(state);
        struct device *device = disk_behind_port(false);
        pci_model_at(&world.pci, disk)->vanish_after = pci_model_at(&world.pci, disk)->reads + n;
        if (device_claim(device) != STATUS_OK) {
            assert_int_equal(device->ownership.state, DEVICE_FREE);
            refused++;
            continue;
        }
        assert_int_equal(dma_allocate(device, 4096, 4096, &owned), STATUS_OK);
        assert_int_equal(device_interrupt_open(device, 0, &interrupt), STATUS_OK); /* polled at worst */
        device_revoke(device, "a test");
        assert_int_equal(device->ownership.state, DEVICE_FREE);
        assert_int_equal(world.pages_live, 0);
        left += device->gone;
    }
    assert_in_range(refused, 5, 50);
    assert_in_range(left, 10, 80);
}

static void leaves_without_a_word(void **state)
{
    (void)state;
    world_script.start = takes_memory;
    struct device *device = disk_behind_port(true);
    devices_start(world_wanted);
    assert_false(devices_pending());
    world_advance(499 * MILLISECOND);
    assert_false(devices_pending());
    world_advance(2 * MILLISECOND);
    assert_true(devices_pending());
    assert_true(devices_dispatch());
    assert_true(device->running); /* it is there */
    pci_model_at(&world.pci, disk)->gone = true;
    pci_model_at(&world.pci, port)->space[slot_register(PCI_EXPRESS_SLOT_STATUS)] = 1 << 3; /* presence changed */
    world_advance(501 * MILLISECOND);
    assert_true(devices_dispatch());
    assert_false(device->running);
    assert_int_equal(world_script.stops, 1);
    assert_int_equal(device->ownership.state, DEVICE_FREE);
    assert_int_equal(world.pages_live, 0);
    assert_int_equal(pci_model_at(&world.pci, port)->space[slot_register(PCI_EXPRESS_SLOT_STATUS)], 0);
    size_t said = strlen(host_log_text());
    world_advance(501 * MILLISECOND);
    devices_dispatch();
    assert_int_equal(strlen(host_log_text()), said); /* it is said once */
}

static void button(void **state)
{
    (void)state;
    world_script.start = takes_memory;
    struct device *device = disk_behind_port(true);
    struct pci_model_function *model = pci_model_at(&world.pci, port);
    devices_start(world_wanted);
    model->space[slot_register(PCI_EXPRESS_SLOT_STATUS)] |= PCI_SLOT_BUTTON_PRESSED;
    world_trace_clear();
    world_advance(501 * MILLISECOND);
    assert_true(devices_dispatch());
    world_expect_order("stop:virtio-blk0", "command:quiet", "free", NULL);
    unsigned control = pci_model_get(model, slot_register(PCI_EXPRESS_SLOT_CONTROL), 2);
    assert_int_equal(control, PCI_SLOT_POWER_OFF | PCI_SLOT_INDICATOR_OFF | PCI_SLOT_ATTENTION_OFF);
    assert_int_equal(pci_model_get(model, slot_register(PCI_EXPRESS_SLOT_STATUS), 2), 0);
    assert_true(device->gone);
    assert_int_equal(device->ownership.state, DEVICE_FREE);
    assert_true(host_log_has("0000:00:01.0: the button of its slot was pressed: what is behind it is stopped"));
    assert_int_equal(world_script.starts, 1);

    /* An empty slot's button means nothing here: what comes is not used. */
    model->space[slot_register(PCI_EXPRESS_SLOT_STATUS)] |= PCI_SLOT_BUTTON_PRESSED;
    host_log_clear();
    world_advance(501 * MILLISECOND);
    devices_dispatch();
    assert_string_equal(host_log_text(), "");
}

/* Without a power controller it is for whoever pressed to take it out. */
static void button_without_power(void **state)
{
    (void)state;
    struct device *device = disk_behind_port(true);
    struct pci_model_function *model = pci_model_at(&world.pci, port);
    slots_end();
    model->space[slot_register(PCI_EXPRESS_SLOT_CAPABILITIES)] &= (uint8_t)~PCI_SLOT_HAS_POWER_CONTROLLER;
    slots_discover();
    devices_start(world_wanted);
    model->space[slot_register(PCI_EXPRESS_SLOT_STATUS)] |= PCI_SLOT_BUTTON_PRESSED;
    world_advance(501 * MILLISECOND);
    uint64_t began = world.now_ns;
    devices_dispatch();
    assert_true(world.now_ns - began < 1500 * MILLISECOND);
    assert_false(device->running || device->gone);
    assert_int_equal(pci_model_get(model, slot_register(PCI_EXPRESS_SLOT_CONTROL), 2) & PCI_SLOT_POWER_OFF, 0);
    assert_true(host_log_has("what is in its slot may be taken out now"));
}

static void no_slot_no_cost(void **state)
{
    (void)state;
    disk_behind_port(false);
    assert_int_equal(world.timers, 0);
    assert_false(devices_pending());
}

/* ---- Errors -------------------------------------------------------------------------------------------------------
 */

static void errors_are_said(void **state)
{
    (void)state;
    disk = world_function(1 << 3, 0x1042, WORLD_EXPRESS);
    pci_model_errors(pci_model_at(&world.pci, disk));
    struct pci_model_function *model = pci_model_at(&world.pci, disk);
    model->space[PCI_STATUS + 1] |= 0x20;
    world_discover(world_drivers, 3); /* what happened before is nobody's concern */
    struct device *device = world_claimed("virtio-blk0");
    assert_false(host_log_has("has recorded errors"));

    model->space[PCI_STATUS + 1] |= 0x20;
    model->space[0x104 + 1] |= 0x40;
    device_fail(device, "gave up");
    assert_true(host_log_has("virtio-blk0: has recorded errors: received master abort, completion timeout"));
    assert_int_equal(model->space[PCI_STATUS + 1] & 0xf9, 0);
    assert_int_equal(model->space[0x104 + 1], 0);

    /* A storm is counted, and said once a second. */
    host_log_clear();
    for (unsigned i = 0; i < 100; i++) {
        model->space[PCI_STATUS + 1] |= 0x80;
        device_collect_errors(device);
    }
    assert_string_equal(host_log_text(), "");
    assert_int_equal(device->error_reports, 101);
    world_advance(1001 * MILLISECOND);
    model->space[device->function->express + PCI_EXPRESS_STATUS] |= 4;
    device_collect_errors(device);
    assert_true(host_log_has("virtio-blk0: has recorded errors: fatal error"));
    assert_true(
        report_says("virtio-blk0", "errors: received master abort, detected parity error, fatal error, completion"));

    /* And at its end. */
    world_advance(1001 * MILLISECOND);
    model->space[PCI_STATUS + 1] |= 0x40;
    device_revoke(device, "a test");
    assert_true(host_log_has("signalled system error"));
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, world_begin, world_end)
    static const struct CMUnitTest tests[] = {
        TEST(slot_is_empty),
        TEST(link_is_down),
        TEST(silent_is_cut_off),
        TEST(cannot_be_cut_off),
        TEST(neighbour_lives),
        TEST(silent_on_a_root_bus),
        TEST(bridge_has_left_too),
        TEST(fails_because_it_has_left),
        TEST(vanishes_at_any_moment),
        TEST(leaves_without_a_word),
        TEST(button),
        TEST(button_without_power),
        TEST(no_slot_no_cost),
        TEST(errors_are_said),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
