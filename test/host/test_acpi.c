/*
 * test_acpi.c: acpi_read over tables that are right, and over each way of being wrong.
 *
 * `cases` is the checklist of broken ACPI: each row has an id, what is done to a good machine's tables, the sentence
 * that must be said (NULL: none) and what must hold. Cases that do not apply have a word why at the table's end.
 */
#include <machine/readers.h>
#include <lib/bytes.h>
#include "host_log.h"
#include "physical.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

/* ---- Building tables -------------------------------------------------------------------------------- */

enum { RSDP = 0xf5000, XSDT = 0x7fe0000, RSDT = 0x7fe1000, TABLES = 0x7fe2000, STEP = 0x10000, HEADER = 36 };

struct table {
    char signature[5];
    uint8_t revision;
    uint32_t length; /* of bytes */
    uint8_t bytes[0x4000];
    bool keep_length, keep_checksum; /* a case has set them */
};

static struct {
    struct table tables[12];
    unsigned count;
    uint64_t places[140]; /* entries of the root table; 0 from `count` on */
    unsigned entries;
    uint8_t rsdp[36];
    uint32_t xsdt_length;
    bool xsdt_sum_wrong, rsdp_sum_wrong, rsdp_extended_wrong, no_xsdt, no_rsdt;
} set;

static struct machine m;

static void le16(uint8_t *to, uint32_t value)
{
    to[0] = (uint8_t)value;
    to[1] = (uint8_t)(value >> 8);
}

static void le64(uint8_t *to, uint64_t value)
{
    store_le32(to, (uint32_t)value);
    store_le32(to + 4, (uint32_t)(value >> 32));
}

static uint8_t sum(const uint8_t *bytes, size_t size)
{
    uint8_t total = 0;

    while (size-- > 0)
        total = (uint8_t)(total + *bytes++);
    return total;
}

static struct table *table(const char *signature)
{
    for (unsigned i = 0; i < set.count; i++)
        if (strcmp(set.tables[i].signature, signature) == 0)
            return &set.tables[i];
    fail_msg("no table %s", signature);
    return NULL;
}

static struct table *new_table(const char *signature, uint8_t revision, uint32_t length)
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
static uint8_t *entry(struct table *to, uint8_t type, uint8_t length)
{
    uint8_t *at = to->bytes + to->length;

    at[0] = type;
    at[1] = length;
    to->length += length;
    return at;
}

static void gas(uint8_t *to, uint8_t space, uint8_t width, uint8_t access, uint64_t address)
{
    to[0] = space;
    to[1] = width;
    to[3] = access;
    le64(to + 4, address);
}

static void lapic(struct table *madt, uint8_t uid, uint8_t id, uint32_t flags)
{
    uint8_t *at = entry(madt, 0, 8);

    at[2] = uid;
    at[3] = id;
    store_le32(at + 4, flags);
}

static void x2apic(struct table *madt, uint32_t uid, uint32_t id)
{
    uint8_t *at = entry(madt, 9, 16);

    store_le32(at + 4, id);
    store_le32(at + 8, 1);
    store_le32(at + 12, uid);
}

static void io_apic(struct table *madt, uint32_t base, uint32_t first)
{
    uint8_t *at = entry(madt, 1, 12);

    store_le32(at + 4, base);
    store_le32(at + 8, first);
}

static void override(struct table *madt, uint8_t source, uint32_t line, uint16_t flags)
{
    uint8_t *at = entry(madt, 2, 10);

    at[3] = source;
    store_le32(at + 4, line);
    le16(at + 8, flags);
}

static void mcfg_entry(struct table *mcfg, uint64_t base, uint16_t segment, uint8_t first, uint8_t last)
{
    uint8_t *at = mcfg->bytes + mcfg->length;

    le64(at, base);
    le16(at + 8, segment);
    at[10] = first;
    at[11] = last;
    mcfg->length += 16;
}

/* A PC: two CPUs, an I/O APIC, HPET, one PCI segment. */
static void make_pc(void)
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

static void gicc(struct table *madt, uint32_t uid, uint64_t mpidr, uint64_t base)
{
    uint8_t *at = entry(madt, 0xb, 80);

    store_le32(at + 8, uid);
    store_le32(at + 12, 1);
    le64(at + 32, base);
    le64(at + 68, mpidr);
}

static void gicr(struct table *madt, uint64_t base, uint32_t size)
{
    uint8_t *at = entry(madt, 0xe, 16);

    le64(at + 4, base);
    store_le32(at + 12, size);
}

static void msi_frame(struct table *madt, uint64_t base, uint32_t flags, uint16_t count, uint16_t first)
{
    uint8_t *at = entry(madt, 0xd, 24);

    le64(at + 8, base);
    store_le32(at + 16, flags);
    le16(at + 20, count);
    le16(at + 22, first);
}

/* arm64 with a GICv3, an ITS and an SMMU between it and PCI. */
static void make_arm64(void)
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

static void make_rv64(void)
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

static struct table *make_srat(void)
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

static struct table *make_dmar(void)
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

static struct table *make_ivrs(void)
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

static struct table *make_viot(void)
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

static struct physical *lay_out(void)
{
    struct physical *physical = physical_make();

    for (unsigned i = 0; i < set.count; i++)
        put_table(physical, &set.tables[i], TABLES + (uint64_t)STEP * i);
    put_root(physical, "XSDT", XSDT, 8, set.xsdt_sum_wrong);
    put_root(physical, "RSDT", RSDT, 4, false);
    put_rsdp(physical);
    return physical;
}

static enum status run(void)
{
    struct physical *physical = lay_out();

    host_log_clear();
    machine_init(&m);
    machine_add_memory(&m, 0x100000, 0x7ee0000, MEMORY_USABLE);
    enum status status = acpi_read(&m, &physical->memory, RSDP);
    machine_finish(&m);
    physical_free(physical);
    return status;
}

/* ---- The broken ones ------------------------------------------------------------------------------------ */

static bool whole_pc(void)
{
    return m.has_acpi && m.cpu_count == 2 && m.io_apic_count == 1 && m.override_count == 1 &&
           m.host_bridge_count == 1 && m.hpet.base == 0xfed00000 && m.pm_timer.address == 0x608;
}

static bool no_acpi(void)
{
    return !m.has_acpi && m.cpu_count == 0;
}

static bool no_tables(void)
{
    return m.has_acpi && m.cpu_count == 0;
}

