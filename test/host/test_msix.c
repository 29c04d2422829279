/* test_msix.c: the switches of a function, on a model whose switches stick. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <authority/msix.h>
#include <authority/msix_table.h>
#include <machine/pci_reg.h>
#include <model/pci_config.h>
#include <platform/mmu.h>
#include <string.h>

#include "host_log.h"
#include "pci_found.h"

/* ---- The table: 16 entries and the pending bits, in memory ------------------------------------------ */

#define TABLE_AT   UINT64_C(0x10002000)
#define PENDING_AT UINT64_C(0x10003000)
#define VECTORS    16u

static uint8_t table[VECTORS * 16];
static uint32_t pending[2];
static bool table_deaf, table_ones;
static bool has_table;

volatile void *vm_map_device(uint64_t physical, uint64_t size)
{
    if (physical == TABLE_AT && size == sizeof table)
        return table;
    if (physical == PENDING_AT && size == sizeof pending)
        return pending;
    return NULL;
}

uint32_t msix_table_read(const volatile uint8_t *where)
{
    assert_int_equal((uintptr_t)where % 4, 0);
    return table_ones ? UINT32_MAX : *(const volatile uint32_t *)where;
}

void msix_table_write(volatile uint8_t *where, uint32_t value)
{
    assert_true(where >= table && where + 4 <= table + sizeof table);
    if (!table_deaf)
        *(volatile uint32_t *)where = value;
}

static uint32_t field(unsigned index, unsigned offset)
{
    uint32_t value;

    memcpy(&value, table + index * 16 + offset, 4);
    return value;
}

/* ---- The function ------------------------------------------------------------------------------------ */

struct scene {
    struct pci_model model;
    struct pci_found_list found;
    struct msix msix;
};

static struct pci_model_function *liar(struct scene *scene)
{
    return pci_model_at(&scene->model, 0);
}

static void writable(struct pci_model_function *function, unsigned offset, unsigned count)
{
    memset(function->writable + offset, 0xff, count);
}

enum { WITH_TABLE = 1, WITH_MSI = 2, WITH_MASK = 4, WITH_POWER = 8, NARROW = 16 };

static const struct machine_host_bridge BRIDGE = {
    .last_bus = 0,
    .window_count = 1,
    .windows = {{PCI_WINDOW_MEMORY32, false, 0x10000000, 0x10000000, 0x10000000}},
};

static void scene_new(struct scene *scene, unsigned with)
{
    *scene = (struct scene){0};
    memset(table, 0x5a, sizeof table); /* what power-on leaves is not to be relied on */
    memset(pending, 0, sizeof pending);
    table_deaf = table_ones = false;
    has_table = with & WITH_TABLE;
    host_log_clear();
    pci_model_init(&scene->model);
    pci_model_add(&scene->model, PCI_MODEL_ROOT, 3 << 3, 0x1b36, 0x0010, 0x010802);
    pci_model_bar(liar(scene), 0, PCI_BAR_MEMORY32, false, 0x4000);
    if (with & WITH_TABLE)
        pci_model_msix(liar(scene), VECTORS, 0, 0x2000, 0, 0x3000);
    if (with & WITH_MSI) {
        unsigned offset = pci_model_capability(liar(scene), PCI_CAPABILITY_MSI, 24);
        pci_model_set(liar(scene), offset + 2, 2,
                      (with & NARROW ? 0u : PCI_MSI_CONTROL_WIDE) | (with & WITH_MASK ? PCI_MSI_CONTROL_MASKABLE : 0u) |
                          3u << PCI_MSI_CONTROL_CAPABLE_SHIFT | 3u << PCI_MSI_CONTROL_COUNT_SHIFT);
        liar(scene)->writable[offset + 2] = PCI_MSI_CONTROL_ENABLE | 7 << PCI_MSI_CONTROL_COUNT_SHIFT;
        writable(liar(scene), offset + 4, 20);
    }
    if (with & WITH_POWER) {
        unsigned offset = pci_model_capability(liar(scene), PCI_CAPABILITY_POWER, 8);
        pci_model_set(liar(scene), offset + PCI_POWER_CONTROL, 2, 3);
        liar(scene)->writable[offset + PCI_POWER_CONTROL] = PCI_POWER_STATE_MASK;
    }
    pci_enumerate(&BRIDGE, 0, &scene->model.access, pci_found_keep, &scene->found);
    assert_int_equal(scene->found.count, 1);
    pci_assign(&BRIDGE, &scene->model.access, scene->found.functions, 1);
    assert_int_equal(scene->found.functions[0]->bars[0].cpu_address, 0x10000000);
}

