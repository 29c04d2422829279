/* virtio_scsi.c: see virtio_scsi.h. */
#include <lib/bytes.h>
#include <model/virtio_model.h>
#include <model/virtio_scsi.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { CONTROL, EVENTS, REQUESTS };
enum { HEAD = 19, ANSWER_HEAD = 12, GOOD = 0, CHECK = 2, BUSY = 8, FULL = 0x28 };
enum { OK = 0, ABORTED = 2, BAD_TARGET = 3, RESET = 4 };

struct answer { /* to one command */
    uint8_t response, status;
    uint8_t sense[32];
    uint32_t sense_length;
    const uint8_t *data; /* for the driver */
    uint32_t data_size;
    uint32_t taken; /* of the driver's data */
};

static bool is(const struct virtio_scsi_model *scsi, unsigned evil)
{
    return (unsigned)virtio_model_evil(scsi->core) == evil;
}

static void set_sense(struct answer *answer, uint8_t key, uint16_t code, bool descriptors)
{
    answer->status = CHECK;
    answer->data_size = 0;
    memset(answer->sense, 0, sizeof answer->sense);
    answer->sense[0] = descriptors ? 0x72 : 0x70;
    answer->sense[descriptors ? 1 : 2] = key;
    store_be16(answer->sense + (descriptors ? 2 : 12), code);
    answer->sense_length = descriptors ? 8 : 18;
}

static uint32_t smaller(uint32_t a, uint32_t b)
{
    return a < b ? a : b;
}

/* ---- What a unit says of itself ------------------------------------------------------------------------ */

static uint8_t page[4096];

static void give(struct answer *answer, uint32_t size, uint32_t allocated)
{
    answer->data = page;
    answer->data_size = smaller(size, allocated);
}

static void inquire(struct virtio_scsi_model *scsi, const struct scsi_unit_options *unit, const uint8_t *cdb,
                    struct answer *answer)
{
    uint32_t size = 36, allocated = load_be16(cdb + 3);

    scsi->inquiries++;
    memset(page, 0, sizeof page);
    page[0] = unit->type;
    if ((cdb[1] & 1) == 0) {
        page[2] = 5;
        memcpy(page + 8, "vmos    model of a disk  1.0 ", 28);
    } else if (is(scsi, F09_PAGES_NONE)) {
        set_sense(answer, 5, 0x2400, false);
        return;
    } else {
        page[1] = cdb[2];
        if (cdb[2] == 0) {
            static const uint8_t pages[4] = {0x00, 0x80, 0xb0, 0xb2};
            memcpy(page + 4, pages, sizeof pages);
            page[3] = 4;
            size = 8;
        } else if (cdb[2] == 0x80) {
            page[3] = (uint8_t)strlen(unit->serial);
            memcpy(page + 4, unit->serial, page[3]);
            size = 4u + page[3];
        } else if (cdb[2] == 0xb0) {
            page[3] = 60;
            store_be32(page + 8, unit->max_transfer);
            store_be32(page + 20, unit->max_discard);
            store_be32(page + 24, unit->max_discard != 0);
            store_be32(page + 40, (uint32_t)unit->max_zeroes);
            size = 64;
        } else if (cdb[2] == 0xb2) {
            page[3] = 4;
            page[5] = unit->max_discard != 0 ? 0x80 : 0;
            size = 8;
        } else {
            set_sense(answer, 5, 0x2400, false);
            return;
        }
    }
    if (is(scsi, F09_PAGES_GARBAGE) && (cdb[1] & 1) != 0)
        for (uint32_t i = cdb[2] == 0 ? 8 : 2; i < 255; i++)
            page[i] = (uint8_t)home_random();
    give(answer, is(scsi, F09_PAGES_GARBAGE) ? 255 : size, allocated);
}

static void tell_capacity(const struct scsi_unit_options *unit, bool only_10, uint32_t allocated, struct answer *answer)
{
    uint64_t last = unit->last_block != 0 ? unit->last_block : unit->blocks - 1;

    memset(page, 0, sizeof page);
    if (only_10) {
        store_be32(page, last > UINT32_MAX ? UINT32_MAX : (uint32_t)last);
        store_be32(page + 4, unit->block_size);
        give(answer, 8, 8);
        return;
    }
    store_be32(page, (uint32_t)(last >> 32));
    store_be32(page + 4, (uint32_t)last);
    store_be32(page + 8, unit->block_size);
    page[13] = 3; /* eight logical blocks to a physical one */
    page[14] = unit->provisioned ? 0x80 : 0;
    give(answer, 32, allocated);
}

