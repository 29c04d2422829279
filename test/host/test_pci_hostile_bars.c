/* test_pci_hostile_bars.c: functions that lie about what they have: BARs, messages, lines; and that go away. */
#include "pci_hostile.h"

/* ---- C10 to C16: BARs ------------------------------------------------------------------------------ */

/* A BAR with this mask and kind. */
static void raw_bar(struct pci_model_function *liar, unsigned index, uint32_t mask, uint32_t value)
{
    pci_model_set(liar, PCI_BAR0 + index * 4, 4, value);
    for (unsigned i = 0; i < 4; i++)
        liar->writable[PCI_BAR0 + index * 4 + i] = (uint8_t)(mask >> (8 * i));
}

static void set_odd_mask(struct scene *scene, struct pci_model_function *liar)
{
    (void)scene;
    raw_bar(liar, 0, 0xfff0f000, 0);
}

static void set_all_ones(struct scene *scene, struct pci_model_function *liar)
{
    (void)scene;
    raw_bar(liar, 0, 0, 0xffffffff);
}

static void set_ram_bars(struct scene *scene, struct pci_model_function *liar)
{
    (void)scene;
    liar->ram_bars = true;
}

static void set_wide_last(struct scene *scene, struct pci_model_function *liar)
{
    (void)scene;
    raw_bar(liar, 5, 0xfffff000, PCI_BAR_TYPE_64);
}

static void set_type_reserved(struct scene *scene, struct pci_model_function *liar)
{
    (void)scene;
    raw_bar(liar, 0, 0xfffff000, 3 << 1);
}

static void set_type_below_1m(struct scene *scene, struct pci_model_function *liar)
{
    (void)scene;
    raw_bar(liar, 0, 0xfffff000, 1 << 1);
}

static void place(struct scene *scene, struct pci_model_function *liar, uint32_t address)
{
    scene->bridge.firmware_configured = true;
    pci_model_bar(liar, 0, PCI_BAR_MEMORY32, false, 0x10000);
    pci_model_set(liar, PCI_BAR0, 4, address);
    pci_model_set(liar, PCI_COMMAND, 2, PCI_COMMAND_MEMORY);
}

static void set_over_ram(struct scene *scene, struct pci_model_function *liar)
{
    scene->bridge.window_count = 1;
    scene->bridge.windows[0] = (struct machine_pci_window){PCI_WINDOW_MEMORY32, false, 0x1000, 0x1000, 0xc0000000};
    place(scene, liar, 0x00100000);
}

static void set_over_ecam(struct scene *scene, struct pci_model_function *liar)
{
    scene->bridge.windows[1].size = 0xb0000000;
    place(scene, liar, 0xb0010000);
}

static void set_over_io_apic(struct scene *scene, struct pci_model_function *liar)
{
    scene->bridge.window_count = 2;
    scene->bridge.windows[1].size = 0xf0000000;
    place(scene, liar, 0xfec00000);
}

static void set_over_another(struct scene *scene, struct pci_model_function *liar)
{
    place(scene, liar, 0x20000000);
    int other = pci_model_add(&scene->model, PCI_MODEL_ROOT, 2 << 3, 0x1234, 0x9999, 0xff0000);
    place(scene, pci_model_at(&scene->model, other), 0x20000000);
}

static void set_outside_window(struct scene *scene, struct pci_model_function *liar)
{
    place(scene, liar, 0x0f000000);
}

static void set_unassigned(struct scene *scene, struct pci_model_function *liar)
{
    scene->bridge.firmware_configured = true;
    pci_model_bar(liar, 0, PCI_BAR_MEMORY64, true, 64 * GIB);
}

static void set_gigantic(struct scene *scene, struct pci_model_function *liar)
{
    (void)scene;
    pci_model_bar(liar, 0, PCI_BAR_MEMORY64, true, UINT64_C(1) << 63);
    pci_model_bar(liar, 2, PCI_BAR_MEMORY64, true, 8 * GIB);
}

static void set_small_ones(struct scene *scene, struct pci_model_function *liar)
{
    pci_model_bar(liar, 0, PCI_BAR_MEMORY32, false, 64);
    pci_model_bar(liar, 1, PCI_BAR_MEMORY32, false, 16);
    int other = pci_model_add(&scene->model, PCI_MODEL_ROOT, 2 << 3, 0x1234, 0x9999, 0xff0000);
    pci_model_bar(pci_model_at(&scene->model, other), 0, PCI_BAR_MEMORY32, false, 64);
}

