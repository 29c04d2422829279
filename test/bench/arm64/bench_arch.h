/* bench_arch.h: the counter that both systems let user mode read, and a loop of which it is known how long it is. */
#ifndef BENCH_ARCH_H
#define BENCH_ARCH_H

#include <stdint.h>

static inline uint64_t bench_counter(void)
{
    uint64_t value;

    __asm__ volatile("mrs %0, cntvct_el0" : "=r"(value)::"memory");
    return value;
}

/* Two instructions for each of `count`. */
static inline void bench_spin(uint64_t count)
{
    __asm__ volatile("1: subs %0, %0, #1\n\tb.ne 1b" : "+r"(count)::"memory", "cc");
}

#endif
