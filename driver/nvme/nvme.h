/*
 * nvme.h: what the files of the driver share. The life of a controller is in nvme.c; below it
 *
 *     queue.c      one pair of queues: entries, doorbells, command identifiers
 *     admin.c      commands that are waited for, asynchronous events
 *     namespace.c  namespaces, which are the disks
 *     io.c         a client's requests as commands
 *     recover.c    deadlines, diagnosis, abort, reset
 */
#ifndef NVME_H
#define NVME_H

#include <lib/bytes.h>
#include <lib/log.h>
#include <lib/malloc.h>
#include <lib/printf.h>
#include <lib/string.h>
#include <lib/text.h>
#include <vmos/block.h>
#include <vmos/driver.h>

#include "nvme_reg.h"

enum {
    NVME_PAGE = 4096,
    NVME_MAX_IO_QUEUES = DEVICE_MAX_INTERRUPTS - 1,
    NVME_ADMIN_ENTRIES = 16,
    NVME_MAX_ENTRIES = 1024,       /* of an I/O queue; the identifier has 10 bits for the slot */
    NVME_QUEUE_BUDGET = 256 << 10, /* bytes of all I/O queues and their slots */
    NVME_MAX_TRANSFER = 4 << 20,   /* bytes of one command, whatever MDTS says */
    NVME_MAX_LIST_PAGES = 128,     /* of all PRP lists together */
    NVME_MAX_LOANS = 8,            /* of one command */
    NVME_LOAN_PAGES = 128,         /* of one loan */
    NVME_MAX_NAMESPACES = 32,
    NVME_MAX_TRIES = 3,  /* of one request */
    NVME_MAX_RESETS = 3, /* within NVME_RESET_MEMORY before the controller is given up */
    NVME_MAX_ODD = 16,   /* completions that nothing explains, before the controller is reset */
    NVME_LOST_BEFORE_POLLING = 3,
};

#define NVME_DEFAULT_TIMEOUT (30 * NANOSECONDS_PER_SECOND)
#define NVME_ADMIN_TIMEOUT   (60 * NANOSECONDS_PER_SECOND)
#define NVME_ABORT_TIMEOUT   (5 * NANOSECONDS_PER_SECOND)
#define NVME_RESET_MEMORY    (300 * NANOSECONDS_PER_SECOND)
#define NVME_STOP_PATIENCE   (2 * NANOSECONDS_PER_SECOND) /* for commands in flight, when the driver is stopped */
#define NVME_LOOK_PERIOD     NANOSECONDS_PER_SECOND
#define NVME_POLL_PERIOD     (2 * NANOSECONDS_PER_MILLISECOND)
#define NVME_LOST_AFTER      (10 * NANOSECONDS_PER_MILLISECOND)

struct nvme;
struct nvme_queue;

struct nvme_namespace {
    struct block_device block; /* its driver is the namespace */
    struct nvme *nvme;
    struct nvme_namespace *next;
    uint32_t id;
    char name[32];
    uint64_t error_told_ns; /* before then the log does not speak of another error */
    uint32_t errors_untold;
};

/* A page of a PRP list or of dataset management's ranges. */
struct nvme_page {
    struct dma_memory memory;
    struct nvme_page *next;
};

enum nvme_command_state { COMMAND_FREE, COMMAND_SENT, COMMAND_ABORTING };

/* A slot of a queue: what the controller has been asked and has not answered. Its identifier is the slot's number and,
 * above that, how often the slot was used: an answer to an earlier use is recognised. */
struct nvme_command {
    struct block_request *request; /* of an I/O command */
    struct nvme_namespace *disk;
    void (*done)(struct nvme *nvme, uint16_t status, uint32_t result); /* of an admin command */
    struct nvme_page *pages;
    uint64_t first_block, started_ns, deadline_ns;
    uint32_t blocks;
    uint16_t next_free;
    uint8_t generation, state, opcode, loan_count;
    uint32_t loans[NVME_MAX_LOANS];
};

