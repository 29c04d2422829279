/* random.h: reproducible random numbers for property tests. The seed is fixed, or VMOS_SEED. */
#ifndef TEST_RANDOM_H
#define TEST_RANDOM_H

#include <stdint.h>
#include <stdlib.h>

struct test_random {
    uint64_t state;
};

static inline struct test_random test_random_start(void)
{
    const char *seed = getenv("VMOS_SEED");

    return (struct test_random){seed != NULL ? strtoull(seed, NULL, 0) : 1};
}

static inline uint64_t test_random64(struct test_random *random) /* SplitMix64 */
{
    uint64_t z = random->state += UINT64_C(0x9e3779b97f4a7c15);

    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    return z ^ z >> 31;
}

static inline uint64_t test_random_below(struct test_random *random, uint64_t limit)
{
    return test_random64(random) % limit;
}

#endif
