/*
 * pci_access.c: configuration space by ECAM or by the port pair.
 *
 * QEMU: ECAM on q35, `-M microvm,pcie=on`, arm64 virt and rv64 virt; ports where no table names an ECAM.
 */
#include "pci_access.h"

#include <lib/bytes.h>
#include <platform/clock.h>
#include <platform/cpu.h>
#include <platform/mmu.h>
#include <platform/port.h>

#define ADDRESS_PORT   0xcf8u
#define DATA_PORT      0xcfcu
#define ADDRESS_ENABLE UINT32_C(0x80000000)
#define BUS_SIZE       (UINT64_C(1) << 20)

/* The pair of ports is one register behind another: whoever uses it holds this lock, with interrupts disabled.
 * Innermost of all locks: nothing is taken or called while it is held. */
static bool port_pair_locked;

static const struct pci_machine_access *of(const struct pci_access *access)
{
    return (const struct pci_machine_access *)access;
}

static uint32_t all_ones(unsigned width)
{
    return width == 1 ? UINT8_MAX : width == 2 ? UINT16_MAX : UINT32_MAX;
}

static bool reachable(const struct pci_access *access, struct pci_address where, unsigned offset, unsigned width)
{
    const struct machine_host_bridge *bridge = of(access)->bridge;

    return where.segment == bridge->segment && where.bus >= bridge->first_bus && where.bus <= bridge->last_bus &&
           (width == 1 || width == 2 || width == 4) && offset % width == 0 && offset < (access->extended ? 4096 : 256);
}

/* ---- ECAM ------------------------------------------------------------------------------------------ */

/* With its neighbour where both fill one large leaf of the page tables, which needs no table of its own. Nothing beyond
 * the bridge's last bus is ever mapped. */
static volatile uint8_t *map_bus(const struct machine_host_bridge *bridge, uint8_t bus)
{
    uint64_t at = bridge->ecam + (unsigned)(bus - bridge->first_bus) * BUS_SIZE;
    uint64_t end = bridge->ecam + (unsigned)(bridge->last_bus - bridge->first_bus + 1) * BUS_SIZE;
    uint64_t pair = align_down(at, 2 * BUS_SIZE);

    if (pair >= bridge->ecam && pair + 2 * BUS_SIZE <= end) {
        volatile uint8_t *both = vm_map_device(pair, 2 * BUS_SIZE);
        return both != NULL ? both + (at - pair) : NULL;
    }
    return vm_map_device(at, BUS_SIZE);
}

/* The register itself; NULL when its bus cannot be mapped. Who misses maps, and gets the same address as another who
 * does so at once. Which bus it is stands in the same word as where: an interrupt handler that looks at its device, or
 * another CPU, may put another bus into the place at any time. */
static volatile uint8_t *ecam_register(const struct pci_access *access, struct pci_address where, unsigned offset)
{
    struct pci_machine_access *self = (struct pci_machine_access *)(uintptr_t)access;
    uintptr_t *place = &self->mapped[where.bus % PCI_ACCESS_MAPPED_BUSES];
    uintptr_t mapped = __atomic_load_n(place, __ATOMIC_ACQUIRE);

    if (mapped == 0 || mapped % PAGE_SIZE != where.bus) {
        volatile uint8_t *space = map_bus(self->bridge, where.bus);
        if (space == NULL)
            return NULL;
        mapped = (uintptr_t)space | where.bus; /* a bus begins at a page */
        __atomic_store_n(place, mapped, __ATOMIC_RELEASE);
    }
    return (volatile uint8_t *)(mapped & ~(uintptr_t)(PAGE_SIZE - 1)) + ((unsigned)where.devfn << 12 | offset);
}

static uint32_t ecam_read(const struct pci_access *access, struct pci_address where, unsigned offset, unsigned width)
{
    volatile uint8_t *place = reachable(access, where, offset, width) ? ecam_register(access, where, offset) : NULL;
    uint32_t value;

    /* Tables can promise more configuration space than there is. */
    return place != NULL && cpu_probe_read(place, width, &value) ? value : all_ones(width);
}

static void ecam_write(const struct pci_access *access, struct pci_address where, unsigned offset, unsigned width,
                       uint32_t value)
{
    volatile uint8_t *place = reachable(access, where, offset, width) ? ecam_register(access, where, offset) : NULL;

    if (place == NULL)
        return;
    if (width == 1)
        *place = (uint8_t)value;
    else if (width == 2)
        *(volatile uint16_t *)place = (uint16_t)value;
    else
        *(volatile uint32_t *)place = value;
}

/* ---- Ports ----------------------------------------------------------------------------------------- */

static uintptr_t port_pair_take(struct pci_address where, unsigned offset)
{
    uintptr_t saved = cpu_interrupts_disable();

    while (__atomic_test_and_set(&port_pair_locked, __ATOMIC_ACQUIRE))
        cpu_relax();
    port_write32(ADDRESS_PORT,
                 ADDRESS_ENABLE | (uint32_t)where.bus << 16 | (uint32_t)where.devfn << 8 | (offset & 0xfc));
    return saved;
}

static void port_pair_give(uintptr_t saved)
{
    __atomic_clear(&port_pair_locked, __ATOMIC_RELEASE);
    cpu_interrupts_restore(saved);
}

static uint32_t port_read(const struct pci_access *access, struct pci_address where, unsigned offset, unsigned width)
{
    uint16_t port = (uint16_t)(DATA_PORT + (offset & 3));

    if (!reachable(access, where, offset, width))
        return all_ones(width);
    uintptr_t saved = port_pair_take(where, offset);
    uint32_t value = width == 1 ? port_read8(port) : width == 2 ? port_read16(port) : port_read32(port);
    port_pair_give(saved);
    return value;
}

static void port_write(const struct pci_access *access, struct pci_address where, unsigned offset, unsigned width,
                       uint32_t value)
{
    uint16_t port = (uint16_t)(DATA_PORT + (offset & 3));

    if (!reachable(access, where, offset, width))
        return;
    uintptr_t saved = port_pair_take(where, offset);
    if (width == 1)
        port_write8(port, (uint8_t)value);
    else if (width == 2)
        port_write16(port, (uint16_t)value);
    else
        port_write32(port, value);
    port_pair_give(saved);
}

/* ---- Either ---------------------------------------------------------------------------------------- */

static void pause(const struct pci_access *access, unsigned milliseconds)
{
    (void)access;
    clock_spin(milliseconds * NANOSECONDS_PER_MILLISECOND);
}

void pci_access_init(struct pci_machine_access *out, const struct machine_host_bridge *bridge)
{
    bool ecam = bridge->ecam != 0;

    *out = (struct pci_machine_access){
        .access = {.read = ecam ? ecam_read : port_read,
                   .write = ecam ? ecam_write : port_write,
                   .pause = pause,
                   .extended = ecam},
        .bridge = bridge,
    };
}
