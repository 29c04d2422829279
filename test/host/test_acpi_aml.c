/* test_acpi_aml.c: what is read from AML besides \_S5: SSDTs, virtio-mmio slots, windows of host bridges. */
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

/* ---- An assembler of few words ------------------------------------------------------------------------- */

struct code {
    uint8_t bytes[0x3000];
    uint32_t length;
};

static void put(struct code *code, const void *bytes, size_t size)
{
    assert_true(code->length + size <= sizeof code->bytes);
    memcpy(code->bytes + code->length, bytes, size);
    code->length += (uint32_t)size;
}

static void text(struct code *code, const char *words)
{
    put(code, words, strlen(words));
}

static void byte(struct code *code, unsigned value)
{
    put(code, &(uint8_t){(uint8_t)value}, 1);
}

/* Opcode, a PkgLength of three bytes, what is inside. */
static void package(struct code *code, const char *opcode, const struct code *inside)
{
    uint32_t length = inside->length + 3;

    text(code, opcode);
    byte(code, 0x80 | (length & 15));
    byte(code, length >> 4);
    byte(code, length >> 12);
    put(code, inside->bytes, inside->length);
}

/* Name (word, Buffer (size) { resources, end tag }) */
static void resources(struct code *code, const char *word, const void *bytes, size_t size)
{
    struct code buffer = {.length = 0};

    byte(&buffer, 0x0b);
    byte(&buffer, (unsigned)size + 2);
    byte(&buffer, (unsigned)(size + 2) >> 8);
    put(&buffer, bytes, size);
    put(&buffer, "\x79\x00", 2);
    byte(code, 8);
    text(code, word);
    package(code, "\x11", &buffer);
}

static void fixed(uint8_t to[12], uint32_t base, uint32_t length)
{
    memcpy(to, "\x86\x09\x00\x01", 4);
    store_le32(to + 4, base);
    store_le32(to + 8, length);
}

static const uint8_t LINE_50[9] = {0x89, 6, 0, 0x01, 1, 50};

/* A slot at 0xa000000 with line 50; `more` goes in front of its resources. */
static struct code slot_body(const char *more, size_t more_size)
{
    struct code body = {.length = 0};
    uint8_t ranges[21];

    text(&body, "VR00\x08_HID\x0dLNRO0005");
    byte(&body, 0);
    put(&body, more, more_size);
    fixed(ranges, 0xa000000, 0x200);
    memcpy(ranges + 12, LINE_50, 9);
    resources(&body, "_CRS", ranges, sizeof ranges);
    return body;
}

static void window(uint8_t to[46], uint8_t type, uint8_t flags, uint64_t minimum, uint64_t size, uint64_t translation)
{
    memset(to, 0, 46);
    to[0] = 0x8a;
    to[1] = 43;
    to[3] = type;
    to[4] = 0x0c;
    to[5] = flags;
    le64(to + 14, minimum);
    le64(to + 22, minimum + size - 1);
    le64(to + 30, translation);
    le64(to + 38, size);
}

/* Name (_HID, EisaId ("PNP0A08")), I/O seen in memory, memory below 4 GiB, prefetchable memory above. */
static struct code bridge_body(unsigned windows)
{
    struct code body = {.length = 0};
    uint8_t ranges[4 * 46];

    text(&body, "PCI0\x08_HID\x0c\x41\xd0\x0a\x08\x08_BBN");
    byte(&body, 0);
    window(ranges, 2, 0, 0, 256, 0);
    window(ranges + 46, 1, 0x13, 0, 0x10000, 0x3eff0000);
    window(ranges + 92, 0, 1, 0x10000000, 0x2eff0000, 0);
    window(ranges + 138, 0, 7, UINT64_C(0x8000000000), UINT64_C(0x8000000000), 0);
    resources(&body, "_CRS", ranges, windows * (size_t)46);
    return body;
}

/* ---- Tables ---------------------------------------------------------------------------------------------- */

/* A definition block; the DSDT is the FADT's, an SSDT the root's. */
static void add_definitions(const char *signature, const struct code *code)
{
    struct table *added = new_table(signature, 2, HEADER);

    assert_true(HEADER + code->length <= sizeof added->bytes);
    memcpy(added->bytes + HEADER, code->bytes, code->length);
    added->length += code->length;
    if (signature[0] == 'D') {
        set.entries--;
        le64(table("FACP")->bytes + 140, TABLES + (uint64_t)STEP * (set.count - 1));
    }
}

static void with_device(const struct code *body)
{
    struct code code = {.length = 0};

    make_arm64();
    package(&code, "\x5b\x82", body);
    add_definitions("DSDT", &code);
    assert_int_equal(run(), STATUS_OK);
}

