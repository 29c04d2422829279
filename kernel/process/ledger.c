/* ledger.c: see ledger.h. */
#include "ledger.h"

#include "names.h"

static uint64_t count_handles(const struct handle_table *table)
{
    uint64_t count = 0;

    for (uint32_t i = 1; i < table->capacity; i++)
        count += table->slots[i].object != NULL;
    return count;
}

void ledger_take(struct ledger *ledger)
{
    struct frame_counts frames;
    struct heap_counts heap;
    uintptr_t saved = lock_take(&objects_lock);

    *ledger = (struct ledger){0};
    for (unsigned type = 0; type < OBJECT_TYPE_COUNT; type++)
        ledger->objects[type] = object_counts[type];
    for (const struct process *process = processes; process != NULL; process = process->next) {
        ledger->processes++;
        ledger->handles += count_handles(&process->handles);
        ledger->table_frames += process->space.table_bytes / PAGE_SIZE;
    }
    frames_count(&frames);
    heap_count(&heap);
    lock_release(&objects_lock, saved);
    ledger->frames = frames.total - frames.free;
    ledger->heap_frames = heap.pages;
    ledger->heap_bytes = heap.bytes_in_use;
    ledger->heap_blocks = heap.blocks_in_use;
}

void ledger_print(const struct ledger *ledger, struct printer *printer)
{
    print(printer, "ledger: frames %llu, of which heap %llu and page tables %llu\n", (unsigned long long)ledger->frames,
          (unsigned long long)ledger->heap_frames, (unsigned long long)ledger->table_frames);
    print(printer, "ledger: heap %llu bytes in %llu blocks, processes %llu, handles %llu\n",
          (unsigned long long)ledger->heap_bytes, (unsigned long long)ledger->heap_blocks,
          (unsigned long long)ledger->processes, (unsigned long long)ledger->handles);
    print(printer, "ledger: objects:");
    for (unsigned type = OBJECT_PROCESS; type <= OBJECT_NOTIFICATION; type++)
        print(printer, "%s %s %llu", type == OBJECT_PROCESS ? "" : ",", object_type_name(type),
              (unsigned long long)ledger->objects[type]);
    print(printer, "\n");
}

void ledger_command(struct printer *out, const char *arguments)
{
    struct ledger ledger;

    (void)arguments;
    ledger_take(&ledger);
    ledger_print(&ledger, out);
}
