/* arch.h: platform/arm64/arch.h as a host can have it, for tests of platform/arm64. */
#ifndef ARCH_H
#define ARCH_H

#include <stdint.h>

#define ARCH_NAME  "arm64"
#define MMU_LEVELS 4
#define USER_TOP   (UINT64_C(1) << 47)

static inline void arch_barrier_full(void)
{
}

static inline void arch_barrier_read(void)
{
}

#endif
