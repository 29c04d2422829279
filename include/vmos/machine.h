/*
 * machine.h: one description of the machine.
 *
 * ACPI, the flattened device tree, PVH, EFI, fw_cfg and the command line are only ways of learning
 * what is there. Each has a reader that adds to a `struct machine`; machine_finish() then puts it in
 * order. All code after boot reads this struct and never asks where a fact came from.
 *
 * Conventions: addresses are physical, sizes are in bytes, a count of 0 or an address of 0 means
 * "the machine does not say". Arrays that are full drop the rest and say so in the log once.
 *
 * A "line" is a global system interrupt: on x64 a GSI, on arm64 a GIC INTID, on rv64 the source number
 * plus the first_line of its PLIC or APLIC.
 */
#ifndef VMOS_MACHINE_H
#define VMOS_MACHINE_H

#include <vmos/abi.h>

enum {
    MACHINE_MAX_CPUS = 128,
    MACHINE_MAX_MEMORY_RANGES = 128,
    MACHINE_MAX_MEMORY_NODES = 32,
    MACHINE_MAX_IO_APICS = 16,
    MACHINE_MAX_OVERRIDES = 24,
    MACHINE_MAX_NMIS = 16,
    MACHINE_MAX_REDISTRIBUTORS = 16,
    MACHINE_MAX_V2M_FRAMES = 8,
    MACHINE_MAX_ITS = 8,
    MACHINE_MAX_PLICS = 4,
    MACHINE_MAX_APLICS = 8,
    MACHINE_MAX_CONTEXTS = 2 * MACHINE_MAX_CPUS,
    MACHINE_MAX_UARTS = 8,
    MACHINE_MAX_HOST_BRIDGES = 8,
    MACHINE_MAX_WINDOWS = 8,
    MACHINE_MAX_INTX_ROUTES = 32,
    MACHINE_MAX_ID_MAPS = 8,
    MACHINE_MAX_VIRTIO_SLOTS = 40,
    MACHINE_MAX_IOMMUS = 16,
    MACHINE_MAX_IOMMU_SCOPES = 64,
    MACHINE_MAX_RESERVED_REGIONS = 16,
    MACHINE_COMMAND_LINE_SIZE = 1024,
    MACHINE_SEED_SIZE = 64,
    MACHINE_NAME_SIZE = 48,
};

#define MACHINE_NO_NODE UINT32_MAX
#define MACHINE_NO_LINE UINT32_MAX

/* ---- Memory ------------------------------------------------------------------------------- */

/* Where two ranges overlap, the one further down this list wins. */
enum memory_kind {
    MEMORY_USABLE,
    MEMORY_ACPI_RECLAIM, /* firmware tables; RAM again once nobody reads them */
    MEMORY_INITRD,
    MEMORY_KERNEL,
    MEMORY_TABLES,   /* device tree, start info: read at boot */
    MEMORY_ACPI_NVS, /* the firmware's, to be left alone */
    MEMORY_RESERVED,
    MEMORY_BAD,
    MEMORY_KIND_COUNT
};

struct memory_range {
    uint64_t base, size;
    enum memory_kind kind;
    uint32_t node; /* proximity domain or MACHINE_NO_NODE */
};

struct machine_memory_node { /* what lies where by proximity domain; says nothing about what is RAM */
    uint64_t base, size;
    uint32_t node;
};

/* ---- Registers as firmware describes them --------------------------------------------------- */

enum address_space {
    ADDRESS_NONE,
    ADDRESS_MEMORY,
    ADDRESS_PORT,
    ADDRESS_PCI, /* configuration space of segment 0, bus 0: device << 15 | function << 12 | offset */
};

struct machine_register { /* a Generic Address Structure that passed its checks [ACPI 6.5 §5.2.3.2] */
    enum address_space space;
    uint8_t access_bytes; /* 1, 2, 4 or 8 */
    uint8_t bit_offset;
    uint64_t address;
};

/* ---- CPUs ----------------------------------------------------------------------------------- */

struct machine_cpu {
    uint64_t hardware_id;       /* APIC ID, MPIDR affinity fields, hart ID */
    uint32_t firmware_id;       /* ACPI processor UID; the device tree has none: index */
    uint32_t node;              /* proximity domain or MACHINE_NO_NODE */
    bool enabled;               /* usable now; otherwise only "can be brought online" */
    uint64_t gic_cpu_interface; /* arm64, GICv2 */
    uint64_t gic_redistributor; /* arm64, when given per CPU */
    uint64_t imsic_base;        /* rv64: this hart's supervisor interrupt file */
    uint32_t imsic_size;
    uint32_t external_controller; /* rv64 ACPI: external interrupt controller ID of RINTC */
};

