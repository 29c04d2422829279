/*
 * handle_slot.h: looking at a slot of a handle table, for handle.c and, since every call between processes does it, for
 * ipc.c, inline.
 */
#ifndef KERNEL_PROCESS_HANDLE_SLOT_H
#define KERNEL_PROCESS_HANDLE_SLOT_H

#include "thread.h"

/* A CPU that guesses that an index is good must not read what lies behind the table: what is out of bounds is made 0
 * by arithmetic, and slot 0 is never anybody's. The empty statement keeps the compiler from making a branch of it. */
static inline struct handle_slot *handle_slot_at(const struct handle_table *table, handle number)
{
    uint64_t index = handle_index(number);
    uint64_t inside = (index - table->capacity) >> 32; /* all ones in the low half, or 0 */

    __asm__("" : "+r"(inside));
    return &table->slots[index & inside];
}

/* Whether the slot's handle still stands for its object, and not for what it was before it was revoked. */
static inline bool handle_is_current(const struct handle_slot *slot)
{
    return slot->epoch == slot->object->epoch;
}

static inline enum status handle_check(const struct handle_slot *slot, handle number, enum object_type type,
                                       uint32_t rights)
{
    struct rule_slot view = {.generation = slot->generation, .epoch = slot->epoch, .rights = slot->rights};
    uint64_t epoch = 0;

    if (slot->object != NULL) {
        view.type = slot->object->type;
        epoch = slot->object->epoch;
    }
    return rule_use(&view, epoch, number, type, rights);
}

static inline void handle_note_reply(struct process *holder, struct reply *reply, uint32_t slot)
{
    reply->holder = holder;
    reply->slot = slot;
}

/* The one handle that a call gives to whoever takes it, and that his answer takes away again: what handle_install and
 * handle_close do, where nothing can go wrong. False: nothing has been done. */
static inline bool handle_put_reply(struct process *process, struct reply *reply, handle *number)
{
    struct handle_table *table = &process->handles;
    uint32_t index = table->first_free;

    if (index == 0 || process->used[BUDGET_HANDLES] >= process->limits[BUDGET_HANDLES] ||
        process->state != PROCESS_RUNNING)
        return false;
    struct handle_slot *slot = &table->slots[index];
    process->used[BUDGET_HANDLES]++;
    table->first_free = slot->next_free;
    table->free_count--;
    slot->object = &reply->object;
    slot->epoch = reply->object.epoch;
    slot->rights = RIGHT_TRANSFER;
    slot->next_free = 0;
    handle_note_reply(process, reply, index);
    *number = handle_number(index, slot->generation);
    return true;
}

static inline bool handle_take_reply(struct process *process, struct handle_slot *slot)
{
    struct handle_table *table = &process->handles;
    uint64_t next = rule_next_generation(slot->generation, HANDLE_GENERATIONS);

    if (next == 0)
        return false;
    process->used[BUDGET_HANDLES]--;
    slot->object = NULL;
    slot->rights = 0;
    slot->generation = next;
    slot->next_free = table->first_free;
    table->first_free = (uint32_t)(slot - table->slots);
    table->free_count++;
    return true;
}

#endif
