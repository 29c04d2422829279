/*
 * irq.c: Interrupt, the authority over one of a device's interrupts.
 *
 * An interrupt handler here only raises an event bit; the driver looks at its device later, outside of
 * interrupt context. A message needs nothing more. A line is disabled at the device (PCI INTx disable) or,
 * where the device has no such switch, at the controller, until the driver acknowledges: so a
 * silent driver starves nobody who shares the wire. What cannot be routed is polled by a timer.
 *
 * Messages arrive on whichever CPU they were directed to, and touch nothing but the event bits and counters here;
 * everything else is the boot CPU's, which runs all drivers, takes the lines and the timers, and is woken by an event
 * if it sleeps.
 */
#include "device.h"

#include <lib/log.h>
#include <lib/malloc.h>
#include <platform/cpu.h>
#include <platform/interrupt.h>
#include <platform/ipi.h>

#define POLL_INTERVAL_NS (2 * NANOSECONDS_PER_MILLISECOND)

static void raise_event(struct device *device, unsigned index)
{
    __atomic_fetch_or(&device->events, 1u << index, __ATOMIC_RELEASE);
    ipi_wake(cpu_at(0));
}

static void message_arrived(void *context)
{
    struct device_interrupt *interrupt = context;

    __atomic_fetch_add(&interrupt->count, 1, __ATOMIC_RELAXED);
    __atomic_store_n(&interrupt->arrived_on, cpu_local()->index, __ATOMIC_RELAXED);
    raise_event(interrupt->device, (unsigned)(interrupt - interrupt->device->interrupts));
}

static void line_arrived(void *context)
{
    struct device_interrupt *interrupt = context;
    struct device *device = interrupt->device;

    if (interrupt->line_pending || (device->function != NULL && !msix_line_pending(&device->msix)))
        return; /* another on the same wire */
    interrupt->count++;
    interrupt->line_pending = true;
    interrupt->route_held = device->function == NULL || !msix_line_enable(&device->msix, false);
    if (interrupt->route_held)
        interrupt_mask(interrupt->route);
    raise_event(device, 0);
}

static void poll_fired(struct timer *timer)
{
    struct device *device = timer->context;
    bool polled = false;

    for (unsigned index = 0; index < device->interrupt_count; index++)
        if (device->interrupts[index].open && device->interrupts[index].delivery == INTERRUPT_POLLED) {
            raise_event(device, index);
            polled = true;
        }
    if (polled)
        timer_start(timer, clock_now() + POLL_INTERVAL_NS);
}

static void start_polling(struct device *device, unsigned index, enum status reason)
{
    device->interrupts[index].delivery = INTERRUPT_POLLED;
    device->poll.fire = poll_fired;
    device->poll.context = device;
    if (!device->poll.armed)
        timer_start(&device->poll, clock_now() + POLL_INTERVAL_NS);
    log_info(device->name, "interrupt %u cannot be routed (%s); polled every %llu ms instead", index,
             status_text(reason), (unsigned long long)(POLL_INTERVAL_NS / NANOSECONDS_PER_MILLISECOND));
}

/* The function's messages turned out not to work while one was added: those that were open before come no more. */
static void messages_lost(struct device *device, enum status reason)
{
    for (unsigned index = 0; index < device->interrupt_count; index++) {
        struct device_interrupt *interrupt = &device->interrupts[index];
        if (interrupt->open && interrupt->delivery == INTERRUPT_MESSAGE) {
            interrupt_detach(interrupt->route);
            start_polling(device, index, reason);
        }
    }
}

unsigned device_interrupt_count(const struct device *device)
{
    return device->interrupt_count;
}

static enum status open_message(struct device *device, unsigned index, struct device_interrupt *interrupt)
{
    struct pci_function *function = device->function;
    struct message message;
    struct message_source source = {
        .requester = function->requester, /* behind a conventional bridge, the bridge's */
        .segment = function->where.segment,
        .host_bridge = function->bridge,
        .index = (uint16_t)index,
        .vector_count = (uint16_t)device->interrupt_count,
    };
    enum status status =
        interrupt_attach_message(&source, device->name, message_arrived, interrupt, &interrupt->route, &message);

    if (status != STATUS_OK)
        return status;
    status = msix_vector_set(&device->msix, index, message.address, message.data);
    if (status != STATUS_OK) {
        interrupt_detach(interrupt->route);
        return status;
    }
    interrupt->delivery = INTERRUPT_MESSAGE;
    interrupt_unmask(interrupt->route);
    msix_vector_mask(&device->msix, index, false);
    return STATUS_OK;
}

static enum status open_line(struct device *device, struct device_interrupt *interrupt)
{
    struct machine_line line =
        device->slot != NULL ? device->slot->line : pci_intx_line(device->bridge, device->function);
    enum status status;

    if (line.line == MACHINE_NO_LINE)
        return STATUS_NOT_FOUND;
    status = interrupt_attach_line(&line, device->name, line_arrived, interrupt, &interrupt->route);
    if (status != STATUS_OK)
        return status;
    if (device->function != NULL && !msix_line_enable(&device->msix, true)) {
        interrupt_detach(interrupt->route);
        return STATUS_DEVICE_FAULT;
    }
    interrupt->delivery = INTERRUPT_LINE;
    interrupt_unmask(interrupt->route);
    return STATUS_OK;
}

/* Messages when the function and the machine have them, else the wire, else a timer. */
enum status device_interrupt_open(struct device *device, unsigned index, struct interrupt *out)
{
    enum status status = authority_check_owner(device);

