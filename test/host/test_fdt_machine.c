/*
 * test_fdt_machine.c: what is read out of the trees that QEMU makes and the cases that QEMU does not make.
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

static void read_tree(uint8_t *blob, size_t size)
{
    host_log_clear();
    machine_init(&m, &room);
    assert_int_equal(fdt_read(&m, blob, size), STATUS_OK);
    machine_finish(&m);
    free(blob);
}

static void read_command(const char *command)
{
    size_t size;
    uint8_t *blob = tree_made_by(command, &size);

    read_tree(blob, size);
    if (host_log_count(LOG_WARN) != 0)
        fail_msg("%s\n%s", command, host_log_text()); /* QEMU's trees are right: nothing to complain of */
}

static void read_arm64(const char *machine, const char *more)
{
    char command[512];

    snprintf(command, sizeof command, "timeout 20 qemu-system-aarch64 -M virt,dumpdtb=%%s%s -nodefaults %s 2>/dev/null",
             machine, more);
    read_command(command);
}

static void read_rv64(const char *machine, const char *more)
{
    char command[512];

    snprintf(command, sizeof command, "timeout 20 qemu-system-riscv64 -M virt,dumpdtb=%%s%s -nodefaults %s 2>/dev/null",
             machine, more);
    read_command(command);
}

static void read_source(const char *source)
{
    size_t size;
    uint8_t *blob = tree_from_source(source, &size);

    read_tree(blob, size);
}

static void read_seed(const char *name)
{
    char path[256];
    size_t size;

    snprintf(path, sizeof path, "test/host/fuzz/corpus/fdt/%s.dtb", name);
    uint8_t *blob = tree_load(path, &size);
    read_tree(blob, size);
    assert_int_equal(host_log_count(LOG_WARN), 0);
}

#define assert_line(actual, number, how, level)                                                                        \
    do {                                                                                                               \
        struct machine_line line_ = (actual);                                                                          \
        assert_int_equal(line_.line, number);                                                                          \
        assert_int_equal(line_.trigger, how);                                                                          \
        assert_int_equal(line_.polarity, level);                                                                       \
    } while (0)

static uint64_t usable_memory(void)
{
    uint64_t sum = 0;

    for (uint32_t i = 0; i < m.memory_count; i++)
        if (m.memory[i].kind == MEMORY_USABLE)
            sum += m.memory[i].size;
    return sum;
}

/* ---- arm64 ------------------------------------------------------------------------------------------- */

static void arm64_common(void)
{
    assert_string_equal(m.model, "linux,dummy-virt");
    assert_true(m.has_device_tree);
    assert_line(m.generic_timer.virtual_, 27, TRIGGER_LEVEL, POLARITY_HIGH);
    assert_line(m.generic_timer.physical, 30, TRIGGER_LEVEL, POLARITY_HIGH);
    assert_line(m.generic_timer.secure_physical, 29, TRIGGER_LEVEL, POLARITY_HIGH);
    assert_line(m.generic_timer.hypervisor, 26, TRIGGER_LEVEL, POLARITY_HIGH);
    assert_int_equal(m.gic.distributor, 0x08000000);
    assert_int_equal(m.uart_count, 1);
    assert_int_equal(m.uarts[0].kind, UART_PL011);
    assert_int_equal(m.uarts[0].registers.address, 0x09000000);
    assert_int_equal(m.uarts[0].registers.access_bytes, 4);
    assert_int_equal(m.uarts[0].clock_hz, 24000000);
    assert_line(m.uarts[0].line, 33, TRIGGER_LEVEL, POLARITY_HIGH);
    assert_true(m.uarts[0].console);
    assert_int_equal(m.virtio_slot_count, 32);
    for (uint32_t i = 0; i < m.virtio_slot_count; i++) {
        uint32_t slot = (uint32_t)(m.virtio_slots[i].base - 0x0a000000) / 0x200;
        assert_in_range(slot, 0, 31);
        assert_int_equal(m.virtio_slots[i].size, 0x200);
        assert_line(m.virtio_slots[i].line, 48 + slot, TRIGGER_EDGE, POLARITY_HIGH);
    }
    assert_int_equal(m.fw_cfg.space, ADDRESS_MEMORY);
    assert_int_equal(m.fw_cfg.address, 0x09020000);
    assert_int_equal(m.seed_size, 40);
    assert_int_equal(m.host_bridge_count, 1);
    const struct machine_host_bridge *bridge = &m.host_bridges[0];
    assert_int_equal(bridge->intx_device_mask, 0x18);
    assert_int_equal(bridge->intx_route_count, 16);
    assert_true(bridge->dma_coherent);
    assert_false(bridge->firmware_configured);
    for (uint32_t i = 0; i < 16; i++) {
        const struct machine_intx_route *route = &bridge->intx_routes[i];
        assert_line(route->line, 35 + (route->device / 8u + route->pin - 1u) % 4, TRIGGER_LEVEL, POLARITY_HIGH);
    }
}

