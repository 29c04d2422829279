/*
 * test_rv64_instruction.c: why user mode may not have an instruction. Bits as the assembler gives them, with the
 * mnemonic beside.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

const char *instruction_refused(uint32_t instruction);

#define VECTOR     "a vector instruction, and the vector unit is off"
#define FLOATING   "a floating-point instruction that this CPU does not have"
#define PRIVILEGED "privileged instruction"
#define CONTROL    "access to a control register that is not a user's"
#define INVALID    "invalid instruction"

static const struct {
    uint32_t instruction;
    const char *why;
} cases[] = {
    {0x00000000, INVALID},    /* defined to be none */
    {0xffffffff, INVALID},    /* the same */
    {0x00000057, VECTOR},     /* vadd.vv v0, v0, v0, v0.t */
    {0x0d007057, VECTOR},     /* vsetvli zero, zero, e32, m1 */
    {0x02050007, VECTOR},     /* vle8.v v0, (a0) */
    {0x02055007, VECTOR},     /* vle16.v v0, (a0) */
    {0x02056027, VECTOR},     /* vse32.v v0, (a0) */
    {0x02057027, VECTOR},     /* vse64.v v0, (a0) */
    {0x00051007, FLOATING},   /* flh ft0, 0(a0) */
    {0x00052007, FLOATING},   /* flw ft0, 0(a0) */
    {0x00053007, FLOATING},   /* fld ft0, 0(a0) */
    {0x00054007, FLOATING},   /* flq ft0, 0(a0) */
    {0x00053027, FLOATING},   /* fsd ft0, 0(a0) */
    {0x02000043, FLOATING},   /* fmadd.d ft0, ft0, ft0, ft0, rne */
    {0x02000047, FLOATING},   /* fmsub.d */
    {0x0200004b, FLOATING},   /* fnmsub.d */
    {0x0200004f, FLOATING},   /* fnmadd.d */
    {0xf2000053, FLOATING},   /* fmv.d.x ft0, zero */
    {0x00302573, FLOATING},   /* frcsr a0 */
    {0x00202573, FLOATING},   /* frrm a0 */
    {0x00102573, FLOATING},   /* frflags a0 */
    {0x00802573, VECTOR},     /* csrr a0, vstart */
    {0x00f02573, VECTOR},     /* csrr a0, vcsr */
    {0xc2002573, VECTOR},     /* csrr a0, vl */
    {0xc2202573, VECTOR},     /* csrr a0, vlenb */
    {0xc2302573, CONTROL},    /* the one behind it */
    {0xc0002573, CONTROL},    /* rdcycle a0 */
    {0xc0202573, CONTROL},    /* rdinstret a0 */
    {0x10002573, CONTROL},    /* csrr a0, sstatus */
    {0x18001073, CONTROL},    /* csrw satp, zero */
    {0x10047073, CONTROL},    /* csrci sstatus, 8 */
    {0x10500073, PRIVILEGED}, /* wfi */
    {0x10200073, PRIVILEGED}, /* sret */
    {0x30200073, PRIVILEGED}, /* mret */
    {0x12000073, PRIVILEGED}, /* sfence.vma */
    {0x60004073, PRIVILEGED}, /* hlv.b zero, (zero) */
    {0x0045200f, INVALID},    /* cbo.zero (a0) */
    {0x00002108, FLOATING},   /* c.fld fa0, 0(a0) */
    {0x0000a108, FLOATING},   /* c.fsd fa0, 0(a0) */
    {0x00002502, FLOATING},   /* c.fldsp fa0, 0(sp) */
    {0x0000a02a, FLOATING},   /* c.fsdsp fa0, 0(sp) */
    {0x00002001, INVALID},    /* c.addiw zero, 0: reserved */
    {0x00008000, INVALID},    /* reserved */
    {0xffff8000, INVALID},    /* what stands behind a 16-bit instruction does not matter */
};

static void each_case(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const char *why = instruction_refused(cases[i].instruction);
        if (strcmp(why, cases[i].why) != 0)
            fail_msg("0x%08x: \"%s\" and not \"%s\"", (unsigned)cases[i].instruction, why, cases[i].why);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(each_case)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
