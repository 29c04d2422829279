/* test_elf.c: lib/elf.c on what the linker makes, beside readelf, and on files that are broken. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <elf.h>
#include <lib/elf.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/utsname.h>

static const struct {
    const char *name;
    uint16_t machine;
} machines[] = {{"x64", ELF_MACHINE_X64}, {"arm64", ELF_MACHINE_ARM64}, {"rv64", ELF_MACHINE_RV64}};
enum { MACHINES = 3 };

/* ---- What the linker makes ----------------------------------------------------------------------------------------
 */

/* A file in an allocation of exactly its size. */
static uint8_t *read_file(const char *name, size_t *size)
{
    char path[64];

    snprintf(path, sizeof path, "build/host/elf/%s.elf", name);
    FILE *file = fopen(path, "rb");
    assert_non_null(file);
    fseek(file, 0, SEEK_END);
    *size = (size_t)ftell(file);
    rewind(file);
    uint8_t *bytes = malloc(*size);
    assert_int_equal(fread(bytes, 1, *size, file), *size);
    fclose(file);
    return bytes;
}

static FILE *readelf(const char *options, const char *name)
{
    char command[128];

    snprintf(command, sizeof command, "LC_ALL=C readelf -W %s build/host/elf/%s.elf", options, name);
    FILE *pipe = popen(command, "r");
    assert_non_null(pipe);
    return pipe;
}

/* The segments' copies, in the order of the image. */
struct loaded {
    struct elf_image image;
    void *copies[ELF_SEGMENTS_MOST];
};

static void load(struct loaded *loaded, const uint8_t *file, size_t size, uint16_t machine, uint64_t base)
{
    const char *why = "?";

    if (elf_read(file, size, machine, &loaded->image, &why) != STATUS_OK)
        fail_msg("%s", why);
    assert_null(why);
    for (uint32_t i = 0; i < loaded->image.segment_count; i++) {
        loaded->copies[i] = malloc(loaded->image.segments[i].size);
        memset(loaded->copies[i], 0xa5, loaded->image.segments[i].size);
        elf_copy(file, size, &loaded->image.segments[i], loaded->copies[i]);
    }
    assert_int_equal(elf_relocate(file, size, &loaded->image, base, loaded->copies, &why), STATUS_OK);
}

static void unload(struct loaded *loaded)
{
    for (uint32_t i = 0; i < loaded->image.segment_count; i++)
        free(loaded->copies[i]);
}

static uint8_t *byte_at(const struct loaded *loaded, uint64_t address)
{
    for (uint32_t i = 0; i < loaded->image.segment_count; i++)
        if (address - loaded->image.segments[i].address < loaded->image.segments[i].size)
            return (uint8_t *)loaded->copies[i] + (address - loaded->image.segments[i].address);
    fail_msg("nothing is at %llx", (unsigned long long)address);
    return NULL;
}

/* Each LOAD line has its segment, with its bytes, and zeroes around them; what GNU_RELRO covers is read-only. */
static void segments_are_readelfs(void **state)
{
    (void)state;
    for (unsigned m = 0; m < MACHINES; m++) {
        struct loaded loaded;
        size_t size;
        uint8_t *file = read_file(machines[m].name, &size);
        unsigned long long offset, address, physical, in_file, in_memory, relro = 0;
        unsigned count = 0, read_only_later = 0;
        char line[256], flags[4];

        load(&loaded, file, size, machines[m].machine, 0);
        FILE *pipe = readelf("-l", machines[m].name);
        while (fgets(line, sizeof line, pipe) != NULL) {
            if (sscanf(line, " GNU_RELRO %llx %llx", &offset, &relro) == 2)
                continue;
            if (sscanf(line, " LOAD %llx %llx %llx %llx %llx %3[RWE ]", &offset, &address, &physical, &in_file,
                       &in_memory, flags) != 6)
                continue;
            assert_in_range(count, 0, loaded.image.segment_count - 1);
            const struct elf_segment *segment = &loaded.image.segments[count++];
            assert_int_equal(segment->address, address & ~4095ull);
            assert_int_equal(segment->address + segment->size, (address + in_memory + 4095) & ~4095ull);
            assert_int_equal(segment->relocatable, strchr(flags, 'W') != NULL);
            assert_int_equal((segment->access & RIGHT_EXECUTE) != 0, strchr(flags, 'E') != NULL);
            assert_true(segment->access & RIGHT_READ);
            read_only_later += segment->relocatable && !(segment->access & RIGHT_WRITE);
            const uint8_t *at = byte_at(&loaded, segment->address);
            for (uint64_t i = 0; i < segment->size; i++)
                if (segment->address + i < address || segment->address + i >= address + in_file)
                    assert_int_equal(at[i], 0);
            if (!segment->relocatable)
                assert_memory_equal(at + (address - segment->address), file + offset, in_file);
        }
        assert_int_equal(pclose(pipe), 0);
        assert_int_equal(count, loaded.image.segment_count);
        assert_in_range(count, 4, 5);
        assert_int_equal(read_only_later, 1);
        assert_true(relro != 0);
        unload(&loaded);
        free(file);
    }
}

