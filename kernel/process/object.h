/*
 * object.h: kernel objects, the handles that name them, and who pays.
 *
 * Everything here is guarded by one lock, `objects` (LOCK_PLACE_OBJECTS), which stands before all others: whatever a
 * process asks for is decided in one piece. No thread waits inside the kernel with the lock, or on a kernel stack: who
 * must wait is put into a queue, and whoever ends the wait writes the result into his registers.
 */
#ifndef KERNEL_PROCESS_OBJECT_H
#define KERNEL_PROCESS_OBJECT_H

#include "rules.h"

#include <memory/space.h>
#include <platform/clock.h>
#include <platform/cpu.h>
#include <platform/lock.h>
#include <platform/user.h>

extern struct lock objects_lock;

/* ---- Objects ------------------------------------------------------------------------------------------------------
 */

struct process;
struct thread;

struct object {
    uint8_t type; /* enum object_type */
    uint32_t references;
    uint64_t epoch; /* handles of another epoch are revoked */
    struct process *payer;
    uint32_t charged; /* bytes of heap that the payer is charged for it */
};

/* A zeroed object of `size` bytes with one reference, charged to `payer` (memory and one of BUDGET_OBJECTS, which
 * `counted` names). STATUS_LIMIT: the budget; STATUS_NO_MEMORY: the machine. */
enum status object_create(struct process *payer, enum object_type type, size_t size, struct object **object);
void object_hold(struct object *object);
/* The last one destroys it: TYPE_destroy(). */
void object_release(struct object *object);

/* How many there are of each type, for the ledger. */
extern uint64_t object_counts[OBJECT_TYPE_COUNT];

/* ---- Budgets ------------------------------------------------------------------------------------------------------
 */

bool budget_take(struct process *process, enum budget budget, uint64_t amount);
void budget_give(struct process *process, enum budget budget, uint64_t amount);

/* ---- Handles ------------------------------------------------------------------------------------------------------
 */

struct handle_slot {
    struct object *object; /* NULL: free, or retired */
    uint64_t generation;   /* of the handle that is in it, or will be next */
    uint64_t epoch;        /* of the object when the handle was made; a Reply's serial */
    uint64_t badge;
    uint32_t rights;
    uint32_t next_free; /* + 1; 0: none */
};

struct handle_table {
    struct handle_slot *slots;
    uint32_t capacity;   /* grows as needed, to the limit */
    uint32_t first_free; /* + 1 */
};

/* Takes over the caller's reference on success. STATUS_LIMIT, STATUS_NO_MEMORY: it is still the caller's. */
enum status handle_install(struct process *process, struct object *object, uint32_t rights, uint64_t badge,
                           handle *number);
/* The object, when the handle may be used so: of this type (OBJECT_NONE: any), with these rights, not revoked. No
 * reference is taken: it is good as long as the lock is held. `slot` may be NULL. */
enum status handle_use(struct process *process, handle number, enum object_type type, uint32_t rights,
                       struct object **object, struct handle_slot **slot);
enum status handle_close(struct process *process, handle number);
enum status handle_duplicate(struct process *process, handle number, uint32_t rights, uint64_t badge, handle *copy);
enum status handle_revoke(struct process *process, handle number);
/* From one table to another, in one step. `keep`: the giver keeps his. */
enum status handle_move(struct process *from, handle number, struct process *to, uint32_t rights, bool keep,
                        handle *there);
/* Closes up to `most` handles; true: none is left. */
bool handle_close_some(struct process *process, unsigned most);

/* ---- Memory -------------------------------------------------------------------------------------------------------
 */

enum { MEMORY_LARGEST = 4 << 20 }; /* bytes: what is cleared in one call */

struct memory {
    struct object object;
    struct pages pages;
    struct mapping *mappings;      /* by next_alias */
    uint32_t writable, executable; /* how many of them are; never both */
    bool borrowed;                 /* the pages are not this object's: the initial ramdisk */
    bool leaked;                   /* a CPU may still reach them: never to be freed */
};

enum status memory_create(struct process *payer, uint64_t size, struct memory **memory);
enum status memory_borrow(struct process *payer, uint64_t physical, uint64_t size, struct memory **memory);
enum status memory_map(struct process *process, struct memory *memory, uint32_t rights, uintptr_t at, uint64_t offset,
                       uint64_t size, uint32_t access, uintptr_t *address);
enum status memory_unmap(struct process *process, uintptr_t at, uint64_t size);
void memory_unmap_mapping(struct mapping *mapping);
/* Takes away what is mapped of it but in `except`. */
void memory_revoke(struct memory *memory, const struct process *except);
void memory_destroy(struct memory *memory);

/* ---- Processes ----------------------------------------------------------------------------------------------------
 */

struct watch { /* process_watch: a Notification to be signalled */
    struct watch *next;
    struct notification *notification;
    uint64_t bits;
};

struct process {
    struct object object;
    char name[NAME_SIZE];
    uint64_t id;
    struct process *parent, *children, *sibling; /* NULL parent: the root, or it has ended */
    struct process *next;                        /* of all */
    enum process_state state;
    enum process_end end;
    uint64_t end_code;
    struct space space;
    struct handle_table handles;
    uint64_t limits[BUDGET_COUNT], used[BUDGET_COUNT];
    uint64_t cpus;
    uint32_t highest_priority;
    struct thread *threads;               /* by next_in_process */
    uint32_t thread_count, running_count; /* not ended; on a CPU now */
    uint64_t ended_ticks;                 /* CPU time of threads that are gone */
    struct watch *watches;
    uint64_t created_ns;
    uintptr_t image, image_size; /* for backtraces; told by whoever created it, 0: not */
};

/* The root: what is not a process's is charged to it. */
extern struct process kernel_process;
extern struct process *processes; /* all, newest first */

void processes_init(void);
enum status process_create(struct process *parent, const struct process_parameters *parameters, struct process **made);
/* It runs no more instructions when this returns but those that other CPUs are in the middle of; the rest is
 * processes_reap()'s. */
void process_end(struct process *process, enum process_end why, uint64_t code);
enum status process_watch(struct process *process, struct notification *notification, uint64_t bits);
void process_info(const struct process *process, struct process_info *info);
void process_destroy(struct process *process);
/* Takes apart what has ended, in steps; by the boot CPU's own thread, without the lock. True: did something. */
bool processes_reap(void);
bool processes_ending(void); /* whether there is something to take apart */

/* ---- The others, each in its file: thread.h, ipc.h ------------------------------------------------------------------
 */

struct thread;
struct endpoint;
struct notification;

#endif
