/* transfer.c: see transfer.h. */
#include "transfer.h"

#include <lib/bytes.h>

enum {
    SMALLEST_BLOCK = 512,
    SMALLEST_PAGE = 4096, /* in which a client's memory may lie apart */
};

/* request->driver[0]: transfers in flight, plus one until the whole request was handed over; [1]: the disk. */
enum { IN_FLIGHT = 0, DISK = 1 };

void transfers_init(struct transfers *transfers, const struct transfer_class *class, struct virtio_device *virtio)
{
    transfers->class = class;
    transfers->virtio = virtio;
    transfers->waiting_end = &transfers->waiting;
    transfers->finished_end = &transfers->finished;
}

void transfers_allow(struct transfers *transfers, unsigned count)
{
    transfers->free = NULL;
    for (unsigned i = count < TRANSFER_COUNT ? count : TRANSFER_COUNT; i-- != 0;) {
        transfers->each[i].next = transfers->free;
        transfers->free = &transfers->each[i];
    }
}

/* ---- Completing ------------------------------------------------------------------------------------ */

static void finish_later(struct transfers *transfers, struct block_request *request, enum status status)
{
    if (request->status == STATUS_OK)
        request->status = status;
    request->next = NULL;
    *transfers->finished_end = request;
    transfers->finished_end = &request->next;
    driver_wake(transfers->virtio->device);
}

/* Tells of what has finished until now. What a client submits from its `done` is told of another time, so that
 * this ends. */
static void tell_finished(struct transfers *transfers)
{
    struct block_request *request = transfers->finished, *next;

    transfers->finished = NULL;
    transfers->finished_end = &transfers->finished;
    for (; request != NULL; request = next) {
        next = request->next;
        request->done(request);
    }
}

/* One of the request's transfers, or its handing over, has ended. */
static void part_ended(struct transfers *transfers, struct block_request *request, enum status status)
{
    if (request->status == STATUS_OK)
        request->status = status;
    if (--request->driver[IN_FLIGHT] == 0)
        finish_later(transfers, request, STATUS_OK);
}

static void return_loans(struct transfers *transfers, struct transfer *transfer)
{
    while (transfer->loan_count != 0) {
        transfer->loan_count--;
        if (!transfers->virtio->stuck)
            dma_return(transfers->virtio->device, transfer->loans[transfer->loan_count]);
    }
}

static void release(struct transfers *transfers, struct transfer *transfer)
{
    return_loans(transfers, transfer);
    transfer->request = NULL;
    transfer->next = transfers->free;
    transfers->free = transfer;
}

struct transfer *transfer_take(struct transfers *transfers)
{
    struct transfer *transfer = transfers->free;

    if (transfer != NULL)
        transfers->free = transfer->next;
    return transfer;
}

void transfer_end(struct transfers *transfers, struct transfer *transfer, enum status status)
{
    struct block_request *request = transfer->request;

    release(transfers, transfer);
    if (request != NULL)
        part_ended(transfers, request, status);
}

static void take_completions(struct transfers *transfers)
{
    uint64_t token;
    uint32_t written;

    do {
        while (virtqueue_next(transfers->queue, &token, &written)) {
            struct transfer *transfer = &transfers->each[token - 1];
            enum status status = STATUS_OK;
            if (transfers->class->ended(transfers, transfer, written, &status))
                transfer_end(transfers, transfer, status);
        }
    } while (virtqueue_arm(transfers->queue));
}

/* ---- Submitting ------------------------------------------------------------------------------------ */

/* Lends one piece of client memory and appends it to the parts; STATUS_LIMIT: it is too scattered for those that are
 * left. */
static enum status lend_piece(struct transfers *transfers, struct transfer *transfer, const struct memory_ref *piece,
                              struct virtqueue_part parts[], unsigned *count)
{
    bool read = transfer->request->operation == BLOCK_READ;
    struct dma_segment where[TRANSFER_DATA_PARTS];
    unsigned found = 0, used = *count;
    uint32_t loan;
    enum status status = dma_lend(transfers->virtio->device, piece, read ? DMA_FROM_DEVICE : DMA_TO_DEVICE, where,
                                  transfers->most_parts - used, &found, &loan);

