/* fuzz_elf.c: any bytes as a program. The first byte says for which machine, and whether the file changes after it was
 * read. What is accepted is loaded, and keeps the rules. */
#include <lib/elf.h>
#include <stdlib.h>
#include <string.h>

static const uint16_t machines[] = {ELF_MACHINE_X64, ELF_MACHINE_ARM64, ELF_MACHINE_RV64};

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

static void check(const struct elf_image *image, size_t size)
{
    uint64_t end = 0;
    bool entry = false;

    if (image->segment_count == 0 || image->segment_count > ELF_SEGMENTS_MOST)
        abort();
    for (uint32_t i = 0; i < image->segment_count; i++) {
        const struct elf_segment *segment = &image->segments[i];
        uint32_t access = segment->access;
        if (segment->address < end || segment->address % ELF_PAGE != 0 || segment->size % ELF_PAGE != 0 ||
            segment->size == 0 || segment->size > ELF_IMAGE_MOST + ELF_PAGE || !(access & RIGHT_READ) ||
            (access & ~(uint32_t)(RIGHT_READ | RIGHT_WRITE | RIGHT_EXECUTE)) != 0 ||
            ((access & RIGHT_EXECUTE) && ((access & RIGHT_WRITE) || segment->relocatable)) ||
            segment->lead >= ELF_PAGE || segment->length > segment->size - segment->lead)
            abort();
        if (segment->plain &&
            (segment->relocatable || (access & RIGHT_WRITE) || (segment->from - segment->lead) % ELF_PAGE != 0 ||
             segment->from < segment->lead || segment->from - segment->lead > size ||
             segment->size > size - (segment->from - segment->lead)))
            abort();
        end = segment->address + segment->size;
        entry |= image->entry - segment->address < segment->size && (access & RIGHT_EXECUTE);
    }
    if (end != image->size || !entry)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    struct elf_image image;
    void *copies[ELF_SEGMENTS_MOST] = {0};
    const char *why = NULL;

    if (size == 0)
        return 0;
    uint8_t first = bytes[0], *file = malloc(size - 1); /* exactly: the sanitizer looks at its end */
    memcpy(file, bytes + 1, --size);
    enum status status = elf_read(file, size, machines[first % 3], &image, &why);
    if ((status == STATUS_OK) != (why == NULL))
        abort();
    if (status == STATUS_OK) {
        check(&image, size);
        if (first & 0x80)
            for (size_t i = 0; i < size; i += 61)
                file[i] ^= first;
        for (uint32_t i = 0; i < image.segment_count; i++) {
            copies[i] = malloc(image.segments[i].size);
            elf_copy(file, size, &image.segments[i], copies[i]);
        }
        status = elf_relocate(file, size, &image, UINT64_C(0x7f0000000000), copies, &why);
        if (status != STATUS_OK && !(first & 0x80))
            abort();
        for (uint32_t i = 0; i < image.segment_count; i++)
            free(copies[i]);
    }
    free(file);
    return 0;
}
