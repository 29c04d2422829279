/* discovery.c: prints the machine, and checks that what was learned can be a machine. */
#include <kernel/selftest.h>

#include <kernel/kernel.h>
#include <kernel/log.h>

#include <authority/device.h>
#include <lib/string.h>
#include <machine/readers.h>

/* The report's lines go through the log, so that they are kept and have their place in it. */
struct report {
    struct printer printer;
    char line[200];
    size_t length;
};

static void report_write(struct printer *printer, const char *text, size_t length)
{
    struct report *report = (struct report *)printer;

    for (size_t i = 0; i < length; i++)
        if (text[i] == '\n') {
            report->line[report->length] = '\0';
            if (report->length != 0)
                log_info("discovery", "%s", report->line);
            report->length = 0;
        } else if (report->length < sizeof report->line - 1) {
            report->line[report->length++] = text[i];
        }
}

static const char *contradiction(void)
{
    uint64_t usable = 0;

    for (uint32_t i = 0; i < machine.memory_count; i++) {
        if (i != 0 && machine.memory[i].base < machine.memory[i - 1].base + machine.memory[i - 1].size)
            return "two memory ranges overlap";
        if (machine.memory[i].kind == MEMORY_USABLE)
            usable += machine.memory[i].size;
    }
    if (usable < 16u << 20)
        return "less than 16 MiB of memory is usable";
    if (machine.cpu_count == 0)
        return "no CPU was found";
    if ((machine.has_acpi || machine.has_device_tree) && machine.io_apic_count == 0 && machine.gic.version == 0 &&
        machine.plic_count == 0 && machine.aplic_count == 0)
        return "no interrupt controller was found";
    return NULL;
}

void selftest_discovery(struct selftest_result *result)
{
    struct report report = {.printer.write = report_write};
    const char *wrong = contradiction();
    unsigned devices = 0;

    machine_report(&machine, &report.printer);
    for (struct device *device = device_first(); device != NULL; device = device->next)
        devices++;
    if (wrong != NULL)
        selftest_is(result, SELFTEST_FAIL, "%s", wrong);
    else
        selftest_is(result, SELFTEST_PASS, "%u CPUs, %u memory ranges, %u serial ports, %u host bridges, %u devices",
                    machine.cpu_count, machine.memory_count, machine.uart_count, machine.host_bridge_count, devices);
}
