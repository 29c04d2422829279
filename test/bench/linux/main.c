/*
 * The Linux side of `make bench`: init of a ramdisk that has nothing else, without a C library. Prints the same lines
 * as test/bench/vmos/main.c, for the nearest that Linux has, then switches the machine off.
 */
#include <bench_arch.h>
#include <linux_arch.h>

#include <stddef.h>

#ifndef ROUNDS
#define ROUNDS 10000
#endif

enum {
    SIGKILL = 9,
    SIGCHLD = 17,
    PROT_READ_WRITE = 3,
    MAP_PRIVATE_ANONYMOUS = 0x22,
    PAGE = 4096,
    SPAWNS = ROUNDS / 50,
};

static long call(long number, long a, long b, long c)
{
    return linux_call(number, a, b, c, 0, 0, 0);
}

static void text(const char *string)
{
    size_t length = 0;

    while (string[length] != '\0')
        length++;
    call(LINUX_WRITE, 1, (long)string, (long)length);
}

static void number(uint64_t value)
{
    char digits[24], *at = digits + sizeof digits - 1;

    *at = '\0';
    do
        *--at = (char)('0' + value % 10);
    while ((value /= 10) != 0);
    text(at);
}

static void result(const char *name, uint64_t ticks, uint64_t rounds)
{
    text("bench ");
    text(name);
    text(" ");
    number(ticks);
    text(" ");
    number(rounds);
    text("\n");
}

static void must(long value, const char *what)
{
    if (value >= 0)
        return;
    text("bench failed: ");
    text(what);
    text("\n");
    call(LINUX_REBOOT, (long)0xfee1dead, 672274793, 0x4321fedc);
}

static long fork(void)
{
    long child = call(LINUX_CLONE, SIGCHLD, 0, 0);

    must(child, "clone");
    return child;
}

static void end(long child)
{
    call(LINUX_KILL, child, SIGKILL, 0);
    linux_call(LINUX_WAIT4, child, 0, 0, 0, 0, 0);
}

/* Linux is still busy with itself when init begins. The shortest of several was not interrupted. */
static void spin(void)
{
    static const long long_enough[2] = {10, 0};
    uint64_t least = UINT64_MAX;

    call(LINUX_NANOSLEEP, (long)long_enough, 0, 0);
    for (unsigned i = 0; i < 20; i++) {
        uint64_t from = bench_counter();
        bench_spin(1000000);
        uint64_t ticks = bench_counter() - from;
        least = ticks < least ? ticks : least;
    }
    result("spin", least, 2000000);
}

static void null_call(void)
{
    uint64_t from = bench_counter();

    for (unsigned i = 0; i < ROUNDS; i++)
        call(LINUX_GETPID, 0, 0, 0);
    result("null-call", bench_counter() - from, ROUNDS);
}

/* `size` bytes to another process and back. */
static void ping_pong(const char *name, const int to[2], const int from_there[2], long size, unsigned parts)
{
    uint64_t word = 1;
    long child = fork();

    if (child == 0)
        for (;;) {
            must(call(LINUX_READ, to[0], (long)&word, size), "read");
            must(call(LINUX_WRITE, from_there[1], (long)&word, size), "write");
        }
    for (unsigned i = 0; i < 100; i++) { /* both have been everywhere */
        must(call(LINUX_WRITE, to[1], (long)&word, size), "write");
        must(call(LINUX_READ, from_there[0], (long)&word, size), "read");
    }
    uint64_t from = bench_counter();
    for (unsigned i = 0; i < ROUNDS; i++) {
        call(LINUX_WRITE, to[1], (long)&word, size);
        call(LINUX_READ, from_there[0], (long)&word, size);
    }
    result(name, bench_counter() - from, (uint64_t)ROUNDS * parts);
    end(child);
}

static void pipes(void)
{
    int to[2], from[2];

    must(call(LINUX_PIPE2, (long)to, 0, 0), "pipe2");
    must(call(LINUX_PIPE2, (long)from, 0, 0), "pipe2");
    ping_pong("call-reply", to, from, 8, 1);
}

static void events(void)
{
    int there = (int)call(LINUX_EVENTFD2, 0, 0, 0), back = (int)call(LINUX_EVENTFD2, 0, 0, 0);
    int to[2] = {there, there}, from[2] = {back, back};

    must(there, "eventfd2");
    must(back, "eventfd2");
    ping_pong("wake-up", to, from, 8, 2);
}

static void yields(void)
{
    long child = fork();

    if (child == 0)
        for (;;)
            call(LINUX_YIELD, 0, 0, 0);
    for (unsigned i = 0; i < 100; i++)
        call(LINUX_YIELD, 0, 0, 0);
    uint64_t from = bench_counter();
    for (unsigned i = 0; i < ROUNDS; i++)
        call(LINUX_YIELD, 0, 0, 0);
    result("switch", bench_counter() - from, (uint64_t)ROUNDS * 2);
    end(child);
}

static void pages(void)
{
    uint64_t from = bench_counter();

    for (unsigned i = 0; i < ROUNDS; i++) {
        long page = linux_call(LINUX_MMAP, 0, PAGE, PROT_READ_WRITE, MAP_PRIVATE_ANONYMOUS, -1, 0);
        *(volatile char *)page = 1;
        call(LINUX_MUNMAP, page, PAGE, 0);
    }
    result("page", bench_counter() - from, ROUNDS);
}

static void spawns(void)
{
    static const char *const arguments[] = {"/init", "child", NULL};
    uint64_t ticks = 0;
    int done[2];
    char byte;

    must(call(LINUX_PIPE2, (long)done, 0, 0), "pipe2");
    for (unsigned i = 0; i < SPAWNS + 1; i++) {
        uint64_t from = bench_counter();
        long child = fork();
        if (child == 0) {
            must(call(LINUX_EXECVE, (long)arguments[0], (long)arguments, (long)&arguments[2]), "execve");
            call(LINUX_EXIT_GROUP, 1, 0, 0);
        }
        must(call(LINUX_READ, done[0], (long)&byte, 1), "read");
        if (i > 0)
            ticks += bench_counter() - from;
        linux_call(LINUX_WAIT4, child, 0, 0, 0, 0, 0);
    }
    result("spawn", ticks, SPAWNS);
}

void bench_main(const long *stack); /* _start calls it */
__attribute__((used)) void bench_main(const long *stack)
{
    if (stack[0] == 2) { /* execve of spawns(): descriptors are 0 to 2 and the pipe of each kind, the last is ours */
        for (long fd = 20; fd > 2; fd--)
            if (call(LINUX_WRITE, fd, (long)"x", 1) == 1)
                break;
        call(LINUX_EXIT_GROUP, 0, 0, 0);
    }
    spin();
    null_call();
    pipes();
    events();
    yields();
    pages();
    spawns();
    text("bench done\n");
    call(LINUX_REBOOT, (long)0xfee1dead, 672274793, 0x4321fedc);
    for (;;)
        call(LINUX_YIELD, 0, 0, 0);
}
