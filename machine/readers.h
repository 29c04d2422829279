/*
 * readers.h: the ways of learning what machine this is.
 *
 * Each reader is a pure function from bytes to `struct machine`: no globals, no allocation, no
 * recursion on depth that the input chooses. What it cannot use it names in a log_warn sentence and
 * skips; only when nothing of the input can be used does it fail. A reader only adds.
 */
#ifndef MACHINE_READERS_H
#define MACHINE_READERS_H

#include <vmos/efi_handoff.h>
#include <vmos/machine.h>
#include <lib/printf.h>

/* Physical memory as the home lets a reader see it. `map` gives `length` readable bytes at `address`,
 * or NULL where that is not memory that firmware may have put tables in. Valid until the reader ends. */
struct physical_memory {
    const void *(*map)(const struct physical_memory *memory, uint64_t address, uint64_t length);
};

/* Sets everything to "not said". What is found goes to `room`, which stays the caller's. */
void machine_init(struct machine *machine, struct machine_room *room);

/* Adds a range; a size of 0 is ignored, one that wraps is clipped. */
void machine_add_memory(struct machine *machine, uint64_t base, uint64_t size, enum memory_kind kind);

/* After all readers: memory sorted and made disjoint (reserved wins), what overlaps or contradicts is
 * dropped with a sentence. Called once more after each later machine_add_memory. */
void machine_finish(struct machine *machine);

/* acpi.c: everything the static tables say, from the RSDP on [ACPI 6.5 §5.2]. Also finds \_S5_ in the
 * DSDT by a bounded scan. */
enum status acpi_read(struct machine *machine, const struct physical_memory *memory, uint64_t rsdp);

/* Looks for the RSDP where a PC BIOS leaves it (EBDA, 0xE0000-0xFFFFF); 0 when there is none. */
uint64_t acpi_find_rsdp(const struct physical_memory *memory);

/* fdt.c: `blob` holds at least 40 and at most `size` readable bytes [Devicetree Specification 0.4 §5]. */
enum status fdt_read(struct machine *machine, const void *blob, size_t size);

/* The total size the header claims when it is a device tree (magic right, size sane), else 0. */
uint32_t fdt_total_size(const void *header_40_bytes);

/* How many of those bytes hold anything: QEMU pads its trees to 1 MiB. Whoever copies only these then sets
 * the copy's total size to match, with the second function. */
uint32_t fdt_used_size(const void *header_40_bytes);
void fdt_set_total_size(void *header_40_bytes, uint32_t size);

/* One line per node and property, for loglevel=debug; `blob` has passed fdt_read. */
void fdt_print(const void *blob, size_t size, struct printer *printer);

/* pvh.c: the start info of a PVH boot; gives the RSDP's address (0: none) [Xen, x86/HVM direct boot ABI]. */
enum status pvh_read(struct machine *machine, const struct physical_memory *memory, uint64_t start_info,
                     uint64_t *rsdp);

/* efi.c: what the EFI stub left at `address`. First a copy of it, then, after a device tree if the firmware has one,
 * what it says; what is usable memory is only the firmware's map's to say. */
enum status efi_take(const struct physical_memory *memory, uint64_t address, struct efi_handoff *handoff);
enum status efi_read(struct machine *machine, const struct physical_memory *memory, uint64_t address,
                     const struct efi_handoff *handoff);

/* options.c: what the command line says about the machine: virtio_mmio.device=SIZE@BASE:IRQ[:ID]. */
void options_read_machine(struct machine *machine, const char *command_line);

/* report.c: the machine as stable "key: value" lines, and as JSON. Both print everything that is said. */
void machine_report(const struct machine *machine, struct printer *printer);
void machine_report_json(const struct machine *machine, struct printer *printer);

#endif
