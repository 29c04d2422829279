/*
 * start.c: the kernel loads init, as init loads the others: the file is read by lib/elf.c, its segments become memories
 * of the new process, mapped at a random place with the rights that the file asks for. What init is given is all that
 * any process will ever have: the machine's budget but for a reserve, the console, the clock, the initial ramdisk, and
 * the receiving end of what is typed at the prompt.
 */
#include "start.h"

#include "audit.h"
#include "names.h"

#include <kernel/kernel.h>
#include <kernel/random.h>
#include <lib/elf.h>
#include <lib/log.h>
#include <lib/malloc.h>
#include <lib/string.h>
#include <lib/text.h>
#include <vmos/control.h>

static const char INIT_FILE[] = "bin/init";

enum {
    INIT_STACK = 64 << 10,
    INIT_PRIORITY = 24,
    /* A quarter of a CPU is promised to it: enough to watch and restart while others keep the machine busy. */
    INIT_BUDGET_MS = 5,
    INIT_PERIOD_MS = 20,
    /* The kernel keeps back a sixteenth of what there is, at least RESERVE_LEAST bytes: drivers are the kernel's. */
    RESERVE_PART = 16,
    RESERVE_LEAST = 4 << 20,
    /* How long booting waits for init to have started what the manifest names. */
    READY_SECONDS = 10,
};

/* A file on its way into a process. */
struct program {
    const void *file;
    size_t size;
    struct elf_image image;
    void *copies[ELF_SEGMENTS_MOST]; /* a segment's memory in one piece, which a Memory's pages need not be */
    const char *why;                 /* what was not possible */
};

static struct process *init; /* one reference is ours; NULL: none runs */
static struct endpoint *control;
static unsigned started;

/* ---- The file ---------------------------------------------------------------------------------------------------- */

static void drop_copies(struct program *program)
{
    for (unsigned i = 0; i < ELF_SEGMENTS_MOST; i++)
        free(program->copies[i]);
}

static enum status read_program(struct program *program)
{
    program->file = ramdisk_find(INIT_FILE, &program->size);
    if (program->file == NULL) {
        program->why = "the initial ramdisk has no such file";
        return STATUS_NOT_FOUND;
    }
    enum status status = elf_read(program->file, program->size, ARCH_MACHINE, &program->image, &program->why);
    if (status != STATUS_OK)
        return status;
    for (uint32_t i = 0; i < program->image.segment_count; i++) {
        const struct elf_segment *segment = &program->image.segments[i];
        program->copies[i] = segment->size <= MEMORY_LARGEST ? malloc((size_t)segment->size) : NULL;
        if (program->copies[i] == NULL) {
            program->why = "there is no memory to read it into";
            return STATUS_NO_MEMORY;
        }
        elf_copy(program->file, program->size, segment, program->copies[i]);
    }
    return STATUS_OK;
}

/* ---- Its memory -------------------------------------------------------------------------------------------------- */

static void fill(const struct memory *memory, const void *from)
{
    const char *at = from;

    for (uint32_t i = 0; i < memory->pages.runs; i++) {
        const struct page_run *run = &memory->pages.run[i];
        memcpy(physical_to_virtual(run->physical), at, (size_t)run->size);
        at += run->size;
    }
}

/* `size` bytes, filled from `from` (NULL: zeroes), mapped at *address (0: anywhere). The mapping keeps the memory. */
static enum status give_memory(struct process *process, uint64_t size, const void *from, uint32_t access,
                               uintptr_t *address)
{
    struct memory *memory;
    enum status status = memory_create(process, size, &memory);

    if (status != STATUS_OK)
        return status;
    if (from != NULL)
        fill(memory, from);
    status = memory_map(process, memory, RIGHT_ALL, *address, 0, size, access, address);
    object_release(&memory->object);
    return status;
}

static enum status give_image(struct program *program, struct process *process)
{
    const struct elf_image *image = &program->image;
    uintptr_t base = space_choose(&process->space, image->size, PAGE_SIZE);
    enum status status;

    program->why = "there is no room in its address space";
    if (base == 0)
        return STATUS_NO_MEMORY;
    status = elf_relocate(program->file, program->size, image, base, program->copies, &program->why);
    if (status != STATUS_OK)
        return status;
    program->why = "there is no memory for its image";
    for (uint32_t i = 0; i < image->segment_count && status == STATUS_OK; i++) {
        uintptr_t address = base + (uintptr_t)image->segments[i].address;
        status = give_memory(process, image->segments[i].size, program->copies[i], image->segments[i].access, &address);
    }
    process->image = base;
    process->image_size = (uintptr_t)image->size;
    return status;
}

/* ---- Its handles ------------------------------------------------------------------------------------------------- */

/* The caller's reference goes into the handle, or is given up. */
static enum status give_handle(struct process *process, struct start_info *info, const char *name,
                               struct object *object, uint32_t rights)
{
    struct start_handle *given = &info->handles[info->handle_count];
    enum status status = handle_install(process, object, rights, 0, &given->value);

