/*
 * dma.c: DmaPool, the memory that a device may reach, and the queues that lie in it.
 *
 * Without an IOMMU a device address is the bus's own, which on the machines here is the physical address;
 * a driver must not know that. Small allocations of one device share pages, never with anything else.
 */
#include "device.h"

#include <lib/bytes.h>
#include <lib/log.h>
#include <lib/malloc.h>
#include <lib/string.h>
#include <memory/memory.h>

/* What shares a page: a device's data with its data, and never what the driver may write with what it may only read. */
enum purpose { PURPOSE_DATA, PURPOSE_SUBMISSION, PURPOSE_COMPLETION };

struct dma_block {
    struct dma_block *next;
    uint8_t *memory;
    uint8_t order, purpose;
    uint32_t used;  /* bytes handed out from the start; a whole-page allocation uses all */
    uint32_t count; /* allocations that live in it */
};

struct dma_loan {
    uint64_t length;
    uint32_t generation;
    bool active;
};

enum { DMA_MAX_LOANS = 1 << 16, DMA_BLOCK_SHARED_LIMIT = PAGE_SIZE / 2 };

static struct dma_block *block_create(struct device *device, unsigned order, enum purpose purpose)
{
    struct dma_block *block = calloc(1, sizeof *block);

    if (block == NULL)
        return NULL;
    block->memory = pages_allocate(order);
    if (block->memory == NULL) {
        free(block);
        return NULL;
    }
    block->order = (uint8_t)order;
    block->purpose = (uint8_t)purpose;
    block->next = device->ledger.blocks;
    device->ledger.blocks = block;
    device->ledger.owned_bytes += PAGE_SIZE << order;
    return block;
}

static void block_destroy(struct device *device, struct dma_block *block)
{
    struct dma_block **link = &device->ledger.blocks;

    while (*link != block)
        link = &(*link)->next;
    *link = block->next;
    device->ledger.owned_bytes -= PAGE_SIZE << block->order;
    memset(block->memory, 0, PAGE_SIZE << block->order);
    pages_free(block->memory, block->order);
    free(block);
}

static unsigned order_for(size_t size)
{
    unsigned order = 0;

    while (order <= FRAME_MAX_ORDER && (PAGE_SIZE << order) < size)
        order++;
    return order;
}

static enum status allocate(struct device *device, size_t size, size_t alignment, enum purpose purpose,
                            struct dma_memory *out)
{
    enum status status = authority_check(device, device->epoch);
    struct dma_block *block = NULL;

    *out = (struct dma_memory){0};
    if (status != STATUS_OK)
        return status;
    if (size == 0 || !is_power_of_two(alignment))
        return STATUS_INVALID;
    if (size <= DMA_BLOCK_SHARED_LIMIT && alignment <= DMA_BLOCK_SHARED_LIMIT) {
        for (block = device->ledger.blocks; block != NULL; block = block->next)
            if (block->order == 0 && block->purpose == purpose && align_up(block->used, alignment) + size <= PAGE_SIZE)
                break;
        if (block == NULL && (block = block_create(device, 0, purpose)) == NULL)
            return STATUS_NO_MEMORY;
        block->used = (uint32_t)align_up(block->used, alignment);
    } else {
        unsigned order = order_for(size > alignment ? size : alignment);
        if (order > FRAME_MAX_ORDER)
            return STATUS_LIMIT;
        if ((block = block_create(device, order, purpose)) == NULL)
            return STATUS_NO_MEMORY;
    }
    out->memory = block->memory + block->used;
    out->address = virtual_to_physical(out->memory);
    out->size = size;
    block->used = block->order == 0 && size <= DMA_BLOCK_SHARED_LIMIT ? block->used + (uint32_t)size : PAGE_SIZE;
    block->count++;
    return STATUS_OK;
}

enum status dma_allocate(struct device *device, size_t size, size_t alignment, struct dma_memory *out)
{
    return allocate(device, size, alignment, PURPOSE_DATA, out);
}

void dma_free(struct device *device, struct dma_memory *memory)
{
    if (memory->memory == NULL)
        return;
    for (struct dma_block *block = device->ledger.blocks; block != NULL; block = block->next) {
        size_t offset = (size_t)((uint8_t *)memory->memory - block->memory);
        if ((uint8_t *)memory->memory < block->memory || offset >= PAGE_SIZE << block->order)
            continue;
        if (--block->count == 0)
            block_destroy(device, block);
        else
            memset(memory->memory, 0, memory->size);
        *memory = (struct dma_memory){0};
        return;
    }
    log_warn(device->name, "gave back DMA memory that its domain does not own");
}

static enum status loan_slot(struct device *device, uint32_t *slot)
{
    struct dma_ledger *ledger = &device->ledger;

    if (ledger->loan_count == ledger->loan_capacity) {
        uint32_t capacity = ledger->loan_capacity == 0 ? 32 : 2 * ledger->loan_capacity;
        if (capacity > DMA_MAX_LOANS)
            return STATUS_LIMIT;
        struct dma_loan *loans = calloc(capacity, sizeof *loans);
        if (loans == NULL)
            return STATUS_NO_MEMORY;
        if (ledger->loans != NULL)
            memcpy(loans, ledger->loans, ledger->loan_capacity * sizeof *loans);
        free(ledger->loans);
        ledger->loans = loans;
        ledger->loan_next = ledger->loan_capacity;
        ledger->loan_capacity = capacity;
    }
    for (uint32_t tried = 0; tried < ledger->loan_capacity; tried++) {
        *slot = (ledger->loan_next + tried) % ledger->loan_capacity;
        if (!ledger->loans[*slot].active) {
            ledger->loan_next = *slot + 1;
            return STATUS_OK;
        }
    }
    return STATUS_LIMIT;
}

