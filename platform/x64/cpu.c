/*
 * cpu.c: the processor: features, per-CPU data, interrupts on and off, randomness.
 */
#include "local.h"

#include <lib/string.h>

enum {
    MSR_GS_BASE = 0xc0000101,

    /* [Intel SDM 3A §2.5] */
    CR0_MONITOR = 1 << 1,
    CR0_EMULATE = 1 << 2,
    CR0_SWITCHED = 1 << 3,
    CR0_NUMERIC_ERROR = 1 << 5,
    CR0_WRITE_PROTECT = 1 << 16,
    CR4_VIRTUAL_8086 = 3 << 0,
    CR4_MCE = 1 << 6,
    CR4_COUNTERS = 1 << 8,
    CR4_FXSR = 1 << 9,
    CR4_SIMD_EXCEPTIONS = 1 << 10,
    CR4_UMIP = 1 << 11,
    CR4_FSGSBASE = 1 << 16,
    CR4_XSAVE = 1 << 18,
    CR4_SMEP = 1 << 20,
    CR4_SMAP = 1 << 21,
    CR4_PROTECTION_KEYS = 1 << 22 | 1 << 24,
    CR4_CONTROL_FLOW = 1 << 23,
    CR4_USER_INTERRUPTS = 1 << 25,
    /* Firmware may have left on what the kernel does not keep for each process: that is not for user mode. */
    CR4_OFF =
        CR4_VIRTUAL_8086 | CR4_COUNTERS | CR4_FSGSBASE | CR4_PROTECTION_KEYS | CR4_CONTROL_FLOW | CR4_USER_INTERRUPTS,
};

/* ---- CPUID ---------------------------------------------------------------------------------------------- */

struct cpuid_result cpuid(uint32_t leaf, uint32_t subleaf)
{
    struct cpuid_result result = {0};
    uint32_t highest, ignored_b, ignored_c, ignored_d;

    __asm__ volatile("cpuid"
                     : "=a"(highest), "=b"(ignored_b), "=c"(ignored_c), "=d"(ignored_d)
                     : "a"(leaf & 0xffff0000), "c"(0));
    if (highest >= leaf && highest - leaf < 0x10000)
        __asm__ volatile("cpuid"
                         : "=a"(result.eax), "=b"(result.ebx), "=c"(result.ecx), "=d"(result.edx)
                         : "a"(leaf), "c"(subleaf));
    return result;
}

static const uint32_t feature_leaves[] = {1, 7, 0x80000001, 0x80000007, 0x80000008, 0x80000021};

static const struct feature {
    char name[14];
    uint8_t where; /* index of feature_leaves, times 4, plus 0 for EAX, 1 EBX, 2 ECX, 3 EDX */
    uint8_t bit;
} features[FEATURE_COUNT] = {
    [FEATURE_TSC] = {"tsc", 3, 4},
    [FEATURE_MCE] = {"mce", 3, 7},
    [FEATURE_APIC] = {"apic", 3, 9},
    [FEATURE_X2APIC] = {"x2apic", 2, 21},
    [FEATURE_TSC_DEADLINE] = {"tsc-deadline", 2, 24},
    [FEATURE_RDRAND] = {"rdrand", 2, 30},
    [FEATURE_HYPERVISOR] = {"hypervisor", 2, 31},
    [FEATURE_SMEP] = {"smep", 5, 7},
    [FEATURE_RDSEED] = {"rdseed", 5, 18},
    [FEATURE_SMAP] = {"smap", 5, 20},
    [FEATURE_UMIP] = {"umip", 6, 2},
    [FEATURE_NX] = {"nx", 11, 20},
    [FEATURE_GIB_PAGES] = {"1gib-pages", 11, 26},
    [FEATURE_INVARIANT_TSC] = {"invariant-tsc", 15, 8},
    [FEATURE_GLOBAL_PAGES] = {"global-pages", 3, 13},
    [FEATURE_PCID] = {"pcid", 2, 17},
    [FEATURE_INVPCID] = {"invpcid", 5, 10},
    [FEATURE_XSAVE] = {"xsave", 2, 26},
    [FEATURE_AVX] = {"avx", 2, 28},
    [FEATURE_X87_POINTERS] = {"xsaveerptr", 17, 2},
    [FEATURE_CLEAR_BUFFERS] = {"md-clear", 7, 10},
    [FEATURE_IBPB] = {"ibpb", 7, 26},
    [FEATURE_IBPB_AMD] = {"ibpb-amd", 17, 12},
    [FEATURE_ARCH_CAPABILITIES] = {"arch-capabil.", 7, 29},
    [FEATURE_AUTOMATIC_IBRS] = {"auto-ibrs", 20, 8},
};

