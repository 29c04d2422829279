/*
 * gic.h: between interrupt.c, which knows routes, and the parts of the GIC, which know INTIDs.
 *
 * INTIDs [Arm GICv3 and GICv4 IHI 0069 §2.2]: 0-15 are between CPUs, 16-31 a CPU's own, 32-1019 shared, 1020-1023
 * special, from 8192 on LPIs. GICv2 [IHI 0048] has all but the last.
 */
#ifndef GIC_H
#define GIC_H

#include <platform/cpu.h>
#include <platform/interrupt.h>

enum {
    GIC_FIRST_PRIVATE = 16,
    GIC_FIRST_SHARED = 32,
    GIC_LINES = 1020, /* one more than the last shared one */
    GIC_FIRST_LPI = 8192,
    GIC_PRIORITY = 0xa0, /* all the same: nothing preempts */
    GIC_PRIORITY_MASK = 0xf0,
    GIC_IPI = 0, /* the one of the 16 between CPUs that is used */
};

/* Registers of the distributor, and of a GICv3 redistributor's second frame, at the same offsets. */
enum {
    GICD_CTLR = 0x000,
    GICD_TYPER = 0x004,
    GICD_IGROUPR = 0x080,
    GICD_ISENABLER = 0x100,
    GICD_ICENABLER = 0x180,
    GICD_ICPENDR = 0x280,
    GICD_ICACTIVER = 0x380,
    GICD_IPRIORITYR = 0x400,
    GICD_ITARGETSR = 0x800,
    GICD_ICFGR = 0xc00,
    GICD_SGIR = 0xf00,
    GICD_IROUTER = 0x6000,
};

struct redistributor {
    volatile void *registers; /* NULL: none */
    uint64_t physical;
    uint64_t type;    /* GICR_TYPER */
    uint8_t *pending; /* its.c: the table of pending LPIs; NULL: they are off */
};

/* What the GIC keeps for each CPU: struct cpu.controller. */
struct gic_cpu {
    struct redistributor redistributor; /* GICv3 */
    volatile void *interface;           /* GICv2 */
    uint8_t target;                     /* GICv2: its bit in target registers; 0: not known */
};
/* gic.c */
struct gic_cpu *gic_local(void);
struct gic_cpu *gic_of(unsigned cpu);

/* A version of the GIC. One is in use; gic.c drives what the two have in common. */
struct gic {
    const char *name;
    uint32_t number_mask;
    bool (*init)(const struct machine *machine);
    bool (*init_cpu)(const struct machine *machine); /* on each further CPU */
    void (*interrupt)(const struct cpu *to);         /* sends GIC_IPI */
    /* Masked, the token is an INTID. It goes back whole: GICv2 keeps the sender there. */
    uint32_t (*acknowledge)(void);
    void (*end)(uint32_t token);
    /* Registers for this line: of the distributor or, GICv3's private ones, the redistributor. */
    volatile void *(*bank)(uint32_t number);
    enum status (*target)(uint32_t number, unsigned cpu); /* a shared line to this CPU */
    void (*settle)(uint32_t number);                      /* waits until a line that was disabled has stopped */
    void (*report)(struct printer *printer);
};
extern const struct gic gicv2, gicv3;

/* gic.c. Maps the distributor, counts its lines, masks and quietens the shared ones. NULL, having said why. */
volatile void *gic_map(uint64_t physical, uint64_t size, const char *what);
bool gic_distributor_init(const struct machine *machine, uint64_t size);
extern volatile void *gic_distributor;
extern uint32_t gic_line_count; /* lines are below this */
void gic_quieten(volatile void *bank, uint32_t first, uint32_t count, bool groups);

/* Waits until (register & mask) == value, at most 100 ms. */
bool gic_wait(const volatile void *base, uint32_t offset, uint32_t mask, uint32_t value);
struct gic_patience {
    uint64_t until, turns;
};
struct gic_patience gic_patience(void);
bool gic_patient(struct gic_patience *patience); /* false: waited long enough */

/* v2m.c: frames that turn a write into a shared line. */
void v2m_init(const struct machine *machine);
bool v2m_present(void);
/* A line of the frame that `taken` does not refuse; MACHINE_NO_LINE when all are. */
uint32_t v2m_allocate(uint32_t id, bool any, bool (*taken)(uint32_t line), struct message *message);
void v2m_message(uint32_t line, struct message *message); /* the one that leads to this line */
void v2m_report(struct printer *printer);

/* its.c: LPIs. Nothing is touched or allocated before the first message is asked for. */
void its_init(const struct machine *machine);
bool its_present(void);
/* Makes event `source->index` of the device arrive as `number`, an LPI; disabled. */
enum status its_route(uint32_t id, bool any, uint32_t device, const struct message_source *source, uint32_t number,
                      struct message *message);
/* That CPU takes it from now on, with what is pending. */
enum status its_move(uint32_t number, unsigned cpu, struct message *message);
void its_release(uint32_t number);
void its_enable(uint32_t number, bool enabled);
void its_report(struct printer *printer);

#endif
