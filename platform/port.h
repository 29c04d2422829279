/*
 * port.h: the x86 I/O port space, ARCH/port.c. A CPU without one reads all ones and drops writes.
 */
#ifndef PLATFORM_PORT_H
#define PLATFORM_PORT_H

#include <stdbool.h>
#include <stdint.h>

bool port_space_exists(void);

uint8_t port_read8(uint16_t port);
uint16_t port_read16(uint16_t port);
uint32_t port_read32(uint16_t port);
void port_write8(uint16_t port, uint8_t value);
void port_write16(uint16_t port, uint16_t value);
void port_write32(uint16_t port, uint32_t value);

#endif
