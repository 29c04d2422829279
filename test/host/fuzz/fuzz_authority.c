/*
 * fuzz_authority.c: a driver that does its worst with two devices: old, foreign, copied and forged handles in any
 * order, while ownership ends and begins. After each step: what a domain owns is exactly what is on its ledger, no
 * byte of one allocation was touched through another, and registers beside the device's own are as they were.
 */
#include "authority_world.h"

#include <string.h>

enum { HANDLES = 8, NEIGHBOUR = 2 * WORLD_SLOT_SIZE };

struct piece { /* what the driver believes to own */
    struct dma_memory memory;
    struct device_queue queue;
    struct device *device;
    uint32_t epoch; /* 0: nothing */
    uint8_t tag;
};

static struct {
    struct piece pieces[HANDLES];
    struct register_window windows[HANDLES];
    struct interrupt interrupts[HANDLES];
    struct {
        struct device *device;
        uint32_t loan, epoch, length;
    } loans[HANDLES];
    uint8_t next_tag;
    void *client;
} driver;

static const uint8_t *input;
static size_t input_size;

static uint32_t draw(void)
{
    uint32_t value = 0;

    for (unsigned i = 0; i < 2 && input_size != 0; i++, input_size--)
        value = value << 8 | *input++;
    return value;
}

static bool owns(const struct device *device, uint32_t epoch)
{
    return epoch != 0 && device->ownership.state == DEVICE_CLAIMED && device->ownership.epoch == epoch;
}

/* ---- What must hold ------------------------------------------------------------------------------------ */

static void check_piece(const struct piece *piece)
{
    if (piece->epoch == 0 || !owns(piece->device, piece->epoch))
        return;
    const uint8_t *bytes = piece->memory.memory;
    for (size_t i = 0; i < piece->memory.size; i++)
        assert_int_equal(bytes[i], piece->tag);
}

static void check(struct device *const devices_[2])
{
    uint64_t owned = 0;

    for (unsigned i = 0; i < HANDLES; i++)
        check_piece(&driver.pieces[i]);
    for (unsigned d = 0; d < 2; d++) {
        const struct device *device = devices_[d];
        uint64_t lent = 0;
        uint32_t loans = 0, queues = 0;
        for (unsigned i = 0; i < HANDLES; i++) {
            bool live = driver.loans[i].device == device && owns(device, driver.loans[i].epoch);
            lent += live ? driver.loans[i].length : 0;
            loans += live;
            queues += driver.pieces[i].queue.device == device && owns(device, driver.pieces[i].epoch);
        }
        if (device->ownership.state != DEVICE_QUARANTINED) {
            assert_int_equal(device->ledger.lent_bytes, lent);
            assert_int_equal(device->ledger.loan_count, loans);
            assert_int_equal(device->ledger.queue_count, queues);
        }
        assert_true(device->ledger.owned_bytes <= device->ledger.owned_limit);
        owned += device->ledger.owned_bytes;
    }
    assert_int_equal(owned, world.pages_live * PAGE_SIZE);
    assert_int_equal(world.dirty_frees, 0);
    for (unsigned i = 16; i < WORLD_SLOT_SIZE; i++)
        assert_int_equal(world_register(WORLD_SLOTS + NEIGHBOUR)[i], 0);
}

/* ---- What it does ---------------------------------------------------------------------------------------- */

static void mark(struct piece *piece)
{
    piece->tag = ++driver.next_tag;
    memset(piece->memory.memory, piece->tag, piece->memory.size);
}

static void allocate_piece(struct device *device, struct piece *piece, uint32_t how)
{
    static const size_t sizes[] = {1, 64, 65, 700, 2048, 2049, 4096, 9000};

    if (owns(piece->device, piece->epoch))
        return;
    *piece = (struct piece){.device = device};
    if (how & 8) {
        struct queue_layout layout = {(uint32_t)sizes[how & 7], (uint32_t)sizes[how >> 4 & 7], 1u << (how >> 8 & 15),
                                      how >> 12 & 1};
        if (queue_create(device, &layout, &piece->queue) != STATUS_OK)
            return;
        piece->memory = (struct dma_memory){.memory = piece->queue.submission, .size = layout.submission_size};
    } else if (dma_allocate(device, sizes[how & 7], (size_t)1 << (how >> 8 & 15), &piece->memory) != STATUS_OK) {
        return;
    }
    piece->epoch = device->ownership.epoch;
    mark(piece);
}

static void free_piece(struct device *device, struct piece *piece, uint32_t how)
{
    struct dma_memory memory = piece->memory, copy = memory;
    struct device_queue queue = piece->queue, twice = queue;

    if (how & 1) { /* forged: inside, or behind */
        memory.memory = (uint8_t *)memory.memory + 1 + (how >> 4) % 5000;
        memory.epoch = device->ownership.epoch;
        if ((uintptr_t)memory.memory % 64 != 0)
            dma_free(device, &memory);
    } else if (queue.device != NULL) {
        dma_free(queue.device, &memory); /* as if it were data */
        queue_destroy(&queue);
        queue_destroy(&twice);
        *piece = (struct piece){0};
    } else if (device != piece->device) {
        dma_free(device, &memory);
    } else {
        dma_free(device, &memory);
        dma_free(device, &copy);
        *piece = (struct piece){0};
    }
}

