/*
 * test_virtio_hostile.c: devices that lie, one row for each case: the misbehaviour, where it applies, what has to
 * come of it, and the sentence that the log must have. After each row nothing is kept, no token is lost or seen
 * twice, the driver has touched nothing that is not its own, and the device has reached nothing that was not granted.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <model/virtio_model.h>
#include "host_log.h"
#include "virtio_echo.h"

#define SECOND NANOSECONDS_PER_SECOND

enum {
    MMIO_LEGACY = 1 << VIRTIO_MODEL_MMIO_LEGACY,
    MMIO_MODERN = 1 << VIRTIO_MODEL_MMIO_MODERN,
    PCI_LEGACY = 1 << VIRTIO_MODEL_PCI_LEGACY,
    PCI_MODERN = 1 << VIRTIO_MODEL_PCI_MODERN,
    TRANSITIONAL = 1 << VIRTIO_MODEL_PCI_TRANSITIONAL,
    MMIO = MMIO_LEGACY | MMIO_MODERN,
    LEGACY = MMIO_LEGACY | PCI_LEGACY,
    MODERN = MMIO_MODERN | PCI_MODERN | TRANSITIONAL,
    ALL = LEGACY | MODERN,

    QUEUE_SIZE = 16,
    REQUESTS = 4,
};

struct row;

struct scene {
    const struct row *row;
    struct virtio_model *model;
    struct virtio_device virtio;
    struct virtqueue *queue;
    unsigned added, back;
};

struct row {
    const char *id;
    enum virtio_model_evil evil;
    unsigned where; /* transports */
    void (*expect)(struct scene *scene);
    const char *sentence; /* NULL: the log has no warning and no error */
    enum status status;   /* for who expects one */
    uint16_t queue_size;  /* that the device offers; 0: QUEUE_SIZE */
    uint64_t features_off;
    bool one_at_a_time;
};

/* ---- Steps ------------------------------------------------------------------------------------------------- */

static enum status open_device(struct scene *scene)
{
    return virtio_open(&scene->virtio, virtio_model_device(scene->model), echo_features, ECHO_FEATURES);
}

static enum status open_queue(struct scene *scene, uint16_t index)
{
    return virtqueue_open(&scene->queue, &scene->virtio, index, QUEUE_SIZE, 1);
}

static void open_all(struct scene *scene)
{
    assert_int_equal(open_device(scene), STATUS_OK);
    assert_int_equal(open_queue(scene, 0), STATUS_OK);
    assert_int_equal(virtio_go(&scene->virtio), STATUS_OK);
}

static void close_all(struct scene *scene)
{
    scene->back += echo_close(&scene->virtio, &scene->queue, 1);
    assert_int_equal(scene->back, scene->added); /* each token exactly once: echo_finish frees, and double frees show */
}

static void add(struct scene *scene, uint32_t out, uint32_t in)
{
    struct echo_request *request = malloc(sizeof *request);

    assert_int_equal(echo_add(&scene->virtio, scene->queue, request, out, in), STATUS_OK);
    scene->added++;
}

static bool take(struct scene *scene)
{
    uint64_t token = 0;
    uint32_t written = 0;

    if (!virtqueue_next(scene->queue, &token, &written))
        return false;
    struct echo_request *request = (struct echo_request *)(uintptr_t)token;
    echo_finish(&scene->virtio, request, written);
    free(request);
    scene->back++;
    return true;
}

/* Waits for `count` completions and takes them. */
static void take_all(struct scene *scene, unsigned count)
{
    while (count-- != 0) {
        assert_true(virtqueue_wait(scene->queue, clock_now() + SECOND));
        assert_true(take(scene));
    }
}

static void pass_time(struct scene *scene, uint64_t duration)
{
    uint64_t end = clock_now() + duration;

    while (clock_now() < end)
        virtio_cause(&scene->virtio, driver_wait(scene->virtio.device, scene->virtio.events, end));
}

/* ---- What can come of it ----------------------------------------------------------------------------------------- */

static void expect_open_fails(struct scene *scene)
{
    assert_int_equal(open_device(scene), scene->row->status);
    if (scene->virtio.stuck)
        home_quarantine(scene->virtio.device);
    else if (scene->row->evil != D14_NO_DEVICE)
        assert_int_equal(virtio_model_status(scene->model), 0);
}

