/*
 * transport_mmio.c: virtio over MMIO [virtio 1.2 §4.2], version 2 and the legacy version 1.
 *
 * QEMU: -device virtio-{net,blk,rng}-device on virt and microvm; version 2 with
 * -global virtio-mmio.force-legacy=false.
 */
#include "transport.h"
#include "virtio_reg.h"
#include <lib/log.h>

static const char *name_of(const struct virtio_device *virtio)
{
    return device_name(virtio->device);
}

static uint32_t read32(const struct virtio_device *virtio, uint64_t offset)
{
    return window_read32(&virtio->common, offset);
}

static void write32(const struct virtio_device *virtio, uint64_t offset, uint32_t value)
{
    window_write32(&virtio->common, offset, value);
}

static void write_address(const struct virtio_device *virtio, uint64_t offset, device_address address)
{
    write32(virtio, offset, (uint32_t)address);
    write32(virtio, offset + 4, (uint32_t)(address >> 32));
}

static uint8_t mmio_status(struct virtio_device *virtio)
{
    return (uint8_t)read32(virtio, VIRTIO_MMIO_STATUS);
}

static void mmio_set_status(struct virtio_device *virtio, uint8_t status)
{
    write32(virtio, VIRTIO_MMIO_STATUS, status);
}

static uint64_t mmio_offered(struct virtio_device *virtio)
{
    write32(virtio, VIRTIO_MMIO_OFFERED_SELECT, 0);
    uint64_t low = read32(virtio, VIRTIO_MMIO_OFFERED);
    if (virtio->transport->legacy)
        return low;
    write32(virtio, VIRTIO_MMIO_OFFERED_SELECT, 1);
    return low | (uint64_t)read32(virtio, VIRTIO_MMIO_OFFERED) << 32;
}

static void mmio_accept(struct virtio_device *virtio, uint64_t features)
{
    write32(virtio, VIRTIO_MMIO_ACCEPTED_SELECT, 0);
    write32(virtio, VIRTIO_MMIO_ACCEPTED, (uint32_t)features);
    if (virtio->transport->legacy)
        return;
    write32(virtio, VIRTIO_MMIO_ACCEPTED_SELECT, 1);
    write32(virtio, VIRTIO_MMIO_ACCEPTED, (uint32_t)(features >> 32));
}

/* Legacy page numbers count in the unit that this register sets, before any queue is set up [§4.2.4]. */
static void mmio_settle(struct virtio_device *virtio)
{
    if (virtio->transport->legacy)
        write32(virtio, VIRTIO_MMIO_GUEST_PAGE_SIZE, VIRTIO_LEGACY_PAGE);
}

static uint32_t mmio_generation(struct virtio_device *virtio)
{
    return virtio->transport->legacy ? 0 : read32(virtio, VIRTIO_MMIO_GENERATION);
}

static uint32_t mmio_cause(struct virtio_device *virtio)
{
    uint32_t cause = read32(virtio, VIRTIO_MMIO_CAUSE);

    if (cause != 0)
        write32(virtio, VIRTIO_MMIO_CAUSE_CLEAR, cause & (VIRTIO_ISR_QUEUE | VIRTIO_ISR_CONFIG));
    return cause;
}

static enum status mmio_queue_limit(struct virtio_device *virtio, uint16_t index, uint32_t *limit)
{
    uint64_t in_use = virtio->transport->legacy ? VIRTIO_MMIO_QUEUE_PAGE : VIRTIO_MMIO_QUEUE_READY;

    write32(virtio, VIRTIO_MMIO_QUEUE_SELECT, index);
    *limit = read32(virtio, VIRTIO_MMIO_QUEUE_MAX);
    if (*limit != 0 && read32(virtio, in_use) != 0) {
        log_warn(name_of(virtio), "queue %u is enabled although the device was reset; it is not used", index);
        return STATUS_DEVICE_FAULT;
    }
    return STATUS_OK;
}

static enum status mmio_queue_enable(struct virtio_device *virtio, const struct virtio_queue_setup *setup)
{
    struct device_queue *memory = setup->memory;
    uint64_t page = memory->submission_address / VIRTIO_LEGACY_PAGE;

    if (virtio->transport->legacy && page > UINT32_MAX) {
        log_warn(name_of(virtio), "queue %u lies above 16 TiB, which the legacy interface cannot name", setup->index);
        return STATUS_UNSUPPORTED;
    }
    enum status status = queue_set_doorbell(memory, &virtio->common, VIRTIO_MMIO_QUEUE_NOTIFY, 4);
    if (status != STATUS_OK)
        return status;
    write32(virtio, VIRTIO_MMIO_QUEUE_SELECT, setup->index);
    write32(virtio, VIRTIO_MMIO_QUEUE_SIZE, setup->size);
    if (virtio->transport->legacy) {
        write32(virtio, VIRTIO_MMIO_QUEUE_ALIGN, VIRTIO_LEGACY_PAGE);
        write32(virtio, VIRTIO_MMIO_QUEUE_PAGE, (uint32_t)page);
        return STATUS_OK;
    }
    write_address(virtio, VIRTIO_MMIO_QUEUE_DESC, memory->submission_address);
    write_address(virtio, VIRTIO_MMIO_QUEUE_DRIVER, memory->submission_address + setup->available_offset);
    write_address(virtio, VIRTIO_MMIO_QUEUE_DEVICE, memory->completion_address);
    write32(virtio, VIRTIO_MMIO_QUEUE_READY, 1);
    return STATUS_OK;
}

#define MMIO_OPERATIONS                                                                                                \
    .status = mmio_status, .set_status = mmio_set_status, .offered = mmio_offered, .accept = mmio_accept,              \
    .settle = mmio_settle, .generation = mmio_generation, .cause = mmio_cause, .queue_limit = mmio_queue_limit,        \
    .queue_enable = mmio_queue_enable

static const struct virtio_transport modern = {.name = "modern MMIO", MMIO_OPERATIONS};
static const struct virtio_transport legacy = {.name = "legacy MMIO", .legacy = true, MMIO_OPERATIONS};

enum status virtio_mmio_probe(struct virtio_device *virtio)
{
    enum status status = device_window_open(virtio->device, 0, &virtio->common);

    if (status != STATUS_OK || virtio->common.size < VIRTIO_MMIO_CONFIG) {
        log_warn(name_of(virtio), "the slot's registers cannot be reached");
        return status != STATUS_OK ? status : STATUS_DEVICE_FAULT;
    }
    uint32_t magic = read32(virtio, VIRTIO_MMIO_MAGIC);
    if (magic != VIRTIO_MMIO_MAGIC_VALUE) {
        log_warn(name_of(virtio), "the slot begins with 0x%08x, not with virtio's magic; it is left alone", magic);
        return STATUS_NOT_FOUND;
    }
    uint32_t version = read32(virtio, VIRTIO_MMIO_VERSION);
    if (version != 1 && version != 2) {
        log_warn(name_of(virtio), "the slot has version %u, neither 1 nor 2; it is left alone", version);
        return STATUS_UNSUPPORTED;
    }
    if (read32(virtio, VIRTIO_MMIO_DEVICE) == 0)
        return STATUS_NOT_FOUND; /* an empty slot, quite usual [§4.2.2.2] */

    virtio->transport = version == 1 ? &legacy : &modern;
    virtio->common_size = virtio->common.size;
    virtio->config = virtio->common;
    virtio->config_offset = VIRTIO_MMIO_CONFIG;
    virtio->config_size = virtio->common.size - VIRTIO_MMIO_CONFIG;
    return STATUS_OK;
}
