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

/* Puts the function into service. What firmware left running still has the addresses that firmware gave it: it is
 * reset before it may reach memory again. */
static enum status open_function(struct device *device)
{
    if (device->gone)
        return STATUS_NOT_FOUND;
    enum status status = msix_open(&device->msix, device->function, device->access);
    if (status != STATUS_OK)
        return status;
    if (device->left_running) {
        bool reset = device_class_reset(device);
        if (device_has_function_reset(device) && (!reset || !device_has_class_reset(device)))
            reset = device_function_reset(device);
        if (!reset) {
            log_error(device->name, "was left running by firmware and does not reset; it is not used");
            return STATUS_DEVICE_FAULT;
        }
        log_debug(device->name, "was left running by firmware and is reset");
        device->left_running = false;
    }
    device_forget_errors(device); /* whoever made them, it was before this owner */
    bool master = msix_bus_master(&device->msix, true);
    if (device_is_absent(device)) { /* all ones look like every switch that is on */
        device_mark_gone(device);
        return STATUS_NOT_FOUND;
    }
    if (master)
        return STATUS_OK;
    log_error(device->name, "cannot become bus master; it is not used");
    return STATUS_DEVICE_FAULT;
}

enum status device_claim(struct device *device)
{
    struct ownership claimed = device->ownership;
    enum status status = ownership_step(&claimed, OWNERSHIP_CLAIM);

    if (status == STATUS_OK && device->function != NULL)
        status = open_function(device);
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

/* The resets are tried in any case. They come last: without them the device would go on where it was as soon as the
 * next owner makes it bus master. With no owner to follow, it is enough that it is quiet. */
static bool stop_dma(struct device *device)
{
    bool stopped =
        device->function == NULL || (msix_bus_master(&device->msix, false) && device_transactions_done(device));
    bool reset = device_class_reset(device);

    if (!device->machine_ends && device_has_function_reset(device))
        reset = device_function_reset(device);
    return stopped && reset;
}

/* A device that no longer answers is asked about at the bridge above it, also when it went in the middle of this. */
static bool come_to_rest(struct device *device)
{
    if (!device_is_absent(device) && stop_dma(device))
        return true;
    if (!device_is_absent(device))
        return false;
    device_mark_gone(device);
    return device_absence_is_sure(device);
}

void device_revoke(struct device *device, const char *reason)
{
    if (ownership_step(&device->ownership, OWNERSHIP_REVOKE) != STATUS_OK)
        return;
    log_debug(device->name, "ownership epoch %u ends: %s", device->ownership.epoch, reason);
    device_unpublish(device);
    device_interrupts_end(device);
    device_collect_errors(device);
    bool confirmed = come_to_rest(device);
    device_dma_end(device, confirmed);
    ownership_step(&device->ownership, confirmed ? OWNERSHIP_FREE : OWNERSHIP_QUARANTINE);
    if (!confirmed)
        log_error(device->name,
                  "did not confirm that its DMA has stopped; it is quarantined until the machine restarts");
}
