/*
 * pci_assign.c: a place for everything that decodes.
 *
 * What firmware placed well stays. Then, from the leaves up, each bridge without a window gets one as large
 * as what is behind it needs; and from the root down each bus places what it has, largest first, each aligned
 * to the power of two in its size. Functions come in found order, so the functions of one bus lie together
 * and a bridge lies before all that is behind it.
 *
 * 64-bit prefetchable memory goes above 4 GiB where the host bridge has room there; 64-bit memory that is not
 * prefetchable can do so only on the root bus, since a bridge forwards such memory below 4 GiB alone
 * [PCI-to-PCI Bridge 1.2 §3.2.5.8].
 */
#include "pci_local.h"
#include <lib/bytes.h>

struct assignment {
    const struct machine_host_bridge *bridge;
    const struct pci_access *access;
    struct pci_function **functions;
    size_t count;
};

/* The functions of one bus: functions[begin..end). */
struct slice {
    size_t begin, end;
    struct pci_function *parent; /* NULL: the host bridge */
};

/* A range that can be filled: of addresses on the bus. */
struct range {
    uint64_t base, last;
};

/* ---- Who belongs where ----------------------------------------------------------------------------- */

static struct slice slice_of(const struct assignment *all, uint8_t bus)
{
    struct slice slice = {0};

    while (slice.begin < all->count && all->functions[slice.begin]->where.bus != bus)
        slice.begin++;
    slice.end = slice.begin;
    while (slice.end < all->count && all->functions[slice.end]->where.bus == bus)
        slice.end++;
    for (size_t i = 0; i < slice.begin; i++) {
        if (pci_is_bridge(all->functions[i]) && all->functions[i]->secondary_bus == bus &&
            bus != all->bridge->first_bus)
            slice.parent = all->functions[i];
    }
    return slice;
}

/* Whether functions[i] shares the addresses of this bus with its functions: all root buses lie in one space. */
static bool beside(const struct assignment *all, const struct slice *slice, size_t i)
{
    const struct pci_function *function = all->functions[i];

    return (i >= slice->begin && i < slice->end) ||
           (slice->parent == NULL &&
            function->root_device == (uint16_t)(function->where.bus << 8 | function->where.devfn));
}

/* Which window of the bridge above this is to lie in. */
static unsigned route(const struct pci_function *parent, const struct pci_bar *bar)
{
    const struct pci_bar *prefetch = &parent->bars[PCI_BRIDGE_PREFETCH];

    if (bar->kind == PCI_BAR_IO)
        return PCI_BRIDGE_IO;
    bool fits = prefetch->kind == PCI_BAR_MEMORY32 || bar->kind == PCI_BAR_MEMORY64;
    return bar->prefetchable && prefetch->kind != PCI_BAR_NONE && fits ? PCI_BRIDGE_PREFETCH : PCI_BRIDGE_MEMORY;
}

static bool same_space(const struct pci_bar *a, const struct pci_bar *b)
{
    return (a->kind == PCI_BAR_IO) == (b->kind == PCI_BAR_IO);
}

static bool overlaps(uint64_t a, uint64_t a_size, uint64_t b, uint64_t b_size)
{
    return a < b ? b - a < a_size : a - b < b_size;
}

static bool inside(const struct pci_bar *bar, const struct pci_bar *window)
{
    return window->assigned && same_space(bar, window) && bar->bus_address >= window->bus_address &&
           bar->bus_address - window->bus_address < window->size &&
           bar->size <= window->size - (bar->bus_address - window->bus_address);
}

static uint64_t ecam_size(const struct machine_host_bridge *bridge)
{
    return bridge->ecam == 0 || bridge->last_bus < bridge->first_bus
               ? 0
               : (uint64_t)(bridge->last_bus - bridge->first_bus + 1) << 20;
}

/* ---- What firmware placed -------------------------------------------------------------------------- */

