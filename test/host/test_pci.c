/* test_pci.c: the PCI finder on well-behaved trees: numbers, sizes, places, lines, names. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <machine/pci.h>
#include <machine/pci_reg.h>
#include <model/pci_config.h>
#include <stdio.h>
#include <string.h>

#include "host_log.h"
#include "pci_found.h"

/* The windows of arm64's virt: I/O at 0, memory below 4 GiB, memory far above. */
static const struct machine_host_bridge VIRT = {
    .last_bus = 255,
    .window_count = 3,
    .windows = {{PCI_WINDOW_IO, false, 0, 0x3eff0000, 0x10000},
                {PCI_WINDOW_MEMORY32, false, 0x10000000, 0x10000000, 0x2eff0000},
                {PCI_WINDOW_MEMORY64, false, UINT64_C(0x8000000000), UINT64_C(0x8000000000), UINT64_C(0x8000000000)}},
};

struct scene {
    struct pci_model model;
    struct pci_found_list found;
    struct machine_host_bridge bridge;
};

static struct scene scene_new(void)
{
    struct scene scene = {.bridge = VIRT};

    host_log_clear();
    pci_model_init(&scene.model);
    return scene;
}

static void scene_enumerate(struct scene *scene)
{
    pci_found_free(&scene->found);
    pci_enumerate(&scene->bridge, 3, &scene->model.access, pci_found_keep, &scene->found);
    assert_int_equal(scene->model.strays, 0);
}

static void scene_assign(struct scene *scene)
{
    scene_enumerate(scene);
    pci_assign(&scene->bridge, &scene->model.access, scene->found.functions, scene->found.count);
    assert_int_equal(scene->model.strays, 0);
}

static void scene_free(struct scene *scene)
{
    pci_model_free(&scene->model);
    pci_found_free(&scene->found);
}

static int add_nvme(struct scene *scene, int parent, uint8_t devfn)
{
    int index = pci_model_add(&scene->model, parent, devfn, 0x1b36, 0x0010, 0x010802);

    pci_model_bar(pci_model_at(&scene->model, index), 0, PCI_BAR_MEMORY64, false, 0x4000);
    pci_model_msix(pci_model_at(&scene->model, index), 65, 0, 0x2000, 0, 0x3000);
    return index;
}

static int add_virtio(struct scene *scene, int parent, uint8_t devfn)
{
    int index = pci_model_add(&scene->model, parent, devfn, 0x1af4, 0x1000, 0x020000);
    struct pci_model_function *function = pci_model_at(&scene->model, index);

    pci_model_bar(function, 0, PCI_BAR_IO, false, 32);
    pci_model_bar(function, 1, PCI_BAR_MEMORY32, false, 0x1000);
    pci_model_bar(function, 4, PCI_BAR_MEMORY64, true, 0x4000);
    pci_model_msix(function, 3, 1, 0, 1, 0x800);
    return index;
}

/* ---- Tests ----------------------------------------------------------------------------------------- */

static void sizes_and_restores(void **state)
{
    struct scene scene = scene_new();
    int index = add_virtio(&scene, PCI_MODEL_ROOT, 3 << 3);
    struct pci_model_function *function = pci_model_at(&scene.model, index);
    uint8_t before[4096];

    (void)state;
    scene.bridge.window_count = 0;
    pci_model_set(function, PCI_BAR0, 4, 0xc041);
    pci_model_set(function, PCI_BAR0 + 4, 4, 0xfebd1000);
    pci_model_set(function, PCI_BAR0 + 16, 4, 0xfe00000c);
    pci_model_set(function, PCI_BAR0 + 20, 4, 0x12);
    pci_model_set(function, PCI_COMMAND, 2, PCI_COMMAND_IO | PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER);
    memcpy(before, function->space, sizeof before);
    scene_enumerate(&scene);

    assert_memory_equal(function->space, before, sizeof before);
    assert_int_equal(function->sized_decoding, 0);
    assert_int_equal(scene.found.count, 1);
    const struct pci_function *found = scene.found.functions[0];
    assert_int_equal(found->bridge, 3);
    assert_int_equal(found->bars[0].kind, PCI_BAR_IO);
    assert_int_equal(found->bars[0].size, 32);
    assert_true(found->bars[0].assigned && found->bars[0].cpu_address == 0xc040);
    assert_int_equal(found->bars[1].kind, PCI_BAR_MEMORY32);
    assert_int_equal(found->bars[1].size, 0x1000);
    assert_int_equal(found->bars[4].kind, PCI_BAR_MEMORY64);
    assert_true(found->bars[4].prefetchable && found->bars[4].bus_address == UINT64_C(0x12fe000000));
    assert_int_equal(found->bars[5].kind, PCI_BAR_NONE);
    assert_true(found->msix.usable && found->msix.vector_count == 3 && found->msix.pending_offset == 0x800);
    scene_free(&scene);
}

