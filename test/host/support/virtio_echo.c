/* virtio_echo.c: see virtio_echo.h. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>
#include "host_log.h"
#include "virtio_echo.h"

enum { MAX_SEGMENTS = 1024 };

static uint32_t serve(struct virtio_model *model, void *context, const struct virtio_model_request *request)
{
    uint8_t *bytes = malloc(request->readable + request->writable + 2u);
    uint8_t *answer = bytes + request->readable + 1;

    (void)context;
    bytes[0] = 0;
    size_t got = virtio_model_read(model, request, 0, bytes, request->readable);
    for (uint32_t i = 0; i < request->writable; i++)
        answer[i] = (uint8_t)(got != 0 ? bytes[i % got] ^ ECHO_CHANGE : ECHO_CHANGE);
    size_t put = virtio_model_write(model, request, 0, answer, request->writable);
    free(bytes);
    return (uint32_t)put;
}

const struct virtio_model_class echo_class = {
    .id = 4,
    .class_code = 0x00ff00,
    .features = VIRTIO_FEATURE(0) | VIRTIO_FEATURE(5) | VIRTIO_FEATURE(17) | VIRTIO_FEATURE(22),
    .queue_count = ECHO_QUEUES,
    .queue_sizes = {ECHO_QUEUE_SIZE, ECHO_QUEUE_SIZE, ECHO_QUEUE_SIZE},
    .config_size = ECHO_CONFIG_SIZE,
    .handle = serve,
};

const struct virtio_feature echo_features[] = {
    {0, true, "mac", 0},
    {5, true, "status", 0},
    {17, false, "ctrl_vq", 0},
    {22, true, "mq", VIRTIO_FEATURE(17)},
};

struct virtio_model *echo_begin(const struct virtio_model_options *options, enum virtio_model_evil evil, uint64_t seed)
{
    host_log_clear();
    home_init(&(struct home_options){.seed = seed});
    struct virtio_model *model = virtio_model_create(&echo_class, NULL, options, evil);
    for (unsigned i = 0; i < ECHO_CONFIG_SIZE; i++)
        virtio_model_config(model)[i] = (uint8_t)(0x10 + i);
    return model;
}

void echo_end(struct virtio_model *model)
{
    if (virtio_model_complaints(model) != 0)
        fail_msg("the device complains: %s", virtio_model_complaint(model));
    home_check_returned(virtio_model_device(model));
    if (home_faults() != 0)
        fail_msg("the driver is at fault: %s", home_fault_text());
    virtio_model_destroy(model);
}

void echo_open(struct virtio_model *model, struct virtio_device *virtio, struct virtqueue *queues[],
               unsigned queue_count, uint16_t max_size)
{
    assert_int_equal(virtio_open(virtio, virtio_model_device(model), echo_features, ECHO_FEATURES), STATUS_OK);
    for (unsigned i = 0; i < queue_count; i++)
        assert_int_equal(virtqueue_open(&queues[i], virtio, (uint16_t)i, max_size, (uint16_t)(i + 1)), STATUS_OK);
    assert_int_equal(virtio_go(virtio), STATUS_OK);
}

unsigned echo_close(struct virtio_device *virtio, struct virtqueue *queues[], unsigned queue_count)
{
    unsigned count = 0;

    virtio_reset(virtio);
    for (unsigned i = 0; i < queue_count; i++) {
        uint64_t token;
        while (virtqueue_take_back(queues[i], &token)) {
            struct echo_request *request = (struct echo_request *)(uintptr_t)token;
            echo_finish(virtio, request, 0);
            free(request);
            count++;
        }
        virtqueue_close(queues[i]);
    }
    virtio_close(virtio);
    return count;
}

static enum status lend(struct virtio_device *virtio, struct echo_request *request, uint8_t *bytes, uint32_t size,
                        enum dma_direction direction, struct virtqueue_part parts[], unsigned *count)
{
    struct dma_segment segments[MAX_SEGMENTS];
    struct memory_ref memory = {.offset = (uintptr_t)bytes, .length = size};
    uint32_t loan;

    *count = 0;
    if (size == 0)
        return STATUS_OK;
    enum status status = dma_lend(virtio->device, &memory, direction, segments, MAX_SEGMENTS, count, &loan);
    if (status != STATUS_OK)
        return status;
    request->loans[request->loan_count++] = loan;
    for (unsigned i = 0; i < *count; i++)
        parts[i] = (struct virtqueue_part){segments[i].address, segments[i].length};
    return STATUS_OK;
}

/* What is small lies in one page, so that it is lent as one part. */
static uint8_t *allocate(uint32_t size)
{
    void *bytes = NULL;

    assert_int_equal(posix_memalign(&bytes, 64, size + 1u), 0);
    return bytes;
}

enum status echo_add(struct virtio_device *virtio, struct virtqueue *queue, struct echo_request *request,
                     uint32_t out_size, uint32_t in_size)
{
    struct virtqueue_part parts[2 * MAX_SEGMENTS];
    unsigned out = 0, in = 0;

    *request = (struct echo_request){.out_size = out_size, .in_size = in_size};
    request->out = allocate(out_size);
    request->in = allocate(in_size);
    memset(request->in, 0, in_size);
    for (uint32_t i = 0; i < out_size; i++)
        request->out[i] = (uint8_t)home_random();
    enum status status = lend(virtio, request, request->out, out_size, DMA_TO_DEVICE, parts, &out);
    if (status == STATUS_OK)
        status = lend(virtio, request, request->in, in_size, DMA_FROM_DEVICE, parts + out, &in);
    if (status == STATUS_OK)
        status = virtqueue_add(queue, parts, (uint16_t)out, (uint16_t)in, (uintptr_t)request);
    if (status != STATUS_OK)
        echo_finish(virtio, request, 0);
    return status;
}

void echo_finish(struct virtio_device *virtio, struct echo_request *request, uint32_t written)
{
    for (unsigned i = 0; i < request->loan_count && !virtio->stuck; i++)
        dma_return(virtio->device, request->loans[i]);
    assert_true(written <= request->in_size);
    for (uint32_t i = 0; i < written; i++) {
        uint8_t source = request->out_size != 0 ? request->out[i % request->out_size] : 0;
        assert_int_equal(request->in[i], source ^ ECHO_CHANGE);
    }
    free(request->out);
    free(request->in);
    request->loan_count = 0;
}
