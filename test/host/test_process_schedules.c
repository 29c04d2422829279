/*
 * test_process_schedules.c: threads, IPC and teardown on four CPUs, in interleavings that a seed decides.
 *
 * The kernel's own files are linked (scheduler.c, thread.c, ipc.c, notification.c, trap.c, and objects below them).
 * Each CPU is a thread of the host, and only the one with the baton runs; it is passed on at each point where the
 * kernel takes or leaves a lock, interrupts another CPU, goes to sleep, or runs a process. What processes do is random,
 * too: calls, answers, waits, transfers, revocations, spawning, dying. A timer that is due is taken from its queue
 * first and fires later, as one does whose CPU waits for the lock.
 *
 * After each step: every thread is in exactly one place, no context is used twice, nobody sleeps while there is work
 * for him. At the end everything is killed, and nothing is left. VMOS_SEED replays a run.
 */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "random.h"
#include "schedules.h"

#include <kernel/process/crash.h>
#include <kernel/process/syscall.h>
#include <platform/ipi.h>

enum { RUNS = 20, STEPS = 10000, THREADS_MOST = 40 };

uint64_t seed;
static struct test_random randomness;

uint64_t roll(uint64_t sides)
{
    return test_random64(&randomness) % sides;
}

/* ---- The baton ----------------------------------------------------------------------------------------------------
 */

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed[WORLD_CPUS];
static unsigned turn;
unsigned steps;
static bool left[WORLD_CPUS], closing;
bool over;
uint64_t now_ns;

struct schedule_cpu cpus[WORLD_CPUS];

static void describe(void)
{
    fprintf(stderr, "closing %d, threads %llu, ending %d\n", closing, (unsigned long long)object_counts[OBJECT_THREAD],
            processes_ending());
    for (unsigned i = 0; i < OBJECT_TYPE_COUNT; i++)
        fprintf(stderr, "%llu of type %u\n", (unsigned long long)object_counts[i], i);
    for (const struct process *process = processes; process != NULL; process = process->next)
        fprintf(stderr, "process %llu: state %d, %u threads, %u running, %u references\n",
                (unsigned long long)process->id, process->state, process->thread_count, process->running_count,
                process->object.references);
    for (unsigned i = 0; i < WORLD_CPUS; i++)
        fprintf(stderr, "cpu %u: asleep %d, ipi %d, current %d, ready %x\n", i, cpus[i].asleep, cpus[i].ipi,
                ((struct scheduler *)cpu_at(i)->scheduler)->current != NULL,
                ((struct scheduler *)cpu_at(i)->scheduler)->ready);
}

static void pass_to(unsigned next)
{
    unsigned self = world_self;

    if (next == self)
        return;
    turn = next;
    pthread_cond_signal(&changed[next]);
    while (turn != self)
        pthread_cond_wait(&changed[self], &mutex);
    world_self = self;
}

static unsigned anyone(void)
{
    unsigned next;

    do
        next = (unsigned)roll(WORLD_CPUS);
    while (left[next]);
    return next;
}

/* Somebody else may go on here. */
static void point(void)
{
    if (objects_lock.owner != NULL || over)
        return;
    steps++;
    now_ns += roll(40) * NANOSECONDS_PER_MICROSECOND;
    if (roll(30) == 0 || steps >= STEPS) { /* a device's interrupt */
        unsigned cpu = steps >= STEPS ? 0 : (unsigned)roll(WORLD_CPUS);
        cpu_at(cpu)->kernel_wanted = cpus[cpu].ipi = true;
    }
    check_world();
    if (steps >= 20 * STEPS)
        describe();
    CHECK(steps < 20 * STEPS); /* it comes to an end */
    if (roll(3) == 0)
        pass_to(anyone());
}

/* ---- What the kernel stands on ------------------------------------------------------------------------------------
 */

uintptr_t lock_take(struct lock *lock)
{
    if (lock == &objects_lock)
        point();
    CHECK(lock->owner == NULL);
    lock->owner = cpu_local();
    return 1;
}

void lock_release(struct lock *lock, uintptr_t saved)
{
    (void)saved;
    CHECK(lock->owner == cpu_local());
    lock->owner = NULL;
    if (lock == &objects_lock)
        point();
}

void lock_enter(struct lock *lock)
{
    lock_take(lock);
}

void lock_leave(struct lock *lock)
{
    lock_release(lock, 0);
}

