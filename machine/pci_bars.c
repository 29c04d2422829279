/*
 * pci_bars.c: what a function decodes: its BARs, and the windows of a bridge.
 *
 * A size is found by writing all ones and reading back [PCI Local Bus 3.0 §6.2.5.1]. While that is done the
 * function must not decode, or it would answer in the middle of somebody else's addresses; nothing is logged
 * meanwhile, for the function may be the console's UART. Everything is put back before this returns.
 */
#include "pci_local.h"
#include <lib/bytes.h>

#define DECODE (PCI_COMMAND_IO | PCI_COMMAND_MEMORY)

/* Finds where a range of the bus lies for the CPU. False when it wraps, or when the host bridge has windows of
 * this kind and the range lies in none of them. */
static bool translate(const struct machine_host_bridge *bridge, const struct pci_bar *bar, uint64_t *cpu_address)
{
    bool io = bar->kind == PCI_BAR_IO;
    bool any = false;
    uint64_t last = bar->bus_address + (bar->size != 0 ? bar->size - 1 : 0);

    if (last < bar->bus_address || (io && last >= PCI_IO_END))
        return false;
    for (uint32_t i = 0; i < bridge->window_count && i < MACHINE_MAX_WINDOWS; i++) {
        const struct machine_pci_window *window = &bridge->windows[i];
        if ((window->kind == PCI_WINDOW_IO) != io || window->size == 0)
            continue;
        any = true;
        if (bar->bus_address >= window->bus_address && last - window->bus_address < window->size) {
            *cpu_address = window->cpu_address + (bar->bus_address - window->bus_address);
            return true;
        }
    }
    *cpu_address = bar->bus_address;
    return !any;
}

/* What the registers showed: as found, and with all ones written. */
struct probe {
    uint32_t found[PCI_MAX_BARS], ones[PCI_MAX_BARS];
    bool restored;
};

static void probe_registers(const struct pci_access *access, struct pci_address where, unsigned count,
                            struct probe *probe)
{
    probe->restored = true;
    for (unsigned i = 0; i < count; i++) {
        unsigned offset = PCI_BAR0 + i * 4;
        probe->found[i] = pci_read32(access, where, offset);
        if (access->read_only)
            continue;
        pci_write32(access, where, offset, UINT32_MAX);
        probe->ones[i] = pci_read32(access, where, offset);
        pci_write32(access, where, offset, probe->found[i]);
        if (pci_read32(access, where, offset) != probe->found[i])
            probe->restored = false;
    }
}

/* The size in a mask of address bits, which must be ones from some bit up to `bits`; 0 when it is not so. */
static uint64_t mask_size(uint64_t mask, unsigned bits)
{
    uint64_t size = mask & (~mask + 1);
    uint64_t all = bits == 64 ? UINT64_MAX : (UINT64_C(1) << bits) - 1;

    return (mask | (size - 1)) == all ? size : 0;
}

/*
 * One BAR out of what was probed. Returns how many registers it takes; `fault` says why it is not usable.
 */
static unsigned decode_bar(const struct pci_access *access, const struct probe *probe, unsigned index, unsigned count,
                           struct pci_bar *bar, const char **fault)
{
    uint32_t found = probe->found[index];
    uint32_t ones = access->read_only ? found : probe->ones[index];
    bool io = ones & PCI_BAR_IS_IO;
    bool wide = !io && (ones & PCI_BAR_TYPE_MASK) == PCI_BAR_TYPE_64;
    uint32_t fixed = io ? 3 : 15; /* bits that say what the BAR is and cannot be written */
    uint64_t mask = ones & ~fixed, address = found & ~fixed;

    if (ones == 0)
        return 1;
    if ((found & fixed) != (ones & fixed) || (found == UINT32_MAX && !access->read_only)) {
        *fault = "changes its kind when it is written";
        return 1;
    }
    if (!io && !wide && (ones & PCI_BAR_TYPE_MASK) != 0) {
        *fault = "has a reserved type";
        return 1;
    }
    if (wide && index + 1 == count) {
        *fault = "is 64 bits wide but the last";
        return 1;
    }
    if (wide) {
        mask |= (uint64_t)probe->ones[index + 1] << 32;
        address |= (uint64_t)probe->found[index + 1] << 32;
    }
    bar->size = 0;
    if (!access->read_only) {
        if (mask == 0)
            return wide ? 2 : 1;
        /* An I/O BAR may decode 16 bits only [PCI Local Bus 3.0 §6.2.5.1]. */
        unsigned bits = wide ? 64 : io && mask >> 16 == 0 ? 16 : 32;
        bar->size = mask_size(mask, bits);
        if (bar->size == 0 || (address & (bar->size - 1)) != 0) {
            *fault = bar->size == 0 ? "has an odd mask" : "lies at an address that its mask does not allow";
            bar->size = 0;
            return wide ? 2 : 1;
        }
    }
    bar->kind = io ? PCI_BAR_IO : wide ? PCI_BAR_MEMORY64 : PCI_BAR_MEMORY32;
    bar->prefetchable = !io && (ones & PCI_BAR_PREFETCHABLE);
    bar->bus_address = address;
    return wide ? 2 : 1;
}

/* The range of a bridge's window [PCI-to-PCI Bridge 1.2 §3.2.5.6 to .10]. Closed when the base is above the
 * limit; a base of 0 is what reset leaves, not a place. */
