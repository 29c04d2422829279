/*
 * commands.c: the console's commands about processes.
 *
 * They run on the boot CPU's own thread beside all that they tell of: each line is gathered under the lock and written
 * without it, since a serial port is slow. Processes and threads are told by their numbers, which only grow, so that
 * one that ends meanwhile is passed over and none comes twice.
 */
#include "commands.h"

#include "audit.h"
#include "names.h"
#include "start.h"

#include <kernel/kernel.h>
#include <lib/string.h>
#include <lib/text.h>
#include <vmos/control.h>

#include "object_private.h"

/* What init may take to answer. */
#define ANSWER_NS (2 * NANOSECONDS_PER_SECOND)

/* ---- Finding them: the lock is held ------------------------------------------------------------------------------ */

/* The one with the lowest number above `after`; NULL: there is none. */
static struct process *process_behind(uint64_t after)
{
    struct process *found = NULL;

    for (struct process *at = processes; at != NULL; at = at->next)
        if (at->id > after && at != &kernel_process && (found == NULL || at->id < found->id))
            found = at;
    return found;
}

static struct thread *thread_behind(const struct process *process, uint64_t after)
{
    struct thread *found = NULL;

    for (struct thread *at = process->threads; at != NULL; at = at->next_in_process)
        if (at->id > after && (found == NULL || at->id < found->id))
            found = at;
    return found;
}

static struct process *process_by_id(uint64_t id)
{
    for (struct process *at = processes; at != NULL; at = at->next)
        if (at->id == id && at != &kernel_process)
            return at;
    return NULL;
}

/* By number, or by name: then the newest of that name, one that has not ended first. */
static uint64_t find_id(const char *word)
{
    const char *end;
    uint64_t id = 0;
    bool alive = false;
    bool is_number = text_to_number(word, &end, &id) && *end == '\0';
    uintptr_t saved = lock_take(&objects_lock);

    if (is_number) {
        id = process_by_id(id) != NULL ? id : 0;
    } else {
        id = 0;
        for (const struct process *at = processes; at != NULL; at = at->next)
            if (at != &kernel_process && strcmp(at->name, word) == 0 &&
                (id == 0 || (!alive && at->state < PROCESS_ENDING))) {
                id = at->id;
                alive = at->state < PROCESS_ENDING;
            }
    }
    lock_release(&objects_lock, saved);
    return id;
}

/* The process that the first word names, and the word, empty if there is none; 0: no process. */
static uint64_t find_word(const char *arguments, char name[NAME_SIZE + 1])
{
    size_t length = 0;
    const char *word = text_word(arguments, &length);

    name[0] = '\0';
    if (word == NULL)
        return 0;
    text_copy(name, word, length < NAME_SIZE ? length + 1 : NAME_SIZE + 1);
    return find_id(name);
}

/* The same; 0, and a sentence: none. */
static uint64_t named(struct printer *out, const char *arguments, const char *command)
{
    char name[NAME_SIZE + 1];
    uint64_t id = find_word(arguments, name);

    if (name[0] == '\0')
        print(out, "%s wants a process: its name or its number, as `ps` shows them\n", command);
    else if (id == 0)
        print(out, "there is no process \"%s\"; `ps` lists them all\n", name);
    return id;
}

/* ---- ps ---------------------------------------------------------------------------------------------------------- */

struct process_row {
    struct process_info info;
    uint32_t threads, priority;
};

static bool next_process(uint64_t after, struct process_row *row)
{
    uintptr_t saved = lock_take(&objects_lock);
    const struct process *process = process_behind(after);

    if (process != NULL) {
        process_info(process, &row->info);
        row->threads = process->thread_count;
        row->priority = 0;
        for (const struct thread *at = process->threads; at != NULL; at = at->next_in_process)
            if (at->own.budget_ns != 0 && at->priority > row->priority)
                row->priority = at->priority;
    }
    lock_release(&objects_lock, saved);
    return process != NULL;
}

