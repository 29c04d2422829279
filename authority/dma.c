/*
 * dma.c: DmaPool, the memory that a device may reach, and the queues that lie in it.
 *
 * Without an IOMMU a device address is the bus's own, which on the machines here is the physical address;
 * a driver must not know that. Small allocations of one device share pages, never with anything else.
 *
 * Nothing here may depend on what a driver says of its memory: where an allocation begins and ends is in the block's
 * own record, and a handle only names one.
 */
#include "device.h"

#include <lib/bytes.h>
#include <lib/log.h>
#include <lib/malloc.h>
#include <lib/string.h>
#include <memory/memory.h>

/* What shares a page: what has the same purpose for the same device. The driver writes data and submissions, and only
 * reads completions. */
enum purpose { PURPOSE_NONE, PURPOSE_DATA, PURPOSE_SUBMISSION, PURPOSE_COMPLETION, PURPOSE_ADJACENT };

/* Pages, in 64 granules: which are used, and at which of them an allocation begins. It ends at the next that begins
 * or is unused. Only single pages are shared; all granules of others belong to the one allocation in them. */
struct dma_block {
    struct dma_block *next;
    uint8_t *memory;
    uint64_t used, starts;
    uint8_t order, purpose;
};

struct dma_loan {
    const void *memory; /* the client's */
    uint32_t length;
    uint16_t generation;
    bool active;
};

enum { GRANULES = 64, GRANULE_SIZE = PAGE_SIZE / GRANULES, SHARED_LIMIT = PAGE_SIZE / 2 };

/* A loan's number: its slot, how often the slot was used, and the epoch's last byte: nobody returns what was lent to
 * one of the 255 owners before. */
enum {
    LOAN_SLOT_MASK = 0xfff,
    LOAN_GENERATION_SHIFT = 12,
    LOAN_GENERATION_MASK = 0xfff,
    LOAN_EPOCH_SHIFT = 24,
    LOAN_EPOCH_MASK = 0xff,
};
_Static_assert(DEVICE_MAX_LOANS <= LOAN_SLOT_MASK + 1, "a loan names its slot");

/* ---- Blocks ------------------------------------------------------------------------------------------ */

static unsigned order_for(size_t size)
{
    unsigned order = 0;

    while (order <= FRAME_MAX_ORDER && (PAGE_SIZE << order) < size)
        order++;
    return order;
}

static enum status block_create(struct device *device, unsigned order, unsigned alignment_order, enum purpose purpose,
                                struct dma_block **out)
{
    struct dma_ledger *ledger = &device->ledger;

    if (order > FRAME_MAX_ORDER || alignment_order > FRAME_MAX_ORDER ||
        budget_admits(ledger->owned_limit, ledger->owned_bytes, PAGE_SIZE << order) != STATUS_OK)
        return STATUS_LIMIT;
    struct dma_block *block = calloc(1, sizeof *block);
    uint8_t *memory = block != NULL ? pages_allocate_aligned(order, alignment_order) : NULL;
    if (memory == NULL) {
        free(block);
        return STATUS_NO_MEMORY;
    }
    *block = (struct dma_block){
        .next = ledger->blocks, .memory = memory, .order = (uint8_t)order, .purpose = (uint8_t)purpose};
    ledger->blocks = block;
    ledger->owned_bytes += PAGE_SIZE << order;
    *out = block;
    return STATUS_OK;
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

/* Bits [first, first + count) of a word; count is from 1 to 64. */
static uint64_t bits(unsigned first, unsigned count)
{
    return UINT64_MAX >> (GRANULES - count) << first;
}

/* The first free run of `count` granules whose offset has the alignment. */
static bool find_run(const struct dma_block *block, unsigned count, size_t alignment, unsigned *first)
{
    unsigned step = alignment <= GRANULE_SIZE ? 1 : (unsigned)(alignment / GRANULE_SIZE);

    for (*first = 0; *first + count <= GRANULES; *first += step)
        if ((block->used & bits(*first, count)) == 0)
            return true;
    return false;
}

/* ---- Allocations ------------------------------------------------------------------------------------- */

static enum status allocate(struct device *device, size_t size, size_t alignment, enum purpose purpose,
                            struct dma_memory *out)
{
    enum status status = authority_check_owner(device);
    bool shared = size <= SHARED_LIMIT && alignment <= SHARED_LIMIT;
    unsigned count = shared ? (unsigned)((size + GRANULE_SIZE - 1) / GRANULE_SIZE) : GRANULES, first = 0;
    struct dma_block *block = NULL;

