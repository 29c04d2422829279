/*
 * blk.c: virtio block device [virtio 1.2 §5.2].
 *
 * QEMU: -drive if=none,id=d0,file=F,format=raw -device virtio-blk-pci,drive=d0 (or virtio-blk-device)
 *
 * A transfer (transfer.h) is a header, data, and a status byte.
 */
#include "transfer.h"

#include <lib/bytes.h>
#include <lib/log.h>
#include <lib/malloc.h>
#include <lib/printf.h>
#include <lib/string.h>
#include <lib/text.h>
#include <vmos/block.h>

/* Features [virtio 1.2 §5.2.3]. */
enum {
    F_BARRIER = 0, /* legacy only, as is SCSI */
    F_SIZE_MAX = 1,
    F_SEG_MAX = 2,
    F_GEOMETRY = 4,
    F_RO = 5,
    F_BLK_SIZE = 6,
    F_SCSI = 7,
    F_FLUSH = 9,
    F_TOPOLOGY = 10,
    F_CONFIG_WCE = 11,
    F_MQ = 12,
    F_DISCARD = 13,
    F_WRITE_ZEROES = 14,
    F_LIFETIME = 15,
    F_SECURE_ERASE = 16,
};

static const struct virtio_feature features[] = {
    {.bit = F_BARRIER, .name = "barrier"},
    {.bit = F_SIZE_MAX, .wanted = true, .name = "size_max"},
    {.bit = F_SEG_MAX, .wanted = true, .name = "seg_max"},
    {.bit = F_GEOMETRY, .name = "geometry"},
    {.bit = F_RO, .wanted = true, .name = "ro"},
    {.bit = F_BLK_SIZE, .wanted = true, .name = "blk_size"},
    {.bit = F_SCSI, .name = "scsi"},
    {.bit = F_FLUSH, .wanted = true, .name = "flush"},
    {.bit = F_TOPOLOGY, .wanted = true, .name = "topology"},
    {.bit = F_CONFIG_WCE, .name = "config_wce"},
    {.bit = F_MQ, .name = "mq"},
    {.bit = F_DISCARD, .wanted = true, .name = "discard"},
    {.bit = F_WRITE_ZEROES, .wanted = true, .name = "write_zeroes"},
    {.bit = F_LIFETIME, .name = "lifetime"},
    {.bit = F_SECURE_ERASE, .name = "secure_erase"},
};

/* Device configuration: offset and size in bytes [virtio 1.2 §5.2.4]. */
enum {
    CONFIG_CAPACITY = 0,           /* 8, in sectors of 512 */
    CONFIG_SIZE_MAX = 8,           /* 4 */
    CONFIG_SEG_MAX = 12,           /* 4 */
    CONFIG_BLK_SIZE = 20,          /* 4 */
    CONFIG_PHYSICAL_EXPONENT = 24, /* 1 */
    CONFIG_OPTIMAL_IO = 28,        /* 4, in blocks */
    CONFIG_MAX_DISCARD = 36,       /* 4, in sectors */
    CONFIG_MAX_WRITE_ZEROES = 48,  /* 4, in sectors */
};

/* Request types and status values [virtio 1.2 §5.2.6]. */
enum { TYPE_IN = 0, TYPE_OUT = 1, TYPE_FLUSH = 4, TYPE_GET_ID = 8, TYPE_DISCARD = 11, TYPE_WRITE_ZEROES = 13 };
enum { ANSWER_OK = 0, ANSWER_IO_ERROR = 1, ANSWER_UNSUPPORTED = 2, ANSWER_NONE = 0xff };

enum {
    REQUEST_QUEUE = 0,
    SECTOR_SIZE = 512,
    ID_SIZE = 20,
    LARGEST_BLOCK = 65536,
    FIRST_ANSWER_SECONDS = 5,
};

#define FIRST_ANSWER_DEADLINE (FIRST_ANSWER_SECONDS * NANOSECONDS_PER_SECOND)

