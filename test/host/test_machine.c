/* test_machine.c: what readers add and machine_finish puts in order; PVH; the command line; the report. */
#include <machine/add.h>
#include <machine/readers.h>
#include <lib/bytes.h>
#include "host_log.h"
#include "physical.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

static struct machine m;
static struct machine_room room;

static int begin(void **state)
{
    (void)state;
    host_log_clear();
    machine_init(&m, &room);
    return 0;
}

/* ---- The memory map beside a naive one ---------------------------------------------------------- */

enum { PAGES = 256, CELL = 512, CELLS_PER_PAGE = 4096 / CELL, CELLS = PAGES * CELLS_PER_PAGE, NOTHING = 99 };

static uint32_t random_state;

static uint32_t next_random(uint32_t below)
{
    random_state = random_state * 1664525 + 1013904223;
    return (random_state >> 8) % below;
}

/* What a page is: the strongest kind in it other than usable; usable when all of it is. Page 0 is never usable. */
static int oracle_page(const int cells[CELLS], int page)
{
    bool whole = page != 0;
    int strongest = NOTHING;

    for (int i = 0; i < CELLS_PER_PAGE; i++) {
        int kind = cells[page * CELLS_PER_PAGE + i];
        whole &= kind == MEMORY_USABLE;
        if (kind != NOTHING && kind != MEMORY_USABLE && (strongest == NOTHING || kind > strongest))
            strongest = kind;
    }
    return strongest != NOTHING ? strongest : whole ? MEMORY_USABLE : NOTHING;
}

static int machine_page(int page)
{
    for (uint32_t i = 0; i < m.memory_count; i++)
        if (m.memory[i].base <= (uint64_t)page * 4096 && m.memory[i].base + m.memory[i].size > (uint64_t)page * 4096)
            return (int)m.memory[i].kind;
    return NOTHING;
}

static void check_order(void)
{
    for (uint32_t i = 0; i < m.memory_count; i++) {
        assert_int_equal(m.memory[i].base % 4096, 0);
        assert_int_equal(m.memory[i].size % 4096, 0);
        assert_int_not_equal(m.memory[i].size, 0);
        if (i != 0)
            assert_true(m.memory[i - 1].base + m.memory[i - 1].size <= m.memory[i].base);
    }
}

static void one_map(unsigned count, bool overflowing)
{
    int cells[CELLS];

    machine_init(&m, &room);
    for (int i = 0; i < CELLS; i++)
        cells[i] = NOTHING;
    for (unsigned i = 0; i < count; i++) {
        uint32_t first = next_random(CELLS), length = next_random(overflowing ? 4 : CELLS / 4);
        int kind = next_random(3) == 0 ? MEMORY_USABLE : (int)next_random(MEMORY_KIND_COUNT);
        if (first + length > CELLS)
            length = CELLS - first;
        machine_add_memory(&m, (uint64_t)first * CELL, (uint64_t)length * CELL, (enum memory_kind)kind);
        for (uint32_t j = first; j < first + length; j++)
            cells[j] = cells[j] == NOTHING || kind > cells[j] ? kind : cells[j];
        if (next_random(16) == 0) { /* what comes later is added to whole pages */
            machine_finish(&m);
            for (int page = 0; page < PAGES; page++) {
                int whole = oracle_page(cells, page);
                for (int j = 0; j < CELLS_PER_PAGE; j++)
                    cells[page * CELLS_PER_PAGE + j] = whole;
            }
        }
    }
    machine_finish(&m);
    check_order();
    for (int page = 0; page < PAGES; page++) {
        int expected = oracle_page(cells, page), found = machine_page(page);
        if (m.full == 0)
            assert_int_equal(found, expected);
        else if (found == MEMORY_USABLE) /* what did not fit may be lost, but nothing becomes usable by it */
            assert_int_equal(expected, MEMORY_USABLE);
    }
}

