/* arch.h: what differs between CPUs and must be known when compiling. */
#ifndef ARCH_H
#define ARCH_H

#include <stdint.h>

#define ARCH_NAME    "x64"
#define MMU_LEVELS   4
#define IMAGE_BASE   UINT64_C(0xffffffff80000000)
#define PHYSMAP_BASE UINT64_C(0xffff800000000000)
#define PHYSMAP_SIZE (UINT64_C(64) << 40)
#define DEVICE_BASE  UINT64_C(0xffffc00000000000)
#define DEVICE_SIZE  (UINT64_C(1) << 40)
#define USER_TOP     UINT64_C(0x00007ffffffff000) /* SYSRET to the last page's end would fault in the kernel */
#define ARCH_MACHINE 62                           /* e_machine of its programs [ELF gABI, "ELF Header"] */
#define ARCH_RECORD  0                            /* from a frame pointer to the caller's and the return address */

/* How EFI firmware is called, and whether it must be asked on which CPU it runs. */
#define ARCH_EFI_CALL          __attribute__((ms_abi))
#define ARCH_EFI_ASKS_FOR_HART 0

/* Ordering between the CPU and a device that reads and writes memory coherently. */
static inline void arch_barrier_full(void)
{
    __asm__ volatile("mfence" ::: "memory");
}

static inline void arch_barrier_read(void)
{
    __asm__ volatile("lfence" ::: "memory");
}

#endif
