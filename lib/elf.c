/* elf.c: a bounded reader of programs; see elf.h. Section numbers are those of the gABI 4.1 and the psABIs. */
#include <lib/bytes.h>
#include <lib/elf.h>
#include <lib/string.h>

/* ---- The file's form -------------------------------------------------------------------------------------------- */

struct elf_header { /* "ELF Header" */
    uint8_t magic[4];
    uint8_t class, data, ident_version, os_abi, abi_version, padding[7];
    uint16_t type, machine;
    uint32_t version;
    uint64_t entry, program_headers, section_headers;
    uint32_t flags;
    uint16_t header_size, program_header_size, program_header_count;
    uint16_t section_header_size, section_header_count, section_names;
};

struct elf_program_header { /* "Program Header" */
    uint32_t type, flags;
    uint64_t offset, address, physical_address, file_size, memory_size, alignment;
};

struct elf_dynamic { /* "Dynamic Section" */
    uint64_t tag, value;
};

struct elf_relocation { /* "Relocation": Elf64_Rela */
    uint64_t offset, info, addend;
};

_Static_assert(sizeof(struct elf_header) == 64 && sizeof(struct elf_program_header) == 56, "gABI");
_Static_assert(sizeof(struct elf_dynamic) == 16 && sizeof(struct elf_relocation) == 24, "gABI");

enum { CLASS_64 = 2, DATA_LITTLE = 1, VERSION_CURRENT = 1, TYPE_SHARED = 3 };
enum { HEADERS_MOST = 64, RELOCATIONS_AT_ONCE = 16 };

enum segment_type {
    SEGMENT_NULL = 0,
    SEGMENT_LOAD = 1,
    SEGMENT_DYNAMIC = 2,
    SEGMENT_INTERPRETER = 3,
    SEGMENT_NOTE = 4,
    SEGMENT_HEADERS = 6,
    SEGMENT_THREAD_LOCAL = 7,
    SEGMENT_GNU_EH_FRAME = 0x6474e550,
    SEGMENT_GNU_STACK = 0x6474e551,
    SEGMENT_GNU_RELRO = 0x6474e552,
    SEGMENT_GNU_PROPERTY = 0x6474e553,
    SEGMENT_ATTRIBUTES = 0x70000003, /* RISC-V */
};

enum { FLAG_EXECUTE = 1, FLAG_WRITE = 2, FLAG_READ = 4 };

enum dynamic_tag {
    DYNAMIC_END = 0,
    DYNAMIC_NEEDED = 1,
    DYNAMIC_PLT_SIZE = 2,
    DYNAMIC_RELA = 7,
    DYNAMIC_RELA_SIZE = 8,
    DYNAMIC_RELA_ENTRY = 9,
    DYNAMIC_REL = 17,
    DYNAMIC_TEXT_RELOCATIONS = 22,
    DYNAMIC_FLAGS = 30,
    DYNAMIC_RELR = 36,
};

enum { DYNAMIC_FLAG_TEXT_RELOCATIONS = 4 };

/* R_X86_64_RELATIVE, R_AARCH64_RELATIVE, R_RISCV_RELATIVE: the image's base plus the addend. */
static uint32_t relative_type(uint16_t machine)
{
    return machine == ELF_MACHINE_X64 ? 8 : machine == ELF_MACHINE_ARM64 ? 1027 : 3;
}

/* ---- What is read -------------------------------------------------------------------------------------------------
 */

struct reader {
    const uint8_t *file;
    size_t size;
    struct elf_image *image;
    const char *why;
    uint64_t relro, relro_end; /* addresses */
    uint64_t dynamic, dynamic_size;
    bool has_dynamic, has_relro;
};

static enum status refuse(struct reader *reader, enum status status, const char *why)
{
    reader->why = why;
    return status;
}

