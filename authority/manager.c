/*
 * manager.c: finds devices, gives each to the driver that knows it, and starts failing drivers again.
 */
#include "device.h"
#include "pci_access.h"

#include <lib/bytes.h>
#include <lib/log.h>
#include <lib/malloc.h>
#include <lib/string.h>
#include <lib/text.h>
#include <machine/pci_space.h>
#include <platform/ipi.h>
#include <platform/mmu.h>
#include <vmos/block.h>
#include <vmos/nic.h>

enum { MAX_DRIVERS = 16, MAX_FUNCTIONS = 512, CONFIGURATION_SIZE = 256 };

static struct device *devices, **devices_end = &devices;
static const struct driver *const *drivers;
static size_t driver_count;
static unsigned driver_numbers[MAX_DRIVERS], publications;
static device_announce *announce;
static bool (*option_of)(const char *driver, const char *key, char *value, size_t capacity);

/* ---- Finding ---------------------------------------------------------------------------------- */

static void choose_driver(struct device *device)
{
    for (size_t i = 0; i < driver_count && i < MAX_DRIVERS; i++)
        if (driver_takes(drivers[i], &device->identity)) {
            device->driver = drivers[i];
            snprintf(device->name, sizeof device->name, "%s%u", drivers[i]->name, driver_numbers[i]++);
            return;
        }
}

static struct device *device_add(const struct device_identity *identity)
{
    struct device *device = calloc(1, sizeof *device);

    if (device == NULL) {
        log_error("devices", "no memory for another device; it stays unused");
        return NULL;
    }
    device->identity = *identity;
    device->ownership.epoch = 1;
    device->ledger.owned_limit = DEVICE_DMA_LIMIT;
    device->ledger.loan_limit = DEVICE_MAX_LOANS;
    choose_driver(device);
    *devices_end = device;
    devices_end = &device->next;
    return device;
}

struct found_functions {
    struct pci_function *functions[MAX_FUNCTIONS];
    size_t count;
};

static bool function_found(void *context, const struct pci_function *function)
{
    struct found_functions *found = context;

    if (found->count == MAX_FUNCTIONS) {
        log_warn("pci", "more than %u functions; the rest is not used", MAX_FUNCTIONS);
        return false;
    }
    struct pci_function *copy = malloc(sizeof *copy);
    if (copy == NULL) {
        log_warn("pci", "no memory for more than %zu functions; the rest is not used", found->count);
        return false;
    }
    *copy = *function;
    found->functions[found->count++] = copy;
    return true;
}

/* What a driver may know of configuration space, read once: a function that answers differently the next time
 * deceives nobody. */
static const uint8_t *copy_configuration(const struct device *device)
{
    uint8_t *copy = malloc(CONFIGURATION_SIZE);

    for (unsigned i = 0; copy != NULL && i < CONFIGURATION_SIZE; i += 4)
        store_le32(copy + i, pci_read32(device->access, device->function->where, i));
    return copy;
}

static void announce_function(struct device *device)
{
    const struct pci_function *function = device->function;
    const char *known = pci_function_name(function);
    char where[PCI_ADDRESS_TEXT_SIZE];

    pci_address_text(function->where, where);
    if (device->name[0] == '\0')
        text_copy(device->name, where, sizeof device->name);
    announce(device->name, "%s %04x:%04x at %s%s%s", known != NULL ? known : pci_class_name(function->class_code),
             function->vendor, function->device, where,
             function->msix.usable  ? ", MSI-X"
             : function->msi.usable ? ", MSI"
                                    : "",
             device->driver == NULL ? ", no driver" : "");
}

/* Nobody's device reaches memory: what firmware left running is stopped here and reset when it is claimed. Bridges
 * keep what they pass on, and a PC's own parts (ISA, host bridge) are of no device that anybody claims. */
static void stop_firmware(struct device *device)
{
    enum { CLASS_BRIDGE = 0x06 };
    const struct pci_function *function = device->function;
    uint16_t command = pci_read16(device->access, function->where, PCI_COMMAND);

    if (function->class_code >> 16 == CLASS_BRIDGE || (command & PCI_COMMAND_MASTER) == 0 || command == UINT16_MAX)
        return;
    device->left_running = true;
    pci_write16(device->access, function->where, PCI_COMMAND, command & (uint16_t)~PCI_COMMAND_MASTER);
    if ((pci_read16(device->access, function->where, PCI_COMMAND) & PCI_COMMAND_MASTER) != 0)
        log_warn(device->name, "was left bus master by firmware, and stays it");
}

