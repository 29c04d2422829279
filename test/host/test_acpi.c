/* test_acpi.c: acpi_read over tables that are right: the RSDP, \_S5, and what each kind of entry becomes. */
#include "acpi_tables.h"
#include <lib/bytes.h>
#include "host_log.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

/* ---- RSDP ------------------------------------------------------------------------------------------------ */

static void put_rsdp_at(uint8_t *area, uint32_t offset, bool right)
{
    uint8_t rsdp[20] = "RSD PTR ";

    rsdp[8] = (uint8_t)(-sum(rsdp, 20) + !right);
    memcpy(area + offset, rsdp, 20);
}

static uint64_t search(const uint8_t *bios, const uint8_t *ebda)
{
    struct physical *physical = physical_make();
    uint8_t segment[2] = {0xc0, 0x9f}; /* 0x9fc00 */

    physical_put(physical, 0x40e, segment, 2);
    if (ebda != NULL)
        physical_put(physical, 0x9fc00, ebda, 1024);
    if (bios != NULL)
        physical_put(physical, 0xe0000, bios, 0x20000);
    uint64_t found = acpi_find_rsdp(&physical->memory);
    physical_free(physical);
    return found;
}

static void find_rsdp(void **state)
{
    uint8_t *bios = calloc(1, 0x20000), ebda[1024] = {0};

    (void)state;
    assert_non_null(bios);
    assert_int_equal(search(NULL, NULL), 0);
    assert_int_equal(search(bios, ebda), 0);
    memcpy(bios + 0x1fff0, "RSD PTR ", 8); /* A05: only 16 bytes are left */
    assert_int_equal(search(bios, NULL), 0);
    put_rsdp_at(bios, 0x100, false); /* A06 */
    put_rsdp_at(bios, 0x208, true);  /* not on a 16-byte boundary */
    put_rsdp_at(bios, 0x300, true);
    put_rsdp_at(bios, 0x400, true);
    assert_int_equal(search(bios, ebda), 0xe0300);
    memcpy(ebda + 1008, "RSD PTR ", 8);
    put_rsdp_at(ebda, 976, true);
    assert_int_equal(search(bios, ebda), 0x9fc00 + 976);
    free(bios);
}

/* A19: the tables lie in memory that the map calls usable, and do not stay that. */
static void tables_are_kept(void **state)
{
    (void)state;
    make_pc();
    struct physical *physical = lay_out();
    machine_init(&m, &room);
    machine_add_memory(&m, 0x100000, 0x10000000, MEMORY_USABLE);
    assert_int_equal(acpi_read(&m, &physical->memory, RSDP), STATUS_OK);
    machine_finish(&m);
    physical_free(physical);
    for (uint32_t i = 0; i < m.memory_count; i++)
        for (unsigned j = 0; j < set.count; j++)
            if (m.memory[i].kind == MEMORY_USABLE)
                assert_true(set.places[j] < m.memory[i].base || set.places[j] >= m.memory[i].base + m.memory[i].size);
}

/* ---- \_S5 -------------------------------------------------------------------------------------------------- */

#define AML(text) text, sizeof(text) - 1