static void only_buses_that_bridges_lead_to(void **state)
{
    struct scene scene = scene_new();

    (void)state;
    for (uint8_t device = 0; device < 6; device++)
        add_nvme(&scene, PCI_MODEL_ROOT, (uint8_t)(device << 3));
    scene_enumerate(&scene);
    assert_int_equal(scene.found.count, 6);
    assert_true(scene.model.reads + scene.model.writes < 600);
    scene_free(&scene);
}

static void numbers_nested_bridges(void **state)
{
    struct scene scene = scene_new();
    int a = pci_model_add_bridge(&scene.model, PCI_MODEL_ROOT, 1 << 3, false);
    int b = pci_model_add_bridge(&scene.model, a, 4 << 3, false);
    int c = pci_model_add_bridge(&scene.model, PCI_MODEL_ROOT, 2 << 3, true);

    (void)state;
    add_nvme(&scene, b, 5 << 3);
    add_nvme(&scene, a, 6 << 3);
    add_nvme(&scene, c, 0);
    scene_enumerate(&scene);

    static const struct {
        uint8_t bus, devfn, secondary, subordinate;
    } expected[] = {{0, 1 << 3, 1, 2}, {0, 2 << 3, 3, 3}, {1, 4 << 3, 2, 2},
                    {1, 6 << 3, 0, 0}, {2, 5 << 3, 0, 0}, {3, 0, 0, 0}};
    assert_int_equal(scene.found.count, 6);
    for (size_t i = 0; i < 6; i++) {
        assert_int_equal(scene.found.functions[i]->where.bus, expected[i].bus);
        assert_int_equal(scene.found.functions[i]->where.devfn, expected[i].devfn);
        assert_int_equal(scene.found.functions[i]->secondary_bus, expected[i].secondary);
        assert_int_equal(scene.found.functions[i]->subordinate_bus, expected[i].subordinate);
    }
    assert_int_equal(host_log_count(LOG_WARN), 0);
    scene_free(&scene);
}

static void keeps_firmware_numbers_and_completes_them(void **state)
{
    struct scene scene = scene_new();
    int a = pci_model_add_bridge(&scene.model, PCI_MODEL_ROOT, 1 << 3, false);
    int b = pci_model_add_bridge(&scene.model, a, 2 << 3, false);
    int c = pci_model_add_bridge(&scene.model, PCI_MODEL_ROOT, 3 << 3, false);

    (void)state;
    scene.bridge.firmware_configured = true;
    pci_model_set(pci_model_at(&scene.model, a), PCI_PRIMARY_BUS, 4, 0x00201000); /* 16 to 32 */
    pci_model_set(pci_model_at(&scene.model, b), PCI_PRIMARY_BUS, 4, 0);          /* forgotten */
    pci_model_set(pci_model_at(&scene.model, c), PCI_PRIMARY_BUS, 4, 0);
    add_nvme(&scene, b, 0);
    add_nvme(&scene, c, 0);
    scene_enumerate(&scene);
    assert_int_equal(pci_model_get(pci_model_at(&scene.model, a), PCI_PRIMARY_BUS, 4), 0x00201000);
    assert_int_equal(pci_model_get(pci_model_at(&scene.model, b), PCI_PRIMARY_BUS, 4), 0x00111110);
    assert_int_equal(pci_model_get(pci_model_at(&scene.model, c), PCI_PRIMARY_BUS, 4), 0x00212100);
    assert_int_equal(scene.found.count, 5);
    scene_free(&scene);
}

