/*
 * gpt.c: see gpt.h. Each block is read once, and only what was checked is used.
 */
#include <lib/gpt.h>

#include <lib/bytes.h>
#include <lib/crc32.h>
#include <lib/malloc.h>
#include <lib/printf.h>
#include <lib/string.h>

/* Header: offset in bytes [UEFI 2.10 §5.3.2]. */
enum {
    HEADER_REVISION = 8,
    HEADER_SIZE = 12,
    HEADER_CRC = 16,
    HEADER_MY_BLOCK = 24,
    HEADER_OTHER_BLOCK = 32,
    HEADER_FIRST_USABLE = 40,
    HEADER_LAST_USABLE = 48,
    HEADER_ENTRIES = 72,
    HEADER_ENTRY_COUNT = 80,
    HEADER_ENTRY_SIZE = 84,
    HEADER_ENTRIES_CRC = 88,
    SMALLEST_HEADER = 92,
};

/* Entry [UEFI 2.10 §5.3.3]. */
enum { ENTRY_IDENTITY = 16, ENTRY_FIRST = 32, ENTRY_LAST = 40, ENTRY_NAME = 56, SMALLEST_ENTRY = 128 };

enum {
    MOST_ENTRIES = 4096,
    LARGEST_ENTRY = 4096,
    MOST_BYTES = 512 << 10, /* of all entries */
    NAME_UNITS = 36,
};

struct header {
    uint64_t first_usable, last_usable, entries, other;
    uint32_t entry_count, entry_size, entries_crc;
};

/* ---- The old kind of table [UEFI 2.10 §5.2] ------------------------------------------------------------- */

enum first_block {
    FIRST_BLANK,
    FIRST_PROTECTIVE, /* protects a GPT */
    FIRST_OLD_TABLE,  /* has partitions of its own */
    FIRST_OTHER, /* a file system's, for one: that ends with the same two bytes, but has text where entries would be */
};

static enum first_block read_first(const uint8_t *block)
{
    enum { ENTRIES = 446, ENTRY = 16, SIGNATURE = 510, PROTECTIVE = 0xee };
    bool blank = true, table = load_le16(block + SIGNATURE) == 0xaa55, any = false, protects = false;

    for (unsigned at = 0; at < SIGNATURE + 2; at++)
        blank &= block[at] == 0;
    for (unsigned at = ENTRIES; at < SIGNATURE; at += ENTRY) {
        table &= (block[at] & 0x7f) == 0;
        protects |= block[at + 4] == PROTECTIVE;
        any |= block[at + 4] != 0 && load_le32(block + at + 12) != 0;
    }
    return blank ? FIRST_BLANK : table && protects ? FIRST_PROTECTIVE : table && any ? FIRST_OLD_TABLE : FIRST_OTHER;
}

/* ---- Header and entries --------------------------------------------------------------------------------- */

static const char no_table[] = "there is none", no_header[] = "its header cannot be read";

/* NULL: good, and `header` is filled. */
static const char *check_header(const struct gpt_disk *disk, uint8_t *block, uint64_t at, struct header *header)
{
    uint32_t size = load_le32(block + HEADER_SIZE), crc = load_le32(block + HEADER_CRC);

    if (memcmp(block, "EFI PART", 8) != 0)
        return no_table;
    if (size < SMALLEST_HEADER || size > disk->block_size)
        return "its header has a size that cannot be";
    memset(block + HEADER_CRC, 0, 4);
    if (crc32(0, block, size) != crc)
        return "its header's CRC is wrong";
    if (load_le32(block + HEADER_REVISION) >> 16 != 1)
        return "its header is of a revision that vmos does not know";
    if (load_le64(block + HEADER_MY_BLOCK) != at)
        return "its header says that it belongs elsewhere";
    *header = (struct header){
        .first_usable = load_le64(block + HEADER_FIRST_USABLE),
        .last_usable = load_le64(block + HEADER_LAST_USABLE),
        .entries = load_le64(block + HEADER_ENTRIES),
        .other = load_le64(block + HEADER_OTHER_BLOCK),
        .entry_count = load_le32(block + HEADER_ENTRY_COUNT),
        .entry_size = load_le32(block + HEADER_ENTRY_SIZE),
        .entries_crc = load_le32(block + HEADER_ENTRIES_CRC),
    };
    if (header->first_usable < 2 || header->first_usable > header->last_usable ||
        header->last_usable >= disk->block_count)
        return "its usable blocks are not on the disk";
    if (header->entry_count == 0 || header->entry_count > MOST_ENTRIES || !is_power_of_two(header->entry_size) ||
        header->entry_size < SMALLEST_ENTRY || header->entry_size > LARGEST_ENTRY ||
        header->entry_count * header->entry_size > MOST_BYTES)
        return "it has entries of a size or number that cannot be";
    uint64_t blocks = (header->entry_count * header->entry_size + disk->block_size - 1) / disk->block_size;
    if (header->entries < 2 || header->entries >= disk->block_count || blocks > disk->block_count - header->entries ||
        (header->entries <= header->last_usable && header->entries + blocks > header->first_usable))
        return "its entries lie outside of the disk or among the partitions";
    return NULL;
}

