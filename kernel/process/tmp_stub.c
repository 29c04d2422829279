#include "crash.h"
#include "../trace.h"
#include <lib/log.h>
void crash_report(struct thread *thread, const struct user_fault *fault)
{
    log_warn("crash", "%s kind %d at %llx pc %llx %s", thread->process->name, fault->kind,
             (unsigned long long)fault->address, (unsigned long long)user_instruction(&thread->context),
             fault->what ? fault->what : "");
}
void trace(enum trace_event event, uint64_t first, uint64_t second)
{
    (void)event;
    (void)first;
    (void)second;
}
