/*
 * timer.c: the TSC as counter, and the local APIC's timer as alarm: TSC-deadline where the CPU has it, else
 * one-shot.
 *
 * How fast the TSC runs is told by CPUID, or measured (calibrate.c): shortly at boot, which waits for it, and
 * again when timer_refine is called much later. How fast the one-shot alarm runs is measured in the same moments
 * at boot, and again whenever an alarm is replaced that has been running for longer.
 *
 * Whether the CPU calls its TSC invariant is shown by cpu_report but decides nothing: most hypervisors keep it
 * steady and do not say so, and refinement rejects one that is not.
 */
#include "local.h"

#include <lib/log.h>

enum {
    LATE_FRACTION = 50000, /* of a second: an alarm may be 20 us late because its frequency is not known better */
    REFINE_SAMPLES = 4,

    DIVIDE_BY_1 = 0xb,
    MSR_TSC_DEADLINE = 0x6e0,

    HYPERVISOR_LEAF = 0x40000000,
    HYPERVISOR_TIMING = 0x40000010, /* EAX: TSC in kHz; VMware's, also KVM's */
    TSC_LEAF = 0x15,
};

static struct calibration calibration;
static struct reference reference; /* read is NULL: there is nothing to refine with */

static bool deadline_mode;

uint64_t counter_read(void)
{
    uint32_t low, high;

    __asm__ volatile("lfence; rdtsc" : "=a"(low), "=d"(high)::"memory");
    return (uint64_t)high << 32 | low;
}

/* One copy: the next sample is as quick as the last only when it runs the same code. */
static __attribute__((noinline)) struct sample take_sample(const struct reference *from)
{
    struct sample sample;
    uint64_t before = counter_read();

    sample.reference = from->read(from);
    sample.alarm = lapic_read(LAPIC_TIMER_CURRENT);
    sample.uncertain = counter_read() - before;
    sample.counter = before + sample.uncertain / 2;
    return sample;
}

/* ---- What CPUID tells ------------------------------------------------------------------------------------ */

/* 0: it does not tell. The hypervisor's word goes first: CPUID 0x15 may be the host's. */
static uint64_t told_frequency(const char **by)
{
    if (cpu_has(FEATURE_HYPERVISOR) && cpuid(HYPERVISOR_LEAF, 0).eax >= HYPERVISOR_TIMING) {
        uint64_t hz = (uint64_t)cpuid(HYPERVISOR_TIMING, 0).eax * 1000;
        *by = "the hypervisor's CPUID";
        if (calibrate_believable(hz))
            return hz;
    }

    /* TSC / crystal = EBX / EAX, the crystal's frequency in ECX; any of them may be 0: not enumerated. */
    struct cpuid_result ratio = cpuid(TSC_LEAF, 0);
    if (ratio.eax != 0 && ratio.ebx != 0 && ratio.ecx != 0) {
        uint64_t hz = multiply_divide(ratio.ecx, ratio.ebx, ratio.eax);
        *by = "CPUID 0x15";
        if (calibrate_believable(hz))
            return hz;
    }
    return 0;
}

static uint32_t tsc_read(const struct reference *unused)
{
    (void)unused;
    return (uint32_t)counter_read();
}

/* The TSC is known: it is the reference for the alarm. */
static void calibrate_alarm(uint64_t known_hz)
{
    struct reference tsc = {.name = "TSC", .frequency_hz = known_hz, .mask = UINT32_MAX, .read = tsc_read};

    if (!deadline_mode)
        calibrate(&tsc, take_sample, &calibration);
    calibration.frequency_hz = known_hz;
}

static const char *measure_frequency(const struct machine *machine)
{
    for (unsigned i = 0; i < REFERENCE_KINDS; i++) {
        struct reference candidate;
        if (!reference_start(i, machine, &candidate) || !calibrate(&candidate, take_sample, &calibration))
            continue;
        if (!candidate.borrowed)
            reference = candidate;
        return candidate.name;
    }
    return NULL;
}

/* ---- The timer ------------------------------------------------------------------------------------------- */

void timer_init_cpu(void)
{
    lapic_write(LAPIC_TIMER_DIVIDE, DIVIDE_BY_1);
    lapic_write(LAPIC_TIMER_INITIAL, 0);
    lapic_write(LAPIC_LVT_TIMER, VECTOR_TIMER | (deadline_mode ? LAPIC_LVT_DEADLINE : 0));
    /* A memory-mapped APIC must have seen the mode before the MSR is written [Intel SDM 3A §11.5.4.1]. */
    arch_barrier_full();
}

