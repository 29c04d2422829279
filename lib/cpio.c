/* cpio.c: a bounded reader of newc archives. */
#include <lib/bytes.h>
#include <lib/cpio.h>
#include <lib/string.h>

/* The header is ASCII: a magic of 6 and 13 fields of 8 hexadecimal digits. */
enum { HEADER_SIZE = 110, FIELD_MODE = 1, FIELD_FILE_SIZE = 6, FIELD_NAME_SIZE = 11, NAME_MOST = 4096 };
enum { MODE_TYPE = 0xf000, MODE_REGULAR = 0x8000 };

static bool read_field(const char *header, unsigned field, uint32_t *value)
{
    const char *digits = header + 6 + 8 * field;

    *value = 0;
    for (unsigned i = 0; i < 8; i++) {
        char c = digits[i];
        uint32_t digit = c >= '0' && c <= '9'   ? (uint32_t)(c - '0')
                         : c >= 'a' && c <= 'f' ? (uint32_t)(c - 'a' + 10)
                         : c >= 'A' && c <= 'F' ? (uint32_t)(c - 'A' + 10)
                                                : 16;
        if (digit == 16)
            return false;
        *value = *value << 4 | digit;
    }
    return true;
}

enum status cpio_next(const void *archive, size_t size, size_t *offset, struct cpio_entry *entry)
{
    const char *header = (const char *)archive + *offset;
    uint32_t name_size;

    if (*offset > size || size - *offset < HEADER_SIZE ||
        (memcmp(header, "070701", 6) != 0 && memcmp(header, "070702", 6) != 0) ||
        !read_field(header, FIELD_MODE, &entry->mode) || !read_field(header, FIELD_FILE_SIZE, &entry->size) ||
        !read_field(header, FIELD_NAME_SIZE, &name_size))
        return STATUS_INVALID;
    if (name_size == 0 || name_size > NAME_MOST || name_size > size - *offset - HEADER_SIZE ||
        header[HEADER_SIZE + name_size - 1] != '\0')
        return STATUS_INVALID;
    size_t data = align_up(*offset + HEADER_SIZE + name_size, 4); /* name and data are padded to 4 bytes */
    if (data > size || entry->size > size - data)
        return STATUS_INVALID;
    entry->name = header + HEADER_SIZE;
    entry->data = (const char *)archive + data;
    size_t next = align_up(data + entry->size, 4);
    *offset = next < size ? next : size;
    return strcmp(entry->name, "TRAILER!!!") == 0 ? STATUS_NOT_FOUND : STATUS_OK;
}

enum status cpio_find(const void *archive, size_t size, const char *name, const void **data, size_t *length)
{
    struct cpio_entry entry;
    enum status status;

    for (size_t offset = 0; (status = cpio_next(archive, size, &offset, &entry)) == STATUS_OK;) {
        const char *found = entry.name[0] == '.' && entry.name[1] == '/' ? entry.name + 2 : entry.name;
        if (strcmp(found, name) == 0 && (entry.mode & MODE_TYPE) == MODE_REGULAR) {
            *data = entry.data;
            *length = entry.size;
            return STATUS_OK;
        }
    }
    return status;
}
