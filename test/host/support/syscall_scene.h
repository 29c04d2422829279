/*
 * syscall_scene.h: a process that makes system calls, and others to make them with: the real calls, objects, threads
 * and scheduler, on the machine of object_world.h with one CPU. What an argument points to is found through the
 * process's real page tables.
 */
#ifndef SYSCALL_SCENE_H
#define SYSCALL_SCENE_H

#include "object_world.h"

#include <kernel/process/syscall.h>

/* Words in a row that stand for something of the scene; an address can have something added to it. */
#define SCENE_TAG UINT64_C(0x5ce7e)
#define SCENE(n)  (SCENE_TAG << 40 | (uint64_t)(n) << 32 | UINT64_C(0x80000000))

enum { /* in things[] */
       AN_ENDPOINT,
       A_NOTIFICATION,
       A_MEMORY,
       A_CHILD,
       A_THREAD,
       THE_CLOCK,
       THE_CONSOLE,
       A_REPLY,
       AN_OLD_REPLY,
       A_BADGED,
       AN_UNHEARD,
       A_SERVED,
       A_RAMDISK,
       A_READABLE,
       A_DATA,
       A_CODE,
       AN_ENDED,
       AN_ENDED_THREAD,
       THE_PAGE,
       THE_CONSTANT,
       THING_COUNT
};

#define ENDPOINT     SCENE(AN_ENDPOINT)
#define NOTIFICATION SCENE(A_NOTIFICATION)
#define MEMORY       SCENE(A_MEMORY) /* four pages, mapped nowhere */
#define CHILD        SCENE(A_CHILD)  /* a process that has no thread yet */
#define THREAD       SCENE(A_THREAD)
#define CLOCK        SCENE(THE_CLOCK)
#define CONSOLE      SCENE(THE_CONSOLE)
#define REPLY        SCENE(A_REPLY)      /* of a call that waits for its answer */
#define OLD_REPLY    SCENE(AN_OLD_REPLY) /* of one that is over */
#define BADGED       SCENE(A_BADGED)     /* a handle of the endpoint that has a badge */
#define UNHEARD      SCENE(AN_UNHEARD)   /* an endpoint that nobody can receive from */
#define SERVED       SCENE(A_SERVED)     /* one that somebody waits at to receive */
#define RAMDISK      SCENE(A_RAMDISK)
#define READABLE     SCENE(A_READABLE) /* a handle of the memory that can only be read by */
#define DATA         SCENE(A_DATA)     /* a memory that is mapped to be written */
#define CODE         SCENE(A_CODE)     /* one that is mapped to be executed */
#define ENDED        SCENE(AN_ENDED)   /* a process */
#define ENDED_THREAD SCENE(AN_ENDED_THREAD)
#define PAGE         SCENE(THE_PAGE) /* an address: a page to read and write, zeroes, behind which nothing is */
#define END          (PAGE + PAGE_SIZE)
#define CONSTANT     SCENE(THE_CONSTANT) /* a page to read */

#define RIGHTS_CALL (RIGHT_CALL | RIGHT_TRANSFER)

extern uint64_t things[THING_COUNT];
extern struct process *caller, *other;
extern struct thread *thread, *second, *client, *late, *server; /* two of the caller's, three of the other's */
extern handle served;                                           /* the other's own, of the endpoint that he serves */
extern struct memory *page;                                     /* what PAGE is mapped from */
extern uint64_t now_ns;
extern enum status refused; /* what the audit was told last */

/* All of it, anew: `thread` runs. Room for some more handles is there already: a table that has grown for a call that
 * fails is no change. */
void scene_begin(void);
/* Nothing is left. */
void scene_end(void);

extern const struct thread_parameters plain_thread; /* neither promise nor wish */
/* The only CPU goes on until it is this one's turn. */
void run_thread(const struct thread *wanted);
/* A word of a row, or what it stands for. */
uint64_t meant(uint64_t word);
handle give(struct process *process, struct object *object, uint32_t rights, uint64_t badge);
/* The call as the thread makes it; what it gives is in its context, unless it waits. */
enum status ask(struct thread *who, uint64_t number, const uint64_t *arguments);
#define ASK(who, call, ...) ask(who, SYSTEM_##call, (const uint64_t[6]){__VA_ARGS__})

#endif
