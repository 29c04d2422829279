/*
 * trap.c: what comes from user mode: a system call, an interrupt, a fault. Interrupts are off in all of it, but for the
 * moment between two lines for the serial port (console_write.c, crash.c): one that is handled there is the kernel's
 * own, on the same stack, and what it wants of this CPU stands in flags that schedule() looks at when the trap ends.
 */
#include "crash.h"
#include "syscall.h"
#include "thread.h"

#include <kernel/trace.h>

struct user_context *user_called(struct user_context *context)
{
    if (system_call(thread_of(context)))
        return context;
    struct user_context *next = schedule();
    lock_leave(&objects_lock);
    return next;
}

/* Most interrupts are no reason to look at anything: the flags are read without the lock, since whoever sets one for
 * this CPU interrupts it afterwards. */
struct user_context *user_interrupted(struct user_context *context)
{
    struct cpu *cpu = cpu_local();
    struct scheduler *scheduler = cpu->scheduler;

    if (!cpu->kernel_wanted && !__atomic_load_n(&cpu->woken, __ATOMIC_SEQ_CST) && !scheduler->look_again &&
        !thread_of(context)->ending)
        return context;
    uintptr_t saved = lock_take(&objects_lock);
    struct user_context *next = schedule();
    lock_release(&objects_lock, saved);
    return next;
}

/* The process stops on all CPUs before it is told what happened, which takes as long as the serial port; it is not
 * taken apart meanwhile, since this thread of it still has a CPU. */
struct user_context *user_faulted(struct user_context *context, const struct user_fault *fault)
{
    struct thread *thread = thread_of(context);
    struct crash crash;
    uintptr_t saved = lock_take(&objects_lock);
    bool first = !thread->ending;

    trace(TRACE_FAULT, thread->id, fault->address);
    if (first)
        crash_gather(&crash, thread, fault);
    process_end(thread->process, END_CRASHED, fault->address);
    lock_release(&objects_lock, saved);
    if (first)
        crash_report(&crash);
    saved = lock_take(&objects_lock);
    struct user_context *next = schedule();
    lock_release(&objects_lock, saved);
    return next;
}
