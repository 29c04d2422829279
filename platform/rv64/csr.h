/*
 * csr.h: control and status registers that vmos uses [RISC-V Privileged Architecture 1.12 §2.2, §4.1].
 *
 * Numbers rather than names where the assembler does not know them yet.
 */
#ifndef CSR_H
#define CSR_H

#define SSTATUS_SIE  (1 << 1)
#define SSTATUS_SPIE (1 << 5)
#define SSTATUS_SPP  (1 << 8)
#define SSTATUS_VS   (3 << 9)
#define SSTATUS_FS   (3 << 13)
#define SSTATUS_SUM  (1 << 18)
#define SSTATUS_MXR  (1 << 19)

#define SSTATUS_FS_INITIAL (1 << 13)
#define SSTATUS_FS_CLEAN   (2 << 13)
#define SSTATUS_FS_DIRTY   (3 << 13)

#define COUNTER_TIME (1 << 1) /* in scounteren [§4.1.5] */

#define INTERRUPT_SOFTWARE 1 /* bit numbers in sie and sip, and causes */
#define INTERRUPT_TIMER    5
#define INTERRUPT_EXTERNAL 9

#define SATP_SV39       8 /* in the mode field, bits 63:60 */
#define SATP_MODE_SHIFT 60
#define SATP_ASID_SHIFT 44
#define SATP_ASID_BITS  16 /* at most */

#define CSR_SEED      0x015 /* Zkr [RISC-V Cryptography Extensions 1.0.1 §4.1] */
#define CSR_SENVCFG   0x10a /* [§4.1.10] */
#define CSR_SSTATEEN0 0x10c /* Smstateen [RISC-V State Enable Extension 1.0 §2] */
#define CSR_STIMECMP  0x14d /* Sstc [RISC-V "stimecmp / vstimecmp" Extension 1.0 §2] */
#define CSR_SISELECT  0x150 /* Ssaia [RISC-V AIA 1.0 §2.3] */
#define CSR_SIREG     0x151
#define CSR_STOPEI    0x15c

#ifndef __ASSEMBLER__

#include <stdbool.h>
#include <stdint.h>

#define CSR_TEXT_(name) #name
#define CSR_TEXT(name)  CSR_TEXT_(name)

#define csr_read(name)                                                                                                 \
    ({                                                                                                                 \
        uint64_t csr_value_;                                                                                           \
        __asm__ volatile("csrr %0, " CSR_TEXT(name) : "=r"(csr_value_)::"memory");                                     \
        csr_value_;                                                                                                    \
    })

#define csr_write(name, value) __asm__ volatile("csrw " CSR_TEXT(name) ", %0" ::"rK"((uint64_t)(value)) : "memory")
#define csr_set(name, bits)    __asm__ volatile("csrs " CSR_TEXT(name) ", %0" ::"rK"((uint64_t)(bits)) : "memory")
#define csr_clear(name, bits)  __asm__ volatile("csrc " CSR_TEXT(name) ", %0" ::"rK"((uint64_t)(bits)) : "memory")

/* Writes `written` and gives what was there before. */
#define csr_swap(name, written)                                                                                        \
    ({                                                                                                                 \
        uint64_t csr_value_;                                                                                           \
        __asm__ volatile("csrrw %0, " CSR_TEXT(name) ", %1"                                                            \
                         : "=r"(csr_value_)                                                                            \
                         : "rK"((uint64_t)(written))                                                                   \
                         : "memory");                                                                                  \
        csr_value_;                                                                                                    \
    })

/* Runs one instruction, which may use %0 (`value`) and %2 (`input`); true when it did not trap. trap.c looks
 * traps up in .fixups and skips the instruction. */
#define try_instruction(instruction, value, input)                                                                     \
    ({                                                                                                                 \
        uint64_t try_good_;                                                                                            \
        __asm__ volatile("li %1, 0\n"                                                                                  \
                         "1: " instruction "\n"                                                                        \
                         "li %1, 1\n"                                                                                  \
                         "2:\n"                                                                                        \
                         ".pushsection .fixups, \"a\"\n"                                                               \
                         ".balign 8\n"                                                                                 \
                         ".dword 1b, 2b\n"                                                                             \
                         ".popsection\n"                                                                               \
                         : "+&r"(value), "=&r"(try_good_)                                                              \
                         : "r"((uint64_t)(input))                                                                      \
                         : "memory");                                                                                  \
        try_good_ != 0;                                                                                                \
    })

/* As csr_swap, for a register that this CPU may not have: false when the instruction trapped. */
#define csr_try_swap(name, written, read) try_instruction("csrrw %0, " CSR_TEXT(name) ", %2", *(read), written)

#endif
#endif
