/*
 * virtio.h: one virtio device, whatever carries it [virtio 1.2 §2, §3, §4].
 *
 * transport_pci.c and transport_mmio.c find the registers, legacy and modern; virtio.c runs the state
 * machine; virtqueue.c the split ring. net.c, blk.c and rng.c see only this header.
 */
#ifndef DRIVER_VIRTIO_H
#define DRIVER_VIRTIO_H

#include <vmos/driver.h>

/* [virtio 1.2 §6] */
enum {
    VIRTIO_F_INDIRECT_DESC = 28,
    VIRTIO_F_EVENT_IDX = 29,
    VIRTIO_F_VERSION_1 = 32,
    VIRTIO_F_ACCESS_PLATFORM = 33,
    VIRTIO_F_RING_PACKED = 34,
    VIRTIO_F_ORDER_PLATFORM = 36,
};

#define VIRTIO_FEATURE(bit) (UINT64_C(1) << (bit))

struct virtio_feature { /* one row of a driver's table: which bits it knows, by name */
    uint8_t bit;
    bool wanted; /* accept when offered; otherwise only named in the log */
    const char *name;
};

struct virtio_device {
    struct device *device;
    const struct virtio_transport *transport;
    bool legacy; /* no VERSION_1: native-endian, other layouts */
    uint64_t offered, features;
    uint32_t generation_retries;
    unsigned interrupt_count;
    struct register_window common, notify, isr, config; /* as the transport needs them; PCI legacy and MMIO: common only */
    uint64_t common_offset, notify_offset, isr_offset, config_offset;
    uint64_t common_size, notify_size, isr_size, config_size;
    uint32_t notify_multiplier;
};

/*
 * Finds the transport, resets the device (read back, with a deadline), acknowledges it and negotiates:
 * the driver's table plus the ring's own features. Logs the features by name. On error the device is reset
 * and the reason is in the log.
 */
enum status virtio_open(struct virtio_device *virtio, struct device *device, const struct virtio_feature *features,
                        unsigned feature_count);
static inline bool virtio_has(const struct virtio_device *virtio, unsigned bit)
{
    return (virtio->features & VIRTIO_FEATURE(bit)) != 0;
}

/* DRIVER_OK; queues are set up. */
enum status virtio_go(struct virtio_device *virtio);
/* Resets, reads back until 0 or the deadline; STATUS_TIMED_OUT means that the device may still use its memory. */
enum status virtio_reset(struct virtio_device *virtio);
/* Device configuration, re-read until its generation is stable (bounded). STATUS_OUT_OF_RANGE outside. */
enum status virtio_config_read(struct virtio_device *virtio, uint32_t offset, void *to, uint32_t size);
/* Reads and clears the interrupt cause: bit 0 a queue, bit 1 configuration. */
uint32_t virtio_cause(struct virtio_device *virtio);
/* DEVICE_NEEDS_RESET, or a status that reads as all ones. */
bool virtio_is_broken(struct virtio_device *virtio);

/* ---- Split virtqueue [virtio 1.2 §2.7] -------------------------------------------------------- */

struct virtqueue;

struct virtqueue_part {
    device_address address;
    uint32_t length;
};

/* Sets queue `index` up with at most `max_size` entries, its interrupt on `interrupt_index`. */
enum status virtqueue_open(struct virtqueue **queue, struct virtio_device *virtio, uint16_t index, uint16_t max_size,
                           uint16_t interrupt_index);
/* Only after virtio_reset. */
void virtqueue_close(struct virtqueue *queue);

uint16_t virtqueue_size(const struct virtqueue *queue);
/* Descriptors free now, and how many parts one request may have (with INDIRECT_DESC: more). */
uint16_t virtqueue_room(const struct virtqueue *queue);
uint16_t virtqueue_max_parts(const struct virtqueue *queue);

/* Adds one request: `out` parts that the device reads, then `in` parts that it writes. Not yet visible.
 * `token` comes back on completion and is not 0. STATUS_BUSY: no room. */
enum status virtqueue_add(struct virtqueue *queue, const struct virtqueue_part parts[], uint16_t out, uint16_t in,
                          uint64_t token);
/* Makes all added requests visible and rings, at most once, if the device wants it. */
void virtqueue_submit(struct virtqueue *queue);

/* The next completed request: true with its token and how many bytes the device says it wrote, clamped to
 * what was posted. A device that lies is counted and named; when it cannot be trusted any more the
 * queue is broken: nothing more completes and virtqueue_broken says so. */
bool virtqueue_next(struct virtqueue *queue, uint64_t *token, uint32_t *written);
bool virtqueue_broken(const struct virtqueue *queue);
/* Asks for an interrupt at the next completion; true when there already is one (then look again, do not wait). */
bool virtqueue_arm(struct virtqueue *queue);
void virtqueue_disarm(struct virtqueue *queue);
/* After a reset: gives back the tokens still in flight, one a call. */
bool virtqueue_take_back(struct virtqueue *queue, uint64_t *token);

#endif
