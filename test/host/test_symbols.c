/* test_symbols.c: names for addresses, from a table that tools/make-symbols made, beside what llvm-nm says. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <platform/boot.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* An image that is nowhere: only its addresses count. */
enum { IMAGE = 0x10000000 };
static char *const fake_start = (char *)IMAGE;
static char *fake_text_end = (char *)IMAGE + 0x8000;
#define image_start fake_start
#define text_start  (fake_start + 4)
#define text_end    fake_text_end
#include <kernel/symbols.c>

enum { MOST = 64, OFFSET_END = 0x8000 };

static struct {
    uintptr_t offset;
    char name[128];
} expected[MOST];
static unsigned count;

static int by_offset(const void *a, const void *b)
{
    const uintptr_t *x = a, *y = b;

    return *x < *y ? -1 : *x > *y;
}

/* What the linker's optimiser made of names: its own functions in a row are one, and numbers behind a dot are gone. */
static void simplify(void)
{
    unsigned kept = 0;

    for (unsigned i = 0; i < count; i++) {
        bool outlined = strncmp(expected[i].name, "OUTLINED_FUNCTION_", 18) == 0;
        if (outlined)
            strcpy(expected[i].name, "OUTLINED");
        if (strcmp(expected[i].name, "of_two_files.1401") == 0)
            strcpy(expected[i].name, "of_two_files");
        if (!outlined || kept == 0 || strcmp(expected[kept - 1].name, "OUTLINED") != 0)
            expected[kept++] = expected[i];
    }
    assert_int_equal(count - kept, 2);
    count = kept;
}

static int read_expected(void **state)
{
    FILE *pipe = popen("llvm-nm --defined-only build/host/symbols_subject.o", "r");
    unsigned long long address, base = 0;
    char kind, name[128];

    (void)state;
    assert_non_null(pipe);
    while (fscanf(pipe, "%llx %c %127s", &address, &kind, name) == 3) {
        if (strcmp(name, "image_start") == 0)
            base = address;
        if ((kind != 't' && kind != 'T') || count == MOST)
            continue;
        expected[count].offset = address;
        strcpy(expected[count++].name, name);
    }
    assert_int_equal(pclose(pipe), 0);
    for (unsigned i = 0; i < count; i++)
        expected[i].offset -= base;
    qsort(expected, count, sizeof expected[0], by_offset);
    simplify();
    assert_true(count > 10);
    return 0;
}

/* Whether the name is one that the address at `offset` may be called by. */
static bool is_right(uintptr_t offset, const char *name, size_t inside)
{
    bool right = false;

    for (unsigned i = 0; i < count; i++) {
        if (expected[i].offset > offset)
            break;
        if (i == 0 || expected[i].offset != expected[i - 1].offset)
            right = false; /* what begins later is nearer */
        right |= strncmp(expected[i].name, name, SYMBOL_NAME_SIZE - 1) == 0 && strlen(name) < SYMBOL_NAME_SIZE &&
                 inside == offset - expected[i].offset;
    }
    return right;
}

static void every_address(void **state)
{
    unsigned named = 0;

    (void)state;
    for (uintptr_t offset = 0; offset < OFFSET_END + 16; offset++) {
        char name[SYMBOL_NAME_SIZE];
        size_t inside = SIZE_MAX;
        memset(name, 0x7f, sizeof name);
        bool found = symbol_find(IMAGE + offset, name, &inside);
        assert_int_equal(found, offset >= 4 && offset < OFFSET_END && offset >= expected[0].offset);
        if (!found)
            continue;
        named++;
        if (!is_right(offset, name, inside))
            fail_msg("%zx is called %s+%zx", (size_t)offset, name, inside);
    }
    assert_true(named > 4000);
}

