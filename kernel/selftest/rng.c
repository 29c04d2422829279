/*
 * rng.c: randomness: 1 MiB from the kernel's generator and 64 KiB from each entropy device, in blocks of 20,000
 * bits through the tests of FIPS 140-2 §4.9.1 (monobit, poker, runs, long run).
 *
 * Good entropy fails a block now and then (about 8 of 10,000): the limit below is failed by good entropy less than
 * once in a million runs, while a stuck or biased source fails nearly every block.
 */
#include <kernel/selftest.h>

#include <kernel/random.h>

#include <authority/device.h>
#include <lib/malloc.h>
#include <lib/string.h>
#include <platform/clock.h>
#include <vmos/entropy.h>

enum { BLOCK_BYTES = 2500, KERNEL_BLOCKS = (1 << 20) / BLOCK_BYTES, DEVICE_BLOCKS = (64 << 10) / BLOCK_BYTES };

static bool runs_hold(uint32_t runs[2][7])
{
    static const uint16_t least[] = {0, 2315, 1114, 527, 240, 103, 103};
    static const uint16_t most[] = {0, 2685, 1386, 723, 384, 209, 209};

    for (unsigned bit = 0; bit < 2; bit++)
        for (unsigned length = 1; length <= 6; length++)
            if (runs[bit][length] < least[length] || runs[bit][length] > most[length])
                return false;
    return true;
}

static bool block_is_random(const uint8_t block[BLOCK_BYTES])
{
    uint32_t ones = 0, nibbles[16] = {0}, runs[2][7] = {{0}}, run = 0;
    uint64_t squares = 0;
    unsigned last = 2;

    for (unsigned i = 0; i < BLOCK_BYTES; i++) {
        nibbles[block[i] >> 4]++;
        nibbles[block[i] & 15]++;
        for (unsigned shift = 0; shift < 8; shift++) {
            unsigned bit = block[i] >> (7 - shift) & 1u;
            ones += bit;
            if (bit == last) {
                if (++run >= 26)
                    return false;
                continue;
            }
            if (last < 2)
                runs[last][run < 6 ? run : 6]++;
            last = bit;
            run = 1;
        }
    }
    runs[last][run < 6 ? run : 6]++;
    for (unsigned i = 0; i < 16; i++)
        squares += (uint64_t)nibbles[i] * nibbles[i];
    /* Poker: X = 16/5000 * squares - 5000 within 2.16..46.17, times 5000. */
    int64_t poker = (int64_t)(16 * squares) - INT64_C(25000000);
    return ones > 9725 && ones < 10275 && poker > 10800 && poker < 230850 && runs_hold(runs);
}

/* How many of `blocks` fail; the source fills a block or says false. */
static unsigned failures(bool (*fill)(void *context, uint8_t *block), void *context, unsigned blocks, uint8_t *block)
{
    unsigned failed = 0;

    for (unsigned i = 0; i < blocks; i++)
        failed += !fill(context, block) || !block_is_random(block);
    return failed;
}

static bool fill_from_kernel(void *context, uint8_t *block)
{
    (void)context;
    random_bytes(block, BLOCK_BYTES);
    return true;
}

static bool fill_from_device(void *context, uint8_t *block)
{
    struct entropy_device *entropy = context;
    size_t filled = 0, got;

    while (filled < BLOCK_BYTES) {
        got = entropy->ops->read(entropy->driver, block + filled, BLOCK_BYTES - filled,
                                 clock_now() + 5 * NANOSECONDS_PER_SECOND);
        if (got == 0)
            return false;
        filled += got;
    }
    return true;
}

void selftest_rng(struct selftest_result *result)
{
    uint8_t *block = malloc(BLOCK_BYTES);
    unsigned devices = 0, device_failures = 0, failed;

    if (block == NULL) {
        selftest_is(result, SELFTEST_FAIL, "no memory for a block of %u bytes", BLOCK_BYTES);
        return;
    }
    failed = failures(fill_from_kernel, NULL, KERNEL_BLOCKS, block);
    for (struct device *device = device_first(); device != NULL; device = device->next)
        if (device->entropy != NULL) {
            devices++;
            device_failures += failures(fill_from_device, device->entropy, DEVICE_BLOCKS, block);
        }
    free(block);
    if (failed > 6 || device_failures > 3 * devices)
        selftest_is(result, SELFTEST_FAIL,
                    "%u of %u blocks of the generator and %u of %u of the devices are not random", failed,
                    KERNEL_BLOCKS, device_failures, devices * DEVICE_BLOCKS);
    else if (devices == 0)
        selftest_is(result, SELFTEST_SKIP, "no entropy device; %u of %u blocks of the generator failed FIPS 140-2",
                    failed, KERNEL_BLOCKS);
    else
        selftest_is(result, SELFTEST_PASS,
                    "%u of %u blocks of the generator and %u of %u of the device failed FIPS 140-2", failed,
                    KERNEL_BLOCKS, device_failures, devices * DEVICE_BLOCKS);
}
