/*
 * pci_report.c: a PCI function as text.
 */
#include "pci_local.h"

void pci_address_text(struct pci_address where, char text[PCI_ADDRESS_TEXT_SIZE])
{
    snprintf(text, PCI_ADDRESS_TEXT_SIZE, "%04x:%02x:%02x.%x", where.segment, where.bus, (unsigned)where.devfn >> 3,
             (unsigned)where.devfn & 7);
}

static const char *const kinds[] = {
    [PCI_BAR_NONE] = "none", [PCI_BAR_IO] = "io", [PCI_BAR_MEMORY32] = "memory32", [PCI_BAR_MEMORY64] = "memory64"};

/* "bar0: memory64 prefetchable at 0x8000000000 (cpu 0x8000000000), 16 KiB" */
static void report_bar(const struct pci_function *function, unsigned index, struct printer *printer)
{
    static const char *const windows[] = {"window-io", "window-memory", "window-prefetch"};
    const struct pci_bar *bar = &function->bars[index];

    if (bar->kind == PCI_BAR_NONE)
        return;
    if (pci_is_window(function, index))
        print(printer, "%s: ", windows[index - PCI_BRIDGE_IO]);
    else
        print(printer, "bar%u: ", index);
    print(printer, "%s%s", kinds[bar->kind], bar->prefetchable ? " prefetchable" : "");
    if (bar->assigned)
        print(printer, " at 0x%llx", (unsigned long long)bar->bus_address);
    else
        print(printer, pci_is_window(function, index) ? " closed" : " unassigned");
    if (bar->assigned && bar->cpu_address != bar->bus_address)
        print(printer, " (cpu 0x%llx)", (unsigned long long)bar->cpu_address);
    if (bar->size != 0) {
        char size[24];
        format_size(size, sizeof size, bar->size);
        print(printer, ", %s", size);
    }
    print(printer, "\n");
}

static const char *capability_name(uint8_t identifier)
{
    switch (identifier) {
    case PCI_CAPABILITY_POWER:
        return " power management";
    case PCI_CAPABILITY_MSI:
        return " MSI";
    case PCI_CAPABILITY_VENDOR:
        return " vendor-specific";
    case PCI_CAPABILITY_EXPRESS:
        return " PCI Express";
    case PCI_CAPABILITY_MSIX:
        return " MSI-X";
    case PCI_CAPABILITY_ENHANCED_ALLOCATION:
        return " enhanced allocation";
    default:
        return "";
    }
}

static void report_capabilities(const struct pci_function *function, struct printer *printer)
{
    for (unsigned i = 0; i < function->capability_count; i++) {
        const struct pci_capability *capability = &function->capabilities[i];
        print(printer, "capability-%02x: %02x%s, up to %u bytes\n", capability->offset, capability->identifier,
              capability_name(capability->identifier), capability->length);
    }
    for (unsigned i = 0; i < function->extended_capability_count; i++) {
        const struct pci_extended_capability *capability = &function->extended_capabilities[i];
        print(printer, "extended-%03x: %04x version %u\n", capability->offset, capability->identifier,
              capability->version);
    }
    if (function->msix.capability != 0)
        print(printer, "msix: %u vectors, table bar%u + 0x%x, pending bar%u + 0x%x, %s\n", function->msix.vector_count,
              function->msix.table_bar, function->msix.table_offset, function->msix.pending_bar,
              function->msix.pending_offset, function->msix.usable ? "usable" : "not usable");
    if (function->msi.capability != 0)
        print(printer, "msi: %u vectors, %s-bit address%s, %s\n", function->msi.vector_count,
              function->msi.wide ? "64" : "32", function->msi.maskable ? ", maskable" : "",
              function->msi.usable ? "usable" : "not usable");
}

void pci_report(const struct pci_function *function, struct printer *printer)
{
    const char *name = pci_function_name(function);
    char address[PCI_ADDRESS_TEXT_SIZE];

    pci_address_text(function->where, address);
    print(printer, "function: %s\n", address);
    print(printer, "id: %04x:%04x\n", function->vendor, function->device);
    if (!pci_is_bridge(function))
        print(printer, "subsystem: %04x:%04x\n", function->subsystem_vendor, function->subsystem);
    print(printer, "class: %06x %s\n", (unsigned)function->class_code, pci_class_name(function->class_code));
    if (name != NULL)
        print(printer, "name: %s\n", name);
    print(printer, "revision: %02x\n", function->revision);
    if (pci_is_bridge(function))
        print(printer, "buses: %02x to %02x\n", function->secondary_bus, function->subordinate_bus);
    if (function->interrupt_pin != 0) {
        print(printer, "interrupt: INT%c, line %u", 'A' + function->interrupt_pin - 1, function->interrupt_line);
        if (function->root_device != (uint16_t)(function->where.bus << 8 | function->where.devfn))
            print(printer, ", INT%c of device %02x:%02x", 'A' + function->root_pin - 1,
                  (unsigned)function->root_device >> 8, (unsigned)(function->root_device & 0xff) >> 3);
        print(printer, "\n");
    }
    if (function->requester != (uint16_t)(function->where.bus << 8 | function->where.devfn))
        print(printer, "requester: %02x:%02x.%x\n", (unsigned)function->requester >> 8,
              (unsigned)(function->requester & 0xff) >> 3, (unsigned)function->requester & 7);
    for (unsigned i = 0; i < PCI_MAX_BARS; i++)
        report_bar(function, i, printer);
    report_capabilities(function, printer);
}
