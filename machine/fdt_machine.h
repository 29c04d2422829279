/*
 * fdt_machine.h: what the parts of the device tree's reader share.
 *
 * fdt_read walks the tree twice. The first walk ("collect") notes the landmarks: nodes that others refer to
 * by phandle (interrupt controllers, MSI controllers, IOMMUs, syscons), and the CPUs. The second ("describe")
 * fills the machine, and can resolve every reference without searching the tree. In both, `levels` holds the
 * path from the root to the node being visited, so that addresses and interrupt parents are found by looking up.
 */
#ifndef MACHINE_FDT_MACHINE_H
#define MACHINE_FDT_MACHINE_H

#include "fdt_format.h"

#include <machine/add.h>
#include <lib/log.h>

enum { FDT_MAX_LANDMARKS = 40, FDT_MAX_COMPLAINTS = 32, FDT_MAX_INTERRUPT_CELLS = 8 };

#define FDT_CPU_NOT_SEEN UINT32_MAX

enum fdt_kind {
    KIND_OTHER,
    /* landmarks */
    KIND_GIC2,
    KIND_GIC3,
    KIND_V2M,
    KIND_ITS,
    KIND_PLIC,
    KIND_APLIC,
    KIND_IMSIC,
    KIND_IO_APIC,
    KIND_NEXUS, /* anything with an interrupt-map */
    KIND_SMMUV3,
    KIND_RISCV_IOMMU,
    KIND_VIRTIO_IOMMU, /* a PCI function */
    KIND_SYSCON,
    KIND_SIFIVE_TEST, /* a syscon as well */
    KIND_LAST_LANDMARK = KIND_SIFIVE_TEST,
    /* others */
    KIND_CPU_INTERRUPTS,
    KIND_PCI_ECAM,
    KIND_VIRTIO_MMIO,
    KIND_PL011,
    KIND_NS16550,
    KIND_SIFIVE_UART,
    KIND_ARM_TIMER,
    KIND_ARM_TIMER_MEMORY,
    KIND_PSCI_OLD, /* version 0.1: its function numbers are in the tree */
    KIND_PSCI,
    KIND_SYSCON_POWEROFF,
    KIND_SYSCON_REBOOT,
    KIND_FW_CFG,
    KIND_RTC,
};

struct fdt_landmark {
    enum fdt_kind kind;
    uint32_t node, phandle;   /* phandle 0: none */
    uint32_t interrupt_cells; /* of a specifier that names it as parent */
    uint32_t address_cells;   /* 0 when not said, as interrupt-map wants it */
    uint64_t base;            /* first register range, translated; 0 when there is none */
    uint32_t first_line, source_count;
    uint32_t iommu;  /* index into machine.iommus; UINT32_MAX */
    bool supervisor; /* PLIC, APLIC, IMSIC: delivers to supervisor mode */
};

struct fdt_level { /* a node on the path from the root; what its children need of it */
    uint32_t node;
    uint32_t address_cells, size_cells; /* for the children's reg */
    uint32_t interrupt_parent;          /* its own property; 0 when it has none */
    bool has_ranges, pci, coherent, takes_interrupts;
    struct fdt_value ranges;
};

struct fdt_node { /* the node being visited: properties that many kinds of node have */
    uint32_t offset, phandle;
    const char *name;
    enum fdt_kind kind;
    struct fdt_value compatible, reg, status, device_type, interrupts, interrupts_extended;
    uint32_t interrupt_cells;
    bool has_interrupt_cells, has_interrupt_map;
};

struct fdt_reader {
    struct fdt fdt;
    struct machine *machine;
    uint32_t depth; /* of the node being visited; levels[depth] is it */
    struct fdt_level levels[FDT_MAX_DEPTH];
    struct fdt_node node;
    uint32_t landmark_count;
    struct fdt_landmark landmarks[FDT_MAX_LANDMARKS];
    /* By index in machine.cpus: phandle of its riscv,cpu-intc, 0 without one, or that this tree lacks the CPU. */
    uint32_t cpu_interrupts[MACHINE_MAX_CPUS];
    uint32_t cpu_hint; /* where the last of those was found */
    uint32_t cpu;      /* index of the CPU node last visited; UINT32_MAX */
    bool isa_known;
    uint32_t stdout_node, stdout_baud;
    uint64_t initrd_start, initrd_end;
    unsigned complaints;
    bool describing; /* the second walk */
    bool probe_only;
    bool has_ports; /* a PC: there are I/O APICs, and small addresses are port numbers */
};

