/*
 * virtio_device.c: the device's side of the split ring, and what the device does wrong, see virtio_device.h.
 *
 * The device works in step(): it carries out what was notified, and tells of completions when their time has
 * come. So a driver always sees requests pending for a while, and a notification that was suppressed wrongly
 * is work that is never done.
 */
#include <driver/virtio/virtio.h>
#include <driver/virtio/virtio_reg.h>
#include <lib/bytes.h>
#include <model/virtio_model.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_PARTS = 4096 };

#define LATE_NS    (5 * NANOSECONDS_PER_SECOND)
#define AFTER_NS   NANOSECONDS_PER_MILLISECOND
#define NOTHING_NS NANOSECONDS_PER_MILLISECOND

void model_complain(struct virtio_model *model, const char *format, ...)
{
    va_list arguments;

    if (model->complaints++ != 0)
        return;
    va_start(arguments, format);
    vsnprintf(model->complaint, sizeof model->complaint, format, arguments);
    va_end(arguments);
}

bool model_is_legacy(const struct virtio_model *model)
{
    return model->options.transport == VIRTIO_MODEL_MMIO_LEGACY ||
           model->options.transport == VIRTIO_MODEL_PCI_LEGACY || model->legacy_used;
}

uint64_t model_offered(const struct virtio_model *model)
{
    uint64_t features = model->class->features | VIRTIO_FEATURE(VIRTIO_F_INDIRECT_DESC) |
                        VIRTIO_FEATURE(VIRTIO_F_EVENT_IDX) | VIRTIO_FEATURE(VIRTIO_F_VERSION_1);

    if (model->evil == D06_NO_VERSION_1)
        features &= ~VIRTIO_FEATURE(VIRTIO_F_VERSION_1);
    if (model->evil == D06_UNKNOWN_FEATURES)
        features |= UINT64_C(0xffffff) << 40;
    if (model->evil == D08_ACCESS_PLATFORM)
        features |= VIRTIO_FEATURE(VIRTIO_F_ACCESS_PLATFORM);
    features &= ~model->options.features_off;
    return model_is_legacy(model) ? (uint32_t)features : features;
}

static bool has(const struct virtio_model *model, unsigned bit)
{
    return (model->features & VIRTIO_FEATURE(bit)) != 0;
}

/* Does it now, and never again unless asked again. */
static bool evil_once(struct virtio_model *model, enum virtio_model_evil evil)
{
    return model->evil == evil && model->evil_count++ == 0;
}

void model_signal(struct virtio_model *model, uint8_t cause, uint16_t vector)
{
    if (model->evil == E11_NO_INTERRUPT)
        return;
    model->interrupts++;
    if (model->options.vectors != 0) {
        if (vector != VIRTIO_NO_VECTOR && model->evil != D11_NO_VECTOR)
            home_interrupt(model->device, vector);
        return;
    }
    model->cause |= cause;
    home_line(model->device, true);
}

/* ---- Requests ---------------------------------------------------------------------------------------------- */

static size_t copy(struct virtio_model *model, const struct virtio_model_request *request, bool write, uint32_t offset,
                   uint8_t *bytes, size_t size)
{
    unsigned first = write ? request->out_count : 0, end = write ? request->part_count : request->out_count;
    size_t done = 0;

    for (unsigned i = first; i < end && done < size; i++) {
        const struct virtio_model_part *part = &request->parts[i];
        if (offset >= part->length) {
            offset -= part->length;
            continue;
        }
        size_t now = part->length - offset < size - done ? part->length - offset : size - done;
        bool moved = write ? home_dma_write(model->device, part->address + offset, bytes + done, now)
                           : home_dma_read(model->device, part->address + offset, bytes + done, now);
        if (!moved)
            break;
        done += now;
        offset = 0;
    }
    return done;
}

size_t virtio_model_read(struct virtio_model *model, const struct virtio_model_request *request, uint32_t offset,
                         void *to, size_t size)
{
    return copy(model, request, false, offset, to, size);
}

size_t virtio_model_write(struct virtio_model *model, const struct virtio_model_request *request, uint32_t offset,
                          const void *from, size_t size)
{
    return copy(model, request, true, offset, (uint8_t *)(uintptr_t)from, size);
}

