/*
 * local.h: what the files of platform/arm64 tell each other.
 */
#ifndef LOCAL_H
#define LOCAL_H

#include <system.h>

#include <vmos/machine.h>
#include <platform/boot.h>
#include <platform/cpu.h>

/* early.c; called by boot.S. What boot.S writes into the translation registers. */
struct boot_translation {
    uint64_t kernel_root, identity_root, control;
};
extern struct boot_translation boot_translation;
extern struct boot_info boot_information;
void boot_early(uint64_t argument, uint64_t counter, uint64_t level, enum boot_protocol protocol);

/* boot.S: the code that has to be mapped where it lies, within one page */
extern char boot_switch[];
/* secondary.S */
extern char secondary_entry[];

/* cpu.c: what TPIDR_EL1 points at until cpu_init() */
extern struct cpu boot_local;

/* trap.S */
extern char trap_vectors[], trap_stack_bottom[], trap_stack_top[]; /* the boot CPU's emergency stack */

/* start.c: PSCI, and all that goes the same way, by the machine's conduit; -1, which is its NOT_SUPPORTED, when there
 * is none. psci_init: once the machine is known. */
void psci_init(const struct machine *machine);
int64_t psci(uint64_t function, uint64_t first, uint64_t second, uint64_t third);

/* trap.S: reads a register that may not be there; false when the bus says so. */
bool probe_read8(const volatile void *address, uint32_t *value);
bool probe_read16(const volatile void *address, uint32_t *value);
bool probe_read32(const volatile void *address, uint32_t *value);
/* trap.S: calls to whoever runs below us; -1, which is PSCI's NOT_SUPPORTED, when the instruction does not exist. */
int64_t call_hypervisor(uint64_t function, uint64_t first, uint64_t second, uint64_t third);
int64_t call_monitor(uint64_t function, uint64_t first, uint64_t second, uint64_t third);
/* trap.S: returns only when nobody listens. */
void call_semihosting(uint32_t operation, const uint64_t *argument);

/* trap.S: the copies of user.h, once the address has been checked and the size is not 0. */
bool copy_from_user(void *to, uintptr_t from, size_t size);
bool copy_to_user(uintptr_t to, const void *from, size_t size);

/* user.S: the floating-point and SIMD registers of struct user_context. */
void user_extended_save(void *extended);
void user_extended_load(const void *extended);
/* trap.c; called by user.S: a trap from user mode that is no system call. With which context it goes on, or NULL. */
struct user_context *trap_user_fault(struct user_context *context);
struct user_context *trap_user_interrupt(struct user_context *context);

/* mmu.c; called once by user_init. */
void mmu_spaces_init(void);

/* cpu.c: what is known of this CPU's model. */
enum {
    MODEL_READS_AHEAD = 1 << 0, /* Meltdown */
    MODEL_IN_ORDER = 1 << 1
}; /* a wrong guess leaves no trace */
struct cpu_model {
    uint8_t implementer;
    uint16_t part;
    const char *name;
    uint8_t history; /* branches that overwrite its branch history, where it must be */
    uint8_t flags;
};
const struct cpu_model *cpu_model(void);

/* speculation.c; called by user_init and user_init_cpu. */
void speculation_init(void);
void speculation_init_cpu(void);
void speculation_report(struct printer *printer);

/* trap.c; called by trap.S with interrupts disabled. `vector`: VECTOR_ of trap_frame.h. */
void trap_handle(struct trap_frame *frame, uint64_t vector);

/* syndrome.c: what ESR_EL1 and FAR_EL1 say, as a phrase. */
void syndrome_describe(uint64_t syndrome, uint64_t address, char *text, size_t size);
/* The same for an exception that user mode has caused. */
struct user_fault;
struct user_fault syndrome_user_fault(uint64_t syndrome, uint64_t address);
bool syndrome_is_call(uint64_t syndrome); /* svc, with whatever number */

/* interrupt.c: takes what the GIC has for this CPU. */
void controller_interrupt(void);

/* mmu.c: writes the caches' view of these bytes back to memory. */
void cache_clean(const void *start, size_t size);

#endif
