/*
 * interrupt.c: which controller a route belongs to: PLIC (`-M virt`), APLIC (`-M virt,aia=aplic`), or APLIC and
 * IMSIC (`-M virt,aia=aplic-imsic`).
 */
#include "controllers.h"
#include "local.h"
#include "sbi.h"

#include <lib/log.h>
#include <platform/interrupt.h>
#include <platform/ipi.h>
#include <platform/mmu.h>

enum kind { KIND_NONE, KIND_WIRE, KIND_WIRE_BY_MESSAGE, KIND_MESSAGE };

/* Those that have passed init, with the lines first_line + 1 to first_line + source_count. */
static struct wires {
    const struct wire_controller *operations;
    uint64_t base;
    uint32_t index, first_line;
    uint16_t source_count;
    bool messages;
} controllers[MACHINE_MAX_PLICS + MACHINE_MAX_APLICS];
static uint32_t controller_count;

static struct entry {
    uint8_t kind, controller; /* index of controllers[] */
    uint16_t source;
} entries[INTERRUPT_MAX_ROUTES];

/* ---- Set-up ----------------------------------------------------------------------------------------- */

static uint32_t own_index(const struct machine *machine)
{
    uint32_t cpu = 0;

    while (cpu < machine->cpu_count && machine->cpus[cpu].hardware_id != cpu_local()->hardware_id)
        cpu++;
    return cpu < machine->cpu_count ? cpu : UINT32_MAX;
}

static void add(const struct wires *wires)
{
    controllers[controller_count++] = *wires;
}

static void init_plics(const struct machine *machine, uint32_t cpu)
{
    for (uint32_t i = 0; i < machine->plic_count && i < MACHINE_MAX_PLICS; i++) {
        const struct machine_plic *it = &machine->plics[i];
        if (plic.init(machine, i, cpu))
            add(&(struct wires){&plic, it->base, i, it->first_line, (uint16_t)it->source_count, false});
    }
}

static void init_aplics(const struct machine *machine, uint32_t cpu)
{
    for (uint32_t i = 0; i < machine->aplic_count && i < MACHINE_MAX_APLICS; i++) {
        const struct machine_aplic *it = &machine->aplics[i];
        if (it->supervisor && aplic.init(machine, i, cpu))
            add(&(struct wires){&aplic, it->base, i, it->first_line, (uint16_t)it->source_count, it->messages});
    }
}

void controller_init(const struct machine *machine)
{
    uint32_t cpu = own_index(machine);

    if (cpu == UINT32_MAX) {
        log_error("interrupt", "hart %llu, which runs, is not among the machine's CPUs: no interrupts but the timer's",
                  (unsigned long long)cpu_local()->hardware_id);
        return;
    }
    if (!imsic_init(machine, cpu))
        init_plics(machine, cpu);
    else if (machine->plic_count != 0)
        log_warn("interrupt", "the PLIC is not used: the hart takes its interrupts from the IMSIC");
    init_aplics(machine, cpu);
    if (controller_count != 0 || imsic_present())
        csr_set(sie, 1 << INTERRUPT_EXTERNAL);
    else
        log_error("interrupt", "no interrupt controller can be used: no interrupts but the timer's");
}

/* Wires are the boot hart's. Where others have no file they interrupt each other through the firmware. */
bool controller_init_cpu(const struct machine *machine)
{
    uint32_t cpu = own_index(machine);

    if (imsic_present() && (cpu == UINT32_MAX || !imsic_init_cpu(machine, cpu)))
        return false;
    return imsic_present() || sbi_has(SBI_IPI);
}

bool ipi_raise(const struct cpu *to)
{
    if (imsic_interrupt(to))
        return true;
    arch_barrier_full();
    return sbi_interrupt(to->hardware_id);
}

/* Nothing here is heard with interrupts off. */
void ipi_raise_stop(const struct cpu *to)
{
    ipi_raise(to);
}

/* The route's identity is the same in each hart's file. */
enum status controller_direct(uint32_t route, unsigned cpu, struct message *message)
{
    if (entries[route].kind != KIND_MESSAGE || imsic_address(cpu) == 0)
        return STATUS_UNSUPPORTED;
    *message = (struct message){.address = imsic_address(cpu), .data = imsic_identity(route)};
    return STATUS_OK;
}

bool controller_has_messages(void)
{
    return imsic_present();
}

