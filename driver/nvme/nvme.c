/*
 * nvme.c: NVMe controllers [NVM Express Base Specification 2.0]: their life.
 *
 * QEMU: -drive if=none,id=d0,file=F,format=raw -device nvme,serial=S,drive=d0
 *
 * start: disabled -> admin queue -> enabled -> identified -> I/O queues -> namespaces published
 * stop:  shutdown announced and confirmed -> disabled, read back -> everything given back
 *
 * One pair of queues for each CPU and one message for each pair, as far as the controller, its vectors and memory go;
 * one pair and one interrupt for all are enough.
 */
#include "nvme.h"

enum { WINDOW = 0, HALF_SECOND_MS = 500, NVM_COMMAND_SET = 1 };

/* ---- Registers ---------------------------------------------------------------------------------------------- */

static bool is_revoked(const struct nvme *nvme)
{
    struct register_window again;

    return device_window_open(nvme->device, WINDOW, &again) == STATUS_REVOKED;
}

/* How long the controller may take to be ready, or not to be any more [base §3.1.3.1, CAP.TO]. */
static uint64_t ready_limit(const struct nvme *nvme)
{
    return (NVME_CAP_TO(nvme->capabilities) + 1) * HALF_SECOND_MS * NANOSECONDS_PER_MILLISECOND;
}

/* Waits until the bits of CSTS are so. STATUS_DEVICE_FAULT: it is gone, or reports a fatal error when `healthy`. */
static enum status wait_state(struct nvme *nvme, uint32_t mask, uint32_t value, uint64_t limit_ns, bool healthy)
{
    uint64_t deadline = clock_now() + limit_ns;

    for (;;) {
        uint32_t state = nvme_state(nvme);
        uint64_t now = clock_now();
        if (state == (uint32_t)NVME_GONE)
            return is_revoked(nvme) ? STATUS_REVOKED : STATUS_DEVICE_FAULT;
        if ((state & mask) == value)
            return STATUS_OK;
        if (healthy && (state & NVME_CSTS_FATAL) != 0)
            return STATUS_DEVICE_FAULT;
        if (now >= deadline)
            return STATUS_TIMED_OUT;
        driver_wait(nvme->device, 0, now + NANOSECONDS_PER_MILLISECOND);
    }
}

enum status nvme_disable(struct nvme *nvme)
{
    uint32_t configuration = window_read32(&nvme->registers, NVME_CC);

    window_write32(&nvme->registers, NVME_CC, configuration & ~(uint32_t)(NVME_CC_ENABLE | NVME_CC_SHUTDOWN_MASK));
    enum status status = wait_state(nvme, NVME_CSTS_READY, 0, ready_limit(nvme), false);
    nvme->stuck = status != STATUS_OK && status != STATUS_REVOKED;
    if (nvme->stuck)
        log_warn(nvme->name, "its reset is not confirmed: status reads 0x%x%s; what it may still use stays with it",
                 nvme_state(nvme), status == STATUS_TIMED_OUT ? " when CAP.TO is over" : "");
    return status;
}

static void write64(const struct nvme *nvme, uint64_t offset, uint64_t value)
{
    window_write32(&nvme->registers, offset, (uint32_t)value);
    window_write32(&nvme->registers, offset + 4, (uint32_t)(value >> 32));
}

static enum status enable(struct nvme *nvme)
{
    const struct device_queue *queue = &nvme->admin.memory;
    const struct register_window *registers = &nvme->registers;
    uint32_t entries = NVME_ADMIN_ENTRIES - 1;

    window_write32(registers, NVME_AQA, entries << 16 | entries);
    write64(nvme, NVME_ASQ, queue->submission_address);
    write64(nvme, NVME_ACQ, queue->completion_address);
    queue_publish(queue);
    window_write32(registers, NVME_CC, NVME_CC_ENABLE | NVME_CC_ENTRY_SIZES);
    enum status status = wait_state(nvme, NVME_CSTS_READY, NVME_CSTS_READY, ready_limit(nvme), true);
    if (status != STATUS_OK)
        log_error(nvme->name, "does not get ready within %llu ms: status reads 0x%x",
                  (unsigned long long)(ready_limit(nvme) / NANOSECONDS_PER_MILLISECOND), nvme_state(nvme));
    return status;
}

static bool is_at_work(const struct nvme *nvme)
{
    return (nvme_state(nvme) & (NVME_CSTS_READY | NVME_CSTS_FATAL)) == NVME_CSTS_READY;
}

/* Lets what is in flight come to its end, for a while, and tells the controller that the power may go [base §3.6.1]; it
 * writes back what it has. */