static void add_part(struct virtio_model *model, struct virtio_model_request *request,
                     const struct virtq_descriptor *descriptor)
{
    bool write = (descriptor->flags & VIRTQ_DESCRIPTOR_WRITE) != 0;

    if (descriptor->length == 0 || !home_dma_reachable(model->device, descriptor->address, descriptor->length, write))
        model_complain(model, "queue %u: a part of %u bytes at 0x%llx that the device may not %s", request->queue,
                       descriptor->length, (unsigned long long)descriptor->address, write ? "write" : "read");
    if (!write && request->part_count != request->out_count)
        model_complain(model, "queue %u: a readable part behind a writable one", request->queue);
    request->parts = realloc(request->parts, (request->part_count + 1) * sizeof *request->parts);
    request->parts[request->part_count++] =
        (struct virtio_model_part){.address = descriptor->address, .length = descriptor->length};
    if (write) {
        request->writable += descriptor->length;
    } else {
        request->out_count++;
        request->readable += descriptor->length;
    }
}

/* Walks a chain in the table of `size` descriptors at `table`. */
static void walk(struct virtio_model *model, struct virtio_model_request *request, device_address table, uint32_t size,
                 uint16_t at, bool nested)
{
    const struct model_queue *queue = &model->queues[request->queue];

    for (uint32_t steps = 0;; steps++) {
        struct virtq_descriptor descriptor;
        device_address address = table + (uint64_t)at * sizeof descriptor;
        if (at >= size || steps >= size || request->part_count >= MAX_PARTS) {
            model_complain(model, "queue %u: a chain leaves its table, or has no end", request->queue);
            return;
        }
        if (!home_dma_read(model->device, address, &descriptor, sizeof descriptor))
            return;
        if (evil_once(model, E07_DESCRIPTOR_LOOP))
            home_dma_scribble(model->device, address + 12, &(uint16_t[]){VIRTQ_DESCRIPTOR_NEXT | descriptor.flags, at},
                              4);
        if (model->evil == (nested ? E14_REWRITES_INDIRECT : E06_REWRITES_DESCRIPTORS)) {
            struct virtq_descriptor garbage = {home_random(), (uint32_t)home_random(), (uint16_t)home_random(),
                                               (uint16_t)home_random()};
            model->evil_count++;
            home_dma_scribble(model->device, address, &garbage, sizeof garbage);
        }
        if ((descriptor.flags & VIRTQ_DESCRIPTOR_INDIRECT) != 0) {
            if (nested || !has(model, VIRTIO_F_INDIRECT_DESC) || (descriptor.flags & ~VIRTQ_DESCRIPTOR_INDIRECT) != 0 ||
                descriptor.length == 0 || descriptor.length % sizeof descriptor != 0 ||
                descriptor.length / sizeof descriptor > queue->size)
                model_complain(model, "queue %u: a bad indirect descriptor", request->queue);
            else
                walk(model, request, descriptor.address, descriptor.length / sizeof descriptor, 0, true);
            return;
        }
        add_part(model, request, &descriptor);
        if ((descriptor.flags & VIRTQ_DESCRIPTOR_NEXT) == 0)
            return;
        at = descriptor.next;
    }
}

static uint16_t read16(struct virtio_model *model, device_address address)
{
    uint16_t value = 0;

    home_dma_read(model->device, address, &value, sizeof value);
    return value;
}

static void write16(struct virtio_model *model, device_address address, uint16_t value)
{
    home_dma_write(model->device, address, &value, sizeof value);
}

bool virtio_model_take(struct virtio_model *model, uint16_t number, struct virtio_model_request *request)
{
    struct model_queue *queue = &model->queues[number];

    *request = (struct virtio_model_request){.queue = number, .serial = queue->taken};
    if (!queue->enabled)
        return false;
    uint16_t index = read16(model, queue->available + 2);
    if (index == queue->taken)
        return false;
    if ((uint16_t)(index - queue->taken) > queue->size)
        model_complain(model, "queue %u: the available index moved from %u to %u", number, queue->taken, index);
    request->head = read16(model, queue->available + 4 + 2u * (queue->taken % queue->size));
    if (request->head >= queue->size || queue->in_flight[request->head]) {
        model_complain(model, "queue %u: descriptor %u is made available and in flight, or out of range", number,
                       request->head);
        return false;
    }
    queue->in_flight[request->head] = 1;
    queue->taken++;
    walk(model, request, queue->descriptors, queue->size, request->head, false);
    if (request->part_count > queue->size)
        model_complain(model, "queue %u: a chain of %u in a queue of %u", number, request->part_count, queue->size);
    return true;
}

