/*
 * home.c: the host's home for drivers, see home.h.
 *
 * Every range that a device may reach is a grant, at an address that is used once and never again and with
 * pages between grants that nobody owns, so that a stale or a wrong address never hits anything. The host
 * memory behind owned and submission memory comes from malloc, so that the sanitizer sees a driver's overrun.
 */
#define _GNU_SOURCE
#include <model/home/home.h>

#include <lib/bytes.h>
#include <lib/log.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum {
    PAGE = 4096,
    MAX_DEVICES = 32,
    MAX_QUEUES = 64,
    DEVICE_READS = 1,
    DEVICE_WRITES = 2,
};

#define FIRST_ADDRESS  (UINT64_C(1) << 42) /* above any host memory that is likely, below legacy virtio's 16 TiB */
#define CLOCK_STEP_NS  100                 /* what it costs to ask for the time */
#define WORK_STEP_NS   1000                /* what it costs a device to do something */
#define POLL_PERIOD_NS NANOSECONDS_PER_MILLISECOND
#define LOOK_PERIOD_NS (100 * NANOSECONDS_PER_MILLISECOND)

enum grant_kind { GRANT_OWNED, GRANT_SUBMISSION, GRANT_COMPLETION, GRANT_LOAN };

struct grant {
    device_address address;
    uint64_t size;
    uint8_t *bytes; /* as the device reaches them */
    enum grant_kind kind;
    uint32_t owner; /* queue number, loan number */
    uint8_t rights; /* DEVICE_* */
};

struct home_queue {
    bool used;
    void *submission, *completion; /* completion: the device's view */
    void *driver_view;             /* another mapping of it, or the same */
    size_t mapped;                 /* bytes of both mappings; 0: from malloc */
    device_address submission_address, completion_address;
};

struct device {
    struct home_device description;
    char name[32];
    uint32_t epoch;
    bool revoked, quarantined;
    device_address next_address;
    struct grant *grants; /* ascending by address */
    size_t grant_count, grant_capacity;
    uint32_t next_loan;
    struct home_queue queues[MAX_QUEUES];
    uint32_t open, pending; /* interrupts, bits */
    bool line_level, line_disabled;
    uint64_t next_poll;
    struct home_account account;
    const struct driver *driver;
    void *state;
    uint64_t next_look;
    char failure[256];
    struct block_device *block;
    struct nic_device *nic;
    struct entropy_device *entropy;
};

static struct {
    struct home_options options;
    uint64_t now, random;
    struct device *devices[MAX_DEVICES];
    unsigned faults;
    char fault_text[256], refused_text[256];
    bool failing;
    unsigned fail_after;
} home;

/* ---- The whole ---------------------------------------------------------------------------------------- */

void home_init(const struct home_options *options)
{
    struct device *devices[MAX_DEVICES];

    memcpy(devices, home.devices, sizeof devices);
    memset(&home, 0, sizeof home);
    memcpy(home.devices, devices, sizeof devices);
    if (options != NULL)
        home.options = *options;
    home.random = home.options.seed * UINT64_C(0x9e3779b97f4a7c15) + 1;
    home.now = NANOSECONDS_PER_MILLISECOND;
}

uint64_t home_random(void) /* splitmix64 */
{
    uint64_t z = (home.random += UINT64_C(0x9e3779b97f4a7c15));

    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    return z ^ z >> 31;
}

