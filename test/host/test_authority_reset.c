/* test_authority_reset.c: a device is brought to rest: by the reset of its class, of its function, and at its claim. */
#include "authority_world.h"

#include <machine/pci_reg.h>
#include <string.h>

#define MILLISECOND UINT64_C(1000000)

static struct dma_memory owned;

/* Claimed, with memory of its own and its registers in use. */
static struct device *in_use(const char *name)
{
    struct device *device = world_claimed(name);
    struct register_window window;

    assert_int_equal(device_window_open(device, device->identity.vendor == 0x1af4 ? 4 : 0, &window), STATUS_OK);
    assert_int_equal(dma_allocate(device, 4096, 4096, &owned), STATUS_OK);
    return device;
}

static unsigned express_of(const struct device *device)
{
    return device->function->express;
}

/* ---- Function Level Reset -------------------------------------------------------------------------------------- */

static void forgets_and_has_everything_again(void **state)
{
    (void)state;
    int index = world_function(3 << 3, 0x1042, WORLD_MSIX | WORLD_EXPRESS | WORLD_RESET);
    world_discover(world_drivers, 3);
    struct device *device = in_use("virtio-blk0");
    struct pci_model_function *model = pci_model_at(&world.pci, index);
    pci_model_set(model, express_of(device) + PCI_EXPRESS_CONTROL, 2, 0x2810);
    pci_model_set(model, express_of(device) + PCI_EXPRESS_CONTROL2, 2, 0x0405);
    pci_model_set(model, PCI_INTERRUPT_LINE, 1, 11);
    uint32_t bar = pci_model_get(model, PCI_BAR0 + 16, 4);
    uint64_t began = world.now_ns;
    world_trace_clear();
    device_revoke(device, "a test");

    /* Quiet, then forgotten, then as it was, and only then is memory freed. */
    world_expect_order("command:quiet,memory", "command:quiet,intx", "command:quiet,memory,no-intx", "free", NULL);
    assert_int_equal(device->ownership.state, DEVICE_FREE);
    assert_int_equal(model->resets, 1);
    assert_true(world.now_ns - began >= 100 * MILLISECOND);
    assert_int_equal(pci_model_get(model, PCI_BAR0 + 16, 4), bar);
    assert_int_equal(pci_model_get(model, PCI_COMMAND, 2), PCI_COMMAND_MEMORY | PCI_COMMAND_INTX_DISABLE);
    assert_int_equal(pci_model_get(model, express_of(device) + PCI_EXPRESS_CONTROL, 2), 0x2810);
    assert_int_equal(pci_model_get(model, express_of(device) + PCI_EXPRESS_CONTROL2, 2), 0x0405);
    assert_int_equal(pci_model_get(model, PCI_INTERRUPT_LINE, 1), 11);
    assert_int_equal(device_claim(device), STATUS_OK);
    struct interrupt interrupt;
    assert_int_equal(device_interrupt_open(device, 0, &interrupt), STATUS_OK); /* its vectors are set up anew */
    assert_true(world_message(index, 0));
}

/* ---- C26 and its like: what does not come back as it was is out of use ------------------------------------------- */

static void for_ever(struct pci_model_function *model)
{
    model->reset_retries = UINT32_MAX;
}

static void leaves(struct pci_model_function *model)
{
    model->reset_gone = true;
}

static void another(struct pci_model_function *model)
{
    model->reset_vendor = 0x1234;
}

static void forgets(struct pci_model_function *model)
{
    model->reset_stuck_bars = true;
}

static void deaf_control(struct pci_model_function *model)
{
    unsigned control = 0x50 + PCI_EXPRESS_CONTROL2; /* behind the capability for virtio */

    assert_int_equal(model->space[0x50], PCI_CAPABILITY_EXPRESS);
    model->space[control] = 5;
    model->writable[control] = 0xff;
    model->clears[control] = 0xff; /* and so it never keeps what is written */
}

