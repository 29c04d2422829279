/*
 * its.c: LPIs and the Interrupt Translation Service [Arm GICv3 and GICv4 IHI 0069 §5, §12.19]
 * (QEMU: -M virt,gic-version=3; its=off takes it away).
 *
 * A device writes an event number to the ITS; the pair of device and event is looked up in tables in memory, which are
 * the ITS's own and are changed by commands, and becomes an LPI of a collection. There is a collection for each CPU, of
 * the CPU's index; LPIs begin in the boot CPU's. Another CPU's is set up when the first LPI is moved there.
 *
 * Most machines that have an ITS boot without anybody asking for a message, so nothing is touched before. Once
 * started, a unit stays; a unit that misses a deadline is given up, with what was routed through it.
 */
#include "gic.h"
#include "local.h"

#include <lib/bytes.h>
#include <lib/log.h>
#include <lib/malloc.h>
#include <lib/string.h>
#include <platform/mmu.h>

/* ---- Registers -------------------------------------------------------------------------------------- */

enum {
    GICD_TYPER_LPIS = 1 << 17,

    GICR_CTLR = 0x00, /* 32 */
    GICR_CTLR_ENABLE_LPIS = 1 << 0,
    GICR_TYPER_PHYSICAL_LPIS = 1 << 0,
    GICR_PROPBASER = 0x70, /* 64 */
    GICR_PENDBASER = 0x78, /* 64 */

    GITS_CTLR = 0x00, /* 32 */
    GITS_CTLR_ENABLED = 1 << 0,
    GITS_TYPER = 0x08,   /* 64 */
    GITS_CBASER = 0x80,  /* 64 */
    GITS_CWRITER = 0x88, /* 64 */
    GITS_CREADR = 0x90,  /* 64 */
    GITS_CREADR_STALLED = 1 << 0,
    GITS_BASER = 0x100, /* 64, eight of them */
    GITS_BASER_COUNT = 8,
    GITS_BASER_DEVICES = 1,
    GITS_BASER_COLLECTIONS = 4,
    GITS_SIZE = 0x10000,
    GITS_TRANSLATER = 0x10040,
};

#define GITS_CTLR_QUIESCENT    (UINT32_C(1) << 31)
#define GITS_TYPER_PHYSICAL_ID (UINT64_C(1) << 19) /* PTA: a redistributor is named by its address */

/* GITS_BASER and GITS_CBASER */
#define BASE_VALID           (UINT64_C(1) << 63)
#define BASE_INDIRECT        (UINT64_C(1) << 62)
#define BASE_CACHED          (UINT64_C(7) << 59 | UINT64_C(7) << 53)
#define BASE_UNCACHED        (UINT64_C(1) << 59)
#define BASE_SHAREABLE       (UINT64_C(1) << 10)
#define BASE_SHARE_MASK      (UINT64_C(3) << 10)
#define BASE_PAGE_SIZE_SHIFT 8
#define ENTRY_VALID          (UINT64_C(1) << 63)

/* GICR_PROPBASER and GICR_PENDBASER */
#define LPI_CACHED       (UINT64_C(7) << 7 | UINT64_C(7) << 56)
#define LPI_UNCACHED     (UINT64_C(1) << 7)
#define LPI_PENDING_ZERO (UINT64_C(1) << 62)

enum { /* 14 bits of INTID is the least there is: 8192 LPIs, of which INTERRUPT_MAX_ROUTES are used */
       LPI_ID_BITS = 14,
       LPI_PROPERTIES_ORDER = 1,                  /* a byte for each: 8 KiB */
       LPI_PENDING_BYTES = 1 << LPI_ID_BITS >> 3, /* a bit for each, also for those that are no LPIs */
       LPI_ENABLED = 1 << 0,

       ORDER_64_KIB = 4,
       TABLE_ORDER_MOST = 4, /* a table is at most 64 KiB; what does not fit is refused */
       ITT_ALIGNMENT = 256,
       EVENTS_MOST = 2048,   /* as many as MSI-X can have */
       EVENT_BITS_LEAST = 5, /* room for several functions behind one identifier */

       COMMAND_SIZE = 32,
       COMMAND_QUEUE_SIZE = 4096,
};

_Static_assert((1 << LPI_ID_BITS) - GIC_FIRST_LPI == 2 * PAGE_SIZE, "LPI_PROPERTIES_ORDER");
_Static_assert(INTERRUPT_MAX_ROUTES <= (1 << LPI_ID_BITS) - GIC_FIRST_LPI, "each route can be an LPI");

