/*
 * timer.c: the TSC as counter, and the local APIC's timer as alarm: TSC-deadline where the CPU has it, else
 * one-shot.
 *
 * How fast the TSC runs is told by CPUID, or measured. The measurement at boot is short, since boot waits for
 * it: a few hundred microseconds from one edge of the reference to another, longer only when reading the
 * reference is slow. It is refined for free when timer_refine is called much later. How fast the one-shot alarm
 * runs is measured in the same moments, and again whenever an alarm is replaced that has been running for longer.
 */
#include "local.h"

#include <lib/log.h>

enum {
    WINDOW_FRACTION = 5000, /* of a second: 200 us */
    LONGEST_WINDOWS = 64,   /* that a slow reference is given */
    READS_PER_WINDOW = 64,  /* a reading is uncertain by how long it takes */
    EDGE_POLLS = 20000,     /* without a change: it stands still */
    WINDOW_POLLS = 1000000,
    ATTEMPTS = 3,
    LATE_FRACTION = 50000, /* of a second: an alarm may be 20 us late because its frequency is not known better */

    DIVIDE_BY_1 = 0xb,
    MSR_TSC_DEADLINE = 0x6e0,

    HYPERVISOR_LEAF = 0x40000000,
    HYPERVISOR_TIMING = 0x40000010, /* EAX: TSC in kHz; EBX: local APIC timer in kHz; VMware's, also KVM's */
    TSC_LEAF = 0x15,
};
#define SLOWEST_HZ UINT64_C(1000000)
#define FASTEST_HZ UINT64_C(100000000000)

/* The reference and the local APIC's timer at one moment of the TSC, which is known to `uncertain` ticks. */
struct sample {
    uint64_t counter, uncertain;
    uint32_t reference, alarm;
};

static uint64_t frequency_hz;
static struct reference reference; /* read is NULL: there is nothing to refine with */
static struct sample first;

static bool deadline_mode;
static uint64_t alarm_ratio;   /* alarm ticks per counter tick, 32.32 */
static uint64_t alarm_window;  /* counter ticks over which it was measured, */
static uint64_t alarm_error;   /* and what part of itself it may be off by, 0.32 */
static uint64_t armed_counter; /* when the one-shot alarm was armed */
static uint32_t armed_ticks;   /* 0: it is not */

uint64_t counter_read(void)
{
    uint32_t low, high;

    __asm__ volatile("lfence; rdtsc" : "=a"(low), "=d"(high)::"memory");
    return (uint64_t)high << 32 | low;
}

uint64_t multiply_divide(uint64_t a, uint64_t b, uint64_t c)
{
    uint64_t low, high, remainder;

    __asm__("mulq %3" : "=a"(low), "=d"(high) : "0"(a), "r"(b));
    if (high >= c)
        return UINT64_MAX;
    __asm__("divq %4" : "=a"(low), "=d"(remainder) : "0"(low), "1"(high), "r"(c));
    return low;
}

static bool believable(uint64_t hz)
{
    return hz >= SLOWEST_HZ && hz <= FASTEST_HZ;
}

/* ---- Measuring ------------------------------------------------------------------------------------------ */

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

static uint32_t ticks_between(const struct reference *of, const struct sample *from, const struct sample *to)
{
    return (to->reference - from->reference) & of->mask;
}

/* The first sample takes longer than any other, with caches cold or code untranslated, and is not used. */
static bool wait_edge(const struct reference *of, struct sample *sample)
{
    uint32_t start = take_sample(of).reference;

    for (unsigned poll = 0; poll < EDGE_POLLS; poll++) {
        *sample = take_sample(of);
        if (sample->reference != start)
            return true;
    }
    return false;
}