static void swizzles_lines(void **state)
{
    struct scene scene = scene_new();
    int a = pci_model_add_bridge(&scene.model, PCI_MODEL_ROOT, 2 << 3, false);
    int b = pci_model_add_bridge(&scene.model, a, 3 << 3, false);

    (void)state;
    int nvme = add_nvme(&scene, b, 5 << 3);
    pci_model_set(pci_model_at(&scene.model, nvme), PCI_INTERRUPT_PIN, 1, 2);
    add_nvme(&scene, PCI_MODEL_ROOT, 7 << 3);
    scene.bridge.intx_device_mask = 3 << 3;
    scene.bridge.intx_route_count = 2;
    scene.bridge.intx_routes[0] = (struct machine_intx_route){.device = 2 << 3, .pin = 2, .line = {.line = 36}};
    scene.bridge.intx_routes[1] = (struct machine_intx_route){.device = 3 << 3, .pin = 1, .line = {.line = 38}};
    scene_enumerate(&scene);

    /* INTB of device 5 is INTC (1 + 5 = 6, 6 mod 4 = 2) on bus 1's device 3, INTB (2 + 3 = 5) on the root's 2. */
    const struct pci_function *deep = scene.found.functions[3];
    assert_int_equal(deep->where.bus, 2);
    assert_int_equal(deep->root_pin, 2);
    assert_int_equal(deep->root_device, 2 << 3);
    assert_int_equal(pci_intx_line(&scene.bridge, deep).line, 36);
    assert_int_equal(pci_intx_line(&scene.bridge, scene.found.functions[1]).line, 38);
    scene.bridge.intx_route_count = 1;
    assert_int_equal(pci_intx_line(&scene.bridge, scene.found.functions[1]).line, MACHINE_NO_LINE);
    scene_free(&scene);
}

/* A root port, behind it a bridge to conventional PCI, behind that a conventional bridge. */
static void requesters(void **state)
{
    struct scene scene = scene_new();
    int port = pci_model_add_bridge(&scene.model, PCI_MODEL_ROOT, 1 << 3, true);
    int express = pci_model_add_bridge(&scene.model, port, 0, true);
    int plain = pci_model_add_bridge(&scene.model, express, 5 << 3, false);
    int root = pci_model_add_bridge(&scene.model, PCI_MODEL_ROOT, 9 << 3, false);

    (void)state;
    pci_model_set(pci_model_at(&scene.model, express), 0x40 + PCI_EXPRESS_FLAGS, 2,
                  PCI_EXPRESS_TYPE_TO_PCI_BRIDGE << 4);
    add_nvme(&scene, plain, 3 << 3); /* on bus 3 */
    add_nvme(&scene, root, 4 << 3);  /* on bus 4 */
    scene_enumerate(&scene);
    static const uint16_t expected[] = {0x0008, 0x0048, 0x0100, 0x0200, 0x0200, 0x0048};
    assert_int_equal(scene.found.count, 6);
    for (size_t i = 0; i < 6; i++)
        assert_int_equal(scene.found.functions[i]->requester, expected[i]);
    scene_free(&scene);
}

/* Everything with a place has one that it alone answers at, of its own kind, aligned, in a host window, and
 * reached through the bridges; `cpu_address` follows the window's translation. */
static unsigned check_places(struct scene *scene)
{
    unsigned placed = 0;

    for (size_t i = 0; i < scene->found.count; i++) {
        const struct pci_function *function = scene->found.functions[i];
        unsigned bars = function->header_type == PCI_HEADER_BRIDGE ? 2 : 6;
        for (unsigned b = 0; b < bars; b++) {
            const struct pci_bar *bar = &function->bars[b];
            if (bar->kind == PCI_BAR_NONE || !bar->assigned)
                continue;
            bool inside = false;
            placed++;
            assert_int_equal(bar->bus_address % bar->size, 0);
            assert_true(bar->bus_address != 0);
            if (bar->kind == PCI_BAR_MEMORY32)
                assert_true(bar->bus_address + bar->size <= UINT64_C(1) << 32);
            for (unsigned w = 0; w < scene->bridge.window_count; w++) {
                const struct machine_pci_window *window = &scene->bridge.windows[w];
                if ((window->kind == PCI_WINDOW_IO) == (bar->kind == PCI_BAR_IO) &&
                    bar->bus_address >= window->bus_address &&
                    bar->bus_address - window->bus_address + bar->size <= window->size) {
                    inside = true;
                    assert_int_equal(bar->cpu_address, bar->bus_address - window->bus_address + window->cpu_address);
                }
            }
            assert_true(inside);
            for (unsigned end = 0; end < 2; end++) {
                int owner = -1;
                unsigned index = 9;
                uint64_t at = bar->bus_address + (end ? bar->size - 1 : 0);
                assert_int_equal(pci_model_resolve(&scene->model, bar->kind == PCI_BAR_IO, at, &owner, &index), 1);
                assert_int_equal(index, b);
                assert_int_equal(pci_model_at(&scene->model, owner)->devfn, function->where.devfn);
            }
        }
    }
    return placed;
}