static void sleep_type(void **state)
{
    static const struct {
        const char *aml;
        unsigned size;
        int a, b;
    } rows[] = {
        {AML("\x08_S5_\x12\x06\x04\x0a\x05\x00\x00"), 5, 0},
        {AML("\x08_S5_\x12\x06\x04\x00\x00\x00\x00"), 0, 0},
        {AML("\x08_S5_\x12\x07\x02\x0b\x05\x00\x0a\x07"), 5, 7},
        {AML("\x08\\_S5_\x12\x06\x04\x01\x01\x00\x00"), 1, 1},
        {AML("\x08^^_S5_\x12\x06\x04\x01\x01\x00\x00"), 1, 1},
        {AML("\x08_S5_\x12\x47\x00\x04\x0a\x03\x0a\x04"), 3, 4},         /* PkgLength of two bytes */
        {AML("\x08_S5_\x12\xc9\x00\x00\x00\x04\x0a\x03\x0a\x04"), 3, 4}, /* and of four */
        {AML("\x08_S5_\x12\x04\x01\x0a\x05"), 5, 5},                     /* one element: the other is the same */
        {AML("\x08_S5_\x12\x08\x01\x0a\x05\x0c\x04\x00\x00"), 5, 5},
        {AML("\x08_S5_\x12\x0c\x02\x0c\x05\x00\x00\x00\x0c\x06\x00\x00\x00"), 5, 6}, /* of 32 bits, and small */
        {AML("\x08_S5_\x12\x04\x04\x0a\x09\x08_S5_\x12\x04\x04\x0a\x03"), 3, 3},     /* the first is wrong */
        {AML("\x08_S5_\x12\x04\x00\x0a\x05"), -1, -1},                               /* a package of no elements */
        {AML("\x08_S5_\x12\x03\x02\x0a\x05"), -1, -1},         /* the element runs past its package */
        {AML("\x08_S5_\x12\x07\x04\x0a\x05\x00\x00"), -1, -1}, /* and the package past its table */
        {AML("\x08_S5_\x12\x00\x04\x0a\x05\x00\x00"), -1, -1}, /* shorter than its own length */
        {AML("\x08_S5_\x12\x40\x00\x04\x0a\x03\x0a\x04"), -1, -1},
        {AML("\x08_S5_\x12\x06\x04\x0a\x09\x00\x00"), -1, -1}, /* sleep types have three bits */
        {AML("\x08_S5_\x12\x06\x04\xff\x05\x00\x00"), -1, -1},
        {AML("\x08_S5_\x10\x06\x04\x0a\x05\x00\x00"), -1, -1},       /* no package */
        {AML("\x14_S5_\x12\x06\x04\x0a\x05\x00\x00"), -1, -1},       /* no name */
        {AML("\x08\x5e\\_S5_\x12\x06\x04\x0a\x05\x00\x00"), -1, -1}, /* no prefix that there is */
        {AML("\x08_S5_\x12\x06\x04\x0d\x05\x00\x00"), -1, -1},       /* no integer */
        {AML("\x08_S5_\x12"), -1, -1},
        {AML("\x08_S5_\x12\xff"), -1, -1},
        {AML("\x08_S5_"), -1, -1},
        {AML("_S5_"), -1, -1},
        {AML("\x08_S5_\x12\x05\x04\x0a"), -1, -1},
        {AML("\x08_S5_\x12\x06\x04\x0b\x05"), -1, -1},
    };

    (void)state;
    for (unsigned i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        make_pc();
        struct table *dsdt = new_table("DSDT", 1, HEADER);
        memcpy(dsdt->bytes + HEADER, rows[i].aml, rows[i].size);
        dsdt->length += rows[i].size;
        set.entries--;
        store_le32(table("FACP")->bytes + 40, (uint32_t)(TABLES + STEP * (set.count - 1)));
        assert_int_equal(run(), STATUS_OK);
        if (m.power.sleep_type_a != rows[i].a || m.power.sleep_type_b != rows[i].b)
            fail_msg("row %u: %d %d", i, m.power.sleep_type_a, m.power.sleep_type_b);
    }
}

/* ---- What the good ones say -------------------------------------------------------------------------------- */

static void madt_entry_types(void **state)
{
    (void)state;
    make_pc();
    struct table *madt = table("APIC");
    uint8_t *nmi = entry(madt, 3, 8);
    le16(nmi + 2, 0xf);
    store_le32(nmi + 4, 9);
    uint8_t *local = entry(madt, 4, 6);
    local[2] = 0xff;
    local[5] = 1;
    uint8_t *wide = entry(madt, 0xa, 12);
    store_le32(wide + 4, 300);
    uint8_t *impossible = entry(madt, 4, 6);
    impossible[5] = 2;
    uint8_t *address = entry(madt, 5, 12);
    le64(address + 4, 0x123456000);
    lapic(madt, 4, 4, 2); /* can be brought online */
    lapic(madt, 6, 6, 0); /* an empty socket */
    run();
    assert_int_equal(m.nmi_count, 3);
    assert_int_equal(m.nmis[0].line.line, 9);
    assert_int_equal(m.nmis[0].line.trigger, TRIGGER_LEVEL);
    assert_int_equal(m.nmis[0].line.polarity, POLARITY_LOW);
    assert_int_equal(m.nmis[1].firmware_id, UINT32_MAX);
    assert_int_equal(m.nmis[2].firmware_id, 300);
    assert_true(host_log_has("MADT wires NMI to LINT2, which no local APIC has"));
    assert_true(m.local_apic == 0x123456000);
    assert_int_equal(m.cpu_count, 3);
    assert_false(m.cpus[2].enabled);
    assert_true(m.has_pic && m.has_pit && m.has_cmos);
    assert_int_equal(m.uart_count, 1);
}

