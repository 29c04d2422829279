/* bench_arch.h: the counter that both systems let user mode read, and a loop of which it is known how long it is. */
#ifndef BENCH_ARCH_H
#define BENCH_ARCH_H

#include <stdint.h>

static inline uint64_t bench_counter(void)
{
    uint32_t low, high;

    __asm__ volatile("rdtsc" : "=a"(low), "=d"(high)::"memory");
    return (uint64_t)high << 32 | low;
}

/* Two instructions for each of `count`. */
static inline void bench_spin(uint64_t count)
{
    __asm__ volatile("1: dec %0\n\tjnz 1b" : "+r"(count)::"memory", "cc");
}

#endif
