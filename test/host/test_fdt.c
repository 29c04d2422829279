/*
 * test_fdt.c: device trees whose format is broken, as a table of cases: one mutation of a good tree each, what fdt_read
 * makes of it, and the sentence that says so. The first column is the case's name in the project's list of hostile
 * inputs. Every blob is an allocation of its exact size, under the sanitizers. test_fdt_contents.c has the rest.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "fdt_trees.h"
#include "host_log.h"
#include <lib/bytes.h>
#include <machine/fdt_format.h>
#include <machine/readers.h>

static struct machine m;
static struct machine_room room;

static enum status read_copy(const uint8_t *bytes, size_t size)
{
    uint8_t *blob = malloc(size != 0 ? size : 1);

    memcpy(blob, bytes, size);
    host_log_clear();
    machine_init(&m, &room);
    enum status status = fdt_read(&m, blob, size);
    machine_finish(&m);
    free(blob);
    return status;
}

/* ---- A tree, built token by token ------------------------------------------------------------------------ */

enum { RESERVATIONS = 40, STRUCTURE = 72 };

static struct tree {
    uint8_t *bytes;
    size_t size, capacity;
    uint32_t strings, strings_size;
} t;

static void put(const void *bytes, size_t size)
{
    if (t.size + size > t.capacity) {
        t.capacity = 2 * (t.size + size);
        t.bytes = realloc(t.bytes, t.capacity);
        assert_non_null(t.bytes);
    }
    memcpy(t.bytes + t.size, bytes, size);
    t.size += size;
}

static void put_cell(uint32_t value)
{
    uint8_t bytes[4];

    store_be32(bytes, value);
    put(bytes, sizeof bytes);
}

static void begin(const char *name)
{
    put_cell(FDT_TOKEN_NODE);
    put(name, strlen(name) + 1);
    while (t.size % 4 != 0)
        put("", 1);
}

static void end(void)
{
    put_cell(FDT_TOKEN_END_NODE);
}

/* The strings block is "reg\0model\0". */
enum { NAME_REG = 0, NAME_MODEL = 4 };

static void property(uint32_t name, const void *value, uint32_t length)
{
    put_cell(FDT_TOKEN_PROPERTY);
    put_cell(length);
    put_cell(name);
    put(value, length);
    while (t.size % 4 != 0)
        put("", 1);
}

static void set(size_t offset, uint32_t value)
{
    store_be32(t.bytes + offset, value);
}

static void start(void)
{
    static const uint8_t zero[STRUCTURE];

    t.size = 0;
    put(zero, sizeof zero);
    store_be32(t.bytes + RESERVATIONS + 4, 0x1000);
    store_be32(t.bytes + RESERVATIONS + 12, 0x2000);
}

static void finish(void)
{
    static const char strings[] = "reg\0model";

    set(36, (uint32_t)(t.size - STRUCTURE));
    t.strings = (uint32_t)t.size;
    t.strings_size = sizeof strings;
    put(strings, sizeof strings);
    set(0, 0xd00dfeed);
    set(4, (uint32_t)t.size);
    set(8, STRUCTURE);
    set(12, t.strings);
    set(16, RESERVATIONS);
    set(20, 17);
    set(24, 16);
    set(32, t.strings_size);
}

static void make_good(void)
{
    start();
    begin("");
    property(NAME_MODEL, "test", 5);
    begin("memory@0");
    property(NAME_REG, "\0\0\0\0\0\1\0\0\0\2\0\0", 12); /* the default cells are 2 and 1 */
    end();
    end();
    put_cell(FDT_TOKEN_END);
    finish();
}

/* Offsets in the good tree's structure block. */
enum { ROOT = STRUCTURE, MODEL = ROOT + 8, MEMORY = MODEL + 20, MEMORY_REG = MEMORY + 16, TAIL = MEMORY_REG + 24 };

/* ---- The format ------------------------------------------------------------------------------------------- */

static void good(void)
{
}

static void magic_zero(void)
{
    set(0, 0);
}

static void magic_swapped(void)
{
    set(0, 0xedfe0dd0);
}