static void places_everything(void **state)
{
    struct scene scene = scene_new();
    int a = pci_model_add_bridge(&scene.model, PCI_MODEL_ROOT, 1 << 3, false);
    int b = pci_model_add_bridge(&scene.model, a, 4 << 3, false);
    int c = pci_model_add_bridge(&scene.model, PCI_MODEL_ROOT, 2 << 3, true);

    (void)state;
    add_virtio(&scene, PCI_MODEL_ROOT, 3 << 3);
    add_nvme(&scene, a, 1 << 3);
    add_virtio(&scene, b, 1 << 3);
    add_nvme(&scene, b, 2 << 3);
    add_virtio(&scene, c, 0);
    scene_assign(&scene);
    assert_int_equal(check_places(&scene), 3 * 3 + 2);
    assert_int_equal(host_log_count(LOG_WARN), 0);
    for (size_t i = 0; i < scene.found.count; i++) {
        const struct pci_function *function = scene.found.functions[i];
        if (function->vendor == 0x1af4) /* the prefetchable BAR is high, wherever it is */
            assert_true(function->bars[4].bus_address >= UINT64_C(0x8000000000));
        if (function->vendor == 0x1b36 && function->device == 0x10) /* behind a bridge it must be low */
            assert_true(function->bars[0].bus_address < UINT64_C(1) << 32);
    }
    scene_free(&scene);
}

static void translates(void **state)
{
    struct scene scene = scene_new();

    (void)state;
    scene.bridge.windows[1].cpu_address = UINT64_C(0x4010000000);
    scene.bridge.window_count = 2;
    add_virtio(&scene, PCI_MODEL_ROOT, 3 << 3);
    scene_assign(&scene);
    assert_int_equal(check_places(&scene), 3);
    assert_int_equal(scene.found.functions[0]->bars[0].cpu_address, 0x3eff1000);
    scene_free(&scene);
}

static void keeps_what_firmware_placed(void **state)
{
    struct scene scene = scene_new();
    int a = pci_model_add_bridge(&scene.model, PCI_MODEL_ROOT, 1 << 3, false);
    struct pci_model_function *bridge = pci_model_at(&scene.model, a);

    (void)state;
    scene.bridge.firmware_configured = true;
    scene.bridge.window_count = 0; /* q35 with static tables only */
    pci_model_set(bridge, PCI_PRIMARY_BUS, 4, 0x00010100);
    pci_model_set(bridge, PCI_MEMORY_BASE, 4, 0xfe90fe90);
    pci_model_set(bridge, PCI_COMMAND, 2, PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER);
    int n = add_nvme(&scene, a, 1 << 3);
    pci_model_set(pci_model_at(&scene.model, n), PCI_BAR0, 4, 0xfe900004);
    pci_model_set(pci_model_at(&scene.model, n), PCI_COMMAND, 2, PCI_COMMAND_MEMORY);
    int m = add_nvme(&scene, PCI_MODEL_ROOT, 2 << 3); /* hot-plugged: nobody placed it */
    scene_assign(&scene);
    assert_int_equal(scene.found.count, 3);
    assert_true(scene.found.functions[2]->bars[0].assigned);
    assert_int_equal(scene.found.functions[2]->bars[0].cpu_address, 0xfe900000);
    assert_int_equal(pci_model_get(pci_model_at(&scene.model, n), PCI_COMMAND, 2), PCI_COMMAND_MEMORY);
    assert_int_equal(pci_model_get(pci_model_at(&scene.model, a), PCI_MEMORY_BASE, 4), 0xfe90fe90);
    assert_false(scene.found.functions[1]->bars[0].assigned);
    assert_int_equal(pci_model_get(pci_model_at(&scene.model, m), PCI_BAR0, 4), 4);
    assert_true(host_log_has("0000:00:02.0: BAR 0 of 16 KiB has no place: the host bridge has no known window"));
    scene_free(&scene);
}

static void stops_when_told(void **state)
{
    struct scene scene = scene_new();

    (void)state;
    add_nvme(&scene, PCI_MODEL_ROOT, 0);
    add_nvme(&scene, PCI_MODEL_ROOT, 8);
    scene.found.limit = 1;
    pci_enumerate(&scene.bridge, 0, &scene.model.access, pci_found_keep, &scene.found);
    assert_int_equal(scene.found.count, 1);
    scene_free(&scene);
}

