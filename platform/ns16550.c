/*
 * ns16550.c: the 16550 UART: COM1 of PCs, `-M virt` on rv64 (`-serial stdio`), serial ports of clouds.
 *
 * Registers and bits: National Semiconductor PC16550D data sheet, table II and §8.
 */
#include <platform/ns16550.h>

enum {
    DATA = 0,             /* receive buffer, transmit holding; divisor low while LINE_CONTROL_DIVISOR */
    INTERRUPT_ENABLE = 1, /* divisor high while LINE_CONTROL_DIVISOR */
    INTERRUPT_RECEIVE = 1 << 0,
    INTERRUPT_IDENTITY = 2, /* read */
    IDENTITY_FIFOS = 3 << 6,
    FIFO_CONTROL = 2,     /* write */
    FIFO_ENABLE = 1 << 0, /* clears them when they were off; what was typed early stays when they were on */
    LINE_CONTROL = 3,
    LINE_CONTROL_8N1 = 3,
    LINE_CONTROL_DIVISOR = 1 << 7,
    MODEM_CONTROL = 4,
    MODEM_CONTROL_DTR = 1 << 0,
    MODEM_CONTROL_RTS = 1 << 1,
    MODEM_CONTROL_OUT2 = 1 << 3, /* on a PC the gate between the chip and its interrupt line */
    LINE_STATUS = 5,
    LINE_STATUS_RECEIVED = 1 << 0,
    LINE_STATUS_TRANSMITTER_READY = 1 << 5,
    SCRATCH = 7,

    FIFO_DEPTH = 16,
    /* A FIFO leaves in 1.4 ms at 115200 baud and in 17 ms at 9600; reading a register takes 100 ns at least. */
    READY_POLLS = 400000,
};

uint8_t ns16550_memory_read(const struct ns16550 *port, unsigned number)
{
    uintptr_t at = port->base + ((uintptr_t)number << port->shift);

    if (port->width == 4)
        return (uint8_t)(*(volatile uint32_t *)at);
    if (port->width == 2)
        return (uint8_t)(*(volatile uint16_t *)at);
    return *(volatile uint8_t *)at;
}

void ns16550_memory_write(const struct ns16550 *port, unsigned number, uint8_t value)
{
    uintptr_t at = port->base + ((uintptr_t)number << port->shift);

    if (port->width == 4)
        *(volatile uint32_t *)at = value;
    else if (port->width == 2)
        *(volatile uint16_t *)at = value;
    else
        *(volatile uint8_t *)at = value;
}

/* Whether the register keeps each of two patterns; puts back what was there. */
static bool keeps(const struct ns16550 *port, unsigned number, uint8_t one, uint8_t other)
{
    uint8_t before = port->read(port, number);
    bool kept;

    port->write(port, number, one);
    kept = port->read(port, number) == one;
    port->write(port, number, other);
    kept &= port->read(port, number) == other;
    port->write(port, number, before);
    return kept;
}

/* The first chips of the family, and what emulates no more than them, have no scratch register; they have four switches
 * for interrupts, and zeros above those. */
bool ns16550_present(const struct ns16550 *port)
{
    return keeps(port, SCRATCH, 0x5a, 0xa5) || keeps(port, INTERRUPT_ENABLE, 0x0f, 0x00);
}

/* A transmitter that once kept us waiting for all of READY_POLLS is only looked at from then on, until it
 * has moved again: each line of the log would otherwise cost that wait. */
static bool wait_ready(struct ns16550 *port)
{
    for (unsigned poll = 0; poll < READY_POLLS; poll++) {
        if ((port->read(port, LINE_STATUS) & LINE_STATUS_TRANSMITTER_READY) != 0) {
            port->stuck = false;
            return true;
        }
        if (port->stuck)
            return false;
    }
    port->stuck = true;
    return false;
}

void ns16550_init(struct ns16550 *port, uint32_t clock_hz, uint32_t baud)
{
    uint64_t divisor = baud == 0 ? 0 : ((uint64_t)clock_hz + (uint64_t)baud * 8) / ((uint64_t)baud * 16);

    port->stuck = false;
    wait_ready(port); /* what firmware has printed last leaves unharmed */
    port->write(port, INTERRUPT_ENABLE, 0);
    if (divisor > 0 && divisor <= UINT16_MAX) {
        port->write(port, LINE_CONTROL, LINE_CONTROL_DIVISOR);
        port->write(port, DATA, (uint8_t)divisor);
        port->write(port, INTERRUPT_ENABLE, (uint8_t)(divisor >> 8));
    }
    port->write(port, LINE_CONTROL, LINE_CONTROL_8N1);
    port->write(port, FIFO_CONTROL, FIFO_ENABLE);
    port->write(port, MODEM_CONTROL, MODEM_CONTROL_DTR | MODEM_CONTROL_RTS | MODEM_CONTROL_OUT2);

    bool fifos = (port->read(port, INTERRUPT_IDENTITY) & IDENTITY_FIFOS) == IDENTITY_FIFOS;
    port->fifo_depth = fifos ? FIFO_DEPTH : 1;
}

void ns16550_write(struct ns16550 *port, const char *text, size_t length)
{
    while (length > 0) {
        if (!wait_ready(port))
            return;
        for (unsigned room = port->fifo_depth; room > 0 && length > 0; room--, length--)
            port->write(port, DATA, (uint8_t)*text++);
    }
}

void ns16550_listen(const struct ns16550 *port)
{
    port->write(port, INTERRUPT_ENABLE, INTERRUPT_RECEIVE);
}

int ns16550_read(const struct ns16550 *port)
{
    if ((port->read(port, LINE_STATUS) & LINE_STATUS_RECEIVED) == 0)
        return -1;
    return port->read(port, DATA);
}
