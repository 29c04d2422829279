/*
 * user.c: what a CPU needs for user mode, and the state of a thread that traps do not save: floating point, SIMD, the
 * thread pointer. Contract in platform/user.h; entries in user.S.
 *
 * Floating-point and SIMD state is x87, SSE and, where the CPU has it, AVX; all else (AVX-512, AMX, protection keys)
 * stays off, so that nobody can leave anything in it. It is saved and loaded at each switch, never later.
 */
#include "local.h"
#include "selectors.h"

#include <lib/string.h>

enum {
    MSR_STAR = 0xc0000081, /* [Intel SDM 3A §5.8.8] */
    MSR_LSTAR = 0xc0000082,
    MSR_FLAGS_MASK = 0xc0000084,
    MSR_FS_BASE = 0xc0000100,
    MSR_KERNEL_GS_BASE = 0xc0000102,

    /* What is off in the kernel whatever user mode had; interrupt gates see to all but D and AC by themselves. */
    FLAGS_TRAP = 1 << 8,
    FLAGS_INTERRUPT = 1 << 9,
    FLAGS_DIRECTION = 1 << 10,
    FLAGS_IO_LEVEL = 3 << 12,
    FLAGS_NESTED = 1 << 14,
    FLAGS_RESUME = 1 << 16,
    FLAGS_ALIGNMENT = 1 << 18,
    FLAGS_OFF =
        FLAGS_TRAP | FLAGS_INTERRUPT | FLAGS_DIRECTION | FLAGS_IO_LEVEL | FLAGS_NESTED | FLAGS_RESUME | FLAGS_ALIGNMENT,
    FLAGS_USER = FLAGS_INTERRUPT | 1 << 1 /* always on */,

    /* The legacy area, the same for FXSAVE and XSAVE [Intel SDM 1 table 10-2] */
    FXSAVE_SIZE = 512,
    FXSAVE_CONTROL = 0,
    FXSAVE_MXCSR = 24,
    CONTROL_INITIAL = 0x37f, /* all exceptions masked */
    MXCSR_INITIAL = 0x1f80,

    STATE_X87 = 1 << 0, /* [Intel SDM 1 §13.1] */
    STATE_SSE = 1 << 1,
    STATE_AVX = 1 << 2,
    LEAF_STATE = 0xd,
};

uint16_t user_verify = SELECTOR_DATA; /* what VERW looks at */

static uint64_t states; /* XCR0; 0: FXSAVE it is */
static size_t states_size;
static bool forgets_pointers; /* AMD: saves and loads x87's last addresses only when there is an error */

/* By the boot CPU; the others are of its kind. */
static void detect_states(void)
{
    uint32_t vendor = cpuid(0, 0).ebx;

    states = !cpu_has(FEATURE_XSAVE) ? 0 : STATE_X87 | STATE_SSE | (cpu_has(FEATURE_AVX) ? STATE_AVX : 0);
    forgets_pointers = (vendor == VENDOR_AMD || vendor == VENDOR_HYGON) && !cpu_has(FEATURE_X87_POINTERS);
}

void user_init_cpu(void)
{
    if (states_size == 0)
        detect_states();
    if (states != 0)
        __asm__ volatile("xsetbv" ::"c"(0), "a"((uint32_t)states), "d"((uint32_t)(states >> 32)));
    if (states_size == 0)
        states_size = states != 0 ? cpuid(LEAF_STATE, 0).ebx : FXSAVE_SIZE; /* for what is on */
    msr_write(MSR_STAR, (uint64_t)SELECTOR_CODE << 32 | (uint64_t)(SELECTOR_USER_DATA - 8) << 48);
    _Static_assert(SELECTOR_DATA == SELECTOR_CODE + 8 && SELECTOR_USER_CODE == SELECTOR_USER_DATA + 8, "STAR");
    msr_write(MSR_LSTAR, (uintptr_t)user_entry);
    msr_write(MSR_FLAGS_MASK, FLAGS_OFF);
    msr_write(MSR_FS_BASE, 0);
    msr_write(MSR_KERNEL_GS_BASE, 0);
    msr_write(MSR_EFER, msr_read(MSR_EFER) | EFER_SYSTEM_CALLS);
    speculation_init_cpu();
}

