/*
 * object.c: how objects begin and end, and who pays. Contract in object.h.
 */
#include "ipc.h"

#include <lib/malloc.h>
#include <lib/string.h>
#include <platform/ipi.h>

#include "object_private.h"

struct lock objects_lock = {.name = "objects", .place = LOCK_PLACE_OBJECTS};
uint64_t object_counts[OBJECT_TYPE_COUNT];

struct object clock_object = {.type = OBJECT_CLOCK, .references = 1, .epoch = 1};
struct object console_object = {.type = OBJECT_CONSOLE, .references = 1, .epoch = 1};
/* No handle is of its epoch: those that name it were another's. */
struct reply ended_reply = {.object = {.type = OBJECT_REPLY, .references = 1}};

/* ---- Budgets ------------------------------------------------------------------------------------------------------
 */

bool budget_take(struct process *process, enum budget budget, uint64_t amount)
{
    if (process->state == PROCESS_ENDED || !rule_budget(process->limits[budget], process->used[budget], amount))
        return false;
    process->used[budget] += amount;
    return true;
}

/* What was not used when a process ended is its parent's again; the rest comes now, and if the parent has ended as well
 * goes on to whoever paid for him. */
void budget_give(struct process *process, enum budget budget, uint64_t amount)
{
    bool ended;

    do {
        if (amount > process->used[budget])
            panic("%s gives back %llu of budget %u and has taken only %llu", process->name, (unsigned long long)amount,
                  (unsigned)budget, (unsigned long long)process->used[budget]);
        process->used[budget] -= amount;
        ended = process->state == PROCESS_ENDED;
        process = process->object.payer;
    } while (ended);
}

void debt_settle(struct process *process)
{
    uint64_t now = clock_now();

    process->owed_ns =
        rule_debt(process->owed_ns, now - process->settled_ns, process->limits[BUDGET_CPU] - process->used[BUDGET_CPU]);
    process->settled_ns = now;
}

uint64_t debt_share(struct process *process, uint64_t promille, uint64_t most_ns)
{
    uint64_t free = process->limits[BUDGET_CPU] - process->used[BUDGET_CPU] + promille;
    uint64_t share = promille != 0 ? process->owed_ns / free * promille + process->owed_ns % free * promille / free : 0;

    share = share < most_ns ? share : most_ns;
    process->owed_ns -= share;
    return share;
}

/* ---- Beginning ----------------------------------------------------------------------------------------------------
 */

static enum budget counted_by(enum object_type type)
{
    return type == OBJECT_THREAD ? BUDGET_THREADS : BUDGET_OBJECTS;
}

enum status object_init(struct object *object, struct process *payer, enum object_type type, size_t size)
{
    if (!budget_take(payer, counted_by(type), 1))
        return STATUS_LIMIT;
    if (!budget_take(payer, BUDGET_MEMORY, size)) {
        budget_give(payer, counted_by(type), 1);
        return STATUS_LIMIT;
    }
    object_hold(&payer->object);
    *object =
        (struct object){.type = (uint8_t)type, .references = 1, .epoch = 1, .payer = payer, .charged = (uint32_t)size};
    object_counts[type]++;
    return STATUS_OK;
}

void object_forget(struct object *object)
{
    struct process *payer = object->payer;

    object_counts[object->type]--;
    budget_give(payer, BUDGET_MEMORY, object->charged);
    budget_give(payer, counted_by((enum object_type)object->type), 1);
    object->type = OBJECT_NONE;
    object_release(&payer->object);
}

enum status object_create(struct process *payer, enum object_type type, size_t size, struct object **object)
{
    struct object charge;
    enum status status = object_init(&charge, payer, type, size);

    if (status != STATUS_OK)
        return status;
    *object = calloc(1, size);
    if (*object == NULL) {
        object_forget(&charge);
        return STATUS_NO_MEMORY;
    }
    **object = charge;
    return STATUS_OK;
}

void object_free(struct object *object)
{
    object_forget(object);
    free(object);
}

/* ---- References ---------------------------------------------------------------------------------------------------
 */

static struct object *graveyard;

static struct object *counted(struct object *object)
{
    bool embedded = object->type == OBJECT_REPLY && object != &ended_reply.object;

    return embedded ? &CONTAINER_OF(object, struct reply, object)->caller->object : object;
}

void object_hold(struct object *object)
{
    counted(object)->references++;
}

static struct timer *timer_of(struct object *object)
{
    switch (object->type) {
    case OBJECT_THREAD:
        return &CONTAINER_OF(object, struct thread, object)->timer;
    case OBJECT_NOTIFICATION:
        return &CONTAINER_OF(object, struct notification, object)->timer;
    default:
        return NULL;
    }
}

static void destroy(struct object *object)
{
    switch (object->type) {
    case OBJECT_PROCESS:
        process_destroy(CONTAINER_OF(object, struct process, object));
        break;
    case OBJECT_THREAD:
        thread_destroy(CONTAINER_OF(object, struct thread, object));
        break;
    case OBJECT_MEMORY:
        memory_destroy(CONTAINER_OF(object, struct memory, object));
        break;
    case OBJECT_ENDPOINT:
        endpoint_destroy(CONTAINER_OF(object, struct endpoint, object));
        break;
    case OBJECT_NOTIFICATION:
        notification_destroy(CONTAINER_OF(object, struct notification, object));
        break;
    default:
        panic("an object of type %u has lost its last reference, and cannot end", object->type);
    }
}

/* Processes go there as well: each releases its payer, and a long line of them would be as many calls deep. A timer
 * that was never started fires nowhere. */
static bool must_wait(struct object *object)
{
    const struct timer *timer = timer_of(object);

    return object->type == OBJECT_PROCESS || object->type == OBJECT_THREAD || (timer != NULL && timer->cpu != NULL);
}

void object_release(struct object *object)
{
    object = counted(object);
    if (object->references == 0)
        panic("an object of type %u is released once too often", object->type);
    object->references--;
    if (object->type == OBJECT_PROCESS)
        process_released(CONTAINER_OF(object, struct process, object));
    if (object->references != 0)
        return;
    if (!must_wait(object)) {
        destroy(object);
        return;
    }
    object->next = graveyard;
    graveyard = object;
    processes_look_again();
}

bool graveyard_work_off(void)
{
    uintptr_t saved = lock_take(&objects_lock);
    struct object *object = graveyard;

    if (object != NULL)
        graveyard = object->next;
    lock_release(&objects_lock, saved);
    if (object == NULL)
        return false;
    struct timer *timer = timer_of(object);
    if (timer != NULL)
        timer_cancel(timer);
    saved = lock_take(&objects_lock);
    destroy(object);
    lock_release(&objects_lock, saved);
    return true;
}
