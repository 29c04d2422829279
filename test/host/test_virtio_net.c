/*
 * test_virtio_net.c: the virtio-net driver against a model of an interface: frames both ways over every transport
 * and layout held against what was sent, and the rules of nic.h one by one. Interfaces that lie:
 * test_virtio_net_hostile.c.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>
#include "host_log.h"
#include "nic_scene.h"

/* ---- Receiving --------------------------------------------------------------------------------------------------- */

/* Random frames in random batches, released in random order. */
static void receives(struct nic_scene *scene)
{
    uint32_t largest = scene->nic->info.mtu + 18u;
    uint64_t count = 0, bytes = 0;

    for (unsigned round = 0; round < 30; round++) {
        uint8_t sent[BUFFERS][MAX_LENGTH];
        uint32_t lengths[BUFFERS];
        struct nic_receive frames[BUFFERS];
        unsigned arrived = 0, wanted = 1 + (unsigned)(home_random() % BUFFERS), taken = 0;
        for (; arrived < wanted; arrived++) {
            lengths[arrived] = 14 + (uint32_t)(home_random() % (largest - 13));
            nic_fill(sent[arrived], lengths[arrived]);
            if (!virtio_net_arrive(scene->net, sent[arrived], lengths[arrived], NULL))
                break;
            bytes += lengths[arrived];
        }
        count += arrived;
        home_run(scene->device, 10000, NULL, NULL);
        while (taken < arrived) {
            unsigned now = nic_receive(scene, frames + taken, 1 + (unsigned)(home_random() % (BUFFERS - taken)));
            assert_true(now != 0);
            taken += now;
        }
        for (unsigned i = 0; i < arrived; i++) {
            assert_int_equal(frames[i].length, lengths[i]);
            assert_memory_equal(frames[i].frame, sent[i], lengths[i]);
            assert_false(frames[i].checksum_valid);
        }
        assert_int_equal(nic_receive(scene, frames, 1), 0);
        for (unsigned left = arrived; left != 0; left--) {
            unsigned one = (unsigned)(home_random() % left);
            nic_release(scene, &frames[one], 1);
            frames[one] = frames[left - 1];
        }
        nic_expect_all_returned(scene);
    }
    assert_int_equal(scene->nic->counters.received_frames, count);
    assert_int_equal(scene->nic->counters.received_bytes, bytes);
    assert_int_equal(scene->nic->counters.dropped_frames, 0);
    class_expect_log("receives", NULL);
}

static void test_receives(void **state)
{
    (void)state;
    nic_everywhere(receives, 1500, 0);
    nic_everywhere(receives, 9000, 0);
    nic_everywhere(receives, 68, 0);
}

/* The client holds everything: the next frame finds no buffer, until some are released, with one doorbell. */
static void holds_all(struct nic_scene *scene)
{
    struct nic_receive frames[BUFFERS + 1];
    uint8_t bytes[100];

    nic_fill(bytes, sizeof bytes);
    for (unsigned i = 0; i < BUFFERS; i++)
        assert_true(virtio_net_arrive(scene->net, bytes, sizeof bytes, NULL));
    assert_int_equal(nic_receive(scene, frames, BUFFERS + 1), BUFFERS);
    assert_false(virtio_net_arrive(scene->net, bytes, sizeof bytes, NULL));
    uint64_t before = virtio_model_notifications(scene->net->core);
    nic_release(scene, frames, BUFFERS);
    assert_in_range(virtio_model_notifications(scene->net->core) - before, 0, 1);
    home_run(scene->device, MILLISECOND, NULL, NULL);
    nic_expect_all_returned(scene);
    nic_arrives(scene, sizeof bytes, NULL, bytes, false, bytes);
}

static void test_holds_all(void **state)
{
    (void)state;
    nic_everywhere(holds_all, 1500, 0);
}

/* Frames of several buffers are gathered, so their buffers are free at once; of those frames the client can hold
 * as many as there are buffers, and what comes then is dropped and counted. */