static void reads_a_dump_without_writing(void **state)
{
    struct scene scene = scene_new();
    int a = pci_model_add_bridge(&scene.model, PCI_MODEL_ROOT, 1 << 3, false);

    (void)state;
    pci_model_set(pci_model_at(&scene.model, a), PCI_PRIMARY_BUS, 4, 0x00010100);
    int n = add_nvme(&scene, a, 1 << 3);
    pci_model_set(pci_model_at(&scene.model, n), PCI_BAR0, 4, 0xfe900004);
    scene.model.access.read_only = true;
    scene_assign(&scene);
    assert_int_equal(scene.model.writes, 0);
    assert_int_equal(scene.found.count, 2);
    assert_int_equal(scene.found.functions[1]->bars[0].bus_address, 0xfe900000);
    assert_true(scene.found.functions[1]->msix.usable);
    scene_free(&scene);
}

/* ---- Random trees ---------------------------------------------------------------------------------- */

static uint64_t seed;

static unsigned draw(unsigned below)
{
    seed = seed * UINT64_C(6364136223846793005) + 1442695040888963407;
    return (unsigned)(seed >> 33) % below;
}

static void random_tree(struct scene *scene)
{
    int buses[12] = {PCI_MODEL_ROOT};
    unsigned bus_count = 1, next_device[12] = {0};

    for (unsigned i = 0, end = 4 + draw(30); i < end; i++) {
        unsigned bus = draw(bus_count);
        if (next_device[bus] >= 32)
            continue;
        uint8_t devfn = (uint8_t)(next_device[bus]++ << 3);
        if (draw(4) == 0 && bus_count < 12) {
            buses[bus_count++] = pci_model_add_bridge(&scene->model, buses[bus], devfn, false);
            continue;
        }
        int index = pci_model_add(&scene->model, buses[bus], devfn, 0x1234, (uint16_t)i, 0xff0000);
        for (unsigned b = 0; b < 6; b++) {
            enum pci_bar_kind kind = (enum pci_bar_kind)draw(4);
            if (kind == PCI_BAR_NONE || (kind == PCI_BAR_MEMORY64 && b == 5))
                continue;
            uint64_t size = kind == PCI_BAR_IO ? UINT64_C(4) << draw(6) : UINT64_C(16) << draw(19);
            pci_model_bar(pci_model_at(&scene->model, index), b, kind, kind != PCI_BAR_IO && draw(2), size);
            b += kind == PCI_BAR_MEMORY64;
        }
    }
}

static void random_trees_are_placed(void **state)
{
    unsigned placed = 0, unplaced = 0;

    (void)state;
    for (unsigned round = 0; round < 400; round++) {
        struct scene scene = scene_new();
        seed = round;
        random_tree(&scene);
        if (round % 3 == 0)
            scene.bridge.window_count = 2;
        scene_assign(&scene);
        assert_int_equal(scene.found.count, scene.model.count);
        placed += check_places(&scene);
        for (size_t i = 0; i < scene.found.count; i++) {
            for (unsigned b = 0; b < 6; b++) {
                const struct pci_bar *bar = &scene.found.functions[i]->bars[b];
                if (bar->kind != PCI_BAR_NONE && bar->size != 0 && !bar->assigned)
                    unplaced++;
            }
        }
        /* A second look finds everything where it is, and moves nothing. */
        struct pci_found_list before = scene.found;
        scene.found = (struct pci_found_list){0};
        scene.bridge.firmware_configured = true;
        scene_assign(&scene);
        assert_int_equal(scene.found.count, before.count);
        for (size_t i = 0; i < before.count; i++) {
            const struct pci_function *then = before.functions[i], *now = scene.found.functions[i];
            assert_int_equal(now->secondary_bus, then->secondary_bus);
            for (unsigned b = 0; b < 6; b++) {
                assert_int_equal(now->bars[b].assigned, then->bars[b].assigned);
                assert_int_equal(now->bars[b].bus_address, then->bars[b].bus_address);
                assert_int_equal(now->bars[b].cpu_address, then->bars[b].cpu_address);
                assert_int_equal(now->bars[b].size, then->bars[b].size);
            }
        }
        assert_int_equal(host_log_count(LOG_WARN), 0);
        pci_found_free(&before);
        scene_free(&scene);
    }
    assert_true(placed > 15000);
    assert_int_equal(unplaced, 0);
}

/* ---- Names and reports ------------------------------------------------------------------------------ */

struct text {
    struct printer printer;
    char text[4096];
    size_t length;
};

