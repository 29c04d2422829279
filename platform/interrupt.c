/*
 * interrupt.c: the table of routes, from a controller's input to a handler.
 *
 * Every attachment has a route of its own. The controller knows one route per line: the first that was
 * attached, the line's anchor. Later attachments to the same line share it and are found by `anchor`; the
 * anchor's slot stays taken until the last of them has gone, even when its own handler has.
 *
 * A shared line is open while at least one of its routes is open and none is held. A route is held when it
 * was masked after having been open: its device may still assert the line. One that was never opened does
 * not count, so a newcomer does not stop its neighbours.
 *
 * The table is guarded by having interrupts off; only the boot CPU takes device interrupts.
 */
#include <platform/clock.h>
#include <platform/cpu.h>
#include <platform/interrupt.h>
#include <lib/log.h>

enum route_state { ROUTE_NEW, ROUTE_OPEN, ROUTE_HELD };

/* A line that comes back within the gap, this often almost without exception, is stuck: see note_pace. */
enum { STORM_GAP_NS = 10000, STORM_SCORE = 10000, STORM_PAUSE_WORTH = 64 };

struct route {
    interrupt_handler *handler; /* NULL: an anchor whose own attachment has gone */
    void *context;
    const char *who;
    uint64_t count;
    uint64_t left_ns; /* anchors: when the last dispatch ended */
    uint32_t line;    /* ROUTE_LINE */
    uint16_t storm;   /* anchors */
    uint8_t anchor;   /* ROUTE_LINE: index of the route that the controller knows; its own when not shared */
    uint8_t kind : 2, state : 2, shared : 1, edge : 1, low : 1;
};

_Static_assert(INTERRUPT_MAX_ROUTES <= UINT8_MAX, "route.anchor holds an index");

static struct route routes[INTERRUPT_MAX_ROUTES];
static uint64_t spurious_count;

void interrupt_init(const struct machine *machine)
{
    controller_init(machine);
}

static bool route_valid(uint32_t route)
{
    return route < INTERRUPT_MAX_ROUTES && routes[route].kind != ROUTE_FREE;
}

static uint32_t find_free(void)
{
    uint32_t route = 0;

    while (route < INTERRUPT_MAX_ROUTES && routes[route].kind != ROUTE_FREE)
        route++;
    return route;
}

static uint32_t find_line(uint32_t line)
{
    uint32_t route = 0;

    while (route < INTERRUPT_MAX_ROUTES && (routes[route].kind != ROUTE_LINE || routes[route].line != line))
        route++;
    return route < INTERRUPT_MAX_ROUTES ? routes[route].anchor : route;
}

static void fill(uint32_t route, enum route_kind kind, const char *who, interrupt_handler *handler, void *context)
{
    routes[route] = (struct route){
        .handler = handler,
        .context = context,
        .who = who,
        .anchor = (uint8_t)route,
        .kind = (uint8_t)kind & 3,
    };
}

/* ---- Attaching -------------------------------------------------------------------------------------- */

static enum status attach_shared(uint32_t anchor, const struct machine_line *line, uint32_t *slot)
{
    bool edge = line->trigger == TRIGGER_EDGE, low = line->polarity == POLARITY_LOW;

    if (routes[anchor].edge != edge || routes[anchor].low != low)
        log_warn("interrupt", "line %u is shared with another trigger or polarity; that of %s stays", line->line,
                 routes[anchor].who);

    *slot = routes[anchor].handler == NULL ? anchor : find_free();
    return *slot < INTERRUPT_MAX_ROUTES ? STATUS_OK : STATUS_LIMIT;
}

static enum status attach_line(const struct machine_line *line, const char *who, interrupt_handler *handler,
                               void *context, uint32_t *route)
{
    uint32_t anchor = find_line(line->line), slot = find_free();
    bool first = anchor == INTERRUPT_MAX_ROUTES;

    if (first) {
        if (slot == INTERRUPT_MAX_ROUTES)
            return STATUS_LIMIT;
        enum status status = controller_route_line(line, slot);
        if (status != STATUS_OK)
            return status;
        anchor = slot;
    } else {
        enum status status = attach_shared(anchor, line, &slot);
        if (status != STATUS_OK)
            return status;
        routes[anchor].shared = true;
    }

    bool shared = !first && slot == anchor;
    fill(slot, ROUTE_LINE, who, handler, context);
    routes[slot].line = line->line;
    routes[slot].anchor = (uint8_t)anchor;
    routes[slot].edge = line->trigger == TRIGGER_EDGE;
    routes[slot].low = line->polarity == POLARITY_LOW;
    routes[slot].shared = shared;
    *route = slot;
    return STATUS_OK;
}

enum status interrupt_attach_line(const struct machine_line *line, const char *who, interrupt_handler *handler,
                                  void *context, uint32_t *route)
{
    if (line->line == MACHINE_NO_LINE)
        return STATUS_NOT_FOUND;

    uintptr_t saved = cpu_interrupts_disable();
    enum status status = attach_line(line, who, handler, context, route);
    cpu_interrupts_restore(saved);
    return status;
}

enum status interrupt_attach_message(const struct message_source *source, const char *who, interrupt_handler *handler,
                                     void *context, uint32_t *route, struct message *message)
{
    if (!controller_has_messages())
        return STATUS_UNSUPPORTED;

    uintptr_t saved = cpu_interrupts_disable();
    uint32_t slot = find_free();
    enum status status = slot == INTERRUPT_MAX_ROUTES ? STATUS_LIMIT : controller_route_message(source, slot, message);

    if (status == STATUS_OK) {
        fill(slot, ROUTE_MESSAGE, who, handler, context);
        *route = slot;
    }
    cpu_interrupts_restore(saved);
    return status;
}