static void holds_joined(struct nic_scene *scene)
{
    struct nic_receive frames[BUFFERS], more;
    static uint8_t bytes[5000];

    if (!nic_joins(scene))
        return;
    for (unsigned i = 0; i < BUFFERS; i++) {
        memset(bytes, (int)i, sizeof bytes);
        assert_true(virtio_net_arrive(scene->net, bytes, sizeof bytes, NULL));
        assert_int_equal(nic_receive(scene, &frames[i], 1), 1);
        nic_expect_all_returned(scene);
    }
    assert_true(virtio_net_arrive(scene->net, bytes, sizeof bytes, NULL));
    assert_int_equal(nic_receive(scene, &more, 1), 0);
    assert_int_equal(scene->nic->counters.dropped_frames, 1);
    nic_expect_all_returned(scene);
    for (unsigned i = 0; i < BUFFERS; i++) {
        memset(bytes, (int)i, sizeof bytes);
        assert_memory_equal(frames[i].frame, bytes, sizeof bytes);
    }
    nic_release(scene, &frames[5], 1);
    nic_arrives(scene, sizeof bytes, NULL, bytes, false, bytes);
    nic_release(scene, frames, 5);
    nic_release(scene, frames + 6, BUFFERS - 8); /* two stay with the client until the end */
}

static void test_holds_joined(void **state)
{
    (void)state;
    nic_everywhere(holds_joined, 9000, 0);
}

static void releases_foreign(struct nic_scene *scene)
{
    static const uint32_t tokens[] = {0, 5, 15, 16, 17, 65535, 65536, 65540, 65551, 65552, UINT32_MAX, 1u << 31};
    struct nic_receive frame;
    uint8_t bytes[60];

    nic_fill(bytes, sizeof bytes);
    assert_true(virtio_net_arrive(scene->net, bytes, sizeof bytes, NULL));
    assert_int_equal(nic_receive(scene, &frame, 1), 1);
    nic_release(scene, &frame, 1);
    nic_release(scene, &frame, 1); /* twice */
    assert_int_equal(host_log_count(LOG_WARN), 1);
    for (unsigned i = 0; i < sizeof tokens / sizeof tokens[0]; i++)
        nic_release(scene, &(struct nic_receive){.token = tokens[i]}, 1);
    assert_int_equal(host_log_count(LOG_WARN), 1 + sizeof tokens / sizeof tokens[0]);
    assert_true(host_log_has("a client released a frame that it does not hold"));
    nic_expect_all_returned(scene);
}

static void test_releases_foreign(void **state)
{
    (void)state;
    nic_everywhere(releases_foreign, 1500, 0);
}

/* ---- Checksums -----------------------------------------------------------------------------------------------------
 */

/* The Internet checksum another way: the number that the 16-bit words make, modulo 65535. */
static uint16_t reference_checksum(const uint8_t *bytes, size_t size)
{
    uint64_t sum = 0;

    for (size_t i = 0; i < size; i++)
        sum = (sum + (uint64_t)bytes[i] * (i % 2 == 0 ? 256 : 1)) % 65535;
    bool nothing = true;
    for (size_t i = 0; i < size; i++)
        nothing &= bytes[i] == 0;
    return nothing ? 0xffff : sum == 0 ? 0xffff : (uint16_t)(65535 - sum);
}

static void completes_checksums(struct nic_scene *scene)
{
    uint8_t bytes[LARGEST], expected[LARGEST];

    for (unsigned round = 0; round < 60; round++) {
        uint32_t length = 16 + (uint32_t)(home_random() % (LARGEST - 15));
        uint16_t start_at = (uint16_t)(14 + home_random() % (length - 15));
        uint16_t offset = (uint16_t)(home_random() % (length - start_at - 1u));
        struct net_header header = {.flags = NET_NEEDS_CHECKSUM,
                                    .checksum_start = start_at,
                                    .checksum_offset = offset,
                                    .gso_type = (uint8_t)home_random(), /* never negotiated: not looked at (E16) */
                                    .gso_size = (uint16_t)home_random(),
                                    .header_length = (uint16_t)home_random()};
        if (round == 0) { /* up to the last byte */
            start_at = header.checksum_start = 14;
            offset = header.checksum_offset = (uint16_t)(length - 16);
        }
        if (round % 8 == 7)
            memset(bytes, round & 8 ? 0xff : 0, sizeof bytes);
        else
            nic_fill(bytes, length);
        memcpy(expected, bytes, length);
        uint16_t sum = reference_checksum(bytes + start_at, length - start_at);
        expected[start_at + offset] = (uint8_t)(sum >> 8);
        expected[start_at + offset + 1] = (uint8_t)sum;
        nic_arrives(scene, length, &header, expected, true, bytes);
    }
    struct net_header valid = {.flags = NET_DATA_VALID, .gso_type = 0x7f};
    nic_fill(bytes, sizeof bytes);
    nic_arrives(scene, 80, &valid, bytes, true, bytes);
    valid.flags = 0xfc;
    nic_arrives(scene, 80, &valid, bytes, false, bytes);
    nic_expect_all_returned(scene);
}