/* Each relocation's word is the base and its addend, and every other word is as it is in the file. */
static void relocations_are_readelfs(void **state)
{
    (void)state;
    for (unsigned m = 0; m < MACHINES; m++) {
        const uint64_t base = 0x123456789000;
        struct loaded moved, still;
        size_t size;
        uint8_t *file = read_file(machines[m].name, &size);
        unsigned long long offset, info, addend;
        char line[256];
        unsigned count = 0;

        load(&moved, file, size, machines[m].machine, base);
        load(&still, file, size, machines[m].machine, 0);
        FILE *pipe = readelf("-r", machines[m].name);
        while (fgets(line, sizeof line, pipe) != NULL) {
            uint64_t word;
            if (sscanf(line, "%llx %llx %*s %llx", &offset, &info, &addend) != 3)
                continue;
            memcpy(&word, byte_at(&moved, offset), sizeof word);
            assert_int_equal(word, base + addend);
            memcpy(byte_at(&moved, offset), byte_at(&still, offset), sizeof word);
            count++;
        }
        assert_int_equal(pclose(pipe), 0);
        assert_int_equal(count, moved.image.relocation_count);
        assert_in_range(count, 8, 20);
        for (uint32_t i = 0; i < moved.image.segment_count; i++)
            assert_memory_equal(moved.copies[i], still.copies[i], moved.image.segments[i].size);
        unload(&moved);
        unload(&still);
        free(file);
    }
}

static void entry_is_readelfs(void **state)
{
    (void)state;
    for (unsigned m = 0; m < MACHINES; m++) {
        struct elf_image image;
        const char *why;
        size_t size;
        uint8_t *file = read_file(machines[m].name, &size);
        unsigned long long entry = 0;
        char line[256];

        assert_int_equal(elf_read(file, size, machines[m].machine, &image, &why), STATUS_OK);
        FILE *pipe = readelf("-h", machines[m].name);
        while (fgets(line, sizeof line, pipe) != NULL)
            sscanf(line, " Entry point address: %llx", &entry);
        assert_int_equal(pclose(pipe), 0);
        assert_int_equal(image.entry, entry);
        for (unsigned other = 0; other < MACHINES; other++)
            if (other != m) {
                assert_int_equal(elf_read(file, size, machines[other].machine, &image, &why), STATUS_UNSUPPORTED);
                assert_string_equal(why, "it is for another machine");
            }
        free(file);
    }
}

