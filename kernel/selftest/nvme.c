/*
 * nvme.c: every disk of an NVMe controller, by reading alone: what one long request reads is what many requests read
 * block by block, all submitted at once, into memory that is not at the begin of a page. Long is more than a
 * controller takes at once, and many are more than its queues hold: the driver must split the one and keep the others.
 */
#include <kernel/selftest.h>

#include <kernel/kernel.h>
#include <kernel/partition.h>

#include <authority/device.h>
#include <lib/malloc.h>
#include <lib/string.h>
#include <lib/text.h>
#include <platform/clock.h>
#include <vmos/block.h>

enum { LONG_BYTES = 2 << 20, MOST_REQUESTS = 1200 };
#define DEADLINE_NS (60 * NANOSECONDS_PER_SECOND)

struct batch {
    struct block_request requests[MOST_REQUESTS];
    struct memory_ref segments[MOST_REQUESTS];
    struct block_request *list[MOST_REQUESTS];
    unsigned count, failed;
    volatile unsigned done;
};

static void request_done(struct block_request *request)
{
    struct batch *batch = request->client;

    batch->failed += request->status != STATUS_OK;
    batch->done++;
}

static void add(struct batch *batch, uint64_t first, uint64_t blocks, const uint8_t *memory, uint32_t block_size)
{
    unsigned index = batch->count++;

    batch->segments[index] = (struct memory_ref){.offset = (uintptr_t)memory, .length = blocks * block_size};
    batch->requests[index] = (struct block_request){.operation = BLOCK_READ,
                                                    .first_block = first,
                                                    .block_count = blocks,
                                                    .segments = &batch->segments[index],
                                                    .segment_count = 1,
                                                    .done = request_done,
                                                    .client = batch};
    batch->list[index] = &batch->requests[index];
}

static bool all_done(void *context)
{
    const struct batch *batch = context;

    return batch->done == batch->count;
}

/* NULL when all are read. */
static const char *read_all(struct batch *batch, struct block_device *block)
{
    batch->done = batch->failed = 0;
    if (!block_is_published(block)) {
        batch->done = batch->count;
        return "was taken away";
    }
    unsigned taken = block->ops->submit(block->driver, batch->list, batch->count);
    if (taken != batch->count)
        return "did not take all requests";
    if (!kernel_wait(all_done, batch, clock_now() + DEADLINE_NS))
        return "did not answer all requests";
    return batch->failed != 0 ? "failed to read" : NULL;
}

static const char *compare(struct batch *batch, struct block_device *block, uint8_t *one, uint8_t *many)
{
    uint32_t size = block->info.block_size;
    uint64_t blocks = LONG_BYTES / size;
    const char *wrong;

    if (blocks > block->info.block_count)
        blocks = block->info.block_count;
    batch->count = 0;
    memset(one, 0xa5, LONG_BYTES);
    add(batch, 0, blocks, one, size);
    if ((wrong = read_all(batch, block)) != NULL)
        return wrong;
    for (uint64_t at = 0; at < blocks;) {
        batch->count = 0;
        memset(many, 0x5a, LONG_BYTES);
        uint64_t from = at;
        for (; at < blocks && batch->count < MOST_REQUESTS; at++)
            add(batch, at, 1, many + (at - from) * size + 4,
                size); /* not at a page's begin, and often across its end */
        if ((wrong = read_all(batch, block)) != NULL)
            return wrong;
        if (memcmp(many + 4, one + from * size, (at - from) * size) != 0)
            return "reads another thing in one piece than in many";
    }
    return NULL;
}

static const char *test_disk(struct block_device *block)
{
    struct batch *batch = calloc(1, sizeof *batch);
    uint8_t *one = malloc(LONG_BYTES), *many = malloc(LONG_BYTES + 8);
    const char *wrong = "has no memory for the test";

    if (batch != NULL && one != NULL && many != NULL)
        wrong = compare(batch, block, one, many);
    if (batch == NULL || batch->done == batch->count) { /* else the disk may still write there */
        free(one);
        free(many);
        free(batch);
    }
    return wrong; /* NOLINT(clang-analyzer-unix.Malloc): what is still in flight stays */
}

void selftest_nvme(struct selftest_result *result)
{
    unsigned controllers = 0, disks = 0, messages = 0;

    for (struct device *device = device_first(); device != NULL; device = device->next) {
        if (device->driver == NULL || strcmp(device->driver->name, "nvme") != 0 || !device->running)
            continue;
        controllers++;
        for (struct block_device *block = device->blocks; block != NULL; block = block->next) {
            char name[PARTITION_NAME_SIZE];
            text_copy(name, block->name, sizeof name);
            const char *wrong = test_disk(block);
            if (wrong == NULL && !block_is_published(block))
                wrong = "was taken away";
            if (wrong != NULL) {
                selftest_is(result, SELFTEST_FAIL, "%s %s", name, wrong);
                return;
            }
            disks++;
        }
        for (unsigned i = 0; i < device->interrupt_count; i++)
            messages += device->interrupts[i].open && device->interrupts[i].delivery == INTERRUPT_MESSAGE &&
                        device->interrupts[i].count != 0;
    }
    if (controllers == 0)
        selftest_is(result, SELFTEST_SKIP, "no NVMe controller");
    else
        selftest_is(
            result, SELFTEST_PASS,
            "%u disks of %u controllers: 2 MiB in one piece and block by block are the same; %u messages in use", disks,
            controllers, messages);
}