static void test_completes_checksums(void **state)
{
    (void)state;
    nic_everywhere(completes_checksums, 1500, 0);
}

/* Without the feature both flags mean nothing, and nothing is changed in the frame. */
static void test_no_checksums(void **state)
{
    static const struct net_header header = {.flags = 3, .checksum_start = 20, .checksum_offset = 5};

    (void)state;
    for (unsigned number = 0; number < 40 * VARIANTS; number++) {
        struct virtio_model_options options = class_options(number / VARIANTS);
        uint8_t bytes[100];
        class_begin(number, false);
        struct nic_scene scene = nic_open(&options, nic_variant(number), 1500, VIRTIO_EVIL_NONE);
        nic_start(&scene);
        assert_false(scene.nic->info.receive_checksum || scene.nic->info.transmit_checksum);
        nic_fill(bytes, sizeof bytes);
        nic_arrives(&scene, sizeof bytes, &header, bytes, false, bytes);
        nic_close(&scene);
    }
}

/* E16: what the header says lies outside of the frame. */
static void drops_bad_checksums(struct nic_scene *scene)
{
    static const uint16_t places[][2] = {{0, 0},   {13, 10},   {99, 0},        {14, 85},    {65535, 0}, {14, 65535},
                                         {100, 0}, {65535, 1}, {65535, 65535}, {14, 65522}, {98, 1},    {101, 65435}};
    uint8_t bytes[100];
    struct nic_receive frame;
    unsigned count = sizeof places / sizeof places[0];

    nic_fill(bytes, sizeof bytes);
    for (unsigned i = 0; i < count; i++) {
        struct net_header header = {
            .flags = NET_NEEDS_CHECKSUM, .checksum_start = places[i][0], .checksum_offset = places[i][1]};
        assert_true(virtio_net_arrive(scene->net, bytes, sizeof bytes, &header));
        assert_int_equal(nic_receive(scene, &frame, 1), 0);
    }
    assert_int_equal(scene->nic->counters.dropped_frames, count);
    assert_int_equal(host_log_count(LOG_WARN), 1); /* more are only counted */
    assert_true(host_log_has("delivered a malformed frame"));
    nic_expect_all_returned(scene);
    nic_arrives(scene, sizeof bytes, NULL, bytes, false, bytes);
}

static void test_drops_bad_checksums(void **state)
{
    (void)state;
    nic_everywhere(drops_bad_checksums, 1500, 0);
}

/* The same in frames of several buffers. */
static void drops_bad_joined(struct nic_scene *scene)
{
    struct net_header header = {.flags = NET_NEEDS_CHECKSUM, .checksum_start = 4000, .checksum_offset = 999};
    static uint8_t bytes[5000];
    struct nic_receive frame;

    for (unsigned i = 0; i < 40; i++) {
        assert_true(virtio_net_arrive(scene->net, bytes, sizeof bytes, &header));
        assert_int_equal(nic_receive(scene, &frame, 1), 0);
    }
    nic_expect_all_returned(scene);
}

static void test_drops_bad_joined(void **state)
{
    (void)state;
    nic_everywhere(drops_bad_joined, 9000, 0);
}

/* ---- Transmitting --------------------------------------------------------------------------------------------------
 */

