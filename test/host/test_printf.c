/* test_printf.c: lib/printf.c beside the C library's snprintf: a table, and random conversions. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "random.h"

#define vsnprintf vmos_vsnprintf
#define snprintf  vmos_snprintf
#include <lib/printf.c>
#undef vsnprintf
#undef snprintf

enum { ROUNDS = 60000, ROOM = 300 };

/* Both give the same text and length, in any amount of room. */
#define SAME(...)                                                                                                      \
    do {                                                                                                               \
        for (size_t room = 0; room < ROOM; room = room < 12 ? room + 1 : room * 3) {                                   \
            char *mine = malloc(room + 1), *expected = malloc(room + 1);                                               \
            mine[room] = expected[room] = 'x';                                                                         \
            memset(mine, 'x', room);                                                                                   \
            memset(expected, 'x', room);                                                                               \
            assert_int_equal(vmos_snprintf(mine, room, __VA_ARGS__), snprintf(expected, room, __VA_ARGS__));           \
            assert_memory_equal(mine, expected, strnlen(expected, room) + 1);                                          \
            free(mine);                                                                                                \
            free(expected);                                                                                            \
        }                                                                                                              \
    } while (0)

static void table(void **state)
{
    (void)state;
    SAME("nothing to convert");
    SAME("%s", "");
    SAME("100%%, %d of %s", 5, "five");
    SAME("%d %d %d", 0, INT_MIN, INT_MAX);
    SAME("%hhd %hd %ld %lld", -129, 40000, LONG_MIN, LLONG_MIN);
    SAME("%hhu %hu %lu %llu", 300u, 70000u, ULONG_MAX, ULLONG_MAX);
    SAME("%zu %zd %td %jd %ju", SIZE_MAX, (ssize_t)-1, (ptrdiff_t)-5, INTMAX_MIN, UINTMAX_MAX);
    SAME("%x %X %#x %#X %#x", 0xabcdefu, 0xabcdefu, 0xabcdefu, 0xabcdefu, 0u);
    SAME("%o %#o %#o %#.0o %#.5o %#.1o", 8u, 8u, 0u, 0u, 8u, 8u);
    SAME("%.0d|%.0u|%5.0x|%+.0d", 0, 0u, 0u, 0);
    SAME("%+d % d %+ d %05d %-5d| %+05d %-05d|", 3, 3, 3, 3, 3, 3, 3);
    SAME("%8.3d|%-8.3d|%08.3d|%.10d", 7, 7, 7, -7);
    SAME("%#010x|%#-10x|%#10.4x", 0x12u, 0x12u, 0x12u);
    SAME("%*d|%*d|%-*d|%.*d|%.*d", 5, 1, -5, 1, 5, 1, 3, 1, -3, 1);
    SAME("%.3s|%10s|%-10s|%.0s|%10.2s|%.*s", "abcdef", "abc", "abc", "abc", "abc", -1, "all");
    SAME("%c%c%5c|%-5c|", 'a', 'b', 'c', 'd');
    SAME("%s", (const char *)NULL);
    SAME("%p %20p|%-20p|", (void *)0x1234, (void *)UINTPTR_MAX, (void *)1);
    SAME("%016llx-%lx", 0x123456789abcULL, 0UL);
}

static void a_precision_bounds_what_is_read(void **state)
{
    char *unterminated = malloc(3), text[8];

    (void)state;
    memcpy(unterminated, "abc", 3);
    assert_int_equal(vmos_snprintf(text, sizeof text, "%.3s", unterminated), 3);
    assert_string_equal(text, "abc");
    free(unterminated);
}

static void terminates_in_the_room_there_is(void **state)
{
    char text[4] = "xxx";

    (void)state;
    assert_int_equal(vmos_snprintf(text, 0, "%d", 12345), 5);
    assert_string_equal(text, "xxx");
    assert_int_equal(vmos_snprintf(text, 1, "%d", 12345), 5);
    assert_string_equal(text, "");
    assert_int_equal(vmos_snprintf(text, 4, "%d", 12345), 5);
    assert_string_equal(text, "123");
    assert_int_equal(vmos_snprintf(NULL, 0, "%s", "counted"), 7);
}

/* What the compiler refuses in a literal; the outcome is ours to choose. */
static void what_is_not_known_stands_as_it_is(void **state)
{
    static const char *const formats[] = {"%y", "%", "%5", "%-08.3q!", "%l", "50%?"};
    char text[32];

    (void)state;
    for (size_t i = 0; i < sizeof formats / sizeof formats[0]; i++) {
        const char *format = formats[i];
        assert_int_equal(vmos_snprintf(text, sizeof text, format), strlen(format));
        assert_string_equal(text, format);
    }
}

static void lengths_beyond_int_are_an_error(void **state)
{
    char text[8];

    (void)state;
    assert_int_equal(vmos_snprintf(text, sizeof text, "%*d%*d", INT_MAX, 1, INT_MAX, 1), -1);
    assert_string_equal(text, "       ");
    assert_int_equal(vmos_snprintf(text, sizeof text, "%*d", INT_MIN, 1), -1);
    assert_int_equal(vmos_snprintf(text, sizeof text, "%99999999999999999999d%5d", 1, 1), -1);
    assert_int_equal(vmos_snprintf(text, sizeof text, "%.*d%5d", INT_MAX, 1, 1), -1);
}

static void compose(struct test_random *random, char *format)
{
    static const char *const lengths[] = {"hh", "h", "", "l", "ll", "z", "j", "t"};
    char *at = format;

    *at++ = '%';
    for (unsigned i = 0; i < 5; i++)
        if (test_random_below(random, 3) == 0)
            *at++ = "-0+ #"[i];
    if (test_random_below(random, 2) == 0)
        at += sprintf(at, "%u", (unsigned)test_random_below(random, 40));
    if (test_random_below(random, 2) == 0)
        at += sprintf(at, ".%u", (unsigned)test_random_below(random, 40));
    at += sprintf(at, "%s", lengths[test_random_below(random, 8)]);
    *at++ = "diuxXo"[test_random_below(random, 6)];
    *at = '\0';
}

static void random_numbers(void **state)
{
    struct test_random random = test_random_start();
    char format[32], mine[128], expected[128];

    (void)state;
    for (unsigned round = 0; round < ROUNDS; round++) {
        compose(&random, format);
        uint64_t value = test_random64(&random) >> test_random_below(&random, 65) % 64;
        if (test_random_below(&random, 4) == 0)
            value = 0 - value;
        size_t room = test_random_below(&random, sizeof mine) + 1;
        int length = vmos_snprintf(mine, room, format, value);
        if (length != snprintf(expected, room, format, value) || strcmp(mine, expected) != 0)
            fail_msg("\"%s\" of %#llx gives \"%s\", not \"%s\"", format, (unsigned long long)value, mine, expected);
    }
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test(table),
    cmocka_unit_test(a_precision_bounds_what_is_read),
    cmocka_unit_test(terminates_in_the_room_there_is),
    cmocka_unit_test(what_is_not_known_stands_as_it_is),
    cmocka_unit_test(lengths_beyond_int_are_an_error),
    cmocka_unit_test(random_numbers),
};

int main(void)
{
    return cmocka_run_group_tests(tests, NULL, NULL);
}
