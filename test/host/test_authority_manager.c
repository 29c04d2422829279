/* test_authority_manager.c: which driver gets which device, under what name, and what happens when one fails. */
#include "authority_world.h"

#include <vmos/block.h>

#include <machine/pci_reg.h>
#include <string.h>

/* ---- Finding ----------------------------------------------------------------------------------------------------- */

static void names_and_drivers(void **state)
{
    (void)state;
    world_function(1 << 3, 0x1042, WORLD_MSIX);
    world_function(2 << 3, 0x1041, 0);
    world_function(3 << 3, 0x1001, WORLD_LEGACY);
    world_function(4 << 3, 0x1050, 0); /* a GPU: no driver */
    world_slot(2);
    world_slot(0); /* empty */
    world_slot(4);
    world_slot(99);
    world_slot(0x10001); /* no device ID has more than 16 bits */
    world_discover(world_drivers, 3);
    static const char *const expected[] = {
        "virtio-blk0: ", "virtio-net0: ", "virtio-blk1: ",         "0000:00:04.0: ",
        "virtio-blk2: ", "virtio-rng0: ", "virtio-mmio@a000600: ",
    };
    const char *at = world.announced;
    for (unsigned i = 0; i < 7; i++) {
        assert_memory_equal(at, expected[i], strlen(expected[i]));
        at = strchr(at, '\n') + 1;
    }
    assert_string_equal(at, "");
    assert_non_null(strstr(world.announced, "at 0000:00:01.0, MSI-X\n"));
    assert_non_null(strstr(world.announced, "at 0000:00:04.0, no driver\n"));
    assert_non_null(
        strstr(world.announced, "virtio device (99) at 0xa000600, modern (version 2), line 43, no driver\n"));
    assert_ptr_equal(device_find("virtio-blk2")->driver, &world_blk);
    assert_int_equal(device_identity(device_find("virtio-blk2"))->bus, DEVICE_BUS_VIRTIO_MMIO);
    assert_null(device_find("virtio-blk3"));
    assert_null(device_find("virtio-mmio@a000600")->driver);
    assert_string_equal(device_name(device_first()), "virtio-blk0");
}

/* Slots that are too small, crooked, or hold something else are no devices. */
static void crooked_slots(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 4; i++)
        world_slot(2);
    world.machine->virtio_slots[0].size = 0xff;
    world.machine->virtio_slots[1].base += 2;
    memmove(world_register(WORLD_SLOTS + WORLD_SLOT_SIZE + 2), world_register(WORLD_SLOTS + WORLD_SLOT_SIZE), 16);
    world_register(WORLD_SLOTS + 2 * WORLD_SLOT_SIZE)[0] = 'x';
    world.machine->virtio_slots[3].base = 0x1000; /* RAM: no registers */
    world_discover(world_drivers, 3);
    assert_null(device_first());
    assert_true(host_log_has("devices: no devices were found"));
}

static void any_match(void **state)
{
    static const struct driver_match matches[] = {{DEVICE_BUS_PCI, 0x1af4, DEVICE_ANY_ID}};
    struct driver all = world_blk;
    const struct driver *list[] = {&world_net, &all};

    (void)state;
    all.name = "all";
    all.matches = matches;
    all.match_count = 1;
    world_function(1 << 3, 0x1041, 0);
    world_function(2 << 3, 0x1044, 0);
    world_slot(4);
    world_discover(list, 2);
    assert_ptr_equal(device_find("virtio-net0")->driver, &world_net); /* the first that matches */
    assert_ptr_equal(device_find("all0")->driver, &all);
    assert_null(device_find("virtio-mmio@a000000")->driver);
}

static void class_match(void **state)
{
    struct driver by_class = world_blk;
    const struct driver *list[] = {&by_class, &world_net};

    (void)state;
    by_class.name = "nvme";
    by_class.match_count = 0;
    by_class.pci_class = 0x010802;
    pci_model_set(pci_model_at(&world.pci, world_function(1 << 3, 0x8061, 0)), PCI_CLASS, 3, 0x010802);
    world_function(2 << 3, 0x1041, 0);
    world_function(3 << 3, 0x1044, 0); /* of another class */
    world_slot(4);                     /* of none */
    world_discover(list, 2);
    assert_ptr_equal(device_find("nvme0")->driver, &by_class);
    assert_null(device_find("nvme1"));
    assert_ptr_equal(device_find("virtio-net0")->driver, &world_net);
}

static void no_memory_for_devices(void **state)
{
    (void)state;
    world_slot(2);
    world_slot(1);
    world.fail_calloc = 2;
    world_discover(world_drivers, 3);
    assert_non_null(device_find("virtio-blk0"));
    assert_null(device_find("virtio-net0"));
    assert_true(host_log_has("no memory for another device"));
}

