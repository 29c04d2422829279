/*
 * smp.h: how a CPU comes, between smp_start.c, which starts it, and smp.c, which it runs.
 *
 * All are started at once and each comes when it can:
 *     offered -> arrived -> ready (by itself) -> running (by the boot CPU)
 *                        -> deaf: it cannot be interrupted
 *     offered -> withdrawn (by the boot CPU): it has not come in time
 * The first step is taken atomically by one of the two, so a CPU that comes late finds itself withdrawn and halts on
 * its own stack. What was allocated for it is never used for anything else.
 */
#ifndef KERNEL_SMP_H
#define KERNEL_SMP_H

/* struct cpu's `start`. */
enum start_state { START_OFFERED, START_ARRIVED, START_READY, START_DEAF, START_WITHDRAWN, START_RUNNING };

#endif
