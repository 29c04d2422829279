/*
 * process.c: how processes begin, end, and are taken apart. Contract in object.h.
 *
 * A process is its parent's to pay for: the struct, and its limits as a whole. Its address space and its table of
 * handles come out of its own limits, like everything it makes.
 */
#include "console_write.h"
#include "ipc.h"

#include <kernel/random.h>
#include <kernel/trace.h>

#include <lib/log.h>
#include <lib/malloc.h>
#include <lib/string.h>
#include <platform/ipi.h>

#include "object_private.h"

/* Steps of processes_reap(). */
enum { HANDLES_AT_ONCE = 64, TABLES_AT_ONCE = 64 };

struct process kernel_process = {.object = {.type = OBJECT_PROCESS, .references = 1, .epoch = 1}, .name = "kernel"};
struct process *processes = &kernel_process;

static uint64_t next_id = 1;
static struct process *ending; /* by next_ending */
static bool look_again;

/* ---- The root -----------------------------------------------------------------------------------------------------
 */

/* A draw costs two blocks of ChaCha20 however little is wanted, and a block is eight words. Under the lock of the
 * objects, like all that asks for one; a word that is given out is not kept. */
static uint64_t random_word(void)
{
    static uint64_t words[8];
    static unsigned left;

    if (left == 0) {
        random_bytes(words, sizeof words);
        left = sizeof words / sizeof words[0];
    }
    uint64_t word = words[--left];
    words[left] = 0;
    return word;
}

/* Of memory, an eighth stays with the kernel's own drivers. What else can be counted is bounded by memory. */
void processes_init(void)
{
    struct frame_counts frames;
    unsigned cpus = cpu_count();

    frames_count(&frames);
    kernel_process.state = PROCESS_RUNNING;
    kernel_process.limits[BUDGET_MEMORY] = (frames.free - frames.free / 8) * PAGE_SIZE;
    kernel_process.limits[BUDGET_HANDLES] = frames.total * (PAGE_SIZE / sizeof(struct handle_slot));
    kernel_process.limits[BUDGET_THREADS] = frames.total;
    kernel_process.limits[BUDGET_OBJECTS] = frames.total * (PAGE_SIZE / 64);
    kernel_process.limits[BUDGET_CPU] = UINT64_C(1000) * cpus;
    kernel_process.cpus = cpus >= 64 ? UINT64_MAX : (UINT64_C(1) << cpus) - 1;
    kernel_process.highest_priority = PRIORITIES - 1;
    kernel_process.created_ns = clock_now();
    handle_table_init(&kernel_process.handles);
    space_start(random_word);
}

/* ---- Beginning ----------------------------------------------------------------------------------------------------
 */

/* A name stands in the log and at the console: it must neither steer a terminal nor look like more than a name. */
static bool name_valid(const char name[NAME_SIZE])
{
    size_t length = strnlen(name, NAME_SIZE);

    for (size_t i = 0; i < length; i++)
        if (!((name[i] >= 'a' && name[i] <= 'z') || (name[i] >= 'A' && name[i] <= 'Z') ||
              (name[i] >= '0' && name[i] <= '9') || name[i] == '-' || name[i] == '_' || name[i] == '.'))
            return false;
    return length > 0 && length < NAME_SIZE;
}

static enum status check(const struct process *parent, const struct process_parameters *parameters)
{
    if (!name_valid(parameters->name) || parameters->reserved != 0 || parameters->highest_priority >= PRIORITIES)
        return STATUS_INVALID;
    if (parent->state != PROCESS_RUNNING)
        return STATUS_PEER_GONE;
    if (parameters->highest_priority > parent->highest_priority || (parameters->cpus & ~parent->cpus) != 0)
        return STATUS_DENIED;
    return STATUS_OK;
}

static bool charge_space(void *payer, int64_t bytes)
{
    if (bytes >= 0)
        return budget_take(payer, BUDGET_MEMORY, (uint64_t)bytes);
    budget_give(payer, BUDGET_MEMORY, (uint64_t)-bytes);
    return true;
}

static void give_limits(struct process *parent, const uint64_t limits[], unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        budget_give(parent, (enum budget)i, limits[i]);
}

static enum status take_limits(struct process *parent, const uint64_t limits[])
{
    for (unsigned i = 0; i < BUDGET_COUNT; i++)
        if (!budget_take(parent, (enum budget)i, limits[i])) {
            give_limits(parent, limits, i);
            return STATUS_LIMIT;
        }
    return STATUS_OK;
}

static void link_process(struct process *process, struct process *parent)
{
    process->parent = parent;
    process->sibling = parent->children;
    parent->children = process;
    process->next = processes;
    processes->previous = process;
    processes = process;
}

enum status process_create(struct process *parent, const struct process_parameters *parameters, struct process **made)
{
    enum status status = check(parent, parameters);
    struct object *object;

