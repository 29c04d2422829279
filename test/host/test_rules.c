/* test_rules.c: authority/rules.c, all of it: each state, each step, each kind of epoch; bounds and budgets at their
 * edges and against arithmetic that cannot wrap. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <authority/rules.h>

#include "random.h"

enum { STATES = DEVICE_QUARANTINED + 1, STEPS = OWNERSHIP_QUARANTINE + 1 };

/* What the design page says, as a table: from which state which step leads where; -STATUS: refused so. */
static const int allowed[STATES][STEPS] = {
    [DEVICE_FREE] = {DEVICE_CLAIMED, -STATUS_REVOKED, -STATUS_REVOKED, -STATUS_REVOKED},
    [DEVICE_CLAIMED] = {-STATUS_BUSY, DEVICE_REVOKING, -STATUS_REVOKED, -STATUS_REVOKED},
    [DEVICE_REVOKING] = {-STATUS_BUSY, -STATUS_REVOKED, DEVICE_FREE, DEVICE_QUARANTINED},
    [DEVICE_QUARANTINED] = {-STATUS_DENIED, -STATUS_DENIED, -STATUS_DENIED, -STATUS_DENIED},
};

static const uint32_t epochs[] = {1, 2, 3, 0x7fffffff, 0x80000000, UINT32_MAX - 1, UINT32_MAX};
enum { EPOCHS = sizeof epochs / sizeof epochs[0] };

static void steps(void **state)
{
    (void)state;
    for (int from = 0; from < STATES; from++)
        for (int step = 0; step < STEPS; step++)
            for (unsigned e = 0; e < EPOCHS; e++) {
                struct ownership now = {(enum device_state)from, epochs[e]};
                enum status status = ownership_step(&now, (enum ownership_step)step);
                int expected = allowed[from][step];
                bool refused = expected < 0, ends = from == DEVICE_REVOKING && !refused;
                assert_int_equal(status, refused ? -expected : STATUS_OK);
                if (ends && epochs[e] == UINT32_MAX)
                    assert_int_equal(now.state, DEVICE_QUARANTINED);
                else
                    assert_int_equal(now.state, refused ? from : expected);
                assert_int_equal(now.epoch, (uint32_t)(epochs[e] + ends));
            }
}

static void uses(void **state)
{
    static const uint32_t handles[] = {0, 1, 2, 3, 0x7fffffff, 0x80000000, UINT32_MAX - 1, UINT32_MAX};

    (void)state;
    for (int from = 0; from < STATES; from++)
        for (unsigned e = 0; e < EPOCHS; e++)
            for (unsigned h = 0; h < sizeof handles / sizeof handles[0]; h++) {
                struct ownership now = {(enum device_state)from, epochs[e]};
                bool admitted = from == DEVICE_CLAIMED && handles[h] == epochs[e];
                assert_int_equal(ownership_admits(&now, handles[h]), admitted ? STATUS_OK : STATUS_REVOKED);
            }
    /* An all-zero handle opens nothing, whatever a device's record has become. */
    assert_int_equal(ownership_admits(&(struct ownership){DEVICE_CLAIMED, 0}, 0), STATUS_REVOKED);
}

/* Every walk of five steps from the beginning: no epoch is ever owned twice, and quarantine is for good. */
static void walks(void **state)
{
    (void)state;
    for (unsigned walk = 0; walk < STEPS * STEPS * STEPS * STEPS * STEPS * STEPS * STEPS; walk++) {
        struct ownership now = {DEVICE_FREE, UINT32_MAX - 1};
        uint32_t last_owned = 0;
        bool quarantined = false;
        for (unsigned i = 0, left = walk; i < 7; i++, left /= STEPS) {
            enum ownership_step step = (enum ownership_step)(left % STEPS);
            if (ownership_step(&now, step) == STATUS_OK && step == OWNERSHIP_CLAIM) {
                assert_true(now.epoch > last_owned);
                last_owned = now.epoch;
            }
            assert_false(quarantined && now.state != DEVICE_QUARANTINED);
            quarantined = now.state == DEVICE_QUARANTINED;
        }
    }
}

static bool admitted(const struct register_bounds *bounds, uint64_t offset, unsigned width)
{
    unsigned __int128 end = (unsigned __int128)offset + width;
    bool overlaps = offset < bounds->hidden_end && end > bounds->hidden;

    return offset % width == 0 && end <= bounds->size && !overlaps;
}

static void bounds(void **state)
{
    static const uint64_t sizes[] = {0, 1, 2, 3, 4, 7, 8, 0x200, 0xffff, 0x10000, UINT64_MAX - 3, UINT64_MAX};
    static const unsigned widths[] = {1, 2, 4};
    struct test_random random = test_random_start();

    (void)state;
    for (unsigned s = 0; s < sizeof sizes / sizeof sizes[0]; s++)
        for (unsigned w = 0; w < 3; w++) {
            struct register_bounds plain = {sizes[s], 0, 0};
            for (int64_t d = -9; d <= 9; d++) {
                uint64_t around[] = {(uint64_t)d, sizes[s] + (uint64_t)d, UINT64_MAX + (uint64_t)d};
                for (unsigned i = 0; i < 3; i++)
                    assert_int_equal(register_bounds_admit(&plain, around[i], widths[w]),
                                     admitted(&plain, around[i], widths[w]));
            }
        }
    for (unsigned i = 0; i < 100000; i++) {
        uint64_t hidden = test_random_below(&random, 24);
        struct register_bounds some = {test_random_below(&random, 40), hidden,
                                       hidden + 1 + test_random_below(&random, 12)};
        uint64_t offset = test_random_below(&random, 48);
        unsigned width = widths[test_random_below(&random, 3)];
        assert_int_equal(register_bounds_admit(&some, offset, width), admitted(&some, offset, width));
    }
}

static void budget(void **state)
{
    static const uint64_t values[] = {0, 1, 4095, 4096, 4194304, UINT64_MAX - 1, UINT64_MAX};
    enum { VALUES = sizeof values / sizeof values[0] };

    (void)state;
    for (unsigned l = 0; l < VALUES; l++)
        for (unsigned u = 0; u < VALUES; u++)
            for (unsigned m = 0; m < VALUES; m++)
                assert_int_equal(budget_admits(values[l], values[u], values[m]),
                                 (unsigned __int128)values[u] + values[m] <= values[l] ? STATUS_OK : STATUS_LIMIT);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(steps),  cmocka_unit_test(uses),   cmocka_unit_test(walks),
        cmocka_unit_test(bounds), cmocka_unit_test(budget),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