/* ---- Masks ------------------------------------------------------------------------------------------ */

static void apply_line_mask(uint32_t anchor)
{
    bool open = false, held = false;

    for (uint32_t i = 0; i < INTERRUPT_MAX_ROUTES; i++)
        if (routes[i].kind == ROUTE_LINE && routes[i].anchor == anchor && routes[i].handler != NULL) {
            open |= routes[i].state == ROUTE_OPEN;
            held |= routes[i].state == ROUTE_HELD;
        }
    if (open && !held)
        controller_unmask(anchor);
    else
        controller_mask(anchor);
}

static void set_state(uint32_t route, enum route_state state)
{
    uintptr_t saved = cpu_interrupts_disable();

    if (route_valid(route) && routes[route].handler != NULL) {
        if (state == ROUTE_HELD && routes[route].state == ROUTE_NEW)
            state = ROUTE_NEW;
        routes[route].state = (uint8_t)state & 3;
        if (routes[route].kind == ROUTE_LINE)
            apply_line_mask(routes[route].anchor);
        else if (state == ROUTE_OPEN)
            controller_unmask(route);
        else
            controller_mask(route);
    }
    cpu_interrupts_restore(saved);
}

void interrupt_mask(uint32_t route)
{
    set_state(route, ROUTE_HELD);
}

void interrupt_unmask(uint32_t route)
{
    set_state(route, ROUTE_OPEN);
}

/* ---- Detaching -------------------------------------------------------------------------------------- */

static void detach_line(uint32_t route)
{
    uint32_t anchor = routes[route].anchor;
    bool others = false;

    routes[route].handler = NULL;
    routes[route].who = "nobody";
    for (uint32_t i = 0; i < INTERRUPT_MAX_ROUTES; i++)
        others |= routes[i].kind == ROUTE_LINE && routes[i].anchor == anchor && routes[i].handler != NULL;

    if (route != anchor)
        routes[route] = (struct route){0};
    apply_line_mask(anchor);
    if (!others) {
        controller_release(anchor);
        routes[anchor] = (struct route){0};
    }
}

void interrupt_detach(uint32_t route)
{
    uintptr_t saved = cpu_interrupts_disable();

    if (route_valid(route) && routes[route].handler != NULL) {
        if (routes[route].kind == ROUTE_LINE) {
            detach_line(route);
        } else {
            controller_mask(route);
            controller_release(route);
            routes[route] = (struct route){0};
        }
    }
    cpu_interrupts_restore(saved);
}

/* ---- Arrival ---------------------------------------------------------------------------------------- */

static void call(uint32_t route)
{
    if (routes[route].handler == NULL || routes[route].state != ROUTE_OPEN)
        return;
    routes[route].count++;
    routes[route].handler(routes[route].context);
}

/* A stuck level line takes the whole CPU: it comes back as soon as its dispatch has ended, so that nothing
 * else runs. A busy device leaves pauses. A line whose score runs full is masked for good. */
static void note_pace(uint32_t anchor, uint64_t arrived_ns)
{
    struct route *route = &routes[anchor];

    if (arrived_ns - route->left_ns < STORM_GAP_NS)
        route->storm++;
    else
        route->storm = route->storm > STORM_PAUSE_WORTH ? (uint16_t)(route->storm - STORM_PAUSE_WORTH) : 0;

    if (route->storm >= STORM_SCORE) {
        log_error("interrupt", "line %u (%s) interrupts without pause; it is masked", route->line, route->who);
        route->storm = 0;
        for (uint32_t i = 0; i < INTERRUPT_MAX_ROUTES; i++)
            if (routes[i].kind == ROUTE_LINE && routes[i].anchor == anchor && routes[i].state == ROUTE_OPEN)
                routes[i].state = ROUTE_HELD;
        controller_mask(anchor);
    }
}

void interrupt_dispatch(uint32_t route)
{
    struct cpu *cpu = cpu_local();

    cpu->interrupts++;
    if (!route_valid(route)) {
        interrupt_spurious("route", route);
        return;
    }

    cpu->interrupt_depth++;
    if (routes[route].kind == ROUTE_LINE && !routes[route].edge)
        note_pace(route, clock_now());
    call(route);
    if (routes[route].shared)
        for (uint32_t i = 0; i < INTERRUPT_MAX_ROUTES; i++)
            if (i != route && routes[i].kind == ROUTE_LINE && routes[i].anchor == route)
                call(i);
    if (routes[route].kind == ROUTE_LINE && !routes[route].edge)
        routes[route].left_ns = clock_now();
    cpu->interrupt_depth--;
}

void interrupt_spurious(const char *what, uint32_t number)
{
    if (spurious_count++ == 0)
        log_warn("interrupt", "%s %u arrived for nobody; further ones are only counted", what, number);
}

uint64_t interrupt_count(uint32_t route)
{
    return route_valid(route) ? routes[route].count : 0;
}

void interrupt_report(struct printer *printer)
{
    static const char *const states[] = {"masked", "open", "held"};

    controller_report(printer);
    for (uint32_t i = 0; i < INTERRUPT_MAX_ROUTES; i++) {
        const struct route *route = &routes[i];
        char place[24] = "message";

        if (route->kind == ROUTE_FREE || route->handler == NULL)
            continue;
        if (route->kind == ROUTE_LINE)
            snprintf(place, sizeof place, "line %u%s", route->line, routes[route->anchor].shared ? ", shared" : "");
        print(printer, "route %u: %s, %s, %s, %llu taken\n", i, route->who, place, states[route->state],
              (unsigned long long)route->count);
    }
    print(printer, "spurious interrupts: %llu\n", (unsigned long long)spurious_count);
}
