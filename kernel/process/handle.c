/*
 * handle.c: tables of handles. Contract in object.h; what may be done with a handle is decided by rules.c.
 */
#include "audit.h"
#include "handle_slot.h"
#include "ipc.h"

#include <kernel/trace.h>

#include <lib/malloc.h>
#include <lib/string.h>

#include "object_private.h"

/* Each mapping that goes waits for other CPUs to forget it. */
enum { CAPACITY_FIRST = 16, UNMAPPED_AT_ONCE = 16 };

/* The table of a process that has no handle yet: index 0 is in it, and is nothing. */
static const struct handle_slot no_slot;

/* ---- Slots --------------------------------------------------------------------------------------------------------
 */

enum status handle_use(struct process *process, handle number, enum object_type type, uint32_t rights,
                       struct object **object, struct handle_slot **slot)
{
    struct handle_slot *found = handle_slot_at(&process->handles, number);
    enum status status = handle_check(found, number, type, rights);

    *object = status == STATUS_OK ? found->object : NULL;
    if (slot != NULL)
        *slot = found;
    return status;
}

static struct endpoint *endpoint_of(struct object *object)
{
    return CONTAINER_OF(object, struct endpoint, object);
}

static bool receives(const struct handle_slot *slot)
{
    return slot->object->type == OBJECT_ENDPOINT && (slot->rights & RIGHT_RECEIVE) != 0 && handle_is_current(slot);
}

/* Out of the table; the reference that it held is the caller's. */
static struct object *take_out(struct process *process, struct handle_slot *slot)
{
    struct handle_table *table = &process->handles;
    struct object *object = slot->object;

    slot->object = NULL;
    slot->rights = 0;
    slot->badge = 0;
    slot->generation = rule_next_generation(slot->generation, HANDLE_GENERATIONS);
    if (slot->generation != 0) {
        slot->next_free = table->first_free;
        table->first_free = (uint32_t)(slot - table->slots);
        table->free_count++;
    }
    budget_give(process, BUDGET_HANDLES, 1);
    return object;
}

/* The end of a handle, wherever it comes from. The object may be gone afterwards. */
static void close_slot(struct process *process, struct handle_slot *slot)
{
    bool received = receives(slot), answers = slot->object->type == OBJECT_REPLY && handle_is_current(slot);
    struct object *object = take_out(process, slot);

    if (received)
        endpoint_receivers(endpoint_of(object), -1);
    if (answers)
        reply_dropped(CONTAINER_OF(object, struct reply, object));
    object_release(object);
}

/* ---- Tables -------------------------------------------------------------------------------------------------------
 */

void handle_table_init(struct handle_table *table)
{
    /* Never written to: its only slot is the one that is nobody's. */
    *table = (struct handle_table){.slots = (struct handle_slot *)(uintptr_t)&no_slot, .capacity = 1};
}

static uint64_t table_bytes(uint32_t capacity)
{
    return capacity > 1 ? capacity * sizeof(struct handle_slot) : 0;
}

void handle_table_destroy(struct process *process)
{
    struct handle_table *table = &process->handles;

    if (table->capacity > 1)
        free(table->slots);
    budget_give(process, BUDGET_MEMORY, table_bytes(table->capacity));
    handle_table_init(table);
}

static enum status grow(struct process *process, uint32_t capacity)
{
    struct handle_table *table = &process->handles;
    uint64_t more = table_bytes(capacity) - table_bytes(table->capacity);

    if (!budget_take(process, BUDGET_MEMORY, more))
        return STATUS_LIMIT;
    struct handle_slot *slots = calloc(capacity, sizeof *slots);
    if (slots == NULL) {
        budget_give(process, BUDGET_MEMORY, more);
        return STATUS_NO_MEMORY;
    }
    memcpy(slots, table->slots, table->capacity * sizeof *slots);
    for (uint32_t index = capacity - 1; index >= table->capacity; index--) {
        slots[index].generation = 1;
        slots[index].next_free = table->first_free;
        table->first_free = index;
        table->free_count++;
    }
    if (table->capacity > 1)
        free(table->slots);
    table->slots = slots;
    table->capacity = capacity;
    return STATUS_OK;
}

enum status handle_make_room(struct process *process, unsigned count)
{
    struct handle_table *table = &process->handles;

    if (process->state == PROCESS_ENDING || process->state == PROCESS_ENDED)
        return STATUS_PEER_GONE;
    if (!rule_budget(process->limits[BUDGET_HANDLES], process->used[BUDGET_HANDLES], count))
        return STATUS_LIMIT;
    while (table->free_count < count) {
        uint32_t capacity = table->capacity <= 1 ? CAPACITY_FIRST : 2 * table->capacity;
        enum status status = table->capacity <= HANDLES_MOST / 2 ? grow(process, capacity) : STATUS_LIMIT;
        if (status != STATUS_OK)
            return status;
    }
    return STATUS_OK;
}

/* ---- What can be done with handles --------------------------------------------------------------------------------
 */

