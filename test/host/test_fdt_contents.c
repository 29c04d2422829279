/*
 * test_fdt_contents.c: well-formed device trees with hostile contents, as a table of sources for dtc: the sentence that
 * fdt_read says, and what must not have been believed. The first column is the case's name in the project's list of
 * hostile inputs.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "fdt_trees.h"
#include "host_log.h"
#include <machine/readers.h>

static struct machine m;
static struct machine_room room;

static enum status read_copy(const uint8_t *bytes, size_t size)
{
    uint8_t *blob = malloc(size != 0 ? size : 1);

    memcpy(blob, bytes, size);
    host_log_clear();
    machine_init(&m, &room);
    enum status status = fdt_read(&m, blob, size);
    machine_finish(&m);
    free(blob);
    return status;
}

/* ---- What a well-formed tree may still say ------------------------------------------------------------------ */

#define GIC                                                                                                            \
    "gic: gic@1000 { compatible = \"arm,gic-400\"; interrupt-controller; #interrupt-cells = <3>;"                      \
    "  reg = <0 0x1000 0 0x1000 0 0x2000 0 0x2000>; };"
#define ROOT2                   "/dts-v1/; / { #address-cells = <2>; #size-cells = <2>; interrupt-parent = <&gic>;" GIC
#define UART(reg)               "s@1 { compatible = \"arm,pl011\"; reg = <" reg ">; };"
#define BUS(cells, sizes, node) "b { #address-cells = <" cells ">; #size-cells = <" sizes ">; ranges; " node " };"
#define UART_IRQ(irq)           "s@1 { compatible = \"arm,pl011\"; reg = <0 0x9000 0 0x1000>; " irq " };"
#define PCI(reg, more)                                                                                                 \
    "p@1 { compatible = \"pci-host-ecam-generic\"; device_type = \"pci\"; #address-cells = <3>; #size-cells = <2>;"    \
    "  reg = <" reg ">; " more " };"
#define RAM                "memory@40000000 { device_type = \"memory\"; reg = <0 0x40000000 0 0x1000000>; };"
#define CPUS(cells, nodes) "cpus { #address-cells = <" cells ">; #size-cells = <0>; " nodes " };"
#define HART(number, more)                                                                                             \
    "cpu@" number " { device_type = \"cpu\"; compatible = \"riscv\"; reg = <0x" number ">; " more " };"

static void no_uart(void)
{
    assert_int_equal(m.uart_count, 0);
}

static void one_uart(void)
{
    assert_int_equal(m.uart_count, 1);
}

static void unrouted_uart(void)
{
    assert_int_equal(m.uart_count, 1);
    assert_int_equal(m.uarts[0].line.line, MACHINE_NO_LINE);
}

static void routed_uart(void)
{
    assert_int_equal(m.uart_count, 1);
    assert_int_equal(m.uarts[0].line.line, 33);
}

static void no_console(void)
{
    assert_int_equal(m.uart_count, 1);
    assert_false(m.uarts[0].console);
}

static uint64_t ram(void)
{
    uint64_t sum = 0;

    for (uint32_t i = 0; i < m.memory_count; i++)
        if (m.memory[i].kind == MEMORY_USABLE)
            sum += m.memory[i].size;
    return sum;
}

static void ram_16m(void)
{
    assert_int_equal(ram(), 16 << 20);
}

static void ram_none(void)
{
    assert_int_equal(ram(), 0);
}

static void no_bridge(void)
{
    assert_int_equal(m.host_bridge_count, 0);
}

static void no_window(void)
{
    assert_int_equal(m.host_bridge_count, 1);
    assert_int_equal(m.host_bridges[0].window_count, 0);
}

static void buses_16(void)
{
    assert_int_equal(m.host_bridges[0].last_bus, 15);
}

static void no_routes(void)
{
    assert_int_equal(m.host_bridges[0].intx_route_count, 0);
}

