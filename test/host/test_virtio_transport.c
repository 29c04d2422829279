/*
 * test_virtio_transport.c: every transport, with each kind of interrupt: found, negotiated, configured, at work,
 * reset, and everything given back, also when the home refuses any one allocation on the way.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>
#include <driver/virtio/virtio_reg.h>
#include "host_log.h"
#include "virtio_echo.h"

static const struct setting {
    const char *name;
    struct virtio_model_options options;
} settings[] = {
    {"MMIO legacy", {.transport = VIRTIO_MODEL_MMIO_LEGACY}},
    {"MMIO modern", {.transport = VIRTIO_MODEL_MMIO_MODERN}},
    {"MMIO modern, polled", {.transport = VIRTIO_MODEL_MMIO_MODERN, .polled = true}},
    {"PCI legacy, line", {.transport = VIRTIO_MODEL_PCI_LEGACY}},
    {"PCI legacy, messages", {.transport = VIRTIO_MODEL_PCI_LEGACY, .vectors = 3}},
    {"PCI legacy, one message", {.transport = VIRTIO_MODEL_PCI_LEGACY, .vectors = 1}},
    {"PCI modern, line", {.transport = VIRTIO_MODEL_PCI_MODERN}},
    {"PCI modern, messages", {.transport = VIRTIO_MODEL_PCI_MODERN, .vectors = 4}},
    {"PCI modern, one message", {.transport = VIRTIO_MODEL_PCI_MODERN, .vectors = 1}},
    {"PCI modern, two messages", {.transport = VIRTIO_MODEL_PCI_MODERN, .vectors = 2}},
    {"PCI transitional, messages", {.transport = VIRTIO_MODEL_PCI_TRANSITIONAL, .vectors = 5}},
    {"PCI transitional, polled", {.transport = VIRTIO_MODEL_PCI_TRANSITIONAL, .polled = true}},
};

enum { SETTINGS = sizeof settings / sizeof settings[0] };

static bool is_legacy(const struct setting *setting)
{
    return setting->options.transport == VIRTIO_MODEL_MMIO_LEGACY ||
           setting->options.transport == VIRTIO_MODEL_PCI_LEGACY;
}

static void exchange(struct virtio_device *virtio, struct virtqueue *queue, uint32_t out, uint32_t in)
{
    struct echo_request request;
    uint64_t token = 0;
    uint32_t written = 0;

    assert_int_equal(echo_add(virtio, queue, &request, out, in), STATUS_OK);
    virtqueue_submit(queue);
    assert_true(virtqueue_wait(queue, clock_now() + NANOSECONDS_PER_SECOND));
    assert_true(virtqueue_next(queue, &token, &written));
    assert_int_equal(token, (uintptr_t)&request);
    assert_int_equal(written, in);
    echo_finish(virtio, &request, written);
    assert_false(virtqueue_next(queue, &token, &written));
}

static void test_exchange(void **state)
{
    (void)state;
    for (unsigned i = 0; i < SETTINGS; i++) {
        struct virtio_device virtio;
        struct virtqueue *queues[ECHO_QUEUES];
        struct virtio_model *model = echo_begin(&settings[i].options, VIRTIO_EVIL_NONE, i);
        echo_open(model, &virtio, queues, ECHO_QUEUES, 64);

        print_message("%s\n", settings[i].name);
        assert_int_equal(virtio.legacy, is_legacy(&settings[i]));
        assert_int_equal(virtio.messages, settings[i].options.vectors != 0);
        assert_int_equal(virtio.polled, settings[i].options.polled);
        assert_int_equal(virtio_model_features(model), virtio.features);
        assert_true(virtio_has(&virtio, VIRTIO_F_EVENT_IDX) && virtio_has(&virtio, VIRTIO_F_INDIRECT_DESC));
        for (unsigned n = 0; n < 5; n++)
            for (unsigned q = 0; q < ECHO_QUEUES; q++)
                exchange(&virtio, queues[q], 16 + 5000 * n, 1 + 3000 * n * q);
        assert_int_equal(virtio_model_completed(model), 5 * ECHO_QUEUES);
        assert_int_equal(virtio_reset(&virtio), STATUS_OK);
        assert_int_equal(virtio_model_status(model), 0);
        assert_int_equal(echo_close(&virtio, queues, ECHO_QUEUES), 0);
        assert_int_equal(home_account(virtio_model_device(model)).refused, 0);
        echo_end(model);
    }
}

/* Features by name: accepted, known but not accepted, needing another, unknown. */
static void test_features_by_name(void **state)
{
    struct virtio_device virtio;

    (void)state;
    for (unsigned i = 0; i < SETTINGS; i++) {
        struct virtio_model *model = echo_begin(&settings[i].options, D06_UNKNOWN_FEATURES, i);
        assert_int_equal(virtio_open(&virtio, virtio_model_device(model), echo_features, ECHO_FEATURES), STATUS_OK);
        assert_true(host_log_has("features: +mac +status -ctrl_vq -mq +indirect_desc +event_idx"));
        assert_int_equal(host_log_has("+version_1"), !is_legacy(&settings[i]));
        /* a legacy interface has 32 bits: nothing above is seen */
        assert_int_equal(host_log_has("offered but unknown: bits 41 42"), !is_legacy(&settings[i]));
        assert_false(virtio_has(&virtio, 22));
        assert_int_equal(virtio.features >> 40, 0);
        assert_int_equal(virtio_reset(&virtio), STATUS_OK);
        virtio_close(&virtio);
        echo_end(model);
    }
}