static void sleep_type_of_an_ssdt(void **state)
{
    struct code none = {.length = 0}, has = {.length = 0}, other = {.length = 0};

    (void)state;
    make_pc();
    text(&none, "\x08_S4_\x12\x04\x01\x0a\x04");
    text(&has, "\x08_S5_\x12\x04\x01\x0a\x05");
    text(&other, "\x08_S5_\x12\x04\x01\x0a\x06");
    add_definitions("DSDT", &none);
    run();
    assert_int_equal(m.power.sleep_type_a, -1);
    add_definitions("SSDT", &none);
    add_definitions("SSDT", &has);
    add_definitions("SSDT", &other); /* the first counts */
    run();
    assert_int_equal(m.power.sleep_type_a, 5);
}

static void slots(void **state)
{
    struct code body = slot_body("\x08_STA\x0a\x0f", 7);

    (void)state;
    with_device(&body);
    assert_int_equal(m.virtio_slot_count, 1);
    assert_int_equal(m.virtio_slots[0].base, 0xa000000);
    assert_int_equal(m.virtio_slots[0].size, 0x200);
    assert_int_equal(m.virtio_slots[0].line.line, 50);
    assert_int_equal(m.virtio_slots[0].line.trigger, TRIGGER_LEVEL);
    assert_int_equal(host_log_count(LOG_WARN) + host_log_count(LOG_ERROR), 0);
}

/* What is computed, absent or not whole is passed over, never guessed. */
#define AML(bytes) bytes, sizeof(bytes) - 1

static void no_slots(void **state)
{
    static const struct {
        const char *what, *code;
        size_t size;
    } cases[] = {
        {"absent", AML("\x08_STA\x00")},
        {"a method says whether it is there", AML("\x14\x08_STA\x00\xa4\x01")},
        {"a method gives the resources", AML("\x14\x08_CRS\x00\xa4\x01")},
        {"a package of expressions for whether it is there", AML("\x08_STA\x12\x02\x00")},
        {"an If", AML("\xa0\x02\x01")},
        {"an expression for a name", AML("\x08_UID\x72\x01\x01\x00")},
        {"a name that is none", AML("\x08uid_\x00")},
        {"a method that runs past the device", AML("\x14\xff\xff\xff\xff")},
        {"a string without an end", AML("\x08_STR\x0d")},
    };

    (void)state;
    for (unsigned i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct code before = slot_body(cases[i].code, cases[i].size), behind = slot_body("", 0);
        with_device(&before);
        if (m.virtio_slot_count != 0)
            fail_msg("%s, before", cases[i].what);
        put(&behind, cases[i].code, cases[i].size);
        with_device(&behind);
        if (m.virtio_slot_count != 0)
            fail_msg("%s, behind", cases[i].what);
    }
    struct code cut = slot_body("", 0);
    cut.length -= 20; /* the buffer says more than the device holds */
    with_device(&cut);
    assert_int_equal(m.virtio_slot_count, 0);
    for (unsigned length = 200; length <= 300; length += 100) { /* a string that is looked through, one that is not */
        struct code string = slot_body("", 0);
        put(&string, "\x08_STR\x0d", 6);
        for (unsigned i = 0; i < length; i++)
            byte(&string, 'x');
        byte(&string, 0);
        with_device(&string);
        assert_int_equal(m.virtio_slot_count, length < 256);
    }
}

static void impossible_slots(void **state)
{
    struct code body = {.length = 0};
    uint8_t ranges[33];

    (void)state;
    text(&body, "VR00\x08_HID\x0dLNRO0005");
    byte(&body, 0);
    fixed(ranges, 0xa000000, 0x200);
    fixed(ranges + 12, 0xb000000, 0x200);
    memcpy(ranges + 24, LINE_50, 9);
    resources(&body, "_CRS", ranges, sizeof ranges);
    with_device(&body);
    assert_int_equal(m.virtio_slot_count, 0);
    assert_true(host_log_has("a virtio-mmio slot has 2 ranges of memory and 1 interrupts; it is not used"));
    struct code ram = slot_body("", 0);
    for (uint32_t i = 0; i + 4 <= ram.length; i++)
        if (memcmp(ram.bytes + i, "\x00\x00\x00\x0a", 4) == 0) {
            store_le32(ram.bytes + i, 0x200000);
            break;
        }
    with_device(&ram);
    assert_int_equal(m.virtio_slot_count, 0);
    assert_true(host_log_has("virtio-mmio slot at 0x200000 would lie in memory"));
}

