/* fuzz_device.c: see fuzz_device.h. */
#include "fuzz_device.h"

#include <driver/virtio/virtio.h>
#include <model/home/home_local.h>
#include <model/virtio_model.h>
#include "host_log.h"

enum { TELL_ANOTHER = 0xf5 };

static struct home_device_ops ops;

static uint32_t read_register(void *model, unsigned window, uint64_t offset, unsigned width)
{
    uint32_t value = model_register_read(model, window, offset, width);

    if (fuzz8() == TELL_ANOTHER)
        value = fuzz32();
    return value;
}

static void take_config(struct virtio_model *model)
{
    uint8_t *config = virtio_model_config(model);

    for (unsigned count = fuzz8() % 16; count != 0; count--) {
        uint8_t at = fuzz8();
        config[at % model->class->config_size] = fuzz8();
    }
}

struct virtio_model *fuzz_device_create(struct virtio_model_class *class)
{
    uint8_t settings = fuzz8();
    const struct virtio_model_options options = {
        .transport = settings % VIRTIO_MODEL_TRANSPORTS,
        .vectors = settings & 8 ? 3 : 0,
        .features_off = (settings & 16 ? VIRTIO_FEATURE(VIRTIO_F_EVENT_IDX) : 0) |
                        (settings & 32 ? VIRTIO_FEATURE(VIRTIO_F_INDIRECT_DESC) : 0),
        .queue_size = (uint16_t)(1u << fuzz8() % 9),
        .delay_ns = (uint32_t)fuzz8() * 1000,
        .reorder = (settings & 128) != 0,
    };

    host_log_clear();
    home_init(&(struct home_options){
        .seed = settings, .contiguous_loans = (settings & 64) != 0, .writable_completions = true});
    class->features = fuzz64();
    struct virtio_model *model = virtio_model_create(class, NULL, &options, VIRTIO_EVIL_NONE);
    take_config(model);
    ops = *model->device->description.ops;
    ops.read = read_register;
    model->device->description.ops = &ops;
    return model;
}

void fuzz_device_destroy(struct virtio_model *model)
{
    fuzz_demand(home_faults() == 0, home_fault_text());
    virtio_model_destroy(model);
}

/* Everything is back, unless the device did not let go of it. */
static bool is_free(struct virtio_model *model)
{
    struct home_account account = home_account(model->device);
    bool stuck = host_log_has("reset is not confirmed");

    fuzz_demand(account.interrupts == 0, "an interrupt is kept");
    fuzz_demand(stuck || (account.owned | account.loans | account.queues) == 0, "something is kept");
    return !stuck;
}

bool fuzz_device_start(struct virtio_model *model, const struct driver *driver)
{
    home_quarantine(model->device); /* we look ourselves */
    if (home_start(model->device, driver) == STATUS_OK)
        return true;
    is_free(model);
    return false;
}

bool fuzz_device_stop(struct virtio_model *model)
{
    home_stop(model->device);
    return is_free(model);
}

/* A used entry or index, or anything else where the device may write. */
static void lie(struct virtio_model *model)
{
    struct model_queue *queue = &model->queues[fuzz8() % model->class->queue_count];
    uint32_t element[2] = {fuzz8(), fuzz32()};
    uint16_t word = fuzz16();

    if (!queue->enabled)
        return;
    switch (fuzz8() % 4) {
    case 0:
        home_dma_write(model->device, queue->used + 4 + 8u * (word % queue->size), element, sizeof element);
        break;
    case 1:
        queue->completed = (uint16_t)(queue->completed + word % 4);
        home_dma_write(model->device, queue->used + 2, &queue->completed, 2);
        break;
    case 2:
        home_dma_write(model->device, queue->used + word % (8u * queue->size + 6), &element[1], 1);
        break;
    case 3:
        home_dma_scribble(model->device, queue->descriptors + word % (16u * queue->size), element, 4);
        break;
    }
}

void fuzz_device_act(struct virtio_model *model)
{
    enum virtio_model_evil evil;

    switch (fuzz8() % 6) {
    case 0:
    case 1:
        home_run(model->device, fuzz8() * UINT64_C(5000), NULL, NULL);
        break;
    case 2:
        home_handle(model->device, fuzz8() % 8);
        break;
    case 3:
        take_config(model);
        virtio_model_config_changed(model);
        break;
    case 4:
        lie(model);
        break;
    case 5:
        evil = fuzz8() % VIRTIO_EVIL_CLASS_FIRST;
        if (evil != D13_INTERRUPT_STORM && evil != D15_GONE) /* no time passes in a storm, and the dead stay dead */
            virtio_model_misbehave(model, evil);
        break;
    }
}
