/* test_efi.c: what the EFI stub leaves, as the kernel reads it: maps that contradict themselves as a table of rows, the
 * command line out of its three sources, the initial ramdisk. */
#include <machine/readers.h>
#include <lib/bytes.h>
#include "host_log.h"
#include "physical.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

enum {
    HANDOFF = 0x70007000,
    OPTIONS = 0x70008000,
    CONFIGURATION = 0x70020000,
    MAP = 0x70040000,
    RAMDISK = 0x70080000,
    MAX_DESCRIPTORS = 600,
    STEP_MAX = 64
};

#define WB    UINT64_C(0xf)
#define KIB   UINT64_C(1024)
#define MIB   (KIB * KIB)
#define PAGES UINT64_C(256) /* of a MiB */

static struct machine m;
static struct machine_room room;

struct descriptor {
    uint32_t type;
    uint64_t base, pages, attribute;
};

struct given {
    struct descriptor map[MAX_DESCRIPTORS];
    unsigned count;
    unsigned step;       /* 0: 48 */
    uint64_t cut;        /* bytes that are missing at the end of the map */
    const char *text;    /* vmos.conf */
    size_t text_size;    /* 0: strlen(text) */
    const void *options; /* load options */
    size_t options_size;
    struct efi_piece initrd;
    struct efi_handoff handoff; /* what the test wants in it beforehand */
};

static void store64(uint8_t *to, uint64_t value)
{
    store_le32(to, (uint32_t)value);
    store_le32(to + 4, (uint32_t)(value >> 32));
}

/* Puts everything into memory, reads it back and puts the machine in order. */
static enum status read_given(const struct given *given)
{
    struct physical *physical = physical_make();
    struct efi_handoff handoff = given->handoff, taken;
    unsigned step = given->step != 0 ? given->step : 48;
    uint8_t *bytes = calloc(MAX_DESCRIPTORS, STEP_MAX);

    for (unsigned i = 0; i < given->count; i++) {
        uint8_t *to = bytes + (size_t)i * step;
        memset(to, 0xa5, step); /* what is not said here must not matter */
        store_le32(to, given->map[i].type);
        store64(to + 8, given->map[i].base);
        store64(to + 24, given->map[i].pages);
        store64(to + 32, given->map[i].attribute);
    }
    handoff.magic = EFI_HANDOFF_MAGIC;
    if (handoff.descriptor_size == 0)
        handoff.descriptor_size = step;
    handoff.map = (struct efi_piece){MAP, (uint64_t)given->count * step - given->cut};
    if (given->count != 0)
        physical_put(physical, MAP, bytes, handoff.map.size);
    if (given->text != NULL) {
        handoff.configuration =
            (struct efi_piece){CONFIGURATION, given->text_size != 0 ? given->text_size : strlen(given->text)};
        physical_put(physical, CONFIGURATION, given->text, handoff.configuration.size);
    }
    if (given->options != NULL) {
        size_t size = given->options_size < EFI_HANDOFF_OPTIONS ? given->options_size : EFI_HANDOFF_OPTIONS;
        handoff.load_options = (struct efi_piece){OPTIONS, size};
        handoff.load_options_size = given->options_size;
        physical_put(physical, OPTIONS, given->options, size);
    }
    handoff.initrd = given->initrd;
    physical_put(physical, HANDOFF, &handoff, sizeof handoff);
    enum status status = efi_take(&physical->memory, HANDOFF, &taken);
    if (status == STATUS_OK)
        status = efi_read(&m, &physical->memory, HANDOFF, &taken);
    machine_finish(&m);
    physical_free(physical);
    free(bytes);
    return status;
}

static int begin(void **state)
{
    (void)state;
    host_log_clear();
    machine_init(&m, &room);
    return 0;
}

/* What a page is; MEMORY_KIND_COUNT: nothing. */
static enum memory_kind kind_at(uint64_t address)
{
    for (uint32_t i = 0; i < m.memory_count; i++)
        if (address - m.memory[i].base < m.memory[i].size)
            return m.memory[i].kind;
    return MEMORY_KIND_COUNT;
}

static uint64_t usable(void)
{
    uint64_t sum = 0;

    for (uint32_t i = 0; i < m.memory_count; i++)
        sum += m.memory[i].kind == MEMORY_USABLE ? m.memory[i].size : 0;
    return sum;
}

/* ---- The map ------------------------------------------------------------------------------------------------ */