static void arm64_gicv2(void **state)
{
    (void)state;
    for (unsigned cpus = 1; cpus <= 8; cpus *= 2) {
        char smp[64];
        snprintf(smp, sizeof smp, "-cpu cortex-a72 -smp %u -m 128M", cpus);
        read_arm64(",gic-version=2", smp);
        arm64_common();
        assert_int_equal(m.gic.version, 2);
        assert_int_equal(m.gic.cpu_interface, 0x08010000);
        assert_int_equal(m.cpu_count, cpus);
        for (unsigned i = 0; i < cpus; i++) {
            assert_true(m.cpus[i].enabled);
            assert_int_equal(m.cpus[i].hardware_id, i);
        }
        assert_int_equal(m.v2m_count, 1);
        assert_int_equal(m.v2m[0].base, 0x08020000);
        assert_int_equal(m.host_bridges[0].msi_map_count, 1);
        assert_int_equal(m.host_bridges[0].msi_map[0].target, m.v2m[0].id);
        assert_int_equal(m.host_bridges[0].msi_map[0].length, 0x10000);
        assert_int_equal(m.power.psci, CONDUIT_HVC);
        assert_int_equal(usable_memory(), 128 << 20);
    }
}

static void arm64_gicv3(void **state)
{
    (void)state;
    read_arm64(",gic-version=3,virtualization=on,iommu=smmuv3", "-cpu max -smp 5 -m 8G");
    arm64_common();
    assert_int_equal(m.gic.version, 3);
    assert_int_equal(m.gic.redistributor_count, 1);
    assert_int_equal(m.gic.redistributors[0].base, 0x080a0000);
    assert_int_equal(m.gic.redistributors[0].size, 0xf60000);
    assert_int_equal(m.its_count, 1);
    assert_int_equal(m.its[0].base, 0x08080000);
    assert_int_equal(m.power.psci, CONDUIT_SMC);
    assert_int_equal(usable_memory(), UINT64_C(8) << 30);

    const struct machine_host_bridge *bridge = &m.host_bridges[0];
    assert_int_equal(bridge->ecam, 0x4010000000);
    assert_int_equal(bridge->first_bus, 0);
    assert_int_equal(bridge->last_bus, 255);
    assert_int_equal(bridge->window_count, 3);
    assert_int_equal(bridge->windows[0].kind, PCI_WINDOW_IO);
    assert_int_equal(bridge->windows[0].cpu_address, 0x3eff0000);
    assert_int_equal(bridge->windows[0].bus_address, 0);
    assert_int_equal(bridge->windows[1].kind, PCI_WINDOW_MEMORY32);
    assert_int_equal(bridge->windows[1].cpu_address, 0x10000000);
    assert_int_equal(bridge->windows[1].size, 0x2eff0000);
    assert_int_equal(bridge->windows[2].kind, PCI_WINDOW_MEMORY64);
    assert_int_equal(bridge->windows[2].cpu_address, 0x8000000000);
    assert_int_equal(bridge->windows[2].size, 0x8000000000);
    assert_int_equal(bridge->msi_map_count, 1);
    assert_int_equal(bridge->msi_map[0].target, m.its[0].id);

    assert_int_equal(m.iommu_count, 1);
    assert_int_equal(m.iommus[0].kind, IOMMU_SMMUV3);
    assert_int_equal(m.iommus[0].base, 0x09050000);
    assert_int_equal(m.iommus[0].size, 0x20000);
    assert_true(m.iommus[0].coherent_walks);
    assert_line(m.iommus[0].event, 32 + 74, TRIGGER_EDGE, POLARITY_HIGH);
    assert_line(m.iommus[0].command, 32 + 76, TRIGGER_EDGE, POLARITY_HIGH);
    assert_line(m.iommus[0].error, 32 + 77, TRIGGER_EDGE, POLARITY_HIGH);
    assert_int_equal(bridge->iommu_map_count, 1);
    assert_int_equal(bridge->iommu_map[0].target, 0);
    assert_int_equal(bridge->iommu_map[0].length, 0x10000);
}

