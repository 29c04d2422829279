/*
 * The vmos side of `make bench` and test/qemu/test_bench.py: takes init's place, alone on the machine. For each
 * operation a line `bench NAME TICKS ROUNDS`, in ticks of the counter; the last line is `bench done`. How many rounds,
 * bench.conf in the ramdisk says. What others must do here is done by this program again, in a process of its own.
 */
#include <bench_arch.h>
#include <lib/cpio.h>
#include <lib/string.h>
#include <lib/text.h>
#include <vmos/service.h>

enum { PAGE = 4096, WARM = 100 };

static struct {
    const void *archive, *program;
    size_t size, program_size;
} ramdisk;
static uint64_t rounds = 1000;
static handle endpoint, there, back; /* notifications: to the other process, and from it */

static void must(enum status status, const char *what)
{
    if (status == STATUS_OK)
        return;
    printf("bench failed: %s: %s\n", what, status_text(status));
    sleep_until(DEADLINE_NEVER);
}

static void result(const char *name, uint64_t ticks, uint64_t count)
{
    printf("bench %s %llu %llu\n", name, (unsigned long long)ticks, (unsigned long long)count);
}

/* ---- The other process ------------------------------------------------------------------------------------------- */

static int echo(void)
{
    uint64_t answer = 0, received;
    handle reply = 0;

    endpoint = start_handle("endpoint");
    while (vmos_ipc_reply_receive(reply, answer, endpoint, 0, 0, DEADLINE_NEVER, &received) == STATUS_OK) {
        reply = first_buffer->reply;
        answer = MESSAGE(0, 8, 0);
    }
    return 1;
}

static int wake(void)
{
    uint64_t bits;

    there = start_handle("there");
    back = start_handle("back");
    while (vmos_notification_wait(there, 1, DEADLINE_NEVER, &bits) == STATUS_OK)
        vmos_notification_signal(back, 1);
    return 1;
}

static int yield(void)
{
    for (;;)
        vmos_thread_yield();
}

static int arrive(void)
{
    return vmos_notification_signal(start_handle("back"), 1) == STATUS_OK ? 0 : 1;
}

static const struct role {
    const char *name;
    int (*run)(void);
} roles[] = {{"echo", echo}, {"wake", wake}, {"yield", yield}, {"arrive", arrive}};

static handle start(const char *role)
{
    struct spawn spawn = {
        .file = ramdisk.program,
        .size = ramdisk.program_size,
        .memory = start_handle("ramdisk"),
        .offset = (uint64_t)((const char *)ramdisk.program - (const char *)ramdisk.archive),
        .arguments = role,
        .arguments_size = strlen(role) + 1,
        .process
            .limits = {[BUDGET_MEMORY] = 1 << 20, [BUDGET_HANDLES] = 16, [BUDGET_THREADS] = 1, [BUDGET_OBJECTS] = 8},
        .handle_count = 3,
        .handles = {{"endpoint", endpoint, RIGHT_RECEIVE}, {"there", there, RIGHT_WAIT}, {"back", back, RIGHT_SIGNAL}},
    };
    handle process = 0;

    text_copy(spawn.process.name, role, sizeof spawn.process.name);
    enum status status = spawn_process(&spawn, &process);
    if (status != STATUS_OK)
        printf("bench failed: %s\n", spawn.why);
    must(status, role);
    return process;
}

/* All that it had has come back when this returns. */
static void end(handle process)
{
    uint64_t bits;

    must(vmos_process_watch(process, back, 2), "watch");
    vmos_process_kill(process, 0);
    must(vmos_notification_wait(back, 2, DEADLINE_NEVER, &bits), "wait for an end");
    vmos_handle_close(process);
}

/* ---- Operations -------------------------------------------------------------------------------------------------- */

static void spin(void)
{
    uint64_t from = bench_counter();

    bench_spin(1000000);
    result("spin", bench_counter() - from, 2000000);
}

static void null_call(void)
{
    uint64_t version, from = bench_counter();

    for (uint64_t i = 0; i < rounds; i++)
        vmos_abi_version(&version);
    result("null-call", bench_counter() - from, rounds);
}

