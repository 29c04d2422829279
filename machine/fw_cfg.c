/*
 * fw_cfg.c: reads files of QEMU's firmware configuration device. Contract in fw_cfg.h.
 *
 * By DMA where the device has it: a control structure in memory names key, operation, length and address, and
 * writing its address starts the transfer. A byte at a time through the data register otherwise: slow
 * (a second for the 1 MiB that microvm's tree is padded to), and right.
 */
#include <machine/fw_cfg.h>

#include <machine/readers.h>
#include <lib/bytes.h>
#include <lib/log.h>
#include <lib/string.h>

#define WHO "fw_cfg"

enum { /* register offsets: memory-mapped, and among the ports */
       MMIO_DATA = 0,
       MMIO_SELECTOR = 8, /* big-endian */
       MMIO_DMA = 16,     /* 64 bits, big-endian; the low half starts the transfer */
       PORT_SELECTOR = 0, /* little-endian */
       PORT_DATA = 1,
       PORT_DMA = 4,
};

enum { /* keys */
       KEY_SIGNATURE = 0x00,
       KEY_FEATURES = 0x01,
       KEY_DIRECTORY = 0x19,
};

enum { FEATURE_DMA = 1 << 1 };

enum { /* the control structure, all big-endian: control 32, length 32, address 64 */
       CONTROL = 0,
       LENGTH = 4,
       ADDRESS = 8,
       CONTROL_SIZE = 16,
       CONTROL_ERROR = 1 << 0,
       CONTROL_READ = 1 << 1,
       CONTROL_SKIP = 1 << 2,
       CONTROL_SELECT = 1 << 3, /* the key is in bits 31:16 */
};

enum { /* a directory entry */
       ENTRY_FILE_SIZE = 0,
       ENTRY_KEY = 4,
       ENTRY_NAME = 8,
       ENTRY_SIZE = ENTRY_NAME + FW_CFG_NAME_SIZE,
};

_Static_assert(CONTROL_SIZE + ENTRY_SIZE == FW_CFG_LEAST_WORK, "a directory entry fits behind the control structure");

/* QEMU is done when the register write returns; whatever else answers here gets this many looks. */
enum { MAX_POLLS = 1 << 20 };

/* ---- One transfer ------------------------------------------------------------------------------------------ */

static void select_key(const struct fw_cfg_access *access, uint16_t key)
{
    if (access->ports)
        access->write16(access, PORT_SELECTOR, key);
    else
        access->write16(access, MMIO_SELECTOR, (uint16_t)(key << 8 | key >> 8));
}

static uint8_t data_byte(const struct fw_cfg_access *access)
{
    return access->read8(access, access->ports ? PORT_DATA : MMIO_DATA);
}

static uint32_t swapped(uint32_t value)
{
    uint8_t bytes[4];

    store_be32(bytes, value);
    return load_le32(bytes);
}

static enum status transfer(const struct fw_cfg_access *access, uint32_t control, uint32_t length)
{
    unsigned dma = access->ports ? PORT_DMA : MMIO_DMA;
    uint64_t target = access->work_physical + CONTROL_SIZE;

    store_be32(access->work + CONTROL, control);
    store_be32(access->work + LENGTH, length);
    store_be32(access->work + ADDRESS, (uint32_t)(target >> 32));
    store_be32(access->work + ADDRESS + 4, (uint32_t)target);
    access->write32(access, dma, swapped((uint32_t)(access->work_physical >> 32)));
    access->write32(access, dma + 4, swapped((uint32_t)access->work_physical));

    for (unsigned poll = 0; poll < MAX_POLLS; poll++) {
        uint8_t bytes[4];
        for (unsigned i = 0; i < sizeof bytes; i++)
            bytes[i] = ((const volatile uint8_t *)access->work)[CONTROL + i];
        uint32_t answer = load_be32(bytes);
        if ((answer & CONTROL_ERROR) != 0) {
            log_warn(WHO, "the device refuses a transfer of %u bytes (control 0x%x)", length, control);
            return STATUS_DEVICE_FAULT;
        }
        if (answer == 0)
            return STATUS_OK;
    }
    log_warn(WHO, "the device does not finish a transfer of %u bytes (control 0x%x)", length, control);
    return STATUS_TIMED_OUT;
}

/* ---- Reading ------------------------------------------------------------------------------------------------- */

/* Goes on reading where the device is; `select` is the control word's key part the first time, then 0. */
static enum status read_on(const struct fw_cfg *device, uint32_t select, void *to, uint32_t size)
{
    const struct fw_cfg_access *access = device->access;
    uint8_t *at = to;

