/*
 * recover.c: what is done about a controller that does not answer.
 *
 *     a look, once a second while anything is in flight
 *       registers read all ones ............ gone: everything ends with an error, the driver is stopped
 *       fatal error ........................ reset
 *       answer present, twice in 10 ms ..... its interrupt was lost: taken now; after three, polled for good
 *       command older than its deadline .... asked to abort it; the answer of the command itself decides
 *       abort without effect ............... reset
 *     reset: CC.EN = 0 confirmed, all memory is ours again, queues made anew, what was in flight is issued again
 *
 * A time-out takes nothing back: loans and lists stay the controller's until it has answered or a reset is confirmed.
 */
#include "nvme.h"

void nvme_look_later(struct nvme *nvme, uint64_t when)
{
    if (when >= nvme->look_ns)
        return;
    nvme->look_ns = when;
    driver_wake_at(nvme->device, when);
}

void nvme_is_gone(struct nvme *nvme)
{
    nvme->gone = true;
    device_fail(nvme->device, "is gone: its registers read all ones");
}

/* From nothing to work again; what the controller had before is not its any more. */
static enum status start_over(struct nvme *nvme)
{
    enum status status = nvme_disable(nvme);

    if (status != STATUS_OK)
        return status;
    nvme_io_take_back(nvme, false, STATUS_TIMED_OUT);
    nvme_queues_close(nvme);
    nvme->first_generation = (uint8_t)(nvme->first_generation + 23);
    status = nvme_bring_up(nvme);
    if (status == STATUS_OK)
        status = nvme_namespaces_find(nvme);
    return status;
}

void nvme_recover(struct nvme *nvme, const char *reason)
{
    uint64_t now = clock_now();

    if (nvme->reset_ns == 0 || now - nvme->reset_ns > NVME_RESET_MEMORY)
        nvme->resets = 0;
    if (nvme->resets++ == NVME_MAX_RESETS) {
        device_fail(nvme->device, "%s, and %u resets did not help", reason, NVME_MAX_RESETS);
        return;
    }
    log_warn(nvme->name, "%s; it is reset (%u of %u)", reason, nvme->resets, NVME_MAX_RESETS);
    enum status status = start_over(nvme);
    nvme->reset_ns = clock_now();
    if (status == STATUS_OK)
        log_info(nvme->name, "works again after %llu ms",
                 (unsigned long long)((nvme->reset_ns - now) / NANOSECONDS_PER_MILLISECOND));
    else if (nvme_state(nvme) == (uint32_t)NVME_GONE)
        nvme_is_gone(nvme);
    else
        device_fail(nvme->device, "%s, and does not come back from its reset: %s", reason, status_text(status));
}

/* ---- Looking ------------------------------------------------------------------------------------------------ */

/* An answer that lies there for a while with its interrupt still to come. */
static void look_for_lost_interrupt(struct nvme *nvme, struct nvme_queue *queue, uint64_t now)
{
    if (!nvme_queue_answered(queue)) {
        queue->waiting_since_ns = 0;
        return;
    }
    if (queue->waiting_since_ns == 0)
        queue->waiting_since_ns = now;
    if (now - queue->waiting_since_ns < NVME_LOST_AFTER) {
        nvme_look_later(nvme, now + NVME_LOST_AFTER);
        return;
    }
    nvme->lost_interrupts++;
    nvme->polling |= nvme->lost_interrupts == NVME_LOST_BEFORE_POLLING;
    if (nvme->lost_interrupts <= NVME_LOST_BEFORE_POLLING)
        log_warn(nvme->name, "queue %u has an answer whose interrupt was lost (%u times)%s", queue->id,
                 nvme->lost_interrupts, nvme->polling ? "; from now on it is polled" : "");
    nvme_queue_poll(queue);
}

/* False: the controller was reset, and its queues are others. */
static bool out_of_time(struct nvme *nvme, struct nvme_queue *queue, struct nvme_command *command, uint64_t now)
{
    uint64_t limit = nvme->timeout_ns < NVME_ABORT_TIMEOUT ? nvme->timeout_ns : NVME_ABORT_TIMEOUT;

    if (command->state == COMMAND_ABORTING) {
        nvme_recover(nvme, "neither carries out a command nor aborts it");
        return false;
    }
    if (nvme->abort_out && now >= nvme->abort_deadline_ns) {
        nvme_recover(nvme, "does not answer an abort");
        return false;
    }
    nvme_queue_ring_hard(queue); /* should the doorbell be what was lost */
    if (!nvme_abort(nvme, queue, command))
        return true;
    log_warn(
        command->disk->name,
        "%s of %u blocks at %llu is without an answer after %llu ms, and the controller is alive: it never finished "
        "it; it is asked to abort it",
        nvme_opcode_text(command->opcode), command->blocks, (unsigned long long)command->first_block,
        (unsigned long long)((now - command->started_ns) / NANOSECONDS_PER_MILLISECOND));
    command->state = COMMAND_ABORTING;
    command->deadline_ns = nvme->abort_deadline_ns = now + limit;
    nvme_look_later(nvme, command->deadline_ns);
    return true;
}

/* Deadlines of one queue; false as above. What has not been taken yet may be the answer: a machine that stood still for
 * a while finds both its deadlines over and its answers there. */
static bool look_at_deadlines(struct nvme *nvme, struct nvme_queue *queue, uint64_t now)
{
    bool old = false;

    if (nvme_queue_answered(queue))
        return true;
    for (unsigned i = 0; queue->in_flight != 0 && i + 1 < queue->entries; i++) {
        struct nvme_command *command = &queue->commands[i];
        if (command->state == COMMAND_FREE)
            continue;
        if (now >= command->deadline_ns && !out_of_time(nvme, queue, command, now))
            return false;
        if (now < command->deadline_ns && command->deadline_ns - now < nvme_look_period(nvme))
            nvme_look_later(nvme, command->deadline_ns);
        old |= now - command->started_ns > NVME_LOOK_PERIOD;
    }
    if (old && nvme->shadow.memory != NULL)
        nvme_queue_ring_hard(queue); /* a doorbell buffer is only as good as the controller's word */
    return true;
}

void nvme_look(struct nvme *nvme, uint64_t now)
{
    uint32_t state = nvme_state(nvme);
    bool busy = nvme->waiting != NULL;

    nvme->look_ns = DEADLINE_NEVER;
    if (state == (uint32_t)NVME_GONE) {
        nvme_is_gone(nvme);
        return;
    }
    if ((state & NVME_CSTS_FATAL) != 0) {
        nvme_recover(nvme, "reports a fatal error");
        return;
    }
    look_for_lost_interrupt(nvme, &nvme->admin, now);
    for (unsigned i = 0; i < nvme->queue_count; i++) {
        look_for_lost_interrupt(nvme, &nvme->queues[i], now);
        if (!look_at_deadlines(nvme, &nvme->queues[i], now))
            return;
        busy |= nvme->queues[i].in_flight != 0;
    }
    if (busy || nvme->abort_out)
        nvme_look_later(nvme, now + nvme_look_period(nvme));
}
