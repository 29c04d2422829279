/* host_log.c: lib/log.h for host programs. */
#include "host_log.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static char text[1 << 16];
static size_t used;
static unsigned counts[LOG_DEBUG + 1];

void log_line(enum log_level level, const char *who, const char *format, ...)
{
    static const char *const names[] = {"error", "warn", "info", "debug"};
    char line[512];
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(line, sizeof line, format, arguments);
    va_end(arguments);
    counts[level]++;
    int length = snprintf(text + used, sizeof text - used, "%s %s: %s\n", names[level], who, line);
    if (length > 0 && used + (size_t)length < sizeof text)
        used += (size_t)length;
    if (getenv("VMOS_LOG") != NULL)
        fprintf(stderr, "%s %s: %s\n", names[level], who, line);
}

void host_log_clear(void)
{
    used = 0;
    text[0] = '\0';
    memset(counts, 0, sizeof counts);
}

const char *host_log_text(void)
{
    return text;
}

bool host_log_has(const char *part)
{
    return strstr(text, part) != NULL;
}

unsigned host_log_count(enum log_level level)
{
    return counts[level];
}
