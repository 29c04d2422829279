/* test_authority_irq.c: interrupts by message, wire and timer; events; waits. The routes are the kernel's own
 * (platform/interrupt.c), the controllers and the devices are played. */
#include "authority_world.h"

#include <machine/pci_reg.h>
#include <string.h>

static int add_function(unsigned with)
{
    return world_function((uint8_t)((world.pci.count + 1) << 3), 0x1042, with);
}

static struct interrupt open_one(struct device *device, unsigned index, enum interrupt_delivery delivery)
{
    struct interrupt interrupt;

    assert_int_equal(device_interrupt_open(device, index, &interrupt), STATUS_OK);
    assert_int_equal(interrupt.delivery, delivery);
    return interrupt;
}

static uint32_t take(struct device *device)
{
    return driver_wait(device, UINT32_MAX, world.now_ns); /* looks, and waits no longer than now */
}

/* ---- Messages ----------------------------------------------------------------------------------------------- */

static void messages(void **state)
{
    int index;

    (void)state;
    index = add_function(WORLD_MSIX);
    world_discover(world_drivers, 3);
    struct device *device = world_claimed("virtio-blk0");
    assert_int_equal(device_interrupt_count(device), WORLD_VECTORS);
    struct interrupt first = open_one(device, 0, INTERRUPT_MESSAGE), last = open_one(device, 3, INTERRUPT_MESSAGE);
    struct interrupt none;
    assert_int_equal(device_interrupt_open(device, 0, &none), STATUS_BUSY);
    assert_int_equal(device_interrupt_open(device, WORLD_VECTORS, &none), STATUS_OUT_OF_RANGE);
    assert_int_equal(device_interrupt_open(device, UINT32_MAX, &none), STATUS_OUT_OF_RANGE);
    assert_null(none.device);

    assert_false(world_message(index, 1)); /* not open: masked in the table */
    assert_true(world_message(index, 3));
    assert_int_equal(take(device), 1 << 3);
    assert_int_equal(take(device), 0);
    assert_true(world_message(index, 0));
    assert_true(world_message(index, 0));
    assert_true(world_message(index, 3));
    assert_int_equal(device->interrupts[0].count, 2);
    assert_int_equal(driver_wait(device, 1, world.now_ns), 1); /* only what was asked for is taken */
    assert_int_equal(take(device), 1 << 3);

    /* Closed: masked, detached, and what was raised and not yet seen is forgotten. */
    assert_true(world_message(index, 3));
    world_trace_clear();
    interrupt_close(&last);
    world_expect_order("vector:masked", "detach", NULL);
    assert_null(last.device);
    assert_false(world_message(index, 3));
    assert_int_equal(take(device), 0);
    last = open_one(device, 3, INTERRUPT_MESSAGE);
    assert_true(world_message(index, 3));
    assert_int_equal(take(device), 1 << 3);
    interrupt_acknowledge(&first); /* needs nothing */
    interrupt_close(&first);
    interrupt_close(&first); /* all-zero */
}

static uint64_t entry_address(const struct device *device, unsigned vector)
{
    uint64_t address;

    memcpy(&address, world_register(device->function->bars[4].cpu_address + WORLD_TABLE + 16 * vector), sizeof address);
    return address;
}

/* The vector is masked while it changes, the driver looks once more, and the boot CPU is woken. */
static void directed(void **state)
{
    int index;

    (void)state;
    index = add_function(WORLD_MSIX);
    world.cpus = 4;
    world.cpus_reached = 3;
    world_discover(world_drivers, 3);
    struct device *device = world_claimed("virtio-blk0");
    assert_int_equal(device_cpu_count(device), 4);
    struct interrupt interrupt = open_one(device, 1, INTERRUPT_MESSAGE);
    assert_int_equal(take(device), 0);
    world_trace_clear();
    unsigned wakes = world.wakes;
    assert_int_equal(interrupt_set_cpu(&interrupt, 2), STATUS_OK);
    world_expect_order("vector:masked", "direct:2", "vector:open", NULL);
    assert_int_equal(entry_address(device, 1), 0xfee02000);
    assert_int_equal(take(device), 1 << 1);
    assert_int_equal(world.wakes, wakes + 1);
    assert_true(world_message(index, 1));
    assert_int_equal(take(device), 1 << 1);

    assert_int_equal(interrupt_set_cpu(&interrupt, 3), STATUS_UNSUPPORTED); /* it stays where it was */
    assert_int_equal(interrupt_set_cpu(&interrupt, 4), STATUS_OUT_OF_RANGE);
    assert_int_equal(interrupt_set_cpu(&interrupt, UINT32_MAX), STATUS_OUT_OF_RANGE);
    assert_int_equal(entry_address(device, 1), 0xfee02000);
    take(device);
    assert_true(world_message(index, 1)); /* and is open */
    assert_int_equal(take(device), 1 << 1);
    assert_int_equal(interrupt_set_cpu(&interrupt, 0), STATUS_OK);
    assert_int_equal(entry_address(device, 1), 0xfee00000);
    device_revoke(device, "a test");
    assert_int_equal(interrupt_set_cpu(&interrupt, 1), STATUS_REVOKED);
}

