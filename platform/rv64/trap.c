/*
 * trap.c: what a trap means: an interrupt to be handed on, an instruction that was expected to trap, or the end.
 */
#include "local.h"
#include "trap_frame.h"

#include <lib/printf.h>
#include <platform/clock.h>
#include <platform/interrupt.h>
#include <platform/ipi.h>
#include <platform/mmu.h>

_Static_assert(offsetof(struct trap_frame, sepc) == FRAME_SEPC, "trap_frame.h");
_Static_assert(offsetof(struct trap_frame, stval) == FRAME_STVAL, "trap_frame.h");
_Static_assert(offsetof(struct trap_frame, record_pointer) == FRAME_RECORD_POINTER, "trap_frame.h");
_Static_assert(offsetof(struct trap_frame, record_address) == FRAME_RECORD_ADDRESS, "trap_frame.h");
_Static_assert(sizeof(struct trap_frame) == FRAME_SIZE, "trap_frame.h");
_Static_assert(offsetof(struct cpu, stack_guard) == CPU_STACK_GUARD, "trap_frame.h");
_Static_assert(offsetof(struct cpu, stack_top) == CPU_STACK_TOP, "trap_frame.h");
_Static_assert(offsetof(struct cpu, exception_stack_top) == CPU_EXCEPTION_STACK_TOP, "trap_frame.h");
_Static_assert(offsetof(struct cpu, self) == CPU_SELF, "trap_frame.h");

static const char *const exception_names[] = {
    "misaligned instruction address",
    "instruction access fault",
    "illegal instruction",
    "breakpoint",
    "misaligned load",
    "load access fault",
    "misaligned store",
    "store access fault",
    "system call from user mode",
    "system call from supervisor mode",
    NULL,
    NULL,
    "instruction page fault",
    "load page fault",
    NULL,
    "store page fault",
};

enum { EXCEPTION_COUNT = sizeof exception_names / sizeof exception_names[0] };

/* csr.h */
extern const struct {
    uint64_t instruction, after;
} fixups_start[], fixups_end[];

static bool fix_up(struct trap_frame *frame)
{
    for (size_t i = 0; i < (size_t)(fixups_end - fixups_start); i++)
        if (fixups_start[i].instruction == frame->sepc) {
            frame->sepc = fixups_start[i].after;
            return true;
        }
    return false;
}

bool device_answers(const volatile void *address, unsigned width)
{
    uint64_t value = 0;

    if (width == 4)
        return try_instruction("lw %0, 0(%2)", value, address);
    if (width == 2)
        return try_instruction("lh %0, 0(%2)", value, address);
    return try_instruction("lb %0, 0(%2)", value, address);
}

bool device_try_write(volatile void *address, unsigned width, uint32_t value)
{
    uint64_t stored = value;

    if (width == 4)
        return try_instruction("sw %0, 0(%2)", stored, address);
    if (width == 2)
        return try_instruction("sh %0, 0(%2)", stored, address);
    return try_instruction("sb %0, 0(%2)", stored, address);
}

const char *trap_name(uint64_t cause)
{
    const char *name = cause < EXCEPTION_COUNT ? exception_names[cause] : NULL;

    return name != NULL ? name : "exception";
}

/* Why the address could not be used, as far as the layout of the address space tells. */
static const char *place_of(uint64_t address)
{
    const struct cpu *cpu = cpu_local();

    if (address < PAGE_SIZE)
        return ", through a null pointer";
    if (address - cpu->stack_guard < PAGE_SIZE)
        return ", in the guard page below the stack";
    if (address < USER_TOP)
        return ", a user's address";
    if (address >= (uintptr_t)text_start && address < (uintptr_t)text_end)
        return ", in the kernel's code";
    if (address >= (uintptr_t)rodata_start && address < (uintptr_t)rodata_end)
        return ", in the kernel's constants";
    return "";
}

_Noreturn static void exception(const struct trap_frame *frame)
{
    unsigned long long cause = frame->scause, value = frame->stval, at = frame->sepc;

    switch (frame->scause) {
    case CAUSE_FETCH_PAGE:
    case CAUSE_LOAD_PAGE:
    case CAUSE_STORE_PAGE:
        panic_at(frame, "%s at 0x%llx%s, by the instruction at 0x%llx", trap_name(cause), value, place_of(value), at);
    case CAUSE_ILLEGAL_INSTRUCTION:
        panic_at(frame, "illegal instruction 0x%llx at 0x%llx", value, at);
    default:
        panic_at(frame, "%s (cause %llu, value 0x%llx), by the instruction at 0x%llx", trap_name(cause), cause, value,
                 at);
    }
}