static void memory_is_the_union(void **state)
{
    (void)state;
    for (uint32_t round = 1; round <= 600; round++) {
        random_state = round;
        one_map(1 + next_random(24), false);
    }
}

static void full_memory_map_stays_safe(void **state)
{
    (void)state;
    for (uint32_t round = 1; round <= 60; round++) {
        random_state = round * 7919;
        one_map(600, true);
    }
}

/* 1000 holes that cannot be merged, upwards and downwards. */
static void full_memory_map_is_cut_safely(void **state)
{
    (void)state;
    for (int down = 0; down < 2; down++) {
        machine_init(&m, &room);
        host_log_clear();
        machine_add_memory(&m, 0, UINT64_C(1) << 40, MEMORY_USABLE);
        for (uint64_t i = 1; i <= 1000; i++)
            machine_add_memory(&m, (down ? 1001 - i : i) << 20, 4096, i % 2 != 0 ? MEMORY_RESERVED : MEMORY_BAD);
        machine_add_memory(&m, 0, UINT64_C(1) << 30, MEMORY_USABLE); /* too late */
        machine_finish(&m);
        assert_true(host_log_has("memory ranges are described"));
        assert_int_equal(host_log_count(LOG_WARN), 1);
        for (uint32_t i = 0; i < m.memory_count; i++)
            for (uint64_t j = 1; j <= 1000; j++)
                if (m.memory[i].kind == MEMORY_USABLE)
                    assert_true(m.memory[i].base > (j << 20) || m.memory[i].base + m.memory[i].size <= (j << 20));
    }
}

static void finish_twice_is_finish_once(void **state)
{
    static struct memory_range once[MACHINE_MAX_MEMORY_RANGES];

    (void)state;
    for (uint32_t round = 1; round < 50; round++) {
        random_state = round;
        one_map(20, false);
        uint32_t count = m.memory_count;
        memcpy(once, m.memory, count * sizeof once[0]);
        machine_finish(&m);
        assert_int_equal(m.memory_count, count);
        assert_memory_equal(once, m.memory, count * sizeof once[0]);
    }
}

/* H01, H02, H04 */
static void memory_edges(void **state)
{
    (void)state;
    machine_add_memory(&m, 0x1000, 0, MEMORY_USABLE);
    machine_add_memory(&m, UINT64_MAX - 10, 100, MEMORY_RESERVED);
    machine_add_memory(&m, UINT64_C(0xfffffffffff00000), UINT64_MAX, MEMORY_USABLE);
    machine_add_memory(&m, 0, 0x9fc00, MEMORY_USABLE);
    machine_add_memory(&m, 0x9fc00, 0x400, MEMORY_RESERVED);
    machine_add_memory(&m, 0x100000, 0x1000, (enum memory_kind)77);
    machine_finish(&m);
    assert_int_equal(m.memory_count, 4);
    assert_int_equal(m.memory[0].base, 0x1000);
    assert_int_equal(m.memory[0].size, 0x9e000);
    assert_int_equal(m.memory[1].base, 0x9f000);
    assert_int_equal(m.memory[1].kind, MEMORY_RESERVED);
    assert_int_equal(m.memory[2].kind, MEMORY_RESERVED);
    assert_true(m.memory[3].base == UINT64_C(0xfffffffffff00000));
    assert_int_equal(m.memory[3].size, 0xff000);
}

static void nodes_split_memory(void **state)
{
    (void)state;
    machine_add_memory_node(&m, 0, 0x100000, 0);
    machine_add_memory_node(&m, 0x80000, 0x100000, 1); /* overlaps: the first one counts */
    machine_add_memory_node(&m, 0x180000, UINT64_MAX, 2);
    machine_add_memory_node(&m, 0x100, 0x200, 3); /* not a whole page */
    machine_add_memory(&m, 0, 0x200000, MEMORY_USABLE);
    machine_finish(&m);
    assert_int_equal(m.memory_count, 3);
    assert_int_equal(m.memory[0].node, 0);
    assert_int_equal(m.memory[1].base, 0x100000);
    assert_int_equal(m.memory[1].node, 1);
    assert_int_equal(m.memory[2].base, 0x180000);
    assert_int_equal(m.memory[2].node, 2);
}

