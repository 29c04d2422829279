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
 * The table and the controllers are changed under the lock of the routes. Arrival takes no lock, so that handlers may
 * mask and unmask: it looks whether the route is open, which it becomes after all the rest of it has been written, and
 * notes meanwhile in its struct cpu which route it runs. Who detaches a route waits until no CPU does, and only then
 * is its place free.
 *
 * Lines come to the boot CPU, and private ones, which each CPU has, to each. Messages come to whichever CPU they were
 * directed to; while that is changed a route may for a moment run on two.
 */
#include <platform/clock.h>
#include <platform/cpu.h>
#include <platform/interrupt.h>
#include <platform/ipi.h>
#include <lib/log.h>
#include <lib/malloc.h>

enum route_state { ROUTE_NEW, ROUTE_OPEN, ROUTE_HELD };

/* A line that comes back within the gap, this often almost without exception, is stuck: see note_pace. */
enum { STORM_GAP_NS = 10000, STORM_SCORE = 10000, STORM_PAUSE_WORTH = 64 };

struct route {
    interrupt_handler *handler; /* NULL: an anchor whose own attachment has gone */
    void *context;
    const char *who;
    uint64_t count;
    uint32_t left_ns; /* anchors: the low half of when the last dispatch ended */
    uint32_t line;    /* ROUTE_LINE */
    uint16_t storm;   /* anchors */
    uint8_t anchor;   /* ROUTE_LINE: index of the route that the controller knows; its own when not shared */
    uint8_t state;    /* enum route_state; read without the lock */
    uint8_t cpu;      /* index of the one that takes it */
    uint8_t kind : 2, shared : 1, edge : 1, low : 1;
};

_Static_assert(INTERRUPT_MAX_ROUTES <= UINT8_MAX, "route.anchor holds an index");

static struct lock lock = {.name = "interrupt routes", .place = LOCK_PLACE_ROUTES};
static uint64_t spurious_count;

/* Memory for routes comes as they are needed, a group at a time, and stays. */
enum { GROUP_SIZE = 16, GROUPS = INTERRUPT_MAX_ROUTES / GROUP_SIZE };
static struct route *groups[GROUPS];
static uint32_t route_count; /* that there is memory for; read without the lock */

_Static_assert(INTERRUPT_MAX_ROUTES % GROUP_SIZE == 0, "groups are whole");

void interrupt_init(const struct machine *machine)
{
    controller_init(machine);
}

/* One of the first route_count. */
static struct route *route_at(uint32_t route)
{
    return &groups[route / GROUP_SIZE][route % GROUP_SIZE];
}

static bool route_valid(uint32_t route)
{
    return route < __atomic_load_n(&route_count, __ATOMIC_ACQUIRE) && route_at(route)->kind != ROUTE_FREE;
}

/* INTERRUPT_MAX_ROUTES: none is free, and there can be no more. */
static uint32_t find_free(void)
{
    uint32_t route = 0;

    while (route < route_count && route_at(route)->kind != ROUTE_FREE)
        route++;
    if (route < route_count || route == INTERRUPT_MAX_ROUTES)
        return route;
    groups[route / GROUP_SIZE] = calloc(GROUP_SIZE, sizeof(struct route));
    if (groups[route / GROUP_SIZE] == NULL)
        return INTERRUPT_MAX_ROUTES;
    __atomic_store_n(&route_count, route_count + GROUP_SIZE, __ATOMIC_RELEASE);
    return route;
}

/* Its anchor; INTERRUPT_MAX_ROUTES: nobody has attached to it. */
static uint32_t find_line(uint32_t line)
{
    for (uint32_t route = 0; route < route_count; route++)
        if (route_at(route)->kind == ROUTE_LINE && route_at(route)->line == line)
            return route_at(route)->anchor;
    return INTERRUPT_MAX_ROUTES;
}

static void fill(uint32_t route, enum route_kind kind, const char *who, interrupt_handler *handler, void *context)
{
    *route_at(route) = (struct route){
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

    if (route_at(anchor)->edge != edge || route_at(anchor)->low != low)
        log_warn("interrupt", "line %u is shared with another trigger or polarity; that of %s stays", line->line,
                 route_at(anchor)->who);

    *slot = route_at(anchor)->handler == NULL ? anchor : find_free();
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
        route_at(anchor)->shared = true;
    }

    bool shared = !first && slot == anchor;
    fill(slot, ROUTE_LINE, who, handler, context);
    route_at(slot)->line = line->line;
    route_at(slot)->anchor = (uint8_t)anchor;
    route_at(slot)->edge = line->trigger == TRIGGER_EDGE;
    route_at(slot)->low = line->polarity == POLARITY_LOW;
    route_at(slot)->shared = shared;
    *route = slot;
    return STATUS_OK;
}

