/*
 * fdt.c: the flattened device tree's format [Devicetree Specification 0.4 §5], versions 16 and 17.
 *
 * The blob comes from firmware or a hypervisor and may say anything. Offsets are 32 bits and every sum is made
 * in 64. Nothing recurses: depth is a number, and trees deeper than FDT_MAX_DEPTH are refused.
 */
#include "fdt_format.h"

#include <machine/readers.h>
#include <lib/bytes.h>
#include <lib/log.h>
#include <lib/string.h>

#define WHO "fdt"

enum { /* header fields, byte offsets [§5.2] */
       HEADER_MAGIC = 0,
       HEADER_TOTAL_SIZE = 4,
       HEADER_STRUCTURE = 8,
       HEADER_STRINGS = 12,
       HEADER_RESERVATIONS = 16,
       HEADER_VERSION = 20,
       HEADER_LAST_COMPATIBLE = 24,
       HEADER_BOOT_CPU = 28,
       HEADER_STRINGS_SIZE = 32,
       HEADER_STRUCTURE_SIZE = 36, /* version 17 */
};

enum { OLDEST_VERSION = 16, STRUCTURE_SIZE_VERSION = 17, RESERVATION_SIZE = 16 };

static uint32_t magic_of(const uint8_t *header)
{
    return load_be32(header + HEADER_MAGIC);
}

uint32_t fdt_total_size(const void *header_40_bytes)
{
    const uint8_t *header = header_40_bytes;
    uint32_t total = load_be32(header + HEADER_TOTAL_SIZE);

    if (magic_of(header) != (uint32_t)FDT_MAGIC || total < FDT_HEADER_SIZE || total > FDT_MAX_SIZE)
        return 0;
    return total;
}

uint32_t fdt_used_size(const void *header_40_bytes)
{
    const uint8_t *header = header_40_bytes;
    uint32_t total = fdt_total_size(header);

    if (total == 0 || load_be32(header + HEADER_VERSION) < STRUCTURE_SIZE_VERSION)
        return total;
    uint64_t structure = (uint64_t)load_be32(header + HEADER_STRUCTURE) + load_be32(header + HEADER_STRUCTURE_SIZE);
    uint64_t strings = (uint64_t)load_be32(header + HEADER_STRINGS) + load_be32(header + HEADER_STRINGS_SIZE);
    uint64_t end = structure > strings ? structure : strings;
    /* The reservation block has no size in the header: where it comes last, nothing can be cut. */
    if (load_be32(header + HEADER_RESERVATIONS) >= end || end < FDT_HEADER_SIZE || end > total)
        return total;
    return (uint32_t)end;
}

void fdt_set_total_size(void *header_40_bytes, uint32_t size)
{
    store_be32((uint8_t *)header_40_bytes + HEADER_TOTAL_SIZE, size);
}

/* ---- Opening ----------------------------------------------------------------------------------- */

static bool block_inside(const char *what, uint64_t offset, uint64_t size, uint32_t header_size, uint32_t total)
{
    if (offset >= header_size && offset + size <= total)
        return true;
    log_warn(WHO,
             "the %s block at 0x%llx, 0x%llx bytes, does not lie within the tree's 0x%x bytes; the tree is refused",
             what, (unsigned long long)offset, (unsigned long long)size, total);
    return false;
}

static bool open_header(struct fdt *fdt, const uint8_t *header, size_t size, uint32_t *total)
{
    if (size < FDT_HEADER_SIZE) {
        log_warn(WHO, "%zu bytes are too few for a device tree's header; the tree is refused", size);
        return false;
    }
    if (magic_of(header) != (uint32_t)FDT_MAGIC) {
        log_warn(WHO, "the magic is 0x%08x, not 0x%08x; the tree is refused", magic_of(header), (unsigned)FDT_MAGIC);
        return false;
    }
    *total = load_be32(header + HEADER_TOTAL_SIZE);
    if (fdt_total_size(header) == 0 || *total > size) {
        log_warn(WHO,
                 "the total size 0x%x is impossible (0x%zx bytes are there, at most 0x%x allowed); the tree is refused",
                 *total, size, FDT_MAX_SIZE);
        return false;
    }
    fdt->version = load_be32(header + HEADER_VERSION);
    uint32_t compatible = load_be32(header + HEADER_LAST_COMPATIBLE);
    if (fdt->version < OLDEST_VERSION || compatible > STRUCTURE_SIZE_VERSION || compatible > fdt->version) {
        log_warn(WHO, "version %u, compatible back to %u, is not one that can be read (16 or 17); the tree is refused",
                 fdt->version, compatible);
        return false;
    }
    return true;
}

