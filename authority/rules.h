/*
 * rules.h: who may do what to a device now. Pure: it knows neither devices nor the machine, only the numbers that a
 * decision needs; the kernel and the exhaustive host test use it unchanged.
 *
 *     free -> claimed(epoch) -> revoking -> free(epoch + 1)
 *                                        -> quarantined(epoch + 1), for good
 */
#ifndef AUTHORITY_RULES_H
#define AUTHORITY_RULES_H

#include <vmos/abi.h>

enum device_state { DEVICE_FREE, DEVICE_CLAIMED, DEVICE_REVOKING, DEVICE_QUARANTINED };

struct ownership {
    enum device_state state;
    uint32_t epoch; /* of the owner, or of the next one; 0 is nobody's */
};

enum ownership_step {
    OWNERSHIP_CLAIM,      /* somebody becomes the owner */
    OWNERSHIP_REVOKE,     /* the gate closes */
    OWNERSHIP_FREE,       /* the device is known to be at rest */
    OWNERSHIP_QUARANTINE, /* it is not */
};

/* Takes the step if this is its time. Otherwise nothing changes: STATUS_DENIED for a quarantined device, STATUS_BUSY
 * for a claim of one that is not free, STATUS_REVOKED for the end of what has ended. The last epoch there is ends in
 * quarantine: none comes twice. */
enum status ownership_step(struct ownership *now, enum ownership_step step);

/* Whether a handle of this epoch may be used: STATUS_OK or STATUS_REVOKED. */
enum status ownership_admits(const struct ownership *now, uint32_t epoch);

/* What of a device's registers a driver may touch: [0, size) but not [hidden, hidden_end), which is the kernel's;
 * both 0: all is the driver's. */
struct register_bounds {
    uint64_t size, hidden, hidden_end; /* bytes */
};

/* Whether [offset, offset + width) may be touched; width is 1, 2 or 4. */
bool register_bounds_admit(const struct register_bounds *bounds, uint64_t offset, unsigned width);

/* STATUS_OK when `more` fits beside `used`, else STATUS_LIMIT. */
enum status budget_admits(uint64_t limit, uint64_t used, uint64_t more);

#endif
