/*
 * user.h: between the kernel and what runs in user mode.
 *
 * A CPU's kernel stack belongs to the kernel's own thread on it. When that thread has nothing to do it lends the CPU to
 * user mode (user_run). Each trap from there comes back to the same stack, below that thread's frames, and calls one of
 * the three functions at the end; they say with which context the CPU goes on, or NULL: then user_run returns. So no
 * user thread owns a kernel stack, and none is ever in the middle of kernel code when another CPU ends it.
 */
#ifndef PLATFORM_USER_H
#define PLATFORM_USER_H

#include <arch.h>
#include <vmos/abi.h>

#include <user_context.h>

/*
 * ARCH/user_context.h defines `struct user_context`: the general registers as a trap saves them, the thread pointer,
 * and `void *extended`, the floating-point and SIMD state; and these, inline:
 *
 *   uint64_t user_call_number(const struct user_context *context);
 *   uint64_t user_argument(const struct user_context *context, unsigned index);         0 to 5
 *   void user_set_result(struct user_context *context, uint64_t status, uint64_t value);
 *   void user_call_again(struct user_context *context);       the call that it has just made it makes once more
 *   uintptr_t user_instruction(const struct user_context *context);
 *   uintptr_t user_stack_pointer(const struct user_context *context);
 *   uintptr_t user_frame_pointer(const struct user_context *context);
 *   uintptr_t user_link(const struct user_context *context);                             0 where there is none
 *
 * arch.h defines USER_TOP: user addresses are below it (and at or above USER_BOTTOM, 64 KiB).
 *
 * System calls, by register:    number   arguments                  status  value
 *   x64  (syscall)              rax      rdi rsi rdx r10 r8 r9      rax     rdx     rcx and r11 are lost
 *   arm64 (svc #0)              x8       x0 to x5                   x0      x1
 *   rv64  (ecall)               a7       a0 to a5                   a0      a1
 * All other registers are kept.
 */
#define USER_BOTTOM UINT64_C(0x10000)

/* ---- ARCH/user.c ------------------------------------------------------------------------------------------------- */

/* Once, by the boot CPU, before the first context is made; and on each CPU, from cpu_init. */
void user_init(void);
void user_init_cpu(void);

/* Bytes of floating-point and SIMD state, and how it is aligned (a power of two). It begins as zeroes, which
 * user_context_init makes valid. */
size_t user_extended_size(void);
enum { USER_EXTENDED_ALIGNMENT = 64 };

/* All registers zero but the entry, the stack, two arguments, and the thread pointer. `extended` must be set. */
void user_context_init(struct user_context *context, uintptr_t entry, uintptr_t stack, uint64_t first, uint64_t second);

/* Saves the extended state and thread pointer of `from` and loads those of `to`. Either may be NULL. The general
 * registers are not touched: they are in the contexts already. */
void user_switch(struct user_context *from, struct user_context *to);

/* Interrupts off. Goes on with `context` in user mode, and comes back when a trap has given NULL. */
void user_run(struct user_context *context);

/* What the CPU guesses from another process's past is dropped, where this CPU must be told (docs/security.md). */
void user_forget_predictions(void);

/* Registers of a thread that has crashed, three a line, for the log. */
struct printer;
void user_report(const struct user_context *context, struct printer *printer);

/* Copies between the kernel and the user addresses that are active on this CPU, and looks nothing up before: what is
 * not mapped so ends the copy. False: something of it could not be read or written. They check that all of it lies
 * between USER_BOTTOM and USER_TOP. */
bool user_copy_in(void *to, uintptr_t from, size_t size);
bool user_copy_out(uintptr_t to, const void *from, size_t size);

/* ---- Spaces: ARCH/mmu.c --------------------------------------------------------------------------------------------
 */

/* How many address-space identifiers the CPU tells apart, 0 included, which is nobody's own: whoever uses 0 is flushed
 * at each switch. 1: none but 0. */
unsigned mmu_identifier_count(void);
/* Prepares the zeroed top table of a new space: where the kernel's half hangs in it, it is put there. */
void mmu_space_init(uint64_t root);
/* This CPU's user half becomes this one; root 0: none, the kernel's own. With identifier 0 what is remembered of user
 * addresses is dropped. */
void mmu_space_activate(uint64_t root, unsigned identifier);
/* Drops all that is remembered for the identifier, on this CPU and on those of `cpus` (a bit each); waits for them. One
 * caller at a time. False, and a sentence: one of them did not answer. */
bool mmu_space_flush(unsigned identifier, uint64_t cpus);
/* What was written to these pages as data will be run as code, on any CPU. */
void mmu_code_written(void *start, size_t size);

/* ---- What the kernel does with a trap from user mode: kernel/process/trap.c ----------------------------------------
 */

enum user_fault_kind {
    USER_FAULT_READ,
    USER_FAULT_WRITE,
    USER_FAULT_EXECUTE,
    USER_FAULT_OTHER, /* `what` says it all */
};

struct user_fault {
    enum user_fault_kind kind;
    uintptr_t address; /* that could not be accessed */
    bool mapped;       /* something is there, but not for this */
    const char *what;  /* "invalid instruction", "division by zero", ...; a constant */
};

/* Interrupts off. The context is the one that trapped; what is returned is loaded as user_run does, without a
 * user_switch. user_interrupted: ARCH has handled the interrupt. */
struct user_context *user_called(struct user_context *context);
struct user_context *user_interrupted(struct user_context *context);
struct user_context *user_faulted(struct user_context *context, const struct user_fault *fault);

#endif