static void calls(void)
{
    handle process = start("echo");
    uint64_t answer, from = 0;

    for (uint64_t i = 0; i < rounds + WARM; i++) {
        if (i == WARM)
            from = bench_counter();
        must(vmos_ipc_call(endpoint, MESSAGE(1, 8, 0), DEADLINE_NEVER, &answer), "call");
    }
    result("call-reply", bench_counter() - from, rounds);
    end(process);
}

/* There and back: two of them. */
static void wake_ups(void)
{
    handle process = start("wake");
    uint64_t bits, from = 0;

    for (uint64_t i = 0; i < rounds + WARM; i++) {
        if (i == WARM)
            from = bench_counter();
        must(vmos_notification_signal(there, 1), "signal");
        must(vmos_notification_wait(back, 1, DEADLINE_NEVER, &bits), "wait");
    }
    result("wake-up", bench_counter() - from, rounds * 2);
    end(process);
}

static void switches(void)
{
    handle process = start("yield");
    uint64_t from = 0;

    for (uint64_t i = 0; i < rounds + WARM; i++) {
        if (i == WARM)
            from = bench_counter();
        vmos_thread_yield();
    }
    result("switch", bench_counter() - from, rounds * 2);
    end(process);
}

static void pages(void)
{
    uint64_t from = bench_counter(), address;
    handle memory;

    for (uint64_t i = 0; i < rounds; i++) {
        must(vmos_memory_create(PAGE, &memory), "create memory");
        must(vmos_memory_map(0, memory, 0, 0, PAGE, RIGHT_READ | RIGHT_WRITE, &address), "map");
        *(volatile char *)(uintptr_t)address = 1;
        must(vmos_memory_unmap(0, address, PAGE), "unmap");
        vmos_handle_close(memory);
    }
    result("page", bench_counter() - from, rounds);
}

static void spawns(void)
{
    uint64_t ticks = 0, bits, count = rounds / 50 + 1;

    for (uint64_t i = 0; i < count + 1; i++) {
        uint64_t from = bench_counter();
        handle process = start("arrive");
        must(vmos_notification_wait(back, 1, DEADLINE_NEVER, &bits), "wait for main");
        if (i > 0)
            ticks += bench_counter() - from;
        end(process);
    }
    result("spawn", ticks, count);
}

/* ---- Order ------------------------------------------------------------------------------------------------------- */

static void read_ramdisk(void)
{
    struct memory_info info = {0};
    uint64_t written, address = 0;
    handle memory = start_handle("ramdisk");
    const void *text;
    size_t size;

    must(vmos_object_info(memory, &info, sizeof info, &written), "info");
    must(vmos_memory_map(0, memory, 0, 0, info.size, RIGHT_READ, &address), "map the ramdisk");
    ramdisk.archive = (const void *)(uintptr_t)address;
    ramdisk.size = info.size;
    must(cpio_find(ramdisk.archive, ramdisk.size, "bin/init", &ramdisk.program, &ramdisk.program_size), "bin/init");
    if (cpio_find(ramdisk.archive, ramdisk.size, "bench.conf", &text, &size) == STATUS_OK) {
        char number[24];
        text_copy(number, text, size < sizeof number ? size : sizeof number);
        text_to_number(number, NULL, &rounds);
    }
}

int main(int argc, char **argv)
{
    /* Promised nothing, so that no period ends while it measures. */
    static const struct thread_parameters background;

    for (size_t i = 0; argc > 0 && i < sizeof roles / sizeof roles[0]; i++)
        if (strcmp(argv[0], roles[i].name) == 0)
            return roles[i].run();
    must(vmos_thread_configure(0, &background), "configure");
    read_ramdisk();
    must(vmos_endpoint_create(&endpoint), "endpoint");
    must(vmos_notification_create(&there), "notification");
    must(vmos_notification_create(&back), "notification");
    spin();
    null_call();
    calls();
    wake_ups();
    switches();
    pages();
    spawns();
    printf("bench done\n");
    sleep_until(DEADLINE_NEVER);
    return 0;
}
