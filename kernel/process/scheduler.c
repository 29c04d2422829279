/*
 * scheduler.c: who runs on which CPU, and for how long.
 *
 * Fixed priorities, a run queue for each CPU, round robin among equals. A thread is charged to the scheduling context
 * that it runs on; one that is used up waits, throttled, for its next period, so that no priority starves the rest. One
 * timer for each CPU, armed only for what can happen: a budget that ends, a slice when an equal waits, a period that
 * begins. A CPU without work takes the most urgent thread that it may from the others' queues.
 *
 * The kernel's own thread on a CPU (the boot CPU's: drivers, console, self-tests) goes before all others: it runs when
 * an interrupt was not for threads only, or another CPU has called ipi_wake.
 */
#include "ipc.h"
#include "thread.h"

#include <kernel/trace.h>

#include <lib/malloc.h>
#include <platform/ipi.h>

#define SLICE_NS (5 * NANOSECONDS_PER_MILLISECOND)
/* Shorter than this is not worth an interrupt. */
#define GRAIN_NS (20 * NANOSECONDS_PER_MICROSECOND)

static uint64_t idle_cpus; /* a bit each; under the lock */

static struct scheduler *own(void)
{
    return cpu_local()->scheduler;
}

static struct scheduler *scheduler_at(unsigned index)
{
    struct cpu *cpu = cpu_at(index);

    return cpu != NULL ? cpu->scheduler : NULL;
}

struct thread *thread_current(void)
{
    struct scheduler *scheduler = own();

    return scheduler != NULL ? scheduler->current : NULL;
}

static void set_idle(const struct cpu *cpu, bool idle)
{
    uint64_t bit = UINT64_C(1) << cpu->index;

    idle_cpus = idle ? idle_cpus | bit : idle_cpus & ~bit;
}

/* ---- Run queues ---------------------------------------------------------------------------------------------------
 */

static void enqueue(struct scheduler *scheduler, struct thread *thread, bool first)
{
    struct thread_queue *queue = &scheduler->queues[thread->effective_priority];

    thread->state = THREAD_READY;
    thread->cpu = scheduler->cpu->index;
    if (!first)
        thread->slice_left_ns = 0;
    scheduler->ready |= 1u << thread->effective_priority;
    queue_insert_behind(queue, &thread->run_link, first ? NULL : queue->last);
}

static void dequeue(struct scheduler *scheduler, struct thread *thread)
{
    uint32_t priority = thread->effective_priority;

    queue_remove(&scheduler->queues[priority], &thread->run_link);
    if (scheduler->queues[priority].first == NULL)
        scheduler->ready &= ~(1u << priority);
}

void thread_unqueue(struct thread *thread)
{
    struct scheduler *scheduler = scheduler_at(thread->cpu);

    if (thread->state == THREAD_THROTTLED)
        queue_remove(&scheduler->throttled, &thread->run_link);
    else
        dequeue(scheduler, thread);
    thread->state = THREAD_BLOCKED;
}

/* It looks for work before it sleeps again; until then it is not idle for others, who find another CPU. */
static void wake_cpu(struct cpu *cpu)
{
    set_idle(cpu, false);
    ipi_wake(cpu);
}

static void look_again(struct scheduler *scheduler)
{
    scheduler->look_again = true;
    if (scheduler->cpu == cpu_local())
        return;
    if (scheduler->current != NULL)
        ipi_send(scheduler->cpu, IPI_WAKE);
    else
        wake_cpu(scheduler->cpu);
}

void thread_interrupt(struct thread *thread)
{
    look_again(scheduler_at(thread->cpu));
}

/* ---- Where a thread goes ------------------------------------------------------------------------------------------
 */

static bool may_run_on(const struct thread *thread, unsigned cpu)
{
    return (thread->cpus >> cpu & 1) != 0 && scheduler_at(cpu) != NULL;
}

/* How urgent what runs there is; the kernel's own thread before all. */
static int urgency_at(const struct scheduler *scheduler)
{
    if ((idle_cpus >> scheduler->cpu->index & 1) != 0)
        return -1;
    return scheduler->current != NULL ? (int)scheduler->current->effective_priority : PRIORITIES;
}

/* Where it ran last, if that CPU is idle or does something less urgent; else an idle one; else where the least urgent
 * runs. */
static struct scheduler *choose(const struct thread *thread)
{
    struct scheduler *best = may_run_on(thread, thread->cpu) ? scheduler_at(thread->cpu) : NULL;
    int urgency = best != NULL ? urgency_at(best) : PRIORITIES + 1;