void virtio_model_untake(struct virtio_model *model, struct virtio_model_request *request)
{
    struct model_queue *queue = &model->queues[request->queue];

    queue->in_flight[request->head] = 0;
    queue->taken--;
    free(request->parts);
    *request = (struct virtio_model_request){0};
}

/* ---- Completions ------------------------------------------------------------------------------------------- */

static void put_used(struct virtio_model *model, struct model_queue *queue, uint32_t id, uint32_t length)
{
    struct virtq_used_element element = {.id = id, .length = length};

    home_dma_write(model->device, queue->used + 4 + 8u * (queue->completed % queue->size), &element, sizeof element);
    queue->completed++;
}

/* The id that the device names for this request. */
static uint32_t evil_id(struct virtio_model *model, const struct model_queue *queue,
                        const struct virtio_model_request *request)
{
    switch (model->evil) {
    case E01_ID_BEYOND_QUEUE:
        return queue->size;
    case E01_ID_HUGE:
        return UINT32_MAX;
    case E02_ID_NOT_IN_FLIGHT:
        return queue->size - 1u;
    case E02_ID_NOT_A_HEAD: /* the chain's second descriptor */
        return read16(model, queue->descriptors + request->head * 16u + 14);
    case E02_ID_NOT_SUBMITTED: /* the next that the driver would use */
        return request->head + request->part_count;
    default:
        return request->head;
    }
}

static void publish(struct virtio_model *model, struct virtio_model_request *request, uint32_t written)
{
    struct model_queue *queue = &model->queues[request->queue];
    uint32_t id = evil_id(model, queue, request);

    if (model->evil == E04_LENGTH_BEYOND)
        written = request->writable + 1000;
    if (model->evil == E05_LENGTH_0)
        written = 0;
    if (model->evil == E29_WRITES_AFTER_COMPLETION && request->part_count > request->out_count) {
        model->after_address = request->parts[request->out_count].address;
        model->after_length = request->parts[request->out_count].length;
        model->after_when = clock_now() + AFTER_NS;
    }
    queue->in_flight[request->head] = 0;
    put_used(model, queue, id, written);
    if (evil_once(model, E02_COMPLETED_TWICE))
        put_used(model, queue, id, written);
    if (evil_once(model, E03_INDEX_JUMPS))
        queue->completed = (uint16_t)(queue->completed + queue->size);
    if (evil_once(model, E03_INDEX_BACK))
        queue->completed = (uint16_t)(queue->completed - 2);
    if (evil_once(model, E03_INDEX_ONE_MORE))
        queue->completed++;
    model->completed++;
    free(request->parts);
    request->parts = NULL;
}

/* Makes the entries visible and interrupts if the driver asked for it [virtio 1.2 §2.7.7.2, §2.7.10]. */
static void show(struct virtio_model *model, uint16_t number, uint16_t old)
{
    struct model_queue *queue = &model->queues[number];
    uint16_t new = queue->completed;

    if (new == old)
        return;
    write16(model, queue->used + 2, new);
    bool wanted = has(model, VIRTIO_F_EVENT_IDX)
                      ? virtq_passed(read16(model, queue->available + 4 + 2u * queue->size), new, old)
                      : (read16(model, queue->available) & VIRTQ_AVAILABLE_NO_INTERRUPT) == 0;
    if (wanted)
        model_signal(model, VIRTIO_ISR_QUEUE, queue->vector);
    if (evil_once(model, D15_NEEDS_RESET)) {
        model->status |= VIRTIO_STATUS_NEEDS_RESET;
        model_signal(model, VIRTIO_ISR_CONFIG, model->config_vector);
    }
    if (evil_once(model, D15_GONE))
        model->gone = true;
}

void virtio_model_complete(struct virtio_model *model, struct virtio_model_request requests[], const uint32_t written[],
                           unsigned count)
{
    if (count == 0)
        return;
    uint16_t old = model->queues[requests[0].queue].completed;
    for (unsigned i = 0; i < count; i++)
        publish(model, &requests[i], written[i]);
    show(model, requests[0].queue, old);
}

static void finish_later(struct virtio_model *model, const struct virtio_model_request *request, uint32_t written)
{
    uint64_t delay = model->options.delay_ns != 0 ? home_random() % model->options.delay_ns : 0;

    if (evil_once(model, E10_ONE_NEVER)) {
        free(request->parts);
        return;
    }
    if (evil_once(model, E10_ONE_LATE))
        delay = LATE_NS;
    if (model->completion_count == model->completion_capacity) {
        model->completion_capacity = model->completion_capacity * 2 + 16;
        model->completions = realloc(model->completions, model->completion_capacity * sizeof *model->completions);
    }
    model->completions[model->completion_count++] =
        (struct completion){.request = *request, .written = written, .when = clock_now() + delay};
}

