/*
 * The model that test/hostile/sequences holds the kernel to, walked by itself: every sequence of operations with the
 * handles of an object in two processes, and after each what must be true of every state.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <kernel/process/rules.h>
#include <string.h>

#include "sequences/model.h"

enum { DEPTH = 5 };

static uint64_t states, refused;

static bool is_current(const struct model *model, const struct variable *variable)
{
    return variable->type != OBJECT_NONE && variable->slot_epoch == model->epoch;
}

/* All that anybody can still do with the object. */
static uint32_t authority(const struct model *model)
{
    uint32_t rights = 0;

    for (unsigned party = 0; party < PARTIES; party++)
        for (unsigned i = 0; i < model->counts[party]; i++)
            if (is_current(model, &model->variables[party][i]))
                rights |= model->variables[party][i].rights;
    return rights;
}

static void check_variable(const struct model *before, const struct model *after, unsigned party, unsigned index)
{
    const struct variable *was = &before->variables[party][index], *is = &after->variables[party][index];

    assert_int_equal(is->rights & ~rule_rights_of(after->type), 0);
    if (index >= before->counts[party])
        return;
    assert_int_equal(is->rights & ~was->rights, 0); /* a handle only loses rights */
    assert_true(is->type == was->type || is->type == OBJECT_NONE);
    assert_true(!was->badge || is->badge);
    if (was->type == OBJECT_NONE) /* what was closed is refused for ever */
        assert_true(is->slot_generation != is->generation);
    if (!is_current(before, was)) /* and so is what was revoked */
        assert_false(is_current(after, is));
}

static void check(const struct model *before, const struct model *after, const struct operation *operation,
                  enum status status)
{
    bool new_authority = (authority(after) & ~authority(before)) != 0;

    states++;
    assert_false(new_authority);
    if (status != STATUS_OK && !(operation->kind == USE && status == STATUS_TIMED_OUT)) {
        refused++;
        assert_memory_equal(before, after, sizeof *before);
    }
    assert_false((after->writable[FIRST] | after->writable[SECOND]) != 0 &&
                 (after->executable[FIRST] | after->executable[SECOND]) != 0);
    for (unsigned party = 0; party < PARTIES; party++)
        for (unsigned i = 0; i < after->counts[party]; i++)
            check_variable(before, after, party, i);
    if (operation->kind == REVOKE && status == STATUS_OK)
        for (unsigned party = 0; party < PARTIES; party++)
            for (unsigned i = 0; i < after->counts[party]; i++)
                assert_true(!is_current(after, &after->variables[party][i]) ||
                            (party == operation->party && i == operation->variable));
}

static void walk(const struct model *model, unsigned depth)
{
    struct operation operation;

    for (unsigned i = 0; model_operation(model, i, &operation); i++) {
        struct model next = *model;
        enum status status = model_apply(&next, &operation);
        check(model, &next, &operation, status);
        if (depth + 1 < DEPTH && memcmp(model, &next, sizeof next) != 0)
            walk(&next, depth + 1);
    }
}

static void walk_type(enum object_type type)
{
    struct model model;

    states = refused = 0;
    model_init(&model, type);
    walk(&model, 0);
    print_message("%llu states, %llu times refused\n", (unsigned long long)states, (unsigned long long)refused);
    assert_true(states > 10000);
    assert_true(refused > 1000);
}

static void test_notification(void **state)
{
    (void)state;
    walk_type(OBJECT_NOTIFICATION);
}

static void test_endpoint(void **state)
{
    (void)state;
    walk_type(OBJECT_ENDPOINT);
}

static void test_memory(void **state)
{
    (void)state;
    walk_type(OBJECT_MEMORY);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_notification),
        cmocka_unit_test(test_endpoint),
        cmocka_unit_test(test_memory),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
