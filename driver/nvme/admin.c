/*
 * admin.c: the admin queue: commands that are waited for, one at a time; asynchronous events; aborts.
 */
#include "nvme.h"

/* ---- What a status means ---------------------------------------------------------------------------------- */

void nvme_status_text(uint16_t status, char *text, size_t size)
{
    static const struct {
        uint16_t status;
        char text[26];
    } known[] = {
        {0x001, "invalid opcode"},      {0x002, "invalid field"},
        {0x004, "data transfer error"}, {0x005, "power is going"},
        {0x006, "internal error"},      {0x007, "aborted as asked"},
        {0x008, "queue deleted"},       {0x00b, "invalid namespace"},
        {0x013, "invalid PRP offset"},  {0x020, "write-protected"},
        {0x021, "interrupted"},         {0x022, "transport error"},
        {0x080, "block out of range"},  {0x081, "capacity exceeded"},
        {0x082, "namespace not ready"}, {0x101, "invalid queue identifier"},
        {0x102, "invalid queue size"},  {0x108, "invalid interrupt vector"},
        {0x280, "write fault"},         {0x281, "unrecovered read error"},
        {0x286, "access denied"},       {0x287, "deallocated block"},
    };
    const char *name = "unknown status";

    for (unsigned i = 0; i < sizeof known / sizeof known[0]; i++)
        if (known[i].status == (status & NVME_STATUS_MASK))
            name = known[i].text;
    snprintf(text, size, "%s (%x/%02x)", name, status >> 8 & 7u, status & 0xffu);
}

/* ---- Commands that are waited for ------------------------------------------------------------------------- */

static void answered(struct nvme *nvme, uint16_t status, uint32_t result)
{
    nvme->admin_answered = true;
    nvme->admin_status = status;
    nvme->admin_result = result;
}

/* Lets the answer come. Looks now and then without an interrupt: a message may get lost, and a wire may be held by an
 * I/O queue, whose turn comes later. One message for all queues is not waited for: it may be about an I/O queue, and
 * handle is to hear of it. */
static void wait_for_answer(struct nvme *nvme, uint64_t deadline)
{
    uint32_t events = nvme->interrupts[0].delivery == INTERRUPT_MESSAGE && nvme->interrupt_count > 1;
    uint64_t pause = 20 * NANOSECONDS_PER_MICROSECOND;

    for (;;) {
        nvme_queue_poll(&nvme->admin);
        uint64_t now = clock_now();
        if (nvme->admin_answered || now >= deadline || nvme->odd >= NVME_MAX_ODD)
            return;
        driver_wait(nvme->device, events, now + pause < deadline ? now + pause : deadline);
        if (pause < NVME_LOST_AFTER)
            pause *= 2;
        if ((nvme_state(nvme) & NVME_CSTS_FATAL) != 0 && !nvme_queue_answered(&nvme->admin))
            return; /* nothing more will come */
    }
}

/* Why there is no answer, when it has been waited for. */
static const char *silence_text(const struct nvme *nvme)
{
    uint32_t state = nvme_state(nvme);

    if (state == (uint32_t)NVME_GONE)
        return "its registers read all ones";
    if ((state & NVME_CSTS_FATAL) != 0)
        return "it reports a fatal error";
    return nvme->odd >= NVME_MAX_ODD ? "it answers what it was not asked" : "it does not answer";
}

enum status nvme_admin(struct nvme *nvme, struct nvme_sqe *entry, uint32_t *result, const char *what, unsigned which)
{
    uint64_t limit = nvme->timeout_ns < NVME_ADMIN_TIMEOUT ? nvme->timeout_ns : NVME_ADMIN_TIMEOUT;
    struct nvme_command *command = nvme->silent ? NULL : nvme_queue_take(&nvme->admin);
    char text[48];

    if (command == NULL)
        return STATUS_TIMED_OUT;
    command->done = answered;
    nvme->admin_answered = false;
    nvme_queue_put(&nvme->admin, command, entry);
    nvme_queue_ring(&nvme->admin);
    wait_for_answer(nvme, clock_now() + limit);
    if (!nvme->admin_answered) {
        nvme->silent = true; /* the slot and what it points to are the controller's until a reset */
        log_error(nvme->name, "cannot %s %u: %s", what, which, silence_text(nvme));
        return STATUS_TIMED_OUT;
    }
    if ((nvme->admin_status & NVME_STATUS_MASK) != NVME_STATUS_OK) {
        nvme_status_text(nvme->admin_status, text, sizeof text);
        log_info(nvme->name, "cannot %s %u: %s", what, which, text);
        return STATUS_IO_ERROR;
    }
    if (result != NULL)
        *result = nvme->admin_result;
    return STATUS_OK;
}

