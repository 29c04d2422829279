/*
 * revoke.c: how the ownership of a device begins and ends.
 *
 * Whatever ends it, the order is one: the gate closes, interrupts end, DMA stops at the source and that is
 * read back, and only then does memory leave the device. What could not be confirmed stays out of use.
 */
#include "device.h"

#include <lib/log.h>
#include <lib/malloc.h>

enum status authority_check(struct device *device, uint32_t epoch)
{
    if (device->state == DEVICE_CLAIMED && device->epoch == epoch)
        return STATUS_OK;
    device->stale_uses++;
    return STATUS_REVOKED;
}

enum status device_claim(struct device *device)
{
    if (device->state != DEVICE_FREE)
        return device->state == DEVICE_QUARANTINED ? STATUS_DENIED : STATUS_BUSY;
    if (device->function != NULL) {
        enum status status = msix_open(&device->msix, device->function, device->access);
        if (status != STATUS_OK)
            return status;
        bool messages = msix_available(&device->msix) && controller_has_messages();
        device->interrupt_count = messages ? msix_vector_count(&device->msix) : 1;
    } else {
        device->interrupt_count = 1;
    }
    if (device->interrupt_count > DEVICE_MAX_INTERRUPTS)
        device->interrupt_count = DEVICE_MAX_INTERRUPTS;
    device->interrupts = calloc(device->interrupt_count, sizeof *device->interrupts);
    if (device->interrupts == NULL) {
        device->interrupt_count = 0;
        return STATUS_NO_MEMORY;
    }
    device->state = DEVICE_CLAIMED;
    device->failed = false;
    return STATUS_OK;
}

static bool stop_dma(struct device *device)
{
    if (device->function == NULL)
        return device_mmio_reset(device);
    return msix_bus_master(&device->msix, false);
}

void device_revoke(struct device *device, const char *reason)
{
    if (device->state != DEVICE_CLAIMED)
        return;
    device->state = DEVICE_REVOKING;
    log_debug(device->name, "ownership epoch %u ends: %s", device->epoch, reason);
    device_interrupts_end(device);
    bool confirmed = stop_dma(device);
    device_dma_end(device, confirmed);
    device->block = NULL;
    device->nic = NULL;
    device->entropy = NULL;
    device->epoch++;
    device->state = confirmed ? DEVICE_FREE : DEVICE_QUARANTINED;
    if (!confirmed)
        log_error(device->name,
                  "did not confirm that its DMA has stopped; it is quarantined until the machine restarts");
}
