/*
 * test_x64_user.c: platform/x64's user mode as far as it can be shown without a machine: what exceptions mean, what
 * addresses are a process's, what a context begins with, and what is done about speculation on which CPU.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "host_log.h"

/* In the place of instructions.h. */
#define X64_INSTRUCTIONS_H
struct cpuid_result {
    uint32_t eax, ebx, ecx, edx;
};
struct cpuid_result cpuid(uint32_t leaf, uint32_t subleaf);
static uint64_t msr_read(uint32_t number);
static void msr_write(uint32_t number, uint64_t value);

#include "platform/x64/fault.c"
#include "platform/x64/speculation.c"
#include "platform/x64/user.c"

/* ---- The CPU --------------------------------------------------------------------------------------------- */

static struct {
    uint32_t vendor; /* CPUID 0, EBX */
    uint64_t features;
    uint64_t capabilities, speculation, efer, predictions;
    unsigned written;
} msr;

static struct cpu cpu;
struct x64_cpu boot_x64;
char user_entry[1];

struct cpuid_result cpuid(uint32_t leaf, uint32_t subleaf)
{
    (void)subleaf;
    return leaf == 0 ? (struct cpuid_result){.ebx = msr.vendor} : (struct cpuid_result){0};
}

bool cpu_has(enum cpu_feature feature)
{
    return (msr.features >> feature & 1) != 0;
}

struct cpu *cpu_local(void)
{
    return &cpu;
}

static uint64_t msr_read(uint32_t number)
{
    switch (number) {
    case MSR_CAPABILITIES:
        assert_true(cpu_has(FEATURE_ARCH_CAPABILITIES));
        return msr.capabilities;
    case MSR_SPECULATION:
        assert_true(cpu_has(FEATURE_IBPB));
        return msr.speculation;
    case MSR_EFER:
        return msr.efer;
    default:
        fail_msg("MSR 0x%x is read", number);
        return 0;
    }
}

/* A register that the CPU does not have would be a general protection fault. */
static void msr_write(uint32_t number, uint64_t value)
{
    msr.written++;
    switch (number) {
    case MSR_SPECULATION:
        assert_true(cpu_has(FEATURE_IBPB));
        msr.speculation = value;
        return;
    case MSR_PREDICTIONS:
        assert_true(cpu_has(FEATURE_IBPB) || cpu_has(FEATURE_IBPB_AMD));
        msr.predictions = value;
        return;
    case MSR_EFER:
        msr.efer = value;
        return;
    default:
        fail_msg("MSR 0x%x is written", number);
    }
}

void trap_print_registers(const struct trap_frame *frame, struct printer *printer)
{
    (void)frame;
    (void)printer;
}

/* ---- Exceptions ------------------------------------------------------------------------------------------ */

static void page_faults_say_what_was_tried(void **state)
{
    static const struct {
        uint64_t error, address;
        enum user_fault_kind kind;
        bool mapped;
    } cases[] = {
        {0x4, 0, USER_FAULT_READ, false},
        {0x5, 0x400000, USER_FAULT_READ, true},
        {0x6, 0x400000, USER_FAULT_WRITE, false},
        {0x7, 0x400000, USER_FAULT_WRITE, true},
        {0x14, 0x400000, USER_FAULT_EXECUTE, false},
        {0x15, 0x7fffffffe000, USER_FAULT_EXECUTE, true},
        /* What the kernel has there is nobody's business. */
        {0x5, USER_TOP, USER_FAULT_READ, false},
        {0x7, UINT64_C(0xffffffff80000000), USER_FAULT_WRITE, false},
        {0x15, PHYSMAP_BASE, USER_FAULT_EXECUTE, false},
    };
    struct user_fault fault;

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        fault_decode(14, cases[i].error, cases[i].address, &fault);
        assert_int_equal(fault.kind, cases[i].kind);
        assert_int_equal(fault.mapped, cases[i].mapped);
        assert_int_equal(fault.address, cases[i].address);
        assert_non_null(fault.what);
    }
}

/* The address that the last page fault has left is no other exception's. */
static void others_are_a_phrase(void **state)
{
    struct user_fault fault;

    (void)state;
    for (uint64_t vector = 0; vector < 300; vector++) {
        fault_decode(vector, vector == 14 ? 0xc : 0, 0x1234, &fault);
        assert_int_equal(fault.kind, USER_FAULT_OTHER);
        assert_int_equal(fault.address, 0);
        assert_false(fault.mapped);
        assert_true(fault.what[0] != '\0');
    }
    fault_decode(0, 0, 0, &fault);
    assert_string_equal(fault.what, "division by zero, or its result is too large");
    fault_decode(6, 0, 0, &fault);
    assert_string_equal(fault.what, "invalid instruction");
    fault_decode(3, 0, 0, &fault);
    assert_string_equal(fault.what, "breakpoint");
}

