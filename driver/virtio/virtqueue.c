/*
 * virtqueue.c: the split virtqueue [virtio 1.2 §2.7].
 *
 * Submission memory holds the descriptors and the available ring, completion memory the used ring. What the
 * driver must remember of a request (its token, how much may be written, which descriptors it holds) is in
 * slots of its own: nothing is ever read back from submission memory or an indirect table, so a device that
 * rewrites them only confuses itself. Of the used ring each number is read once.
 *
 *   slot: free -> added (head, private) -> in flight (submitted) -> completed by the device -> free
 */
#include "transport.h"
#include "virtio_reg.h"
#include <lib/bytes.h>
#include <lib/log.h>
#include <lib/malloc.h>
#include <lib/printf.h>

enum {
    DIRECT_PARTS = 2,    /* up to here the ring's own descriptors cost less than a table */
    INDIRECT_PARTS = 20, /* descriptors in one indirect table */
    INDIRECT_TABLES = 12,
    NO_TABLE = 32,
};

#define WAIT_SLICE (10 * NANOSECONDS_PER_MILLISECOND)

struct slot {          /* one per descriptor; what is said of a request stands in its head's */
    uint64_t token;    /* 0: not a head */
    uint32_t writable; /* bytes that the device may have written */
    uint16_t next;     /* descriptor, in the free list and in a chain */
    uint8_t table;     /* indirect table, or NO_TABLE */
    bool submitted;
};

struct virtqueue {
    struct virtio_device *virtio;
    struct device_queue memory;
    struct virtq_descriptor *descriptors; /* these two are written and never read */
    struct virtq_available *available;
    const volatile struct virtq_used *used;
    struct dma_memory tables; /* INDIRECT_PARTS descriptors each; allocated when first needed */
    uint32_t free_tables;     /* bit per table */
    uint16_t index;
    uint16_t ring_mask; /* of both rings; a legacy device's ring may be larger than `size` */
    uint16_t size;      /* descriptors in use */
    uint16_t free_count, free_head;
    uint16_t added;     /* available index, with what is not visible yet */
    uint16_t published; /* available index as the device may see it */
    uint16_t seen;      /* used index up to which all was taken */
    uint16_t interrupt; /* index */
    bool event_index, indirect, broken;
    uint32_t lies;   /* lengths that the device made up */
    uint16_t *heads; /* of what was added and not submitted yet, in order */
    struct slot slots[];
};

/* ---- Open and close ------------------------------------------------------------------------------------- */

static void store16(uint16_t *to, uint16_t value) /* one store, not torn */
{
    *(volatile uint16_t *)to = value;
}

static uint16_t *used_event(const struct virtqueue *queue) /* behind the available ring [§2.7.10] */
{
    return &queue->available->ring[queue->ring_mask + 1];
}

static uint16_t avail_event(const struct virtqueue *queue) /* behind the used ring */
{
    return *(const volatile uint16_t *)&queue->used->ring[queue->ring_mask + 1];
}

/* How many entries the ring and how many descriptors we use have; 0: this queue cannot be used. */
static uint32_t choose_size(struct virtio_device *virtio, uint16_t index, uint32_t limit, uint16_t max_size,
                            uint32_t *ring)
{
    uint32_t size = 1;

    if (virtio->transport->fixed_size && (limit > VIRTQUEUE_MAX_SIZE || !is_power_of_two(limit))) {
        log_warn(device_name(virtio->device),
                 "queue %u has %u entries; a legacy ring is a power of two, here at most %u", index, limit,
                 VIRTQUEUE_MAX_SIZE);
        return 0;
    }
    while (size * 2 <= limit && size * 2 <= max_size && size * 2 <= VIRTQUEUE_MAX_SIZE)
        size *= 2;
    *ring = virtio->transport->fixed_size ? limit : size;
    return max_size == 0 ? 0 : size;
}

static struct virtqueue *new_queue(struct virtio_device *virtio, uint16_t index, uint32_t ring, uint32_t size)
{
    struct virtqueue *queue = calloc(1, sizeof *queue + size * (sizeof(struct slot) + sizeof(uint16_t)));

    if (queue == NULL)
        return NULL;
    queue->virtio = virtio;
    queue->index = index;
    queue->ring_mask = (uint16_t)(ring - 1);
    queue->size = queue->free_count = (uint16_t)size;
    queue->event_index = virtio_has(virtio, VIRTIO_F_EVENT_IDX);
    queue->indirect = virtio_has(virtio, VIRTIO_F_INDIRECT_DESC);
    queue->heads = (uint16_t *)&queue->slots[size];
    for (uint32_t i = 0; i < size; i++) {
        queue->slots[i].next = (uint16_t)(i + 1);
        queue->slots[i].table = NO_TABLE;
    }
    return queue;
}

