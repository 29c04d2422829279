/* test_vmos_conf.c: lib/manifest.c: what lines of vmos.conf mean, and what is said of those that mean nothing. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <lib/manifest.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "random.h"

/* The only line of the text, in an exact allocation, which lives until the next call. */
static struct manifest_line one_line(const char *text)
{
    static char *copy;
    struct manifest_line line, other;

    free(copy);
    copy = malloc(strlen(text));
    memcpy(copy, text, strlen(text));
    struct manifest_cursor cursor = {.text = copy, .size = strlen(text)};
    if (!manifest_next(&cursor, &line))
        fail_msg("\"%s\" says nothing", text);
    assert_false(manifest_next(&cursor, &other));
    return line;
}

static struct manifest_service service_of(const char *text)
{
    struct manifest_line line = one_line(text);
    struct manifest_service service = {0};
    char sentence[160] = "";

    assert_int_equal(line.kind, MANIFEST_SERVICE);
    if (line.mistake.expected == NULL && manifest_service(&line, &service))
        return service;
    manifest_sentence(&line, sentence, sizeof sentence);
    fail_msg("\"%s\": %s", text, sentence);
    return service;
}

static void no_more_than_a_name(void **state)
{
    struct manifest_service service = service_of("service web");

    (void)state;
    assert_string_equal(service.name, "web");
    assert_string_equal(service.program, "web");
    assert_int_equal(service.arguments_length, 0);
    assert_int_equal(service.limits[BUDGET_MEMORY], 256 << 10);
    assert_int_equal(service.limits[BUDGET_HANDLES], 32);
    assert_int_equal(service.limits[BUDGET_THREADS], 4);
    assert_int_equal(service.limits[BUDGET_OBJECTS], 16);
    assert_int_equal(service.limits[BUDGET_CPU], 0);
    assert_int_equal(service.cpus, 0);
    assert_int_equal(service.priority, 8);
    assert_int_equal(service.stack, 16384);
    assert_int_equal(service.period_ns, 10000000);
    assert_int_equal(service.give.count, 2);
    assert_string_equal(service.give.words[0], "console");
    assert_string_equal(service.give.words[1], "clock");
    assert_int_equal(service.offer.count + service.use.count, 0);
    assert_int_equal(service.restart, 0);
    assert_int_equal(service.asked, 0);
    assert_int_equal(service.backoff_ns, 100000000);
    assert_int_equal(service.limit, 5);
    assert_int_equal(service.within_ns, 60000000000);
}

static void every_key(void **state)
{
    struct manifest_service service = service_of(
        "  service\tw-1_b program=hello.2 args=\"a # b  c\" memory=1M handles=0x40 threads=7 objects=0 stack=64K "
        "priority=31 cpu=20% period=50ms cpus=0-3,5,62-63 give=console offer=web,www use=a,b,c start=asked "
        "restart=on-crash backoff=2s limit=0 within=10s # and a comment\r");

    (void)state;
    assert_string_equal(service.name, "w-1_b");
    assert_string_equal(service.program, "hello.2");
    assert_int_equal(service.arguments_length, 8);
    assert_memory_equal(service.arguments, "a # b  c", 8);
    assert_int_equal(service.limits[BUDGET_MEMORY], 1 << 20);
    assert_int_equal(service.limits[BUDGET_HANDLES], 64);
    assert_int_equal(service.limits[BUDGET_THREADS], 7);
    assert_int_equal(service.limits[BUDGET_OBJECTS], 0);
    assert_int_equal(service.limits[BUDGET_CPU], 200);
    assert_int_equal(service.cpu_promille, 200);
    assert_int_equal(service.period_ns, 50000000);
    assert_int_equal(service.stack, 65536);
    assert_int_equal(service.priority, 31);
    assert_true(service.cpus == (0x2fu | UINT64_C(3) << 62));
    assert_int_equal(service.give.count, 1);
    assert_int_equal(service.offer.count, 2);
    assert_string_equal(service.offer.words[1], "www");
    assert_int_equal(service.use.count, 3);
    assert_string_equal(service.use.words[2], "c");
    assert_int_equal(service.asked, 1);
    assert_int_equal(service.restart, 1);
    assert_int_equal(service.backoff_ns, 2000000000);
    assert_int_equal(service.limit, 0);
    assert_int_equal(service.within_ns, 10000000000);
    assert_int_equal(service_of("service a give=").give.count, 0);
    assert_int_equal(service_of("service a restart=never start=boot").restart, 0);
    assert_true(service_of("service a cpus=0-63").cpus == UINT64_MAX);
    assert_true(service_of("service a args=plain").arguments_length == 5);
    assert_true(service_of("service a args=\"\"").arguments_length == 0);
}

