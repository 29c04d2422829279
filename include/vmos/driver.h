/*
 * driver.h: all that a driver knows of the world.
 *
 * A driver is written once against this header and linked with one of several backends ("homes"):
 * a process, the kernel, or the development host where its device is a model. So a driver never
 * holds a pointer to a register, never sees a physical address, never touches PCI configuration
 * space, and never orders memory itself: queue_publish, queue_observe and queue_notify are the only
 * places where the ordering between CPU and device lives.
 *
 * Authority is over exactly one device and ends with its ownership epoch. From then on register
 * reads give all ones, writes are dropped, and every call that can fail says STATUS_REVOKED.
 *
 * Nothing here may be called from more than one thread at a time for one device.
 */
#ifndef VMOS_DRIVER_H
#define VMOS_DRIVER_H

#include <vmos/abi.h>

struct device; /* one device in one ownership epoch; belongs to the backend */

/* ---- Which device ------------------------------------------------------------------------- */

enum device_bus {
    DEVICE_BUS_PCI,
    DEVICE_BUS_VIRTIO_MMIO, /* vendor is 0x1af4, device the virtio device ID [virtio 1.2 §4.2.2] */
};

#define DEVICE_ANY_ID 0xffffu

struct device_identity {
    enum device_bus bus;
    uint16_t vendor, device;
    uint16_t subsystem_vendor, subsystem;
    uint32_t class_code; /* 24 bits: class, subclass, interface; 0 where the bus has none */
    uint8_t revision;
};

const struct device_identity *device_identity(const struct device *device);

/* What whoever set up the machine says about this device's driver: copies VALUE of KEY=VALUE, terminated. False, and
 * nothing copied, when nothing is said of KEY; a word that the driver does not ask for has no effect. */
bool device_option(const struct device *device, const char *key, char *value, size_t capacity);

/* The name that log lines begin with, "virtio-blk0"; valid as long as the device. */
const char *device_name(const struct device *device);

/*
 * Copies the `nth` (from 0) PCI capability with this identifier, whole from its identifier byte on,
 * at most `capacity` bytes. Returns the bytes copied, 0 when there is none. The copy was taken when
 * the device was found: it does not change under its reader.
 */
size_t device_capability(const struct device *device, uint8_t identifier, unsigned nth, void *copy, size_t capacity);

/* ---- Registers ---------------------------------------------------------------------------- */

/*
 * A window of registers, byte-granular. On PCI the index is the BAR's number (memory or I/O space);
 * a virtio-mmio slot has window 0. Access is little-endian as the device sees it, of exactly the
 * width named. An access that is not wholly inside `size`, or not naturally aligned, is counted and
 * reported once; reads give all ones and writes are dropped.
 */
struct register_window {
    struct device *device;
    uint64_t size; /* bytes */
    unsigned index;
    uint32_t epoch;
    uintptr_t backend; /* the backend's own */
};

/* STATUS_NOT_FOUND when the device has no such window, STATUS_UNSUPPORTED when it cannot be reached. */
enum status device_window_open(struct device *device, unsigned index, struct register_window *window);

uint8_t window_read8(const struct register_window *window, uint64_t offset);
uint16_t window_read16(const struct register_window *window, uint64_t offset);
uint32_t window_read32(const struct register_window *window, uint64_t offset);
void window_write8(const struct register_window *window, uint64_t offset, uint8_t value);
void window_write16(const struct register_window *window, uint64_t offset, uint16_t value);
void window_write32(const struct register_window *window, uint64_t offset, uint32_t value);

/* ---- Memory that the device reaches --------------------------------------------------------- */

/* Memory that the device's domain owns; contiguous for the device, zeroed when allocated. */
struct dma_memory {
    void *memory;
    device_address address;
    size_t size;    /* bytes, as asked for */
    uint32_t epoch; /* the backend's own */
};

/* `alignment` is a power of two. STATUS_NO_MEMORY, STATUS_LIMIT (the pool's budget), STATUS_REVOKED. */
enum status dma_allocate(struct device *device, size_t size, size_t alignment, struct dma_memory *out);

/* The device must have been told to forget it first. Safe on an all-zero struct. */
void dma_free(struct device *device, struct dma_memory *memory);

enum dma_direction { DMA_TO_DEVICE, DMA_FROM_DEVICE };

struct dma_segment {
    device_address address;
    uint32_t length; /* bytes */
};

/*
 * Lends client memory to the device until dma_return. The driver need not be able to touch the bytes.
 * Fills at most `capacity` segments; STATUS_LIMIT when that is too few and then nothing is lent.
 */
enum status dma_lend(struct device *device, const struct memory_ref *memory, enum dma_direction direction,
                     struct dma_segment segments[], unsigned capacity, unsigned *count, uint32_t *loan);

/* Only once the device is done with it, or has been reset. */
void dma_return(struct device *device, uint32_t loan);

/* ---- Queues --------------------------------------------------------------------------------- */

/*
 * A queue is submission memory, which the driver writes and the device reads, and completion memory,
 * which the device writes and the driver only reads: they never share a page. What the driver reads
 * from completion memory is hostile and may change between two reads.
 */
struct queue_layout {
    uint32_t submission_size; /* bytes, at least 1 */
    uint32_t completion_size; /* bytes, at least 1 */
    uint32_t alignment;       /* of both, bytes, a power of two from 1 to 65536 */
    bool adjacent;            /* completion memory begins at the first multiple of max(alignment, page)
                                 after submission memory, as legacy virtio wants */
};

struct device_queue {
    struct device *device;
    void *submission;
    const volatile void *completion;
    device_address submission_address;
    device_address completion_address;
    uint32_t backend;
    uint32_t epoch;
    struct register_window doorbell;
    uint64_t doorbell_offset;
    unsigned doorbell_width; /* bytes; 0 until queue_set_doorbell */
};

