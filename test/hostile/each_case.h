/*
 * each_case.h: the driving half of a program that does its worst, by cases: cases[] stands before it. It is init of a
 * ramdisk of its own (bin/init) and starts itself anew for each case, in a process that ends by it or comes back with
 * CODE_SURVIVED.
 */
#include <vmos/service.h>

#include <lib/cpio.h>
#include <lib/string.h>

enum { CODE_SURVIVED = 7, CODE_NOT_STARTED = 9 };

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

    for (unsigned i = 0; argc > 1 && i < sizeof cases / sizeof cases[0]; i++)
        if (strcmp(argv[1], cases[i].name) == 0) {
            cases[i].run();
            return CODE_SURVIVED;
        }
    if (!find_self(&file, &size) || vmos_notification_create(&notification) != STATUS_OK)
        return CODE_NOT_STARTED;
    for (unsigned i = 0; i < sizeof cases / sizeof cases[0]; i++)
        start_case(i, file, size, notification);
    printf("all cases done\n");
    sleep_until(DEADLINE_NEVER);
    return 0;
}
