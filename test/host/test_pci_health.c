/* test_pci_health.c: functions looked at again: identity, errors, link; and buses of several host bridges and segments.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <machine/pci.h>
#include <machine/pci_reg.h>
#include <model/pci_config.h>
#include <string.h>

#include "host_log.h"
#include "pci_found.h"

struct scene {
    struct pci_model model;
    struct pci_found_list found;
    struct machine_host_bridge bridge;
    unsigned lowest, highest; /* buses that were touched */
    uint32_t (*read)(const struct pci_access *access, struct pci_address where, unsigned offset, unsigned width);
};

static struct scene scene;

static uint32_t watched_read(const struct pci_access *access, struct pci_address where, unsigned offset, unsigned width)
{
    scene.lowest = where.bus < scene.lowest ? where.bus : scene.lowest;
    scene.highest = where.bus > scene.highest ? where.bus : scene.highest;
    return scene.read(access, where, offset, width);
}

static int begin(void **state)
{
    (void)state;
    scene = (struct scene){.bridge = {.last_bus = 255,
                                      .window_count = 2,
                                      .windows = {{PCI_WINDOW_MEMORY32, false, 0x10000000, 0x10000000, 0x10000000},
                                                  {PCI_WINDOW_MEMORY64, false, UINT64_C(0x8000000000),
                                                   UINT64_C(0x8000000000), UINT64_C(0x8000000000)}}},
                           .lowest = 255};
    host_log_clear();
    pci_model_init(&scene.model);
    scene.read = scene.model.access.read;
    scene.model.access.read = watched_read;
    return 0;
}

static int end(void **state)
{
    (void)state;
    assert_int_equal(scene.model.strays, 0);
    pci_model_free(&scene.model);
    pci_found_free(&scene.found);
    return 0;
}

static void find(void)
{
    pci_found_free(&scene.found);
    pci_enumerate(&scene.bridge, 0, &scene.model.access, pci_found_keep, &scene.found);
    pci_assign(&scene.bridge, &scene.model.access, scene.found.functions, scene.found.count);
}

static int add_disk(int parent, uint8_t devfn)
{
    int index = pci_model_add(&scene.model, parent, devfn, 0x1b36, 0x0010, 0x010802);

    pci_model_bar(pci_model_at(&scene.model, index), 0, PCI_BAR_MEMORY64, false, 0x4000);
    pci_model_express(pci_model_at(&scene.model, index), true);
    return index;
}

static int add_host_bridge(uint8_t devfn)
{
    return pci_model_add(&scene.model, PCI_MODEL_ROOT, devfn, 0x1b36, devfn == 0 ? 0x0008 : 0x000b, 0x060000);
}

static const struct pci_function *at(uint8_t bus, uint8_t devfn)
{
    for (size_t i = 0; i < scene.found.count; i++)
        if (scene.found.functions[i]->where.bus == bus && scene.found.functions[i]->where.devfn == devfn)
            return scene.found.functions[i];
    return NULL;
}

/* ---- Identity ------------------------------------------------------------------------------------------------------
 */

static void other_identity(struct pci_model_function *model)
{
    pci_model_set(model, PCI_DEVICE, 2, 0x4711);
}

static void other_class(struct pci_model_function *model)
{
    pci_model_set(model, PCI_REVISION, 1, 9);
}

static void other_header(struct pci_model_function *model)
{
    pci_model_set(model, PCI_HEADER_TYPE, 1, 1);
}

static void moved(struct pci_model_function *model)
{
    pci_model_set(model, PCI_BAR0 + 4, 4, 0x81);
}

static void other_list(struct pci_model_function *model)
{
    model->space[0x41] = 0;
    model->space[0x40] = PCI_CAPABILITY_VENDOR;
}

static void other_vectors(struct pci_model_function *model)
{
    model->space[0x7c + PCI_MSIX_CONTROL] ^= 1;
}

static void silent(struct pci_model_function *model)
{
    model->gone = true;
}