static void list_processes(struct printer *out)
{
    struct process_row row;
    bool any = false;

    print(out, "   ID NAME              STATE   THREADS    CPU ms      KiB   OF KiB HANDLES PRIO\n");
    for (uint64_t id = 0; next_process(id, &row); id = row.info.id) {
        print(out, "%5llu %-17.17s %-8s %6u %9llu %8llu %8llu %7llu %4u\n", (unsigned long long)row.info.id,
              row.info.name, process_state_name(row.info.state), row.threads,
              (unsigned long long)(row.info.cpu_ns / NANOSECONDS_PER_MILLISECOND),
              (unsigned long long)(row.info.used[BUDGET_MEMORY] / 1024),
              (unsigned long long)(row.info.limits[BUDGET_MEMORY] / 1024),
              (unsigned long long)row.info.used[BUDGET_HANDLES], row.priority);
        any = true;
    }
    if (!any)
        print(out, "no process runs\n");
}

static const char *thread_state_text(const struct thread *thread)
{
    static const char *const states[] = {
        [THREAD_NEW] = "new",         [THREAD_READY] = "ready",     [THREAD_THROTTLED] = "used up",
        [THREAD_RUNNING] = "running", [THREAD_BLOCKED] = "waiting", [THREAD_ENDED] = "ended",
    };
    static const char *const waits[] = {
        [WAIT_NOTHING] = "waiting",
        [WAIT_SEND] = "calling",
        [WAIT_REPLY] = "called",
        [WAIT_EVENT] = "waiting",
    };

    return thread->state == THREAD_BLOCKED ? waits[thread->wait] : states[thread->state];
}

struct thread_row {
    struct thread_info info;
    const char *state;
};

static bool next_thread(uint64_t process_id, uint64_t after, struct thread_row *row)
{
    uintptr_t saved = lock_take(&objects_lock);
    const struct process *process = process_by_id(process_id);
    const struct thread *thread = process != NULL ? thread_behind(process, after) : NULL;

    if (thread != NULL) {
        thread_info(thread, &row->info);
        row->state = thread_state_text(thread);
    }
    lock_release(&objects_lock, saved);
    return thread != NULL;
}

static void list_threads(struct printer *out, uint64_t process_id)
{
    struct thread_row row;

    print(out, "   THREAD STATE     CPU PRIO    CPU ms  BUDGET us  PERIOD us\n");
    for (uint64_t id = 0; next_thread(process_id, id, &row); id = row.info.id)
        print(out, "%9llu %-8s %4u %4u %9llu %10llu %10llu\n", (unsigned long long)row.info.id, row.state, row.info.cpu,
              row.info.priority, (unsigned long long)(row.info.cpu_ns / NANOSECONDS_PER_MILLISECOND),
              (unsigned long long)(row.info.budget_ns / NANOSECONDS_PER_MICROSECOND),
              (unsigned long long)(row.info.period_ns / NANOSECONDS_PER_MICROSECOND));
}

static void show_process(struct printer *out, uint64_t id)
{
    static const char *const budgets[BUDGET_COUNT] = {
        [BUDGET_MEMORY] = "memory",   [BUDGET_HANDLES] = "handles", [BUDGET_THREADS] = "threads",
        [BUDGET_OBJECTS] = "objects", [BUDGET_CPU] = "cpu",
    };
    static const char *const units[BUDGET_COUNT] = {
        [BUDGET_MEMORY] = " bytes", [BUDGET_CPU] = " thousandths, promised"};
    struct process_row row;

    if (!next_process(id - 1, &row) || row.info.id != id) {
        print(out, "it has just ended\n");
        return;
    }
    print(out, "process: %s[%llu]\nstate: %s\n", row.info.name, (unsigned long long)id,
          process_state_name(row.info.state));
    if (row.info.end != END_NONE)
        print(out, "end: %s, code 0x%llx\n", process_end_name(row.info.end), (unsigned long long)row.info.end_code);
    for (unsigned i = 0; i < BUDGET_COUNT; i++)
        print(out, "%s: %llu of %llu%s\n", budgets[i], (unsigned long long)row.info.used[i],
              (unsigned long long)row.info.limits[i], units[i] != NULL ? units[i] : "");
    list_threads(out, id);
}

void run_ps(struct printer *out, const char *arguments)
{
    if (arguments[0] == '\0') {
        list_processes(out);
        return;
    }
    uint64_t id = named(out, arguments, "ps");
    if (id != 0)
        show_process(out, id);
}