static bool open_reservations(struct fdt *fdt, const uint8_t *header, uint32_t header_size, uint32_t total)
{
    uint32_t offset = load_be32(header + HEADER_RESERVATIONS);

    if (offset % 8 != 0) {
        log_warn(WHO, "the memory reservation block is at 0x%x, not 8-aligned; the tree is refused", offset);
        return false;
    }
    if (!block_inside("memory reservation", offset, RESERVATION_SIZE, header_size, total))
        return false;
    fdt->reservations = header + offset;
    for (uint32_t count = 0; total - offset >= RESERVATION_SIZE; count++, offset += RESERVATION_SIZE) {
        if (load_be64(header + offset) == 0 && load_be64(header + offset + 8) == 0) {
            fdt->reservation_count = count;
            return true;
        }
    }
    log_warn(WHO, "the memory reservations have no end; the tree is refused");
    return false;
}

static bool open_blocks(struct fdt *fdt, const uint8_t *header, uint32_t total)
{
    uint32_t header_size = fdt->version < STRUCTURE_SIZE_VERSION ? HEADER_STRUCTURE_SIZE : FDT_HEADER_SIZE;
    uint32_t structure = load_be32(header + HEADER_STRUCTURE);
    uint32_t strings = load_be32(header + HEADER_STRINGS);

    fdt->strings_size = load_be32(header + HEADER_STRINGS_SIZE);
    fdt->structure_size = fdt->version < STRUCTURE_SIZE_VERSION ? (structure < total ? total - structure : 0)
                                                                : load_be32(header + HEADER_STRUCTURE_SIZE);
    if (structure % 4 != 0) {
        log_warn(WHO, "the structure block is at 0x%x, not 4-aligned; the tree is refused", structure);
        return false;
    }
    if (!block_inside("structure", structure, fdt->structure_size, header_size, total) ||
        !block_inside("strings", strings, fdt->strings_size, header_size, total))
        return false;
    fdt->structure = header + structure;
    fdt->strings = (const char *)header + strings;
    /* Cut behind the last terminator: from then on an offset below strings_size is a terminated string. */
    while (fdt->strings_size != 0 && fdt->strings[fdt->strings_size - 1] != '\0')
        fdt->strings_size--;
    return open_reservations(fdt, header, header_size, total);
}

/* Every token once, so that whoever walks the tree afterwards meets nothing unexpected. */
static bool check_structure(const struct fdt *fdt)
{
    uint32_t offset = 0, depth = 0, stray = 0;
    bool rooted = false, subnodes_begun = false;
    struct fdt_item item;

    for (;;) {
        enum fdt_token token = fdt_next(fdt, &offset, &item);

        if (token == FDT_TOKEN_BROKEN) {
            log_warn(WHO, "at 0x%x of the structure block: %s; the tree is refused", item.offset, item.name);
            return false;
        }
        if (token == FDT_TOKEN_NODE) {
            if (depth == FDT_MAX_DEPTH) {
                log_warn(WHO, "nodes are nested deeper than %d; the tree is refused", FDT_MAX_DEPTH);
                return false;
            }
            depth++;
            rooted = true;
            subnodes_begun = false;
        } else if (!rooted) {
            log_warn(WHO, "there is no root node; the tree is refused");
            return false;
        } else if (token == FDT_TOKEN_PROPERTY) {
            stray += subnodes_begun;
        } else if (token == FDT_TOKEN_END) {
            log_warn(WHO, "it ends within a node at depth %u; the tree is refused", depth);
            return false;
        } else if (--depth == 0) {
            break;
        } else {
            subnodes_begun = true;
        }
    }
    if (stray != 0)
        log_warn(WHO, "%u properties stand behind subnodes of their node; they are ignored", stray);
    if (fdt_next(fdt, &offset, &item) != FDT_TOKEN_END)
        log_warn(WHO, "something other than the end follows the root node; it is ignored");
    return true;
}

