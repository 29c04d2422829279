/*
 * test_virtio_net_hostile.c: network interfaces that lie (E05, E15 and its like), one row for each case: what is
 * wrong, where it applies, what has to come of it, and the sentence that the log must have.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>
#include "host_log.h"
#include "nic_scene.h"

struct row {
    const char *id;
    int evil;
    unsigned where;
    uint64_t features; /* beside the ordinary ones */
    void (*expect)(struct nic_scene *scene);
    const char *sentence; /* NULL: the log has no warning and no error */
};

/* Every frame is dropped, and named once; when it stops lying it nic_works again. */
static void drops(struct nic_scene *scene)
{
    static uint8_t bytes[LARGEST];
    struct nic_receive frames[4];

    for (unsigned i = 0; i < 50; i++) {
        assert_true(virtio_net_arrive(scene->net, bytes, 14 + i * 20, NULL));
        assert_int_equal(nic_receive(scene, frames, 4), 0);
        nic_expect_all_returned(scene);
    }
    assert_int_equal(scene->nic->counters.dropped_frames, 50);
    assert_int_equal(host_log_count(LOG_WARN), virtio_model_evil(scene->net->core) == E04_LENGTH_BEYOND ? 2 : 1);
    virtio_model_misbehave(scene->net->core, VIRTIO_EVIL_NONE);
    nic_works(scene);
}

/* A frame that says that it goes on takes what is there with it: several arrive and are all dropped. */
static void swallows(struct nic_scene *scene)
{
    static uint8_t bytes[100];
    struct nic_receive frames[BUFFERS];

    for (unsigned i = 0; i < 10; i++)
        assert_true(virtio_net_arrive(scene->net, bytes, sizeof bytes, NULL));
    virtio_model_misbehave(scene->net->core, VIRTIO_EVIL_NONE);
    assert_int_equal(nic_receive(scene, frames, BUFFERS), 0);
    nic_expect_all_returned(scene);
    nic_works(scene);
}

/* A frame of no buffers at all takes none but its own with it. */
static void drops_only_it(struct nic_scene *scene)
{
    static uint8_t bytes[100];
    struct nic_receive frames[2];

    assert_true(virtio_net_arrive(scene->net, bytes, sizeof bytes, NULL));
    virtio_model_misbehave(scene->net->core, VIRTIO_EVIL_NONE);
    nic_fill(bytes, sizeof bytes);
    assert_true(virtio_net_arrive(scene->net, bytes, sizeof bytes, NULL));
    assert_int_equal(nic_receive(scene, frames, 2), 1);
    assert_memory_equal(frames[0].frame, bytes, sizeof bytes);
    nic_release(scene, frames, 1);
    nic_works(scene);
}

/* Each says that the next is its end: that cannot be told from a frame of two buffers, but stays within both. */
static void takes_pairs(struct nic_scene *scene)
{
    static uint8_t bytes[100];
    struct nic_receive frames[BUFFERS];

    for (unsigned i = 0; i < 10; i++)
        assert_true(virtio_net_arrive(scene->net, bytes, sizeof bytes, NULL));
    virtio_model_misbehave(scene->net->core, VIRTIO_EVIL_NONE);
    assert_int_equal(nic_receive(scene, frames, BUFFERS), 5);
    for (unsigned i = 0; i < 5; i++)
        assert_int_equal(frames[i].length, 2 * sizeof bytes + sizeof(struct net_header));
    nic_release(scene, frames, 5);
    nic_expect_all_returned(scene);
    nic_works(scene);
}

/* What does not fit the largest frame is not handed on: a client has room for that much. */
static void too_long(struct nic_scene *scene)
{
    static uint8_t bytes[(BUFFERS - 1) * BUFFER_SIZE];
    struct nic_receive frame;
    uint32_t longest = nic_joins(scene) ? sizeof bytes : BUFFER_SIZE - 12;

    for (uint32_t length = LARGEST + 1; length <= longest; length += 97) {
        assert_true(virtio_net_arrive(scene->net, bytes, length, NULL));
        assert_int_equal(nic_receive(scene, &frame, 1), 0);
    }
    nic_expect_all_returned(scene);
    virtio_net_arrive(scene->net, bytes, 13, NULL);
    assert_int_equal(nic_receive(scene, &frame, 1), 0);
    nic_works(scene);
}

