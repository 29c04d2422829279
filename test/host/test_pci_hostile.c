/*
 * test_pci_hostile.c: functions and lists that lie about being there: capability lists, identities, headers,
 * bus numbers. What they lie about having is in test_pci_hostile_bars.c, what they do when told in test_msix.c.
 */
#include "pci_hostile.h"

/* ---- C01 to C05: capability lists ------------------------------------------------------------------ */

static unsigned list_of(struct pci_model_function *liar, unsigned count)
{
    unsigned first = pci_model_capability(liar, PCI_CAPABILITY_VENDOR, 4);

    for (unsigned i = 1; i < count; i++)
        pci_model_capability(liar, PCI_CAPABILITY_VENDOR, 4);
    return first;
}

static void pointer(struct pci_model_function *liar, uint8_t value)
{
    liar->space[PCI_STATUS] |= PCI_STATUS_CAPABILITIES;
    liar->space[PCI_CAPABILITIES] = value;
}

static void set_pointer_zero(struct scene *scene, struct pci_model_function *liar)
{
    (void)scene;
    pointer(liar, 0);
}

static void set_pointer_low(struct scene *scene, struct pci_model_function *liar)
{
    (void)scene;
    pointer(liar, 0x3f);
}

static void set_pointer_odd(struct scene *scene, struct pci_model_function *liar)
{
    (void)scene;
    list_of(liar, 1);
    pointer(liar, 0x43);
}

static void set_loop_self(struct scene *scene, struct pci_model_function *liar)
{
    (void)scene;
    unsigned offset = list_of(liar, 1);
    liar->space[offset + 1] = (uint8_t)offset;
}

static void set_loop_two(struct scene *scene, struct pci_model_function *liar)
{
    (void)scene;
    unsigned offset = list_of(liar, 2);
    liar->space[offset + 5] = (uint8_t)offset;
}

static void set_loop_48(struct scene *scene, struct pci_model_function *liar)
{
    (void)scene;
    unsigned offset = list_of(liar, 48);
    liar->space[255 - 2] = (uint8_t)offset;
}

static void set_last_place(struct scene *scene, struct pci_model_function *liar)
{
    (void)scene;
    pointer(liar, 0xfc);
    liar->space[0xfc] = PCI_CAPABILITY_MSIX;
    liar->space[0xfd] = 0;
}

static void set_msi_at_end(struct scene *scene, struct pci_model_function *liar)
{
    (void)scene;
    pointer(liar, 0xf4);
    liar->space[0xf4] = PCI_CAPABILITY_MSI;
    liar->space[0xf6] = PCI_MSI_CONTROL_WIDE;
}

static void set_ones_in_list(struct scene *scene, struct pci_model_function *liar)
{
    (void)scene;
    unsigned offset = list_of(liar, 1);
    liar->space[offset + 1] = 0x80;
    memset(liar->space + 0x80, 0xff, 0x80);
}

static void extended(struct pci_model_function *liar, unsigned offset, uint32_t header)
{
    if (liar->last_link == PCI_CAPABILITIES)
        pci_model_capability(liar, PCI_CAPABILITY_EXPRESS, 0x3c);
    pci_model_set(liar, offset, 4, header);
}

static void set_extended_low(struct scene *scene, struct pci_model_function *liar)
{
    (void)scene;
    extended(liar, 0x100, 0x0fc10001);
}

static void set_extended_loop(struct scene *scene, struct pci_model_function *liar)
{
    (void)scene;
    extended(liar, 0x100, 0x14010001);
    extended(liar, 0x140, 0x10010003);
}

static void set_extended_last(struct scene *scene, struct pci_model_function *liar)
{
    (void)scene;
    extended(liar, 0x100, 0xfff10001);
    extended(liar, 0xffc, 0x00020002);
}

static void set_extended_ones(struct scene *scene, struct pci_model_function *liar)
{
    (void)scene;
    extended(liar, 0x100, 0xffffffff);
}

static void set_extended_many(struct scene *scene, struct pci_model_function *liar)
{
    (void)scene;
    for (unsigned i = 0; i < 40; i++)
        extended(liar, 0x100 + i * 8, (0x108 + i * 8) << 20 | 0x1000b);
}

static void set_pointer_without_list(struct scene *scene, struct pci_model_function *liar)
{
    (void)scene;
    list_of(liar, 2);
    liar->space[PCI_STATUS] = 0;
}

static void expect_none(struct scene *scene, const struct pci_function *liar)
{
    (void)scene;
    assert_non_null(liar);
    assert_int_equal(liar->capability_count, 0);
    assert_int_equal(liar->extended_capability_count, 0);
}

