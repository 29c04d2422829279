/* test_authority_dma.c: DMA memory, loans and queues: what shares a page with what, budgets, exact ledgers. */
#include "authority_world.h"

#include <lib/bytes.h>
#include <string.h>

static struct device *blk, *net;

static int begin(void **state)
{
    world_begin(state);
    world_slot(2);
    world_slot(1);
    world_discover(world_drivers, 3);
    blk = world_claimed("virtio-blk0");
    net = world_claimed("virtio-net0");
    return 0;
}

static uint64_t page_of(const volatile void *memory)
{
    return (uintptr_t)memory / PAGE_SIZE;
}

static bool is_zero(const void *memory, size_t size)
{
    const uint8_t *bytes = memory;

    for (size_t i = 0; i < size; i++)
        if (bytes[i] != 0)
            return false;
    return true;
}

static void give(struct device *device, struct dma_memory *memory)
{
    dma_free(device, memory);
    assert_null(memory->memory);
}

/* ---- Allocations ------------------------------------------------------------------------------------------ */

static void sizes_and_alignments(void **state)
{
    (void)state;
    for (size_t alignment = 1; alignment <= 65536; alignment *= 2)
        for (size_t size = 1; size <= 70000; size = size * 3 / 2 + 1) {
            struct dma_memory memory;
            assert_int_equal(dma_allocate(blk, size, alignment, &memory), STATUS_OK);
            assert_int_equal(memory.size, size);
            assert_int_equal(memory.address % alignment, 0);
            assert_int_equal(memory.address, (uintptr_t)memory.memory + WORLD_PHYSICAL);
            assert_true(is_zero(memory.memory, size));
            memset(memory.memory, 0xff, size);
            assert_true(blk->ledger.owned_bytes >= size);
            give(blk, &memory);
            assert_int_equal(blk->ledger.owned_bytes, 0);
        }
}

static void impossible(void **state)
{
    static const struct {
        size_t size, alignment;
        enum status status;
    } rows[] = {
        {0, 64, STATUS_INVALID},
        {64, 0, STATUS_INVALID},
        {64, 3, STATUS_INVALID},
        {64, SIZE_MAX, STATUS_INVALID},
        {64, SIZE_MAX / 2 + 1, STATUS_LIMIT},
        {SIZE_MAX, 1, STATUS_LIMIT},
        {SIZE_MAX - 30, 64, STATUS_LIMIT},
        {DEVICE_DMA_LIMIT + 1, 64, STATUS_LIMIT},
    };

    (void)state;
    for (unsigned i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct dma_memory memory = {.memory = &memory};
        assert_int_equal(dma_allocate(blk, rows[i].size, rows[i].alignment, &memory), rows[i].status);
        assert_null(memory.memory);
    }
    assert_int_equal(world.pages_live, 0);
    struct dma_memory none = {0};
    dma_free(blk, &none);
    assert_int_equal(host_log_count(LOG_WARN), 0);
}

/* Small ones of one device share pages and are reused, of two devices never. */
static void sharing(void **state)
{
    struct dma_memory mine[64], theirs;

    (void)state;
    for (unsigned i = 0; i < 64; i++) {
        assert_int_equal(dma_allocate(blk, 64, 64, &mine[i]), STATUS_OK);
        assert_int_equal(page_of(mine[i].memory), page_of(mine[0].memory));
        memset(mine[i].memory, (int)i + 1, 64);
    }
    assert_int_equal(blk->ledger.owned_bytes, 4096);
    assert_int_equal(dma_allocate(net, 64, 64, &theirs), STATUS_OK);
    assert_int_not_equal(page_of(theirs.memory), page_of(mine[0].memory));
    for (unsigned i = 0; i < 64; i++)
        assert_int_equal(((uint8_t *)mine[i].memory)[63], i + 1); /* none overlaps another */

    /* What is given back is scrubbed at once, its neighbours are not, and it is what the next one gets. */
    void *place = mine[20].memory;
    give(blk, &mine[20]);
    give(blk, &mine[21]);
    assert_true(is_zero(place, 128));
    assert_int_equal(((uint8_t *)mine[19].memory)[63], 20);
    assert_int_equal(((uint8_t *)mine[22].memory)[0], 23);
    assert_int_equal(dma_allocate(blk, 65, 1, &mine[20]), STATUS_OK); /* two granules */
    assert_ptr_equal(mine[20].memory, place);
    assert_int_equal(blk->ledger.owned_bytes, 4096);
    for (unsigned i = 0; i < 64; i++)
        if (i != 21)
            give(blk, &mine[i]);
    assert_int_equal(blk->ledger.owned_bytes, 0);
    assert_int_equal(net->ledger.owned_bytes, 4096);
}

