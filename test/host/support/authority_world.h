/*
 * authority_world.h: a small machine under the real authority/ and the real platform/interrupt.c: memory that knows
 * who has it, registers that can refuse, wires, messages, a clock that moves when told. What is done to it in which
 * order is kept in a trace.
 */
#ifndef AUTHORITY_WORLD_H
#define AUTHORITY_WORLD_H

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <authority/device.h>
#include <memory/memory.h>
#include <model/pci_config.h>

#include "host_log.h"

#define WORLD_SLOTS      UINT64_C(0x0a000000)     /* virtio-mmio slots, eight to a page */
#define WORLD_PHYSICAL   UINT64_C(0x7f0000000000) /* RAM: host address + this, as the device sees it */
#define WORLD_TABLE      0x2000u                  /* a function's MSI-X table, in BAR 4 */
#define WORLD_FIRST_LINE 40u                      /* of the slots, ascending; PCI's INTA is WORLD_PCI_LINE */
#define WORLD_PCI_LINE   32u

enum { WORLD_SLOT_SIZE = 0x200, WORLD_PORTS = 0x10000, WORLD_VECTORS = 4, WORLD_LINES = 64 };

struct world {
    struct machine *machine;
    struct machine_room *room;
    struct pci_model pci;
    uint64_t now_ns;
    unsigned cpus;           /* that run; 0: one */
    unsigned cpus_reached;   /* messages can be directed to so many of them */
    unsigned wakes;          /* of the boot CPU */
    bool messages;           /* a controller takes them */
    bool no_lines;           /* no controller takes any line */
    bool ports;              /* port_space_exists() */
    bool level[WORLD_LINES]; /* of wires that are not PCI's */
    int interrupts_disabled; /* depth */
    unsigned fail_calloc;    /* so many calls of calloc later one fails; 0: none does */
    unsigned fail_pages;     /* the same for pages */
    unsigned pages_live;     /* frames handed out */
    uint64_t kept_bytes;     /* of clients, never to be freed */
    unsigned dirty_frees;    /* pages that came back with something in them */
    uint64_t stuck_register; /* physical address (or port) that keeps stuck_value whatever is written */
    uint32_t stuck_value;
    unsigned stuck_reads; /* of which so many reads show the value, then 0; 0: for ever */
    unsigned register_accesses;
    void (*on_access)(void); /* before each access to registers, configuration space and vectors */
    void (*on_sleep)(void);  /* instead of letting time pass, once */
    unsigned sleeps;
    unsigned timers; /* armed */
    char trace[16384];
    char announced[4096]; /* "NAME: sentence\n" each */
};

extern struct world world;

/* cmocka's setup and teardown. The teardown ends every ownership, and then nothing may be held, armed or attached,
 * and nothing may have come back unscrubbed. */
int world_begin(void **state);
int world_end(void **state);

/* ---- What the machine has; before world_discover ---- */

/* A virtio-mmio slot with this kind of device in it. */
void world_slot(uint32_t device_id);
enum {
    WORLD_MSIX = 1,   /* WORLD_VECTORS vectors, table in BAR 4 beside the registers */
    WORLD_LEGACY = 4, /* a transitional device: I/O BAR 0 */
    WORLD_EXPRESS = 8,
    WORLD_RESET = 16, /* with WORLD_EXPRESS: its function can be reset */
};
/* A virtio function, common configuration at offset 0x100 of BAR 4; returns its index in world.pci. */
int world_function(uint8_t devfn, uint16_t device_id, unsigned with);
#define WORLD_COMMON_STATUS (0x100u + 0x14u)
/* Finds everything, with the given drivers. */
void world_discover(const struct driver *const drivers[], size_t count);

/* ---- Drivers that do what a test says ---- */

struct world_script {
    enum status (*start)(struct device *device); /* NULL: STATUS_OK */
    void (*handle)(struct device *device, uint32_t events);
    void (*stop)(struct device *device);
    unsigned starts, handles, stops; /* counted */
    uint32_t events;                 /* of the last handle */
};
extern struct world_script world_script;
/* For virtio device 1 (net), 2 (blk) and 4 (rng) on either bus. */
extern const struct driver world_net, world_blk, world_rng;
extern const struct driver *const world_drivers[3];
bool world_wanted(const char *driver); /* all of them */

/* ---- What happens ---- */

uint8_t *world_register(uint64_t physical); /* where a register's byte is; NULL: no such place */
uint8_t *world_port(uint16_t port);
void world_advance(uint64_t duration_ns); /* fires what is due */
/* Delivers interrupts of wires while any is up and open; at most `limit`, returns how many. */
unsigned world_wires(unsigned limit);
/* The function sends vector `index`; false when it may not. */
bool world_message(int function, unsigned index);
void world_intx(int function, bool level);
/* For on_access: it happens with interrupts disabled. */
void world_interrupts_are_disabled(void);
/* Memory of a client: whole pages, with these rights (enum mmu_access). `apart`: its pages are not neighbours. */
void *world_client(unsigned pages, unsigned access, bool apart);

/* The trace since the last clear has these words in this order. Ends with NULL. */
void world_trace_clear(void);
bool world_trace_has(const char *word);
void world_expect_order(const char *first, ...) __attribute__((sentinel));

/* A device claimed by hand, without a driver of its own. */
struct device *world_claimed(const char *name);

#endif
