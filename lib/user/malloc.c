/*
 * malloc.c: a process's heap, over Memory objects.
 *
 * Free blocks stand in one list by address and grow together with their neighbours; the first that fits is taken. Each
 * block begins with its size. What is missing is fetched in chunks of 16 KiB. A block of 64 KiB and more is a Memory
 * of its own, and goes back when it is freed.
 */
#include "user.h"

#include <lib/malloc.h>
#include <lib/string.h>

enum { ALIGNMENT = 16, HEADER = 16, PAGE = 4096, CHUNK = 16 << 10, LARGE = 64 << 10 };

struct block {
    size_t size;        /* of all of it, with this header */
    struct block *next; /* while it is free */
};

_Static_assert(sizeof(struct block) == HEADER, "what malloc gives is aligned");

static struct user_lock lock;
static struct block *free_list;

static struct block *fetch(size_t size)
{
    handle memory;
    uint64_t address;

    if (vmos_memory_create(size, &memory) != STATUS_OK)
        return NULL;
    enum status status = vmos_memory_map(0, memory, 0, 0, size, RIGHT_READ | RIGHT_WRITE, &address);
    vmos_handle_close(memory); /* the mapping keeps it */
    if (status != STATUS_OK)
        return NULL;
    struct block *block = (struct block *)(uintptr_t)address;
    block->size = size;
    return block;
}

static bool grow_together(struct block *before, struct block *after)
{
    if (before == NULL || (char *)before + before->size != (char *)after)
        return false;
    before->size += after->size;
    before->next = after->next;
    return true;
}

static void put(struct block *block)
{
    struct block *before = NULL, *after = free_list;

    while (after != NULL && after < block) {
        before = after;
        after = after->next;
    }
    block->next = after;
    if (before != NULL)
        before->next = block;
    else
        free_list = block;
    if (after != NULL)
        grow_together(block, after);
    grow_together(before, block);
}

static struct block *take(size_t size)
{
    for (struct block **link = &free_list, *block; (block = *link) != NULL; link = &block->next) {
        if (block->size < size)
            continue;
        if (block->size - size < 2 * HEADER) {
            *link = block->next;
        } else {
            struct block *rest = (struct block *)((char *)block + size);
            *rest = (struct block){.size = block->size - size, .next = block->next};
            *link = rest;
            block->size = size;
        }
        return block;
    }
    return NULL;
}

void *malloc(size_t size)
{
    struct block *block;

    if (size > SIZE_MAX - HEADER - PAGE)
        return NULL;
    size = (size + HEADER + ALIGNMENT - 1) & ~(size_t)(ALIGNMENT - 1);
    if (size < 2 * HEADER)
        size = 2 * HEADER;
    if (size >= LARGE) {
        block = fetch((size + PAGE - 1) & ~(size_t)(PAGE - 1));
        return block != NULL ? block + 1 : NULL;
    }
    user_lock_take(&lock);
    block = take(size);
    if (block == NULL) {
        struct block *more = fetch(size < CHUNK ? CHUNK : (size + PAGE - 1) & ~(size_t)(PAGE - 1));
        if (more != NULL) {
            put(more);
            block = take(size);
        }
    }
    user_lock_release(&lock);
    return block != NULL ? block + 1 : NULL;
}

void *calloc(size_t count, size_t size)
{
    size_t all;
    void *memory = __builtin_mul_overflow(count, size, &all) ? NULL : malloc(all);

    return memory != NULL ? memset(memory, 0, all) : NULL;
}

/* The block begins further on; what is before it is a free block of its own. */
void *aligned_alloc(size_t alignment, size_t size)
{
    if (alignment <= ALIGNMENT)
        return malloc(size);
    if (size >= LARGE - alignment - 4 * HEADER || alignment >= LARGE / 2)
        return NULL; /* a Memory of its own could not be given back from its middle */
    struct block *block = malloc(size + alignment + 2 * HEADER);
    if (block == NULL)
        return NULL;
    uintptr_t address = ((uintptr_t)block + 2 * HEADER + alignment - 1) & ~(uintptr_t)(alignment - 1);
    struct block *before = block - 1, *aligned = (struct block *)address - 1;
    aligned->size = before->size - (size_t)((char *)aligned - (char *)before);
    before->size -= aligned->size;
    free(block);
    return aligned + 1;
}

void free(void *memory)
{
    if (memory == NULL)
        return;
    struct block *block = (struct block *)memory - 1;
    if (block->size >= LARGE) {
        vmos_memory_unmap(0, (uintptr_t)block, block->size);
        return;
    }
    user_lock_take(&lock);
    put(block);
    user_lock_release(&lock);
}