static void test_no_features(void **state)
{
    struct virtio_device virtio;
    struct virtio_model_options options = {.transport = VIRTIO_MODEL_MMIO_LEGACY, .features_off = UINT64_MAX};

    (void)state;
    struct virtio_model *model = echo_begin(&options, VIRTIO_EVIL_NONE, 1);
    assert_int_equal(virtio_open(&virtio, virtio_model_device(model), echo_features, ECHO_FEATURES), STATUS_OK);
    assert_int_equal(virtio.features, 0);
    assert_true(host_log_has("features: none"));
    virtio_reset(&virtio);
    virtio_close(&virtio);
    echo_end(model);
}

/* any_layout may only be accepted by the legacy interface, whoever offers it. */
static void test_any_layout(void **state)
{
    struct virtio_model_class class = echo_class;

    (void)state;
    class.features |= VIRTIO_FEATURE(VIRTIO_F_ANY_LAYOUT);
    for (unsigned i = 0; i < SETTINGS; i++) {
        struct virtio_device virtio;
        home_init(NULL);
        struct virtio_model *model = virtio_model_create(&class, NULL, &settings[i].options, VIRTIO_EVIL_NONE);
        assert_int_equal(virtio_open(&virtio, virtio_model_device(model), echo_features, ECHO_FEATURES), STATUS_OK);
        assert_int_equal(virtio_has(&virtio, VIRTIO_F_ANY_LAYOUT), is_legacy(&settings[i]));
        assert_int_equal(virtio_model_features(model), virtio.features);
        virtio_reset(&virtio);
        virtio_close(&virtio);
        echo_end(model);
    }
}

static void test_config(void **state)
{
    (void)state;
    for (unsigned i = 0; i < SETTINGS; i++) {
        struct virtio_device virtio;
        uint8_t bytes[ECHO_CONFIG_SIZE];
        uint16_t half;
        uint32_t word;
        uint64_t wide;
        struct virtio_model *model = echo_begin(&settings[i].options, VIRTIO_EVIL_NONE, i);
        assert_int_equal(virtio_open(&virtio, virtio_model_device(model), echo_features, ECHO_FEATURES), STATUS_OK);

        assert_int_equal(virtio_config_read(&virtio, 3, bytes, 1), STATUS_OK);
        assert_int_equal(bytes[0], 0x13);
        assert_int_equal(virtio_config_read(&virtio, 2, &half, 2), STATUS_OK);
        assert_int_equal(half, 0x1312);
        assert_int_equal(virtio_config_read(&virtio, 20, &word, 4), STATUS_OK);
        assert_int_equal(word, 0x27262524);
        assert_int_equal(virtio_config_read(&virtio, 8, &wide, 8), STATUS_OK);
        assert_int_equal(wide, UINT64_C(0x1f1e1d1c1b1a1918));
        assert_int_equal(virtio_config_read(&virtio, 0, bytes, sizeof bytes), STATUS_OK);
        assert_memory_equal(bytes, virtio_model_config(model), sizeof bytes);

        uint32_t end = (uint32_t)virtio.config_size;
        assert_int_equal(virtio_config_read(&virtio, end, bytes, 1), STATUS_OUT_OF_RANGE);
        assert_int_equal(virtio_config_read(&virtio, end - 1, bytes, 2), STATUS_OUT_OF_RANGE);
        assert_int_equal(virtio_config_read(&virtio, UINT32_MAX, bytes, 4), STATUS_OUT_OF_RANGE);
        assert_int_equal(virtio_config_read(&virtio, 4, bytes, UINT32_MAX), STATUS_OUT_OF_RANGE);
        virtio_reset(&virtio);
        virtio_close(&virtio);
        echo_end(model);
    }
}

