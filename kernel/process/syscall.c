/*
 * syscall.c: the table of system calls. Each entry reads its arguments from the caller's registers, names the objects
 * by their handles and the rights that it takes, and leaves the rest to the object's own file. docs/abi.md says for
 * each what it does; test/host/test_abi.py holds the two together.
 */
#include "syscall.h"

#include "audit.h"
#include "console_write.h"
#include "ipc.h"

#include <kernel/trace.h>
#include <lib/string.h>

#include "object_private.h"

/* RESULT_WRITTEN: the function has written the caller's result, or whoever ends its wait will. CALL_AGAIN: it has done
 * a part of what can take long, and the caller makes the same call once more: so nobody waits for all of it, neither
 * for the lock nor for an interrupt. */
enum { RESULT_WRITTEN = STATUS_COUNT, CALL_AGAIN };

/* A struct that is longer than the kernel's is one of a later version; how far it is looked at. */
enum { PARAMETERS_MOST = 512 };

struct call {
    struct thread *thread;
    struct process *process; /* the thread's */
    uint64_t value;
};

static uint64_t argument(const struct call *call, unsigned index)
{
    return user_argument(&call->thread->context, index);
}

/* ---- Arguments --------------------------------------------------------------------------------------------------- */

static enum status use(const struct call *call, unsigned index, enum object_type type, uint32_t rights, void *object)
{
    struct object *found = NULL;
    enum status status = handle_use(call->process, argument(call, index), type, rights, &found, NULL);

    /* The object is the first member of each type but this, which begins with its registers. */
    if (status == STATUS_OK)
        *(void **)object = found->type == OBJECT_THREAD ? (void *)CONTAINER_OF(found, struct thread, object) : found;
    return status;
}

/* A process that can still be changed; handle 0: the caller's own. */
static enum status use_process(const struct call *call, unsigned index, struct process **process)
{
    enum status status = STATUS_OK;

    *process = call->process;
    if (argument(call, index) != 0)
        status = use(call, index, OBJECT_PROCESS, RIGHT_MANAGE, process);
    if (status == STATUS_OK && (*process)->state >= PROCESS_ENDING)
        status = STATUS_PEER_GONE;
    return status;
}

/* Rights, and access, are 32 bits; what does not fit can be no right. */
static uint32_t rights_argument(const struct call *call, unsigned index)
{
    uint64_t rights = argument(call, index);

    return rights <= UINT32_MAX ? (uint32_t)rights : UINT32_MAX;
}

/* The caller's struct at the address in argument `index`, its size in the next one. A smaller one than the first
 * version is refused; of a larger one, what the kernel does not know must be zero. */
static enum status read_parameters(const struct call *call, unsigned index, void *to, size_t known)
{
    uintptr_t from = (uintptr_t)argument(call, index);
    uint64_t size = argument(call, index + 1);
    uint8_t tail[64];

    if (size < known)
        return STATUS_INVALID;
    if (size > PARAMETERS_MOST)
        return STATUS_UNSUPPORTED;
    if (!user_copy_in(to, from, known))
        return STATUS_BAD_ADDRESS;
    for (size_t at = known; at < size; at += sizeof tail) {
        size_t length = size - at < sizeof tail ? (size_t)size - at : sizeof tail;
        if (!user_copy_in(tail, from + at, length))
            return STATUS_BAD_ADDRESS;
        for (size_t i = 0; i < length; i++)
            if (tail[i] != 0)
                return STATUS_UNSUPPORTED;
    }
    return STATUS_OK;
}

/* A handle of what was just created, whose reference goes into it. There is room: handle_make_room(1) came first, so
 * that nothing is created that nobody could name. */
static enum status install(struct call *call, struct object *object)
{
    return handle_install(call->process, object, rule_rights_of(object->type), 0, &call->value);
}

/* ---- Handles ----------------------------------------------------------------------------------------------------- */

static enum status call_abi_version(struct call *call)
{
    call->value = ABI_VERSION;
    return STATUS_OK;
}

static enum status call_handle_close(struct call *call)
{
    return handle_close(call->process, argument(call, 0));
}

static enum status call_handle_duplicate(struct call *call)
{
    return handle_duplicate(call->process, argument(call, 0), rights_argument(call, 1), argument(call, 2),
                            &call->value);
}