static void fault(const struct device *device, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void fault(const struct device *device, const char *format, ...)
{
    char text[200];
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    if (home.faults++ == 0)
        snprintf(home.fault_text, sizeof home.fault_text, "%s: %s", device->name, text);
    log_error("home", "driver of %s: %s", device->name, text);
}

unsigned home_faults(void)
{
    return home.faults;
}

const char *home_fault_text(void)
{
    return home.fault_text;
}

const char *home_refused_text(void)
{
    return home.refused_text;
}

void home_fail_allocation(unsigned after)
{
    home.failing = true;
    home.fail_after = after;
}

static bool allocation_fails(void)
{
    if (!home.failing || home.fail_after-- != 0)
        return false;
    home.failing = false;
    return true;
}

void home_advance(uint64_t duration_ns)
{
    home.now += duration_ns;
}

uint64_t clock_now(void)
{
    return home.now += CLOCK_STEP_NS;
}

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
    if (device->account.refused++ == 0)
        snprintf(home.refused_text, sizeof home.refused_text, "%s: may not %s %zu bytes at 0x%llx", device->name, verb,
                 size, (unsigned long long)address);
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

/* ---- Devices ------------------------------------------------------------------------------------------------ */

struct device *home_device_create(const struct home_device *description)
{
    struct device *device = calloc(1, sizeof *device);
    unsigned slot = 0;

    while (slot < MAX_DEVICES && home.devices[slot] != NULL)
        slot++;
    if (slot == MAX_DEVICES)
        abort();
    home.devices[slot] = device;
    device->description = *description;
    snprintf(device->name, sizeof device->name, "%s", description->name);
    device->epoch = 1;
    device->next_address = FIRST_ADDRESS;
    return device;
}

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

/* Everything that the driver still holds goes: only what nobody can touch any more. */
static void forget(struct device *device)
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

void home_device_destroy(struct device *device)
{
    if (device == NULL)
        return;
    forget(device);
    for (unsigned i = 0; i < MAX_DEVICES; i++)
        if (home.devices[i] == device)
            home.devices[i] = NULL;
    free(device->grants);
    free(device);
}

const struct device_identity *device_identity(const struct device *device)
{
    return &device->description.identity;
}

const char *device_name(const struct device *device)
{
    return device->name;
}

size_t device_capability(const struct device *device, uint8_t identifier, unsigned nth, void *copy, size_t capacity)
{
    for (unsigned i = 0; i < device->description.capability_count; i++) {
        const struct home_capability *capability = &device->description.capabilities[i];
        if (capability->bytes[0] != identifier || nth-- != 0)
            continue;
        size_t size = capability->size < capacity ? capability->size : capacity;
        memcpy(copy, capability->bytes, size);
        return size;
    }
    return 0;
}

static bool stale(const struct device *device, uint32_t epoch)
{
    return device->revoked || device->epoch != epoch;
}

/* ---- Registers ---------------------------------------------------------------------------------------------- */

enum status device_window_open(struct device *device, unsigned index, struct register_window *window)
{
    if (device->revoked)
        return STATUS_REVOKED;
    if (index >= HOME_MAX_WINDOWS || device->description.window_sizes[index] == 0)
        return STATUS_NOT_FOUND;
    *window = (struct register_window){
        .device = device, .size = device->description.window_sizes[index], .index = index, .epoch = device->epoch};
    return STATUS_OK;
}

static bool window_access(const struct register_window *window, uint64_t offset, unsigned width, const char *verb)
{
    struct device *device = window->device;

    if (device == NULL || stale(device, window->epoch))
        return false;
    if (offset > window->size || width > window->size - offset || offset % width != 0) {
        fault(device, "%s of %u bytes at 0x%llx of window %u (%llu bytes)", verb, width, (unsigned long long)offset,
              window->index, (unsigned long long)window->size);
        return false;
    }
    return true;
}

static uint32_t window_read(const struct register_window *window, uint64_t offset, unsigned width)
{
    if (!window_access(window, offset, width, "read"))
        return UINT32_MAX;
    struct device *device = window->device;
    device->account.register_reads++;
    return device->description.ops->read(device->description.model, window->index, offset, width);
}

static void window_write(const struct register_window *window, uint64_t offset, unsigned width, uint32_t value)
{
    if (!window_access(window, offset, width, "write"))
        return;
    struct device *device = window->device;
    device->account.register_writes++;
    device->description.ops->write(device->description.model, window->index, offset, width, value);
}

uint8_t window_read8(const struct register_window *window, uint64_t offset)
{
    return (uint8_t)window_read(window, offset, 1);
}

uint16_t window_read16(const struct register_window *window, uint64_t offset)
{
    return (uint16_t)window_read(window, offset, 2);
}

uint32_t window_read32(const struct register_window *window, uint64_t offset)
{
    return window_read(window, offset, 4);
}

void window_write8(const struct register_window *window, uint64_t offset, uint8_t value)
{
    window_write(window, offset, 1, value);
}

void window_write16(const struct register_window *window, uint64_t offset, uint16_t value)
{
    window_write(window, offset, 2, value);
}

void window_write32(const struct register_window *window, uint64_t offset, uint32_t value)
{
    window_write(window, offset, 4, value);
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
        fault(device, "dma_allocate of %zu bytes aligned to %zu", size, alignment);
        return STATUS_INVALID;
    }
    if (allocation_fails() ||
        (home.options.dma_limit != 0 && device->account.owned_bytes + size > home.options.dma_limit))
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
        fault(device, "dma_free of 0x%llx, which it does not own", (unsigned long long)memory->address);
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
        fault(device, "dma_lend of nothing, or of an object that the home does not have");
        return STATUS_INVALID;
    }
    if (allocation_fails())
        return STATUS_LIMIT;
    while (left != 0) {
        uint64_t within = (uintptr_t)bytes % PAGE, part = left;
        if (!home.options.contiguous_loans && part > PAGE - within)
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
        fault(device, "dma_return of loan %u, which is not out", loan);
        return;
    }
    remove_grants(device, first, count);
    device->account.loans--;
}

