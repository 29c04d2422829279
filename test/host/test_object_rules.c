/* test_object_rules.c: kernel/process/rules.c, all of it: each type, each set of rights, each relation of generations
 * and epochs, beside the same rules told another way; numbers at their bounds. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <kernel/process/rules.h>

enum { SETS = RIGHT_ALL + 1, RIGHTS = 11 };

#define LAST_GENERATION (HANDLE_GENERATIONS - 1)

/* ---- Use ---- */

static const uint64_t generations[] = {1, 2, 3, 0xffff, 0x10000, LAST_GENERATION - 1, LAST_GENERATION};
static const uint64_t epochs[] = {1, 2, 3, UINT64_C(1) << 32, UINT64_MAX - 1, UINT64_MAX};

enum { GENERATIONS = sizeof generations / sizeof generations[0], EPOCHS = sizeof epochs / sizeof epochs[0] };

/* The order of refusals: who made the number up learns nothing, not even that the object was revoked. */
static enum status expected_use(bool same_generation, bool same_epoch, int is, int wanted, uint32_t has, uint32_t wants)
{
    if (is == OBJECT_NONE || !same_generation)
        return STATUS_BAD_HANDLE;
    if (!same_epoch)
        return is == OBJECT_REPLY ? STATUS_PEER_GONE : STATUS_REVOKED;
    if (wanted != OBJECT_NONE && wanted != is)
        return STATUS_WRONG_TYPE;
    for (int bit = 0; bit < RIGHTS; bit++)
        if ((wants >> bit & 1) != 0 && (has >> bit & 1) == 0)
            return STATUS_DENIED;
    return STATUS_OK;
}

static void use_by_type_generation_and_epoch(void **state)
{
    (void)state;
    for (int is = 0; is < OBJECT_TYPE_COUNT; is++)
        for (int wanted = 0; wanted < OBJECT_TYPE_COUNT; wanted++)
            for (int slot_g = 0; slot_g < GENERATIONS; slot_g++)
                for (int handle_g = 0; handle_g < GENERATIONS; handle_g++)
                    for (int slot_e = 0; slot_e < EPOCHS; slot_e++)
                        for (int object_e = 0; object_e < EPOCHS; object_e++)
                            for (uint32_t denied = 0; denied < 2; denied++) {
                                struct rule_slot slot = {generations[slot_g], epochs[slot_e], RIGHT_READ, (uint8_t)is};
                                uint32_t wants = denied != 0 ? RIGHT_WRITE : RIGHT_READ;
                                handle number = handle_number(7, generations[handle_g]);
                                assert_int_equal(
                                    rule_use(&slot, epochs[object_e], number, (enum object_type)wanted, wants),
                                    expected_use(slot_g == handle_g, slot_e == object_e, is, wanted, RIGHT_READ,
                                                 wants));
                            }
}

static void use_by_rights(void **state)
{
    (void)state;
    for (uint32_t has = 0; has < SETS; has++)
        for (uint32_t wants = 0; wants < SETS; wants++) {
            struct rule_slot slot = {5, 9, has, OBJECT_MEMORY};
            enum status status = rule_use(&slot, 9, handle_number(1, 5), OBJECT_MEMORY, wants);
            if (status != expected_use(true, true, OBJECT_MEMORY, OBJECT_MEMORY, has, wants))
                fail_msg("rights 0x%x of 0x%x gave %d", (unsigned)wants, (unsigned)has, (int)status);
        }
}

static void numbers(void **state)
{
    (void)state;
    for (uint32_t index = 0; index < 1u << HANDLE_INDEX_BITS; index += 17)
        for (int g = 0; g < GENERATIONS; g++) {
            handle number = handle_number(index, generations[g]);
            assert_int_equal(handle_index(number), index);
            assert_true(handle_generation(number) == generations[g]);
            assert_true(number != 0);
        }
}

/* ---- Generations ---- */

static void a_slot_retires(void **state)
{
    (void)state;
    for (uint64_t most = 2; most < 40; most++) {
        uint64_t seen = 0, given = 0;
        for (uint64_t generation = 1; generation != 0; generation = rule_next_generation(generation, most)) {
            assert_true(generation > 0 && generation < most);
            assert_int_equal(seen >> generation & 1, 0); /* never the same twice */
            seen |= UINT64_C(1) << generation;
            given++;
        }
        assert_int_equal(given, most - 1);
        for (uint64_t beyond = most - 1; beyond < most + 3; beyond++)
            assert_int_equal(rule_next_generation(beyond, most), 0);
        assert_int_equal(rule_next_generation(0, most), 0); /* retired for good */
    }
    assert_true(rule_next_generation(LAST_GENERATION - 1, HANDLE_GENERATIONS) == LAST_GENERATION);
    assert_true(rule_next_generation(LAST_GENERATION, HANDLE_GENERATIONS) == 0);
    /* Every generation that there is fits into a handle. */
    assert_true(handle_generation(handle_number(0, LAST_GENERATION)) == LAST_GENERATION);
}

