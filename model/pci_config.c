/*
 * pci_config.c: configuration spaces in memory.
 */
#include "pci_config.h"

#include <machine/pci_reg.h>
#include <stdlib.h>
#include <string.h>

static struct pci_model *of(const struct pci_access *access)
{
    return (struct pci_model *)(uintptr_t)access;
}

uint32_t pci_model_get(const struct pci_model_function *function, unsigned offset, unsigned width)
{
    uint32_t value = 0;

    for (unsigned i = 0; i < width; i++)
        value |= (uint32_t)function->space[offset + i] << (8 * i);
    return value;
}

void pci_model_set(struct pci_model_function *function, unsigned offset, unsigned width, uint32_t value)
{
    for (unsigned i = 0; i < width; i++)
        function->space[offset + i] = (uint8_t)(value >> (8 * i));
}

static void allow(struct pci_model_function *function, unsigned offset, unsigned width, uint32_t mask)
{
    for (unsigned i = 0; i < width; i++)
        function->writable[offset + i] = (uint8_t)(mask >> (8 * i));
}

static bool is_bridge(const struct pci_model_function *function)
{
    return (function->space[PCI_HEADER_TYPE] & 0x7f) == PCI_HEADER_BRIDGE;
}

/* ---- Routing --------------------------------------------------------------------------------------- */

static bool lies_on(const struct pci_model *model, const struct pci_model_function *function, int parent, unsigned root)
{
    return function->parent == parent &&
           (parent != PCI_MODEL_ROOT || (function->root_bus != 0 ? function->root_bus : model->first_bus) == root);
}

/* Which function below this root answers; NULL: nobody. */
static struct pci_model_function *find_below(struct pci_model *model, struct pci_address where, unsigned root)
{
    unsigned bus = root;
    int parent = PCI_MODEL_ROOT;

    for (unsigned depth = 0; depth < 256 && bus != where.bus; depth++) {
        int next = -2;
        for (size_t i = 0; i < model->count && next == -2; i++) {
            const struct pci_model_function *function = &model->functions[i];
            if (lies_on(model, function, parent, root) && is_bridge(function) &&
                where.bus >= function->space[PCI_SECONDARY_BUS] && where.bus <= function->space[PCI_SUBORDINATE_BUS] &&
                function->space[PCI_SECONDARY_BUS] != 0) {
                next = (int)i;
                bus = function->space[PCI_SECONDARY_BUS];
            }
        }
        if (next == -2)
            return NULL;
        parent = next;
    }
    for (size_t i = 0; i < model->count; i++) {
        struct pci_model_function *function = &model->functions[i];
        uint8_t mask = function->every_device ? 0x07 : 0xff;
        if (function->every_function)
            mask &= 0xf8;
        if (lies_on(model, function, parent, root) && ((function->devfn ^ where.devfn) & mask) == 0)
            return function;
    }
    return NULL;
}

/* NULL: nobody. */
static struct pci_model_function *find(struct pci_model *model, struct pci_address where)
{
    struct pci_model_function *found = find_below(model, where, model->first_bus);

    for (size_t i = 0; i < model->count && found == NULL; i++)
        if (model->functions[i].root_bus != 0)
            found = find_below(model, where, model->functions[i].root_bus);
    return found;
}

static bool admissible(struct pci_model *model, struct pci_address where, unsigned offset, unsigned width)
{
    bool good = where.segment == model->segment && (width == 1 || width == 2 || width == 4) && offset % width == 0 &&
                offset + width <= (model->access.extended ? 4096u : 256u);

    if (!good)
        model->strays++;
    return good;
}

/* Behind something that is gone nothing answers. */
static bool is_cut(const struct pci_model *model, const struct pci_model_function *function)
{
    for (int up = function->parent; up != PCI_MODEL_ROOT; up = model->functions[up].parent)
        if (model->functions[up].gone)
            return true;
    return false;
}

/* Offset of the capability, 0 when there is none. */
static unsigned capability_of(const struct pci_model_function *function, uint8_t identifier)
{
    unsigned offset = function->space[PCI_CAPABILITIES];

    for (unsigned i = 0; i < 64 && offset >= PCI_FIRST_CAPABILITY; i++) {
        if (function->space[offset] == identifier)
            return offset;
        offset = function->space[offset + 1];
    }
    return 0;
}

