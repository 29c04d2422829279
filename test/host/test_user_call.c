/* test_user_call.c: lib/user/call.c over calls that follow a script: what is answered, kept and closed. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <lib/user/call.c>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* What the kernel gives next, and what it was asked: a line each. */
static const struct step {
    enum status status;
    uint64_t message;
    unsigned handles; /* handles that come along are 100, 101, ... */
} * steps;
static struct message_buffer buffer;
static char log_text[2000];
static handle next_handle;

static void note(const char *format, ...) __attribute__((format(printf, 1, 2)));
static void note(const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(log_text + strlen(log_text), sizeof log_text - strlen(log_text), format, arguments);
    va_end(arguments);
}

static struct system_result step(void)
{
    struct step now = *steps++;

    for (unsigned i = 0; i < now.handles; i++)
        buffer.handles[i] = next_handle++;
    buffer.reply = 7;
    buffer.badge = 55;
    buffer.bits = 12;
    return (struct system_result){now.status, now.message};
}

struct system_result system_ipc_reply_receive(handle reply, uint64_t message, handle endpoint, handle notification,
                                              uint64_t mask, uint64_t deadline_ns)
{
    if (endpoint == 0 && notification == 0) {
        note("answer alone %d %x; ", (int)reply, (unsigned)MESSAGE_LABEL(message));
        return (struct system_result){STATUS_OK, 0};
    }
    assert_true(endpoint == 3 && notification == 4 && mask == 0xf0 && deadline_ns == DEADLINE_NEVER);
    note("reply %d %x; ", (int)reply, reply != 0 ? (unsigned)MESSAGE_LABEL(message) : 0);
    return step();
}

struct system_result system_ipc_call(handle endpoint, uint64_t message, uint64_t deadline_ns)
{
    note("call %d %x %d %d; ", (int)endpoint, (unsigned)MESSAGE_LABEL(message), (int)MESSAGE_BYTES(message),
         (int)deadline_ns);
    return step();
}

struct system_result system_handle_close(handle object)
{
    note("close %d; ", (int)object);
    return (struct system_result){STATUS_OK, 0};
}

uint64_t now_ns(void)
{
    return 0;
}

void sleep_until(uint64_t deadline_ns)
{
    assert_true(deadline_ns != 0);
    note("pause; ");
}

static uint64_t answer_call(struct server *server, struct request *request, struct message_buffer *words)
{
    (void)server;
    assert_ptr_equal(words, &buffer);
    assert_int_equal(request->badge, 55);
    note("asked %x %u; ", (unsigned)MESSAGE_LABEL(request->message), request->handle_count);
    if (MESSAGE_LABEL(request->message) == 2)
        request->handles[0] = 0; /* taken */
    if (MESSAGE_LABEL(request->message) == 9)
        return ANSWER_LATER;
    return MESSAGE(MESSAGE_LABEL(request->message) + 0x10, 0, 0);
}

static void notified(struct server *server, uint64_t bits)
{
    (void)server;
    note("bits %d; ", (int)bits);
}

static void serves(const struct step *script, const char *expected)
{
    struct server server = {.endpoint = 3, .notification = 4, .mask = 0xf0, .call = answer_call, .notified = notified};

    steps = script;
    log_text[0] = '\0';
    next_handle = 100;
    assert_int_equal(serve(&server, &buffer), STATUS_REVOKED);
    assert_string_equal(log_text, expected);
}

static void servers(void **state)
{
    (void)state;
    serves((const struct step[]){{STATUS_OK, MESSAGE(1, 0, 0), 0},
                                 {STATUS_OK, MESSAGE(3, 0, 0), 0},
                                 {STATUS_REVOKED, 0, 0},
                                 {STATUS_REVOKED, 0, 0}},
           "reply 0 0; asked 1 0; reply 7 11; asked 3 0; reply 7 13; answer alone 7 13; close 7; reply 0 0; ");
    serves((const struct step[]){{STATUS_OK, MESSAGE_NOTIFIED, 0}, {STATUS_REVOKED, 0, 0}},
           "reply 0 0; bits 12; reply 0 0; ");
    /* Handles that nobody took are closed, and those that were are not. */
    serves((const struct step[]){{STATUS_OK, MESSAGE(1, 0, 2), 2},
                                 {STATUS_OK, MESSAGE(2, 0, 3), 3},
                                 {STATUS_REVOKED, 0, 0},
                                 {STATUS_REVOKED, 0, 0}},
           "reply 0 0; asked 1 2; close 100; close 101; reply 7 11; asked 2 3; close 103; close 104; reply 7 12; "
           "answer alone 7 12; close 7; reply 0 0; ");
    /* Who answers later keeps the Reply. */
    serves((const struct step[]){{STATUS_OK, MESSAGE(9, 0, 0), 0}, {STATUS_REVOKED, 0, 0}},
           "reply 0 0; asked 9 0; reply 0 0; ");
    /* A caller that has gone disturbs nobody else; a full table is waited out. */
    serves(
        (const struct step[]){{STATUS_OK, MESSAGE(1, 0, 0), 0},
                              {STATUS_PEER_GONE, 0, 0},
                              {STATUS_LIMIT, 0, 0},
                              {STATUS_NO_MEMORY, 0, 0},
                              {STATUS_OK, MESSAGE(3, 0, 0), 0},
                              {STATUS_REVOKED, 0, 0},
                              {STATUS_REVOKED, 0, 0}},
        "reply 0 0; asked 1 0; reply 7 11; answer alone 7 11; close 7; reply 0 0; pause; reply 0 0; pause; reply 0 0; "
        "asked 3 0; reply 7 13; answer alone 7 13; close 7; reply 0 0; ");
}

static void clients(void **state)
{
    uint32_t label = 6;
    char answer[70];

    (void)state;
    log_text[0] = '\0';
    next_handle = 100;
    memset(&buffer, 0, sizeof buffer);
    steps = (const struct step[]){{STATUS_OK, MESSAGE(0x77, 5, 2), 2}};
    memset(answer, 'x', sizeof answer);
    assert_int_equal(call(&buffer, 3, &label, "hello", 5, answer, 4, 99), STATUS_OK);
    assert_string_equal(log_text, "call 3 6 5 99; close 100; close 101; ");
    assert_int_equal(label, 0x77);
    assert_memory_equal(answer, "hellx", 5); /* no more than there is room for */
    steps = (const struct step[]){{STATUS_OK, MESSAGE(0, 2, 0), 0}};
    assert_int_equal(call(&buffer, 3, &label, "yo", 2, answer, sizeof answer, 99), STATUS_OK);
    assert_string_equal(answer, "yo"); /* the rest is zero */
    assert_int_equal(answer[69], 0);
    steps = (const struct step[]){{STATUS_TIMED_OUT, 0, 0}};
    label = 6;
    assert_int_equal(call(&buffer, 3, &label, "", 0, NULL, 0, 99), STATUS_TIMED_OUT);
    assert_int_equal(label, 6);
    assert_int_equal(call(&buffer, 3, &label, answer, 65, NULL, 0, 99), STATUS_INVALID);
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test(servers),
    cmocka_unit_test(clients),
};

int main(int argc, char **argv)
{
    (void)argc, (void)argv;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
