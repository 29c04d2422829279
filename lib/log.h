/*
 * log.h: the log. A line is "[    0.012345] who: sentence".
 *
 * Any context may log: boot, interrupt handlers, drivers. Lines go into a ring and from there to the
 * console; the cost of a line below the chosen level is one comparison.
 * `who` is a module or device name; the sentence is lower case without a newline.
 */
#ifndef LIB_LOG_H
#define LIB_LOG_H

enum log_level { LOG_ERROR, LOG_WARN, LOG_INFO, LOG_DEBUG };

/* One line, "who: sentence"; each room's home has its own: the kernel's log, standard error in tests. */
void log_line(enum log_level level, const char *who, const char *format, ...) __attribute__((format(printf, 3, 4)));

#define log_error(...) log_line(LOG_ERROR, __VA_ARGS__)
#define log_warn(...)  log_line(LOG_WARN, __VA_ARGS__)
#define log_info(...)  log_line(LOG_INFO, __VA_ARGS__)
#define log_debug(...) log_line(LOG_DEBUG, __VA_ARGS__)

#endif