    if (status != STATUS_OK) {
        object_release(object);
        return status;
    }
    text_copy(given->name, name, sizeof given->name);
    info->handle_count++;
    audit(AUDIT_GRANT, NULL, process, object->type, rights);
    return STATUS_OK;
}

/* The archive in whole pages, with nothing else in them: as it lies there, if it is so; else, once, a copy. */
static const char *whole_pages(size_t *size)
{
    static const char *pages;
    static size_t pages_size;
    const char *image = ramdisk_image(size);

    if (pages == NULL && image != NULL) {
        size_t rounded = (*size + PAGE_SIZE - 1) & ~(PAGE_SIZE - 1);
        bool whole = *size == rounded && ((uintptr_t)image & (PAGE_SIZE - 1)) == 0;
        unsigned order = 0;
        while (order < FRAME_MAX_ORDER && PAGE_SIZE << order < rounded)
            order++;
        char *copy = whole || PAGE_SIZE << order < rounded ? NULL : pages_allocate(order);
        if (copy != NULL)
            memcpy(copy, image, *size);
        pages = whole ? image : copy;
        pages_size = rounded;
    }
    *size = pages_size;
    return pages;
}

static enum status give_ramdisk(struct process *process, struct start_info *info)
{
    size_t size;
    const char *pages = whole_pages(&size);
    struct memory *memory;

    if (pages == NULL) {
        log_error("init", "there is no memory for a copy of the initial ramdisk, and init goes without");
        return STATUS_OK;
    }
    mmu_code_written((void *)(uintptr_t)pages, size);
    enum status status = memory_borrow(process, virtual_to_physical(pages), size, &memory);
    if (status != STATUS_OK)
        return status;
    return give_handle(process, info, "ramdisk", &memory->object,
                       rule_rights_of(OBJECT_MEMORY) & ~(uint32_t)RIGHT_WRITE);
}

static enum status give_handles(struct program *program, struct process *process, struct start_info *info)
{
    enum status status;

    program->why = "there is no memory for its handles";
    object_hold(&process->object);
    object_hold(&console_object);
    object_hold(&clock_object);
    if ((status = give_handle(process, info, "self", &process->object, rule_rights_of(OBJECT_PROCESS))) != STATUS_OK)
        return status;
    if ((status = give_handle(process, info, "console", &console_object, rule_rights_of(OBJECT_CONSOLE))) != STATUS_OK)
        return status;
    if ((status = give_handle(process, info, "clock", &clock_object, rule_rights_of(OBJECT_CLOCK))) != STATUS_OK)
        return status;
    if ((status = give_ramdisk(process, info)) != STATUS_OK)
        return status;
    if ((status = endpoint_create(process, &control)) != STATUS_OK)
        return status;
    object_hold(&control->object); /* the prompt's */
    return give_handle(process, info, "control", &control->object, RIGHT_RECEIVE | RIGHT_INSPECT);
}

/* ---- All of it --------------------------------------------------------------------------------------------------- */

/* What the kernel's budget has left, but for what it needs for init itself and for its calls to it, and a reserve. */
static void limits_of_init(struct process_parameters *parameters)
{
    for (unsigned i = 0; i < BUDGET_COUNT; i++) {
        uint64_t rest = kernel_process.limits[i] - kernel_process.used[i];
        parameters->limits[i] = i == BUDGET_CPU ? rest : rest - rest / RESERVE_PART;
    }
    uint64_t left = kernel_process.limits[BUDGET_MEMORY] - kernel_process.used[BUDGET_MEMORY],
             reserve = left / RESERVE_PART;
    if (reserve < RESERVE_LEAST)
        reserve = RESERVE_LEAST;
    parameters->limits[BUDGET_MEMORY] = left > 2 * reserve ? left - reserve : left / 2;
    parameters->limits[BUDGET_THREADS] -= parameters->limits[BUDGET_THREADS] / RESERVE_PART;
    parameters->limits[BUDGET_OBJECTS] -= parameters->limits[BUDGET_OBJECTS] / RESERVE_PART;
}

static enum status begin(struct program *program, struct process *process, struct start_info *info)
{
    uintptr_t stack = 0, at = 0;
    struct thread *thread;
    enum status status = give_image(program, process);

