/*
 * window.c: DeviceMmio, the authority over a device's registers.
 *
 * A window is byte-granular: virtio-mmio slots are 0x200 apart, so several devices can share a page. In the
 * kernel's home every access goes through the checks here; the backend word is the window's own index.
 */
#include "device.h"

#include <lib/log.h>
#include <platform/mmu.h>
#include <platform/port.h>

static enum status window_place_pci(struct device *device, unsigned index, uint64_t *size)
{
    const struct pci_bar *bar = &device->function->bars[index];
    struct device_window *place = &device->windows[index];

    if (bar->kind == PCI_BAR_NONE || bar->size == 0)
        return STATUS_NOT_FOUND;
    if (!bar->assigned)
        return STATUS_UNSUPPORTED;
    *size = bar->size;
    if (bar->kind != PCI_BAR_IO || device->bridge->ecam != 0) {
        /* Port space behind ECAM bridges of arm64 and rv64 is memory for the CPU; on x64 it is real ports. */
        if (bar->kind != PCI_BAR_IO || !port_space_exists()) {
            if (place->registers == NULL)
                place->registers = vm_map_device(bar->cpu_address, bar->size);
            return place->registers == NULL ? STATUS_UNSUPPORTED : STATUS_OK;
        }
    }
    if (!port_space_exists() || bar->cpu_address + bar->size > 0x10000)
        return STATUS_UNSUPPORTED;
    place->is_port = true;
    place->port = (uint16_t)bar->cpu_address;
    return STATUS_OK;
}

static enum status window_place_slot(struct device *device, unsigned index, uint64_t *size)
{
    if (index != 0)
        return STATUS_NOT_FOUND;
    *size = device->slot->size;
    if (device->windows[0].registers == NULL)
        device->windows[0].registers = vm_map_device(device->slot->base, device->slot->size);
    return device->windows[0].registers == NULL ? STATUS_UNSUPPORTED : STATUS_OK;
}

enum status device_window_open(struct device *device, unsigned index, struct register_window *window)
{
    enum status status = authority_check(device, device->epoch);
    uint64_t size = 0;

    *window = (struct register_window){0};
    if (status != STATUS_OK)
        return status;
    if (index >= DEVICE_MAX_WINDOWS)
        return STATUS_NOT_FOUND;
    status =
        device->function != NULL ? window_place_pci(device, index, &size) : window_place_slot(device, index, &size);
    if (status == STATUS_OK)
        *window = (struct register_window){
            .device = device, .size = size, .index = index, .epoch = device->epoch, .backend = index};
    return status;
}

/* Whether [offset, +width) of the window may be touched now; what may not is counted and said once. */
static bool window_admits(const struct register_window *window, uint64_t offset, unsigned width)
{
    struct device *device = window->device;

    if (device == NULL || authority_check(device, window->epoch) != STATUS_OK)
        return false;
    if (offset % width == 0 && offset < window->size && window->size - offset >= width)
        return true;
    if (device->window_violations++ == 0)
        log_warn(device->name, "refused a %u-byte access at 0x%llx of window %u, which has 0x%llx bytes", width,
                 (unsigned long long)offset, window->index, (unsigned long long)window->size);
    return false;
}

static const struct device_window *window_place(const struct register_window *window)
{
    return &window->device->windows[window->backend];
}

/* One reader and one writer for each width: the same text three times would drift. */
#define WINDOW_ACCESSORS(bits)                                                                                         \
    uint##bits##_t window_read##bits(const struct register_window *window, uint64_t offset)                            \
    {                                                                                                                  \
        if (!window_admits(window, offset, bits / 8))                                                                  \
            return (uint##bits##_t)UINT32_MAX;                                                                         \
        const struct device_window *place = window_place(window);                                                      \
        if (place->is_port)                                                                                            \
            return port_read##bits((uint16_t)(place->port + offset));                                                  \
        return *(volatile uint##bits##_t *)(place->registers + offset);                                                \
    }                                                                                                                  \
    void window_write##bits(const struct register_window *window, uint64_t offset, uint##bits##_t value)               \
    {                                                                                                                  \
        if (!window_admits(window, offset, bits / 8))                                                                  \
            return;                                                                                                    \
        const struct device_window *place = window_place(window);                                                      \
        if (place->is_port)                                                                                            \
            port_write##bits((uint16_t)(place->port + offset), value);                                                 \
        else                                                                                                           \
            *(volatile uint##bits##_t *)(place->registers + offset) = value;                                           \
    }

WINDOW_ACCESSORS(8)
WINDOW_ACCESSORS(16)
WINDOW_ACCESSORS(32)

bool device_mmio_reset(struct device *device)
{
    enum { VIRTIO_MMIO_STATUS = 0x70 }; /* [virtio 1.2 §4.2.2] */
    volatile uint8_t *registers = device->windows[0].registers;

    if (registers == NULL)
        return true; /* never opened: nobody ever gave it an address */
    volatile uint32_t *status = (volatile uint32_t *)(registers + VIRTIO_MMIO_STATUS);
    *status = 0;
    uint64_t deadline = clock_now() + 100 * NANOSECONDS_PER_MILLISECOND;
    while (*status != 0)
        if (clock_now() >= deadline)
            return false;
    return true;
}