static void breaks_receive(struct nic_scene *scene)
{
    uint8_t bytes[100] = {0};
    struct nic_receive frame;

    assert_true(virtio_net_arrive(scene->net, bytes, sizeof bytes, NULL));
    assert_int_equal(nic_receive(scene, &frame, 1), 0);
    assert_non_null(home_failure(scene->device));
    assert_int_equal(nic_receive(scene, &frame, 1), 0);
    home_stop(scene->device);
    virtio_model_misbehave(scene->net->core, VIRTIO_EVIL_NONE);
    nic_start(scene);
    nic_works(scene);
}

static void breaks_transmit(struct nic_scene *scene)
{
    uint8_t bytes[100] = {0};
    struct nic_transmit frame = {.frame = {.offset = (uintptr_t)bytes, .length = sizeof bytes}, .cookie = 1};
    uint64_t cookie;

    for (unsigned i = 0; i < 3; i++)
        assert_int_equal(nic_transmit(scene, &frame, 1), 1);
    home_run(scene->device, SECOND, NULL, NULL);
    assert_non_null(home_failure(scene->device));
    assert_int_equal(nic_transmit(scene, &frame, 1), 1); /* refused, and its cookie comes back */
    assert_int_equal(nic_reap(scene, &cookie, 1), 1);
    assert_int_equal(scene->nic->counters.refused_frames, 1);
    home_stop(scene->device);
    assert_int_equal(home_account(scene->device).loans, 0);
    virtio_model_misbehave(scene->net->core, VIRTIO_EVIL_NONE);
    virtio_net_forget_sent(scene->net);
    nic_start(scene);
    nic_works(scene);
}

static void is_revoked(struct nic_scene *scene)
{
    uint8_t bytes[100] = {0};
    struct nic_transmit frame = {.frame = {.offset = (uintptr_t)bytes, .length = sizeof bytes}, .cookie = 1};
    struct nic_receive received;
    uint64_t cookie;

    nic_works(scene);
    scene->net->stalled = true;
    assert_int_equal(nic_transmit(scene, &frame, 1), 1);
    assert_true(virtio_net_arrive(scene->net, bytes, sizeof bytes, NULL));
    assert_int_equal(nic_receive(scene, &received, 1), 1);
    scene->revoked = true;
    home_revoke(scene->device);
    assert_int_equal(nic_transmit(scene, &frame, 1), 1);
    assert_int_equal(nic_reap(scene, &cookie, 1), 1);
    home_stop(scene->device);
    home_renew(scene->device);
}

static void stays_stuck(struct nic_scene *scene)
{
    uint8_t bytes[100] = {0};
    struct nic_transmit frame = {.frame = {.offset = (uintptr_t)bytes, .length = sizeof bytes}, .cookie = 1};

    nic_works(scene);
    scene->net->stalled = true;
    assert_int_equal(nic_transmit(scene, &frame, 1), 1);
    virtio_model_misbehave(scene->net->core, D04_RESET_STUCK);
    home_quarantine(scene->device);
    home_stop(scene->device);
    assert_int_equal(home_account(scene->device).loans, 1);
    assert_in_range(home_account(scene->device).owned, 2, 3); /* buffers, headers, maybe indirect tables */
    assert_int_equal(home_account(scene->device).queues, 2);
}

static void stops_busy(struct nic_scene *scene)
{
    uint8_t bytes[1000] = {0};
    struct nic_transmit frame = {.frame = {.offset = (uintptr_t)bytes, .length = sizeof bytes}, .cookie = 1};
    struct nic_receive frames[4];

    scene->net->stalled = true;
    for (unsigned i = 0; i < 10; i++)
        assert_int_equal(nic_transmit(scene, &frame, 1), 1);
    for (unsigned i = 0; i < 4; i++)
        assert_true(virtio_net_arrive(scene->net, bytes, sizeof bytes, NULL));
    assert_int_equal(nic_receive(scene, frames, 2), 2);
    home_stop(scene->device);
    assert_int_equal(home_account(scene->device).loans, 0);
    assert_int_equal(virtio_model_status(scene->net->core), 0);
    scene->net->stalled = false;
    nic_start(scene);
    nic_works(scene);
}

