/*
 * serial.c: the console's UART: a PL011 (QEMU's virt machine, -serial stdio) or a 16550 in memory (cloud machines).
 */
#include "local.h"

#include <lib/log.h>
#include <platform/interrupt.h>
#include <platform/mmu.h>
#include <platform/ns16550.h>
#include <platform/serial.h>

/* Registers: [Arm PrimeCell UART PL011 DDI 0183 §3.2]. */
enum {
    PL011_DATA = 0x00,
    PL011_FLAGS = 0x18,
    PL011_FLAGS_RECEIVE_EMPTY = 1 << 4,
    PL011_FLAGS_TRANSMIT_FULL = 1 << 5,
    PL011_LINE_CONTROL = 0x2c,
    PL011_LINE_CONTROL_FIFO = 1 << 4,
    PL011_LINE_CONTROL_8_BITS = 3 << 5,
    PL011_CONTROL = 0x30,
    PL011_CONTROL_ENABLE = 1 << 0,
    PL011_CONTROL_TRANSMIT = 1 << 8,
    PL011_CONTROL_RECEIVE = 1 << 9,
    PL011_FIFO_LEVELS = 0x34,
    PL011_INTERRUPT_MASK = 0x38,
    PL011_INTERRUPT_CLEAR = 0x44,
    PL011_INTERRUPT_RECEIVE = 1 << 4,
    PL011_INTERRUPT_TIMEOUT = 1 << 6, /* bytes lie in the FIFO, fewer than its level */
    PL011_INTERRUPT_ALL = 0x7ff,

    PL011_SIZE = 0x1000,
    NS16550_REGISTERS = 8,
    WAIT_TURNS = 200000,   /* longer than a full FIFO takes at 9600 baud on any CPU that traps each look */
    RECEIVE_AT_ONCE = 256, /* a port that never runs empty does not hold the CPU */
};

struct port {
    bool (*present)(void);
    void (*init)(const struct machine_uart *uart);
    void (*write)(const char *text, size_t length);
    void (*listen)(void);
    int (*read)(void); /* the next byte or -1 */
    const char *name;
};

static const struct port *port; /* NULL: none */
static struct machine_uart chosen;
static unsigned moves;
static void (*deliver)(uint8_t byte);
static bool listening;

/* ---- PL011 ------------------------------------------------------------------------------------------ */

static volatile void *pl011;
static bool pl011_stuck; /* the FIFO did not drain in time; no longer waited for */

/* The control register reads as something other than all ones or a bus error. */
static bool pl011_present(void)
{
    uint32_t control;

    return probe_read32((const volatile uint8_t *)pl011 + PL011_CONTROL, &control) && control != UINT32_MAX;
}

/* Speed stays as firmware or the hypervisor has set it. */
static void pl011_init(const struct machine_uart *uart)
{
    (void)uart;
    pl011_stuck = false;
    register_write32(pl011, PL011_INTERRUPT_MASK, 0);
    register_write32(pl011, PL011_INTERRUPT_CLEAR, PL011_INTERRUPT_ALL);
    register_write32(pl011, PL011_LINE_CONTROL, PL011_LINE_CONTROL_8_BITS | PL011_LINE_CONTROL_FIFO);
    register_write32(pl011, PL011_CONTROL, PL011_CONTROL_ENABLE | PL011_CONTROL_TRANSMIT | PL011_CONTROL_RECEIVE);
}

static bool pl011_has_room(void)
{
    unsigned turns = pl011_stuck ? 1 : WAIT_TURNS;

    while (turns-- > 0)
        if ((register_read32(pl011, PL011_FLAGS) & PL011_FLAGS_TRANSMIT_FULL) == 0) {
            pl011_stuck = false;
            return true;
        }
    pl011_stuck = true;
    return false;
}

static void pl011_put(char byte)
{
    if (pl011_has_room())
        register_write32(pl011, PL011_DATA, (uint8_t)byte);
}

static void pl011_write(const char *text, size_t length)
{
    for (size_t i = 0; i < length; i++) {
        if (text[i] == '\n')
            pl011_put('\r');
        pl011_put(text[i]);
    }
}

/* With the level at an eighth and the timeout each byte is told of, at once or 32 bit times later. */
static void pl011_listen(void)
{
    register_write32(pl011, PL011_FIFO_LEVELS, 0);
    register_write32(pl011, PL011_INTERRUPT_MASK, PL011_INTERRUPT_RECEIVE | PL011_INTERRUPT_TIMEOUT);
}

static int pl011_read(void)
{
    if ((register_read32(pl011, PL011_FLAGS) & PL011_FLAGS_RECEIVE_EMPTY) != 0)
        return -1;
    return (uint8_t)register_read32(pl011, PL011_DATA);
}

static const struct port pl011_port = {
    .present = pl011_present,
    .init = pl011_init,
    .write = pl011_write,
    .listen = pl011_listen,
    .read = pl011_read,
    .name = "PL011",
};

/* ---- 16550 in memory -------------------------------------------------------------------------------- */

static struct ns16550 ns16550;

static uint8_t memory_read(const struct ns16550 *chip, unsigned number)
{
    const volatile void *base = (const volatile void *)chip->base; /* NOLINT(performance-no-int-to-ptr) */
    uint32_t offset = number << chip->shift;

    return chip->width == 4 ? (uint8_t)register_read32(base, offset) : register_read8(base, offset);
}

