/* test_acpi_serial.c: which serial port SPCR and DBG2 name, by tables as clouds and odd machines have them. */
#include "acpi_tables.h"
#include <lib/bytes.h>
#include "host_log.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

/* One SPCR, and the UART that it means. */
struct row {
    const char *name;
    void (*make)(void);
    struct fields {
        uint8_t revision, interface, space, bits, access;
        uint64_t address;
        uint8_t interrupt_type, baud;
        uint32_t line;
        uint16_t pci_vendor, pci_device; /* 0xffff: none */
        uint8_t slot;
        uint32_t clock, precise_baud;
    } table;
    struct machine_uart expected;
};

#define NONE MACHINE_NO_LINE

static const struct row rows[] = {
    {"AWS m6g, a virtual 16550 in memory",
     make_arm64,
     {2, 0x12, 0, 8, 1, 0x90a0000, 8, 7, 37, 0xffff, 0xffff, 0, 0, 0},
     {.kind = UART_NS16550, .registers = {ADDRESS_MEMORY, 1, 0, 0x90a0000}, .baud = 115200, .line = {.line = 37}}},
    {"AWS a1.metal, the same as a PCI function",
     make_arm64,
     {2, 0x00, 0, 8, 1, 0x83e00000, 0, 7, 0, 0x1d0f, 0x8250, 1, 0, 0},
     {.kind = UART_NS16550,
      .registers = {ADDRESS_MEMORY, 1, 0, 0x83e00000},
      .baud = 115200,
      .line = {.line = NONE},
      .pci = true,
      .pci_function = 1 << 3}},
    {"a PCI function whose address is left to its BAR",
     make_arm64,
     {2, 0x00, 0, 0, 0, 0, 0, 7, 0, 0x1d0f, 0x8250, 1, 0, 0},
     {.kind = UART_NS16550,
      .registers = {ADDRESS_NONE, 0, 0, 0},
      .baud = 115200,
      .line = {.line = NONE},
      .pci = true,
      .pci_function = 1 << 3}},
    {"Azure arm64",
     make_arm64,
     {2, 0x03, 0, 32, 3, 0xeffec000, 8, 7, 33, 0xffff, 0xffff, 0, 0, 0},
     {.kind = UART_PL011, .registers = {ADDRESS_MEMORY, 4, 0, 0xeffec000}, .baud = 115200, .line = {.line = 33}}},
    {"Azure x64, Hyper-V's COM1",
     make_pc,
     {2, 0x00, 1, 8, 0, 0x3f8, 1 | 2, 7, 4, 0xffff, 0xffff, 0, 0, 0},
     {.kind = UART_NS16550, .registers = {ADDRESS_PORT, 1, 0, 0x3f8}, .baud = 115200, .line = {.line = 4}}},
    {"SBSA, 32-bit accesses only",
     make_arm64,
     {2, 0x0d, 0, 32, 3, 0x2a400000, 8, 0, 40, 0xffff, 0xffff, 0, 0, 0},
     {.kind = UART_PL011, .registers = {ADDRESS_MEMORY, 4, 0, 0x2a400000}, .line = {.line = 40}}},
    {"SBSA",
     make_arm64,
     {2, 0x0e, 0, 32, 3, 0x2a400000, 8, 3, 40, 0xffff, 0xffff, 0, 0, 0},
     {.kind = UART_PL011, .registers = {ADDRESS_MEMORY, 4, 0, 0x2a400000}, .baud = 9600, .line = {.line = 40}}},
    {"X-Gene: 8 bits, accesses of 32",
     make_arm64,
     {2, 0x00, 0, 8, 3, 0x1c020000, 8, 7, 108, 0xffff, 0xffff, 0, 0, 0},
     {.kind = UART_NS16550,
      .registers = {ADDRESS_MEMORY, 4, 0, 0x1c020000},
      .register_shift = 2,
      .baud = 115200,
      .line = {.line = 108}}},
    {"QEMU rv64: 32 bits, accesses of 8",
     make_rv64,
     {2, 0x00, 0, 32, 1, 0x10000000, 16, 7, 10, 0xffff, 0xffff, 0, 0, 0},
     {.kind = UART_NS16550, .registers = {ADDRESS_MEMORY, 1, 0, 0x10000000}, .baud = 115200, .line = {.line = 10}}},
    {"registers of 32 bits, the access not said",
     make_arm64,
     {2, 0x12, 0, 32, 0, 0x10000000, 8, 7, 50, 0xffff, 0xffff, 0, 0, 0},
     {.kind = UART_NS16550,
      .registers = {ADDRESS_MEMORY, 4, 0, 0x10000000},
      .register_shift = 2,
      .baud = 115200,
      .line = {.line = 50}}},
    {"of 16 bits, the access not said",
     make_arm64,
     {2, 0x12, 0, 16, 0, 0x10000000, 8, 7, 50, 0xffff, 0xffff, 0, 0, 0},
     {.kind = UART_NS16550,
      .registers = {ADDRESS_MEMORY, 2, 0, 0x10000000},
      .register_shift = 1,
      .baud = 115200,
      .line = {.line = 50}}},
    {"zeros for no PCI function",
     make_arm64,
     {2, 0x03, 0, 32, 3, 0x9000000, 8, 7, 33, 0, 0, 0, 0, 0},
     {.kind = UART_PL011, .registers = {ADDRESS_MEMORY, 4, 0, 0x9000000}, .baud = 115200, .line = {.line = 33}}},
    {"clock and speed in numbers",
     make_pc,
     {4, 0x00, 1, 8, 1, 0x2f8, 1, 0, 0, 0xffff, 0xffff, 0, 24000000, 1500000},
     {.kind = UART_NS16550,
      .registers = {ADDRESS_PORT, 1, 0, 0x2f8},
      .clock_hz = 24000000,
      .baud = 1500000,
      .line = {.line = 3}}},
    {"A51: a speed that is none",
     make_pc,
     {4, 0x00, 1, 8, 1, 0x2f8, 1, 255, 0, 0xffff, 0xffff, 0, 24000000, 1},
     {.kind = UART_NS16550, .registers = {ADDRESS_PORT, 1, 0, 0x2f8}, .clock_hz = 24000000, .line = {.line = 3}}},
    {"and one that is too much",
     make_pc,
     {4, 0x00, 1, 8, 1, 0x2f8, 1, 0, 0, 0xffff, 0xffff, 0, 24000000, UINT32_MAX},
     {.kind = UART_NS16550, .registers = {ADDRESS_PORT, 1, 0, 0x2f8}, .clock_hz = 24000000, .line = {.line = 3}}},
    {"SBI",
     make_rv64,
     {4, 0x15, 0, 0, 0, 0, 0, 0, 0, 0xffff, 0xffff, 0, 0, 0},
     {.kind = UART_SBI, .registers = {ADDRESS_NONE, 0, 0, 0}, .line = {.line = NONE}}},
};

