/*
 * pci.h: finds PCI functions and decodes what their configuration space says.
 *
 * Pure: all access goes through `struct pci_access`, so the same code runs over ECAM, ports 0xCF8/0xCFC,
 * an lspci dump and a fuzzer's bytes. What configuration space says is hostile: each walk is bounded.
 */
#ifndef MACHINE_PCI_H
#define MACHINE_PCI_H

#include <vmos/machine.h>
#include <lib/printf.h>

enum { PCI_MAX_BARS = 6, PCI_MAX_CAPABILITIES = 48, PCI_MAX_EXTENDED_CAPABILITIES = 32 };

struct pci_address {
    uint16_t segment;
    uint8_t bus;
    uint8_t devfn; /* device << 3 | function */
};

/* width is 1, 2 or 4; offset is naturally aligned; below 256 unless `extended`. An absent function, or an
 * offset that cannot be reached, reads as all ones and ignores writes. */
struct pci_access {
    uint32_t (*read)(const struct pci_access *access, struct pci_address where, unsigned offset, unsigned width);
    void (*write)(const struct pci_access *access, struct pci_address where, unsigned offset, unsigned width,
                  uint32_t value);
    /* Waits; for a device that answers "not ready yet". NULL: such a device counts as absent. */
    void (*pause)(const struct pci_access *access, unsigned milliseconds);
    bool extended;  /* offsets up to 4095 can be reached */
    bool read_only; /* a dump: nothing is written, so bus numbers are taken as they are and BARs have size 0 */
};

enum pci_bar_kind { PCI_BAR_NONE, PCI_BAR_IO, PCI_BAR_MEMORY32, PCI_BAR_MEMORY64 };

struct pci_bar {
    enum pci_bar_kind kind;
    bool prefetchable;
    bool assigned; /* bus_address and cpu_address are valid, and decoding may be switched on */
    uint64_t size; /* bytes, a power of two */
    uint64_t bus_address;
    uint64_t cpu_address; /* after the host bridge's translation; I/O below 0x10000 is a port number, above it memory */
};

/* A bridge has two BARs; the next three of bars[] are the windows that it forwards to its secondary bus, of
 * any size that is a multiple of 4 KiB (I/O) or 1 MiB. */
enum { PCI_BRIDGE_IO = 2, PCI_BRIDGE_MEMORY = 3, PCI_BRIDGE_PREFETCH = 4 };

struct pci_capability {
    uint8_t identifier;
    uint8_t length; /* bytes that may be read from offset on: up to the next capability or the end */
    uint8_t offset;
};

struct pci_extended_capability {
    uint16_t identifier, offset;
    uint8_t version;
};

struct pci_msix { /* [PCI Express Base 6.0 §7.7.2] */
    bool usable;
    uint8_t capability;
    uint16_t vector_count;
    uint8_t table_bar, pending_bar;
    uint32_t table_offset, pending_offset; /* checked against the BARs */
};

struct pci_msi { /* [PCI Express Base 6.0 §7.7.1] */
    bool usable;
    uint8_t capability;
    bool wide;     /* 64-bit address */
    bool maskable; /* per-vector mask bits */
    uint8_t vector_count;
};

struct pci_function {
    struct pci_address where;
    uint16_t bridge; /* index of machine.host_bridges */
    uint16_t vendor, device, subsystem_vendor, subsystem;
    uint32_t class_code;
    uint8_t revision, header_type;
    uint8_t interrupt_pin;                  /* 0: none, 1 = INTA..4 */
    uint8_t interrupt_line;                 /* what firmware wrote; only x64 firmware means something by it */
    uint8_t secondary_bus, subordinate_bus; /* bridges; 0, 0 when nothing behind it can be reached */
    /* The pin as the host bridge sees it after swizzling through the bridges above, and the devfn on
     * the bridge's own bus that it belongs to; for intx_routes. */
    uint8_t root_pin;
    uint16_t root_device; /* bus << 8 | devfn */
    /* bus << 8 | devfn as the host bridge sees its reads, writes and messages come: a conventional bridge above
     * puts its own in place. Functions behind one share it. */
    uint16_t requester;
    struct pci_bar bars[PCI_MAX_BARS];
    uint8_t capability_count, extended_capability_count;
    struct pci_capability capabilities[PCI_MAX_CAPABILITIES];
    struct pci_extended_capability extended_capabilities[PCI_MAX_EXTENDED_CAPABILITIES];
    struct pci_msix msix;
    struct pci_msi msi;
    uint8_t express, power_management; /* capability offsets, 0 when absent */
};

