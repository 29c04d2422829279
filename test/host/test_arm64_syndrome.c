/*
 * test_arm64_syndrome.c: exceptions in words. Values as CPUs give them, read with the architecture manual beside.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include <platform/user.h>

void syndrome_describe(uint64_t syndrome, uint64_t address, char *text, size_t size);
struct user_fault syndrome_user_fault(uint64_t syndrome, uint64_t address);
bool syndrome_is_call(uint64_t syndrome);

static const struct {
    uint64_t syndrome, address;
    const char *text;
} cases[] = {
    {0x96000044, 0, "data abort at 0x0: write to an unmapped page through a null pointer (translation fault, level 0)"},
    {0x96000047, 0xffffffff8004afe0,
     "data abort at 0xffffffff8004afe0: write to an unmapped page (translation fault, level 3)"},
    {0x9600004f, 0xffffffff80000000,
     "data abort at 0xffffffff80000000: write to a read-only page (permission fault, level 3)"},
    {0x9600000f, 0x400000, "data abort at 0x400000: read of a forbidden page (permission fault, level 3)"},
    {0x8600000f, 0xffffffff80019dd0,
     "instruction abort at 0xffffffff80019dd0: execution of a page that is not code (permission fault, level 3)"},
    {0x96000010, 0xffffc0000b000000,
     "data abort at 0xffffc0000b000000: read of memory (external abort: nothing answers there)"},
    {0x96000410, 0, "data abort at an unknown address: read of memory (external abort: nothing answers there)"},
    {0x96000021, 0x9000001, "data abort at 0x9000001: read of memory (misaligned)"},
    {0x96000061, 0x9000001, "data abort at 0x9000001: write to memory (misaligned)"},
    {0x96000015, 0x9000000, "data abort at 0x9000000: read of memory (external abort during the table walk)"},
    {0x02000000, 0, "undefined instruction (class 0x00, ESR 0x2000000)"},
    {0x1fe00000, 0, "floating-point instruction, which the kernel does not use (class 0x07, ESR 0x1fe00000)"},
    {0xf2000001, 0, "the compiler's trap: code that cannot be reached"},
    {0xf2000010, 0, "brk #16"},
    {0xbe000011, 0, "asynchronous system error, uncontainable (ESR 0xbe000011)"},
    {0xbe001011, 0, "asynchronous system error, corrected (ESR 0xbe001011)"},
    {0xbf000002, 0, "asynchronous system error, of the implementation's own kind (ESR 0xbf000002)"},
    {0xbe000000, 0, "asynchronous system error, of unknown kind (ESR 0xbe000000)"},
};

static void test_sentences(void **state)
{
    char text[200];

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        syndrome_describe(cases[i].syndrome, cases[i].address, text, sizeof text);
        assert_string_equal(text, cases[i].text);
    }
}

/* Whatever the register holds there is a phrase, and it stays within its room. */
static void test_every_class_and_status(void **state)
{
    (void)state;
    for (uint64_t class = 0; class < 64; class ++)
        for (uint64_t detail = 0; detail < 0x1000; detail++) {
            char text[160], cut[12];
            syndrome_describe(class << 26 | detail, UINT64_MAX, text, sizeof text);
            assert_in_range(strlen(text), 6, sizeof text - 1);
            syndrome_describe(class << 26 | detail, UINT64_MAX, cut, sizeof cut);
            assert_memory_equal(cut, text, strnlen(text, sizeof cut - 1));
        }
}

static const struct {
    uint64_t syndrome;
    enum user_fault_kind kind;
    bool mapped;
    const char *what;
} user_cases[] = {
    {0x92000005, USER_FAULT_READ, false, "translation fault"},
    {0x92000007, USER_FAULT_READ, false, "translation fault"},
    {0x92000047, USER_FAULT_WRITE, false, "translation fault"},
    {0x9200004f, USER_FAULT_WRITE, true, "permission fault"},
    {0x9200000f, USER_FAULT_READ, true, "permission fault"},
    {0x9200000b, USER_FAULT_READ, true, "access flag fault"},
    {0x92000000, USER_FAULT_READ, false, "address size fault"},
    {0x82000004, USER_FAULT_EXECUTE, false, "translation fault"},
    {0x8200000f, USER_FAULT_EXECUTE, true, "permission fault"},
    {0x82000047, USER_FAULT_EXECUTE, false, "translation fault"}, /* that bit says nothing of code */
    {0x92000010, USER_FAULT_OTHER, false, "external abort: nothing answers there"},
    {0x92000061, USER_FAULT_OTHER, false, "misaligned"},
    {0x82000010, USER_FAULT_OTHER, false, "external abort: nothing answers there"},
    {0x02000000, USER_FAULT_OTHER, false, "invalid instruction"},
    {0x06000000, USER_FAULT_OTHER, false, "wfi, which only the kernel may use"},
    {0x3a000000, USER_FAULT_OTHER, false, "illegal execution state"},
    {0x56000001, USER_FAULT_OTHER, false, "svc with a number: system calls are svc #0"},
    {0x62300000, USER_FAULT_OTHER, false, "system register or instruction that only the kernel may use"},
    {0x66000000, USER_FAULT_OTHER, false, "SVE instruction, which is switched off"},
    {0x76000000, USER_FAULT_OTHER, false, "SME instruction, which is switched off"},
    {0x8a000000, USER_FAULT_OTHER, false, "misaligned program counter"},
    {0x9a000000, USER_FAULT_OTHER, false, "misaligned stack pointer"},
    {0xc2000022, USER_FAULT_OTHER, false, "debug exception"},
    {0xf2000001, USER_FAULT_OTHER, false, "breakpoint (brk)"},
    {0xfe000000, USER_FAULT_OTHER, false, "exception of a kind that is not known"},
};

static void test_user_faults(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof user_cases / sizeof user_cases[0]; i++) {
        struct user_fault fault = syndrome_user_fault(user_cases[i].syndrome, 0x401234);
        assert_int_equal(fault.kind, user_cases[i].kind);
        assert_int_equal(fault.mapped, user_cases[i].mapped);
        assert_string_equal(fault.what, user_cases[i].what);
        assert_int_equal(fault.address, 0x401234);
        assert_int_equal(syndrome_is_call(user_cases[i].syndrome), user_cases[i].syndrome == 0x56000001);
    }
}

/* Whatever user mode does there is a phrase. */
static void test_every_user_fault(void **state)
{
    (void)state;
    for (uint64_t class = 0; class < 64; class ++)
        for (uint64_t detail = 0; detail < 0x1000; detail++) {
            struct user_fault fault = syndrome_user_fault(class << 26 | detail, 0);
            assert_non_null(fault.what);
            assert_in_range(strlen(fault.what), 6, 100);
        }
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sentences),
        cmocka_unit_test(test_every_class_and_status),
        cmocka_unit_test(test_user_faults),
        cmocka_unit_test(test_every_user_fault),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