static void expect_one(struct scene *scene, const struct pci_function *liar)
{
    (void)scene;
    assert_non_null(liar);
    assert_int_equal(liar->capability_count, 1);
    assert_true(liar->capabilities[0].offset + liar->capabilities[0].length <= 256);
    assert_false(liar->msix.usable || liar->msi.usable);
    assert_int_equal(liar->extended_capability_count, 0);
}

static void expect_two(struct scene *scene, const struct pci_function *liar)
{
    (void)scene;
    assert_non_null(liar);
    assert_int_equal(liar->capability_count, 2);
}

static void expect_48(struct scene *scene, const struct pci_function *liar)
{
    (void)scene;
    assert_non_null(liar);
    assert_int_equal(liar->capability_count, 48);
}

static void expect_extended_one(struct scene *scene, const struct pci_function *liar)
{
    (void)scene;
    assert_int_equal(liar->extended_capability_count, 1);
}

static void expect_extended_two(struct scene *scene, const struct pci_function *liar)
{
    (void)scene;
    assert_int_equal(liar->extended_capability_count, 2);
}

static void expect_extended_full(struct scene *scene, const struct pci_function *liar)
{
    (void)scene;
    assert_int_equal(liar->extended_capability_count, PCI_MAX_EXTENDED_CAPABILITIES);
}

/* ---- C06 to C09: who is there, and where ----------------------------------------------------------- */

static void set_retry_for_ever(struct scene *scene, struct pci_model_function *liar)
{
    (void)scene;
    liar->retries = UINT32_MAX;
}

static void set_retry_a_while(struct scene *scene, struct pci_model_function *liar)
{
    (void)scene;
    liar->retries = 20;
}

static void set_vendor_zero(struct scene *scene, struct pci_model_function *liar)
{
    (void)scene;
    pci_model_set(liar, PCI_VENDOR, 2, 0);
}

static void set_vendor_ones(struct scene *scene, struct pci_model_function *liar)
{
    (void)scene;
    pci_model_set(liar, PCI_VENDOR, 2, 0xffff);
}

static void set_device_ones(struct scene *scene, struct pci_model_function *liar)
{
    (void)scene;
    pci_model_set(liar, PCI_DEVICE, 2, 0xffff);
}

static void set_function_zero_absent(struct scene *scene, struct pci_model_function *liar)
{
    (void)scene;
    liar->devfn = LIAR + 1;
    pci_model_set(liar, PCI_HEADER_TYPE, 1, PCI_HEADER_MULTIFUNCTION);
}

static void set_every_function(struct scene *scene, struct pci_model_function *liar)
{
    (void)scene;
    liar->every_function = true;
    pci_model_set(liar, PCI_HEADER_TYPE, 1, PCI_HEADER_MULTIFUNCTION);
    pci_model_bar(liar, 0, PCI_BAR_MEMORY32, false, 0x1000);
}

static void set_real_twins(struct scene *scene, struct pci_model_function *liar)
{
    pci_model_set(liar, PCI_HEADER_TYPE, 1, PCI_HEADER_MULTIFUNCTION);
    int twin = pci_model_add(&scene->model, PCI_MODEL_ROOT, LIAR + 1, 0x1234, 0x5678, 0x020000);
    pci_model_set(pci_model_at(&scene->model, twin), PCI_HEADER_TYPE, 1, PCI_HEADER_MULTIFUNCTION);
}

static void set_header(struct scene *scene, struct pci_model_function *liar)
{
    (void)scene;
    pci_model_set(liar, PCI_HEADER_TYPE, 1, 0x03);
}

static void set_header_7f(struct scene *scene, struct pci_model_function *liar)
{
    (void)scene;
    pci_model_set(liar, PCI_HEADER_TYPE, 1, 0x7f);
}

static void set_class_unknown(struct scene *scene, struct pci_model_function *liar)
{
    (void)scene;
    pci_model_set(liar, PCI_REVISION, 4, 0xffff0001);
}

/* The liar becomes a bridge with these numbers, and something lies behind it. */
static void bridge_with(struct scene *scene, uint32_t numbers)
{
    int bridge = pci_model_add_bridge(&scene->model, PCI_MODEL_ROOT, LIAR + 8, false);

    scene->bridge.firmware_configured = true;
    pci_model_set(pci_model_at(&scene->model, bridge), PCI_PRIMARY_BUS, 4, numbers);
    pci_model_add(&scene->model, bridge, 9 << 3, 0xabcd, 0x0001, 0xff0000);
}

static void set_secondary_zero(struct scene *scene, struct pci_model_function *liar)
{
    (void)liar;
    bridge_with(scene, 0x00050000);
}

