/*
 * trap_frame.h: what trap.S saves. For assembly and for C; trap.c asserts that the two agree.
 */
#ifndef TRAP_FRAME_H
#define TRAP_FRAME_H

/* Offsets into struct trap_frame, and of members of struct cpu. */
#define FRAME_X(n)              (8 * (n))
#define FRAME_SP                248
#define FRAME_ELR               256
#define FRAME_SPSR              264
#define FRAME_ESR               272
#define FRAME_FAR               280
#define FRAME_RECORD            288
#define FRAME_SIZE              304
#define CPU_STACK_GUARD         32
#define CPU_STACK_TOP           40
#define CPU_EXCEPTION_STACK_TOP 56
#define CPU_CONTEXT             64
#define CPU_USER_STACK          72
#define CPU_SELF                0

/* The same of struct user_context, and where its extended state has FPCR and FPSR. */
#define CONTEXT_X(n)     (8 * (n))
#define CONTEXT_PC       256
#define EXTENDED_CONTROL 512
#define EXTENDED_SIZE    528

/* user_history (speculation.c) where an instruction does it. */
#define HISTORY_INSTRUCTION 0x80000000

/* USER_TOP - 1 */
#define USER_ADDRESSES 0x7fffffffffff

/* ESR_EL1 after `svc #0` [Arm ARM DDI 0487 §D17.2.37]. */
#define SYNDROME_SVC 0x56000000

/* Which of the sixteen vectors [Arm ARM §D1.3.1.5]: four from each of EL1 with SP_EL0, EL1, EL0, EL0 in AArch32. */
#define VECTOR_SYNCHRONOUS 4
#define VECTOR_INTERRUPT   5
#define VECTOR_FAST        6
#define VECTOR_SYSTEM      7
#define VECTOR_USER_SYSTEM 11
#define VECTOR_OVERFLOW    16

#ifndef __ASSEMBLER__

#include <stdint.h>

struct trap_frame {
    uint64_t x[31];
    uint64_t sp, elr, spsr, esr, far;
    uint64_t record_pointer, record_address; /* a frame record, so that a handler's backtrace goes on */
};

#endif
#endif
