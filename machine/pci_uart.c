/*
 * pci_uart.c: serial ports that are PCI functions: Amazon's on bare metal and Nitro (1d0f:8250), QEMU's pci-serial.
 *
 * A function is taken for a 16550 when its class says so, and then its first BAR that could be placed holds the
 * registers, bytes one apart, in ports or in memory. SPCR may name the function; then it also says their width.
 */
#include <machine/pci.h>

enum {
    CLASS_SERIAL = 0x0700, /* above the programming interface [PCI Code and ID Assignment 1.16 §1.8] */
    INTERFACE_16450 = 0x01,
    INTERFACE_LAST_16550 = 0x06, /* 16550, 16650, 16750, 16850, 16950 */
    VENDOR_AMAZON = 0x1d0f,
    DEVICE_AMAZON_SERIAL = 0x8250,
    REGISTERS = 8,
    PORT_SPACE = 0x10000,
};

static bool is_16550(const struct pci_function *function)
{
    if (function->vendor == VENDOR_AMAZON && function->device == DEVICE_AMAZON_SERIAL)
        return true;
    return function->class_code >> 8 == CLASS_SERIAL && (function->class_code & 0xff) <= INTERFACE_LAST_16550;
}

/* What SPCR says of this function, or NULL. */
static const struct machine_uart *named(const struct machine *machine, const struct pci_function *function)
{
    for (uint32_t i = 0; i < machine->uart_count; i++) {
        const struct machine_uart *uart = &machine->uarts[i];
        if (uart->pci && uart->console && uart->kind == UART_NS16550 && uart->pci_segment == function->where.segment &&
            uart->pci_function == (uint16_t)(function->where.bus << 8 | function->where.devfn))
            return uart;
    }
    return NULL;
}

/* The registers lie where the BAR is, with the distance that is known; false when they do not fit into it. */
static bool place(const struct pci_bar *bar, struct machine_uart *uart)
{
    bool port = bar->kind == PCI_BAR_IO && bar->cpu_address < PORT_SPACE;

    if (bar->kind == PCI_BAR_NONE || !bar->assigned || bar->size < (uint64_t)REGISTERS << uart->register_shift)
        return false;
    uart->registers.space = port ? ADDRESS_PORT : ADDRESS_MEMORY;
    uart->registers.address = bar->cpu_address;
    return true;
}

enum pci_uart pci_uart_describe(const struct machine *machine, const struct machine_host_bridge *bridge,
                                const struct pci_function *function, struct machine_uart *uart)
{
    const struct machine_uart *said = named(machine, function);

    if (said == NULL && !is_16550(function))
        return PCI_UART_NONE;
    *uart = (struct machine_uart){.kind = UART_NS16550,
                                  .registers = {.access_bytes = 1},
                                  .line = pci_intx_line(bridge, function),
                                  .pci = true,
                                  .pci_segment = function->where.segment,
                                  .pci_function = (uint16_t)(function->where.bus << 8 | function->where.devfn)};
    if (said != NULL && said->registers.space != ADDRESS_NONE) {
        uart->registers.access_bytes = said->registers.access_bytes;
        uart->register_shift = said->register_shift;
    }
    for (unsigned i = 0; i < PCI_MAX_BARS; i++)
        if (place(&function->bars[i], uart))
            return said != NULL ? PCI_UART_NAMED : PCI_UART_FOUND;
    return PCI_UART_NONE;
}