bool cpu_has(enum cpu_feature feature)
{
    struct cpuid_result result = cpuid(feature_leaves[features[feature].where / 4], 0);
    uint32_t values[] = {result.eax, result.ebx, result.ecx, result.edx};

    return (values[features[feature].where % 4] >> features[feature].bit & 1) != 0;
}

uint32_t cpu_apic_id(void)
{
    struct cpuid_result topology = cpuid(0xb, 0);

    return topology.ebx != 0 ? topology.edx : cpuid(1, 0).ebx >> 24;
}

/* ---- This CPU ------------------------------------------------------------------------------------------- */

void cpu_init(struct cpu *cpu)
{
    uint64_t cr0, cr4;

    cpu->self = cpu;
    if (cpu->arch == NULL) {
        cpu->arch = &boot_x64;
        cpu->exception_stack = (uintptr_t)boot_exception_stack;
        cpu->exception_stack_top = (uintptr_t)boot_exception_stack_top;
    }
    msr_write(MSR_GS_BASE, (uintptr_t)cpu);

    __asm__ volatile("mov %%cr0, %0" : "=r"(cr0));
    cr0 &= ~(uint64_t)(CR0_EMULATE | CR0_SWITCHED);
    __asm__ volatile("mov %0, %%cr0" ::"r"(cr0 | CR0_MONITOR | CR0_NUMERIC_ERROR | CR0_WRITE_PROTECT) : "memory");
    __asm__ volatile("mov %%cr4, %0" : "=r"(cr4));
    cr4 &= ~(uint64_t)CR4_OFF;
    cr4 |= CR4_FXSR | CR4_SIMD_EXCEPTIONS | mmu_control();
    cr4 |= cpu_has(FEATURE_XSAVE) ? CR4_XSAVE : 0;
    cr4 |= cpu_has(FEATURE_MCE) ? CR4_MCE : 0;
    cr4 |= cpu_has(FEATURE_SMEP) ? CR4_SMEP : 0;
    cr4 |= cpu_has(FEATURE_SMAP) ? CR4_SMAP : 0;
    cr4 |= cpu_has(FEATURE_UMIP) ? CR4_UMIP : 0;
    __asm__ volatile("mov %0, %%cr4" ::"r"(cr4) : "memory");
    trap_clear_ac = (cr4 & CR4_SMAP) != 0;
    mmu_flush_all(); /* also what was kept as global */
    user_init_cpu();
}

static void report_model(struct printer *printer)
{
    char model[49] = "";

    for (uint32_t i = 0; i < 3; i++) {
        struct cpuid_result part = cpuid(0x80000002 + i, 0);
        memcpy(model + (size_t)i * sizeof part, &part, sizeof part);
    }
    model[sizeof model - 1] = '\0';
    for (char *c = model; *c != '\0'; c++)
        if (*c < ' ' || *c > '~')
            *c = '?';

    const char *start = model;
    while (*start == ' ')
        start++;
    struct cpuid_result id = cpuid(1, 0);
    print(printer, "model: %s\n", *start != '\0' ? start : "not named");
    print(printer, "signature: 0x%x\n", id.eax);
    print(printer, "apic id: %u\n", cpu_apic_id());
}

