/*
 * blk.c: every disk and partition: patterns written in one batch, read back in another cut, across a flush; first and
 * last block; a request out of range.
 *
 * Blocks are only written when all of those are zeros or hold the pattern of an earlier run, on a disk without a
 * partition table or in a partition for vmos's data: anything else keeps what it has and is only read.
 *
 * The pattern, for whoever looks at the disk from outside: the 64-bit little-endian word at byte offset 8 * n of the
 * disk is n * 0x9e3779b97f4a7c15 + 0x766d6f732d626c6b, modulo 2^64, for the first PATTERN_BLOCKS blocks and the last.
 */
#include <kernel/selftest.h>

#include <kernel/kernel.h>
#include <kernel/partition.h>

#include <authority/device.h>
#include <lib/log.h>
#include <lib/malloc.h>
#include <lib/string.h>
#include <lib/text.h>
#include <platform/clock.h>
#include <vmos/block.h>

enum { PATTERN_BLOCKS = 64, MAX_REQUESTS = 40, SEGMENTS = 3 };
#define DEADLINE_NS (20 * NANOSECONDS_PER_SECOND)

struct batch {
    struct block_device *block; /* only as long as it is published: a disk can leave in the middle of this */
    struct block_info info;
    char name[PARTITION_NAME_SIZE];
    struct block_request requests[MAX_REQUESTS];
    struct memory_ref segments[MAX_REQUESTS][SEGMENTS];
    unsigned count;
    volatile unsigned done;
};

static uint64_t pattern_word(uint64_t index)
{
    return index * UINT64_C(0x9e3779b97f4a7c15) + UINT64_C(0x766d6f732d626c6b);
}

static void pattern_fill(uint8_t *memory, uint64_t offset, size_t size)
{
    for (size_t i = 0; i < size / 8; i++)
        ((uint64_t *)(void *)memory)[i] = pattern_word(offset / 8 + i);
}

static bool pattern_holds(const uint8_t *memory, uint64_t offset, size_t size)
{
    for (size_t i = 0; i < size / 8; i++)
        if (((const uint64_t *)(const void *)memory)[i] != pattern_word(offset / 8 + i))
            return false;
    return true;
}

static void request_done(struct block_request *request)
{
    ((struct batch *)request->client)->done++;
}

/* Adds a request over [memory, + blocks), cut into up to three segments. */
static void batch_add(struct batch *batch, enum block_operation operation, uint64_t first, uint64_t blocks,
                      uint8_t *memory) /* NOLINT(readability-non-const-parameter): a read fills it */
{
    unsigned index = batch->count++;
    struct memory_ref *segments = batch->segments[index];
    uint64_t size = blocks * batch->info.block_size, cut = size / 4 & ~UINT64_C(3), at = (uintptr_t)memory;
    unsigned count = 0;

    if (size != 0) {
        segments[count++] = (struct memory_ref){.offset = at, .length = cut};
        segments[count++] = (struct memory_ref){.offset = at + cut, .length = cut};
        segments[count++] = (struct memory_ref){.offset = at + 2 * cut, .length = size - 2 * cut};
    }
    batch->requests[index] = (struct block_request){.operation = operation,
                                                    .first_block = first,
                                                    .block_count = blocks,
                                                    .segments = segments,
                                                    .segment_count = count,
                                                    .done = request_done,
                                                    .client = batch};
}

static bool batch_done(void *context)
{
    const struct batch *batch = context;

    return batch->done == batch->count;
}

static bool batch_accepts_rest(void *context)
{
    (void)context;
    return false; /* only lets drivers run for a moment */
}

/* Submits everything, waits, and gives the first status that is not OK. */
static enum status batch_run(struct batch *batch)
{
    struct block_request *list[MAX_REQUESTS];
    uint64_t deadline = clock_now() + DEADLINE_NS;
    unsigned taken = 0;

