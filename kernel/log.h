/*
 * log.h: the kernel's end of the log: a ring in memory, and the console that it drains to.
 */
#ifndef KERNEL_LOG_H
#define KERNEL_LOG_H

#include <lib/log.h>
#include <lib/printf.h>
#include <stdbool.h>

/* Lines above this level are dropped. */
void log_set_level(enum log_level level);

/* A line of its own form, without time and sender: the first line, `device ...`, `selftest ...`, `ready`. */
void say(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* `device NAME: ...` */
void say_device(const char *name, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Sends what the console has not seen yet, once there is one. */
void log_flush(void);

/* Whether a prompt stands on the console's line: then a line of the log takes its place, and log_disturbed() tells
 * once that the prompt is to be drawn again. */
void log_at_prompt(bool standing);
bool log_disturbed(void);

/* The newest `lines` lines, oldest first; at most what the ring still holds. */
void log_tail(struct printer *printer, unsigned lines);

/* Whether the ring holds this text; for self-tests. */
bool log_contains(const char *text);

/* Writes straight to the console, past the ring: reports and the prompt. */
extern struct printer console_printer;

#endif