static void needs_reset(struct nic_scene *scene)
{
    uint8_t bytes[100] = {0};

    assert_true(virtio_net_arrive(scene->net, bytes, sizeof bytes, NULL));
    home_run(scene->device, SECOND, NULL, NULL);
    assert_non_null(home_failure(scene->device));
}

#define JOIN      VIRTIO_FEATURE(NET_MRG_RXBUF)
#define MALFORMED "delivered a malformed frame"

static const struct row rows[] = {
    {"E05", E05_SHORT_13, ALL, 0, drops, MALFORMED},
    {"E05", E05_SHORT_13, ALL, JOIN, drops, MALFORMED},
    {"E05", E05_SHORT_HEADER, ALL, 0, drops, MALFORMED},
    {"E05", E05_SHORT_HEADER, ALL, JOIN, drops, MALFORMED},
    {"E05", E05_LENGTH_0, ALL, JOIN, drops, "delivered a malformed frame (0 bytes), dropped; more are only counted"},
    {"E04", E04_LENGTH_BEYOND, MODERN, 0, drops, "claims to have written 2536 bytes where 1536 were posted"},
    {"E15", E15_BUFFERS_0, ALL, JOIN, drops, MALFORMED},
    {"E15", E15_BUFFERS_0, ALL, JOIN, drops_only_it, MALFORMED},
    {"E15", E15_BUFFERS_0, ALL, 0, nic_works, NULL}, /* the field means nothing */
    {"E15", E15_BUFFERS_65535, ALL, JOIN, drops, MALFORMED},
    {"E15", E15_BUFFERS_65535, ALL, 0, nic_works, NULL},
    {"E15", E15_BUFFERS_65535, ALL, JOIN, swallows, MALFORMED},
    {"E15", E15_BUFFERS_ONE_MORE, ALL, JOIN, drops, MALFORMED},
    {"E15", E15_BUFFERS_ONE_MORE, ALL, JOIN, takes_pairs, NULL},
    {"E15", VIRTIO_EVIL_NONE, ALL, 0, too_long, MALFORMED},
    {"E15", VIRTIO_EVIL_NONE, ALL, JOIN, too_long, MALFORMED},
    {"E01", E01_ID_HUGE, ALL, 0, breaks_receive, "queue 0: the device completed descriptor 4294967295 of 64"},
    {"E01", E01_ID_HUGE, ALL, JOIN, breaks_transmit, "queue 1: the device completed descriptor 4294967295 of 64"},
    {"E11", E11_NO_INTERRUPT, ALL, 0, nic_works, NULL},
    {"D13", D13_INTERRUPT_STORM, ALL, 0, nic_works, NULL},
    {"D15", D15_NEEDS_RESET, ALL, 0, needs_reset, "the device asks for a reset"},
    {"D04", VIRTIO_EVIL_NONE, ALL, 0, stays_stuck, "queue 1: its memory is left to the device"},
    {"-", VIRTIO_EVIL_NONE, ALL, JOIN, is_revoked, "cannot send a frame of 100 bytes (revoked)"},
    {"-", VIRTIO_EVIL_NONE, ALL, 0, stops_busy, NULL},
    {"-", VIRTIO_EVIL_NONE, ALL, JOIN, stops_busy, NULL},
};

/* Cases that have no row here, and why. */
static const struct absent {
    const char *id, *why;
} absent[] = {
    {"E16", "test_drops_bad_checksums, test_drops_bad_joined; gso fields are never looked at"},
    {"E17", "test_descriptions, test_follows_link"},
    {"E18", "the control queue is not driven: ctrl_vq is never accepted (test_not_driven)"},
    {"E19", "receive scaling is not driven: rss is never accepted (test_not_driven)"},
};

static void test_rows(void **state)
{
    unsigned played = 0;

    (void)state;
    for (unsigned i = 0; i < sizeof rows / sizeof rows[0]; i++)
        for (unsigned number = 0; number < 40; number++) {
            struct virtio_model_options options = class_options(number);
            if ((rows[i].where & 1u << options.transport) == 0)
                continue;
            class_begin(number, false);
            struct nic_scene scene = nic_open(
                &options, NIC_ORDINARY | rows[i].features | nic_variant(number / 8 * 2 & 2), 1500, rows[i].evil);
            nic_start(&scene);
            rows[i].expect(&scene);
            class_expect_log(rows[i].id, rows[i].sentence);
            nic_close(&scene);
            played++;
        }
    print_message("%zu rows, played %u times\n", sizeof rows / sizeof rows[0], played);
    for (unsigned i = 0; i < sizeof absent / sizeof absent[0]; i++)
        print_message("%s: %s\n", absent[i].id, absent[i].why);
}