/* What the device reads and writes beside the data; one for each transfer. */
struct wire {
    struct {
        uint32_t type, reserved;
        uint64_t sector;
    } header;
    struct { /* of a discard or write-zeroes [virtio 1.2 §5.2.6] */
        uint64_t sector;
        uint32_t sectors, flags;
    } range;
    uint8_t answer;
    uint8_t padding[7];
    uint8_t id[ID_SIZE + 4];
};
_Static_assert(sizeof(struct wire) == 64 && offsetof(struct wire, range) == 16 && offsetof(struct wire, answer) == 32,
               "[virtio 1.2 §5.2.6]");

struct virtio_blk {
    struct transfers transfers; /* first: the class's functions get it back */
    struct virtio_device virtio;
    struct dma_memory wires; /* one for each transfer */
    uint32_t most_zeroes_sectors, most_discard_sectors;
    struct block_device block;
    unsigned odd_answers;
    uint64_t resize_told_ns; /* before then the log does not say it again */
};

static uint32_t sectors_per_block(const struct virtio_blk *blk)
{
    return blk->block.info.block_size / SECTOR_SIZE;
}

/* ---- Completing ------------------------------------------------------------------------------------ */

static struct wire *wire_of(struct virtio_blk *blk, const struct transfer *transfer)
{
    return (struct wire *)blk->wires.memory + (transfer - blk->transfers.each);
}

static device_address wire_address(struct virtio_blk *blk, const struct transfer *transfer, size_t offset)
{
    return blk->wires.address + (size_t)(transfer - blk->transfers.each) * sizeof(struct wire) + offset;
}

/* What the device's answer means. `written` counts data and status byte; a device that says ok and wrote
 * less than it should has left bytes of the client untouched. Legacy devices are known to count wrongly: there the
 * status byte alone decides [virtio 1.2 §2.7.8.3]. */
static enum status judge(struct virtio_blk *blk, const struct transfer *transfer, uint32_t written)
{
    uint8_t answer = *(volatile uint8_t *)&wire_of(blk, transfer)->answer;

    if (answer == ANSWER_OK && (written > transfer->bytes || blk->virtio.legacy))
        return STATUS_OK;
    if (answer == ANSWER_IO_ERROR)
        return STATUS_IO_ERROR;
    if (answer == ANSWER_UNSUPPORTED)
        return STATUS_UNSUPPORTED;
    if (blk->odd_answers++ == 0) {
        if (answer == ANSWER_OK)
            log_warn(blk->block.name, "says ok but wrote %u of %u bytes; the request fails", written,
                     transfer->bytes + 1);
        else
            log_warn(blk->block.name, "answered with status %u, which means nothing; the request fails", answer);
    }
    return STATUS_IO_ERROR;
}

static bool ended(struct transfers *transfers, struct transfer *transfer, uint32_t written, enum status *status)
{
    *status = judge((struct virtio_blk *)transfers, transfer, written);
    return true;
}

/* ---- Submitting ------------------------------------------------------------------------------------ */

/* Header, data or range, status byte. */
static uint64_t build(struct transfers *transfers, struct transfer *transfer, struct virtqueue_part parts[],
                      unsigned *out, unsigned *in, enum status *why)
{
    struct virtio_blk *blk = (struct virtio_blk *)transfers;
    enum block_operation operation = transfer->request->operation;
    struct wire *wire = wire_of(blk, transfer);
    uint64_t blocks = 0, left = transfer_blocks_left(transfers, transfer);
    unsigned data = 0;

    memset(wire, 0, sizeof *wire);
    wire->answer = ANSWER_NONE;
    wire->header.sector = transfers->next_block * sectors_per_block(blk);
    parts[0] = (struct virtqueue_part){wire_address(blk, transfer, 0), sizeof wire->header};
    *out = 1;
    *in = 0;
    transfer->bytes = 0;
    if (operation == BLOCK_READ || operation == BLOCK_WRITE) {
        blocks = transfer_lend(transfers, transfer, parts + 1, &data, UINT64_MAX, why);
        wire->header.type = operation == BLOCK_READ ? TYPE_IN : TYPE_OUT;
        *(operation == BLOCK_READ ? in : out) += data;
        if (operation == BLOCK_READ)
            transfer->bytes = (uint32_t)(blocks * blk->block.info.block_size);
    } else if (operation == BLOCK_FLUSH) {
        wire->header.type = TYPE_FLUSH;
        wire->header.sector = 0;
        blocks = 1;
    } else {
        bool discard = operation == BLOCK_DISCARD;
        uint32_t most = (discard ? blk->most_discard_sectors : blk->most_zeroes_sectors) / sectors_per_block(blk);
        blocks = left < most ? left : most;
        wire->header.type = discard ? TYPE_DISCARD : TYPE_WRITE_ZEROES;
        wire->range.sector = wire->header.sector;
        wire->range.sectors = (uint32_t)(blocks * sectors_per_block(blk));
        wire->header.sector = 0;
        parts[(*out)++] =
            (struct virtqueue_part){wire_address(blk, transfer, offsetof(struct wire, range)), sizeof wire->range};
    }
    parts[*out + (*in)++] =
        (struct virtqueue_part){wire_address(blk, transfer, offsetof(struct wire, answer)), sizeof(uint8_t)};
    return blocks;
}

