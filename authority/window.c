/*
 * window.c: DeviceMmio, the authority over a device's registers.
 *
 * A window is byte-granular: virtio-mmio slots are 0x200 apart, so several devices can share a page. In the
 * kernel's home every access goes through the checks here, so that a window may hold what is not the driver's: the
 * MSI-X table, with which a device could be made to write anywhere in memory.
 */
#include "device.h"

#include <lib/log.h>
#include <lib/malloc.h>
#include <machine/pci_reg.h>
#include <platform/mmu.h>
#include <platform/port.h>

#define PORT_SPACE_SIZE UINT64_C(0x10000)

/* ---- Where windows are ------------------------------------------------------------------------------ */

/* What a bridge forwards to others is not its own. */
static bool is_forwarded(const struct pci_function *function, unsigned index)
{
    return function->header_type == PCI_HEADER_BRIDGE && index >= PCI_BRIDGE_IO;
}

static enum status place_ports(struct device_window *place, const struct pci_bar *bar)
{
    if (!port_space_exists() || bar->size > PORT_SPACE_SIZE - bar->cpu_address)
        return STATUS_UNSUPPORTED;
    place->bounds.size = bar->size;
    place->port = (uint16_t)bar->cpu_address;
    return STATUS_OK;
}

static enum status place_memory(struct device_window *place, uint64_t physical, uint64_t size)
{
    place->bounds.size = size;
    place->registers = vm_map_device(physical, size);
    return place->registers == NULL ? STATUS_UNSUPPORTED : STATUS_OK;
}

static enum status place_pci(const struct device *device, unsigned index, struct device_window *place)
{
    const struct pci_function *function = device->function;
    const struct pci_bar *bar = &function->bars[index];

    if (bar->kind == PCI_BAR_NONE || bar->size == 0 || is_forwarded(function, index))
        return STATUS_NOT_FOUND;
    if (!bar->assigned)
        return STATUS_UNSUPPORTED;
    if (function->msix.usable && function->msix.table_bar == index) {
        place->bounds.hidden = function->msix.table_offset;
        place->bounds.hidden_end = place->bounds.hidden + function->msix.vector_count * (uint64_t)PCI_MSIX_ENTRY_SIZE;
    }
    /* The port space of arm64 and rv64 bridges is memory for the CPU. */
    return bar->kind == PCI_BAR_IO && bar->cpu_address < PORT_SPACE_SIZE
               ? place_ports(place, bar)
               : place_memory(place, bar->cpu_address, bar->size);
}

enum status device_window_place(struct device *device, unsigned index)
{
    if (index >= (device->function != NULL ? DEVICE_MAX_WINDOWS : 1u))
        return STATUS_NOT_FOUND;
    if (device->windows[index] != NULL)
        return STATUS_OK;
    struct device_window *place = calloc(1, sizeof *place);
    if (place == NULL)
        return STATUS_NO_MEMORY;
    enum status status = device->function != NULL ? place_pci(device, index, place)
                                                  : place_memory(place, device->slot->base, device->slot->size);
    if (status == STATUS_OK)
        device->windows[index] = place;
    else
        free(place);
    return status;
}

enum status device_window_open(struct device *device, unsigned index, struct register_window *window)
{
    enum status status = authority_check_owner(device);

    *window = (struct register_window){0};
    if (status == STATUS_OK)
        status = device_window_place(device, index);
    if (status != STATUS_OK)
        return status;
    *window = (struct register_window){.device = device,
                                       .size = device->windows[index]->bounds.size,
                                       .index = index,
                                       .epoch = device->ownership.epoch};
    return STATUS_OK;
}

/* ---- Access ----------------------------------------------------------------------------------------- */

const struct device_window *device_window_at(const struct device *device, unsigned index, uint64_t offset,
                                             unsigned width)
{
    const struct device_window *place = index < DEVICE_MAX_WINDOWS ? device->windows[index] : NULL;

    return place != NULL && register_bounds_admit(&place->bounds, offset, width) ? place : NULL;
}

/* Where the access goes; NULL when it may not be made now. What may not is counted and said once. */
static const struct device_window *admit(const struct register_window *window, uint64_t offset, unsigned width)
{
    struct device *device = window->device;

    if (device == NULL || authority_check(device, window->epoch) != STATUS_OK)
        return NULL;
    const struct device_window *place = device_window_at(device, window->index, offset, width);
    if (place == NULL && device->window_violations++ == 0)
        log_warn(device->name, "refused a %u-byte access at 0x%llx of window %u, which is not the driver's to touch",
                 width, (unsigned long long)offset, window->index);
    return place;
}

static uint32_t read_window(const struct register_window *window, uint64_t offset, unsigned width)
{
    const struct device_window *place = admit(window, offset, width);

    return place != NULL ? register_read(place, offset, width) : UINT32_MAX;
}

static void write_window(const struct register_window *window, uint64_t offset, unsigned width, uint32_t value)
{
    const struct device_window *place = admit(window, offset, width);

    if (place != NULL)
        register_write(place, offset, width, value);
}

uint8_t window_read8(const struct register_window *window, uint64_t offset)
{
    return (uint8_t)read_window(window, offset, 1);
}

uint16_t window_read16(const struct register_window *window, uint64_t offset)
{
    return (uint16_t)read_window(window, offset, 2);
}

uint32_t window_read32(const struct register_window *window, uint64_t offset)
{
    return read_window(window, offset, 4);
}

void window_write8(const struct register_window *window, uint64_t offset, uint8_t value)
{
    write_window(window, offset, 1, value);
}

void window_write16(const struct register_window *window, uint64_t offset, uint16_t value)
{
    write_window(window, offset, 2, value);
}

void window_write32(const struct register_window *window, uint64_t offset, uint32_t value)
{
    write_window(window, offset, 4, value);
}
