/*
 * rules.h: what may be done with a handle, in one place without any dependency on the rest of the kernel: the kernel
 * asks these functions and acts on their verdict; the host test walks every combination; a process replays every
 * sequence of operations against them by real system calls.
 */
#ifndef KERNEL_PROCESS_RULES_H
#define KERNEL_PROCESS_RULES_H

#include <vmos/abi.h>

/* A slot of a handle table, as far as verdicts depend on it. */
struct rule_slot {
    uint64_t generation; /* of what is in it, or will be next */
    uint64_t epoch;
    uint32_t rights;
    uint8_t type; /* enum object_type; OBJECT_NONE: nothing is in it */
};

#define HANDLE_GENERATIONS (UINT64_C(1) << (64 - HANDLE_INDEX_BITS))

static inline uint32_t handle_index(handle number)
{
    return (uint32_t)(number & ((1u << HANDLE_INDEX_BITS) - 1));
}

static inline uint64_t handle_generation(handle number)
{
    return number >> HANDLE_INDEX_BITS;
}

static inline handle handle_number(uint32_t index, uint64_t generation)
{
    return generation << HANDLE_INDEX_BITS | index;
}

/* May the handle be used as one of `type` (OBJECT_NONE: any) with all of `rights`? In this order: STATUS_BAD_HANDLE,
 * STATUS_REVOKED (or, for a Reply, STATUS_PEER_GONE: the call that it answers is over), STATUS_WRONG_TYPE,
 * STATUS_DENIED. `epoch` is the object's. */
static inline enum status rule_use(const struct rule_slot *slot, uint64_t epoch, handle number, enum object_type type,
                                   uint32_t rights)
{
    if (slot->type == OBJECT_NONE || slot->generation != handle_generation(number))
        return STATUS_BAD_HANDLE;
    if (slot->epoch != epoch)
        return slot->type == OBJECT_REPLY ? STATUS_PEER_GONE : STATUS_REVOKED;
    if (type != OBJECT_NONE && slot->type != type)
        return STATUS_WRONG_TYPE;
    return (rights & ~slot->rights) == 0 ? STATUS_OK : STATUS_DENIED;
}

/* The generation that the slot gets when its handle is closed; 0: none is left, the slot retires. `generations`: how
 * many there are, HANDLE_GENERATIONS. */
static inline uint64_t rule_next_generation(uint64_t generation, uint64_t generations)
{
    return generation != 0 && generation < generations - 1 ? generation + 1 : 0;
}

/* Rights of a duplicate: STATUS_INVALID: no rights at all, or bits that are none; STATUS_DENIED: more than the handle
 * has. A badge can be given once: STATUS_DENIED when the handle has one already. */
enum status rule_duplicate(uint32_t rights, uint64_t badge, uint32_t wanted, uint64_t wanted_badge);

/* Which rights an object of a type can have: what object creation gives, and what no handle ever exceeds. */
uint32_t rule_rights_of(enum object_type type);

/* Mapping: access is RIGHT_READ, or it and one of RIGHT_WRITE and RIGHT_EXECUTE; `rights` those of the handle;
 * `writable`, `executable`: how often the memory is mapped so already. STATUS_INVALID, STATUS_DENIED, STATUS_BUSY. */
enum status rule_map(uint32_t rights, uint32_t access, uint32_t writable, uint32_t executable);

/* A child's or a thread's wish against what is left: true when `used + amount` stays within `limit`. */
bool rule_budget(uint64_t limit, uint64_t used, uint64_t amount);

/* CPU time that was used before it was due, `owed_ns`, is paid off by what nobody is promised, `promille`, as time goes
 * by: what is left of it. */
uint64_t rule_debt(uint64_t owed_ns, uint64_t elapsed_ns, uint64_t promille);
/* How much of its promise of `budget_ns` in each `period_ns` a thread has used before it was due, with `left_ns` of it
 * and the period ending in `remaining_ns` (0: it has ended). Never more than a budget: what goes beyond that is the
 * kernel's time, which no budget interrupts. */
uint64_t rule_used_ahead(uint64_t budget_ns, uint64_t period_ns, int64_t left_ns, uint64_t remaining_ns);

/* Parameters of threads: periods and budgets in their bounds, priority and CPUs within what the process may; gives the
 * promise in thousandths of a CPU, rounded up. STATUS_INVALID, STATUS_DENIED. */
enum status rule_thread(const struct thread_parameters *parameters, uint32_t highest_priority, uint64_t cpus,
                        uint64_t *promille);

#endif