    if (urgency < (int)thread->effective_priority)
        return best;
    for (unsigned i = 0; i < cpu_count() && urgency >= 0; i++) {
        if (!may_run_on(thread, i) || urgency_at(scheduler_at(i)) >= urgency)
            continue;
        best = scheduler_at(i);
        urgency = urgency_at(best);
    }
    return best;
}

static void refill(struct context *context, uint64_t now)
{
    if (context->budget_ns != 0 && now >= context->period_end_ns) {
        context->left_ns = (int64_t)context->budget_ns;
        context->period_end_ns = now + context->period_ns;
    }
}

/* Behind those whose period ends no later. */
static void throttle(struct scheduler *scheduler, struct thread *thread, uint64_t now)
{
    struct queue_link *before = scheduler->throttled.last;
    uint64_t end = thread->running_on->period_end_ns;

    while (before != NULL && before->thread->running_on->period_end_ns > end)
        before = before->previous;
    trace(TRACE_THROTTLE, thread->id, end - now);
    thread->state = THREAD_THROTTLED;
    thread->cpu = scheduler->cpu->index;
    queue_insert_behind(&scheduler->throttled, &thread->run_link, before);
}

static bool used_up(const struct thread *thread)
{
    const struct context *context = thread->running_on;

    return context != NULL && context->budget_ns != 0 && context->budget_ns < context->period_ns &&
           context->left_ns <= 0;
}

/* Not running: into a run queue, or among the throttled. */
static void make_ready(struct scheduler *scheduler, struct thread *thread, bool first, uint64_t now)
{
    if (used_up(thread) && thread->running_on != &thread->own)
        context_exhausted(thread);
    refill(thread->running_on, now);
    if (used_up(thread))
        throttle(scheduler, thread, now);
    else
        enqueue(scheduler, thread, first);
}

void thread_wake(struct thread *thread)
{
    if (thread->kernel_call != NULL) {
        kernel_call_answered(thread);
        return;
    }
    struct scheduler *scheduler = choose(thread);

    /* None of its CPUs runs threads: it waits for ever, where it can be found. */
    if (scheduler == NULL)
        scheduler = scheduler_at(0);
    make_ready(scheduler, thread, false, clock_now());
    trace(TRACE_WAKE, thread->id, scheduler->cpu->index);
    if (thread->state == THREAD_THROTTLED || urgency_at(scheduler) < (int)thread->effective_priority ||
        (urgency_at(scheduler) == (int)thread->effective_priority && thread->run_link.previous == NULL))
        look_again(scheduler); /* the first that waits behind an equal: from now on that one has slices */
}

/* ---- Time ---------------------------------------------------------------------------------------------------------
 */

static void charge(struct scheduler *scheduler)
{
    struct thread *thread = scheduler->current;
    uint64_t now = counter_read(), ticks = now - scheduler->since_counter;

    scheduler->since_counter = now;
    if (thread == NULL || (int64_t)ticks < 0)
        return;
    thread->ticks += ticks;
    if (thread->running_on != NULL)
        thread->running_on->left_ns -= (int64_t)clock_duration(ticks);
}

void thread_charge(const struct thread *thread)
{
    struct scheduler *scheduler = scheduler_at(thread->cpu);

    if (scheduler != NULL && scheduler->current == thread)
        charge(scheduler);
}

static void timer_fired(struct timer *timer)
{
    struct scheduler *scheduler = timer->context;

    scheduler->look_again = true;
}

static bool limited(const struct context *context)
{
    return context->budget_ns < context->period_ns;
}

/* An alarm that comes too early does no harm but its interrupt, so one that is armed for no later than needed stays. */
static void arm(struct scheduler *scheduler, uint64_t now)
{
    const struct thread *thread = scheduler->current;
    uint64_t next = DEADLINE_NEVER, soonest = now + GRAIN_NS;

    scheduler->armed_for = thread != NULL ? thread->running_on->promise : 0;
    if (scheduler->throttled.first != NULL)
        next = scheduler->throttled.first->thread->running_on->period_end_ns;
    if (thread != NULL && limited(thread->running_on)) {
        uint64_t end = now + (uint64_t)(thread->running_on->left_ns > 0 ? thread->running_on->left_ns : 0);
        next = end < next ? end : next;
    }
    if (thread != NULL && scheduler->queues[thread->effective_priority].first != NULL && scheduler->slice_end_ns < next)
        next = scheduler->slice_end_ns;
    if (next < soonest)
        next = soonest;
    if (next != DEADLINE_NEVER && (!scheduler->timer.armed || next < scheduler->timer.deadline_ns))
        timer_start(&scheduler->timer, next);
}

