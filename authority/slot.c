/*
 * slot.c: devices that leave: by the button of a slot, or without a word; and the errors that functions record.
 *
 * A PCI Express port whose slot can be taken from [PCI Express Base 6.0 §6.7] is looked at every 500 ms; a machine
 * without such a slot pays nothing. Its button (QEMU's device_del) stops the drivers of what is behind it, ends their
 * ownership in the usual order and switches the slot off. Nobody stands before a virtual slot to change their mind,
 * so the five seconds for that are not waited. What is put into a slot later is not used until the machine restarts.
 *
 * QEMU: -device pcie-root-port, device_del; on q35 with
 * -global ICH9-LPC.acpi-pci-hotplug-with-bridge-support=off
 */
#include "device.h"

#include <lib/log.h>
#include <lib/malloc.h>
#include <machine/pci_space.h>

#define LOOK_INTERVAL_NS (500 * NANOSECONDS_PER_MILLISECOND)
#define ERROR_PAUSE_NS   NANOSECONDS_PER_SECOND /* between two sentences about one device */

enum { COMMAND_TRIES_MS = 1000, LEAVE_TRIES_MS = 1000 };

struct slot {
    struct device *port;
    struct slot *next;
    uint32_t abilities;
    unsigned control, status; /* offsets */
};

static struct slot *slots;
static struct timer look_timer;
static bool look_due; /* written from interrupt context */

/* ---- Who is above and behind ---------------------------------------------------------------------------- */

static bool is_behind(const struct device *device, const struct device *bridge)
{
    const struct pci_function *function = device->function, *above = bridge->function;

    return function != NULL && device->access == bridge->access && above->header_type == PCI_HEADER_BRIDGE &&
           above->secondary_bus != 0 && function->where.bus >= above->secondary_bus &&
           function->where.bus <= above->subordinate_bus;
}

/* The bridge whose secondary bus the device is on; NULL on a root bus. */
static struct device *bridge_above(const struct device *device)
{
    for (struct device *bridge = device_first(); bridge != NULL; bridge = bridge->next)
        if (bridge->function != NULL && is_behind(device, bridge) &&
            bridge->function->secondary_bus == device->function->where.bus)
            return bridge;
    return NULL;
}

bool device_is_absent(const struct device *device)
{
    return device->function != NULL && pci_read32(device->access, device->function->where, PCI_VENDOR) == UINT32_MAX;
}

void device_mark_gone(struct device *device)
{
    if (device->gone)
        return;
    device->gone = true;
    log_warn(device->name, "has left the machine%s", device->driver != NULL ? "; it is not started again" : "");
}

/* Whether the port itself says that nothing is connected to it. What is connected later begins reset. */
static bool port_is_empty(const struct device *port)
{
    const struct pci_function *function = port->function;
    unsigned flags = pci_express_field(function, PCI_EXPRESS_FLAGS, 2);
    unsigned slot = pci_express_field(function, PCI_EXPRESS_SLOT_STATUS, 2);
    unsigned able = pci_express_field(function, PCI_EXPRESS_LINK_CAPABILITIES, 4);
    unsigned link = pci_express_field(function, PCI_EXPRESS_LINK_STATUS, 2);

    if (slot != 0 && (pci_read16(port->access, function->where, flags) & PCI_EXPRESS_FLAGS_SLOT) != 0 &&
        (pci_read16(port->access, function->where, slot) & PCI_SLOT_PRESENT) == 0)
        return true;
    return able != 0 && link != 0 &&
           (pci_read32(port->access, function->where, able) & PCI_EXPRESS_LINK_TELLS_ACTIVE) != 0 &&
           (pci_read16(port->access, function->where, link) & PCI_EXPRESS_LINK_ACTIVE) == 0;
}

/* A bridge that is no bus master passes nothing on [PCI-to-PCI Bridge 1.2 §3.2.5.3]. That is done only where all
 * behind it have fallen silent. */
static bool cut_off(struct device *bridge)
{
    for (const struct device *other = device_first(); other != NULL; other = other->next)
        if (is_behind(other, bridge) && !device_is_absent(other))
            return false;
    uint16_t command = pci_read16(bridge->access, bridge->function->where, PCI_COMMAND);
    pci_write16(bridge->access, bridge->function->where, PCI_COMMAND, command & (uint16_t)~PCI_COMMAND_MASTER);
    return (pci_read16(bridge->access, bridge->function->where, PCI_COMMAND) & PCI_COMMAND_MASTER) == 0;
}

bool device_absence_is_sure(const struct device *device)
{
    struct device *bridge = bridge_above(device);

    while (bridge != NULL && device_is_absent(bridge)) /* each is on a lower bus than the one before */
        bridge = bridge_above(bridge);
    return bridge != NULL && (port_is_empty(bridge) || cut_off(bridge));
}

/* ---- Errors ------------------------------------------------------------------------------------------------ */

void device_forget_errors(struct device *device)
{
    struct pci_errors ignored = {0};

    if (device->function != NULL)
        pci_errors_take(device->access, device->function, &ignored);
}

void device_collect_errors(struct device *device)
{
    struct pci_errors found = {0};
    char text[160];

    if (device->function == NULL || !pci_errors_take(device->access, device->function, &found))
        return;
    device->error_reports++;
    device->errors.status |= found.status;
    device->errors.secondary |= found.secondary;
    device->errors.express |= found.express;
    device->errors.uncorrectable |= found.uncorrectable;
    device->errors.correctable |= found.correctable;
    if (device->error_reports > 1 && clock_now() - device->error_said_ns < ERROR_PAUSE_NS)
        return;
    device->error_said_ns = clock_now();
    pci_errors_text(&found, text, sizeof text);
    log_warn(device->name, "has recorded errors: %s", text);
}