static void discover_bridge(const struct machine *machine, uint16_t index)
{
    const struct machine_host_bridge *bridge = &machine->host_bridges[index];
    struct pci_machine_access *opened = calloc(1, sizeof *opened); /* lives as long as the devices behind it */
    struct found_functions *found = calloc(1, sizeof *found);

    if (opened == NULL || found == NULL) {
        log_error("pci", "no memory to look behind host bridge %u", index);
        free(opened);
        free(found);
        return;
    }
    pci_access_init(opened, bridge);
    const struct pci_access *access = &opened->access;
    pci_enumerate(bridge, index, access, function_found, found);
    pci_check_placement(machine, found->functions, found->count);
    pci_assign(bridge, access, found->functions, found->count);
    for (size_t i = 0; i < found->count; i++) {
        const struct pci_function *function = found->functions[i];
        struct device_identity identity = {.bus = DEVICE_BUS_PCI,
                                           .vendor = function->vendor,
                                           .device = function->device,
                                           .subsystem_vendor = function->subsystem_vendor,
                                           .subsystem = function->subsystem,
                                           .class_code = function->class_code,
                                           .revision = function->revision};
        struct device *device = device_add(&identity);
        if (device == NULL)
            break;
        device->function = found->functions[i];
        device->access = access;
        device->bridge = bridge;
        if (device->driver != NULL)
            device->configuration = copy_configuration(device);
        announce_function(device);
        device_forget_errors(device);
        stop_firmware(device);
    }
    free(found);
}

/* "virtio block device", by device ID [virtio 1.2 §5]. */
static const char *virtio_class_name(uint32_t number)
{
    static const char *const names[] = {
        [1] = "virtio network device", [2] = "virtio block device", [3] = "virtio console",
        [4] = "virtio entropy device", [5] = "virtio balloon",      [8] = "virtio SCSI host"};

    return number < sizeof names / sizeof names[0] && names[number] != NULL ? names[number] : "virtio device";
}

/* An empty slot has device ID 0 and is no device [virtio 1.2 §4.2.2]. */
static void discover_slot(const struct machine_virtio_slot *slot)
{
    enum { MAGIC = 0x74726976, VERSION = 4, DEVICE_ID = 8, VENDOR_ID = 12, SMALLEST = 0x100 };
    struct device_identity identity = {.bus = DEVICE_BUS_VIRTIO_MMIO, .vendor = 0x1af4};

    if (slot->size < SMALLEST || slot->base % sizeof(uint32_t) != 0)
        return;
    volatile uint8_t *registers = vm_map_device(slot->base, slot->size);
    if (registers == NULL || *(volatile uint32_t *)registers != MAGIC)
        return;
    uint32_t version = *(volatile uint32_t *)(registers + VERSION);
    uint32_t number = *(volatile uint32_t *)(registers + DEVICE_ID);
    if (number == 0 || number > UINT16_MAX)
        return;
    identity.device = (uint16_t)number;
    struct device *device = device_add(&identity);
    if (device == NULL)
        return;
    device->slot = slot;
    if (device->name[0] == '\0')
        snprintf(device->name, sizeof device->name, "virtio-mmio@%llx", (unsigned long long)slot->base);
    announce(device->name, "%s (%u) at 0x%llx, %s (version %u), line %d%s", virtio_class_name(number), number,
             (unsigned long long)slot->base, version == 1 ? "legacy" : "modern", version, (int)slot->line.line,
             device->driver == NULL ? ", no driver" : "");
}

void devices_discover(const struct machine *machine, const struct driver *const list[], size_t count,
                      device_announce *say)
{
    drivers = list;
    driver_count = count;
    announce = say;
    for (uint32_t i = 0; i < machine->host_bridge_count; i++)
        discover_bridge(machine, (uint16_t)i);
    for (uint32_t i = 0; i < machine->virtio_slot_count; i++)
        discover_slot(&machine->virtio_slots[i]);
    slots_discover();
    if (devices == NULL)
        log_info("devices", "no devices were found");
}

/* ---- Running drivers ---------------------------------------------------------------------------- */

static void start(struct device *device)
{
    enum status status = device_claim(device);

    if (status == STATUS_OK) {
        device->starts++;
        status = device->driver->start(device, &device->driver_state);
        device->running = status == STATUS_OK;
        if (!device->running)
            device_revoke(device, "the driver did not start");
    }
    if (status != STATUS_OK)
        log_error(device->name, "is not in use: %s", status_text(status));
}

