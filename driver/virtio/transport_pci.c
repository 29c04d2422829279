/*
 * transport_pci.c: virtio over PCI [virtio 1.2 §4.1], modern (registers found by vendor capabilities) and
 * legacy (I/O BAR 0). A transitional device has both and is driven as a modern one.
 *
 * QEMU: -device virtio-{net,blk,rng}-pci, with disable-legacy=on or disable-modern=on for one of the two.
 */
#include "transport.h"
#include "virtio_reg.h"
#include <lib/bytes.h>
#include <lib/log.h>

enum { BARS = 6, MAX_CAPABILITIES = 48 };

static const char *name_of(const struct virtio_device *virtio)
{
    return device_name(virtio->device);
}

/* ---- Modern: common configuration ------------------------------------------------------------------ */

static uint8_t read8(const struct virtio_device *virtio, uint64_t offset)
{
    return window_read8(&virtio->common, virtio->common_offset + offset);
}

static uint16_t read16(const struct virtio_device *virtio, uint64_t offset)
{
    return window_read16(&virtio->common, virtio->common_offset + offset);
}

static uint32_t read32(const struct virtio_device *virtio, uint64_t offset)
{
    return window_read32(&virtio->common, virtio->common_offset + offset);
}

static void write8(const struct virtio_device *virtio, uint64_t offset, uint8_t value)
{
    window_write8(&virtio->common, virtio->common_offset + offset, value);
}

static void write16(const struct virtio_device *virtio, uint64_t offset, uint16_t value)
{
    window_write16(&virtio->common, virtio->common_offset + offset, value);
}

static void write32(const struct virtio_device *virtio, uint64_t offset, uint32_t value)
{
    window_write32(&virtio->common, virtio->common_offset + offset, value);
}

static void write_address(const struct virtio_device *virtio, uint64_t offset, device_address address)
{
    write32(virtio, offset, (uint32_t)address);
    write32(virtio, offset + 4, (uint32_t)(address >> 32));
}

static uint8_t modern_status(struct virtio_device *virtio)
{
    return read8(virtio, VIRTIO_COMMON_STATUS);
}

static void modern_set_status(struct virtio_device *virtio, uint8_t status)
{
    write8(virtio, VIRTIO_COMMON_STATUS, status);
}

static uint64_t modern_offered(struct virtio_device *virtio)
{
    write32(virtio, VIRTIO_COMMON_OFFERED_SELECT, 0);
    uint64_t low = read32(virtio, VIRTIO_COMMON_OFFERED);
    write32(virtio, VIRTIO_COMMON_OFFERED_SELECT, 1);
    return low | (uint64_t)read32(virtio, VIRTIO_COMMON_OFFERED) << 32;
}

static void modern_accept(struct virtio_device *virtio, uint64_t features)
{
    write32(virtio, VIRTIO_COMMON_ACCEPTED_SELECT, 0);
    write32(virtio, VIRTIO_COMMON_ACCEPTED, (uint32_t)features);
    write32(virtio, VIRTIO_COMMON_ACCEPTED_SELECT, 1);
    write32(virtio, VIRTIO_COMMON_ACCEPTED, (uint32_t)(features >> 32));
}

/* What both interfaces do with a vector register: the device answers "no vector" when it has none to give
 * [§4.1.5.1.2]. It is then polled. */
static void vector_refused(struct virtio_device *virtio, const char *what, unsigned number)
{
    virtio->polled = true;
    log_warn(name_of(virtio), "the device gives no interrupt vector to %s %u; it is polled", what, number);
}

static void modern_settle(struct virtio_device *virtio)
{
    if (!virtio->messages)
        return;
    write16(virtio, VIRTIO_COMMON_CONFIG_VECTOR, 0);
    if (read16(virtio, VIRTIO_COMMON_CONFIG_VECTOR) != 0)
        vector_refused(virtio, "configuration", 0);
}

static uint32_t modern_generation(struct virtio_device *virtio)
{
    return read8(virtio, VIRTIO_COMMON_GENERATION);
}

static uint32_t modern_cause(struct virtio_device *virtio)
{
    return window_read8(&virtio->isr, virtio->isr_offset);
}