static void arm64_variants(void **state)
{
    (void)state;
    read_arm64(",gic-version=3,its=off", "-cpu max");
    arm64_common();
    assert_int_equal(m.its_count, 0);
    assert_int_equal(m.host_bridges[0].msi_map_count, 0);

    read_arm64(",gic-version=2,highmem=off", "-cpu cortex-a72 -m 1G");
    arm64_common();
    assert_int_equal(m.host_bridges[0].ecam, 0x3f000000);
    assert_int_equal(m.host_bridges[0].last_bus, 15);
    assert_int_equal(m.host_bridges[0].window_count, 2);

    read_arm64(
        ",gic-version=3",
        "-cpu max -smp 4 -m 1G -object memory-backend-ram,id=a,size=512M -object memory-backend-ram,id=b,size=512M"
        " -numa node,memdev=a,cpus=0-1 -numa node,memdev=b,cpus=2-3");
    arm64_common();
    assert_int_equal(usable_memory(), 1 << 30);
    assert_int_equal(m.cpus[1].node, 0);
    assert_int_equal(m.cpus[2].node, 1);
    assert_int_equal(m.memory[m.memory_count - 1].node, 1);

    /* Two clusters' worth of CPUs: Aff1 counts. */
    read_arm64(",gic-version=3", "-cpu max -smp 40");
    assert_int_equal(m.cpu_count, 40);
    assert_int_equal(m.cpus[39].hardware_id, 0x207);

    read_arm64(",gic-version=3", "-cpu max -device virtio-iommu-pci,addr=7");
    assert_int_equal(m.iommu_count, 1);
    assert_int_equal(m.iommus[0].kind, IOMMU_VIRTIO);
    assert_true(m.iommus[0].pci);
    assert_int_equal(m.iommus[0].pci_function, 7 << 3);
    assert_in_range(m.host_bridges[0].iommu_map_count, 1, 2); /* all but itself */
    assert_int_equal(m.host_bridges[0].iommu_map[0].target, 0);
}

/* ---- rv64 -------------------------------------------------------------------------------------------- */

static void rv64_common(void)
{
    assert_string_equal(m.model, "riscv-virtio,qemu");
    assert_int_equal(m.timebase_hz, 10000000);
    assert_true((m.isa & MACHINE_ISA_SSTC) != 0);
    assert_int_equal(m.uart_count, 1);
    assert_int_equal(m.uarts[0].kind, UART_NS16550);
    assert_int_equal(m.uarts[0].registers.address, 0x10000000);
    assert_int_equal(m.uarts[0].registers.access_bytes, 1);
    assert_int_equal(m.uarts[0].register_shift, 0);
    assert_int_equal(m.uarts[0].clock_hz, 3686400);
    assert_line(m.uarts[0].line, 10, TRIGGER_LEVEL, POLARITY_HIGH);
    assert_true(m.uarts[0].console);
    assert_int_equal(m.virtio_slot_count, 8);
    for (uint32_t i = 0; i < 8; i++)
        assert_line(m.virtio_slots[i].line, (m.virtio_slots[i].base - 0x10000000) / 0x1000, TRIGGER_LEVEL,
                    POLARITY_HIGH);
    assert_true(m.power.sifive_test);
    assert_int_equal(m.power.poweroff_register.address, 0x100000);
    assert_int_equal(m.power.poweroff_value, 0x5555);
    assert_int_equal(m.power.reboot_value, 0x7777);
    assert_int_equal(m.fw_cfg.address, 0x10100000);
    assert_int_equal(m.host_bridge_count, 1);
    const struct machine_host_bridge *bridge = &m.host_bridges[0];
    assert_int_equal(bridge->ecam, 0x30000000);
    assert_int_equal(bridge->window_count, 3);
    assert_int_equal(bridge->windows[0].cpu_address, 0x3000000);
    assert_int_equal(bridge->windows[1].cpu_address, 0x40000000);
    assert_int_equal(bridge->intx_route_count, 16);
    for (uint32_t i = 0; i < 16; i++) {
        const struct machine_intx_route *route = &bridge->intx_routes[i];
        assert_line(route->line, 0x20 + (route->device / 8u + route->pin - 1u) % 4, TRIGGER_LEVEL, POLARITY_HIGH);
    }
}