void device_stop(struct device *device, const char *reason)
{
    if (!device->running)
        return;
    device->running = false;
    device_unpublish(device); /* who is told that a request has ended must not find the driver again */
    device->driver->stop(device->driver_state);
    device->driver_state = NULL;
    device_revoke(device, reason);
}

void devices_start(bool (*wanted)(const char *driver))
{
    for (struct device *device = devices; device != NULL; device = device->next)
        if (device->driver != NULL) {
            if (wanted(device->driver->name))
                start(device);
            else
                log_info(device->name, "is left alone: the manifest does not name the driver %s", device->driver->name);
        }
}

void devices_stop(void)
{
    for (bool any = true; any;) { /* last first */
        struct device *last = NULL;
        for (struct device *device = devices; device != NULL; device = device->next)
            if (device->running)
                last = device;
        any = last != NULL;
        if (any) {
            last->machine_ends = true;
            device_stop(last, "the machine ends");
        }
    }
    slots_end();
}

/* The device no longer answers: its driver, if it has one still, learns of it by being stopped. */
void device_depart(struct device *device)
{
    device_stop(device, "the device has left the machine");
    device_mark_gone(device);
}

static void recover(struct device *device)
{
    device_stop(device, "the device failed");
    if (device->gone) /* which is why it failed */
        return;
    if (device->starts >= DEVICE_MAX_STARTS) {
        log_error(device->name, "failed %u times and is left alone", device->starts);
        return;
    }
    log_info(device->name, "is started again");
    start(device);
}

bool devices_pending(void)
{
    for (struct device *device = devices; device != NULL; device = device->next)
        if (device->running &&
            (device->failed || device->woken || __atomic_load_n(&device->events, __ATOMIC_ACQUIRE) != 0))
            return true;
    return slots_pending();
}

bool devices_dispatch(void)
{
    bool any = slots_pending();

    slots_dispatch();
    for (struct device *device = devices; device != NULL; device = device->next) {
        if (!device->running)
            continue;
        uint32_t events = __atomic_exchange_n(&device->events, 0, __ATOMIC_ACQ_REL);
        if (!device->failed && (events != 0 || device->woken)) {
            device->woken = false;
            device->driver->handle(device->driver_state, events);
            any = true;
        }
        if (device->failed) {
            recover(device);
            any = true;
        }
    }
    return any;
}

/* ---- What a driver asks about its device ---------------------------------------------------------- */

const struct device_identity *device_identity(const struct device *device)
{
    return &device->identity;
}

void devices_options(bool (*option)(const char *driver, const char *key, char *value, size_t capacity))
{
    option_of = option;
}

bool device_option(const struct device *device, const char *key, char *value, size_t capacity)
{
    return option_of != NULL && device->driver != NULL && option_of(device->driver->name, key, value, capacity);
}

const char *device_name(const struct device *device)
{
    return device->name;
}

size_t device_capability(const struct device *device, uint8_t identifier, unsigned nth, void *copy, size_t capacity)
{
    const struct pci_function *function = device->function;

    for (unsigned i = 0; device->configuration != NULL && i < function->capability_count; i++) {
        const struct pci_capability *capability = &function->capabilities[i];
        if (capability->identifier != identifier || nth-- != 0)
            continue;
        size_t length = CONFIGURATION_SIZE - (size_t)capability->offset;
        if (length > capability->length)
            length = capability->length;
        if (length > capacity)
            length = capacity;
        memcpy(copy, device->configuration + capability->offset, length);
        return length;
    }
    return 0;
}

void driver_wake(struct device *device)
{
    __atomic_store_n(&device->woken, true, __ATOMIC_RELEASE);
    ipi_wake(cpu_at(0));
}

static void wake_fired(struct timer *timer)
{
    driver_wake(timer->context);
}

void driver_wake_at(struct device *device, uint64_t deadline_ns)
{
    device->wake.fire = wake_fired;
    device->wake.context = device;
    if (deadline_ns == DEADLINE_NEVER || authority_check_owner(device) != STATUS_OK)
        timer_cancel(&device->wake);
    else
        timer_start(&device->wake, deadline_ns);
}

void device_fail(struct device *device, const char *format, ...)
{
    char text[160];
    va_list arguments;

    if (device->failed || device->ownership.state != DEVICE_CLAIMED)
        return;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    log_error(device->name, "%s; its driver is stopped", text);
    device_collect_errors(device);
    device->failed = true;
}

enum status device_publish_block(struct device *device, struct block_device *block)
{
    enum status status = authority_check_owner(device);

