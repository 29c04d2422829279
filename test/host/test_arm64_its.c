/*
 * test_arm64_its.c: the ITS driver over a model that follows the specification's words: it takes commands only when
 * all that they lean on is in order, and can be set to lie or to stand still.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include <host_log.h>

#include <platform/arm64/its.c>
#include <platform/clock.h>

#define MODEL_BASE   UINT64_C(0x8080000)
#define MODEL_TARGET UINT64_C(3) /* processor number of the boot CPU; the others' follow */

enum { MODEL_CPUS = 3 };
enum { MODEL_EVENTS = 512, MODEL_DEVICES = 128, MODEL_ALLOCATIONS = 256, MODEL_PAGE = 4096 };

static struct {
    /* what it is */
    unsigned device_bits, event_bits, itt_entry, page_size;
    bool indirect, shareable;
    /* how it misbehaves */
    bool absent, restless, still, stalls, lpis_already, lpis_never;
    int allocations_left; /* -1: no end */

    uint64_t cbaser, cwriter, creadr, devices, collections, propbaser[MODEL_CPUS], pendbaser[MODEL_CPUS];
    uint32_t its_control, redistributor_control[MODEL_CPUS];
    unsigned touched, commands, syncs[MODEL_CPUS], invalidations;
    bool collection_mapped[MODEL_CPUS];
    struct {
        uint32_t id, bits;
        uint64_t table;
    } device[MODEL_DEVICES];
    unsigned device_count;
    struct {
        uint32_t device, event, number, collection;
    } event[MODEL_EVENTS];
    unsigned event_count;
    struct {
        uint8_t *pages;
        size_t size;
    } allocation[MODEL_ALLOCATIONS];
    unsigned allocation_count;
} model;

static struct machine machine;
static struct machine_room room;
static uint8_t its_registers[1], redistributor_registers[MODEL_CPUS], distributor_registers[1];

/* ---- What the driver calls -------------------------------------------------------------------------- */

static struct gic_cpu gic_cpus[MODEL_CPUS];
static struct cpu cpus[MODEL_CPUS];
static uint64_t counter;

struct cpu *cpu_local(void)
{
    return &cpus[0];
}

struct cpu *cpu_at(unsigned index)
{
    assert_in_range(index, 0, MODEL_CPUS - 1);
    return &cpus[index];
}

uint64_t counter_read(void)
{
    return counter += 1000;
}

uint64_t fake_system_read(const char *name)
{
    assert_string_equal(name, "cntfrq_el0");
    return 1000000;
}

void cache_clean(const void *start, size_t size)
{
    (void)start;
    (void)size;
}

volatile void *vm_map_device(uint64_t physical, uint64_t size)
{
    assert_int_equal(physical, MODEL_BASE);
    assert_int_equal(size, 0x10000);
    return its_registers;
}

bool probe_read32(const volatile void *address, uint32_t *value)
{
    *value = 0;
    return address == its_registers && !model.absent;
}

void *pages_allocate_aligned(unsigned order, unsigned alignment_order)
{
    size_t size = (size_t)MODEL_PAGE << order, alignment = (size_t)MODEL_PAGE << alignment_order;

    if (model.allocations_left == 0)
        return NULL;
    if (model.allocations_left > 0)
        model.allocations_left--;
    void *pages = NULL;
    assert_int_equal(posix_memalign(&pages, alignment > size ? alignment : size, size), 0);
    memset(pages, 0, size);
    assert_in_range(model.allocation_count, 0, MODEL_ALLOCATIONS - 1);
    model.allocation[model.allocation_count].pages = pages;
    model.allocation[model.allocation_count++].size = size;
    return pages;
}

void *pages_allocate(unsigned order)
{
    return pages_allocate_aligned(order, order);
}

uint64_t virtual_to_physical(const void *address)
{
    return (uintptr_t)address;
}

/* ---- The model -------------------------------------------------------------------------------------- */