static void expect_queue_fails(struct scene *scene)
{
    assert_int_equal(open_device(scene), STATUS_OK);
    assert_int_equal(open_queue(scene, 0), scene->row->status);
    assert_null(scene->queue);
    assert_int_equal(virtio_reset(&scene->virtio), STATUS_OK);
    virtio_close(&scene->virtio);
}

/* Queue 0 is there and works, queue 1 is not. */
static void expect_second_queue_fails(struct scene *scene)
{
    struct virtqueue *second;

    assert_int_equal(open_device(scene), STATUS_OK);
    assert_int_equal(open_queue(scene, 0), STATUS_OK);
    assert_int_equal(virtqueue_open(&second, &scene->virtio, 1, QUEUE_SIZE, 1), scene->row->status);
    assert_null(second);
    assert_int_equal(virtio_go(&scene->virtio), STATUS_OK);
    add(scene, 100, 100);
    virtqueue_submit(scene->queue);
    take_all(scene, 1);
    close_all(scene);
}

static void expect_works(struct scene *scene)
{
    open_all(scene);
    assert_true(virtqueue_size(scene->queue) <= QUEUE_SIZE);
    for (unsigned round = 0; round < 20; round++) {
        unsigned count = 0;
        while (count < REQUESTS && virtqueue_room(scene->queue) >= 2) {
            add(scene, 10 + round, 20);
            count++;
        }
        virtqueue_submit(scene->queue);
        take_all(scene, count);
    }
    assert_null(home_failure(scene->virtio.device));
    close_all(scene);
}

/* The same with requests of several parts. */
static void expect_large_works(struct scene *scene)
{
    open_all(scene);
    for (unsigned round = 0; round < 20; round++) {
        add(scene, 9000, 2);
        add(scene, 2, 9000);
        virtqueue_submit(scene->queue);
        take_all(scene, 2);
    }
    assert_null(home_failure(scene->virtio.device));
    assert_true(scene->model->evil_count > 0);
    close_all(scene);
}

/* The queue gives up: nothing completes or can be added any more, and what is left comes back after the reset. */
static void expect_breaks(struct scene *scene)
{
    struct echo_request refused;
    uint64_t end;

    open_all(scene);
    for (unsigned i = 0; i < REQUESTS; i++)
        add(scene, 10, 20);
    virtqueue_submit(scene->queue);
    if (scene->row->evil == E02_ID_NOT_SUBMITTED)
        add(scene, 10, 20);
    end = clock_now() + SECOND;
    while (!virtqueue_broken(scene->queue) && clock_now() < end) {
        virtqueue_wait(scene->queue, clock_now() + SECOND / 100);
        take(scene);
    }
    assert_true(virtqueue_broken(scene->queue));
    assert_non_null(home_failure(scene->virtio.device));
    assert_false(take(scene));
    assert_false(virtqueue_arm(scene->queue));
    assert_false(virtqueue_wait(scene->queue, DEADLINE_NEVER));
    virtqueue_submit(scene->queue);
    assert_int_equal(echo_add(&scene->virtio, scene->queue, &refused, 1, 1), STATUS_DEVICE_FAULT);
    assert_true(scene->back < scene->added);
    close_all(scene);
}

/* The device itself asks for a reset, or is gone. */
static void expect_device_fails(struct scene *scene)
{
    uint64_t end;

    open_all(scene);
    add(scene, 10, 20);
    virtqueue_submit(scene->queue);
    end = clock_now() + SECOND;
    while (home_failure(scene->virtio.device) == NULL && clock_now() < end) {
        uint32_t events = driver_wait(scene->virtio.device, scene->virtio.events, clock_now() + SECOND / 10);
        virtio_cause(&scene->virtio, events);
        take(scene);
    }
    assert_non_null(home_failure(scene->virtio.device));
    assert_int_equal(virtio_cause(&scene->virtio, 0), VIRTIO_CAUSE_BROKEN);
    if (scene->row->evil == D15_GONE)
        home_quarantine(scene->virtio.device);
    close_all(scene);
    assert_int_equal(scene->virtio.stuck, scene->row->evil == D15_GONE);
}

