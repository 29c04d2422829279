/*
 * csr.h: control and status registers that vmos uses [RISC-V Privileged Architecture 1.12 §2.2, §4.1].
 *
 * Numbers rather than names where the assembler does not know them yet.
 */
#ifndef CSR_H
#define CSR_H

#define SSTATUS_SIE (1 << 1)
#define SSTATUS_SPP (1 << 8)
#define SSTATUS_VS  (3 << 9)
#define SSTATUS_FS  (3 << 13)
#define SSTATUS_SUM (1 << 18)
#define SSTATUS_MXR (1 << 19)

#define INTERRUPT_SOFTWARE 1 /* bit numbers in sie and sip, and causes */
#define INTERRUPT_TIMER    5
#define INTERRUPT_EXTERNAL 9

#define SATP_SV39       8 /* in the mode field, bits 63:60 */
#define SATP_MODE_SHIFT 60

#define CSR_SEED     0x015 /* Zkr [RISC-V Cryptography Extensions 1.0.1 §4.1] */
#define CSR_STIMECMP 0x14d /* Sstc [RISC-V "stimecmp / vstimecmp" Extension 1.0 §2] */
#define CSR_SISELECT 0x150 /* Ssaia [RISC-V AIA 1.0 §2.3] */
#define CSR_SIREG    0x151
#define CSR_STOPEI   0x15c

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

/* As csr_swap, for a register that this CPU may not have: stores what was there in *read and gives true, or
 * gives false when the instruction trapped. trap.c looks traps up in .fixups and skips the instruction. */
#define csr_try_swap(name, written, read)                                                                              \
    ({                                                                                                                 \
        uint64_t csr_value_ = 0, csr_good_;                                                                            \
        __asm__ volatile("li %1, 0\n"                                                                                  \
                         "1: csrrw %0, " CSR_TEXT(name) ", %2\n"                                                       \
                                                        "li %1, 1\n"                                                   \
                                                        "2:\n"                                                         \
                                                        ".pushsection .fixups, \"a\"\n"                                \
                                                        ".balign 8\n"                                                  \
                                                        ".dword 1b, 2b\n"                                              \
                                                        ".popsection\n"                                                \
                         : "+&r"(csr_value_), "=&r"(csr_good_)                                                         \
                         : "r"((uint64_t)(written))                                                                    \
                         : "memory");                                                                                  \
        *(read) = csr_value_;                                                                                          \
        csr_good_ != 0;                                                                                                \
    })

#endif
#endif
