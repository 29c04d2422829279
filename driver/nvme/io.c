/*
 * io.c: a client's requests as commands.
 *
 * A request becomes one or more commands, each at most what the controller takes at once; the last of them to come
 * back completes it. Requests wait in order while all queues are full.
 *
 * Data is named by pages: a first address that may lie anywhere in its page, then whole pages, in two fields of the
 * entry or in a list, whose last place names the next page of the list when there is one [base §4.1.1]. So a command
 * ends where the client's memory has a gap inside a page, and a block with such a gap inside cannot be moved at all.
 *
 * Every operation here is idempotent: what may have been carried out can be carried out again, as long as the request
 * has not been completed (whoever writes a block while a write of it is in flight accepts either order). So a request
 * whose command was lost, aborted or refused for a moment begins again, whole.
 */
#include "nvme.h"

/* request->driver[]: commands in flight, plus one until the whole request was handed over, with tries and REDO above;
 * the namespace. */
enum { PROGRESS = 0, NAMESPACE = 1, COUNT_MASK = 0xffffff, TRY_SHIFT = 32, ENTRIES_PER_PAGE = NVME_PAGE / 8 };
#define ONE_TRY (UINT64_C(1) << TRY_SHIFT)
#define REDO    (UINT64_C(1) << 48) /* once nothing of it is in flight it begins again */

static struct nvme_namespace *namespace_of(const struct block_request *request)
{
    return (struct nvme_namespace *)(uintptr_t)request->driver[NAMESPACE];
}

static bool tried_enough(const struct block_request *request)
{
    return (request->driver[PROGRESS] & ~REDO) >> TRY_SHIFT >= NVME_MAX_TRIES;
}

const char *nvme_opcode_text(uint8_t opcode)
{
    static const char names[][8] = {
        [NVME_FLUSH] = "flush",          [NVME_WRITE] = "write",     [NVME_READ] = "read",
        [NVME_WRITE_ZEROES] = "zeroing", [NVME_DATASET] = "discard",
    };

    return opcode < sizeof names / sizeof names[0] && names[opcode][0] != '\0' ? names[opcode] : "command";
}

/* ---- Lists of requests ------------------------------------------------------------------------------------- */

static void begin_first(struct nvme *nvme)
{
    nvme->segment = 0;
    nvme->segment_offset = 0;
    if (nvme->waiting != NULL)
        nvme->next_block = block_request_start(nvme->waiting);
}

static void waiting_add(struct nvme *nvme, struct block_request *request)
{
    bool first = nvme->waiting == NULL;

    request->driver[PROGRESS]++;
    request->next = NULL;
    *nvme->waiting_end = request;
    nvme->waiting_end = &request->next;
    if (first)
        begin_first(nvme);
}

static void waiting_pop(struct nvme *nvme)
{
    nvme->waiting = nvme->waiting->next;
    if (nvme->waiting == NULL)
        nvme->waiting_end = &nvme->waiting;
    begin_first(nvme);
}

static void finish_later(struct nvme *nvme, struct block_request *request)
{
    request->next = NULL;
    *nvme->finished_end = request;
    nvme->finished_end = &request->next;
    driver_wake(nvme->device);
}

/* What a client submits from its `done` is told of another time, so that this ends. */
void nvme_io_tell(struct nvme *nvme)
{
    struct block_request *request = nvme->finished, *next;

    nvme->finished = NULL;
    nvme->finished_end = &nvme->finished;
    for (; request != NULL; request = next) {
        next = request->next;
        request->done(request);
    }
}

/* One of the request's commands, or its handing over, has ended. */
static void part_ended(struct nvme *nvme, struct block_request *request, enum status status)
{
    if (request->status == STATUS_OK)
        request->status = status;
    if ((--request->driver[PROGRESS] & COUNT_MASK) != 0)
        return;
    if (request->status != STATUS_OK || (request->driver[PROGRESS] & REDO) == 0) {
        finish_later(nvme, request);
        return;
    }
    request->driver[PROGRESS] = (request->driver[PROGRESS] & ~REDO) + ONE_TRY;
    waiting_add(nvme, request);
}

/* ---- Memory for lists -------------------------------------------------------------------------------------- */

static struct nvme_page *page_take(struct nvme *nvme, struct nvme_command *command)
{
    struct nvme_page *page = nvme->free_pages;

