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
#define ENTER_INSTRUCTIONS(number) "li a7, " number "\n ecall\n ret\n"

SYSTEM_CALLS(STUB)

/* The number comes first, as if it were an argument. */
__asm__(".section .text.system_call, \"ax\"\n"
        ".global system_call\n"
        ".type system_call, %function\n"
        "system_call:\n"
        "mv a7, a0\n mv a0, a1\n mv a1, a2\n mv a2, a3\n mv a3, a4\n mv a4, a5\n mv a5, a6\n ecall\n ret\n"
        ".size system_call, . - system_call\n"
        ".text\n");