/* Random batches; what is not taken is offered again; each cookie comes back once, and only when it was sent. */
static void transmits(struct nic_scene *scene)
{
    enum { COUNT = 200 };
    struct parcel *parcels = calloc(COUNT, sizeof *parcels);
    struct nic_transmit frames[COUNT];
    unsigned taken = 0, back = 0;
    uint64_t bytes = 0, cookies[8];
    bool seen[COUNT] = {false};

    for (unsigned i = 0; i < COUNT; i++) {
        parcel_make(&parcels[i], &scene->nic->info, 1000 + i);
        frames[i] = parcels[i].frame;
        bytes += parcels[i].length;
    }
    for (unsigned turns = 0; back < COUNT; turns++) {
        assert_true(turns < 10000);
        unsigned want = (unsigned)(home_random() % (COUNT - taken + 1));
        uint64_t before = virtio_model_notifications(scene->net->core);
        taken += nic_transmit(scene, frames + taken, want);
        assert_in_range(virtio_model_notifications(scene->net->core) - before, 0, 1);
        assert_true(taken - back <= SLOTS);
        home_run(scene->device, home_random() % 100000, NULL, NULL);
        unsigned now = nic_reap(scene, cookies, 1 + (unsigned)(home_random() % 8));
        for (unsigned i = 0; i < now; i++) {
            unsigned index = (unsigned)(cookies[i] - 1000);
            assert_true(index < scene->net->sent_count && !seen[index]);
            seen[index] = true;
        }
        back += now;
    }
    assert_int_equal(scene->net->sent_count, COUNT);
    for (unsigned i = 0; i < COUNT; i++) {
        expect_sent(&scene->net->sent[i], &parcels[i]);
        free(parcels[i].memory);
    }
    free(parcels);
    assert_int_equal(nic_reap(scene, cookies, 8), 0);
    assert_int_equal(home_account(scene->device).loans, 0);
    assert_int_equal(scene->nic->counters.transmitted_frames, COUNT);
    assert_int_equal(scene->nic->counters.transmitted_bytes, bytes);
    assert_int_equal(scene->nic->counters.refused_frames, 0);
    class_expect_log("transmits", NULL);
}

static void test_transmits(void **state)
{
    (void)state;
    nic_everywhere(transmits, 1500, 30000);
    nic_everywhere(transmits, 9216, 30000);
}

/* The device takes nothing: as many frames as there are slots are taken, the rest is left to the client. */
static void pushes_back(struct nic_scene *scene)
{
    struct nic_transmit frames[SLOTS + 8];
    uint64_t cookies[SLOTS + 8];
    uint8_t bytes[64];

    nic_fill(bytes, sizeof bytes);
    for (unsigned i = 0; i < SLOTS + 8; i++)
        frames[i] = (struct nic_transmit){.frame = {.offset = (uintptr_t)bytes, .length = sizeof bytes}, .cookie = i};
    scene->net->stalled = true;
    uint64_t before = virtio_model_notifications(scene->net->core);
    unsigned taken = nic_transmit(scene, frames, SLOTS + 8);
    assert_in_range(taken, SLOTS / 2, SLOTS);
    assert_int_equal(virtio_model_notifications(scene->net->core) - before, 1);
    assert_int_equal(nic_transmit(scene, frames, 1), 0);
    assert_int_equal(nic_reap(scene, cookies, SLOTS + 8), 0);
    assert_int_equal(home_account(scene->device).loans, taken);
    scene->net->stalled = false;
    virtio_model_kick(scene->net->core, 1);
    home_run(scene->device, MILLISECOND, NULL, NULL);
    assert_int_equal(nic_reap(scene, cookies, SLOTS + 8), taken);
    assert_int_equal(scene->net->sent_count, taken);
    assert_int_equal(nic_transmit(scene, frames, 3), 3);
    home_run(scene->device, MILLISECOND, NULL, NULL);
    assert_int_equal(nic_reap(scene, cookies, 2), 2); /* the third cookie is the client's loss */
}

static void test_pushes_back(void **state)
{
    (void)state;
    nic_everywhere(pushes_back, 1500, 0);
}

