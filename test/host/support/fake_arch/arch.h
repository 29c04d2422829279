/* arch.h of a processor that does not exist, for tests: its physmap is an ordinary mapping of the host's. */
#ifndef ARCH_H
#define ARCH_H

#include <stdint.h>

#define ARCH_NAME    "fake"
#define MMU_LEVELS   4
#define IMAGE_BASE   UINT64_C(0xffffffff80000000)
#define PHYSMAP_BASE UINT64_C(0x200000000000)
#define PHYSMAP_SIZE (UINT64_C(1) << 40)
#define DEVICE_BASE  UINT64_C(0x300000000000)
#define DEVICE_SIZE  (UINT64_C(32) << 30)
#define ARCH_MACHINE 62
#define ARCH_RECORD  0
#define USER_TOP     ((UINT64_C(1) << 47) - 4096)

/* Firmware is the test; it wants to be asked for everything. */
#define ARCH_EFI_CALL
#define ARCH_EFI_ASKS_FOR_HART 1

static inline void arch_barrier_full(void)
{
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
}

static inline void arch_barrier_read(void)
{
    __atomic_thread_fence(__ATOMIC_ACQUIRE);
}

#endif
