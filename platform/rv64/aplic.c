/*
 * aplic.c: the advanced platform-level interrupt controller, supervisor domain, `-M virt,aia=aplic` (interrupts
 * the hart itself) and `-M virt,aia=aplic-imsic` (sends messages) [RISC-V AIA 1.0 §4].
 *
 * The machine's firmware has delegated the sources to this domain and set where messages go.
 */
#include "controllers.h"

#include <lib/log.h>
#include <lib/malloc.h>
#include <lib/string.h>
#include <platform/interrupt.h>
#include <platform/mmu.h>

enum { /* byte offsets, §4.5; all are 32 bits */
       DOMAIN = 0x0000,
       DOMAIN_ENABLE = 1 << 8,
       DOMAIN_MESSAGES = 1 << 2,
       SOURCE = 0x0000, /* + 4 * source */
       SOURCE_INACTIVE = 0,
       SOURCE_RISING = 4,
       SOURCE_FALLING = 5,
       SOURCE_HIGH = 6,
       SOURCE_LOW = 7,
       SET_PENDING_NUMBER = 0x1cdc,
       INPUT_CLEAR_PENDING = 0x1d00, /* a bit for each source; read: the rectified input */
       CLEAR_PENDING_NUMBER = 0x1ddc,
       SET_ENABLE_NUMBER = 0x1edc,
       CLEAR_ENABLE = 0x1f00, /* a bit for each source */
       CLEAR_ENABLE_NUMBER = 0x1fdc,
       TARGET = 0x3000, /* + 4 * source */
       TARGET_HART_SHIFT = 18,
       TARGET_PRIORITY = 1,
       HARTS = 0x4000, /* direct delivery, §4.8 */
       HART_STRIDE = 32,
       HART_DELIVERY = 0x00,
       HART_FORCE = 0x04,
       HART_THRESHOLD = 0x08,
       HART_CLAIM = 0x1c,
       HART_CLAIM_SOURCE_SHIFT = 16,

       MAX_SOURCES = 1023,
       MAX_HART_INDEX = 16383,
       ROUTE_NONE = UINT8_MAX,
};

_Static_assert(INTERRUPT_MAX_ROUTES <= ROUTE_NONE, "a byte holds a route");

static struct {
    volatile uint8_t *registers, *hart; /* hart: direct delivery's registers for the boot hart */
    uint8_t *routes;                    /* by source, for direct delivery */
    uint32_t source_count, hart_index;
    bool messages;
} aplics[MACHINE_MAX_APLICS];

static uint32_t get(uint32_t index, uint32_t offset)
{
    return *(volatile uint32_t *)(aplics[index].registers + offset);
}

static void set(uint32_t index, uint32_t offset, uint32_t value)
{
    *(volatile uint32_t *)(aplics[index].registers + offset) = value;
}

static void set_hart(uint32_t index, uint32_t offset, uint32_t value)
{
    *(volatile uint32_t *)(aplics[index].hart + offset) = value;
}

/* ---- Set-up ----------------------------------------------------------------------------------------- */

static bool prepare_messages(const struct machine_aplic *described, uint32_t index)
{
    if (!imsic_present()) {
        log_warn("aplic", "the one at 0x%llx sends messages, and nothing takes them; it is not used",
                 (unsigned long long)described->base);
        return false;
    }
    aplics[index].hart_index = imsic_hart_index();
    return true;
}

static bool prepare_direct(const struct machine *machine, const struct machine_aplic *described, uint32_t index,
                           uint32_t cpu)
{
    uint32_t number = UINT32_MAX;

    for (uint32_t i = 0; i < described->context_count && described->first_context + i < machine->context_count; i++) {
        const struct machine_context *context = &machine->contexts[described->first_context + i];
        if (context->cpu == cpu)
            number = context->number;
    }
    uint64_t place = HARTS + (uint64_t)number * HART_STRIDE;
    if (imsic_present() || number > MAX_HART_INDEX || (described->size != 0 && place + HART_STRIDE > described->size)) {
        log_warn("aplic", "the one at 0x%llx cannot interrupt the boot hart; it is not used",
                 (unsigned long long)described->base);
        return false;
    }
    aplics[index].hart_index = number;
    aplics[index].hart = vm_map_device(described->base + place, HART_STRIDE);
    if (aplics[index].hart == NULL || !device_answers(aplics[index].hart, sizeof(uint32_t))) {
        log_warn("aplic", "the registers at 0x%llx cannot be reached", (unsigned long long)(described->base + place));
        return false;
    }
    aplics[index].routes = malloc(described->source_count + 1);
    if (aplics[index].routes == NULL) {
        log_error("aplic", "no memory for the routes of %u sources", described->source_count);
        return false;
    }
    memset(aplics[index].routes, ROUTE_NONE, described->source_count + 1);
    return true;
}