/* In a page that is partly used, too, each has the alignment that was asked for. */
static void aligned_in_shared_pages(void **state)
{
    struct dma_memory memory[11];
    size_t alignment = 1;

    (void)state;
    for (unsigned i = 0; i < 11; i++, alignment *= 2) {
        assert_int_equal(dma_allocate(blk, 64, alignment, &memory[i]), STATUS_OK);
        assert_int_equal(memory[i].address % alignment, 0);
    }
    assert_int_equal(blk->ledger.owned_bytes, 4096);
}

/* Only where an allocation begins can it be given back, once, and only by whom it belongs to. */
static void wrong_frees(void **state)
{
    struct dma_memory memory, large, again;

    (void)state;
    assert_int_equal(dma_allocate(blk, 256, 64, &memory), STATUS_OK);
    assert_int_equal(dma_allocate(blk, 64, 64, &again), STATUS_OK);
    assert_int_equal(dma_allocate(blk, 3 * PAGE_SIZE, 64, &large), STATUS_OK);
    memset(memory.memory, 0x12, 256);
    memset(large.memory, 0x34, 3 * PAGE_SIZE);
    uint8_t *small = memory.memory, *pages = large.memory;
    void *const wrong[] = {small + 1,         small + 64, small + 192, small - 64,          small + 2048, pages + 64,
                           pages + PAGE_SIZE, pages - 1,  (void *)1,   (void *)UINTPTR_MAX, &memory};
    for (unsigned i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        struct dma_memory forged = {.memory = wrong[i], .size = SIZE_MAX, .epoch = memory.epoch};
        host_log_clear();
        dma_free(blk, &forged);
        assert_true(host_log_has("virtio-blk0: gave back DMA memory that its domain does not own"));
    }
    struct dma_memory foreign = {.memory = small, .size = 256, .epoch = memory.epoch};
    dma_free(net, &foreign);
    assert_int_equal(blk->ledger.owned_bytes, 4096 + 4 * 4096);
    assert_int_equal(small[255], 0x12);

    struct dma_memory lie = memory; /* its size is not believed */
    lie.size = SIZE_MAX;
    struct dma_memory copy = memory;
    dma_free(blk, &lie);
    assert_true(is_zero(small, 256));
    host_log_clear();
    dma_free(blk, &copy); /* twice */
    assert_true(host_log_has("does not own"));
    assert_int_equal(blk->ledger.owned_bytes, 4096 + 4 * 4096);
    give(blk, &large);
    give(blk, &again);
    assert_int_equal(blk->ledger.owned_bytes, 0);
    assert_int_equal(world.pages_live, 0);
}