/* H01, H02, H04: a map, one address and what it must be, and how much is usable. */
static const struct row {
    const char *name;
    struct descriptor map[5];
    uint64_t address;
    enum memory_kind kind;
    uint64_t usable;
} rows[] = {
    {"conventional", {{7, MIB, PAGES, WB}}, MIB, MEMORY_USABLE, MIB},
    {"loader code", {{1, MIB, PAGES, WB}}, MIB, MEMORY_USABLE, MIB},
    {"loader data", {{2, MIB, PAGES, WB}}, MIB, MEMORY_USABLE, MIB},
    {"boot services code", {{3, MIB, PAGES, WB}}, MIB, MEMORY_USABLE, MIB},
    {"boot services data", {{4, MIB, PAGES, WB}}, MIB, MEMORY_USABLE, MIB},
    {"runtime code", {{5, MIB, PAGES, WB | 1ull << 63}}, MIB, MEMORY_RESERVED, 0},
    {"runtime data", {{6, MIB, PAGES, WB | 1ull << 63}}, MIB, MEMORY_RESERVED, 0},
    {"bad", {{8, MIB, PAGES, WB}}, MIB, MEMORY_BAD, 0},
    {"ACPI tables", {{9, MIB, PAGES, WB}}, MIB, MEMORY_ACPI_RECLAIM, 0},
    {"ACPI storage", {{10, MIB, PAGES, WB}}, MIB, MEMORY_ACPI_NVS, 0},
    {"registers", {{11, MIB, PAGES, 1}}, MIB, MEMORY_RESERVED, 0},
    {"persistent", {{14, MIB, PAGES, WB}}, MIB, MEMORY_RESERVED, 0},
    {"unaccepted", {{15, MIB, PAGES, WB}}, MIB, MEMORY_RESERVED, 0},
    {"type of the future", {{16, MIB, PAGES, WB}}, MIB, MEMORY_RESERVED, 0},
    {"type of an OEM", {{0x80000001, MIB, PAGES, WB}}, MIB, MEMORY_RESERVED, 0},
    {"not cacheable", {{7, MIB, PAGES, 1}}, MIB, MEMORY_RESERVED, 0},
    {"for a specific purpose", {{7, MIB, PAGES, WB | 0x40000}}, MIB, MEMORY_RESERVED, 0},
    {"no pages", {{7, MIB, 0, WB}, {7, 4 * MIB, PAGES, WB}}, MIB, MEMORY_KIND_COUNT, MIB},
    {"2^52 pages usable", {{7, MIB, 1ull << 52, WB}, {7, 4 * MIB, PAGES, WB}}, 64 * MIB, MEMORY_KIND_COUNT, MIB},
    {"2^64-1 pages usable", {{7, 0, UINT64_MAX, WB}, {7, 4 * MIB, PAGES, WB}}, 64 * MIB, MEMORY_KIND_COUNT, MIB},
    {"usable wraps",
     {{7, UINT64_MAX - MIB + 1, 2 * PAGES, WB}, {7, 4 * MIB, PAGES, WB}},
     0x1000,
     MEMORY_KIND_COUNT,
     MIB},
    {"2^52 pages reserved",
     {{7, MIB, PAGES, WB}, {0, 2 * MIB, 1ull << 52, 0}, {7, 4 * MIB, PAGES, WB}},
     5 * MIB,
     MEMORY_RESERVED,
     MIB},
    {"reserved wins, first", {{0, MIB, PAGES, WB}, {7, MIB, 2 * PAGES, WB}}, MIB, MEMORY_RESERVED, MIB},
    {"reserved wins, last",
     {{7, MIB, 2 * PAGES, WB}, {0, MIB + 512 * KIB, PAGES, WB}},
     MIB + 512 * KIB,
     MEMORY_RESERVED,
     MIB},
    {"reserved in the middle", {{7, MIB, 3 * PAGES, WB}, {6, 2 * MIB, PAGES, WB}}, 2 * MIB, MEMORY_RESERVED, 2 * MIB},
    {"not sorted",
     {{7, 8 * MIB, PAGES, WB}, {0, 4 * MIB, PAGES, WB}, {7, MIB, PAGES, WB}},
     8 * MIB,
     MEMORY_USABLE,
     2 * MIB},
    {"said twice", {{7, MIB, PAGES, WB}, {7, MIB, PAGES, WB}}, MIB, MEMORY_USABLE, MIB},
    {"base not on a page", {{7, MIB + 0x123, PAGES, WB}}, MIB, MEMORY_KIND_COUNT, MIB - 4 * KIB},
    {"reserved not on a page", {{7, MIB, PAGES, WB}, {0, MIB + 0x123, 1, WB}}, MIB, MEMORY_RESERVED, MIB - 8 * KIB},
    {"page 0", {{7, 0, 160, WB}, {7, MIB, PAGES, WB}}, 0, MEMORY_KIND_COUNT, MIB + 636 * KIB},
    {"hole below a MiB",
     {{7, 0x1000, 159, WB}, {0, 0xf0000, 16, WB}, {7, MIB, PAGES, WB}},
     0xa0000,
     MEMORY_KIND_COUNT,
     MIB + 636 * KIB},
    {"only above 4 GiB", {{7, 1ull << 32, PAGES, WB}}, 1ull << 32, MEMORY_USABLE, MIB},
    {"above what there can be", {{7, 1ull << 56, PAGES, WB}, {7, MIB, PAGES, WB}}, 1ull << 56, MEMORY_KIND_COUNT, MIB},
    {"up to what there can be", {{7, (1ull << 56) - MIB, PAGES, WB}}, (1ull << 56) - 1, MEMORY_USABLE, MIB},
};

