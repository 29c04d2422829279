/*
 * test_ns16550.c: the UART driver against a model of the chip, also a chip that is stuck or is not there.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>
#include <platform/ns16550.h>

static struct {
    bool absent, stuck, fifos, divisor_access, no_scratch;
    uint8_t scratch, line_control, fifo_control, interrupts;
    uint16_t divisor;
    unsigned room, polls, overruns;
    char sent[256];
    size_t sent_count;
    const char *typed;
} chip;

static void send(uint8_t value)
{
    if (chip.room == 0)
        chip.overruns++;
    else
        chip.room--;
    if (chip.sent_count < sizeof chip.sent)
        chip.sent[chip.sent_count++] = (char)value;
}

static uint8_t read_line_status(void)
{
    uint8_t received = *chip.typed != '\0' ? 1 : 0;

    chip.polls++;
    if (chip.stuck)
        return received;
    if (chip.polls % 3 == 0)
        chip.room = chip.fifos && (chip.fifo_control & 1) != 0 ? 16 : 1;
    return (uint8_t)(received | (chip.room != 0 && chip.polls % 3 == 0 ? 0x20 : 0));
}

static uint8_t read_chip(const struct ns16550 *port, unsigned number)
{
    (void)port;
    if (chip.absent)
        return 0xff;
    switch (number) {
    case 0:
        return *chip.typed != '\0' ? (uint8_t)*chip.typed++ : 0;
    case 2:
        return chip.fifos && (chip.fifo_control & 1) != 0 ? 0xc1 : 0x01;
    case 5:
        return read_line_status();
    case 1:
        return chip.interrupts;
    case 7:
        return chip.no_scratch ? 0xff : chip.scratch;
    default:
        return 0;
    }
}

static void write_chip(const struct ns16550 *port, unsigned number, uint8_t value)
{
    bool divisor = (chip.line_control & 0x80) != 0;

    (void)port;
    switch (number) {
    case 0:
        if (divisor)
            chip.divisor = (uint16_t)((chip.divisor & 0xff00) | value);
        else
            send(value);
        break;
    case 1:
        if (divisor)
            chip.divisor = (uint16_t)((chip.divisor & 0xff) | value << 8);
        else
            chip.interrupts = value & 0x0f;
        break;
    case 2:
        chip.fifo_control = value;
        break;
    case 3:
        chip.line_control = value;
        break;
    case 7:
        chip.scratch = value;
        break;
    default:
        break;
    }
}

static struct ns16550 make_port(void)
{
    memset(&chip, 0, sizeof chip);
    chip.fifos = true;
    chip.typed = "";
    return (struct ns16550){.read = read_chip, .write = write_chip};
}

static void presence(void **state)
{
    struct ns16550 port = make_port();

    (void)state;
    chip.scratch = 0x77;
    assert_true(ns16550_present(&port));
    assert_int_equal(chip.scratch, 0x77);
    chip.no_scratch = true; /* an 8250 */
    chip.interrupts = 1;
    assert_true(ns16550_present(&port));
    assert_int_equal(chip.interrupts, 1);
    chip.absent = true;
    assert_false(ns16550_present(&port));
}

static void divisor_only_when_known(void **state)
{
    struct ns16550 port = make_port();

    (void)state;
    chip.divisor = 0x1234;
    ns16550_init(&port, 1843200, 0);
    assert_int_equal(chip.divisor, 0x1234);
    ns16550_init(&port, 0, 115200);
    assert_int_equal(chip.divisor, 0x1234);
    ns16550_init(&port, UINT32_MAX, 1); /* does not fit into 16 bits */
    assert_int_equal(chip.divisor, 0x1234);
    ns16550_init(&port, 1843200, 115200);
    assert_int_equal(chip.divisor, 1);
    ns16550_init(&port, 3686400, 9600);
    assert_int_equal(chip.divisor, 24);
    assert_int_equal(chip.line_control, 3);
}

static void never_overruns(void **state)
{
    static const char text[] = "a line that is longer than two FIFOs of sixteen bytes each";

    (void)state;
    for (int fifos = 0; fifos < 2; fifos++) {
        struct ns16550 port = make_port();
        chip.fifos = fifos != 0;
        ns16550_init(&port, 0, 0);
        chip.room = 0;
        ns16550_write(&port, text, sizeof text - 1);
        assert_int_equal(chip.overruns, 0);
        assert_int_equal(chip.sent_count, sizeof text - 1);
        assert_memory_equal(chip.sent, text, sizeof text - 1);
    }
}

static void stuck_transmitter_costs_one_wait(void **state)
{
    struct ns16550 port = make_port();

    (void)state;
    ns16550_init(&port, 0, 0);
    chip.stuck = true;
    chip.polls = 0;
    ns16550_write(&port, "lost", 4);
    assert_in_range(chip.polls, 1000, 1000000);
    assert_int_equal(chip.sent_count, 0);

    chip.polls = 0;
    for (int line = 0; line < 100; line++)
        ns16550_write(&port, "lost", 4);
    assert_in_range(chip.polls, 1, 100);

    chip.stuck = false;
    chip.polls = 0;
    for (int line = 0; line < 3; line++) /* the model is ready at every third look */
        ns16550_write(&port, "x", 1);
    assert_int_equal(chip.sent_count, 1);
    ns16550_write(&port, "abc", 3);
    assert_int_equal(chip.sent_count, 4);
}

static void absent_chip_does_not_hang(void **state)
{
    struct ns16550 port = make_port();

    (void)state;
    chip.absent = true;
    ns16550_init(&port, 0, 0);
    ns16550_write(&port, "nobody", 6);
    assert_int_equal(ns16550_read(&port), 0xff); /* whoever reads in a loop bounds it */
}

static void input(void **state)
{
    struct ns16550 port = make_port();

    (void)state;
    ns16550_init(&port, 0, 0);
    assert_int_equal(chip.interrupts, 0);
    ns16550_listen(&port);
    assert_int_equal(chip.interrupts, 1);
    chip.typed = "ok";
    assert_int_equal(ns16550_read(&port), 'o');
    assert_int_equal(ns16550_read(&port), 'k');
    assert_int_equal(ns16550_read(&port), -1);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(presence),
        cmocka_unit_test(divisor_only_when_known),
        cmocka_unit_test(never_overruns),
        cmocka_unit_test(stuck_transmitter_costs_one_wait),
        cmocka_unit_test(absent_chip_does_not_hang),
        cmocka_unit_test(input),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