static void expect_config_fails(struct scene *scene)
{
    uint64_t word = 0;
    uint8_t mac[6];

    open_all(scene);
    assert_int_equal(virtio_config_read(&scene->virtio, 0, mac, sizeof mac), STATUS_DEVICE_FAULT);
    assert_int_equal(virtio_config_read(&scene->virtio, 8, &word, 8), STATUS_DEVICE_FAULT);
    assert_int_equal(scene->virtio.generation_retries, 16);
    close_all(scene);
}

/* Reset is not confirmed: neither the rings nor what is lent goes back. */
static void expect_stuck_at_the_end(struct scene *scene)
{
    virtio_model_misbehave(scene->model, VIRTIO_EVIL_NONE);
    open_all(scene);
    add(scene, 10, 9000);
    add(scene, 9000, 10); /* by an indirect table */
    virtqueue_submit(scene->queue);
    virtio_model_misbehave(scene->model, D04_RESET_STUCK);
    uint64_t before = clock_now();
    assert_int_equal(virtio_reset(&scene->virtio), STATUS_TIMED_OUT);
    assert_in_range(clock_now() - before, SECOND, SECOND + SECOND / 10);
    home_quarantine(scene->virtio.device);
    close_all(scene);
    struct home_account account = home_account(scene->virtio.device);
    assert_int_equal(account.queues, 1);
    assert_int_equal(account.owned, 1);
    assert_int_equal(account.loans, 4);
    assert_int_equal(account.interrupts, 0);
}

/* One of the requests does not come back in time: the others do, and nothing of it is given back before. */
static void expect_one_missing(struct scene *scene)
{
    open_all(scene);
    for (unsigned i = 0; i < REQUESTS; i++)
        add(scene, 10, 20);
    virtqueue_submit(scene->queue);
    take_all(scene, REQUESTS - 1);
    assert_false(virtqueue_wait(scene->queue, clock_now() + SECOND));
    assert_int_equal(home_account(scene->virtio.device).loans, 2);
    if (scene->row->evil == E10_ONE_LATE) {
        assert_true(virtqueue_wait(scene->queue, clock_now() + 10 * SECOND));
        assert_true(take(scene));
    }
    assert_null(home_failure(scene->virtio.device));
    close_all(scene);
}

static void expect_short(struct scene *scene)
{
    uint64_t token;
    uint32_t written = 1;
    struct echo_request request;

    open_all(scene);
    assert_int_equal(echo_add(&scene->virtio, scene->queue, &request, 10, 20), STATUS_OK);
    virtqueue_submit(scene->queue);
    assert_true(virtqueue_wait(scene->queue, clock_now() + SECOND));
    assert_true(virtqueue_next(scene->queue, &token, &written));
    assert_int_equal(written, 0); /* told as it is: what it means is the class driver's to say */
    echo_finish(&scene->virtio, &request, written);
    close_all(scene);
}

/* The device goes on writing to what it has completed: to the bytes while they are lent, never after. */
static void expect_refused(struct scene *scene)
{
    static uint8_t bytes[64], before[64];
    struct dma_segment segment;
    struct virtqueue_part part;
    unsigned count;
    uint32_t loan, written;
    uint64_t token;

    memset(bytes, 0, sizeof bytes);
    open_all(scene);
    assert_int_equal(dma_lend(scene->virtio.device, &(struct memory_ref){.offset = (uintptr_t)bytes, .length = 32},
                              DMA_FROM_DEVICE, &segment, 1, &count, &loan),
                     STATUS_OK);
    part = (struct virtqueue_part){segment.address, segment.length};
    assert_int_equal(virtqueue_add(scene->queue, &part, 0, 1, 1), STATUS_OK);
    virtqueue_submit(scene->queue);
    assert_true(virtqueue_wait(scene->queue, clock_now() + SECOND));
    assert_true(virtqueue_next(scene->queue, &token, &written));
    assert_int_equal(written, 32);
    dma_return(scene->virtio.device, loan);
    memcpy(before, bytes, sizeof bytes);
    for (unsigned i = 0; i < 50; i++)
        pass_time(scene, SECOND / 1000);
    assert_true(home_account(scene->virtio.device).refused > 0);
    assert_memory_equal(before, bytes, sizeof bytes);
    for (unsigned i = 0; i < sizeof bytes; i++)
        assert_int_equal(bytes[i], i < 32 ? ECHO_CHANGE : 0);
    close_all(scene);
}