/* What cannot be sent is counted, named once, and its cookie comes back; the device never sees it. */
static void refuses(struct nic_scene *scene)
{
    static uint8_t bytes[70000];
    const struct {
        uint64_t length;
        bool partial;
        uint16_t start, offset;
        bool good;
    } rows[] = {
        {14, false, 0, 0, true},     {LARGEST, false, 0, 0, true},     {13, false, 0, 0, false},
        {1, false, 0, 0, false},     {0, false, 0, 0, false},          {LARGEST + 1, false, 0, 0, false},
        {70000, false, 0, 0, false}, {UINT64_MAX, false, 0, 0, false}, {UINT64_C(1) << 32 | 60, false, 0, 0, false},
        {60, true, 14, 0, true},     {60, true, 58, 0, true},          {60, true, 14, 44, true},
        {60, true, 13, 0, false},    {60, true, 59, 0, false},         {60, true, 14, 45, false},
        {60, true, 65535, 0, false}, {60, true, 14, 65535, false},     {60, true, 65535, 65535, false},
        {60, true, 65535, 3, false},
    };
    unsigned good = 0, count = sizeof rows / sizeof rows[0];

    for (unsigned i = 0; i < count; i++) {
        struct nic_transmit frame = {.frame = {.offset = (uintptr_t)bytes, .length = rows[i].length},
                                     .cookie = 100 + i,
                                     .checksum_partial = rows[i].partial,
                                     .checksum_start = rows[i].start,
                                     .checksum_offset = rows[i].offset};
        uint64_t cookie = 0;
        assert_int_equal(nic_transmit(scene, &frame, 1), 1);
        home_run(scene->device, MILLISECOND, NULL, NULL);
        assert_int_equal(nic_reap(scene, &cookie, 1), 1);
        assert_int_equal(cookie, 100 + i);
        good += rows[i].good;
        assert_int_equal(scene->net->sent_count, good);
    }
    assert_int_equal(scene->nic->counters.refused_frames, count - good);
    assert_int_equal(host_log_count(LOG_WARN), 1);
    assert_true(host_log_has("cannot send a frame of 13 bytes (invalid"));
}

static void test_refuses(void **state)
{
    (void)state;
    nic_everywhere(refuses, 1500, 0);
}

/* A checksum is left to the device only if it takes that on. */
static void test_refuses_checksum(void **state)
{
    (void)state;
    for (unsigned number = 0; number < 40; number++) {
        struct virtio_model_options options = class_options(number);
        uint8_t bytes[60] = {0};
        uint64_t cookie = 0;
        class_begin(number, false);
        struct nic_scene scene = nic_open(&options, NIC_ORDINARY & ~VIRTIO_FEATURE(NET_CSUM), 1500, VIRTIO_EVIL_NONE);
        nic_start(&scene);
        struct nic_transmit frame = {.frame = {.offset = (uintptr_t)bytes, .length = sizeof bytes},
                                     .cookie = 5,
                                     .checksum_partial = true,
                                     .checksum_start = 20};
        assert_int_equal(nic_transmit(&scene, &frame, 1), 1);
        home_run(scene.device, MILLISECOND, NULL, NULL);
        assert_int_equal(nic_reap(&scene, &cookie, 1), 1);
        assert_int_equal(scene.net->sent_count, 0);
        assert_int_equal(scene.nic->counters.refused_frames, 1);
        nic_close(&scene);
    }
}

/* Each frame that arrives when all was taken, and each that was sent, is told of by an interrupt. */
static void interrupts(struct nic_scene *scene)
{
    uint8_t bytes[64] = {0};
    struct nic_transmit frame = {.frame = {.offset = (uintptr_t)bytes, .length = sizeof bytes}, .cookie = 1};
    struct nic_receive received;
    uint64_t cookie;

    for (unsigned i = 0; i < 40; i++) {
        uint64_t before = virtio_model_interrupts(scene->net->core);
        assert_true(virtio_net_arrive(scene->net, bytes, sizeof bytes, NULL));
        assert_int_equal(virtio_model_interrupts(scene->net->core), before + 1);
        home_run(scene->device, MILLISECOND, NULL, NULL);
        assert_int_equal(nic_receive(scene, &received, 1), 1);
        nic_release(scene, &received, 1);
        assert_int_equal(nic_receive(scene, &received, 1), 0);
        assert_int_equal(nic_transmit(scene, &frame, 1), 1);
        home_run(scene->device, MILLISECOND, NULL, NULL);
        assert_int_equal(virtio_model_interrupts(scene->net->core), before + 2);
        assert_int_equal(nic_reap(scene, &cookie, 1), 1);
    }
}

