/* messages: servers and clients that do not keep to what was agreed. Nobody waits longer than he has said. */
#include "hostile.h"

enum { STACK = 8 << 10 };

#define SOON_NS (5 * NANOSECONDS_PER_SECOND)

static handle endpoint, notification;
static volatile enum status outcome;
static volatile bool done;
static volatile uint64_t came;

static uint64_t in_ms(uint64_t milliseconds)
{
    return now_ns() + milliseconds * NANOSECONDS_PER_MILLISECOND;
}

static void wait_until_done(void)
{
    uint64_t until = now_ns() + SOON_NS;

    while (!done && now_ns() < until)
        sleep_until(in_ms(1));
    CHECK(done, "somebody waits for ever");
    done = false;
}

/* A second thread calls, or waits, without a deadline; `outcome` is what came of it. */
static void call_endpoint(void *argument, struct message_buffer *buffer)
{
    uint64_t message = 0;

    (void)buffer;
    outcome = vmos_ipc_call(endpoint, MESSAGE(7, 8, 0), argument != NULL ? in_ms(2) : DEADLINE_NEVER, &message);
    came = message;
    done = true;
}

static void wait_for_bits(void *argument, struct message_buffer *buffer)
{
    uint64_t bits = 0;

    (void)argument;
    (void)buffer;
    outcome = vmos_notification_wait(notification, 1, DEADLINE_NEVER, &bits);
    done = true;
}

static void receive(void *argument, struct message_buffer *buffer)
{
    uint64_t message;

    (void)argument;
    (void)buffer;
    outcome = vmos_ipc_reply_receive(0, 0, endpoint, 0, 0, DEADLINE_NEVER, &message);
    done = true;
}

static handle receive_call(void)
{
    uint64_t message;

    WORKS(vmos_ipc_reply_receive(0, 0, endpoint, 0, 0, in_ms(5000), &message));
    CHECK(message == MESSAGE(7, 8, 0), "another message has come: %llx", (unsigned long long)message);
    return first_buffer->reply;
}

static enum status answer(handle reply, uint64_t message)
{
    uint64_t none;

    return vmos_ipc_reply_receive(reply, message, 0, 0, 0, 0, &none);
}

/* ---- Replies ----------------------------------------------------------------------------------------------------- */

static void replies(void)
{
    uint64_t threads = used(BUDGET_THREADS);
    handle reply, stale;

    WORKS(vmos_endpoint_create(&endpoint));
    WORKS(thread_start(call_endpoint, NULL, STACK, NULL));
    reply = receive_call();
    WANT(STATUS_INVALID, answer(reply, MESSAGE(0, 65, 0))); /* a bad answer is none, and can be mended */
    WORKS(answer(reply, MESSAGE(9, 0, 0)));
    wait_until_done();
    CHECK(outcome == STATUS_OK && came == MESSAGE(9, 0, 0), "the answer is %llx", (unsigned long long)came);
    WANT(STATUS_BAD_HANDLE, answer(reply, MESSAGE(10, 0, 0))); /* twice */
    stale = reply;

    WORKS(thread_start(call_endpoint, NULL, STACK, NULL));
    reply = receive_call();
    CHECK(reply != stale, "a Reply has the number of an earlier one");
    WANT(STATUS_BAD_HANDLE, answer(stale, MESSAGE(10, 0, 0)));
    WORKS(vmos_handle_close(reply)); /* dropped */
    wait_until_done();
    CHECK(outcome == STATUS_PEER_GONE, "who gets no answer is told: %s", status_text(outcome));

    WORKS(thread_start(call_endpoint, (void *)1, STACK, NULL)); /* does not wait for ever */
    reply = receive_call();
    wait_until_done();
    CHECK(outcome == STATUS_TIMED_OUT, "who waits too long is told: %s", status_text(outcome));
    for (uint64_t until = in_ms(5000); used(BUDGET_THREADS) != threads && now_ns() < until;)
        sleep_until(in_ms(1));
    CHECK(used(BUDGET_THREADS) == threads, "a Reply that was kept keeps the thread that has called");
    WANT(STATUS_PEER_GONE, answer(reply, MESSAGE(10, 0, 0)));
    WORKS(vmos_handle_close(reply));
    WANT(STATUS_BAD_HANDLE, vmos_handle_close(reply));
    enum object_type type;
    uint32_t rights;
    handle copy;
    WORKS(thread_start(call_endpoint, NULL, STACK, NULL));
    reply = receive_call();
    WORKS(vmos_handle_info(reply, &type, &rights));
    CHECK(type == OBJECT_REPLY && rights == RIGHT_TRANSFER, "a Reply has the rights %x", rights);
    WANT(STATUS_DENIED, vmos_handle_duplicate(reply, RIGHT_TRANSFER, 0, &copy));
    WANT(STATUS_DENIED, vmos_handle_revoke(reply));
    WORKS(answer(reply, MESSAGE(1, 0, 0)));
    wait_until_done();
    pass("twice, stale, dropped, too late, duplicated");
}

