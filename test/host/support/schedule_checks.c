/* schedule_checks.c: what holds of all threads, queues and CPUs between any two steps. */
#include <stdio.h>
#include <stdlib.h>

#include "schedules.h"

static unsigned times_queued(const struct thread_queue *queue, const struct queue_link *link)
{
    unsigned times = 0;
    const struct queue_link *before = NULL;

    for (const struct queue_link *at = queue->first; at != NULL; before = at, at = at->next) {
        CHECK(at->previous == before);
        times += at == link;
    }
    CHECK(queue->last == before);
    return times;
}

/* Handles by which the thread's call can be answered. */
static unsigned replies_to(const struct thread *thread)
{
    unsigned found = 0;

    for (const struct process *process = processes; process != NULL; process = process->next)
        for (uint32_t i = 0; process->handles.slots != NULL && i < process->handles.capacity; i++)
            found += process->handles.slots[i].object == &thread->reply.object &&
                     process->handles.slots[i].epoch == thread->reply.object.epoch;
    return found;
}

/* Where somebody waits, the most urgent come first. */
static void check_order(const struct thread_queue *queue)
{
    for (const struct queue_link *at = queue->first; at != NULL && at->next != NULL; at = at->next)
        CHECK(at->thread->effective_priority >= at->next->thread->effective_priority);
}

static void check_waiting(const struct thread *thread)
{
    CHECK(thread->wait != WAIT_NOTHING);
    if (thread->wait == WAIT_SEND)
        CHECK(times_queued(&thread->endpoint->callers, &thread->endpoint_link) == 1);
    else if (thread->wait == WAIT_EVENT && queue_contains(&thread->endpoint_link))
        CHECK(times_queued(&thread->endpoint->receivers, &thread->endpoint_link) == 1);
    if (queue_contains(&thread->notification_link)) {
        CHECK(times_queued(&thread->notification->waiters, &thread->notification_link) == 1);
        check_order(&thread->notification->waiters);
    }
    if (queue_contains(&thread->endpoint_link)) {
        check_order(&thread->endpoint->callers);
        check_order(&thread->endpoint->receivers);
    }
    if (thread->wait == WAIT_REPLY)
        CHECK(replies_to(thread) == 1);
    if (thread->wait == WAIT_SEND || (thread->wait == WAIT_EVENT && queue_contains(&thread->endpoint_link)))
        CHECK(thread->endpoint->callers.first == NULL || thread->endpoint->receivers.first == NULL);
}

static void check_thread(const struct thread *thread)
{
    unsigned queued = 0, current = 0;

    for (unsigned i = 0; i < WORLD_CPUS; i++) {
        const struct scheduler *scheduler = cpu_at(i)->scheduler;
        current += scheduler->current == thread;
        for (unsigned priority = 0; priority < PRIORITIES; priority++) {
            unsigned times = times_queued(&scheduler->queues[priority], &thread->run_link);
            CHECK(times == 0 || (thread->cpu == i && thread->effective_priority == priority));
            queued += times;
        }
        queued += times_queued(&scheduler->throttled, &thread->run_link);
    }
    CHECK(current == (thread->state == THREAD_RUNNING));
    CHECK(queued == (thread->state == THREAD_READY || thread->state == THREAD_THROTTLED));
    if (thread->state == THREAD_BLOCKED)
        check_waiting(thread);
    if (thread->running_on != NULL && thread->running_on != &thread->own)
        CHECK(thread->running_on->user == thread && thread->running_on->owner->running_on == NULL);
    CHECK(thread->own.user == NULL || thread->own.user->running_on == &thread->own);
    CHECK(thread->running_on != NULL || (thread->state == THREAD_BLOCKED && thread->reply.lent != NULL));
}

/* No handle keeps a thread whose call is over. */
static void check_replies(const struct process *process)
{
    for (uint32_t i = 0; process->handles.slots != NULL && i < process->handles.capacity; i++) {
        const struct object *object = process->handles.slots[i].object;
        if (object == NULL || object->type != OBJECT_REPLY || object == &ended_reply.object)
            continue;
        const struct thread *caller = ((const struct reply *)object)->caller;
        CHECK(caller->state == THREAD_BLOCKED && caller->wait == WAIT_REPLY);
        CHECK(caller->reply.holder == process && caller->reply.slot == i);
    }
}

static bool will_look(unsigned index)
{
    const struct cpu *cpu = cpu_at(index);
    bool due = false;

    for (unsigned i = 0; i < armed_count; i++)
        due |= armed[i]->cpu == cpu && armed[i]->deadline_ns <= now_ns;
    return !cpus[index].asleep || cpus[index].ipi || due || cpu->woken;
}

/* Whoever runs is interrupted when his budget ends, when an equal has waited for a slice's length, and for anybody more
 * urgent. */
static void check_current(unsigned index)
{
    const struct scheduler *scheduler = cpu_at(index)->scheduler;
    const struct thread *thread = scheduler->current;

    if (thread == NULL || thread->state != THREAD_RUNNING || thread->ending || scheduler->look_again ||
        cpu_at(index)->kernel_wanted || cpu_at(index)->woken || firing[index] == &scheduler->timer)
        return;
    uint32_t waiting = scheduler->ready >> thread->effective_priority;
    uint64_t alarm = scheduler->timer.armed ? scheduler->timer.deadline_ns : UINT64_MAX,
             grain = 20 * NANOSECONDS_PER_MICROSECOND;
    int64_t budget = thread->running_on->left_ns;
    CHECK(waiting <= 1);
    if (waiting != 0)
        CHECK(alarm <= scheduler->slice_end_ns || alarm <= now_ns + grain);
    if (thread->running_on->budget_ns < thread->running_on->period_ns)
        CHECK(alarm <= now_ns + (uint64_t)(budget > 0 ? budget : 0) + grain);
}

/* As long as nobody is about to look, no CPU sleeps for whom another one has work. */
static void check_sleepers(void)
{
    for (unsigned i = 0; i < WORLD_CPUS; i++) {
        const struct scheduler *scheduler = cpu_at(i)->scheduler;
        if (scheduler->current != NULL ? scheduler->look_again || cpus[i].ipi : will_look(i))
            return;
    }
    for (unsigned i = 0; i < WORLD_CPUS; i++)
        for (unsigned priority = 0; priority < PRIORITIES; priority++)
            for (const struct queue_link *link = ((struct scheduler *)cpu_at(i)->scheduler)->queues[priority].first;
                 link != NULL; link = link->next)
                for (unsigned sleeper = 0; sleeper < WORLD_CPUS; sleeper++)
                    CHECK((link->thread->cpus >> sleeper & 1) == 0 || !cpus[sleeper].asleep);
}

void check_world(void)
{
    if (over)
        return;
    check_sleepers();
    for (unsigned i = 0; i < WORLD_CPUS; i++) {
        const struct scheduler *scheduler = cpu_at(i)->scheduler;
        CHECK(scheduler->ready == 0 || will_look(i));
        check_current(i);
        for (unsigned priority = 0; priority < PRIORITIES; priority++)
            CHECK((scheduler->queues[priority].first != NULL) == (scheduler->ready >> priority & 1));
    }
    if (roll(8) != 0)
        return;
    for (const struct process *process = processes; process != NULL; process = process->next) {
        check_replies(process);
        for (const struct thread *thread = process->threads; thread != NULL; thread = thread->next_in_process)
            check_thread(thread);
    }
}
