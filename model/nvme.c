/* nvme.c: registers, queues and life, see nvme.h [base §3]. */
#include <lib/bytes.h>
#include <model/nvme.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    CAP = 0,
    VS = 8,
    INTMS = 0x0c,
    INTMC = 0x10,
    CC = 0x14,
    CSTS = 0x1c,
    AQA = 0x24,
    ASQ = 0x28,
    DOORBELLS = 0x1000
};
enum { ENABLE = 1, READY = 1, FATAL = 2, SHUTDOWN_DONE = 8, PAGE = 4096, WINDOW_SIZE = 0x4000, NOT_READY = 0x82 };

#define LATE (45 * NANOSECONDS_PER_SECOND)

void nvme_model_complain(struct nvme_model *model, const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    if (model->complaints++ == 0)
        vsnprintf(model->complaint, sizeof model->complaint, format, arguments);
    va_end(arguments);
}

bool nvme_model_does(struct nvme_model *model, enum nvme_evil evil)
{
    const struct nvme_model_options *options = &model->options;

    if (options->evil != evil || model->io_commands <= options->after ||
        (options->times != 0 && model->evils >= options->times))
        return false;
    model->evils++;
    return true;
}

/* ---- Reset ---------------------------------------------------------------------------------------------------- */

static void reset(struct nvme_model *model)
{
    model->resets++;
    model->was_reset = true;
    for (unsigned i = 0; i < model->command_count; i++)
        if (model->commands[i].held && model->commands[i].queue != 0)
            model->lost_identifier = load_le16(model->commands[i].entry + 2);
    model->command_count = 0;
    memset(model->queues, 0, sizeof model->queues);
    model->shadow = model->wishes = 0;
    model->granted = 0;
    model->mask = 0;
    model->state &= model->options.evil == F05_ALWAYS_READY ? READY : 0;
    if (model->options.evil == NVME_SHRINKS) {
        model->options.queues = 1;
        model->options.entries = 7;
        model->options.evil = NVME_EVIL_NONE;
    }
    if (model->options.vectors == 0)
        home_line(model->device, false);
}

static void enable(struct nvme_model *model)
{
    struct nvme_model_queue *admin = &model->queues[0];

    if ((model->configuration & 0xfff0) != 0 || (model->configuration >> 16 & 0xff) != 0x46)
        nvme_model_complain(model, "configuration 0x%x", model->configuration);
    admin->made = admin->cq_made = admin->interrupts = admin->phase = true;
    admin->entries = (uint16_t)((model->attributes & 0xfff) + 1);
    admin->cq_entries = (uint16_t)((model->attributes >> 16 & 0xfff) + 1);
    admin->sq = model->admin_halves[0] | (uint64_t)model->admin_halves[1] << 32;
    admin->cq = model->admin_halves[2] | (uint64_t)model->admin_halves[3] << 32;
    if (admin->sq % PAGE != 0 || admin->cq % PAGE != 0 ||
        !home_dma_reachable(model->device, admin->sq, 64u * admin->entries, false) ||
        !home_dma_reachable(model->device, admin->cq, 16u * admin->cq_entries, true))
        nvme_model_complain(model, "admin queues at 0x%llx and 0x%llx", (unsigned long long)admin->sq,
                            (unsigned long long)admin->cq);
    if (model->options.evil != F05_NEVER_READY && !(model->options.evil == F21_NEVER_READY_AGAIN && model->evils != 0))
        model->state |= READY;
}

/* ---- Registers ------------------------------------------------------------------------------------------------ */

static uint64_t capabilities(const struct nvme_model *model)
{
    const struct nvme_model_options *options = &model->options;
    uint64_t value = options->entries | UINT64_C(1) << 16 | (uint64_t)options->timeout << 24 |
                     (uint64_t)options->stride << 32 | UINT64_C(1) << 37;

    switch ((unsigned)options->evil) {
    case F01_CAPABILITIES_ONES:
        return UINT64_MAX;
    case F01_CAPABILITIES_ZERO:
        return 0;
    case F02_QUEUES_OF_ONE:
        return value & ~UINT64_C(0xffff);
    case F04_LARGE_PAGES:
        return value | UINT64_C(4) << 48 | UINT64_C(4) << 52;
    default:
        return value;
    }
}