static void rv64_plic(void **state)
{
    (void)state;
    for (unsigned harts = 1; harts <= 8; harts++) {
        char smp[64];
        snprintf(smp, sizeof smp, "-smp %u -m 256M", harts);
        read_rv64("", smp);
        rv64_common();
        assert_int_equal(m.cpu_count, harts);
        assert_int_equal(m.plic_count, 1);
        assert_int_equal(m.aplic_count, 0);
        assert_false(m.imsic.present);
        const struct machine_plic *plic = &m.plics[0];
        assert_int_equal(plic->base, 0xc000000);
        assert_int_equal(plic->first_line, 0);
        assert_int_equal(plic->source_count, 96);
        assert_int_equal(plic->context_count, 2 * harts);
        for (unsigned i = 0; i < 2 * harts; i++) { /* machine mode first */
            const struct machine_context *context = &m.contexts[plic->first_context + i];
            assert_int_equal(context->number, i);
            assert_int_equal(context->supervisor, i % 2);
            assert_int_equal(m.cpus[context->cpu].hardware_id, i / 2);
        }
        assert_int_equal(m.host_bridges[0].msi_map_count, 0);
    }
    read_rv64("", "-cpu rv64,sstc=off");
    assert_int_equal(m.isa & MACHINE_ISA_SSTC, 0);
}

static void rv64_aplic(void **state)
{
    (void)state;
    read_rv64(",aia=aplic", "-smp 3");
    rv64_common();
    assert_int_equal(m.plic_count, 0);
    assert_int_equal(m.aplic_count, 1);
    const struct machine_aplic *aplic = &m.aplics[0];
    assert_int_equal(aplic->base, 0xd000000);
    assert_true(aplic->supervisor);
    assert_false(aplic->messages);
    assert_int_equal(aplic->source_count, 96);
    assert_int_equal(aplic->context_count, 3);
    for (uint32_t i = 0; i < 3; i++)
        assert_int_equal(m.cpus[m.contexts[aplic->first_context + i].cpu].hardware_id, i);
}

static void rv64_imsic(void **state)
{
    (void)state;
    for (unsigned guests = 0; guests <= 3; guests += 3) {
        char aia[64];
        snprintf(aia, sizeof aia, ",aia=aplic-imsic,aia-guests=%u", guests);
        read_rv64(aia, "-smp 4");
        rv64_common();
        assert_true((m.isa & MACHINE_ISA_SSAIA) != 0);
        assert_int_equal(m.aplic_count, 1);
        assert_int_equal(m.aplics[0].base, 0xd000000);
        assert_true(m.aplics[0].messages);
        assert_int_equal(m.aplics[0].context_count, 0);
        assert_true(m.imsic.present);
        assert_int_equal(m.imsic.id_count, 255);
        assert_int_equal(m.imsic.guest_index_bits, guests == 0 ? 0 : 2);
        for (uint32_t i = 0; i < 4; i++) {
            uint32_t stride = guests == 0 ? 0x1000 : 0x4000;
            assert_int_equal(m.cpus[i].imsic_base, 0x28000000 + m.cpus[i].hardware_id * stride);
            assert_int_equal(m.cpus[i].imsic_size, stride);
        }
        assert_int_equal(m.host_bridges[0].msi_map_count, 1);
        assert_int_equal(m.host_bridges[0].msi_map[0].length, 0x10000);
    }
    /* Two sockets: groups of harts, each with its own region. */
    read_rv64(",aia=aplic-imsic",
              "-smp 4 -m 1G -object memory-backend-ram,id=a,size=512M -object memory-backend-ram,id=b,size=512M"
              " -numa node,memdev=a,cpus=0-1 -numa node,memdev=b,cpus=2-3");
    assert_int_equal(m.imsic.group_index_bits, 1);
    assert_int_equal(m.imsic.group_index_shift, 24);
    for (uint32_t i = 0; i < 4; i++)
        assert_int_equal(m.cpus[i].imsic_base,
                         0x28000000 + m.cpus[i].hardware_id / 2 * 0x1000000 + m.cpus[i].hardware_id % 2 * 0x1000);
    assert_int_equal(m.aplic_count, 2);
    assert_int_equal(m.aplics[1].first_line, m.aplics[0].source_count + 1);
}