/* A capability is what it was when the device was found, and its copy stays inside both ends. */
static void capabilities(void **state)
{
    uint8_t copy[256];

    (void)state;
    int index = world_function(1 << 3, 0x1042, WORLD_MSIX);
    struct pci_model_function *function = pci_model_at(&world.pci, index);
    unsigned second = pci_model_capability(function, PCI_CAPABILITY_VENDOR, 20), first = 0x40;
    pci_model_set(function, second + 4, 4, 0x11223344);
    world_discover(world_drivers, 3);
    struct device *device = device_find("virtio-blk0");
    unsigned reads = world.pci.reads;
    pci_model_set(function, first + 4, 4, 0xffffffff); /* the device thinks of something else */
    memset(copy, 0xee, sizeof copy);
    assert_true(device_capability(device, PCI_CAPABILITY_VENDOR, 0, copy, 16) == 16);
    assert_int_equal(copy[0], PCI_CAPABILITY_VENDOR);
    assert_int_equal(copy[4], 4);
    assert_int_equal(copy[16], 0xee);
    assert_int_equal(device_capability(device, PCI_CAPABILITY_VENDOR, 0, copy, sizeof copy), 16);
    assert_int_equal(copy[16], 0xee); /* the next one begins there */
    size_t length = device_capability(device, PCI_CAPABILITY_VENDOR, 1, copy, sizeof copy);
    assert_in_range(length, 20, 256 - second);
    assert_int_equal(copy[4], 0x44);
    assert_int_equal(device_capability(device, PCI_CAPABILITY_VENDOR, 1, copy, 3), 3);
    assert_int_equal(device_capability(device, PCI_CAPABILITY_VENDOR, 2, copy, 16), 0);
    assert_int_equal(device_capability(device, 0x55, 0, copy, 16), 0);
    assert_int_equal(world.pci.reads, reads);
    struct pci_capability *lie = &device->function->capabilities[0]; /* as if the finder had erred */
    lie->offset = 0xf0;
    lie->length = 0xff;
    assert_int_equal(device_capability(device, lie->identifier, 0, copy, sizeof copy), 16);
}

static void slots_have_no_capabilities(void **state)
{
    uint8_t copy[16];

    (void)state;
    world_slot(2);
    world_discover(world_drivers, 3);
    assert_int_equal(device_capability(device_first(), PCI_CAPABILITY_VENDOR, 0, copy, 16), 0);
}

/* ---- Starting ------------------------------------------------------------------------------------------------------
 */

static struct dma_memory held[8];
static struct block_device offered;

static enum status takes_memory(struct device *device)
{
    struct interrupt interrupt;

    assert_int_equal(dma_allocate(device, 1000, 64, &held[0]), STATUS_OK);
    assert_int_equal(device_interrupt_open(device, 0, &interrupt), STATUS_OK);
    memset(held[0].memory, 0x66, 1000);
    return STATUS_OK;
}

static enum status takes_memory_and_fails(struct device *device)
{
    takes_memory(device);
    assert_int_equal(device_publish_block(device, &offered), STATUS_OK);
    return STATUS_IO_ERROR;
}

static bool only_net(const char *driver)
{
    return strcmp(driver, "virtio-net") == 0;
}

static void manifest(void **state)
{
    (void)state;
    world_slot(2);
    world_slot(1);
    world_slot(99);
    world_discover(world_drivers, 3);
    devices_start(only_net);
    assert_int_equal(world_script.starts, 1);
    assert_true(device_find("virtio-net0")->running);
    assert_int_equal(device_find("virtio-blk0")->ownership.state, DEVICE_FREE);
    assert_true(host_log_has("virtio-blk0: is left alone: the manifest does not name the driver virtio-blk"));
    devices_stop();
}

static void start_fails(void **state)
{
    (void)state;
    world_slot(2);
    world_slot(1);
    world_discover(world_drivers, 3);
    world_script.start = takes_memory_and_fails;
    devices_start(only_net);
    struct device *device = device_find("virtio-net0");
    assert_int_equal(device->ownership.state, DEVICE_FREE);
    assert_int_equal(device->ownership.epoch, 2);
    assert_false(device->running);
    assert_null(device->blocks);
    assert_null(device->interrupts);
    assert_int_equal(world.pages_live, 0);
    assert_int_equal(world_script.stops, 0); /* what did not start is not stopped */
    assert_true(host_log_has("virtio-net0: is not in use: "));
    assert_false(devices_dispatch());

    world.fail_calloc = 1; /* claiming fails: nothing to end */
    devices_start(only_net);
    assert_int_equal(device->ownership.epoch, 2);
    assert_int_equal(world_script.starts, 1);
}

