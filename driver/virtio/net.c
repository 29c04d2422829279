/*
 * net.c: virtio network device [virtio 1.2 §5.1].
 *
 * QEMU: -netdev user,id=n0 -device virtio-net-pci,netdev=n0 (or virtio-net-device)
 *
 * Two queues. Receive buffers are the driver's and always posted, but for those whose frames the client still holds.
 * A frame to send is the client's, lent to the device behind a header of ours until the device is done.
 */
#include "virtio.h"

#include <lib/bytes.h>
#include <lib/log.h>
#include <lib/malloc.h>
#include <lib/string.h>
#include <vmos/nic.h>

/* Features [virtio 1.2 §5.1.3]. */
enum {
    F_CSUM = 0,
    F_GUEST_CSUM = 1,
    F_MTU = 3,
    F_MAC = 5,
    F_MRG_RXBUF = 15,
    F_STATUS = 16,
};

static const struct virtio_feature features[] = {
    {.bit = F_CSUM, .wanted = true, .name = "csum"},
    {.bit = F_GUEST_CSUM, .wanted = true, .name = "guest_csum"},
    {.bit = 2, .name = "ctrl_guest_offloads"},
    {.bit = F_MTU, .wanted = true, .name = "mtu"},
    {.bit = F_MAC, .wanted = true, .name = "mac"},
    {.bit = 6, .name = "gso"},
    {.bit = 7, .name = "guest_tso4"},
    {.bit = 8, .name = "guest_tso6"},
    {.bit = 9, .name = "guest_ecn"},
    {.bit = 10, .name = "guest_ufo"},
    {.bit = 11, .name = "host_tso4"},
    {.bit = 12, .name = "host_tso6"},
    {.bit = 13, .name = "host_ecn"},
    {.bit = 14, .name = "host_ufo"},
    {.bit = F_MRG_RXBUF, .wanted = true, .name = "mrg_rxbuf"},
    {.bit = F_STATUS, .wanted = true, .name = "status"},
    {.bit = 17, .name = "ctrl_vq"},
    {.bit = 18, .name = "ctrl_rx"},
    {.bit = 19, .name = "ctrl_vlan"},
    {.bit = 20, .name = "ctrl_rx_extra"},
    {.bit = 21, .name = "guest_announce"},
    {.bit = 22, .name = "mq"},
    {.bit = 23, .name = "ctrl_mac_addr"},
    {.bit = 56, .name = "host_uso"},
    {.bit = 57, .name = "hash_report"},
    {.bit = 59, .name = "guest_hdrlen"},
    {.bit = 60, .name = "rss"},
    {.bit = 61, .name = "rsc_ext"},
    {.bit = 62, .name = "standby"},
    {.bit = 63, .name = "speed_duplex"},
};

/* Device configuration [virtio 1.2 §5.1.4]. */
enum { CONFIG_MAC = 0, CONFIG_STATUS = 6, CONFIG_MTU = 10, STATUS_LINK_UP = 1 };

/* The header before every frame [virtio 1.2 §5.1.6]; num_buffers is missing on a legacy device without
 * MRG_RXBUF. */
struct header {
    uint8_t flags, gso_type;
    uint16_t header_length, gso_size, checksum_start, checksum_offset, buffers;
};
_Static_assert(sizeof(struct header) == 12 && offsetof(struct header, buffers) == 10, "[virtio 1.2 §5.1.6]");
enum { HEADER_SHORT = 10, FLAG_NEEDS_CHECKSUM = 1, FLAG_CHECKSUM_VALID = 2 };

enum {
    RECEIVE_QUEUE = 0,
    TRANSMIT_QUEUE = 1,
    QUEUE_SIZE = 64,
    RECEIVE_BUFFERS = 10, /* of BUFFER_SIZE they fill four pages */
    TRANSMIT_SLOTS = 32,
    MAX_FRAME_PARTS = 4, /* of 4 KiB, at MTU_MOST */
    BUFFER_SIZE = 1536,  /* a frame of MTU_DEFAULT with its header */
    VLAN_TAG = 4,
    MTU_DEFAULT = 1500,
    MTU_LEAST = 68,
    MTU_MOST = 9216,
    MAX_JOINED = RECEIVE_BUFFERS, /* frames of several buffers that a client may hold */
    JOINED_TOKEN = 1 << 16,
};

