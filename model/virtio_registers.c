/*
 * virtio_registers.c: the registers of a virtio device as each transport shows them, see virtio_device.h.
 *
 * Written from the specification's device side, on its own: it shares nothing with the driver but the names
 * of register offsets. Widths and order of access are checked; what the driver does wrong is a complaint.
 */
#include <driver/virtio/virtio_reg.h>
#include <lib/bytes.h>
#include <model/virtio_model.h>
#include <string.h>

enum {
    MODERN_BAR = 4,
    MODERN_BAR_SIZE = 0x4000,
    AREA_COMMON = 0x0000,
    AREA_ISR = 0x1000,
    AREA_CONFIG = 0x2000,
    AREA_NOTIFY = 0x3000,
    AREA_SIZE = 0x1000,
    LEGACY_BAR_SIZE = 0x100,
    MMIO_SIZE = 0x200,
    NOTIFY_MULTIPLIER = 4,
    MODERN_DEVICE_BASE = 0x1040,
};

/* ---- What every transport has ------------------------------------------------------------------------ */

static struct model_queue *selected(struct virtio_model *model)
{
    return model->queue_select < model->class->queue_count ? &model->queues[model->queue_select] : NULL;
}

static uint32_t queue_limit(struct virtio_model *model)
{
    const struct model_queue *queue = selected(model);

    switch (model->evil) {
    case D10_QUEUE_SIZE_0:
        return 0;
    case D10_QUEUE_SIZE_3:
        return 3;
    case D10_QUEUE_SIZE_1000:
        return 1000;
    case D10_QUEUE_SIZE_32768:
        return 32768;
    case D10_QUEUE_SIZE_65535:
        return 65535;
    default:
        return queue != NULL ? queue->limit : 0;
    }
}

static uint8_t read_status(struct virtio_model *model)
{
    return model->status != 0 ? model->status : model->stuck_status;
}

static void write_status(struct virtio_model *model, uint32_t value)
{
    uint8_t added = (uint8_t)(value & ~(uint32_t)model->status);
    bool legacy = model_is_legacy(model);

    if (value == 0) {
        model->stuck_status = model->evil == D04_RESET_STUCK ? 15 : 0;
        model_reset(model);
        return;
    }
    if ((model->status & ~value & 0x3f) != 0)
        model_complain(model, "status bits 0x%x were taken away", model->status & ~value & 0x3f);
    if ((added & VIRTIO_STATUS_DRIVER) != 0 && (model->status & VIRTIO_STATUS_ACKNOWLEDGE) == 0)
        model_complain(model, "DRIVER before ACKNOWLEDGE");
    if ((added & VIRTIO_STATUS_FEATURES_OK) != 0) {
        if (legacy)
            model_complain(model, "FEATURES_OK on a legacy interface");
        if ((model->features & UINT64_C(1) << 32) == 0)
            model_complain(model, "FEATURES_OK without VERSION_1");
        if (model->evil == D05_FEATURES_REFUSED)
            value &= ~(uint32_t)VIRTIO_STATUS_FEATURES_OK;
        model->gone = model->evil == D05_GONE_AT_FEATURES;
    }
    if ((added & VIRTIO_STATUS_DRIVER_OK) != 0) {
        if (!legacy && (model->status & VIRTIO_STATUS_FEATURES_OK) == 0)
            model_complain(model, "DRIVER_OK before FEATURES_OK");
        if (model->class->live != NULL)
            model->class->live(model->context, model->features);
    }
    model->status = (uint8_t)value;
    if ((added & VIRTIO_STATUS_ACKNOWLEDGE) != 0 && model->evil == D13_EARLY_INTERRUPT)
        model_signal(model, VIRTIO_ISR_QUEUE | VIRTIO_ISR_CONFIG, 0);
}

static uint32_t read_offered(struct virtio_model *model)
{
    uint64_t offered = model_offered(model);

    return model->offered_select == 0 ? (uint32_t)offered : model->offered_select == 1 ? (uint32_t)(offered >> 32) : 0;
}

