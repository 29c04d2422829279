/* test_authority.c: ownership, its end, and register windows, over a machine that is played. */
#include "authority_world.h"

#include <machine/pci_reg.h>
#include <string.h>

/* ---- Stale handles ------------------------------------------------------------------------------------- */

struct everything { /* a handle of each kind */
    struct register_window window;
    struct interrupt interrupt;
    struct dma_memory memory;
    struct device_queue queue;
    uint32_t loan;
};

static void open_everything(struct device *device, void *client, struct everything *all)
{
    struct queue_layout layout = {.submission_size = 1024, .completion_size = 1024, .alignment = 64};
    struct memory_ref ref = {.offset = (uintptr_t)client, .length = 512};
    struct dma_segment segment;
    unsigned count;

    assert_int_equal(device_window_open(device, device->function != NULL ? 4 : 0, &all->window), STATUS_OK);
    assert_int_equal(device_interrupt_open(device, 0, &all->interrupt), STATUS_OK);
    assert_int_equal(dma_allocate(device, 256, 64, &all->memory), STATUS_OK);
    assert_int_equal(queue_create(device, &layout, &all->queue), STATUS_OK);
    assert_int_equal(queue_set_doorbell(&all->queue, &all->window, 0x50, 4), STATUS_OK);
    assert_int_equal(dma_lend(device, &ref, DMA_FROM_DEVICE, &segment, 1, &count, &all->loan), STATUS_OK);
}

/* Each use of each old handle, and each call that would open a new one when nobody owns the device. */
static void refuse_everything(struct device *device, const struct everything *old, bool owned)
{
    struct everything all = *old;
    uint64_t stale = device->stale_uses;
    unsigned accesses = world.register_accesses;
    struct dma_ledger before = device->ledger;

    assert_int_equal(window_read8(&all.window, 0), 0xff);
    assert_int_equal(window_read16(&all.window, 0), 0xffff);
    assert_int_equal(window_read32(&all.window, 0), 0xffffffff);
    window_write8(&all.window, 0, 1);
    window_write16(&all.window, 0, 1);
    window_write32(&all.window, 0, 1);
    queue_notify(&all.queue, 7);
    assert_int_equal(queue_set_doorbell(&all.queue, &all.window, 0x50, 4), STATUS_REVOKED);
    interrupt_acknowledge(&all.interrupt);
    interrupt_close(&all.interrupt);
    dma_free(device, &all.memory);
    dma_return(device, all.loan);
    queue_destroy(&all.queue);
    assert_int_equal(device->stale_uses - stale, 13);

    if (!owned) {
        struct queue_layout layout = {.submission_size = 64, .completion_size = 64, .alignment = 64};
        struct memory_ref ref = {.offset = 4096, .length = 512};
        struct dma_segment segment;
        unsigned count;
        assert_int_equal(device_window_open(device, 0, &all.window), STATUS_REVOKED);
        assert_null(all.window.device);
        assert_int_equal(device_interrupt_open(device, 0, &all.interrupt), STATUS_REVOKED);
        assert_int_equal(dma_allocate(device, 256, 64, &all.memory), STATUS_REVOKED);
        assert_null(all.memory.memory);
        assert_int_equal(queue_create(device, &layout, &all.queue), STATUS_REVOKED);
        assert_int_equal(dma_lend(device, &ref, DMA_FROM_DEVICE, &segment, 1, &count, &all.loan), STATUS_REVOKED);
        assert_int_equal(device_publish_block(device, (struct block_device *)&all), STATUS_REVOKED);
        assert_int_equal(device_publish_nic(device, (struct nic_device *)&all), STATUS_REVOKED);
        assert_int_equal(device_publish_entropy(device, (struct entropy_device *)&all), STATUS_REVOKED);
        assert_true(device->blocks == NULL && device->nic == NULL && device->entropy == NULL);
        assert_int_equal(driver_wait(device, UINT32_MAX, DEADLINE_NEVER), 0);
        assert_int_equal(device->stale_uses - stale, 22);
    }
    assert_int_equal(world.register_accesses, accesses);
    assert_memory_equal(&before, &device->ledger, sizeof before);
}

