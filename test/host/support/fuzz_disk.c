/* fuzz_disk.c: see fuzz_disk.h. */
#include "fuzz_disk.h"

#include <stdlib.h>
#include <string.h>

static struct fuzz_job jobs[FUZZ_JOBS];
static struct block_request *batch[FUZZ_JOBS];
static unsigned batched, out_count;

static void give_back(struct fuzz_job *job)
{
    fuzz_demand(job->out, "a request that is done twice");
    job->out = false;
    out_count--;
    free(job->memory);
    job->memory = NULL;
}

static void done(struct block_request *request)
{
    fuzz_demand(request->status < STATUS_COUNT, "a status that means nothing");
    give_back((struct fuzz_job *)request);
}

struct fuzz_job *fuzz_job_take(void)
{
    for (unsigned i = 0; i < FUZZ_JOBS; i++) {
        struct fuzz_job *job = &jobs[i];
        if (job->out)
            continue;
        *job = (struct fuzz_job){.request = {.segments = job->segments, .done = done}, .out = true};
        out_count++;
        batch[batched++] = &job->request;
        return job;
    }
    return NULL;
}

unsigned fuzz_jobs_submit(struct block_device *block)
{
    unsigned count = batched, taken = block->ops->submit(block->driver, batch, count);

    fuzz_demand(taken <= count, "more requests taken than there were");
    for (unsigned i = taken; i < count; i++)
        give_back((struct fuzz_job *)batch[i]);
    batched = 0;
    return count - taken;
}

unsigned fuzz_jobs_out(void)
{
    return out_count;
}

void fuzz_disk_check(const struct block_info *info)
{
    uint32_t size = info->block_size;

    fuzz_demand(size >= 512 && size <= 65536 && (size & (size - 1)) == 0, "a block size that cannot be");
    fuzz_demand(info->block_count <= UINT64_MAX / size, "a disk larger than addresses can say");
    fuzz_demand(memchr(info->serial, '\0', sizeof info->serial) != NULL, "a serial number without an end");
    fuzz_demand(memchr(info->model, '\0', sizeof info->model) != NULL, "a model without an end");
    for (const char *at = info->serial; *at != '\0'; at++)
        fuzz_demand(*at >= ' ' && *at <= '~', "a serial number with control characters");
}