/* Reads the entries that the header names; from malloc in `out`. */
static const char *read_entries(const struct gpt_disk *disk, const struct header *header, uint8_t **out, bool *memory)
{
    uint32_t bytes = header->entry_count * header->entry_size;
    uint32_t blocks = (bytes + disk->block_size - 1) / disk->block_size;
    uint8_t *entries = malloc((size_t)blocks * disk->block_size);

    *out = entries;
    if (entries == NULL) {
        *memory = false;
        return "there is no memory for its entries";
    }
    const char *wrong = !disk->read(disk->context, header->entries, blocks, entries) ? "its entries cannot be read"
                        : crc32(0, entries, bytes) != header->entries_crc            ? "its entries' CRC is wrong"
                                                                                     : NULL;
    if (wrong == NULL)
        return NULL;
    free(entries);
    *out = NULL;
    return wrong;
}

/* One copy of the table, its header at block `at`. */
static const char *read_copy(const struct gpt_disk *disk, uint64_t at, struct header *header, uint8_t **entries,
                             bool *memory)
{
    uint8_t *block = malloc(disk->block_size);

    if (block == NULL) {
        *memory = false;
        return "there is no memory for its header";
    }
    const char *wrong = disk->read(disk->context, at, 1, block) ? check_header(disk, block, at, header) : no_header;
    free(block);
    return wrong != NULL ? wrong : read_entries(disk, header, entries, memory);
}

/* ---- Partitions ------------------------------------------------------------------------------------------ */

static void read_name(char to[GPT_NAME_SIZE], const uint8_t *units)
{
    unsigned length = 0;

    for (; length < NAME_UNITS && load_le16(units + 2 * length) != 0; length++) {
        uint16_t unit = load_le16(units + 2 * length);
        to[length] = unit >= ' ' && unit <= '~' ? (char)unit : '?';
    }
    while (length != 0 && to[length - 1] == ' ')
        length--;
    to[length] = '\0';
}

static void refuse(struct gpt *gpt, uint32_t number, const char *why)
{
    if (gpt->refused++ == 0) {
        gpt->refused_number = number;
        gpt->refused_why = why;
    }
}

static bool overlap(const struct gpt_partition *a, const struct gpt_partition *b)
{
    return a->first_block < b->first_block + b->block_count && b->first_block < a->first_block + a->block_count;
}

/* Nobody knows which of two that overlap is right: neither is used. */
static void refuse_overlaps(struct gpt *gpt)
{
    bool bad[GPT_MAX_PARTITIONS] = {false};
    unsigned kept = 0;

    for (unsigned i = 0; i < gpt->count; i++)
        for (unsigned j = 0; j < i; j++)
            if (overlap(&gpt->partitions[i], &gpt->partitions[j]))
                bad[i] = bad[j] = true;
    for (unsigned i = 0; i < gpt->count; i++) {
        if (bad[i])
            refuse(gpt, gpt->partitions[i].number, "overlaps another");
        else
            gpt->partitions[kept++] = gpt->partitions[i];
    }
    gpt->count = kept;
}

static bool take_partitions(const struct header *header, const uint8_t *entries, struct gpt *gpt)
{
    static const uint8_t unused[16];
    unsigned used = 0;

    for (uint32_t i = 0; i < header->entry_count; i++)
        used += memcmp(entries + (size_t)i * header->entry_size, unused, 16) != 0;
    if (used > GPT_MAX_PARTITIONS)
        used = GPT_MAX_PARTITIONS;
    gpt->partitions = calloc(used + 1, sizeof *gpt->partitions);
    if (gpt->partitions == NULL)
        return false;
    for (uint32_t i = 0; i < header->entry_count; i++) {
        const uint8_t *entry = entries + (size_t)i * header->entry_size;
        uint64_t first = load_le64(entry + ENTRY_FIRST), last = load_le64(entry + ENTRY_LAST);
        if (memcmp(entry, unused, 16) == 0)
            continue;
        if (first > last || first < header->first_usable || last > header->last_usable) {
            refuse(gpt, i + 1, "does not lie within the usable blocks");
        } else if (gpt->count == used) {
            refuse(gpt, i + 1, "is one too many");
        } else {
            struct gpt_partition *partition = &gpt->partitions[gpt->count++];
            *partition = (struct gpt_partition){.number = i + 1, .first_block = first, .block_count = last - first + 1};
            memcpy(partition->type, entry, 16);
            memcpy(partition->identity, entry + ENTRY_IDENTITY, 16);
            read_name(partition->name, entry + ENTRY_NAME);
        }
    }
    refuse_overlaps(gpt);
    return true;
}

