/*
 * home.h: the host's home for drivers: a backend of include/vmos/driver.h in which a device is a model.
 *
 * A device sees memory only through home_dma_read and home_dma_write, by device address, and only what the
 * driver has granted: owned memory and submission memory, completion memory, and loans in their direction.
 * Whatever either side does wrong is counted and named, never executed. Time is simulated: it moves
 * when somebody asks for it or waits, so that a run with one seed is always the same run.
 *
 * An owned range and submission memory come from malloc, so that the sanitizer sees a driver's overrun; completion
 * memory is a second, read-only mapping, so that a driver's write faults; a device address is used once.
 *
 * A test is: home_init, a model that calls home_device_create, home_start(driver), home_run..., home_stop,
 * home_device_destroy; then home_faults() and the account are empty or the driver is wrong.
 */
#ifndef MODEL_HOME_H
#define MODEL_HOME_H

#include <vmos/driver.h>

struct home_options {
    uint64_t seed;
    bool contiguous_loans;        /* else each loan is split at pages of 4 KiB that lie apart for the device */
    bool writable_completions;    /* else the driver's view of completion memory faults on a write (slower to make) */
    device_address first_address; /* where device addresses begin, of pages; 0: at 4 TiB */
    size_t dma_limit;             /* bytes of owned memory per device; 0: no limit */
    const char *driver_options;   /* "KEY=VALUE ..." for device_option */
    unsigned cpu_count;           /* that can take messages; 0: 1 */
};

/* Forgets everything from before; NULL: the defaults above. */
void home_init(const struct home_options *options);

/* Deterministic random bits, for models. */
uint64_t home_random(void);

/* ---- Time and log --------------------------------------------------------------------------- */

void home_advance(uint64_t duration_ns);

/* ---- Devices: the model's side ---------------------------------------------------------------- */

#define HOME_NEVER UINT64_MAX

struct home_device_ops {
    uint32_t (*read)(void *model, unsigned window, uint64_t offset, unsigned width);
    void (*write)(void *model, unsigned window, uint64_t offset, unsigned width, uint32_t value);
    /* Lets the device work. Returns 0 when it did something, else the time (clock_now) at which it wants
     * to be called again, or HOME_NEVER. May be NULL. */
    uint64_t (*step)(void *model, uint64_t now_ns);
};

enum { HOME_MAX_CAPABILITIES = 16, HOME_MAX_WINDOWS = 6, HOME_CAPABILITY_SIZE = 32 };

struct home_capability { /* of PCI configuration space, from its identifier byte on */
    uint8_t size;
    uint8_t bytes[HOME_CAPABILITY_SIZE];
};

struct home_device {
    const char *name;
    struct device_identity identity;
    uint64_t window_sizes[HOME_MAX_WINDOWS]; /* bytes; 0: there is no such window */
    unsigned capability_count;
    struct home_capability capabilities[HOME_MAX_CAPABILITIES];
    unsigned interrupt_count; /* 1 unless delivery is by message */
    enum interrupt_delivery delivery;
    const struct home_device_ops *ops;
    void *model;
};

/* The description is copied. */
struct device *home_device_create(const struct home_device *description);
void home_device_destroy(struct device *device);

/* The device's own accesses. False (and counted as refused, nothing moved) unless all of it is granted in
 * this direction. */
bool home_dma_read(struct device *device, device_address from, void *to, size_t size);
bool home_dma_write(struct device *device, device_address to, const void *from, size_t size);
/* As home_dma_write, but a device that no hardware confines: any granted range, whatever its direction. */
bool home_dma_scribble(struct device *device, device_address to, const void *from, size_t size);

/* Would the access be granted? Counts nothing. */
bool home_dma_reachable(struct device *device, device_address address, size_t size, bool write);

/* By message: raises event `index` if the driver has it open. By line: sets the level of the wire. */
void home_interrupt(struct device *device, unsigned index);
void home_line(struct device *device, bool level);

/* ---- Devices: the test's side --------------------------------------------------------------------- */

/* Matches, starts. What the driver published is then in home_block (the first; the others follow by `next`) and its
 * like (else NULL). */
enum status home_start(struct device *device, const struct driver *driver);
struct block_device *home_block(struct device *device);
struct nic_device *home_nic(struct device *device);
struct entropy_device *home_entropy(struct device *device);

/* Lets device and driver work for this long (simulated), delivering events to the driver's handle, with a
 * look (events 0) each 100 ms. Ends early when the device failed, or when `until` (may be NULL) says true. */
void home_run(struct device *device, uint64_t duration_ns, bool (*until)(void *context), void *context);

/* Calls handle once now with these events; not when failed. */
void home_handle(struct device *device, uint32_t events);

/* Stops the driver, then looks for what it has not given back; each thing is a fault. */
void home_stop(struct device *device);

/* The epoch ends: from now on every call fails as driver.h says. The driver is still to be stopped. */
void home_revoke(struct device *device);

/* After stop: a new epoch; what a stuck device kept (quarantined) is forgotten. */
void home_renew(struct device *device);

/* device_fail was called; the sentence, or NULL. home_stop does not clear it, home_start does. */
const char *home_failure(const struct device *device);

struct home_account {
    unsigned owned, loans, queues, interrupts; /* held by the driver now */
    size_t owned_bytes;
    uint64_t doorbells; /* queue_notify */
    uint64_t register_reads, register_writes;
    uint64_t interrupts_raised; /* events delivered to the driver */
    uint64_t refused;           /* accesses of the device outside what was granted */
};

struct home_account home_account(const struct device *device);

/* Which CPU takes the interrupt. */
unsigned home_interrupt_cpu(const struct device *device, unsigned index);

/* What the driver did wrong since home_init: bad register accesses, wrong frees, leaks, waits for ever. */
unsigned home_faults(void);
const char *home_fault_text(void);   /* the first of them, or "" */
const char *home_refused_text(void); /* the first refused access of a device, or "" */

/* Counts as faults what the driver holds of the device now; home_stop does this too. */
void home_check_returned(struct device *device);

/* The device will not confirm its reset: what the driver still holds when it stops is no fault. */
void home_quarantine(struct device *device);

/* The next `after` allocations (dma_allocate, dma_lend, queue_create, device_interrupt_open) succeed, then one
 * fails with STATUS_LIMIT: to walk through a driver's undo paths. */
void home_fail_allocation(unsigned after);

#endif