static void reset(struct pci_model_function *function)
{
    for (unsigned i = 0; i < sizeof function->space; i++)
        function->space[i] &= (uint8_t)~function->writable[i];
    function->resets++;
    function->retries = function->reset_retries;
    function->gone = function->reset_gone;
    function->stuck_bars = function->reset_stuck_bars;
    if (function->reset_vendor != 0)
        pci_model_set(function, PCI_VENDOR, 2, function->reset_vendor);
}

/* What a write sets off. */
static void written(struct pci_model *model, struct pci_model_function *function, unsigned offset)
{
    unsigned express = capability_of(function, PCI_CAPABILITY_EXPRESS);
    unsigned features = capability_of(function, PCI_CAPABILITY_ADVANCED_FEATURES);

    if (express != 0 && offset == express + PCI_EXPRESS_CONTROL &&
        (pci_model_get(function, offset, 2) & PCI_EXPRESS_CONTROL_RESET) != 0) {
        bool able = (pci_model_get(function, express + PCI_EXPRESS_CAPABILITIES, 4) & PCI_EXPRESS_CAPABILITIES_RESET);
        function->space[offset + 1] &= 0x7f;
        if (able)
            reset(function);
    }
    if (features != 0 && offset == features + PCI_FEATURES_CONTROL && (function->space[offset] & 1) != 0)
        reset(function);
    if (express != 0 && is_bridge(function) && offset == express + PCI_EXPRESS_SLOT_CONTROL &&
        (pci_model_get(function, express + PCI_EXPRESS_SLOT_CAPABILITIES, 4) & PCI_SLOT_HOT_PLUG) != 0) {
        unsigned status = express + PCI_EXPRESS_SLOT_STATUS;
        function->space[status] |= PCI_SLOT_COMMAND_COMPLETED;
        if ((pci_model_get(function, offset, 2) & PCI_SLOT_POWER_OFF) != 0) {
            function->space[status] &= (uint8_t)~PCI_SLOT_PRESENT;
            for (size_t i = 0; i < model->count; i++)
                if (model->functions[i].parent == function - model->functions)
                    model->functions[i].gone = true;
        }
    }
}

static uint32_t model_read(const struct pci_access *access, struct pci_address where, unsigned offset, unsigned width)
{
    struct pci_model *model = of(access);
    uint32_t ones = width == 1 ? UINT8_MAX : width == 2 ? UINT16_MAX : UINT32_MAX;

    model->reads++;
    if (!admissible(model, where, offset, width))
        return ones;
    struct pci_model_function *function = find(model, where);
    if (function == NULL)
        return ones;
    function->reads++;
    if (function->gone || is_cut(model, function))
        return ones;
    if (function->vanish_after != 0 && function->reads > function->vanish_after)
        return ones;
    if (offset == PCI_VENDOR && width == 4 && function->retries > 0) {
        function->retries--;
        return 0xffff0001;
    }
    return pci_model_get(function, offset, width);
}

static bool bar_offset(const struct pci_model_function *function, unsigned offset)
{
    return offset >= PCI_BAR0 && offset < (is_bridge(function) ? PCI_BAR0 + 8u : PCI_BAR0 + 24u);
}

static void model_write(const struct pci_access *access, struct pci_address where, unsigned offset, unsigned width,
                        uint32_t value)
{
    struct pci_model *model = of(access);

    model->writes++;
    if (!admissible(model, where, offset, width))
        return;
    struct pci_model_function *function = find(model, where);
    if (function == NULL || function->gone || is_cut(model, function) ||
        (function->vanish_after != 0 && function->reads > function->vanish_after))
        return;
    if (bar_offset(function, offset)) {
        if (value == UINT32_MAX && (function->space[PCI_COMMAND] & (PCI_COMMAND_IO | PCI_COMMAND_MEMORY)) != 0)
            function->sized_decoding++;
        if (function->stuck_bars)
            return;
        if (function->ram_bars) {
            pci_model_set(function, offset, width, value);
            return;
        }
    }
    if (function->stuck_numbers && offset >= PCI_PRIMARY_BUS && offset <= PCI_SUBORDINATE_BUS)
        return;
    if (function->stuck_decode && offset == PCI_COMMAND)
        value |= pci_model_get(function, offset, width) & (PCI_COMMAND_IO | PCI_COMMAND_MEMORY);
    for (unsigned i = 0; i < width; i++) {
        uint8_t mask = function->writable[offset + i];
        uint8_t *byte = &function->space[offset + i];
        *byte = (uint8_t)((*byte & ~mask) | ((uint8_t)(value >> (8 * i)) & mask));
        *byte &= (uint8_t) ~(function->clears[offset + i] & (uint8_t)(value >> (8 * i)));
    }
    written(model, function, offset);
}