static void stale_on(struct device *device)
{
    void *client = world_client(1, MMU_WRITE, false);
    struct everything first, second;

    open_everything(device, client, &first);
    device_revoke(device, "a test");
    assert_int_equal(device->ownership.state, DEVICE_FREE);
    assert_int_equal(device->ownership.epoch, 2);
    refuse_everything(device, &first, false);

    /* A new owner, who gets the very same places: nothing of it is touched by the old handles. */
    assert_int_equal(device_claim(device), STATUS_OK);
    open_everything(device, client, &second);
    first.memory.memory = second.memory.memory;
    first.queue.submission = second.queue.submission;
    first.queue.completion = second.queue.completion;
    memset(second.memory.memory, 0x11, second.memory.size);
    refuse_everything(device, &first, true);
    assert_int_equal(((uint8_t *)second.memory.memory)[255], 0x11);
    assert_true(device->interrupts[0].open);
    window_write32(&second.window, 0x10, 0x1234);
    assert_int_equal(window_read32(&second.window, 0x10), 0x1234);
    queue_notify(&second.queue, 9);
    assert_int_equal(window_read32(&second.window, 0x50), 9);

    /* And what the new one holds it can give back, all of it. */
    interrupt_close(&second.interrupt);
    dma_free(device, &second.memory);
    dma_return(device, second.loan);
    queue_destroy(&second.queue);
    assert_int_equal(device->ledger.owned_bytes, 0);
    assert_int_equal(device->ledger.lent_bytes, 0);
    assert_int_equal(device->ledger.loan_count, 0);
    assert_int_equal(device->ledger.queue_count, 0);
    assert_int_equal(world.pages_live, 0);
    assert_int_equal(device->stale_uses, 22 + 13);
}

static void stale_mmio(void **state)
{
    (void)state;
    world_slot(2);
    world_discover(world_drivers, 3);
    stale_on(world_claimed("virtio-blk0"));
}

static void stale_pci(void **state)
{
    (void)state;
    world_function(3 << 3, 0x1042, WORLD_MSIX);
    world_discover(world_drivers, 3);
    stale_on(world_claimed("virtio-blk0"));
}

static void quarantined(void **state)
{
    struct everything all;

    (void)state;
    world_slot(2);
    world_discover(world_drivers, 3);
    struct device *device = world_claimed("virtio-blk0");
    open_everything(device, world_client(1, MMU_WRITE, false), &all);
    unsigned live = world.pages_live;
    uint64_t owned = device->ledger.owned_bytes;
    memset(all.queue.submission, 0x22, 1024);
    world.stuck_register = WORLD_SLOTS + 0x70;
    world.stuck_value = 4;
    world_trace_clear();
    device_revoke(device, "a test");
    assert_int_equal(device->ownership.state, DEVICE_QUARANTINED);
    assert_int_equal(world.pages_live, live);
    assert_false(world_trace_has("free"));
    assert_int_equal(((uint8_t *)all.queue.submission)[1023], 0x22); /* it is still the device's */
    assert_int_equal(device->ledger.owned_bytes, owned);             /* on the ledger for good */
    assert_int_equal(device->ledger.lent_bytes, 512);
    assert_int_equal(world.kept_bytes, 512); /* and the heap knows */
    assert_true(host_log_has("virtio-blk0: did not confirm that its DMA has stopped; it is quarantined until"));
    assert_true(host_log_has("12288 bytes of its own and 512 lent to it stay out of use for good"));
    assert_true(world.now_ns >= 100 * NANOSECONDS_PER_MILLISECOND && world.now_ns < NANOSECONDS_PER_SECOND);
    refuse_everything(device, &all, false);
    assert_int_equal(device_claim(device), STATUS_DENIED);

    uint64_t now = world.now_ns; /* for good: not when the device has thought better of it either */
    world.stuck_register = 0;
    device_revoke(device, "again");
    assert_int_equal(device->ownership.state, DEVICE_QUARANTINED);
    assert_int_equal(device->ownership.epoch, 2);
    assert_int_equal(world.now_ns, now);
    assert_int_equal(world.pages_live, live);
    assert_int_equal(device_claim(device), STATUS_DENIED);
}