static enum status scene_open(struct scene *scene)
{
    return msix_open(&scene->msix, scene->found.functions[0], &scene->model.access);
}

static void scene_free(struct scene *scene)
{
    assert_int_equal(scene->model.strays, 0);
    pci_model_free(&scene->model);
    pci_found_free(&scene->found);
}

static unsigned command(struct scene *scene)
{
    return pci_model_get(liar(scene), PCI_COMMAND, 2);
}

static unsigned capability(struct scene *scene, unsigned offset)
{
    const struct pci_function *function = scene->found.functions[0];
    unsigned base = function->msix.capability != 0 && has_table ? function->msix.capability : function->msi.capability;

    return pci_model_get(liar(scene), base + offset, 2);
}

/* ---- Tests ------------------------------------------------------------------------------------------- */

static void opens(void **state)
{
    struct scene scene;

    (void)state;
    scene_new(&scene, WITH_TABLE | WITH_MSI);
    assert_int_equal(scene_open(&scene), STATUS_OK);
    assert_int_equal(command(&scene), PCI_COMMAND_MEMORY | PCI_COMMAND_INTX_DISABLE);
    assert_true(msix_available(&scene.msix));
    assert_int_equal(msix_vector_count(&scene.msix), VECTORS);
    assert_int_equal(capability(&scene, PCI_MSIX_CONTROL) & PCI_MSIX_CONTROL_ENABLE, 0);
    assert_true(msix_line_enable(&scene.msix, true));
    assert_int_equal(command(&scene) & PCI_COMMAND_INTX_DISABLE, 0);
    scene_free(&scene);
}

static void sets_and_masks_a_vector(void **state)
{
    struct scene scene;

    (void)state;
    scene_new(&scene, WITH_TABLE);
    assert_int_equal(scene_open(&scene), STATUS_OK);
    assert_int_equal(msix_vector_set(&scene.msix, 3, UINT64_C(0x1fee01000), 0x4055), STATUS_OK);
    assert_int_equal(capability(&scene, PCI_MSIX_CONTROL) & 0xc000, PCI_MSIX_CONTROL_ENABLE);
    for (unsigned i = 0; i < VECTORS; i++)
        assert_int_equal(field(i, 12) & 1, 1);
    assert_int_equal(field(3, 0), 0xfee01000);
    assert_int_equal(field(3, 4), 1);
    assert_int_equal(field(3, 8), 0x4055);
    msix_vector_mask(&scene.msix, 3, false);
    assert_int_equal(field(3, 12) & 1, 0);
    assert_int_equal(field(3, 12) & ~1u, 0x5a5a5a5a & ~1u); /* reserved bits stay */
    assert_int_equal(field(2, 12) & 1, 1);
    assert_false(msix_line_enable(&scene.msix, true)); /* not beside messages */
    pending[0] = 1 << 3;
    assert_true(msix_vector_pending(&scene.msix, 3));
    assert_false(msix_vector_pending(&scene.msix, 4));
    assert_true(msix_mask_all(&scene.msix, true));
    assert_int_equal(capability(&scene, PCI_MSIX_CONTROL) & 0xc000, 0xc000);

    assert_int_equal(msix_vector_set(&scene.msix, VECTORS, 0xfee00000, 1), STATUS_OUT_OF_RANGE);
    assert_int_equal(msix_vector_set(&scene.msix, 1, 0xfee00002, 1), STATUS_OUT_OF_RANGE);
    msix_disable(&scene.msix);
    assert_int_equal(capability(&scene, PCI_MSIX_CONTROL) & PCI_MSIX_CONTROL_ENABLE, 0);
    assert_int_equal(field(3, 12) & 1, 1);
    assert_true(command(&scene) & PCI_COMMAND_INTX_DISABLE);

    assert_int_equal(scene_open(&scene), STATUS_OK); /* the next owner */
    assert_int_equal(msix_vector_set(&scene.msix, 0, 0xfee00000, 7), STATUS_OK);
    assert_int_equal(field(0, 8), 7);
    scene_free(&scene);
}

