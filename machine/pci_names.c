/*
 * pci_names.c: what a function is called: the clouds' devices and the virtual machines' own, then by class.
 *
 * Identifiers are those that the clouds' own images and public drivers match on, and the PCI ID repository's.
 */
#include "pci_local.h"

#define VENDOR_AMAZON    0x1d0f
#define VENDOR_GOOGLE    0x1ae0
#define VENDOR_INTEL     0x8086
#define VENDOR_MELLANOX  0x15b3
#define VENDOR_MICROSOFT 0x1414
#define VENDOR_QEMU_VGA  0x1234
#define VENDOR_REDHAT    0x1b36
#define VENDOR_VIRTIO    0x1af4
#define VENDOR_VMWARE    0x15ad

struct name {
    uint16_t vendor, device;
    const char *text;
};

static const struct name names[] = {
    {VENDOR_AMAZON, 0x0ec2, "Amazon ENA network adapter (PF)"},
    {VENDOR_AMAZON, 0x1ec2, "Amazon ENA network adapter (PF, LLQ)"},
    {VENDOR_AMAZON, 0x8061, "Amazon EBS NVMe controller"},
    {VENDOR_AMAZON, 0x8250, "Amazon serial port"},
    {VENDOR_AMAZON, 0xcd00, "Amazon instance store NVMe controller"},
    {VENDOR_AMAZON, 0xcd01, "Amazon instance store NVMe controller"},
    {VENDOR_AMAZON, 0xcd02, "Amazon instance store NVMe controller"},
    {VENDOR_AMAZON, 0xec20, "Amazon ENA network adapter"},
    {VENDOR_AMAZON, 0xec21, "Amazon ENA network adapter (LLQ)"},
    {VENDOR_AMAZON, 0xefa0, "Amazon EFA fabric adapter"},
    {VENDOR_AMAZON, 0xefa1, "Amazon EFA fabric adapter"},
    {VENDOR_AMAZON, 0xefa2, "Amazon EFA fabric adapter"},
    {VENDOR_GOOGLE, 0x001f, "Google Persistent Disk or local SSD NVMe controller"},
    {VENDOR_GOOGLE, 0x0042, "Google gVNIC network adapter"},
    {VENDOR_INTEL, 0x100e, "Intel 82540EM (e1000) network adapter"},
    {VENDOR_INTEL, 0x10c9, "Intel 82576 (igb) network adapter"},
    {VENDOR_INTEL, 0x10ca, "Intel 82576 (igb) network adapter VF"},
    {VENDOR_INTEL, 0x10d3, "Intel 82574L (e1000e) network adapter"},
    {VENDOR_INTEL, 0x10ed, "Intel 82599 network adapter VF"},
    {VENDOR_INTEL, 0x1237, "Intel 440FX host bridge"},
    {VENDOR_INTEL, 0x244e, "Intel 82801 PCI bridge"},
    {VENDOR_INTEL, 0x2668, "Intel ICH6 HD audio controller"},
    {VENDOR_INTEL, 0x2918, "Intel ICH9 LPC bridge"},
    {VENDOR_INTEL, 0x2922, "Intel ICH9 AHCI SATA controller"},
    {VENDOR_INTEL, 0x2930, "Intel ICH9 SMBus controller"},
    {VENDOR_INTEL, 0x29c0, "Intel Q35 host bridge"},
    {VENDOR_INTEL, 0x3420, "Intel X58 PCI Express root port"},
    {VENDOR_INTEL, 0x5845, "QEMU NVMe controller"},
    {VENDOR_INTEL, 0x7000, "Intel PIIX3 ISA bridge"},
    {VENDOR_INTEL, 0x7010, "Intel PIIX3 IDE controller"},
    {VENDOR_INTEL, 0x7110, "Intel PIIX4 ISA bridge"},
    {VENDOR_INTEL, 0x7113, "Intel PIIX4 power management"},
    {VENDOR_MELLANOX, 0x1004, "Mellanox ConnectX-3 network adapter VF"},
    {VENDOR_MELLANOX, 0x1014, "Mellanox ConnectX-4 network adapter VF"},
    {VENDOR_MELLANOX, 0x1016, "Mellanox ConnectX-4 Lx network adapter VF"},
    {VENDOR_MELLANOX, 0x1018, "Mellanox ConnectX-5 network adapter VF"},
    {VENDOR_MELLANOX, 0x101a, "Mellanox ConnectX-5 Ex network adapter VF"},
    {VENDOR_MICROSOFT, 0x00a9, "Microsoft Azure local NVMe controller"},
    {VENDOR_MICROSOFT, 0x00b9, "Microsoft Azure MANA network adapter (PF)"},
    {VENDOR_MICROSOFT, 0x00ba, "Microsoft Azure MANA network adapter"},
    {VENDOR_MICROSOFT, 0x00c1, "Microsoft Azure MANA network adapter (PF)"},
    {VENDOR_MICROSOFT, 0x5353, "Microsoft Hyper-V display"},
    {VENDOR_MICROSOFT, 0xb111, "Microsoft Azure NVMe controller"},
    {VENDOR_QEMU_VGA, 0x1111, "QEMU standard VGA"},
    {VENDOR_QEMU_VGA, 0x11e8, "QEMU edu teaching device"},
    {VENDOR_REDHAT, 0x0001, "QEMU PCI bridge"},
    {VENDOR_REDHAT, 0x0002, "QEMU PCI serial port"},
    {VENDOR_REDHAT, 0x0003, "QEMU PCI serial port (two)"},
    {VENDOR_REDHAT, 0x0004, "QEMU PCI serial port (four)"},
    {VENDOR_REDHAT, 0x0005, "QEMU PCI test device"},
    {VENDOR_REDHAT, 0x0008, "QEMU PCI Express host bridge"},
    {VENDOR_REDHAT, 0x0009, "QEMU PCI expander bridge"},
    {VENDOR_REDHAT, 0x000b, "QEMU PCI Express expander bridge"},
    {VENDOR_REDHAT, 0x000c, "QEMU PCI Express root port"},
    {VENDOR_REDHAT, 0x000d, "QEMU USB controller (xHCI)"},
    {VENDOR_REDHAT, 0x000e, "QEMU PCI Express-to-PCI bridge"},
    {VENDOR_REDHAT, 0x0010, "QEMU NVMe controller"},
    {VENDOR_REDHAT, 0x0014, "QEMU RISC-V IOMMU"},
    {VENDOR_REDHAT, 0x0100, "QEMU QXL display"},
    {VENDOR_VIRTIO, 0x1000, "virtio network device"},
    {VENDOR_VIRTIO, 0x1001, "virtio block device"},
    {VENDOR_VIRTIO, 0x1002, "virtio memory balloon"},
    {VENDOR_VIRTIO, 0x1003, "virtio console"},
    {VENDOR_VIRTIO, 0x1004, "virtio SCSI host"},
    {VENDOR_VIRTIO, 0x1005, "virtio entropy device"},
    {VENDOR_VIRTIO, 0x1009, "virtio 9P transport"},
    {VENDOR_VIRTIO, 0x1110, "QEMU inter-VM shared memory"},
    {VENDOR_VMWARE, 0x07b0, "VMware VMXNET3 network adapter"},
    {VENDOR_VMWARE, 0x07c0, "VMware PVSCSI controller"},
    {VENDOR_VMWARE, 0x07f0, "VMware NVMe controller"},
};