/* ---- Slots ------------------------------------------------------------------------------------------------- */

static uint16_t read_slot(const struct slot *slot, unsigned offset)
{
    return pci_read16(slot->port->access, slot->port->function->where, offset);
}

static void write_slot(const struct slot *slot, unsigned offset, uint16_t value)
{
    pci_write16(slot->port->access, slot->port->function->where, offset, value);
}

/* One command; the port says when it is done [§6.7.3.2]. */
static void command(const struct slot *slot, uint16_t set)
{
    uint16_t now = read_slot(slot, slot->control);

    write_slot(slot, slot->status, PCI_SLOT_COMMAND_COMPLETED);
    write_slot(slot, slot->control, now | set);
    for (unsigned tried = 0; (slot->abilities & PCI_SLOT_NO_COMPLETION) == 0 && tried < COMMAND_TRIES_MS; tried++) {
        if ((read_slot(slot, slot->status) & PCI_SLOT_COMMAND_COMPLETED) != 0)
            break;
        clock_spin(NANOSECONDS_PER_MILLISECOND);
    }
    write_slot(slot, slot->status, PCI_SLOT_COMMAND_COMPLETED);
}

static bool all_absent(const struct slot *slot)
{
    for (const struct device *device = device_first(); device != NULL; device = device->next)
        if (is_behind(device, slot->port) && !device_is_absent(device))
            return false;
    return true;
}

static void note_departures(const struct slot *slot)
{
    for (struct device *device = device_first(); device != NULL; device = device->next)
        if (is_behind(device, slot->port) && device_is_absent(device))
            device_depart(device);
}

static void empty(const struct slot *slot)
{
    log_info(slot->port->name, "the button of its slot was pressed: what is behind it is stopped");
    for (struct device *device = device_first(); device != NULL; device = device->next)
        if (is_behind(device, slot->port))
            device_stop(device, "its slot is to be switched off");
    command(slot, PCI_SLOT_INDICATOR_OFF | PCI_SLOT_ATTENTION_OFF |
                      ((slot->abilities & PCI_SLOT_HAS_POWER_CONTROLLER) != 0 ? PCI_SLOT_POWER_OFF : 0));
    for (unsigned tried = 0; !all_absent(slot) && tried < LEAVE_TRIES_MS; tried += 10)
        clock_spin(10 * NANOSECONDS_PER_MILLISECOND);
    if (!all_absent(slot))
        log_info(slot->port->name, "what is in its slot may be taken out now");
}

static void look_at(const struct slot *slot)
{
    uint16_t status = read_slot(slot, slot->status);
    uint16_t events = status & PCI_SLOT_EVENTS;

    if (status == UINT16_MAX)
        return; /* the port has left too: the slot that it was in tells */
    if (events != 0)
        write_slot(slot, slot->status, events);
    if ((events & PCI_SLOT_POWER_FAULT) != 0)
        log_error(slot->port->name, "the power of its slot has failed");
    if ((events & PCI_SLOT_BUTTON_PRESSED) != 0 && !all_absent(slot))
        empty(slot);
    note_departures(slot);
}

static void look_fired(struct timer *timer)
{
    __atomic_store_n(&look_due, true, __ATOMIC_RELEASE);
    timer_start(timer, clock_now() + LOOK_INTERVAL_NS);
}

static void add_slot(struct device *port)
{
    const struct pci_function *function = port->function;
    unsigned flags = pci_express_field(function, PCI_EXPRESS_FLAGS, 2);
    unsigned abilities = pci_express_field(function, PCI_EXPRESS_SLOT_CAPABILITIES, 4);
    struct slot slot = {.port = port,
                        .next = slots,
                        .control = pci_express_field(function, PCI_EXPRESS_SLOT_CONTROL, 2),
                        .status = pci_express_field(function, PCI_EXPRESS_SLOT_STATUS, 2)};

    if (function->secondary_bus == 0 || slot.status == 0 ||
        (pci_read16(port->access, function->where, flags) & PCI_EXPRESS_FLAGS_SLOT) == 0)
        return;
    slot.abilities = pci_read32(port->access, function->where, abilities);
    if ((slot.abilities & PCI_SLOT_HOT_PLUG) == 0)
        return;
    struct slot *kept = malloc(sizeof *kept);
    if (kept == NULL) {
        log_error(port->name, "no memory to watch its slot");
        return;
    }
    *kept = slot;
    slots = kept;
    write_slot(kept, kept->status, PCI_SLOT_EVENTS); /* what happened before counts for nothing */
}

void slots_discover(void)
{
    for (struct device *device = device_first(); device != NULL; device = device->next)
        if (device->function != NULL && device->function->header_type == PCI_HEADER_BRIDGE)
            add_slot(device);
    look_timer.fire = look_fired;
    if (slots != NULL)
        timer_start(&look_timer, clock_now() + LOOK_INTERVAL_NS);
}

void slots_end(void)
{
    timer_cancel(&look_timer);
    look_due = false;
    while (slots != NULL) {
        struct slot *next = slots->next;
        free(slots);
        slots = next;
    }
}

bool slots_pending(void)
{
    return __atomic_load_n(&look_due, __ATOMIC_ACQUIRE);
}

void slots_dispatch(void)
{
    if (!__atomic_exchange_n(&look_due, false, __ATOMIC_ACQ_REL))
        return;
    for (const struct slot *slot = slots; slot != NULL; slot = slot->next)
        look_at(slot);
}