/* Copied out: the file may be at any address. False: not all of it is there. */
static bool read_at(const struct reader *reader, uint64_t offset, void *to, size_t size)
{
    if (offset > reader->size || size > reader->size - offset)
        return false;
    memcpy(to, reader->file + offset, size);
    return true;
}

static enum status read_header(struct reader *reader, uint16_t machine, struct elf_header *header)
{
    if (!read_at(reader, 0, header, sizeof *header) || memcmp(header->magic, "\177ELF", 4) != 0)
        return refuse(reader, STATUS_INVALID, "it is no ELF file");
    if (header->class != CLASS_64 || header->data != DATA_LITTLE || header->ident_version != VERSION_CURRENT ||
        header->version != VERSION_CURRENT)
        return refuse(reader, STATUS_UNSUPPORTED, "it is not of the 64-bit little-endian kind");
    if (header->machine != machine)
        return refuse(reader, STATUS_UNSUPPORTED, "it is for another machine");
    if (header->type != TYPE_SHARED)
        return refuse(reader, STATUS_UNSUPPORTED, "it is not position-independent (static-PIE)");
    if (header->program_header_size != sizeof(struct elf_program_header))
        return refuse(reader, STATUS_INVALID, "its program headers are not of the 64-bit size");
    if (header->program_header_count == 0)
        return refuse(reader, STATUS_INVALID, "it has no program headers");
    if (header->program_header_count > HEADERS_MOST)
        return refuse(reader, STATUS_LIMIT, "it has more than 64 program headers");
    return STATUS_OK;
}

static bool holds(const struct elf_segment *segment, uint64_t address, uint64_t size)
{
    uint64_t into = address - segment->address;

    return into < segment->size && size <= segment->size - into;
}

/* The segment that holds all of these addresses; NULL. */
static const struct elf_segment *segment_of(const struct elf_image *image, uint64_t address, uint64_t size)
{
    for (uint32_t i = 0; i < image->segment_count; i++)
        if (holds(&image->segments[i], address, size))
            return &image->segments[i];
    return NULL;
}

static enum status add_load(struct reader *reader, const struct elf_program_header *header)
{
    struct elf_image *image = reader->image;
    uint32_t lead = header->address % ELF_PAGE;

    if (header->memory_size == 0)
        return header->file_size == 0
                   ? STATUS_OK
                   : refuse(reader, STATUS_INVALID, "a segment has more bytes in the file than in memory");
    if (image->segment_count == ELF_SEGMENTS_MOST)
        return refuse(reader, STATUS_LIMIT, "it has more than 16 segments");
    if (header->file_size > header->memory_size)
        return refuse(reader, STATUS_INVALID, "a segment has more bytes in the file than in memory");
    if (header->offset > reader->size || header->file_size > reader->size - header->offset)
        return refuse(reader, STATUS_INVALID, "a segment's bytes lie outside of the file");
    if (header->offset % ELF_PAGE != lead)
        return refuse(reader, STATUS_INVALID, "a segment lies differently within its pages than in the file");
    if (header->address > ELF_IMAGE_MOST || header->memory_size > ELF_IMAGE_MOST - header->address)
        return refuse(reader, STATUS_LIMIT, "a segment lies beyond the first 64 MiB of addresses");
    if (!(header->flags & FLAG_READ) || (header->flags & ~(uint32_t)(FLAG_READ | FLAG_WRITE | FLAG_EXECUTE)))
        return refuse(reader, STATUS_INVALID, "a segment is not readable");
    if ((header->flags & FLAG_WRITE) && (header->flags & FLAG_EXECUTE))
        return refuse(reader, STATUS_INVALID, "a segment is writable and executable");
    if (header->address - lead < image->size)
        return refuse(reader, STATUS_INVALID, "segments overlap, or are not in ascending order");
    bool writable = (header->flags & FLAG_WRITE) != 0;
    uint64_t size = align_up(lead + header->memory_size, ELF_PAGE);
    image->segments[image->segment_count++] = (struct elf_segment){
        .address = header->address - lead,
        .size = size,
        .from = header->offset,
        .length = header->file_size,
        .lead = lead,
        .access = RIGHT_READ | (writable ? RIGHT_WRITE : 0) | (header->flags & FLAG_EXECUTE ? RIGHT_EXECUTE : 0),
        .relocatable = writable,
        .plain =
            !writable && header->file_size == header->memory_size && size <= reader->size - (header->offset - lead),
    };
    image->size = align_up(header->address + header->memory_size, ELF_PAGE);
    return STATUS_OK;
}