void user_init(void)
{
    speculation_warn();
}

/* ---- Contexts ------------------------------------------------------------------------------------------- */

size_t user_extended_size(void)
{
    return states_size;
}

void user_context_init(struct user_context *context, uintptr_t entry, uintptr_t stack, uint64_t first, uint64_t second)
{
    static const uint16_t control = CONTROL_INITIAL;
    static const uint32_t mxcsr = MXCSR_INITIAL;
    char *extended = context->extended;

    *context = (struct user_context){
        .frame = {.rip = entry,
                  .rsp = stack,
                  .rdi = first,
                  .rsi = second,
                  .cs = SELECTOR_USER_CODE,
                  .ss = SELECTOR_USER_DATA,
                  .rflags = FLAGS_USER},
        .thread_pointer = second < USER_TOP ? second : 0 /* what is not canonical would fault */,
        .extended = extended,
    };
    memcpy(extended + FXSAVE_CONTROL, &control, sizeof control);
    memcpy(extended + FXSAVE_MXCSR, &mxcsr, sizeof mxcsr);
}

/* Selectors that user mode has loaded are not for the next. GS's base is that of user mode between two SWAPGS. */
static void drop_selectors(void)
{
    uint32_t ds, es, fs, gs;

    __asm__ volatile("mov %%ds, %0; mov %%es, %1; mov %%fs, %2; mov %%gs, %3" : "=r"(ds), "=r"(es), "=r"(fs), "=r"(gs));
    if ((ds | es | fs | gs) == 0)
        return;
    __asm__ volatile("mov %0, %%ds; mov %0, %%es; mov %0, %%fs; swapgs; mov %0, %%gs; swapgs" ::"r"(0) : "memory");
    msr_write(MSR_KERNEL_GS_BASE, 0); /* not all CPUs let the base go with the selector */
}

static void save(void *extended)
{
    if (states != 0)
        __asm__ volatile("xsave64 (%0)" ::"r"(extended), "a"((uint32_t)states), "d"((uint32_t)(states >> 32))
                         : "memory");
    else
        __asm__ volatile("fxsave64 (%0)" ::"r"(extended) : "memory");
}

static void load(const void *extended)
{
    static const uint32_t zero;

    if (forgets_pointers) /* makes the last addresses the kernel's own */
        __asm__ volatile("fnclex; emms; fildl %0" ::"m"(zero));
    if (states != 0)
        __asm__ volatile("xrstor64 (%0)" ::"r"(extended), "a"((uint32_t)states), "d"((uint32_t)(states >> 32))
                         : "memory");
    else
        __asm__ volatile("fxrstor64 (%0)" ::"r"(extended) : "memory");
}

void user_switch(struct user_context *from, struct user_context *to)
{
    drop_selectors();
    if (from != NULL)
        save(from->extended);
    if (to == NULL)
        return;
    load(to->extended);
    msr_write(MSR_FS_BASE, to->thread_pointer);
}

void user_report(const struct user_context *context, struct printer *printer)
{
    trap_print_registers(&context->frame, printer);
}

/* ---- Copies --------------------------------------------------------------------------------------------- */

/* LFENCE: nothing is read ahead of the answer. */
static bool is_user(uintptr_t address, size_t size)
{
    bool inside = address >= USER_BOTTOM && address <= USER_TOP && size <= USER_TOP - address;

    __asm__ volatile("lfence" ::: "memory");
    return inside;
}

/* NOLINTBEGIN(performance-no-int-to-ptr): addresses of somebody else's */
bool user_copy_in(void *to, uintptr_t from, size_t size)
{
    return is_user(from, size) && user_copy(to, (const void *)from, size);
}

bool user_copy_out(uintptr_t to, const void *from, size_t size)
{
    return is_user(to, size) && user_copy((void *)to, from, size);
}
/* NOLINTEND(performance-no-int-to-ptr) */
