/* test_selftest.c: which self-tests a list of names runs, and what is printed; and the kernel's one wait. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <authority/device.h>
#include <kernel/kernel.h>
#include <kernel/log.h>
#include <kernel/partition.h>
#include <kernel/process/start.h>
#include <kernel/selftest.h>
#include <platform/cpu.h>
#include <stdio.h>
#include <string.h>

/* ---- The tests and what is said ------------------------------------------------------------------------------ */

static char said[4096], ran[256];
static const char *failing = "", *silent = "", *skipping = "";

void say(const char *format, ...)
{
    size_t used = strlen(said);
    va_list arguments;

    va_start(arguments, format);
    used += (size_t)vsnprintf(said + used, sizeof said - used, format, arguments);
    va_end(arguments);
    snprintf(said + used, sizeof said - used, "\n");
}

static void played(const char *name, struct selftest_result *result)
{
    snprintf(ran + strlen(ran), sizeof ran - strlen(ran), "%s ", name);
    if (strcmp(name, silent) == 0)
        return;
    selftest_is(result,
                strcmp(name, failing) == 0    ? SELFTEST_FAIL
                : strcmp(name, skipping) == 0 ? SELFTEST_SKIP
                                              : SELFTEST_PASS,
                "of %s", name);
}

#define PLAYED(name)                                                                                                   \
    void selftest_##name(struct selftest_result *result)                                                               \
    {                                                                                                                  \
        played(#name, result);                                                                                         \
    }
PLAYED(console)
PLAYED(memory)
PLAYED(heap)
PLAYED(timer)
PLAYED(interrupt)
PLAYED(discovery)
PLAYED(net)
PLAYED(blk)
PLAYED(rng)
PLAYED(pci)
PLAYED(msi)
PLAYED(smp)
PLAYED(nvme)
PLAYED(process)
PLAYED(ipc)

#define ALL "console memory heap timer interrupt discovery net blk rng pci msi smp nvme process ipc "

static void runs(const char *names, const char *expected, unsigned failed)
{
    ran[0] = said[0] = '\0';
    assert_int_equal(selftest_run(names), failed);
    if (strcmp(ran, expected) != 0)
        fail_msg("\"%s\" ran %s", names, ran);
}

static void names(void **state)
{
    static const struct {
        const char *names, *ran;
        unsigned failed; /* the names that no test has */
    } rows[] = {
        {"", ALL, 0},
        {"net", "net ", 0},
        {"rng,net", "net rng ", 0}, /* in the order of the list of tests */
        {"net,net", "net ", 0},
        {"net,,blk", "net blk ", 0},
        {",net,", "net ", 0},
        {",", ALL, 0},
        {",,,", ALL, 0},
        {"ne", "", 1},
        {"nets", "", 1},
        {"xnet", "", 1},
        {"xnet,net", "net ", 1},
        {"netx,net", "net ", 1},
        {"net blk", "", 1},
        {"n", "", 1},
        {"mem,memory,ory", "memory ", 2},
        {"NET", "", 1},
        {"console,memory,heap,timer,interrupt,discovery,net,blk,rng,pci,msi,smp,nvme,process,ipc", ALL, 0},
    };

    (void)state;
    for (unsigned i = 0; i < sizeof rows / sizeof rows[0]; i++)
        runs(rows[i].names, rows[i].ran, rows[i].failed);
}

static void verdicts(void **state)
{
    (void)state;
    failing = "blk";
    skipping = "rng";
    runs("net,blk,rng,nought", "net blk rng ", 2);
    assert_string_equal(said, "selftest net: pass  of net\n"
                              "selftest blk: fail  of blk\n"
                              "selftest rng: skip  of rng\n"
                              "selftest nought: fail  there is no such self-test\n"
                              "selftest: 1 passed, 2 failed, 1 skipped\n");
    silent = "net";
    runs("net", "net ", 1); /* no verdict is none to be proud of */
    assert_string_equal(said, "selftest net: fail  the test ended without a verdict\n"
                              "selftest: 0 passed, 1 failed, 0 skipped\n");
    failing = skipping = silent = "";
}

static void long_detail(void **state)
{
    struct selftest_result result;
    char text[1000];

    (void)state;
    memset(text, 'x', sizeof text);
    text[sizeof text - 1] = '\0';
    selftest_is(&result, SELFTEST_PASS, "%s", text);
    assert_int_equal(strlen(result.detail), sizeof result.detail - 1);
}

/* ---- kernel_wait ------------------------------------------------------------------------------------------------ */

static uint64_t now_ns;
static struct timer *armed;
static unsigned dispatches, busy_rounds, sleeps, asked;
static bool pending_once, nobody_wakes;
static int disabled;

bool devices_dispatch(void)
{
    assert_int_equal(disabled, 0);
    dispatches++;
    if (busy_rounds == 0)
        return false;
    busy_rounds--;
    return true;
}

static unsigned partition_rounds;

bool partitions_dispatch(void)
{
    assert_int_equal(disabled, 0);
    if (partition_rounds == 0)
        return false;
    partition_rounds--;
    return true;
}

bool devices_pending(void)
{
    bool pending = pending_once;

    assert_int_equal(disabled, 1); /* else an event could come between the look and the sleep */
    pending_once = false;
    return pending;
}

void timer_start(struct timer *timer, uint64_t deadline_ns)
{
    assert_null(armed);
    timer->deadline_ns = deadline_ns;
    timer->armed = true;
    armed = timer;
}

void timer_cancel(struct timer *timer)
{
    timer->armed = false;
    armed = NULL;
}

uint64_t clock_now(void)
{
    return now_ns;
}

static unsigned reap_rounds;

bool processes_reap(void)
{
    assert_int_equal(disabled, 0);
    if (reap_rounds == 0)
        return false;
    reap_rounds--;
    return true;
}

bool processes_ending(void)
{
    return reap_rounds != 0;
}

bool init_look(void)
{
    return false;
}

void scheduler_lend(void)
{
    assert_int_equal(disabled, 1);
    sleeps++;
    now_ns = nobody_wakes && armed != NULL ? armed->deadline_ns : now_ns + 10;
    if (armed != NULL && now_ns >= armed->deadline_ns) {
        struct timer *timer = armed;
        timer_cancel(timer);
        timer->fire(timer);
    }
}

uintptr_t cpu_interrupts_disable(void)
{
    return disabled++ == 0;
}

void cpu_interrupts_restore(uintptr_t saved)
{
    disabled--;
    assert_int_equal(saved, disabled == 0);
}

static bool after(void *context)
{
    return ++asked >= *(unsigned *)context;
}

static bool wait_for(unsigned asks, uint64_t deadline_ns)
{
    asked = dispatches = sleeps = 0;
    now_ns = 0;
    bool done = kernel_wait(after, &asks, deadline_ns);
    assert_int_equal(disabled, 0);
    assert_null(armed);
    return done;
}

static void waits(void **state)
{
    (void)state;
    assert_true(wait_for(1, DEADLINE_NEVER)); /* drivers get a turn before the first look; no sleep */
    assert_int_equal(dispatches, 1);
    assert_int_equal(sleeps, 0);
    assert_true(wait_for(4, DEADLINE_NEVER));
    assert_int_equal(sleeps, 3);
    assert_true(wait_for(4, 1000));
    assert_false(wait_for(1000, 100));
    assert_int_equal(sleeps, 10);
    busy_rounds = 5;
    assert_true(wait_for(7, DEADLINE_NEVER)); /* who was busy is asked again at once */
    assert_int_equal(sleeps, 1);
    partition_rounds = 5;
    assert_true(wait_for(7, DEADLINE_NEVER)); /* the same for partitions */
    assert_int_equal(sleeps, 1);
    reap_rounds = 5;
    assert_true(wait_for(7, DEADLINE_NEVER)); /* the same for processes that have ended */
    assert_int_equal(sleeps, 1);
    pending_once = true;
    assert_true(wait_for(3, DEADLINE_NEVER)); /* raised since the dispatch: no sleep over it */
    assert_int_equal(sleeps, 1);
}

/* Nothing interrupts this CPU when it has come about: it is seen all the same, long before the deadline. */
static void waits_for_others(void **state)
{
    unsigned looks = 5;

    (void)state;
    nobody_wakes = true;
    now_ns = asked = 0;
    assert_true(selftest_wait(after, &looks, 10 * NANOSECONDS_PER_SECOND));
    assert_in_range(now_ns, 1, 5 * NANOSECONDS_PER_MILLISECOND);
    now_ns = asked = 0;
    looks = UINT32_MAX;
    assert_false(selftest_wait(after, &looks, 3 * NANOSECONDS_PER_MILLISECOND));
    assert_in_range(now_ns, 3 * NANOSECONDS_PER_MILLISECOND, 5 * NANOSECONDS_PER_MILLISECOND);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(names), cmocka_unit_test(verdicts),         cmocka_unit_test(long_detail),
        cmocka_unit_test(waits), cmocka_unit_test(waits_for_others),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