    if (page != NULL) {
        nvme->free_pages = page->next;
    } else {
        if (nvme->page_count == NVME_MAX_LIST_PAGES || (page = calloc(1, sizeof *page)) == NULL)
            return NULL;
        if (dma_allocate(nvme->device, NVME_PAGE, NVME_PAGE, &page->memory) != STATUS_OK) {
            free(page);
            return NULL;
        }
        nvme->page_count++;
    }
    page->next = command->pages;
    command->pages = page;
    return page;
}

static void pages_give(struct nvme *nvme, struct nvme_command *command)
{
    while (command->pages != NULL) {
        struct nvme_page *page = command->pages;
        command->pages = page->next;
        page->next = nvme->free_pages;
        nvme->free_pages = page;
    }
}

void nvme_pages_free(struct nvme *nvme)
{
    while (nvme->free_pages != NULL) {
        struct nvme_page *page = nvme->free_pages;
        nvme->free_pages = page->next;
        if (!nvme->stuck)
            dma_free(nvme->device, &page->memory);
        free(page);
    }
}

/* All that a command has of others goes back. */
static void let_go(struct nvme *nvme, struct nvme_command *command)
{
    while (command->loan_count != 0) {
        command->loan_count--;
        if (!nvme->stuck)
            dma_return(nvme->device, command->loans[command->loan_count]);
    }
    pages_give(nvme, command);
}

/* ---- Completing -------------------------------------------------------------------------------------------- */

/* Whether the same command may fare better: it was aborted, or the controller was not ready for it. */
static bool worth_another_try(uint16_t status)
{
    switch (status & NVME_STATUS_MASK) {
    case NVME_STATUS_ABORTED:
    case NVME_STATUS_INTERRUPTED:
    case NVME_STATUS_TRANSPORT:
    case NVME_STATUS_NOT_READY:
        return (status & NVME_STATUS_DO_NOT_RETRY) == 0 || (status & NVME_STATUS_MASK) == NVME_STATUS_ABORTED;
    default:
        return false;
    }
}

static enum status meaning(uint16_t status)
{
    switch (status & NVME_STATUS_MASK) {
    case NVME_STATUS_OK:
        return STATUS_OK;
    case NVME_STATUS_ABORTED:
        return STATUS_TIMED_OUT;
    case NVME_STATUS_INVALID_OPCODE:
        return STATUS_UNSUPPORTED;
    case NVME_STATUS_WRITE_PROTECTED:
        return STATUS_READ_ONLY;
    case NVME_STATUS_OUT_OF_RANGE:
        return STATUS_OUT_OF_RANGE;
    default:
        return STATUS_IO_ERROR;
    }
}

/* A disk that fails all the time is said to once a second. */
static void tell_error(struct nvme_namespace *disk, const struct nvme_command *command, uint16_t status)
{
    uint64_t now = clock_now();
    char text[48], more[40] = "";

    if (now < disk->error_told_ns) {
        disk->errors_untold++;
        return;
    }
    if (disk->errors_untold != 0)
        snprintf(more, sizeof more, "; %u errors before it", disk->errors_untold);
    disk->errors_untold = 0;
    disk->error_told_ns = now + NANOSECONDS_PER_SECOND;
    nvme_status_text(status, text, sizeof text);
    log_warn(disk->name, "%s of %u blocks at %llu failed: %s%s", nvme_opcode_text(command->opcode), command->blocks,
             (unsigned long long)command->first_block, text, more);
}

void nvme_io_completed(struct nvme_queue *queue, struct nvme_command *command, uint16_t status)
{
    struct block_request *request = command->request;
    enum status result = meaning(status);

    if (result != STATUS_OK) {
        if (worth_another_try(status) && !tried_enough(request)) {
            request->driver[PROGRESS] |= REDO;
            result = STATUS_OK;
        } else {
            tell_error(command->disk, command, status);
        }
    }
    let_go(queue->nvme, command);
    nvme_queue_give(queue, command);
    part_ended(queue->nvme, request, result);
}

static void take_back(struct nvme_queue *queue, struct nvme_command *command, bool give_up, enum status status)
{
    struct block_request *request = command->request;

    if (tried_enough(request))
        give_up = true;
    if (!give_up)
        request->driver[PROGRESS] |= REDO;
    let_go(queue->nvme, command);
    nvme_queue_give(queue, command);
    part_ended(queue->nvme, request, give_up ? status : STATUS_OK);
}

