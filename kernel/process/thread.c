/*
 * thread.c: the life of a thread: made, waiting, ended; and the time that it lends along a call.
 *
 * The memory of a thread: the struct with its extended state behind it, charged to its process, and one page of its
 * own for messages, which is a Memory that the kernel keeps as long as the thread lives.
 */
#include "ipc.h"
#include "thread.h"

#include <lib/malloc.h>
#include <lib/string.h>

static uint64_t next_id = 1, promises;

/* ---- Queues -------------------------------------------------------------------------------------------------------
 */

/* A link that is in no queue points at itself. */
bool queue_contains(const struct queue_link *link)
{
    return link->next != link;
}

void queue_insert_behind(struct thread_queue *queue, struct queue_link *link, struct queue_link *before)
{
    struct queue_link *after = before != NULL ? before->next : queue->first;

    link->previous = before;
    link->next = after;
    *(before != NULL ? &before->next : &queue->first) = link;
    *(after != NULL ? &after->previous : &queue->last) = link;
}

void queue_append(struct thread_queue *queue, struct queue_link *link)
{
    queue_insert_behind(queue, link, queue->last);
}

void queue_insert(struct thread_queue *queue, struct queue_link *link)
{
    struct queue_link *before = queue->last;

    while (before != NULL && before->thread->effective_priority < link->thread->effective_priority)
        before = before->previous;
    queue_insert_behind(queue, link, before);
}

void queue_remove(struct thread_queue *queue, struct queue_link *link)
{
    *(link->previous != NULL ? &link->previous->next : &queue->first) = link->next;
    *(link->next != NULL ? &link->next->previous : &queue->last) = link->previous;
    link->next = link;
}

static void link_init(struct queue_link *link, struct thread *thread)
{
    link->thread = thread;
    link->next = link;
}

/* ---- Time that is lent --------------------------------------------------------------------------------------------
 */

/* On its own context a thread has its own priority, on a caller's also the caller's, and without any promise none. */
static uint32_t effective_priority(const struct thread *thread)
{
    const struct context *context = thread->running_on;

    if (context == NULL || context->budget_ns == 0)
        return 0;
    return context->owner->priority > thread->priority ? context->owner->priority : thread->priority;
}

static struct thread_queue *endpoint_queue(const struct thread *thread)
{
    return thread->wait == WAIT_SEND ? &thread->endpoint->callers : &thread->endpoint->receivers;
}

/* Where it waits for somebody, the most urgent are served first. */
static void queue_anew(struct thread *thread)
{
    if (queue_contains(&thread->endpoint_link)) {
        queue_remove(endpoint_queue(thread), &thread->endpoint_link);
        queue_insert(endpoint_queue(thread), &thread->endpoint_link);
    }
    if (queue_contains(&thread->notification_link)) {
        queue_remove(&thread->notification->waiters, &thread->notification_link);
        queue_insert(&thread->notification->waiters, &thread->notification_link);
    }
}

/* What is queued has its place by priority and context. A context that it leaves must not go on naming it: a server
 * that has taken another call, and ended, would be looked for when the first one's time comes back. */
static void run_on(struct thread *thread, struct context *context)
{
    bool queued = thread->state == THREAD_READY || thread->state == THREAD_THROTTLED;
    uint32_t before = thread->effective_priority;

    if (queued)
        thread_unqueue(thread);
    if (thread->running_on != NULL && thread->running_on->user == thread)
        thread->running_on->user = NULL;
    thread->running_on = context;
    if (context != NULL)
        context->user = thread;
    thread->effective_priority = effective_priority(thread);
    if (queued)
        thread_wake(thread);
    else if (thread->state == THREAD_RUNNING)
        thread_interrupt(thread); /* another priority, and another budget that ends at another time */
    else if (thread->effective_priority != before)
        queue_anew(thread);
}