static void write_accepted(struct virtio_model *model, uint32_t value)
{
    unsigned shift = model->accepted_select == 0 ? 0 : 32;

    if (model->accepted_select > 1)
        return;
    if ((model->status & (VIRTIO_STATUS_FEATURES_OK | VIRTIO_STATUS_DRIVER_OK)) != 0)
        model_complain(model, "features were written after they were settled");
    if ((model->status & VIRTIO_STATUS_DRIVER) == 0)
        model_complain(model, "features were written before DRIVER");
    model->features &= ~(UINT64_C(0xffffffff) << shift);
    model->features |= (uint64_t)value << shift;
    if ((model->features & ~model_offered(model)) != 0)
        model_complain(model, "features 0x%llx were accepted that were not offered",
                       (unsigned long long)(model->features & ~model_offered(model)));
}

static uint32_t read_config(struct virtio_model *model, uint64_t offset, unsigned width)
{
    uint8_t bytes[4] = {0};

    if (model->evil == D12_GENERATION_STORM)
        for (unsigned i = 0; i < sizeof model->config; i++)
            model->config[i]++;
    for (unsigned i = 0; i < width; i++)
        if (offset + i < model->class->config_size)
            bytes[i] = model->config[offset + i];
    return load_le32(bytes);
}

static uint8_t read_generation(struct virtio_model *model)
{
    return model->evil == D12_GENERATION_STORM ? model->generation++ : model->generation;
}

static void write_queue_size(struct virtio_model *model, uint32_t value)
{
    struct model_queue *queue = selected(model);

    if (queue == NULL || model->evil == D10_QUEUE_SIZE_STUCK)
        return;
    if (!is_power_of_two(value) || value > queue_limit(model))
        model_complain(model, "queue %u was set to %u of %u entries", model->queue_select, value, queue_limit(model));
    queue->size = (uint16_t)value;
}

static void enable_queue(struct virtio_model *model)
{
    struct model_queue *queue = selected(model);

    if (queue == NULL || queue->enabled) {
        model_complain(model, "queue %u was enabled and is not there, or enabled already", model->queue_select);
        return;
    }
    if ((model->status & VIRTIO_STATUS_DRIVER_OK) != 0)
        model_complain(model, "queue %u was enabled after DRIVER_OK", model->queue_select);
    if (!model_is_legacy(model) && (model->status & VIRTIO_STATUS_FEATURES_OK) == 0)
        model_complain(model, "queue %u was enabled before FEATURES_OK", model->queue_select);
    if (queue->descriptors % 16 != 0 || queue->available % 2 != 0 || queue->used % 4 != 0)
        model_complain(model, "queue %u is not aligned", model->queue_select);
    uint32_t size = queue->size;
    if (!home_dma_reachable(model->device, queue->descriptors, size * sizeof(struct virtq_descriptor), false) ||
        !home_dma_reachable(model->device, queue->available, 6 + 2 * size, false) ||
        !home_dma_reachable(model->device, queue->used, 6 + 8 * size, true))
        model_complain(model, "queue %u lies outside of what the driver owns", model->queue_select);
    queue->enabled = true;
}

/* The one address of a legacy queue; the rest follows from it [virtio 1.2 §2.7.2]. */
static void write_queue_page(struct virtio_model *model, uint32_t page, uint32_t page_size)
{
    struct model_queue *queue = selected(model);

    if (queue == NULL || page == 0)
        return;
    if (page_size == 0)
        model_complain(model, "a queue's page before GuestPageSize");
    queue->descriptors = (device_address)page * page_size;
    queue->available = queue->descriptors + (uint64_t)queue->size * sizeof(struct virtq_descriptor);
    queue->used = align_up(queue->available + 6 + 2 * (uint64_t)queue->size, VIRTIO_LEGACY_PAGE);
    enable_queue(model);
}

static uint32_t read_queue_page(struct virtio_model *model)
{
    const struct model_queue *queue = selected(model);

    if (model->evil == D10_QUEUE_ENABLED)
        return 0x1234;
    return queue != NULL && queue->enabled ? (uint32_t)(queue->descriptors / VIRTIO_LEGACY_PAGE) : 0;
}

static uint16_t vector_answer(const struct virtio_model *model, uint16_t vector)
{
    return model->evil == D11_NO_VECTOR ? VIRTIO_NO_VECTOR : vector;
}

