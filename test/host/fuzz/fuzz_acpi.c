/*
 * fuzz_acpi.c: bytes laid out as physical memory for acpi_read.
 *
 * Input: one byte, how many tables; for each its length (2 bytes); then the tables' bytes. A table's own length and
 * checksum fields are put right when the first byte's top bit is clear, so that mutations get past the header. The
 * rest of the input, when there is any, is memory at 0xE0000 for acpi_find_rsdp.
 */
#include <machine/readers.h>
#include <lib/bytes.h>
#include "host_log.h"
#include "physical.h"
#include <assert.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { TABLES_AT = 0x100000, STEP = 0x10000, HEADER = 36 };

static void right_checksum(uint8_t *table, size_t size)
{
    uint8_t sum = 0;

    table[9] = 0;
    for (size_t i = 0; i < size; i++)
        sum = (uint8_t)(sum + table[i]);
    table[9] = (uint8_t)-sum;
}

static void put_root(struct physical *physical, unsigned count)
{
    uint8_t rsdp[20] = "RSD PTR ", rsdt[HEADER + 4 * 127] = "RSDT";
    uint8_t sum = 0;

    store_le32(rsdt + 4, HEADER + 4 * count);
    for (unsigned i = 0; i < count; i++)
        store_le32(rsdt + HEADER + 4 * i, TABLES_AT + STEP * i);
    right_checksum(rsdt, HEADER + 4 * count);
    store_le32(rsdp + 16, 0x2000);
    for (size_t i = 0; i < sizeof rsdp; i++)
        sum = (uint8_t)(sum + rsdp[i]);
    rsdp[8] = (uint8_t)-sum;
    physical_put(physical, 0x1000, rsdp, sizeof rsdp);
    physical_put(physical, 0x2000, rsdt, HEADER + 4 * count);
}

static void put_tables(struct physical *physical, const uint8_t **data, size_t *size)
{
    unsigned count = **data & 0x7f;
    bool right = (**data & 0x80) == 0;
    const uint8_t *lengths = *data + 1;

    if (*size < 1 + 2 * (size_t)count)
        return;
    put_root(physical, count);
    *data += 1 + 2 * count;
    *size -= 1 + 2 * count;
    for (unsigned i = 0; i < count; i++) {
        size_t length = load_le16(lengths + 2 * i);
        length = length < *size ? length : *size;
        uint8_t *table = physical_put(physical, TABLES_AT + STEP * i, *data, length);
        if (right && length >= HEADER) {
            store_le32(table + 4, (uint32_t)length);
            if (memcmp(table, "FACP", 4) == 0 && length >= 148) { /* its DSDT is the table behind it */
                store_le32(table + 140, TABLES_AT + STEP * (i + 1));
                store_le32(table + 144, 0);
            }
            right_checksum(table, length);
        }
        *data += length;
        *size -= length;
    }
}

static void check(const struct machine *machine)
{
    for (uint32_t i = 0; i < machine->memory_count; i++) {
        const struct memory_range *range = &machine->memory[i];
        assert(range->size != 0 && range->base % 4096 == 0 && range->size % 4096 == 0);
        assert(i == 0 || machine->memory[i - 1].base + machine->memory[i - 1].size <= range->base);
    }
    for (uint32_t i = 0; i < machine->host_bridge_count; i++)
        for (uint32_t j = 0; j < machine->host_bridges[i].iommu_map_count; j++)
            assert(machine->host_bridges[i].iommu_map[j].target < machine->iommu_count);
    for (uint32_t i = 0; i < machine->iommu_scope_count; i++)
        assert(machine->iommu_scopes[i].iommu < machine->iommu_count);
    for (uint32_t i = 0; i < machine->plic_count; i++)
        assert(machine->plics[i].first_context + machine->plics[i].context_count <= machine->context_count);
    for (uint32_t i = 0; i < machine->context_count; i++)
        assert(machine->contexts[i].cpu < machine->cpu_count);
    assert(memchr(machine->model, 0, sizeof machine->model) != NULL);
}

static void discard(struct printer *printer, const char *text, size_t length)
{
    (void)printer;
    assert(memchr(text, 0, length) == NULL);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct physical *physical = physical_make();
    static struct machine_room room;
    struct machine *machine = malloc(sizeof *machine);
    struct printer printer = {.write = discard};

    if (size != 0 && machine != NULL) {
        put_tables(physical, &data, &size);
        if (size != 0 && size <= 0x20000) {
            uint8_t *area = physical_put(physical, 0xe0000, data, size);
            area = realloc(physical->pieces[physical->piece_count - 1].bytes, 0x20000);
            assert(area != NULL);
            memset(area + size, 0, 0x20000 - size);
            physical->pieces[physical->piece_count - 1].bytes = area;
            physical->pieces[physical->piece_count - 1].size = 0x20000;
        }
        machine_init(machine, &room);
        machine_add_memory(machine, 0x10000000, 0x10000000, MEMORY_USABLE);
        acpi_read(machine, &physical->memory, 0x1000);
        uint64_t found = acpi_find_rsdp(&physical->memory);
        if (found != 0)
            acpi_read(machine, &physical->memory, found);
        machine_finish(machine);
        check(machine);
        machine_report(machine, &printer);
        machine_report_json(machine, &printer);
    }
    host_log_clear();
    free(machine);
    physical_free(physical);
    return 0;
}
