/*
 * test_nvme_hostile.c: NVMe controllers that lie, each a row: what it does, what the log says, and what becomes of the
 * requests. Whatever happens, each request is done exactly once, nothing outside of what the controller was given is
 * reached or written, everything is given back, and what a request says it has read or written is true.
 */
#include "nvme_scene.h"

enum { JOBS = 120, EACH = 12 }; /* requests; blocks of each */

enum outcome {
    NO_START, /* refused, with the sentence */
    ALL_OK,
    SOME_FAIL, /* those that the controller failed, and no other */
    ENDS,      /* the driver gives the controller up: some requests may be done, the others end with an error */
};

struct row {
    const char *name;
    enum nvme_evil evil;
    unsigned after, times;
    enum outcome outcome;
    const char *says;  /* in the log, "" nothing in particular */
    const char *fails; /* of device_fail; NULL: none */
    bool stuck;        /* it keeps what it had */
    unsigned resets;   /* beyond those of start and stop: at least */
    void (*tweak)(struct nvme_model_options *options);
    const char *never_says; /* NULL: nothing in particular */
};

/* ---- Tweaks
 * ----------------------------------------------------------------------------------------------------------- */

static void stride_15(struct nvme_model_options *options)
{
    options->stride = 15;
}

static void two_entries(struct nvme_model_options *options)
{
    options->entries = 1;
}

static void no_timeout(struct nvme_model_options *options)
{
    options->timeout = 0;
}

static void longest_timeout(struct nvme_model_options *options)
{
    options->timeout = 255;
}

static void one_queue(struct nvme_model_options *options)
{
    options->queues = 1;
}

static void doorbell_buffer(struct nvme_model_options *options)
{
    options->doorbell_buffer = true;
}

static void line(struct nvme_model_options *options)
{
    options->vectors = 0;
}

static void line_and_buffer(struct nvme_model_options *options)
{
    options->vectors = 0;
    options->doorbell_buffer = true;
}

static void old(struct nvme_model_options *options)
{
    options->version = 0x10000;
}

static void two_disks(struct nvme_model_options *options)
{
    options->namespaces[1] = (struct nvme_model_namespace){.id = 2, .blocks = NVME_BLOCKS, .exponent = 9};
}

static void like_ebs(struct nvme_model_options *options) /* F23 */
{
    options->entries = 127;
    options->queues = 1;
    options->vectors = 2;
    options->version = 0x10000;
    options->no_limits_page = true;
    options->optional = 0;
    options->model = "Amazon Elastic Block Store";
}

static void ebs_that_drops(struct nvme_model_options *options)
{
    options->model = "Amazon Elastic Block Store";
}

