/* status.c: phrases for enum status. */
#include <vmos/abi.h>

const char *status_text(enum status status)
{
    static const char *const phrases[STATUS_COUNT] = {
        [STATUS_OK] = "ok",
        [STATUS_INVALID] = "invalid",
        [STATUS_OUT_OF_RANGE] = "out of range",
        [STATUS_NOT_FOUND] = "not found",
        [STATUS_UNSUPPORTED] = "not supported",
        [STATUS_NO_MEMORY] = "out of memory",
        [STATUS_LIMIT] = "limit reached",
        [STATUS_BUSY] = "busy",
        [STATUS_TIMED_OUT] = "timed out",
        [STATUS_READ_ONLY] = "read-only",
        [STATUS_IO_ERROR] = "I/O error",
        [STATUS_DEVICE_FAULT] = "device fault",
        [STATUS_REVOKED] = "revoked",
        [STATUS_DENIED] = "denied",
        [STATUS_BAD_HANDLE] = "no such handle",
        [STATUS_WRONG_TYPE] = "wrong type of object",
        [STATUS_PEER_GONE] = "the other side has gone",
        [STATUS_BAD_ADDRESS] = "bad address",
    };
    unsigned index = (unsigned)status;

    return index < STATUS_COUNT ? phrases[index] : "unknown status";
}
