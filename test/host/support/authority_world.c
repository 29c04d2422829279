/* authority_world.c: what authority/ stands on, played. */
#include "authority_world.h"

#include <authority/manager.c> /* for its list of devices, which begins anew with each test */
#include <authority/msix_table.h>
#include <memory/memory.h>
#include <platform/cpu.h>
#include <platform/port.h>
#include <machine/pci_reg.h>
#include <stdio.h>
#include <stdlib.h>

struct world world;
struct world_script world_script;

/* ---- Trace ------------------------------------------------------------------------------------------- */

static void note(const char *format, ...)
{
    size_t used = strlen(world.trace);
    va_list arguments;

    va_start(arguments, format);
    if (used + 64 < sizeof world.trace)
        vsnprintf(world.trace + used, sizeof world.trace - used, format, arguments);
    va_end(arguments);
}

void world_trace_clear(void)
{
    world.trace[0] = '\0';
}

bool world_trace_has(const char *word)
{
    return strstr(world.trace, word) != NULL;
}

void world_expect_order(const char *first, ...)
{
    const char *at = world.trace;
    va_list words;

    va_start(words, first);
    for (const char *word = first; word != NULL; word = va_arg(words, const char *)) {
        const char *found = strstr(at, word);
        if (found == NULL)
            fail_msg("no \"%s\" there in: %s", word, world.trace);
        at = found + strlen(word);
    }
    va_end(words);
}

/* ---- Memory ------------------------------------------------------------------------------------------ */

enum { MAX_PAGES = 512, MAX_CLIENTS = 64 };

static struct {
    uint8_t *memory;
    unsigned order;
} live_pages[MAX_PAGES];

static struct {
    uint8_t *memory;
    unsigned pages, access;
    bool apart;
} clients[MAX_CLIENTS];
static unsigned client_count;

void *__real_calloc(size_t count, size_t size);
void *__wrap_calloc(size_t count, size_t size);

void *__wrap_calloc(size_t count, size_t size)
{
    if (world.fail_calloc != 0 && --world.fail_calloc == 0)
        return NULL;
    return __real_calloc(count, size);
}

void *pages_allocate_aligned(unsigned order, unsigned alignment_order)
{
    size_t size = PAGE_SIZE << order, alignment = PAGE_SIZE << (alignment_order > order ? alignment_order : order);
    unsigned slot = 0;

    assert_true(order <= FRAME_MAX_ORDER && alignment_order <= FRAME_MAX_ORDER);
    if (world.fail_pages != 0 && --world.fail_pages == 0)
        return NULL;
    while (slot < MAX_PAGES && live_pages[slot].memory != NULL)
        slot++;
    if (slot == MAX_PAGES)
        return NULL;
    if (posix_memalign((void **)&live_pages[slot].memory, alignment, size) != 0)
        abort();
    live_pages[slot].order = order;
    memset(live_pages[slot].memory, 0, size);
    world.pages_live += 1u << order;
    return live_pages[slot].memory;
}

void heap_keep(const void *from, size_t size)
{
    (void)from;
    world.kept_bytes += size;
    note("keep ");
}

void pages_free(void *pages, unsigned order)
{
    unsigned slot = 0;

    while (slot < MAX_PAGES && live_pages[slot].memory != pages)
        slot++;
    assert_true(slot < MAX_PAGES); /* else it was not allocated */
    assert_int_equal(live_pages[slot].order, order);
    for (size_t i = 0; i < PAGE_SIZE << order; i++)
        if (live_pages[slot].memory[i] != 0) {
            world.dirty_frees++;
            break;
        }
    free(pages);
    live_pages[slot].memory = NULL;
    world.pages_live -= 1u << order;
    note("free ");
}

void *world_client(unsigned pages, unsigned access, bool apart)
{
    assert_true(client_count < MAX_CLIENTS);
    clients[client_count].memory = aligned_alloc(PAGE_SIZE, pages * PAGE_SIZE);
    clients[client_count].pages = pages;
    clients[client_count].access = access;
    clients[client_count].apart = apart;
    memset(clients[client_count].memory, 0x5a, pages * PAGE_SIZE);
    return clients[client_count++].memory;
}

