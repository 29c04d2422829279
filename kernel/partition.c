/* partition.c: see partition.h. */
#include "partition.h"

#include "kernel.h"

#include <authority/device.h>
#include <lib/log.h>
#include <lib/malloc.h>
#include <lib/string.h>
#include <lib/text.h>
#include <platform/clock.h>

enum { READ_SECONDS = 40, LINE_WIDTH = 80, SUMMARY_SIZE = 240 };

/* A disk in one ownership epoch, as it was found. */
struct disk {
    struct block_device *block; /* only to be touched while the epoch lasts */
    struct device *device;
    uint32_t epoch;
    enum gpt_kind kind;
    bool looked_at, from_backup;
    char name[PARTITION_NAME_SIZE];
    struct partition *partitions;
    struct disk *next;
};

static struct disk *disks;     /* newest first; those whose epoch has ended are taken out when others are looked for */
static struct partition *gone; /* of disks that are; clients may hold them */
static unsigned publications_seen;
static bool scanning;

/* Requests that never reached a disk. */
static struct block_request *refused, **refused_end = &refused;

static bool is_alive(const struct device *device, uint32_t epoch)
{
    return device->running && ownership_admits(&device->ownership, epoch) == STATUS_OK;
}

/* ---- Requests ---------------------------------------------------------------------------------------- */

static void refuse(struct block_request *request, enum status status)
{
    request->status = status;
    request->next = NULL;
    *refused_end = request;
    refused_end = &request->next;
}

/* Those until now: what a client submits from its `done` is told of another time. */
static bool tell_refused(void)
{
    struct block_request *request = refused, *next;
    bool any = request != NULL;

    refused = NULL;
    refused_end = &refused;
    for (; request != NULL; request = next) {
        next = request->next;
        request->done(request);
    }
    return any;
}

/* Runs of good requests go to the disk together, so that it still rings once for a batch. */
static unsigned partition_submit(void *driver, struct block_request *const requests[], unsigned count)
{
    struct partition *partition = driver;
    enum status alive = authority_check(partition->device, partition->epoch), status = STATUS_OK;
    unsigned done = 0;

    while (done < count) {
        unsigned run = 0;
        for (; done + run < count; run++) {
            struct block_request *request = requests[done + run];
            request->offset = 0; /* it may come back from an earlier time */
            status = alive != STATUS_OK ? alive : block_request_check(&partition->block.info, request);
            if (status != STATUS_OK)
                break;
            request->offset = partition->first_block;
        }
        unsigned taken = run == 0 ? 0 : partition->disk->ops->submit(partition->disk->driver, requests + done, run);
        done += taken;
        if (taken < run)
            break;
        if (done < count)
            refuse(requests[done++], status);
    }
    return done;
}

static void partition_poll(void *driver)
{
    struct partition *partition = driver;

    if (authority_check(partition->device, partition->epoch) == STATUS_OK)
        partition->disk->ops->poll(partition->disk->driver);
    tell_refused();
}

static const struct block_ops partition_ops = {.submit = partition_submit, .poll = partition_poll};

/* ---- Reading a table ------------------------------------------------------------------------------------ */

struct reading {
    struct block_request request;
    struct memory_ref segment;
    void *memory;
    volatile bool done;
    bool late; /* nobody waits any more */
    struct reading *next;
};

/* Late ones that have ended. They are freed later than they end: one that ends because its driver is stopped, before
 * it is known whether the device has let go of the memory. */
static struct reading *ended_late;

static void reading_free(struct reading *reading)
{
    free(reading->memory);
    free(reading);
}

static void read_done(struct block_request *request)
{
    struct reading *reading = request->client;

    reading->done = true;
    if (reading->late) {
        reading->next = ended_late;
        ended_late = reading;
    }
}

static bool is_read(void *context)
{
    return ((const struct reading *)context)->done;
}

/* The device reads into memory that is given up to it when it does not come back: a late answer must not hit another's.
 */
static bool read_blocks(void *context, uint64_t first_block, uint32_t count, void *to)
{
    const struct disk *disk = context;
    struct reading *reading = is_alive(disk->device, disk->epoch) ? calloc(1, sizeof *reading) : NULL;

    if (reading == NULL)
        return false;
    uint64_t size = (uint64_t)count * disk->block->info.block_size;
    reading->memory = aligned_alloc(64, size);
    reading->segment = (struct memory_ref){.offset = (uintptr_t)reading->memory, .length = size};
    reading->request = (struct block_request){.operation = BLOCK_READ,
                                              .first_block = first_block,
                                              .block_count = count,
                                              .segments = &reading->segment,
                                              .segment_count = 1,
                                              .done = read_done,
                                              .client = reading};
    struct block_request *request = &reading->request;
    bool taken = reading->memory != NULL && disk->block->ops->submit(disk->block->driver, &request, 1) == 1;
    if (taken && !kernel_wait(is_read, reading, clock_now() + READ_SECONDS * NANOSECONDS_PER_SECOND)) {
        log_warn(disk->name, "a read of its partition table was not answered within %u s", READ_SECONDS);
        reading->late = true;
        return false;
    }
    bool good = taken && reading->request.status == STATUS_OK;
    if (good)
        memcpy(to, reading->memory, size);
    reading_free(reading);
    return good;
}