static void a01(void)
{
    set.rsdp_sum_wrong = true;
}
static void a02(void)
{
    set.rsdp_extended_wrong = true;
    set.tables[1].bytes[0] = 0;
}
static void a03(void)
{
    set.no_xsdt = true;
}
static void a04(void)
{
    set.rsdp[15] = 0x80;
    set.xsdt_sum_wrong = true;
}
static void a07(void)
{
    set.xsdt_length = 35;
    set.no_rsdt = true;
}
static void a07_falls_back(void)
{
    set.xsdt_length = 20;
}
static void a08(void)
{
    set.entries = 0;
}
static void a09(void)
{
    set.xsdt_length = HEADER + 8 * set.entries + 5;
}
static void a10(void)
{
    set.xsdt_length = UINT32_MAX;
}
static void a11(void)
{
    set.xsdt_sum_wrong = true;
}
static void a12(void)
{
    memmove(set.places + 1, set.places, 8 * set.entries);
    set.places[0] = 0;
    set.entries++;
}
static void a13(void)
{
    set.places[set.entries++] = UINT64_C(0xdead000000000000);
    set.no_rsdt = true;
}
static void a14(void)
{
    set.places[set.entries++] = 0xfee00000;
}
static void a15(void)
{
    set.places[set.entries++] = XSDT;
    set.places[set.entries++] = RSDP;
}
static void a16_twice(void)
{
    set.places[set.entries++] = set.places[1];
}
static void a16_two(void)
{
    struct table *second = new_table("APIC", 4, 44);
    lapic(second, 9, 9, 1);
}
static void a17(void)
{
    struct table *madt = table("APIC"); /* the map allows any address; the readers any alignment */
    memmove(madt->bytes + 1, madt->bytes, madt->length);
    set.places[1] = TABLES + STEP + 1;
    memcpy(madt->bytes + 1, "APIC", 4);
    store_le32(madt->bytes + 5, madt->length);
    madt->bytes[9] = 4;
    madt->bytes[10] = 0;
    madt->bytes[10] = (uint8_t)-sum(madt->bytes + 1, madt->length);
    madt->length++;
    memcpy(madt->signature, "xAPI", 5);
    madt->revision = 0; /* its place is the length's now */
    madt->keep_length = madt->keep_checksum = true;
}
static void a20_8(void)
{
    store_le32(table("APIC")->bytes + 4, 8);
    table("APIC")->keep_length = true;
}
static void a20_35(void)
{
    store_le32(table("APIC")->bytes + 4, 35);
    table("APIC")->keep_length = true;
}
static void a21(void)
{
    store_le32(table("APIC")->bytes + 4, 0);
    table("APIC")->keep_length = true;
}
static void a22(void)
{
    store_le32(table("APIC")->bytes + 4, 4000);
    table("APIC")->keep_length = true;
}
static void a22_huge(void)
{
    store_le32(table("APIC")->bytes + 4, 0x7fffffff);
    table("APIC")->keep_length = true;
}
static void a23(void)
{
    new_table("\x01\xff%s", 1, 36);
}
static void a24(void)
{
    table("APIC")->keep_checksum = true;
}
static void a25_rev5(void)
{
    table("FACP")->revision = 5;
}
static void a25_129(void)
{
    table("FACP")->length = 129;
}
static void a25_rev1(void)
{
    table("FACP")->revision = 1;
    table("FACP")->length = 0x84;
}
static void a25_short(void)
{
    table("FACP")->length = 100;
}
static void a26_wide(void)
{
    gas(table("FACP")->bytes + 208, 1, 32, 3, 0xb008);
}
static void a26_garbage(void)
{
    gas(table("FACP")->bytes + 208, 1, 32, 3, 0x10000);
}
static void a28(void)
{
    gas(table("FACP")->bytes + 116, 0, 8, 1, 0);
}
static void a29(void)
{
    entry(table("APIC"), 0, 0);
    table("APIC")->length += 16;
}
static void a30(void)
{
    entry(table("APIC"), 0, 1);
    table("APIC")->length += 16;
}
static void a31(void)
{
    entry(table("APIC"), 9, 40);
    table("APIC")->length -= 24;
}
static void a32(void)
{
    entry(table("APIC"), 0, 4);
    lapic(table("APIC"), 5, 5, 1);
}
static void a33(void)
{
    entry(table("APIC"), 0x7f, 9);
    entry(table("APIC"), 0x80, 2);
    entry(table("APIC"), 0xff, 250);
    lapic(table("APIC"), 5, 5, 1);
}
static void a34(void)
{
    table("APIC")->bytes[48] = table("APIC")->bytes[56] = 0;
}
static void a35(void)
{
    lapic(table("APIC"), 3, 2, 1);
    x2apic(table("APIC"), 4, 0);
}
static void a37(void)
{
    for (uint32_t i = 0; i < 900; i++)
        x2apic(table("APIC"), i, 1000 + i);
}
static void a38(void)
{
    lapic(table("APIC"), 7, 255, 1);
    x2apic(table("APIC"), 8, UINT32_MAX);
    x2apic(table("APIC"), 9, 255);
}
static void a39_source(void)
{
    override(table("APIC"), 16, 9, 0);
}
static void a39_line(void)
{
    override(table("APIC"), 3, 4000, 0);
}
static void a39_flags(void)
{
    override(table("APIC"), 3, 9, 2);
    override(table("APIC"), 4, 9, 2 << 2);
}
static void a40_overlap(void)
{
    io_apic(table("APIC"), 0xfec10000, 0);
}
static void a40_zero(void)
{
    io_apic(table("APIC"), 0, 24);
}
static void a40_unaligned(void)
{
    io_apic(table("APIC"), 0xfec10008, 24);
}
static void a41(void)
{
    entry(table("APIC"), 5, 12);
}
static void a42_duplicate(void)
{
    gicc(table("APIC"), 2, 0x100, 0);
}
static void a42_reserved(void)
{
    gicc(table("APIC"), 2, 0x80000002, 0);
}
static void a43(void)
{
    gicr(table("APIC"), 0x9000000, 0);
    gicr(table("APIC"), UINT64_MAX - 5, 0x20000);
}
static void a44_frame(void)
{
    msi_frame(table("APIC"), 0x8020000, 1, 0, 0);
}
static void a44_frame_lines(void)
{
    msi_frame(table("APIC"), 0x8020000, 1, 64, 1000);
}
static void a46_length(void)
{
    table("MCFG")->length += 7;
}
static void a46_none(void)
{
    table("MCFG")->length = 44;
}
static void a46_buses(void)
{
    table("MCFG")->bytes[44 + 10] = 9;
    table("MCFG")->bytes[44 + 11] = 3;
}
static void a47_wraps_before_first_bus(void)
{
    le64(table("MCFG")->bytes + 44, UINT64_C(0xfffffffffff00000));
    table("MCFG")->bytes[44 + 10] = 16;
}
static void a49(void)
{
    mcfg_entry(table("MCFG"), 0xe0000000, 0, 128, 255);
    mcfg_entry(table("MCFG"), 0xd0000000, 1, 16, 31);
}
static void a52_length(void)
{
    store_le32(table("GTDT")->bytes + 88, 2);
    store_le32(table("GTDT")->bytes + 92, 96);
    table("GTDT")->length = 96 + 20;
}
static void a53_overlap(void)
{
    struct table *srat = table("SRAT");
    memcpy(srat->bytes + srat->length, srat->bytes + 64, 40);
    store_le32(srat->bytes + srat->length + 2, 2);
    le64(srat->bytes + srat->length + 16, UINT64_C(1) << 52);
    srat->length += 40;
}
static void a57_rmrr(void)
{
    struct table *dmar = table("DMAR");
    uint8_t *rmrr = dmar->bytes + dmar->length;
    rmrr[0] = 1;
    rmrr[2] = 32;
    le64(rmrr + 8, 0x2000);
    le64(rmrr + 16, 0x1fff);
    rmrr[24] = 1;
    rmrr[25] = 8;
    dmar->length += 32;
}
static void a58_unknown(void)
{
    struct table *ivrs = table("IVRS");
    ivrs->bytes[48 + 28] = 0x7f; /* 8 bytes: steps over the range */
}

