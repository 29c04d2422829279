/*
 * efi_handoff.h: what the EFI stub (platform/efi_stub.c), which runs while the firmware still serves, leaves in memory
 * for the reader (machine/efi.c), which runs in the kernel. Nothing here has been looked into, only copied.
 *
 * All addresses are physical. What lies at them is loader data in the firmware's memory map, except for the RSDP and
 * the device tree, which are the firmware's own.
 */
#ifndef VMOS_EFI_HANDOFF_H
#define VMOS_EFI_HANDOFF_H

#include <stdint.h>

#define EFI_HANDOFF_MAGIC UINT64_C(0x3166652d736f6d76) /* "vmos-ef1" */

enum {
    EFI_HANDOFF_SEED = 32,
    EFI_HANDOFF_OPTIONS = 4096,        /* of the load options, as many bytes are copied */
    EFI_HANDOFF_SAID = 512,            /* of what was said on the EFI console */
    EFI_CONFIGURATION_LARGEST = 65536, /* \vmos\vmos.conf */
};

struct efi_piece {
    uint64_t address, size; /* size 0: there is none */
};

struct efi_handoff {
    uint64_t magic;
    uint64_t rsdp, device_tree;     /* from the configuration tables; 0: none */
    uint64_t firmware_calls;        /* how often the stub called the firmware, */
    uint64_t firmware_ticks;        /* and what counter_read() advanced meanwhile */
    uint64_t descriptor_size;       /* in the memory map [UEFI 2.10 §7.2.3] */
    uint64_t load_options_size;     /* before they were cut to what load_options holds */
    struct efi_piece map;           /* the memory map with which boot services were left */
    struct efi_piece configuration; /* \vmos\vmos.conf */
    struct efi_piece initrd;        /* \vmos\initrd.img */
    struct efi_piece load_options;  /* UTF-16 */
    uint32_t seed_size;             /* random bytes from the firmware's generator */
    uint32_t said_size;
    uint8_t seed[EFI_HANDOFF_SEED];
    char said[EFI_HANDOFF_SAID]; /* lines, each with a line feed */
};

#endif
