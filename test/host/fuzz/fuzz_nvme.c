/*
 * fuzz_nvme.c: the NVMe driver and a controller that does what the fuzzer says: its limits, its misbehaviour and when
 * it begins, what its registers read, bytes anywhere in its completion queues. Each request is done exactly once with
 * a status that means something, nothing outside of its memory is written, nothing is kept.
 */
#include <lib/bytes.h>
#include <model/home/home_local.h>
#include <model/nvme.h>
#include <stdlib.h>
#include "fuzz_disk.h"
#include "host_log.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

extern const struct driver nvme_driver;

enum { MAX_BYTES = 1 << 15, TELL_ANOTHER = 0xf5, MOST_ACTS = 400 };

static struct home_device_ops honest, ops;

static uint32_t read_register(void *model, unsigned window, uint64_t offset, unsigned width)
{
    uint32_t value = honest.read(model, window, offset, width);

    return fuzz8() == TELL_ANOTHER ? fuzz32() : value;
}

static void submit(struct block_device *block)
{
    struct fuzz_job *job;

    for (unsigned wanted = 1 + fuzz8() % 24; wanted != 0 && (job = fuzz_job_take()) != NULL; wanted--) {
        uint8_t kind = fuzz8();
        uint64_t blocks = 1 + fuzz8() % 200, size = blocks * block->info.block_size, cut = size / 4 & ~UINT64_C(3);
        if (size > MAX_BYTES) {
            blocks = MAX_BYTES / block->info.block_size;
            size = blocks * block->info.block_size;
            cut = size / 4;
        }
        job->memory = malloc(size + 64);
        uint64_t at = (uintptr_t)job->memory + (kind >> 3 & 7) * 4;
        job->segments[0] = (struct memory_ref){.offset = at, .length = cut};
        job->segments[1] = (struct memory_ref){.offset = at + cut, .length = cut};
        job->segments[2] = (struct memory_ref){.offset = at + 2 * cut, .length = size - 2 * cut};
        job->request.segment_count = 3;
        job->request.operation = kind % 6 % 5;
        job->request.first_block = kind & 64 ? fuzz32() : fuzz8();
        job->request.block_count = kind % 6 == BLOCK_FLUSH ? 0 : blocks;
        job->request.force_unit_access = (kind & 128) != 0;
    }
    fuzz_jobs_submit(block);
}

/* A word of an answer, or any other byte of a completion queue. */
static void lie(struct nvme_model *model)
{
    struct nvme_model_queue *queue = &model->queues[fuzz8() % NVME_MODEL_QUEUES];
    uint32_t value = fuzz32();
    uint8_t word[4];

    if (!queue->cq_made)
        return;
    store_le32(word, value);
    uint64_t at =
        fuzz8() % 2 != 0 ? (queue->cq_tail * UINT64_C(16) + 12) : (value >> 3) % (queue->cq_entries * 16u - 4u);
    home_dma_write(model->device, queue->cq + at, word, sizeof word);
}

static void act(struct nvme_model *model)
{
    struct block_device *block = home_block(model->device);
    uint8_t what = fuzz8();

    switch (what % 8) {
    case 0:
    case 1:
        for (unsigned i = what >> 3 & 3; block != NULL && block->next != NULL && i != 0; i--)
            block = block->next;
        if (block != NULL)
            submit(block);
        break;
    case 2:
        home_run(model->device, fuzz8() * UINT64_C(5000), NULL, NULL);
        break;
    case 3:
        home_run(model->device, fuzz8() * NANOSECONDS_PER_SECOND / 8, NULL, NULL);
        break;
    case 4:
        lie(model);
        break;
    case 5:
        nvme_model_event(model, fuzz8() % 8, fuzz8(), fuzz8());
        break;
    case 6:
        model->options.evil = fuzz8() % NVME_EVIL_COUNT;
        model->options.after = model->io_commands + fuzz8() % 8;
        model->evils = 0;
        model->options.times = fuzz8() % 4;
        break;
    case 7:
        model->disks[fuzz8() % 2].is.exponent = fuzz8() % 2 != 0 ? 9 : 12;
        home_handle(model->device, what >> 3);
        break;
    }
}

static void set_up(struct nvme_model_options *options)
{
    uint8_t settings = fuzz8();

    *options = (struct nvme_model_options){
        .entries = (uint16_t)(1 + fuzz8() % 80),
        .stride = fuzz8() % 20 == 0 ? 15 : 0,
        .timeout = fuzz8() % 4,
        .transfer = fuzz8() % 8,
        .queues = (uint16_t)(1 + fuzz8() % 8),
        .vectors = settings % 5,
        .version = settings & 8 ? 0x10000 : 0x10400,
        .optional = fuzz8(),
        .write_cache = (settings & 16) != 0,
        .doorbell_buffer = (settings & 32) != 0,
        .no_limits_page = (settings & 64) != 0,
        .range_limit = fuzz8(),
        .zeroes_limit = fuzz8() % 6,
        .delay_ns = fuzz8() * 1000u,
        .namespaces = {{.id = 1, .blocks = 2048, .exponent = settings & 128 ? 12 : 9},
                       {.id = fuzz8(), .blocks = 64, .exponent = 9, .metadata = fuzz8() % 8 == 7 ? 8 : 0}},
        .evil = fuzz8() % 4 == 0 ? fuzz8() % NVME_EVIL_COUNT : NVME_EVIL_NONE,
        .after = fuzz8(),
        .times = fuzz8() % 8,
    };
    if (options->namespaces[1].id == 1)
        options->namespaces[1].id = 0;
    /* Blocks of the larger size are there, whatever the size becomes. */
    options->namespaces[0].exponent = options->namespaces[1].exponent = 12;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct nvme_model_options options;

    fuzz_input(data, size);
    host_log_clear();
    uint8_t settings = fuzz8();
    home_init(&(struct home_options){.seed = settings,
                                     .contiguous_loans = (settings & 1) != 0,
                                     .writable_completions = true,
                                     .cpu_count = settings % 5,
                                     .dma_limit = settings & 64 ? 65536 : 0,
                                     .driver_options = settings & 32 ? "timeout=1s" : NULL});
    set_up(&options);
    struct nvme_model *model = nvme_model_create(&options);
    honest = *model->device->description.ops;
    ops = honest;
    ops.read = read_register;
    model->device->description.ops = &ops;
    home_quarantine(model->device); /* we look ourselves */
    home_start(model->device, &nvme_driver);
    for (unsigned i = 0; fuzz_left() && i < MOST_ACTS; i++)
        act(model);
    home_run(model->device, NANOSECONDS_PER_SECOND, NULL, NULL);
    home_stop(model->device);
    fuzz_demand(fuzz_jobs_out() == 0, "a request that is never done");
    struct home_account account = home_account(model->device);
    fuzz_demand(account.interrupts == 0, "an interrupt is kept");
    fuzz_demand(host_log_has("its reset is not confirmed") || (account.owned | account.loans | account.queues) == 0,
                "something is kept");
    fuzz_demand(home_faults() == 0, home_fault_text());
    nvme_model_destroy(model);
    return 0;
}