static void notify(struct virtio_model *model, uint32_t index)
{
    model->notifications++;
    if (index >= model->class->queue_count || !model->queues[index].enabled) {
        model_complain(model, "queue %u was rung and is not enabled", index);
        return;
    }
    if ((model->status & VIRTIO_STATUS_DRIVER_OK) == 0)
        model_complain(model, "queue %u was rung before DRIVER_OK", index);
    model->queues[index].notified = true;
}

static uint8_t read_and_clear_cause(struct virtio_model *model)
{
    uint8_t cause = model->cause;

    model->cause = 0;
    home_line(model->device, false);
    return cause;
}

/* Half an address of the selected queue: 0 descriptors, 1 available ring, 2 used ring. */
static void write_queue_address(struct virtio_model *model, unsigned which, bool high, uint32_t value)
{
    struct model_queue *queue = selected(model);

    if (queue == NULL)
        return;
    device_address *address = which == 0 ? &queue->descriptors : which == 1 ? &queue->available : &queue->used;
    *address = high ? (*address & UINT32_MAX) | (uint64_t)value << 32 : (*address & ~(uint64_t)UINT32_MAX) | value;
}

/* ---- PCI, modern ------------------------------------------------------------------------------------------ */

static unsigned common_width(uint64_t offset)
{
    if (offset < 0x10 || offset >= 0x20)
        return 4;
    return offset == VIRTIO_COMMON_STATUS || offset == VIRTIO_COMMON_GENERATION ? 1 : 2;
}

static uint32_t common_read(struct virtio_model *model, uint64_t offset)
{
    struct model_queue none = {0}, *queue = selected(model);

    if (queue == NULL)
        queue = &none;
    switch (offset) {
    case VIRTIO_COMMON_OFFERED:
        return read_offered(model);
    case VIRTIO_COMMON_CONFIG_VECTOR:
        return vector_answer(model, model->config_vector);
    case VIRTIO_COMMON_QUEUE_COUNT:
        return model->evil == D09_QUEUES_0       ? 0
               : model->evil == D09_QUEUES_1     ? 1
               : model->evil == D09_QUEUES_65535 ? 65535
                                                 : model->class->queue_count;
    case VIRTIO_COMMON_STATUS:
        return read_status(model);
    case VIRTIO_COMMON_GENERATION:
        return read_generation(model);
    case VIRTIO_COMMON_QUEUE_SIZE:
        return queue->size != 0 && queue->size < queue_limit(model) ? queue->size : queue_limit(model);
    case VIRTIO_COMMON_QUEUE_VECTOR:
        return vector_answer(model, queue->vector);
    case VIRTIO_COMMON_QUEUE_ENABLE:
        return model->evil == D10_QUEUE_ENABLED ? 1 : queue->enabled;
    case VIRTIO_COMMON_QUEUE_NOTIFY:
        return model->evil == D03_NOTIFY_OFFSET_BEYOND ? 0x4000 : model->queue_select;
    default:
        return 0;
    }
}

static void common_write(struct virtio_model *model, uint64_t offset, uint32_t value)
{
    struct model_queue none = {0}, *queue = selected(model);

    if (queue == NULL)
        queue = &none;
    if (offset >= VIRTIO_COMMON_QUEUE_DESC && offset < VIRTIO_COMMON_SIZE) {
        write_queue_address(model, (unsigned)(offset - VIRTIO_COMMON_QUEUE_DESC) / 8, offset % 8 != 0, value);
        return;
    }
    switch (offset) {
    case VIRTIO_COMMON_OFFERED_SELECT:
        model->offered_select = value;
        break;
    case VIRTIO_COMMON_ACCEPTED_SELECT:
        model->accepted_select = value;
        break;
    case VIRTIO_COMMON_ACCEPTED:
        write_accepted(model, value);
        break;
    case VIRTIO_COMMON_CONFIG_VECTOR:
        model->config_vector = (uint16_t)value;
        break;
    case VIRTIO_COMMON_STATUS:
        write_status(model, value);
        break;
    case VIRTIO_COMMON_QUEUE_SELECT:
        model->queue_select = (uint16_t)value;
        break;
    case VIRTIO_COMMON_QUEUE_SIZE:
        write_queue_size(model, value);
        break;
    case VIRTIO_COMMON_QUEUE_VECTOR:
        queue->vector = (uint16_t)value;
        break;
    case VIRTIO_COMMON_QUEUE_ENABLE:
        enable_queue(model);
        break;
    default:
        model_complain(model, "common configuration was written at 0x%llx", (unsigned long long)offset);
    }
}

