/*
 * lapic.c: the local APIC, memory-mapped (xAPIC) or by MSRs (x2APIC, used wherever the CPU has it).
 * [Intel SDM 3A chapter 11]
 */
#include "local.h"

#include <lib/log.h>

enum {
    MSR_APIC_BASE = 0x1b,
    APIC_BASE_X2 = 1 << 10,
    APIC_BASE_ENABLE = 1 << 11,
    MSR_X2APIC = 0x800,

    SPURIOUS_ENABLE = 1 << 8,
    REGISTERS_SIZE = 0x400,
    STALE_INTERRUPTS = 256, /* one in service per vector at most */
    COMMAND_PENDING = 1 << 12,
};
#define COMMAND_PATIENCE_NS NANOSECONDS_PER_MILLISECOND
#define APIC_BASE_ADDRESS   UINT64_C(0x000ffffffffff000)

static volatile void *registers; /* xAPIC */
static bool x2apic, present;
static uint64_t physical;

uint32_t lapic_read(enum lapic_register offset)
{
    if (x2apic)
        return (uint32_t)msr_read(MSR_X2APIC + (uint32_t)offset / 16);
    return present ? register_read32(registers, offset) : 0;
}

/* An x2APIC write is not ordered against stores before it, as an uncached one is; nobody here needs it to be. */
void lapic_write(enum lapic_register offset, uint32_t value)
{
    if (x2apic)
        msr_write(MSR_X2APIC + (uint32_t)offset / 16, value);
    else if (present)
        register_write32(registers, offset, value);
}

void lapic_end(void)
{
    lapic_write(LAPIC_EOI, 0);
}

uint32_t lapic_id(void)
{
    uint32_t id = lapic_read(LAPIC_ID);

    return x2apic ? id : id >> 24;
}

bool lapic_present(void)
{
    return present;
}

/* Turning x2APIC on goes by way of xAPIC enabled; from x2APIC there is no way back but by reset
 * [Intel SDM 3A §11.12.1]. What firmware has turned on is kept. */
static bool enable(void)
{
    uint64_t base = msr_read(MSR_APIC_BASE);

    physical = base & APIC_BASE_ADDRESS;
    if ((base & APIC_BASE_ENABLE) == 0)
        msr_write(MSR_APIC_BASE, base |= APIC_BASE_ENABLE);
    if ((base & APIC_BASE_X2) != 0 || cpu_has(FEATURE_X2APIC)) {
        msr_write(MSR_APIC_BASE, base | APIC_BASE_X2);
        x2apic = true;
        return true;
    }
    registers = vm_map_device(physical, REGISTERS_SIZE);
    return registers != NULL;
}

/* What firmware left in service would hold back everything of its priority and below for good. */
static void end_stale(void)
{
    for (unsigned turn = 0; turn < STALE_INTERRUPTS; turn++) {
        uint32_t any = 0;
        for (unsigned i = 0; i < 8; i++) { /* the last seven have no names */
            unsigned offset = LAPIC_IN_SERVICE + i * 0x10;
            any |= lapic_read((enum lapic_register)offset); /* NOLINT(clang-analyzer-optin.core.EnumCastOutOfRange) */
        }
        if (any == 0)
            return;
        lapic_end();
    }
}

/* The PIC behind LINT0 is masked for good; NMIs are let in where firmware says that they are wired. */
static void set_local_inputs(const struct machine *machine)
{
    unsigned highest = lapic_read(LAPIC_VERSION) >> 16 & 0xff;
    uint32_t own = UINT32_MAX;

    lapic_write(LAPIC_LVT_TIMER, LAPIC_LVT_MASKED | VECTOR_TIMER);
    lapic_write(LAPIC_LVT_LINT0, LAPIC_LVT_MASKED);
    lapic_write(LAPIC_LVT_LINT1, LAPIC_LVT_MASKED);
    if (highest >= 4)
        lapic_write(LAPIC_LVT_PERFORMANCE, LAPIC_LVT_MASKED);
    if (highest >= 5)
        lapic_write(LAPIC_LVT_THERMAL, LAPIC_LVT_MASKED);
    lapic_write(LAPIC_LVT_ERROR, VECTOR_ERROR);

    for (uint32_t i = 0; i < machine->cpu_count; i++)
        if (machine->cpus[i].hardware_id == lapic_id())
            own = machine->cpus[i].firmware_id;
    for (uint32_t i = 0; i < machine->nmi_count; i++) {
        const struct machine_nmi *nmi = &machine->nmis[i];
        if (nmi->local && nmi->lint <= 1 && (nmi->firmware_id == UINT32_MAX || nmi->firmware_id == own))
            lapic_write(nmi->lint == 0 ? LAPIC_LVT_LINT0 : LAPIC_LVT_LINT1, LAPIC_LVT_NMI);
    }
}