static const struct transfer_class blk_transfers = {.build = build, .ended = ended};

static unsigned blk_submit(void *driver, struct block_request *const requests[], unsigned count)
{
    struct virtio_blk *blk = driver;

    return transfers_submit(&blk->transfers, &blk->block, requests, count);
}

static void blk_poll(void *driver)
{
    transfers_poll(&((struct virtio_blk *)driver)->transfers);
}

static const struct block_ops blk_ops = {.submit = blk_submit, .poll = blk_poll};

/* ---- What the disk is ------------------------------------------------------------------------------- */

static uint32_t config32(struct virtio_blk *blk, unsigned feature, uint32_t offset, uint32_t otherwise)
{
    uint32_t value;

    if (!virtio_has(&blk->virtio, feature) ||
        virtio_config_read(&blk->virtio, offset, &value, sizeof value) != STATUS_OK)
        return otherwise;
    return value;
}

static enum status read_capacity(struct virtio_blk *blk)
{
    struct block_info *info = &blk->block.info;
    uint64_t sectors;
    enum status status = virtio_config_read(&blk->virtio, CONFIG_CAPACITY, &sectors, sizeof sectors);

    if (status != STATUS_OK)
        return status;
    if (sectors > UINT64_MAX / SECTOR_SIZE) {
        log_warn(blk->block.name, "claims 0x%llx sectors, which is more than addresses can say; the rest is not used",
                 (unsigned long long)sectors);
        sectors = UINT64_MAX / SECTOR_SIZE;
    }
    info->block_count = sectors / (info->block_size / SECTOR_SIZE);
    return STATUS_OK;
}

static void read_block_sizes(struct virtio_blk *blk)
{
    struct block_info *info = &blk->block.info;
    uint32_t size = config32(blk, F_BLK_SIZE, CONFIG_BLK_SIZE, SECTOR_SIZE);
    uint8_t exponent = 0;

    if (!is_power_of_two(size) || size < SECTOR_SIZE || size > LARGEST_BLOCK) {
        log_warn(blk->block.name, "claims blocks of %u bytes, which cannot be; uses %u", size, SECTOR_SIZE);
        size = SECTOR_SIZE;
    }
    info->block_size = info->physical_block_size = size;
    if (!virtio_has(&blk->virtio, F_TOPOLOGY))
        return;
    if (virtio_config_read(&blk->virtio, CONFIG_PHYSICAL_EXPONENT, &exponent, 1) == STATUS_OK && exponent <= 12)
        info->physical_block_size = size << exponent;
    uint64_t optimal = (uint64_t)config32(blk, F_TOPOLOGY, CONFIG_OPTIMAL_IO, 0) * size;
    info->optimal_transfer = optimal <= UINT32_MAX ? (uint32_t)optimal : 0;
}

