/*
 * transport.h: what virtio.c and virtqueue.c want of whatever carries the device. Private to them.
 */
#ifndef DRIVER_VIRTIO_TRANSPORT_H
#define DRIVER_VIRTIO_TRANSPORT_H

#include "virtio.h"

struct virtio_queue_setup {
    uint16_t index;
    uint16_t size;
    uint16_t vector;           /* interrupt index; means something only with messages */
    uint32_t available_offset; /* in submission memory; descriptors are at 0 */
    struct device_queue *memory;
};

struct virtio_transport {
    const char *name;
    bool legacy;     /* queues are one run of memory, given by page number */
    bool fixed_size; /* the ring has the size that the device says */

    uint8_t (*status)(struct virtio_device *virtio);
    void (*set_status)(struct virtio_device *virtio, uint8_t status);
    uint64_t (*offered)(struct virtio_device *virtio);
    void (*accept)(struct virtio_device *virtio, uint64_t features);

    /* After the first reset, when it is known whether interrupts are messages. */
    void (*settle)(struct virtio_device *virtio);

    /* Of the configuration; constant where there is none. */
    uint32_t (*generation)(struct virtio_device *virtio);

    /* VIRTIO_ISR_* bits, cleared by this; only without messages. */
    uint32_t (*cause)(struct virtio_device *virtio);

    /* How large queue `index` may be, 0 when there is none. */
    enum status (*queue_limit)(struct virtio_device *virtio, uint16_t index, uint32_t *limit);

    /* Tells the device where the queue is, sets the doorbell, lets it go. */
    enum status (*queue_enable)(struct virtio_device *virtio, const struct virtio_queue_setup *setup);
};

/* Opens interrupt `index` (below virtio.interrupt_count) if it is not open yet. */
enum status virtio_open_interrupt(struct virtio_device *virtio, uint16_t index);

/* Each finds its registers without changing anything in the device, and names what it cannot use. */
enum status virtio_pci_probe(struct virtio_device *virtio);
enum status virtio_mmio_probe(struct virtio_device *virtio);

#endif
