/*
 * home_memory.c: all that a device can reach on the host: what it owns, what is lent to it, its queues.
 *
 * Every range is a grant, at an address that is used once and never again and with pages between grants that
 * nobody owns, so that a stale or a wrong address never hits anything. The host memory behind owned and
 * submission memory comes from malloc, so that the sanitizer sees a driver's overrun.
 */
#define _GNU_SOURCE
#include "home_local.h"

#include <lib/bytes.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define FIRST_ADDRESS (UINT64_C(1) << 42) /* above any host memory that is likely, below legacy virtio's 16 TiB */

/* ---- Grants: what the device may reach ------------------------------------------------------------------- */

/* The first grant whose end lies beyond `address`. */
static size_t find_grant(const struct device *device, device_address address)
{
    size_t low = 0, high = device->grant_count;

    while (low < high) {
        size_t middle = (low + high) / 2;
        if (device->grants[middle].address + device->grants[middle].size <= address)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static struct grant *add_grant(struct device *device, device_address address, void *bytes, uint64_t size,
                               enum grant_kind kind, uint32_t owner, uint8_t rights)
{
    if (device->grant_count == device->grant_capacity) {
        device->grant_capacity = device->grant_capacity * 2 + 16;
        device->grants = realloc(device->grants, device->grant_capacity * sizeof *device->grants);
    }
    struct grant *grant = &device->grants[device->grant_count++]; /* addresses only grow */
    *grant = (struct grant){address, size, bytes, kind, owner, rights};
    return grant;
}

static void remove_grants(struct device *device, size_t first, size_t count)
{
    device->grant_count -= count;
    memmove(&device->grants[first], &device->grants[first + count],
            (device->grant_count - first) * sizeof *device->grants);
}

static device_address take_addresses(struct device *device, uint64_t size, uint64_t alignment)
{
    if (device->next_address == 0)
        device->next_address = home_options()->first_address != 0 ? home_options()->first_address : FIRST_ADDRESS;
    device_address address = align_up(device->next_address, alignment < PAGE ? PAGE : alignment);

    device->next_address = align_up(address + size, PAGE) + PAGE;
    return address;
}

static uint8_t *granted(const struct device *device, device_address address, size_t size, uint8_t rights)
{
    size_t at = find_grant(device, address);

    if (at == device->grant_count)
        return NULL;
    const struct grant *grant = &device->grants[at];
    bool inside = address >= grant->address && size <= grant->size - (address - grant->address);
    return inside && (grant->rights & rights) != 0 ? grant->bytes + (address - grant->address) : NULL;
}

bool home_dma_reachable(struct device *device, device_address address, size_t size, bool write)
{
    return granted(device, address, size, write ? DEVICE_WRITES : DEVICE_READS) != NULL;
}

static uint8_t *reach(struct device *device, device_address address, size_t size, uint8_t rights, const char *verb)
{
    uint8_t *bytes = granted(device, address, size, rights);

    if (bytes != NULL)
        return bytes;
    if (device->account.refused++ == 0) {
        char text[160];
        snprintf(text, sizeof text, "%s: may not %s %zu bytes at 0x%llx", device->name, verb, size,
                 (unsigned long long)address);
        home_note_refused(text);
    }
    return NULL;
}

bool home_dma_read(struct device *device, device_address from, void *to, size_t size)
{
    const uint8_t *bytes = reach(device, from, size, DEVICE_READS, "read");

    if (bytes != NULL)
        memcpy(to, bytes, size);
    return bytes != NULL;
}

bool home_dma_write(struct device *device, device_address to, const void *from, size_t size)
{
    uint8_t *bytes = reach(device, to, size, DEVICE_WRITES, "write");

    if (bytes != NULL)
        memcpy(bytes, from, size);
    return bytes != NULL;
}

bool home_dma_scribble(struct device *device, device_address to, const void *from, size_t size)
{
    uint8_t *bytes = reach(device, to, size, DEVICE_READS | DEVICE_WRITES, "scribble");

    if (bytes != NULL)
        memcpy(bytes, from, size);
    return bytes != NULL;
}

/* ---- Memory -------------------------------------------------------------------------------------------------- */

static void *zeroed(size_t size, size_t alignment)
{
    void *memory = NULL;

    if (posix_memalign(&memory, alignment < 16 ? 16 : alignment, size) != 0)
        abort();
    memset(memory, 0, size);
    return memory;
}

enum status dma_allocate(struct device *device, size_t size, size_t alignment, struct dma_memory *out)
{
    *out = (struct dma_memory){0};
    if (device->revoked)
        return STATUS_REVOKED;
    if (size == 0 || !is_power_of_two(alignment)) {
        home_fault(device, "dma_allocate of %zu bytes aligned to %zu", size, alignment);
        return STATUS_INVALID;
    }
    if (home_allocation_fails() ||
        (home_options()->dma_limit != 0 && device->account.owned_bytes + size > home_options()->dma_limit))
        return STATUS_LIMIT;
    out->memory = zeroed(size, alignment < PAGE ? alignment : PAGE);
    out->address = take_addresses(device, size, alignment);
    out->size = size;
    add_grant(device, out->address, out->memory, size, GRANT_OWNED, 0, DEVICE_READS | DEVICE_WRITES);
    device->account.owned++;
    device->account.owned_bytes += size;
    return STATUS_OK;
}

void dma_free(struct device *device, struct dma_memory *memory)
{
    if (memory->memory == NULL)
        return;
    size_t at = find_grant(device, memory->address);
    if (at == device->grant_count || device->grants[at].kind != GRANT_OWNED ||
        device->grants[at].bytes != memory->memory || device->grants[at].size != memory->size) {
        home_fault(device, "dma_free of 0x%llx, which it does not own", (unsigned long long)memory->address);
        return;
    }
    remove_grants(device, at, 1);
    device->account.owned--;
    device->account.owned_bytes -= memory->size;
    free(memory->memory);
    *memory = (struct dma_memory){0};
}

enum status dma_lend(struct device *device, const struct memory_ref *memory, enum dma_direction direction,
                     struct dma_segment segments[], unsigned capacity, unsigned *count, uint32_t *loan)
{
    uint8_t rights = direction == DMA_TO_DEVICE ? DEVICE_READS : DEVICE_WRITES;
    uint8_t *bytes = (uint8_t *)(uintptr_t)memory->offset;
    uint64_t left = memory->length;
    size_t first = device->grant_count;

    *count = 0;
    *loan = 0;
    if (device->revoked)
        return STATUS_REVOKED;
    if (memory->object != 0 || memory->offset == 0 || left == 0) {
        home_fault(device, "dma_lend of nothing, or of an object that the home does not have");
        return STATUS_INVALID;
    }
    if (home_allocation_fails())
        return STATUS_LIMIT;
    while (left != 0) {
        uint64_t within = (uintptr_t)bytes % PAGE, part = left;
        if (!home_options()->contiguous_loans && part > PAGE - within)
            part = PAGE - within;
        if (*count == capacity || part > UINT32_MAX) {
            remove_grants(device, first, *count);
            *count = 0;
            return STATUS_LIMIT;
        }
        device_address address = take_addresses(device, part + within, PAGE) + within;
        add_grant(device, address, bytes, part, GRANT_LOAN, device->next_loan + 1, rights);
        segments[(*count)++] = (struct dma_segment){.address = address, .length = (uint32_t)part};
        bytes += part;
        left -= part;
    }
    *loan = ++device->next_loan;
    device->account.loans++;
    return STATUS_OK;
}

void dma_return(struct device *device, uint32_t loan)
{
    size_t first = 0, count = 0;

    while (first < device->grant_count &&
           (device->grants[first].kind != GRANT_LOAN || device->grants[first].owner != loan))
        first++;
    while (first + count < device->grant_count && device->grants[first + count].kind == GRANT_LOAN &&
           device->grants[first + count].owner == loan)
        count++;
    if (count == 0) {
        home_fault(device, "dma_return of loan %u, which is not out", loan);
        return;
    }
    remove_grants(device, first, count);
    device->account.loans--;
}

/* ---- Queues -------------------------------------------------------------------------------------------------- */

static void free_queue(struct home_queue *queue)
{
    free(queue->submission);
    if (queue->mapped == 0) {
        free(queue->completion);
    } else {
        munmap(queue->completion, queue->mapped);
        munmap(queue->driver_view, queue->mapped);
    }
    *queue = (struct home_queue){0};
}

static void map_twice(struct home_queue *queue, size_t size)
{
    int file = memfd_create("completion", 0);

    queue->mapped = align_up(size, PAGE);
    if (file < 0 || ftruncate(file, (off_t)queue->mapped) != 0)
        abort();
    queue->completion = mmap(NULL, queue->mapped, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    queue->driver_view = mmap(NULL, queue->mapped, PROT_READ, MAP_SHARED, file, 0);
    if (queue->completion == MAP_FAILED || queue->driver_view == MAP_FAILED)
        abort();
    close(file);
}

enum status queue_create(struct device *device, const struct queue_layout *layout, struct device_queue *queue)
{
    uint64_t alignment = layout->alignment;
    uint32_t slot = 0;

    *queue = (struct device_queue){0};
    if (device->revoked)
        return STATUS_REVOKED;
    if (layout->submission_size == 0 || layout->completion_size == 0 || !is_power_of_two(alignment) ||
        alignment > 65536) {
        home_fault(device, "queue_create with an impossible layout");
        return STATUS_INVALID;
    }
    while (slot < MAX_QUEUES && device->queues[slot].used)
        slot++;
    if (slot == MAX_QUEUES || home_allocation_fails())
        return STATUS_LIMIT;

    struct home_queue *own = &device->queues[slot];
    own->used = true;
    own->submission = zeroed(layout->submission_size, alignment);
    if (home_options()->writable_completions)
        own->completion = own->driver_view = zeroed(layout->completion_size, alignment);
    else
        map_twice(own, layout->completion_size);
    own->submission_address = take_addresses(device, layout->submission_size, alignment);
    if (layout->adjacent)
        device->next_address =
            own->submission_address + align_up(layout->submission_size, alignment < PAGE ? PAGE : alignment);
    own->completion_address = take_addresses(device, layout->completion_size, alignment);
    add_grant(device, own->submission_address, own->submission, layout->submission_size, GRANT_SUBMISSION, slot,
              DEVICE_READS);
    add_grant(device, own->completion_address, own->completion, layout->completion_size, GRANT_COMPLETION, slot,
              DEVICE_READS | DEVICE_WRITES);
    device->account.queues++;
    *queue = (struct device_queue){
        .device = device,
        .submission = own->submission,
        .completion = own->driver_view,
        .submission_address = own->submission_address,
        .completion_address = own->completion_address,
        .backend = slot,
        .epoch = device->epoch,
    };
    return STATUS_OK;
}

enum status queue_set_doorbell(struct device_queue *queue, const struct register_window *window, uint64_t offset,
                               unsigned width)
{
    if (home_is_stale(queue->device, queue->epoch))
        return STATUS_REVOKED;
    if ((width != 2 && width != 4) || offset % width != 0 || offset > window->size || width > window->size - offset)
        return STATUS_OUT_OF_RANGE;
    queue->doorbell = *window;
    queue->doorbell_offset = offset;
    queue->doorbell_width = width;
    return STATUS_OK;
}

void queue_destroy(struct device_queue *queue)
{
    struct device *device = queue->device;

    if (device == NULL)
        return;
    struct home_queue *own = &device->queues[queue->backend];
    if (!own->used || own->submission != queue->submission) {
        home_fault(device, "queue_destroy of a queue that is not there");
        return;
    }
    /* The two ranges were granted one behind the other and nothing came between. */
    remove_grants(device, find_grant(device, own->submission_address), 2);
    free_queue(own);
    device->account.queues--;
    *queue = (struct device_queue){0};
}

void queue_publish(const struct device_queue *queue)
{
    (void)queue;
    atomic_thread_fence(memory_order_seq_cst);
}

void queue_observe(const struct device_queue *queue)
{
    (void)queue;
    atomic_thread_fence(memory_order_acquire);
}

void queue_notify(struct device_queue *queue, uint32_t value)
{
    if (home_is_stale(queue->device, queue->epoch))
        return;
    if (queue->doorbell_width == 0) {
        home_fault(queue->device, "queue_notify without a doorbell");
        return;
    }
    atomic_thread_fence(memory_order_seq_cst);
    queue->device->account.doorbells++;
    if (queue->doorbell_width == 2)
        window_write16(&queue->doorbell, queue->doorbell_offset, (uint16_t)value);
    else
        window_write32(&queue->doorbell, queue->doorbell_offset, value);
}

void home_free_all(struct device *device)
{
    for (size_t i = 0; i < device->grant_count; i++)
        if (device->grants[i].kind == GRANT_OWNED)
            free(device->grants[i].bytes);
    for (unsigned i = 0; i < MAX_QUEUES; i++)
        if (device->queues[i].used)
            free_queue(&device->queues[i]);
    device->grant_count = 0;
    device->open = device->pending = 0;
    device->account.owned = device->account.loans = device->account.queues = device->account.interrupts = 0;
    device->account.owned_bytes = 0;
}
