/* call.c: calls, as a client and as a server. */
#include "user.h"

#include <lib/string.h>

#define PAUSE_NS (10 * NANOSECONDS_PER_MILLISECOND)

static void close_handles(const handle *handles, unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        if (handles[i] != 0)
            vmos_handle_close(handles[i]);
}

enum status call(struct message_buffer *buffer, handle endpoint, uint32_t *label, const void *request, size_t size,
                 void *answer, size_t capacity, uint64_t deadline_ns)
{
    uint64_t message;

    if (size > sizeof buffer->words)
        return STATUS_INVALID;
    memcpy(buffer->words, request, size);
    enum status status = vmos_ipc_call(endpoint, MESSAGE(*label, size, 0), deadline_ns, &message);
    if (status != STATUS_OK)
        return status;
    size_t length = MESSAGE_BYTES(message);
    memset(answer, 0, capacity);
    memcpy(answer, buffer->words, length < capacity ? length : capacity);
    close_handles(buffer->handles, MESSAGE_HANDLE_COUNT(message));
    *label = MESSAGE_LABEL(message);
    return STATUS_OK;
}

/* One request; true: it was answered, with *answer. */
static bool handle_request(struct server *server, struct message_buffer *buffer, uint64_t message, uint64_t *answer)
{
    struct request request = {
        .message = message, .badge = buffer->badge, .handle_count = MESSAGE_HANDLE_COUNT(message)};

    memcpy(request.handles, buffer->handles, request.handle_count * sizeof request.handles[0]);
    *answer = server->call(server, &request, buffer);
    close_handles(request.handles, request.handle_count);
    return *answer != ANSWER_LATER;
}

enum status serve(struct server *server, struct message_buffer *buffer)
{
    uint64_t message, answer = 0;
    handle reply = 0;

    for (;;) {
        enum status status = vmos_ipc_reply_receive(reply, answer, server->endpoint, server->notification, server->mask,
                                                    DEADLINE_NEVER, &message);
        if (status != STATUS_OK && reply != 0) {
            /* Perhaps it is only receiving that is not possible. If not, the caller learns it by the end of the Reply.
             */
            vmos_ipc_reply_receive(reply, answer, 0, 0, 0, 0, &message);
            vmos_handle_close(reply);
            reply = 0;
            continue;
        }
        reply = 0;
        if (status == STATUS_LIMIT || status == STATUS_NO_MEMORY) {
            sleep_until(now_ns() + PAUSE_NS); /* no room for what a message may bring: that can pass */
            continue;
        }
        if (status != STATUS_OK)
            return status;
        if (message & MESSAGE_NOTIFIED) {
            server->notified(server, buffer->bits);
            continue;
        }
        handle came = buffer->reply;
        if (handle_request(server, buffer, message, &answer))
            reply = came;
    }
}
