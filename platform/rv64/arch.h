/* arch.h: what differs between CPUs and must be known when compiling. */
#ifndef ARCH_H
#define ARCH_H

#include <stdint.h>

#define ARCH_NAME    "rv64"
#define MMU_LEVELS   3
#define IMAGE_BASE   UINT64_C(0xffffffff80000000)
#define PHYSMAP_BASE UINT64_C(0xffffffc000000000)
#define PHYSMAP_SIZE (UINT64_C(128) << 30)
#define DEVICE_BASE  UINT64_C(0xfffffff000000000)
#define DEVICE_SIZE  (UINT64_C(32) << 30)
#define USER_TOP     (UINT64_C(1) << 38)
#define ARCH_MACHINE 243   /* e_machine of its programs [ELF gABI, "ELF Header"] */
#define ARCH_RECORD  (-16) /* from a frame pointer to the caller's and the return address */

/* How EFI firmware is called, and whether it must be asked on which CPU it runs. */
#define ARCH_EFI_CALL
#define ARCH_EFI_ASKS_FOR_HART 1

/* Ordering between the CPU and a device that reads and writes memory coherently. */
static inline void arch_barrier_full(void)
{
    __asm__ volatile("fence iorw, iorw" ::: "memory");
}

static inline void arch_barrier_read(void)
{
    __asm__ volatile("fence ir, ir" ::: "memory");
}

#endif
