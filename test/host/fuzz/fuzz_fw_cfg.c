/*
 * fuzz_fw_cfg.c: a firmware configuration device that answers with the input's bytes, whatever is asked.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <lib/bytes.h>
#include <machine/fw_cfg.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const uint8_t *input;
static size_t left;
static uint8_t work[128];

static uint8_t next(void)
{
    return left == 0 ? 0 : (left--, *input++);
}

static uint8_t read8(const struct fw_cfg_access *access, unsigned offset)
{
    (void)access;
    (void)offset;
    return next();
}

static void write16(const struct fw_cfg_access *access, unsigned offset, uint16_t value)
{
    (void)access;
    (void)offset;
    (void)value;
}

static void write32(const struct fw_cfg_access *access, unsigned offset, uint32_t value)
{
    uint32_t control = load_be32(work), length = load_be32(work + 4);

    (void)access;
    (void)value;
    if (offset % 8 != 4)
        return;
    if ((control & 2) != 0) {
        if (length > sizeof work - 16)
            abort();
        for (uint32_t i = 0; i < length; i++)
            work[16 + i] = next();
    }
    store_be32(work, next() == 0xee ? 1 : 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fw_cfg_access access = {size % 2 != 0, read8, write16, write32, work, 0x1000, sizeof work};
    struct fw_cfg device;
    uint8_t *tree = malloc(4096);
    uint32_t needed;

    input = data;
    left = size;
    if (fw_cfg_open(&device, &access) == STATUS_OK)
        (void)fw_cfg_read_tree(&device, tree, 4096, &needed);
    free(tree);
    return 0;
}
