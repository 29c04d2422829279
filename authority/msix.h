/*
 * msix.h: what a PCI function may do to the machine, switched on and off: decoding, bus mastering, the
 * interrupt line, and messages by MSI-X or MSI. Every switch is read back: a device may refuse.
 *
 * Belongs to the device manager; drivers never see it. Configuration space is reached through pci_access, the
 * MSI-X table through its own mapping, which no driver shares.
 */
#ifndef AUTHORITY_MSIX_H
#define AUTHORITY_MSIX_H

#include <vmos/abi.h>
#include <machine/pci.h>

enum msix_kind { MSIX_NONE, MSIX_TABLE, MSIX_MSI };

struct msix {
    const struct pci_access *access;
    struct pci_function *function;
    enum msix_kind kind;
    bool enabled;
    unsigned vector_count;
    volatile uint8_t *table;   /* MSIX_TABLE: entry 0 */
    volatile uint8_t *pending; /* MSIX_TABLE: the first 64 pending bits */
};

/*
 * Takes the function into service: power state D0 (waits 10 ms when it was not, and writes the BARs again),
 * messages off, the line off, decoding on; bus mastering stays as it was. Vectors are found but not enabled yet, so
 * that a function whose messages nobody can deliver may still use its line. Also after an earlier msix_open.
 * STATUS_DEVICE_FAULT: the function does not answer, does not wake, or does not decode.
 */
enum status msix_open(struct msix *msix, struct pci_function *function, const struct pci_access *access);

/* Whether the function sends messages at all, and how many kinds: all of MSI-X's vectors, of MSI only one. */
bool msix_available(const struct msix *msix);
unsigned msix_vector_count(const struct msix *msix);

/*
 * Sets what vector `index` writes where; the vector stays masked. The first call enables MSI-X or MSI, reads
 * that back and switches the line off for good. STATUS_OUT_OF_RANGE: no such vector, or an address above
 * 4 GiB for a function that cannot write there. STATUS_DEVICE_FAULT: the entry or the switch does not keep
 * what is written; messages are then off, msix_available() is false, and the line may be used.
 */
enum status msix_vector_set(struct msix *msix, unsigned index, uint64_t address, uint32_t data);

/* Masks or unmasks one vector, at its table entry, its MSI mask bit, or the MSI switch. */
void msix_vector_mask(struct msix *msix, unsigned index, bool masked);

/* Whether the vector is masked now, as the function shows it. */
bool msix_vector_masked(const struct msix *msix, unsigned index);

/* Whether the vector was raised while it was masked. */
bool msix_vector_pending(const struct msix *msix, unsigned index);

/* Masks all vectors of the function with one write; false when it does not take or there is no such switch. */
bool msix_mask_all(struct msix *msix, bool masked);

/* Every vector masked, MSI-X and MSI off, the line off. Neighbour and mirror of the first msix_vector_set. */
void msix_disable(struct msix *msix);

/* The function's own switch for its line. False when it has none that takes, so that the wire must be masked
 * at the controller instead. `on` is refused while messages are enabled. */
bool msix_line_enable(struct msix *msix, bool on);

/* Whether the function drives its line now, or would if the switch let it. */
bool msix_line_pending(const struct msix *msix);

/* Whether the function may read and write memory. False when the register does not read back as asked. */
bool msix_bus_master(struct msix *msix, bool on);

/* Whether the function answers at its BARs. Only spaces in which a BAR has a place are switched on. */
bool msix_decode(struct msix *msix, bool on);

#endif
