/*
 * crash.h: a process that has done what it cannot: who, where, what, and what ends with it.
 */
#ifndef KERNEL_PROCESS_CRASH_H
#define KERNEL_PROCESS_CRASH_H

#include "names.h"

/* In full CRASHES_IN_FULL times for each name, then a line each, until CRASH_WINDOW_NS have passed without a crash of
 * that name: who is started again and again only to crash must not be all that the log is about. Beyond CRASH_LINES in
 * all, they are only counted. */
enum { CRASHES_IN_FULL = 3, CRASH_LINES = 32 };
#define CRASH_WINDOW_NS (10 * NANOSECONDS_PER_SECOND)

/* Of the process's other threads so many are told of, the newest. */
enum { CRASH_THREADS = 4 };

/* What is to be told. It is gathered under the lock, before the process's end changes it. */
struct crash {
    const struct thread *thread;
    const struct user_fault *fault;
    char who[PROCESS_TEXT_SIZE];
    enum { CRASH_IN_FULL, CRASH_IN_A_LINE, CRASH_UNTOLD } telling;
    uint32_t silent; /* crashes before this one of which nothing was said */
    uint64_t start_info;
    bool stack_overflow;
    uint32_t handles[OBJECT_TYPE_COUNT];
    uint64_t used_kib, limit_kib;
    struct crash_thread {
        uint64_t id;
        uintptr_t instruction; /* when it last was in the kernel */
        enum thread_state state;
        enum thread_wait wait;
        uint32_t cpu;
    } threads[CRASH_THREADS];
    uint32_t thread_count; /* all others, also those that have no place here */
    uintptr_t image, image_size;
    const void *symbols; /* bin/NAME.sym; NULL: there is none */
    size_t symbols_size;
    struct printer *out;
};

/* Counts and records it. The lock is held, and the process has not ended yet. */
void crash_gather(struct crash *crash, const struct thread *thread, const struct user_fault *fault);
/* Tells the log. On the CPU that the thread ran on, its space still active; interrupts off, and handled between two
 * lines; the lock not held. The process is ending already, but nothing of it is taken apart yet. */
void crash_report(struct crash *crash);

#endif