/* As OpenSBI hands the trees on: machine level disabled, its own memory reserved. */
static void rv64_after_opensbi(void **state)
{
    (void)state;
    read_seed("rv64-plic-opensbi");
    rv64_common();
    assert_int_equal(m.plics[0].context_count, 4);
    for (uint32_t i = 0; i < 4; i++) {
        assert_int_equal(m.contexts[i].supervisor, i % 2);
        assert_int_equal(m.contexts[i].cpu == UINT32_MAX, i % 2 == 0);
    }
    assert_int_equal(m.memory[0].kind, MEMORY_RESERVED);
    assert_int_equal(m.memory[0].base, 0x80000000);
    assert_int_equal(m.memory[0].size, 0x80000);
    read_seed("rv64-imsic-opensbi");
    rv64_common();
    assert_true(m.imsic.present);
    assert_int_equal(m.aplics[0].base, 0xd000000);
}

/* ---- microvm ------------------------------------------------------------------------------------------ */

static void microvm(void **state)
{
    (void)state;
    read_seed("microvm-devices");
    assert_string_equal(m.model, "linux,microvm");
    assert_int_equal(m.io_apic_count, 2);
    assert_int_equal(m.io_apics[0].base, 0xfec00000);
    assert_int_equal(m.io_apics[0].first_line, 0);
    assert_int_equal(m.io_apics[1].base, 0xfec10000);
    assert_int_equal(m.io_apics[1].first_line, 24);
    assert_int_equal(m.virtio_slot_count, 2);
    assert_int_equal(m.virtio_slots[1].base, 0xfeb02e00);
    assert_line(m.virtio_slots[1].line, 24 + 23, TRIGGER_EDGE, POLARITY_HIGH);
    assert_int_equal(m.uarts[0].registers.space, ADDRESS_PORT);
    assert_int_equal(m.uarts[0].registers.address, 0x3f8);
    assert_true(m.uarts[0].console);
    assert_line(m.uarts[0].line, 4, TRIGGER_EDGE, POLARITY_HIGH);
    assert_int_equal(m.host_bridges[0].ecam, 0xe0000000);
    assert_int_equal(m.host_bridges[0].window_count, 2);
    assert_int_equal(m.host_bridges[0].intx_route_count, 0);
    assert_true(m.has_cmos);
}

/* ---- What QEMU does not make ------------------------------------------------------------------------------ */

#define HEAD                                                                                                           \
    "/dts-v1/; / { #address-cells = <2>; #size-cells = <2>; interrupt-parent = <&gic>;"                                \
    "gic: gic@1000 { compatible = \"arm,gic-400\"; interrupt-controller; #interrupt-cells = <3>;"                      \
    "  reg = <0 0x1000 0 0x1000 0 0x2000 0 0x2000>; };"