static void set_secondary_is_primary(struct scene *scene, struct pci_model_function *liar)
{
    (void)liar;
    scene->bridge.first_bus = scene->model.first_bus = 4;
    bridge_with(scene, 0x00050404);
}

static void set_subordinate_below(struct scene *scene, struct pci_model_function *liar)
{
    (void)liar;
    bridge_with(scene, 0x00030500);
}

static void set_siblings_share(struct scene *scene, struct pci_model_function *liar)
{
    (void)liar;
    bridge_with(scene, 0x00060500);
    int second = pci_model_add_bridge(&scene->model, PCI_MODEL_ROOT, LIAR + 16, false);
    pci_model_set(pci_model_at(&scene->model, second), PCI_PRIMARY_BUS, 4, 0x00070600);
    pci_model_add(&scene->model, second, 8 << 3, 0xabcd, 0x0002, 0xff0000);
}

static void set_bus_loop(struct scene *scene, struct pci_model_function *liar)
{
    (void)liar;
    bridge_with(scene, 0x00060100);
    int deep = pci_model_add_bridge(&scene->model, 2, 10 << 3, false);
    pci_model_set(pci_model_at(&scene->model, deep), PCI_PRIMARY_BUS, 4, 0x00060101);
    pci_model_add(&scene->model, deep, 9 << 3, 0xabcd, 0x0002, 0xff0000);
}

static void set_stuck_numbers(struct scene *scene, struct pci_model_function *liar)
{
    (void)liar;
    bridge_with(scene, 0x00000000);
    pci_model_at(&scene->model, 2)->stuck_numbers = true;
}

static void expect_absent(struct scene *scene, const struct pci_function *liar)
{
    assert_null(liar);
    assert_int_equal(scene->found.count, 1);
}

static void expect_absent_after_a_second(struct scene *scene, const struct pci_function *liar)
{
    expect_absent(scene, liar);
    assert_true(scene->model.paused_ms <= 1000);
}

static void expect_present(struct scene *scene, const struct pci_function *liar)
{
    assert_non_null(liar);
    assert_int_equal(scene->found.count, 2);
}

static void expect_twins(struct scene *scene, const struct pci_function *liar)
{
    assert_non_null(liar);
    assert_int_equal(scene->found.count, 3);
}

static const struct pci_function *behind(const struct scene *scene, uint16_t device)
{
    for (size_t i = 0; i < scene->found.count; i++) {
        if (scene->found.functions[i]->vendor == 0xabcd && scene->found.functions[i]->device == device)
            return scene->found.functions[i];
    }
    return NULL;
}

static void expect_behind(struct scene *scene, const struct pci_function *liar)
{
    (void)liar;
    assert_non_null(behind(scene, 1));
    assert_true(behind(scene, 1)->where.bus > scene->bridge.first_bus);
}

static void expect_both_behind(struct scene *scene, const struct pci_function *liar)
{
    expect_behind(scene, liar);
    assert_non_null(behind(scene, 2));
    assert_true(behind(scene, 2)->where.bus != behind(scene, 1)->where.bus);
}

static void expect_closed(struct scene *scene, const struct pci_function *liar)
{
    (void)liar;
    assert_null(behind(scene, 1));
    assert_int_equal(scene->found.functions[1]->secondary_bus, 0);
}

static void set_short_host(struct scene *scene, struct pci_model_function *liar)
{
    (void)liar;
    scene->bridge.last_bus = 1;
    bridge_with(scene, 0x00ff0200);
    int second = pci_model_add_bridge(&scene->model, PCI_MODEL_ROOT, LIAR + 16, false);
    pci_model_add(&scene->model, second, 8 << 3, 0xabcd, 0x0002, 0xff0000);
}

static void expect_one_behind(struct scene *scene, const struct pci_function *liar)
{
    (void)liar;
    assert_non_null(behind(scene, 1));
    assert_null(behind(scene, 2));
}

