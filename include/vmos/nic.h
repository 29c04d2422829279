/*
 * nic.h: a network interface, whatever is behind it.
 *
 * Frames are Ethernet without preamble and FCS. Batch first in both directions.
 */
#ifndef VMOS_NIC_H
#define VMOS_NIC_H

#include <vmos/abi.h>

#define ETHERNET_ADDRESS_SIZE 6u
#define ETHERNET_HEADER_SIZE  14u

/* A frame to send; the bytes stay the client's and are lent until its cookie comes back from reap. */
struct nic_transmit {
    struct memory_ref frame;
    uint64_t cookie;
    /* With `checksum_partial` (only if nic_info.transmit_checksum) the device computes the 16-bit
     * Internet checksum from checksum_start to the end and stores it at checksum_start + checksum_offset. */
    bool checksum_partial;
    uint16_t checksum_start;
    uint16_t checksum_offset;
};

/* A received frame. The bytes are the driver's, readable until release. */
struct nic_receive {
    const void *frame;
    uint32_t length;     /* bytes */
    uint32_t token;      /* for release */
    bool checksum_valid; /* the device vouches for the transport checksum; only a hint */
};

struct nic_counters {
    uint64_t transmitted_frames, transmitted_bytes;
    uint64_t received_frames, received_bytes;
    uint64_t dropped_frames; /* received, but malformed or without room */
    uint64_t refused_frames; /* to be sent, but too long, too short, or not to be lent */
};

struct nic_info {
    uint8_t address[ETHERNET_ADDRESS_SIZE];
    uint16_t mtu; /* bytes of payload, 68 to 65535 */
    bool link_up; /* as last heard; changes at any time */
    bool transmit_checksum;
    bool receive_checksum;
    uint32_t transmit_depth, receive_depth; /* frames */
};

struct nic_ops {
    /* Queues frames[0..count) in order and rings at most once. Returns how many were taken. */
    unsigned (*transmit)(void *driver, const struct nic_transmit frames[], unsigned count);
    /* Cookies of frames that the device is done with; at most `capacity`. */
    unsigned (*reap)(void *driver, uint64_t cookies[], unsigned capacity);
    /* Frames that have arrived, in order; at most `capacity`. */
    unsigned (*receive)(void *driver, struct nic_receive frames[], unsigned capacity);
    /* Gives their buffers back, in any order, with one doorbell. */
    void (*release)(void *driver, const struct nic_receive frames[], unsigned count);
};

struct nic_device {
    const struct nic_ops *ops;
    void *driver;
    const char *name;
    struct nic_info info;
    struct nic_counters counters;
};

#endif