static void does_not_come_back(void **state)
{
    static const struct {
        const char *what;
        void (*set)(struct pci_model_function *model);
        const char *sentence;
    } cases[] = {
        {"C26 asks for patience for ever", for_ever, "not ready 1100 ms after its function was reset: it asks for"},
        {"C26 is gone after its reset", leaves, "not ready 1100 ms after its function was reset: it does not answer"},
        {"C26 is somebody else after its reset", another, "answers as 1234:1042 after its function was reset"},
        {"C26 keeps no BARs after its reset", forgets, "does not keep its configuration after its function was reset"},
        {"C26 keeps no control register", deaf_control, "does not keep its configuration after its function was"},
    };

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        world_end(state);
        world_begin(state);
        print_message("           %s\n", cases[i].what);
        int index = world_function(3 << 3, 0x1042, WORLD_EXPRESS | WORLD_RESET);
        world_discover(world_drivers, 3);
        struct device *device = in_use("virtio-blk0");
        cases[i].set(pci_model_at(&world.pci, index));
        uint64_t began = world.now_ns;
        device_revoke(device, "a test");
        assert_int_equal(device->ownership.state, DEVICE_QUARANTINED);
        assert_int_equal(world.pages_live, 1);
        assert_true(world.now_ns - began < 1500 * MILLISECOND);
        assert_true(host_log_has(cases[i].sentence));
        assert_true(host_log_has("it is quarantined until the machine restarts"));
        assert_int_equal(pci_model_get(pci_model_at(&world.pci, index), PCI_COMMAND, 2) & PCI_COMMAND_MASTER, 0);
        assert_int_equal(device_claim(device), STATUS_DENIED);
    }
}

static void takes_its_time(void **state)
{
    (void)state;
    int index = world_function(3 << 3, 0x1042, WORLD_EXPRESS | WORLD_RESET);
    world_discover(world_drivers, 3);
    struct device *device = in_use("virtio-blk0");
    pci_model_at(&world.pci, index)->reset_retries = 50;
    uint64_t began = world.now_ns;
    device_revoke(device, "a test");
    assert_int_equal(device->ownership.state, DEVICE_FREE);
    assert_in_range(world.now_ns - began, 600 * MILLISECOND, 700 * MILLISECOND);
}

static void conventional(void **state)
{
    (void)state;
    int index = world_function(3 << 3, 0x1042, 0);
    unsigned features = pci_model_features(pci_model_at(&world.pci, index));
    world_discover(world_drivers, 3);
    struct device *device = in_use("virtio-blk0");
    device_revoke(device, "a test");
    assert_int_equal(pci_model_at(&world.pci, index)->resets, 1);
    assert_int_equal(device->ownership.state, DEVICE_FREE);

    /* Its own pending bit counts too. */
    assert_int_equal(device_claim(device), STATUS_OK);
    pci_model_at(&world.pci, index)->space[features + PCI_FEATURES_STATUS] = PCI_FEATURES_PENDING;
    device_revoke(device, "a test");
    assert_int_equal(device->ownership.state, DEVICE_QUARANTINED);
}

/* Without the ability bit nothing is written to the switch. */
static void not_able(void **state)
{
    (void)state;
    int index = world_function(3 << 3, 0x1042, WORLD_EXPRESS);
    world_discover(world_drivers, 3);
    struct device *device = in_use("virtio-blk0");
    uint64_t began = world.now_ns;
    device_revoke(device, "a test");
    assert_int_equal(pci_model_at(&world.pci, index)->resets, 0);
    assert_int_equal(device->ownership.state, DEVICE_FREE);
    assert_true(world.now_ns - began < 10 * MILLISECOND);
}

/* At the machine's end nobody follows: 100 ms for each device would be for nothing. */
static void not_at_the_end(void **state)
{
    (void)state;
    int index = world_function(3 << 3, 0x1042, WORLD_EXPRESS | WORLD_RESET);
    world_discover(world_drivers, 3);
    devices_start(world_wanted);
    devices_stop();
    assert_int_equal(world_script.stops, 1);
    assert_int_equal(pci_model_at(&world.pci, index)->resets, 0);
    assert_int_equal(device_find("virtio-blk0")->ownership.state, DEVICE_FREE);
    assert_int_equal(pci_model_get(pci_model_at(&world.pci, index), PCI_COMMAND, 2) & PCI_COMMAND_MASTER, 0);
}