struct transmit_slot {
    uint64_t cookie;
    uint32_t loan;
    bool lent, done; /* done: the cookie waits for reap */
    bool used;
};

struct virtio_net {
    struct virtio_device virtio;
    struct virtqueue *receive, *transmit;
    uint32_t header_size;
    uint32_t largest;           /* frame, either way */
    uint32_t buffer_size;       /* with the header */
    bool header_apart;          /* in a descriptor of its own, and what follows in another */
    struct dma_memory buffers;  /* for receiving, RECEIVE_BUFFERS of them */
    bool held[RECEIVE_BUFFERS]; /* by the client */
    struct dma_memory headers;  /* of frames being sent */
    uint64_t link_told_ns;      /* before then the log does not tell of the link again */
    struct transmit_slot slots[TRANSMIT_SLOTS];
    void *joined[MAX_JOINED];
    struct nic_device nic;
};

/* ---- Receiving --------------------------------------------------------------------------------------- */

static uint8_t *buffer_of(const struct virtio_net *net, unsigned index)
{
    return (uint8_t *)net->buffers.memory + (size_t)index * net->buffer_size;
}

static bool post(struct virtio_net *net, unsigned index)
{
    device_address address = net->buffers.address + (uint64_t)index * net->buffer_size;
    uint32_t first = net->header_apart ? net->header_size : net->buffer_size;
    struct virtqueue_part parts[2] = {{address, first}, {address + first, net->buffer_size - first}};

    return virtqueue_add(net->receive, parts, 0, net->header_apart ? 2 : 1, index + 1u) == STATUS_OK;
}

/* The 16-bit sum that a sender with checksum offload left to us [RFC 1071]. What the header says is only used
 * when it lies within the frame; false drops the frame. */
static bool complete_checksum(uint8_t *frame, uint32_t length, const struct header *header)
{
    uint32_t start = header->checksum_start, place = start + header->checksum_offset, sum = 0;

    if (start < ETHERNET_HEADER_SIZE || place + 2 > length)
        return false;
    for (uint32_t at = start; at < length; at++)
        sum += at % 2 == start % 2 ? (uint32_t)frame[at] << 8 : frame[at];
    while (sum >> 16 != 0)
        sum = (sum & 0xffff) + (sum >> 16);
    uint16_t checksum = (uint16_t)~sum;
    store_be16(frame + place, checksum == 0 ? 0xffff : checksum);
    return true;
}

/* Gathers a frame that the device spread over `count` buffers, the first of which is taken. The buffers go back at
 * once. NULL: dropped. */
static uint8_t *join(struct virtio_net *net, unsigned first, uint32_t written, unsigned count, uint32_t *length,
                     uint32_t *token)
{
    uint8_t *frame = NULL;
    uint32_t skip = net->header_size, place = 0;
    uint64_t next = first + 1;
    bool whole = true;

    while (place < MAX_JOINED && net->joined[place] != NULL)
        place++;
    if (place < MAX_JOINED)
        frame = malloc(net->largest);
    for (*length = 0;; skip = 0) {
        uint32_t part = written - skip;
        if (frame != NULL && part <= net->largest - *length)
            memcpy(frame + *length, buffer_of(net, (unsigned)next - 1) + skip, part);
        else
            whole = false;
        *length += whole ? part : 0;
        post(net, (unsigned)next - 1);
        if (--count == 0)
            break;
        if (!virtqueue_next(net->receive, &next, &written)) { /* all must be there by now [virtio 1.2 §5.1.6.4.1] */
            whole = false;
            break;
        }
    }
    if (!whole) {
        free(frame);
        return NULL;
    }
    net->joined[place] = frame;
    *token = JOINED_TOKEN + place;
    return frame;
}

