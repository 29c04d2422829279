/*
 * discover.c: runs the readers that fit how the machine was booted, in the order of what knows most.
 */
#include "kernel.h"
#include "options.h"
#include "log.h"

#include <lib/string.h>
#include <lib/text.h>
#include <machine/readers.h>
#include <machine/fw_cfg.h>
#include <memory/memory.h>

struct machine machine;

static const void *map_tables(const struct physical_memory *memory, uint64_t address, uint64_t length)
{
    (void)memory;
    return vm_map_tables(address, length);
}

static const struct physical_memory tables = {.map = map_tables};

static void read_device_tree(uint64_t address)
{
    const void *header = vm_map_tables(address, 40);
    uint32_t size = header != NULL ? fdt_total_size(header) : 0;
    const void *blob = size != 0 ? vm_map_tables(address, size) : NULL;

    if (blob == NULL) {
        log_error("discover", "no device tree at 0x%llx, where the bootloader says it is", (unsigned long long)address);
        return;
    }
    machine_add_memory(&machine, address, size, MEMORY_TABLES);
    if (fdt_read(&machine, blob, size) != STATUS_OK)
        log_error("discover", "the device tree at 0x%llx could not be used", (unsigned long long)address);
    if (options.level == LOG_DEBUG)
        fdt_print(blob, size, &console_printer);
}

static void read_pvh(uint64_t start_info)
{
    uint64_t rsdp = 0;

    if (pvh_read(&machine, &tables, start_info, &rsdp) != STATUS_OK)
        log_error("discover", "the PVH start info at 0x%llx could not be used", (unsigned long long)start_info);
    if (rsdp == 0)
        rsdp = acpi_find_rsdp(&tables);
    if (rsdp == 0)
        log_warn("discover", "this machine has no ACPI tables");
    else if (acpi_read(&machine, &tables, rsdp) != STATUS_OK)
        log_error("discover", "the ACPI tables could not be used");
}

void discover_machine(const struct boot_info *boot)
{
    machine_init(&machine);
    if (boot->protocol == BOOT_PVH)
        read_pvh(boot->argument);
    else if (boot->argument != 0)
        read_device_tree(boot->argument);
    else
        log_error("discover", "the bootloader passed no device tree; nothing is known of this machine");
    options_read(machine.command_line);
    options_read_machine(&machine, machine.command_line);
    machine_add_memory(&machine, boot->image_physical, (uint64_t)(image_end - image_start), MEMORY_KERNEL);
    machine_finish(&machine);
}