static void tell_mode(struct virtio_scsi_model *scsi, const struct scsi_unit_options *unit, const uint8_t *cdb,
                      struct answer *answer)
{
    memset(page, 0, sizeof page);
    if (is(scsi, F09_PAGES_NONE)) {
        set_sense(answer, 5, 0x2400, false);
        return;
    }
    page[0] = 23;
    page[2] = (uint8_t)((unit->read_only ? 0x80 : 0) | (unit->force_unit_access ? 0x10 : 0));
    page[4] = 0x08;
    page[5] = 0x12;
    page[6] = unit->write_cache ? 4 : 0;
    if (is(scsi, F09_PAGES_GARBAGE))
        page[3] = 255;
    give(answer, 24, cdb[4]);
}

static void list_units(struct virtio_scsi_model *scsi, uint8_t target, const uint8_t *cdb, struct answer *answer)
{
    uint32_t at = 8;

    memset(page, 0, sizeof page);
    if (is(scsi, F08_LUNS_UNKNOWN)) {
        set_sense(answer, 5, 0x2000, false);
        return;
    }
    for (unsigned i = 0; i < scsi->options.unit_count; i++)
        if (scsi->options.units[i].target == target) {
            store_be16(page + at, (uint16_t)(scsi->options.units[i].lun >= 256 ? 0x4000 | scsi->options.units[i].lun
                                                                               : scsi->options.units[i].lun));
            at += 8;
        }
    if (is(scsi, F08_EVERYWHERE))
        for (uint16_t lun = 0; at < sizeof page; lun++, at += 8)
            store_be16(page + at, 0x4000 | lun);
    if (is(scsi, F08_LUNS_STRANGE)) {
        static const uint8_t strange[][8] = {{0, 0},       {0x80, 1},    {0xc1, 1}, {0x01, 2},
                                             {0x00, 0, 1}, {0x7f, 0xff}, {0x40, 0}, {0, 0, 0, 0, 0, 0, 0, 9}};
        memcpy(page + at, strange, sizeof strange);
        at += sizeof strange;
    }
    store_be32(page, is(scsi, F08_LUNS_HUGE) ? UINT32_MAX : at - 8);
    give(answer, at, load_be32(cdb + 6));
}

/* ---- Blocks ------------------------------------------------------------------------------------------ */

static bool inside(struct scsi_unit *unit, const struct scsi_unit_options *options, uint64_t first, uint64_t count,
                   struct answer *answer)
{
    bool good = first <= options->blocks && count <= options->blocks - first;

    unit->beyond += !good;
    if (!good)
        set_sense(answer, 5, 0x2100, false);
    return good;
}

static void may_write(struct virtio_scsi_model *scsi, const struct scsi_unit_options *options)
{
    if (options->read_only)
        model_complain(scsi->core, "a write to a read-only unit");
}

static void move(struct virtio_scsi_model *scsi, struct scsi_unit *unit, const struct scsi_unit_options *options,
                 const struct virtio_model_request *request, const uint8_t *cdb, struct answer *answer)
{
    bool in = cdb[0] == 0x88;
    uint64_t first = load_be64(cdb + 2);
    uint32_t count = load_be32(cdb + 10), size = count * unit->size;
    uint32_t given = in ? request->writable - ANSWER_HEAD - scsi->options.sense_size
                        : request->readable - HEAD - scsi->options.cdb_size;

    if (count == 0 || given != size)
        model_complain(scsi->core, "%u blocks with %u bytes of data", count, given);
    if (scsi->options.max_sectors != 0 && size / 512 > scsi->options.max_sectors)
        model_complain(scsi->core, "%u bytes where max_sectors is %u", size, scsi->options.max_sectors);
    if (options->max_transfer != 0 && count > options->max_transfer)
        model_complain(scsi->core, "%u blocks where the unit takes %u", count, options->max_transfer);
    if (!in)
        may_write(scsi, options);
    if ((cdb[1] & 8) != 0 && !options->force_unit_access)
        model_complain(scsi->core, "FUA where the unit does not have it");
    if (!inside(unit, options, first, count, answer))
        return;
    *(in ? &unit->reads : &unit->writes) += 1;
    unit->forced += (cdb[1] & 8) != 0;
    if (in) {
        answer->data = unit->bytes + first * unit->size;
        answer->data_size = size;
    } else {
        answer->taken = (uint32_t)virtio_model_read(scsi->core, request, HEAD + scsi->options.cdb_size,
                                                    unit->bytes + first * unit->size, size);
    }
}