    *out = (struct interrupt){0};
    if (status != STATUS_OK)
        return status;
    if (index >= device->interrupt_count)
        return STATUS_OUT_OF_RANGE;
    struct device_interrupt *interrupt = &device->interrupts[index];
    if (interrupt->open)
        return STATUS_BUSY;
    *interrupt = (struct device_interrupt){.device = device};
    status = STATUS_UNSUPPORTED;
    if (msix_available(&device->msix) && controller_has_messages()) {
        status = open_message(device, index, interrupt);
        if (status != STATUS_OK)
            log_warn(device->name, "no message interrupt %u: %s", index, status_text(status));
        if (!msix_available(&device->msix))
            messages_lost(device, status);
    }
    if (status != STATUS_OK && index == 0)
        status = open_line(device, interrupt);
    if (status != STATUS_OK)
        start_polling(device, index, status);
    interrupt->open = true;
    *out = (struct interrupt){
        .device = device, .index = index, .epoch = device->ownership.epoch, .delivery = interrupt->delivery};
    return STATUS_OK;
}

/* The record of an interrupt that the handle may use; NULL: none. */
static struct device_interrupt *find(const struct interrupt *handle)
{
    struct device *device = handle->device;

    if (device == NULL || authority_check(device, handle->epoch) != STATUS_OK ||
        handle->index >= device->interrupt_count || !device->interrupts[handle->index].open)
        return NULL;
    return &device->interrupts[handle->index];
}

void interrupt_acknowledge(struct interrupt *handle)
{
    struct device_interrupt *interrupt = find(handle);

    if (interrupt == NULL || !interrupt->line_pending)
        return;
    uintptr_t saved = cpu_interrupts_disable(); /* line_pending and the switch change together */
    interrupt->line_pending = false;
    if (interrupt->device->function != NULL)
        msix_line_enable(&interrupt->device->msix, true);
    if (interrupt->route_held)
        interrupt_unmask(interrupt->route);
    cpu_interrupts_restore(saved);
}

unsigned device_cpu_count(const struct device *device)
{
    return msix_available(&device->msix) && controller_has_messages() ? cpu_count() : 1;
}

/* The vector is masked while address and data change, so that the device sends neither half nor nothing: what becomes
 * pending meanwhile it sends afterwards, with MSI-X. MSI may not have such a mask; so the driver looks once more. */
enum status interrupt_set_cpu(struct interrupt *handle, unsigned cpu)
{
    struct device_interrupt *interrupt = find(handle);
    struct message message;

    if (interrupt == NULL)
        return STATUS_REVOKED;
    struct device *device = interrupt->device;
    if (cpu >= cpu_count())
        return STATUS_OUT_OF_RANGE;
    if (interrupt->delivery != INTERRUPT_MESSAGE)
        return STATUS_UNSUPPORTED;
    msix_vector_mask(&device->msix, handle->index, true);
    enum status status = interrupt_direct(interrupt->route, cpu, &message);
    if (status == STATUS_OK) {
        status = msix_vector_set(&device->msix, handle->index, message.address, message.data);
        if (status != STATUS_OK)
            interrupt_direct(interrupt->route, interrupt->cpu, &message);
        else
            interrupt->cpu = cpu;
    }
    msix_vector_mask(&device->msix, handle->index, false);
    if (!msix_available(&device->msix))
        messages_lost(device, status);
    raise_event(device, handle->index);
    return status;
}

static void interrupt_end(struct device *device, unsigned index)
{
    struct device_interrupt *interrupt = &device->interrupts[index];

    if (!interrupt->open)
        return;
    interrupt->open = false;
    if (interrupt->delivery == INTERRUPT_MESSAGE)
        msix_vector_mask(&device->msix, index, true);
    else if (interrupt->delivery == INTERRUPT_LINE && device->function != NULL)
        msix_line_enable(&device->msix, false);
    if (interrupt->delivery != INTERRUPT_POLLED)
        interrupt_detach(interrupt->route);
    __atomic_fetch_and(&device->events, ~(1u << index), __ATOMIC_ACQ_REL);
}

void interrupt_close(struct interrupt *handle)
{
    if (find(handle) != NULL)
        interrupt_end(handle->device, handle->index);
    *handle = (struct interrupt){0};
}

void device_interrupts_end(struct device *device)
{
    for (unsigned index = 0; index < device->interrupt_count; index++)
        interrupt_end(device, index);
    if (device->function != NULL)
        msix_disable(&device->msix);
    timer_cancel(&device->poll);
    timer_cancel(&device->wake);
    free(device->interrupts);
    device->interrupts = NULL;
    device->interrupt_count = 0;
}

static void wait_over(struct timer *timer)
{
    bool *over = timer->context;
    *over = true;
}

/* Whether anything can raise one of the events. */
static bool can_come(const struct device *device, uint32_t events)
{
    for (unsigned index = 0; index < device->interrupt_count; index++)
        if (device->interrupts[index].open && (events >> index & 1) != 0)
            return true;
    return false;
}

/* A wait that nothing could ever end is over at once, as is a wait for what is no longer the driver's. */
uint32_t driver_wait(struct device *device, uint32_t events, uint64_t deadline_ns)
{
    volatile bool over =
        authority_check_owner(device) != STATUS_OK || (deadline_ns == DEADLINE_NEVER && !can_come(device, events));
    struct timer timer = {.fire = wait_over, .context = (void *)(uintptr_t)&over};
    uintptr_t saved = cpu_interrupts_disable();
    uint32_t raised;

    if (deadline_ns != DEADLINE_NEVER)
        timer_start(&timer, deadline_ns);
    while ((raised = __atomic_load_n(&device->events, __ATOMIC_ACQUIRE) & events) == 0 && !over)
        clock_sleep();
    __atomic_fetch_and(&device->events, ~raised, __ATOMIC_ACQ_REL);
    timer_cancel(&timer);
    cpu_interrupts_restore(saved);
    return raised;
}