static void no_maps(void)
{
    assert_int_equal(m.host_bridges[0].msi_map_count, 0);
    assert_int_equal(m.host_bridges[0].iommu_map_count, 0);
}

static void no_cpu(void)
{
    assert_int_equal(m.cpu_count, 0);
}

static void one_cpu(void)
{
    assert_int_equal(m.cpu_count, 1);
    assert_true(m.cpus[0].enabled);
}

static void cpu_off(void)
{
    assert_int_equal(m.cpu_count, 1);
    assert_false(m.cpus[0].enabled);
}

static void no_initrd(void)
{
    assert_int_equal(m.initrd.size, 0);
    for (uint32_t i = 0; i < m.memory_count; i++)
        assert_int_not_equal(m.memory[i].kind, MEMORY_INITRD);
}

static void no_seed(void)
{
    assert_int_equal(m.seed_size, 0);
}

static void no_plic(void)
{
    assert_int_equal(m.plic_count, 0);
}

static void no_imsic(void)
{
    assert_false(m.imsic.present);
}

static void no_poweroff(void)
{
    assert_int_equal(m.power.poweroff_register.address, 0);
}

static void safe_command_line(void)
{
    assert_string_equal(m.command_line, "a???b");
}

static const struct {
    const char *id, *source;
    const char *sentence; /* NULL: nothing is said */
    void (*check)(void);
} sources[] = {
    {"B12 address cells 0", ROOT2 BUS("0", "1", UART("0x1000")) "};", "#address-cells 0", no_uart},
    {"B12 address cells 5", ROOT2 BUS("5", "1", UART("0 0 0 0 0x1000 0x1000")) "};", "#address-cells 5", no_uart},
    {"B12 all ones", ROOT2 BUS("0xffffffff", "0xffffffff", UART("0x1000 0x1000")) "};", "#address-cells 4294967295",
     no_uart},
    {"B12 address cells 3", ROOT2 BUS("3", "1", UART("0 0 0x1000 0x1000")) "};", NULL, one_uart},
    {"B12 more than 64 bits", ROOT2 BUS("3", "1", UART("1 0 0x1000 0x1000")) "};", "does not fit into 64 bits",
     no_uart},
    {"B12 size cells 0", ROOT2 BUS("1", "0", UART("0x1000")) "};", "0x0 bytes at 0x1000 cannot be its registers",
     no_uart},
    {"B13", ROOT2 "s@1 { compatible = \"arm,pl011\"; reg = <0 0x9000 0 0x1000 7>; }; };", "is no multiple of 16",
     one_uart},
    {"B13 too short", ROOT2 UART("0 0x9000 0") "};", "reg has no entry 0", no_uart},
    {"B13 empty ranges miss",
     ROOT2 "b { #address-cells = <1>; #size-cells = <1>; ranges = <0 0 0 0x1000>;" UART("0x800 0x1000") "}; };",
     "no ranges lead from 0x800", no_uart},
    {"B13 no ranges", ROOT2 "b { #address-cells = <1>; #size-cells = <1>;" UART("0x800 0x1000") "}; };",
     "no ranges lead from 0x800", no_uart},
    {"B13 ranges wrap",
     ROOT2 "b { #address-cells = <1>; #size-cells = <1>; ranges = <0 0xffffffff 0xffffff00 0x10000>;" UART(
         "0x800 0x1000") "}; };",
     "no ranges lead from 0x800", no_uart},
    {"B14 size 0", ROOT2 "memory@0 { device_type = \"memory\"; reg = <0 0x40000000 0 0>; }; };", NULL, ram_none},
    {"B14 wraps", ROOT2 "memory@0 { device_type = \"memory\"; reg = <0xffffffff 0xf0000000 0 0x20000000>; }; };",
     "does not fit into 64 bits", ram_none},
    {"B14 overlap", ROOT2 RAM "memory@40800000 { device_type = \"memory\"; reg = <0 0x40800000 0 0x800000>; }; };",
     NULL, ram_16m},
    {"B15 everything",
     ROOT2 RAM "reserved-memory { #address-cells = <2>; #size-cells = <2>; ranges; all@0 { reg = <0 0 0xffffffff "
               "0xffffffff>; }; }; };",
     NULL, ram_none},
    {"B15 no ranges",
     ROOT2 RAM
     "reserved-memory { #address-cells = <2>; #size-cells = <2>; a@0 { reg = <0 0x40000000 0 0x1000000>; }; }; };",
     NULL, ram_none},
    {"B16 phandle 0", ROOT2 UART_IRQ("interrupt-parent = <0xffffffff>; interrupts = <0 1 4>;") "};",
     "its interrupt parent routes no interrupts", unrouted_uart},
    {"B16 twice",
     "/dts-v1/; / { #address-cells = <2>; #size-cells = <2>; gic@1000 { compatible = \"arm,gic-400\"; phandle = <7>;"
     "  #interrupt-cells = <3>; reg = <0 0x1000 0 0x1000 0 0x2000 0 0x2000>; };"
     "v@5000 { compatible = \"arm,gic-v2m-frame\"; phandle = <7>; reg = <0 0x5000 0 0x1000>; };" UART_IRQ(
         "interrupt-parent = <7>; interrupts = <0 1 4>;") "};",
     "phandle 0x7 is another node's already", routed_uart},
    {"B16 cycle",
     ROOT2 "a: a { #interrupt-cells = <1>; #address-cells = <0>; interrupt-map = <1 &b 1>; };"
           "b: b { #interrupt-cells = <1>; #address-cells = <0>; interrupt-map = <1 &a 1>; };" UART_IRQ(
               "interrupts-extended = <&a 1>;") "};",
     "goes through more than 8 maps", unrouted_uart},
    {"B16 self",
     ROOT2 "a: a { #interrupt-cells = <1>; #address-cells = <0>; interrupt-map = <1 &a 1>; };" UART_IRQ(
         "interrupts-extended = <&a 1>;") "};",
     "goes through more than 8 maps", unrouted_uart},
    {"B17 parent's cells",
     ROOT2 "h: h { compatible = \"arm,gic-v3\"; #interrupt-cells = <0xffffffff>; };" PCI(
         "0 0x10000000 0 0x1000000", "#interrupt-cells = <1>; interrupt-map = <0 0 0 1 &h 0 1 4>;") "};",
     "#interrupt-cells 4294967295 is impossible", no_routes},
    {"B17 parent's address cells",
     ROOT2 "h: h { compatible = \"riscv,plic0\"; #interrupt-cells = <1>; #address-cells = <0xffffffff>; };" PCI(
         "0 0x10000000 0 0x1000000", "#interrupt-cells = <1>; interrupt-map = <0 0 0 1 &h 0 1 4>;") "};",
     "which routes no interrupts", no_routes},
    {"B17 own cells",
     ROOT2 PCI("0 0x10000000 0 0x1000000",
               "#interrupt-cells = <0x7fffffff>; interrupt-map = <0 0 0 1 &gic 0 1 4>;") "};",
     "specifiers of 2147483647 cells", no_routes},
    {"B17 cut", ROOT2 PCI("0 0x10000000 0 0x1000000", "#interrupt-cells = <1>; interrupt-map = <0 0 0 1 &gic 0>;") "};",
     "an interrupt-map ends within an entry", no_routes},
    {"B17 nowhere",
     ROOT2 PCI("0 0x10000000 0 0x1000000", "#interrupt-cells = <1>; interrupt-map = <0 0 0 1 0x99 0 1 4>;") "};",
     "an interrupt-map leads to 0x99", no_routes},
    {"B18 short", ROOT2 UART_IRQ("interrupts = <0 1>;") "};", "shorter than 3 cells", unrouted_uart},
    {"B18 type 7", ROOT2 UART_IRQ("interrupts = <7 1 4>;") "};", "the GIC has no interrupt 1 of type 7", unrouted_uart},
    {"B18 SPI 4000", ROOT2 UART_IRQ("interrupts = <0 4000 4>;") "};", "the GIC has no interrupt 4000 of type 0",
     unrouted_uart},
    {"B18 extended short", ROOT2 UART_IRQ("interrupts-extended = <&gic 0 1>;") "};", "cannot be followed",
     unrouted_uart},
    {"B19 size 0", ROOT2 PCI("0 0x10000000 0 0x1000000", "ranges = <0x02000000 0 0 0 0x20000000 0 0>;") "};",
     "is impossible; it is dropped", no_window},
    {"B19 space 0", ROOT2 PCI("0 0x10000000 0 0x1000000", "ranges = <0 0 0 0 0x20000000 0 0x1000>;") "};",
     "a window of space 0", no_window},
    {"B19 wraps",
     ROOT2 PCI("0 0x10000000 0 0x1000000", "ranges = <0x03000000 0xffffffff 0xfffff000 0 0x20000000 0 0x2000>;") "};",
     "is impossible; it is dropped", no_window},
    {"B19 above 4 GiB",
     ROOT2 PCI("0 0x10000000 0 0x1000000", "ranges = <0x02000000 0 0xfffff000 0 0x20000000 0 0x2000>;") "};",
     "is impossible; it is dropped", no_window},
    {"B19 RAM",
     ROOT2 PCI("0 0x10000000 0 0x1000000", "ranges = <0x02000000 0 0x40fff000 0 0x40fff000 0 0x2000>;") RAM "};",
     "the window at 0x40fff000 overlaps RAM", no_window},
    {"B20 reversed", ROOT2 PCI("0 0x10000000 0 0x1000000", "bus-range = <5 3>;") "};", "buses 5 to 3", no_bridge},
    {"B20 too many", ROOT2 PCI("0 0x10000000 0 0x1000000", "bus-range = <0 0xffffffff>;") "};",
     "buses 0 to 4294967295 do not fit; only 0 to 15 are used", buses_16},
    {"B20 no ECAM", ROOT2 PCI("0 0x10000000 0 0x1000", "") "};", "cannot be its registers", no_bridge},
    {"B20 domain", ROOT2 PCI("0 0x10000000 0 0x1000000", "linux,pci-domain = <0x10000>;") "};",
     "there is no PCI domain 0x10000", no_bridge},
    {"B20 maps",
     ROOT2 PCI("0 0x10000000 0 0x1000000",
               "msi-map = <0 0x77 0 0x10000 0x8000 &gic 0 0x10000>; iommu-map = <0 &gic 0 0x100>;") "};",
     "0x77 takes no messages", no_maps},
    {"B21 missing alias", ROOT2 "chosen { stdout-path = \"serial7:115200\"; };" UART("0 0x9000 0 0x1000") "};",
     "stdout-path \"serial7:115200\" leads nowhere", no_console},
    {"B21 alias to alias",
     ROOT2 "aliases { a = \"b\"; b = \"a\"; }; chosen { stdout-path = \"a\"; };" UART("0 0x9000 0 0x1000") "};",
     "leads nowhere", no_console},
    {"B22", ROOT2 "chosen { bootargs = [61 ff 1b 01 62]; }; };", NULL, safe_command_line},
    {"B23 none", ROOT2 "cpus { }; };", NULL, no_cpu},
    {"B23 wide", ROOT2 CPUS("3", "cpu@0 { device_type = \"cpu\"; reg = <1 2 3>; };") "};", "its reg is no CPU number",
     no_cpu},
    {"B23 not an MPIDR", ROOT2 CPUS("2", "cpu@0 { device_type = \"cpu\"; reg = <1 0x80000000>; };") "};",
     "0x180000000 is not an MPIDR", no_cpu},
    {"B23 cells 0", ROOT2 CPUS("0", "cpu@0 { device_type = \"cpu\"; reg = <0>; };") "};", "its reg is no CPU number",
     no_cpu},
    {"B23 duplicate",
     ROOT2 CPUS("1", "cpu@0 { device_type = \"cpu\"; reg = <5>; }; cpu@1 { device_type = \"cpu\"; reg = <5>; };") "};",
     "CPU 0x5 was described before", one_cpu},
    {"B23 okay and garbage",
     ROOT2 CPUS("1", "cpu@0 { device_type = \"cpu\"; reg = <5>; status = \"okay\", \"garbage\"; };") "};", NULL,
     one_cpu},
    {"B23 okay unterminated",
     ROOT2 CPUS("1", "cpu@0 { device_type = \"cpu\"; reg = <5>; status = [6f 6b 61 79]; };") "};", NULL, cpu_off},
    {"B24 missing", "/dts-v1/; / {" CPUS("1", HART("0", "riscv,isa = \"rv64imac\";")) "};",
     "there is no timebase-frequency", one_cpu},
    {"B24 zero", "/dts-v1/; / {" CPUS("1", "timebase-frequency = <0>;" HART("0", "riscv,isa = \"rv64imac\";")) "};",
     "there is no timebase-frequency", one_cpu},
    {"B25 rv32", "/dts-v1/; / {" CPUS("1", HART("0", "riscv,isa = \"rv32imac\";")) "};", "is not rv64", cpu_off},
    {"B25 cut off", "/dts-v1/; / {" CPUS("1", HART("0", "riscv,isa = [72 76 36 34];")) "};", "is not rv64", cpu_off},
    {"B25 short", "/dts-v1/; / {" CPUS("1", HART("0", "riscv,isa = \"rv\";")) "};", "is not rv64", cpu_off},
    {"B26 reversed", ROOT2 RAM "chosen { linux,initrd-start = <0x40002000>; linux,initrd-end = <0x40001000>; }; };",
     "the initial ramdisk from 0x40002000 to 0x40001000 does not lie in memory", no_initrd},
    {"B26 beyond", ROOT2 RAM "chosen { linux,initrd-start = <0x40fff000>; linux,initrd-end = <0 0x41000001>; }; };",
     "does not lie in memory", no_initrd},
    {"B26 odd cells", ROOT2 RAM "chosen { linux,initrd-start = <1 2 3>; linux,initrd-end = <0x40001000>; }; };", NULL,
     no_initrd},
    {"B28 empty", ROOT2 "chosen { rng-seed; kaslr-seed = []; }; };", NULL, no_seed},
    {"PLIC without sources",
     "/dts-v1/; / { p@c000000 { compatible = \"riscv,plic0\"; #interrupt-cells = <1>; reg = <0 0xc000000 0x400000>; }; "
     "};",
     "riscv,ndev does not say how many", no_plic},
    {"IMSIC's bits",
     "/dts-v1/; / { i@28000000 { compatible = \"riscv,imsics\"; #interrupt-cells = <0>; reg = <0 0x28000000 0x1000>;"
     "  riscv,num-ids = <255>; riscv,group-index-bits = <1>; riscv,group-index-shift = <63>;"
     "  interrupts-extended = <1 9>; }; };",
     "group bits at 63 are impossible", no_imsic},
    {"IMSIC's identities",
     "/dts-v1/; / { i@28000000 { compatible = \"riscv,imsics\"; #interrupt-cells = <0>; reg = <0 0x28000000 0x1000>;"
     "  riscv,num-ids = <0xffffffff>; interrupts-extended = <1 9>; }; };",
     "4294967295 interrupt identities are impossible", no_imsic},
    {"syscon nowhere", ROOT2 "p { compatible = \"syscon-poweroff\"; regmap = <&gic>; offset = <1>; }; };",
     "lead to no register", no_poweroff},
};