static enum status add_segment(struct reader *reader, const struct elf_program_header *header)
{
    switch (header->type) {
    case SEGMENT_LOAD:
        return add_load(reader, header);
    case SEGMENT_DYNAMIC:
        if (reader->has_dynamic)
            return refuse(reader, STATUS_INVALID, "it has two dynamic sections");
        reader->has_dynamic = true;
        reader->dynamic = header->offset;
        reader->dynamic_size = header->file_size;
        return STATUS_OK;
    case SEGMENT_GNU_RELRO:
        if (reader->has_relro)
            return refuse(reader, STATUS_INVALID, "two parts of it are to be read-only after relocation");
        if (header->address > ELF_IMAGE_MOST || header->memory_size > ELF_IMAGE_MOST - header->address)
            return refuse(reader, STATUS_INVALID, "what is to be read-only after relocation is no segment");
        reader->has_relro = header->memory_size != 0;
        reader->relro = align_down(header->address, ELF_PAGE);
        reader->relro_end = align_up(header->address + header->memory_size, ELF_PAGE);
        return STATUS_OK;
    case SEGMENT_GNU_STACK: /* the stack is never executable; who asks for it would not run */
        return header->flags & FLAG_EXECUTE ? refuse(reader, STATUS_INVALID, "it wants an executable stack")
                                            : STATUS_OK;
    case SEGMENT_INTERPRETER:
        return refuse(reader, STATUS_UNSUPPORTED, "it wants a dynamic linker");
    case SEGMENT_THREAD_LOCAL:
        return refuse(reader, STATUS_UNSUPPORTED, "it has thread-local variables");
    case SEGMENT_NULL:
    case SEGMENT_NOTE:
    case SEGMENT_HEADERS:
    case SEGMENT_GNU_EH_FRAME:
    case SEGMENT_GNU_PROPERTY:
    case SEGMENT_ATTRIBUTES:
        return STATUS_OK;
    default:
        return refuse(reader, STATUS_UNSUPPORTED, "it has a segment of an unknown kind");
    }
}

static enum status read_segments(struct reader *reader, const struct elf_header *header)
{
    struct elf_program_header segment;

    for (uint32_t i = 0; i < header->program_header_count; i++) {
        uint64_t offset;
        if (__builtin_add_overflow(header->program_headers, (uint64_t)i * sizeof segment, &offset) ||
            !read_at(reader, offset, &segment, sizeof segment))
            return refuse(reader, STATUS_INVALID, "its program headers lie outside of the file");
        enum status status = add_segment(reader, &segment);
        if (status != STATUS_OK)
            return status;
    }
    if (reader->image->segment_count == 0)
        return refuse(reader, STATUS_INVALID, "it has nothing to load");
    return STATUS_OK;
}

/* Pages are writable or not: what is read-only once it is relocated must be segments of its own, as lld makes it. */
static enum status protect(struct reader *reader)
{
    struct elf_image *image = reader->image;
    uint64_t covered = 0;

