/* acpi_tables.c: ACPI tables for tests. */
#include "acpi_tables.h"
#include <lib/bytes.h>
#include "host_log.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

struct table_set set;
struct machine m;
struct machine_room room;

void le16(uint8_t *to, uint32_t value)
{
    to[0] = (uint8_t)value;
    to[1] = (uint8_t)(value >> 8);
}

void le64(uint8_t *to, uint64_t value)
{
    store_le32(to, (uint32_t)value);
    store_le32(to + 4, (uint32_t)(value >> 32));
}

uint8_t sum(const uint8_t *bytes, size_t size)
{
    uint8_t total = 0;

    while (size-- > 0)
        total = (uint8_t)(total + *bytes++);
    return total;
}

struct table *table(const char *signature)
{
    for (unsigned i = 0; i < set.count; i++)
        if (strcmp(set.tables[i].signature, signature) == 0)
            return &set.tables[i];
    fail_msg("no table %s", signature);
    return NULL;
}

struct table *new_table(const char *signature, uint8_t revision, uint32_t length)
{
    struct table *added = &set.tables[set.count];

    memset(added, 0, sizeof *added);
    memcpy(added->signature, signature, 5);
    added->revision = revision;
    added->length = length;
    set.places[set.count] = TABLES + (uint64_t)STEP * set.count;
    set.entries = ++set.count;
    return added;
}

/* Appends an entry whose first two bytes are its type and length. */
uint8_t *entry(struct table *to, uint8_t type, uint8_t length)
{
    uint8_t *at = to->bytes + to->length;

    at[0] = type;
    at[1] = length;
    to->length += length;
    return at;
}

void gas(uint8_t *to, uint8_t space, uint8_t width, uint8_t access, uint64_t address)
{
    to[0] = space;
    to[1] = width;
    to[3] = access;
    le64(to + 4, address);
}

void lapic(struct table *madt, uint8_t uid, uint8_t id, uint32_t flags)
{
    uint8_t *at = entry(madt, 0, 8);

    at[2] = uid;
    at[3] = id;
    store_le32(at + 4, flags);
}

void x2apic(struct table *madt, uint32_t uid, uint32_t id)
{
    uint8_t *at = entry(madt, 9, 16);

    store_le32(at + 4, id);
    store_le32(at + 8, 1);
    store_le32(at + 12, uid);
}

void io_apic(struct table *madt, uint32_t base, uint32_t first)
{
    uint8_t *at = entry(madt, 1, 12);

    store_le32(at + 4, base);
    store_le32(at + 8, first);
}

void override(struct table *madt, uint8_t source, uint32_t line, uint16_t flags)
{
    uint8_t *at = entry(madt, 2, 10);

    at[3] = source;
    store_le32(at + 4, line);
    le16(at + 8, flags);
}

void mcfg_entry(struct table *mcfg, uint64_t base, uint16_t segment, uint8_t first, uint8_t last)
{
    uint8_t *at = mcfg->bytes + mcfg->length;

    le64(at, base);
    le16(at + 8, segment);
    at[10] = first;
    at[11] = last;
    mcfg->length += 16;
}

/* A PC: two CPUs, an I/O APIC, HPET, one PCI segment. */
void make_pc(void)
{
    memset(&set, 0, sizeof set);
    struct table *fadt = new_table("FACP", 3, 244);
    store_le32(fadt->bytes + 64, 0x604);
    store_le32(fadt->bytes + 76, 0x608);
    store_le32(fadt->bytes + 112, 1 << 10);
    gas(fadt->bytes + 116, 1, 8, 1, 0xcf9);
    fadt->bytes[128] = 0xf;
    struct table *madt = new_table("APIC", 4, 44);
    store_le32(madt->bytes + 36, 0xfee00000);
    store_le32(madt->bytes + 40, 1);
    lapic(madt, 0, 0, 1);
    lapic(madt, 1, 2, 1);
    io_apic(madt, 0xfec00000, 0);
    override(madt, 0, 2, 0);
    struct table *mcfg = new_table("MCFG", 1, 44);
    mcfg_entry(mcfg, 0xb0000000, 0, 0, 255);
    struct table *hpet = new_table("HPET", 1, 56);
    le64(hpet->bytes + 44, 0xfed00000);
}

