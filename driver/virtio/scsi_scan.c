/*
 * scsi_scan.c: which disks a virtio-scsi device has, and what each can.
 *
 * Target by target: REPORT LUNS, and INQUIRY of each unit; a direct-access unit [SBC-3] that is ready and has blocks
 * vmos can use becomes a disk. All of it is bounded by counts and by one deadline.
 */
#include "scsi.h"

#include <lib/bytes.h>
#include <lib/log.h>
#include <lib/malloc.h>
#include <lib/printf.h>
#include <lib/string.h>
#include <lib/text.h>

enum {
    MAX_TARGETS = 256, /* a target is one byte of an address [virtio 1.2 §5.6.6.1] */
    MAX_UNITS = 32,    /* of one target */
    MAX_DISKS = 128,
    FLAT_LUNS = 16384,
    SCAN_SECONDS = 30,
    MOST_ZEROES = 65535,    /* blocks in one WRITE SAME, so that it ends in time */
    MOST_DISCARD = 1 << 22, /* the same for UNMAP */
};

static bool is_fatal(enum status status)
{
    return status == STATUS_TIMED_OUT || status == STATUS_DEVICE_FAULT || status == STATUS_REVOKED;
}

static struct scsi_place place_of(const struct scsi_disk *disk)
{
    return (struct scsi_place){disk->target, disk->lun};
}

/* ---- What a disk is ---------------------------------------------------------------------------------- */

void scsi_capacity_command(const struct scsi_disk *disk, uint8_t cdb[LARGEST_CDB])
{
    memset(cdb, 0, LARGEST_CDB);
    cdb[0] = disk->capacity_10 ? READ_CAPACITY_10 : SERVICE_ACTION_IN_16;
    if (!disk->capacity_10) {
        cdb[1] = ACTION_READ_CAPACITY_16;
        store_be32(cdb + 10, SCSI_CAPACITY_BYTES);
    }
}

/* The answer names the last block, not how many there are. */
void scsi_capacity(const struct scsi_disk *disk, const uint8_t *answer, uint64_t *count, uint32_t *block_size)
{
    uint64_t last = disk->capacity_10 ? load_be32(answer) : load_be64(answer), most;

    *block_size = load_be32(answer + (disk->capacity_10 ? 4 : 8));
    most = *block_size == 0 ? 0 : UINT64_MAX / *block_size;
    *count = last >= most ? most : last + 1;
}

static enum status read_capacity(struct virtio_scsi *scsi, struct scsi_disk *disk, bool *provisioned)
{
    struct block_info *info = &disk->block.info;
    struct scsi_outcome outcome;
    uint8_t cdb[LARGEST_CDB], answer[SCSI_CAPACITY_BYTES];
    uint32_t filled, needed = 12;
    enum status status;

    scsi_capacity_command(disk, cdb);
    status = scsi_ask(scsi, place_of(disk), cdb, sizeof answer, &filled, &outcome);
    if (status == STATUS_UNSUPPORTED) {
        disk->capacity_10 = true;
        needed = 8;
        scsi_capacity_command(disk, cdb);
        status = scsi_ask(scsi, place_of(disk), cdb, 8, &filled, &outcome);
    }
    if (status != STATUS_OK || filled < needed) {
        log_warn(disk->name, "does not tell its capacity and is not used");
        return is_fatal(status) ? status : STATUS_UNSUPPORTED;
    }
    memcpy(answer, scsi_scratch(scsi), sizeof answer); /* first out of the device's reach */
    scsi_capacity(disk, answer, &info->block_count, &info->block_size);
    if (!is_power_of_two(info->block_size) || info->block_size < 512 || info->block_size > SCSI_LARGEST_BLOCK) {
        log_warn(disk->name, "claims blocks of %u bytes, which cannot be; it is not used", info->block_size);
        return STATUS_UNSUPPORTED;
    }
    if (info->block_count == UINT64_MAX / info->block_size)
        log_warn(disk->name, "claims more blocks than addresses can say; the rest is not used");
    info->physical_block_size = info->block_size;
    if (!disk->capacity_10 && filled >= 16) { /* [SBC-3 §5.16.2] */
        unsigned exponent = answer[13] & 0xf;
        info->physical_block_size <<= exponent <= 12 ? exponent : 0;
        *provisioned = (answer[14] & 0x80) != 0;
    }
    return STATUS_OK;
}

/* One page of vital product data; false when there is none. `filled` bytes of it are in the scratch. */
static enum status read_page(struct virtio_scsi *scsi, struct scsi_disk *disk, uint8_t page, uint32_t *filled)
{
    uint8_t cdb[LARGEST_CDB] = {INQUIRY, EVPD, page, 0, 255};
    struct scsi_outcome outcome;
    enum status status = scsi_ask(scsi, place_of(disk), cdb, 255, filled, &outcome);