static void budget(void **state)
{
    struct dma_memory memory[8], more;

    (void)state;
    assert_int_equal(blk->ledger.owned_limit, 4 << 20);
    blk->ledger.owned_limit = 8 * PAGE_SIZE;
    for (unsigned i = 0; i < 8; i++)
        assert_int_equal(dma_allocate(blk, PAGE_SIZE, 64, &memory[i]), STATUS_OK);
    assert_int_equal(dma_allocate(blk, 1, 1, &more), STATUS_LIMIT);
    struct queue_layout layout = {.submission_size = 64, .completion_size = 64, .alignment = 64};
    struct device_queue queue;
    assert_int_equal(queue_create(blk, &layout, &queue), STATUS_LIMIT);
    assert_int_equal(dma_allocate(net, PAGE_SIZE, 64, &more), STATUS_OK); /* another's budget is its own */
    give(blk, &memory[0]);
    /* One page is left: a queue needs two, and gives the first back. */
    assert_int_equal(queue_create(blk, &layout, &queue), STATUS_LIMIT);
    assert_null(queue.device);
    assert_int_equal(blk->ledger.owned_bytes, 7 * PAGE_SIZE);
    assert_int_equal(blk->ledger.queue_count, 0);
    assert_int_equal(dma_allocate(blk, 1, 1, &memory[0]), STATUS_OK);
    assert_int_equal(dma_allocate(blk, 1, 1, &more), STATUS_OK); /* in the same page */
    device_revoke(blk, "a test");
    assert_int_equal(blk->ledger.owned_limit, 8 * PAGE_SIZE);
}

static void no_memory(void **state)
{
    struct dma_memory memory;
    struct queue_layout layout = {.submission_size = 64, .completion_size = 64, .alignment = 64};
    struct device_queue queue;

    (void)state;
    world.fail_pages = 1;
    assert_int_equal(dma_allocate(blk, 64, 64, &memory), STATUS_NO_MEMORY);
    world.fail_calloc = 1;
    assert_int_equal(dma_allocate(blk, 64, 64, &memory), STATUS_NO_MEMORY);
    world.fail_pages = 2;
    assert_int_equal(queue_create(blk, &layout, &queue), STATUS_NO_MEMORY);
    assert_int_equal(blk->ledger.owned_bytes, 0);
    assert_int_equal(world.pages_live, 0);
}

/* ---- Queues -------------------------------------------------------------------------------------------------- */

static bool apart(const volatile void *a, size_t a_size, const volatile void *b, size_t b_size)
{
    return page_of((const volatile uint8_t *)a + a_size - 1) < page_of(b) ||
           page_of((const volatile uint8_t *)b + b_size - 1) < page_of(a);
}

static void queues(void **state)
{
    static const uint32_t sizes[] = {1, 64, 100, 2048, 2049, 4096, 5000, 20000};
    struct dma_memory data;

    (void)state;
    assert_int_equal(dma_allocate(blk, 128, 64, &data), STATUS_OK);
    for (unsigned s = 0; s < 8; s++)
        for (unsigned c = 0; c < 8; c++)
            for (uint32_t alignment = 1; alignment <= 65536; alignment *= 16)
                for (unsigned adjacent = 0; adjacent < 2; adjacent++) {
                    struct queue_layout layout = {sizes[s], sizes[c], alignment, adjacent};
                    struct device_queue queue;
                    assert_int_equal(queue_create(blk, &layout, &queue), STATUS_OK);
                    assert_true(apart(queue.submission, sizes[s], queue.completion, sizes[c]));
                    assert_true(apart(queue.submission, sizes[s], data.memory, 128));
                    assert_true(apart(queue.completion, sizes[c], data.memory, 128));
                    assert_int_equal(queue.submission_address % alignment, 0);
                    assert_int_equal(queue.completion_address % alignment, 0);
                    if (adjacent) {
                        uint64_t unit = alignment > PAGE_SIZE ? alignment : PAGE_SIZE;
                        assert_int_equal(queue.completion_address, align_up(queue.submission_address + sizes[s], unit));
                    }
                    assert_true(is_zero(queue.submission, sizes[s]));
                    assert_true(is_zero((const void *)(uintptr_t)queue.completion, sizes[c]));
                    memset(queue.submission, 1, sizes[s]);
                    memset((void *)(uintptr_t)queue.completion, 2, sizes[c]);
                    assert_int_equal(blk->ledger.queue_count, 1);
                    queue_destroy(&queue);
                    assert_null(queue.device);
                    assert_int_equal(blk->ledger.queue_count, 0);
                    assert_int_equal(blk->ledger.owned_bytes, 4096);
                }
    struct device_queue none = {0};
    queue_destroy(&none);
    queue_notify(&none, 1);
}

