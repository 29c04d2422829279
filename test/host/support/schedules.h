/* schedules.h: what test_process_schedules.c plays, for schedule_checks.c, which looks at it. */
#ifndef SCHEDULES_H
#define SCHEDULES_H

#include "object_world.h"

enum { TIMERS_MOST = 4096 };

extern uint64_t seed;
extern unsigned steps; /* of this run */
extern bool over;      /* the run has ended: everybody goes */
extern uint64_t now_ns;

extern struct schedule_cpu {
    bool ipi, asleep;
} cpus[WORLD_CPUS];

/* Timers that are armed, and the one that each CPU has taken out and is about to fire. */
extern struct timer *armed[TIMERS_MOST], *firing[WORLD_CPUS];
extern unsigned armed_count;

/* By the seed: less than `sides`. */
uint64_t roll(uint64_t sides);

#define CHECK(condition)                                                                                               \
    do {                                                                                                               \
        if (!(condition)) {                                                                                            \
            fprintf(stderr, "%s:%d: not so: %s; VMOS_SEED=%llu, step %u\n", __FILE__, __LINE__, #condition,            \
                    (unsigned long long)seed, steps);                                                                  \
            abort();                                                                                                   \
        }                                                                                                              \
    } while (0)

/* Ends the test, and says with which seed, if something is not as it must be. */
void check_world(void);

#endif