/* Modern virtio devices are 0x1040 + the virtio device ID [virtio 1.2 §4.1.2, §5]. */
static const char *const virtio_names[] = {
    [1] = "virtio network device", [2] = "virtio block device",   [3] = "virtio console",
    [4] = "virtio entropy device", [5] = "virtio memory balloon", [8] = "virtio SCSI host",
    [9] = "virtio 9P transport",   [16] = "virtio display",       [18] = "virtio input device",
    [19] = "virtio socket",        [20] = "virtio crypto device", [23] = "virtio IOMMU",
    [24] = "virtio memory device", [25] = "virtio sound device",  [26] = "virtio file system",
    [27] = "virtio pmem device",
};

#define VIRTIO_MODERN 0x1040u

const char *pci_function_name(const struct pci_function *function)
{
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        if (names[i].vendor == function->vendor && names[i].device == function->device)
            return names[i].text;
    }
    unsigned virtio = function->device - VIRTIO_MODERN;
    if (function->vendor == VENDOR_VIRTIO && function->device >= VIRTIO_MODERN &&
        virtio < sizeof virtio_names / sizeof virtio_names[0])
        return virtio_names[virtio];
    return NULL;
}

struct class_name {
    uint32_t value, mask;
    const char *text;
};

/* The first that fits; from the most particular to the base class [PCI Code and ID Assignment 1.11 §1]. */
static const struct class_name class_names[] = {
    {0x010100, 0xffff00, "IDE controller"},
    {0x010601, 0xffffff, "AHCI SATA controller"},
    {0x010600, 0xffff00, "SATA controller"},
    {0x010700, 0xffff00, "SAS controller"},
    {0x010802, 0xffffff, "NVMe controller"},
    {0x010800, 0xffff00, "non-volatile memory controller"},
    {0x010000, 0xffff00, "SCSI controller"},
    {0x010000, 0xff0000, "storage controller"},
    {0x020000, 0xffff00, "ethernet controller"},
    {0x020000, 0xff0000, "network controller"},
    {0x030000, 0xffff00, "VGA display"},
    {0x030000, 0xff0000, "display controller"},
    {0x040000, 0xff0000, "multimedia device"},
    {0x050000, 0xff0000, "memory controller"},
    {0x060000, 0xffff00, "host bridge"},
    {0x060100, 0xffff00, "ISA bridge"},
    {0x060400, 0xffff00, "PCI bridge"},
    {0x060000, 0xff0000, "bridge"},
    {0x070000, 0xffff00, "serial port"},
    {0x070000, 0xff0000, "communication controller"},
    {0x080600, 0xffff00, "IOMMU"},
    {0x080000, 0xff0000, "system device"},
    {0x090000, 0xff0000, "input device"},
    {0x0b0000, 0xff0000, "processor"},
    {0x0c0330, 0xffffff, "USB controller (xHCI)"},
    {0x0c0300, 0xffff00, "USB controller"},
    {0x0c0500, 0xffff00, "SMBus controller"},
    {0x0c0000, 0xff0000, "serial bus controller"},
    {0x0d0000, 0xff0000, "wireless controller"},
    {0x100000, 0xff0000, "encryption controller"},
    {0x110000, 0xff0000, "signal processing controller"},
    {0x120000, 0xff0000, "processing accelerator"},
    {0xff0000, 0xff0000, "device without a class"},
};

const char *pci_class_name(uint32_t class_code)
{
    for (size_t i = 0; i < sizeof class_names / sizeof class_names[0]; i++) {
        if ((class_code & class_names[i].mask) == class_names[i].value)
            return class_names[i].text;
    }
    return "device of an unknown class";
}
