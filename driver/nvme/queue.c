/*
 * queue.c: one submission queue and its completion queue [base §3.3].
 *
 * The commands in flight are bounded by the slots, one fewer than entries: every entry that is written again belongs
 * to a command that has been answered, or that one before it has been, and the controller takes them in order. So the
 * submission queue's head, which the controller reports, is not needed and not believed.
 *
 * Doorbells go to registers, or where the controller offers a doorbell buffer to memory, and to the register only when
 * the controller asks to be woken [base §5.8, annex B.5]. With a wire the completion doorbell is what lowers it, so
 * there it is always a register.
 */
#include "nvme.h"

enum { TAIL = 0, HEAD = 1, SLOT_BITS = 10, SLOT_MASK = (1 << SLOT_BITS) - 1, NO_SLOT = 0xffff };
_Static_assert(NVME_MAX_ENTRIES <= 1 << SLOT_BITS, "an identifier names its slot");

enum status nvme_queue_open(struct nvme *nvme, struct nvme_queue *queue, unsigned id, unsigned entries)
{
    uint64_t stride = UINT64_C(4) << NVME_CAP_DSTRD(nvme->capabilities);
    uint64_t doorbell = NVME_DOORBELLS + 2 * id * stride;
    struct queue_layout layout = {.submission_size = entries * (uint32_t)sizeof(struct nvme_sqe),
                                  .completion_size = entries * (uint32_t)sizeof(struct nvme_cqe),
                                  .alignment = NVME_PAGE};

    *queue = (struct nvme_queue){.nvme = nvme, .id = (uint16_t)id, .entries = (uint16_t)entries, .phase = true};
    if (doorbell + stride + sizeof(uint32_t) > nvme->registers.size)
        return STATUS_OUT_OF_RANGE;
    queue->head_doorbell = doorbell + stride;
    enum status status = queue_create(nvme->device, &layout, &queue->memory);
    if (status == STATUS_OK)
        status = queue_set_doorbell(&queue->memory, &nvme->registers, doorbell, sizeof(uint32_t));
    if (status == STATUS_OK && (queue->commands = calloc(entries - 1, sizeof *queue->commands)) == NULL)
        status = STATUS_NO_MEMORY;
    if (status != STATUS_OK) {
        queue_destroy(&queue->memory);
        return status;
    }
    for (unsigned i = 0; i < entries - 1; i++) {
        queue->commands[i].next_free = (uint16_t)(i + 1 < entries - 1 ? i + 1 : NO_SLOT);
        queue->commands[i].generation = nvme->first_generation; /* not that of before the last reset */
    }
    return STATUS_OK;
}

void nvme_queue_close(struct nvme_queue *queue)
{
    if (queue->nvme == NULL)
        return;
    if (!queue->nvme->stuck)
        queue_destroy(&queue->memory);
    free(queue->commands);
    *queue = (struct nvme_queue){0};
}

/* ---- Slots ------------------------------------------------------------------------------------------------ */

uint16_t nvme_command_identifier(const struct nvme_queue *queue, const struct nvme_command *command)
{
    return (uint16_t)((unsigned)(command - queue->commands) | (unsigned)command->generation << SLOT_BITS);
}

struct nvme_command *nvme_queue_take(struct nvme_queue *queue)
{
    if (queue->free == NO_SLOT)
        return NULL;
    struct nvme_command *command = &queue->commands[queue->free];
    queue->free = command->next_free;
    *command = (struct nvme_command){.generation = (uint8_t)((command->generation + 1) & (UINT16_MAX >> SLOT_BITS)),
                                     .state = COMMAND_SENT};
    queue->in_flight++;
    return command;
}

void nvme_queue_give(struct nvme_queue *queue, struct nvme_command *command)
{
    command->state = COMMAND_FREE;
    command->next_free = queue->free;
    queue->free = (uint16_t)(command - queue->commands);
    queue->in_flight--;
}

void nvme_queue_put(struct nvme_queue *queue, struct nvme_command *command, const struct nvme_sqe *entry)
{
    struct nvme_sqe *to = (struct nvme_sqe *)queue->memory.submission + queue->tail;

    *to = *entry;
    to->identifier = nvme_command_identifier(queue, command);
    queue->tail = (uint16_t)(queue->tail + 1 == queue->entries ? 0 : queue->tail + 1);
}

/* ---- Doorbells -------------------------------------------------------------------------------------------- */

/* Leaves the value in the doorbell buffer; whether the register must be written too. The controller wrote what it
 * wants to be woken at; anything at all may stand there. */