enum status fdt_open(struct fdt *fdt, const void *blob, size_t size)
{
    uint32_t total = 0;

    *fdt = (struct fdt){.blob = blob};
    if (!open_header(fdt, blob, size, &total) || !open_blocks(fdt, blob, total) || !check_structure(fdt))
        return STATUS_INVALID;
    fdt->boot_cpu = load_be32(fdt->blob + HEADER_BOOT_CPU);
    return STATUS_OK;
}

void fdt_reservation(const struct fdt *fdt, uint32_t index, uint64_t *base, uint64_t *size)
{
    *base = *size = 0;
    if (index < fdt->reservation_count) {
        *base = load_be64(fdt->reservations + (size_t)index * RESERVATION_SIZE);
        *size = load_be64(fdt->reservations + (size_t)index * RESERVATION_SIZE + 8);
    }
}

/* ---- Tokens ------------------------------------------------------------------------------------ */

static enum fdt_token broken(struct fdt_item *item, const char *how)
{
    item->name = how;
    return FDT_TOKEN_BROKEN;
}

static enum fdt_token next_node_token(const struct fdt *fdt, uint32_t *offset, struct fdt_item *item)
{
    const char *name = (const char *)fdt->structure + *offset;
    const char *end = memchr(name, '\0', fdt->structure_size - *offset);

    if (end == NULL)
        return broken(item, "a node's name has no end");
    item->name = name;
    *offset = (uint32_t)align_up(*offset + (uint64_t)(end - name) + 1, 4);
    return FDT_TOKEN_NODE;
}

static enum fdt_token next_property_token(const struct fdt *fdt, uint32_t *offset, struct fdt_item *item)
{
    if (fdt->structure_size - *offset < 8)
        return broken(item, "a property is cut off");
    uint32_t length = load_be32(fdt->structure + *offset);
    uint32_t name = load_be32(fdt->structure + *offset + 4);
    *offset += 8;
    if (length > fdt->structure_size - *offset)
        return broken(item, "a property's value is longer than the block");
    if (name >= fdt->strings_size)
        return broken(item, "a property's name lies outside the strings block");
    item->name = fdt->strings + name;
    item->value = fdt->structure + *offset;
    item->length = length;
    *offset = (uint32_t)align_up((uint64_t)*offset + length, 4);
    return FDT_TOKEN_PROPERTY;
}

enum fdt_token fdt_next(const struct fdt *fdt, uint32_t *offset, struct fdt_item *item)
{
    uint32_t token;

    do {
        item->offset = *offset;
        /* Aligning a value's end may have gone past a block whose size is no multiple of 4. */
        if (*offset >= fdt->structure_size || fdt->structure_size - *offset < 4)
            return broken(item, "the end token is missing");
        token = load_be32(fdt->structure + *offset);
        *offset += 4;
    } while (token == FDT_TOKEN_NOP);

    switch (token) {
    case FDT_TOKEN_NODE:
        return next_node_token(fdt, offset, item);
    case FDT_TOKEN_PROPERTY:
        return next_property_token(fdt, offset, item);
    case FDT_TOKEN_END_NODE:
    case FDT_TOKEN_END:
        return (enum fdt_token)token;
    default:
        return broken(item, "a token is none of the five that exist");
    }
}

/* ---- Nodes ------------------------------------------------------------------------------------- */

uint32_t fdt_root(const struct fdt *fdt)
{
    uint32_t offset = 0;
    struct fdt_item item;

    return fdt_next(fdt, &offset, &item) == FDT_TOKEN_NODE ? item.offset : FDT_NO_NODE;
}