/* ---- Adding ----------------------------------------------------------------------------------------- */

static void the_same_thing_is_added_once(void **state)
{
    struct machine_line line = {.line = 5};
    struct machine_nmi nmi = {.local = true, .lint = 1, .firmware_id = UINT32_MAX};
    struct machine_reserved_region region = {.base = 0x1000, .size = 0x1000};
    struct machine_iommu_scope scope = {.first = 8, .last = 8};

    (void)state;
    for (int i = 0; i < 2; i++) {
        struct machine_host_bridge *bridge = machine_add_host_bridge(&m, 0, 0, 255, 0xb0000000);
        struct machine_pci_window window = {.kind = PCI_WINDOW_MEMORY32, .cpu_address = 0xc0000000, .size = 4096};
        struct machine_id_map map = {.length = 16};
        assert_non_null(machine_add_cpu(&m, 7));
        assert_non_null(machine_add_io_apic(&m, 0, 0, 0xfec00000));
        assert_true(machine_add_override(&m, 0, line));
        assert_true(machine_add_nmi(&m, &nmi));
        assert_true(machine_add_redistributors(&m, 0x80a0000, 0x20000));
        assert_non_null(machine_add_v2m(&m, 0x8020000));
        assert_non_null(machine_add_its(&m, 3, 0x8080000));
        assert_non_null(machine_add_plic(&m, 0xc000000));
        assert_non_null(machine_add_aplic(&m, 0xd000000));
        assert_non_null(machine_add_uart(&m, ADDRESS_PORT, 0x3f8));
        machine_add_pc_uart(&m);
        assert_non_null(machine_add_virtio_slot(&m, 0xfeb00000, 512, line));
        assert_non_null(machine_add_iommu(&m, IOMMU_VTD, 0xfed90000));
        assert_non_null(machine_add_iommu_pci(&m, IOMMU_VIRTIO, 0, 8));
        assert_true(machine_add_window(&m, bridge, &window));
        assert_true(machine_add_intx_route(&m, bridge, 8, 1, line));
        assert_true(machine_add_msi_map(&m, bridge, &map));
        assert_true(machine_add_iommu_map(&m, bridge, &map));
        assert_true(machine_add_iommu_scope(&m, &scope));
        assert_true(machine_add_reserved_region(&m, &region));
    }
    const struct machine_host_bridge *bridge = &m.host_bridges[0];
    uint32_t counts[] = {m.cpu_count,
                         m.io_apic_count,
                         m.override_count,
                         m.nmi_count,
                         m.gic.redistributor_count,
                         m.v2m_count,
                         m.its_count,
                         m.plic_count,
                         m.aplic_count,
                         m.host_bridge_count,
                         m.virtio_slot_count,
                         bridge->window_count,
                         bridge->intx_route_count,
                         bridge->msi_map_count,
                         bridge->iommu_map_count,
                         m.iommu_scope_count,
                         m.reserved_region_count};
    for (unsigned i = 0; i < sizeof counts / sizeof counts[0]; i++)
        assert_int_equal(counts[i], 1);
    assert_int_equal(m.uart_count, 1);
    assert_int_equal(m.iommu_count, 2);
    assert_int_equal(m.its[0].id, 3);
    assert_int_equal(m.uarts[0].kind, UART_NS16550);
    assert_int_equal(host_log_count(LOG_WARN), 0);
}

