/*
 * acpi.c: vmos-inspect acpi DIRECTORY-OR-FILES...
 *
 * The files are single tables, as /sys/firmware/acpi/tables has them and as `acpidump -b` writes them. An RSDP
 * and an XSDT are made up around them, at addresses that no machine has; the DSDT lies where the FADT says.
 */
#include "inspect.h"

#include <machine/readers.h>
#include <lib/bytes.h>
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum { TABLE_MAX = 120, HEADER_SIZE = 36, LENGTH_AT = 4, CHECKSUM_AT = 9, RSDP_SIZE = 36 };
enum { FADT_DSDT = 40, FADT_X_DSDT = 140 };

/* Above what a CPU can address, so that no address in a table leads here. */
#define PRETENDED_BASE UINT64_C(0xff00000000000000)
#define PRETENDED_STEP UINT64_C(0x10000000)

struct piece {
    uint64_t address;
    uint8_t *bytes;
    size_t size;
};

static struct piece pieces[TABLE_MAX + 2]; /* the RSDP, the XSDT, the files */
static unsigned piece_count;

static const void *map_piece(const struct physical_memory *memory, uint64_t address, uint64_t length)
{
    (void)memory;
    for (unsigned i = 0; i < piece_count; i++) {
        const struct piece *piece = &pieces[i];
        if (address >= piece->address && address - piece->address <= piece->size &&
            length <= piece->size - (address - piece->address))
            return piece->bytes + (address - piece->address);
    }
    return NULL;
}

/* What is there between a table's header and the end of its file. */
static bool add_table(const char *path)
{
    size_t size;
    uint8_t *bytes = inspect_read_file(path, &size);

    if (bytes == NULL)
        return false;
    if ((size >= 8 && memcmp(bytes, "RSD PTR ", 8) == 0) || (size >= 4 && memcmp(bytes, "FACS", 4) == 0)) {
        free(bytes); /* not tables of the common form; nothing in them is wanted */
        return true;
    }
    if (size < HEADER_SIZE || load_le32(bytes + LENGTH_AT) < HEADER_SIZE || load_le32(bytes + LENGTH_AT) > size) {
        inspect_fail("%s: is no whole ACPI table: the file has %zu bytes, its header says %u", path, size,
                     size >= 8 ? load_le32(bytes + LENGTH_AT) : 0);
        free(bytes);
        return false;
    }
    if (piece_count == TABLE_MAX + 2) {
        inspect_fail("%s: is one table too many; %d can be read at once", path, TABLE_MAX);
        free(bytes);
        return false;
    }
    pieces[piece_count] =
        (struct piece){.address = PRETENDED_BASE + piece_count * PRETENDED_STEP, .bytes = bytes, .size = size};
    piece_count++;
    return true;
}

/* /sys/firmware/acpi/tables has folders beside the tables, and people keep notes beside theirs. */
static int wanted(const struct dirent *entry)
{
    const char *dot = strrchr(entry->d_name, '.');

    if (entry->d_name[0] == '.')
        return 0;
    if (dot != NULL)
        return strcmp(dot, ".dat") == 0 || strcmp(dot, ".bin") == 0 || strcmp(dot, ".aml") == 0;
    return strlen(entry->d_name) >= 4 &&
           strspn(entry->d_name, "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_@") == strlen(entry->d_name);
}

static bool add_directory(const char *path)
{
    struct dirent **entries;
    int count = scandir(path, &entries, wanted, alphasort);
    bool fine = count > 0;

    if (count <= 0)
        inspect_fail("%s: has no tables (NAME.dat, or NAME as in /sys/firmware/acpi/tables)", path);
    for (int i = 0; i < count; i++) {
        char name[4096];
        snprintf(name, sizeof name, "%s/%s", path, entries[i]->d_name);
        fine &= add_table(name);
        free(entries[i]);
    }
    if (count >= 0)
        free(entries);
    return fine;
}

static uint8_t checksum(const uint8_t *bytes, size_t size)
{
    uint8_t sum = 0;

    while (size-- > 0)
        sum = (uint8_t)(sum + *bytes++);
    return (uint8_t)-sum;
}

static void store_le64(uint8_t *to, uint64_t value)
{
    store_le32(to, (uint32_t)value);
    store_le32(to + 4, (uint32_t)(value >> 32));
}

/* The first DSDT goes where the first FADT looks for it. */
static void place_dsdt(void)
{
    uint64_t address = 0;

    for (unsigned i = 2; i < piece_count && address == 0; i++) {
        const struct piece *piece = &pieces[i];
        if (memcmp(piece->bytes, "FACP", 4) != 0)
            continue;
        uint32_t length = load_le32(piece->bytes + LENGTH_AT);
        if (length >= FADT_X_DSDT + 8)
            address = load_le64(piece->bytes + FADT_X_DSDT);
        if (address == 0 && length >= FADT_DSDT + 4)
            address = load_le32(piece->bytes + FADT_DSDT);
    }
    for (unsigned i = 2; i < piece_count && address != 0 && address < PRETENDED_BASE; i++)
        if (memcmp(pieces[i].bytes, "DSDT", 4) == 0) {
            pieces[i].address = address;
            return;
        }
}

static void make_roots(void)
{
    static uint8_t rsdp[RSDP_SIZE] = "RSD PTR ", xsdt[HEADER_SIZE + 8 * TABLE_MAX] = "XSDT";
    uint32_t length = HEADER_SIZE;

    pieces[0] = (struct piece){.address = PRETENDED_BASE, .bytes = rsdp, .size = sizeof rsdp};
    pieces[1] = (struct piece){.address = PRETENDED_BASE + PRETENDED_STEP, .bytes = xsdt, .size = sizeof xsdt};
    for (unsigned i = 2; i < piece_count; i++, length += 8)
        store_le64(xsdt + length, pieces[i].address);
    store_le32(xsdt + LENGTH_AT, length);
    xsdt[CHECKSUM_AT] = checksum(xsdt, length);
    rsdp[15] = 2;
    store_le32(rsdp + 20, sizeof rsdp);
    store_le64(rsdp + 24, pieces[1].address);
    rsdp[8] = checksum(rsdp, 20);
    rsdp[32] = checksum(rsdp, sizeof rsdp);
}

int inspect_acpi(char *const paths[], int count, bool json)
{
    static struct machine machine;
    static struct machine_room room;
    const struct physical_memory memory = {.map = map_piece};
    struct stat status;

    piece_count = 2;
    for (int i = 0; i < count; i++) {
        if (stat(paths[i], &status) == 0 && S_ISDIR(status.st_mode))
            add_directory(paths[i]);
        else
            add_table(paths[i]);
    }
    if (piece_count == 2)
        return inspect_fail("no ACPI table was given");
    place_dsdt();
    make_roots();
    machine_init(&machine, &room);
    enum status result = acpi_read(&machine, &memory, pieces[0].address);
    if (result == STATUS_OK) {
        machine.memory_count = 0; /* the tables' own pretended places; the static tables describe no memory */
        machine_finish(&machine);
        (json ? machine_report_json : machine_report)(&machine, &inspect_stdout);
    }
    for (unsigned i = 2; i < piece_count; i++)
        free(pieces[i].bytes);
    if (result != STATUS_OK)
        return inspect_fail("the tables could not be used: %s", status_text(result));
    return inspect_malformed() ? 1 : 0;
}