static void test_interrupts(void **state)
{
    (void)state;
    nic_everywhere(interrupts, 1500, 0);
}

/* ---- What the interface says of itself ------------------------------------------------------------------------------
 */

static const struct {
    uint64_t features;
    uint8_t address[6];
    uint16_t mtu, expected_mtu;
    bool own; /* the address is used */
    const char *sentence;
} descriptions[] = {
    {NIC_ORDINARY, {0x52, 0x54, 0, 1, 2, 3}, 1500, 1500, true, NULL},
    {NIC_ORDINARY, {0x52, 0x54, 0, 1, 2, 3}, 68, 68, true, NULL},
    {NIC_ORDINARY, {0x52, 0x54, 0, 1, 2, 3}, 1501, 1501, true, NULL},
    {NIC_ORDINARY, {0x52, 0x54, 0, 1, 2, 3}, 9216, 9216, true, NULL},
    {NIC_ORDINARY, {0x52, 0x54, 0, 1, 2, 3}, 0, 1500, true, "claims an MTU of 0; uses 1500"},
    {NIC_ORDINARY, {0x52, 0x54, 0, 1, 2, 3}, 67, 1500, true, "claims an MTU of 67; uses 1500"},
    {NIC_ORDINARY, {0x52, 0x54, 0, 1, 2, 3}, 9217, 9216, true, "claims an MTU of 9217; uses 9216"},
    {NIC_ORDINARY, {0x52, 0x54, 0, 1, 2, 3}, 65535, 9216, true, "claims an MTU of 65535; uses 9216"},
    {NIC_ORDINARY & ~VIRTIO_FEATURE(NET_MTU), {2, 0, 0, 0, 0, 0}, 65535, 1500, true, NULL},
    {NIC_ORDINARY, {0}, 1500, 1500, false, "has no usable address of its own and gets a local one"},
    {NIC_ORDINARY, {1, 0, 0x5e, 0, 0, 1}, 1500, 1500, false, "has no usable address of its own and gets a local one"},
    {NIC_ORDINARY, {255, 255, 255, 255, 255, 255}, 1500, 1500, false, "has no usable address of its own"},
    {NIC_ORDINARY & ~VIRTIO_FEATURE(NET_MAC),
     {2, 1, 1, 1, 1, 1},
     1500,
     1500,
     false,
     "has no usable address of its own"},
};

/* E17 */
static void test_descriptions(void **state)
{
    (void)state;
    for (unsigned i = 0; i < sizeof descriptions / sizeof descriptions[0]; i++)
        for (unsigned number = 0; number < 40; number++) {
            struct virtio_model_options options = class_options(number);
            class_begin(number, false);
            struct nic_scene scene = {.options = {.features = descriptions[i].features | nic_variant(number),
                                                  .mtu = descriptions[i].mtu,
                                                  .status = 1}};
            memcpy(scene.options.address, descriptions[i].address, 6);
            scene.net = virtio_net_create(&options, &scene.options, VIRTIO_EVIL_NONE);
            scene.device = virtio_model_device(scene.net->core);
            nic_start(&scene);
            const struct nic_info *info = &scene.nic->info;
            if (descriptions[i].own) {
                assert_memory_equal(info->address, descriptions[i].address, 6);
            } else {
                assert_int_equal(info->address[0], 2); /* local, one station */
                assert_memory_not_equal(info->address + 1, ((uint8_t[5]){0}), 5);
            }
            assert_int_equal(info->mtu, descriptions[i].expected_mtu);
            assert_true(info->link_up && info->transmit_checksum && info->receive_checksum);
            assert_int_equal(info->transmit_depth, SLOTS);
            assert_int_equal(info->receive_depth, BUFFERS);
            class_expect_log("E17", descriptions[i].sentence);
            nic_close(&scene);
        }
}

