/*
 * pci_place.c: where a function was placed: written to it, also again after a reset, and told. Unlike pci_bars.c and
 * pci_enumerate.c, which are boot code, this is needed as long as there are functions.
 */
#include "pci_local.h"

const char *pci_bar_text(const struct pci_function *function, unsigned index)
{
    static const char *const bars[] = {"BAR 0", "BAR 1", "BAR 2", "BAR 3", "BAR 4", "BAR 5"};
    static const char *const windows[] = {"I/O window", "memory window", "prefetchable window"};

    return pci_is_window(function, index) ? windows[index - PCI_BRIDGE_IO] : bars[index];
}

static bool write_check(const struct pci_access *access, struct pci_address where, unsigned offset, uint32_t value,
                        uint32_t mask)
{
    pci_write32(access, where, offset, value);
    return ((pci_read32(access, where, offset) ^ value) & mask) == 0;
}

/* "Nowhere" is a base above the limit. */
static bool write_window(const struct pci_access *access, struct pci_address where, const struct pci_bar *window,
                         unsigned index)
{
    uint64_t base = window->assigned ? window->bus_address : index == PCI_BRIDGE_IO ? 0xf000 : 0xfff00000;
    uint64_t last = window->assigned ? window->bus_address + window->size - 1 : 0;

    if (index == PCI_BRIDGE_IO) {
        uint16_t value = (uint16_t)((base >> 8 & 0xf0) | (last & 0xf000));
        pci_write16(access, where, PCI_IO_BASE, value);
        if ((pci_read16(access, where, PCI_IO_BASE) & 0x0f) == 1)
            pci_write32(access, where, PCI_IO_BASE_HIGH, (uint32_t)((base >> 16 & 0xffff) | (last & 0xffff0000)));
        return (pci_read16(access, where, PCI_IO_BASE) & 0xf0f0) == value;
    }
    uint32_t value = (uint32_t)((base >> 16 & 0xfff0) | (last & 0xfff00000));
    if (index == PCI_BRIDGE_MEMORY)
        return write_check(access, where, PCI_MEMORY_BASE, value, 0xfff0fff0);
    bool kept = write_check(access, where, PCI_PREFETCH_BASE, value, 0xfff0fff0);
    if (window->kind == PCI_BAR_MEMORY64) {
        kept = write_check(access, where, PCI_PREFETCH_BASE_HIGH, (uint32_t)(base >> 32), UINT32_MAX) && kept;
        kept = write_check(access, where, PCI_PREFETCH_LIMIT_HIGH, (uint32_t)(last >> 32), UINT32_MAX) && kept;
    }
    return kept;
}

bool pci_write_bar(const struct pci_access *access, const struct pci_function *function, unsigned index)
{
    const struct pci_bar *bar = &function->bars[index];
    uint64_t address = bar->assigned ? bar->bus_address : 0;
    unsigned offset = PCI_BAR0 + index * 4;

    if (bar->kind == PCI_BAR_NONE)
        return true;
    if (pci_is_window(function, index))
        return write_window(access, function->where, bar, index);
    bool kept = write_check(access, function->where, offset, (uint32_t)address,
                            bar->kind == PCI_BAR_IO ? ~UINT32_C(3) : ~UINT32_C(15));
    if (bar->kind == PCI_BAR_MEMORY64)
        kept = write_check(access, function->where, offset + 4, (uint32_t)(address >> 32), UINT32_MAX) && kept;
    return kept;
}

bool pci_write_bars(const struct pci_access *access, struct pci_function *function)
{
    bool all = true;

    for (unsigned i = 0; i < PCI_MAX_BARS; i++) {
        if (pci_write_bar(access, function, i))
            continue;
        pci_warn(function->where, "%s does not keep the address written to it; it is not used",
                 pci_bar_text(function, i));
        function->bars[i].assigned = false;
        all = false;
    }
    return all;
}

struct machine_line pci_intx_line(const struct machine_host_bridge *bridge, const struct pci_function *function)
{
    uint16_t device = function->root_device & bridge->intx_device_mask;

    for (uint32_t i = 0; i < bridge->intx_route_count && i < MACHINE_MAX_INTX_ROUTES; i++) {
        const struct machine_intx_route *route = &bridge->intx_routes[i];
        if (function->root_pin != 0 && route->pin == function->root_pin && route->device == device)
            return route->line;
    }
    return (struct machine_line){.line = MACHINE_NO_LINE};
}