static void set_high_port(struct scene *scene, struct pci_model_function *liar)
{
    scene->bridge.window_count = 0;
    pci_model_bar(liar, 0, PCI_BAR_IO, false, 32);
    pci_model_set(liar, PCI_BAR0, 4, 0x0001c001);
}

static void set_no_io_window(struct scene *scene, struct pci_model_function *liar)
{
    scene->bridge.windows[0].size = 0;
    pci_model_bar(liar, 0, PCI_BAR_IO, false, 32);
    pci_model_bar(liar, 1, PCI_BAR_MEMORY32, false, 4096);
}

static void set_narrow_port(struct scene *scene, struct pci_model_function *liar)
{
    (void)scene;
    raw_bar(liar, 0, 0x0000ffe0, PCI_BAR_IS_IO);
}

static void expect_no_bar(struct scene *scene, const struct pci_function *liar)
{
    (void)scene;
    assert_non_null(liar);
    for (unsigned i = 0; i < 6; i++)
        assert_int_equal(liar->bars[i].kind, PCI_BAR_NONE);
}

static void expect_moved(struct scene *scene, const struct pci_function *liar)
{
    const struct machine_host_bridge *bridge = &scene->bridge;
    const struct pci_bar *bar = &liar->bars[0];

    assert_true(bar->assigned);
    assert_int_equal(pci_model_get(pci_model_at(&scene->model, 0), PCI_BAR0, 4), bar->bus_address);
    assert_int_equal(pci_model_get(pci_model_at(&scene->model, 0), PCI_COMMAND, 2), 0);
    assert_true(bar->cpu_address + bar->size <= bridge->ecam || bar->cpu_address >= bridge->ecam + (256 << 20));
    assert_true(bar->cpu_address < 0xfec00000 || bar->cpu_address >= 0xfec01000);
}

static void expect_high(struct scene *scene, const struct pci_function *liar)
{
    (void)scene;
    assert_true(liar->bars[0].assigned && liar->bars[0].bus_address >= 4 * GIB);
    assert_int_equal(liar->bars[0].bus_address % (64 * GIB), 0);
}

static void expect_gigantic(struct scene *scene, const struct pci_function *liar)
{
    (void)scene;
    assert_int_equal(liar->bars[0].size, UINT64_C(1) << 63);
    assert_false(liar->bars[0].assigned);
    assert_true(liar->bars[2].assigned);
}

static void expect_sharing_a_page(struct scene *scene, const struct pci_function *liar)
{
    (void)scene;
    assert_true(liar->bars[0].assigned && liar->bars[1].assigned);
    assert_int_equal(liar->bars[0].bus_address >> 12, liar->bars[1].bus_address >> 12);
}

static void expect_no_port(struct scene *scene, const struct pci_function *liar)
{
    (void)scene;
    assert_int_equal(liar->bars[0].kind, PCI_BAR_IO);
    assert_false(liar->bars[0].assigned);
}

static void expect_only_memory(struct scene *scene, const struct pci_function *liar)
{
    expect_no_port(scene, liar);
    assert_true(liar->bars[1].assigned);
}

static void expect_port(struct scene *scene, const struct pci_function *liar)
{
    (void)scene;
    assert_true(liar->bars[0].assigned && liar->bars[0].size == 32);
}

/* ---- C17 to C22: MSI-X ----------------------------------------------------------------------------- */

static void msix(struct pci_model_function *liar, unsigned vectors, unsigned bar, uint32_t table, unsigned pending_bar,
                 uint32_t pending)
{
    pci_model_bar(liar, 0, PCI_BAR_MEMORY32, false, 0x4000);
    pci_model_bar(liar, 1, PCI_BAR_IO, false, 0x40);
    pci_model_msix(liar, vectors, bar, table, pending_bar, pending);
}

static void set_bir_6(struct scene *scene, struct pci_model_function *liar)
{
    (void)scene;
    msix(liar, 4, 6, 0, 0, 0x2000);
}

static void set_bir_absent(struct scene *scene, struct pci_model_function *liar)
{
    (void)scene;
    msix(liar, 4, 2, 0, 0, 0x2000);
}

static void set_bir_io(struct scene *scene, struct pci_model_function *liar)
{
    (void)scene;
    msix(liar, 4, 1, 0, 0, 0x2000);
}

static void set_bir_upper_half(struct scene *scene, struct pci_model_function *liar)
{
    (void)scene;
    pci_model_bar(liar, 2, PCI_BAR_MEMORY64, false, 0x10000);
    msix(liar, 4, 3, 0, 0, 0x2000);
}

static void set_table_beyond(struct scene *scene, struct pci_model_function *liar)
{
    (void)scene;
    msix(liar, 2048, 0, 0, 0, 0x3000);
}