/* ---- Rights ---- */

static void duplicates_only_shrink(void **state)
{
    (void)state;
    for (uint32_t has = 0; has < SETS; has++)
        for (uint32_t wanted = 0; wanted < 2 * SETS; wanted++) {
            enum status status = rule_duplicate(has, 0, wanted, 0), expected = STATUS_OK;
            if (wanted == 0 || wanted >= SETS)
                expected = STATUS_INVALID;
            else if ((has | wanted) != has)
                expected = STATUS_DENIED;
            if (status != expected)
                fail_msg("0x%x of 0x%x gave %d", (unsigned)wanted, (unsigned)has, (int)status);
        }
    for (int bit = RIGHTS; bit < 32; bit++)
        assert_int_equal(rule_duplicate(UINT32_MAX, 0, 1u << bit | RIGHT_READ, 0), STATUS_INVALID);
}

static void a_badge_is_given_once(void **state)
{
    static const uint64_t badges[] = {0, 1, 2, UINT64_MAX};

    (void)state;
    for (int has = 0; has < 4; has++)
        for (int wanted = 0; wanted < 4; wanted++) {
            bool refused = badges[has] != 0 && badges[wanted] != 0;
            assert_int_equal(rule_duplicate(RIGHT_CALL, badges[has], RIGHT_CALL, badges[wanted]),
                             refused ? STATUS_DENIED : STATUS_OK);
        }
}

#define ALL (((1u << OBJECT_TYPE_COUNT) - 1) & ~(1u << OBJECT_NONE))

/* abi.h says at each right what it is for: so which types it is for. */
static const uint32_t types_of_right[RIGHTS] = {
    1 << OBJECT_MEMORY | 1 << OBJECT_CLOCK,
    1 << OBJECT_MEMORY | 1 << OBJECT_CONSOLE,
    1 << OBJECT_MEMORY,
    1 << OBJECT_NOTIFICATION,
    1 << OBJECT_NOTIFICATION | 1 << OBJECT_PROCESS,
    1 << OBJECT_ENDPOINT,
    1 << OBJECT_ENDPOINT,
    1 << OBJECT_PROCESS | 1 << OBJECT_THREAD | 1 << OBJECT_MEMORY | 1 << OBJECT_ENDPOINT | 1 << OBJECT_NOTIFICATION,
    ALL & ~(1u << OBJECT_REPLY),
    ALL & ~(1u << OBJECT_REPLY),
    ALL,
};

static void each_type_has_its_rights(void **state)
{
    (void)state;
    for (int type = 0; type < OBJECT_TYPE_COUNT; type++)
        for (int bit = 0; bit < RIGHTS; bit++) {
            if ((rule_rights_of((enum object_type)type) >> bit & 1) != (types_of_right[bit] >> type & 1))
                fail_msg("type %d, right 0x%x", type, 1u << bit);
        }
    assert_int_equal(rule_rights_of(OBJECT_NONE), 0);
    assert_int_equal(rule_rights_of(OBJECT_TYPE_COUNT), 0);
    assert_int_equal(rule_rights_of((enum object_type)200), 0);
}

/* ---- Mapping ---- */

static void never_writable_and_executable(void **state)
{
    (void)state;
    for (uint32_t access = 0; access < SETS; access++)
        for (uint32_t rights = 0; rights < SETS; rights++)
            for (unsigned uses = 0; uses < 9; uses++) {
                uint32_t writable = uses % 3 == 2 ? UINT32_MAX : uses % 3;
                uint32_t executable = uses / 3 == 2 ? UINT32_MAX : uses / 3;
                bool write = (access & RIGHT_WRITE) != 0, execute = (access & RIGHT_EXECUTE) != 0;
                enum status expected = STATUS_OK;
                if ((access & RIGHT_READ) == 0 || (write && execute) ||
                    access > (RIGHT_READ | RIGHT_WRITE | RIGHT_EXECUTE))
                    expected = STATUS_INVALID;
                else if ((access | rights) != rights)
                    expected = STATUS_DENIED;
                else if ((write && executable != 0) || (execute && writable != 0))
                    expected = STATUS_BUSY;
                if (rule_map(rights, access, writable, executable) != expected)
                    fail_msg("access 0x%x by 0x%x", (unsigned)access, (unsigned)rights);
            }
    assert_int_equal(rule_map(UINT32_MAX, 1u << 31 | RIGHT_READ, 0, 0), STATUS_INVALID);
}