static void full_arrays_are_named_once(void **state)
{
    (void)state;
    for (uint32_t i = 0; i < 1000; i++)
        machine_add_cpu(&m, i);
    assert_int_equal(m.cpu_count, MACHINE_MAX_CPUS);
    assert_true(host_log_has("CPUs are described; the rest is dropped"));
    for (uint32_t i = 1; i < 100; i++)
        machine_add_virtio_slot(&m, i * 0x1000, 0x200, MACHINE_LINE_NONE);
    assert_int_equal(m.virtio_slot_count, MACHINE_MAX_VIRTIO_SLOTS);
    assert_int_equal(host_log_count(LOG_WARN), 2);
    for (uint16_t i = 0; i < 20; i++)
        machine_add_host_bridge(&m, i, 0, 255, 0);
    assert_int_equal(m.host_bridge_count, MACHINE_MAX_HOST_BRIDGES);
    for (uint32_t i = 0; i < 2000; i++)
        machine_add_context(&m, 0, i, true);
    assert_int_equal(m.context_count, MACHINE_MAX_CONTEXTS);
    assert_int_equal(host_log_count(LOG_WARN), 4);
}

static void the_impossible_is_refused(void **state)
{
    struct machine_host_bridge *bridge = machine_add_host_bridge(&m, 1, 0, 3, 0xb0000000);
    struct machine_pci_window wrapping = {.kind = PCI_WINDOW_MEMORY64, .cpu_address = UINT64_MAX - 1, .size = 4096};
    struct machine_id_map map = {.input_base = 16, .length = UINT32_MAX};
    struct machine_reserved_region region = {.base = UINT64_MAX, .size = 2};

    (void)state;
    assert_null(machine_add_host_bridge(&m, 0, 5, 3, 0xb0000000));
    assert_null(machine_add_host_bridge(&m, 0, 0, 255, 0xb0001000));
    assert_null(machine_add_host_bridge(&m, 0, 0, 255, UINT64_C(0xfffffffffff00000)));
    assert_true(machine_add_host_bridge(&m, 1, 2, 8, 0xc0000000) == bridge);
    assert_true(host_log_has("PCI segment 1: buses 0 to 3 are described again as 2 to 8; the first counts"));
    assert_false(machine_add_window(&m, bridge, &wrapping));
    assert_false(machine_add_msi_map(&m, bridge, &map));
    map.length = map.input_base = 0;
    assert_false(machine_add_iommu_map(&m, bridge, &map));
    assert_false(machine_add_reserved_region(&m, &region));
    assert_null(machine_add_io_apic(&m, 0, 0, 0));
    assert_null(machine_add_io_apic(&m, 0, 0, 0xfec00010));
    assert_non_null(machine_add_io_apic(&m, 0, 0, 0xfec00000));
    assert_null(machine_add_io_apic(&m, 1, 0, 0xfec10000));
    assert_false(machine_add_override(&m, 16, MACHINE_LINE_NONE));
    assert_false(machine_add_redistributors(&m, 0, 4096));
    assert_false(machine_add_redistributors(&m, 4096, 0));
    assert_null(machine_add_its(&m, 0, 0));
    assert_null(machine_add_uart(&m, ADDRESS_MEMORY, 0));
    assert_null(machine_add_virtio_slot(&m, UINT64_MAX - 1, 512, MACHINE_LINE_NONE));
    assert_null(machine_add_iommu(&m, IOMMU_VTD, 0));
    assert_int_equal(m.host_bridge_count + m.io_apic_count, 2);
}

static void complaints_end(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 100000; i++)
        machine_add_its(&m, i, 0);
    assert_int_equal(host_log_count(LOG_WARN), MACHINE_MAX_COMPLAINTS + 1);
    assert_true(host_log_has("further ones are not named"));
}

/* ---- Contradictions ----------------------------------------------------------------------------------- */