/* ---- Copies ---------------------------------------------------------------------------------------------- */

static unsigned copied;

bool user_copy(void *to, const void *from, size_t size)
{
    (void)to;
    (void)from;
    (void)size;
    copied++;
    return true;
}

static void only_user_addresses_are_copied(void **state)
{
    static const struct {
        uintptr_t address;
        size_t size;
        bool good;
    } cases[] = {
        {USER_BOTTOM, 1, true},
        {USER_BOTTOM - 1, 1, false},
        {USER_BOTTOM - 1, 4096, false},
        {0, 0, false},
        {0, 8, false},
        {USER_TOP - 8, 8, true},
        {USER_TOP - 8, 9, false},
        {USER_TOP, 0, true},
        {USER_TOP, 1, false},
        {USER_TOP + 1, 0, false},
        {USER_BOTTOM, USER_TOP - USER_BOTTOM, true},
        {USER_BOTTOM, USER_TOP - USER_BOTTOM + 1, false},
        {USER_BOTTOM, SIZE_MAX, false},
        {0x400000, UINT64_MAX - 0x400000 + 1, false}, /* once around */
        {PHYSMAP_BASE, 8, false},
        {IMAGE_BASE, 8, false},
        {UINT64_MAX - 7, 8, false},
        {UINT64_C(0x8000000000000000), 8, false},
    };
    char buffer[8];

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        copied = 0;
        assert_int_equal(user_copy_in(buffer, cases[i].address, cases[i].size), cases[i].good);
        assert_int_equal(copied, cases[i].good);
        assert_int_equal(user_copy_out(cases[i].address, buffer, cases[i].size), cases[i].good);
        assert_int_equal(copied, 2 * cases[i].good);
    }
}

/* ---- Contexts -------------------------------------------------------------------------------------------- */

static void a_context_begins_clean(void **state)
{
    static uint8_t extended[1024] __attribute__((aligned(USER_EXTENDED_ALIGNMENT)));
    struct user_context context;

    (void)state;
    memset(&context, 0x5a, sizeof context);
    memset(extended, 0, sizeof extended);
    context.extended = extended;
    user_context_init(&context, 0x401000, 0x7000f000, 11, 0x900000);
    assert_ptr_equal(context.extended, extended);
    assert_int_equal(user_instruction(&context), 0x401000);
    assert_int_equal(user_stack_pointer(&context), 0x7000f000);
    assert_int_equal(user_argument(&context, 0), 11);
    assert_int_equal(user_argument(&context, 1), 0x900000);
    assert_int_equal(context.thread_pointer, 0x900000);
    assert_int_equal(context.frame.cs & 3, 3);
    assert_int_equal(context.frame.ss & 3, 3);
    assert_int_equal(context.frame.rflags, 0x202); /* interrupts on, no access to ports */
    assert_int_not_equal(context.frame.vector, VECTOR_CALL);
    context.frame.rdi = context.frame.rsi = context.frame.rip = context.frame.rsp = 0;
    context.frame.cs = context.frame.ss = context.frame.rflags = 0;
    for (size_t i = 0; i < sizeof context.frame; i++)
        assert_int_equal(((uint8_t *)&context.frame)[i], 0);
    for (size_t i = 0; i < sizeof extended; i++)
        assert_int_equal(extended[i], i == 0 ? 0x7f : i == 1 ? 3 : i == 24 ? 0x80 : i == 25 ? 0x1f : 0);
    /* An address that the register refuses. */
    user_context_init(&context, 0, 0, 0, UINT64_C(0x8000000000000000));
    assert_int_equal(context.thread_pointer, 0);
}

static void results_and_arguments_have_their_registers(void **state)
{
    struct user_context context = {
        .frame = {.rax = 7, .rdi = 1, .rsi = 2, .rdx = 3, .r10 = 4, .r8 = 5, .r9 = 6, .rcx = 98, .r11 = 99}};

    (void)state;
    assert_int_equal(user_call_number(&context), 7);
    for (unsigned i = 0; i < 6; i++)
        assert_int_equal(user_argument(&context, i), i + 1);
    user_set_result(&context, 20, 30);
    assert_int_equal(context.frame.rax, 20);
    assert_int_equal(context.frame.rdx, 30);
}

