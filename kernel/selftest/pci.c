/* pci.c: every function is still what was found, where it was put, in the state that its ownership asks for. */
#include <kernel/selftest.h>

#include <authority/device.h>
#include <machine/pci_space.h>

/* What a function may do now, against who owns it: one that nobody owns reaches no memory. */
static const char *wrong_command(const struct device *device)
{
    enum { CLASS_BRIDGE = 0x06 };
    const struct pci_function *function = device->function;
    uint16_t command = pci_read16(device->access, function->where, PCI_COMMAND), decode = 0;
    bool owned = device->ownership.state == DEVICE_CLAIMED, master = (command & PCI_COMMAND_MASTER) != 0;

    for (unsigned i = 0; i < PCI_MAX_BARS; i++)
        if (function->bars[i].kind != PCI_BAR_NONE && function->bars[i].assigned)
            decode |= function->bars[i].kind == PCI_BAR_IO ? PCI_COMMAND_IO : PCI_COMMAND_MEMORY;
    if (function->header_type == PCI_HEADER_BRIDGE)
        return function->secondary_bus != 0 && !master ? "passes nothing on" : NULL;
    if (function->class_code >> 16 == CLASS_BRIDGE)
        return NULL;
    if (owned && (command & decode) != decode)
        return "has an owner but does not decode";
    return owned == master ? NULL : owned ? "has an owner but is no bus master" : "is bus master without an owner";
}

void selftest_pci(struct selftest_result *result)
{
    unsigned functions = 0, owned = 0, bridges = 0, gone = 0;

    for (struct device *device = device_first(); device != NULL; device = device->next) {
        if (device->function == NULL)
            continue;
        if (device->gone) {
            gone++;
            continue;
        }
        const char *wrong = pci_verify(device->access, device->function);
        if (wrong == NULL)
            wrong = wrong_command(device);
        if (wrong != NULL) {
            selftest_is(result, SELFTEST_FAIL, "%s: %s", device->name, wrong);
            return;
        }
        device_collect_errors(device);
        if (device->error_reports != 0) {
            char text[120];
            pci_errors_text(&device->errors, text, sizeof text);
            selftest_is(result, SELFTEST_FAIL, "%s: has recorded %s", device->name, text);
            return;
        }
        functions++;
        owned += device->ownership.state == DEVICE_CLAIMED;
        bridges += device->function->header_type == PCI_HEADER_BRIDGE;
    }
    if (functions == 0)
        selftest_is(result, SELFTEST_SKIP, "this machine has no PCI functions");
    else
        selftest_is(result, SELFTEST_PASS,
                    "%u functions found again as they were: %u owned, %u bridges; %u gone; no errors recorded",
                    functions, owned, bridges, gone);
}
