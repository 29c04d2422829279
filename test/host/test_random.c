/* test_random.c: the kernel's generator, beside a second one written from its description alone. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "host_log.h"

/* For its key. */
#include <kernel/random.c>

static uint64_t counter_value, cpu_values[4];
static unsigned cpu_left;
static int disabled;

uint64_t counter_read(void)
{
    return counter_value;
}

bool cpu_random(uint64_t *value)
{
    if (cpu_left == 0)
        return false;
    *value = cpu_values[--cpu_left];
    return true;
}

uint64_t clock_now(void)
{
    return 5;
}

uintptr_t cpu_interrupts_disable(void)
{
    return disabled++ == 0;
}

void cpu_interrupts_restore(uintptr_t saved)
{
    disabled--;
    assert_int_equal(saved, disabled == 0);
}

/* ---- Entropy devices ---------------------------------------------------------------------------------------- */

static struct device entropy_devices[2];
static uint8_t device_bytes[KEY_SIZE];
static size_t device_gives;

static size_t device_read(void *driver, void *to, size_t size, uint64_t deadline_ns)
{
    (void)driver;
    assert_int_equal(deadline_ns, 5 + NANOSECONDS_PER_SECOND);
    memcpy(to, device_bytes, device_gives < size ? device_gives : size);
    return device_gives;
}

static const struct entropy_ops ops = {.read = device_read};
static struct entropy_device source = {.ops = &ops};
static struct device *first_device;

struct device *device_first(void)
{
    return first_device;
}

static int fresh(void **state)
{
    (void)state;
    memset(key, 0, sizeof key);
    entropy_bytes = 0;
    counter_value = 7;
    cpu_left = 0;
    device_gives = 0;
    memset(entropy_devices, 0, sizeof entropy_devices);
    memset(device_bytes, 0x42, sizeof device_bytes);
    strcpy(entropy_devices[1].name, "virtio-rng0");
    entropy_devices[0].next = &entropy_devices[1];
    first_device = NULL;
    host_log_clear();
    return 0;
}

/* ---- The second generator --------------------------------------------------------------------------------- */

static uint8_t other_key[32];

static void other_output(uint32_t block, uint8_t out[64])
{
    static const uint8_t zero[12];

    chacha20_block(other_key, block, zero, out);
}

static void other_draw(uint8_t *to, size_t size)
{
    uint8_t next[64], block[64];

    other_output(0, next);
    for (size_t i = 0; i < size; i++) {
        other_output((uint32_t)(i / 64 + 1), block);
        to[i] = block[i % 64];
    }
    memcpy(other_key, next, 32);
}

static void matches_its_description(void **state)
{
    static const size_t sizes[] = {0, 1, 31, 32, 33, 63, 64, 65, 128, 1000, 5000};

    (void)state;
    random_add("some entropy, of more than thirty-two bytes in all", 50);
    memcpy(other_key, key, sizeof key);
    for (unsigned i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        uint8_t *mine = malloc(sizes[i] + 1), *other = malloc(sizes[i] + 1);
        mine[sizes[i]] = 0x77;
        random_bytes(mine, sizes[i]);
        other_draw(other, sizes[i]);
        assert_memory_equal(mine, other, sizes[i]);
        assert_memory_equal(key, other_key, 32);
        assert_int_equal(mine[sizes[i]], 0x77);
        free(mine);
        free(other);
    }
    assert_int_equal(disabled, 0);
}

/* Every draw and every addition changes the key, and no output shows a key, old or new. */
static void key_erasure(void **state)
{
    uint8_t before[KEY_SIZE], out[256], zero[4] = {0};

    (void)state;
    random_add("x", 1);
    for (unsigned i = 0; i < 200; i++) {
        memcpy(before, key, KEY_SIZE);
        if (i % 3 == 0)
            random_add(zero, i % 5); /* even of nothing but zeros */
        else
            random_bytes(out, i % 256);
        if (i % 3 == 0 && i % 5 == 0)
            continue; /* nothing was added */
        assert_memory_not_equal(before, key, KEY_SIZE);
        for (size_t at = 0; i % 3 != 0 && at + 8 <= i % 256; at++)
            assert_true(memcmp(out + at, before, 8) != 0 && memcmp(out + at, key, 8) != 0);
    }
}

