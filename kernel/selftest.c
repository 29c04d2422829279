/* selftest.c: runs self-tests and prints their verdicts. */
#include "selftest.h"

#include "kernel.h"
#include "log.h"

#include <stdbool.h>

#include <lib/string.h>
#include <platform/clock.h>

static const struct {
    const char *name;
    void (*run)(struct selftest_result *result);
} tests[] = {
    {"console", selftest_console},
    {"memory", selftest_memory},
    {"heap", selftest_heap},
    {"timer", selftest_timer},
    {"interrupt", selftest_interrupt},
    {"discovery", selftest_discovery},
    {"net", selftest_net},
    {"blk", selftest_blk},
    {"rng", selftest_rng},
    {"pci", selftest_pci},
    {"msi", selftest_msi},
    {"smp", selftest_smp},
    {"nvme", selftest_nvme},
    {"process", selftest_process},
    {"ipc", selftest_ipc},
};

enum { TEST_COUNT = sizeof tests / sizeof tests[0] };

void selftest_is(struct selftest_result *result, enum verdict verdict, const char *format, ...)
{
    va_list arguments;

    result->verdict = verdict;
    va_start(arguments, format);
    vsnprintf(result->detail, sizeof result->detail, format, arguments);
    va_end(arguments);
}

static void run_one(unsigned index, unsigned counts[3])
{
    static const char *const words[] = {"pass", "fail", "skip"};
    struct selftest_result result = {SELFTEST_FAIL, "the test ended without a verdict"};

    tests[index].run(&result);
    counts[result.verdict]++;
    say("selftest %s: %s  %s", tests[index].name, words[result.verdict], result.detail);
}

/* The names asked for that no test has: each is a failure, so that a typing error cannot look like success. */
static void check_names(const char *names, unsigned counts[3])
{
    for (const char *at = names; *at != '\0';) {
        const char *end = strchr(at, ',');
        size_t length = end != NULL ? (size_t)(end - at) : strlen(at);
        bool known = length == 0;
        for (unsigned i = 0; i < TEST_COUNT; i++)
            known |= strlen(tests[i].name) == length && memcmp(tests[i].name, at, length) == 0;
        if (!known) {
            counts[SELFTEST_FAIL]++;
            say("selftest %.*s: fail  there is no such self-test", (int)length, at);
        }
        at += length + (end != NULL);
    }
}

static bool is_named(const char *name, const char *names)
{
    size_t length = strlen(name);

    if (names[0] == '\0')
        return true;
    for (const char *at = names; (at = strstr(at, name)) != NULL; at++)
        if ((at == names || at[-1] == ',') && (at[length] == ',' || at[length] == '\0'))
            return true;
    return false;
}

bool selftest_wait(bool (*done)(void *context), void *context, uint64_t deadline_ns)
{
    bool finished;

    do
        finished = kernel_wait(done, context, clock_now() + NANOSECONDS_PER_MILLISECOND);
    while (!finished && clock_now() < deadline_ns);
    return finished;
}

unsigned selftest_run(const char *names)
{
    unsigned counts[3] = {0};

    while (*names == ',') /* what names nothing asks for all, so that nothing run cannot look like success */
        names++;
    for (unsigned i = 0; i < TEST_COUNT; i++)
        if (is_named(tests[i].name, names))
            run_one(i, counts);
    check_names(names, counts);
    say("selftest: %u passed, %u failed, %u skipped", counts[SELFTEST_PASS], counts[SELFTEST_FAIL],
        counts[SELFTEST_SKIP]);
    return counts[SELFTEST_FAIL];
}