/* The last epoch there is. */
static void no_epoch_twice(void **state)
{
    (void)state;
    world_slot(2);
    world_discover(world_drivers, 3);
    struct device *device = device_find("virtio-blk0");
    device->ownership.epoch = UINT32_MAX;
    assert_int_equal(device_claim(device), STATUS_OK);
    device_revoke(device, "a test");
    assert_int_equal(device->ownership.state, DEVICE_QUARANTINED);
    assert_int_equal(world.pages_live, 0);
}

/* ---- Claim and the order of the end ------------------------------------------------------------------------ */

static void one_owner(void **state)
{
    (void)state;
    world_function(3 << 3, 0x1042, WORLD_MSIX);
    world_discover(world_drivers, 3);
    struct device *device = world_claimed("virtio-blk0");
    assert_int_equal(device->interrupt_count, WORLD_VECTORS);
    assert_int_equal(device_claim(device), STATUS_BUSY);
    assert_true(world_trace_has("command:master"));

    device_revoke(device, "a test");
    uint32_t epoch = device->ownership.epoch;
    world_trace_clear();
    device_revoke(device, "again"); /* nothing is done twice */
    assert_int_equal(device->ownership.epoch, epoch);
    assert_string_equal(world.trace, "");

    world.fail_calloc = 1;
    assert_int_equal(device_claim(device), STATUS_NO_MEMORY);
    assert_int_equal(device->ownership.state, DEVICE_FREE);
    assert_false(pci_model_get(pci_model_at(&world.pci, 0), PCI_COMMAND, 2) & PCI_COMMAND_MASTER);
    pci_model_at(&world.pci, 0)->vanish_after = 1;
    assert_int_equal(device_claim(device), STATUS_DEVICE_FAULT);
    assert_int_equal(device->ownership.state, DEVICE_FREE);
    pci_model_at(&world.pci, 0)->vanish_after = 0;
    assert_int_equal(device_claim(device), STATUS_OK);
}

static struct device *probed; /* whose gate is looked at from inside */

static void gate_is_closed(void)
{
    assert_int_equal(probed->ownership.state, DEVICE_REVOKING);
}

static void order_of_the_end(void **state)
{
    struct everything all;

    (void)state;
    int function = world_function(3 << 3, 0x1042, WORLD_MSIX | WORLD_EXPRESS);
    world_discover(world_drivers, 3);
    struct device *device = probed = world_claimed("virtio-blk0");
    open_everything(device, world_client(1, MMU_WRITE, false), &all);
    memset(all.queue.submission, 0x33, 1024);
    memset(all.memory.memory, 0x44, 256);
    window_write8(&all.window, WORLD_COMMON_STATUS, 0x0f);
    assert_true(world_message(function, 0));
    world_trace_clear();
    world.on_access = gate_is_closed;
    device_revoke(device, "a test");
    world.on_access = NULL;
    world_expect_order("vector:masked", "detach", "command:quiet", "=0", "free", "free", "free", NULL);
    assert_false(world_trace_has("command:master,memory,no-intx command:quiet,memory,no-intx command:master"));
    assert_int_equal(world.dirty_frees, 0);
    assert_int_equal(world.kept_bytes, 0);
    assert_int_equal(device->events, 0);
    assert_int_equal(device->ownership.state, DEVICE_FREE);
    const struct pci_model_function *model = pci_model_at(&world.pci, function);
    assert_false(pci_model_get(model, device->function->msix.capability + 2u, 2) & PCI_MSIX_CONTROL_ENABLE);
    assert_true(pci_model_get(model, PCI_COMMAND, 2) & PCI_COMMAND_INTX_DISABLE);
    assert_int_equal(world_register(device->function->bars[4].cpu_address)[WORLD_COMMON_STATUS], 0);
    assert_false(world_message(function, 0));
}

