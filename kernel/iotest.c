/*
 * iotest.c: a load for any disk, whose every byte can be checked from outside.
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
 * read again. `skew` places the memory that many bytes into a page.
 */
#include "iotest.h"
#include "kernel.h"

#include <authority/device.h>
#include <lib/malloc.h>
#include <lib/string.h>
#include <lib/text.h>
#include <memory/memory.h>
#include <platform/clock.h>
#include <vmos/block.h>

#define GOLDEN      UINT64_C(0x9e3779b97f4a7c15)
#define PATIENCE_NS (300 * NANOSECONDS_PER_SECOND)

enum { MOST_DEPTH = 1024, MOST_PIECES = 1 << 16, UNKNOWN = 0, ZEROES = UINT32_MAX };
enum mode { MODE_READ, MODE_WRITE, MODE_MIXED, MODE_ALL };

struct job {
    struct block_request request;
    struct memory_ref segment;
    uint8_t *memory;
    uint32_t piece, version; /* version: that it writes, or expects to read */
    bool counts;             /* occupies its piece */
    struct iotest *test;
    struct job *next; /* free, or finished */
};

struct iotest {
    struct block_device *block;
    enum mode mode;
    uint64_t count, depth, size, span, first, seed, skew;
    uint32_t pieces;
    uint32_t *versions;
    uint8_t *busy; /* by piece */
    struct job *jobs, *free, *finished;
    struct block_request **batch;
    uint32_t in_flight;
    uint64_t done[BLOCK_WRITE_ZEROES + 1], failed, wrong, longest_ns;
    enum status failure;
    uint64_t failed_block, wrong_block;
};

