/*
 * fuzz_acpi_s5.c: bytes as a definition block (DSDT or SSDT), header and all, for what is read from AML.
 *
 * The views have exactly the bytes of the input, so that the sanitizer sees a scan that goes one further.
 */
#include <machine/add.h>
#include <machine/acpi_table.h>
#include "host_log.h"
#include <assert.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(const struct machine *machine, bool found)
{
    const struct machine_power *power = &machine->power;

    assert(found == (power->sleep_type_a >= 0));
    assert(power->sleep_type_a <= 7 && power->sleep_type_b <= 7);
    assert(!found || power->sleep_type_b >= 0);
    assert(machine->virtio_slot_count <= MACHINE_MAX_VIRTIO_SLOTS);
    for (uint32_t i = 0; i < machine->virtio_slot_count; i++) {
        const struct machine_virtio_slot *slot = &machine->virtio_slots[i];
        assert(slot->base != 0 && slot->size >= 0x100 && slot->size <= 0x10000);
        assert(slot->base + slot->size > slot->base);
    }
    for (uint32_t i = 0; i < machine->host_bridges[0].window_count; i++) {
        const struct machine_pci_window *window = &machine->host_bridges[0].windows[i];
        assert(machine_range_valid(window->bus_address, window->size));
        assert(machine_range_valid(window->cpu_address, window->size));
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct machine_room room;
    struct machine *machine = malloc(sizeof *machine);
    uint8_t *copy = malloc(size != 0 ? size : 1);

    if (machine != NULL && copy != NULL && size <= 1 << 20) {
        memcpy(copy, data, size);
        machine_init(machine, &room);
        machine_add_host_bridge(machine, 0, 0, 255, 0xb0000000);
        struct acpi_view table = {.bytes = copy, .length = (uint32_t)size};
        bool found = acpi_find_sleep_type(machine, table);
        acpi_read_devices(machine, table);
        check(machine, found);
        machine_finish(machine);
    }
    host_log_clear();
    free(copy);
    free(machine);
    return 0;
}