/* ---- Budgets and promises ---- */

static void budgets_do_not_wrap(void **state)
{
    static const uint64_t values[] = {0, 1, 2, 99, 100, 101, UINT64_MAX / 2, UINT64_MAX - 1, UINT64_MAX};
    enum { VALUES = sizeof values / sizeof values[0] };

    (void)state;
    for (int limit = 0; limit < VALUES; limit++)
        for (int used = 0; used < VALUES; used++)
            for (int amount = 0; amount < VALUES; amount++)
                assert_int_equal(rule_budget(values[limit], values[used], values[amount]),
                                 (unsigned __int128)values[used] + values[amount] <= values[limit]);
}

static void promises_stay_in_bounds(void **state)
{
    static const uint64_t periods[] = {0,       1,          99999,       100000,      100001,
                                       1000000, 9999999999, 10000000000, 10000000001, UINT64_MAX};
    static const uint64_t budgets[] = {0,      1,      19999,   20000,       20001,     100000,
                                       100001, 999999, 1000000, 10000000000, UINT64_MAX};

    (void)state;
    for (unsigned p = 0; p < sizeof periods / sizeof periods[0]; p++)
        for (unsigned b = 0; b < sizeof budgets / sizeof budgets[0]; b++) {
            struct thread_parameters parameters = {.period_ns = periods[p], .budget_ns = budgets[b]};
            uint64_t promille = 12345;
            bool none = periods[p] == 0 && budgets[b] == 0;
            bool good = none || (periods[p] >= 100000 && periods[p] <= 10000000000 && budgets[b] >= 20000 &&
                                 budgets[b] <= periods[p]);
            assert_int_equal(rule_thread(&parameters, 0, 1, &promille), good ? STATUS_OK : STATUS_INVALID);
            if (!good)
                continue;
            if (none)
                assert_int_equal(promille, 0);
            else /* enough, and not a thousandth more than that */
                assert_true((unsigned __int128)promille * periods[p] >= (unsigned __int128)budgets[b] * 1000 &&
                            (unsigned __int128)(promille - 1) * periods[p] < (unsigned __int128)budgets[b] * 1000);
        }
}

static void threads_stay_within_their_process(void **state)
{
    static const uint64_t masks[] = {0, 1, 2, 3, 8, 9, UINT64_C(1) << 63, UINT64_MAX};

    (void)state;
    for (uint32_t priority = 0; priority < PRIORITIES + 3; priority++)
        for (uint32_t highest = 0; highest < PRIORITIES; highest++)
            for (unsigned wanted = 0; wanted < 8; wanted++)
                for (unsigned allowed = 0; allowed < 8; allowed++) {
                    struct thread_parameters parameters = {.priority = priority, .cpus = masks[wanted]};
                    uint64_t promille;
                    enum status expected = STATUS_OK;
                    if (priority >= PRIORITIES)
                        expected = STATUS_INVALID;
                    else if (priority > highest || (masks[wanted] | masks[allowed]) != masks[allowed])
                        expected = STATUS_DENIED;
                    assert_int_equal(rule_thread(&parameters, highest, masks[allowed], &promille), expected);
                }
    struct thread_parameters reserved = {.reserved = 1};
    uint64_t promille;
    assert_int_equal(rule_thread(&reserved, 31, 1, &promille), STATUS_INVALID);
    reserved = (struct thread_parameters){.priority = UINT32_MAX};
    assert_int_equal(rule_thread(&reserved, UINT32_MAX, 1, &promille), STATUS_INVALID);
}

/* ---- CPU time that was used before it was due ---- */

#define MS NANOSECONDS_PER_MILLISECOND

