/*
 * crash.c: see crash.h.
 *
 * What the process left in its memory (the stack, what it began with) is read as anything of a user's: by copies that
 * may fail, a bounded number of times, and believed no further than that it is printed.
 */
#include "crash.h"

#include "audit.h"

#include <kernel/kernel.h>
#include <kernel/symbols.h>
#include <lib/log.h>
#include <lib/string.h>
#include <lib/text.h>

enum { CALLERS_MOST = 16, RECORDS_MOST = 10000, NAMES_REMEMBERED = 8 };

/* ---- How much is said -------------------------------------------------------------------------------------------- */

static struct {
    char name[NAME_SIZE];
    uint64_t last_ns;
    uint32_t count; /* crashes, each within the window of the one before */
} recent[NAMES_REMEMBERED];
static uint64_t window_ns; /* when the count of lines began */
static uint32_t lines, untold;

static uint32_t count_crash(const char *name, uint64_t now)
{
    unsigned oldest = 0, at = 0;

    while (at < NAMES_REMEMBERED && strcmp(recent[at].name, name) != 0) {
        if (recent[at].last_ns < recent[oldest].last_ns)
            oldest = at;
        at++;
    }
    if (at == NAMES_REMEMBERED) {
        at = oldest;
        text_copy(recent[at].name, name, NAME_SIZE);
        recent[at].count = 0;
    }
    if (now - recent[at].last_ns > CRASH_WINDOW_NS)
        recent[at].count = 0;
    recent[at].last_ns = now;
    return ++recent[at].count;
}

/* Names are the creator's to choose, so the reports in full are counted together, too. */
static void decide(struct crash *crash, const char *name, uint64_t now)
{
    uint32_t count = count_crash(name, now);

    if (now - window_ns > CRASH_WINDOW_NS) {
        window_ns = now;
        lines = 0;
    }
    if (++lines > CRASH_LINES) {
        untold++;
        crash->telling = CRASH_UNTOLD;
        return;
    }
    bool in_full = count <= CRASHES_IN_FULL && lines <= (uint32_t)CRASHES_IN_FULL * NAMES_REMEMBERED;
    crash->telling = in_full ? CRASH_IN_FULL : CRASH_IN_A_LINE;
    crash->silent = untold;
    untold = 0;
}

/* ---- What is known ----------------------------------------------------------------------------------------------- */

/* The stack's guard is the free page below it; what is directly below the mapping that the stack pointer is in, or has
 * just left. */
static bool is_overflow(const struct space *space, uintptr_t address, uintptr_t stack_pointer)
{
    const struct mapping *stack = space_find(space, (address | (PAGE_SIZE - 1)) + 1);

    return space_find(space, address) == NULL && stack != NULL && (stack->access & MMU_WRITE) != 0 &&
           stack_pointer + PAGE_SIZE >= stack->address && stack_pointer <= stack->address + stack->size;
}

static void gather_threads(struct crash *crash)
{
    const struct process *process = crash->thread->process;

    for (const struct thread *at = process->threads; at != NULL && crash->thread_count < CRASH_THREADS;
         at = at->next_in_process)
        if (at != crash->thread)
            crash->threads[crash->thread_count++] = (struct crash_thread){
                .id = at->id,
                .instruction = user_instruction(&at->context),
                .state = at->state,
                .wait = at->wait,
                .cpu = at->cpu,
            };
    crash->thread_count = process->thread_count - 1;
}

/* Not a part of trap.c, which is compiled for speed. */
__attribute__((noinline)) void crash_gather(struct crash *crash, const struct thread *thread,
                                            const struct user_fault *fault)
{
    const struct process *process = thread->process;

    *crash = (struct crash){.thread = thread, .fault = fault};
    decide(crash, process->name, clock_now());
    audit(AUDIT_CRASH, process, NULL, OBJECT_PROCESS, 0);
    process_text(process, crash->who);
    gather_threads(crash);
    for (uint32_t i = 0; i < process->handles.capacity; i++)
        if (process->handles.slots[i].object != NULL)
            crash->handles[process->handles.slots[i].object->type]++;
    crash->used_kib = process->used[BUDGET_MEMORY] / 1024;
    crash->limit_kib = process->limits[BUDGET_MEMORY] / 1024;
    crash->start_info = process->start_info;
    crash->stack_overflow =
        crash->fault->kind <= USER_FAULT_WRITE &&
        is_overflow(&process->space, crash->fault->address, user_stack_pointer(&crash->thread->context));
}