/* What the client held is ours again; false: it did not. */
static bool give_back(struct virtio_net *net, uint32_t token)
{
    uint32_t place = token - JOINED_TOKEN;

    if (token < RECEIVE_BUFFERS && net->held[token]) {
        net->held[token] = false;
        post(net, token);
        return true;
    }
    if (place >= MAX_JOINED || net->joined[place] == NULL)
        return false;
    free(net->joined[place]);
    net->joined[place] = NULL;
    return true;
}

/* Turns a completed buffer into a frame for the client; false: dropped, and the buffer posted again. */
static bool take_frame(struct virtio_net *net, unsigned index, uint32_t written, struct nic_receive *out)
{
    uint8_t *buffer = buffer_of(net, index), *frame = buffer + net->header_size;
    struct header header;

    memcpy(&header, buffer, sizeof header); /* once: the device may still write */
    if (!virtio_has(&net->virtio, F_MRG_RXBUF))
        header.buffers = 1; /* the field means nothing, or is not there */
    out->token = index;
    out->length = written - net->header_size;
    if (written < net->header_size + ETHERNET_HEADER_SIZE || out->length > net->largest || header.buffers == 0) {
        post(net, index);
        return false;
    }
    if (header.buffers == 1)
        net->held[index] = true;
    else if ((frame = join(net, index, written, header.buffers, &out->length, &out->token)) == NULL)
        return false;
    out->frame = frame;
    out->checksum_valid = (header.flags & FLAG_CHECKSUM_VALID) != 0 && net->nic.info.receive_checksum;
    if ((header.flags & FLAG_NEEDS_CHECKSUM) == 0 || !net->nic.info.receive_checksum)
        return true;
    out->checksum_valid = complete_checksum(frame, out->length, &header);
    if (!out->checksum_valid)
        give_back(net, out->token);
    return out->checksum_valid;
}

static unsigned net_receive(void *driver, struct nic_receive frames[], unsigned capacity)
{
    struct virtio_net *net = driver;
    unsigned count = 0;
    uint64_t token;
    uint32_t written;

    do {
        while (count < capacity && virtqueue_next(net->receive, &token, &written)) {
            if (take_frame(net, (unsigned)token - 1, written, &frames[count])) {
                net->nic.counters.received_frames++;
                net->nic.counters.received_bytes += frames[count++].length;
            } else if (net->nic.counters.dropped_frames++ == 0) {
                log_warn(net->nic.name, "delivered a malformed frame (%u bytes), dropped; more are only counted",
                         written);
            }
        }
    } while (count < capacity && virtqueue_arm(net->receive));
    virtqueue_submit(net->receive); /* what was dropped is posted again */
    return count;
}

static void net_release(void *driver, const struct nic_receive frames[], unsigned count)
{
    struct virtio_net *net = driver;

    for (unsigned i = 0; i < count; i++)
        if (!give_back(net, frames[i].token))
            log_warn(net->nic.name, "a client released a frame that it does not hold");
    virtqueue_submit(net->receive);
}

/* ---- Transmitting -------------------------------------------------------------------------------------- */

static void slot_end(struct virtio_net *net, struct transmit_slot *slot)
{
    if (slot->lent && !net->virtio.stuck)
        dma_return(net->virtio.device, slot->loan);
    slot->lent = false;
    slot->done = true;
}

static void collect_transmitted(struct virtio_net *net)
{
    uint64_t token;
    uint32_t written;

    do {
        while (virtqueue_next(net->transmit, &token, &written))
            slot_end(net, &net->slots[token - 1]);
    } while (virtqueue_arm(net->transmit));
}