static uint32_t modern_read(struct virtio_model *model, uint64_t offset, unsigned width)
{
    uint64_t within = offset % AREA_SIZE;

    switch (offset - within) {
    case AREA_COMMON:
        if (width != common_width(within))
            model_complain(model, "common configuration at 0x%llx read by %u bytes", (unsigned long long)within, width);
        return common_read(model, within);
    case AREA_ISR:
        return read_and_clear_cause(model);
    case AREA_CONFIG:
        return read_config(model, within, width);
    default:
        return 0;
    }
}

static void modern_write(struct virtio_model *model, uint64_t offset, unsigned width, uint32_t value)
{
    uint64_t within = offset % AREA_SIZE;
    uint32_t multiplier = model->evil == D03_MULTIPLIER_0 ? 0 : model->evil == D03_MULTIPLIER_2 ? 2 : NOTIFY_MULTIPLIER;

    switch (offset - within) {
    case AREA_COMMON:
        if (width != common_width(within))
            model_complain(model, "common configuration at 0x%llx written by %u bytes", (unsigned long long)within,
                           width);
        common_write(model, within, value);
        break;
    case AREA_NOTIFY:
        if (width != 2 || within != (uint64_t)value * multiplier)
            model_complain(model, "queue %u was rung at 0x%llx by %u bytes", value, (unsigned long long)within, width);
        notify(model, value);
        break;
    default:
        model_complain(model, "a write at 0x%llx", (unsigned long long)offset);
    }
}

/* ---- PCI, legacy --------------------------------------------------------------------------------------------- */

static uint32_t legacy_config_start(const struct virtio_model *model)
{
    return model->options.vectors != 0 ? VIRTIO_LEGACY_CONFIG_MSIX : VIRTIO_LEGACY_CONFIG;
}

static uint32_t legacy_read(struct virtio_model *model, uint64_t offset, unsigned width)
{
    const struct model_queue *queue = selected(model);

    if (offset >= legacy_config_start(model))
        return read_config(model, offset - legacy_config_start(model), width);
    switch (offset) {
    case VIRTIO_LEGACY_OFFERED:
        return (uint32_t)model_offered(model);
    case VIRTIO_LEGACY_QUEUE_PAGE:
        return read_queue_page(model);
    case VIRTIO_LEGACY_QUEUE_SIZE:
        return queue_limit(model);
    case VIRTIO_LEGACY_STATUS:
        return read_status(model);
    case VIRTIO_LEGACY_ISR:
        return read_and_clear_cause(model);
    case VIRTIO_LEGACY_CONFIG_VECTOR:
        return vector_answer(model, model->config_vector);
    case VIRTIO_LEGACY_QUEUE_VECTOR:
        return vector_answer(model, queue != NULL ? queue->vector : 0);
    default:
        return 0;
    }
}

static void legacy_write(struct virtio_model *model, uint64_t offset, uint32_t value)
{
    struct model_queue *queue = selected(model);

    if (offset >= legacy_config_start(model)) {
        model_complain(model, "the configuration was written");
        return;
    }
    switch (offset) {
    case VIRTIO_LEGACY_ACCEPTED:
        model->accepted_select = 0;
        write_accepted(model, value);
        break;
    case VIRTIO_LEGACY_QUEUE_PAGE:
        if (queue != NULL)
            queue->size = (uint16_t)queue_limit(model);
        write_queue_page(model, value, VIRTIO_LEGACY_PAGE);
        break;
    case VIRTIO_LEGACY_QUEUE_SELECT:
        model->queue_select = (uint16_t)value;
        break;
    case VIRTIO_LEGACY_QUEUE_NOTIFY:
        notify(model, value);
        break;
    case VIRTIO_LEGACY_STATUS:
        write_status(model, value);
        break;
    case VIRTIO_LEGACY_CONFIG_VECTOR:
        model->config_vector = (uint16_t)value;
        break;
    case VIRTIO_LEGACY_QUEUE_VECTOR:
        if (queue != NULL)
            queue->vector = (uint16_t)value;
        break;
    default:
        model_complain(model, "a legacy register was written at 0x%llx", (unsigned long long)offset);
    }
}

