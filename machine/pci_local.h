/*
 * pci_local.h: what the files of the PCI finder share with each other and with nobody else.
 */
#ifndef MACHINE_PCI_LOCAL_H
#define MACHINE_PCI_LOCAL_H

#include <machine/pci_space.h>
#include <lib/log.h>

/* Where I/O space ends for every device and bridge that decodes 16 bits, which is all that is relied on. */
#define PCI_IO_END UINT64_C(0x10000)
/* Where 32-bit memory space ends. */
#define PCI_MEMORY32_END (UINT64_C(1) << 32)

/* "0000:00:1f.2: ..." as one warning. */
#define pci_warn(where, format, ...)                                                                                   \
    do {                                                                                                               \
        char address_text_[PCI_ADDRESS_TEXT_SIZE];                                                                     \
        pci_address_text(where, address_text_);                                                                        \
        log_warn("pci", "%s: " format, address_text_, ##__VA_ARGS__);                                                  \
    } while (0)

static inline bool pci_is_bridge(const struct pci_function *function)
{
    return function->header_type == PCI_HEADER_BRIDGE;
}

/* How many of bars[] are BARs; behind them a bridge's windows. */
static inline unsigned pci_bar_count(const struct pci_function *function)
{
    return pci_is_bridge(function) ? 2 : PCI_MAX_BARS;
}

static inline bool pci_is_window(const struct pci_function *function, unsigned index)
{
    return pci_is_bridge(function) && index >= PCI_BRIDGE_IO;
}

/* pci_bars.c: fills bars[], sizing with decoding off and everything restored. `bridge` translates. */
void pci_read_bars(const struct machine_host_bridge *bridge, const struct pci_access *access,
                   struct pci_function *function);
/* pci_place.c: writes one BAR's or window's registers: its place, or "nowhere". False when it does not read back. */
bool pci_write_bar(const struct pci_access *access, const struct pci_function *function, unsigned index);

/* pci_capability.c: both lists and what vmos uses of them. BARs must have been read. */
void pci_read_capabilities(const struct pci_access *access, struct pci_function *function);

/* "BAR 2", "memory window". */
const char *pci_bar_text(const struct pci_function *function, unsigned index);

#endif
