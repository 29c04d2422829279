/*
 * user.c: what user mode finds in the CPU, and what it does not get.
 *
 * user.S goes there and back. Floating point and SIMD are on for good: the kernel is compiled without, and so the
 * registers hold the state of whoever ran last until user_switch saves it. SVE and SME stay off: nobody saves their
 * registers, and an instruction of theirs is the fault of who has used it.
 */
#include "local.h"
#include "trap_frame.h"

#include <lib/log.h>
#include <lib/string.h>
#include <platform/mmu.h>
#include <platform/user.h>

enum { /* [Arm ARM DDI 0487 §D17.2] */
       CPACR_FLOATING_POINT = 3 << 20,
       CPACR_TRACE_TRAPS = 1 << 28,
       CNTKCTL_COUNTER = 1 << 1,      /* EL0VCTEN: CNTVCT_EL0 may be read; nothing else of the timer's */
       MDSCR_CHANNEL_TRAPS = 1 << 12, /* TDCC: the debug channel is not user mode's */
       PSTATE_USER = 0,               /* EL0, nothing masked */
};

enum { DFR0_PMU = 8, PFR0_AMU = 44, MMFR2_UAO = 4 };

_Static_assert(EXTENDED_SIZE == EXTENDED_CONTROL + 2 * sizeof(uint64_t), "trap_frame.h");

void user_init(void)
{
    mmu_spaces_init();
    speculation_init();
}

static bool has_counters(uint64_t dfr0)
{
    return system_field(dfr0, DFR0_PMU) != 0 && system_field(dfr0, DFR0_PMU) != 15;
}

void user_init_cpu(void)
{
    system_write(cpacr_el1, CPACR_FLOATING_POINT | CPACR_TRACE_TRAPS);
    system_write(cntkctl_el1, CNTKCTL_COUNTER);
    system_write(mdscr_el1, MDSCR_CHANNEL_TRAPS);
    if (has_counters(system_read(id_aa64dfr0_el1)))
        system_write(pmuserenr_el0, 0);
    if (system_field(system_read(id_aa64pfr0_el1), PFR0_AMU) != 0)
        system_write(S3_3_C13_C2_3, 0); /* AMUSERENR_EL0 */
    if (system_field(system_read(id_aa64mmfr2_el1), MMFR2_UAO) != 0)
        __asm__ volatile(".inst 0xd500407f" ::: "memory"); /* msr uao, #0: ldtr is user mode's load */
    system_write(tpidrro_el0, 0);
    system_write(tpidr_el0, 0);
    barrier_instructions();
    speculation_init_cpu();
}

size_t user_extended_size(void)
{
    return EXTENDED_SIZE;
}

void user_context_init(struct user_context *context, uintptr_t entry, uintptr_t stack, uint64_t first, uint64_t second)
{
    void *extended = context->extended;

    *context = (struct user_context){.x = {first, second},
                                     .sp = stack,
                                     .pc = entry,
                                     .pstate = PSTATE_USER,
                                     .thread_pointer = second,
                                     .extended = extended};
    memset(extended, 0, EXTENDED_SIZE);
}

void user_switch(struct user_context *from, struct user_context *to)
{
    if (from != NULL) {
        from->thread_pointer = system_read(tpidr_el0);
        user_extended_save(from->extended);
    }
    if (to != NULL) {
        system_write(tpidr_el0, to->thread_pointer);
        user_extended_load(to->extended);
    }
}

void user_report(const struct user_context *context, struct printer *printer)
{
    for (unsigned i = 0; i < 31; i++)
        print(printer, "  x%-2u %016llx%s", i, (unsigned long long)context->x[i], i % 3 == 2 ? "\n" : "");
    print(printer, "  sp  %016llx\n", (unsigned long long)context->sp);
    print(printer, "  pc  %016llx  pstate %08llx  tpidr %016llx\n", (unsigned long long)context->pc,
          (unsigned long long)context->pstate, (unsigned long long)context->thread_pointer);
}

/* ---- Copies ---------------------------------------------------------------------------------------------------------
 */

static bool user_range(uintptr_t start, size_t size)
{
    return start >= USER_BOTTOM && start <= USER_TOP && size <= USER_TOP - start;
}

bool user_copy_in(void *to, uintptr_t from, size_t size)
{
    return user_range(from, size) && (size == 0 || copy_from_user(to, from, size));
}

bool user_copy_out(uintptr_t to, const void *from, size_t size)
{
    return user_range(to, size) && (size == 0 || copy_to_user(to, from, size));
}