/* The table does not keep the new address: messages are given up and the driver is served by a timer. */
static void directed_in_vain(void **state)
{
    (void)state;
    add_function(WORLD_MSIX);
    world.cpus = world.cpus_reached = 2;
    world_discover(world_drivers, 3);
    struct device *device = world_claimed("virtio-blk0");
    struct interrupt interrupt = open_one(device, 0, INTERRUPT_MESSAGE);
    world.stuck_register = device->function->bars[4].cpu_address + WORLD_TABLE;
    world.stuck_value = 0x1234;
    assert_int_equal(interrupt_set_cpu(&interrupt, 1), STATUS_DEVICE_FAULT);
    assert_int_equal(device->interrupts[0].delivery, INTERRUPT_POLLED);
    world.stuck_register = 0;
    take(device);
    world_advance(3 * NANOSECONDS_PER_MILLISECOND);
    assert_int_equal(take(device), 1);
    assert_int_equal(interrupt_set_cpu(&interrupt, 1), STATUS_UNSUPPORTED);
}

static void lines_stay(void **state)
{
    (void)state;
    world.cpus = world.cpus_reached = 2;
    add_function(0);
    world_discover(world_drivers, 3);
    struct device *device = world_claimed("virtio-blk0");
    assert_int_equal(device_cpu_count(device), 1);
    struct interrupt interrupt = open_one(device, 0, INTERRUPT_LINE);
    assert_int_equal(interrupt_set_cpu(&interrupt, 1), STATUS_UNSUPPORTED);
    assert_int_equal(interrupt_set_cpu(&interrupt, 0), STATUS_UNSUPPORTED);
}

/* Handles that lie: an index beyond all interrupts, a delivery that is not so, one that is not open. */
static void forged_handles(void **state)
{
    int index;

    (void)state;
    index = add_function(WORLD_MSIX);
    world_discover(world_drivers, 3);
    struct device *device = world_claimed("virtio-blk0");
    struct interrupt good = open_one(device, 0, INTERRUPT_MESSAGE);
    for (unsigned i = 0; i < 4; i++) {
        static const unsigned indices[] = {1, WORLD_VECTORS, 4096, UINT32_MAX};
        struct interrupt forged = {device, indices[i], good.epoch, INTERRUPT_LINE};
        interrupt_acknowledge(&forged);
        interrupt_close(&forged);
    }
    struct interrupt forged = good;
    forged.delivery = INTERRUPT_LINE;
    interrupt_acknowledge(&forged);
    assert_true(world_message(index, 0));
    assert_int_equal(take(device), 1);
    device_revoke(device, "a test");
    struct interrupt future = {device, 0, device->ownership.epoch, INTERRUPT_MESSAGE};
    interrupt_acknowledge(&future);
    interrupt_close(&future);
    assert_int_equal(device->stale_uses, 2);
}

/* A machine whose controllers take no messages: the function's wire, and one interrupt. */
static void no_messages(void **state)
{
    int index;

    (void)state;
    world.messages = false;
    index = add_function(WORLD_MSIX);
    world_discover(world_drivers, 3);
    struct device *device = world_claimed("virtio-blk0");
    assert_int_equal(device_interrupt_count(device), 1);
    open_one(device, 0, INTERRUPT_LINE);
    assert_int_equal(host_log_count(LOG_WARN), 0);
    world_intx(index, true);
    assert_int_equal(world_wires(10), 1);
    assert_int_equal(take(device), 1);
}