static void map_rows(void **state)
{
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        for (unsigned step = 40; step <= STEP_MAX; step += 8) {
            struct given given = {.count = 5, .step = step};
            begin(state);
            memcpy(given.map, rows[i].map, sizeof rows[i].map); /* the rest: no pages */
            assert_int_equal(read_given(&given), STATUS_OK);
            if (kind_at(rows[i].address) != rows[i].kind || usable() != rows[i].usable)
                fail_msg("%s, step %u: kind %d, %llu KiB usable\n%s", rows[i].name, step, kind_at(rows[i].address),
                         (unsigned long long)usable() / 1024, host_log_text());
        }
}

/* H03: of what is loader data, and so usable, what we still need is not. */
static void what_is_ours_is_kept(void **state)
{
    struct given given = {.count = 1,
                          .map = {{2, 0x70000000, 16 * PAGES, WB}},
                          .text = "cmdline then=poweroff\n",
                          .options = u"loglevel=debug",
                          .options_size = 30,
                          .initrd = {RAMDISK, 0x1234}};

    (void)state;
    assert_int_equal(read_given(&given), STATUS_OK);
    assert_int_equal(kind_at(HANDOFF), MEMORY_TABLES);
    assert_int_equal(kind_at(OPTIONS), MEMORY_TABLES);
    assert_int_equal(kind_at(CONFIGURATION), MEMORY_TABLES);
    assert_int_equal(kind_at(MAP), MEMORY_TABLES);
    assert_int_equal(kind_at(RAMDISK), MEMORY_INITRD);
    assert_int_equal(kind_at(RAMDISK + 0x1000), MEMORY_INITRD);
    assert_int_equal(kind_at(RAMDISK + 0x2000), MEMORY_USABLE);
    assert_int_equal(m.initrd.base, RAMDISK);
    assert_int_equal(m.initrd.size, 0x1234);
}

static void hundreds_of_pieces(void **state)
{
    struct given *given = calloc(1, sizeof *given);

    (void)state;
    given->count = MAX_DESCRIPTORS; /* as firmware does: types alternate, but nearly all of it becomes usable */
    for (unsigned i = 0; i < MAX_DESCRIPTORS; i++)
        given->map[i] = (struct descriptor){(uint32_t[]){1, 2, 3, 4, 7}[i % 5], MIB + i * 0x10000, 16, WB};
    given->map[MAX_DESCRIPTORS - 1].type = 6;
    assert_int_equal(read_given(given), STATUS_OK);
    assert_int_equal(usable(), (MAX_DESCRIPTORS - 1) * 0x10000);
    assert_string_equal(host_log_text(), "");
    free(given);
}

/* A device tree may call memory usable that the firmware keeps. */
static void only_the_map_makes_usable(void **state)
{
    struct given given = {.count = 1, .map = {{7, 4 * MIB, PAGES, WB}}};

    (void)state;
    machine_add_memory(&m, MIB, 16 * MIB, MEMORY_USABLE);
    machine_add_memory(&m, 2 * MIB, MIB, MEMORY_RESERVED);
    assert_int_equal(read_given(&given), STATUS_OK);
    assert_int_equal(usable(), MIB);
    assert_int_equal(kind_at(2 * MIB), MEMORY_RESERVED);
}

