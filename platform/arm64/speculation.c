/*
 * speculation.c: what this CPU guesses ahead, from whose past, and what is done about it (docs/security.md, "arm64").
 *
 * Branch targets: a CPU that keeps those of one process apart from another's says so (CSV2). For another, firmware may
 * have a call that forgets them [Arm DEN 0028, SMCCC_ARCH_WORKAROUND_1 and _3]. Branch history: what the kernel's own
 * branches are guessed by after a trap; it is overwritten at each trap from user mode (user.S), by an instruction for
 * it or by branches, of which each model needs its own number [Arm, Spectre-BHB white paper].
 */
#include "local.h"
#include "trap_frame.h"

#include <platform/user.h>

enum { /* identification registers [Arm ARM DDI 0487 §D17.2] */
       PFR0_CSV2 = 56,
       PFR0_CSV3 = 60,
       CSV2_WITH_HISTORY = 3,
       MMFR1_ECBHB = 60,
       ISAR2_CLRBHB = 28,
};

enum { /* [Arm DEN 0028 §7], 32-bit calls */
       PSCI_VERSION = 0x84000000,
       PSCI_FEATURES = 0x8400000a,
       PSCI_1_0 = 1 << 16,
       SMCCC_1_1 = 1 << 16 | 1,
};
#define SMCCC_VERSION           UINT32_C(0x80000000)
#define SMCCC_ARCH_FEATURES     UINT32_C(0x80000001)
#define SMCCC_ARCH_WORKAROUND_1 UINT32_C(0x80008000)
#define SMCCC_ARCH_WORKAROUND_3 UINT32_C(0x80003fff)

/* Read by user.S at each trap from user mode: how many branches, or HISTORY_INSTRUCTION; 0: nothing. CPUs that differ
 * get what the neediest needs. */
uint32_t user_history;

static bool targets_shared;     /* by some CPU, between processes */
static uint32_t forget_targets; /* firmware's function; 0: it has none */

static uint32_t history_of(uint64_t pfr0)
{
    if (system_field(pfr0, PFR0_CSV2) >= CSV2_WITH_HISTORY ||
        system_field(system_read(id_aa64mmfr1_el1), MMFR1_ECBHB) != 0)
        return 0;
    if (system_field(system_read(S3_0_C0_C6_2), ISAR2_CLRBHB) != 0) /* ID_AA64ISAR2_EL1 */
        return HISTORY_INSTRUCTION;
    return cpu_model()->history;
}

void speculation_init_cpu(void)
{
    uint64_t pfr0 = system_read(id_aa64pfr0_el1);
    uint32_t history = history_of(pfr0), known = __atomic_load_n(&user_history, __ATOMIC_RELAXED);

    while (history > known &&
           !__atomic_compare_exchange_n(&user_history, &known, history, false, __ATOMIC_RELAXED, __ATOMIC_RELAXED))
        ;
    if (system_field(pfr0, PFR0_CSV2) == 0 && (cpu_model()->flags & MODEL_IN_ORDER) == 0)
        __atomic_store_n(&targets_shared, true, __ATOMIC_RELAXED);
}

/* Whether firmware has the call, for CPUs that need it (0) or that do not (1). */
static bool firmware_has(uint32_t function)
{
    return (int32_t)psci(SMCCC_ARCH_FEATURES, function, 0, 0) >= 0;
}

void speculation_init(void)
{
    if ((int32_t)psci(PSCI_VERSION, 0, 0, 0) < PSCI_1_0 || (int32_t)psci(PSCI_FEATURES, SMCCC_VERSION, 0, 0) < 0 ||
        (int32_t)psci(SMCCC_VERSION, 0, 0, 0) < SMCCC_1_1)
        return;
    if (firmware_has(SMCCC_ARCH_WORKAROUND_3))
        forget_targets = SMCCC_ARCH_WORKAROUND_3;
    else if (firmware_has(SMCCC_ARCH_WORKAROUND_1))
        forget_targets = SMCCC_ARCH_WORKAROUND_1;
}

void user_forget_predictions(void)
{
    if (targets_shared && forget_targets != 0)
        psci(forget_targets, 0, 0, 0);
}

void speculation_report(struct printer *printer)
{
    bool no_meltdown = system_field(system_read(id_aa64pfr0_el1), PFR0_CSV3) != 0;

    print(printer, "kernel memory: %s\n",
          no_meltdown                                     ? "not read ahead by user mode, the CPU says"
          : (cpu_model()->flags & MODEL_READS_AHEAD) != 0 ? "can be read ahead by user mode (Meltdown)"
                                                          : "not known to be read ahead by user mode");
    print(printer, "branch targets: %s\n",
          !targets_shared       ? "no process's serve another, as far as is known of this CPU"
          : forget_targets != 0 ? "forgotten by firmware between processes"
                                : "shared by processes, and firmware cannot forget them");
    if (user_history == HISTORY_INSTRUCTION)
        print(printer, "branch history: cleared at each trap from user mode\n");
    else if (user_history != 0)
        print(printer, "branch history: overwritten by %u branches at each trap from user mode\n", user_history);
    else
        print(printer, "branch history: nothing known to need doing\n");
}
