/*
 * instructions.h: what C has no words for, and registers of devices. Host tests put their own in its place.
 */
#ifndef X64_INSTRUCTIONS_H
#define X64_INSTRUCTIONS_H

#include <stdint.h>

struct cpuid_result {
    uint32_t eax, ebx, ecx, edx;
};

/* All zeros when the CPU does not have the leaf. */
struct cpuid_result cpuid(uint32_t leaf, uint32_t subleaf);

static inline uint64_t msr_read(uint32_t number)
{
    uint32_t low, high;

    __asm__ volatile("rdmsr" : "=a"(low), "=d"(high) : "c"(number) : "memory");
    return (uint64_t)high << 32 | low;
}

static inline void msr_write(uint32_t number, uint64_t value)
{
    __asm__ volatile("wrmsr" ::"c"(number), "a"((uint32_t)value), "d"((uint32_t)(value >> 32)) : "memory");
}

static inline uint32_t register_read32(volatile const void *base, unsigned offset)
{
    return *(volatile const uint32_t *)((volatile const char *)base + offset);
}

static inline void register_write32(volatile void *base, unsigned offset, uint32_t value)
{
    *(volatile uint32_t *)((volatile char *)base + offset) = value;
}

#endif