enum status queue_create(struct device *device, const struct queue_layout *layout, struct device_queue *queue);

/* Where queue_notify writes: a register of 2 or 4 bytes. STATUS_OUT_OF_RANGE outside the window. */
enum status queue_set_doorbell(struct device_queue *queue, const struct register_window *window, uint64_t offset,
                               unsigned width);

/* The device must have been told to forget the queue first. Safe on an all-zero struct. */
void queue_destroy(struct device_queue *queue);

/* All that was written to submission memory is visible to the device before anything written, or read
 * from completion memory, after this call. */
void queue_publish(const struct device_queue *queue);

/* What is read from completion memory, or from memory that the device wrote, after this call is no
 * older than what was read from completion memory before it. */
void queue_observe(const struct device_queue *queue);

/* Rings the doorbell: all that was published is visible to the device first. */
void queue_notify(struct device_queue *queue, uint32_t value);

/* ---- Events --------------------------------------------------------------------------------- */

enum interrupt_delivery {
    INTERRUPT_MESSAGE, /* MSI or MSI-X, one vector per index */
    INTERRUPT_LINE,    /* a wire, perhaps shared: only index 0 exists */
    INTERRUPT_POLLED,  /* nothing can deliver it; the home raises the event by a timer instead */
};

#define DEVICE_MAX_INTERRUPTS 32u

struct interrupt {
    struct device *device;
    unsigned index;
    uint32_t epoch;
    enum interrupt_delivery delivery;
};

/* How many indices device_interrupt_open accepts, from 1 to DEVICE_MAX_INTERRUPTS. Opening one never
 * makes another unavailable. With more than one, delivery is by message. */
unsigned device_interrupt_count(const struct device *device);

/* Unmasks interrupt `index`; from now on it raises event bit 1 << index. */
enum status device_interrupt_open(struct device *device, unsigned index, struct interrupt *interrupt);

/* The driver has looked at the device's cause (for a line: has made the device drop it). Until then a
 * line stays disabled at the device; a message needs nothing and this is cheap. */
void interrupt_acknowledge(struct interrupt *interrupt);

void interrupt_close(struct interrupt *interrupt);

/* How many CPUs can be asked to take the device's messages, at least 1; they are numbered from 0. */
unsigned device_cpu_count(const struct device *device);

/* From now on this CPU takes the interrupt; one that is under way may still come where it went before, none is lost.
 * A new interrupt goes to CPU 0. STATUS_OUT_OF_RANGE: no such CPU. STATUS_UNSUPPORTED: not a message, or the
 * machine cannot direct it; it stays where it was. */
enum status interrupt_set_cpu(struct interrupt *interrupt, unsigned cpu);

/* Nanoseconds since boot; never goes back. */
uint64_t clock_now(void);

/*
 * The one blocking call: returns those of `events` (bits 1 << index) that were raised since they were
 * last returned, or 0 when clock_now() reaches the deadline. Looks before it sleeps, so an event that
 * was raised before the call is not lost. A driver that waits for its queue arms the queue, publishes,
 * looks at the queue once more, and only then waits.
 */
uint32_t driver_wait(struct device *device, uint32_t events, uint64_t deadline_ns);

/* Has `handle` called soon with events 0, outside of whatever runs now: to complete what needs no device. */
void driver_wake(struct device *device);

/* The same at `deadline_ns` or soon after; in place of a time given before. DEADLINE_NEVER: not at all. */
void driver_wake_at(struct device *device, uint64_t deadline_ns);

/* ---- Life ------------------------------------------------------------------------------------ */

struct driver_match {
    enum device_bus bus;
    uint16_t vendor, device; /* DEVICE_ANY_ID matches all */
};

struct driver {
    const char *name; /* devices are called this and a number */
    const struct driver_match *matches;
    unsigned match_count;
    uint32_t pci_class; /* 24 bits: takes every PCI function of this class too, whoever made it; 0: none */

    /* Takes the device from whatever state it is in to working, publishes its class interface, and
     * gives its own state. On failure everything it opened has been given back and the device is reset. */
    enum status (*start)(struct device *device, void **state);

    /* Events (bits 1 << index) were raised. Also called now and then with events 0: look anyway. */
    void (*handle)(void *state, uint32_t events);

    /* Reset the device (read back), complete every request in flight with STATUS_REVOKED, give
     * everything back. The state is not used again. */
    void (*stop)(void *state);
};

static inline bool driver_takes(const struct driver *driver, const struct device_identity *identity)
{
    for (unsigned i = 0; i < driver->match_count; i++) {
        const struct driver_match *match = &driver->matches[i];
        if (match->bus == identity->bus && (match->vendor == DEVICE_ANY_ID || match->vendor == identity->vendor) &&
            (match->device == DEVICE_ANY_ID || match->device == identity->device))
            return true;
    }
    return driver->pci_class != 0 && identity->bus == DEVICE_BUS_PCI && identity->class_code == driver->pci_class;
}

/* The device broke its contract or asks for a reset: the home stops the driver after the current
 * handler returns, and starts it again a bounded number of times. The reason goes to the log. */
void device_fail(struct device *device, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* What the driver offers to others; the struct stays the driver's and must live until stop. Nobody finds any of it
 * once stop is called. */
struct block_device;
struct nic_device;
struct entropy_device;
enum status device_publish_block(struct device *device, struct block_device *block); /* as often as it has disks */
enum status device_publish_nic(struct device *device, struct nic_device *nic);
enum status device_publish_entropy(struct device *device, struct entropy_device *entropy);

#endif
