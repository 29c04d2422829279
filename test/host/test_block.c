/* test_block.c: which requests block_request_check lets through, at the edges of every rule. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <vmos/block.h>

static const struct block_info plain = {.block_count = 1000, .block_size = 512};
static const struct block_info cached = {.block_count = 1000, .block_size = 512, .write_cache = true};
static const struct block_info forced = {
    .block_count = 1000, .block_size = 512, .write_cache = true, .can_force_unit_access = true};
static const struct block_info fixed = {.block_count = 1000, .block_size = 512, .read_only = true};
static const struct block_info thin = {
    .block_count = 1000, .block_size = 512, .can_discard = true, .can_write_zeroes = true};
static const struct block_info largest = {.block_count = UINT64_MAX / 512, .block_size = 512};
static const struct block_info empty = {.block_size = 512};

static const struct {
    const struct block_info *info;
    enum block_operation operation;
    uint64_t offset, first, count;
    bool force;
    enum status status;
} rows[] = {
    {&plain, BLOCK_READ, 0, 0, 1, false, STATUS_OK},
    {&plain, BLOCK_READ, 0, 999, 1, false, STATUS_OK},
    {&plain, BLOCK_READ, 0, 0, 1000, false, STATUS_OK},
    {&plain, BLOCK_READ, 0, 1000, 1, false, STATUS_OUT_OF_RANGE},
    {&plain, BLOCK_READ, 0, 999, 2, false, STATUS_OUT_OF_RANGE},
    {&plain, BLOCK_READ, 0, 0, 1001, false, STATUS_OUT_OF_RANGE},
    {&plain, BLOCK_READ, 0, 0, 0, false, STATUS_INVALID},
    {&plain, BLOCK_READ, 0, UINT64_MAX, 1, false, STATUS_OUT_OF_RANGE},
    {&plain, BLOCK_READ, 0, 1, UINT64_MAX, false, STATUS_OUT_OF_RANGE},
    /* a partition's beginning */
    {&plain, BLOCK_READ, 999, 0, 1, false, STATUS_OK},
    {&plain, BLOCK_READ, 500, 499, 1, false, STATUS_OK},
    {&plain, BLOCK_READ, 500, 500, 1, false, STATUS_OUT_OF_RANGE},
    {&plain, BLOCK_READ, 500, 499, 2, false, STATUS_OUT_OF_RANGE},
    {&plain, BLOCK_READ, 1000, 0, 1, false, STATUS_OUT_OF_RANGE},
    {&plain, BLOCK_READ, 1001, 0, 1, false, STATUS_OUT_OF_RANGE},
    {&plain, BLOCK_READ, UINT64_MAX, 0, 1, false, STATUS_OUT_OF_RANGE},
    {&plain, BLOCK_READ, UINT64_MAX, 1, 1, false, STATUS_OUT_OF_RANGE}, /* the sum wraps to 0 */
    {&plain, BLOCK_READ, 1, UINT64_MAX, 1, false, STATUS_OUT_OF_RANGE},
    {&plain, BLOCK_READ, 1, 1, UINT64_MAX, false, STATUS_OUT_OF_RANGE},
    {&plain, BLOCK_WRITE, UINT64_MAX - 5, 10, 1, false, STATUS_OUT_OF_RANGE},
    {&largest, BLOCK_READ, UINT64_MAX / 512 - 1, 0, 1, false, STATUS_OK},
    {&largest, BLOCK_READ, UINT64_MAX / 512 - 1, 1, 1, false, STATUS_OUT_OF_RANGE},
    {&empty, BLOCK_READ, 0, 0, 1, false, STATUS_OUT_OF_RANGE},
    {&empty, BLOCK_FLUSH, 0, 0, 0, false, STATUS_OK},
    {&plain, BLOCK_FLUSH, UINT64_MAX, UINT64_MAX, UINT64_MAX, false, STATUS_OK}, /* means nothing there */
    /* durable at once */
    {&plain, BLOCK_WRITE, 0, 0, 1, true, STATUS_OK}, /* every write is */
    {&cached, BLOCK_WRITE, 0, 0, 1, true, STATUS_UNSUPPORTED},
    {&forced, BLOCK_WRITE, 0, 0, 1, true, STATUS_OK},
    {&forced, BLOCK_WRITE, 999, 1, 1, true, STATUS_OUT_OF_RANGE},
    {&cached, BLOCK_WRITE, 0, 0, 1, false, STATUS_OK},
    {&fixed, BLOCK_WRITE, 0, 0, 1, true, STATUS_READ_ONLY},
    /* what a disk cannot */
    {&fixed, BLOCK_READ, 0, 0, 1, false, STATUS_OK},
    {&fixed, BLOCK_WRITE, 0, 5000, 1, false, STATUS_READ_ONLY},
    {&fixed, BLOCK_DISCARD, 0, 0, 1, false, STATUS_READ_ONLY},
    {&plain, BLOCK_DISCARD, 0, 0, 1, false, STATUS_UNSUPPORTED},
    {&plain, BLOCK_WRITE_ZEROES, 0, 0, 1, false, STATUS_UNSUPPORTED},
    {&thin, BLOCK_DISCARD, 500, 0, 500, false, STATUS_OK},
    {&thin, BLOCK_DISCARD, 500, 0, 501, false, STATUS_OUT_OF_RANGE},
    {&thin, BLOCK_WRITE_ZEROES, 0, 999, 1, false, STATUS_OK},
    {&thin, BLOCK_WRITE_ZEROES + 1, 0, 0, 1, false, STATUS_INVALID},
};