static void ranges_are_followed(void **state)
{
    (void)state;
    read_source(HEAD "a { #address-cells = <1>; #size-cells = <1>; ranges = <0 4 0 0x10000 0x100000 5 0 0x10000>;"
                     "  b { #address-cells = <2>; #size-cells = <1>; ranges = <0 0x40 0x100000 0x1000>;"
                     "    serial@50 { compatible = \"ns16550a\"; reg = <0 0x50 0x40>; reg-shift = <2>;"
                     "      reg-io-width = <4>; clock-frequency = <1000000>; current-speed = <9600>;"
                     "      interrupts = <0 1 4 0 2 1>; }; };"
                     "  serial@20 { compatible = \"snps,dw-apb-uart\"; reg = <0x20 0x100>; };"
                     "  empty { #address-cells = <1>; #size-cells = <1>; ranges;"
                     "    serial@40 { compatible = \"arm,pl011\"; reg = <0x200 0x1000>; }; }; }; };");
    assert_int_equal(host_log_count(LOG_WARN), 0);
    assert_int_equal(m.uart_count, 3);
    assert_int_equal(m.uarts[0].registers.address, 0x500000010);
    assert_int_equal(m.uarts[0].register_shift, 2);
    assert_int_equal(m.uarts[0].registers.access_bytes, 4);
    assert_int_equal(m.uarts[0].clock_hz, 1000000);
    assert_int_equal(m.uarts[0].baud, 9600);
    assert_int_equal(m.uarts[0].line.line, 33);
    assert_int_equal(m.uarts[1].registers.address, 0x400000020);
    assert_int_equal(m.uarts[2].registers.address, 0x400000200);
}

/* A bus whose children number their interrupts 0..: ARM's reference boards have it. */
static void interrupt_map_is_followed(void **state)
{
    (void)state;
    read_source(HEAD "bus@8000000 { #address-cells = <2>; #size-cells = <1>; ranges = <0 0 0 0x8000000 0x1000000>;"
                     "  #interrupt-cells = <1>; interrupt-map-mask = <0 0 63>; interrupt-parent = <&nexus>;"
                     "  serial@0 { compatible = \"arm,pl011\"; reg = <0 0x90000 0x1000>; interrupts = <5>; };"
                     "  serial@1 { compatible = \"arm,pl011\"; reg = <0 0xa0000 0x1000>;"
                     "    interrupts-extended = <&gic 1 3 8>; interrupts = <5>; }; };"
                     "nexus: nexus { #interrupt-cells = <1>; #address-cells = <0>; interrupt-map-mask = <63>;"
                     "  interrupt-map = <4 &gic 0 4 4 5 &second 50 6 &gic 0 6 4>; };"
                     "second: second { #interrupt-cells = <1>; #address-cells = <0>;"
                     "  interrupt-map = <50 &gic 0 7 2>; }; };");
    assert_int_equal(host_log_count(LOG_WARN), 0);
    assert_line(m.uarts[0].line, 39, TRIGGER_EDGE, POLARITY_LOW);
    assert_line(m.uarts[1].line, 19, TRIGGER_LEVEL, POLARITY_LOW);
}

static void chosen_and_aliases(void **state)
{
    (void)state;
    read_source(HEAD "aliases { serial0 = \"/bus/serial@20000\"; };"
                     "chosen { stdout-path = \"serial0:115200n8\"; bootargs = \"loglevel=debug selftest\";"
                     "  rng-seed = [01 02 03]; linux,initrd-start = <0x48000000>; linux,initrd-end = <0 0x48001234>;"
                     "  linux,pci-probe-only = <1>; };"
                     "memory@40000000 { device_type = \"memory\"; reg = <0 0x40000000 0 0x8000000>; };"
                     "memory@48000000 { device_type = \"memory\"; reg = <0 0x48000000 0 0x8000000>; };"
                     "bus { #address-cells = <1>; #size-cells = <1>; ranges;"
                     "  serial@10000 { compatible = \"arm,pl011\"; reg = <0x10000 0x1000>; status = \"disabled\"; };"
                     "  serial@20000 { compatible = \"arm,sbsa-uart\"; reg = <0x20000 0x1000>; status = \"ok\"; }; };"
                     "off { status = \"disabled\"; #address-cells = <2>; #size-cells = <2>; ranges;"
                     "  deeper { #address-cells = <2>; #size-cells = <2>; ranges;"
                     "    s@1 { compatible = \"arm,pl011\"; reg = <0 0x30000 0 0x1000>; }; }; };"
                     "reserved-memory { #address-cells = <2>; #size-cells = <2>; ranges;"
                     "  a@44000000 { reg = <0 0x44000000 0 0x1000 0 0x45000000 0 0x2000>; no-map; };"
                     "  pool { size = <0 0x100000>; reusable; }; }; };");
    assert_int_equal(host_log_count(LOG_WARN), 0);
    assert_string_equal(m.command_line, "loglevel=debug selftest");
    assert_int_equal(m.uart_count, 1);
    assert_true(m.uarts[0].console);
    assert_int_equal(m.uarts[0].baud, 115200);
    assert_int_equal(m.seed_size, 3);
    assert_int_equal(m.initrd.base, 0x48000000);
    assert_int_equal(m.initrd.size, 0x1234);
    unsigned reserved = 0, initrd = 0;
    for (uint32_t i = 0; i < m.memory_count; i++) {
        reserved += m.memory[i].kind == MEMORY_RESERVED;
        initrd += m.memory[i].kind == MEMORY_INITRD;
    }
    assert_int_equal(reserved, 2);
    assert_int_equal(initrd, 1);
}

