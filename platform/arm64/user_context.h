/*
 * user_context.h: what a thread has in the CPU while it does not run. trap_frame.h has the offsets for assembly.
 */
#ifndef USER_CONTEXT_H
#define USER_CONTEXT_H

#include <stdint.h>

struct user_context {
    uint64_t x[31];
    uint64_t sp, pc, pstate; /* SP_EL0, ELR_EL1, SPSR_EL1 */
    uint64_t thread_pointer; /* TPIDR_EL0, which the thread may change */
    void *extended;          /* q0 to q31, then FPCR and FPSR */
};

static inline uint64_t user_call_number(const struct user_context *context)
{
    return context->x[8];
}

static inline uint64_t user_argument(const struct user_context *context, unsigned index)
{
    return context->x[index];
}

static inline void user_set_result(struct user_context *context, uint64_t status, uint64_t value)
{
    context->x[0] = status;
    context->x[1] = value;
}

static inline void user_call_again(struct user_context *context)
{
    context->pc -= 4; /* SVC */
}

static inline uintptr_t user_instruction(const struct user_context *context)
{
    return context->pc;
}

static inline uintptr_t user_stack_pointer(const struct user_context *context)
{
    return context->sp;
}

static inline uintptr_t user_frame_pointer(const struct user_context *context)
{
    return context->x[29];
}

static inline uintptr_t user_link(const struct user_context *context)
{
    return context->x[30];
}

#endif