/* ---- NVMe, whoever drove it ------------------------------------------------------------------------------------- */

enum { NVME_CAP = 0, NVME_CC = 0x14, NVME_CSTS = 0x1c };

static struct device *nvme_in_use(void)
{
    int index = pci_model_add(&world.pci, PCI_MODEL_ROOT, 1 << 3, 0x1b36, 0x0010, 0x010802);

    pci_model_bar(pci_model_at(&world.pci, index), 0, PCI_BAR_MEMORY64, false, 0x4000);
    world_discover(world_drivers, 3);
    struct device *device = in_use("0000:00:01.0");
    uint8_t *registers = world_register(device->function->bars[0].cpu_address);
    registers[NVME_CAP + 3] = 4; /* CAP.TO: 2 s */
    registers[NVME_CC] = 1;
    registers[NVME_CC + 2] = 0x46;
    return device;
}

static void nvme_is_disabled(void **state)
{
    (void)state;
    struct device *device = nvme_in_use();
    uint64_t base = device->function->bars[0].cpu_address, began = world.now_ns;
    world.stuck_register = base + NVME_CSTS;
    world.stuck_value = 1;
    world.stuck_reads = 1000; /* within CAP.TO */
    device_revoke(device, "its driver crashed");
    assert_int_equal(device->ownership.state, DEVICE_FREE);
    assert_in_range(world.now_ns - began, 900 * MILLISECOND, 1100 * MILLISECOND);
    assert_int_equal(world_register(base)[NVME_CC], 0);
    assert_int_equal(world_register(base)[NVME_CC + 2], 0x46); /* the rest stays */
    world_expect_order("command:quiet", "write32:", "free", NULL);
}

static void nvme_stays_ready(void **state)
{
    (void)state;
    struct device *device = nvme_in_use();
    uint64_t began = world.now_ns;
    world.stuck_register = device->function->bars[0].cpu_address + NVME_CSTS;
    world.stuck_value = 1;
    device_revoke(device, "its driver crashed");
    assert_int_equal(device->ownership.state, DEVICE_QUARANTINED);
    assert_in_range(world.now_ns - began, 2000 * MILLISECOND, 2100 * MILLISECOND); /* as CAP.TO says */
    assert_int_equal(world.pages_live, 1);
}

static void nvme_switch_is_stuck(void **state)
{
    (void)state;
    struct device *device = nvme_in_use();
    world.stuck_register = device->function->bars[0].cpu_address + NVME_CC;
    world.stuck_value = 1;
    device_revoke(device, "its driver crashed");
    assert_int_equal(device->ownership.state, DEVICE_QUARANTINED);
}

static void leaves_in_the_end(void)
{
    if (world_trace_has("write32:"))
        pci_model_at(&world.pci, 0)->gone = true;
}

/* It leaves while it is being disabled: nobody waits until the two minutes are over that its CAP.TO then reads. */
static void nvme_leaves_meanwhile(void **state)
{
    (void)state;
    struct device *device = nvme_in_use();
    uint64_t began = world.now_ns, base = device->function->bars[0].cpu_address;
    world_register(base)[NVME_CAP + 3] = 0xff;
    world.stuck_register = base + NVME_CSTS;
    world.stuck_value = UINT32_MAX;
    world_trace_clear();
    world.on_access = leaves_in_the_end;
    device_revoke(device, "its driver crashed");
    world.on_access = NULL;
    assert_int_equal(device->ownership.state, DEVICE_QUARANTINED);
    assert_true(device->gone);
    assert_true(world.now_ns - began < 100 * MILLISECOND);
}