static unsigned net_reap(void *driver, uint64_t cookies[], unsigned capacity)
{
    struct virtio_net *net = driver;
    unsigned count = 0;

    collect_transmitted(net);
    for (unsigned i = 0; i < TRANSMIT_SLOTS && count < capacity; i++)
        if (net->slots[i].done) {
            cookies[count++] = net->slots[i].cookie;
            net->slots[i] = (struct transmit_slot){0};
        }
    return count;
}

static struct transmit_slot *free_slot(struct virtio_net *net)
{
    for (unsigned i = 0; i < TRANSMIT_SLOTS; i++)
        if (!net->slots[i].used)
            return &net->slots[i];
    return NULL;
}

static bool frame_is_sendable(const struct virtio_net *net, const struct nic_transmit *frame)
{
    uint64_t length = frame->frame.length;

    if (length < ETHERNET_HEADER_SIZE || length > net->largest)
        return false;
    return !frame->checksum_partial ||
           (net->nic.info.transmit_checksum && frame->checksum_start >= ETHERNET_HEADER_SIZE &&
            (uint64_t)frame->checksum_start + frame->checksum_offset + 2 <= length);
}

/* Queues one frame; STATUS_BUSY: no room now. */
static enum status send(struct virtio_net *net, struct transmit_slot *slot, const struct nic_transmit *frame)
{
    size_t index = (size_t)(slot - net->slots);
    struct header *header = (struct header *)net->headers.memory + index;
    struct virtqueue_part parts[1 + MAX_FRAME_PARTS];
    struct dma_segment segments[MAX_FRAME_PARTS];
    unsigned count = 0;
    enum status status =
        dma_lend(net->virtio.device, &frame->frame, DMA_TO_DEVICE, segments, MAX_FRAME_PARTS, &count, &slot->loan);

    if (status != STATUS_OK)
        return status;
    *header = (struct header){0};
    if (frame->checksum_partial) {
        header->flags = FLAG_NEEDS_CHECKSUM;
        header->checksum_start = frame->checksum_start;
        header->checksum_offset = frame->checksum_offset;
    }
    parts[0] = (struct virtqueue_part){net->headers.address + index * sizeof *header, net->header_size};
    for (unsigned i = 0; i < count; i++)
        parts[1 + i] = (struct virtqueue_part){segments[i].address, segments[i].length};
    status = virtqueue_add(net->transmit, parts, (uint16_t)(1 + count), 0, index + 1);
    if (status != STATUS_OK) {
        dma_return(net->virtio.device, slot->loan);
        return status;
    }
    slot->lent = true;
    net->nic.counters.transmitted_frames++;
    net->nic.counters.transmitted_bytes += frame->frame.length;
    return STATUS_OK;
}

/* A frame that cannot be sent is dropped and counted; its cookie comes back as usual. */
static unsigned net_transmit(void *driver, const struct nic_transmit frames[], unsigned count)
{
    struct virtio_net *net = driver;
    unsigned taken = 0;

    collect_transmitted(net);
    for (; taken < count; taken++) {
        struct transmit_slot *slot = free_slot(net);
        if (slot == NULL)
            break;
        enum status status = frame_is_sendable(net, &frames[taken]) ? send(net, slot, &frames[taken]) : STATUS_INVALID;
        if (status == STATUS_BUSY)
            break;
        slot->used = true;
        slot->cookie = frames[taken].cookie;
        if (status != STATUS_OK) {
            slot->done = true;
            if (net->nic.counters.refused_frames++ == 0)
                log_warn(net->nic.name, "cannot send a frame of %llu bytes (%s), dropped; more are only counted",
                         (unsigned long long)frames[taken].frame.length, status_text(status));
        }
    }
    virtqueue_submit(net->transmit);
    return taken;
}

static const struct nic_ops net_ops = {
    .transmit = net_transmit,
    .reap = net_reap,
    .receive = net_receive,
    .release = net_release,
};

/* ---- What the interface is ------------------------------------------------------------------------------- */

static void read_link(struct virtio_net *net)
{
    uint16_t link = STATUS_LINK_UP;

    if (virtio_has(&net->virtio, F_STATUS))
        virtio_config_read(&net->virtio, CONFIG_STATUS, &link, sizeof link);
    net->nic.info.link_up = (link & STATUS_LINK_UP) != 0;
}

