/*
 * secondary.S: where the firmware has a hart begin that start.c asked for [SBI 1.0 §9.1]: a1 = the physical address of
 * its struct cpu, S-mode, MMU off. It owns that struct and nothing else. It enters the upper half as boot.S does.
 */
#include <csr.h>
#include <trap_frame.h>

    .section .text.boot, "ax"
    .global secondary_entry
secondary_entry:
    csrw sie, zero
    li t0, SSTATUS_SIE | SSTATUS_VS | SSTATUS_FS | SSTATUS_SUM | SSTATUS_MXR
    csrc sstatus, t0
    csrw satp, zero
    ld tp, CPU_SELF(a1)
    ld sp, CPU_STACK_TOP(a1)
    lla t0, secondary_translation
    ld a0, 0(t0)                    /* satp */
    ld t1, 8(t0)                    /* from where the image lies to where it is linked */
    lla t0, 1f
    add t0, t0, t1
    csrw stvec, t0
    sfence.vma
    csrw satp, a0

    .balign 4
1:  lla t0, trap_entry
    csrw stvec, t0
    mv a0, tp
    mv s0, zero
    mv ra, zero
    tail smp_arrive