/* ---- Speculation ----------------------------------------------------------------------------------------- */

#define HAS(feature) (UINT64_C(1) << FEATURE_##feature)

static char report[512];

static void write_report(struct printer *printer, const char *text, size_t length)
{
    (void)printer;
    strncat(report, text, length);
}

static void start_on(uint32_t vendor, uint64_t features, uint64_t capabilities)
{
    struct printer printer = {.write = write_report};

    memset(&msr, 0, sizeof msr);
    msr.vendor = vendor;
    msr.features = features;
    msr.capabilities = capabilities;
    msr.speculation = 4;
    msr.efer = 0x500;
    cpu.arch = &boot_x64;
    host_log_clear();
    speculation_init_cpu();
    speculation_warn();
    user_forget_predictions();
    report[0] = '\0';
    speculation_report(&printer);
}

static void an_old_intel_is_warned_about(void **state)
{
    (void)state;
    start_on(VENDOR_INTEL, HAS(CLEAR_BUFFERS) | HAS(IBPB), 0);
    assert_true(host_log_has("Meltdown"));
    assert_int_equal(host_log_count(LOG_WARN), 1);
    assert_non_null(strstr(report, "meltdown: affected"));
    assert_true(user_clear_buffers);
    assert_int_equal(msr.predictions, 1);
    assert_int_equal(msr.speculation, 4); /* plain IBRS would have to be switched at each entry */
    assert_int_equal(msr.efer, 0x500);

    start_on(VENDOR_INTEL, 0, 0); /* without microcode there is nothing to write to */
    assert_true(host_log_has("Meltdown"));
    assert_false(user_clear_buffers);
    assert_int_equal(msr.written, 0);
}

static void a_new_intel_keeps_the_kernel_apart(void **state)
{
    (void)state;
    start_on(VENDOR_INTEL, HAS(CLEAR_BUFFERS) | HAS(IBPB) | HAS(ARCH_CAPABILITIES),
             CAPABILITY_NO_MELTDOWN | CAPABILITY_ENHANCED_IBRS | CAPABILITY_NO_SAMPLING);
    assert_int_equal(host_log_count(LOG_WARN), 0);
    assert_non_null(strstr(report, "meltdown: this CPU is not affected"));
    assert_non_null(strstr(report, "enhanced ibrs"));
    assert_false(user_clear_buffers);
    assert_int_equal(msr.speculation, 5);
    assert_int_equal(msr.predictions, 1);

    cpu.arch = NULL; /* another CPU, whose register is its own */
    msr.speculation = 0;
    speculation_init_cpu();
    assert_int_equal(msr.speculation, 1);

    /* In between: not Meltdown, but sampling. */
    start_on(VENDOR_INTEL, HAS(CLEAR_BUFFERS) | HAS(ARCH_CAPABILITIES), CAPABILITY_NO_MELTDOWN);
    assert_int_equal(host_log_count(LOG_WARN), 0);
    assert_true(user_clear_buffers);
}

static void amd_has_its_own_ways(void **state)
{
    (void)state;
    start_on(VENDOR_AMD, HAS(IBPB_AMD) | HAS(AUTOMATIC_IBRS) | HAS(CLEAR_BUFFERS), 0);
    assert_int_equal(host_log_count(LOG_WARN), 0);
    assert_non_null(strstr(report, "automatic ibrs"));
    assert_false(user_clear_buffers);
    assert_int_equal(msr.efer, 0x500 | 1 << 21);
    assert_int_equal(msr.predictions, 1);
    start_on(VENDOR_AMD, 0, 0);
    assert_int_equal(msr.written, 0);
    assert_non_null(strstr(report, "not apart, not dropped"));
}

#define TEST(name) cmocka_unit_test(name)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(page_faults_say_what_was_tried),
        TEST(others_are_a_phrase),
        TEST(only_user_addresses_are_copied),
        TEST(a_context_begins_clean),
        TEST(results_and_arguments_have_their_registers),
        TEST(an_old_intel_is_warned_about),
        TEST(a_new_intel_keeps_the_kernel_apart),
        TEST(amd_has_its_own_ways),
    };

    return cmocka_run_group_tests_name("x64 user mode", tests, NULL, NULL);
}
