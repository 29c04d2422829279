/*
 * faults: what user mode may not do, and what the kernel says to it: the process ends, as crashed, at the address that
 * is named; nobody else does. Each is tried by a process of its own.
 */
#include "hostile.h"

#include <lib/string.h>

#include "faults.h"

/* ---- The same everywhere ----------------------------------------------------------------------------------------- */

#define KERNEL_CODE UINT64_C(0xffffffff80000000)

static void read_null(void)
{
    must_crash(8);
    (void)*(volatile uint64_t *)(uintptr_t)8;
}

static void read_kernel(void)
{
    must_crash(KERNEL_CODE + 0x1000);
    (void)*(volatile uint64_t *)(uintptr_t)(KERNEL_CODE + 0x1000);
}

static void write_kernel(void)
{
    must_crash(KERNEL_CODE + 0x1000);
    *(volatile uint64_t *)(uintptr_t)(KERNEL_CODE + 0x1000) = 1;
}

static void jump(uint64_t address)
{
    must_crash(address);
    __asm__("" : "+r"(address)); /* the compiler must not know that it may be 0 */
    ((void (*)(void))(uintptr_t)address)();
}

static void jump_kernel(void)
{
    jump(KERNEL_CODE + 0x1000);
}

static void jump_null(void)
{
    jump(0);
}

static void jump_data(void)
{
    static uint64_t data[2];

    jump((uintptr_t)data);
}

static void jump_stack(void)
{
    uint64_t data[2] = {0, 0};

    jump((uintptr_t)data & ~(uint64_t)15);
}

static void write_code(void)
{
    must_crash((uintptr_t)write_kernel);
    *(volatile uint8_t *)(uintptr_t)write_kernel = 0;
}

static void write_constant(void)
{
    must_crash((uintptr_t)hostile_cases);
    *(volatile uint64_t *)(uintptr_t)hostile_cases = 0;
}

static void write_start(void)
{
    must_crash((uintptr_t)start_info);
    *(volatile uint64_t *)(uintptr_t)start_info = 0;
}

/* NOLINTNEXTLINE(misc-no-recursion): without end on purpose */
__attribute__((noinline)) static uint64_t deeper(volatile uint64_t depth)
{
    volatile uint64_t room[16] = {depth};

    return depth == UINT64_MAX ? 0 : deeper(depth + 1) + room[depth % 16];
}

static void overflow_stack(void)
{
    must_crash_anywhere();
    deeper(0);
}

static void touch_freed(void)
{
    uint64_t address = unmapped_address();

    must_crash(address);
    *(volatile uint64_t *)(uintptr_t)address = 1;
}

/* A page on either side of what the kernel places stays free. */
static void touch_guard(void)
{
    handle memory;
    uint64_t address = (uintptr_t)map_new(4 * PAGE, &memory) + 4 * PAGE;

    must_crash(address);
    *(volatile uint64_t *)(uintptr_t)address = 1;
}

static const struct fault_case common_faults[] = {{"read-null", read_null},           {"read-kernel", read_kernel},
                                                  {"write-kernel", write_kernel},     {"jump-null", jump_null},
                                                  {"jump-kernel", jump_kernel},       {"jump-data", jump_data},
                                                  {"jump-stack", jump_stack},         {"write-code", write_code},
                                                  {"write-constant", write_constant}, {"write-start", write_start},
                                                  {"overflow-stack", overflow_stack}, {"touch-freed", touch_freed},
                                                  {"touch-guard", touch_guard},       {NULL, NULL}};

/* ---- All of them ------------------------------------------------------------------------------------------------- */

static const struct fault_case *find(const char *name)
{
    const struct fault_case *tables[] = {common_faults, arch_faults};

    for (unsigned i = 0; i < 2; i++)
        for (const struct fault_case *fault = tables[i]; fault->name != NULL; fault++)
            if (strcmp(fault->name, name) == 0)
                return fault;
    return NULL;
}

static unsigned try_all(const struct fault_case *faults)
{
    struct process_info info;
    handle process;
    unsigned count = 0;

    for (; faults->name != NULL; faults++, count++) {
        const struct peer peer = {.program = "faults", .name = "one-fault"};
        report->shared[0] = (uintptr_t)0;
        report->code_known = 0;
        memcpy((void *)(uintptr_t)report->detail, faults->name, strlen(faults->name) + 1);
        WORKS(spawn_peer(&peer, &process));
        CHECK(wait_for_end(process, &info), "%s: goes on for ever", faults->name);
        CHECK(info.end == END_CRASHED, "%s: has not crashed, but ended by %u: %s", faults->name, info.end,
              (const char *)(uintptr_t)report->detail);
        CHECK(report->code_known == 0 || info.end_code == report->code, "%s: crashed at %llx, not at %llx",
              faults->name, (unsigned long long)info.end_code, (unsigned long long)report->code);
        WORKS(vmos_handle_close(process));
    }
    return count;
}

static void faults(void)
{
    unsigned count = try_all(common_faults) + try_all(arch_faults);

    report->end = END_EXIT;
    report->code_known = 0;
    pass("%u kinds, each the end of one process", count);
}

/* Which one stands in the report. */
static void one_fault(void)
{
    char name[32];

    memcpy(name, (const void *)(uintptr_t)report->detail, sizeof name);
    const struct fault_case *fault = find(name);
    if (fault != NULL) {
        must_crash_anywhere();
        fault->run();
    }
    fail("%s does not crash", name);
}

const struct hostile_case hostile_cases[] = {{"faults", faults}, {"one-fault", one_fault}, {NULL, NULL}};