    if (status != STATUS_OK)
        return is_fatal(status) ? status : STATUS_NOT_FOUND;
    return *filled >= 4 && scsi_scratch(scsi)[1] == page ? STATUS_OK : STATUS_NOT_FOUND;
}

static void take_limits(struct virtio_scsi *scsi, struct scsi_disk *disk, uint32_t filled) /* [SBC-3 §6.6.3] */
{
    struct block_info *info = &disk->block.info;
    const uint8_t *page = scsi_scratch(scsi);

    if (filled >= 16) {
        uint32_t most = load_be32(page + 8);
        uint64_t optimal = (uint64_t)load_be32(page + 12) * info->block_size;
        if (most != 0 && most < disk->most_blocks)
            disk->most_blocks = most;
        info->optimal_transfer = optimal <= UINT32_MAX ? (uint32_t)optimal : 0;
    }
    if (filled >= 28 && load_be32(page + 24) != 0) { /* ranges in one UNMAP */
        uint32_t most = load_be32(page + 20);
        info->max_discard_blocks = most < MOST_DISCARD ? most : MOST_DISCARD;
    }
    if (filled >= 44) {
        uint64_t most = load_be64(page + 36);
        disk->most_zeroes = most == 0 || most > MOST_ZEROES ? MOST_ZEROES : (uint32_t)most;
        info->can_write_zeroes = most != 0;
    }
}

/* Serial number, limits, and how blocks are given up, each if there is a page of it [SPC-4 §7.8.11]. */
static enum status read_pages(struct virtio_scsi *scsi, struct scsi_disk *disk, bool provisioned)
{
    struct block_info *info = &disk->block.info;
    uint8_t known[256] = {0}, pages[256];
    uint32_t filled;
    enum status status = read_page(scsi, disk, VPD_PAGES, &filled);

    if (status != STATUS_OK)
        return is_fatal(status) ? status : STATUS_OK;
    memcpy(pages, scsi_scratch(scsi), sizeof pages);
    for (uint32_t i = 4; i < filled && i < 4u + pages[3]; i++)
        known[pages[i]] = 1;
    if (known[VPD_SERIAL] && (status = read_page(scsi, disk, VPD_SERIAL, &filled)) == STATUS_OK) {
        uint32_t length = scsi_scratch(scsi)[3];
        length = length < filled - 4 ? length : filled - 4;
        if (length > sizeof info->serial - 1)
            length = sizeof info->serial - 1;
        memcpy(info->serial, scsi_scratch(scsi) + 4, length);
        text_sanitise(info->serial, info->serial, length);
    }
    if (!is_fatal(status) && known[VPD_BLOCK_LIMITS] &&
        (status = read_page(scsi, disk, VPD_BLOCK_LIMITS, &filled)) == STATUS_OK)
        take_limits(scsi, disk, filled);
    if (!is_fatal(status) && known[VPD_PROVISIONING] &&
        (status = read_page(scsi, disk, VPD_PROVISIONING, &filled)) == STATUS_OK && filled >= 6) {
        enum { CAN_UNMAP = 1 << 7, CAN_WRITE_SAME = 1 << 6 };
        uint8_t can = scsi_scratch(scsi)[5]; /* [SBC-3 §6.6.4] */
        info->can_discard = provisioned && (can & CAN_UNMAP) != 0 && info->max_discard_blocks != 0;
        info->can_write_zeroes |= (can & CAN_WRITE_SAME) != 0;
    }
    if (info->read_only)
        info->can_discard = info->can_write_zeroes = false;
    if (!info->can_discard)
        info->max_discard_blocks = 0;
    if (disk->most_zeroes == 0)
        disk->most_zeroes = MOST_ZEROES;
    return is_fatal(status) ? status : STATUS_OK;
}

/* Whether it can be written, and what a write needs [SPC-4 §6.11, SBC-3 §6.5.5]. A disk that does not say is taken to
 * have a cache: a flush too many harms nobody. */
static enum status read_mode(struct virtio_scsi *scsi, struct scsi_disk *disk)
{
    enum { HEAD = 4, WRITE_PROTECTED = 1 << 7, DPOFUA = 1 << 4, WRITE_CACHE = 1 << 2, BYTES = 192 };
    uint8_t cdb[LARGEST_CDB] = {MODE_SENSE_6, NO_BLOCK_DESCRIPTORS, CACHING_PAGE, 0, BYTES}, mode[BYTES];
    struct block_info *info = &disk->block.info;
    struct scsi_outcome outcome;
    uint32_t filled;
    enum status status = scsi_ask(scsi, place_of(disk), cdb, BYTES, &filled, &outcome);

