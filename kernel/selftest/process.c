/*
 * process.c: processes begin, run, end, and leave nothing behind: init is asked to start bin/hello, which is then seen,
 * called, and killed, again and again; the ledger must balance.
 */
#include <kernel/selftest.h>

#include <kernel/kernel.h>
#include <kernel/process/ipc.h>
#include <kernel/process/ledger.h>
#include <kernel/process/start.h>

#include <lib/string.h>
#include <lib/text.h>
#include <platform/clock.h>
#include <vmos/control.h>

#define PATIENCE_NS (10 * NANOSECONDS_PER_SECOND)
#define SETTLED_NS  (50 * NANOSECONDS_PER_MILLISECOND)

enum { ROUNDS = 20 };

static const char PROGRAM[] = "hello";

/* ---- Asking init ------------------------------------------------------------------------------------------------- */

static bool call_done(void *context)
{
    return __atomic_load_n(&((struct kernel_call *)context)->done, __ATOMIC_ACQUIRE);
}

/* What init answers; STATUS_TIMED_OUT: nothing. */
static enum status ask(enum control_request_label label)
{
    struct kernel_call call = {.message = MESSAGE(label, sizeof(struct control_request), 0)};
    struct control_request request = {0};

    text_copy(request.name, PROGRAM, sizeof request.name);
    memcpy(call.words, &request, sizeof request);
    uintptr_t saved = lock_take(&objects_lock);
    enum status status = kernel_call_start(init_control(), &call);
    lock_release(&objects_lock, saved);
    if (status != STATUS_OK)
        return status;
    bool answered = kernel_wait(call_done, &call, clock_now() + PATIENCE_NS);
    kernel_call_end(&call);
    if (!answered)
        return STATUS_TIMED_OUT;
    return call.status == STATUS_OK ? (enum status)MESSAGE_LABEL(call.message) : call.status;
}

/* ---- Looking ----------------------------------------------------------------------------------------------------- */

/* With the lock. */
static struct process *find(void)
{
    struct process *process = processes;

    while (process != NULL && strcmp(process->name, PROGRAM) != 0)
        process = process->next;
    return process;
}

/* It waits for calls: it has run, and has come to where it serves. */
static bool serves(void *context)
{
    uintptr_t saved = lock_take(&objects_lock);
    const struct process *process = find();
    bool is = process != NULL && process->state == PROCESS_RUNNING && process->threads != NULL &&
              process->threads->state == THREAD_BLOCKED && process->threads->wait == WAIT_EVENT;

    (void)context;
    lock_release(&objects_lock, saved);
    return is;
}

static bool is_gone(void *context)
{
    uintptr_t saved = lock_take(&objects_lock);
    bool gone = find() == NULL;

    (void)context;
    lock_release(&objects_lock, saved);
    return gone;
}

/* Pages that page tables and the heap's slabs take depend on where things happened to be put. */
static uint64_t frames_apart(const struct ledger *ledger)
{
    return ledger->frames - ledger->heap_frames - ledger->table_frames;
}

static bool balanced(const struct ledger *before)
{
    struct ledger now;

    ledger_take(&now);
    return frames_apart(&now) == frames_apart(before) && now.heap_bytes == before->heap_bytes &&
           now.heap_blocks == before->heap_blocks && now.handles == before->handles &&
           now.processes == before->processes && memcmp(now.objects, before->objects, sizeof now.objects) == 0;
}

static bool is_balanced(void *context)
{
    return balanced(context);
}

static bool never(void *context)
{
    (void)context;
    return false;
}

/* Once init, too, is done with what has ended: nothing changes for a while. */
static void take_settled(struct ledger *ledger)
{
    for (unsigned i = 0; i < 100; i++) {
        ledger_take(ledger);
        kernel_wait(never, NULL, clock_now() + SETTLED_NS);
        if (!processes_ending() && balanced(ledger))
            return;
    }
}

/* ---- The test ---------------------------------------------------------------------------------------------------- */

/* NULL: it went well. */
static const char *one_round(bool by_console)
{
    if (ask(CONTROL_SPAWN) != STATUS_OK)
        return "init does not start it";
    if (!selftest_wait(serves, NULL, clock_now() + PATIENCE_NS))
        return "it does not come to serve";
    if (by_console) {
        uintptr_t saved = lock_take(&objects_lock);
        process_end(find(), END_CONSOLE, 0);
        lock_release(&objects_lock, saved);
    } else if (ask(CONTROL_KILL) != STATUS_OK) {
        return "init does not end it";
    }
    return selftest_wait(is_gone, NULL, clock_now() + PATIENCE_NS) ? NULL : "it does not go";
}

void selftest_process(struct selftest_result *result)
{
    struct ledger before;
    const char *wrong = NULL;

    if (init_control() == NULL) {
        selftest_is(result, SELFTEST_SKIP, "no init runs");
        return;
    }
    if (!is_gone(NULL)) {
        selftest_is(result, SELFTEST_SKIP, "%s runs already, and is left alone", PROGRAM);
        return;
    }
    enum status status = ask(CONTROL_SPAWN);
    if (status == STATUS_NOT_FOUND || (status == STATUS_OK && is_gone(NULL))) {
        selftest_is(result, SELFTEST_SKIP, "the initial ramdisk has no %s", PROGRAM);
        return;
    }
    /* The first time leaves what stays: tables that have grown, init's memory of the program. */
    if (status != STATUS_OK || !selftest_wait(serves, NULL, clock_now() + PATIENCE_NS))
        wrong = "it cannot be started";
    if (wrong == NULL && (ask(CONTROL_KILL) != STATUS_OK || !selftest_wait(is_gone, NULL, clock_now() + PATIENCE_NS)))
        wrong = "it cannot be ended";
    for (unsigned i = 0; i < 2 && wrong == NULL; i++)
        wrong = one_round(i == 0);
    take_settled(&before);
    for (unsigned i = 0; i < ROUNDS && wrong == NULL; i++)
        wrong = one_round(i % 2 == 0);
    if (wrong != NULL)
        selftest_is(result, SELFTEST_FAIL, "%s: %s (%s)", PROGRAM, wrong, status_text(status));
    else if (!kernel_wait(is_balanced, &before, clock_now() + PATIENCE_NS))
        selftest_is(result, SELFTEST_FAIL, "the ledger does not balance; `ledger` shows it");
    else
        selftest_is(result, SELFTEST_PASS, "%s started, served and ended %d times, and left nothing", PROGRAM, ROUNDS);
}
