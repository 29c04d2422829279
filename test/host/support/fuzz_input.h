/* fuzz_input.h: what a fuzz target takes its decisions from, and how it says that something is broken. */
#ifndef FUZZ_INPUT_H
#define FUZZ_INPUT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The input, byte by byte, little-endian; zeros behind its end. */
void fuzz_input(const uint8_t *data, size_t size);
bool fuzz_left(void);
uint8_t fuzz8(void);
uint16_t fuzz16(void);
uint32_t fuzz32(void);
uint64_t fuzz64(void);

/* Aborts with the log. */
void fuzz_demand(bool good, const char *what);

#endif