/* Why a place cannot be kept, or NULL. `i`, `index`: everything before them has been judged. */
static const char *placement_fault(const struct assignment *all, const struct slice *slice, size_t i, unsigned index)
{
    const struct pci_bar *bar = &all->functions[i]->bars[index];

    if (bar->kind == PCI_BAR_MEMORY32 && bar->bus_address + bar->size > PCI_MEMORY32_END)
        return "reaches beyond 4 GiB";
    if (slice->parent != NULL && !inside(bar, &slice->parent->bars[PCI_BRIDGE_IO]) &&
        !inside(bar, &slice->parent->bars[PCI_BRIDGE_MEMORY]) &&
        !(inside(bar, &slice->parent->bars[PCI_BRIDGE_PREFETCH]) && bar->prefetchable))
        return "lies outside the windows of its bridge";
    if (slice->parent == NULL && bar->kind != PCI_BAR_IO &&
        overlaps(bar->cpu_address, bar->size, all->bridge->ecam, ecam_size(all->bridge)))
        return "overlaps the configuration space";
    for (size_t k = 0; k <= i; k++) {
        if (!beside(all, slice, k))
            continue;
        for (unsigned b = 0; b < (k == i ? index : (unsigned)PCI_MAX_BARS); b++) {
            const struct pci_bar *other = &all->functions[k]->bars[b];
            if (other->kind != PCI_BAR_NONE && other->assigned && same_space(bar, other) &&
                overlaps(bar->bus_address, bar->size, other->bus_address, other->size))
                return "overlaps another";
        }
    }
    return NULL;
}

static void set_decoding(const struct assignment *all, const struct pci_function *function, uint16_t on, uint16_t off)
{
    uint16_t command = pci_read16(all->access, function->where, PCI_COMMAND);
    uint16_t wanted = (uint16_t)((command | on) & ~off);

    if (wanted != command)
        pci_write16(all->access, function->where, PCI_COMMAND, wanted);
}

/* Makes the registers say what `function` says. */
static bool program(const struct assignment *all, struct pci_function *function, unsigned index)
{
    struct pci_bar *bar = &function->bars[index];

    set_decoding(all, function, 0, PCI_COMMAND_IO | PCI_COMMAND_MEMORY);
    if (pci_write_bar(all->access, function, index))
        return true;
    if (bar->assigned)
        pci_warn(function->where, "%s does not keep the address written to it; it is not used",
                 pci_bar_text(function, index));
    bar->assigned = false;
    return false;
}

static void forget(const struct assignment *all, struct pci_function *function, unsigned index)
{
    struct pci_bar *bar = &function->bars[index];

    bar->assigned = false;
    bar->bus_address = bar->cpu_address = 0;
    if (pci_is_window(function, index))
        bar->size = 0; /* to be found anew */
    program(all, function, index);
}

static void keep_placed(const struct assignment *all)
{
    for (size_t i = 0; i < all->count; i++) {
        struct pci_function *function = all->functions[i];
        struct slice slice = slice_of(all, function->where.bus);
        for (unsigned b = 0; b < PCI_MAX_BARS; b++) {
            struct pci_bar *bar = &function->bars[b];
            if (bar->kind == PCI_BAR_NONE)
                continue;
            const char *fault = bar->assigned ? placement_fault(all, &slice, i, b) : NULL;
            if (fault != NULL)
                pci_warn(function->where, "%s at 0x%llx %s; it is moved", pci_bar_text(function, b),
                         (unsigned long long)bar->bus_address, fault);
            if (fault != NULL || (!bar->assigned && (bar->bus_address != 0 || pci_is_window(function, b))))
                forget(all, function, b);
        }
    }
}

/* ---- Largest first --------------------------------------------------------------------------------- */

/* BARs have powers of two for sizes; a window is aligned to the largest power of two in its size, which is no
 * less than the alignment of anything in it. */
static uint64_t alignment_of(uint64_t size)
{
    uint64_t alignment = 1;

    while (size >> 1 != 0) {
        size >>= 1;
        alignment <<= 1;
    }
    return alignment;
}

struct item {
    uint64_t alignment;
    struct pci_function *function; /* NULL: there is none */
    unsigned index;
    size_t order; /* place among those of the same alignment */
};

/* The item without a place that comes next after `after` in descending alignment; of one window when
 * `window` is not 0. */
static struct item next_item(const struct assignment *all, const struct slice *slice, unsigned window,
                             const struct item *after)
{
    struct item best = {0};

    for (size_t i = slice->begin; i < slice->end; i++) {
        for (unsigned b = 0; b < PCI_MAX_BARS; b++) {
            const struct pci_bar *bar = &all->functions[i]->bars[b];
            if (bar->kind == PCI_BAR_NONE || bar->assigned || bar->size == 0)
                continue;
            if (window != 0 && route(slice->parent, bar) != window)
                continue;
            struct item item = {alignment_of(bar->size), all->functions[i], b, i * PCI_MAX_BARS + b};
            if (after->function != NULL && (item.alignment > after->alignment ||
                                            (item.alignment == after->alignment && item.order <= after->order)))
                continue;
            if (best.function == NULL || item.alignment > best.alignment)
                best = item;
        }
    }
    return best;
}