/* The link goes up and down by configuration interrupts; flapping all the time is followed but not told each time. */
static void follows_link(struct nic_scene *scene)
{
    assert_true(scene->nic->info.link_up);
    virtio_net_set_status(scene->net, 0);
    home_run(scene->device, MILLISECOND, NULL, NULL);
    assert_false(scene->nic->info.link_up);
    assert_true(host_log_has("info virtio0: the link is down"));
    home_run(scene->device, 2 * SECOND, NULL, NULL);
    virtio_net_set_status(scene->net, 0xffff);
    home_run(scene->device, MILLISECOND, NULL, NULL);
    assert_true(scene->nic->info.link_up);
    assert_true(host_log_has("info virtio0: the link is up"));
    for (unsigned i = 0; i < 200; i++) {
        virtio_net_set_status(scene->net, i % 2 == 0 ? 0xfffe : 1);
        home_run(scene->device, MILLISECOND, NULL, NULL);
        assert_int_equal(scene->nic->info.link_up, i % 2 != 0);
    }
    assert_true(host_log_count(LOG_INFO) < 10);
}

static void test_follows_link(void **state)
{
    (void)state;
    nic_everywhere(follows_link, 1500, 0);
}

/* Without the feature the link is up, whatever the field holds. */
static void test_no_status(void **state)
{
    (void)state;
    for (unsigned number = 0; number < 40; number++) {
        struct virtio_model_options options = class_options(number);
        class_begin(number, false);
        struct nic_scene scene = nic_open(&options, NIC_ORDINARY & ~VIRTIO_FEATURE(NET_STATUS), 1500, VIRTIO_EVIL_NONE);
        virtio_net_set_status(scene.net, 0);
        nic_start(&scene);
        assert_true(scene.nic->info.link_up);
        nic_close(&scene);
    }
}

/* E18, E19, the rest of E17: no control queue, no receive scaling, one pair of queues, whatever is offered. */
static void test_not_driven(void **state)
{
    const uint64_t unwanted = VIRTIO_FEATURE(NET_CTRL_VQ) | VIRTIO_FEATURE(NET_MQ) | VIRTIO_FEATURE(NET_RSS) |
                              UINT64_C(0x3f) << 18 | UINT64_C(0xff) << 56 | UINT64_C(0xff) << 7;

    (void)state;
    for (unsigned number = 0; number < 40; number++) {
        struct virtio_model_options options = class_options(number);
        class_begin(number, false);
        struct nic_scene scene =
            nic_open(&options, NIC_ORDINARY | unwanted | VIRTIO_FEATURE(2), 1500, VIRTIO_EVIL_NONE);
        memset(virtio_model_config(scene.net->core) + 8, 0xff, 2);  /* max_virtqueue_pairs */
        memset(virtio_model_config(scene.net->core) + 17, 0xff, 7); /* RSS limits */
        nic_start(&scene);
        assert_int_equal(virtio_model_features(scene.net->core) & (unwanted | VIRTIO_FEATURE(2)), 0);
        assert_int_equal(home_account(scene.device).queues, 2);
        class_expect_log("E18", NULL);
        nic_close(&scene);
    }
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_receives),
        cmocka_unit_test(test_holds_all),
        cmocka_unit_test(test_holds_joined),
        cmocka_unit_test(test_releases_foreign),
        cmocka_unit_test(test_completes_checksums),
        cmocka_unit_test(test_no_checksums),
        cmocka_unit_test(test_drops_bad_checksums),
        cmocka_unit_test(test_drops_bad_joined),
        cmocka_unit_test(test_transmits),
        cmocka_unit_test(test_pushes_back),
        cmocka_unit_test(test_refuses),
        cmocka_unit_test(test_refuses_checksum),
        cmocka_unit_test(test_interrupts),
        cmocka_unit_test(test_descriptions),
        cmocka_unit_test(test_follows_link),
        cmocka_unit_test(test_no_status),
        cmocka_unit_test(test_not_driven),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
