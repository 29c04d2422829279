/*
 * efi.h: the tables and protocols of UEFI that the stub uses, and the stub's two ends in ARCH/efi_entry.S
 * [UEFI Specification 2.10; the paragraph stands at each].
 *
 * Functions that nobody here calls are `unused`; the offsets of those that somebody does are asserted.
 */
#ifndef PLATFORM_EFI_H
#define PLATFORM_EFI_H

#include <arch.h>
#include <stddef.h>
#include <stdint.h>

typedef uint64_t efi_status; /* Appendix D */
typedef void *efi_handle;

#define EFI_ERROR             (UINT64_C(1) << 63)
#define EFI_SUCCESS           UINT64_C(0)
#define EFI_LOAD_ERROR        (EFI_ERROR | 1)
#define EFI_INVALID_PARAMETER (EFI_ERROR | 2)
#define EFI_UNSUPPORTED       (EFI_ERROR | 3)
#define EFI_BUFFER_TOO_SMALL  (EFI_ERROR | 5)
#define EFI_DEVICE_ERROR      (EFI_ERROR | 7)
#define EFI_OUT_OF_RESOURCES  (EFI_ERROR | 9)
#define EFI_NOT_FOUND         (EFI_ERROR | 14)

struct efi_guid {
    uint32_t a;
    uint16_t b, c;
    uint8_t d[8];
};

/* §12.4 */
struct efi_text_output {
    void *unused;
    efi_status(ARCH_EFI_CALL *output_string)(struct efi_text_output *self, const uint16_t *text);
};

enum { EFI_LOADER_DATA = 2 };        /* memory type, §7.2.1 */
enum { EFI_ALLOCATE_ANY_PAGES = 0 }; /* §7.2.1 */

/* §4.4; the header's 24 bytes come first */
struct efi_boot_services {
    void *header[3];
    void *unused_priority[2];
    efi_status(ARCH_EFI_CALL *allocate_pages)(uint32_t how, uint32_t type, uint64_t pages, uint64_t *address);
    efi_status(ARCH_EFI_CALL *free_pages)(uint64_t address, uint64_t pages);
    efi_status(ARCH_EFI_CALL *get_memory_map)(uint64_t *size, void *map, uint64_t *key, uint64_t *descriptor_size,
                                              uint32_t *version);
    void *unused_pool_events_protocols[11];
    efi_status(ARCH_EFI_CALL *handle_protocol)(efi_handle handle, const struct efi_guid *protocol, void **interface);
    void *unused_images[9];
    efi_status(ARCH_EFI_CALL *exit_boot_services)(efi_handle image, uint64_t key);
    void *unused_more[10];
    efi_status(ARCH_EFI_CALL *locate_protocol)(const struct efi_guid *protocol, void *registration, void **interface);
};
_Static_assert(offsetof(struct efi_boot_services, allocate_pages) == 0x28, "UEFI 2.10 §4.4");
_Static_assert(offsetof(struct efi_boot_services, handle_protocol) == 0x98, "UEFI 2.10 §4.4");
_Static_assert(offsetof(struct efi_boot_services, exit_boot_services) == 0xe8, "UEFI 2.10 §4.4");
_Static_assert(offsetof(struct efi_boot_services, locate_protocol) == 0x140, "UEFI 2.10 §4.4");

/* §4.6 */
struct efi_configuration_table {
    struct efi_guid guid;
    void *table;
};
_Static_assert(sizeof(struct efi_configuration_table) == 24, "UEFI 2.10 §4.6");

/* §4.3 */
struct efi_system_table {
    void *header[3];
    void *firmware_vendor;
    uint32_t firmware_revision;
    efi_handle console_in_handle;
    void *console_in;
    efi_handle console_out_handle;
    struct efi_text_output *console_out;
    efi_handle standard_error_handle;
    struct efi_text_output *standard_error;
    void *runtime_services;
    struct efi_boot_services *boot_services;
    uint64_t table_count;
    struct efi_configuration_table *tables;
};
_Static_assert(offsetof(struct efi_system_table, console_out) == 0x40, "UEFI 2.10 §4.3");
_Static_assert(offsetof(struct efi_system_table, boot_services) == 0x60, "UEFI 2.10 §4.3");
_Static_assert(offsetof(struct efi_system_table, tables) == 0x70, "UEFI 2.10 §4.3");

/* §9.1 */
struct efi_loaded_image {
    uint32_t revision;
    efi_handle parent;
    struct efi_system_table *system;
    efi_handle device;
    void *file_path, *reserved;
    uint32_t load_options_size;
    void *load_options;
};
_Static_assert(offsetof(struct efi_loaded_image, device) == 0x18, "UEFI 2.10 §9.1");
_Static_assert(offsetof(struct efi_loaded_image, load_options) == 0x38, "UEFI 2.10 §9.1");

enum { EFI_FILE_READ = 1 };         /* mode, §13.5.2 */
enum { EFI_FILE_DIRECTORY = 0x10 }; /* attribute, §13.5.16 */

/* §13.5.16 */
struct efi_file_info {
    uint64_t size; /* of this structure and the name behind it */
    uint64_t file_size, physical_size;
    uint8_t times[48];
    uint64_t attributes;
    uint16_t name[256];
};
_Static_assert(offsetof(struct efi_file_info, attributes) == 72, "UEFI 2.10 §13.5.16");

/* §13.5.1 */
struct efi_file {
    uint64_t revision;
    efi_status(ARCH_EFI_CALL *open)(struct efi_file *self, struct efi_file **opened, const uint16_t *name,
                                    uint64_t mode, uint64_t attributes);
    efi_status(ARCH_EFI_CALL *close)(struct efi_file *self);
    void *unused_delete;
    efi_status(ARCH_EFI_CALL *read)(struct efi_file *self, uint64_t *size, void *buffer);
    void *unused_write_position[3];
    efi_status(ARCH_EFI_CALL *get_info)(struct efi_file *self, const struct efi_guid *type, uint64_t *size, void *info);
};
_Static_assert(offsetof(struct efi_file, read) == 0x20, "UEFI 2.10 §13.5.1");
_Static_assert(offsetof(struct efi_file, get_info) == 0x40, "UEFI 2.10 §13.5.1");

/* §13.4 */
struct efi_file_system {
    uint64_t revision;
    efi_status(ARCH_EFI_CALL *open_volume)(struct efi_file_system *self, struct efi_file **root);
};

/* §37.5 */
struct efi_random {
    void *unused;
    efi_status(ARCH_EFI_CALL *get)(struct efi_random *self, const struct efi_guid *algorithm, uint64_t size,
                                   void *bytes);
};

/* RISCV_EFI_BOOT_PROTOCOL [RISC-V UEFI Protocol Specification 1.0 §3] */
struct efi_riscv_boot {
    uint64_t revision;
    efi_status(ARCH_EFI_CALL *get_boot_hart)(struct efi_riscv_boot *self, uint64_t *hart);
};

/* efi_stub.c; called by ARCH/efi_entry.S, where the image was loaded, on the firmware's stack. Comes back only with the
 * error that the firmware is to be given. `counter`: counter_read() at the first instruction. */
efi_status efi_main(efi_handle image, struct efi_system_table *system, uint64_t counter);

/* ARCH/efi_entry.S: boot services have been left; `handoff` is a struct efi_handoff. From here on to kernel_main(). */
_Noreturn void efi_leave(const void *handoff, uint64_t counter, uint64_t hart);

#endif
