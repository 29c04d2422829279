/* notification.c: a word of bits that anybody with the right sets, and whoever waits takes. */
#include "audit.h"
#include "ipc.h"

#include <lib/malloc.h>

enum status notification_create(struct process *payer, struct notification **made)
{
    struct object *object;
    enum status status = object_create(payer, OBJECT_NOTIFICATION, sizeof(struct notification), &object);

    if (status == STATUS_OK)
        *made = (struct notification *)object;
    return status;
}

/* By the reaper, the alarm's timer cancelled; or at once, if it never had an alarm. Who waits has a handle, and so it
 * is not destroyed: but handles can be revoked, or closed by another thread. */
void notification_destroy(struct notification *notification)
{
    notification_end_waits(notification, STATUS_BAD_HANDLE);
    object_free(&notification->object);
}

void notification_end_waits(struct notification *notification, enum status status)
{
    while (notification->waiters.first != NULL) {
        struct thread *thread = notification->waiters.first->thread;
        thread_finish(thread, status, 0);
        thread_wake(thread);
    }
}

/* What a waiter waits for it takes, the most urgent first; the rest stays. */
void notification_signal(struct notification *notification, uint64_t bits)
{
    notification->bits |= bits;
    for (struct queue_link *link = notification->waiters.first, *next; link != NULL && notification->bits != 0;
         link = next) {
        struct thread *thread = link->thread;
        uint64_t taken = notification->bits & thread->wait_mask;
        next = link->next;
        if (taken == 0)
            continue;
        notification->bits &= ~taken;
        if (thread->wants_message)
            thread->buffer->bits = taken;
        thread_finish(thread, STATUS_OK, thread->wants_message ? MESSAGE_NOTIFIED : taken);
        thread_wake(thread);
    }
}

void notification_wait(struct thread *thread, handle number, uint64_t mask, uint64_t deadline_ns)
{
    struct object *object = NULL;
    enum status status = STATUS_OK;

    if (number != 0)
        status = handle_use(thread->process, number, OBJECT_NOTIFICATION, RIGHT_WAIT, &object, NULL);
    struct notification *notification = (struct notification *)object;
    if (status == STATUS_OK && number != 0 && mask == 0)
        status = STATUS_INVALID;
    uint64_t taken = status == STATUS_OK && notification != NULL ? notification->bits & mask : 0;
    if (taken != 0)
        notification->bits &= ~taken;
    else if (status == STATUS_OK && deadline_passed(deadline_ns))
        status = STATUS_TIMED_OUT;
    if (status != STATUS_OK || taken != 0) {
        audit_refusal(thread->process, status);
        user_set_result(&thread->context, status, taken);
        return;
    }
    thread->wants_message = false;
    thread->wait_mask = mask;
    if (notification != NULL) {
        thread->notification = notification;
        queue_insert(&notification->waiters, &thread->notification_link);
    }
    thread_block(thread, WAIT_EVENT, deadline_ns);
}

/* It may be an old alarm that waited for the lock while a new one was set, or while the last handle went. */
static void alarm_fired(struct timer *timer)
{
    struct notification *notification = timer->context;
    uintptr_t saved = lock_take(&objects_lock);

    if (notification->object.references != 0 && notification->alarm_ns <= clock_now()) {
        notification->alarm_ns = DEADLINE_NEVER;
        notification_signal(notification, notification->alarm_bits);
    }
    lock_release(&objects_lock, saved);
}

void notification_alarm(struct notification *notification, uint64_t bits, uint64_t deadline_ns)
{
    notification->alarm_bits = bits;
    notification->alarm_ns = deadline_ns;
    if (deadline_ns == DEADLINE_NEVER) {
        timer_cancel_soon(&notification->timer);
        return;
    }
    notification->timer.fire = alarm_fired;
    notification->timer.context = notification;
    notification->timer.for_threads = true;
    timer_start(&notification->timer, deadline_ns);
}