/* The best oracle, where this machine is one of ours: it runs. */
static void runs(void **state)
{
    static const char *const names[MACHINES] = {"x86_64", "aarch64", "riscv64"};
    struct utsname host;
    unsigned m = 0;

    (void)state;
    uname(&host);
    while (m < MACHINES && strcmp(host.machine, names[m]) != 0)
        m++;
    if (m == MACHINES)
        skip();
    size_t size;
    uint8_t *file = read_file(machines[m].name, &size);
    for (unsigned round = 0; round < 2; round++) {
        struct loaded loaded;
        const char *why;
        assert_int_equal(elf_read(file, size, machines[m].machine, &loaded.image, &why), STATUS_OK);
        uint8_t *image = mmap(NULL, loaded.image.size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        assert_true(image != MAP_FAILED);
        load(&loaded, file, size, machines[m].machine, (uintptr_t)image);
        for (uint32_t i = 0; i < loaded.image.segment_count; i++) {
            const struct elf_segment *segment = &loaded.image.segments[i];
            uint8_t *at = image + segment->address;
            assert_int_equal(mprotect(at, segment->size, PROT_READ | PROT_WRITE), 0);
            memcpy(at, loaded.copies[i], segment->size);
            assert_int_equal(mprotect(at, segment->size,
                                      PROT_READ | (segment->access & RIGHT_WRITE ? PROT_WRITE : 0) |
                                          (segment->access & RIGHT_EXECUTE ? PROT_EXEC : 0)),
                             0);
        }
        int (*entry)(int);
        uint8_t *address = image + loaded.image.entry;
        memcpy(&entry, &address, sizeof entry);
        __builtin___clear_cache((char *)image, (char *)image + loaded.image.size);
        assert_int_equal(entry(7), ((7 + 1) * 2 + 1) * 1000 + 3 + 1);
        assert_int_equal(entry(0), ((0 + 1) * 2 + 1) * 1000 + 6 + 1); /* its variables are its own and stay */
        unload(&loaded);
        munmap(image, loaded.image.size);
    }
    free(file);
}

static void a_plain_program_is_refused(void **state)
{
    struct elf_image image;
    const char *why;
    size_t size;
    uint8_t *file = read_file("plain", &size);

    (void)state;
    assert_int_equal(elf_read(file, size, ELF_MACHINE_X64, &image, &why), STATUS_UNSUPPORTED);
    assert_string_equal(why, "it is not position-independent (static-PIE)");
    free(file);
}

/* ---- Broken files -------------------------------------------------------------------------------------------------
 */

enum { READ_ONLY, CODE, CONSTANTS, VARIABLES, DYNAMIC, RELRO, STACK, SEGMENTS };

/* A small good one, in the C library's own structures. */
struct small {
    Elf64_Ehdr header;
    Elf64_Phdr segments[SEGMENTS];
    Elf64_Dyn dynamic[5];
    Elf64_Rela relocations[2];
    uint8_t code[64];
    uint64_t constants[4], variables[4];
};

static void make(struct small *small)
{
    const uint64_t code = offsetof(struct small, code), constants = offsetof(struct small, constants),
                   variables = offsetof(struct small, variables), dynamic = offsetof(struct small, dynamic),
                   relocations = offsetof(struct small, relocations);

    *small = (struct small){
        .header = {.e_ident = {0x7f, 'E', 'L', 'F', ELFCLASS64, ELFDATA2LSB, EV_CURRENT},
                   .e_type = ET_DYN,
                   .e_machine = EM_X86_64,
                   .e_version = EV_CURRENT,
                   .e_entry = 0x1000 + code,
                   .e_phoff = offsetof(struct small, segments),
                   .e_ehsize = sizeof(Elf64_Ehdr),
                   .e_phentsize = sizeof(Elf64_Phdr),
                   .e_phnum = SEGMENTS},
        .segments =
            {
                [READ_ONLY] = {PT_LOAD, PF_R, 0, 0, 0, code, code, 4096},
                [CODE] = {PT_LOAD, PF_R | PF_X, code, 0x1000 + code, 0, 64, 64, 4096},
                [CONSTANTS] = {PT_LOAD, PF_R | PF_W, constants, 0x2000 + constants, 0, 32, 0x1000 - constants, 4096},
                [VARIABLES] = {PT_LOAD, PF_R | PF_W, variables, 0x3000 + variables, 0, 32, 0x2000, 4096},
                [DYNAMIC] = {PT_DYNAMIC, PF_R, dynamic, dynamic, 0, sizeof small->dynamic, sizeof small->dynamic, 8},
                [RELRO] = {PT_GNU_RELRO, PF_R, constants, 0x2000 + constants, 0, 32, 0x1000 - constants, 1},
                [STACK] = {PT_GNU_STACK, PF_R | PF_W, 0, 0, 0, 0, 0, 0},
            },
        .dynamic = {{DT_RELA, {relocations}}, {DT_RELASZ, {48}}, {DT_RELAENT, {24}}, {DT_DEBUG, {0}}, {DT_NULL, {0}}},
        .relocations = {{0x2000 + constants, R_X86_64_RELATIVE, 0x1000 + code},
                        {0x3000 + variables + 24, R_X86_64_RELATIVE, 0x3008}},
    };
}

static void the_small_one_is_good(void **state)
{
    struct small *small = malloc(sizeof *small);
    struct loaded loaded;

    (void)state;
    make(small);
    load(&loaded, (uint8_t *)small, sizeof *small, ELF_MACHINE_X64, 0x10000);
    assert_int_equal(loaded.image.segment_count, 4);
    assert_int_equal(loaded.image.size, 0x6000);
    static const uint32_t access[] = {RIGHT_READ, RIGHT_READ | RIGHT_EXECUTE, RIGHT_READ, RIGHT_READ | RIGHT_WRITE};
    for (unsigned i = 0; i < 4; i++) {
        assert_int_equal(loaded.image.segments[i].access, access[i]);
        assert_int_equal(loaded.image.segments[i].relocatable, i >= 2);
        assert_false(loaded.image.segments[i].plain); /* the file ends within their pages */
    }
    unload(&loaded);
    free(small);
}

/* A segment can be mapped from the file when nobody writes to it, nothing but the file's bytes is in it, and its pages
 * are all in the file. */
static void what_can_stay_in_the_file(void **state)
{
    const uint64_t code = offsetof(struct small, code);
    struct small *small = calloc(1, 0x1000);
    struct elf_image image;
    const char *why;

    (void)state;
    make(small);
    assert_int_equal(elf_read(small, 0x1000, ELF_MACHINE_X64, &image, &why), STATUS_OK);
    for (unsigned i = 0; i < 4; i++)
        assert_int_equal(image.segments[i].plain, i < 2);
    assert_int_equal(elf_read(small, 0xfff, ELF_MACHINE_X64, &image, &why), STATUS_OK);
    assert_true(!image.segments[0].plain && !image.segments[1].plain);
    small->segments[CODE].p_memsz++; /* a zero that the file does not have */
    assert_int_equal(elf_read(small, 0x1000, ELF_MACHINE_X64, &image, &why), STATUS_OK);
    assert_true(image.segments[0].plain && !image.segments[1].plain);
    small->segments[CODE].p_memsz = small->segments[CODE].p_filesz = 0x1000 - code;
    assert_int_equal(elf_read(small, 0x1000, ELF_MACHINE_X64, &image, &why), STATUS_OK);
    assert_true(image.segments[1].plain);
    small->segments[VARIABLES].p_memsz =
        small->segments[VARIABLES].p_filesz; /* all of it in the file, and written to */
    assert_int_equal(elf_read(small, 0x1000, ELF_MACHINE_X64, &image, &why), STATUS_OK);
    assert_false(image.segments[3].plain);
    free(small);
}

#define AT(member)       offsetof(struct small, member), sizeof(((struct small *)0)->member)
#define SEGMENT(n, f)    AT(segments[n].f)
#define DYNAMIC_TAG(n)   AT(dynamic[n].d_tag)
#define DYNAMIC_IS(n)    AT(dynamic[n].d_un.d_val)
#define RELOCATION(n, f) AT(relocations[n].f)

/* Each is the small one with one field changed. */
static const struct {
    size_t at, size;
    uint64_t value;
    enum status status;
    const char *why;
} broken[] = {
    {AT(header.e_ident[0]), 0, STATUS_INVALID, "it is no ELF file"},
    {AT(header.e_ident[3]), 'f', STATUS_INVALID, "it is no ELF file"},
    {AT(header.e_ident[EI_CLASS]), ELFCLASS32, STATUS_UNSUPPORTED, "it is not of the 64-bit little-endian kind"},
    {AT(header.e_ident[EI_DATA]), ELFDATA2MSB, STATUS_UNSUPPORTED, "it is not of the 64-bit little-endian kind"},
    {AT(header.e_ident[EI_VERSION]), 2, STATUS_UNSUPPORTED, "it is not of the 64-bit little-endian kind"},
    {AT(header.e_version), 0, STATUS_UNSUPPORTED, "it is not of the 64-bit little-endian kind"},
    {AT(header.e_machine), EM_386, STATUS_UNSUPPORTED, "it is for another machine"},
    {AT(header.e_type), ET_EXEC, STATUS_UNSUPPORTED, "it is not position-independent (static-PIE)"},
    {AT(header.e_type), ET_REL, STATUS_UNSUPPORTED, "it is not position-independent (static-PIE)"},
    {AT(header.e_phentsize), 32, STATUS_INVALID, "its program headers are not of the 64-bit size"},
    {AT(header.e_phnum), 0, STATUS_INVALID, "it has no program headers"},
    {AT(header.e_phnum), 65, STATUS_LIMIT, "it has more than 64 program headers"},
    {AT(header.e_phnum), 0xffff, STATUS_LIMIT, "it has more than 64 program headers"},
    {AT(header.e_phoff), sizeof(struct small), STATUS_INVALID, "its program headers lie outside of the file"},
    {AT(header.e_phoff), UINT64_MAX - 8, STATUS_INVALID, "its program headers lie outside of the file"},
    {AT(header.e_phoff), UINT64_MAX - 55, STATUS_INVALID, "its program headers lie outside of the file"},
    {AT(header.e_entry), 0, STATUS_INVALID, "its entry is not in executable memory"},
    {AT(header.e_entry), 0x3008, STATUS_INVALID, "its entry is not in executable memory"},
    {AT(header.e_entry), 0x2000, STATUS_INVALID, "its entry is not in executable memory"},
    {AT(header.e_entry), UINT64_MAX, STATUS_INVALID, "its entry is not in executable memory"},
    {SEGMENT(STACK, p_flags), PF_R | PF_W | PF_X, STATUS_INVALID, "it wants an executable stack"},
    {SEGMENT(STACK, p_type), PT_TLS, STATUS_UNSUPPORTED, "it has thread-local variables"},
    {SEGMENT(STACK, p_type), PT_INTERP, STATUS_UNSUPPORTED, "it wants a dynamic linker"},
    {SEGMENT(STACK, p_type), PT_SHLIB, STATUS_UNSUPPORTED, "it has a segment of an unknown kind"},
    {SEGMENT(STACK, p_type), 0x12345678, STATUS_UNSUPPORTED, "it has a segment of an unknown kind"},
    {SEGMENT(STACK, p_type), PT_DYNAMIC, STATUS_INVALID, "it has two dynamic sections"},
    {SEGMENT(STACK, p_type), PT_NOTE, STATUS_OK, NULL},
    {SEGMENT(STACK, p_type), PT_PHDR, STATUS_OK, NULL},
    {SEGMENT(STACK, p_type), PT_LOAD, STATUS_OK, NULL}, /* an empty one */
    {SEGMENT(CODE, p_flags), PF_R | PF_W | PF_X, STATUS_INVALID, "a segment is writable and executable"},
    {SEGMENT(VARIABLES, p_flags), PF_R | PF_W | PF_X, STATUS_INVALID, "a segment is writable and executable"},
    {SEGMENT(CODE, p_flags), PF_X, STATUS_INVALID, "a segment is not readable"},
    {SEGMENT(CODE, p_flags), 0, STATUS_INVALID, "a segment is not readable"},
    {SEGMENT(CODE, p_flags), PF_R | PF_X | 8, STATUS_INVALID, "a segment is not readable"},
    {SEGMENT(CODE, p_flags), PF_R, STATUS_INVALID, "its entry is not in executable memory"},
    {SEGMENT(CODE, p_type), PT_NULL, STATUS_INVALID, "its entry is not in executable memory"},
    {SEGMENT(CODE, p_offset), 1, STATUS_INVALID, "a segment lies differently within its pages than in the file"},
    {SEGMENT(CODE, p_offset), sizeof(struct small) + 1, STATUS_INVALID, "a segment's bytes lie outside of the file"},
    {SEGMENT(CODE, p_offset), UINT64_MAX, STATUS_INVALID, "a segment's bytes lie outside of the file"},
    {SEGMENT(CODE, p_filesz), 65, STATUS_INVALID, "a segment has more bytes in the file than in memory"},
    {SEGMENT(CODE, p_memsz), 0, STATUS_INVALID, "a segment has more bytes in the file than in memory"},
    {SEGMENT(CODE, p_memsz), 0x1000, STATUS_INVALID, "segments overlap, or are not in ascending order"},
    {SEGMENT(VARIABLES, p_filesz), 0x1000, STATUS_INVALID, "a segment's bytes lie outside of the file"},
    {SEGMENT(VARIABLES, p_memsz), UINT64_MAX, STATUS_LIMIT, "a segment lies beyond the first 64 MiB of addresses"},
    {SEGMENT(VARIABLES, p_memsz), ELF_IMAGE_MOST, STATUS_LIMIT, "a segment lies beyond the first 64 MiB of addresses"},
    {SEGMENT(CODE, p_vaddr), 0x4000 + offsetof(struct small, code), STATUS_INVALID,
     "segments overlap, or are not in ascending order"},
    {SEGMENT(CODE, p_vaddr), offsetof(struct small, code), STATUS_INVALID,
     "segments overlap, or are not in ascending order"},
    {SEGMENT(VARIABLES, p_vaddr), 0xfffffffffffff000 + offsetof(struct small, variables), STATUS_LIMIT,
     "a segment lies beyond the first 64 MiB of addresses"},
    {SEGMENT(VARIABLES, p_vaddr), ELF_IMAGE_MOST + offsetof(struct small, variables), STATUS_LIMIT,
     "a segment lies beyond the first 64 MiB of addresses"},
    {SEGMENT(RELRO, p_memsz), 0x2000, STATUS_UNSUPPORTED, "what is to be read-only after relocation is no segment"},
    {SEGMENT(RELRO, p_memsz), UINT64_MAX, STATUS_INVALID, "what is to be read-only after relocation is no segment"},
    {SEGMENT(RELRO, p_vaddr), 0x8000, STATUS_INVALID, "what is to be read-only after relocation is no segment"},
    {SEGMENT(RELRO, p_vaddr), UINT64_MAX, STATUS_INVALID, "what is to be read-only after relocation is no segment"},
    {SEGMENT(STACK, p_type), PT_GNU_RELRO, STATUS_INVALID, "two parts of it are to be read-only after relocation"},
    {SEGMENT(DYNAMIC, p_offset), sizeof(struct small), STATUS_INVALID, "its dynamic section lies outside of the file"},
    {SEGMENT(DYNAMIC, p_offset), UINT64_MAX - 7, STATUS_INVALID, "its dynamic section lies outside of the file"},
    {DYNAMIC_TAG(3), DT_NEEDED, STATUS_UNSUPPORTED, "it wants a shared library"},
    {DYNAMIC_TAG(3), DT_TEXTREL, STATUS_UNSUPPORTED, "it wants its code relocated"},
    {DYNAMIC_TAG(3), DT_PLTRELSZ, STATUS_UNSUPPORTED, "it has relocations of a kind that vmos does not do"},
    {DYNAMIC_TAG(3), DT_REL, STATUS_UNSUPPORTED, "it has relocations of a kind that vmos does not do"},
    {DYNAMIC_TAG(3), 36 /* DT_RELR */, STATUS_UNSUPPORTED, "it has relocations of a kind that vmos does not do"},
    {DYNAMIC_IS(2), 16, STATUS_INVALID, "its relocations are not of the 64-bit size"},
    {DYNAMIC_IS(1), 47, STATUS_INVALID, "its relocations are not of the 64-bit size"},
    {DYNAMIC_IS(1), 0, STATUS_OK, NULL},
    {DYNAMIC_IS(1), 24 * 1000, STATUS_INVALID, "its relocations lie outside of its segments"},
    {DYNAMIC_IS(1), UINT64_MAX / 24 * 24, STATUS_INVALID, "its relocations lie outside of its segments"},
    {DYNAMIC_IS(0), 0x5000, STATUS_INVALID, "its relocations lie outside of its segments"}, /* not in the file */
    {DYNAMIC_IS(0), 0x1000, STATUS_INVALID, "its relocations lie outside of its segments"}, /* before its bytes */
    {DYNAMIC_IS(0), UINT64_MAX - 8, STATUS_INVALID, "its relocations lie outside of its segments"},
    {RELOCATION(0, r_info), R_X86_64_64, STATUS_UNSUPPORTED, "it has a relocation that is not relative"},
    {RELOCATION(1, r_info), 1027, STATUS_UNSUPPORTED, "it has a relocation that is not relative"},
    {RELOCATION(1, r_info), ELF64_R_INFO(1ull, R_X86_64_RELATIVE), STATUS_UNSUPPORTED,
     "it has a relocation that is not relative"},
    {RELOCATION(0, r_addend), 0x6001, STATUS_INVALID, "a relocation leads out of the image"},
    {RELOCATION(0, r_addend), UINT64_MAX, STATUS_INVALID, "a relocation leads out of the image"},
    {RELOCATION(0, r_addend), 0x6000, STATUS_OK, NULL}, /* where it ends: a name that linkers give */
    {RELOCATION(1, r_offset), 0x1000, STATUS_INVALID, "a relocation changes what is not writable"},
    {RELOCATION(1, r_offset), 0, STATUS_INVALID, "a relocation changes what is not writable"},
    {RELOCATION(1, r_offset), 0x1ffc, STATUS_INVALID, "a relocation changes what is not writable"},
    {RELOCATION(1, r_offset), 0x5ff9, STATUS_INVALID, "a relocation changes what is not writable"},
    {RELOCATION(1, r_offset), 0x5ff8, STATUS_OK, NULL},
    {RELOCATION(1, r_offset), 0x6000, STATUS_INVALID, "a relocation changes what is not writable"},
    {RELOCATION(1, r_offset), UINT64_MAX - 3, STATUS_INVALID, "a relocation changes what is not writable"},
};

static void each_mistake_has_its_sentence(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof broken / sizeof broken[0]; i++) {
        struct small *small = malloc(sizeof *small);
        struct elf_image image;
        const char *why = "?";

        make(small);
        memcpy((uint8_t *)small + broken[i].at, &broken[i].value, broken[i].size);
        enum status status = elf_read(small, sizeof *small, ELF_MACHINE_X64, &image, &why);
        if (status != broken[i].status || (why == NULL) != (broken[i].why == NULL) ||
            (why != NULL && strcmp(why, broken[i].why) != 0))
            fail_msg("row %zu: \"%s\" (%d), expected \"%s\" (%d)", i, why, status, broken[i].why, broken[i].status);
        free(small);
    }
}