static void nothing(struct pci_model_function *model)
{
    model->space[PCI_COMMAND] |= PCI_COMMAND_MASTER; /* is not identity */
    model->space[PCI_INTERRUPT_LINE] = 3;
}

static void still_the_same(void **state)
{
    static const struct {
        void (*set)(struct pci_model_function *model);
        const char *expected;
    } rows[] = {
        {nothing, NULL},
        {other_identity, "has another identity"},
        {other_class, "has another class or revision"},
        {other_header, "has another kind of header"},
        {moved, "BAR 0 has moved"},
        {other_list, "has other capabilities"},
        {other_vectors, "has other capabilities"},
        {silent, "does not answer"},
    };

    for (unsigned i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        end(state);
        begin(state);
        int index = add_disk(PCI_MODEL_ROOT, 1 << 3);
        assert_int_equal(pci_model_msix(pci_model_at(&scene.model, index), 4, 0, 0x1000, 0, 0x2000), 0x7c);
        find();
        assert_null(pci_verify(&scene.model.access, scene.found.functions[0]));
        unsigned writes = scene.model.writes;
        rows[i].set(pci_model_at(&scene.model, index));
        const char *said = pci_verify(&scene.model.access, scene.found.functions[0]);
        if (rows[i].expected == NULL)
            assert_null(said);
        else
            assert_string_equal(said, rows[i].expected);
        assert_int_equal(scene.model.writes, writes); /* it only looks */
    }
}

/* What lies between the members of what was noted may be anything. */
static void between_members(void **state)
{
    (void)state;
    int index = add_disk(PCI_MODEL_ROOT, 1 << 3);
    assert_int_equal(pci_model_msix(pci_model_at(&scene.model, index), 4, 0, 0x1000, 0, 0x2000), 0x7c);
    find();
    struct pci_function *function = scene.found.functions[0];
    ((uint8_t *)&function->msix)[offsetof(struct pci_msix, pending_bar) + 1] ^= 0xff;
    ((uint8_t *)function->extended_capabilities)[offsetof(struct pci_extended_capability, version) + 1] ^= 0xff;
    assert_null(pci_verify(&scene.model.access, function));
    function->extended_capability_count++;
    assert_string_equal(pci_verify(&scene.model.access, function), "has other capabilities");
    function->extended_capability_count--;
    function->msix.pending_offset += 8;
    assert_string_equal(pci_verify(&scene.model.access, function), "has other capabilities");
}

static void bridge_numbers(void **state)
{
    (void)state;
    int bridge = pci_model_add_bridge(&scene.model, PCI_MODEL_ROOT, 1 << 3, true);
    add_disk(bridge, 0);
    find();
    assert_null(pci_verify(&scene.model.access, scene.found.functions[0]));
    pci_model_set(pci_model_at(&scene.model, bridge), PCI_SUBORDINATE_BUS, 1, 9);
    assert_string_equal(pci_verify(&scene.model.access, scene.found.functions[0]), "leads to other buses");
}

/* ---- Errors --------------------------------------------------------------------------------------------------------
 */

