#ifndef CRASH_H
#define CRASH_H
#include "thread.h"
void crash_report(struct thread *thread, const struct user_fault *fault);
#endif
