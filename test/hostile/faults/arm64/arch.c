/* arch.c: instructions that are the kernel's, and such that are nobody's, on arm64 [DDI 0487 D1]. */
#include "faults.h"

#include <stddef.h>
#include <stdint.h>

INSTRUCTION(undefined, "udf #0")
INSTRUCTION(breakpoint, "brk #1")
INSTRUCTION(hypervisor, "hvc #0")
INSTRUCTION(monitor, "smc #0")
INSTRUCTION(read_sctlr, "mrs x0, sctlr_el1")
INSTRUCTION(write_ttbr, "msr ttbr0_el1, x0")
INSTRUCTION(read_vbar, "mrs x0, vbar_el1")
INSTRUCTION(mask_interrupts, "msr daifset, #2")
INSTRUCTION(exception_return, "eret")
INSTRUCTION(flush_translations, "tlbi vmalle1")
INSTRUCTION(invalidate_instructions, "ic iallu")
INSTRUCTION(invalidate_data, "dc ivac, xzr")
INSTRUCTION(translate, "at s1e1r, x0")
INSTRUCTION(scalable, ".inst 0x04e0e3e0") /* cntd: SVE is off */
INSTRUCTION(write_timer, "msr cntv_ctl_el0, xzr")
INSTRUCTION(misaligned_exclusive, "mov x9, sp; add x9, x9, #4; ldxr x0, [x9]")
INSTRUCTION(misaligned_jump, "mov x9, #2; movk x9, #1, lsl #16; br x9")
INSTRUCTION(tagged, "mov x9, #0x1; movk x9, #0xff00, lsl #48; ldr x0, [x9]")

const struct fault_case arch_faults[] = {
    {"udf", undefined},
    {"brk", breakpoint},
    {"hvc", hypervisor},
    {"smc", monitor},
    {"sctlr", read_sctlr},
    {"ttbr0", write_ttbr},
    {"vbar", read_vbar},
    {"daifset", mask_interrupts},
    {"eret", exception_return},
    {"tlbi", flush_translations},
    {"ic-iallu", invalidate_instructions},
    {"dc-ivac", invalidate_data},
    {"at", translate},
    {"sve", scalable},
    {"timer", write_timer},
    {"misaligned-exclusive", misaligned_exclusive},
    {"misaligned-jump", misaligned_jump},
    {"tagged", tagged},
    {NULL, NULL},
};
