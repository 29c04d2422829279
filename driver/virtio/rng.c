/*
 * rng.c: virtio entropy device [virtio 1.2 §5.4].
 *
 * QEMU: -device virtio-rng-pci or virtio-rng-device
 *
 * One queue of buffers that the device fills. One request is in flight at a time; one that comes too late for
 * its reader keeps its buffer and serves the next.
 */
#include "virtio.h"

#include <lib/log.h>
#include <lib/malloc.h>
#include <lib/string.h>
#include <vmos/entropy.h>

enum { REQUEST_QUEUE = 0, QUEUE_SIZE = 8, BUFFER_SIZE = 1024, REQUEST_TOKEN = 1 };

struct virtio_rng {
    struct virtio_device virtio;
    struct virtqueue *queue;
    struct dma_memory buffer;
    bool in_flight;
    unsigned empty_answers; /* in a row */
    struct entropy_device entropy;
};

enum { EMPTY_ANSWERS_MOST = 8 };

/* Posts the buffer, unless an earlier request still has it. */
static enum status request(struct virtio_rng *rng, size_t size)
{
    struct virtqueue_part part = {rng->buffer.address, (uint32_t)(size < BUFFER_SIZE ? size : BUFFER_SIZE)};
    enum status status;

    if (rng->in_flight)
        return STATUS_OK;
    status = virtqueue_add(rng->queue, &part, 0, 1, REQUEST_TOKEN);
    if (status != STATUS_OK)
        return status;
    rng->in_flight = true;
    virtqueue_submit(rng->queue);
    return STATUS_OK;
}

/* Waits for the answer; the bytes that the device says it gave, 0 at the deadline. */
static size_t answer(struct virtio_rng *rng, uint64_t deadline_ns)
{
    uint64_t token;
    uint32_t written;

    if (!virtqueue_wait(rng->queue, deadline_ns) || !virtqueue_next(rng->queue, &token, &written))
        return 0;
    rng->in_flight = false;
    rng->empty_answers = written == 0 ? rng->empty_answers + 1 : 0;
    return written;
}

static size_t rng_read(void *driver, void *to, size_t size, uint64_t deadline_ns)
{
    struct virtio_rng *rng = driver;
    size_t done = 0;

    while (done < size && rng->empty_answers < EMPTY_ANSWERS_MOST && request(rng, size - done) == STATUS_OK) {
        size_t got = answer(rng, deadline_ns);
        if (rng->in_flight)
            break; /* the deadline, or a broken queue */
        if (got > size - done)
            got = size - done; /* a late answer to a larger request */
        memcpy((uint8_t *)to + done, rng->buffer.memory, got);
        memset(rng->buffer.memory, 0, BUFFER_SIZE); /* nobody else shall see them */
        done += got;
    }
    if (rng->empty_answers == EMPTY_ANSWERS_MOST) {
        log_warn(rng->entropy.name, "answered %u requests in a row with no entropy and is not asked again",
                 EMPTY_ANSWERS_MOST);
        rng->empty_answers++;
    }
    return done;
}

static const struct entropy_ops rng_ops = {.read = rng_read};

/* After a reset, or before the device was started. */
static void release(struct virtio_rng *rng)
{
    uint64_t token;

    while (rng->queue != NULL && virtqueue_take_back(rng->queue, &token))
        ;
    virtqueue_close(rng->queue);
    if (!rng->virtio.stuck)
        dma_free(rng->virtio.device, &rng->buffer);
    virtio_close(&rng->virtio);
    free(rng);
}

static enum status rng_start(struct device *device, void **state)
{
    struct virtio_rng *rng = calloc(1, sizeof *rng);
    enum status status;

    if (rng == NULL)
        return STATUS_NO_MEMORY;
    status = virtio_open(&rng->virtio, device, NULL, 0);
    if (status != STATUS_OK) {
        free(rng);
        return status;
    }
    status = dma_allocate(device, BUFFER_SIZE, 64, &rng->buffer);
    if (status == STATUS_OK)
        status = virtqueue_open(&rng->queue, &rng->virtio, REQUEST_QUEUE, QUEUE_SIZE, 1);
    if (status == STATUS_OK)
        status = virtio_go(&rng->virtio);
    rng->entropy = (struct entropy_device){.ops = &rng_ops, .driver = rng, .name = device_name(device)};
    if (status == STATUS_OK)
        status = device_publish_entropy(device, &rng->entropy);
    if (status != STATUS_OK) {
        virtio_reset(&rng->virtio);
        release(rng);
        return status;
    }
    *state = rng;
    return STATUS_OK;
}

static void rng_handle(void *state, uint32_t events)
{
    struct virtio_rng *rng = state;

    virtio_cause(&rng->virtio, events); /* answers are taken by whoever waits for them */
}

static void rng_stop(void *state)
{
    struct virtio_rng *rng = state;

    virtio_reset(&rng->virtio);
    release(rng);
}

static const struct driver_match rng_matches[] = {
    {DEVICE_BUS_PCI, 0x1af4, 0x1005},
    {DEVICE_BUS_PCI, 0x1af4, 0x1044},
    {DEVICE_BUS_VIRTIO_MMIO, DEVICE_ANY_ID, 4},
};

const struct driver virtio_rng_driver = {
    .name = "virtio-rng",
    .matches = rng_matches,
    .match_count = sizeof rng_matches / sizeof rng_matches[0],
    .start = rng_start,
    .handle = rng_handle,
    .stop = rng_stop,
};