static void a52_lines(void)
{
    store_le32(table("GTDT")->bytes + 48, 0);
    store_le32(table("GTDT")->bytes + 56, 1020);
    store_le32(table("GTDT")->bytes + 64, UINT32_MAX);
}
static void a52_offset(void)
{
    store_le32(table("GTDT")->bytes + 88, 3);
    store_le32(table("GTDT")->bytes + 92, 0xfffffff0);
}
static void a59_cycle(void)
{
    store_le32(table("IORT")->bytes + 72 + 68 + 12, 72); /* the SMMU's streams go to the SMMU */
    store_le32(table("IORT")->bytes + 160 + 68, 160);    /* the root complex maps to itself */
}
static void a59_ids(void)
{
    store_le32(table("IORT")->bytes + 160 + 36, UINT32_MAX);
    store_le32(table("IORT")->bytes + 160 + 36 + 4, UINT32_MAX);
    store_le32(table("IORT")->bytes + 160 + 56, 5);
    store_le32(table("IORT")->bytes + 160 + 60, UINT32_MAX);
}

static bool rsdt_used(void)
{
    return whole_pc();
}
static bool no_cpus(void)
{
    return m.has_acpi && m.cpu_count == 0 && m.host_bridge_count == 1;
}
static bool no_timer(void)
{
    return m.pm_timer.space == ADDRESS_NONE && m.cpu_count == 2;
}
static bool no_reset(void)
{
    return whole_pc() && m.power.reset.space == ADDRESS_NONE;
}
static bool wide_timer(void)
{
    return m.pm_timer.address == 0xb008 && m.pm_timer.space == ADDRESS_PORT;
}
static bool cpu_5_found(void)
{
    return m.cpu_count == 3 && m.cpus[2].hardware_id == 5;
}
static bool cpus_full(void)
{
    return m.cpu_count == MACHINE_MAX_CPUS && m.host_bridge_count == 1;
}
static bool cpu_255_found(void)
{
    return m.cpu_count == 3 && m.cpus[2].hardware_id == 255 && m.cpus[2].firmware_id == 9;
}
static bool no_ecam(void)
{
    return m.host_bridge_count == 0 && m.cpu_count == 2;
}
static bool one_bus(void)
{
    return m.host_bridge_count == 1 && m.host_bridges[0].last_bus == 0;
}
static bool two_segments(void)
{
    return m.host_bridge_count == 2 && m.host_bridges[0].last_bus == 255 && m.host_bridges[0].ecam == 0xb0000000 &&
           m.host_bridges[1].segment == 1 && m.host_bridges[1].ecam == 0xd0000000 + (16 << 20);
}
static bool no_hpet(void)
{
    return m.hpet.base == 0 && m.cpu_count == 2;
}
static bool whole_arm64(void)
{
    return m.cpu_count == 2 && m.cpus[1].hardware_id == 0x100 && m.cpus[1].enabled && m.gic.version == 3 &&
           m.gic.redistributor_count == 1 && m.its_count == 1 && m.v2m_count == 0 && m.uart_count == 1 &&
           m.uarts[0].kind == UART_PL011 && m.uarts[0].line.line == 33 && m.uarts[0].baud == 115200 &&
           m.generic_timer.virtual_.line == 27 && m.power.psci == CONDUIT_HVC &&
           m.host_bridges[0].iommu_map_count == 1 && m.host_bridges[0].iommu_map[0].length == 0x100 &&
           m.host_bridges[0].msi_map_count == 2 && m.host_bridges[0].msi_map[0].target == 7 && m.iommu_count == 1 &&
           m.iommus[0].event.line == 106;
}
static bool arm64_without_cpus(void)
{
    return m.cpu_count == 2 && !m.cpus[0].enabled && !m.cpus[1].enabled;
}
static bool no_uart(void)
{
    return m.uart_count == 0 && m.cpu_count == 2;
}
static bool no_baud(void)
{
    return m.uart_count == 1 && m.uarts[0].baud == 0;
}
static bool only_hypervisor_timer(void)
{
    const struct machine_generic_timer *t = &m.generic_timer;
    return t->physical.line == MACHINE_NO_LINE && t->virtual_.line == MACHINE_NO_LINE &&
           t->secure_physical.line == MACHINE_NO_LINE && t->hypervisor.line == 26;
}
static bool whole_timer(void)
{
    return m.generic_timer.virtual_.line == 27 && m.generic_timer.watchdog_count == 0;
}
static bool whole_rv64(void)
{
    return m.cpu_count == 2 && m.cpus[1].hardware_id == 9 && m.imsic.present && m.imsic.id_count == 255 &&
           m.aplic_count == 1 && m.aplics[0].messages && m.aplics[0].context_count == 0 && m.plic_count == 1 &&
           m.plics[0].context_count == 2 && m.contexts[1].number == 3 && m.contexts[1].cpu == 1 &&
           m.timebase_hz == 10000000 && m.isa == (MACHINE_ISA_SSTC | MACHINE_ISA_ZICBOM);
}
static bool no_imsic(void)
{
    return !m.imsic.present && m.cpu_count == 2 && m.plic_count == 1;
}
static bool no_aplic(void)
{
    return m.aplic_count == 0 && m.plic_count == 1;
}
static bool no_plic(void)
{
    return m.aplic_count == 1 && m.plic_count == 0 && m.context_count == 0;
}
static bool whole_srat(void)
{
    return whole_pc() && m.cpus[1].node == 1 && m.cpus[0].node == MACHINE_NO_NODE && m.memory_node_count == 1 &&
           m.memory[1].node == 1 && m.memory[1].base == 0x1000000;
}
static bool srat_without_memory(void)
{
    return whole_pc() && m.cpus[1].node == 1 && m.memory_node_count == 0;
}
static bool srat_first_wins(void)
{
    uint64_t usable = 0;
    for (uint32_t i = 0; i < m.memory_count; i++)
        usable += m.memory[i].kind == MEMORY_USABLE ? m.memory[i].size : 0;
    return m.memory_node_count == 2 && m.memory[1].node == 1 && m.memory[2].node == 2 && usable == 0x7ee0000;
}
static bool whole_dmar(void)
{
    return whole_pc() && m.iommu_count == 1 && m.iommus[0].kind == IOMMU_VTD && m.iommus[0].address_bits == 39 &&
           m.iommu_scope_count == 2 && m.iommu_scopes[0].first == 0xfa && !m.iommu_scopes[0].bridge &&
           m.iommu_scopes[1].first == 8 && m.iommu_scopes[1].bridge;
}
static bool dmar_without_scopes(void)
{
    return whole_pc() && m.iommu_count == 1 && m.iommu_scope_count == 0;
}
static bool dmar_one_scope(void)
{
    return whole_pc() && m.iommu_count == 1 && m.iommu_scope_count == 1;
}
static bool no_iommu(void)
{
    return whole_pc() && m.iommu_count == 0 && m.iommu_scope_count == 0;
}
static bool dmar_any_width(void)
{
    return m.iommu_count == 1 && m.iommus[0].address_bits == 0;
}
static bool dmar_no_region(void)
{
    return whole_dmar() && m.reserved_region_count == 0;
}
static bool whole_ivrs(void)
{
    return whole_pc() && m.iommu_count == 1 && m.iommus[0].kind == IOMMU_AMD && m.iommu_scope_count == 2 &&
           m.iommu_scopes[0].first == 0x18 && m.iommu_scopes[1].first == 0x100 && m.iommu_scopes[1].last == 0x1ff;
}
static bool ivrs_one_scope(void)
{
    return whole_pc() && m.iommu_count == 1 && m.iommu_scope_count == 1;
}
static bool no_iort(void)
{
    return m.cpu_count == 2 && m.iommu_count == 0 && m.host_bridges[0].msi_map_count == 0;
}
static bool no_maps(void)
{
    return m.cpu_count == 2 && m.iommu_count == 1 && m.host_bridges[0].msi_map_count == 0 &&
           m.host_bridges[0].iommu_map_count == 0;
}
static bool only_second_map(void)
{
    return m.host_bridges[0].iommu_map_count == 0 && m.host_bridges[0].msi_map_count == 1;
}
static bool iort_cut_cycle(void)
{
    return m.host_bridges[0].iommu_map_count == 1 && m.host_bridges[0].msi_map_count == 0;
}
static bool iort_bounded_ids(void)
{
    const struct machine_host_bridge *b = &m.host_bridges[0];
    for (uint32_t i = 0; i < b->msi_map_count; i++)
        if (b->msi_map[i].input_base + (uint64_t)b->msi_map[i].length > UINT64_C(1) << 32)
            return false;
    return true;
}
static bool whole_viot(void)
{
    return whole_pc() && m.iommu_count == 1 && m.iommus[0].pci && m.iommus[0].pci_function == 8 &&
           m.iommu_scope_count == 1 && m.iommu_scopes[0].last == 0xff;
}
static bool viot_only_unit(void)
{
    return whole_pc() && m.iommu_count == 1 && m.iommu_scope_count == 0;
}
static bool no_sleep_type(void)
{
    return whole_pc() && m.power.sleep_type_a == -1;
}

