/*
 * msix.c: the switches of a PCI function, each read back.
 *
 * State: closed -> msix_open -> (first msix_vector_set) enabled -> msix_disable -> open without messages -> ...
 *
 * While MSI-X or MSI is enabled a function does not drive its line [PCI Express Base 6.0 §6.1.4.3], so messages
 * are enabled only once there is one to deliver. All vectors are masked before the function's mask is lifted:
 * what the table holds after power-on is not to be relied on.
 */
#include "msix.h"
#include "msix_table.h"

#include <machine/pci_space.h>
#include <lib/log.h>
#include <platform/mmu.h>

#define POWER_RECOVERY_MS 10u /* from D3hot to D0 [PCI Express Base 6.0 §5.9] */

enum { ENTRY_ADDRESS_LOW = 0, ENTRY_ADDRESS_HIGH = 4, ENTRY_DATA = 8, ENTRY_CONTROL = 12 };

#define msix_warn(msix, format, ...)                                                                                   \
    do {                                                                                                               \
        char address_text_[PCI_ADDRESS_TEXT_SIZE];                                                                     \
        pci_address_text((msix)->function->where, address_text_);                                                      \
        log_warn("pci", "%s: " format, address_text_, ##__VA_ARGS__);                                                  \
    } while (0)

/* ---- Registers ------------------------------------------------------------------------------------- */

static uint16_t read16(const struct msix *msix, unsigned offset)
{
    return pci_read16(msix->access, msix->function->where, offset);
}

/* Sets and clears bits of a 16-bit register; whether exactly they read back so. */
static bool change16(const struct msix *msix, unsigned offset, uint16_t set, uint16_t clear)
{
    uint16_t wanted = (uint16_t)((read16(msix, offset) & ~clear) | set);

    pci_write16(msix->access, msix->function->where, offset, wanted);
    return ((read16(msix, offset) ^ wanted) & (set | clear)) == 0;
}

/* ---- Command and power ----------------------------------------------------------------------------- */

bool msix_bus_master(struct msix *msix, bool on)
{
    return change16(msix, PCI_COMMAND, on ? PCI_COMMAND_MASTER : 0, on ? 0 : PCI_COMMAND_MASTER);
}

bool msix_decode(struct msix *msix, bool on)
{
    uint16_t spaces = 0;

    for (unsigned i = 0; i < PCI_MAX_BARS; i++) {
        const struct pci_bar *bar = &msix->function->bars[i];
        if (bar->kind != PCI_BAR_NONE && bar->assigned)
            spaces |= bar->kind == PCI_BAR_IO ? PCI_COMMAND_IO : PCI_COMMAND_MEMORY;
    }
    if (!on)
        return change16(msix, PCI_COMMAND, 0, PCI_COMMAND_IO | PCI_COMMAND_MEMORY);
    return change16(msix, PCI_COMMAND, spaces, 0);
}

bool msix_line_enable(struct msix *msix, bool on)
{
    if (on && msix->enabled)
        return false;
    return change16(msix, PCI_COMMAND, on ? 0 : PCI_COMMAND_INTX_DISABLE, on ? PCI_COMMAND_INTX_DISABLE : 0);
}

/* All ones is a function that is gone: it asks for nothing. */
bool msix_line_pending(const struct msix *msix)
{
    uint16_t status = read16(msix, PCI_STATUS);

    return status != UINT16_MAX && (status & PCI_STATUS_INTERRUPT) != 0;
}

/* A function that wakes may have reset itself [PCI Express Base 6.0 §7.5.2.2, No_Soft_Reset]: its BARs are
 * written again in any case. */
static bool power_on(struct msix *msix)
{
    unsigned capability = msix->function->power_management;
    unsigned offset = capability + PCI_POWER_CONTROL;

    if (capability == 0 || (read16(msix, offset) & PCI_POWER_STATE_MASK) == 0)
        return true;
    unsigned state = read16(msix, offset) & PCI_POWER_STATE_MASK;
    pci_write16(msix->access, msix->function->where, offset, (uint16_t)(read16(msix, offset) & ~PCI_POWER_STATE_MASK));
    if (msix->access->pause != NULL)
        msix->access->pause(msix->access, POWER_RECOVERY_MS);
    if ((read16(msix, offset) & PCI_POWER_STATE_MASK) != 0) {
        msix_warn(msix, "stays in power state D%u; it is not used", state);
        return false;
    }
    return msix_decode(msix, false) && pci_write_bars(msix->access, msix->function);
}

/* ---- The vectors' own switches --------------------------------------------------------------------- */

static volatile uint8_t *entry(const struct msix *msix, unsigned index, unsigned field)
{
    return msix->table + index * PCI_MSIX_ENTRY_SIZE + field;
}

static unsigned msi_mask_offset(const struct msix *msix)
{
    return msix->function->msi.capability + (msix->function->msi.wide ? 0x10u : 0x0cu);
}

static unsigned control_offset(const struct msix *msix)
{
    return msix->kind == MSIX_TABLE ? msix->function->msix.capability + (unsigned)PCI_MSIX_CONTROL
                                    : msix->function->msi.capability + (unsigned)PCI_MSI_CONTROL;
}

static void set_entry_mask(const struct msix *msix, unsigned index, bool masked)
{
    uint32_t control = msix_table_read(entry(msix, index, ENTRY_CONTROL));

    control = masked ? control | PCI_MSIX_ENTRY_MASKED : control & ~(uint32_t)PCI_MSIX_ENTRY_MASKED;
    msix_table_write(entry(msix, index, ENTRY_CONTROL), control);
    (void)msix_table_read(entry(msix, index, ENTRY_CONTROL)); /* the write has arrived when this returns */
}

void msix_vector_mask(struct msix *msix, unsigned index, bool masked)
{
    if (!msix->enabled || index >= msix->vector_count)
        return;
    if (msix->kind == MSIX_TABLE) {
        set_entry_mask(msix, index, masked);
    } else if (msix->function->msi.maskable) {
        pci_write32(msix->access, msix->function->where, msi_mask_offset(msix), masked ? UINT32_MAX : ~UINT32_C(1));
    } else {
        change16(msix, control_offset(msix), masked ? 0 : PCI_MSI_CONTROL_ENABLE, masked ? PCI_MSI_CONTROL_ENABLE : 0);
    }
}

bool msix_vector_masked(const struct msix *msix, unsigned index)
{
    if (!msix->enabled || index >= msix->vector_count)
        return true;
    if (msix->kind == MSIX_TABLE)
        return (msix_table_read(entry(msix, index, ENTRY_CONTROL)) & PCI_MSIX_ENTRY_MASKED) != 0;
    if (msix->function->msi.maskable)
        return (pci_read32(msix->access, msix->function->where, msi_mask_offset(msix)) & 1) != 0;
    return (read16(msix, control_offset(msix)) & PCI_MSI_CONTROL_ENABLE) == 0;
}

bool msix_vector_pending(const struct msix *msix, unsigned index)
{
    if (!msix->enabled || index >= msix->vector_count)
        return false;
    if (msix->kind == MSIX_TABLE)
        return msix_table_read(msix->pending + index / 32 * 4) >> (index % 32) & 1;
    return msix->function->msi.maskable &&
           (pci_read32(msix->access, msix->function->where, msi_mask_offset(msix) + 4) & 1) != 0;
}

bool msix_mask_all(struct msix *msix, bool masked)
{
    if (msix->kind != MSIX_TABLE)
        return false;
    return change16(msix, control_offset(msix), masked ? PCI_MSIX_CONTROL_MASK_ALL : 0,
                    masked ? 0 : PCI_MSIX_CONTROL_MASK_ALL);
}

/* ---- Open, enable, disable ------------------------------------------------------------------------- */

/* Both kinds off, whichever firmware left on. */
static bool messages_off(const struct msix *msix)
{
    const struct pci_function *function = msix->function;
    bool off = true;

    if (function->msix.capability != 0 && function->msix.capability + PCI_MSIX_SIZE <= 256)
        off = change16(msix, function->msix.capability + (unsigned)PCI_MSIX_CONTROL, 0, PCI_MSIX_CONTROL_ENABLE);
    if (function->msi.capability != 0)
        off = change16(msix, function->msi.capability + (unsigned)PCI_MSI_CONTROL, 0, PCI_MSI_CONTROL_ENABLE) && off;
    return off;
}

/* Maps the table and the pending bits, and nothing else of their BARs; both BARs must have a place. */
static bool map_table(struct msix *msix)
{
    const struct pci_msix *found = &msix->function->msix;
    const struct pci_bar *table = &msix->function->bars[found->table_bar];
    const struct pci_bar *pending = &msix->function->bars[found->pending_bar];

    if (!table->assigned || !pending->assigned)
        return false;
    msix->table =
        vm_map_device(table->cpu_address + found->table_offset, found->vector_count * (uint64_t)PCI_MSIX_ENTRY_SIZE);
    msix->pending = vm_map_device(pending->cpu_address + found->pending_offset, (found->vector_count + 63u) / 64u * 8u);
    return msix->table != NULL && msix->pending != NULL;
}

enum status msix_open(struct msix *msix, struct pci_function *function, const struct pci_access *access)
{
    volatile uint8_t *table = msix->table, *pending = msix->pending;
    bool again = msix->function == function && table != NULL && pending != NULL;

    *msix = (struct msix){.access = access, .function = function};
    if (read16(msix, PCI_VENDOR) == UINT16_MAX || !power_on(msix))
        return STATUS_DEVICE_FAULT;
    if (!messages_off(msix))
        msix_warn(msix, "its messages, which firmware left on, do not switch off");
    msix_line_enable(msix, false);
    if (!msix_decode(msix, true)) {
        msix_warn(msix, "does not decode its BARs; it is not used");
        return STATUS_DEVICE_FAULT;
    }
    msix->table = again ? table : NULL;
    msix->pending = again ? pending : NULL;
    if (function->msix.usable && (again || map_table(msix))) {
        msix->kind = MSIX_TABLE;
        msix->vector_count = function->msix.vector_count;
    } else if (function->msi.usable) {
        msix->kind = MSIX_MSI;
        msix->vector_count = 1;
    }
    return STATUS_OK;
}

bool msix_available(const struct msix *msix)
{
    return msix->kind != MSIX_NONE;
}

unsigned msix_vector_count(const struct msix *msix)
{
    return msix->vector_count;
}

/* Messages turned out not to work: the line may be used. */
static enum status give_up(struct msix *msix, const char *what)
{
    msix_warn(msix, "%s; its messages are not used", what);
    messages_off(msix);
    msix->kind = MSIX_NONE;
    msix->enabled = false;
    msix->vector_count = 0;
    return STATUS_DEVICE_FAULT;
}

/* Enabled with the whole function masked, each vector masked, then the function let go: no vector can fire
 * before it has been set. */
static enum status enable_table(struct msix *msix)
{
    uint16_t offset = (uint16_t)control_offset(msix);

    if (!change16(msix, offset, PCI_MSIX_CONTROL_ENABLE | PCI_MSIX_CONTROL_MASK_ALL, 0))
        return give_up(msix, "MSI-X does not switch on");
    for (unsigned i = 0; i < msix->vector_count; i++)
        set_entry_mask(msix, i, true);
    if (!(msix_table_read(entry(msix, 0, ENTRY_CONTROL)) & PCI_MSIX_ENTRY_MASKED))
        return give_up(msix, "its MSI-X table does not keep what is written");
    if (!change16(msix, offset, 0, PCI_MSIX_CONTROL_MASK_ALL))
        return give_up(msix, "its MSI-X function mask is stuck");
    return STATUS_OK;
}

static enum status set_entry(struct msix *msix, unsigned index, uint64_t address, uint32_t data)
{
    set_entry_mask(msix, index, true);
    msix_table_write(entry(msix, index, ENTRY_ADDRESS_LOW), (uint32_t)address);
    msix_table_write(entry(msix, index, ENTRY_ADDRESS_HIGH), (uint32_t)(address >> 32));
    msix_table_write(entry(msix, index, ENTRY_DATA), data);
    if (msix_table_read(entry(msix, index, ENTRY_ADDRESS_LOW)) != (uint32_t)address ||
        msix_table_read(entry(msix, index, ENTRY_ADDRESS_HIGH)) != (uint32_t)(address >> 32) ||
        msix_table_read(entry(msix, index, ENTRY_DATA)) != data)
        return give_up(msix, "its MSI-X table does not keep what is written");
    return STATUS_OK;
}

/* One vector: the data's low bits then need not be the device's to choose. */
static enum status set_msi(struct msix *msix, uint64_t address, uint32_t data)
{
    const struct pci_msi *msi = &msix->function->msi;
    struct pci_address where = msix->function->where;
    unsigned base = msi->capability + (unsigned)PCI_MSI_ADDRESS;
    unsigned data_offset = base + (msi->wide ? 8 : 4);

    change16(msix, control_offset(msix), 0, PCI_MSI_CONTROL_ENABLE | 7 << PCI_MSI_CONTROL_COUNT_SHIFT);
    if (msi->maskable)
        pci_write32(msix->access, where, msi_mask_offset(msix), UINT32_MAX);
    pci_write32(msix->access, where, base, (uint32_t)address);
    if (msi->wide)
        pci_write32(msix->access, where, base + 4, (uint32_t)(address >> 32));
    pci_write16(msix->access, where, data_offset, (uint16_t)data);
    if (pci_read32(msix->access, where, base) != (uint32_t)address || read16(msix, data_offset) != (uint16_t)data ||
        (msi->wide && pci_read32(msix->access, where, base + 4) != (uint32_t)(address >> 32)))
        return give_up(msix, "its MSI address and data do not keep what is written");
    if (msi->maskable && !change16(msix, control_offset(msix), PCI_MSI_CONTROL_ENABLE, 0))
        return give_up(msix, "MSI does not switch on");
    return STATUS_OK;
}

enum status msix_vector_set(struct msix *msix, unsigned index, uint64_t address, uint32_t data)
{
    if (index >= msix->vector_count || (address & 3) != 0)
        return STATUS_OUT_OF_RANGE;
    if (msix->kind == MSIX_MSI && ((!msix->function->msi.wide && address >> 32 != 0) || data > UINT16_MAX))
        return STATUS_OUT_OF_RANGE;
    msix_line_enable(msix, false);
    enum status status = STATUS_OK;
    if (msix->kind == MSIX_TABLE && !msix->enabled)
        status = enable_table(msix);
    if (status == STATUS_OK)
        status = msix->kind == MSIX_TABLE ? set_entry(msix, index, address, data) : set_msi(msix, address, data);
    msix->enabled = status == STATUS_OK;
    return status;
}

void msix_disable(struct msix *msix)
{
    if (msix->function == NULL)
        return;
    if (msix->enabled) {
        msix_mask_all(msix, true);
        for (unsigned i = 0; i < msix->vector_count; i++)
            msix_vector_mask(msix, i, true);
    }
    messages_off(msix);
    msix->enabled = false;
    msix_line_enable(msix, false);
}
