/*
 * test_fw_cfg.c: the protocol of QEMU's firmware configuration device, against a model of it (both register
 * layouts, with and without DMA) and against devices that lie. The whole-system tests meet QEMU's own.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "host_log.h"
#include <lib/bytes.h>
#include <machine/fw_cfg.h>
#include <machine/readers.h>

enum { WORK_PHYSICAL = 0x12345000, FILES = 3 };

/* What the device is to do wrong. */
enum fault { FAULT_NONE, FAULT_ERROR, FAULT_SILENT, FAULT_MANY_FILES, FAULT_OVERSIZED_TREE };

static struct device {
    bool ports, dma_offered;
    enum fault fault;
    const uint8_t *tree;
    uint32_t tree_size;
    uint16_t key;
    uint32_t position;
    uint32_t dma_high;
    unsigned byte_reads, transfers;
    uint8_t work[256];
} model;

static uint8_t item_byte(uint16_t key, uint32_t position)
{
    static const char *const names[FILES] = {"bootorder", "etc/smbios/smbios-tables", "etc/fdt"};

    if (key == 0)
        return position < 4 ? (uint8_t) "QEMU"[position] : 0;
    if (key == 1)
        return position == 0 ? (model.dma_offered ? 3 : 1) : 0;
    if (key == 0x19) {
        uint8_t directory[4 + FILES * 64] = {0};
        store_be32(directory, model.fault == FAULT_MANY_FILES ? 0xffffffff : FILES);
        for (unsigned i = 0; i < FILES; i++) {
            store_be32(directory + 4 + i * 64, i == 2 ? model.tree_size : 11);
            store_be16(directory + 8 + i * 64, (uint16_t)(0x20 + i));
            strcpy((char *)directory + 12 + i * 64, names[i]);
        }
        return position < sizeof directory ? directory[position] : 0;
    }
    if (key == 0x22 && position < model.tree_size)
        return model.tree[position];
    return 0;
}

static void select_item(uint16_t key)
{
    model.key = key;
    model.position = 0;
}

static uint8_t read8(const struct fw_cfg_access *access, unsigned offset)
{
    assert_int_equal(offset, access->ports ? 1 : 0);
    model.byte_reads++;
    return item_byte(model.key, model.position++);
}

static void write16(const struct fw_cfg_access *access, unsigned offset, uint16_t value)
{
    assert_int_equal(offset, access->ports ? 0 : 8);
    select_item(access->ports ? value : (uint16_t)(value << 8 | value >> 8));
}

static void run_transfer(uint64_t where)
{
    assert_int_equal(where, WORK_PHYSICAL);
    uint32_t control = load_be32(model.work), length = load_be32(model.work + 4);
    uint64_t target = load_be64(model.work + 8);

    model.transfers++;
    if (model.fault == FAULT_SILENT)
        return;
    if (model.fault == FAULT_ERROR) {
        store_be32(model.work, 1);
        return;
    }
    if ((control & 8) != 0)
        select_item((uint16_t)(control >> 16));
    if ((control & 4) != 0)
        model.position += length;
    if ((control & 2) != 0) {
        assert_true(target >= WORK_PHYSICAL + 16 && target + length <= WORK_PHYSICAL + sizeof model.work);
        for (uint32_t i = 0; i < length; i++)
            model.work[target - WORK_PHYSICAL + i] = item_byte(model.key, model.position++);
    }
    store_be32(model.work, 0);
}

static void write32(const struct fw_cfg_access *access, unsigned offset, uint32_t value)
{
    unsigned dma = access->ports ? 4 : 16;
    uint8_t bytes[4];

    store_le32(bytes, value); /* as they go over the bus */
    if (offset == dma) {
        model.dma_high = load_be32(bytes);
    } else {
        assert_int_equal(offset, dma + 4);
        run_transfer((uint64_t)model.dma_high << 32 | load_be32(bytes));
    }
}

static struct fw_cfg_access make(bool ports, bool dma)
{
    static uint8_t padded[64 << 10];
    FILE *seed = fopen("test/host/fuzz/corpus/fdt/microvm-devices.dtb", "rb");

    assert_non_null(seed);
    memset(padded, 0, sizeof padded);
    assert_true(fread(padded, 1, sizeof padded, seed) > 40);
    fclose(seed);
    store_be32(padded + 4, sizeof padded); /* as QEMU pads it */
    memset(&model, 0, sizeof model);
    model.ports = ports;
    model.dma_offered = dma;
    model.tree = padded;
    model.tree_size = sizeof padded;
    host_log_clear();
    return (struct fw_cfg_access){.ports = ports,
                                  .read8 = read8,
                                  .write16 = write16,
                                  .write32 = write32,
                                  .work = model.work,
                                  .work_physical = WORK_PHYSICAL,
                                  .work_size = sizeof model.work};
}