static void memory_write(const struct ns16550 *chip, unsigned number, uint8_t value)
{
    volatile void *base = (volatile void *)chip->base; /* NOLINT(performance-no-int-to-ptr) */
    uint32_t offset = number << chip->shift;

    if (chip->width == 4)
        register_write32(base, offset, value);
    else
        register_write8(base, offset, value);
}

static bool memory_present(void)
{
    uint32_t ignored;

    return probe_read32((const volatile void *)ns16550.base, &ignored) && /* NOLINT(performance-no-int-to-ptr) */
           ns16550_present(&ns16550);
}

static void memory_init(const struct machine_uart *uart)
{
    ns16550_init(&ns16550, uart->clock_hz, uart->baud);
}

static void memory_put(const char *text, size_t length)
{
    size_t start = 0;

    for (size_t i = 0; i < length; i++)
        if (text[i] == '\n') {
            ns16550_write(&ns16550, text + start, i - start);
            ns16550_write(&ns16550, "\r\n", 2);
            start = i + 1;
        }
    ns16550_write(&ns16550, text + start, length - start);
}

static void memory_listen(void)
{
    ns16550_listen(&ns16550);
}

static int memory_get(void)
{
    return ns16550_read(&ns16550);
}

static const struct port ns16550_port = {
    .present = memory_present,
    .init = memory_init,
    .write = memory_put,
    .listen = memory_listen,
    .read = memory_get,
    .name = "16550",
};

/* ---- Choice ----------------------------------------------------------------------------------------- */

void serial_early_init(void)
{
}

static const struct port *map_port(const struct machine_uart *uart)
{
    const struct machine_register *registers = &uart->registers;
    bool is_pl011 = uart->kind == UART_PL011;
    uint8_t shift = uart->register_shift < 4 ? uart->register_shift : 0;

    if (registers->space == ADDRESS_NONE || (!is_pl011 && uart->kind != UART_NS16550))
        return NULL;
    if (registers->space != ADDRESS_MEMORY) {
        log_warn("serial", "the serial port at 0x%llx would be in port space, which this CPU has not",
                 (unsigned long long)registers->address);
        return NULL;
    }

    uint64_t size = is_pl011 ? PL011_SIZE : (uint64_t)NS16550_REGISTERS << shift;
    volatile void *base = vm_map_device(registers->address, size);
    if (base == NULL || registers->address % 4 != 0)
        return NULL;
    if (is_pl011) {
        pl011 = base;
        return &pl011_port;
    }
    ns16550 = (struct ns16550){
        .read = memory_read,
        .write = memory_write,
        .base = (uintptr_t)base,
        .shift = shift,
        .width = registers->access_bytes == 4 && shift >= 2 ? 4 : 1,
    };
    return &ns16550_port;
}

static bool take(const struct machine_uart *uart)
{
    const struct port *candidate = map_port(uart);

    if (candidate == NULL)
        return false;
    if (!candidate->present()) {
        log_warn("serial", "nothing answers like a %s at 0x%llx", candidate->name,
                 (unsigned long long)uart->registers.address);
        return false;
    }
    candidate->init(uart);
    moves += port != NULL;
    port = candidate;
    chosen = *uart;
    return true;
}

bool serial_init(const struct machine *machine)
{
    for (unsigned pass = 0; pass < 2; pass++)
        for (uint32_t i = 0; i < machine->uart_count; i++)
            if (machine->uarts[i].console == (pass == 0) && take(&machine->uarts[i]))
                return true;
    return false;
}

/* The chip in use must not lose its registers to one that does not answer. */
bool serial_adopt(const struct machine_uart *uart)
{
    struct ns16550 before = ns16550;

    if (port != NULL && chosen.registers.space == uart->registers.space &&
        chosen.registers.address == uart->registers.address) {
        chosen.line = uart->line;
        return true;
    }
    if (take(uart))
        return true;
    ns16550 = before;
    return false;
}

bool serial_settled(void)
{
    return port != NULL;
}

unsigned serial_moves(void)
{
    return moves;
}

void serial_report(struct printer *printer)
{
    if (port == NULL) {
        print(printer, "serial: none\n");
        return;
    }
    print(printer, "serial: %s at address 0x%llx, ", port->name, (unsigned long long)chosen.registers.address);
    if (listening)
        print(printer, "line %u\n", chosen.line.line);
    else
        print(printer, "polled\n");
}

bool serial_ready(void)
{
    return port != NULL;
}

void serial_write(const char *text, size_t length)
{
    if (port != NULL)
        port->write(text, length);
}

/* ---- Input ------------------------------------------------------------------------------------------ */

static void receive(void)
{
    for (unsigned i = 0; i < RECEIVE_AT_ONCE; i++) {
        int byte = port->read();
        if (byte < 0)
            return;
        if (deliver != NULL)
            deliver((uint8_t)byte);
    }
}

static void serial_interrupt(void *context)
{
    (void)context;
    receive();
}

bool serial_listen(void (*received)(uint8_t byte))
{
    uint32_t route;

    deliver = received;
    if (port == NULL || interrupt_attach_line(&chosen.line, "serial", serial_interrupt, NULL, &route) != STATUS_OK)
        return false;
    port->listen();
    interrupt_unmask(route);
    listening = true;
    return true;
}

void serial_poll(void)
{
    if (port == NULL)
        return;

    uintptr_t saved = cpu_interrupts_disable();
    receive();
    cpu_interrupts_restore(saved);
}
