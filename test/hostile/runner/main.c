/*
 * The runner takes init's place: it starts each case in a process of its own, with a small budget, and says what came
 * of it: `hostile NAME: pass|fail  DETAIL`. After each it looks whether everything that it had given has come back, and
 * asks the bystander whether it was disturbed. The last line is `hostile: N passed, N failed`.
 */
#include "hostile.h"

#include <lib/cpio.h>
#include <lib/string.h>
#include <lib/text.h>
#include <vmos/control.h>

enum {
    CASE_PRIORITY = 16,
    CASE_PROMILLE = 300,
    BYSTANDER_PROMILLE = 200,
    SHARE_LEAST = 600, /* thousandths of what it was promised: a host that is busy takes some of it away */
    PLACES = 1000,
    AGAIN_MOST = 50, /* how often a case is repeated to be judged anew */
};

#define PATIENCE_NS  (120 * NANOSECONDS_PER_SECOND) /* for what is usual, and for less of it on a busy host */
#define WINDOW_NS    NANOSECONDS_PER_SECOND         /* a shorter time says nothing about a share */
#define COME_BACK_NS (5 * NANOSECONDS_PER_SECOND)

struct assignment {
    const char *program, *name;
    uint64_t memory, handles, threads, objects; /* limits; 0: as usual */
    uint32_t priority;                          /* the highest that it may have */
    bool all_cpus;                              /* it may use most of the time of every CPU */
};

static const struct assignment assignments[] = {
#include "cases.inc"
};

enum { CASES = sizeof assignments / sizeof assignments[0] };

static struct {
    const char *archive;
    size_t size;
    handle memory;
} ramdisk;

static handle report_memory, questions;
volatile struct report *report;
uint64_t seed = 1, scale = 100;
static uint64_t cpus;
static char only[24];
static bool started;

static struct process_info before; /* of the runner, when nothing runs but the bystander */
static uint64_t judged_cpu_ns, judged_at_ns, last_wrong;

/* ---- The ramdisk and what it says -------------------------------------------------------------------------------- */

static void read_ramdisk(void)
{
    struct memory_info info = {0};
    uint64_t size, address = 0;

    ramdisk.memory = start_handle("ramdisk");
    vmos_object_info(ramdisk.memory, &info, sizeof info, &size);
    if (vmos_memory_map(0, ramdisk.memory, 0, 0, info.size, RIGHT_READ, &address) != STATUS_OK)
        printf("hostile: the ramdisk cannot be mapped\n");
    ramdisk.archive = (const char *)(uintptr_t)address;
    ramdisk.size = info.size;
}

static const void *find(const char *name, size_t *size)
{
    const void *file;

    return cpio_find(ramdisk.archive, ramdisk.size, name, &file, size) == STATUS_OK ? file : NULL;
}

static void read_parameters(void)
{
    size_t size;
    const char *text = find("hostile.conf", &size);
    char word[24];

    if (text == NULL)
        return;
    if (text_option(text, size, "seed", word, sizeof word))
        text_to_number(word, NULL, &seed);
    if (text_option(text, size, "scale", word, sizeof word))
        text_to_number(word, NULL, &scale);
    text_option(text, size, "only", only, sizeof only);
}

/* ---- Processes --------------------------------------------------------------------------------------------------- */

static void about_us(struct process_info *info)
{
    uint64_t size;

    vmos_object_info(start_handle("self"), info, sizeof *info, &size);
}

static size_t words(char *to, size_t capacity, const struct assignment *what)
{
    int length = snprintf(to, capacity, "%s %s %llu %llu", what->program, what->name, (unsigned long long)seed,
                          (unsigned long long)scale);

    for (char *at = to; *at != '\0'; at++)
        if (*at == ' ')
            *at = '\0';
    return (size_t)length + 1;
}

static uint64_t or_usual(uint64_t wish, uint64_t usual)
{
    return wish != 0 ? wish : usual;
}

static enum status start_case(const struct assignment *what, handle extra, handle *process, const char **why)
{
    enum { KEEP = RIGHT_INSPECT | RIGHT_DUPLICATE | RIGHT_TRANSFER };
    uint64_t promille = what->all_cpus ? cpus * 400 : CASE_PROMILLE;
    char arguments[128], path[48];
    struct spawn spawn = {
        .process = {.limits = {or_usual(what->memory, 6 << 20), or_usual(what->handles, 512),
                               or_usual(what->threads, 32), or_usual(what->objects, 512), promille},
                    .highest_priority = (uint32_t)or_usual(what->priority, CASE_PRIORITY)},
        .handles = {{"self", 0, 0},
                    {"clock", start_handle("clock"), 0},
                    {"report", report_memory, RIGHT_READ | RIGHT_WRITE | KEEP},
                    {"ramdisk", ramdisk.memory, RIGHT_READ | KEEP},
                    {"console", start_handle("console"), RIGHT_WRITE},
                    {"questions", extra, RIGHT_RECEIVE}},
        .handle_count = extra != 0 ? 6 : 5,
        .arguments = arguments,
    };