/* Every byte of every addition counts, wherever it stands. */
static void seeds_count(void **state)
{
    uint8_t seed[100] = {0}, reference[64], out[64];

    (void)state;
    random_add(seed, sizeof seed);
    random_bytes(reference, sizeof reference);
    for (unsigned i = 0; i < sizeof seed; i++) {
        fresh(NULL);
        seed[i] = 1;
        random_add(seed, sizeof seed);
        seed[i] = 0;
        random_bytes(out, sizeof out);
        assert_memory_not_equal(out, reference, sizeof out);
    }
    fresh(NULL);
    random_add(seed, sizeof seed);
    random_bytes(out, sizeof out);
    assert_memory_equal(out, reference, sizeof out);
    random_bytes(out, sizeof out);
    assert_memory_not_equal(out, reference, sizeof out);
}

/* ---- Sources -------------------------------------------------------------------------------------------------- */

static void seeded_by(void **state)
{
    static struct machine machine;

    (void)state;
    random_init(&machine); /* the counter alone is no entropy */
    assert_false(random_is_seeded());
    uint8_t before[KEY_SIZE];
    memcpy(before, key, KEY_SIZE);
    fresh(NULL);
    counter_value = 8; /* but it is mixed in */
    random_init(&machine);
    assert_memory_not_equal(before, key, KEY_SIZE);

    for (unsigned words = 0; words <= 4; words++) {
        fresh(NULL);
        cpu_left = words;
        random_init(&machine);
        assert_int_equal(cpu_left, 0);
        assert_int_equal(random_is_seeded(), words >= 2);
    }
    for (uint32_t size = 15; size <= 16; size++) {
        fresh(NULL);
        memset(machine.seed, 0x31, sizeof machine.seed);
        machine.seed_size = size;
        random_init(&machine);
        assert_int_equal(random_is_seeded(), size == 16);
        assert_int_equal(machine.seed_size, 0); /* and nobody finds it again */
        for (unsigned i = 0; i < sizeof machine.seed; i++)
            assert_int_equal(machine.seed[i], 0);
    }
}

static void devices(void **state)
{
    static const struct {
        size_t gives;
        bool seeded;
    } rows[] = {{0, false}, {15, false}, {16, true}, {32, true}, {33, false}, {SIZE_MAX, false}};

    (void)state;
    random_take_entropy(); /* no devices at all */
    assert_true(host_log_has("random: no source of entropy on this machine"));
    for (unsigned i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        fresh(NULL);
        uint8_t before[KEY_SIZE], after[2][KEY_SIZE];
        memcpy(before, key, KEY_SIZE);
        first_device = &entropy_devices[0];
        entropy_devices[1].entropy = &source;
        device_gives = rows[i].gives;
        for (unsigned take = 0; take < 2; take++) { /* what the device gave makes the difference */
            memset(key, 0, KEY_SIZE);
            entropy_bytes = 0;
            device_bytes[0] = (uint8_t)take;
            random_take_entropy();
            assert_int_equal(random_is_seeded(), rows[i].seeded);
            memcpy(after[take], key, KEY_SIZE);
            assert_memory_not_equal(before, key, KEY_SIZE);
        }
        bool same = memcmp(after[0], after[1], KEY_SIZE) == 0;
        assert_int_equal(same, rows[i].gives == 0 || rows[i].gives > KEY_SIZE);
        assert_int_equal(host_log_has("no source of entropy"), !rows[i].seeded);
    }
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup(name, fresh)
        TEST(matches_its_description), TEST(key_erasure), TEST(seeds_count), TEST(seeded_by), TEST(devices),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
