/* virtio_class.c: see virtio_class.h. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <driver/virtio/virtio.h>
#include "host_log.h"
#include "virtio_class.h"

struct virtio_model_options class_options(unsigned number)
{
    struct virtio_model_options options = {.transport = number % VIRTIO_MODEL_TRANSPORTS};
    bool mmio = options.transport == VIRTIO_MODEL_MMIO_LEGACY || options.transport == VIRTIO_MODEL_MMIO_MODERN;

    number /= VIRTIO_MODEL_TRANSPORTS;
    options.features_off = (number & 1 ? VIRTIO_FEATURE(VIRTIO_F_EVENT_IDX) : 0) |
                           (number & 2 ? VIRTIO_FEATURE(VIRTIO_F_INDIRECT_DESC) : 0);
    options.vectors = number & 4 && !mmio ? 3 : 0;
    return options;
}

void class_begin(uint64_t seed, bool contiguous_loans)
{
    host_log_clear();
    home_init(&(struct home_options){.seed = seed, .contiguous_loans = contiguous_loans});
}

void class_end(struct virtio_model *model, bool revoked)
{
    struct device *device = virtio_model_device(model);

    home_stop(device);
    if (virtio_model_complaints(model) != 0)
        fail_msg("the device complains: %s\n%s", virtio_model_complaint(model), host_log_text());
    if (home_faults() != 0)
        fail_msg("the driver is at fault: %s\n%s", home_fault_text(), host_log_text());
    if (!revoked && home_account(device).refused != 0)
        fail_msg("the device was refused: %s", home_refused_text());
}

void class_expect_log(const char *id, const char *sentence)
{
    if (sentence == NULL) {
        if (host_log_count(LOG_WARN) + host_log_count(LOG_ERROR) != 0)
            fail_msg("%s: words too many: %s", id, host_log_text());
    } else if (!host_log_has(sentence)) {
        fail_msg("%s: no word of \"%s\" in: %s", id, sentence, host_log_text());
    }
}
