/* user_context.h of a processor that does not exist: a call's number and arguments, and its result. */
#ifndef USER_CONTEXT_H
#define USER_CONTEXT_H

#include <stdint.h>

struct user_context {
    uint64_t number, arguments[6], status, value;
    uintptr_t entry, stack, frame_pointer, link;
    unsigned again; /* how often a call was to be made again */
    void *extended;
};

static inline uint64_t user_call_number(const struct user_context *context)
{
    return context->number;
}

static inline uint64_t user_argument(const struct user_context *context, unsigned index)
{
    return context->arguments[index];
}

static inline void user_set_result(struct user_context *context, uint64_t status, uint64_t value)
{
    context->status = status;
    context->value = value;
}

static inline void user_call_again(struct user_context *context)
{
    context->again++;
}

static inline uintptr_t user_instruction(const struct user_context *context)
{
    return context->entry;
}

static inline uintptr_t user_stack_pointer(const struct user_context *context)
{
    return context->stack;
}

static inline uintptr_t user_frame_pointer(const struct user_context *context)
{
    return context->frame_pointer;
}

static inline uintptr_t user_link(const struct user_context *context)
{
    return context->link;
}

#endif
