/*
 * fuzz_virtio_net.c: the virtio-net driver and an interface whose every answer comes from the fuzzer. Frames that are
 * handed out are readable to their last byte and no longer than the MTU allows, each cookie comes back once at most
 * and only if it was given, nothing is kept.
 */
#include <stdlib.h>
#include <string.h>
#include <vmos/nic.h>
#include "fuzz_device.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

extern const struct driver virtio_net_driver;

enum { MAX_COOKIES = 256, MAX_HELD = 40, MAX_FRAME = 9300 };

static bool out[MAX_COOKIES];
static struct nic_receive held[MAX_HELD];
static unsigned held_count, sum;
static uint8_t bytes[MAX_FRAME];

static uint32_t serve(struct virtio_model *model, void *context, const struct virtio_model_request *request)
{
    uint8_t answer = fuzz8();

    (void)model, (void)context;
    if (request->queue == 0 || answer == 0xee)
        return VIRTIO_MODEL_HOLD;
    return answer;
}

/* Something arrives: up to four buffers at once, with any header and any claim of how much it is. */
static void arrive(struct virtio_model *model)
{
    struct virtio_model_request requests[4];
    uint32_t written[4];
    unsigned count = 0, wanted = 1 + fuzz8() % 4;
    uint8_t header[12];

    while (count < wanted && virtio_model_take(model, 0, &requests[count])) {
        for (unsigned i = 0; i < sizeof header; i++)
            header[i] = fuzz8();
        virtio_model_write(model, &requests[count], 0, header, sizeof header);
        written[count] = fuzz16();
        if (written[count] == UINT16_MAX)
            written[count] = fuzz32();
        count++;
    }
    virtio_model_complete(model, requests, written, count);
}

static void receive(struct nic_device *nic)
{
    unsigned capacity = fuzz8() % 8;

    if (capacity > MAX_HELD - held_count)
        capacity = MAX_HELD - held_count;
    unsigned count = nic->ops->receive(nic->driver, held + held_count, capacity);
    fuzz_demand(count <= capacity, "more frames than there is room for");
    for (unsigned i = held_count; i < held_count + count; i++) {
        const uint8_t *frame = held[i].frame;
        fuzz_demand(held[i].length >= ETHERNET_HEADER_SIZE, "a frame that is too short");
        fuzz_demand(held[i].length <= nic->info.mtu + ETHERNET_HEADER_SIZE + 4u, "a frame that is too long");
        for (uint32_t k = 0; k < held[i].length; k++)
            sum += frame[k];
        for (unsigned k = 0; k < i; k++)
            fuzz_demand(held[k].token != held[i].token, "two frames with one token");
    }
    held_count += count;
}

static void release(struct nic_device *nic)
{
    uint8_t which = fuzz8();

    if (held_count != 0) {
        nic->ops->release(nic->driver, &held[which % held_count], 1);
        held[which % held_count] = held[held_count - 1];
        held_count--;
    }
    if (which == 0x99) {
        struct nic_receive foreign = {.token = fuzz32()};
        for (unsigned i = 0; i < held_count; i++)
            if (held[i].token == foreign.token)
                return;
        nic->ops->release(nic->driver, &foreign, 1);
    }
}

static void transmit(struct nic_device *nic)
{
    struct nic_transmit frames[8];
    unsigned count = 0, wanted = 1 + fuzz8() % 8, cookie = 0;

    for (; count < wanted; count++) {
        while (cookie < MAX_COOKIES && out[cookie])
            cookie++;
        if (cookie == MAX_COOKIES)
            break;
        uint8_t kind = fuzz8();
        frames[count] = (struct nic_transmit){.frame = {.offset = (uintptr_t)bytes, .length = fuzz16() % MAX_FRAME},
                                              .cookie = cookie++};
        if (kind & 1)
            frames[count].frame.length = 14 + kind / 2;
        if (kind & 2) {
            frames[count].checksum_partial = true;
            frames[count].checksum_start = fuzz16();
            frames[count].checksum_offset = fuzz16();
        }
    }
    unsigned taken = nic->ops->transmit(nic->driver, frames, count);
    fuzz_demand(taken <= count, "more frames taken than given");
    for (unsigned i = 0; i < taken; i++)
        out[frames[i].cookie] = true;
}

static void reap(struct nic_device *nic)
{
    uint64_t cookies[8];
    unsigned capacity = fuzz8() % 9, count = nic->ops->reap(nic->driver, cookies, capacity);

    fuzz_demand(count <= capacity, "more cookies than there is room for");
    for (unsigned i = 0; i < count; i++) {
        fuzz_demand(cookies[i] < MAX_COOKIES && out[cookies[i]], "a cookie that is not out");
        out[cookies[i]] = false;
    }
}

static void operate(struct virtio_model *model, struct nic_device *nic)
{
    for (uint8_t operation; fuzz_left() && (operation = fuzz8()) != 0xff;) {
        fuzz_demand(nic->info.mtu >= 68 && (nic->info.address[0] & 1) == 0, "an interface that cannot be");
        switch (operation % 6) {
        case 0:
            arrive(model);
            break;
        case 1:
            receive(nic);
            break;
        case 2:
            release(nic);
            break;
        case 3:
            transmit(nic);
            break;
        case 4:
            reap(nic);
            break;
        case 5:
            fuzz_device_act(model);
            break;
        }
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct virtio_model_class class = {
        .id = 1, .queue_count = 3, .queue_sizes = {64, 64, 64}, .config_size = 24, .handle = serve};
    bool free_again = true;

    fuzz_input(data, size);
    struct virtio_model *model = fuzz_device_create(&class);
    for (unsigned starts = 0; starts < 4 && free_again && fuzz_left(); starts++) {
        if (!fuzz_device_start(model, &virtio_net_driver))
            continue;
        operate(model, home_nic(virtio_model_device(model)));
        virtio_model_misbehave(model, VIRTIO_EVIL_NONE);
        free_again = fuzz_device_stop(model);
        memset(out, 0, sizeof out); /* the client knows that all frames are back */
        held_count = 0;
    }
    fuzz_device_destroy(model);
    return 0;
}