static volatile handle given;

/* Calls, and closes what comes with the answer, if it is not to be kept. */
static void call_and_take(void *argument, struct message_buffer *buffer)
{
    uint64_t message = 0;

    outcome = vmos_ipc_call(endpoint, MESSAGE(7, 8, 0), DEADLINE_NEVER, &message);
    given = MESSAGE_HANDLE_COUNT(message) == 1 ? buffer->handles[0] : 0;
    sleep_until(in_ms(5));
    if (argument == NULL)
        vmos_handle_close(given);
    done = true;
}

/* What the answer itself needs goes away with it. */
static void odd_answers(void)
{
    uint64_t message;
    uint32_t rights;
    enum object_type type;
    handle notification_here;

    WORKS(vmos_endpoint_create(&endpoint));
    WORKS(thread_start(call_and_take, (void *)1, STACK, NULL));
    handle reply = receive_call();
    first_buffer->handles[0] = reply; /* the Reply goes with its own answer, and is stale when it is there */
    WORKS(answer(reply, MESSAGE(0, 0, 1)));
    WANT(STATUS_BAD_HANDLE, answer(reply, MESSAGE(0, 0, 0)));
    wait_until_done();
    CHECK(outcome == STATUS_OK && given != 0, "the caller is told: %s", status_text(outcome));
    WANT(STATUS_PEER_GONE, vmos_handle_info(given, &type, &rights));
    WANT(STATUS_PEER_GONE, answer(given, MESSAGE(0, 0, 0)));
    WORKS(vmos_handle_close(given));

    WORKS(thread_start(call_and_take, NULL, STACK, NULL)); /* what is waited at goes, and is closed by who got it */
    reply = receive_call();
    first_buffer->handles[0] = endpoint;
    WANT(STATUS_PEER_GONE, vmos_ipc_reply_receive(reply, MESSAGE(0, 0, 1), endpoint, 0, 0, in_ms(5000), &message));
    wait_until_done();

    WORKS(vmos_endpoint_create(&endpoint));
    WORKS(vmos_notification_create(&notification_here));
    WORKS(thread_start(call_and_take, NULL, STACK, NULL));
    reply = receive_call();
    first_buffer->handles[0] = notification_here;
    WANT(STATUS_BAD_HANDLE,
         vmos_ipc_reply_receive(reply, MESSAGE(0, 0, 1), 0, notification_here, 1, in_ms(5000), &message));
    wait_until_done();
    pass("an answer takes along its Reply, the Endpoint and the Notification that are waited at");
}

static handle second_endpoint;

/* Takes a Reply with a message, answers it or not (by the label), and then who sent it. */
static void answer_for_another(void *argument, struct message_buffer *buffer)
{
    uint64_t message, none;

    (void)argument;
    if (vmos_ipc_reply_receive(0, 0, second_endpoint, 0, 0, DEADLINE_NEVER, &message) != STATUS_OK)
        return;
    handle passed = buffer->handles[0], own = buffer->reply;
    if (MESSAGE_LABEL(message) == 1)
        vmos_ipc_reply_receive(passed, MESSAGE(77, 0, 0), 0, 0, 0, 0, &none);
    else
        vmos_handle_close(passed);
    vmos_ipc_reply_receive(own, MESSAGE(0, 0, 0), 0, 0, 0, 0, &none);
}

static void pass_reply_on(void)
{
    uint64_t message;
    handle reply;

    WORKS(vmos_endpoint_create(&endpoint));
    WORKS(vmos_endpoint_create(&second_endpoint));
    for (uint32_t answers = 0; answers < 2; answers++)
        for (unsigned waits = 0; waits < 2; waits++) { /* for the call, or the call for us: two ways in the kernel */
            WORKS(thread_start(call_endpoint, NULL, STACK, NULL));
            if (waits == 0)
                sleep_until(in_ms(2));
            reply = receive_call();
            WORKS(thread_start(answer_for_another, NULL, STACK, NULL));
            first_buffer->handles[0] = reply;
            WORKS(vmos_ipc_call(second_endpoint, MESSAGE(answers, 0, 1), in_ms(5000), &message));
            wait_until_done();
            CHECK(outcome == (answers ? STATUS_OK : STATUS_PEER_GONE) && (!answers || came == MESSAGE(77, 0, 0)),
                  "a caller whose Reply was passed on is told: %s, %llx", status_text(outcome),
                  (unsigned long long)came);
            WANT(STATUS_BAD_HANDLE, answer(reply, MESSAGE(1, 0, 0)));
        }
    pass("answered by another, or dropped by him");
}

