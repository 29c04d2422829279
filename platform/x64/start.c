/*
 * start.c: starts the other CPUs by INIT and start-up interrupts [Intel SDM 3A §8.4.4].
 *
 * They begin in real mode, so the code for that (secondary.S) and three page tables lie in a block of memory below
 * 1 MiB, which the frame allocator gives out like any other and gets back when all CPUs have come. If one has not,
 * the block stays as it is for good, should it come after all.
 */
#include "local.h"
#include "selectors.h"
#include "trampoline.h"

#include <lib/log.h>
#include <lib/malloc.h>
#include <lib/string.h>

enum {
    TABLE_ENTRIES = 512,
    BLOCK_ORDER = 2, /* the code, and tables of levels 3, 2 and 1 */
    SELECTOR_CODE32 = 0x18,
};
#define LOW_END           (UINT64_C(1) << 20)
#define DESCRIPTOR_CODE32 UINT64_C(0x00cf9b000000ffff)

/* What the manual's example waits after INIT, 10 ms, is for CPUs from before there was a 64-bit mode. */
#define INIT_SETTLES_NS    (200 * NANOSECONDS_PER_MICROSECOND)
#define STARTUP_REPEATS_NS (200 * NANOSECONDS_PER_MICROSECOND)

extern char secondary_upper[];
_Noreturn void secondary_enter(struct cpu *cpu); /* called by secondary.S */

static uint8_t *block; /* NULL: none */
static struct trampoline_data *data;

static uint32_t place_of(const char *label)
{
    return (uint32_t)virtual_to_physical(block) + (uint32_t)(label - trampoline);
}

/* The first 2 MiB onto themselves, and the kernel's upper half. Returns the physical address of the top. */
static uint32_t map_low(void)
{
    pte *tables = (pte *)(void *)(block + PAGE_SIZE);
    uint64_t physical = virtual_to_physical(tables);

    tables[0] = mmu_table(physical + PAGE_SIZE);
    for (unsigned i = TABLE_ENTRIES / 2; i < TABLE_ENTRIES; i++)
        tables[i] = boot_tables[i];
    tables[TABLE_ENTRIES] = mmu_table(physical + 2 * PAGE_SIZE);
    tables[2 * TABLE_ENTRIES] = mmu_leaf(0, 1, MMU_EXECUTE);
    return (uint32_t)physical;
}

bool cpu_start_prepare(const struct machine *machine)
{
    (void)machine;
    if (!lapic_present())
        return false;
    block = pages_allocate_below(BLOCK_ORDER, LOW_END);
    if (block == NULL) {
        log_error("cpu", "no 16 KiB of memory below 1 MiB are free to start other CPUs from; they stay off");
        return false;
    }
    memset(block, 0, PAGE_SIZE << BLOCK_ORDER);
    memcpy(block, trampoline, (size_t)(trampoline_data - trampoline));
    data = (struct trampoline_data *)(void *)(block + (trampoline_data - trampoline));
    *data = (struct trampoline_data){
        .descriptors = {0, DESCRIPTOR_CODE, DESCRIPTOR_DATA, DESCRIPTOR_CODE32},
        .descriptors_limit = sizeof data->descriptors - 1,
        .descriptors_base = place_of(trampoline_data),
        .far32 = {place_of(trampoline_code32), SELECTOR_CODE32},
        .far64 = {place_of(trampoline_code64), SELECTOR_CODE},
        .root = map_low(),
        .efer = EFER_LONG_MODE | ((uint32_t)msr_read(MSR_EFER) & EFER_NO_EXECUTE),
        .kernel_root = mmu_kernel_root(),
        .entry = (uintptr_t)secondary_upper,
    };
    return true;
}

bool cpu_start_allocate(struct cpu *cpu)
{
    cpu->arch = calloc(1, sizeof(struct x64_cpu));
    return cpu->arch != NULL;
}

const char *cpu_start(struct cpu *cpu)
{
    uint32_t apic_id = (uint32_t)cpu->hardware_id, vector = (uint32_t)(virtual_to_physical(block) / PAGE_SIZE);
    struct trampoline_entry *entry = &data->entries[data->count];

    if (!lapic_reaches(apic_id))
        return "its APIC ID needs an x2APIC, which the boot CPU has not";
    if (data->count == TRAMPOLINE_ENTRIES)
        return "there are too many";
    *entry = (struct trampoline_entry){.apic_id = apic_id, .cpu = (uintptr_t)cpu, .stack_top = cpu->stack_top};
    arch_barrier_full();
    data->count++;
    arch_barrier_full();
    if (!lapic_command(apic_id, LAPIC_INIT))
        return "the local APIC does not send INIT";
    clock_spin(INIT_SETTLES_NS);
    for (unsigned i = 0; i < 2 && *(volatile uint32_t *)&entry->claimed == 0; i++) {
        if (!lapic_command(apic_id, LAPIC_STARTUP | vector))
            return "the local APIC does not send start-up interrupts";
        clock_spin(STARTUP_REPEATS_NS);
    }
    return NULL;
}

void cpu_start_done(bool all)
{
    if (all && block != NULL)
        pages_free(block, BLOCK_ORDER);
    block = NULL;
}

_Noreturn void secondary_enter(struct cpu *cpu)
{
    trap_init_cpu(cpu);
    smp_arrive(cpu);
}