static void use_window(struct register_window *window, uint32_t how)
{
    static const uint64_t offsets[] = {0x50, 0x1fc, 0x1ff, 0x200, 0x400, UINT64_MAX, UINT64_MAX - 3, 0x70};
    struct register_window forged = *window;
    uint64_t offset = offsets[how & 7];

    if (how & 8)
        forged.size = UINT64_MAX;
    if (how & 16)
        forged.index = how >> 5;
    window_write8(&forged, offset, 0xaa);
    window_write16(&forged, offset, 0xaaaa);
    window_write32(&forged, offset, 0xaaaaaaaa);
    window_read32(&forged, offset);
    if (forged.device != NULL) /* what was written must not look like a device that does not reset */
        memset(world_register(WORLD_SLOTS + 0x70), 0, 4);
}

static void lend_or_return(struct device *device, unsigned i, uint32_t how)
{
    struct memory_ref ref = {.offset = (uintptr_t)driver.client + (how & 0x7ff), .length = how >> 4};
    struct dma_segment segment;
    unsigned count;
    uint32_t loan;

    if (owns(driver.loans[i].device != NULL ? driver.loans[i].device : device, driver.loans[i].epoch) || (how & 1)) {
        if (how & 2) { /* a number that differs from every loan of the device */
            dma_return(device, driver.loans[i].loan ^ 0x00800000);
            return;
        }
        if (driver.loans[i].device == NULL)
            return;
        dma_return(driver.loans[i].device, driver.loans[i].loan);
        dma_return(driver.loans[i].device, driver.loans[i].loan);
        driver.loans[i].epoch = 0;
    } else if (dma_lend(device, &ref, DMA_FROM_DEVICE, &segment, 1, &count, &loan) == STATUS_OK) {
        driver.loans[i].device = device;
        driver.loans[i].loan = loan;
        driver.loans[i].epoch = device->ownership.epoch;
        driver.loans[i].length = segment.length;
    }
}

static void use_interrupt(struct device *device, struct interrupt *interrupt, uint32_t how)
{
    struct interrupt forged = *interrupt;

    switch (how & 7) {
    case 0:
        device_interrupt_open(device, how >> 3 & 7, interrupt);
        break;
    case 1:
        interrupt_close(interrupt);
        break;
    case 2:
        forged.index = how >> 3;
        interrupt_close(&forged);
        break;
    case 3:
        forged.delivery = INTERRUPT_LINE;
        forged.index = how >> 3;
        interrupt_acknowledge(&forged);
        break;
    case 4:
        world_message(0, how >> 3 & 3);
        break;
    case 5:
        world.level[WORLD_FIRST_LINE] = (how & 8) != 0;
        world_wires(20);
        break;
    case 6:
        driver_wait(device, how, world.now_ns + how);
        break;
    default:
        world_advance(how * UINT64_C(100));
        break;
    }
}

static void change_owner(struct device *device, uint32_t how)
{
    if (how % 4 == 0)
        device_claim(device);
    else if (how % 4 == 1)
        device_revoke(device, "its worst");
    else if (how % 64 == 2) {
        world.stuck_register = WORLD_SLOTS + 0x70;
        world.stuck_value = 1;
    }
}

static void step(struct device *const devices_[2])
{
    uint32_t what = draw(), how = draw();
    struct device *device = devices_[what >> 4 & 1];
    unsigned i = what >> 5 & (HANDLES - 1);

    switch (what & 15) {
    case 0:
    case 1:
    case 2:
        allocate_piece(device, &driver.pieces[i], how);
        break;
    case 3:
    case 4:
        if (driver.pieces[i].memory.memory != NULL)
            free_piece(device, &driver.pieces[i], how);
        break;
    case 5:
        device_window_open(device, how & 7, &driver.windows[i]);
        break;
    case 6:
        use_window(&driver.windows[i], how);
        break;
    case 7:
    case 8:
        lend_or_return(device, i, how);
        break;
    case 9:
    case 10:
    case 11:
        use_interrupt(device, &driver.interrupts[i], how);
        break;
    case 12:
        queue_set_doorbell(&driver.pieces[i].queue, &driver.windows[how & 7], how >> 3, how & 8 ? 2 : 4);
        break;
    case 13:
        queue_notify(&driver.pieces[i].queue, how);
        memset(world_register(WORLD_SLOTS + 0x70), 0, 4);
        break;
    case 14:
        change_owner(device, how);
        break;
    default:
        device_capability(device, (uint8_t)how, how >> 8, &driver.windows[i], how & 15);
        driver.windows[i] = (struct register_window){0};
        device_fail(device, "its worst");
        break;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    world_begin(NULL);
    memset(&driver, 0, sizeof driver);
    world_slot(2);
    world_slot(99);
    world_slot(98);
    world_function(1 << 3, 0x1041, WORLD_MSIX);
    world_discover(world_drivers, 3);
    driver.client = world_client(2, MMU_WRITE, false);
    struct device *const both[2] = {world_claimed("virtio-blk0"), world_claimed("virtio-net0")};
    both[0]->ledger.owned_limit = 32 * PAGE_SIZE;
    input = bytes;
    input_size = size < 4096 ? size : 4096;
    while (input_size != 0) {
        step(both);
        check(both);
    }
    world_end(NULL);
    return 0;
}
