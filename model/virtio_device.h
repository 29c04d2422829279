/*
 * virtio_device.h: a model of a virtio device for the host's home, whatever its class [virtio 1.2].
 *
 * The core has the registers of every transport, the device's side of the split ring with EVENT_IDX and
 * INDIRECT_DESC, delays and reordering by seed, and a table of misbehaviours. A class model (net, blk, rng)
 * is a config space, and one function that carries a request out.
 *
 * What the *driver* does against the specification (a chain too long, a register in the wrong state, a ring
 * index that jumps) is counted in complaints and named.
 */
#ifndef MODEL_VIRTIO_DEVICE_H
#define MODEL_VIRTIO_DEVICE_H

#include <model/home/home.h>

enum virtio_model_transport {
    VIRTIO_MODEL_MMIO_LEGACY,
    VIRTIO_MODEL_MMIO_MODERN,
    VIRTIO_MODEL_PCI_LEGACY,
    VIRTIO_MODEL_PCI_MODERN,
    VIRTIO_MODEL_PCI_TRANSITIONAL,
    VIRTIO_MODEL_TRANSPORTS
};

enum { VIRTIO_MODEL_MAX_QUEUES = 8, VIRTIO_MODEL_CONFIG_SIZE = 256 };

struct virtio_model;

/* One request that the driver made available. */
struct virtio_model_request {
    uint16_t queue, head;
    uint16_t serial;             /* of the available ring entry that it came from */
    uint32_t readable, writable; /* bytes */
    unsigned part_count, out_count;
    struct virtio_model_part {
        device_address address;
        uint32_t length;
    } * parts; /* the core's, until the request is completed */
};

/* Copy out of the readable, into the writable bytes, as if each were one run; returns how many (short at the end). */
size_t virtio_model_read(struct virtio_model *model, const struct virtio_model_request *request, uint32_t offset,
                         void *to, size_t size);
size_t virtio_model_write(struct virtio_model *model, const struct virtio_model_request *request, uint32_t offset,
                          const void *from, size_t size);

/* handle's answer when the request cannot be carried out yet (no frame has arrived): it stays in the ring and
 * is offered again after virtio_model_kick. */
#define VIRTIO_MODEL_HOLD UINT32_MAX

struct virtio_model_class {
    uint16_t id;         /* virtio device ID [virtio 1.2 §5] */
    uint32_t class_code; /* PCI */
    uint64_t features;   /* the class's own bits */
    uint16_t queue_count;
    uint16_t queue_sizes[VIRTIO_MODEL_MAX_QUEUES]; /* what the device offers at most */
    uint32_t config_size;
    /* Carries the request out; returns the bytes written to it, or VIRTIO_MODEL_HOLD. */
    uint32_t (*handle)(struct virtio_model *model, void *context, const struct virtio_model_request *request);
    /* The device was reset, or became live with these features (both may be NULL). */
    void (*reset)(void *context);
    void (*live)(void *context, uint64_t features);
};

/*
 * What the device does wrong. Each row's name begins with the case of the list of hostile inputs that
 * test_virtio_hostile.c carries out. A class model asks virtio_model_evil() for its own.
 */
