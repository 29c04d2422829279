/* nvme_scene.c: see nvme_scene.h. */
#include "nvme_scene.h"

unsigned job_done_count;
static bool in_submit;

const struct nvme_model_options nvme_plain = {
    .entries = 63,
    .timeout = 20,
    .transfer = 5,
    .vectors = 4,
    .optional = 1 << 2 | 1 << 3,
    .write_cache = true,
    .delay_ns = 50000,
    .namespaces = {{.id = 1, .blocks = NVME_BLOCKS, .exponent = 9}},
};

enum status nvme_open(struct nvme_scene *scene, const struct nvme_model_options *options,
                      const struct home_options *home)
{
    static const struct home_options plain = {.seed = 1, .cpu_count = 3};

    host_log_clear();
    home_init(home != NULL ? home : &plain);
    job_done_count = 0;
    scene->model = nvme_model_create(options);
    scene->device = scene->model->device;
    enum status status = home_start(scene->device, &nvme_driver);
    scene->block = home_block(scene->device);
    return status;
}

static void check_and_destroy(struct nvme_scene *scene)
{
    if (home_faults() != 0)
        fail_msg("the driver: %s\n%s", home_fault_text(), host_log_text());
    if (scene->model->complaints != 0)
        fail_msg("the controller complains: %s\n%s", scene->model->complaint, host_log_text());
    if (home_account(scene->device).refused != 0)
        fail_msg("%s\n%s", home_refused_text(), host_log_text());
    nvme_model_destroy(scene->model);
}

void nvme_close(struct nvme_scene *scene)
{
    home_stop(scene->device);
    check_and_destroy(scene);
}

void nvme_close_stuck(struct nvme_scene *scene)
{
    home_quarantine(scene->device);
    home_stop(scene->device);
    check_and_destroy(scene);
}

struct block_device *nvme_disk(const struct nvme_scene *scene, unsigned index)
{
    struct block_device *block = scene->block;

    while (block != NULL && index-- != 0)
        block = block->next;
    return block;
}

static void job_done(struct block_request *request)
{
    struct job *job = (struct job *)request;

    assert_false(in_submit);
    assert_int_equal(job->done++, 0);
    assert_true(request->status < STATUS_COUNT);
    job_done_count++;
}

struct job *job_create(const struct block_device *block, enum block_operation operation, uint64_t first, uint64_t count,
                       size_t skew)
{
    struct job *job = calloc(1, sizeof *job);
    bool moves = operation == BLOCK_READ || operation == BLOCK_WRITE;

    job->size = moves ? (size_t)count * block->info.block_size : 0;
    if (posix_memalign((void **)&job->memory, 4096, skew + job->size + 1) != 0)
        abort();
    job->bytes = job->memory + skew;
    for (size_t i = 0; i < job->size; i += 8)
        memcpy(job->bytes + i, &(uint64_t){home_random()}, job->size - i < 8 ? job->size - i : 8);
    job->segments = calloc(MAX_SEGMENTS, sizeof *job->segments);
    job->segments[0] = (struct memory_ref){.offset = (uintptr_t)job->bytes, .length = job->size};
    job->request = (struct block_request){.operation = operation,
                                          .first_block = first,
                                          .block_count = operation == BLOCK_FLUSH ? 0 : count,
                                          .segments = job->segments,
                                          .segment_count = moves,
                                          .done = job_done,
                                          .status = STATUS_COUNT};
    return job;
}

void job_cut(struct job *job, size_t length)
{
    unsigned count = 0;

    for (size_t at = 0; at < job->size; at += length) {
        assert_true(count < MAX_SEGMENTS);
        job->segments[count++] = (struct memory_ref){.offset = (uintptr_t)job->bytes + at,
                                                     .length = length < job->size - at ? length : job->size - at};
    }
    job->request.segment_count = count;
}

void job_destroy(struct job *job)
{
    free(job->segments);
    free(job->memory);
    free(job);
}

void jobs_submit(const struct block_device *block, struct job *jobs[], unsigned count)
{
    struct block_request *requests[MAX_JOBS];

    assert_true(count <= MAX_JOBS);
    for (unsigned i = 0; i < count; i++)
        requests[i] = &jobs[i]->request;
    in_submit = true;
    assert_int_equal(block->ops->submit(block->driver, requests, count), count);
    in_submit = false;
}

static bool as_many_done(void *context)
{
    return job_done_count >= *(unsigned *)context;
}

void jobs_wait(struct nvme_scene *scene, unsigned count)
{
    home_run(scene->device, 600 * NANOSECONDS_PER_SECOND, as_many_done, &count);
    if (job_done_count < count && home_failure(scene->device) != NULL)
        home_stop(scene->device);
    if (job_done_count != count)
        fail_msg("%u of %u requests are done: %s", job_done_count, count, host_log_text());
}

enum status job_one(struct nvme_scene *scene, struct job *job)
{
    unsigned before = job_done_count;

    jobs_submit(scene->block, &job, 1);
    jobs_wait(scene, before + 1);
    return job->request.status;
}

enum status job_one_of(struct nvme_scene *scene, enum block_operation operation, uint64_t first, uint64_t count)
{
    struct job *job = job_create(scene->block, operation, first, count, 0);
    enum status status = job_one(scene, job);

    job_destroy(job);
    return status;
}