/* ---- Waits end --------------------------------------------------------------------------------------------------- */

/* Who has not come to wait yet, on a busy host, does so after it, and is told the next time. */
static void revoke_until_told(handle object)
{
    for (uint64_t until = now_ns() + SOON_NS; !done && now_ns() < until;) {
        sleep_until(in_ms(2));
        WORKS(vmos_handle_revoke(object));
    }
    wait_until_done();
}

static void revoke_waits(void)
{
    handle copy;

    WORKS(vmos_endpoint_create(&endpoint));
    WORKS(thread_start(call_endpoint, NULL, STACK, NULL));
    revoke_until_told(endpoint);
    CHECK(outcome == STATUS_REVOKED, "a caller is told: %s", status_text(outcome));

    WORKS(thread_start(receive, NULL, STACK, NULL));
    revoke_until_told(endpoint);
    CHECK(outcome == STATUS_REVOKED, "a receiver is told: %s", status_text(outcome));

    WORKS(vmos_notification_create(&notification));
    WORKS(thread_start(wait_for_bits, NULL, STACK, NULL));
    revoke_until_told(notification);
    CHECK(outcome == STATUS_REVOKED, "a waiter is told: %s", status_text(outcome));

    handle calls = endpoint;
    WORKS(vmos_handle_duplicate(endpoint, RIGHT_CALL, 0, &copy)); /* nobody can receive any more */
    endpoint = copy;
    WORKS(thread_start(call_endpoint, NULL, STACK, NULL));
    sleep_until(in_ms(2));
    WORKS(vmos_handle_close(calls));
    wait_until_done();
    CHECK(outcome == STATUS_PEER_GONE, "a caller without receivers is told: %s", status_text(outcome));
    WANT(STATUS_PEER_GONE, vmos_ipc_call(endpoint, MESSAGE(0, 0, 0), 0, &(uint64_t){0}));
    pass("caller, receiver, waiter, and a caller whom nobody will hear");
}

/* ---- Servers and clients that die -------------------------------------------------------------------------------- */

/* Takes one call and dies with it, or before, by the name that it has. */
static void dying_server(void)
{
    uint64_t message;

    endpoint = start_handle("endpoint");
    report->phase = 1;
    WORKS(vmos_ipc_reply_receive(0, 0, endpoint, 0, 0, DEADLINE_NEVER, &message));
    report->phase = 2;
    *(volatile char *)(uintptr_t)8 = 0;
}

static void server_dies(void)
{
    struct peer peer = {.program = "messages", .name = "dying-server", .promille = 50, .handle_count = 1};
    struct process_info info;
    uint64_t message;
    handle process, call;

    for (unsigned i = 0; i < 20; i++) {
        WORKS(vmos_endpoint_create(&endpoint));
        WORKS(vmos_handle_duplicate(endpoint, RIGHT_CALL, 0, &call));
        peer.handles[0] = (struct spawn_handle){"endpoint", endpoint, RIGHT_RECEIVE};
        report->phase = 0;
        WORKS(spawn_peer(&peer, &process));
        WORKS(vmos_handle_close(endpoint)); /* the server has the only one that receives */
        if (i % 2 != 0)
            while (report->phase == 0)
                vmos_thread_yield();
        WANT(STATUS_PEER_GONE, vmos_ipc_call(call, MESSAGE(1, 0, 0), in_ms(5000), &message));
        WANT(STATUS_PEER_GONE, vmos_ipc_call(call, MESSAGE(1, 0, 0), in_ms(5000), &message));
        CHECK(wait_for_end(process, &info) && info.end == END_CRASHED, "the server has not crashed");
        WORKS(vmos_handle_close(process));
        WORKS(vmos_handle_close(call));
    }
    pass("20 times, and the caller hears of it at once");
}