static enum status modern_queue_limit(struct virtio_device *virtio, uint16_t index, uint32_t *limit)
{
    uint16_t count = read16(virtio, VIRTIO_COMMON_QUEUE_COUNT);

    *limit = 0;
    if (index >= count)
        return STATUS_OK;
    write16(virtio, VIRTIO_COMMON_QUEUE_SELECT, index);
    if (read16(virtio, VIRTIO_COMMON_QUEUE_ENABLE) != 0) {
        log_warn(name_of(virtio), "queue %u is enabled although the device was reset; it is not used", index);
        return STATUS_DEVICE_FAULT;
    }
    *limit = read16(virtio, VIRTIO_COMMON_QUEUE_SIZE);
    return STATUS_OK;
}

static enum status modern_queue_enable(struct virtio_device *virtio, const struct virtio_queue_setup *setup)
{
    struct device_queue *memory = setup->memory;

    write16(virtio, VIRTIO_COMMON_QUEUE_SELECT, setup->index);
    write16(virtio, VIRTIO_COMMON_QUEUE_SIZE, setup->size);
    uint16_t size = read16(virtio, VIRTIO_COMMON_QUEUE_SIZE);
    if (size != setup->size) { /* it would walk through rings of its own size in our memory */
        log_warn(name_of(virtio), "queue %u was set to %u entries and keeps %u", setup->index, setup->size, size);
        return STATUS_DEVICE_FAULT;
    }

    uint64_t doorbell = (uint64_t)read16(virtio, VIRTIO_COMMON_QUEUE_NOTIFY) * virtio->notify_multiplier;
    if (doorbell + 2 > virtio->notify_size) { /* [§4.1.4.4.1] */
        log_warn(name_of(virtio), "queue %u has its doorbell at 0x%llx, beyond the %llu bytes of doorbells",
                 setup->index, (unsigned long long)doorbell, (unsigned long long)virtio->notify_size);
        return STATUS_DEVICE_FAULT;
    }
    enum status status = queue_set_doorbell(memory, &virtio->notify, virtio->notify_offset + doorbell, 2);
    if (status != STATUS_OK)
        return status;

    if (virtio->messages) {
        write16(virtio, VIRTIO_COMMON_QUEUE_VECTOR, setup->vector);
        if (read16(virtio, VIRTIO_COMMON_QUEUE_VECTOR) != setup->vector)
            vector_refused(virtio, "queue", setup->index);
    }
    write_address(virtio, VIRTIO_COMMON_QUEUE_DESC, memory->submission_address);
    write_address(virtio, VIRTIO_COMMON_QUEUE_DRIVER, memory->submission_address + setup->available_offset);
    write_address(virtio, VIRTIO_COMMON_QUEUE_DEVICE, memory->completion_address);
    write16(virtio, VIRTIO_COMMON_QUEUE_ENABLE, 1);
    return STATUS_OK;
}

static const struct virtio_transport modern = {
    .name = "modern PCI",
    .status = modern_status,
    .set_status = modern_set_status,
    .offered = modern_offered,
    .accept = modern_accept,
    .settle = modern_settle,
    .generation = modern_generation,
    .cause = modern_cause,
    .queue_limit = modern_queue_limit,
    .queue_enable = modern_queue_enable,
};

/* ---- Modern: capabilities ---------------------------------------------------------------------------- */

struct region { /* one of the four register areas, as its capability says [§4.1.4] */
    const char *what;
    uint32_t alignment, least; /* bytes */
    struct register_window *window;
    uint64_t *offset, *size;
};

/* Why this capability cannot be used; NULL when it can. Fills *window from `windows`, opened as needed. */
static const char *capability_fault(struct virtio_device *virtio, const uint8_t *capability, size_t copied,
                                    const struct region *region, struct register_window windows[BARS],
                                    const struct register_window **window)
{
    uint8_t bar = capability[VIRTIO_CAP_BAR];
    uint64_t offset = load_le32(capability + VIRTIO_CAP_OFFSET);
    uint64_t size = load_le32(capability + VIRTIO_CAP_SIZE);
    size_t least = region->window == &virtio->notify ? VIRTIO_CAP_NOTIFY_MIN : VIRTIO_CAP_MIN;

    if (copied < least || capability[VIRTIO_CAP_LENGTH] < least)
        return "is too short";
    if (bar >= BARS)
        return "names a BAR that cannot be";
    if (offset % region->alignment != 0)
        return "is not aligned";
    if (size < region->least)
        return "gives too few bytes";
    if (windows[bar].size == 0 && device_window_open(virtio->device, bar, &windows[bar]) != STATUS_OK) {
        windows[bar].size = 0;
        return "names a BAR that cannot be reached";
    }
    if (offset + size > windows[bar].size)
        return "reaches beyond its BAR";
    *window = &windows[bar];
    return NULL;
}

