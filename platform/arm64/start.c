/*
 * start.c: starts the other CPUs by PSCI [Arm PSCI 1.1 DEN 0022 §5.1.4].
 *
 * They begin with the MMU off (secondary.S) and go the boot CPU's way into the upper half, through the one page of
 * code that is mapped where it lies. Its four tables are made anew and given back when all CPUs have come. What is
 * read with the MMU off is written back from the caches first.
 */
#include "local.h"

#include <lib/bytes.h>
#include <lib/log.h>
#include <platform/mmu.h>

enum { TABLE_ENTRIES = 512, TABLES_ORDER = 2, LEVELS = 4 };

#define PSCI_CPU_ON UINT64_C(0xc4000003)

static pte *tables;
static enum power_conduit conduit;

void psci_init(const struct machine *machine)
{
    conduit = machine->power.psci;
}

int64_t psci(uint64_t function, uint64_t first, uint64_t second, uint64_t third)
{
    switch (conduit) {
    case CONDUIT_HVC:
        return call_hypervisor(function, first, second, third);
    case CONDUIT_SMC:
        return call_monitor(function, first, second, third);
    case CONDUIT_NONE:
        break;
    }
    return -1;
}

static uint64_t index_of(uint64_t address, unsigned level)
{
    return address >> (PAGE_SHIFT + 9 * level) & (TABLE_ENTRIES - 1);
}

bool cpu_start_prepare(const struct machine *machine)
{
    uint64_t page = align_down(virtual_to_physical(boot_switch), PAGE_SIZE);

    if (machine->power.psci == CONDUIT_NONE) {
        log_warn("cpu", "the machine has other CPUs and no PSCI to start them by; they stay off");
        return false;
    }
    tables = pages_allocate(TABLES_ORDER);
    if (tables == NULL) {
        log_error("cpu", "no memory for the page tables that other CPUs start with; they stay off");
        return false;
    }
    for (unsigned level = LEVELS - 1; level > 0; level--) {
        pte *table = tables + (size_t)(LEVELS - 1 - level) * TABLE_ENTRIES;
        table[index_of(page, level)] = mmu_table(virtual_to_physical(table + TABLE_ENTRIES));
    }
    tables[(size_t)(LEVELS - 1) * TABLE_ENTRIES + index_of(page, 0)] = mmu_leaf(page, 0, MMU_READ | MMU_EXECUTE);
    cache_clean(tables, PAGE_SIZE << TABLES_ORDER);
    boot_translation.identity_root = virtual_to_physical(tables);
    cache_clean(&boot_translation, sizeof boot_translation);
    return true;
}

bool cpu_start_allocate(struct cpu *cpu)
{
    (void)cpu;
    return true;
}

const char *cpu_start(struct cpu *cpu)
{
    static const char *const errors[] = {/* [§5.2.2], by -result */
                                         NULL,
                                         "the firmware does not know CPU_ON",
                                         "the firmware does not know that CPU",
                                         "the firmware denies it",
                                         "it is on already, and not by us",
                                         "it is being switched on already, and not by us",
                                         "the firmware failed",
                                         "it is not there",
                                         "it is disabled",
                                         "the firmware does not like the address to start at"};

    cache_clean(cpu, sizeof *cpu);
    int64_t result =
        psci(PSCI_CPU_ON, cpu->hardware_id, virtual_to_physical(secondary_entry), virtual_to_physical(cpu));
    if (result == 0)
        return NULL;
    int32_t code = -(int32_t)result;
    return code > 0 && code < (int32_t)(sizeof errors / sizeof errors[0]) ? errors[code]
                                                                          : "the firmware's answer makes no sense";
}

void cpu_start_done(bool all)
{
    if (all)
        pages_free(tables, TABLES_ORDER);
    tables = NULL;
}