/* ---- The size of a bridge's windows ---------------------------------------------------------------- */

/* The most that one window can take: what does not fit into any window of the host bridge is not worth
 * taking everything beside it down. */
static uint64_t largest_window(const struct machine_host_bridge *bridge, const struct pci_bar *window)
{
    uint64_t largest = 0;

    for (uint32_t i = 0; i < bridge->window_count && i < MACHINE_MAX_WINDOWS; i++) {
        const struct machine_pci_window *host = &bridge->windows[i];
        bool io = host->kind == PCI_WINDOW_IO;
        if (io != (window->kind == PCI_BAR_IO) ||
            (host->bus_address >= PCI_MEMORY32_END && window->kind != PCI_BAR_MEMORY64))
            continue;
        if (host->size > largest)
            largest = host->size;
    }
    return largest;
}

static void size_window(const struct assignment *all, struct pci_function *bridge, unsigned window)
{
    struct slice slice = slice_of(all, bridge->secondary_bus);
    uint64_t granularity = window == PCI_BRIDGE_IO ? 0x1000 : 0x100000;
    uint64_t limit = largest_window(all->bridge, &bridge->bars[window]);
    uint64_t end = 0;
    struct item item = {0};

    slice.parent = bridge;
    while ((item = next_item(all, &slice, window, &item)).function != NULL) {
        uint64_t size = item.function->bars[item.index].size;
        if (size > limit || end > limit - size)
            continue;
        end = align_up(end, item.alignment) + size;
    }
    bridge->bars[window].size = align_up(end, granularity);
}

static void size_windows(const struct assignment *all)
{
    for (size_t i = all->count; i-- > 0;) {
        struct pci_function *function = all->functions[i];
        if (!pci_is_bridge(function) || function->secondary_bus == 0)
            continue;
        for (unsigned w = PCI_BRIDGE_IO; w <= PCI_BRIDGE_PREFETCH; w++) {
            if (function->bars[w].kind != PCI_BAR_NONE && !function->bars[w].assigned)
                size_window(all, function, w);
        }
    }
}

/* ---- Places ---------------------------------------------------------------------------------------- */

/* The end of whatever lies in the way of [base, +size) on this bus, 0 when nothing does. */
static uint64_t obstacle_end(const struct assignment *all, const struct slice *slice, const struct pci_bar *bar,
                             uint64_t base)
{
    for (size_t i = 0; i < all->count; i++) {
        if (!beside(all, slice, i))
            continue;
        for (unsigned b = 0; b < PCI_MAX_BARS; b++) {
            const struct pci_bar *other = &all->functions[i]->bars[b];
            if (other->kind != PCI_BAR_NONE && other->assigned && same_space(bar, other) &&
                overlaps(base, bar->size, other->bus_address, other->size))
                return other->bus_address + other->size;
        }
    }
    return 0;
}

/* The lowest free place in the range. Each step moves past one obstacle for good. */
static bool place_in(const struct assignment *all, const struct slice *slice, struct pci_bar *bar, struct range range)
{
    uint64_t alignment = alignment_of(bar->size), base = range.base;

    for (;;) {
        if (base > UINT64_MAX - (alignment - 1))
            return false;
        base = align_up(base, alignment);
        if (base > range.last || bar->size - 1 > range.last - base)
            return false;
        uint64_t end = obstacle_end(all, slice, bar, base);
        if (end == 0)
            break;
        if (end <= base)
            return false; /* it ends at the top of the address space */
        base = end;
    }
    bar->bus_address = base;
    return true;
}

/* A host window as a range for this BAR: below 4 GiB where it must be, and never from address 0 on, which
 * means "nowhere" to a BAR; low ports belong to legacy devices. False when nothing is left of it. */
static bool host_range(const struct machine_pci_window *window, const struct pci_bar *bar, struct range *range)
{
    uint64_t end = bar->kind == PCI_BAR_IO ? PCI_IO_END : bar->kind == PCI_BAR_MEMORY32 ? PCI_MEMORY32_END : 0;
    uint64_t least = bar->kind == PCI_BAR_IO ? 0x1000 : 0x100000;

    if ((window->kind == PCI_WINDOW_IO) != (bar->kind == PCI_BAR_IO) || window->size == 0)
        return false;
    range->base = window->bus_address < least ? least : window->bus_address;
    range->last = window->bus_address + (window->size - 1);
    if (range->last < window->bus_address)
        range->last = UINT64_MAX;
    if (end != 0 && range->last >= end)
        range->last = end - 1;
    return range->base <= range->last;
}

