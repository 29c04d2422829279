/* rules.c: the decisions of rules.h. */
#include "rules.h"

enum status ownership_step(struct ownership *now, enum ownership_step step)
{
    static const struct {
        uint8_t from, to;
        uint8_t refusal;
    } steps[] = {
        [OWNERSHIP_CLAIM] = {DEVICE_FREE, DEVICE_CLAIMED, STATUS_BUSY},
        [OWNERSHIP_REVOKE] = {DEVICE_CLAIMED, DEVICE_REVOKING, STATUS_REVOKED},
        [OWNERSHIP_FREE] = {DEVICE_REVOKING, DEVICE_FREE, STATUS_REVOKED},
        [OWNERSHIP_QUARANTINE] = {DEVICE_REVOKING, DEVICE_QUARANTINED, STATUS_REVOKED},
    };

    if (now->state != steps[step].from)
        return now->state == DEVICE_QUARANTINED ? STATUS_DENIED : (enum status)steps[step].refusal;
    now->state = (enum device_state)steps[step].to;
    if (steps[step].from == DEVICE_REVOKING && ++now->epoch == 0)
        now->state = DEVICE_QUARANTINED;
    return STATUS_OK;
}

enum status ownership_admits(const struct ownership *now, uint32_t epoch)
{
    return now->state == DEVICE_CLAIMED && now->epoch == epoch && epoch != 0 ? STATUS_OK : STATUS_REVOKED;
}

bool register_bounds_admit(const struct register_bounds *bounds, uint64_t offset, unsigned width)
{
    if (offset % width != 0 || offset >= bounds->size || bounds->size - offset < width)
        return false;
    return offset >= bounds->hidden_end || offset + width <= bounds->hidden;
}

enum status budget_admits(uint64_t limit, uint64_t used, uint64_t more)
{
    return used <= limit && more <= limit - used ? STATUS_OK : STATUS_LIMIT;
}