    batch->done = 0;
    for (unsigned i = 0; i < batch->count; i++)
        list[i] = &batch->requests[i];
    while (taken < batch->count && clock_now() < deadline) {
        if (!block_is_published(batch->block))
            return STATUS_REVOKED;
        taken += batch->block->ops->submit(batch->block->driver, list + taken, batch->count - taken);
        if (taken < batch->count)
            kernel_wait(batch_accepts_rest, NULL, clock_now() + NANOSECONDS_PER_MILLISECOND);
    }
    if (!kernel_wait(batch_done, batch, deadline))
        return STATUS_TIMED_OUT;
    for (unsigned i = 0; i < batch->count; i++)
        if (batch->requests[i].status != STATUS_OK)
            return batch->requests[i].status;
    return STATUS_OK;
}

static enum status run_one(struct batch *batch, enum block_operation operation, uint64_t first, uint64_t blocks,
                           uint8_t *memory)
{
    batch->count = 0;
    batch_add(batch, operation, first, blocks, memory);
    return batch_run(batch);
}

static bool is_zero(const uint8_t *memory, size_t size)
{
    for (size_t i = 0; i < size; i++)
        if (memory[i] != 0)
            return false;
    return true;
}

/* Whether all that a test would write is blank or its own; reads it into memory. */
static enum status look(struct batch *batch, uint8_t *memory, uint64_t blocks, bool *ours)
{
    const struct block_info *info = &batch->info;
    uint64_t size = blocks * info->block_size, last = (info->block_count - 1) * info->block_size;
    enum status status = run_one(batch, BLOCK_READ, 0, blocks, memory);

    *ours = status == STATUS_OK && (is_zero(memory, size) || pattern_holds(memory, 0, size));
    if (status == STATUS_OK)
        status = run_one(batch, BLOCK_READ, info->block_count - 1, 1, memory);
    *ours &= is_zero(memory, info->block_size) || pattern_holds(memory, last, info->block_size);
    return status;
}

/* Writes the pattern in requests of 1, 2, 3, ... blocks, all in one batch, and the last block. */
static enum status write_pattern(struct batch *batch, uint8_t *memory, uint64_t blocks)
{
    const struct block_info *info = &batch->info;
    enum status status;

    pattern_fill(memory, 0, blocks * info->block_size);
    batch->count = 0;
    for (uint64_t first = 0, length = 1; first < blocks; first += length, length++) {
        if (length > blocks - first)
            length = blocks - first;
        batch_add(batch, BLOCK_WRITE, first, length, memory + first * info->block_size);
    }
    if ((status = batch_run(batch)) != STATUS_OK)
        return status;
    pattern_fill(memory, (info->block_count - 1) * info->block_size, info->block_size);
    if ((status = run_one(batch, BLOCK_WRITE, info->block_count - 1, 1, memory)) != STATUS_OK)
        return status;
    return run_one(batch, BLOCK_FLUSH, 0, 0, NULL);
}

/* Reads in pairs of blocks what was written in other cuts. */
static const char *pattern_wrong(struct batch *batch, uint8_t *memory, uint64_t blocks)
{
    const struct block_info *info = &batch->info;

    memset(memory, 0xa5, blocks * info->block_size);
    batch->count = 0;
    for (uint64_t first = 0; first < blocks; first += 2)
        batch_add(batch, BLOCK_READ, first, blocks - first < 2 ? 1 : 2, memory + first * info->block_size);
    if (batch_run(batch) != STATUS_OK)
        return "reading back failed";
    if (!pattern_holds(memory, 0, blocks * info->block_size))
        return "what was read is not what was written";
    memset(memory, 0xa5, info->block_size);
    if (run_one(batch, BLOCK_READ, info->block_count - 1, 1, memory) != STATUS_OK)
        return "reading the last block failed";
    if (!pattern_holds(memory, (info->block_count - 1) * info->block_size, info->block_size))
        return "the last block does not hold what was written";
    return NULL;
}