/* ---- State ------------------------------------------------------------------------------------------ */

struct its_device {
    struct its_device *next;
    struct its *its;
    uint32_t id;
    uint32_t event_count;
};

struct its {
    struct its *next;
    volatile void *registers;
    uint64_t physical;
    uint64_t type;            /* GITS_TYPER */
    uint64_t collections;     /* a bit for each that is mapped */
    uint32_t collection_room; /* their numbers are below this */
    uint8_t *commands;
    uint32_t written; /* offset of the next command */
    bool coherent, broken;

    uint64_t *device_table; /* NULL: the ITS needs none */
    uint32_t device_limit;  /* identifiers are below this */
    bool indirect;          /* device_table is of tables */
    uint8_t page_order;     /* of the indirect ones */
    uint32_t devices_per_page;
    struct its_device *devices;
};

static const struct machine *machine_known; /* NULL: no LPIs here */
static bool started, failed;
static bool tables_coherent;
static uint8_t *properties;
static struct its *units;

/* Which device and event each LPI is; by number - GIC_FIRST_LPI. Allocated when the first is. */
static struct lpi {
    struct its_device *device; /* NULL: free */
    uint16_t event, cpu;
} * lpis;

/* Where the next ITT can lie. */
static uint8_t *itt_next;
static size_t itt_left;

void its_init(const struct machine *machine)
{
    bool lpis_there = (register_read32(gic_distributor, GICD_TYPER) & GICD_TYPER_LPIS) != 0 &&
                      (gic_of(0)->redistributor.type & GICR_TYPER_PHYSICAL_LPIS) != 0;

    machine_known = lpis_there && machine->its_count != 0 ? machine : NULL;
}

bool its_present(void)
{
    return machine_known != NULL && !failed;
}

static void table_written(bool coherent, const void *start, size_t size)
{
    if (!coherent)
        cache_clean(start, size);
}

/* ---- LPIs ------------------------------------------------------------------------------------------- */

/* The base register with caches, or, when the redistributor does not keep the attributes, without. */
static bool write_lpi_base(volatile void *registers, uint32_t offset, uint64_t value)
{
    register_write64(registers, offset, value | LPI_CACHED | BASE_SHAREABLE);
    if ((register_read64(registers, offset) & BASE_SHARE_MASK) != 0)
        return true;
    register_write64(registers, offset, value | LPI_UNCACHED);
    return false;
}

/* LPIs for one CPU. The pending table takes 2 KiB of a page that must begin on a boundary of 64 KiB; the rest of it is
 * for ITTs. */
static bool start_lpis_of(struct redistributor *redistributor)
{
    volatile void *registers = redistributor->registers;

    if ((register_read32(registers, GICR_CTLR) & GICR_CTLR_ENABLE_LPIS) != 0) {
        log_error("its", "LPIs are on already, with tables that are not ours; devices cannot send messages");
        return false;
    }
    uint8_t *pending = pages_allocate_aligned(0, ORDER_64_KIB);
    if (pending == NULL) {
        log_error("its", "no memory for a table of pending LPIs; devices cannot send messages");
        return false;
    }
    redistributor->pending = pending;
    if (itt_left < PAGE_SIZE - LPI_PENDING_BYTES) {
        itt_next = pending + LPI_PENDING_BYTES;
        itt_left = PAGE_SIZE - LPI_PENDING_BYTES;
    }
    cache_clean(pending, LPI_PENDING_BYTES);
    tables_coherent = write_lpi_base(registers, GICR_PROPBASER, virtual_to_physical(properties) | (LPI_ID_BITS - 1)) &&
                      tables_coherent;
    write_lpi_base(registers, GICR_PENDBASER, virtual_to_physical(pending) | LPI_PENDING_ZERO);
    register_write32(registers, GICR_CTLR, register_read32(registers, GICR_CTLR) | GICR_CTLR_ENABLE_LPIS);
    arch_barrier_full();
    if ((register_read32(registers, GICR_CTLR) & GICR_CTLR_ENABLE_LPIS) == 0) {
        log_error("its", "the redistributor does not switch LPIs on; devices cannot send messages");
        return false;
    }
    return true;
}