static unsigned client_at(const void *address)
{
    unsigned i = 0;

    while (i < client_count && (uintptr_t)address - (uintptr_t)clients[i].memory >= clients[i].pages * PAGE_SIZE)
        i++;
    return i;
}

bool vm_lookup(const void *address, unsigned *access)
{
    unsigned i = client_at(address);

    if (i == client_count)
        return false;
    *access = clients[i].access;
    return true;
}

uint64_t virtual_to_physical(const void *address)
{
    uint64_t physical = (uintptr_t)address + WORLD_PHYSICAL;
    unsigned client = client_at(address);

    for (unsigned i = 0; i < MAX_PAGES && client == client_count; i++)
        if (live_pages[i].memory != NULL &&
            (uintptr_t)address - (uintptr_t)live_pages[i].memory < PAGE_SIZE << live_pages[i].order)
            return physical;
    assert_true(client < client_count); /* the kernel would panic */
    if (clients[client].apart)
        physical += ((uintptr_t)address - (uintptr_t)clients[client].memory) / PAGE_SIZE * PAGE_SIZE;
    return physical;
}

/* ---- Registers --------------------------------------------------------------------------------------- */

enum { MAX_REGIONS = 64 };

static struct {
    uint64_t physical, size;
    uint8_t *bytes;
} regions[MAX_REGIONS];
static unsigned region_count;
static uint8_t port_bytes[WORLD_PORTS];

static void add_region(uint64_t physical, uint64_t size)
{
    assert_true(region_count < MAX_REGIONS);
    regions[region_count].physical = physical;
    regions[region_count].size = size;
    regions[region_count++].bytes = __real_calloc(1, size);
}

uint8_t *world_register(uint64_t physical)
{
    for (unsigned i = 0; i < region_count; i++)
        if (physical - regions[i].physical < regions[i].size)
            return regions[i].bytes + (physical - regions[i].physical);
    return NULL;
}

uint8_t *world_port(uint16_t port)
{
    return &port_bytes[port];
}

static uint64_t physical_of(const volatile uint8_t *at)
{
    for (unsigned i = 0; i < region_count; i++)
        if ((uintptr_t)at - (uintptr_t)regions[i].bytes < regions[i].size)
            return regions[i].physical + ((uintptr_t)at - (uintptr_t)regions[i].bytes);
    fail_msg("an access outside of all registers");
    return 0;
}

volatile void *vm_map_device(uint64_t physical, uint64_t size)
{
    for (unsigned i = 0; i < region_count; i++)
        if (physical - regions[i].physical < regions[i].size &&
            size <= regions[i].size - (physical - regions[i].physical))
            return regions[i].bytes + (physical - regions[i].physical);
    return NULL;
}

bool port_space_exists(void)
{
    return world.ports;
}

static void accessed(void)
{
    if (world.on_access != NULL)
        world.on_access();
}

/* The place and, for port space, the number, both as the stuck register is named. */
static uint8_t *access_at(const struct device_window *place, uint64_t offset, unsigned width, uint64_t *name)
{
    accessed();
    world.register_accesses++;
    assert_int_equal(offset % width, 0);
    if (place->registers == NULL) {
        assert_true(place->port + offset + width <= WORLD_PORTS);
        *name = place->port + offset;
        return &port_bytes[*name];
    }
    *name = physical_of(place->registers + offset);
    assert_ptr_equal(world_register(*name + width - 1), place->registers + offset + width - 1);
    return world_register(*name);
}

uint32_t register_read(const struct device_window *place, uint64_t offset, unsigned width)
{
    uint64_t name;
    uint8_t *at = access_at(place, offset, width, &name);
    uint32_t value = 0;

    memcpy(&value, at, width);
    if (name == world.stuck_register) {
        value = world.stuck_value;
        if (world.stuck_reads != 0 && --world.stuck_reads == 0)
            world.stuck_register = 0;
    }
    return value;
}

void register_write(const struct device_window *place, uint64_t offset, unsigned width, uint32_t value)
{
    uint64_t name;
    uint8_t *at = access_at(place, offset, width, &name);

    memcpy(at, &value, width);
    note("write%u:%llx=%x ", 8 * width, (unsigned long long)name, value);
}

