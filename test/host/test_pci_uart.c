/* test_pci_uart.c: which PCI functions are serial ports, and where their registers are. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include <machine/pci.h>

static const struct machine_host_bridge bridge = {.last_bus = 255};
static struct machine *machine;

static struct pci_function function_of(uint16_t vendor, uint16_t device, uint32_t class_code)
{
    return (struct pci_function){
        .where = {.bus = 0, .devfn = 1 << 3}, .vendor = vendor, .device = device, .class_code = class_code};
}

static void give_bar(struct pci_function *function, unsigned index, enum pci_bar_kind kind, uint64_t address,
                     uint64_t size)
{
    function->bars[index] = (struct pci_bar){
        .kind = kind, .assigned = address != 0, .size = size, .bus_address = address, .cpu_address = address};
}

static enum pci_uart describe(const struct pci_function *function, struct machine_uart *uart)
{
    return pci_uart_describe(machine, &bridge, function, uart);
}

static int fresh(void **state)
{
    (void)state;
    machine = calloc(1, sizeof *machine);
    return machine == NULL;
}

static int done(void **state)
{
    (void)state;
    free(machine);
    return 0;
}

static void by_class(void **state)
{
    struct pci_function qemu = function_of(0x1b36, 0x0002, 0x070002), parallel = function_of(0x1b36, 2, 0x070101),
                        other = function_of(0x1b36, 2, 0x070080), disk = function_of(0x1b36, 0x10, 0x010802);
    struct machine_uart uart;

    (void)state;
    give_bar(&qemu, 0, PCI_BAR_IO, 0xc000, 8);
    assert_int_equal(describe(&qemu, &uart), PCI_UART_FOUND);
    assert_int_equal(uart.registers.space, ADDRESS_PORT);
    assert_int_equal(uart.registers.address, 0xc000);
    assert_int_equal(uart.registers.access_bytes, 1);
    give_bar(&qemu, 0, PCI_BAR_IO, 0x3eff0040, 8); /* ports in memory, beyond what is a port number */
    assert_int_equal(describe(&qemu, &uart), PCI_UART_FOUND);
    assert_int_equal(uart.registers.space, ADDRESS_MEMORY);
    give_bar(&parallel, 0, PCI_BAR_IO, 0xc000, 8);
    give_bar(&other, 0, PCI_BAR_IO, 0xc000, 8);
    give_bar(&disk, 0, PCI_BAR_MEMORY64, 0xc0000000, 0x4000);
    assert_int_equal(describe(&parallel, &uart), PCI_UART_NONE);
    assert_int_equal(describe(&other, &uart), PCI_UART_NONE);
    assert_int_equal(describe(&disk, &uart), PCI_UART_NONE);
}

static void amazon(void **state)
{
    struct pci_function function = function_of(0x1d0f, 0x8250, 0x070003);
    struct machine_uart uart;

    (void)state;
    give_bar(&function, 0, PCI_BAR_MEMORY32, 0x83e00000, 0x1000);
    assert_int_equal(describe(&function, &uart), PCI_UART_FOUND);
    assert_int_equal(uart.registers.space, ADDRESS_MEMORY);
    assert_int_equal(uart.registers.address, 0x83e00000);
    function.class_code = 0xff0000; /* by its number alone */
    assert_int_equal(describe(&function, &uart), PCI_UART_FOUND);
    function.bars[0].assigned = false;
    assert_int_equal(describe(&function, &uart), PCI_UART_NONE);
    give_bar(&function, 2, PCI_BAR_MEMORY32, 0x83e00000, 4); /* too small for eight registers */
    assert_int_equal(describe(&function, &uart), PCI_UART_NONE);
    give_bar(&function, 2, PCI_BAR_MEMORY32, 0x83e00000, 8);
    assert_int_equal(describe(&function, &uart), PCI_UART_FOUND);
}

static void named_by_spcr(void **state)
{
    struct pci_function function = function_of(0x1d0f, 0x8250, 0x070003), neighbour = function;
    struct machine_uart uart;

    (void)state;
    neighbour.where.devfn = 2 << 3;
    give_bar(&function, 0, PCI_BAR_MEMORY32, 0x84000000, 0x1000); /* moved since SPCR was written */
    give_bar(&neighbour, 0, PCI_BAR_MEMORY32, 0x85000000, 0x1000);
    machine->uart_count = 1;
    machine->uarts[0] = (struct machine_uart){.kind = UART_NS16550,
                                              .registers = {ADDRESS_MEMORY, 4, 0, 0x83e00000},
                                              .register_shift = 2,
                                              .console = true,
                                              .pci = true,
                                              .pci_function = 1 << 3};
    assert_int_equal(describe(&function, &uart), PCI_UART_NAMED);
    assert_int_equal(uart.registers.address, 0x84000000);
    assert_int_equal(uart.registers.access_bytes, 4);
    assert_int_equal(uart.register_shift, 2);
    assert_int_equal(describe(&neighbour, &uart), PCI_UART_FOUND);
    machine->uarts[0].pci_segment = 1;
    assert_int_equal(describe(&function, &uart), PCI_UART_FOUND);
    assert_int_equal(uart.register_shift, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(by_class, fresh, done),
        cmocka_unit_test_setup_teardown(amazon, fresh, done),
        cmocka_unit_test_setup_teardown(named_by_spcr, fresh, done),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