/* False: the reference stands still. Sets *good when both ends are certain enough. */
static bool try_window(const struct reference *of, struct sample *start, struct sample *end, bool *good)
{
    uint64_t window = of->frequency_hz / WINDOW_FRACTION + 1;
    uint64_t longest = window * LONGEST_WINDOWS < of->mask / 2 ? window * LONGEST_WINDOWS : of->mask / 2;

    *good = false;
    if (!wait_edge(of, start))
        return false;
    for (unsigned poll = 0; poll < WINDOW_POLLS; poll++) {
        *end = take_sample(of);
        uint64_t passed = ticks_between(of, start, end), counted = end->counter - start->counter;
        if (passed < window)
            continue;
        *good = start->uncertain * READS_PER_WINDOW <= counted && end->uncertain * READS_PER_WINDOW <= counted;
        if (*good || passed >= longest)
            return true;
    }
    return false;
}

/* Measures TSC and alarm; false when the reference stands still. The last attempt counts as it is. */
static bool measure(const struct reference *of)
{
    struct sample start, end;
    bool good = false;

    for (unsigned attempt = 0; attempt < ATTEMPTS && !good; attempt++)
        if (!try_window(of, &start, &end, &good)) {
            log_warn("timer", "the %s stands still", of->name);
            return false;
        }
    first = start;
    alarm_window = end.counter - start.counter;
    frequency_hz = multiply_divide(alarm_window, of->frequency_hz, ticks_between(of, &start, &end));
    alarm_ratio = multiply_divide(start.alarm - end.alarm, UINT64_C(1) << 32, alarm_window);
    alarm_error = multiply_divide((start.uncertain + end.uncertain) / 2, UINT64_C(1) << 32, alarm_window);
    return believable(frequency_hz);
}

/* ---- What CPUID tells ------------------------------------------------------------------------------------ */

static const char *told_frequency(void)
{
    struct cpuid_result ratio = cpuid(TSC_LEAF, 0);

    /* TSC / crystal = EBX / EAX, the crystal's frequency in ECX; any of them may be 0: not enumerated. */
    if (ratio.eax != 0 && ratio.ebx != 0 && ratio.ecx != 0) {
        frequency_hz = multiply_divide(ratio.ecx, ratio.ebx, ratio.eax);
        if (believable(frequency_hz))
            return "CPUID 0x15";
    }
    if (cpu_has(FEATURE_HYPERVISOR) && cpuid(HYPERVISOR_LEAF, 0).eax >= HYPERVISOR_TIMING) {
        frequency_hz = (uint64_t)cpuid(HYPERVISOR_TIMING, 0).eax * 1000;
        if (believable(frequency_hz))
            return "hypervisor's CPUID";
    }
    return NULL;
}

static uint32_t tsc_read(const struct reference *unused)
{
    (void)unused;
    return (uint32_t)counter_read();
}

/* The TSC is known: it is the reference for the alarm. */
static bool measure_alarm(void)
{
    uint64_t known_hz = frequency_hz;
    struct reference tsc = {.name = "TSC", .frequency_hz = known_hz, .mask = UINT32_MAX, .read = tsc_read};
    bool runs = measure(&tsc);

    frequency_hz = known_hz;
    return runs;
}

static const char *measured_frequency(const struct machine *machine)
{
    for (unsigned i = 0; i < REFERENCE_KINDS; i++) {
        struct reference candidate;
        if (!reference_start(i, machine, &candidate) || !measure(&candidate))
            continue;
        if (!candidate.borrowed)
            reference = candidate;
        return candidate.name;
    }
    return NULL;
}

/* ---- The timer ------------------------------------------------------------------------------------------- */

bool timer_init(const struct machine *machine, struct timer_source *source)
{
    if (!cpu_has(FEATURE_TSC))
        return false;

    /* Until an alarm is first armed the timer runs freely and silently, to be measured. */
    lapic_write(LAPIC_LVT_TIMER, LAPIC_LVT_MASKED | VECTOR_TIMER);
    lapic_write(LAPIC_TIMER_DIVIDE, DIVIDE_BY_1);
    lapic_write(LAPIC_TIMER_INITIAL, UINT32_MAX);

    deadline_mode = lapic_present() && cpu_has(FEATURE_TSC_DEADLINE);
    source->calibration = told_frequency();
    if (source->calibration == NULL)
        source->calibration = measured_frequency(machine);
    else if (!deadline_mode)
        measure_alarm();
    if (source->calibration == NULL)
        return false;
    if (!deadline_mode && alarm_ratio == 0)
        log_error("timer", "the local APIC's timer stands still; nothing that waits for a time will wake");

    lapic_write(LAPIC_TIMER_INITIAL, 0);
    lapic_write(LAPIC_LVT_TIMER, VECTOR_TIMER | (deadline_mode ? LAPIC_LVT_DEADLINE : 0));
    /* A memory-mapped APIC must have seen the mode before the MSR is written [Intel SDM 3A §11.5.4.1]. */
    arch_barrier_full();

    source->counter_name = "TSC";
    source->alarm_name = deadline_mode ? "TSC-deadline" : "local APIC one-shot";
    source->frequency_hz = frequency_hz;
    return true;
}