/* The first valid capability of each type wins [§4.1.4.1]. False when one that is needed is missing. */
static bool find_modern(struct virtio_device *virtio)
{
    struct register_window windows[BARS] = {0};
    const struct region regions[] = {
        [VIRTIO_CAP_TYPE_COMMON] = {"common configuration", 4, VIRTIO_COMMON_SIZE, &virtio->common,
                                    &virtio->common_offset, &virtio->common_size},
        [VIRTIO_CAP_TYPE_NOTIFY] = {"notification", 2, 2, &virtio->notify, &virtio->notify_offset,
                                    &virtio->notify_size},
        [VIRTIO_CAP_TYPE_ISR] = {"interrupt status", 1, 1, &virtio->isr, &virtio->isr_offset, &virtio->isr_size},
        [VIRTIO_CAP_TYPE_DEVICE] = {"device configuration", 4, 1, &virtio->config, &virtio->config_offset,
                                    &virtio->config_size},
    };

    for (unsigned nth = 0; nth < MAX_CAPABILITIES; nth++) {
        uint8_t capability[VIRTIO_CAP_NOTIFY_MIN] = {0};
        const struct register_window *window = NULL;
        size_t copied = device_capability(virtio->device, PCI_CAPABILITY_VENDOR, nth, capability, sizeof capability);
        if (copied == 0)
            break;
        uint8_t type = capability[VIRTIO_CAP_TYPE];
        if (copied <= VIRTIO_CAP_TYPE || type < VIRTIO_CAP_TYPE_COMMON || type > VIRTIO_CAP_TYPE_DEVICE)
            continue; /* configuration access, shared memory, somebody else's */
        const struct region *region = &regions[type];
        if (*region->size != 0) /* NOLINT(clang-analyzer-core.NullDereference): each of these types has its row */
            continue;
        const char *fault = capability_fault(virtio, capability, copied, region, windows, &window);
        if (fault == NULL && type == VIRTIO_CAP_TYPE_NOTIFY) {
            virtio->notify_multiplier = load_le32(capability + VIRTIO_CAP_MULTIPLIER);
            if (virtio->notify_multiplier != 0 && /* [§4.1.4.4.1] */
                (virtio->notify_multiplier == 1 || !is_power_of_two(virtio->notify_multiplier)))
                fault = "has a multiplier that is not an even power of two";
        }
        if (fault != NULL) {
            log_warn(name_of(virtio), "the %s capability %s; it is ignored", region->what, fault);
            continue;
        }
        *region->window = *window;
        *region->offset = load_le32(capability + VIRTIO_CAP_OFFSET);
        *region->size = load_le32(capability + VIRTIO_CAP_SIZE);
    }
    return virtio->common_size != 0 && virtio->notify_size != 0 && virtio->isr_size != 0;
}

/* ---- Legacy ---------------------------------------------------------------------------------------------- */

static uint8_t legacy_status(struct virtio_device *virtio)
{
    return read8(virtio, VIRTIO_LEGACY_STATUS);
}

static void legacy_set_status(struct virtio_device *virtio, uint8_t status)
{
    write8(virtio, VIRTIO_LEGACY_STATUS, status);
}

static uint64_t legacy_offered(struct virtio_device *virtio)
{
    return read32(virtio, VIRTIO_LEGACY_OFFERED);
}

static void legacy_accept(struct virtio_device *virtio, uint64_t features)
{
    write32(virtio, VIRTIO_LEGACY_ACCEPTED, (uint32_t)features);
}

