/*
 * manifest.c: finds the initial ramdisk and reads its vmos.conf, which says what runs.
 *
 * The kernel takes the lines that begin with `driver` (lib/manifest.h); what cannot be understood is named with its
 * line number and the rest still counts.
 */
#include "kernel.h"

#include <lib/cpio.h>
#include <lib/log.h>
#include <lib/manifest.h>
#include <lib/printf.h>
#include <lib/string.h>
#include <lib/text.h>
#include <memory/memory.h>
#include <vmos/driver.h>

enum { MAX_DRIVERS = 16 };

static struct {
    const char *name; /* inside the ramdisk, which stays in memory */
    const char *options;
    size_t length, options_length;
    unsigned line;
} wanted[MAX_DRIVERS];
static unsigned wanted_count;
static bool from_bootloader;

static void add_driver(const struct manifest_line *line)
{
    if (wanted_count == MAX_DRIVERS) {
        log_warn("manifest", "line %u: more than %u drivers; this one is skipped", line->number, MAX_DRIVERS);
        return;
    }
    wanted[wanted_count].name = line->name;
    wanted[wanted_count].options = line->options;
    wanted[wanted_count].options_length = line->options_length;
    wanted[wanted_count].line = line->number;
    wanted[wanted_count++].length = line->name_length;
}

/* Lines about services are init's. */
static void read_text(const char *text, size_t size)
{
    struct manifest_cursor cursor = {.text = text, .size = size};
    struct manifest_line line;
    char sentence[160];

    while (manifest_next(&cursor, &line)) {
        if (line.kind == MANIFEST_SERVICE)
            continue;
        if (line.mistake.expected == NULL) {
            add_driver(&line);
        } else {
            manifest_sentence(&line, sentence, sizeof sentence);
            log_warn("manifest", "%s", sentence);
        }
    }
}

static bool read_ramdisk(const void *image, size_t size)
{
    const void *text;
    size_t length;

    if (cpio_find(image, size, "vmos.conf", &text, &length) != STATUS_OK)
        return false;
    ramdisk_use(image, size);
    read_text(text, length);
    return true;
}

/* Whether all of it is memory: a bootloader's word for where the ramdisk is. */
static bool is_memory(const char *image, uint64_t size)
{
    unsigned access;

    for (uint64_t at = 0; at < size; at += PAGE_SIZE)
        if (!vm_lookup(image + at, &access))
            return false;
    return vm_lookup(image + size - 1, &access);
}

void manifest_read(void)
{
    const struct machine_region *given = &machine.initrd;

    if (given->size != 0) {
        const char *image = physical_to_virtual(given->base);
        from_bootloader = is_memory(image, given->size) && read_ramdisk(image, given->size);
        if (from_bootloader)
            return;
        log_warn("manifest",
                 "the initial ramdisk of the bootloader (%llu bytes) is no cpio archive with a vmos.conf; "
                 "the embedded one is used",
                 (unsigned long long)given->size);
    }
    if (!read_ramdisk(initrd_embedded, (size_t)(initrd_embedded_end - initrd_embedded)))
        log_error("manifest", "the embedded initial ramdisk has no vmos.conf; no driver will run");
}

const char *manifest_source(void)
{
    return from_bootloader ? "the bootloader's" : "embedded";
}

static bool is_named(unsigned i, const char *name)
{
    return strlen(name) == wanted[i].length && memcmp(name, wanted[i].name, wanted[i].length) == 0;
}

/* The number of the line that names the driver, or wanted_count. */
static unsigned find(const char *name)
{
    unsigned i = 0;

    while (i < wanted_count && !is_named(i, name))
        i++;
    return i;
}

/* Names that no driver has, and drivers that are named again, whose words are not looked at. */
void manifest_check(const struct driver *const drivers[], size_t count)
{
    char names[100] = "";

    for (size_t i = 0, length = 0; i < count && length < sizeof names; i++)
        length += (size_t)snprintf(names + length, sizeof names - length, i == 0 ? "%s" : ", %s", drivers[i]->name);
    for (unsigned i = 0; i < wanted_count; i++) {
        size_t which = 0;
        while (which < count && !is_named(i, drivers[which]->name))
            which++;
        if (which == count)
            log_warn("manifest", "line %u: found \"%.*s\"; expected: one of the drivers %s", wanted[i].line,
                     (int)wanted[i].length, wanted[i].name, names);
        else if (find(drivers[which]->name) != i)
            log_warn("manifest", "line %u: found \"%s\"; expected: each driver once", wanted[i].line,
                     drivers[which]->name);
    }
}

bool manifest_wants_driver(const char *name)
{
    return find(name) < wanted_count;
}

bool manifest_driver_option(const char *name, const char *key, char *value, size_t capacity)
{
    unsigned i = find(name);

    return i < wanted_count && text_option(wanted[i].options, wanted[i].options_length, key, value, capacity);
}
