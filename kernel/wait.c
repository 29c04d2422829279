/* wait.c: the kernel's own thread waits: drivers run when they have events, else the CPU is lent to processes. */
#include "kernel.h"
#include "partition.h"

#include "process/start.h"

#include <authority/device.h>
#include <platform/clock.h>
#include <platform/cpu.h>

static void wake(struct timer *timer)
{
    (void)timer; /* being interrupted is all that it takes */
}

bool kernel_wait(bool (*done)(void *context), void *context, uint64_t deadline_ns)
{
    struct timer timer = {.fire = wake};
    bool finished;

    if (deadline_ns != DEADLINE_NEVER)
        timer_start(&timer, deadline_ns);
    for (;;) {
        bool busy = devices_dispatch();
        busy |= partitions_dispatch();
        busy |= processes_reap();
        busy |= init_look();
        uintptr_t saved = cpu_interrupts_disable();
        finished = done(context);
        if (finished || (!timer.armed && deadline_ns != DEADLINE_NEVER)) {
            cpu_interrupts_restore(saved);
            break;
        }
        if (!busy && !devices_pending() && !processes_ending())
            scheduler_lend();
        cpu_interrupts_restore(saved);
    }
    timer_cancel(&timer);
    return finished;
}