static enum status call_handle_revoke(struct call *call)
{
    struct handle_slot *slot = NULL;
    struct object *object = NULL;
    enum object_type type = OBJECT_NONE;
    uint32_t rights = 0;

    if (handle_use(call->process, argument(call, 0), OBJECT_NONE, 0, &object, &slot) == STATUS_OK) {
        type = object->type;
        rights = slot->rights;
    }
    enum status status = handle_revoke(call->process, argument(call, 0));
    if (status == STATUS_BUSY)
        return (enum status)CALL_AGAIN;
    if (status == STATUS_OK)
        audit(AUDIT_REVOKE, call->process, NULL, type, rights);
    return status;
}

static enum status call_handle_info(struct call *call)
{
    struct handle_slot *slot = NULL;
    struct object *object = NULL;
    enum status status = handle_use(call->process, argument(call, 0), OBJECT_NONE, 0, &object, &slot);

    if (status == STATUS_OK)
        call->value = (uint64_t)object->type | (uint64_t)slot->rights << 8;
    return status;
}

union info {
    struct process_info process;
    struct thread_info thread;
    struct memory_info memory;
};

static size_t describe(struct object *object, union info *info)
{
    if (object->type == OBJECT_PROCESS) {
        process_info((const struct process *)object, &info->process);
        return sizeof info->process;
    }
    if (object->type == OBJECT_THREAD) {
        thread_info(CONTAINER_OF(object, struct thread, object), &info->thread);
        return sizeof info->thread;
    }
    if (object->type == OBJECT_MEMORY) {
        const struct memory *memory = (const struct memory *)object;
        info->memory = (struct memory_info){.size = memory->pages.size, .mappings = memory->mapping_count};
        return sizeof info->memory;
    }
    return 0;
}

static enum status call_object_info(struct call *call)
{
    struct object *object = NULL;
    union info info;
    enum status status = handle_use(call->process, argument(call, 0), OBJECT_NONE, RIGHT_INSPECT, &object, NULL);

    if (status != STATUS_OK)
        return status;
    memset(&info, 0, sizeof info); /* padding included: it goes to the caller */
    size_t size = describe(object, &info);
    if (size == 0)
        return STATUS_WRONG_TYPE;
    if (argument(call, 2) < size)
        return STATUS_INVALID;
    if (!user_copy_out((uintptr_t)argument(call, 1), &info, size))
        return STATUS_BAD_ADDRESS;
    call->value = size;
    return STATUS_OK;
}

/* ---- Messages ---------------------------------------------------------------------------------------------------- */

static enum status call_endpoint_create(struct call *call)
{
    struct endpoint *endpoint = NULL;
    enum status status = handle_make_room(call->process, 1);

    if (status == STATUS_OK)
        status = endpoint_create(call->process, &endpoint);
    return status == STATUS_OK ? install(call, &endpoint->object) : status;
}

static enum status call_ipc_call(struct call *call)
{
    ipc_call(call->thread, argument(call, 0), argument(call, 1), argument(call, 2));
    return (enum status)RESULT_WRITTEN;
}

static enum status call_ipc_reply_receive(struct call *call)
{
    ipc_reply_receive(call->thread, argument(call, 0), argument(call, 1), argument(call, 2), argument(call, 3),
                      argument(call, 4), argument(call, 5));
    return (enum status)RESULT_WRITTEN;
}

static enum status call_notification_create(struct call *call)
{
    struct notification *notification = NULL;
    enum status status = handle_make_room(call->process, 1);

    if (status == STATUS_OK)
        status = notification_create(call->process, &notification);
    return status == STATUS_OK ? install(call, &notification->object) : status;
}

static enum status call_notification_signal(struct call *call)
{
    struct notification *notification = NULL;
    enum status status = use(call, 0, OBJECT_NOTIFICATION, RIGHT_SIGNAL, &notification);

    if (status == STATUS_OK)
        notification_signal(notification, argument(call, 1));
    return status;
}

static enum status call_notification_wait(struct call *call)
{
    notification_wait(call->thread, argument(call, 0), argument(call, 1), argument(call, 2));
    return (enum status)RESULT_WRITTEN;
}

static enum status call_notification_alarm(struct call *call)
{
    struct notification *notification = NULL;
    enum status status = use(call, 0, OBJECT_NOTIFICATION, RIGHT_WAIT, &notification);

    if (status == STATUS_OK)
        notification_alarm(notification, argument(call, 1), argument(call, 2));
    return status;
}