struct nvme_queue {
    struct nvme *nvme;
    struct device_queue memory;
    struct nvme_command *commands; /* entries - 1 of them, so that the queue is never full */
    uint64_t head_doorbell;        /* offset in the window */
    uint64_t waiting_since_ns;     /* when a look first found a completion that no interrupt had told of; 0: none */
    uint16_t id, entries, free, in_flight;
    uint16_t tail, rung_tail, head; /* of the submission queue twice, of the completion queue */
    bool phase;
};

struct nvme_identity {
    char serial[21], model[41], firmware[9], attached_as[33];
    uint64_t most_bytes;                             /* of one transfer */
    uint64_t most_zeroes_bytes, most_discard_blocks; /* of one command */
    uint64_t shutdown_ns;
    uint32_t namespace_limit;
    uint16_t optional; /* ONCS */
    bool write_cache, doorbell_buffer;
    uint8_t events; /* asynchronous event requests that it takes */
};

struct nvme {
    struct device *device;
    const char *name;
    struct register_window registers;
    struct nvme_identity identity;
    uint64_t capabilities, timeout_ns;
    uint32_t version;
    struct nvme_queue admin, *queues; /* queue_count I/O queues */
    unsigned queue_count, next_queue;
    struct interrupt interrupts[NVME_MAX_IO_QUEUES + 1];
    unsigned interrupt_count;
    struct dma_memory scratch; /* a page for identify and logs */
    struct dma_memory shadow; /* a page of doorbells, and one of what the controller wants to be woken at; or nothing */
    struct nvme_namespace *namespaces;
    unsigned namespace_count;

    struct nvme_page *free_pages;
    unsigned page_count;
    struct dma_segment segments[NVME_LOAN_PAGES + 1]; /* of the loan under way */

    /* Requests not wholly handed over, oldest first, and how far the first one is; those to be told, from handle. */
    struct block_request *waiting, **waiting_end;
    uint64_t next_block, segment_offset;
    unsigned segment;
    struct block_request *finished, **finished_end;

    /* The admin command that is waited for, and what the controller has to say by itself. */
    bool admin_answered, abort_out, event_out, event_waiting, rescan;
    uint16_t admin_status, abort_status;
    uint32_t admin_result, event;
    uint64_t event_told_ns, event_again_ns, abort_deadline_ns;

    uint64_t look_ns;            /* when to look at what is in flight */
    uint64_t batch_ns, reset_ns; /* when the batch under way was begun; when the last reset was */
    unsigned resets, odd, lost_interrupts, idle_events;
    uint8_t first_generation;    /* of slots; another one after each reset */
    uint64_t late;               /* completions of commands that had ended, or never were */
    bool polling;                /* interrupts get lost: completions are looked for */
    bool busy;                   /* in handle: what is submitted now is rung once, at the end */
    bool stopping, gone, silent; /* silent: an admin command was not answered */
    bool stuck;                  /* a reset was not confirmed: what the controller has stays with it */
};

/* DEADLINE_NEVER is later than everything. */
static inline uint64_t nvme_later(uint64_t now, uint64_t duration)
{
    return duration > DEADLINE_NEVER - now ? DEADLINE_NEVER : now + duration;
}

/* Between two looks at what is in flight. */
static inline uint64_t nvme_look_period(const struct nvme *nvme)
{
    return nvme->polling ? NVME_POLL_PERIOD : NVME_LOOK_PERIOD;
}

static inline uint64_t nvme_read64(const struct nvme *nvme, uint64_t offset)
{
    uint64_t low = window_read32(&nvme->registers, offset);

    return low | (uint64_t)window_read32(&nvme->registers, offset + 4) << 32;
}

static inline uint32_t nvme_state(const struct nvme *nvme)
{
    return window_read32(&nvme->registers, NVME_CSTS);
}

/* ---- queue.c ---------------------------------------------------------------------------------------------- */

