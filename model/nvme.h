/*
 * nvme.h: a model of an NVMe controller for the host's home: arrays of blocks that the test sees [NVMe base 2.0,
 * nvm 1.0].
 *
 * What the *driver* does against the specification, or against what the controller told it, is a complaint. What the
 * controller does wrong is one row of enum nvme_evil; the names begin with the case of the list of hostile inputs that
 * test_nvme_hostile.c carries out.
 */
#ifndef MODEL_NVME_H
#define MODEL_NVME_H

#include <model/home/home.h>

enum { NVME_MODEL_NAMESPACES = 8, NVME_MODEL_QUEUES = 9, NVME_MODEL_DISCARDED = 0xdd };

enum nvme_evil {
    NVME_EVIL_NONE,
    /* registers, from the beginning */
    F01_CAPABILITIES_ONES,
    F01_CAPABILITIES_ZERO,
    F01_VERSION_ONES,
    F02_QUEUES_OF_ONE,
    F04_LARGE_PAGES,
    F05_NEVER_READY,
    F05_ALWAYS_READY,
    F06_FATAL_AT_START, /* until reset */
    F20_BUFFERS_BEYOND, /* CMB and PMR that lie outside of all registers */
    /* identify */
    F12_NAMESPACES_0,
    F12_NAMESPACES_MOST,
    F12_TRANSFER_255,
    F12_ENTRY_SIZES,
    F12_STRINGS,
    F12_GARBAGE, /* every byte of every page at random, but sizes of entries */
    F15_LIST_DESCENDS,
    F15_LIST_REPEATS,
    F15_LIST_FULL,
    F15_LIST_ONES,
    /* making queues */
    F16_GRANTS_MORE,
    F16_REFUSES,
    F17_COMPLETION_QUEUE_FAILS, /* the first */
    F17_SECOND_QUEUE_FAILS,
    F17_SUBMISSION_QUEUE_FAILS,
    F17_VECTOR_INVALID,
    F18_ADMIN_SILENT, /* from the options' `after`-th admin command on */
    /* while it works: from the options' `after`-th I/O command on, `times` times */
    NVME_DROPS, /* never answers the command, but aborts it */
    NVME_DROPS_AND_NO_ABORT,
    NVME_ABORT_SILENT, /* does not even answer the abort */
    NVME_DELAYS,       /* answers after the deadline */
    NVME_NO_INTERRUPT, /* answers, and does not say so */
    NVME_NOT_NOW,      /* "namespace not ready", may be tried again */
    F06_FATAL,
    F06_GONE,
    F07_IDENTIFIER_UNKNOWN, /* an answer that nobody waits for comes first */
    F07_IDENTIFIER_WRONG,   /* instead of the right one */
    F07_TWICE,
    F07_AFTER_RESET, /* drops, and answers into the queues made after the reset */
    F08_PHASE_FLIPPED,
    F08_ALL_VALID,
    F09_HEAD_BEYOND,
    F09_OTHER_QUEUE,
    F10_OVERFLOW,
    F11_STATUS_RESERVED,
    F11_STATUS_MEDIA,
    F11_STATUS_MORE,
    F19_EVENT_STORM,
    F19_EVENT_UNKNOWN,
    F19_NAMESPACE_REMOVED,
    F21_FATAL_AGAIN, /* after each reset, at the first I/O command */
    F21_NEVER_READY_AGAIN,
    F22_WISHES_GARBAGE,
    F22_WISHES_NEVER, /* never wants to be woken, and sleeps */
    NVME_LINE_HELD,   /* whatever was acknowledged */
    NVME_SHUTDOWN_SILENT,
    NVME_SHRINKS, /* fatal once; then one queue of fewer entries */
    NVME_EVIL_COUNT
};

struct nvme_model_namespace {
    uint32_t id; /* 0: none */
    uint64_t blocks;
    uint64_t claimed_blocks;      /* what it says it has; 0: blocks */
    uint8_t exponent;             /* of the block's size; what does not fit a shift is only said */
    uint8_t format_count, format; /* as identify tells them, format_count minus 1 */
    uint16_t metadata;
    uint8_t protection, attributes;
};

struct nvme_model_options {
    uint16_t entries;                  /* MQES, minus 1 */
    uint8_t stride, timeout, transfer; /* DSTRD, TO, MDTS */
    uint16_t queues;                   /* that it grants; 0: 8 */
    unsigned vectors;                  /* 0: a line */
    uint32_t version;                  /* 0: 1.4 */
    uint16_t optional;                 /* ONCS */
    bool write_cache, doorbell_buffer, no_limits_page;
    uint32_t range_limit; /* DMRSL */
    uint8_t zeroes_limit; /* WZSL */
    const char *model;    /* NULL: "a model" */
    uint32_t delay_ns;    /* answers come after up to this long, in any order */
    uint64_t window;      /* bytes of registers; 0: 16 KiB */
    struct nvme_model_namespace namespaces[NVME_MODEL_NAMESPACES];
    enum nvme_evil evil;
    unsigned after, times; /* times 0: for ever */
};

struct nvme_model_disk {
    struct nvme_model_namespace is;
    uint8_t *bytes;
};

struct nvme_model_command {
    uint8_t entry[64];
    uint64_t due_ns;
    uint16_t queue, status;
    uint32_t result;
    bool held; /* not to be answered by itself */
};

struct nvme_model_queue {
    bool made, cq_made, interrupts;
    device_address sq, cq;
    uint16_t entries, cq_entries, head, tail, cq_head, cq_tail, vector;
    bool phase, asleep; /* asleep: nothing is taken before the register is written */
};

struct nvme_model {
    struct device *device;
    struct nvme_model_options options;
    struct nvme_model_disk disks[NVME_MODEL_NAMESPACES];
    uint32_t configuration, state, attributes, admin_halves[4], mask;
    uint64_t ready_ns, shutdown_ns;
    struct nvme_model_queue queues[NVME_MODEL_QUEUES];
    struct nvme_model_command *commands; /* taken and not answered */
    unsigned command_count, command_capacity;
    device_address shadow, wishes;
    bool gone, line, was_reset;
    unsigned granted, admin_commands, io_commands, evils; /* evils: how often it misbehaved */
    uint16_t lost_identifier;
    /* What a test may look at. */
    unsigned reads, writes, flushes, zeroes, discards, through, aborts, events, resets, shutdowns;
    unsigned most_in_flight, most_list_pages, complaints;
    uint64_t most_blocks, sq_doorbells, cq_doorbells, messages;
    unsigned queue_used[NVME_MODEL_QUEUES]; /* I/O commands by queue */
    char complaint[160];
};

struct nvme_model *nvme_model_create(const struct nvme_model_options *options);
void nvme_model_destroy(struct nvme_model *model);
/* Something to report, when the driver has asked to be told: kind, what, log page. */
void nvme_model_event(struct nvme_model *model, unsigned kind, unsigned what, unsigned page);
void nvme_model_complain(struct nvme_model *model, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* nvme_io.c: carries an I/O command out; its status. */
uint16_t nvme_model_io(struct nvme_model *model, const uint8_t *entry);
/* nvme_admin.c: the same of an admin command; false: it is not to be answered now. */
bool nvme_model_admin(struct nvme_model *model, struct nvme_model_command *command);
/* Whether the misbehaviour is this one, and due. Counts it. */
bool nvme_model_does(struct nvme_model *model, enum nvme_evil evil);

#endif