const char *fdt_node_name(const struct fdt *fdt, uint32_t node)
{
    struct fdt_item item;

    return fdt_next(fdt, &node, &item) == FDT_TOKEN_NODE ? item.name : "";
}

struct fdt_value fdt_property(const struct fdt *fdt, uint32_t node, const char *name)
{
    struct fdt_item item;

    if (fdt_next(fdt, &node, &item) == FDT_TOKEN_NODE)
        while (fdt_next(fdt, &node, &item) == FDT_TOKEN_PROPERTY)
            if (item.name[0] == name[0] && strcmp(item.name, name) == 0)
                return (struct fdt_value){item.value, item.length};
    return (struct fdt_value){NULL, 0};
}

uint32_t fdt_next_node(const struct fdt *fdt, uint32_t node, uint32_t *depth)
{
    struct fdt_item item;
    uint32_t offset = node;
    enum fdt_token token;

    if (node == FDT_NO_NODE) {
        *depth = 0;
        return fdt_root(fdt);
    }
    if (fdt_next(fdt, &offset, &item) != FDT_TOKEN_NODE)
        return FDT_NO_NODE;
    while ((token = fdt_next(fdt, &offset, &item)) != FDT_TOKEN_NODE) {
        if (token == FDT_TOKEN_END_NODE) {
            if ((*depth)-- == 0)
                return FDT_NO_NODE;
        } else if (token != FDT_TOKEN_PROPERTY) {
            return FDT_NO_NODE;
        }
    }
    ++*depth;
    return item.offset;
}

uint32_t fdt_first_child(const struct fdt *fdt, uint32_t node)
{
    uint32_t depth = 1;
    uint32_t child = node == FDT_NO_NODE ? FDT_NO_NODE : fdt_next_node(fdt, node, &depth);

    return child != FDT_NO_NODE && depth == 2 ? child : FDT_NO_NODE;
}

uint32_t fdt_next_sibling(const struct fdt *fdt, uint32_t node)
{
    uint32_t depth = 1; /* of `node`: its parent is 0, and the walk ends when that one does */

    do
        node = fdt_next_node(fdt, node, &depth);
    while (node != FDT_NO_NODE && depth > 1);
    return depth == 1 ? node : FDT_NO_NODE;
}

uint32_t fdt_find_child(const struct fdt *fdt, uint32_t node, const char *name, size_t length)
{
    bool with_unit = memchr(name, '@', length) != NULL;
    uint32_t loose = FDT_NO_NODE; /* "serial@1000" for "serial", until a "serial" comes */

    for (uint32_t child = fdt_first_child(fdt, node); child != FDT_NO_NODE; child = fdt_next_sibling(fdt, child)) {
        const char *its = fdt_node_name(fdt, child);

        if (strncmp(its, name, length) != 0)
            continue;
        if (its[length] == '\0')
            return child;
        if (its[length] == '@' && !with_unit && loose == FDT_NO_NODE)
            loose = child;
    }
    return loose;
}

static size_t part_length(const char *path, size_t length)
{
    const char *slash = memchr(path, '/', length);

    return slash == NULL ? length : (size_t)(slash - path);
}

static uint32_t descend(const struct fdt *fdt, uint32_t node, const char *path, size_t length)
{
    while (length != 0 && node != FDT_NO_NODE) {
        if (*path == '/') {
            path++;
            length--;
            continue;
        }
        size_t part = part_length(path, length);
        node = fdt_find_child(fdt, node, path, part);
        path += part;
        length -= part;
    }
    return node;
}

