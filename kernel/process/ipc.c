/*
 * ipc.c: calls and replies.
 *
 *     caller                                  server
 *     ipc_call: waits in endpoint->callers    ipc_reply_receive: waits in endpoint->receivers
 *               ------------- deliver ------------->   words, handles, badge, a Reply; the caller's time
 *               waits for the answer
 *               <------------- answer --------------   words, handles; the time comes back
 *
 * Whoever comes second finds the first and delivers; the one who goes on then goes on at once, on this CPU, where the
 * other has just stopped. Handles leave one table when they enter the other: what cannot be delivered stays with the
 * sender.
 */
#include "audit.h"
#include "handle_slot.h"
#include "ipc.h"

#include <kernel/trace.h>

#include <lib/malloc.h>
#include <lib/string.h>
#include <platform/ipi.h>

#define MESSAGE_RESERVED (UINT64_C(0xfffff880)) /* bits of the message word that mean nothing */

/* ---- Endpoints ----------------------------------------------------------------------------------------------------
 */

enum status endpoint_create(struct process *payer, struct endpoint **made)
{
    struct object *object;
    enum status status = object_create(payer, OBJECT_ENDPOINT, sizeof(struct endpoint), &object);

    if (status == STATUS_OK)
        *made = (struct endpoint *)object;
    return status;
}

void endpoint_end_waits(struct endpoint *endpoint, enum status status)
{
    struct thread_queue *const queues[] = {&endpoint->callers, &endpoint->receivers};

    for (unsigned i = 0; i < 2; i++)
        while (queues[i]->first != NULL) {
            struct thread *thread = queues[i]->first->thread;
            thread_finish(thread, status, 0);
            thread_wake(thread);
        }
}

void endpoint_destroy(struct endpoint *endpoint)
{
    endpoint_end_waits(endpoint, STATUS_PEER_GONE);
    object_free(&endpoint->object);
}

void endpoint_receivers(struct endpoint *endpoint, int change)
{
    endpoint->receive_handles += (uint32_t)change;
    if (endpoint->receive_handles == 0)
        endpoint_end_waits(endpoint, STATUS_PEER_GONE);
}

/* ---- Messages -----------------------------------------------------------------------------------------------------
 */

static bool message_valid(uint64_t message)
{
    return (message & MESSAGE_RESERVED) == 0 && MESSAGE_BYTES(message) <= sizeof(uint64_t) * MESSAGE_WORDS &&
           MESSAGE_HANDLE_COUNT(message) <= MESSAGE_HANDLES;
}

/* Up to the word that the last byte is in. */
static void copy_words(struct message_buffer *to, const struct message_buffer *from, uint64_t message)
{
    unsigned words = ((unsigned)MESSAGE_BYTES(message) + 7) / 8;

    for (unsigned i = 0; i < words; i++)
        to->words[i] = from->words[i];
}

/* Each handle is read once: the sender can write to his buffer meanwhile. All or none. The status is the sender's,
 * unless it is the receiver's table that has no room: `room`. */
static enum status move_handles(struct thread *from, struct thread *to, unsigned count, bool *room)
{
    handle numbers[MESSAGE_HANDLES];
    enum status status = STATUS_OK;

    for (unsigned i = 0; i < count; i++) {
        numbers[i] = *(volatile handle *)&from->buffer->handles[i];
        for (unsigned before = 0; before < i; before++)
            if (numbers[before] == numbers[i])
                return STATUS_INVALID;
        status = handle_may_move(from->process, numbers[i], 0, false);
        if (status != STATUS_OK)
            return status;
    }
    status = handle_make_room(to->process, count);
    if (status != STATUS_OK) {
        *room = false;
        return status;
    }
    for (unsigned i = 0; i < count && status == STATUS_OK; i++)
        status = handle_move(from->process, numbers[i], to->process, 0, false, &to->buffer->handles[i]);
    return status;
}

/* A server without room for what may come is told when it asks, not the caller who comes then. */
static enum status room_to_receive(struct thread *server)
{
    return handle_make_room(server->process, 1 + MESSAGE_HANDLES);
}

/* The caller's message becomes the server's, with a Reply. `room` false: the server has none for it. */
static enum status deliver(struct thread *caller, struct thread *server, bool *room)
{
    struct reply *reply = &caller->reply;
    unsigned count = MESSAGE_HANDLE_COUNT(caller->message);
    enum status status = handle_make_room(server->process, 1 + count);