    if (!device->dma) {
        while (size-- != 0)
            *at++ = data_byte(access);
        return STATUS_OK;
    }
    uint32_t room = access->work_size - CONTROL_SIZE;
    while (size != 0) {
        uint32_t part = size < room ? size : room;
        enum status status = transfer(access, select | CONTROL_READ, part);
        if (status != STATUS_OK)
            return status;
        memcpy(at, access->work + CONTROL_SIZE, part);
        at += part;
        size -= part;
        select = 0;
    }
    return STATUS_OK;
}

static enum status read_key(const struct fw_cfg *device, uint16_t key, uint32_t offset, void *to, uint32_t size)
{
    uint32_t select = (uint32_t)key << 16 | CONTROL_SELECT;

    if (!device->dma) {
        select_key(device->access, key);
        while (offset-- != 0)
            (void)data_byte(device->access);
    } else if (offset != 0) {
        enum status status = transfer(device->access, select | CONTROL_SKIP, offset);
        if (status != STATUS_OK)
            return status;
        select = 0;
    }
    return read_on(device, select, to, size);
}

enum status fw_cfg_open(struct fw_cfg *device, const struct fw_cfg_access *access)
{
    uint8_t signature[4], features[4];

    *device = (struct fw_cfg){.access = access};
    (void)read_key(device, KEY_SIGNATURE, 0, signature, sizeof signature); /* without DMA it cannot fail */
    if (memcmp(signature, "QEMU", sizeof signature) != 0)
        return STATUS_NOT_FOUND;
    (void)read_key(device, KEY_FEATURES, 0, features, sizeof features);
    device->dma =
        (load_le32(features) & FEATURE_DMA) != 0 && access->work != NULL && access->work_size >= FW_CFG_LEAST_WORK;
    return STATUS_OK;
}

enum status fw_cfg_find(const struct fw_cfg *device, const char *name, struct fw_cfg_file *file)
{
    uint8_t count_bytes[4] = {0}, entry[ENTRY_SIZE];
    enum status status = read_key(device, KEY_DIRECTORY, 0, count_bytes, sizeof count_bytes);
    uint32_t count = load_be32(count_bytes);

    if (status != STATUS_OK)
        return status;
    if (count > FW_CFG_MAX_FILES) {
        log_warn(WHO, "the directory claims %u files; %d are looked at", count, FW_CFG_MAX_FILES);
        count = FW_CFG_MAX_FILES;
    }
    for (uint32_t i = 0; i < count; i++) {
        status = read_on(device, 0, entry, sizeof entry);
        if (status != STATUS_OK)
            return status;
        entry[ENTRY_SIZE - 1] = '\0';
        if (strcmp((const char *)entry + ENTRY_NAME, name) == 0) {
            *file =
                (struct fw_cfg_file){.key = load_be16(entry + ENTRY_KEY), .size = load_be32(entry + ENTRY_FILE_SIZE)};
            return STATUS_OK;
        }
    }
    return STATUS_NOT_FOUND;
}

enum status fw_cfg_read(const struct fw_cfg *device, const struct fw_cfg_file *file, uint32_t offset, void *to,
                        uint32_t size)
{
    if (offset > file->size || size > file->size - offset)
        return STATUS_OUT_OF_RANGE;
    return read_key(device, file->key, offset, to, size);
}

enum status fw_cfg_read_tree(const struct fw_cfg *device, void *to, uint32_t room, uint32_t *size)
{
    uint8_t header[40];
    struct fw_cfg_file file;
    enum status status = fw_cfg_find(device, "etc/fdt", &file);

    *size = 0;
    if (status != STATUS_OK)
        return status;
    status = file.size < sizeof header ? STATUS_INVALID : fw_cfg_read(device, &file, 0, header, sizeof header);
    if (status != STATUS_OK)
        return status;
    uint32_t used = fdt_used_size(header);
    if (used == 0 || used > file.size) {
        log_warn(WHO, "etc/fdt, %u bytes, is no device tree of that size; it is not used", file.size);
        return STATUS_INVALID;
    }
    *size = used;
    if (used > room)
        return STATUS_NO_MEMORY;
    status = fw_cfg_read(device, &file, 0, to, used);
    if (status == STATUS_OK) {
        /* The header that was checked stays, whatever the device said the second time. */
        memcpy(to, header, sizeof header);
        fdt_set_total_size(to, used);
    }
    return status;
}