void controller_report(struct printer *printer)
{
    for (uint32_t i = 0; i < controller_count; i++) {
        const struct wires *it = &controllers[i];
        print(printer, "%s: lines %u to %u, at 0x%llx%s\n", it->operations == &plic ? "plic" : "aplic",
              it->first_line + 1, it->first_line + it->source_count, (unsigned long long)it->base,
              it->messages ? ", by message" : "");
    }
    if (imsic_present())
        print(printer, "imsic: messages to 0x%llx\n", (unsigned long long)imsic_address(0));
    print(printer, "messages: %s\n", imsic_present() ? "msi and msi-x" : "none");
}

/* ---- Routes ----------------------------------------------------------------------------------------- */

enum status controller_route_line(const struct machine_line *line, uint32_t route)
{
    for (uint32_t i = 0; i < controller_count; i++) {
        const struct wires *it = &controllers[i];
        if (line->line <= it->first_line || line->line - it->first_line > it->source_count)
            continue;

        uint32_t source = line->line - it->first_line;
        if (it->messages) {
            if (imsic_identity(route) == 0)
                return STATUS_LIMIT;
            imsic_mask(route);
            imsic_forget(route);
        }
        enum status status = it->operations->attach(it->index, source, line, route);
        if (status == STATUS_OK)
            entries[route] = (struct entry){
                .kind = it->messages ? KIND_WIRE_BY_MESSAGE : KIND_WIRE,
                .controller = (uint8_t)i,
                .source = (uint16_t)source,
            };
        return status;
    }
    return STATUS_NOT_FOUND;
}

enum status controller_route_message(const struct message_source *source, uint32_t route, struct message *message)
{
    (void)source; /* an IMSIC does not ask who writes */
    if (!imsic_present())
        return STATUS_UNSUPPORTED;
    if (imsic_identity(route) == 0)
        return STATUS_LIMIT;

    imsic_mask(route);
    imsic_forget(route);
    entries[route] = (struct entry){.kind = KIND_MESSAGE};
    *message = (struct message){.address = imsic_address(0), .data = imsic_identity(route)};
    return STATUS_OK;
}

static bool is_wire(const struct entry *entry)
{
    return entry->kind == KIND_WIRE || entry->kind == KIND_WIRE_BY_MESSAGE;
}

static bool is_message(const struct entry *entry)
{
    return entry->kind == KIND_MESSAGE || entry->kind == KIND_WIRE_BY_MESSAGE;
}

void controller_mask(uint32_t route)
{
    const struct entry *entry = &entries[route];
    const struct wires *it = &controllers[entry->controller];

    if (is_wire(entry))
        it->operations->mask(it->index, entry->source);
    if (is_message(entry))
        imsic_mask(route);
}

void controller_unmask(uint32_t route)
{
    const struct entry *entry = &entries[route];
    const struct wires *it = &controllers[entry->controller];

    if (is_message(entry))
        imsic_unmask(route);
    if (is_wire(entry))
        it->operations->unmask(it->index, entry->source);
}

void controller_release(uint32_t route)
{
    const struct entry *entry = &entries[route];
    const struct wires *it = &controllers[entry->controller];

    controller_mask(route);
    if (is_wire(entry))
        it->operations->release(it->index, entry->source);
    if (is_message(entry))
        imsic_forget(route);
    entries[route] = (struct entry){.kind = KIND_NONE};
}

/* ---- Delivery --------------------------------------------------------------------------------------- */

static unsigned deliver_messages(void)
{
    unsigned count = 0;

    for (; count < INTERRUPTS_PER_TURN; count++) {
        uint32_t route = imsic_claim();
        if (route == NO_ROUTE)
            break;
        if (route == IPI_ROUTE) {
            ipi_arrived();
            continue;
        }
        interrupt_dispatch(route);
        const struct entry *entry = &entries[route];
        if (entry->kind == KIND_WIRE_BY_MESSAGE)
            aplic_message_handled(controllers[entry->controller].index, entry->source);
    }
    imsic_settle();
    return count;
}

void controller_interrupt(void)
{
    unsigned count = 0;

    if (imsic_present())
        count = deliver_messages();
    else
        for (uint32_t i = 0; i < controller_count; i++)
            count += controllers[i].operations->deliver(controllers[i].index);
    if (count == 0)
        interrupt_spurious("external interrupt", INTERRUPT_EXTERNAL);
}
