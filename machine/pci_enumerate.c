/*
 * pci_enumerate.c: finds every function behind a host bridge.
 *
 * Two walks. The first, depth-first over the bridges, settles the bus numbers: firmware's where they make
 * sense, then ours for the rest. The second goes over the buses that were reached, ascending, and reads each
 * function. Only buses that a bridge leads to are touched, and below a PCI Express port only device 0.
 *
 * Other host bridges can lead to buses of the same segment that no bridge of the first one leads to (QEMU's pxb-pcie).
 * Only AML would name them; but each shows as a function of class host bridge on the first bus. Where there is more
 * than one, buses that nobody forwards are looked at for anything that answers.
 *
 * No recursion: a bus remembers the bridge that leads to it, and that is the way back. A bus behind a bridge
 * has a higher number than the bridge's own, whoever numbered it, so no walk can go round in circles.
 */
#include "pci_local.h"
#include <lib/string.h>

#define RETRY_ID       UINT32_C(0xffff0001) /* "not ready yet" [PCI Express Base 6.0 §2.3.2] */
#define RETRY_STEP_MS  10u
#define RETRY_TOTAL_MS 1000u /* for all functions of a host bridge together */

#define CONVENTIONAL 0xffu

enum { MAX_ROOTS = 16 };

struct bus {
    uint8_t parent, devfn; /* the bridge that leads here */
    uint8_t limit;         /* the bridge forwards numbers up to this one; while numbering, may */
    uint8_t last;          /* the highest number in use here and below */
    bool reached;
    bool root;       /* no bridge leads here, a host bridge does */
    bool forwarded;  /* while looking for roots: some bridge passes this number on */
    bool ours;       /* numbered by us */
    uint8_t type;    /* of the bridge that leads here: PCI_EXPRESS_TYPE_*, or CONVENTIONAL */
    bool one_device; /* below a PCI Express port there is no device but 0 */
};

struct walk {
    const struct machine_host_bridge *bridge;
    const struct pci_access *access;
    unsigned patience_ms;
    struct bus buses[256];
};

/* A place in a bus: the function last looked at. */
struct cursor {
    struct pci_address where;
    int next;           /* devfn to look at next */
    bool multifunction; /* the device that `next` lies in has more than function 0 */
    uint8_t header_type;
};

/* ---- Who is there ---------------------------------------------------------------------------------- */

/* Vendor and device of a function; 0 when nothing is there. */
static uint32_t identity(struct walk *walk, struct pci_address where)
{
    uint32_t id = pci_read32(walk->access, where, PCI_VENDOR);

    while (id == RETRY_ID && walk->access->pause != NULL && walk->patience_ms >= RETRY_STEP_MS) {
        walk->access->pause(walk->access, RETRY_STEP_MS);
        walk->patience_ms -= RETRY_STEP_MS;
        id = pci_read32(walk->access, where, PCI_VENDOR);
        if (id == RETRY_ID && walk->patience_ms < RETRY_STEP_MS)
            pci_warn(where, "still not ready after %u ms; it is ignored", RETRY_TOTAL_MS);
    }
    uint16_t vendor = (uint16_t)id, device = (uint16_t)(id >> 16);
    return vendor == 0 || vendor == 0xffff || device == 0xffff ? 0 : id;
}

/*
 * A device that does not look at the function number answers as all eight. Two headers that are the same in
 * every byte are still two functions unless what is written to one's interrupt line register, which is only
 * a note for software [PCI Local Bus 3.0 §6.2.4], appears in the other.
 */
static bool is_echo(const struct pci_access *access, struct pci_address where)
{
    struct pci_address zero = where;

    zero.devfn = where.devfn & 0xf8;
    for (unsigned offset = 0; offset < 0x40; offset += 4) {
        if (pci_read32(access, zero, offset) != pci_read32(access, where, offset))
            return false;
    }
    if (access->read_only)
        return false;
    uint8_t note = pci_read8(access, zero, PCI_INTERRUPT_LINE);
    pci_write8(access, zero, PCI_INTERRUPT_LINE, note ^ 0xff);
    bool echo = pci_read8(access, where, PCI_INTERRUPT_LINE) == (note ^ 0xff);
    pci_write8(access, zero, PCI_INTERRUPT_LINE, note);
    return echo;
}

