/*
 * test_gpt.c: partition tables that sgdisk makes (the oracle), tables of other block and entry sizes made here, and
 * what is wrong with them, one row for each case.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <fcntl.h>
#include <lib/crc32.h>
#include <lib/gpt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct image {
    uint8_t *bytes;
    uint64_t blocks, fail_from, fail_count; /* reads that touch these fail */
    uint32_t block_size;
    unsigned reads;
};

static bool read_image(void *context, uint64_t first, uint32_t count, void *to)
{
    struct image *image = context;

    image->reads++;
    assert_true(count != 0 && first < image->blocks && count <= image->blocks - first);
    if (first < image->fail_from + image->fail_count && image->fail_from < first + count)
        return false;
    memcpy(to, image->bytes + first * image->block_size, (size_t)count * image->block_size);
    return true;
}

static struct gpt read_table(struct image *image)
{
    struct gpt_disk disk = {
        .read = read_image, .context = image, .block_count = image->blocks, .block_size = image->block_size};
    struct gpt gpt;

    assert_true(gpt_read(&disk, &gpt));
    assert_true(gpt.count <= GPT_MAX_PARTITIONS);
    for (unsigned i = 0; i < gpt.count; i++) {
        const struct gpt_partition *at = &gpt.partitions[i];
        assert_true(at->block_count != 0 && at->first_block < image->blocks &&
                    at->block_count <= image->blocks - at->first_block);
        assert_non_null(memchr(at->name, '\0', sizeof at->name));
    }
    return gpt;
}

/* ---- The oracle ---------------------------------------------------------------------------------------- */

/* Carries `sgdisk OPTIONS` out on a fresh image of this many MiB. */
static struct image sgdisk(unsigned mebibytes, const char *options)
{
    char path[] = "/tmp/vmos-gpt-XXXXXX", command[1200];
    struct image image = {.blocks = (uint64_t)mebibytes << 11, .block_size = 512};
    int file = mkstemp(path);
    size_t size = (size_t)mebibytes << 20;

    assert_true(file >= 0 && ftruncate(file, (off_t)size) == 0);
    snprintf(command, sizeof command, "sgdisk %s %s >/dev/null", options, path);
    assert_int_equal(system(command), 0); /* NOLINT(cert-env33-c) */
    image.bytes = malloc(size);
    assert_int_equal(pread(file, image.bytes, size, 0), size);
    close(file);
    unlink(path);
    return image;
}

#define TWO                                                                                                            \
    "-n 1:2048:83967 -t 1:EF00 -c 1:'vmos ESP' -u 1:11112222-3333-4444-5555-666677778888 "                             \
    "-n 3:83968:100000 -t 3:48d7f1b5-c0bb-5d62-96f7-fbdb878ce180 -c 3:'Dat\xc3\xa4 \xe2\x82\xac'"

static void check_two(const struct gpt *gpt)
{
    char guid[GPT_GUID_TEXT_SIZE];

    assert_int_equal(gpt->kind, GPT_TABLE);
    assert_int_equal(gpt->count, 2);
    assert_int_equal(gpt->refused, 0);
    assert_int_equal(gpt->partitions[0].number, 1);
    assert_int_equal(gpt->partitions[0].first_block, 2048);
    assert_int_equal(gpt->partitions[0].block_count, 81920);
    assert_string_equal(gpt->partitions[0].name, "vmos ESP");
    assert_string_equal(gpt_type_name(gpt->partitions[0].type), "EFI system");
    gpt_guid_text(gpt->partitions[0].identity, guid);
    assert_string_equal(guid, "11112222-3333-4444-5555-666677778888");
    assert_int_equal(gpt->partitions[1].number, 3);
    assert_int_equal(gpt->partitions[1].first_block, 83968);
    assert_int_equal(gpt->partitions[1].block_count, 16033);
    assert_string_equal(gpt->partitions[1].name, "Dat? ?");
    assert_true(gpt_is_vmos_data(gpt->partitions[1].type));
    assert_false(gpt_is_vmos_data(gpt->partitions[0].type));
}

