/*
 * cpu.c: this processor: its identity, its interrupt mask, sleep, randomness, and the ways to end the machine.
 */
#include "local.h"

#include <lib/log.h>
#include <platform/mmu.h>
#include <platform/user.h>

/* What exceptions find before the kernel has its own per-CPU data. */
struct cpu boot_local = {
    .self = &boot_local,
    .stack_guard = (uintptr_t)boot_stack_guard,
    .stack_top = (uintptr_t)boot_stack_top,
    .exception_stack = (uintptr_t)trap_stack_bottom,
    .exception_stack_top = (uintptr_t)trap_stack_top,
};

enum { /* PSTATE.DAIF as DAIF holds it, and as MSR DAIFSet takes it */
       DAIF_INTERRUPT = 1 << 7,
};

/* Fields of identification registers that are not 0 where there is the feature [Arm ARM DDI 0487 §D17.2]. */
enum { ISAR0_ATOMIC = 20, ISAR0_RNDR = 60, MMFR1_PAN = 20, PFR0_GIC = 24, PFR0_SVE = 32, PFR1_BTI = 0 };

struct cpu *cpu_local(void)
{
    return (struct cpu *)system_read(tpidr_el1); /* NOLINT(performance-no-int-to-ptr) */
}

static bool has_pan(void)
{
    return system_field(system_read(id_aa64mmfr1_el1), MMFR1_PAN) != 0;
}

static bool has_rndr(void)
{
    return system_field(system_read(id_aa64isar0_el1), ISAR0_RNDR) != 0;
}

void cpu_init(struct cpu *cpu)
{
    cpu->self = cpu;
    if (cpu->exception_stack_top == 0) {
        cpu->exception_stack = boot_local.exception_stack;
        cpu->exception_stack_top = boot_local.exception_stack_top;
    }
    system_write(tpidr_el1, (uintptr_t)cpu);
    if (has_pan())
        __asm__ volatile(".inst 0xd500419f" ::: "memory"); /* msr pan, #1 */
    __asm__ volatile("msr daifclr, #4" ::: "memory");      /* system errors are reported when they happen */
    user_init_cpu();
}

/* ---- Interrupts and sleep --------------------------------------------------------------------------- */

uintptr_t cpu_interrupts_disable(void)
{
    uintptr_t saved = system_read(daif);

    __asm__ volatile("msr daifset, #2" ::: "memory");
    return saved;
}

void cpu_interrupts_restore(uintptr_t saved)
{
    if ((saved & DAIF_INTERRUPT) == 0)
        cpu_interrupts_enable();
}

void cpu_interrupts_enable(void)
{
    __asm__ volatile("msr daifclr, #2" ::: "memory");
}

bool cpu_interrupts_enabled(void)
{
    return (system_read(daif) & DAIF_INTERRUPT) == 0;
}

/* The barrier makes what waits be taken before it is masked again. */
void cpu_interrupts_take(void)
{
    __asm__ volatile("msr daifclr, #2\n\tisb\n\tmsr daifset, #2" ::: "memory");
}

/* WFI ends for a pending interrupt whether it is masked or not [Arm ARM §D1.6.2], so there is no window. The
 * barrier makes the interrupt be taken before it is masked again. */
void cpu_sleep(void)
{
    __asm__ volatile("dsb sy\n\twfi\n\tmsr daifclr, #2\n\tisb\n\tmsr daifset, #2" ::: "memory");
}

void cpu_relax(void)
{
    __asm__ volatile("yield" ::: "memory");
}

_Noreturn void cpu_halt(void)
{
    cpu_interrupts_disable();
    for (;;)
        __asm__ volatile("wfi" ::: "memory");
}

/* ---- Randomness ------------------------------------------------------------------------------------- */

/* RNDR says by the Z flag that it has none [Arm ARM §D17.2.116]. Values that a broken generator repeats do not count.
 */
bool cpu_random(uint64_t *value)
{
    enum { TRIES = 16 };

    if (!has_rndr())
        return false;
    for (unsigned i = 0; i < TRIES; i++) {
        uint64_t random;
        bool good;
        __asm__ volatile("mrs %0, S3_3_C2_C4_0\n\tcset %w1, ne" : "=r"(random), "=r"(good)::"cc", "memory");
        if (good && random != 0 && random != UINT64_MAX) {
            *value = random;
            return true;
        }
    }
    return false;
}

/* ---- Report ----------------------------------------------------------------------------------------- */

