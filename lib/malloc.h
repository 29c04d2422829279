/*
 * malloc.h: the heap of whatever home the code runs in: the kernel's (memory/heap.c), a process's, or
 * on the host the C library's. C's meaning; malloc(0) gives NULL or a unique pointer.
 */
#ifndef LIB_MALLOC_H
#define LIB_MALLOC_H

#include <stddef.h>

void *malloc(size_t size);
void *calloc(size_t count, size_t size);
void *aligned_alloc(size_t alignment, size_t size);
void free(void *memory);

#endif