static bool is_ours(uint64_t address, size_t size)
{
    for (unsigned i = 0; i < model.allocation_count; i++) {
        uint64_t start = (uintptr_t)model.allocation[i].pages;
        if (address >= start && size <= model.allocation[i].size && address - start <= model.allocation[i].size - size)
            return true;
    }
    return false;
}

static bool device_has_entry(uint32_t id)
{
    uint64_t page = UINT64_C(4096) << 2 * (model.devices >> 8 & 3), entries = page / 8;
    uint64_t size = ((model.devices & 0xff) + 1) * page;
    const uint64_t *table = (const uint64_t *)(uintptr_t)(model.devices & UINT64_C(0xfffffffff000));

    assert_true(is_ours((uintptr_t)table, size));
    assert_int_equal((uintptr_t)table % page, 0);
    if ((model.devices >> 62 & 1) == 0)
        return id < size / 8;
    if (id / entries >= size / 8 || table[id / entries] >> 63 == 0)
        return false;
    assert_true(is_ours(table[id / entries] & UINT64_C(0xfffffffff000), page));
    return true;
}

static unsigned find_device(uint32_t id)
{
    unsigned i = 0;

    while (i < model.device_count && model.device[i].id != id)
        i++;
    return i;
}

static void map_device(uint32_t id, const uint64_t *command)
{
    uint32_t bits = (command[1] & 0x1f) + 1;
    uint64_t table = command[2] & UINT64_C(0xfffffffffff00), size = (uint64_t)model.itt_entry << bits;

    assert_int_equal(command[2] >> 63, 1);
    assert_true(bits <= model.event_bits);
    assert_true(device_has_entry(id));
    assert_true(is_ours(table, size));
    for (unsigned i = 0; i < model.device_count; i++) {
        assert_int_not_equal(model.device[i].id, id);
        uint64_t other = model.device[i].table, length = (uint64_t)model.itt_entry << model.device[i].bits;
        assert_true(table + size <= other || other + length <= table);
    }
    assert_in_range(model.device_count, 0, MODEL_DEVICES - 1);
    model.device[model.device_count].id = id;
    model.device[model.device_count].bits = bits;
    model.device[model.device_count++].table = table;
}

static unsigned find_event(uint32_t device, uint32_t event)
{
    unsigned i = 0;

    while (i < model.event_count && (model.event[i].device != device || model.event[i].event != event))
        i++;
    return i;
}

/* Which CPU a command names; it must be one that takes LPIs. */
static unsigned named(uint64_t word)
{
    unsigned cpu = (unsigned)((word >> 16 & 0xffff) - MODEL_TARGET);

    assert_in_range(cpu, 0, MODEL_CPUS - 1);
    assert_int_equal(model.redistributor_control[cpu] & 1, 1);
    return cpu;
}

static void take(const uint64_t *command)
{
    uint32_t id = (uint32_t)(command[0] >> 32), event = (uint32_t)command[1], number = (uint32_t)(command[1] >> 32);
    unsigned device = find_device(id), found = find_event(id, event);

    model.commands++;
    switch (command[0] & 0xff) {
    case 0x05:
        model.syncs[named(command[2])]++;
        break;
    case 0x01:
        assert_true(found < model.event_count);
        assert_true(model.collection_mapped[command[2]]);
        model.event[found].collection = (uint32_t)command[2];
        break;
    case 0x08:
        map_device(id, command);
        break;
    case 0x09:
        assert_int_equal(command[2] >> 63, 1);
        assert_int_equal(command[2] & 0xffff, named(command[2])); /* a collection has its CPU's index */
        model.collection_mapped[named(command[2])] = true;
        break;
    case 0x0a:
        assert_true(model.collection_mapped[command[2]]);
        assert_true(device < model.device_count);
        assert_true(event < 1U << model.device[device].bits);
        assert_in_range(number, 8192, (2U << (model.propbaser[0] & 0x1f)) - 1);
        model.event[model.event_count].collection = (uint32_t)command[2];
        assert_int_equal(found, model.event_count);
        model.event[model.event_count].device = id;
        model.event[model.event_count].event = event;
        model.event[model.event_count++].number = number;
        break;
    case 0x0c:
        assert_true(found < model.event_count);
        model.invalidations++;
        break;
    case 0x0d:
        assert_true(model.collection_mapped[command[2]]);
        break;
    case 0x0f:
        assert_true(found < model.event_count);
        model.event[found] = model.event[--model.event_count];
        break;
    default:
        fail_msg("command 0x%02x", (unsigned)(command[0] & 0xff));
    }
}