static void stop_in_reverse(void **state)
{
    (void)state;
    world_slot(2);
    world_slot(1);
    world_function(1 << 3, 0x1044, WORLD_MSIX);
    world_discover(world_drivers, 3);
    devices_start(world_wanted);
    assert_int_equal(world_script.starts, 3);
    devices_stop();
    world_expect_order("stop:virtio-net0", "stop:virtio-blk0", "stop:virtio-rng0", NULL);
    assert_int_equal(world_script.stops, 3);
    for (struct device *device = device_first(); device != NULL; device = device->next)
        assert_int_equal(device->ownership.state, DEVICE_FREE);
    devices_stop();
    assert_int_equal(world_script.stops, 3);
}

/* ---- Running -------------------------------------------------------------------------------------------------------
 */

static void wakes_again(struct device *device, uint32_t events)
{
    (void)events;
    if (world_script.handles < 3)
        driver_wake(device);
}

static void wake_and_events(void **state)
{
    (void)state;
    world_slot(2);
    world_discover(world_drivers, 3);
    world_script.start = takes_memory;
    devices_start(world_wanted);
    struct device *device = device_first();
    assert_false(devices_pending());
    assert_false(devices_dispatch());
    assert_int_equal(world_script.handles, 0);
    driver_wake(device);
    driver_wake(device);
    assert_true(devices_pending());
    assert_true(devices_dispatch());
    assert_false(devices_pending());
    assert_false(devices_dispatch());
    assert_int_equal(world_script.handles, 1);
    assert_int_equal(world_script.events, 0);

    world.level[WORLD_FIRST_LINE] = true;
    assert_int_equal(world_wires(10), 1);
    assert_true(devices_pending());
    driver_wake(device); /* together: one call */
    assert_true(devices_dispatch());
    assert_int_equal(world_script.handles, 2);
    assert_int_equal(world_script.events, 1);
    assert_false(devices_dispatch());

    world_script.handle = wakes_again; /* from inside: once per round, so that others get theirs */
    driver_wake(device);
    assert_true(devices_dispatch());
    assert_int_equal(world_script.handles, 3);
    devices_stop();
    driver_wake(device); /* nobody is there */
    assert_false(devices_pending());
    assert_false(devices_dispatch());
}

/* A wake-up from inside start is kept; one for the predecessor is not. */
static enum status wakes_in_start(struct device *device)
{
    driver_wake(device);
    return STATUS_OK;
}

static void wake_in_start(void **state)
{
    (void)state;
    world_slot(2);
    world_discover(world_drivers, 3);
    driver_wake(device_first());
    devices_start(world_wanted);
    assert_false(devices_dispatch());
    devices_stop();
    world_script.start = wakes_in_start;
    devices_start(world_wanted);
    assert_true(devices_dispatch());
    assert_int_equal(world_script.handles, 1);
}

/* ---- Failing -------------------------------------------------------------------------------------------------------
 */

static struct block_device *seen_in_stop;

static void fails(struct device *device, uint32_t events)
{
    (void)events;
    device_fail(device, "used index %u is a lie", 7);
    device_fail(device, "said once");
    assert_int_equal(device->ownership.state, DEVICE_CLAIMED); /* until the handler has returned */
}

static enum status publishes(struct device *device)
{
    takes_memory(device);
    return device_publish_block(device, &offered);
}

static void looks(struct device *device)
{
    seen_in_stop = device->blocks;
    assert_int_equal(device->ownership.state, DEVICE_CLAIMED); /* stop still resets the device through its window */
}

static void fail_and_start_again(void **state)
{
    (void)state;
    world_slot(2);
    world_discover(world_drivers, 3);
    world_script.start = publishes;
    world_script.handle = fails;
    world_script.stop = looks;
    devices_start(world_wanted);
    struct device *device = device_first();
    for (unsigned i = 1; i <= DEVICE_MAX_STARTS; i++) {
        assert_true(device->running);
        assert_int_equal(world_script.starts, i);
        assert_int_equal(device->ownership.epoch, i);
        assert_non_null(device->blocks);
        seen_in_stop = device->blocks;
        driver_wake(device);
        host_log_clear();
        assert_true(devices_dispatch());
        assert_true(host_log_has("virtio-blk0: used index 7 is a lie; its driver is stopped"));
        assert_false(host_log_has("said once"));
        assert_int_equal(world_script.stops, i);
        assert_null(seen_in_stop); /* nobody finds a driver that is being stopped */
    }
    assert_true(host_log_has("virtio-blk0: failed 4 times and is left alone"));
    assert_false(device->running);
    assert_int_equal(device->ownership.state, DEVICE_FREE);
    assert_null(device->blocks);
    assert_int_equal(world.pages_live, 0);
    assert_false(devices_pending());
    assert_false(devices_dispatch());
    assert_int_equal(world_script.handles, DEVICE_MAX_STARTS);
}