uint32_t msix_table_read(const volatile uint8_t *where)
{
    uint32_t value;

    physical_of(where);
    memcpy(&value, (const void *)(uintptr_t)where, 4);
    return value;
}

void msix_table_write(volatile uint8_t *where, uint32_t value)
{
    uint64_t at = physical_of(where);

    accessed();
    if (at == world.stuck_register)
        return;
    memcpy((void *)(uintptr_t)where, &value, 4);
    if (at % 16 == 12)
        note("vector:%s ", (value & 1) != 0 ? "masked" : "open");
}

/* ---- Configuration space ------------------------------------------------------------------------------- */

static uint32_t config_read(const struct pci_access *access, struct pci_address where, unsigned offset, unsigned width)
{
    (void)access;
    return world.pci.access.read(&world.pci.access, where, offset, width);
}

static void config_write(const struct pci_access *access, struct pci_address where, unsigned offset, unsigned width,
                         uint32_t value)
{
    (void)access;
    accessed();
    world.pci.access.write(&world.pci.access, where, offset, width, value);
    if (offset == PCI_COMMAND)
        note("command:%s%s%s ", (value & PCI_COMMAND_MASTER) != 0 ? "master" : "quiet",
             (value & PCI_COMMAND_MEMORY) != 0 ? ",memory" : "",
             (value & PCI_COMMAND_INTX_DISABLE) != 0 ? ",no-intx" : ",intx");
}

static void config_pause(const struct pci_access *access, unsigned milliseconds)
{
    (void)access;
    (void)milliseconds;
}

void pci_access_init(struct pci_machine_access *out, const struct machine_host_bridge *bridge)
{
    *out = (struct pci_machine_access){
        .access = {.read = config_read, .write = config_write, .pause = config_pause, .extended = true},
        .bridge = bridge,
    };
}

/* ---- Interrupt controllers ------------------------------------------------------------------------------- */

static struct {
    bool routed, open;
    uint32_t line; /* MACHINE_NO_LINE: a message */
} inputs[INTERRUPT_MAX_ROUTES];
static struct cpu cpu;

void controller_init(const struct machine *machine)
{
    (void)machine;
}

void controller_report(struct printer *printer)
{
    (void)printer;
}

enum status controller_route_line(const struct machine_line *line, uint32_t route)
{
    if (world.no_lines || line->line >= WORLD_LINES)
        return STATUS_NOT_FOUND;
    inputs[route].routed = true;
    inputs[route].open = false;
    inputs[route].line = line->line;
    return STATUS_OK;
}

enum status controller_route_message(const struct message_source *source, uint32_t route, struct message *message)
{
    assert_int_equal(source->vector_count, WORLD_VECTORS);
    assert_true(source->index < source->vector_count);
    inputs[route].routed = true;
    inputs[route].open = false;
    inputs[route].line = MACHINE_NO_LINE;
    *message = (struct message){.address = 0xfee00000, .data = 0x4000 + route};
    return STATUS_OK;
}

enum status controller_direct(uint32_t route, unsigned to, struct message *message)
{
    if (to >= world.cpus_reached)
        return STATUS_UNSUPPORTED;
    note("direct:%u ", to);
    *message = (struct message){.address = 0xfee00000 + 0x1000 * (uint64_t)to, .data = 0x4000 + route};
    return STATUS_OK;
}

unsigned cpu_count(void)
{
    return world.cpus != 0 ? world.cpus : 1;
}

struct cpu *cpu_at(unsigned index)
{
    return index == 0 ? cpu_local() : NULL;
}

void ipi_wake(struct cpu *to)
{
    (void)to;
    world.wakes++;
}

void controller_release(uint32_t route)
{
    assert_false(inputs[route].open);
    inputs[route].routed = false;
    note("detach ");
}

void controller_mask(uint32_t route)
{
    inputs[route].open = false;
}

void controller_unmask(uint32_t route)
{
    assert_true(inputs[route].routed);
    inputs[route].open = true;
}

bool controller_has_messages(void)
{
    return world.messages;
}

struct cpu *cpu_local(void)
{
    return &cpu;
}