/* The current thread has not come by schedule(): does anything more urgent wait, and will it be interrupted in time,
 * when its budget ends or for an equal? Mostly it runs on what the one before it ran on, and nobody waits. */
static void look_after_hand_over(struct scheduler *scheduler)
{
    const struct thread *thread = scheduler->current;
    uint32_t waiting = scheduler->ready >> thread->effective_priority;

    if (waiting > 1)
        scheduler->look_again = true;
    else if ((limited(thread->running_on) && thread->running_on->promise != scheduler->armed_for) ||
             (waiting == 1 && (!scheduler->timer.armed || scheduler->timer.deadline_ns > scheduler->slice_end_ns)))
        arm(scheduler, clock_now());
}

/* Those whose next period has begun. */
static void release_throttled(struct scheduler *scheduler, uint64_t now)
{
    while (scheduler->throttled.first != NULL && scheduler->throttled.first->thread->running_on->period_end_ns <= now) {
        struct thread *thread = scheduler->throttled.first->thread;
        thread_unqueue(thread);
        make_ready(scheduler, thread, false, now);
    }
}

/* ---- Who is next --------------------------------------------------------------------------------------------------
 */

static struct thread *first_ready(const struct scheduler *scheduler)
{
    return scheduler->ready != 0 ? scheduler->queues[31 - __builtin_clz(scheduler->ready)].first->thread : NULL;
}

/* The most urgent of the queue that may run on this CPU. */
static struct thread *first_movable(const struct scheduler *from, unsigned cpu)
{
    for (uint32_t left = from->ready; left != 0;) {
        uint32_t priority = 31 - (uint32_t)__builtin_clz(left);
        for (struct queue_link *link = from->queues[priority].first; link != NULL; link = link->next)
            if (may_run_on(link->thread, cpu))
                return link->thread;
        left &= ~(1u << priority);
    }
    return NULL;
}

static struct thread *steal(struct scheduler *scheduler)
{
    unsigned self = scheduler->cpu->index;
    struct thread *best = NULL;

    for (unsigned i = 0; i < cpu_count(); i++) {
        struct scheduler *from = scheduler_at(i);
        struct thread *found = i != self && from != NULL ? first_movable(from, self) : NULL;
        if (found != NULL && (best == NULL || found->effective_priority > best->effective_priority))
            best = found;
    }
    if (best != NULL)
        scheduler->steals++;
    return best;
}

static struct thread *pick(struct scheduler *scheduler)
{
    struct thread *next = first_ready(scheduler);

    if (next == NULL)
        next = steal(scheduler);
    if (next != NULL)
        dequeue(scheduler_at(next->cpu), next);
    return next;
}

/* `from` has this CPU's registers and address space; NULL: nobody. `to` gets them. */
static void load(struct scheduler *scheduler, struct thread *from, struct thread *to)
{
    scheduler->current = to;
    if (to != NULL) {
        to->state = THREAD_RUNNING;
        to->cpu = scheduler->cpu->index;
    }
    if (from == to)
        return;
    if (from == NULL || to == NULL || from->process != to->process)
        space_activate(to != NULL ? &to->process->space : NULL);
    user_switch(from != NULL ? &from->context : NULL, to != NULL ? &to->context : NULL);
    if (to != NULL && to->process->id != scheduler->last_process) {
        user_forget_predictions();
        scheduler->last_process = to->process->id;
    }
}

void thread_hand_over(struct thread *to)
{
    struct scheduler *scheduler = own();
    struct thread *from = scheduler->current;

    if (from == NULL || to->kernel_call != NULL || !may_run_on(to, scheduler->cpu->index) || used_up(to)) {
        thread_wake(to);
        return;
    }
    scheduler->hand_overs++;
    trace(TRACE_HAND_OVER, from->id, to->id);
    charge(scheduler);
    load(scheduler, from, to);
    look_after_hand_over(scheduler);
}

void thread_yield(void)
{
    struct scheduler *scheduler = own();

    scheduler->slice_end_ns = 0;
    scheduler->look_again = true;
}

