/*
 * fuzz_device.h: a virtio device for fuzz targets. Its registers, configuration, answers and rings are the model's,
 * unless the input says otherwise; when the input ends it is honest. One at a time.
 */
#ifndef FUZZ_DEVICE_H
#define FUZZ_DEVICE_H

#include <model/virtio_device.h>
#include "fuzz_input.h"

/* A fresh home; a device of this class and of a transport, features and configuration from the input. What a driver
 * does wrong is not looked for: a device that lies makes it. */
struct virtio_model *fuzz_device_create(struct virtio_model_class *class);
void fuzz_device_destroy(struct virtio_model *model);

/* Starts; what a start that failed has left behind is demanded to be nothing. */
bool fuzz_device_start(struct virtio_model *model, const struct driver *driver);

/* Stops; false when the device kept what it had, since it did not confirm its reset: start it no more. */
bool fuzz_device_stop(struct virtio_model *model);

/* One thing that the device does of itself, or time that passes. */
void fuzz_device_act(struct virtio_model *model);

#endif