uintptr_t cpu_interrupts_disable(void)
{
    return world.interrupts_disabled++ == 0;
}

void cpu_interrupts_restore(uintptr_t saved)
{
    world.interrupts_disabled--;
    assert_int_equal(saved, world.interrupts_disabled == 0);
}

void world_interrupts_are_disabled(void)
{
    assert_int_not_equal(world.interrupts_disabled, 0);
}

static void dispatch(uint32_t route)
{
    world.interrupts_disabled++;
    interrupt_dispatch(route);
    world.interrupts_disabled--;
}

static bool line_is_up(uint32_t line)
{
    bool up = world.level[line];

    for (size_t i = 0; i < world.pci.count && line == WORLD_PCI_LINE; i++) {
        const struct pci_model_function *function = &world.pci.functions[i];
        up |= (pci_model_get(function, PCI_STATUS, 2) & PCI_STATUS_INTERRUPT) != 0 &&
              (pci_model_get(function, PCI_COMMAND, 2) & PCI_COMMAND_INTX_DISABLE) == 0;
    }
    return up;
}

unsigned world_wires(unsigned limit)
{
    unsigned delivered = 0;

    for (bool any = true; any;) {
        any = false;
        for (uint32_t route = 0; route < INTERRUPT_MAX_ROUTES; route++)
            if (inputs[route].routed && inputs[route].open && inputs[route].line != MACHINE_NO_LINE &&
                line_is_up(inputs[route].line)) {
                if (delivered == limit)
                    return delivered;
                dispatch(route);
                delivered++;
                any = true;
            }
    }
    return delivered;
}

void world_intx(int function, bool level)
{
    uint8_t *status = &world.pci.functions[function].space[PCI_STATUS];

    *status = (uint8_t)(level ? *status | PCI_STATUS_INTERRUPT : *status & ~PCI_STATUS_INTERRUPT);
}

static uint64_t bar4(int function)
{
    return pci_model_get(pci_model_at(&world.pci, function), PCI_BAR0 + 16, 4) & ~15u;
}

bool world_message(int function, unsigned index)
{
    const uint8_t *entry = world_register(bar4(function) + WORLD_TABLE + index * 16);
    struct pci_model_function *model = pci_model_at(&world.pci, function);
    uint32_t data, control;
    unsigned capability = 0x40;

    while (model->space[capability] != PCI_CAPABILITY_MSIX)
        capability = model->space[capability + 1];
    memcpy(&data, entry + 8, 4);
    memcpy(&control, entry + 12, 4);
    unsigned switches = pci_model_get(model, capability + 2, 2);
    if ((switches & PCI_MSIX_CONTROL_ENABLE) == 0 || (switches & PCI_MSIX_CONTROL_MASK_ALL) != 0 ||
        (control & 1) != 0 || (pci_model_get(model, PCI_COMMAND, 2) & PCI_COMMAND_MASTER) == 0)
        return false;
    if (data >= 0x4000 && inputs[data - 0x4000].routed && inputs[data - 0x4000].open)
        dispatch(data - 0x4000);
    return true;
}

/* ---- Time ---------------------------------------------------------------------------------------------- */

static struct timer *timers;

uint64_t clock_now(void)
{
    return world.now_ns;
}

static bool unlink_timer(struct timer *timer)
{
    for (struct timer **link = &timers; *link != NULL; link = &(*link)->next)
        if (*link == timer) {
            *link = timer->next;
            timer->next = NULL;
            timer->armed = false;
            world.timers--;
            return true;
        }
    return false;
}

void timer_start(struct timer *timer, uint64_t deadline_ns)
{
    unlink_timer(timer);
    timer->deadline_ns = deadline_ns;
    timer->armed = true;
    timer->next = timers;
    timers = timer;
    world.timers++;
}

void timer_cancel(struct timer *timer)
{
    unlink_timer(timer);
}

static struct timer *next_timer(void)
{
    struct timer *first = timers;

    for (struct timer *timer = timers; timer != NULL; timer = timer->next)
        if (timer->deadline_ns < first->deadline_ns)
            first = timer;
    return first;
}