static void run_queue(void)
{
    uint64_t base = model.cbaser & UINT64_C(0xffffffffff000), size = ((model.cbaser & 0xff) + 1) * 4096;

    assert_int_equal(model.its_control & 1, 1);
    assert_int_equal(model.cbaser >> 63, 1);
    assert_int_equal(base % 65536, 0);
    assert_true(is_ours(base, size));
    while (!model.still && model.creadr != model.cwriter) {
        if (model.stalls) {
            model.creadr |= 1;
            return;
        }
        take((const uint64_t *)(uintptr_t)(base + model.creadr));
        model.creadr = (model.creadr + 32) % size;
    }
}

static unsigned redistributor_at(const volatile void *base)
{
    uintptr_t index = (uintptr_t)base - (uintptr_t)redistributor_registers;

    return index < MODEL_CPUS ? (unsigned)index : MODEL_CPUS;
}

uint32_t register_read32(const volatile void *base, uint32_t offset)
{
    unsigned cpu = redistributor_at(base);

    if (base == distributor_registers && offset == 0x04)
        return 1 << 17 | 7;
    model.touched++;
    if (cpu < MODEL_CPUS && offset == 0)
        return model.redistributor_control[cpu];
    assert_ptr_equal(base, its_registers);
    assert_int_equal(offset, 0);
    return model.its_control | (model.restless || (model.its_control & 1) != 0 ? 0 : 1U << 31);
}

void register_write32(volatile void *base, uint32_t offset, uint32_t value)
{
    unsigned cpu = redistributor_at(base);

    model.touched++;
    assert_int_equal(offset, 0);
    if (cpu < MODEL_CPUS) {
        assert_int_equal(model.propbaser[cpu] & 0x1f, 13);
        assert_int_equal(model.propbaser[cpu], model.propbaser[0]); /* one table of properties for all */
        assert_true(is_ours(model.propbaser[cpu] & UINT64_C(0xffffffffff000), 8192));
        assert_int_equal(model.pendbaser[cpu] >> 12 & 15, 0);
        assert_true(is_ours(model.pendbaser[cpu] & UINT64_C(0xfffffffff0000), 2048));
        for (unsigned other = 0; other < MODEL_CPUS; other++)
            assert_true(other == cpu || model.pendbaser[other] != model.pendbaser[cpu]);
        if (!model.lpis_never)
            model.redistributor_control[cpu] = value;
    } else {
        assert_ptr_equal(base, its_registers);
        model.its_control = value;
    }
}

uint64_t register_read64(const volatile void *base, uint32_t offset)
{
    unsigned cpu = redistributor_at(base);

    model.touched++;
    if (cpu < MODEL_CPUS)
        return offset == 0x70 ? model.propbaser[cpu] : model.pendbaser[cpu];
    assert_ptr_equal(base, its_registers);
    switch (offset) {
    case 0x08:
        return 1 | (uint64_t)(model.itt_entry - 1) << 4 | (uint64_t)(model.event_bits - 1) << 8 |
               (uint64_t)(model.device_bits - 1) << 13;
    case 0x80:
        return model.cbaser;
    case 0x90:
        return model.creadr;
    case 0x100:
        return model.devices;
    case 0x108:
        return model.collections;
    default:
        assert_in_range(offset, 0x110, 0x138);
        return 0;
    }
}

