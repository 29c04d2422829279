/* host_log.h: the log as host tests see it: kept in memory, and on stderr when VMOS_LOG is set. */
#ifndef HOST_LOG_H
#define HOST_LOG_H

#include <lib/log.h>
#include <stdbool.h>

void host_log_clear(void);
const char *host_log_text(void);               /* all lines since the last clear, "level who: sentence\n" each */
bool host_log_has(const char *part);           /* does any line contain this? */
unsigned host_log_count(enum log_level level); /* lines of this level since the last clear */

#endif
