/*
 * virtio_reg.h: registers of the virtio transports and the memory layout of the split ring [virtio 1.2].
 */
#ifndef DRIVER_VIRTIO_REG_H
#define DRIVER_VIRTIO_REG_H

#include <vmos/abi.h>

/* Device status [§2.1] */
enum {
    VIRTIO_STATUS_ACKNOWLEDGE = 1,
    VIRTIO_STATUS_DRIVER = 2,
    VIRTIO_STATUS_DRIVER_OK = 4,
    VIRTIO_STATUS_FEATURES_OK = 8,
    VIRTIO_STATUS_NEEDS_RESET = 64,
    VIRTIO_STATUS_FAILED = 128,
    VIRTIO_STATUS_GONE = 0xff, /* what a register that is no longer there reads as */
};

/* Interrupt cause: PCI's ISR, reading clears it [§4.1.4.5]; MMIO's InterruptStatus [§4.2.2] */
enum { VIRTIO_ISR_QUEUE = 1, VIRTIO_ISR_CONFIG = 2 };

/* ---- PCI -------------------------------------------------------------------------------------- */

enum {
    PCI_CAPABILITY_VENDOR = 0x09,
    PCI_CAPABILITY_MSIX = 0x11,
    VIRTIO_PCI_LAST_TRANSITIONAL = 0x103f, /* device IDs up to here may have the legacy interface [§4.1.2.1] */
};

/* Vendor capability, offsets from its identifier byte [§4.1.4] */
enum {
    VIRTIO_CAP_LENGTH = 2,      /* 8: cap_len */
    VIRTIO_CAP_TYPE = 3,        /* 8: cfg_type */
    VIRTIO_CAP_BAR = 4,         /* 8 */
    VIRTIO_CAP_OFFSET = 8,      /* 32, bytes into the BAR */
    VIRTIO_CAP_SIZE = 12,       /* 32, bytes */
    VIRTIO_CAP_MULTIPLIER = 16, /* 32, of the notify capability only [§4.1.4.4] */
    VIRTIO_CAP_MIN = 16,        /* bytes that each has */
    VIRTIO_CAP_NOTIFY_MIN = 20,
};

enum {
    VIRTIO_CAP_TYPE_COMMON = 1,
    VIRTIO_CAP_TYPE_NOTIFY = 2,
    VIRTIO_CAP_TYPE_ISR = 3,
    VIRTIO_CAP_TYPE_DEVICE = 4,
};

/* Common configuration [§4.1.4.3] */
enum {
    VIRTIO_COMMON_OFFERED_SELECT = 0x00,  /* 32 */
    VIRTIO_COMMON_OFFERED = 0x04,         /* 32 */
    VIRTIO_COMMON_ACCEPTED_SELECT = 0x08, /* 32 */
    VIRTIO_COMMON_ACCEPTED = 0x0c,        /* 32 */
    VIRTIO_COMMON_CONFIG_VECTOR = 0x10,   /* 16 */
    VIRTIO_COMMON_QUEUE_COUNT = 0x12,     /* 16 */
    VIRTIO_COMMON_STATUS = 0x14,          /* 8 */
    VIRTIO_COMMON_GENERATION = 0x15,      /* 8 */
    VIRTIO_COMMON_QUEUE_SELECT = 0x16,    /* 16 */
    VIRTIO_COMMON_QUEUE_SIZE = 0x18,      /* 16 */
    VIRTIO_COMMON_QUEUE_VECTOR = 0x1a,    /* 16 */
    VIRTIO_COMMON_QUEUE_ENABLE = 0x1c,    /* 16 */
    VIRTIO_COMMON_QUEUE_NOTIFY = 0x1e,    /* 16: queue_notify_off */
    VIRTIO_COMMON_QUEUE_DESC = 0x20,      /* 64, as all addresses: two writes of 32 */
    VIRTIO_COMMON_QUEUE_DRIVER = 0x28,    /* 64: the available ring */
    VIRTIO_COMMON_QUEUE_DEVICE = 0x30,    /* 64: the used ring */
    VIRTIO_COMMON_SIZE = 0x38,            /* bytes up to here */
};

enum { VIRTIO_NO_VECTOR = 0xffff };