static void hostile_contents(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof sources / sizeof sources[0]; i++) {
        size_t size;
        uint8_t *blob = tree_from_source(sources[i].source, &size);
        enum status status = read_copy(blob, size);
        bool said = sources[i].sentence == NULL ? host_log_count(LOG_WARN) == 0 : host_log_has(sources[i].sentence);
        if (status != STATUS_OK || !said)
            fail_msg("%s: %s\n%s", sources[i].id, status_text(status), host_log_text());
        if (getenv("VMOS_LOG") != NULL)
            fprintf(stderr, "%s\n", sources[i].id);
        sources[i].check();
        free(blob);
    }
}

/* ---- Too much of everything ------------------------------------------------------------------------------------ */

static char text[1 << 21];

static void read_text(void)
{
    size_t size;
    uint8_t *blob = tree_from_source(text, &size);

    assert_int_equal(read_copy(blob, size), STATUS_OK);
    free(blob);
}

/* Appends `count` copies; %u in `format` is the number of the copy. */
__attribute__((format(printf, 1, 0))) static void repeat(const char *format, unsigned count)
{
    size_t length = strlen(text);

    for (unsigned i = 0; i < count; i++) {
        length += (size_t)snprintf(text + length, sizeof text - length, format, i, i);
        assert_true(length < sizeof text);
    }
}

