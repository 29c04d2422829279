/*
 * virtio.c: the life of a virtio device, whatever carries it [virtio 1.2 §3.1].
 *
 *   reset -> ACKNOWLEDGE -> DRIVER -> features -> FEATURES_OK (modern) -> queues -> DRIVER_OK -> reset
 */
#include "transport.h"
#include "virtio_reg.h"
#include <lib/log.h>
#include <lib/printf.h>
#include <lib/string.h>

enum { CONFIG_TRIES = 8, FEATURE_TEXT_SIZE = 384 };

#define RESET_DEADLINE NANOSECONDS_PER_SECOND

static const char *name_of(const struct virtio_device *virtio)
{
    return device_name(virtio->device);
}

static void add_status(struct virtio_device *virtio, uint8_t bit)
{
    virtio->status |= bit;
    virtio->transport->set_status(virtio, virtio->status);
}

/* ---- Reset ------------------------------------------------------------------------------------------ */

static bool is_revoked(struct virtio_device *virtio)
{
    struct register_window again;

    return device_window_open(virtio->device, virtio->common.index, &again) == STATUS_REVOKED;
}

enum status virtio_reset(struct virtio_device *virtio)
{
    uint64_t deadline = clock_now() + RESET_DEADLINE;
    uint8_t status;

    if (virtio->transport == NULL)
        return STATUS_OK; /* never opened */
    virtio->status = 0;
    virtio->transport->set_status(virtio, 0);
    while ((status = virtio->transport->status(virtio)) != 0) { /* [§4.1.4.3.2, §4.2.2.2] */
        uint64_t now = clock_now();
        if (status == VIRTIO_STATUS_GONE && is_revoked(virtio))
            return STATUS_REVOKED;
        if (now >= deadline) {
            virtio->stuck = true;
            log_warn(name_of(virtio),
                     "reset is not confirmed after 1 s: status reads 0x%02x; what the device may "
                     "still use stays with it",
                     status);
            return STATUS_TIMED_OUT;
        }
        driver_wait(virtio->device, 0, now + NANOSECONDS_PER_MILLISECOND);
    }
    virtio->stuck = false;
    return STATUS_OK;
}

bool virtio_is_broken(struct virtio_device *virtio)
{
    uint8_t status = virtio->transport->status(virtio);

    return status == VIRTIO_STATUS_GONE || (status & VIRTIO_STATUS_NEEDS_RESET) != 0;
}

/* ---- Features ------------------------------------------------------------------------------------------ */

/* What the transport and the ring have to say; a class's table comes first. */
static const struct virtio_feature ring_features[] = {
    {VIRTIO_F_NOTIFY_ON_EMPTY, false, "notify_on_empty", 0},
    {VIRTIO_F_ANY_LAYOUT, true, "any_layout", 0},
    {VIRTIO_F_INDIRECT_DESC, true, "indirect_desc", 0},
    {VIRTIO_F_EVENT_IDX, true, "event_idx", 0},
    {30, false, "unused_30", 0}, /* old QEMU offers it to everyone; it means nothing [§6.3] */
    {VIRTIO_F_VERSION_1, true, "version_1", 0},
    {VIRTIO_F_ACCESS_PLATFORM, true, "access_platform", 0}, /* all our addresses are device addresses already */
    {VIRTIO_F_RING_PACKED, false, "ring_packed", 0},
    {VIRTIO_F_IN_ORDER, false, "in_order", 0},
    {VIRTIO_F_ORDER_PLATFORM, true, "order_platform", 0}, /* queue_publish and its like order for devices always */
    {VIRTIO_F_SR_IOV, false, "sr_iov", 0},
    {VIRTIO_F_NOTIFICATION_DATA, false, "notification_data", 0},
    {39, false, "notif_config_data", 0},
    {40, false, "ring_reset", 0},
};

enum { RING_FEATURES = sizeof ring_features / sizeof ring_features[0] };

struct feature_text {
    size_t length;
    char text[FEATURE_TEXT_SIZE];
};

static void append(struct feature_text *line, const char *prefix, const char *word)
{
    int length = snprintf(line->text + line->length, sizeof line->text - line->length, "%s%s", prefix, word);

    if (length > 0 && (size_t)length < sizeof line->text - line->length)
        line->length += (size_t)length;
    else
        line->text[line->length] = '\0'; /* no room: whole words only */
}

static uint64_t wanted(uint64_t offered, const struct virtio_feature *table, unsigned count)
{
    uint64_t features = 0;

    for (unsigned i = 0; i < count; i++)
        if (table[i].wanted)
            features |= offered & VIRTIO_FEATURE(table[i].bit);
    return features;
}