bool timer_init(const struct machine *machine, struct timer_source *source)
{
    if (!cpu_has(FEATURE_TSC))
        return false;

    /* Until an alarm is first armed the timer runs freely and silently, to be measured. */
    lapic_write(LAPIC_LVT_TIMER, LAPIC_LVT_MASKED | VECTOR_TIMER);
    lapic_write(LAPIC_TIMER_DIVIDE, DIVIDE_BY_1);
    lapic_write(LAPIC_TIMER_INITIAL, UINT32_MAX);

    deadline_mode = lapic_present() && cpu_has(FEATURE_TSC_DEADLINE);
    uint64_t told_hz = told_frequency(&source->calibration);
    if (told_hz != 0)
        calibrate_alarm(told_hz);
    else if ((source->calibration = measure_frequency(machine)) == NULL)
        return false;
    if (!deadline_mode && calibration.alarm_ratio == 0)
        log_error("timer", "the local APIC's timer stands still; nothing that waits for a time will wake");

    timer_init_cpu();

    source->counter_name = "TSC";
    source->alarm_name = deadline_mode ? "TSC-deadline" : "local APIC one-shot";
    source->frequency_hz = calibration.frequency_hz;
    return true;
}

/* An alarm that is still running and has run for longer than the last measurement took is a better one. The boot CPU's
 * stand for all: they run by one clock. */
static void improve_alarm(const struct x64_cpu *own, uint64_t now)
{
    uint64_t ran = now - own->armed_counter;
    uint32_t armed_ticks = own->armed_ticks;

    if (own != &boot_x64 || armed_ticks == 0 || ran < 2 * calibration.window ||
        calibration.window > calibration.frequency_hz / 8)
        return;

    uint32_t left = lapic_read(LAPIC_TIMER_CURRENT);
    uint64_t uncertain = counter_read() - now;
    if (left == 0 || left > armed_ticks || uncertain > ran / 1024)
        return;

    uint64_t ratio = multiply_divide(armed_ticks - left, UINT64_C(1) << 32, ran + uncertain / 2);
    uint64_t old = calibration.alarm_ratio, difference = ratio > old ? ratio - old : old - ratio;
    if (difference <= old / 16) {
        calibration.alarm_ratio = ratio;
        calibration.window = ran;
        calibration.alarm_error = multiply_divide(uncertain, UINT64_C(1) << 32, ran);
    }
}

/* What is early is armed again, what is late stays late: an alarm that could be noticeably late comes early. */
static uint32_t alarm_ticks(uint64_t counter_ticks)
{
    uint64_t late = (uint64_t)((unsigned __int128)counter_ticks * calibration.alarm_error >> 32);

    if (late > calibration.frequency_hz / LATE_FRACTION)
        counter_ticks -= late < counter_ticks / 2 ? late : counter_ticks / 2;

    unsigned __int128 ticks = ((unsigned __int128)counter_ticks * calibration.alarm_ratio >> 32) + 1;
    return ticks > UINT32_MAX ? UINT32_MAX : (uint32_t)ticks;
}

void timer_arm(uint64_t counter_deadline)
{
    if (deadline_mode) {
        msr_write(MSR_TSC_DEADLINE, counter_deadline == UINT64_MAX ? 0 : counter_deadline);
        return;
    }

    struct x64_cpu *own = cpu_local()->arch;
    uint64_t now = counter_read();
    improve_alarm(own, now);
    if (counter_deadline == UINT64_MAX)
        own->armed_ticks = 0;
    else
        own->armed_ticks = counter_deadline > now ? alarm_ticks(counter_deadline - now) : 1;
    own->armed_counter = counter_read();
    lapic_write(LAPIC_TIMER_INITIAL, own->armed_ticks);
}

uint64_t timer_refine(void)
{
    if (reference.read == NULL)
        return 0;

    struct sample best = take_sample(&reference);
    for (unsigned i = 1; i < REFINE_SAMPLES; i++) {
        struct sample sample = take_sample(&reference);
        if (sample.uncertain < best.uncertain)
            best = sample;
    }

    uint64_t refined_hz = calibrate_later(&calibration, &reference, &best);
    if (refined_hz == UINT64_MAX) {
        log_warn("timer", "the %s contradicts what it said at boot; the TSC is not refined", reference.name);
        reference.read = NULL;
        return 0;
    }
    if (refined_hz != 0)
        calibration.frequency_hz = refined_hz;
    return refined_hz;
}