/* ---- MMIO ------------------------------------------------------------------------------------------------------ */

static uint32_t mmio_version(const struct virtio_model *model)
{
    return model->evil == D14_VERSION_0 ? 0 : model->evil == D14_VERSION_3 ? 3 : model_is_legacy(model) ? 1 : 2;
}

static uint32_t mmio_read(struct virtio_model *model, uint64_t offset, unsigned width)
{
    const struct model_queue *queue = selected(model);

    if (offset >= VIRTIO_MMIO_CONFIG)
        return read_config(model, offset - VIRTIO_MMIO_CONFIG, width);
    if (width != 4)
        model_complain(model, "register 0x%llx read by %u bytes", (unsigned long long)offset, width);
    switch (offset) {
    case VIRTIO_MMIO_MAGIC:
        return model->evil == D14_BAD_MAGIC ? 0x74726977 : VIRTIO_MMIO_MAGIC_VALUE;
    case VIRTIO_MMIO_VERSION:
        return mmio_version(model);
    case VIRTIO_MMIO_DEVICE:
        return model->evil == D14_NO_DEVICE ? 0 : model->class->id;
    case VIRTIO_MMIO_VENDOR:
        return 0x554d4551;
    case VIRTIO_MMIO_OFFERED:
        return read_offered(model);
    case VIRTIO_MMIO_QUEUE_MAX:
        return queue_limit(model);
    case VIRTIO_MMIO_QUEUE_PAGE:
        if (!model_is_legacy(model))
            model_complain(model, "QueuePFN of a modern device");
        return read_queue_page(model);
    case VIRTIO_MMIO_QUEUE_READY:
        if (model_is_legacy(model))
            model_complain(model, "QueueReady of a legacy device");
        return model->evil == D10_QUEUE_ENABLED || (queue != NULL && queue->enabled);
    case VIRTIO_MMIO_CAUSE:
        return model->cause;
    case VIRTIO_MMIO_STATUS:
        return read_status(model);
    case VIRTIO_MMIO_GENERATION:
        return read_generation(model);
    default:
        model_complain(model, "register 0x%llx was read", (unsigned long long)offset);
        return 0;
    }
}

static void mmio_write(struct virtio_model *model, uint64_t offset, unsigned width, uint32_t value)
{
    bool legacy = model_is_legacy(model), queue_address = offset >= VIRTIO_MMIO_QUEUE_DESC && offset < 0xa8;

    if (width != 4)
        model_complain(model, "register 0x%llx written by %u bytes", (unsigned long long)offset, width);
    if (legacy ? queue_address || offset == VIRTIO_MMIO_QUEUE_READY
               : offset == VIRTIO_MMIO_GUEST_PAGE_SIZE || offset == VIRTIO_MMIO_QUEUE_ALIGN ||
                     offset == VIRTIO_MMIO_QUEUE_PAGE)
        model_complain(model, "register 0x%llx is not of this version", (unsigned long long)offset);
    if (queue_address && offset % 16 < 8) {
        write_queue_address(model, (unsigned)(offset - VIRTIO_MMIO_QUEUE_DESC) / 16, offset % 16 != 0, value);
        return;
    }
    switch (offset) {
    case VIRTIO_MMIO_OFFERED_SELECT:
        model->offered_select = value;
        break;
    case VIRTIO_MMIO_ACCEPTED_SELECT:
        model->accepted_select = value;
        break;
    case VIRTIO_MMIO_ACCEPTED:
        write_accepted(model, value);
        break;
    case VIRTIO_MMIO_GUEST_PAGE_SIZE:
        model->guest_page_size = value;
        break;
    case VIRTIO_MMIO_QUEUE_SELECT:
        model->queue_select = (uint16_t)value;
        break;
    case VIRTIO_MMIO_QUEUE_SIZE:
        write_queue_size(model, value);
        break;
    case VIRTIO_MMIO_QUEUE_ALIGN:
        if (value != VIRTIO_LEGACY_PAGE)
            model_complain(model, "QueueAlign %u", value);
        break;
    case VIRTIO_MMIO_QUEUE_PAGE:
        write_queue_page(model, value, model->guest_page_size);
        break;
    case VIRTIO_MMIO_QUEUE_READY:
        enable_queue(model);
        break;
    case VIRTIO_MMIO_QUEUE_NOTIFY:
        notify(model, value);
        break;
    case VIRTIO_MMIO_CAUSE_CLEAR:
        model->cause &= (uint8_t)~value;
        home_line(model->device, model->cause != 0);
        break;
    case VIRTIO_MMIO_STATUS:
        write_status(model, value);
        break;
    default:
        model_complain(model, "register 0x%llx was written", (unsigned long long)offset);
    }
}

