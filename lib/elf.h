/*
 * elf.h: programs: reads and relocates a static-PIE ELF64 file [ELF gABI 4.1; System V psABI of each machine]. Pure.
 *
 * Who loads one asks elf_read whether the file is a program for this machine, gets memory for each segment
 * (elf_segment.size bytes, whole pages) that he can write to, fills it with elf_copy, lets elf_relocate put in the
 * addresses that follow from where the image will be, and maps each segment at base + segment.address with
 * segment.access. A file is hostile until elf_read has said STATUS_OK; what is read of it later is checked again, so
 * that a file that changes meanwhile harms nobody.
 */
#ifndef LIB_ELF_H
#define LIB_ELF_H

#include <vmos/abi.h>

/* e_machine [gABI, "ELF Header"; RISC-V psABI] */
enum { ELF_MACHINE_X64 = 62, ELF_MACHINE_ARM64 = 183, ELF_MACHINE_RV64 = 243 };

enum { ELF_PAGE = 4096, ELF_SEGMENTS_MOST = 16, ELF_IMAGE_MOST = 64 << 20 /* bytes of addresses */ };

struct elf_segment {
    uint64_t address; /* in the image, page-aligned, ascending */
    uint64_t size;    /* whole pages */
    uint64_t from;    /* where its bytes begin in the file */
    uint64_t length;  /* how many the file has; the rest is zero */
    uint32_t lead;    /* where in the segment they go: less than a page */
    uint32_t access;  /* as it is to be mapped: RIGHT_READ, and at most one of RIGHT_WRITE and RIGHT_EXECUTE */
    bool relocatable; /* writable while it is loaded: so is what is read-only afterwards (PT_GNU_RELRO) */
    bool plain; /* its pages can be the file's own, from `from - lead` on: never written to, and all is the file's */
};

struct elf_image {
    struct elf_segment segments[ELF_SEGMENTS_MOST];
    uint32_t segment_count;
    uint16_t machine;
    uint64_t size;                          /* of all addresses, whole pages; the image begins at 0 */
    uint64_t entry;                         /* in an executable segment */
    uint64_t relocations, relocation_count; /* where the table is in the file */
};

/* STATUS_INVALID: no program, or one that breaks the rules; STATUS_UNSUPPORTED: a program that vmos does not run (for
 * another machine, one that wants a shared library); STATUS_LIMIT: too many segments, too large. `why` is then a
 * phrase, "a segment is writable and executable"; a constant. */
enum status elf_read(const void *file, size_t size, uint16_t machine, struct elf_image *image, const char **why);

/* Fills a segment's memory, segment->size bytes at `to`, with the file's bytes and zeroes. */
void elf_copy(const void *file, size_t size, const struct elf_segment *segment, void *to);

/* The image's address 0 will be at `base`, a multiple of the page. `copies[n]` is where segment n's memory can be
 * written now; used for relocatable segments only. */
enum status elf_relocate(const void *file, size_t size, const struct elf_image *image, uint64_t base,
                         void *const copies[ELF_SEGMENTS_MOST], const char **why);

#endif