static void expect_written_anywhere(struct scene *scene)
{
    open_all(scene);
    for (unsigned i = 0; i < 100; i++) {
        add(scene, 30, 4000);
        virtqueue_submit(scene->queue);
        take_all(scene, 1);
    }
    assert_true(home_account(scene->virtio.device).refused > 0);
    close_all(scene);
}

static void expect_platform(struct scene *scene)
{
    expect_works(scene);
    assert_true(virtio_has(&scene->virtio, VIRTIO_F_ACCESS_PLATFORM));
}

static void expect_polled(struct scene *scene)
{
    expect_works(scene);
    assert_true(scene->virtio.polled);
}

/* ---- The table -----------------------------------------------------------------------------------------------------
 */

#define NO_INDIRECT  VIRTIO_FEATURE(VIRTIO_F_INDIRECT_DESC)
#define NO_EVENT_IDX VIRTIO_FEATURE(VIRTIO_F_EVENT_IDX)
#define UNUSABLE     "the capabilities do not give common configuration registers; the device cannot be used"

/* Extra fields, if any, follow by name. */
#define ROW(id_, evil_, where_, expect_, ...)                                                                          \
    {                                                                                                                  \
        .id = id_, .evil = evil_, .where = where_, .expect = expect_, .sentence = __VA_ARGS__                          \
    }

