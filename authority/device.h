/*
 * device.h: the devices of this machine and who may touch them.
 *
 * A device is free -> claimed(epoch) -> revoking -> free(epoch + 1), or quarantined for good when its end
 * could not be confirmed (rules.h). Handles (register windows, interrupts, DMA memory, loans, queues) name the epoch
 * they were opened in; authority_check() is the one gate that they all pass.
 *
 * The functions of <vmos/driver.h> are implemented beside this: that is the kernel's home for drivers. There a
 * `struct device *` is the device whoever owns it, so a call without a handle counts as the present owner's. What a
 * handle says besides its device and epoch is never believed: bounds, delivery and purpose come from the records here.
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
#include "rules.h"

enum {
    DEVICE_NAME_SIZE = 24,
    DEVICE_MAX_WINDOWS = PCI_MAX_BARS,
    DEVICE_MAX_STARTS = 4,      /* how often a failing driver is started before the device is left alone */
    DEVICE_DMA_LIMIT = 4 << 20, /* bytes that a device's domain may own */
    DEVICE_MAX_LOANS = 4096,    /* at a time */
};

/* Where the registers of one window are; made when it is first opened, stays for the device's life. */
struct device_window {
    struct register_bounds bounds;
    volatile uint8_t *registers; /* NULL for ports */
    uint16_t port;
};

struct device_interrupt {
    bool open, line_pending; /* line_pending: disabled at the device until acknowledged */
    bool route_held;         /* and at the controller, since the device has no switch that takes */
    enum interrupt_delivery delivery;
    uint32_t route;
    uint32_t cpu;        /* index of the CPU that messages are directed to */
    uint32_t arrived_on; /* index of the CPU that took the last message */
    struct device *device;
    uint64_t count;
};

struct dma_block;   /* pages that a domain owns, dma.c */
struct dma_ledger { /* what the device's domain holds; all of it goes back at revocation */
    struct dma_block *blocks;
    struct dma_loan *loans;
    uint64_t owned_bytes, lent_bytes, owned_limit;
    uint32_t loan_capacity, loan_count, loan_next, loan_limit;
    uint32_t queue_count;
};

struct device {
    char name[DEVICE_NAME_SIZE];
    struct device_identity identity;
    struct ownership ownership;
    const struct driver *driver;
    void *driver_state;
    bool running, failed, woken;
    bool gone;         /* it has left the machine */
    bool left_running; /* firmware left it bus master, and it was not reset since */
    bool machine_ends; /* no owner will follow the present one */
    unsigned starts;

    /* PCI, else function is NULL */
    struct pci_function *function;
    const struct pci_access *access;
    const struct machine_host_bridge *bridge;
    const uint8_t *configuration; /* its first 256 bytes as found, when it has a driver */
    struct msix msix;
    /* virtio-mmio */
    const struct machine_virtio_slot *slot;

    struct device_window *windows[DEVICE_MAX_WINDOWS]; /* NULL: never opened */
    struct device_interrupt *interrupts;               /* interrupt_count of them, while the device is claimed */
    unsigned interrupt_count;
    uint32_t events; /* raised and not yet returned; written from interrupt context */
    struct timer poll, wake;
    struct dma_ledger ledger;

    uint64_t stale_uses, window_violations;
    struct pci_errors errors; /* all that it has recorded since it was first claimed */
    uint64_t error_reports, error_said_ns;

    struct block_device *blocks; /* in the order of publishing */
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
void devices_options(bool (*option)(const char *driver, const char *key, char *value, size_t capacity)); /* before */
void devices_start(bool (*wanted)(const char *driver));
/* Stops all drivers, last first; before the machine ends. */
void devices_stop(void);
/* Lets drivers handle what has been raised; true when any had something to do. */
bool devices_dispatch(void);
/* Whether a driver has events that it has not seen; decides, with interrupts disabled, on going to sleep. */
bool devices_pending(void);
/* How many disks were ever published: another number, and there is one to look at. */
unsigned devices_publications(void);
struct device *device_first(void);
/* By name, NULL when there is none. */
struct device *device_find(const char *name);
void devices_report(struct printer *printer);
void device_report(struct device *device, struct printer *printer);
/* What its PCI function is, how its link runs, and which errors it has recorded. */
void device_report_function(struct device *device, struct printer *printer);

/* ---- revoke.c ------------------------------------------------------------------------------- */

enum status device_claim(struct device *device);
/* Ends the ownership in the one order; `reason` goes to the log. Idempotent. */
void device_revoke(struct device *device, const char *reason);
/* The gate, for a handle of this epoch. STATUS_OK, or STATUS_REVOKED (counted). */
enum status authority_check(struct device *device, uint32_t epoch);
/* The same where no handle is shown: whether the device has an owner now. */
enum status authority_check_owner(struct device *device);
/* Nobody finds what the driver has published any more. */
void device_unpublish(struct device *device);

/* ---- window.c, dma.c, irq.c: what the others need of each kind of handle ----------------------- */

/* registers.c: the access itself; width is 1, 2 or 4, all checks are done. */
uint32_t register_read(const struct device_window *place, uint64_t offset, unsigned width);
void register_write(const struct device_window *place, uint64_t offset, unsigned width, uint32_t value);
/* The window if the driver may touch these bytes of it, else NULL. */
const struct device_window *device_window_at(const struct device *device, unsigned index, uint64_t offset,
                                             unsigned width);

void device_interrupts_end(struct device *device);
/* Scrubs and frees what the domain owns. Unless `confirmed`: all of it, and what was lent, stays out of use and on
 * the ledger for good. */
void device_dma_end(struct device *device, bool confirmed);
/* Finds where the window's registers are, if that is not known yet. */
enum status device_window_place(struct device *device, unsigned index);

/* ---- reset.c ------------------------------------------------------------------------------------ */

/* Resets a virtio or NVMe device whose registers were ever opened or that firmware left running; true when its status
 * reads back so in time, and for a device of no class that vmos knows a reset of. */
bool device_class_reset(struct device *device);
bool device_has_class_reset(const struct device *device);
/* Function Level Reset, by PCI Express or Advanced Features; takes 100 ms. False when the function does not come back
 * as it was. */
bool device_function_reset(struct device *device);
bool device_has_function_reset(const struct device *device);
/* What the function has asked of memory may still be under way when it can ask for no more; waits 100 ms at most
 * [PCI Express Base 6.0 §7.5.3.5, Transactions Pending]. */
bool device_transactions_done(const struct device *device);

/* ---- slot.c: devices that leave, and the errors that they record ---------------------------------- */

/* Whether the function no longer answers. */
bool device_is_absent(const struct device *device);
void device_mark_gone(struct device *device);
/* Whether a function that does not answer can reach memory no more: its port says that it is empty, or passes nothing
 * on since all behind it have fallen silent. On a root bus nobody can tell. */
bool device_absence_is_sure(const struct device *device);
/* Takes the errors that the function has recorded; says them, once a second at most. */
void device_collect_errors(struct device *device);
void device_forget_errors(struct device *device);
/* After all devices were found. */
void slots_discover(void);
void slots_end(void);
bool slots_pending(void);
void slots_dispatch(void);

/* manager.c, for slot.c */
void device_stop(struct device *device, const char *reason);
void device_depart(struct device *device);

#endif