static void test_sgdisk(void **state)
{
    struct image image = sgdisk(64, TWO);
    struct gpt gpt = read_table(&image);

    (void)state;
    check_two(&gpt);
    assert_null(gpt.primary_wrong);
    assert_false(gpt.from_backup);
    assert_int_equal(image.reads, 3);
    gpt_free(&gpt);
    for (unsigned kind = 0; kind < 5; kind++) { /* the primary damaged in ways that leave the backup */
        struct image damaged = image;
        damaged.bytes = malloc(64 << 20);
        memcpy(damaged.bytes, image.bytes, 64 << 20);
        if (kind == 0)
            damaged.bytes[512 + 56] ^= 1;
        else if (kind == 1)
            damaged.bytes[1024 + 128 + 40] ^= 1;
        else if (kind == 2)
            memset(damaged.bytes, 0, 1 << 20); /* all of it, as dd does it */
        else
            damaged.fail_from = kind == 3 ? 1 : 5, damaged.fail_count = 1;
        gpt = read_table(&damaged);
        check_two(&gpt);
        assert_true(gpt.from_backup);
        assert_non_null(strstr(gpt.primary_wrong, kind == 0   ? "header's CRC"
                                                  : kind == 1 ? "entries' CRC"
                                                  : kind == 2 ? "there is none"
                                                  : kind == 3 ? "header cannot be read"
                                                              : "entries cannot be read"));
        gpt_free(&gpt);
        damaged.bytes[(64 << 20) - 512 + 30] ^= 1; /* and the backup */
        gpt = read_table(&damaged);
        assert_int_equal(gpt.kind, GPT_DAMAGED);
        assert_int_equal(gpt.count, 0);
        assert_non_null(strstr(gpt.backup_wrong, "header's CRC"));
        gpt_free(&gpt);
        free(damaged.bytes);
    }
    free(image.bytes);
}

static void test_sgdisk_many(void **state)
{
    char options[1200] = "-a 1 -S 200";
    struct image image;

    (void)state;
    for (unsigned i = 0; i < 40; i++)
        snprintf(options + strlen(options), sizeof options - strlen(options), " -n %u:%u:%u", 200 - i, 1000 + i * 10,
                 1009 + i * 10);
    image = sgdisk(4, options);
    struct gpt gpt = read_table(&image);
    assert_int_equal(gpt.count, 40);
    for (unsigned i = 0; i < 40; i++) {
        assert_int_equal(gpt.partitions[i].number, 161 + i);
        assert_int_equal(gpt.partitions[i].first_block, 1390 - i * 10);
        assert_string_equal(gpt_type_name(gpt.partitions[i].type), "Linux data");
    }
    gpt_free(&gpt);
    free(image.bytes);
}

static void test_other_tables(void **state)
{
    struct image image = sgdisk(64, TWO " -m 1:3"); /* to the old kind */
    struct gpt gpt = read_table(&image);

    (void)state;
    assert_int_equal(gpt.kind, GPT_MBR);
    assert_int_equal(gpt.count, 0);
    gpt_free(&gpt);
    memset(image.bytes, 0, 64 << 20);
    gpt = read_table(&image);
    assert_int_equal(gpt.kind, GPT_NOTHING);
    gpt_free(&gpt);
    image.fail_count = 1;
    gpt = read_table(&image);
    assert_int_equal(gpt.kind, GPT_UNREADABLE);
    gpt_free(&gpt);
    free(image.bytes);

    image = sgdisk(64, TWO); /* a file system over a table whose backup is still there */
    memset(image.bytes, 0, 1 << 20);
    memcpy(image.bytes, "\xeb\x3c\x90mkfs.fat", 11);
    memset(image.bytes + 62, 'x', 440);
    image.bytes[510] = 0x55;
    image.bytes[511] = 0xaa;
    gpt = read_table(&image);
    assert_int_equal(gpt.kind, GPT_NOTHING);
    assert_int_equal(gpt.count, 0);
    gpt_free(&gpt);
    for (uint64_t blocks = 0; blocks < 3; blocks++) { /* disks with no room for any table */
        struct image tiny = {.bytes = image.bytes + 512 * 20, .blocks = blocks, .block_size = 512};
        gpt = read_table(&tiny);
        assert_int_equal(gpt.kind, GPT_NOTHING);
        gpt_free(&gpt);
    }
    free(image.bytes);
}