static void make_srat_(void)
{
    make_srat();
}
static void make_dmar_(void)
{
    make_dmar();
}
static void make_ivrs_(void)
{
    make_ivrs();
}
static void make_viot_(void)
{
    make_viot();
}

static const struct {
    const char *id;
    void (*make)(void), (*mutate)(void);
    struct { /* instead of `mutate`: a number in a table */
        const char *table;
        uint32_t offset;
        unsigned width;
        uint64_t value;
    } patch;
    const char *said; /* NULL: nothing */
    bool (*holds)(void);
    bool fails; /* acpi_read does not give STATUS_OK */
} cases[] = {
    {"good PC", make_pc, .said = NULL, .holds = whole_pc},
    {"good arm64", make_arm64, .said = NULL, .holds = whole_arm64},
    {"good rv64", make_rv64, .said = NULL, .holds = whole_rv64},
    {"good SRAT", make_srat_, .said = NULL, .holds = whole_srat},
    {"good DMAR", make_dmar_, .said = NULL, .holds = whole_dmar},
    {"good IVRS", make_ivrs_, .said = NULL, .holds = whole_ivrs},
    {"good VIOT", make_viot_, .said = NULL, .holds = whole_viot},
    {"A01", make_pc, .mutate = a01, .said = "there is no valid RSDP at 0xf5000; ACPI is not used", .holds = no_acpi,
     .fails = true},
    {"A02", make_pc, .mutate = a02, .said = "RSDP at 0xf5000 has a wrong extended checksum; its XSDT is not used",
     .holds = rsdt_used},
    {"A03", make_pc, .mutate = a03, .said = NULL, .holds = rsdt_used},
    {"A04", make_pc, .mutate = a04, .said = NULL, .holds = rsdt_used},
    {"A07", make_pc, .mutate = a07, .said = "XSDT at 0x7fe0000 has the impossible length 35; it is ignored",
     .holds = no_acpi, .fails = true},
    {"A07 RSDT", make_pc, .mutate = a07_falls_back, .said = "XSDT at 0x7fe0000 has the impossible length 20",
     .holds = rsdt_used},
    {"A08", make_pc, .mutate = a08, .said = NULL, .holds = no_tables},
    {"A09", make_pc, .mutate = a09, .said = NULL, .holds = whole_pc},
    {"A10", make_pc, .mutate = a10, .said = "XSDT at 0x7fe0000 has the impossible length 4294967295; it is ignored",
     .holds = rsdt_used},
    {"A11", make_pc, .mutate = a11, .said = "XSDT at 0x7fe0000 has a wrong checksum; it is not used",
     .holds = rsdt_used},
    {"A12", make_pc, .mutate = a12, .said = NULL, .holds = whole_pc},
    {"A13", make_pc, .mutate = a13, .said = "the table at 0xdead000000000000 cannot be read; it is skipped",
     .holds = whole_pc},
    {"A14", make_pc, .mutate = a14, .said = "the table at 0xfee00000 cannot be read; it is skipped", .holds = whole_pc},
    {"A15", make_pc, .mutate = a15, .said = NULL, .holds = whole_pc},
    {"A16 same", make_pc, .mutate = a16_twice, .said = NULL, .holds = whole_pc},
    {"A16 two", make_pc, .mutate = a16_two, .said = "APIC at 0x8022000 is a second one; the one at 0x7ff2000 counts",
     .holds = whole_pc},
    {"A17", make_pc, .mutate = a17, .said = NULL, .holds = whole_pc},
    {"A20 8", make_pc, .mutate = a20_8, .said = "APIC at 0x7ff2000 has the impossible length 8; it is ignored",
     .holds = no_cpus},
    {"A20 35", make_pc, .mutate = a20_35, .said = "APIC at 0x7ff2000 has the impossible length 35; it is ignored",
     .holds = no_cpus},
    {"A21", make_pc, .mutate = a21, .said = "APIC at 0x7ff2000 has the impossible length 0; it is ignored",
     .holds = no_cpus},
    {"A22", make_pc, .mutate = a22,
     .said = "APIC at 0x7ff2000 has length 4000, which runs out of memory; it is ignored", .holds = no_cpus},
    {"A22 huge", make_pc, .mutate = a22_huge, .said = "APIC at 0x7ff2000 has the impossible length 2147483647",
     .holds = no_cpus},
    {"A23", make_pc, .mutate = a23, .said = NULL, .holds = whole_pc},
    {"A24", make_pc, .mutate = a24, .said = "APIC at 0x7ff2000 has a wrong checksum; it is used all the same",
     .holds = whole_pc},
    {"A25 rev 5", make_pc, .mutate = a25_rev5, .said = NULL, .holds = whole_pc},
    {"A25 129 bytes", make_pc, .mutate = a25_129, .said = NULL, .holds = whole_pc},
    {"A25 rev 1", make_pc, .mutate = a25_rev1, .said = NULL, .holds = whole_pc},
    {"A25 100 bytes", make_pc, .mutate = a25_short, .said = "FACP at 0x7fe2000 has only 100 bytes; it is ignored",
     .holds = no_timer},
    {"A26 X_ field", make_pc, .mutate = a26_wide, .said = NULL, .holds = wide_timer},
    {"A26 X_ unusable", make_pc, .mutate = a26_garbage, .said = NULL, .holds = whole_pc},
    {"A27 space", make_pc, .patch = {"FACP", 116, 1, 0x7f},
     .said = "FADT names an unusable reset register; it is ignored", .holds = no_reset},
    {"A27 width 0", make_pc, .patch = {"FACP", 117, 1, 0}, .said = "FADT names an unusable reset register",
     .holds = no_reset},
    {"A27 width 255", make_pc, .patch = {"FACP", 117, 1, 255}, .said = "FADT names an unusable reset register",
     .holds = no_reset},
    {"A27 access 9", make_pc, .patch = {"FACP", 119, 1, 9}, .said = "FADT names an unusable reset register",
     .holds = no_reset},
    {"A28", make_pc, .mutate = a28, .said = "FADT names an unusable reset register", .holds = no_reset},
    {"A29", make_pc, .mutate = a29, .said = "MADT entry 4 at 0x52 has length 0; the rest of the table is ignored",
     .holds = whole_pc},
    {"A30", make_pc, .mutate = a30, .said = "MADT entry 4 at 0x52 has length 1; the rest of the table is ignored",
     .holds = whole_pc},
    {"A31", make_pc, .mutate = a31,
     .said = "MADT entry 4 at 0x52 has length 40 and runs past the end of the table; it is dropped", .holds = whole_pc},
    {"A32", make_pc, .mutate = a32, .said = "MADT entry 4 at 0x52 (local APIC) has 4 bytes but needs 8; it is skipped",
     .holds = cpu_5_found},
    {"A33", make_pc, .mutate = a33, .said = NULL, .holds = cpu_5_found},
    {"A34", make_pc, .mutate = a34, .said = NULL, .holds = no_cpus},
    {"A35", make_pc, .mutate = a35, .said = NULL, .holds = whole_pc},
    {"A37", make_pc, .mutate = a37, .said = "CPUs are described; the rest is dropped",
     .holds = cpus_full},
    {"A38", make_pc, .mutate = a38, .said = NULL, .holds = cpu_255_found},
    {"A39 source", make_pc, .mutate = a39_source,
     .said = "interrupt override of source 16, but ISA has sources 0 to 15", .holds = whole_pc},
    {"A39 line", make_pc, .mutate = a39_line,
     .said = "interrupt override of source 3 to line 4000, which no I/O APIC has, is dropped", .holds = whole_pc},
    {"A39 flags", make_pc, .mutate = a39_flags, .said = "MADT overrides source 4 of bus 0 with the reserved flags 0x8",
     .holds = whole_pc},
    {"A40 overlap", make_pc, .mutate = a40_overlap,
     .said = "overlaps the one at 0xfec00000 from line 0 on and is dropped", .holds = whole_pc},
    {"A40 at 0", make_pc, .mutate = a40_zero, .said = "has the impossible address 0x0 and is dropped",
     .holds = whole_pc},
    {"A40 unaligned", make_pc, .mutate = a40_unaligned, .said = "has the impossible address 0xfec10008",
     .holds = whole_pc},
    {"A41", make_pc, .mutate = a41, .said = NULL, .holds = whole_pc},
    {"A42 duplicate", make_arm64, .mutate = a42_duplicate,
     .said = "MADT describes the CPU with MPIDR 0x100 twice; the first counts", .holds = whole_arm64},
    {"A42 reserved", make_arm64, .mutate = a42_reserved,
     .said = "MADT describes a CPU with the impossible MPIDR 0x80000002", .holds = whole_arm64},
    {"A42 no GICR", make_arm64, .patch = {"APIC", 44 + 24 + 160, 1, 0x7e},
     .said = "gives the CPU with MPIDR 0x0 no GIC redistributor; it is not used", .holds = arm64_without_cpus},
    {"A43", make_arm64, .mutate = a43,
     .said = "GIC redistributor region 0x9000000, 0x0 bytes, is impossible and is dropped", .holds = whole_arm64},
    {"A44 version 0", make_arm64, .patch = {"APIC", 44 + 20, 1, 0}, .said = NULL, .holds = whole_arm64},
    {"A44 empty frame", make_arm64, .mutate = a44_frame,
     .said = "MADT gives a GIC MSI frame 0 lines from 0 on, which are no SPIs", .holds = whole_arm64},
    {"A44 frame lines", make_arm64, .mutate = a44_frame_lines,
     .said = "MADT gives a GIC MSI frame 64 lines from 1000 on", .holds = whole_arm64},
    {"A45 shift", make_rv64, .patch = {"APIC", 44 + 72 + 15, 1, 63},
     .said = "impossible IMSIC (255 identities, group shift 63); it is ignored", .holds = no_imsic},
    {"A45 ids", make_rv64, .patch = {"APIC", 44 + 72 + 8, 2, 0},
     .said = "impossible IMSIC (0 identities, group shift 24)", .holds = no_imsic},
    {"A45 guest bits", make_rv64, .patch = {"APIC", 44 + 72 + 12, 1, 8}, .said = "impossible IMSIC", .holds = no_imsic},
    {"A45 APLIC", make_rv64, .patch = {"APIC", 44 + 72 + 16 + 32, 4, 0},
     .said = "MADT describes an impossible APLIC at 0xd000000; it is ignored", .holds = no_aplic},
    {"A45 PLIC", make_rv64, .patch = {"APIC", 44 + 72 + 16 + 36 + 24, 8, UINT64_MAX - 5},
     .said = "MADT describes an impossible PLIC", .holds = no_plic},
    {"A46 length", make_pc, .mutate = a46_length, .said = "MCFG ends with 7 bytes that are no entry; they are ignored",
     .holds = whole_pc},
    {"A46 none", make_pc, .mutate = a46_none, .said = NULL, .holds = no_ecam},
    {"A46 buses", make_pc, .mutate = a46_buses,
     .said = "PCI segment 0: buses 9 to 3 are no range; the bridge is dropped", .holds = no_ecam},
    {"A47 zero", make_pc, .patch = {"MCFG", 44, 8, 0},
     .said = "MCFG places segment 0 at 0x0, which is impossible; it is ignored", .holds = no_ecam},
    {"A47 wraps", make_pc, .patch = {"MCFG", 44, 8, UINT64_C(0xfffffffff0000000) + 0x8000000},
     .said = "configuration space at 0xfffffffff8000000 is impossible", .holds = no_ecam},
    {"A47 wraps early", make_pc, .mutate = a47_wraps_before_first_bus,
     .said = "MCFG places segment 0 at 0xfffffffffff00000", .holds = no_ecam},
    {"A47 memory", make_pc, .patch = {"MCFG", 44, 8, 0x1000000},
     .said = "PCI configuration space at 0x1000000 would lie in memory and is dropped", .holds = no_ecam},
    {"A48", make_pc, .patch = {"MCFG", 44 + 11, 1, 0}, .said = NULL, .holds = one_bus},
    {"A49", make_pc, .mutate = a49, .said = "buses 0 to 255 are described again as 128 to 255; the first counts",
     .holds = two_segments},
    {"A50 zero", make_pc, .patch = {"HPET", 44, 8, 0},
     .said = "HPET at 0x0 of address space 0 is impossible; it is not used", .holds = no_hpet},
    {"A50 ports", make_pc, .patch = {"HPET", 40, 1, 1}, .said = "HPET at 0xfed00000 of address space 1 is impossible",
     .holds = no_hpet},
    {"A51 type", make_arm64, .patch = {"SPCR", 36, 1, 0x77},
     .said = "SPCR names a serial port of type 0x77, which is unknown", .holds = no_uart},
    {"A51 width", make_arm64, .patch = {"SPCR", 41, 1, 0}, .said = "SPCR names a serial port without a usable address",
     .holds = no_uart},
    {"A51 baud", make_arm64, .patch = {"SPCR", 58, 1, 255}, .said = NULL, .holds = no_baud},
    {"A51 memory", make_arm64, .patch = {"SPCR", 44, 8, 0x200000},
     .said = "UART at 0x200000 would lie in memory and is dropped", .holds = no_uart},
    {"A52 lines", make_arm64, .mutate = a52_lines,
     .said = "GTDT gives the virtual timer line 4294967295, which is impossible", .holds = only_hypervisor_timer},
    {"A52 offset", make_arm64, .mutate = a52_offset,
     .said = "GTDT places its platform timers at 0xfffffff0, outside of the table", .holds = whole_timer},
    {"A52 length", make_arm64, .mutate = a52_length,
     .said = "GTDT entry 0 at 0x60 has length 0; the rest of the table is ignored", .holds = whole_timer},
    {"A53 zero", make_srat_, .patch = {"SRAT", 48 + 16 + 16, 8, 0},
     .said = "SRAT places 0x0 bytes at 0x1000000 in domain 1, which is impossible", .holds = srat_without_memory},
    {"A53 wraps", make_srat_, .patch = {"SRAT", 48 + 16 + 16, 8, UINT64_MAX - 5},
     .said = "SRAT places 0xfffffffffffffffa bytes at 0x1000000", .holds = srat_without_memory},
    {"A53 overlap", make_srat_, .mutate = a53_overlap, .said = NULL, .holds = srat_first_wins},
    {"A54", make_srat_, .patch = {"SRAT", 64 + 2, 4, UINT32_MAX}, .said = NULL, .holds = whole_pc},
    {"A56 structure", make_dmar_, .patch = {"DMAR", 48 + 2, 1, 0},
     .said = "DMAR entry 0 at 0x30 has length 0; the rest of the table is ignored", .holds = no_iommu},
    {"A56 scope 0", make_dmar_, .patch = {"DMAR", 48 + 17, 1, 0},
     .said = "DMAR device scope entry 0 at 0x10 has length 0", .holds = dmar_without_scopes},
    {"A56 scope 5", make_dmar_, .patch = {"DMAR", 48 + 17, 1, 5},
     .said = "DMAR device scope entry 0 at 0x10 has length 5", .holds = dmar_without_scopes},
    {"A56 scope end", make_dmar_, .patch = {"DMAR", 48 + 25, 1, 60},
     .said = "runs past the end of the table; it is dropped", .holds = dmar_one_scope},
    {"A56 path", make_dmar_, .patch = {"DMAR", 48 + 22, 1, 32},
     .said = "names device 32 function 2, which is impossible; it is ignored", .holds = dmar_one_scope},
    {"A57 width", make_dmar_, .patch = {"DMAR", 36, 1, 255},
     .said = "DMAR claims 256 address bits; the unit is asked instead", .holds = dmar_any_width},
    {"A57 base", make_dmar_, .patch = {"DMAR", 48 + 8, 8, 0},
     .said = "DMAR places a unit at 0x0, which is impossible; it is ignored", .holds = no_iommu},
    {"A57 RMRR", make_dmar_, .mutate = a57_rmrr,
     .said = "DMAR reserves memory from 0x2000 to 0x1fff, which is impossible", .holds = dmar_no_region},
    {"A58 zero", make_ivrs_, .patch = {"IVRS", 50, 1, 0},
     .said = "IVRS entry 0 at 0x30 has length 0; the rest of the table is ignored", .holds = no_iommu},
    {"A58 past", make_ivrs_, .patch = {"IVRS", 48 + 32, 1, 0x42},
     .said = "IVRS device entry of type 0x42 runs past its block", .holds = ivrs_one_scope},
    {"A58 unknown", make_ivrs_, .mutate = a58_unknown, .said = NULL, .holds = ivrs_one_scope},
    {"A59 offset", make_arm64, .patch = {"IORT", 40, 4, 0x10000},
     .said = "IORT places its nodes at 0x10000, outside of the table; it is ignored", .holds = no_iort},
    {"A59 header", make_arm64, .patch = {"IORT", 40, 4, 12},
     .said = "IORT places its nodes at 0xc, outside of the table; it is ignored", .holds = no_iort},
    {"A59 zero", make_arm64, .patch = {"IORT", 72 + 1, 2, 0},
     .said = "IORT entry 1 at 0x48 has length 0; the rest of the table is ignored", .holds = no_iort},
    {"A59 map offset", make_arm64, .patch = {"IORT", 160 + 12, 4, 0xfffffff0},
     .said = "IORT node of type 2 has 2 maps but room for 0", .holds = no_maps},
    {"A59 map count", make_arm64, .patch = {"IORT", 160 + 8, 4, 0x20000000},
     .said = "IORT node of type 2 has 536870912 maps but room for 2", .holds = whole_arm64},
    {"A59 target", make_arm64, .patch = {"IORT", 160 + 36 + 12, 4, 0xfffffff0},
     .said = "IORT maps requesters of segment 0 to 0xfffffff0, where there is no", .holds = only_second_map},
    {"A59 cycle", make_arm64, .mutate = a59_cycle,
     .said = "IORT maps requesters of segment 0 to 0xa0, where there is no ITS group or SMMU", .holds = iort_cut_cycle},
    {"A59 IDs", make_arm64, .mutate = a59_ids, .said = NULL, .holds = iort_bounded_ids},
    {"A60 offset", make_viot_, .patch = {"VIOT", 38, 2, 40},
     .said = "VIOT places its nodes at 0x28, outside of the table; it is ignored", .holds = no_iommu},
    {"A60 cycle", make_viot_, .patch = {"VIOT", 64 + 16, 2, 64},
     .said = "behind the node at 0x40, which is impossible; it is ignored", .holds = viot_only_unit},
    {"A60 beyond", make_viot_, .patch = {"VIOT", 64 + 16, 2, 80},
     .said = "behind the node at 0x50, which is impossible", .holds = viot_only_unit},
    {"A60 zero", make_viot_, .patch = {"VIOT", 48 + 2, 1, 0},
     .said = "VIOT entry 0 at 0x30 has length 0; the rest of the table is ignored", .holds = no_iommu},
    {"A62", make_pc, .patch = {"FACP", 40, 4, 0xfee00000},
     .said = "the table at 0xfee00000 cannot be read; it is skipped", .holds = no_sleep_type},
    /* A05, A06: find_rsdp below. A18: a table over a page that is not there is A22; over two pages, the map's own.
     * A19: tables_are_kept below. A36: not a table's fault; the CPU start times out. A50 (period), A57 (all ones):
     * registers, not tables. A55 SLIT, A61 HMAT, PPTT, NFIT: not read. */
};

