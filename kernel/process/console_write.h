/*
 * console_write.h: what processes say, as lines of the log.
 *
 * A line is `[    0.012345] NAME[ID]: text`. No other line of the log has a sender with brackets, and a process's name
 * has none (syscall.c), so what a process writes is always told from what the kernel says. A line that is not ended yet
 * is kept, charged to the process, until it is, or is CONSOLE_LINE long. The time that it takes is the writer's: the
 * call returns when the lines are out.
 */
#ifndef KERNEL_PROCESS_CONSOLE_WRITE_H
#define KERNEL_PROCESS_CONSOLE_WRITE_H

#include "object.h"

enum { CONSOLE_WRITE_MOST = 1024, CONSOLE_LINE = 200 };

/* What a process may write at once, and how much more each second: the console is one for all, and the log's memory
 * must not be filled with one voice. */
enum { CONSOLE_BURST = 32768, CONSOLE_RATE = 32768 /* bytes, bytes a second */ };

/* Takes up to CONSOLE_WRITE_MOST bytes from the caller's memory and says how many. STATUS_BUSY: more than
 * CONSOLE_RATE. Interrupts are off; the lock is held at both ends and released while lines go out. */
enum status console_write(struct process *process, uintptr_t text, uint64_t size, uint64_t *taken);
/* The process has ended: what it has written of a line goes out, and nothing is kept any more. The lock is held. */
void console_write_end(struct process *process);

#endif