static const struct row rows[] = {
    ROW("D01", D01_CAPABILITY_SHORT, PCI_MODERN, expect_open_fails, "common configuration capability is too short",
        .status = STATUS_DEVICE_FAULT),
    ROW("D01", D01_CAPABILITY_CUT, PCI_MODERN, expect_open_fails, "common configuration capability is too short",
        .status = STATUS_DEVICE_FAULT),
    ROW("D01", D01_CAPABILITY_BAR, PCI_MODERN, expect_open_fails, "names a BAR that cannot be; it is ignored",
        .status = STATUS_DEVICE_FAULT),
    ROW("D01", D01_CAPABILITY_BEYOND_BAR, PCI_MODERN, expect_open_fails, "reaches beyond its BAR; it is ignored",
        .status = STATUS_DEVICE_FAULT),
    ROW("D01", D01_CAPABILITY_WRAPS, PCI_MODERN, expect_open_fails, "reaches beyond its BAR; it is ignored",
        .status = STATUS_DEVICE_FAULT),
    ROW("D01", D01_CAPABILITY_UNALIGNED, PCI_MODERN, expect_open_fails, "is not aligned; it is ignored",
        .status = STATUS_DEVICE_FAULT),
    ROW("D01", D01_CAPABILITY_EMPTY, PCI_MODERN, expect_open_fails, "gives too few bytes; it is ignored",
        .status = STATUS_DEVICE_FAULT),
    ROW("D01", D01_CAPABILITY_HUGE, PCI_MODERN, expect_open_fails, UNUSABLE, .status = STATUS_DEVICE_FAULT),
    ROW("D01", D01_CAPABILITY_NO_NOTIFY, PCI_MODERN, expect_open_fails, "do not give notification registers",
        .status = STATUS_DEVICE_FAULT),
    ROW("D01", D01_WINDOW_SMALL, PCI_LEGACY, expect_open_fails, "neither capabilities nor legacy registers in BAR 0",
        .status = STATUS_DEVICE_FAULT),
    ROW("D01", D01_WINDOW_SMALL, MMIO, expect_open_fails, "the slot's registers cannot be reached",
        .status = STATUS_DEVICE_FAULT),
    ROW("D01", D01_CAPABILITY_BAR, TRANSITIONAL, expect_works, "names a BAR that cannot be"), /* the legacy way */
    ROW("D01", D01_CAPABILITY_UNKNOWN_TYPES, PCI_MODERN | TRANSITIONAL, expect_works, NULL),
    ROW("D02", D02_FIRST_COMMON_WINS, PCI_MODERN | TRANSITIONAL, expect_works, NULL),
    ROW("D02", D02_FIRST_COMMON_BAD, PCI_MODERN | TRANSITIONAL, expect_works, "names a BAR that cannot be reached"),
    ROW("D02", D02_SHARED_MEMORY_BETWEEN, PCI_MODERN | TRANSITIONAL, expect_works, NULL),
    ROW("D03", D03_MULTIPLIER_0, PCI_MODERN, expect_works, NULL),
    ROW("D03", D03_MULTIPLIER_1, PCI_MODERN, expect_open_fails, "has a multiplier that is not an even power of two",
        .status = STATUS_DEVICE_FAULT),
    ROW("D03", D03_MULTIPLIER_6, PCI_MODERN, expect_open_fails, "has a multiplier that is not an even power of two",
        .status = STATUS_DEVICE_FAULT),
    ROW("D03", D03_MULTIPLIER_2, PCI_MODERN, expect_works, NULL),
    ROW("D03", D03_MULTIPLIER_HUGE, PCI_MODERN, expect_second_queue_fails,
        "queue 1 has its doorbell at 0x80000000, beyond the 4096 bytes of doorbells", .status = STATUS_DEVICE_FAULT),
    ROW("D03", D03_NOTIFY_OFFSET_BEYOND, PCI_MODERN, expect_queue_fails,
        "queue 0 has its doorbell at 0x10000, beyond the 4096 bytes of doorbells", .status = STATUS_DEVICE_FAULT),
    ROW("D04", D04_RESET_STUCK, ALL, expect_open_fails, "reset is not confirmed after 1 s: status reads 0x0f",
        .status = STATUS_TIMED_OUT),
    ROW("D04", D04_RESET_STUCK, ALL, expect_stuck_at_the_end, "queue 0: its memory is left to the device"),
    ROW("D05", D05_FEATURES_REFUSED, MODERN, expect_open_fails, "the device refuses the features 0x130000021",
        .status = STATUS_DEVICE_FAULT),
    ROW("D05", D05_GONE_AT_FEATURES, MODERN, expect_open_fails, "status reads 0xff", .status = STATUS_DEVICE_FAULT),
    ROW("D06", D06_NO_VERSION_1, MODERN, expect_open_fails, "does not offer version_1 on its modern",
        .status = STATUS_UNSUPPORTED),
    ROW("D06", D06_UNKNOWN_FEATURES, ALL, expect_works, NULL),
    ROW("D07", VIRTIO_EVIL_NONE, ALL, expect_works, NULL, .features_off = VIRTIO_FEATURE(17)), /* mq without ctrl_vq */
    ROW("D08", D08_ACCESS_PLATFORM, MODERN, expect_platform, NULL),
    ROW("D09", D09_QUEUES_0, PCI_MODERN, expect_queue_fails, NULL, .status = STATUS_NOT_FOUND),
    ROW("D09", D09_QUEUES_1, PCI_MODERN, expect_second_queue_fails, NULL, .status = STATUS_NOT_FOUND),
    ROW("D09", D09_QUEUES_65535, PCI_MODERN, expect_works, NULL),
    ROW("D10", D10_QUEUE_SIZE_0, ALL, expect_queue_fails, NULL, .status = STATUS_NOT_FOUND),
    ROW("D10", D10_QUEUE_SIZE_3, MODERN | MMIO, expect_works, NULL),
    ROW("D10", D10_QUEUE_SIZE_1000, MODERN | MMIO, expect_works, NULL),
    ROW("D10", D10_QUEUE_SIZE_32768, MODERN | MMIO, expect_works, NULL),
    ROW("D10", D10_QUEUE_SIZE_65535, MODERN | MMIO, expect_works, NULL),
    ROW("D10", D10_QUEUE_SIZE_3, PCI_LEGACY, expect_queue_fails,
        "queue 0 has 3 entries; a legacy ring is a power of two", .status = STATUS_UNSUPPORTED),
    ROW("D10", D10_QUEUE_SIZE_1000, PCI_LEGACY, expect_queue_fails, "queue 0 has 1000 entries",
        .status = STATUS_UNSUPPORTED),
    ROW("D10", D10_QUEUE_SIZE_32768, PCI_LEGACY, expect_queue_fails, "queue 0 has 32768 entries",
        .status = STATUS_UNSUPPORTED),
    ROW("D10", D10_QUEUE_SIZE_65535, PCI_LEGACY, expect_queue_fails, "queue 0 has 65535 entries",
        .status = STATUS_UNSUPPORTED),
    ROW("D10", D10_QUEUE_SIZE_STUCK, PCI_MODERN, expect_queue_fails, "queue 0 was set to 16 entries and keeps 256",
        .status = STATUS_DEVICE_FAULT, .queue_size = 256),
    ROW("D10", D10_QUEUE_ENABLED, ALL, expect_queue_fails, "queue 0 is enabled although the device was reset",
        .status = STATUS_DEVICE_FAULT),
    ROW("D11", D11_NO_VECTOR, PCI_LEGACY | PCI_MODERN | TRANSITIONAL, expect_polled,
        "the device gives no interrupt vector to queue 0; it is polled"),
    ROW("D12", D12_GENERATION_STORM, ALL, expect_config_fails, "the configuration changed during each of 8 reads"),
    ROW("D13", D13_EARLY_INTERRUPT, ALL, expect_works, NULL),
    ROW("D13", D13_INTERRUPT_STORM, ALL, expect_works, NULL),
    ROW("D14", D14_BAD_MAGIC, MMIO, expect_open_fails, "the slot begins with 0x74726977, not with virtio's magic",
        .status = STATUS_NOT_FOUND),
    ROW("D14", D14_VERSION_0, MMIO, expect_open_fails, "the slot has version 0, neither 1 nor 2",
        .status = STATUS_UNSUPPORTED),
    ROW("D14", D14_VERSION_3, MMIO, expect_open_fails, "the slot has version 3, neither 1 nor 2",
        .status = STATUS_UNSUPPORTED),
    ROW("D14", D14_NO_DEVICE, MMIO, expect_open_fails, NULL, .status = STATUS_NOT_FOUND),
    ROW("D14", D10_QUEUE_SIZE_0, MMIO, expect_queue_fails, NULL, .status = STATUS_NOT_FOUND), /* QueueNumMax 0 */
    ROW("D15", D15_NEEDS_RESET, ALL, expect_device_fails, "the device asks for a reset: status reads 0x4"),
    ROW("D15", D15_GONE, ALL, expect_device_fails, "the device asks for a reset: status reads 0xff"),

    ROW("E01", E01_ID_BEYOND_QUEUE, ALL, expect_breaks, "queue 0: the device completed descriptor 16 of 16"),
    ROW("E01", E01_ID_HUGE, ALL, expect_breaks, "queue 0: the device completed descriptor 4294967295 of 16"),
    ROW("E02", E02_ID_NOT_IN_FLIGHT, ALL, expect_breaks, "descriptor 15, which is not a request in flight"),
    ROW("E02", E02_ID_NOT_A_HEAD, ALL, expect_breaks, "descriptor 1, which is not a request in flight"),
    ROW("E02", E02_COMPLETED_TWICE, ALL, expect_breaks, "descriptor 0, which is not a request in flight",
        .one_at_a_time = true),
    ROW("E02", E02_ID_NOT_SUBMITTED, ALL, expect_breaks, "descriptor 8, which is not a request in flight",
        .one_at_a_time = true),
    ROW("E03", E03_INDEX_JUMPS, ALL, expect_breaks, "queue 0: the used index moved by 20 with 4 requests in flight"),
    ROW("E03", E03_INDEX_BACK, ALL, expect_breaks, "queue 0: the used index moved by 65535 with 4 requests in flight",
        .one_at_a_time = true),
    ROW("E03", E03_INDEX_ONE_MORE, ALL, expect_breaks, "queue 0: the used index moved by 5 with 4 requests in flight"),
    ROW("E04", E04_LENGTH_BEYOND, MODERN, expect_works,
        "queue 0: the device claims to have written 1020 bytes where 20 were posted; such claims are cut"),
    ROW("E04", E04_LENGTH_BEYOND, LEGACY, expect_works, NULL), /* usual there: cut without a word */
    ROW("E05", E05_LENGTH_0, ALL, expect_short, NULL),
    ROW("E06", E06_REWRITES_DESCRIPTORS, ALL, expect_large_works, NULL, .features_off = NO_INDIRECT),
    ROW("E06", E06_REWRITES_DESCRIPTORS, ALL, expect_large_works, NULL),
    ROW("E07", E07_DESCRIPTOR_LOOP, ALL, expect_large_works, NULL, .features_off = NO_INDIRECT),
    ROW("E07", E07_DESCRIPTOR_LOOP, ALL, expect_large_works, NULL),
    ROW("E08", E08_AVAIL_EVENT_GARBAGE, ALL, expect_works, NULL),
    ROW("E08", E08_FLAGS_RANDOM, ALL, expect_works, NULL, .features_off = NO_EVENT_IDX),
    ROW("E09", VIRTIO_EVIL_NONE, ALL, expect_works, NULL),
    ROW("E09", VIRTIO_EVIL_NONE, ALL, expect_works, NULL, .one_at_a_time = true),
    ROW("E10", E10_ONE_NEVER, ALL, expect_one_missing, NULL),
    ROW("E10", E10_ONE_LATE, ALL, expect_one_missing, NULL),
    ROW("E11", E11_INTERRUPT_FOR_NOTHING, ALL, expect_works, NULL),
    ROW("E11", E11_NO_INTERRUPT, ALL, expect_works, NULL),
    ROW("E14", E14_REWRITES_INDIRECT, ALL, expect_large_works, NULL),
    ROW("E29", E29_WRITES_AFTER_COMPLETION, ALL, expect_refused, NULL),
    ROW("E29", E29_WRITES_ANYWHERE, ALL, expect_written_anywhere, NULL),
};