static void broken_tables(void **state)
{
    (void)state;
    for (unsigned i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        cases[i].make();
        if (cases[i].mutate != NULL)
            cases[i].mutate();
        for (unsigned j = 0; j < cases[i].patch.width; j++)
            table(cases[i].patch.table)->bytes[cases[i].patch.offset + j] = (uint8_t)(cases[i].patch.value >> 8 * j);
        enum status status = run();
        if ((status != STATUS_OK) != cases[i].fails)
            fail_msg("%s: status %s\n%s", cases[i].id, status_text(status), host_log_text());
        if (cases[i].said == NULL && host_log_count(LOG_WARN) + host_log_count(LOG_ERROR) != 0)
            fail_msg("%s: says\n%s", cases[i].id, host_log_text());
        if (cases[i].said != NULL && !host_log_has(cases[i].said))
            fail_msg("%s: does not say '%s' but\n%s", cases[i].id, cases[i].said, host_log_text());
        if (!cases[i].holds())
            fail_msg("%s: the machine is not what it should be\n%s", cases[i].id, host_log_text());
    }
}

/* Every table cut at every length, header and checksum put right: bounded, and nothing read outside (sanitizer). */
static void cut_tables(void **state)
{
    static void (*const makes[])(void) = {make_pc,    make_arm64, make_rv64, make_srat_,
                                          make_dmar_, make_ivrs_, make_viot_};

    (void)state;
    for (unsigned i = 0; i < sizeof makes / sizeof makes[0]; i++) {
        makes[i]();
        unsigned count = set.count;
        for (unsigned j = 0; j < count; j++) {
            makes[i]();
            uint32_t whole = set.tables[j].length;
            for (uint32_t length = HEADER; length < whole; length++) {
                makes[i]();
                set.tables[j].length = length;
                assert_int_equal(run(), STATUS_OK);
            }
        }
    }
}