    if (status == STATUS_OK)
        status = give_handles(program, process, info);
    if (status != STATUS_OK)
        return status;
    program->why = "there is no memory for its stack";
    status = give_memory(process, INIT_STACK, NULL, RIGHT_READ | RIGHT_WRITE, &stack);
    info->image = process->image;
    info->image_size = process->image_size;
    info->stack = stack;
    info->stack_size = INIT_STACK;
    if (status == STATUS_OK)
        status = give_memory(process, PAGE_SIZE, info, RIGHT_READ, &at);
    if (status != STATUS_OK)
        return status;
    process->start_info = at;
    program->why = "its first thread cannot be made";
    const struct thread_parameters parameters = {
        .entry = process->image + program->image.entry,
        .stack = stack + INIT_STACK,
        .argument = at,
        .budget_ns = INIT_BUDGET_MS * NANOSECONDS_PER_MILLISECOND,
        .period_ns = INIT_PERIOD_MS * NANOSECONDS_PER_MILLISECOND,
        .priority = INIT_PRIORITY,
    };
    return thread_create(process, &parameters, &thread);
}

/* With the lock. */
static enum status make_process(struct program *program, struct start_info *info)
{
    struct process_parameters parameters = {.name = "init", .highest_priority = PRIORITIES - 1};
    struct process *process;

    limits_of_init(&parameters);
    program->why = "its process cannot be made";
    enum status status = process_create(&kernel_process, &parameters, &process);
    if (status != STATUS_OK)
        return status;
    audit(AUDIT_CREATE, NULL, process, OBJECT_PROCESS, 0);
    status = begin(program, process, info);
    if (status == STATUS_OK) {
        init = process;
        return STATUS_OK;
    }
    if (control != NULL)
        object_release(&control->object);
    control = NULL;
    process_end(process, END_KILLED, 0);
    object_release(&process->object);
    return status;
}

/* What is not the file's. One page, as it will be mapped. */
static struct start_info *make_info(void)
{
    static const char arguments[] = "init";
    struct start_info *info = calloc(1, PAGE_SIZE);

    _Static_assert(sizeof *info <= PAGE_SIZE, "what a process begins with is a page");
    if (info == NULL)
        return NULL;
    info->abi_version = ABI_VERSION;
    info->size = sizeof *info;
    random_bytes(info->random, sizeof info->random);
    memcpy(info->arguments, arguments, sizeof arguments);
    info->arguments_size = sizeof arguments;
    return info;
}

void init_start(void)
{
    struct program program = {.why = "there is no memory for what it begins with"};
    struct start_info *info = make_info();
    enum status status = info != NULL ? read_program(&program) : STATUS_NO_MEMORY;

    if (status == STATUS_OK) {
        uintptr_t saved = lock_take(&objects_lock);
        status = make_process(&program, info);
        lock_release(&objects_lock, saved);
    }
    drop_copies(&program);
    free(info);
    if (status == STATUS_OK) {
        started++;
        log_info("init", "%s runs as process %llu and may use %llu KiB", INIT_FILE, (unsigned long long)init->id,
                 (unsigned long long)(init->limits[BUDGET_MEMORY] / 1024));
    } else {
        log_error("init", "%s cannot be started: %s (%s); no process runs", INIT_FILE, program.why,
                  status_text(status));
    }
}

static bool is_answered(void *context)
{
    return ((volatile struct kernel_call *)context)->done;
}

void init_wait(void)
{
    struct kernel_call call = {.message = MESSAGE(CONTROL_READY, 0, 0)};
    struct control_answer answer;
    char text[sizeof answer.text + 1];

    if (control == NULL)
        return;
    uintptr_t saved = lock_take(&objects_lock);
    enum status status = kernel_call_start(control, &call);
    lock_release(&objects_lock, saved);
    if (status == STATUS_OK) {
        if (!kernel_wait(is_answered, &call, clock_now() + READY_SECONDS * NANOSECONDS_PER_SECOND))
            status = STATUS_TIMED_OUT;
        kernel_call_end(&call);
    }
    if (status == STATUS_OK)
        status = call.status;
    if (status == STATUS_OK)
        status = (enum status)MESSAGE_LABEL(call.message);
    memcpy(&answer, call.words, sizeof answer);
    text_sanitise(text, answer.text, sizeof answer.text);
    if (status == STATUS_OK)
        log_info("init", "%s", text);
    else
        log_warn("init", "init does not say that everything is started (%s); nobody waits any longer",
                 status_text(status));
}

bool init_look(void)
{
    struct process *process = init;

    if (process == NULL || __atomic_load_n(&process->state, __ATOMIC_ACQUIRE) != PROCESS_ENDED)
        return false;
    log_error("init", "init has ended (%s, code %llu), and with it everything that it had started",
              process_end_name(process->end), (unsigned long long)process->end_code);
    uintptr_t saved = lock_take(&objects_lock);
    init = NULL;
    object_release(&control->object);
    control = NULL;
    object_release(&process->object);
    lock_release(&objects_lock, saved);
    if (started <= INIT_RESTARTS) {
        log_info("init", "it is started again, %u of %u times", started, INIT_RESTARTS);
        init_start();
    } else {
        log_error("init", "it was started again %u times already and stays away; no process runs", INIT_RESTARTS);
    }
    return true;
}

struct endpoint *init_control(void)
{
    return control;
}