static uint64_t keep_base(uint64_t old, uint64_t value)
{
    const uint64_t fixed = UINT64_C(7) << 56 | UINT64_C(0x1f) << 48;

    assert_int_equal(model.its_control & 1, 0);
    value = (value & ~fixed) | (old & fixed);
    value = (value & ~UINT64_C(0x300)) | (uint64_t)model.page_size << 8;
    if (!model.indirect || (old >> 56 & 7) != 1)
        value &= ~(UINT64_C(1) << 62);
    return model.shareable ? value : value & ~UINT64_C(0xc00);
}

void register_write64(volatile void *base, uint32_t offset, uint64_t value)
{
    unsigned cpu = redistributor_at(base);

    model.touched++;
    if (!model.shareable && (cpu < MODEL_CPUS || offset == 0x80))
        value &= ~UINT64_C(0xc00);
    if (cpu < MODEL_CPUS) {
        assert_int_equal(model.redistributor_control[cpu] & 1, 0);
        *(offset == 0x70 ? &model.propbaser[cpu] : &model.pendbaser[cpu]) = value;
        return;
    }
    assert_ptr_equal(base, its_registers);
    switch (offset) {
    case 0x80:
        assert_int_equal(model.its_control & 1, 0);
        model.cbaser = value;
        model.creadr = 0;
        break;
    case 0x88:
        model.cwriter = value;
        if (model.its_control != 0)
            run_queue();
        break;
    case 0x100:
        model.devices = keep_base(model.devices, value);
        break;
    case 0x108:
        model.collections = keep_base(model.collections, value);
        break;
    default:
        fail_msg("write of GITS register 0x%x", offset);
    }
}

uint8_t register_read8(const volatile void *base, uint32_t offset)
{
    fail_msg("8-bit read of %p + 0x%x", (const void *)(uintptr_t)base, offset);
    return 0;
}

void register_write8(volatile void *base, uint32_t offset, uint8_t value)
{
    fail_msg("8-bit write of %p + 0x%x: %u", (const void *)(uintptr_t)base, offset, value);
}

/* ---- Machines --------------------------------------------------------------------------------------- */

static int set_up(void **state)
{
    (void)state;
    host_log_clear();
    counter = 0;
    memset(&model, 0, sizeof model);
    model.device_bits = model.event_bits = 16;
    model.itt_entry = 12;
    model.indirect = model.shareable = true;
    model.allocations_left = -1;
    model.devices = UINT64_C(1) << 56 | UINT64_C(7) << 48;
    model.collections = UINT64_C(4) << 56 | UINT64_C(7) << 48;

    memset(&machine, 0, sizeof machine);
    memset(&room, 0, sizeof room);
    machine_use_room(&machine, &room);
    memset(gic_cpus, 0, sizeof gic_cpus);
    machine.its_count = 1;
    machine.its[0] = (struct machine_its){.id = 77, .base = MODEL_BASE};
    gic_distributor = distributor_registers;
    for (unsigned i = 0; i < MODEL_CPUS; i++) {
        gic_cpus[i].redistributor = (struct redistributor){.registers = &redistributor_registers[i],
                                                           .physical = 0x80a0000 + 0x20000 * i,
                                                           .type = 1 | (MODEL_TARGET + i) << 8};
        cpus[i].controller = &gic_cpus[i];
    }
    started = failed = false;
    itt_left = 0;
    its_init(&machine);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    while (units != NULL) {
        struct its *next = units->next;
        while (units->devices != NULL) {
            struct its_device *device = units->devices->next;
            free(units->devices);
            units->devices = device;
        }
        free(units);
        units = next;
    }
    free(lpis);
    lpis = NULL;
    for (unsigned i = 0; i < model.allocation_count; i++)
        free(model.allocation[i].pages);
    return 0;
}

static enum status route(uint32_t device, uint16_t index, uint16_t vectors, uint32_t number, struct message *message)
{
    struct message_source source = {.index = index, .vector_count = vectors};

    return its_route(77, false, device, &source, number, message);
}

/* ---- Tests ------------------------------------------------------------------------------------------ */