static void iort_maps_compose(void **state)
{
    (void)state;
    make_arm64();
    uint8_t *smmu = table("IORT")->bytes + 72;
    store_le32(smmu + 68, 0x80); /* only streams 0x80.. reach the ITS, as devices 0x1080.. */
    store_le32(smmu + 68 + 8, 0x1080);
    run();
    const struct machine_host_bridge *bridge = &m.host_bridges[0];
    assert_int_equal(bridge->msi_map_count, 2);
    assert_int_equal(bridge->msi_map[0].input_base, 0x80);
    assert_int_equal(bridge->msi_map[0].length, 0x80);
    assert_int_equal(bridge->msi_map[0].output_base, 0x1080);
    store_le32(smmu + 68, 0x100); /* none of the streams that bus 0 has */
    run();
    assert_int_equal(bridge->msi_map_count, 1);
    assert_int_equal(bridge->msi_map[0].input_base, 0x100);
    assert_int_equal(host_log_count(LOG_WARN), 0);
    /* A count where the count less one belongs is seen by the next map's beginning. */
    make_arm64();
    store_le32(table("IORT")->bytes + 160 + 36 + 4, 0x100);
    run();
    assert_true(whole_arm64());
    /* An ITS that the MADT does not have. */
    make_arm64();
    store_le32(table("IORT")->bytes + 48 + 20, 8);
    run();
    assert_int_equal(bridge->msi_map_count, 0);
    assert_int_equal(bridge->iommu_map_count, 1);
}

static void serial_ports(void **state)
{
    (void)state;
    make_arm64();
    struct table *dbg2 = new_table("DBG2", 0, 44 + 22 + 12 + 4);
    store_le32(dbg2->bytes + 36, 44);
    store_le32(dbg2->bytes + 40, 1);
    uint8_t *device = dbg2->bytes + 44;
    le16(device + 1, 22 + 12 + 4);
    device[3] = 1;
    le16(device + 12, 0x8000);
    le16(device + 14, 0x12);
    le16(device + 18, 22);
    gas(device + 22, 0, 32, 3, 0x10000000);
    run();
    assert_int_equal(m.uart_count, 2);
    assert_int_equal(m.uarts[1].kind, UART_NS16550);
    assert_int_equal(m.uarts[1].register_shift, 2);
    assert_false(m.uarts[1].console);
    store_le32(dbg2->bytes + 36, 8); /* devices in the table's own header */
    run();
    assert_int_equal(m.uart_count, 1);
    assert_int_equal(host_log_count(LOG_WARN) + host_log_count(LOG_ERROR), 0);
    store_le32(dbg2->bytes + 36, 44);
    le16(device + 18, 0xfff0); /* an address structure beyond the table */
    run();
    assert_int_equal(m.uart_count, 1);
    assert_true(host_log_has("DBG2 names a serial port without a usable address"));
    /* SPCR on a PCI function, by IRQ of the 8259s */
    make_pc();
    struct table *spcr = new_table("SPCR", 4, 88);
    gas(spcr->bytes + 40, 1, 8, 1, 0xe000);
    spcr->bytes[52] = 1;
    spcr->bytes[53] = 11;
    le16(spcr->bytes + 64, 0x1234);
    spcr->bytes[68] = 2;
    spcr->bytes[69] = 3;
    store_le32(spcr->bytes + 76, 1843200);
    store_le32(spcr->bytes + 80, 1500000);
    run();
    assert_int_equal(m.uart_count, 1);
    assert_true(m.uarts[0].pci && m.uarts[0].console);
    assert_int_equal(m.uarts[0].pci_function, 2 << 8 | 3 << 3);
    assert_int_equal(m.uarts[0].line.line, 11);
    assert_int_equal(m.uarts[0].baud, 1500000);
}

static void ivrs_blocks(void **state)
{
    (void)state;
    struct table *ivrs = make_ivrs();
    uint8_t *ivmd = ivrs->bytes + ivrs->length;
    ivmd[0] = 0x22;
    le16(ivmd + 2, 32);
    le16(ivmd + 4, 8);
    le16(ivmd + 6, 0xf);
    le64(ivmd + 16, 0x100000);
    le64(ivmd + 24, 0x2000);
    ivrs->length += 32;
    uint8_t *same = ivrs->bytes + ivrs->length; /* the same unit once more, in the newer form */
    same[0] = 0x11;
    le16(same + 2, 44);
    le64(same + 8, 0xfed80000);
    same[40] = 1;
    ivrs->length += 44;
    run();
    assert_int_equal(m.iommu_count, 1);
    assert_true(m.iommus[0].all_devices);
    assert_int_equal(m.reserved_region_count, 1);
    assert_int_equal(m.reserved_regions[0].last, 0xf);
}

static void many_root_entries(void **state)
{
    (void)state;
    make_pc();
    while (set.entries < 140)
        set.places[set.entries++] = set.places[0];
    run();
    assert_true(host_log_has("the root table lists 140 tables; the first 128 count"));
    assert_true(whole_pc());
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(find_rsdp),        cmocka_unit_test(tables_are_kept),   cmocka_unit_test(sleep_type),
        cmocka_unit_test(madt_entry_types), cmocka_unit_test(iort_maps_compose), cmocka_unit_test(serial_ports),
        cmocka_unit_test(ivrs_blocks),      cmocka_unit_test(many_root_entries),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