/* Cases of the list that have no row above, and why. */
static const struct absent {
    const char *id, *why;
} absent[] = {
    {"E12", "packed rings are not driven: ring_packed is never accepted"},
    {"E13", "packed rings are not driven: ring_packed is never accepted"},
    {"E15-E19", "virtio-net's own, with its driver"},
    {"E20-E23", "virtio-blk's own, with its driver"},
    {"E24", "virtio-rng's own, with its driver"},
    {"E25", "vsock is not driven"},
    {"E26", "virtio-console is not driven"},
    {"E27", "the balloon is not driven"},
    {"E28", "9p and virtio-fs are not driven"},
    {"E30", "below, with a second thread"},
};

static void play(const struct row *row, enum virtio_model_transport transport, unsigned vectors, bool reorder)
{
    struct virtio_model_options options = {
        .transport = transport,
        .vectors = vectors,
        .queue_size = row->queue_size != 0 ? row->queue_size : QUEUE_SIZE,
        .features_off = row->features_off,
        .one_at_a_time = row->one_at_a_time,
        .reorder = reorder,
        .delay_ns = reorder ? 100000 : 0,
    };
    struct scene scene = {.row = row, .model = echo_begin(&options, row->evil, vectors)};

    if (getenv("VMOS_LOG") != NULL)
        print_message("row %s (%u), transport %u, %u vectors\n", row->id, row->evil, transport, vectors);
    row->expect(&scene);
    if (row->sentence == NULL) {
        if (host_log_count(LOG_WARN) + host_log_count(LOG_ERROR) != 0)
            fail_msg("%s (%u), transport %u: words too many: %s", row->id, row->evil, transport, host_log_text());
    } else if (!host_log_has(row->sentence)) {
        fail_msg("%s (%u), transport %u: no word of \"%s\" in: %s", row->id, row->evil, transport, row->sentence,
                 host_log_text());
    }
    if (row->expect != expect_refused && row->expect != expect_written_anywhere)
        assert_int_equal(home_account(virtio_model_device(scene.model)).refused, 0);
    echo_end(scene.model);
}

