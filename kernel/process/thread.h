/*
 * thread.h: threads, the scheduling contexts that they run on, and who runs where.
 *
 *     new -> ready <-> running -> blocked -> ready ...          any -> ended
 *
 * A thread that is ready is in the run queue of one CPU, or waits, throttled, for its context's next period. All under
 * the objects' lock; each CPU's queue, bitmap and current thread are in its struct scheduler.
 */
#ifndef KERNEL_PROCESS_THREAD_H
#define KERNEL_PROCESS_THREAD_H

#include "object.h"

enum thread_state { THREAD_NEW, THREAD_READY, THREAD_THROTTLED, THREAD_RUNNING, THREAD_BLOCKED, THREAD_ENDED };

enum thread_wait { /* what a blocked one waits for */
                   WAIT_NOTHING,
                   WAIT_SEND,  /* for a receiver: in endpoint->callers */
                   WAIT_REPLY, /* its call was received */
                   WAIT_EVENT, /* notification_wait, sleeping, ipc_reply_receive: in endpoint->receivers,
                                * notification->waiters, or both */
};

/* CPU time that somebody is promised. It belongs to a thread; along a call the server runs on the caller's. */
struct context {
    struct thread *owner;
    struct thread *user;           /* who runs on it now: the owner, or a server down the chain; NULL: nobody */
    struct thread *lenders;        /* who wait for it to come back, the last first */
    uint64_t budget_ns, period_ns; /* budget 0: background, unlimited, at priority 0 */
    int64_t left_ns;
    uint64_t period_end_ns;
    uint64_t promille;
    uint64_t promise; /* which one it is: another number each time that one is made */
};

struct queue_link {
    struct queue_link *next, *previous;
    struct thread *thread;
};
struct thread_queue {
    struct queue_link *first, *last;
};

/* One outstanding call: embedded in the caller. `object.epoch` counts its calls. While the caller waits for the answer
 * one handle names it, which is where `holder` and `slot` say; after that none does (handle_end_reply). */
struct reply {
    struct object object; /* references are the thread's too */
    struct thread *caller;
    struct process *holder;
    uint32_t slot;
    struct context *lent;       /* what the server was given to run on, until it comes back; NULL: nothing */
    struct thread *next_lender; /* of the same */
};

struct thread {
    struct user_context context; /* what ARCH saves */
    struct object object;
    struct process *process;
    struct thread *next_in_process;
    uint64_t id;
    enum thread_state state;
    enum thread_wait wait;
    uint32_t priority, effective_priority;
    uint64_t cpus;
    uint32_t cpu;                    /* whose queue it is in, or where it ran last */
    struct context own, *running_on; /* what it is charged to: its own, or a caller's; NULL: it has lent it */
    struct queue_link run_link, endpoint_link, notification_link;
    struct reply reply;
    struct endpoint *endpoint;         /* it waits at */
    struct notification *notification; /* the same */
    uint64_t wait_mask;
    uint64_t message; /* WAIT_SEND: what it sends */
    uint64_t badge;
    bool wants_message; /* WAIT_EVENT: the result is ipc_reply_receive's, else notification_wait's */
    struct timer timer; /* its deadline */
    uint64_t deadline_ns;
    struct message_buffer *buffer; /* kernel's address of it */
    struct memory *buffer_memory;
    struct mapping *buffer_mapping;
    uintptr_t buffer_at;    /* user's */
    uint64_t ticks;         /* of the counter, that it has run */
    uint64_t slice_left_ns; /* when it was put back first in its queue; 0: it begins another */
    uint64_t switches;
    bool ending;                     /* it runs no more */
    struct kernel_call *kernel_call; /* ipc.h: it only stands in for the kernel's own thread; then the next two */
    enum status finish_status;
    uint64_t finish_value;
};

