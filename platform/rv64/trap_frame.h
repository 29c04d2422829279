/*
 * trap_frame.h: what trap.S saves and trap.c reads.
 */
#ifndef TRAP_FRAME_H
#define TRAP_FRAME_H

#define FRAME_X(n)    ((n)*8 - 8) /* x1 to x31 */
#define FRAME_SEPC    248
#define FRAME_SSTATUS 256
#define FRAME_SCAUSE  264
#define FRAME_STVAL   272
/* A frame record as the compiler makes them: the backtrace of whatever runs in the handler goes on through it
 * to the interrupted code. */
#define FRAME_RECORD_POINTER 288
#define FRAME_RECORD_ADDRESS 296
#define FRAME_SIZE           304

#define CPU_STACK_GUARD         32 /* in struct cpu */
#define CPU_STACK_TOP           40
#define CPU_EXCEPTION_STACK_TOP 56
#define CPU_CONTEXT             64
#define CPU_USER_STACK          72
#define CPU_SELF                0

#ifndef __ASSEMBLER__

#include <stdint.h>

struct trap_frame {
    uint64_t x[31]; /* x[n - 1] is register xn */
    uint64_t sepc, sstatus, scause, stval;
    uint64_t unused;
    uint64_t record_pointer, record_address;
};

#endif
#endif
