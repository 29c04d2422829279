/* ledger.h: what is in use in all, in numbers that are the same again when all has come back. */
#ifndef KERNEL_PROCESS_LEDGER_H
#define KERNEL_PROCESS_LEDGER_H

#include "object.h"

#include <lib/printf.h>

struct ledger {
    uint64_t frames, heap_frames, table_frames; /* all; of them the heap's; page tables of processes */
    uint64_t heap_bytes, heap_blocks;
    uint64_t objects[OBJECT_TYPE_COUNT];
    uint64_t processes, handles; /* in all tables */
};

/* Without the lock; nothing that is being taken apart is waited for. */
void ledger_take(struct ledger *ledger);
/* Lines that begin with "ledger: ". Two are the same text if and only if everything is the same. */
void ledger_print(const struct ledger *ledger, struct printer *printer);
/* The console's `ledger`. */
void ledger_command(struct printer *out, const char *arguments);

#endif
