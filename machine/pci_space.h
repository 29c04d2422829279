/*
 * pci_space.h: configuration space by width, over a pci_access.
 */
#ifndef MACHINE_PCI_SPACE_H
#define MACHINE_PCI_SPACE_H

#include <machine/pci.h>
#include <machine/pci_reg.h>

static inline uint8_t pci_read8(const struct pci_access *access, struct pci_address where, unsigned offset)
{
    return (uint8_t)access->read(access, where, offset, 1);
}

static inline uint16_t pci_read16(const struct pci_access *access, struct pci_address where, unsigned offset)
{
    return (uint16_t)access->read(access, where, offset, 2);
}

static inline uint32_t pci_read32(const struct pci_access *access, struct pci_address where, unsigned offset)
{
    return access->read(access, where, offset, 4);
}

static inline void pci_write8(const struct pci_access *access, struct pci_address where, unsigned offset, uint8_t value)
{
    access->write(access, where, offset, 1, value);
}

static inline void pci_write16(const struct pci_access *access, struct pci_address where, unsigned offset,
                               uint16_t value)
{
    access->write(access, where, offset, 2, value);
}

static inline void pci_write32(const struct pci_access *access, struct pci_address where, unsigned offset,
                               uint32_t value)
{
    access->write(access, where, offset, 4, value);
}

#endif
