/*
 * space.h: the user half of an address space: which addresses are taken, by what, and the tables that say so to the
 * CPU.
 *
 * Knows pages and page tables, and nothing of processes: who pays is told by the caller's `charge`. The caller holds
 * the lock of the objects in all of it.
 */
#ifndef MEMORY_SPACE_H
#define MEMORY_SPACE_H

#include <memory/memory.h>

struct mapping; /* a run of addresses, all of one Memory, with one access */

/* Bytes that a space costs beyond what is mapped are announced to `charge` before they are taken (negative: given
 * back); false refuses. */
typedef bool space_charge(void *payer, int64_t bytes);

struct space {
    struct page_table table;
    unsigned identifier;
    uint64_t cpus;            /* where something of it may be remembered */
    struct mapping *mappings; /* by address */
    uint32_t mapping_count;
    uintptr_t window; /* where mappings are put that need not be elsewhere: close together, to share tables */
    uint64_t table_bytes;
    space_charge *charge;
    void *payer;
};

/* Every operation looks through the mappings of a space, so there is a limit to them. */
enum { SPACE_MAPPINGS_MOST = 4096 };

/* What can be mapped: physical pages, by index. kernel/process/memory.c. */
struct pages {
    uint64_t size; /* bytes, whole pages */
    uint32_t runs;
    struct page_run { /* in order; each naturally aligned to its size */
        uint64_t physical;
        uint64_t size; /* a power of two of pages */
    } * run;
};

struct mapping {
    struct mapping *next;                        /* in the space, by address */
    struct mapping *next_alias, *previous_alias; /* of the same pages, in any space */
    struct space *space;
    void *owner; /* the Memory object */
    uintptr_t address;
    uint64_t offset, size;
    unsigned access; /* enum mmu_access */
};

/* Once, before the first space: where random numbers come from. */
void space_start(uint64_t (*random)(void));

/* STATUS_LIMIT: `charge` refuses; STATUS_NO_MEMORY. */
enum status space_init(struct space *space, space_charge *charge, void *payer);
/* Nothing is mapped any more and no CPU has it active. In steps, of at most `most` tables each: true: done. Tables
 * that a CPU may still look at, since it did not answer, stay for good. */
bool space_destroy(struct space *space, unsigned most);

/* Maps [offset, +size) of the pages; `at` 0: at a random free address with a free page on either side, aligned for
 * large pages where the pages allow it. Fills in `mapping`, which the caller allocated and links to its owner.
 * STATUS_INVALID: unaligned, out of the pages, writable and executable, not user addresses. STATUS_BUSY: taken.
 * STATUS_LIMIT: too many mappings, or `charge` refuses a table; STATUS_NO_MEMORY. STATUS_IO_ERROR: the same, and a
 * CPU did not answer when it was undone, so that the pages must not be used for anything else. */
enum status space_map(struct space *space, struct mapping *mapping, const struct pages *pages, uintptr_t at,
                      uint64_t offset, uint64_t size, unsigned access);
/* A random place for `size` bytes with a free page on either side; 0: there is none. For an image that is to be mapped
 * in pieces. */
uintptr_t space_choose(struct space *space, uint64_t size, uint64_t alignment);
/* The mapping that an address is in; NULL. */
struct mapping *space_find(const struct space *space, uintptr_t address);
/* Takes a mapping away, for all CPUs: when it returns true nobody can reach the pages by it. False: a CPU did not
 * answer, and the pages must not be used for anything else. Unlinks it from the space; the caller frees it. */
bool space_unmap(struct mapping *mapping);

/* This CPU's user half becomes this one; NULL: none. The kernel's own thread has none: else a space whose process has
 * ended would never be left by a CPU that sleeps. */
void space_activate(struct space *space);
/* Whether any CPU has it active. */
bool space_active(const struct space *space);

#endif