/* ---- Memory ------------------------------------------------------------------------------------------------------ */

static enum status call_memory_create(struct call *call)
{
    struct memory *memory = NULL;
    enum status status = handle_make_room(call->process, 1);

    if (status == STATUS_OK)
        status = memory_create(call->process, argument(call, 0), &memory);
    return status == STATUS_OK ? install(call, &memory->object) : status;
}

static enum status call_memory_map(struct call *call)
{
    struct process *process = NULL;
    struct object *object = NULL;
    struct handle_slot *slot = NULL;
    uintptr_t address = 0;
    enum status status = use_process(call, 0, &process);

    if (status == STATUS_OK)
        status = handle_use(call->process, argument(call, 1), OBJECT_MEMORY, 0, &object, &slot);
    if (status == STATUS_OK)
        status = memory_map(process, (struct memory *)object, slot->rights, (uintptr_t)argument(call, 2),
                            argument(call, 3), argument(call, 4), rights_argument(call, 5), &address);
    call->value = address;
    return status;
}

static enum status call_memory_unmap(struct call *call)
{
    struct process *process = NULL;
    enum status status = use_process(call, 0, &process);

    return status == STATUS_OK ? memory_unmap(process, (uintptr_t)argument(call, 1), argument(call, 2)) : status;
}

/* ---- Processes --------------------------------------------------------------------------------------------------- */

static enum status call_process_create(struct call *call)
{
    struct process_parameters parameters;
    struct process *process = NULL;
    enum status status = read_parameters(call, 0, &parameters, sizeof parameters);

    if (status == STATUS_OK)
        status = handle_make_room(call->process, 1);
    if (status == STATUS_OK)
        status = process_create(call->process, &parameters, &process);
    if (status != STATUS_OK)
        return status;
    /* Its limits may have taken the room for the handle: then nobody can name it, and it ends at once. */
    status = install(call, &process->object);
    if (status != STATUS_OK)
        object_release(&process->object);
    else
        audit(AUDIT_CREATE, call->process, process, OBJECT_PROCESS, 0);
    return status;
}

static enum status call_process_give(struct call *call)
{
    struct process *process = NULL;
    enum status status = use_process(call, 0, &process);

    if (status == STATUS_OK)
        status = handle_move(call->process, argument(call, 1), process, rights_argument(call, 2), true, &call->value);
    return status;
}

/* Of the caller's own process it does not return: schedule() finds that the thread has ended. */
static enum status call_process_kill(struct call *call)
{
    struct process *process = call->process;
    enum status status = STATUS_OK;

    if (argument(call, 0) != 0)
        status = use(call, 0, OBJECT_PROCESS, RIGHT_MANAGE, &process);
    if (status == STATUS_OK && process->state < PROCESS_ENDING) {
        audit(AUDIT_END, call->process, process, OBJECT_PROCESS, 0);
        process_end(process, argument(call, 0) != 0 ? END_KILLED : END_EXIT, argument(call, 1));
    }
    return status;
}

static enum status call_process_watch(struct call *call)
{
    struct process *process = NULL;
    struct notification *notification = NULL;
    enum status status = use(call, 0, OBJECT_PROCESS, RIGHT_WAIT, &process);

    if (status == STATUS_OK)
        status = use(call, 1, OBJECT_NOTIFICATION, RIGHT_SIGNAL, &notification);
    return status == STATUS_OK ? process_watch(call->process, process, notification, argument(call, 2)) : status;
}

static enum status call_thread_create(struct call *call)
{
    struct thread_parameters parameters;
    struct process *process = NULL;
    struct thread *thread = NULL;
    enum status status = use_process(call, 0, &process);

    if (status == STATUS_OK)
        status = read_parameters(call, 1, &parameters, sizeof parameters);
    if (status == STATUS_OK && parameters.reserved != 0)
        status = STATUS_INVALID;
    if (status == STATUS_OK)
        status = handle_make_room(call->process, 1);
    if (status != STATUS_OK)
        return status;
    bool first = process->state == PROCESS_NEW;
    status = thread_create(process, &parameters, &thread);
    if (status != STATUS_OK)
        return status;
    if (first)
        process->start_info = (uintptr_t)parameters.argument;
    object_hold(&thread->object); /* one is the thread's own, as long as it runs */
    return install(call, &thread->object);
}

static enum status call_thread_configure(struct call *call)
{
    struct thread_parameters parameters;
    struct thread *thread = call->thread;
    enum status status = STATUS_OK;