enum {
    MACHINE_ISA_SSTC = 1 << 0,
    MACHINE_ISA_SVPBMT = 1 << 1,
    MACHINE_ISA_SSAIA = 1 << 2,
    MACHINE_ISA_ZICBOM = 1 << 3,
    MACHINE_ISA_SVADU = 1 << 4,
};

/* ---- Interrupts ------------------------------------------------------------------------------- */

enum interrupt_trigger { TRIGGER_LEVEL, TRIGGER_EDGE };
enum interrupt_polarity { POLARITY_HIGH, POLARITY_LOW };

struct machine_line {
    uint32_t line; /* MACHINE_NO_LINE when there is none */
    uint8_t trigger, polarity;
};

struct machine_io_apic {
    uint32_t id, first_line;
    uint64_t base;
};

struct machine_override { /* an ISA interrupt that arrives elsewhere [ACPI 6.5 §5.2.12.5] */
    uint8_t source;
    struct machine_line line;
};

struct machine_nmi { /* a line (or a local APIC's LINT) wired to NMI */
    bool local;
    uint8_t lint;             /* local: 0 or 1 */
    uint32_t firmware_id;     /* local: the processor's UID, UINT32_MAX for all */
    struct machine_line line; /* not local */
};

struct machine_region {
    uint64_t base, size;
};

struct machine_gic {
    uint8_t version; /* 2, 3 or 4; 0 when there is no GIC */
    uint64_t distributor;
    uint64_t cpu_interface; /* GICv2, when the same for all CPUs */
    uint32_t redistributor_count;
    struct machine_region redistributors[MACHINE_MAX_REDISTRIBUTORS];
    uint64_t redistributor_stride; /* 0: by GICR_TYPER */
};

struct machine_v2m {
    uint32_t id;
    uint64_t base;
    uint32_t first_line, line_count; /* 0, 0: read MSI_TYPER */
};

struct machine_its {
    uint32_t id; /* what the ID maps name: MADT's translation ID, or the device tree's phandle */
    uint64_t base;
};

/* Which hart and mode each context (PLIC) or domain target serves, as interrupts-extended says. */
struct machine_context {
    uint32_t cpu;    /* index into machine.cpus; UINT32_MAX: none */
    uint32_t number; /* context number of a PLIC */
    bool supervisor;
};

struct machine_plic {
    uint32_t id;
    uint64_t base, size;
    uint32_t first_line, source_count;
    uint32_t max_priority;
    uint32_t context_count;
    uint16_t first_context; /* in machine.contexts */
};

struct machine_aplic {
    uint32_t id;
    uint64_t base, size;
    uint32_t first_line, source_count;
    bool supervisor;
    bool messages;          /* delivers by IMSIC rather than directly */
    uint32_t context_count; /* direct delivery: IDC number = machine_context.number */
    uint16_t first_context;
};

struct machine_imsic { /* supervisor level; each hart's file is in machine_cpu.imsic_base */
    bool present;
    uint32_t id_count; /* interrupt identities, at most 2047 */
    uint8_t guest_index_bits, hart_index_bits, group_index_bits, group_index_shift;
};

/* ---- Time ----------------------------------------------------------------------------------- */

struct machine_hpet {
    uint64_t base;
    uint16_t minimum_tick;
    uint8_t number;
};

struct machine_generic_timer { /* arm64 [ACPI 6.5 §5.2.25, arm,armv8-timer binding] */
    struct machine_line secure_physical, physical, virtual_, hypervisor;
    uint32_t frequency_hz; /* from the device tree; 0: CNTFRQ_EL0 */
    uint8_t watchdog_count;
    uint64_t counter_control; /* CNTControlBase, 0 when none */
};

/* ---- Serial ports ------------------------------------------------------------------------------ */

enum uart_kind { UART_NS16550, UART_PL011, UART_SBI, UART_SIFIVE, UART_UNKNOWN };