static void test_nothing_before_the_first_message(void **state)
{
    struct message message;

    (void)state;
    assert_true(its_present());
    assert_int_equal(model.touched, 0);
    assert_int_equal(model.allocation_count, 0);
    assert_int_equal(its_route(5, false, 0, &(struct message_source){.vector_count = 1}, 8192, &message),
                     STATUS_NOT_FOUND);
    assert_int_equal(model.touched, 0);
}

static void test_routes(void **state)
{
    struct message message;

    (void)state;
    for (uint16_t i = 0; i < 3; i++) {
        assert_int_equal(route(0x108, i, 3, 8192U + i, &message), STATUS_OK);
        assert_int_equal(message.address, MODEL_BASE + 0x10040);
        assert_int_equal(message.data, i);
    }
    assert_int_equal(model.device_count, 1);
    assert_int_equal(model.event_count, 3);
    assert_int_equal(properties[1], 0xa0);
    its_enable(8193, true);
    assert_int_equal(properties[1], 0xa1);
    assert_int_equal(properties[0], 0xa0);
    assert_int_equal(model.invalidations, 1);
    its_release(8193);
    assert_int_equal(properties[1], 0xa0);
    assert_int_equal(model.event_count, 2);
    assert_int_equal(route(0x108, 1, 3, 8193, &message), STATUS_OK);
    /* Functions behind a conventional bridge share the identifier: events go on where the first function's end. */
    for (uint16_t i = 3; i < 32; i++) {
        assert_int_equal(route(0x108, (uint16_t)(i % 3), 3, 8192U + i, &message), STATUS_OK);
        assert_int_equal(message.data, i);
    }
    assert_int_equal(route(0x108, 0, 3, 8192 + 32, &message), STATUS_LIMIT);
    assert_int_equal(host_log_count(LOG_WARN) + host_log_count(LOG_ERROR), 0);

    size_t size = 0;
    for (unsigned i = 0; i < model.allocation_count; i++)
        size += model.allocation[i].size;
    assert_in_range(size, 1, 28 << 10);
}

/* ITTs of all sizes lie apart (map_device looks), and the queue wraps many times. */
static void test_many_devices(void **state)
{
    struct message message;
    unsigned number = 0;

    (void)state;
    for (uint32_t i = 0; i < 100; i++) {
        uint16_t vectors = (uint16_t)(1 + i * i % 700);
        for (uint16_t index = 0; index < (i < 90 ? 2 : 1) && index < vectors; index++)
            assert_int_equal(route(i * 651, index, vectors, 8192U + number++, &message), STATUS_OK);
    }
    for (unsigned turn = 0; turn < 5; turn++)
        for (unsigned i = 0; i < number; i++)
            its_enable(8192 + i, turn % 2 == 0);
    assert_int_equal(model.device_count, 100);
    assert_int_equal(model.event_count, number);
    assert_true(model.commands > 10 * 128);
    assert_int_equal(host_log_count(LOG_ERROR), 0);
}

static void test_other_hardware(void **state)
{
    struct message message;

    (void)state;
    model.page_size = 2;
    model.shareable = false;
    assert_int_equal(route(0xffff, 0, 2048, 8200, &message), STATUS_OK);
    assert_false(units->coherent);
    assert_false(tables_coherent);
    assert_int_equal(model.device[0].bits, 11);
}

static void test_one_level_covers_a_part(void **state)
{
    struct message message;

    (void)state;
    model.indirect = false;
    assert_int_equal(route(0x1fff, 0, 1, 8192, &message), STATUS_OK);
    assert_int_equal(route(0x2000, 0, 1, 8193, &message), STATUS_UNSUPPORTED);
    assert_true(host_log_has("device 0x2000 with 1 vectors: the ITS has identifiers below 0x2000"));
}