static void model_pause(const struct pci_access *access, unsigned milliseconds)
{
    of(access)->paused_ms += milliseconds;
}

/* ---- Building -------------------------------------------------------------------------------------- */

void pci_model_init(struct pci_model *model)
{
    *model = (struct pci_model){
        .access = {.read = model_read, .write = model_write, .pause = model_pause, .extended = true}};
}

void pci_model_free(struct pci_model *model)
{
    free(model->functions);
    model->functions = NULL;
    model->count = model->capacity = 0;
}

struct pci_model_function *pci_model_at(struct pci_model *model, int index)
{
    return &model->functions[index];
}

int pci_model_add(struct pci_model *model, int parent, uint8_t devfn, uint16_t vendor, uint16_t device,
                  uint32_t class_code)
{
    if (model->count == model->capacity) {
        model->capacity = model->capacity == 0 ? 16 : model->capacity * 2;
        model->functions = realloc(model->functions, model->capacity * sizeof *model->functions);
        if (model->functions == NULL)
            abort();
    }
    struct pci_model_function *function = &model->functions[model->count];
    memset(function, 0, sizeof *function);
    function->parent = parent;
    function->devfn = devfn;
    function->next_capability = 0x40;
    function->last_link = PCI_CAPABILITIES;
    pci_model_set(function, PCI_VENDOR, 2, vendor);
    pci_model_set(function, PCI_DEVICE, 2, device);
    pci_model_set(function, PCI_REVISION, 4, class_code << 8 | 1);
    pci_model_set(function, PCI_INTERRUPT_PIN, 1, 1);
    allow(function, PCI_COMMAND, 2,
          PCI_COMMAND_IO | PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER | PCI_COMMAND_INTX_DISABLE);
    allow(function, PCI_INTERRUPT_LINE, 1, 0xff);
    return (int)model->count++;
}

int pci_model_add_bridge(struct pci_model *model, int parent, uint8_t devfn, bool port)
{
    int index = pci_model_add(model, parent, devfn, 0x1b36, port ? 0x000c : 0x0001, 0x060400);
    struct pci_model_function *function = pci_model_at(model, index);

    pci_model_set(function, PCI_HEADER_TYPE, 1, PCI_HEADER_BRIDGE);
    pci_model_set(function, PCI_INTERRUPT_PIN, 1, 0);
    allow(function, PCI_PRIMARY_BUS, 4, UINT32_MAX);
    allow(function, PCI_IO_BASE, 2, 0xf0f0);
    pci_model_set(function, PCI_IO_BASE, 2, 0x0101);
    allow(function, PCI_IO_BASE_HIGH, 4, UINT32_MAX);
    allow(function, PCI_MEMORY_BASE, 4, 0xfff0fff0);
    allow(function, PCI_PREFETCH_BASE, 4, 0xfff0fff0);
    pci_model_set(function, PCI_PREFETCH_BASE, 4, 0x00010001);
    allow(function, PCI_PREFETCH_BASE_HIGH, 4, UINT32_MAX);
    allow(function, PCI_PREFETCH_LIMIT_HIGH, 4, UINT32_MAX);
    if (port) {
        unsigned offset = pci_model_capability(function, PCI_CAPABILITY_EXPRESS, 0x3c);
        pci_model_set(function, offset + PCI_EXPRESS_FLAGS, 2, PCI_EXPRESS_TYPE_ROOT_PORT << 4 | 2);
    }
    return index;
}

