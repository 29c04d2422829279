/*
 * object_world.h: what kernel/process/'s objects stand on, played: a machine of 64 MiB and four CPUs that remember
 * translations until they are told to forget them, a heap that counts and can refuse, and endpoints, notifications and
 * threads that only note what is done with them.
 */
#ifndef OBJECT_WORLD_H
#define OBJECT_WORLD_H

#include <kernel/process/ipc.h>

enum { WORLD_FRAMES = 16384, WORLD_CPUS = 4 };

#define WORLD_BASE UINT64_C(0x10000000)
#define KIB        UINT64_C(1024)
#define MIB        (UINT64_C(1) << 20)

/* As a cmocka set-up and tear-down: a new machine with processes_init() done; nothing may be left at the end. */
int world_start(void **state);
int world_end(void **state);

/* ---- Faults ---- */
extern int world_heap_left;        /* allocations of the heap that succeed; -1: all */
extern bool world_deaf;            /* CPUs do not answer a flush */
extern unsigned world_identifiers; /* mmu_identifier_count() */
extern unsigned world_self;        /* which CPU asks */

/* ---- What was done ---- */
extern uint64_t world_heap_blocks, world_heap_bytes;
extern unsigned world_flushes, world_replies_dropped, world_wakes, world_code_written;
extern unsigned world_end_waits;         /* calls of endpoint_end_waits and notification_end_waits, */
extern enum status world_end_waits_last; /* and what the last was given */
extern unsigned world_peers_gone;        /* endpoints that lost their last receiver */
extern unsigned world_timers_cancelled, world_destroyed[OBJECT_TYPE_COUNT];

/* Everything that can be out of balance, as one number for each. */
struct ledger {
    uint64_t frames, heap_blocks, heap_bytes, objects[OBJECT_TYPE_COUNT], used[BUDGET_COUNT], processes;
};
void ledger_take(struct ledger *ledger);
/* Fails the test, and says what differs. */
void ledger_same(const struct ledger *before, const struct ledger *after);

/* The parameters of a process with a little of everything. */
struct process_parameters world_parameters(const char *name);
struct process *world_process(struct process *parent);
struct thread *world_thread(struct process *process);
/* A CPU that ran an ended thread has left it. */
void world_thread_stopped(struct thread *thread);
void world_reap(void);
/* One reference is the handle's. */
handle world_endpoint(struct process *process, struct endpoint **made);
handle world_notification(struct process *process, struct notification **made);
handle world_memory(struct process *process, uint64_t size, struct memory **made);

/* ---- Translations: what a CPU may do at any time in the space that it has active ---- */
void world_touch(unsigned cpu, uintptr_t address);
/* Whether any CPU remembers a translation of this identifier that leads to [physical, +size). */
bool world_remembered(unsigned identifier, uint64_t physical, uint64_t size);
uint64_t world_root(unsigned cpu); /* that is active there */

#endif