/* ---- handles ----------------------------------------------------------------------------------------------------- */

enum { OBJECT_TEXT = 16 };

struct handle_row {
    uint32_t index, rights;
    uint8_t type;
    bool current;
    uint64_t badge, generation;
    char object[OBJECT_TEXT + 1]; /* which one, as far as that can be said */
};

/* A long name is cut, not the number behind it. */
static void describe_process(const struct process *process, char text[OBJECT_TEXT + 1])
{
    char number[24];
    int length = snprintf(number, sizeof number, "[%llu]", (unsigned long long)process->id);

    snprintf(text, OBJECT_TEXT + 1, "%.*s%s", length < OBJECT_TEXT ? OBJECT_TEXT - length : 0, process->name, number);
}

static void describe(struct object *object, char text[OBJECT_TEXT + 1])
{
    text[0] = '\0';
    if (object->type == OBJECT_PROCESS)
        describe_process(CONTAINER_OF(object, struct process, object), text);
    else if (object->type == OBJECT_THREAD)
        snprintf(text, OBJECT_TEXT + 1, "thread %llu",
                 (unsigned long long)CONTAINER_OF(object, struct thread, object)->id);
    else if (object->type == OBJECT_MEMORY)
        snprintf(text, OBJECT_TEXT + 1, "%llu KiB",
                 (unsigned long long)CONTAINER_OF(object, struct memory, object)->pages.size / 1024);
}

/* The first at `index` or behind it. */
static bool next_handle(uint64_t id, uint32_t index, struct handle_row *row)
{
    uintptr_t saved = lock_take(&objects_lock);
    const struct process *process = process_by_id(id);
    bool found = false;

    for (; process != NULL && index < process->handles.capacity && !found; index++) {
        const struct handle_slot *slot = &process->handles.slots[index];
        found = slot->object != NULL;
        if (!found)
            continue;
        *row = (struct handle_row){
            .index = index,
            .rights = slot->rights,
            .type = slot->object->type,
            .current = slot->epoch == slot->object->epoch,
            .badge = slot->badge,
            .generation = slot->generation,
        };
        describe(slot->object, row->object);
    }
    lock_release(&objects_lock, saved);
    return found;
}

void run_handles(struct printer *out, const char *arguments)
{
    uint64_t id = named(out, arguments, "handles");
    struct handle_row row;
    bool any = false;

    if (id == 0)
        return;
    print(out, "INDEX GENERATION TYPE         RIGHTS      EPOCH   OBJECT           BADGE\n");
    for (uint32_t index = 0; next_handle(id, index, &row); index = row.index + 1) {
        char rights[RIGHTS_TEXT_SIZE];
        rights_text(row.rights, rights);
        print(out, "%5u %10llu %-12s %s %-7s %-16s %llx\n", row.index, (unsigned long long)row.generation,
              object_type_name(row.type), rights, row.current ? "current" : "stale", row.object,
              (unsigned long long)row.badge);
        any = true;
    }
    if (!any)
        print(out, "it holds none\n");
}

/* ---- What is asked of init --------------------------------------------------------------------------------------- */

static bool answered(void *context)
{
    return ((volatile struct kernel_call *)context)->done;
}

/* STATUS_OK: init has answered: *said. STATUS_NOT_FOUND: there is none; STATUS_TIMED_OUT: it says nothing. */
static enum status ask(uint32_t label, const struct control_request *request, struct control_answer *answer,
                       enum status *said)
{
    struct kernel_call call = {.message = MESSAGE(label, sizeof *request, 0)};
    uintptr_t saved = lock_take(&objects_lock);
    struct endpoint *control = init_control();

    memcpy(call.words, request, sizeof *request);
    enum status status = control == NULL ? STATUS_NOT_FOUND : kernel_call_start(control, &call);
    lock_release(&objects_lock, saved);
    if (status != STATUS_OK)
        return status;
    kernel_wait(answered, &call, clock_now() + ANSWER_NS);
    kernel_call_end(&call);
    if (call.status == STATUS_OK && MESSAGE_BYTES(call.message) >= sizeof *answer)
        memcpy(answer, call.words, sizeof *answer);
    answer->text[sizeof answer->text - 1] = '\0';
    *said = (enum status)MESSAGE_LABEL(call.message);
    return call.status;
}

