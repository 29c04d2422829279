/* test_manifest.c: vmos.conf, and which ramdisk it comes from. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <memory/memory.h>
#include <platform/boot.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "host_log.h"

/* The embedded ramdisk and the bootloader's, in exact allocations. */
static char *embedded, *embedded_end, *given_bytes;
static size_t ramdisk_mapped; /* bytes from its begin on that are memory */
#define initrd_embedded     embedded
#define initrd_embedded_end embedded_end
#include <kernel/manifest.c>
#include <kernel/ramdisk.c>

struct machine machine;

/* The ramdisk is at this physical address, and there at its own in memory. */
#define GIVEN_AT UINT64_C(0x40000000)

void *physical_to_virtual(uint64_t physical)
{
    return given_bytes + (physical - GIVEN_AT);
}

bool vm_lookup(const void *address, unsigned *access)
{
    *access = 0;
    return (uintptr_t)address - (uintptr_t)given_bytes < ramdisk_mapped;
}

/* A newc archive with one file. */
static char *archive(const char *name, const void *data, size_t length, size_t *size)
{
    char header[2][128];
    size_t named = strlen(name) + 1, data_at = (110 + named + 3) / 4 * 4, end_at = data_at + (length + 3) / 4 * 4;

    snprintf(header[0], sizeof header[0], "070701%08x%08x%08x%08x%08x%08x%08zx%08x%08x%08x%08x%08zx%08x", 1, 0x81a4, 0,
             0, 1, 0, length, 0, 0, 0, 0, named, 0);
    snprintf(header[1], sizeof header[1], "070701%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x", 0, 0, 0, 0, 1,
             0, 0, 0, 0, 0, 0, 11, 0);
    *size = end_at + 124;
    char *bytes = calloc(1, *size);
    memcpy(bytes, header[0], 110);
    memcpy(bytes + 110, name, named);
    memcpy(bytes + data_at, data, length);
    memcpy(bytes + end_at, header[1], 110);
    memcpy(bytes + end_at + 110, "TRAILER!!!", 11);
    return bytes;
}

static void read_bytes(const void *text, size_t length)
{
    size_t size;

    free(embedded);
    embedded = archive("vmos.conf", text, length, &size);
    embedded_end = embedded + size;
    wanted_count = 0;
    from_bootloader = false;
    host_log_clear();
    manifest_read();
}

static void read(const char *text)
{
    read_bytes(text, strlen(text));
}

static int end(void **state)
{
    (void)state;
    free(embedded);
    free(given_bytes);
    embedded = embedded_end = given_bytes = NULL;
    machine.initrd = (struct machine_region){0};
    return 0;
}

/* ---- The text ------------------------------------------------------------------------------------------- */

static void lines(void **state)
{
    static const char *const good[] = {
        "driver a\ndriver bc\n",
        "driver a\ndriver bc",
        "driver a\r\ndriver bc\r\n",
        "\n\n  driver\ta  \n\ndriver bc#x\n",
        "# driver no\ndriver a # driver c\n#\ndriver bc\n",
    };

    (void)state;
    for (unsigned i = 0; i < sizeof good / sizeof good[0]; i++) {
        read(good[i]);
        assert_string_equal(host_log_text(), "");
        assert_int_equal(wanted_count, 2);
        assert_true(manifest_wants_driver("a") && manifest_wants_driver("bc"));
        static const char *const others[] = {"", "b", "c", "bcd", "no", "driver", "a\nd"};
        for (unsigned j = 0; j < sizeof others / sizeof others[0]; j++)
            assert_false(manifest_wants_driver(others[j]));
        assert_string_equal(manifest_source(), "embedded");
    }
    read("");
    assert_int_equal(wanted_count, 0);
    assert_string_equal(host_log_text(), "");
}