/* ---- What was found --------------------------------------------------------------------------------------- */

static void describe_partition(const struct partition *partition, char *to, size_t size)
{
    const struct gpt_partition *entry = &partition->entry;
    char guid[GPT_GUID_TEXT_SIZE];
    const char *type = gpt_type_name(entry->type), *quote = entry->name[0] != '\0' ? "\"" : "";

    gpt_guid_text(entry->type, guid);
    snprintf(to, size, "%s%s%s%s%s", type != NULL ? type : guid, *quote != '\0' ? " " : "", quote, entry->name, quote);
}

/* Partitions seldom have round sizes: a size of many MiB or KiB is given in whole ones. */
static void partition_size(const struct partition *partition, char *to, size_t size)
{
    enum { KIB = 1 << 10, MIB = 1 << 20, MANY = 16 };
    uint64_t bytes = partition->block.info.block_count * partition->block.info.block_size;

    format_size(to, size, bytes - bytes % (bytes >= MANY * MIB ? MIB : bytes >= MANY * KIB ? KIB : 1));
}

static void say_partitions(const struct disk *disk, unsigned count)
{
    char text[SUMMARY_SIZE], size[24], what[96];
    size_t used = 0;

    text[0] = '\0';
    for (const struct partition *at = disk->partitions; at != NULL; at = at->next) {
        partition_size(at, size, sizeof size);
        describe_partition(at, what, sizeof what);
        int length = snprintf(text + used, sizeof text - used, "%s p%u %s %s", used == 0 ? ":" : ",", at->entry.number,
                              size, what);
        if (length < 0 || (size_t)length >= sizeof text - used) {
            snprintf(text + used, sizeof text - used, ", ...");
            break;
        }
        used += (size_t)length;
    }
    log_info(disk->name, "GPT, %u partition%s%s", count, count == 1 ? "" : "s", text);
}

static void say_table(const struct disk *disk, const struct gpt *gpt)
{
    if (gpt->kind == GPT_MBR)
        log_info(disk->name, "has a partition table of the old kind (MBR); its partitions are not used");
    else if (gpt->kind == GPT_UNREADABLE)
        log_warn(disk->name, "its first block cannot be read; partitions are not looked for");
    else if (gpt->kind == GPT_DAMAGED)
        log_warn(disk->name, "its partition table is damaged and so is the backup; primary: %s; backup: %s",
                 gpt->primary_wrong, gpt->backup_wrong);
    if (gpt->from_backup)
        log_warn(disk->name, "its partition table is damaged: %s; the backup is used", gpt->primary_wrong);
    if (gpt->refused != 0)
        log_warn(disk->name, "partition %u %s and is not used%s", gpt->refused_number, gpt->refused_why,
                 gpt->refused > 1 ? ", nor are others" : "");
}

static void add_partitions(struct disk *disk, const struct gpt *gpt, const struct block_info *info)
{
    struct partition **end = &disk->partitions;

    for (unsigned i = 0; i < gpt->count; i++) {
        struct partition *partition = calloc(1, sizeof *partition);
        if (partition == NULL) {
            log_warn(disk->name, "no memory for more than %u partitions; the rest is not used", i);
            break;
        }
        partition->disk = disk->block;
        partition->device = disk->device;
        partition->epoch = disk->epoch;
        partition->entry = gpt->partitions[i];
        partition->first_block = partition->entry.first_block;
        snprintf(partition->name, sizeof partition->name, "%sp%u", disk->name, partition->entry.number);
        partition->block =
            (struct block_device){.ops = &partition_ops, .driver = partition, .name = partition->name, .info = *info};
        partition->block.info.block_count = partition->entry.block_count;
        *end = partition;
        end = &partition->next;
    }
}

/* False only when there is no memory to look at anything. */
static bool look_at(struct device *device, struct block_device *block)
{
    struct disk *disk = calloc(1, sizeof *disk);
    struct gpt gpt;

    if (disk == NULL)
        return false;
    *disk = (struct disk){.block = block, .device = device, .epoch = device->ownership.epoch, .next = disks};
    text_copy(disk->name, block->name, sizeof disk->name);
    disks = disk;
    struct block_info info = block->info; /* the disk may be gone before its table is read */
    const struct gpt_disk from = {
        .read = read_blocks, .context = disk, .block_count = info.block_count, .block_size = info.block_size};
    if (!gpt_read(&from, &gpt)) {
        log_warn(disk->name, "no memory to read its partition table");
    } else if (is_alive(device, disk->epoch)) {
        disk->kind = gpt.kind;
        disk->from_backup = gpt.from_backup;
        disk->looked_at = true;
        say_table(disk, &gpt);
        add_partitions(disk, &gpt, &info);
        if (gpt.kind == GPT_TABLE)
            say_partitions(disk, gpt.count);
    }
    gpt_free(&gpt);
    return true;
}