static void registers_do_not_lie_in_memory(void **state)
{
    (void)state;
    machine_add_memory(&m, 0x100000, 0x10000000, MEMORY_USABLE);
    machine_add_memory(&m, 0, 0x80000, MEMORY_USABLE);
    machine_add_memory(&m, 0xb0000000, 0x10000000, MEMORY_RESERVED); /* as q35 says of its ECAM */
    machine_add_host_bridge(&m, 0, 0, 255, 0x1000000);
    struct machine_host_bridge *bridge = machine_add_host_bridge(&m, 1, 0, 255, 0xb0000000);
    struct machine_pci_window inside = {.kind = PCI_WINDOW_MEMORY32, .cpu_address = 0x8000000, .size = 0x10000000};
    struct machine_pci_window outside = {.kind = PCI_WINDOW_MEMORY32, .cpu_address = 0xc0000000, .size = 4096};
    struct machine_pci_window ports = {.kind = PCI_WINDOW_IO, .cpu_address = 0x1000, .size = 0xf000};
    machine_add_window(&m, bridge, &inside);
    machine_add_window(&m, bridge, &outside);
    machine_add_window(&m, bridge, &ports);
    machine_add_virtio_slot(&m, 0x200000, 512, MACHINE_LINE_NONE);
    machine_add_virtio_slot(&m, 0xfeb00000, 512, MACHINE_LINE_NONE);
    machine_add_virtio_slot(&m, 0xff000, 512, MACHINE_LINE_NONE); /* below memory, not in it */
    machine_add_uart(&m, ADDRESS_MEMORY, 0x300000);
    machine_add_uart(&m, ADDRESS_PORT, 0x3f8);
    machine_add_io_apic(&m, 0, 0, 0x400000);
    machine_add_iommu(&m, IOMMU_VTD, 0x500000);
    m.hpet.base = 0x600000;
    (void)state;
    machine_finish(&m);
    assert_int_equal(m.host_bridge_count, 1);
    assert_int_equal(m.host_bridges[0].segment, 1);
    assert_int_equal(m.host_bridges[0].window_count, 2);
    assert_int_equal(m.virtio_slot_count, 2);
    assert_int_equal(m.virtio_slots[0].base, 0xfeb00000);
    assert_int_equal(m.uart_count, 1);
    assert_int_equal(m.io_apic_count, 0);
    assert_int_equal(m.iommu_count, 1);
    assert_int_equal(m.iommus[0].base, 0);
    assert_int_equal(m.hpet.base, 0);
    assert_true(host_log_has("PCI configuration space at 0x1000000 would lie in memory and is dropped"));
}

static void overrides_lead_to_an_io_apic(void **state)
{
    (void)state;
    machine_add_io_apic(&m, 0, 24, 0xfec00000);
    machine_add_override(&m, 0, (struct machine_line){.line = 26});
    machine_add_override(&m, 1, (struct machine_line){.line = 2});
    machine_add_override(&m, 2, (struct machine_line){.line = 24 + 240});
    machine_finish(&m);
    assert_int_equal(m.override_count, 1);
    assert_int_equal(m.overrides[0].source, 0);
    assert_true(host_log_has("interrupt override of source 1 to line 2, which no I/O APIC has, is dropped"));
}

/* ---- PVH ------------------------------------------------------------------------------------------------ */

enum { INFO = 0x7000, MODULES = 0x7100, MAP = 0x7200, LINE = 0x8f00, INFO_SIZE = 56 };

static void store_le64(uint8_t *to, uint64_t value)
{
    store_le32(to, (uint32_t)value);
    store_le32(to + 4, (uint32_t)(value >> 32));
}

struct pvh {
    struct physical *physical;
    uint8_t *info, *module, *map;
    uint64_t rsdp;
};

static struct pvh pvh_make(uint32_t map_entries, const char *command_line)
{
    uint8_t zero[INFO_SIZE] = {0}, map[24 * 64] = {0};
    struct pvh pvh = {.physical = physical_make()};