/* A backup alone counts where the primary was: nobody takes the rest of an older table, behind what is on the disk
 * now, for partitions. */
static bool read_copies(const struct gpt_disk *disk, enum first_block first, struct gpt *gpt)
{
    struct header header = {0};
    uint8_t *entries = NULL;
    bool memory = true;

    gpt->primary_wrong = read_copy(disk, 1, &header, &entries, &memory);
    if (gpt->primary_wrong == no_table && first == FIRST_OTHER)
        return true;
    if (gpt->primary_wrong != NULL && memory) {
        /* Where the primary says that its other copy is, is worth nothing: it is damaged. The end it must be. */
        gpt->backup_wrong = read_copy(disk, disk->block_count - 1, &header, &entries, &memory);
        gpt->from_backup = gpt->backup_wrong == NULL;
    }
    if (!memory)
        return false;
    if (entries == NULL) {
        bool none = gpt->primary_wrong == no_table && first != FIRST_PROTECTIVE &&
                    (gpt->backup_wrong == no_table || gpt->backup_wrong == no_header);
        gpt->kind = none ? GPT_NOTHING : GPT_DAMAGED;
        return true;
    }
    gpt->kind = GPT_TABLE;
    memory = take_partitions(&header, entries, gpt);
    free(entries);
    return memory;
}

bool gpt_read(const struct gpt_disk *disk, struct gpt *gpt)
{
    uint8_t *block = malloc(disk->block_size);

    *gpt = (struct gpt){.kind = GPT_NOTHING};
    if (block == NULL)
        return false;
    bool readable = disk->block_count != 0 && disk->read(disk->context, 0, 1, block);
    enum first_block first = readable ? read_first(block) : FIRST_OTHER;
    free(block);
    if (!readable)
        gpt->kind = disk->block_count == 0 ? GPT_NOTHING : GPT_UNREADABLE;
    else if (first == FIRST_OLD_TABLE)
        gpt->kind = GPT_MBR;
    else if (disk->block_count >= 3)
        return read_copies(disk, first, gpt);
    return true;
}

void gpt_free(struct gpt *gpt)
{
    free(gpt->partitions);
    gpt->partitions = NULL;
    gpt->count = 0;
}

/* ---- Names ------------------------------------------------------------------------------------------------- */

void gpt_guid_text(const uint8_t guid[16], char text[GPT_GUID_TEXT_SIZE])
{
    snprintf(text, GPT_GUID_TEXT_SIZE, "%08x-%04x-%04x-%04x-%04x%08x", load_le32(guid), load_le16(guid + 4),
             load_le16(guid + 6), load_be16(guid + 8), load_be16(guid + 10), load_be32(guid + 12));
}

static const struct {
    const char *guid, *name;
} types[] = {
    {"48d7f1b5-c0bb-5d62-96f7-fbdb878ce180", "vmos data"}, /* first */
    {"c12a7328-f81f-11d2-ba4b-00a0c93ec93b", "EFI system"},
    {"21686148-6449-6e6f-744e-656564454649", "BIOS boot"},
    {"0fc63daf-8483-4772-8e79-3d69d8477de4", "Linux data"},
    {"0657fd6d-a4ab-43c4-84e5-0933c84b4f4f", "Linux swap"},
    {"e6d6d379-f507-44c2-a23c-238f2a3df928", "Linux LVM"},
    {"ebd0a0a2-b9e5-4433-87c0-68b6b72699c7", "Microsoft data"},
    {"e3c9e316-0b5c-4db8-817d-f92df00215ae", "Microsoft reserved"},
};

const char *gpt_type_name(const uint8_t type[16])
{
    char text[GPT_GUID_TEXT_SIZE];

    gpt_guid_text(type, text);
    for (size_t i = 0; i < sizeof types / sizeof types[0]; i++)
        if (strcmp(types[i].guid, text) == 0)
            return types[i].name;
    return NULL;
}

bool gpt_is_vmos_data(const uint8_t type[16])
{
    return gpt_type_name(type) == types[0].name;
}
