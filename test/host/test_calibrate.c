/* test_calibrate.c: platform/x64/calibrate.c against counters of known speed, honest and otherwise. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "host_log.h"
#include "platform/x64/calibrate.h"

/* The world: time passes in picoseconds as it is looked at; everything else follows from it. */
static struct world {
    unsigned __int128 picoseconds;
    uint64_t counter_hz, alarm_hz;
    uint64_t read_ns;    /* what reading the reference takes */
    unsigned stop_every; /* this often the CPU is stopped in the middle of a sample, */
    uint64_t stop_ns;    /* for so long */
    uint64_t reference_stops_at_ns;
    unsigned samples;
} world;

static uint64_t count(uint64_t hz)
{
    return (uint64_t)(world.picoseconds * hz / 1000000000000);
}

static uint32_t read_reference(const struct reference *reference)
{
    uint64_t stop = world.reference_stops_at_ns, ns = (uint64_t)(world.picoseconds / 1000);
    uint64_t at = stop != 0 && ns > stop ? stop : ns;

    return (uint32_t)((unsigned __int128)at * reference->frequency_hz / 1000000000) & reference->mask;
}

static struct sample take(const struct reference *reference)
{
    struct sample sample;
    uint64_t before = count(world.counter_hz);

    world.samples++;
    world.picoseconds += world.read_ns * 500;
    sample.reference = reference->read(reference);
    sample.alarm = UINT32_MAX - (uint32_t)count(world.alarm_hz);
    if (world.stop_every != 0 && (unsigned)random() % world.stop_every == 0)
        world.picoseconds += (unsigned __int128)world.stop_ns * 1000;
    world.picoseconds += world.read_ns * 500;
    sample.uncertain = count(world.counter_hz) - before;
    sample.counter = before + sample.uncertain / 2;
    return sample;
}

static const struct reference references[] = {
    {.name = "HPET", .frequency_hz = 100000000, .mask = UINT32_MAX, .read = read_reference},
    {.name = "slow HPET", .frequency_hz = 14318179, .mask = UINT32_MAX, .read = read_reference},
    {.name = "PM timer", .frequency_hz = 3579545, .mask = 0xffffff, .read = read_reference},
    {.name = "PIT", .frequency_hz = 1193182, .mask = 0xffff, .read = read_reference},
};
enum { REFERENCES = sizeof references / sizeof references[0] };

static int fresh(void **state)
{
    (void)state;
    world = (struct world){.picoseconds = (unsigned __int128)123456789012345,
                           .counter_hz = 2400000000,
                           .alarm_hz = 1000000000,
                           .read_ns = 50};
    srandom(1);
    host_log_clear();
    return 0;
}

static void assert_near(uint64_t value, uint64_t right, uint64_t parts_per_million)
{
    uint64_t difference = value > right ? value - right : right - value;

    if (difference > right / 1000000 * parts_per_million + 1)
        fail_msg("%llu is not within %llu ppm of %llu", (unsigned long long)value,
                 (unsigned long long)parts_per_million, (unsigned long long)right);
}

static uint64_t window_ns(uint64_t start_ns)
{
    return (uint64_t)(world.picoseconds / 1000) - start_ns;
}

/* ---- Honest worlds -------------------------------------------------------------------------------------- */

static void test_frequency_and_alarm(void **state)
{
    static const uint64_t counters[] = {2000000, 1000000000, 2399987654, 5200000000};
    static const uint64_t alarms[] = {25000000, 100000000, 1000000000};

    (void)state;
    for (unsigned r = 0; r < REFERENCES; r++)
        for (unsigned c = 0; c < 4; c++)
            for (unsigned a = 0; a < 3; a++) {
                struct calibration found;
                world.counter_hz = counters[c];
                world.alarm_hz = alarms[a];
                uint64_t start_ns = window_ns(0);
                assert_true(calibrate(&references[r], take, &found));
                assert_true(window_ns(start_ns) < 300000);
                assert_near(found.frequency_hz, counters[c], counters[c] == 2000000 ? 6000 : 600);
                assert_near(found.alarm_ratio,
                            (uint64_t)((unsigned __int128)alarms[a] * (UINT64_C(1) << 32) / counters[c]),
                            counters[c] == 2000000 ? 12000 : 1200);
                assert_true(found.alarm_error < UINT64_C(1) << 32 >> 6);
            }
}

/* A reference that a hypervisor's user space emulates: 10 us per reading. */
static void test_slow_reading_is_given_longer(void **state)
{
    struct calibration found;

    (void)state;
    world.read_ns = 10000;
    uint64_t start_ns = window_ns(0);
    assert_true(calibrate(&references[2], take, &found));
    assert_in_range(window_ns(start_ns), 600000, 2000000);
    assert_near(found.frequency_hz, world.counter_hz, 16000);
}

/* Too slow for a good window, and a PIT comes round after 55 ms: what there is must do. */
static void test_very_slow_reading(void **state)
{
    struct calibration found;

    (void)state;
    world.read_ns = 2000000;
    assert_true(calibrate(&references[3], take, &found));
    assert_true(world.samples < 100);
    assert_near(found.frequency_hz, world.counter_hz, 100000);
}

static void test_refined(void **state)
{
    static const uint64_t after_ms[] = {250, 2000, 16000, 100000};

    (void)state;
    for (unsigned r = 0; r < REFERENCES; r++) {
        struct calibration found;
        assert_true(calibrate(&references[r], take, &found));
        for (unsigned i = 0; i < 4; i++) {
            world.picoseconds += (unsigned __int128)after_ms[i] * 1000000000;
            struct sample now = take(&references[r]);
            uint64_t refined = calibrate_later(&found, &references[r], &now);
            assert_near(refined, world.counter_hz, 10); /* a PIT tick in 250 ms is 3 ppm */
            found.frequency_hz = refined;
        }
        assert_near(found.frequency_hz, world.counter_hz, 1);
    }
}