/* A device without an address of its own, or with one that cannot be an interface's, gets a local one. */
static void read_address(struct virtio_net *net)
{
    static const uint8_t zero[ETHERNET_ADDRESS_SIZE];
    uint8_t *address = net->nic.info.address;

    if (virtio_has(&net->virtio, F_MAC) &&
        virtio_config_read(&net->virtio, CONFIG_MAC, address, ETHERNET_ADDRESS_SIZE) == STATUS_OK &&
        (address[0] & 1) == 0 && memcmp(address, zero, sizeof zero) != 0)
        return;
    uint64_t mixed = (clock_now() + 1) * UINT64_C(0x9e3779b97f4a7c15);
    address[0] = 0x02; /* locally administered */
    for (unsigned i = 1; i < ETHERNET_ADDRESS_SIZE; i++)
        address[i] = (uint8_t)(mixed >> (8 * i));
    log_warn(net->nic.name, "has no usable address of its own and gets a local one");
}

static void read_mtu(struct virtio_net *net)
{
    uint16_t mtu = MTU_DEFAULT;

    if (virtio_has(&net->virtio, F_MTU) && virtio_config_read(&net->virtio, CONFIG_MTU, &mtu, sizeof mtu) != STATUS_OK)
        mtu = MTU_DEFAULT;
    net->nic.info.mtu = mtu < MTU_LEAST ? MTU_DEFAULT : mtu > MTU_MOST ? MTU_MOST : mtu;
    if (net->nic.info.mtu != mtu)
        log_warn(net->nic.name, "claims an MTU of %u; uses %u", mtu, net->nic.info.mtu);
    net->largest = ETHERNET_HEADER_SIZE + VLAN_TAG + net->nic.info.mtu;
}

static void describe(const struct virtio_net *net)
{
    const struct nic_info *info = &net->nic.info;

    log_info(net->nic.name, "address %02x:%02x:%02x:%02x:%02x:%02x, mtu %u, link %s%s%s", info->address[0],
             info->address[1], info->address[2], info->address[3], info->address[4], info->address[5], info->mtu,
             info->link_up ? "up" : "down", info->transmit_checksum ? ", sends checksums" : "",
             info->receive_checksum ? ", checks checksums" : "");
}

/* ---- Life ------------------------------------------------------------------------------------------------- */

static void release(struct virtio_net *net)
{
    uint64_t token;

    while (net->receive != NULL && virtqueue_take_back(net->receive, &token))
        ;
    while (net->transmit != NULL && virtqueue_take_back(net->transmit, &token))
        slot_end(net, &net->slots[token - 1]);
    virtqueue_close(net->receive);
    virtqueue_close(net->transmit);
    for (unsigned i = 0; i < MAX_JOINED; i++)
        free(net->joined[i]);
    if (!net->virtio.stuck) {
        dma_free(net->virtio.device, &net->buffers);
        dma_free(net->virtio.device, &net->headers);
    }
    virtio_close(&net->virtio);
    free(net);
}

/* A frame fits one buffer, unless the device joins buffers. */
static enum status set_up_buffers(struct virtio_net *net, struct device *device)
{
    uint32_t whole = net->header_size + net->largest;
    enum status status = dma_allocate(device, sizeof(struct header) * TRANSMIT_SLOTS, 64, &net->headers);

    net->buffer_size = virtio_has(&net->virtio, F_MRG_RXBUF) || whole <= BUFFER_SIZE ? BUFFER_SIZE : whole;
    if (status == STATUS_OK)
        status = dma_allocate(device, (size_t)net->buffer_size * RECEIVE_BUFFERS, 64, &net->buffers);
    return status;
}

static enum status set_up(struct virtio_net *net, struct device *device)
{
    enum status status;