static void test_rows(void **state)
{
    unsigned count = sizeof rows / sizeof rows[0], played = 0;

    (void)state;
    for (unsigned i = 0; i < count; i++)
        for (unsigned transport = 0; transport < VIRTIO_MODEL_TRANSPORTS; transport++) {
            bool mmio = transport == VIRTIO_MODEL_MMIO_LEGACY || transport == VIRTIO_MODEL_MMIO_MODERN;
            bool messages_only = rows[i].evil == D11_NO_VECTOR;
            if ((rows[i].where & 1u << transport) == 0)
                continue;
            if (!messages_only) {
                play(&rows[i], transport, 0, false);
                played++;
            }
            if (!mmio) {
                play(&rows[i], transport, 3, false);
                played++;
            }
            if (rows[i].expect == expect_works || rows[i].expect == expect_large_works) {
                play(&rows[i], transport, mmio ? 0 : 1, true);
                played++;
            }
        }
    print_message("%u rows, played %u times\n", count, played);
    for (unsigned i = 0; i < sizeof absent / sizeof absent[0]; i++)
        print_message("%s: %s\n", absent[i].id, absent[i].why);
}

/* Every misbehaviour that the model knows has a row, so that none is forgotten when one is added. */
static void test_every_evil_has_a_row(void **state)
{
    (void)state;
    for (unsigned evil = 1; evil < VIRTIO_EVIL_CLASS_FIRST; evil++) {
        bool found = false;
        for (unsigned i = 0; i < sizeof rows / sizeof rows[0]; i++)
            found |= rows[i].evil == evil;
        if (!found)
            fail_msg("misbehaviour %u has no row", evil);
    }
}