static enum status read_limits(struct virtio_blk *blk)
{
    struct block_info *info = &blk->block.info;
    uint32_t parts = config32(blk, F_SEG_MAX, CONFIG_SEG_MAX, TRANSFER_DATA_PARTS);
    uint32_t size = config32(blk, F_SIZE_MAX, CONFIG_SIZE_MAX, 0),
             room = virtqueue_max_parts(blk->transfers.queue) - 2u;

    if (parts == 0) {
        log_warn(blk->block.name, "claims to take no segments at all; one is used");
        parts = 1;
    }
    if (parts > room)
        parts = room;
    blk->transfers.most_parts = parts < TRANSFER_DATA_PARTS ? parts : TRANSFER_DATA_PARTS;
    blk->transfers.most_part_size = size == 0 ? UINT32_MAX : size;
    if ((uint64_t)blk->transfers.most_parts * blk->transfers.most_part_size < info->block_size) {
        log_error(blk->block.name, "takes at most %u parts of %u bytes, which do not hold a block of %u",
                  blk->transfers.most_parts, blk->transfers.most_part_size, info->block_size);
        return STATUS_UNSUPPORTED;
    }
    blk->most_discard_sectors = config32(blk, F_DISCARD, CONFIG_MAX_DISCARD, 0);
    blk->most_zeroes_sectors = config32(blk, F_WRITE_ZEROES, CONFIG_MAX_WRITE_ZEROES, 0);
    info->read_only = virtio_has(&blk->virtio, F_RO);
    info->write_cache = virtio_has(&blk->virtio, F_FLUSH);
    info->can_discard = !info->read_only && blk->most_discard_sectors >= sectors_per_block(blk);
    info->can_write_zeroes = !info->read_only && blk->most_zeroes_sectors >= sectors_per_block(blk);
    /* NOLINTNEXTLINE(clang-analyzer-core.DivideZero): read_block_sizes saw to it that it is not 0 */
    info->max_discard_blocks = blk->most_discard_sectors / sectors_per_block(blk);
    info->queue_depth = virtqueue_size(blk->transfers.queue);
    return STATUS_OK;
}

/* The serial number is a request of its own [virtio 1.2 §5.2.6]. It need not be known, but must be answered: a device
 * that is silent now will be silent to everyone. */
static enum status read_serial(struct virtio_blk *blk)
{
    struct transfer *transfer = blk->transfers.free;
    struct wire *wire = wire_of(blk, transfer);
    struct virtqueue_part parts[3] = {
        {wire_address(blk, transfer, 0), sizeof wire->header},
        {wire_address(blk, transfer, offsetof(struct wire, id)), ID_SIZE},
        {wire_address(blk, transfer, offsetof(struct wire, answer)), 1},
    };
    char *serial = blk->block.info.serial;
    uint64_t token;
    uint32_t written;

    wire->header.type = TYPE_GET_ID;
    wire->answer = ANSWER_NONE;
    transfer->bytes = ID_SIZE;
    enum status status = virtqueue_add(blk->transfers.queue, parts, 1, 2, 1);
    if (status != STATUS_OK)
        return status;
    virtqueue_submit(blk->transfers.queue);
    if (!virtqueue_wait(blk->transfers.queue, clock_now() + FIRST_ANSWER_DEADLINE) ||
        !virtqueue_next(blk->transfers.queue, &token, &written)) {
        log_error(blk->block.name, "did not answer its first request within %u s", FIRST_ANSWER_SECONDS);
        return STATUS_TIMED_OUT;
    }
    if (judge(blk, transfer, written) == STATUS_OK) {
        memcpy(serial, wire->id, ID_SIZE); /* first out of the device's reach */
        text_sanitise(serial, serial, ID_SIZE);
    }
    return STATUS_OK;
}

static void describe(const struct virtio_blk *blk)
{
    const struct block_info *info = &blk->block.info;
    char size[24];

    format_size(size, sizeof size, info->block_count * info->block_size);
    log_info(blk->block.name, "%s in blocks of %u%s%s%s%s%s", size, info->block_size,
             info->read_only ? ", read-only" : "", info->write_cache ? ", with a write cache" : "",
             info->can_discard ? ", can discard" : "", info->serial[0] != '\0' ? ", serial " : "", info->serial);
}

