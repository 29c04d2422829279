/* test_string.c: lib/string.c beside the C library's functions, on buffers that end where the sanitizer looks. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>
#include "random.h"

#define memcpy  vmos_memcpy
#define memmove vmos_memmove
#define memset  vmos_memset
#define memcmp  vmos_memcmp
#define memchr  vmos_memchr
#define strlen  vmos_strlen
#define strnlen vmos_strnlen
#define strcmp  vmos_strcmp
#define strncmp vmos_strncmp
#define strchr  vmos_strchr
#define strrchr vmos_strrchr
#define strstr  vmos_strstr
#include <lib/string.c>
#undef memcpy
#undef memmove
#undef memset
#undef memcmp
#undef memchr
#undef strlen
#undef strnlen
#undef strcmp
#undef strncmp
#undef strchr
#undef strrchr
#undef strstr

enum { ROUNDS = 20000, MOST = 200 };

static int sign(int value)
{
    return (value > 0) - (value < 0);
}

/* A buffer that ends exactly at the end of an allocation, its start misaligned at will. */
static char *tight(size_t size, size_t misalignment, char **allocation)
{
    *allocation = malloc(size + misalignment + 1);
    assert_non_null(*allocation);
    return *allocation + misalignment;
}

static void fill(struct test_random *random, char *to, size_t size, unsigned letters)
{
    for (size_t i = 0; i < size; i++)
        to[i] = (char)(test_random_below(random, letters) * 0x55);
}

static void copies(void **state)
{
    struct test_random random = test_random_start();

    (void)state;
    for (unsigned round = 0; round < ROUNDS; round++) {
        size_t size = test_random_below(&random, MOST);
        char *a, *b, *from = tight(size, test_random_below(&random, 9), &a),
                     *to = tight(size, test_random_below(&random, 9), &b);
        fill(&random, from, size, 256);
        memset(to, 0x77, size);
        assert_ptr_equal(vmos_memcpy(to, from, size), to);
        assert_memory_equal(to, from, size);
        int byte = (int)test_random_below(&random, 1000) - 500;
        assert_ptr_equal(vmos_memset(to, byte, size), to);
        memset(from, byte, size);
        assert_memory_equal(to, from, size);
        free(a);
        free(b);
    }
}

static void moves_within_a_buffer(void **state)
{
    struct test_random random = test_random_start();
    char mine[2 * MOST], expected[2 * MOST];

    (void)state;
    for (unsigned round = 0; round < ROUNDS; round++) {
        fill(&random, mine, sizeof mine, 256);
        memcpy(expected, mine, sizeof mine);
        size_t size = test_random_below(&random, MOST), to = test_random_below(&random, MOST),
               from = test_random_below(&random, MOST);
        assert_ptr_equal(vmos_memmove(mine + to, mine + from, size), mine + to);
        memmove(expected + to, expected + from, size);
        assert_memory_equal(mine, expected, sizeof mine);
    }
}

static void compares(void **state)
{
    struct test_random random = test_random_start();

    (void)state;
    for (unsigned round = 0; round < ROUNDS; round++) {
        size_t size = test_random_below(&random, MOST);
        char *p, *q, *a = tight(size, test_random_below(&random, 9), &p),
                     *b = tight(size, test_random_below(&random, 9), &q);
        fill(&random, a, size, 256);
        memcpy(b, a, size);
        assert_int_equal(vmos_memcmp(a, b, size), 0);
        if (size != 0) {
            b[test_random_below(&random, size)] ^= (char)(1 << test_random_below(&random, 8));
            b[test_random_below(&random, size)] ^= (char)(1 << test_random_below(&random, 8));
        }
        assert_int_equal(sign(vmos_memcmp(a, b, size)), sign(memcmp(a, b, size)));
        int byte = (int)test_random_below(&random, 256);
        assert_ptr_equal(vmos_memchr(a, byte, size), memchr(a, byte, size));
        free(p);
        free(q);
    }
}

/* Few letters, so that texts often agree for a while. */
static void texts(void **state)
{
    struct test_random random = test_random_start();

    (void)state;
    for (unsigned round = 0; round < ROUNDS; round++) {
        size_t sizes[] = {test_random_below(&random, 20), test_random_below(&random, 6)};
        char *p, *q, *a = tight(sizes[0], 0, &p), *b = tight(sizes[1], 0, &q);
        fill(&random, a, sizes[0], 3);
        fill(&random, b, sizes[1], 3);
        a[sizes[0]] = b[sizes[1]] = '\0';
        size_t limit = test_random_below(&random, 24);
        assert_int_equal(vmos_strlen(a), strlen(a));
        assert_int_equal(vmos_strnlen(a, limit), strnlen(a, limit));
        assert_int_equal(sign(vmos_strcmp(a, b)), sign(strcmp(a, b)));
        assert_int_equal(sign(vmos_strncmp(a, b, limit)), sign(strncmp(a, b, limit)));
        for (int byte = -1; byte < 256; byte += 0x55) {
            assert_ptr_equal(vmos_strchr(a, byte), strchr(a, byte));
            assert_ptr_equal(vmos_strrchr(a, byte), strrchr(a, byte));
        }
        assert_ptr_equal(vmos_strchr(a, 0), strchr(a, 0));
        assert_ptr_equal(vmos_strrchr(a, 0), strrchr(a, 0));
        assert_ptr_equal(vmos_strstr(a, b), strstr(a, b));
        free(p);
        free(q);
    }
}

static void stops_at_the_limit(void **state)
{
    char *unterminated = malloc(5);

    (void)state;
    memcpy(unterminated, "abcde", 5);
    assert_int_equal(vmos_strnlen(unterminated, 5), 5);
    assert_int_equal(vmos_strncmp(unterminated, "abcdef", 5), 0);
    assert_null(vmos_memchr(unterminated, 'f', 5));
    free(unterminated);
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test(copies), cmocka_unit_test(moves_within_a_buffer), cmocka_unit_test(compares),
    cmocka_unit_test(texts),  cmocka_unit_test(stops_at_the_limit),
};

int main(void)
{
    return cmocka_run_group_tests(tests, NULL, NULL);
}