#define KEY_HINT  "one of the keys that docs/manifest.md lists"
#define NAME_HINT "a name of letters, digits, - and _, 23 at most"
#define LIST_HINT "up to 8 names with commas between"
#define TIME_HINT "a time from 1ms to 10s"
#define CPUS_HINT "CPUs from 0 to 63, as in 0-3,5"

static const struct {
    const char *text, *found, *expected;
} mistakes[] = {
    {"Service a", "Service", "driver or service"},
    {"servicea", "servicea", "driver or service"},
    {"service", "", NAME_HINT},
    {"service # a", "", NAME_HINT},
    {"service a/b", "a/b", NAME_HINT},
    {"service .a", ".a", NAME_HINT},
    {"service \"a\"", "\"a\"", NAME_HINT},
    {"service aaaaaaaaaaaaaaaaaaaaaaaa", "aaaaaaaaaaaaaaaaaaaaaaaa", NAME_HINT},
    {"service memory=64K", "memory=64K", NAME_HINT},
    {"service a b", "b", "KEY=VALUE"},
    {"service a =b", "=b", "KEY=VALUE"},
    {"service a args=\"x y", "service a args=\"x y", "a quote that ends on the same line"},
    {"service a colour=red", "colour=red", KEY_HINT},
    {"service a mem=1M", "mem=1M", KEY_HINT},
    {"service a memoryy=1M", "memoryy=1M", KEY_HINT},
    {"service a \x1b[2J=\x80", "?[2J=?", KEY_HINT},
    {"service a priority=1 priority=1", "priority=1", "each key once"},
    {"service a memory=15K", "memory=15K", "a size from 16K to 1024G"},
    {"service a memory=1025G", "memory=1025G", "a size from 16K to 1024G"},
    {"service a memory=64KB", "memory=64KB", "a size from 16K to 1024G"},
    {"service a memory=", "memory=", "a size from 16K to 1024G"},
    {"service a memory=-1", "memory=-1", "a size from 16K to 1024G"},
    {"service a memory=99999999999999999999999", "memory=99999999999999999999999", "a size from 16K to 1024G"},
    {"service a handles=0", "handles=0", "a number from 1 to 65536"},
    {"service a threads=1025", "threads=1025", "a number from 1 to 1024"},
    {"service a objects=65537", "objects=65537", "a number from 0 to 65536"},
    {"service a stack=1K", "stack=1K", "a size from 4K to 4M"},
    {"service a priority=32", "priority=32", "a number from 0 to 31"},
    {"service a cpu=20", "cpu=20", "a share from 1% to 100%"},
    {"service a cpu=101%", "cpu=101%", "a share from 1% to 100%"},
    {"service a cpu=0%", "cpu=0%", "a share from 1% to 100%"},
    {"service a cpu=18446744073709551615%", "cpu=18446744073709551615%", "a share from 1% to 100%"},
    {"service a period=11s", "period=11s", TIME_HINT},
    {"service a period=10", "period=10", TIME_HINT},
    {"service a period=10us", "period=10us", TIME_HINT},
    {"service a cpus=", "cpus=", CPUS_HINT},
    {"service a cpus=64", "cpus=64", CPUS_HINT},
    {"service a cpus=3-1", "cpus=3-1", CPUS_HINT},
    {"service a cpus=1,", "cpus=1,", CPUS_HINT},
    {"service a cpus=1-", "cpus=1-", CPUS_HINT},
    {"service a cpus=all", "cpus=all", CPUS_HINT},
    {"service a give=a,", "give=a,", LIST_HINT},
    {"service a give=,a", "give=,a", LIST_HINT},
    {"service a use=a,b,c,d,e,f,g,h,i", "use=a,b,c,d,e,f,g,h,i", LIST_HINT},
    {"service a offer=abcdefghijklmnop", "offer=abcdefghijklmnop", LIST_HINT},
    {"service a give=a,b,c,d,e,f,g,h use=a,b,c,d,e,f,g,h", " give=a,b,c,d,e,f,g,h use=a,b,c,d,e,f,g",
     "at most 15 names in give, offer and use"},
    {"service a start=now", "start=now", "boot or asked"},
    {"service a start=boot or", "or", "KEY=VALUE"},
    {"service a start=\"boot or asked\"", "start=\"boot or asked\"", "boot or asked"},
    {"service a restart=always", "restart=always", "never or on-crash"},
    {"service a restart=", "restart=", "never or on-crash"},
    {"service a backoff=0ms", "backoff=0ms", TIME_HINT},
    {"service a limit=1001", "limit=1001", "a number from 0 to 1000"},
    {"service a within=1ms", "within=1ms", "a time from 1s to 86400s"},
    {"service a program=", "program=", "a name of at most 23 characters"},
    {"service a program=../x", "program=../x", "a name of at most 23 characters"},
    {"driver", "", NAME_HINT},
    {"driver a b", "b", "KEY=VALUE"},
};

