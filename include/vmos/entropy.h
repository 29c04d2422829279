/*
 * entropy.h: a source of random bytes. What it gives is mixed in, never trusted alone.
 */
#ifndef VMOS_ENTROPY_H
#define VMOS_ENTROPY_H

#include <vmos/abi.h>

struct entropy_ops {
    /* Fills up to `size` bytes and returns how many the source really gave before the deadline. */
    size_t (*read)(void *driver, void *buffer, size_t size, uint64_t deadline_ns);
};

struct entropy_device {
    const struct entropy_ops *ops;
    void *driver;
    const char *name;
};

#endif