void world_advance(uint64_t duration_ns)
{
    uint64_t end = world.now_ns + duration_ns;
    struct timer *timer;

    while ((timer = next_timer()) != NULL && timer->deadline_ns <= end) {
        if (world.now_ns < timer->deadline_ns)
            world.now_ns = timer->deadline_ns;
        unlink_timer(timer);
        world.interrupts_disabled++;
        timer->fire(timer);
        world.interrupts_disabled--;
    }
    world.now_ns = end;
}

void clock_spin(uint64_t nanoseconds)
{
    world.now_ns += nanoseconds;
}

void clock_sleep(void)
{
    void (*instead)(void) = world.on_sleep;

    assert_int_equal(world.interrupts_disabled, 1);
    world.interrupts_disabled = 0;
    world.sleeps++;
    world.on_sleep = NULL;
    if (instead != NULL)
        instead();
    else if (next_timer() == NULL)
        fail_msg("sleeps for ever");
    else
        world_advance(next_timer()->deadline_ns > world.now_ns ? next_timer()->deadline_ns - world.now_ns : 0);
    world.interrupts_disabled = 1;
}

/* ---- Drivers ---------------------------------------------------------------------------------------------- */

static enum status script_start(struct device *device, void **state)
{
    world_script.starts++;
    *state = device;
    return world_script.start != NULL ? world_script.start(device) : STATUS_OK;
}

static void script_handle(void *state, uint32_t events)
{
    world_script.handles++;
    world_script.events = events;
    if (world_script.handle != NULL)
        world_script.handle(state, events);
}

static void script_stop(void *state)
{
    world_script.stops++;
    note("stop:%s ", ((struct device *)state)->name);
    if (world_script.stop != NULL)
        world_script.stop(state);
}