static const struct row rows[] = {
    {"F01 capabilities all ones", F01_CAPABILITIES_ONES, 0, 0, NO_START,
     "nvme0: is not there: its capabilities read 0xf"},
    {"F01 capabilities zero", F01_CAPABILITIES_ZERO, 0, 0, NO_START, "nvme0: is not there: its capabilities read 0x0"},
    {"F01 version all ones", F01_VERSION_ONES, 0, 0, NO_START, "nvme0: is not there"},
    {"F02 queues of one entry", F02_QUEUES_OF_ONE, 0, 0, NO_START, "has queues of one entry, which can hold nothing"},
    {"F02 queues of two", NVME_EVIL_NONE, 0, 0, ALL_OK, "queues of 1", .tweak = two_entries},
    {"F03 doorbells beyond", NVME_EVIL_NONE, 0, 0, NO_START,
     "nvme0: has doorbells 131072 bytes apart, beyond its 16384 bytes of registers", .tweak = stride_15},
    {"F04 large pages", F04_LARGE_PAGES, 0, 0, NO_START, "wants pages of at least 2^16 bytes; vmos has 4096"},
    {"F05 never ready, TO 0", F05_NEVER_READY, 0, 0, NO_START, "does not get ready within 500 ms: status reads 0x0",
     .tweak = no_timeout},
    {"F05 never ready, TO 255", F05_NEVER_READY, 0, 0, NO_START, "does not get ready within 128000 ms",
     .tweak = longest_timeout},
    {"F05 always ready", F05_ALWAYS_READY, 0, 0, NO_START,
     "nvme0: its reset is not confirmed: status reads 0x1 when CAP.TO is over", .stuck = true},
    {"F06 fatal at start", F06_FATAL_AT_START, 0, 0, ALL_OK, ""},
    {"F06 fatal", F06_FATAL, 30, 1, ALL_OK, "nvme0: reports a fatal error; it is reset (1 of 3)", .resets = 1},
    {"F06 fatal, line", F06_FATAL, 30, 1, ALL_OK, "nvme0: works again after ", .resets = 1, .tweak = line},
    {"F06 gone", F06_GONE, 30, 1, ENDS, "", "is gone: its registers read all ones", .stuck = true},
    {"F07 unknown identifier", F07_IDENTIFIER_UNKNOWN, 10, 5, ALL_OK, "which is not in flight on queue"},
    {"F07 many unknown", F07_IDENTIFIER_UNKNOWN, 10, 40, ALL_OK, "nvme0: answers what it was not asked; it is reset",
     .resets = 1},
    {"F07 always unknown", F07_IDENTIFIER_UNKNOWN, 10, 0, ENDS, "it is reset (3 of 3)",
     "answers what it was not asked, and 3 resets did not help", .resets = 3},
    {"F07 wrong identifier", F07_IDENTIFIER_WRONG, 10, 1, ALL_OK,
     "neither carries out a command nor aborts it; it is reset", .resets = 1},
    {"F07 twice", F07_TWICE, 10, 5, ALL_OK, "which is not in flight on queue"},
    {"F07 after a reset", F07_AFTER_RESET, 10, 1, ALL_OK, "which is not in flight on queue", .resets = 1},
    {"F08 phase flipped", F08_PHASE_FLIPPED, 10, 1, ALL_OK, "it is reset (1 of 3)", .resets = 1},
    {"F08 all entries valid", F08_ALL_VALID, 10, 1, ALL_OK, "nvme0: answers what it was not asked; it is reset",
     .resets = 1},
    {"F09 head beyond", F09_HEAD_BEYOND, 0, 0, ALL_OK, ""},
    {"F09 other queue", F09_OTHER_QUEUE, 10, 1, ALL_OK, "answered command 0x", .resets = 1},
    {"F10 overflow", F10_OVERFLOW, 10, 1, ALL_OK, "it is reset (1 of 3)", .resets = 1},
    {"F11 reserved status", F11_STATUS_RESERVED, 10, 5, SOME_FAIL, "failed: unknown status (7/ff)"},
    {"F11 media error", F11_STATUS_MEDIA, 10, 5, SOME_FAIL, "failed: unrecovered read error (2/81)"},
    {"F11 more, and later", F11_STATUS_MORE, 10, 5, SOME_FAIL, "failed: capacity exceeded (0/81)"},
    {"F11 not ready for a while", NVME_NOT_NOW, 10, 3, ALL_OK, ""},
    {"F11 never ready", NVME_NOT_NOW, 10, 0, SOME_FAIL, "failed: namespace not ready (0/82)"},
    {"F12 NN 0", F12_NAMESPACES_0, 0, 0, ALL_OK, ""},
    {"F12 NN 2^32-1", F12_NAMESPACES_MOST, 0, 0, ALL_OK, "", .tweak = old},
    {"F12 MDTS 255", F12_TRANSFER_255, 0, 0, ALL_OK, ""},
    {"F12 entry sizes", F12_ENTRY_SIZES, 0, 0, NO_START,
     "wants queue entries of 2^7 and 2^4 bytes; vmos has 64 and 16"},
    {"F12 strings", F12_STRINGS, 0, 0, ALL_OK,
     "????????????????????????????????????????, serial ????????????????????, firmware ????????"},
    {"F15 list descends", F15_LIST_DESCENDS, 0, 0, NO_START, "", .tweak = NULL},
    {"F15 list repeats", F15_LIST_REPEATS, 0, 0, ALL_OK, "in 1 namespaces"},
    {"F15 list is full", F15_LIST_FULL, 0, 0, ALL_OK, "in 1 namespaces"},
    {"F15 list of ones", F15_LIST_ONES, 0, 0, NO_START, ""},
    {"F16 grants more", F16_GRANTS_MORE, 0, 0, ALL_OK, "3 queues of 63"},
    {"F16 grants one", NVME_EVIL_NONE, 0, 0, ALL_OK, "1 queues of 63", .tweak = one_queue},
    {"F16 refuses", F16_REFUSES, 0, 0, ALL_OK, "1 queues of 63"},
    {"F17 first queue fails", F17_COMPLETION_QUEUE_FAILS, 0, 0, NO_START,
     "nvme0: cannot create completion queue 1: invalid field (0/02)"},
    {"F17 second queue fails", F17_SECOND_QUEUE_FAILS, 0, 0, ALL_OK, "1 queues of 63"},
    {"F17 submission queue fails", F17_SUBMISSION_QUEUE_FAILS, 0, 0, NO_START,
     "nvme0: cannot create submission queue 1: invalid field (0/02)"},
    {"F17 vector invalid", F17_VECTOR_INVALID, 0, 0, ALL_OK,
     "nvme0: cannot create completion queue 1: invalid interrupt vector (1/08)"},
    {"F18 silent from identify on", F18_ADMIN_SILENT, 0, 0, NO_START,
     "nvme0: cannot identify controller 0: it does not answer"},
    {"F18 silent from queues on", F18_ADMIN_SILENT, 3, 0, NO_START, "nvme0: cannot create completion queue 1: it does"},
    {"F18 silent from namespaces on", F18_ADMIN_SILENT, 12, 0, NO_START,
     "nvme0: cannot identify namespace 1: it does not answer"},
    {"F19 event storm", F19_EVENT_STORM, 0, 0, ALL_OK, "nvme0: reports a health warning: event 0x01, log page 0x02"},
    {"F19 unknown event", F19_EVENT_UNKNOWN, 0, 0, ALL_OK,
     "nvme0: reports an unknown event: event 0x77, log page 0xee"},
    {"F19 namespace removed", F19_NAMESPACE_REMOVED, 30, 1, ALL_OK, "nvme0n2: is gone; it is not used any more",
     .tweak = two_disks},
    {"F20 buffers beyond", F20_BUFFERS_BEYOND, 0, 0, ALL_OK, ""},
    {"F21 fatal after each reset", F21_FATAL_AGAIN, 10, 0, ENDS, "it is reset (3 of 3)",
     "reports a fatal error, and 3 resets did not help", .resets = 3},
    {"F21 does not come back", F21_NEVER_READY_AGAIN, 10, 1, ENDS, "does not get ready within",
     "reports a fatal error, and does not come back from its reset: timed out", .resets = 1},
    {"F22 wishes garbage", F22_WISHES_GARBAGE, 0, 0, ALL_OK, "doorbells in memory", .tweak = doorbell_buffer},
    {"F22 wishes never", F22_WISHES_NEVER, 0, 0, ALL_OK, "doorbells in memory", .tweak = doorbell_buffer,
     .never_says = "asked to abort"},
    {"F23 like EBS", NVME_EVIL_NONE, 0, 0, ALL_OK, "(Amazon EBS)", .tweak = like_ebs},
    {"drops, aborts", NVME_DROPS, 10, 2, ALL_OK, "without an answer after 30000 ms, and the controller is alive"},
    {"drops all, aborts all", NVME_DROPS, 100, 0, SOME_FAIL, "failed: aborted as asked (0/07)"},
    {"drops, does not abort", NVME_DROPS_AND_NO_ABORT, 10, 2, ALL_OK, "neither carries out a command nor aborts it",
     .resets = 1},
    {"drops, does not answer the abort", NVME_ABORT_SILENT, 10, 2, ALL_OK,
     "nvme0: does not answer an abort; it is reset", .resets = 1},
    {"drops, EBS", NVME_DROPS, 10, 1, ENDS, "", .tweak = ebs_that_drops},
    {"late", NVME_DELAYS, 10, 3, ALL_OK, "it is asked to abort it"},
    {"interrupt lost", NVME_NO_INTERRUPT, 2 * JOBS - 1, 0, ALL_OK, "has an answer whose interrupt was lost (1 times)"},
    {"interrupts lost", NVME_NO_INTERRUPT, 10, 0, ALL_OK, "was lost (3 times); from now on it is polled"},
    {"interrupts lost, line", NVME_NO_INTERRUPT, 0, 0, ALL_OK, "", .tweak = line},
    {"line and doorbells in memory", NVME_EVIL_NONE, 0, 0, ALL_OK, "doorbells in memory", .tweak = line_and_buffer,
     .never_says = "for nothing"},
    {"shutdown silent", NVME_SHUTDOWN_SILENT, 0, 0, ALL_OK,
     "nvme0: does not confirm its shutdown within 3000 ms: status reads 0x1"},
    {"comes back smaller", NVME_SHRINKS, 40, 1, ALL_OK, "it is reset (1 of 3)", .resets = 1},
};