/* More relocations than are looked at in one go: each is judged, and each is done. */
static void many_relocations(void **state)
{
    enum { MANY = 50 };
    struct {
        struct small small;
        Elf64_Rela relocations[MANY];
    } *file = malloc(sizeof *file);
    const uint64_t places[] = {0x2000 + offsetof(struct small, constants), 0x3000 + offsetof(struct small, variables)};
    const size_t at = (size_t)((char *)file->relocations - (char *)file);
    struct loaded loaded;
    struct elf_image image;
    const char *why;

    (void)state;
    make(&file->small);
    file->small.segments[READ_ONLY].p_filesz = file->small.segments[READ_ONLY].p_memsz = sizeof *file;
    file->small.dynamic[0].d_un.d_val = at;
    for (uint64_t count = 1; count <= MANY; count++) {
        file->small.dynamic[1].d_un.d_val = count * sizeof file->relocations[0];
        for (uint64_t i = 0; i < count; i++)
            file->relocations[i] = (Elf64_Rela){places[i / 2 % 2] + 8 * i, R_X86_64_RELATIVE, (int64_t)(i + 1)};
        load(&loaded, (uint8_t *)file, sizeof *file, ELF_MACHINE_X64, 0x10000);
        for (uint64_t i = 0, word; i < count; i++) {
            memcpy(&word, byte_at(&loaded, file->relocations[i].r_offset), sizeof word);
            assert_int_equal(word, 0x10000 + i + 1);
        }
        unload(&loaded);
        for (uint64_t i = 0; i < count; i++) {
            uint64_t offset = file->relocations[i].r_offset;
            file->relocations[i].r_offset = 0x1000;
            assert_int_equal(elf_read(file, sizeof *file, ELF_MACHINE_X64, &image, &why), STATUS_INVALID);
            file->relocations[i].r_offset = offset;
        }
    }
    free(file);
}