static void cpus_and_isa(void **state)
{
    (void)state;
    read_source("/dts-v1/; / { cpus { #address-cells = <1>; #size-cells = <0>; timebase-frequency = <0 1000000>;"
                "cpu@0 { device_type = \"cpu\"; compatible = \"riscv\"; reg = <0>; riscv,isa = \"rv64imac\";"
                "  status = \"disabled\"; };"
                "cpu@1 { device_type = \"cpu\"; compatible = \"riscv\"; reg = <1>;"
                "  riscv,isa = \"rv64imafdcsstc_svpbmt1p0_zicbom\"; };"
                "cpu@2 { device_type = \"cpu\"; compatible = \"riscv\"; reg = <2>; riscv,isa-base = \"rv64i\";"
                "  riscv,isa-extensions = \"i\", \"m\", \"sstc\", \"zicbom\", \"svadu\"; };"
                "cpu@3 { device_type = \"cpu\"; compatible = \"riscv\"; reg = <3>; riscv,isa = \"rv32imac\"; };"
                "cpu@4 { device_type = \"cpu\"; compatible = \"riscv\"; reg = <4>; status = \"fail\"; }; }; };");
    assert_int_equal(m.timebase_hz, 1000000);
    assert_int_equal(m.cpu_count, 4);
    assert_false(m.cpus[0].enabled);
    assert_true(m.cpus[1].enabled && m.cpus[2].enabled);
    assert_false(m.cpus[3].enabled);
    assert_int_equal(m.isa, MACHINE_ISA_SSTC | MACHINE_ISA_ZICBOM);
    assert_true(host_log_has("cpu@3: its ISA \"rv32imac\" is not rv64; it is not used"));

    read_source("/dts-v1/; / { cpus { #address-cells = <2>; #size-cells = <0>;"
                "cpu@0 { device_type = \"cpu\"; compatible = \"arm,cortex-a72\"; reg = <1 0x20304>; }; }; };");
    assert_int_equal(m.cpus[0].hardware_id, 0x100020304);
}

#define PCIE(name, where, domain, more)                                                                                \
    name " { compatible = \"pci-host-ecam-generic\"; device_type = \"pci\"; #address-cells = <3>;"                     \
         "#size-cells = <2>; reg = <" where "> ; " domain                                                              \
         "ranges = <0x42000000 0 0x10000000 0 0x10000000 0 0x1000000>; " more "};"