static void debts_are_paid_by_what_is_free(void **state)
{
    static const uint64_t debts[] = {0, 1, 999, 1000, 250 * MS, 10000 * MS}, parts[] = {1, 3, 250, 1000, 64000};
    static const uint64_t times[] = {0, 1, 999, MS, 1000 * MS, 999999 * MS, UINT64_MAX};

    (void)state;
    for (unsigned d = 0; d < sizeof debts / sizeof debts[0]; d++) {
        assert_int_equal(rule_debt(debts[d], UINT64_MAX, 0), debts[d]);
        for (unsigned p = 0; p < sizeof parts / sizeof parts[0]; p++)
            for (unsigned t = 0; t < sizeof times / sizeof times[0]; t++) {
                unsigned __int128 paid = (unsigned __int128)times[t] * parts[p] / 1000;
                uint64_t left = rule_debt(debts[d], times[t], parts[p]);
                uint64_t exact = paid < debts[d] ? debts[d] - (uint64_t)paid : 0;
                assert_true(left >= exact && left <= exact + 1);
            }
    }
    assert_int_equal(rule_debt(UINT64_MAX, 1, 1000), UINT64_MAX); /* as much as that is never owed */
}

/* Also of periods that are not whole microseconds: a debt must not come out of nothing. */
static void never_more_than_a_budget(void **state)
{
    static const uint64_t periods[] = {100000, 100998, 100999, 199999, 1000001, 10 * NANOSECONDS_PER_SECOND};

    (void)state;
    for (unsigned p = 0; p < sizeof periods / sizeof periods[0]; p++)
        for (uint64_t less = 1; less < 80000; less += 7919) {
            uint64_t budget = periods[p] - less;
            for (uint64_t into = 0; into < periods[p]; into += periods[p] / 7)
                assert_true(rule_used_ahead(budget, periods[p], -1000000, periods[p] - into) <= budget);
            for (uint64_t remaining = 0; remaining < 2000; remaining += 37) /* who has used nothing owes nothing */
                assert_int_equal(rule_used_ahead(budget, periods[p], (int64_t)budget, periods[p] - remaining), 0);
        }
}

static void what_is_used_ahead(void **state)
{
    (void)state;
    assert_int_equal(rule_used_ahead(500 * MS, 1000 * MS, 500 * MS, 1000 * MS), 0);     /* has just begun */
    assert_int_equal(rule_used_ahead(500 * MS, 1000 * MS, 0, 1000 * MS), 500 * MS);     /* all at once */
    assert_int_equal(rule_used_ahead(500 * MS, 1000 * MS, 0, 500 * MS), 250 * MS);      /* half of it was due */
    assert_int_equal(rule_used_ahead(500 * MS, 1000 * MS, 250 * MS, 500 * MS), 0);      /* as it was due */
    assert_int_equal(rule_used_ahead(500 * MS, 1000 * MS, 400 * MS, 500 * MS), 0);      /* less: nothing is saved up */
    assert_int_equal(rule_used_ahead(500 * MS, 1000 * MS, 0, 0), 0);                    /* the period has ended */
    assert_int_equal(rule_used_ahead(500 * MS, 1000 * MS, -(int64_t)MS, 0), MS);        /* and more was used */
    assert_int_equal(rule_used_ahead(500 * MS, 1000 * MS, 0, 2000 * MS), 500 * MS);     /* never more than a budget */
    assert_int_equal(rule_used_ahead(1000 * MS, 1000 * MS, -5000 * (int64_t)MS, 7), 0); /* a CPU of its own */
    assert_int_equal(rule_used_ahead(0, 0, -5000 * (int64_t)MS, 7), 0);                 /* no promise */
    /* Rounded up: who gives up his promise every microsecond gains nothing. */
    assert_int_equal(rule_used_ahead(500 * MS, 1000 * MS, 500 * MS - 1000, 1000 * MS - 1000), 500);
    assert_int_equal(rule_used_ahead(500 * MS, 1000 * MS, 500 * MS - 999, 1000 * MS - 999), 999);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(use_by_type_generation_and_epoch),
        cmocka_unit_test(use_by_rights),
        cmocka_unit_test(numbers),
        cmocka_unit_test(a_slot_retires),
        cmocka_unit_test(duplicates_only_shrink),
        cmocka_unit_test(a_badge_is_given_once),
        cmocka_unit_test(each_type_has_its_rights),
        cmocka_unit_test(never_writable_and_executable),
        cmocka_unit_test(budgets_do_not_wrap),
        cmocka_unit_test(promises_stay_in_bounds),
        cmocka_unit_test(threads_stay_within_their_process),
        cmocka_unit_test(debts_are_paid_by_what_is_free),
        cmocka_unit_test(what_is_used_ahead),
        cmocka_unit_test(never_more_than_a_budget),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
