/* nic_scene.h: a modelled network interface with its driver, and frames with memory of their own. */
#ifndef NIC_SCENE_H
#define NIC_SCENE_H

#include <driver/virtio/virtio.h>
#include <model/virtio_net.h>
#include <vmos/nic.h>
#include "virtio_class.h"

enum { BUFFERS = 10, SLOTS = 32, BUFFER_SIZE = 1536, LARGEST = 1518, MAX_LENGTH = 10000, VARIANTS = 4 };

#define NIC_ORDINARY                                                                                                   \
    (VIRTIO_FEATURE(NET_CSUM) | VIRTIO_FEATURE(NET_GUEST_CSUM) | VIRTIO_FEATURE(NET_MTU) | VIRTIO_FEATURE(NET_MAC) |   \
     VIRTIO_FEATURE(NET_STATUS))

struct nic_scene {
    struct virtio_net_options options;
    struct virtio_net_model *net;
    struct device *device;
    struct nic_device *nic;
    bool revoked;
};

/* Features by number, VARIANTS of them: buffers joined or not, header in any layout or apart. */
uint64_t nic_variant(unsigned number);
bool nic_joins(const struct nic_scene *scene);

struct nic_scene nic_open(const struct virtio_model_options *options, uint64_t features, uint16_t mtu, int evil);
void nic_start(struct nic_scene *scene);
void nic_close(struct nic_scene *scene);

/* Runs `test` over every transport, with and without EVENT_IDX, INDIRECT_DESC and vectors, in each variant. */
void nic_everywhere(void (*test)(struct nic_scene *scene), uint16_t mtu, uint32_t delay_ns);

void nic_fill(uint8_t *bytes, size_t size); /* at random */

/* The operations of nic.h. */
unsigned nic_receive(struct nic_scene *scene, struct nic_receive frames[], unsigned capacity);
void nic_release(struct nic_scene *scene, const struct nic_receive frames[], unsigned count);
unsigned nic_transmit(struct nic_scene *scene, const struct nic_transmit frames[], unsigned count);
unsigned nic_reap(struct nic_scene *scene, uint64_t cookies[], unsigned capacity);

/* One frame arrives and is the next that the driver hands out. */
void nic_arrives(struct nic_scene *scene, uint32_t length, const struct net_header *header, const uint8_t *expected,
                 bool valid, const uint8_t *bytes);
void nic_expect_all_returned(struct nic_scene *scene);

/* A frame to send, of random length, at an odd place in memory, half of them with a checksum left to the device. */
struct parcel {
    uint8_t *memory, *bytes;
    uint32_t length;
    struct nic_transmit frame;
};
void parcel_make(struct parcel *parcel, const struct nic_info *info, uint64_t cookie);
void expect_sent(const struct net_frame *sent, const struct parcel *parcel);

/* Frames go both ways, and every buffer is back. */
void nic_works(struct nic_scene *scene);

#endif
