/*
 * memory.c: Memory, pages that can be mapped and shared. Contract in object.h.
 *
 * The pages are runs of naturally aligned blocks, the largest first, so that a run lies as far into the Memory as a
 * multiple of its size: where the addresses are chosen well, large blocks become large leaves.
 */
#include "object.h"

#include <lib/bytes.h>
#include <lib/log.h>
#include <lib/malloc.h>
#include <lib/string.h>

#include "object_private.h"

/* ---- Runs ---------------------------------------------------------------------------------------------------------
 */

static enum status add_run(struct memory *memory, uint64_t physical, uint64_t size)
{
    struct pages *pages = &memory->pages;

    if (pages->runs == memory->run_capacity) {
        uint32_t capacity = pages->runs == 0 ? 2 : 2 * pages->runs;
        uint64_t more = (capacity - memory->run_capacity) * sizeof *pages->run;
        if (!budget_take(memory->object.payer, BUDGET_MEMORY, more))
            return STATUS_LIMIT;
        struct page_run *run = malloc(capacity * sizeof *run);
        if (run == NULL) {
            budget_give(memory->object.payer, BUDGET_MEMORY, more);
            return STATUS_NO_MEMORY;
        }
        if (pages->runs != 0)
            memcpy(run, pages->run, pages->runs * sizeof *run);
        free(pages->run);
        pages->run = run;
        memory->run_capacity = capacity;
    }
    pages->run[pages->runs++] = (struct page_run){.physical = physical, .size = size};
    pages->size += size;
    return STATUS_OK;
}

static unsigned order_within(uint64_t size)
{
    unsigned order = 0;

    while (order < FRAME_MAX_ORDER && PAGE_SIZE << (order + 1) <= size)
        order++;
    return order;
}

/* A failed large block makes all that follow smaller. */
static enum status allocate(struct memory *memory, uint64_t size)
{
    unsigned most = FRAME_MAX_ORDER;

    while (memory->pages.size < size) {
        unsigned order = order_within(size - memory->pages.size);
        order = order < most ? order : most;
        uint64_t physical = frames_allocate(order, 0);
        if (physical == 0) {
            if (order == 0)
                return STATUS_NO_MEMORY;
            most = order - 1;
            continue;
        }
        enum status status = add_run(memory, physical, PAGE_SIZE << order);
        if (status != STATUS_OK) {
            frames_free(physical, order);
            return status;
        }
        memset(physical_to_virtual(physical), 0, PAGE_SIZE << order);
    }
    return STATUS_OK;
}

static void free_pages(struct memory *memory)
{
    struct pages *pages = &memory->pages;

    for (uint32_t i = 0; i < pages->runs && !memory->borrowed && !memory->leaked; i++)
        frames_free(pages->run[i].physical, order_within(pages->run[i].size));
    free(pages->run);
    budget_give(memory->object.payer, BUDGET_MEMORY, memory->run_capacity * sizeof *pages->run);
}

/* ---- Memory -------------------------------------------------------------------------------------------------------
 */

enum status memory_create(struct process *payer, uint64_t size, struct memory **memory)
{
    struct object *object;

    if (size == 0 || size % PAGE_SIZE != 0)
        return STATUS_INVALID;
    if (size > MEMORY_LARGEST || !budget_take(payer, BUDGET_MEMORY, size))
        return STATUS_LIMIT;
    enum status status = object_create(payer, OBJECT_MEMORY, sizeof **memory, &object);
    if (status != STATUS_OK) {
        budget_give(payer, BUDGET_MEMORY, size);
        return status;
    }
    *memory = CONTAINER_OF(object, struct memory, object);
    status = allocate(*memory, size);
    if (status == STATUS_OK) {
        (*memory)->charged_pages = size;
        return STATUS_OK;
    }
    free_pages(*memory);
    object_free(object);
    budget_give(payer, BUDGET_MEMORY, size);
    return status;
}

enum status memory_borrow(struct process *payer, uint64_t physical, uint64_t size, struct memory **memory)
{
    struct object *object;

    if (size == 0 || (physical | size) % PAGE_SIZE != 0 || physical + size < physical)
        return STATUS_INVALID;
    enum status status = object_create(payer, OBJECT_MEMORY, sizeof **memory, &object);
    if (status != STATUS_OK)
        return status;
    *memory = CONTAINER_OF(object, struct memory, object);
    (*memory)->borrowed = (*memory)->code = true;
    for (uint64_t end = physical + size; physical < end;) {
        uint64_t block = PAGE_SIZE;
        while (physical % (2 * block) == 0 && end - physical >= 2 * block)
            block *= 2;
        status = add_run(*memory, physical, block);
        if (status != STATUS_OK) {
            memory_destroy(*memory);
            return status;
        }
        physical += block;
    }
    return STATUS_OK;
}

