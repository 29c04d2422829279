/* test_text.c: lib/text.c, and format_size. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <lib/printf.h>
#include <lib/text.h>
#include <stdlib.h>
#include <string.h>

static void copy_cuts_and_terminates(void **state)
{
    char to[4] = "zzz";

    (void)state;
    assert_int_equal(text_copy(to, "abcdef", 0), 6);
    assert_string_equal(to, "zzz");
    assert_int_equal(text_copy(to, "abcdef", sizeof to), 6);
    assert_string_equal(to, "abc");
    assert_int_equal(text_copy(to, "ab", sizeof to), 2);
    assert_string_equal(to, "ab");
    assert_int_equal(text_copy(to, "abcd", 1), 4);
    assert_string_equal(to, "");
}

static void sanitise_makes_any_field_printable(void **state)
{
    static const struct {
        const char field[9], expected[9];
    } cases[] = {
        {"BOCHS   ", "BOCHS"},
        {"A\x01\xff"
         "B\n\0xy",
         "A??B?"},
        {"        ", ""},
        {"", ""},
        {"ABCDEFGH", "ABCDEFGH"},
        {" a b ~ \x7f", " a b ~ ?"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char *field = malloc(8), *to = malloc(9); /* neither is read or written beyond its end */
        memcpy(field, cases[i].field, 8);
        text_sanitise(to, field, 8);
        assert_string_equal(to, cases[i].expected);
        free(field);
        free(to);
    }
}

static void numbers(void **state)
{
    static const struct {
        const char *text;
        bool good;
        uint64_t value;
        const char *rest;
    } cases[] = {
        {"0", true, 0, ""},
        {"42 x", true, 42, " x"},
        {"0x1fG", true, UINT64_C(31) << 30, ""},
        {"0XaB,", true, 0xab, ","},
        {"512K@0", true, 512 << 10, "@0"},
        {"1m", true, 1 << 20, ""},
        {"3T", true, 3, "T"},
        {"010", true, 10, ""},
        {"18446744073709551615", true, UINT64_MAX, ""},
        {"18446744073709551616", false, 0, NULL},
        {"0xffffffffffffffff", true, UINT64_MAX, ""},
        {"0x10000000000000000", false, 0, NULL},
        {"17179869183G", true, UINT64_C(17179869183) << 30, ""},
        {"17179869184G", false, 0, NULL},
        {"", false, 0, NULL},
        {"0x", false, 0, NULL},
        {"0xg", false, 0, NULL},
        {"-1", false, 0, NULL},
        {" 1", false, 0, NULL},
        {"K", false, 0, NULL},
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const char *end = NULL;
        uint64_t value = 99;
        assert_int_equal(text_to_number(cases[i].text, &end, &value), cases[i].good);
        assert_int_equal(value, cases[i].good ? cases[i].value : 99);
        if (cases[i].good) {
            assert_string_equal(end, cases[i].rest);
            assert_true(text_to_number(cases[i].text, NULL, &value));
        } else {
            assert_null(end);
        }
    }
}

static void words(void **state)
{
    const char *at = "  one two\tthree\n";
    static const char *const expected[] = {"one", "two", "three"};
    size_t length;

    (void)state;
    for (unsigned i = 0; i < 3; i++) {
        at = text_word(at, &length);
        assert_non_null(at);
        assert_int_equal(length, strlen(expected[i]));
        assert_memory_equal(at, expected[i], length);
        at += length;
    }
    assert_null(text_word(at, &length));
    assert_int_equal(length, 0);
    assert_null(text_word("", &length));
}

static void sizes_for_people(void **state)
{
    static const struct {
        unsigned long long size;
        const char *expected;
    } cases[] = {
        {0, "0 B"},
        {513, "513 B"},
        {4096, "4 KiB"},
        {1 << 30, "1 GiB"},
        {(1 << 20) + 1024, "1025 KiB"},
        {1ULL << 63, "8 EiB"},
    };
    char text[24];

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        format_size(text, sizeof text, cases[i].size);
        assert_string_equal(text, cases[i].expected);
    }
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test(copy_cuts_and_terminates),
    cmocka_unit_test(sanitise_makes_any_field_printable),
    cmocka_unit_test(numbers),
    cmocka_unit_test(words),
    cmocka_unit_test(sizes_for_people),
};

int main(void)
{
    return cmocka_run_group_tests(tests, NULL, NULL);
}