void nvme_io_take_back(struct nvme *nvme, bool give_up, enum status status)
{
    struct block_request *request = nvme->waiting;

    if (request != NULL)
        begin_first(nvme); /* whatever of it was under way comes back now */
    for (unsigned i = 0; i < nvme->queue_count; i++)
        for (unsigned j = 0; j + 1 < nvme->queues[i].entries; j++)
            if (nvme->queues[i].commands[j].state != COMMAND_FREE)
                take_back(&nvme->queues[i], &nvme->queues[i].commands[j], give_up, status);
    if (request != NULL && (request->driver[PROGRESS] & REDO) != 0)
        request->driver[PROGRESS] = (request->driver[PROGRESS] & ~REDO) + ONE_TRY;
    while (give_up && nvme->waiting != NULL) {
        request = nvme->waiting;
        waiting_pop(nvme);
        part_ended(nvme, request, status);
    }
}

/* ---- Data --------------------------------------------------------------------------------------------------- */

/* The client's memory from here on as far as it is one run, one loan holds it, and `most` allows; moves on behind it.
 */
static struct memory_ref next_run(struct nvme *nvme, const struct block_request *request, uint64_t most)
{
    const struct memory_ref *segment = &request->segments[nvme->segment];
    struct memory_ref run = {.object = segment->object, .offset = segment->offset + nvme->segment_offset};
    uint64_t holds = NVME_LOAN_PAGES * NVME_PAGE - run.offset % NVME_PAGE;

    if (most > holds)
        most = holds;
    while (run.length < most) {
        uint64_t now = segment->length - nvme->segment_offset;
        if (now > most - run.length)
            now = most - run.length;
        run.length += now;
        nvme->segment_offset += now;
        if (nvme->segment_offset < segment->length)
            break;
        nvme->segment++;
        nvme->segment_offset = 0;
        segment++;
        if (nvme->segment == request->segment_count || segment->object != run.object ||
            segment->offset != run.offset + run.length)
            break;
    }
    return run;
}

/* How many bytes from here on one command can name, in whole blocks; 0: not even one block. */
static uint64_t measure(struct nvme *nvme, const struct block_request *request, uint64_t most, uint64_t block_size)
{
    unsigned segment = nvme->segment;
    uint64_t offset = nvme->segment_offset, total = 0;

    for (unsigned loans = 0; total < most && loans < NVME_MAX_LOANS; loans++) {
        uint64_t at = request->segments[nvme->segment].offset + nvme->segment_offset;
        if (at % sizeof(uint32_t) != 0 || (total != 0 && at % NVME_PAGE != 0))
            break;
        struct memory_ref run = next_run(nvme, request, most - total);
        total += run.length;
        if ((run.offset + run.length) % NVME_PAGE != 0)
            break;
    }
    nvme->segment = segment;
    nvme->segment_offset = offset;
    return align_down(total, block_size);
}

struct prp_writer {
    struct nvme_sqe *entry;
    uint64_t *list;
    unsigned count, used; /* pages named so far; places used of the list's page */
};

static enum status prp_add(struct nvme *nvme, struct nvme_command *command, struct prp_writer *prp,
                           device_address address)
{
    struct nvme_page *page;

    if (prp->count == 0)
        prp->entry->prp1 = address;
    if (prp->count == 1)
        prp->entry->prp2 = address;
    if (prp->count++ < 2)
        return STATUS_OK;
    if (prp->list == NULL || prp->used == ENTRIES_PER_PAGE) {
        if ((page = page_take(nvme, command)) == NULL)
            return STATUS_LIMIT;
        uint64_t *from = prp->list != NULL ? &prp->list[ENTRIES_PER_PAGE - 1] : &prp->entry->prp2;
        prp->list = page->memory.memory;
        prp->list[0] = *from;
        *from = page->memory.address;
        prp->used = 1;
    }
    prp->list[prp->used++] = address;
    return STATUS_OK;
}

/* Lends `bytes` from here on and names them in the entry; moves on behind them. On failure the command may have loans
 * and pages. */
static enum status lend(struct nvme *nvme, struct nvme_command *command, struct nvme_sqe *entry, uint64_t bytes)
{
    enum dma_direction direction = command->opcode == NVME_READ ? DMA_FROM_DEVICE : DMA_TO_DEVICE;
    struct prp_writer prp = {.entry = entry};
    enum status status = STATUS_OK;