/* The current thread leaves the CPU, for the moment or for good. */
static void put_back(struct scheduler *scheduler, struct thread *thread, uint64_t now)
{
    if (thread->ending) {
        thread_stopped(thread);
        return;
    }
    if (thread->state == THREAD_BLOCKED)
        trace(TRACE_BLOCK, thread->id, thread->wait);
    if (thread->state != THREAD_RUNNING)
        return;
    thread->state = THREAD_BLOCKED;
    thread->slice_left_ns = now < scheduler->slice_end_ns ? scheduler->slice_end_ns - now : 0;
    if (may_run_on(thread, scheduler->cpu->index))
        make_ready(scheduler, thread, thread->slice_left_ns != 0, now);
    else
        thread_wake(thread);
}

static void offer_work_of(const struct scheduler *scheduler)
{
    for (uint64_t left = scheduler->ready != 0 ? idle_cpus : 0; left != 0; left &= left - 1) {
        unsigned idle = (unsigned)__builtin_ctzll(left);
        if (first_movable(scheduler, idle) != NULL) {
            wake_cpu(cpu_at(idle));
            return;
        }
    }
}

/* A CPU that sleeps may take what waits here, or elsewhere: one that was woken for that may have found something else
 * to do when it came. */
static void offer_work(void)
{
    for (unsigned i = 0; i < cpu_count() && idle_cpus != 0; i++)
        if (scheduler_at(i) != NULL)
            offer_work_of(scheduler_at(i));
}

static bool kernel_is_wanted(const struct cpu *cpu)
{
    return cpu->kernel_wanted || __atomic_load_n(&cpu->woken, __ATOMIC_SEQ_CST);
}

/* What was left of its slice when something more urgent came, or else a whole one. */
static void begin_slice(struct scheduler *scheduler, struct thread *thread, uint64_t now)
{
    scheduler->slice_end_ns = now + (thread->slice_left_ns != 0 ? thread->slice_left_ns : SLICE_NS);
    thread->slice_left_ns = 0;
}

struct user_context *schedule(void)
{
    struct scheduler *scheduler = own();
    struct thread *was = scheduler->current, *next = NULL;
    bool kernel = kernel_is_wanted(scheduler->cpu);

    if (was != NULL && was->state == THREAD_RUNNING && !scheduler->look_again && !kernel && !was->ending)
        return &was->context;

    uint64_t now = clock_now();
    charge(scheduler);
    scheduler->look_again = false;
    release_throttled(scheduler, now);
    /* What it leaves in registers is saved before anybody else may go on with it. */
    if (was != NULL)
        user_switch(&was->context, NULL);
    scheduler->current = NULL;
    if (was != NULL)
        put_back(scheduler, was, now);
    if (!kernel)
        next = pick(scheduler);
    if (next != was)
        scheduler->switches++;
    if (next == NULL) {
        if (was != NULL)
            trace(TRACE_SWITCH, was->id, 0);
        space_activate(NULL);
    } else {
        trace(TRACE_SWITCH, was != NULL ? was->id : 0, next->id);
        begin_slice(scheduler, next, now);
        load(scheduler, NULL, next);
    }
    offer_work();
    arm(scheduler, now);
    return next != NULL ? &next->context : NULL;
}

/* ---- The kernel's own thread lends the CPU ------------------------------------------------------------------------
 */

bool scheduler_init_cpu(struct cpu *cpu)
{
    struct scheduler *scheduler = calloc(1, sizeof *scheduler);

    if (scheduler == NULL)
        return false;
    scheduler->cpu = cpu;
    scheduler->timer = (struct timer){.fire = timer_fired, .context = scheduler, .for_threads = true};
    cpu->scheduler = scheduler;
    return true;
}

/* See ipi_wake: first it is said that this CPU may be interrupted, then looked whether somebody wants it. */
void scheduler_lend(void)
{
    struct cpu *cpu = cpu_local();

    if (cpu->scheduler == NULL) {
        clock_sleep();
        return;
    }
    cpu->kernel_wanted = false;
    __atomic_store_n(&cpu->lending, true, __ATOMIC_SEQ_CST);
    if (!__atomic_exchange_n(&cpu->woken, false, __ATOMIC_SEQ_CST)) {
        uintptr_t saved = lock_take(&objects_lock);
        struct user_context *context = schedule();
        set_idle(cpu, context == NULL);
        lock_release(&objects_lock, saved);
        if (context != NULL) {
            user_run(context);
        } else {
            clock_sleep();
            saved = lock_take(&objects_lock);
            set_idle(cpu, false);
            lock_release(&objects_lock, saved);
        }
    }
    __atomic_store_n(&cpu->lending, false, __ATOMIC_RELAXED);
}
