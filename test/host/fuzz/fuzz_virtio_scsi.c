/*
 * fuzz_virtio_scsi.c: the virtio-scsi driver and a host whose answers the fuzzer spoils. Each request is done exactly
 * once with a status that means something, nothing outside of its memory is written, nothing is kept.
 */
#include <model/virtio_scsi.h>
#include <stdlib.h>
#include "fuzz_device.h"
#include "fuzz_disk.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

extern const struct driver virtio_scsi_driver;

enum { MAX_BYTES = 1 << 17 };

static struct virtio_scsi_model scsi;
static bool quiet; /* the scan of 256 targets is long: what is spoiled begins with the first disk, or when asked */

/* The model's answer with bytes changed, in the answer or in the data; or none. */
static uint32_t serve(struct virtio_model *model, void *context, const struct virtio_model_request *request)
{
    (void)context;
    uint32_t written = virtio_scsi_handle(model, &scsi, request);
    if (written == VIRTIO_MODEL_HOLD || quiet)
        return written;
    uint8_t how = fuzz8();
    if (how == 0xff)
        return VIRTIO_MODEL_HOLD;
    for (unsigned count = how >= 0xc0 ? how & 7 : 0; count != 0; count--) {
        uint8_t value = fuzz8(), at = fuzz8();
        virtio_model_write(model, request, how & 8 ? at : at % 12, &value, 1);
    }
    return how >= 0xc0 && how & 16 ? fuzz16() : written;
}

static void submit(struct block_device *block)
{
    struct fuzz_job *job;

    for (unsigned wanted = 1 + fuzz8() % 8; wanted != 0 && (job = fuzz_job_take()) != NULL; wanted--) {
        uint8_t operation = fuzz8();
        job->request.operation = operation % 6;
        job->request.first_block = fuzz8();
        job->request.block_count = fuzz8() % 80;
        job->request.force_unit_access = (operation & 32) != 0;
        if (operation & 64)
            job->request.offset = fuzz64();
        if (operation & 128)
            job->request.block_count = fuzz64();
        uint64_t size = job->request.block_count * block->info.block_size;
        if (job->request.operation > BLOCK_WRITE || size > MAX_BYTES)
            size = 0;
        job->memory = malloc(size + 1);
        job->segments[0] = (struct memory_ref){.offset = (uintptr_t)job->memory, .length = size};
        job->request.segment_count = size != 0;
    }
    fuzz_demand(fuzz_jobs_submit(block) == 0, "requests that are not taken");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct virtio_model_class class = {
        .id = 8, .queue_count = 3, .queue_sizes = {16, 16, 64}, .config_size = SCSI_MODEL_CONFIG_SIZE, .handle = serve};
    struct virtio_scsi_options options = {
        .seg_max = 60, .max_sectors = 200, .cmd_per_lun = 20, .sense_size = 96, .cdb_size = 32, .max_lun = 100};
    bool free_again = true;

    fuzz_input(data, size);
    struct virtio_model *model = fuzz_device_create(&class);
    options.max_target = fuzz8() % 4;
    options.unit_count = 2;
    options.units[0] = (struct scsi_unit_options){.block_size = 512,
                                                  .blocks = 300,
                                                  .write_cache = true,
                                                  .force_unit_access = true,
                                                  .provisioned = true,
                                                  .max_discard = 50,
                                                  .max_zeroes = 50,
                                                  .serial = "one"};
    options.units[1] =
        (struct scsi_unit_options){.lun = 1, .block_size = 4096, .blocks = 40, .only_10 = true, .serial = ""};
    scsi = (struct virtio_scsi_model){0};
    virtio_scsi_set_up(&scsi, model, &options);
    for (unsigned starts = 0; starts < 4 && free_again && fuzz_left(); starts++) {
        quiet = fuzz8() & 1;
        if (!fuzz_device_start(model, &virtio_scsi_driver))
            continue;
        quiet = false;
        struct block_device *first = home_block(virtio_model_device(model));
        for (uint8_t operation; fuzz_left() && (operation = fuzz8()) != 0xff;) {
            struct block_device *block = operation & 64 && first != NULL && first->next != NULL ? first->next : first;
            if (operation % 4 == 3)
                virtio_scsi_tell(&scsi, fuzz8() % 4 | (uint32_t)fuzz8() << 31, operation >> 7, fuzz16());
            else if (operation % 4 == 1 || block == NULL)
                fuzz_device_act(model);
            else if (operation % 4 == 0)
                submit(block);
            else
                block->ops->poll(block->driver);
            if (block != NULL)
                fuzz_disk_check(&block->info);
        }
        virtio_model_misbehave(model, VIRTIO_EVIL_NONE);
        free_again = fuzz_device_stop(model);
        fuzz_demand(fuzz_jobs_out() == 0, "requests are lost");
    }
    fuzz_device_destroy(model);
    virtio_scsi_take_down(&scsi);
    return 0;
}
