/*
 * calibrate.h: how fast a counter runs, by a reference whose frequency is known. Pure: how a sample is taken is
 * the caller's affair.
 */
#ifndef X64_CALIBRATE_H
#define X64_CALIBRATE_H

#include <vmos/abi.h>

/* A counter of known frequency to measure others against. */
struct reference {
    const char *name;
    uint64_t frequency_hz;
    uint32_t mask; /* it counts modulo mask + 1 */
    uint32_t (*read)(const struct reference *reference);
    volatile void *base; /* memory-mapped */
    uint16_t port;
    bool borrowed; /* it will be used for something else and cannot be looked at again later */
};

/* The reference, and a timer that counts down, at one moment of the counter, known to `uncertain` ticks. */
struct sample {
    uint64_t counter, uncertain;
    uint32_t reference, alarm;
};
typedef struct sample sample_taker(const struct reference *reference);

struct calibration {
    uint64_t frequency_hz; /* of the counter */
    uint64_t window;       /* counter ticks over which all this was measured */
    uint64_t alarm_ratio;  /* ticks of the timer per counter tick, 32.32; 0: it stands still */
    uint64_t alarm_error;  /* the part of itself that it may be off by, 0.32 */
    struct sample first;
};

/* Takes 200 us, longer only as far as a reference that is slow to read needs; stops after a bounded number of
 * samples. False, and a sentence in the log, when the reference stands still or the result is absurd. */
bool calibrate(const struct reference *reference, sample_taker *take, struct calibration *result);

/* The counter's frequency by a sample taken any time later: the calibration's error is divided by how much longer
 * that is. How often the reference has wrapped since is known from the frequency so far. 0: too early to be
 * better. UINT64_MAX: the reference contradicts what it said before. */
uint64_t calibrate_later(const struct calibration *calibration, const struct reference *reference,
                         const struct sample *now);

/* Between 1 MHz and 100 GHz. */
bool calibrate_believable(uint64_t hz);

/* a * b / c, rounded down; UINT64_MAX when that is too large or c is 0. */
uint64_t multiply_divide(uint64_t a, uint64_t b, uint64_t c);

#endif
