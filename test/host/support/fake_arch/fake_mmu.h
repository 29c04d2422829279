/* fake_mmu.h: what a test sets and sees of the processor that does not exist. */
#ifndef FAKE_MMU_H
#define FAKE_MMU_H

#include <platform/mmu.h>

extern unsigned fake_largest_leaf;  /* 1 or 2 */
extern uint64_t fake_root;          /* mmu_kernel_root() */
extern unsigned fake_pages_flushed; /* calls of mmu_flush() */
extern bool fake_identity_dropped;
extern unsigned fake_synchronised; /* calls of mmu_synchronise(true), which says whether `fake_deaf` is off */
extern bool fake_deaf;

#endif
