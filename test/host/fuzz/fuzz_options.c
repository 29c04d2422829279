/* fuzz_options.c: any command line. */
#include <kernel/log.h>
#include <kernel/options.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "host_log.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

void log_set_level(enum log_level level)
{
    if (level > LOG_DEBUG)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    char *line = malloc(size + 1);

    if (line == NULL)
        return 0;
    memcpy(line, bytes, size);
    line[size] = '\0';
    options = (struct options){.level = LOG_INFO};
    host_log_clear();
    options_read(line);
    if (memchr(options.selftest_names, '\0', sizeof options.selftest_names) == NULL || options.then > THEN_REBOOT)
        abort();
    if (strchr(options.selftest_names, ' ') != NULL || (options.selftest_names[0] != '\0' && !options.selftest))
        abort();
    free(line);
    return 0;
}
