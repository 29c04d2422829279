/*
 * pci_capability.c: the two capability lists of a function, and MSI and MSI-X in them.
 *
 * Lists are linked through bytes that the device chooses: each place is visited at most once.
 */
#include "pci_local.h"

/* [PCI Express Base 6.0 §7.5.1.1.11] The pointers' two low bits are reserved. */
static void walk_list(const struct pci_access *access, struct pci_function *function)
{
    uint64_t visited = 0; /* a bit for each dword of the 256 bytes */
    unsigned offset = pci_read8(access, function->where, PCI_CAPABILITIES) & 0xfcu;

    while (offset >= PCI_FIRST_CAPABILITY) {
        if (visited >> (offset / 4) & 1) {
            pci_warn(function->where, "the capability list loops back to 0x%x; it ends there", offset);
            return;
        }
        visited |= UINT64_C(1) << (offset / 4);

        uint16_t header = pci_read16(access, function->where, offset);
        if (header == 0xffff) {
            pci_warn(function->where, "the capability list leads to 0x%x, where there is none; it ends there", offset);
            return;
        }
        if ((header & 0xff) != 0 && function->capability_count < PCI_MAX_CAPABILITIES)
            function->capabilities[function->capability_count++] =
                (struct pci_capability){.identifier = (uint8_t)header, .offset = (uint8_t)offset};
        offset = header >> 8 & 0xfcu;
    }
}

/* A capability does not say its length; the next one's place, wherever it is in the list, bounds it. */
static void bound_lengths(struct pci_function *function)
{
    for (unsigned i = 0; i < function->capability_count; i++) {
        unsigned end = 256;
        for (unsigned k = 0; k < function->capability_count; k++) {
            unsigned other = function->capabilities[k].offset;
            if (other > function->capabilities[i].offset && other < end)
                end = other;
        }
        function->capabilities[i].length = (uint8_t)(end - function->capabilities[i].offset);
    }
}

static bool extended_visited(const struct pci_function *function, unsigned offset)
{
    for (unsigned i = 0; i < function->extended_capability_count; i++) {
        if (function->extended_capabilities[i].offset == offset)
            return true;
    }
    return false;
}

/* [PCI Express Base 6.0 §7.6.3] */
static void walk_extended_list(const struct pci_access *access, struct pci_function *function)
{
    unsigned offset = PCI_FIRST_EXTENDED_CAPABILITY;

    while (offset >= PCI_FIRST_EXTENDED_CAPABILITY) {
        uint32_t header = pci_read32(access, function->where, offset);
        if (header == 0 || header == UINT32_MAX)
            return;
        if (extended_visited(function, offset)) {
            pci_warn(function->where, "the extended capability list loops back to 0x%x; it ends there", offset);
            return;
        }
        if (function->extended_capability_count == PCI_MAX_EXTENDED_CAPABILITIES) {
            pci_warn(function->where, "more than %u extended capabilities; the rest is ignored",
                     (unsigned)PCI_MAX_EXTENDED_CAPABILITIES);
            return;
        }
        function->extended_capabilities[function->extended_capability_count++] = (struct pci_extended_capability){
            .identifier = (uint16_t)header, .offset = (uint16_t)offset, .version = (uint8_t)(header >> 16 & 0xf)};
        offset = header >> 20 & 0xffcu;
    }
}

/* The first capability with this identifier; a second one is named and ignored. */
static const struct pci_capability *find_only(const struct pci_function *function, uint8_t identifier, const char *name)
{
    const struct pci_capability *found = NULL;

    for (unsigned i = 0; i < function->capability_count; i++) {
        const struct pci_capability *capability = &function->capabilities[i];
        if (capability->identifier != identifier)
            continue;
        if (found != NULL) {
            pci_warn(function->where, "a second %s capability at 0x%x is ignored", name, capability->offset);
            break;
        }
        found = capability;
    }
    return found;
}

/* Why `size` bytes at `offset` of this BAR cannot be a table, or NULL. A size of 0 is a dump's "not known". */
static const char *table_fault(const struct pci_access *access, const struct pci_function *function, unsigned bar,
                               uint32_t offset, uint32_t size)
{
    if (bar >= pci_bar_count(function))
        return "lies in a BAR that cannot exist";
    if (function->bars[bar].kind == PCI_BAR_NONE)
        return "lies in a BAR that the function does not have";
    if (function->bars[bar].kind == PCI_BAR_IO)
        return "lies in I/O space";
    if (!access->read_only && (uint64_t)offset + size > function->bars[bar].size)
        return "reaches beyond its BAR";
    return NULL;
}