static void total_0(void)
{
    set(4, 0);
}

static void total_39(void)
{
    set(4, 39);
}

static void total_all_ones(void)
{
    set(4, 0xffffffff);
}

static void total_one_more(void)
{
    set(4, (uint32_t)t.size + 1);
}

static void version_3(void)
{
    set(20, 3);
    set(24, 1);
}

static void version_16(void)
{
    set(20, 16);
    set(36, 0xffffffff); /* not a field of that version */
}

static void version_18_compatible(void)
{
    set(20, 18);
    set(24, 17);
}

static void version_18(void)
{
    set(20, 18);
    set(24, 18);
}

static void structure_outside(void)
{
    set(8, (uint32_t)t.size);
}

static void structure_unaligned(void)
{
    set(8, STRUCTURE + 2);
}

static void structure_in_header(void)
{
    set(8, 36);
}

static void structure_wraps(void)
{
    set(36, 0xffffffff);
}

static void structure_far(void)
{
    set(8, 0xfffffffc);
}

static void structure_far_16(void)
{
    set(8, 0xfffffffc);
    set(20, 16);
}

static void strings_outside(void)
{
    set(12, (uint32_t)t.size);
}

static void strings_wrap(void)
{
    set(32, 0xffffffff);
}

static void reservations_outside(void)
{
    set(16, ((uint32_t)t.size - 8) & ~7u);
}

static void reservations_far(void)
{
    set(16, 0xfffffff8);
}

static void reservations_unaligned(void)
{
    set(16, 44);
}

static void reservations_endless(void)
{
    set(16, STRUCTURE); /* never two zero quadwords */
}

static void end_missing(void)
{
    set(36, TAIL - STRUCTURE + 4);
}

static void end_early(void)
{
    set(MEMORY, FDT_TOKEN_END);
}

static void token_5(void)
{
    set(MEMORY, 5);
}

static void property_long(void)
{
    set(MEMORY_REG + 4, 25);
}

static void property_all_ones(void)
{
    set(MEMORY_REG + 4, 0xffffffff);
}

static void property_cut(void)
{
    set(36, MEMORY_REG - STRUCTURE + 8);
}

static void name_outside(void)
{
    set(MEMORY_REG + 8, t.strings_size);
}

static void name_far(void)
{
    set(MEMORY_REG + 8, 0xffffffff);
}

static void name_endless(void)
{
    t.bytes[t.strings + t.strings_size - 1] = 'x';
}

static void node_name_endless(void)
{
    set(36, MEMORY - STRUCTURE + 8);
}

static void node_name_64k(void)
{
    static char name[65536];

    memset(name, 'n', sizeof name - 1);
    start();
    begin("");
    begin(name);
    end();
    end();
    put_cell(FDT_TOKEN_END);
    finish();
}

static void end_node_first(void)
{
    set(ROOT, FDT_TOKEN_END_NODE);
}

static void property_first(void)
{
    start();
    property(NAME_MODEL, "x", 2);
    finish();
}

static void nothing_at_all(void)
{
    start();
    put_cell(FDT_TOKEN_END);
    finish();
}

static void two_roots(void)
{
    start();
    begin("");
    end();
    begin("");
    property(NAME_MODEL, "second", 7);
    end();
    put_cell(FDT_TOKEN_END);
    finish();
}

static void named_root(void)
{
    start();
    begin("root");
    property(NAME_MODEL, "test", 5);
    end();
    put_cell(FDT_TOKEN_END);
    finish();
}

static void stray_property(void)
{
    start();
    begin("");
    begin("a");
    end();
    property(NAME_MODEL, "stray", 6);
    end();
    put_cell(FDT_TOKEN_END);
    finish();
}

static void nops(void)
{
    start();
    begin("");
    for (unsigned i = 0; i < 1 << 18; i++)
        put_cell(FDT_TOKEN_NOP);
    property(NAME_MODEL, "test", 5);
    end();
    put_cell(FDT_TOKEN_END);
    finish();
}

