/*
 * interrupt.h: from a wire or a message to a handler.
 *
 * platform/interrupt.c keeps one table of routes; a route's number is its index there. ARCH/interrupt.c
 * drives the controllers. A handler runs with interrupts disabled and must make its source drop the line,
 * or mask the route, before it returns.
 */
#ifndef PLATFORM_INTERRUPT_H
#define PLATFORM_INTERRUPT_H

#include <vmos/machine.h>
#include <lib/printf.h>

enum { INTERRUPT_MAX_ROUTES = 192 };

enum route_kind { ROUTE_FREE, ROUTE_LINE, ROUTE_MESSAGE };

/* Who will write a message: what an ITS or an interrupt remapper needs to know. */
struct message_source {
    uint32_t requester; /* bus << 8 | devfn */
    uint16_t segment;
    uint16_t host_bridge;  /* index of machine.host_bridges */
    uint16_t index;        /* which of the function's vectors */
    uint16_t vector_count; /* how many it has in all; the same in every call for one function */
};

struct message { /* what the device writes, and where */
    uint64_t address;
    uint32_t data;
};

typedef void interrupt_handler(void *context);

/* ---- For everybody above, platform/interrupt.c ---------------------------------------------- */

/* Sets up the controllers (masked) and this CPU's interface; by the boot CPU. */
void interrupt_init(const struct machine *machine);
/* On each further CPU: its interface, and its private lines as the boot CPU has them. False, and a sentence: it
 * cannot be interrupted. */
bool controller_init_cpu(const struct machine *machine);

/* Attaches a handler; the route starts masked. A line may have several handlers, each with its own route: all
 * whose route is unmasked are called, and masking one of them masks the line. `who` lives as long as the route.
 * STATUS_NOT_FOUND: no controller has this line. STATUS_LIMIT: no vector left. */
enum status interrupt_attach_line(const struct machine_line *line, const char *who, interrupt_handler *handler,
                                  void *context, uint32_t *route);
/* STATUS_UNSUPPORTED: the machine has nothing that takes messages, or not from this function. */
enum status interrupt_attach_message(const struct message_source *source, const char *who, interrupt_handler *handler,
                                     void *context, uint32_t *route, struct message *message);
void interrupt_detach(uint32_t route); /* masked first; no handler runs after it returns, on any other CPU */
/* From now on that CPU takes the route's messages, once the device sends them as `message` says, which may be what it
 * was before. One that is under way still arrives where it was sent to. STATUS_OUT_OF_RANGE: no such CPU runs.
 * STATUS_UNSUPPORTED: the route is a line, or the machine cannot direct it; nothing has changed. */
enum status interrupt_direct(uint32_t route, unsigned cpu, struct message *message);
void interrupt_mask(uint32_t route);
void interrupt_unmask(uint32_t route);

/* "key: value" lines: controllers, then each route with its name, kind, count. */
void interrupt_report(struct printer *printer);
uint64_t interrupt_count(uint32_t route);

/* ---- Between platform/interrupt.c and ARCH/interrupt.c ---------------------------------------- */

/* ARCH tells: this route's interrupt has arrived. ARCH acknowledges and ends it at the controller. */
void interrupt_dispatch(uint32_t route);
/* kernel/trace.c: handlers are about to run; how many times they have. */
void trace_interrupt(uint32_t route, uint64_t count);
void interrupt_spurious(const char *what, uint32_t number); /* counted; logged the first time */

/* Finds and starts the controllers that `machine` names, every line masked; a machine without one is said so. */
void controller_init(const struct machine *machine);
void controller_report(struct printer *printer);
/* The unique key of a wired line is machine_line.line. Masked. */
enum status controller_route_line(const struct machine_line *line, uint32_t route);
enum status controller_route_message(const struct message_source *source, uint32_t route, struct message *message);
enum status controller_direct(uint32_t route, unsigned cpu, struct message *message);
void controller_release(uint32_t route);
/* For messages this may be a no-op where the controller has no mask: the device's own mask is used too. */
void controller_mask(uint32_t route);
void controller_unmask(uint32_t route);
bool controller_has_messages(void);

#endif
