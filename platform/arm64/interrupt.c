/*
 * interrupt.c: routes onto the GIC (QEMU: -M virt,gic-version=2|3,its=on|off).
 *
 * A line is an INTID. A message becomes one of a v2m frame's lines, or the LPI that has the route's number.
 */
#include "gic.h"
#include "local.h"

#include <lib/log.h>
#include <lib/malloc.h>
#include <platform/ipi.h>

enum source_kind { SOURCE_NONE, SOURCE_LINE, SOURCE_FRAME, SOURCE_LPI };

static const struct gic *gic; /* NULL: none that works */
static const struct machine *machine_known;

/* Who has a line: its route + 1; 0 is nobody. And the other way. */
static uint8_t line_routes[GIC_LINES];
static struct {
    uint16_t line;
    uint8_t kind;
} sources[INTERRUPT_MAX_ROUTES];

_Static_assert(INTERRUPT_MAX_ROUTES < UINT8_MAX, "line_routes holds a route + 1");

static struct gic_cpu boot_gic_cpu;

/* Lines between CPUs are enabled by default or by us, as the GIC has it. */
static void open_ipi(void)
{
    volatile void *bank = gic->bank(GIC_IPI);

    register_write8(bank, GICD_IPRIORITYR + GIC_IPI, GIC_PRIORITY);
    register_write32(bank, GICD_ISENABLER, UINT32_C(1) << GIC_IPI);
}

void controller_init(const struct machine *machine)
{
    machine_known = machine;
    psci_init(machine);
    cpu_local()->controller = &boot_gic_cpu;
    switch (machine->gic.version) {
    case 2:
        gic = gicv2.init(machine) ? &gicv2 : NULL;
        break;
    case 3:
    case 4:
        gic = gicv3.init(machine) ? &gicv3 : NULL;
        break;
    default:
        log_error("gic", "this machine names no interrupt controller that vmos knows");
    }
    if (gic == NULL)
        return;
    open_ipi();
    v2m_init(machine);
    if (gic == &gicv3)
        its_init(machine);
}

bool ipi_raise(const struct cpu *to)
{
    if (gic != NULL)
        gic->interrupt(to);
    return gic != NULL;
}

/* Nothing here is heard with interrupts off. */
void ipi_raise_stop(const struct cpu *to)
{
    ipi_raise(to);
}

void controller_report(struct printer *printer)
{
    if (gic == NULL) {
        print(printer, "gic: none\n");
        return;
    }
    print(printer, "gic: %s at 0x%llx, lines %u to %u\n", gic->name, (unsigned long long)machine_known->gic.distributor,
          GIC_FIRST_PRIVATE, gic_line_count - 1);
    gic->report(printer);
    v2m_report(printer);
    its_report(printer);
    print(printer, "messages: %s\n", controller_has_messages() ? "msi and msi-x" : "none");
}

/* ---- One line --------------------------------------------------------------------------------------- */

static void line_write_bit(uint32_t bank, uint32_t line)
{
    register_write32(gic->bank(line), bank + line / 32 * 4, UINT32_C(1) << line % 32);
}

static void line_enable(uint32_t line, bool enabled)
{
    line_write_bit(enabled ? GICD_ISENABLER : GICD_ICENABLER, line);
    if (!enabled)
        gic->settle(line);
}

/* Two bits a line, of which the upper one says edge. A private line's may be fixed. */
static void line_set_trigger(uint32_t line, bool edge)
{
    volatile void *bank = gic->bank(line);
    uint32_t offset = GICD_ICFGR + line / 16 * 4, bit = UINT32_C(2) << line % 16 * 2;
    uint32_t value = register_read32(bank, offset);

    register_write32(bank, offset, edge ? value | bit : value & ~bit);
}

static void line_attach(uint32_t line, bool edge, uint32_t route, enum source_kind kind)
{
    line_enable(line, false);
    line_set_trigger(line, edge);
    register_write8(gic->bank(line), GICD_IPRIORITYR + line, GIC_PRIORITY);
    if (line >= GIC_FIRST_SHARED)
        gic->target(line, 0);
    line_write_bit(GICD_ICPENDR, line);
    line_routes[line] = (uint8_t)(route + 1);
    sources[route].line = (uint16_t)line;
    sources[route].kind = (uint8_t)kind;
}

/* A private line has one route for all CPUs, and registers in each: they are set as the boot CPU's are. */
bool controller_init_cpu(const struct machine *machine)
{
    struct cpu *self = cpu_local();

    if (gic == NULL)
        return false;
    self->controller = calloc(1, sizeof(struct gic_cpu));
    if (self->controller == NULL || !gic->init_cpu(machine))
        return false;
    open_ipi();
    for (uint32_t line = GIC_FIRST_PRIVATE; line < GIC_FIRST_SHARED; line++)
        if (line_routes[line] != 0) {
            line_set_trigger(line, false); /* timers are levels */
            register_write8(gic->bank(line), GICD_IPRIORITYR + line, GIC_PRIORITY);
            line_enable(line, true);
        }
    return true;
}