/* ---- Carrying out
 * ------------------------------------------------------------------------------------------------------ */

static bool all_done(void *context)
{
    return job_done_count >= *(unsigned *)context;
}

/* Submits in three batches with a little time between them, and waits until all are done or the driver has given up. */
static void run_jobs(struct nvme_scene *scene, struct job *jobs[])
{
    unsigned wanted = job_done_count + JOBS;

    for (unsigned i = 0; i < JOBS; i += JOBS / 3) {
        if (home_failure(scene->device) == NULL)
            jobs_submit(scene->block, jobs + i, JOBS / 3);
        home_run(scene->device, 20000, NULL, NULL);
    }
    home_run(scene->device, 3000 * NANOSECONDS_PER_SECOND, all_done, &wanted);
}

static unsigned failures(struct nvme_scene *scene, struct job *jobs[], bool read)
{
    const uint8_t *disk = scene->model->disks[0].bytes;
    unsigned failed = 0;

    for (unsigned i = 0; i < JOBS; i++) {
        if (jobs[i]->done == 0) /* never taken */
            continue;
        if (jobs[i]->request.status == STATUS_OK)
            assert_memory_equal(jobs[i]->bytes, disk + (size_t)i * EACH * 512, jobs[i]->size);
        failed += jobs[i]->request.status != STATUS_OK;
    }
    (void)read;
    return failed;
}

