/* drivers.h: the drivers that are linked into the kernel's home. */
#ifndef KERNEL_DRIVERS_H
#define KERNEL_DRIVERS_H

#include <vmos/driver.h>

extern const struct driver *const kernel_drivers[];
extern const size_t kernel_driver_count;

#endif
