/*
 * acpi_tables.h: ACPI tables for tests: whole machines, made in memory and then broken.
 *
 * make_pc() and its like fill `set` with a machine that is right; a test changes bytes in it; run() puts lengths
 * and checksums right, unless told not to, lays all of it out as physical memory and calls acpi_read.
 */
#ifndef HOST_ACPI_TABLES_H
#define HOST_ACPI_TABLES_H

#include <machine/readers.h>
#include "physical.h"

enum { RSDP = 0xf5000, XSDT = 0x7fe0000, RSDT = 0x7fe1000, TABLES = 0x7fe2000, STEP = 0x10000, HEADER = 36 };

struct table {
    char signature[5];
    uint8_t revision;
    uint32_t length; /* of bytes */
    uint8_t bytes[0x4000];
    bool keep_length, keep_checksum; /* a case has set them */
};

struct table_set {
    struct table tables[12];
    unsigned count;
    uint64_t places[140]; /* entries of the root table; 0 from `count` on */
    unsigned entries;
    uint8_t rsdp[36];
    uint32_t xsdt_length;
    bool xsdt_sum_wrong, rsdp_sum_wrong, rsdp_extended_wrong, no_xsdt, no_rsdt;
};
extern struct table_set set; /* what run() lays out */
extern struct machine m;     /* what it leads to */
extern struct machine_room room;

void le16(uint8_t *to, uint32_t value);
void le64(uint8_t *to, uint64_t value);
uint8_t sum(const uint8_t *bytes, size_t size);
struct table *table(const char *signature);
struct table *new_table(const char *signature, uint8_t revision, uint32_t length);
uint8_t *entry(struct table *to, uint8_t type, uint8_t length);
void gas(uint8_t *to, uint8_t space, uint8_t width, uint8_t access, uint64_t address);
void lapic(struct table *madt, uint8_t uid, uint8_t id, uint32_t flags);
void x2apic(struct table *madt, uint32_t uid, uint32_t id);
void io_apic(struct table *madt, uint32_t base, uint32_t first);
void override(struct table *madt, uint8_t source, uint32_t line, uint16_t flags);
void mcfg_entry(struct table *mcfg, uint64_t base, uint16_t segment, uint8_t first, uint8_t last);
void make_pc(void);
void gicc(struct table *madt, uint32_t uid, uint64_t mpidr, uint64_t base);
void gicr(struct table *madt, uint64_t base, uint32_t size);
void msi_frame(struct table *madt, uint64_t base, uint32_t flags, uint16_t count, uint16_t first);
void make_arm64(void);
void make_rv64(void);
struct table *make_srat(void);
struct table *make_dmar(void);
struct table *make_ivrs(void);
struct table *make_viot(void);
struct physical *lay_out(void);
enum status run(void);

/* The machine is all that make_pc(), make_arm64() describe. */
bool whole_pc(void);
bool whole_arm64(void);

#endif
