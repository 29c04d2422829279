/*
 * test_arm64_syndrome.c: exceptions in words. Values as CPUs give them, read with the architecture manual beside.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

void syndrome_describe(uint64_t syndrome, uint64_t address, char *text, size_t size);

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

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sentences),
        cmocka_unit_test(test_every_class_and_status),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