/* Failed outside of its handler: it is not called any more before it is stopped. */
static void fails_elsewhere(void **state)
{
    (void)state;
    world_slot(2);
    world_discover(world_drivers, 3);
    devices_start(world_wanted);
    struct device *device = device_first();
    device_fail(device, "in submit");
    driver_wake(device);
    assert_true(devices_pending());
    assert_true(devices_dispatch());
    assert_int_equal(world_script.handles, 0);
    assert_int_equal(world_script.starts, 2);
    assert_true(device->running);
    devices_stop();
    host_log_clear();
    device_fail(device, "after its end"); /* nobody's word */
    assert_false(device->failed);
    assert_string_equal(host_log_text(), "");
}

static void start_again_fails(void **state)
{
    (void)state;
    world_slot(2);
    world_discover(world_drivers, 3);
    devices_start(world_wanted);
    struct device *device = device_first();
    world_script.start = takes_memory_and_fails;
    device_fail(device, "a test");
    assert_true(devices_dispatch());
    assert_int_equal(world_script.starts, 2);
    assert_false(device->running);
    assert_int_equal(device->ownership.state, DEVICE_FREE);
    assert_int_equal(world.pages_live, 0);
    assert_false(devices_pending());
}

/* What a failing device will not confirm keeps it from being started again. */
static void failing_and_stuck(void **state)
{
    (void)state;
    world_slot(2);
    world_slot(1);
    world_discover(world_drivers, 3);
    world_script.start = takes_memory;
    devices_start(world_wanted);
    struct device *device = device_find("virtio-blk0"), *other = device_find("virtio-net0");
    struct register_window window;
    assert_int_equal(device_window_open(device, 0, &window), STATUS_OK);
    world.stuck_register = WORLD_SLOTS + 0x70;
    world.stuck_value = 0xff;
    device_fail(device, "a test");
    assert_true(devices_dispatch());
    assert_int_equal(device->ownership.state, DEVICE_QUARANTINED);
    assert_int_equal(world_script.starts, 2);
    assert_true(host_log_has("virtio-blk0: is not in use: "));
    assert_true(other->running);
    driver_wake(other);
    assert_true(devices_dispatch());
    assert_int_equal(world_script.handles, 1);
}

/* ---- Reports -------------------------------------------------------------------------------------------------------
 */

static char reported[8192];

static void report_write(struct printer *printer, const char *text, size_t length)
{
    (void)printer;
    size_t used = strlen(reported);
    assert_true(used + length < sizeof reported);
    memcpy(reported + used, text, length);
    reported[used + length] = '\0';
}

static void reports(void **state)
{
    struct printer printer = {.write = report_write};
    struct register_window window;

    (void)state;
    reported[0] = '\0';
    devices_report(&printer);
    assert_non_null(strstr(reported, "no devices"));
    world_slot(2);
    world_slot(99);
    world_function(1 << 3, 0x1041, WORLD_MSIX);
    world_discover(world_drivers, 3);
    world_script.start = takes_memory;
    devices_start(world_wanted);
    reported[0] = '\0';
    devices_report(&printer);
    assert_non_null(strstr(reported, "virtio-blk0      running         1 line "));
    assert_non_null(strstr(reported, "virtio-net0      running         1 message "));
    assert_non_null(strstr(reported, "no driver"));
    struct device *device = device_find("virtio-blk0");
    assert_int_equal(device_window_open(device, 0, &window), STATUS_OK);
    world.stuck_register = WORLD_SLOTS + 0x70;
    world.stuck_value = 1;
    device_revoke(device, "a test");
    device->running = false;
    window_read8(&window, 0);
    reported[0] = '\0';
    device_report(device, &printer);
    assert_non_null(strstr(reported, "state: quarantined\nepoch: 2\nstarts: 1\n"));
    assert_non_null(strstr(reported, "dma-owned: 4096 of at most 4194304 bytes"));
    assert_non_null(strstr(reported, "refused: 1 uses of stale handles"));
    device_report(device_find("virtio-net0"), &printer);
    assert_non_null(strstr(reported, "interrupt 0: 0 arrived\n"));
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, world_begin, world_end)
        TEST(names_and_drivers),
        TEST(crooked_slots),
        TEST(any_match),
        TEST(class_match),
        TEST(no_memory_for_devices),
        TEST(capabilities),
        TEST(slots_have_no_capabilities),
        TEST(manifest),
        TEST(start_fails),
        TEST(stop_in_reverse),
        TEST(wake_and_events),
        TEST(wake_in_start),
        TEST(fail_and_start_again),
        TEST(fails_elsewhere),
        TEST(start_again_fails),
        TEST(failing_and_stuck),
        TEST(reports),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