    /* A case lives on what others leave, unless it makes itself a promise; the bystander must answer in time. */
    if (extra != 0)
        spawn.thread = (struct thread_parameters){.priority = CASE_PRIORITY,
                                                  .budget_ns = NANOSECONDS_PER_MILLISECOND,
                                                  .period_ns = 10 * NANOSECONDS_PER_MILLISECOND};
    snprintf(path, sizeof path, "bin/%s", what->program);
    spawn.file = find(path, &spawn.size);
    *why = "the ramdisk has no such program";
    if (spawn.file == NULL)
        return STATUS_NOT_FOUND;
    text_copy(spawn.process.name, what->name, sizeof spawn.process.name);
    spawn.arguments_size = words(arguments, sizeof arguments, what);
    memset((void *)(uintptr_t)report, 0, sizeof *report);
    report->end = END_EXIT;
    report->shared[7] = cpus;
    enum status status = spawn_process(&spawn, process);
    *why = spawn.why;
    return status;
}

/* ---- Verdicts ---------------------------------------------------------------------------------------------------- */

/* What we have is again what we had; the kernel takes processes apart when it finds the time. */
static bool came_back(char *detail, size_t size)
{
    uint64_t until = now_ns() + COME_BACK_NS;
    struct process_info now;
    unsigned different;

    do {
        about_us(&now);
        different = 0;
        while (different < BUDGET_COUNT && now.used[different] == before.used[different])
            different++;
        if (different == BUDGET_COUNT)
            return true;
        sleep_until(now_ns() + NANOSECONDS_PER_MILLISECOND);
    } while (now_ns() < until);
    snprintf(detail, size, "of budget %u, %llu are used that were %llu before", different,
             (unsigned long long)now.used[different], (unsigned long long)before.used[different]);
    return false;
}

enum calm {
    CALM,    /* its memory is what it was, and over a time that is long enough it got what it was promised */
    UNKNOWN, /* the time was too short to say so */
    STARVED, /* it got less */
    DISTURBED,
};

static enum calm ask_bystander(char *detail, size_t size)
{
    uint64_t words_[4];
    uint32_t label = 0;
    enum status status =
        call(first_buffer, questions, &label, NULL, 0, words_, sizeof words_, now_ns() + 5 * NANOSECONDS_PER_SECOND);

    if (status != STATUS_OK) {
        snprintf(detail, size, "the bystander does not answer: %s", status_text(status));
        return DISTURBED;
    }
    if (words_[0] != last_wrong) {
        snprintf(detail, size, "the bystander's memory has changed");
        last_wrong = words_[0];
        return DISTURBED;
    }
    uint64_t wall = words_[2] - judged_at_ns, used = words_[1] - judged_cpu_ns;
    if (wall < WINDOW_NS)
        return UNKNOWN;
    judged_at_ns = words_[2];
    judged_cpu_ns = words_[1];
    if (used * 1000 >= wall * BYSTANDER_PROMILLE / 1000 * SHARE_LEAST)
        return CALM;
    snprintf(detail, size, "the bystander got %llu ms of %llu ms",
             (unsigned long long)(used / NANOSECONDS_PER_MILLISECOND),
             (unsigned long long)(wall / NANOSECONDS_PER_MILLISECOND));
    return STARVED;
}

static bool ended_well(handle process, char *detail, size_t size)
{
    static const char *const words_[] = {"not", "by itself", "killed", "crashed", "killed at the console"};
    char said[sizeof report->detail] = "";
    struct process_info info;
    uint64_t length, bits;
    handle ended;
    bool good = false;

    vmos_notification_create(&ended);
    vmos_process_watch(process, ended, 1);
    enum status status =
        vmos_notification_wait(ended, 1, now_ns() + PATIENCE_NS * (scale > 100 ? scale : 100) / 100, &bits);
    vmos_object_info(process, &info, sizeof info, &length);
    memcpy(said, (const void *)(uintptr_t)report->detail, sizeof said - 1);
    if (status != STATUS_OK) {
        vmos_process_kill(process, 0);
        vmos_notification_wait(ended, 1, now_ns() + COME_BACK_NS, &bits);
        snprintf(detail, size, "it does not end; %s", said);
    } else if (report->verdict == VERDICT_FAIL) {
        snprintf(detail, size, "%s", said);
    } else if (info.end != report->end || (report->code_known != 0 && info.end_code != report->code)) {
        snprintf(detail, size, "it ended %s with %llx, and not %s with %llx (%s)", words_[info.end % 5],
                 (unsigned long long)info.end_code, words_[report->end % 5], (unsigned long long)report->code, said);
    } else {
        good = report->verdict == VERDICT_PASS;
        snprintf(detail, size, "%s", good ? said : "it ended without a verdict");
    }
    vmos_handle_close(ended);
    return good;
}

/* `detail`: what it has done, or why not; `more`: what else was wrong. */
static bool run_once(const struct assignment *what, char *detail, size_t size, char *more, size_t more_size,
                     enum calm *calm)
{
    const char *why;
    handle process;
    enum status status = start_case(what, 0, &process, &why);
    bool good = false;