static struct cursor cursor_start(const struct walk *walk, uint8_t bus)
{
    return (struct cursor){.where = {.segment = walk->bridge->segment, .bus = bus}};
}

/* Back to where the walk went down through a bridge. */
static struct cursor cursor_resume(const struct walk *walk, const struct bus *bus)
{
    struct cursor cursor = cursor_start(walk, bus->parent);

    cursor.where.devfn = bus->devfn & 0xf8;
    cursor.multifunction = pci_read8(walk->access, cursor.where, PCI_HEADER_TYPE) & PCI_HEADER_MULTIFUNCTION;
    cursor.next = bus->devfn + 1;
    return cursor;
}

/* Moves to the next function that is there; false at the end of the bus. A device without function 0 is none
 * [PCI Local Bus 3.0 §3.2.2.3.4]. */
static bool cursor_next(struct walk *walk, struct cursor *cursor)
{
    int end = walk->buses[cursor->where.bus].one_device ? 8 : 256;

    while (cursor->next < end) {
        int devfn = cursor->next;
        if ((devfn & 7) != 0 && !cursor->multifunction) {
            cursor->next = (devfn | 7) + 1;
            continue;
        }
        cursor->next = devfn + 1;
        cursor->where.devfn = (uint8_t)devfn;
        bool there = identity(walk, cursor->where) != 0;
        if (there && (devfn & 7) != 0)
            there = !is_echo(walk->access, cursor->where);
        if ((devfn & 7) == 0)
            cursor->multifunction = false;
        if (!there)
            continue;
        cursor->header_type = pci_read8(walk->access, cursor->where, PCI_HEADER_TYPE);
        if ((devfn & 7) == 0)
            cursor->multifunction = cursor->header_type & PCI_HEADER_MULTIFUNCTION;
        cursor->header_type &= (uint8_t)~PCI_HEADER_MULTIFUNCTION;
        return true;
    }
    return false;
}

/* ---- Bus numbers ----------------------------------------------------------------------------------- */

static uint8_t last_bus(const struct machine_host_bridge *bridge)
{
    return bridge->last_bus < bridge->first_bus ? bridge->first_bus : bridge->last_bus;
}

/* What kind of PCI Express function a bridge is; CONVENTIONAL when it is none. */
static uint8_t express_type(const struct pci_access *access, struct pci_address where)
{
    unsigned offset = pci_read8(access, where, PCI_CAPABILITIES) & 0xfcu;

    if (!(pci_read16(access, where, PCI_STATUS) & PCI_STATUS_CAPABILITIES))
        return CONVENTIONAL;
    for (unsigned i = 0; i < PCI_MAX_CAPABILITIES && offset >= PCI_FIRST_CAPABILITY; i++) {
        uint16_t header = pci_read16(access, where, offset);
        if ((header & 0xff) == PCI_CAPABILITY_EXPRESS && offset + PCI_EXPRESS_FLAGS < 256)
            return pci_read16(access, where, offset + PCI_EXPRESS_FLAGS) >> 4 & 0xf;
        offset = header >> 8 & 0xfcu;
    }
    return CONVENTIONAL;
}

/* The bus behind this bridge, 0 when none has been reached: 0 is never behind a bridge. */
static uint8_t child_of(const struct walk *walk, struct pci_address where)
{
    for (unsigned bus = where.bus + 1u; bus <= last_bus(walk->bridge); bus++) {
        const struct bus *child = &walk->buses[bus];
        if (child->reached && child->parent == where.bus && child->devfn == where.devfn)
            return (uint8_t)bus;
    }
    return 0;
}