/* Time without a promise is not worth lending: a server that has some of its own is better off with it. */
void context_lend(struct thread *caller, struct thread *server)
{
    struct context *context = caller->running_on;

    if (context == NULL || context->budget_ns == 0)
        return;
    thread_charge(caller);
    caller->reply.lent = context;
    caller->reply.next_lender = context->lenders;
    context->lenders = caller;
    caller->running_on = NULL;
    run_on(server, context);
}

void context_exhausted(struct thread *thread)
{
    if (thread->running_on != NULL && thread->running_on != &thread->own)
        run_on(thread, &thread->own);
}

/* From whoever has it now. Those who have lent it on since get nothing back. */
void context_take_back(struct thread *caller)
{
    struct context *context = caller->reply.lent;

    if (context == NULL)
        return;
    if (context->user != NULL) {
        thread_charge(context->user);
        context_exhausted(context->user);
    }
    for (struct thread *lender = NULL; lender != caller;) {
        lender = context->lenders;
        context->lenders = lender->reply.next_lender;
        lender->reply.lent = NULL;
        run_on(lender, lender == caller ? context : &lender->own);
    }
}

/* ---- Waiting ------------------------------------------------------------------------------------------------------
 */

bool deadline_passed(uint64_t deadline_ns)
{
    return deadline_ns != DEADLINE_NEVER && (deadline_ns == 0 || deadline_ns <= clock_now());
}

/* The alarm may be an old one that was waiting for the lock while the thread was woken and came to wait anew: then it
 * goes by the new deadline. */
static void deadline_fired(struct timer *timer)
{
    struct thread *thread = timer->context;
    uintptr_t saved = lock_take(&objects_lock);

    if (thread->state == THREAD_BLOCKED && thread->deadline_ns <= clock_now()) {
        thread_finish(thread, STATUS_TIMED_OUT, 0);
        thread_wake(thread);
    }
    lock_release(&objects_lock, saved);
}

void thread_block(struct thread *thread, enum thread_wait wait, uint64_t deadline_ns)
{
    thread->state = THREAD_BLOCKED;
    thread->wait = wait;
    thread->deadline_ns = deadline_ns;
    if (deadline_ns != DEADLINE_NEVER)
        timer_start(&thread->timer, deadline_ns);
}

/* Out of the queues that it waits in, and of the call that it waits for. */
static void stop_waiting(struct thread *thread)
{
    if (queue_contains(&thread->endpoint_link))
        queue_remove(endpoint_queue(thread), &thread->endpoint_link);
    if (queue_contains(&thread->notification_link))
        queue_remove(&thread->notification->waiters, &thread->notification_link);
    if (thread->wait == WAIT_REPLY) {
        thread->reply.object.epoch++; /* an answer that comes now is none */
        handle_end_reply(&thread->reply);
        context_take_back(thread);
    }
    if (thread->deadline_ns != DEADLINE_NEVER)
        timer_cancel_soon(&thread->timer);
    thread->wait = WAIT_NOTHING;
    thread->deadline_ns = DEADLINE_NEVER;
}

void thread_finish(struct thread *thread, enum status status, uint64_t value)
{
    stop_waiting(thread);
    if (thread->kernel_call != NULL) {
        thread->finish_status = status;
        thread->finish_value = value;
        return;
    }
    user_set_result(&thread->context, status, value);
}

/* ---- Made ---------------------------------------------------------------------------------------------------------
 */

void thread_init(struct thread *thread, struct process *process)
{
    thread->reply.object = (struct object){.type = OBJECT_REPLY, .epoch = 1, .payer = process};
    thread->reply.caller = thread;
    thread->process = process;
    thread->id = next_id++;
    thread->deadline_ns = DEADLINE_NEVER;
    thread->timer = (struct timer){.fire = deadline_fired, .context = thread, .for_threads = true};
    thread->own.owner = thread;
    thread->running_on = &thread->own;
    link_init(&thread->run_link, thread);
    link_init(&thread->endpoint_link, thread);
    link_init(&thread->notification_link, thread);
}

