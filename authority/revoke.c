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
    enum status status = ownership_admits(&device->ownership, epoch);

    if (status != STATUS_OK)
        device->stale_uses++;
    return status;
}

enum status authority_check_owner(struct device *device)
{
    return authority_check(device, device->ownership.epoch);
}

void device_unpublish(struct device *device)
{
    device->blocks = NULL;
    device->nic = NULL;
    device->entropy = NULL;
}

/* Messages count only where the machine can deliver them; otherwise there is one interrupt, by wire or timer. */
static unsigned count_interrupts(const struct device *device)
{
    unsigned count = 1;

    if (device->function != NULL && msix_available(&device->msix) && controller_has_messages())
        count = msix_vector_count(&device->msix);
    return count < DEVICE_MAX_INTERRUPTS ? count : DEVICE_MAX_INTERRUPTS;
}

enum status device_claim(struct device *device)
{
    struct ownership claimed = device->ownership;
    enum status status = ownership_step(&claimed, OWNERSHIP_CLAIM);

    if (status == STATUS_OK && device->function != NULL)
        status = msix_open(&device->msix, device->function, device->access);
    if (status != STATUS_OK)
        return status;
    unsigned count = count_interrupts(device);
    device->interrupts = calloc(count, sizeof *device->interrupts);
    if (device->interrupts == NULL) {
        if (device->function != NULL)
            msix_bus_master(&device->msix, false);
        return STATUS_NO_MEMORY;
    }
    device->interrupt_count = count;
    device->failed = device->woken = false;
    device->ownership = claimed;
    return STATUS_OK;
}

/* What the function has asked of memory may still be under way when it can ask for no more
 * [PCI Express Base 6.0 §7.5.3.5, Transactions Pending]. */
static bool transactions_done(const struct device *device)
{
    enum { DEVICE_STATUS = 0x0a, PENDING = 1 << 5, TRIES_MS = 100 };
    unsigned capability = device->function->express;

    for (unsigned tried = 0; capability != 0; tried++) {
        uint32_t status =
            device->access->read(device->access, device->function->where, capability + (unsigned)DEVICE_STATUS, 2);
        if ((status & PENDING) == 0)
            break;
        if (tried == TRIES_MS)
            return false;
        clock_spin(NANOSECONDS_PER_MILLISECOND);
    }
    return true;
}

/* The reset is tried in any case. It comes last: without it the device would go on where it was as soon as the next
 * owner makes it bus master. */
static bool stop_dma(struct device *device)
{
    bool stopped = device->function == NULL || (msix_bus_master(&device->msix, false) && transactions_done(device));

    return device_reset(device) && stopped;
}

void device_revoke(struct device *device, const char *reason)
{
    if (ownership_step(&device->ownership, OWNERSHIP_REVOKE) != STATUS_OK)
        return;
    log_debug(device->name, "ownership epoch %u ends: %s", device->ownership.epoch, reason);
    device_unpublish(device);
    device_interrupts_end(device);
    bool confirmed = stop_dma(device);
    device_dma_end(device, confirmed);
    ownership_step(&device->ownership, confirmed ? OWNERSHIP_FREE : OWNERSHIP_QUARANTINE);
    if (!confirmed)
        log_error(device->name,
                  "did not confirm that its DMA has stopped; it is quarantined until the machine restarts");
}
