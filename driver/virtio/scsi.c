/*
 * scsi.c: virtio SCSI host [virtio 1.2 §5.6] and the disks behind it.
 *
 * QEMU: -device virtio-scsi-pci,id=s0 (or virtio-scsi-device) -drive if=none,id=d0,file=F,format=raw
 *       -device scsi-hd,drive=d0,bus=s0.0,scsi-id=1,lun=0
 *
 * A disk is a logical unit, virtio-scsi0.TARGET.UNIT; all of them share one request queue. A transfer (transfer.h) is a
 * request header, data that the device reads, an answer, data that the device writes. A command that the device does
 * not end within 30 s is aborted; when it is not back 10 s later, the device is reset.
 */
#include "scsi.h"

#include <lib/bytes.h>
#include <lib/log.h>
#include <lib/malloc.h>
#include <lib/printf.h>
#include <lib/string.h>

static const struct virtio_feature features[] = {
    {.bit = F_INOUT, .name = "inout"},
    {.bit = F_HOTPLUG, .wanted = true, .name = "hotplug"},
    {.bit = F_CHANGE, .wanted = true, .name = "change"},
    {.bit = F_T10_PI, .name = "t10_pi"},
};

enum {
    MOST_TRIES = 10,  /* at once */
    MOST_WAITS = 100, /* PAUSE_NS each */
    MANAGEMENT_TOKEN = 1,
    LARGEST_TRANSFER = 16 << 20,
};
#define PAUSE_NS        (100 * NANOSECONDS_PER_MILLISECOND)
#define COMMAND_SECONDS 30
#define ABORT_SECONDS   10
#define ANSWER_SECONDS  5 /* while disks are looked for */

static struct scsi_shared *shared(const struct virtio_scsi *scsi)
{
    return scsi->shared.memory;
}

static device_address shared_address(const struct virtio_scsi *scsi, const void *of)
{
    return scsi->shared.address + (size_t)((const uint8_t *)of - (const uint8_t *)scsi->shared.memory);
}

static struct virtqueue_part shared_part(const struct virtio_scsi *scsi, const void *of, uint32_t length)
{
    return (struct virtqueue_part){shared_address(scsi, of), length};
}

static struct scsi_wire *wire_of(const struct virtio_scsi *scsi, const struct transfer *transfer)
{
    return &shared(scsi)->wires[transfer - scsi->transfers.each];
}

static struct scsi_command *command_of(struct virtio_scsi *scsi, const struct transfer *transfer)
{
    return &scsi->commands[transfer - scsi->transfers.each];
}

static void wake_by(struct virtio_scsi *scsi, uint64_t when_ns)
{
    if (when_ns >= scsi->wake_ns)
        return;
    scsi->wake_ns = when_ns;
    driver_wake_at(scsi->virtio.device, when_ns);
}

/* ---- Commands ---------------------------------------------------------------------------------------- */

static void put_lun(uint8_t lun[8], uint8_t target, uint16_t unit) /* [virtio 1.2 §5.6.6.1] */
{
    memset(lun, 0, 8);
    lun[0] = 1;
    lun[1] = target;
    lun[2] = (uint8_t)(0x40 | unit >> 8);
    lun[3] = (uint8_t)unit;
}

/* Header and an answer that nothing is in; the command follows. */
static uint8_t *begin_command(struct virtio_scsi *scsi, const struct transfer *transfer, struct scsi_place place)
{
    struct scsi_wire *wire = wire_of(scsi, transfer);

    memset(wire, 0, sizeof *wire);
    put_lun(wire->request.lun, place.target, place.lun);
    wire->request.tag = transfer_token(&scsi->transfers, transfer);
    wire->answer.response = RESPONSE_NONE;
    return wire->request.cdb;
}

static struct virtqueue_part head_part(const struct virtio_scsi *scsi, const struct transfer *transfer)
{
    return shared_part(scsi, &wire_of(scsi, transfer)->request, REQUEST_HEAD + scsi->cdb_size);
}

static struct virtqueue_part answer_part(const struct virtio_scsi *scsi, const struct transfer *transfer)
{
    return shared_part(scsi, &wire_of(scsi, transfer)->answer, ANSWER_HEAD + scsi->sense_size);
}

