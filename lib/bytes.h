/*
 * bytes.h: numbers out of bytes of either order, and powers of two. Inputs may be unaligned.
 */
#ifndef LIB_BYTES_H
#define LIB_BYTES_H

#include <stdbool.h>
#include <stdint.h>

static inline uint16_t load_le16(const void *from)
{
    const uint8_t *b = from;
    return (uint16_t)(b[0] | b[1] << 8);
}

static inline uint32_t load_le32(const void *from)
{
    const uint8_t *b = from;
    return (uint32_t)b[0] | (uint32_t)b[1] << 8 | (uint32_t)b[2] << 16 | (uint32_t)b[3] << 24;
}

static inline uint64_t load_le64(const void *from)
{
    const uint8_t *b = from;
    return (uint64_t)load_le32(b) | (uint64_t)load_le32(b + 4) << 32;
}

static inline uint16_t load_be16(const void *from)
{
    const uint8_t *b = from;
    return (uint16_t)(b[0] << 8 | b[1]);
}

static inline uint32_t load_be32(const void *from)
{
    const uint8_t *b = from;
    return (uint32_t)b[0] << 24 | (uint32_t)b[1] << 16 | (uint32_t)b[2] << 8 | (uint32_t)b[3];
}

static inline uint64_t load_be64(const void *from)
{
    const uint8_t *b = from;
    return (uint64_t)load_be32(b) << 32 | load_be32(b + 4);
}

static inline void store_le32(void *to, uint32_t value)
{
    uint8_t *b = to;
    b[0] = (uint8_t)value;
    b[1] = (uint8_t)(value >> 8);
    b[2] = (uint8_t)(value >> 16);
    b[3] = (uint8_t)(value >> 24);
}

static inline void store_be16(void *to, uint16_t value)
{
    uint8_t *b = to;
    b[0] = (uint8_t)(value >> 8);
    b[1] = (uint8_t)value;
}

static inline void store_be32(void *to, uint32_t value)
{
    store_be16(to, (uint16_t)(value >> 16));
    store_be16((uint8_t *)to + 2, (uint16_t)value);
}

static inline bool is_power_of_two(uint64_t value)
{
    return value != 0 && (value & (value - 1)) == 0;
}

static inline uint64_t align_down(uint64_t value, uint64_t alignment) /* a power of two */
{
    return value & ~(alignment - 1);
}

static inline uint64_t align_up(uint64_t value, uint64_t alignment) /* a power of two; may wrap: check first */
{
    return (value + alignment - 1) & ~(alignment - 1);
}

#endif