/* The table stops keeping what is written when the second vector is set: the first must not fall silent. */
static void messages_get_lost(void **state)
{
    int index;

    (void)state;
    index = add_function(WORLD_MSIX);
    world_discover(world_drivers, 3);
    struct device *device = world_claimed("virtio-blk0");
    open_one(device, 0, INTERRUPT_MESSAGE);
    world.stuck_register = device->function->bars[4].cpu_address + WORLD_TABLE + 16 + 8; /* data of entry 1 */
    open_one(device, 1, INTERRUPT_POLLED);
    assert_int_equal(device->interrupts[0].delivery, INTERRUPT_POLLED);
    assert_false(world_message(index, 0));
    world_advance(3 * NANOSECONDS_PER_MILLISECOND);
    assert_int_equal(take(device), 3);
    assert_true(host_log_has("virtio-blk0: interrupt 0 cannot be routed"));
    assert_true(host_log_has("virtio-blk0: interrupt 1 cannot be routed"));
}

/* ---- Wires ------------------------------------------------------------------------------------------------------ */

/* Three functions on one wire: only the one whose status bit is set is taken; it is switched off until its driver has
 * looked, and a driver that never looks starves nobody. */
static void shared_wire(void **state)
{
    struct device *devices[3];
    struct interrupt interrupts[3];
    int index[3];

    (void)state;
    for (unsigned i = 0; i < 3; i++)
        index[i] = add_function(0);
    world_discover(world_drivers, 3);
    for (unsigned i = 0; i < 3; i++) {
        char name[] = "virtio-blk0";
        name[10] = (char)('0' + i);
        devices[i] = world_claimed(name);
        interrupts[i] = open_one(devices[i], 0, INTERRUPT_LINE);
    }
    world_intx(index[1], true);
    assert_int_equal(world_wires(10), 1); /* the wire came down by itself: INTx is off at the function */
    assert_int_equal(take(devices[0]), 0);
    assert_int_equal(take(devices[1]), 1);
    assert_int_equal(take(devices[2]), 0);
    assert_int_equal(devices[0]->interrupts[0].count, 0);

    /* Device 1 stays up and its driver silent; device 2 is served again and again. */
    for (unsigned i = 0; i < 100; i++) {
        world_intx(index[2], true);
        assert_int_equal(world_wires(10), 1);
        assert_int_equal(take(devices[2]), 1);
        assert_int_equal(take(devices[1]), 0); /* not raised for what it already knows */
        world_intx(index[2], false);
        interrupt_acknowledge(&interrupts[2]);
        assert_int_equal(world_wires(10), 0);
        world.now_ns += NANOSECONDS_PER_MILLISECOND;
    }
    assert_int_equal(devices[1]->interrupts[0].count, 1);
    assert_int_equal(devices[2]->interrupts[0].count, 100);

    /* It acknowledges though its device still wants something: it comes again. */
    interrupt_acknowledge(&interrupts[1]);
    assert_int_equal(world_wires(10), 1);
    assert_int_equal(take(devices[1]), 1);
    world_intx(index[1], false);
    interrupt_acknowledge(&interrupts[1]);
    interrupt_acknowledge(&interrupts[1]);
    assert_int_equal(world_wires(10), 0);

    /* The end of one is not the end of the others. */
    world_intx(index[0], true);
    device_revoke(devices[0], "a test");
    world_intx(index[2], true);
    assert_int_equal(world_wires(10), 1);
    assert_int_equal(take(devices[2]), 1);
}

/* An acknowledgement of what is not pending, or is closed while it was, changes nothing at the device. */
static void idle_acknowledge(void **state)
{
    int index = add_function(0);

    (void)state;
    world_discover(world_drivers, 3);
    struct device *device = world_claimed("virtio-blk0");
    struct interrupt interrupt = open_one(device, 0, INTERRUPT_LINE), copy = interrupt;
    world_trace_clear();
    interrupt_acknowledge(&interrupt);
    assert_string_equal(world.trace, "");
    world_intx(index, true);
    assert_int_equal(world_wires(10), 1);
    interrupt_close(&interrupt);
    world_trace_clear();
    interrupt_acknowledge(&copy);
    assert_string_equal(world.trace, "");
    assert_int_equal(world_wires(10), 0);
}

