/*
 * iotest.c: a load for any disk or partition, whose every byte can be checked from outside.
 *
 *     iotest NAME read|write|mixed|all [count=1000] [depth=32] [size=4K] [span=4M] [first=BLOCK] [seed=1] [skew=BYTES]
 *
 * Of `span` bytes from block `first` on, in pieces of `size`, request i (from 0) takes one: with
 *
 *     mix(x)   = splitmix64's output for the state x
 *     r        = mix(seed * 2^32 + i), modulo 2^64; piece = r mod pieces; kind = bits 60 to 63 of r
 *     read     reads; write writes
 *     mixed    reads for kinds 0-6, writes for 7-13, writes through the cache (FUA) for 14, flushes for 15
 *     all      reads for 0-5, writes for 6-11, writes through for 12, flushes for 13, zeroes for 14, discards for 15
 *     contents 64-bit little-endian word k of what request i writes: mix(mix(seed) + piece * 2^32 + i + 1) + k * GOLDEN
 *
 * A request waits while another one of its piece is in flight, so the last word about a piece is that of the last
 * request that wrote it, whatever order the disk keeps. All reads are held against this, and in the end all pieces are
 * read again. `skew` places the memory that many bytes into a page. Once a request ends with `revoked` the disk has
 * been taken away, and nothing more is asked of it.
 */
#include "iotest.h"
#include "kernel.h"
#include "partition.h"

#include <lib/malloc.h>
#include <lib/string.h>
#include <lib/text.h>
#include <memory/memory.h>
#include <platform/clock.h>

#define GOLDEN      UINT64_C(0x9e3779b97f4a7c15)
#define PATIENCE_NS (300 * NANOSECONDS_PER_SECOND)

enum { MOST_DEPTH = 1024, MOST_PIECES = 1 << 16, UNKNOWN = 0, ZEROES = UINT32_MAX };

/* What each kind of request is, by its place in OPERATIONS, which is that in enum block_operation; t: a write through
 * the cache. */
#define OPERATIONS "rwfdzt"
static const struct mode {
    char name[6], kinds[17];
} modes[] = {{"read", "r"}, {"write", "w"}, {"mixed", "rrrrrrrwwwwwwwtf"}, {"all", "rrrrrrwwwwwwtfzd"}};

enum number { COUNT, DEPTH, SIZE, SPAN, FIRST, SEED, SKEW, NUMBERS };
static const char number_names[NUMBERS][6] = {"count", "depth", "size", "span", "first", "seed", "skew"};

struct job {
    struct block_request request;
    struct memory_ref segment;
    uint8_t *memory;
    uint32_t piece, version; /* version: that it writes, or expects to read */
    struct iotest *test;
    struct job *next; /* free, or finished */
};

struct piece {
    uint32_t version;
    bool busy;
};

struct iotest {
    struct block_device *block; /* only while it is published: a disk can leave in the middle of this */
    char name[PARTITION_NAME_SIZE];
    uint64_t number[NUMBERS], blocks; /* blocks of a piece */
    const char *kinds;
    uint32_t piece_count, in_flight;
    struct piece *pieces;
    struct job *jobs, *free, *finished;
    struct block_request **batch;
    uint64_t done[BLOCK_WRITE_ZEROES + 1], failed, wrong, longest_ns;
    uint64_t failed_block, wrong_block;
    enum status failure;
    bool over, checking; /* the disk was taken away; the load is over, and its pieces are read */
};