/* Two queues' submissions may share a page, as may two completions; never one with the other. */
static void two_queues(void **state)
{
    struct queue_layout layout = {.submission_size = 512, .completion_size = 512, .alignment = 64};
    struct device_queue first, second;

    (void)state;
    assert_int_equal(queue_create(blk, &layout, &first), STATUS_OK);
    assert_int_equal(queue_create(blk, &layout, &second), STATUS_OK);
    assert_int_equal(blk->ledger.queue_count, 2);
    assert_int_equal(blk->ledger.owned_bytes, 2 * 4096);
    assert_int_equal(page_of(first.submission), page_of(second.submission));
    assert_int_equal(page_of(first.completion), page_of(second.completion));
    assert_int_not_equal(page_of(first.submission), page_of(second.completion));

    /* Destroyed twice through a copy, forged, or given back as if it were data: refused, and the ledger is exact. */
    struct device_queue copy = first, forged = second;
    struct dma_memory as_data = {.memory = second.submission, .size = 512, .epoch = second.epoch};
    queue_destroy(&first);
    assert_int_equal(blk->ledger.queue_count, 1);
    queue_destroy(&copy);
    assert_int_equal(blk->ledger.queue_count, 1);
    forged.submission = (uint8_t *)forged.submission + 64;
    queue_destroy(&forged);
    assert_int_equal(blk->ledger.queue_count, 1);
    dma_free(blk, &as_data);
    as_data = (struct dma_memory){.memory = (void *)(uintptr_t)second.completion, .epoch = second.epoch};
    dma_free(blk, &as_data);
    assert_int_equal(blk->ledger.owned_bytes, 2 * 4096);
    queue_destroy(&second);
    assert_int_equal(blk->ledger.queue_count, 0);
    assert_int_equal(blk->ledger.owned_bytes, 0);
}

static void impossible_queues(void **state)
{
    static const struct queue_layout rows[] = {
        {0, 64, 64, false}, {64, 0, 64, false},      {64, 64, 0, false},
        {64, 64, 3, true},  {64, 64, 131072, false}, {64, 64, 131072, true},
    };
    struct device_queue queue;

    (void)state;
    for (unsigned i = 0; i < sizeof rows / sizeof rows[0]; i++)
        assert_int_equal(queue_create(blk, &rows[i], &queue), STATUS_INVALID);
    for (unsigned adjacent = 0; adjacent < 2; adjacent++) {
        struct queue_layout huge = {UINT32_MAX, UINT32_MAX, 65536, adjacent};
        assert_int_equal(queue_create(blk, &huge, &queue), STATUS_LIMIT);
    }
    assert_int_equal(blk->ledger.owned_bytes, 0);
}