/* A function without the switch (PCI 2.2): the wire is masked at the controller until it is acknowledged. */
static void no_switch(void **state)
{
    int index;

    (void)state;
    index = add_function(0);
    pci_model_at(&world.pci, index)->writable[PCI_COMMAND + 1] = 0;
    world_discover(world_drivers, 3);
    struct device *device = world_claimed("virtio-blk0");
    struct interrupt interrupt = open_one(device, 0, INTERRUPT_LINE);
    for (unsigned i = 0; i < 5; i++) {
        world_intx(index, true);
        assert_int_equal(world_wires(10), 1);
        assert_int_equal(take(device), 1);
        world_intx(index, false);
        interrupt_acknowledge(&interrupt);
    }
    world_intx(index, true);
    assert_int_equal(world_wires(10), 1);
    device_revoke(device, "a test"); /* while it is masked */
    assert_int_equal(device_claim(device), STATUS_OK);
    interrupt = open_one(device, 0, INTERRUPT_LINE);
    assert_int_equal(world_wires(10), 1);
}

/* A function whose switch is stuck at off will never drive its wire: it is polled. */
static void stuck_switch(void **state)
{
    int index;

    (void)state;
    index = add_function(0);
    struct pci_model_function *function = pci_model_at(&world.pci, index);
    pci_model_set(function, PCI_COMMAND, 2, PCI_COMMAND_INTX_DISABLE);
    function->writable[PCI_COMMAND + 1] = 0;
    world_discover(world_drivers, 3);
    open_one(world_claimed("virtio-blk0"), 0, INTERRUPT_POLLED);
}

static void slot_wire(void **state)
{
    (void)state;
    world_slot(2);
    world_discover(world_drivers, 3);
    struct device *device = world_claimed("virtio-blk0");
    assert_int_equal(device_interrupt_count(device), 1);
    struct interrupt interrupt = open_one(device, 0, INTERRUPT_LINE);
    world.level[WORLD_FIRST_LINE] = true;
    assert_int_equal(world_wires(10), 1); /* masked at the controller: there is no other switch */
    assert_int_equal(take(device), 1);
    interrupt_acknowledge(&interrupt);
    assert_int_equal(world_wires(1), 1);
    world.level[WORLD_FIRST_LINE] = false;
    interrupt_acknowledge(&interrupt);
    assert_int_equal(world_wires(10), 0);
    interrupt_close(&interrupt);
    world.level[WORLD_FIRST_LINE] = true;
    assert_int_equal(world_wires(10), 0);
    world.level[WORLD_FIRST_LINE] = false;
    open_one(device, 0, INTERRUPT_LINE);
}

/* The interrupt comes between the driver's look and its acknowledgement, from a neighbour on the wire: whatever the
 * order, the function is either switched on or known to be pending. */
static void acknowledge_is_whole(void **state)
{
    int index;

    (void)state;
    index = add_function(0);
    world_discover(world_drivers, 3);
    struct device *device = world_claimed("virtio-blk0");
    struct interrupt interrupt = open_one(device, 0, INTERRUPT_LINE);
    world_intx(index, true);
    assert_int_equal(world_wires(10), 1);
    world.on_access = world_interrupts_are_disabled;
    interrupt_acknowledge(&interrupt);
    world.on_access = NULL;
    assert_int_equal(world_wires(10), 1);
}

/* ---- Polling ------------------------------------------------------------------------------------------------------
 */

static void polled(void **state)
{
    (void)state;
    world.no_lines = true;
    world_slot(2);
    world_discover(world_drivers, 3);
    struct device *device = world_claimed("virtio-blk0");
    struct interrupt interrupt = open_one(device, 0, INTERRUPT_POLLED);
    assert_true(host_log_has("virtio-blk0: interrupt 0 cannot be routed (not found); polled every 2 ms instead"));
    assert_int_equal(take(device), 0);
    for (unsigned i = 0; i < 20; i++) {
        world_advance(2 * NANOSECONDS_PER_MILLISECOND);
        assert_int_equal(take(device), 1);
    }
    interrupt_acknowledge(&interrupt);
    interrupt_close(&interrupt);
    world_advance(10 * NANOSECONDS_PER_MILLISECOND);
    assert_int_equal(world.timers, 0); /* it has stopped by itself */
    assert_int_equal(take(device), 0);
    interrupt = open_one(device, 0, INTERRUPT_POLLED);
    device_revoke(device, "a test");
    assert_int_equal(world.timers, 0);
}