/* The device may change its answer at any time: what is judged is a copy. The used length is not asked: QEMU counts
 * data that it read, Linux's vhost-scsi always says 0; and the answer was marked before. */
static struct scsi_outcome outcome_of(const struct virtio_scsi *scsi, const struct transfer *transfer)
{
    const struct scsi_wire *wire = wire_of(scsi, transfer);
    struct scsi_answer answer;

    memcpy(&answer, &wire->answer, sizeof answer);
    __asm__ volatile("" : : "r"(&answer) : "memory"); /* from here on only the copy */
    struct scsi_outcome outcome = {.response = answer.response, .status = answer.status, .residual = answer.residual};
    if (outcome.response == RESPONSE_OK && outcome.status == SCSI_CHECK_CONDITION)
        outcome.sense =
            scsi_sense(answer.sense, answer.sense_length < scsi->sense_size ? answer.sense_length : scsi->sense_size);
    return outcome;
}

/* ---- The driver's own commands, before there are clients ------------------------------------------------ */

static enum status ask_once(struct virtio_scsi *scsi, struct scsi_place place, const uint8_t cdb[LARGEST_CDB],
                            uint32_t bytes, struct scsi_outcome *outcome)
{
    struct virtqueue *queue = scsi->transfers.queue;
    struct transfer *transfer = transfer_take(&scsi->transfers);
    uint64_t token;
    uint32_t written;

    if (transfer == NULL)
        return STATUS_DEVICE_FAULT;
    memcpy(begin_command(scsi, transfer, place), cdb, LARGEST_CDB);
    memset(shared(scsi)->scratch, 0, SCSI_SCRATCH_SIZE);
    struct virtqueue_part parts[3] = {head_part(scsi, transfer), answer_part(scsi, transfer),
                                      shared_part(scsi, shared(scsi)->scratch, bytes)};
    enum status status = virtqueue_add(queue, parts, 1, bytes != 0 ? 2 : 1, transfer_token(&scsi->transfers, transfer));
    if (status != STATUS_OK)
        return STATUS_DEVICE_FAULT;
    virtqueue_submit(queue);
    if (!virtqueue_wait(queue, clock_now() + ANSWER_SECONDS * NANOSECONDS_PER_SECOND) ||
        !virtqueue_next(queue, &token, &written)) {
        if (virtqueue_broken(queue))
            return STATUS_DEVICE_FAULT;
        log_error(device_name(scsi->virtio.device), "did not answer command 0x%02x to target %u unit %u within %u s",
                  cdb[0], place.target, place.lun, ANSWER_SECONDS);
        return STATUS_TIMED_OUT;
    }
    *outcome = outcome_of(scsi, transfer);
    transfer_end(&scsi->transfers, transfer, STATUS_OK);
    return STATUS_OK;
}

enum status scsi_ask(struct virtio_scsi *scsi, struct scsi_place place, const uint8_t cdb[LARGEST_CDB], uint32_t bytes,
                     uint32_t *filled, struct scsi_outcome *outcome)
{
    uint64_t deadline = clock_now() + ANSWER_SECONDS * NANOSECONDS_PER_SECOND;
    enum scsi_verdict verdict;
    unsigned tries = 0;

    *filled = 0;
    *outcome = (struct scsi_outcome){.response = RESPONSE_NONE};
    if (clock_now() >= scsi->scan_deadline_ns)
        return STATUS_IO_ERROR;
    do {
        enum status status = ask_once(scsi, place, cdb, bytes, outcome);
        if (status != STATUS_OK)
            return status;
        verdict = scsi_judge(outcome);
        if (verdict == SCSI_AGAIN_LATER)
            driver_wait(scsi->virtio.device, 0, clock_now() + PAUSE_NS);
    } while (clock_now() < deadline &&
             (verdict == SCSI_AGAIN_LATER || (verdict == SCSI_AGAIN && ++tries < MOST_TRIES)));
    *filled = outcome->residual <= bytes ? bytes - outcome->residual : 0;
    if (verdict == SCSI_DONE)
        return STATUS_OK;
    if (outcome->response == RESPONSE_BAD_TARGET)
        return STATUS_NOT_FOUND;
    return outcome->response == RESPONSE_OK && outcome->sense.key == KEY_ILLEGAL_REQUEST ? STATUS_UNSUPPORTED
                                                                                         : STATUS_IO_ERROR;
}