void gicc(struct table *madt, uint32_t uid, uint64_t mpidr, uint64_t base)
{
    uint8_t *at = entry(madt, 0xb, 80);

    store_le32(at + 8, uid);
    store_le32(at + 12, 1);
    le64(at + 32, base);
    le64(at + 68, mpidr);
}

void gicr(struct table *madt, uint64_t base, uint32_t size)
{
    uint8_t *at = entry(madt, 0xe, 16);

    le64(at + 4, base);
    store_le32(at + 12, size);
}

void msi_frame(struct table *madt, uint64_t base, uint32_t flags, uint16_t count, uint16_t first)
{
    uint8_t *at = entry(madt, 0xd, 24);

    le64(at + 8, base);
    store_le32(at + 16, flags);
    le16(at + 20, count);
    le16(at + 22, first);
}

/* arm64 with a GICv3, an ITS and an SMMU between it and PCI. */
void make_arm64(void)
{
    memset(&set, 0, sizeof set);
    struct table *fadt = new_table("FACP", 6, 276);
    store_le32(fadt->bytes + 112, 1 << 20);
    le16(fadt->bytes + 129, 3);
    struct table *madt = new_table("APIC", 4, 44);
    uint8_t *gicd = entry(madt, 0xc, 24);
    le64(gicd + 8, 0x8000000);
    gicd[20] = 3;
    gicc(madt, 0, 0, 0);
    gicc(madt, 1, 0x100, 0);
    gicr(madt, 0x80a0000, 0x40000);
    uint8_t *its = entry(madt, 0xf, 20);
    store_le32(its + 4, 7);
    le64(its + 8, 0x8080000);
    struct table *mcfg = new_table("MCFG", 1, 44);
    mcfg_entry(mcfg, 0x4010000000, 0, 0, 255);
    struct table *gtdt = new_table("GTDT", 2, 96);
    le64(gtdt->bytes + 36, UINT64_MAX);
    for (unsigned i = 0; i < 4; i++)
        store_le32(gtdt->bytes + 48 + 8 * i, 29 - (i == 2 ? 2 : i));
    struct table *spcr = new_table("SPCR", 2, 80);
    spcr->bytes[36] = 3;
    gas(spcr->bytes + 40, 0, 32, 3, 0x9000000);
    spcr->bytes[52] = 8;
    store_le32(spcr->bytes + 54, 33);
    spcr->bytes[58] = 7;
    le16(spcr->bytes + 64, 0xffff);
    struct table *iort = new_table("IORT", 3, 48);
    store_le32(iort->bytes + 36, 3);
    store_le32(iort->bytes + 40, 48);
    uint8_t *node = iort->bytes + 48; /* ITS group with ITS 7 */
    le16(node + 1, 24);
    store_le32(node + 16, 1);
    store_le32(node + 20, 7);
    node = iort->bytes + 72; /* SMMUv3, its streams to the ITS */
    node[0] = 4;
    le16(node + 1, 88);
    store_le32(node + 8, 1);
    store_le32(node + 12, 68);
    le64(node + 16, 0x9050000);
    store_le32(node + 44, 106);
    store_le32(node + 68 + 4, 0xffff);
    store_le32(node + 68 + 12, 48);
    node = iort->bytes + 160; /* root complex of segment 0, bus 0 through the SMMU, the rest to the ITS */
    node[0] = 2;
    le16(node + 1, 76);
    store_le32(node + 8, 2);
    store_le32(node + 12, 36);
    store_le32(node + 16, 1);
    store_le32(node + 36 + 4, 0xff);
    store_le32(node + 36 + 12, 72);
    store_le32(node + 56, 0x100);
    store_le32(node + 60, 0xfeff);
    store_le32(node + 64, 0x100);
    store_le32(node + 68, 48);
    iort->length = 236;
}

static void rintc(struct table *madt, uint64_t hart, uint32_t uid, uint32_t controller, uint64_t imsic)
{
    uint8_t *at = entry(madt, 0x18, 36);

    at[2] = 1;
    store_le32(at + 4, 1);
    le64(at + 8, hart);
    store_le32(at + 16, uid);
    store_le32(at + 20, controller);
    le64(at + 24, imsic);
    store_le32(at + 32, 0x1000);
}

