/*
 * discover.c: runs the readers that fit how the machine was booted, in the order of what knows most.
 */
#include "kernel.h"
#include "options.h"
#include "log.h"

#include <lib/malloc.h>
#include <lib/string.h>
#include <machine/add.h>
#include <machine/fw_cfg.h>
#include <machine/readers.h>
#include <memory/memory.h>
#include <platform/cpu.h>
#include <platform/port.h>

static struct machine_room room;

static const void *map_tables(const struct physical_memory *memory, uint64_t address, uint64_t length)
{
    (void)memory;
    return vm_map_tables(address, length);
}

static const struct physical_memory tables = {.map = map_tables};

/* The tree that we were booted with; it stays mapped. */
static const void *boot_tree;
static size_t boot_tree_size;

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
    if (fdt_read(&machine, blob, size) != STATUS_OK) {
        log_error("discover", "the device tree at 0x%llx could not be used", (unsigned long long)address);
        return;
    }
    boot_tree = blob;
    boot_tree_size = size;
}

void discover_print(void)
{
    if (options.level != LOG_DEBUG)
        return;
    if (boot_tree != NULL)
        fdt_print(boot_tree, boot_tree_size, &console_printer);
    else /* no tree: what the tables said */
        machine_report(&machine, &console_printer);
}

static void read_acpi(uint64_t rsdp)
{
    if (acpi_read(&machine, &tables, rsdp) != STATUS_OK)
        log_error("discover", "the ACPI tables could not be used");
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
    else
        read_acpi(rsdp);
}

static void read_efi(uint64_t address)
{
    struct efi_handoff handoff;

    if (efi_take(&tables, address, &handoff) != STATUS_OK) {
        log_error("discover", "nothing that the EFI stub would leave is at 0x%llx", (unsigned long long)address);
        return;
    }
    firmware_cost = (struct firmware_cost){.calls = handoff.firmware_calls, .ticks = handoff.firmware_ticks};
    if (handoff.device_tree != 0)
        read_device_tree(handoff.device_tree);
    if (efi_read(&machine, &tables, address, &handoff) != STATUS_OK)
        log_error("discover", "the firmware's memory map could not be used");
    if (!machine.has_device_tree && handoff.rsdp != 0)
        read_acpi(handoff.rsdp);
    else if (!machine.has_device_tree)
        log_warn("discover", "this firmware has neither ACPI tables nor a device tree");
    memset(&handoff, 0, sizeof handoff); /* the seed is nobody else's */
}

/* ---- QEMU's microvm keeps in fw_cfg what its ACPI tables do not say: PCI windows, INTx routes, slots ---- */

static uint8_t fw_cfg_read8(const struct fw_cfg_access *access, unsigned offset)
{
    (void)access;
    return port_read8((uint16_t)(FW_CFG_PORT + offset));
}

static void fw_cfg_write16(const struct fw_cfg_access *access, unsigned offset, uint16_t value)
{
    (void)access;
    port_write16((uint16_t)(FW_CFG_PORT + offset), value);
}

static void fw_cfg_write32(const struct fw_cfg_access *access, unsigned offset, uint32_t value)
{
    (void)access;
    port_write32((uint16_t)(FW_CFG_PORT + offset), value);
}

static void read_fw_cfg_tree(uint8_t *work)
{
    const struct fw_cfg_access access = {.ports = true,
                                         .read8 = fw_cfg_read8,
                                         .write16 = fw_cfg_write16,
                                         .write32 = fw_cfg_write32,
                                         .work = work,
                                         .work_physical = virtual_to_physical(work),
                                         .work_size = PAGE_SIZE};
    struct fw_cfg device;
    uint32_t size = 0;

    if (fw_cfg_open(&device, &access) != STATUS_OK || fw_cfg_read_tree(&device, NULL, 0, &size) != STATUS_NO_MEMORY)
        return;
    void *tree = malloc(size);
    if (tree == NULL || fw_cfg_read_tree(&device, tree, size, &size) != STATUS_OK ||
        fdt_read(&machine, tree, size) != STATUS_OK)
        log_error("discover", "fw_cfg has a device tree of %u bytes that could not be used", size);
    else if (options.level == LOG_DEBUG)
        fdt_print(tree, size, &console_printer);
    free(tree);
}

/* A PC whose tables name no ECAM (i440fx, some clouds) has configuration space behind ports 0xCF8 and 0xCFC; the
 * address register keeps what is written to it [PCI Local Bus 3.0 §3.2.2.3.2]. */
static void look_for_pci_ports(void)
{
    const uint32_t enable = UINT32_C(1) << 31;

    port_write32(0xcf8, enable);
    if (port_read32(0xcf8) != enable)
        return;
    struct machine_host_bridge *bridge = machine_add_host_bridge(&machine, 0, 0, 255, 0);
    if (bridge != NULL)
        bridge->firmware_configured = true;
}

void discover_more(const struct boot_info *boot)
{
    uint8_t *work = NULL;

    if (machine.host_bridge_count != 0)
        return;
    if (boot->protocol == BOOT_PVH && (work = pages_allocate(0)) != NULL) {
        read_fw_cfg_tree(work);
        pages_free(work, 0);
    }
    if (machine.host_bridge_count == 0 && port_space_exists() && !machine.power.hardware_reduced)
        look_for_pci_ports();
    machine_finish(&machine);
}

void discover_machine(const struct boot_info *boot)
{
    machine_init(&machine, &room);
    if (boot->protocol == BOOT_PVH)
        read_pvh(boot->argument);
    else if (boot->protocol == BOOT_EFI)
        read_efi(boot->argument);
    else if (boot->argument != 0)
        read_device_tree(boot->argument);
    else
        log_error("discover", "the bootloader passed no device tree; nothing is known of this machine");
    if (machine.cpu_count == 0) { /* nothing lists CPUs: there is the one that runs this */
        struct machine_cpu *cpu = machine_add_cpu(&machine, boot->boot_cpu);
        cpu->enabled = true;
    }
    options_read(machine.command_line);
    options_read_machine(&machine, machine.command_line);
    machine_add_memory(&machine, boot->image_physical, (uint64_t)(image_end - image_start), MEMORY_KERNEL);
    machine_finish(&machine);
}

static void *keep(const void *array, uint32_t count, size_t size)
{
    void *kept = malloc(count * size);

    if (kept == NULL && count != 0)
        panic("no memory to keep what is known of the machine");
    if (kept != NULL)
        memcpy(kept, array, count * size);
    return kept;
}

void discover_done(void)
{
    machine.cpus = keep(machine.cpus, machine.cpu_count, sizeof machine.cpus[0]);
    machine.memory = keep(machine.memory, machine.memory_count, sizeof machine.memory[0]);
    machine.memory_nodes = keep(machine.memory_nodes, machine.memory_node_count, sizeof machine.memory_nodes[0]);
    machine.contexts = keep(machine.contexts, machine.context_count, sizeof machine.contexts[0]);
    machine.host_bridges = keep(machine.host_bridges, machine.host_bridge_count, sizeof machine.host_bridges[0]);
    machine.virtio_slots = keep(machine.virtio_slots, machine.virtio_slot_count, sizeof machine.virtio_slots[0]);
    machine.iommus = keep(machine.iommus, machine.iommu_count, sizeof machine.iommus[0]);
    machine.iommu_scopes = keep(machine.iommu_scopes, machine.iommu_scope_count, sizeof machine.iommu_scopes[0]);
}