static void put_spcr(const struct row *row)
{
    const struct fields *fields = &row->table;
    struct table *spcr = NULL;

    row->make();
    for (unsigned i = 0; i < set.count; i++)
        if (memcmp(set.tables[i].signature, "SPCR", 4) == 0)
            spcr = &set.tables[i];
    if (spcr == NULL)
        spcr = new_table("SPCR", 2, 88);
    memset(spcr->bytes + HEADER, 0, 88 - HEADER);
    spcr->revision = fields->revision;
    spcr->length = fields->revision >= 3 ? 88 : 80;
    spcr->bytes[36] = fields->interface;
    gas(spcr->bytes + 40, fields->space, fields->bits, fields->access, fields->address);
    spcr->bytes[52] = fields->interrupt_type;
    spcr->bytes[53] = fields->interrupt_type == 1 ? 3 : 4;
    store_le32(spcr->bytes + 54, fields->line);
    spcr->bytes[58] = fields->baud;
    le16(spcr->bytes + 64, fields->pci_device);
    le16(spcr->bytes + 66, fields->pci_vendor);
    spcr->bytes[69] = fields->slot;
    if (fields->revision >= 3) {
        store_le32(spcr->bytes + 76, fields->clock);
        store_le32(spcr->bytes + 80, fields->precise_baud);
    }
}

static bool same(const struct machine_uart *a, const struct machine_uart *b)
{
    return a->kind == b->kind && a->registers.space == b->registers.space &&
           a->registers.access_bytes == b->registers.access_bytes && a->registers.address == b->registers.address &&
           a->register_shift == b->register_shift && a->clock_hz == b->clock_hz && a->baud == b->baud &&
           a->line.line == b->line.line && a->pci == b->pci && a->pci_function == b->pci_function;
}

static void clouds(void **state)
{
    (void)state;
    for (unsigned i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        put_spcr(&rows[i]);
        assert_int_equal(run(), STATUS_OK);
        if (m.uart_count != 1 || !m.uarts[0].console || !same(&m.uarts[0], &rows[i].expected))
            fail_msg("%s: %u UARTs, kind %d, space %d, address %llx, access %u, shift %u, baud %u, line %u, %s",
                     rows[i].name, m.uart_count, m.uarts[0].kind, m.uarts[0].registers.space,
                     (unsigned long long)m.uarts[0].registers.address, m.uarts[0].registers.access_bytes,
                     m.uarts[0].register_shift, m.uarts[0].baud, m.uarts[0].line.line, host_log_text());
        assert_int_equal(host_log_count(LOG_WARN) + host_log_count(LOG_ERROR), 0);
    }
}

/* GCP's x64 machines have no SPCR: COM1 is assumed, and whoever drives it looks whether it is there. */
static void no_table(void **state)
{
    (void)state;
    make_pc();
    run();
    assert_int_equal(m.uart_count, 1);
    assert_int_equal(m.uarts[0].registers.space, ADDRESS_PORT);
    assert_int_equal(m.uarts[0].registers.address, 0x3f8);
    assert_false(m.uarts[0].console);
}

/* What cannot be used is said, and a PC then has its COM1 all the same. */
static void useless(void **state)
{
    struct row row = {"", make_pc, {2, 0x77, 1, 8, 1, 0x2f8, 1, 7, 0, 0xffff, 0xffff, 0, 0, 0}, {0}};

    (void)state;
    put_spcr(&row);
    run();
    assert_true(host_log_has("SPCR names a serial port of type 0x77, which is unknown"));
    assert_int_equal(m.uarts[0].registers.address, 0x3f8);
    row = (struct row){"", make_arm64, {2, 0x03, 0, 32, 3, 0x200000, 8, 7, 33, 0xffff, 0xffff, 0, 0, 0}, {0}};
    put_spcr(&row);
    run();
    assert_true(host_log_has("UART at 0x200000 would lie in memory"));
    assert_int_equal(m.uart_count, 0);
    row = (struct row){"", make_arm64, {2, 0x03, 0x7f, 32, 3, 0x9000000, 8, 7, 33, 0xffff, 0xffff, 0, 0, 0}, {0}};
    put_spcr(&row);
    run();
    assert_true(host_log_has("SPCR names a serial port without a usable address"));
    assert_int_equal(m.uart_count, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(clouds),
        cmocka_unit_test(no_table),
        cmocka_unit_test(useless),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