static void doorbells(void **state)
{
    struct queue_layout layout = {.submission_size = 64, .completion_size = 64, .alignment = 64};
    struct register_window window, foreign;
    struct device_queue queue;

    (void)state;
    assert_int_equal(queue_create(blk, &layout, &queue), STATUS_OK);
    assert_int_equal(device_window_open(blk, 0, &window), STATUS_OK);
    assert_int_equal(device_window_open(net, 0, &foreign), STATUS_OK);
    queue_notify(&queue, 5); /* no doorbell yet */
    assert_int_equal(world.register_accesses, 0);
    assert_int_equal(queue_set_doorbell(&queue, &window, 0x50, 1), STATUS_INVALID);
    assert_int_equal(queue_set_doorbell(&queue, &window, 0x50, 8), STATUS_INVALID);
    assert_int_equal(queue_set_doorbell(&queue, &foreign, 0x50, 4), STATUS_INVALID); /* another device's */
    assert_int_equal(queue_set_doorbell(&(struct device_queue){0}, &window, 0x50, 4), STATUS_INVALID);
    assert_int_equal(queue_set_doorbell(&queue, &window, 0x52, 4), STATUS_OUT_OF_RANGE);
    assert_int_equal(queue_set_doorbell(&queue, &window, 0x51, 2), STATUS_OUT_OF_RANGE);
    assert_int_equal(queue_set_doorbell(&queue, &window, 0x200, 2), STATUS_OUT_OF_RANGE);
    assert_int_equal(queue_set_doorbell(&queue, &window, UINT64_MAX - 1, 2), STATUS_OUT_OF_RANGE);
    struct register_window larger = window;
    larger.size = UINT64_MAX;
    assert_int_equal(queue_set_doorbell(&queue, &larger, 0x200, 4), STATUS_OUT_OF_RANGE);
    assert_int_equal(blk->window_violations, 0);
    assert_int_equal(queue_set_doorbell(&queue, &window, 0x50, 2), STATUS_OK);
    world_trace_clear();
    queue_notify(&queue, 0x10005);
    assert_string_equal(world.trace, "write16:a000050=5 ");
    assert_int_equal(queue_set_doorbell(&queue, &window, 0x54, 4), STATUS_OK);
    world_trace_clear();
    queue_notify(&queue, 0x10005);
    assert_string_equal(world.trace, "write32:a000054=10005 ");
}

/* A queue of this epoch with a doorbell of the one before, and the other way round. */
static void old_doorbell(void **state)
{
    struct queue_layout layout = {.submission_size = 64, .completion_size = 64, .alignment = 64};
    struct register_window old, window;
    struct device_queue queue, old_queue;

    (void)state;
    assert_int_equal(device_window_open(blk, 0, &old), STATUS_OK);
    assert_int_equal(queue_create(blk, &layout, &old_queue), STATUS_OK);
    device_revoke(blk, "a test");
    assert_int_equal(device_claim(blk), STATUS_OK);
    assert_int_equal(device_window_open(blk, 0, &window), STATUS_OK);
    assert_int_equal(queue_create(blk, &layout, &queue), STATUS_OK);
    assert_int_equal(queue_set_doorbell(&queue, &old, 0x50, 4), STATUS_REVOKED);
    assert_int_equal(queue_set_doorbell(&old_queue, &window, 0x50, 4), STATUS_REVOKED);
    queue.doorbell = old;
    queue.doorbell_offset = 0x50;
    queue.doorbell_width = 4;
    world_trace_clear();
    queue_notify(&queue, 5);
    assert_string_equal(world.trace, "");
}

/* ---- Loans --------------------------------------------------------------------------------------------------- */

static enum status lend(struct device *device, const void *at, uint64_t length, enum dma_direction direction,
                        uint32_t *loan)
{
    struct memory_ref ref = {.offset = (uintptr_t)at, .length = length};
    struct dma_segment segment = {0};
    unsigned count = 9;
    enum status status = dma_lend(device, &ref, direction, &segment, 1, &count, loan);

    assert_int_equal(count, status == STATUS_OK);
    if (status == STATUS_OK) {
        assert_int_equal(segment.address, (uintptr_t)at + WORLD_PHYSICAL);
        assert_int_equal(segment.length, length);
    } else {
        assert_int_equal(*loan, 0);
    }
    return status;
}

