/*
 * serial.h: the console's UART.
 *
 * Output must work from the first instruction of kernel_main on, before the machine is known, in
 * a panic, and with a UART that is not there (bounded waiting, never a hang).
 */
#ifndef PLATFORM_SERIAL_H
#define PLATFORM_SERIAL_H

#include <vmos/machine.h>
#include <lib/printf.h>

/* The best guess before any table was read: x64 port 0x3f8 when it answers, arm64/rv64 none until
 * serial_init (rv64: SBI console). Lines logged before there is a UART are kept by the log and replayed. */
void serial_early_init(void);

/* Chooses among machine->uarts (the console's first) and takes it over; false: none usable, stays with
 * what there is. Register windows are mapped through vm_map_device. */
bool serial_init(const struct machine *machine);

/* Takes over a 16550 that was found later, on PCI; false: nothing answers there, and what was in use stays. Once the
 * one in use it is the same and true. */
bool serial_adopt(const struct machine_uart *uart);

/* Whether what is in use is known to be a port; not so without any, and with firmware of which nobody knows whether it
 * has one. */
bool serial_settled(void);

/* How often output has gone from one port to another, whose reader has seen nothing of what came before. */
unsigned serial_moves(void);

/* What is in use: "PL011 at 0x9000000, line 33". */
void serial_report(struct printer *printer);

/* Whether there is a port; without one, what is written is lost. */
bool serial_ready(void);
void serial_write(const char *text, size_t length); /* \n becomes \r\n */

/* Input, by interrupt: attaches the line and calls `received` in interrupt context for every byte; when the
 * line cannot be routed returns false, and serial_poll must be called. */
bool serial_listen(void (*received)(uint8_t byte));
void serial_poll(void); /* delivers what has arrived; also safe when listening */

#endif