static void errors(void **state)
{
    static const struct {
        unsigned offset, width;
        uint32_t value;
        const char *text;
    } rows[] = {
        {PCI_STATUS, 2, 1 << 8, "master data parity error"},
        {PCI_STATUS, 2, 1 << 11, "signalled target abort"},
        {PCI_STATUS, 2, 1 << 12, "received target abort"},
        {PCI_STATUS, 2, 1 << 13, "received master abort"},
        {PCI_STATUS, 2, 1 << 14, "signalled system error"},
        {PCI_STATUS, 2, 1 << 15, "detected parity error"},
        {0x40 + PCI_EXPRESS_STATUS, 2, 1 << 0, "correctable error"},
        {0x40 + PCI_EXPRESS_STATUS, 2, 1 << 1, "non-fatal error"},
        {0x40 + PCI_EXPRESS_STATUS, 2, 1 << 2, "fatal error"},
        {0x40 + PCI_EXPRESS_STATUS, 2, 1 << 3, "unsupported request"},
        {0x104, 4, 1 << 14, "completion timeout"},
        {0x104, 4, 1 << 18 | 1 << 20, "malformed packet, unsupported request"},
        {0x104, 4, 1u << 31, "error 31"},
        {0x110, 4, 1 << 0 | 1 << 12, "receiver error, replay timeout"},
        {0x40 + PCI_EXPRESS_STATUS, 2, 1 << 5, NULL}, /* transactions pending is no error */
        {PCI_STATUS, 2, 1 << 3, NULL},                /* nor is an interrupt */
    };
    char text[160];

    (void)state;
    int index = add_disk(PCI_MODEL_ROOT, 1 << 3);
    struct pci_model_function *model = pci_model_at(&scene.model, index);
    pci_model_errors(model);
    find();
    const struct pci_function *function = scene.found.functions[0];
    for (unsigned i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct pci_errors taken = {0};
        uint32_t before = pci_model_get(model, rows[i].offset, rows[i].width);
        assert_false(pci_errors_take(&scene.model.access, function, &taken));
        pci_errors_text(&taken, text, sizeof text);
        assert_string_equal(text, "none");
        pci_model_set(model, rows[i].offset, rows[i].width, before | rows[i].value);
        assert_int_equal(pci_errors_take(&scene.model.access, function, &taken), rows[i].text != NULL);
        pci_errors_text(&taken, text, sizeof text);
        assert_string_equal(text, rows[i].text != NULL ? rows[i].text : "none");
        if (rows[i].text != NULL)
            assert_int_equal(pci_model_get(model, rows[i].offset, rows[i].width),
                             before); /* and nothing else cleared */
    }
    struct pci_errors all = {UINT16_MAX, UINT16_MAX, UINT8_MAX, UINT32_MAX, UINT32_MAX};
    char brief[24];
    pci_errors_text(&all, brief, sizeof brief); /* a short buffer is not overrun */
    assert_true(strlen(brief) < sizeof brief);
    model->gone = true;
    assert_false(pci_errors_take(&scene.model.access, function, &all)); /* all ones is nobody's error */
}

/* That a search behind a bridge found nothing is no error; what else happened there is. */
static void errors_behind(void **state)
{
    struct pci_errors taken = {0};
    char text[80];

    (void)state;
    int bridge = pci_model_add_bridge(&scene.model, PCI_MODEL_ROOT, 1 << 3, true);
    find();
    pci_model_set(pci_model_at(&scene.model, bridge), PCI_SECONDARY_STATUS, 2, 1 << 13);
    assert_false(pci_errors_take(&scene.model.access, scene.found.functions[0], &taken));
    pci_model_set(pci_model_at(&scene.model, bridge), PCI_SECONDARY_STATUS, 2, 1 << 14);
    assert_true(pci_errors_take(&scene.model.access, scene.found.functions[0], &taken));
    pci_errors_text(&taken, text, sizeof text);
    assert_string_equal(text, "received system error behind it");
}

static void link(void **state)
{
    char text[80];

    (void)state;
    int index = add_disk(PCI_MODEL_ROOT, 1 << 3);
    struct pci_model_function *model = pci_model_at(&scene.model, index);
    int plain = pci_model_add(&scene.model, PCI_MODEL_ROOT, 2 << 3, 0x1234, 1, 0x020000);
    find();
    assert_false(pci_link_text(&scene.model.access, at(0, 1 << 3), text, sizeof text)); /* no lanes */
    pci_model_set(model, 0x40 + PCI_EXPRESS_LINK_CAPABILITIES, 4, 16 << 4 | 4);
    pci_model_set(model, 0x40 + PCI_EXPRESS_LINK_STATUS, 2, 4 << 4 | 3);
    assert_true(pci_link_text(&scene.model.access, at(0, 1 << 3), text, sizeof text));
    assert_string_equal(text, "8 GT/s x4 of at most 16 GT/s x16");
    pci_model_set(model, 0x40 + PCI_EXPRESS_LINK_STATUS, 2, 4 << 4 | 15);
    assert_true(pci_link_text(&scene.model.access, at(0, 1 << 3), text, sizeof text));
    assert_string_equal(text, "unknown GT/s x4 of at most 16 GT/s x16");
    assert_false(pci_link_text(&scene.model.access, at(0, 2 << 3), text, sizeof text));
    model->gone = true;
    assert_false(pci_link_text(&scene.model.access, at(0, 1 << 3), text, sizeof text));
    (void)plain;
}

