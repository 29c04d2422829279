/*
 * fuzz_nvme.c: the NVMe driver and a controller that does what the fuzzer says: its limits, its misbehaviour and when
 * it begins, what its registers read, bytes anywhere in its completion queues. Each request is done exactly once with
 * a status that means something, nothing outside of its memory is written, nothing is kept.
 */
#include <lib/bytes.h>
#include <model/home/home_local.h>
#include <model/nvme.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <vmos/block.h>
#include "host_log.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

extern const struct driver nvme_driver;

enum { MAX_JOBS = 32, MAX_BYTES = 1 << 15, TELL_ANOTHER = 0xf5, MOST_ACTS = 400 };

static const uint8_t *input;
static size_t left;
static struct home_device_ops honest, ops;

static struct job {
    struct block_request request; /* first: done gets it back */
    struct memory_ref segments[3];
    uint8_t *memory;
    bool out;
} jobs[MAX_JOBS];
static unsigned out_count;

static uint8_t next8(void)
{
    if (left == 0)
        return 0;
    left--;
    return *input++;
}

static uint32_t next32(void)
{
    uint32_t value = next8();

    for (unsigned i = 1; i < 4; i++)
        value |= (uint32_t)next8() << (8 * i);
    return value;
}

static void demand(bool good, const char *what)
{
    if (good)
        return;
    fprintf(stderr, "broken: %s\n%s", what, host_log_text());
    abort();
}

static uint32_t read_register(void *model, unsigned window, uint64_t offset, unsigned width)
{
    uint32_t value = honest.read(model, window, offset, width);

    return next8() == TELL_ANOTHER ? next32() : value;
}

static void done(struct block_request *request)
{
    struct job *job = (struct job *)request;

    demand(job->out, "a request that is done twice");
    demand(request->status < STATUS_COUNT, "a status that means nothing");
    job->out = false;
    out_count--;
    free(job->memory);
    job->memory = NULL;
}

static void submit(struct block_device *block)
{
    struct block_request *list[MAX_JOBS];
    unsigned wanted = 1 + next8() % 24, count = 0;

    for (unsigned i = 0; i < MAX_JOBS && count < wanted; i++) {
        struct job *job = &jobs[i];
        if (job->out)
            continue;
        uint8_t kind = next8();
        uint64_t blocks = 1 + next8() % 200, size = blocks * block->info.block_size, cut = size / 4 & ~UINT64_C(3);
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
        job->request = (struct block_request){.operation = kind % 6 % 5,
                                              .first_block = kind & 64 ? next32() : next8(),
                                              .block_count = kind % 6 == BLOCK_FLUSH ? 0 : blocks,
                                              .force_unit_access = (kind & 128) != 0,
                                              .segments = job->segments,
                                              .segment_count = 3,
                                              .done = done};
        job->out = true;
        out_count++;
        list[count++] = &job->request;
    }
    unsigned taken = block->ops->submit(block->driver, list, count);
    for (unsigned i = taken; i < count; i++) {
        struct job *job = (struct job *)list[i];
        job->out = false;
        out_count--;
        free(job->memory);
    }
}

/* A word of an answer, or any other byte of a completion queue. */
static void lie(struct nvme_model *model)
{
    struct nvme_model_queue *queue = &model->queues[next8() % NVME_MODEL_QUEUES];
    uint32_t value = next32();
    uint8_t word[4];

    if (!queue->cq_made)
        return;
    store_le32(word, value);
    uint64_t at =
        next8() % 2 != 0 ? (queue->cq_tail * UINT64_C(16) + 12) : (value >> 3) % (queue->cq_entries * 16u - 4u);
    home_dma_write(model->device, queue->cq + at, word, sizeof word);
}

static void act(struct nvme_model *model)
{
    struct block_device *block = home_block(model->device);
    uint8_t what = next8();

    switch (what % 8) {
    case 0:
    case 1:
        for (unsigned i = what >> 3 & 3; block != NULL && block->next != NULL && i != 0; i--)
            block = block->next;
        if (block != NULL)
            submit(block);
        break;
    case 2:
        home_run(model->device, next8() * UINT64_C(5000), NULL, NULL);
        break;
    case 3:
        home_run(model->device, next8() * NANOSECONDS_PER_SECOND / 8, NULL, NULL);
        break;
    case 4:
        lie(model);
        break;
    case 5:
        nvme_model_event(model, next8() % 8, next8(), next8());
        break;
    case 6:
        model->options.evil = next8() % NVME_EVIL_COUNT;
        model->options.after = model->io_commands + next8() % 8;
        model->evils = 0;
        model->options.times = next8() % 4;
        break;
    case 7:
        model->disks[next8() % 2].is.exponent = next8() % 2 != 0 ? 9 : 12;
        home_handle(model->device, what >> 3);
        break;
    }
}

static void set_up(struct nvme_model_options *options)
{
    uint8_t settings = next8();

    *options = (struct nvme_model_options){
        .entries = (uint16_t)(1 + next8() % 80),
        .stride = next8() % 20 == 0 ? 15 : 0,
        .timeout = next8() % 4,
        .transfer = next8() % 8,
        .queues = (uint16_t)(1 + next8() % 8),
        .vectors = settings % 5,
        .version = settings & 8 ? 0x10000 : 0x10400,
        .optional = next8(),
        .write_cache = (settings & 16) != 0,
        .doorbell_buffer = (settings & 32) != 0,
        .no_limits_page = (settings & 64) != 0,
        .range_limit = next8(),
        .zeroes_limit = next8() % 6,
        .delay_ns = next8() * 1000u,
        .namespaces = {{.id = 1, .blocks = 2048, .exponent = settings & 128 ? 12 : 9},
                       {.id = next8(), .blocks = 64, .exponent = 9, .metadata = next8() % 8 == 7 ? 8 : 0}},
        .evil = next8() % 4 == 0 ? next8() % NVME_EVIL_COUNT : NVME_EVIL_NONE,
        .after = next8(),
        .times = next8() % 8,
    };
    if (options->namespaces[1].id == 1)
        options->namespaces[1].id = 0;
    /* Blocks of the larger size are there, whatever the size becomes. */
    options->namespaces[0].exponent = options->namespaces[1].exponent = 12;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct nvme_model_options options;

    input = data;
    left = size;
    host_log_clear();
    uint8_t settings = next8();
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
    for (unsigned i = 0; left != 0 && i < MOST_ACTS; i++)
        act(model);
    home_run(model->device, NANOSECONDS_PER_SECOND, NULL, NULL);
    home_stop(model->device);
    demand(out_count == 0, "a request that is never done");
    struct home_account account = home_account(model->device);
    demand(account.interrupts == 0, "an interrupt is kept");
    demand(host_log_has("its reset is not confirmed") || (account.owned | account.loans | account.queues) == 0,
           "something is kept");
    demand(home_faults() == 0, home_fault_text());
    nvme_model_destroy(model);
    return 0;
}
