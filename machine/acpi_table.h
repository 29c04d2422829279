/*
 * acpi_table.h: what the ACPI readers share: a table or entry as bounded bytes, and the walk over entries.
 *
 * No reader touches a table's bytes but through a view, so none can read outside of it: what lies beyond the
 * view's end reads as 0. That is also what a field means that an older, shorter revision of a table lacks.
 */
#ifndef MACHINE_ACPI_TABLE_H
#define MACHINE_ACPI_TABLE_H

#include <machine/readers.h>

struct acpi_view {
    const uint8_t *bytes;
    uint32_t length;
};

/* Little-endian, `width` 1 to 8 bytes; 0 when not all of it lies within the view. */
uint64_t acpi_get(struct acpi_view view, uint32_t offset, unsigned width);

static inline uint8_t acpi_u8(struct acpi_view view, uint32_t offset)
{
    return (uint8_t)acpi_get(view, offset, 1);
}

static inline uint16_t acpi_u16(struct acpi_view view, uint32_t offset)
{
    return (uint16_t)acpi_get(view, offset, 2);
}

static inline uint32_t acpi_u32(struct acpi_view view, uint32_t offset)
{
    return (uint32_t)acpi_get(view, offset, 4);
}

static inline uint64_t acpi_u64(struct acpi_view view, uint32_t offset)
{
    return acpi_get(view, offset, 8);
}

/* The part of the view from offset on, at most `length` bytes; empty when it begins beyond the end. */
struct acpi_view acpi_part(struct acpi_view view, uint32_t offset, uint32_t length);

/* System Description Table Header [ACPI 6.5 §5.2.6] */
enum {
    ACPI_SIGNATURE = 0,
    ACPI_LENGTH = 4,
    ACPI_REVISION = 8,
    ACPI_OEM_ID = 10,
    ACPI_OEM_TABLE_ID = 16,
    ACPI_HEADER_SIZE = 36,
};

/* A run of entries that each say how long they are. */
struct acpi_entries {
    struct machine *machine;
    const char *table; /* for sentences */
    struct acpi_view view;
    uint32_t offset;      /* of the next entry */
    uint32_t limit;       /* at most so many entries */
    uint8_t length_at;    /* where in an entry its length stands */
    uint8_t length_width; /* bytes */
    uint8_t minimum;      /* bytes of an entry's own header */
    uint32_t index;       /* of the entry given last, counting from 0 */
    uint32_t at;          /* its offset */
};

/* The next entry, wholly inside the table; false at the end, and, with a sentence, at the first entry whose
 * length is impossible: what follows it cannot be found. Each step moves on, so the walk ends. */
bool acpi_next(struct acpi_entries *entries, struct acpi_view *entry);

/* Says that the entry given last is too short to be what it claims; true when it is. */
bool acpi_too_short(const struct acpi_entries *entries, struct acpi_view entry, const char *what, uint32_t needed);

/* A Generic Address Structure [ACPI 6.5 §5.2.3.2]: 12 bytes at offset. False when it names no usable register:
 * another address space, no or impossible width, address 0. `*bits` is the register's width. */
bool acpi_register(struct acpi_view view, uint32_t offset, struct machine_register *result, unsigned *bits);

/* Each reads one table whose header has been checked. */
typedef void acpi_reader(struct machine *machine, struct acpi_view table);
acpi_reader acpi_read_madt;                                                                 /* acpi_madt.c */
acpi_reader acpi_read_mcfg, acpi_read_iort;                                                 /* acpi_pci.c */
acpi_reader acpi_read_dmar, acpi_read_ivrs, acpi_read_viot;                                 /* acpi_iommu.c */
acpi_reader acpi_read_hpet, acpi_read_spcr, acpi_read_dbg2, acpi_read_gtdt, acpi_read_rhct; /* acpi_misc.c */
acpi_reader acpi_read_srat;

/* acpi_s5.c: the sleep types of \_S5_ in a DSDT or SSDT; false when it has none. */
bool acpi_find_sleep_type(struct machine *machine, struct acpi_view table);
/* acpi_devices.c: virtio-mmio slots, and windows of PCI host bridges, that a DSDT or SSDT describes as constants. False
 * when there is a host bridge whose windows it does not tell so: then none of them may be relied on. */
bool acpi_read_devices(struct machine *machine, struct acpi_view table);

#endif
