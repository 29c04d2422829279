/*
 * cpu.h: what the kernel asks of the processor it runs on.
 */
#ifndef PLATFORM_CPU_H
#define PLATFORM_CPU_H

#include <vmos/abi.h>
#include <lib/printf.h>

/* Per-CPU data, reached through one register (GS base, TPIDR_EL1, tp). Index 0 is the boot CPU. */
struct cpu {
    struct cpu *self;
    uint32_t index;
    uint64_t hardware_id;
    uint32_t interrupt_depth; /* >0 while an interrupt handler runs */
    uint64_t stack_guard, stack_top;
    uint64_t idle_ns, interrupts;
};
struct cpu *cpu_local(void);

/* Installs per-CPU data for this CPU and turns on the protections it has (NX, SMEP, SMAP, UMIP; PAN;
 * SUM off). Called first thing in kernel_main for the boot CPU. */
void cpu_init(struct cpu *cpu);

/* Model, features in use and features absent, as "key: value" lines for the console. */
void cpu_report(struct printer *printer);

/* Disables interrupts on this CPU; the result goes to cpu_interrupts_restore. They nest. */
uintptr_t cpu_interrupts_disable(void);
void cpu_interrupts_restore(uintptr_t saved);
void cpu_interrupts_enable(void);
bool cpu_interrupts_enabled(void);

/* Called with interrupts disabled: enables them and sleeps until one arrives, with no window in which
 * one could slip between; returns with interrupts disabled, that interrupt handled. */
void cpu_sleep(void);

void cpu_relax(void); /* in a spin loop */

/* Stops this CPU for good, interrupts off. */
_Noreturn void cpu_halt(void);

/* 64 random bits from RDSEED/RDRAND, RNDR or Zkr's seed; false when there is none or it fails. */
bool cpu_random(uint64_t *value);

/* Reads a register of 1, 2 or 4 bytes, naturally aligned, that may not be there: false where the access aborts, which
 * on arm64 and rv64 it can. */
bool cpu_probe_read(const volatile void *address, unsigned width, uint32_t *value);

/* Ends the machine. Each tries what `machine_power` and the platform offer, in a fallback chain, and
 * returns only when nothing worked. `failed` is told as exit status where the machine can. */
struct machine;
void cpu_power_off(const struct machine *machine, bool failed);
void cpu_reset(const struct machine *machine);

/* Saved state at a trap, printed by panic; layout in trap.S. */
struct trap_frame;
void trap_report(const struct trap_frame *frame, struct printer *printer);
uintptr_t trap_instruction(const struct trap_frame *frame);
uintptr_t trap_frame_pointer(const struct trap_frame *frame);
uintptr_t cpu_frame_pointer(void);
/* Frame records: *frame -> next frame pointer and return address; false at the end or outside the stack. */
bool trap_unwind(uintptr_t *frame_pointer, uintptr_t *return_address);

/* kernel/panic.c; `frame` may be NULL. */
_Noreturn void panic_at(const struct trap_frame *frame, const char *format, ...) __attribute__((format(printf, 2, 3)));
#define panic(...) panic_at(NULL, __VA_ARGS__)

#endif