static bool shadow(struct nvme_queue *queue, unsigned which, uint16_t from, uint16_t to)
{
    const struct nvme *nvme = queue->nvme;
    size_t index = ((size_t)2 * queue->id + which) << NVME_CAP_DSTRD(nvme->capabilities);

    if (nvme->shadow.memory == NULL || queue->id == 0)
        return true;
    queue_publish(&queue->memory); /* entries before the doorbell */
    ((volatile uint32_t *)nvme->shadow.memory)[index] = to;
    queue_publish(&queue->memory); /* the doorbell before the controller's wish: one of the two sees the other */
    uint16_t wish = (uint16_t)((const volatile uint32_t *)nvme->shadow.memory)[NVME_PAGE / sizeof(uint32_t) + index];
    return (uint16_t)(to - wish - 1) < (uint16_t)(to - from);
}

void nvme_queue_ring(struct nvme_queue *queue)
{
    if (queue->tail == queue->rung_tail)
        return;
    uint16_t from = queue->rung_tail;
    queue->rung_tail = queue->tail;
    if (shadow(queue, TAIL, from, queue->tail))
        queue_notify(&queue->memory, queue->tail);
}

void nvme_queue_ring_hard(struct nvme_queue *queue)
{
    queue_notify(&queue->memory, queue->tail);
}

/* Everything up to the head has been read before the controller hears that it may write there again. */
static void ring_head(struct nvme_queue *queue, uint16_t from)
{
    bool must = shadow(queue, HEAD, from, queue->head);

    if (must || queue->nvme->interrupts[0].delivery != INTERRUPT_MESSAGE) {
        queue_publish(&queue->memory);
        window_write32(&queue->nvme->registers, queue->head_doorbell, queue->head);
    }
}

/* ---- Completions ------------------------------------------------------------------------------------------ */

static uint32_t last_word(const struct nvme_queue *queue)
{
    return ((const volatile struct nvme_cqe *)queue->memory.completion)[queue->head].last;
}

bool nvme_queue_answered(const struct nvme_queue *queue)
{
    return queue->in_flight != 0 && (last_word(queue) >> 16 & 1) == queue->phase;
}

/* An answer to what was never asked, or was answered before. The command that has the slot now is not touched. */
static void odd_answer(struct nvme_queue *queue, uint32_t last, uint32_t where)
{
    struct nvme *nvme = queue->nvme;

    nvme->late++;
    if (nvme->odd++ < 2)
        log_warn(nvme->name, "answered command 0x%04x of queue %u, which is not in flight on queue %u; dropped",
                 last & 0xffff, where >> 16, queue->id);
}

/* The command in flight that the answer is to, or NULL. */
static struct nvme_command *answered(struct nvme_queue *queue, uint32_t last, uint32_t where)
{
    unsigned slot = last & SLOT_MASK;

    if (where >> 16 != queue->id || slot >= queue->entries - 1u)
        return NULL;
    struct nvme_command *command = &queue->commands[slot];
    bool its = command->state != COMMAND_FREE && nvme_command_identifier(queue, command) == (last & 0xffff);
    return its ? command : NULL;
}

bool nvme_queue_poll(struct nvme_queue *queue)
{
    uint16_t from = queue->head;
    unsigned taken = 0;

    queue->waiting_since_ns = 0;
    for (; taken < queue->entries; taken++) {
        uint32_t last = last_word(queue);
        if ((last >> 16 & 1) != queue->phase)
            break;
        queue_observe(&queue->memory);
        const volatile struct nvme_cqe *entry =
            (const volatile struct nvme_cqe *)queue->memory.completion + queue->head;
        uint32_t where = entry->where, result = entry->result;
        if (++queue->head == queue->entries) {
            queue->head = 0;
            queue->phase = !queue->phase;
        }
        struct nvme_command *command = answered(queue, last, where);
        if (command == NULL) {
            odd_answer(queue, last, where);
        } else if (queue->id == 0) {
            void (*done)(struct nvme *, uint16_t, uint32_t) = command->done;
            nvme_queue_give(queue, command);
            done(queue->nvme, (uint16_t)(last >> 17), result);
        } else {
            nvme_io_completed(queue, command, (uint16_t)(last >> 17));
        }
    }
    if (taken != 0)
        ring_head(queue, from);
    return taken != 0;
}

bool nvme_queues_poll(struct nvme *nvme)
{
    bool any = false;

    for (unsigned i = 0; i < nvme->queue_count; i++)
        any |= nvme_queue_poll(&nvme->queues[i]);
    return any;
}