void make_rv64(void)
{
    memset(&set, 0, sizeof set);
    struct table *madt = new_table("APIC", 5, 44);
    rintc(madt, 4, 0, 1 << 24 | 1, 0x28000000);
    rintc(madt, 9, 1, 1 << 24 | 3, 0x28001000);
    uint8_t *imsic = entry(madt, 0x19, 16);
    le16(imsic + 8, 255);
    imsic[13] = 1;
    imsic[15] = 24;
    uint8_t *aplic = entry(madt, 0x1a, 36);
    le16(aplic + 18, 96);
    le64(aplic + 24, 0xd000000);
    store_le32(aplic + 32, 0x8000);
    uint8_t *plic = entry(madt, 0x1b, 36);
    plic[3] = 1;
    le16(plic + 12, 95);
    le16(plic + 14, 7);
    store_le32(plic + 20, 0x600000);
    le64(plic + 24, 0xc000000);
    store_le32(plic + 32, 96);
    struct table *rhct = new_table("RHCT", 1, 56);
    le64(rhct->bytes + 40, 10000000);
    store_le32(rhct->bytes + 48, 1);
    store_le32(rhct->bytes + 52, 56);
    static const char isa[] = "rv64imafdch_sstc_svadux_zicbom";
    le16(rhct->bytes + 56 + 2, 8 + sizeof isa);
    le16(rhct->bytes + 56 + 6, sizeof isa);
    memcpy(rhct->bytes + 64, isa, sizeof isa);
    rhct->length = 64 + sizeof isa;
}

struct table *make_srat(void)
{
    make_pc();
    struct table *srat = new_table("SRAT", 3, 48);
    uint8_t *cpu = entry(srat, 0, 16);
    cpu[2] = 1;
    cpu[3] = 2;
    store_le32(cpu + 4, 1);
    uint8_t *memory = entry(srat, 1, 40);
    store_le32(memory + 2, 1);
    le64(memory + 8, 0x1000000);
    le64(memory + 16, 0x1000000);
    store_le32(memory + 28, 1);
    return srat;
}

struct table *make_dmar(void)
{
    make_pc();
    struct table *dmar = new_table("DMAR", 1, 48);
    dmar->bytes[36] = 38;
    uint8_t *drhd = dmar->bytes + 48;
    le16(drhd + 2, 32);
    le64(drhd + 8, 0xfed90000);
    drhd[16] = 1; /* endpoint 00:1f.2 */
    drhd[17] = 8;
    drhd[22] = 0x1f;
    drhd[23] = 2;
    drhd[24] = 2; /* bridge 00:01.0 */
    drhd[25] = 8;
    drhd[30] = 1;
    dmar->length = 80;
    return dmar;
}

struct table *make_ivrs(void)
{
    make_pc();
    struct table *ivrs = new_table("IVRS", 1, 48);
    uint8_t *ivhd = ivrs->bytes + 48;
    ivhd[0] = 0x10;
    le16(ivhd + 2, 36);
    le16(ivhd + 4, 0x10);
    le64(ivhd + 8, 0xfed80000);
    ivhd[24] = 2;
    le16(ivhd + 25, 0x18);
    ivhd[28] = 3;
    le16(ivhd + 29, 0x100);
    ivhd[32] = 4;
    le16(ivhd + 33, 0x1ff);
    ivrs->length = 84;
    return ivrs;
}

struct table *make_viot(void)
{
    make_pc();
    struct table *viot = new_table("VIOT", 0, 48);
    le16(viot->bytes + 36, 2);
    le16(viot->bytes + 38, 48);
    uint8_t *unit = viot->bytes + 48;
    unit[0] = 3;
    unit[2] = 16;
    unit[6] = 8;
    uint8_t *range = viot->bytes + 64;
    range[0] = 1;
    range[2] = 24;
    le16(range + 14, 0xff);
    le16(range + 16, 48);
    viot->length = 88;
    return viot;
}

/* ---- Running ------------------------------------------------------------------------------------------ */

