/*
 * fuzz_gpt.c: a disk's first and last blocks are the input. Whatever they hold, partitions lie on the disk and do not
 * overlap, and their names end. Every other input has its CRCs put right first, or nothing would get beyond them.
 */
#include <lib/bytes.h>
#include <lib/crc32.h>
#include <lib/gpt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct disk {
    const uint8_t *bytes; /* the beginning of the disk; then zeros, and the end of the input is the end of the disk */
    size_t size;
    struct gpt_disk gpt;
};

static void demand(bool good, const char *what)
{
    if (good)
        return;
    fprintf(stderr, "broken: %s\n", what);
    abort();
}

static bool read_blocks(void *context, uint64_t first, uint32_t count, void *to)
{
    const struct disk *disk = context;
    uint64_t at = first * disk->gpt.block_size, length = (uint64_t)count * disk->gpt.block_size;
    uint64_t disk_size = disk->gpt.block_count * disk->gpt.block_size;
    uint8_t *bytes = to;

    demand(count != 0 && first < disk->gpt.block_count && count <= disk->gpt.block_count - first, "a read outside");
    memset(bytes, 0, length);
    for (uint64_t i = 0; i < length; i++) {
        uint64_t from_end = disk_size - (at + i);
        if (at + i < disk->size)
            bytes[i] = disk->bytes[at + i];
        else if (from_end <= disk->size)
            bytes[i] = disk->bytes[disk->size - from_end];
    }
    return true;
}

static void put_right(uint8_t *bytes, size_t size, uint32_t block_size)
{
    uint8_t *header = bytes + block_size;
    uint64_t entries = load_le64(header + 72) * block_size;
    uint64_t length = (uint64_t)load_le32(header + 80) * load_le32(header + 84);

    memcpy(header, "EFI PART", 8);
    if (entries < size && length <= size - entries)
        store_le32(header + 88, crc32(0, bytes + entries, length));
    store_le32(header + 16, 0);
    uint32_t header_size = load_le32(header + 12);
    if (header_size <= block_size)
        store_le32(header + 16, crc32(0, header, header_size));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const uint32_t block_sizes[] = {512, 512, 4096, 1024};
    struct disk disk;
    struct gpt gpt;

    if (size < 2)
        return 0;
    uint8_t how = data[0];
    uint32_t block_size = block_sizes[how & 3];
    uint8_t *bytes = malloc(size);
    memcpy(bytes, data + 1, size - 1);
    size--;
    if ((how & 4) != 0 && size >= 2 * (size_t)block_size)
        put_right(bytes, size, block_size);
    disk = (struct disk){.bytes = bytes,
                         .size = size,
                         .gpt = {.read = read_blocks,
                                 .context = &disk,
                                 .block_count = (how & 8) != 0 ? 5000 : size / block_size,
                                 .block_size = block_size}};
    if (gpt_read(&disk.gpt, &gpt)) {
        demand(gpt.count == 0 || gpt.kind == GPT_TABLE, "partitions without a table");
        for (unsigned i = 0; i < gpt.count; i++) {
            const struct gpt_partition *at = &gpt.partitions[i];
            demand(at->block_count != 0 && at->first_block >= 2 && at->first_block < disk.gpt.block_count &&
                       at->block_count <= disk.gpt.block_count - at->first_block,
                   "a partition outside of the disk");
            for (unsigned j = 0; j < i; j++)
                demand(at->first_block >= gpt.partitions[j].first_block + gpt.partitions[j].block_count ||
                           gpt.partitions[j].first_block >= at->first_block + at->block_count,
                       "two partitions that overlap");
            demand(memchr(at->name, '\0', sizeof at->name) != NULL, "a name without an end");
            for (const char *c = at->name; *c != '\0'; c++)
                demand(*c >= ' ' && *c <= '~', "a name with control characters");
        }
        gpt_free(&gpt);
    }
    free(bytes);
    return 0;
}