static void reach(struct walk *walk, struct pci_address where, uint8_t number, uint8_t limit, bool ours)
{
    uint8_t type = express_type(walk->access, where);

    walk->buses[number] =
        (struct bus){.parent = where.bus,
                     .devfn = where.devfn,
                     .limit = limit,
                     .last = number,
                     .reached = true,
                     .ours = ours,
                     .type = type,
                     .one_device = type == PCI_EXPRESS_TYPE_ROOT_PORT || type == PCI_EXPRESS_TYPE_DOWNSTREAM_PORT};
}

/* Takes the numbers that the bridge has when they lie above its own bus, within what the bridge above
 * forwards, and apart from its siblings'. */
static uint8_t accept_numbers(struct walk *walk, struct pci_address where)
{
    uint32_t numbers = pci_read32(walk->access, where, PCI_PRIMARY_BUS);
    uint8_t secondary = (uint8_t)(numbers >> 8), subordinate = (uint8_t)(numbers >> 16);
    bool sane = secondary > where.bus && subordinate >= secondary && subordinate <= walk->buses[where.bus].limit;

    for (unsigned bus = where.bus + 1u; sane && bus <= subordinate; bus++) {
        const struct bus *other = &walk->buses[bus];
        if (other->reached && other->parent == where.bus && other->limit >= secondary)
            sane = false;
    }
    if (!sane) {
        if (secondary != 0 || subordinate != 0)
            pci_warn(where, "its bus numbers %u to %u on bus %u make no sense", secondary, subordinate, where.bus);
        return 0;
    }
    if (!walk->access->read_only && (uint8_t)numbers != where.bus)
        pci_write8(walk->access, where, PCI_PRIMARY_BUS, where.bus);
    reach(walk, where, secondary, subordinate, false);
    if (walk->buses[where.bus].last < subordinate)
        walk->buses[where.bus].last = subordinate;
    return secondary;
}

static bool write_numbers(const struct walk *walk, struct pci_address where, uint8_t secondary, uint8_t subordinate)
{
    uint32_t latency = pci_read32(walk->access, where, PCI_PRIMARY_BUS) & 0xff000000;
    uint32_t numbers = (uint32_t)subordinate << 16 | (uint32_t)secondary << 8 | (secondary != 0 ? where.bus : 0);

    pci_write32(walk->access, where, PCI_PRIMARY_BUS, latency | numbers);
    return (pci_read32(walk->access, where, PCI_PRIMARY_BUS) & 0xffffff) == numbers;
}

/* Gives the bridge the next number that is free; it forwards all that its parent may until the walk comes
 * back and knows better. */
static uint8_t assign_number(struct walk *walk, struct pci_address where)
{
    const struct bus *parent = &walk->buses[where.bus];
    unsigned number = parent->last + 1u;

    if (number > parent->limit) {
        pci_warn(where, "no bus number is left for what is behind it; it is not used");
        write_numbers(walk, where, 0, 0);
        return 0;
    }
    if (!write_numbers(walk, where, (uint8_t)number, parent->limit)) {
        pci_warn(where, "does not keep the bus numbers written to it; what is behind it is not used");
        return 0;
    }
    reach(walk, where, (uint8_t)number, parent->limit, true);
    return (uint8_t)number;
}

/* The walk leaves a bus that we numbered: its bridge now forwards just what is in use. */
static void leave(struct walk *walk, uint8_t number)
{
    struct bus *bus = &walk->buses[number];
    struct pci_address where = {.segment = walk->bridge->segment, .bus = bus->parent, .devfn = bus->devfn};

    if (bus->ours) {
        bus->limit = bus->last;
        if (!write_numbers(walk, where, number, bus->limit))
            pci_warn(where, "does not keep the bus numbers written to it");
    }
    if (walk->buses[bus->parent].last < bus->limit)
        walk->buses[bus->parent].last = bus->limit;
}