/* ---- Queues -------------------------------------------------------------------------------------------------- */

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
        fault(device, "queue_create with an impossible layout");
        return STATUS_INVALID;
    }
    while (slot < MAX_QUEUES && device->queues[slot].used)
        slot++;
    if (slot == MAX_QUEUES || allocation_fails())
        return STATUS_LIMIT;

    struct home_queue *own = &device->queues[slot];
    own->used = true;
    own->submission = zeroed(layout->submission_size, alignment);
    if (home.options.writable_completions)
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
    if (stale(queue->device, queue->epoch))
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
        fault(device, "queue_destroy of a queue that is not there");
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
    if (stale(queue->device, queue->epoch))
        return;
    if (queue->doorbell_width == 0) {
        fault(queue->device, "queue_notify without a doorbell");
        return;
    }
    atomic_thread_fence(memory_order_seq_cst);
    queue->device->account.doorbells++;
    window_write(&queue->doorbell, queue->doorbell_offset, queue->doorbell_width, value);
}

/* ---- Events ------------------------------------------------------------------------------------------------- */

unsigned device_interrupt_count(const struct device *device)
{
    return device->description.interrupt_count;
}

static void raise_event(struct device *device, unsigned index)
{
    if ((device->open & 1u << index) == 0)
        return;
    device->pending |= 1u << index;
    device->account.interrupts_raised++;
}

/* A wire that is up raises its event once and is then disabled until acknowledged. */
static void look_at_line(struct device *device)
{
    if (!device->line_level || device->line_disabled || (device->open & 1) == 0)
        return;
    device->line_disabled = true;
    raise_event(device, 0);
}

void home_interrupt(struct device *device, unsigned index)
{
    if (device->description.delivery == INTERRUPT_MESSAGE && index < device->description.interrupt_count)
        raise_event(device, index);
}

void home_line(struct device *device, bool level)
{
    device->line_level = level;
    if (device->description.delivery == INTERRUPT_LINE)
        look_at_line(device);
}

enum status device_interrupt_open(struct device *device, unsigned index, struct interrupt *interrupt)
{
    if (device->revoked)
        return STATUS_REVOKED;
    if (index >= device->description.interrupt_count)
        return STATUS_OUT_OF_RANGE;
    if ((device->open & 1u << index) != 0) {
        fault(device, "device_interrupt_open of %u, which is open", index);
        return STATUS_BUSY;
    }
    if (allocation_fails())
        return STATUS_LIMIT;
    *interrupt = (struct interrupt){
        .device = device, .index = index, .epoch = device->epoch, .delivery = device->description.delivery};
    device->open |= 1u << index;
    device->account.interrupts++;
    device->line_disabled = false;
    if (device->description.delivery == INTERRUPT_LINE)
        look_at_line(device);
    return STATUS_OK;
}

void interrupt_acknowledge(struct interrupt *interrupt)
{
    struct device *device = interrupt->device;

    if (stale(device, interrupt->epoch))
        return;
    if ((device->open & 1u << interrupt->index) == 0) {
        fault(device, "interrupt_acknowledge of %u, which is not open", interrupt->index);
        return;
    }
    if (interrupt->delivery == INTERRUPT_LINE) {
        device->line_disabled = false;
        look_at_line(device);
    }
}

void interrupt_close(struct interrupt *interrupt)
{
    struct device *device = interrupt->device;

    if (device == NULL)
        return;
    if ((device->open & 1u << interrupt->index) == 0) {
        fault(device, "interrupt_close of %u, which is not open", interrupt->index);
        return;
    }
    device->open &= ~(1u << interrupt->index);
    device->pending &= ~(1u << interrupt->index);
    device->account.interrupts--;
    *interrupt = (struct interrupt){0};
}

/* Lets every device work once; 0 when one did something, else when one next wants to. */
static uint64_t step_all(void)
{
    uint64_t next = HOME_NEVER;

    for (unsigned i = 0; i < MAX_DEVICES; i++) {
        struct device *device = home.devices[i];
        if (device == NULL)
            continue;
        uint64_t wish = HOME_NEVER;
        if (device->description.ops->step != NULL)
            wish = device->description.ops->step(device->description.model, home.now);
        if (device->description.delivery == INTERRUPT_POLLED && device->open != 0) {
            if (home.now >= device->next_poll) {
                device->next_poll = home.now + POLL_PERIOD_NS;
                raise_event(device, 0);
                wish = 0;
            } else if (device->next_poll < wish) {
                wish = device->next_poll;
            }
        }
        next = wish < next ? wish : next;
    }
    return next;
}

