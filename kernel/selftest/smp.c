/*
 * smp.c: the CPUs of this machine reach each other, share memory under locks, keep their own time, and take devices'
 * messages.
 */
#include <kernel/selftest.h>

#include <kernel/kernel.h>
#include <kernel/process/object.h>

#include <authority/device.h>
#include <lib/malloc.h>
#include <lib/string.h>
#include <memory/memory.h>
#include <platform/clock.h>
#include <platform/cpu.h>
#include <platform/ipi.h>
#include <vmos/entropy.h>

/* For all CPUs of the largest machine, all of them on one CPU of a busy host. */
#define PATIENCE_NS (60 * NANOSECONDS_PER_SECOND)
#define PING_NS     (10 * NANOSECONDS_PER_SECOND)

enum { ADDITIONS = 4000, ADDITIONS_LEAST = 100, FIRST_WORD = 0x0abcdef0, SECOND_WORD = 0x12345678 };

/* ---- Everybody at once ------------------------------------------------------------------------------------------- */

static bool all_idle(void *context)
{
    unsigned idle = 0;

    (void)context;
    while (idle < cpu_count() && smp_idle(idle))
        idle++;
    return idle == cpu_count();
}

/* Runs it on every CPU, this one too; the context is an array with an element of `size` bytes for each. */
static bool on_all(void (*run)(void *context), void *contexts, size_t size)
{
    bool called = true;

    for (unsigned i = 1; i < cpu_count(); i++)
        called = smp_call(i, run, (char *)contexts + i * size) == STATUS_OK && called;
    run(contexts);
    return kernel_wait(all_idle, NULL, clock_now() + PATIENCE_NS) && called;
}

/* ---- An interrupt from each to each ------------------------------------------------------------------------------ */

static struct {
    struct cpu *from, *to;
    uint32_t there, back; /* how often it has arrived */
    bool lost;
} ping;

/* Whoever is pinged answers; both in interrupt context. */
static void ping_arrived(void)
{
    if (cpu_local() == ping.to) {
        __atomic_fetch_add(&ping.there, 1, __ATOMIC_SEQ_CST);
        ipi_send(ping.from, IPI_TEST);
    } else if (cpu_local() == ping.from) {
        __atomic_fetch_add(&ping.back, 1, __ATOMIC_SEQ_CST);
    }
}

static void ping_send(void *context)
{
    uint64_t until = clock_now() + PING_NS;
    uint32_t before = __atomic_load_n(&ping.back, __ATOMIC_SEQ_CST);

    (void)context;
    ping.lost = !ipi_send(ping.to, IPI_TEST);
    while (!ping.lost && __atomic_load_n(&ping.back, __ATOMIC_SEQ_CST) == before)
        if (clock_now() > until)
            ping.lost = true;
        else
            cpu_relax();
}

static bool ping_pair(unsigned from, unsigned to, unsigned times)
{
    ping.from = cpu_at(from);
    ping.to = cpu_at(to);
    ping.there = ping.back = 0;
    for (unsigned i = 0; i < times && !ping.lost; i++) {
        if (from == 0)
            ping_send(NULL);
        else if (smp_call(from, ping_send, NULL) != STATUS_OK ||
                 !kernel_wait(all_idle, NULL, clock_now() + PATIENCE_NS))
            return false;
    }
    return !ping.lost && ping.there == times && ping.back == times;
}

static const char *wrong_interrupts(char *text, size_t size)
{
    unsigned times = cpu_count() <= 8 ? 8 : 1;

    ipi_on_test(ping_arrived);
    ping.lost = false;
    for (unsigned from = 0; from < cpu_count(); from++)
        for (unsigned to = from + 1; to < cpu_count(); to++)
            if (!ping_pair(from, to, times)) {
                snprintf(text, size, "of %u interrupts from CPU %u to CPU %u, %u arrived and %u were answered", times,
                         from, to, ping.there, ping.back);
                return text;
            }
    ipi_on_test(NULL);
    return NULL;
}

/* ---- Counters and memory under locks ------------------------------------------------------------------------------
 */

static struct lock lock = {.name = "self-test", .place = LOCK_PLACE_TEST};
static volatile uint64_t counter;
static uint32_t present;

struct share {
    unsigned additions, damaged, refused;
};

