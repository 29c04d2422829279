/* thread.c: more threads of one's own process. */
#include "user.h"

enum { PAGE = 4096 };

void user_thread(const struct thread_begin *begin, struct message_buffer *buffer)
{
    begin->run(begin->argument, buffer);
    for (;;)
        vmos_thread_exit();
}

/* The kernel leaves a free page on either side of a mapping for which it chooses the place: the stack's guard. */
enum status thread_start(void (*run)(void *argument, struct message_buffer *buffer), void *argument, size_t stack_size,
                         const struct thread_parameters *parameters)
{
    struct thread_parameters thread = parameters != NULL ? *parameters : (struct thread_parameters){0};
    uint64_t size = (stack_size + PAGE - 1) & ~(uint64_t)(PAGE - 1), stack;
    handle memory, made;
    enum status status = vmos_memory_create(size, &memory);

    if (status != STATUS_OK)
        return status;
    status = vmos_memory_map(0, memory, 0, 0, size, RIGHT_READ | RIGHT_WRITE, &stack);
    vmos_handle_close(memory); /* the mapping keeps it */
    if (status != STATUS_OK)
        return status;
    struct thread_begin *begin = (struct thread_begin *)(uintptr_t)(stack + size - sizeof *begin);
    *begin = (struct thread_begin){.run = run, .argument = argument};
    thread.entry = (uintptr_t)thread_entry;
    thread.stack = (uintptr_t)begin;
    thread.argument = (uintptr_t)begin;
    status = vmos_thread_create(0, &thread, &made);
    if (status == STATUS_OK)
        vmos_handle_close(made);
    else
        vmos_memory_unmap(0, stack, size);
    return status;
}