static void start(const struct machine *machine)
{
    lapic_write(LAPIC_TASK_PRIORITY, 0);
    /* First: local inputs cannot be unmasked before [Intel SDM 3A §11.4.7.2]. */
    lapic_write(LAPIC_SPURIOUS, SPURIOUS_ENABLE | VECTOR_SPURIOUS);
    set_local_inputs(machine);
    lapic_write(LAPIC_ERROR_STATUS, 0);
    end_stale();
}

bool lapic_init(const struct machine *machine)
{
    if (!cpu_has(FEATURE_APIC) || !enable()) {
        log_error("lapic", "this CPU has no local APIC that can be used; there will be no interrupts");
        return false;
    }
    present = true;
    if (machine->local_apic != 0 && machine->local_apic != physical)
        log_warn("lapic", "firmware's tables say 0x%llx, the CPU says 0x%llx and is believed",
                 (unsigned long long)machine->local_apic, (unsigned long long)physical);
    start(machine);
    return true;
}

/* In the boot CPU's mode and at its address. */
bool lapic_init_cpu(const struct machine *machine)
{
    uint64_t base = msr_read(MSR_APIC_BASE);

    if (x2apic && !cpu_has(FEATURE_X2APIC))
        return false;
    if (!x2apic && ((base & APIC_BASE_X2) != 0 || (base & APIC_BASE_ADDRESS) != physical))
        return false;
    if ((base & APIC_BASE_ENABLE) == 0)
        msr_write(MSR_APIC_BASE, base |= APIC_BASE_ENABLE);
    if (x2apic)
        msr_write(MSR_APIC_BASE, base | APIC_BASE_X2);
    start(machine);
    return true;
}

/* ---- To other CPUs [Intel SDM 3A §11.6.1] ------------------------------------------------------------- */

/* 255 is everybody. */
bool lapic_reaches(uint32_t apic_id)
{
    return present && (x2apic ? apic_id != UINT32_MAX : apic_id < UINT8_MAX);
}

static bool command_idle(void)
{
    uint64_t until = clock_now() + COMMAND_PATIENCE_NS;

    while ((lapic_read(LAPIC_COMMAND) & COMMAND_PENDING) != 0) {
        if (clock_now() > until)
            return false;
        cpu_relax();
    }
    return true;
}

/* What was written before is seen by whoever is interrupted: an x2APIC does not see to that itself. */
bool lapic_command(uint32_t apic_id, uint32_t command)
{
    if (!lapic_reaches(apic_id))
        return false;
    if (x2apic) {
        arch_barrier_full();
        arch_barrier_read();
        msr_write(MSR_X2APIC + LAPIC_COMMAND / 16, (uint64_t)apic_id << 32 | command);
        return true;
    }

    uintptr_t saved = cpu_interrupts_disable(); /* the two registers belong together */
    bool idle = command_idle();
    if (idle) {
        lapic_write(LAPIC_DESTINATION, apic_id << 24);
        lapic_write(LAPIC_COMMAND, command);
    }
    cpu_interrupts_restore(saved);
    return idle;
}

void lapic_report(struct printer *printer)
{
    if (!present) {
        print(printer, "local apic: none\n");
        return;
    }

    uint32_t version = lapic_read(LAPIC_VERSION);
    print(printer, "local apic: id %u, version 0x%x, %u local inputs, ", lapic_id(), version & 0xff,
          (version >> 16 & 0xff) + 1);
    if (x2apic)
        print(printer, "x2apic\n");
    else
        print(printer, "xapic at 0x%llx\n", (unsigned long long)physical);
}