static enum status create_rings(struct virtqueue *queue, uint32_t ring)
{
    bool legacy = queue->virtio->transport->legacy;
    uint32_t descriptors = ring * (uint32_t)sizeof(struct virtq_descriptor);
    const struct queue_layout layout = {
        .submission_size = descriptors + (uint32_t)sizeof(struct virtq_available) + ring * 2 + 2,
        .completion_size = (uint32_t)sizeof(struct virtq_used) + ring * (uint32_t)sizeof(struct virtq_used_element) + 2,
        .alignment = legacy ? VIRTIO_LEGACY_PAGE : sizeof(struct virtq_descriptor),
        .adjacent = legacy,
    };
    enum status status = queue_create(queue->virtio->device, &layout, &queue->memory);

    if (status != STATUS_OK)
        return status;
    if (legacy && queue->memory.completion_address !=
                      queue->memory.submission_address + align_up(layout.submission_size, VIRTIO_LEGACY_PAGE))
        return STATUS_UNSUPPORTED; /* the device would look for the used ring elsewhere [§2.7.2] */
    queue->descriptors = queue->memory.submission;
    queue->available = (struct virtq_available *)((uint8_t *)queue->memory.submission + descriptors);
    queue->used = queue->memory.completion;
    return STATUS_OK;
}

enum status virtqueue_open(struct virtqueue **out, struct virtio_device *virtio, uint16_t index, uint16_t max_size,
                           uint16_t interrupt_index)
{
    uint32_t limit = 0, ring = 0;
    uint16_t last = (uint16_t)(virtio->interrupt_count - 1), vector = interrupt_index < last ? interrupt_index : last;
    enum status status = virtio->transport->queue_limit(virtio, index, &limit);

    *out = NULL;
    if (status != STATUS_OK)
        return status;
    if (limit == 0)
        return STATUS_NOT_FOUND;
    uint32_t size = choose_size(virtio, index, limit, max_size, &ring);
    if (size == 0)
        return STATUS_UNSUPPORTED;
    struct virtqueue *queue = new_queue(virtio, index, ring, size);
    if (queue == NULL)
        return STATUS_NO_MEMORY;

    status = virtio_open_interrupt(virtio, vector);
    if (status != STATUS_OK)
        goto release;
    status = create_rings(queue, ring);
    if (status != STATUS_OK)
        goto destroy;
    status = virtio->transport->queue_enable(virtio, &(struct virtio_queue_setup){
                                                         .index = index,
                                                         .size = (uint16_t)ring,
                                                         .vector = vector,
                                                         .available_offset = ring * sizeof(struct virtq_descriptor),
                                                         .memory = &queue->memory,
                                                     });
    if (status != STATUS_OK)
        goto destroy;
    queue->interrupt = vector;
    virtio->queue_events |= 1u << vector;
    *out = queue;
    return STATUS_OK;

destroy: /* not enabled: the device does not know of it */
    queue_destroy(&queue->memory);
release:
    log_warn(device_name(virtio->device), "queue %u cannot be set up: %s", index, status_text(status));
    free(queue);
    return status;
}

void virtqueue_close(struct virtqueue *queue)
{
    if (queue == NULL)
        return;
    if (queue->virtio->stuck) {
        log_warn(device_name(queue->virtio->device), "queue %u: its memory is left to the device", queue->index);
    } else {
        queue_destroy(&queue->memory);
        dma_free(queue->virtio->device, &queue->tables);
    }
    free(queue);
}

uint16_t virtqueue_size(const struct virtqueue *queue)
{
    return queue->size;
}

uint16_t virtqueue_room(const struct virtqueue *queue)
{
    return queue->free_count;
}

uint16_t virtqueue_max_parts(const struct virtqueue *queue)
{
    return queue->size;
}

bool virtqueue_broken(const struct virtqueue *queue)
{
    return queue->broken;
}