    if (argument(call, 0) != 0)
        status = use(call, 0, OBJECT_THREAD, RIGHT_MANAGE, &thread);
    if (status == STATUS_OK)
        status = read_parameters(call, 1, &parameters, sizeof parameters);
    if (status == STATUS_OK && parameters.reserved != 0)
        status = STATUS_INVALID;
    return status == STATUS_OK ? thread_configure(thread, &parameters) : status;
}

static enum status call_thread_exit(struct call *call)
{
    thread_end(call->thread);
    return STATUS_OK;
}

static enum status call_thread_yield(struct call *call)
{
    (void)call;
    thread_yield();
    return STATUS_OK;
}

/* ---- Clock and console ------------------------------------------------------------------------------------------- */

static enum status call_clock_read(struct call *call)
{
    struct object *clock = NULL;
    enum status status = use(call, 0, OBJECT_CLOCK, RIGHT_READ, &clock);

    if (status == STATUS_OK)
        call->value = clock_now();
    return status;
}

static enum status call_console_write(struct call *call)
{
    struct object *console = NULL;
    enum status status = use(call, 0, OBJECT_CONSOLE, RIGHT_WRITE, &console);

    if (status != STATUS_OK)
        return status;
    return console_write(call->process, (uintptr_t)argument(call, 1), argument(call, 2), &call->value);
}

/* ---- All of them ------------------------------------------------------------------------------------------------- */

#define CALL_FUNCTION(number, name, arguments) [number] = call_##name,
static enum status (*const functions[SYSTEM_CALL_COUNT])(struct call *call) = {SYSTEM_CALLS(CALL_FUNCTION)};

/* `number` if it is less than `count`, else 0, without a branch that a CPU could guess wrong about and read beyond the
 * table meanwhile (Spectre v1). The compiler must not know what it is: it would see that the branch before says the
 * same, and leave it out. */
static uint64_t clamp(uint64_t number, uint64_t count)
{
    __asm__("" : "+r"(number));
    uint64_t inside = (uint64_t)((int64_t) ~(number | (count - 1 - number)) >> 63);
    return number & inside;
}

/* Apart from system_call, so that the shortest call saves no registers. */
__attribute__((noinline)) static bool call_locked(struct thread *thread, uint64_t number)
{
    struct call call = {.thread = thread, .process = thread->process};

    lock_enter(&objects_lock);
    if (thread->ending)
        return false;
    if (number >= SYSTEM_CALL_COUNT) {
        user_set_result(&thread->context, STATUS_UNSUPPORTED, 0);
        return false;
    }
    trace(TRACE_CALL, thread->id, number);
    enum status status = functions[clamp(number, SYSTEM_CALL_COUNT)](&call);
    if (status == (enum status)CALL_AGAIN) {
        user_call_again(&thread->context);
    } else if (status != (enum status)RESULT_WRITTEN) {
        user_set_result(&thread->context, status, status == STATUS_OK ? call.value : 0);
        trace(TRACE_RESULT, thread->id, status);
        audit_refusal(call.process, status);
    }
    /* The clock needs the lock as well: another thread may be moving the table of handles. But nobody has become ready
     * by it. */
    if (number != SYSTEM_clock_read)
        return false;
    lock_leave(&objects_lock);
    return true;
}

/* The two calls that processes talk by, without the table. */
static bool call_of_two(struct thread *thread, uint64_t number)
{
    const struct user_context *context = &thread->context;

    lock_enter(&objects_lock);
    if (thread->ending)
        return false;
    trace(TRACE_CALL, thread->id, number);
    if (number == SYSTEM_ipc_call)
        ipc_call(thread, user_argument(context, 0), user_argument(context, 1), user_argument(context, 2));
    else
        ipc_reply_receive(thread, user_argument(context, 0), user_argument(context, 1), user_argument(context, 2),
                          user_argument(context, 3), user_argument(context, 4), user_argument(context, 5));
    return false;
}

bool system_call(struct thread *thread)
{
    uint64_t number = user_call_number(&thread->context);

    if (number == SYSTEM_ipc_call || number == SYSTEM_ipc_reply_receive)
        return call_of_two(thread, number);
    if (number != SYSTEM_abi_version)
        return call_locked(thread, number);
    user_set_result(&thread->context, STATUS_OK, ABI_VERSION);
    return true;
}