static void put_table(struct physical *physical, struct table *what, uint64_t place)
{
    memcpy(what->bytes, what->signature, 4);
    if (!what->keep_length)
        store_le32(what->bytes + 4, what->length);
    what->bytes[8] = what->revision;
    if (!what->keep_checksum) {
        what->bytes[9] = 0;
        what->bytes[9] = (uint8_t)-sum(what->bytes, what->length);
    }
    physical_put(physical, place, what->bytes, what->length);
}

static void put_root(struct physical *physical, const char *signature, uint64_t place, unsigned width, bool wrong)
{
    uint8_t root[HEADER + 8 * 140] = {0};
    uint32_t length = HEADER + width * set.entries;

    memcpy(root, signature, 4);
    for (unsigned i = 0; i < set.entries; i++)
        memcpy(root + HEADER + width * i, &set.places[i], width);
    uint32_t said = width == 8 && set.xsdt_length != 0 ? set.xsdt_length : length;
    store_le32(root + 4, said);
    length = said > length && said < sizeof root ? said : length;
    root[9] = (uint8_t)(-sum(root, said < length ? said : length) + wrong);
    physical_put(physical, place, root, length);
}

static void put_rsdp(struct physical *physical)
{
    uint8_t *rsdp = set.rsdp;

    memcpy(rsdp, "RSD PTR ", 8);
    if (rsdp[15] == 0)
        rsdp[15] = 2;
    store_le32(rsdp + 16, set.no_rsdt ? 0 : RSDT);
    store_le32(rsdp + 20, 36);
    le64(rsdp + 24, set.no_xsdt ? 0 : XSDT);
    rsdp[8] = rsdp[32] = 0;
    rsdp[8] = (uint8_t)(-sum(rsdp, 20) + set.rsdp_sum_wrong);
    rsdp[32] = (uint8_t)(-sum(rsdp, 36) + set.rsdp_extended_wrong);
    if (rsdp[15] == 0x80) { /* revision 0 after all: a case wants garbage behind byte 20 */
        rsdp[15] = 0;
        rsdp[8] = 0;
        rsdp[8] = (uint8_t)-sum(rsdp, 20);
    }
    physical_put(physical, RSDP, rsdp, 36);
}

struct physical *lay_out(void)
{
    struct physical *physical = physical_make();

    for (unsigned i = 0; i < set.count; i++)
        put_table(physical, &set.tables[i], TABLES + (uint64_t)STEP * i);
    put_root(physical, "XSDT", XSDT, 8, set.xsdt_sum_wrong);
    put_root(physical, "RSDT", RSDT, 4, false);
    put_rsdp(physical);
    return physical;
}

enum status run(void)
{
    struct physical *physical = lay_out();

    host_log_clear();
    machine_init(&m, &room);
    machine_add_memory(&m, 0x100000, 0x7ee0000, MEMORY_USABLE);
    enum status status = acpi_read(&m, &physical->memory, RSDP);
    machine_finish(&m);
    physical_free(physical);
    return status;
}

bool whole_pc(void)
{
    return m.has_acpi && m.local_apic == 0xfee00000 && m.cpu_count == 2 && m.io_apic_count == 1 &&
           m.override_count == 1 && m.host_bridge_count == 1 && m.hpet.base == 0xfed00000 &&
           m.pm_timer.address == 0x608;
}
bool whole_arm64(void)
{
    return m.cpu_count == 2 && m.cpus[1].hardware_id == 0x100 && m.cpus[1].enabled && m.gic.version == 3 &&
           m.gic.redistributor_count == 1 && m.its_count == 1 && m.v2m_count == 0 && m.uart_count == 1 &&
           m.uarts[0].kind == UART_PL011 && m.uarts[0].line.line == 33 && m.uarts[0].baud == 115200 &&
           m.generic_timer.virtual_.line == 27 && m.power.psci == CONDUIT_HVC &&
           m.host_bridges[0].iommu_map_count == 1 && m.host_bridges[0].iommu_map[0].length == 0x100 &&
           m.host_bridges[0].msi_map_count == 2 && m.host_bridges[0].msi_map[0].target == 7 && m.iommu_count == 1 &&
           m.iommus[0].event.line == 106;
}