static bool start_lpis(void)
{
    properties = pages_allocate(LPI_PROPERTIES_ORDER);
    lpis = calloc(INTERRUPT_MAX_ROUTES, sizeof *lpis);
    if (properties == NULL || lpis == NULL) {
        log_error("its", "no memory for the LPI tables; devices cannot send messages");
        return false;
    }
    memset(properties, GIC_PRIORITY, PAGE_SIZE << LPI_PROPERTIES_ORDER);
    cache_clean(properties, PAGE_SIZE << LPI_PROPERTIES_ORDER);
    tables_coherent = true;
    return start_lpis_of(&gic_of(0)->redistributor);
}

/* ---- Commands [IHI 0069 §5.3] ----------------------------------------------------------------------- */

enum command {
    COMMAND_MOVI = 0x01,
    COMMAND_SYNC = 0x05,
    COMMAND_MAPD = 0x08,
    COMMAND_MAPC = 0x09,
    COMMAND_MAPTI = 0x0a,
    COMMAND_INV = 0x0c,
    COMMAND_INVALL = 0x0d,
    COMMAND_DISCARD = 0x0f,
};

static void command_put(struct its *its, uint64_t first, uint64_t second, uint64_t third)
{
    uint64_t *place = (uint64_t *)(void *)(its->commands + its->written);

    place[0] = first;
    place[1] = second;
    place[2] = third;
    place[3] = 0;
    table_written(its->coherent, place, COMMAND_SIZE);
    its->written = (its->written + COMMAND_SIZE) % COMMAND_QUEUE_SIZE;
}

/* A CPU's redistributor as commands name it. */
static uint64_t target_of(const struct its *its, unsigned cpu)
{
    const struct redistributor *redistributor = &gic_of(cpu)->redistributor;

    return (its->type & GITS_TYPER_PHYSICAL_ID) != 0 ? redistributor->physical
                                                     : (redistributor->type >> 8 & 0xffff) << 16;
}

/* Rings for a command and the SYNC that makes it visible at that CPU, and waits for both: the queue is empty between
 * calls. */
static enum status command_run(struct its *its, const char *name, unsigned cpu, uint64_t first, uint64_t second,
                               uint64_t third)
{
    if (its->broken)
        return STATUS_DEVICE_FAULT;
    command_put(its, first, second, third);
    command_put(its, COMMAND_SYNC, 0, target_of(its, cpu));
    arch_barrier_full();
    register_write64(its->registers, GITS_CWRITER, its->written);

    struct gic_patience patience = gic_patience();
    uint64_t read;
    do {
        read = register_read64(its->registers, GITS_CREADR);
        if (read == its->written)
            return STATUS_OK;
    } while ((read & GITS_CREADR_STALLED) == 0 && gic_patient(&patience));

    its->broken = true;
    log_error("its", "%s %s (read up to 0x%llx, written up to 0x%x); the ITS at 0x%llx is given up", name,
              (read & GITS_CREADR_STALLED) != 0 ? "was refused" : "did not complete within 100 ms",
              (unsigned long long)read, its->written, (unsigned long long)its->physical);
    return STATUS_TIMED_OUT;
}

static enum status command_map_device(const struct its_device *device, unsigned event_bits, uint64_t table)
{
    return command_run(device->its, "MAPD", 0, COMMAND_MAPD | (uint64_t)device->id << 32, event_bits - 1,
                       ENTRY_VALID | table);
}

static enum status command_map_collection(struct its *its, unsigned cpu)
{
    enum status status = command_run(its, "MAPC", cpu, COMMAND_MAPC, 0, ENTRY_VALID | target_of(its, cpu) | cpu);

    if (status == STATUS_OK)
        status = command_run(its, "INVALL", cpu, COMMAND_INVALL, 0, cpu);
    if (status == STATUS_OK)
        its->collections |= UINT64_C(1) << cpu;
    return status;
}

static enum status command_event(const struct its_device *device, enum command command, const char *name, unsigned cpu,
                                 uint32_t event, uint32_t number, unsigned collection)
{
    return command_run(device->its, name, cpu, command | (uint64_t)device->id << 32, event | (uint64_t)number << 32,
                       collection);
}

/* ---- Starting a unit -------------------------------------------------------------------------------- */

static unsigned device_bits(const struct its *its)
{
    return (unsigned)(its->type >> 13 & 0x1f) + 1;
}

static unsigned event_bits(const struct its *its)
{
    return (unsigned)(its->type >> 8 & 0x1f) + 1;
}

static size_t itt_entry_size(const struct its *its)
{
    return (size_t)(its->type >> 4 & 15) + 1;
}