    if (status == STATUS_OK) {
        struct block_device **end = &device->blocks;
        while (*end != NULL)
            end = &(*end)->next;
        block->next = NULL;
        *end = block;
        publications++;
    }
    return status;
}

unsigned devices_publications(void)
{
    return publications;
}

enum status device_publish_nic(struct device *device, struct nic_device *nic)
{
    enum status status = authority_check_owner(device);

    if (status == STATUS_OK)
        device->nic = nic;
    return status;
}

enum status device_publish_entropy(struct device *device, struct entropy_device *entropy)
{
    enum status status = authority_check_owner(device);

    if (status == STATUS_OK)
        device->entropy = entropy;
    return status;
}

/* ---- Reports ---------------------------------------------------------------------------------------- */

struct device *device_first(void)
{
    return devices;
}

struct device *device_find(const char *name)
{
    struct device *device = devices;

    while (device != NULL && strcmp(device->name, name) != 0)
        device = device->next;
    return device;
}

static const char *state_text(const struct device *device)
{
    static const char *const states[] = {"free", "claimed", "revoking", "quarantined"};

    return device->gone && device->ownership.state == DEVICE_FREE ? "gone"
           : device->driver == NULL                               ? "no driver"
           : device->running                                      ? "running"
                                                                  : states[device->ownership.state];
}

static const char *delivery_text(const struct device *device)
{
    static const char *const words[] = {"message", "line", "polled"};

    return device->interrupt_count != 0 && device->interrupts[0].open ? words[device->interrupts[0].delivery] : "-";
}

void devices_report(struct printer *printer)
{
    if (devices == NULL)
        print(printer, "this machine has no devices that vmos can see\n");
    else
        print(printer, "%-16s %-11s %5s %-8s %10s %9s\n", "DEVICE", "STATE", "EPOCH", "IRQ BY", "INTERRUPTS",
              "DMA KiB");
    for (const struct device *device = devices; device != NULL; device = device->next) {
        uint64_t count = 0;
        for (unsigned i = 0; i < device->interrupt_count; i++)
            count += device->interrupts[i].count;
        print(printer, "%-16s %-11s %5u %-8s %10llu %9llu\n", device->name, state_text(device), device->ownership.epoch,
              delivery_text(device), (unsigned long long)count, (unsigned long long)device->ledger.owned_bytes / 1024);
    }
}

void device_report_function(struct device *device, struct printer *printer)
{
    char text[200];

    pci_report(device->function, printer);
    if (pci_link_text(device->access, device->function, text, sizeof text))
        print(printer, "link: %s\n", text);
    device_collect_errors(device);
    pci_errors_text(&device->errors, text, sizeof text);
    print(printer, "errors: %s\n", text);
}

void device_report(struct device *device, struct printer *printer)
{
    print(printer, "device: %s\nstate: %s\nepoch: %u\nstarts: %u\n", device->name, state_text(device),
          device->ownership.epoch, device->starts);
    print(printer, "dma-owned: %llu of at most %llu bytes, %u queues in them\ndma-lent: %llu bytes in %u loans\n",
          (unsigned long long)device->ledger.owned_bytes, (unsigned long long)device->ledger.owned_limit,
          device->ledger.queue_count, (unsigned long long)device->ledger.lent_bytes, device->ledger.loan_count);
    print(printer, "refused: %llu uses of stale handles, %llu register accesses out of bounds\n",
          (unsigned long long)device->stale_uses, (unsigned long long)device->window_violations);
    for (unsigned i = 0; i < device->interrupt_count; i++)
        if (device->interrupts[i].open)
            print(printer, "interrupt %u: %llu arrived\n", i, (unsigned long long)device->interrupts[i].count);
    for (const struct block_device *block = device->blocks; block != NULL; block = block->next)
        print(printer, "block %s: %llu blocks of %u bytes%s, depth %u\n", block->name,
              (unsigned long long)block->info.block_count, block->info.block_size,
              block->info.read_only ? ", read-only" : "", block->info.queue_depth);
    if (device->nic != NULL)
        print(printer, "nic: link %s, mtu %u, %llu frames sent, %llu received, %llu dropped\n",
              device->nic->info.link_up ? "up" : "down", device->nic->info.mtu,
              (unsigned long long)device->nic->counters.transmitted_frames,
              (unsigned long long)device->nic->counters.received_frames,
              (unsigned long long)device->nic->counters.dropped_frames);
    if (device->function != NULL)
        device_report_function(device, printer);
}