static void name_features(struct feature_text *line, const struct virtio_device *virtio, uint64_t *unknown,
                          const struct virtio_feature *table, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        uint64_t bit = VIRTIO_FEATURE(table[i].bit);
        if ((*unknown & bit) != 0)
            append(line, virtio->features & bit ? " +" : " -", table[i].name);
        *unknown &= ~bit;
    }
}

static void log_features(const struct virtio_device *virtio, const struct virtio_feature *table, unsigned count)
{
    struct feature_text line = {0};
    uint64_t unknown = virtio->offered;

    name_features(&line, virtio, &unknown, table, count);
    name_features(&line, virtio, &unknown, ring_features, RING_FEATURES);
    if (unknown != 0) {
        append(&line, line.length != 0 ? "," : "", " offered but unknown: bits");
        for (unsigned bit = 0; bit < 64; bit++) {
            char number[4];
            snprintf(number, sizeof number, "%u", bit);
            if ((unknown & VIRTIO_FEATURE(bit)) != 0)
                append(&line, " ", number);
        }
    }
    log_info(name_of(virtio), "features:%s", line.length != 0 ? line.text : " none");
}

/* [§2.2]: accepts what is offered, wanted and has what it needs; never a bit that nobody here knows. */
static enum status negotiate(struct virtio_device *virtio, const struct virtio_feature *table, unsigned count)
{
    uint64_t before;

    virtio->offered = virtio->transport->offered(virtio);
    virtio->legacy = virtio->transport->legacy;
    virtio->features = wanted(virtio->offered, table, count) | wanted(virtio->offered, ring_features, RING_FEATURES);
    if (!virtio->legacy) /* VERSION_1 implies it, and only it may be said */
        virtio->features &= ~VIRTIO_FEATURE(VIRTIO_F_ANY_LAYOUT);
    do {
        before = virtio->features;
        for (unsigned i = 0; i < count; i++)
            if ((table[i].needs & ~virtio->features) != 0)
                virtio->features &= ~VIRTIO_FEATURE(table[i].bit);
    } while (virtio->features != before);
    log_features(virtio, table, count);

    if (!virtio->legacy && !virtio_has(virtio, VIRTIO_F_VERSION_1)) {
        log_warn(name_of(virtio), "the device does not offer version_1 on its %s interface; it cannot be used",
                 virtio->transport->name);
        return STATUS_UNSUPPORTED;
    }
    virtio->transport->accept(virtio, virtio->features);
    if (virtio->legacy)
        return STATUS_OK;
    add_status(virtio, VIRTIO_STATUS_FEATURES_OK);
    uint8_t status = virtio->transport->status(virtio);
    if ((status & VIRTIO_STATUS_FEATURES_OK) == 0 || status == VIRTIO_STATUS_GONE) {
        log_warn(name_of(virtio), "the device refuses the features 0x%llx: status reads 0x%02x",
                 (unsigned long long)virtio->features, status);
        return STATUS_DEVICE_FAULT;
    }
    return STATUS_OK;
}

/* ---- Open and close ---------------------------------------------------------------------------------------- */

enum status virtio_open_interrupt(struct virtio_device *virtio, uint16_t index)
{
    if ((virtio->events & 1u << index) != 0)
        return STATUS_OK;
    enum status status = device_interrupt_open(virtio->device, index, &virtio->interrupts[index]);
    if (status == STATUS_OK)
        virtio->events |= 1u << index;
    else
        log_warn(name_of(virtio), "interrupt %u cannot be opened: %s", index, status_text(status));
    return status;
}

void virtio_close(struct virtio_device *virtio)
{
    for (unsigned i = 0; i < VIRTIO_MAX_INTERRUPTS; i++)
        if ((virtio->events & 1u << i) != 0)
            interrupt_close(&virtio->interrupts[i]);
    virtio->events = 0;
}

enum status virtio_open(struct virtio_device *virtio, struct device *device, const struct virtio_feature *features,
                        unsigned feature_count)
{
    uint8_t msix[4];

    memset(virtio, 0, sizeof *virtio);
    virtio->device = device;
    enum status status =
        device_identity(device)->bus == DEVICE_BUS_PCI ? virtio_pci_probe(virtio) : virtio_mmio_probe(virtio);
    if (status != STATUS_OK) {
        virtio->transport = NULL;
        return status;
    }

    status = virtio_reset(virtio); /* before interrupts: whoever had the device before may have left it running */
    if (status != STATUS_OK)
        return status;
    virtio->interrupt_count = device_interrupt_count(device);
    if (virtio->interrupt_count > VIRTIO_MAX_INTERRUPTS)
        virtio->interrupt_count = VIRTIO_MAX_INTERRUPTS;
    status = virtio_open_interrupt(virtio, 0);
    if (status != STATUS_OK)
        goto reset;
    virtio->messages = virtio->interrupts[0].delivery == INTERRUPT_MESSAGE &&
                       device_capability(device, PCI_CAPABILITY_MSIX, 0, msix, sizeof msix) != 0;
    if (!virtio->messages)
        virtio->interrupt_count = 1; /* a wire has one index, whatever the home counts */
    virtio->polled = virtio->interrupts[0].delivery == INTERRUPT_POLLED;
    virtio->transport->settle(virtio);

    add_status(virtio, VIRTIO_STATUS_ACKNOWLEDGE);
    add_status(virtio, VIRTIO_STATUS_DRIVER);
    status = negotiate(virtio, features, feature_count);
    if (status == STATUS_OK)
        return STATUS_OK;
reset:
    virtio_reset(virtio);
    virtio_close(virtio);
    return status;
}

