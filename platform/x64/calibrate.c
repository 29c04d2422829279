/*
 * calibrate.c: how fast a counter runs, measured between two edges of a reference, and refined much later.
 *
 * Nothing that a reference says is trusted: it may stand still, be slow to read, or jump; and a virtual CPU may
 * be stopped in the middle of a sample.
 */
#include "calibrate.h"

#include <lib/log.h>

enum {
    WINDOW_FRACTION = 5000, /* of a second: 200 us */
    LONGEST_WINDOWS = 64,   /* that a slow reference is given */
    READS_PER_WINDOW = 64,  /* a reading is uncertain by how long it takes */
    EDGE_POLLS = 2000,      /* without a change: it stands still */
    WINDOW_POLLS = 1000000,
    ATTEMPTS = 3,
};

/* Schoolbook division, bit by bit: it is rare, and 128-bit division would need a library. */
uint64_t multiply_divide(uint64_t a, uint64_t b, uint64_t c)
{
    unsigned __int128 product = (unsigned __int128)a * b;
    uint64_t remainder = (uint64_t)(product >> 64), quotient = 0;

    if (remainder >= c)
        return UINT64_MAX;
    for (unsigned bit = 64; bit-- > 0;) {
        bool carry = remainder >> 63 != 0;
        remainder = remainder << 1 | ((uint64_t)product >> bit & 1);
        if (carry || remainder >= c) {
            remainder -= c;
            quotient |= UINT64_C(1) << bit;
        }
    }
    return quotient;
}

bool calibrate_believable(uint64_t hz)
{
    return hz >= UINT64_C(1000000) && hz <= UINT64_C(100000000000);
}

static uint32_t ticks_between(const struct reference *reference, const struct sample *from, const struct sample *to)
{
    return (to->reference - from->reference) & reference->mask;
}

/* The first sample takes longer than any other, with caches cold or code untranslated, and is not used. */
static bool wait_edge(const struct reference *reference, sample_taker *take, struct sample *sample)
{
    uint32_t start = take(reference).reference;

    for (unsigned poll = 0; poll < EDGE_POLLS; poll++) {
        *sample = take(reference);
        if (sample->reference != start)
            return true;
    }
    return false;
}

/* False: the reference stands still. Sets *good when both ends are certain enough. */
static bool try_window(const struct reference *reference, sample_taker *take, struct sample *start, struct sample *end,
                       bool *good)
{
    uint64_t window = reference->frequency_hz / WINDOW_FRACTION + 1, longest = window * LONGEST_WINDOWS;

    if (longest > reference->mask / 2)
        longest = reference->mask / 2;
    *good = false;
    if (!wait_edge(reference, take, start))
        return false;
    for (unsigned poll = 0; poll < WINDOW_POLLS; poll++) {
        *end = take(reference);
        uint64_t passed = ticks_between(reference, start, end), counted = end->counter - start->counter;
        if (passed < window)
            continue;
        *good = start->uncertain <= counted / READS_PER_WINDOW && end->uncertain <= counted / READS_PER_WINDOW;
        if (*good || passed >= longest)
            return true;
    }
    return false;
}

/* Of several windows none of which is good, the last counts as it is. */
bool calibrate(const struct reference *reference, sample_taker *take, struct calibration *result)
{
    struct sample start, end;
    bool good = false;

    for (unsigned attempt = 0; attempt < ATTEMPTS && !good; attempt++)
        if (!try_window(reference, take, &start, &end, &good)) {
            log_warn("timer", "the %s stands still and is not used", reference->name);
            return false;
        }

    uint64_t window = end.counter - start.counter, uncertain = start.uncertain + end.uncertain;
    *result = (struct calibration){
        .frequency_hz = multiply_divide(window, reference->frequency_hz, ticks_between(reference, &start, &end)),
        .window = window,
        .alarm_ratio = multiply_divide(start.alarm - end.alarm, UINT64_C(1) << 32, window),
        .alarm_error = multiply_divide(uncertain / 2, UINT64_C(1) << 32, window),
        .first = start,
    };
    if (calibrate_believable(result->frequency_hz))
        return true;
    log_warn("timer", "measured by the %s the counter runs at %llu Hz, which is not believed", reference->name,
             (unsigned long long)result->frequency_hz);
    return false;
}

uint64_t calibrate_later(const struct calibration *calibration, const struct reference *reference,
                         const struct sample *now)
{
    uint64_t frequency_hz = calibration->frequency_hz, passed = now->counter - calibration->first.counter;

    if (passed < frequency_hz / 16)
        return 0;

    uint64_t expected = multiply_divide(passed, reference->frequency_hz, frequency_hz);
    uint32_t ahead = (ticks_between(reference, &calibration->first, now) - (uint32_t)expected) & reference->mask;
    uint64_t counted = ahead <= reference->mask / 2 ? expected + ahead : expected - (reference->mask - ahead) - 1;
    uint64_t refined = multiply_divide(passed, reference->frequency_hz, counted);
    uint64_t difference = refined > frequency_hz ? refined - frequency_hz : frequency_hz - refined;

    return difference > frequency_hz / 16 ? UINT64_MAX : refined;
}
