/*
 * each_case.h: the driving half of a program that does its worst, by cases. The program is init of a ramdisk of its own
 * (bin/init) and starts itself anew for each case, in a process that ends by it or comes back with CODE_SURVIVED.
 */
#ifndef EACH_CASE_H
#define EACH_CASE_H

#include <vmos/service.h>

#include <lib/cpio.h>
#include <lib/string.h>

enum { CODE_SURVIVED = 7, CODE_WRONG = 8, CODE_NOT_STARTED = 9 };

/* What the program has: its cases, up to a NULL, and a function that writes a pattern of its own into what a switch
 * saves, lets the others run, and looks, again and again; false: it has found another. */
struct a_case {
    const char *name;
    void (*run)(void);
};
extern const struct a_case cases[];
static bool keeps(uint64_t pattern);

#define CASE(name)                                                                                                     \
    {                                                                                                                  \
#name, name                                                                                                    \
    }

/* ---- A case of every program ---------------------------------------------------------------------------------------
 */

static uint32_t finished, wrong;

static void run_keeper(void *argument, struct message_buffer *buffer)
{
    (void)buffer;
    if (!keeps((uintptr_t)argument))
        __atomic_store_n(&wrong, 1, __ATOMIC_SEQ_CST);
    __atomic_fetch_add(&finished, 1, __ATOMIC_SEQ_CST);
}

/* Three threads, each with its own. */
static void keep_registers(void)
{
    for (uintptr_t i = 1; i <= 3; i++)
        if (thread_start(run_keeper, (void *)(i * 0x1234567), 16 << 10, NULL) != STATUS_OK)
            exit(CODE_WRONG);
    while (__atomic_load_n(&finished, __ATOMIC_SEQ_CST) < 3)
        vmos_thread_yield();
    if (wrong != 0)
        exit(CODE_WRONG);
}

/* ---- The cases, a process for each ---------------------------------------------------------------------------------
 */

static bool find_self(const void **file, size_t *size)
{
    struct memory_info info;
    uint64_t written, archive;
    handle memory = start_handle("ramdisk");

    return vmos_object_info(memory, &info, sizeof info, &written) == STATUS_OK &&
           vmos_memory_map(0, memory, 0, 0, info.size, RIGHT_READ, &archive) == STATUS_OK &&
           cpio_find((const void *)(uintptr_t)archive, info.size, "bin/init", file, size) == STATUS_OK;
}

static void start_case(unsigned i, const void *file, size_t size, handle notification)
{
    char arguments[64];
    struct process_info info;
    uint64_t written, bits;
    handle process;
    int length = snprintf(arguments, sizeof arguments, "case%c%s", '\0', cases[i].name);
    struct spawn spawn = {.file = file,
                          .size = size,
                          .arguments = arguments,
                          .arguments_size = (size_t)length + 1,
                          .process.name = "case"};

    spawn.process.limits[BUDGET_MEMORY] = 4 << 20;
    spawn.process.limits[BUDGET_HANDLES] = 32;
    spawn.process.limits[BUDGET_THREADS] = 8;
    spawn.process.limits[BUDGET_OBJECTS] = 32;
    enum status status = spawn_process(&spawn, &process);
    if (status != STATUS_OK) {
        printf("case %s: not started, %s (%s)\n", cases[i].name, spawn.why, status_text(status));
        return;
    }
    vmos_process_watch(process, notification, 1);
    vmos_notification_wait(notification, 1, DEADLINE_NEVER, &bits);
    vmos_object_info(process, &info, sizeof info, &written);
    printf("case %s: %s %llu\n", cases[i].name, info.end == END_CRASHED ? "crashed" : "ended with",
           (unsigned long long)info.end_code);
    vmos_handle_close(process);
}

int main(int argc, char **argv)
{
    const void *file;
    size_t size;
    handle notification;

    for (unsigned i = 0; argc > 1 && cases[i].name != NULL; i++)
        if (strcmp(argv[1], cases[i].name) == 0) {
            cases[i].run();
            return CODE_SURVIVED;
        }
    if (!find_self(&file, &size) || vmos_notification_create(&notification) != STATUS_OK)
        return CODE_NOT_STARTED;
    for (unsigned i = 0; cases[i].name != NULL; i++)
        start_case(i, file, size, notification);
    printf("all cases done\n");
    sleep_until(DEADLINE_NEVER);
    return 0;
}

#endif
