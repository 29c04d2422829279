/*
 * fuzz_virtqueue.c: a virtio device whose every answer comes from the fuzzer: what its registers read as, what its
 * used ring holds, when it changes what. Whatever it says, the driver's side stays in its own memory, ends in
 * bounded time, and gives each token back exactly once.
 *
 * Input: a byte of settings, then operations; register reads take a byte each, and now and then more.
 */
#include <driver/virtio/virtio.h>
#include <model/virtio_model.h>
#include <stdlib.h>
#include <string.h>
#include "fuzz_input.h"
#include "host_log.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { MAX_TOKENS = 512, QUEUES = 2, TELL_ANOTHER = 0xf5 };

static struct {
    bool out, submitted;
    uint32_t writable;
    unsigned queue;
} tokens[MAX_TOKENS + 1]; /* by token */
static unsigned token_count, out_count;

/* ---- The device's registers: those of the model, unless the input says otherwise ---------------------------- */

static uint32_t read_register(void *model, unsigned window, uint64_t offset, unsigned width)
{
    uint32_t value = model_register_read(model, window, offset, width);

    if (fuzz8() == TELL_ANOTHER)
        value = fuzz32();
    return value;
}

static uint32_t never(struct virtio_model *model, void *context, const struct virtio_model_request *request)
{
    (void)model, (void)context, (void)request;
    return VIRTIO_MODEL_HOLD;
}

static const struct virtio_feature features[] = {{0, true, "zero", 0}, {1, true, "one", VIRTIO_FEATURE(0)}};

static struct virtio_model *make_model(uint8_t settings)
{
    static const struct virtio_model_class class = {
        .id = 4, .features = 3, .queue_count = QUEUES, .queue_sizes = {8, 64}, .config_size = 16, .handle = never};
    const struct virtio_model_options options = {
        .transport = settings % VIRTIO_MODEL_TRANSPORTS,
        .vectors = settings & 8 ? 2 : 0,
        .features_off = (settings & 16 ? VIRTIO_FEATURE(VIRTIO_F_EVENT_IDX) : 0) |
                        (settings & 32 ? VIRTIO_FEATURE(VIRTIO_F_INDIRECT_DESC) : 0),
    };

    return virtio_model_create(&class, NULL, &options, VIRTIO_EVIL_NONE);
}

/* ---- Operations ------------------------------------------------------------------------------------------------ */

static void add(struct virtqueue *queue, unsigned number)
{
    struct virtqueue_part parts[80];
    uint16_t out = fuzz8() % 40, in = fuzz8() % 40;
    uint16_t room = virtqueue_room(queue);
    uint32_t writable = 0;

    if (token_count == MAX_TOKENS)
        return;
    for (unsigned i = 0; i < (unsigned)out + in; i++) {
        parts[i] = (struct virtqueue_part){UINT64_C(0x100000) * i, i % 7 == 6 ? fuzz16() : 16 + i};
        writable += i >= out ? parts[i].length : 0;
    }
    enum status status = virtqueue_add(queue, parts, out, in, token_count + 1);
    if (status != STATUS_OK) {
        fuzz_demand(virtqueue_room(queue) == room, "room after a refusal");
        return;
    }
    fuzz_demand(virtqueue_room(queue) < room, "room after an addition");
    token_count++;
    out_count++;
    tokens[token_count].out = true;
    tokens[token_count].submitted = false;
    tokens[token_count].writable = writable;
    tokens[token_count].queue = number;
}

static void submit(struct virtqueue *queue, unsigned number)
{
    if (virtqueue_broken(queue))
        return;
    virtqueue_submit(queue);
    for (unsigned i = 1; i <= token_count; i++)
        tokens[i].submitted |= tokens[i].queue == number;
}

static void take_back(uint64_t token, unsigned number)
{
    fuzz_demand(token >= 1 && token <= token_count, "a token that was never given");
    fuzz_demand(tokens[token].out, "a token that came back before");
    fuzz_demand(tokens[token].queue == number, "a token of another queue");
    tokens[token].out = false;
    out_count--;
}

static void complete(struct virtqueue *queue, unsigned number)
{
    uint64_t token = 0;
    uint32_t written = 0;

    for (unsigned i = 0; virtqueue_next(queue, &token, &written); i++) {
        fuzz_demand(i < 64, "completions without end");
        take_back(token, number);
        fuzz_demand(tokens[token].submitted, "a completion of what was not submitted");
        fuzz_demand(written <= tokens[token].writable, "more written than posted");
    }
}