/* Tells of what is due, in order or in any; returns how many. */
static unsigned tell(struct virtio_model *model, uint64_t now)
{
    uint16_t old[VIRTIO_MODEL_MAX_QUEUES];
    unsigned told = 0;

    for (unsigned i = 0; i < model->class->queue_count; i++)
        old[i] = model->queues[i].completed;
    for (size_t i = 0; i < model->completion_count;) {
        if (model->completions[i].when > now) {
            i++;
            continue;
        }
        size_t chosen = i;
        if (model->options.reorder) { /* a random one of those that are due, and random ones may come late */
            chosen = i + home_random() % (model->completion_count - i);
            if (model->completions[chosen].when > now)
                chosen = i;
        }
        struct completion completion = model->completions[chosen];
        model->completion_count--;
        memmove(&model->completions[chosen], &model->completions[chosen + 1],
                (model->completion_count - chosen) * sizeof completion);
        publish(model, &completion.request, completion.written);
        told++;
        if (model->options.one_at_a_time)
            break;
    }
    for (uint16_t i = 0; i < model->class->queue_count; i++)
        show(model, i, old[i]);
    return told;
}

/* ---- Work ---------------------------------------------------------------------------------------------------- */

/* Carries out what is in the ring; then asks to be told of more, and looks once again [§2.7.7.2]. */
static void work(struct virtio_model *model, uint16_t number)
{
    struct model_queue *queue = &model->queues[number];
    device_address avail_event = queue->used + 4 + 8u * queue->size;
    struct virtio_model_request request;
    bool event_index = has(model, VIRTIO_F_EVENT_IDX);

    queue->notified = false;
    if (!event_index)
        write16(model, queue->used, VIRTQ_USED_NO_NOTIFY);
    for (bool again = true; again;) {
        bool held = false;
        while (!held && virtio_model_take(model, number, &request)) {
            uint32_t written = model->class->handle(model, model->context, &request);
            held = written == VIRTIO_MODEL_HOLD;
            if (held)
                virtio_model_untake(model, &request);
            else
                finish_later(model, &request, written);
        }
        if (event_index)
            write16(model, avail_event, read16(model, queue->available + 2));
        else
            write16(model, queue->used, 0);
        again = !held && read16(model, queue->available + 2) != queue->taken;
        if (model->complaints > 1000)
            return; /* a driver out of its mind */
    }
}

static void do_evil(struct virtio_model *model, uint64_t now)
{
    for (uint16_t i = 0; i < model->class->queue_count; i++) {
        struct model_queue *queue = &model->queues[i];
        if (!queue->enabled)
            continue;
        if (model->evil == E08_AVAIL_EVENT_GARBAGE)
            write16(model, queue->used + 4 + 8u * queue->size, (uint16_t)home_random());
        if (model->evil == E08_FLAGS_RANDOM)
            write16(model, queue->used, (uint16_t)home_random());
    }
    if (model->evil == E29_WRITES_ANYWHERE)
        home_dma_write(model->device, home_random() >> (home_random() % 64), &now, 1 + home_random() % 8);
    if (model->after_when != 0 && now >= model->after_when) {
        uint8_t junk[64];
        memset(junk, 0x5a, sizeof junk);
        home_dma_write(model->device, model->after_address, junk,
                       model->after_length < sizeof junk ? model->after_length : sizeof junk);
        model->after_when = 0;
        model->evil_count++;
    }
    if ((model->evil == E11_INTERRUPT_FOR_NOTHING && now >= model->nothing_when) ||
        model->evil == D13_INTERRUPT_STORM) {
        model_signal(model, VIRTIO_ISR_QUEUE | VIRTIO_ISR_CONFIG,
                     (uint16_t)(model->options.vectors != 0 ? home_random() % model->options.vectors : 0));
        model->nothing_when = now + NOTHING_NS;
        model->evil_count++;
    }
}

