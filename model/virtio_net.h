/*
 * virtio_net.h: a virtio network interface for the host's home [virtio 1.2 §5.1]. Frames that the driver sends are
 * kept for the test to look at; frames arrive when the test says so.
 */
#ifndef MODEL_VIRTIO_NET_H
#define MODEL_VIRTIO_NET_H

#include <model/virtio_device.h>

enum {
    NET_CSUM = 0,
    NET_GUEST_CSUM = 1,
    NET_MTU = 3,
    NET_MAC = 5,
    NET_MRG_RXBUF = 15,
    NET_STATUS = 16,
    NET_CTRL_VQ = 17,
    NET_MQ = 22,
    NET_ANY_LAYOUT = 27,
    NET_RSS = 60,
    NET_NEEDS_CHECKSUM = 1,
    NET_DATA_VALID = 2,
};

enum {
    E15_BUFFERS_0 = VIRTIO_EVIL_CLASS_FIRST,
    E15_BUFFERS_65535,
    E15_BUFFERS_ONE_MORE, /* than arrive */
    E05_SHORT_13,         /* claims header and 13 bytes of each frame */
    E05_SHORT_HEADER,     /* claims one byte less than a header */
};

struct virtio_net_options {
    uint64_t features; /* bits of the class that are offered */
    uint8_t address[6];
    uint16_t status, mtu;
    uint16_t ring; /* of both queues; 0: 256 */
};

struct net_header { /* [virtio 1.2 §5.1.6] */
    uint8_t flags, gso_type;
    uint16_t header_length, gso_size, checksum_start, checksum_offset, buffers;
};

struct net_frame {
    struct net_header header;
    uint32_t length;
    uint8_t *bytes;
};

struct virtio_net_model {
    struct virtio_model *core;
    struct virtio_net_options options;
    struct net_frame *sent; /* in order */
    unsigned sent_count;
    bool stalled; /* nothing is sent: the frames stay in the ring (kick queue 1 to go on) */
};

/* Destroyed with virtio_net_destroy. */
struct virtio_net_model *virtio_net_create(const struct virtio_model_options *options,
                                           const struct virtio_net_options *net, enum virtio_model_evil evil);
void virtio_net_destroy(struct virtio_net_model *net);
void virtio_net_forget_sent(struct virtio_net_model *net);

/* A frame arrives, with flags, gso and checksum fields from `header` (NULL: zeros). False: the driver has no
 * buffers for it, and nothing happens. */
bool virtio_net_arrive(struct virtio_net_model *net, const void *frame, uint32_t length,
                       const struct net_header *header);
/* As often as buffers are free: how many that is. */
unsigned virtio_net_free_buffers(struct virtio_net_model *net);

/* Tells the driver of another link status. */
void virtio_net_set_status(struct virtio_net_model *net, uint16_t status);

#endif