static void msi_one_vector(void **state)
{
    (void)state;
    for (unsigned with = 0; with < 4; with++) {
        struct scene scene;
        bool masks = with & 1, narrow = with & 2;
        scene_new(&scene, WITH_MSI | (masks ? WITH_MASK : 0u) | (narrow ? NARROW : 0u));
        unsigned base = scene.found.functions[0]->msi.capability;
        unsigned data = base + (narrow ? 8 : 12), mask = base + (narrow ? 0x0c : 0x10);
        assert_int_equal(scene_open(&scene), STATUS_OK);
        assert_int_equal(msix_vector_count(&scene.msix), 1);
        assert_int_equal(msix_vector_set(&scene.msix, 0, UINT64_C(0x100000040), 9),
                         narrow ? STATUS_OUT_OF_RANGE : STATUS_OK);
        assert_int_equal(msix_vector_set(&scene.msix, 0, 0xfee00000, 0x10000), STATUS_OUT_OF_RANGE);
        assert_int_equal(msix_vector_set(&scene.msix, 0, 0xfee00000, 0x31), STATUS_OK);
        assert_int_equal(pci_model_get(liar(&scene), base + 4, 4), 0xfee00000);
        assert_int_equal(pci_model_get(liar(&scene), data, 2), 0x31);
        assert_int_equal(capability(&scene, 2) >> PCI_MSI_CONTROL_COUNT_SHIFT & 7, 0);
        assert_int_equal(capability(&scene, 2) & 1, masks);
        msix_vector_mask(&scene.msix, 0, false);
        assert_int_equal(capability(&scene, 2) & 1, 1);
        if (masks) {
            assert_int_equal(pci_model_get(liar(&scene), mask, 4) & 1, 0);
            pci_model_set(liar(&scene), mask + 4, 4, 1);
        }
        assert_int_equal(msix_vector_pending(&scene.msix, 0), masks);
        msix_vector_mask(&scene.msix, 0, true);
        assert_int_equal(masks ? pci_model_get(liar(&scene), mask, 4) & 1 : !(capability(&scene, 2) & 1), 1);
        msix_disable(&scene.msix);
        assert_int_equal(capability(&scene, 2) & 1, 0);
        scene_free(&scene);
    }
}

static void line_status(void **state)
{
    struct scene scene;

    (void)state;
    scene_new(&scene, 0);
    assert_int_equal(scene_open(&scene), STATUS_OK);
    assert_false(msix_available(&scene.msix));
    assert_false(msix_line_pending(&scene.msix));
    liar(&scene)->space[PCI_STATUS] |= PCI_STATUS_INTERRUPT;
    assert_true(msix_line_pending(&scene.msix));
    liar(&scene)->writable[PCI_COMMAND + 1] = 0; /* a function from before the switch was invented */
    assert_false(msix_line_enable(&scene.msix, true) && msix_line_enable(&scene.msix, false));
    liar(&scene)->vanish_after = 1;
    assert_false(msix_line_pending(&scene.msix));
    assert_true(msix_bus_master(&scene.msix, true)); /* all ones say so too */
    assert_false(msix_bus_master(&scene.msix, false));
    assert_int_equal(scene_open(&scene), STATUS_DEVICE_FAULT);
    scene_free(&scene);
}

static void bus_master_reads_back(void **state)
{
    struct scene scene;

    (void)state;
    scene_new(&scene, 0);
    assert_int_equal(scene_open(&scene), STATUS_OK);
    assert_true(msix_bus_master(&scene.msix, false));
    assert_int_equal(command(&scene) & PCI_COMMAND_MASTER, 0);
    assert_true(msix_bus_master(&scene.msix, true));
    liar(&scene)->writable[PCI_COMMAND] &= (uint8_t)~PCI_COMMAND_MASTER;
    assert_false(msix_bus_master(&scene.msix, false));
    assert_true(msix_decode(&scene.msix, false));
    assert_int_equal(command(&scene) & 3, 0);
    scene_free(&scene);
}

/* ---- Switches that do not stick: C20, C21, C22, C27 --------------------------------------------------- */

static void c20_deaf(struct scene *scene)
{
    (void)scene;
    table_deaf = true;
}

static void c20_ones(struct scene *scene)
{
    (void)scene;
    table_ones = true;
}

static void c21_no_enable(struct scene *scene)
{
    liar(scene)->writable[scene->found.functions[0]->msix.capability + 3] &= 0x7f;
}

static void c21_mask_stuck(struct scene *scene)
{
    unsigned offset = scene->found.functions[0]->msix.capability + 3;

    liar(scene)->writable[offset] &= 0xbf;
    liar(scene)->space[offset] |= 0x40;
}

