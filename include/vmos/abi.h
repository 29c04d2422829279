/*
 * abi.h: the words that both sides of the system-call line share.
 *
 * Everything here is plain data with a fixed layout: it may cross from a process to the kernel
 * and back unchanged.
 */
#ifndef VMOS_ABI_H
#define VMOS_ABI_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define NANOSECONDS_PER_MICROSECOND UINT64_C(1000)
#define NANOSECONDS_PER_MILLISECOND UINT64_C(1000000)
#define NANOSECONDS_PER_SECOND      UINT64_C(1000000000)

/* A deadline that never comes. */
#define DEADLINE_NEVER UINT64_MAX

/* What came of an operation. Decoded to a phrase only at the edge, by status_text(). */
enum status {
    STATUS_OK = 0,
    STATUS_INVALID,      /* an argument or a table breaks its own rules */
    STATUS_OUT_OF_RANGE, /* a number lies outside what the object has */
    STATUS_NOT_FOUND,    /* there is no such thing */
    STATUS_UNSUPPORTED,  /* well formed, but this device or kernel does not do it */
    STATUS_NO_MEMORY,    /* the caller's memory or the machine's has run out */
    STATUS_LIMIT,        /* a fixed limit was reached */
    STATUS_BUSY,         /* not now: a queue is full, a device is claimed */
    STATUS_TIMED_OUT,    /* the deadline passed first */
    STATUS_READ_ONLY,    /* a write to what can only be read */
    STATUS_IO_ERROR,     /* the device says that the operation failed */
    STATUS_DEVICE_FAULT, /* the device broke its contract and is not to be used until reset */
    STATUS_REVOKED,      /* the authority behind the handle has ended */
    STATUS_DENIED,       /* the handle does not carry this right */
    STATUS_COUNT
};

/* A phrase in lower case, "out of range"; never NULL, whatever the value. */
const char *status_text(enum status status);

/*
 * An address as one device sees it, within that device's domain and ownership epoch.
 * Never a physical address to whoever holds it, even where the numbers happen to agree.
 */
typedef uint64_t device_address;

/*
 * A run of somebody's memory, named so that it can be passed on without being touched.
 * `object` is a Memory handle; 0 means the address space of the home that the code runs in, and
 * `offset` is then an address there. The bytes stay the property of whoever made the reference.
 */
struct memory_ref {
    uint64_t object;
    uint64_t offset; /* bytes */
    uint64_t length; /* bytes */
};

#endif