static void shut_down(struct nvme *nvme)
{
    uint32_t configuration = window_read32(&nvme->registers, NVME_CC);
    uint64_t now, deadline = clock_now() + NVME_STOP_PATIENCE;

    for (; is_at_work(nvme) && nvme_io_in_flight(nvme) != 0 && (now = clock_now()) < deadline; nvme_queues_poll(nvme))
        driver_wait(nvme->device, 0, now + NANOSECONDS_PER_MILLISECOND);
    if (!is_at_work(nvme))
        return;
    window_write32(&nvme->registers, NVME_CC, configuration | NVME_CC_SHUTDOWN_NORMAL);
    enum status status =
        wait_state(nvme, NVME_CSTS_SHUTDOWN_MASK, NVME_CSTS_SHUTDOWN_DONE, nvme->identity.shutdown_ns, true);
    if (status != STATUS_OK && status != STATUS_REVOKED)
        log_warn(nvme->name, "does not confirm its shutdown within %llu ms: status reads 0x%x",
                 (unsigned long long)(nvme->identity.shutdown_ns / NANOSECONDS_PER_MILLISECOND), nvme_state(nvme));
}

/* What registers say before anything is written [base §3.1.3.1]. */
static enum status check_capabilities(struct nvme *nvme)
{
    uint64_t capabilities = nvme_read64(nvme, NVME_CAP);

    nvme->capabilities = capabilities;
    nvme->version = window_read32(&nvme->registers, NVME_VS);
    if (capabilities == UINT64_MAX || capabilities == 0 || nvme->version == UINT32_MAX) {
        log_error(nvme->name, "is not there: its capabilities read 0x%llx", (unsigned long long)capabilities);
        return STATUS_NOT_FOUND;
    }
    if (NVME_CAP_MQES(capabilities) == 0) {
        log_error(nvme->name, "has queues of one entry, which can hold nothing");
        return STATUS_UNSUPPORTED;
    }
    if (NVME_CAP_MPSMIN(capabilities) != 0) {
        log_error(nvme->name, "wants pages of at least 2^%u bytes; vmos has 4096", 12 + NVME_CAP_MPSMIN(capabilities));
        return STATUS_UNSUPPORTED;
    }
    if ((NVME_CAP_CSS(capabilities) & NVM_COMMAND_SET) == 0) {
        log_error(nvme->name, "does not have the NVM command set");
        return STATUS_UNSUPPORTED;
    }
    return STATUS_OK;
}

/* ---- Interrupts ---------------------------------------------------------------------------------------------- */

static bool has_vector_per_queue(const struct nvme *nvme)
{
    return nvme->interrupt_count > 1;
}

/* The admin queue's, and one for each pair of queues, which the pair's CPU takes; or one for all. */
static enum status open_interrupts(struct nvme *nvme)
{
    unsigned wanted = device_interrupt_count(nvme->device), cpus = device_cpu_count(nvme->device);
    enum status status = device_interrupt_open(nvme->device, 0, &nvme->interrupts[0]);

    if (status != STATUS_OK)
        return status;
    nvme->interrupt_count = 1;
    if (wanted > cpus + 1)
        wanted = cpus + 1;
    for (unsigned i = 1; i < wanted && i <= NVME_MAX_IO_QUEUES; i++) {
        if (device_interrupt_open(nvme->device, i, &nvme->interrupts[i]) != STATUS_OK)
            break;
        nvme->interrupt_count++;
        interrupt_set_cpu(&nvme->interrupts[i], i - 1); /* where it cannot be directed it stays where it is */
    }
    return STATUS_OK;
}

/* ---- Queues -------------------------------------------------------------------------------------------------- */

static enum status create_queue(struct nvme *nvme, unsigned id, unsigned entries)
{
    struct nvme_queue *queue = &nvme->queues[id - 1];
    enum status status = nvme_queue_open(nvme, queue, id, entries);
    uint32_t vector = has_vector_per_queue(nvme) ? id : 0;