    for (uint64_t done = 0; done < bytes && status == STATUS_OK;) {
        struct memory_ref run = next_run(nvme, command->request, bytes - done);
        unsigned count;
        status = dma_lend(nvme->device, &run, direction, nvme->segments, NVME_LOAN_PAGES + 1, &count,
                          &command->loans[command->loan_count]);
        if (status != STATUS_OK)
            return status;
        command->loan_count++;
        done += run.length;
        for (unsigned i = 0; i < count && status == STATUS_OK; i++) {
            uint64_t at = nvme->segments[i].address, end = at + nvme->segments[i].length;
            bool gap = (prp.count != 0 && at % NVME_PAGE != 0) || at % sizeof(uint32_t) != 0 ||
                       ((done < bytes || i + 1 < count) && end % NVME_PAGE != 0);
            if (gap)
                status = STATUS_UNSUPPORTED;
            for (; at < end && status == STATUS_OK; at = align_down(at, NVME_PAGE) + NVME_PAGE)
                status = prp_add(nvme, command, &prp, at);
        }
    }
    return status;
}

/* ---- Submitting --------------------------------------------------------------------------------------------- */

unsigned nvme_io_in_flight(const struct nvme *nvme)
{
    unsigned flying = 0;

    for (unsigned i = 0; i < nvme->queue_count; i++)
        flying += nvme->queues[i].in_flight;
    return flying;
}

static uint8_t opcode_of(enum block_operation operation)
{
    static const uint8_t opcodes[] = {[BLOCK_READ] = NVME_READ,
                                      [BLOCK_WRITE] = NVME_WRITE,
                                      [BLOCK_FLUSH] = NVME_FLUSH,
                                      [BLOCK_DISCARD] = NVME_DATASET,
                                      [BLOCK_WRITE_ZEROES] = NVME_WRITE_ZEROES};
    return opcodes[operation];
}

/* The most blocks that one such command takes. */
static uint64_t most_blocks(const struct nvme *nvme, uint8_t opcode, uint64_t block_size)
{
    enum { NLB_LIMIT = 65536 };
    uint64_t most =
        (opcode == NVME_WRITE_ZEROES ? nvme->identity.most_zeroes_bytes : nvme->identity.most_bytes) / block_size;

    if (opcode == NVME_DATASET)
        return nvme->identity.most_discard_blocks;
    return most < NLB_LIMIT ? most : NLB_LIMIT;
}

/* Fills in what the operation needs beside opcode and namespace for at most `most` blocks. On failure the position is
 * anywhere. */
static enum status build(struct nvme *nvme, struct nvme_command *command, struct nvme_sqe *entry, uint64_t most)
{
    const struct block_request *request = command->request;
    const struct block_info *info = &command->disk->block.info;
    bool moves_data = command->opcode == NVME_READ || command->opcode == NVME_WRITE;
    uint64_t blocks = block_request_start(request) + request->block_count - nvme->next_block;

    if (command->opcode == NVME_FLUSH)
        return STATUS_OK;
    if (blocks > most)
        blocks = most;
    if (moves_data) {
        blocks = measure(nvme, request, blocks * info->block_size, info->block_size) / info->block_size;
        enum status status = blocks == 0 ? STATUS_UNSUPPORTED : lend(nvme, command, entry, blocks * info->block_size);
        if (status != STATUS_OK)
            return status;
    }
    command->blocks = (uint32_t)blocks;
    if (command->opcode == NVME_DATASET) {
        struct nvme_page *page = page_take(nvme, command);
        if (page == NULL)
            return STATUS_LIMIT;
        *(struct nvme_range *)page->memory.memory =
            (struct nvme_range){.blocks = command->blocks, .first = nvme->next_block};
        entry->prp1 = page->memory.address;
        entry->cdw11 = NVME_CDW11_DEALLOCATE; /* cdw10: one range */
        return STATUS_OK;
    }
    entry->cdw10 = (uint32_t)nvme->next_block;
    entry->cdw11 = (uint32_t)(nvme->next_block >> 32);
    entry->cdw12 = command->blocks - 1;
    if (request->force_unit_access && command->opcode != NVME_READ)
        entry->cdw12 |= NVME_CDW12_FUA;
    return STATUS_OK;
}