/* Where its image is, and its program's name, from what it began with. */
static void find_symbols(struct crash *crash)
{
    struct start_info info;
    char name[NAME_SIZE + 1], file[NAME_SIZE + 16];

    if (!user_copy_in(&info, (uintptr_t)crash->start_info, offsetof(struct start_info, handles)) ||
        !user_copy_in(name, (uintptr_t)crash->start_info + offsetof(struct start_info, arguments), NAME_SIZE))
        return;
    name[NAME_SIZE] = '\0';
    crash->image = (uintptr_t)info.image;
    crash->image_size = (uintptr_t)info.image_size;
    snprintf(file, sizeof file, "bin/%s.sym", name);
    crash->symbols = ramdisk_find(file, &crash->symbols_size);
}

/* ---- Lines ------------------------------------------------------------------------------------------------------- */

/* Reports become lines of the log. Between two of them this CPU takes the interrupts that wait: serial ports are slow.
 */
struct line_printer {
    struct printer printer;
    size_t length;
    char text[256];
};

static void write_lines(struct printer *printer, const char *text, size_t length)
{
    struct line_printer *line = (struct line_printer *)printer;

    for (size_t i = 0; i < length; i++) {
        if (text[i] == '\n' || line->length == sizeof line->text) {
            log_error("crash", "%.*s", (int)line->length, line->text);
            cpu_interrupts_take();
            line->length = 0;
        }
        if (text[i] != '\n')
            line->text[line->length++] = text[i];
    }
}

static const char *describe(const struct crash *crash)
{
    static const char *const words[][2] = {
        [USER_FAULT_READ] = {"read of an unmapped address", "read of memory that it may not read"},
        [USER_FAULT_WRITE] = {"write to an unmapped address", "write to read-only memory"},
        [USER_FAULT_EXECUTE] = {"execution of an unmapped address", "execution of memory that is not executable"},
    };
    const struct user_fault *fault = crash->fault;

    return fault->kind < USER_FAULT_OTHER ? words[fault->kind][fault->mapped]
           : fault->what != NULL          ? fault->what
                                          : "a fault of a kind that is not known";
}

static const char *explain(const struct crash *crash)
{
    const struct user_fault *fault = crash->fault;

    if (fault->kind >= USER_FAULT_OTHER)
        return "";
    if (fault->address < USER_BOTTOM)
        return ", a null pointer";
    if (fault->address >= USER_TOP)
        return ", where no process has memory";
    return crash->stack_overflow ? ", its stack has overflowed" : "";
}

static void tell_what(const struct crash *crash)
{
    unsigned long long thread = (unsigned long long)crash->thread->id,
                       address = (unsigned long long)crash->fault->address,
                       instruction = (unsigned long long)user_instruction(&crash->thread->context);

    if (crash->fault->kind >= USER_FAULT_OTHER)
        print(crash->out, "%s, thread %llu on CPU %u: %s, instruction 0x%llx; it is ended\n", crash->who, thread,
              cpu_local()->index, describe(crash), instruction);
    else
        print(crash->out, "%s, thread %llu on CPU %u: %s 0x%llx%s, instruction 0x%llx; it is ended\n", crash->who,
              thread, cpu_local()->index, describe(crash), address, explain(crash), instruction);
}

static bool find_function(const struct crash *crash, uintptr_t address, char name[SYMBOL_NAME_SIZE], size_t *offset)
{
    return crash->symbols != NULL && address - crash->image < crash->image_size &&
           symbol_find_in(crash->symbols, crash->symbols_size, address - crash->image, name, offset);
}

static void tell_place(const struct crash *crash, const char *how, uintptr_t address)
{
    char name[SYMBOL_NAME_SIZE];
    size_t offset = 0;

    print(crash->out, "%s 0x%llx", how, (unsigned long long)address);
    if (find_function(crash, address, name, &offset))
        print(crash->out, " %s+0x%zx\n", name, offset);
    else if (address - crash->image < crash->image_size)
        print(crash->out, ", image+0x%llx\n", (unsigned long long)(address - crash->image));
    else
        print(crash->out, "\n");
}

/* 0: in no function that has a name. */
static uintptr_t function_of(const struct crash *crash, uintptr_t address)
{
    char name[SYMBOL_NAME_SIZE];
    size_t offset = 0;

    return find_function(crash, address, name, &offset) ? address - offset : 0;
}

/* A frame pointer leads to a record of the one before it and the return address. Stacks grow down, so callers' records
 * lie further up: a ring of them ends the walk. */