    more[0] = '\0';
    if (status != STATUS_OK) {
        snprintf(detail, size, "it cannot be started: %s (%s)", why, status_text(status));
    } else {
        good = ended_well(process, detail, size);
        vmos_handle_close(process);
    }
    bool back = came_back(more, more_size);
    *calm = ask_bystander(more, more_size);
    return good && back && *calm != DISTURBED;
}

/* A host that is busy takes time from everybody, a case only while it runs: one after which the bystander had too
 * little is run again, for long enough, and judged by that. */
static bool run_case(const struct assignment *what)
{
    char detail[200], more[100];
    enum calm calm;
    bool good = run_once(what, detail, sizeof detail, more, sizeof more, &calm);

    if (good && calm == STARVED) {
        printf("hostile %s: once more, since %s\n", what->name, more);
        calm = UNKNOWN;
        for (unsigned i = 0; good && calm == UNKNOWN && i < AGAIN_MOST; i++)
            good = run_once(what, detail, sizeof detail, more, sizeof more, &calm);
    }
    good = good && calm != STARVED;
    printf("hostile %s: %s  %s%s%s (seed %llu)\n", what->name, good ? "pass" : "fail", detail,
           more[0] != '\0' ? "; " : "", more, (unsigned long long)seed);
    return good;
}

/* ---- All of it --------------------------------------------------------------------------------------------------- */

/* What grows once and stays: the table of handles, and tables for every place that the kernel chooses for a mapping. */
static void grow_up(void)
{
    handle handles[48], memory;
    uint64_t address;

    for (unsigned i = 0; i < 48; i++)
        vmos_notification_create(&handles[i]);
    for (unsigned i = 0; i < 48; i++)
        vmos_handle_close(handles[i]);
    vmos_memory_create(PAGE, &memory);
    for (unsigned i = 0; i < PLACES; i++) {
        vmos_memory_map(0, memory, 0, 0, PAGE, RIGHT_READ, &address);
        vmos_memory_unmap(0, address, PAGE);
    }
    vmos_handle_close(memory);
}

static void count_cpus(void)
{
    struct process_info info;

    about_us(&info);
    cpus = info.limits[BUDGET_CPU] / 1000;
}

static void start_bystander(void)
{
    static const struct assignment bystander = {.program = "bystander", .name = "bystander"};
    const char *why;
    handle process;

    vmos_endpoint_create(&questions);
    enum status status = start_case(&bystander, questions, &process, &why);
    if (status != STATUS_OK)
        printf("hostile: the bystander cannot be started: %s (%s)\n", why, status_text(status));
}

/* What init would answer. `spawn cases` at the console, or any name: the cases begin, where hostile.conf has start=. */
static uint64_t control(struct server *server, struct request *request, struct message_buffer *buffer)
{
    struct control_answer *answer = (struct control_answer *)buffer->words;

    (void)server;
    memset(answer, 0, sizeof *answer);
    if (MESSAGE_LABEL(request->message) == CONTROL_SPAWN)
        __atomic_store_n(&started, true, __ATOMIC_RELEASE);
    text_copy(answer->text, "the runner of hostile programs", sizeof answer->text);
    return MESSAGE(STATUS_OK, sizeof *answer, 0);
}

static void serve_control(void *argument, struct message_buffer *buffer)
{
    struct server server = {.endpoint = start_handle("control"), .call = control};

    (void)argument;
    serve(&server, buffer);
}

/* So that somebody can look at the ledger before. */
static void wait_for_start(void)
{
    while (!__atomic_load_n(&started, __ATOMIC_ACQUIRE))
        sleep_until(now_ns() + 10 * NANOSECONDS_PER_MILLISECOND);
}

int main(int argc, char **argv)
{
    unsigned passed = 0, failed = 0;
    uint64_t address, size;
    char word[8];

    (void)argc;
    (void)argv;
    read_ramdisk();
    read_parameters();
    vmos_memory_create(PAGE, &report_memory);
    vmos_memory_map(0, report_memory, 0, 0, PAGE, RIGHT_READ | RIGHT_WRITE, &address);
    report = (volatile struct report *)(uintptr_t)address;
    count_cpus();
    thread_start(serve_control, NULL, 8 << 10, NULL);
    start_bystander();
    grow_up();
    ask_bystander(word, sizeof word);
    printf("hostile: prepared\n");
    const char *conf = find("hostile.conf", &size);
    if (conf != NULL && text_option(conf, size, "start", word, sizeof word))
        wait_for_start();
    about_us(&before);
    for (unsigned i = 0; i < CASES; i++)
        if (only[0] == '\0' || strcmp(only, assignments[i].name) == 0)
            run_case(&assignments[i]) ? passed++ : failed++;
    printf("hostile: %u passed, %u failed\n", passed, failed);
    for (;;)
        sleep_until(DEADLINE_NEVER);
}