enum status virtio_go(struct virtio_device *virtio)
{
    add_status(virtio, VIRTIO_STATUS_DRIVER_OK);
    if (virtio_is_broken(virtio)) {
        log_warn(name_of(virtio), "the device asks for a reset as soon as it is to work");
        return STATUS_DEVICE_FAULT;
    }
    return STATUS_OK;
}

/* ---- At work ----------------------------------------------------------------------------------------------- */

uint32_t virtio_cause(struct virtio_device *virtio, uint32_t events)
{
    uint32_t cause;

    if (!virtio->messages)
        cause = virtio->transport->cause(virtio) & (VIRTIO_ISR_QUEUE | VIRTIO_ISR_CONFIG);
    else
        cause = ((events & 1) != 0 ? VIRTIO_CAUSE_CONFIG : 0u) |
                ((events & virtio->queue_events) != 0 ? VIRTIO_CAUSE_QUEUE : 0u);
    for (unsigned i = 0; i < VIRTIO_MAX_INTERRUPTS; i++)
        if ((virtio->events & 1u << i) != 0)
            interrupt_acknowledge(&virtio->interrupts[i]);
    if (events == 0)
        cause = VIRTIO_CAUSE_QUEUE | VIRTIO_CAUSE_CONFIG;

    /* A device that needs a reset says so by a configuration interrupt [§2.1.2]. */
    if ((cause & VIRTIO_CAUSE_CONFIG) != 0 && virtio_is_broken(virtio)) {
        device_fail(virtio->device, "the device asks for a reset: status reads 0x%02x",
                    virtio->transport->status(virtio));
        return VIRTIO_CAUSE_BROKEN;
    }
    return cause;
}

static void read_field(const struct virtio_device *virtio, uint64_t offset, uint8_t *to, uint32_t size)
{
    uint64_t at = virtio->config_offset + offset;

    if (size == 2 && at % 2 == 0) {
        uint16_t value = window_read16(&virtio->config, at);
        memcpy(to, &value, sizeof value);
    } else if ((size == 4 || size == 8) && at % 4 == 0) {
        for (uint32_t i = 0; i < size; i += 4) {
            uint32_t value = window_read32(&virtio->config, at + i);
            memcpy(to + i, &value, sizeof value);
        }
    } else {
        for (uint32_t i = 0; i < size; i++)
            to[i] = window_read8(&virtio->config, at + i);
    }
}

/* Without a generation, what is wider than one access is good when two reads agree [§2.5.4]. */
static bool reads_again(const struct virtio_device *virtio, uint32_t offset, const uint8_t *first, uint32_t size)
{
    uint8_t again[8];

    if (!virtio->legacy || size <= 4)
        return true;
    for (uint32_t done = 0; done < size; done += (uint32_t)sizeof again) {
        uint32_t part = size - done < sizeof again ? size - done : (uint32_t)sizeof again;
        read_field(virtio, offset + done, again, part);
        if (memcmp(again, first + done, part) != 0)
            return false;
    }
    return true;
}

enum status virtio_config_read(struct virtio_device *virtio, uint32_t offset, void *to, uint32_t size)
{
    if (offset > virtio->config_size || size > virtio->config_size - offset)
        return STATUS_OUT_OF_RANGE;
    for (unsigned i = 0; i < CONFIG_TRIES; i++) { /* [§2.5.1] */
        uint32_t generation = virtio->transport->generation(virtio);
        read_field(virtio, offset, to, size);
        if (reads_again(virtio, offset, to, size) && virtio->transport->generation(virtio) == generation)
            return STATUS_OK;
        virtio->generation_retries++;
    }
    log_warn(name_of(virtio), "the configuration changed during each of %u reads of %u bytes at %u", CONFIG_TRIES, size,
             offset);
    return STATUS_DEVICE_FAULT;
}
