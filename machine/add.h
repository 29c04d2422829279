/*
 * add.h: how readers add what they found to a `struct machine`.
 *
 * Several readers may describe the same machine (ACPI, and the device tree that microvm keeps in fw_cfg).
 * So each function here first looks for the same thing (the same base address, hart, bus range) and gives
 * that entry back; otherwise it appends one whose fields are all "not said". The reader then sets what it
 * knows. NULL: the array is full or the thing is impossible; a sentence has been logged (for a full array
 * once per array), and the reader just goes on. Pointers stay valid: entries only move in machine_finish.
 */
#ifndef MACHINE_ADD_H
#define MACHINE_ADD_H

#include <vmos/machine.h>

/* Names something in what firmware says: `warn` where it is impossible or cannot be used, `malformed` (an error
 * in the log) where the bytes break the rules of their own format. After MACHINE_MAX_COMPLAINTS of either one
 * sentence stands for the rest: tables can hold a hundred thousand broken entries, and a serial port is slow. */
enum { MACHINE_MAX_COMPLAINTS = 40 };
void machine_malformed(struct machine *machine, const char *who, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
void machine_warn(struct machine *machine, const char *who, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

#define MACHINE_LINE_NONE ((struct machine_line){.line = MACHINE_NO_LINE})

/* By hardware_id. New: not enabled, no node, firmware_id = its index. */
struct machine_cpu *machine_add_cpu(struct machine *machine, uint64_t hardware_id);
/* The CPU with this firmware_id (ACPI processor UID), or NULL. */
struct machine_cpu *machine_find_cpu(struct machine *machine, uint32_t firmware_id);

/* Memory that lies in one proximity domain: becomes memory_range.node in machine_finish; makes nothing RAM. */
void machine_add_memory_node(struct machine *machine, uint64_t base, uint64_t size, uint32_t node);

/* Refuses base 0, a base that is not page-aligned, and a first line that another one has. */
struct machine_io_apic *machine_add_io_apic(struct machine *machine, uint32_t id, uint32_t first_line, uint64_t base);
/* One per source: the first wins. Refuses sources above 15. */
bool machine_add_override(struct machine *machine, uint8_t source, struct machine_line line);
bool machine_add_nmi(struct machine *machine, const struct machine_nmi *nmi);

/* Refuses base 0 and size 0; the size of a region that is known already is kept. */
bool machine_add_redistributors(struct machine *machine, uint64_t base, uint64_t size);
/* By base; refuses 0. */
struct machine_v2m *machine_add_v2m(struct machine *machine, uint64_t base);
struct machine_its *machine_add_its(struct machine *machine, uint32_t id, uint64_t base);
struct machine_plic *machine_add_plic(struct machine *machine, uint64_t base);
struct machine_aplic *machine_add_aplic(struct machine *machine, uint64_t base);
/* Appends to machine.contexts, never deduplicated: those of one controller lie together. A controller's
 * first_context is machine.context_count before its first one. */
bool machine_add_context(struct machine *machine, uint32_t cpu, uint32_t number, bool supervisor);

/* By address space and address; refuses address 0 in memory. New: kind UART_UNKNOWN, no line. */
struct machine_uart *machine_add_uart(struct machine *machine, enum address_space space, uint64_t address);
/* COM1 of a PC, where no table names a serial port: ports 0x3f8, IRQ 4. Whoever drives it looks whether it is
 * there. */
void machine_add_pc_uart(struct machine *machine);

/* By segment and bus range: a bridge whose buses overlap is the same one, and the first description's
 * buses and ECAM stay. `ecam` is the address of first_bus's configuration space, 0 for ports 0xCF8/0xCFC.
 * Refuses first_bus > last_bus, an ECAM that is not MiB-aligned or that wraps. */
struct machine_host_bridge *machine_add_host_bridge(struct machine *machine, uint16_t segment, uint8_t first_bus,
                                                    uint8_t last_bus, uint64_t ecam);
/* Refuses size 0 and windows that wrap; one that is known already is not added again. */
bool machine_add_window(struct machine *machine, struct machine_host_bridge *bridge,
                        const struct machine_pci_window *window);
bool machine_add_intx_route(struct machine *machine, struct machine_host_bridge *bridge, uint16_t device, uint8_t pin,
                            struct machine_line line);
bool machine_add_msi_map(struct machine *machine, struct machine_host_bridge *bridge, const struct machine_id_map *map);
bool machine_add_iommu_map(struct machine *machine, struct machine_host_bridge *bridge,
                           const struct machine_id_map *map);

/* By base; refuses base 0, size 0 and what wraps. The line given is kept when a slot is known already. */
struct machine_virtio_slot *machine_add_virtio_slot(struct machine *machine, uint64_t base, uint32_t size,
                                                    struct machine_line line);

/* By base; refuses 0. Its index, for id maps and scopes, is the result - machine->iommus. */
struct machine_iommu *machine_add_iommu(struct machine *machine, enum iommu_kind kind, uint64_t base);
struct machine_iommu *machine_add_iommu_pci(struct machine *machine, enum iommu_kind kind, uint16_t segment,
                                            uint16_t function);
bool machine_add_iommu_scope(struct machine *machine, const struct machine_iommu_scope *scope);
bool machine_add_reserved_region(struct machine *machine, const struct machine_reserved_region *region);

/* True when [base, base + size) lies within the 64-bit space and size is not 0. */
static inline bool machine_range_valid(uint64_t base, uint64_t size)
{
    return size != 0 && base + (size - 1) >= base;
}

#endif