enum status handle_install(struct process *process, struct object *object, uint32_t rights, uint64_t badge,
                           handle *number)
{
    struct handle_table *table = &process->handles;
    enum status status = handle_make_room(process, 1);

    if (status != STATUS_OK)
        return status;
    uint32_t index = table->first_free;
    struct handle_slot *slot = &table->slots[index];
    budget_take(process, BUDGET_HANDLES, 1);
    table->first_free = slot->next_free;
    table->free_count--;
    slot->object = object;
    slot->epoch = object->epoch;
    slot->rights = rights & rule_rights_of((enum object_type)object->type);
    slot->badge = badge;
    slot->next_free = 0;
    if (receives(slot))
        endpoint_receivers(endpoint_of(object), 1);
    if (object->type == OBJECT_REPLY)
        handle_note_reply(process, CONTAINER_OF(object, struct reply, object), index);
    *number = handle_number(index, slot->generation);
    return STATUS_OK;
}

void handle_end_reply(struct reply *reply)
{
    struct handle_slot *slot = &reply->holder->handles.slots[reply->slot];

    if (slot->object != &reply->object)
        return; /* closed, which has ended the wait */
    object_hold(&ended_reply.object);
    slot->object = &ended_reply.object;
    object_release(&reply->object);
}

enum status handle_close(struct process *process, handle number)
{
    struct handle_slot *slot = handle_slot_at(&process->handles, number);
    enum status status = handle_check(slot, number, OBJECT_NONE, 0);

    if (status == STATUS_BAD_HANDLE)
        return status;
    close_slot(process, slot);
    return STATUS_OK;
}

enum status handle_duplicate(struct process *process, handle number, uint32_t rights, uint64_t badge, handle *copy)
{
    struct handle_slot *slot;
    struct object *object;
    enum status status = handle_use(process, number, OBJECT_NONE, RIGHT_DUPLICATE, &object, &slot);

    if (status == STATUS_OK)
        status = rule_duplicate(slot->rights, slot->badge, rights, badge);
    if (status != STATUS_OK)
        return status;
    object_hold(object);
    status = handle_install(process, object, rights, badge != 0 ? badge : slot->badge, copy);
    if (status != STATUS_OK)
        object_release(object);
    return status;
}

enum status handle_revoke(struct process *process, handle number)
{
    struct handle_slot *slot;
    struct object *object;
    enum status status = handle_use(process, number, OBJECT_NONE, RIGHT_MANAGE, &object, &slot);

    if (status != STATUS_OK)
        return status;
    trace(TRACE_REVOKE, process->id, object->type);
    slot->epoch = ++object->epoch;
    if (object->type == OBJECT_ENDPOINT) {
        struct endpoint *endpoint = endpoint_of(object);
        endpoint_end_waits(endpoint, STATUS_REVOKED);
        endpoint_receivers(endpoint, (int)receives(slot) - (int)endpoint->receive_handles);
    } else if (object->type == OBJECT_NOTIFICATION) {
        notification_end_waits(CONTAINER_OF(object, struct notification, object), STATUS_REVOKED);
    } else if (object->type == OBJECT_MEMORY &&
               !memory_revoke(CONTAINER_OF(object, struct memory, object), process, UNMAPPED_AT_ONCE)) {
        return STATUS_BUSY;
    }
    return STATUS_OK;
}

enum status handle_may_move(struct process *from, handle number, uint32_t rights, bool keep)
{
    struct handle_slot *slot;
    struct object *object;
    enum status status =
        handle_use(from, number, OBJECT_NONE, keep ? RIGHT_TRANSFER | RIGHT_DUPLICATE : RIGHT_TRANSFER, &object, &slot);

    if (status == STATUS_OK && rights != 0)
        status = rule_duplicate(slot->rights, 0, rights, 0);
    return status;
}

enum status handle_move(struct process *from, handle number, struct process *to, uint32_t rights, bool keep,
                        handle *there)
{
    enum status status = handle_may_move(from, number, rights, keep);

    if (status != STATUS_OK)
        return status;
    const struct handle_slot *slot = handle_slot_at(&from->handles, number);
    struct object *object = slot->object;
    /* First there, then gone here: an endpoint must not be without receivers in between. */
    object_hold(object);
    status = handle_install(to, object, rights != 0 ? rights : slot->rights, slot->badge, there);
    if (status != STATUS_OK) {
        object_release(object);
        return status;
    }
    trace(TRACE_GRANT, to->id, *there);
    audit(keep ? AUDIT_GRANT : AUDIT_TRANSFER, from, to, (enum object_type)object->type,
          handle_slot_at(&to->handles, *there)->rights);
    if (keep)
        return STATUS_OK;
    struct handle_slot *old =
        handle_slot_at(&from->handles, number); /* the table may be another, when `from` is `to` */
    bool received = receives(old);
    take_out(from, old);
    if (received)
        endpoint_receivers(endpoint_of(object), -1);
    object_release(object);
    return STATUS_OK;
}

bool handle_close_some(struct process *process, unsigned most)
{
    struct handle_table *table = &process->handles;

    for (; most != 0 && table->closed < table->capacity; most--) {
        struct handle_slot *slot = &table->slots[table->closed++];
        if (slot->object != NULL)
            close_slot(process, slot);
    }
    return table->closed >= table->capacity;
}
