#include "../trace.h"
void trace(enum trace_event event, uint64_t first, uint64_t second)
{
    (void)event;
    (void)first;
    (void)second;
}
