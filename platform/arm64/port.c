/* port.c: this CPU has no I/O ports; where a host bridge forwards PCI I/O space, it does so in memory. */
#include <platform/port.h>

bool port_space_exists(void)
{
    return false;
}

uint8_t port_read8(uint16_t port)
{
    (void)port;
    return UINT8_MAX;
}

uint16_t port_read16(uint16_t port)
{
    (void)port;
    return UINT16_MAX;
}

uint32_t port_read32(uint16_t port)
{
    (void)port;
    return UINT32_MAX;
}

void port_write8(uint16_t port, uint8_t value)
{
    (void)port;
    (void)value;
}

void port_write16(uint16_t port, uint16_t value)
{
    (void)port;
    (void)value;
}

void port_write32(uint16_t port, uint32_t value)
{
    (void)port;
    (void)value;
}