/* What an honest device would do with the next request, but for the length. */
static void complete_honestly(struct device *device, struct model_queue *queue)
{
    uint16_t head = 0, index = 0;

    if (queue->size == 0 || !home_dma_read(device, queue->available + 2, &index, 2) || index == queue->taken)
        return;
    home_dma_read(device, queue->available + 4 + 2u * (queue->taken % queue->size), &head, 2);
    uint32_t element[2] = {head, fuzz8()};
    home_dma_write(device, queue->used + 4 + 8u * (queue->completed % queue->size), element, sizeof element);
    queue->taken++;
    queue->completed++;
    home_dma_write(device, queue->used + 2, &queue->completed, 2);
}

static void lie(struct device *device, struct model_queue *queue)
{
    uint32_t element[2] = {fuzz8(), fuzz32()};
    uint16_t word = fuzz16();
    uint8_t kind = fuzz8();

    if (queue->size == 0)
        return;
    switch (kind % 5) {
    case 0:
        home_dma_write(device, queue->used + 4 + 8u * (word % queue->size), element, sizeof element);
        break;
    case 1:
        home_dma_write(device, queue->used + 2, &word, 2);
        break;
    case 2: /* flags, avail_event, anything */
        home_dma_write(device, queue->used + word % (8u * queue->size + 6), &kind, 1);
        break;
    case 3:
        home_dma_scribble(device, queue->descriptors + word % (16u * queue->size), element, 4);
        break;
    case 4:
        queue->completed = (uint16_t)(queue->completed + word % 4);
        home_dma_write(device, queue->used + 2, &queue->completed, 2);
        break;
    }
}

static void read_something(struct virtio_device *virtio)
{
    uint8_t bytes[16];
    uint32_t offset = fuzz8(), length = fuzz8() % (sizeof bytes + 1);

    virtio_config_read(virtio, offset, bytes, length);
    virtio_cause(virtio, fuzz8() % 4);
    virtio_is_broken(virtio);
}

static void operate(struct virtio_model *model, struct virtio_device *virtio, struct virtqueue *const queues[])
{
    while (fuzz_left()) {
        uint8_t operation = fuzz8();
        unsigned number = operation >> 7;
        struct virtqueue *queue = queues[number];
        struct model_queue *device_side = &model->queues[number];
        if (queue == NULL)
            continue;
        fuzz_demand(virtqueue_room(queue) <= virtqueue_size(queue), "more room than there is");
        switch (operation % 9) {
        case 0:
        case 1:
            add(queue, number);
            break;
        case 2:
            submit(queue, number);
            break;
        case 3:
            complete(queue, number);
            break;
        case 4:
        case 5:
            complete_honestly(virtio->device, device_side);
            break;
        case 6:
            lie(virtio->device, device_side);
            break;
        case 7:
            if (operation & 16)
                virtqueue_disarm(queue);
            else if (operation & 32)
                virtqueue_wait(queue, clock_now() + NANOSECONDS_PER_MILLISECOND);
            else
                virtqueue_arm(queue);
            break;
        case 8:
            read_something(virtio);
            break;
        }
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct home_device_ops ops = {.read = read_register, .write = model_register_write};
    struct virtio_device virtio;
    struct virtqueue *queues[QUEUES] = {NULL};

    fuzz_input(data, size);
    token_count = out_count = 0;
    host_log_clear();
    uint8_t settings = fuzz8();
    home_init(&(struct home_options){.seed = settings, .writable_completions = (settings & 64) != 0});
    struct virtio_model *model = make_model(settings);
    struct home_device description = {.name = "fuzz0", .ops = &ops, .model = model};
    model_describe(model, &description);
    struct device *device = home_device_create(&description);

    if (virtio_open(&virtio, device, features, 2) == STATUS_OK) {
        for (uint16_t i = 0; i < QUEUES; i++)
            virtqueue_open(&queues[i], &virtio, i, 64, i);
        if (virtio_go(&virtio) == STATUS_OK)
            operate(model, &virtio, queues);
        virtio_reset(&virtio);
        for (unsigned i = 0; i < QUEUES; i++) {
            uint64_t token;
            while (queues[i] != NULL && virtqueue_take_back(queues[i], &token))
                take_back(token, i);
            virtqueue_close(queues[i]);
        }
        virtio_close(&virtio);
        fuzz_demand(out_count == 0, "tokens are lost");
    }
    if (virtio.stuck)
        home_quarantine(device);
    home_check_returned(device);
    fuzz_demand(home_faults() == 0, home_fault_text());
    home_device_destroy(device);
    virtio_model_destroy(model);
    return 0;
}
