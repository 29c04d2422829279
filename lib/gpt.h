/*
 * gpt.h: the partition table of a disk [UEFI 2.10 §5]. Reads through a function that the caller gives; what it gives is
 * hostile.
 */
#ifndef LIB_GPT_H
#define LIB_GPT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    GPT_MAX_PARTITIONS = 128, /* that are taken; a table may have more entries */
    GPT_NAME_SIZE = 37,       /* 36 characters and an end */
};

struct gpt_partition {
    uint32_t number; /* from 1: which entry */
    uint64_t first_block, block_count;
    uint8_t type[16], identity[16]; /* as on the disk */
    char name[GPT_NAME_SIZE];       /* printable ASCII; ? for what is not */
};

enum gpt_kind {
    GPT_NOTHING,   /* no table that vmos knows */
    GPT_MBR,       /* partitions of the old kind only: not used */
    GPT_TABLE,     /* a good table */
    GPT_DAMAGED,   /* there was one, and neither copy is good */
    GPT_UNREADABLE /* block 0 cannot be read */
};

struct gpt {
    enum gpt_kind kind;
    bool from_backup;
    const char *primary_wrong, *backup_wrong; /* a sentence's end, "its CRC is wrong"; NULL: good, or not looked at */
    unsigned refused;                         /* entries that overlap, lie outside, or are too many */
    unsigned refused_number;                  /* the first of them, and why */
    const char *refused_why;
    unsigned count;
    struct gpt_partition *partitions; /* from malloc: gpt_free */
};

struct gpt_disk {
    /* Reads `count` blocks; false when that failed. */
    bool (*read)(void *context, uint64_t first_block, uint32_t count, void *to);
    void *context;
    uint64_t block_count;
    uint32_t block_size; /* a power of two from 512 to 65536 */
};

/* False only for want of memory. */
bool gpt_read(const struct gpt_disk *disk, struct gpt *gpt);
void gpt_free(struct gpt *gpt);

/* "EFI system", "vmos data"; NULL for a type that vmos has no name for. */
const char *gpt_type_name(const uint8_t type[16]);
bool gpt_is_vmos_data(const uint8_t type[16]);

enum { GPT_GUID_TEXT_SIZE = 37 };
void gpt_guid_text(const uint8_t guid[16], char text[GPT_GUID_TEXT_SIZE]);

#endif