/* An alarm that is still running and has run for longer than the last measurement took is a better one. */
static void improve_alarm(uint64_t now)
{
    uint64_t ran = now - armed_counter;

    if (armed_ticks == 0 || ran < 2 * alarm_window || alarm_window > frequency_hz / 8)
        return;

    uint32_t left = lapic_read(LAPIC_TIMER_CURRENT);
    uint64_t uncertain = counter_read() - now;
    if (left == 0 || left > armed_ticks || uncertain > ran / 1024)
        return;

    uint64_t ratio = multiply_divide(armed_ticks - left, UINT64_C(1) << 32, ran + uncertain / 2);
    uint64_t difference = ratio > alarm_ratio ? ratio - alarm_ratio : alarm_ratio - ratio;
    if (difference <= alarm_ratio / 16) {
        alarm_ratio = ratio;
        alarm_window = ran;
        alarm_error = multiply_divide(uncertain, UINT64_C(1) << 32, ran);
    }
}

/* What is early is armed again, what is late stays late: an alarm that could be noticeably late comes early. */
static uint32_t alarm_ticks(uint64_t counter_ticks)
{
    uint64_t late = (uint64_t)((unsigned __int128)counter_ticks * alarm_error >> 32);

    if (late > frequency_hz / LATE_FRACTION)
        counter_ticks -= late < counter_ticks / 2 ? late : counter_ticks / 2;

    unsigned __int128 ticks = ((unsigned __int128)counter_ticks * alarm_ratio >> 32) + 1;
    return ticks > UINT32_MAX ? UINT32_MAX : (uint32_t)ticks;
}

void timer_arm(uint64_t counter_deadline)
{
    if (deadline_mode) {
        msr_write(MSR_TSC_DEADLINE, counter_deadline == UINT64_MAX ? 0 : counter_deadline);
        return;
    }

    uint64_t now = counter_read();
    improve_alarm(now);
    if (counter_deadline == UINT64_MAX)
        armed_ticks = 0;
    else
        armed_ticks = counter_deadline > now ? alarm_ticks(counter_deadline - now) : 1;
    armed_counter = counter_read();
    lapic_write(LAPIC_TIMER_INITIAL, armed_ticks);
}

/* How often the reference has wrapped is known from the frequency so far, which is good enough for that. */
uint64_t timer_refine(void)
{
    if (reference.read == NULL)
        return 0;

    struct sample now = take_sample(&reference);
    for (unsigned attempt = 0; attempt < ATTEMPTS; attempt++) {
        struct sample again = take_sample(&reference);
        if (again.uncertain < now.uncertain)
            now = again;
    }

    uint64_t passed = now.counter - first.counter;
    if (passed < frequency_hz / 16)
        return 0;
    uint64_t expected = multiply_divide(passed, reference.frequency_hz, frequency_hz);
    uint32_t ahead = (ticks_between(&reference, &first, &now) - (uint32_t)expected) & reference.mask;
    uint64_t counted = ahead <= reference.mask / 2 ? expected + ahead : expected - (reference.mask - ahead) - 1;
    uint64_t refined = multiply_divide(passed, reference.frequency_hz, counted);
    uint64_t difference = refined > frequency_hz ? refined - frequency_hz : frequency_hz - refined;

    if (difference > frequency_hz / 16) {
        log_warn("timer", "the %s has gone wrong since boot; the TSC is not refined", reference.name);
        reference.read = NULL;
        return 0;
    }
    frequency_hz = refined;
    return refined;
}