uint64_t clock_now(void)
{
    return now_ns;
}

uint64_t counter_read(void)
{
    return now_ns / 2;
}

/* Armed ones, and those that are taken out and about to fire on their CPU. */
struct timer *armed[TIMERS_MOST], *firing[WORLD_CPUS];
unsigned armed_count;

static void take_out(struct timer *timer)
{
    for (unsigned i = 0; i < armed_count; i++)
        if (armed[i] == timer) {
            armed[i] = armed[--armed_count];
            break;
        }
    timer->armed = false;
}

void timer_start(struct timer *timer, uint64_t deadline_ns)
{
    take_out(timer);
    CHECK(armed_count < TIMERS_MOST);
    CHECK(timer->for_threads);
    timer->deadline_ns = deadline_ns;
    timer->armed = true;
    timer->cpu = cpu_local();
    armed[armed_count++] = timer;
}

void timer_cancel_soon(struct timer *timer)
{
    take_out(timer);
}

void timer_cancel(struct timer *timer)
{
    bool fires;

    CHECK(objects_lock.owner == NULL);
    take_out(timer);
    do {
        fires = false;
        for (unsigned i = 0; i < WORLD_CPUS; i++)
            fires |= firing[i] == timer;
        if (fires)
            point();
    } while (fires);
}

static struct timer *due_here(void)
{
    for (unsigned i = 0; i < armed_count; i++)
        if (armed[i]->cpu == cpu_local() && armed[i]->deadline_ns <= now_ns)
            return armed[i];
    return NULL;
}

static void take_interrupts(void)
{
    struct timer *timer;

    cpus[world_self].ipi = false;
    while ((timer = due_here()) != NULL) {
        take_out(timer);
        firing[world_self] = timer;
        timer->fire(timer);
        firing[world_self] = NULL;
    }
}

bool ipi_send(struct cpu *to, enum ipi kind)
{
    CHECK(kind == IPI_WAKE);
    cpus[to->index].ipi = true;
    return true;
}

void ipi_wake(struct cpu *to)
{
    if (to == cpu_local())
        return;
    to->woken = true;
    if (to->sleeping || to->lending)
        cpus[to->index].ipi = true;
}

static bool interrupt_waits(void)
{
    return cpus[world_self].ipi || due_here() != NULL;
}

void clock_sleep(void)
{
    struct cpu *self = cpu_local();

    self->sleeping = true;
    point();
    if (!self->woken) {
        cpus[world_self].asleep = true;
        while (!interrupt_waits() && !over)
            point();
        cpus[world_self].asleep = false;
        take_interrupts();
    }
    self->woken = false;
    self->sleeping = false;
}

size_t user_extended_size(void)
{
    return 64;
}

void user_context_init(struct user_context *context, uintptr_t entry, uintptr_t stack, uint64_t first, uint64_t second)
{
    (void)first;
    (void)second;
    context->entry = entry;
    context->stack = stack;
}

/* Registers are in one place at a time. */
static struct user_context *loaded[WORLD_CPUS];

void user_switch(struct user_context *from, struct user_context *to)
{
    CHECK(loaded[world_self] == from);
    for (unsigned i = 0; i < WORLD_CPUS; i++)
        CHECK(to == NULL || i == world_self || loaded[i] != to);
    loaded[world_self] = to;
}

void user_forget_predictions(void)
{
}

/* What the kernel does at any time within a trap, its lock not held. */
void cpu_interrupts_take(void)
{
    CHECK(objects_lock.owner != cpu_local());
    if (interrupt_waits())
        take_interrupts();
}

void crash_gather(struct crash *crash, const struct thread *thread, const struct user_fault *fault)
{
    CHECK(objects_lock.owner == cpu_local());
    CHECK(thread->process->state == PROCESS_RUNNING);
    CHECK(fault->kind == USER_FAULT_READ);
    crash->thread = thread;
}

void crash_report(struct crash *crash)
{
    for (unsigned lines = 0; lines < 3; lines++) {
        CHECK(crash->thread->process->state == PROCESS_ENDING);
        point();
        cpu_interrupts_take();
    }
}

void user_run(struct user_context *context)
{
    static const struct user_fault fault = {.kind = USER_FAULT_READ, .address = 16};

    while (context != NULL) {
        CHECK(loaded[world_self] == context);
        CHECK(thread_of(context)->state == THREAD_RUNNING);
        point();
        if (interrupt_waits()) {
            take_interrupts();
            context = user_interrupted(context);
        } else if (roll(3) == 0) {
            context = roll(400) == 0 ? user_faulted(context, &fault) : user_called(context);
        }
    }
}

