/* nvme_admin.c: the admin command set, see nvme.h [base §5]. */
#include <lib/bytes.h>
#include <model/nvme.h>
#include <stdlib.h>
#include <string.h>

enum {
    PAGE = 4096,
    INVALID_OPCODE = 1,
    INVALID_FIELD = 2,
    INVALID_QUEUE = 0x101,
    INVALID_SIZE = 0x102,
    INVALID_VECTOR = 0x108
};

static void store_le16(uint8_t *to, uint16_t value)
{
    to[0] = (uint8_t)value;
    to[1] = (uint8_t)(value >> 8);
}

static void store_le64(uint8_t *to, uint64_t value)
{
    store_le32(to, (uint32_t)value);
    store_le32(to + 4, (uint32_t)(value >> 32));
}

static void put_text(uint8_t *to, const char *text)
{
    while (*text != '\0')
        *to++ = (uint8_t)*text++;
}

static void controller_page(struct nvme_model *model, uint8_t *page)
{
    const struct nvme_model_options *options = &model->options;
    const char *name = options->model != NULL ? options->model : "a model";

    memset(page + 4, ' ', 68);
    put_text(page + 4, "a serial");
    put_text(page + 24, name);
    put_text(page + 64, "1.0");
    page[77] = options->transfer;
    store_le32(page + 88, 3000000); /* RTD3E */
    store_le16(page + 256, options->doorbell_buffer ? 1 << 8 : 0);
    page[259] = 3;
    page[512] = 0x66;
    page[513] = 0x44;
    store_le32(page + 516, 256);
    store_le16(page + 520, options->optional);
    page[525] = options->write_cache;
    put_text(page + 3072, "/dev/sdf");
    memset(page + 3080, ' ', 24);
    switch ((unsigned)options->evil) {
    case F12_NAMESPACES_0:
        store_le32(page + 516, 0);
        break;
    case F12_NAMESPACES_MOST:
        store_le32(page + 516, UINT32_MAX);
        break;
    case F12_TRANSFER_255:
        page[77] = 255;
        break;
    case F12_ENTRY_SIZES:
        page[512] = 0x77;
        break;
    case F12_STRINGS:
        memset(page + 4, 0xff, 68);
        break;
    default:
        break;
    }
}

static void namespace_page(struct nvme_model *model, uint8_t *page, uint32_t id)
{
    for (unsigned i = 0; i < NVME_MODEL_NAMESPACES; i++) {
        const struct nvme_model_namespace *is = &model->disks[i].is;
        if (id == 0 || is->id != id)
            continue;
        store_le64(page, is->claimed_blocks != 0 ? is->claimed_blocks : is->blocks);
        page[25] = is->format_count;
        page[26] = is->format;
        page[29] = is->protection;
        page[99] = is->attributes;
        unsigned format = (is->format & 15u) | (is->format >> 1 & 0x30u);
        for (unsigned j = 0; j < 64; j++) {
            store_le16(page + 128 + 4 * (size_t)j, j == format ? is->metadata : 0);
            page[130 + 4 * (size_t)j] = j == format ? is->exponent : 9;
        }
    }
}

static void list_page(struct nvme_model *model, uint8_t *page)
{
    unsigned count = 0;

    for (uint32_t id = 1; id < 300; id++) /* ascending */
        for (unsigned i = 0; i < NVME_MODEL_NAMESPACES; i++)
            if (model->disks[i].is.id == id)
                store_le32(page + 4 * (size_t)count++, id);
    switch ((unsigned)model->options.evil) {
    case F15_LIST_DESCENDS:
        store_le32(page, 7);
        store_le32(page + 4, 3);
        break;
    case F15_LIST_REPEATS:
        for (unsigned i = 0; i < PAGE / 4; i++)
            store_le32(page + 4 * (size_t)i, 1);
        break;
    case F15_LIST_FULL:
        for (unsigned i = 0; i < PAGE / 4; i++)
            store_le32(page + 4 * (size_t)i, i + 1);
        break;
    case F15_LIST_ONES:
        memset(page, 0xff, PAGE);
        break;
    default:
        break;
    }
}

static uint16_t identify(struct nvme_model *model, const uint8_t *entry)
{
    uint8_t page[PAGE] = {0};
    uint32_t what = load_le32(entry + 40);

    switch (what) {
    case 0:
        namespace_page(model, page, load_le32(entry + 4));
        break;
    case 1:
        controller_page(model, page);
        break;
    case 2:
        if (model->options.version != 0 && model->options.version < 0x10100)
            return INVALID_FIELD;
        list_page(model, page);
        break;
    case 6:
        if (model->options.no_limits_page)
            return INVALID_FIELD;
        page[1] = model->options.zeroes_limit;
        store_le32(page + 4, model->options.range_limit);
        break;
    default:
        nvme_model_complain(model, "identify of 0x%x", what);
        return INVALID_FIELD;
    }
    if (model->options.evil == F12_GARBAGE) {
        for (unsigned i = 0; i < PAGE; i++)
            page[i] = (uint8_t)home_random();
        page[512] = 0x66;
        page[513] = 0x44;
    }
    return home_dma_write(model->device, load_le64(entry + 24), page, PAGE) ? 0 : 4;
}

