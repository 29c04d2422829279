/*
 * serial.c: the console's 16550: COM1 (`-serial stdio`; on microvm with isa-serial=on), or whichever firmware names.
 */
#include "local.h"

#include <lib/log.h>
#include <platform/ns16550.h>

enum {
    COM1 = 0x3f8,
    COM2 = 0x2f8,
    COM1_INTERRUPT = 4,
    COM2_INTERRUPT = 3,
    CLOCK_HZ = 1843200, /* of every PC's UART */
    BAUD = 115200,
    BYTES_PER_POLL = 4096, /* a UART that never runs dry is not read for ever */
};

static uint8_t port_read(const struct ns16550 *port, unsigned number)
{
    return port_read8((uint16_t)(port->base + (number << port->shift)));
}

static void port_write(const struct ns16550 *port, unsigned number, uint8_t value)
{
    port_write8((uint16_t)(port->base + (number << port->shift)), value);
}

static struct ns16550 uart;
static bool ready;
static uint64_t place; /* physical address or port */
static unsigned moves;
static struct machine_line line = {.line = MACHINE_NO_LINE};
static void (*receiver)(uint8_t byte);
static bool listening;

static struct ns16550 at_port(uint16_t port)
{
    return (struct ns16550){.read = port_read, .write = port_write, .base = port, .width = 1};
}

void serial_early_init(void)
{
    struct ns16550 com1 = at_port(COM1);

    if (!ns16550_present(&com1))
        return;
    ns16550_init(&com1, CLOCK_HZ, BAUD);
    uart = com1;
    place = COM1;
    ready = true;
}

/* ---- Choosing ------------------------------------------------------------------------------------------- */

static struct machine_line line_of(const struct machine *machine, const struct machine_uart *from)
{
    if (from->line.line == MACHINE_NO_LINE && from->registers.space == ADDRESS_PORT) {
        if (from->registers.address == COM1)
            return isa_line(machine, COM1_INTERRUPT);
        if (from->registers.address == COM2)
            return isa_line(machine, COM2_INTERRUPT);
    }
    return from->line;
}

/* How the UART's registers are reached; base is 0 when they cannot be. */
static struct ns16550 reach(const struct machine_uart *from)
{
    const struct machine_register *where = &from->registers;
    uint8_t width = where->access_bytes == 0 ? 1 : where->access_bytes;
    struct ns16550 port = {0};

    if (from->kind != UART_NS16550 || from->register_shift > 3)
        return port;
    if (where->space == ADDRESS_PORT && where->address <= UINT16_MAX - (7u << from->register_shift)) {
        port = at_port((uint16_t)where->address);
    } else if (where->space == ADDRESS_MEMORY && width <= 1 << from->register_shift && where->address % width == 0) {
        port.read = ns16550_memory_read;
        port.write = ns16550_memory_write;
        port.base = (uintptr_t)vm_map_device(where->address, UINT64_C(8) << from->register_shift);
        port.width = width;
    }
    port.shift = from->register_shift;
    return port;
}

/* The one in use since serial_early_init goes on as it is: what it still has to send is not thrown away. */
static bool take(const struct machine_uart *from)
{
    struct ns16550 port = reach(from);
    bool in_ports = from->registers.space == ADDRESS_PORT;

    if (port.base == 0)
        return false;
    if (!ready || in_ports != (uart.read == port_read) || place != from->registers.address) {
        if (!ns16550_present(&port)) {
            log_warn("serial", "nothing answers like a 16550 at 0x%llx", (unsigned long long)from->registers.address);
            return false;
        }
        ns16550_init(&port, in_ports && from->clock_hz == 0 ? CLOCK_HZ : from->clock_hz, from->baud);
        moves += ready;
        uart = port;
        place = from->registers.address;
        ready = true;
    }
    return true;
}

bool serial_init(const struct machine *machine)
{
    for (unsigned named = 2; named-- > 0;)
        for (uint32_t i = 0; i < machine->uart_count; i++)
            if (machine->uarts[i].console == (named != 0) && take(&machine->uarts[i])) {
                line = line_of(machine, &machine->uarts[i]);
                return true;
            }
    if (ready)
        line = isa_line(machine, COM1_INTERRUPT);
    return false;
}

bool serial_adopt(const struct machine_uart *from)
{
    if (!take(from))
        return false;
    line = from->line;
    return true;
}

bool serial_settled(void)
{
    return ready;
}

unsigned serial_moves(void)
{
    return moves;
}

void serial_report(struct printer *printer)
{
    if (!ready) {
        print(printer, "serial: none\n");
        return;
    }
    print(printer, "serial: 16550 at %s 0x%llx, ", uart.read == port_read ? "port" : "address",
          (unsigned long long)place);
    if (listening)
        print(printer, "line %u\n", line.line);
    else
        print(printer, "polled\n");
}

bool serial_ready(void)
{
    return ready;
}

/* ---- Output and input ------------------------------------------------------------------------------------ */

void serial_write(const char *text, size_t length)
{
    size_t start = 0;

    if (!ready)
        return;
    for (size_t i = 0; i < length; i++)
        if (text[i] == '\n') {
            ns16550_write(&uart, text + start, i - start);
            ns16550_write(&uart, "\r\n", 2);
            start = i + 1;
        }
    ns16550_write(&uart, text + start, length - start);
}

void serial_poll(void)
{
    uintptr_t saved = cpu_interrupts_disable();

    for (unsigned bytes = 0; ready && receiver != NULL && bytes < BYTES_PER_POLL; bytes++) {
        int byte = ns16550_read(&uart);
        if (byte < 0)
            break;
        receiver((uint8_t)byte);
    }
    cpu_interrupts_restore(saved);
}

static void arrived(void *context)
{
    (void)context;
    serial_poll();
}

bool serial_listen(void (*received)(uint8_t byte))
{
    uint32_t route;

    receiver = received;
    if (!ready || listening)
        return listening;

    enum status status = interrupt_attach_line(&line, "serial", arrived, NULL, &route);
    if (status != STATUS_OK) {
        log_info("serial", "no interrupt for the console's input (%s); it is polled", status_text(status));
        return false;
    }
    listening = true;
    interrupt_unmask(route);
    ns16550_listen(&uart);
    serial_poll(); /* what came before is no edge any more */
    return true;
}