    if (status != STATUS_OK) {
        log_info(nvme->name, "cannot have I/O queue %u: %s", id, status_text(status));
        return status;
    }
    struct nvme_sqe completion = {.opcode = NVME_ADMIN_CREATE_CQ,
                                  .prp1 = queue->memory.completion_address,
                                  .cdw10 = id | (entries - 1) << 16,
                                  .cdw11 = vector << 16 | NVME_QUEUE_INTERRUPTS | NVME_QUEUE_CONTIGUOUS};
    struct nvme_sqe submission = {.opcode = NVME_ADMIN_CREATE_SQ,
                                  .prp1 = queue->memory.submission_address,
                                  .cdw10 = id | (entries - 1) << 16,
                                  .cdw11 = id << 16 | NVME_QUEUE_CONTIGUOUS};
    status = nvme_admin(nvme, &completion, NULL, "create completion queue", id);
    if (status == STATUS_IO_ERROR && (nvme->admin_status & NVME_STATUS_MASK) == NVME_STATUS_INVALID_VECTOR) {
        completion.cdw11 = NVME_QUEUE_CONTIGUOUS;
        nvme->polling = true;
        status = nvme_admin(nvme, &completion, NULL, "create completion queue without interrupts", id);
    }
    if (status == STATUS_IO_ERROR)
        nvme_queue_close(queue);
    if (status == STATUS_OK) /* a pair that is made by half stays the controller's until the next reset */
        status = nvme_admin(nvme, &submission, NULL, "create submission queue", id);
    return status;
}

/* Entries of each queue, within the controller's limit and the budget. */
static unsigned choose_entries(const struct nvme *nvme, unsigned queues)
{
    enum { PER_ENTRY = sizeof(struct nvme_sqe) + sizeof(struct nvme_cqe) + sizeof(struct nvme_command) };
    unsigned most = NVME_CAP_MQES(nvme->capabilities) + 1, entries = NVME_MAX_ENTRIES;

    while (entries > 16 && entries * queues * PER_ENTRY > NVME_QUEUE_BUDGET)
        entries /= 2;
    return entries < most ? entries : most;
}

/* As many pairs as there are vectors and the controller grants; fewer where one cannot be made. */
static enum status create_queues(struct nvme *nvme)
{
    unsigned wanted = has_vector_per_queue(nvme) ? nvme->interrupt_count - 1 : 1;
    struct nvme_sqe entry = {
        .opcode = NVME_ADMIN_SET_FEATURES, .cdw10 = NVME_FEATURE_QUEUES, .cdw11 = (wanted - 1) << 16 | (wanted - 1)};
    uint32_t granted = 0;
    enum status status = nvme_admin(nvme, &entry, &granted, "set the number of queues to", wanted);

    if (status == STATUS_TIMED_OUT)
        return status;
    unsigned submission = (granted & 0xffff) + 1, completion = (granted >> 16) + 1; /* one, where it refuses to say */
    unsigned most = submission < completion ? submission : completion;
    if (wanted > most)
        wanted = most;
    unsigned entries = choose_entries(nvme, wanted);
    while (nvme->queue_count < wanted) {
        status = create_queue(nvme, nvme->queue_count + 1, entries);
        if (status != STATUS_OK)
            break;
        nvme->queue_count++;
    }
    return nvme->silent ? STATUS_TIMED_OUT : nvme->queue_count != 0 ? STATUS_OK : status;
}

/* Doorbells in memory, and beside them what the controller wants to be woken at [base §5.8]. They can be had or not. */
static void open_doorbell_buffer(struct nvme *nvme)
{
    size_t size = (size_t)(nvme->queue_count + 1) * 8 << NVME_CAP_DSTRD(nvme->capabilities);

    if (!nvme->identity.doorbell_buffer || size > NVME_PAGE ||
        dma_allocate(nvme->device, NVME_PAGE + NVME_PAGE, NVME_PAGE, &nvme->shadow) != STATUS_OK)
        return;
    struct nvme_sqe entry = {
        .opcode = NVME_ADMIN_DOORBELL_BUFFER, .prp1 = nvme->shadow.address, .prp2 = nvme->shadow.address + NVME_PAGE};
    if (nvme_admin(nvme, &entry, NULL, "set doorbell buffer", 0) == STATUS_IO_ERROR)
        dma_free(nvme->device, &nvme->shadow); /* else in use, or the controller's until the next reset */
}

void nvme_queues_close(struct nvme *nvme)
{
    for (unsigned i = 0; i < NVME_MAX_IO_QUEUES && nvme->queues != NULL; i++)
        nvme_queue_close(&nvme->queues[i]);
    nvme_queue_close(&nvme->admin);
    nvme->queue_count = 0;
    if (!nvme->stuck)
        dma_free(nvme->device, &nvme->shadow);
}

enum status nvme_bring_up(struct nvme *nvme)
{
    struct nvme_sqe events = {
        .opcode = NVME_ADMIN_SET_FEATURES, .cdw10 = NVME_FEATURE_EVENTS, .cdw11 = NVME_EVENTS_WANTED};
    enum status status = check_capabilities(nvme); /* a reset may have changed them */