    if (!reader->has_relro)
        return STATUS_OK;
    for (uint32_t i = 0; i < image->segment_count; i++) {
        struct elf_segment *segment = &image->segments[i];
        if (segment->address >= reader->relro_end || segment->address + segment->size <= reader->relro)
            continue;
        if (segment->address < reader->relro || segment->address + segment->size > reader->relro_end)
            return refuse(reader, STATUS_UNSUPPORTED, "what is to be read-only after relocation is no segment");
        segment->access &= ~(uint32_t)RIGHT_WRITE;
        covered += segment->size;
    }
    return covered != 0 ? STATUS_OK
                        : refuse(reader, STATUS_INVALID, "what is to be read-only after relocation is no segment");
}

/* ---- Relocations --------------------------------------------------------------------------------------------------
 */

struct tables {
    uint64_t rela, size, entry;
};

static enum status read_dynamic_entry(struct reader *reader, const struct elf_dynamic *entry, struct tables *tables)
{
    switch (entry->tag) {
    case DYNAMIC_NEEDED:
        return refuse(reader, STATUS_UNSUPPORTED, "it wants a shared library");
    case DYNAMIC_PLT_SIZE:
    case DYNAMIC_REL:
    case DYNAMIC_RELR:
        return refuse(reader, STATUS_UNSUPPORTED, "it has relocations of a kind that vmos does not do");
    case DYNAMIC_TEXT_RELOCATIONS:
        return refuse(reader, STATUS_UNSUPPORTED, "it wants its code relocated");
    case DYNAMIC_FLAGS:
        return entry->value & DYNAMIC_FLAG_TEXT_RELOCATIONS
                   ? refuse(reader, STATUS_UNSUPPORTED, "it wants its code relocated")
                   : STATUS_OK;
    case DYNAMIC_RELA:
        tables->rela = entry->value;
        return STATUS_OK;
    case DYNAMIC_RELA_SIZE:
        tables->size = entry->value;
        return STATUS_OK;
    case DYNAMIC_RELA_ENTRY:
        tables->entry = entry->value;
        return STATUS_OK;
    default:
        return STATUS_OK;
    }
}

static enum status read_dynamic(struct reader *reader, struct tables *tables)
{
    struct elf_dynamic entry;

    for (uint64_t at = 0; at + sizeof entry <= reader->dynamic_size; at += sizeof entry) {
        uint64_t offset;
        if (__builtin_add_overflow(reader->dynamic, at, &offset) || !read_at(reader, offset, &entry, sizeof entry))
            return refuse(reader, STATUS_INVALID, "its dynamic section lies outside of the file");
        if (entry.tag == DYNAMIC_END)
            break;
        enum status status = read_dynamic_entry(reader, &entry, tables);
        if (status != STATUS_OK)
            return status;
    }
    return STATUS_OK;
}

/* Finds the table in the file, by the segment whose bytes it is among. */
static enum status find_relocations(struct reader *reader, const struct tables *tables)
{
    struct elf_image *image = reader->image;

    if (tables->size == 0)
        return STATUS_OK;
    if (tables->entry != sizeof(struct elf_relocation) || tables->size % sizeof(struct elf_relocation) != 0)
        return refuse(reader, STATUS_INVALID, "its relocations are not of the 64-bit size");
    const struct elf_segment *segment = segment_of(image, tables->rela, tables->size);
    uint64_t into = segment == NULL ? 0 : tables->rela - segment->address;
    if (segment == NULL || into < segment->lead || into - segment->lead > segment->length ||
        tables->size > segment->length - (into - segment->lead))
        return refuse(reader, STATUS_INVALID, "its relocations lie outside of its segments");
    image->relocations = segment->from + into - segment->lead;
    image->relocation_count = tables->size / sizeof(struct elf_relocation);
    return STATUS_OK;
}

/* Judges one, and finds the segment that it changes: mostly that of the one before. */
static enum status judge(struct reader *reader, const struct elf_relocation *relocation, uint32_t type,
                         const struct elf_segment **segment)
{
    if (relocation->info != type)
        return refuse(reader, STATUS_UNSUPPORTED, "it has a relocation that is not relative");
    if (relocation->addend > reader->image->size)
        return refuse(reader, STATUS_INVALID, "a relocation leads out of the image");
    if (*segment == NULL || !holds(*segment, relocation->offset, sizeof(uint64_t)))
        *segment = segment_of(reader->image, relocation->offset, sizeof(uint64_t));
    if (*segment == NULL || !(*segment)->relocatable)
        return refuse(reader, STATUS_INVALID, "a relocation changes what is not writable");
    return STATUS_OK;
}