/* Several buffers that each are short enough, and together too long. */
static void too_long_together(struct nic_scene *scene)
{
    static uint8_t bytes[(BUFFERS - 1) * BUFFER_SIZE];
    struct nic_receive frame;

    if (!nic_joins(scene))
        return;
    for (uint32_t length = 9019; length <= sizeof bytes; length += 313) {
        assert_true(virtio_net_arrive(scene->net, bytes, length, NULL));
        assert_int_equal(nic_receive(scene, &frame, 1), 0);
        nic_expect_all_returned(scene);
    }
    nic_arrives(scene, 9018, NULL, bytes, false, bytes);
}

static void test_too_long_together(void **state)
{
    (void)state;
    nic_everywhere(too_long_together, 9000, 0);
}

/* Rings smaller than all our buffers are filled as far as they go; too small for a frame: not used. */
static void test_small_rings(void **state)
{
    (void)state;
    for (uint16_t size = 1; size <= 8; size *= 2)
        for (unsigned number = 0; number < 40 * VARIANTS; number++) {
            struct virtio_model_options options = class_options(number / VARIANTS);
            options.queue_size = size;
            class_begin(number, false);
            struct nic_scene scene = nic_open(&options, NIC_ORDINARY | nic_variant(number), 1500, VIRTIO_EVIL_NONE);
            if (size == 1) {
                assert_int_equal(home_start(scene.device, &virtio_net_driver), STATUS_UNSUPPORTED);
                class_expect_log("small", "has queues of 1 and 1 entries; a frame needs 2");
            } else {
                uint8_t bytes[500];
                nic_start(&scene);
                nic_fill(bytes, sizeof bytes);
                for (unsigned i = 0; i < 30; i++) {
                    struct nic_transmit frame = {.frame = {.offset = (uintptr_t)bytes, .length = 14}, .cookie = i};
                    uint64_t cookie;
                    nic_arrives(&scene, sizeof bytes, NULL, bytes, false, bytes);
                    assert_int_equal(nic_transmit(&scene, &frame, 1), 1);
                    home_run(scene.device, MILLISECOND, NULL, NULL);
                    assert_int_equal(nic_reap(&scene, &cookie, 1), 1);
                }
                assert_in_range(virtio_net_free_buffers(scene.net), size / 2, size);
            }
            nic_close(&scene);
        }
}

static void test_nothing_to_be_had(void **state)
{
    (void)state;
    for (unsigned number = 0; number < 40; number++)
        for (unsigned after = 0; after < 10; after++) {
            struct virtio_model_options options = class_options(number);
            class_begin(number, false);
            struct nic_scene scene = nic_open(&options, NIC_ORDINARY | nic_variant(number), 1500, VIRTIO_EVIL_NONE);
            home_fail_allocation(after);
            if (home_start(scene.device, &virtio_net_driver) == STATUS_OK) {
                uint8_t bytes[60] = {0};
                struct nic_transmit frame = {.frame = {.offset = (uintptr_t)bytes, .length = 60}, .cookie = 9};
                uint64_t cookie;
                scene.nic = home_nic(scene.device);
                for (unsigned i = 0; i < 5; i++) { /* refused once, then not any more */
                    assert_int_equal(nic_transmit(&scene, &frame, 1), 1);
                    home_run(scene.device, MILLISECOND, NULL, NULL);
                    assert_int_equal(nic_reap(&scene, &cookie, 1), 1);
                }
                assert_in_range(scene.net->sent_count, 4, 5);
            } else {
                assert_int_equal(virtio_model_status(scene.net->core), 0);
            }
            nic_close(&scene);
        }
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rows),
        cmocka_unit_test(test_too_long_together),
        cmocka_unit_test(test_small_rings),
        cmocka_unit_test(test_nothing_to_be_had),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