static uint64_t mix(uint64_t x)
{
    x += GOLDEN;
    x = (x ^ x >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    x = (x ^ x >> 27) * UINT64_C(0x94d049bb133111eb);
    return x ^ x >> 31;
}

/* Fills the memory with the job's contents, or sees whether it holds them. */
static bool contents(const struct iotest *test, const struct job *job, bool fill)
{
    bool zeroes = job->version == (uint32_t)ZEROES;
    uint64_t word = zeroes ? 0 : mix(mix(test->number[SEED]) + ((uint64_t)job->piece << 32) + job->version);

    for (uint64_t at = 0; at < test->number[SIZE]; at += sizeof word, word += zeroes ? 0 : GOLDEN)
        if (fill)
            memcpy(job->memory + at, &word, sizeof word);
        else if (memcmp(job->memory + at, &word, sizeof word) != 0)
            return false;
    return true;
}

/* ---- Requests ------------------------------------------------------------------------------------------------ */

static void job_add(struct job **list, struct job *job)
{
    job->next = *list;
    *list = job;
}

static struct job *job_take(struct job **list)
{
    struct job *job = *list;

    *list = job->next;
    return job;
}

static void request_done(struct block_request *request)
{
    struct job *job = request->client;

    job_add(&job->test->finished, job);
}

static struct block_request *begin(struct iotest *test, char kind, uint32_t piece, uint32_t version)
{
    struct job *job = job_take(&test->free);
    unsigned operation = (unsigned)(strchr(OPERATIONS, kind) - OPERATIONS);
    bool through = operation > BLOCK_WRITE_ZEROES, placed = operation != BLOCK_FLUSH;
    struct piece *of = &test->pieces[piece];

    if (through)
        operation = BLOCK_WRITE;
    job->piece = piece;
    job->version = operation == BLOCK_READ           ? of->version
                   : operation == BLOCK_WRITE_ZEROES ? (uint32_t)ZEROES
                   : operation == BLOCK_DISCARD      ? (uint32_t)UNKNOWN
                                                     : version;
    job->request = (struct block_request){.operation = (enum block_operation)operation,
                                          .first_block = placed ? test->number[FIRST] + piece * test->blocks : 0,
                                          .block_count = placed ? test->blocks : 0,
                                          .force_unit_access = through,
                                          .segments = &job->segment,
                                          .segment_count = operation <= BLOCK_WRITE,
                                          .done = request_done,
                                          .client = job};
    if (operation == BLOCK_WRITE)
        contents(test, job, true);
    else if (operation == BLOCK_READ)
        memset(job->memory, 0xa5, test->number[SIZE]);
    if (placed) {
        of->version = job->version;
        of->busy = true;
    }
    test->in_flight++;
    return &job->request;
}

static void ended(struct iotest *test, struct job *job)
{
    const struct block_request *request = &job->request;
    struct piece *of = &test->pieces[job->piece];

    test->in_flight--;
    if (!test->checking)
        test->done[request->operation]++;
    test->over |= request->status == STATUS_REVOKED;
    if (request->status != STATUS_OK) {
        if (test->failed++ == 0) {
            test->failure = request->status;
            test->failed_block = request->first_block;
        }
        if (request->operation != BLOCK_READ && request->operation != BLOCK_FLUSH)
            of->version = UNKNOWN; /* some of it may have been written */
    } else if (request->operation == BLOCK_READ && job->version != UNKNOWN && !contents(test, job, false)) {
        if (test->wrong++ == 0)
            test->wrong_block = request->first_block;
    }
    if (request->operation != BLOCK_FLUSH)
        of->busy = false;
    job_add(&test->free, job);
}

static bool any_finished(void *context)
{
    return ((struct iotest *)context)->finished != NULL;
}

static bool never(void *context)
{
    (void)context;
    return false; /* only lets drivers run for a moment */
}

/* Submits the batch, then waits for something to end. False: nothing did. */
static bool turn(struct iotest *test, unsigned batched)
{
    const struct block_device *block = test->block;
    uint64_t begun = clock_now();

    for (unsigned taken = 0; taken < batched;) {
        if (!block_is_published(block)) {
            for (; taken < batched; taken++) {
                test->batch[taken]->status = STATUS_REVOKED;
                request_done(test->batch[taken]);
            }
            break;
        }
        taken += block->ops->submit(block->driver, test->batch + taken, batched - taken);
        if (taken < batched) {
            if (clock_now() - begun > PATIENCE_NS)
                return false;
            kernel_wait(never, NULL, clock_now() + NANOSECONDS_PER_MILLISECOND);
        }
    }
    if (!kernel_wait(any_finished, test, begun + PATIENCE_NS))
        return false;
    uint64_t took = clock_now() - begun;
    if (took > test->longest_ns)
        test->longest_ns = took;
    while (test->finished != NULL)
        ended(test, job_take(&test->finished));
    return true;
}

/* The next request into the batch; false: it must wait for one that is in flight. */
static bool next_of_load(struct iotest *test, uint64_t next, unsigned *batched)
{
    uint64_t random = mix((test->number[SEED] << 32) + next);
    uint32_t piece = (uint32_t)(random % test->piece_count);
    char kind = test->kinds[(random >> 60) % strlen(test->kinds)];

    if (kind != 'f' && test->pieces[piece].busy)
        return false;
    test->batch[(*batched)++] = begin(test, kind, piece, (uint32_t)next + 1);
    return true;
}

/* All requests of the load, or one for each piece whose contents are known; false: the disk does not answer. */
static bool load(struct iotest *test)
{
    uint64_t next = 0, count = test->checking ? test->piece_count : test->number[COUNT];

    for (;;) {
        unsigned batched = 0;
        for (; next < count && test->free != NULL && !test->over; next++)
            if (!test->checking) {
                if (!next_of_load(test, next, &batched))
                    break;
            } else if (test->pieces[next].version != UNKNOWN) {
                test->batch[batched++] = begin(test, 'r', (uint32_t)next, 0);
            }
        if (test->in_flight == 0)
            return true;
        if (!turn(test, batched))
            return false;
    }
}

/* ---- Setting up ---------------------------------------------------------------------------------------------- */

static bool make_jobs(struct iotest *test)
{
    uint64_t depth = test->number[DEPTH], size = test->number[SIZE], skew = test->number[SKEW];

    test->pieces = calloc(test->piece_count, sizeof *test->pieces);
    test->jobs = calloc(depth, sizeof *test->jobs);
    test->batch = calloc(depth, sizeof(struct block_request *));
    if (test->pieces == NULL || test->jobs == NULL || test->batch == NULL)
        return false;
    for (uint64_t i = 0; i < depth; i++) {
        struct job *job = &test->jobs[i];
        uint8_t *memory = aligned_alloc(PAGE_SIZE, size + (skew != 0 ? PAGE_SIZE : 0));
        if (memory == NULL)
            return false;
        job->memory = memory + skew;
        job->segment = (struct memory_ref){.offset = (uintptr_t)job->memory, .length = size};
        job->test = test;
        job_add(&test->free, job);
    }
    return true;
}

static void free_jobs(struct iotest *test)
{
    for (uint64_t i = 0; test->jobs != NULL && i < test->number[DEPTH]; i++)
        if (test->jobs[i].memory != NULL)
            free(test->jobs[i].memory - test->number[SKEW]);
    free(test->jobs);
    free(test->batch);
    free(test->pieces);
    free(test);
}

/* NULL, or what is wrong with a word. */
static const char *read_word(struct iotest *test, const char *word, size_t length)
{
    const char *end;

    for (unsigned i = 0; i < sizeof modes / sizeof modes[0]; i++)
        if (strlen(modes[i].name) == length && memcmp(modes[i].name, word, length) == 0) {
            test->kinds = modes[i].kinds;
            return NULL;
        }
    for (unsigned i = 0; i < NUMBERS; i++) {
        size_t name = strlen(number_names[i]);
        if (length > name && memcmp(word, number_names[i], name) == 0 && word[name] == '=')
            return text_to_number(word + name + 1, &end, &test->number[i]) && end == word + length ? NULL
                                                                                                   : "is no number";
    }
    return "is not known";
}

/* NULL, or what is wrong. */
static const char *check_numbers(struct iotest *test, const struct block_info *info)
{
    uint64_t *number = test->number;

    if (number[SIZE] == 0 || number[SIZE] % info->block_size != 0 || number[SIZE] > 64 << 20)
        return "size must be whole blocks, at most 64M";
    if (number[FIRST] >= info->block_count)
        return "first lies behind the end of the disk";
    uint64_t blocks = info->block_count - number[FIRST];
    if (number[SPAN] / info->block_size > blocks)
        number[SPAN] = blocks * info->block_size;
    uint64_t pieces = number[SPAN] / number[SIZE];
    if (pieces == 0 || pieces > MOST_PIECES)
        return "span must be from 1 to 65536 times size";
    if (number[DEPTH] - 1 >= MOST_DEPTH || number[COUNT] - 1 >= UINT32_MAX - 1u)
        return "depth must be from 1 to 1024, and count at least 1";
    if (number[SKEW] >= PAGE_SIZE || number[SKEW] % 4 != 0)
        return "skew must be a multiple of 4 below 4096";
    test->piece_count = (uint32_t)pieces;
    test->blocks = number[SIZE] / info->block_size;
    return NULL;
}

static void report(const struct iotest *test, struct printer *out, uint64_t took_ns, uint64_t asleep_ns)
{
    const unsigned long long us = NANOSECONDS_PER_MICROSECOND;
    const uint64_t *done = test->done;
    char size[24];

    format_size(size, sizeof size, test->number[SIZE]);
    print(out,
          "iotest %s: %llu read, %llu written, %llu flushed, %llu discarded, %llu zeroed, of %s at depth %llu\n"
          "iotest %s: %llu us, of which %llu us asleep; the longest wait %llu us\n",
          test->name, done[BLOCK_READ] + 0ull, done[BLOCK_WRITE] + 0ull, done[BLOCK_FLUSH] + 0ull,
          done[BLOCK_DISCARD] + 0ull, done[BLOCK_WRITE_ZEROES] + 0ull, size, test->number[DEPTH] + 0ull, test->name,
          took_ns / us, asleep_ns / us, test->longest_ns / us);
    if (test->failed != 0)
        print(out, "iotest %s: the first to fail was that at block %llu: %s\n", test->name, test->failed_block + 0ull,
              status_text(test->failure));
    if (test->wrong != 0)
        print(out, "iotest %s: the first wrong contents were read at block %llu\n", test->name,
              test->wrong_block + 0ull);
    print(out, "iotest %s: %llu failed, %llu wrong%s\n", test->name, test->failed + 0ull, test->wrong + 0ull,
          test->over ? "; the disk was taken away, and the rest was not tried" : "");
}

static void run(struct iotest *test, struct printer *out)
{
    uint64_t took = clock_now(), asleep = clock_idle();
    bool answered = load(test);

    took = clock_now() - took;
    asleep = clock_idle() - asleep;
    test->checking = true;
    if (answered && load(test)) {
        report(test, out, took, asleep);
        free_jobs(test);
    } else { /* the disk may still write to the memory: it stays */
        print(out, "iotest %s: no answer for %u s; %u requests are out\n", test->name,
              (unsigned)(PATIENCE_NS / NANOSECONDS_PER_SECOND), test->in_flight);
    }
}

void iotest(struct printer *out, const char *arguments)
{
    struct iotest *test = calloc(1, sizeof *test);
    size_t length = 0;
    const char *word = text_word(arguments, &length), *wrong = NULL;

    if (test == NULL || word == NULL || (test->block = block_find(word, length)) == NULL) {
        print(out, "name a disk, as `disks` lists them: iotest nvme0n1 mixed depth=32 size=4K count=1000\n");
        free(test);
        return;
    }
    text_copy(test->name, test->block->name, sizeof test->name);
    test->kinds = modes[0].kinds;
    test->number[COUNT] = 1000;
    test->number[DEPTH] = 32;
    test->number[SIZE] = PAGE_SIZE;
    test->number[SPAN] = 4 << 20;
    test->number[SEED] = 1;
    while ((word = text_word(word + length, &length)) != NULL && wrong == NULL)
        if ((wrong = read_word(test, word, length)) != NULL)
            print(out, "\"%.*s\" ", (int)length, word);
    if (wrong == NULL)
        wrong = check_numbers(test, &test->block->info);
    if (wrong == NULL && !make_jobs(test))
        wrong = "there is not enough memory for that";
    if (wrong != NULL) {
        print(out, "%s\n", wrong);
        free_jobs(test);
        return;
    }
    run(test, out);
}