static void what_can_be_lent(void **state)
{
    uint8_t *memory = world_client(3, MMU_WRITE, false), *constants = world_client(1, 0, false);
    uint8_t *registers = world_client(1, MMU_WRITE | MMU_DEVICE, false), *split = world_client(2, MMU_WRITE, true);
    uint32_t loan;

    (void)state;
    assert_int_equal(lend(blk, memory, 1, DMA_FROM_DEVICE, &loan), STATUS_OK);
    assert_int_equal(lend(blk, memory + 4095, 4098, DMA_TO_DEVICE, &loan), STATUS_OK);
    assert_int_equal(lend(blk, memory, 3 * PAGE_SIZE, DMA_FROM_DEVICE, &loan), STATUS_OK);
    assert_int_equal(lend(blk, constants, 100, DMA_TO_DEVICE, &loan), STATUS_OK);
    assert_int_equal(blk->ledger.loan_count, 4);
    assert_int_equal(blk->ledger.lent_bytes, 1 + 4098 + 3 * PAGE_SIZE + 100);

    assert_int_equal(lend(blk, constants, 100, DMA_FROM_DEVICE, &loan), STATUS_DENIED); /* W^X holds for devices too */
    assert_int_equal(lend(blk, registers, 4, DMA_FROM_DEVICE, &loan), STATUS_DENIED);
    assert_int_equal(lend(blk, registers, 4, DMA_TO_DEVICE, &loan), STATUS_DENIED);
    assert_int_equal(lend(blk, split + 4000, 200, DMA_TO_DEVICE, &loan), STATUS_DENIED); /* not contiguous */
    assert_int_equal(lend(blk, split + 4000, 96, DMA_TO_DEVICE, &loan), STATUS_OK);
    assert_int_equal(lend(blk, NULL, 100, DMA_TO_DEVICE, &loan), STATUS_DENIED);
    assert_int_equal(lend(blk, memory - 1, 2, DMA_TO_DEVICE, &loan), STATUS_DENIED);
    assert_int_equal(lend(blk, memory + 3 * PAGE_SIZE - 1, 2, DMA_TO_DEVICE, &loan), STATUS_DENIED);
    assert_int_equal(lend(blk, (void *)(UINTPTR_MAX - 10), 100, DMA_TO_DEVICE, &loan), STATUS_DENIED);
    assert_int_equal(lend(blk, memory, 0, DMA_TO_DEVICE, &loan), STATUS_INVALID);
    assert_int_equal(lend(blk, memory, UINT64_C(1) << 32, DMA_TO_DEVICE, &loan), STATUS_LIMIT);
    struct memory_ref object = {.object = 3, .offset = (uintptr_t)memory, .length = 10};
    struct dma_segment segment;
    unsigned count;
    assert_int_equal(dma_lend(blk, &object, DMA_TO_DEVICE, &segment, 1, &count, &loan), STATUS_INVALID);
    object.object = 0;
    assert_int_equal(dma_lend(blk, &object, DMA_TO_DEVICE, &segment, 0, &count, &loan), STATUS_LIMIT);
    assert_int_equal(blk->ledger.loan_count, 5);
}

static void returns(void **state)
{
    uint8_t *memory = world_client(1, MMU_WRITE, false);
    uint32_t first, second, theirs;

    (void)state;
    assert_int_equal(lend(blk, memory, 100, DMA_TO_DEVICE, &first), STATUS_OK);
    assert_int_equal(lend(blk, memory, 200, DMA_TO_DEVICE, &second), STATUS_OK);
    assert_int_equal(lend(net, memory, 400, DMA_TO_DEVICE, &theirs), STATUS_OK);
    assert_int_not_equal(first, second);
    dma_return(blk, first);
    assert_int_equal(blk->ledger.lent_bytes, 200);
    dma_return(blk, first); /* twice */
    assert_true(host_log_has("which is not out"));
    dma_return(blk, second ^ 0x1000); /* a generation that never was */
    dma_return(blk, 0);
    dma_return(blk, UINT32_MAX);
    dma_return(blk, second | 0xfff);
    assert_int_equal(blk->ledger.lent_bytes, 200);
    assert_int_equal(blk->ledger.loan_count, 1);
    assert_int_equal(net->ledger.loan_count, 1);
    dma_return(blk, second);
    assert_int_equal(blk->ledger.loan_count, 0);
    /* A slot that is used again has another number: an old return does not end the new loan. */
    for (unsigned i = 0; i < 200; i++) {
        uint32_t again;
        assert_int_equal(lend(blk, memory, 8, DMA_TO_DEVICE, &again), STATUS_OK);
        assert_int_not_equal(again, first);
        assert_int_not_equal(again, second);
        dma_return(blk, first);
        dma_return(blk, second);
        assert_int_equal(blk->ledger.loan_count, 1);
        dma_return(blk, again);
        assert_int_equal(blk->ledger.loan_count, 0);
    }
}

