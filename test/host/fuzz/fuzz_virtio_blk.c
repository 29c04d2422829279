/*
 * fuzz_virtio_blk.c: the virtio-blk driver and a disk whose every answer comes from the fuzzer. Each request is done
 * exactly once with a status that means something, nothing outside of its memory is written, nothing is kept.
 */
#include <stdlib.h>
#include <string.h>
#include <vmos/block.h>
#include "fuzz_device.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

extern const struct driver virtio_blk_driver;

enum { MAX_JOBS = 64, MAX_SEGMENTS = 24, MAX_BYTES = 1 << 18 };

static struct job {
    struct block_request request; /* first: done gets it back */
    struct memory_ref segments[MAX_SEGMENTS];
    uint8_t *memory;
    bool out;
} jobs[MAX_JOBS];

static unsigned out_count;

static void done(struct block_request *request)
{
    struct job *job = (struct job *)request;

    fuzz_demand(job->out, "a request that is done twice");
    fuzz_demand(request->status < STATUS_COUNT, "a status that means nothing");
    job->out = false;
    out_count--;
    free(job->memory);
    job->memory = NULL;
}

/* Whatever was asked for: some bytes, a length, a status. */
static uint32_t handle(struct virtio_model *model, void *context, const struct virtio_model_request *request)
{
    uint8_t answer = fuzz8(), bytes[24];
    uint32_t claim = request->writable;

    (void)context;
    if (answer == 0xee)
        return VIRTIO_MODEL_HOLD;
    for (unsigned i = 0; i < sizeof bytes; i++)
        bytes[i] = (uint8_t)(answer + i);
    virtio_model_write(model, request, 0, bytes, sizeof bytes);
    if (answer >= 0xf0)
        claim = fuzz32();
    else if (request->writable != 0)
        virtio_model_write(model, request, request->writable - 1, &(uint8_t){answer > 0x80 ? answer : 0}, 1);
    return claim == VIRTIO_MODEL_HOLD ? 0 : claim;
}

/* Segments out of one piece of memory that is exactly as large as they say. */
static void cut(struct job *job, const struct block_info *info)
{
    uint64_t wanted = job->request.block_count * info->block_size, at = 0;
    unsigned count = 0, kind = fuzz8();

    if (job->request.operation == BLOCK_FLUSH || wanted / info->block_size != job->request.block_count)
        wanted = 0;
    if (wanted > MAX_BYTES)
        wanted = MAX_BYTES;
    job->memory = malloc(wanted + 1);
    while (at < wanted && count < MAX_SEGMENTS) {
        uint64_t length = kind & 1 ? 4 * (1 + fuzz8()) : wanted;
        if (length > wanted - at || count == MAX_SEGMENTS - 1)
            length = wanted - at;
        job->segments[count++] = (struct memory_ref){.offset = (uintptr_t)job->memory + at, .length = length};
        at += length;
    }
    if (kind == 0xf0 && count != 0)
        job->segments[count - 1].length += fuzz64();
    job->request.segments = job->segments;
    job->request.segment_count = count;
}

static void submit(struct block_device *block)
{
    struct block_request *list[MAX_JOBS];
    unsigned count = 0, wanted = 1 + fuzz8() % 8;

    for (unsigned i = 0; i < MAX_JOBS && count < wanted; i++) {
        struct job *job = &jobs[i];
        if (job->out)
            continue;
        uint8_t operation = fuzz8();
        *job = (struct job){
            .request = {.operation = operation % 6, .done = done, .first_block = fuzz8(), .block_count = fuzz8() % 80}};
        if (operation & 64)
            job->request.first_block = fuzz64();
        if (operation & 128)
            job->request.block_count = fuzz64();
        cut(job, &block->info);
        job->out = true;
        out_count++;
        list[count++] = &job->request;
    }
    fuzz_demand(block->ops->submit(block->driver, list, count) == count, "requests that are not taken");
}

static void check_info(const struct block_info *info)
{
    uint32_t size = info->block_size;

    fuzz_demand(size >= 512 && size <= 65536 && (size & (size - 1)) == 0, "a block size that cannot be");
    fuzz_demand(info->block_count <= UINT64_MAX / size, "a disk larger than addresses can say");
    fuzz_demand(memchr(info->serial, '\0', sizeof info->serial) != NULL, "a serial number without an end");
    for (const char *at = info->serial; *at != '\0'; at++)
        fuzz_demand(*at >= ' ' && *at <= '~', "a serial number with control characters");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct virtio_model_class class = {
        .id = 2, .queue_count = 1, .queue_sizes = {64}, .config_size = 60, .handle = handle};
    bool free_again = true;

    fuzz_input(data, size);
    struct virtio_model *model = fuzz_device_create(&class);
    struct device *device = virtio_model_device(model);
    for (unsigned starts = 0; starts < 4 && free_again && fuzz_left(); starts++) {
        if (!fuzz_device_start(model, &virtio_blk_driver))
            continue;
        struct block_device *block = home_block(device);
        for (uint8_t operation; fuzz_left() && (operation = fuzz8()) != 0xff;) {
            check_info(&block->info);
            if (operation % 3 == 0)
                submit(block);
            else if (operation % 3 == 1)
                fuzz_device_act(model);
            else
                block->ops->poll(block->driver);
        }
        virtio_model_misbehave(model, VIRTIO_EVIL_NONE);
        free_again = fuzz_device_stop(model);
        fuzz_demand(out_count == 0, "requests are lost");
    }
    fuzz_device_destroy(model);
    return 0;
}
