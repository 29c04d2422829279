/*
 * blk.c: virtio block device [virtio 1.2 §5.2].
 *
 * QEMU: -drive if=none,id=d0,file=F,format=raw -device virtio-blk-pci,drive=d0 (or virtio-blk-device)
 *
 * A client's request becomes one or more transfers, each of which the device takes at once: header, data, status
 * byte. Requests wait in order while the ring is full; the last transfer to come back completes its request.
 */
#include "virtio.h"

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
    QUEUE_SIZE = 32,
    SECTOR_SIZE = 512,
    MAX_DATA_PARTS = 16,
    SMALLEST_PAGE = 4096, /* in which a client's memory may lie apart */
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

struct transfer {
    struct block_request *request; /* NULL: free, or the identity request of start */
    uint32_t bytes;                /* that the device writes as data */
    uint8_t loan_count;
    uint32_t loans[MAX_DATA_PARTS];
    struct transfer *next; /* in the free list */
};

struct virtio_blk {
    struct virtio_device virtio;
    struct virtqueue *queue;
    struct dma_memory wires;
    struct transfer transfers[QUEUE_SIZE], *free;
    uint32_t most_parts, most_part_size; /* of data, in one transfer */
    uint32_t most_zeroes_sectors, most_discard_sectors;

    /* Requests not wholly handed over, oldest first, and how far the first one is. */
    struct block_request *waiting, **waiting_end;
    uint64_t next_block;
    unsigned segment;
    uint64_t segment_offset;

    struct block_request *finished, **finished_end; /* to be told, from handle */
    struct block_device block;
    unsigned odd_answers;
    uint64_t resize_told_ns; /* before then the log does not say it again */
    bool stopping;
};

/* request->driver[0]: transfers in flight, plus one until the whole request was handed over. */
enum { IN_FLIGHT = 0 };

static uint32_t sectors_per_block(const struct virtio_blk *blk)
{
    return blk->block.info.block_size / SECTOR_SIZE;
}

/* ---- Completing ------------------------------------------------------------------------------------ */

static void finish_later(struct virtio_blk *blk, struct block_request *request, enum status status)
{
    if (request->status == STATUS_OK)
        request->status = status;
    request->next = NULL;
    *blk->finished_end = request;
    blk->finished_end = &request->next;
    driver_wake(blk->virtio.device);
}

/* Tells of what has finished until now. What a client submits from its `done` is told of another time, so that
 * this ends. */
static void tell_finished(struct virtio_blk *blk)
{
    struct block_request *request = blk->finished, *next;

    blk->finished = NULL;
    blk->finished_end = &blk->finished;
    for (; request != NULL; request = next) {
        next = request->next;
        request->done(request);
    }
}

/* One of the request's transfers, or its handing over, has ended. */
static void part_ended(struct virtio_blk *blk, struct block_request *request, enum status status)
{
    if (request->status == STATUS_OK)
        request->status = status;
    if (--request->driver[IN_FLIGHT] == 0)
        finish_later(blk, request, STATUS_OK);
}

static void return_loans(struct virtio_blk *blk, struct transfer *transfer)
{
    while (transfer->loan_count != 0) {
        transfer->loan_count--;
        if (!blk->virtio.stuck)
            dma_return(blk->virtio.device, transfer->loans[transfer->loan_count]);
    }
}

static void transfer_release(struct virtio_blk *blk, struct transfer *transfer)
{
    return_loans(blk, transfer);
    transfer->request = NULL;
    transfer->next = blk->free;
    blk->free = transfer;
}

static struct wire *wire_of(struct virtio_blk *blk, const struct transfer *transfer)
{
    return (struct wire *)blk->wires.memory + (transfer - blk->transfers);
}

