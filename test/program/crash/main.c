/*
 * crash: does what its argument says that no process can, for test_crash.py. Each in a function of its own, so that the
 * backtrace can be told.
 */
#include <lib/string.h>
#include <vmos/service.h>

#define ALONE __attribute__((noinline, used))

/* NOLINTNEXTLINE(misc-no-recursion): without end on purpose */
ALONE static int sink_deeper(volatile int depth)
{
    volatile char room[400];

    room[0] = (char)depth;
    return depth < 0 ? 0 : sink_deeper(depth + 1) + room[0];
}

ALONE static void read_nothing(void)
{
    printf("%d\n", *(volatile int *)(uintptr_t)0x20);
}

ALONE static void write_constant(void)
{
    static const int constant = 7;

    *(volatile int *)(uintptr_t)&constant = 8;
}

ALONE static void write_kernel(void)
{
    *(volatile int *)UINT64_C(0xffffffff80000000) = 1;
}

ALONE static void run_data(void)
{
    static int data;

    ((void (*)(void))(uintptr_t)&data)();
    data++; /* no call in its place that leaves no record */
}

ALONE static void run_nothing(void)
{
    static volatile int after;

    ((void (*)(void))(uintptr_t)0x123456000)();
    after++;
}

ALONE static void run_nonsense(void)
{
    __builtin_trap();
}

/* What the kernel's walk along the stack makes of frame pointers that lead nowhere, or round in a ring. */
ALONE static void spoil_frames(void)
{
    uintptr_t *frame = __builtin_frame_address(0);

    for (int i = -2; i < 2; i++)
        frame[i] = (uintptr_t)frame;
    *(volatile int *)(uintptr_t)0x20 = 1;
}

/* A program's word about itself is not believed. */
ALONE static void spoil_start(void)
{
    system_memory_unmap(0, (uintptr_t)start_info, 4096);
    *(volatile int *)(uintptr_t)0x20 = 1;
}

/* Beside others, each of which does something else. The last that was started is told of first. */
static handle endpoint;

static void answer_nobody(void *argument, struct message_buffer *buffer)
{
    uint64_t received;

    (void)argument;
    (void)buffer;
    vmos_ipc_reply_receive(0, 0, endpoint, 0, 0, DEADLINE_NEVER, &received);
    sleep_until(DEADLINE_NEVER);
}

static void ask(void *argument, struct message_buffer *buffer)
{
    uint64_t answer;

    (void)argument;
    (void)buffer;
    vmos_ipc_call(endpoint, MESSAGE(1, 0, 0), DEADLINE_NEVER, &answer);
}

ALONE static void turn(void *argument, struct message_buffer *buffer)
{
    (void)argument;
    (void)buffer;
    for (;;)
        vmos_thread_yield();
}

ALONE static void read_beside_others(void)
{
    static void (*const others[])(void *argument, struct message_buffer *buffer) = {answer_nobody, answer_nobody, ask,
                                                                                    ask,           ask,           turn};

    vmos_endpoint_create(&endpoint);
    for (unsigned i = 0; i < sizeof others / sizeof others[0]; i++) {
        thread_start(others[i], NULL, 4096, NULL);
        sleep_until(now_ns() + 20 * NANOSECONDS_PER_MILLISECOND);
    }
    read_nothing();
}

int main(int argc, char **argv)
{
    static const struct {
        const char *name;
        void (*crash)(void);
    } ways[] = {
        {"read", read_nothing},   {"constant", write_constant}, {"kernel", write_kernel},
        {"data", run_data},       {"nothing", run_nothing},     {"nonsense", run_nonsense},
        {"frames", spoil_frames}, {"start", spoil_start},       {"beside", read_beside_others},
    };

    for (unsigned i = 0; argc > 1 && i < sizeof ways / sizeof ways[0]; i++)
        if (strcmp(argv[1], ways[i].name) == 0)
            ways[i].crash();
    if (argc > 1 && strcmp(argv[1], "stack") == 0)
        printf("%d\n", sink_deeper(0));
    printf("crash: nothing is known of that\n");
    return 1;
}