    if (status != STATUS_OK) {
        *room = false;
        return status;
    }
    if (count != 0) {
        status = move_handles(caller, server, count, room);
        if (status != STATUS_OK)
            return status;
    }
    object_hold(&reply->object);
    status = handle_install(server->process, &reply->object, RIGHT_TRANSFER, 0, &server->buffer->reply);
    if (status != STATUS_OK) {
        object_release(&reply->object);
        *room = false;
        return status;
    }
    copy_words(server->buffer, caller->buffer, caller->message);
    server->buffer->badge = caller->badge;
    return STATUS_OK;
}

/* ---- Calling ------------------------------------------------------------------------------------------------------
 */

static void finish_now(struct thread *thread, enum status status, uint64_t value)
{
    if (status != STATUS_OK)
        audit_refusal(thread->process, status);
    user_set_result(&thread->context, status, value);
}

/* Hands the call to the first of those who wait to receive; one that has no room for it is told so. False: nobody
 * took it. */
static bool call_receiver(struct thread *caller, struct endpoint *endpoint, uint64_t deadline_ns)
{
    while (endpoint->receivers.first != NULL) {
        struct thread *server = endpoint->receivers.first->thread;
        bool room = true;
        enum status status = deliver(caller, server, &room);
        if (status != STATUS_OK && room) {
            finish_now(caller, status, 0);
            return true;
        }
        thread_finish(server, status, status == STATUS_OK ? caller->message : 0);
        if (status != STATUS_OK) {
            thread_wake(server);
            continue;
        }
        thread_block(caller, WAIT_REPLY, deadline_ns);
        context_lend(caller, server);
        thread_hand_over(server);
        return true;
    }
    return false;
}

/* What nearly every call is, in one piece: a server waits at the endpoint, for this only; nothing but words goes over;
 * neither has a deadline. Does what call_receiver does. False: it is not that, and nothing has been done. */
static bool call_at_once(struct thread *caller, struct endpoint *endpoint, uint64_t message, uint64_t deadline_ns)
{
    struct queue_link *link = endpoint->receivers.first;

    if (link == NULL || deadline_ns != DEADLINE_NEVER || MESSAGE_HANDLE_COUNT(message) != 0)
        return false;
    struct thread *server = link->thread;
    if (server->deadline_ns != DEADLINE_NEVER || queue_contains(&server->notification_link) ||
        !handle_put_reply(server->process, &caller->reply, &server->buffer->reply))
        return false;
    caller->object.references++; /* the Reply's */
    copy_words(server->buffer, caller->buffer, message);
    server->buffer->badge = caller->badge;
    queue_remove(&endpoint->receivers, link);
    server->wait = WAIT_NOTHING;
    user_set_result(&server->context, STATUS_OK, message);
    caller->state = THREAD_BLOCKED;
    caller->wait = WAIT_REPLY;
    context_lend(caller, server);
    thread_hand_over(server);
    return true;
}

void ipc_call(struct thread *caller, handle number, uint64_t message, uint64_t deadline_ns)
{
    struct handle_slot *slot = handle_slot_at(&caller->process->handles, number);
    enum status status = handle_check(slot, number, OBJECT_ENDPOINT, RIGHT_CALL);
    struct endpoint *endpoint = (struct endpoint *)slot->object; /* if it is one */

    if (status == STATUS_OK && !message_valid(message))
        status = STATUS_INVALID;
    if (status == STATUS_OK && endpoint->receive_handles == 0)
        status = STATUS_PEER_GONE;
    if (status != STATUS_OK) {
        finish_now(caller, status, 0);
        return;
    }
    caller->message = message;
    caller->badge = slot->badge;
    if (call_at_once(caller, endpoint, message, deadline_ns) || call_receiver(caller, endpoint, deadline_ns))
        return;
    if (deadline_passed(deadline_ns)) {
        finish_now(caller, STATUS_TIMED_OUT, 0);
        return;
    }
    caller->endpoint = endpoint;
    queue_insert(&endpoint->callers, &caller->endpoint_link);
    thread_block(caller, WAIT_SEND, deadline_ns);
}

/* ---- Answering and receiving --------------------------------------------------------------------------------------
 */

/* The answer goes to the caller, who is then to be made ready; NULL: it went to nobody. */
static enum status answer(struct thread *server, handle number, uint64_t message, struct thread **answered)
{
    struct object *object;
    bool room = true;
    enum status status = handle_use(server->process, number, OBJECT_REPLY, 0, &object, NULL);

    if (status == STATUS_OK && !message_valid(message))
        status = STATUS_INVALID;
    if (status != STATUS_OK)
        return status;
    struct thread *caller = ((struct reply *)object)->caller;
    if (MESSAGE_HANDLE_COUNT(message) != 0 && caller->kernel_call != NULL)
        return STATUS_UNSUPPORTED; /* the kernel's own thread takes none */
    if (MESSAGE_HANDLE_COUNT(message) != 0)
        status = move_handles(server, caller, MESSAGE_HANDLE_COUNT(message), &room);
    if (status != STATUS_OK && room)
        return status;
    if (status == STATUS_OK)
        copy_words(caller->buffer, server->buffer, message);
    thread_finish(caller, status, status == STATUS_OK ? message : 0); /* and the Reply is one of an earlier call */
    *answered = caller;
    handle_close(server->process, number);
    return status;
}