static uint64_t mix(uint64_t x)
{
    x += GOLDEN;
    x = (x ^ x >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    x = (x ^ x >> 27) * UINT64_C(0x94d049bb133111eb);
    return x ^ x >> 31;
}

static uint64_t contents(const struct iotest *test, uint32_t piece, uint32_t version)
{
    return mix(mix(test->seed) + ((uint64_t)piece << 32) + version);
}

static void fill(const struct iotest *test, struct job *job)
{
    uint64_t word = contents(test, job->piece, job->version);

    for (uint64_t at = 0; at < test->size; at += sizeof word, word += GOLDEN)
        memcpy(job->memory + at, &word, sizeof word);
}

static bool holds(const struct iotest *test, const struct job *job)
{
    uint64_t word = job->version == ZEROES ? 0 : contents(test, job->piece, job->version);

    for (uint64_t at = 0; at < test->size; at += sizeof word, word += job->version == ZEROES ? 0 : GOLDEN)
        if (memcmp(job->memory + at, &word, sizeof word) != 0)
            return false;
    return true;
}

/* ---- Requests ------------------------------------------------------------------------------------------------ */

static void request_done(struct block_request *request)
{
    struct job *job = request->client;

    job->next = job->test->finished;
    job->test->finished = job;
}

static enum block_operation choose(enum mode mode, unsigned kind, bool *through)
{
    static const uint8_t mixed[] = {7, 15, 15, 16, 16}, all[] = {6, 13, 14, 15, 16}; /* where the next kind begins */
    const uint8_t *ends = mode == MODE_MIXED ? mixed : all;

    *through = mode >= MODE_MIXED && kind == ends[1] - 1u;
    if (mode < MODE_MIXED)
        return mode == MODE_READ ? BLOCK_READ : BLOCK_WRITE;
    return kind < ends[0]                         ? BLOCK_READ
           : kind < ends[1]                       ? BLOCK_WRITE
           : kind < ends[2] || mode == MODE_MIXED ? BLOCK_FLUSH
           : kind < ends[3]                       ? BLOCK_WRITE_ZEROES
                                                  : BLOCK_DISCARD;
}

static struct block_request *begin(struct iotest *test, enum block_operation operation, uint32_t piece,
                                   uint32_t version, bool through)
{
    struct job *job = test->free;
    uint64_t blocks = test->size / test->block->info.block_size;
    bool moves = operation == BLOCK_READ || operation == BLOCK_WRITE;

    test->free = job->next;
    job->piece = piece;
    job->version = operation == BLOCK_READ ? test->versions[piece] : version;
    job->counts = operation != BLOCK_FLUSH;
    job->request = (struct block_request){.operation = operation,
                                          .first_block = job->counts ? test->first + piece * blocks : 0,
                                          .block_count = job->counts ? blocks : 0,
                                          .force_unit_access = through,
                                          .segments = &job->segment,
                                          .segment_count = moves,
                                          .done = request_done,
                                          .client = job};
    if (operation == BLOCK_WRITE)
        fill(test, job);
    else if (operation == BLOCK_READ)
        memset(job->memory, 0xa5, test->size);
    if (job->counts && operation != BLOCK_READ)
        test->versions[piece] = operation == BLOCK_WRITE          ? version
                                : operation == BLOCK_WRITE_ZEROES ? (uint32_t)ZEROES
                                                                  : (uint32_t)UNKNOWN;
    if (job->counts)
        test->busy[piece] = true;
    test->in_flight++;
    return &job->request;
}

static void ended(struct iotest *test, struct job *job)
{
    const struct block_request *request = &job->request;

    test->in_flight--;
    test->done[request->operation]++;
    if (request->status != STATUS_OK) {
        if (test->failed++ == 0) {
            test->failure = request->status;
            test->failed_block = request->first_block;
        }
        if (request->operation != BLOCK_READ && job->counts)
            test->versions[job->piece] = UNKNOWN; /* some of it may have been written */
    } else if (request->operation == BLOCK_READ && job->version != UNKNOWN && !holds(test, job)) {
        if (test->wrong++ == 0)
            test->wrong_block = request->first_block;
    }
    if (job->counts)
        test->busy[job->piece] = false;
    job->next = test->free;
    test->free = job;
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
    unsigned taken = 0;

    while ((taken += block->ops->submit(block->driver, test->batch + taken, batched - taken)) < batched) {
        if (clock_now() - begun > PATIENCE_NS)
            return false;
        kernel_wait(never, NULL, clock_now() + NANOSECONDS_PER_MILLISECOND);
    }
    if (!kernel_wait(any_finished, test, begun + PATIENCE_NS))
        return false;
    uint64_t took = clock_now() - begun;
    if (took > test->longest_ns)
        test->longest_ns = took;
    while (test->finished != NULL) {
        struct job *job = test->finished;
        test->finished = job->next;
        ended(test, job);
    }
    return true;
}

/* All requests of the load; false: the disk does not answer. */
static bool load(struct iotest *test)
{
    uint64_t next = 0;

    while (next < test->count || test->in_flight != 0) {
        unsigned batched = 0;
        for (; next < test->count && test->free != NULL; next++) {
            uint64_t random = mix((test->seed << 32) + next);
            uint32_t piece = (uint32_t)(random % test->pieces);
            bool through;
            enum block_operation operation = choose(test->mode, (unsigned)(random >> 60), &through);
            if (operation != BLOCK_FLUSH && test->busy[piece])
                break;
            test->batch[batched++] = begin(test, operation, piece, (uint32_t)next + 1, through);
        }
        if (!turn(test, batched))
            return false;
    }
    return true;
}

/* Reads what is known of every piece. */
static bool check(struct iotest *test)
{
    uint32_t next = 0;

    while (next < test->pieces || test->in_flight != 0) {
        unsigned batched = 0;
        for (; next < test->pieces && test->free != NULL; next++)
            if (test->versions[next] != UNKNOWN)
                test->batch[batched++] = begin(test, BLOCK_READ, next, 0, false);
        if (test->in_flight != 0 && !turn(test, batched))
            return false;
    }
    return true;
}

/* ---- Setting up ---------------------------------------------------------------------------------------------- */

static bool make_jobs(struct iotest *test)
{
    test->versions = calloc(test->pieces, sizeof *test->versions);
    test->busy = calloc(test->pieces, 1);
    test->jobs = calloc(test->depth, sizeof *test->jobs);
    test->batch = calloc(test->depth, sizeof(struct block_request *));
    if (test->versions == NULL || test->busy == NULL || test->jobs == NULL || test->batch == NULL)
        return false;
    for (uint64_t i = 0; i < test->depth; i++) {
        struct job *job = &test->jobs[i];
        uint8_t *memory = aligned_alloc(PAGE_SIZE, test->size + (test->skew != 0 ? PAGE_SIZE : 0));
        if (memory == NULL)
            return false;
        job->memory = memory + test->skew;
        job->segment = (struct memory_ref){.offset = (uintptr_t)job->memory, .length = test->size};
        job->test = test;
        job->next = test->free;
        test->free = job;
    }
    return true;
}

static void free_jobs(struct iotest *test)
{
    for (uint64_t i = 0; test->jobs != NULL && i < test->depth; i++)
        if (test->jobs[i].memory != NULL)
            free(test->jobs[i].memory - test->skew);
    free(test->jobs);
    free(test->batch);
    free(test->busy);
    free(test->versions);
    free(test);
}

struct block_device *block_find(const char *name, size_t length)
{
    for (struct device *device = device_first(); device != NULL; device = device->next)
        for (struct block_device *block = device->blocks; block != NULL; block = block->next)
            if (strlen(block->name) == length && memcmp(block->name, name, length) == 0)
                return block;
    return NULL;
}

/* NULL, or what is wrong with a word. */
static const char *read_word(struct iotest *test, const char *word, size_t length)
{
    static const char *const modes[] = {"read", "write", "mixed", "all"};
    const struct {
        const char *name;
        uint64_t *value;
    } numbers[] = {{"count", &test->count}, {"depth", &test->depth}, {"size", &test->size}, {"span", &test->span},
                   {"first", &test->first}, {"seed", &test->seed},   {"skew", &test->skew}};
    const char *end;

    for (unsigned i = 0; i < sizeof modes / sizeof modes[0]; i++)
        if (strlen(modes[i]) == length && memcmp(modes[i], word, length) == 0) {
            test->mode = (enum mode)i;
            return NULL;
        }
    for (unsigned i = 0; i < sizeof numbers / sizeof numbers[0]; i++) {
        size_t name = strlen(numbers[i].name);
        if (length > name && memcmp(word, numbers[i].name, name) == 0 && word[name] == '=')
            return text_to_number(word + name + 1, &end, numbers[i].value) && end == word + length ? NULL
                                                                                                   : "is no number";
    }
    return "is not known";
}

/* NULL, or what is wrong. */
static const char *check_numbers(struct iotest *test)
{
    const struct block_info *info = &test->block->info;

    if (test->size == 0 || test->size % info->block_size != 0 || test->size > 64 << 20)
        return "size must be whole blocks, at most 64M";
    if (test->first >= info->block_count)
        return "first lies behind the end of the disk";
    uint64_t blocks = info->block_count - test->first;
    if (test->span / info->block_size > blocks)
        test->span = blocks * info->block_size;
    if (test->span < test->size || test->span / test->size > MOST_PIECES)
        return "span must be from 1 to 65536 times size";
    if (test->depth == 0 || test->depth > MOST_DEPTH || test->count == 0 || test->count >= UINT32_MAX)
        return "depth must be from 1 to 1024, and count at least 1";
    if (test->skew >= PAGE_SIZE || test->skew % 4 != 0)
        return "skew must be a multiple of 4 below 4096";
    test->pieces = (uint32_t)(test->span / test->size);
    return NULL;
}

static void report(const struct iotest *test, struct printer *out, uint64_t took_ns, uint64_t asleep_ns)
{
    char size[24];

    format_size(size, sizeof size, test->size);
    print(out, "iotest %s: %llu read, %llu written, %llu flushed, %llu discarded, %llu zeroed, of %s at depth %llu\n",
          test->block->name, (unsigned long long)test->done[BLOCK_READ], (unsigned long long)test->done[BLOCK_WRITE],
          (unsigned long long)test->done[BLOCK_FLUSH], (unsigned long long)test->done[BLOCK_DISCARD],
          (unsigned long long)test->done[BLOCK_WRITE_ZEROES], size, (unsigned long long)test->depth);
    print(out, "iotest %s: %llu us, of which %llu us asleep; the longest wait %llu us\n", test->block->name,
          (unsigned long long)(took_ns / NANOSECONDS_PER_MICROSECOND),
          (unsigned long long)(asleep_ns / NANOSECONDS_PER_MICROSECOND),
          (unsigned long long)(test->longest_ns / NANOSECONDS_PER_MICROSECOND));
    if (test->failed != 0)
        print(out, "iotest %s: the first to fail was that at block %llu: %s\n", test->block->name,
              (unsigned long long)test->failed_block, status_text(test->failure));
    if (test->wrong != 0)
        print(out, "iotest %s: the first wrong contents were read at block %llu\n", test->block->name,
              (unsigned long long)test->wrong_block);
    print(out, "iotest %s: %llu failed, %llu wrong\n", test->block->name, (unsigned long long)test->failed,
          (unsigned long long)test->wrong);
}

static void run(struct iotest *test, struct printer *out)
{
    uint64_t begun = clock_now(), asleep = clock_idle();
    bool answered = load(test);

    uint64_t took = clock_now() - begun;
    asleep = clock_idle() - asleep;
    uint64_t done[BLOCK_WRITE_ZEROES + 1];
    memcpy(done, test->done, sizeof done);
    if (answered && check(test)) {
        memcpy(test->done, done, sizeof done); /* of the load alone */
        report(test, out, took, asleep);
        free_jobs(test);
    } else { /* the disk may still write to the memory: it stays */
        print(out, "iotest %s: no answer for %u s; %u requests are out\n", test->block->name,
              (unsigned)(PATIENCE_NS / NANOSECONDS_PER_SECOND), test->in_flight);
    }
}

void iotest(struct printer *out, const char *arguments)
{
    struct iotest *test = calloc(1, sizeof *test);
    size_t length = 0;
    const char *word = text_word(arguments, &length), *wrong = NULL;

    if (test == NULL || word == NULL || (test->block = block_find(word, length)) == NULL) {
        print(out, "name a disk, as `devices` lists them: iotest nvme0n1 mixed depth=32 size=4K count=1000\n");
        free(test);
        return;
    }
    test->count = 1000;
    test->depth = 32;
    test->size = PAGE_SIZE;
    test->span = 4 << 20;
    test->seed = 1;
    while ((word = text_word(word + length, &length)) != NULL && wrong == NULL)
        if ((wrong = read_word(test, word, length)) != NULL)
            print(out, "\"%.*s\" ", (int)length, word);
    if (wrong == NULL)
        wrong = check_numbers(test);
    if (wrong == NULL && !make_jobs(test))
        wrong = "there is not enough memory for that";
    if (wrong != NULL) {
        print(out, "%s\n", wrong);
        free_jobs(test);
        return;
    }
    run(test, out);
}