static void maps_that_are_none(void **state)
{
    const struct {
        uint64_t descriptor_size;
        unsigned count;
        uint64_t cut;
        enum status status;
    } cases[] = {{39, 4, 0, STATUS_INVALID},    {0, 4, 0, STATUS_OK},
                 {1025, 40, 0, STATUS_INVALID}, {UINT64_MAX, 4, 0, STATUS_INVALID},
                 {48, 0, 0, STATUS_INVALID},    {48, 1, 1, STATUS_INVALID},
                 {48, 2, 47, STATUS_OK} /* one and a piece: the piece does not count */};

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct given given = {.count = cases[i].count,
                              .cut = cases[i].cut,
                              .map = {{7, MIB, PAGES, WB}, {7, 4 * MIB, PAGES, WB}},
                              .handoff = {.descriptor_size = cases[i].descriptor_size}};
        begin(state);
        assert_int_equal(read_given(&given), cases[i].status);
        assert_true(cases[i].status == STATUS_OK || host_log_has("the memory map has"));
    }
    assert_int_equal(usable(), MIB);
}

static void a_map_that_is_not_there(void **state)
{
    struct physical *physical = physical_make();
    struct efi_handoff handoff = {.magic = EFI_HANDOFF_MAGIC, .descriptor_size = 48, .map = {MAP, 4800}}, taken;

    (void)state;
    assert_int_equal(efi_take(&physical->memory, HANDOFF, &taken), STATUS_INVALID);
    uint8_t *bytes = physical_put(physical, HANDOFF, &handoff, sizeof handoff);
    assert_int_equal(efi_take(&physical->memory, HANDOFF, &taken), STATUS_OK);
    assert_int_equal(efi_read(&m, &physical->memory, HANDOFF, &taken), STATUS_INVALID);
    assert_true(host_log_has("cannot be read"));
    bytes[0] ^= 1;
    assert_int_equal(efi_take(&physical->memory, HANDOFF, &taken), STATUS_INVALID);
    physical_free(physical);
}

/* ---- The command line --------------------------------------------------------------------------------------- */

#define U(text) u##text, sizeof u##text
#define LONG50  "0123456789 0123456789 0123456789 0123456789 01234 "
#define LONG300 LONG50 LONG50 LONG50 LONG50 LONG50 LONG50

static const struct line {
    const char *text;
    const void *options;
    size_t options_size;
    const char *expected;
    const char *said; /* NULL: nothing */
} lines[] = {
    {"cmdline selftest then=poweroff\n", NULL, 0, "selftest then=poweroff", NULL},
    {"cmdline selftest", NULL, 0, "selftest", NULL},
    {"\r\n# nothing\r\n  cmdline\t a \t b # c\r\n", NULL, 0, "a b", NULL},
    {"\xef\xbb\xbf"
     "cmdline a\n",
     NULL, 0, "a", NULL},
    {"cmdline=a=b c\ncmdline = d\n", NULL, 0, "a=b c d", NULL},
    {"cmdline\ncmdline \n", NULL, 0, "", NULL},
    {"cmdlines a\ncmdline b\n", NULL, 0, "b", "vmos.conf line 1: \"cmdlines a\" is not understood"},
    {"x\n\n\xff\x80\x01 y\n", NULL, 0, "", "vmos.conf line 3: \"??? y\" is not understood"},
    {"a line that goes on for longer than is shown\n", NULL, 0, "", "\"a line that goes on for longer t...\""},
    {"cmdline a\x80z \x1b[2J\n", NULL, 0, "a?z [2J", NULL},
    {NULL, U("selftest then=reboot"), "selftest then=reboot", NULL},
    {"cmdline then=poweroff\n", U("then=reboot"), "then=poweroff then=reboot", NULL},
    {NULL, U("\\EFI\\BOOT\\BootX64.EFI then=reboot"), "then=reboot", NULL},
    {NULL, U("vmos.efi"), "", NULL},
    {NULL, U(""), "", NULL},
    {NULL, U("a\0\x4e\x00ff"), "a", NULL},
    {NULL, "\x8a\x9f\x01\x81\x11\x9f\x85\x4d\x10\x59\xee\x12\x15\x21\xe2\x9c", 16, "",
     "the load options, 16 bytes, are no text"},
    {NULL, "a", 1, "", "the load options, 1 bytes, are no text"},
    {NULL, U("\x4e00"), "", "are no text"},
    {"cmdline " LONG300 LONG300 LONG300 LONG300 "end\n", NULL, 0, NULL, "what does not fit of vmos.conf is left out"},
    {NULL, U("" LONG300 LONG300 LONG300 LONG300), NULL, "what does not fit of the load options is left out"},
};
_Static_assert(sizeof LONG300 == 301, "four of them are too many");

