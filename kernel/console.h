/* console.h: the prompt on the serial port. */
#ifndef KERNEL_CONSOLE_H
#define KERNEL_CONSOLE_H

#include <stdbool.h>
#include <stdint.h>

/* Reads and runs commands; drivers run while it waits. */
_Noreturn void console_run(void);

/* For who runs in a command: the next byte that is typed. 0: a line of the log has taken the place of what stood on the
 * line, which is to be written again. */
uint8_t console_key(void);
/* Whether Ctrl-C was typed; then it and all that was typed before is gone. */
bool console_interrupted(void);

#endif