    nvme->silent = nvme->abort_out = nvme->event_out = nvme->event_waiting = false;
    nvme->odd = 0;
    nvme->event_again_ns = 0;
    if (status == STATUS_OK)
        status = nvme_queue_open(nvme, &nvme->admin, 0, NVME_ADMIN_ENTRIES);
    if (status == STATUS_OUT_OF_RANGE)
        log_error(nvme->name, "has doorbells %u bytes apart, beyond its %llu bytes of registers",
                  4u << NVME_CAP_DSTRD(nvme->capabilities), (unsigned long long)nvme->registers.size);
    if (status == STATUS_OK)
        status = enable(nvme);
    if (status == STATUS_OK)
        status = nvme_identify_controller(nvme);
    if (status == STATUS_OK)
        status = create_queues(nvme);
    if (status != STATUS_OK)
        return status;
    open_doorbell_buffer(nvme);
    if (!nvme->silent)
        nvme_admin(nvme, &events, NULL, "ask for events", 0);
    if (!nvme->silent)
        nvme_events_ask(nvme);
    return nvme->silent ? STATUS_TIMED_OUT : STATUS_OK;
}

/* ---- Life ---------------------------------------------------------------------------------------------------- */

/* Whose disk it is, for people: by model, and where models are not telling by identity. */
static const char *cloud_text(const struct nvme *nvme)
{
    static const struct {
        const char *model, *kind;
        uint16_t vendor, device;
    } known[] = {
        {"Amazon Elastic Block Store", "Amazon EBS", 0x1d0f, 0x8061},
        {"Amazon EC2 NVMe Instance Storage", "EC2 local SSD", 0x1d0f, 0xcd00},
        {"Amazon EC2 NVMe Instance Storage", "EC2 local SSD", 0x1d0f, 0xcd01},
        {"MSFT NVMe Accelerator v1.0", "Azure managed disk", 0x1414, 0x00a9},
        {"Microsoft NVMe Direct Disk", "Azure local SSD", 0x1414, 0xb111},
        {"nvme_card-pd", "Google Persistent Disk", 0, 0},
        {"nvme_card", "Google local SSD", 0x1ae0, 0x001f},
    };
    const struct device_identity *identity = device_identity(nvme->device);

    for (unsigned by = 0; by < 2; by++)
        for (unsigned i = 0; i < sizeof known / sizeof known[0]; i++) {
            size_t length = strlen(known[i].model);
            if (by == 0 ? strncmp(nvme->identity.model, known[i].model, length) == 0
                        : known[i].vendor == identity->vendor && known[i].device == identity->device)
                return known[i].kind;
        }
    return NULL;
}

static void describe(const struct nvme *nvme)
{
    const struct nvme_identity *identity = &nvme->identity;
    const char *kind = cloud_text(nvme);
    uint64_t bytes = 0;
    char size[24];

    for (const struct nvme_namespace *disk = nvme->namespaces; disk != NULL; disk = disk->next)
        bytes += disk->block.info.block_count * disk->block.info.block_size;
    format_size(size, sizeof size, bytes);
    log_info(nvme->name, "%s%s%s%s%s%s, serial %s, firmware %s, %s in %u namespaces, %u queues of %u%s",
             identity->model, kind != NULL ? " (" : "", kind != NULL ? kind : "", kind != NULL ? ")" : "",
             identity->attached_as[0] != '\0' ? ", attached as " : "", identity->attached_as, identity->serial,
             identity->firmware, size, nvme->namespace_count, nvme->queue_count, nvme->queues[0].entries - 1u,
             nvme->shadow.memory != NULL ? ", doorbells in memory" : "");
}

/* Everything that the driver holds goes back. What is in flight ends with this status. */
static void release(struct nvme *nvme, enum status status)
{
    nvme->stopping = true; /* clients may call us from `done` */
    nvme_io_take_back(nvme, true, status);
    nvme_io_tell(nvme);
    nvme_queues_close(nvme);
    nvme_pages_free(nvme);
    if (!nvme->stuck)
        dma_free(nvme->device, &nvme->scratch);
    for (unsigned i = 0; i < nvme->interrupt_count; i++)
        interrupt_close(&nvme->interrupts[i]);
    driver_wake_at(nvme->device, DEADLINE_NEVER);
    nvme_namespaces_free(nvme);
    free(nvme->queues);
    free(nvme);
}

/* How long a command may take: what the manifest says (`driver nvme timeout=30s`, 0: for ever), else what fits the
 * disk. Amazon asks that EBS be waited for: it answers in the end, whatever happens behind it. */