/* ---- A disk that grows ---------------------------------------------------------------------------------- */

/* Asks the first disk that needs it for its capacity; one at a time. */
static void ask_capacities(struct virtio_scsi *scsi)
{
    struct scsi_disk *disk = scsi->disks;

    while (disk != NULL && (!disk->capacity_stale || disk->gone))
        disk = disk->next;
    struct transfer *transfer = disk != NULL && scsi->own == NULL ? transfer_take(&scsi->transfers) : NULL;
    if (transfer == NULL)
        return;
    struct scsi_command *command = command_of(scsi, transfer);
    *command = (struct scsi_command){
        .disk = disk, .out = 1, .in = 2, .when = clock_now() + COMMAND_SECONDS * NANOSECONDS_PER_SECOND};
    scsi_capacity_command(disk, begin_command(scsi, transfer, (struct scsi_place){disk->target, disk->lun}));
    memset(shared(scsi)->scratch, 0, SCSI_SCRATCH_SIZE);
    command->parts[0] = head_part(scsi, transfer);
    command->parts[1] = answer_part(scsi, transfer);
    command->parts[2] = shared_part(scsi, shared(scsi)->scratch, SCSI_CAPACITY_BYTES);
    if (virtqueue_add(scsi->transfers.queue, command->parts, command->out, command->in,
                      transfer_token(&scsi->transfers, transfer)) != STATUS_OK) {
        transfer_end(&scsi->transfers, transfer, STATUS_OK); /* the next handle tries again */
        return;
    }
    scsi->own = transfer;
    disk->capacity_stale = false;
    wake_by(scsi, command->when);
}

static void take_capacity(struct virtio_scsi *scsi, struct scsi_disk *disk, enum status status)
{
    struct block_info *info = &disk->block.info;
    uint8_t answer[SCSI_CAPACITY_BYTES];
    uint64_t count;
    uint32_t size;

    scsi->own = NULL;
    memcpy(answer, shared(scsi)->scratch, sizeof answer);
    scsi_capacity(disk, answer, &count, &size);
    if (status != STATUS_OK)
        log_warn(disk->name, "says that its capacity changed, but not to what");
    else if (size != info->block_size)
        device_fail(scsi->virtio.device, "%s now has blocks of %u bytes and had %u", disk->name, size,
                    info->block_size);
    else if (count != info->block_count) {
        log_info(disk->name, "now has %llu blocks and had %llu", (unsigned long long)count,
                 (unsigned long long)info->block_count);
        info->block_count = count;
    }
}

/* ---- Answers ----------------------------------------------------------------------------------------- */

static void tell_failure(struct scsi_disk *disk, const struct block_request *request, const char *why)
{
    static const char *const names[] = {"a read", "a write", "a flush", "a discard", "a write of zeroes"};
    uint64_t now = clock_now();

    if (now < disk->told_ns) {
        disk->untold++;
        return;
    }
    if (disk->untold != 0)
        log_warn(disk->name, "%u more commands failed since", disk->untold);
    disk->untold = 0;
    disk->told_ns = now + NANOSECONDS_PER_SECOND; /* a disk that fails all the time is not news */
    if (request == NULL)
        log_error(disk->name, "a command of the driver's own failed: %s", why);
    else if (request->operation == BLOCK_FLUSH)
        log_error(disk->name, "%s failed: %s", names[request->operation], why);
    else
        log_error(disk->name, "%s within %llu blocks at %llu failed: %s", names[request->operation],
                  (unsigned long long)request->block_count, (unsigned long long)block_request_start(request), why);
}

static enum status fail(struct scsi_command *command, const struct transfer *transfer,
                        const struct scsi_outcome *outcome)
{
    char why[96];

    scsi_describe(why, sizeof why, outcome);
    tell_failure(command->disk, transfer->request, why);
    return command->aborting ? STATUS_TIMED_OUT : scsi_status(outcome);
}

/* What a command that came back means for its request. Fewer bytes than asked for are an error: nobody knows which
 * of them are missing. */
static enum status conclude(struct scsi_command *command, const struct transfer *transfer,
                            const struct scsi_outcome *outcome, bool over)
{
    if (over)
        return fail(command, transfer, outcome);
    if (transfer->request != NULL && outcome->residual != 0) {
        tell_failure(command->disk, transfer->request, "the host says that not all bytes were transferred");
        return STATUS_IO_ERROR;
    }
    return transfer->request != NULL || outcome->residual <= SCSI_CAPACITY_BYTES - 8 ? STATUS_OK : STATUS_IO_ERROR;
}