/* Its name, and the rest of the line as arguments. */
static bool read_request(struct printer *out, const char *command, const char *arguments,
                         struct control_request *request)
{
    size_t length = 0;
    const char *word = text_word(arguments, &length);

    if (word == NULL) {
        print(out, "%s wants a name: a service of vmos.conf, or a program, bin/NAME\n", command);
        return false;
    }
    if (length >= sizeof request->name) {
        print(out, "a name has at most %zu characters\n", sizeof request->name - 1);
        return false;
    }
    text_copy(request->name, word, length + 1);
    for (word += length; *word == ' '; word++)
        ;
    if (text_copy(request->arguments, word, sizeof request->arguments) >= sizeof request->arguments) {
        print(out, "arguments have at most %zu characters; what needs more goes into vmos.conf\n",
              sizeof request->arguments - 1);
        return false;
    }
    return true;
}

static void ask_init(struct printer *out, const char *command, uint32_t label, const char *arguments)
{
    struct control_request request = {0};
    struct control_answer answer = {0};
    char text[sizeof answer.text + 1];

    if (!read_request(out, command, arguments, &request))
        return;
    enum status said = STATUS_OK, status = ask(label, &request, &answer, &said);
    text_sanitise(text, answer.text, strlen(answer.text));
    if (status == STATUS_NOT_FOUND)
        print(out, "no init runs that could be asked\n");
    else if (status == STATUS_TIMED_OUT)
        print(out, "init has not answered within %u seconds\n", (unsigned)(ANSWER_NS / NANOSECONDS_PER_SECOND));
    else if (status != STATUS_OK)
        print(out, "init cannot be asked: %s\n", status_text(status));
    else if (said != STATUS_OK)
        print(out, "init does not do it: %s\n", text[0] != '\0' ? text : status_text(said));
    else
        print(out, text[0] != '\0' ? "%s[%llu]: %s\n" : "%s[%llu] runs\n", request.name,
              (unsigned long long)answer.process_id, text);
}

void run_spawn(struct printer *out, const char *arguments)
{
    ask_init(out, "spawn", CONTROL_SPAWN, arguments);
}

void run_restart(struct printer *out, const char *arguments)
{
    ask_init(out, "restart", CONTROL_RESTART, arguments);
}

/* ---- kill -------------------------------------------------------------------------------------------------------- */

static bool end_process(uint64_t id, char text[PROCESS_TEXT_SIZE])
{
    uintptr_t saved = lock_take(&objects_lock);
    struct process *process = process_by_id(id);
    bool alive = process != NULL && process->state < PROCESS_ENDING;

    if (alive) {
        process_text(process, text);
        audit(AUDIT_CONSOLE, NULL, process, OBJECT_PROCESS, 0);
        process_end(process, END_CONSOLE, 0);
    }
    lock_release(&objects_lock, saved);
    return alive;
}

/* Whether init was about to start it again, which it does not do now. */
static bool init_gives_up(const char *name)
{
    struct control_request request = {0};
    struct control_answer answer = {0};
    enum status said = STATUS_OK;

    return text_copy(request.name, name, sizeof request.name) < sizeof request.name &&
           ask(CONTROL_KILL, &request, &answer, &said) == STATUS_OK && said == STATUS_OK;
}

void run_kill(struct printer *out, const char *arguments)
{
    char name[NAME_SIZE + 1], text[PROCESS_TEXT_SIZE];
    uint64_t id = find_word(arguments, name);

    if (id != 0 && end_process(id, text))
        print(out, "%s is ended\n", text);
    else if (name[0] != '\0' && init_gives_up(name))
        print(out, "%s will not be started again\n", name);
    else if (id != 0)
        print(out, "it has ended already\n");
    else
        named(out, arguments, "kill");
}

/* ---- audit ------------------------------------------------------------------------------------------------------- */

void run_audit(struct printer *out, const char *arguments)
{
    (void)arguments;
    audit_report(out);
}
