/*
 * registers: nobody sees what another thread or process has in its floating-point and SIMD registers, and nobody loses
 * his own: two processes with two threads each hold patterns of their own over many switches, on all CPUs, while
 * threads that begin look at what they find.
 */
#include "hostile.h"

#include "registers.h"

#include <lib/string.h>

enum { ROUNDS = 400, SPIN = 20000, STACK = 16 << 10, BEGINNERS = 100 };

static uint64_t done;

static void hold(void *argument, struct message_buffer *buffer)
{
    _Alignas(64) uint64_t pattern[REGISTERS_SPACE / 8], seen[REGISTERS_SPACE / 8];

    (void)argument;
    (void)buffer;
    for (uint64_t i = 0; i < ROUNDS * scale / 100; i++) {
        registers_pattern(pattern, chance());
        memcpy(seen, pattern, sizeof seen);
        registers_hold(pattern, seen, chance_below(SPIN));
        for (unsigned word = 0; word < REGISTERS_SPACE / 8; word++)
            CHECK(seen[word] == pattern[word], "%s: word %u is %llx, not %llx", case_name, word,
                  (unsigned long long)seen[word], (unsigned long long)pattern[word]);
        if (i % 4 == 0)
            vmos_thread_yield();
        if (i % 16 == 0)
            sleep_until(now_ns() + 20 * NANOSECONDS_PER_MICROSECOND);
    }
    __atomic_add_fetch(&done, 1, __ATOMIC_SEQ_CST);
}

static void hold_twice(void)
{
    WORKS(thread_start(hold, NULL, STACK, NULL));
    hold(NULL, NULL);
    while (__atomic_load_n(&done, __ATOMIC_SEQ_CST) < 2)
        sleep_until(now_ns() + NANOSECONDS_PER_MILLISECOND);
}

static void begin_and_look(void)
{
    _Alignas(64) static uint64_t found[REGISTERS_SPACE / 8];
    struct thread_parameters parameters = {.entry = (uintptr_t)registers_entry, .argument = (uintptr_t)found};
    handle thread, memory;

    parameters.stack = (uintptr_t)map_new(PAGE, &memory) + PAGE;
    for (unsigned i = 0; i < BEGINNERS; i++) {
        memset(found, 0x5a, sizeof found);
        WORKS(vmos_thread_create(0, &parameters, &thread));
        WORKS(vmos_handle_close(thread));
        while (used(BUDGET_THREADS) > 1) /* ourselves */
            sleep_until(now_ns() + 100 * NANOSECONDS_PER_MICROSECOND);
        CHECK(registers_fresh(found), "a new thread finds %llx %llx %llx %llx in its registers",
              (unsigned long long)found[0], (unsigned long long)found[3], (unsigned long long)found[4],
              (unsigned long long)found[20]);
    }
}

static void other(void)
{
    hold_twice();
    pass("held");
}

static void registers(void)
{
    const struct peer peer = {.program = "registers", .name = "other"};
    struct process_info info;
    handle process;

    WORKS(spawn_peer(&peer, &process));
    begin_and_look();
    WORKS(thread_start(hold, NULL, STACK, NULL));
    hold(NULL, NULL);
    while (__atomic_load_n(&done, __ATOMIC_SEQ_CST) < 2)
        sleep_until(now_ns() + NANOSECONDS_PER_MILLISECOND);
    CHECK(wait_for_end(process, &info) && info.end_code == 0, "the other process: %s",
          (const char *)(uintptr_t)report->detail);
    pass("four threads of two processes, and %d beginners", BEGINNERS);
}

const struct hostile_case hostile_cases[] = {{"registers", registers}, {"other", other}, {NULL, NULL}};