/* What a unit draws attention to, beside what it was asked for. */
static void attend(struct scsi_disk *disk, const struct scsi_sense *sense)
{
    if (sense->key != KEY_UNIT_ATTENTION)
        return;
    if (sense->additional == SENSE_CAPACITY_CHANGED)
        disk->capacity_stale = true;
    else if (sense->additional == SENSE_UNITS_CHANGED)
        log_info(disk->name, "its target has other units now; they are found when the driver starts again");
}

/* A disk without SYNCHRONIZE CACHE(16) has that of 10 bytes, whose zeroes mean all blocks as well. */
static bool flush_shorter(struct virtio_scsi *scsi, struct scsi_command *command, const struct transfer *transfer,
                          const struct scsi_outcome *outcome)
{
    uint8_t *cdb = wire_of(scsi, transfer)->request.cdb;

    if (transfer->request == NULL || transfer->request->operation != BLOCK_FLUSH || cdb[0] == SYNCHRONIZE_CACHE_10 ||
        scsi_status(outcome) != STATUS_UNSUPPORTED)
        return false;
    command->disk->flush_10 = true;
    cdb[0] = SYNCHRONIZE_CACHE_10;
    return true;
}

static bool ended(struct transfers *transfers, struct transfer *transfer, uint32_t written, enum status *status)
{
    struct virtio_scsi *scsi = (struct virtio_scsi *)transfers;
    struct scsi_command *command = command_of(scsi, transfer);
    struct scsi_outcome outcome = outcome_of(scsi, transfer);
    enum scsi_verdict verdict = scsi_judge(&outcome);

    (void)written;
    if (outcome.response == RESPONSE_NONE && scsi->odd_answers++ == 0)
        log_warn(command->disk->name, "ends commands without an answer; they fail");
    attend(command->disk, &outcome.sense);
    bool shorter = verdict == SCSI_FAILED && flush_shorter(scsi, command, transfer, &outcome);
    if (!command->aborting && (shorter || (verdict == SCSI_AGAIN && command->tries++ < MOST_TRIES) ||
                               (verdict == SCSI_AGAIN_LATER && command->waits++ < MOST_WAITS))) {
        command->resting = true;
        command->when = clock_now() + (verdict == SCSI_AGAIN_LATER ? PAUSE_NS : 0);
        wake_by(scsi, command->when);
        return false;
    }
    *status = conclude(command, transfer, &outcome, verdict != SCSI_DONE);
    if (transfer == scsi->own)
        take_capacity(scsi, command->disk, *status);
    return true;
}

/* ---- Transfers --------------------------------------------------------------------------------------- */

static void put_range(uint8_t *cdb, uint8_t operation, uint64_t first, uint64_t blocks)
{
    cdb[0] = operation;
    store_be32(cdb + 2, (uint32_t)(first >> 32));
    store_be32(cdb + 6, (uint32_t)first);
    store_be32(cdb + 10, (uint32_t)blocks);
}

/* UNMAP with one range [SBC-3 §5.28]. */
static void put_unmap(uint8_t *cdb, uint8_t list[24], uint64_t first, uint64_t blocks)
{
    cdb[0] = UNMAP;
    store_be16(cdb + 7, 24);
    store_be16(list, 22);
    store_be16(list + 2, 16);
    store_be32(list + 8, (uint32_t)(first >> 32));
    store_be32(list + 12, (uint32_t)first);
    store_be32(list + 16, (uint32_t)blocks);
}

