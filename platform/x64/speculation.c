/*
 * speculation.c: what this CPU does against what it guesses. docs/security.md says what that is worth.
 */
#include "local.h"

#include <lib/log.h>

enum {
    MSR_SPECULATION = 0x48, /* [Intel SDM 4 table 2-2] */
    SPECULATION_IBRS = 1 << 0,
    MSR_PREDICTIONS = 0x49,
    PREDICTIONS_DROP = 1 << 0,
    MSR_CAPABILITIES = 0x10a,
    CAPABILITY_NO_MELTDOWN = 1 << 0,
    CAPABILITY_ENHANCED_IBRS = 1 << 1,
    CAPABILITY_NO_SAMPLING = 1 << 5,
};

bool user_clear_buffers;

static bool meltdown, enhanced, automatic, barrier;

/* The others are of the boot CPU's kind. Intel's CPUs say what they are not affected by; others of this width are not
 * affected by Meltdown or microarchitectural data sampling at all. */
static void detect(void)
{
    bool intel = cpuid(0, 0).ebx == VENDOR_INTEL;
    uint64_t capabilities = cpu_has(FEATURE_ARCH_CAPABILITIES) ? msr_read(MSR_CAPABILITIES) : 0;

    meltdown = intel && (capabilities & CAPABILITY_NO_MELTDOWN) == 0;
    enhanced = (capabilities & CAPABILITY_ENHANCED_IBRS) != 0 && cpu_has(FEATURE_IBPB);
    automatic = cpu_has(FEATURE_AUTOMATIC_IBRS);
    barrier = cpu_has(FEATURE_IBPB) || cpu_has(FEATURE_IBPB_AMD);
    user_clear_buffers = intel && (capabilities & CAPABILITY_NO_SAMPLING) == 0 && cpu_has(FEATURE_CLEAR_BUFFERS);
}

void speculation_init_cpu(void)
{
    if (cpu_local()->arch == &boot_x64)
        detect();
    if (enhanced)
        msr_write(MSR_SPECULATION, msr_read(MSR_SPECULATION) | SPECULATION_IBRS);
    if (automatic)
        msr_write(MSR_EFER, msr_read(MSR_EFER) | EFER_AUTOMATIC_IBRS);
}

void user_forget_predictions(void)
{
    if (barrier)
        msr_write(MSR_PREDICTIONS, PREDICTIONS_DROP);
}

void speculation_warn(void)
{
    if (meltdown)
        log_warn("cpu",
                 "this CPU is affected by Meltdown, or does not say otherwise: processes can read the kernel's memory");
}

void speculation_report(struct printer *printer)
{
    print(printer, "meltdown: %s\n",
          meltdown ? "affected, or the CPU does not say; not worked around" : "this CPU is not affected");
    print(printer, "branch prediction: %s, %s between processes\n",
          enhanced    ? "the kernel's apart (enhanced ibrs)"
          : automatic ? "the kernel's apart (automatic ibrs)"
                      : "the kernel's not apart",
          barrier ? "dropped" : "not dropped");
    print(printer, "buffers: %s\n", user_clear_buffers ? "cleared before user mode (verw)" : "not cleared");
}
