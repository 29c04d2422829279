/* registers.h: ARCH/arch.c: floating point and SIMD registers, all of them, in one piece of assembly. */
#ifndef REGISTERS_H
#define REGISTERS_H

#include <stdint.h>

/* As many bytes as ARCH stores; REGISTERS_WORDS of them count. */
enum { REGISTERS_SPACE = 640 };

/* Loads all registers from `from`, does nothing for `rounds` rounds, and stores them all to `to`. */
void registers_hold(const void *from, void *to, uint64_t rounds);
/* A pattern that can be loaded: no exceptions are unmasked, no control bit is reserved. */
void registers_pattern(void *to, uint64_t seed);
/* A thread's first instructions: stores what it finds to its argument, and ends. */
void registers_entry(void);
/* Whether what a new thread found is nobody's: zeroes, and control words as they begin. */
int registers_fresh(const void *stored);

#endif
