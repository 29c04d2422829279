/* fuzz_input.c: see fuzz_input.h. */
#include "fuzz_input.h"

#include <stdio.h>
#include <stdlib.h>
#include "host_log.h"

static const uint8_t *input;
static size_t left;

void fuzz_input(const uint8_t *data, size_t size)
{
    input = data;
    left = size;
}

bool fuzz_left(void)
{
    return left != 0;
}

uint8_t fuzz8(void)
{
    if (left == 0)
        return 0;
    left--;
    return *input++;
}

uint16_t fuzz16(void)
{
    uint16_t low = fuzz8();

    return (uint16_t)(low | fuzz8() << 8);
}

uint32_t fuzz32(void)
{
    uint32_t low = fuzz16();

    return low | (uint32_t)fuzz16() << 16;
}

uint64_t fuzz64(void)
{
    uint64_t low = fuzz32();

    return low | (uint64_t)fuzz32() << 32;
}

void fuzz_demand(bool good, const char *what)
{
    if (good)
        return;
    fprintf(stderr, "broken: %s\n%s", what, host_log_text());
    abort();
}