/* ---- RSDP ------------------------------------------------------------------------------------------------ */

static void put_rsdp_at(uint8_t *area, uint32_t offset, bool right)
{
    uint8_t rsdp[20] = "RSD PTR ";

    rsdp[8] = (uint8_t)(-sum(rsdp, 20) + !right);
    memcpy(area + offset, rsdp, 20);
}

static uint64_t search(const uint8_t *bios, const uint8_t *ebda)
{
    struct physical *physical = physical_make();
    uint8_t segment[2] = {0xc0, 0x9f}; /* 0x9fc00 */

    physical_put(physical, 0x40e, segment, 2);
    if (ebda != NULL)
        physical_put(physical, 0x9fc00, ebda, 1024);
    if (bios != NULL)
        physical_put(physical, 0xe0000, bios, 0x20000);
    uint64_t found = acpi_find_rsdp(&physical->memory);
    physical_free(physical);
    return found;
}

static void find_rsdp(void **state)
{
    uint8_t *bios = calloc(1, 0x20000), ebda[1024] = {0};

    (void)state;
    assert_non_null(bios);
    assert_int_equal(search(NULL, NULL), 0);
    assert_int_equal(search(bios, ebda), 0);
    memcpy(bios + 0x1fff0, "RSD PTR ", 8); /* A05: only 16 bytes are left */
    assert_int_equal(search(bios, NULL), 0);
    put_rsdp_at(bios, 0x100, false); /* A06 */
    put_rsdp_at(bios, 0x208, true);  /* not on a 16-byte boundary */
    put_rsdp_at(bios, 0x300, true);
    put_rsdp_at(bios, 0x400, true);
    assert_int_equal(search(bios, ebda), 0xe0300);
    memcpy(ebda + 1008, "RSD PTR ", 8);
    put_rsdp_at(ebda, 976, true);
    assert_int_equal(search(bios, ebda), 0x9fc00 + 976);
    free(bios);
}