static void reads_the_tree(void **state)
{
    (void)state;
    for (unsigned variant = 0; variant < 4; variant++) {
        struct fw_cfg_access access = make(variant % 2 != 0, variant / 2 != 0);
        static struct machine machine;
        static struct machine_room room;
        struct fw_cfg device;
        uint32_t size = 0;

        assert_int_equal(fw_cfg_open(&device, &access), STATUS_OK);
        assert_int_equal(device.dma, variant / 2 != 0);
        assert_int_equal(fw_cfg_read_tree(&device, NULL, 0, &size), STATUS_NO_MEMORY);
        assert_in_range(size, 1000, 2000); /* not the 64 KiB it claims */
        uint8_t *tree = malloc(size);
        assert_int_equal(fw_cfg_read_tree(&device, tree, size, &size), STATUS_OK);
        assert_int_equal(fdt_total_size(tree), size);
        machine_init(&machine, &room);
        assert_int_equal(fdt_read(&machine, tree, size), STATUS_OK);
        assert_int_equal(machine.virtio_slot_count, 2);
        assert_int_equal(host_log_count(LOG_WARN), 0);
        if (device.dma) /* only signature and features go through the data register */
            assert_int_equal(model.byte_reads, 8);
        free(tree);
    }
}

static void bounds_a_read(void **state)
{
    struct fw_cfg_access access = make(true, true);
    struct fw_cfg device;
    struct fw_cfg_file file;
    uint8_t bytes[16];

    (void)state;
    assert_int_equal(fw_cfg_open(&device, &access), STATUS_OK);
    assert_int_equal(fw_cfg_find(&device, "etc/nothing", &file), STATUS_NOT_FOUND);
    assert_int_equal(fw_cfg_find(&device, "bootorder", &file), STATUS_OK);
    assert_int_equal(file.key, 0x20);
    assert_int_equal(file.size, 11);
    assert_int_equal(fw_cfg_read(&device, &file, 0, bytes, 11), STATUS_OK);
    assert_int_equal(fw_cfg_read(&device, &file, 0, bytes, 12), STATUS_OUT_OF_RANGE);
    assert_int_equal(fw_cfg_read(&device, &file, 11, bytes, 0), STATUS_OK);
    assert_int_equal(fw_cfg_read(&device, &file, 12, bytes, 0), STATUS_OUT_OF_RANGE);
    assert_int_equal(fw_cfg_read(&device, &file, 0xffffffff, bytes, 2), STATUS_OUT_OF_RANGE);
}

static uint8_t all_ones(const struct fw_cfg_access *access, unsigned offset)
{
    (void)access;
    (void)offset;
    return 0xff;
}

static void nobody_answers(void **state)
{
    struct fw_cfg_access access = make(true, true);
    struct fw_cfg device;

    (void)state;
    access.read8 = all_ones;
    assert_int_equal(fw_cfg_open(&device, &access), STATUS_NOT_FOUND);
}

static void lying_devices(void **state)
{
    static const struct {
        enum fault fault;
        enum status expected;
        const char *sentence;
    } cases[] = {
        {FAULT_ERROR, STATUS_DEVICE_FAULT, "the device refuses a transfer of 4 bytes"},
        {FAULT_SILENT, STATUS_TIMED_OUT, "the device does not finish a transfer of 4 bytes"},
        {FAULT_MANY_FILES, STATUS_NO_MEMORY, "the directory claims 4294967295 files; 256 are looked at"},
        {FAULT_OVERSIZED_TREE, STATUS_INVALID, "etc/fdt, 65536 bytes, is no device tree of that size"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct fw_cfg_access access = make(i % 2 != 0, true);
        struct fw_cfg device;
        uint32_t size;

        assert_int_equal(fw_cfg_open(&device, &access), STATUS_OK);
        model.fault = cases[i].fault;
        if (model.fault == FAULT_OVERSIZED_TREE)
            store_be32((uint8_t *)(uintptr_t)model.tree + 4, 0xffffffff);
        assert_int_equal(fw_cfg_read_tree(&device, NULL, 0, &size), cases[i].expected);
        assert_true(host_log_has(cases[i].sentence));
    }
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_the_tree),
        cmocka_unit_test(bounds_a_read),
        cmocka_unit_test(nobody_answers),
        cmocka_unit_test(lying_devices),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