/* The first caller who waits and whose message can be delivered; those whose cannot are told why. False: there is
 * none, or the server has no room, which `status` tells. */
static bool take_caller(struct thread *server, struct endpoint *endpoint, enum status *status)
{
    while (endpoint->callers.first != NULL) {
        struct thread *caller = endpoint->callers.first->thread;
        bool room = true;
        *status = deliver(caller, server, &room);
        if (!room)
            return false;
        if (*status != STATUS_OK) {
            thread_finish(caller, *status, 0);
            thread_wake(caller);
            *status = STATUS_OK;
            continue;
        }
        queue_remove(&endpoint->callers, &caller->endpoint_link);
        server->message = caller->message;
        caller->wait = WAIT_REPLY;
        context_lend(caller, server);
        return true;
    }
    return false;
}

static uint64_t take_bits(struct notification *notification, uint64_t mask)
{
    uint64_t taken = notification->bits & mask;

    notification->bits &= ~taken;
    return taken;
}

/* What is there already; false: the server has to wait. */
static bool receive_now(struct thread *server, struct endpoint *endpoint, struct notification *notification,
                        uint64_t mask)
{
    uint64_t bits = notification != NULL ? take_bits(notification, mask) : 0;
    enum status status = STATUS_OK;

    if (bits != 0) {
        server->buffer->bits = bits;
        finish_now(server, STATUS_OK, MESSAGE_NOTIFIED);
        return true;
    }
    if (endpoint == NULL)
        return false;
    if (take_caller(server, endpoint, &status)) {
        finish_now(server, STATUS_OK, server->message);
        return true;
    }
    if (status != STATUS_OK)
        finish_now(server, status, 0);
    return status != STATUS_OK;
}

static void wait_to_receive(struct thread *server, struct endpoint *endpoint, struct notification *notification,
                            uint64_t mask, uint64_t deadline_ns)
{
    server->wants_message = true;
    server->wait_mask = mask;
    if (endpoint != NULL) {
        server->endpoint = endpoint;
        queue_insert(&endpoint->receivers, &server->endpoint_link);
    }
    if (notification != NULL) {
        server->notification = notification;
        queue_insert(&notification->waiters, &server->notification_link);
    }
    thread_block(server, WAIT_EVENT, deadline_ns);
}

/* Everything that can be wrong with what is to be waited for is found before anything is answered. */
static enum status receive_arguments(struct thread *server, handle endpoint_number, handle notification_number,
                                     uint64_t mask, struct object **endpoint, struct object **notification)
{
    enum status status = STATUS_OK;

    *endpoint = *notification = NULL;
    if (endpoint_number != 0)
        status = handle_use(server->process, endpoint_number, OBJECT_ENDPOINT, RIGHT_RECEIVE, endpoint, NULL);
    if (status == STATUS_OK && notification_number != 0)
        status = handle_use(server->process, notification_number, OBJECT_NOTIFICATION, RIGHT_WAIT, notification, NULL);
    if (status == STATUS_OK && notification_number != 0 && mask == 0)
        status = STATUS_INVALID;
    if (status == STATUS_OK && endpoint_number != 0)
        status = room_to_receive(server);
    return status;
}

/* What nearly every answer is: nothing but words, to a caller without a deadline, and no other caller is waiting. Does
 * what ipc_reply_receive does. False: it is not that, and nothing has been done. */
static bool answer_at_once(struct thread *server, handle reply, uint64_t message, handle endpoint_number)
{
    struct handle_slot *from = handle_slot_at(&server->process->handles, endpoint_number),
                       *slot = handle_slot_at(&server->process->handles, reply);

    if (handle_check(from, endpoint_number, OBJECT_ENDPOINT, RIGHT_RECEIVE) != STATUS_OK ||
        handle_check(slot, reply, OBJECT_REPLY, 0) != STATUS_OK || !message_valid(message) ||
        MESSAGE_HANDLE_COUNT(message) != 0)
        return false;
    struct endpoint *endpoint = (struct endpoint *)from->object;
    struct thread *caller = ((struct reply *)slot->object)->caller;
    if (endpoint->callers.first != NULL || caller->deadline_ns != DEADLINE_NEVER || caller->kernel_call != NULL ||
        handle_make_room(server->process, MESSAGE_HANDLES) != STATUS_OK ||
        !handle_take_reply(server->process, handle_slot_at(&server->process->handles, reply)))
        return false;
    copy_words(caller->buffer, server->buffer, message);
    caller->object.references--; /* the Reply's; it has its own, since it lives */
    caller->reply.object.epoch++;
    caller->wait = WAIT_NOTHING;
    server->state = THREAD_BLOCKED; /* so that nobody looks at what it would go on on */
    context_take_back(caller);
    user_set_result(&caller->context, STATUS_OK, message);
    server->wants_message = true;
    server->endpoint = endpoint;
    queue_insert(&endpoint->receivers, &server->endpoint_link);
    server->wait = WAIT_EVENT;
    thread_hand_over(caller);
    return true;
}