static void nest(unsigned depth)
{
    start();
    for (unsigned i = 0; i < depth; i++)
        begin("");
    for (unsigned i = 0; i < depth; i++)
        end();
    put_cell(FDT_TOKEN_END);
    finish();
}

static void nested_32(void)
{
    nest(32);
}

static void nested_33(void)
{
    nest(33);
}

static void nested_10000(void)
{
    nest(10000);
}

static const struct {
    const char *id;
    void (*mutate)(void);
    enum status expected;
    const char *sentence; /* NULL: nothing is said */
} formats[] = {
    {"good", good, STATUS_OK, NULL},
    {"B01 zero", magic_zero, STATUS_INVALID, "the magic is 0x00000000"},
    {"B01 swapped", magic_swapped, STATUS_INVALID, "the magic is 0xedfe0dd0"},
    {"B02 0", total_0, STATUS_INVALID, "the total size 0x0 is impossible"},
    {"B02 39", total_39, STATUS_INVALID, "the total size 0x27 is impossible"},
    {"B02 all ones", total_all_ones, STATUS_INVALID, "the total size 0xffffffff is impossible"},
    {"B02 one more", total_one_more, STATUS_INVALID, "is impossible"},
    {"B03 version 3", version_3, STATUS_INVALID, "version 3, compatible back to 1, is not one that can be read"},
    {"B03 version 16", version_16, STATUS_OK, NULL},
    {"B03 version 18 like 17", version_18_compatible, STATUS_OK, NULL},
    {"B03 version 18", version_18, STATUS_INVALID, "version 18, compatible back to 18"},
    {"B04 structure outside", structure_outside, STATUS_INVALID, "the structure block"},
    {"B04 structure unaligned", structure_unaligned, STATUS_INVALID, "not 4-aligned"},
    {"B04 structure in header", structure_in_header, STATUS_INVALID, "the structure block at 0x24"},
    {"B04 structure wraps", structure_wraps, STATUS_INVALID, "the structure block"},
    {"B04 structure far", structure_far, STATUS_INVALID, "the structure block at 0xfffffffc"},
    {"B04 structure far, 16", structure_far_16, STATUS_INVALID, "the structure block at 0xfffffffc"},
    {"B04 strings outside", strings_outside, STATUS_INVALID, "the strings block"},
    {"B04 strings wrap", strings_wrap, STATUS_INVALID, "the strings block"},
    {"B04 reservations outside", reservations_outside, STATUS_INVALID, "the memory reservation block"},
    {"B04 reservations far", reservations_far, STATUS_INVALID, "the memory reservation block at 0xfffffff8"},
    {"B04 reservations unaligned", reservations_unaligned, STATUS_INVALID, "not 8-aligned"},
    {"B05", reservations_endless, STATUS_INVALID, "the memory reservations have no end"},
    {"B06 no end", end_missing, STATUS_INVALID, "the end token is missing"},
    {"B06 early", end_early, STATUS_INVALID, "it ends within a node at depth 1"},
    {"B06 token 5", token_5, STATUS_INVALID, "a token is none of the five that exist"},
    {"B06 NOPs", nops, STATUS_OK, NULL},
    {"B07 long", property_long, STATUS_INVALID, "a property's value is longer than the block"},
    {"B07 all ones", property_all_ones, STATUS_INVALID, "a property's value is longer than the block"},
    {"B07 cut", property_cut, STATUS_INVALID, "a property is cut off"},
    {"B08 outside", name_outside, STATUS_INVALID, "a property's name lies outside the strings block"},
    {"B08 far", name_far, STATUS_INVALID, "a property's name lies outside the strings block"},
    {"B08 endless", name_endless, STATUS_INVALID, "a property's name lies outside the strings block"},
    {"B09 endless", node_name_endless, STATUS_INVALID, "a node's name has no end"},
    {"B09 64 KiB", node_name_64k, STATUS_OK, NULL},
    {"B10 END_NODE first", end_node_first, STATUS_INVALID, "there is no root node"},
    {"B10 property first", property_first, STATUS_INVALID, "there is no root node"},
    {"B10 nothing", nothing_at_all, STATUS_INVALID, "there is no root node"},
    {"B10 two roots", two_roots, STATUS_OK, "something other than the end follows the root node"},
    {"B10 named root", named_root, STATUS_OK, NULL},
    {"B10 stray property", stray_property, STATUS_OK, "1 properties stand behind subnodes"},
    {"B11 32", nested_32, STATUS_OK, NULL},
    {"B11 33", nested_33, STATUS_INVALID, "nodes are nested deeper than 32"},
    {"B11 10000", nested_10000, STATUS_INVALID, "nodes are nested deeper than 32"},
};