/* ---- Made here -------------------------------------------------------------------------------------------- */

static void put(uint8_t *to, uint64_t value, unsigned bytes)
{
    for (unsigned i = 0; i < bytes; i++)
        to[i] = (uint8_t)(value >> 8 * i);
}

static uint32_t crc_by_bits(const uint8_t *bytes, size_t size)
{
    uint32_t crc = UINT32_MAX;

    for (size_t i = 0; i < size; i++) {
        crc ^= bytes[i];
        for (unsigned bit = 0; bit < 8; bit++)
            crc = crc >> 1 ^ (crc & 1 ? 0xedb88320 : 0);
    }
    return ~crc;
}

static void test_crc(void **state)
{
    uint8_t bytes[1000];

    (void)state;
    assert_int_equal(crc32(0, "123456789", 9), 0xcbf43926);
    for (unsigned i = 0; i < sizeof bytes; i++)
        bytes[i] = (uint8_t)(i * 37 + i / 7);
    for (unsigned size = 0; size < sizeof bytes; size += 13) {
        assert_int_equal(crc32(0, bytes, size), crc_by_bits(bytes, size));
        assert_int_equal(crc32(crc32(0, bytes, size / 3), bytes + size / 3, size - size / 3), crc_by_bits(bytes, size));
    }
}

struct table { /* what a row may change before the CRCs are made */
    uint32_t block_size, entry_size, entry_count, header_size, revision;
    uint64_t blocks, first_usable, last_usable, entries, my_block;
    struct {
        uint64_t first, last;
    } partitions[4];
    unsigned partition_count;
    bool keep_crc; /* of the header: left 0 */
};

static struct image make(const struct table *from)
{
    uint32_t size = from->block_size;
    struct image image = {.bytes = calloc(from->blocks, size), .blocks = from->blocks, .block_size = size};
    uint8_t *header = image.bytes + size, *entries = image.bytes + 2 * size;

    image.bytes[446 + 4] = 0xee;
    put(image.bytes + 446 + 12, UINT32_MAX, 4);
    put(image.bytes + 510, 0xaa55, 2);
    for (unsigned i = 0; i < from->partition_count; i++) {
        uint8_t *entry = entries + (size_t)i * (from->entry_size < 4096 ? from->entry_size : 4096);
        memset(entry, 0x77, 32);
        put(entry + 32, from->partitions[i].first, 8);
        put(entry + 40, from->partitions[i].last, 8);
        entry[56] = (uint8_t)('A' + i);
    }
    memcpy(header, "EFI PART", 8);
    put(header + 8, from->revision, 4);
    put(header + 12, from->header_size, 4);
    put(header + 24, from->my_block, 8);
    put(header + 32, from->blocks - 1, 8);
    put(header + 40, from->first_usable, 8);
    put(header + 48, from->last_usable, 8);
    put(header + 72, from->entries, 8);
    put(header + 80, from->entry_count, 4);
    put(header + 84, from->entry_size, 4);
    uint64_t bytes = (uint64_t)from->entry_count * from->entry_size;
    if (bytes < (from->blocks - 2) * size)
        put(header + 88, crc_by_bits(entries, bytes), 4);
    if (!from->keep_crc)
        put(header + 16, crc_by_bits(header, from->header_size < size ? from->header_size : size), 4);
    return image;
}

static const struct table ordinary = {
    .block_size = 512,
    .entry_size = 128,
    .entry_count = 128,
    .header_size = 92,
    .revision = 0x10000,
    .blocks = 2000,
    .first_usable = 34,
    .last_usable = 1966,
    .entries = 2,
    .my_block = 1,
    .partitions = {{40, 99}, {100, 100}, {1000, 1966}},
    .partition_count = 3,
};