    for (unsigned i = 0; status == STATUS_OK && i < found; i++)
        for (uint32_t at = 0, now; at < where[i].length; at += now) {
            if (used == transfers->most_parts) {
                dma_return(transfers->virtio->device, loan);
                return STATUS_LIMIT;
            }
            now = where[i].length - at;
            if (now > transfers->most_part_size)
                now = transfers->most_part_size;
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
static enum status lend(struct transfers *transfers, struct transfer *transfer, struct virtqueue_part parts[],
                        unsigned *count, uint64_t bytes, uint64_t *lent)
{
    enum status status = STATUS_OK;

    *lent = 0;
    while (*lent < bytes && status == STATUS_OK) {
        const struct memory_ref *segment = &transfer->request->segments[transfers->segment];
        struct memory_ref piece = {.object = segment->object, .offset = segment->offset + transfers->segment_offset};
        piece.length = segment->length - transfers->segment_offset;
        if (piece.length > bytes - *lent)
            piece.length = bytes - *lent;
        if (*count == transfers->most_parts)
            return STATUS_LIMIT;
        while ((status = lend_piece(transfers, transfer, &piece, parts, count)) == STATUS_LIMIT &&
               piece.length >= 2 * SMALLEST_BLOCK) { /* fewer bytes need fewer parts: one a page, or less */
            uint64_t pages = (uint64_t)(transfers->most_parts - *count) * SMALLEST_PAGE - piece.offset % SMALLEST_PAGE;
            piece.length = piece.length > pages ? pages : piece.length / 2;
        }
        if (status != STATUS_OK)
            break;
        *lent += piece.length;
        transfers->segment_offset += piece.length;
        if (transfers->segment_offset == segment->length) {
            transfers->segment++;
            transfers->segment_offset = 0;
        }
    }
    return status;
}

struct position {
    unsigned segment;
    uint64_t offset;
};

static struct position position(const struct transfers *transfers)
{
    return (struct position){transfers->segment, transfers->segment_offset};
}

static void go_back(struct transfers *transfers, struct position to)
{
    transfers->segment = to.segment;
    transfers->segment_offset = to.offset;
}

uint64_t transfer_blocks_left(const struct transfers *transfers, const struct transfer *transfer)
{
    return block_request_start(transfer->request) + transfer->request->block_count - transfers->next_block;
}

uint64_t transfer_lend(struct transfers *transfers, struct transfer *transfer, struct virtqueue_part parts[],
                       unsigned *count, uint64_t most, enum status *why)
{
    uint64_t size = transfer_disk(transfer->request)->info.block_size, lent;
    uint64_t wanted = transfer_blocks_left(transfers, transfer) * size;
    struct position start = position(transfers);

    if (most > UINT32_MAX / 2)
        most = UINT32_MAX / 2;
    if (wanted > most)
        wanted = align_down(most, size);
    for (;;) {
        enum status status = lend(transfers, transfer, parts, count, wanted, &lent);
        if (lent != 0 && lent % size == 0)
            return lent / size;
        /* Parts ran out inside a block: again with what is known to fit, and with one block before giving up. */
        return_loans(transfers, transfer);
        *count = 0;
        go_back(transfers, start);
        *why = status == STATUS_LIMIT ? STATUS_UNSUPPORTED : status;
        if (wanted == size)
            return 0;
        wanted = lent > size ? align_down(lent, size) : size;
    }
}

static void waiting_pop(struct transfers *transfers)
{
    transfers->waiting = transfers->waiting->next;
    if (transfers->waiting == NULL)
        transfers->waiting_end = &transfers->waiting;
    else
        transfers->next_block = block_request_start(transfers->waiting);
    transfers->segment = 0;
    transfers->segment_offset = 0;
}

/* Hands over one transfer of the first waiting request; false when the ring is full. */
static bool hand_over(struct transfers *transfers)
{
    struct block_request *request = transfers->waiting;
    struct virtqueue_part parts[TRANSFER_PARTS];
    struct position start = position(transfers);
    enum status status = STATUS_OK;
    unsigned out = 0, in = 0;

    struct transfer *transfer = virtqueue_room(transfers->queue) != 0 ? transfer_take(transfers) : NULL;
    if (transfer == NULL)
        return false;
    transfer->request = request;
    uint64_t blocks = transfers->class->build(transfers, transfer, parts, &out, &in, &status);
    if (blocks != 0)
        status =
            virtqueue_add(transfers->queue, parts, (uint16_t)out, (uint16_t)in, transfer_token(transfers, transfer));
    if (status != STATUS_OK) {
        release(transfers, transfer);
        go_back(transfers, start);
        if (status == STATUS_BUSY)
            return false;
        waiting_pop(transfers);
        part_ended(transfers, request, status);
        return true;
    }
    request->driver[IN_FLIGHT]++;
    transfers->next_block += blocks;
    if (request->operation == BLOCK_FLUSH ||
        transfers->next_block == block_request_start(request) + request->block_count) {
        waiting_pop(transfers);
        part_ended(transfers, request, STATUS_OK);
    }
    return true;
}

static void pump(struct transfers *transfers)
{
    while (transfers->waiting != NULL && hand_over(transfers))
        ;
    virtqueue_submit(transfers->queue);
}

unsigned transfers_submit(struct transfers *transfers, struct block_device *block,
                          struct block_request *const requests[], unsigned count)
{
    if (transfers->stopping)
        return 0;
    for (unsigned i = 0; i < count; i++) {
        struct block_request *request = requests[i];
        enum status status = block_request_check(&block->info, request);
        bool nothing_to_do = request->operation == BLOCK_FLUSH && !block->info.write_cache;
        request->status = STATUS_OK;
        request->next = NULL;
        if (status != STATUS_OK || nothing_to_do) {
            finish_later(transfers, request, status);
            continue;
        }
        request->driver[IN_FLIGHT] = 1;
        request->driver[DISK] = (uintptr_t)block;
        if (transfers->waiting == NULL)
            transfers->next_block = block_request_start(request);
        *transfers->waiting_end = request;
        transfers->waiting_end = &request->next;
    }
    pump(transfers);
    return count;
}

unsigned transfers_refuse(struct transfers *transfers, struct block_request *const requests[], unsigned count,
                          enum status status)
{
    if (transfers->stopping)
        return 0;
    for (unsigned i = 0; i < count; i++) {
        requests[i]->status = STATUS_OK;
        finish_later(transfers, requests[i], status);
    }
    return count;
}

void transfers_poll(struct transfers *transfers)
{
    if (transfers->stopping)
        return;
    take_completions(transfers);
    pump(transfers);
    tell_finished(transfers);
}

void transfers_release(struct transfers *transfers, enum status status)
{
    uint64_t token;

    transfers->stopping = true; /* clients may call us from `done` */
    while (transfers->queue != NULL && virtqueue_take_back(transfers->queue, &token))
        transfer_end(transfers, &transfers->each[token - 1], status);
    while (transfers->waiting != NULL) {
        struct block_request *request = transfers->waiting;
        waiting_pop(transfers);
        part_ended(transfers, request, status);
    }
    tell_finished(transfers);
}
