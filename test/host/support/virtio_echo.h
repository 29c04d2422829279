/*
 * virtio_echo.h: the smallest virtio class, for tests of the rings and transports: it answers each request by
 * filling the writable bytes with the readable ones, each changed by ECHO_CHANGE, over and over.
 */
#ifndef VIRTIO_ECHO_H
#define VIRTIO_ECHO_H

#include <driver/virtio/virtio.h>
#include <model/virtio_device.h>

enum { ECHO_CHANGE = 0x5a, ECHO_QUEUES = 3, ECHO_QUEUE_SIZE = 256, ECHO_CONFIG_SIZE = 24 };

extern const struct virtio_model_class echo_class;

/* A driver's table: bits 0 (mac) and 5 (status) wanted, 17 (ctrl_vq) not, 22 (mq) wanted and needs 17. */
extern const struct virtio_feature echo_features[];
enum { ECHO_FEATURES = 4 };

/* Fresh home, model with `options`, misbehaving so. The model is destroyed by echo_end. */
struct virtio_model *echo_begin(const struct virtio_model_options *options, enum virtio_model_evil evil, uint64_t seed);
void echo_end(struct virtio_model *model);

/* Opens the device and `queue_count` queues of at most `max_size`, and goes. Asserts success. */
void echo_open(struct virtio_model *model, struct virtio_device *virtio, struct virtqueue *queues[],
               unsigned queue_count, uint16_t max_size);

/* Resets, takes back (and counts) what is in flight, closes; asserts that nothing is kept and nobody complained. */
unsigned echo_close(struct virtio_device *virtio, struct virtqueue *queues[], unsigned queue_count);

/* A request with bytes of its own: `out` to the device, then `in` from it, lent to the device. */
struct echo_request {
    uint8_t *out, *in;
    uint32_t out_size, in_size;
    uint32_t loans[2];
    unsigned loan_count;
};

/* Fills the bytes (from the home's random bits), lends them, adds them; on failure nothing is kept. */
enum status echo_add(struct virtio_device *virtio, struct virtqueue *queue, struct echo_request *request,
                     uint32_t out_size, uint32_t in_size);
/* Takes the loans back and, when `written` is not 0, asserts that the answer is right. Frees the bytes. */
void echo_finish(struct virtio_device *virtio, struct echo_request *request, uint32_t written);

#endif