/* Judges all, and does them if there is somewhere to (copies; NULL). They are copied out some at a time, and each is
 * used as it was judged, whatever becomes of the file. */
static enum status relocate(struct reader *reader, uint64_t base, void *const copies[])
{
    const struct elf_image *image = reader->image;
    const struct elf_segment *segment = NULL;
    const uint32_t type = relative_type(image->machine);
    struct elf_relocation some[RELOCATIONS_AT_ONCE];
    enum status status = STATUS_OK;

    for (uint64_t left = image->relocation_count, at = image->relocations; left != 0 && status == STATUS_OK;) {
        unsigned count = left < RELOCATIONS_AT_ONCE ? (unsigned)left : RELOCATIONS_AT_ONCE;
        if (!read_at(reader, at, some, count * sizeof some[0]))
            return refuse(reader, STATUS_INVALID, "its relocations lie outside of its segments");
        for (unsigned i = 0; i < count && (status = judge(reader, &some[i], type, &segment)) == STATUS_OK; i++) {
            uint64_t value = base + some[i].addend;
            if (copies != NULL)
                memcpy((uint8_t *)copies[segment - image->segments] + (some[i].offset - segment->address), &value,
                       sizeof value);
        }
        left -= count;
        at += count * sizeof some[0];
    }
    return status;
}

/* ---- The interface ------------------------------------------------------------------------------------------------
 */

static enum status read_all(struct reader *reader, uint16_t machine)
{
    struct elf_image *image = reader->image;
    struct elf_header header;
    struct tables tables = {0};
    enum status status;

    if ((status = read_header(reader, machine, &header)) != STATUS_OK ||
        (status = read_segments(reader, &header)) != STATUS_OK || (status = protect(reader)) != STATUS_OK ||
        (status = read_dynamic(reader, &tables)) != STATUS_OK ||
        (status = find_relocations(reader, &tables)) != STATUS_OK || (status = relocate(reader, 0, NULL)) != STATUS_OK)
        return status;
    const struct elf_segment *code = segment_of(image, header.entry, 1);
    if (code == NULL || !(code->access & RIGHT_EXECUTE))
        return refuse(reader, STATUS_INVALID, "its entry is not in executable memory");
    image->entry = header.entry;
    return STATUS_OK;
}

enum status elf_read(const void *file, size_t size, uint16_t machine, struct elf_image *image, const char **why)
{
    struct reader reader = {.file = file, .size = size, .image = image};

    memset(image, 0, sizeof *image);
    image->machine = machine;
    enum status status = read_all(&reader, machine);
    *why = reader.why;
    return status;
}

void elf_copy(const void *file, size_t size, const struct elf_segment *segment, void *to)
{
    uint64_t there = segment->from < size ? size - segment->from : 0;
    size_t length = segment->length < there ? segment->length : there;
    uint8_t *bytes = to;

    memset(bytes, 0, segment->lead);
    memcpy(bytes + segment->lead, (const uint8_t *)file + segment->from, length);
    memset(bytes + segment->lead + length, 0, segment->size - segment->lead - length);
}

enum status elf_relocate(const void *file, size_t size, const struct elf_image *image, uint64_t base,
                         void *const copies[ELF_SEGMENTS_MOST], const char **why)
{
    /* Only elf_read writes to the image of its reader. */
    struct reader reader = {.file = file, .size = size, .image = (struct elf_image *)(uintptr_t)image};
    enum status status = relocate(&reader, base, copies);

    *why = reader.why;
    return status;
}