static void unmap(struct virtio_scsi_model *scsi, struct scsi_unit *unit, const struct scsi_unit_options *options,
                  const struct virtio_model_request *request, const uint8_t *cdb, struct answer *answer)
{
    uint8_t list[24];

    may_write(scsi, options);
    if (load_be16(cdb + 7) != sizeof list ||
        virtio_model_read(scsi->core, request, HEAD + scsi->options.cdb_size, list, sizeof list) != sizeof list ||
        load_be16(list) != 22 || load_be16(list + 2) != 16)
        model_complain(scsi->core, "a bad list of blocks to give up");
    uint64_t first = load_be64(list + 8);
    uint32_t count = load_be32(list + 16);
    answer->taken = sizeof list;
    if (count == 0 || count > options->max_discard || !options->provisioned)
        model_complain(scsi->core, "%u blocks given up where %u is the most", count, options->max_discard);
    if (!inside(unit, options, first, count, answer))
        return;
    unit->discards++;
    memset(unit->bytes + first * unit->size, SCSI_DISCARDED, (size_t)count * unit->size);
}

static void write_same(struct virtio_scsi_model *scsi, struct scsi_unit *unit, const struct scsi_unit_options *options,
                       const struct virtio_model_request *request, const uint8_t *cdb, struct answer *answer)
{
    uint64_t first = load_be64(cdb + 2);
    uint32_t count = load_be32(cdb + 10);
    uint8_t *block = malloc(unit->size);

    may_write(scsi, options);
    answer->taken = (uint32_t)virtio_model_read(scsi->core, request, HEAD + scsi->options.cdb_size, block, unit->size);
    if (answer->taken != unit->size || count == 0 || count > options->max_zeroes || cdb[1] != 0)
        model_complain(scsi->core, "a block of %u bytes written %u times where %llu is the most", answer->taken, count,
                       (unsigned long long)options->max_zeroes);
    if (inside(unit, options, first, count, answer)) {
        unit->zeroes++;
        for (uint32_t i = 0; i < count; i++)
            memcpy(unit->bytes + (first + i) * unit->size, block, unit->size);
    }
    free(block);
}

static void flush(struct virtio_scsi_model *scsi, struct scsi_unit *unit, const struct scsi_unit_options *options,
                  const uint8_t *cdb, struct answer *answer)
{
    if (options->only_10 && cdb[0] == 0x91) {
        set_sense(answer, 5, 0x2000, false);
        return;
    }
    for (unsigned i = 1; i < 16; i++)
        if (cdb[i] != 0)
            model_complain(scsi->core, "a flush of not all blocks");
    unit->flushes++;
}

static void carry_out(struct virtio_scsi_model *scsi, unsigned index, const struct virtio_model_request *request,
                      const uint8_t *cdb, struct answer *answer)
{
    struct scsi_unit *unit = &scsi->units[index];
    const struct scsi_unit_options *options = &scsi->options.units[index];

    if (unit->attention && cdb[0] != 0x12 && cdb[0] != 0xa0) {
        unit->attention = false;
        set_sense(answer, 6, unit->attention_code, false);
        return;
    }
    if (options->no_medium && cdb[0] != 0x12) {
        set_sense(answer, 2, 0x3a00, false);
        return;
    }
    switch (cdb[0]) {
    case 0x00:
        if (unit->becoming_ready != 0) {
            unit->becoming_ready--;
            set_sense(answer, 2, 0x0401, false);
        }
        break;
    case 0x12:
        inquire(scsi, options, cdb, answer);
        break;
    case 0x1a:
        tell_mode(scsi, options, cdb, answer);
        break;
    case 0x25:
        tell_capacity(options, true, 8, answer);
        break;
    case 0x9e:
        if (options->only_10 || cdb[1] != 0x10)
            set_sense(answer, 5, 0x2000, false);
        else
            tell_capacity(options, false, load_be32(cdb + 10), answer);
        break;
    case 0x88:
    case 0x8a:
        move(scsi, unit, options, request, cdb, answer);
        break;
    case 0x35:
    case 0x91:
        flush(scsi, unit, options, cdb, answer);
        break;
    case 0x42:
        unmap(scsi, unit, options, request, cdb, answer);
        break;
    case 0x93:
        write_same(scsi, unit, options, request, cdb, answer);
        break;
    default:
        model_complain(scsi->core, "command 0x%02x", cdb[0]);
        set_sense(answer, 5, 0x2000, false);
    }
}