void cpu_report(struct printer *printer)
{
    uint64_t cr4;

    report_model(printer);
    __asm__ volatile("mov %%cr4, %0" : "=r"(cr4));
    print(printer, "protections on:%s%s%s%s\n", (msr_read(MSR_EFER) & EFER_NO_EXECUTE) != 0 ? " nx" : "",
          (cr4 & CR4_SMEP) != 0 ? " smep" : "", (cr4 & CR4_SMAP) != 0 ? " smap" : "",
          (cr4 & CR4_UMIP) != 0 ? " umip" : "");
    speculation_report(printer);
    for (unsigned present = 2; present-- > 0;) {
        unsigned named = 0;
        for (unsigned i = 0; i < FEATURE_COUNT; i++)
            if (cpu_has((enum cpu_feature)i) == (present != 0)) {
                if (named % 5 == 0) /* within 80 columns */
                    print(printer, named == 0 ? "%s:" : "\n%s:", present != 0 ? "features" : "absent");
                print(printer, " %.*s", (int)sizeof features[i].name, features[i].name);
                named++;
            }
        if (named != 0)
            print(printer, "\n");
    }
}

/* ---- Interrupts and sleep ------------------------------------------------------------------------------- */

enum { FLAGS_INTERRUPT = 1 << 9 };

static uintptr_t read_flags(void)
{
    uintptr_t flags;

    __asm__ volatile("pushfq; popq %0" : "=r"(flags)::"memory");
    return flags;
}

uintptr_t cpu_interrupts_disable(void)
{
    uintptr_t flags = read_flags();

    __asm__ volatile("cli" ::: "memory");
    return flags & FLAGS_INTERRUPT;
}

void cpu_interrupts_restore(uintptr_t saved)
{
    if (saved != 0)
        cpu_interrupts_enable();
}

void cpu_interrupts_enable(void)
{
    __asm__ volatile("sti" ::: "memory");
}

bool cpu_interrupts_enabled(void)
{
    return (read_flags() & FLAGS_INTERRUPT) != 0;
}

/* STI takes effect only after the instruction behind it, which must not be the one that ends it. */
void cpu_interrupts_take(void)
{
    __asm__ volatile("sti; nop; cli" ::: "memory");
}

/* STI takes effect only after the instruction behind it: nothing can arrive between the two. */
void cpu_sleep(void)
{
    __asm__ volatile("sti; hlt; cli" ::: "memory");
}

void cpu_relax(void)
{
    __asm__ volatile("pause");
}

_Noreturn void cpu_halt(void)
{
    for (;;)
        __asm__ volatile("cli; hlt" ::: "memory");
}

/* ---- Randomness ---------------------------------------------------------------------------------------- */

/* NOLINTNEXTLINE(readability-non-const-parameter): written by the instruction */
static bool seed_once(uint64_t *value)
{
    bool good;

    __asm__ volatile("rdseed %0" : "=r"(*value), "=@ccc"(good));
    return good;
}

/* NOLINTNEXTLINE(readability-non-const-parameter): the same */
static bool random_once(uint64_t *value)
{
    bool good;

    __asm__ volatile("rdrand %0" : "=r"(*value), "=@ccc"(good));
    return good;
}

/* Some CPUs report success for ever with all ones, or with zeros after sleeping: such values do not count. */
static bool random_from(bool (*once)(uint64_t *value), unsigned tries, uint64_t *value)
{
    static uint64_t previous;

    while (tries-- > 0) {
        if (once(value) && *value != 0 && *value != UINT64_MAX && *value != previous) {
            previous = *value;
            return true;
        }
        cpu_relax();
    }
    return false;
}

bool cpu_random(uint64_t *value)
{
    return (cpu_has(FEATURE_RDSEED) && random_from(seed_once, 64, value)) ||
           (cpu_has(FEATURE_RDRAND) && random_from(random_once, 16, value));
}

/* Nothing aborts: what is not there reads as all ones. */
bool cpu_probe_read(const volatile void *address, unsigned width, uint32_t *value)
{
    *value = width == 1   ? *(const volatile uint8_t *)address
             : width == 2 ? *(const volatile uint16_t *)address
                          : *(const volatile uint32_t *)address;
    return true;
}
