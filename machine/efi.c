/*
 * efi.c: what the EFI stub left behind: the firmware's memory map [UEFI 2.10 §7.2.3], the command line and the initial
 * ramdisk. Form of it in vmos/efi_handoff.h.
 *
 * The command line is made of, in this order: what a device tree said, the `cmdline` lines of \vmos\vmos.conf, and the
 * load options of whoever started us. Of words that contradict each other the last one counts.
 */
#include <machine/add.h>
#include <machine/readers.h>
#include <lib/bytes.h>
#include <lib/log.h>
#include <lib/string.h>

#define WHO "efi"

enum { /* EFI_MEMORY_DESCRIPTOR, byte offsets */
       DESCRIPTOR_TYPE = 0,
       DESCRIPTOR_BASE = 8,
       DESCRIPTOR_PAGES = 24,
       DESCRIPTOR_ATTRIBUTE = 32,
       DESCRIPTOR_SIZE = 40, /* at least; firmware says how far apart they are */
       DESCRIPTOR_LARGEST = 1024,
       MAP_MAX_ENTRIES = 8192,
};

#define ATTRIBUTE_WRITE_BACK UINT64_C(0x8)
#define ATTRIBUTE_SPECIFIC   UINT64_C(0x40000) /* memory meant for one purpose, which is not ours */

#define PAGE         UINT64_C(4096)
#define MAP_PAGES    (UINT64_MAX / PAGE)
#define MEMORY_LIMIT (UINT64_C(1) << 56) /* no architecture has more physical memory [RISC-V Privileged 1.12 §4.4] */

enum { WORD_SHOWN = 32, LINE_LONGEST = MACHINE_COMMAND_LINE_SIZE };

/* ---- The memory map ------------------------------------------------------------------------------------- */

/* [UEFI 2.10 §7.2.1, table 7.10]: what loaders and boot services have used is free once they are gone. Our own part of
 * it is added with its own kind, which wins. */
static enum memory_kind kind_of(uint32_t type, uint64_t attribute)
{
    switch (type) {
    case 1: /* loader code and data, boot services code and data, conventional memory */
    case 2:
    case 3:
    case 4:
    case 7:
        return (attribute & (ATTRIBUTE_WRITE_BACK | ATTRIBUTE_SPECIFIC)) == ATTRIBUTE_WRITE_BACK ? MEMORY_USABLE
                                                                                                 : MEMORY_RESERVED;
    case 8:
        return MEMORY_BAD;
    case 9:
        return MEMORY_ACPI_RECLAIM;
    case 10:
        return MEMORY_ACPI_NVS;
    default: /* runtime services, registers, persistent, unaccepted, what is new */
        return MEMORY_RESERVED;
    }
}

/* Others have called things usable, too; only the firmware's map knows. */
static void forget_usable(struct machine *machine)
{
    uint32_t kept = 0;

    for (uint32_t i = 0; i < machine->memory_count; i++)
        if (machine->memory[i].kind != MEMORY_USABLE)
            machine->memory[kept++] = machine->memory[i];
    machine->memory_count = kept;
}

/* One descriptor; `last` is what is not added yet, because the next may continue it: a map has a hundred pieces. */
static void read_descriptor(struct machine *machine, const uint8_t *descriptor, struct memory_range *last)
{
    uint64_t base = load_le64(descriptor + DESCRIPTOR_BASE), pages = load_le64(descriptor + DESCRIPTOR_PAGES);
    enum memory_kind kind =
        kind_of(load_le32(descriptor + DESCRIPTOR_TYPE), load_le64(descriptor + DESCRIPTOR_ATTRIBUTE));
    uint64_t size = pages < MAP_PAGES ? pages * PAGE : UINT64_MAX - (PAGE - 1);

    if (pages == 0)
        return;
    if (kind == MEMORY_USABLE && (base > MEMORY_LIMIT || size > MEMORY_LIMIT - base)) {
        machine_warn(machine, WHO, "%llu pages of memory at 0x%llx are more than there can be; they are not used",
                     (unsigned long long)pages, (unsigned long long)base);
        return;
    }
    if (kind == last->kind && base == last->base + last->size && last->size + size >= size) {
        last->size += size;
        return;
    }
    machine_add_memory(machine, last->base, last->size, last->kind);
    *last = (struct memory_range){.base = base, .size = size, .kind = kind};
}