static uint64_t step(void *of, uint64_t now)
{
    struct virtio_model *model = of;
    uint64_t next = HOME_NEVER;
    bool worked = model->evil == D13_INTERRUPT_STORM;

    if (model->gone || (model->status & VIRTIO_STATUS_DRIVER_OK) == 0 ||
        (model->status & VIRTIO_STATUS_NEEDS_RESET) != 0)
        return HOME_NEVER;
    do_evil(model, now);
    for (uint16_t i = 0; i < model->class->queue_count; i++)
        if (model->queues[i].notified && model->queues[i].enabled) {
            work(model, i);
            worked = true;
        }
    if (tell(model, now) != 0 || worked)
        return 0;
    for (size_t i = 0; i < model->completion_count; i++)
        next = model->completions[i].when < next ? model->completions[i].when : next;
    if (model->after_when != 0 && model->after_when < next)
        next = model->after_when;
    if (model->evil == E11_INTERRUPT_FOR_NOTHING && model->nothing_when < next)
        next = model->nothing_when;
    return next;
}

/* ---- Life ------------------------------------------------------------------------------------------------------ */

void model_reset(struct virtio_model *model)
{
    for (unsigned i = 0; i < model->class->queue_count; i++) {
        struct model_queue *queue = &model->queues[i];
        memset(queue->in_flight, 0, 65536);
        queue->size = queue->limit;
        queue->vector = VIRTIO_NO_VECTOR;
        queue->enabled = queue->notified = false;
        queue->taken = queue->completed = 0;
    }
    for (size_t i = 0; i < model->completion_count; i++)
        free(model->completions[i].request.parts);
    model->completion_count = 0;
    model->after_when = 0;
    model->features = 0;
    model->offered_select = model->accepted_select = 0;
    model->status = 0;
    model->cause = 0;
    model->config_vector = VIRTIO_NO_VECTOR;
    model->queue_select = 0;
    model->guest_page_size = 0;
    if (model->device != NULL)
        home_line(model->device, false);
    if (model->class->reset != NULL)
        model->class->reset(model->context);
}

struct virtio_model *virtio_model_create(const struct virtio_model_class *class, void *context,
                                         const struct virtio_model_options *options, enum virtio_model_evil evil)
{
    static const struct home_device_ops ops = {
        .read = model_register_read, .write = model_register_write, .step = step};
    struct virtio_model *model = calloc(1, sizeof *model);
    struct home_device description = {.ops = &ops, .model = model};

    model->class = class;
    model->context = context;
    model->options = *options;
    model->evil = evil;
    for (unsigned i = 0; i < class->queue_count; i++) {
        model->queues[i].limit = options->queue_size != 0 ? options->queue_size : class->queue_sizes[i];
        model->queues[i].in_flight = calloc(65536, 1);
    }
    description.name = options->name != NULL ? options->name : "virtio0";
    model_describe(model, &description);
    model->device = home_device_create(&description);
    model_reset(model);
    return model;
}

void virtio_model_destroy(struct virtio_model *model)
{
    if (model == NULL)
        return;
    for (size_t i = 0; i < model->completion_count; i++)
        free(model->completions[i].request.parts);
    free(model->completions);
    for (unsigned i = 0; i < model->class->queue_count; i++)
        free(model->queues[i].in_flight);
    home_device_destroy(model->device);
    free(model);
}

struct device *virtio_model_device(struct virtio_model *model)
{
    return model->device;
}

void *virtio_model_context(struct virtio_model *model)
{
    return model->context;
}

uint8_t *virtio_model_config(struct virtio_model *model)
{
    return model->config;
}

void virtio_model_config_changed(struct virtio_model *model)
{
    model->generation++;
    if ((model->status & VIRTIO_STATUS_DRIVER_OK) != 0)
        model_signal(model, VIRTIO_ISR_CONFIG, model->config_vector);
}

void virtio_model_kick(struct virtio_model *model, uint16_t queue)
{
    model->queues[queue].notified = true;
}

enum virtio_model_evil virtio_model_evil(const struct virtio_model *model)
{
    return model->evil;
}

void virtio_model_misbehave(struct virtio_model *model, enum virtio_model_evil evil)
{
    model->evil = evil;
    model->evil_count = 0;
}

uint64_t virtio_model_features(const struct virtio_model *model)
{
    return model->features;
}

uint8_t virtio_model_status(const struct virtio_model *model)
{
    return model->status;
}

uint64_t virtio_model_completed(const struct virtio_model *model)
{
    return model->completed;
}

uint64_t virtio_model_interrupts(const struct virtio_model *model)
{
    return model->interrupts;
}

uint64_t virtio_model_notifications(const struct virtio_model *model)
{
    return model->notifications;
}

unsigned virtio_model_complaints(const struct virtio_model *model)
{
    return model->complaints;
}

const char *virtio_model_complaint(const struct virtio_model *model)
{
    return model->complaint;
}
