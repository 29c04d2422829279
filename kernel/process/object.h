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
    uint64_t epoch; /* handles of another epoch are revoked; begins at 1 */
    struct process *payer;
    uint32_t charged;    /* bytes of heap that the payer is charged for it */
    struct object *next; /* in the graveyard */
};

/* A zeroed object of `size` bytes with one reference, charged to `payer`: the bytes, and one of BUDGET_OBJECTS.
 * STATUS_LIMIT: the budget; STATUS_NO_MEMORY: the machine. The struct begins with its struct object. */
enum status object_create(struct process *payer, enum object_type type, size_t size, struct object **object);
/* The last thing that TYPE_destroy() does with what object_create has made: what it was charged goes back. */
void object_free(struct object *object);
/* The two halves for who allocates by himself, as a thread does, whose object is not at its beginning. object_init
 * charges (one of BUDGET_THREADS for a thread) and makes it valid with one reference; on STATUS_LIMIT nothing has
 * happened. object_forget gives the charge back, after which the memory is the caller's. The payer stays in memory as
 * long as the object. */
enum status object_init(struct object *object, struct process *payer, enum object_type type, size_t size);
void object_forget(struct object *object);

/* A Reply's references are its thread's. */
void object_hold(struct object *object);
/* The last one destroys it. A Memory or an Endpoint ends at once: memory_destroy(), endpoint_destroy(). A Thread, a
 * Process, and a Notification whose alarm was ever set go to the graveyard: a timer of theirs may just be firing on
 * another CPU, and waits for the lock that we hold. processes_reap() takes them from there: timer_cancel() without the
 * lock, then, with it, thread_destroy() and so on. What is in the graveyard is found by nobody, but its timer's
 * function may still run: it must change nothing of an object without references but itself. */
void object_release(struct object *object);

/* There is one Clock and one Console, paid for by nobody, which never end; and one Reply of a call that is over. */
extern struct object clock_object, console_object;
extern struct reply ended_reply;

/* How many there are of each type, for the ledger. */
extern uint64_t object_counts[OBJECT_TYPE_COUNT];

/* ---- Budgets ------------------------------------------------------------------------------------------------------
 */

/* What an object costs that lives on after its payer's end (somebody else has a handle) is the payer's parent's from
 * then on, and so upwards. */
bool budget_take(struct process *process, enum budget budget, uint64_t amount);
void budget_give(struct process *process, enum budget budget, uint64_t amount);

/* A promise of CPU time that is given up (its thread has ended, or is promised something else) goes back at once,
 * though some of its period's time may have been used before it was due. That stays as the process's debt, or else a
 * chain of threads could use a promise anew as often as there are threads. What is promised to nobody pays it off;
 * whoever is promised some of that takes his share of the debt, out of his first period's time. Between a process that
 * ends and its parent, and a parent and its new child, it goes the same way.
 *
 * debt_settle: before what is promised changes. debt_share: of `promille`, which have just been taken; no more than
 * `most_ns`, beyond which it stays where it is. */
void debt_settle(struct process *process);
uint64_t debt_share(struct process *process, uint64_t promille, uint64_t most_ns);

/* ---- Handles ------------------------------------------------------------------------------------------------------
 */

/* The slot with index 0 is never used: an index out of bounds is made 0, without a branch, before it is used. */
struct handle_slot {
    struct object *object; /* NULL: free, or retired */
    uint64_t generation;   /* of the handle that is in it, or will be next; 0: retired */
    uint64_t epoch;        /* of the object when the handle was made; a Reply's serial */
    uint64_t badge;
    uint32_t rights;
    uint32_t next_free; /* + 1; 0: none */
};

struct handle_table {
    struct handle_slot *slots;
    uint32_t capacity; /* doubles as needed, to HANDLES_MOST; never 0 */
    uint32_t first_free, free_count;
    uint32_t closed; /* handle_close_some: up to here */
};

enum { HANDLES_MOST = 1 << HANDLE_INDEX_BITS };

/* An empty table, which costs nothing. */
void handle_table_init(struct handle_table *table);
/* No handle is left. */
void handle_table_destroy(struct process *process);

/* Whether `count` more handles fit, the table made larger if need be: then that many handle_install or handle_move do
 * not fail for want of room, as long as the lock is not let go. STATUS_LIMIT, STATUS_NO_MEMORY; STATUS_PEER_GONE: the
 * process is ending and takes none. */