enum virtio_model_evil {
    VIRTIO_EVIL_NONE,
    /* registers and capabilities */
    D01_CAPABILITY_SHORT,
    D01_CAPABILITY_CUT,
    D01_CAPABILITY_BAR,
    D01_CAPABILITY_BEYOND_BAR,
    D01_CAPABILITY_WRAPS,
    D01_CAPABILITY_UNALIGNED,
    D01_CAPABILITY_EMPTY,
    D01_CAPABILITY_HUGE,
    D01_CAPABILITY_UNKNOWN_TYPES,
    D01_CAPABILITY_NO_NOTIFY,
    D01_WINDOW_SMALL,
    D02_FIRST_COMMON_WINS,
    D02_FIRST_COMMON_BAD,
    D02_SHARED_MEMORY_BETWEEN,
    D03_MULTIPLIER_0,
    D03_MULTIPLIER_1,
    D03_MULTIPLIER_2,
    D03_MULTIPLIER_6,
    D03_MULTIPLIER_HUGE,
    D03_NOTIFY_OFFSET_BEYOND,
    D04_RESET_STUCK,
    D05_FEATURES_REFUSED,
    D05_GONE_AT_FEATURES,
    D06_NO_VERSION_1,
    D06_UNKNOWN_FEATURES,
    D08_ACCESS_PLATFORM,
    D09_QUEUES_0,
    D09_QUEUES_1,
    D09_QUEUES_65535,
    D10_QUEUE_SIZE_0,
    D10_QUEUE_SIZE_3,
    D10_QUEUE_SIZE_1000,
    D10_QUEUE_SIZE_32768,
    D10_QUEUE_SIZE_65535,
    D10_QUEUE_SIZE_STUCK,
    D10_QUEUE_ENABLED,
    D11_NO_VECTOR,
    D12_GENERATION_STORM,
    D13_EARLY_INTERRUPT,
    D13_INTERRUPT_STORM,
    D14_BAD_MAGIC,
    D14_VERSION_0,
    D14_VERSION_3,
    D14_NO_DEVICE,
    D15_NEEDS_RESET,
    D15_GONE,
    /* rings */
    E01_ID_BEYOND_QUEUE,
    E01_ID_HUGE,
    E02_ID_NOT_IN_FLIGHT,
    E02_ID_NOT_A_HEAD,
    E02_COMPLETED_TWICE,
    E02_ID_NOT_SUBMITTED,
    E03_INDEX_JUMPS,
    E03_INDEX_BACK,
    E03_INDEX_ONE_MORE,
    E04_LENGTH_BEYOND,
    E05_LENGTH_0,
    E06_REWRITES_DESCRIPTORS,
    E07_DESCRIPTOR_LOOP,
    E08_AVAIL_EVENT_GARBAGE,
    E08_FLAGS_RANDOM,
    E10_ONE_NEVER,
    E10_ONE_LATE,
    E11_INTERRUPT_FOR_NOTHING,
    E11_NO_INTERRUPT,
    E14_REWRITES_INDIRECT,
    E29_WRITES_AFTER_COMPLETION,
    E29_WRITES_ANYWHERE,
    VIRTIO_EVIL_CLASS_FIRST, /* the class models number their own from here */
    VIRTIO_EVIL_COUNT = VIRTIO_EVIL_CLASS_FIRST + 64
};

struct virtio_model_options {
    enum virtio_model_transport transport;
    const char *name;      /* of the device; NULL: "virtio0" */
    unsigned vectors;      /* MSI-X vectors; 0: an interrupt line */
    bool polled;           /* nothing delivers interrupts at all */
    uint64_t features_off; /* bits (also of the ring) that this device does not offer */
    uint32_t delay_ns;     /* completions come after up to this long, by the home's seed */
    bool reorder;          /* and in any order */
    bool one_at_a_time;    /* one completion, one interrupt, then the next */
    uint16_t queue_size;   /* instead of the class's; 0: as the class says */
};

/* The class must outlive the model. `context` is the class model's own. */
struct virtio_model *virtio_model_create(const struct virtio_model_class *class, void *context,
                                         const struct virtio_model_options *options, enum virtio_model_evil evil);
void virtio_model_destroy(struct virtio_model *model);

struct device *virtio_model_device(struct virtio_model *model);
void *virtio_model_context(struct virtio_model *model);

/* The class's config space, VIRTIO_MODEL_CONFIG_SIZE bytes, to be edited in place; then tell the driver. */
uint8_t *virtio_model_config(struct virtio_model *model);
void virtio_model_config_changed(struct virtio_model *model);

/* There is something to do for this queue again (a frame arrived). */
void virtio_model_kick(struct virtio_model *model, uint16_t queue);

/* For classes that need several buffers at once (merged receive buffers): take requests out of the ring, then
 * complete them all, visible to the driver at once. `written` in the order of `requests`. */
bool virtio_model_take(struct virtio_model *model, uint16_t queue, struct virtio_model_request *request);
void virtio_model_complete(struct virtio_model *model, struct virtio_model_request requests[], const uint32_t written[],
                           unsigned count);
/* Puts requests that were taken last back, newest first. */
void virtio_model_untake(struct virtio_model *model, struct virtio_model_request *request);

/* The misbehaviour asked for, from the moment it is asked for. */
enum virtio_model_evil virtio_model_evil(const struct virtio_model *model);
void virtio_model_misbehave(struct virtio_model *model, enum virtio_model_evil evil);

uint64_t virtio_model_features(const struct virtio_model *model); /* as negotiated */
uint8_t virtio_model_status(const struct virtio_model *model);
uint64_t virtio_model_completed(const struct virtio_model *model);  /* requests */
uint64_t virtio_model_interrupts(const struct virtio_model *model); /* sent, after suppression */
uint64_t virtio_model_notifications(const struct virtio_model *model);

/* What the driver did against the specification. */
unsigned virtio_model_complaints(const struct virtio_model *model);
const char *virtio_model_complaint(const struct virtio_model *model); /* the first, or "" */

#endif
