/*
 * calls.c: the system calls' instructions, one function for each of SYSTEM_CALLS (vmos/system.h). Arguments and results
 * are where C has them.
 */
#include <vmos/abi.h>

#define STUB(number, name, arguments) ENTER(#number, "system_" #name)
#define ENTER(number, name)                                                                                            \
    __asm__(".section .text." name ", \"ax\"\n"                                                                        \
            ".global " name "\n"                                                                                       \
            ".type " name ", %function\n" name ":\n" ENTER_INSTRUCTIONS(number) ".size " name ", . - " name "\n"       \
                                                                                ".text\n");
#define ENTER_INSTRUCTIONS(number) "mov x8, #" number "\n svc #0\n ret\n"

SYSTEM_CALLS(STUB)

/* The number comes first, as if it were an argument. */
__asm__(".section .text.system_call, \"ax\"\n"
        ".global system_call\n"
        ".type system_call, %function\n"
        "system_call:\n"
        "mov x8, x0\n mov x0, x1\n mov x1, x2\n mov x2, x3\n mov x3, x4\n mov x4, x5\n mov x5, x6\n svc #0\n ret\n"
        ".size system_call, . - system_call\n"
        ".text\n");