static bool line_taken(uint32_t line)
{
    return line < GIC_FIRST_SHARED || line >= gic_line_count || line_routes[line] != 0;
}

/* ---- Routes ----------------------------------------------------------------------------------------- */

enum status controller_route_line(const struct machine_line *line, uint32_t route)
{
    if (gic == NULL || line->line < GIC_FIRST_PRIVATE || line->line >= gic_line_count)
        return STATUS_NOT_FOUND;
    if (line_routes[line->line] != 0)
        return STATUS_BUSY;
    line_attach(line->line, line->trigger == TRIGGER_EDGE, route, SOURCE_LINE);
    return STATUS_OK;
}

/* Where the host bridge sends this function's messages, and under which name [MSI map binding, ACPI IORT]. Without a
 * map there is one place, and the name is the requester's. */
static bool find_target(const struct message_source *source, uint32_t *device, uint32_t *id, bool *any)
{
    const struct machine_host_bridge *bridge;

    *device = source->requester;
    *any = true;
    *id = 0;
    if (source->host_bridge >= machine_known->host_bridge_count)
        return true;
    bridge = &machine_known->host_bridges[source->host_bridge];
    for (uint32_t i = 0; i < bridge->msi_map_count && i < MACHINE_MAX_ID_MAPS; i++) {
        const struct machine_id_map *map = &bridge->msi_map[i];
        if (source->requester - map->input_base < map->length) {
            *device = map->output_base + (source->requester - map->input_base);
            *id = map->target;
            *any = false;
            return true;
        }
    }
    return bridge->msi_map_count == 0;
}

enum status controller_route_message(const struct message_source *source, uint32_t route, struct message *message)
{
    uint32_t device, id;
    bool any;

    if (gic == NULL || !find_target(source, &device, &id, &any))
        return STATUS_UNSUPPORTED;

    if (its_present()) {
        enum status status = its_route(id, any, device, source, GIC_FIRST_LPI + route, message);
        if (status == STATUS_OK)
            sources[route].kind = SOURCE_LPI;
        if (status != STATUS_NOT_FOUND)
            return status;
    }
    if (!v2m_present())
        return STATUS_UNSUPPORTED;

    uint32_t line = v2m_allocate(id, any, line_taken, message);
    if (line == MACHINE_NO_LINE)
        return STATUS_LIMIT;
    line_attach(line, true, route, SOURCE_FRAME);
    return STATUS_OK;
}

/* The message stays the same: where it leads to changes. */
enum status controller_direct(uint32_t route, unsigned cpu, struct message *message)
{
    if (sources[route].kind == SOURCE_LPI)
        return its_move(GIC_FIRST_LPI + route, cpu, message);
    if (sources[route].kind != SOURCE_FRAME)
        return STATUS_UNSUPPORTED;
    v2m_message(sources[route].line, message);
    return gic->target(sources[route].line, cpu);
}

void controller_release(uint32_t route)
{
    switch (sources[route].kind) {
    case SOURCE_LINE:
    case SOURCE_FRAME:
        line_enable(sources[route].line, false);
        line_write_bit(GICD_ICPENDR, sources[route].line);
        line_routes[sources[route].line] = 0;
        break;
    case SOURCE_LPI:
        its_release(GIC_FIRST_LPI + route);
        break;
    default:
        break;
    }
    sources[route].kind = SOURCE_NONE;
}

static void set_enabled(uint32_t route, bool enabled)
{
    if (sources[route].kind == SOURCE_LPI)
        its_enable(GIC_FIRST_LPI + route, enabled);
    else if (sources[route].kind != SOURCE_NONE)
        line_enable(sources[route].line, enabled);
}

void controller_mask(uint32_t route)
{
    set_enabled(route, false);
}

void controller_unmask(uint32_t route)
{
    set_enabled(route, true);
}

bool controller_has_messages(void)
{
    return its_present() || v2m_present();
}

/* ---- Arrival ---------------------------------------------------------------------------------------- */

void controller_interrupt(void)
{
    if (gic == NULL) {
        interrupt_spurious("interrupt", GIC_LINES);
        return;
    }

    uint32_t token = gic->acknowledge(), number = token & gic->number_mask;
    if (number >= GIC_LINES && number < GIC_FIRST_LPI) {
        interrupt_spurious("interrupt", number); /* the line has dropped meanwhile; nothing to end */
        return;
    }
    if (number == GIC_IPI) {
        ipi_arrived();
    } else if (number >= GIC_FIRST_LPI) {
        uint32_t route = number - GIC_FIRST_LPI;
        if (route < INTERRUPT_MAX_ROUTES && sources[route].kind == SOURCE_LPI)
            interrupt_dispatch(route);
        else
            interrupt_spurious("LPI", number);
    } else if (line_routes[number] != 0) {
        interrupt_dispatch(line_routes[number] - UINT32_C(1));
    } else {
        if (number < gic_line_count)
            line_enable(number, false);
        interrupt_spurious("interrupt", number);
    }
    gic->end(token);
}
