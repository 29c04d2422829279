/*
 * crash.h: a process that has done what it cannot: who, where, what, and what ends with it.
 */
#ifndef KERNEL_PROCESS_CRASH_H
#define KERNEL_PROCESS_CRASH_H

#include "thread.h"

/* In full CRASHES_IN_FULL times for each name, then a line each, until CRASH_WINDOW_NS have passed without a crash of
 * that name: who is started again and again only to crash must not be all that the log is about. Beyond CRASH_LINES in
 * all, they are only counted. */
enum { CRASHES_IN_FULL = 3, CRASH_LINES = 32 };
#define CRASH_WINDOW_NS (10 * NANOSECONDS_PER_SECOND)

/* Tells the log. On the CPU that the thread ran on, its space still active; interrupts off, the lock not held. The
 * process is ending already, but nothing of it is taken apart yet. */
void crash_report(struct thread *thread, const struct user_fault *fault);

#endif