uint32_t fdt_find_path(const struct fdt *fdt, const char *path, size_t length)
{
    const char *colon = memchr(path, ':', length);

    if (colon != NULL)
        length = (size_t)(colon - path);
    if (length == 0)
        return FDT_NO_NODE;
    if (*path == '/')
        return descend(fdt, fdt_root(fdt), path, length);

    /* An alias is a property of /aliases, whose value is a full path, never another alias [§3.3]. */
    uint32_t aliases = fdt_find_child(fdt, fdt_root(fdt), "aliases", 7);
    size_t part = part_length(path, length);
    struct fdt_item item;
    if (aliases == FDT_NO_NODE || fdt_next(fdt, &aliases, &item) != FDT_TOKEN_NODE)
        return FDT_NO_NODE;
    while (fdt_next(fdt, &aliases, &item) == FDT_TOKEN_PROPERTY) {
        if (strncmp(item.name, path, part) != 0 || item.name[part] != '\0')
            continue;
        const char *target = fdt_string((struct fdt_value){item.value, item.length});
        if (target == NULL || *target != '/')
            return FDT_NO_NODE;
        return descend(fdt, descend(fdt, fdt_root(fdt), target, strlen(target)), path + part, length - part);
    }
    return FDT_NO_NODE;
}

uint32_t fdt_find_phandle(const struct fdt *fdt, uint32_t phandle)
{
    uint32_t offset = 0, node = FDT_NO_NODE;
    struct fdt_item item;
    enum fdt_token token;

    if (phandle == 0 || phandle == UINT32_MAX)
        return FDT_NO_NODE;
    while ((token = fdt_next(fdt, &offset, &item)) != FDT_TOKEN_END && token != FDT_TOKEN_BROKEN) {
        if (token == FDT_TOKEN_NODE)
            node = item.offset;
        else if (token == FDT_TOKEN_END_NODE)
            node = FDT_NO_NODE; /* a property from here to the next node is a stray one */
        else if (node != FDT_NO_NODE && item.length == 4 && load_be32(item.value) == phandle &&
                 (strcmp(item.name, "phandle") == 0 || strcmp(item.name, "linux,phandle") == 0))
            return node;
    }
    return FDT_NO_NODE;
}

/* ---- Values ------------------------------------------------------------------------------------ */

uint32_t fdt_cell(struct fdt_value value, uint32_t index, uint32_t otherwise)
{
    return index < value.length / 4 ? load_be32(value.at + (size_t)index * 4) : otherwise;
}

bool fdt_number(struct fdt_value value, uint32_t index, uint32_t count, uint64_t *number)
{
    uint32_t cells = value.length / 4;
    uint64_t result = 0;

    if (index > cells || count > cells - index)
        return false;
    for (uint32_t i = 0; i < count; i++) {
        if (result >> 32 != 0)
            return false;
        result = result << 32 | load_be32(value.at + (size_t)(index + i) * 4);
    }
    *number = result;
    return true;
}

bool fdt_value_number(struct fdt_value value, uint64_t *number)
{
    return (value.length == 4 || value.length == 8) && fdt_number(value, 0, value.length / 4, number);
}

const char *fdt_string(struct fdt_value value)
{
    uint32_t offset = 0;

    return fdt_next_string(value, &offset);
}

const char *fdt_next_string(struct fdt_value value, uint32_t *offset)
{
    if (value.at == NULL || *offset >= value.length)
        return NULL;
    const char *string = (const char *)value.at + *offset;
    const char *end = memchr(string, '\0', value.length - *offset);
    if (end == NULL)
        return NULL;
    *offset += (uint32_t)(end - string) + 1;
    return string;
}

uint32_t fdt_string_list_index(struct fdt_value value, const char *string)
{
    uint32_t offset = 0, index = 0;
    const char *each;

    while ((each = fdt_next_string(value, &offset)) != NULL) {
        if (strcmp(each, string) == 0)
            return index;
        index++;
    }
    return UINT32_MAX;
}

bool fdt_string_list_has(struct fdt_value value, const char *string)
{
    return fdt_string_list_index(value, string) != UINT32_MAX;
}

struct fdt_text fdt_printable(const char *name)
{
    struct fdt_text result;
    size_t length = 0;

    for (; length < sizeof result.text - 1 && name[length] != '\0'; length++)
        result.text[length] = name[length] >= ' ' && name[length] <= '~' ? name[length] : '?';
    result.text[length] = '\0';
    return result;
}