static uint32_t read_register(void *context, unsigned window, uint64_t offset, unsigned width)
{
    struct nvme_model *model = context;

    if (model->gone || window != 0)
        return UINT32_MAX;
    if (width != 4)
        nvme_model_complain(model, "a read of %u bytes at 0x%llx", width, (unsigned long long)offset);
    switch (offset) {
    case CAP:
        return (uint32_t)capabilities(model);
    case CAP + 4:
        return (uint32_t)(capabilities(model) >> 32);
    case VS:
        return model->options.evil == F01_VERSION_ONES ? UINT32_MAX
               : model->options.version != 0           ? model->options.version
                                                       : 0x10400;
    case CC:
        return model->configuration;
    case CSTS:
        return model->state;
    default:
        if (offset >= DOORBELLS)
            nvme_model_complain(model, "a doorbell is read");
        return model->options.evil == F20_BUFFERS_BEYOND ? UINT32_MAX : 0;
    }
}

static void write_configuration(struct nvme_model *model, uint32_t value)
{
    uint32_t before = model->configuration;

    model->configuration = value;
    if ((before & ENABLE) != 0 && (value & ENABLE) == 0)
        reset(model);
    if ((before & ENABLE) == 0 && (value & ENABLE) != 0)
        enable(model);
    if ((before & 3u << 14) == 0 && (value & 3u << 14) != 0) {
        model->shutdowns++;
        if (model->options.evil != NVME_SHUTDOWN_SILENT)
            model->state |= SHUTDOWN_DONE;
    }
}

static void set_line(struct nvme_model *model)
{
    bool level = false;

    for (unsigned id = 0; id < NVME_MODEL_QUEUES; id++)
        level |= model->queues[id].interrupts && model->queues[id].cq_head != model->queues[id].cq_tail &&
                 model->options.evil != NVME_NO_INTERRUPT;
    level |= model->options.evil == NVME_LINE_HELD && model->io_commands > model->options.after;
    if (level != model->line)
        home_line(model->device, level);
    model->line = level;
}

static void write_doorbell(struct nvme_model *model, uint64_t offset, uint32_t value)
{
    uint64_t stride = UINT64_C(4) << model->options.stride, index = (offset - DOORBELLS) / stride;
    struct nvme_model_queue *queue = index / 2 < NVME_MODEL_QUEUES ? &model->queues[index / 2] : NULL;

    if (queue == NULL || (offset - DOORBELLS) % stride != 0 || !queue->made ||
        value >= (index % 2 != 0 ? queue->cq_entries : queue->entries)) {
        nvme_model_complain(model, "doorbell %llu: %u", (unsigned long long)index, value);
        return;
    }
    if (index % 2 != 0) {
        queue->cq_head = (uint16_t)value;
        model->cq_doorbells += index > 1;
        if (model->options.vectors == 0)
            set_line(model);
    } else {
        queue->tail = (uint16_t)value;
        queue->asleep = false;
        model->sq_doorbells += index > 1;
    }
}

static void write_register(void *context, unsigned window, uint64_t offset, unsigned width, uint32_t value)
{
    struct nvme_model *model = context;

    if (model->gone || window != 0)
        return;
    if (width != 4)
        nvme_model_complain(model, "a write of %u bytes at 0x%llx", width, (unsigned long long)offset);
    if (offset >= AQA && offset < ASQ + 16 && (model->configuration & ENABLE) != 0)
        nvme_model_complain(model, "register 0x%llx is written while enabled", (unsigned long long)offset);
    if (offset >= DOORBELLS)
        write_doorbell(model, offset, value);
    else if (offset == CC)
        write_configuration(model, value);
    else if (offset == AQA)
        model->attributes = value;
    else if (offset >= ASQ && offset < ASQ + 16)
        model->admin_halves[(offset - ASQ) / 4] = value;
    else
        nvme_model_complain(model, "register 0x%llx is written", (unsigned long long)offset);
}

/* ---- Commands in ------------------------------------------------------------------------------------------------- */

