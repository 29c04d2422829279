/*
 * ipc.c: calls from the kernel's own thread to a process and back, some thousand of them, each with its own words.
 */
#include <kernel/selftest.h>

#include <kernel/kernel.h>
#include <kernel/process/ipc.h>
#include <kernel/process/start.h>

#include <lib/string.h>
#include <lib/text.h>
#include <platform/clock.h>
#include <vmos/control.h>

#define PATIENCE_NS (10 * NANOSECONDS_PER_SECOND)

enum { CALLS = 2000 };

static const char PROGRAM[] = "hello";

static bool call_done(void *context)
{
    return __atomic_load_n(&((struct kernel_call *)context)->done, __ATOMIC_ACQUIRE);
}

static enum status make(struct endpoint *endpoint, struct kernel_call *call)
{
    uintptr_t saved = lock_take(&objects_lock);
    enum status status = kernel_call_start(endpoint, call);

    lock_release(&objects_lock, saved);
    if (status != STATUS_OK)
        return status;
    bool answered = kernel_wait(call_done, call, clock_now() + PATIENCE_NS);
    kernel_call_end(call);
    return answered ? call->status : STATUS_TIMED_OUT;
}

static enum status ask_init(enum control_request_label label)
{
    struct kernel_call call = {.message = MESSAGE(label, sizeof(struct control_request), 0)};
    struct control_request request = {0};

    text_copy(request.name, PROGRAM, sizeof request.name);
    memcpy(call.words, &request, sizeof request);
    enum status status = make(init_control(), &call);
    return status == STATUS_OK ? (enum status)MESSAGE_LABEL(call.message) : status;
}

/* The Endpoint that the process receives from, with a reference for the caller; NULL: there is none. */
static struct endpoint *endpoint_of_program(void)
{
    struct endpoint *found = NULL;
    uintptr_t saved = lock_take(&objects_lock);

    for (const struct process *process = processes; process != NULL; process = process->next)
        for (uint32_t i = 1; strcmp(process->name, PROGRAM) == 0 && i < process->handles.capacity; i++) {
            const struct handle_slot *slot = &process->handles.slots[i];
            if (found == NULL && slot->object != NULL && slot->object->type == OBJECT_ENDPOINT &&
                (slot->rights & RIGHT_RECEIVE) != 0)
                found = (struct endpoint *)slot->object;
        }
    if (found != NULL)
        object_hold(&found->object);
    lock_release(&objects_lock, saved);
    return found;
}

static bool can_be_called(void *context)
{
    struct endpoint **endpoint = context;

    *endpoint = endpoint_of_program();
    return *endpoint != NULL;
}

/* The answer has what was sent in it, and a count that grows by one; 0: it has not. */
static uint64_t greet(struct endpoint *endpoint, unsigned number, enum status *status)
{
    struct kernel_call call = {0};
    char name[16], wanted[64];
    uint64_t count = 0;

    snprintf(name, sizeof name, "kernel-%u", number);
    call.message = MESSAGE(1, strlen(name), 0);
    memcpy(call.words, name, strlen(name));
    *status = make(endpoint, &call);
    int length = snprintf(wanted, sizeof wanted, "hello %s, you are number ", name);
    if (*status != STATUS_OK || memcmp(call.words, wanted, (size_t)length) != 0)
        return 0;
    char rest[sizeof call.words + 1] = "";
    memcpy(rest, call.words, MESSAGE_BYTES(call.message) <= sizeof call.words ? MESSAGE_BYTES(call.message) : 0);
    return text_to_number(rest + length, NULL, &count) ? count : 0;
}

static void call_often(struct endpoint *endpoint, struct selftest_result *result)
{
    enum status status;
    uint64_t first = greet(endpoint, 0, &status), begun = clock_now();

    for (unsigned i = 1; i < CALLS; i++) {
        uint64_t count = greet(endpoint, i, &status);
        if (first == 0 || count != first + i) {
            selftest_is(result, SELFTEST_FAIL, "call %u of %d: %s, count %llu", i, CALLS, status_text(status),
                        (unsigned long long)count);
            return;
        }
    }
    selftest_is(result, SELFTEST_PASS, "%d calls to %s and back, %llu ns each", CALLS, PROGRAM,
                (unsigned long long)((clock_now() - begun) / CALLS));
}

void selftest_ipc(struct selftest_result *result)
{
    struct endpoint *endpoint = NULL;

    if (init_control() == NULL) {
        selftest_is(result, SELFTEST_SKIP, "no init runs");
        return;
    }
    bool ran = can_be_called(&endpoint);
    if (!ran && ask_init(CONTROL_SPAWN) != STATUS_OK) {
        selftest_is(result, SELFTEST_SKIP, "init does not start %s", PROGRAM);
        return;
    }
    if (!ran && !selftest_wait(can_be_called, &endpoint, clock_now() + PATIENCE_NS)) {
        selftest_is(result, SELFTEST_SKIP, "nothing that can be called is called %s", PROGRAM);
        return;
    }
    call_often(endpoint, result);
    uintptr_t saved = lock_take(&objects_lock);
    object_release(&endpoint->object);
    lock_release(&objects_lock, saved);
    if (!ran)
        ask_init(CONTROL_KILL);
}