struct machine_uart {
    enum uart_kind kind;
    struct machine_register registers; /* space, base and access width */
    uint8_t register_shift;            /* log2 of the distance between registers */
    uint32_t clock_hz;                 /* 0 when not said: leave the divisor alone */
    uint32_t baud;                     /* 0: leave as firmware set it */
    struct machine_line line;
    bool console;                       /* firmware names this one (SPCR, stdout-path) */
    bool pci;                           /* SPCR names a PCI function; below which */
    uint16_t pci_segment, pci_function; /* bus << 8 | device << 3 | function */
};

/* ---- PCI ------------------------------------------------------------------------------------- */

enum pci_window_kind { PCI_WINDOW_IO, PCI_WINDOW_MEMORY32, PCI_WINDOW_MEMORY64 };

struct machine_pci_window {
    enum pci_window_kind kind;
    bool prefetchable;
    uint64_t bus_address, cpu_address, size;
};

struct machine_intx_route {
    uint16_t device; /* devfn << 0 as masked by intx_device_mask (bus << 8 | device << 3 | function) */
    uint8_t pin;     /* 1 = INTA */
    struct machine_line line;
};

/* Requester IDs -> what an MSI controller or IOMMU calls them. */
struct machine_id_map {
    uint32_t input_base, length; /* input_base..input_base+length-1 */
    uint32_t output_base;
    uint32_t target; /* msi: machine_its.id (or v2m id); iommu: index into machine.iommus */
};

struct machine_host_bridge {
    uint16_t segment;
    uint8_t first_bus, last_bus;
    uint64_t ecam; /* address of first_bus's configuration space; 0: by ports 0xCF8/0xCFC */
    uint32_t window_count;
    struct machine_pci_window windows[MACHINE_MAX_WINDOWS];
    uint16_t intx_device_mask; /* which bits of bus<<8|devfn select a route */
    uint32_t intx_route_count;
    struct machine_intx_route intx_routes[MACHINE_MAX_INTX_ROUTES];
    uint32_t msi_map_count;
    struct machine_id_map msi_map[MACHINE_MAX_ID_MAPS];
    uint32_t iommu_map_count;
    struct machine_id_map iommu_map[MACHINE_MAX_ID_MAPS];
    bool firmware_configured; /* BARs and bus numbers are firmware's and are kept */
    bool dma_coherent;
};

struct machine_virtio_slot {
    uint64_t base;
    uint32_t size;
    struct machine_line line;
};

/* ---- IOMMUs ------------------------------------------------------------------------------------ */

enum iommu_kind { IOMMU_VTD, IOMMU_AMD, IOMMU_SMMUV3, IOMMU_SMMUV2, IOMMU_VIRTIO, IOMMU_RISCV };

struct machine_iommu {
    enum iommu_kind kind;
    uint64_t base, size; /* registers; 0 when it is a PCI function */
    uint16_t pci_segment, pci_function;
    bool pci;
    bool all_devices; /* DMAR INCLUDE_PCI_ALL: everything on the segment that no other unit names */
    bool coherent_walks;
    uint8_t address_bits;                      /* 0: read from the unit */
    uint32_t id;                               /* firmware's own identifier, for diagnostics */
    struct machine_line event, command, error; /* SMMUv3: event queue, command sync, global error */
};

struct machine_iommu_scope { /* requesters first..last (bus<<8|devfn) of a segment are behind iommu */
    uint16_t iommu, segment;
    uint16_t first, last;
    uint32_t output_base;
    bool bridge; /* and everything below this bridge */
};

struct machine_reserved_region { /* memory that firmware wants mapped for a requester (RMRR, IVMD) */
    uint64_t base, size;
    uint16_t segment, first, last;
};

/* ---- Power --------------------------------------------------------------------------------------- */

enum power_conduit { CONDUIT_NONE, CONDUIT_HVC, CONDUIT_SMC };

struct machine_power {
    struct machine_register reset; /* write reset_value [ACPI 6.5 §4.8.3.6] */
    uint8_t reset_value;
    struct machine_register sleep_control, sleep_status; /* hardware-reduced ACPI */
    struct machine_register pm1a_control, pm1b_control;
    int16_t sleep_type_a, sleep_type_b; /* of \_S5; -1 until known */
    uint64_t dsdt;                      /* address of the DSDT, 0 when none */
    enum power_conduit psci;            /* arm64 */
    bool hardware_reduced;
    /* A register that ends the machine when written, as `sifive,test` and syscon-poweroff describe. */
    struct machine_register poweroff_register, reboot_register;
    uint32_t poweroff_value, reboot_value;
    bool sifive_test; /* the two above are sifive,test: a failure status can be told as well */
};