static unsigned order_of(uint64_t size)
{
    unsigned order = 0;

    while (PAGE_SIZE << order < size)
        order++;
    return order;
}

/* What the hardware keeps of the page size and of two levels is what it can do. */
static bool start_table(struct its *its, uint32_t offset)
{
    uint64_t found = register_read64(its->registers, offset);
    bool devices = (found >> 56 & 7) == GITS_BASER_DEVICES;
    uint64_t entry = (found >> 48 & 0x1f) + 1, wanted = entry;

    if (!devices && (found >> 56 & 7) != GITS_BASER_COLLECTIONS)
        return true;
    if (devices)
        wanted = entry << device_bits(its);
    register_write64(its->registers, offset, wanted > PAGE_SIZE ? BASE_INDIRECT : 0);
    found = register_read64(its->registers, offset);

    unsigned page_size = found >> BASE_PAGE_SIZE_SHIFT & 3, page_order = page_size < 3 ? 2 * page_size : ORDER_64_KIB;
    uint64_t page = PAGE_SIZE << page_order;
    bool indirect = (found & BASE_INDIRECT) != 0 && wanted > page;
    if (indirect)
        wanted = align_up(wanted, page) / page * sizeof(uint64_t);
    unsigned order = order_of(wanted < PAGE_SIZE << TABLE_ORDER_MOST ? wanted : PAGE_SIZE << TABLE_ORDER_MOST);
    if (order < page_order)
        order = page_order;

    void *table = pages_allocate(order);
    if (table == NULL)
        return false;
    table_written(false, table, PAGE_SIZE << order);
    uint64_t value = BASE_VALID | (indirect ? BASE_INDIRECT : 0) | virtual_to_physical(table) |
                     (uint64_t)page_size << BASE_PAGE_SIZE_SHIFT | ((1U << (order - page_order)) - 1);
    register_write64(its->registers, offset, value | BASE_CACHED | BASE_SHAREABLE);
    if ((register_read64(its->registers, offset) & BASE_SHARE_MASK) == 0) {
        its->coherent = false;
        register_write64(its->registers, offset, value | BASE_UNCACHED);
    }
    if (devices) {
        uint64_t places = (PAGE_SIZE << order) / (indirect ? sizeof(uint64_t) : entry);
        its->devices_per_page = (uint32_t)(page / entry);
        places = indirect ? places * its->devices_per_page : places;
        its->device_table = table;
        its->indirect = indirect;
        its->page_order = (uint8_t)page_order;
        its->device_limit = (uint32_t)(places < its->device_limit ? places : its->device_limit);
    } else {
        its->collection_room += (uint32_t)((PAGE_SIZE << order) / entry);
    }
    return true;
}

/* The queue must begin on a boundary of 64 KiB. */
static bool start_queue(struct its *its)
{
    its->commands = pages_allocate_aligned(0, ORDER_64_KIB);
    if (its->commands == NULL)
        return false;

    uint64_t value = BASE_VALID | virtual_to_physical(its->commands);
    register_write64(its->registers, GITS_CBASER, value | BASE_CACHED | BASE_SHAREABLE);
    if ((register_read64(its->registers, GITS_CBASER) & BASE_SHARE_MASK) == 0) {
        its->coherent = false;
        register_write64(its->registers, GITS_CBASER, value | BASE_UNCACHED);
    }
    register_write64(its->registers, GITS_CWRITER, 0);
    return true;
}

static bool start_unit(struct its *its)
{
    its->registers = gic_map(its->physical, GITS_SIZE, "ITS");
    if (its->registers == NULL)
        return false;
    register_write32(its->registers, GITS_CTLR, 0);
    if (!gic_wait(its->registers, GITS_CTLR, GITS_CTLR_QUIESCENT, GITS_CTLR_QUIESCENT)) {
        log_error("its", "the ITS at 0x%llx did not come to rest within 100 ms; it is not used",
                  (unsigned long long)its->physical);
        return false;
    }
    its->type = register_read64(its->registers, GITS_TYPER);
    its->collection_room = its->type >> 24 & 0xff; /* HCC: those that need no table */
    its->coherent = true;
    its->device_limit = device_bits(its) < 32 ? UINT32_C(1) << device_bits(its) : UINT32_MAX;

    bool memory = start_queue(its);
    for (unsigned i = 0; i < GITS_BASER_COUNT && memory; i++)
        memory = start_table(its, GITS_BASER + 8 * i);
    if (!memory) {
        log_error("its", "no memory for the tables of the ITS at 0x%llx", (unsigned long long)its->physical);
        return false;
    }
    register_write32(its->registers, GITS_CTLR, GITS_CTLR_ENABLED);
    return command_map_collection(its, 0) == STATUS_OK;
}

