/*
 * late_console.c: the console on a PCI function, which can be had only once PCI has been looked at.
 *
 * The one that SPCR names goes before everything else; any other only where there is no serial port yet. What was
 * logged so far is replayed to it by log.c.
 */
#include "kernel.h"
#include "log.h"

#include <authority/device.h>
#include <machine/pci_space.h>
#include <platform/serial.h>

/* Firmware that uses the port has decoding on; the port of a machine without such firmware has it off. */
static bool adopt(struct device *device, const struct machine_uart *uart)
{
    const struct pci_function *function = device->function;
    uint16_t decode = uart->registers.space == ADDRESS_PORT ? PCI_COMMAND_IO : PCI_COMMAND_MEMORY;

    for (unsigned i = 0; i < PCI_MAX_BARS; i++)
        if (function->bars[i].cpu_address == uart->registers.address && function->bars[i].kind == PCI_BAR_IO)
            decode = PCI_COMMAND_IO; /* ports that the host bridge shows in memory */
    uint16_t before = pci_read16(device->access, function->where, PCI_COMMAND);
    pci_write16(device->access, function->where, PCI_COMMAND, (uint16_t)(before | decode));
    if (serial_adopt(uart))
        return true;
    pci_write16(device->access, function->where, PCI_COMMAND, before);
    return false;
}

void late_console(void)
{
    for (enum pci_uart wanted = PCI_UART_NAMED; wanted > PCI_UART_NONE; wanted--)
        for (struct device *device = device_first(); device != NULL; device = device->next) {
            struct machine_uart uart;
            if (device->function == NULL || (wanted == PCI_UART_FOUND && serial_settled()))
                continue;
            if (pci_uart_describe(&machine, device->bridge, device->function, &uart) == wanted &&
                adopt(device, &uart)) {
                log_info("serial", "the console is %s", device->name);
                return;
            }
        }
}