/* ---- All -------------------------------------------------------------------------------------------------------- */

static bool is_mmio(const struct virtio_model *model)
{
    return model->options.transport == VIRTIO_MODEL_MMIO_LEGACY || model->options.transport == VIRTIO_MODEL_MMIO_MODERN;
}

uint32_t model_register_read(void *of, unsigned window, uint64_t offset, unsigned width)
{
    struct virtio_model *model = of;

    if (model->gone)
        return UINT32_MAX;
    if (is_mmio(model))
        return mmio_read(model, offset, width);
    return window == MODERN_BAR ? modern_read(model, offset, width) : legacy_read(model, offset, width);
}

void model_register_write(void *of, unsigned window, uint64_t offset, unsigned width, uint32_t value)
{
    struct virtio_model *model = of;

    if (model->gone)
        return;
    if (is_mmio(model)) {
        mmio_write(model, offset, width, value);
    } else if (window == MODERN_BAR) {
        if (offset < AREA_SIZE)
            model->modern_used = true;
        modern_write(model, offset, width, value);
    } else {
        if (model->modern_used)
            model_complain(model, "a legacy register was written of a device that is used as a modern one");
        model->legacy_used = true;
        legacy_write(model, offset, value);
    }
}

/* ---- Capabilities ------------------------------------------------------------------------------------------------ */

static struct home_capability *add_capability(struct home_device *to, uint8_t type, uint8_t bar, uint32_t offset,
                                              uint32_t size)
{
    struct home_capability *capability = &to->capabilities[to->capability_count++];

    *capability = (struct home_capability){.size = type == VIRTIO_CAP_TYPE_NOTIFY ? 20 : 16};
    capability->bytes[0] = PCI_CAPABILITY_VENDOR;
    capability->bytes[VIRTIO_CAP_LENGTH] = capability->size;
    capability->bytes[VIRTIO_CAP_TYPE] = type;
    capability->bytes[VIRTIO_CAP_BAR] = bar;
    store_le32(capability->bytes + VIRTIO_CAP_OFFSET, offset);
    store_le32(capability->bytes + VIRTIO_CAP_SIZE, size);
    return capability;
}

/* What comes before the common configuration's real capability, or spoils it. */
static void add_common(const struct virtio_model *model, struct home_device *to)
{
    if (model->evil == D01_CAPABILITY_UNKNOWN_TYPES)
        for (unsigned type = 0; type < 256; type += 50)
            add_capability(to, (uint8_t)type, MODERN_BAR, 0, AREA_SIZE);
    if (model->evil == D02_FIRST_COMMON_BAD)
        add_capability(to, VIRTIO_CAP_TYPE_COMMON, 5, 0, AREA_SIZE);
    if (model->evil == D02_SHARED_MEMORY_BETWEEN)
        add_capability(to, 8, 2, 0, AREA_SIZE);

    struct home_capability *common = add_capability(to, VIRTIO_CAP_TYPE_COMMON, MODERN_BAR, AREA_COMMON, AREA_SIZE);
    uint8_t *offset = common->bytes + VIRTIO_CAP_OFFSET, *size = common->bytes + VIRTIO_CAP_SIZE;
    switch (model->evil) {
    case D01_CAPABILITY_SHORT:
        common->bytes[VIRTIO_CAP_LENGTH] = 15;
        break;
    case D01_CAPABILITY_CUT:
        common->size = 15;
        break;
    case D01_CAPABILITY_BAR:
        common->bytes[VIRTIO_CAP_BAR] = 6;
        break;
    case D01_CAPABILITY_BEYOND_BAR:
        store_le32(offset, MODERN_BAR_SIZE - 32);
        break;
    case D01_CAPABILITY_WRAPS:
        store_le32(offset, UINT32_C(0xfffff000));
        break;
    case D01_CAPABILITY_UNALIGNED:
        store_le32(offset, 2);
        break;
    case D01_CAPABILITY_EMPTY:
        store_le32(size, 0);
        break;
    case D01_CAPABILITY_HUGE:
        store_le32(size, UINT32_MAX);
        break;
    case D02_FIRST_COMMON_WINS: /* the second would lead to the wrong registers */
        add_capability(to, VIRTIO_CAP_TYPE_COMMON, MODERN_BAR, AREA_CONFIG, AREA_SIZE);
        break;
    default:
        break;
    }
}