static uint64_t build(struct transfers *transfers, struct transfer *transfer, struct virtqueue_part parts[],
                      unsigned *out, unsigned *in, enum status *why)
{
    struct virtio_scsi *scsi = (struct virtio_scsi *)transfers;
    const struct block_request *request = transfer->request;
    struct scsi_disk *disk = (struct scsi_disk *)(void *)transfer_disk(request);
    struct scsi_wire *wire = wire_of(scsi, transfer);
    struct scsi_command *command = command_of(scsi, transfer);
    uint8_t *cdb = begin_command(scsi, transfer, (struct scsi_place){disk->target, disk->lun});
    uint64_t first = transfers->next_block, left = transfer_blocks_left(transfers, transfer), blocks = 1;
    uint64_t most_bytes = (uint64_t)disk->most_blocks * disk->block.info.block_size;
    unsigned data = 0;

    parts[0] = head_part(scsi, transfer);
    *out = *in = 1;
    switch (request->operation) {
    case BLOCK_READ:
        blocks = transfer_lend(transfers, transfer, parts + 2, &data, most_bytes, why);
        put_range(cdb, READ_16, first, blocks);
        *in += data;
        break;
    case BLOCK_WRITE:
        blocks = transfer_lend(transfers, transfer, parts + 1, &data, most_bytes, why);
        put_range(cdb, WRITE_16, first, blocks);
        if (request->force_unit_access && disk->block.info.can_force_unit_access)
            cdb[1] = FUA;
        *out += data;
        break;
    case BLOCK_FLUSH:
        cdb[0] = disk->flush_10 ? SYNCHRONIZE_CACHE_10 : SYNCHRONIZE_CACHE_16;
        break;
    case BLOCK_DISCARD:
        blocks = left < disk->block.info.max_discard_blocks ? left : disk->block.info.max_discard_blocks;
        put_unmap(cdb, wire->list, first, blocks);
        parts[(*out)++] = shared_part(scsi, wire->list, sizeof wire->list);
        break;
    case BLOCK_WRITE_ZEROES:
        blocks = left < disk->most_zeroes ? left : disk->most_zeroes;
        put_range(cdb, WRITE_SAME_16, first, blocks);
        parts[(*out)++] = (struct virtqueue_part){scsi->zeroes.address, disk->block.info.block_size};
        break;
    }
    parts[*out] = answer_part(scsi, transfer);
    *command = (struct scsi_command){.disk = disk,
                                     .out = (uint8_t)*out,
                                     .in = (uint8_t)*in,
                                     .when = clock_now() + COMMAND_SECONDS * NANOSECONDS_PER_SECOND};
    memcpy(command->parts, parts, (*out + *in) * sizeof parts[0]);
    if (blocks != 0)
        wake_by(scsi, command->when);
    return blocks;
}

static const struct transfer_class scsi_transfers = {.build = build, .ended = ended};

/* ---- Deadlines --------------------------------------------------------------------------------------- */

static bool send_again(struct virtio_scsi *scsi, struct transfer *transfer)
{
    struct scsi_command *command = command_of(scsi, transfer);
    struct scsi_answer *answer = &wire_of(scsi, transfer)->answer;

    memset(answer, 0, sizeof *answer);
    answer->response = RESPONSE_NONE;
    if (virtqueue_add(scsi->transfers.queue, command->parts, command->out, command->in,
                      transfer_token(&scsi->transfers, transfer)) != STATUS_OK)
        return false; /* no room: the next completion makes some */
    command->resting = false;
    command->when = clock_now() + COMMAND_SECONDS * NANOSECONDS_PER_SECOND;
    return true;
}

/* Asks the device to give a command up [virtio 1.2 §5.6.6.2]; one at a time, the others wait for their own end. */
static void abort_command(struct virtio_scsi *scsi, const struct transfer *transfer)
{
    const struct scsi_command *command = command_of(scsi, transfer);
    struct scsi_management *management = &shared(scsi)->management;
    struct virtqueue_part parts[2] = {
        shared_part(scsi, management, sizeof *management),
        shared_part(scsi, &shared(scsi)->management_answer, sizeof(uint8_t)),
    };

    if (scsi->managing)
        return;
    *management = (struct scsi_management){.type = TYPE_MANAGEMENT, .function = FUNCTION_ABORT_TASK};
    put_lun(management->lun, command->disk->target, command->disk->lun);
    management->tag = transfer_token(&scsi->transfers, transfer);
    if (virtqueue_add(scsi->control, parts, 1, 1, MANAGEMENT_TOKEN) != STATUS_OK)
        return;
    scsi->managing = true;
    virtqueue_submit(scsi->control);
}

/* Completions have been looked at just before: a command that is late now is one that the device still has, whether
 * or not interrupts arrive. */