static enum status read_map(struct machine *machine, const struct physical_memory *memory,
                            const struct efi_handoff *handoff)
{
    uint64_t step = handoff->descriptor_size, count = step != 0 ? handoff->map.size / step : 0;
    struct memory_range last = {0};

    if (step < DESCRIPTOR_SIZE || step > DESCRIPTOR_LARGEST || count == 0) {
        machine_malformed(machine, WHO, "the memory map has %llu bytes in descriptors of %llu",
                          (unsigned long long)handoff->map.size, (unsigned long long)step);
        return STATUS_INVALID;
    }
    if (count > MAP_MAX_ENTRIES) {
        machine_warn(machine, WHO, "the memory map has %llu entries; the first %u count", (unsigned long long)count,
                     MAP_MAX_ENTRIES);
        count = MAP_MAX_ENTRIES;
    }
    const uint8_t *map = memory->map(memory, handoff->map.address, count * step);
    if (map == NULL) {
        machine_malformed(machine, WHO, "the memory map at 0x%llx cannot be read",
                          (unsigned long long)handoff->map.address);
        return STATUS_INVALID;
    }
    forget_usable(machine);
    for (uint64_t i = 0; i < count; i++)
        read_descriptor(machine, map + i * step, &last);
    machine_add_memory(machine, last.base, last.size, last.kind);
    machine_add_memory(machine, handoff->map.address, handoff->map.size, MEMORY_TABLES);
    return STATUS_OK;
}

/* ---- The command line ----------------------------------------------------------------------------------- */

static bool is_space(char c)
{
    return (unsigned char)c <= ' ';
}

/* Whole words, as many as fit; what is not printable becomes '?'. False: something did not fit. */
static bool append_words(struct machine *machine, const char *text, size_t length)
{
    size_t used = strlen(machine->command_line);

    for (size_t at = 0, end; at < length; at = end) {
        while (at < length && is_space(text[at]))
            at++;
        for (end = at; end < length && !is_space(text[end]); end++)
            ;
        if (end == at)
            break;
        if (used + 1 + (end - at) >= sizeof machine->command_line)
            return false;
        if (used != 0)
            machine->command_line[used++] = ' ';
        for (; at < end; at++)
            machine->command_line[used++] = text[at] > ' ' && text[at] <= '~' ? text[at] : '?';
        machine->command_line[used] = '\0';
    }
    return true;
}

static void warn_cut(struct machine *machine, bool whole, const char *what)
{
    if (!whole)
        machine_warn(machine, WHO,
                     "the command line would be longer than %u bytes; what does not fit of %s is left out",
                     MACHINE_COMMAND_LINE_SIZE - 1, what);
}

/* `cmdline WORDS`, or `cmdline=WORDS`; # begins a comment. */
static bool read_line(struct machine *machine, unsigned number, const char *line, size_t length)
{
    static const char key[] = "cmdline";
    enum { KEY = sizeof key - 1 };

    for (size_t i = 0; i < length; i++)
        if (line[i] == '#')
            length = i;
    while (length != 0 && is_space(*line))
        line++, length--;
    while (length != 0 && is_space(line[length - 1]))
        length--;
    if (length == 0)
        return true;
    if (length < KEY || memcmp(line, key, KEY) != 0 || (length > KEY && !is_space(line[KEY]) && line[KEY] != '=')) {
        char shown[WORD_SHOWN + 1];
        size_t cut = length < WORD_SHOWN ? length : WORD_SHOWN;
        for (size_t i = 0; i < cut; i++)
            shown[i] = line[i] >= ' ' && line[i] <= '~' ? line[i] : '?';
        shown[cut] = '\0';
        machine_warn(machine, WHO, "vmos.conf line %u: \"%s%s\" is not understood; expected: cmdline WORDS", number,
                     shown, cut < length ? "..." : "");
        return true;
    }
    line += KEY, length -= KEY;
    while (length != 0 && is_space(*line))
        line++, length--;
    if (length != 0 && *line == '=')
        line++, length--;
    return append_words(machine, line, length);
}

static void read_configuration(struct machine *machine, const struct physical_memory *memory,
                               const struct efi_piece *piece)
{
    static const char mark[] = "\xef\xbb\xbf"; /* editors put it in front of UTF-8 */
    size_t size = piece->size < EFI_CONFIGURATION_LARGEST ? piece->size : EFI_CONFIGURATION_LARGEST;
    const char *text = memory->map(memory, piece->address, size);
    unsigned number = 1;
    bool whole = true;

    if (text == NULL) {
        machine_warn(machine, WHO, "vmos.conf at 0x%llx cannot be read", (unsigned long long)piece->address);
        return;
    }
    size_t start = size >= 3 && memcmp(text, mark, 3) == 0 ? 3 : 0;
    for (size_t end; start < size; start = end + 1, number++) {
        for (end = start; end < size && text[end] != '\n'; end++)
            ;
        whole &= read_line(machine, number, text + start, end - start);
    }
    warn_cut(machine, whole, "vmos.conf");
}

