/*
 * ns16550.h: the UART chip that most machines have, whatever its registers are reached through.
 *
 * A port is filled in by ARCH/serial.c: how a register is read and written, and where. Registers are
 * numbered 0 to 7; distance and width are the accessors' affair.
 */
#ifndef PLATFORM_NS16550_H
#define PLATFORM_NS16550_H

#include <vmos/abi.h>

struct ns16550 {
    uint8_t (*read)(const struct ns16550 *port, unsigned number);
    void (*write)(const struct ns16550 *port, unsigned number, uint8_t value);
    uintptr_t base; /* address or port of register 0 */
    uint8_t shift;  /* log2 of the distance between registers */
    uint8_t width;  /* bytes per access: 1, 2 or 4 */

    /* ns16550.c's own */
    uint8_t fifo_depth; /* bytes that can be written once the transmitter is empty */
    bool stuck;         /* the transmitter did not become empty in time; no longer waited for */
};

/* Accessors for registers in memory: base is their address, width and shift are used. arm64 has its own, since what
 * emulates a device there cannot decode every load and store. */
uint8_t ns16550_memory_read(const struct ns16550 *port, unsigned number);
void ns16550_memory_write(const struct ns16550 *port, unsigned number, uint8_t value);

/* Whether something answers there like a 16550: its scratch register, or else the one that enables interrupts, holds
 * what is written. */
bool ns16550_present(const struct ns16550 *port);

/* 8N1, FIFOs on, no interrupts. The divisor is set only when both clock_hz and baud are known (not 0). */
void ns16550_init(struct ns16550 *port, uint32_t clock_hz, uint32_t baud);

/* Waits a bounded time for room; bytes for which there is none are dropped. */
void ns16550_write(struct ns16550 *port, const char *text, size_t length);

/* Interrupts when bytes have arrived. */
void ns16550_listen(const struct ns16550 *port);

/* The next byte that has arrived, or -1. */
int ns16550_read(const struct ns16550 *port);

#endif