    pvh.info = physical_put(pvh.physical, INFO, zero, sizeof zero);
    pvh.module = physical_put(pvh.physical, MODULES, zero, 32);
    pvh.map = physical_put(pvh.physical, MAP, map, 24 * map_entries);
    store_le32(pvh.info, 0x336ec578);
    store_le32(pvh.info + 4, 1);
    store_le64(pvh.info + 16, MODULES);
    store_le64(pvh.info + 32, 0xf5000);
    store_le64(pvh.info + 40, MAP);
    store_le32(pvh.info + 48, map_entries);
    if (command_line != NULL) {
        char pages[0x1100] = {0}; /* to the end of the second page */
        strcpy(pages, command_line);
        physical_put(pvh.physical, LINE, pages, sizeof pages);
        store_le64(pvh.info + 24, LINE);
    }
    return pvh;
}

static void map_entry(struct pvh *pvh, unsigned index, uint64_t base, uint64_t size, uint32_t type)
{
    store_le64(pvh->map + 24 * index, base);
    store_le64(pvh->map + 24 * index + 8, size);
    store_le32(pvh->map + 24 * index + 16, type);
}

static enum status pvh_run(struct pvh *pvh)
{
    enum status status = pvh_read(&m, &pvh->physical->memory, INFO, &pvh->rsdp);

    machine_finish(&m);
    physical_free(pvh->physical);
    return status;
}

static void pvh_as_qemu_does(void **state)
{
    struct pvh pvh = pvh_make(4, "selftest then=\x01poweroff");

    (void)state;
    map_entry(&pvh, 0, 0, 0x9fc00, 1);
    map_entry(&pvh, 1, 0x100000, 0x7f00000, 1);
    map_entry(&pvh, 2, 0xfffc0000, 0x40000, 2);
    map_entry(&pvh, 3, 0xe0000, 0x1000, 0); /* microvm's last one is all zeroes */
    store_le32(pvh.info + 12, 1);
    store_le64(pvh.module, 0x7e00000);
    store_le64(pvh.module + 8, 0x1234);
    assert_int_equal(pvh_run(&pvh), STATUS_OK);
    assert_int_equal(pvh.rsdp, 0xf5000);
    assert_string_equal(m.command_line, "selftest then= poweroff");
    assert_int_equal(m.initrd.base, 0x7e00000);
    assert_int_equal(m.initrd.size, 0x1234);
    unsigned initrd = 0, tables = 0;
    for (uint32_t i = 0; i < m.memory_count; i++) {
        initrd += m.memory[i].kind == MEMORY_INITRD && m.memory[i].size == 0x2000;
        tables += m.memory[i].kind == MEMORY_TABLES; /* H03: start info, map, modules, command line: two pages */
    }
    assert_int_equal(m.memory_count, 7);
    assert_int_equal(initrd, 1);
    assert_int_equal(tables, 1);
    assert_int_equal(m.uart_count, 1);
    assert_int_equal(host_log_count(LOG_WARN), 0);
}

static void pvh_version_0(void **state)
{
    struct pvh pvh = pvh_make(1, NULL);

    (void)state;
    store_le32(pvh.info + 4, 0);
    assert_int_equal(pvh_run(&pvh), STATUS_OK);
    assert_true(host_log_has("version 0, which says nothing about memory"));
}

static void pvh_without_start_info(void **state)
{
    struct pvh pvh = pvh_make(1, NULL);
    struct physical *empty = physical_make();
    uint64_t rsdp = 5;

    (void)state;
    assert_int_equal(pvh_read(&m, &empty->memory, INFO, &rsdp), STATUS_INVALID);
    assert_int_equal(rsdp, 0);
    physical_free(empty);
    pvh.info[0]++;
    assert_int_equal(pvh_run(&pvh), STATUS_INVALID);
    assert_true(host_log_has("there is no start info at 0x7000"));
}

/* H05, and a line that ends exactly at the limit */
static void pvh_long_command_line(void **state)
{
    char text[4000];

    (void)state;
    for (unsigned length = 1022; length <= 1025; length++) {
        memset(text, 'x', sizeof text);
        text[length] = '\0';
        struct pvh pvh = pvh_make(1, text);
        host_log_clear();
        machine_init(&m, &room);
        pvh_run(&pvh);
        assert_int_equal(strlen(m.command_line), length < 1023 ? length : 1023);
        assert_int_equal(host_log_has("the command line is longer than 1023 bytes; the rest is cut"), length > 1023);
    }
}