/* A19: the tables lie in memory that the map calls usable, and do not stay that. */
static void tables_are_kept(void **state)
{
    (void)state;
    make_pc();
    struct physical *physical = lay_out();
    machine_init(&m);
    machine_add_memory(&m, 0x100000, 0x10000000, MEMORY_USABLE);
    assert_int_equal(acpi_read(&m, &physical->memory, RSDP), STATUS_OK);
    machine_finish(&m);
    physical_free(physical);
    for (uint32_t i = 0; i < m.memory_count; i++)
        for (unsigned j = 0; j < set.count; j++)
            if (m.memory[i].kind == MEMORY_USABLE)
                assert_true(set.places[j] < m.memory[i].base || set.places[j] >= m.memory[i].base + m.memory[i].size);
}

/* ---- \_S5 -------------------------------------------------------------------------------------------------- */

#define AML(text) text, sizeof(text) - 1

static void sleep_type(void **state)
{
    static const struct {
        const char *aml;
        unsigned size;
        int a, b;
    } rows[] = {
        {AML("\x08_S5_\x12\x06\x04\x0a\x05\x00\x00\x00"), 5, 0},
        {AML("\x08_S5_\x12\x06\x04\x00\x00\x00\x00"), 0, 0},
        {AML("\x08_S5_\x12\x07\x02\x0b\x05\x00\x0a\x07"), 5, 7},
        {AML("\x08\\_S5_\x12\x08\x04\x01\x01\x00\x00"), 1, 1},
        {AML("\x08_S5_\x12\x40\x00\x04\x0a\x03\x0a\x04"), 3, 4}, /* PkgLength of two bytes */
        {AML("\x08_S5_\x12\x06\x01\x0a\x05"), 5, 5},             /* one element: the other is the same */
        {AML("\x08_S5_\x12\x06\x04\x0a\x09\x00\x00"), -1, -1},   /* sleep types have three bits */
        {AML("\x08_S5_\x10\x06\x04\x0a\x05"), -1, -1},           /* no package */
        {AML("\x14_S5_\x12\x06\x04\x0a\x05"), -1, -1},           /* no name */
        {AML("\x08_S5_\x12\x06\x04\x0c\x05\x00"), -1, -1},       /* no small integer */
        {AML("\x08_S5_\x12"), -1, -1},
        {AML("\x08_S5_\x12\xff"), -1, -1},
        {AML("\x08_S5_"), -1, -1},
        {AML("_S5_"), -1, -1},
        {AML("\x08_S5_\x12\x06\x04\x0a"), -1, -1},
        {AML("\x08_S5_\x12\x06\x04\x0b\x05"), -1, -1},
    };

    (void)state;
    for (unsigned i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        make_pc();
        struct table *dsdt = new_table("DSDT", 1, HEADER);
        memcpy(dsdt->bytes + HEADER, rows[i].aml, rows[i].size);
        dsdt->length += rows[i].size;
        set.entries--;
        store_le32(table("FACP")->bytes + 40, (uint32_t)(TABLES + STEP * (set.count - 1)));
        assert_int_equal(run(), STATUS_OK);
        if (m.power.sleep_type_a != rows[i].a || m.power.sleep_type_b != rows[i].b)
            fail_msg("row %u: %d %d", i, m.power.sleep_type_a, m.power.sleep_type_b);
    }
}