/* A shell gives the program's name as the first word; a boot manager does not. */
static bool is_program(const char *word, size_t length)
{
    static const char suffix[] = ".efi";
    enum { SUFFIX = sizeof suffix - 1 };

    if (length < SUFFIX)
        return false;
    for (size_t i = 0; i < SUFFIX; i++) {
        char c = word[length - SUFFIX + i];
        if ((c >= 'A' && c <= 'Z' ? c + ('a' - 'A') : c) != suffix[i])
            return false;
    }
    return true;
}

/* UTF-16 text up to a NUL; boot managers put other things there, too, which are not for us. */
static void read_load_options(struct machine *machine, const struct physical_memory *memory,
                              const struct efi_handoff *handoff)
{
    size_t size = handoff->load_options.size, length = 0, skip = 0;
    char text[MACHINE_COMMAND_LINE_SIZE];
    bool ended = false, good = true;

    size = size < EFI_HANDOFF_OPTIONS ? size : EFI_HANDOFF_OPTIONS;
    const uint8_t *options = memory->map(memory, handoff->load_options.address, size);
    for (size_t i = 0; options != NULL && i + 1 < size && good && !ended; i += 2) {
        uint16_t c = load_le16(options + i);
        ended = c == 0;
        good = ended || (c >= ' ' && c <= '~') || c == '\t' || c == '\r' || c == '\n';
        if (!ended && good && length < sizeof text)
            text[length++] = (char)c;
    }
    if (options == NULL || !good || size == 1) {
        machine_warn(machine, WHO, "the load options, %llu bytes, are no text and are ignored",
                     (unsigned long long)handoff->load_options_size);
        return;
    }
    while (skip < length && !is_space(text[skip]))
        skip++;
    if (!is_program(text, skip))
        skip = 0;
    bool whole = append_words(machine, text + skip, length - skip);
    warn_cut(machine, whole && length < sizeof text, "the load options");
}

/* ---- The rest ------------------------------------------------------------------------------------------- */

static bool inside_usable(const struct machine *machine, const struct efi_piece *piece)
{
    for (uint32_t i = 0; i < machine->memory_count; i++) {
        const struct memory_range *range = &machine->memory[i];
        if (range->kind == MEMORY_USABLE && piece->address >= range->base &&
            piece->address - range->base < range->size && piece->size <= range->size - (piece->address - range->base))
            return true;
    }
    return false;
}

static void read_initrd(struct machine *machine, const struct efi_piece *piece)
{
    if (!machine_range_valid(piece->address, piece->size) || !inside_usable(machine, piece)) {
        machine_warn(machine, WHO, "the initial ramdisk at 0x%llx, 0x%llx bytes, does not lie in memory; it is ignored",
                     (unsigned long long)piece->address, (unsigned long long)piece->size);
        return;
    }
    machine->initrd = (struct machine_region){.base = piece->address, .size = piece->size};
    machine_add_memory(machine, piece->address, piece->size, MEMORY_INITRD);
}

static void read_said(const char *said, size_t size)
{
    for (size_t start = 0, end; start < size; start = end + 1) {
        for (end = start; end < size && said[end] != '\n'; end++)
            ;
        if (end - start > 6 && memcmp(said + start, "vmos: ", 6) == 0)
            start += 6;
        if (end > start)
            log_info(WHO, "%.*s", (int)(end - start), said + start);
    }
}

enum status efi_take(const struct physical_memory *memory, uint64_t address, struct efi_handoff *handoff)
{
    const void *given = memory->map(memory, address, sizeof *handoff);

    if (given == NULL)
        return STATUS_INVALID;
    memcpy(handoff, given, sizeof *handoff);
    return handoff->magic == EFI_HANDOFF_MAGIC ? STATUS_OK : STATUS_INVALID;
}

enum status efi_read(struct machine *machine, const struct physical_memory *memory, uint64_t address,
                     const struct efi_handoff *handoff)
{
    enum status status = read_map(machine, memory, handoff);

    read_said(handoff->said, handoff->said_size < EFI_HANDOFF_SAID ? handoff->said_size : EFI_HANDOFF_SAID);
    if (handoff->configuration.size != 0)
        read_configuration(machine, memory, &handoff->configuration);
    if (handoff->load_options.size != 0)
        read_load_options(machine, memory, handoff);
    if (handoff->initrd.size != 0)
        read_initrd(machine, &handoff->initrd);
    if (handoff->seed_size != 0 && handoff->seed_size <= EFI_HANDOFF_SEED && machine->seed_size == 0) {
        memcpy(machine->seed, handoff->seed, handoff->seed_size);
        machine->seed_size = handoff->seed_size;
    }
    machine_add_memory(machine, address, sizeof *handoff, MEMORY_TABLES);
    machine_add_memory(machine, handoff->configuration.address, handoff->configuration.size, MEMORY_TABLES);
    machine_add_memory(machine, handoff->load_options.address, handoff->load_options.size, MEMORY_TABLES);
    return status;
}
