/* scsi_sense.c: what the answer to a SCSI command means, for the driver and in words. */
#include "scsi.h"

#include <lib/bytes.h>
#include <lib/printf.h>

struct scsi_sense scsi_sense(const uint8_t *bytes, uint32_t length)
{
    enum { FIXED = 0x70, DESCRIPTORS = 0x72, SMALLEST_FIXED = 3, FIXED_WITH_CODE = 14, SMALLEST_DESCRIPTORS = 4 };
    unsigned format = length == 0 ? 0 : bytes[0] & 0x7e; /* the lowest bit: of an earlier command */
    struct scsi_sense sense = {0};

    if (format == FIXED && length >= SMALLEST_FIXED)
        sense.key = bytes[2] & 0xf;
    if (format == FIXED && length >= FIXED_WITH_CODE)
        sense.additional = load_be16(bytes + 12);
    if (format == DESCRIPTORS && length >= SMALLEST_DESCRIPTORS)
        sense = (struct scsi_sense){.key = bytes[1] & 0xf, .additional = load_be16(bytes + 2)};
    return sense;
}

static enum scsi_verdict judge_sense(const struct scsi_sense *sense)
{
    switch (sense->key) {
    case KEY_RECOVERED:
        return SCSI_DONE;
    case KEY_NOT_READY:
        return sense->additional == SENSE_BECOMING_READY ? SCSI_AGAIN_LATER : SCSI_FAILED;
    case KEY_NO_SENSE: /* or none was given: it may be any of these */
    case KEY_UNIT_ATTENTION:
    case KEY_ABORTED_COMMAND:
        return SCSI_AGAIN;
    default:
        return SCSI_FAILED;
    }
}

enum scsi_verdict scsi_judge(const struct scsi_outcome *outcome)
{
    switch (outcome->response) {
    case RESPONSE_OK:
        break;
    case RESPONSE_RESET:
    case RESPONSE_ABORTED:
        return SCSI_AGAIN;
    case RESPONSE_BUSY:
        return SCSI_AGAIN_LATER;
    default:
        return SCSI_FAILED;
    }
    switch (outcome->status) {
    case SCSI_GOOD:
        return SCSI_DONE;
    case SCSI_CHECK_CONDITION:
        return judge_sense(&outcome->sense);
    case SCSI_BUSY:
    case SCSI_TASK_SET_FULL:
        return SCSI_AGAIN_LATER;
    case SCSI_TASK_ABORTED:
        return SCSI_AGAIN;
    default:
        return SCSI_FAILED;
    }
}

enum status scsi_status(const struct scsi_outcome *outcome)
{
    if (outcome->response != RESPONSE_OK || outcome->status != SCSI_CHECK_CONDITION)
        return STATUS_IO_ERROR;
    if (outcome->sense.key == KEY_DATA_PROTECT)
        return STATUS_READ_ONLY;
    if (outcome->sense.key != KEY_ILLEGAL_REQUEST)
        return STATUS_IO_ERROR;
    return outcome->sense.additional == SENSE_INVALID_COMMAND ? STATUS_UNSUPPORTED
           : outcome->sense.additional == SENSE_OUT_OF_RANGE  ? STATUS_OUT_OF_RANGE
                                                              : STATUS_IO_ERROR;
}

/* ---- Words ------------------------------------------------------------------------------------------- */

static const char *key_text(uint8_t key)
{
    static const char *const words[16] = {
        "no sense",        "recovered error", "not ready",   "medium error", "hardware error", "illegal request",
        "unit attention",  "data protect",    "blank check", "vendor's own", "copy aborted",   "aborted command",
        "reserved key 12", "volume overflow", "miscompare",  "completed",
    };

    return words[key & 0xf];
}

static const struct {
    uint16_t additional;
    const char *text;
} additional_texts[] = {
    {0x0000, "nothing more is said"},
    {0x0006, "the process was ended"},
    {0x0400, "not ready for a reason that is not said"},
    {SENSE_BECOMING_READY, "becoming ready"},
    {0x0402, "must be started"},
    {0x0403, "needs somebody's hands"},
    {0x0404, "being formatted"},
    {0x0800, "communication failed"},
    {0x0c00, "write error"},
    {0x0c02, "write error, reallocation failed"},
    {0x1000, "checksum or protection error"},
    {0x1100, "unrecovered read error"},
    {0x1a00, "wrong length of a parameter list"},
    {SENSE_INVALID_COMMAND, "unknown command"},
    {SENSE_OUT_OF_RANGE, "block out of range"},
    {0x2400, "wrong field in the command"},
    {0x2500, "no such logical unit"},
    {0x2600, "wrong field in the parameter list"},
    {0x2700, "write protected"},
    {0x2707, "no space left where it is kept"},
    {0x2900, "power on or reset"},
    {0x2a01, "mode parameters changed"},
    {SENSE_CAPACITY_CHANGED, "capacity changed"},
    {0x3a00, "no medium"},
    {0x3f01, "firmware changed"},
    {SENSE_UNITS_CHANGED, "list of logical units changed"},
    {0x4400, "internal failure of the target"},
    {0x4b00, "data phase error"},
    {0x5500, "system resources ran out"},
};

static const char *additional_text(uint16_t additional)
{
    for (size_t i = 0; i < sizeof additional_texts / sizeof additional_texts[0]; i++)
        if (additional_texts[i].additional == additional)
            return additional_texts[i].text;
    return "a reason that vmos has no words for";
}

static const char *response_text(uint8_t response)
{
    static const char *const words[] = {
        [RESPONSE_OVERRUN] = "the data did not fit",
        [RESPONSE_ABORTED] = "aborted",
        [RESPONSE_BAD_TARGET] = "there is no such unit",
        [RESPONSE_RESET] = "the unit was reset",
        [RESPONSE_BUSY] = "the host is busy",
        [RESPONSE_TRANSPORT_FAILURE] = "the transport failed",
        [RESPONSE_TARGET_FAILURE] = "the target failed",
        [RESPONSE_NEXUS_FAILURE] = "this path failed",
        [RESPONSE_FAILURE] = "failure without a reason",
    };

    if (response == RESPONSE_NONE)
        return "the answer was not written";
    return response < sizeof words / sizeof words[0] ? words[response] : "a response that means nothing";
}

void scsi_describe(char *to, size_t size, const struct scsi_outcome *outcome)
{
    const struct scsi_sense *sense = &outcome->sense;

    if (outcome->response != RESPONSE_OK)
        snprintf(to, size, "%s (response %u)", response_text(outcome->response), outcome->response);
    else if (outcome->status == SCSI_CHECK_CONDITION)
        snprintf(to, size, "%s, %s (%x/%02x/%02x)", key_text(sense->key), additional_text(sense->additional),
                 sense->key, sense->additional >> 8, sense->additional & 0xff);
    else
        snprintf(to, size, "%s (status 0x%02x)",
                 outcome->status == SCSI_BUSY                   ? "busy"
                 : outcome->status == SCSI_TASK_SET_FULL        ? "its task set is full"
                 : outcome->status == SCSI_RESERVATION_CONFLICT ? "reserved by another"
                 : outcome->status == SCSI_TASK_ABORTED         ? "aborted by another"
                 : outcome->status == SCSI_GOOD                 ? "good, but not whole"
                                                                : "a status that means nothing",
                 outcome->status);
}