static void break_queue(struct virtqueue *queue, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void break_queue(struct virtqueue *queue, const char *format, ...)
{
    char reason[120];
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(reason, sizeof reason, format, arguments);
    va_end(arguments);
    queue->broken = true;
    device_fail(queue->virtio->device, "queue %u: %s", queue->index, reason);
}

/* ---- Submit --------------------------------------------------------------------------------------------- */

/* An indirect table for a request of this many parts, or NO_TABLE: it goes into the ring's own descriptors. */
static uint8_t take_table(struct virtqueue *queue, uint32_t count)
{
    if (!queue->indirect || count > INDIRECT_PARTS || (count <= DIRECT_PARTS && count <= queue->free_count) ||
        count == 1)
        return NO_TABLE;
    if (queue->tables.memory == NULL) {
        uint32_t tables = queue->size < INDIRECT_TABLES ? queue->size : INDIRECT_TABLES;
        size_t size = (size_t)tables * INDIRECT_PARTS * sizeof(struct virtq_descriptor);
        if (dma_allocate(queue->virtio->device, size, sizeof(struct virtq_descriptor), &queue->tables) != STATUS_OK) {
            queue->indirect = false; /* it works without */
            return NO_TABLE;
        }
        queue->free_tables = UINT32_MAX >> (32 - tables);
    }
    if (queue->free_tables == 0)
        return NO_TABLE;
    uint8_t table = (uint8_t)__builtin_ctz(queue->free_tables);
    queue->free_tables &= ~(1u << table);
    return table;
}

static bool parts_are_sane(const struct virtqueue_part parts[], uint32_t out, uint32_t count, uint32_t *writable)
{
    uint64_t total = 0, in = 0;

    for (uint32_t i = 0; i < count; i++) {
        if (parts[i].length == 0)
            return false;
        total += parts[i].length;
        in += i >= out ? parts[i].length : 0;
    }
    *writable = (uint32_t)in;
    return total <= UINT32_MAX; /* [§2.7.5.2] */
}

static void write_descriptor(struct virtq_descriptor *to, const struct virtqueue_part *part, uint16_t flags,
                             uint16_t next)
{
    *to = (struct virtq_descriptor){.address = part->address, .length = part->length, .flags = flags, .next = next};
}

static uint16_t part_flags(uint32_t part, uint32_t out, uint32_t count)
{
    return (uint16_t)((part >= out ? VIRTQ_DESCRIPTOR_WRITE : 0) | (part + 1 < count ? VIRTQ_DESCRIPTOR_NEXT : 0));
}

enum status virtqueue_add(struct virtqueue *queue, const struct virtqueue_part parts[], uint16_t out, uint16_t in,
                          uint64_t token)
{
    uint32_t count = (uint32_t)out + in, writable = 0;
    uint16_t head = queue->free_head, last = head;

    if (queue->broken)
        return STATUS_DEVICE_FAULT;
    if (token == 0 || count == 0 || count > queue->size || !parts_are_sane(parts, out, count, &writable))
        return STATUS_INVALID;
    if (queue->free_count == 0)
        return STATUS_BUSY;

    uint8_t table = take_table(queue, count);
    if (table != NO_TABLE) {
        uint32_t first = (uint32_t)table * INDIRECT_PARTS;
        struct virtq_descriptor *to = (struct virtq_descriptor *)queue->tables.memory + first;
        for (uint32_t i = 0; i < count; i++)
            write_descriptor(&to[i], &parts[i], part_flags(i, out, count), (uint16_t)(i + 1));
        write_descriptor(&queue->descriptors[head],
                         &(struct virtqueue_part){.address = queue->tables.address + first * sizeof *to,
                                                  .length = (uint32_t)(count * sizeof *to)},
                         VIRTQ_DESCRIPTOR_INDIRECT, 0);
        queue->free_count--;
    } else {
        if (count > queue->free_count)
            return STATUS_BUSY;
        for (uint32_t i = 0, at = head; i < count; i++) {
            last = (uint16_t)at;
            at = queue->slots[at].next;
            write_descriptor(&queue->descriptors[last], &parts[i], part_flags(i, out, count), (uint16_t)at);
        }
        queue->free_count = (uint16_t)(queue->free_count - count);
    }
    queue->free_head = queue->slots[last].next;
    queue->slots[last].next = UINT16_MAX; /* the chain ends here */

    struct slot *slot = &queue->slots[head];
    slot->token = token;
    slot->writable = writable;
    slot->table = table;
    slot->submitted = false;
    queue->heads[(uint16_t)(queue->added - queue->published)] = head;
    store16(&queue->available->ring[queue->added & queue->ring_mask], head);
    queue->added++;
    return STATUS_OK;
}

void virtqueue_submit(struct virtqueue *queue)
{
    uint16_t old = queue->published, count = (uint16_t)(queue->added - old);

    if (count == 0 || queue->broken)
        return;
    for (uint16_t i = 0; i < count; i++)
        queue->slots[queue->heads[i]].submitted = true;
    queue->published = queue->added;

    /* Descriptors and ring entries before the index: the device reads them as soon as it sees it [§2.7.13]. */
    queue_publish(&queue->memory);
    store16(&queue->available->index, queue->published);
    /* The index before we look whether the device sleeps. The device announces its sleep before it looks at the
     * index for the last time, so one of us sees the other [§2.7.13.4.1]. */
    queue_publish(&queue->memory);
    bool ring = queue->event_index ? virtq_passed(avail_event(queue), queue->published, old)
                                   : (queue->used->flags & VIRTQ_USED_NO_NOTIFY) == 0;
    if (ring)
        queue_notify(&queue->memory, queue->index);
}

/* ---- Complete -------------------------------------------------------------------------------------------- */

/* Gives the request's descriptors and table back to the free list. Follows private links only. */
static void release(struct virtqueue *queue, uint16_t head)
{
    struct slot *slot = &queue->slots[head];
    uint16_t last = head, count = 1;

    while (queue->slots[last].next != UINT16_MAX) {
        last = queue->slots[last].next;
        count++;
    }
    queue->slots[last].next = queue->free_head;
    queue->free_head = head;
    queue->free_count = (uint16_t)(queue->free_count + count);
    if (slot->table != NO_TABLE)
        queue->free_tables |= 1u << slot->table;
    slot->table = NO_TABLE;
    slot->token = 0;
    slot->submitted = false;
}

/* How many completions wait; breaks the queue when there cannot be so many. */
static uint16_t waiting(struct virtqueue *queue)
{
    uint16_t count = (uint16_t)(queue->used->index - queue->seen);
    uint16_t in_flight = (uint16_t)(queue->published - queue->seen); /* one used entry for each available entry */

    if (queue->broken || count == 0)
        return 0;
    if (count > in_flight) {
        break_queue(queue, "the used index moved by %u with %u requests in flight", count, in_flight);
        return 0;
    }
    return count;
}

bool virtqueue_next(struct virtqueue *queue, uint64_t *token, uint32_t *written)
{
    if (waiting(queue) == 0)
        return false;
    /* The entry, and the data that it speaks of, are read after the index that covers them [§2.7.14]. */
    queue_observe(&queue->memory);
    const volatile struct virtq_used_element *entry = &queue->used->ring[queue->seen & queue->ring_mask];
    uint32_t id = entry->id, length = entry->length;

    if (id >= queue->size) {
        break_queue(queue, "the device completed descriptor %u of %u", id, queue->size);
        return false;
    }
    struct slot *slot = &queue->slots[id];
    if (!slot->submitted) {
        break_queue(queue, "the device completed descriptor %u, which is not a request in flight", id);
        return false;
    }
    if (length > slot->writable) {
        if (queue->lies++ == 0 && !queue->virtio->legacy) /* legacy devices often do [§2.7.8.3] */
            log_warn(device_name(queue->virtio->device),
                     "queue %u: the device claims to have written %u bytes where %u were posted; such claims are cut",
                     queue->index, length, slot->writable);
        length = slot->writable;
    }
    *token = slot->token;
    *written = length;
    release(queue, (uint16_t)id);
    queue->seen++;
    return true;
}

void virtqueue_lengths_mean_nothing(struct virtqueue *queue)
{
    queue->lies = 1; /* the first was told */
}

bool virtqueue_arm(struct virtqueue *queue)
{
    if (queue->event_index)
        store16(used_event(queue), queue->seen);
    else
        store16(&queue->available->flags, 0);
    /* The wish before we look once more: a device that completed before it saw the wish sends nothing, and its
     * index is then visible to us here. */
    queue_publish(&queue->memory);
    return waiting(queue) != 0;
}

void virtqueue_disarm(struct virtqueue *queue)
{
    if (queue->event_index) /* as far away as the index can go; only advice, like the flag */
        store16(used_event(queue), (uint16_t)(queue->seen - 1));
    else
        store16(&queue->available->flags, VIRTQ_AVAILABLE_NO_INTERRUPT);
}

bool virtqueue_wait(struct virtqueue *queue, uint64_t deadline_ns)
{
    struct virtio_device *virtio = queue->virtio;

    while (!virtqueue_arm(queue)) {
        uint64_t now = clock_now();
        if (queue->broken || now >= deadline_ns)
            return false;
        uint32_t events = driver_wait(virtio->device, 1u << queue->interrupt,
                                      deadline_ns - now < WAIT_SLICE ? deadline_ns : now + WAIT_SLICE);
        if (events != 0 && virtio_cause(virtio, events) == VIRTIO_CAUSE_BROKEN)
            return false;
        if (events == 0 && queue->published != queue->seen)
            queue_notify(&queue->memory, queue->index); /* in case the device did not say that it sleeps */
    }
    return true;
}

bool virtqueue_take_back(struct virtqueue *queue, uint64_t *token)
{
    for (uint16_t i = 0; i < queue->size; i++)
        if (queue->slots[i].token != 0) {
            *token = queue->slots[i].token;
            release(queue, i);
            return true;
        }
    return false;
}