/* Tries as much as one command takes, and when lists or loans run out as little as one block. STATUS_BUSY: later,
 * when something in flight has come back. */
static enum status prepare(struct nvme *nvme, struct nvme_command *command, struct nvme_sqe *entry)
{
    uint64_t most = most_blocks(nvme, command->opcode, command->disk->block.info.block_size);
    unsigned segment = nvme->segment;
    uint64_t offset = nvme->segment_offset;

    for (;; most = 1) {
        enum status status = build(nvme, command, entry, most);
        if (status == STATUS_OK)
            return STATUS_OK;
        let_go(nvme, command);
        nvme->segment = segment;
        nvme->segment_offset = offset;
        if (status != STATUS_LIMIT && status != STATUS_NO_MEMORY)
            return status;
        if (most == 1)
            return nvme_io_in_flight(nvme) > 1 ? STATUS_BUSY : status; /* this one counts too */
    }
}

/* Hands over one command of the first waiting request; false when there is no room for it now. */
static bool hand_over(struct nvme *nvme, struct nvme_queue *queue)
{
    struct block_request *request = nvme->waiting;
    struct nvme_command *command = nvme_queue_take(queue);
    struct nvme_sqe entry = {.opcode = opcode_of(request->operation), .nsid = namespace_of(request)->id};

    if (command == NULL)
        return false;
    command->request = request;
    command->disk = namespace_of(request);
    command->opcode = entry.opcode;
    command->first_block = nvme->next_block;
    command->started_ns = nvme->batch_ns;
    command->deadline_ns = nvme_later(nvme->batch_ns, nvme->timeout_ns);
    enum status status = prepare(nvme, command, &entry);
    if (status != STATUS_OK) {
        nvme_queue_give(queue, command);
        if (status == STATUS_BUSY)
            return false;
        waiting_pop(nvme);
        part_ended(nvme, request, status);
        return true;
    }
    nvme_queue_put(queue, command, &entry);
    request->driver[PROGRESS]++;
    nvme->next_block += command->blocks;
    if (command->opcode == NVME_FLUSH || nvme->next_block == block_request_start(request) + request->block_count) {
        waiting_pop(nvme);
        part_ended(nvme, request, STATUS_OK);
    }
    return true;
}

/* Which queue takes the next batch: each in turn. Who submits from several CPUs will want its own. */
static unsigned choose_queue(struct nvme *nvme)
{
    nvme->next_queue = (nvme->next_queue + 1) % nvme->queue_count;
    return nvme->next_queue;
}

void nvme_io_pump(struct nvme *nvme)
{
    if (nvme->waiting == NULL || nvme->queue_count == 0)
        return;
    nvme->batch_ns = clock_now();
    unsigned first = choose_queue(nvme);
    for (unsigned i = 0; i < nvme->queue_count; i++) {
        struct nvme_queue *queue = &nvme->queues[(first + i) % nvme->queue_count];
        while (nvme->waiting != NULL && hand_over(nvme, queue))
            ;
        nvme_queue_ring(queue);
    }
    nvme_look_later(nvme, nvme->batch_ns + nvme_look_period(nvme));
}

static unsigned submit(void *driver, struct block_request *const requests[], unsigned count)
{
    struct nvme_namespace *disk = driver;
    struct nvme *nvme = disk->nvme;

    if (nvme->stopping)
        return 0;
    for (unsigned i = 0; i < count; i++) {
        struct block_request *request = requests[i];
        bool nothing_to_do = request->operation == BLOCK_FLUSH && !disk->block.info.write_cache;
        request->status = block_request_check(&disk->block.info, request);
        request->driver[PROGRESS] = 0;
        request->driver[NAMESPACE] = (uintptr_t)disk;
        if (request->status != STATUS_OK || nothing_to_do)
            finish_later(nvme, request);
        else
            waiting_add(nvme, request);
    }
    if (!nvme->busy)
        nvme_io_pump(nvme);
    return count;
}

static void poll(void *driver)
{
    struct nvme *nvme = ((struct nvme_namespace *)driver)->nvme;

    if (nvme->stopping || nvme->busy)
        return;
    nvme->busy = true;
    nvme_queues_poll(nvme);
    nvme_io_tell(nvme);
    nvme_io_pump(nvme);
    nvme->busy = false;
}

const struct block_ops nvme_block_ops = {.submit = submit, .poll = poll};