/* ---- The whole ------------------------------------------------------------------------------------- */

/* Room for as much as readers may find of what there can be many of. The kernel gives it away when the machine is
 * known, and keeps as much as there is. */
struct machine_room {
    struct machine_cpu cpus[MACHINE_MAX_CPUS];
    struct memory_range memory[MACHINE_MAX_MEMORY_RANGES];
    struct machine_memory_node memory_nodes[MACHINE_MAX_MEMORY_NODES];
    struct machine_context contexts[MACHINE_MAX_CONTEXTS];
    struct machine_host_bridge host_bridges[MACHINE_MAX_HOST_BRIDGES];
    struct machine_virtio_slot virtio_slots[MACHINE_MAX_VIRTIO_SLOTS];
    struct machine_iommu iommus[MACHINE_MAX_IOMMUS];
    struct machine_iommu_scope iommu_scopes[MACHINE_MAX_IOMMU_SCOPES];
};

struct machine {
    char model[MACHINE_NAME_SIZE]; /* "QEMU Virtual Machine"; printable ASCII; empty when not said */
    bool has_acpi, has_device_tree;

    uint32_t cpu_count;
    struct machine_cpu *cpus;
    uint32_t isa; /* MACHINE_ISA_*, rv64: what every enabled hart has */

    uint32_t memory_count;
    struct memory_range *memory; /* after machine_finish: sorted, disjoint */

    uint32_t memory_node_count;
    struct machine_memory_node *memory_nodes;

    /* x64 */
    uint64_t local_apic;    /* physical base of the memory-mapped local APIC */
    bool has_pic;           /* PC-AT compatible 8259s to be masked */
    bool has_pit, has_cmos; /* legacy PIT and RTC are believed present */
    uint32_t io_apic_count;
    struct machine_io_apic io_apics[MACHINE_MAX_IO_APICS];
    uint32_t override_count;
    struct machine_override overrides[MACHINE_MAX_OVERRIDES];
    uint32_t nmi_count;
    struct machine_nmi nmis[MACHINE_MAX_NMIS];

    /* arm64 */
    struct machine_gic gic;
    uint32_t v2m_count;
    struct machine_v2m v2m[MACHINE_MAX_V2M_FRAMES];
    uint32_t its_count;
    struct machine_its its[MACHINE_MAX_ITS];

    /* rv64 */
    uint32_t plic_count;
    struct machine_plic plics[MACHINE_MAX_PLICS];
    uint32_t aplic_count;
    struct machine_aplic aplics[MACHINE_MAX_APLICS];
    struct machine_imsic imsic;
    uint32_t context_count;
    struct machine_context *contexts;

    struct machine_register pm_timer; /* 3.579545 MHz counter */
    bool pm_timer_32bit;
    struct machine_hpet hpet;
    struct machine_generic_timer generic_timer;
    uint64_t timebase_hz; /* rv64 */

    uint32_t uart_count;
    struct machine_uart uarts[MACHINE_MAX_UARTS];

    uint32_t host_bridge_count;
    struct machine_host_bridge *host_bridges;
    uint32_t virtio_slot_count;
    struct machine_virtio_slot *virtio_slots;

    uint32_t iommu_count;
    struct machine_iommu *iommus;
    uint32_t iommu_scope_count;
    struct machine_iommu_scope *iommu_scopes;
    uint32_t reserved_region_count;
    struct machine_reserved_region reserved_regions[MACHINE_MAX_RESERVED_REGIONS];

    struct machine_power power;
    struct machine_register fw_cfg; /* QEMU's firmware configuration device */

    char command_line[MACHINE_COMMAND_LINE_SIZE];
    struct machine_region initrd;
    uint32_t seed_size;
    uint8_t seed[MACHINE_SEED_SIZE]; /* rng-seed; wiped once mixed in */

    /* machine.c's own: which arrays have been full, so that it is said once; how much was found wrong. */
    uint32_t full, complaints;
};

/* Its long lists are empty ones in `room`. */
static inline void machine_use_room(struct machine *machine, struct machine_room *room)
{
    machine->cpus = room->cpus;
    machine->memory = room->memory;
    machine->memory_nodes = room->memory_nodes;
    machine->contexts = room->contexts;
    machine->host_bridges = room->host_bridges;
    machine->virtio_slots = room->virtio_slots;
    machine->iommus = room->iommus;
    machine->iommu_scopes = room->iommu_scopes;
}

#endif
