/*
 * fault.c: what an exception in user mode means. Pure; contract in local.h.
 */
#include "local.h"

/* Hides which of the kernel's addresses exist: those are not for user mode, whatever is there. */
static void page_fault(uint64_t error, uint64_t address, struct user_fault *fault)
{
    fault->kind = (error & FAULT_FETCH) != 0   ? USER_FAULT_EXECUTE
                  : (error & FAULT_WRITE) != 0 ? USER_FAULT_WRITE
                                               : USER_FAULT_READ;
    fault->address = address;
    fault->mapped = (error & FAULT_PROTECTION) != 0 && address < USER_TOP;
    fault->what = fault->mapped         ? "memory that is not mapped for this"
                  : address >= USER_TOP ? "an address that is not a process's"
                                        : "an unmapped address";
}

void fault_decode(uint64_t vector, uint64_t error, uint64_t address, struct user_fault *fault)
{
    static const char *const names[VECTOR_EXCEPTIONS] = {
        [EXCEPTION_DIVISION] = "division by zero, or its result is too large",
        [EXCEPTION_DEBUG] = "a single step that nobody asked for",
        [EXCEPTION_BREAKPOINT] = "breakpoint",
        [EXCEPTION_OVERFLOW] = "overflow",
        [EXCEPTION_BOUND] = "bound exceeded",
        [EXCEPTION_INVALID] = "invalid instruction",
        [EXCEPTION_NO_COPROCESSOR] = "floating-point instruction where there is no floating point",
        [EXCEPTION_NOT_PRESENT] = "segment that is not present",
        [EXCEPTION_STACK_SEGMENT] = "stack access at a non-canonical address",
        [EXCEPTION_PROTECTION] = "privileged instruction, or access at a non-canonical address",
        [EXCEPTION_FLOATING_POINT] = "floating-point error",
        [EXCEPTION_ALIGNMENT] = "misaligned access",
        [EXCEPTION_SIMD] = "SIMD floating-point error",
        [EXCEPTION_CONTROL] = "control protection fault",
    };

    *fault = (struct user_fault){.kind = USER_FAULT_OTHER, .what = "exception"};
    if (vector == EXCEPTION_PAGE_FAULT && (error & FAULT_RESERVED) == 0)
        page_fault(error, address, fault);
    else if (vector == EXCEPTION_PAGE_FAULT)
        fault->what = "page whose entry has reserved bits set";
    else if (vector < VECTOR_EXCEPTIONS && names[vector] != NULL)
        fault->what = names[vector];
}
