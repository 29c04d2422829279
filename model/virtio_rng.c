/* virtio_rng.c: see virtio_rng.h. */
#include <model/virtio_model.h>
#include <model/virtio_rng.h>
#include <stdlib.h>

struct rng {
    uint8_t next;
    unsigned answers;
};

static uint32_t serve(struct virtio_model *model, void *context, const struct virtio_model_request *request)
{
    struct rng *rng = context;
    enum virtio_model_evil evil = virtio_model_evil(model);
    uint32_t size = request->writable, done = 0;

    if (request->readable != 0 || size == 0)
        model_complain(model, "a request with %u readable and %u writable bytes", request->readable, size);
    for (uint32_t i = 0; i < request->parts[0].length; i++) {
        uint8_t old = 0;
        if (home_dma_read(model->device, request->parts[0].address + i, &old, 1) && old != 0)
            model_complain(model, "the buffer still holds what was given before");
    }
    rng->answers++;
    if (evil == (enum virtio_model_evil)E24_LENGTH_0_OFTEN && rng->answers % 4 != 0)
        return 0;
    if (evil == (enum virtio_model_evil)RNG_FEW && size > 3)
        size = 3;
    for (; done < size; done++) {
        uint8_t byte = evil == (enum virtio_model_evil)E24_ZEROS ? 0 : rng->next++;
        rng->next += rng->next == 0;
        virtio_model_write(model, request, done, &byte, 1);
    }
    return done;
}

static const struct virtio_model_class class = {
    .id = 4,
    .class_code = 0x00ff00,
    .queue_count = 1,
    .queue_sizes = {8},
    .handle = serve,
};

struct virtio_model *virtio_rng_create(const struct virtio_model_options *options, enum virtio_model_evil evil)
{
    struct rng *rng = calloc(1, sizeof *rng);

    rng->next = 1;
    return virtio_model_create(&class, rng, options, evil);
}

void virtio_rng_destroy(struct virtio_model *model)
{
    free(virtio_model_context(model));
    virtio_model_destroy(model);
}