static void late(struct virtio_scsi *scsi, const struct transfer *transfer, uint64_t now)
{
    struct scsi_command *command = command_of(scsi, transfer);

    if (command->aborting) {
        device_fail(scsi->virtio.device, "a command to %s was not back %u s after its deadline, nor aborted",
                    command->disk->name, ABORT_SECONDS);
        return;
    }
    log_warn(command->disk->name, "a command (0x%02x) was not ended within %u s and is aborted",
             wire_of(scsi, transfer)->request.cdb[0], COMMAND_SECONDS);
    command->aborting = true;
    command->when = now + ABORT_SECONDS * NANOSECONDS_PER_SECOND;
    abort_command(scsi, transfer);
}

static void look_at_deadlines(struct virtio_scsi *scsi)
{
    uint64_t now = clock_now();

    if (now < scsi->wake_ns || virtqueue_broken(scsi->transfers.queue))
        return;
    scsi->wake_ns = DEADLINE_NEVER;
    for (unsigned i = 0; i < TRANSFER_COUNT; i++) {
        struct transfer *transfer = &scsi->transfers.each[i];
        struct scsi_command *command = &scsi->commands[i];
        if (transfer->request == NULL && transfer != scsi->own)
            continue;
        if (now >= command->when && command->resting && !send_again(scsi, transfer))
            command->when = now + PAUSE_NS;
        else if (now >= command->when && !command->resting)
            late(scsi, transfer, now);
        wake_by(scsi, command->when);
    }
    virtqueue_submit(scsi->transfers.queue);
}

/* ---- Events ------------------------------------------------------------------------------------------ */

static void post_event(struct virtio_scsi *scsi, unsigned index)
{
    struct scsi_event *event = &shared(scsi)->events[index];
    struct virtqueue_part part = shared_part(scsi, event, sizeof *event);

    memset(event, 0, sizeof *event);
    (void)virtqueue_add(scsi->event_queue, &part, 0, 1, index + 1); /* there is room for all of them */
}

static void take_event(struct virtio_scsi *scsi, const struct scsi_event *event)
{
    const char *host = device_name(scsi->virtio.device);
    uint16_t unit = (uint16_t)(load_be16(event->lun + 2) & 0x3fff);
    struct scsi_disk *disk = scsi->disks;

    while (disk != NULL && (disk->target != event->lun[1] || disk->lun != unit))
        disk = disk->next;
    uint64_t now = clock_now();
    bool news = now >= scsi->event_told_ns; /* a host that tells all the time is not news */
    bool missed = (event->event & EVENTS_MISSED) != 0;
    uint32_t kind = event->event & ~EVENTS_MISSED, reason = event->reason;
    bool added = kind == EVENT_TRANSPORT_RESET && reason == REASON_RESCAN && (disk == NULL || disk->gone);
    if (missed && news)
        log_warn(host, "had more to tell than there was room for; disks may have come or gone");
    if (added && news)
        log_info(host, "target %u unit %u was added; it is found when the driver starts again", event->lun[1], unit);
    if ((missed || added) && news)
        scsi->event_told_ns = now + NANOSECONDS_PER_SECOND;
    if (kind == EVENT_TRANSPORT_RESET && reason == REASON_REMOVED && disk != NULL && !disk->gone) {
        log_warn(disk->name, "was removed; what is asked of it from now on is refused");
        disk->gone = true;
    } else if (kind == EVENT_PARAMETER_CHANGE && disk != NULL &&
               (uint16_t)((reason & 0xff) << 8 | (reason >> 8 & 0xff)) == SENSE_CAPACITY_CHANGED) {
        disk->capacity_stale = true;
    }
}

static void take_events(struct virtio_scsi *scsi)
{
    struct scsi_event event;
    uint64_t token;
    uint32_t written;
    unsigned taken = 0; /* a device that never stops telling is looked at another time */

    do {
        while (taken++ < SCSI_EVENTS && virtqueue_next(scsi->event_queue, &token, &written)) {
            memcpy(&event, &shared(scsi)->events[token - 1], sizeof event);
            post_event(scsi, (unsigned)token - 1);
            if (written >= sizeof event || scsi->virtio.legacy)
                take_event(scsi, &event);
        }
        virtqueue_submit(scsi->event_queue);
    } while (virtqueue_arm(scsi->event_queue) && taken < SCSI_EVENTS);
    if (taken > SCSI_EVENTS)
        driver_wake(scsi->virtio.device);
    do {
        while (virtqueue_next(scsi->control, &token, &written))
            scsi->managing = false; /* what became of the command, its own answer tells */
    } while (virtqueue_arm(scsi->control));
}

