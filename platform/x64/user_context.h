/*
 * user_context.h: what is kept of a thread while it does not run. Contract in platform/user.h.
 *
 * The CPU pushes straight into it when it leaves user mode: the task state's stack pointer is the frame's end. So it is
 * aligned as a stack is, and begins with the frame.
 *
 * The thread pointer is FS's base: the address of the thread's message buffer, so that the buffer is at %fs:0. User
 * mode cannot change it, but it can lose it, by loading the selector FS, until it is next switched to. Selectors that
 * it loads into DS, ES, FS and GS are not kept, nor is a base of GS.
 */
#ifndef USER_CONTEXT_H
#define USER_CONTEXT_H

#include <stdint.h>

#include "trap_frame.h"

struct user_context {
    struct trap_frame frame;
    uint64_t thread_pointer;
    void *extended;
} __attribute__((aligned(16)));

static inline uint64_t user_call_number(const struct user_context *context)
{
    return context->frame.rax;
}

static inline uint64_t user_argument(const struct user_context *context, unsigned index)
{
    const struct trap_frame *frame = &context->frame;

    switch (index) {
    case 0:
        return frame->rdi;
    case 1:
        return frame->rsi;
    case 2:
        return frame->rdx;
    case 3:
        return frame->r10;
    case 4:
        return frame->r8;
    default:
        return frame->r9;
    }
}

static inline void user_set_result(struct user_context *context, uint64_t status, uint64_t value)
{
    context->frame.rax = status;
    context->frame.rdx = value;
}

static inline void user_call_again(struct user_context *context)
{
    context->frame.rip -= 2; /* SYSCALL is 0f 05, and nothing else is a call */
}

static inline uintptr_t user_instruction(const struct user_context *context)
{
    return context->frame.rip;
}

static inline uintptr_t user_stack_pointer(const struct user_context *context)
{
    return context->frame.rsp;
}

static inline uintptr_t user_frame_pointer(const struct user_context *context)
{
    return context->frame.rbp;
}

static inline uintptr_t user_link(const struct user_context *context)
{
    (void)context;
    return 0;
}

#endif