/* Legacy registers in I/O BAR 0 [§4.1.4.8] */
enum {
    VIRTIO_LEGACY_OFFERED = 0x00,       /* 32 */
    VIRTIO_LEGACY_ACCEPTED = 0x04,      /* 32 */
    VIRTIO_LEGACY_QUEUE_PAGE = 0x08,    /* 32: address / 4096 */
    VIRTIO_LEGACY_QUEUE_SIZE = 0x0c,    /* 16, read only */
    VIRTIO_LEGACY_QUEUE_SELECT = 0x0e,  /* 16 */
    VIRTIO_LEGACY_QUEUE_NOTIFY = 0x10,  /* 16 */
    VIRTIO_LEGACY_STATUS = 0x12,        /* 8 */
    VIRTIO_LEGACY_ISR = 0x13,           /* 8 */
    VIRTIO_LEGACY_CONFIG = 0x14,        /* device configuration, when MSI-X is off */
    VIRTIO_LEGACY_CONFIG_VECTOR = 0x14, /* 16, when MSI-X is on */
    VIRTIO_LEGACY_QUEUE_VECTOR = 0x16,  /* 16, when MSI-X is on */
    VIRTIO_LEGACY_CONFIG_MSIX = 0x18,   /* device configuration, when MSI-X is on */
};

enum { VIRTIO_LEGACY_PAGE = 4096 }; /* legacy queues begin at, and the used ring is aligned to, this [§2.7.2] */

/* ---- MMIO [§4.2.2], legacy [§4.2.4]; all 32 bits wide ------------------------------------------- */

enum {
    VIRTIO_MMIO_MAGIC = 0x000,
    VIRTIO_MMIO_VERSION = 0x004,
    VIRTIO_MMIO_DEVICE = 0x008,
    VIRTIO_MMIO_VENDOR = 0x00c,
    VIRTIO_MMIO_OFFERED = 0x010,
    VIRTIO_MMIO_OFFERED_SELECT = 0x014,
    VIRTIO_MMIO_ACCEPTED = 0x020,
    VIRTIO_MMIO_ACCEPTED_SELECT = 0x024,
    VIRTIO_MMIO_GUEST_PAGE_SIZE = 0x028, /* legacy */
    VIRTIO_MMIO_QUEUE_SELECT = 0x030,
    VIRTIO_MMIO_QUEUE_MAX = 0x034,
    VIRTIO_MMIO_QUEUE_SIZE = 0x038,
    VIRTIO_MMIO_QUEUE_ALIGN = 0x03c, /* legacy */
    VIRTIO_MMIO_QUEUE_PAGE = 0x040,  /* legacy */
    VIRTIO_MMIO_QUEUE_READY = 0x044,
    VIRTIO_MMIO_QUEUE_NOTIFY = 0x050,
    VIRTIO_MMIO_CAUSE = 0x060,
    VIRTIO_MMIO_CAUSE_CLEAR = 0x064,
    VIRTIO_MMIO_STATUS = 0x070,
    VIRTIO_MMIO_QUEUE_DESC = 0x080,
    VIRTIO_MMIO_QUEUE_DRIVER = 0x090,
    VIRTIO_MMIO_QUEUE_DEVICE = 0x0a0,
    VIRTIO_MMIO_GENERATION = 0x0fc,
    VIRTIO_MMIO_CONFIG = 0x100,
};

#define VIRTIO_MMIO_MAGIC_VALUE UINT32_C(0x74726976) /* "virt" */

/* ---- Split ring [§2.7] ------------------------------------------------------------------------------ */

enum {
    VIRTQ_DESCRIPTOR_NEXT = 1,
    VIRTQ_DESCRIPTOR_WRITE = 2, /* the device writes */
    VIRTQ_DESCRIPTOR_INDIRECT = 4,
    VIRTQ_AVAILABLE_NO_INTERRUPT = 1,
    VIRTQ_USED_NO_NOTIFY = 1,
};

struct virtq_descriptor {
    uint64_t address;
    uint32_t length;
    uint16_t flags;
    uint16_t next;
};

struct virtq_available {
    uint16_t flags;
    uint16_t index;
    uint16_t ring[]; /* then used_event, with EVENT_IDX */
};

struct virtq_used_element {
    uint32_t id; /* of the chain's head */
    uint32_t length;
};

struct virtq_used {
    uint16_t flags;
    uint16_t index;
    struct virtq_used_element ring[]; /* then avail_event, 16 bits, with EVENT_IDX */
};

_Static_assert(sizeof(struct virtq_descriptor) == 16, "virtio 1.2 §2.7.5");
_Static_assert(sizeof(struct virtq_available) == 4, "virtio 1.2 §2.7.6");
_Static_assert(sizeof(struct virtq_used_element) == 8, "virtio 1.2 §2.7.8");
_Static_assert(sizeof(struct virtq_used) == 4, "virtio 1.2 §2.7.8");

/* Whoever moved its index from `old` to `new` tells the other side if that passed `event` [§2.7.7.1]; all wrap. */
static inline bool virtq_passed(uint16_t event, uint16_t new, uint16_t old)
{
    return (uint16_t)(new - event - 1) < (uint16_t)(new - old);
}

#endif