void ipc_reply_receive(struct thread *server, handle reply, uint64_t message, handle endpoint_number,
                       handle notification_number, uint64_t mask, uint64_t deadline_ns)
{
    struct object *endpoint, *notification;
    struct thread *answered = NULL;

    if (notification_number == 0 && deadline_ns == DEADLINE_NEVER &&
        answer_at_once(server, reply, message, endpoint_number))
        return;
    enum status status =
        receive_arguments(server, endpoint_number, notification_number, mask, &endpoint, &notification);

    if (status == STATUS_OK && reply != 0)
        status = answer(server, reply, message, &answered);
    if (status != STATUS_OK || (endpoint == NULL && notification == NULL)) {
        finish_now(server, status == STATUS_OK && reply == 0 ? STATUS_INVALID : status, 0);
    } else if (!receive_now(server, (struct endpoint *)endpoint, (struct notification *)notification, mask)) {
        if (!deadline_passed(deadline_ns)) {
            wait_to_receive(server, (struct endpoint *)endpoint, (struct notification *)notification, mask,
                            deadline_ns);
            if (answered != NULL)
                thread_hand_over(answered);
            return;
        }
        finish_now(server, STATUS_TIMED_OUT, 0);
    }
    if (answered != NULL)
        thread_wake(answered);
}

void reply_dropped(struct reply *reply)
{
    struct thread *caller = reply->caller;

    if (caller->state == THREAD_BLOCKED && caller->wait == WAIT_REPLY) {
        thread_finish(caller, STATUS_PEER_GONE, 0);
        thread_wake(caller);
    }
}

/* ---- The kernel's own thread as a caller --------------------------------------------------------------------------
 */

enum status kernel_call_start(struct endpoint *endpoint, struct kernel_call *call)
{
    size_t size = sizeof(struct thread) + sizeof(struct message_buffer);
    struct thread *stand_in = calloc(1, size);
    enum status status = stand_in == NULL                 ? STATUS_NO_MEMORY
                         : endpoint->receive_handles == 0 ? STATUS_PEER_GONE
                                                          : STATUS_OK;

    if (status == STATUS_OK)
        status = object_init(&stand_in->object, &kernel_process, OBJECT_THREAD, size);
    if (status != STATUS_OK) {
        free(stand_in);
        return status;
    }
    thread_init(stand_in, &kernel_process);
    stand_in->buffer = (struct message_buffer *)(stand_in + 1);
    stand_in->kernel_call = call;
    stand_in->message = call->message & ~(UINT64_C(7) << 8); /* no handles */
    stand_in->state = THREAD_BLOCKED;
    memcpy(stand_in->buffer->words, call->words, sizeof call->words);
    call->thread = stand_in;
    call->done = false;
    if (call_receiver(stand_in, endpoint, DEADLINE_NEVER))
        return STATUS_OK;
    stand_in->endpoint = endpoint;
    queue_insert(&endpoint->callers, &stand_in->endpoint_link);
    thread_block(stand_in, WAIT_SEND, DEADLINE_NEVER);
    return STATUS_OK;
}

void kernel_call_answered(struct thread *stand_in)
{
    struct kernel_call *call = stand_in->kernel_call;

    memcpy(call->words, stand_in->buffer->words, sizeof call->words);
    call->status = stand_in->finish_status;
    call->message = stand_in->finish_value;
    call->done = true;
    cpu_at(0)->kernel_wanted = true;
    ipi_wake(cpu_at(0));
}

void kernel_call_end(struct kernel_call *call)
{
    uintptr_t saved = lock_take(&objects_lock);
    struct thread *stand_in = call->thread;

    if (!call->done) {
        thread_finish(stand_in, STATUS_TIMED_OUT, 0);
        call->status = STATUS_TIMED_OUT;
    }
    stand_in->kernel_call = NULL;
    stand_in->state = THREAD_ENDED;
    object_release(&stand_in->object);
    lock_release(&objects_lock, saved);
}