static void test_small_hardware(void **state)
{
    struct message message;

    (void)state;
    model.device_bits = 4;
    model.event_bits = 3;
    assert_int_equal(route(15, 7, 8, 8192, &message), STATUS_OK);
    assert_int_equal(route(16, 0, 1, 8193, &message), STATUS_UNSUPPORTED);
    assert_int_equal(route(14, 0, 9, 8193, &message), STATUS_UNSUPPORTED);
    assert_int_equal(model.device_count, 1);
    assert_true(host_log_has("3 bits for vectors"));
}

static void test_thirty_two_bits(void **state)
{
    struct message message;

    (void)state;
    model.device_bits = 32;
    assert_int_equal(route(0x3ffff, 0, 1, 8192, &message), STATUS_OK);
    assert_int_equal(route(UINT32_MAX, 0, 1, 8193, &message), STATUS_UNSUPPORTED);
}

static void test_too_many_vectors(void **state)
{
    struct message message;

    (void)state;
    assert_int_equal(route(1, 0, 2049, 8192, &message), STATUS_UNSUPPORTED);
}

/* ---- Hardware that does not do its part ---- */

static void expect_given_up(const char *sentence, enum status status)
{
    struct message message;

    assert_int_equal(route(1, 0, 1, 8192, &message), status);
    if (!host_log_has(sentence))
        fail_msg("missing \"%s\" in: %s", sentence, host_log_text());
    unsigned lines = host_log_count(LOG_ERROR);
    assert_int_equal(route(2, 0, 1, 8193, &message), STATUS_UNSUPPORTED);
    assert_int_equal(host_log_count(LOG_ERROR), lines);
}

static void test_absent(void **state)
{
    (void)state;
    model.absent = true;
    expect_given_up("nothing answers at 0x8080000, where the ITS should be", STATUS_UNSUPPORTED);
}

static void test_restless(void **state)
{
    (void)state;
    model.restless = true;
    expect_given_up("the ITS at 0x8080000 did not come to rest within 100 ms", STATUS_UNSUPPORTED);
    assert_in_range(counter, 100000, 1000000);
}

static void test_still_from_the_start(void **state)
{
    (void)state;
    model.still = true;
    expect_given_up("MAPC did not complete within 100 ms", STATUS_UNSUPPORTED);
}

static void test_still_later(void **state)
{
    struct message message;

    (void)state;
    assert_int_equal(route(1, 0, 2, 8192, &message), STATUS_OK);
    model.still = true;
    assert_int_equal(route(1, 1, 2, 8193, &message), STATUS_TIMED_OUT);
    assert_true(host_log_has("MAPTI did not complete within 100 ms"));
    assert_true(host_log_has("the ITS at 0x8080000 is given up"));
    uint64_t before = counter;
    its_enable(8192, false);
    its_release(8192);
    assert_int_equal(counter, before);
    assert_int_equal(route(1, 1, 2, 8193, &message), STATUS_UNSUPPORTED);
}

static void test_stalls(void **state)
{
    (void)state;
    model.stalls = true;
    expect_given_up("MAPC was refused", STATUS_UNSUPPORTED);
}

static void test_lpis_not_ours(void **state)
{
    struct message message;

    (void)state;
    model.redistributor_control[0] = 1;
    assert_int_equal(route(1, 0, 1, 8192, &message), STATUS_UNSUPPORTED);
    assert_true(host_log_has("LPIs are on already, with tables that are not ours"));
    assert_false(its_present());
}

static void test_lpis_stay_off(void **state)
{
    struct message message;

    (void)state;
    model.lpis_never = true;
    assert_int_equal(route(1, 0, 1, 8192, &message), STATUS_UNSUPPORTED);
    assert_true(host_log_has("the redistributor does not switch LPIs on"));
    assert_false(its_present());
}

static void test_no_memory_at_each_step(void **state)
{
    unsigned steps = 0;

    for (bool done = false; !done; steps++) {
        struct message message;
        set_up(state);
        model.allocations_left = (int)steps;
        enum status status = route(1, 0, 300, 8192, &message);
        done = status == STATUS_OK;
        assert_true(done || status == STATUS_UNSUPPORTED || status == STATUS_NO_MEMORY);
        if (!done)
            tear_down(state);
    }
    assert_in_range(steps, 6, 9);
}

