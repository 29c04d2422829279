/* console.h: the prompt on the serial port. */
#ifndef KERNEL_CONSOLE_H
#define KERNEL_CONSOLE_H

/* Reads and runs commands; drivers run while it waits. */
_Noreturn void console_run(void);

#endif