/* ---- What clients see ---------------------------------------------------------------------------------- */

static unsigned disk_submit(void *driver, struct block_request *const requests[], unsigned count)
{
    struct scsi_disk *disk = driver;

    if (disk->gone)
        return transfers_refuse(&disk->scsi->transfers, requests, count, STATUS_REVOKED);
    return transfers_submit(&disk->scsi->transfers, &disk->block, requests, count);
}

static void disk_poll(void *driver)
{
    transfers_poll(&((struct scsi_disk *)driver)->scsi->transfers);
}

const struct block_ops scsi_disk_ops = {.submit = disk_submit, .poll = disk_poll};

/* ---- Life -------------------------------------------------------------------------------------------- */

/* After a reset. Everything that was under way ends with this status. */
static void release(struct virtio_scsi *scsi, enum status status)
{
    uint64_t token;

    driver_wake_at(scsi->virtio.device, DEADLINE_NEVER);
    scsi->transfers.stopping = true;
    for (unsigned i = 0; i < TRANSFER_COUNT; i++)
        if (scsi->transfers.each[i].request != NULL && scsi->commands[i].resting)
            transfer_end(&scsi->transfers, &scsi->transfers.each[i], status);
    transfers_release(&scsi->transfers, status);
    while (scsi->control != NULL && virtqueue_take_back(scsi->control, &token))
        ;
    while (scsi->event_queue != NULL && virtqueue_take_back(scsi->event_queue, &token))
        ;
    virtqueue_close(scsi->transfers.queue);
    virtqueue_close(scsi->event_queue);
    virtqueue_close(scsi->control);
    if (!scsi->virtio.stuck) {
        dma_free(scsi->virtio.device, &scsi->zeroes);
        dma_free(scsi->virtio.device, &scsi->shared);
    }
    virtio_close(&scsi->virtio);
    for (struct scsi_disk *disk = scsi->disks, *next; disk != NULL; disk = next) {
        next = disk->next;
        free(disk);
    }
    free(scsi);
}

static enum status config32(struct virtio_scsi *scsi, uint32_t offset, uint32_t *value)
{
    return virtio_config_read(&scsi->virtio, offset, value, sizeof *value);
}

static enum status read_limits(struct virtio_scsi *scsi)
{
    const char *host = device_name(scsi->virtio.device);
    uint32_t parts = 0, sectors = 0, depth = 0, room = virtqueue_max_parts(scsi->transfers.queue);
    uint16_t max_target = 0;
    enum status status = config32(scsi, CONFIG_SEG_MAX, &parts);

    if (status == STATUS_OK && (status = config32(scsi, CONFIG_MAX_SECTORS, &sectors)) == STATUS_OK &&
        (status = config32(scsi, CONFIG_CMD_PER_LUN, &depth)) == STATUS_OK &&
        (status = config32(scsi, CONFIG_SENSE_SIZE, &scsi->sense_size)) == STATUS_OK &&
        (status = config32(scsi, CONFIG_CDB_SIZE, &scsi->cdb_size)) == STATUS_OK &&
        (status = config32(scsi, CONFIG_MAX_LUN, &scsi->max_lun)) == STATUS_OK)
        status = virtio_config_read(&scsi->virtio, CONFIG_MAX_TARGET, &max_target, sizeof max_target);
    if (status != STATUS_OK)
        return status;
    if (scsi->cdb_size < LARGEST_CDB || scsi->cdb_size > CDB_SIZE || scsi->sense_size > SENSE_SIZE || room < 4) {
        log_error(host,
                  "has commands of %u bytes, sense of %u and requests of %u parts; vmos needs %u to %u, at most %u "
                  "and at least 4",
                  scsi->cdb_size, scsi->sense_size, room, LARGEST_CDB, CDB_SIZE, SENSE_SIZE);
        return STATUS_UNSUPPORTED;
    }
    if (parts == 0 || sectors == 0)
        log_warn(host, "claims to take %u segments and %u sectors at once; one of each kind that is 0 is used", parts,
                 sectors);
    parts = parts == 0 ? 1 : parts < room - 3 ? parts : room - 3;
    scsi->transfers.most_parts = parts < TRANSFER_DATA_PARTS ? parts : TRANSFER_DATA_PARTS;
    scsi->transfers.most_part_size = UINT32_MAX;
    scsi->max_bytes = (sectors == 0 ? 1 : sectors < LARGEST_TRANSFER / 512 ? sectors : LARGEST_TRANSFER / 512) * 512;
    scsi->max_target = max_target;
    uint32_t queue = virtqueue_size(scsi->transfers.queue);
    transfers_allow(&scsi->transfers, depth == 0 || depth > queue ? queue : depth);
    return STATUS_OK;
}

