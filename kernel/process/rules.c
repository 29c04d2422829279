/* rules.c: the verdicts of rules.h. */
#include "rules.h"

enum status rule_duplicate(uint32_t rights, uint64_t badge, uint32_t wanted, uint64_t wanted_badge)
{
    if (wanted == 0 || (wanted & ~(uint32_t)RIGHT_ALL) != 0)
        return STATUS_INVALID;
    if ((wanted & ~rights) != 0 || (wanted_badge != 0 && badge != 0))
        return STATUS_DENIED;
    return STATUS_OK;
}

uint32_t rule_rights_of(enum object_type type)
{
    enum { COMMON = RIGHT_INSPECT | RIGHT_DUPLICATE | RIGHT_TRANSFER };
    /* A Reply answers one call once: it may go to another who answers, and that is all. A Clock and a Console are
     * everybody's: nobody can revoke them. */
    static const uint16_t rights[OBJECT_TYPE_COUNT] = {
        [OBJECT_PROCESS] = RIGHT_WAIT | RIGHT_MANAGE | COMMON,
        [OBJECT_THREAD] = RIGHT_MANAGE | COMMON,
        [OBJECT_MEMORY] = RIGHT_READ | RIGHT_WRITE | RIGHT_EXECUTE | RIGHT_MANAGE | COMMON,
        [OBJECT_ENDPOINT] = RIGHT_CALL | RIGHT_RECEIVE | RIGHT_MANAGE | COMMON,
        [OBJECT_NOTIFICATION] = RIGHT_SIGNAL | RIGHT_WAIT | RIGHT_MANAGE | COMMON,
        [OBJECT_REPLY] = RIGHT_TRANSFER,
        [OBJECT_CLOCK] = RIGHT_READ | COMMON,
        [OBJECT_CONSOLE] = RIGHT_WRITE | COMMON,
    };

    return (unsigned)type < OBJECT_TYPE_COUNT ? rights[type] : 0;
}

enum status rule_map(uint32_t rights, uint32_t access, uint32_t writable, uint32_t executable)
{
    if (access != RIGHT_READ && access != (RIGHT_READ | RIGHT_WRITE) && access != (RIGHT_READ | RIGHT_EXECUTE))
        return STATUS_INVALID;
    if ((access & ~rights) != 0)
        return STATUS_DENIED;
    if (((access & RIGHT_WRITE) != 0 && executable != 0) || ((access & RIGHT_EXECUTE) != 0 && writable != 0))
        return STATUS_BUSY;
    return STATUS_OK;
}

bool rule_budget(uint64_t limit, uint64_t used, uint64_t amount)
{
    return used <= limit && amount <= limit - used;
}

/* The bounds stand at struct thread_parameters. */
#define PERIOD_LEAST_NS (100 * NANOSECONDS_PER_MICROSECOND)
#define PERIOD_MOST_NS  (10 * NANOSECONDS_PER_SECOND)
#define BUDGET_LEAST_NS (20 * NANOSECONDS_PER_MICROSECOND)

uint64_t rule_debt(uint64_t owed_ns, uint64_t elapsed_ns, uint64_t promille)
{
    if (promille == 0 || owed_ns > UINT64_MAX / 1000)
        return owed_ns;
    if (elapsed_ns / 1000 >= owed_ns / promille + 1)
        return 0;
    uint64_t paid = elapsed_ns / 1000 * promille + elapsed_ns % 1000 * promille / 1000;
    return paid < owed_ns ? owed_ns - paid : 0;
}

/* Both are at most PERIOD_MOST, so that their product fits. Whoever is promised all of a CPU cannot use more. */
uint64_t rule_used_ahead(uint64_t budget_ns, uint64_t period_ns, int64_t left_ns, uint64_t remaining_ns)
{
    if (budget_ns >= period_ns)
        return 0;
    uint64_t ahead =
        remaining_ns < period_ns ? budget_ns * ((remaining_ns + 999) / 1000) / (period_ns / 1000) : budget_ns;
    ahead = ahead < budget_ns ? ahead : budget_ns; /* what was rounded up */
    int64_t owed = (int64_t)ahead - left_ns;
    if (owed <= 0)
        return 0;
    return (uint64_t)owed < budget_ns ? (uint64_t)owed : budget_ns;
}

enum status rule_thread(const struct thread_parameters *parameters, uint32_t highest_priority, uint64_t cpus,
                        uint64_t *promille)
{
    uint64_t budget = parameters->budget_ns, period = parameters->period_ns;
    bool promised = budget != 0 || period != 0;

    if (parameters->reserved != 0 || parameters->priority >= PRIORITIES)
        return STATUS_INVALID;
    if (promised &&
        (period < PERIOD_LEAST_NS || period > PERIOD_MOST_NS || budget < BUDGET_LEAST_NS || budget > period))
        return STATUS_INVALID;
    if (parameters->priority > highest_priority || (parameters->cpus & ~cpus) != 0)
        return STATUS_DENIED;
    *promille = promised ? (budget * 1000 + period - 1) / period : 0;
    return STATUS_OK;
}