static void each_mistake_has_its_sentence(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof mistakes / sizeof mistakes[0]; i++) {
        struct manifest_line line = one_line(mistakes[i].text);
        struct manifest_service service;
        bool right = line.mistake.expected == NULL && manifest_service(&line, &service);
        if (right || strcmp(line.mistake.found, mistakes[i].found) != 0 ||
            strcmp(line.mistake.expected, mistakes[i].expected) != 0)
            fail_msg("\"%s\": found \"%s\", expected \"%s\"", mistakes[i].text, line.mistake.found,
                     right ? "nothing else" : line.mistake.expected);
    }
    struct manifest_line line = one_line("service a colour=red");
    struct manifest_service service;
    char sentence[160];
    assert_false(manifest_service(&line, &service));
    manifest_sentence(&line, sentence, sizeof sentence);
    assert_string_equal(sentence, "line 1: found \"colour=red\"; expected: " KEY_HINT);
    line = one_line("\n \n\t# x\nservice");
    manifest_sentence(&line, sentence, sizeof sentence);
    assert_string_equal(sentence, "line 4: it ends too early; expected: " NAME_HINT);
}

static void a_value_with_a_nul(void **state)
{
    static const char text[] = "service a program=b\0c";
    struct manifest_cursor cursor = {.text = text, .size = sizeof text - 1};
    struct manifest_service service;
    struct manifest_line line;

    (void)state;
    assert_true(manifest_next(&cursor, &line));
    assert_false(manifest_service(&line, &service));
    assert_string_equal(line.mistake.expected, "a name of at most 23 characters");
}

static void lines_are_counted(void **state)
{
    static const char text[] = "# one\n\ndriver a x=1 # y\r\n  \nservice b\n\n\nbad\nservice c";
    static const struct {
        unsigned number;
        enum manifest_kind kind;
        bool mistake;
        const char *name, *options;
    } rows[] = {{3, MANIFEST_DRIVER, false, "a", " x=1"},
                {5, MANIFEST_SERVICE, false, "b", ""},
                {8, MANIFEST_UNKNOWN, true, "", ""},
                {9, MANIFEST_SERVICE, false, "c", ""}};
    struct manifest_cursor cursor = {.text = text, .size = sizeof text - 1};
    struct manifest_line line;

    (void)state;
    for (unsigned i = 0; i < 4; i++) {
        assert_true(manifest_next(&cursor, &line));
        assert_int_equal(line.number, rows[i].number);
        assert_int_equal(line.kind, rows[i].kind);
        assert_int_equal(line.mistake.expected != NULL, rows[i].mistake);
        assert_int_equal(line.name_length, strlen(rows[i].name));
        assert_int_equal(line.options_length, strlen(rows[i].options));
        if (!rows[i].mistake) {
            assert_memory_equal(line.name, rows[i].name, line.name_length);
            assert_memory_equal(line.options, rows[i].options, line.options_length);
        }
    }
    assert_false(manifest_next(&cursor, &line));
}

static void any_words(void **state)
{
    static const char *const words[] = {"service ", "driver ", "a ",    "memory=",  "64K ",  "\"",      "#",
                                        "\n",       "cpus=",   "1-",    ",",        "give=", "console", " ",
                                        "\0",       "=",       "args=", "limit=3 ", "\r\n",  "\xff"};
    struct test_random random = test_random_start();
    unsigned good = 0, bad = 0;

    (void)state;
    for (unsigned round = 0; round < 100000; round++) {
        char text[200];
        size_t size = 0;
        while (size < 150 && test_random_below(&random, 20) != 0) {
            const char *word = words[test_random_below(&random, sizeof words / sizeof words[0])];
            size_t length = *word == '\0' ? 1 : strlen(word);
            memcpy(text + size, word, length);
            size += length;
        }
        char *exact = malloc(size);
        memcpy(exact, text, size);
        struct manifest_cursor cursor = {.text = exact, .size = size};
        struct manifest_line line;
        struct manifest_service service;
        while (manifest_next(&cursor, &line)) {
            if (line.kind == MANIFEST_SERVICE && line.mistake.expected == NULL && manifest_service(&line, &service))
                good++;
            else
                bad++;
        }
        free(exact);
    }
    assert_true(good > 1000 && bad > 1000);
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test(no_more_than_a_name),
    cmocka_unit_test(every_key),
    cmocka_unit_test(each_mistake_has_its_sentence),
    cmocka_unit_test(a_value_with_a_nul),
    cmocka_unit_test(lines_are_counted),
    cmocka_unit_test(any_words),
};

int main(void)
{
    return cmocka_run_group_tests(tests, NULL, NULL);
}