/* On the root bus: high windows first for what can go there, prefetchable ones only for what may. */
static bool place_at_root(const struct assignment *all, const struct slice *slice, struct pci_bar *bar)
{
    for (unsigned pass = 0; pass < 4; pass++) {
        bool high = !(pass & 2), prefetchable = !(pass & 1);
        if ((high && bar->kind != PCI_BAR_MEMORY64) || (prefetchable && !bar->prefetchable))
            continue;
        for (uint32_t i = 0; i < all->bridge->window_count && i < MACHINE_MAX_WINDOWS; i++) {
            const struct machine_pci_window *window = &all->bridge->windows[i];
            struct range range;
            if ((window->bus_address >= PCI_MEMORY32_END) != high || window->prefetchable != prefetchable ||
                !host_range(window, bar, &range) || !place_in(all, slice, bar, range))
                continue;
            bar->cpu_address = window->cpu_address + (bar->bus_address - window->bus_address);
            return true;
        }
    }
    return false;
}

static bool place_behind(const struct assignment *all, const struct slice *slice, struct pci_bar *bar)
{
    const struct pci_bar *window = &slice->parent->bars[route(slice->parent, bar)];
    struct range range = {window->bus_address, window->bus_address + window->size - 1};

    if (!window->assigned || (bar->kind == PCI_BAR_MEMORY32 && range.last >= PCI_MEMORY32_END) ||
        !place_in(all, slice, bar, range))
        return false;
    bar->cpu_address = window->cpu_address + (bar->bus_address - window->bus_address);
    return true;
}

static const char *space_text(const struct pci_bar *bar)
{
    return bar->kind == PCI_BAR_IO         ? "I/O space"
           : bar->kind == PCI_BAR_MEMORY64 ? "64-bit memory space"
                                           : "memory space below 4 GiB";
}

static bool has_window(const struct machine_host_bridge *bridge, const struct pci_bar *bar)
{
    struct range range;

    for (uint32_t i = 0; i < bridge->window_count && i < MACHINE_MAX_WINDOWS; i++) {
        if (host_range(&bridge->windows[i], bar, &range))
            return true;
    }
    return false;
}

static void place_bus(const struct assignment *all, const struct slice *slice)
{
    struct item item = {0};

    while ((item = next_item(all, slice, 0, &item)).function != NULL) {
        struct pci_function *function = item.function;
        struct pci_bar *bar = &function->bars[item.index];
        char size[24];

        if (slice->parent != NULL ? place_behind(all, slice, bar) : place_at_root(all, slice, bar)) {
            bar->assigned = true;
            program(all, function, item.index);
            continue;
        }
        bar->bus_address = 0;
        format_size(size, sizeof size, bar->size);
        pci_warn(function->where, "%s of %s has no place: %s", pci_bar_text(function, item.index), size,
                 !has_window(all->bridge, bar) ? "the host bridge has no known window for it"
                 : slice->parent != NULL       ? "its bridge has no room for it"
                                               : space_text(bar));
    }
}

void pci_assign(const struct machine_host_bridge *bridge, const struct pci_access *access,
                struct pci_function *functions[], size_t count)
{
    struct assignment all = {bridge, access, functions, count};

    if (access->read_only)
        return;
    keep_placed(&all);
    size_windows(&all);
    for (size_t i = 0; i < count;) {
        struct slice slice = slice_of(&all, functions[i]->where.bus);
        if (slice.end <= i)
            break; /* not in found order */
        place_bus(&all, &slice);
        i = slice.end;
    }
    for (size_t i = 0; i < count; i++) {
        const struct pci_function *function = functions[i];
        uint16_t on = PCI_COMMAND_MASTER;
        if (!pci_is_bridge(function) || function->secondary_bus == 0)
            continue;
        if (function->bars[PCI_BRIDGE_IO].assigned)
            on |= PCI_COMMAND_IO;
        if (function->bars[PCI_BRIDGE_MEMORY].assigned || function->bars[PCI_BRIDGE_PREFETCH].assigned)
            on |= PCI_COMMAND_MEMORY;
        set_decoding(&all, function, on, 0);
    }
}
