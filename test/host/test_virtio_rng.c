/*
 * test_virtio_rng.c: the virtio-rng driver against a model whose bytes are 1, 2, ..., 255, 1, ...: what is lost,
 * repeated or made up shows. Devices that give nothing, too much or too late (E24), one row for each case.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>
#include <driver/virtio/virtio.h>
#include <model/virtio_rng.h>
#include <vmos/entropy.h>
#include "host_log.h"
#include "virtio_class.h"

struct scene {
    struct virtio_model *model;
    struct device *device;
    struct entropy_device *entropy;
    uint8_t expected; /* the next byte */
    bool revoked;
};

static void start(struct scene *scene)
{
    if (home_start(scene->device, &virtio_rng_driver) != STATUS_OK)
        fail_msg("the driver did not start: %s", host_log_text());
    scene->entropy = home_entropy(scene->device);
    assert_non_null(scene->entropy);
}

static size_t read_until(struct scene *scene, uint8_t *bytes, size_t size, uint64_t deadline)
{
    return scene->entropy->ops->read(scene->entropy->driver, bytes, size, deadline);
}

/* Reads and holds what came against the model's sequence. Nothing behind what came is touched. */
static size_t read_some(struct scene *scene, size_t size, uint64_t patience)
{
    uint8_t bytes[5000];
    uint64_t deadline = clock_now() + patience;

    assert_true(size < sizeof bytes);
    memset(bytes, 0, sizeof bytes);
    size_t got = read_until(scene, bytes, size, deadline);
    assert_true(got <= size);
    for (size_t i = 0; i < got; i++) {
        assert_int_equal(bytes[i], scene->expected++);
        scene->expected += scene->expected == 0;
    }
    for (size_t i = got; i < sizeof bytes; i++)
        assert_int_equal(bytes[i], 0);
    assert_true(clock_now() <= deadline + MILLISECOND);
    return got;
}

static void works(struct scene *scene)
{
    static const size_t sizes[] = {1, 2, 0, 1000, 1023, 1024, 1025, 3000, 4999, 7};

    for (unsigned i = 0; i < sizeof sizes / sizeof sizes[0]; i++)
        assert_int_equal(read_some(scene, sizes[i], SECOND), sizes[i]);
    assert_null(home_failure(scene->device));
}

/* Works as well when it has only 3 bytes an answer, or three empty answers before each. */
static void works_slowly(struct scene *scene)
{
    for (unsigned i = 0; i < 40; i++)
        assert_int_equal(read_some(scene, i * 10, SECOND), i * 10);
}

/* Asked a bounded number of times, then never again until it starts again. */
static void gives_nothing(struct scene *scene)
{
    uint8_t byte = 77;

    assert_int_equal(read_until(scene, &byte, 1, clock_now() + SECOND), 0);
    uint64_t answers = virtio_model_completed(scene->model);
    assert_int_equal(answers, 8);
    for (unsigned i = 0; i < 100; i++)
        assert_int_equal(read_until(scene, &byte, 1, clock_now() + SECOND), 0);
    assert_int_equal(virtio_model_completed(scene->model), answers);
    assert_int_equal(byte, 77);
    assert_int_equal(host_log_count(LOG_WARN), 1);
    home_stop(scene->device);
    virtio_model_misbehave(scene->model, VIRTIO_EVIL_NONE);
    scene->expected = (uint8_t)(1 + answers % 255); /* one byte each was drawn, and kept from us */
    start(scene);
    works(scene);
}

/* What it gives is handed on as it is, whatever it is: who uses it mixes it in and trusts nothing alone. */
static void gives_zeros(struct scene *scene)
{
    uint8_t bytes[100];

    memset(bytes, 1, sizeof bytes);
    assert_int_equal(read_until(scene, bytes, 64, clock_now() + SECOND), 64);
    for (unsigned i = 0; i < sizeof bytes; i++)
        assert_int_equal(bytes[i], i >= 64);
}

/* An answer that comes after its reader left is the next reader's: nobody waits beyond the deadline, and one
 * request is in flight at most. */
static void comes_late(struct scene *scene)
{
    assert_int_equal(read_some(scene, 900, SECOND), 0);
    assert_int_equal(read_some(scene, 100, SECOND), 0);
    assert_int_equal(read_some(scene, 0, SECOND), 0);
    assert_int_equal(virtio_model_completed(scene->model), 0);
    assert_int_equal(read_some(scene, 100, 10 * SECOND), 100); /* of the 900; the rest is thrown away */
    scene->expected = (uint8_t)(900 % 255 + 1);
    assert_int_equal(read_some(scene, 2000, SECOND), 2000);
}

/* A short one is asked for first, so that the late answer fills only the beginning. */
static void comes_late_and_short(struct scene *scene)
{
    assert_int_equal(read_some(scene, 10, SECOND), 0);
    assert_int_equal(read_some(scene, 1500, 10 * SECOND), 1500);
}

static void never_comes(struct scene *scene)
{
    for (unsigned i = 0; i < 5; i++)
        assert_int_equal(read_some(scene, 32, 10 * SECOND), 0);
    assert_null(home_failure(scene->device));
}