void memory_destroy(struct memory *memory)
{
    struct process *payer = memory->object.payer;

    if (memory->leaked)
        log_error("memory", "%llu KiB stay unused for good: a CPU may still reach them",
                  (unsigned long long)memory->pages.size / 1024);
    else
        budget_give(payer, BUDGET_MEMORY, memory->charged_pages);
    free_pages(memory);
    object_free(&memory->object);
}

/* ---- Mappings -----------------------------------------------------------------------------------------------------
 */

static struct process *process_of(const struct mapping *mapping)
{
    return CONTAINER_OF(mapping->space, struct process, space);
}

/* Counts a mapping that has come or gone. */
static void count_alias(struct memory *memory, const struct mapping *mapping, uint32_t change)
{
    memory->mapping_count += change;
    if ((mapping->access & MMU_WRITE) != 0)
        memory->writable += change;
    if ((mapping->access & MMU_EXECUTE) != 0)
        memory->executable += change;
}

static void link_alias(struct memory *memory, struct mapping *mapping)
{
    mapping->owner = memory;
    mapping->next_alias = memory->mappings;
    mapping->previous_alias = NULL;
    if (memory->mappings != NULL)
        memory->mappings->previous_alias = mapping;
    memory->mappings = mapping;
    count_alias(memory, mapping, 1);
}

static void unlink_alias(struct memory *memory, struct mapping *mapping)
{
    if (mapping->previous_alias != NULL)
        mapping->previous_alias->next_alias = mapping->next_alias;
    else
        memory->mappings = mapping->next_alias;
    if (mapping->next_alias != NULL)
        mapping->next_alias->previous_alias = mapping->previous_alias;
    count_alias(memory, mapping, (uint32_t)-1);
}

/* What was written as data is about to be run: nobody writes it any more (rule_map). Once is enough, until somebody
 * does. */
static void make_code(struct memory *memory)
{
    const struct pages *pages = &memory->pages;

    for (uint32_t i = 0; i < pages->runs && !memory->code; i++)
        mmu_code_written(physical_to_virtual(pages->run[i].physical), pages->run[i].size);
    memory->code = true;
}

enum status memory_map(struct process *process, struct memory *memory, uint32_t rights, uintptr_t at, uint64_t offset,
                       uint64_t size, uint32_t access, uintptr_t *address)
{
    enum status status = rule_map(rights, access, memory->writable, memory->executable);

    if (status != STATUS_OK)
        return status;
    if (memory->borrowed && (access & RIGHT_WRITE) != 0)
        return STATUS_READ_ONLY;
    if (process->state == PROCESS_ENDING || process->state == PROCESS_ENDED)
        return STATUS_PEER_GONE;
    if (!budget_take(process, BUDGET_MEMORY, sizeof(struct mapping)))
        return STATUS_LIMIT;
    struct mapping *mapping = calloc(1, sizeof *mapping);
    status = STATUS_NO_MEMORY;
    if (mapping != NULL) {
        unsigned mmu =
            ((access & RIGHT_WRITE) != 0 ? MMU_WRITE : 0u) | ((access & RIGHT_EXECUTE) != 0 ? MMU_EXECUTE : 0u);
        if ((access & RIGHT_EXECUTE) != 0)
            make_code(memory);
        if ((access & RIGHT_WRITE) != 0)
            memory->code = false;
        status = space_map(&process->space, mapping, &memory->pages, at, offset, size, mmu);
    }
    if (status == STATUS_IO_ERROR)
        memory->leaked = true;
    if (status != STATUS_OK) {
        free(mapping);
        budget_give(process, BUDGET_MEMORY, sizeof *mapping);
        return status;
    }
    link_alias(memory, mapping);
    object_hold(&memory->object);
    *address = mapping->address;
    return STATUS_OK;
}

void memory_unmap_mapping(struct mapping *mapping)
{
    struct process *process = process_of(mapping);
    struct memory *memory = mapping->owner;

    unlink_alias(memory, mapping);
    if (!space_unmap(mapping))
        memory->leaked = true;
    free(mapping);
    budget_give(process, BUDGET_MEMORY, sizeof *mapping);
    object_release(&memory->object);
}

enum status memory_unmap(struct process *process, uintptr_t at, uint64_t size)
{
    struct mapping *mapping = space_find(&process->space, at);

    if (mapping == NULL || mapping->address != at || mapping->size != size)
        return STATUS_NOT_FOUND;
    memory_unmap_mapping(mapping);
    return STATUS_OK;
}

bool memory_revoke(struct memory *memory, const struct process *except, unsigned most)
{
    struct mapping *mapping, *next;

    object_hold(&memory->object);
    for (mapping = memory->mappings; mapping != NULL; mapping = next) {
        next = mapping->next_alias;
        if (process_of(mapping) == except)
            continue;
        if (most-- == 0)
            break;
        memory_unmap_mapping(mapping);
    }
    object_release(&memory->object);
    return mapping == NULL;
}
