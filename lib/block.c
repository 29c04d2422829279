/* block.c: the rules that every block request is held against. */
#include <vmos/block.h>

/* Segments add up to exactly the blocks named, each a multiple of 4 bytes. */
static bool segments_fit(const struct block_info *info, const struct block_request *request)
{
    uint64_t total = 0, wanted = request->block_count * info->block_size;

    for (unsigned i = 0; i < request->segment_count; i++) {
        uint64_t length = request->segments[i].length;
        if (length == 0 || length % 4 != 0 || length > wanted - total)
            return false;
        total += length;
    }
    return total == wanted;
}

enum status block_request_check(const struct block_info *info, const struct block_request *request)
{
    bool transfers = request->operation == BLOCK_READ || request->operation == BLOCK_WRITE;

    if (request->operation == BLOCK_FLUSH)
        return STATUS_OK;
    if (request->operation > BLOCK_WRITE_ZEROES || request->block_count == 0)
        return STATUS_INVALID;
    if (request->operation != BLOCK_READ && info->read_only)
        return STATUS_READ_ONLY;
    if (request->offset > info->block_count || request->first_block >= info->block_count - request->offset ||
        request->block_count > info->block_count - request->offset - request->first_block)
        return STATUS_OUT_OF_RANGE;
    if (request->force_unit_access && info->write_cache && !info->can_force_unit_access)
        return STATUS_UNSUPPORTED;
    if ((request->operation == BLOCK_DISCARD && !info->can_discard) ||
        (request->operation == BLOCK_WRITE_ZEROES && !info->can_write_zeroes))
        return STATUS_UNSUPPORTED;
    return !transfers || segments_fit(info, request) ? STATUS_OK : STATUS_INVALID;
}