/* ---- What processes do --------------------------------------------------------------------------------------------
 */

static unsigned threads_made;

/* One that the process has, or a number that means nothing. */
static handle some_handle(const struct process *process)
{
    const struct handle_table *table = &process->handles;

    for (unsigned tries = 0; tries < 20 && table->capacity > 1 && roll(20) != 0; tries++) {
        uint32_t index = (uint32_t)roll(table->capacity);
        if (table->slots[index].object != NULL)
            return handle_number(index, table->slots[index].generation);
    }
    return roll(2) != 0 ? 0 : test_random64(&randomness);
}

static handle some_of_type(const struct process *process, enum object_type type)
{
    const struct handle_table *table = &process->handles;

    for (unsigned tries = 0; tries < 60 && table->capacity > 1; tries++) {
        uint32_t index = (uint32_t)roll(table->capacity);
        if (table->slots[index].object != NULL && table->slots[index].object->type == type)
            return handle_number(index, table->slots[index].generation);
    }
    return some_handle(process);
}

static uint64_t some_deadline(void)
{
    return roll(3) == 0 ? DEADLINE_NEVER : roll(4) == 0 ? 0 : now_ns + roll(4000000);
}

/* Handles to send are written into the buffer as a process would. */
static uint64_t some_message(struct thread *thread)
{
    unsigned count = roll(3) == 0 ? (unsigned)roll(5) : 0;

    for (unsigned i = 0; i < count && i < MESSAGE_HANDLES; i++)
        thread->buffer->handles[i] = some_handle(thread->process);
    return MESSAGE(roll(100), roll(66), count);
}

static struct thread_parameters some_thread(void)
{
    bool promised = roll(2) != 0;

    return (struct thread_parameters){
        .entry = 0x400000,
        .stack = 0x800000,
        .cpus = roll(2) != 0 ? 0 : 1 + roll(15),
        .priority = promised ? (uint32_t)roll(PRIORITIES) : 0,
        .budget_ns = promised ? 50000 + roll(500000) : 0,
        .period_ns = promised ? 1000000 : 0,
    };
}

static enum status more_threads(struct process *process)
{
    struct thread_parameters parameters = some_thread();
    struct thread *made;

    if (threads_made >= THREADS_MOST)
        return STATUS_LIMIT;
    enum status status = thread_create(process, &parameters, &made);
    threads_made += status == STATUS_OK;
    return status;
}

/* Into the table, or away again. */
static enum status keep(struct process *process, struct object *object)
{
    handle number;
    enum status status = handle_install(process, object, RIGHT_ALL, 0, &number);

    if (status != STATUS_OK)
        object_release(object);
    return status;
}

static enum status make_something(struct process *process)
{
    struct endpoint *endpoint;
    struct notification *notification;
    struct memory *memory;
    enum status status;

    switch (roll(3)) {
    case 0:
        status = endpoint_create(process, &endpoint);
        return status == STATUS_OK ? keep(process, &endpoint->object) : status;
    case 1:
        status = notification_create(process, &notification);
        return status == STATUS_OK ? keep(process, &notification->object) : status;
    default:
        status = memory_create(process, PAGE_SIZE * (1 + roll(3)), &memory);
        return status == STATUS_OK ? keep(process, &memory->object) : status;
    }
}

/* With something of its parent's, and at once a thread. */
static enum status spawn(struct process *parent)
{
    struct process_parameters parameters = world_parameters("child");
    struct process *made;
    handle there;

    if (threads_made >= THREADS_MOST)
        return STATUS_LIMIT;
    for (unsigned i = 0; i < BUDGET_COUNT; i++)
        parameters.limits[i] = (parent->limits[i] - parent->used[i]) / 4;
    enum status status = process_create(parent, &parameters, &made);
    if (status != STATUS_OK)
        return status;
    for (unsigned i = 0; i < 6; i++)
        handle_move(parent, some_handle(parent), made, roll(3) == 0 ? (uint32_t)roll(RIGHT_ALL) : 0, true, &there);
    more_threads(made);
    return keep(parent, &made->object);
}

