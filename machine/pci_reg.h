/*
 * pci_reg.h: registers of PCI configuration space [PCI Express Base 6.0 §7.5, PCI Local Bus 3.0 §6].
 */
#ifndef MACHINE_PCI_REG_H
#define MACHINE_PCI_REG_H

enum {
    PCI_VENDOR = 0x00,  /* 16 */
    PCI_DEVICE = 0x02,  /* 16 */
    PCI_COMMAND = 0x04, /* 16 */
    PCI_COMMAND_IO = 1 << 0,
    PCI_COMMAND_MEMORY = 1 << 1,
    PCI_COMMAND_MASTER = 1 << 2,
    PCI_COMMAND_INTX_DISABLE = 1 << 10,
    PCI_STATUS = 0x06, /* 16 */
    PCI_STATUS_INTERRUPT = 1 << 3,
    PCI_STATUS_CAPABILITIES = 1 << 4,
    PCI_STATUS_ERRORS = 0xf900, /* written 1 to clear */
    PCI_REVISION = 0x08,        /* 8 */
    PCI_CLASS = 0x09,           /* 24 */
    PCI_CACHE_LINE = 0x0c,      /* 8 */
    PCI_LATENCY_TIMER = 0x0d,   /* 8 */
    PCI_HEADER_TYPE = 0x0e,     /* 8 */
    PCI_HEADER_MULTIFUNCTION = 0x80,
    PCI_HEADER_NORMAL = 0,
    PCI_HEADER_BRIDGE = 1,
    PCI_BAR0 = 0x10, /* 32, six of them; two in a bridge */
    PCI_BAR_IS_IO = 1 << 0,
    PCI_BAR_TYPE_MASK = 3 << 1, /* memory: 0 = 32 bits, 2 = 64 bits, others reserved */
    PCI_BAR_TYPE_64 = 2 << 1,
    PCI_BAR_PREFETCHABLE = 1 << 3,
    PCI_PRIMARY_BUS = 0x18,
    PCI_SECONDARY_BUS = 0x19,
    PCI_SUBORDINATE_BUS = 0x1a,
    PCI_IO_BASE = 0x1c,
    PCI_IO_LIMIT = 0x1d,
    PCI_SECONDARY_STATUS = 0x1e, /* 16, as PCI_STATUS */
    PCI_MEMORY_BASE = 0x20,
    PCI_MEMORY_LIMIT = 0x22,
    PCI_PREFETCH_BASE = 0x24,
    PCI_PREFETCH_LIMIT = 0x26,
    PCI_PREFETCH_BASE_HIGH = 0x28,
    PCI_PREFETCH_LIMIT_HIGH = 0x2c,
    PCI_SUBSYSTEM_VENDOR = 0x2c,
    PCI_SUBSYSTEM = 0x2e,
    PCI_IO_BASE_HIGH = 0x30,
    PCI_IO_LIMIT_HIGH = 0x32,
    PCI_CAPABILITIES = 0x34,
    PCI_FIRST_CAPABILITY = 0x40,
    PCI_FIRST_EXTENDED_CAPABILITY = 0x100,
    PCI_INTERRUPT_LINE = 0x3c,
    PCI_INTERRUPT_PIN = 0x3d,
    PCI_BRIDGE_CONTROL = 0x3e,

    PCI_CAPABILITY_POWER = 0x01,
    PCI_CAPABILITY_MSI = 0x05,
    PCI_CAPABILITY_VENDOR = 0x09,
    PCI_CAPABILITY_EXPRESS = 0x10,
    PCI_CAPABILITY_MSIX = 0x11,
    PCI_CAPABILITY_ADVANCED_FEATURES = 0x13,
    PCI_CAPABILITY_ENHANCED_ALLOCATION = 0x14,
    PCI_EXTENDED_ERRORS = 0x0001, /* Advanced Error Reporting */

    PCI_EXPRESS_FLAGS = 2, /* from the capability; 16 */
    PCI_EXPRESS_FLAGS_SLOT = 1 << 8,
    PCI_EXPRESS_TYPE_ROOT_PORT = 4, /* bits 7:4 */
    PCI_EXPRESS_TYPE_DOWNSTREAM_PORT = 6,
    PCI_EXPRESS_TYPE_TO_PCI_BRIDGE = 7,

