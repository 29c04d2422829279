/*
 * reset.c: a device brought to rest: by the reset of its class (virtio, NVMe), which needs no driver, and by that of
 * its function, which forgets everything [PCI Express Base 6.0 §6.6.2].
 *
 * A function that was reset has also forgotten where it is: what configuration space held is written again and read
 * back. Until that is so, the device is not known to be at rest.
 *
 * QEMU: -device nvme; virtio-*-pci behind a pcie-root-port.
 */
#include "device.h"

#include <lib/bytes.h>
#include <lib/log.h>
#include <machine/pci_space.h>

enum {
    CLASS_TRIES_MS = 100,
    RESET_MS = 100, /* before the function may be touched [§6.6.2] */
    READY_STEP_MS = 10,
    READY_TRIES = 100, /* after that it answers within a second [§6.6.1] */
    PENDING_TRIES_MS = 100,
};

/* ---- By class: past the gate, which is closed --------------------------------------------------------- */

/* Where the register is. Where its window was never opened nobody gave the device an address through it, unless
 * firmware did. NULL: there is nothing to be reset. */
static const struct device_window *place_of(struct device *device, unsigned index, uint64_t offset, unsigned width)
{
    if (device->left_running)
        device_window_place(device, index);
    return device_window_at(device, index, offset, width);
}

/* Waits until bits of a register read 0. A register of all ones belongs to nobody: nor is a device waited for that has
 * left meanwhile, whose CAP.TO reads as two minutes. */
static bool wait_clear(const struct device *device, const struct device_window *place, uint64_t offset, unsigned width,
                       uint32_t bits, unsigned ms)
{
    uint32_t ones = UINT32_MAX >> (32 - 8 * width);

    for (unsigned tried = 0;; tried++) {
        uint32_t value = register_read(place, offset, width);
        if ((value & bits) == 0)
            return true;
        if (tried == ms || (value == ones && device_is_absent(device)))
            return false;
        clock_spin(NANOSECONDS_PER_MILLISECOND);
    }
}

static bool reset_status(struct device *device, unsigned index, uint64_t offset, unsigned width)
{
    const struct device_window *place = place_of(device, index, offset, width);

    if (place == NULL)
        return true;
    register_write(place, offset, width, 0);
    return wait_clear(device, place, offset, width, UINT32_MAX, CLASS_TRIES_MS);
}

static bool reset_virtio(struct device *device)
{
    enum {
        LEGACY_STATUS = 0x12, /* [virtio 1.2 §4.1.4.10] */
        LEGACY_LAST_ID = 0x103f,
        COMMON_CONFIGURATION = 1,
        COMMON_STATUS = 0x14, /* [virtio 1.2 §4.1.4, §4.1.4.3] */
    };
    uint8_t capability[16] = {0};
    bool confirmed = true;

    for (unsigned i = 0; device_capability(device, PCI_CAPABILITY_VENDOR, i, capability, sizeof capability) != 0; i++)
        if (capability[3] == COMMON_CONFIGURATION)
            confirmed &= reset_status(device, capability[4], (uint64_t)load_le32(capability + 8) + COMMON_STATUS, 1);
    if (device->identity.device <= LEGACY_LAST_ID)
        confirmed &= reset_status(device, 0, LEGACY_STATUS, 1);
    return confirmed;
}

/* [NVMe Base 2.1 §3.5.1, §3.6.2]: a controller that is not enabled holds no queue. */
static bool reset_nvme(struct device *device)
{
    enum { CAP = 0x00, CC = 0x14, CSTS = 0x1c, ENABLE = 1 << 0, READY = 1 << 0, TO_UNIT_MS = 500 };
    const struct device_window *place = place_of(device, 0, CSTS, 4);

    if (place == NULL)
        return true;
    uint32_t configuration = register_read(place, CC, 4);
    unsigned timeout_ms = (register_read(place, CAP, 4) >> 24) * TO_UNIT_MS;
    if ((configuration & ENABLE) != 0)
        register_write(place, CC, 4, configuration & ~(uint32_t)ENABLE);
    return wait_clear(device, place, CSTS, 4, READY, timeout_ms != 0 ? timeout_ms : TO_UNIT_MS) &&
           (register_read(place, CC, 4) & ENABLE) == 0;
}

enum { VIRTIO_VENDOR = 0x1af4, CLASS_NVME = 0x010802 };

bool device_has_class_reset(const struct device *device)
{
    return device->function == NULL || device->identity.vendor == VIRTIO_VENDOR ||
           device->identity.class_code == CLASS_NVME;
}

bool device_class_reset(struct device *device)
{
    enum { MMIO_STATUS = 0x70 }; /* [virtio 1.2 §4.2.2] */

    if (device->function == NULL)
        return reset_status(device, 0, MMIO_STATUS, 4);
    if (device->identity.vendor == VIRTIO_VENDOR)
        return reset_virtio(device);
    return device->identity.class_code != CLASS_NVME || reset_nvme(device);
}

/* ---- By function --------------------------------------------------------------------------------------- */

static uint16_t read16(const struct device *device, unsigned offset)
{
    return pci_read16(device->access, device->function->where, offset);
}

static void write16(const struct device *device, unsigned offset, uint16_t value)
{
    pci_write16(device->access, device->function->where, offset, value);
}

static unsigned advanced_features(const struct pci_function *function)
{
    for (unsigned i = 0; i < function->capability_count; i++)
        if (function->capabilities[i].identifier == PCI_CAPABILITY_ADVANCED_FEATURES &&
            function->capabilities[i].length > PCI_FEATURES_STATUS)
            return function->capabilities[i].offset;
    return 0;
}