static void set_table_far(struct scene *scene, struct pci_model_function *liar)
{
    (void)scene;
    msix(liar, 1, 0, 0xfffffff8, 0, 0);
}

static void set_pending_beyond(struct scene *scene, struct pci_model_function *liar)
{
    (void)scene;
    msix(liar, 65, 0, 0, 0, 0x3ff8);
}

static void set_table_is_pending(struct scene *scene, struct pci_model_function *liar)
{
    (void)scene;
    msix(liar, 4, 0, 0x1000, 0, 0x1038);
}

static void set_two_msix(struct scene *scene, struct pci_model_function *liar)
{
    (void)scene;
    msix(liar, 4, 0, 0x1000, 0, 0x2000);
    pci_model_msix(liar, 8, 5, 0, 5, 0x800);
}

static void set_msi_count(struct scene *scene, struct pci_model_function *liar)
{
    (void)scene;
    unsigned offset = pci_model_capability(liar, PCI_CAPABILITY_MSI, 24);
    pci_model_set(liar, offset + PCI_MSI_CONTROL, 2, 7 << PCI_MSI_CONTROL_CAPABLE_SHIFT);
}

static void expect_no_messages(struct scene *scene, const struct pci_function *liar)
{
    (void)scene;
    assert_non_null(liar);
    assert_false(liar->msix.usable);
    assert_false(liar->msi.usable);
}

static void expect_first_msix(struct scene *scene, const struct pci_function *liar)
{
    (void)scene;
    assert_true(liar->msix.usable);
    assert_int_equal(liar->msix.vector_count, 4);
}

/* ---- C23 to C30 ------------------------------------------------------------------------------------ */

static void set_pin_5(struct scene *scene, struct pci_model_function *liar)
{
    scene->bridge.intx_route_count = 1;
    scene->bridge.intx_routes[0] = (struct machine_intx_route){.device = 0, .pin = 1, .line = {.line = 35}};
    pci_model_set(liar, PCI_INTERRUPT_LINE, 2, 0x05ff);
}

static void expect_no_line(struct scene *scene, const struct pci_function *liar)
{
    assert_int_equal(liar->interrupt_pin, 0);
    assert_int_equal(pci_intx_line(&scene->bridge, liar).line, MACHINE_NO_LINE);
}

static unsigned vanish_after;

static void set_vanish(struct scene *scene, struct pci_model_function *liar)
{
    (void)scene;
    msix(liar, 4, 0, 0x1000, 0, 0x2000);
    liar->vanish_after = vanish_after;
}

static void set_stuck_decode(struct scene *scene, struct pci_model_function *liar)
{
    place(scene, liar, 0x20000000);
    liar->stuck_decode = true;
}

static void expect_untouched(struct scene *scene, const struct pci_function *liar)
{
    expect_no_bar(scene, liar);
    assert_int_equal(pci_model_at(&scene->model, 0)->sized_decoding, 0);
    assert_int_equal(pci_model_get(pci_model_at(&scene->model, 0), PCI_BAR0, 4), 0x20000000);
}

static void set_stuck_bars(struct scene *scene, struct pci_model_function *liar)
{
    (void)scene;
    pci_model_bar(liar, 0, PCI_BAR_MEMORY32, false, 0x4000);
    pci_model_set(liar, PCI_BAR0, 4, 0x12340000);
    liar->stuck_bars = true;
}

static void set_express_version_15(struct scene *scene, struct pci_model_function *liar)
{
    (void)scene;
    unsigned offset = pci_model_capability(liar, PCI_CAPABILITY_EXPRESS, 0x3c);
    pci_model_set(liar, offset + PCI_EXPRESS_FLAGS, 2, 15);
}

static void expect_express(struct scene *scene, const struct pci_function *liar)
{
    (void)scene;
    assert_int_equal(liar->express, 0x40);
}

static void set_enhanced_allocation(struct scene *scene, struct pci_model_function *liar)
{
    (void)scene;
    pci_model_capability(liar, PCI_CAPABILITY_ENHANCED_ALLOCATION, 16);
}

