/*
 * user.c: user mode on this hart: what it may use, what its traps mean, and its floating-point state. The way in and
 * out is in user.S.
 *
 * sstatus.FS is on for user programs on a CPU with double-precision floating point, and never touched by the kernel's
 * own code; it tells whether the registers were written since they were loaded. VS, SUM and MXR are off.
 */
#include "local.h"
#include "trap_frame.h"

#include <lib/log.h>
#include <lib/string.h>
#include <platform/mmu.h>
#include <platform/user.h>

_Static_assert(offsetof(struct user_context, pc) == CONTEXT_PC, "user_context.h");
_Static_assert(offsetof(struct user_context, extended) == CONTEXT_EXTENDED, "user_context.h");
_Static_assert(offsetof(struct user_context, cpu) == CONTEXT_CPU, "user_context.h");
_Static_assert(offsetof(struct cpu, context) == CPU_CONTEXT, "trap_frame.h");
_Static_assert(offsetof(struct cpu, user_stack) == CPU_USER_STACK, "trap_frame.h");

/* user.S */
void user_save_extended(void *extended);
void user_load_extended(const void *extended);
bool user_read(void *to, uintptr_t from, size_t size);
bool user_write(uintptr_t to, const void *from, size_t size);

/* instruction.c */
const char *instruction_refused(uint32_t instruction);

/* ---- Set-up ------------------------------------------------------------------------------------------------------ */

void user_init(void)
{
    if ((csr_read(sstatus) & SSTATUS_FS) == 0)
        log_warn("user", "this CPU has no double-precision floating point (D): programs that use it are ended");
}

/* User mode may read the time CSR and no other counter. What else a CPU can open to it (cache block operations, control
 * flow integrity, further state) is closed, where the CPU has the registers for it. */
void user_init_cpu(void)
{
    uint64_t before;

    csr_write(scounteren, COUNTER_TIME);
    csr_try_swap(CSR_SENVCFG, 0, &before);
    csr_try_swap(CSR_SSTATEEN0, 0, &before);
    csr_set(sstatus, SSTATUS_FS_INITIAL);
    if (!try_instruction(".option push\n.option arch, +d\nfmv.d.x f0, zero\n.option pop", before, 0))
        csr_clear(sstatus, SSTATUS_FS);
}

/* ---- Contexts ---------------------------------------------------------------------------------------------------- */

size_t user_extended_size(void)
{
    return EXTENDED_SIZE;
}

void user_context_init(struct user_context *context, uintptr_t entry, uintptr_t stack, uint64_t first, uint64_t second)
{
    *context = (struct user_context){.pc = entry, .extended = context->extended};
    context->x[REGISTER_SP - 1] = stack;
    context->x[REGISTER_A0 - 1] = first;
    context->x[REGISTER_A0] = second;
    context->x[REGISTER_TP - 1] = second; /* its message_buffer */
}

/* The general registers, tp among them, are in the contexts. What was not written since it was loaded need not be
 * saved. A reservation (lr) that one thread has made is not the next one's: any sc ends it. */
void user_switch(struct user_context *from, struct user_context *to)
{
    uint64_t floating = csr_read(sstatus) & SSTATUS_FS, none = 0;

    __asm__ volatile("sc.d zero, zero, (%0)" ::"r"(&none) : "memory");
    if (floating == SSTATUS_FS_DIRTY && from != NULL)
        user_save_extended(from->extended);
    if (floating == 0 || to == NULL)
        return;
    user_load_extended(to->extended);
    csr_clear(sstatus, SSTATUS_FS);
    csr_set(sstatus, SSTATUS_FS_CLEAN);
}

/* The architecture has nothing that would do it. */
void user_forget_predictions(void)
{
}

void user_report(const struct user_context *context, struct printer *printer)
{
    trap_report_registers(context->x, printer);
    print(printer, "  pc  %016llx\n", (unsigned long long)context->pc);
}

/* ---- Copies ------------------------------------------------------------------------------------------------------ */

static bool is_user(uintptr_t address, size_t size)
{
    return address >= USER_BOTTOM && address <= USER_TOP && size <= USER_TOP - address;
}

/* The same address, and one of user mode's even where the CPU runs ahead of the check. USER_TOP is a power of two; the
 * compiler is not to conclude that this does nothing. */
static uintptr_t masked(uintptr_t address)
{
    __asm__("" : "+r"(address));
    return address & (USER_TOP - 1);
}
_Static_assert((USER_TOP & (USER_TOP - 1)) == 0, "masked()");

/* This hart may remember that a page was not there which another one has mapped since: then the second try is good. */
bool user_copy_in(void *to, uintptr_t from, size_t size)
{
    if (!is_user(from, size))
        return false;
    from = masked(from);
    if (user_read(to, from, size))
        return true;
    mmu_flush_all();
    return user_read(to, from, size);
}

bool user_copy_out(uintptr_t to, const void *from, size_t size)
{
    if (!is_user(to, size))
        return false;
    to = masked(to);
    if (user_write(to, from, size))
        return true;
    mmu_flush_all();
    return user_write(to, from, size);
}

/* ---- Traps ------------------------------------------------------------------------------------------------------- */

/* A page fault where the tables allow the access: this hart has remembered what they said before [§4.2.1]. */
static bool is_stale(const struct user_fault *fault, unsigned access)
{
    return fault->mapped && (access & MMU_USER) != 0 &&
           (fault->kind != USER_FAULT_WRITE || (access & MMU_WRITE) != 0) &&
           (fault->kind != USER_FAULT_EXECUTE || (access & MMU_EXECUTE) != 0);
}

/* The CPU may tell the instruction's bits, or 0 [§4.1.9]; then they are looked at where it lies. */
static const char *illegal(const struct user_context *context, uint64_t told)
{
    uint32_t instruction = (uint32_t)told;
    uint16_t part = 0;

    if (told == 0 && user_copy_in(&part, context->pc, sizeof part)) {
        instruction = part;
        if ((part & 3) == 3 && user_copy_in(&part, context->pc + 2, sizeof part))
            instruction |= (uint32_t)part << 16;
    }
    return instruction_refused(instruction);
}

/* What is not an ecall; called by user.S. `value` is stval. */
struct user_context *user_trapped(struct user_context *context, uint64_t cause, uint64_t value)
{
    static const uint8_t kinds[] = {
        [CAUSE_FETCH_PAGE] = USER_FAULT_EXECUTE,
        [CAUSE_LOAD_PAGE] = USER_FAULT_READ,
        [CAUSE_STORE_PAGE] = USER_FAULT_WRITE,
    };
    struct user_fault fault = {.kind = USER_FAULT_OTHER, .address = value, .what = trap_name(cause)};
    unsigned access = 0;

    if ((cause & CAUSE_INTERRUPT) != 0) {
        trap_interrupt(cause & ~CAUSE_INTERRUPT);
        return user_interrupted(context);
    }
    if (cause == CAUSE_FETCH_PAGE || cause == CAUSE_LOAD_PAGE || cause == CAUSE_STORE_PAGE) {
        fault.kind = kinds[cause];
        fault.mapped = mmu_space_lookup(value, &access);
        if (is_stale(&fault, access)) {
            mmu_flush(value);
            return context;
        }
    } else if (cause == CAUSE_ILLEGAL_INSTRUCTION || cause == CAUSE_BREAKPOINT) {
        fault.address = context->pc;
        fault.what = cause == CAUSE_BREAKPOINT ? fault.what : illegal(context, value);
    }
    return user_faulted(context, &fault);
}