static void add_capabilities(const struct virtio_model *model, struct home_device *to)
{
    uint32_t multiplier = model->evil == D03_MULTIPLIER_0      ? 0
                          : model->evil == D03_MULTIPLIER_1    ? 1
                          : model->evil == D03_MULTIPLIER_2    ? 2
                          : model->evil == D03_MULTIPLIER_6    ? 6
                          : model->evil == D03_MULTIPLIER_HUGE ? UINT32_C(0x80000000)
                                                               : NOTIFY_MULTIPLIER;
    add_common(model, to);
    add_capability(to, VIRTIO_CAP_TYPE_ISR, MODERN_BAR, AREA_ISR, AREA_SIZE);
    if (model->class->config_size != 0)
        add_capability(to, VIRTIO_CAP_TYPE_DEVICE, MODERN_BAR, AREA_CONFIG, model->class->config_size);
    if (model->evil != D01_CAPABILITY_NO_NOTIFY)
        store_le32(add_capability(to, VIRTIO_CAP_TYPE_NOTIFY, MODERN_BAR, AREA_NOTIFY, AREA_SIZE)->bytes +
                       VIRTIO_CAP_MULTIPLIER,
                   multiplier);
}

void model_describe(const struct virtio_model *model, struct home_device *to)
{
    /* Transitional device IDs go by class [§4.1.2.1]. */
    static const uint16_t transitional_ids[] = {[1] = 0x1000, [2] = 0x1001, [3] = 0x1003, [4] = 0x1005, [8] = 0x1004};
    bool modern_only = model->options.transport == VIRTIO_MODEL_PCI_MODERN;
    uint16_t id = model->class->id;

    to->interrupt_count = model->options.vectors != 0 ? model->options.vectors : 1;
    to->delivery = model->options.polled         ? INTERRUPT_POLLED
                   : model->options.vectors != 0 ? INTERRUPT_MESSAGE
                                                 : INTERRUPT_LINE;
    to->identity.vendor = 0x1af4;
    if (is_mmio(model)) {
        to->identity.bus = DEVICE_BUS_VIRTIO_MMIO;
        to->identity.device = id;
        to->window_sizes[0] = model->evil == D01_WINDOW_SMALL ? 0x80 : MMIO_SIZE;
        return;
    }
    to->identity.bus = DEVICE_BUS_PCI;
    to->identity.class_code = model->class->class_code;
    to->identity.subsystem_vendor = 0x1af4;
    to->identity.subsystem = modern_only ? 0x1100 : id;
    to->identity.revision = modern_only ? 1 : 0;
    to->identity.device =
        modern_only || (id >= 5 && id != 8) ? (uint16_t)(MODERN_DEVICE_BASE + id) : transitional_ids[id];
    if (model->options.vectors != 0) {
        to->capabilities[to->capability_count++] = (struct home_capability){
            .size = 12, .bytes = {PCI_CAPABILITY_MSIX, 0, (uint8_t)(model->options.vectors - 1), 0x80, 1}};
        to->window_sizes[1] = 4096;
    }
    if (!modern_only)
        to->window_sizes[0] = model->evil == D01_WINDOW_SMALL ? 16 : LEGACY_BAR_SIZE;
    if (model->options.transport != VIRTIO_MODEL_PCI_LEGACY) {
        to->window_sizes[MODERN_BAR] = MODERN_BAR_SIZE;
        add_capabilities(model, to);
    }
}
