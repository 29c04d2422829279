/*
 * namespace.c: namespaces, which are the disks: nvme0n1 is namespace 1 of controller nvme0.
 */
#include "nvme.h"

enum { SMALLEST_EXPONENT = 9, LARGEST_EXPONENT = 12, LIST_ENTRIES = NVME_PAGE / 4 };

static struct nvme_namespace *find(const struct nvme *nvme, uint32_t id)
{
    struct nvme_namespace *disk = nvme->namespaces;

    while (disk != NULL && disk->id != id)
        disk = disk->next;
    return disk;
}

/* ---- What a namespace is ------------------------------------------------------------------------------------ */

/* Why the namespace cannot be used, or NULL; else fills in its sizes. `data` is copied already. */
static const char *read_format(const uint8_t *data, struct block_info *info, char *text, size_t size)
{
    unsigned in_use = (data[NVME_NS_FORMAT] & 15u) | (data[NVME_NS_FORMAT] >> 1 & 0x30u);

    if (in_use > data[NVME_NS_FORMATS] || in_use >= 64) {
        snprintf(text, size, "uses format %u of %u", in_use, data[NVME_NS_FORMATS] + 1u);
        return text;
    }
    uint32_t format = load_le32(data + NVME_NS_FORMAT_TABLE + 4 * (size_t)in_use);
    unsigned exponent = format >> 16 & 0xff;
    if ((format & 0xffff) != 0 || (data[NVME_NS_PROTECTION] & 7) != 0) {
        snprintf(text, size, "has %u bytes of metadata with each block%s", format & 0xffff,
                 (data[NVME_NS_PROTECTION] & 7) != 0 ? " and protection information" : "");
        return text;
    }
    if (exponent < SMALLEST_EXPONENT || exponent > LARGEST_EXPONENT) {
        snprintf(text, size, "has blocks of 2^%u bytes", exponent);
        return text;
    }
    info->block_count = load_le64(data + NVME_NS_SIZE);
    info->block_size = info->physical_block_size = 1u << exponent;
    if (info->block_count == 0)
        return "has no blocks";
    if (info->block_count > UINT64_MAX >> exponent)
        info->block_count = UINT64_MAX >> exponent; /* bytes that addresses can say */
    return NULL;
}

/* What the disk says about the best sizes; nothing depends on it. */
static void read_hints(const uint8_t *data, struct block_info *info)
{
    enum { SIZES_VALID = 1 << 4 };
    uint32_t granularity = load_le16(data + NVME_NS_NPWG) + 1u, best = load_le16(data + NVME_NS_NOWS) + 1u;

    if ((data[NVME_NS_FEATURES] & SIZES_VALID) == 0)
        return;
    if (is_power_of_two(granularity))
        info->physical_block_size = granularity * info->block_size;
    if (best > 1)
        info->optimal_transfer = best * info->block_size;
}

static void read_abilities(const struct nvme *nvme, const uint8_t *data, struct block_info *info)
{
    const struct nvme_identity *identity = &nvme->identity;
    unsigned depth = 0;

    for (unsigned i = 0; i < nvme->queue_count; i++)
        depth += nvme->queues[i].entries - 1u;
    info->queue_depth = depth;
    info->read_only = (data[NVME_NS_ATTRIBUTES] & 1) != 0;
    info->write_cache = identity->write_cache;
    info->can_force_unit_access = true;
    info->can_discard = !info->read_only && (identity->optional & NVME_ONCS_DATASET) != 0;
    info->can_write_zeroes = !info->read_only && (identity->optional & NVME_ONCS_WRITE_ZEROES) != 0;
    info->max_discard_blocks = info->can_discard ? identity->most_discard_blocks : 0;
    text_copy(info->serial, identity->serial, sizeof info->serial);
    text_copy(info->model, identity->model, sizeof info->model);
}

static void describe(const struct nvme_namespace *disk)
{
    const struct block_info *info = &disk->block.info;
    char size[24];

    format_size(size, sizeof size, info->block_count * info->block_size);
    log_info(disk->name, "%s in blocks of %u%s%s%s", size, info->block_size, info->read_only ? ", read-only" : "",
             info->write_cache ? ", with a write cache" : "", info->can_discard ? ", can discard" : "");
}

/* ---- Coming, changing, going -------------------------------------------------------------------------------- */

static enum status add(struct nvme *nvme, uint32_t id, const struct block_info *info)
{
    struct nvme_namespace *disk, **end = &nvme->namespaces;

