/*
 * test_partition.c: partitions as block devices, over a disk in memory that a test can publish, take away and publish
 * again. sgdisk made what is on it.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <authority/device.h>
#include <fcntl.h>
#include <kernel/kernel.h>
#include <kernel/partition.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "host_log.h"

enum { SECTOR = 512, SECTORS = 4 << 11, MOST = 64 };

/* ---- The world -------------------------------------------------------------------------------------------- */

static uint8_t bytes[SECTORS * SECTOR];
static struct block_request *pending[MOST];
static unsigned pending_count, submits, takes_most, publications;
static bool silent, dies, in_submit;
static struct device device;
static struct block_device block;

struct device *device_first(void)
{
    return &device;
}

unsigned devices_publications(void)
{
    return publications;
}

enum status authority_check(struct device *of, uint32_t epoch)
{
    return ownership_admits(&of->ownership, epoch);
}

uint64_t clock_now(void)
{
    return 0;
}

static unsigned disk_submit(void *driver, struct block_request *const requests[], unsigned count)
{
    assert_ptr_equal(driver, &bytes);
    assert_true(device.running);
    submits++;
    if (count > takes_most)
        count = takes_most;
    for (unsigned i = 0; i < count; i++)
        pending[pending_count++] = requests[i];
    return count;
}

static void carry_out(struct block_request *request)
{
    uint64_t at = block_request_start(request) * SECTOR;

    request->status = block_request_check(&block.info, request);
    for (unsigned i = 0; request->status == STATUS_OK && i < request->segment_count; i++) {
        void *memory = (void *)(uintptr_t)request->segments[i].offset;
        if (request->operation == BLOCK_READ)
            memcpy(memory, bytes + at, request->segments[i].length);
        else
            memcpy(bytes + at, memory, request->segments[i].length);
        at += request->segments[i].length;
    }
    request->done(request);
}

static void disk_poll(void *driver)
{
    (void)driver;
    for (; pending_count != 0; pending_count--)
        carry_out(pending[pending_count - 1]);
}

static const struct block_ops ops = {.submit = disk_submit, .poll = disk_poll};

static void end_ownership(void)
{
    device.running = false;
    device.blocks = NULL;
    ownership_step(&device.ownership, OWNERSHIP_REVOKE);
    ownership_step(&device.ownership, OWNERSHIP_FREE);
    for (; pending_count != 0; pending_count--) {
        pending[pending_count - 1]->status = STATUS_REVOKED;
        pending[pending_count - 1]->done(pending[pending_count - 1]);
    }
}

bool kernel_wait(bool (*done)(void *context), void *context, uint64_t deadline_ns)
{
    (void)deadline_ns;
    partitions_dispatch(); /* as the real one does, also in the middle of a scan */
    if (dies)
        end_ownership();
    else if (!silent)
        disk_poll(NULL);
    return done(context);
}

static void publish(void)
{
    assert_int_equal(ownership_step(&device.ownership, OWNERSHIP_CLAIM), STATUS_OK);
    block = (struct block_device){.ops = &ops,
                                  .driver = &bytes,
                                  .name = "disk0",
                                  .info = {.block_count = SECTORS, .block_size = SECTOR, .serial = "S123"}};
    device.blocks = &block;
    device.running = true;
    publications++;
}

static void format(const char *options)
{
    char path[] = "/tmp/vmos-partition-XXXXXX", command[400];
    int file = mkstemp(path);

    memset(bytes, 0, sizeof bytes);
    assert_true(file >= 0 && ftruncate(file, sizeof bytes) == 0);
    snprintf(command, sizeof command, "sgdisk %s %s >/dev/null", options, path);
    assert_int_equal(options[0] == '\0' ? 0 : system(command), 0); /* NOLINT(cert-env33-c) */
    assert_int_equal(pread(file, bytes, sizeof bytes, 0), sizeof bytes);
    close(file);
    unlink(path);
}

#define TWO                                                                                                            \
    "-a 1 -n 1:100:199 -t 1:EF00 -c 1:'vmos ESP' -n 2:200:8000 -t 2:48d7f1b5-c0bb-5d62-96f7-fbdb878ce180 -c "          \
    "2:vmos-data"

static int begin(void **state)
{
    (void)state;
    host_log_clear();
    silent = dies = in_submit = false;
    takes_most = MOST;
    pending_count = submits = 0;
    if (device.ownership.epoch == 0)
        device.ownership.epoch = 1;
    if (device.running)
        end_ownership();
    format(TWO);
    publish();
    return 0;
}

static int end(void **state)
{
    (void)state;
    if (device.running)
        end_ownership();
    partitions_scan(); /* forgets what is gone */
    return 0;
}

/* ---- Requests ---------------------------------------------------------------------------------------------- */

struct job {
    struct block_request request;
    struct memory_ref segment;
    uint8_t memory[4 * SECTOR];
    unsigned done;
};

static void job_done(struct block_request *request)
{
    struct job *job = request->client;

    assert_false(in_submit);
    job->done++;
}