/* Has a message with four handles under way that nobody takes, and crashes, in another thread. */
static void send_handles(void *argument, struct message_buffer *buffer)
{
    uint64_t message;

    (void)argument;
    for (unsigned i = 0; i < MESSAGE_HANDLES; i++)
        WORKS(vmos_notification_create(&buffer->handles[i]));
    report->phase = 1;
    vmos_ipc_call(endpoint, MESSAGE(1, 64, 4), DEADLINE_NEVER, &message);
}

static void dying_client(void)
{
    endpoint = start_handle("endpoint");
    WORKS(thread_start(send_handles, NULL, STACK, NULL));
    while (report->phase == 0)
        vmos_thread_yield();
    sleep_until(now_ns() + report->shared[0]);
    *(volatile char *)(uintptr_t)8 = 0;
}

/* What the client may have comes back to us when it has ended, which may be at any time. */
static bool came_with(uint64_t before, uint64_t count)
{
    uint64_t now = used(BUDGET_HANDLES);

    return now == before + count || now + PEER_HANDLES == before + count;
}

static void client_dies(void)
{
    struct peer peer = {.program = "messages", .name = "dying-client", .promille = 50, .handle_count = 1};
    unsigned received = 0;
    uint64_t message;
    handle process;

    WORKS(vmos_endpoint_create(&endpoint));
    for (unsigned i = 0; i < 20; i++) {
        peer.handles[0] = (struct spawn_handle){"endpoint", endpoint, RIGHT_CALL};
        report->phase = 0;
        report->shared[0] = chance_below(300 * NANOSECONDS_PER_MICROSECOND);
        WORKS(spawn_peer(&peer, &process));
        while (report->phase == 0)
            vmos_thread_yield();
        sleep_until(now_ns() + chance_below(600 * NANOSECONDS_PER_MICROSECOND));
        uint64_t before = used(BUDGET_HANDLES);
        enum status status = vmos_ipc_reply_receive(0, 0, endpoint, 0, 0, in_ms(1), &message);
        CHECK(status == STATUS_OK || status == STATUS_TIMED_OUT, "receiving says: %s", status_text(status));
        if (status == STATUS_OK) {
            received++;
            CHECK(came_with(before, 1 + MESSAGE_HANDLES), "not all handles have come with a message");
            for (unsigned j = 0; j < MESSAGE_HANDLES; j++)
                WORKS(vmos_handle_close(first_buffer->handles[j]));
            WORKS(vmos_handle_close(first_buffer->reply));
        } else {
            CHECK(came_with(before, 0), "handles have come without a message");
        }
        CHECK(wait_for_end(process, NULL), "the client does not end");
        WORKS(vmos_handle_close(process));
    }
    pass("20 times, of which %u messages had arrived", received);
}

/* All or none, and whoever sends what he has not keeps what he has. */
static void bad_handles(void)
{
    handle good, less;
    uint64_t message;

    WORKS(vmos_endpoint_create(&endpoint));
    WORKS(vmos_notification_create(&good));
    WORKS(vmos_handle_duplicate(good, RIGHT_SIGNAL, 0, &less));
    const handle sets[][3] = {{good, 0, 1}, {good, good, 1}, {good, less, 1}, {good, 12345 << 16 | 3, 1}, {0, good, 1}};
    const enum status wanted[] = {STATUS_BAD_HANDLE, STATUS_INVALID, STATUS_DENIED, STATUS_BAD_HANDLE,
                                  STATUS_BAD_HANDLE};
    for (unsigned i = 0; i < 5; i++) {
        WORKS(thread_start(receive, NULL, STACK, NULL));
        sleep_until(in_ms(2));
        first_buffer->handles[0] = sets[i][0];
        first_buffer->handles[1] = sets[i][1];
        uint64_t before = used(BUDGET_HANDLES);
        WANT(wanted[i], vmos_ipc_call(endpoint, MESSAGE(0, 0, 2), in_ms(100), &message));
        CHECK(used(BUDGET_HANDLES) == before, "a handle has gone with a message that was refused");
        WORKS(vmos_notification_signal(good, 1));
        WORKS(vmos_handle_revoke(endpoint)); /* the receiver goes */
        wait_until_done();
    }
    pass("all or none");
}

const struct hostile_case hostile_cases[] = {{"replies", replies},           {"pass-reply-on", pass_reply_on},
                                             {"odd-answers", odd_answers},   {"revoke-waits", revoke_waits},
                                             {"server-dies", server_dies},   {"client-dies", client_dies},
                                             {"bad-handles", bad_handles},   {"dying-server", dying_server},
                                             {"dying-client", dying_client}, {NULL, NULL}};