/* Calls `found` for each function behind the bridge, parents before children, buses ascending. Buses are
 * numbered where firmware did not. Stops when `found` returns false. The function passed is only valid
 * during the call. Its BARs are sized (decoding off meanwhile) and show what firmware assigned. */
typedef bool pci_found(void *context, const struct pci_function *function);
void pci_enumerate(const struct machine_host_bridge *bridge, uint16_t bridge_index, const struct pci_access *access,
                   pci_found *found, void *context);

/* Refuses what firmware placed where something else of the machine answers (RAM, an ECAM, an interrupt
 * controller, a timer): the BAR counts as unassigned and pci_assign moves it. To be called before pci_assign. */
void pci_check_placement(const struct machine *machine, struct pci_function *functions[], size_t count);

/* Assigns every BAR (and bridge window) behind the host bridge that has no valid place, from its windows,
 * largest first; keeps what firmware placed well. Updates functions[] and the hardware, and lets bridges
 * forward; decoding of a function one of whose BARs moved is left off. A BAR that does not fit stays
 * unassigned and is named in the log. `functions` are all those of this bridge, in found order. */
void pci_assign(const struct machine_host_bridge *bridge, const struct pci_access *access,
                struct pci_function *functions[], size_t count);

/* Writes the BARs' and bridge windows' registers again from `function` (a device that leaves D3 or a reset has
 * forgotten them); decoding must be off. False when one does not read back; it is then no longer assigned. */
bool pci_write_bars(const struct pci_access *access, struct pci_function *function);

/* The line that the function's INTx pin arrives at, by the bridge's routes; MACHINE_NO_LINE: not routed. */
struct machine_line pci_intx_line(const struct machine_host_bridge *bridge, const struct pci_function *function);

/* Offset of a field of the Express capability that is `width` bytes; 0 when the function has none there. */
unsigned pci_express_field(const struct pci_function *function, unsigned field, unsigned width);

/* What differs in configuration space from what was found (and, for BARs, assigned), as in "BAR 2 has moved";
 * NULL when nothing does. Reads only. */
const char *pci_verify(const struct pci_access *access, const struct pci_function *function);

/* Errors that a function has recorded: the bits that its registers showed [PCI Express Base 6.0 §6.2, §7.8.4]. */
struct pci_errors {
    uint16_t status, secondary; /* secondary: of a bridge, for the bus behind it */
    uint8_t express;
    uint32_t uncorrectable, correctable;
};

/* Takes the errors out of the function's registers and adds them to `errors`; whether there were any. A function
 * that reads as all ones has recorded none. */
bool pci_errors_take(const struct pci_access *access, const struct pci_function *function, struct pci_errors *errors);
/* "received master abort, unsupported request"; "none". */
void pci_errors_text(const struct pci_errors *errors, char *text, size_t size);

/* "8 GT/s x4 of at most 16 GT/s x8"; false for a function without a link of its own. */
bool pci_link_text(const struct pci_access *access, const struct pci_function *function, char *text, size_t size);

/* Whether the function is a 16550 whose registers can be reached, and where: pci_uart.c. NAMED: SPCR says that this is
 * the console. */
enum pci_uart { PCI_UART_NONE, PCI_UART_FOUND, PCI_UART_NAMED };
enum pci_uart pci_uart_describe(const struct machine *machine, const struct machine_host_bridge *bridge,
                                const struct pci_function *function, struct machine_uart *uart);

/* "Amazon ENA network adapter" for the functions that vmos knows by name, else NULL. */
const char *pci_function_name(const struct pci_function *function);
/* "ethernet controller", by class; never NULL. */
const char *pci_class_name(uint32_t class_code);

/* "0000:00:1f.2" */
#define PCI_ADDRESS_TEXT_SIZE 13
void pci_address_text(struct pci_address where, char text[PCI_ADDRESS_TEXT_SIZE]);

/* Everything about a function as stable "key: value" lines. */
void pci_report(const struct pci_function *function, struct printer *printer);

#endif
