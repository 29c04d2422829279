/* test_options.c: the kernel command line, word by word. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <kernel/log.h>
#include <kernel/options.h>
#include <string.h>

#include "host_log.h"
#include "random.h"

static enum log_level level_set;
static unsigned levels_set;

void log_set_level(enum log_level level)
{
    level_set = level;
    levels_set++;
}

static void read(const char *line)
{
    options = (struct options){.level = LOG_INFO};
    levels_set = 0;
    host_log_clear();
    options_read(line);
    assert_int_equal(levels_set, 1);
    assert_int_equal(level_set, options.level);
}

static void nothing(void **state)
{
    static const char *const lines[] = {"", " ", "\t \r\n", "console=serial", "virtio_mmio.device=512@0xfeb00e00:12"};

    (void)state;
    for (unsigned i = 0; i < sizeof lines / sizeof lines[0]; i++) {
        read(lines[i]);
        assert_int_equal(options.level, LOG_INFO);
        assert_int_equal(options.then, THEN_PROMPT);
        assert_false(options.selftest || options.panic_hang);
        assert_string_equal(options.selftest_names, "");
        assert_string_equal(host_log_text(), "");
    }
}

static void each_value(void **state)
{
    (void)state;
    read("loglevel=error");
    assert_int_equal(options.level, LOG_ERROR);
    read("loglevel=warn");
    assert_int_equal(options.level, LOG_WARN);
    read("loglevel=info");
    assert_int_equal(options.level, LOG_INFO);
    read("loglevel=debug");
    assert_int_equal(options.level, LOG_DEBUG);
    read("then=prompt");
    assert_int_equal(options.then, THEN_PROMPT);
    read("then=poweroff");
    assert_int_equal(options.then, THEN_POWEROFF);
    read("then=reboot");
    assert_int_equal(options.then, THEN_REBOOT);
    read("panic=hang");
    assert_true(options.panic_hang);
    read("panic=hang panic=poweroff"); /* the last one holds */
    assert_false(options.panic_hang);
    read("selftest");
    assert_true(options.selftest);
    assert_string_equal(options.selftest_names, "");
    read("selftest=");
    assert_true(options.selftest);
    assert_string_equal(options.selftest_names, "");
    read("selftest=net,blk");
    assert_true(options.selftest);
    assert_string_equal(options.selftest_names, "net,blk");
    assert_string_equal(host_log_text(), "");

    read("  then=reboot\tselftest=rng   loglevel=debug ");
    assert_int_equal(options.then, THEN_REBOOT);
    assert_int_equal(options.level, LOG_DEBUG);
    assert_string_equal(options.selftest_names, "rng");
    assert_string_equal(host_log_text(), "");
}

static void unknown(void **state)
{
    static const struct {
        const char *line, *sentence;
    } rows[] = {
        {"quiet", "warn options: \"quiet\" on the command line is not known and has no effect\n"},
        {"loglevel", "warn options: \"loglevel\" on the command line is not known and has no effect\n"},
        {"loglevels=info", "warn options: \"loglevels=info\" on the command line is not known and has no effect\n"},
        {"=", "warn options: \"=\" on the command line is not known and has no effect\n"},
        {"selftests", "warn options: \"selftests\" on the command line is not known and has no effect\n"},
        {"Then=reboot", "warn options: \"Then=reboot\" on the command line is not known and has no effect\n"},
        {"virtio_mmio.device", "warn options: \"virtio_mmio.device\" on the command line is not known"},
        {"loglevel=", "warn options: loglevel= is not known and has no effect; it can be: error, warn, info, debug\n"},
        {"loglevel=loud",
         "warn options: loglevel=loud is not known and has no effect; it can be: error, warn, info, debug\n"},
        {"loglevel=err", "loglevel=err is not known"},
        {"loglevel=infos", "loglevel=infos is not known"},
        {"then=halt", "warn options: then=halt is not known and has no effect; it can be: prompt, poweroff, reboot\n"},
        {"panic=1", "warn options: panic=1 is not known and has no effect; it can be: poweroff, hang\n"},
        {"console=ttyS0", "warn options: console=ttyS0 is not known and has no effect; it can be: serial\n"},
    };

    (void)state;
    for (unsigned i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        read(rows[i].line);
        assert_int_equal(host_log_count(LOG_WARN), 1);
        if (!host_log_has(rows[i].sentence))
            fail_msg("%s: %s", rows[i].line, host_log_text());
        assert_int_equal(options.level, LOG_INFO);
        assert_int_equal(options.then, THEN_PROMPT);
        assert_false(options.selftest || options.panic_hang);
    }
    read("what then=reboot ever"); /* the others still count */
    assert_int_equal(options.then, THEN_REBOOT);
    assert_int_equal(host_log_count(LOG_WARN), 2);
}

static void long_lists(void **state)
{
    char line[512];

    (void)state;
    for (size_t length = sizeof options.selftest_names - 2; length < sizeof options.selftest_names + 2; length++) {
        memset(line, 'x', sizeof line);
        memcpy(line, "selftest=", 9);
        line[9 + length] = '\0';
        read(line);
        assert_true(options.selftest);
        if (length < sizeof options.selftest_names) {
            assert_string_equal(options.selftest_names, line + 9);
            assert_string_equal(host_log_text(), "");
        } else {
            assert_string_equal(options.selftest_names, "");
            assert_true(host_log_has("selftest= names more than 95 characters; all self-tests run instead"));
        }
    }
}

/* Any bytes at all: nothing but warnings, and names that are terminated. */
static void hostile_bytes(void **state)
{
    static const char *const parts[] = {"selftest", "=", "loglevel", "then", "panic", " ", "hang", ",", "debug"};
    struct test_random random = test_random_start();
    char line[300];

    (void)state;
    read("\x1b[2J\xff\x80 loglevel=\xfe \x7f");
    assert_int_equal(host_log_count(LOG_WARN), 3);
    for (unsigned round = 0; round < 20000; round++) {
        size_t used = 0, length = test_random_below(&random, sizeof line - 16);
        while (used < length) {
            uint64_t dice = test_random_below(&random, 12);
            if (dice < 9) {
                memcpy(line + used, parts[dice], strlen(parts[dice]));
                used += strlen(parts[dice]);
            } else {
                line[used++] = (char)(1 + test_random_below(&random, 255));
            }
        }
        line[used] = '\0';
        read(line);
        assert_non_null(memchr(options.selftest_names, '\0', sizeof options.selftest_names));
        assert_true(options.level <= LOG_DEBUG && options.then <= THEN_REBOOT);
    }
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing),    cmocka_unit_test(each_value),    cmocka_unit_test(unknown),
        cmocka_unit_test(long_lists), cmocka_unit_test(hostile_bytes),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