static void test_sizes(void **state)
{
    static const uint32_t sizes[][3] = {{512, 128, 128},   {512, 256, 128},  {512, 128, 4},   {512, 128, 1024},
                                        {512, 4096, 16},   {4096, 128, 128}, {4096, 512, 40}, {4096, 4096, 128},
                                        {65536, 128, 128}, {512, 128, 5}};

    (void)state;
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        struct table table = ordinary;
        table.block_size = sizes[i][0];
        table.entry_size = sizes[i][1];
        table.entry_count = sizes[i][2];
        table.header_size = i % 2 ? 92 : sizes[i][0];
        table.first_usable = 2 + (sizes[i][1] * sizes[i][2] + sizes[i][0] - 1) / sizes[i][0];
        for (unsigned j = 0; j < 3; j++) {
            table.partitions[j].first += table.first_usable < 900 ? 300 : 1200;
            table.partitions[j].last += table.first_usable < 900 ? 300 : 1200;
        }
        table.blocks = 4000;
        table.last_usable = 3500;
        struct image image = make(&table);
        struct gpt gpt = read_table(&image);
        if (gpt.kind != GPT_TABLE || gpt.count != 3)
            fail_msg("sizes %zu: %s", i, gpt.primary_wrong);
        assert_string_equal(gpt.partitions[2].name, "C");
        assert_int_equal(gpt.partitions[1].block_count, 1);
        gpt_free(&gpt);
        free(image.bytes);
    }
}

#define CHANGE(name, what)                                                                                             \
    static void name(struct table *table)                                                                              \
    {                                                                                                                  \
        what;                                                                                                          \
    }
CHANGE(small_header, table->header_size = 91)
CHANGE(large_header, table->header_size = 513)
CHANGE(huge_header, table->header_size = UINT32_MAX)
CHANGE(other_revision, table->revision = 0x20000)
CHANGE(minor_revision, table->revision = 0x10007)
CHANGE(elsewhere, table->my_block = 2)
CHANGE(no_crc, table->keep_crc = true)
CHANGE(first_1, table->first_usable = 1)
CHANGE(first_behind, table->first_usable = 1967)
CHANGE(last_outside, table->last_usable = 2000)
CHANGE(last_most, table->last_usable = UINT64_MAX)
CHANGE(no_entries, table->entry_count = 0)
CHANGE(many_entries, table->entry_count = 4097)
CHANGE(most_entries, table->entry_count = UINT32_MAX)
CHANGE(entry_64, table->entry_size = 64)
CHANGE(entry_192, table->entry_size = 192)
CHANGE(entry_0, table->entry_size = 0)
CHANGE(entry_8192, table->entry_size = 8192)
CHANGE(too_large, table->entry_size = 4096; table->entry_count = 129)
CHANGE(entries_1, table->entries = 1)
CHANGE(entries_outside, table->entries = 2000)
CHANGE(entries_cut, table->entries = 1990)
CHANGE(entries_most, table->entries = UINT64_MAX - 3)
CHANGE(entries_among, table->entries = 50)
CHANGE(usable_over_entries, table->first_usable = 33)
CHANGE(overlap_one, table->partitions[1].first = 99)
CHANGE(overlap_inside, table->partitions[2].first = 50; table->partitions[2].last = 60)
CHANGE(overlap_all, table->partitions[2].first = 34)
CHANGE(before, table->partitions[0].first = 33)
CHANGE(at_first, table->partitions[0].first = 34)
CHANGE(behind, table->partitions[2].last = 1967)
CHANGE(reversed, table->partitions[1].last = 99)
CHANGE(wraps, table->partitions[1].first = UINT64_MAX; table->partitions[1].last = 0)
CHANGE(whole, table->partitions[1].first = 0; table->partitions[1].last = UINT64_MAX)