static void command_lines(void **state)
{
    for (size_t i = 0; i < sizeof lines / sizeof lines[0]; i++) {
        struct given given = {.count = 1,
                              .map = {{7, MIB, PAGES, WB}},
                              .text = lines[i].text,
                              .options = lines[i].options,
                              .options_size = lines[i].options_size};
        begin(state);
        assert_int_equal(read_given(&given), STATUS_OK);
        if (lines[i].expected != NULL)
            assert_string_equal(m.command_line, lines[i].expected);
        else /* cut at a word */
            assert_true(strlen(m.command_line) > 990 && strlen(m.command_line) < sizeof m.command_line &&
                        strchr("94", m.command_line[strlen(m.command_line) - 1]) != NULL);
        if (lines[i].said != NULL ? !host_log_has(lines[i].said) : host_log_text()[0] != '\0')
            fail_msg("line %zu: the log has \"%s\"", i, host_log_text());
    }
}

/* H05: whatever lies there, not terminated, of any length. */
static void configuration_without_end(void **state)
{
    char *text = malloc(EFI_CONFIGURATION_LARGEST + 1);

    memset(text, 'a', EFI_CONFIGURATION_LARGEST);
    memcpy(text, "cmdline ", 8);
    struct given given = {
        .count = 1, .map = {{7, MIB, PAGES, WB}}, .text = text, .text_size = EFI_CONFIGURATION_LARGEST};
    begin(state);
    assert_int_equal(read_given(&given), STATUS_OK);
    assert_string_equal(m.command_line, "");
    assert_true(host_log_has("longer than 1023 bytes"));
    free(text);
}

static void after_the_device_tree(void **state)
{
    struct given given = {.count = 1, .map = {{7, MIB, PAGES, WB}}, .text = "cmdline b\n"};

    (void)state;
    strcpy(m.command_line, "a");
    m.initrd = (struct machine_region){MIB, 100};
    assert_int_equal(read_given(&given), STATUS_OK);
    assert_string_equal(m.command_line, "a b");
    assert_int_equal(m.initrd.size, 100); /* nothing has taken its place */
}

/* ---- The rest ----------------------------------------------------------------------------------------------- */

static void ramdisk_outside_of_memory(void **state)
{
    static const struct efi_piece cases[] = {
        {0, MIB}, {MIB, MIB + 1}, {MIB / 2, MIB}, {UINT64_MAX - 1, 100}, {MIB + 4096, UINT64_MAX}, {64 * MIB, 1}};

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct given given = {.count = 1, .map = {{2, MIB, PAGES, WB}}, .initrd = cases[i]};
        begin(state);
        assert_int_equal(read_given(&given), STATUS_OK);
        assert_int_equal(m.initrd.size, 0);
        assert_true(host_log_has("does not lie in memory; it is ignored"));
        assert_int_equal(usable(), MIB);
    }
}

static void what_the_stub_said(void **state)
{
    struct given given = {
        .count = 1, .map = {{7, MIB, PAGES, WB}}, .handoff = {.said = "vmos: one\ntwo\n\nvmos: three"}};

    (void)state;
    given.handoff.said_size = 26;
    assert_int_equal(read_given(&given), STATUS_OK);
    assert_string_equal(host_log_text(), "info efi: one\ninfo efi: two\ninfo efi: three\n");
    host_log_clear();
    memset(given.handoff.said, 'a', sizeof given.handoff.said);
    given.handoff.said_size = UINT32_MAX;
    assert_int_equal(read_given(&given), STATUS_OK);
    assert_true(host_log_count(LOG_INFO) == 1);
}

static void random_bytes(void **state)
{
    struct given given = {.count = 1, .map = {{7, MIB, PAGES, WB}}, .handoff = {.seed_size = 32, .seed = {1, 2, 3}}};

    assert_int_equal(read_given(&given), STATUS_OK);
    assert_int_equal(m.seed_size, 32);
    assert_int_equal(m.seed[2], 3);
    begin(state);
    given.handoff.seed_size = 33;
    assert_int_equal(read_given(&given), STATUS_OK);
    assert_int_equal(m.seed_size, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(map_rows, begin),
        cmocka_unit_test_setup(what_is_ours_is_kept, begin),
        cmocka_unit_test_setup(hundreds_of_pieces, begin),
        cmocka_unit_test_setup(only_the_map_makes_usable, begin),
        cmocka_unit_test_setup(maps_that_are_none, begin),
        cmocka_unit_test_setup(a_map_that_is_not_there, begin),
        cmocka_unit_test_setup(command_lines, begin),
        cmocka_unit_test_setup(configuration_without_end, begin),
        cmocka_unit_test_setup(after_the_device_tree, begin),
        cmocka_unit_test_setup(ramdisk_outside_of_memory, begin),
        cmocka_unit_test_setup(what_the_stub_said, begin),
        cmocka_unit_test_setup(random_bytes, begin),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