    PCI_EXPRESS_CAPABILITIES = 4, /* 32 */
    PCI_EXPRESS_CAPABILITIES_RESET = 1 << 28,
    PCI_EXPRESS_CONTROL = 8, /* 16 */
    PCI_EXPRESS_CONTROL_RESET = 1 << 15,
    PCI_EXPRESS_STATUS = 0x0a,            /* 16 */
    PCI_EXPRESS_STATUS_ERRORS = 0x0f,     /* written 1 to clear */
    PCI_EXPRESS_STATUS_PENDING = 1 << 5,  /* transactions */
    PCI_EXPRESS_LINK_CAPABILITIES = 0x0c, /* 32 */
    PCI_EXPRESS_LINK_TELLS_ACTIVE = 1 << 20,
    PCI_EXPRESS_LINK_STATUS = 0x12, /* 16 */
    PCI_EXPRESS_LINK_ACTIVE = 1 << 13,
    PCI_EXPRESS_SLOT_CAPABILITIES = 0x14, /* 32 */
    PCI_SLOT_HAS_BUTTON = 1 << 0,
    PCI_SLOT_HAS_POWER_CONTROLLER = 1 << 1,
    PCI_SLOT_HOT_PLUG = 1 << 6,
    PCI_SLOT_NO_COMPLETION = 1 << 18,
    PCI_EXPRESS_SLOT_CONTROL = 0x18, /* 16 */
    PCI_SLOT_ATTENTION_OFF = 3 << 6,
    PCI_SLOT_INDICATOR_OFF = 3 << 8,
    PCI_SLOT_POWER_OFF = 1 << 10,
    PCI_EXPRESS_SLOT_STATUS = 0x1a, /* 16 */
    PCI_SLOT_BUTTON_PRESSED = 1 << 0,
    PCI_SLOT_POWER_FAULT = 1 << 1,
    PCI_SLOT_COMMAND_COMPLETED = 1 << 4,
    PCI_SLOT_PRESENT = 1 << 6,
    PCI_SLOT_EVENTS = 0x011f, /* written 1 to clear */
    PCI_EXPRESS_CONTROL2 = 0x28,

    PCI_FEATURES_CAPABILITIES = 3, /* of Advanced Features; 8 */
    PCI_FEATURES_HAS_PENDING = 1 << 0,
    PCI_FEATURES_HAS_RESET = 1 << 1,
    PCI_FEATURES_CONTROL = 4, /* 8 */
    PCI_FEATURES_RESET = 1 << 0,
    PCI_FEATURES_STATUS = 5, /* 8 */
    PCI_FEATURES_PENDING = 1 << 0,

    PCI_ERRORS_UNCORRECTABLE = 0x04, /* from the extended capability; 32, written 1 to clear */
    PCI_ERRORS_CORRECTABLE = 0x10,

    PCI_POWER_CONTROL = 4,         /* from the capability; 16 */
    PCI_POWER_STATE_MASK = 3 << 0, /* D0..D3hot */

    PCI_MSIX_CONTROL = 2, /* from the capability; 16 */
    PCI_MSIX_CONTROL_ENABLE = 1 << 15,
    PCI_MSIX_CONTROL_MASK_ALL = 1 << 14,
    PCI_MSIX_CONTROL_LAST = 0x7ff, /* number of vectors - 1 */
    PCI_MSIX_TABLE = 4,
    PCI_MSIX_PENDING = 8,
    PCI_MSIX_BAR_MASK = 7,
    PCI_MSIX_SIZE = 12,       /* of the capability */
    PCI_MSIX_ENTRY_SIZE = 16, /* address low, address high, data, control */
    PCI_MSIX_ENTRY_MASKED = 1 << 0,

    PCI_MSI_CONTROL = 2,
    PCI_MSI_CONTROL_ENABLE = 1 << 0,
    PCI_MSI_CONTROL_CAPABLE_SHIFT = 1, /* 3 bits: log2 of the vectors that the function asks for */
    PCI_MSI_CONTROL_COUNT_SHIFT = 4,   /* 3 bits: log2 of those that it may use */
    PCI_MSI_CONTROL_WIDE = 1 << 7,
    PCI_MSI_CONTROL_MASKABLE = 1 << 8,
    PCI_MSI_ADDRESS = 4,
};

#endif