static void decode_window(struct pci_bar *window, enum pci_bar_kind kind, uint64_t base, uint64_t last)
{
    window->kind = kind;
    if (base == 0 || last < base)
        return;
    window->bus_address = base;
    window->size = last - base + 1;
}

static void read_io_window(const struct pci_access *access, struct pci_address where, struct pci_bar *window)
{
    uint16_t found = pci_read16(access, where, PCI_IO_BASE);

    if (!access->read_only) { /* implemented if the base can be written: a bridge without one reads 0 */
        pci_write16(access, where, PCI_IO_BASE, 0xf0f0);
        uint16_t able = pci_read16(access, where, PCI_IO_BASE);
        pci_write16(access, where, PCI_IO_BASE, found);
        if ((able & 0xf0f0) != 0xf0f0)
            return;
    } else if (found == 0) {
        return;
    }
    uint64_t base = (uint64_t)(found & 0xf0) << 8, last = (found & 0xf000) | 0xfffu;
    if ((found & 0x0f) == 1) {
        base |= (uint64_t)pci_read16(access, where, PCI_IO_BASE_HIGH) << 16;
        last |= (uint64_t)pci_read16(access, where, PCI_IO_LIMIT_HIGH) << 16;
    }
    decode_window(window, PCI_BAR_IO, base, last);
}

static void read_prefetch_window(const struct pci_access *access, struct pci_address where, struct pci_bar *window)
{
    uint32_t found = pci_read32(access, where, PCI_PREFETCH_BASE);

    if (!access->read_only) {
        pci_write32(access, where, PCI_PREFETCH_BASE, 0xfff0fff0);
        uint32_t able = pci_read32(access, where, PCI_PREFETCH_BASE);
        pci_write32(access, where, PCI_PREFETCH_BASE, found);
        if ((able & 0xfff0fff0) != 0xfff0fff0)
            return;
    } else if (found == 0) {
        return;
    }
    bool wide = (found & 0x0f) == 1;
    uint64_t base = (uint64_t)(found & 0xfff0) << 16, last = (found & 0xfff00000) | 0xfffffu;
    if (wide) {
        base |= (uint64_t)pci_read32(access, where, PCI_PREFETCH_BASE_HIGH) << 32;
        last |= (uint64_t)pci_read32(access, where, PCI_PREFETCH_LIMIT_HIGH) << 32;
    }
    window->prefetchable = true;
    decode_window(window, wide ? PCI_BAR_MEMORY64 : PCI_BAR_MEMORY32, base, last);
}

static void read_windows(const struct pci_access *access, struct pci_function *function)
{
    uint32_t memory = pci_read32(access, function->where, PCI_MEMORY_BASE);

    read_io_window(access, function->where, &function->bars[PCI_BRIDGE_IO]);
    decode_window(&function->bars[PCI_BRIDGE_MEMORY], PCI_BAR_MEMORY32, (uint64_t)(memory & 0xfff0) << 16,
                  (memory & 0xfff00000) | 0xfffffu);
    read_prefetch_window(access, function->where, &function->bars[PCI_BRIDGE_PREFETCH]);
}

void pci_read_bars(const struct machine_host_bridge *bridge, const struct pci_access *access,
                   struct pci_function *function)
{
    struct pci_address where = function->where;
    unsigned count = pci_bar_count(function);
    const char *faults[PCI_MAX_BARS] = {NULL};
    struct probe probe = {.restored = true};
    uint16_t command = pci_read16(access, where, PCI_COMMAND);
    bool decoding = false;

    if (!access->read_only && (command & DECODE) != 0) {
        pci_write16(access, where, PCI_COMMAND, (uint16_t)(command & ~DECODE));
        decoding = pci_read16(access, where, PCI_COMMAND) & DECODE;
    }
    if (!decoding) {
        probe_registers(access, where, count, &probe);
        if (pci_is_bridge(function))
            read_windows(access, function);
    }
    if (!access->read_only && (command & DECODE) != 0)
        pci_write16(access, where, PCI_COMMAND, command);
    if (decoding) {
        pci_warn(where, "decoding cannot be switched off; its BARs are not sized and not used");
        return;
    }
    if (!probe.restored)
        pci_warn(where, "a BAR does not keep what is written; such BARs are not used");

    for (unsigned i = 0; i < count;) {
        unsigned registers = decode_bar(access, &probe, i, count, &function->bars[i], &faults[i]);
        if (faults[i] != NULL)
            pci_warn(where, "%s %s (0x%x, all ones read back as 0x%x); it is not used", pci_bar_text(function, i),
                     faults[i], probe.found[i], probe.ones[i]);
        i += registers;
    }
    for (unsigned i = 0; i < PCI_MAX_BARS; i++) {
        struct pci_bar *bar = &function->bars[i];
        if (bar->kind == PCI_BAR_NONE || bar->bus_address == 0)
            continue;
        bar->assigned = translate(bridge, bar, &bar->cpu_address);
        if (!bar->assigned) {
            pci_warn(where, "%s at 0x%llx lies outside what the host bridge forwards", pci_bar_text(function, i),
                     (unsigned long long)bar->bus_address);
            if (pci_is_window(function, i))
                bar->size = 0;
        }
    }
}