/* The unit at this place, started when it is the first time. A unit that cannot be used is kept, too. */
static struct its *unit_at(uint64_t physical)
{
    struct its *its;

    for (its = units; its != NULL; its = its->next)
        if (its->physical == physical)
            return its->broken ? NULL : its;
    if (!started) {
        started = true;
        failed = !start_lpis();
    }
    its = failed ? NULL : calloc(1, sizeof *its);
    if (its == NULL)
        return NULL;
    its->physical = physical;
    its->next = units;
    units = its;
    its->broken = !start_unit(its) || its->broken;
    return its->broken ? NULL : its;
}

/* ---- Devices and events ----------------------------------------------------------------------------- */

static uint8_t *itt_allocate(size_t size)
{
    size = align_up(size, ITT_ALIGNMENT);
    if (size > itt_left) {
        size_t order = order_of(size);
        uint8_t *pages = pages_allocate((unsigned)order);
        if (pages == NULL)
            return NULL;
        itt_next = pages;
        itt_left = PAGE_SIZE << order;
        cache_clean(pages, itt_left);
    }
    uint8_t *itt = itt_next;
    itt_next += size;
    itt_left -= size;
    return itt;
}

/* The table of tables gets one for this device's neighbourhood. */
static bool cover_device(struct its *its, uint32_t id)
{
    if (!its->indirect)
        return true;

    uint64_t *entry = &its->device_table[id / its->devices_per_page];
    if ((*entry & ENTRY_VALID) != 0)
        return true;
    void *table = pages_allocate(its->page_order);
    if (table == NULL)
        return false;
    table_written(false, table, PAGE_SIZE << its->page_order);
    *entry = ENTRY_VALID | virtual_to_physical(table);
    table_written(its->coherent, entry, sizeof *entry);
    return true;
}

/* Functions behind a conventional bridge share its device identifier, so events are given out in turn: the lowest that
 * none of the device's LPIs has, or event_count when all are taken. */
static bool event_taken(const struct its_device *device, uint32_t event)
{
    for (uint32_t i = 0; i < INTERRUPT_MAX_ROUTES; i++)
        if (lpis[i].device == device && lpis[i].event == event)
            return true;
    return false;
}

static uint32_t free_event(const struct its_device *device)
{
    uint32_t event = 0;

    while (event < device->event_count && event_taken(device, event))
        event++;
    return event;
}

static enum status add_device(struct its *its, uint32_t id, uint32_t vectors, struct its_device **added)
{
    unsigned bits = event_bits(its) < EVENT_BITS_LEAST ? event_bits(its) : EVENT_BITS_LEAST;

    while (UINT32_C(1) << bits < vectors && bits < event_bits(its))
        bits++;
    if (id >= its->device_limit || vectors > EVENTS_MOST || UINT32_C(1) << bits < vectors) {
        log_warn("its", "device 0x%x with %u vectors: the ITS has identifiers below 0x%x and %u bits for vectors", id,
                 vectors, its->device_limit, event_bits(its));
        return STATUS_UNSUPPORTED;
    }

    struct its_device *device = calloc(1, sizeof *device);
    uint8_t *itt = itt_allocate(itt_entry_size(its) << bits);
    if (device == NULL || itt == NULL || !cover_device(its, id)) {
        free(device);
        return STATUS_NO_MEMORY;
    }
    *device = (struct its_device){.its = its, .id = id, .event_count = UINT32_C(1) << bits};
    enum status status = command_map_device(device, bits, virtual_to_physical(itt));
    if (status != STATUS_OK) {
        free(device);
        return status;
    }
    device->next = its->devices;
    its->devices = device;
    *added = device;
    return STATUS_OK;
}

enum status its_route(uint32_t id, bool any, uint32_t device_id, const struct message_source *source, uint32_t number,
                      struct message *message)
{
    uint32_t i = 0;

    while (i < machine_known->its_count && i < MACHINE_MAX_ITS && !any && machine_known->its[i].id != id)
        i++;
    if (i == machine_known->its_count || i == MACHINE_MAX_ITS)
        return STATUS_NOT_FOUND;
    struct its *its = unit_at(machine_known->its[i].base);
    if (its == NULL)
        return STATUS_UNSUPPORTED;

