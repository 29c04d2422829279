/*
 * ipc.h: Endpoint (call and reply) and Notification (a word of bits). The lock is held in all of it.
 *
 * A call goes from the caller's message buffer to the server's in one step, when both are there. Each function writes
 * its result into the calling thread's registers, at once or when the wait ends, and leaves it to schedule() who runs.
 */
#ifndef KERNEL_PROCESS_IPC_H
#define KERNEL_PROCESS_IPC_H

#include "thread.h"

struct endpoint {
    struct object object;
    struct thread_queue callers, receivers; /* never both */
    uint32_t receive_handles;               /* how many handles may receive: the last one that goes ends all calls */
};

struct notification {
    struct object object;
    uint64_t bits;
    struct thread_queue waiters;
    struct timer timer; /* its alarm */
    uint64_t alarm_bits, alarm_ns;
};

enum status endpoint_create(struct process *payer, struct endpoint **made);
void endpoint_destroy(struct endpoint *endpoint);
/* A handle with RIGHT_RECEIVE came (+1) or went (-1). */
void endpoint_receivers(struct endpoint *endpoint, int change);
/* Ends every wait at it with this status: revoked, or nobody receives any more. */
void endpoint_end_waits(struct endpoint *endpoint, enum status status);

void ipc_call(struct thread *caller, handle endpoint, uint64_t message, uint64_t deadline_ns);
void ipc_reply_receive(struct thread *server, handle reply, uint64_t message, handle endpoint, handle notification,
                       uint64_t mask, uint64_t deadline_ns);
/* The Reply's last handle has gone without an answer: the caller is told. */
void reply_dropped(struct reply *reply);

enum status notification_create(struct process *payer, struct notification **made);
void notification_destroy(struct notification *notification);
void notification_signal(struct notification *notification, uint64_t bits);
void notification_wait(struct thread *thread, handle notification, uint64_t mask, uint64_t deadline_ns);
void notification_alarm(struct notification *notification, uint64_t bits, uint64_t deadline_ns);
void notification_end_waits(struct notification *notification, enum status status);

/* ---- The kernel's own thread as a caller --------------------------------------------------------------------------
 */

/* A call without handles. Started with the lock held; `done` is set, and the boot CPU woken, when there is an answer in
 * `words` and `message`, or it is known that none will come, for which `status` says why. Then, or to give up before,
 * kernel_call_end, without the lock. */
struct kernel_call {
    uint64_t words[MESSAGE_WORDS]; /* the request, then the answer */
    uint64_t message;
    enum status status;
    bool done;
    struct thread *thread; /* ipc.c's: stands in for the caller */
};
/* STATUS_NO_MEMORY, STATUS_LIMIT, STATUS_PEER_GONE: nothing was begun. */
enum status kernel_call_start(struct endpoint *endpoint, struct kernel_call *call);
void kernel_call_end(struct kernel_call *call);
/* scheduler.c tells: its stand-in would be made ready. */
void kernel_call_answered(struct thread *stand_in);

#endif