/* What does not stop is quarantined: bus mastering, transactions under way, the virtio status. */
static void does_not_stop(void **state)
{
    (void)state;
    for (unsigned kind = 0; kind < 5; kind++) {
        struct everything all;
        int index = world_function(3 << 3, kind == 3 ? 0x1001 : 0x1042, WORLD_EXPRESS | (kind == 3 ? WORLD_LEGACY : 0));
        world_discover(world_drivers, 3);
        struct device *device = world_claimed("virtio-blk0");
        struct pci_model_function *function = pci_model_at(&world.pci, index);
        open_everything(device, world_client(1, MMU_WRITE, false), &all);
        if (kind == 0)
            function->writable[PCI_COMMAND] &= (uint8_t)~PCI_COMMAND_MASTER;
        if (kind == 1)
            pci_model_set(function, device->function->express + 0x0a, 2, 1 << 5);
        if (kind == 2) {
            world.stuck_register = device->function->bars[4].cpu_address + WORLD_COMMON_STATUS;
            world.stuck_value = 0xff;
        }
        if (kind == 3) {
            struct register_window legacy;
            assert_int_equal(device_window_open(device, 0, &legacy), STATUS_OK);
            world.stuck_register = device->function->bars[0].cpu_address + 0x12;
            world.stuck_value = 7;
        }
        if (kind == 4)
            function->vanish_after = function->reads;
        unsigned live = world.pages_live;
        device_revoke(device, "a test");
        assert_int_equal(device->ownership.state, DEVICE_QUARANTINED);
        assert_int_equal(world.pages_live, live);
        assert_true(host_log_has("did not confirm that its DMA has stopped"));
        assert_true(world.now_ns < NANOSECONDS_PER_SECOND);
        assert_int_equal(device_claim(device), STATUS_DENIED);
        world_end(NULL);
        world_begin(NULL);
    }
}

/* A reset that takes its time within the deadline is confirmed. */
static void slow_reset(void **state)
{
    struct register_window window;

    (void)state;
    world_slot(2);
    world_discover(world_drivers, 3);
    struct device *device = world_claimed("virtio-blk0");
    assert_int_equal(device_window_open(device, 0, &window), STATUS_OK);
    window_write32(&window, 0x70, 0xf);
    world.stuck_register = WORLD_SLOTS + 0x70;
    world.stuck_value = 0xf;
    world.stuck_reads = 50;
    world_trace_clear();
    device_revoke(device, "a test");
    assert_true(world_trace_has("write32:a000070=0"));
    assert_int_equal(device->ownership.state, DEVICE_FREE);
    assert_true(world.now_ns >= 40 * NANOSECONDS_PER_MILLISECOND);
}

/* Registers that nobody opened are not touched: their device was never given an address. */
static void untouched(void **state)
{
    (void)state;
    world_slot(2);
    world_function(3 << 3, 0x1041, 0);
    world_discover(world_drivers, 3);
    struct device *slot = world_claimed("virtio-blk0"), *function = world_claimed("virtio-net0");
    world.stuck_register = WORLD_SLOTS + 0x70;
    world.stuck_value = 1;
    device_revoke(slot, "a test");
    device_revoke(function, "a test");
    assert_int_equal(world.register_accesses, 0);
    assert_int_equal(slot->ownership.state, DEVICE_FREE);
    assert_int_equal(function->ownership.state, DEVICE_FREE);
}

/* ---- Windows ------------------------------------------------------------------------------------------------- */

static void each_width(const struct register_window *window, uint64_t offset, unsigned width, bool good)
{
    struct device *device = window->device;
    uint64_t violations = device->window_violations;
    unsigned accesses = world.register_accesses;
    uint32_t ones = width == 4 ? UINT32_MAX : (1u << 8 * width) - 1, value = 0x01020304 & ones;
    uint32_t read = 0;

    if (width == 1) {
        window_write8(window, offset, (uint8_t)value);
        read = window_read8(window, offset);
    } else if (width == 2) {
        window_write16(window, offset, (uint16_t)value);
        read = window_read16(window, offset);
    } else {
        window_write32(window, offset, value);
        read = window_read32(window, offset);
    }
    assert_int_equal(read, good ? value : ones);
    assert_int_equal(world.register_accesses - accesses, good ? 2 : 0);
    assert_int_equal(device->window_violations - violations, good ? 0 : 2);
}

