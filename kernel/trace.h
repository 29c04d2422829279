/*
 * trace.h: the flight recorder: what each CPU did last, in a small ring of its own, always on.
 *
 * An event is 32 bytes: the counter, what happened, and two numbers. `panic` prints the last of each CPU in brief; the
 * console's `trace` prints them in a form that tools/read-trace makes a time line of.
 */
#ifndef KERNEL_TRACE_H
#define KERNEL_TRACE_H

#include <vmos/abi.h>
#include <lib/printf.h>

enum trace_event { /* first, second */
                   TRACE_NOTHING,
                   TRACE_CALL,      /* thread id, system call number */
                   TRACE_RESULT,    /* thread id, status */
                   TRACE_SWITCH,    /* thread id that stops, that goes on; 0: the kernel's own */
                   TRACE_HAND_OVER, /* the same, along a call or a reply; the first waits from then on */
                   TRACE_WAKE,      /* thread id, CPU */
                   TRACE_BLOCK,     /* thread id, enum thread_wait; it leaves the CPU to whoever is next */
                   TRACE_THROTTLE,  /* thread id, nanoseconds to its next period */
                   TRACE_INTERRUPT, /* route, count */
                   TRACE_FAULT,     /* thread id, address */
                   TRACE_GRANT,     /* process id, handle: what it was given */
                   TRACE_REVOKE,    /* process id, object type */
                   TRACE_PROCESS,   /* process id, enum process_state */
                   TRACE_EVENT_COUNT
};

/* On this CPU; any context. */
void trace(enum trace_event event, uint64_t first, uint64_t second);
/* The CPU's ring, before it runs; without memory it has none, and nothing is recorded there. */
struct cpu;
void trace_init_cpu(struct cpu *cpu);
/* The newest `most` of each CPU, a line each. Reads rings that others may be writing. */
void trace_report(struct printer *printer, unsigned most);

#endif