static void elsewhere(void **state)
{
    static const uintptr_t addresses[] = {0, 1, IMAGE - 1, IMAGE + OFFSET_END, UINTPTR_MAX};
    char name[SYMBOL_NAME_SIZE];
    size_t inside;

    (void)state;
    for (unsigned i = 0; i < sizeof addresses / sizeof addresses[0]; i++)
        assert_false(symbol_find(addresses[i], name, &inside));
    fake_text_end = fake_start; /* no code at all */
    assert_false(symbol_find(IMAGE + 100, name, &inside));
    fake_text_end = fake_start + OFFSET_END;
    assert_int_equal(symbol_find(IMAGE + 100, name, &inside), true);
}

/* A table that ends anywhere, or that is not one, gives a right answer or none, in bounded time. */
static void truncated(void **state)
{
    size_t whole = (size_t)(symbol_list_end - symbol_list);
    unsigned refused = 0;

    (void)state;
    for (size_t size = 0; size < whole; size++) {
        uint8_t *copy = malloc(size); /* the sanitizer looks at its end */
        memcpy(copy, symbol_list, size);
        struct reader reader = {.pairs = symbol_pairs, .at = copy, .end = copy + size};
        char name[SYMBOL_NAME_SIZE];
        size_t inside;
        if (find(&reader, expected[count - 1].offset, name, &inside))
            assert_true(is_right(expected[count - 1].offset - inside, name, 0));
        else
            refused++;
        free(copy);
    }
    assert_in_range(refused, whole / 2, whole);
}

/* The file that a program's table is in: its image begins at 0. */
static void of_a_program(void **state)
{
    FILE *pipe = fopen("build/host/symbols_table.sym", "rb");
    uint8_t bytes[8192];
    char name[SYMBOL_NAME_SIZE];
    size_t inside;

    (void)state;
    assert_non_null(pipe);
    size_t size = fread(bytes, 1, sizeof bytes, pipe);
    fclose(pipe);
    assert_in_range(size, 16 + 512 + 1, sizeof bytes - 1);
    for (unsigned i = 0; i < count; i++) {
        uintptr_t place = expected[i].offset + 16; /* image_start has no meaning there */
        assert_true(symbol_find_in(bytes, size, place, name, &inside));
        assert_true(is_right(expected[i].offset, name, inside));
    }
    assert_false(symbol_find_in(bytes, size, 15, name, &inside));
    for (size_t cut = 0; cut < 16 + 512; cut++) {
        uint8_t *copy = malloc(cut);
        memcpy(copy, bytes, cut);
        assert_false(symbol_find_in(copy, cut, 100, name, &inside));
        free(copy);
    }
    bytes[3] ^= 1;
    assert_false(symbol_find_in(bytes, size, 100, name, &inside));
}

static void hostile(void **state)
{
    static const struct {
        const char *what;
        uint8_t pair_of_a[2];
        uint8_t list[16], size;
    } rows[] = {
        {"a distance without an end", {0, 0}, {0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 'b', 0}, 8},
        {"a distance beyond the end", {0, 0}, {0x80}, 1},
        {"a pair whose first half is itself", {'a', 'b'}, {1, 'a', 0}, 3},
        {"a pair whose second half is itself", {'b', 'a'}, {1, 'a', 0}, 3},
        {"a pair that ends the name and goes on", {0, 'b'}, {1, 'a', 0}, 3},
        {"a name without an end", {'b', 'c'}, {1, 'a', 'a'}, 3},
    };

    (void)state;
    for (unsigned i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        uint8_t pairs[256][2] = {{0}};
        struct reader reader = {.pairs = pairs, .at = rows[i].list, .end = rows[i].list + rows[i].size};
        char name[SYMBOL_NAME_SIZE];
        size_t inside;
        memcpy(pairs['a'], rows[i].pair_of_a, 2);
        if (find(&reader, 100, name, &inside))
            fail_msg("%s: %s+%zu", rows[i].what, name, inside);
    }
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_address), cmocka_unit_test(elsewhere), cmocka_unit_test(truncated),
        cmocka_unit_test(of_a_program),  cmocka_unit_test(hostile),
    };

    return cmocka_run_group_tests(tests, read_expected, NULL);
}