/* ---- E30: what is read twice can differ
 * ---------------------------------------------------------------------------------- */

static uint32_t hold(struct virtio_model *model, void *context, const struct virtio_model_request *request)
{
    (void)model, (void)context, (void)request;
    return VIRTIO_MODEL_HOLD;
}

struct flipper {
    struct device *device;
    device_address element;
    atomic_bool started, stop;
};

/* Changes id and length of the same used entry as fast as it can. */
static void *flip(void *of)
{
    struct flipper *flipper = of;

    for (uint32_t i = 0; !atomic_load(&flipper->stop); i++) {
        uint32_t pair[2] = {i % 3 == 0 ? UINT32_MAX - i : 0, i % 2 == 0 ? 8 : UINT32_MAX - i};
        home_dma_write(flipper->device, flipper->element, pair, sizeof pair);
        atomic_store(&flipper->started, true);
    }
    return NULL;
}

static void test_read_once(void **state)
{
    struct virtio_model_class class = echo_class;
    struct virtio_model_options options = {.transport = VIRTIO_MODEL_MMIO_MODERN, .queue_size = 1};
    unsigned completed = 0, broken = 0;

    (void)state;
    class.handle = hold;
    for (unsigned round = 0; round < 300; round++) {
        struct virtio_device virtio;
        struct virtqueue *queue;
        struct dma_memory memory;
        pthread_t thread;
        uint64_t token;
        uint32_t written;
        host_log_clear();
        home_init(&(struct home_options){.seed = round});
        struct virtio_model *model = virtio_model_create(&class, NULL, &options, VIRTIO_EVIL_NONE);
        echo_open(model, &virtio, &queue, 1, 1);
        assert_int_equal(dma_allocate(virtio.device, 8, 8, &memory), STATUS_OK);
        struct virtqueue_part part = {memory.address, 8};
        struct flipper flipper = {.device = virtio.device, .element = model->queues[0].used + 4};
        assert_int_equal(pthread_create(&thread, NULL, flip, &flipper), 0);
        while (!atomic_load(&flipper.started)) {
        }
        for (uint16_t index = 1; index <= 200 && !virtqueue_broken(queue); index++) {
            assert_int_equal(virtqueue_add(queue, &part, 0, 1, 77), STATUS_OK);
            virtqueue_submit(queue);
            home_dma_write(virtio.device, model->queues[0].used + 2, &index, sizeof index);
            if (!virtqueue_next(queue, &token, &written))
                break;
            assert_int_equal(token, 77);
            assert_true(written <= 8);
            completed++;
        }
        atomic_store(&flipper.stop, true);
        pthread_join(thread, NULL);
        broken += virtqueue_broken(queue);
        assert_int_equal(virtio_reset(&virtio), STATUS_OK);
        assert_int_equal(virtqueue_take_back(queue, &token), virtqueue_broken(queue));
        virtqueue_close(queue);
        dma_free(virtio.device, &memory);
        virtio_close(&virtio);
        echo_end(model);
    }
    print_message("%u completed, broken %u times\n", completed, broken);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rows),
        cmocka_unit_test(test_every_evil_has_a_row),
        cmocka_unit_test(test_read_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