void trap_interrupt(uint64_t number)
{
    struct cpu *cpu = cpu_local();

    switch (number) {
    case INTERRUPT_EXTERNAL:
        controller_interrupt();
        break;
    case INTERRUPT_TIMER:
        cpu->interrupts++;
        cpu->interrupt_depth++;
        timer_interrupt();
        cpu->interrupt_depth--;
        break;
    case INTERRUPT_SOFTWARE:
        csr_clear(sip, 1 << INTERRUPT_SOFTWARE);
        ipi_arrived();
        break;
    default:
        csr_clear(sie, UINT64_C(1) << (number & 63));
        interrupt_spurious("local interrupt", (uint32_t)number);
    }
}

_Noreturn static void stack_lost(const struct trap_frame *frame)
{
    const char *what = (frame->scause & CAUSE_INTERRUPT) != 0 ? "interrupt" : trap_name(frame->scause);
    unsigned long long pointer = frame->x[1], guard = cpu_local()->stack_guard, value = frame->stval;

    if (pointer - guard < 2 * PAGE_SIZE)
        panic_at(frame, "the kernel stack has overflowed: its pointer is 0x%llx, its guard page at 0x%llx (%s, 0x%llx)",
                 pointer, guard, what, value);
    panic_at(frame, "the stack pointer 0x%llx is outside the kernel stack above 0x%llx (%s, value 0x%llx)", pointer,
             guard, what, value);
}

void trap_handle(struct trap_frame *frame, bool overflow)
{
    if (overflow)
        stack_lost(frame);
    if ((frame->scause & CAUSE_INTERRUPT) != 0)
        trap_interrupt(frame->scause & ~CAUSE_INTERRUPT);
    else if (!fix_up(frame))
        exception(frame);
}

/* ---- For panic -------------------------------------------------------------------------------------- */

void trap_report_registers(const uint64_t x[31], struct printer *printer)
{
    static const char names[31][4] = {"ra", "sp", "gp", "tp",  "t0",  "t1", "t2", "s0", "s1", "a0", "a1",
                                      "a2", "a3", "a4", "a5",  "a6",  "a7", "s2", "s3", "s4", "s5", "s6",
                                      "s7", "s8", "s9", "s10", "s11", "t3", "t4", "t5", "t6"};

    for (unsigned i = 0; i < 31; i++)
        print(printer, "  %-3s %016llx%s", names[i], (unsigned long long)x[i], i % 3 == 2 ? "\n" : "");
}

void trap_report(const struct trap_frame *frame, struct printer *printer)
{
    trap_report_registers(frame->x, printer);
    print(printer, "  pc  %016llx\n", (unsigned long long)frame->sepc);
    print(printer, "  sstatus %016llx  scause %016llx  stval %016llx\n", (unsigned long long)frame->sstatus,
          (unsigned long long)frame->scause, (unsigned long long)frame->stval);
}

uintptr_t trap_instruction(const struct trap_frame *frame)
{
    return frame->sepc;
}

uintptr_t trap_frame_pointer(const struct trap_frame *frame)
{
    return frame->x[7];
}

uintptr_t trap_link(const struct trap_frame *frame)
{
    return frame->x[0];
}

static bool within(uintptr_t record, uintptr_t bottom, uintptr_t top)
{
    return record >= bottom && record <= top - 2 * sizeof(uintptr_t);
}

/* The frame pointer points behind its record: the caller's frame pointer, then the return address [RISC-V
 * calling convention]. Records ascend within a stack. */
bool trap_unwind(uintptr_t *frame_pointer, uintptr_t *return_address)
{
    const struct cpu *cpu = cpu_local();
    uintptr_t record = *frame_pointer - 2 * sizeof(uintptr_t);

    if (record % sizeof(uintptr_t) != 0 || (!within(record, cpu->stack_guard + PAGE_SIZE, cpu->stack_top) &&
                                            !within(record, cpu->exception_stack, cpu->exception_stack_top)))
        return false;

    uintptr_t next = ((const uintptr_t *)record)[0], address = ((const uintptr_t *)record)[1];
    if (address == 0 || (next != 0 && next <= *frame_pointer))
        return false;
    *frame_pointer = next;
    *return_address = address;
    return true;
}
