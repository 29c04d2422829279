/*
 * registers.c: the accesses that reach a device's registers, in memory or in port space. A host test puts a model here.
 */
#include "device.h"

#include <platform/port.h>

uint32_t register_read(const struct device_window *place, uint64_t offset, unsigned width)
{
    const volatile uint8_t *at = place->registers + offset;
    uint16_t port = (uint16_t)(place->port + offset);

    if (place->registers == NULL)
        return width == 1 ? port_read8(port) : width == 2 ? port_read16(port) : port_read32(port);
    if (width == 1)
        return *at;
    return width == 2 ? *(const volatile uint16_t *)at : *(const volatile uint32_t *)at;
}

void register_write(const struct device_window *place, uint64_t offset, unsigned width, uint32_t value)
{
    volatile uint8_t *at = place->registers + offset;
    uint16_t port = (uint16_t)(place->port + offset);

    if (place->registers == NULL) {
        if (width == 1)
            port_write8(port, (uint8_t)value);
        else if (width == 2)
            port_write16(port, (uint16_t)value);
        else
            port_write32(port, value);
    } else if (width == 1) {
        *at = (uint8_t)value;
    } else if (width == 2) {
        *(volatile uint16_t *)at = (uint16_t)value;
    } else {
        *(volatile uint32_t *)at = value;
    }
}
