/*
 * umode.c: what user mode may do on rv64, and what it may not, a process for each case (each_case.h).
 * test_rv64_user.py knows what must become of each.
 */
#include "each_case.h"

enum { ROUNDS = 2000 };

#define DEED(name, ...)                                                                                                \
    static void name(void)                                                                                             \
    {                                                                                                                  \
        __asm__ volatile(__VA_ARGS__ ::: "a0", "a1", "memory");                                                        \
    }

/* Allowed. */
DEED(read_time, "rdtime a0")
DEED(fetch_anew, "fence.i")
DEED(misalign_data, "addi a0, sp, -31\n\tsd a0, 0(a0)\n\tld a0, 0(a0)")
/* For nobody but the kernel, or for nobody. */
DEED(wait_for_interrupt, "wfi")
DEED(return_from_trap, "sret")
DEED(flush_translations, "sfence.vma")
DEED(read_status, "csrr a0, sstatus")
DEED(write_root, "csrw satp, zero")
DEED(read_cycles, "rdcycle a0")
DEED(read_instructions, "rdinstret a0")
DEED(read_seed, ".word 0x01501573")          /* csrrw a0, seed, zero */
DEED(zero_block, ".word 0x0041200f")         /* cbo.zero (sp) */
DEED(set_vector, ".word 0x0d007057")         /* vsetvli zero, zero, e32, m1 */
DEED(read_vector_length, ".word 0xc2202573") /* csrr a0, vlenb */
DEED(breakpoint, "ebreak")
DEED(no_instruction, ".word 0")
DEED(read_nothing, "li a0, 16\n\tld a0, 0(a0)")
DEED(read_kernel, "li a0, 0xffffffff80000000\n\tld a0, 0(a0)")
DEED(write_physmap, "li a0, 0xffffffc080300000\n\tsd a0, 8(a0)")
DEED(run_kernel, "li a0, 0xffffffff80000000\n\tjr a0")
DEED(read_beyond, "li a0, 0x4000000000\n\tld a0, 0(a0)")
DEED(write_code, "lla a0, .\n\tsd a0, 0(a0)")
DEED(run_stack, "jr sp")

/* ---- Registers that are switched -----------------------------------------------------------------------------------
 */

static bool keeps(uint64_t pattern)
{
    uint64_t first = pattern, last = ~pattern, rounding = pattern & 3, thread = pattern;
    uint64_t found_first, found_last, found_rounding, found_thread, own;

    for (unsigned i = 0; i < ROUNDS; i++) {
        __asm__ volatile("mv %[own], tp\n\tmv tp, %[thread]\n\tmv t3, %[last]\n\tmv gp, %[first]\n\t"
                         "fmv.d.x f0, %[first]\n\tfmv.d.x f31, %[last]\n\tfsrm %[rounding]\n\t"
                         "li a7, %[number]\n\tecall\n\t"
                         "fmv.x.d %[found_first], f0\n\tfmv.x.d %[found_last], f31\n\tfrrm %[found_rounding]\n\t"
                         "xor t3, t3, %[last]\n\txor gp, gp, %[first]\n\tor t3, t3, gp\n\t"
                         "add %[found_first], %[found_first], t3\n\tmv %[found_thread], tp\n\tmv tp, %[own]"
                         : [found_first] "=&r"(found_first), [found_last] "=&r"(found_last),
                           [found_rounding] "=&r"(found_rounding), [found_thread] "=&r"(found_thread), [own] "=&r"(own)
                         : [number] "i"(SYSTEM_thread_yield), [first] "r"(first), [last] "r"(last),
                           [rounding] "r"(rounding), [thread] "r"(thread)
                         : "a0", "a1", "a7", "t3", "f0", "f31", "memory");
        if (found_first != first || found_last != last || found_rounding != rounding || found_thread != thread)
            return false;
    }
    return true;
}

/* ---- Copies --------------------------------------------------------------------------------------------------------
 */

/* The kernel reads the text: not where the process may not read, nor where nothing is. */
static void lend_bad_pointers(void)
{
    const uintptr_t bad[] = {0,          0x10000, 0xffffffff80000000, 0xffffffc080300000, 0x4000000000, 0x3ffffffff8,
                             UINTPTR_MAX};
    uint64_t taken;

    for (unsigned i = 0; i < sizeof bad / sizeof bad[0]; i++)
        if (vmos_console_write(start_handle("console"), (const char *)bad[i], 16, &taken) == STATUS_OK)
            exit(CODE_WRONG);
}

const struct a_case cases[] = {
    CASE(read_time),         CASE(fetch_anew),
    CASE(misalign_data),     CASE(keep_registers),
    CASE(lend_bad_pointers), CASE(wait_for_interrupt),
    CASE(return_from_trap),  CASE(flush_translations),
    CASE(read_status),       CASE(write_root),
    CASE(read_cycles),       CASE(read_instructions),
    CASE(read_seed),         CASE(zero_block),
    CASE(set_vector),        CASE(read_vector_length),
    CASE(breakpoint),        CASE(no_instruction),
    CASE(read_nothing),      CASE(read_kernel),
    CASE(write_physmap),     CASE(run_kernel),
    CASE(read_beyond),       CASE(write_code),
    CASE(run_stack),         {NULL, NULL},
};