static enum status make_buffer(struct thread *thread)
{
    struct process *process = thread->process;
    enum status status = memory_create(process, PAGE_SIZE, &thread->buffer_memory);

    if (status != STATUS_OK)
        return status;
    status = memory_map(process, thread->buffer_memory, RIGHT_READ | RIGHT_WRITE, 0, 0, PAGE_SIZE,
                        RIGHT_READ | RIGHT_WRITE, &thread->buffer_at);
    if (status != STATUS_OK) {
        object_release(&thread->buffer_memory->object);
        thread->buffer_memory = NULL;
        return status;
    }
    thread->buffer = physical_to_virtual(thread->buffer_memory->pages.run[0].physical);
    return STATUS_OK;
}

/* Its page, as far as the process has not unmapped it itself. In a process that ends it stays mapped until all is taken
 * away: many threads may end at once, and each unmapping waits for other CPUs. */
static void drop_buffer(struct thread *thread)
{
    struct memory *memory = thread->buffer_memory;

    if (memory == NULL)
        return;
    while (memory->mappings != NULL && thread->process->state == PROCESS_RUNNING)
        memory_unmap_mapping(memory->mappings);
    thread->buffer_memory = NULL;
    object_release(&memory->object);
}

/* What it has used before it was due is the process's debt now. */
static void give_up_promise(struct thread *thread)
{
    struct process *process = thread->process;
    struct context *own = &thread->own;
    uint64_t now = clock_now(), remaining = now < own->period_end_ns ? own->period_end_ns - now : 0;

    debt_settle(process);
    process->owed_ns += rule_used_ahead(own->budget_ns, own->period_ns, own->left_ns, remaining);
    budget_give(process, BUDGET_CPU, own->promille);
    own->promille = 0;
}

/* A period begins. */
static void set_promise(struct thread *thread, const struct thread_parameters *parameters, uint64_t promille)
{
    struct context *own = &thread->own;

    own->budget_ns = parameters->budget_ns;
    own->period_ns = parameters->period_ns;
    /* Who is promised all of a CPU never waits for a period, and so could not pay. */
    uint64_t most_ns = own->budget_ns < own->period_ns ? own->budget_ns : 0;
    own->left_ns = (int64_t)parameters->budget_ns - (int64_t)debt_share(thread->process, promille, most_ns);
    own->period_end_ns = clock_now() + parameters->period_ns;
    own->promille = promille;
    own->promise = ++promises;
}

/* The promise of its time, in place of the one that it has; whoever it is lent to goes by the new one, too. */
static enum status promise(struct thread *thread, const struct thread_parameters *parameters)
{
    struct process *process = thread->process;
    struct context *own = &thread->own;
    uint64_t promille, cpus = parameters->cpus == 0 ? process->cpus : parameters->cpus;
    enum status status = rule_thread(parameters, process->highest_priority, process->cpus, &promille);

    if (status != STATUS_OK)
        return status;
    if (promille > own->promille &&
        !rule_budget(process->limits[BUDGET_CPU], process->used[BUDGET_CPU], promille - own->promille))
        return STATUS_LIMIT;
    thread_charge(own->user != NULL ? own->user : thread);
    give_up_promise(thread);
    budget_take(process, BUDGET_CPU, promille);
    set_promise(thread, parameters, promille);
    thread->priority = parameters->priority;
    thread->cpus = cpus;
    run_on(thread, thread->running_on);
    if (own->user != NULL && own->user != thread) {
        if (own->budget_ns == 0)
            context_exhausted(own->user);
        else
            run_on(own->user, own);
    }
    return STATUS_OK;
}

