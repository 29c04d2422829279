/* object_private.h: what object.c, handle.c, memory.c, process.c and syscall.c share among themselves. */
#ifndef KERNEL_PROCESS_OBJECT_PRIVATE_H
#define KERNEL_PROCESS_OBJECT_PRIVATE_H

#include "object.h"

#define CONTAINER_OF(pointer, type, member) ((type *)(void *)((char *)(pointer)-offsetof(type, member)))

/* object.c: destroys one object of the graveyard, without the lock; false: it is empty. */
bool graveyard_work_off(void);
/* process.c: a reference of it has just gone. */
void process_released(struct process *process);

#endif