static void test_cause(void **state)
{
    (void)state;
    for (unsigned i = 0; i < SETTINGS; i++) {
        struct virtio_device virtio;
        struct virtqueue *queues[ECHO_QUEUES];
        struct echo_request request;
        uint64_t token;
        uint32_t written, events;
        struct virtio_model *model = echo_begin(&settings[i].options, VIRTIO_EVIL_NONE, i);
        bool line = settings[i].options.vectors == 0;
        echo_open(model, &virtio, queues, ECHO_QUEUES, 8);

        virtio_model_config_changed(model);
        events = driver_wait(virtio.device, virtio.events, clock_now() + NANOSECONDS_PER_SECOND);
        assert_int_equal(events, 1);
        uint32_t cause = virtio_cause(&virtio, events);
        assert_true((cause & VIRTIO_CAUSE_CONFIG) != 0);
        if (line || settings[i].options.vectors > 1)
            assert_false((cause & VIRTIO_CAUSE_QUEUE) != 0);

        assert_int_equal(echo_add(&virtio, queues[1], &request, 4, 4), STATUS_OK);
        virtqueue_submit(queues[1]);
        events = driver_wait(virtio.device, virtio.events, clock_now() + NANOSECONDS_PER_SECOND);
        assert_int_not_equal(events, 0);
        if (!settings[i].options.polled) {
            cause = virtio_cause(&virtio, events);
            assert_true((cause & VIRTIO_CAUSE_QUEUE) != 0);
            if (line)
                assert_false((cause & VIRTIO_CAUSE_CONFIG) != 0);
            assert_true(virtqueue_next(queues[1], &token, &written));
            echo_finish(&virtio, &request, written);
            /* the line is down, and acknowledged: nothing comes by itself */
            assert_int_equal(driver_wait(virtio.device, virtio.events, clock_now() + NANOSECONDS_PER_SECOND), 0);
        } else {
            assert_true(virtqueue_wait(queues[1], clock_now() + NANOSECONDS_PER_SECOND));
            assert_true(virtqueue_next(queues[1], &token, &written));
            echo_finish(&virtio, &request, written);
        }
        assert_int_equal(virtio_cause(&virtio, 0), VIRTIO_CAUSE_QUEUE | VIRTIO_CAUSE_CONFIG); /* look at everything */
        echo_close(&virtio, queues, ECHO_QUEUES);
        echo_end(model);
    }
}

/* A legacy queue is named by a page number of 32 bits; where that cannot be, it is refused in words. */
static void test_far_memory(void **state)
{
    (void)state;
    for (unsigned i = 0; i < SETTINGS; i++) {
        struct virtio_device virtio;
        struct virtqueue *queue;
        struct virtio_model *model = echo_begin(&settings[i].options, VIRTIO_EVIL_NONE, i);
        home_init(&(struct home_options){.first_address = UINT64_C(1) << 44});
        assert_int_equal(virtio_open(&virtio, virtio_model_device(model), echo_features, ECHO_FEATURES), STATUS_OK);
        enum status status = virtqueue_open(&queue, &virtio, 0, 16, 1);
        assert_int_equal(status, is_legacy(&settings[i]) ? STATUS_UNSUPPORTED : STATUS_OK);
        assert_int_equal(host_log_has("queue 0 lies above 16 TiB"), is_legacy(&settings[i]));
        virtio_reset(&virtio);
        virtqueue_close(queue);
        virtio_close(&virtio);
        echo_end(model);
    }
}