static bool aplic_init(const struct machine *machine, uint32_t index, uint32_t cpu)
{
    const struct machine_aplic *described = &machine->aplics[index];
    uint32_t mode = described->messages ? DOMAIN_MESSAGES : 0, count = described->source_count;

    if (count == 0 || count > MAX_SOURCES || described->base % PAGE_SIZE != 0) {
        log_warn("aplic", "the one at 0x%llx is said to have %u sources; it is not used",
                 (unsigned long long)described->base, count);
        return false;
    }
    if (!(described->messages ? prepare_messages(described, index) : prepare_direct(machine, described, index, cpu)))
        return false;
    aplics[index].registers = vm_map_device(described->base, HARTS);
    if (aplics[index].registers == NULL || !device_answers(aplics[index].registers, sizeof(uint32_t))) {
        log_warn("aplic", "the registers at 0x%llx cannot be reached", (unsigned long long)described->base);
        return false;
    }
    aplics[index].source_count = count;
    aplics[index].messages = described->messages;

    set(index, DOMAIN, 0);
    for (uint32_t word = 0; word <= count / 32; word++)
        set(index, CLEAR_ENABLE + 4 * word, UINT32_MAX);
    for (uint32_t source = 1; source <= count; source++)
        set(index, SOURCE + 4 * source, SOURCE_INACTIVE);
    set(index, DOMAIN, DOMAIN_ENABLE | mode);
    if ((get(index, DOMAIN) & (DOMAIN_ENABLE | DOMAIN_MESSAGES)) != (DOMAIN_ENABLE | mode)) {
        log_warn("aplic", "the one at 0x%llx refuses %s delivery; it is not used", (unsigned long long)described->base,
                 described->messages ? "message" : "direct");
        return false;
    }
    if (!described->messages) {
        set_hart(index, HART_FORCE, 0);
        set_hart(index, HART_THRESHOLD, 0);
        set_hart(index, HART_DELIVERY, 1);
    }
    return true;
}

/* ---- Sources ---------------------------------------------------------------------------------------- */

static enum status aplic_attach(uint32_t index, uint32_t source, const struct machine_line *line, uint32_t route)
{
    bool edge = line->trigger == TRIGGER_EDGE, low = line->polarity == POLARITY_LOW;
    uint32_t mode = edge ? (low ? SOURCE_FALLING : SOURCE_RISING) : low ? SOURCE_LOW : SOURCE_HIGH;
    uint32_t what = aplics[index].messages ? imsic_identity(route) : TARGET_PRIORITY;

    set(index, CLEAR_ENABLE_NUMBER, source);
    set(index, SOURCE + 4 * source, mode);
    if (get(index, SOURCE + 4 * source) != mode) { /* not wired, not delegated to us, or not of this kind */
        set(index, SOURCE + 4 * source, SOURCE_INACTIVE);
        return STATUS_NOT_FOUND;
    }
    set(index, TARGET + 4 * source, aplics[index].hart_index << TARGET_HART_SHIFT | what);
    set(index, CLEAR_PENDING_NUMBER, source);
    if (!aplics[index].messages)
        aplics[index].routes[source] = (uint8_t)route;
    return STATUS_OK;
}

static void aplic_release(uint32_t index, uint32_t source)
{
    set(index, SOURCE + 4 * source, SOURCE_INACTIVE);
    if (!aplics[index].messages)
        aplics[index].routes[source] = ROUTE_NONE;
}

static void aplic_mask(uint32_t index, uint32_t source)
{
    set(index, CLEAR_ENABLE_NUMBER, source);
}

/* A level is sent as a message once, when it becomes asserted; if it still is, software has to have it sent
 * again [§4.9.2]. The input is looked at first, since not every APLIC ignores the request when it is not. */
void aplic_message_handled(uint32_t index, uint32_t source)
{
    uint32_t mode = get(index, SOURCE + 4 * source);

    if ((mode == SOURCE_HIGH || mode == SOURCE_LOW) &&
        (get(index, INPUT_CLEAR_PENDING + 4 * (source / 32)) >> source % 32 & 1) != 0)
        set(index, SET_PENDING_NUMBER, source);
}

static void aplic_unmask(uint32_t index, uint32_t source)
{
    set(index, SET_ENABLE_NUMBER, source);
    if (aplics[index].messages)
        aplic_message_handled(index, source);
}

static unsigned aplic_deliver(uint32_t index)
{
    unsigned count = 0;

    if (aplics[index].messages)
        return 0;
    for (; count < INTERRUPTS_PER_TURN; count++) {
        uint32_t source = *(volatile uint32_t *)(aplics[index].hart + HART_CLAIM) >> HART_CLAIM_SOURCE_SHIFT;
        if (source == 0)
            break;
        if (source > aplics[index].source_count || aplics[index].routes[source] == ROUTE_NONE)
            interrupt_spurious("APLIC source", source);
        else
            interrupt_dispatch(aplics[index].routes[source]);
    }
    return count;
}

const struct wire_controller aplic = {
    .init = aplic_init,
    .attach = aplic_attach,
    .release = aplic_release,
    .mask = aplic_mask,
    .unmask = aplic_unmask,
    .deliver = aplic_deliver,
};