    struct its_device *device = its->devices;
    while (device != NULL && device->id != device_id)
        device = device->next;
    if (device == NULL) {
        enum status status = add_device(its, device_id, source->vector_count, &device);
        if (status != STATUS_OK)
            return status;
    }
    uint32_t event = free_event(device);
    if (event == device->event_count)
        return STATUS_LIMIT;

    enum status status = command_event(device, COMMAND_MAPTI, "MAPTI", 0, event, number, 0);
    if (status != STATUS_OK)
        return status;
    lpis[number - GIC_FIRST_LPI] = (struct lpi){.device = device, .event = (uint16_t)event};
    *message = (struct message){.address = its->physical + GITS_TRANSLATER, .data = event};
    return STATUS_OK;
}

void its_enable(uint32_t number, bool enabled)
{
    const struct lpi *lpi = &lpis[number - GIC_FIRST_LPI];
    uint8_t *property = &properties[number - GIC_FIRST_LPI];

    *property = (uint8_t)(GIC_PRIORITY | (enabled ? LPI_ENABLED : 0));
    table_written(tables_coherent, property, 1);
    arch_barrier_full();
    command_event(lpi->device, COMMAND_INV, "INV", lpi->cpu, lpi->event, 0, 0);
}

/* A CPU that could not be given LPIs once is not tried again: its redistributor may use the tables. */
static enum status cover_cpu(struct its *its, unsigned cpu)
{
    struct redistributor *redistributor = &gic_of(cpu)->redistributor;

    if ((its->collections >> cpu & 1) != 0)
        return STATUS_OK;
    if (cpu >= its->collection_room || (redistributor->type & GICR_TYPER_PHYSICAL_LPIS) == 0)
        return STATUS_UNSUPPORTED;
    if (redistributor->pending == NULL && !start_lpis_of(redistributor))
        return STATUS_UNSUPPORTED;
    if ((register_read32(redistributor->registers, GICR_CTLR) & GICR_CTLR_ENABLE_LPIS) == 0)
        return STATUS_UNSUPPORTED;
    return command_map_collection(its, cpu);
}

/* What is pending moves along [IHI 0069 §5.3.8]; the CPU that had it confirms that it has it no more. */
enum status its_move(uint32_t number, unsigned cpu, struct message *message)
{
    struct lpi *lpi = &lpis[number - GIC_FIRST_LPI];
    struct its *its = lpi->device->its;
    enum status status = its->broken ? STATUS_DEVICE_FAULT : cover_cpu(its, cpu);

    if (status == STATUS_OK && lpi->cpu != cpu)
        status = command_event(lpi->device, COMMAND_MOVI, "MOVI", lpi->cpu, lpi->event, 0, cpu);
    if (status != STATUS_OK)
        return status;
    lpi->cpu = (uint16_t)cpu;
    *message = (struct message){.address = its->physical + GITS_TRANSLATER, .data = lpi->event};
    return STATUS_OK;
}

void its_release(uint32_t number)
{
    struct lpi *lpi = &lpis[number - GIC_FIRST_LPI];

    its_enable(number, false);
    command_event(lpi->device, COMMAND_DISCARD, "DISCARD", lpi->cpu, lpi->event, 0, 0);
    *lpi = (struct lpi){.device = NULL};
}

void its_report(struct printer *printer)
{
    if (machine_known == NULL)
        return;
    for (uint32_t i = 0; i < machine_known->its_count && i < MACHINE_MAX_ITS; i++) {
        const struct its *its = units;
        while (its != NULL && its->physical != machine_known->its[i].base)
            its = its->next;
        print(printer, "its: 0x%llx, %s\n", (unsigned long long)machine_known->its[i].base,
              its == NULL   ? "not asked for yet"
              : its->broken ? "given up"
                            : "in use");
        if (its == NULL || its->broken)
            continue;
        print(printer, "its tables: devices below 0x%x, %s, %u bits for vectors, %s\n", its->device_limit,
              its->indirect ? "two levels" : "one level", event_bits(its), its->coherent ? "cached" : "not cached");
        for (const struct its_device *device = its->devices; device != NULL; device = device->next)
            print(printer, "its device: 0x%x, room for %u vectors\n", device->id, device->event_count);
    }
}