/* The requests of one kind, their end, and what it says. False: the driver has given up. */
static bool round_of(struct nvme_scene *scene, const struct row *row, enum block_operation operation)
{
    struct job *jobs[JOBS];
    unsigned taken = 0, done = 0;

    for (unsigned i = 0; i < JOBS; i++)
        jobs[i] = job_create(scene->block, operation, (uint64_t)i * EACH, EACH, 4 * (i % 7));
    run_jobs(scene, jobs);
    bool ended = row->outcome == ENDS;
    if (ended) {
        if (row->stuck)
            home_quarantine(scene->device);
        home_stop(scene->device);
    }
    for (unsigned i = 0; i < JOBS; i++) {
        taken += jobs[i]->request.status != STATUS_COUNT || jobs[i]->done != 0;
        done += jobs[i]->done;
    }
    unsigned failed = failures(scene, jobs, operation == BLOCK_READ);
    if (taken != done || (!ended && done != JOBS))
        fail_msg("%s: %u of %u are done\n%s", row->name, done, taken, host_log_text());
    if ((row->outcome == ALL_OK && failed != 0) || (ended && failed == 0))
        fail_msg("%s: %u failed\n%s", row->name, failed, host_log_text());
    if (row->outcome == SOME_FAIL && row->times != 0 && operation == BLOCK_WRITE && failed != row->times)
        fail_msg("%s: %u failed of %u\n%s", row->name, failed, row->times, host_log_text());
    for (unsigned i = 0; i < JOBS; i++)
        job_destroy(jobs[i]);
    return !ended;
}