/* ---- What firmware left running ---------------------------------------------------------------------------------- */

static void left_running(void **state)
{
    (void)state;
    int index = world_function(3 << 3, 0x1042, WORLD_MSIX);
    int bridge = pci_model_add(&world.pci, PCI_MODEL_ROOT, 31 << 3, 0x8086, 0x2918, 0x060100);
    pci_model_set(pci_model_at(&world.pci, index), PCI_COMMAND, 2, PCI_COMMAND_MASTER);
    pci_model_set(pci_model_at(&world.pci, bridge), PCI_COMMAND, 2, PCI_COMMAND_MASTER);
    world_discover(world_drivers, 3);
    struct device *device = device_find("virtio-blk0");
    assert_true(device->left_running);
    assert_int_equal(pci_model_get(pci_model_at(&world.pci, index), PCI_COMMAND, 2) & PCI_COMMAND_MASTER, 0);
    assert_int_not_equal(pci_model_get(pci_model_at(&world.pci, bridge), PCI_COMMAND, 2) & PCI_COMMAND_MASTER, 0);

    uint8_t *status = world_register(device->function->bars[4].cpu_address + WORLD_COMMON_STATUS);
    *status = 0x0f;
    world_trace_clear();
    assert_int_equal(device_claim(device), STATUS_OK);
    world_expect_order("write8:", "=0", "command:master", NULL); /* reset before it reaches memory again */
    assert_false(device->left_running);
    device_revoke(device, "a test");
    world_trace_clear();
    assert_int_equal(device_claim(device), STATUS_OK);
    assert_false(world_trace_has("write8:")); /* only what firmware left */
}

static void left_running_for_good(void **state)
{
    (void)state;
    int index = world_function(3 << 3, 0x1042, 0);
    pci_model_set(pci_model_at(&world.pci, index), PCI_COMMAND, 2, PCI_COMMAND_MASTER);
    world_discover(world_drivers, 3);
    struct device *device = device_find("virtio-blk0");
    world.stuck_register = device->function->bars[4].cpu_address + WORLD_COMMON_STATUS;
    world.stuck_value = 0x0f;
    assert_int_equal(device_claim(device), STATUS_DEVICE_FAULT);
    assert_true(host_log_has("virtio-blk0: was left running by firmware and does not reset; it is not used"));
    assert_int_equal(pci_model_get(pci_model_at(&world.pci, index), PCI_COMMAND, 2) & PCI_COMMAND_MASTER, 0);
    assert_int_equal(device->ownership.state, DEVICE_FREE);
}

/* Where vmos knows no reset of the class, that of the function does. */
static void left_running_unknown(void **state)
{
    (void)state;
    int index = pci_model_add(&world.pci, PCI_MODEL_ROOT, 1 << 3, 0x1234, 0x0001, 0x020000);
    pci_model_bar(pci_model_at(&world.pci, index), 0, PCI_BAR_MEMORY32, false, 0x4000);
    pci_model_express(pci_model_at(&world.pci, index), true);
    pci_model_set(pci_model_at(&world.pci, index), PCI_COMMAND, 2, PCI_COMMAND_MASTER);
    world_discover(world_drivers, 3);
    world_claimed("0000:00:01.0");
    assert_int_equal(pci_model_at(&world.pci, index)->resets, 1);
    assert_int_not_equal(pci_model_get(pci_model_at(&world.pci, index), PCI_COMMAND, 2) & PCI_COMMAND_MASTER, 0);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, world_begin, world_end)
    static const struct CMUnitTest tests[] = {
        TEST(forgets_and_has_everything_again),
        TEST(does_not_come_back),
        TEST(takes_its_time),
        TEST(conventional),
        TEST(not_able),
        TEST(not_at_the_end),
        TEST(nvme_is_disabled),
        TEST(nvme_stays_ready),
        TEST(nvme_switch_is_stuck),
        TEST(nvme_leaves_meanwhile),
        TEST(left_running),
        TEST(left_running_for_good),
        TEST(left_running_unknown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