#define SCRIPTED(variable, text, modern, legacy, kind)                                                                 \
    static const struct driver_match variable##_matches[] = {{DEVICE_BUS_PCI, 0x1af4, modern},                         \
                                                             {DEVICE_BUS_PCI, 0x1af4, legacy},                         \
                                                             {DEVICE_BUS_VIRTIO_MMIO, DEVICE_ANY_ID, kind}};           \
    const struct driver variable = {text, variable##_matches, 3, 0, script_start, script_handle, script_stop}

SCRIPTED(world_net, "virtio-net", 0x1041, 0x1000, 1);
SCRIPTED(world_blk, "virtio-blk", 0x1042, 0x1001, 2);
SCRIPTED(world_rng, "virtio-rng", 0x1044, 0x1005, 4);
const struct driver *const world_drivers[3] = {&world_net, &world_blk, &world_rng};

bool world_wanted(const char *driver)
{
    (void)driver;
    return true;
}

/* ---- Building ------------------------------------------------------------------------------------------ */

void world_slot(uint32_t device_id)
{
    struct machine_virtio_slot *slot = &world.machine->virtio_slots[world.machine->virtio_slot_count];
    uint32_t header[] = {0x74726976, 2, device_id, 0x554d4551};

    *slot = (struct machine_virtio_slot){
        .base = WORLD_SLOTS + world.machine->virtio_slot_count * (uint64_t)WORLD_SLOT_SIZE,
        .size = WORLD_SLOT_SIZE,
        .line = {.line = WORLD_FIRST_LINE + world.machine->virtio_slot_count, .trigger = TRIGGER_LEVEL},
    };
    memcpy(world_register(slot->base), header, sizeof header);
    world.machine->virtio_slot_count++;
}

int world_function(uint8_t devfn, uint16_t device_id, unsigned with)
{
    int index = pci_model_add(&world.pci, PCI_MODEL_ROOT, devfn, 0x1af4, device_id, 0x010000);
    struct pci_model_function *function = pci_model_at(&world.pci, index);
    unsigned common = pci_model_capability(function, PCI_CAPABILITY_VENDOR, 16);

    if ((with & WORLD_LEGACY) != 0)
        pci_model_bar(function, 0, PCI_BAR_IO, false, 0x40);
    pci_model_bar(function, 4, PCI_BAR_MEMORY32, false, 0x4000);
    pci_model_set(function, common + 2, 4, 0x00040110); /* length 16, common configuration, BAR 4 */
    pci_model_set(function, common + 3, 1, 1);
    pci_model_set(function, common + 4, 1, 4);
    pci_model_set(function, common + 8, 4, 0x100);
    pci_model_set(function, common + 12, 4, 0x38);
    if ((with & WORLD_MSIX) != 0)
        pci_model_msix(function, WORLD_VECTORS, 4, WORLD_TABLE, 4, 0x3000);
    if ((with & WORLD_EXPRESS) != 0)
        pci_model_express(function, (with & WORLD_RESET) != 0);
    return index;
}

static void announce_device(const char *name, const char *format, ...)
{
    size_t used = strlen(world.announced);
    va_list arguments;

    used += (size_t)snprintf(world.announced + used, sizeof world.announced - used, "%s: ", name);
    va_start(arguments, format);
    used += (size_t)vsnprintf(world.announced + used, sizeof world.announced - used, format, arguments);
    va_end(arguments);
    snprintf(world.announced + used, sizeof world.announced - used, "\n");
}

void world_discover(const struct driver *const list[], size_t count)
{
    if (world.pci.count != 0)
        world.machine->host_bridge_count = 1;
    devices_discover(world.machine, list, count, announce_device);
}

struct device *world_claimed(const char *name)
{
    struct device *device = device_find(name);

    assert_non_null(device);
    assert_int_equal(device_claim(device), STATUS_OK);
    return device;
}

/* ---- Begin and end ---------------------------------------------------------------------------------------- */

int world_begin(void **state)
{
    (void)state;
    world = (struct world){.messages = true, .ports = true};
    world_script = (struct world_script){0};
    world.machine = __real_calloc(1, sizeof *world.machine);
    world.room = __real_calloc(1, sizeof *world.room);
    machine_use_room(world.machine, world.room);
    world.machine->host_bridges[0] = (struct machine_host_bridge){
        .window_count = 2,
        .windows = {{PCI_WINDOW_MEMORY32, false, 0x10000000, 0x10000000, 0x100000},
                    {PCI_WINDOW_IO, false, 0x1000, 0x1000, 0x1000}},
        .intx_route_count = 1,
        .intx_routes = {{0, 1, {.line = WORLD_PCI_LINE, .trigger = TRIGGER_LEVEL, .polarity = POLARITY_LOW}}},
    };
    pci_model_init(&world.pci);
    add_region(WORLD_SLOTS, PAGE_SIZE);
    add_region(0x10000000, 0x400000);
    memset(port_bytes, 0, sizeof port_bytes);
    devices = NULL;
    devices_end = &devices;
    memset(driver_numbers, 0, sizeof driver_numbers);
    host_log_clear();
    return 0;
}

static void free_device(struct device *device, const struct pci_access **access)
{
    if (device->ownership.state == DEVICE_QUARANTINED)
        device_dma_end(device, true); /* even this machine has an end */
    for (unsigned i = 0; i < DEVICE_MAX_WINDOWS; i++)
        free(device->windows[i]);
    *access = device->function != NULL ? device->access : *access;
    free((void *)(uintptr_t)device->configuration);
    free(device->function);
    free(device);
}

int world_end(void **state)
{
    const struct pci_access *access = NULL;

    (void)state;
    slots_end();
    for (struct device *device = devices, *next; device != NULL; device = next) {
        next = device->next;
        device_revoke(device, "the test ends");
        free_device(device, &access);
    }
    free((void *)(uintptr_t)access);
    assert_int_equal(world.pages_live, 0);
    assert_int_equal(world.dirty_frees, 0);
    assert_int_equal(world.timers, 0);
    assert_int_equal(world.interrupts_disabled, 0);
    assert_int_equal(world.pci.strays, 0);
    for (unsigned i = 0; i < INTERRUPT_MAX_ROUTES; i++)
        assert_false(inputs[i].routed);
    for (unsigned i = 0; i < client_count; i++)
        free(clients[i].memory);
    for (unsigned i = 0; i < region_count; i++)
        free(regions[i].bytes);
    client_count = region_count = 0;
    pci_model_free(&world.pci);
    free(world.machine);
    free(world.room);
    return 0;
}
