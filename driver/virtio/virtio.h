/*
 * virtio.h: one virtio device, whatever carries it [virtio 1.2 §2, §3, §4].
 *
 * transport_pci.c and transport_mmio.c find the registers, legacy and modern; virtio.c runs the state
 * machine; virtqueue.c the split ring. net.c, blk.c and rng.c see only this header.
 */
#ifndef DRIVER_VIRTIO_H
#define DRIVER_VIRTIO_H

#include <vmos/driver.h>

/* [virtio 1.2 §6, §6.3] */
enum {
    VIRTIO_F_NOTIFY_ON_EMPTY = 24, /* legacy only */
    VIRTIO_F_ANY_LAYOUT = 27,      /* legacy only: VERSION_1 implies it */
    VIRTIO_F_INDIRECT_DESC = 28,
    VIRTIO_F_EVENT_IDX = 29,
    VIRTIO_F_VERSION_1 = 32,
    VIRTIO_F_ACCESS_PLATFORM = 33,
    VIRTIO_F_RING_PACKED = 34,
    VIRTIO_F_IN_ORDER = 35,
    VIRTIO_F_ORDER_PLATFORM = 36,
    VIRTIO_F_SR_IOV = 37,
    VIRTIO_F_NOTIFICATION_DATA = 38,
};

#define VIRTIO_FEATURE(bit) (UINT64_C(1) << (bit))

struct virtio_feature { /* one row of a driver's table: which bits it knows, by name */
    uint8_t bit;
    bool wanted; /* accept when offered; otherwise only named in the log */
    const char *name;
    uint64_t needs; /* mask: not accepted unless all of these are (0: stands alone) */
};

/* Interrupt indices that one device uses: 0 is the configuration's, and shared when there are no more. */
enum { VIRTIO_MAX_INTERRUPTS = 4 };

struct virtio_transport;

struct virtio_device {
    struct device *device;
    const struct virtio_transport *transport;
    bool legacy;    /* no VERSION_1: native-endian, other layouts */
    bool messages;  /* MSI-X is on: each queue has a vector, the interrupt cause register means nothing */
    bool polled;    /* a queue or the configuration has no interrupt: waiting must look now and then */
    bool stuck;     /* a reset was not confirmed: no memory may be given back, the device may still use it */
    uint8_t status; /* as last written */
    uint64_t offered, features;
    uint32_t generation_retries;
    unsigned interrupt_count; /* indices that may be used, 1 to VIRTIO_MAX_INTERRUPTS */
    uint32_t events;          /* bits 1 << index of those that are open; for driver_wait */
    uint32_t queue_events;    /* ... and of those that a queue is on */
    struct interrupt interrupts[VIRTIO_MAX_INTERRUPTS];
    /* As the transport needs them; PCI legacy and MMIO: common and config are the same window. */
    struct register_window common, notify, isr, config;
    uint64_t common_offset, notify_offset, isr_offset, config_offset;
    uint64_t common_size, notify_size, isr_size, config_size;
    uint32_t notify_multiplier;
};

/*
 * Finds the transport, resets the device (read back, with a deadline), opens interrupt 0, acknowledges the
 * device and negotiates: the driver's table plus the ring's own features. Logs the features by name. On
 * error the device is reset, everything is given back and the reason is in the log.
 */
enum status virtio_open(struct virtio_device *virtio, struct device *device, const struct virtio_feature *features,
                        unsigned feature_count);

/* Gives the interrupts back. After virtio_reset and after the queues are closed; safe on an all-zero struct. */
void virtio_close(struct virtio_device *virtio);

static inline bool virtio_has(const struct virtio_device *virtio, unsigned bit)
{
    return (virtio->features & VIRTIO_FEATURE(bit)) != 0;
}

/* DRIVER_OK; queues are set up. STATUS_DEVICE_FAULT when the device asks for a reset instead. */
enum status virtio_go(struct virtio_device *virtio);

/* Resets, reads back until 0 or the deadline (1 s). STATUS_TIMED_OUT means that the device may still use its
 * memory: `stuck` is set, virtqueue_close keeps the rings, and the driver must keep what it allocated and
 * lent (no dma_free, no dma_return): whoever ends the epoch puts it into quarantine. STATUS_REVOKED: the epoch
 * has ended, the device is the home's to stop, and the driver gives everything back as usual. */
enum status virtio_reset(struct virtio_device *virtio);