static void too_many_things(void **state)
{
    (void)state;
    strcpy(text, ROOT2); /* B23, B27 */
    repeat("s@%x { compatible = \"virtio,mmio\"; reg = <0 0x1%04x000 0 0x200>; };", 500);
    repeat("u@%x { compatible = \"arm,pl011\"; reg = <0 0x2%04x000 0 0x1000>; };", 500);
    repeat("c@%x { compatible = \"riscv,aplic\"; #interrupt-cells = <2>; reg = <0 0x3%04x000 0 0x4000>; };", 500);
    repeat("memory@%x { device_type = \"memory\"; reg = <1 0x%05x000 0 0x800>; };", 1000);
    strcat(text, "cpus { #address-cells = <1>; #size-cells = <0>;");
    repeat("cpu@%x { device_type = \"cpu\"; reg = <%u>; };", 1000);
    strcat(text, "}; };");
    read_text();
    assert_int_equal(m.virtio_slot_count, MACHINE_MAX_VIRTIO_SLOTS);
    assert_int_equal(m.uart_count, MACHINE_MAX_UARTS);
    assert_int_equal(m.cpu_count, MACHINE_MAX_CPUS);
    assert_true(m.memory_count <= MACHINE_MAX_MEMORY_RANGES);
    assert_true(host_log_has("there is more that cannot be used; it is not listed"));
    assert_in_range(host_log_count(LOG_WARN), 3, 60);
}