/* A CPU's LPIs are switched on when the first is moved there; the CPU that had it confirms. */
static void test_moves(void **state)
{
    struct message message, moved;

    (void)state;
    assert_int_equal(route(1, 0, 2, 8192, &message), STATUS_OK);
    assert_int_equal(route(1, 1, 2, 8193, &message), STATUS_OK);
    assert_int_equal(model.redistributor_control[2], 0);
    unsigned syncs = model.syncs[0];
    assert_int_equal(its_move(8193, 2, &moved), STATUS_OK);
    assert_int_equal(moved.address, message.address);
    assert_int_equal(moved.data, message.data);
    assert_int_equal(model.event[1].collection, 2);
    assert_int_equal(model.event[0].collection, 0);
    assert_int_equal(model.redistributor_control[2] & 1, 1);
    assert_int_equal(model.redistributor_control[1], 0);
    assert_int_equal(model.syncs[0], syncs + 1);

    /* From then on it is that CPU that confirms what is done to it. */
    syncs = model.syncs[2];
    its_enable(8193, true);
    assert_int_equal(model.syncs[2], syncs + 1);
    assert_int_equal(its_move(8193, 1, &moved), STATUS_OK);
    assert_int_equal(model.syncs[2], syncs + 2);
    assert_int_equal(model.event[1].collection, 1);
    unsigned commands = model.commands;
    assert_int_equal(its_move(8193, 1, &moved), STATUS_OK); /* there already */
    assert_int_equal(model.commands, commands);
    assert_int_equal(its_move(8193, 0, &moved), STATUS_OK);
    its_release(8193);
    assert_int_equal(model.event_count, 1);
    assert_int_equal(host_log_count(LOG_WARN) + host_log_count(LOG_ERROR), 0);
}

static void test_cannot_move(void **state)
{
    struct message message;

    (void)state;
    assert_int_equal(route(1, 0, 1, 8192, &message), STATUS_OK);
    gic_cpus[1].redistributor.type &= ~UINT64_C(1); /* knows no LPIs */
    assert_int_equal(its_move(8192, 1, &message), STATUS_UNSUPPORTED);
    model.allocations_left = 0;
    assert_int_equal(its_move(8192, 2, &message), STATUS_UNSUPPORTED);
    assert_true(host_log_has("no memory for a table of pending LPIs"));
    model.allocations_left = -1;
    model.lpis_never = true;
    assert_int_equal(its_move(8192, 2, &message), STATUS_UNSUPPORTED);
    assert_int_equal(its_move(8192, 2, &message), STATUS_UNSUPPORTED);
    assert_int_equal(model.event[0].collection, 0);
    units->collection_room = 2;
    model.lpis_never = false;
    assert_int_equal(its_move(8192, 2, &message), STATUS_UNSUPPORTED);
    units->collection_room = 3;
    assert_int_equal(its_move(8192, 0, &message), STATUS_OK);
    model.still = true;
    gic_cpus[1].redistributor.type |= 1;
    assert_int_equal(its_move(8192, 1, &message), STATUS_TIMED_OUT);
    assert_int_equal(its_move(8192, 0, &message), STATUS_DEVICE_FAULT);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    static const struct CMUnitTest tests[] = {
        TEST(test_nothing_before_the_first_message),
        TEST(test_routes),
        TEST(test_many_devices),
        TEST(test_other_hardware),
        TEST(test_one_level_covers_a_part),
        TEST(test_small_hardware),
        TEST(test_thirty_two_bits),
        TEST(test_too_many_vectors),
        TEST(test_absent),
        TEST(test_restless),
        TEST(test_still_from_the_start),
        TEST(test_still_later),
        TEST(test_stalls),
        TEST(test_lpis_not_ours),
        TEST(test_lpis_stay_off),
        TEST(test_no_memory_at_each_step),
        TEST(test_moves),
        TEST(test_cannot_move),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