/* Into the process's list, whose reference is what its object begins with. */
static void begin(struct thread *thread, const struct thread_parameters *parameters)
{
    struct process *process = thread->process;
    uintptr_t behind = (uintptr_t)(thread + 1) + USER_EXTENDED_ALIGNMENT - 1;

    thread->context.extended = (void *)(behind & ~(uintptr_t)(USER_EXTENDED_ALIGNMENT - 1));
    user_context_init(&thread->context, parameters->entry, parameters->stack, parameters->argument, thread->buffer_at);
    thread->next_in_process = process->threads;
    process->threads = thread;
    process->thread_count++;
    if (process->state == PROCESS_NEW)
        process->state = PROCESS_RUNNING;
    thread_wake(thread);
}

enum status thread_create(struct process *process, const struct thread_parameters *parameters, struct thread **made)
{
    size_t size = sizeof(struct thread) + user_extended_size() + USER_EXTENDED_ALIGNMENT;

    if (process->state == PROCESS_ENDING || process->state == PROCESS_ENDED)
        return STATUS_PEER_GONE;
    if (parameters->entry < USER_BOTTOM || parameters->entry >= USER_TOP || parameters->stack > USER_TOP ||
        parameters->stack % 16 != 0)
        return STATUS_INVALID;
    struct thread *thread = calloc(1, size);
    if (thread == NULL)
        return STATUS_NO_MEMORY;
    enum status status = object_init(&thread->object, process, OBJECT_THREAD, size);
    if (status != STATUS_OK)
        goto no_object;
    thread_init(thread, process);
    status = promise(thread, parameters);
    if (status != STATUS_OK)
        goto no_promise;
    status = make_buffer(thread);
    if (status != STATUS_OK)
        goto no_buffer;
    begin(thread, parameters);
    *made = thread;
    return STATUS_OK;

no_buffer:
    give_up_promise(thread);
no_promise:
    object_forget(&thread->object);
no_object:
    free(thread);
    return status;
}

enum status thread_configure(struct thread *thread, const struct thread_parameters *parameters)
{
    if (thread->ending)
        return STATUS_PEER_GONE;
    return promise(thread, parameters);
}

void thread_info(const struct thread *thread, struct thread_info *info)
{
    *info = (struct thread_info){
        .id = thread->id,
        .process_id = thread->process->id,
        .cpu_ns = clock_duration(thread->ticks),
        .budget_ns = thread->own.budget_ns,
        .period_ns = thread->own.period_ns,
        .cpus = thread->cpus,
        .priority = thread->priority,
        .cpu = thread->cpu,
    };
}

/* ---- Ended --------------------------------------------------------------------------------------------------------
 */

/* It is on no CPU any more. What it was promised goes back now; its memory when the last handle has gone. */
static void thread_gone(struct thread *thread)
{
    struct process *process = thread->process;
    struct thread **link = &process->threads;

    while (*link != thread)
        link = &(*link)->next_in_process;
    *link = thread->next_in_process;
    thread->state = THREAD_ENDED;
    process->thread_count--;
    process->ended_ticks += thread->ticks;
    give_up_promise(thread);
    drop_buffer(thread);
    object_release(&thread->object);
    if (process->thread_count == 0 && process->state == PROCESS_RUNNING)
        process_end(process, END_EXIT, 0);
}

void thread_end(struct thread *thread)
{
    if (thread->ending)
        return;
    thread->ending = true;
    thread->reply.object.epoch++;
    switch (thread->state) {
    case THREAD_RUNNING:
        thread->process->running_count++;
        thread_interrupt(thread);
        return;
    case THREAD_READY:
    case THREAD_THROTTLED:
        thread_unqueue(thread);
        break;
    case THREAD_BLOCKED:
        stop_waiting(thread);
        break;
    default:
        break;
    }
    context_exhausted(thread);
    thread_gone(thread);
}

void thread_stopped(struct thread *thread)
{
    struct process *process = thread->process;

    context_exhausted(thread);
    if (--process->running_count == 0 && process->state == PROCESS_ENDING)
        processes_look_again();
    thread_gone(thread);
}

void thread_destroy(struct thread *thread)
{
    object_forget(&thread->object);
    free(thread);
}
