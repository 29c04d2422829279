/*
 * fw_cfg.h: QEMU's firmware configuration device, which keeps named files (microvm's device tree: etc/fdt).
 * Always there on q35, microvm and both virt machines [QEMU docs/specs/fw_cfg.rst].
 *
 * Pure protocol: registers and memory are reached through `struct fw_cfg_access`, which the home supplies.
 * The device belongs to the hypervisor, and so do its answers: sizes are bounded by what the caller has room for.
 */
#ifndef MACHINE_FW_CFG_H
#define MACHINE_FW_CFG_H

#include <vmos/abi.h>

enum {
    FW_CFG_PORT = 0x510, /* x64: where the registers begin among the ports */
    FW_CFG_NAME_SIZE = 56,
    FW_CFG_MAX_FILES = 256,
};

struct fw_cfg_access {
    bool ports; /* the layout of the registers is that of x64's ports, not the memory-mapped one */
    /* Offsets are from the first register. Values go as the CPU, little-endian, would write them. What was
     * written to `work` before must be visible to the device when write32 takes effect. */
    uint8_t (*read8)(const struct fw_cfg_access *access, unsigned offset);
    void (*write16)(const struct fw_cfg_access *access, unsigned offset, uint16_t value);
    void (*write32)(const struct fw_cfg_access *access, unsigned offset, uint32_t value);
    /* Memory that the device may read and write, at least FW_CFG_LEAST_WORK bytes, the caller's; NULL: no DMA. */
    uint8_t *work;
    uint64_t work_physical;
    uint32_t work_size;
};

#define FW_CFG_LEAST_WORK 80u

struct fw_cfg {
    const struct fw_cfg_access *access;
    bool dma;
};

struct fw_cfg_file {
    uint16_t key;
    uint32_t size;
};

/* STATUS_NOT_FOUND when nothing answers with the device's signature. */
enum status fw_cfg_open(struct fw_cfg *device, const struct fw_cfg_access *access);
/* STATUS_NOT_FOUND: no such file. */
enum status fw_cfg_find(const struct fw_cfg *device, const char *name, struct fw_cfg_file *file);
/* `size` bytes from `offset` on. STATUS_OUT_OF_RANGE: the file is shorter. STATUS_DEVICE_FAULT and
 * STATUS_TIMED_OUT: the device said so, or nothing; `to` is then undefined. */
enum status fw_cfg_read(const struct fw_cfg *device, const struct fw_cfg_file *file, uint32_t offset, void *to,
                        uint32_t size);

/* etc/fdt without its padding, its total size corrected. *size becomes what it needs; with less room than that
 * nothing is read and the result is STATUS_NO_MEMORY. STATUS_INVALID: the file is no device tree. */
enum status fw_cfg_read_tree(const struct fw_cfg *device, void *to, uint32_t room, uint32_t *size);

#endif
