/*
 * console_write.h: what processes say, as lines of the log.
 *
 * A line is `[    0.012345] NAME[ID]: text`. No other line of the log has a sender with brackets, and a process's name
 * has none (syscall.c), so what a process writes is always told from what the kernel says. A line that is not ended yet
 * is kept, charged to the process, until it is, or is CONSOLE_LINE long. The time that it takes is the writer's: the
 * call returns when the lines are out.
 *
 * A serial port takes up to a tenth of a millisecond for a byte, and nobody else may wait for that: lines go out
 * without the lock, between two of them the CPU takes the interrupts that wait, and a call ends after
 * CONSOLE_LINES_AT_ONCE.
 */
#ifndef KERNEL_PROCESS_CONSOLE_WRITE_H
#define KERNEL_PROCESS_CONSOLE_WRITE_H

#include "object.h"

enum { CONSOLE_WRITE_MOST = 1024, CONSOLE_LINE = 200, CONSOLE_LINES_AT_ONCE = 8 };

/* What a process may have the port write at once, and how much more each second: the console is one for all, and the
 * log's memory must not be filled with one voice. What counts is what comes out: the time and the name before each
 * line, and spaces for a tab. */
enum { CONSOLE_BURST = 32768, CONSOLE_RATE = 32768 /* bytes, bytes a second */ };
/* A port may be slower than that, and the CPU that feeds it is nobody else's meanwhile, whatever the writer was
 * promised of it: a process has it for a quarter of the time, and so much of it at once. */
enum { CONSOLE_PORT_SHARE = 4 };
#define CONSOLE_PORT_BURST_NS (200 * NANOSECONDS_PER_MILLISECOND)

/* Takes up to CONSOLE_WRITE_MOST bytes from the caller's memory, and of those what is text of CONSOLE_LINES_AT_ONCE
 * lines and not more than CONSOLE_RATE and the port's time allow; says how many. The last that is taken ends a line, or
 * is the last of all: nothing is torn because it was too much. STATUS_BUSY: not even so much may go out now. Interrupts
 * are off; the lock is held at both ends and released while lines go out, when interrupts may be handled as well. */
enum status console_write(struct process *process, uintptr_t text, uint64_t size, uint64_t *taken);

/* Both by who takes processes apart, in turn: with the lock, none of the process's threads has a CPU any more: nothing
 * is kept for it; and without the lock: what it had written of a line goes out. */
void console_write_end(struct process *process);
void console_write_last(void);

#endif