/* How many branches overwrite a model's history [Arm, Spectre-BHB white paper, "Loop workaround"], and which of them
 * read ahead or are not concerned at all [Arm, Cache Speculation Side-channels, variants 2 and 3]. */
const struct cpu_model *cpu_model(void)
{
    static const struct cpu_model models[] = {
        {0x00, 0x051, "QEMU's generic processor", 0, 0},
        {0x41, 0xd04, "Arm Cortex-A35", 0, MODEL_IN_ORDER},
        {0x41, 0xd03, "Arm Cortex-A53", 0, MODEL_IN_ORDER},
        {0x41, 0xd05, "Arm Cortex-A55", 0, MODEL_IN_ORDER},
        {0x41, 0xd07, "Arm Cortex-A57", 8, 0},
        {0x41, 0xd08, "Arm Cortex-A72", 8, 0},
        {0x41, 0xd0a, "Arm Cortex-A75", 0, MODEL_READS_AHEAD},
        {0x41, 0xd0b, "Arm Cortex-A76", 24, 0},
        {0x41, 0xd0c, "Arm Neoverse N1", 24, 0},
        {0x41, 0xd0d, "Arm Cortex-A77", 24, 0},
        {0x41, 0xd40, "Arm Neoverse V1", 32, 0},
        {0x41, 0xd41, "Arm Cortex-A78", 32, 0},
        {0x41, 0xd44, "Arm Cortex-X1", 32, 0},
        {0x41, 0xd47, "Arm Cortex-A710", 32, 0},
        {0x41, 0xd48, "Arm Cortex-X2", 32, 0},
        {0x41, 0xd49, "Arm Neoverse N2", 32, 0},
        {0x41, 0xd4f, "Arm Neoverse V2", 132, 0},
        {0x41, 0xd84, "Arm Neoverse V3", 0, 0},
        {0x41, 0xd8e, "Arm Neoverse N3", 0, 0},
        {0x46, 0x001, "Fujitsu A64FX", 0, 0},
        {0x6d, 0xd49, "Microsoft Azure Cobalt 100", 32, 0},
        {0xc0, 0xac3, "Ampere-1", 11, 0},
        {0xc0, 0xac4, "Ampere-1A", 0, 0},
    };
    static const struct cpu_model unknown = {.name = "unknown model"};
    uint64_t midr = system_read(midr_el1);

    for (size_t i = 0; i < sizeof models / sizeof models[0]; i++)
        if (models[i].implementer == (midr >> 24 & 0xff) && models[i].part == (midr >> 4 & 0xfff))
            return &models[i];
    return &unknown;
}

void cpu_report(struct printer *printer)
{
    uint64_t midr = system_read(midr_el1), pfr0 = system_read(id_aa64pfr0_el1);
    const struct {
        const char *name;
        bool present;
    } features[] = {
        {"pan", has_pan()},
        {"rndr", has_rndr()},
        {"gic-registers", system_field(pfr0, PFR0_GIC) != 0},
        {"lse", system_field(system_read(id_aa64isar0_el1), ISAR0_ATOMIC) != 0},
        {"sve", system_field(pfr0, PFR0_SVE) != 0},
        {"bti", system_field(system_read(id_aa64pfr1_el1), PFR1_BTI) != 0},
    };

    print(printer, "model: %s, r%llup%llu (midr 0x%llx)\n", cpu_model()->name, (unsigned long long)(midr >> 20 & 15),
          (unsigned long long)(midr & 15), (unsigned long long)midr);
    print(printer, "affinity: 0x%llx\n", (unsigned long long)(system_read(mpidr_el1) & UINT64_C(0xff00ffffff)));
    print(printer, "protections on: wxn%s%s\n", has_pan() ? " pan" : "",
          (system_read(tcr_el1) >> TCR_UPPER_KERNEL_SHIFT & 1) != 0 ? " e0pd" : "");
    for (unsigned present = 2; present-- > 0;) {
        print(printer, present != 0 ? "features:" : "absent:");
        for (size_t i = 0; i < sizeof features / sizeof features[0]; i++)
            if (features[i].present == (present != 0))
                print(printer, " %s", features[i].name);
        print(printer, "\n");
    }
    speculation_report(printer);
}

/* ---- What may not be there ------------------------------------------------------------------------------ */

bool cpu_probe_read(const volatile void *address, unsigned width, uint32_t *value)
{
    return width == 1   ? probe_read8(address, value)
           : width == 2 ? probe_read16(address, value)
                        : probe_read32(address, value);
}