enum status interrupt_attach_line(const struct machine_line *line, const char *who, interrupt_handler *handler,
                                  void *context, uint32_t *route)
{
    if (line->line == MACHINE_NO_LINE)
        return STATUS_NOT_FOUND;

    uintptr_t saved = lock_take(&lock);
    enum status status = attach_line(line, who, handler, context, route);
    lock_release(&lock, saved);
    return status;
}

enum status interrupt_attach_message(const struct message_source *source, const char *who, interrupt_handler *handler,
                                     void *context, uint32_t *route, struct message *message)
{
    if (!controller_has_messages())
        return STATUS_UNSUPPORTED;

    uintptr_t saved = lock_take(&lock);
    uint32_t slot = find_free();
    enum status status = slot == INTERRUPT_MAX_ROUTES ? STATUS_LIMIT : controller_route_message(source, slot, message);

    if (status == STATUS_OK) {
        fill(slot, ROUTE_MESSAGE, who, handler, context);
        *route = slot;
    }
    lock_release(&lock, saved);
    return status;
}

enum status interrupt_direct(uint32_t route, unsigned cpu, struct message *message)
{
    enum status status = STATUS_UNSUPPORTED;

    if (cpu >= cpu_count())
        return STATUS_OUT_OF_RANGE;
    uintptr_t saved = lock_take(&lock);
    if (route_valid(route) && route_at(route)->kind == ROUTE_MESSAGE && route_at(route)->handler != NULL)
        status = controller_direct(route, cpu, message);
    if (status == STATUS_OK)
        route_at(route)->cpu = (uint8_t)cpu;
    lock_release(&lock, saved);
    return status;
}

/* ---- Masks ------------------------------------------------------------------------------------------ */

static void apply_line_mask(uint32_t anchor)
{
    bool open = false, held = false;

    for (uint32_t i = 0; i < route_count; i++)
        if (route_at(i)->kind == ROUTE_LINE && route_at(i)->anchor == anchor && route_at(i)->handler != NULL) {
            open |= route_at(i)->state == ROUTE_OPEN;
            held |= route_at(i)->state == ROUTE_HELD;
        }
    if (open && !held)
        controller_unmask(anchor);
    else
        controller_mask(anchor);
}