static void broken_formats(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof formats / sizeof formats[0]; i++) {
        make_good();
        formats[i].mutate();
        enum status status = read_copy(t.bytes, t.size);
        bool said = formats[i].sentence == NULL ? host_log_count(LOG_WARN) == 0 : host_log_has(formats[i].sentence);
        if (status != formats[i].expected || !said)
            fail_msg("%s: %s\n%s", formats[i].id, status_text(status), host_log_text());
        if (status == STATUS_OK && strcmp(m.model, "second") == 0)
            fail_msg("%s: the second root was read", formats[i].id);
        if (status != STATUS_OK && (m.has_device_tree || m.memory_count != 0))
            fail_msg("%s: something was added all the same", formats[i].id);
    }
    make_good();
    assert_int_equal(read_copy(t.bytes, t.size), STATUS_OK);
    assert_string_equal(m.model, "test");
    assert_int_equal(m.memory_count, 2);
    assert_int_equal(m.memory[0].kind, MEMORY_RESERVED);
    assert_int_equal(m.memory[0].base, 0x1000);
    assert_int_equal(m.memory[0].size, 0x2000);
}

/* Cut anywhere, a tree is refused; and the header alone is enough to see it. */
static void cut_anywhere(void **state)
{
    (void)state;
    make_good();
    for (size_t size = 0; size < t.size; size++)
        assert_int_equal(read_copy(t.bytes, size), STATUS_INVALID);
}

/* Any byte of real trees replaced: whatever comes of it, nothing outside is touched. */
static void any_byte_changed(void **state)
{
    static const char *const seeds[] = {"microvm-devices", "rv64-imsic-opensbi"};
    static const uint8_t values[] = {0x00, 0x01, 0x7f, 0xff};

    (void)state;
    for (size_t s = 0; s < sizeof seeds / sizeof seeds[0]; s++) {
        char path[128];
        size_t size;
        snprintf(path, sizeof path, "test/host/fuzz/corpus/fdt/%s.dtb", seeds[s]);
        uint8_t *blob = tree_load(path, &size);
        for (size_t i = 0; i < size; i++) {
            uint8_t kept = blob[i];
            for (size_t v = 0; v < sizeof values; v++) {
                blob[i] = values[v];
                (void)read_copy(blob, size);
            }
            blob[i] = kept;
        }
        free(blob);
    }
}

static void used_sizes(void **state)
{
    (void)state;
    make_good();
    assert_int_equal(fdt_used_size(t.bytes), t.size);
    set(4, (uint32_t)t.size + 4096);
    assert_int_equal(fdt_total_size(t.bytes), t.size + 4096);
    assert_int_equal(fdt_used_size(t.bytes), t.size);
    set(32, 0xffffffff);
    assert_int_equal(fdt_used_size(t.bytes), t.size + 4096);
    make_good();
    set(16, 0xffffffff);
    assert_int_equal(fdt_used_size(t.bytes), t.size);
    set(20, 16);
    assert_int_equal(fdt_used_size(t.bytes), t.size);
    set(0, 0);
    assert_int_equal(fdt_used_size(t.bytes), 0);
    assert_int_equal(fdt_total_size(t.bytes), 0);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(broken_formats),
        cmocka_unit_test(cut_anywhere),
        cmocka_unit_test(any_byte_changed),
        cmocka_unit_test(used_sizes),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);

    free(t.bytes);
    return failed;
}
