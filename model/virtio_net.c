/* virtio_net.c: see virtio_net.h. */
#include <lib/bytes.h>
#include <model/virtio_model.h>
#include <model/virtio_net.h>
#include <stdlib.h>
#include <string.h>

enum { RECEIVE, TRANSMIT, MAX_BUFFERS = 64 };

struct owner { /* the class, with the features of this one */
    struct virtio_net_model net;
    struct virtio_model_class class;
};

static bool has(const struct virtio_net_model *net, unsigned bit)
{
    return (virtio_model_features(net->core) & UINT64_C(1) << bit) != 0;
}

static uint32_t header_size(const struct virtio_net_model *net)
{
    return model_is_legacy(net->core) && !has(net, NET_MRG_RXBUF) ? 10 : 12;
}

/* The header in a part of its own, where a legacy device wants it so [virtio 1.2 §5.1.6.6]. */
static void check_layout(struct virtio_net_model *net, const struct virtio_model_request *request)
{
    if (model_is_legacy(net->core) && !has(net, NET_ANY_LAYOUT) && request->parts[0].length != header_size(net))
        model_complain(net->core, "the header is not a part of its own");
}

static uint32_t largest(const struct virtio_net_model *net)
{
    return (has(net, NET_MTU) ? net->options.mtu : 1500u) + 18;
}

static uint32_t send(struct virtio_model *model, struct virtio_net_model *net,
                     const struct virtio_model_request *request)
{
    uint32_t size = header_size(net), length = request->readable - size;
    struct net_frame frame = {.length = length};

    if (net->stalled)
        return VIRTIO_MODEL_HOLD;
    if (request->writable != 0 || request->readable < size + 14) {
        model_complain(model, "a frame of %u readable and %u writable bytes", request->readable, request->writable);
        return 0;
    }
    check_layout(net, request);
    virtio_model_read(model, request, 0, &frame.header, size);
    frame.bytes = malloc(length);
    virtio_model_read(model, request, size, frame.bytes, length);
    if (length > largest(net))
        model_complain(model, "a frame of %u bytes", length);
    if (frame.header.flags != 0 && (frame.header.flags != NET_NEEDS_CHECKSUM || !has(net, NET_CSUM)))
        model_complain(model, "flags 0x%x in a frame's header", frame.header.flags);
    if (frame.header.gso_type != 0 || frame.header.buffers != 0)
        model_complain(model, "a frame's header with fields that must be 0");
    net->sent = realloc(net->sent, (net->sent_count + 1) * sizeof *net->sent);
    net->sent[net->sent_count++] = frame;
    return 0;
}

static uint32_t serve(struct virtio_model *model, void *context, const struct virtio_model_request *request)
{
    return request->queue == TRANSMIT ? send(model, context, request) : VIRTIO_MODEL_HOLD;
}

static void check_buffer(struct virtio_net_model *net, const struct virtio_model_request *request)
{
    uint32_t least = has(net, NET_MRG_RXBUF) ? header_size(net) : header_size(net) + 1518; /* [§5.1.6.3.1] */

    if (request->readable != 0 || request->writable < least)
        model_complain(net->core, "a receive buffer of %u readable and %u writable bytes", request->readable,
                       request->writable);
    check_layout(net, request);
}

static uint16_t claimed_buffers(const struct virtio_net_model *net, unsigned count)
{
    switch ((unsigned)virtio_model_evil(net->core)) {
    case E15_BUFFERS_0:
        return 0;
    case E15_BUFFERS_65535:
        return 65535;
    case E15_BUFFERS_ONE_MORE:
        return (uint16_t)(count + 1);
    default:
        return (uint16_t)count;
    }
}

bool virtio_net_arrive(struct virtio_net_model *net, const void *frame, uint32_t length,
                       const struct net_header *header)
{
    struct virtio_model_request requests[MAX_BUFFERS];
    uint32_t written[MAX_BUFFERS], size = header_size(net), room = 0, done = 0;
    struct net_header first = header != NULL ? *header : (struct net_header){0};
    unsigned count = 0, most = has(net, NET_MRG_RXBUF) ? MAX_BUFFERS : 1;

    while (room < length + size && count < most && virtio_model_take(net->core, RECEIVE, &requests[count])) {
        check_buffer(net, &requests[count]);
        room += requests[count++].writable;
    }
    if (room < length + size) {
        while (count-- != 0)
            virtio_model_untake(net->core, &requests[count]);
        return false;
    }
    first.buffers = claimed_buffers(net, count);
    for (unsigned i = 0; i < count; i++) {
        uint32_t skip = i == 0 ? size : 0, part = requests[i].writable - skip;
        if (part > length - done)
            part = length - done;
        if (i == 0)
            virtio_model_write(net->core, &requests[i], 0, &first, size);
        virtio_model_write(net->core, &requests[i], skip, (const uint8_t *)frame + done, part);
        written[i] = skip + part;
        done += part;
    }
    if (virtio_model_evil(net->core) == (enum virtio_model_evil)E05_SHORT_13)
        written[0] = size + 13;
    if (virtio_model_evil(net->core) == (enum virtio_model_evil)E05_SHORT_HEADER)
        written[0] = size - 1;
    virtio_model_complete(net->core, requests, written, count);
    return true;
}

unsigned virtio_net_free_buffers(struct virtio_net_model *net)
{
    struct virtio_model_request requests[MAX_BUFFERS];
    unsigned count = 0, taken;

    while (count < MAX_BUFFERS && virtio_model_take(net->core, RECEIVE, &requests[count]))
        check_buffer(net, &requests[count++]);
    for (taken = count; taken-- != 0;)
        virtio_model_untake(net->core, &requests[taken]);
    return count;
}

void virtio_net_set_status(struct virtio_net_model *net, uint16_t status)
{
    memcpy(virtio_model_config(net->core) + 6, &status, sizeof status);
    virtio_model_config_changed(net->core);
}

struct virtio_net_model *virtio_net_create(const struct virtio_model_options *options,
                                           const struct virtio_net_options *from, enum virtio_model_evil evil)
{
    struct owner *owner = calloc(1, sizeof *owner);
    struct virtio_net_model *net = &owner->net;
    uint16_t ring = from->ring != 0 ? from->ring : 256;

    owner->class = (struct virtio_model_class){
        .id = 1,
        .class_code = 0x020000,
        .features = from->features,
        .queue_count = 3,
        .queue_sizes = {ring, ring, 64},
        .config_size = 24,
        .handle = serve,
    };
    net->options = *from;
    net->core = virtio_model_create(&owner->class, net, options, evil);
    uint8_t *config = virtio_model_config(net->core);
    memcpy(config, from->address, sizeof from->address);
    memcpy(config + 6, &from->status, 2);
    memcpy(config + 10, &from->mtu, 2);
    return net;
}

void virtio_net_forget_sent(struct virtio_net_model *net)
{
    for (unsigned i = 0; i < net->sent_count; i++)
        free(net->sent[i].bytes);
    free(net->sent);
    net->sent = NULL;
    net->sent_count = 0;
}

void virtio_net_destroy(struct virtio_net_model *net)
{
    virtio_model_destroy(net->core);
    virtio_net_forget_sent(net);
    free((struct owner *)(void *)net);
}