    debt_settle(parent);
    if (status == STATUS_OK)
        status = take_limits(parent, parameters->limits);
    if (status != STATUS_OK)
        return status;
    status = object_create(parent, OBJECT_PROCESS, sizeof **made, &object);
    if (status != STATUS_OK)
        goto no_object;
    struct process *process = CONTAINER_OF(object, struct process, object);
    memcpy(process->limits, parameters->limits, sizeof process->limits);
    memcpy(process->name, parameters->name, strnlen(parameters->name, NAME_SIZE - 1));
    handle_table_init(&process->handles);
    status = space_init(&process->space, charge_space, process);
    if (status != STATUS_OK)
        goto no_space;
    process->id = next_id++;
    process->cpus = parameters->cpus != 0 ? parameters->cpus : parent->cpus;
    process->highest_priority = parameters->highest_priority;
    process->created_ns = process->settled_ns = clock_now();
    process->owed_ns = debt_share(parent, process->limits[BUDGET_CPU], UINT64_MAX);
    link_process(process, parent);
    object_hold(object); /* its own, until it has ended */
    trace(TRACE_PROCESS, process->id, PROCESS_NEW);
    *made = process;
    return STATUS_OK;

no_space:
    object_free(object);
no_object:
    give_limits(parent, parameters->limits, BUDGET_COUNT);
    return status;
}

/* ---- Being watched ------------------------------------------------------------------------------------------------
 */

static void drop_watch(struct watch *watch)
{
    *(watch->previous != NULL ? &watch->previous->next : &watch->watched->watches) = watch->next;
    if (watch->next != NULL)
        watch->next->previous = watch->previous;
    *(watch->previous_of_payer != NULL ? &watch->previous_of_payer->next_of_payer : &watch->payer->watching) =
        watch->next_of_payer;
    if (watch->next_of_payer != NULL)
        watch->next_of_payer->previous_of_payer = watch->previous_of_payer;
    budget_give(watch->payer, BUDGET_MEMORY, sizeof *watch);
    object_release(&watch->notification->object);
    free(watch);
}

static void link_watch(struct watch *watch, struct process *payer, struct process *watched)
{
    watch->payer = payer;
    watch->watched = watched;
    watch->next = watched->watches;
    if (watch->next != NULL)
        watch->next->previous = watch;
    watched->watches = watch;
    watch->next_of_payer = payer->watching;
    if (watch->next_of_payer != NULL)
        watch->next_of_payer->previous_of_payer = watch;
    payer->watching = watch;
}

enum status process_watch(struct process *payer, struct process *process, struct notification *notification,
                          uint64_t bits)
{
    if (process->state == PROCESS_ENDED) {
        notification_signal(notification, bits);
        return STATUS_OK;
    }
    unsigned count = 0;
    for (struct watch *watch = payer->watching; watch != NULL; watch = watch->next_of_payer, count++)
        if (watch->watched == process && watch->notification == notification) {
            watch->bits |= bits;
            return STATUS_OK;
        }
    if (payer->state != PROCESS_RUNNING)
        return STATUS_PEER_GONE;
    if (count >= WATCHES_MOST || !budget_take(payer, BUDGET_MEMORY, sizeof(struct watch)))
        return STATUS_LIMIT;
    struct watch *watch = calloc(1, sizeof *watch);
    if (watch == NULL) {
        budget_give(payer, BUDGET_MEMORY, sizeof *watch);
        return STATUS_NO_MEMORY;
    }
    watch->notification = notification;
    watch->bits = bits;
    object_hold(&notification->object);
    link_watch(watch, payer, process);
    return STATUS_OK;
}

void process_info(const struct process *process, struct process_info *info)
{
    uint64_t ticks = process->ended_ticks;

    for (const struct thread *thread = process->threads; thread != NULL; thread = thread->next_in_process)
        ticks += thread->ticks;
    *info = (struct process_info){
        .id = process->id,
        .cpu_ns = clock_duration(ticks),
        .end_code = process->end_code,
        .state = (uint32_t)process->state,
        .end = (uint32_t)process->end,
    };
    memcpy(info->name, process->name, sizeof info->name);
    memcpy(info->limits, process->limits, sizeof info->limits);
    memcpy(info->used, process->used, sizeof info->used);
}

/* ---- Ending -------------------------------------------------------------------------------------------------------
 */

/* The boot CPU may be lent to a thread: then it comes back at the end of this trap, or is interrupted. */
void processes_look_again(void)
{
    __atomic_store_n(&look_again, true, __ATOMIC_SEQ_CST);
    if (cpu_local()->index == 0)
        cpu_local()->kernel_wanted = true;
    else
        ipi_wake(cpu_at(0));
}

