/* time.c: the time, and waiting for it. */
#include "user.h"

uint64_t now_ns(void)
{
    uint64_t now;

    return vmos_clock_read(start_handle("clock"), &now) == STATUS_OK ? now : 0;
}

void sleep_until(uint64_t deadline_ns)
{
    uint64_t taken;

    vmos_notification_wait(0, 0, deadline_ns, &taken);
}