enum status handle_make_room(struct process *process, unsigned count);
/* Takes over the caller's reference on success, else it is still the caller's. The rights are cut down to what the type
 * can have. Fails as handle_make_room. */
enum status handle_install(struct process *process, struct object *object, uint32_t rights, uint64_t badge,
                           handle *number);
/* The object, when the handle may be used so: of this type (OBJECT_NONE: any), with these rights, not revoked. No
 * reference is taken: it is good as long as the lock is held. `slot` may be NULL. */
enum status handle_use(struct process *process, handle number, enum object_type type, uint32_t rights,
                       struct object **object, struct handle_slot **slot);
/* A revoked handle can be closed like any other. Closing the last that receives from an endpoint ends the calls to it;
 * closing a Reply that is still due tells the caller so. */
enum status handle_close(struct process *process, handle number);
enum status handle_duplicate(struct process *process, handle number, uint32_t rights, uint64_t badge, handle *copy);
/* By RIGHT_MANAGE: all handles of the object but this one are revoked, waits at it end with STATUS_REVOKED, and a
 * Memory is unmapped from all processes but this: so many at a time, and STATUS_BUSY as long as there are more. */
enum status handle_revoke(struct process *process, handle number);
/* Whether handle_move will take it: every check but those of the receiver's room. */
enum status handle_may_move(struct process *from, handle number, uint32_t rights, bool keep);
/* From one table to another, in one step, with `rights` (0: all that it has). By RIGHT_TRANSFER; `keep`: the giver
 * keeps his, by RIGHT_DUPLICATE as well. To move several, all or none: handle_may_move each (and no number twice), then
 * handle_make_room for all, then handle_move each, which then does not fail. */
enum status handle_move(struct process *from, handle number, struct process *to, uint32_t rights, bool keep,
                        handle *there);
/* The call is over: the handle that the Reply still has answers nothing from now on, and whoever keeps it keeps nothing
 * of the caller's. */
struct reply;
void handle_end_reply(struct reply *reply);
/* Closes up to `most` handles; true: none is left. */
bool handle_close_some(struct process *process, unsigned most);

/* ---- Memory -------------------------------------------------------------------------------------------------------
 */

enum { MEMORY_LARGEST = 4 << 20 }; /* bytes: what is cleared in one call */

struct memory {
    struct object object;
    struct pages pages;
    struct mapping *mappings; /* by next_alias */
    uint32_t mapping_count;
    uint32_t writable, executable; /* how many of them are; never both */
    uint32_t run_capacity;
    uint64_t charged_pages; /* bytes of pages that the payer is charged */
    bool code;              /* its bytes are as instructions see them: none was written since (mmu_code_written) */
    bool borrowed;          /* the pages are not this object's: the initial ramdisk */
    bool leaked;            /* a CPU may still reach them: never to be freed */
};

/* Zeroed pages, charged to `payer`. STATUS_INVALID: not whole pages, or none; STATUS_LIMIT: more than MEMORY_LARGEST,
 * or than the budget has. */
enum status memory_create(struct process *payer, uint64_t size, struct memory **memory);
/* Pages that are somebody else's and stay for good: never writable. They may be mapped to be executed, so that
 * mmu_code_written was called of them before, by an address at which they are mapped: the kernel's image has no other.
 */
enum status memory_borrow(struct process *payer, uint64_t physical, uint64_t size, struct memory **memory);
/* Into a process, which pays for the mapping and its tables; `rights` are those of the handle, `access` what is wanted
 * (rule_map). STATUS_READ_ONLY: writable, but borrowed; else as rule_map and space_map. */
enum status memory_map(struct process *process, struct memory *memory, uint32_t rights, uintptr_t at, uint64_t offset,
                       uint64_t size, uint32_t access, uintptr_t *address);
/* One mapping, named by its whole range. STATUS_NOT_FOUND: there is none. */
enum status memory_unmap(struct process *process, uintptr_t at, uint64_t size);
void memory_unmap_mapping(struct mapping *mapping);
/* Takes away what is mapped of it but in `except`, at most `most` mappings; true: there is no more. */
bool memory_revoke(struct memory *memory, const struct process *except, unsigned most);
void memory_destroy(struct memory *memory);