/* More than 16, and two that are only told apart by their order. */
static void too_many_segments(void **state)
{
    struct {
        Elf64_Ehdr header;
        Elf64_Phdr segments[18];
    } file;
    struct small small;
    struct elf_image image;
    const char *why;

    (void)state;
    make(&small);
    memset(&file, 0, sizeof file);
    file.header = small.header;
    file.header.e_phoff = sizeof file.header;
    for (unsigned i = 0; i < 18; i++)
        file.segments[i] = (Elf64_Phdr){PT_LOAD, PF_R | PF_X, 0, i * 0x1000, 0, 0, 0x1000, 4096};
    file.header.e_entry = 0;
    file.header.e_phnum = 16;
    assert_int_equal(elf_read(&file, sizeof file, ELF_MACHINE_X64, &image, &why), STATUS_OK);
    assert_int_equal(image.segment_count, 16);
    file.header.e_phnum = 17;
    assert_int_equal(elf_read(&file, sizeof file, ELF_MACHINE_X64, &image, &why), STATUS_LIMIT);
    assert_string_equal(why, "it has more than 16 segments");
    file.header.e_phnum = 0;
    file.segments[0].p_type = PT_NOTE;
    file.header.e_phnum = 1;
    assert_int_equal(elf_read(&file, sizeof file, ELF_MACHINE_X64, &image, &why), STATUS_INVALID);
    assert_string_equal(why, "it has nothing to load");
}

