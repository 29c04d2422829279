/*
 * system.h: platform/arm64/system.h as a host can have it: the test answers for system registers and devices.
 */
#ifndef SYSTEM_H
#define SYSTEM_H

#include <stdbool.h>
#include <stdint.h>

uint64_t fake_system_read(const char *name);
void fake_system_write(const char *name, uint64_t value);

#define system_read(name)         fake_system_read(#name)
#define system_write(name, value) fake_system_write(#name, value)

static inline void barrier_instructions(void)
{
}

static inline unsigned system_field(uint64_t value, unsigned shift)
{
    return value >> shift & 15;
}

uint8_t register_read8(const volatile void *base, uint32_t offset);
uint32_t register_read32(const volatile void *base, uint32_t offset);
uint64_t register_read64(const volatile void *base, uint32_t offset);
void register_write8(volatile void *base, uint32_t offset, uint8_t value);
void register_write32(volatile void *base, uint32_t offset, uint32_t value);
void register_write64(volatile void *base, uint32_t offset, uint64_t value);

#endif