enum status nvme_identify(struct nvme *nvme, uint32_t what, uint32_t nsid, const char *name)
{
    struct nvme_sqe entry = {.opcode = NVME_ADMIN_IDENTIFY, .nsid = nsid, .prp1 = nvme->scratch.address, .cdw10 = what};

    memset(nvme->scratch.memory, 0, NVME_PAGE);
    return nvme_admin(nvme, &entry, NULL, name, nsid);
}

static void read_strings(struct nvme_identity *identity, const uint8_t *data)
{
    text_sanitise(identity->serial, data + NVME_ID_SERIAL, 20);
    text_sanitise(identity->model, data + NVME_ID_MODEL, 40);
    text_sanitise(identity->firmware, data + NVME_ID_FIRMWARE, 8);
    identity->attached_as[0] = '\0';
    if (strcmp(identity->model, "Amazon Elastic Block Store") == 0)
        text_sanitise(identity->attached_as, data + NVME_ID_VENDOR, 32);
}

/* Limits that only the NVM command set's own page tells, and not every controller has it: then write zeroes is held
 * to a transfer's size, which no controller refuses. */
static void read_limits(struct nvme *nvme)
{
    struct nvme_identity *identity = &nvme->identity;
    const uint8_t *data = nvme->scratch.memory;

    identity->most_zeroes_bytes = identity->most_bytes;
    identity->most_discard_blocks = UINT32_MAX;
    if (nvme->version < NVME_VERSION(1, 4) ||
        nvme_identify(nvme, NVME_IDENTIFY_COMMAND_SET, 0, "identify limits") != STATUS_OK)
        return;
    uint8_t zeroes = data[NVME_ID_SET_WZSL];
    uint32_t range = load_le32(data + NVME_ID_SET_DMRSL);
    uint64_t all = load_le64(data + NVME_ID_SET_DMSL);
    identity->most_zeroes_bytes = zeroes != 0 && zeroes < 32 ? (uint64_t)NVME_PAGE << zeroes : UINT64_MAX;
    if (range != 0)
        identity->most_discard_blocks = range;
    if (all != 0 && all < identity->most_discard_blocks)
        identity->most_discard_blocks = all;
}

enum status nvme_identify_controller(struct nvme *nvme)
{
    struct nvme_identity *identity = &nvme->identity;
    const uint8_t *data = nvme->scratch.memory;
    enum status status = nvme_identify(nvme, NVME_IDENTIFY_CONTROLLER, 0, "identify controller");

    if (status != STATUS_OK)
        return status;
    if ((data[NVME_ID_SQES] & 15) > 6 || (data[NVME_ID_CQES] & 15) > 4) {
        log_error(nvme->name, "wants queue entries of 2^%u and 2^%u bytes; vmos has 64 and 16",
                  data[NVME_ID_SQES] & 15u, data[NVME_ID_CQES] & 15u);
        return STATUS_UNSUPPORTED;
    }
    uint8_t most = data[NVME_ID_MDTS];
    uint64_t shutdown = load_le32(data + NVME_ID_RTD3E) * NANOSECONDS_PER_MICROSECOND;
    read_strings(identity, data);
    identity->most_bytes = most != 0 && most < 10 ? (uint64_t)NVME_PAGE << most : NVME_MAX_TRANSFER;
    identity->shutdown_ns = shutdown < 2 * NANOSECONDS_PER_SECOND    ? 2 * NANOSECONDS_PER_SECOND
                            : shutdown > 60 * NANOSECONDS_PER_SECOND ? 60 * NANOSECONDS_PER_SECOND
                                                                     : shutdown;
    identity->namespace_limit = load_le32(data + NVME_ID_NN);
    identity->optional = load_le16(data + NVME_ID_ONCS);
    identity->write_cache = (data[NVME_ID_VWC] & NVME_VWC_PRESENT) != 0;
    identity->doorbell_buffer = (load_le16(data + NVME_ID_OACS) & NVME_OACS_DOORBELL_BUFFER) != 0;
    read_limits(nvme);
    return nvme->silent ? STATUS_TIMED_OUT : STATUS_OK;
}

