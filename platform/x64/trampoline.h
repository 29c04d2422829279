/* trampoline.h: the page from which CPUs start; secondary.S lays it out, start.c fills it in. */
#ifndef X64_TRAMPOLINE_H
#define X64_TRAMPOLINE_H

#define TRAMPOLINE_ENTRIES    64 /* CPU_MAX */
#define TRAMPOLINE_ENTRY_SIZE 24

#ifndef __ASSEMBLER__

#include <stdint.h>

struct trampoline_entry {
    uint32_t apic_id, claimed;
    uint64_t cpu, stack_top;
};
_Static_assert(sizeof(struct trampoline_entry) == TRAMPOLINE_ENTRY_SIZE, "secondary.S");

/* At the end of the code: what the boot CPU fills in. All addresses are physical but those of `entry` and
 * kernel_root, which 64-bit code uses. */
struct trampoline_data {
    uint64_t descriptors[4]; /* none, 64-bit code, data, 32-bit code */
    uint16_t descriptors_limit;
    uint32_t descriptors_base;
    uint16_t padding0;
    uint32_t far32[2]; /* offset, selector */
    uint32_t far64[2];
    uint32_t root; /* of tables that map this page onto itself, and the kernel */
    uint32_t efer;
    uint64_t kernel_root;
    uint64_t entry;
    uint32_t count, padding1;
    struct trampoline_entry entries[TRAMPOLINE_ENTRIES];
} __attribute__((packed));

extern char trampoline[], trampoline_code32[], trampoline_code64[], trampoline_data[];

#endif
#endif