static void windows(void **state)
{
    struct code body = bridge_body(4);
    const struct machine_host_bridge *bridge = &m.host_bridges[0];

    (void)state;
    with_device(&body);
    assert_int_equal(bridge->window_count, 3);
    assert_int_equal(bridge->windows[0].kind, PCI_WINDOW_IO);
    assert_true(bridge->windows[0].bus_address == 0 && bridge->windows[0].cpu_address == 0x3eff0000);
    assert_int_equal(bridge->windows[1].kind, PCI_WINDOW_MEMORY32);
    assert_int_equal(bridge->windows[1].size, 0x2eff0000);
    assert_int_equal(bridge->windows[2].kind, PCI_WINDOW_MEMORY64);
    assert_true(bridge->windows[2].prefetchable && !bridge->windows[1].prefetchable);
    assert_true(bridge->firmware_configured);
    assert_int_equal(host_log_count(LOG_WARN) + host_log_count(LOG_ERROR), 0);
}

/* A second root bus whose windows are computed: then none is told, or what firmware placed there would be moved. */
static void windows_all_or_none(void **state)
{
    struct code first = bridge_body(4), second = {.length = 0}, code = {.length = 0};

    (void)state;
    text(&second, "PC80\x08_HID\x0dPNP0A08");
    byte(&second, 0);
    text(&second, "\x08_BBN\x0a\x80");
    struct code whole = second;
    uint8_t range[46];
    window(range, 0, 1, UINT64_C(0x50000000), 0x1000000, 0);
    resources(&whole, "_CRS", range, sizeof range);
    put(&second, "\x14\x08_CRS\x00\xa4\x01", 8);

    make_arm64();
    package(&code, "\x5b\x82", &first);
    package(&code, "\x5b\x82", &whole);
    add_definitions("DSDT", &code);
    run();
    assert_int_equal(m.host_bridges[0].window_count, 4);
    make_arm64();
    code.length = 0;
    package(&code, "\x5b\x82", &first);
    package(&code, "\x5b\x82", &second);
    add_definitions("DSDT", &code);
    run();
    assert_int_equal(m.host_bridges[0].window_count, 0);
}

/* A body of nothing but devices in devices, as many as there is room for: each is looked at, and that ends. */
static void nested(void **state)
{
    struct code code = {.length = 0};

    (void)state;
    while (code.length + 3000 < sizeof code.bytes) {
        struct code outer = {.length = 0}, body = {.length = 0};
        text(&body, "DEV0");
        put(&body, code.bytes, code.length);
        package(&outer, "\x5b\x82", &body);
        code = outer;
    }
    make_arm64();
    add_definitions("DSDT", &code);
    run();
    assert_int_equal(m.virtio_slot_count, 0);
}

/* Constants that look like devices, each with all the others in its body: that would be looked through for ever. */
static void bounded(void **state)
{
    struct code code = {.length = 0}, body = slot_body("", 0);

    (void)state;
    while (code.length < 0x2f00)
        put(&code, AML("\x08"
                       "ABCD\x0e\x5b\x82\x4f\xfe"
                       "EFGH"));
    package(&code, "\x5b\x82", &body);
    make_arm64();
    add_definitions("DSDT", &code);
    run();
    assert_int_equal(m.virtio_slot_count, 0);
    assert_true(host_log_has("a table describes more devices than are looked at"));
    code.length = 0x400;
    code.length -= code.length % 14;
    package(&code, "\x5b\x82", &body);
    make_arm64();
    add_definitions("DSDT", &code);
    run();
    assert_int_equal(m.virtio_slot_count, 1);
}

/* ---- The reset register ------------------------------------------------------------------------------------ */

static void reset_in_configuration_space(void **state)
{
    uint8_t *fadt;

    (void)state;
    make_pc();
    fadt = table("FACP")->bytes;
    gas(fadt + 116, 2, 8, 1, UINT64_C(0x0000001f000300b2)); /* 00:1f.3, offset 0xb2 */
    run();
    assert_int_equal(m.power.reset.space, ADDRESS_PCI);
    assert_true(m.power.reset.address == (0x1f << 15 | 3 << 12 | 0xb2));
    assert_int_equal(m.power.reset_value, 0xf);
    gas(fadt + 116, 2, 8, 1, UINT64_C(0x00000020000300b2)); /* there is no device 32 */
    run();
    assert_int_equal(m.power.reset.space, ADDRESS_NONE);
    assert_true(host_log_has("FADT names an unusable reset register"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sleep_type_of_an_ssdt),
        cmocka_unit_test(slots),
        cmocka_unit_test(no_slots),
        cmocka_unit_test(impossible_slots),
        cmocka_unit_test(windows),
        cmocka_unit_test(windows_all_or_none),
        cmocka_unit_test(nested),
        cmocka_unit_test(bounded),
        cmocka_unit_test(reset_in_configuration_space),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
