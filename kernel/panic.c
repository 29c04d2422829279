/*
 * panic.c: the end, explained: what happened, registers, a symbolised backtrace, the last log lines.
 */
#include "log.h"
#include "options.h"
#include "symbols.h"
#include "trace.h"

#include <platform/boot.h>
#include <platform/cpu.h>
#include <platform/ipi.h>
#include <platform/lock.h>

#include "kernel.h"

static void print_location(struct printer *printer, const char *what, uintptr_t address)
{
    char name[SYMBOL_NAME_SIZE];
    size_t offset = 0;

    if (symbol_find(address, name, &offset))
        print(printer, "  %s %016llx %s+0x%zx\n", what, (unsigned long long)address, name, offset);
    else
        print(printer, "  %s %016llx\n", what, (unsigned long long)address);
}

/* 0 when the address is not in a function. */
static uintptr_t function_of(uintptr_t address)
{
    char name[SYMBOL_NAME_SIZE];
    size_t offset = 0;

    return symbol_find(address, name, &offset) ? address - offset : 0;
}

/* A function that calls none may have no record of its own: then its caller is where its link register points to. In
 * others that points into the function itself, or to where the record says. */
static void print_link(struct printer *printer, const struct trap_frame *frame, uintptr_t pointer)
{
    uintptr_t link = trap_link(frame), address = 0, function = function_of(link - 1);

    if (function == 0 || function == function_of(trap_instruction(frame)) ||
        (trap_unwind(&pointer, &address) && address == link))
        return;
    print_location(printer, "by", link - 1);
}

/* `pointer` is a frame pointer: the trapped code's if there is a frame. */
static void print_backtrace(struct printer *printer, const struct trap_frame *frame, uintptr_t pointer)
{
    enum { MOST = 32 };
    uintptr_t address = 0;

    print(printer, "backtrace:\n");
    if (frame != NULL) {
        print_location(printer, "at", trap_instruction(frame));
        print_link(printer, frame, pointer);
    }
    for (unsigned depth = 0; depth < MOST && trap_unwind(&pointer, &address); depth++)
        print_location(printer, "by", address - 1); /* inside the call, not behind it */
}

/* The first CPU to come here stops the others and is the one that is heard; a panic within its panic is told briefly,
 * one more is the end. What the others held is nobody's any more. */
_Noreturn void panic_at(const struct trap_frame *frame, const char *format, ...)
{
    static const struct cpu *panicking;
    static unsigned depth;
    const struct cpu *nobody = NULL, *self = cpu_local();
    char text[256];
    va_list arguments;

    cpu_interrupts_disable();
    if (__atomic_compare_exchange_n(&panicking, &nobody, self, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST))
        ipi_stop_others();
    else if (nobody != self)
        ipi_stop_here();
    lock_give_up_all();
    if (++depth > 2)
        cpu_halt();
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    log_flush();
    print(&console_printer, "\npanic: %s\n", text); /* whatever stands on the line */
    if (cpu_count() > 1)
        print(&console_printer, "on CPU %u of %u\n", self->index, cpu_count());
    if (depth == 1) {
        if (frame != NULL)
            trap_report(frame, &console_printer);
        /* Taken here, since nobody inlines this function: it has a list of arguments. */
        print_backtrace(&console_printer, frame,
                        frame != NULL ? trap_frame_pointer(frame) : (uintptr_t)__builtin_frame_address(0));
        trace_report(&console_printer, 8);
        print(&console_printer, "last log lines:\n");
        log_tail(&console_printer, 12);
    }
    if (options.panic_hang) {
        print(&console_printer, "the machine stops here, as panic=hang asks\n");
        cpu_halt();
    }
    cpu_power_off(&machine, true);
    cpu_reset(&machine);
    print(&console_printer, "the machine cannot be switched off from here; it stops\n");
    cpu_halt();
}
