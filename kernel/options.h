/*
 * options.h: the kernel command line.
 *
 *     loglevel=error|warn|info|debug  console=serial  selftest[=NAME,..]  then=poweroff|reboot|prompt
 *     panic=hang|poweroff
 *
 * An unknown word is a warning in the log, never a failure.
 */
#ifndef KERNEL_OPTIONS_H
#define KERNEL_OPTIONS_H

#include <lib/log.h>
#include <stdbool.h>

enum then { THEN_PROMPT, THEN_POWEROFF, THEN_REBOOT };

struct options {
    enum log_level level;
    enum then then;
    bool selftest;
    bool panic_hang;
    char selftest_names[96]; /* comma-separated; empty: all */
};

extern struct options options;

void options_read(const char *command_line);

#endif