enum status dma_lend(struct device *device, const struct memory_ref *memory, enum dma_direction direction,
                     struct dma_segment segments[], unsigned capacity, unsigned *count, uint32_t *loan)
{
    enum status status = authority_check(device, device->epoch);
    uint32_t slot;

    (void)direction; /* for an IOMMU's permissions; memory here is coherent */
    if (status != STATUS_OK)
        return status;
    if (memory->object != 0 || memory->length == 0)
        return STATUS_INVALID;
    if (memory->length > UINT32_MAX || capacity == 0)
        return STATUS_LIMIT;
    status = loan_slot(device, &slot);
    if (status != STATUS_OK)
        return status;
    /* Kernel memory is physically contiguous wherever a client can have it: heap, pages and image. */
    segments[0].address = virtual_to_physical((const void *)(uintptr_t)memory->offset);
    segments[0].length = (uint32_t)memory->length;
    *count = 1;
    struct dma_loan *entry = &device->ledger.loans[slot];
    entry->active = true;
    entry->length = memory->length;
    entry->generation = (entry->generation + 1) & 0xffff;
    device->ledger.loan_count++;
    device->ledger.lent_bytes += memory->length;
    *loan = slot | entry->generation << 16;
    return STATUS_OK;
}

void dma_return(struct device *device, uint32_t loan)
{
    uint32_t slot = loan & 0xffff;
    struct dma_ledger *ledger = &device->ledger;

    if (slot >= ledger->loan_capacity || !ledger->loans[slot].active || ledger->loans[slot].generation != loan >> 16) {
        log_warn(device->name, "returned memory loan 0x%x, which is not out", loan);
        return;
    }
    ledger->loans[slot].active = false;
    ledger->loan_count--;
    ledger->lent_bytes -= ledger->loans[slot].length;
}

enum status queue_create(struct device *device, const struct queue_layout *layout, struct device_queue *queue)
{
    struct dma_memory submission, completion;
    enum status status;

    *queue = (struct device_queue){0};
    if (layout->submission_size == 0 || layout->completion_size == 0 || !is_power_of_two(layout->alignment) ||
        layout->alignment > 65536)
        return STATUS_INVALID;
    if (layout->adjacent) {
        size_t alignment = layout->alignment > PAGE_SIZE ? layout->alignment : PAGE_SIZE;
        size_t first = align_up(layout->submission_size, alignment);
        status = dma_allocate(device, first + align_up(layout->completion_size, PAGE_SIZE), alignment, &submission);
        if (status != STATUS_OK)
            return status;
        completion =
            (struct dma_memory){.memory = (uint8_t *)submission.memory + first, .address = submission.address + first};
    } else {
        status = allocate(device, layout->submission_size, layout->alignment, PURPOSE_SUBMISSION, &submission);
        if (status != STATUS_OK)
            return status;
        status = allocate(device, layout->completion_size, layout->alignment, PURPOSE_COMPLETION, &completion);
        if (status != STATUS_OK) {
            dma_free(device, &submission);
            return status;
        }
    }
    *queue = (struct device_queue){.device = device,
                                   .submission = submission.memory,
                                   .completion = completion.memory,
                                   .submission_address = submission.address,
                                   .completion_address = completion.address,
                                   .backend = layout->adjacent,
                                   .epoch = device->epoch};
    device->ledger.queue_count++;
    return STATUS_OK;
}

enum status queue_set_doorbell(struct device_queue *queue, const struct register_window *window, uint64_t offset,
                               unsigned width)
{
    if (width != 2 && width != 4)
        return STATUS_INVALID;
    if (offset % width != 0 || offset >= window->size || window->size - offset < width)
        return STATUS_OUT_OF_RANGE;
    queue->doorbell = *window;
    queue->doorbell_offset = offset;
    queue->doorbell_width = width;
    return STATUS_OK;
}

void queue_destroy(struct device_queue *queue)
{
    if (queue->device == NULL)
        return;
    struct dma_memory submission = {.memory = queue->submission};
    struct dma_memory completion = {.memory = (void *)(uintptr_t)queue->completion};
    bool adjacent = queue->backend != 0;

    queue->device->ledger.queue_count--;
    dma_free(queue->device, &submission);
    if (!adjacent)
        dma_free(queue->device, &completion);
    *queue = (struct device_queue){0};
}

void queue_publish(const struct device_queue *queue)
{
    (void)queue;
    arch_barrier_full();
}

void queue_observe(const struct device_queue *queue)
{
    (void)queue;
    arch_barrier_read();
}

void queue_notify(struct device_queue *queue, uint32_t value)
{
    arch_barrier_full();
    if (queue->doorbell_width == 2)
        window_write16(&queue->doorbell, queue->doorbell_offset, (uint16_t)value);
    else if (queue->doorbell_width == 4)
        window_write32(&queue->doorbell, queue->doorbell_offset, value);
}

void device_dma_end(struct device *device, bool confirmed)
{
    struct dma_ledger *ledger = &device->ledger;

    if (confirmed) {
        while (ledger->blocks != NULL)
            block_destroy(device, ledger->blocks);
        free(ledger->loans);
    } else {
        log_error(device->name,
                  "may still reach its memory: %llu bytes of its own and %llu lent to it stay out of use for good",
                  (unsigned long long)ledger->owned_bytes, (unsigned long long)ledger->lent_bytes);
    }
    *ledger = (struct dma_ledger){0};
}
