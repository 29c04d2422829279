/*
 * user_context.h: what user.S saves of user mode, and where system calls keep what they are about.
 */
#ifndef USER_CONTEXT_H
#define USER_CONTEXT_H

#define CONTEXT_X(n)     ((n)*8 - 8) /* x1 to x31; tp is x4, the thread pointer */
#define CONTEXT_PC       248
#define CONTEXT_EXTENDED 256
#define CONTEXT_CPU      264

#define EXTENDED_F(n) ((n)*8)
#define EXTENDED_FCSR 256
#define EXTENDED_SIZE 264

#ifndef __ASSEMBLER__

#include <stdint.h>

struct cpu;

struct user_context {
    uint64_t x[31]; /* x[n - 1] is register xn */
    uint64_t pc;
    void *extended;  /* f0 to f31, fcsr */
    struct cpu *cpu; /* on which it runs, or ran last: user.S's */
};

enum { REGISTER_RA = 1, REGISTER_SP = 2, REGISTER_TP = 4, REGISTER_S0 = 8, REGISTER_A0 = 10, REGISTER_A7 = 17 };

static inline uint64_t user_call_number(const struct user_context *context)
{
    return context->x[REGISTER_A7 - 1];
}

static inline uint64_t user_argument(const struct user_context *context, unsigned index)
{
    return context->x[REGISTER_A0 - 1 + index];
}

static inline void user_set_result(struct user_context *context, uint64_t status, uint64_t value)
{
    context->x[REGISTER_A0 - 1] = status;
    context->x[REGISTER_A0] = value;
}

static inline void user_call_again(struct user_context *context)
{
    context->pc -= 4; /* ECALL has no short form */
}

/* Behind the ecall once it has been one. */
static inline uintptr_t user_instruction(const struct user_context *context)
{
    return context->pc;
}

static inline uintptr_t user_stack_pointer(const struct user_context *context)
{
    return context->x[REGISTER_SP - 1];
}

static inline uintptr_t user_frame_pointer(const struct user_context *context)
{
    return context->x[REGISTER_S0 - 1];
}

static inline uintptr_t user_link(const struct user_context *context)
{
    return context->x[REGISTER_RA - 1];
}

#endif
#endif