/* ---- Events ------------------------------------------------------------------------------------------------ */

/* The controller answers the request when it has something to say; the log page that goes with it is read before the
 * next request, or the controller is silent about that kind [base §5.2]. A controller that says something all the time
 * is asked again after a while. */
static void event_came(struct nvme *nvme, uint16_t status, uint32_t result)
{
    nvme->event_out = false;
    nvme->event_waiting = (status & NVME_STATUS_MASK) == NVME_STATUS_OK;
    nvme->event = result;
    if (!nvme->event_waiting)
        nvme->event_again_ns = DEADLINE_NEVER; /* it does not want to be asked */
}

void nvme_events_ask(struct nvme *nvme)
{
    struct nvme_sqe entry = {.opcode = NVME_ADMIN_ASYNC_EVENT};

    if (nvme->event_out || nvme->event_waiting || nvme->event_again_ns == DEADLINE_NEVER)
        return;
    struct nvme_command *command = nvme_queue_take(&nvme->admin);
    if (command == NULL)
        return;
    command->done = event_came;
    nvme->event_out = true;
    nvme_queue_put(&nvme->admin, command, &entry);
    nvme_queue_ring(&nvme->admin);
}

static void describe_event(struct nvme *nvme, uint64_t now)
{
    static const char *const kinds[] = {"an error", "a health warning", "news", "news of its command set"};
    unsigned kind = nvme->event & 7;

    if (now < nvme->event_told_ns)
        return;
    nvme->event_told_ns = now + NANOSECONDS_PER_SECOND;
    log_warn(nvme->name, "reports %s: event 0x%02x, log page 0x%02x", kind < 4 ? kinds[kind] : "an unknown event",
             nvme->event >> 8 & 0xff, nvme->event >> 16 & 0xff);
}

void nvme_events_handle(struct nvme *nvme, uint64_t now)
{
    enum { NOTICE = 2, NAMESPACES_CHANGED = 0, ASK_AGAIN_MS = 100 };
    uint32_t page = nvme->event >> 16 & 0xff;
    bool again_is_due = !nvme->event_out && now >= nvme->event_again_ns;

    if (!nvme->event_waiting) {
        if (again_is_due)
            nvme_events_ask(nvme);
        return;
    }
    if (!again_is_due) { /* it had its say a moment ago */
        nvme_look_later(nvme, nvme->event_again_ns);
        return;
    }
    struct nvme_sqe entry = {.opcode = NVME_ADMIN_GET_LOG,
                             .nsid = UINT32_MAX,
                             .prp1 = nvme->scratch.address,
                             .cdw10 = page | (512 / 4 - 1) << 16};
    nvme->event_waiting = false;
    nvme->event_again_ns = now + ASK_AGAIN_MS * NANOSECONDS_PER_MILLISECOND;
    describe_event(nvme, now);
    if ((nvme->event & 7) == NOTICE && (nvme->event >> 8 & 0xff) == NAMESPACES_CHANGED)
        nvme->rescan = true;
    if (page == NVME_LOG_NAMESPACES)
        entry.cdw10 = page | (NVME_PAGE / 4 - 1) << 16;
    if (page != 0)
        nvme_admin(nvme, &entry, NULL, "read log page", page);
    if (nvme->rescan && !nvme->silent)
        nvme_namespaces_find(nvme);
    nvme->rescan = false;
    nvme_look_later(nvme, nvme->event_again_ns);
}

/* ---- Aborts ------------------------------------------------------------------------------------------------ */

static void abort_answered(struct nvme *nvme, uint16_t status, uint32_t result)
{
    (void)status; /* what became of the command, its own answer says */
    (void)result;
    nvme->abort_out = false;
    nvme_look_later(nvme, 0); /* there may be more to abort */
}

bool nvme_abort(struct nvme *nvme, const struct nvme_queue *queue, const struct nvme_command *of)
{
    struct nvme_sqe entry = {.opcode = NVME_ADMIN_ABORT,
                             .cdw10 = queue->id | (uint32_t)nvme_command_identifier(queue, of) << 16};
    struct nvme_command *command = nvme->abort_out ? NULL : nvme_queue_take(&nvme->admin);

    if (command == NULL)
        return false;
    command->done = abort_answered;
    nvme->abort_out = true;
    nvme_queue_put(&nvme->admin, command, &entry);
    nvme_queue_ring(&nvme->admin);
    return true;
}
