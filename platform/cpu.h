/*
 * cpu.h: what the kernel asks of the processor it runs on.
 */
#ifndef PLATFORM_CPU_H
#define PLATFORM_CPU_H

#include <vmos/abi.h>
#include <lib/printf.h>
#include <platform/lock.h>

struct machine;
struct timer;
struct user_context;

enum { CPU_MAX = 64 }; /* further ones are left alone */

struct timer_queue { /* clock.c's; the timers that this CPU has started */
    struct lock lock;
    struct timer *first;
    const struct timer *firing;
    uint64_t alarms, early_alarms;
};

/* Per-CPU data, reached through one register (GS base, TPIDR_EL1, tp). Index 0 is the boot CPU. All but what is
 * marked is written by its own CPU only. */
struct cpu {
    struct cpu *self;
    uint32_t index;
    uint64_t hardware_id;
    uint32_t interrupt_depth; /* >0 while an interrupt handler runs */
    uint64_t stack_guard, stack_top;
    uint64_t exception_stack, exception_stack_top; /* for what must not or cannot use the other */
    struct user_context *context;                  /* user.h: what runs, or ran last, in user mode here */
    uintptr_t user_stack;                          /* ARCH/user.c: the kernel's stack pointer while user mode runs */
    void *scheduler;                               /* kernel/process/thread.h */
    uintptr_t user_scratch;                        /* ARCH/user.S: a register's worth, while one is needed */
    bool lending;       /* user mode may run, or this CPU is about to sleep: ipi_wake interrupts */
    bool kernel_wanted; /* an interrupt was the kernel's own thread's, which user mode makes room for */
    uint64_t idle_ns, idle_ticks, interrupts, ipis_taken;
    uint64_t asleep_since_ns; /* while `sleeping` */
    uint32_t places_held;     /* lock.h */
    uint32_t dispatching;     /* interrupt.c: the route whose handlers run, + 1 */
    bool sleeping, stopped;
    bool woken;              /* ipi.c; set by others */
    uint32_t ipis;           /* ipi.c; a bit for each enum ipi, set by others */
    uint32_t flushes_wanted; /* ipi.c; counted up by others */
    uint32_t flushes_done;
    struct timer_queue timers;   /* also for others, by its lock */
    void *arch;                  /* what ARCH keeps for this CPU */
    void *controller;            /* what the interrupt controllers keep for it */
    uint32_t start;              /* kernel/smp.c: enum start_state */
    void (*call)(void *context); /* smp_call */
    void *call_context;
    uint32_t call_state;
    void *trace;                             /* kernel/trace.h: what it has recorded; NULL: nothing */
    uint64_t traced;                         /* how many events, ever */
    uint64_t start_counter, arrival_counter; /* the boot CPU's when it started this one, and this one's */
};
struct cpu *cpu_local(void);

/* Those that run: indices from 0 to cpu_count() - 1. Before the first cpu_add, one: the boot CPU, without an index. */
unsigned cpu_count(void);
struct cpu *cpu_at(unsigned index);
/* Gives it the next index. The boot CPU first; only the boot CPU adds. */
void cpu_add(struct cpu *cpu);

/* ---- Starting the others, ARCH/start.c ------------------------------------------------------------------------- */

/* Once, before the first cpu_start; false, and a sentence, when this machine's others cannot be started. */
bool cpu_start_prepare(const struct machine *machine);
/* Has the CPU with cpu->hardware_id come to smp_arrive(cpu) on its stack; returns at once. NULL, or why it will not. */
const char *cpu_start(struct cpu *cpu);
/* `all`: every one that was started has come, and nothing that start has set up is needed any more. */
void cpu_start_done(bool all);
/* What ARCH keeps for a CPU; false: no memory. By the boot CPU. */
bool cpu_start_allocate(struct cpu *cpu);
/* kernel/smp.c: where a CPU that was started comes to; interrupts off. */
_Noreturn void smp_arrive(struct cpu *cpu);

/* ---- This CPU --------------------------------------------------------------------------------------------------- */

/* Installs per-CPU data for this CPU and turns on the protections it has (NX, SMEP, SMAP, UMIP; PAN;
 * SUM off). Called first thing in kernel_main for the boot CPU,
 * and in smp_arrive for the others. */
void cpu_init(struct cpu *cpu);

/* Model, features in use and features absent, as "key: value" lines for the console. */
void cpu_report(struct printer *printer);

/* Disables interrupts on this CPU; the result goes to cpu_interrupts_restore. They nest. */
uintptr_t cpu_interrupts_disable(void);
void cpu_interrupts_restore(uintptr_t saved);
void cpu_interrupts_enable(void);
bool cpu_interrupts_enabled(void);
/* Called with interrupts disabled: those that wait are taken now; returns with interrupts disabled. */
void cpu_interrupts_take(void);

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
void cpu_power_off(const struct machine *machine, bool failed);
void cpu_reset(const struct machine *machine);

/* Saved state at a trap, printed by panic; layout in trap.S. */
struct trap_frame;
void trap_report(const struct trap_frame *frame, struct printer *printer);
uintptr_t trap_instruction(const struct trap_frame *frame);
uintptr_t trap_frame_pointer(const struct trap_frame *frame);
/* The return address of the last call, where the CPU has left it (the link register), or 0. */
uintptr_t trap_link(const struct trap_frame *frame);
/* Frame records: *frame -> next frame pointer and return address; false at the end or outside the stack. */
bool trap_unwind(uintptr_t *frame_pointer, uintptr_t *return_address);

/* kernel/panic.c; `frame` may be NULL. */
_Noreturn void panic_at(const struct trap_frame *frame, const char *format, ...) __attribute__((format(printf, 2, 3)));
#define panic(...) panic_at(NULL, __VA_ARGS__)

#endif