static void pvh_command_line_without_end(void **state)
{
    struct pvh pvh = pvh_make(1, NULL);
    char text[0x100];

    (void)state;
    memset(text, 'y', sizeof text);
    physical_put(pvh.physical, LINE, text, sizeof text); /* memory ends at 0x9000, no NUL */
    store_le64(pvh.info + 24, LINE);
    pvh_run(&pvh);
    assert_int_equal(strlen(m.command_line), sizeof text);
    assert_true(host_log_has("the command line at 0x8f00 cannot be read to its end"));
}

static void pvh_nonsense(void **state)
{
    static const struct {
        const char *what;
        unsigned offset;
        uint64_t value;
        const char *sentence;
    } cases[] = {
        {"map beyond memory", 40, UINT64_C(0xffffffffffffff00), "the memory map at 0xffffffffffffff00 cannot be read"},
        {"a million map entries", 48, 1000000, "the memory map has 1000000 entries; the first 1024 count"},
        {"map of no entries", 48, 0, "the memory map at 0x7200 cannot be read"},
        {"modules beyond memory", 16, 0x9000000, "the module list at 0x9000000 cannot be read"},
        {"command line beyond memory", 24, 0x5000, "the command line at 0x5000 cannot be read to its end"},
    };

    (void)state;
    for (unsigned i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct pvh pvh = pvh_make(1, NULL);
        machine_init(&m, &room);
        host_log_clear();
        store_le32(pvh.info + 12, 1);
        store_le64(pvh.info + cases[i].offset, cases[i].value);
        assert_int_equal(pvh_run(&pvh), STATUS_OK);
        if (!host_log_has(cases[i].sentence))
            fail_msg("%s: %s", cases[i].what, host_log_text());
    }
}

static void pvh_initrd_outside_memory(void **state)
{
    static const uint64_t places[][2] = {
        {0x7fff000, 0x2000}, {0x9000000, 0x1000}, {UINT64_MAX, 2}, {0x200000, 0}, {0x200000, UINT64_MAX}};

    (void)state;
    for (unsigned i = 0; i < sizeof places / sizeof places[0]; i++) {
        struct pvh pvh = pvh_make(1, NULL);
        machine_init(&m, &room);
        host_log_clear();
        map_entry(&pvh, 0, 0x100000, 0x7f00000, 1);
        store_le32(pvh.info + 12, 1);
        store_le64(pvh.module, places[i][0]);
        store_le64(pvh.module + 8, places[i][1]);
        pvh_run(&pvh);
        assert_int_equal(m.initrd.size, 0);
        assert_true(host_log_has("does not lie in memory; it is ignored"));
    }
}

/* ---- The command line ------------------------------------------------------------------------------------ */

static void options_slots(void **state)
{
    (void)state;
    options_read_machine(&m,
                         "loglevel=debug virtio_mmio.device=512@0xfeb00e00:12 virtio_mmio.device=4K@0xfeb01000:5:3");
    assert_int_equal(m.virtio_slot_count, 2);
    assert_int_equal(m.virtio_slots[0].base, 0xfeb00e00);
    assert_int_equal(m.virtio_slots[0].size, 512);
    assert_int_equal(m.virtio_slots[0].line.line, 12);
    assert_int_equal(m.virtio_slots[1].size, 4096);
    assert_int_equal(host_log_count(LOG_WARN), 0);
}

