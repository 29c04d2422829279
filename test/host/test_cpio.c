/* test_cpio.c: lib/cpio.c on archives that cpio itself writes, and on broken ones. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <lib/cpio.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "random.h"

enum { ARCHIVE_MOST = 1 << 20 };

/* The output of a shell command, in an allocation of exactly its size. */
static uint8_t *output_of(const char *command, size_t *size)
{
    uint8_t *all = malloc(ARCHIVE_MOST), *exact;
    FILE *pipe = popen(command, "r");

    assert_non_null(pipe);
    *size = fread(all, 1, ARCHIVE_MOST, pipe);
    assert_int_equal(pclose(pipe), 0);
    exact = malloc(*size);
    memcpy(exact, all, *size);
    free(all);
    return exact;
}

#define MAKE_FILES                                                                                                     \
    "set -e; d=$(mktemp -d); trap 'rm -rf $d' EXIT; cd $d; mkdir sub; printf hello >a; : >empty; "                     \
    "seq 1 5000 >sub/numbers; ln -s a link; printf x >name-that-is-rather-long; "

static void finds_what_cpio_packed(void **state)
{
    static const char *const variants[] = {
        MAKE_FILES "find . | cpio --quiet -o -H newc",
        MAKE_FILES "find . -printf '%P\\n' | tail -n +2 | cpio --quiet -o -H newc",
        MAKE_FILES "find . | cpio --quiet -o -H crc",
    };

    (void)state;
    for (size_t i = 0; i < sizeof variants / sizeof variants[0]; i++) {
        size_t size, length;
        uint8_t *archive = output_of(variants[i], &size);
        const void *data;
        assert_int_equal(cpio_find(archive, size, "a", &data, &length), STATUS_OK);
        assert_int_equal(length, 5);
        assert_memory_equal(data, "hello", 5);
        assert_int_equal(cpio_find(archive, size, "empty", &data, &length), STATUS_OK);
        assert_int_equal(length, 0);
        assert_int_equal(cpio_find(archive, size, "sub/numbers", &data, &length), STATUS_OK);
        assert_int_equal(length, 23893);
        assert_memory_equal((const char *)data + length - 10, "4999\n5000\n", 10);
        assert_int_equal(cpio_find(archive, size, "name-that-is-rather-long", &data, &length), STATUS_OK);
        assert_int_equal(cpio_find(archive, size, "sub", &data, &length), STATUS_NOT_FOUND);
        assert_int_equal(cpio_find(archive, size, "link", &data, &length), STATUS_NOT_FOUND);
        assert_int_equal(cpio_find(archive, size, "absent", &data, &length), STATUS_NOT_FOUND);
        assert_int_equal(cpio_find(archive, size, "TRAILER!!!", &data, &length), STATUS_NOT_FOUND);
        free(archive);
    }
}

static void lists_what_cpio_lists(void **state)
{
    size_t size, listed, offset = 0;
    uint8_t *archive = output_of(MAKE_FILES "find . | cpio --quiet -o -H newc", &size);
    char *expected = (char *)output_of(MAKE_FILES "find . | cpio --quiet -o -H newc | cpio --quiet -t", &listed);
    char *at = expected;
    struct cpio_entry entry;

    (void)state;
    while (cpio_next(archive, size, &offset, &entry) == STATUS_OK) {
        size_t length = strlen(entry.name);
        assert_true((size_t)(expected + listed - at) > length);
        assert_memory_equal(at, entry.name, length);
        assert_int_equal(at[length], '\n');
        at += length + 1;
    }
    assert_ptr_equal(at, expected + listed);
    free(archive);
    free(expected);
}

static size_t put_entry(char *to, const char *name, unsigned mode, const char *data)
{
    size_t name_size = strlen(name) + 1, at = (110 + name_size + 3) & ~(size_t)3;

    memset(to, 0, at + strlen(data) + 3);
    sprintf(to, "070701%08x%08x%08x%08x%08x%08x%08zx%08x%08x%08x%08x%08zx%08x", 1u, mode, 0u, 0u, 1u, 0u, strlen(data),
            0u, 0u, 0u, 0u, name_size, 0u);
    memcpy(to + 110, name, name_size);
    memcpy(to + at, data, strlen(data));
    return (at + strlen(data) + 3) & ~(size_t)3;
}

/* Each is a good archive of one file "f" and a trailer, with a few bytes overwritten. */
static void broken_archives_are_invalid(void **state)
{
    static const struct {
        size_t at;
        const char *bytes;
    } cases[] = {
        {0, "070702x"},           /* the inode is not hexadecimal, but nobody reads it */
        {0, "070707"},            /* the magic of another format */
        {6 + 8 * 6, "ffffffff"},  /* file size */
        {6 + 8 * 6, "0000zz00"},  /* not hexadecimal */
        {6 + 8 * 6, "00001000"},  /* beyond the end */
        {6 + 8 * 11, "00000000"}, /* no name, not even its NUL */
        {6 + 8 * 11, "ffffffff"}, /* name size */
        {6 + 8 * 11, "00000001"}, /* the name is not terminated where it should end */
        {6 + 8 * 11, "00000100"}, /* beyond the end */
    };
    char good[512];
    const void *data;
    size_t length, size = put_entry(good, "f", 0100644, "data");

    (void)state;
    size += put_entry(good + size, "TRAILER!!!", 0, "");
    assert_int_equal(cpio_find(good, size, "f", &data, &length), STATUS_OK);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char *archive = malloc(size);
        memcpy(archive, good, size);
        memcpy(archive + cases[i].at, cases[i].bytes, strlen(cases[i].bytes));
        assert_int_equal(cpio_find(archive, size, "f", &data, &length), i == 0 ? STATUS_OK : STATUS_INVALID);
        free(archive);
    }
    for (size_t cut = 0; cut < size; cut++) {
        char *archive = malloc(cut + 1);
        memcpy(archive, good, cut);
        size_t offset = 0;
        struct cpio_entry entry;
        enum status status;
        while ((status = cpio_next(archive, cut, &offset, &entry)) == STATUS_OK)
            ;
        assert_true(status == STATUS_INVALID || cut > size - 4); /* the last bytes are padding */
        free(archive);
    }
}

static void any_bytes_end_somewhere(void **state)
{
    struct test_random random = test_random_start();
    char good[512];
    size_t size = put_entry(good, "f", 0100644, "data");

    (void)state;
    size += put_entry(good + size, "sub/g", 0100644, "more data");
    size += put_entry(good + size, "TRAILER!!!", 0, "");
    for (unsigned round = 0; round < 50000; round++) {
        char *archive = malloc(size);
        memcpy(archive, good, size);
        for (uint64_t changes = test_random_below(&random, 6); changes != 0; changes--)
            archive[test_random_below(&random, size)] = "0123456789abcdefF\0xg"[test_random_below(&random, 20)];
        const void *data;
        size_t length;
        if (cpio_find(archive, size, "sub/g", &data, &length) == STATUS_OK)
            assert_true((const char *)data >= archive && (const char *)data + length <= archive + size);
        free(archive);
    }
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test(finds_what_cpio_packed),
    cmocka_unit_test(lists_what_cpio_lists),
    cmocka_unit_test(broken_archives_are_invalid),
    cmocka_unit_test(any_bytes_end_somewhere),
};

int main(void)
{
    return cmocka_run_group_tests(tests, NULL, NULL);
}