/* What each CPU's scheduler has; struct cpu.scheduler. */
struct scheduler {
    struct cpu *cpu;
    struct thread *current; /* in user mode, or in one of the functions that a trap from there calls; NULL: the kernel's
                             * own thread has the CPU, or it is idle */
    struct thread_queue queues[PRIORITIES];
    uint32_t ready;         /* bit n: queues[n] is not empty */
    uint64_t last_process;  /* the id of the last that ran here: what the CPU has learned is its */
    uint64_t since_counter; /* when `current` was charged last */
    uint64_t slice_end_ns;
    uint64_t armed_for;            /* `timer` comes before this promise's budget ends */
    struct timer timer;            /* a budget or slice ends, or a period begins */
    struct thread_queue throttled; /* by the end of their periods */
    bool look_again;               /* something may be more urgent than `current` */
    uint64_t switches, hand_overs, preemptions, steals;
};

/* ---- Threads, thread.c --------------------------------------------------------------------------------------------
 */

/* New, and ready at once. Its one reference is its own, until it has ended; the caller takes another if he needs one.
 */
enum status thread_create(struct process *process, const struct thread_parameters *parameters, struct thread **made);
enum status thread_configure(struct thread *thread, const struct thread_parameters *parameters);
/* Takes it out of whatever it is in; it never runs again. One that runs on another CPU is interrupted; one that runs
 * here is gone with the next schedule(). */
void thread_end(struct thread *thread);
void thread_info(const struct thread *thread, struct thread_info *info);
/* By the reaper, its timer cancelled: frees it. */
void thread_destroy(struct thread *thread);
/* scheduler.c tells: it was ending, and has left its CPU. */
void thread_stopped(struct thread *thread);

static inline struct thread *thread_of(struct user_context *context)
{
    return (struct thread *)context;
}

/* The running one waits from now on; its place in queues is the caller's. The result is written by whoever ends the
 * wait. */
void thread_block(struct thread *thread, enum thread_wait wait, uint64_t deadline_ns);
/* Ends a wait: takes it out of its queues and its timer, takes back what it has lent, writes the result. It is not made
 * ready: thread_wake or thread_hand_over does that. */
void thread_finish(struct thread *thread, enum status status, uint64_t value);
/* Whether a call that would wait until then is refused. */
bool deadline_passed(uint64_t deadline_ns);
/* The caller's context goes to the server, and comes back from whoever has it now. */
void context_lend(struct thread *caller, struct thread *server);
void context_take_back(struct thread *caller);
/* The one that it runs on is used up, and is not its own: it goes on on its own. */
void context_exhausted(struct thread *thread);
/* Zeroed memory becomes a thread of the process, in no list and with nothing to run on. */
void thread_init(struct thread *thread, struct process *process);

/* `before` NULL: becomes the first. */
void queue_insert_behind(struct thread_queue *queue, struct queue_link *link, struct queue_link *before);
void queue_append(struct thread_queue *queue, struct queue_link *link);
/* Behind all of at least its thread's effective priority. */
void queue_insert(struct thread_queue *queue, struct queue_link *link);
void queue_remove(struct thread_queue *queue, struct queue_link *link);
bool queue_contains(const struct queue_link *link);

/* ---- Scheduling, scheduler.c --------------------------------------------------------------------------------------
 */

/* For each CPU that is to run threads, before it does; false: no memory, and it runs none. */
bool scheduler_init_cpu(struct cpu *cpu);
/* Whoever runs here; NULL: the kernel's own thread. */
struct thread *thread_current(void);
/* Makes a blocked or new one ready, on the CPU that fits best; interrupts that CPU if it must look. */
void thread_wake(struct thread *thread);
/* If it is running, on whatever CPU, it is charged up to now: before it runs on another context. */
void thread_charge(const struct thread *thread);
/* Takes a ready or throttled one out of its CPU's queue. */
void thread_unqueue(struct thread *thread);
/* It is running, and must come to schedule() where it runs. */
void thread_interrupt(struct thread *thread);
/* The current thread has stopped (it is blocked), and `to`, which is in no queue, goes on at once on this CPU; no run
 * queue is looked at. Where it cannot run here it is woken. */
void thread_hand_over(struct thread *to);
/* The current one goes behind those of its priority. */
void thread_yield(void);
/* What goes on on this CPU: its context, loaded; NULL: the kernel's own thread. Every trap ends with it. */
struct user_context *schedule(void);
/* Instead of clock_sleep(): interrupts off; lends this CPU to threads until the kernel's own thread is wanted (an
 * interrupt that is not a thread's, ipi_wake), or sleeps. Without the lock. */
void scheduler_lend(void);

#endif