/* NULL when all is well; `wrote` says whether it may write, and then whether it did. */
static const char *test_disk(struct batch *batch, uint8_t *memory, uint64_t blocks, bool *wrote)
{
    const struct block_info *info = &batch->info;
    bool ours;

    enum status status = look(batch, memory, blocks, &ours);
    *wrote &= ours && !info->read_only;
    if (status != STATUS_OK) {
        log_error(batch->name, "read of the first or last blocks: %s", status_text(status));
        return "reading the first or last blocks failed";
    }
    if (run_one(batch, BLOCK_READ, info->block_count, 1, memory) != STATUS_OUT_OF_RANGE)
        return "a read behind the last block was not refused as out of range";
    if (run_one(batch, BLOCK_WRITE, info->block_count - 1, 2, memory) ==
        (info->read_only ? STATUS_READ_ONLY : STATUS_OUT_OF_RANGE)) {
        if (info->read_only || !*wrote)
            return NULL;
    } else {
        return "a write that must be refused was not refused, or for the wrong reason";
    }
    if (write_pattern(batch, memory, blocks) != STATUS_OK)
        return "writing or flushing failed";
    return pattern_wrong(batch, memory, blocks);
}

static const char *test_block(struct block_device *block, bool *wrote)
{
    uint64_t blocks = block->info.block_count < PATTERN_BLOCKS ? block->info.block_count : PATTERN_BLOCKS;
    uint8_t *memory = aligned_alloc(4096, PATTERN_BLOCKS * block->info.block_size);
    struct batch *batch = calloc(1, sizeof *batch);
    const char *wrong = "not enough memory for the test";

    if (block->info.block_count == 0) {
        wrong = NULL; /* an empty drive: there is nothing to read */
        *wrote = false;
    } else if (memory != NULL && batch != NULL) {
        batch->block = block;
        batch->info = block->info;
        text_copy(batch->name, block->name, sizeof batch->name);
        wrong = test_disk(batch, memory, blocks, wrote);
    }
    if (batch == NULL || batch->done == batch->count) {
        free(memory); /* else the device may still write to it */
        free(batch);
    }
    return wrong;
}

/* False: the test has failed. A disk with partitions is not written to but in those that are meant for vmos. */
static bool test_one(struct block_device *block, bool writable, unsigned *written, struct selftest_result *result)
{
    char name[PARTITION_NAME_SIZE];
    bool wrote = writable;

    text_copy(name, block->name, sizeof name);
    const char *wrong = test_block(block, &wrote);
    if (wrong != NULL) {
        selftest_is(result, SELFTEST_FAIL, "%s: %s", name, wrong);
        return false;
    }
    if (!block_is_published(block)) {
        selftest_is(result, SELFTEST_FAIL, "%s: the disk was taken away", name);
        return false;
    }
    *written += wrote;
    if (!wrote)
        log_info(name, "self-test only read: the disk %s",
                 block->info.read_only ? "is read-only" : "holds data or is empty");
    return true;
}

void selftest_blk(struct selftest_result *result)
{
    unsigned disks = 0, partitions = 0, written = 0;

    for (struct device *device = device_first(); device != NULL; device = device->next)
        for (struct block_device *block = device->blocks; block != NULL; block = block->next) {
            disks++;
            if (!test_one(block, !disk_has_table(block), &written, result))
                return;
            for (struct partition *at = partitions_of(block); at != NULL; at = at->next) {
                partitions++;
                if (!test_one(&at->block, gpt_is_vmos_data(at->entry.type), &written, result))
                    return;
            }
        }
    if (disks == 0)
        selftest_is(result, SELFTEST_SKIP, "no disk");
    else
        selftest_is(result, SELFTEST_PASS,
                    "%u disks, %u partitions; pattern written, flushed and read back on %u; out of range refused",
                    disks, partitions, written);
}