static void options_nonsense(void **state)
{
    static const char *const words[] = {"",
                                        "512",
                                        "512@",
                                        "512@0xfeb00000",
                                        "512@0xfeb00000:",
                                        "0@0xfeb00000:5",
                                        "512@0:5x",
                                        "@:",
                                        "512@0xfeb00000:5:",
                                        "512@0xfeb00000:5:x",
                                        "8@0xfeb00000:5",
                                        "1G@0x1000:5",
                                        "512@0x10000000000000000:5",
                                        "512@0xfeb00000:4294967295",
                                        "512@0xfeb00000:5junk"};

    (void)state;
    for (unsigned i = 0; i < sizeof words / sizeof words[0]; i++) {
        char line[128];
        machine_init(&m, &room);
        host_log_clear();
        snprintf(line, sizeof line, "a virtio_mmio.device=%s b", words[i]);
        options_read_machine(&m, line);
        assert_int_equal(m.virtio_slot_count, 0);
        assert_true(host_log_has("is not SIZE@BASE:IRQ; it is ignored"));
    }
}

/* ---- The report -------------------------------------------------------------------------------------------- */

static char text[1 << 16];
static size_t used;

static void keep(struct printer *printer, const char *piece, size_t length)
{
    (void)printer;
    assert_true(used + length < sizeof text);
    memcpy(text + used, piece, length);
    used += length;
    text[used] = '\0';
}

static void report_reads_well(void **state)
{
    struct printer printer = {.write = keep};

    (void)state;
    strcpy(m.command_line, "quote=\" backslash=\\");
    machine_add_cpu(&m, 0)->enabled = true;
    machine_add_memory(&m, 0x100000, 0x7f00000, MEMORY_USABLE);
    machine_add_pc_uart(&m);
    m.timebase_hz = 10000000;
    m.isa = MACHINE_ISA_SSTC | MACHINE_ISA_SVADU;
    machine_finish(&m);
    used = 0;
    machine_report(&m, &printer);
    assert_non_null(strstr(text, "\ncpu 0: id 0x0, uid 0, enabled yes\n"));
    assert_non_null(strstr(text, "\nmemory 0: base 0x100000, size 127 MiB, kind usable\n"));
    assert_non_null(strstr(text, "\nisa: sstc svadu\n"));
    for (const char *line = text; *line != '\0'; line = strchr(line, '\n') + 1)
        assert_true(strchr(line, '\n') - line <= 79 && (*line == '\n' || memchr(line, ':', 40) != NULL));
    used = 0;
    machine_report_json(&m, &printer);
    assert_non_null(strstr(text, "\"command_line\": \"quote=\\u0022 backslash=\\u005c\""));
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(memory_is_the_union, begin),
        cmocka_unit_test_setup(full_memory_map_stays_safe, begin),
        cmocka_unit_test_setup(full_memory_map_is_cut_safely, begin),
        cmocka_unit_test_setup(finish_twice_is_finish_once, begin),
        cmocka_unit_test_setup(memory_edges, begin),
        cmocka_unit_test_setup(nodes_split_memory, begin),
        cmocka_unit_test_setup(the_same_thing_is_added_once, begin),
        cmocka_unit_test_setup(full_arrays_are_named_once, begin),
        cmocka_unit_test_setup(the_impossible_is_refused, begin),
        cmocka_unit_test_setup(complaints_end, begin),
        cmocka_unit_test_setup(registers_do_not_lie_in_memory, begin),
        cmocka_unit_test_setup(overrides_lead_to_an_io_apic, begin),
        cmocka_unit_test_setup(pvh_as_qemu_does, begin),
        cmocka_unit_test_setup(pvh_version_0, begin),
        cmocka_unit_test_setup(pvh_without_start_info, begin),
        cmocka_unit_test_setup(pvh_long_command_line, begin),
        cmocka_unit_test_setup(pvh_command_line_without_end, begin),
        cmocka_unit_test_setup(pvh_nonsense, begin),
        cmocka_unit_test_setup(pvh_initrd_outside_memory, begin),
        cmocka_unit_test_setup(options_slots, begin),
        cmocka_unit_test_setup(options_nonsense, begin),
        cmocka_unit_test_setup(report_reads_well, begin),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
