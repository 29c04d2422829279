/* crc32.h: the CRC of Ethernet, gzip and GPT [UEFI 2.10 §5.3.2]. */
#ifndef LIB_CRC32_H
#define LIB_CRC32_H

#include <stddef.h>
#include <stdint.h>

/* Of `bytes` that follow those with the CRC `before`; 0: there are none before. */
uint32_t crc32(uint32_t before, const void *bytes, size_t size);

#endif
