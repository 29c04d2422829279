/* virtio_blk.c: see virtio_blk.h. */
#include <lib/bytes.h>
#include <model/virtio_blk.h>
#include <model/virtio_model.h>
#include <stdlib.h>
#include <string.h>

enum { SECTOR = 512, HEADER = 16, RANGE = 16, ANY_LAYOUT = 27 };
enum { TYPE_IN, TYPE_OUT, TYPE_FLUSH = 4, TYPE_GET_ID = 8, TYPE_DISCARD = 11, TYPE_WRITE_ZEROES = 13 };
enum { ANSWER_OK, ANSWER_IO_ERROR, ANSWER_UNSUPPORTED };

static bool has(const struct virtio_blk_model *blk, unsigned bit)
{
    return (virtio_model_features(blk->core) & UINT64_C(1) << bit) != 0;
}

static bool needs(struct virtio_blk_model *blk, unsigned bit)
{
    if (!has(blk, bit))
        model_complain(blk->core, "a request that needs feature %u, which was not accepted", bit);
    return has(blk, bit);
}

/* Everything between header and status byte. */
static void check_parts(struct virtio_blk_model *blk, const struct virtio_model_request *request)
{
    unsigned data = request->part_count - 2;

    if (data > blk->most_parts)
        blk->most_parts = data;
    if (has(blk, BLK_SEG_MAX) && blk->options.seg_max != 0 && data > blk->options.seg_max)
        model_complain(blk->core, "%u parts of data where seg_max is %u", data, blk->options.seg_max);
    for (unsigned i = 1; i < request->part_count - 1 && has(blk, BLK_SIZE_MAX); i++)
        if (request->parts[i].length > blk->options.size_max)
            model_complain(blk->core, "a part of %u bytes where size_max is %u", request->parts[i].length,
                           blk->options.size_max);
    if (model_is_legacy(blk->core) && !has(blk, ANY_LAYOUT) && request->parts[0].length != HEADER)
        model_complain(blk->core, "the header is not a part of its own");
    if (request->parts[request->part_count - 1].length != 1)
        model_complain(blk->core, "the status byte is not a part of its own");
}

/* False: beyond the end, which is the driver's fault unless the disk has shrunk. */
static bool inside(struct virtio_blk_model *blk, uint64_t sector, uint64_t count)
{
    uint32_t size = blk->options.block_size;
    bool sane = has(blk, BLK_BLK_SIZE) && is_power_of_two(size) && size >= SECTOR && size <= 65536;
    uint64_t per_block = sane ? size / SECTOR : 1;

    if (sector % per_block != 0 || count % per_block != 0)
        model_complain(blk->core, "%llu sectors at %llu are not whole blocks", (unsigned long long)count,
                       (unsigned long long)sector);
    bool good = sector <= blk->options.sectors && count <= blk->options.sectors - sector;
    blk->beyond += !good;
    return good;
}

static uint8_t transfer(struct virtio_blk_model *blk, const struct virtio_model_request *request, bool in,
                        uint64_t sector, uint32_t *written)
{
    uint32_t size = in ? request->writable - 1 : request->readable - HEADER;

    if (size == 0 || size % SECTOR != 0 || (in ? request->readable != HEADER : request->writable != 1))
        model_complain(blk->core, "a transfer of %u readable and %u writable bytes", request->readable,
                       request->writable);
    if (!in && has(blk, BLK_RO))
        model_complain(blk->core, "a write to a read-only disk");
    if (!inside(blk, sector, size / SECTOR))
        return ANSWER_IO_ERROR;
    *(in ? &blk->reads : &blk->writes) += 1;
    if (in)
        *written = (uint32_t)virtio_model_write(blk->core, request, 0, blk->sectors + sector * SECTOR, size);
    else
        virtio_model_read(blk->core, request, HEADER, blk->sectors + sector * SECTOR, size);
    return ANSWER_OK;
}

static uint8_t clear(struct virtio_blk_model *blk, const struct virtio_model_request *request, bool discard)
{
    uint8_t range[RANGE];
    uint32_t most = discard ? blk->options.max_discard_sectors : blk->options.max_zeroes_sectors;

    if (!needs(blk, discard ? BLK_DISCARD : BLK_WRITE_ZEROES))
        return ANSWER_UNSUPPORTED;
    if (virtio_model_read(blk->core, request, HEADER, range, RANGE) != RANGE || request->readable != HEADER + RANGE ||
        load_le32(range + 12) != 0)
        model_complain(blk->core, "a bad range");
    uint64_t sector = load_le64(range);
    uint32_t count = load_le32(range + 8);
    if (count == 0 || count > most)
        model_complain(blk->core, "%u sectors at once where %u is the most", count, most);
    if (!inside(blk, sector, count))
        return ANSWER_IO_ERROR;
    *(discard ? &blk->discards : &blk->zeroes) += 1;
    memset(blk->sectors + sector * SECTOR, discard ? BLK_DISCARDED : 0, (size_t)count * SECTOR);
    return ANSWER_OK;
}