static void cut_short(void **state)
{
    struct small whole;

    (void)state;
    make(&whole);
    for (size_t size = 0; size < sizeof whole; size++) {
        uint8_t *cut = malloc(size);
        struct elf_image image;
        const char *why = NULL;
        memcpy(cut, &whole, size);
        assert_int_not_equal(elf_read(cut, size, ELF_MACHINE_X64, &image, &why), STATUS_OK);
        assert_non_null(why);
        free(cut);
    }
}

/* The file changes after it was read: what is written still goes into the copies, or nowhere. */
static void a_file_that_changes(void **state)
{
    struct small small;
    struct loaded loaded;
    const char *why;

    (void)state;
    make(&small);
    load(&loaded, (uint8_t *)&small, sizeof small, ELF_MACHINE_X64, 0);
    static const uint64_t places[] = {0, 0x1000, 0x1ffc, 0x5ff9, 0x6000, 0x7fffffff, UINT64_MAX - 7};
    for (unsigned i = 0; i < sizeof places / sizeof places[0]; i++) {
        small.relocations[0].r_offset = places[i];
        assert_int_equal(elf_relocate(&small, sizeof small, &loaded.image, 0, loaded.copies, &why), STATUS_INVALID);
        assert_string_equal(why, "a relocation changes what is not writable");
    }
    assert_int_equal(elf_relocate(&small, 100, &loaded.image, 0, loaded.copies, &why), STATUS_INVALID);
    for (unsigned i = 0; i < loaded.image.segment_count; i++) /* shorter than it was */
        elf_copy(&small, 100, &loaded.image.segments[i], loaded.copies[i]);
    unload(&loaded);
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test(segments_are_readelfs),
    cmocka_unit_test(relocations_are_readelfs),
    cmocka_unit_test(entry_is_readelfs),
    cmocka_unit_test(runs),
    cmocka_unit_test(a_plain_program_is_refused),
    cmocka_unit_test(the_small_one_is_good),
    cmocka_unit_test(what_can_stay_in_the_file),
    cmocka_unit_test(many_relocations),
    cmocka_unit_test(each_mistake_has_its_sentence),
    cmocka_unit_test(too_many_segments),
    cmocka_unit_test(cut_short),
    cmocka_unit_test(a_file_that_changes),
};

int main(void)
{
    return cmocka_run_group_tests(tests, NULL, NULL);
}
