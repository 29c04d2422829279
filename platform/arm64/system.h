/*
 * system.h: system registers, barriers, and access to device registers. For C and for assembly.
 *
 * Registers that assemblers of ARMv8.0 do not know by name go by their encoding S<op0>_<op1>_C<n>_C<m>_<op2>
 * [Arm ARM DDI 0487 §C5.1.2].
 */
#ifndef SYSTEM_H
#define SYSTEM_H

/* SCTLR_EL1: what is one in every kernel of ours [Arm ARM §D17.2.118]. SPAN (23) stays zero: PAN is set at each
 * exception; it is reserved, as one, where there is no PAN. User mode may clear cache lines (DC ZVA), read how long
 * they are (CTR_EL0) and wait for an event (WFE), which an interrupt ends; all else that it could be let do is zero:
 * maintain caches, stop the CPU (WFI), mask interrupts, use what we do not save. */
#define SCTLR_MMU        (1 << 0)
#define SCTLR_CACHE      (1 << 2)
#define SCTLR_STACK_EL1  (1 << 3)
#define SCTLR_STACK_EL0  (1 << 4)
#define SCTLR_CODE_CACHE (1 << 12)
#define SCTLR_ZERO_EL0   (1 << 14)
#define SCTLR_TYPE_EL0   (1 << 15)
#define SCTLR_EVENT_EL0  (1 << 18)
#define SCTLR_WXN        (1 << 19)
#define SCTLR_SPAN       (1 << 23)
#define SCTLR_RESERVED   (1 << 7 | 1 << 8 | 1 << 11 | 1 << 20 | 1 << 22 | 1 << 28 | 1 << 29)
#define SCTLR_KERNEL                                                                                                   \
    (SCTLR_RESERVED | SCTLR_MMU | SCTLR_CACHE | SCTLR_STACK_EL1 | SCTLR_STACK_EL0 | SCTLR_CODE_CACHE | SCTLR_WXN |     \
     SCTLR_ZERO_EL0 | SCTLR_TYPE_EL0 | SCTLR_EVENT_EL0)

/* TCR_EL1 [Arm ARM §D17.2.139]: both halves 48 bits, 4 KiB pages, walks through inner-shareable write-back caches.
 * ASID_16: identifiers of spaces have 16 bits, not 8. UPPER_KERNEL: whatever user mode tries in the upper half fails
 * without a look at the tables or at what is remembered of them. */
#define TCR_SIZES              (16 << 0 | 16 << 16)
#define TCR_LOWER_OFF          (1 << 7)
#define TCR_LOWER_WALKS        (1 << 8 | 1 << 10 | 3 << 12)
#define TCR_UPPER_WALKS        (1 << 24 | 1 << 26 | 3 << 28)
#define TCR_UPPER_4KIB         0x80000000
#define TCR_IPS_SHIFT          32
#define TCR_IPS_48_BITS        5
#define TCR_ASID_16_SHIFT      36
#define TCR_UPPER_KERNEL_SHIFT 56

/* MAIR_EL1: index 0 is memory, write-back; index 1 is devices, nGnRnE: ECAM may not acknowledge writes early
 * [PCI Firmware Specification 3.3 §4.1], and one kind of device memory is enough. */
#define MAIR_KERNEL 0x00ff

#ifndef __ASSEMBLER__

#include <stdbool.h>
#include <stdint.h>

#define system_read(name)                                                                                              \
    __extension__({                                                                                                    \
        uint64_t system_value;                                                                                         \
        __asm__ volatile("mrs %0, " #name : "=r"(system_value));                                                       \
        system_value;                                                                                                  \
    })
#define system_write(name, value) __asm__ volatile("msr " #name ", %0" ::"r"((uint64_t)(value)) : "memory")

static inline void barrier_instructions(void)
{
    __asm__ volatile("isb" ::: "memory");
}

/* Bits shift..shift+3 of an identification register. */
static inline unsigned system_field(uint64_t value, unsigned shift)
{
    return value >> shift & 15;
}

/* Device registers: one plain load or store each. A hypervisor that emulates the device cannot decode the
 * forms with write-back or of two registers that a compiler may choose. */
static inline uint32_t register_read32(const volatile void *base, uint32_t offset)
{
    uint32_t value;
    __asm__ volatile("ldr %w0, [%1]" : "=r"(value) : "r"((uintptr_t)base + offset) : "memory");
    return value;
}

static inline void register_write32(volatile void *base, uint32_t offset, uint32_t value)
{
    __asm__ volatile("str %w0, [%1]" ::"r"(value), "r"((uintptr_t)base + offset) : "memory");
}

static inline void register_write16(volatile void *base, uint32_t offset, uint16_t value)
{
    __asm__ volatile("strh %w0, [%1]" ::"r"((uint32_t)value), "r"((uintptr_t)base + offset) : "memory");
}

static inline uint64_t register_read64(const volatile void *base, uint32_t offset)
{
    uint64_t value;
    __asm__ volatile("ldr %x0, [%1]" : "=r"(value) : "r"((uintptr_t)base + offset) : "memory");
    return value;
}

static inline void register_write64(volatile void *base, uint32_t offset, uint64_t value)
{
    __asm__ volatile("str %x0, [%1]" ::"r"(value), "r"((uintptr_t)base + offset) : "memory");
}

static inline uint8_t register_read8(const volatile void *base, uint32_t offset)
{
    uint8_t value;
    __asm__ volatile("ldrb %w0, [%1]" : "=r"(value) : "r"((uintptr_t)base + offset) : "memory");
    return value;
}

static inline void register_write8(volatile void *base, uint32_t offset, uint8_t value)
{
    __asm__ volatile("strb %w0, [%1]" ::"r"((uint32_t)value), "r"((uintptr_t)base + offset) : "memory");
}

#endif
#endif