static const struct hostile_case cases[] = {
    {"C01", "capability pointer 0", set_pointer_zero, expect_none, NULL},
    {"C01", "capability pointer 0x3f", set_pointer_low, expect_none, NULL},
    {"C01", "capability pointer odd", set_pointer_odd, expect_one, NULL},
    {"C02", "a capability leads to itself", set_loop_self, expect_one, "capability list loops back to 0x40"},
    {"C02", "two capabilities in a loop", set_loop_two, expect_two, "capability list loops back to 0x40"},
    {"C02", "48 capabilities in a loop", set_loop_48, expect_48, "capability list loops back to 0x40"},
    {"C02", "a capability of all ones", set_ones_in_list, expect_one, "leads to 0x80, where there is none"},
    {"C03", "MSI-X at 0xfc", set_last_place, expect_one, "MSI-X capability at 0xfc does not fit"},
    {"C03", "64-bit MSI at 0xf4", set_msi_at_end, expect_one, "MSI capability at 0xf4 does not fit"},
    {"C04", "extended list leads below 0x100", set_extended_low, expect_extended_one, NULL},
    {"C04", "extended list in a loop", set_extended_loop, expect_extended_two, "extended capability list loops back"},
    {"C04", "extended capability at 0xffc", set_extended_last, expect_extended_two, NULL},
    {"C04", "extended header of all ones", set_extended_ones, expect_one, NULL},
    {"C04", "40 extended capabilities", set_extended_many, expect_extended_full, "more than 32 extended capabilities"},
    {"C05", "a list that the status denies", set_pointer_without_list, expect_none, NULL},
    {"C06", "not ready for ever", set_retry_for_ever, expect_absent_after_a_second, "still not ready after 1000 ms"},
    {"C06", "not ready for a while", set_retry_a_while, expect_present, NULL},
    {"C06", "vendor 0", set_vendor_zero, expect_absent, NULL},
    {"C06", "vendor 0xffff", set_vendor_ones, expect_absent, NULL},
    {"C06", "device 0xffff", set_device_ones, expect_absent, NULL},
    {"C07", "function 1 without function 0", set_function_zero_absent, expect_absent, NULL},
    {"C07", "one function that answers as eight", set_every_function, expect_present, NULL},
    {"C07", "two functions with the same header", set_real_twins, expect_twins, NULL},
    {"C08", "header type 3", set_header, expect_absent, "header type 3 is not known"},
    {"C08", "header type 0x7f", set_header_7f, expect_absent, "header type 127 is not known"},
    {"C08", "class 0xffff00", set_class_unknown, expect_present, NULL},
    {"C09", "secondary bus 0", set_secondary_zero, expect_behind, "bus numbers 0 to 5 on bus 0 make no sense"},
    {"C09", "secondary is primary", set_secondary_is_primary, expect_behind, "bus numbers 4 to 5 on bus 4 make no"},
    {"C09", "subordinate below secondary", set_subordinate_below, expect_behind, "bus numbers 5 to 3 on bus 0 make"},
    {"C09", "siblings share a bus", set_siblings_share, expect_both_behind, "bus numbers 6 to 7 on bus 0 make no"},
    {"C09", "the bridge on bus 1 leads to bus 1", set_bus_loop, expect_both_behind, "bus numbers 1 to 6 on bus 1 make"},
    {"C09", "bus numbers do not stick", set_stuck_numbers, expect_closed, "does not keep the bus numbers"},
    {"C29", "fewer buses than bridges", set_short_host, expect_one_behind, "no bus number is left"},
};

static void each_lie_is_contained(void **state)
{
    (void)state;
    run_cases(cases, sizeof cases / sizeof cases[0]);
}

/* C30: as many functions as there can be, by a device that answers everywhere. */
static uint32_t everywhere_read(const struct pci_access *access, struct pci_address where, unsigned offset,
                                unsigned width)
{
    static const uint32_t header[4] = {0x56781234, 0, 0x02000001, 0x00800000};
    uint64_t *reads = *(uint64_t **)(uintptr_t)(access + 1);

    (*reads)++;
    if (offset == PCI_INTERRUPT_LINE)
        return where.devfn;
    uint32_t value = offset < 16 ? header[offset / 4] >> (8 * (offset & 3)) : 0;
    if (offset <= PCI_HEADER_TYPE && where.devfn < 8 && where.bus < 255 && offset == PCI_HEADER_TYPE)
        value = where.devfn == 0 ? 0x81 : 0x80;
    return width == 1 ? (uint8_t)value : width == 2 ? (uint16_t)value : value;
}

static void everywhere_write(const struct pci_access *access, struct pci_address where, unsigned offset, unsigned width,
                             uint32_t value)
{
    (void)access;
    (void)where;
    (void)offset;
    (void)width;
    (void)value;
}

static bool count_found(void *context, const struct pci_function *function)
{
    (void)function;
    ++*(unsigned *)context;
    return true;
}

static void everything_present(void **state)
{
    uint64_t reads = 0;
    unsigned found = 0;
    struct {
        struct pci_access access;
        uint64_t *reads;
    } access = {{.read = everywhere_read, .write = everywhere_write, .extended = true}, &reads};
    struct machine_host_bridge bridge = {.last_bus = 255};

    (void)state;
    host_log_clear();
    pci_enumerate(&bridge, 0, &access.access, count_found, &found);
    assert_int_equal(found, 256); /* its bridge keeps no bus number */
    assert_true(reads < 100000);
    assert_true(host_log_has("does not keep the bus numbers"));
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_lie_is_contained),
        cmocka_unit_test(everything_present),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