static void test_rows(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        bool transfers = rows[i].operation == BLOCK_READ || rows[i].operation == BLOCK_WRITE;
        struct memory_ref segment = {.length = rows[i].count * 512};
        struct block_request request = {.operation = rows[i].operation,
                                        .offset = rows[i].offset,
                                        .first_block = rows[i].first,
                                        .block_count = rows[i].count,
                                        .force_unit_access = rows[i].force,
                                        .segments = &segment,
                                        .segment_count = transfers};
        if (block_request_check(rows[i].info, &request) != rows[i].status)
            fail_msg("row %zu: %s", i, status_text(block_request_check(rows[i].info, &request)));
    }
}

static void test_segments(void **state)
{
    static const struct {
        uint64_t lengths[3];
        unsigned count;
        enum status status;
    } cuts[] = {
        {{1024}, 1, STATUS_OK},
        {{1020, 4}, 2, STATUS_OK},
        {{4, 1016, 4}, 3, STATUS_OK},
        {{1024, 0}, 2, STATUS_INVALID},
        {{1022, 2}, 2, STATUS_INVALID},
        {{1020}, 1, STATUS_INVALID},
        {{1028}, 1, STATUS_INVALID},
        {{512, 516}, 2, STATUS_INVALID},
        {{1024, UINT64_MAX - 3, 4}, 3, STATUS_INVALID}, /* the sum wraps to 1024 */
        {{0}, 0, STATUS_INVALID},
    };

    (void)state;
    for (size_t i = 0; i < sizeof cuts / sizeof cuts[0]; i++) {
        struct memory_ref segments[3];
        for (unsigned j = 0; j < 3; j++)
            segments[j] = (struct memory_ref){.length = cuts[i].lengths[j]};
        struct block_request request = {
            .operation = BLOCK_WRITE, .block_count = 2, .segments = segments, .segment_count = cuts[i].count};
        assert_int_equal(block_request_check(&plain, &request), cuts[i].status);
    }
}

static void test_start(void **state)
{
    struct block_request request = {.offset = 70, .first_block = 7};

    (void)state;
    assert_int_equal(block_request_start(&request), 77);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rows),
        cmocka_unit_test(test_segments),
        cmocka_unit_test(test_start),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
