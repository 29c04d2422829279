/*
 * el0.c: what user mode may do on arm64, and what it may not, a process for each case (each_case.h).
 * test_arm64_user.py knows what must become of each.
 */
#include "each_case.h"

enum { ROUNDS = 2000 };

#define DEED(name, ...)                                                                                                \
    static void name(void)                                                                                             \
    {                                                                                                                  \
        __asm__ volatile(__VA_ARGS__ ::: "x0", "x1", "memory");                                                        \
    }

/* Allowed. */
DEED(read_cache_type, "mrs x0, ctr_el0")
DEED(read_counter, "mrs x0, cntvct_el0")
DEED(wait_for_event, "wfe")
/* For nobody but the kernel, or for nobody. */
DEED(wait_for_interrupt, "wfi")
DEED(mask_interrupts, "msr daifset, #2")
DEED(read_control, "mrs x0, sctlr_el1")
DEED(read_physical_counter, "mrs x0, cntpct_el0")
DEED(read_timer, "mrs x0, cntv_ctl_el0")
DEED(read_cycles, "mrs x0, pmccntr_el0")
DEED(clean_cache, "mov x0, sp\n\tdc civac, x0")
DEED(invalidate_code, "mov x0, sp\n\tic ivau, x0")
DEED(flush_translations, "tlbi vmalle1")
DEED(call_hypervisor, "hvc #0")
DEED(call_firmware, "smc #0")
DEED(return_from_exception, "eret")
DEED(call_one, "svc #1")
DEED(breakpoint, "brk #5")
DEED(no_instruction, "udf #0")
DEED(use_sve, ".inst 0x0420e3e0") /* cntb x0 */
DEED(use_sme, ".inst 0xd503477f") /* smstart */
DEED(sign, ".inst 0x9ac13000")    /* pacga x0, x0, x1: without vectors at EL2 it must not go there */
DEED(misalign_code, "adr x0, .\n\tadd x0, x0, #2\n\tbr x0")
DEED(read_nothing, "mov x0, #16\n\tldr x0, [x0]")
DEED(read_kernel, "mov x0, #0xffffffff80000000\n\tldr x0, [x0]")
DEED(read_physmap, "mov x0, #0xffff800000000000\n\tldr x0, [x0, #8]")
DEED(run_kernel, "mov x0, #0xffffffff80000000\n\tbr x0")
DEED(read_beyond, "mov x0, #0x800000000000\n\tldr x0, [x0]")
DEED(read_tagged, "mov x0, sp\n\torr x0, x0, #1 << 56\n\tldr x0, [x0]")
DEED(write_code, "adr x0, .\n\tstr x0, [x0]")
DEED(run_stack, "mov x0, sp\n\tbr x0")

static _Alignas(4096) char page[4096];

static void clear_line(void)
{
    page[64] = 1;
    __asm__ volatile("dc zva, %0" ::"r"(page) : "memory");
    if (page[64] != 0 && page[64] != 1)
        exit(CODE_WRONG);
}

/* Nothing of the kernel's is left in what it does not save. */
static void read_scratch(void)
{
    uint64_t scratch, thread;

    system_abi_version();
    __asm__ volatile("mrs %0, tpidrro_el0\n\tmrs %1, tpidr_el0" : "=r"(scratch), "=r"(thread));
    if (scratch != 0 || thread != (uintptr_t)first_buffer)
        exit(CODE_WRONG);
}

/* ---- Registers that are switched -----------------------------------------------------------------------------------
 */

static bool keeps(uint64_t pattern)
{
    uint64_t first = pattern, last = ~pattern, control = (pattern & 3) << 22, status = pattern & 15, thread = pattern;
    uint64_t found_first, found_last, found_control, found_status, found_thread;

    for (unsigned i = 0; i < ROUNDS; i++) {
        __asm__ volatile(
            "mov x8, %[number]\n\t"
            "dup v0.2d, %[first]\n\tdup v8.2d, %[first]\n\tdup v31.2d, %[last]\n\t"
            "msr fpcr, %[control]\n\tmsr fpsr, %[status]\n\tmsr tpidr_el0, %[thread]\n\t"
            "svc #0\n\t"
            "mov %[found_first], v0.d[1]\n\tmov %[found_last], v31.d[1]\n\t"
            "mrs %[found_control], fpcr\n\tmrs %[found_status], fpsr\n\tmrs %[found_thread], tpidr_el0"
            : [found_first] "=&r"(found_first), [found_last] "=&r"(found_last), [found_control] "=&r"(found_control),
              [found_status] "=&r"(found_status), [found_thread] "=&r"(found_thread)
            : [number] "i"(SYSTEM_thread_yield), [first] "r"(first), [last] "r"(last), [control] "r"(control),
              [status] "r"(status), [thread] "r"(thread)
            : "x0", "x1", "x8", "v0", "v8", "v31", "memory");
        if (found_first != first || found_last != last || found_control != control || found_status != status ||
            found_thread != thread)
            return false;
    }
    return true;
}

/* ---- The cases -----------------------------------------------------------------------------------------------------
 */

const struct a_case cases[] = {
    CASE(read_cache_type),
    CASE(read_counter),
    CASE(wait_for_event),
    CASE(clear_line),
    CASE(read_scratch),
    CASE(keep_registers),
    CASE(wait_for_interrupt),
    CASE(mask_interrupts),
    CASE(read_control),
    CASE(read_physical_counter),
    CASE(read_timer),
    CASE(read_cycles),
    CASE(clean_cache),
    CASE(invalidate_code),
    CASE(flush_translations),
    CASE(call_hypervisor),
    CASE(call_firmware),
    CASE(return_from_exception),
    CASE(call_one),
    CASE(breakpoint),
    CASE(no_instruction),
    CASE(use_sve),
    CASE(use_sme),
    CASE(sign),
    CASE(misalign_code),
    CASE(read_nothing),
    CASE(read_kernel),
    CASE(read_physmap),
    CASE(run_kernel),
    CASE(read_beyond),
    CASE(read_tagged),
    CASE(write_code),
    CASE(run_stack),
    {NULL, NULL},
};