/* One walk over all bridges below a root. With `accept`, only those with sane numbers are entered; without, all are,
 * and those that the first walk left out are numbered. */
static void number_buses(struct walk *walk, uint8_t first, bool accept)
{
    uint8_t bus = first;
    struct cursor cursor = cursor_start(walk, first);

    for (;;) {
        if (cursor_next(walk, &cursor)) {
            if (cursor.header_type != PCI_HEADER_BRIDGE)
                continue;
            uint8_t child = accept ? accept_numbers(walk, cursor.where) : child_of(walk, cursor.where);
            if (child == 0 && !accept)
                child = assign_number(walk, cursor.where);
            if (child != 0) {
                bus = child;
                cursor = cursor_start(walk, child);
            }
            continue;
        }
        if (bus == first)
            return;
        leave(walk, bus);
        cursor = cursor_resume(walk, &walk->buses[bus]);
        bus = walk->buses[bus].parent;
    }
}

/* ---- Roots ----------------------------------------------------------------------------------------- */

/* Notes which buses the bridges on this one pass on now; how many host bridges show themselves on it. */
static unsigned survey(struct walk *walk, uint8_t bus)
{
    struct cursor cursor = cursor_start(walk, bus);
    unsigned host_bridges = 0;

    while (cursor_next(walk, &cursor)) {
        host_bridges += pci_read16(walk->access, cursor.where, PCI_CLASS + 1) == 0x0600;
        if (cursor.header_type != PCI_HEADER_BRIDGE)
            continue;
        uint32_t numbers = pci_read32(walk->access, cursor.where, PCI_PRIMARY_BUS);
        for (unsigned n = numbers >> 8 & 0xff; n != 0 && n <= (numbers >> 16 & 0xff); n++)
            walk->buses[n].forwarded = true;
    }
    return host_bridges;
}

static bool answers(const struct walk *walk, uint8_t bus)
{
    for (unsigned device = 0; device < 32; device++) {
        struct pci_address where = {walk->bridge->segment, bus, (uint8_t)(device << 3)};
        uint16_t vendor = pci_read16(walk->access, where, PCI_VENDOR);
        if (vendor != 0 && vendor != UINT16_MAX)
            return true;
    }
    return false;
}

/* Each root may number up to where the next one begins. */
static void find_roots(struct walk *walk)
{
    unsigned first = walk->bridge->first_bus, last = last_bus(walk->bridge), roots = 1, end = last;

    walk->buses[first] = (struct bus){.reached = true, .root = true};
    if (survey(walk, (uint8_t)first) > 1)
        for (unsigned bus = first + 1; bus <= last && roots < MAX_ROOTS; bus++) {
            if (walk->buses[bus].forwarded || !answers(walk, (uint8_t)bus))
                continue;
            walk->buses[bus] = (struct bus){.reached = true, .root = true};
            roots++;
            survey(walk, (uint8_t)bus);
        }
    for (unsigned bus = last + 1; bus-- > first;) {
        if (!walk->buses[bus].root)
            continue;
        walk->buses[bus].limit = (uint8_t)end;
        walk->buses[bus].last = (uint8_t)bus;
        end = bus - 1;
    }
}

static void number_roots(struct walk *walk, bool accept)
{
    for (unsigned bus = walk->bridge->first_bus; bus <= last_bus(walk->bridge); bus++)
        if (walk->buses[bus].root)
            number_buses(walk, (uint8_t)bus, accept);
}

/* ---- Each function --------------------------------------------------------------------------------- */

/*
 * How the function is seen from the root. A line goes through each bridge by its place on the bus behind
 * [PCI-to-PCI Bridge 1.2 §9.1]. A PCI Express bridge to conventional PCI answers for what is behind it as
 * device 0 of that bus [PCI Express to PCI/PCI-X Bridge 1.0 §2.3], a conventional bridge as itself.
 */
