/* nic_scene.c: see nic_scene.h. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>
#include "host_log.h"
#include "nic_scene.h"

uint64_t nic_variant(unsigned number)
{
    return (number & 1 ? VIRTIO_FEATURE(NET_MRG_RXBUF) : 0) | (number & 2 ? VIRTIO_FEATURE(NET_ANY_LAYOUT) : 0);
}

bool nic_joins(const struct nic_scene *scene)
{
    return (scene->options.features & VIRTIO_FEATURE(NET_MRG_RXBUF)) != 0;
}

struct nic_scene nic_open(const struct virtio_model_options *options, uint64_t features, uint16_t mtu, int evil)
{
    struct nic_scene scene = {
        .options = {.features = features, .address = {0x52, 0x54, 0, 0x12, 0x34, 0x56}, .status = 1, .mtu = mtu}};

    scene.net = virtio_net_create(options, &scene.options, (enum virtio_model_evil)evil);
    scene.device = virtio_model_device(scene.net->core);
    return scene;
}

void nic_start(struct nic_scene *scene)
{
    if (home_start(scene->device, &virtio_net_driver) != STATUS_OK)
        fail_msg("the driver did not start: %s", host_log_text());
    scene->nic = home_nic(scene->device);
    assert_non_null(scene->nic);
    home_run(scene->device, MILLISECOND, NULL, NULL);
}

void nic_close(struct nic_scene *scene)
{
    class_end(scene->net->core, scene->revoked);
    virtio_net_destroy(scene->net);
}

void nic_everywhere(void (*test)(struct nic_scene *scene), uint16_t mtu, uint32_t delay_ns)
{
    for (unsigned number = 0; number < 40 * VARIANTS; number++) {
        struct virtio_model_options options = class_options(number / VARIANTS);
        options.delay_ns = delay_ns;
        class_begin(number, false);
        struct nic_scene scene = nic_open(&options, NIC_ORDINARY | nic_variant(number), mtu, VIRTIO_EVIL_NONE);
        nic_start(&scene);
        test(&scene);
        nic_close(&scene);
    }
}

void nic_fill(uint8_t *bytes, size_t size)
{
    for (size_t i = 0; i < size; i++)
        bytes[i] = (uint8_t)home_random();
}

unsigned nic_receive(struct nic_scene *scene, struct nic_receive frames[], unsigned capacity)
{
    return scene->nic->ops->receive(scene->nic->driver, frames, capacity);
}

void nic_release(struct nic_scene *scene, const struct nic_receive frames[], unsigned count)
{
    scene->nic->ops->release(scene->nic->driver, frames, count);
}

void nic_arrives(struct nic_scene *scene, uint32_t length, const struct net_header *header, const uint8_t *expected,
                 bool valid, const uint8_t *bytes)
{
    struct nic_receive frame;

    assert_true(virtio_net_arrive(scene->net, bytes, length, header));
    assert_int_equal(nic_receive(scene, &frame, 1), 1);
    assert_int_equal(frame.length, length);
    assert_memory_equal(frame.frame, expected, length);
    assert_int_equal(frame.checksum_valid, valid);
    nic_release(scene, &frame, 1);
}

void nic_expect_all_returned(struct nic_scene *scene)
{
    assert_int_equal(virtio_net_free_buffers(scene->net), BUFFERS);
}

unsigned nic_transmit(struct nic_scene *scene, const struct nic_transmit frames[], unsigned count)
{
    return scene->nic->ops->transmit(scene->nic->driver, frames, count);
}

unsigned nic_reap(struct nic_scene *scene, uint64_t cookies[], unsigned capacity)
{
    return scene->nic->ops->reap(scene->nic->driver, cookies, capacity);
}

void parcel_make(struct parcel *parcel, const struct nic_info *info, uint64_t cookie)
{
    size_t offset = home_random() % 5000;

    parcel->length = 14 + (uint32_t)(home_random() % (info->mtu + 5u));
    parcel->memory = malloc(offset + parcel->length);
    parcel->bytes = parcel->memory + offset;
    nic_fill(parcel->bytes, parcel->length);
    parcel->frame = (struct nic_transmit){.frame = {.offset = (uintptr_t)parcel->bytes, .length = parcel->length},
                                          .cookie = cookie};
    if (parcel->length >= 40 && home_random() % 2) {
        parcel->frame.checksum_partial = true;
        parcel->frame.checksum_start = (uint16_t)(14 + home_random() % 20);
        parcel->frame.checksum_offset =
            (uint16_t)(home_random() % (parcel->length - parcel->frame.checksum_start - 1u));
    }
}

void expect_sent(const struct net_frame *sent, const struct parcel *parcel)
{
    assert_int_equal(sent->length, parcel->length);
    assert_memory_equal(sent->bytes, parcel->bytes, parcel->length);
    assert_int_equal(sent->header.flags, parcel->frame.checksum_partial ? NET_NEEDS_CHECKSUM : 0);
    assert_int_equal(sent->header.checksum_start, parcel->frame.checksum_start);
    assert_int_equal(sent->header.checksum_offset, parcel->frame.checksum_offset);
    assert_int_equal(sent->header.header_length | sent->header.gso_size, 0);
}

void nic_works(struct nic_scene *scene)
{
    struct parcel parcel;
    uint8_t bytes[1000];
    uint64_t cookie;

    nic_fill(bytes, sizeof bytes);
    for (unsigned i = 0; i < 40; i++) {
        nic_arrives(scene, sizeof bytes, NULL, bytes, false, bytes);
        virtio_net_forget_sent(scene->net);
        parcel_make(&parcel, &scene->nic->info, i);
        assert_int_equal(nic_transmit(scene, &parcel.frame, 1), 1);
        for (unsigned k = 0; nic_reap(scene, &cookie, 1) == 0; k++) {
            assert_true(k < 300);
            home_run(scene->device, MILLISECOND, NULL, NULL);
        }
        expect_sent(&scene->net->sent[0], &parcel);
        free(parcel.memory);
    }
    nic_expect_all_returned(scene);
    assert_null(home_failure(scene->device));
}
