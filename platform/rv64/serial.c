/*
 * serial.c: the firmware's console until the machine is known, then a 16550 in memory (`-serial stdio`).
 */
#include "local.h"
#include "sbi.h"

#include <lib/log.h>
#include <platform/interrupt.h>
#include <platform/mmu.h>
#include <platform/ns16550.h>
#include <platform/serial.h>

enum { REGISTER_COUNT = 8, BYTES_PER_INTERRUPT = 256 };

static enum { OUTPUT_NONE, OUTPUT_FIRMWARE, OUTPUT_UART } output;
static struct ns16550 port;
static struct machine_uart uart;
static unsigned moves;
static void (*receiver)(uint8_t byte);

/* ---- Choosing --------------------------------------------------------------------------------------- */

void serial_early_init(void)
{
    if (sbi_console_present())
        output = OUTPUT_FIRMWARE;
}

static bool take(const struct machine_uart *candidate)
{
    uint8_t width = candidate->registers.access_bytes, shift = candidate->register_shift;

    if (candidate->kind != UART_NS16550 || candidate->registers.space != ADDRESS_MEMORY) {
        if (candidate->registers.space == ADDRESS_PORT)
            log_warn("serial", "the serial port at 0x%llx would be in port space, which this CPU has not",
                     (unsigned long long)candidate->registers.address);
        return false;
    }
    if (width == 0)
        width = 1;
    if (shift > 4 || width > 4 || candidate->registers.address % width != 0 || width > 1 << shift) {
        log_warn("serial", "the registers of the ns16550 at 0x%llx are said to be %u bytes wide, %u bytes apart",
                 (unsigned long long)candidate->registers.address, width, 1u << (shift & 15));
        return false;
    }

    struct ns16550 found = {
        .read = ns16550_memory_read,
        .write = ns16550_memory_write,
        .base = (uintptr_t)vm_map_device(candidate->registers.address, (uint64_t)REGISTER_COUNT << shift),
        .shift = shift,
        .width = width,
    };
    if (found.base == 0 || !device_answers((const volatile void *)found.base, width) || !ns16550_present(&found)) {
        log_warn("serial", "nothing answers like an ns16550 at 0x%llx",
                 (unsigned long long)candidate->registers.address);
        return false;
    }
    ns16550_init(&found, candidate->clock_hz, candidate->baud);
    port = found;
    uart = *candidate;
    output = OUTPUT_UART;
    return true;
}

bool serial_init(const struct machine *machine)
{
    for (unsigned console = 2; console-- > 0;)
        for (uint32_t i = 0; i < machine->uart_count; i++)
            if (machine->uarts[i].console == (console != 0)) {
                /* What firmware names may be itself. */
                if (machine->uarts[i].kind == UART_SBI && console != 0 && output == OUTPUT_FIRMWARE)
                    return true;
                if (take(&machine->uarts[i]))
                    return true;
            }
    return false;
}

bool serial_adopt(const struct machine_uart *candidate)
{
    bool same = output == OUTPUT_UART && uart.registers.address == candidate->registers.address,
         before = output != OUTPUT_NONE;

    if (same) {
        uart.line = candidate->line;
        return true;
    }
    if (!take(candidate))
        return false;
    moves += before;
    return true;
}

/* The debug console extension is there only when the firmware has a port; the legacy call may lead nowhere. */
bool serial_settled(void)
{
    return output == OUTPUT_UART || (output == OUTPUT_FIRMWARE && sbi_has(SBI_CONSOLE));
}

unsigned serial_moves(void)
{
    return moves;
}

void serial_report(struct printer *printer)
{
    if (output != OUTPUT_UART) {
        print(printer, "serial: %s\n", output == OUTPUT_FIRMWARE ? "the firmware's console, polled" : "none");
        return;
    }
    print(printer, "serial: 16550 at address 0x%llx, ", (unsigned long long)uart.registers.address);
    if (uart.line.line != MACHINE_NO_LINE)
        print(printer, "line %u\n", uart.line.line);
    else
        print(printer, "polled\n");
}

/* ---- Output ----------------------------------------------------------------------------------------- */

bool serial_ready(void)
{
    return output != OUTPUT_NONE;
}

static void put(const char *text, size_t length)
{
    if (output == OUTPUT_UART)
        ns16550_write(&port, text, length);
    else if (output == OUTPUT_FIRMWARE)
        for (size_t i = 0; i < length; i++)
            sbi_console_write((uint8_t)text[i]);
}

void serial_write(const char *text, size_t length)
{
    for (size_t start = 0; start < length;) {
        size_t end = start;
        while (end < length && text[end] != '\n')
            end++;
        put(text + start, end - start);
        if (end < length)
            put("\r\n", 2);
        start = end + 1;
    }
}

/* ---- Input ------------------------------------------------------------------------------------------ */

void serial_poll(void)
{
    for (unsigned i = 0; i < BYTES_PER_INTERRUPT && receiver != NULL; i++) {
        int byte = output == OUTPUT_UART ? ns16550_read(&port) : output == OUTPUT_FIRMWARE ? sbi_console_read() : -1;
        if (byte < 0)
            break;
        receiver((uint8_t)byte);
    }
}

static void received(void *context)
{
    (void)context;
    serial_poll();
}

bool serial_listen(void (*receive)(uint8_t byte))
{
    uint32_t route;

    receiver = receive;
    if (output != OUTPUT_UART || uart.line.line == MACHINE_NO_LINE)
        return false;

    enum status status = interrupt_attach_line(&uart.line, "serial", received, NULL, &route);
    if (status != STATUS_OK) {
        log_warn("serial", "line %u cannot be routed: %s; input is polled", uart.line.line, status_text(status));
        return false;
    }
    interrupt_unmask(route);
    ns16550_listen(&port);
    return true;
}