static uint32_t doorbell_in_memory(struct nvme_model *model, unsigned id, unsigned which)
{
    uint8_t word[4] = {0};

    home_dma_read(model->device, model->shadow + ((2 * id + which) * UINT64_C(4) << model->options.stride), word, 4);
    return load_le32(word);
}

static void wish(struct nvme_model *model, unsigned id, unsigned which, uint32_t value)
{
    uint8_t word[4];

    store_le32(word, model->options.evil == F22_WISHES_GARBAGE ? (uint32_t)home_random()
                     : model->options.evil == F22_WISHES_NEVER ? value + 0x8000
                                                               : value);
    home_dma_write(model->device, model->wishes + ((2 * id + which) * UINT64_C(4) << model->options.stride), word, 4);
}

static void remove_disk(struct nvme_model *model, unsigned index)
{
    model->disks[index].is.id = 0;
    nvme_model_event(model, 2, 0, 4);
}

/* What becomes of an I/O command. */
static void take_io(struct nvme_model *model, struct nvme_model_command *command, uint64_t now)
{
    bool fatal = nvme_model_does(model, F06_FATAL) || nvme_model_does(model, NVME_SHRINKS) ||
                 nvme_model_does(model, F21_FATAL_AGAIN) || nvme_model_does(model, F21_NEVER_READY_AGAIN);

    model->queue_used[command->queue]++;
    if (fatal) {
        model->state |= FATAL;
        for (unsigned i = 0; i < model->command_count; i++)
            model->commands[i].held = true;
        command->held = true;
        return;
    }
    if (nvme_model_does(model, F06_GONE)) {
        model->gone = true;
        return;
    }
    if (nvme_model_does(model, F19_NAMESPACE_REMOVED))
        remove_disk(model, 1);
    command->held = nvme_model_does(model, NVME_DROPS) || nvme_model_does(model, NVME_DROPS_AND_NO_ABORT) ||
                    nvme_model_does(model, NVME_ABORT_SILENT) || nvme_model_does(model, F07_AFTER_RESET);
    if (nvme_model_does(model, NVME_DELAYS))
        command->due_ns = now + LATE;
    command->status = nvme_model_does(model, NVME_NOT_NOW)          ? NOT_READY
                      : nvme_model_does(model, F11_STATUS_RESERVED) ? 0x3fff
                      : nvme_model_does(model, F11_STATUS_MEDIA)    ? 0x4281
                      : nvme_model_does(model, F11_STATUS_MORE)     ? 0x3881
                                                                    : 0;
    if (command->status == 0 && !(command->held && home_random() % 2 == 0)) /* what is lost may have been done or not */
        command->status = nvme_model_io(model, command->entry);
}

static void take(struct nvme_model *model, unsigned id, uint64_t now)
{
    struct nvme_model_queue *queue = &model->queues[id];
    struct nvme_model_command command = {.queue = (uint16_t)id};
    unsigned in_queue = 0;

    if (!home_dma_read(model->device, queue->sq + 64u * (uint64_t)queue->head, command.entry, 64))
        nvme_model_complain(model, "entry %u of queue %u cannot be read", queue->head, id);
    queue->head = (uint16_t)((queue->head + 1) % queue->entries);
    command.due_ns = now + (model->options.delay_ns != 0 ? home_random() % model->options.delay_ns : 0);
    for (unsigned i = 0; i < model->command_count; i++) {
        in_queue += model->commands[i].queue == id;
        if (model->commands[i].queue == id && load_le16(model->commands[i].entry + 2) == load_le16(command.entry + 2))
            nvme_model_complain(model, "identifier 0x%x is in flight already", load_le16(command.entry + 2));
    }
    if (in_queue + 1 > model->most_in_flight && id != 0)
        model->most_in_flight = in_queue + 1;
    if (id == 0) {
        command.held = !nvme_model_admin(model, &command);
    } else {
        model->io_commands++;
        take_io(model, &command, now);
    }
    if (model->command_count == model->command_capacity) {
        model->command_capacity = 2 * model->command_capacity + 16;
        model->commands = realloc(model->commands, model->command_capacity * sizeof *model->commands);
    }
    model->commands[model->command_count++] = command;
}