void pci_model_bar(struct pci_model_function *function, unsigned index, enum pci_bar_kind kind, bool prefetchable,
                   uint64_t size)
{
    unsigned offset = PCI_BAR0 + index * 4;
    uint64_t mask = ~(size - 1);
    uint32_t bits = kind == PCI_BAR_IO ? PCI_BAR_IS_IO : kind == PCI_BAR_MEMORY64 ? PCI_BAR_TYPE_64 : 0u;

    if (prefetchable)
        bits |= PCI_BAR_PREFETCHABLE;
    pci_model_set(function, offset, 4, bits);
    allow(function, offset, 4, (uint32_t)mask & (kind == PCI_BAR_IO ? ~3u : ~15u));
    if (kind == PCI_BAR_MEMORY64)
        allow(function, offset + 4, 4, (uint32_t)(mask >> 32));
}

unsigned pci_model_capability(struct pci_model_function *function, uint8_t identifier, unsigned size)
{
    unsigned offset = function->next_capability;

    if (offset + size > 256)
        abort();
    function->space[PCI_STATUS] |= PCI_STATUS_CAPABILITIES;
    function->space[function->last_link] = (uint8_t)offset;
    function->space[offset] = identifier;
    function->space[offset + 1] = 0;
    function->last_link = offset + 1;
    function->next_capability = (offset + size + 3) & ~3u;
    return offset;
}

unsigned pci_model_msix(struct pci_model_function *function, unsigned vectors, unsigned bar, uint32_t table,
                        unsigned pending_bar, uint32_t pending)
{
    unsigned offset = pci_model_capability(function, PCI_CAPABILITY_MSIX, PCI_MSIX_SIZE);

    pci_model_set(function, offset + PCI_MSIX_CONTROL, 2, vectors - 1);
    allow(function, offset + PCI_MSIX_CONTROL, 2, PCI_MSIX_CONTROL_ENABLE | PCI_MSIX_CONTROL_MASK_ALL);
    pci_model_set(function, offset + PCI_MSIX_TABLE, 4, table | bar);
    pci_model_set(function, offset + PCI_MSIX_PENDING, 4, pending | pending_bar);
    return offset;
}

unsigned pci_model_express(struct pci_model_function *function, bool can_reset)
{
    unsigned offset = pci_model_capability(function, PCI_CAPABILITY_EXPRESS, 0x3c);

    pci_model_set(function, offset + PCI_EXPRESS_FLAGS, 2, 2);
    pci_model_set(function, offset + PCI_EXPRESS_CAPABILITIES, 4, can_reset ? PCI_EXPRESS_CAPABILITIES_RESET : 0);
    allow(function, offset + PCI_EXPRESS_CONTROL, 2, 0xffff);
    allow(function, offset + PCI_EXPRESS_CONTROL2, 2, 0xffff);
    function->clears[offset + PCI_EXPRESS_STATUS] = PCI_EXPRESS_STATUS_ERRORS;
    function->clears[PCI_STATUS + 1] = PCI_STATUS_ERRORS >> 8;
    return offset;
}

unsigned pci_model_features(struct pci_model_function *function)
{
    unsigned offset = pci_model_capability(function, PCI_CAPABILITY_ADVANCED_FEATURES, 6);

    pci_model_set(function, offset + 2, 1, 6);
    pci_model_set(function, offset + PCI_FEATURES_CAPABILITIES, 1, PCI_FEATURES_HAS_PENDING | PCI_FEATURES_HAS_RESET);
    allow(function, offset + PCI_FEATURES_CONTROL, 1, PCI_FEATURES_RESET);
    return offset;
}

void pci_model_errors(struct pci_model_function *function)
{
    pci_model_set(function, 0x100, 4, 0x00020000 | PCI_EXTENDED_ERRORS);
    memset(&function->clears[0x100 + PCI_ERRORS_UNCORRECTABLE], 0xff, 4);
    memset(&function->clears[0x100 + PCI_ERRORS_CORRECTABLE], 0xff, 4);
}

