/*
 * pci_check.c: whether a BAR lies where something else of the machine answers.
 */
#include "pci_local.h"

/* What a range of physical addresses is taken by, or NULL. */
static bool meets(uint64_t a, uint64_t a_size, uint64_t b, uint64_t b_size)
{
    return b != 0 && b_size != 0 && (a < b ? b - a < a_size : a - b < b_size);
}

static const char *taken_by_memory(const struct machine *machine, uint64_t base, uint64_t size)
{
    for (uint32_t i = 0; i < machine->memory_count; i++) {
        const struct memory_range *range = &machine->memory[i];
        /* Firmware reserves the PCI windows themselves on some machines. */
        if (range->kind == MEMORY_RESERVED || range->kind == MEMORY_BAD || range->size == 0)
            continue;
        if (base < range->base ? range->base - base < size : base - range->base < range->size)
            return "memory";
    }
    return NULL;
}

static const char *taken_by_interrupts(const struct machine *machine, uint64_t base, uint64_t size)
{
    const struct machine_gic *gic = &machine->gic;

    for (uint32_t i = 0; i < machine->io_apic_count; i++) {
        if (meets(base, size, machine->io_apics[i].base, 0x1000))
            return "an I/O APIC";
    }
    if (meets(base, size, machine->local_apic, 0x1000))
        return "the local APIC";
    if (meets(base, size, gic->distributor, 0x1000) || meets(base, size, gic->cpu_interface, 0x1000))
        return "the GIC";
    for (uint32_t i = 0; i < gic->redistributor_count; i++) {
        if (meets(base, size, gic->redistributors[i].base, gic->redistributors[i].size))
            return "the GIC";
    }
    for (uint32_t i = 0; i < machine->its_count; i++) {
        if (meets(base, size, machine->its[i].base, 0x20000))
            return "an ITS";
    }
    for (uint32_t i = 0; i < machine->v2m_count; i++) {
        if (meets(base, size, machine->v2m[i].base, 0x1000))
            return "a GICv2m frame";
    }
    for (uint32_t i = 0; i < machine->plic_count; i++) {
        if (meets(base, size, machine->plics[i].base, machine->plics[i].size))
            return "the PLIC";
    }
    for (uint32_t i = 0; i < machine->aplic_count; i++) {
        if (meets(base, size, machine->aplics[i].base, machine->aplics[i].size))
            return "an APLIC";
    }
    return NULL;
}

static const char *taken_by(const struct machine *machine, uint64_t base, uint64_t size)
{
    const char *owner = taken_by_memory(machine, base, size);

    if (owner == NULL)
        owner = taken_by_interrupts(machine, base, size);
    if (owner == NULL && meets(base, size, machine->hpet.base, 0x400))
        owner = "the HPET";
    for (uint32_t i = 0; i < machine->host_bridge_count && owner == NULL; i++) {
        const struct machine_host_bridge *bridge = &machine->host_bridges[i];
        if (bridge->last_bus >= bridge->first_bus &&
            meets(base, size, bridge->ecam, (uint64_t)(bridge->last_bus - bridge->first_bus + 1) << 20))
            owner = "configuration space";
    }
    return owner;
}

void pci_check_placement(const struct machine *machine, struct pci_function *functions[], size_t count)
{
    for (size_t i = 0; i < count; i++) {
        struct pci_function *function = functions[i];
        for (unsigned b = 0; b < PCI_MAX_BARS; b++) {
            struct pci_bar *bar = &function->bars[b];
            if (bar->kind == PCI_BAR_NONE || bar->kind == PCI_BAR_IO || !bar->assigned || bar->size == 0)
                continue;
            const char *owner = taken_by(machine, bar->cpu_address, bar->size);
            if (owner == NULL)
                continue;
            pci_warn(function->where, "%s at 0x%llx lies over %s; it is moved", pci_bar_text(function, b),
                     (unsigned long long)bar->bus_address, owner);
            bar->assigned = false;
        }
    }
}