static bool fetch(struct nvme_model *model, uint64_t now)
{
    bool any = false;

    for (unsigned id = 0; id < NVME_MODEL_QUEUES; id++) {
        struct nvme_model_queue *queue = &model->queues[id];
        bool in_memory = model->shadow != 0 && id != 0;
        if (!queue->made || (in_memory && queue->asleep))
            continue;
        uint16_t tail = in_memory ? (uint16_t)doorbell_in_memory(model, id, 0) : queue->tail;
        if (tail >= queue->entries) {
            nvme_model_complain(model, "tail %u of %u in memory", tail, queue->entries);
            continue;
        }
        while (queue->made && queue->head != tail && (model->state & FATAL) == 0 && !model->gone) {
            take(model, id, now);
            any = true;
        }
        if (in_memory && queue->made) {
            wish(model, id, 0, queue->head);
            queue->asleep = doorbell_in_memory(model, id, 0) == queue->head;
        }
    }
    return any;
}

/* ---- Answers out ----------------------------------------------------------------------------------------------------
 */

static void put(struct nvme_model *model, unsigned id, uint32_t result, uint32_t where, uint16_t identifier,
                uint16_t status)
{
    struct nvme_model_queue *queue = &model->queues[id];
    bool phase = queue->phase != nvme_model_does(model, F08_PHASE_FLIPPED);
    uint8_t entry[16] = {0};

    store_le32(entry, result);
    store_le32(entry + 8, where);
    store_le32(entry + 12, identifier | (uint32_t)status << 17 | (phase ? 1u << 16 : 0));
    if (!home_dma_write(model->device, queue->cq + 16u * (uint64_t)queue->cq_tail, entry, sizeof entry))
        nvme_model_complain(model, "answer %u of queue %u cannot be written", queue->cq_tail, id);
    if (++queue->cq_tail == queue->cq_entries) {
        queue->cq_tail = 0;
        queue->phase = !queue->phase;
    }
}

static void make_all_valid(struct nvme_model *model, unsigned id)
{
    struct nvme_model_queue *queue = &model->queues[id];
    uint8_t entry[16] = {0};

    for (unsigned i = 0; i < queue->cq_entries; i++) {
        store_le32(entry + 12, (uint32_t)(home_random() & 0xfffe0000) |
                                   (uint32_t)(i >= queue->cq_tail ? queue->phase : !queue->phase) << 16);
        home_dma_write(model->device, queue->cq + 16u * (uint64_t)i, entry, sizeof entry);
    }
}

static void answer(struct nvme_model *model, const struct nvme_model_command *command)
{
    struct nvme_model_queue *queue = &model->queues[command->queue];
    uint16_t identifier = load_le16(command->entry + 2);
    uint32_t where = queue->head | (uint32_t)command->queue << 16;
    unsigned id = command->queue, copies = 1;

    if (id != 0) {
        if (nvme_model_does(model, F07_IDENTIFIER_UNKNOWN))
            put(model, id, 0, where, (uint16_t)(0xfc00 | (home_random() & 0x3ff)), 0);
        if (nvme_model_does(model, F07_IDENTIFIER_WRONG))
            identifier ^= 0x8400;
        if (nvme_model_does(model, F07_TWICE))
            copies = 2;
        if (nvme_model_does(model, F10_OVERFLOW))
            copies = queue->cq_entries + 5u;
        if (nvme_model_does(model, F09_HEAD_BEYOND))
            where |= 0xffff;
        if (nvme_model_does(model, F09_OTHER_QUEUE))
            where ^= 1 << 16;
        if (nvme_model_does(model, F08_ALL_VALID))
            make_all_valid(model, id);
        if (model->lost_identifier != 0) {
            put(model, id, 0, where, model->lost_identifier, 0);
            model->lost_identifier = 0;
        }
    }
    while (copies-- != 0)
        put(model, id, command->result, where, identifier, command->status);
}

static bool has_room(struct nvme_model *model, unsigned id)
{
    struct nvme_model_queue *queue = &model->queues[id];

    if (model->shadow != 0 && id != 0 && model->options.vectors != 0) {
        uint32_t head = doorbell_in_memory(model, id, 1);
        if (head >= queue->cq_entries)
            nvme_model_complain(model, "head %u of %u in memory", head, queue->cq_entries);
        queue->cq_head = (uint16_t)head;
        wish(model, id, 1, head);
    }
    return (queue->cq_tail + 1) % queue->cq_entries != queue->cq_head;
}

