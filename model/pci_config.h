/*
 * pci_config.h: a model of PCI configuration spaces for host tests: functions, BARs that can be sized, bridges
 * that forward what their registers say, capabilities, and switches that make a function misbehave.
 *
 * A function is 4096 bytes and, for each bit, whether it can be written. Buses exist only through bridges: a
 * function is reached when the bridges above it forward its bus number, as in hardware.
 */
#ifndef MODEL_PCI_CONFIG_H
#define MODEL_PCI_CONFIG_H

#include <machine/pci.h>

enum { PCI_MODEL_ROOT = -1 };

struct pci_model_function {
    int parent; /* index of the bridge above, or PCI_MODEL_ROOT */
    uint8_t devfn;
    uint8_t root_bus; /* with PCI_MODEL_ROOT: of another host bridge's bus; 0: the first */
    uint8_t space[4096], writable[4096];
    uint8_t clears[4096];     /* bits that writing 1 clears */
    unsigned next_capability; /* where the next one goes */
    unsigned last_link;       /* offset of the byte that will point to it */
    unsigned sized_decoding;  /* BARs written all ones while decoding was on */

    /* Misbehaviour */
    bool every_function;   /* answers for all eight function numbers */
    bool every_device;     /* answers for all device numbers of its bus */
    bool stuck_bars;       /* BARs keep nothing */
    bool ram_bars;         /* BARs keep everything, their kind too */
    bool stuck_decode;     /* decoding stays on */
    bool stuck_numbers;    /* a bridge keeps no bus numbers */
    unsigned retries;      /* so many reads of the vendor give "not ready" */
    unsigned vanish_after; /* all ones after so many reads; 0: never */
    unsigned reads;
    bool gone; /* all ones, from now on */

    /* What a reset of the function does besides forgetting all that can be written */
    unsigned resets;        /* counted */
    unsigned reset_retries; /* so many "not ready" after it */
    bool reset_gone;        /* it is gone after it */
    bool reset_stuck_bars;  /* BARs keep nothing after it */
    uint16_t reset_vendor;  /* 0: as before */
};

struct pci_model {
    struct pci_access access; /* first */
    uint16_t segment;
    uint8_t first_bus;
    struct pci_model_function *functions;
    size_t count, capacity;
    unsigned reads, writes, strays; /* strays: accesses that break the contract of pci_access */
    unsigned paused_ms;
};

void pci_model_init(struct pci_model *model);
void pci_model_free(struct pci_model *model);

/* Adds a function with a plain header; returns its index. Pointers to functions do not survive this. */
int pci_model_add(struct pci_model *model, int parent, uint8_t devfn, uint16_t vendor, uint16_t device,
                  uint32_t class_code);
/* Adds a bridge without bus numbers; with `port` it is a PCI Express root port. */
int pci_model_add_bridge(struct pci_model *model, int parent, uint8_t devfn, bool port);
struct pci_model_function *pci_model_at(struct pci_model *model, int index);

/* `size` is a power of two; 64-bit BARs take two registers. */
void pci_model_bar(struct pci_model_function *function, unsigned index, enum pci_bar_kind kind, bool prefetchable,
                   uint64_t size);
/* Appends to the capability list; returns its offset. */
unsigned pci_model_capability(struct pci_model_function *function, uint8_t identifier, unsigned size);
unsigned pci_model_msix(struct pci_model_function *function, unsigned vectors, unsigned bar, uint32_t table,
                        unsigned pending_bar, uint32_t pending);

/* A PCI Express capability of an endpoint; with `reset` it can be reset. Returns its offset. */
unsigned pci_model_express(struct pci_model_function *function, bool reset);
/* Advanced Features with a reset, for a conventional function. */
unsigned pci_model_features(struct pci_model_function *function);
/* Advanced Error Reporting at 0x100. */
void pci_model_errors(struct pci_model_function *function);
/* Makes a port (pci_model_add_bridge) one with a hot-plug slot that has something in it, a button and power; what is
 * behind it is gone when that is switched off. */
void pci_model_slot(struct pci_model_function *port);

void pci_model_set(struct pci_model_function *function, unsigned offset, unsigned width, uint32_t value);
uint32_t pci_model_get(const struct pci_model_function *function, unsigned offset, unsigned width);

/* How many BARs an access from the host to this bus address would meet, through the bridges as they are set up
 * now; `*function` and `*bar` say the last. Endpoints count whether or not they decode. */
unsigned pci_model_resolve(const struct pci_model *model, bool io, uint64_t address, int *function, unsigned *bar);

#endif