static void no_route_for_the_function(void **state)
{
    (void)state;
    add_function(0);
    world.machine->host_bridges[0].intx_route_count = 0;
    world_discover(world_drivers, 3);
    open_one(world_claimed("virtio-blk0"), 0, INTERRUPT_POLLED);
}

/* ---- Waiting ------------------------------------------------------------------------------------------------------
 */

static int waiting;

static void message_comes(void)
{
    world_advance(NANOSECONDS_PER_MILLISECOND);
    assert_true(world_message(waiting, 0));
}

static void other_message_comes(void)
{
    assert_true(world_message(waiting, 1));
    world.on_sleep = message_comes;
}

static void waits(void **state)
{
    (void)state;
    waiting = add_function(WORLD_MSIX);
    world_discover(world_drivers, 3);
    struct device *device = world_claimed("virtio-blk0");
    open_one(device, 0, INTERRUPT_MESSAGE);
    open_one(device, 1, INTERRUPT_MESSAGE);

    /* Raised before the call: it does not sleep at all. */
    assert_true(world_message(waiting, 0));
    assert_int_equal(driver_wait(device, 1, DEADLINE_NEVER), 1);
    assert_int_equal(world.sleeps, 0);
    /* Raised meanwhile; another event does not end the wait, and is not lost by it. */
    world.on_sleep = other_message_comes;
    assert_int_equal(driver_wait(device, 1, DEADLINE_NEVER), 1);
    assert_int_equal(world.sleeps, 2);
    assert_int_equal(driver_wait(device, 2, DEADLINE_NEVER), 2);
    assert_int_equal(world.sleeps, 2);
    /* Not raised: the deadline. An event in time ends the wait before it. */
    uint64_t start = world.now_ns;
    assert_int_equal(driver_wait(device, 1, start + 5 * NANOSECONDS_PER_MILLISECOND), 0);
    assert_int_equal(world.now_ns, start + 5 * NANOSECONDS_PER_MILLISECOND);
    world.on_sleep = message_comes;
    assert_int_equal(driver_wait(device, 1, world.now_ns + 5 * NANOSECONDS_PER_MILLISECOND), 1);
    assert_int_equal(world.now_ns, start + 6 * NANOSECONDS_PER_MILLISECOND);
    assert_int_equal(world.timers, 0);
    /* A deadline that has passed: one look. */
    assert_int_equal(driver_wait(device, 1, 0), 0);
    assert_true(world_message(waiting, 0));
    assert_int_equal(driver_wait(device, 1, 0), 1);
    /* Nothing that could come, and no deadline: no sleep from which nobody would wake. */
    assert_int_equal(driver_wait(device, 0, DEADLINE_NEVER), 0);
    assert_int_equal(driver_wait(device, 1 << 2 | 1u << 31, DEADLINE_NEVER), 0);
    /* No events, a deadline: that is how a driver lets time pass. */
    start = world.now_ns;
    assert_int_equal(driver_wait(device, 0, start + 1000), 0);
    assert_int_equal(world.now_ns, start + 1000);
    device_revoke(device, "a test");
    assert_int_equal(driver_wait(device, UINT32_MAX, DEADLINE_NEVER), 0);
    assert_int_equal(driver_wait(device, UINT32_MAX, world.now_ns + 5000), 0);
    assert_int_equal(world.now_ns, start + 1000);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, world_begin, world_end)
        TEST(messages),
        TEST(forged_handles),
        TEST(no_messages),
        TEST(messages_get_lost),
        TEST(shared_wire),
        TEST(idle_acknowledge),
        TEST(no_switch),
        TEST(stuck_switch),
        TEST(slot_wire),
        TEST(acknowledge_is_whole),
        TEST(polled),
        TEST(no_route_for_the_function),
        TEST(waits),
        TEST(directed),
        TEST(directed_in_vain),
        TEST(lines_stay),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