static void test_too_early_to_refine(void **state)
{
    struct calibration found;

    (void)state;
    assert_true(calibrate(&references[0], take, &found));
    struct sample now = take(&references[0]);
    assert_int_equal(calibrate_later(&found, &references[0], &now), 0);
}

/* ---- Others --------------------------------------------------------------------------------------------- */

static void test_stands_still(void **state)
{
    struct calibration found;

    (void)state;
    world.reference_stops_at_ns = 1;
    assert_false(calibrate(&references[0], take, &found));
    assert_true(host_log_has("warn timer: the HPET stands still and is not used"));
    assert_true(world.samples < 10000);
}

static void test_stops_in_the_window(void **state)
{
    struct calibration found;

    (void)state;
    world.reference_stops_at_ns = window_ns(0) + 50000;
    assert_false(calibrate(&references[3], take, &found));
    assert_true(world.samples < 1100000);
}

/* The host takes the CPU away for 5 ms, once in 300 samples: a window with that in one of its ends would be off by
 * a factor. */
static void test_stopped_cpu(void **state)
{
    (void)state;
    world.stop_every = 300;
    world.stop_ns = 5000000;
    for (unsigned run = 0; run < 500; run++) {
        struct calibration found;
        assert_true(calibrate(&references[0], take, &found));
        assert_near(found.frequency_hz, world.counter_hz, 16000);
    }
}

static void test_absurd_result(void **state)
{
    struct calibration found;

    (void)state;
    world.counter_hz = 1000;
    assert_false(calibrate(&references[0], take, &found));
    assert_true(host_log_has("which is not believed"));
    world.counter_hz = 200000000000;
    assert_false(calibrate(&references[0], take, &found));
}

static void test_dead_alarm(void **state)
{
    struct calibration found;

    (void)state;
    world.alarm_hz = 0;
    assert_true(calibrate(&references[0], take, &found));
    assert_int_equal(found.alarm_ratio, 0);
}

static void test_reference_that_stopped_later(void **state)
{
    struct calibration found;

    (void)state;
    assert_true(calibrate(&references[0], take, &found));
    world.reference_stops_at_ns = window_ns(0);
    world.picoseconds += (unsigned __int128)1000000000000;
    struct sample now = take(&references[0]);
    assert_true(calibrate_later(&found, &references[0], &now) == UINT64_MAX);
}

/* A reference whose registers are random, and counters that are: whatever comes out, it ends and is believable. */
static uint32_t read_noise(const struct reference *reference)
{
    return (uint32_t)random() & reference->mask;
}

static void test_noise(void **state)
{
    (void)state;
    for (unsigned run = 0; run < 200; run++) {
        struct reference noise = references[run % REFERENCES];
        struct calibration found = {0};
        noise.read = read_noise;
        if (run % 3 == 0)
            noise.frequency_hz = 1 + (uint64_t)random();
        if (run % 5 == 0)
            noise.mask = 0;
        if (!calibrate(&noise, take, &found))
            continue;
        assert_true(calibrate_believable(found.frequency_hz));
        for (unsigned i = 0; i < 100; i++) {
            struct sample now = take(&noise);
            now.counter = (uint64_t)random() << 33 ^ (uint64_t)random();
            (void)calibrate_later(&found, &noise, &now);
        }
    }
}

/* ---- Arithmetic ----------------------------------------------------------------------------------------- */

static void test_multiply_divide(void **state)
{
    (void)state;
    assert_true(multiply_divide(1, 1, 0) == UINT64_MAX);
    assert_true(multiply_divide(UINT64_MAX, UINT64_MAX, 1) == UINT64_MAX);
    assert_true(multiply_divide(UINT64_MAX, UINT64_MAX, UINT64_MAX) == UINT64_MAX);
    assert_int_equal(multiply_divide(0, 5, 7), 0);
    for (unsigned i = 0; i < 100000; i++) {
        uint64_t a = ((uint64_t)random() << 33 ^ (uint64_t)random() << 11 ^ (uint64_t)random()) >> random() % 64;
        uint64_t b = ((uint64_t)random() << 33 ^ (uint64_t)random() << 11 ^ (uint64_t)random()) >> random() % 64;
        uint64_t c = (((uint64_t)random() << 33 ^ (uint64_t)random() << 11 ^ (uint64_t)random()) >> random() % 64) | 1;
        unsigned __int128 exact = (unsigned __int128)a * b / c;
        assert_true(multiply_divide(a, b, c) == (exact > UINT64_MAX ? UINT64_MAX : (uint64_t)exact));
    }
}

#define CASE(name) cmocka_unit_test_setup(name, fresh)

int main(void)
{
    static const struct CMUnitTest tests[] = {
        CASE(test_frequency_and_alarm),
        CASE(test_slow_reading_is_given_longer),
        CASE(test_very_slow_reading),
        CASE(test_refined),
        CASE(test_too_early_to_refine),
        CASE(test_stands_still),
        CASE(test_stops_in_the_window),
        CASE(test_stopped_cpu),
        CASE(test_absurd_result),
        CASE(test_dead_alarm),
        CASE(test_reference_that_stopped_later),
        CASE(test_noise),
        CASE(test_multiply_divide),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
