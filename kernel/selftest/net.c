/*
 * net.c: every network interface: an ARP request and an ICMP echo to the gateway of QEMU's user network
 * (-netdev user: the guest is 10.0.2.15, the gateway 10.0.2.2) [RFC 826, RFC 792].
 */
#include <kernel/selftest.h>

#include <kernel/kernel.h>

#include <authority/device.h>
#include <lib/bytes.h>
#include <lib/log.h>
#include <lib/malloc.h>
#include <lib/string.h>
#include <platform/clock.h>
#include <vmos/nic.h>

enum {
    ETHERTYPE_ARP = 0x0806,
    ETHERTYPE_IPV4 = 0x0800,
    ARP_SIZE = 28,
    IP_HEADER = 20,
    ICMP_HEADER = 8,
    ECHO_DATA = 56,
    ECHO_SIZE = ETHERNET_HEADER_SIZE + IP_HEADER + ICMP_HEADER + ECHO_DATA,
    FRAME_MINIMUM = 60,
    BATCH = 8,
    TRIES = 3,
};

static const uint8_t own_ip[4] = {10, 0, 2, 15}, gateway_ip[4] = {10, 0, 2, 2};

struct conversation {
    const struct device *device;
    struct nic_device *nic; /* only while the device publishes it: it can leave in the middle of this */
    uint8_t *frame;         /* lent to the device while `sent` */
    uint8_t address[ETHERNET_ADDRESS_SIZE], gateway[ETHERNET_ADDRESS_SIZE];
    uint16_t identifier;
    unsigned echoes;
    bool lent, resolved;
};

static uint16_t internet_checksum(const uint8_t *bytes, size_t size)
{
    uint32_t sum = 0;

    for (size_t i = 0; i < size; i += 2)
        sum += load_be16(bytes + i);
    while (sum >> 16 != 0)
        sum = (sum & 0xffff) + (sum >> 16);
    return (uint16_t)~sum;
}

static size_t ethernet_header(const struct conversation *talk, const uint8_t *to, uint16_t type)
{
    memset(talk->frame, 0, ECHO_SIZE);
    memcpy(talk->frame, to, ETHERNET_ADDRESS_SIZE);
    memcpy(talk->frame + 6, talk->address, ETHERNET_ADDRESS_SIZE);
    store_be16(talk->frame + 12, type);
    return ETHERNET_HEADER_SIZE;
}

static size_t make_arp_request(const struct conversation *talk)
{
    static const uint8_t everyone[ETHERNET_ADDRESS_SIZE] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff};
    uint8_t *arp = talk->frame + ethernet_header(talk, everyone, ETHERTYPE_ARP);

    store_be16(arp, 1); /* Ethernet */
    store_be16(arp + 2, ETHERTYPE_IPV4);
    arp[4] = ETHERNET_ADDRESS_SIZE;
    arp[5] = 4;
    store_be16(arp + 6, 1); /* request */
    memcpy(arp + 8, talk->address, ETHERNET_ADDRESS_SIZE);
    memcpy(arp + 14, own_ip, 4);
    memcpy(arp + 24, gateway_ip, 4);
    return FRAME_MINIMUM;
}

static size_t make_echo_request(const struct conversation *talk, unsigned sequence)
{
    uint8_t *ip = talk->frame + ethernet_header(talk, talk->gateway, ETHERTYPE_IPV4), *icmp = ip + IP_HEADER;

    ip[0] = 0x45;
    store_be16(ip + 2, IP_HEADER + ICMP_HEADER + ECHO_DATA);
    ip[8] = 64;
    ip[9] = 1; /* ICMP */
    memcpy(ip + 12, own_ip, 4);
    memcpy(ip + 16, gateway_ip, 4);
    store_be16(ip + 10, internet_checksum(ip, IP_HEADER));
    icmp[0] = 8; /* echo request */
    store_be16(icmp + 4, talk->identifier);
    store_be16(icmp + 6, (uint16_t)sequence);
    for (unsigned i = 0; i < ECHO_DATA; i++)
        icmp[ICMP_HEADER + i] = (uint8_t)((unsigned)"vmos"[i % 4] + sequence);
    store_be16(icmp + 2, internet_checksum(icmp, ICMP_HEADER + ECHO_DATA));
    return ECHO_SIZE;
}

static void hear_arp(struct conversation *talk, const uint8_t *arp, size_t size)
{
    if (size < ARP_SIZE || load_be16(arp + 6) != 2 || memcmp(arp + 14, gateway_ip, 4) != 0)
        return;
    memcpy(talk->gateway, arp + 8, ETHERNET_ADDRESS_SIZE);
    talk->resolved = true;
}