/* Each allocation in turn is refused: an error comes back and nothing is kept. */
static void test_undo(void **state)
{
    (void)state;
    for (unsigned i = 0; i < SETTINGS; i++)
        for (unsigned after = 0;; after++) {
            struct virtio_device virtio;
            struct virtqueue *queues[ECHO_QUEUES] = {NULL};
            struct virtio_model *model = echo_begin(&settings[i].options, VIRTIO_EVIL_NONE, i);
            unsigned failures = 0;

            home_fail_allocation(after);
            if (virtio_open(&virtio, virtio_model_device(model), echo_features, ECHO_FEATURES) != STATUS_OK) {
                failures++;
                assert_int_equal(virtio_model_status(model), 0);
            } else {
                for (uint16_t q = 0; q < ECHO_QUEUES; q++)
                    if (virtqueue_open(&queues[q], &virtio, q, 16, (uint16_t)(q + 1)) != STATUS_OK) {
                        failures++;
                        assert_null(queues[q]);
                        assert_true(host_log_has("limit reached"));
                    }
                assert_int_equal(virtio_reset(&virtio), STATUS_OK);
                for (uint16_t q = 0; q < ECHO_QUEUES; q++)
                    virtqueue_close(queues[q]);
                virtio_close(&virtio);
            }
            echo_end(model);
            if (failures == 0) {
                assert_true(after >= 4);
                break;
            }
            assert_int_equal(failures, 1);
        }
}

/* The epoch ends under a driver at work: every call fails, nothing hangs, and stopping gives everything back. */
static void test_revoked(void **state)
{
    (void)state;
    for (unsigned i = 0; i < SETTINGS; i++) {
        struct virtio_device virtio, again;
        struct virtqueue *queues[ECHO_QUEUES];
        struct echo_request *request = malloc(sizeof *request);
        uint64_t token;
        uint32_t written;
        struct virtio_model *model = echo_begin(&settings[i].options, VIRTIO_EVIL_NONE, i);
        echo_open(model, &virtio, queues, ECHO_QUEUES, 32);

        assert_int_equal(echo_add(&virtio, queues[0], request, 100, 100), STATUS_OK);
        virtqueue_submit(queues[0]);
        home_revoke(virtio.device);
        virtqueue_submit(queues[0]);
        assert_false(virtqueue_wait(queues[0], clock_now() + 100 * NANOSECONDS_PER_MILLISECOND));
        assert_false(virtqueue_next(queues[0], &token, &written));
        assert_true(virtio_is_broken(&virtio));
        assert_int_equal(virtio_cause(&virtio, 0), VIRTIO_CAUSE_BROKEN);
        uint64_t before = clock_now();
        assert_int_equal(virtio_reset(&virtio), STATUS_REVOKED);
        assert_true(clock_now() - before < NANOSECONDS_PER_MILLISECOND);
        assert_int_equal(echo_close(&virtio, queues, ECHO_QUEUES), 1);
        assert_int_not_equal(virtio_open(&again, virtio.device, echo_features, ECHO_FEATURES), STATUS_OK);
        home_check_returned(virtio.device);

        home_renew(virtio.device);
        echo_open(model, &virtio, queues, ECHO_QUEUES, 32);
        exchange(&virtio, queues[2], 5000, 5000);
        echo_close(&virtio, queues, ECHO_QUEUES);
        echo_end(model);
    }
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_exchange),   cmocka_unit_test(test_features_by_name), cmocka_unit_test(test_no_features),
        cmocka_unit_test(test_any_layout), cmocka_unit_test(test_config),           cmocka_unit_test(test_cause),
        cmocka_unit_test(test_undo),       cmocka_unit_test(test_far_memory),       cmocka_unit_test(test_revoked),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