    *out = (struct dma_memory){0};
    if (status != STATUS_OK)
        return status;
    if (size == 0 || !is_power_of_two(alignment))
        return STATUS_INVALID;
    if (shared)
        for (block = device->ledger.blocks; block != NULL; block = block->next)
            if (block->purpose == purpose && find_run(block, count, alignment, &first))
                break;
    if (block == NULL) {
        status = block_create(device, order_for(size), order_for(alignment), purpose, &block);
        if (status != STATUS_OK)
            return status;
        first = 0;
    }
    block->used |= bits(first, count);
    block->starts |= bits(first, 1);
    out->memory = block->memory + first * GRANULE_SIZE;
    out->address = virtual_to_physical(out->memory);
    out->size = size;
    out->epoch = device->ownership.epoch;
    return STATUS_OK;
}

/* Takes back the allocation that begins there, if it has one of these purposes (1 << purpose), and gives which. */
static enum purpose release(struct device *device, const volatile void *memory, unsigned purposes)
{
    uintptr_t at = (uintptr_t)memory;
    struct dma_block *block = device->ledger.blocks;

    while (block != NULL && at - (uintptr_t)block->memory >= PAGE_SIZE << block->order)
        block = block->next;
    size_t offset = block != NULL ? at - (uintptr_t)block->memory : 0;
    unsigned first = (unsigned)(offset / GRANULE_SIZE), end = first + 1;
    if (block == NULL || first >= GRANULES || offset % GRANULE_SIZE != 0 || (block->starts >> first & 1) == 0 ||
        (purposes >> block->purpose & 1) == 0) {
        log_warn(device->name, "gave back DMA memory that its domain does not own");
        return PURPOSE_NONE;
    }
    while (end < GRANULES && (block->used >> end & 1) != 0 && (block->starts >> end & 1) == 0)
        end++;
    enum purpose purpose = (enum purpose)block->purpose;
    block->used &= ~bits(first, end - first);
    block->starts &= ~bits(first, 1);
    if (block->used == 0)
        block_destroy(device, block);
    else
        memset(block->memory + offset, 0, (end - first) * (size_t)GRANULE_SIZE);
    return purpose;
}

enum status dma_allocate(struct device *device, size_t size, size_t alignment, struct dma_memory *out)
{
    return allocate(device, size, alignment, PURPOSE_DATA, out);
}

void dma_free(struct device *device, struct dma_memory *memory)
{
    if (memory->memory != NULL && authority_check(device, memory->epoch) == STATUS_OK)
        release(device, memory->memory, 1 << PURPOSE_DATA);
    *memory = (struct dma_memory){0};
}

/* ---- Loans ------------------------------------------------------------------------------------------- */

/* Whether the device may have these bytes: memory, contiguous, and writable if it is to write. Kernel memory is
 * contiguous wherever a client can have it: heap, pages and image. */
static bool can_lend(uint64_t first, uint64_t length, enum dma_direction direction)
{
    unsigned access, right = direction == DMA_TO_DEVICE ? 0 : MMU_WRITE;

    if (first + length - 1 < first)
        return false;
    for (uint64_t page = first / PAGE_SIZE; page <= (first + length - 1) / PAGE_SIZE; page++)
        if (!vm_lookup((const void *)(uintptr_t)(page * PAGE_SIZE), &access) ||
            (access & (right | MMU_DEVICE)) != right)
            return false;
    return virtual_to_physical((const void *)(uintptr_t)(first + length - 1)) -
               virtual_to_physical((const void *)(uintptr_t)first) ==
           length - 1;
}

static enum status loan_slot(struct dma_ledger *ledger, uint32_t *slot)
{
    if (ledger->loan_count >= ledger->loan_limit)
        return STATUS_LIMIT;
    if (ledger->loan_count == ledger->loan_capacity) {
        uint32_t capacity = ledger->loan_capacity == 0 ? 32 : 2 * ledger->loan_capacity;
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
    *slot = ledger->loan_next % ledger->loan_capacity;
    while (ledger->loans[*slot].active)
        *slot = (*slot + 1) % ledger->loan_capacity;
    ledger->loan_next = *slot + 1;
    return STATUS_OK;
}

/* The epoch that a loan's number names, seen from the one now. */
static uint32_t loan_epoch(const struct device *device, uint32_t loan)
{
    return (device->ownership.epoch & ~(uint32_t)LOAN_EPOCH_MASK) | loan >> LOAN_EPOCH_SHIFT;
}

enum status dma_lend(struct device *device, const struct memory_ref *memory, enum dma_direction direction,
                     struct dma_segment segments[], unsigned capacity, unsigned *count, uint32_t *loan)
{
    enum status status = authority_check_owner(device);
    struct memory_ref bytes = *memory;
    uint32_t slot;