/* A capability is never read beyond its own end: another one lies there, or nothing. */
static void short_express(void **state)
{
    (void)state;
    int index = pci_model_add(&scene.model, PCI_MODEL_ROOT, 1 << 3, 0x1234, 1, 0x020000);
    struct pci_model_function *model = pci_model_at(&scene.model, index);
    pci_model_capability(model, PCI_CAPABILITY_EXPRESS, 8);
    pci_model_capability(model, PCI_CAPABILITY_VENDOR, 0xb0);
    find();
    const struct pci_function *function = scene.found.functions[0];
    assert_int_equal(pci_express_field(function, PCI_EXPRESS_CAPABILITIES, 4), 0x44);
    assert_int_equal(pci_express_field(function, PCI_EXPRESS_CONTROL, 2), 0);
    assert_int_equal(pci_express_field(function, PCI_EXPRESS_CONTROL2, 2), 0);
}

/* ---- Several host bridges and segments ------------------------------------------------------------------------------
 */

/* Two more host bridges at buses 0x40 and 0x80, each with a port and a disk; the second root also has a bare disk. */
static void build_roots(bool firmware)
{
    static const uint8_t roots[] = {0, 0x40, 0x80};

    add_host_bridge(0);
    add_host_bridge(1 << 3);
    for (unsigned i = 0; i < 3; i++) {
        int root_port = pci_model_add_bridge(&scene.model, PCI_MODEL_ROOT, 5 << 3, true);
        pci_model_at(&scene.model, root_port)->root_bus = roots[i];
        int behind = add_disk(root_port, 0), beside = add_disk(PCI_MODEL_ROOT, 6 << 3);
        pci_model_at(&scene.model, beside)->root_bus = roots[i];
        if (firmware)
            pci_model_set(pci_model_at(&scene.model, root_port), PCI_PRIMARY_BUS, 4,
                          (roots[i] + 9u) << 16 | (roots[i] + 7u) << 8 | roots[i]);
        (void)behind;
    }
    scene.bridge.firmware_configured = firmware;
}

static void expect_apart(void)
{
    for (size_t i = 0; i < scene.model.count; i++) {
        int function;
        unsigned bar;
        uint64_t address = pci_model_get(pci_model_at(&scene.model, (int)i), PCI_BAR0, 4) & ~15u;
        if (pci_model_get(pci_model_at(&scene.model, (int)i), PCI_CLASS + 1, 2) != 0x0108)
            continue;
        address |= (uint64_t)pci_model_get(pci_model_at(&scene.model, (int)i), PCI_BAR0 + 4, 4) << 32;
        assert_int_equal(pci_model_resolve(&scene.model, false, address, &function, &bar), 1);
        assert_int_equal(function, i);
    }
}

static void several_roots(void **state)
{
    (void)state;
    build_roots(false);
    find();
    assert_int_equal(scene.found.count, 2 + 3 * 3);
    assert_non_null(at(1, 0));
    assert_non_null(at(0x41, 0));
    assert_non_null(at(0x81, 0));
    assert_non_null(at(0x80, 6 << 3));
    assert_int_equal(at(0x41, 0)->root_device, 0x4028);
    assert_int_equal(at(0x41, 0)->requester, 0x4100);
    expect_apart();
    assert_string_equal(host_log_text(), "");
}

static void several_roots_of_firmware(void **state)
{
    (void)state;
    build_roots(true);
    find();
    assert_int_equal(scene.found.count, 2 + 3 * 3);
    assert_non_null(at(7, 0));
    assert_non_null(at(0x47, 0)); /* the numbers are kept */
    assert_non_null(at(0x87, 0));
    assert_int_equal(at(0x40, 5 << 3)->subordinate_bus, 0x49);
    expect_apart();
}

