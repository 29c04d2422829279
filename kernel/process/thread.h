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
    uint64_t budget_ns, period_ns; /* budget 0: background, unlimited, at priority 0 */
    int64_t left_ns;
    uint64_t period_end_ns;
    uint32_t promille;
};

struct queue_link {
    struct queue_link *next, *previous;
    struct thread *thread;
};
struct thread_queue {
    struct queue_link *first, *last;
};

/* One outstanding call: embedded in the caller. `object.epoch` counts its calls: a Reply handle of an earlier one is
 * stale. */
struct reply {
    struct object object; /* references are the thread's too */
    struct thread *caller;
    struct thread *server; /* who runs on the caller's context, if one does */
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
    struct context own, *running_on; /* what it is charged to; own, or a caller's */
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
    uintptr_t buffer_at; /* user's */
    uint64_t ticks;      /* of the counter, that it has run */
    uint64_t switches;
    bool ending; /* its process ends; it runs no more */
};

/* What each CPU's scheduler has; struct cpu.scheduler. */
struct scheduler {
    struct thread *current; /* whose context is loaded, also while the kernel's own thread runs; NULL */
    struct thread_queue queues[PRIORITIES];
    uint32_t ready; /* bit n: queues[n] is not empty */
    struct space *space;
    uint64_t since_counter; /* when `current` began to be charged */
    uint64_t slice_end_ns;
    struct timer timer; /* budget or slice ends, a period begins */
    struct thread_queue throttled;
    bool look_again; /* something more urgent is ready here */
    uint64_t switches, calls, preemptions, steals;
};

/* ---- Threads ------------------------------------------------------------------------------------------------------
 */

enum status thread_create(struct process *payer, struct process *process, const struct thread_parameters *parameters,
                          struct thread **made);
enum status thread_configure(struct thread *thread, const struct thread_parameters *parameters);
/* Takes it out of whatever it is in; it never runs again. One that runs on another CPU is interrupted. */
void thread_end(struct thread *thread);
void thread_info(const struct thread *thread, struct thread_info *info);
void thread_destroy(struct thread *thread);
struct thread *thread_of(struct user_context *context);

/* ---- Scheduling ---------------------------------------------------------------------------------------------------
 */

void scheduler_init_cpu(struct cpu *cpu);
/* Whoever runs here; NULL: the kernel's own thread. */
struct thread *thread_current(void);
/* Makes a blocked or new one ready, on the CPU that fits best; interrupts that CPU if it must look. */
void thread_wake(struct thread *thread);
/* The running one waits from now on; its place in queues is the caller's. A deadline that has passed is refused: false.
 * The result is written by whoever wakes it: thread_finish. */
void thread_block(struct thread *thread, enum thread_wait wait, uint64_t deadline_ns);
/* Ends a wait: takes it out of its queues and its timer, writes the result, and does not wake it. */
void thread_finish(struct thread *thread, enum status status, uint64_t value);
/* The current thread stops here and `to`, which is not in any queue, goes on at once on this CPU, on `to->running_on`;
 * no run queue is looked at. */
void thread_hand_over(struct thread *to);
/* What runs next on this CPU: its context, loaded; NULL: the kernel's own thread. Every trap ends with it; the lock is
 * held. */
struct user_context *schedule(void);
/* Instead of clock_sleep(): interrupts off; lends this CPU to threads until the kernel's own thread is wanted (an
 * interrupt that is not a thread's, ipi_wake), or sleeps. */
void scheduler_lend(void);

#endif
