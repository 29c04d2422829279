/*
 * pci_access.h: configuration space of this machine, by ECAM [PCI Express Base 6.0 §7.2.2] or by the ports
 * 0xCF8 and 0xCFC [PCI Local Bus 3.0 §3.2.2.3.2].
 */
#ifndef AUTHORITY_PCI_ACCESS_H
#define AUTHORITY_PCI_ACCESS_H

#include <machine/pci.h>

/* The configuration space of one bus as mapped; buses share a few of these, and mapping again is cheap. */
enum { PCI_ACCESS_MAPPED_BUSES = 8 };

struct pci_machine_access {
    struct pci_access access; /* first: what is passed on */
    const struct machine_host_bridge *bridge;
    uintptr_t mapped[PCI_ACCESS_MAPPED_BUSES]; /* where it is, with its number in the low bits; 0: none yet */
};

/* `out` and `bridge` must live as long as out->access is used. Maps nothing yet: a bus is mapped, for good,
 * when it is first touched. Outside the bridge's segment and buses everything reads as all ones. Any context,
 * any CPU. */
void pci_access_init(struct pci_machine_access *out, const struct machine_host_bridge *bridge);

#endif
