/* virtio_class.h: what the tests of virtio's class drivers share. */
#ifndef VIRTIO_CLASS_H
#define VIRTIO_CLASS_H

#include <model/virtio_device.h>

#define SECOND      NANOSECONDS_PER_SECOND
#define MILLISECOND NANOSECONDS_PER_MILLISECOND

enum {
    MMIO_LEGACY = 1 << VIRTIO_MODEL_MMIO_LEGACY,
    MMIO_MODERN = 1 << VIRTIO_MODEL_MMIO_MODERN,
    PCI_LEGACY = 1 << VIRTIO_MODEL_PCI_LEGACY,
    PCI_MODERN = 1 << VIRTIO_MODEL_PCI_MODERN,
    TRANSITIONAL = 1 << VIRTIO_MODEL_PCI_TRANSITIONAL,
    LEGACY = MMIO_LEGACY | PCI_LEGACY,
    MODERN = MMIO_MODERN | PCI_MODERN | TRANSITIONAL,
    ALL = LEGACY | MODERN,
};

extern const struct driver virtio_net_driver, virtio_blk_driver, virtio_rng_driver;

/* Options by number, so that 40 numbers in a row give every transport with EVENT_IDX and INDIRECT_DESC on and off,
 * with vectors and without. */
struct virtio_model_options class_options(unsigned number);

/* A fresh home and log. */
void class_begin(uint64_t seed, bool contiguous_loans);

/* Stops the driver. Nobody complained, nobody is at fault, nothing is kept, the device reached nothing that was not
 * granted (but for one that was revoked at work). The model is not destroyed. */
void class_end(struct virtio_model *model, bool revoked);

/* The log has this sentence, or (NULL) no warning and no error. */
void class_expect_log(const char *id, const char *sentence);

#endif