static void look_from_root(const struct walk *walk, struct pci_function *function)
{
    uint8_t bus = function->where.bus, devfn = function->where.devfn;
    unsigned pin = function->interrupt_pin;

    function->requester = (uint16_t)(bus << 8 | devfn);
    while (!walk->buses[bus].root) {
        const struct bus *above = &walk->buses[bus];
        if (pin != 0)
            pin = (pin - 1 + (devfn >> 3)) % 4 + 1;
        if (above->type == PCI_EXPRESS_TYPE_TO_PCI_BRIDGE)
            function->requester = (uint16_t)(bus << 8);
        else if (above->type == CONVENTIONAL)
            function->requester = (uint16_t)(above->parent << 8 | above->devfn);
        devfn = above->devfn;
        bus = above->parent;
    }
    function->root_pin = (uint8_t)pin;
    function->root_device = (uint16_t)(bus << 8 | devfn);
}

/* False when the function was not the same, or not there, after it had been read. */
static bool read_function(struct walk *walk, const struct cursor *cursor, struct pci_function *function)
{
    const struct pci_access *access = walk->access;
    struct pci_address where = cursor->where;
    uint32_t id = pci_read32(access, where, PCI_VENDOR);
    uint32_t revision = pci_read32(access, where, PCI_REVISION);
    uint16_t interrupt = pci_read16(access, where, PCI_INTERRUPT_LINE);

    function->where = where;
    function->vendor = (uint16_t)id;
    function->device = (uint16_t)(id >> 16);
    function->revision = (uint8_t)revision;
    function->class_code = revision >> 8;
    function->header_type = cursor->header_type;
    function->interrupt_line = (uint8_t)interrupt;
    function->interrupt_pin = (uint8_t)(interrupt >> 8);
    if (function->interrupt_pin > 4) {
        pci_warn(where, "interrupt pin %u does not exist; it has none", function->interrupt_pin);
        function->interrupt_pin = 0;
    }
    if (pci_is_bridge(function)) {
        uint8_t child = child_of(walk, where);
        function->secondary_bus = child;
        function->subordinate_bus = child != 0 ? walk->buses[child].limit : 0;
    } else {
        uint32_t subsystem = pci_read32(access, where, PCI_SUBSYSTEM_VENDOR);
        function->subsystem_vendor = (uint16_t)subsystem;
        function->subsystem = (uint16_t)(subsystem >> 16);
    }
    look_from_root(walk, function);
    pci_read_bars(walk->bridge, access, function);
    pci_read_capabilities(access, function);
    return id == pci_read32(access, where, PCI_VENDOR);
}

static bool emit_bus(struct walk *walk, uint8_t bus, uint16_t bridge_index, pci_found *found, void *context)
{
    struct cursor cursor = cursor_start(walk, bus);

    while (cursor_next(walk, &cursor)) {
        struct pci_function function = {.bridge = bridge_index};
        if (cursor.header_type != PCI_HEADER_NORMAL && cursor.header_type != PCI_HEADER_BRIDGE) {
            pci_warn(cursor.where, "header type %u is not known; the function is ignored", cursor.header_type);
            continue;
        }
        if (!read_function(walk, &cursor, &function)) {
            pci_warn(cursor.where, "went away while it was read; the function is ignored");
            continue;
        }
        if (!found(context, &function))
            return false;
    }
    return true;
}

void pci_enumerate(const struct machine_host_bridge *bridge, uint16_t bridge_index, const struct pci_access *access,
                   pci_found *found, void *context)
{
    struct walk walk = {.bridge = bridge, .access = access, .patience_ms = RETRY_TOTAL_MS};

    find_roots(&walk);
    if (bridge->firmware_configured || access->read_only)
        number_roots(&walk, true);
    if (!access->read_only)
        number_roots(&walk, false);
    for (unsigned bus = bridge->first_bus; bus <= last_bus(bridge); bus++) {
        if (walk.buses[bus].reached && !emit_bus(&walk, (uint8_t)bus, bridge_index, found, context))
            return;
    }
}
