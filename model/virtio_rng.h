/*
 * virtio_rng.h: a virtio entropy device for the host's home [virtio 1.2 §5.4]. Its bytes are 1, 2, ..., 255, 1, ...
 * over all answers, so that whoever reads sees what is lost, repeated or made up.
 */
#ifndef MODEL_VIRTIO_RNG_H
#define MODEL_VIRTIO_RNG_H

#include <model/virtio_device.h>

enum {
    E24_LENGTH_0_OFTEN = VIRTIO_EVIL_CLASS_FIRST, /* three empty answers before each real one */
    E24_ZEROS,
    RNG_FEW, /* not evil: at most 3 bytes an answer */
};

/* Destroyed with virtio_rng_destroy. */
struct virtio_model *virtio_rng_create(const struct virtio_model_options *options, enum virtio_model_evil evil);
void virtio_rng_destroy(struct virtio_model *model);

#endif
