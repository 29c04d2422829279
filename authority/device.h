/*
 * device.h: the devices of this machine and who may touch them.
 *
 * A device is free -> claimed(epoch) -> revoking -> free(epoch + 1), or quarantined for good when its end
 * could not be confirmed. Handles (register windows, interrupts, DMA memory, queues) name the epoch they
 * were opened in; authority_check() is the one gate that they all pass.
 *
 * The functions of <vmos/driver.h> are implemented beside this: that is the kernel's home for drivers.
 */
#ifndef AUTHORITY_DEVICE_H
#define AUTHORITY_DEVICE_H

#include <vmos/driver.h>
#include <vmos/machine.h>
#include <machine/pci.h>
#include <platform/clock.h>
#include <platform/interrupt.h>
#include <lib/printf.h>

#include "msix.h"

enum device_state { DEVICE_FREE, DEVICE_CLAIMED, DEVICE_REVOKING, DEVICE_QUARANTINED };

enum {
    DEVICE_NAME_SIZE = 24,
    DEVICE_MAX_WINDOWS = PCI_MAX_BARS,
    DEVICE_MAX_STARTS = 4, /* how often a failing driver is started before the device is left alone */
};

/* Where the registers of one window are; filled when first opened, stays for the device's life. */
struct device_window {
    volatile uint8_t *registers; /* NULL for ports, and until opened */
    uint16_t port;
    bool is_port;
};

struct device_interrupt {
    bool open, line_pending; /* line_pending: disabled at the device until acknowledged */
    enum interrupt_delivery delivery;
    uint32_t route;
    struct device *device;
    uint64_t count;
};

struct dma_block;  /* pages that a domain owns, dma.c */
struct dma_ledger { /* what the device's domain holds; all of it goes back at revocation */
    struct dma_block *blocks;
    uint64_t owned_bytes, lent_bytes;
    uint32_t loan_capacity, loan_count, loan_next;
    struct dma_loan *loans;
    uint32_t queue_count;
};

struct device {
    char name[DEVICE_NAME_SIZE];
    struct device_identity identity;
    enum device_state state;
    uint32_t epoch;
    const struct driver *driver;
    void *driver_state;
    bool running, failed, woken;
    unsigned starts;

    /* PCI, else function is NULL */
    struct pci_function *function;
    const struct pci_access *access;
    const struct machine_host_bridge *bridge;
    struct msix msix;
    /* virtio-mmio */
    const struct machine_virtio_slot *slot;

    struct device_window windows[DEVICE_MAX_WINDOWS];
    struct device_interrupt *interrupts; /* interrupt_count of them, while the device is claimed */
    unsigned interrupt_count;
    uint32_t events; /* raised and not yet returned; written from interrupt context */
    struct timer poll;
    struct dma_ledger ledger;

    uint64_t stale_uses, window_violations, unclaimed_interrupts;

    struct block_device *block;
    struct nic_device *nic;
    struct entropy_device *entropy;
    struct device *next; /* in discovery order */
};

/* ---- manager.c ------------------------------------------------------------------------------ */

/* Finds every device of the machine, names it after the driver that will take it, and announces it.
 * `drivers` must live for ever. */
typedef void device_announce(const char *name, const char *format, ...) __attribute__((format(printf, 2, 3)));
void devices_discover(const struct machine *machine, const struct driver *const drivers[], size_t count,
                      device_announce *announce);
/* Starts the driver of each device in discovery order; what fails is said and left free. */
void devices_start(bool (*wanted)(const char *driver));
/* Stops all drivers, last first; before the machine ends. */
void devices_stop(void);
/* Lets drivers handle what has been raised; true when any had something to do. */
bool devices_dispatch(void);
/* Whether a driver has events that it has not seen; decides, with interrupts disabled, on going to sleep. */
bool devices_pending(void);
struct device *device_first(void);
/* By name, NULL when there is none. */
struct device *device_find(const char *name);
void devices_report(struct printer *printer);
void device_report(const struct device *device, struct printer *printer);

/* ---- revoke.c ------------------------------------------------------------------------------- */

enum status device_claim(struct device *device);
/* Ends the ownership in the one order; `reason` goes to the log. Idempotent. */
void device_revoke(struct device *device, const char *reason);
/* The gate. STATUS_OK, or STATUS_REVOKED (counted). */
enum status authority_check(struct device *device, uint32_t epoch);

/* ---- window.c, dma.c, irq.c: what revocation needs of each kind of handle --------------------- */

void device_interrupts_end(struct device *device);
/* True when every byte went back; `confirmed` false keeps all of it out of use for good. */
void device_dma_end(struct device *device, bool confirmed);
/* The virtio status register of a virtio-mmio slot written 0 and read back. */
bool device_mmio_reset(struct device *device);

#endif