/* ---- Requests ------------------------------------------------------------------------------------------ */

/* What is wrong with the answer to a client's command; false: there is none at all. */
static bool spoil(struct virtio_scsi_model *scsi, struct answer *answer, uint32_t *residual)
{
    switch ((unsigned)virtio_model_evil(scsi->core)) {
    case F01_SENSE_GARBAGE:
        set_sense(answer, 0, 0, false);
        for (unsigned i = 0; i < sizeof answer->sense; i++)
            answer->sense[i] = (uint8_t)(0x80 | home_random());
        answer->sense_length = (uint32_t)home_random();
        break;
    case F01_SENSE_LONG:
        set_sense(answer, 4, 0x4400, false);
        answer->sense_length = UINT32_MAX;
        break;
    case F01_SENSE_NONE:
        set_sense(answer, 4, 0x4400, false);
        answer->sense_length = 0;
        break;
    case F02_RESIDUAL_BEYOND:
        *residual = UINT32_MAX;
        break;
    case F02_RESIDUAL_4:
        *residual = 4;
        break;
    case F03_RESPONSE_77:
        answer->response = 77;
        break;
    case F03_STATUS_77:
        answer->status = 77;
        break;
    case F04_UNTOUCHED:
        return false;
    case F07_MEDIUM_ERROR:
        set_sense(answer, 3, 0x1100, false);
        break;
    case F07_DESCRIPTOR_SENSE:
        set_sense(answer, 3, 0x1100, true);
        break;
    case F07_WRITE_PROTECTED:
        set_sense(answer, 7, 0x2700, false);
        break;
    default:
        break;
    }
    return true;
}

/* The command is not carried out this time. */
static bool disturb(struct virtio_scsi_model *scsi, struct answer *answer)
{
    unsigned evil = (unsigned)virtio_model_evil(scsi->core);
    bool twice = scsi->disturbed < 2;

    if (evil == F05_BUSY_FOREVER || (evil == F05_BUSY_TWICE && twice))
        answer->status = BUSY;
    else if (evil == F05_FULL_TWICE && twice)
        answer->status = FULL;
    else if (evil == F05_ATTENTION_FOREVER || (evil == F05_ATTENTION_TWICE && twice))
        set_sense(answer, 6, 0x2900, false);
    else if (evil == F05_RESET_TWICE && twice)
        answer->response = RESET;
    else
        return false;
    scsi->disturbed++;
    return true;
}

static uint32_t finish(struct virtio_scsi_model *scsi, const struct virtio_model_request *request,
                       const struct answer *answer, uint32_t residual, bool untouched)
{
    uint8_t bytes[ANSWER_HEAD + 96 + 4] = {0};
    uint32_t room = ANSWER_HEAD + scsi->options.sense_size;

    if (answer->data_size != 0)
        virtio_model_write(scsi->core, request, room, answer->data, answer->data_size);
    if (untouched)
        return request->writable;
    store_le32(bytes, answer->sense_length);
    store_le32(bytes + 4, residual);
    bytes[10] = answer->status;
    bytes[11] = answer->response;
    memcpy(bytes + ANSWER_HEAD, answer->sense, sizeof answer->sense);
    virtio_model_write(scsi->core, request, 0, bytes, smaller(room, sizeof bytes));
    return 0; /* as vhost-scsi counts */
}