static struct block_request *job_make(struct job *job, enum block_operation operation, uint64_t first, uint64_t count)
{
    job->segment = (struct memory_ref){.offset = (uintptr_t)job->memory, .length = count * SECTOR};
    job->request = (struct block_request){.operation = operation,
                                          .first_block = first,
                                          .block_count = count,
                                          .segments = &job->segment,
                                          .segment_count = 1,
                                          .done = job_done,
                                          .client = job,
                                          .status = STATUS_COUNT};
    job->done = 0;
    return &job->request;
}

static unsigned submit(struct partition *to, struct block_request *const requests[], unsigned count)
{
    in_submit = true;
    unsigned taken = to->block.ops->submit(to->block.driver, requests, count);
    in_submit = false;
    return taken;
}

static enum status run(struct partition *to, struct job *job)
{
    struct block_request *request = &job->request;

    assert_int_equal(submit(to, &request, 1), 1);
    to->block.ops->poll(to->block.driver);
    assert_int_equal(job->done, 1);
    job->done = 0;
    return request->status;
}

static struct partition *second(void)
{
    struct partition *first = partitions_of(&block);

    assert_non_null(first);
    assert_non_null(first->next);
    return first->next;
}

static void test_found(void **state)
{
    (void)state;
    assert_true(disk_has_table(&block)); /* nobody knows yet */
    partitions_scan();
    struct partition *first = partitions_of(&block);
    assert_string_equal(first->block.name, "disk0p1");
    assert_int_equal(first->block.info.block_count, 100);
    assert_string_equal(second()->block.name, "disk0p2");
    assert_int_equal(second()->block.info.block_count, 7801);
    assert_true(gpt_is_vmos_data(second()->entry.type));
    assert_null(second()->next);
    assert_true(disk_has_table(&block));
    assert_true(host_log_has(
        "disk0: GPT, 2 partitions: p1 50 KiB EFI system \"vmos ESP\", p2 3900 KiB vmos data \"vmos-data\""));
    unsigned before = submits;
    partitions_scan(); /* once is enough */
    assert_false(partitions_dispatch());
    assert_int_equal(submits, before);
    assert_ptr_equal(partitions_of(&block), first);
}

static void test_requests(void **state)
{
    struct job job;

    (void)state;
    partitions_scan();
    memset(bytes + 203 * SECTOR, 0x5a, SECTOR);
    job_make(&job, BLOCK_READ, 3, 1);
    assert_int_equal(run(second(), &job), STATUS_OK);
    assert_int_equal(job.memory[100], 0x5a);
    job.request.first_block = 4; /* the same request again: what the partition has put into it is gone */
    assert_int_equal(run(second(), &job), STATUS_OK);
    assert_int_equal(job.memory[100], 0);
    job.request.first_block = 7800;
    assert_int_equal(run(second(), &job), STATUS_OK);
    job_make(&job, BLOCK_WRITE, 7798, 3);
    memset(job.memory, 0x77, sizeof job.memory);
    assert_int_equal(run(second(), &job), STATUS_OK);
    assert_int_equal(bytes[8000 * SECTOR + 511], 0x77);
    assert_int_equal(bytes[8001 * SECTOR], 0);
    assert_int_equal(bytes[7998 * SECTOR], 0x77);
    assert_int_equal(bytes[7998 * SECTOR - 1], 0);
    uint8_t *copy = malloc(sizeof bytes);
    memcpy(copy, bytes, sizeof bytes);
    for (uint64_t first = 7799; first < 7803; first++) { /* not one block beyond the end */
        job_make(&job, BLOCK_WRITE, first, 3);
        assert_int_equal(run(second(), &job), STATUS_OUT_OF_RANGE);
    }
    job_make(&job, BLOCK_WRITE, UINT64_MAX - 150, 3); /* with the beginning of the partition it would wrap */
    assert_int_equal(run(second(), &job), STATUS_OUT_OF_RANGE);
    job_make(&job, BLOCK_WRITE, UINT64_MAX - 199, 1);
    assert_int_equal(run(second(), &job), STATUS_OUT_OF_RANGE);
    assert_memory_equal(copy, bytes, sizeof bytes);
    free(copy);
}

/* Runs of good requests go on together; bad ones end later; what the disk does not take is not taken. */
static void test_batches(void **state)
{
    struct job jobs[9];
    struct block_request *list[9];

    (void)state;
    partitions_scan();
    for (unsigned i = 0; i < 9; i++)
        list[i] = job_make(&jobs[i], BLOCK_READ, i == 4 || i == 5 ? 7801 : i, 1);
    unsigned before = submits;
    assert_int_equal(submit(second(), list, 9), 9);
    assert_int_equal(submits - before, 2);
    assert_int_equal(pending_count, 7);
    assert_int_equal(jobs[4].done, 0);
    assert_true(partitions_dispatch());
    assert_int_equal(jobs[4].done + jobs[5].done, 2);
    assert_int_equal(jobs[4].request.status, STATUS_OUT_OF_RANGE);
    disk_poll(NULL);
    for (unsigned i = 0; i < 9; i++)
        assert_int_equal(jobs[i].done, 1);
    for (unsigned i = 0; i < 9; i++)
        list[i] = job_make(&jobs[i], BLOCK_READ, i, 1);
    takes_most = 3;
    assert_int_equal(submit(second(), list, 9), 3);
    disk_poll(NULL);
    assert_int_equal(jobs[2].done, 1);
    assert_int_equal(jobs[3].done, 0);
    assert_int_equal(jobs[3].request.status, STATUS_COUNT);
}