    if (nvme->namespace_count == NVME_MAX_NAMESPACES) {
        log_warn(nvme->name, "has more than %u namespaces; namespace %u is not used", NVME_MAX_NAMESPACES, id);
        return STATUS_LIMIT;
    }
    if ((disk = calloc(1, sizeof *disk)) == NULL)
        return STATUS_NO_MEMORY;
    disk->nvme = nvme;
    disk->id = id;
    snprintf(disk->name, sizeof disk->name, "%sn%u", nvme->name, id);
    disk->block = (struct block_device){.ops = &nvme_block_ops, .driver = disk, .name = disk->name, .info = *info};
    while (*end != NULL)
        end = &(*end)->next;
    *end = disk;
    nvme->namespace_count++;
    describe(disk);
    return device_publish_block(nvme->device, &disk->block);
}

/* A client holds on to what it was told: a disk that is another one now answers out of range to everything. */
static void change(struct nvme_namespace *disk, const struct block_info *info, const char *wrong)
{
    struct block_info *now = &disk->block.info;
    uint64_t before = now->block_count;

    if (wrong == NULL && info->block_size != now->block_size)
        wrong = "was formatted anew";
    if (wrong != NULL) {
        now->block_count = 0;
        if (before != 0)
            log_warn(disk->name, "%s; it is not used any more", wrong);
        return;
    }
    *now = *info;
    if (before != info->block_count)
        log_info(disk->name, "now has %llu blocks and had %llu", (unsigned long long)info->block_count,
                 (unsigned long long)before);
}

static enum status look_at(struct nvme *nvme, uint32_t id)
{
    struct nvme_namespace *known = find(nvme, id);
    struct block_info info = {0};
    char text[80];
    enum status status = nvme_identify(nvme, NVME_IDENTIFY_NAMESPACE, id, "identify namespace");

    if (status != STATUS_OK)
        return status;
    const uint8_t *data = nvme->scratch.memory;
    const char *wrong = read_format(data, &info, text, sizeof text);
    if (wrong == NULL) {
        read_hints(data, &info);
        read_abilities(nvme, data, &info);
    }
    if (known != NULL)
        change(known, &info, wrong);
    else if (wrong == NULL)
        return add(nvme, id, &info);
    else if (load_le64(data + NVME_NS_SIZE) != 0)
        log_warn(nvme->name, "namespace %u %s; it is not used", id, wrong);
    return STATUS_OK;
}

/* ---- All of them -------------------------------------------------------------------------------------------- */

/* Fills `list` with up to `capacity` identifiers, ascending. A controller older than 1.1 has no list of those that
 * are active: there every identifier is asked, and one without blocks is none. */
static unsigned list_active(struct nvme *nvme, uint32_t *list, unsigned capacity)
{
    unsigned count = 0;

    if (nvme->version >= NVME_VERSION(1, 1) &&
        nvme_identify(nvme, NVME_IDENTIFY_ACTIVE, 0, "list namespaces from") == STATUS_OK) {
        const uint8_t *data = nvme->scratch.memory;
        uint32_t before = 0;
        for (unsigned i = 0; i < LIST_ENTRIES && count < capacity; i++) {
            uint32_t id = load_le32(data + 4 * (size_t)i);
            if (id <= before || id >= 0xfffffffe) /* the end, or nonsense */
                break;
            list[count++] = before = id;
        }
        return count;
    }
    while (!nvme->silent && count < capacity && count < nvme->identity.namespace_limit) {
        list[count] = count + 1;
        count++;
    }
    return count;
}

enum status nvme_namespaces_find(struct nvme *nvme)
{
    uint32_t list[NVME_MAX_NAMESPACES + 1]; /* one more, to say that there is one */
    unsigned count = list_active(nvme, list, sizeof list / sizeof list[0]);

    for (unsigned i = 0; i < count && !nvme->silent; i++)
        look_at(nvme, list[i]);
    if (nvme->silent)
        return STATUS_TIMED_OUT;
    for (struct nvme_namespace *disk = nvme->namespaces; disk != NULL; disk = disk->next) {
        bool listed = false;
        for (unsigned i = 0; i < count; i++)
            listed |= list[i] == disk->id;
        if (!listed)
            change(disk, &disk->block.info, "is gone");
    }
    return STATUS_OK;
}

void nvme_namespaces_free(struct nvme *nvme)
{
    while (nvme->namespaces != NULL) {
        struct nvme_namespace *disk = nvme->namespaces;
        nvme->namespaces = disk->next;
        free(disk);
    }
}
