/*
 * efi_header.h: the PE32+ header that makes the flat image an EFI application [Microsoft, PE Format; UEFI 2.10 §2.1.1].
 * For assembly. It lies at offset 0x40, where each of the three architectures has room for it; the word at 0x3c, which
 * is the architecture's to write, says so.
 *
 * The file is the image as it lies in memory, but that the first page may be shorter in the file (efi_header_in_file).
 * It is the header as far as firmware is concerned, which may map it without the right to execute: what else is in that
 * page must run only when firmware's translation is off. Code, constants and data are sections of their own, none of
 * them writable and executable, for firmware that enforces that. There is nothing to relocate, and the header does not
 * say that relocations were stripped, which would mean that the image must lie at address 0.
 *
 * The sizes are linker.ld's, which knows them.
 */
#ifndef EFI_HEADER_H
#define EFI_HEADER_H

#define EFI_HEADER_OFFSET 0x40
#define EFI_HEADER_SIZE   0x1000 /* linker.ld's text begins to be code for firmware here */

/* clang-format off */
.macro efi_header machine
    .ascii "PE\0\0"
    .short \machine
    .short 3                        /* sections */
    .long 0, 0, 0                   /* time, symbols */
    .short 112 + 6 * 8              /* size of the optional header */
    .short 0x226                    /* executable; no line numbers; large addresses; no debugging */

    .short 0x20b                    /* PE32+ */
    .short 0
    .long efi_text_size
    .long efi_initialised_size
    .long efi_bss_size
    .long EFI_HEADER_SIZE + efi_entry_offset
    .long EFI_HEADER_SIZE           /* where code begins */
    .quad 0                         /* linked for any address */
    .long 0x1000, 0x200             /* alignment in memory, in the file */
    .short 0, 0, 0, 0, 0, 0
    .long 0
    .long EFI_HEADER_SIZE + efi_image_size
    .long efi_header_in_file
    .long 0                         /* checksum: none */
    .short 10                       /* EFI application */
    .short 0x100                    /* data need not be executable */
    .quad 0, 0, 0, 0
    .long 0
    .long 6                         /* directories: all empty; the fifth is the signature's */
    .quad 0, 0, 0, 0, 0, 0

    .ascii ".text\0\0\0"
    .long efi_text_size, EFI_HEADER_SIZE, efi_text_size, efi_header_in_file
    .long 0, 0, 0
    .long 0x60000020                /* code, execute, read */

    .ascii ".rodata\0"
    .long efi_rodata_size, EFI_HEADER_SIZE + efi_rodata_offset, efi_rodata_size, efi_rodata_in_file
    .long 0, 0, 0
    .long 0x40000040                /* initialised data, read */

    .ascii ".data\0\0\0"
    .long efi_data_size_in_memory, EFI_HEADER_SIZE + efi_data_offset, efi_data_size, efi_data_in_file
    .long 0, 0, 0
    .long 0xc0000040                /* initialised data, read, write */
.endm
/* clang-format on */

#endif