static void test_revoked(void **state)
{
    struct job jobs[2];

    (void)state;
    partitions_scan();
    struct partition *old = second();
    end_ownership();
    unsigned before = submits;
    job_make(&jobs[0], BLOCK_READ, 0, 1);
    assert_int_equal(run(old, &jobs[0]), STATUS_REVOKED);
    assert_int_equal(submits, before);
    assert_null(partitions_of(&block));
    publish(); /* at the same address, as memory that was freed comes back */
    assert_null(partitions_of(&block));
    assert_true(partitions_dispatch());
    assert_non_null(partitions_of(&block));
    assert_ptr_not_equal(second(), old);
    job_make(&jobs[0], BLOCK_READ, 0, 1);
    job_make(&jobs[1], BLOCK_READ, 0, 1);
    assert_int_equal(run(old, &jobs[0]), STATUS_REVOKED); /* for ever */
    assert_int_equal(run(second(), &jobs[1]), STATUS_OK);
}

static void test_gone_while_reading(void **state)
{
    (void)state;
    dies = true;
    partitions_scan();
    assert_null(partitions_of(&block));
    assert_int_equal(host_log_count(LOG_WARN) + host_log_count(LOG_INFO), 0);
    dies = false;
    publish();
    partitions_dispatch();
    assert_non_null(partitions_of(&block));
}

static void test_silent(void **state)
{
    (void)state;
    silent = true;
    partitions_scan();
    assert_null(partitions_of(&block));
    assert_true(host_log_has("was not answered within 40 s"));
    assert_true(host_log_has("its first block cannot be read"));
    assert_true(disk_has_table(&block)); /* perhaps: nobody writes to it */
    disk_poll(NULL);                     /* a late answer hits nobody */
    partitions_dispatch();               /* and its memory is freed */
}

static void test_other_disks(void **state)
{
    (void)state;
    memset(bytes + SECTOR, 0, SECTOR);
    partitions_scan();
    assert_non_null(partitions_of(&block));
    assert_true(host_log_has("its partition table is damaged: there is none; the backup is used"));
    end_ownership();
    memset(bytes + sizeof bytes - SECTOR, 0, SECTOR);
    publish();
    partitions_scan();
    assert_null(partitions_of(&block));
    assert_true(host_log_has("its partition table is damaged and so is the backup"));
    assert_true(disk_has_table(&block));
    end_ownership();
    format(TWO " -m 1");
    publish();
    partitions_scan();
    assert_true(host_log_has("of the old kind (MBR)"));
    assert_true(disk_has_table(&block));
    end_ownership();
    format("");
    publish();
    partitions_scan();
    assert_false(disk_has_table(&block));
}

/* ---- Report -------------------------------------------------------------------------------------------------- */

static char said[4096];

static void keep(struct printer *printer, const char *text, size_t length)
{
    (void)printer;
    strncat(said, text, length < sizeof said - 1 - strlen(said) ? length : 0);
}

static void test_report(void **state)
{
    struct printer printer = {.write = keep};

    (void)state;
    end_ownership();
    format(TWO
           " -c 1:'a name of 36 characters, all of them' -n 3:8001:8010 -t 3:12345678-1234-1234-1234-123456789abc -c "
           "3:'another name that is 36 long, as well'");
    publish();
    partitions_scan();
    said[0] = '\0';
    disks_report(&printer);
    assert_non_null(strstr(said, "disk0                          4 MiB    512  GPT, serial S123\n"));
    assert_non_null(strstr(said, " disk0p2"));
    for (const char *line = said, *next; *line != '\0'; line = next + 1) {
        next = strchr(line, '\n');
        assert_true(next - line < 80);
    }
    end_ownership();
    said[0] = '\0';
    disks_report(&printer);
    assert_string_equal(said, "this machine has no disk that vmos can use\n");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_found, begin, end),
        cmocka_unit_test_setup_teardown(test_requests, begin, end),
        cmocka_unit_test_setup_teardown(test_batches, begin, end),
        cmocka_unit_test_setup_teardown(test_revoked, begin, end),
        cmocka_unit_test_setup_teardown(test_gone_while_reading, begin, end),
        cmocka_unit_test_setup_teardown(test_silent, begin, end),
        cmocka_unit_test_setup_teardown(test_other_disks, begin, end),
        cmocka_unit_test_setup_teardown(test_report, begin, end),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