/* ---- Processes ----------------------------------------------------------------------------------------------------
 */

/* Each process_watch looks through those that a process has. */
enum { WATCHES_MOST = 256 };

struct watch {                                       /* process_watch: a Notification to be signalled */
    struct watch *next, *previous;                   /* of the watched */
    struct watch *next_of_payer, *previous_of_payer; /* of who asked */
    struct process *watched, *payer;
    struct notification *notification;
    uint64_t bits;
};

struct process {
    struct object object;
    char name[NAME_SIZE];
    uint64_t id;
    struct process *parent, *children, *sibling; /* NULL parent: the root, or it has ended */
    struct process *next, *previous;             /* of all */
    struct process *next_ending;
    enum process_state state;
    enum process_end end;
    uint64_t end_code;
    struct space space;
    struct handle_table handles;
    uint64_t limits[BUDGET_COUNT], used[BUDGET_COUNT];
    uint64_t owed_ns, settled_ns; /* debt of CPU time, and when it was settled last */
    uint64_t cpus;
    uint32_t highest_priority;
    struct thread *threads;               /* by next_in_process */
    uint32_t thread_count, running_count; /* not ended; on a CPU now */
    uint64_t ended_ticks;                 /* CPU time of threads that are gone */
    struct watch *watches, *watching;     /* on it; by it */
    uint64_t created_ns;
    uintptr_t image, image_size; /* for backtraces; told by whoever created it, 0: not */
    uintptr_t start_info;        /* what its first thread got as argument; read when it crashes, and not believed */
    struct console_line *line;   /* console_write.c: what it has written of a line that is not ended; NULL: nothing */
};

/* The root: what is not a process's is charged to it. */
extern struct process kernel_process;
extern struct process *processes; /* all, newest first; also those that have ended and are still named by a handle */

/* Once there are all CPUs and memory: what there is of them is the root's budget. */
void processes_init(void);
/* One reference is the caller's; another the process has itself until it has ended. It begins as PROCESS_NEW; when its
 * last handle goes before it has a thread, it ends. STATUS_INVALID: a name that is empty, not terminated, or of more
 * than letters, digits, `-`, `_` and `.`, or bits that mean nothing; STATUS_DENIED: CPUs or a priority that the parent
 * has not; STATUS_LIMIT. */
enum status process_create(struct process *parent, const struct process_parameters *parameters, struct process **made);
/* It runs no more instructions when this returns but those that other CPUs are in the middle of, and so do all that it
 * has created; the rest is processes_reap()'s. Once is enough: what came first stands. */
void process_end(struct process *process, enum process_end why, uint64_t code);
/* The notification is signalled when the process has ended and its parent has got everything back (PROCESS_ENDED).
 * Lasts as long as `payer`, who is charged for it; again with the same notification: more bits. */
enum status process_watch(struct process *payer, struct process *process, struct notification *notification,
                          uint64_t bits);
void process_info(const struct process *process, struct process_info *info);
void process_destroy(struct process *process);

/*
 * What has ended is taken apart in steps, each short and under the lock, by the boot CPU's own thread:
 *
 *     graveyard (object_release)      timer cancelled without the lock, then destroyed
 *     PROCESS_ENDING                  waits until none of its threads is on a CPU and no CPU has its space active;
 *       its last line goes out        without the lock: console_write.h
 *       handles closed                some at a time: peers hear of it, Replies are answered by the kernel
 *       mappings taken away           one at a time
 *       watches withdrawn, children   waited for: their budgets come back to this one
 *       tables freed
 *     PROCESS_ENDED                   the budget is the parent's again, watches are signalled
 *     last reference                  graveyard, process_destroy()
 */

/* Takes one step, without the lock. True: did something, and there may be more. */
bool processes_reap(void);
bool processes_ending(void); /* whether there is something to take apart; without the lock, any context */
/* Has the boot CPU's own thread come to processes_reap(), and look at everything that ends again: to be called when
 * running_count of an ending process has become 0, or a CPU has left its space. The lock is held. */
void processes_look_again(void);

/* ---- The others, each in its file: thread.h, ipc.h ------------------------------------------------------------------
 */

struct thread;
struct endpoint;
struct notification;

#endif