/* A root keeps to the numbers before the next. */
static void roots_with_no_room(void **state)
{
    (void)state;
    add_host_bridge(0);
    add_host_bridge(1 << 3);
    for (unsigned i = 0; i < 3; i++)
        add_disk(pci_model_add_bridge(&scene.model, PCI_MODEL_ROOT, (uint8_t)((5 + i) << 3), true), 0);
    int other = add_disk(PCI_MODEL_ROOT, 0);
    pci_model_at(&scene.model, other)->root_bus = 3;
    find();
    assert_non_null(at(1, 0));
    assert_non_null(at(2, 0));
    assert_non_null(at(3, 0));
    assert_null(at(4, 0));
    assert_true(host_log_has("no bus number is left for what is behind it"));
}

/* With one host bridge no other bus is looked at. */
static void one_root(void **state)
{
    (void)state;
    add_host_bridge(0);
    int hidden = add_disk(PCI_MODEL_ROOT, 0);
    pci_model_at(&scene.model, hidden)->root_bus = 0x40;
    find();
    assert_int_equal(scene.found.count, 1);
    assert_int_equal(scene.highest, 0);
}

/* MCFG allocations as they are: 0-0, 0-15, 0-127, and a segment of its own that begins at bus 0x20. */
static void buses_as_the_table_says(void **state)
{
    static const struct {
        uint16_t segment;
        uint8_t first, last;
    } rows[] = {{0, 0, 0}, {0, 0, 15}, {0, 0, 127}, {7, 0x20, 0x2f}, {0xffff, 255, 255}};

    for (unsigned i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        end(state);
        begin(state);
        scene.model.segment = scene.bridge.segment = rows[i].segment;
        scene.model.first_bus = scene.bridge.first_bus = rows[i].first;
        scene.bridge.last_bus = rows[i].last;
        scene.bridge.firmware_configured = true;
        int bridge = pci_model_add_bridge(&scene.model, PCI_MODEL_ROOT, 1 << 3, true);
        add_disk(bridge, 0);
        add_host_bridge(0);
        add_host_bridge(2 << 3);
        /* Firmware's numbers reach beyond the table. */
        pci_model_set(pci_model_at(&scene.model, bridge), PCI_PRIMARY_BUS, 4,
                      0x00ff0000 | (uint32_t)(rows[i].first + 1u) << 8 | rows[i].first);
        find();
        assert_int_equal(scene.lowest, rows[i].first);
        assert_true(scene.highest <= rows[i].last);
        assert_int_equal(at((uint8_t)(rows[i].first + 1), 0) != NULL, rows[i].last > rows[i].first);
        assert_int_equal(scene.found.functions[0]->where.segment, rows[i].segment);
    }
}

/* A function that answers as a host bridge on every bus: bounded. */
static uint32_t everywhere_read(const struct pci_access *access, struct pci_address where, unsigned offset,
                                unsigned width)
{
    static const uint32_t header[] = {0x00081b36, 0, 0x06000001, 0};
    uint32_t value = offset < 16 ? header[offset / 4] >> (8 * (offset & 3)) : 0;

    (void)where;
    scene.model.reads++;
    (void)access;
    return width == 1 ? (uint8_t)value : width == 2 ? (uint16_t)value : value;
}

static void host_bridges_everywhere(void **state)
{
    (void)state;
    scene.model.access.read = everywhere_read;
    scene.bridge.firmware_configured = true;
    find();
    assert_int_equal(scene.found.count, 16 * 32);
    assert_true(scene.model.reads < 200000);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)
    static const struct CMUnitTest tests[] = {
        TEST(still_the_same),
        TEST(between_members),
        TEST(bridge_numbers),
        TEST(errors),
        TEST(errors_behind),
        TEST(link),
        TEST(short_express),
        TEST(several_roots),
        TEST(several_roots_of_firmware),
        TEST(roots_with_no_room),
        TEST(one_root),
        TEST(buses_as_the_table_says),
        TEST(host_bridges_everywhere),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