void pci_model_slot(struct pci_model_function *port)
{
    unsigned express = capability_of(port, PCI_CAPABILITY_EXPRESS);

    port->space[express + PCI_EXPRESS_FLAGS + 1] |= PCI_EXPRESS_FLAGS_SLOT >> 8;
    pci_model_set(port, express + PCI_EXPRESS_SLOT_CAPABILITIES, 4,
                  PCI_SLOT_HAS_BUTTON | PCI_SLOT_HAS_POWER_CONTROLLER | PCI_SLOT_HOT_PLUG);
    allow(port, express + PCI_EXPRESS_SLOT_CONTROL, 2, 0x07ff);
    pci_model_set(port, express + PCI_EXPRESS_SLOT_STATUS, 2, PCI_SLOT_PRESENT);
    port->clears[express + PCI_EXPRESS_SLOT_STATUS] = PCI_SLOT_EVENTS & 0xff;
    port->clears[express + PCI_EXPRESS_SLOT_STATUS + 1] = PCI_SLOT_EVENTS >> 8;
}

/* ---- Addresses ------------------------------------------------------------------------------------- */

static bool forwards(const struct pci_model_function *bridge, bool io, uint64_t address)
{
    if (io) {
        uint32_t base = (pci_model_get(bridge, PCI_IO_BASE, 1) & 0xf0) << 8 | pci_model_get(bridge, PCI_IO_BASE_HIGH, 2)
                                                                                  << 16;
        uint32_t last = (pci_model_get(bridge, PCI_IO_LIMIT, 1) & 0xf0) << 8 | 0xfff |
                        pci_model_get(bridge, PCI_IO_LIMIT_HIGH, 2) << 16;
        return (bridge->space[PCI_COMMAND] & PCI_COMMAND_IO) && address >= base && address <= last;
    }
    uint64_t base = (uint64_t)(pci_model_get(bridge, PCI_MEMORY_BASE, 2) & 0xfff0) << 16;
    uint64_t last = (uint64_t)(pci_model_get(bridge, PCI_MEMORY_LIMIT, 2) & 0xfff0) << 16 | 0xfffff;
    uint64_t high_base = (uint64_t)(pci_model_get(bridge, PCI_PREFETCH_BASE, 2) & 0xfff0) << 16 |
                         (uint64_t)pci_model_get(bridge, PCI_PREFETCH_BASE_HIGH, 4) << 32;
    uint64_t high_last = (uint64_t)(pci_model_get(bridge, PCI_PREFETCH_LIMIT, 2) & 0xfff0) << 16 | 0xfffff |
                         (uint64_t)pci_model_get(bridge, PCI_PREFETCH_LIMIT_HIGH, 4) << 32;
    return (bridge->space[PCI_COMMAND] & PCI_COMMAND_MEMORY) &&
           ((address >= base && address <= last) || (address >= high_base && address <= high_last));
}

static bool reached(const struct pci_model *model, const struct pci_model_function *function, bool io, uint64_t address)
{
    for (int up = function->parent; up != PCI_MODEL_ROOT; up = model->functions[up].parent) {
        if (!forwards(&model->functions[up], io, address))
            return false;
    }
    return true;
}

unsigned pci_model_resolve(const struct pci_model *model, bool io, uint64_t address, int *function_found, unsigned *bar)
{
    unsigned found = 0;

    for (size_t i = 0; i < model->count; i++) {
        const struct pci_model_function *function = &model->functions[i];
        unsigned count = is_bridge(function) ? 2 : 6;
        for (unsigned b = 0; b < count; b++) {
            unsigned offset = PCI_BAR0 + b * 4;
            uint32_t low = pci_model_get(function, offset, 4);
            bool wide = !(low & PCI_BAR_IS_IO) && (low & PCI_BAR_TYPE_MASK) == PCI_BAR_TYPE_64;
            uint64_t base = low & (low & PCI_BAR_IS_IO ? ~3u : ~15u), mask = 0;
            for (unsigned k = 0; k < (wide ? 8u : 4u); k++)
                mask |= (uint64_t)function->writable[offset + k] << (8 * k);
            if (wide)
                base |= (uint64_t)pci_model_get(function, offset + 4, 4) << 32;
            else if (mask != 0)
                mask |= UINT64_C(0xffffffff00000000);
            if (mask != 0 && base != 0 && ((low & PCI_BAR_IS_IO) != 0) == io && (address & mask) == (base & mask) &&
                reached(model, function, io, address)) {
                found++;
                *function_found = (int)i;
                *bar = b;
            }
            b += wide;
        }
    }
    return found;
}