static void long_strings(void **state)
{
    (void)state;
    strcpy(text, ROOT2 "chosen { bootargs = \""); /* B22, B21, B25, B28 */
    repeat("0123456789abcdef", 4096);
    strcat(text, "\"; stdout-path = \"/s@1:");
    repeat("9999", 2560);
    strcat(text, "\"; rng-seed = [");
    repeat("ab ", 1 << 17);
    strcat(text, "]; };" UART("0 0x9000 0 0x1000") "cpus { #address-cells = <1>; #size-cells = <0>;"
                                                   "timebase-frequency = <1>; cpu@0 { device_type = \"cpu\"; "
                                                   "compatible = \"riscv\"; reg = <0>;"
                                                   "riscv,isa = \"rv64");
    repeat("_zicbom_xq%u", 8192);
    strcat(text, "_sstc\"; }; }; };");
    read_text();
    assert_int_equal(strlen(m.command_line), MACHINE_COMMAND_LINE_SIZE - 1);
    assert_true(host_log_has("the command line is longer than 1023 bytes"));
    assert_int_equal(m.seed_size, MACHINE_SEED_SIZE);
    assert_true(m.uarts[0].console);
    assert_int_equal(m.isa, MACHINE_ISA_ZICBOM | MACHINE_ISA_SSTC);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(hostile_contents),
        cmocka_unit_test(too_many_things),
        cmocka_unit_test(long_strings),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