static enum status configure(struct process *process)
{
    struct thread_parameters parameters = {.priority = (uint32_t)roll(6)};
    struct thread *thread = process->threads;

    for (uint64_t i = roll(4); i > 0 && thread->next_in_process != NULL; i--)
        thread = thread->next_in_process;
    parameters.cpus = roll(3) == 0 ? 1 + roll(process->cpus) : 0;
    if (roll(3) != 0) {
        parameters.period_ns = (1 + roll(10)) * NANOSECONDS_PER_MILLISECOND;
        parameters.budget_ns = parameters.period_ns / (1 + roll(20));
    }
    return thread_configure(thread, &parameters);
}

static enum status with_object(struct thread *thread)
{
    struct process *process = thread->process;
    struct object *object;
    handle copy;

    switch (roll(8)) {
    case 6:
        return configure(process);
    case 0:
        return handle_close(process, some_handle(process));
    case 1:
        return handle_duplicate(process, some_handle(process), (uint32_t)roll(RIGHT_ALL + 1), roll(2), &copy);
    case 2:
        return roll(6) == 0 ? handle_revoke(process, some_handle(process)) : STATUS_OK;
    case 3:
        if (handle_use(process, some_of_type(process, OBJECT_NOTIFICATION), OBJECT_NOTIFICATION, RIGHT_SIGNAL, &object,
                       NULL) == STATUS_OK)
            notification_signal((struct notification *)object, test_random64(&randomness));
        return STATUS_OK;
    case 4:
        if (handle_use(process, some_of_type(process, OBJECT_NOTIFICATION), OBJECT_NOTIFICATION, RIGHT_WAIT, &object,
                       NULL) == STATUS_OK)
            notification_alarm((struct notification *)object, 1, some_deadline());
        return STATUS_OK;
    case 5:
        return make_something(process);
    default:
        if (handle_use(process, some_of_type(process, OBJECT_PROCESS), OBJECT_PROCESS, RIGHT_MANAGE, &object, NULL) ==
                STATUS_OK &&
            roll(4) == 0)
            process_end((struct process *)object, END_KILLED, 1);
        return STATUS_OK;
    }
}

/* As console_write does between two lines. Whatever happens meanwhile, the process is there when they are out. */
static void write_line(struct thread *thread)
{
    lock_release(&objects_lock, 0);
    cpu_interrupts_take();
    lock_take(&objects_lock);
    CHECK(thread->state == THREAD_RUNNING && thread_current() == thread);
    CHECK(thread->process->state == PROCESS_RUNNING || thread->process->state == PROCESS_ENDING);
    user_set_result(&thread->context, STATUS_OK, 0);
}

bool system_call(struct thread *thread)
{
    struct process *process = thread->process;

    lock_take(&objects_lock);
    if (thread->ending)
        return false;
    thread->context.status = UINT64_MAX;
    switch (roll(16)) {
    case 0 ... 3:
        ipc_call(thread, some_of_type(process, OBJECT_ENDPOINT), some_message(thread), some_deadline());
        break;
    case 4 ... 8:
        ipc_reply_receive(thread, roll(3) != 0 ? some_of_type(process, OBJECT_REPLY) : 0, some_message(thread),
                          roll(4) != 0 ? some_of_type(process, OBJECT_ENDPOINT) : 0,
                          roll(3) == 0 ? some_of_type(process, OBJECT_NOTIFICATION) : 0, test_random64(&randomness),
                          some_deadline());
        break;
    case 9:
        notification_wait(thread, roll(3) != 0 ? some_of_type(process, OBJECT_NOTIFICATION) : 0, 1 + roll(255),
                          now_ns + roll(2000000));
        break;
    case 10:
        thread_yield();
        break;
    case 11:
        if (roll(10) == 0)
            thread_end(thread);
        else if (roll(20) == 0)
            process_end(process, END_EXIT, 0);
        break;
    case 12:
        user_set_result(&thread->context, roll(2) != 0 ? more_threads(process) : spawn(process), 0);
        break;
    case 13:
        write_line(thread);
        break;
    default:
        user_set_result(&thread->context, with_object(thread), 0);
    }
    return false;
}

/* ---- The kernel's own threads -------------------------------------------------------------------------------------
 */

