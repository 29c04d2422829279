/*
 * fdt_format.h: the flattened device tree as a format: blocks, tokens, nodes, properties, cells.
 *
 * Nothing here knows what a property means; fdt_machine.h does. A tree is validated once, by fdt_open; every
 * later access is bounded again all the same, so that a wrong node offset can only fail.
 * Numbers in a tree are big-endian 32-bit cells [Devicetree Specification 0.4 §5].
 */
#ifndef MACHINE_FDT_FORMAT_H
#define MACHINE_FDT_FORMAT_H

#include <vmos/abi.h>
#include <lib/printf.h>

enum {
    FDT_MAGIC = (int)0xd00dfeed,
    FDT_HEADER_SIZE = 40,   /* version 17; version 16 lacks the last field */
    FDT_MAX_SIZE = 2 << 20, /* what the arm64 boot protocol allows; QEMU makes 1 MiB */
    FDT_MAX_DEPTH = 32,
    FDT_MAX_CELLS = 4, /* of an address or size; PCI has 3 */
};

struct fdt {
    const uint8_t *blob;
    const uint8_t *structure;
    uint32_t structure_size;
    const char *strings; /* every offset below strings_size begins a terminated string */
    uint32_t strings_size;
    const uint8_t *reservations; /* 16 bytes each: address, size */
    uint32_t reservation_count;
    uint32_t version;
    uint32_t boot_cpu;
};

/* A node is named by the offset of its FDT_BEGIN_NODE token; the root is fdt_root(). */
#define FDT_NO_NODE UINT32_MAX

enum fdt_token {
    FDT_TOKEN_NODE = 1,
    FDT_TOKEN_END_NODE = 2,
    FDT_TOKEN_PROPERTY = 3,
    FDT_TOKEN_NOP = 4, /* never returned by fdt_next */
    FDT_TOKEN_END = 9,
    FDT_TOKEN_BROKEN = 0, /* item.name says in what way */
};

struct fdt_item {
    const char *name;     /* node or property; terminated, inside the blob */
    const uint8_t *value; /* property */
    uint32_t length;      /* of the value, bytes */
    uint32_t offset;      /* of the token */
};

/* A property's value; at is NULL when there is no such property. */
struct fdt_value {
    const uint8_t *at;
    uint32_t length;
};

/* Checks everything: header, reservations, every token, depth, names. On failure one sentence is logged. */
enum status fdt_open(struct fdt *fdt, const void *blob, size_t size);

/* The token at *offset (NOPs are skipped), moving *offset behind it. */
enum fdt_token fdt_next(const struct fdt *fdt, uint32_t *offset, struct fdt_item *item);

/* Of a tree that fdt_open has found good; a node is what these functions gave. A property that is not there has no
 * value: `at` is NULL. */
uint32_t fdt_root(const struct fdt *fdt);
const char *fdt_node_name(const struct fdt *fdt, uint32_t node);
struct fdt_value fdt_property(const struct fdt *fdt, uint32_t node, const char *name);

/* Walks all nodes, parents first: the node after `node` (FDT_NO_NODE to begin); *depth is 0 for the root.
 * FDT_NO_NODE at the end. */
uint32_t fdt_next_node(const struct fdt *fdt, uint32_t node, uint32_t *depth);
/* The first child of `node`, and the next one; FDT_NO_NODE when there is none. */
uint32_t fdt_first_child(const struct fdt *fdt, uint32_t node);
uint32_t fdt_next_sibling(const struct fdt *fdt, uint32_t node);

/* A child by name; without "@unit" in `name` a child's unit address is ignored. `length`: of the name. */
uint32_t fdt_find_child(const struct fdt *fdt, uint32_t node, const char *name, size_t length);
/* "/soc/serial@1000", or an alias with or without a path behind it. `length` ends it, as ':' does. */
uint32_t fdt_find_path(const struct fdt *fdt, const char *path, size_t length);
/* Searches the whole tree: for the few, not for each. 0 and 0xffffffff name nothing. */
uint32_t fdt_find_phandle(const struct fdt *fdt, uint32_t phandle);

/* The memory reservation block's entry `index`; 0 bytes where there is none. */
void fdt_reservation(const struct fdt *fdt, uint32_t index, uint64_t *base, uint64_t *size);

/* ---- Values ------------------------------------------------------------------------------------ */

/* Cell `index`, or `otherwise` where the value is shorter. */
uint32_t fdt_cell(struct fdt_value value, uint32_t index, uint32_t otherwise);
/* `count` cells from `index` on as one number; false when the value is shorter, or it needs more than 64 bits. */
bool fdt_number(struct fdt_value value, uint32_t index, uint32_t count, uint64_t *number);
/* A property that is one number of 32 or 64 bits, whichever its length says. */
bool fdt_value_number(struct fdt_value value, uint64_t *number);
/* The value as a string; NULL when it is absent or not terminated. */
const char *fdt_string(struct fdt_value value);
/* The next string of a list; NULL at its end. Begin with *offset 0. */
const char *fdt_next_string(struct fdt_value value, uint32_t *offset);
bool fdt_string_list_has(struct fdt_value value, const char *string);
/* Position of a string in a list; UINT32_MAX when it is not there. */
uint32_t fdt_string_list_index(struct fdt_value value, const char *string);

/* A name for a sentence: printable, cut at 47 characters. */
struct fdt_text {
    char text[48];
};
struct fdt_text fdt_printable(const char *name);

#endif