/* ---- Life -------------------------------------------------------------------------------------------- */

/* After a reset. Everything that was under way ends with this status. */
static void release(struct virtio_blk *blk, enum status status)
{
    transfers_release(&blk->transfers, status);
    virtqueue_close(blk->transfers.queue);
    if (!blk->virtio.stuck)
        dma_free(blk->virtio.device, &blk->wires);
    virtio_close(&blk->virtio);
    free(blk);
}

static enum status set_up(struct virtio_blk *blk, struct device *device)
{
    enum status status = dma_allocate(device, sizeof(struct wire) * TRANSFER_COUNT, 64, &blk->wires);

    if (status == STATUS_OK)
        status = virtqueue_open(&blk->transfers.queue, &blk->virtio, REQUEST_QUEUE, TRANSFER_COUNT, 1);
    if (status != STATUS_OK)
        return status;
    if (virtqueue_max_parts(blk->transfers.queue) < 3) {
        log_error(blk->block.name, "has a queue of %u entries; a request needs 3",
                  virtqueue_size(blk->transfers.queue));
        return STATUS_UNSUPPORTED;
    }
    transfers_allow(&blk->transfers, virtqueue_size(blk->transfers.queue));
    read_block_sizes(blk);
    status = read_capacity(blk);
    if (status == STATUS_OK)
        status = read_limits(blk);
    if (status == STATUS_OK)
        status = virtio_go(&blk->virtio);
    if (status == STATUS_OK)
        status = read_serial(blk);
    if (status != STATUS_OK)
        return status;
    virtqueue_arm(blk->transfers.queue); /* its completion was the one that the queue began armed for */
    return device_publish_block(device, &blk->block);
}

static enum status blk_start(struct device *device, void **state)
{
    struct virtio_blk *blk = calloc(1, sizeof *blk);
    enum status status;

    if (blk == NULL)
        return STATUS_NO_MEMORY;
    transfers_init(&blk->transfers, &blk_transfers, &blk->virtio);
    blk->block = (struct block_device){.ops = &blk_ops, .driver = blk, .name = device_name(device)};
    status = virtio_open(&blk->virtio, device, features, sizeof features / sizeof features[0]);
    if (status != STATUS_OK) {
        free(blk);
        return status;
    }
    status = set_up(blk, device);
    if (status != STATUS_OK) {
        virtio_reset(&blk->virtio);
        release(blk, status);
        return status;
    }
    describe(blk);
    *state = blk;
    return STATUS_OK;
}

static void blk_handle(void *state, uint32_t events)
{
    struct virtio_blk *blk = state;
    uint32_t cause = virtio_cause(&blk->virtio, events);

    if (cause & VIRTIO_CAUSE_CONFIG) {
        uint64_t before = blk->block.info.block_count, now = clock_now();
        if (read_capacity(blk) == STATUS_OK && blk->block.info.block_count != before && now >= blk->resize_told_ns) {
            log_info(blk->block.name, "now has %llu blocks and had %llu",
                     (unsigned long long)blk->block.info.block_count, (unsigned long long)before);
            blk->resize_told_ns = now + NANOSECONDS_PER_SECOND; /* a device that changes all the time is not news */
        }
    }
    blk_poll(blk);
}

static void blk_stop(void *state)
{
    struct virtio_blk *blk = state;
    enum status status = virtio_reset(&blk->virtio);

    release(blk, status == STATUS_TIMED_OUT ? STATUS_DEVICE_FAULT : STATUS_REVOKED);
}

static const struct driver_match blk_matches[] = {
    {DEVICE_BUS_PCI, 0x1af4, 0x1001},
    {DEVICE_BUS_PCI, 0x1af4, 0x1042},
    {DEVICE_BUS_VIRTIO_MMIO, DEVICE_ANY_ID, 2},
};

const struct driver virtio_blk_driver = {
    .name = "virtio-blk",
    .matches = blk_matches,
    .match_count = sizeof blk_matches / sizeof blk_matches[0],
    .start = blk_start,
    .handle = blk_handle,
    .stop = blk_stop,
};