    info->write_cache = true;
    if (status != STATUS_OK || filled < HEAD)
        return is_fatal(status) ? status : STATUS_OK;
    memcpy(mode, scsi_scratch(scsi), sizeof mode);
    info->read_only = (mode[2] & WRITE_PROTECTED) != 0;
    info->can_force_unit_access = (mode[2] & DPOFUA) != 0;
    uint32_t page = (uint32_t)HEAD + mode[3]; /* behind block descriptors, if there are some all the same */
    if (page + 3 <= filled && (mode[page] & 0x3f) == CACHING_PAGE)
        info->write_cache = (mode[page + 2] & WRITE_CACHE) != 0;
    return STATUS_OK;
}

static void describe(const struct scsi_disk *disk)
{
    const struct block_info *info = &disk->block.info;
    char size[24];

    format_size(size, sizeof size, info->block_count * info->block_size);
    log_info(disk->name, "%s in blocks of %u%s%s%s%s%s%s%s", size, info->block_size,
             info->read_only ? ", read-only" : "", info->write_cache ? ", with a write cache" : "",
             info->can_discard ? ", can discard" : "", info->model[0] != '\0' ? ", model " : "", info->model,
             info->serial[0] != '\0' ? ", serial " : "", info->serial);
}

/* ---- Units ------------------------------------------------------------------------------------------- */

/* Vendor and product of standard INQUIRY data [SPC-4 §6.6.2], with one space between them. */
static void take_model(char model[41], const uint8_t *inquiry)
{
    char vendor[9], product[17];

    text_sanitise(vendor, inquiry + 8, 8);
    text_sanitise(product, inquiry + 16, 16);
    snprintf(model, 41, "%s%s%s", vendor, vendor[0] != '\0' && product[0] != '\0' ? " " : "", product);
}

static enum status wait_ready(struct virtio_scsi *scsi, struct scsi_disk *disk)
{
    static const uint8_t cdb[LARGEST_CDB] = {TEST_UNIT_READY};
    struct scsi_outcome outcome;
    uint32_t filled;
    char why[80];
    enum status status = scsi_ask(scsi, place_of(disk), cdb, 0, &filled, &outcome);

    if (status != STATUS_OK && !is_fatal(status)) {
        scsi_describe(why, sizeof why, &outcome);
        log_warn(disk->name, "is not ready and not used: %s", why);
    }
    return status;
}

static enum status learn(struct virtio_scsi *scsi, struct scsi_disk *disk)
{
    bool provisioned = false;
    enum status status = wait_ready(scsi, disk);

    if (status == STATUS_OK)
        status = read_capacity(scsi, disk, &provisioned);
    if (status != STATUS_OK)
        return status;
    struct block_info *info = &disk->block.info;
    if (scsi->max_bytes < info->block_size ||
        (uint64_t)scsi->transfers.most_parts * scsi->transfers.most_part_size < info->block_size) {
        log_warn(disk->name, "has blocks of %u bytes, and the host takes less at once; it is not used",
                 info->block_size);
        return STATUS_UNSUPPORTED;
    }
    disk->most_blocks = scsi->max_bytes / info->block_size;
    info->queue_depth = virtqueue_size(scsi->transfers.queue);
    status = read_mode(scsi, disk);
    if (status == STATUS_OK)
        status = read_pages(scsi, disk, provisioned);
    return status;
}

/* Asks one unit what it is. Fails only when the device does not answer any more. */
static enum status look_at_unit(struct virtio_scsi *scsi, struct scsi_place place)
{
    enum { STANDARD = 36 };
    uint8_t cdb[LARGEST_CDB] = {INQUIRY, 0, 0, 0, STANDARD}, inquiry[STANDARD];
    struct scsi_outcome outcome;
    uint32_t filled;
    enum status status = scsi_ask(scsi, place, cdb, STANDARD, &filled, &outcome);

    if (status != STATUS_OK || filled == 0)
        return is_fatal(status) ? status : STATUS_OK;
    memcpy(inquiry, scsi_scratch(scsi), sizeof inquiry); /* zero where nothing was filled */
    if (inquiry[0] >> 5 != 0)
        return STATUS_OK; /* nothing is there [SPC-4 §6.6.2] */
    const char *host = device_name(scsi->virtio.device);
    if (inquiry[0] != 0) {
        log_info(host, "target %u unit %u is %s (type %u) and not used", place.target, place.lun,
                 (inquiry[0] & 0x1f) == 5 ? "a CD or DVD drive" : "no disk", inquiry[0] & 0x1f);
        return STATUS_OK;
    }
    struct scsi_disk *disk = calloc(1, sizeof *disk);
    if (disk == NULL) {
        log_error(host, "no memory for target %u unit %u; it is not used", place.target, place.lun);
        return STATUS_OK;
    }
    disk->scsi = scsi;
    disk->target = place.target;
    disk->lun = place.lun;
    snprintf(disk->name, sizeof disk->name, "%s.%u.%u", host, place.target, place.lun);
    disk->block = (struct block_device){.ops = &scsi_disk_ops, .driver = disk, .name = disk->name};
    take_model(disk->block.info.model, inquiry);
    status = learn(scsi, disk);
    if (status != STATUS_OK) {
        free(disk);
        return is_fatal(status) ? status : STATUS_OK;
    }
    struct scsi_disk **end = &scsi->disks;
    while (*end != NULL)
        end = &(*end)->next;
    *end = disk;
    scsi->disk_count++;
    return STATUS_OK;
}