static uint16_t create_cq(struct nvme_model *model, const uint8_t *entry)
{
    uint32_t id = load_le32(entry + 40) & 0xffff, entries = (load_le32(entry + 40) >> 16) + 1;
    uint32_t how = load_le32(entry + 44), vector = how >> 16;

    if (id == 0 || id > model->granted || model->queues[id].cq_made) {
        nvme_model_complain(model, "completion queue %u of %u", id, model->granted);
        return INVALID_QUEUE;
    }
    if (entries < 2 || entries > model->options.entries + 1u) {
        nvme_model_complain(model, "a completion queue of %u entries", entries);
        return INVALID_SIZE;
    }
    if (model->options.evil == F17_COMPLETION_QUEUE_FAILS || (model->options.evil == F17_SECOND_QUEUE_FAILS && id == 2))
        return INVALID_FIELD;
    if ((how & 2) != 0 && ((model->options.evil == F17_VECTOR_INVALID) ||
                           vector >= (model->options.vectors != 0 ? model->options.vectors : 1)))
        return INVALID_VECTOR;
    struct nvme_model_queue *queue = &model->queues[id];
    queue->cq_made = true;
    queue->cq = load_le64(entry + 24);
    queue->cq_entries = (uint16_t)entries;
    queue->vector = (uint16_t)vector;
    queue->interrupts = (how & 2) != 0;
    queue->phase = true;
    if (queue->cq % PAGE != 0 || (how & 1) == 0 || !home_dma_reachable(model->device, queue->cq, 16u * entries, true))
        nvme_model_complain(model, "a completion queue at 0x%llx", (unsigned long long)queue->cq);
    return 0;
}

static uint16_t create_sq(struct nvme_model *model, const uint8_t *entry)
{
    uint32_t id = load_le32(entry + 40) & 0xffff, entries = (load_le32(entry + 40) >> 16) + 1;
    uint32_t how = load_le32(entry + 44);

    if (id == 0 || id > model->granted || !model->queues[id].cq_made || how >> 16 != id || model->queues[id].made) {
        nvme_model_complain(model, "submission queue %u", id);
        return INVALID_QUEUE;
    }
    if (model->options.evil == F17_SUBMISSION_QUEUE_FAILS)
        return INVALID_FIELD;
    struct nvme_model_queue *queue = &model->queues[id];
    queue->made = true;
    queue->sq = load_le64(entry + 24);
    queue->entries = (uint16_t)entries;
    if (queue->sq % PAGE != 0 || (how & 1) == 0 || !home_dma_reachable(model->device, queue->sq, 64u * entries, false))
        nvme_model_complain(model, "a submission queue at 0x%llx", (unsigned long long)queue->sq);
    return 0;
}

static uint16_t set_features(struct nvme_model *model, struct nvme_model_command *command)
{
    uint32_t feature = load_le32(command->entry + 40) & 0xff, wanted = load_le32(command->entry + 44);
    unsigned most = model->options.queues != 0 ? model->options.queues : 8, asked = (wanted & 0xffff) + 1;

    if (feature != 7)
        return feature == 0x0b ? 0 : INVALID_FIELD;
    if (model->options.evil == F16_REFUSES) {
        model->granted = 1;
        return INVALID_FIELD;
    }
    model->granted = asked < most ? asked : most;
    command->result = (model->granted - 1) << 16 | (model->granted - 1);
    if (model->options.evil == F16_GRANTS_MORE)
        command->result = UINT32_MAX;
    return 0;
}

static uint16_t get_log(struct nvme_model *model, const uint8_t *entry)
{
    uint32_t what = load_le32(entry + 40);
    size_t size = ((what >> 16) + 1) * 4;
    uint8_t page[PAGE] = {0};

    if (size > PAGE)
        nvme_model_complain(model, "a log page of %zu bytes", size);
    return home_dma_write(model->device, load_le64(entry + 24), page, size) ? 0 : 4;
}

/* The command ends as aborted, unless it is answered already or the controller does not want to. */
static uint16_t abort_command(struct nvme_model *model, struct nvme_model_command *command)
{
    uint32_t which = load_le32(command->entry + 40);

    model->aborts++;
    command->result = 1; /* not aborted */
    for (unsigned i = 0; i < model->command_count; i++) {
        struct nvme_model_command *other = &model->commands[i];
        if (other->queue != (which & 0xffff) || load_le16(other->entry + 2) != which >> 16)
            continue;
        if (model->options.evil == NVME_DROPS_AND_NO_ABORT || model->options.evil == F07_AFTER_RESET)
            return 0;
        command->result = 0;
        other->status = 7;
        other->held = false;
        other->due_ns = 0;
    }
    return 0;
}

bool nvme_model_admin(struct nvme_model *model, struct nvme_model_command *command)
{
    const uint8_t *entry = command->entry;

    model->admin_commands++;
    if (model->options.evil == F18_ADMIN_SILENT && model->admin_commands > model->options.after)
        return false;
    switch (entry[0]) {
    case 0x01:
        command->status = create_sq(model, entry);
        return true;
    case 0x02:
        command->status = get_log(model, entry);
        return true;
    case 0x05:
        command->status = create_cq(model, entry);
        return true;
    case 0x06:
        command->status = identify(model, entry);
        return true;
    case 0x08:
        command->status = abort_command(model, command);
        return model->options.evil != NVME_ABORT_SILENT;
    case 0x09:
        command->status = set_features(model, command);
        return true;
    case 0x0c:
        return false; /* answered when there is something to say */
    case 0x7c:
        if (!model->options.doorbell_buffer)
            break;
        model->shadow = load_le64(entry + 24);
        model->wishes = load_le64(entry + 32);
        if (!home_dma_reachable(model->device, model->shadow, PAGE, false) ||
            !home_dma_reachable(model->device, model->wishes, PAGE, true))
            nvme_model_complain(model, "a doorbell buffer at 0x%llx", (unsigned long long)model->shadow);
        return true;
    default:
        nvme_model_complain(model, "admin opcode 0x%x", entry[0]);
        break;
    }
    command->status = INVALID_OPCODE;
    return true;
}
