/*
 * fuzz_pci.c: configuration spaces of any content, over the model: found, placed and reported.
 *
 * Input: one byte for the host bridge, then records of a function: parent, place, misbehaviour, and bytes that
 * are XORed into a sane function's header, its write masks, its capabilities and its extended space. So zeros
 * are an honest machine and every bit is a lie.
 *
 * What must hold whatever the input: every access keeps the contract of pci_access, everything offered lies
 * inside what it belongs to, and nothing with a place overlaps a neighbour.
 */
#include <machine/pci.h>
#include <machine/pci_reg.h>
#include <model/pci_config.h>
#include <string.h>

#include "host_log.h"
#include "pci_found.h"

enum { MAX_FUNCTIONS = 8, HEADER = 64, CAPABILITIES = 96, EXTENDED = 32, FINDINGS = 512 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct input {
    const uint8_t *data;
    size_t size;
};

static uint8_t take(struct input *input)
{
    if (input->size == 0)
        return 0;
    input->size--;
    return *input->data++;
}

/* A macro, so that the stack trace names the line. */
#define require(condition)                                                                                             \
    do {                                                                                                               \
        if (!(condition))                                                                                              \
            __builtin_trap();                                                                                          \
    } while (0)

static void mix(struct input *input, uint8_t *bytes, size_t count)
{
    for (size_t i = 0; i < count; i++)
        bytes[i] ^= take(input);
}

static void build(struct pci_model *model, struct input *input)
{
    for (unsigned i = 0; i < MAX_FUNCTIONS && input->size != 0; i++) {
        uint8_t place = take(input), kind = take(input), lies = take(input), when = take(input);
        int parent = (int)((unsigned)place % (i + 1)) - 1;
        uint8_t devfn = (uint8_t)(take(input) ^ i << 3);
        int index = kind & 1 ? pci_model_add_bridge(model, parent, devfn, kind & 2)
                             : pci_model_add(model, parent, devfn, 0x1b36, 0x0010, kind & 2 ? 0x060000 : 0x010802);
        struct pci_model_function *function = pci_model_at(model, index);
        function->root_bus = parent == PCI_MODEL_ROOT && (place & 64) ? when : 0;
        if (!(kind & 1)) {
            pci_model_bar(function, 0, PCI_BAR_MEMORY64, kind & 4, UINT64_C(16) << (kind >> 3));
            pci_model_bar(function, 2, PCI_BAR_MEMORY32, kind & 4, 0x1000);
            pci_model_bar(function, 3, PCI_BAR_IO, false, 32);
            pci_model_msix(function, 4, 2, 0, 2, 0x800);
            pci_model_capability(function, PCI_CAPABILITY_EXPRESS, 0x3c);
        }
        function->every_function = lies & 1;
        function->every_device = lies & 2;
        function->stuck_bars = lies & 4;
        function->ram_bars = lies & 8;
        function->stuck_decode = lies & 16;
        function->stuck_numbers = lies & 32;
        function->retries = lies & 64 ? when * 4u : 0;
        function->vanish_after = lies & 128 ? when + 1u : 0;
        mix(input, function->space, HEADER);
        mix(input, function->writable, HEADER);
        mix(input, function->space + 0x40, CAPABILITIES);
        mix(input, function->space + 0x100, EXTENDED);
    }
}

/* What one function offers lies inside itself. */
static void check_function(const struct pci_function *function)
{
    for (unsigned i = 0; i < function->capability_count; i++)
        require(function->capabilities[i].offset >= 0x40 && function->capabilities[i].length >= 4 &&
                function->capabilities[i].offset + function->capabilities[i].length <= 256);
    for (unsigned i = 0; i < function->extended_capability_count; i++)
        require(function->extended_capabilities[i].offset >= 0x100 &&
                function->extended_capabilities[i].offset <= 0xffc);
    if (function->msix.usable) {
        const struct pci_bar *bar = &function->bars[function->msix.table_bar];
        require(bar->kind == PCI_BAR_MEMORY32 || bar->kind == PCI_BAR_MEMORY64);
        require(function->msix.table_offset + function->msix.vector_count * UINT64_C(16) <= bar->size);
        require(function->msix.pending_offset + UINT64_C(8) <= function->bars[function->msix.pending_bar].size);
    }
    require(function->interrupt_pin <= 4 && function->root_pin <= 4);
    for (unsigned i = 0; i < PCI_MAX_BARS; i++) {
        const struct pci_bar *bar = &function->bars[i];
        if (bar->kind == PCI_BAR_NONE || !bar->assigned)
            continue;
        require(bar->bus_address != 0 && bar->size != 0 && bar->bus_address + (bar->size - 1) >= bar->bus_address);
        require(bar->kind != PCI_BAR_IO || bar->bus_address + bar->size <= 0x10000);
        require(bar->kind != PCI_BAR_MEMORY32 || bar->bus_address + bar->size <= UINT64_C(1) << 32);
    }
}

static bool overlap(const struct pci_bar *a, const struct pci_bar *b)
{
    if (a->kind == PCI_BAR_NONE || b->kind == PCI_BAR_NONE || !a->assigned || !b->assigned ||
        (a->kind == PCI_BAR_IO) != (b->kind == PCI_BAR_IO))
        return false;
    return a->bus_address < b->bus_address ? b->bus_address - a->bus_address < a->size
                                           : a->bus_address - b->bus_address < b->size;
}

/* Root buses share one space. */
static bool neighbours(const struct pci_function *a, const struct pci_function *b)
{
    bool root_a = a->root_device == (uint16_t)(a->where.bus << 8 | a->where.devfn);
    bool root_b = b->root_device == (uint16_t)(b->where.bus << 8 | b->where.devfn);

    return a->where.bus == b->where.bus || (root_a && root_b);
}

/* What is asked of a function later, whatever it answers by then. */
static void look_again(const struct pci_access *access, const struct pci_function *function)
{
    struct pci_errors errors = {0};
    char text[40];

    (void)pci_verify(access, function);
    (void)pci_errors_take(access, function, &errors);
    pci_errors_text(&errors, text, sizeof text);
    (void)pci_link_text(access, function, text, sizeof text);
}

static void check_places(const struct pci_found_list *found)
{
    for (size_t i = 0; i < found->count; i++) {
        for (size_t k = i; k < found->count; k++) {
            if (!neighbours(found->functions[i], found->functions[k]))
                continue;
            for (unsigned a = 0; a < PCI_MAX_BARS; a++)
                for (unsigned b = 0; b < PCI_MAX_BARS; b++)
                    require((i == k && a == b) ||
                            !overlap(&found->functions[i]->bars[a], &found->functions[k]->bars[b]));
        }
    }
}

static void ignore_text(struct printer *printer, const char *text, size_t length)
{
    (void)printer;
    (void)text;
    (void)length;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct input input = {data, size};
    struct pci_model model;
    struct pci_found_list found = {.limit = FINDINGS};
    struct printer printer = {ignore_text};
    uint8_t host = take(&input);
    struct machine_host_bridge bridge = {
        .firmware_configured = host & 1,
        .last_bus = host & 2 ? 3 : 255,
        .ecam = 0x20000000,
        .window_count = host & 4 ? 0 : 3,
        .windows = {{PCI_WINDOW_IO, false, 0, 0x3eff0000, 0x10000},
                    {PCI_WINDOW_MEMORY32, false, 0x10000000, 0x10000000, 0x2eff0000},
                    {host & 8 ? PCI_WINDOW_MEMORY32 : PCI_WINDOW_MEMORY64, host & 16, UINT64_C(0x8000000000),
                     UINT64_C(0x8000000000), host & 32 ? UINT64_MAX : UINT64_C(0x8000000000)}},
    };

    host_log_clear();
    pci_model_init(&model);
    model.access.read_only = host & 64;
    model.access.extended = !(host & 128);
    build(&model, &input);
    pci_enumerate(&bridge, 0, &model.access, pci_found_keep, &found);
    for (size_t i = 0; i < found.count; i++)
        pci_report(found.functions[i], &printer);
    pci_assign(&bridge, &model.access, found.functions, found.count);
    require(model.strays == 0);
    if (!model.access.read_only) {
        for (size_t i = 0; i < found.count; i++)
            check_function(found.functions[i]);
        check_places(&found);
        for (size_t i = 0; i < found.count; i++)
            look_again(&model.access, found.functions[i]);
        require(model.strays == 0);
    } else {
        require(model.writes == 0);
    }
    pci_model_free(&model);
    pci_found_free(&found);
    return 0;
}
