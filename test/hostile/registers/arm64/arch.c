/* arch.c: v0 to v31, FPCR and FPSR. */
#include "registers.h"

#include <lib/string.h>
#include <vmos/system.h>

enum { VECTORS = 512, FPCR = 512, FPSR = 520, END = 528 };

#define ALL(op, base)                                                                                                  \
    op " q0, q1, [" base "]\n" op " q2, q3, [" base ", #32]\n" op " q4, q5, [" base ", #64]\n" op " q6, q7, [" base    \
       ", #96]\n" op " q8, q9, [" base ", #128]\n" op " q10, q11, [" base ", #160]\n" op " q12, q13, [" base           \
       ", #192]\n" op " q14, q15, [" base ", #224]\n" op " q16, q17, [" base ", #256]\n" op " q18, q19, [" base        \
       ", #288]\n" op " q20, q21, [" base ", #320]\n" op " q22, q23, [" base ", #352]\n" op " q24, q25, [" base        \
       ", #384]\n" op " q26, q27, [" base ", #416]\n" op " q28, q29, [" base ", #448]\n" op " q30, q31, [" base        \
       ", #480]\n"
#define LOAD(base, scratch)                                                                                            \
    ALL("ldp", base)                                                                                                   \
    "ldr " scratch ", [" base ", #512]\n msr fpcr, " scratch "\n ldr " scratch ", [" base                              \
    ", #520]\n msr fpsr, " scratch "\n"
#define STORE(base, scratch)                                                                                           \
    ALL("stp", base)                                                                                                   \
    "mrs " scratch ", fpcr\n str " scratch ", [" base ", #512]\n mrs " scratch ", fpsr\n str " scratch ", [" base      \
    ", #520]\n"

void registers_hold(const void *from, void *to, uint64_t rounds)
{
    uint64_t scratch;

    __asm__ volatile(LOAD("%[from]", "%[scratch]") "1: subs %[rounds], %[rounds], #1\n"
                                                   "b.pl 1b\n" STORE("%[to]", "%[scratch]") "msr fpcr, xzr\n"
                     : [rounds] "+r"(rounds), [scratch] "=&r"(scratch)
                     : [from] "r"(from), [to] "r"(to)
                     : "memory", "cc", "v0", "v1", "v2", "v3", "v4", "v5", "v6", "v7", "v8", "v9", "v10", "v11", "v12",
                       "v13", "v14", "v15", "v16", "v17", "v18", "v19", "v20", "v21", "v22", "v23", "v24", "v25", "v26",
                       "v27", "v28", "v29", "v30", "v31");
}

/* Rounding and flush to zero, and the flags that are told; of the rest much is reserved. */
void registers_pattern(void *to, uint64_t seed)
{
    uint8_t *at = to;
    const uint64_t control = seed & UINT64_C(0x03c00000), flags = seed >> 32 & 0x1f;

    memset(at, 0, REGISTERS_SPACE);
    for (unsigned byte = 0; byte < VECTORS; byte++)
        at[byte] = (uint8_t)((seed >> (byte % 8 * 8)) + byte);
    memcpy(at + FPCR, &control, sizeof control);
    memcpy(at + FPSR, &flags, sizeof flags);
}

__asm__(".section .text.registers_entry, \"ax\"\n"
        ".global registers_entry\n"
        "registers_entry:\n" STORE("x0", "x9") "bl system_thread_exit\n"
                                               "udf #0\n"
                                               ".text\n");

int registers_fresh(const void *stored)
{
    const uint8_t *at = stored;

    for (unsigned byte = 0; byte < END; byte++)
        if (at[byte] != 0)
            return 0;
    return 1;
}