static enum status set_up(struct virtio_scsi *scsi, struct device *device)
{
    enum status status = dma_allocate(device, sizeof(struct scsi_shared), 64, &scsi->shared);

    if (status == STATUS_OK)
        status = virtqueue_open(&scsi->control, &scsi->virtio, CONTROL_QUEUE, 2, 2);
    if (status == STATUS_OK)
        status = virtqueue_open(&scsi->event_queue, &scsi->virtio, EVENT_QUEUE, SCSI_EVENTS, 2);
    if (status == STATUS_OK)
        status = virtqueue_open(&scsi->transfers.queue, &scsi->virtio, REQUEST_QUEUE, TRANSFER_COUNT, 1);
    if (status == STATUS_OK) {
        virtqueue_lengths_mean_nothing(scsi->transfers.queue);
        status = read_limits(scsi);
    }
    if (status == STATUS_OK)
        status = virtio_go(&scsi->virtio);
    if (status != STATUS_OK)
        return status;
    for (unsigned i = 0; i < SCSI_EVENTS && i < virtqueue_size(scsi->event_queue); i++)
        post_event(scsi, i);
    virtqueue_submit(scsi->event_queue);
    status = scsi_scan(scsi);
    if (status != STATUS_OK)
        return status;
    virtqueue_arm(scsi->transfers.queue); /* waiting has disarmed it */
    for (struct scsi_disk *disk = scsi->disks; disk != NULL && status == STATUS_OK; disk = disk->next)
        status = device_publish_block(device, &disk->block);
    driver_wake(device); /* events may have come while disks were looked for */
    return status;
}

static enum status scsi_start(struct device *device, void **state)
{
    struct virtio_scsi *scsi = calloc(1, sizeof *scsi);
    enum status status;

    if (scsi == NULL)
        return STATUS_NO_MEMORY;
    scsi->wake_ns = DEADLINE_NEVER;
    transfers_init(&scsi->transfers, &scsi_transfers, &scsi->virtio);
    status = virtio_open(&scsi->virtio, device, features, sizeof features / sizeof features[0]);
    if (status != STATUS_OK) {
        free(scsi);
        return status;
    }
    status = set_up(scsi, device);
    if (status != STATUS_OK) {
        virtio_reset(&scsi->virtio);
        release(scsi, status);
        return status;
    }
    *state = scsi;
    return STATUS_OK;
}

static void scsi_handle(void *state, uint32_t events)
{
    struct virtio_scsi *scsi = state;

    virtio_cause(&scsi->virtio, events);
    transfers_poll(&scsi->transfers);
    take_events(scsi);
    ask_capacities(scsi);
    look_at_deadlines(scsi);
    virtqueue_submit(scsi->transfers.queue);
}

static void scsi_stop(void *state)
{
    struct virtio_scsi *scsi = state;
    enum status status = virtio_reset(&scsi->virtio);

    release(scsi, status == STATUS_TIMED_OUT ? STATUS_DEVICE_FAULT : STATUS_REVOKED);
}

static const struct driver_match scsi_matches[] = {
    {DEVICE_BUS_PCI, 0x1af4, 0x1004},
    {DEVICE_BUS_PCI, 0x1af4, 0x1048},
    {DEVICE_BUS_VIRTIO_MMIO, DEVICE_ANY_ID, 8},
};

const struct driver virtio_scsi_driver = {
    .name = "virtio-scsi",
    .matches = scsi_matches,
    .match_count = sizeof scsi_matches / sizeof scsi_matches[0],
    .start = scsi_start,
    .handle = scsi_handle,
    .stop = scsi_stop,
};