/* A logical unit number of one level [SAM-5 §4.7]; false: another form, or beyond what the device says. */
static bool read_lun(const struct virtio_scsi *scsi, const uint8_t bytes[8], uint16_t *lun)
{
    uint32_t rest = load_be32(bytes + 2) | load_be16(bytes + 6);

    *lun = (uint16_t)(load_be16(bytes) & 0x3fff);
    return rest == 0 && (bytes[0] == 0 || bytes[0] >> 6 == 1) && *lun <= scsi->max_lun;
}

/* The units of a target, each once; unit 0 when it does not tell. Gives how many. */
static enum status list_units(struct virtio_scsi *scsi, uint8_t target, uint16_t units[MAX_UNITS], unsigned *count)
{
    enum { HEAD = 8, EACH = 8, BYTES = HEAD + MAX_UNITS * EACH };
    uint8_t cdb[LARGEST_CDB] = {REPORT_LUNS}, list[BYTES];
    struct scsi_outcome outcome;
    uint32_t filled;

    store_be32(cdb + 6, BYTES);
    *count = 0;
    enum status status = scsi_ask(scsi, (struct scsi_place){target, 0}, cdb, BYTES, &filled, &outcome);
    if (status == STATUS_UNSUPPORTED) {
        units[(*count)++] = 0;
        return STATUS_OK;
    }
    if (status != STATUS_OK || filled < HEAD)
        return is_fatal(status) ? status : STATUS_OK;
    memcpy(list, scsi_scratch(scsi), sizeof list);
    uint32_t length = load_be32(list);
    if (length > BYTES - HEAD)
        log_warn(device_name(scsi->virtio.device), "target %u claims %u units; the first %u are looked at", target,
                 length / EACH, MAX_UNITS);
    for (uint32_t at = HEAD; at + EACH <= filled && at - HEAD + EACH <= length; at += EACH) {
        uint16_t lun;
        bool known = !read_lun(scsi, list + at, &lun);
        for (unsigned i = 0; i < *count; i++)
            known |= units[i] == lun;
        if (!known)
            units[(*count)++] = lun;
    }
    return STATUS_OK;
}

/* One block of zeroes serves every disk that has WRITE SAME. */
static void prepare_zeroes(struct virtio_scsi *scsi)
{
    uint32_t size = 0;

    for (struct scsi_disk *disk = scsi->disks; disk != NULL; disk = disk->next)
        if (disk->block.info.can_write_zeroes && disk->block.info.block_size > size)
            size = disk->block.info.block_size;
    if (size == 0 || dma_allocate(scsi->virtio.device, size, 64, &scsi->zeroes) == STATUS_OK)
        return;
    for (struct scsi_disk *disk = scsi->disks; disk != NULL; disk = disk->next)
        disk->block.info.can_write_zeroes = false;
}

enum status scsi_scan(struct virtio_scsi *scsi)
{
    const char *host = device_name(scsi->virtio.device);
    uint64_t deadline = scsi->scan_deadline_ns = clock_now() + SCAN_SECONDS * NANOSECONDS_PER_SECOND;
    enum status status = STATUS_OK;
    bool late = false;

    for (unsigned target = 0; target < MAX_TARGETS && target <= scsi->max_target && !late; target++) {
        uint16_t units[MAX_UNITS];
        unsigned count;
        status = list_units(scsi, (uint8_t)target, units, &count);
        for (unsigned i = 0; status == STATUS_OK && i < count && !late; i++) {
            late = scsi->disk_count == MAX_DISKS || clock_now() >= deadline;
            if (!late)
                status = look_at_unit(scsi, (struct scsi_place){(uint8_t)target, units[i]});
        }
        if (status != STATUS_OK)
            return status;
        late |= clock_now() >= deadline;
    }
    if (late)
        log_warn(host, "has more to look at than fits into %u s or %u disks; the rest is not used", SCAN_SECONDS,
                 MAX_DISKS);
    if (scsi->disks == NULL)
        log_info(host, "has no disk");
    prepare_zeroes(scsi);
    for (const struct scsi_disk *disk = scsi->disks; disk != NULL; disk = disk->next)
        describe(disk);
    return STATUS_OK;
}
