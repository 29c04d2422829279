/*
 * virtio_model.h: what virtio_device.c (the rings) and virtio_registers.c (the transports) share.
 */
#ifndef MODEL_VIRTIO_MODEL_H
#define MODEL_VIRTIO_MODEL_H

#include <model/virtio_device.h>

struct model_queue {
    uint16_t limit, size, vector;
    bool enabled;
    device_address descriptors, available, used;
    uint16_t taken;     /* available index up to which requests were taken */
    uint16_t completed; /* used index */
    bool notified;
    uint8_t *in_flight; /* per descriptor: head of a request that the device holds */
};

struct completion { /* carried out, not yet told */
    struct virtio_model_request request;
    uint32_t written;
    uint64_t when;
};

struct virtio_model {
    const struct virtio_model_class *class;
    void *context;
    struct virtio_model_options options;
    enum virtio_model_evil evil;
    unsigned evil_count; /* how often it was done */
    struct device *device;

    uint8_t config[VIRTIO_MODEL_CONFIG_SIZE];
    uint8_t generation;
    uint64_t features; /* accepted */
    uint32_t offered_select, accepted_select;
    uint8_t status, stuck_status;
    uint8_t cause;
    uint16_t config_vector, queue_select;
    uint32_t guest_page_size;
    bool gone;
    bool modern_used, legacy_used; /* which interface of a transitional device */

    struct model_queue queues[VIRTIO_MODEL_MAX_QUEUES];
    struct completion *completions;
    size_t completion_count, completion_capacity;
    device_address after_address; /* E29: where to write later */
    uint32_t after_length;
    uint64_t after_when, nothing_when;

    uint64_t completed, interrupts, notifications;
    unsigned complaints;
    char complaint[200];
};

void model_complain(struct virtio_model *model, const char *format, ...) __attribute__((format(printf, 2, 3)));
bool model_is_legacy(const struct virtio_model *model);
uint64_t model_offered(const struct virtio_model *model);

/* Tells the driver; by message when there are vectors. */
void model_signal(struct virtio_model *model, uint8_t cause, uint16_t vector);

/* Forgets everything that a reset forgets. */
void model_reset(struct virtio_model *model);

/* Fills the parts that depend on the transport and on what is evil: identity, windows, capabilities. */
void model_describe(const struct virtio_model *model, struct home_device *description);

uint32_t model_register_read(void *model, unsigned window, uint64_t offset, unsigned width);
void model_register_write(void *model, unsigned window, uint64_t offset, unsigned width, uint32_t value);

#endif
