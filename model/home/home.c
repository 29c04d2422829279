/*
 * home.c: the host's home for drivers, see home.h: devices, registers, time and events, and a driver's life.
 */
#include "home_local.h"

#include <vmos/block.h>
#include <lib/log.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CLOCK_STEP_NS  100  /* what it costs to ask for the time */
#define WORK_STEP_NS   1000 /* what it costs a device to do something */
#define POLL_PERIOD_NS NANOSECONDS_PER_MILLISECOND
#define LOOK_PERIOD_NS (100 * NANOSECONDS_PER_MILLISECOND)

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

void home_fault(const struct device *device, const char *format, ...)
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

void home_note_refused(const char *text)
{
    if (home.refused_text[0] == '\0')
        snprintf(home.refused_text, sizeof home.refused_text, "%s", text);
}

const struct home_options *home_options(void)
{
    return &home.options;
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

bool home_allocation_fails(void)
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
    return device;
}

void home_device_destroy(struct device *device)
{
    if (device == NULL)
        return;
    home_free_all(device);
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

bool device_option(const struct device *device, const char *key, char *value, size_t capacity)
{
    const char *at = home_options()->driver_options;
    size_t length = strlen(key);

    (void)device;
    while (at != NULL && (strncmp(at, key, length) != 0 || at[length] != '=')) {
        at = strchr(at, ' ');
        at = at != NULL ? at + 1 : NULL;
    }
    if (at != NULL)
        snprintf(value, capacity, "%.*s", (int)strcspn(at + length + 1, " "), at + length + 1);
    return at != NULL;
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

bool home_is_stale(const struct device *device, uint32_t epoch)
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

    if (device == NULL || home_is_stale(device, window->epoch))
        return false;
    if (offset > window->size || width > window->size - offset || offset % width != 0) {
        home_fault(device, "%s of %u bytes at 0x%llx of window %u (%llu bytes)", verb, width,
                   (unsigned long long)offset, window->index, (unsigned long long)window->size);
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
        home_fault(device, "device_interrupt_open of %u, which is open", index);
        return STATUS_BUSY;
    }
    if (home_allocation_fails())
        return STATUS_LIMIT;
    *interrupt = (struct interrupt){
        .device = device, .index = index, .epoch = device->epoch, .delivery = device->description.delivery};
    device->interrupt_cpu[index] = 0;
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

    if (home_is_stale(device, interrupt->epoch))
        return;
    if ((device->open & 1u << interrupt->index) == 0) {
        home_fault(device, "interrupt_acknowledge of %u, which is not open", interrupt->index);
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
        home_fault(device, "interrupt_close of %u, which is not open", interrupt->index);
        return;
    }
    device->open &= ~(1u << interrupt->index);
    device->pending &= ~(1u << interrupt->index);
    device->account.interrupts--;
    *interrupt = (struct interrupt){0};
}

unsigned device_cpu_count(const struct device *device)
{
    (void)device;
    return home_options()->cpu_count > 1 ? home_options()->cpu_count : 1;
}

enum status interrupt_set_cpu(struct interrupt *interrupt, unsigned cpu)
{
    struct device *device = interrupt->device;

    if (device == NULL || home_is_stale(device, interrupt->epoch))
        return STATUS_REVOKED;
    if (cpu >= device_cpu_count(device))
        return STATUS_OUT_OF_RANGE;
    if (interrupt->delivery != INTERRUPT_MESSAGE)
        return STATUS_UNSUPPORTED;
    device->interrupt_cpu[interrupt->index] = cpu;
    return STATUS_OK;
}

unsigned home_interrupt_cpu(const struct device *device, unsigned index)
{
    return device->interrupt_cpu[index];
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
            home_fault(device, "driver_wait for what never comes, without a deadline");
            return 0;
        }
        home.now = next > home.now ? next : home.now + WORK_STEP_NS;
    }
}

void driver_wake(struct device *device)
{
    device->next_look = 0;
}

void driver_wake_at(struct device *device, uint64_t deadline_ns)
{
    device->wake_at = device->revoked ? DEADLINE_NEVER : deadline_ns;
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
    struct block_device **end = &device->blocks;

    while (*end != NULL)
        end = &(*end)->next;
    block->next = NULL;
    *end = block;
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
    return device->blocks;
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
        home_fault(device, "it keeps %u pieces of memory, %u loans, %u queues, %u interrupts", account->owned,
                   account->loans, account->queues, account->interrupts);
}

void home_quarantine(struct device *device)
{
    device->quarantined = true;
}

enum status home_start(struct device *device, const struct driver *driver)
{
    if (!driver_takes(driver, &device->description.identity))
        return STATUS_NOT_FOUND;
    device->failure[0] = '\0';
    device->driver = driver;
    device->state = NULL;
    device->wake_at = HOME_NEVER;
    enum status status = driver->start(device, &device->state);
    if (status != STATUS_OK) {
        device->driver = NULL;
        device->blocks = NULL;
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
        uint64_t look_at = device->next_look < device->wake_at ? device->next_look : device->wake_at;
        uint32_t events = driver_wait(device, device->open, look_at < deadline ? look_at : deadline);
        bool look = home.now >= look_at;
        if (home.now >= device->wake_at)
            device->wake_at = HOME_NEVER;
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
    device->blocks = NULL;
    device->driver->stop(device->state);
    device->driver = NULL;
    device->state = NULL;
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
    home_free_all(device);
    device->epoch++;
    device->revoked = device->quarantined = false;
    device->line_disabled = false;
}