    *count = 0;
    *loan = 0;
    if (status != STATUS_OK)
        return status;
    if (bytes.object != 0 || bytes.length == 0)
        return STATUS_INVALID;
    if (bytes.length > UINT32_MAX || capacity == 0)
        return STATUS_LIMIT;
    if (!can_lend(bytes.offset, bytes.length, direction))
        return STATUS_DENIED;
    status = loan_slot(&device->ledger, &slot);
    if (status != STATUS_OK)
        return status;
    segments[0].address = virtual_to_physical((const void *)(uintptr_t)bytes.offset);
    segments[0].length = (uint32_t)bytes.length;
    *count = 1;
    struct dma_loan *entry = &device->ledger.loans[slot];
    entry->active = true;
    entry->memory = (const void *)(uintptr_t)bytes.offset;
    entry->length = (uint32_t)bytes.length;
    entry->generation = (entry->generation + 1) & LOAN_GENERATION_MASK;
    device->ledger.loan_count++;
    device->ledger.lent_bytes += bytes.length;
    *loan = device->ownership.epoch << LOAN_EPOCH_SHIFT | (uint32_t)entry->generation << LOAN_GENERATION_SHIFT | slot;
    return STATUS_OK;
}

void dma_return(struct device *device, uint32_t loan)
{
    uint32_t slot = loan & LOAN_SLOT_MASK, generation = loan >> LOAN_GENERATION_SHIFT & LOAN_GENERATION_MASK;
    struct dma_ledger *ledger = &device->ledger;

    if (authority_check(device, loan_epoch(device, loan)) != STATUS_OK)
        return;
    if (slot >= ledger->loan_capacity || !ledger->loans[slot].active || ledger->loans[slot].generation != generation) {
        log_warn(device->name, "returned memory loan 0x%x, which is not out", loan);
        return;
    }
    ledger->loans[slot].active = false;
    ledger->loan_count--;
    ledger->lent_bytes -= ledger->loans[slot].length;
}

/* ---- Queues ------------------------------------------------------------------------------------------ */

/* Legacy virtio: both in one run of pages, but never in one page. */
static enum status create_adjacent(struct device *device, const struct queue_layout *layout,
                                   struct dma_memory *submission, struct dma_memory *completion)
{
    size_t alignment = layout->alignment > PAGE_SIZE ? layout->alignment : PAGE_SIZE;
    size_t first = align_up(layout->submission_size, alignment);
    enum status status = allocate(device, first + layout->completion_size, alignment, PURPOSE_ADJACENT, submission);