static void check_row(const struct row *row)
{
    struct nvme_model_options options = nvme_plain;
    struct nvme_scene scene;
    struct home_options home = {.seed = row->evil, .cpu_count = 3};

    options.evil = row->evil;
    options.after = row->after;
    options.times = row->times;
    if (row->tweak != NULL)
        row->tweak(&options);
    enum status status = nvme_open(&scene, &options, &home);
    bool starts = row->outcome != NO_START && status == STATUS_OK;
    if (row->stuck)
        home_quarantine(scene.device);
    if ((status == STATUS_OK) != (row->outcome != NO_START) && scene.block != NULL)
        fail_msg("%s: start says %s\n%s", row->name, status_text(status), host_log_text());
    unsigned resets = scene.model->resets;
    if (starts && scene.block != NULL && round_of(&scene, row, BLOCK_WRITE))
        round_of(&scene, row, BLOCK_READ);
    if (scene.model->resets < resets + row->resets)
        fail_msg("%s: %u resets\n%s", row->name, scene.model->resets - resets, host_log_text());
    const char *failure = home_failure(scene.device);
    if ((failure != NULL) != (row->fails != NULL) || (failure != NULL && strstr(failure, row->fails) == NULL))
        fail_msg("%s: fails with %s\n%s", row->name, failure != NULL ? failure : "nothing", host_log_text());
    home_stop(scene.device);
    if (row->stuck && row->outcome == ENDS) { /* a device that did not let go has what it had */
        assert_true(home_account(scene.device).queues != 0);
        assert_true(home_account(scene.device).loans != 0);
    }
    if (row->never_says != NULL && host_log_has(row->never_says))
        fail_msg("%s: says \"%s\":\n%s", row->name, row->never_says, host_log_text());
    if (!host_log_has(row->says))
        fail_msg("%s: does not say \"%s\":\n%s", row->name, row->says, host_log_text());
    nvme_close(&scene);
}

static void table(void **state)
{
    (void)state;
    for (unsigned i = 0; i < sizeof rows / sizeof rows[0]; i++)
        check_row(&rows[i]);
}

/* Pages of nothing but noise, many times: whatever disks come of it, they have sizes that make sense. */
static void garbage(void **state)
{
    struct nvme_model_options options = nvme_plain;

    (void)state;
    options.evil = F12_GARBAGE;
    for (unsigned seed = 0; seed < 300; seed++) {
        struct home_options home = {.seed = seed, .cpu_count = seed % 4};
        struct nvme_scene scene;
        nvme_open(&scene, &options, &home);
        for (struct block_device *block = scene.block; block != NULL; block = block->next) {
            assert_true(block->info.block_size >= 512 && block->info.block_size <= 4096);
            assert_true(block->info.block_count <= UINT64_MAX / block->info.block_size);
        }
        scene.model->complaints = 0; /* who says nonsense is asked for nonsense */
        nvme_close(&scene);
    }
}

/* Who reports something all the time is asked ten times a second, and told of once. */
static void event_storm(void **state)
{
    struct nvme_model_options options = nvme_plain;
    struct nvme_scene scene;

    (void)state;
    options.evil = F19_EVENT_STORM;
    assert_int_equal(nvme_open(&scene, &options, NULL), STATUS_OK);
    home_run(scene.device, 10 * NANOSECONDS_PER_SECOND, NULL, NULL);
    assert_in_range(scene.model->events, 50, 110);
    assert_in_range(host_log_count(LOG_WARN), 5, 12);
    nvme_close(&scene);
}

/* A wire that is up whatever the driver does is not listened to for ever, and the disk goes on working. */
static void held_line(void **state)
{
    struct nvme_model_options options = nvme_plain;
    struct nvme_scene scene;

    (void)state;
    options.evil = NVME_LINE_HELD;
    options.vectors = 0;
    assert_int_equal(nvme_open(&scene, &options, NULL), STATUS_OK);
    assert_int_equal(job_one_of(&scene, BLOCK_WRITE, 0, 8), STATUS_OK);
    home_run(scene.device, NANOSECONDS_PER_SECOND, NULL, NULL);
    assert_true(host_log_has("nvme0: holds its interrupt line for nothing; from now on it is polled"));
    uint64_t raised = home_account(scene.device).interrupts_raised;
    assert_int_equal(job_one_of(&scene, BLOCK_READ, 0, 8), STATUS_OK);
    home_run(scene.device, NANOSECONDS_PER_SECOND, NULL, NULL);
    assert_in_range(home_account(scene.device).interrupts_raised - raised, 0, 2);
    nvme_close(&scene);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(table),
        cmocka_unit_test(garbage),
        cmocka_unit_test(event_storm),
        cmocka_unit_test(held_line),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
