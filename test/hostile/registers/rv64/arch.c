/* arch.c: f0 to f31 and fcsr. */
#include "registers.h"

#include <lib/string.h>
#include <vmos/system.h>

enum { REGISTERS = 256, CONTROL = 256, END = 264 };

#define EACH(op, base)                                                                                                 \
    op " f0, 0(" base ")\n" op " f1, 8(" base ")\n" op " f2, 16(" base ")\n" op " f3, 24(" base ")\n" op               \
       " f4, 32(" base ")\n" op " f5, 40(" base ")\n" op " f6, 48(" base ")\n" op " f7, 56(" base ")\n" op             \
       " f8, 64(" base ")\n" op " f9, 72(" base ")\n" op " f10, 80(" base ")\n" op " f11, 88(" base ")\n" op           \
       " f12, 96(" base ")\n" op " f13, 104(" base ")\n" op " f14, 112(" base ")\n" op " f15, 120(" base ")\n" op      \
       " f16, 128(" base ")\n" op " f17, 136(" base ")\n" op " f18, 144(" base ")\n" op " f19, 152(" base ")\n" op     \
       " f20, 160(" base ")\n" op " f21, 168(" base ")\n" op " f22, 176(" base ")\n" op " f23, 184(" base ")\n" op     \
       " f24, 192(" base ")\n" op " f25, 200(" base ")\n" op " f26, 208(" base ")\n" op " f27, 216(" base ")\n" op     \
       " f28, 224(" base ")\n" op " f29, 232(" base ")\n" op " f30, 240(" base ")\n" op " f31, 248(" base ")\n"

void registers_hold(const void *from, void *to, uint64_t rounds)
{
    uint64_t scratch;

    __asm__ volatile(EACH("fld", "%[from]") "ld %[scratch], 256(%[from])\n"
                                            "fscsr %[scratch]\n"
                                            "1: addi %[rounds], %[rounds], -1\n"
                                            "bgez %[rounds], 1b\n" EACH("fsd", "%[to]") "frcsr %[scratch]\n"
                                                                                        "sd %[scratch], 256(%[to])\n"
                                                                                        "fscsr zero\n"
                     : [rounds] "+r"(rounds), [scratch] "=&r"(scratch)
                     : [from] "r"(from), [to] "r"(to)
                     : "memory", "ft0", "ft1", "ft2", "ft3", "ft4", "ft5", "ft6", "ft7", "fs0", "fs1", "fa0", "fa1",
                       "fa2", "fa3", "fa4", "fa5", "fa6", "fa7", "fs2", "fs3", "fs4", "fs5", "fs6", "fs7", "fs8", "fs9",
                       "fs10", "fs11", "ft8", "ft9", "ft10", "ft11");
}

void registers_pattern(void *to, uint64_t seed)
{
    uint8_t *at = to;
    const uint64_t control = (seed & 0x1f) | (seed >> 8) % 5 << 5; /* flags, and a rounding mode that there is */

    memset(at, 0, REGISTERS_SPACE);
    for (unsigned byte = 0; byte < REGISTERS; byte++)
        at[byte] = (uint8_t)((seed >> (byte % 8 * 8)) + byte);
    memcpy(at + CONTROL, &control, sizeof control);
}

__asm__(".section .text.registers_entry, \"ax\"\n"
        ".global registers_entry\n"
        ".option push\n"
        ".option arch, +d\n"
        "registers_entry:\n" EACH("fsd", "a0") "frcsr t0\n"
                                               "sd t0, 256(a0)\n"
                                               "call system_thread_exit\n"
                                               "unimp\n"
                                               ".option pop\n"
                                               ".text\n");

int registers_fresh(const void *stored)
{
    const uint8_t *at = stored;

    for (unsigned byte = 0; byte < END; byte++)
        if (at[byte] != 0)
            return 0;
    return 1;
}