/* `entries` is at least 2. On failure nothing is kept. */
enum status nvme_queue_open(struct nvme *nvme, struct nvme_queue *queue, unsigned id, unsigned entries);
/* The controller has forgotten the queue, unless it is stuck. Safe on an all-zero struct. */
void nvme_queue_close(struct nvme_queue *queue);
/* A free slot, marked as sent, or NULL. */
struct nvme_command *nvme_queue_take(struct nvme_queue *queue);
/* Gives a slot back whose command has ended or never began. */
void nvme_queue_give(struct nvme_queue *queue, struct nvme_command *command);
uint16_t nvme_command_identifier(const struct nvme_queue *queue, const struct nvme_command *command);
/* Writes the entry; its identifier is the slot's. The controller sees it with the next ring. */
void nvme_queue_put(struct nvme_queue *queue, struct nvme_command *command, const struct nvme_sqe *entry);
void nvme_queue_ring(struct nvme_queue *queue);
/* By register, whatever the doorbell buffer says. */
void nvme_queue_ring_hard(struct nvme_queue *queue);
/* Takes what the controller has answered: at most as many as the queue holds. True when there was anything. */
bool nvme_queue_poll(struct nvme_queue *queue);
/* The same of all I/O queues. */
bool nvme_queues_poll(struct nvme *nvme);
/* An answer is there and not taken. */
bool nvme_queue_answered(const struct nvme_queue *queue);

/* ---- admin.c ---------------------------------------------------------------------------------------------- */

/* Sends a command and waits for its end. What goes wrong is said: "cannot `what`: invalid field (0/02)". */
enum status nvme_admin(struct nvme *nvme, struct nvme_sqe *entry, uint32_t *result, const char *what, unsigned which);
/* Identify, into nvme->scratch. */
enum status nvme_identify(struct nvme *nvme, uint32_t what, uint32_t nsid, const char *name);
enum status nvme_identify_controller(struct nvme *nvme);
/* Fills `text` with "invalid field (0/02)". */
void nvme_status_text(uint16_t status, char *text, size_t size);
/* One asynchronous event request, where events are wanted and none is out. */
void nvme_events_ask(struct nvme *nvme);
/* Handles what the controller has reported. */
void nvme_events_handle(struct nvme *nvme, uint64_t now);
/* Asks for the abort of a command, one at a time; false: not now. */
bool nvme_abort(struct nvme *nvme, const struct nvme_queue *queue, const struct nvme_command *command);

/* ---- namespace.c ------------------------------------------------------------------------------------------- */

/* Finds all namespaces and publishes those that are new and usable; those that are known follow what changed. */
enum status nvme_namespaces_find(struct nvme *nvme);
void nvme_namespaces_free(struct nvme *nvme);

/* ---- io.c -------------------------------------------------------------------------------------------------- */

extern const struct block_ops nvme_block_ops;
void nvme_io_completed(struct nvme_queue *queue, struct nvme_command *command, uint16_t status);
unsigned nvme_io_in_flight(const struct nvme *nvme);
/* Hands over what waits and rings; tells clients of what has finished. */
void nvme_io_pump(struct nvme *nvme);
void nvme_io_tell(struct nvme *nvme);
/* After a reset: what was in flight waits again, or ends with the status when it was tried too often or `give_up`. */
void nvme_io_take_back(struct nvme *nvme, bool give_up, enum status status);
/* What an I/O command does, "read". */
const char *nvme_opcode_text(uint8_t opcode);
void nvme_pages_free(struct nvme *nvme);

/* ---- recover.c --------------------------------------------------------------------------------------------- */

/* Sees to it that nvme_look comes then, or before. */
void nvme_look_later(struct nvme *nvme, uint64_t when);
void nvme_look(struct nvme *nvme, uint64_t now);
/* Resets the controller and goes on; the reason is a clause, "reports a fatal error". */
void nvme_recover(struct nvme *nvme, const char *reason);
/* The registers read all ones: nothing more can be asked of it. */
void nvme_is_gone(struct nvme *nvme);

/* ---- nvme.c ------------------------------------------------------------------------------------------------- */

/* CC.EN to 0, confirmed within CAP.TO; else the controller is stuck. */
enum status nvme_disable(struct nvme *nvme);
/* From disabled to all queues at work. */
enum status nvme_bring_up(struct nvme *nvme);
void nvme_queues_close(struct nvme *nvme);

#endif
