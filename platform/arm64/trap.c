/*
 * trap.c: what a trap means: an interrupt to be handed on, an instruction that was expected to trap, or the end.
 */
#include "local.h"
#include "trap_frame.h"

#include <lib/printf.h>
#include <platform/interrupt.h>
#include <platform/mmu.h>
#include <platform/user.h>

_Static_assert(offsetof(struct trap_frame, sp) == FRAME_SP, "trap_frame.h");
_Static_assert(offsetof(struct trap_frame, elr) == FRAME_ELR, "trap_frame.h");
_Static_assert(offsetof(struct trap_frame, spsr) == FRAME_SPSR, "trap_frame.h");
_Static_assert(offsetof(struct trap_frame, esr) == FRAME_ESR, "trap_frame.h");
_Static_assert(offsetof(struct trap_frame, far) == FRAME_FAR, "trap_frame.h");
_Static_assert(offsetof(struct trap_frame, record_pointer) == FRAME_RECORD, "trap_frame.h");
_Static_assert(sizeof(struct trap_frame) == FRAME_SIZE, "trap_frame.h");
_Static_assert(offsetof(struct cpu, stack_guard) == CPU_STACK_GUARD, "trap_frame.h");
_Static_assert(offsetof(struct cpu, stack_top) == CPU_STACK_TOP, "trap_frame.h");
_Static_assert(offsetof(struct cpu, exception_stack_top) == CPU_EXCEPTION_STACK_TOP, "trap_frame.h");
_Static_assert(offsetof(struct cpu, self) == CPU_SELF, "trap_frame.h");
_Static_assert(offsetof(struct cpu, context) == CPU_CONTEXT, "trap_frame.h");
_Static_assert(offsetof(struct cpu, user_stack) == CPU_USER_STACK, "trap_frame.h");
_Static_assert(offsetof(struct user_context, x) == CONTEXT_X(0), "trap_frame.h");
_Static_assert(offsetof(struct user_context, sp) == CONTEXT_X(31), "trap_frame.h");
_Static_assert(offsetof(struct user_context, pc) == CONTEXT_PC, "trap_frame.h");
_Static_assert(offsetof(struct user_context, pstate) == CONTEXT_PC + 8, "trap_frame.h");
_Static_assert(USER_TOP - 1 == USER_ADDRESSES, "trap_frame.h");

/* trap.S */
extern const struct {
    uint64_t instruction, after;
} fixups_start[], fixups_end[];

/* The stack that has overflowed, for the backtrace; 0: none has. */
static uint64_t overflowed_guard, overflowed_top;

static bool fix_up(struct trap_frame *frame)
{
    for (size_t i = 0; i < (size_t)(fixups_end - fixups_start); i++)
        if (fixups_start[i].instruction == frame->elr) {
            frame->elr = fixups_start[i].after;
            return true;
        }
    return false;
}

_Noreturn static void fault(const struct trap_frame *frame)
{
    char what[160];

    syndrome_describe(frame->esr, frame->far, what, sizeof what);
    panic_at(frame, "%s, by the instruction at 0x%llx", what, (unsigned long long)frame->elr);
}

/* On the emergency stack. It becomes this CPU's stack, so that what panic does may trap once more. */
_Noreturn static void overflow(const struct trap_frame *frame)
{
    struct cpu *cpu = cpu_local();
    char what[160];

    overflowed_guard = cpu->stack_guard;
    overflowed_top = cpu->stack_top;
    cpu->stack_guard = cpu->exception_stack - PAGE_SIZE;
    cpu->stack_top = cpu->exception_stack_top;
    syndrome_describe(frame->esr, frame->far, what, sizeof what);
    if (frame->sp - overflowed_guard > PAGE_SIZE + FRAME_SIZE)
        panic_at(frame, "the stack pointer 0x%llx lies outside the kernel stack (%s)", (unsigned long long)frame->sp,
                 what);
    panic_at(frame, "the kernel stack has overflowed: sp 0x%llx, its guard page is at 0x%llx (%s)",
             (unsigned long long)frame->sp, (unsigned long long)overflowed_guard, what);
}

void trap_handle(struct trap_frame *frame, uint64_t vector)
{
    static const char *const origins[] = {"from EL1 on the user's stack pointer", "from EL1", "from user mode",
                                          "from 32-bit user mode", "from nowhere"};
    static const char *const kinds[] = {"exception", "interrupt", "fast interrupt", "system error"};

    switch (vector) {
    case VECTOR_SYNCHRONOUS:
        if (!fix_up(frame))
            fault(frame);
        return;
    case VECTOR_INTERRUPT:
        controller_interrupt();
        return;
    case VECTOR_SYSTEM:
    case VECTOR_USER_SYSTEM: /* it may have to do with the user program, or with nothing that runs */
        fault(frame);
    case VECTOR_OVERFLOW:
        overflow(frame);
    default:
        panic_at(frame, "%s %s, which this kernel never asked for", kinds[vector & 3], origins[vector >> 2 & 7]);
    }
}

/* ---- From user mode; called by user.S --------------------------------------------------------------- */

struct user_context *trap_user_fault(struct user_context *context)
{
    uint64_t syndrome = system_read(esr_el1);
    struct user_fault fault = syndrome_user_fault(syndrome, system_read(far_el1));

    if (syndrome_is_call(syndrome)) /* the CPU names the instruction behind it */
        context->pc -= sizeof(uint32_t);
    return user_faulted(context, &fault);
}

struct user_context *trap_user_interrupt(struct user_context *context)
{
    controller_interrupt();
    return user_interrupted(context);
}

/* ---- For panic -------------------------------------------------------------------------------------- */

void trap_report(const struct trap_frame *frame, struct printer *printer)
{
    for (unsigned i = 0; i < 31; i++)
        print(printer, "  x%-2u %016llx%s", i, (unsigned long long)frame->x[i], i % 3 == 2 ? "\n" : "");
    print(printer, "  sp  %016llx\n", (unsigned long long)frame->sp);
    print(printer, "  pc  %016llx  spsr %08llx  esr %08llx  far %016llx\n", (unsigned long long)frame->elr,
          (unsigned long long)frame->spsr, (unsigned long long)frame->esr, (unsigned long long)frame->far);
}

uintptr_t trap_instruction(const struct trap_frame *frame)
{
    return frame->elr;
}

uintptr_t trap_frame_pointer(const struct trap_frame *frame)
{
    return frame->x[29];
}

uintptr_t trap_link(const struct trap_frame *frame)
{
    return frame->x[30];
}

static bool within(uintptr_t record, uint64_t guard, uint64_t top)
{
    return top != 0 && record >= guard + PAGE_SIZE && record <= top - 2 * sizeof(uintptr_t);
}

/* The frame pointer points at its record: the caller's frame pointer, then the return address [AAPCS64 §6.4.6].
 * Records ascend within a stack. */
bool trap_unwind(uintptr_t *frame_pointer, uintptr_t *return_address)
{
    const struct cpu *cpu = cpu_local();
    uintptr_t record = *frame_pointer;

    if (record % sizeof(uintptr_t) != 0 ||
        (!within(record, cpu->stack_guard, cpu->stack_top) && !within(record, overflowed_guard, overflowed_top)))
        return false;

    uintptr_t next = ((const uintptr_t *)record)[0], address = ((const uintptr_t *)record)[1];
    if (address == 0 || (next != 0 && next <= record))
        return false;
    *frame_pointer = next;
    *return_address = address;
    return true;
}
