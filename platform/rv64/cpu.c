/*
 * cpu.c: the hart that this runs on. tp holds its struct cpu.
 */
#include "local.h"
#include "sbi.h"

#include <lib/log.h>
#include <platform/clock.h>
#include <platform/interrupt.h>
#include <platform/mmu.h>
#include <platform/user.h>

/* For traps before cpu_init(). */
struct cpu boot_local = {
    .self = &boot_local,
    .stack_guard = (uintptr_t)boot_stack_guard,
    .stack_top = (uintptr_t)boot_stack_top,
    .exception_stack = (uintptr_t)trap_emergency_bottom,
    .exception_stack_top = (uintptr_t)trap_emergency_top,
};

struct cpu *cpu_local(void)
{
    struct cpu *cpu;

    __asm__("mv %0, tp" : "=r"(cpu));
    return cpu;
}

/* Supervisor access to user pages and the vector unit stay off; user_init_cpu says whether floating point is on. */
void cpu_init(struct cpu *cpu)
{
    cpu->self = cpu;
    if (cpu->stack_top == 0) {
        cpu->stack_guard = boot_local.stack_guard;
        cpu->stack_top = boot_local.stack_top;
    }
    if (cpu->exception_stack_top == 0) {
        cpu->exception_stack = boot_local.exception_stack;
        cpu->exception_stack_top = boot_local.exception_stack_top;
    }
    __asm__ volatile("mv tp, %0" ::"r"(cpu) : "memory");
    csr_clear(sstatus, SSTATUS_SUM | SSTATUS_MXR | SSTATUS_FS | SSTATUS_VS);
    csr_set(sie, 1 << INTERRUPT_EXTERNAL | 1 << INTERRUPT_SOFTWARE);
    user_init_cpu();
}

void cpu_report(struct printer *printer)
{
    uint64_t random;

    print(printer, "hart: %llu\n", (unsigned long long)cpu_local()->hardware_id);
    sbi_report(printer);
    print(printer, "paging: Sv39, %u address spaces told apart, kernel access to user memory off\n",
          mmu_identifier_count());
    print(printer, "user programs: floating point (F, D) %s, vector (V) off, counters off but time\n",
          (csr_read(sstatus) & SSTATUS_FS) != 0 ? "on" : "absent");
    print(printer, "timer compare register (Sstc): %s\n", timer_has_sstc() ? "in use" : "not in use");
    print(printer, "interrupts by message (Ssaia): %s\n", controller_has_messages() ? "in use" : "not in use");
    print(printer, "entropy source (Zkr): %s\n", cpu_random(&random) ? "present" : "absent");
}

/* ---- Interrupts ------------------------------------------------------------------------------------- */

uintptr_t cpu_interrupts_disable(void)
{
    uintptr_t saved;

    __asm__ volatile("csrrci %0, sstatus, %1" : "=r"(saved) : "i"(SSTATUS_SIE) : "memory");
    return saved & SSTATUS_SIE;
}

void cpu_interrupts_restore(uintptr_t saved)
{
    csr_set(sstatus, saved & SSTATUS_SIE);
}

void cpu_interrupts_enable(void)
{
    csr_set(sstatus, SSTATUS_SIE);
}

bool cpu_interrupts_enabled(void)
{
    return (csr_read(sstatus) & SSTATUS_SIE) != 0;
}

/* What waits is taken at the write that lets it in [RISC-V Privileged §4.1.3]. */
void cpu_interrupts_take(void)
{
    __asm__ volatile("csrsi sstatus, %0\n\tcsrci sstatus, %0" ::"i"(SSTATUS_SIE) : "memory");
}

/* wfi ends when an interrupt that sie enables is pending, also with sstatus.SIE off [§3.3.3]: so one that came
 * after the caller's last look ends it at once, and is taken in the moment in which SIE is on. The firmware's own
 * interrupts end it too, as when another hart has it do a fence here; they are no reason to look at anything. */
void cpu_sleep(void)
{
    do
        __asm__ volatile("wfi" ::: "memory");
    while ((csr_read(sip) & csr_read(sie)) == 0);
    __asm__ volatile("csrsi sstatus, %0\n\tcsrci sstatus, %0" ::"i"(SSTATUS_SIE) : "memory");
}

/* A fence without predecessor or successor is Zihintpause's hint, and nothing on a CPU without it. */
void cpu_relax(void)
{
    __asm__ volatile(".word 0x0100000f" ::: "memory");
}

_Noreturn void cpu_halt(void)
{
    csr_clear(sstatus, SSTATUS_SIE);
    csr_write(sie, 0);
    for (;;)
        __asm__ volatile("wfi");
}

/* ---- Randomness ------------------------------------------------------------------------------------- */

enum {
    SEED_STATE_SHIFT = 30,
    SEED_READY = 2, /* ES16: the low 16 bits are entropy, at least 8 bits' worth [Zkr §4.1, §4.2.1] */
    SEED_DEAD = 3,
    SEED_POLLS = 1000,
};

static bool read_seed(uint16_t *seed)
{
    for (unsigned poll = 0; poll < SEED_POLLS; poll++) {
        uint64_t value;
        if (!csr_try_swap(CSR_SEED, 0, &value))
            return false; /* the CPU has none, or the firmware keeps it to itself */
        if ((value >> SEED_STATE_SHIFT & 3) == SEED_READY) {
            *seed = (uint16_t)value;
            return true;
        }
        if ((value >> SEED_STATE_SHIFT & 3) == SEED_DEAD)
            return false;
    }
    return false;
}

/* Two samples for each 16 bits, since one is sure to hold only 8. */
bool cpu_random(uint64_t *value)
{
    uint64_t mixed = 0;

    for (unsigned sample = 0; sample < 8; sample++) {
        uint16_t seed;
        if (!read_seed(&seed))
            return false;
        mixed = (mixed << 16 | mixed >> 48) ^ seed;
    }
    *value = mixed;
    return true;
}

/* ---- What may not be there ------------------------------------------------------------------------------ */

bool cpu_probe_read(const volatile void *address, unsigned width, uint32_t *value)
{
    uint64_t read = 0;
    bool good = width == 1   ? try_instruction("lbu %0, (%2)", read, (uintptr_t)address)
                : width == 2 ? try_instruction("lhu %0, (%2)", read, (uintptr_t)address)
                             : try_instruction("lwu %0, (%2)", read, (uintptr_t)address);

    *value = (uint32_t)read;
    return good;
}