/* What is not understood is named with its line, and the rest counts. Services are somebody else's, mistakes too. */
static void sentences(void **state)
{
    static const struct {
        const char *text, *sentence;
    } rows[] = {
        {"drivers a\ndriver good\n", "line 1: found \"drivers\"; expected: driver or service"},
        {"driver\ndriver good\n",
         "line 1: it ends too early; expected: a name of letters, digits, - and _, 23 at most"},
        {"driver good\ndriver a b\n", "line 2: found \"b\"; expected: KEY=VALUE"},
        {"# one\r\n\r\nDRIVER a # three\r\ndriver good\r\n", "line 3: found \"DRIVER\"; expected: driver or service"},
        {"driver good\n\n\n\nweb", "line 5: found \"web\"; expected: driver or service"},
        {"driver good\ndriver # none\n",
         "line 2: it ends too early; expected: a name of letters, digits, - and _, 23 at most"},
        {"driver good\nservice a\nservice\nservice b c\n", NULL},
    };

    (void)state;
    for (unsigned i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char sentence[160];
        read(rows[i].text);
        snprintf(sentence, sizeof sentence, "warn manifest: %s\n", rows[i].sentence);
        assert_int_equal(host_log_count(LOG_WARN), rows[i].sentence != NULL);
        if (rows[i].sentence != NULL && !host_log_has(sentence))
            fail_msg("%s", host_log_text());
        assert_int_equal(wanted_count, 1);
        assert_true(manifest_wants_driver("good"));
    }
}

static void options(void **state)
{
    char value[6] = "-";

    (void)state;
    read("driver nvme timeout=2s  mode=\ttimeout=30s # timeout=1s\r\ndriver b timeout=4s\ndriver c\n");
    assert_string_equal(host_log_text(), "");
    assert_int_equal(wanted_count, 3);
    assert_true(manifest_driver_option("nvme", "timeout", value, sizeof value)); /* the last one counts */
    assert_string_equal(value, "30s");
    assert_true(manifest_driver_option("nvme", "mode", value, sizeof value));
    assert_string_equal(value, "");
    assert_true(manifest_driver_option("b", "timeout", value, 2));
    assert_string_equal(value, "4");
    static const char *const none[][2] = {{"nvme", "time"}, {"nvme", "timeouts"}, {"c", "timeout"}, {"d", "timeout"}};
    for (unsigned i = 0; i < 4; i++)
        assert_false(manifest_driver_option(none[i][0], none[i][1], value, sizeof value));
    read("driver nvme timeout=2s fast\ndriver nvme =2s\n");
    assert_int_equal(wanted_count, 0);
    assert_int_equal(host_log_count(LOG_WARN), 2);
}

static void long_lines(void **state)
{
    char text[600];

    (void)state;
    for (unsigned length = 398; length < 403; length++) {
        memset(text, 'x', sizeof text);
        memcpy(text, "driver a b=", 11);
        text[length] = '\n';
        strcpy(text + length + 1, "driver good");
        read(text);
        assert_int_equal(wanted_count, length <= 400 ? 2 : 1);
        assert_int_equal(host_log_has("expected: a line of at most 400 characters"), length > 400);
        assert_true(manifest_wants_driver("good"));
    }
    memset(text, ' ', sizeof text); /* a long comment is none of the line's */
    memcpy(text, "driver a #", 10);
    strcpy(text + 500, "\ndriver good");
    read(text);
    assert_string_equal(host_log_text(), "");
    assert_int_equal(wanted_count, 2);
}

static void too_many(void **state)
{
    char text[1024] = "";

    (void)state;
    for (unsigned i = 0; i < MAX_DRIVERS + 2; i++)
        snprintf(text + strlen(text), sizeof text - strlen(text), "driver d%u\n", i);
    read(text);
    assert_int_equal(wanted_count, MAX_DRIVERS);
    assert_int_equal(host_log_count(LOG_WARN), 2);
    assert_true(host_log_has("line 17: more than 16 drivers; this one is skipped"));
    assert_true(host_log_has("line 18: more than 16 drivers; this one is skipped"));
    assert_true(manifest_wants_driver("d15"));
    assert_false(manifest_wants_driver("d16"));
}

static void any_bytes(void **state)
{
    char text[600];

    (void)state;
    read_bytes("driver a\0b\ndriver good\n", 23);
    assert_true(manifest_wants_driver("good"));
    for (unsigned seed = 0; seed < 256; seed++) {
        for (unsigned i = 0; i < sizeof text; i++)
            text[i] = (char)(i * 37 + seed * (i / 3));
        memcpy(text + sizeof text - 13, "\ndriver good\n", 13);
        read_bytes(text, sizeof text);
        assert_true(manifest_wants_driver("good") || wanted_count == MAX_DRIVERS);
    }
}