static void begin_something(void)
{
    struct process_parameters parameters = world_parameters("root");
    struct process *made;
    uintptr_t saved = lock_take(&objects_lock);

    for (unsigned i = 0; i < BUDGET_COUNT; i++)
        parameters.limits[i] = (kernel_process.limits[i] - kernel_process.used[i]) / 2;
    if (process_create(&kernel_process, &parameters, &made) == STATUS_OK) {
        for (unsigned i = 0; i < 8; i++)
            make_something(made);
        for (unsigned i = 0; i < 4; i++)
            more_threads(made);
        object_release(&made->object);
    }
    lock_release(&objects_lock, saved);
}

static void end_all(void)
{
    uintptr_t saved = lock_take(&objects_lock);

    for (struct process *process = processes; process != NULL; process = process->next)
        if (process != &kernel_process && process->state != PROCESS_ENDING && process->state != PROCESS_ENDED)
            process_end(process, END_CONSOLE, 0);
    lock_release(&objects_lock, saved);
}

static bool any_left(void)
{
    return processes != &kernel_process || object_counts[OBJECT_THREAD] != 0 || processes_ending();
}

static struct kernel_call call;
static bool calling;

/* As the console asks init: some endpoint of some process. */
static void call_somebody(void)
{
    uintptr_t saved = lock_take(&objects_lock);

    for (struct process *process = processes; process != NULL && !calling; process = process->next)
        for (uint32_t i = 0; i < process->handles.capacity && process->handles.slots != NULL && !calling; i++) {
            struct object *object = process->handles.slots[i].object;
            if (object != NULL && object->type == OBJECT_ENDPOINT)
                calling = kernel_call_start((struct endpoint *)object, &call) == STATUS_OK;
        }
    lock_release(&objects_lock, saved);
}

static void boot_cpu_loop(void)
{
    while (!closing || any_left()) {
        if (!closing && steps >= STEPS) {
            closing = true;
            end_all();
        }
        if (!closing && threads_made < THREADS_MOST && roll(20) == 0)
            begin_something();
        if (!closing && processes == &kernel_process)
            threads_made = 0;
        if (!closing && !calling && roll(10) == 0)
            call_somebody();
        if (calling && (call.done || closing || roll(20) == 0)) {
            kernel_call_end(&call);
            calling = false;
        }
        if (!processes_reap() && !closing && roll(4) != 0)
            scheduler_lend();
        else if (closing)
            point();
    }
    over = true;
}

static void *cpu_main(void *argument)
{
    unsigned self = (unsigned)(uintptr_t)argument;

    pthread_mutex_lock(&mutex);
    while (turn != self)
        pthread_cond_wait(&changed[self], &mutex);
    world_self = self;
    if (self == 0)
        boot_cpu_loop();
    while (!over)
        scheduler_lend();
    left[self] = true;
    for (unsigned next = 0; next < WORLD_CPUS; next++)
        if (!left[next])
            turn = next;
    pthread_cond_signal(&changed[turn]);
    pthread_mutex_unlock(&mutex);
    return NULL;
}

static void run(void)
{
    pthread_t threads[WORLD_CPUS];

    randomness.state = seed;
    memset(cpus, 0, sizeof cpus);
    memset(left, 0, sizeof left);
    memset(loaded, 0, sizeof loaded);
    closing = over = calling = false;
    turn = steps = threads_made = armed_count = 0;
    now_ns = 1000;
    world_start(NULL);
    for (unsigned i = 0; i < WORLD_CPUS; i++)
        pthread_cond_init(&changed[i], NULL);
    for (unsigned i = 0; i < WORLD_CPUS; i++)
        assert_true(scheduler_init_cpu(cpu_at(i)));
    for (uintptr_t i = 0; i < WORLD_CPUS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, cpu_main, (void *)i), 0);
    for (unsigned i = 0; i < WORLD_CPUS; i++)
        pthread_join(threads[i], NULL);
    for (unsigned i = 0; i < WORLD_CPUS; i++)
        free(cpu_at(i)->scheduler);
    world_self = 0;
    world_end(NULL);
}

static void test_interleavings(void **unused)
{
    const char *asked = getenv("VMOS_SEED"), *longer = getenv("VMOS_LONG");

    (void)unused;
    seed = asked != NULL ? strtoull(asked, NULL, 0) : 1;
    print_message("VMOS_SEED=%llu\n", (unsigned long long)seed);
    for (unsigned i = 0; i < (asked != NULL ? 1 : longer != NULL ? RUNS * 50 : RUNS); i++, seed++)
        run();
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_interleavings)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