/* [PCI Express Base 6.0 §7.7.2] */
static void decode_msix(const struct pci_access *access, struct pci_function *function)
{
    const struct pci_capability *capability = find_only(function, PCI_CAPABILITY_MSIX, "MSI-X");
    struct pci_msix *msix = &function->msix;

    if (capability == NULL)
        return;
    msix->capability = capability->offset;
    if (capability->offset + PCI_MSIX_SIZE > 256) {
        pci_warn(function->where, "the MSI-X capability at 0x%x does not fit; MSI-X is not used", capability->offset);
        return;
    }
    uint16_t control = pci_read16(access, function->where, capability->offset + PCI_MSIX_CONTROL);
    uint32_t table = pci_read32(access, function->where, capability->offset + PCI_MSIX_TABLE);
    uint32_t pending = pci_read32(access, function->where, capability->offset + PCI_MSIX_PENDING);
    msix->vector_count = (uint16_t)((control & PCI_MSIX_CONTROL_LAST) + 1);
    msix->table_bar = table & PCI_MSIX_BAR_MASK;
    msix->table_offset = table & ~(uint32_t)PCI_MSIX_BAR_MASK;
    msix->pending_bar = pending & PCI_MSIX_BAR_MASK;
    msix->pending_offset = pending & ~(uint32_t)PCI_MSIX_BAR_MASK;

    uint32_t table_size = msix->vector_count * (uint32_t)PCI_MSIX_ENTRY_SIZE;
    uint32_t pending_size = (msix->vector_count + 63u) / 64u * 8u;
    const char *fault = table_fault(access, function, msix->table_bar, msix->table_offset, table_size);
    if (fault != NULL) {
        pci_warn(function->where, "the MSI-X table of %u vectors at BAR %u + 0x%x %s; MSI-X is not used",
                 msix->vector_count, msix->table_bar, msix->table_offset, fault);
        return;
    }
    fault = table_fault(access, function, msix->pending_bar, msix->pending_offset, pending_size);
    if (fault != NULL) {
        pci_warn(function->where, "the MSI-X pending bits at BAR %u + 0x%x: the array %s; MSI-X is not used",
                 msix->pending_bar, msix->pending_offset, fault);
        return;
    }
    if (msix->table_bar == msix->pending_bar && msix->table_offset < (uint64_t)msix->pending_offset + pending_size &&
        msix->pending_offset < (uint64_t)msix->table_offset + table_size) {
        pci_warn(function->where, "the MSI-X table and its pending bits overlap; MSI-X is not used");
        return;
    }
    msix->usable = true;
}

/* [PCI Express Base 6.0 §7.7.1] */
static void decode_msi(const struct pci_access *access, struct pci_function *function)
{
    const struct pci_capability *capability = find_only(function, PCI_CAPABILITY_MSI, "MSI");
    struct pci_msi *msi = &function->msi;

    if (capability == NULL)
        return;
    msi->capability = capability->offset;
    uint16_t control = pci_read16(access, function->where, capability->offset + PCI_MSI_CONTROL);
    unsigned count_log2 = control >> PCI_MSI_CONTROL_CAPABLE_SHIFT & 7;
    msi->wide = control & PCI_MSI_CONTROL_WIDE;
    msi->maskable = control & PCI_MSI_CONTROL_MASKABLE;
    unsigned size = (msi->wide ? 14u : 10u) + (msi->maskable ? 10u : 0u);
    if (capability->offset + size > 256) {
        pci_warn(function->where, "the MSI capability at 0x%x does not fit; MSI is not used", capability->offset);
        return;
    }
    if (count_log2 > 5) {
        pci_warn(function->where, "the MSI capability asks for 2^%u vectors; MSI is not used", count_log2);
        return;
    }
    msi->vector_count = (uint8_t)(1u << count_log2);
    msi->usable = true;
}

void pci_read_capabilities(const struct pci_access *access, struct pci_function *function)
{
    if (!(pci_read16(access, function->where, PCI_STATUS) & PCI_STATUS_CAPABILITIES))
        return;
    walk_list(access, function);
    bound_lengths(function);
    for (unsigned i = 0; i < function->capability_count; i++) {
        const struct pci_capability *capability = &function->capabilities[i];
        if (capability->identifier == PCI_CAPABILITY_EXPRESS && function->express == 0)
            function->express = capability->offset;
        if (capability->identifier == PCI_CAPABILITY_POWER && function->power_management == 0 &&
            capability->length >= 8)
            function->power_management = capability->offset;
        if (capability->identifier == PCI_CAPABILITY_ENHANCED_ALLOCATION)
            pci_warn(function->where, "its fixed resources (Enhanced Allocation) are not used, only its BARs");
    }
    decode_msix(access, function);
    decode_msi(access, function);
    /* Only an Express function has more than 256 bytes; others may repeat those or answer anything there. */
    if (access->extended && function->express != 0)
        walk_extended_list(access, function);
}