/* The vector registers exist, and push the configuration back, only while MSI-X is enabled. */
static void legacy_settle(struct virtio_device *virtio)
{
    virtio->config_offset = virtio->messages ? VIRTIO_LEGACY_CONFIG_MSIX : VIRTIO_LEGACY_CONFIG;
    virtio->config_size = virtio->common.size > virtio->config_offset ? virtio->common.size - virtio->config_offset : 0;
    if (!virtio->messages)
        return;
    write16(virtio, VIRTIO_LEGACY_CONFIG_VECTOR, 0);
    if (read16(virtio, VIRTIO_LEGACY_CONFIG_VECTOR) != 0)
        vector_refused(virtio, "configuration", 0);
}

static uint32_t legacy_generation(struct virtio_device *virtio)
{
    (void)virtio;
    return 0;
}

static uint32_t legacy_cause(struct virtio_device *virtio)
{
    return read8(virtio, VIRTIO_LEGACY_ISR);
}

static enum status legacy_queue_limit(struct virtio_device *virtio, uint16_t index, uint32_t *limit)
{
    write16(virtio, VIRTIO_LEGACY_QUEUE_SELECT, index);
    *limit = read16(virtio, VIRTIO_LEGACY_QUEUE_SIZE);
    if (*limit != 0 && read32(virtio, VIRTIO_LEGACY_QUEUE_PAGE) != 0) {
        log_warn(name_of(virtio), "queue %u is enabled although the device was reset; it is not used", index);
        return STATUS_DEVICE_FAULT;
    }
    return STATUS_OK;
}

static enum status legacy_queue_enable(struct virtio_device *virtio, const struct virtio_queue_setup *setup)
{
    uint64_t page = setup->memory->submission_address / VIRTIO_LEGACY_PAGE;

    if (page > UINT32_MAX) {
        log_warn(name_of(virtio), "queue %u lies above 16 TiB, which the legacy interface cannot name", setup->index);
        return STATUS_UNSUPPORTED;
    }
    enum status status = queue_set_doorbell(setup->memory, &virtio->common, VIRTIO_LEGACY_QUEUE_NOTIFY, 2);
    if (status != STATUS_OK)
        return status;
    write16(virtio, VIRTIO_LEGACY_QUEUE_SELECT, setup->index);
    if (virtio->messages) {
        write16(virtio, VIRTIO_LEGACY_QUEUE_VECTOR, setup->vector);
        if (read16(virtio, VIRTIO_LEGACY_QUEUE_VECTOR) != setup->vector)
            vector_refused(virtio, "queue", setup->index);
    }
    write32(virtio, VIRTIO_LEGACY_QUEUE_PAGE, (uint32_t)page);
    return STATUS_OK;
}

static const struct virtio_transport legacy = {
    .name = "legacy PCI",
    .legacy = true,
    .fixed_size = true,
    .status = legacy_status,
    .set_status = legacy_set_status,
    .offered = legacy_offered,
    .accept = legacy_accept,
    .settle = legacy_settle,
    .generation = legacy_generation,
    .cause = legacy_cause,
    .queue_limit = legacy_queue_limit,
    .queue_enable = legacy_queue_enable,
};

enum status virtio_pci_probe(struct virtio_device *virtio)
{
    if (find_modern(virtio)) {
        virtio->transport = &modern;
        return STATUS_OK;
    }
    if (device_identity(virtio->device)->device > VIRTIO_PCI_LAST_TRANSITIONAL) {
        log_warn(name_of(virtio), "the capabilities do not give %s registers; the device cannot be used",
                 virtio->common_size == 0   ? "common configuration"
                 : virtio->notify_size == 0 ? "notification"
                                            : "interrupt status");
        return STATUS_DEVICE_FAULT;
    }

    enum status status = device_window_open(virtio->device, 0, &virtio->common);
    if (status != STATUS_OK || virtio->common.size < VIRTIO_LEGACY_CONFIG_MSIX) {
        log_warn(name_of(virtio), "there are neither capabilities nor legacy registers in BAR 0; the device "
                                  "cannot be used");
        return status != STATUS_OK ? status : STATUS_DEVICE_FAULT;
    }
    virtio->transport = &legacy;
    virtio->common_offset = 0;
    virtio->common_size = virtio->common.size;
    virtio->config = virtio->common;
    virtio->config_offset = virtio->config_size = 0;
    return STATUS_OK;
}