static void set_state(uint32_t route, enum route_state state)
{
    uintptr_t saved = lock_take(&lock);

    if (route_valid(route) && route_at(route)->handler != NULL) {
        if (state == ROUTE_HELD && route_at(route)->state == ROUTE_NEW)
            state = ROUTE_NEW;
        __atomic_store_n(&route_at(route)->state, (uint8_t)state, __ATOMIC_RELEASE);
        if (route_at(route)->kind == ROUTE_LINE)
            apply_line_mask(route_at(route)->anchor);
        else if (state == ROUTE_OPEN)
            controller_unmask(route);
        else
            controller_mask(route);
    }
    lock_release(&lock, saved);
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

/* What is left of the route keeps its place, without a handler, until vacate(). */
static void close_route(uint32_t route)
{
    __atomic_store_n(&route_at(route)->state, ROUTE_NEW, __ATOMIC_SEQ_CST);
    route_at(route)->handler = NULL;
    route_at(route)->who = "nobody";
    if (route_at(route)->kind == ROUTE_LINE)
        apply_line_mask(route_at(route)->anchor);
    else
        controller_mask(route);
}

static void vacate(uint32_t route)
{
    uint32_t anchor = route_at(route)->kind == ROUTE_LINE ? route_at(route)->anchor : route;
    bool others = false;

    for (uint32_t i = 0; i < route_count; i++)
        others |= i != route && i != anchor && route_at(i)->kind == ROUTE_LINE && route_at(i)->anchor == anchor;
    others |= route_at(anchor)->handler != NULL;

    if (route != anchor)
        *route_at(route) = (struct route){0};
    if (!others) {
        controller_release(anchor);
        *route_at(anchor) = (struct route){0};
    }
}

/* Waits until no other CPU runs handlers of this anchor. Whoever begins now finds the route closed. */
static void wait_for_handlers(uint32_t anchor)
{
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
    for (unsigned i = 0; i < cpu_count(); i++) {
        const struct cpu *cpu = cpu_at(i);
        while (cpu != NULL && cpu != cpu_local() && __atomic_load_n(&cpu->dispatching, __ATOMIC_ACQUIRE) == anchor + 1)
            ipi_relax();
    }
}

void interrupt_detach(uint32_t route)
{
    uintptr_t saved = lock_take(&lock);
    bool attached = route_valid(route) && route_at(route)->handler != NULL;

    if (attached)
        close_route(route);
    uint32_t anchor = attached && route_at(route)->kind == ROUTE_LINE ? route_at(route)->anchor : route;
    lock_release(&lock, saved);
    if (!attached)
        return;
    wait_for_handlers(anchor);
    saved = lock_take(&lock);
    vacate(route);
    lock_release(&lock, saved);
}

/* ---- Arrival ---------------------------------------------------------------------------------------- */

static void call(uint32_t route)
{
    if (__atomic_load_n(&route_at(route)->state, __ATOMIC_SEQ_CST) != ROUTE_OPEN)
        return;
    interrupt_handler *handler = route_at(route)->handler;
    if (handler == NULL)
        return;
    trace_interrupt(route, __atomic_fetch_add(&route_at(route)->count, 1, __ATOMIC_RELAXED));
    handler(route_at(route)->context);
}

static void mask_storm(uint32_t anchor)
{
    uintptr_t saved = lock_take(&lock);

    log_error("interrupt", "line %u (%s) interrupts without pause; it is masked", route_at(anchor)->line,
              route_at(anchor)->who);
    route_at(anchor)->storm = 0;
    for (uint32_t i = 0; i < route_count; i++)
        if (route_at(i)->kind == ROUTE_LINE && route_at(i)->anchor == anchor && route_at(i)->state == ROUTE_OPEN)
            route_at(i)->state = ROUTE_HELD;
    controller_mask(anchor);
    lock_release(&lock, saved);
}

/* A stuck level line takes the whole CPU: it comes back as soon as its dispatch has ended, so that nothing
 * else runs. A busy device leaves pauses. A line whose score runs full is masked for good. */
static void note_pace(uint32_t anchor, uint64_t arrived_ns)
{
    struct route *route = route_at(anchor);

    if ((uint32_t)arrived_ns - route->left_ns < STORM_GAP_NS)
        route->storm++;
    else
        route->storm = route->storm > STORM_PAUSE_WORTH ? (uint16_t)(route->storm - STORM_PAUSE_WORTH) : 0;

    if (route->storm >= STORM_SCORE)
        mask_storm(anchor);
}

/* The pace is the boot CPU's, where lines arrive; others have only private ones, which are timers. */
void interrupt_dispatch(uint32_t route)
{
    struct cpu *cpu = cpu_local();

    cpu->interrupts++;
    cpu->kernel_wanted = true;
    if (!route_valid(route)) {
        interrupt_spurious("route", route);
        return;
    }

    bool paced = route_at(route)->kind == ROUTE_LINE && !route_at(route)->edge && cpu->index == 0;
    cpu->interrupt_depth++;
    __atomic_store_n(&cpu->dispatching, route + 1, __ATOMIC_SEQ_CST);
    if (paced)
        note_pace(route, clock_now());
    call(route);
    if (route_at(route)->shared)
        for (uint32_t i = 0; i < route_count; i++)
            if (i != route && route_at(i)->kind == ROUTE_LINE && route_at(i)->anchor == route)
                call(i);
    if (paced)
        route_at(route)->left_ns = (uint32_t)clock_now();
    __atomic_store_n(&cpu->dispatching, 0, __ATOMIC_RELEASE);
    cpu->interrupt_depth--;
}

void interrupt_spurious(const char *what, uint32_t number)
{
    if (__atomic_fetch_add(&spurious_count, 1, __ATOMIC_RELAXED) == 0)
        log_warn("interrupt", "%s %u arrived for nobody; further ones are only counted", what, number);
}

uint64_t interrupt_count(uint32_t route)
{
    return route_valid(route) ? route_at(route)->count : 0;
}

void interrupt_report(struct printer *printer)
{
    static const char *const states[] = {"masked", "open", "held"};

    controller_report(printer);
    for (uint32_t i = 0; i < route_count; i++) {
        const struct route *route = route_at(i);
        char place[32];

        if (route->kind == ROUTE_FREE || route->handler == NULL)
            continue;
        snprintf(place, sizeof place, route->cpu != 0 ? "message to CPU %u" : "message", route->cpu);
        if (route->kind == ROUTE_LINE)
            snprintf(place, sizeof place, "line %u%s", route->line, route_at(route->anchor)->shared ? ", shared" : "");
        print(printer, "route %u: %s, %s, %s, %llu taken\n", i, route->who, place, states[route->state],
              (unsigned long long)route->count);
    }
    print(printer, "spurious interrupts: %llu\n", (unsigned long long)spurious_count);
}
