/* syscall.h: from a trapped system call to the function that carries it out. */
#ifndef KERNEL_PROCESS_SYSCALL_H
#define KERNEL_PROCESS_SYSCALL_H

#include "thread.h"

/* Interrupts off, the lock not held. True: the result is written, and the thread goes on at once (a call that touches
 * no object). False: the result is written or the thread waits, and objects_lock is held, for schedule(). */
bool system_call(struct thread *thread);

#endif