static void test_rows(void **state)
{
    static const struct {
        const char *id;
        void (*change)(struct table *table);
        unsigned count;    /* of partitions that are left */
        const char *wrong; /* with the table, or with a partition */
    } rows[] = {
        {"header of 91 bytes", small_header, 0, "a size that cannot be"},
        {"header of 513", large_header, 0, "a size that cannot be"},
        {"header of 2^32 - 1", huge_header, 0, "a size that cannot be"},
        {"revision 2.0", other_revision, 0, "a revision that vmos does not know"},
        {"revision 1.7", minor_revision, 3, NULL},
        {"header of another block", elsewhere, 0, "belongs elsewhere"},
        {"no CRC", no_crc, 0, "header's CRC is wrong"},
        {"usable from block 1", first_1, 0, "usable blocks are not on the disk"},
        {"usable from behind the last", first_behind, 0, "usable blocks are not on the disk"},
        {"usable to behind the disk", last_outside, 0, "usable blocks are not on the disk"},
        {"usable to 2^64 - 1", last_most, 0, "usable blocks are not on the disk"},
        {"no entries", no_entries, 0, "size or number that cannot be"},
        {"4097 entries", many_entries, 0, "size or number that cannot be"},
        {"2^32 - 1 entries", most_entries, 0, "size or number that cannot be"},
        {"entries of 0", entry_0, 0, "size or number that cannot be"},
        {"entries of 64", entry_64, 0, "size or number that cannot be"},
        {"entries of 192", entry_192, 0, "size or number that cannot be"},
        {"entries of 8192", entry_8192, 0, "size or number that cannot be"},
        {"more than 512 KiB", too_large, 0, "size or number that cannot be"},
        {"entries over the header", entries_1, 0, "entries lie outside"},
        {"entries behind the disk", entries_outside, 0, "entries lie outside"},
        {"entries that end behind it", entries_cut, 0, "entries lie outside"},
        {"entries at the end of numbers", entries_most, 0, "entries lie outside"},
        {"entries among partitions", entries_among, 0, "or among the partitions"},
        {"partitions over the entries", usable_over_entries, 0, "or among the partitions"},
        {"two overlap by one block", overlap_one, 1, "overlaps another"},
        {"one inside another", overlap_inside, 1, "overlaps another"},
        {"one over all", overlap_all, 0, "overlaps another"},
        {"before the first usable", before, 2, "does not lie within"},
        {"at the first usable", at_first, 3, NULL},
        {"behind the last usable", behind, 2, "does not lie within"},
        {"ends before it begins", reversed, 2, "does not lie within"},
        {"wraps", wraps, 2, "does not lie within"},
        {"everything", whole, 2, "does not lie within"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct table table = ordinary;
        rows[i].change(&table);
        struct image image = make(&table);
        struct gpt gpt = read_table(&image);
        const char *wrong = gpt.primary_wrong != NULL ? gpt.primary_wrong : gpt.refused_why;
        if (gpt.count != rows[i].count || (gpt.kind == GPT_TABLE) != (gpt.primary_wrong == NULL) ||
            (wrong == NULL) != (rows[i].wrong == NULL) || (wrong != NULL && strstr(wrong, rows[i].wrong) == NULL))
            fail_msg("%s: %u partitions, kind %u, %s", rows[i].id, gpt.count, (unsigned)gpt.kind, wrong);
        gpt_free(&gpt);
        free(image.bytes);
    }
}

static void test_too_many(void **state)
{
    struct table table = ordinary;
    uint8_t *entries;

    (void)state;
    table.entry_count = 300;
    table.first_usable = 100;
    table.partition_count = 0;
    struct image image = make(&table);
    entries = image.bytes + 1024;
    for (unsigned i = 0; i < 300; i++) {
        memset(entries + i * 128, 0x55, 32);
        put(entries + i * 128 + 32, 200 + i, 8);
        put(entries + i * 128 + 40, 200 + i, 8);
    }
    put(image.bytes + 512 + 88, crc_by_bits(entries, 300 * 128), 4);
    put(image.bytes + 512 + 16, 0, 4);
    put(image.bytes + 512 + 16, crc_by_bits(image.bytes + 512, 92), 4);
    struct gpt gpt = read_table(&image);
    assert_int_equal(gpt.count, GPT_MAX_PARTITIONS);
    assert_int_equal(gpt.refused, 300 - GPT_MAX_PARTITIONS);
    assert_string_equal(gpt.refused_why, "is one too many");
    assert_null(gpt_type_name(gpt.partitions[0].type));
    gpt_free(&gpt);
    free(image.bytes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_crc),          cmocka_unit_test(test_sgdisk), cmocka_unit_test(test_sgdisk_many),
        cmocka_unit_test(test_other_tables), cmocka_unit_test(test_sizes),  cmocka_unit_test(test_rows),
        cmocka_unit_test(test_too_many),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