    if (status == STATUS_OK)
        *completion = (struct dma_memory){.memory = (uint8_t *)submission->memory + first,
                                          .address = submission->address + first};
    return status;
}

static enum status create_apart(struct device *device, const struct queue_layout *layout, struct dma_memory *submission,
                                struct dma_memory *completion)
{
    enum status status = allocate(device, layout->submission_size, layout->alignment, PURPOSE_SUBMISSION, submission);

    if (status != STATUS_OK)
        return status;
    status = allocate(device, layout->completion_size, layout->alignment, PURPOSE_COMPLETION, completion);
    if (status != STATUS_OK)
        release(device, submission->memory, 1 << PURPOSE_SUBMISSION);
    return status;
}

enum status queue_create(struct device *device, const struct queue_layout *layout, struct device_queue *queue)
{
    struct dma_memory submission, completion;

    *queue = (struct device_queue){0};
    if (layout->submission_size == 0 || layout->completion_size == 0 || !is_power_of_two(layout->alignment) ||
        layout->alignment > 65536)
        return STATUS_INVALID;
    enum status status = layout->adjacent ? create_adjacent(device, layout, &submission, &completion)
                                          : create_apart(device, layout, &submission, &completion);
    if (status != STATUS_OK)
        return status;
    *queue = (struct device_queue){.device = device,
                                   .submission = submission.memory,
                                   .completion = completion.memory,
                                   .submission_address = submission.address,
                                   .completion_address = completion.address,
                                   .epoch = device->ownership.epoch};
    device->ledger.queue_count++;
    return STATUS_OK;
}

enum status queue_set_doorbell(struct device_queue *queue, const struct register_window *window, uint64_t offset,
                               unsigned width)
{
    if ((width != 2 && width != 4) || queue->device == NULL || window->device != queue->device)
        return STATUS_INVALID;
    enum status status = authority_check(queue->device, queue->epoch);
    if (status != STATUS_OK)
        return status;
    status = authority_check(queue->device, window->epoch);
    if (status != STATUS_OK)
        return status;
    if (device_window_at(queue->device, window->index, offset, width) == NULL)
        return STATUS_OUT_OF_RANGE;
    queue->doorbell = *window;
    queue->doorbell_offset = offset;
    queue->doorbell_width = width;
    return STATUS_OK;
}

void queue_destroy(struct device_queue *queue)
{
    if (queue->device != NULL && authority_check(queue->device, queue->epoch) == STATUS_OK) {
        enum purpose purpose =
            release(queue->device, queue->submission, 1 << PURPOSE_SUBMISSION | 1 << PURPOSE_ADJACENT);
        if (purpose != PURPOSE_NONE)
            queue->device->ledger.queue_count--;
        if (purpose == PURPOSE_SUBMISSION)
            release(queue->device, queue->completion, 1 << PURPOSE_COMPLETION);
    }
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

/* ---- The end ----------------------------------------------------------------------------------------- */

void device_dma_end(struct device *device, bool confirmed)
{
    struct dma_ledger *ledger = &device->ledger;

    if (!confirmed) { /* clients have been told that their requests have ended, and may free what they lent */
        for (uint32_t i = 0; i < ledger->loan_capacity; i++)
            if (ledger->loans[i].active)
                heap_keep(ledger->loans[i].memory, ledger->loans[i].length);
        log_error(device->name,
                  "may still reach its memory: %llu bytes of its own and %llu lent to it stay out of use for good",
                  (unsigned long long)ledger->owned_bytes, (unsigned long long)ledger->lent_bytes);
        return;
    }
    while (ledger->blocks != NULL)
        block_destroy(device, ledger->blocks);
    free(ledger->loans);
    *ledger = (struct dma_ledger){.owned_limit = ledger->owned_limit, .loan_limit = ledger->loan_limit};
}