static int find_unit(const struct virtio_scsi_model *scsi, const uint8_t *lun)
{
    for (unsigned i = 0; i < scsi->options.unit_count; i++)
        if (scsi->options.units[i].target == lun[1] && scsi->options.units[i].lun == (load_be16(lun + 2) & 0x3fff))
            return (int)i;
    return -1;
}

static bool has_target(const struct virtio_scsi_model *scsi, uint8_t target)
{
    for (unsigned i = 0; i < scsi->options.unit_count; i++)
        if (scsi->options.units[i].target == target)
            return true;
    return is(scsi, F08_EVERYWHERE);
}

static void check_command(struct virtio_scsi_model *scsi, const struct virtio_model_request *request,
                          const uint8_t *head)
{
    unsigned parts = request->part_count - 2;

    if (parts > scsi->most_parts)
        scsi->most_parts = parts;
    if (scsi->options.seg_max != 0 && parts > scsi->options.seg_max)
        model_complain(scsi->core, "%u parts of data where seg_max is %u", parts, scsi->options.seg_max);
    if (head[0] != 1 || (head[2] & 0xc0) != 0x40 || load_be32(head + 4) != 0)
        model_complain(scsi->core, "an address of another form");
}

static uint32_t command(struct virtio_scsi_model *scsi, const struct virtio_model_request *request)
{
    uint8_t head[HEAD + 32] = {0};
    const uint8_t *cdb = head + HEAD;
    uint32_t in = ANSWER_HEAD + scsi->options.sense_size, out = HEAD + scsi->options.cdb_size;
    struct answer answer = {.response = OK};

    if (request->readable < out || request->writable < in ||
        virtio_model_read(scsi->core, request, 0, head, smaller(out, sizeof head)) < HEAD + 16) {
        model_complain(scsi->core, "a command of %u and %u bytes", request->readable, request->writable);
        return 0;
    }
    if (is(scsi, F10_SILENT) || (is(scsi, F06_ABORT_HANGS) && scsi->hung))
        return VIRTIO_MODEL_HOLD;
    bool block_command =
        cdb[0] == 0x88 || cdb[0] == 0x8a || cdb[0] == 0x42 || cdb[0] == 0x93 || cdb[0] == 0x91 || cdb[0] == 0x35;
    if ((is(scsi, F06_ONE_HANGS) || is(scsi, F06_ABORT_HANGS)) && block_command && !scsi->aborted) {
        scsi->hung = true;
        scsi->hung_tag = load_le64(head + 8);
        return VIRTIO_MODEL_HOLD;
    }
    scsi->commands++;
    check_command(scsi, request, head);
    int unit = find_unit(scsi, head);
    if (scsi->hung && scsi->aborted && load_le64(head + 8) == scsi->hung_tag) {
        scsi->hung = false;
        answer.response = ABORTED;
    } else if (cdb[0] == 0xa0 && has_target(scsi, head[1])) {
        list_units(scsi, head[1], cdb, &answer);
    } else if (unit < 0) {
        answer.response = BAD_TARGET;
    } else if (!block_command || !disturb(scsi, &answer)) {
        carry_out(scsi, (unsigned)unit, request, cdb, &answer);
    }
    uint32_t residual = request->writable - in - answer.data_size + (request->readable - out - answer.taken);
    bool untouched = block_command && answer.response == OK && !spoil(scsi, &answer, &residual);
    return finish(scsi, request, &answer, residual, untouched);
}

static uint32_t manage(struct virtio_scsi_model *scsi, const struct virtio_model_request *request)
{
    uint8_t bytes[24], response = 0;

    if (virtio_model_read(scsi->core, request, 0, bytes, sizeof bytes) != sizeof bytes || request->writable != 1)
        model_complain(scsi->core, "task management of %u and %u bytes", request->readable, request->writable);
    if (load_le32(bytes) != 0 || load_le32(bytes + 4) != 0 || load_le64(bytes + 16) != scsi->hung_tag)
        model_complain(scsi->core, "task management that is not an abort of the command that hangs");
    scsi->aborts++;
    if (is(scsi, F06_ABORT_HANGS))
        return VIRTIO_MODEL_HOLD;
    scsi->aborted = true;
    virtio_model_kick(scsi->core, REQUESTS);
    virtio_model_write(scsi->core, request, 0, &response, 1);
    return 1;
}

