/* test_user_console.c: lib/user/console.c over a kernel that takes little at a time, or nothing. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <lib/user/console.c>
#include <stdlib.h>
#include <string.h>

/* What the kernel answers next; the last answer stays. */
static const struct answer {
    enum status status;
    uint64_t taken; /* at most */
} * answers;
static char got[4096];
static size_t got_size;
static uint64_t now, asked;

uint64_t now_ns(void)
{
    return now;
}

void sleep_until(uint64_t deadline_ns)
{
    assert_true(deadline_ns > now);
    now = deadline_ns;
}

handle start_handle(const char *name)
{
    assert_string_equal(name, "console");
    return 9;
}

struct system_result system_console_write(handle console, const char *text, uint64_t size)
{
    struct answer answer = *answers;

    assert_int_equal(console, 9);
    assert_true(size > 0 && ++asked < 10000);
    if (answers[1].status != STATUS_COUNT)
        answers++;
    if (answer.status != STATUS_OK)
        return (struct system_result){answer.status, 0};
    size = answer.taken < size ? answer.taken : size;
    memcpy(got + got_size, text, size);
    got_size += size;
    return (struct system_result){STATUS_OK, size};
}

static void write_to(const struct answer *script, const char *text)
{
    answers = script;
    got_size = asked = now = 0;
    console_printer.write(&console_printer, text, strlen(text));
    got[got_size] = '\0';
}

static void what_is_not_taken_comes_again(void **state)
{
    static const struct answer script[] = {{STATUS_OK, 3},   {STATUS_BUSY, 0}, {STATUS_OK, 1},   {STATUS_BUSY, 0},
                                           {STATUS_BUSY, 0}, {STATUS_OK, 4},   {STATUS_COUNT, 0}};

    (void)state;
    write_to(script, "0123456789abcdef");
    assert_string_equal(got, "0123456789abcdef");
    assert_int_equal(now, 3 * PAUSE_NS);
}

/* However often: only time without any progress counts. */
static void a_long_text_is_not_given_up(void **state)
{
    static struct answer script[2 * 3000 + 1];
    char text[3001];

    (void)state;
    for (unsigned i = 0; i < 3000; i++) {
        script[2 * i] = (struct answer){STATUS_BUSY, 0};
        script[2 * i + 1] = (struct answer){STATUS_OK, 1};
    }
    script[6000].status = STATUS_COUNT;
    memset(text, 'x', 3000);
    text[3000] = '\0';
    write_to(script, text);
    assert_int_equal(got_size, 3000);
}

static void it_is_given_up_at_last(void **state)
{
    static const struct answer script[] = {{STATUS_OK, 1}, {STATUS_BUSY, 0}, {STATUS_COUNT, 0}};

    (void)state;
    write_to(script, "abc");
    assert_string_equal(got, "a");
    assert_int_equal(now, PAUSES * PAUSE_NS);
}

/* Without a console, and what a kernel does not say. */
static void errors(void **state)
{
    static const struct answer refused[] = {{STATUS_BAD_HANDLE, 0}, {STATUS_COUNT, 0}},
                               nothing[] = {{STATUS_OK, 0}, {STATUS_COUNT, 0}};

    (void)state;
    write_to(refused, "abc");
    assert_int_equal(asked, 1);
    write_to(nothing, "abc");
    assert_int_equal(got_size, 0);
}

static void printf_goes_the_same_way(void **state)
{
    static const struct answer script[] = {{STATUS_OK, 2}, {STATUS_COUNT, 0}};

    (void)state;
    write_to(script, "");
    assert_int_equal(asked, 0);
    assert_int_equal(printf("%d of %s\n", 7, "seven"), 11);
    got[got_size] = '\0';
    assert_string_equal(got, "7 of seven\n");
}

int main(int argc, char **argv)
{
    (void)argc;
    (void)argv;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_not_taken_comes_again), cmocka_unit_test(a_long_text_is_not_given_up),
        cmocka_unit_test(it_is_given_up_at_last),        cmocka_unit_test(errors),
        cmocka_unit_test(printf_goes_the_same_way),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