static device_address wire_address(struct virtio_blk *blk, const struct transfer *transfer, size_t offset)
{
    return blk->wires.address + (size_t)(transfer - blk->transfers) * sizeof(struct wire) + offset;
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

static void take_completions(struct virtio_blk *blk)
{
    uint64_t token;
    uint32_t written;

    do {
        while (virtqueue_next(blk->queue, &token, &written)) {
            struct transfer *transfer = &blk->transfers[token - 1];
            struct block_request *request = transfer->request;
            enum status status = judge(blk, transfer, written);
            transfer_release(blk, transfer);
            part_ended(blk, request, status);
        }
    } while (virtqueue_arm(blk->queue));
}

/* ---- Submitting ------------------------------------------------------------------------------------ */

/* Lends one piece of client memory and appends it to the parts; STATUS_LIMIT: it is too scattered for those that are
 * left. */
static enum status lend_piece(struct virtio_blk *blk, struct transfer *transfer, const struct memory_ref *piece,
                              struct virtqueue_part parts[], unsigned *count)
{
    bool read = transfer->request->operation == BLOCK_READ;
    struct dma_segment where[MAX_DATA_PARTS];
    unsigned found = 0, used = *count;
    uint32_t loan;
    enum status status = dma_lend(blk->virtio.device, piece, read ? DMA_FROM_DEVICE : DMA_TO_DEVICE, where,
                                  blk->most_parts - used, &found, &loan);

    for (unsigned i = 0; status == STATUS_OK && i < found; i++)
        for (uint32_t at = 0, now; at < where[i].length; at += now) {
            if (used == blk->most_parts) {
                dma_return(blk->virtio.device, loan);
                return STATUS_LIMIT;
            }
            now = where[i].length - at;
            if (now > blk->most_part_size)
                now = blk->most_part_size;
            parts[used++] = (struct virtqueue_part){where[i].address + at, now};
        }
    if (status != STATUS_OK)
        return status;
    transfer->loans[transfer->loan_count++] = loan;
    *count = used;
    return STATUS_OK;
}

/* Lends the next bytes of the request's segments, at most `bytes`, until parts run out (STATUS_LIMIT) or something
 * else is in the way. Gives how many bytes that is, and moves the position behind them. */
static enum status lend(struct virtio_blk *blk, struct transfer *transfer, struct virtqueue_part parts[],
                        unsigned *count, uint64_t bytes, uint64_t *lent)
{
    enum status status = STATUS_OK;

    *lent = 0;
    while (*lent < bytes && status == STATUS_OK) {
        const struct memory_ref *segment = &transfer->request->segments[blk->segment];
        struct memory_ref piece = {.object = segment->object, .offset = segment->offset + blk->segment_offset};
        piece.length = segment->length - blk->segment_offset;
        if (piece.length > bytes - *lent)
            piece.length = bytes - *lent;
        if (*count == blk->most_parts)
            return STATUS_LIMIT;
        while ((status = lend_piece(blk, transfer, &piece, parts, count)) == STATUS_LIMIT &&
               piece.length >= 2 * SECTOR_SIZE) { /* fewer bytes need fewer parts: one a page, or less */
            uint64_t pages = (uint64_t)(blk->most_parts - *count) * SMALLEST_PAGE - piece.offset % SMALLEST_PAGE;
            piece.length = piece.length > pages ? pages : piece.length / 2;
        }
        if (status != STATUS_OK)
            break;
        *lent += piece.length;
        blk->segment_offset += piece.length;
        if (blk->segment_offset == segment->length) {
            blk->segment++;
            blk->segment_offset = 0;
        }
    }
    return status;
}

struct position {
    unsigned segment;
    uint64_t offset;
};

static void go_back(struct virtio_blk *blk, struct position position)
{
    blk->segment = position.segment;
    blk->segment_offset = position.offset;
}

/* Fills data parts for as many whole blocks as fit; 0: not even one does, and `why`. */
static uint64_t lend_blocks(struct virtio_blk *blk, struct transfer *transfer, struct virtqueue_part parts[],
                            unsigned *count, enum status *why)
{
    const struct block_request *request = transfer->request;
    uint64_t size = blk->block.info.block_size, lent;
    uint64_t wanted = (block_request_start(request) + request->block_count - blk->next_block) * size;
    struct position start = {blk->segment, blk->segment_offset};

    if (wanted > UINT32_MAX / 2)
        wanted = align_down(UINT32_MAX / 2, size);
    for (;;) {
        enum status status = lend(blk, transfer, parts, count, wanted, &lent);
        if (lent != 0 && lent % size == 0)
            return lent / size;
        /* Parts ran out inside a block: again with what is known to fit, and with one block before giving up. */
        return_loans(blk, transfer);
        *count = 0;
        go_back(blk, start);
        *why = status == STATUS_LIMIT ? STATUS_UNSUPPORTED : status;
        if (wanted == size)
            return 0;
        wanted = lent > size ? align_down(lent, size) : size;
    }
}

/* Builds a transfer for the next blocks of the request; the blocks it covers, 0 when none can be, and `why`. `out`
 * and `in` count the parts before the status byte. */
static uint64_t build(struct virtio_blk *blk, struct transfer *transfer, struct virtqueue_part parts[], unsigned *out,
                      unsigned *in, enum status *why)
{
    const struct block_request *request = transfer->request;
    struct wire *wire = wire_of(blk, transfer);
    uint64_t blocks = 0, left = block_request_start(request) + request->block_count - blk->next_block;
    unsigned data = 0;

    memset(wire, 0, sizeof *wire);
    wire->answer = ANSWER_NONE;
    wire->header.sector = blk->next_block * sectors_per_block(blk);
    parts[0] = (struct virtqueue_part){wire_address(blk, transfer, 0), sizeof wire->header};
    *out = 1;
    *in = 0;
    transfer->bytes = 0;
    if (request->operation == BLOCK_READ || request->operation == BLOCK_WRITE) {
        blocks = lend_blocks(blk, transfer, parts + 1, &data, why);
        wire->header.type = request->operation == BLOCK_READ ? TYPE_IN : TYPE_OUT;
        *(request->operation == BLOCK_READ ? in : out) += data;
        if (request->operation == BLOCK_READ)
            transfer->bytes = (uint32_t)(blocks * blk->block.info.block_size);
    } else if (request->operation == BLOCK_FLUSH) {
        wire->header.type = TYPE_FLUSH;
        wire->header.sector = 0;
        blocks = 1;
    } else {
        bool discard = request->operation == BLOCK_DISCARD;
        uint32_t most = (discard ? blk->most_discard_sectors : blk->most_zeroes_sectors) / sectors_per_block(blk);
        blocks = left < most ? left : most;
        wire->header.type = discard ? TYPE_DISCARD : TYPE_WRITE_ZEROES;
        wire->range.sector = wire->header.sector;
        wire->range.sectors = (uint32_t)(blocks * sectors_per_block(blk));
        wire->header.sector = 0;
        parts[(*out)++] =
            (struct virtqueue_part){wire_address(blk, transfer, offsetof(struct wire, range)), sizeof wire->range};
    }
    return blocks;
}

static void waiting_pop(struct virtio_blk *blk)
{
    blk->waiting = blk->waiting->next;
    if (blk->waiting == NULL)
        blk->waiting_end = &blk->waiting;
    else
        blk->next_block = block_request_start(blk->waiting);
    blk->segment = 0;
    blk->segment_offset = 0;
}

/* Hands over one transfer of the first waiting request; false when the ring is full. */
static bool hand_over(struct virtio_blk *blk)
{
    struct block_request *request = blk->waiting;
    struct transfer *transfer = blk->free;
    struct virtqueue_part parts[MAX_DATA_PARTS + 2];
    struct position start = {blk->segment, blk->segment_offset};
    unsigned out, in;

    if (transfer == NULL || virtqueue_room(blk->queue) == 0)
        return false;
    blk->free = transfer->next;
    transfer->request = request;
    enum status status = STATUS_OK;
    uint64_t blocks = build(blk, transfer, parts, &out, &in, &status);
    if (blocks != 0) {
        parts[out + in] =
            (struct virtqueue_part){wire_address(blk, transfer, offsetof(struct wire, answer)), sizeof(uint8_t)};
        status = virtqueue_add(blk->queue, parts, (uint16_t)out, (uint16_t)(in + 1),
                               (uint64_t)(transfer - blk->transfers) + 1);
    }
    if (status != STATUS_OK) {
        transfer_release(blk, transfer);
        go_back(blk, start);
        if (status == STATUS_BUSY)
            return false;
        waiting_pop(blk);
        part_ended(blk, request, status);
        return true;
    }
    request->driver[IN_FLIGHT]++;
    blk->next_block += blocks;
    if (request->operation == BLOCK_FLUSH || blk->next_block == block_request_start(request) + request->block_count) {
        waiting_pop(blk);
        part_ended(blk, request, STATUS_OK);
    }
    return true;
}

static void pump(struct virtio_blk *blk)
{
    while (blk->waiting != NULL && hand_over(blk))
        ;
    virtqueue_submit(blk->queue);
}

static unsigned blk_submit(void *driver, struct block_request *const requests[], unsigned count)
{
    struct virtio_blk *blk = driver;

    if (blk->stopping)
        return 0;
    for (unsigned i = 0; i < count; i++) {
        struct block_request *request = requests[i];
        enum status status = block_request_check(&blk->block.info, request);
        bool nothing_to_do = request->operation == BLOCK_FLUSH && !blk->block.info.write_cache;
        request->status = STATUS_OK;
        request->next = NULL;
        if (status != STATUS_OK || nothing_to_do) {
            finish_later(blk, request, status);
            continue;
        }
        request->driver[IN_FLIGHT] = 1;
        if (blk->waiting == NULL)
            blk->next_block = block_request_start(request);
        *blk->waiting_end = request;
        blk->waiting_end = &request->next;
    }
    pump(blk);
    return count;
}

static void blk_poll(void *driver)
{
    struct virtio_blk *blk = driver;

    if (blk->stopping)
        return;
    take_completions(blk);
    pump(blk);
    tell_finished(blk);
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
    uint32_t parts = config32(blk, F_SEG_MAX, CONFIG_SEG_MAX, MAX_DATA_PARTS);
    uint32_t size = config32(blk, F_SIZE_MAX, CONFIG_SIZE_MAX, 0), room = virtqueue_max_parts(blk->queue) - 2u;

    if (parts == 0) {
        log_warn(blk->block.name, "claims to take no segments at all; one is used");
        parts = 1;
    }
    if (parts > room)
        parts = room;
    blk->most_parts = parts < MAX_DATA_PARTS ? parts : MAX_DATA_PARTS;
    blk->most_part_size = size == 0 ? UINT32_MAX : size;
    if ((uint64_t)blk->most_parts * blk->most_part_size < info->block_size) {
        log_error(blk->block.name, "takes at most %u parts of %u bytes, which do not hold a block of %u",
                  blk->most_parts, blk->most_part_size, info->block_size);
        return STATUS_UNSUPPORTED;
    }
    blk->most_discard_sectors = config32(blk, F_DISCARD, CONFIG_MAX_DISCARD, 0);
    blk->most_zeroes_sectors = config32(blk, F_WRITE_ZEROES, CONFIG_MAX_WRITE_ZEROES, 0);
    info->read_only = virtio_has(&blk->virtio, F_RO);
    info->write_cache = virtio_has(&blk->virtio, F_FLUSH);
    info->can_discard = !info->read_only && blk->most_discard_sectors >= sectors_per_block(blk);
    info->can_write_zeroes = !info->read_only && blk->most_zeroes_sectors >= sectors_per_block(blk);
    info->max_discard_blocks = blk->most_discard_sectors / sectors_per_block(blk);
    info->queue_depth = virtqueue_size(blk->queue);
    return STATUS_OK;
}

/* The serial number is a request of its own [virtio 1.2 §5.2.6]. It need not be known, but must be answered: a device
 * that is silent now will be silent to everyone. */
static enum status read_serial(struct virtio_blk *blk)
{
    struct transfer *transfer = blk->free;
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
    enum status status = virtqueue_add(blk->queue, parts, 1, 2, 1);
    if (status != STATUS_OK)
        return status;
    virtqueue_submit(blk->queue);
    if (!virtqueue_wait(blk->queue, clock_now() + FIRST_ANSWER_DEADLINE) ||
        !virtqueue_next(blk->queue, &token, &written)) {
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
    uint64_t token;

    blk->stopping = true; /* clients may call us from `done` */
    while (blk->queue != NULL && virtqueue_take_back(blk->queue, &token)) {
        struct transfer *transfer = &blk->transfers[token - 1];
        struct block_request *request = transfer->request;
        transfer_release(blk, transfer);
        if (request != NULL)
            part_ended(blk, request, status);
    }
    while (blk->waiting != NULL) {
        struct block_request *request = blk->waiting;
        waiting_pop(blk);
        part_ended(blk, request, status);
    }
    tell_finished(blk);
    virtqueue_close(blk->queue);
    if (!blk->virtio.stuck)
        dma_free(blk->virtio.device, &blk->wires);
    virtio_close(&blk->virtio);
    free(blk);
}

static enum status set_up(struct virtio_blk *blk, struct device *device)
{
    enum status status = dma_allocate(device, sizeof(struct wire) * QUEUE_SIZE, 64, &blk->wires);

    if (status == STATUS_OK)
        status = virtqueue_open(&blk->queue, &blk->virtio, REQUEST_QUEUE, QUEUE_SIZE, 1);
    if (status != STATUS_OK)
        return status;
    if (virtqueue_max_parts(blk->queue) < 3) {
        log_error(blk->block.name, "has a queue of %u entries; a request needs 3", virtqueue_size(blk->queue));
        return STATUS_UNSUPPORTED;
    }
    for (unsigned i = virtqueue_size(blk->queue); i-- != 0;) {
        blk->transfers[i].next = blk->free;
        blk->free = &blk->transfers[i];
    }
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
    virtqueue_arm(blk->queue); /* its completion was the one that the queue began armed for */
    return device_publish_block(device, &blk->block);
}

static enum status blk_start(struct device *device, void **state)
{
    struct virtio_blk *blk = calloc(1, sizeof *blk);
    enum status status;

    if (blk == NULL)
        return STATUS_NO_MEMORY;
    blk->waiting_end = &blk->waiting;
    blk->finished_end = &blk->finished;
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