static void hear_ip(struct conversation *talk, const uint8_t *ip, size_t size)
{
    if (size < IP_HEADER + ICMP_HEADER || ip[0] != 0x45 || ip[9] != 1 || memcmp(ip + 12, gateway_ip, 4) != 0)
        return;
    size_t length = load_be16(ip + 2);
    const uint8_t *icmp = ip + IP_HEADER;
    if (length != IP_HEADER + ICMP_HEADER + ECHO_DATA || length > size || icmp[0] != 0 ||
        load_be16(icmp + 4) != talk->identifier || load_be16(icmp + 6) != talk->echoes + 1u ||
        internet_checksum(icmp, ICMP_HEADER + ECHO_DATA) != 0)
        return;
    for (unsigned i = 0; i < ECHO_DATA; i++)
        if (icmp[ICMP_HEADER + i] != (uint8_t)((unsigned)"vmos"[i % 4] + talk->echoes + 1))
            return;
    talk->echoes++;
}

static void hear(struct conversation *talk)
{
    struct nic_receive frames[BATCH];
    uint64_t cookie;
    unsigned count;

    if (talk->device->nic != talk->nic)
        return;
    while ((count = talk->nic->ops->receive(talk->nic->driver, frames, BATCH)) != 0) {
        for (unsigned i = 0; i < count; i++) {
            const uint8_t *frame = frames[i].frame;
            if (frames[i].length < ETHERNET_HEADER_SIZE)
                continue;
            size_t size = frames[i].length - ETHERNET_HEADER_SIZE;
            if (load_be16(frame + 12) == ETHERTYPE_ARP)
                hear_arp(talk, frame + ETHERNET_HEADER_SIZE, size);
            else if (load_be16(frame + 12) == ETHERTYPE_IPV4)
                hear_ip(talk, frame + ETHERNET_HEADER_SIZE, size);
        }
        talk->nic->ops->release(talk->nic->driver, frames, count);
    }
    while (talk->nic->ops->reap(talk->nic->driver, &cookie, 1) == 1)
        talk->lent = false;
}

struct goal {
    struct conversation *talk;
    unsigned echoes;
};

static bool reached(void *context)
{
    struct goal *goal = context;

    hear(goal->talk);
    return !goal->talk->lent && goal->talk->resolved && goal->talk->echoes >= goal->echoes;
}

/* Sends the frame and waits for its answer and for the frame to come back. */
static bool exchange(struct conversation *talk, size_t size, unsigned echoes)
{
    struct nic_transmit frame = {.frame = {.offset = (uintptr_t)talk->frame, .length = size}, .cookie = 1};
    struct goal goal = {talk, echoes};

    if (talk->lent || talk->device->nic != talk->nic || talk->nic->ops->transmit(talk->nic->driver, &frame, 1) != 1)
        return false;
    talk->lent = true;
    return kernel_wait(reached, &goal, clock_now() + (echoes == 0 ? 2 : 10) * NANOSECONDS_PER_SECOND);
}

static const char *converse(struct conversation *talk)
{
    for (unsigned i = 0; !talk->resolved && i < TRIES; i++)
        if (!exchange(talk, make_arp_request(talk), 0) && talk->lent)
            return "the device never gave the frame back";
    if (!talk->resolved)
        return "no answer to ARP from 10.0.2.2, the gateway of QEMU's -netdev user";
    for (unsigned i = 1; i <= TRIES; i++)
        if (!exchange(talk, make_echo_request(talk, i), i))
            return "no answer to ICMP echo from 10.0.2.2, the gateway of QEMU's -netdev user";
    return NULL;
}

void selftest_net(struct selftest_result *result)
{
    unsigned interfaces = 0;
    uint64_t start = clock_now();

    for (struct device *device = device_first(); device != NULL; device = device->next) {
        if (device->nic == NULL)
            continue;
        struct conversation talk = {
            .device = device, .nic = device->nic, .identifier = (uint16_t)(0x7600 + interfaces++)};
        if (!device->nic->info.link_up) {
            selftest_is(result, SELFTEST_FAIL, "%s: the link is down; in QEMU's monitor set_link brings it up",
                        device->name);
            return;
        }
        memcpy(talk.address, device->nic->info.address, ETHERNET_ADDRESS_SIZE);
        talk.frame = malloc(ECHO_SIZE);
        const char *wrong = talk.frame == NULL ? "not enough memory for a frame" : converse(&talk);
        if (!talk.lent)
            free(talk.frame); /* else the device may still read it */
        if (wrong != NULL) {
            selftest_is(result, SELFTEST_FAIL, "%s: %s", device->name, wrong);
            return;
        }
        log_info(device->name, "gateway 10.0.2.2 is at %02x:%02x:%02x:%02x:%02x:%02x and answered %u echoes",
                 talk.gateway[0], talk.gateway[1], talk.gateway[2], talk.gateway[3], talk.gateway[4], talk.gateway[5],
                 talk.echoes);
    }
    if (interfaces == 0)
        selftest_is(result, SELFTEST_SKIP, "no network interface");
    else
        selftest_is(result, SELFTEST_PASS,
                    "%u interfaces: ARP and %u ICMP echoes each answered by the gateway, %llu us", interfaces, TRIES,
                    (unsigned long long)((clock_now() - start) / NANOSECONDS_PER_MICROSECOND));
}