/* What is well formed and names no driver, or one again, is told as well. */
static void names(void **state)
{
    static const struct driver first = {.name = "nvme"}, second = {.name = "virtio-blk"};
    static const struct driver *const drivers[] = {&first, &second};

    (void)state;
    read("driver nvme\n\ndriver virtio-blk timeout=1s\n");
    manifest_check(drivers, 2);
    assert_string_equal(host_log_text(), "");
    read("driver nvm\ndriver virtio-blk\ndriver virtio-blkk\ndriver nvme\n\ndriver virtio-blk timeout=1s\n");
    manifest_check(drivers, 2);
    assert_string_equal(host_log_text(),
                        "warn manifest: line 1: found \"nvm\"; expected: one of the drivers nvme, virtio-blk\n"
                        "warn manifest: line 3: found \"virtio-blkk\"; expected: one of the drivers nvme, virtio-blk\n"
                        "warn manifest: line 6: found \"virtio-blk\"; expected: each driver once\n");
    assert_true(manifest_wants_driver("nvme") && manifest_wants_driver("virtio-blk"));
    read("driver nvme\n");
    manifest_check(drivers, 0);
    assert_int_equal(host_log_count(LOG_WARN), 1);
}

/* ---- Which ramdisk ---------------------------------------------------------------------------------------- */

static void give(char *bytes, size_t size, size_t mapped)
{
    given_bytes = bytes;
    ramdisk_mapped = mapped;
    machine.initrd = (struct machine_region){.base = GIVEN_AT, .size = size};
    read("driver built-in\n");
}

static void of_the_bootloader(void **state)
{
    size_t size;

    (void)state;
    char *bytes = archive("./vmos.conf", "driver mine\n", 12, &size);
    give(bytes, size, size);
    assert_string_equal(host_log_text(), "");
    assert_string_equal(manifest_source(), "the bootloader's");
    assert_true(manifest_wants_driver("mine"));
    assert_false(manifest_wants_driver("built-in"));
}

/* The embedded one takes its place, and the log says so. */
static void falls_back(void **state)
{
    (void)state;
    for (unsigned kind = 0; kind < 6; kind++) {
        size_t size, mapped;
        char *bytes = archive(kind == 1 ? "vmos.config" : "vmos.conf", "driver mine\n", 12, &size);
        mapped = size;
        if (kind == 0)
            memset(bytes, 0xa5, size); /* garbage */
        if (kind == 2)
            size = mapped = 60; /* cut */
        if (kind == 3)
            mapped = size - 1; /* not memory to its end */
        if (kind == 4)
            mapped = 0; /* nor at its begin */
        if (kind == 5)
            size = UINT64_C(1) << 62; /* longer than all memory */
        give(bytes, size, mapped);
        assert_true(host_log_has("warn manifest: the initial ramdisk of the bootloader ("));
        assert_true(host_log_has("is no cpio archive with a vmos.conf; the embedded one is used"));
        assert_string_equal(manifest_source(), "embedded");
        assert_int_equal(wanted_count, 1);
        assert_true(manifest_wants_driver("built-in"));
        free(given_bytes);
        given_bytes = NULL;
    }
}

static void no_manifest_at_all(void **state)
{
    size_t size;

    (void)state;
    read("driver a\n");
    free(embedded);
    embedded = archive("other", "x", 1, &size);
    embedded_end = embedded + size;
    wanted_count = 0;
    manifest_read();
    assert_true(host_log_has("error manifest: the embedded initial ramdisk has no vmos.conf; no driver will run"));
    assert_false(manifest_wants_driver("a"));
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_teardown(name, end)
        TEST(lines), TEST(sentences), TEST(long_lines),        TEST(too_many),   TEST(options),
        TEST(names), TEST(any_bytes), TEST(of_the_bootloader), TEST(falls_back), TEST(no_manifest_at_all),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