static void breaks(struct scene *scene)
{
    assert_int_equal(read_some(scene, 32, SECOND), 0);
    assert_non_null(home_failure(scene->device));
    assert_int_equal(read_some(scene, 32, SECOND), 0);
    home_stop(scene->device);
    virtio_model_misbehave(scene->model, VIRTIO_EVIL_NONE);
    start(scene);
    scene->expected = 33;
    works(scene);
}

static void needs_reset(struct scene *scene)
{
    read_until(scene, &(uint8_t){0}, 1, clock_now() + SECOND);
    home_run(scene->device, SECOND, NULL, NULL);
    assert_non_null(home_failure(scene->device));
}

static void is_revoked(struct scene *scene)
{
    assert_int_equal(read_some(scene, 10, SECOND), 10);
    home_revoke(scene->device);
    scene->revoked = true;
    assert_int_equal(read_some(scene, 10, SECOND), 0);
    home_stop(scene->device);
    home_renew(scene->device);
    start(scene);
}

static void stays_stuck(struct scene *scene)
{
    assert_int_equal(read_some(scene, 10, SECOND), 10);
    virtio_model_misbehave(scene->model, D04_RESET_STUCK);
    home_quarantine(scene->device);
    home_stop(scene->device);
    assert_int_equal(home_account(scene->device).owned, 1);
    assert_int_equal(home_account(scene->device).queues, 1);
}

#define LENGTH_BEYOND "the device claims to have written 1001 bytes where 1 were posted; such claims are cut"

static void claims_too_much(struct scene *scene)
{
    assert_int_equal(read_some(scene, 1, SECOND), 1);
    works(scene);
}

static const struct row {
    const char *id;
    int evil;
    unsigned where;
    void (*expect)(struct scene *scene);
    const char *sentence; /* NULL: the log has no warning and no error */
    uint32_t delay_ns;
} rows[] = {
    {"E24", VIRTIO_EVIL_NONE, ALL, works, NULL, 0},
    {"E24", VIRTIO_EVIL_NONE, ALL, works, NULL, 1000000},
    {"E24", RNG_FEW, ALL, works_slowly, NULL, 0},
    {"E24", E24_LENGTH_0_OFTEN, ALL, works_slowly, NULL, 0},
    {"E24", E05_LENGTH_0, ALL, gives_nothing, "answered 8 requests in a row with no entropy and is not asked again", 0},
    {"E24", E04_LENGTH_BEYOND, MODERN, claims_too_much, LENGTH_BEYOND, 0},
    {"E24", E04_LENGTH_BEYOND, LEGACY, claims_too_much, NULL, 0}, /* usual there: cut without a word */
    {"E24", E24_ZEROS, ALL, gives_zeros, NULL, 0},
    {"E10", E10_ONE_LATE, ALL, comes_late, NULL, 0},
    {"E10", E10_ONE_LATE, ALL, comes_late_and_short, NULL, 0},
    {"E10", E10_ONE_NEVER, ALL, never_comes, NULL, 0},
    {"E01", E01_ID_HUGE, ALL, breaks, "queue 0: the device completed descriptor 4294967295 of 8", 0},
    {"E11", E11_NO_INTERRUPT, ALL, works, NULL, 0},
    {"D13", D13_INTERRUPT_STORM, ALL, works, NULL, 0},
    {"D15", D15_NEEDS_RESET, ALL, needs_reset, "the device asks for a reset", 0},
    {"D04", VIRTIO_EVIL_NONE, ALL, stays_stuck, "its memory is left to the device", 0},
    {"-", VIRTIO_EVIL_NONE, ALL, is_revoked, NULL, 0},
};

static void test_rows(void **state)
{
    unsigned played = 0;

    (void)state;
    for (unsigned i = 0; i < sizeof rows / sizeof rows[0]; i++)
        for (unsigned number = 0; number < 40; number++) {
            struct virtio_model_options options = class_options(number);
            struct scene scene = {.expected = 1};
            if ((rows[i].where & 1u << options.transport) == 0)
                continue;
            options.delay_ns = rows[i].delay_ns;
            class_begin(number, false);
            scene.model = virtio_rng_create(&options, (enum virtio_model_evil)rows[i].evil);
            scene.device = virtio_model_device(scene.model);
            start(&scene);
            rows[i].expect(&scene);
            class_expect_log(rows[i].id, rows[i].sentence);
            class_end(scene.model, scene.revoked);
            virtio_rng_destroy(scene.model);
            played++;
        }
    print_message("%zu rows, played %u times\n", sizeof rows / sizeof rows[0], played);
}

static void test_nothing_to_be_had(void **state)
{
    (void)state;
    for (unsigned number = 0; number < 40; number++)
        for (unsigned after = 0; after < 6; after++) {
            struct virtio_model_options options = class_options(number);
            struct scene scene = {.expected = 1};
            class_begin(number, false);
            scene.model = virtio_rng_create(&options, VIRTIO_EVIL_NONE);
            scene.device = virtio_model_device(scene.model);
            home_fail_allocation(after);
            if (home_start(scene.device, &virtio_rng_driver) == STATUS_OK) {
                scene.entropy = home_entropy(scene.device);
                works(&scene);
            } else {
                assert_int_equal(virtio_model_status(scene.model), 0);
                assert_true(after < 5);
            }
            class_end(scene.model, false);
            virtio_rng_destroy(scene.model);
        }
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rows),
        cmocka_unit_test(test_nothing_to_be_had),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
