/*
 * manifest.c: the initial ramdisk and its vmos.conf, which says what runs.
 *
 * A line is `driver NAME [KEY=VALUE ...]`; # begins a comment. What cannot be understood is named with its line number
 * and the rest still counts.
 */
#include "kernel.h"

#include <lib/cpio.h>
#include <lib/log.h>
#include <lib/string.h>
#include <lib/text.h>
#include <memory/memory.h>

enum { MAX_DRIVERS = 16 };

static struct {
    const char *name; /* inside the ramdisk, which stays in memory */
    const char *options;
    size_t length, options_length;
} wanted[MAX_DRIVERS];
static unsigned wanted_count;
static bool from_bootloader;
static const char *ramdisk; /* the one in use; NULL: none can be read */
static size_t ramdisk_bytes;

/* Whether all words from here on are KEY=VALUE. */
static bool are_options(const char *text)
{
    size_t length;

    for (const char *word = text_word(text, &length); word != NULL; word = text_word(word + length, &length))
        if (word[0] == '=' || memchr(word, '=', length) == NULL)
            return false;
    return true;
}

static void read_line(unsigned number, const char *line, size_t length)
{
    size_t word_length = 0, name_length = 0;
    char text[160];

    for (size_t i = 0; i < length; i++)
        if (line[i] == '#')
            length = i;
    if (length >= sizeof text) {
        log_warn("manifest", "line %u is longer than %zu characters and is skipped", number, sizeof text - 1);
        return;
    }
    memcpy(text, line, length);
    text[length] = '\0';
    const char *word = text_word(text, &word_length);
    if (word == NULL)
        return;
    const char *name = text_word(word + word_length, &name_length);
    if (word_length != 6 || memcmp(word, "driver", 6) != 0 || name == NULL || !are_options(name + name_length)) {
        log_warn("manifest", "line %u: \"%s\" is not understood; expected: driver NAME [KEY=VALUE ...]", number, text);
    } else if (wanted_count == MAX_DRIVERS) {
        log_warn("manifest", "line %u: more than %u drivers; this one is skipped", number, MAX_DRIVERS);
    } else {
        wanted[wanted_count].name = line + (name - text);
        wanted[wanted_count].options = line + (name - text) + name_length;
        wanted[wanted_count].options_length = length - (size_t)(name - text) - name_length;
        wanted[wanted_count++].length = name_length;
    }
}

static void read_text(const char *text, size_t size)
{
    unsigned number = 1;

    for (size_t start = 0, end; start < size; start = end + 1, number++) {
        for (end = start; end < size && text[end] != '\n'; end++)
            ;
        read_line(number, text + start, end - start);
    }
}

static bool read_ramdisk(const void *image, size_t size)
{
    const void *text;
    size_t length;

    if (cpio_find(image, size, "vmos.conf", &text, &length) != STATUS_OK)
        return false;
    ramdisk = image;
    ramdisk_bytes = size;
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

const void *ramdisk_find(const char *name, size_t *size)
{
    const void *data = NULL;

    return ramdisk != NULL && cpio_find(ramdisk, ramdisk_bytes, name, &data, size) == STATUS_OK ? data : NULL;
}

const void *ramdisk_image(size_t *size)
{
    *size = ramdisk_bytes;
    return ramdisk;
}

/* The number of the line that names the driver, or wanted_count. */
static unsigned find(const char *name)
{
    unsigned i = 0;

    while (i < wanted_count &&
           (strlen(name) != wanted[i].length || memcmp(name, wanted[i].name, wanted[i].length) != 0))
        i++;
    return i;
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
