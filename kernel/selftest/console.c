/* console.c: the log keeps what it was told, filters what it should, and the serial port takes it. */
#include <kernel/selftest.h>

#include <kernel/log.h>
#include <kernel/options.h>

#include <platform/clock.h>
#include <platform/serial.h>

void selftest_console(struct selftest_result *result)
{
    uint64_t start = clock_now();

    if (!serial_ready()) {
        selftest_is(result, SELFTEST_SKIP, "no serial port was found");
        return;
    }
    log_error("console", "the self-test sends a control byte, which must show as \x07 and steer nothing");
    if (!log_contains("console: the self-test sends a control byte, which must show as ? and steer nothing\n")) {
        selftest_is(result, SELFTEST_FAIL, "a line written to the log is not in the ring as it should be");
        return;
    }
    log_set_level(LOG_ERROR);
    log_warn("console", "this must not appear");
    log_set_level(options.level);
    if (log_contains("this must not appear")) {
        selftest_is(result, SELFTEST_FAIL, "a line below the chosen level was kept");
        return;
    }
    selftest_is(result, SELFTEST_PASS, "log ring and level filter hold; one line took %llu us to send",
                (unsigned long long)((clock_now() - start) / NANOSECONDS_PER_MICROSECOND));
}