/* Adds in two steps, so that without the lock additions get lost. Meanwhile the heap and the frames are used by all. */
static void add_up(void *context)
{
    struct share *share = context;
    uint32_t seed = cpu_local()->index + 1;

    __atomic_fetch_add(&present, 1, __ATOMIC_SEQ_CST);
    for (uint64_t until = clock_now() + PATIENCE_NS;
         __atomic_load_n(&present, __ATOMIC_SEQ_CST) < cpu_count() && clock_now() < until;)
        cpu_relax();
    for (unsigned i = 0; i < share->additions; i++) {
        seed = seed * 1664525 + 1013904223;
        uintptr_t saved = lock_take(&lock);
        uint64_t value = counter;
        for (unsigned turn = 0; turn < 20; turn++)
            cpu_relax();
        counter = value + 1;
        lock_release(&lock, saved);

        size_t size = 1 + seed % 3000;
        unsigned order = seed >> 16 & 1;
        uint8_t *block = malloc(size);
        uint64_t frame = frames_allocate(order, 0);
        if (block == NULL || frame == 0) {
            share->refused++;
        } else {
            uint64_t *word = physical_to_virtual(frame);
            memset(block, (uint8_t)seed, size);
            *word = seed;
            cpu_relax();
            share->damaged += block[0] != (uint8_t)seed || block[size - 1] != (uint8_t)seed || *word != seed;
        }
        free(block);
        if (frame != 0)
            frames_free(frame, order);
    }
}

static const char *wrong_sum(char *text, size_t size, uint64_t *sum)
{
    struct share *shares = calloc(cpu_count(), sizeof *shares);
    struct heap_counts before, after;
    struct frame_counts frames_before, frames_after;
    unsigned damaged = 0, refused = 0, each = ADDITIONS / cpu_count();
    bool ran;

    if (shares == NULL)
        return "no memory for the shares of the CPUs";
    if (each < ADDITIONS_LEAST)
        each = ADDITIONS_LEAST;
    for (unsigned i = 0; i < cpu_count(); i++)
        shares[i].additions = each;
    while (processes_reap())
        ; /* else what processes have left behind is freed while we wait */
    heap_count(&before);
    frames_count(&frames_before);
    counter = 0;
    present = 0;
    ran = on_all(add_up, shares, sizeof *shares);
    heap_count(&after);
    frames_count(&frames_after);
    for (unsigned i = 0; i < cpu_count(); i++) {
        damaged += shares[i].damaged;
        refused += shares[i].refused;
    }
    if (!ran) /* and may still write to its share: that stays. NOLINTNEXTLINE(clang-analyzer-unix.Malloc) */
        return "not every CPU has come to its end";
    free(shares);
    *sum = counter;
    if (*sum == (uint64_t)each * cpu_count() && damaged + refused == 0 && before.bytes_in_use == after.bytes_in_use &&
        frames_before.free == frames_after.free && heap_check() && frames_check())
        return NULL;
    snprintf(text, size,
             "%u CPUs added %u each and the sum is %llu; %u blocks damaged, %u refused; heap %llu bytes before, %llu "
             "after; frames %llu free before, %llu after",
             cpu_count(), each, (unsigned long long)*sum, damaged, refused, (unsigned long long)before.bytes_in_use,
             (unsigned long long)after.bytes_in_use, (unsigned long long)frames_before.free,
             (unsigned long long)frames_after.free);
    return text;
}

/* ---- Each CPU's own time ------------------------------------------------------------------------------------------
 */

struct alarm {
    struct timer timer;
    const struct cpu *fired_on;
    uint64_t deadline_ns, fired_ns;
    bool wait;
};

static void alarm_fired(struct timer *timer)
{
    struct alarm *alarm = timer->context;

    alarm->fired_ns = clock_now();
    __atomic_store_n(&alarm->fired_on, cpu_local(), __ATOMIC_RELEASE);
}

