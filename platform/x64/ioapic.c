/*
 * ioapic.c: I/O APICs: which wired line becomes which vector. [82093AA data sheet, §3]
 *
 * A line's number is its global system interrupt: an I/O APIC takes those from its first_line on, one per pin.
 */
#include "local.h"

#include <lib/log.h>

enum {
    SELECT = 0x00, /* memory-mapped: which register the window shows */
    WINDOW = 0x10,
    WINDOW_SIZE = 0x20,

    VERSION = 0x01,
    REDIRECTION = 0x10, /* two registers per pin */
    REDIRECTION_LOW_ACTIVE = 1 << 13,
    REDIRECTION_LEVEL = 1 << 15,
    REDIRECTION_MASKED = 1 << 16,
    DESTINATION_SHIFT = 24, /* of the higher register */

    MAX_PINS = 240,
};
#define USUAL_BASE UINT64_C(0xfec00000)

static struct io_apic {
    volatile void *base;
    uint64_t physical;
    uint32_t first_line;
    uint16_t pins;
} apics[MACHINE_MAX_IO_APICS];
static unsigned apic_count;

static uint32_t read(const struct io_apic *apic, uint32_t number)
{
    register_write32(apic->base, SELECT, number);
    return register_read32(apic->base, WINDOW);
}

static void write(const struct io_apic *apic, uint32_t number, uint32_t value)
{
    register_write32(apic->base, SELECT, number);
    register_write32(apic->base, WINDOW, value);
}

static const struct io_apic *find(uint32_t line, uint32_t *number)
{
    for (unsigned i = 0; i < apic_count; i++)
        if (line >= apics[i].first_line && line - apics[i].first_line < apics[i].pins) {
            *number = REDIRECTION + 2 * (line - apics[i].first_line);
            return &apics[i];
        }
    return NULL;
}

static void add(uint64_t physical, uint32_t first_line)
{
    struct io_apic *apic = &apics[apic_count];
    uint32_t version, pins;

    apic->base = vm_map_device(physical, WINDOW_SIZE);
    if (apic->base == NULL)
        return;
    version = read(apic, VERSION);
    pins = (version >> 16 & 0xff) + 1;
    if (version == 0 || pins > MAX_PINS) {
        log_warn("ioapic", "nothing that is an I/O APIC answers at 0x%llx (version register 0x%x); its lines are lost",
                 (unsigned long long)physical, version);
        return;
    }
    apic->physical = physical;
    apic->first_line = first_line;
    apic->pins = (uint16_t)pins;
    apic_count++;
    for (uint32_t pin = 0; pin < pins; pin++)
        write(apic, REDIRECTION + 2 * pin, REDIRECTION_MASKED);
}

void ioapic_init(const struct machine *machine)
{
    apic_count = 0;
    for (uint32_t i = 0; i < machine->io_apic_count && i < MACHINE_MAX_IO_APICS; i++)
        add(machine->io_apics[i].base, machine->io_apics[i].first_line);
    if (apic_count == 0) {
        log_info("ioapic", "firmware tells of no I/O APIC; looking at the usual place, 0x%llx",
                 (unsigned long long)USUAL_BASE);
        add(USUAL_BASE, 0);
    }
}

enum status ioapic_route(const struct machine_line *line, uint8_t vector, uint32_t apic_id)
{
    uint32_t number, low = REDIRECTION_MASKED | vector;
    const struct io_apic *apic = find(line->line, &number);

    if (apic == NULL)
        return STATUS_NOT_FOUND;
    if (apic_id > UINT8_MAX)
        return STATUS_UNSUPPORTED;
    if (line->trigger == TRIGGER_LEVEL)
        low |= REDIRECTION_LEVEL;
    if (line->polarity == POLARITY_LOW)
        low |= REDIRECTION_LOW_ACTIVE;
    write(apic, number, REDIRECTION_MASKED);
    write(apic, number + 1, apic_id << DESTINATION_SHIFT);
    write(apic, number, low);
    return STATUS_OK;
}

void ioapic_mask(uint32_t line)
{
    uint32_t number;
    const struct io_apic *apic = find(line, &number);

    if (apic != NULL)
        write(apic, number, read(apic, number) | REDIRECTION_MASKED);
}

void ioapic_unmask(uint32_t line)
{
    uint32_t number;
    const struct io_apic *apic = find(line, &number);

    if (apic != NULL)
        write(apic, number, read(apic, number) & ~(uint32_t)REDIRECTION_MASKED);
}

void ioapic_report(struct printer *printer)
{
    for (unsigned i = 0; i < apic_count; i++)
        print(printer, "io apic: lines %u to %u, at 0x%llx\n", apics[i].first_line,
              apics[i].first_line + apics[i].pins - 1, (unsigned long long)apics[i].physical);
}
