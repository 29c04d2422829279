/*
 * home_local.h: what home.c (life, registers, events) and home_memory.c (all that a device reaches) share.
 */
#ifndef MODEL_HOME_LOCAL_H
#define MODEL_HOME_LOCAL_H

#include <model/home/home.h>

enum {
    PAGE = 4096,
    MAX_DEVICES = 32,
    MAX_QUEUES = 64,
    DEVICE_READS = 1,
    DEVICE_WRITES = 2,
};

enum grant_kind { GRANT_OWNED, GRANT_SUBMISSION, GRANT_COMPLETION, GRANT_LOAN };

struct grant {
    device_address address;
    uint64_t size;
    uint8_t *bytes; /* as the device reaches them */
    enum grant_kind kind;
    uint32_t owner; /* queue number, loan number */
    uint8_t rights; /* DEVICE_* */
};

struct home_queue {
    bool used;
    void *submission, *completion; /* completion: the device's view */
    void *driver_view;             /* another mapping of it, or the same */
    size_t mapped;                 /* bytes of both mappings; 0: from malloc */
    device_address submission_address, completion_address;
};

struct device {
    struct home_device description;
    char name[32];
    uint32_t epoch;
    bool revoked, quarantined;
    device_address next_address;
    struct grant *grants; /* ascending by address */
    size_t grant_count, grant_capacity;
    uint32_t next_loan;
    struct home_queue queues[MAX_QUEUES];
    uint32_t open, pending; /* interrupts, bits */
    unsigned interrupt_cpu[DEVICE_MAX_INTERRUPTS];
    bool line_level, line_disabled;
    uint64_t next_poll;
    struct home_account account;
    const struct driver *driver;
    void *state;
    uint64_t next_look, wake_at; /* wake_at: HOME_NEVER when not asked for */
    char failure[256];
    struct block_device *blocks;
    struct nic_device *nic;
    struct entropy_device *entropy;
};

/* Something that the driver did wrong. */
void home_fault(const struct device *device, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* The first access that a device was refused, in words. */
void home_note_refused(const char *text);
const struct home_options *home_options(void);
/* home_fail_allocation says that this one fails. */
bool home_allocation_fails(void);
/* The epoch has ended, or this is another one. */
bool home_is_stale(const struct device *device, uint32_t epoch);
/* Frees what the driver still holds: nobody can touch it any more. */
void home_free_all(struct device *device);

#endif