static void alarm_wait(void *context)
{
    struct alarm *alarm = context;

    alarm->timer = (struct timer){.fire = alarm_fired, .context = alarm};
    alarm->deadline_ns = clock_now() + NANOSECONDS_PER_MILLISECOND * (1 + cpu_local()->index % 4);
    timer_start(&alarm->timer, alarm->deadline_ns);
    while (alarm->wait && __atomic_load_n(&alarm->fired_on, __ATOMIC_ACQUIRE) == NULL &&
           clock_now() < alarm->deadline_ns + PING_NS) {
        uintptr_t saved = cpu_interrupts_disable();
        if (alarm->fired_on == NULL)
            clock_sleep();
        cpu_interrupts_restore(saved);
    }
}

static bool never(void *context)
{
    (void)context;
    return false;
}

/* One that another CPU has started is taken from it: it does not fire. */
static bool cancels_elsewhere(struct alarm *alarm)
{
    *alarm = (struct alarm){.wait = false};
    uintptr_t saved = lock_take(&lock); /* it is not to be late: what it waits for is not what is tested */
    lock_release(&lock, saved);
    if (smp_call(1, alarm_wait, alarm) != STATUS_OK || !kernel_wait(all_idle, NULL, clock_now() + PATIENCE_NS))
        return false;
    timer_cancel(&alarm->timer);
    bool in_time = alarm->fired_on == NULL;
    kernel_wait(never, NULL, clock_now() + 8 * NANOSECONDS_PER_MILLISECOND);
    return !alarm->timer.armed && (!in_time || alarm->fired_on == NULL);
}

static const char *wrong_timers(char *text, size_t size)
{
    struct alarm *alarms = calloc(cpu_count(), sizeof *alarms);

    if (alarms == NULL)
        return "no memory for the timers of the CPUs";
    for (unsigned i = 0; i < cpu_count(); i++)
        alarms[i].wait = true;
    if (!on_all(alarm_wait, alarms, sizeof *alarms))
        return "not every CPU has come back from its timer";
    const char *wrong = NULL;
    for (unsigned i = 0; i < cpu_count() && wrong == NULL; i++)
        if (alarms[i].fired_on != cpu_at(i) || alarms[i].fired_ns < alarms[i].deadline_ns) {
            snprintf(text, size, "the timer of CPU %u %s", i,
                     alarms[i].fired_on == NULL        ? "has not fired"
                     : alarms[i].fired_on != cpu_at(i) ? "has fired on another"
                                                       : "has fired early");
            wrong = text;
        }
    if (wrong == NULL && !cancels_elsewhere(alarms))
        wrong = "a timer that another CPU has cancelled has fired";
    free(alarms);
    return wrong;
}

/* ---- What is unmapped is unmapped for all -------------------------------------------------------------------------
 */

struct reading {
    const volatile uint64_t *at;
    uint64_t seen;
};

static void read_word(void *context)
{
    struct reading *reading = context;

    if (reading->at != NULL)
        reading->seen = *reading->at;
}

static bool all_see(struct reading *readings, uintptr_t at, uint64_t word)
{
    bool good;

    for (unsigned i = 0; i < cpu_count(); i++)
        readings[i] = (struct reading){.at = (const volatile uint64_t *)at}; /* NOLINT(performance-no-int-to-ptr) */
    good = on_all(read_word, readings, sizeof *readings);
    for (unsigned i = 0; i < cpu_count(); i++)
        good = good && readings[i].seen == word;
    return good;
}

/* The same address leads to another page: whoever remembers the old one reads the old word. */
static const char *wrong_translations(void)
{
    struct reading *readings = calloc(cpu_count(), sizeof *readings);
    uintptr_t guard, top = vm_stack_create(&guard), at = top - sizeof(uint64_t), again = 0;
    uint64_t held[4] = {0};
    bool good = readings != NULL && top != 0;

    if (good) {
        *(volatile uint64_t *)at = FIRST_WORD; /* NOLINT(performance-no-int-to-ptr) */
        good = all_see(readings, at, FIRST_WORD);
        vm_stack_destroy(top);
        for (unsigned i = 0; i < sizeof held / sizeof held[0]; i++)
            held[i] = frames_allocate(0, 0);
        again = vm_stack_create(&guard);
        good = good && again == top;
    }
    if (good) {
        *(volatile uint64_t *)at = SECOND_WORD; /* NOLINT(performance-no-int-to-ptr) */
        good = all_see(readings, at, SECOND_WORD);
    }
    if (again != 0)
        vm_stack_destroy(again);
    for (unsigned i = 0; i < sizeof held / sizeof held[0]; i++)
        if (held[i] != 0)
            frames_free(held[i], 0);
    free(readings);
    return good ? NULL : "a CPU still sees what was unmapped on another";
}