/*
 * Device configuration, re-read until its generation is stable (bounded; then STATUS_DEVICE_FAULT). Read field
 * by field: a size of 1, 2 or 4 at a multiple of itself is one access of that width, 8 is two of 4, any other
 * is bytes [virtio 1.2 §4.1.3.1]. STATUS_OUT_OF_RANGE outside.
 */
enum status virtio_config_read(struct virtio_device *virtio, uint32_t offset, void *to, uint32_t size);

/*
 * What happened, for the first line of handle(): reads and clears the device's cause, so that it drops its
 * line, and acknowledges the interrupts. `events` are the handler's (0: look at everything). When the device
 * has asked for a reset (or is gone) it is reported by device_fail, and VIRTIO_CAUSE_BROKEN is set alone.
 */
enum { VIRTIO_CAUSE_QUEUE = 1, VIRTIO_CAUSE_CONFIG = 2, VIRTIO_CAUSE_BROKEN = 4 };
uint32_t virtio_cause(struct virtio_device *virtio, uint32_t events);

/* DEVICE_NEEDS_RESET, or a status that reads as all ones. */
bool virtio_is_broken(struct virtio_device *virtio);

/* ---- Split virtqueue [virtio 1.2 §2.7] -------------------------------------------------------- */

enum { VIRTQUEUE_MAX_SIZE = 1024 };

struct virtqueue;

struct virtqueue_part {
    device_address address;
    uint32_t length; /* bytes, not 0 */
};

/*
 * Sets queue `index` up with at most `max_size` requests in flight, its interrupt on `interrupt_index` (or on
 * the last one there is). Between virtio_open and virtio_go. STATUS_NOT_FOUND: the device has no such queue.
 * The reason of any other error is in the log. It begins armed.
 */
enum status virtqueue_open(struct virtqueue **queue, struct virtio_device *virtio, uint16_t index, uint16_t max_size,
                           uint16_t interrupt_index);

/* Only after virtio_reset. NULL is allowed. */
void virtqueue_close(struct virtqueue *queue);

/* A power of two, at most max_size. */
uint16_t virtqueue_size(const struct virtqueue *queue);

/* Descriptors free now: a request of n parts fits when n are free; with INDIRECT_DESC often with one. */
uint16_t virtqueue_room(const struct virtqueue *queue);

/* How many parts one request may have: the queue's size, indirect or not [virtio 1.2 §2.7.5.3.1]. */
uint16_t virtqueue_max_parts(const struct virtqueue *queue);

/*
 * Adds one request: `out` parts that the device reads, then `in` parts that it writes. Not yet visible.
 * `token` comes back on completion and is not 0. STATUS_BUSY: no room now; STATUS_INVALID: never;
 * STATUS_DEVICE_FAULT: the queue is broken.
 */
enum status virtqueue_add(struct virtqueue *queue, const struct virtqueue_part parts[], uint16_t out, uint16_t in,
                          uint64_t token);

/* Makes all added requests visible and rings, at most once, if the device wants it. */
void virtqueue_submit(struct virtqueue *queue);

/*
 * The next completed request: true with its token and how many bytes the device says it wrote, clamped to
 * what was posted. A device that lies is counted and named; when it cannot be trusted any more the queue is
 * broken: nothing more completes, virtqueue_broken says so, and device_fail has been called.
 */
bool virtqueue_next(struct virtqueue *queue, uint64_t *token, uint32_t *written);
bool virtqueue_broken(const struct virtqueue *queue);

/* Devices of this class are known to count wrongly, and the class does not ask: lengths that cannot be are cut without
 * a word. */
void virtqueue_lengths_mean_nothing(struct virtqueue *queue);

/* Asks for an interrupt at the next completion; true when there already is one (then look again, do not wait). */
bool virtqueue_arm(struct virtqueue *queue);
void virtqueue_disarm(struct virtqueue *queue);

/*
 * Waits until there is a completion to take (true) or the deadline (false; also when broken). Looks now and then,
 * and rings again, even if the device forgets its interrupt or its notification. Events of the queue's interrupt
 * index are consumed: whoever shares the index with other queues or the configuration looks at those afterwards.
 * It leaves the queue as if disarmed: arm it before an interrupt is relied on again.
 */
bool virtqueue_wait(struct virtqueue *queue, uint64_t deadline_ns);

/* After a reset: gives back the tokens still in flight or not yet submitted, one a call, each once. */
bool virtqueue_take_back(struct virtqueue *queue, uint64_t *token);

#endif
