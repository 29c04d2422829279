/*
 * calls.c: the system calls' instructions, one function for each of SYSTEM_CALLS (vmos/system.h). Arguments and results
 * are where C has them, but for the fourth argument: syscall itself uses rcx.
 */
#include <vmos/abi.h>

#define STUB(number, name, arguments) ENTER(#number, "system_" #name)
#define ENTER(number, name)                                                                                            \
    __asm__(".section .text." name ", \"ax\"\n"                                                                        \
            ".global " name "\n"                                                                                       \
            ".type " name ", %function\n" name ":\n" ENTER_INSTRUCTIONS(number) ".size " name ", . - " name "\n"       \
                                                                                ".text\n");
#define ENTER_INSTRUCTIONS(number) "mov $" number ", %eax\n mov %rcx, %r10\n syscall\n ret\n"

SYSTEM_CALLS(STUB)

/* The number comes first, as if it were an argument. */
__asm__(".section .text.system_call, \"ax\"\n"
        ".global system_call\n"
        ".type system_call, %function\n"
        "system_call:\n"
        "mov %rdi, %rax\n mov %rsi, %rdi\n mov %rdx, %rsi\n mov %rcx, %rdx\n mov %r8, %r10\n mov %r9, %r8\n"
        "mov 8(%rsp), %r9\n syscall\n ret\n"
        ".size system_call, . - system_call\n"
        ".text\n");