static const struct hostile_case cases[] = {
    {"C10", "mask 0xfff0f000", set_odd_mask, expect_no_bar, "BAR 0 has an odd mask"},
    {"C10", "all ones whatever is written", set_all_ones, expect_no_bar, "BAR 0 changes its kind"},
    {"C10", "a BAR like RAM", set_ram_bars, expect_no_bar, "BAR 0 changes its kind"},
    {"C11", "64 bits in the last BAR", set_wide_last, expect_no_bar, "BAR 5 is 64 bits wide but the last"},
    {"C11", "reserved type 3", set_type_reserved, expect_no_bar, "BAR 0 has a reserved type"},
    {"C11", "type 1, below 1 MiB", set_type_below_1m, expect_no_bar, "BAR 0 has a reserved type"},
    {"C12", "a BAR over RAM", set_over_ram, expect_moved, "BAR 0 at 0x100000 lies over memory; it is moved"},
    {"C12", "a BAR over the ECAM", set_over_ecam, expect_moved, "lies over configuration space; it is moved"},
    {"C12", "a BAR over an I/O APIC", set_over_io_apic, expect_moved, "lies over an I/O APIC; it is moved"},
    {"C12", "a BAR over another", set_over_another, expect_moved, "BAR 0 at 0x20000000 overlaps another; it is moved"},
    {"C12", "a BAR outside the windows", set_outside_window, expect_moved,
     "lies outside what the host bridge forwards"},
    {"C13", "a BAR that nobody placed", set_unassigned, expect_high, NULL},
    {"C14", "small BARs in one page", set_small_ones, expect_sharing_a_page, NULL},
    {"C15", "a BAR of 2^63 bytes", set_gigantic, expect_gigantic, "BAR 0 of 8 EiB has no place"},
    {"C16", "an I/O BAR above 0xffff", set_high_port, expect_no_port, "BAR 0 at 0x1c000 lies outside"},
    {"C16", "no I/O space at all", set_no_io_window, expect_only_memory, "no known window for it"},
    {"C16", "an I/O BAR of 16 bits", set_narrow_port, expect_port, NULL},
    {"C17", "MSI-X table in BAR 6", set_bir_6, expect_no_messages, "lies in a BAR that cannot exist"},
    {"C17", "MSI-X table in no BAR", set_bir_absent, expect_no_messages,
     "lies in a BAR that the function does not have"},
    {"C17", "MSI-X table in I/O space", set_bir_io, expect_no_messages, "lies in I/O space"},
    {"C17", "MSI-X table in half a BAR", set_bir_upper_half, expect_no_messages, "that the function does not have"},
    {"C18", "MSI-X table of 2048 beyond its BAR", set_table_beyond, expect_no_messages,
     "of 2048 vectors at BAR 0 + 0x0"},
    {"C18", "MSI-X table at the end of 4 GiB", set_table_far, expect_no_messages, "reaches beyond its BAR"},
    {"C18", "pending bits beyond their BAR", set_pending_beyond, expect_no_messages,
     "the array reaches beyond its BAR"},
    {"C19", "table and pending bits overlap", set_table_is_pending, expect_no_messages, "pending bits overlap"},
    {"C22", "two MSI-X capabilities", set_two_msix, expect_first_msix, "a second MSI-X capability at 0x4c is ignored"},
    {"C22", "MSI for 128 vectors", set_msi_count, expect_no_messages, "asks for 2^7 vectors"},
    {"C23", "pin 5, line 0xff", set_pin_5, expect_no_line, "interrupt pin 5 does not exist"},
    {"C25", "decoding cannot be switched off", set_stuck_decode, expect_untouched, "decoding cannot be switched off"},
    {"C25", "a BAR that keeps nothing", set_stuck_bars, expect_no_bar, "BAR 0 has an odd mask"},
    {"C26", "PCI Express version 15", set_express_version_15, expect_express, NULL},
    {"C28", "Enhanced Allocation", set_enhanced_allocation, expect_no_bar, "(Enhanced Allocation) are not used"},
};

static void each_lie_is_contained(void **state)
{
    (void)state;
    run_cases(cases, sizeof cases / sizeof cases[0]);
}

/* C24: all ones from the n-th read on, for every n until it no longer matters. */
static void vanishing_at_any_moment(void **state)
{
    unsigned found = 0;

    (void)state;
    for (vanish_after = 1; vanish_after < 120; vanish_after++) {
        struct scene scene;
        scene_init(&scene);
        set_vanish(&scene, pci_model_at(&scene.model, 0));
        scene_run(&scene);
        const struct pci_function *liar = find_device(&scene, LIAR);
        found += liar != NULL;
        if (liar != NULL && pci_model_at(&scene.model, 0)->reads > vanish_after)
            assert_false(liar->bars[0].assigned && !host_log_has("0000:00:05.0")); /* not without a word */
        assert_non_null(find_device(&scene, HONEST));
        pci_model_free(&scene.model);
        pci_found_free(&scene.found);
    }
    assert_in_range(found, 20, 100);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_lie_is_contained),
        cmocka_unit_test(vanishing_at_any_moment),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
