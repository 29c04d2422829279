/* arch.c: x87, MMX and SSE, as fxsave has them [SDM vol. 1 §10.5.1]. */
#include "registers.h"

#include <lib/string.h>
#include <vmos/system.h>

enum { CONTROL = 0, TAG = 4, MXCSR = 24, MXCSR_MASK = 28, FIRST_X87 = 32, FIRST_XMM = 160, END = 416 };

void registers_hold(const void *from, void *to, uint64_t rounds)
{
    __asm__ volatile("fxrstor64 (%[from])\n"
                     "1: dec %[rounds]\n"
                     "jns 1b\n"
                     "fxsave64 (%[to])\n"
                     "emms\n"
                     : [rounds] "+r"(rounds)
                     : [from] "r"(from), [to] "r"(to)
                     : "memory", "cc", "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8", "xmm9",
                       "xmm10", "xmm11", "xmm12", "xmm13", "xmm14", "xmm15");
    memcpy((uint8_t *)to + MXCSR_MASK, (const uint8_t *)from + MXCSR_MASK, 4);
}

void registers_pattern(void *to, uint64_t seed)
{
    uint8_t *at = to;
    const uint16_t control = 0x037f;
    const uint32_t mxcsr = 0x1f80 | (uint32_t)(seed & 0x6000);

    memset(at, 0, REGISTERS_SPACE);
    memcpy(at + CONTROL, &control, sizeof control);
    at[TAG] = 0xff; /* all eight are in use */
    memcpy(at + MXCSR, &mxcsr, sizeof mxcsr);
    for (unsigned i = 0; i < 8; i++)
        for (unsigned byte = 0; byte < 10; byte++)
            at[FIRST_X87 + 16 * i + byte] = (uint8_t)(seed >> (byte % 8 * 8)) ^ (uint8_t)i;
    for (unsigned byte = FIRST_XMM; byte < END; byte++)
        at[byte] = (uint8_t)((seed >> (byte % 8 * 8)) + byte);
}

__asm__(".section .text.registers_entry, \"ax\"\n"
        ".global registers_entry\n"
        "registers_entry:\n"
        "fxsave64 (%rdi)\n"
        "call system_thread_exit\n"
        "ud2\n"
        ".text\n");

int registers_fresh(const void *stored)
{
    const uint8_t *at = stored;
    uint32_t mxcsr;

    memcpy(&mxcsr, at + MXCSR, sizeof mxcsr);
    for (unsigned byte = FIRST_X87; byte < END; byte++)
        if (at[byte] != 0 && (byte >= FIRST_XMM || byte % 16 < 10)) /* the rest of an x87 register's place is nothing */
            return 0;
    return mxcsr == 0x1f80 && at[TAG] == 0 && at[CONTROL] == 0x7f && at[CONTROL + 1] == 0x03;
}