static bool express_can_reset(const struct device *device)
{
    unsigned offset = pci_express_field(device->function, PCI_EXPRESS_CAPABILITIES, 4);

    return offset != 0 &&
           (pci_read32(device->access, device->function->where, offset) & PCI_EXPRESS_CAPABILITIES_RESET) != 0;
}

static bool features_can(const struct device *device, uint8_t what)
{
    unsigned offset = advanced_features(device->function);

    return offset != 0 &&
           (pci_read8(device->access, device->function->where, offset + (unsigned)PCI_FEATURES_CAPABILITIES) & what) !=
               0;
}

bool device_has_function_reset(const struct device *device)
{
    return device->function != NULL && device->function->header_type == PCI_HEADER_NORMAL &&
           (express_can_reset(device) || features_can(device, PCI_FEATURES_HAS_RESET));
}

bool device_transactions_done(const struct device *device)
{
    const struct pci_access *access = device->access;
    unsigned express = pci_express_field(device->function, PCI_EXPRESS_STATUS, 2);
    unsigned features = features_can(device, PCI_FEATURES_HAS_PENDING) ? advanced_features(device->function) : 0;

    for (unsigned tried = 0;; tried++) {
        bool pending =
            (express != 0 && (read16(device, express) & PCI_EXPRESS_STATUS_PENDING) != 0) ||
            (features != 0 && (pci_read8(access, device->function->where, features + (unsigned)PCI_FEATURES_STATUS) &
                               PCI_FEATURES_PENDING) != 0);
        if (!pending)
            return true;
        if (tried == PENDING_TRIES_MS)
            return false;
        clock_spin(NANOSECONDS_PER_MILLISECOND);
    }
}

/* Until then the function says "not ready" or nothing at all. */
static bool wait_ready(const struct device *device)
{
    const struct pci_function *function = device->function;
    uint32_t wanted = (uint32_t)function->device << 16 | function->vendor, id = UINT32_MAX;

    clock_spin(RESET_MS * NANOSECONDS_PER_MILLISECOND);
    for (unsigned tried = 0; tried <= READY_TRIES; tried++) {
        id = pci_read32(device->access, function->where, PCI_VENDOR);
        if (id == wanted)
            return true;
        if (id != UINT32_MAX && (id & 0xffff) != 1)
            break;
        clock_spin(READY_STEP_MS * NANOSECONDS_PER_MILLISECOND);
    }
    if (id == UINT32_MAX || (id & 0xffff) == 1)
        log_error(device->name, "is not ready %u ms after its function was reset: it %s",
                  (unsigned)(RESET_MS + READY_TRIES * READY_STEP_MS),
                  id == UINT32_MAX ? "does not answer" : "asks for patience still");
    else
        log_error(device->name, "answers as %04x:%04x after its function was reset", id & 0xffff, id >> 16);
    return false;
}

/* What of configuration space belongs to us and does not survive [§6.6.2]. Messages are off when a function is reset
 * and are set up anew by its next owner. */
struct remembered {
    uint16_t command, control, control2;
    uint32_t cache; /* line size and latency timer */
    uint8_t line;
};

static bool restore(struct device *device, const struct remembered *was)
{
    const struct pci_access *access = device->access;
    struct pci_address where = device->function->where;
    unsigned control = pci_express_field(device->function, PCI_EXPRESS_CONTROL, 2);
    unsigned control2 = pci_express_field(device->function, PCI_EXPRESS_CONTROL2, 2);

    write16(device, PCI_COMMAND, 0);
    bool kept = pci_write_bars(access, device->function);
    pci_write8(access, where, PCI_CACHE_LINE, (uint8_t)was->cache);
    pci_write8(access, where, PCI_LATENCY_TIMER, (uint8_t)(was->cache >> 8));
    pci_write8(access, where, PCI_INTERRUPT_LINE, was->line);
    if (control != 0)
        write16(device, control, was->control);
    if (control2 != 0)
        write16(device, control2, was->control2);
    write16(device, PCI_COMMAND, was->command);
    kept &= read16(device, PCI_COMMAND) == was->command && (control == 0 || read16(device, control) == was->control) &&
            (control2 == 0 || read16(device, control2) == was->control2);
    if (!kept)
        log_error(device->name, "does not keep its configuration after its function was reset");
    return kept;
}

bool device_function_reset(struct device *device)
{
    const struct pci_access *access = device->access;
    struct pci_address where = device->function->where;
    unsigned control = pci_express_field(device->function, PCI_EXPRESS_CONTROL, 2);
    unsigned control2 = pci_express_field(device->function, PCI_EXPRESS_CONTROL2, 2);
    struct remembered was = {
        .command = read16(device, PCI_COMMAND),
        .control = control != 0 ? read16(device, control) & (uint16_t)~PCI_EXPRESS_CONTROL_RESET : 0,
        .control2 = control2 != 0 ? read16(device, control2) : 0,
        .cache = pci_read16(access, where, PCI_CACHE_LINE),
        .line = pci_read8(access, where, PCI_INTERRUPT_LINE),
    };

    if (express_can_reset(device))
        write16(device, control, was.control | PCI_EXPRESS_CONTROL_RESET);
    else
        pci_write8(access, where, advanced_features(device->function) + (unsigned)PCI_FEATURES_CONTROL,
                   PCI_FEATURES_RESET);
    if (!wait_ready(device) || !restore(device, &was))
        return false;
    log_debug(device->name, "its function was reset and has its configuration again");
    return true;
}