/* ---- What the good ones say -------------------------------------------------------------------------------- */

static void madt_entry_types(void **state)
{
    (void)state;
    make_pc();
    struct table *madt = table("APIC");
    uint8_t *nmi = entry(madt, 3, 8);
    le16(nmi + 2, 0xf);
    store_le32(nmi + 4, 9);
    uint8_t *local = entry(madt, 4, 6);
    local[2] = 0xff;
    local[5] = 1;
    uint8_t *wide = entry(madt, 0xa, 12);
    store_le32(wide + 4, 300);
    uint8_t *impossible = entry(madt, 4, 6);
    impossible[5] = 2;
    uint8_t *address = entry(madt, 5, 12);
    le64(address + 4, 0x123456000);
    lapic(madt, 4, 4, 2); /* can be brought online */
    lapic(madt, 6, 6, 0); /* an empty socket */
    run();
    assert_int_equal(m.nmi_count, 3);
    assert_int_equal(m.nmis[0].line.line, 9);
    assert_int_equal(m.nmis[0].line.trigger, TRIGGER_LEVEL);
    assert_int_equal(m.nmis[0].line.polarity, POLARITY_LOW);
    assert_int_equal(m.nmis[1].firmware_id, UINT32_MAX);
    assert_int_equal(m.nmis[2].firmware_id, 300);
    assert_true(host_log_has("MADT wires NMI to LINT2, which no local APIC has"));
    assert_true(m.local_apic == 0x123456000);
    assert_int_equal(m.cpu_count, 3);
    assert_false(m.cpus[2].enabled);
    assert_true(m.has_pic && m.has_pit && m.has_cmos);
    assert_int_equal(m.uart_count, 1);
}

static void iort_maps_compose(void **state)
{
    (void)state;
    make_arm64();
    uint8_t *smmu = table("IORT")->bytes + 72;
    store_le32(smmu + 68, 0x80); /* only streams 0x80.. reach the ITS, as devices 0x1080.. */
    store_le32(smmu + 68 + 8, 0x1080);
    run();
    const struct machine_host_bridge *bridge = &m.host_bridges[0];
    assert_int_equal(bridge->msi_map_count, 2);
    assert_int_equal(bridge->msi_map[0].input_base, 0x80);
    assert_int_equal(bridge->msi_map[0].length, 0x80);
    assert_int_equal(bridge->msi_map[0].output_base, 0x1080);
    /* A count where the count less one belongs is seen by the next map's beginning. */
    make_arm64();
    store_le32(table("IORT")->bytes + 160 + 36 + 4, 0x100);
    run();
    assert_true(whole_arm64());
    /* An ITS that the MADT does not have. */
    make_arm64();
    store_le32(table("IORT")->bytes + 48 + 20, 8);
    run();
    assert_int_equal(bridge->msi_map_count, 0);
    assert_int_equal(bridge->iommu_map_count, 1);
}

static void serial_ports(void **state)
{
    (void)state;
    make_arm64();
    struct table *dbg2 = new_table("DBG2", 0, 44 + 22 + 12 + 4);
    store_le32(dbg2->bytes + 36, 44);
    store_le32(dbg2->bytes + 40, 1);
    uint8_t *device = dbg2->bytes + 44;
    le16(device + 1, 22 + 12 + 4);
    device[3] = 1;
    le16(device + 12, 0x8000);
    le16(device + 14, 0x12);
    le16(device + 18, 22);
    gas(device + 22, 0, 32, 3, 0x10000000);
    run();
    assert_int_equal(m.uart_count, 2);
    assert_int_equal(m.uarts[1].kind, UART_NS16550);
    assert_int_equal(m.uarts[1].register_shift, 2);
    assert_false(m.uarts[1].console);
    le16(device + 18, 0xfff0); /* an address structure beyond the table */
    run();
    assert_int_equal(m.uart_count, 1);
    assert_true(host_log_has("DBG2 names a serial port without a usable address"));
    /* SPCR on a PCI function, by IRQ of the 8259s */
    make_pc();
    struct table *spcr = new_table("SPCR", 4, 88);
    gas(spcr->bytes + 40, 1, 8, 1, 0xe000);
    spcr->bytes[52] = 1;
    spcr->bytes[53] = 11;
    le16(spcr->bytes + 64, 0x1234);
    spcr->bytes[68] = 2;
    spcr->bytes[69] = 3;
    store_le32(spcr->bytes + 76, 1843200);
    store_le32(spcr->bytes + 80, 1500000);
    run();
    assert_int_equal(m.uart_count, 1);
    assert_true(m.uarts[0].pci && m.uarts[0].console);
    assert_int_equal(m.uarts[0].pci_function, 2 << 8 | 3 << 3);
    assert_int_equal(m.uarts[0].line.line, 11);
    assert_int_equal(m.uarts[0].baud, 1500000);
}

static void ivrs_blocks(void **state)
{
    (void)state;
    struct table *ivrs = make_ivrs();
    uint8_t *ivmd = ivrs->bytes + ivrs->length;
    ivmd[0] = 0x22;
    le16(ivmd + 2, 32);
    le16(ivmd + 4, 8);
    le16(ivmd + 6, 0xf);
    le64(ivmd + 16, 0x100000);
    le64(ivmd + 24, 0x2000);
    ivrs->length += 32;
    uint8_t *same = ivrs->bytes + ivrs->length; /* the same unit once more, in the newer form */
    same[0] = 0x11;
    le16(same + 2, 44);
    le64(same + 8, 0xfed80000);
    same[40] = 1;
    ivrs->length += 44;
    run();
    assert_int_equal(m.iommu_count, 1);
    assert_true(m.iommus[0].all_devices);
    assert_int_equal(m.reserved_region_count, 1);
    assert_int_equal(m.reserved_regions[0].last, 0xf);
}

static void many_root_entries(void **state)
{
    (void)state;
    make_pc();
    while (set.entries < 140)
        set.places[set.entries++] = set.places[0];
    run();
    assert_true(host_log_has("the root table lists 140 tables; the first 128 count"));
    assert_true(whole_pc());
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(broken_tables),     cmocka_unit_test(cut_tables),   cmocka_unit_test(find_rsdp),
        cmocka_unit_test(tables_are_kept),   cmocka_unit_test(sleep_type),   cmocka_unit_test(madt_entry_types),
        cmocka_unit_test(iort_maps_compose), cmocka_unit_test(serial_ports), cmocka_unit_test(ivrs_blocks),
        cmocka_unit_test(many_root_entries),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