uint32_t driver_wait(struct device *device, uint32_t events, uint64_t deadline_ns)
{
    for (;;) {
        uint32_t ready = device->pending & events;
        device->pending &= ~ready;
        if (device->revoked) { /* nothing comes any more; who loops to a deadline gets there */
            home.now += POLL_PERIOD_NS;
            return 0;
        }
        if (ready != 0)
            return ready;
        if (home.now >= deadline_ns)
            return 0;
        uint64_t next = step_all();
        if (next == 0) {
            home.now += WORK_STEP_NS;
            continue;
        }
        if (next > deadline_ns)
            next = deadline_ns;
        if (next == HOME_NEVER) {
            fault(device, "driver_wait for what never comes, without a deadline");
            return 0;
        }
        home.now = next > home.now ? next : home.now + WORK_STEP_NS;
    }
}

/* ---- Life ---------------------------------------------------------------------------------------------------- */

void device_fail(struct device *device, const char *format, ...)
{
    va_list arguments;

    if (device->failure[0] != '\0')
        return;
    va_start(arguments, format);
    vsnprintf(device->failure, sizeof device->failure, format, arguments);
    va_end(arguments);
    log_error(device->name, "%s", device->failure);
}

const char *home_failure(const struct device *device)
{
    return device->failure[0] != '\0' ? device->failure : NULL;
}

enum status device_publish_block(struct device *device, struct block_device *block)
{
    device->block = block;
    return device->revoked ? STATUS_REVOKED : STATUS_OK;
}

enum status device_publish_nic(struct device *device, struct nic_device *nic)
{
    device->nic = nic;
    return device->revoked ? STATUS_REVOKED : STATUS_OK;
}

enum status device_publish_entropy(struct device *device, struct entropy_device *entropy)
{
    device->entropy = entropy;
    return device->revoked ? STATUS_REVOKED : STATUS_OK;
}

struct block_device *home_block(struct device *device)
{
    return device->block;
}

struct nic_device *home_nic(struct device *device)
{
    return device->nic;
}

struct entropy_device *home_entropy(struct device *device)
{
    return device->entropy;
}

struct home_account home_account(const struct device *device)
{
    return device->account;
}

void home_check_returned(struct device *device)
{
    const struct home_account *account = &device->account;

    if ((account->owned | account->loans | account->queues | account->interrupts) == 0)
        return;
    if (!device->quarantined)
        fault(device, "it keeps %u pieces of memory, %u loans, %u queues, %u interrupts", account->owned,
              account->loans, account->queues, account->interrupts);
}

void home_quarantine(struct device *device)
{
    device->quarantined = true;
}

enum status home_start(struct device *device, const struct driver *driver)
{
    const struct device_identity *identity = &device->description.identity;
    bool matches = false;

    for (unsigned i = 0; i < driver->match_count; i++) {
        const struct driver_match *match = &driver->matches[i];
        matches |= match->bus == identity->bus &&
                   (match->vendor == DEVICE_ANY_ID || match->vendor == identity->vendor) &&
                   (match->device == DEVICE_ANY_ID || match->device == identity->device);
    }
    if (!matches)
        return STATUS_NOT_FOUND;
    device->failure[0] = '\0';
    device->driver = driver;
    device->state = NULL;
    enum status status = driver->start(device, &device->state);
    if (status != STATUS_OK) {
        device->driver = NULL;
        home_check_returned(device);
    }
    device->next_look = home.now + LOOK_PERIOD_NS;
    return status;
}

void home_handle(struct device *device, uint32_t events)
{
    if (device->driver != NULL && device->failure[0] == '\0')
        device->driver->handle(device->state, events);
}

void home_run(struct device *device, uint64_t duration_ns, bool (*until)(void *context), void *context)
{
    uint64_t deadline = home.now + duration_ns;

    while (device->driver != NULL && device->failure[0] == '\0' && home.now < deadline) {
        if (until != NULL && until(context))
            return;
        step_all();
        home.now += WORK_STEP_NS;
        uint64_t limit = device->next_look < deadline ? device->next_look : deadline;
        uint32_t events = driver_wait(device, device->open, limit);
        bool look = home.now >= device->next_look;
        if (look)
            device->next_look = home.now + LOOK_PERIOD_NS;
        if (events != 0 || look)
            home_handle(device, events);
    }
}

void home_stop(struct device *device)
{
    if (device->driver == NULL)
        return;
    device->driver->stop(device->state);
    device->driver = NULL;
    device->state = NULL;
    device->block = NULL;
    device->nic = NULL;
    device->entropy = NULL;
    home_check_returned(device);
}

void home_revoke(struct device *device)
{
    device->revoked = true;
    device->pending = 0;
    for (size_t i = 0; i < device->grant_count; i++)
        device->grants[i].rights = 0;
}

void home_renew(struct device *device)
{
    forget(device);
    device->epoch++;
    device->revoked = device->quarantined = false;
    device->line_disabled = false;
}