static uint8_t carry_out(struct virtio_blk_model *blk, const struct virtio_model_request *request, uint32_t *written)
{
    enum virtio_model_evil evil = virtio_model_evil(blk->core);
    uint8_t header[HEADER];

    if (virtio_model_read(blk->core, request, 0, header, HEADER) != HEADER)
        return ANSWER_IO_ERROR;
    uint32_t type = load_le32(header);
    if (type != TYPE_GET_ID && evil == (enum virtio_model_evil)BLK_IO_ERRORS)
        return ANSWER_IO_ERROR;
    if (evil == (enum virtio_model_evil)BLK_UNSUPPORTED)
        return ANSWER_UNSUPPORTED;
    if (load_le32(header + 4) != 0 || (type != TYPE_IN && type != TYPE_OUT && load_le64(header + 8) != 0))
        model_complain(blk->core, "a header with a reserved field that is not 0");
    switch (type) {
    case TYPE_IN:
    case TYPE_OUT:
        return transfer(blk, request, type == TYPE_IN, load_le64(header + 8), written);
    case TYPE_FLUSH:
        blk->flushes++;
        if (request->readable != HEADER || request->writable != 1)
            model_complain(blk->core, "a flush with data");
        return needs(blk, BLK_FLUSH) ? ANSWER_OK : ANSWER_UNSUPPORTED;
    case TYPE_GET_ID:
        *written = (uint32_t)virtio_model_write(blk->core, request, 0, blk->options.serial, BLK_ID_SIZE);
        return ANSWER_OK;
    case TYPE_DISCARD:
    case TYPE_WRITE_ZEROES:
        return clear(blk, request, type == TYPE_DISCARD);
    default:
        model_complain(blk->core, "a request of type %u", type);
        return ANSWER_UNSUPPORTED;
    }
}

static uint32_t serve(struct virtio_model *model, void *context, const struct virtio_model_request *request)
{
    struct virtio_blk_model *blk = context;
    uint32_t written = 0;

    if (request->part_count < 2 || request->writable < 1) {
        model_complain(model, "a request of %u parts", request->part_count);
        return 0;
    }
    check_parts(blk, request);
    uint8_t answer = carry_out(blk, request, &written);
    switch ((unsigned)virtio_model_evil(model)) {
    case E22_STATUS_UNTOUCHED:
        return request->writable;
    case E22_STATUS_3:
        answer = 3;
        break;
    case E22_STATUS_254:
        answer = 254;
        break;
    default:
        break;
    }
    virtio_model_write(model, request, request->writable - 1, &answer, 1);
    if (virtio_model_evil(model) == (enum virtio_model_evil)E23_LENGTH_SHORT)
        return written;
    return virtio_model_evil(model) == (enum virtio_model_evil)E23_LENGTH_1 ? 1 : written + 1;
}

static const struct virtio_model_class base = {
    .id = 2,
    .class_code = 0x010000,
    .queue_count = 1,
    .queue_sizes = {128},
    .config_size = 60,
    .handle = serve,
};

struct owner { /* the class, with the features of this one */
    struct virtio_blk_model blk;
    struct virtio_model_class class;
};

struct virtio_blk_model *virtio_blk_create(const struct virtio_model_options *options,
                                           const struct virtio_blk_options *from, enum virtio_model_evil evil)
{
    struct owner *owner = calloc(1, sizeof *owner);
    struct virtio_blk_model *blk = &owner->blk;

    blk->options = *from;
    blk->sectors = calloc(from->sectors + 1, SECTOR);
    owner->class = base;
    owner->class.features = from->features;
    blk->core = virtio_model_create(&owner->class, blk, options, evil);
    uint8_t *config = virtio_model_config(blk->core);
    virtio_blk_resize(blk, from->capacity != 0 ? from->capacity : from->sectors);
    store_le32(config + 8, from->size_max);
    store_le32(config + 12, from->seg_max);
    store_le32(config + 20, from->block_size);
    config[24] = from->physical_exponent;
    store_le32(config + 28, from->optimal_blocks);
    store_le32(config + 36, from->max_discard_sectors);
    store_le32(config + 40, 1);
    store_le32(config + 48, from->max_zeroes_sectors);
    store_le32(config + 52, 1);
    return blk;
}

void virtio_blk_destroy(struct virtio_blk_model *blk)
{
    virtio_model_destroy(blk->core);
    free(blk->sectors);
    free((struct owner *)(void *)blk);
}

void virtio_blk_resize(struct virtio_blk_model *blk, uint64_t capacity)
{
    uint8_t *config = virtio_model_config(blk->core);

    store_le32(config, (uint32_t)capacity);
    store_le32(config + 4, (uint32_t)(capacity >> 32));
    virtio_model_config_changed(blk->core);
}