    net->header_size =
        net->virtio.legacy && !virtio_has(&net->virtio, F_MRG_RXBUF) ? HEADER_SHORT : sizeof(struct header);
    /* A legacy device may want it so, and says by ANY_LAYOUT that it does not mind [virtio 1.2 §5.1.6.6]. */
    net->header_apart = net->virtio.legacy && !virtio_has(&net->virtio, VIRTIO_F_ANY_LAYOUT);
    read_address(net);
    read_mtu(net);
    read_link(net);
    net->nic.info.transmit_checksum = virtio_has(&net->virtio, F_CSUM);
    net->nic.info.receive_checksum = virtio_has(&net->virtio, F_GUEST_CSUM);
    status = set_up_buffers(net, device);
    if (status == STATUS_OK)
        status = virtqueue_open(&net->receive, &net->virtio, RECEIVE_QUEUE, QUEUE_SIZE, 1);
    if (status == STATUS_OK)
        status = virtqueue_open(&net->transmit, &net->virtio, TRANSMIT_QUEUE, QUEUE_SIZE, 2);
    if (status != STATUS_OK)
        return status;
    if (virtqueue_max_parts(net->receive) < 2 || virtqueue_max_parts(net->transmit) < 2) {
        log_error(net->nic.name, "has queues of %u and %u entries; a frame needs 2", virtqueue_size(net->receive),
                  virtqueue_size(net->transmit));
        return STATUS_UNSUPPORTED;
    }
    status = virtio_go(&net->virtio);
    if (status != STATUS_OK)
        return status;
    net->nic.info.receive_depth = RECEIVE_BUFFERS;
    net->nic.info.transmit_depth = TRANSMIT_SLOTS;
    for (unsigned i = 0; i < RECEIVE_BUFFERS && post(net, i); i++)
        ;
    virtqueue_submit(net->receive);
    return device_publish_nic(device, &net->nic);
}

static enum status net_start(struct device *device, void **state)
{
    struct virtio_net *net = calloc(1, sizeof *net);
    enum status status;

    if (net == NULL)
        return STATUS_NO_MEMORY;
    net->nic = (struct nic_device){.ops = &net_ops, .driver = net, .name = device_name(device)};
    status = virtio_open(&net->virtio, device, features, sizeof features / sizeof features[0]);
    if (status != STATUS_OK) {
        free(net);
        return status;
    }
    status = set_up(net, device);
    if (status != STATUS_OK) {
        virtio_reset(&net->virtio);
        release(net);
        return status;
    }
    describe(net);
    *state = net;
    return STATUS_OK;
}

static void net_handle(void *state, uint32_t events)
{
    struct virtio_net *net = state;
    uint32_t cause = virtio_cause(&net->virtio, events);
    bool was_up = net->nic.info.link_up;
    uint64_t now = clock_now();

    if (cause & VIRTIO_CAUSE_CONFIG) {
        read_link(net);
        if (net->nic.info.link_up != was_up && now >= net->link_told_ns) {
            log_info(net->nic.name, "the link is %s", was_up ? "down" : "up");
            net->link_told_ns = now + NANOSECONDS_PER_SECOND; /* a link that flaps all the time is not news */
        }
    }
    if (!(cause & VIRTIO_CAUSE_BROKEN))
        collect_transmitted(net); /* frames that arrived wait for their reader */
}

static void net_stop(void *state)
{
    struct virtio_net *net = state;

    virtio_reset(&net->virtio);
    release(net);
}

static const struct driver_match net_matches[] = {
    {DEVICE_BUS_PCI, 0x1af4, 0x1000},
    {DEVICE_BUS_PCI, 0x1af4, 0x1041},
    {DEVICE_BUS_VIRTIO_MMIO, DEVICE_ANY_ID, 1},
};

const struct driver virtio_net_driver = {
    .name = "virtio-net",
    .matches = net_matches,
    .match_count = sizeof net_matches / sizeof net_matches[0],
    .start = net_start,
    .handle = net_handle,
    .stop = net_stop,
};
