/*
 * fuzz_virtio_blk.c: the virtio-blk driver and a disk whose every answer comes from the fuzzer. Each request is done
 * exactly once with a status that means something, nothing outside of its memory is written, nothing is kept.
 */
#include <stdlib.h>
#include "fuzz_device.h"
#include "fuzz_disk.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

extern const struct driver virtio_blk_driver;

enum { MAX_BYTES = 1 << 18 };

/* Whatever was asked for: some bytes, a length, a status. */
static uint32_t serve(struct virtio_model *model, void *context, const struct virtio_model_request *request)
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
static void cut(struct fuzz_job *job, const struct block_info *info)
{
    uint64_t wanted = job->request.block_count * info->block_size, at = 0;
    unsigned count = 0, kind = fuzz8();

    if (job->request.operation == BLOCK_FLUSH || wanted / info->block_size != job->request.block_count)
        wanted = 0;
    if (wanted > MAX_BYTES)
        wanted = MAX_BYTES;
    job->memory = malloc(wanted + 1);
    while (at < wanted && count < FUZZ_SEGMENTS) {
        uint64_t length = kind & 1 ? 4 * (1 + fuzz8()) : wanted;
        if (length > wanted - at || count == FUZZ_SEGMENTS - 1)
            length = wanted - at;
        job->segments[count++] = (struct memory_ref){.offset = (uintptr_t)job->memory + at, .length = length};
        at += length;
    }
    if (kind == 0xf0 && count != 0)
        job->segments[count - 1].length += fuzz64();
    job->request.segment_count = count;
}

static void submit(struct block_device *block)
{
    struct fuzz_job *job;

    for (unsigned wanted = 1 + fuzz8() % 8; wanted != 0 && (job = fuzz_job_take()) != NULL; wanted--) {
        uint8_t operation = fuzz8();
        job->request.operation = operation % 6;
        job->request.first_block = fuzz8();
        job->request.block_count = fuzz8() % 80;
        if (operation & 64)
            job->request.first_block = fuzz64();
        if (operation & 128)
            job->request.block_count = fuzz64();
        cut(job, &block->info);
    }
    fuzz_demand(fuzz_jobs_submit(block) == 0, "requests that are not taken");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct virtio_model_class class = {
        .id = 2, .queue_count = 1, .queue_sizes = {64}, .config_size = 60, .handle = serve};
    bool free_again = true;

    fuzz_input(data, size);
    struct virtio_model *model = fuzz_device_create(&class);
    struct device *device = virtio_model_device(model);
    for (unsigned starts = 0; starts < 4 && free_again && fuzz_left(); starts++) {
        if (!fuzz_device_start(model, &virtio_blk_driver))
            continue;
        struct block_device *block = home_block(device);
        for (uint8_t operation; fuzz_left() && (operation = fuzz8()) != 0xff;) {
            fuzz_disk_check(&block->info);
            if (operation % 3 == 0)
                submit(block);
            else if (operation % 3 == 1)
                fuzz_device_act(model);
            else
                block->ops->poll(block->driver);
        }
        virtio_model_misbehave(model, VIRTIO_EVIL_NONE);
        free_again = fuzz_device_stop(model);
        fuzz_demand(fuzz_jobs_out() == 0, "requests are lost");
    }
    fuzz_device_destroy(model);
    return 0;
}