static void loans_limit(void **state)
{
    uint8_t *memory = world_client(1, MMU_WRITE, false);
    static uint32_t loans[DEVICE_MAX_LOANS];
    uint32_t more;

    (void)state;
    assert_int_equal(blk->ledger.loan_limit, DEVICE_MAX_LOANS);
    world.fail_calloc = 1;
    assert_int_equal(lend(blk, memory, 8, DMA_TO_DEVICE, &more), STATUS_NO_MEMORY);
    for (unsigned round = 0; round < 2; round++) {
        for (unsigned i = 0; i < DEVICE_MAX_LOANS; i++)
            assert_int_equal(lend(blk, memory, 8, DMA_TO_DEVICE, &loans[i]), STATUS_OK);
        assert_int_equal(lend(blk, memory, 8, DMA_TO_DEVICE, &more), STATUS_LIMIT);
        assert_int_equal(blk->ledger.lent_bytes, 8 * DEVICE_MAX_LOANS);
        dma_return(blk, loans[77]);
        assert_int_equal(lend(blk, memory, 8, DMA_TO_DEVICE, &loans[77]), STATUS_OK);
        for (unsigned i = 0; i < DEVICE_MAX_LOANS; i++)
            dma_return(blk, loans[i]);
        assert_int_equal(blk->ledger.loan_count, 0);
        assert_int_equal(blk->ledger.lent_bytes, 0);
    }
    assert_int_equal(host_log_count(LOG_WARN), 0);
    /* In a smaller budget of loans, too. */
    device_revoke(blk, "a test");
    blk->ledger.loan_limit = 3;
    assert_int_equal(device_claim(blk), STATUS_OK);
    for (unsigned i = 0; i < 3; i++)
        assert_int_equal(lend(blk, memory, 8, DMA_TO_DEVICE, &loans[i]), STATUS_OK);
    assert_int_equal(lend(blk, memory, 8, DMA_TO_DEVICE, &more), STATUS_LIMIT);
}

/* While a loan's number can tell epochs apart, none ends another's. */
static void loans_of_old_epochs(void **state)
{
    uint8_t *memory = world_client(1, MMU_WRITE, false);
    uint32_t loans[100], now;

    (void)state;
    for (unsigned epoch = 0; epoch < 100; epoch++) {
        assert_int_equal(lend(blk, memory, 8, DMA_TO_DEVICE, &loans[epoch]), STATUS_OK);
        device_revoke(blk, "a test");
        assert_int_equal(device_claim(blk), STATUS_OK);
        assert_int_equal(lend(blk, memory, 16, DMA_TO_DEVICE, &now), STATUS_OK);
        uint64_t stale = blk->stale_uses;
        for (unsigned i = 0; i <= epoch; i++)
            dma_return(blk, loans[i]);
        assert_int_equal(blk->stale_uses - stale, epoch + 1);
        assert_int_equal(blk->ledger.lent_bytes, 16);
        device_revoke(blk, "a test");
        assert_int_equal(device_claim(blk), STATUS_OK);
    }
    assert_int_equal(host_log_count(LOG_WARN), 0);
    assert_int_equal(memory[0], 0x5a); /* the client's bytes are never scrubbed */
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, world_end)
        TEST(sizes_and_alignments),
        TEST(impossible),
        TEST(sharing),
        TEST(aligned_in_shared_pages),
        TEST(wrong_frees),
        TEST(budget),
        TEST(no_memory),
        TEST(queues),
        TEST(two_queues),
        TEST(impossible_queues),
        TEST(doorbells),
        TEST(old_doorbell),
        TEST(what_can_be_lent),
        TEST(returns),
        TEST(loans_limit),
        TEST(loans_of_old_epochs),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
