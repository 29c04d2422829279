/*
 * plic.c: the platform-level interrupt controller, `-M virt` [RISC-V PLIC 1.0.0].
 *
 * A source is masked by its priority: 0 never interrupts. Its enable bit stays on while it is attached, since
 * a completion is ignored while it is off (§9), and handlers mask between claim and completion.
 */
#include "controllers.h"

#include <lib/log.h>
#include <lib/malloc.h>
#include <lib/string.h>
#include <platform/interrupt.h>
#include <platform/mmu.h>

enum {
    PRIORITY = 0x0,       /* 32 bits for each source, §4 */
    ENABLE = 0x2000,      /* a bit for each source; per context, §6 */
    ENABLE_STRIDE = 0x80, /* bytes per context */
    ENABLE_END = 0x1f2000,
    CONTEXT = 0x200000, /* per context, §7, §8 */
    CONTEXT_STRIDE = 0x1000,
    CONTEXT_THRESHOLD = 0, /* 32-bit words from there */
    CONTEXT_CLAIM = 1,

    MAX_SOURCES = 1023,
    MAX_CONTEXT = 15871,
    PRIORITY_ON = 1,
    ROUTE_NONE = UINT8_MAX,
};

_Static_assert(INTERRUPT_MAX_ROUTES <= ROUTE_NONE, "a byte holds a route");

static struct {
    volatile uint32_t *priority, *enable, *context;
    uint8_t *routes; /* by source */
    uint32_t source_count;
} plics[MACHINE_MAX_PLICS];

/* The context of the hart's supervisor mode; UINT32_MAX when there is none. */
static uint32_t find_context(const struct machine *machine, const struct machine_plic *described, uint32_t cpu)
{
    for (uint32_t i = 0; i < described->context_count && described->first_context + i < machine->context_count; i++) {
        const struct machine_context *context = &machine->contexts[described->first_context + i];
        if (context->cpu == cpu && context->supervisor)
            return context->number;
    }
    return UINT32_MAX;
}

static bool map(const struct machine_plic *described, uint32_t index, uint32_t context)
{
    uint64_t place = CONTEXT + (uint64_t)context * CONTEXT_STRIDE;

    if (context > MAX_CONTEXT || (described->size != 0 && place + CONTEXT_STRIDE > described->size) ||
        described->base % PAGE_SIZE != 0) {
        log_warn("plic", "context %u lies outside the registers at 0x%llx", context,
                 (unsigned long long)described->base);
        return false;
    }
    volatile uint8_t *registers = vm_map_device(described->base, ENABLE + (uint64_t)(context + 1) * ENABLE_STRIDE);
    plics[index].context = vm_map_device(described->base + place, CONTEXT_STRIDE);
    if (registers == NULL || plics[index].context == NULL || !device_answers(registers, sizeof(uint32_t)) ||
        !device_answers(plics[index].context, sizeof(uint32_t))) {
        log_warn("plic", "the registers at 0x%llx cannot be reached", (unsigned long long)described->base);
        return false;
    }
    plics[index].priority = (volatile uint32_t *)(registers + PRIORITY);
    plics[index].enable = (volatile uint32_t *)(registers + ENABLE + context * ENABLE_STRIDE);
    return true;
}

static bool plic_init(const struct machine *machine, uint32_t index, uint32_t cpu)
{
    const struct machine_plic *described = &machine->plics[index];
    uint32_t context = find_context(machine, described, cpu), count = described->source_count;

    if (context == UINT32_MAX) {
        log_warn("plic", "the one at 0x%llx has no context for the boot hart's supervisor mode; it is not used",
                 (unsigned long long)described->base);
        return false;
    }
    if (count == 0 || count > MAX_SOURCES) {
        log_warn("plic", "the one at 0x%llx is said to have %u sources; it is not used",
                 (unsigned long long)described->base, count);
        return false;
    }
    if (!map(described, index, context))
        return false;

    plics[index].routes = malloc(count + 1);
    if (plics[index].routes == NULL) {
        log_error("plic", "no memory for the routes of %u sources", count);
        return false;
    }
    memset(plics[index].routes, ROUTE_NONE, count + 1);
    plics[index].source_count = count;

    for (uint32_t source = 1; source <= count; source++)
        plics[index].priority[source] = 0;
    for (uint32_t word = 0; word <= count / 32; word++)
        plics[index].enable[word] = 0;
    plics[index].context[CONTEXT_THRESHOLD] = 0;
    return true;
}

static enum status plic_attach(uint32_t index, uint32_t source, const struct machine_line *line, uint32_t route)
{
    (void)line; /* trigger and polarity are the gateway's, and fixed */
    plics[index].priority[source] = 0;
    plics[index].routes[source] = (uint8_t)route;
    plics[index].enable[source / 32] |= UINT32_C(1) << source % 32;
    return STATUS_OK;
}

static void plic_release(uint32_t index, uint32_t source)
{
    plics[index].enable[source / 32] &= ~(UINT32_C(1) << source % 32);
    plics[index].routes[source] = ROUTE_NONE;
}

static void plic_mask(uint32_t index, uint32_t source)
{
    plics[index].priority[source] = 0;
}

static void plic_unmask(uint32_t index, uint32_t source)
{
    plics[index].priority[source] = PRIORITY_ON;
}

static unsigned plic_deliver(uint32_t index)
{
    unsigned count = 0;

    for (; count < INTERRUPTS_PER_TURN; count++) {
        uint32_t source = plics[index].context[CONTEXT_CLAIM];
        if (source == 0)
            break;
        if (source > plics[index].source_count || plics[index].routes[source] == ROUTE_NONE)
            interrupt_spurious("PLIC source", source);
        else
            interrupt_dispatch(plics[index].routes[source]);
        plics[index].context[CONTEXT_CLAIM] = source;
    }
    return count;
}

const struct wire_controller plic = {
    .init = plic_init,
    .attach = plic_attach,
    .release = plic_release,
    .mask = plic_mask,
    .unmask = plic_unmask,
    .deliver = plic_deliver,
};