/* Logs a sentence, but not the thirty-third. */
bool fdt_may_complain(struct fdt_reader *reader);
#define fdt_complain(reader, ...) (fdt_may_complain(reader) ? log_warn("fdt", __VA_ARGS__) : (void)0)
#define FDT_NODE_NAME(reader)     (fdt_printable((reader)->node.name).text)

/* status: absent, "okay" or "ok" [§2.3.4]. */
bool fdt_okay(struct fdt_value status);
/* A property of the node being visited. */
struct fdt_value fdt_own(const struct fdt_reader *reader, const char *name);
uint32_t fdt_own_cell(const struct fdt_reader *reader, const char *name, uint32_t otherwise);

/* ---- fdt_address.c -------------------------------------------------------------------------------- */

/* NONE: there is no such entry. BAD: a sentence was logged, in the second walk only. */
enum fdt_reg_result { FDT_REG_OK, FDT_REG_NONE, FDT_REG_BAD };

/* Entry `index` of the visited node's reg, as the CPU sees it. The size may be 0; the range does not wrap. */
enum fdt_reg_result fdt_reg(struct fdt_reader *reader, struct fdt_value reg, uint32_t index, uint64_t *base,
                            uint64_t *size);
/* The same, for registers: at least `least` bytes, not at 0, else a sentence and false. */
bool fdt_registers(struct fdt_reader *reader, uint32_t index, uint64_t least, uint64_t *base, uint64_t *size);
/* An address on the bus below levels[level], as the CPU sees it; false (no sentence) where no range leads up. */
bool fdt_translate(const struct fdt_reader *reader, uint32_t level, uint64_t *address, uint64_t size);

/* ---- fdt_interrupts.c ------------------------------------------------------------------------------ */

/* Keeps the node being read as one that others refer to: a controller, or what maps interrupts. */
void fdt_collect_landmark(struct fdt_reader *reader);
void fdt_order_lines(struct fdt_reader *reader); /* after the first walk: levels of APLICs, first lines */
struct fdt_landmark *fdt_landmark_by_phandle(struct fdt_reader *reader, uint32_t phandle);
struct fdt_landmark *fdt_landmark_by_node(struct fdt_reader *reader, uint32_t node);

/* Interrupt `index` of the visited node; MACHINE_LINE_NONE, after a sentence where it has one that is wrong. */
struct machine_line fdt_line(struct fdt_reader *reader, uint32_t index);
/* By name in interrupt-names, else by position (UINT32_MAX: only by name). */
struct machine_line fdt_named_line(struct fdt_reader *reader, const char *name, uint32_t otherwise);

struct fdt_map_entry {    /* of an interrupt-map */
    const uint8_t *child; /* unit address and specifier, cells */
    struct fdt_landmark *parent;
    const uint8_t *parent_unit, *parent_specifier;
};
/* The entry at cell *position, moving it on; false at the end or, after a sentence, where the map breaks. */
bool fdt_map_next(struct fdt_reader *reader, struct fdt_value map, uint32_t address_cells, uint32_t interrupt_cells,
                  uint32_t *position, struct fdt_map_entry *entry);
/* Follows a specifier (and the unit address it came with) to a controller that has lines. */
struct machine_line fdt_resolve(struct fdt_reader *reader, struct fdt_landmark *parent, const uint8_t *unit,
                                const uint8_t *specifier);

/* ---- The kinds of node, one describe function each --------------------------------------------------- */

void fdt_collect_cpu(struct fdt_reader *reader); /* fdt_cpus.c */
void fdt_collect_cpu_interrupts(struct fdt_reader *reader);
uint32_t fdt_cpu_by_interrupts(struct fdt_reader *reader, uint32_t phandle); /* UINT32_MAX: no such CPU */
void fdt_describe_arm_timer(struct fdt_reader *reader);
void fdt_describe_arm_timer_memory(struct fdt_reader *reader);

void fdt_describe_controller(struct fdt_reader *reader, const struct fdt_landmark *landmark); /* fdt_controllers.c */

void fdt_collect_iommu(struct fdt_reader *reader, struct fdt_landmark *landmark); /* fdt_devices.c */
void fdt_describe_device(struct fdt_reader *reader);

void fdt_describe_host_bridge(struct fdt_reader *reader); /* fdt_pci.c */
void fdt_check_windows(struct fdt_reader *reader);        /* after the second walk: none may overlap RAM */

#endif