static void window_bounds(void **state)
{
    static const struct {
        uint64_t offset;
        bool good[3]; /* 1, 2, 4 bytes */
    } rows[] = {
        {0, {true, true, true}},
        {1, {true, false, false}},
        {2, {true, true, false}},
        {0x1fc, {true, true, true}},
        {0x1fe, {true, true, false}},
        {0x1ff, {true, false, false}},
        {0x200, {false, false, false}},
        {0x1000, {false, false, false}},
        {UINT32_MAX, {false, false, false}},
        {UINT64_C(1) << 32, {false, false, false}},
        {UINT64_MAX - 3, {false, false, false}},
        {UINT64_MAX - 1, {false, false, false}},
        {UINT64_MAX, {false, false, false}},
        {0 - WORLD_SLOTS, {false, false, false}},
    };
    struct register_window window, none;

    (void)state;
    world_slot(2);
    world_slot(1);
    world_discover(world_drivers, 3);
    struct device *device = world_claimed("virtio-blk0");
    assert_int_equal(device_window_open(device, 0, &window), STATUS_OK);
    assert_int_equal(window.size, 0x200);
    assert_int_equal(device_window_open(device, 1, &none), STATUS_NOT_FOUND);
    assert_int_equal(device_window_open(device, UINT32_MAX, &none), STATUS_NOT_FOUND);
    for (unsigned i = 0; i < sizeof rows / sizeof rows[0]; i++)
        for (unsigned w = 0; w < 3; w++)
            each_width(&window, rows[i].offset, 1u << w, rows[i].good[w]);
    assert_int_equal(host_log_count(LOG_WARN), 1); /* said once, counted always */
    assert_true(host_log_has("virtio-blk0: refused a 2-byte access at 0x1 of window 0"));
}

/* A window is where the manager put it, whatever the handle says. */
static void forged_windows(void **state)
{
    struct register_window window;

    (void)state;
    world_slot(2);
    world_slot(1);
    world_discover(world_drivers, 3);
    struct device *device = world_claimed("virtio-blk0");
    assert_int_equal(device_window_open(device, 0, &window), STATUS_OK);
    world_register(WORLD_SLOTS + 0x200)[0x100] = 0x77;
    struct register_window larger = window, elsewhere = window, other = window;
    larger.size = UINT64_MAX;
    each_width(&larger, 0x300, 4, false); /* the neighbour, in the same page */
    elsewhere.index = 5;
    elsewhere.backend = 5;
    each_width(&elsewhere, 0, 4, false);
    elsewhere.index = UINT32_MAX;
    each_width(&elsewhere, 0, 4, false);
    other.device = device_find("virtio-net0"); /* which nobody owns */
    assert_int_equal(window_read32(&other, 0), UINT32_MAX);
    assert_int_equal(other.device->stale_uses, 1);
    assert_int_equal(world_register(WORLD_SLOTS + 0x200)[0x100], 0x77);
    assert_int_equal(window_read8(&(struct register_window){0}, 0), 0xff);
}

/* The MSI-X table is the kernel's, though it lies in the driver's own window. */
static void hidden_table(void **state)
{
    struct register_window window;

    (void)state;
    world_function(3 << 3, 0x1042, WORLD_MSIX);
    world_discover(world_drivers, 3);
    struct device *device = world_claimed("virtio-blk0");
    assert_int_equal(device_window_open(device, 4, &window), STATUS_OK);
    assert_int_equal(window.size, 0x4000);
    each_width(&window, WORLD_TABLE - 4, 4, true);
    each_width(&window, WORLD_TABLE, 4, false);
    each_width(&window, WORLD_TABLE + 16 * WORLD_VECTORS - 1, 1, false);
    each_width(&window, WORLD_TABLE + 16 * WORLD_VECTORS, 4, true);
    assert_int_equal(device_window_open(device, 0, &window), STATUS_NOT_FOUND);
    assert_int_equal(device_window_open(device, 5, &window), STATUS_NOT_FOUND);
    assert_int_equal(device_window_open(device, 6, &window), STATUS_NOT_FOUND);
}