static void several_domains(void **state)
{
    (void)state;
    read_source(HEAD PCIE("pcie@1", "4 0 0 0x1000000", "linux,pci-domain = <3>; ", "bus-range = <4 7>;")
                    PCIE("pcie@2", "5 0 0 0x1000000", "linux,pci-domain = <9>; ",
                         "msi-map = <0 &its 0x100 0x80 0x80 &its 0x1000 0x80>; iommu-map = <0 "
                         "&smmu 0 0x100>;") "smmu: iommu@7000000 { compatible = \"arm,smmu-v3\"; "
                                            "reg = <0 0x7000000 0 0x20000>;"
                                            "  #iommu-cells = <1>; interrupt-names = \"gerror\", "
                                            "\"eventq\"; interrupts = <0 8 1 0 9 1>; };"
                                            "its: its@6000000 { compatible = \"arm,gic-v3-its\"; "
                                            "reg = <0 0x6000000 0 0x20000>;"
                                            "  msi-controller; #msi-cells = <1>; }; };");
    assert_int_equal(host_log_count(LOG_WARN), 0);
    assert_int_equal(m.host_bridge_count, 2);
    assert_int_equal(m.host_bridges[0].segment, 3);
    assert_int_equal(m.host_bridges[0].first_bus, 4);
    assert_int_equal(m.host_bridges[0].last_bus, 7);
    assert_int_equal(m.host_bridges[0].ecam, 0x400000000);
    assert_true(m.host_bridges[0].windows[0].prefetchable);
    assert_int_equal(m.host_bridges[1].segment, 9);
    assert_int_equal(m.host_bridges[1].last_bus, 15); /* 16 MiB hold 16 buses */
    assert_int_equal(m.host_bridges[1].msi_map_count, 2);
    assert_int_equal(m.host_bridges[1].msi_map[1].output_base, 0x1000);
    assert_int_equal(m.host_bridges[1].msi_map[1].target, m.its[0].id);
    assert_int_equal(m.host_bridges[1].iommu_map_count, 1);
    assert_int_equal(m.iommus[0].error.line, 40);
    assert_int_equal(m.iommus[0].event.line, 41);
    assert_int_equal(m.iommus[0].command.line, MACHINE_NO_LINE);
}

static void syscons(void **state)
{
    (void)state;
    read_source("/dts-v1/; / { #address-cells = <1>; #size-cells = <1>;"
                "poweroff { compatible = \"syscon-poweroff\"; regmap = <&s>; offset = <8>; value = <0x34>; };"
                "reboot { compatible = \"syscon-reboot\"; regmap = <&s>; offset = <12>; mask = <1>; };"
                "s: s@5000 { compatible = \"x,y\", \"syscon\"; reg = <0x5000 0x100>; }; };");
    assert_int_equal(host_log_count(LOG_WARN), 0);
    assert_false(m.power.sifive_test);
    assert_int_equal(m.power.poweroff_register.address, 0x5008);
    assert_int_equal(m.power.poweroff_value, 0x34);
    assert_int_equal(m.power.reboot_register.address, 0x500c);
    assert_int_equal(m.power.reboot_value, 1);
}

/* ---- The text for loglevel=debug --------------------------------------------------------------------------- */

static char printed[65536];
static size_t printed_size;

static void keep(struct printer *printer, const char *text, size_t length)
{
    (void)printer;
    assert_true(printed_size + length < sizeof printed);
    memcpy(printed + printed_size, text, length);
    printed_size += length;
    printed[printed_size] = '\0';
}

static void tree_is_printed(void **state)
{
    struct printer printer = {keep};
    size_t size;
    uint8_t *blob = tree_from_source("/dts-v1/; /memreserve/ 0x1000 0x2000; / { model = \"a\", \"b c\"; empty;"
                                     "n@1 { reg = <0 1 0xabc>; bytes = [01 02 03]; one = [00 00 00 41];"
                                     "  zero = \"\"; }; };",
                                     &size);

    (void)state;
    printed_size = 0;
    fdt_print(blob, size, &printer);
    assert_string_equal(printed, "/memreserve/ 0x1000 0x2000\n"
                                 "/:\n"
                                 "  model = \"a\", \"b c\"\n"
                                 "  empty\n"
                                 "  n@1:\n"
                                 "    reg = <0x0 0x1 0xabc>\n"
                                 "    bytes = [01 02 03]\n"
                                 "    one = <0x41>\n"
                                 "    zero = [00]\n");
    free(blob);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(arm64_gicv2),         cmocka_unit_test(arm64_gicv3),
        cmocka_unit_test(arm64_variants),      cmocka_unit_test(rv64_plic),
        cmocka_unit_test(rv64_aplic),          cmocka_unit_test(rv64_imsic),
        cmocka_unit_test(rv64_after_opensbi),  cmocka_unit_test(microvm),
        cmocka_unit_test(ranges_are_followed), cmocka_unit_test(interrupt_map_is_followed),
        cmocka_unit_test(chosen_and_aliases),  cmocka_unit_test(cpus_and_isa),
        cmocka_unit_test(several_domains),     cmocka_unit_test(syscons),
        cmocka_unit_test(tree_is_printed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