static void keep_text(struct printer *printer, const char *text, size_t length)
{
    struct text *self = (struct text *)printer;

    assert_true(self->length + length < sizeof self->text);
    memcpy(self->text + self->length, text, length);
    self->length += length;
}

static void knows_the_clouds(void **state)
{
    static const struct {
        uint16_t vendor, device;
        const char *part;
    } known[] = {
        {0x1d0f, 0xec20, "Amazon ENA"},
        {0x1d0f, 0xec21, "Amazon ENA"},
        {0x1d0f, 0x0ec2, "Amazon ENA"},
        {0x1d0f, 0x1ec2, "Amazon ENA"},
        {0x1d0f, 0x8061, "EBS"},
        {0x1d0f, 0xcd00, "instance store"},
        {0x1d0f, 0xcd01, "instance store"},
        {0x1d0f, 0x8250, "Amazon serial"},
        {0x1ae0, 0x0042, "gVNIC"},
        {0x1ae0, 0x001f, "Persistent Disk"},
        {0x1414, 0x00ba, "MANA"},
        {0x1414, 0x00b9, "MANA"},
        {0x1414, 0xb111, "Azure NVMe"},
        {0x1b36, 0x0010, "QEMU NVMe"},
        {0x1af4, 0x1000, "virtio network"},
        {0x1af4, 0x1041, "virtio network"},
        {0x1af4, 0x1001, "virtio block"},
        {0x1af4, 0x1042, "virtio block"},
        {0x1af4, 0x1005, "virtio entropy"},
        {0x1af4, 0x1044, "virtio entropy"},
        {0x1af4, 0x1057, "virtio IOMMU"},
        {0x1b36, 0x000c, "root port"},
        {0x1b36, 0x0001, "QEMU PCI bridge"},
        {0x8086, 0x29c0, "Q35"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
        struct pci_function function = {.vendor = known[i].vendor, .device = known[i].device};
        const char *name = pci_function_name(&function);
        assert_non_null(name);
        assert_non_null(strstr(name, known[i].part));
    }
    struct pci_function unknown = {.vendor = 0x1af4, .device = 0x1040};
    assert_null(pci_function_name(&unknown));
    unknown.device = 0x1046;
    assert_null(pci_function_name(&unknown));
    unknown.device = 0x10ff;
    assert_null(pci_function_name(&unknown));
    for (uint32_t class_code = 0; class_code < 0x1000000; class_code += 0x3f)
        assert_non_null(pci_class_name(class_code));
    assert_string_equal(pci_class_name(0x020000), "ethernet controller");
    assert_string_equal(pci_class_name(0x010802), "NVMe controller");
}

static void reports(void **state)
{
    struct scene scene = scene_new();
    struct text text = {.printer = {keep_text}};

    (void)state;
    add_virtio(&scene, PCI_MODEL_ROOT, 3 << 3);
    scene_assign(&scene);
    pci_report(scene.found.functions[0], &text.printer);
    assert_string_equal(text.text, "function: 0000:00:03.0\n"
                                   "id: 1af4:1000\n"
                                   "subsystem: 0000:0000\n"
                                   "class: 020000 ethernet controller\n"
                                   "name: virtio network device\n"
                                   "revision: 01\n"
                                   "interrupt: INTA, line 0\n"
                                   "bar0: io at 0x1000 (cpu 0x3eff1000), 32 B\n"
                                   "bar1: memory32 at 0x10000000, 4 KiB\n"
                                   "bar4: memory64 prefetchable at 0x8000000000, 16 KiB\n"
                                   "capability-40: 11 MSI-X, up to 192 bytes\n"
                                   "msix: 3 vectors, table bar1 + 0x0, pending bar1 + 0x800, usable\n");
    scene_free(&scene);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(sizes_and_restores),
        cmocka_unit_test(only_buses_that_bridges_lead_to),
        cmocka_unit_test(numbers_nested_bridges),
        cmocka_unit_test(keeps_firmware_numbers_and_completes_them),
        cmocka_unit_test(swizzles_lines),
        cmocka_unit_test(requesters),
        cmocka_unit_test(places_everything),
        cmocka_unit_test(translates),
        cmocka_unit_test(keeps_what_firmware_placed),
        cmocka_unit_test(stops_when_told),
        cmocka_unit_test(reads_a_dump_without_writing),
        cmocka_unit_test(random_trees_are_placed),
        cmocka_unit_test(knows_the_clouds),
        cmocka_unit_test(reports),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