static uint64_t choose_timeout(const struct nvme *nvme)
{
    enum { MOST_SECONDS = 1000000 };
    char text[16];
    const char *end;
    uint64_t seconds;

    if (device_option(nvme->device, "timeout", text, sizeof text)) {
        if (text_to_number(text, &end, &seconds) && strcmp(end, "s") == 0 && seconds <= MOST_SECONDS)
            return seconds == 0 ? DEADLINE_NEVER : seconds * NANOSECONDS_PER_SECOND;
        log_warn(nvme->name, "timeout=%s is not understood; expected whole seconds, as in timeout=30s", text);
    }
    return strcmp(nvme->identity.model, "Amazon Elastic Block Store") == 0 ? DEADLINE_NEVER : NVME_DEFAULT_TIMEOUT;
}

static enum status set_up(struct nvme *nvme)
{
    enum status status = check_capabilities(nvme);

    if (status == STATUS_OK)
        status = nvme_disable(nvme); /* whoever had it before may have left it running */
    if (status == STATUS_OK)
        status = open_interrupts(nvme);
    if (status == STATUS_OK)
        status = dma_allocate(nvme->device, NVME_PAGE, NVME_PAGE, &nvme->scratch);
    if (status == STATUS_OK)
        status = nvme_bring_up(nvme);
    if (status != STATUS_OK)
        return status;
    nvme->timeout_ns = choose_timeout(nvme);
    return nvme_namespaces_find(nvme);
}

static enum status nvme_start(struct device *device, void **state)
{
    struct nvme *nvme = calloc(1, sizeof *nvme);
    enum status status;

    if (nvme == NULL || (nvme->queues = calloc(NVME_MAX_IO_QUEUES, sizeof *nvme->queues)) == NULL) {
        free(nvme);
        return STATUS_NO_MEMORY;
    }
    nvme->device = device;
    nvme->name = device_name(device);
    nvme->waiting_end = &nvme->waiting;
    nvme->finished_end = &nvme->finished;
    nvme->look_ns = DEADLINE_NEVER;
    nvme->timeout_ns = NVME_ADMIN_TIMEOUT;
    status = device_window_open(device, WINDOW, &nvme->registers);
    if (status == STATUS_OK)
        status = set_up(nvme);
    if (status != STATUS_OK) {
        if (nvme->scratch.memory != NULL) /* it may have been given addresses */
            nvme_disable(nvme);
        release(nvme, status);
        return status;
    }
    describe(nvme);
    *state = nvme;
    return STATUS_OK;
}

/* From all queues. A wire that is held again and again with nothing to take is not asked any more. */
static void take_answers(struct nvme *nvme)
{
    enum { HELD_FOR_NOTHING = 1000 };
    bool any = nvme_queue_poll(&nvme->admin);

    any |= nvme_queues_poll(nvme);
    nvme->idle_events = any ? 0 : nvme->idle_events + 1;
    if (nvme->interrupts[0].delivery == INTERRUPT_LINE && !nvme->polling && nvme->idle_events >= HELD_FOR_NOTHING) {
        nvme->polling = true;
        log_warn(nvme->name, "holds its interrupt line for nothing; from now on it is polled");
    }
    if (nvme->interrupts[0].delivery != INTERRUPT_LINE || !nvme->polling)
        interrupt_acknowledge(&nvme->interrupts[0]);
}

static void nvme_handle(void *state, uint32_t events)
{
    struct nvme *nvme = state;

    nvme->busy = true;
    if (events != 0 || nvme->polling)
        take_answers(nvme);
    uint64_t now = clock_now();
    nvme_events_handle(nvme, now);
    if (nvme->odd >= NVME_MAX_ODD)
        nvme_recover(nvme, "answers what it was not asked");
    else if (nvme->silent)
        nvme_recover(nvme, "does not answer the admin queue");
    else if (now >= nvme->look_ns)
        nvme_look(nvme, now);
    nvme_io_tell(nvme);
    nvme_io_pump(nvme);
    nvme->busy = false;
}

static void nvme_stop(void *state)
{
    struct nvme *nvme = state;
    enum status status;

    nvme->stopping = true;
    if (!nvme->gone && !nvme->stuck)
        shut_down(nvme);
    status = nvme_disable(nvme);
    release(nvme, status == STATUS_OK || status == STATUS_REVOKED ? STATUS_REVOKED : STATUS_DEVICE_FAULT);
}

const struct driver nvme_driver = {
    .name = "nvme",
    .pci_class = 0x010802, /* whoever made it */
    .start = nvme_start,
    .handle = nvme_handle,
    .stop = nvme_stop,
};
