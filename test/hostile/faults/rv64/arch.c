/* arch.c: instructions that are the kernel's, and such that are nobody's, on rv64 [Privileged §3.3]. */
#include "faults.h"

#include <stddef.h>
#include <stdint.h>

INSTRUCTION(zero, ".word 0")
INSTRUCTION(breakpoint, "ebreak")
INSTRUCTION(read_sstatus, "csrr a0, sstatus")
INSTRUCTION(write_satp, "csrw satp, zero")
INSTRUCTION(write_stvec, "csrw stvec, zero")
INSTRUCTION(read_hart, "csrr a0, mhartid")
INSTRUCTION(supervisor_return, "sret")
INSTRUCTION(machine_return, "mret")
INSTRUCTION(flush_translations, "sfence.vma")
INSTRUCTION(write_timer, ".word 0x14d01073") /* csrw stimecmp, zero */
INSTRUCTION(vector, ".word 0x0d007057")      /* vsetvli zero, zero, e64, m1: V is off */
INSTRUCTION(not_canonical, "li a0, 1; slli a0, a0, 62; ld a0, 0(a0)")
INSTRUCTION(misaligned_atomic, "addi a0, sp, 4; addi a0, a0, 1; lr.d a1, (a0)")

const struct fault_case arch_faults[] = {
    {"zero", zero},
    {"ebreak", breakpoint},
    {"sstatus", read_sstatus},
    {"satp", write_satp},
    {"stvec", write_stvec},
    {"mhartid", read_hart},
    {"sret", supervisor_return},
    {"mret", machine_return},
    {"sfence", flush_translations},
    {"stimecmp", write_timer},
    {"vector", vector},
    {"not-canonical", not_canonical},
    {"misaligned-atomic", misaligned_atomic},
    {NULL, NULL},
};