static void ports(void **state)
{
    struct register_window window;

    (void)state;
    world_function(3 << 3, 0x1001, WORLD_LEGACY);
    world_discover(world_drivers, 3);
    struct device *device = world_claimed("virtio-blk0");
    struct pci_bar *bar = &device->function->bars[0];
    assert_int_equal(bar->kind, PCI_BAR_IO);
    world.ports = false;
    assert_int_equal(device_window_open(device, 0, &window), STATUS_UNSUPPORTED);
    world.ports = true;
    uint64_t good = bar->cpu_address;
    bar->cpu_address = 0xffe0; /* its end is beyond the port space */
    assert_int_equal(device_window_open(device, 0, &window), STATUS_UNSUPPORTED);
    bar->cpu_address = good;
    assert_int_equal(device_window_open(device, 0, &window), STATUS_OK);
    each_width(&window, 0x3c, 4, true);
    each_width(&window, 0x40, 1, false);
    assert_int_equal(*world_port((uint16_t)(good + 0x3c)), 0x04);
}

/* A BAR without a place, and registers that cannot be mapped: another try may succeed. */
static void no_place(void **state)
{
    struct register_window window;

    (void)state;
    world_function(3 << 3, 0x1042, 0);
    world_discover(world_drivers, 3);
    struct device *device = world_claimed("virtio-blk0");
    struct pci_bar *bar = &device->function->bars[4];
    uint64_t good = bar->cpu_address;
    bar->cpu_address = UINT64_C(0x4000000000);
    assert_int_equal(device_window_open(device, 4, &window), STATUS_UNSUPPORTED);
    assert_null(window.device);
    bar->cpu_address = good;
    bar->assigned = false;
    assert_int_equal(device_window_open(device, 4, &window), STATUS_UNSUPPORTED);
    bar->assigned = true;
    world.fail_calloc = 1;
    assert_int_equal(device_window_open(device, 4, &window), STATUS_NO_MEMORY);
    assert_int_equal(device_window_open(device, 4, &window), STATUS_OK);
    each_width(&window, 0, 4, true);
}

/* What a bridge forwards is other devices' registers. */
static void bridges(void **state)
{
    static const struct driver_match anything[] = {{DEVICE_BUS_PCI, DEVICE_ANY_ID, DEVICE_ANY_ID}};
    struct driver greedy = world_blk;
    const struct driver *list[] = {&greedy};
    struct register_window window;

    (void)state;
    greedy.matches = anything;
    greedy.match_count = 1;
    world.machine->host_bridges[0].last_bus = 8;
    int bridge = pci_model_add_bridge(&world.pci, PCI_MODEL_ROOT, 1 << 3, true);
    world_function(0, 0x1042, 0);
    world.pci.functions[1].parent = bridge;
    world_discover(list, 1);
    struct device *device = world_claimed("virtio-blk0");
    assert_int_equal(device->function->header_type, PCI_HEADER_BRIDGE);
    assert_true(device->function->bars[PCI_BRIDGE_MEMORY].assigned);
    for (unsigned i = 0; i < PCI_MAX_BARS; i++)
        assert_int_equal(device_window_open(device, i, &window), STATUS_NOT_FOUND);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, world_begin, world_end)
        TEST(stale_mmio),       TEST(stale_pci),     TEST(quarantined), TEST(no_epoch_twice), TEST(one_owner),
        TEST(order_of_the_end), TEST(does_not_stop), TEST(slow_reset),  TEST(untouched),      TEST(window_bounds),
        TEST(forged_windows),   TEST(hidden_table),  TEST(ports),       TEST(no_place),       TEST(bridges),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