/* Answers what is due, in any order when there are delays. */
static bool answer_due(struct nvme_model *model, uint64_t now, uint64_t *next)
{
    uint32_t told = 0;

    for (unsigned i = 0; i < model->command_count && (model->state & FATAL) == 0 && !model->gone;) {
        struct nvme_model_command command = model->commands[i];
        if (command.held || command.due_ns > now || !has_room(model, command.queue)) {
            if (!command.held && command.due_ns > now && command.due_ns < *next)
                *next = command.due_ns;
            i++;
            continue;
        }
        memmove(&model->commands[i], &model->commands[i + 1], (--model->command_count - i) * sizeof command);
        answer(model, &command);
        if (command.queue == 0 || !nvme_model_does(model, NVME_NO_INTERRUPT))
            told |= 1u << command.queue;
    }
    for (unsigned id = 0; id < NVME_MODEL_QUEUES; id++)
        if ((told >> id & 1) != 0 && model->queues[id].interrupts && model->options.vectors != 0) {
            home_interrupt(model->device, model->queues[id].vector);
            model->messages += id != 0;
        }
    return told != 0;
}

void nvme_model_event(struct nvme_model *model, unsigned kind, unsigned what, unsigned page)
{
    for (unsigned i = 0; i < model->command_count; i++)
        if (model->commands[i].queue == 0 && model->commands[i].entry[0] == 0x0c && model->commands[i].held) {
            model->commands[i].held = false;
            model->commands[i].result = kind | what << 8 | page << 16;
            model->events++;
            return;
        }
}

static uint64_t step(void *context, uint64_t now)
{
    struct nvme_model *model = context;
    uint64_t next = HOME_NEVER;

    if (model->gone || (model->state & READY) == 0)
        return HOME_NEVER;
    if (model->options.evil == F19_EVENT_STORM)
        nvme_model_event(model, 1, 1, 2);
    if (model->options.evil == F19_EVENT_UNKNOWN)
        nvme_model_event(model, 5, 0x77, 0xee);
    bool any = fetch(model, now);
    any |= answer_due(model, now, &next);
    if (model->options.vectors == 0)
        set_line(model);
    return any ? 0 : next;
}

/* ---- Life
 * --------------------------------------------------------------------------------------------------------------- */

static const struct home_device_ops ops = {.read = read_register, .write = write_register, .step = step};

struct nvme_model *nvme_model_create(const struct nvme_model_options *options)
{
    struct nvme_model *model = calloc(1, sizeof *model);
    struct home_device description = {
        .name = "nvme0",
        .identity = {.bus = DEVICE_BUS_PCI, .vendor = 0x1b36, .device = 0x10, .class_code = 0x010802},
        .window_sizes = {options->window != 0 ? options->window : (uint64_t)WINDOW_SIZE},
        .interrupt_count = options->vectors != 0 ? options->vectors : 1,
        .delivery = options->vectors != 0 ? INTERRUPT_MESSAGE : INTERRUPT_LINE,
        .ops = &ops,
        .model = model,
    };

    model->options = *options;
    for (unsigned i = 0; i < NVME_MODEL_NAMESPACES; i++) {
        struct nvme_model_namespace *is = &model->disks[i].is;
        *is = options->namespaces[i];
        if (is->id != 0)
            model->disks[i].bytes = calloc(is->blocks + 1, is->exponent < 13 ? (size_t)1 << is->exponent : 512);
    }
    if (options->evil == F06_FATAL_AT_START) { /* somebody left it so */
        model->configuration = ENABLE;
        model->state = READY | FATAL;
    }
    if (options->evil == F05_ALWAYS_READY)
        model->state = READY;
    model->device = home_device_create(&description);
    return model;
}

void nvme_model_destroy(struct nvme_model *model)
{
    home_device_destroy(model->device);
    for (unsigned i = 0; i < NVME_MODEL_NAMESPACES; i++)
        free(model->disks[i].bytes);
    free(model->commands);
    free(model);
}