uint32_t virtio_scsi_handle(struct virtio_model *core, void *context, const struct virtio_model_request *request)
{
    struct virtio_scsi_model *scsi = context;

    (void)core;
    if (request->queue == CONTROL)
        return manage(scsi, request);
    if (request->queue == REQUESTS)
        return command(scsi, request);
    if (!scsi->has_event && !is(scsi, F11_EVENTS_STORM))
        return VIRTIO_MODEL_HOLD;
    scsi->has_event = false;
    if (is(scsi, F11_EVENTS_STORM))
        for (unsigned i = 0; i < sizeof scsi->event; i++)
            scsi->event[i] = (uint8_t)home_random();
    virtio_model_write(scsi->core, request, 0, scsi->event, sizeof scsi->event);
    return sizeof scsi->event;
}

void virtio_scsi_tell(struct virtio_scsi_model *scsi, uint32_t event, unsigned unit, uint32_t reason)
{
    const struct scsi_unit_options *options = &scsi->options.units[unit];

    memset(scsi->event, 0, sizeof scsi->event);
    store_le32(scsi->event, event);
    scsi->event[4] = 1;
    scsi->event[5] = options->target;
    store_be16(scsi->event + 6, 0x4000 | options->lun);
    store_le32(scsi->event + 12, reason);
    scsi->has_event = true;
    virtio_model_kick(scsi->core, EVENTS);
}

/* ---- Life ------------------------------------------------------------------------------------------------ */

void virtio_scsi_set_up(struct virtio_scsi_model *scsi, struct virtio_model *core,
                        const struct virtio_scsi_options *options)
{
    uint8_t *config = virtio_model_config(core);

    scsi->core = core;
    scsi->options = *options;
    for (unsigned i = 0; i < options->unit_count; i++) {
        const struct scsi_unit_options *unit = &options->units[i];
        bool sane = is_power_of_two(unit->block_size) && unit->block_size >= 512 && unit->block_size <= 65536;
        scsi->units[i].size = sane ? unit->block_size : 512;
        scsi->units[i].bytes = calloc(unit->blocks + 1, scsi->units[i].size);
        scsi->units[i].attention = true;
        scsi->units[i].attention_code = 0x2900;
        scsi->units[i].becoming_ready = unit->becoming_ready;
    }
    store_le32(config, 1);
    store_le32(config + 4, options->seg_max);
    store_le32(config + 8, options->max_sectors);
    store_le32(config + 12, options->cmd_per_lun);
    store_le32(config + 16, sizeof scsi->event);
    store_le32(config + 20, options->sense_size);
    store_le32(config + 24, options->cdb_size);
    config[30] = (uint8_t)options->max_target;
    config[31] = (uint8_t)(options->max_target >> 8);
    store_le32(config + 32, options->max_lun);
}

void virtio_scsi_take_down(struct virtio_scsi_model *scsi)
{
    for (unsigned i = 0; i < scsi->options.unit_count; i++)
        free(scsi->units[i].bytes);
}

struct owner { /* the class, with the features of this one */
    struct virtio_scsi_model scsi;
    struct virtio_model_class class;
};

struct virtio_scsi_model *virtio_scsi_create(const struct virtio_model_options *options,
                                             const struct virtio_scsi_options *from, enum virtio_model_evil evil)
{
    static const struct virtio_model_class base = {
        .id = 8,
        .class_code = 0x010000,
        .queue_count = 3,
        .queue_sizes = {64, 64, 128},
        .config_size = SCSI_MODEL_CONFIG_SIZE,
        .handle = virtio_scsi_handle,
    };
    struct owner *owner = calloc(1, sizeof *owner);

    owner->class = base;
    owner->class.features = from->features;
    virtio_scsi_set_up(&owner->scsi, virtio_model_create(&owner->class, &owner->scsi, options, evil), from);
    return &owner->scsi;
}

void virtio_scsi_destroy(struct virtio_scsi_model *scsi)
{
    virtio_model_destroy(scsi->core);
    virtio_scsi_take_down(scsi);
    free((struct owner *)(void *)scsi);
}