static struct disk *find(const struct block_device *block)
{
    struct disk *disk = disks;

    while (disk != NULL && !(disk->block == block && is_alive(disk->device, disk->epoch)))
        disk = disk->next;
    return disk;
}

static void forget_dead(void)
{
    for (struct disk **at = &disks; *at != NULL;) {
        struct disk *disk = *at;
        if (is_alive(disk->device, disk->epoch)) {
            at = &disk->next;
        } else {
            struct partition **end = &disk->partitions;
            while (*end != NULL)
                end = &(*end)->next;
            *end = gone;
            gone = disk->partitions;
            *at = disk->next;
            free(disk);
        }
    }
}

/* One that nobody has looked at. Drivers run while a table is read, so that lists are not kept over it. */
static bool look_at_next(void)
{
    for (struct device *device = device_first(); device != NULL; device = device->next)
        for (struct block_device *block = device->running ? device->blocks : NULL; block != NULL; block = block->next)
            if (find(block) == NULL)
                return look_at(device, block);
    return false;
}

void partitions_scan(void)
{
    if (scanning)
        return;
    scanning = true;
    forget_dead();
    do
        publications_seen = devices_publications();
    while (look_at_next());
    scanning = false;
}

bool partitions_dispatch(void)
{
    bool any = tell_refused();

    while (ended_late != NULL) {
        struct reading *reading = ended_late;
        ended_late = reading->next;
        reading_free(reading);
    }
    if (publications_seen != devices_publications() && !scanning) {
        partitions_scan();
        any = true;
    }
    return any;
}

struct partition *partitions_of(const struct block_device *block)
{
    const struct disk *disk = find(block);

    return disk != NULL ? disk->partitions : NULL;
}

bool disk_has_table(const struct block_device *block)
{
    const struct disk *disk = find(block);

    return disk == NULL || !disk->looked_at || disk->kind != GPT_NOTHING;
}

/* By name, or itself. */
static bool is_it(const struct block_device *at, const struct block_device *wanted, const char *name, size_t length)
{
    return name == NULL ? at == wanted : strlen(at->name) == length && memcmp(at->name, name, length) == 0;
}

static struct block_device *look_up(const struct block_device *wanted, const char *name, size_t length)
{
    for (const struct device *device = device_first(); device != NULL; device = device->next)
        for (struct block_device *block = device->blocks; block != NULL; block = block->next) {
            if (is_it(block, wanted, name, length))
                return block;
            for (struct partition *at = partitions_of(block); at != NULL; at = at->next)
                if (is_it(&at->block, wanted, name, length))
                    return &at->block;
        }
    return NULL;
}

struct block_device *block_find(const char *name, size_t length)
{
    return look_up(NULL, name, length);
}

bool block_is_published(const struct block_device *block)
{
    return look_up(block, NULL, 0) != NULL;
}

/* ---- Report --------------------------------------------------------------------------------------------- */

static void print_row(struct printer *printer, const char *name, const char *size, const char *block, const char *what)
{
    char line[LINE_WIDTH]; /* cut there */

    snprintf(line, sizeof line, "%-26s %9s %6s  %s", name, size, block, what);
    print(printer, "%s\n", line);
}

static void report_disk(struct printer *printer, const struct block_device *block)
{
    static const char *const tables[] = {"no partition table", "MBR", "GPT", "damaged partition table", "unreadable"};
    const struct disk *disk = find(block);
    char size[24], unit[16], what[128], name[PARTITION_NAME_SIZE + 1];

    format_size(size, sizeof size, block->info.block_count * block->info.block_size);
    snprintf(unit, sizeof unit, "%u", block->info.block_size);
    snprintf(what, sizeof what, "%s%s%s%s%s", disk == NULL || !disk->looked_at ? "not looked at" : tables[disk->kind],
             disk != NULL && disk->from_backup ? " (the backup)" : "", block->info.read_only ? ", read-only" : "",
             block->info.serial[0] != '\0' ? ", serial " : "", block->info.serial);
    print_row(printer, block->name, size, unit, what);
    for (const struct partition *at = disk != NULL ? disk->partitions : NULL; at != NULL; at = at->next) {
        partition_size(at, size, sizeof size);
        describe_partition(at, what, sizeof what);
        snprintf(name, sizeof name, " %s", at->name);
        print_row(printer, name, size, "", what);
    }
}

void disks_report(struct printer *printer)
{
    bool any = false;

    for (const struct device *device = device_first(); device != NULL; device = device->next)
        for (const struct block_device *block = device->blocks; block != NULL; block = block->next) {
            if (!any)
                print_row(printer, "DISK", "SIZE", "BLOCK", "WHAT IS ON IT");
            any = true;
            report_disk(printer, block);
        }
    if (!any)
        print(printer, "this machine has no disk that vmos can use\n");
}