static void end_one(struct process *process, enum process_end why, uint64_t code)
{
    struct thread *next;

    if (process->state == PROCESS_ENDING || process->state == PROCESS_ENDED)
        return;
    process->state = PROCESS_ENDING;
    process->end = why;
    process->end_code = code;
    process->next_ending = ending;
    ending = process;
    trace(TRACE_PROCESS, process->id, PROCESS_ENDING);
    for (struct thread *thread = process->threads; thread != NULL; thread = next) {
        next = thread->next_in_process;
        thread_end(thread);
    }
}

/* The next of all that `root` has created, whoever of them: children first, then what is beside, then what is beside
 * above. */
static struct process *next_descendant(const struct process *root, struct process *process)
{
    if (process->children != NULL)
        return process->children;
    while (process != root && process->sibling == NULL)
        process = process->parent;
    return process != root ? process->sibling : NULL;
}

void process_end(struct process *process, enum process_end why, uint64_t code)
{
    if (process == &kernel_process || process->state == PROCESS_ENDING || process->state == PROCESS_ENDED)
        return;
    end_one(process, why, code);
    for (struct process *child = next_descendant(process, process); child != NULL;
         child = next_descendant(process, child))
        end_one(child, END_KILLED, 0);
    processes_look_again();
}

/* One that nobody can start any more has ended. */
void process_released(struct process *process)
{
    if (process->object.references == 1 && process->state == PROCESS_NEW)
        process_end(process, END_KILLED, 0);
}

/* ---- Taking apart -------------------------------------------------------------------------------------------------
 */

static void unlink_child(struct process *process)
{
    struct process **link = &process->parent->children;

    while (*link != process)
        link = &(*link)->sibling;
    *link = process->sibling;
    process->parent = process->sibling = NULL;
}

/* What it has not used is the parent's again; what it has used (others hold what it made) comes with each budget_give
 * from now on. */
static void finish(struct process *process)
{
    struct process *parent = process->parent;

    handle_table_destroy(process);
    process->state = PROCESS_ENDED;
    debt_settle(process);
    debt_settle(parent);
    parent->owed_ns += process->owed_ns;
    for (unsigned i = 0; i < BUDGET_COUNT; i++)
        budget_give(parent, (enum budget)i, process->limits[i] - process->used[i]);
    unlink_child(process);
    trace(TRACE_PROCESS, process->id, PROCESS_ENDED);
    while (process->watches != NULL) {
        struct watch *watch = process->watches;
        notification_signal(watch->notification, watch->bits);
        drop_watch(watch);
    }
    if (parent->state == PROCESS_ENDING)
        processes_look_again();
    object_release(&process->object);
}

enum step { STEP_DONE, STEP_WAITS, STEP_FINISHED };

static enum step take_apart(struct process *process)
{
    if (process->running_count != 0 || space_active(&process->space))
        return STEP_WAITS;
    if (process->line != NULL) {
        console_write_end(process);
        return STEP_DONE;
    }
    if (!handle_close_some(process, HANDLES_AT_ONCE))
        return STEP_DONE;
    if (process->space.mappings != NULL) {
        memory_unmap_mapping(process->space.mappings);
        return STEP_DONE;
    }
    if (process->watching != NULL) {
        drop_watch(process->watching);
        return STEP_DONE;
    }
    if (process->children != NULL)
        return STEP_WAITS;
    return space_destroy(&process->space, TABLES_AT_ONCE) ? STEP_FINISHED : STEP_DONE;
}

static void unlink_ending(struct process *process)
{
    struct process **link = &ending;

    while (*link != process)
        link = &(*link)->next_ending;
    *link = process->next_ending;
    process->next_ending = NULL;
}

static void append_ending(struct process *process)
{
    struct process **link = &ending;

    while (*link != NULL)
        link = &(*link)->next_ending;
    *link = process;
}

/* One step of the first that does not wait; then it goes behind the others. The step itself may end more of them. */
static bool take_one_apart(void)
{
    struct process *process = ending;
    enum step step = STEP_WAITS;

    while (process != NULL && (step = take_apart(process)) == STEP_WAITS)
        process = process->next_ending;
    if (process == NULL)
        return false;
    unlink_ending(process);
    if (step == STEP_FINISHED)
        finish(process);
    else
        append_ending(process);
    return true;
}

bool processes_reap(void)
{
    __atomic_store_n(&look_again, false, __ATOMIC_SEQ_CST);
    bool worked = graveyard_work_off();
    if (!worked) {
        uintptr_t saved = lock_take(&objects_lock);
        worked = take_one_apart();
        lock_release(&objects_lock, saved);
        console_write_last();
    }
    if (worked)
        __atomic_store_n(&look_again, true, __ATOMIC_SEQ_CST);
    return worked;
}

bool processes_ending(void)
{
    return __atomic_load_n(&look_again, __ATOMIC_SEQ_CST);
}

void process_destroy(struct process *process)
{
    if (process->next != NULL)
        process->next->previous = process->previous;
    if (process->previous != NULL)
        process->previous->next = process->next;
    else
        processes = process->next;
    object_free(&process->object);
}