static void switches_that_do_not_stick(void **state)
{
    static const struct {
        const char *id;
        void (*set)(struct scene *scene);
        const char *sentence;
    } cases[] = {
        {"C20 the table ignores writes", c20_deaf, "MSI-X table does not keep what is written"},
        {"C20 the table reads all ones", c20_ones, "MSI-X table does not keep what is written"},
        {"C21 enable does not stick", c21_no_enable, "MSI-X does not switch on"},
        {"C21 the function mask is stuck", c21_mask_stuck, "MSI-X function mask is stuck"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct scene scene;
        print_message("           %s\n", cases[i].id);
        scene_new(&scene, WITH_TABLE);
        assert_int_equal(scene_open(&scene), STATUS_OK);
        cases[i].set(&scene);
        assert_int_equal(msix_vector_set(&scene.msix, 0, 0xfee00000, 0x31), STATUS_DEVICE_FAULT);
        assert_true(host_log_has(cases[i].sentence));
        assert_false(msix_available(&scene.msix));
        assert_int_equal(capability(&scene, PCI_MSIX_CONTROL) & PCI_MSIX_CONTROL_ENABLE, 0);
        assert_true(msix_line_enable(&scene.msix, true)); /* the line is left */
        assert_int_equal(msix_vector_set(&scene.msix, 0, 0xfee00000, 0x31), STATUS_OUT_OF_RANGE);
        scene_free(&scene);
    }
}

static void c22_firmware_left_both_on(void **state)
{
    struct scene scene;

    (void)state;
    scene_new(&scene, WITH_TABLE | WITH_MSI);
    unsigned msi = scene.found.functions[0]->msi.capability, msix = scene.found.functions[0]->msix.capability;
    liar(&scene)->space[msi + 2] |= PCI_MSI_CONTROL_ENABLE;
    liar(&scene)->space[msix + 3] |= 0x80;
    assert_int_equal(scene_open(&scene), STATUS_OK);
    assert_int_equal(liar(&scene)->space[msi + 2] & 1, 0);
    assert_int_equal(liar(&scene)->space[msix + 3] & 0x80, 0);
    assert_int_equal(msix_vector_set(&scene.msix, 0, 0xfee00000, 1), STATUS_OK);
    assert_int_equal(liar(&scene)->space[msi + 2] & 1, 0);
    scene_free(&scene);
}

static void c27_asleep(void **state)
{
    struct scene scene;

    (void)state;
    scene_new(&scene, WITH_POWER);
    unsigned control = scene.found.functions[0]->power_management + PCI_POWER_CONTROL;
    pci_model_set(liar(&scene), PCI_BAR0, 4, 0); /* forgotten while asleep */
    assert_int_equal(scene_open(&scene), STATUS_OK);
    assert_int_equal(liar(&scene)->space[control] & 3, 0);
    assert_int_equal(scene.model.paused_ms, 10);
    assert_int_equal(pci_model_get(liar(&scene), PCI_BAR0, 4), 0x10000000);
    assert_int_equal(command(&scene) & PCI_COMMAND_MEMORY, PCI_COMMAND_MEMORY);
    scene_free(&scene);

    scene_new(&scene, WITH_POWER);
    liar(&scene)->writable[control] = 0;
    assert_int_equal(scene_open(&scene), STATUS_DEVICE_FAULT);
    assert_true(host_log_has("stays in power state D3"));
    assert_int_equal(scene.model.paused_ms, 10);
    scene_free(&scene);
}

/* What is shown as masked is what the function says, not what was asked. */
static void shows_its_masks(void **state)
{
    struct scene scene;

    (void)state;
    scene_new(&scene, WITH_TABLE);
    assert_int_equal(scene_open(&scene), STATUS_OK);
    assert_true(msix_vector_masked(&scene.msix, 0)); /* nothing is sent yet */
    assert_int_equal(msix_vector_set(&scene.msix, 3, 0xfee00000, 0x31), STATUS_OK);
    assert_true(msix_vector_masked(&scene.msix, 3));
    msix_vector_mask(&scene.msix, 3, false);
    assert_false(msix_vector_masked(&scene.msix, 3));
    assert_true(msix_vector_masked(&scene.msix, 2));
    assert_true(msix_vector_masked(&scene.msix, VECTORS));
    table_deaf = true;
    msix_vector_mask(&scene.msix, 3, true);
    assert_false(msix_vector_masked(&scene.msix, 3));
    table_deaf = false;
    scene_free(&scene);

    scene_new(&scene, WITH_MSI);
    assert_int_equal(scene_open(&scene), STATUS_OK);
    assert_int_equal(msix_vector_set(&scene.msix, 0, 0xfee00000, 0x31), STATUS_OK);
    assert_true(msix_vector_masked(&scene.msix, 0));
    msix_vector_mask(&scene.msix, 0, false);
    assert_false(msix_vector_masked(&scene.msix, 0));
    scene_free(&scene);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(shows_its_masks),
        cmocka_unit_test(opens),
        cmocka_unit_test(sets_and_masks_a_vector),
        cmocka_unit_test(msi_one_vector),
        cmocka_unit_test(line_status),
        cmocka_unit_test(bus_master_reads_back),
        cmocka_unit_test(switches_that_do_not_stick),
        cmocka_unit_test(c22_firmware_left_both_on),
        cmocka_unit_test(c27_asleep),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
