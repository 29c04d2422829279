/*
 * interrupt.c: x64's controllers together: the PICs, masked for good; I/O APICs for wired lines; the local
 * APIC, which takes theirs and messages. A route's vector is VECTOR_ROUTES + route.
 *
 * A level-triggered line's I/O APIC hears of the end of interrupt by the local APIC's broadcast, so the end
 * comes after the handler has made its device drop the line.
 */
#include "local.h"

#include <lib/log.h>

enum {
    PIC_FIRST = 0x20, /* command; data is the next port [8259A data sheet] */
    PIC_SECOND = 0xa0,
    PIC_INITIALISE = 0x11, /* ICW1: ICW4 follows, cascaded, edge */
    PIC_CASCADE_LINE = 2,
    PIC_8086 = 0x01,

    ISA_INTERRUPTS = 16,
    NO_LINE = UINT16_MAX,
};

#define MESSAGE_ADDRESS UINT64_C(0xfee00000) /* [Intel SDM 3A §11.11.1]; data: vector, fixed, edge */
enum { MESSAGE_DESTINATION_SHIFT = 12 };

static uint16_t route_lines[INTERRUPT_MAX_ROUTES]; /* NO_LINE for messages; lines beyond are not routed */
static uint64_t apic_errors;

/* Remapped first: one that is pending, or spurious (7, 15), would otherwise look like an exception. */
static void mask_pic(void)
{
    static const uint16_t ports[2] = {PIC_FIRST, PIC_SECOND};

    for (unsigned i = 0; i < 2; i++) {
        port_write8(ports[i], PIC_INITIALISE);
        port_write8(ports[i] + 1, (uint8_t)(VECTOR_PIC + 8 * i));
        port_write8(ports[i] + 1, i == 0 ? 1 << PIC_CASCADE_LINE : PIC_CASCADE_LINE);
        port_write8(ports[i] + 1, PIC_8086);
        port_write8(ports[i] + 1, 0xff);
    }
}

/* Also where firmware denies having a PIC: microvm has one all the same, and without one nobody listens. */
void controller_init(const struct machine *machine)
{
    mask_pic();
    for (unsigned i = 0; i < INTERRUPT_MAX_ROUTES; i++)
        route_lines[i] = NO_LINE;
    if (lapic_init(machine))
        ioapic_init(machine);
}

bool controller_init_cpu(const struct machine *machine)
{
    return lapic_init_cpu(machine);
}

struct machine_line isa_line(const struct machine *machine, uint8_t interrupt)
{
    for (uint32_t i = 0; i < machine->override_count; i++)
        if (machine->overrides[i].source == interrupt)
            return machine->overrides[i].line;
    return (struct machine_line){.line = interrupt, .trigger = TRIGGER_EDGE, .polarity = POLARITY_HIGH};
}

/* ---- Routes ----------------------------------------------------------------------------------------- */

enum status controller_route_line(const struct machine_line *line, uint32_t route)
{
    if (!lapic_present() || line->line >= NO_LINE)
        return STATUS_NOT_FOUND;

    enum status status = ioapic_route(line, (uint8_t)(VECTOR_ROUTES + route), lapic_id());
    if (status == STATUS_OK)
        route_lines[route] = (uint16_t)line->line;
    return status;
}

/* A message has eight bits for the CPU [Intel SDM 3A §11.11.1]. */
enum status controller_direct(uint32_t route, unsigned cpu, struct message *message)
{
    uint64_t apic_id = cpu_at(cpu)->hardware_id;

    if (apic_id >= UINT8_MAX)
        return STATUS_UNSUPPORTED;
    *message = (struct message){
        .address = MESSAGE_ADDRESS | apic_id << MESSAGE_DESTINATION_SHIFT,
        .data = VECTOR_ROUTES + route,
    };
    return STATUS_OK;
}

bool ipi_raise(const struct cpu *to)
{
    return lapic_command((uint32_t)to->hardware_id, LAPIC_FIXED | VECTOR_IPI);
}

void ipi_raise_stop(const struct cpu *to)
{
    lapic_command((uint32_t)to->hardware_id, LAPIC_NMI);
}

bool controller_has_messages(void)
{
    return lapic_present() && lapic_id() <= UINT8_MAX;
}

enum status controller_route_message(const struct message_source *source, uint32_t route, struct message *message)
{
    (void)source;
    route_lines[route] = NO_LINE;
    *message = (struct message){
        .address = MESSAGE_ADDRESS | (uint64_t)lapic_id() << MESSAGE_DESTINATION_SHIFT,
        .data = VECTOR_ROUTES + route,
    };
    return STATUS_OK;
}

void controller_release(uint32_t route)
{
    controller_mask(route);
    route_lines[route] = NO_LINE;
}

void controller_mask(uint32_t route)
{
    if (route_lines[route] != NO_LINE)
        ioapic_mask(route_lines[route]);
}

void controller_unmask(uint32_t route)
{
    if (route_lines[route] != NO_LINE)
        ioapic_unmask(route_lines[route]);
}

/* ---- Arrival ---------------------------------------------------------------------------------------- */

static void apic_error(void)
{
    lapic_write(LAPIC_ERROR_STATUS, 0); /* a write makes it show what has come since the last */
    uint32_t status = lapic_read(LAPIC_ERROR_STATUS);

    if (__atomic_fetch_add(&apic_errors, 1, __ATOMIC_RELAXED) == 0)
        log_warn("lapic", "error status 0x%x; further ones are only counted", status);
}

static void timer_interrupt(void)
{
    struct cpu *cpu = cpu_local();

    cpu->interrupts++;
    cpu->interrupt_depth++;
    clock_alarm();
    cpu->interrupt_depth--;
}

/* A spurious interrupt of the local APIC, or one of a PIC, is not in service and must not be ended. */
void controller_interrupt(unsigned vector)
{
    if (vector == VECTOR_SPURIOUS) {
        interrupt_spurious("local APIC vector", vector);
        return;
    }
    if (vector >= VECTOR_PIC && vector < VECTOR_PIC + ISA_INTERRUPTS) {
        interrupt_spurious("PIC interrupt", vector - VECTOR_PIC);
        return;
    }

    if (vector == VECTOR_TIMER)
        timer_interrupt();
    else if (vector == VECTOR_IPI)
        ipi_arrived();
    else if (vector == VECTOR_ERROR)
        apic_error();
    else if (vector >= VECTOR_ROUTES && vector < VECTOR_ROUTES + INTERRUPT_MAX_ROUTES)
        interrupt_dispatch(vector - VECTOR_ROUTES);
    else
        interrupt_spurious("vector", vector);
    lapic_end();
}

void controller_report(struct printer *printer)
{
    lapic_report(printer);
    ioapic_report(printer);
    print(printer, "pic: masked\n");
    print(printer, "messages: %s\n", controller_has_messages() ? "msi and msi-x" : "none");
    print(printer, "local apic errors: %llu\n", (unsigned long long)apic_errors);
}