/* ---- Devices' messages ---------------------------------------------------------------------------------------------
 */

static enum status direct_all(struct device *device, unsigned cpu)
{
    enum status status = STATUS_OK;

    for (unsigned i = 0; i < device->interrupt_count && status == STATUS_OK; i++) {
        struct interrupt handle = {device, i, device->ownership.epoch, INTERRUPT_MESSAGE};
        if (device->interrupts[i].open && device->interrupts[i].delivery == INTERRUPT_MESSAGE)
            status = interrupt_set_cpu(&handle, cpu);
    }
    return status;
}

static uint64_t arrived_on(const struct device *device, unsigned cpu)
{
    uint64_t count = 0;

    for (unsigned i = 0; i < device->interrupt_count; i++)
        if (device->interrupts[i].delivery == INTERRUPT_MESSAGE && device->interrupts[i].arrived_on == cpu)
            count += device->interrupts[i].count;
    return count;
}

struct arrival {
    const struct device *device;
    unsigned cpu;
    uint64_t before;
};

static bool has_arrived(void *context)
{
    const struct arrival *arrival = context;

    return arrived_on(arrival->device, arrival->cpu) > arrival->before;
}

/* Reads until a message comes: none is sent for an answer that was there before the driver asked to be told. */
static bool reads_arrive(struct device *device, unsigned cpu)
{
    uint64_t until = clock_now() + PING_NS;
    struct arrival arrival = {device, cpu, arrived_on(device, cpu)};
    uint8_t bytes[16];

    while (clock_now() < until) {
        if (device->entropy->ops->read(device->entropy->driver, bytes, sizeof bytes, until) == 0)
            return false;
        if (kernel_wait(has_arrived, &arrival, clock_now() + 2 * NANOSECONDS_PER_MILLISECOND))
            return true;
    }
    return false;
}

/* Each CPU in turn, the boot CPU last: a message comes where it was directed to. Not every machine can direct one to
 * every CPU. */
static const char *wrong_messages(struct device *device, char *text, size_t size, unsigned *reached)
{
    for (unsigned turn = 1; turn <= cpu_count(); turn++) {
        unsigned cpu = turn % cpu_count();
        enum status status = direct_all(device, cpu);
        if (status == STATUS_UNSUPPORTED)
            continue;
        if (status != STATUS_OK || !reads_arrive(device, cpu)) {
            snprintf(text, size, "%s: its messages do not arrive at CPU %u (%s)", device->name, cpu,
                     status_text(status));
            return text;
        }
        ++*reached;
    }
    return NULL;
}

static const char *wrong_devices(char *text, size_t size, unsigned *reached)
{
    const char *wrong = NULL;

    for (struct device *device = device_first(); device != NULL && wrong == NULL; device = device->next)
        if (device->entropy != NULL && device->interrupt_count != 0 && device_cpu_count(device) > 1)
            wrong = wrong_messages(device, text, size, reached);
    return wrong;
}

void selftest_smp(struct selftest_result *result)
{
    char text[160];
    uint64_t sum = 0;
    unsigned reached = 0;

    if (cpu_count() == 1) {
        selftest_is(result, SELFTEST_SKIP, "one CPU runs; there is nobody to share with");
        return;
    }
    const char *wrong = wrong_interrupts(text, sizeof text);
    if (wrong == NULL)
        wrong = wrong_sum(text, sizeof text, &sum);
    if (wrong == NULL)
        wrong = wrong_timers(text, sizeof text);
    if (wrong == NULL)
        wrong = wrong_translations();
    if (wrong == NULL)
        wrong = wrong_devices(text, sizeof text, &reached);
    if (wrong != NULL)
        selftest_is(result, SELFTEST_FAIL, "%s", wrong);
    else
        selftest_is(
            result, SELFTEST_PASS,
            "%u CPUs: interrupts between all %u pairs, %llu additions, timers; %u CPUs took a device's messages",
            cpu_count(), cpu_count() * (cpu_count() - 1) / 2, (unsigned long long)sum, reached);
}