static bool unwind(uintptr_t *pointer, uintptr_t *address)
{
    uintptr_t record[2], at = *pointer + (uintptr_t)ARCH_RECORD;

    if (*pointer % sizeof(uintptr_t) != 0 || !user_copy_in(record, at, sizeof record) || record[1] == 0 ||
        (record[0] != 0 && record[0] <= *pointer))
        return false;
    *pointer = record[0];
    *address = record[1];
    return true;
}

/* A function that calls none may have no record: its caller is where the link register says, if that is neither the
 * function itself nor what the first record says. After a jump to nowhere it is where the jump came from. */
static void tell_link(const struct crash *crash, uintptr_t pointer)
{
    const struct user_context *context = &crash->thread->context;
    uintptr_t link = user_link(context), address = 0;

    /* Without such a register the call has left its return address on the stack, and nothing has run since. */
    if (link == 0 && crash->fault->kind == USER_FAULT_EXECUTE &&
        !user_copy_in(&link, user_stack_pointer(context), sizeof link))
        link = 0;
    uintptr_t function = function_of(crash, link - 1);
    if (function != 0 && function != function_of(crash, user_instruction(context)) &&
        !(unwind(&pointer, &address) && address == link))
        tell_place(crash, "  by", link - 1);
}

static void tell_repeated(const struct crash *crash, unsigned times)
{
    if (times != 0)
        print(crash->out, "     (%u times more)\n", times);
}

/* Who calls himself is told once, with how often. */
static void tell_backtrace(const struct crash *crash)
{
    uintptr_t pointer = user_frame_pointer(&crash->thread->context), address = 0, last = 0;
    unsigned told = 0, again = 0;

    tell_place(crash, "  at", user_instruction(&crash->thread->context));
    tell_link(crash, pointer);
    for (unsigned depth = 0; depth < RECORDS_MOST && told < CALLERS_MOST && unwind(&pointer, &address); depth++) {
        if (address == last) {
            again++;
            continue;
        }
        tell_repeated(crash, again);
        again = 0;
        last = address;
        told++;
        tell_place(crash, "  by", address - 1); /* inside the call, not behind it */
    }
    tell_repeated(crash, again);
}

/* Where a running one is now, nobody knows; where it was last, may tell something. */
static void tell_threads(const struct crash *crash)
{
    static const char *const waits[] = {
        [WAIT_NOTHING] = "waiting",
        [WAIT_SEND] = "waiting for its call to be received",
        [WAIT_REPLY] = "waiting for the answer to its call",
        [WAIT_EVENT] = "waiting for an event",
    };

    for (uint32_t i = 0; i < crash->thread_count && i < CRASH_THREADS; i++) {
        const struct crash_thread *thread = &crash->threads[i];
        print(crash->out, "  thread %llu: ", (unsigned long long)thread->id);
        if (thread->state == THREAD_RUNNING)
            print(crash->out, "running on CPU %u", thread->cpu);
        else
            print(crash->out, "%s",
                  thread->state == THREAD_BLOCKED     ? waits[thread->wait]
                  : thread->state == THREAD_THROTTLED ? "its time is used up"
                                                      : "ready");
        tell_place(crash, thread->state == THREAD_RUNNING ? ", last seen at" : ", at", thread->instruction);
    }
    if (crash->thread_count > CRASH_THREADS)
        print(crash->out, "  and %u more\n", crash->thread_count - CRASH_THREADS);
}

static void tell_possessions(const struct crash *crash)
{
    char text[200];
    size_t length = 0;
    unsigned total = 0;

    text[0] = '\0';
    for (unsigned type = 0; type < OBJECT_TYPE_COUNT; type++) {
        total += crash->handles[type];
        if (crash->handles[type] != 0 && length < sizeof text)
            length += (size_t)snprintf(text + length, sizeof text - length, "%s%u %s", length == 0 ? ": " : ", ",
                                       crash->handles[type], object_type_name(type));
    }
    print(crash->out, "%s held %u handles%s; %llu of %llu KiB\n", crash->who, total, text,
          (unsigned long long)crash->used_kib, (unsigned long long)crash->limit_kib);
}

void crash_report(struct crash *crash)
{
    struct line_printer lines_out = {.printer.write = write_lines};

    crash->out = &lines_out.printer;
    if (crash->silent != 0)
        print(crash->out, "%u processes more have crashed, of which nothing was said\n", crash->silent);
    if (crash->telling == CRASH_UNTOLD)
        return;
    tell_what(crash);
    if (crash->telling == CRASH_IN_A_LINE)
        return;
    find_symbols(crash);
    user_report(&crash->thread->context, crash->out);
    write_lines(crash->out, "\n", lines_out.length != 0);
    tell_backtrace(crash);
    tell_threads(crash);
    tell_possessions(crash);
}
